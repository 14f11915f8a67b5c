"""Where bytes come from: a local file, standard input, memory, or a store that lies elsewhere.

Comes in: a locator, or bytes. Goes out: a `Source`: something with a size, from which ranges can be
read. Promise: nothing is read beyond what was asked for (`pread` only: never a whole-file read,
never `mmap`), and nobody else opens what is audited.
"""

import os
import stat
import sys
from types import TracebackType
from typing import Protocol, Self

from ..errors import MalformedFile, Unreadable
from .budget import Budget
from .locators import STDIN, is_remote, label

# Bytes of standard input that are kept in a temporary file: it can only be read from the start.
MAX_SPOOLED = 2 << 30

SPOOLED_AT_ONCE = 1 << 20


class Source(Protocol):
    """Something with a size from which a range of bytes can be read.

    `placed` says that an offset here is a place in a file that could be written to; `budget` is the
    account of the checkpoint that it belongs to. `far`: what is about to be read should be said
    beforehand, all at once (`RemoteSource.prefetch`), because each read is a round trip.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def placed(self) -> bool: ...
    @property
    def far(self) -> bool: ...
    @property
    def budget(self) -> Budget: ...
    def read(self, at: int, n: int) -> bytes: ...


class OpenSource(Source, Protocol):
    """A source that is held open while its numbers are read."""

    @property
    def identity(self) -> tuple[int, int, int, int]: ...
    @property
    def stamp(self) -> tuple[int, str]: ...
    def settle(self) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


class FileSource:
    """A regular local file, read with `pread` on one descriptor (so a rename under us changes
    nothing).

    Raises `Unreadable` when the file cannot be opened, is no regular file (a FIFO would hang), or
    shrinks while it is being read.
    """

    placed = True
    far = False

    def __init__(self, path: str, budget: Budget | None = None) -> None:
        self.name = path
        self.budget = budget or Budget()
        self._fd = -1
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._stat = os.fstat(self._fd)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise Unreadable(f"cannot open: {reason}") from None
        if not stat.S_ISREG(self._stat.st_mode):
            self.close()
            raise Unreadable("not a regular file")
        self.size = self._stat.st_size

    def read(self, at: int, n: int) -> bytes:
        """Exactly `n` bytes from `at`."""
        self.budget.load(n)
        try:
            data = os.pread(self._fd, n, at)
            while len(data) < n and (more := os.pread(self._fd, n - len(data), at + len(data))):
                data += more
        except OSError as error:
            raise Unreadable(f"cannot read: {error.strerror}", at) from None
        if len(data) < n:
            raise Unreadable("the file shrank while it was being read; try again", at, "changed")
        return data

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """(device, inode, size, mtime in ns) as it was at opening."""
        return self._stat.st_dev, self._stat.st_ino, self._stat.st_size, self._stat.st_mtime_ns

    @property
    def stamp(self) -> tuple[int, str]:
        """Size, and mtime in ns, as they were at opening."""
        return self._stat.st_size, str(self._stat.st_mtime_ns)

    def settle(self) -> None:
        """Raise `Unreadable` (kind `changed`) if the file was written to since it was opened."""
        now = os.fstat(self._fd)
        if (now.st_size, now.st_mtime_ns) != (self._stat.st_size, self._stat.st_mtime_ns):
            raise Unreadable("the file changed while it was being read; try again", kind="changed")

    def close(self) -> None:
        """Give the descriptor back; reading afterwards is an error."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class BytesSource:
    """Bytes that were computed (inflated, decoded) and so have no place in a file: judged, never
    patched.
    """

    placed = False
    far = False

    def __init__(self, data: bytes, name: str = "memory", budget: Budget | None = None) -> None:
        self.name = name
        self.budget = budget or Budget()
        self.size = len(data)
        self._data = data

    def read(self, at: int, n: int) -> bytes:
        """Exactly `n` bytes from `at`; a `Span` has checked the bounds."""
        return self._data[at : at + n]


class SpooledSource(FileSource):
    """Standard input. It can only be read from the start, so that what comes through is kept in a
    temporary file that has no name any more; raises `MalformedFile` beyond `MAX_SPOOLED` bytes.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        import tempfile  # 6 ms, which only `-` pays

        if sys.stdin is None:
            raise Unreadable("standard input is closed")
        with tempfile.TemporaryFile() as spool:
            while block := sys.stdin.buffer.read(SPOOLED_AT_ONCE):
                if spool.tell() + len(block) > MAX_SPOOLED:
                    message = f"more than {MAX_SPOOLED >> 30} GiB come through standard input"
                    raise MalformedFile(f"{message}; audit the file by its name", kind="limit")
                spool.write(block)
            spool.flush()
            super().__init__(f"/dev/fd/{spool.fileno()}", budget)


def open_source(locator: str, budget: Budget | None = None, download: bool = False) -> OpenSource:
    """What a locator means: standard input, a local file, or one that lies elsewhere.

    `budget` is its checkpoint's, if that has one. `download`: read the whole of what a server does
    not serve by ranges. Raises `Unreadable` when it cannot be opened.
    """
    if locator == STDIN:
        return SpooledSource(budget)
    if not is_remote(locator):
        return FileSource(locator, budget)
    from .remote import open_remote  # 40 ms, which local files need not pay

    return open_remote(locator, label(locator), budget, download)
