"""The marker of a patch that spreads over several files, kept until the last of them is done.

Comes in: the checkpoint's path, and the edits of its files before they are made; afterwards
whatever a crash left. Goes out: all files as they were. Promise: while only some of the files are
patched the marker lies there, durable, so that every command refuses the mixture, and
`recover_marker` takes all of it back from whatever state a crash can leave behind.

Each file by itself is written by `apply`, so it holds its old bytes, its new bytes, or has a
journal of its own. The marker holds both for every file. An undo writes the same marker as the
patch that it takes back: from either, the way out is the state before the patch.

Layout, little-endian: magic · the files, each (length of the name, size of the file, length of the
edits, name, edits as in a journal) · the SHA-256 of all that. A marker whose hash is wrong was
never finished; since no file is written before it is durable, none was touched.
"""

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal, NamedTuple

from ..errors import AuditError, NotPatchable, Unreadable
from ..interrupted import MARKER_TAIL, InterruptedPatch, believed, has_journal, strangers
from . import files, journal, steps
from .edits import Edit
from .files import LockedFile

MAGIC = b"lstm-audit patch 1\n"
PART = struct.Struct("<HQQ")
HASH = 32
MAX_MARKER = 64 << 20


# Why a marker beside the journals. A sharded checkpoint is patched file by file, and each file is
# atomic by itself; a crash between two files leaves each of them whole and the checkpoint mixed.
# The marker names all the edits of all the files before the first of them is written, and is
# removed after the last. As long as it lies there every command refuses the checkpoint.
#
# Recovery always goes backward. Going forward would need everything that verified the patch; going
# back needs only bytes that the marker holds. So the way out is the same from any state, and it can
# be interrupted and repeated: a file that has its old bytes is passed over.
class FileEdits(NamedTuple):
    """The edits of one file, by its name beside the checkpoint."""

    name: str
    size: int
    edits: tuple[Edit, ...]


def marker_path(path: str) -> str:
    """Where the marker of a checkpoint lies: beside the name that was given, where its other files
    are.
    """
    return files.sidecar(path, MARKER_TAIL)


def collect_edits(path: str, file: str, size: int, edits: Sequence[Edit]) -> FileEdits:
    """The part of one file of the checkpoint at `path`; raises `NotPatchable` for a file elsewhere.

    Markers are found by the checkpoint, so all its files must be found from there.
    """
    folder = os.path.join(os.path.dirname(path), "")
    name = file.removeprefix(folder)
    if not file.startswith(folder) or not _stays_below(name):
        raise NotPatchable(f"{file} does not lie beside {path}: patch a copy of the folder")
    return FileEdits(name, size, tuple(edits))


def _stays_below(name: str) -> bool:
    return bool(name) and not os.path.isabs(name) and ".." not in name.split(os.sep)


# The body's failure, whatever it is (KeyboardInterrupt too), takes back what was written; if that
# fails as well the marker is kept and named in the error, since it is now the only witness.
@contextmanager
def mark(path: str, parts: Sequence[FileEdits]) -> Iterator[list[str]]:
    """The marker, durable and locked while the body runs, and gone when it succeeds. If the body
    fails, what it has written is taken back; where that fails too, the marker stays.

    Yields a list, to which is added what the disk would not confirm.
    """
    doubts: list[str] = []
    fd = _begin(path, pack_marker(parts))
    try:
        try:
            yield doubts
        except BaseException:
            _take_all_back(path, parts)
            _drop(path)
            raise
        doubts += _drop(path)
    finally:
        os.close(fd)


# O_EXCL is the lock between two patches of one checkpoint: who creates the name has it. The flock
# beside it tells a crashed owner (the lock is gone) from a live one.
def _begin(path: str, data: bytes) -> int:
    try:
        return _create(path, data)
    except OSError as error:
        message = f"{marker_path(path)} cannot be written: {error.strerror}; nothing was changed"
        raise Unreadable(message) from error


def _create(path: str, data: bytes) -> int:
    name = marker_path(path)
    try:
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | files.NO_FOLLOW, 0o600)
    except FileExistsError:
        raise _in_the_way(path) from None
    except KeyboardInterrupt:  # it may fall between the call and its result
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    try:
        files.lock(fd)
        files.own_like(fd, os.stat(path))
        files.write_at(fd, data, 0)
        files.sync(fd)
        files.sync_folder(path)
    except BaseException:
        os.unlink(name)
        os.close(fd)
        raise
    return fd


def _in_the_way(path: str) -> AuditError:
    """The place of the marker is taken: by an interrupted patch, or by what does not count."""
    name = marker_path(path)
    taken = [said for said in strangers(path) if said.startswith(f"{name} ")]
    return NotPatchable(f"{taken[0]}: have it removed") if taken else InterruptedPatch(path)


def _take_all_back(path: str, parts: Sequence[FileEdits]) -> None:
    """Raises where that fails, so that the marker is kept."""
    try:
        for part in reversed(parts):
            take_back(os.path.join(os.path.dirname(path), part.name), part)
    except (OSError, Unreadable, NotPatchable) as error:
        raise Kept(path) from error


class Kept(Unreadable):
    """Some files are patched and some are not, and the marker says so."""

    def __init__(self, path: str) -> None:
        message = (
            f"only a part of the files of {path} is patched, and that could not be taken back: "
            "`lstm-audit undo` does it"
        )
        super().__init__(message, kind="interrupted-patch")


def _drop(path: str) -> list[str]:
    """Remove the marker; what the disk would not confirm, in a sentence."""
    try:
        os.unlink(marker_path(path))
    except OSError as error:
        message = (
            f"{marker_path(path)} cannot be removed ({error.strerror}), and as long as it is there "
            f"the patch counts as interrupted: `lstm-audit undo {path}` takes it back"
        )
        raise Unreadable(message, kind="interrupted-patch") from error
    try:
        files.sync_folder(path)
    except OSError as error:
        return [
            f"the folder could not be synced ({error.strerror}): after a power cut the marker may "
            "be back, and `lstm-audit undo` would take the patch back"
        ]
    return []


def pack_marker(parts: Sequence[FileEdits]) -> bytes:
    """The marker's bytes; raises `NotPatchable` where they are too many."""
    import hashlib  # 4 ms that a single file spares

    body = bytearray(MAGIC)
    for part in parts:
        name, edits = os.fsencode(part.name), journal.pack_edits(part.edits)
        body += PART.pack(len(name), part.size, len(edits)) + name + edits
    if len(body) + HASH > MAX_MARKER:
        raise NotPatchable("too much changes for one patch of several files: use --layers")
    return bytes(body) + hashlib.sha256(body).digest()


# As with a journal a wrong hash means "never finished, nothing was touched"; a right hash over
# something else means that another program wrote it, and it is left alone.
def parse_marker(data: bytes) -> tuple[FileEdits, ...] | None:
    """The parts, or None when the marker was never finished; raises `Unreadable` where its hash is
    right and the rest is not.
    """
    import hashlib  # 4 ms that a single file spares

    body = data[:-HASH]
    if len(data) < HASH or hashlib.sha256(body).digest() != data[-HASH:]:
        return None
    try:
        if not body.startswith(MAGIC):
            raise ValueError("another magic")
        return tuple(_parts(body, len(MAGIC)))
    except (struct.error, ValueError) as error:
        raise _foreign(str(error)) from error


# Names are checked to stay below the checkpoint's folder: the marker is read from a folder that may
# have been downloaded, and must not be able to point at other files.
def _parts(body: bytes, at: int) -> Iterator[FileEdits]:
    while at < len(body):
        name_size, size, edits_size = PART.unpack_from(body, at)
        at += PART.size
        if name_size + edits_size > len(body) - at:
            raise ValueError("a part is longer than the marker")
        name = os.fsdecode(body[at : at + name_size])
        at += name_size
        if not _stays_below(name) or "\0" in name:
            raise ValueError(f"it names {name!r}, which is no file beside the checkpoint")
        yield FileEdits(name, size, journal.unpack_edits(body[at : at + edits_size]))
        at += edits_size


def _foreign(why: str) -> Unreadable:
    return Unreadable(
        f"a patch of several files was interrupted and its marker does not fit them ({why}); "
        f"remove the hidden .{MARKER_TAIL} beside the checkpoint if the files are good as they are",
        kind="interrupted-patch",
    )


# A marker is believed only if its owner is the user or the file's owner (`believed`): in a shared
# folder anybody could otherwise plant one, and have this program "restore" bytes of their choice.
# `on_purpose` is for the user who names it.
def recover_marker(path: str, on_purpose: bool = False) -> bool:
    """Take back what an interrupted patch of several files has written; False where there was none.

    Raises `Unreadable` where another process is at it, or a file holds neither its old bytes nor
    its new ones; then the marker stays.
    """
    name = marker_path(path)
    try:
        fd = os.open(name, os.O_RDWR | os.O_NONBLOCK | files.NO_FOLLOW)
    except OSError:
        return False
    try:
        if not (on_purpose or believed(os.fstat(fd).st_uid, os.stat(path).st_uid)):
            return False
        if not files.lock(fd):
            raise Unreadable("another process patches this checkpoint: try again when it is done")
        data = files.read_sidecar(name, os.stat(path).st_uid, MAX_MARKER, on_purpose)
        parts = parse_marker(data or b"")
        for part in parts or ():
            take_back(os.path.join(os.path.dirname(path), part.name), part)
        doubts = _drop(path)
    except OSError as error:
        raise Unreadable(
            f"{error.strerror}; the marker {name} stays until all is taken back",
            kind="interrupted-patch",
        ) from error
    finally:
        os.close(fd)
    if doubts:
        raise Unreadable("; ".join(doubts))
    return True


Standing = Literal["old", "new", "neither"]


def compare_part(held: LockedFile, part: FileEdits) -> Standing:
    """What the file holds, as far as the part is concerned."""
    if held.stat.st_size == part.size:
        now = [files.read_at(held.fd, len(edit.old), edit.at) for edit in part.edits]
        if now == [edit.old for edit in part.edits]:
            return "old"
        if now == [edit.new for edit in part.edits]:
            return "new"
    return "neither"


# Two holds: the first, for reading, settles the usual case in which this file was never reached.
# The second recovers a journal that the crash left, and must look again afterwards, since that may
# have changed what the file holds. The bytes are taken back under a new journal, as a patch would
# write them.
def take_back(file: str, part: FileEdits) -> None:
    """Bring one file to its old bytes, in place and under a journal of its own, and its undo record
    with it. Raises `Unreadable` where it holds neither the old nor the new ones.
    """
    with files.hold(file, write=False) as held:
        if compare_part(held, part) == "old" and not has_journal(held.path):
            steps.tidy(held)
            return
    with files.hold(file) as first:
        journal.recover_held(first)
        held = files.look_again(first)
        found = compare_part(held, part)
        if found == "neither":
            raise _foreign(f"{part.name} has been written to since")
        if found == "new":
            inverse = [Edit(e.at, e.new, e.old, "taken back") for e in part.edits]
            journal.begin(held, inverse)
            files.sync_folder(held.path)
            for edit in inverse:
                files.write_at(held.fd, edit.new, edit.at)
            files.sync(held.fd)
            journal.remove_journal(held)
        steps.tidy(held)
