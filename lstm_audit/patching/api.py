"""`lstm_audit.patch`: the same patch from Python, for files and for live models.

Comes in: a path or a model, and one target. Goes out: `Patched`. Promise: what the command line
does, with the same refusals, as exceptions.
"""

import os
from collections.abc import Iterable
from inspect import Parameter, signature
from typing import Any, NamedTuple

from ..errors import Unreadable
from ..policy.load import PolicyLike, make_policy
from ..targets import TARGETS, Target, TargetValue, only_one
from ..targets import target as make_target
from .apply import Applied, Mode
from .byhand import refuse_remote
from .checkpoint import Planned, with_donor
from .live import patch_module
from .plan import GatePlan, check_place
from .whole import apply_plan, plan_recovered

Wanted = TargetValue | tuple[float, ...] | os.PathLike[str] | None
"""What a target's keyword takes; None is as if it had not been given."""


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
    layers: str | Iterable[str] = (),
    place: str = "ih",
    couple: bool = True,
    seed: int = 0,
    in_place: bool = False,
    output: str | os.PathLike[str] | None = None,
    undo: bool = True,
    policy: PolicyLike = None,
    **wanted: Wanted,
) -> Patched:
    """Set the forget bias of a checkpoint on disk, or of a live `torch.nn.Module` or Keras model.

    Exactly one target is given, by a keyword: the effective `forget_bias`; the `activation` (0 to
    1); `time_scale` or `half_life` in steps; `horizon` (steps, share kept); `shift`; `init`, a
    preset such as "chrono:784"; or whatever else `lstm_audit.targets.TARGETS` holds. `layers` is a
    glob over addresses or modules, or several. `place` says which half carries the value: ih, hh,
    or split. Of `policy` (as `check` takes it) the conventions hold. `in_place`, `output` and
    `undo` are for files. A model is written under `no_grad` (torch) or through `assign` (Keras);
    its Parameter and Variable objects stay.

    Raises `BadPolicy` for a target that cannot be had, `NotPatchable` with the reason when the
    bytes cannot be written, and what reading the file raises; then nothing has been changed. Raises
    `Unreadable` when the bytes were written and the disk would not confirm it.
    """
    chosen = with_donor(_target(wanted, seed, couple))
    half, patterns = check_place(place), (layers,) if isinstance(layers, str) else tuple(layers)
    declared = make_policy(policy).conventions
    if not isinstance(target, (str, os.PathLike)):
        gates, wrote = patch_module(target, chosen, patterns, half, declared)
        return Patched(gates, wrote=wrote)
    refuse_remote([os.fspath(target)], chosen.words)
    planned = plan_recovered(os.fspath(target), chosen, patterns, half, declared=declared)
    if not planned.changes and output is None:
        return Patched(planned.gates, planned)
    mode: Mode = "output" if output is not None else "in-place" if in_place else "replace"
    name = None if output is None else os.fspath(output)
    applied = apply_plan(planned, mode=mode, output=name, undo=undo)
    doubts = [doubt for one in applied for doubt in one.doubts]
    if doubts:
        raise Unreadable("; ".join(doubts))
    return Patched(planned.gates, planned, applied)


def _target(wanted: dict[str, Wanted], seed: int, couple: bool) -> Target:
    """The one target among the keywords."""
    names = {row.keyword: name for name, row in TARGETS.items()}
    for keyword in wanted:
        if keyword not in names:
            raise TypeError(f"patch() got an unexpected keyword argument {keyword!r}")
    given = {names[keyword]: value for keyword, value in wanted.items() if value is not None}
    row = only_one(given, lambda row: row.keyword)
    value: Any = given[row.name]
    values = value if len(row.arguments) > 1 and isinstance(value, (tuple, list)) else (value,)
    return make_target(row.name, *values, seed=seed, couple=couple)


def _with_targets() -> Any:
    """The signature that `help(lstm_audit.patch)` shows: a keyword for each target."""
    plain = signature(patch)
    first, *rest = (p for p in plain.parameters.values() if p.kind is not Parameter.VAR_KEYWORD)
    keywords = [
        Parameter(row.keyword, Parameter.KEYWORD_ONLY, default=None, annotation=Wanted)
        for row in TARGETS.values()
    ]
    return plain.replace(parameters=[first, *keywords, *rest])


patch.__signature__ = _with_targets()  # type: ignore[attr-defined]  # read by inspect.signature
