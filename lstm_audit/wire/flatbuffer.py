"""FlatBuffers' wire: tables whose fields are found through a table of slots.

Comes in: a span over a file. Goes out: `Table`s: scalars, vectors, texts and sub-tables by the
number of a field; no meaning, no schema. Promise: every offset is held against the file before it
is followed, and the work for one file is bounded, whatever its bytes say.

Offsets to fields, vectors and tables are unsigned and lead forward, so tables cannot form a cycle.
They can share each other, as hostile files do: the number of tables that are made is bounded.
(flatbuffers/docs/source/internals.md)
"""

import struct
from collections.abc import Iterator

from ..errors import MalformedFile
from ..raw.span import Span

# Tables of one file: a second. A model has three for every tensor and one for every operator.
MAX_TABLES = 100_000

MAX_READS = 20_000
# Numbers of one vector that are read.
MAX_NUMBERS = 1 << 20

MAX_SLOTS = 1 << 11
MAX_TEXT = 4096
PAGE = 1 << 13
MAX_PAGES = 512


class Flat:
    """The bytes of one file, read by pages, and what may still be done with them."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._pages: dict[int, bytes] = {}
        self._tables = MAX_TABLES
        self._reads = MAX_READS

    def read(self, at: int, size: int) -> bytes:
        """Bytes by their place in the span; raises `MalformedFile` beyond its end."""
        if at < 0 or size < 0 or at + size > self.span.size:
            message = f"{size} bytes are needed at {at}, the file has {self.span.size}"
            raise MalformedFile(message, self.place(max(at, 0)), "truncated")
        number, start = divmod(at, PAGE)
        if start + size <= PAGE:
            return self._page(number)[start : start + size]
        return self.span[at : at + size].read()

    def number(self, at: int, code: str) -> int | float:
        """One little-endian number, as `struct` spells its type."""
        found: int | float = struct.unpack("<" + code, self.read(at, struct.calcsize(code)))[0]
        return found

    def whole(self, at: int, code: str) -> int:
        """One whole number."""
        return int(self.number(at, code))

    def count_table(self, at: int) -> None:
        """Raise when one file asks for too many tables."""
        self._tables -= 1
        if self._tables < 0:
            message = f"over {MAX_TABLES} tables in one file; at most that many are read"
            raise MalformedFile(message, self.place(at), "limit")

    def place(self, at: int) -> int | None:
        """The absolute offset of a place, for errors; None where the bytes have none."""
        return self.span.place(min(at, self.span.size))

    def _page(self, number: int) -> bytes:
        page = self._pages.get(number)
        if page is None:
            self._reads -= 1
            if self._reads < 0:
                raise MalformedFile("its tables lie too far apart", self.span.at, "limit")
            if len(self._pages) >= MAX_PAGES:
                self._pages.clear()
            start = number * PAGE
            page = self.span[start : min(start + PAGE, self.span.size)].read()
            self._pages[number] = page
        return page


class Table:
    """One table; fields go by their number in the schema, an absent one has its default."""

    __slots__ = ("_at", "_slots", "flat")

    def __init__(self, flat: Flat, at: int) -> None:
        flat.count_table(at)
        self.flat, self._at = flat, at
        vtable = at - flat.whole(at, "i")
        size = flat.whole(vtable, "H")
        if size < 4 or size % 2 or size // 2 > MAX_SLOTS:
            raise MalformedFile(f"a table of slots has {size} bytes", flat.place(vtable))
        self._slots: tuple[int, ...] = struct.unpack(
            f"<{size // 2 - 2}H", flat.read(vtable + 4, size - 4)
        )

    def has(self, field: int) -> bool:
        """Whether a field is stored."""
        return field < len(self._slots) and self._slots[field] != 0

    def number(self, field: int, code: str = "i", default: int = 0) -> int:
        """A scalar field."""
        return self.flat.whole(self._at + self._slots[field], code) if self.has(field) else default

    def vector(self, field: int, size: int) -> tuple[int, int]:
        """Where the elements of a vector begin, and how many of `size` bytes there are."""
        at = self._follow(field)
        if at is None:
            return 0, 0
        count = self.flat.whole(at, "I")
        if at + 4 + count * size > self.flat.span.size:
            message = f"a vector of {count} elements reaches beyond the file"
            raise MalformedFile(message, self.flat.place(at), "truncated")
        return at + 4, count

    def numbers(self, field: int, code: str = "i") -> tuple[int, ...]:
        """A vector of whole numbers."""
        return tuple(int(x) for x in self._unpack(field, code))

    def floats(self, field: int) -> tuple[float, ...]:
        """A vector of 32-bit floats."""
        return self._unpack(field, "f")

    def _unpack(self, field: int, code: str) -> tuple[float, ...]:
        size = struct.calcsize(code)
        at, count = self.vector(field, size)
        if count > MAX_NUMBERS:
            raise MalformedFile(f"a vector of {count} numbers", self.flat.place(at), "limit")
        return struct.unpack(f"<{count}{code}", self.flat.read(at, count * size)) if count else ()

    def text(self, field: int) -> str:
        """A string, as far as it is of a sensible length."""
        at, size = self.vector(field, 1)
        return self.flat.read(at, min(size, MAX_TEXT)).decode("utf-8", "backslashreplace")

    def table(self, field: int) -> "Table | None":
        """A sub-table."""
        at = self._follow(field)
        return None if at is None else Table(self.flat, at)

    def tables(self, field: int) -> Iterator["Table"]:
        """A vector of tables."""
        at, count = self.vector(field, 4)
        for k in range(count):
            entry = at + 4 * k
            yield Table(self.flat, self._target(entry))

    def _follow(self, field: int) -> int | None:
        return self._target(self._at + self._slots[field]) if self.has(field) else None

    def _target(self, at: int) -> int:
        to = at + self.flat.whole(at, "I")
        if to <= at or to + 4 > self.flat.span.size:
            message = f"an offset leads from {at} to {to}, the file has {self.flat.span.size} bytes"
            raise MalformedFile(message, self.flat.place(at))
        return to


def root(flat: Flat) -> Table:
    """The table that the file's first four bytes lead to."""
    return Table(flat, flat.whole(0, "I"))
