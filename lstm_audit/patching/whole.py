"""All files of a checkpoint written, or taken back, as one patch.

Comes in: a `Planned`, or the path of a checkpoint. Goes out: the `Applied` or `Undone` of every
file. Promise: several files are patched under one marker, so that no command ever takes a mixture
of old and new files for a checkpoint, and `undo` takes back all that one patch has written.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Literal

from ..errors import AuditError, NotPatchable
from ..formats import format_named
from ..inputs import Input, split_locator
from ..interrupted import InterruptedPatch, has_journal, sidecars, strangers
from ..lstm.find import find_lstms
from ..lstm.own import Own
from ..pipeline import open_checkpoint
from ..targets import Target
from . import files, journal, marker, record, steps
from .apply import Applied, Mode, Verify, apply
from .checkpoint import FilePlan, Planned, plan
from .clone import CopyProgress
from .plan import BiasPlace
from .record import Patch
from .undo import Undone, undo
from .verify import verify_by_reference, verify_checkpoint


def apply_plan(
    planned: Planned,
    *,
    mode: Mode = "replace",
    output: str | None = None,
    overwrite: bool = False,
    undo: bool = True,
    batch: int = 0,
    progress: CopyProgress | None = None,
) -> tuple[Applied, ...]:
    """Write what was planned. Of several files none stays patched unless all are. Patches of one
    `batch` (`number_batches`) are taken back by one undo.
    """
    if output is not None and (len(planned.files) != 1 or planned.files[0].path != planned.home):
        raise NotPatchable(
            "--output writes one file; this checkpoint is spread over several: copy the folder and "
            "patch it"
        )
    spread = _is_spread(planned)
    batch = 1 + _newest_batch(files_of(planned.home)) if spread else batch

    def write(file: FilePlan) -> Applied:
        return apply(
            file.path, file.edits, file.identity, mode=mode, output=output, overwrite=overwrite,
            verify=_verifier(planned, mode, spread), undo=undo, batch=batch, progress=progress,
        )  # fmt: skip

    if not spread:
        return tuple(map(write, planned.files))
    parts = []
    for file in planned.files:
        if file.edits:
            files.refuse_writing(file.path)
            size = file.identity[2]
            parts.append(marker.collect_edits(planned.home, file.path, size, file.edits))
    with marker.mark(planned.home, parts) as doubts:
        done = list(map(write, planned.files))
        # files that make sense only together
        verify_checkpoint(planned.expected, planned.path, planned.declared)
    return (*done[:-1], done[-1]._replace(doubts=(*done[-1].doubts, *doubts)))


def _is_spread(planned: Planned) -> bool:
    """Whether another file than the one that was named is written."""
    return any(file.edits and file.path != planned.home for file in planned.files)


def _verifier(planned: Planned, mode: Mode, spread: bool) -> Verify:
    """What is verified of each file: all of the checkpoint only where it is all in the file."""

    def verify(path: str) -> None:
        if not spread:
            written = path + planned.path.removeprefix(planned.home)
            verify_checkpoint(planned.expected, written, planned.declared)
        alone = planned.path == planned.home  # the reference reader opens no archive
        if alone and format_named(planned.format).reference and mode != "in-place":
            verify_by_reference(path)

    return verify


def files_of(path: str) -> list[str]:
    """The file itself and those in which its LSTMs lie; whatever cannot be read stands alone."""
    try:
        with open_checkpoint(path, despite_journal=True) as file:
            find_lstms(file.checkpoint)  # opens the files of tensors as they are located
            return [source.name for source in file.sources]
    except AuditError:
        return [path]


def find_patched(inputs: Iterable[Input]) -> Iterator[Input]:
    """The inputs of which something may be undone: what was named, and of a folder that beside
    which, or beside another file of the same checkpoint, a patch left something. What two of them
    share is met once, for each takes back a patch.
    """
    met: set[str] = set()
    for one in inputs:
        if one.named or one.problem:  # what a closed folder holds is not known
            yield one
            continue
        names = files_of(one.path)
        places = {os.path.realpath(name) for name in names}
        left = any(os.path.lexists(place) for name in names for place in sidecars(name))
        if (left or one.stands_for_shards) and not met & places:
            met |= places
            yield one


def _newest_batch(names: Sequence[str]) -> int:
    """The largest number of a patch of several files; 0 where there was none. `undo` takes back
    what bears one number.
    """
    known = (record.load(os.path.realpath(name)) for name in names)
    return max((stack.batch for stack in known if stack), default=0)


def number_batches(plans: Iterable[Planned]) -> dict[str, int]:
    """For each file of which several checkpoints are patched, the number that their patches
    bear.
    """
    homes = Counter(planned.home for planned in plans if planned.changes)
    numbers: dict[str, int] = {}
    for home in (home for home, count in homes.items() if count > 1):
        with suppress(AuditError):  # a damaged record, which the write refuses
            numbers[home] = 1 + _newest_batch([home])
    return numbers


def plan_recovered(
    path: str,
    target: Target,
    layers: tuple[str, ...],
    place: BiasPlace,
    strict: bool = True,
    declared: tuple[Own, ...] = (),
) -> Planned:
    """As `plan`, after what an interrupted patch has left was taken back, file by file."""
    seen: set[str] = set()
    while True:
        try:
            return plan(path, target, layers, place, strict, declared)
        except InterruptedPatch as error:
            if error.path in seen:  # the journal does not count for us
                raise
            seen.add(error.path)
            if not marker.recover_marker(error.path):
                journal.recover_journal(error.path)


def undo_checkpoint(
    path: str,
    *,
    mode: Literal["replace", "in-place"] = "replace",
    sidecar: str | None = None,
    progress: CopyProgress | None = None,
) -> list[Undone]:
    """Take back the newest patch of a checkpoint, in all its files; an interrupted one first.

    `sidecar` names one that counts whoever owns it.
    """
    path, _ = split_locator(path)
    on_purpose = sidecar is not None and os.path.abspath(sidecar) == os.path.abspath(
        marker.marker_path(path)
    )
    if marker.recover_marker(path, on_purpose):
        return [Undone(path, "rolled-back", notes=tuple(strangers(path)))]
    names = _newest_files(path)
    if len(names) > 1 and not any(has_journal(os.path.realpath(name)) for name in names):
        return _undo_together(path, names, mode, progress)
    return [undo(name, mode=mode, progress=progress, sidecar=sidecar) for name in names]


def _newest_files(path: str) -> list[str]:
    """The files of a checkpoint that the newest patch touched, or whose in-place patch was
    interrupted.
    """
    real = os.path.realpath(path)
    own = record.load(real) if os.path.exists(real) else None
    if has_journal(real) or (own and own.patches and not own.batch):
        return [path]
    names = files_of(path)
    stacks = {name: record.load(os.path.realpath(name)) for name in names}
    newest = max((stack.batch for stack in stacks.values() if stack), default=0)
    found = [
        name for name, stack in stacks.items() if stack and stack.patches and stack.batch == newest
    ]
    return [name for name in names if has_journal(os.path.realpath(name))] or found or names[:1]


def _undo_together(
    path: str,
    names: Sequence[str],
    mode: Literal["replace", "in-place"],
    progress: CopyProgress | None,
) -> list[Undone]:
    """Several files under one marker. Where one of them cannot be undone as was asked for, all are
    in the end taken back in place.
    """
    parts = [_part(path, name, _made(name)) for name in names]
    done: list[Undone] = []
    try:
        with marker.mark(path, parts) as doubts:
            done += [undo(name, mode=mode, progress=progress) for name in names]
    except (marker.Kept, InterruptedPatch):
        raise
    except AuditError as error:
        note = f"{error.message}: the old bytes were written in place"
        return [Undone(name, "restored", notes=(note,)) for name in names]
    return [*done[:-1], done[-1]._replace(doubts=(*done[-1].doubts, *doubts))]


def _part(path: str, name: str, made: tuple[int, Patch]) -> marker.FileEdits:
    size, patch = made
    return marker.collect_edits(path, name, size, patch.edits)


def _made(name: str) -> tuple[int, Patch]:
    """The size of a file and its newest patch; raises `NotPatchable` where it was written to since,
    before any file of the checkpoint is touched.
    """
    with files.hold(name) as held:
        known = record.load(held.path)
        assert known is not None  # it is how the file was chosen
        top = steps.newest_step(known)
        read = lambda at, n: files.read_at(held.fd, n, at)  # noqa: E731 # of this file alone
        if known.size != held.stat.st_size or record.compare_patch(top, read) == "neither":
            raise record.refuse_undo(held.path, "the patched bytes have been written to since")
        return known.size, top
