"""What the user asked for, turned into the biases that one LSTM should have.

Comes in: a `Target` and an LSTM with its values. Goes out: a `Wish`: effective biases unit by unit.
Promise: a wish is always of the effective value; where it is stored, and in how many halves, is the
plan's choice.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from .. import targets
from ..errors import BadPolicy, NotPatchable
from ..lstm.layer import Lstm
from ..lstm.measure import Values

Forget = Mapping[str, Sequence[float]]
"""Effective forget biases by address."""


class Target(NamedTuple):
    """One TARGET of the command line, checked. `text` names it as it was given; `wish` computes
    it.
    """

    text: str
    wish: "Callable[[Lstm, Values], Wish]"


class Wish(NamedTuple):
    """Effective biases, one for each unit: of f, of i where the preset couples it, and both halves
    of f (ih, hh) where the preset draws them apart.
    """

    forget: tuple[float, ...]
    input: tuple[float, ...] | None = None
    halves: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    shift: float | None = None


def _constant(text: str, bias_of: Callable[[str], float]) -> Target:
    """The same bias for every unit; `bias_of` is given the gate's activation function."""
    bias_of("sigmoid")  # a value that cannot be had is refused before any file is opened
    return Target(
        text, lambda lstm, _: Wish((bias_of(lstm.activation_function),) * lstm.hidden_size)
    )


def forget_bias(value: float) -> Target:
    """An effective forget bias."""
    if not math.isfinite(value):
        raise BadPolicy(f"--forget-bias must be a finite number, not {value!r}")
    return _constant(f"forget bias {value:g}", lambda _: value)


def activation(value: float) -> Target:
    """A forget activation, 0 < f < 1."""
    return _constant(f"activation {value:g}", lambda gate: targets.from_activation(value, gate))


def time_scale(steps: float) -> Target:
    """A time scale in steps: memory falls to 1/e."""
    return _constant(f"time scale {steps:g}", lambda gate: targets.from_time_scale(steps, gate))


def half_life(steps: float) -> Target:
    """A half-life in steps."""
    return _constant(f"half-life {steps:g}", lambda gate: targets.from_half_life(steps, gate))


def horizon(steps: float, share: float) -> Target:
    """Keep `share` of the memory after `steps` steps."""
    text = f"{share:g} kept after {steps:g} steps"
    return _constant(text, lambda gate: targets.from_horizon(steps, share, gate))


def shift(by: float) -> Target:
    """Add to what stands there: a run-time offset of the framework that the weights came from."""
    if not math.isfinite(by):
        raise BadPolicy(f"--shift must be a finite number, not {by!r}")

    def wish(_: Lstm, values: Values) -> Wish:
        return Wish(tuple(value + by for value in values.forget), shift=by)

    return Target(f"shift by {by:g}", wish)


def preset(text: str, *, seed: int = 0, couple: bool = True) -> Target:
    """A named initialisation; `couple=False` leaves the input gate alone."""
    from ..lstm import presets  # the other targets need none of it

    chosen = presets.parse(text)

    def wish(lstm: Lstm, _: Values) -> Wish:
        drawn = presets.initial(
            chosen, lstm.hidden_size, seed, lstm.module, lstm.layer, lstm.direction
        )
        return Wish(drawn.forget, drawn.input if couple else None, drawn.halves)

    return Target(f"init {chosen}", wish)


def copied(name: str, forget: Forget) -> Target:
    """The effective forget biases of another checkpoint's LSTMs, matched by address."""

    def wish(lstm: Lstm, _: Values) -> Wish:
        found = forget.get(lstm.address)
        if found is None:
            there = ", ".join(sorted(forget)) or "no LSTM"
            raise NotPatchable(f"{name} has no LSTM {lstm.address!r} to copy from; it has {there}")
        if len(found) != lstm.hidden_size:
            raise NotPatchable(
                f"{lstm.address}: hidden size {lstm.hidden_size} here, {len(found)} in {name}"
            )
        return Wish(tuple(found))

    return Target(f"forget biases from {name}", wish)
