"""The newest patch of a file, taken back.

Comes in: a path. Goes out: `Undone`. Promise: the bytes that the patch replaced are there again,
exactly; a file that has been written to since is refused, and nothing is ever guessed.

The undo record is written after the bytes: a crash in between leaves a record of a patch that the
file no longer holds, which is known by its bytes.
"""

import os
from typing import Literal, NamedTuple

from ..interrupted import strangers
from ..result import quote_for_repr
from . import files, journal, record, steps
from .apply import (
    Applied,
    Done,
    Mode,
    Verify,
    check_ready,
    drop_journal,
    make_copy,
    refuse_with,
    roll_back_now,
    sync_name,
    take_the_name,
    write_journaled,
)
from .clone import CopyProgress
from .edits import Edit
from .files import LockedFile
from .record import Patch, Record

UndoState = Literal["restored", "rolled-back", "dropped", "nothing"]


# An undo is a patch whose edits are inverse and whose record shrinks; the differences are in the
# order. A patch writes its record before the bytes, an undo after them: in either case a crash
# leaves the longer record, whose newest entry the bytes then confirm or deny.
class Undone(NamedTuple):
    """What was done.

    `restored`: the newest patch was taken back. `rolled-back`: a patch had been interrupted and
    what it had written was taken back. `dropped`: the record named a patch that never got as far as
    the file, or was undone already. `nothing`: there is no record. `remaining` patches can still be
    undone. `doubts` say what the disk would not confirm.
    """

    path: str
    state: UndoState
    remaining: int = 0
    applied: Applied | None = None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Undone {quote_for_repr(self.path)}: {self.state}, {self.remaining} steps left>"


def undo(
    path: str,
    *,
    mode: Literal["replace", "in-place"] = "replace",
    verify: Verify | None = None,
    progress: CopyProgress | None = None,
    sidecar: str | None = None,
) -> Undone:
    """Take back the newest patch of the file at `path`.

    `sidecar` names a journal or undo record that counts whoever owns it. Raises `NotPatchable`
    (kind `changed`) when the file does not hold what the patch wrote, `MalformedFile` for a damaged
    record, and whatever `apply` raises.
    """
    with files.hold(path) as first:
        recovered = journal.recover_held(first, _is(sidecar, journal.journal_path(first.path)))
        held = files.look_again(first)
        known = record.load(held.path, _is(sidecar, record.record_path(held.path)))
        kept = _check_record(held, known)
        notes = (*held.notes, *strangers(held.path))
        if kept and kept.patches and kept == known and _goes_on(recovered, kept):
            return _take_back(held, kept, mode, verify, progress, notes, recovered.doubts)
        files.sweep(held.path)
        if kept != known:
            record.store(held, kept)
            files.sync_folder(held.path)
        state: UndoState = "dropped" if kept != known else "nothing"
        if recovered.verdict not in ("none", "finished"):
            state = "rolled-back"
        left = steps.count_steps(kept)
        return Undone(held.path, state, left, None, notes, recovered.doubts)


def _is(sidecar: str | None, name: str) -> bool:
    """Whether the user named this sidecar on purpose."""
    return sidecar is not None and os.path.abspath(sidecar) == os.path.abspath(name)


# An interrupted in-place patch that was just rolled back *is* an undo in the user's eyes: taking
# back one more patch would go one too far. But if what was interrupted was an undo of the newest
# patch, rolling back has restored the patch, and the user still wants it undone.
def _goes_on(recovered: journal.Recovered, known: Record) -> bool:
    """Whether to take back the newest step now: not when rolling back an interrupted patch was
    already what was asked for.

    An interrupted undo of it is simply done again.
    """
    if recovered.verdict in ("none", "finished"):
        return True
    top = steps.newest_step(known)
    return journal.pack_edits(recovered.edits) == journal.pack_edits(inverse(top.edits))


def inverse(edits: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """The edits that take these back."""
    return tuple(Edit(e.at, e.new, e.old, f"undo: {e.reason}") for e in edits)


def _check_record(held: LockedFile, known: Record | None) -> Record | None:
    """The record less what never happened; raises unless the file holds the newest of the rest."""
    if known is None:
        return None
    if known.size != held.stat.st_size:
        raise record.refuse_undo(
            held.path, f"it is of a file of {known.size} bytes, and this has {held.stat.st_size}"
        )
    kept = steps.without_unmade(known, _reader(held))
    if kept.patches and record.compare_patch(steps.newest_step(kept), _reader(held)) != "made":
        raise record.refuse_undo(held.path, "the patched bytes have been written to since")
    return kept


def _reader(held: LockedFile) -> journal.Read:
    return lambda at, n: files.read_at(held.fd, n, at)


def _take_back(
    held: LockedFile,
    known: Record,
    mode: Mode,
    verify: Verify | None,
    progress: CopyProgress | None,
    notes: tuple[str, ...],
    doubts: tuple[str, ...],
) -> Undone:
    top, below = steps.newest_step(known), steps.below_step(known)
    edits = inverse(top.edits)
    check_ready(held, edits, held.identity)
    files.sweep(held.path)
    if mode == "in-place":
        done = _undo_in_place(held, edits, below, verify)
    else:
        done = _undo_replacing(held, edits, below, verify, progress)
    notes, doubts = (*notes, *_find_moved(held, top), *done.notes), (*doubts, *done.doubts)
    name = record.record_path(held.path)
    beside = name if os.path.lexists(name) else None
    applied = Applied(held.path, mode, done.method, edits, beside, notes, doubts)
    return Undone(held.path, "restored", steps.count_steps(below), applied, notes, doubts)


def _undo_replacing(
    held: LockedFile,
    edits: tuple[Edit, ...],
    below: Record,
    verify: Verify | None,
    progress: CopyProgress | None,
) -> Done:
    """A verified copy, durable, takes the file's name; then the record says so."""
    with files.temporary(held.path) as temp:
        method, notes = make_copy(held, temp, edits, verify, progress)
        new = os.fstat(temp.fd)
        take_the_name(held, temp)
        doubts = sync_name(held.path)
        doubts += _store(held, _renew(below, new.st_ino, new.st_mtime_ns))
        return Done(method, notes, doubts)


def _undo_in_place(
    held: LockedFile, edits: tuple[Edit, ...], below: Record, verify: Verify | None
) -> Done:
    """The journal, durable; then the bytes, durable; then the record says so; then the journal
    goes.
    """
    journal.begin(held, edits)
    try:
        write_journaled(held, edits, verify)
    except BaseException as error:
        refuse_with(error, roll_back_now(held, edits))
        raise
    doubts = _store(held, _renew(below, held.stat.st_ino, None))
    return Done("in-place", (), doubts + drop_journal(held))


def _store(held: LockedFile, below: Record) -> tuple[str, ...]:
    """The record as it is after the undo; what is not certain where that fails."""
    try:
        record.store(held, below)
        files.sync_folder(held.path)
    except OSError as error:
        return (
            f"the old bytes are written, but the undo record could not be brought up to date "
            f"({error.strerror}): the next run does it",
        )
    return ()


# The entry below describes the file "as the patch left it"; after this undo that is a new inode and
# time. Without the renewal the next undo would warn of a file that was moved.
def _renew(below: Record, inode: int, mtime_ns: int | None) -> Record:
    """The file as this undo leaves it is the file as the patch below left it."""
    if not below.patches:
        return below
    last = below.patches[-1]
    return Record(
        below.file, below.size, (*below.patches[:-1], last._replace(inode=inode, mtime_ns=mtime_ns))
    )


def _find_moved(held: LockedFile, top: Patch) -> list[str]:
    now = held.stat.st_ino, held.stat.st_mtime_ns
    if top.inode == now[0] and top.mtime_ns in (None, now[1]):
        return []
    return [
        "the file was copied, moved or written to since it was patched: only the patched bytes "
        "were compared"
    ]
