"""The newest patch of a file, taken back.

Comes in: a path. Goes out: `Undone`. Promise: the bytes that the patch replaced are there again,
exactly; a file that has been written to since is refused, and nothing is ever guessed.
"""

import os
from typing import Literal, NamedTuple

from . import files, journal, record
from .apply import Applied, Job, Ledger, Mode, Verify, check_ready, write
from .clone import Progress
from .edits import Edit
from .files import Held
from .record import Patch, Record

State = Literal["restored", "rolled-back", "dropped", "nothing"]


class Undone(NamedTuple):
    """What was done.

    `restored`: the newest patch was taken back. `rolled-back`: an in-place patch had been
    interrupted and the file is as it was before it. `dropped`: the record named a patch that never
    got as far as the file, or was undone already. `nothing`: there is no record. `remaining`
    patches can still be undone.
    """

    path: str
    state: State
    remaining: int = 0
    applied: Applied | None = None
    notes: tuple[str, ...] = ()


def undo(
    path: str,
    *,
    mode: Literal["replace", "in-place"] = "replace",
    verify: Verify | None = None,
    progress: Progress | None = None,
) -> Undone:
    """Take back the newest patch of the file at `path`.

    Raises `NotPatchable` (kind `changed`) when the file does not hold what the patch wrote,
    `MalformedFile` for a damaged record, and whatever `apply` raises.
    """
    with files.hold(path) as held:
        recovered, interrupted = journal.recover_held(held)
        known = record.load(held.path)
        held = Held(held.path, held.fd, os.fstat(held.fd), held.notes)  # recovery may have written
        kept = _checked(held, known)
        if (
            kept
            and kept.patches
            and kept == known
            and _goes_on(recovered, interrupted, kept.patches[-1])
        ):
            return _taken_back(held, kept, mode, verify, progress)
        files.sweep(held.path)
        if kept != known:
            record.store(held, kept)
            files.sync_folder(held.path)
        state: State = "dropped" if kept != known else "nothing"
        if recovered not in ("none", "finished"):
            state = "rolled-back"
        return Undone(held.path, state, len(kept.patches) if kept else 0, None, held.notes)


def _goes_on(recovered: journal.Verdict, interrupted: tuple[Edit, ...], top: Patch) -> bool:
    """Whether to take back `top` now: not when rolling back an interrupted patch was already what
    was asked for.

    An interrupted undo of `top` is simply done again.
    """
    return recovered in ("none", "finished") or journal.packed(interrupted) == journal.packed(
        _inverse(top)
    )


def _inverse(patch: Patch) -> tuple[Edit, ...]:
    return tuple(Edit(e.at, e.new, e.old, f"undo: {e.reason}") for e in patch.edits)


def _checked(held: Held, known: Record | None) -> Record | None:
    """The record less what never happened; raises unless the file holds the newest of the rest."""
    if known is None:
        return None
    if known.size != held.stat.st_size:
        raise record.refusal(
            held.path, f"it is of a file of {known.size} bytes, and this has {held.stat.st_size}"
        )
    kept = record.without_unmade(known, _reader(held))
    if kept.patches and record.standing(kept.patches[-1], _reader(held)) != "made":
        raise record.refusal(held.path, "the patched bytes have been written to since")
    return kept


def _reader(held: Held) -> record.Read:
    return lambda at, n: files.read_at(held.fd, n, at)


def _taken_back(
    held: Held, known: Record, mode: Mode, verify: Verify | None, progress: Progress | None
) -> Undone:
    top, below = known.patches[-1], Record(known.file, known.size, known.patches[:-1])
    edits = _inverse(top)
    check_ready(held, edits, held.identity)
    ledger = Ledger(known, lambda inode, mtime: _renewed(below, inode, mtime), first=False)
    applied = write(held, edits, mode, Job(verify, progress, ledger), _moved(held, top))
    return Undone(held.path, "restored", len(below.patches), applied, applied.notes)


def _renewed(below: Record, inode: int, mtime_ns: int | None) -> Record:
    """The file as this undo leaves it is the file as the patch below left it."""
    if not below.patches:
        return below
    last = below.patches[-1]
    return Record(
        below.file, below.size, (*below.patches[:-1], last._replace(inode=inode, mtime_ns=mtime_ns))
    )


def _moved(held: Held, top: Patch) -> list[str]:
    now = held.stat.st_ino, held.stat.st_mtime_ns
    if top.inode == now[0] and top.mtime_ns in (None, now[1]):
        return []
    return [
        "the file was copied, moved or written to since it was patched: only the patched bytes "
        "were compared"
    ]
