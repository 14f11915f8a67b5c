"""The rollback journal of an in-place patch: what the bytes were, durable before the first of them
changes.

Comes in: edits, before they are made; afterwards whatever a crash left. Goes out: the file as it
was, or as it was to be. Promise: from every state that a crash can leave behind, `recover` reaches
the old bytes or the new ones, or refuses and keeps the journal. (The idea is SQLite's: "Atomic
Commit In SQLite", hot rollback journals.)

Layout, little-endian: magic · device, inode, size, mtime of the target (information) · the edits,
each (at, length, old, new) · the SHA-256 of all that. A journal whose hash is wrong was never
finished, and since the target is written only after the journal is durable, the target was never
touched.
"""

import os
import stat
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal

from ..errors import NotPatchable, Unreadable
from ..interrupted import TAIL
from ..interrupted import hot as hot
from ..interrupted import interrupted as interrupted
from . import files
from .edits import Edit
from .files import Held

MAGIC = b"lstm-audit journal 1\n"
HEAD = struct.Struct("<QQQq")
RECORD = struct.Struct("<QQ")
HASH = 32
MAX_JOURNAL = 64 << 20  # bytes; every one of them is held in memory

Verdict = Literal["none", "dropped", "untouched", "finished", "rolled-back", "refused"]
"""What recovery does: no journal · an unfinished one removed · every byte is old · every byte is
new · old bytes are written again · the file holds something else.
"""

Read = Callable[[int, int], bytes]


def name_of(path: str) -> str:
    """Where the journal of a (resolved) file lies."""
    return files.sidecar(path, TAIL)


def packed(edits: Sequence[Edit]) -> bytes:
    """The places and bytes of edits, without their reasons."""
    return b"".join(RECORD.pack(e.at, len(e.old)) + e.old + e.new for e in edits)


def journal_of(identity: files.Identity, edits: Sequence[Edit]) -> bytes:
    """The journal's bytes; raises `NotPatchable` for edits that are too many to be journaled."""
    import hashlib

    device, inode, size, mtime = identity
    body = (
        MAGIC
        + HEAD.pack(device & (1 << 64) - 1, inode & (1 << 64) - 1, size, mtime)
        + packed(edits)
    )
    if len(body) + HASH > MAX_JOURNAL:
        raise NotPatchable("too much changes for an --in-place patch: leave --in-place out")
    return body + hashlib.sha256(body).digest()


def read_journal(data: bytes) -> tuple[int, tuple[Edit, ...]] | None:
    """(size of the target, edits), or None when the journal was never finished.

    Raises `Unreadable` when the hash is right and the rest is not: then it is not ours to
    interpret.
    """
    import hashlib

    body = data[:-HASH]
    if len(data) < HASH or hashlib.sha256(body).digest() != data[-HASH:]:
        return None
    try:
        if not body.startswith(MAGIC):
            raise ValueError("another magic")
        return HEAD.unpack_from(body, len(MAGIC))[2], _unpacked(body, len(MAGIC) + HEAD.size)
    except (struct.error, ValueError) as error:
        raise _foreign(str(error)) from error


def _unpacked(body: bytes, k: int) -> tuple[Edit, ...]:
    edits = []
    while k < len(body):
        at, n = RECORD.unpack_from(body, k)
        k += RECORD.size
        if n > (len(body) - k) // 2:
            raise ValueError("a record is longer than the journal")
        edits.append(Edit(at, body[k : k + n], body[k + n : k + 2 * n], "journal"))
        k += 2 * n
    return tuple(edits)


def judge(journal: bytes | None, size: int, read: Read) -> tuple[Verdict, tuple[Edit, ...]]:
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


def recover(path: str) -> Verdict:
    """Bring the file out of an interrupted in-place patch and say what that took; `none` when there
    was none.

    Raises `Unreadable`: kind `interrupted-patch` when the file holds neither the old nor the new
    bytes (the journal stays), `io` when the file is locked by a patch that is running.
    """
    if not hot(path):
        return "none"
    with files.hold(path) as held:
        return recover_held(held)[0]


def recover_held(held: Held) -> tuple[Verdict, tuple[Edit, ...]]:
    """As `recover`, for whoever has the lock; with the edits that were interrupted, as far as they
    are known.
    """
    journal = _stored(held)
    verdict, edits = judge(journal, held.stat.st_size, lambda at, n: files.read_at(held.fd, n, at))
    if verdict == "none":
        return verdict, ()
    if verdict == "refused":
        raise _foreign("it has been written to since")
    if verdict == "rolled-back":
        roll_back(held.fd, edits)
    # What reads as all old or all new may be so in memory only: without this a power cut could
    # still tear it
    if verdict != "dropped":
        files.sync(held.fd)
    drop(held)
    return verdict, edits


def _stored(held: Held) -> bytes | None:
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | files.NO_FOLLOW
    try:
        fd = os.open(name_of(held.path), flags)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_JOURNAL:
            raise _foreign("the journal is no file that this tool wrote")
        return files.read_at(fd, found.st_size, 0)
    finally:
        os.close(fd)


def _foreign(why: str) -> Unreadable:
    message = (
        f"an --in-place patch was interrupted and its journal does not fit the file ({why}); "
        "nothing was restored: "
        "remove the hidden .lstm-audit-journal beside it if the file is good as it is"
    )
    return Unreadable(message, kind="interrupted-patch")


def begin(held: Held, edits: Sequence[Edit]) -> None:
    """Write the journal; it counts once the folder is synced, which is left to the caller
    (`files.sync_folder`).
    """
    data = journal_of(held.identity, edits)
    with files.created(name_of(held.path)) as fd:
        files.write_at(fd, data, 0)
        files.sync(fd)


def roll_back(fd: int, edits: Sequence[Edit]) -> None:
    """Write the old bytes where they are not; they count once the file is synced, which is left to
    the caller.
    """
    for edit in edits:
        if files.read_at(fd, len(edit.old), edit.at) != edit.old:
            files.write_at(fd, edit.old, edit.at)


def drop(held: Held) -> None:
    """The patch is finished or undone: remove the journal. (Should it come back after a crash, it
    changes nothing.)
    """
    with suppress(FileNotFoundError):
        os.unlink(name_of(held.path))
    with suppress(OSError):
        files.sync_folder(held.path)
