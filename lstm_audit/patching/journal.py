"""The rollback journal of an in-place patch: what the bytes were, durable before the first of them
changes.

Comes in: edits, before they are made; afterwards whatever a crash left. Goes out: the file as it
was, or as it was to be. Promise: from every state that a crash can leave behind, `recover_journal`
reaches the old bytes or the new ones, or refuses and keeps the journal. (The idea is SQLite's:
"Atomic Commit In SQLite", hot rollback journals.)

Layout, little-endian: magic · device, inode, size, mtime of the target (information) · the edits,
each (at, length, old, new) · the SHA-256 of all that. A journal whose hash is wrong was never
finished, and since the target is written only after the journal is durable, the target was never
touched.
"""

import os
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from ..errors import MalformedFile, NotPatchable, Unreadable
from ..interrupted import TAIL, strangers
from ..interrupted import hot as hot
from . import files
from .edits import Edit
from .files import LockedFile

MAGIC = b"lstm-audit journal 1\n"
HEAD = struct.Struct("<QQQq")
RECORD = struct.Struct("<QQ")
HASH = 32
MAX_JOURNAL = 64 << 20  # bytes; every one of them is held in memory

# What recovery does: no journal · an unfinished one removed · every byte is old · every byte is new
# · old bytes are written again · the file holds something else.
Verdict = Literal["none", "dropped", "untouched", "finished", "rolled-back", "refused"]

Read = Callable[[int, int], bytes]


def journal_path(path: str) -> str:
    """Where the journal of a (resolved) file lies."""
    return files.sidecar(path, TAIL)


def pack_edits(edits: Sequence[Edit]) -> bytes:
    """The places and bytes of edits, without their reasons."""
    return b"".join(RECORD.pack(e.at, len(e.old)) + e.old + e.new for e in edits)


def journal_of(identity: files.FileIdentity, edits: Sequence[Edit]) -> bytes:
    """The journal's bytes; raises `NotPatchable` for edits that are too many to be journaled."""
    import hashlib  # 4 ms that a copy without a journal spares

    device, inode, size, mtime = identity
    body = (
        MAGIC
        + HEAD.pack(device & (1 << 64) - 1, inode & (1 << 64) - 1, size, mtime)
        + pack_edits(edits)
    )
    if len(body) + HASH > MAX_JOURNAL:
        raise NotPatchable("too much changes for an --in-place patch: leave --in-place out")
    return body + hashlib.sha256(body).digest()


def read_journal(data: bytes) -> tuple[int, tuple[Edit, ...]] | None:
    """(size of the target, edits), or None when the journal was never finished.

    Raises `Unreadable` when the hash is right and the rest is not: then it is not ours to
    interpret.
    """
    import hashlib  # 4 ms that a copy without a journal spares

    body = data[:-HASH]
    if len(data) < HASH or hashlib.sha256(body).digest() != data[-HASH:]:
        return None
    try:
        if not body.startswith(MAGIC):
            raise ValueError("another magic")
        return HEAD.unpack_from(body, len(MAGIC))[2], unpack_edits(body[len(MAGIC) + HEAD.size :])
    except (struct.error, ValueError) as error:
        raise _foreign(str(error)) from error


def unpack_edits(body: bytes) -> tuple[Edit, ...]:
    """The edits in `body`; raises ValueError or `struct.error` where it is no list of edits."""
    edits, k = [], 0
    while k < len(body):
        at, n = RECORD.unpack_from(body, k)
        k += RECORD.size
        if n > (len(body) - k) // 2:
            raise ValueError("a record is longer than the journal")
        edits.append(Edit(at, body[k : k + n], body[k + n : k + 2 * n], "journal"))
        k += 2 * n
    return tuple(edits)


# Pure, so that the property tests can try every mixture without a disk. Bytes are compared one by
# one because a disk may write any part of a sector, not because it usually does.
def judge_journal(journal: bytes | None, size: int, read: Read) -> tuple[Verdict, tuple[Edit, ...]]:
    """What is to be done about a journal, given the target's size and bytes; touches nothing.

    A torn write may leave any mixture, but each byte is then still the old or the new one; anything
    else was written by somebody else, and to "restore" that would destroy it.
    """
    if journal is None:
        return "none", ()
    known = read_journal(journal)
    if known is None:
        return "dropped", ()
    was, edits = known
    if was != size or any(e.end > size for e in edits):
        return "refused", edits
    now = [read(e.at, len(e.old)) for e in edits]
    if all(n == e.new for n, e in zip(now, edits, strict=True)):
        return "finished", edits
    if all(n == e.old for n, e in zip(now, edits, strict=True)):
        return "untouched", edits
    mixed = all(
        b in pair
        for n, e in zip(now, edits, strict=True)
        for b, *pair in zip(n, e.old, e.new, strict=True)
    )
    return ("rolled-back" if mixed else "refused"), edits


# The state machine, by what a crash leaves on disk:
#
#   journal              target                 verdict       what is done
#   ------------------   --------------------   -----------   -----------------------------------
#   none                 any                    none          nothing
#   hash wrong           old (never touched)    dropped       the journal is removed
#   whole                all bytes old          untouched     synced, the journal is removed
#   whole                all bytes new          finished      synced, the journal is removed
#   whole                old and new mixed      rolled-back   old bytes written, synced, removed
#   whole                anything else          refused       nothing; the journal stays
#
# The trap is in the fourth and third rows: what reads as all new may stand in the page cache only.
# Without a sync before the journal goes, a power cut could tear the file with no journal left.
class Recovered(NamedTuple):
    """What was done about a journal, the edits that were interrupted, as far as they are known, and
    what the disk would not confirm.
    """

    verdict: Verdict
    edits: tuple[Edit, ...] = ()
    doubts: tuple[str, ...] = ()


def recover_journal(path: str) -> Verdict:
    """Bring the file out of an interrupted in-place patch and say what that took; `none` when there
    was none.

    Raises `Unreadable`: kind `interrupted-patch` when the file holds neither the old nor the new
    bytes (the journal stays), `io` when the file is locked by a patch that is running.
    """
    if not os.path.lexists(journal_path(os.path.realpath(path))):
        return "none"
    with files.hold(path) as held:
        found = recover_held(held)
    if found.doubts:
        raise Unreadable("; ".join(found.doubts))
    return found.verdict


# The journal is looked at only under the file's lock: a live patch has a hot journal too, and
# rolling that back under its feet would be the very damage that journals are there to prevent.
def recover_held(held: LockedFile, on_purpose: bool = False) -> Recovered:
    """As `recover_journal`, for whoever has the lock."""
    journal = _read_stored(held, on_purpose)
    verdict, edits = judge_journal(
        journal, held.stat.st_size, lambda at, n: files.read_at(held.fd, n, at)
    )
    if verdict == "none":
        return Recovered(verdict)
    if verdict == "refused":
        raise _foreign("it has been written to since")
    try:
        if verdict == "rolled-back":
            restore_old_bytes(held.fd, edits)
        # What reads as all old or all new may be so in memory only: without this a power cut could
        # still tear it
        if verdict != "dropped":
            files.sync(held.fd)
    except OSError as error:
        raise _refuse_unconfirmed(error) from error
    return Recovered(verdict, edits, remove_journal(held))


def _refuse_unconfirmed(error: OSError) -> Unreadable:
    message = (
        f"an --in-place patch was interrupted, and the disk would not confirm its old bytes "
        f"({error.strerror}); the journal stays: run `lstm-audit undo` once more"
    )
    return Unreadable(message, kind="interrupted-patch")


def _read_stored(held: LockedFile, on_purpose: bool) -> bytes | None:
    try:
        return files.read_sidecar(
            journal_path(held.path), held.stat.st_uid, MAX_JOURNAL, on_purpose
        )
    except MalformedFile as error:
        raise _foreign("it is no file that this tool wrote") from error


def _foreign(why: str) -> Unreadable:
    message = (
        f"an --in-place patch was interrupted and its journal does not fit the file ({why}); "
        "nothing was restored: "
        "remove the hidden .lstm-audit-journal beside it if the file is good as it is"
    )
    return Unreadable(message, kind="interrupted-patch")


# Order is the whole point: contents, then sync of the journal, then (by the caller) sync of the
# folder that names it; only then may a byte of the target change. Missing the folder's sync, a
# power cut could keep the changed target and lose the journal's name.
def begin(held: LockedFile, edits: Sequence[Edit]) -> None:
    """Write the journal; it counts once the folder is synced, which is left to the caller
    (`files.sync_folder`).
    """
    data = journal_of(held.identity, edits)
    name = journal_path(held.path)
    taken = [said for said in strangers(held.path) if said.startswith(f"{name} ")]
    if taken:
        raise NotPatchable(f"{taken[0]}: leave --in-place out, or have it removed")
    with files.create(name) as fd:
        files.own_like(fd, held.stat)
        files.write_at(fd, data, 0)
        files.sync(fd)


# Bytes that are old already are not written again: a rollback after a torn write touches only what
# was torn, and one that is itself interrupted can simply be run again.
def restore_old_bytes(fd: int, edits: Sequence[Edit]) -> None:
    """Write the old bytes where they are not; they count once the file is synced, which is left to
    the caller.
    """
    for edit in edits:
        if files.read_at(fd, len(edit.old), edit.at) != edit.old:
            files.write_at(fd, edit.old, edit.at)


def remove_journal(held: LockedFile) -> tuple[str, ...]:
    """The patch is finished or undone: remove the journal. What the disk would not confirm is
    returned in a sentence.
    """
    with suppress(FileNotFoundError):
        os.unlink(journal_path(held.path))
    try:
        files.sync_folder(held.path)
    except OSError as error:
        return (
            f"the folder could not be synced ({error.strerror}): the bytes are durable, but after "
            "a power cut the journal may be back, and `lstm-audit undo` must remove it",
        )
    return ()
