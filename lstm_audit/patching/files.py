"""Which file is meant, whether it may be written, and who else is at it.

Comes in: a path as the user gave it. Goes out: `LockedFile`, the resolved file, open and locked,
and the few durable steps that writing is made of. Promise: what must not be written (a hub cache's
blob, a read-only file, one that another patch holds or that has changed since it was read) is
refused here, before a byte is written anywhere.
"""

import errno
import fcntl
import os
import re
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from ..errors import MalformedFile, NotPatchable, Unreadable
from ..interrupted import believed
from ..interrupted import sidecar as sidecar

# (device, inode, size, mtime in ns), as `FileSource.identity` gives it.
FileIdentity = tuple[int, int, int, int]

ANYONE_WRITES = 0o222
NO_FOLLOW = os.O_NOFOLLOW | os.O_CLOEXEC
HUB_FOLDER = re.compile(
    r"(?:models|datasets|spaces)--.+"
)  # huggingface_hub/file_download.py, repo_folder_name
HUB_BLOB = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # git's sha1 of small files, sha256 of LFS ones


class LockedFile(NamedTuple):
    """A resolved file that this process has open and locked, as it was when it was locked."""

    path: str
    fd: int
    stat: os.stat_result
    notes: tuple[str, ...] = ()

    @property
    def identity(self) -> FileIdentity:
        """As `FileSource.identity`."""
        return identity_of(self.stat)


class Temp(NamedTuple):
    """A new file, open and locked, that nobody else knows of yet."""

    path: str
    fd: int


def identity_of(found: os.stat_result) -> FileIdentity:
    """The four numbers that a changed file does not keep."""
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@contextmanager
def hold(path: str, write: bool = True) -> Iterator[LockedFile]:
    """Open and lock the file that `path` means; without `write`, only against those who write in
    place.

    Raises `NotPatchable` or `Unreadable`. An `OSError` of the body is turned into one: whoever has
    written to the file raises none, but says what became of it.
    """
    try:
        resolved = os.path.realpath(path)
        fd = _open_file(resolved, write)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise Unreadable(f"cannot open: {reason}") from error
    notes = (f"{path} is a symbolic link to {resolved}",) if os.path.islink(path) else ()
    try:
        yield LockedFile(resolved, fd, _lock_named(fd, resolved, write), notes)
    except OSError as error:
        name = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        raise Unreadable(f"{name}{error.strerror or error}") from error
    finally:
        os.close(fd)


def look_again(held: LockedFile) -> LockedFile:
    """The same file with what is known of it now, after we have written to it."""
    return held._replace(stat=os.fstat(held.fd))


def refuse_hub_blob(resolved: str) -> None:
    """A content-addressed file is named by its hash: new bytes under the old name would poison the
    cache.
    """
    folder, name = os.path.split(resolved)
    above, blobs = os.path.split(folder)
    in_hub = HUB_FOLDER.fullmatch(os.path.basename(above)) is not None
    if blobs == "blobs" and (in_hub or HUB_BLOB.fullmatch(name)):
        raise NotPatchable(
            "it is a blob of a hub cache, named by its content and shared: patch a copy with "
            "--output"
        )


def refuse_writing(path: str) -> None:
    """Raise where a write would be refused, whatever was to be written."""
    resolved = os.path.realpath(path)
    refuse_hub_blob(resolved)
    try:
        _refuse_read_only(resolved)
    except OSError as error:
        raise Unreadable(f"cannot open: {error.strerror}") from None


def refuse_hard_links(found: os.stat_result) -> None:
    """A replacement would take one name away from the others."""
    if found.st_nlink > 1:
        raise NotPatchable(
            "it has more than one name (hard links), which a replacement would part: use --in-place"
        )


def _refuse_read_only(resolved: str) -> None:
    """By the mode bits as well, which root would not notice."""
    if not os.stat(resolved).st_mode & ANYONE_WRITES or not os.access(resolved, os.W_OK):
        raise NotPatchable("it is read-only: make it writable first, or use --output")
    folder = os.path.dirname(resolved)
    if not os.stat(folder).st_mode & ANYONE_WRITES or not os.access(folder, os.W_OK):
        raise NotPatchable(
            f"the folder {folder} is read-only, so no safe copy can be made there: use --output"
        )


def _open_file(resolved: str, write: bool) -> int:
    """Without waiting: opening a FIFO would hang."""
    if write:
        refuse_hub_blob(resolved)
        _refuse_read_only(resolved)
    flags = (os.O_RDWR if write else os.O_RDONLY) | os.O_NONBLOCK | NO_FOLLOW
    fd = os.open(resolved, flags)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Unreadable("not a regular file")
    return fd


def _lock_named(fd: int, resolved: str, write: bool) -> os.stat_result:
    """Whoever waited for a lock on a file that was then renamed over holds the wrong inode: look
    again.
    """
    if not lock(fd, exclusive=write):
        raise Unreadable(
            "another process holds this file's lock (a patch that is running?): try again when it "
            "is done"
        )
    now = os.fstat(fd)
    if identity_of(os.stat(resolved)) != identity_of(now):
        raise Unreadable("the file changed while it was being opened: try again", kind="changed")
    return now


def lock(fd: int, exclusive: bool = True) -> bool:
    """Take the advisory lock now or not at all; it ends with the descriptor, so a killed run leaves
    none.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def check_unchanged(held: LockedFile, identity: FileIdentity) -> None:
    """Raise `Unreadable` (kind `changed`) unless path and descriptor are the file that `identity`
    was taken of.
    """
    for now in (os.fstat(held.fd), os.stat(held.path)):
        if identity_of(now) != identity:
            raise Unreadable(
                "the file changed since it was read; nothing was written: try again", kind="changed"
            )


@contextmanager
def temporary(beside: str) -> Iterator[Temp]:
    """A new locked file in the folder of `beside`; when the body fails it is gone again."""
    path = sidecar(beside, f"lstm-audit-{os.urandom(6).hex()}.tmp")
    with create(path) as fd:
        lock(fd)
        yield Temp(path, fd)


@contextmanager
def create(path: str) -> Iterator[int]:
    """A new file, open for as long as the body runs, and gone again when the body fails."""
    fd = -1
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o600)
        yield fd
    except BaseException as error:
        if fd >= 0 or not isinstance(
            error, FileExistsError
        ):  # an interrupt may fall between the call and its result
            with suppress(
                OSError
            ):  # the failure that brought us here says more; the next run sweeps
                os.unlink(path)
        raise
    finally:
        if fd >= 0:
            os.close(fd)


def read_sidecar(name: str, owner: int, most: int, on_purpose: bool = False) -> bytes | None:
    """The bytes of a sidecar of a file that `owner` owns; None where there is none that counts.

    A link is never followed. Somebody else's counts only where the user names it `on_purpose`.
    Raises `MalformedFile` for what is no file of at most `most` bytes.
    """
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | NO_FOLLOW)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise
    try:
        found = os.fstat(fd)
        if not (on_purpose or believed(found.st_uid, owner)):
            return None
        if not stat.S_ISREG(found.st_mode) or found.st_size > most:
            message = f"{os.path.basename(name)} is no regular file of at most {most} bytes"
            raise MalformedFile(message)
        return read_at(fd, found.st_size, 0)
    finally:
        os.close(fd)


def own_like(fd: int, like: os.stat_result) -> None:
    """Give a sidecar the owner of its file, so that others believe it too: what root leaves beside
    a user's file is the user's. Who may not, keeps it.
    """
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) != (like.st_uid, like.st_gid):
        with suppress(PermissionError):
            os.fchown(fd, like.st_uid, like.st_gid)


def sweep(path: str) -> None:
    """Remove the temporary files that killed runs left beside `path`; one that is locked is in use
    and stays, and so does another user's.
    """
    folder, name = os.path.split(path)
    ours = re.compile(rf"\.{re.escape(name)}\.lstm-audit-[0-9a-f]{{12}}\.tmp")
    with os.scandir(folder or ".") as entries:
        stale = [
            e.path for e in entries if ours.fullmatch(e.name) and e.is_file(follow_symlinks=False)
        ]
    for temp in stale:
        with suppress(OSError):  # another user's, or gone already: it is in nobody's way
            _remove_if_free(temp, path)


def _remove_if_free(temp: str, path: str) -> None:
    fd = os.open(temp, os.O_RDONLY | os.O_NONBLOCK | NO_FOLLOW)
    try:
        owner = os.stat(path).st_uid if os.path.exists(path) else os.geteuid()
        if not believed(os.fstat(fd).st_uid, owner):
            return
        # a run killed between link and unlink leaves a second name of the finished file, which may
        # itself be locked
        if (os.path.exists(path) and os.path.samestat(os.fstat(fd), os.stat(path))) or lock(fd):
            os.unlink(temp)
    finally:
        os.close(fd)


def write_at(fd: int, data: bytes | memoryview, at: int) -> None:
    """All of `data`; `pwrite` may write less than it was given."""
    view = memoryview(data)
    while view:
        n = os.pwrite(fd, view, at)
        if not n:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        view, at = view[n:], at + n


def read_at(fd: int, n: int, at: int) -> bytes:
    """`n` bytes, or fewer at the end of the file."""
    data = os.pread(fd, n, at)
    while len(data) < n and (more := os.pread(fd, n - len(data), at + len(data))):
        data += more
    return data


def sync(fd: int) -> None:
    """Down to the medium; on macOS `fsync` stops at the drive's cache (Apple's fsync(2) names
    F_FULLFSYNC).
    """
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
        except OSError:
            pass  # a file system without it: fsync is the best there is
    os.fsync(fd)


def sync_folder(path: str) -> None:
    """Make the names in the folder of `path` durable, where the file system knows how."""
    fd = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(fd)


def find_mappers(path: str) -> list[str]:
    """Processes that have the file mapped, as `name (pid)`: they would see an in-place patch at
    once.

    Best effort: only what /proc shows of the processes that this user may look at.
    """
    found = os.stat(path)
    numbers = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x} {found.st_ino} ".encode()
    name = b" " + os.fsencode(os.path.realpath(path)) + b"\n"
    try:
        pids = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    except OSError:
        return []
    return [f"{_process(pid)} ({pid})" for pid in pids if _maps(pid, numbers, name)]


def _maps(pid: str, numbers: bytes, name: bytes) -> bool:
    """Some file systems (btrfs, overlay) show another device here than stat does; then the name
    decides.
    """
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            maps = file.read()
    except OSError:
        return False
    return numbers in maps or name in maps


def _process(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return "?"
