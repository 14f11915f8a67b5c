"""A second file with the same bytes and the same owner, as cheaply as the file system allows.

Comes in: two open files. Goes out: how the bytes got there, and notes on what of the owner, mode
and attributes could not be kept. Promise: memory does not grow with the file, holes stay holes, and
a disk that is too small is refused before it is filled.
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Literal

from ..errors import Unreadable
from . import files
from .files import LockedFile

if sys.platform == "linux":
    import fcntl

# Called with the bytes done and the bytes in all.
CopyProgress = Callable[[int, int], None]

CopyMethod = Literal["reflink", "copy", "in-place", "none"]

# linux/fs.h, _IOW(0x94, 9, int); where the number differs, ENOTTY sends us to the copy
FICLONE = 0x40049409
STEP = 8 << 20  # a kernel copy cannot be interrupted, and reports no progress, within one call
BUFFER = 1 << 20
KEPT_FREE = 1 << 20
ACL = "system.posix_acl_access"


def clone(source: int, target: int, size: int, progress: CopyProgress | None = None) -> CopyMethod:
    """Fill the empty `target` with the `size` bytes of `source`: shared blocks where possible, else
    a copy.
    """
    if _try_reflink(source, target):
        return "reflink"
    _refuse_full_disk(source, target)
    os.ftruncate(target, size)
    for start, stop in _extents(source, size):
        for at in range(start, stop, STEP):
            _copy(source, target, at, min(stop, at + STEP))
            _start_writing(target, at)
            if progress:
                progress(min(stop, at + STEP), size)
    return "copy"


def _try_reflink(source: int, target: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False  # whatever the reason was, the copy meets it again or does without
    return True


def _refuse_full_disk(source: int, target: int) -> None:
    if not hasattr(os, "fstatvfs"):
        return
    found, disk = os.fstat(source), os.fstatvfs(target)
    needed, free = (
        min(found.st_blocks * 512, found.st_size) + KEPT_FREE,
        disk.f_bavail * disk.f_frsize,
    )
    if needed > free:
        raise Unreadable(
            f"a safe copy needs {needed} bytes and the disk has {free} free; --in-place writes "
            "only what changes"
        )


def _extents(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the file has data; all of it where the file system does not tell."""
    at = 0
    while at < size:
        try:
            start = os.lseek(source, at, os.SEEK_DATA)
            stop = os.lseek(source, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            start, stop = at, size
        except AttributeError:  # a platform without SEEK_DATA
            start, stop = at, size
        yield start, min(stop, size)
        at = stop


def _copy(source: int, target: int, at: int, stop: int) -> None:
    """In the kernel as far as it goes: it gives up (0, or an error) across some file systems."""
    while at < stop and (n := _kernel_copy(source, target, at, stop - at)):
        at += n
    while at < stop:
        data = files.read_at(source, min(BUFFER, stop - at), at)
        if not data:
            raise Unreadable("the file shrank while it was being copied: try again", at, "changed")
        files.write_at(target, data, at)
        at += len(data)


def _start_writing(target: int, at: int) -> None:
    """Have the disk begin now what the sync will wait for: a fifth less time for a gigabyte,
    measured on ext4.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # advice
            os.posix_fadvise(target, at, STEP, os.POSIX_FADV_DONTNEED)


def _kernel_copy(source: int, target: int, at: int, n: int) -> int:
    if sys.platform != "linux":
        return 0
    try:
        return os.copy_file_range(source, target, n, at, at)
    except OSError:
        return 0  # a full disk, say, stops the plain copy as well


def dress(fd: int, like: os.stat_result, source: int | None = None) -> list[str]:
    """Give `fd` the owner, mode and (those of `source`) extended attributes of a file; what could
    not be kept is said.

    In this order: a change of owner clears set-id bits, and an ACL attribute completes the mode.
    """
    notes = _own(fd, like)
    # set-id bits would now speak for another user
    os.fchmod(fd, like.st_mode & (0o1777 if notes else 0o7777))
    return notes if source is None or sys.platform != "linux" else notes + _attributes(fd, source)


def dress_sidecar(fd: int, held: LockedFile) -> None:
    """Give an undo record the owner and the permissions to read and write of its file, and nothing
    more: no set-id bits, and no ACL that the folder hands down.
    """
    files.own_like(fd, held.stat)
    mode = held.stat.st_mode & 0o666
    if _has_acl(fd):
        os.removexattr(fd, ACL)
    if _has_acl(held.fd):
        mode &= ~0o070  # the group's bits are then the mask of the ACL, not the group's
    os.fchmod(fd, mode)


def _has_acl(fd: int) -> bool:
    try:
        return sys.platform == "linux" and ACL in os.listxattr(fd)
    except OSError:
        return False  # the file system has none


def _own(fd: int, like: os.stat_result) -> list[str]:
    now = os.fstat(fd)
    if (now.st_uid, now.st_gid) == (like.st_uid, like.st_gid):
        return []
    try:
        os.fchown(fd, like.st_uid, like.st_gid)
    except PermissionError:
        return [f"the owner {like.st_uid}:{like.st_gid} could not be kept; the file is now yours"]
    return []


def _attributes(fd: int, source: int) -> list[str]:
    """ACLs, security labels and whatever users keep there."""
    if sys.platform != "linux":
        return []
    try:
        names, there = os.listxattr(source), os.listxattr(fd)
    except OSError:
        return []  # the file system has none
    if (
        ACL in there and ACL not in names
    ):  # inherited from the folder; it would let in whom the old file kept out
        os.removexattr(fd, ACL)
    lost = [name for name in names if not _attribute_kept(fd, source, name)]
    return [f"the extended attribute {name} could not be kept" for name in lost]


def _attribute_kept(fd: int, source: int, name: str) -> bool:
    if sys.platform != "linux":
        return False
    value = os.getxattr(source, name)
    try:
        os.setxattr(fd, name, value)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOTSUP):
            raise
        # a security label that only root may set is often there already, inherited from the folder
        return name in os.listxattr(fd) and os.getxattr(fd, name) == value
    return True
