"""The targets of a patch: what can be asked of a forget gate.

Comes in: the words or values that name a target. Goes out: a `Target`, checked, and for every LSTM
the `Wish` that it makes: effective biases unit by unit. Promise: a target is one row of `TARGETS`,
from which the command line's options, Python's keyword arguments, the fixes of findings and all
messages are made; and a wish is always of the effective value: where it is stored, and in how many
halves, is the plan's choice.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from keyword import iskeyword
from typing import Annotated

from . import decay
from .errors import BadPolicy, NotPatchable
from .lstm.layer import Identity, Lstm
from .lstm.measure import Values
from .tuples import NamedTuple

TargetValue = Annotated[float | str, ("type", ("number", "string"))]
# The effective forget biases of another checkpoint.
Donor = Mapping[Identity, Sequence[float]]


class Target(NamedTuple):
    """A row of `TARGETS` with its values, as plain data. Make one with `target` or `read_target`.

    `seed` is for presets that draw; without `couple` a preset leaves the input gate alone. `donor`
    is what was read from the checkpoint that the target names, if it names one.
    """

    name: str
    values: tuple[TargetValue, ...]
    seed: int = 0
    couple: bool = True
    donor: Donor | None = None

    @property
    def text(self) -> str:
        """For people: `forget bias 1`."""
        return TARGETS[self.name].wording.format(*self.values)

    @property
    def words(self) -> tuple[str, ...]:
        """The options of `lstm-audit patch` that ask for it."""
        row = TARGETS[self.name]
        spelled = ",".join(v if isinstance(v, str) else f"{v:.9g}" for v in self.values)
        seed = ("--seed", str(self.seed)) if self.seed else ()
        return (row.option, spelled, *seed, *(() if self.couple else ("--no-couple",)))

    def wish(self, lstm: Lstm, values: Values) -> "Wish":
        """The biases that one LSTM should have."""
        return TARGETS[self.name].formula(self, lstm, values)


class Wish(NamedTuple):
    """Effective biases, one for each unit: of f, of i where the preset couples it, and both halves
    of f (ih, hh) where the preset draws them apart. `shift` is what is added to what stands there.
    """

    forget: tuple[float, ...]
    input: tuple[float, ...] | None = None
    halves: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    shift: float | None = None


class TargetRow(NamedTuple):
    """One target.

    `arguments` are metavars, one a value; `kind` says what the values are: number, preset, or file
    (a checkpoint, whose biases then stand in `Target.donor`). `wording` is filled in with the
    values. `check` raises `BadPolicy` for values that cannot be had, before any file is opened.
    """

    name: str
    arguments: tuple[str, ...]
    help: str
    wording: str
    check: Callable[..., object]
    formula: Callable[[Target, Lstm, Values], Wish]
    kind: str = "number"
    example: str = "1"

    @property
    def option(self) -> str:
        """Its spelling on the command line."""
        return f"--{self.name}"

    @property
    def keyword(self) -> str:
        """Its spelling in Python; `from` is a word of the language."""
        name = self.name.replace("-", "_")
        return f"{name}_{self.kind}" if iskeyword(name) else name


# ---- formulas

# From the target's values and a gate's activation function to one bias.
BiasOf = Callable[..., float]


def _even(bias_of: BiasOf) -> Callable[[Target, Lstm, Values], Wish]:
    """The same bias for every unit."""

    def formula(target: Target, lstm: Lstm, values: Values) -> Wish:
        bias = bias_of(*target.values, lstm.activation_function)
        return Wish((bias,) * lstm.hidden_size)

    return formula


def _finite(value: float, function: str = "sigmoid") -> float:
    """A bias is itself, whatever the gate."""
    if not math.isfinite(value):
        raise BadPolicy(f"a finite number was expected, not {value!r}")
    return value


def _shift(target: Target, lstm: Lstm, values: Values) -> Wish:
    """For imports from frameworks that add an offset at run time."""
    by = float(target.values[0])
    return Wish(tuple(value + by for value in values.forget), shift=by)


def _preset(target: Target, lstm: Lstm, values: Values) -> Wish:
    """A named initialisation, reproducible from the seed and the LSTM's name."""
    from .lstm import presets  # 3 ms, and no other target needs it

    chosen = presets.parse_preset(str(target.values[0]))
    drawn = presets.initial(
        chosen, lstm.hidden_size, target.seed, lstm.module, lstm.layer, lstm.direction
    )
    return Wish(drawn.forget, drawn.input if target.couple else None, drawn.halves)


def _check_preset(text: str) -> str:
    from .lstm import presets  # 8 ms, as above

    return str(presets.parse_preset(text))


def _copy_donor(target: Target, lstm: Lstm, values: Values) -> Wish:
    """The biases of the LSTM of the same address; of the same convention, where two bear it."""
    donor, name = target.donor or {}, target.values[0]
    there = [one for one in donor if one.address == lstm.address]
    if len(there) > 1:
        there = [one for one in there if one.convention == lstm.convention]
    if len(there) != 1:
        known = ", ".join(sorted(one.address for one in donor)) or "no LSTM"
        raise NotPatchable(f"{name} has no LSTM {lstm.address!r} to copy from; it has {known}")
    found = donor[there[0]]
    if len(found) != lstm.hidden_size:
        raise NotPatchable(
            f"{lstm.address}: hidden size {lstm.hidden_size} here, {len(found)} in {name}"
        )
    return Wish(tuple(found))


# ---- the table

TARGETS: dict[str, TargetRow] = {
    row.name: row
    for row in (
        TargetRow(
            name="forget-bias",
            arguments=("B",),
            help="The effective forget bias.",
            wording="forget bias {:g}",
            check=_finite,
            formula=_even(_finite),
        ),
        TargetRow(
            name="activation",
            arguments=("F",),
            help="The forget activation, 0 < F < 1.",
            wording="activation {:g}",
            check=decay.from_activation,
            formula=_even(decay.from_activation),
            example="0.9",
        ),
        TargetRow(
            name="time-scale",
            arguments=("T",),
            help="Steps until 1/e of the memory is left.",
            wording="time scale {:g}",
            check=decay.from_time_scale,
            formula=_even(decay.from_time_scale),
            example="50",
        ),
        TargetRow(
            name="half-life",
            arguments=("N",),
            help="Steps until half of the memory is left.",
            wording="half-life {:g}",
            check=decay.from_half_life,
            formula=_even(decay.from_half_life),
            example="50",
        ),
        TargetRow(
            name="horizon",
            arguments=("N", "P"),
            help="Keep the share P after N steps.",
            wording="{1:g} kept after {0:g} steps",
            check=decay.from_horizon,
            formula=_even(decay.from_horizon),
            example="100,0.5",
        ),
        TargetRow(
            name="shift",
            arguments=("D",),
            help="Add D to what stands there.",
            wording="shift by {:g}",
            check=_finite,
            formula=_shift,
        ),
        TargetRow(
            name="init",
            arguments=("PRESET",),
            help="A named initialisation; see `lstm-audit presets`.",
            wording="init {}",
            check=_check_preset,
            formula=_preset,
            kind="preset",
            example="chrono:784",
        ),
        TargetRow(
            name="from",
            arguments=("FILE",),
            help="The forget biases of another checkpoint, matched by address.",
            wording="forget biases from {}",
            check=str,
            formula=_copy_donor,
            kind="file",
            example="other.pt",
        ),
    )
}


# ---- making one


def target(name: str, *values: object, seed: int = 0, couple: bool = True) -> Target:
    """The target `name` with its values, checked; raises `BadPolicy`."""
    row = TARGETS[name]
    if len(values) != len(row.arguments):
        raise _refuse_unexpected(row, values)
    typed = tuple(_read_value(row, values, value) for value in values)
    try:
        found = row.check(*typed)
    except BadPolicy as error:
        raise BadPolicy(f"{row.option}: {error.message}") from None
    # a preset is kept as it is spelled in full, so that equal ones compare equal
    return Target(name, (str(found),) if row.kind == "preset" else typed, seed, couple)


def _read_value(row: TargetRow, values: Sequence[object], value: object) -> TargetValue:
    if row.kind != "number":
        return str(value)
    if isinstance(value, (str, bytes, bool)):
        raise _refuse_unexpected(row, values)
    try:
        return float(value)  # type: ignore[arg-type]  # numpy's numbers too; others raise
    except (TypeError, ValueError, OverflowError):
        raise _refuse_unexpected(row, values) from None


def _refuse_unexpected(row: TargetRow, values: Sequence[object]) -> BadPolicy:
    shown = ",".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)
    return BadPolicy(
        f"{row.option} {shown}: {','.join(row.arguments)} was expected, such as {row.example}"
    )


def read_target(name: str, text: str, seed: int = 0, couple: bool = True) -> Target:
    """The target `name` with the values that are spelled in `text`; raises `BadPolicy`."""
    row = TARGETS[name]
    parts: list[TargetValue] = [text] if len(row.arguments) == 1 else [*text.split(",")]
    if row.kind == "number":
        try:
            parts = [float(part) for part in parts]
        except ValueError:
            raise _refuse_unexpected(row, [text]) from None
    return target(name, *parts, seed=seed, couple=couple)


def only_one(given: Iterable[str], spell: Callable[[TargetRow], str]) -> TargetRow:
    """The one target that was given; raises `BadPolicy` that says which ones were, as they are
    spelled where they were given.
    """
    rows = [TARGETS[name] for name in given]
    if len(rows) == 1:
        return rows[0]
    if rows:
        *most, last = map(spell, rows)
        said = f"{', '.join(most)} and {last} were given"
    else:
        said = f"give one of {', '.join(map(spell, TARGETS.values()))}"
    raise BadPolicy(f"exactly one target is needed: {said}")
