"""`lstm_audit.patch`: the same patch from Python, for files and for live models.

Comes in: a path or a model, and one target. Goes out: `Patched`. Promise: what the command line
does, with the same refusals, as exceptions.
"""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..errors import BadPolicy
from . import target as targets
from .apply import Applied
from .checkpoint import Planned, apply_plan, plan
from .live import patch_module
from .plan import GatePlan, Place
from .target import Target


class Patched(NamedTuple):
    """What was done: the gates with their biases before and after; for a file, what was planned and
    written; `wrote`: a live model's numbers were changed.
    """

    gates: tuple[GatePlan, ...]
    planned: Planned | None = None
    applied: tuple[Applied, ...] = ()
    wrote: bool = False

    @property
    def changed(self) -> bool:
        """Whether anything was written that was not there before."""
        return self.wrote or bool(self.applied)


def patch(
    target: Any,
    *,
    forget_bias: float | None = None,
    activation: float | None = None,
    time_scale: float | None = None,
    half_life: float | None = None,
    horizon: tuple[float, float] | None = None,
    shift: float | None = None,
    init: str | None = None,
    layers: Iterable[str] = (),
    place: Place = "ih",
    couple: bool = True,
    seed: int = 0,
    in_place: bool = False,
    output: str | os.PathLike[str] | None = None,
    undo: bool = True,
) -> Patched:
    """Set the forget bias of a checkpoint on disk, or of a live `torch.nn.Module`.

    Exactly one of the targets is given: the effective `forget_bias`; the `activation` (0 to 1);
    `time_scale` or `half_life` in steps; `horizon` (steps, share kept); `shift`; `init`, a preset
    such as "chrono:784". `layers` are globs over addresses or modules. `place` says which half
    carries the value: ih, hh, or split. `in_place`, `output` and `undo` are for files. A model is
    written under `no_grad`, its Parameter objects stay.

    Raises `BadPolicy` for a target that cannot be had, `NotPatchable` with the reason when the
    bytes cannot be written, and what reading the file raises. Then nothing has been changed.
    """
    given = {
        "forget_bias": forget_bias,
        "activation": activation,
        "time_scale": time_scale,
        "half_life": half_life,
        "horizon": horizon,
        "shift": shift,
        "init": init,
    }
    wanted = _target(
        {name: value for name, value in given.items() if value is not None}, seed, couple
    )
    if not isinstance(target, (str, os.PathLike)):
        gates, wrote = patch_module(target, wanted, tuple(layers), place)
        return Patched(gates, wrote=wrote)
    planned = plan(os.fspath(target), wanted, tuple(layers), place)
    if not planned.changes and output is None:
        return Patched(planned.gates, planned)
    mode = "output" if output is not None else "in-place" if in_place else "replace"
    name = None if output is None else os.fspath(output)
    applied = apply_plan(planned, mode=mode, output=name, undo=undo)  # type: ignore[arg-type]  # one of the three
    return Patched(planned.gates, planned, applied)


def _target(given: dict[str, Any], seed: int, couple: bool) -> Target:
    if len(given) != 1:
        raise BadPolicy(
            f"exactly one target is needed, {len(given)} were given: {', '.join(given) or 'none'}"
        )
    ((name, value),) = given.items()
    if name == "horizon":
        return targets.horizon(*value)
    if name == "init":
        return targets.preset(value, seed=seed, couple=couple)
    makers = {
        "forget_bias": targets.forget_bias,
        "activation": targets.activation,
        "time_scale": targets.time_scale,
        "half_life": targets.half_life,
        "shift": targets.shift,
    }
    return makers[name](float(value))
