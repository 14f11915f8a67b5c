"""A whole checkpoint patched: open, plan, write, verify.

Comes in: a path and a `Target`. Goes out: `Planned`, and once it is applied the `Applied` of every
file. Promise: everything that can forbid the patch is found before the first byte is written, and
what was written is read back by the same readers that users trust, the reference safetensors reader
among them.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..errors import AuditError, NotPatchable
from ..facts import Fix
from ..formats.onnx.model import external_names
from ..formats.sharded import shard_names
from ..inputs import is_remote, label
from ..lstm.find import Found, find_lstms
from ..lstm.forensics.fingerprint import identify
from ..lstm.layer import GATES, Identity, Lstm
from ..lstm.measure import Values, read_values
from ..pipeline import MAX_UNITS, Opened, opened
from ..raw.source import FileSource
from ..raw.span import whole
from ..targets import TARGETS, Target
from . import files, journal, record
from .apply import Applied, Mode, Verify, apply
from .choose import choose, matching
from .clone import Progress
from .edits import Change, Edit, edits_of
from .overlap import refuse_sharing
from .plan import GatePlan, Place, changes_of, plan_gates
from .readers import refuse_readers
from .undo import undo as undo_patch

MAX_DESERIALIZED = 4 << 20
"""Bytes of a safetensors file that its own package checks in memory."""


class FilePlan(NamedTuple):
    """The edits of one file: the checkpoint itself, or one of its shards."""

    path: str
    identity: files.Identity
    edits: tuple[Edit, ...]


class Planned(NamedTuple):
    """What a patch would do. `expected`: every LSTM's effective biases afterwards; `warnings`: what
    to know first; `matched`: the patterns that match an LSTM, of all those at `addresses`.
    """

    path: str
    format: str
    target: Target
    gates: tuple[GatePlan, ...]
    files: tuple[FilePlan, ...]
    expected: Mapping[Identity, tuple[tuple[float, ...], ...]]
    warnings: tuple[str, ...]
    matched: frozenset[str]
    addresses: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether a single byte would change."""
        return any(file.edits for file in self.files)


def plan(
    path: str,
    target: Target,
    layers: tuple[str, ...] = (),
    place: Place = "ih",
    recover: bool = True,
    strict: bool = True,
) -> Planned:
    """Plan a patch of the checkpoint at `path`; raises `NotPatchable`, or what reading it raises.

    A pattern that matches nothing raises `BadPolicy`; without `strict` the caller sees to that, who
    may have other files.

    An in-place patch that was interrupted is rolled back first; without `recover`, where nothing
    may be written, the file is refused.
    """
    if is_remote(path):
        raise _elsewhere(path)
    for name in files_of(path) if recover else ():
        journal.recover(name)
    with opened(path) as file:
        subject = _read(file)
        matched = matching(subject.found, layers)
        nothing = not strict and layers and not matched
        chosen = [] if nothing else choose(subject.found, layers if strict else tuple(matched))
        gates, changes = _planned(subject, chosen, target, place)
        return Planned(
            path=path,
            format=file.checkpoint.format,
            target=target,
            gates=gates,
            files=tuple(_file_plans(file, changes)),
            expected=_expected(subject.values, gates),
            warnings=tuple(_warnings(path, subject.found, chosen, subject.values, file)),
            matched=matched,
            addresses=tuple(lstm.address for lstm in subject.found.lstms),
        )


def _elsewhere(path: str) -> NotPatchable:
    """A store replaces whole objects: what was patched there could not be undone."""
    name = os.path.basename(label(path))
    return NotPatchable(
        f"a file that lies elsewhere is not patched: download {name}, "
        f"`lstm-audit patch {name} …`, and upload it again"
    )


def plan_each(path: str, fixes: Sequence[Fix]) -> list[tuple[FilePlan, ...]]:
    """What each fix by itself would write, from one reading of the file; nothing where a fix is
    refused.
    """
    with opened(path) as file:
        subject = _read(file)
        return [_plan_fix(subject, fix) for fix in fixes]


def _plan_fix(subject: "Subject", fix: Fix) -> tuple[FilePlan, ...]:
    chosen = [lstm for lstm in subject.found.lstms if lstm.identity in fix.identities]
    try:
        _, changes = _planned(subject, chosen, fix.target, "ih")
        return tuple(_file_plans(subject.file, changes))
    except NotPatchable:
        return ()


class Subject(NamedTuple):
    """An open checkpoint with all that a plan needs to know of it."""

    file: Opened
    found: Found
    values: Mapping[Identity, Values]


def _read(file: Opened) -> Subject:
    found = find_lstms(file.checkpoint)
    units = sum(4 * lstm.hidden_size for lstm in found.lstms)
    if units > MAX_UNITS:
        raise NotPatchable(
            f"{units} bias elements in one file; at most {MAX_UNITS} are read", kind="limit"
        )
    return Subject(file, found, {lstm.identity: read_values(lstm) for lstm in found.lstms})


def _planned(
    subject: Subject, chosen: Sequence[Lstm], target: Target, place: Place
) -> tuple[tuple[GatePlan, ...], list[Change]]:
    """The gates of the chosen LSTMs, and the changes of bytes that they come to."""
    gates = tuple(
        gate
        for lstm in chosen
        for gate in plan_gates(lstm, subject.values[lstm.identity], target, place)
    )
    changes = list(changes_of(gates))
    checkpoint = subject.file.checkpoint
    if checkpoint.graphs:
        refuse_readers(checkpoint.graphs, gates, changes)
    elif not checkpoint.format.startswith("safetensors"):  # there no two tensors may share a byte
        refuse_sharing(checkpoint.tensors, subject.found.lstms, chosen, changes)
    return gates, changes


def with_donor(target: Target) -> Target:
    """The target with the biases of the checkpoint that it names, if it names one; raises what
    reading that raises.
    """
    if TARGETS[target.name].kind != "file":
        return target
    with opened(str(target.values[0])) as file:
        values = _read(file).values
        return target._replace(donor={one: tuple(found.forget) for one, found in values.items()})


def files_of(path: str) -> list[str]:
    """The file itself, and those that it names: an index its shards, a graph its external data."""
    try:
        with FileSource(path) as source:
            span = whole(source)
            names = shard_names(span) or external_names(span)
    except AuditError:
        return [path]
    return [path, *(os.path.join(os.path.dirname(path), name) for name in names)]


def _file_plans(file: Opened, changes: Sequence[Change]) -> Iterator[FilePlan]:
    """The edits of every file that is meant, in the order in which the files were opened; none
    where the bytes are there already.
    """
    edits = edits_of(changes)
    meant = {id(change.span.source) for change in changes} | {id(source) for source in edits}
    for source in file.sources:
        if id(source) in meant:
            yield FilePlan(source.name, source.identity, edits.get(source, ()))


def _expected(
    values: Mapping[Identity, Values], gates: Sequence[GatePlan]
) -> dict[Identity, tuple[tuple[float, ...], ...]]:
    """Every LSTM's four effective biases after the patch, the untouched ones included."""
    expected = {key: [tuple(gate) for gate in found.effective] for key, found in values.items()}
    for plan in gates:
        expected[plan.lstm.identity][GATES.index(plan.gate)] = plan.after
        if plan.lstm.coupled == "i":  # i = 1 - f goes with it
            expected[plan.lstm.identity][0] = tuple(-value for value in plan.after)
    return {key: tuple(gates) for key, gates in expected.items()}


def _warnings(
    path: str, found: Found, chosen: Sequence[Lstm], values: Mapping[Identity, Values], file: Opened
) -> Iterator[str]:
    """What a careful person would want to know before the write."""
    trained = [lstm.address for lstm in chosen if _looks_trained(lstm, values[lstm.identity])]
    if trained:
        yield f"{_some(trained)} look trained: what their forget gates have learned is replaced"
    if any(skip.reason == "optimizer-state" for skip in found.skipped):
        yield (
            "the file also holds an optimizer's state: its moments belong to the old biases when "
            "training resumes"
        )
    grouped = any("fp32" in name and "group" in name for name in file.checkpoint.tensors)
    if grouped or "_model_states" in os.path.basename(path):
        yield (
            "this looks like DeepSpeed: on resume the fp32 master weights in *_optim_states.pt "
            "overrule this patch"
        )
    others = [lstm for lstm in found.lstms if lstm not in chosen]
    copies = [other.address for other in others if any(_copy_of(other, lstm) for lstm in chosen)]
    if copies:
        yield (
            f"{_some(copies)} look like copies (EMA?) and stay as they are; --layers can name "
            "them too"
        )


def _looks_trained(lstm: Lstm, values: Values) -> bool:
    if not lstm.two_halves:
        return False
    return identify(values.halves["ih"], values.halves["hh"], lstm.dtype).state == "trained"


def _copy_of(other: Lstm, lstm: Lstm) -> bool:
    """The same layer of an equally named module at another place of the file."""
    tails = other.module.rpartition(".")[2], lstm.module.rpartition(".")[2]
    same = (other.layer, other.direction, other.hidden_size) == (
        lstm.layer,
        lstm.direction,
        lstm.hidden_size,
    )
    return same and tails[0] == tails[1] and other.module != lstm.module


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def apply_plan(
    planned: Planned,
    *,
    mode: Mode = "replace",
    output: str | None = None,
    overwrite: bool = False,
    undo: bool = True,
    progress: Progress | None = None,
) -> tuple[Applied, ...]:
    """Write what was planned, file by file; a shard that fails takes the shards before it back."""
    if output is not None and (len(planned.files) != 1 or planned.files[0].path != planned.path):
        raise NotPatchable(
            "--output writes one file; this checkpoint is spread over shards: copy the folder and "
            "patch it"
        )
    done: list[Applied] = []
    batch = _next_batch(planned)
    try:
        for file in planned.files:
            done.append(apply(
                file.path, file.edits, file.identity, mode=mode, output=output, overwrite=overwrite,
                verify=_verifier(planned, file, mode), undo=undo, batch=batch, progress=progress,
            ))  # fmt: skip
        if any(file.path != planned.path for file in planned.files):
            _verify_checkpoint(planned, planned.path)  # shards, which make sense only together
    except BaseException:
        _take_back(done)
        raise
    return tuple(done)


def _next_batch(planned: Planned) -> int:
    """Above the number of every patch of the checkpoint's shards: `undo` takes back what belongs
    together.
    """
    if all(file.path == planned.path for file in planned.files):
        return 0
    known = (record.load(os.path.realpath(name)) for name in files_of(planned.path))
    return 1 + max((stack.batch for stack in known if stack), default=0)


def newest_files(path: str) -> list[str]:
    """The files of a checkpoint that the newest patch touched, or whose in-place patch was
    interrupted.
    """
    names = files_of(path)
    stacks = {name: record.load(os.path.realpath(name)) for name in names}
    newest = max((stack.batch for stack in stacks.values() if stack), default=0)
    found = [
        name for name, stack in stacks.items() if stack and stack.patches and stack.batch == newest
    ]
    return [name for name in names if journal.hot(name)] or found or names[:1]


def _take_back(done: Sequence[Applied]) -> None:
    """Restore the shards that were already written: by their undo records, or by the inverse of
    their edits.
    """
    for applied in reversed([applied for applied in done if applied.edits]):
        if applied.undo:
            undo_patch(applied.path, mode="in-place")
            continue
        inverse = [Edit(edit.at, edit.new, edit.old, edit.reason) for edit in applied.edits]
        with FileSource(applied.path) as source:
            identity = source.identity
        apply(applied.path, inverse, identity, mode="in-place", undo=False)


def _verifier(planned: Planned, file: FilePlan, mode: Mode) -> Verify:
    def verify(path: str) -> None:
        if file.path == planned.path:
            _verify_checkpoint(planned, path)
        if planned.format.startswith("safetensors") and mode != "in-place":
            _verify_by_reference(path)

    return verify


def _verify_checkpoint(planned: Planned, path: str) -> None:
    """Audit what was written: every LSTM has exactly the biases of the plan, the untouched ones
    their old ones.
    """
    with opened(path, despite_journal=True) as file:
        lstms = find_lstms(file.checkpoint).lstms
        found = {
            lstm.identity: tuple(tuple(gate) for gate in read_values(lstm).effective)
            for lstm in lstms
        }
    wrong = [
        key.address
        for key in planned.expected
        if not _same(planned.expected[key], found.get(key, ()))
    ]
    if wrong or len(found) != len(planned.expected):
        raise NotPatchable(
            f"what was written does not read back as planned ({_some(wrong)}); the file is as it "
            "was"
        )


def _same(expected: Sequence[Sequence[float]], found: Sequence[Sequence[float]]) -> bool:
    """Equal unit by unit; NaN equals NaN."""
    return len(expected) == len(found) and all(
        len(a) == len(b) and all(x == y or (x != x and y != y) for x, y in zip(a, b, strict=True))
        for a, b in zip(expected, found, strict=True)
    )


def _verify_by_reference(path: str) -> None:
    """Open it with the safetensors package, without numpy where that can be: only a small file fits
    into memory.
    """
    from safetensors import SafetensorError, deserialize, safe_open

    try:
        if os.path.getsize(path) <= MAX_DESERIALIZED:
            with open(path, "rb") as file:
                deserialize(file.read())  # type: ignore[no-untyped-call]  # Rust, without a stub
            return
        with safe_open(path, framework="numpy") as reference:
            reference.keys()
    except ModuleNotFoundError:
        # safe_open needs numpy, and a machine that only gates files may lack it: our reader has
        # read it back
        return
    except SafetensorError as error:
        raise NotPatchable(
            f"the reference safetensors reader refuses what was written: {error}"
        ) from None


def refusal(planned: Planned) -> str:
    """Why the write of these files would be refused whatever the bytes; empty where it would
    not.
    """
    try:
        for file in planned.files:
            files.refuse_writing(file.path)
    except AuditError as error:
        return error.message
    return ""


def mapped(planned: Planned) -> list[str]:
    """Processes that would see an in-place write of these files at once."""
    return [process for file in planned.files for process in files.mapped_by(file.path)]
