"""Bytes that know where they lie, and the checksums that cover them.

Comes in: a path, or bytes in memory. Goes out: `Span`, a bounds-checked slice that reads lazily and remembers its
absolute place through any nesting. Promise: an absolute offset is computed here and nowhere else, and nothing is ever
read beyond what was asked for (`pread` only: never a whole-file read, never `mmap`).
"""

import os
import stat
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from .errors import MalformedFile, Unreadable


class Source(Protocol):
    """Something with a size from which a range of bytes can be read.

    `placed` says that an offset here is a place in a file that could be written to.
    """

    @property
    def name(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def placed(self) -> bool: ...
    def read(self, at: int, n: int) -> bytes: ...


class FileSource:
    """A regular local file, read with `pread` on one descriptor (so a rename under us changes nothing).

    Raises `Unreadable` when the file cannot be opened, is no regular file (a FIFO would hang), or shrinks while it
    is being read.
    """

    placed = True

    def __init__(self, path: str) -> None:
        self.name = path
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
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class BytesSource:
    """Bytes that were computed (inflated, decoded) and so have no place in a file: judged, never patched."""

    placed = False

    def __init__(self, data: bytes, name: str = "memory") -> None:
        self.name = name
        self.size = len(data)
        self._data = data

    def read(self, at: int, n: int) -> bytes:
        """Exactly `n` bytes from `at`; a `Span` has checked the bounds."""
        return self._data[at : at + n]


class Seal(NamedTuple):
    """A stored CRC-32: over `size` bytes from the absolute offset `at`, kept little-endian at each of `places`."""

    at: int
    size: int
    stored: int
    places: tuple[int, ...]


Sealer = Callable[[], Seal | None]
"""Looks up where a checksum is stored; None where there is none. Most spans are never changed, and none then looks."""


class Span:
    """`size` bytes of `source` from `start`, and the checksums that a change to them would break.

    A plain class, though nothing ever changes one: a hundred are made for every file, and a frozen dataclass would
    take a microsecond each.
    """

    __slots__ = ("sealers", "size", "source", "start")

    def __init__(self, source: Source, start: int, size: int, sealers: tuple[Sealer, ...] = ()) -> None:
        self.source = source
        self.start = start
        self.size = size
        self.sealers = sealers

    def __repr__(self) -> str:
        return f"Span({self.source.name!r}, {self.start}, {self.size})"

    @property
    def at(self) -> int | None:
        """The absolute place in the file, or None where the bytes have none (then they cannot be patched)."""
        return self.start if self.source.placed else None

    @property
    def seals(self) -> tuple[Seal, ...]:
        """The checksums over these bytes, innermost first; the source must be open."""
        return tuple(seal for look in self.sealers if (seal := look()) is not None)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> "Span":
        """The sub-span `[a:b]`, both counted from this span's start; raises `MalformedFile` beyond its end."""
        a: int = part.start or 0
        b: int = self.size if part.stop is None else part.stop
        if not 0 <= a <= b <= self.size:
            message = f"bytes {a} to {b} are needed, but there are only {self.size}"
            raise MalformedFile(message, self.start + min(max(a, 0), self.size), "truncated")
        return Span(self.source, self.start + a, b - a, self.sealers)

    def read(self) -> bytes:
        """The bytes themselves; the caller has bounded `size`."""
        return self.source.read(self.start, self.size)

    def sealed_by(self, look: Sealer) -> "Span":
        """The same bytes under one more, inner checksum, looked up when it is asked for."""
        return Span(self.source, self.start, self.size, (look, *self.sealers))

    def sealed(self, stored: int, *places: int) -> "Span":
        """The same bytes under one more, inner CRC-32 kept at the absolute `places`."""
        return self.sealed_by(partial(_known, Seal(self.start, self.size, stored, places)))


def _known(seal: Seal) -> Seal:
    return seal


def whole(source: Source) -> Span:
    """The span of everything in a source."""
    return Span(source, 0, source.size)
