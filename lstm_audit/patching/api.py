"""`lstm_audit.patch` and `lstm_audit.undo`: the same from Python, for files and for live models.

Comes in: a path or several, or a model; and one target. Goes out: `Patched`, or `Undone`s. Promise:
what the command line does, with the same refusals, as exceptions; everything is planned before
anything is written; a result is plain values, without a handle on a file or a model.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypedDict, Unpack

from ..errors import AuditError, BadPolicy, MalformedFile, MissingFile, UnknownFormat, Unreadable
from ..facts import Json, LstmFacts, facts_of
from ..inputs import Input, expand
from ..lstm.own import Own
from ..pipeline import checkpoints_in
from ..policy.load import PolicyLike, make_policy
from ..raw.locators import STDIN
from ..result import Result, quote_for_repr
from ..signatures import write_signature
from ..targets import TARGETS, Target, only_one
from ..targets import target as make_target
from .apply import Applied, Mode
from .checkpoint import FilePlan, Planned, plan, with_donor
from .choose import refuse_unmatched_layers
from .live import patch_module
from .plan import BiasPlace, GatePlan, check_place
from .undo import Undone
from .whole import apply_plan, find_patched, number_batches, plan_recovered, undo_checkpoint

Path = str | os.PathLike[str]


class Wanted(TypedDict, total=False):
    """The targets, of which exactly one is given; see `lstm_audit.targets.TARGETS`."""

    forget_bias: float | None
    activation: float | None
    time_scale: float | None
    half_life: float | None
    horizon: Sequence[float] | None
    shift: float | None
    init: str | None
    from_file: Path | None


class PatchedGate(NamedTuple):
    """One gate of one LSTM: its effective biases before, as they were wished for, and after, as the
    dtype holds them.
    """

    lstm: LstmFacts
    gate: str
    before: tuple[float, ...]
    wished: tuple[float, ...]
    after: tuple[float, ...]
    error: float

    def __repr__(self) -> str:
        means = [sum(values) / max(len(values), 1) for values in (self.before, self.after)]
        said = f"{means[0]:.4g} → {means[1]:.4g}"
        return f"<PatchedGate {quote_for_repr(self.lstm.address)} {self.gate}: {said}>"


class PatchedFile(NamedTuple):
    """What was done to one checkpoint, or would be: `files` are the edits of its files, byte by
    byte, empty for a live model. `written` are the files that now have the new bytes, `undo` the
    records that were written beside them.
    """

    path: str
    format: str
    target: Target
    gates: tuple[PatchedGate, ...]
    files: tuple[FilePlan, ...] = ()
    warnings: tuple[str, ...] = ()
    written: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    differs: bool = False

    @property
    def changes(self) -> bool:
        """Whether a single byte would change, or did."""
        return self.differs or any(file.edits for file in self.files)

    def __repr__(self) -> str:
        said = "written" if self.written else "changes" if self.changes else "nothing to change"
        return f"<PatchedFile {quote_for_repr(self.path)}: {self.target.text}, {said}>"


@dataclass(frozen=True, slots=True, repr=False)
class Patched(Result, view="patched"):
    """What was done, or under `dry_run` would be: a sequence of gates with their biases before and
    after; true where something changes. `parts` are the checkpoints. `str` is what the command
    says, `to("diff")` shows every range of bytes.
    """

    parts: tuple[PatchedFile, ...]
    dry_run: bool = False

    @property
    def gates(self) -> tuple[PatchedGate, ...]:
        """The gates of all checkpoints."""
        return tuple(gate for part in self.parts for gate in part.gates)

    @property
    def target(self) -> Target:
        """What was asked for."""
        return self.parts[0].target

    @property
    def changes(self) -> bool:
        """Whether anything changes: was written or, under `dry_run`, would be."""
        return any(part.changes for part in self.parts)

    @property
    def changed(self) -> bool:
        """Whether anything was written that was not there before."""
        return not self.dry_run and any(part.written or part.differs for part in self.parts)

    def __len__(self) -> int:
        return len(self.gates)

    def __iter__(self) -> Iterator[PatchedGate]:
        return iter(self.gates)

    def __bool__(self) -> bool:
        return self.changes

    def __repr__(self) -> str:
        done = "would change" if self.dry_run else "changed"
        said = done if self.changes else "nothing to change"
        return f"<Patched: {self.target.text}, {len(self.gates)} gates, {said}>"

    def to_dict(self) -> Json:
        """`lstm-audit/patch/1`, as plain JSON values."""
        from json import loads  # 2 ms that only a text needs

        document: Json = loads(self.to("json"))
        return document


def patch(
    target: Any,
    wanted: float | str | None = None,
    /,
    *,
    layers: str | Iterable[str] = (),
    place: str = "ih",
    couple: bool = True,
    seed: int = 0,
    in_place: bool = False,
    output: Path | None = None,
    undo: bool = True,
    dry_run: bool = False,
    policy: PolicyLike = None,
    **targets: Unpack[Wanted],
) -> Patched:
    """Set the forget bias of checkpoints on disk, or of a live `torch.nn.Module` or Keras model.

    `target` is a path (file, folder or glob), a list of these, or the model. Exactly one value is
    given: behind it, a number, which is the effective forget bias, or the name of a preset,
    "chrono:784"; or by a keyword: the effective `forget_bias`; the `activation` (0 to 1);
    `time_scale` or `half_life` in steps; `horizon` (steps, share kept); `shift`; `init`, a preset;
    `from_file`, another checkpoint. `layers` is a glob over addresses or modules, or several.
    `place` says which half carries the value: ih, hh, or split. Of `policy` (as `check` takes it)
    the conventions hold. `dry_run` changes nothing and says what would. `in_place`, `output` and
    `undo` are for files. A model is written under `no_grad` (torch) or through `assign` (Keras);
    its Parameter and Variable objects stay.

    Raises `BadPolicy` for a target that cannot be had, `MissingFile` for a path that is not there,
    `NotPatchable` with the reason when the bytes cannot be written, and what reading the file
    raises; then nothing has been changed. Raises `Unreadable` when the bytes were written and the
    disk would not confirm it.
    """
    chosen = _with_donor(_target(wanted, {**targets}, seed, couple))
    half, patterns = check_place(place), (layers,) if isinstance(layers, str) else tuple(layers)
    declared = make_policy(policy).conventions
    paths = paths_of(target)
    if paths is None:
        gates, differs = patch_module(target, chosen, patterns, half, declared, dry_run)
        name = f"<{type(target).__name__}>"
        part = PatchedFile(name, "live", chosen, tuple(map(_gate, gates)), differs=differs)
        return Patched((part,), dry_run)
    how = _How(chosen, patterns, half, declared, dry_run)
    plans = _plans(paths, how, output)
    if dry_run:
        return Patched(tuple(map(part_of, plans)), dry_run=True)
    mode: Mode = "output" if output is not None else "in-place" if in_place else "replace"
    name_of_output = None if output is None else os.fspath(output)
    return Patched(tuple(_carry_out(plans, how, mode, name_of_output, undo)))


# A real run plans with recovery, which may first put right what an interrupted patch left. A dry
# run changes nothing, not even that: it is told that the file is in between, and raises.
class _How(NamedTuple):
    """What every checkpoint of a call is patched with."""

    target: Target
    layers: tuple[str, ...]
    place: BiasPlace
    declared: tuple[Own, ...]
    dry_run: bool

    def plan(self, path: str) -> Planned:
        """The plan of one checkpoint."""
        make = plan if self.dry_run else plan_recovered
        return make(
            path, self.target, self.layers, self.place, strict=False, declared=self.declared
        )


def paths_of(target: Any) -> list[str] | None:
    """The paths that are meant; None for a model."""
    if isinstance(target, (str, os.PathLike)):
        return [os.fspath(target)]
    if isinstance(target, (list, tuple)) and all(
        isinstance(one, (str, os.PathLike)) for one in target
    ):
        return [os.fspath(one) for one in target]
    return None


# A pattern may match in one of several checkpoints only; whether it matched anywhere is known when
# all are planned, and nothing is written before that.
def _plans(paths: Sequence[str], how: _How, output: Path | None) -> list[Planned]:
    """Everything is planned before anything is written; what is no checkpoint, or has no LSTM, is
    passed over in a folder.
    """
    if STDIN in paths:
        raise BadPolicy("standard input is no file that could be written: name one")
    inputs = expand(paths)
    if output is not None and (len(inputs) != 1 or not inputs[0].named):
        raise BadPolicy("output is for one file")
    plans = [found for one in inputs for found in _plans_of(one, how, output)]
    if not plans:
        files = "1 file" if len(inputs) == 1 else f"{len(inputs)} files"
        raise BadPolicy(f"no LSTM in {files}")
    matched = {pattern for one in plans for pattern in one.matched}
    refuse_unmatched_layers(how.layers, matched, [a for one in plans for a in one.addresses])
    return [one for one in plans if one.gates]


def _plans_of(one: Input, how: _How, output: Path | None) -> Iterator[Planned]:
    if one.problem:
        raise Unreadable(one.problem)
    try:
        yield how.plan(one.path)
    except AuditError as error:
        if error.kind == "several" and output is None:  # an archive of several checkpoints
            for path in checkpoints_in(one.path):
                yield from _plans_of(Input(path, named=False), how, None)
            return
        unknown = isinstance(error, (UnknownFormat, MalformedFile)) and not one.expected
        if not unknown and (one.named or error.kind != "no-lstm"):
            raise


def _carry_out(
    plans: Sequence[Planned], how: _How, mode: Mode, output: str | None, undo: bool
) -> Iterator[PatchedFile]:
    written, batches = set[str](), number_batches(plans)
    for planned in plans:
        if planned.home in written:  # its archive has changed since it was planned
            planned = how.plan(planned.path)
        if not planned.changes and output is None:
            yield part_of(planned)
            continue
        batch = batches.get(planned.home, 0)
        applied = apply_plan(planned, mode=mode, output=output, undo=undo, batch=batch)
        written.add(planned.home)
        yield part_of(planned, applied)


def part_of(planned: Planned, applied: Sequence[Applied] = ()) -> PatchedFile:
    """What is kept of a plan, and of what was written; raises `Unreadable` where the disk did not
    confirm it.
    """
    doubts = [doubt for one in applied for doubt in one.doubts]
    if doubts:
        raise Unreadable("; ".join(doubts))
    return PatchedFile(
        planned.path,
        planned.format,
        planned.target,
        tuple(map(_gate, planned.gates)),
        planned.files,
        planned.warnings,
        written=tuple(one.path for one in applied),
        undo=tuple(one.undo for one in applied if one.undo),
        notes=tuple(dict.fromkeys(note for one in applied for note in one.notes)),
    )


def _gate(plan: GatePlan) -> PatchedGate:
    """A plan without the places in the file that it was made from."""
    return PatchedGate(
        facts_of(plan.lstm), plan.gate, plan.before, plan.wished, plan.after, plan.error
    )


def _target(wanted: float | str | None, targets: dict[str, Any], seed: int, couple: bool) -> Target:
    """The one target that was given."""
    names = {row.keyword: name for name, row in TARGETS.items()}
    for keyword in targets:
        if keyword not in names:
            raise TypeError(f"patch() got an unexpected keyword argument {keyword!r}")
    given = {names[keyword]: value for keyword, value in targets.items() if value is not None}
    if wanted is not None:
        name = "init" if isinstance(wanted, str) else "forget-bias"
        given = {name: wanted} if not given else {**given, f"{name} ": wanted}
    if len(given) > 1 and wanted is not None:
        others = ", ".join(TARGETS[name].keyword for name in given if name in TARGETS)
        raise BadPolicy(f"exactly one target is needed: {wanted!r} and {others} were given")
    row = only_one(given, lambda row: row.keyword)
    value: Any = given[row.name]
    values = value if len(row.arguments) > 1 and isinstance(value, (tuple, list)) else (value,)
    return make_target(row.name, *values, seed=seed, couple=couple)


def _with_donor(target: Target) -> Target:
    """The target with the biases of the file that it names."""
    if TARGETS[target.name].kind == "file" and not os.path.lexists(str(target.values[0])):
        raise MissingFile(f"{target.values[0]}: no such file")
    return with_donor(target)


# What inspect.signature, and so help() and TAB, show: also targets that were added to the table.
patch.__signature__ = write_signature(  # type: ignore[attr-defined]  # read by inspect.signature
    patch,
    {row.keyword: Wanted.__annotations__.get(row.keyword, Any) for row in TARGETS.values()},
)


def undo(
    target: Path | Sequence[Path], *, in_place: bool = False, sidecar: Path | None = None
) -> tuple[Undone, ...]:
    """Restore the bytes that the newest patch of each file replaced; an interrupted one first.

    `target` is a path (file, folder or glob) or several; of a checkpoint in several files name the
    one that you would audit. `in_place` writes into the file itself. `sidecar` names a journal or
    undo record that counts whoever owns it. In a folder, what was never patched is passed over.

    Raises `MissingFile` for a path that is not there, `NotPatchable` (kind `changed`) when a file
    does not hold what the patch wrote, `MalformedFile` for a damaged record, `Unreadable` for a
    folder that cannot be listed, and when the disk would not confirm the bytes.
    """
    paths = [target] if isinstance(target, (str, os.PathLike)) else target
    names = [os.fspath(path) for path in paths]
    named = None if sidecar is None else os.fspath(sidecar)
    found, inputs = [], expand(names)
    if closed := [f"{one.path}: {one.problem}" for one in inputs if one.problem]:
        raise Unreadable("; ".join(closed))
    for one in find_patched(inputs):
        mode: Any = "in-place" if in_place else "replace"
        found += undo_checkpoint(one.path, mode=mode, sidecar=named)
    doubts = [doubt for one in found for doubt in one.doubts]
    if doubts:
        raise Unreadable("; ".join(doubts))
    return tuple(found)
