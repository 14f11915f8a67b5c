"""Bytes that know where they lie, and the checksums that cover them.

Comes in: a `Source`. Goes out: `Span`, a bounds-checked slice that reads lazily and remembers its
absolute place through any nesting. Promise: an absolute offset is computed here and nowhere else.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, TypeVar

from ..errors import MalformedFile
from ..tuples import NamedTuple
from .budget import Budget
from .source import BytesSource, Source

T = TypeVar("T")

# Bytes of a stored checksum of any kind, little-endian.
SEAL_SIZE = 4

# Bytes around pieces that lie apart that are read at once, with what lies between them.
MAX_AROUND = 1 << 20


class Seal(NamedTuple):
    """A stored checksum over the bytes of `covers`.

    `stored` is kept at each of `places`, four bytes each, which may lie in another file than what
    is covered (a TensorFlow index holds the sums of the data files). A place is a span like any
    other, so it may be under seals of its own. `find_places` looks for them, which may take reads:
    whoever compares the sum alone need not. `kind` names a row of `checksums.KINDS`.
    """

    covers: "Span"
    stored: int
    find_places: Callable[[], tuple["Span", ...]]
    kind: str = "crc32"

    @property
    def places(self) -> tuple["Span", ...]:
        """Where the checksum is kept; the source must be open."""
        return self.find_places()


# Looks up where a checksum is stored; None where there is none. Most spans are never changed, and
# none then looks.
Sealer = Callable[[], Seal | None]


# Why a type of its own. An offset as a plain int invites arithmetic in every reader, and one
# forgotten base makes a patch write into the wrong place. A span can only be narrowed, every cut is
# checked, and the absolute place is a matter of its source. Nesting costs nothing: a tensor in a
# zip in a tar is a span of a span of a span, with `start` counted from the file throughout.
#
# Bytes that were computed (inflated, joined, spelled as text) have a source that is not `placed`:
# they can be read and judged like any other, and have no place that could be patched.
#
# Seals ride along. They are functions, not values: finding where a checksum is kept takes reads,
# and only a patch ever asks.
class Span:
    """`size` bytes of `source` from `start`, and the checksums that a change to them would break.

    A plain class, though nothing ever changes one: a hundred are made for every file, and a frozen
    dataclass would take a microsecond each.
    """

    __slots__ = ("sealers", "size", "source", "start")

    def __init__(
        self, source: Source, start: int, size: int, sealers: tuple[Sealer, ...] = ()
    ) -> None:
        self.source = source
        self.start = start
        self.size = size
        self.sealers = sealers

    def __repr__(self) -> str:
        return f"Span({self.source.name!r}, {self.start}, {self.size})"

    @property
    def at(self) -> int | None:
        """The absolute place in the file, or None where the bytes have none (then they cannot be
        patched).
        """
        return self.start if self.source.placed else None

    def place(self, offset: int) -> int | None:
        """The absolute place of the byte at `offset`; None where the bytes have none."""
        return self.start + offset if self.source.placed else None

    @property
    def budget(self) -> Budget:
        """The account of the checkpoint that the bytes belong to."""
        return self.source.budget

    def compute(self, data: bytes, label: str = "") -> "Span":
        """Bytes that were made of these (inflated, decoded): without a place, on the same account.

        Whoever makes them has paid for them with `budget.hold`.
        """
        return span_all(BytesSource(data, self.source.name + label, self.source.budget))

    @property
    def seals(self) -> tuple[Seal, ...]:
        """The checksums over these bytes, innermost first; the source must be open."""
        return tuple(seal for look in self.sealers if (seal := look()) is not None)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> "Span":
        """The sub-span `[a:b]`, both counted from this span's start; raises `MalformedFile` beyond
        its end.
        """
        a: int = part.start or 0
        b: int = self.size if part.stop is None else part.stop
        if not 0 <= a <= b <= self.size:
            message = f"bytes {a} to {b} are needed, but there are only {self.size}"
            raise MalformedFile(message, self.place(min(max(a, 0), self.size)), "truncated")
        return Span(self.source, self.start + a, b - a, self.sealers)

    def read(self) -> bytes:
        """The bytes themselves; the caller has bounded `size`."""
        return self.source.read(self.start, self.size)

    def announce(self, places: Iterable[tuple[int, int]], more: bool = False) -> None:
        """Say what will be read of these bytes, (offset, size) each: a source that is far fetches
        it at once; others have nothing to do. `more`: what comes will tell of further places.
        """
        if self.source.far:
            source: Any = self.source  # what is far has `prefetch`
            source.prefetch(((self.start + at, size) for at, size in places), more)

    def is_there(self, at: int, size: int) -> bool:
        """Whether these bytes can be read without asking one that is far."""
        source: Any = self.source
        return not source.far or source.holds(self.start + at, size)

    def add_seal_later(self, look: Sealer) -> "Span":
        """The same bytes under one more, inner checksum, looked up when it is asked for."""
        return Span(self.source, self.start, self.size, (look, *self.sealers))

    def add_seal(self, stored: int, *places: "int | Span", kind: str = "crc32") -> "Span":
        """The same bytes under one more, inner checksum over all of them, kept at `places`: spans
        of any file, or absolute offsets in this one.
        """
        spans = tuple(self._place(place) if isinstance(place, int) else place for place in places)
        return self.add_seal_later(
            partial(_itself, Seal(self, stored, partial(_itself, spans), kind))
        )

    @property
    def pieces(self) -> list["Span"]:
        """Where the bytes lie, in their order: in one piece, but for elements that lie apart."""
        source = self.source
        if not isinstance(source, ScatteredSource):
            return [self]
        return [one for part in source.cut(self.start, self.size) for one in part.pieces]

    @property
    def hulls(self) -> list["Span"]:
        """From the first byte to the last, for each file that they lie in; foreign bytes may lie
        between.
        """
        return [self] if self.source.placed else _hulls_of(self.pieces)

    def _place(self, at: int) -> "Span":
        """Where a checksum of these bytes is kept: under the same outer checksums as they are."""
        return Span(self.source, at, SEAL_SIZE, self.sealers)


def _itself(known: T) -> T:
    """What is known already, to whoever would look it up."""
    return known


# A graph may turn a stored bias round or shuffle it (Gather), and protobuf may keep a list of
# floats with a key before each. Read through this, such elements are a tensor like any other, and
# each of them still has its place.
class ScatteredSource:
    """Pieces of files, one behind the other: an offset here is no place in a file."""

    placed = False
    far = False

    def __init__(self, pieces: Sequence[Span]) -> None:
        self._pieces = pieces
        self._stops = list(accumulate(piece.size for piece in pieces))
        self.name = pieces[0].source.name
        self.size = self._stops[-1]

    @property
    def budget(self) -> Budget:
        """The account of the checkpoint that the pieces belong to."""
        return self._pieces[0].budget

    def read(self, at: int, n: int) -> bytes:
        """Exactly `n` bytes from `at`; a `Span` has checked the bounds."""
        parts = self.cut(at, n)
        hulls = _hulls_of(parts)
        if len(hulls) != 1 or hulls[0].size > MAX_AROUND:
            return b"".join(part.read() for part in parts)
        first, around = hulls[0].start, hulls[0].read()
        return b"".join(around[p.start - first : p.start - first + p.size] for p in parts)

    def cut(self, at: int, n: int) -> list[Span]:
        """The pieces, or parts of them, that make `n` bytes from `at`."""
        found, k = [], bisect_right(self._stops, at)
        while n > 0:
            piece = self._pieces[k]
            first = at - (self._stops[k] - piece.size)
            part = piece[first : min(first + n, piece.size)]
            found.append(part)
            at, n, k = at + part.size, n - part.size, k + 1
        return found


def _hulls_of(pieces: Iterable[Span]) -> list[Span]:
    hulls: dict[int, Span] = {}
    for piece in pieces:
        hull = hulls.get(id(piece.source), piece)
        start = min(hull.start, piece.start)
        stop = max(hull.start + hull.size, piece.start + piece.size)
        hulls[id(piece.source)] = Span(piece.source, start, stop - start, piece.sealers)
    return list(hulls.values())


def join_spans(pieces: Sequence[Span]) -> Span:
    """One span over pieces, at least one, that lie anywhere."""
    return pieces[0] if len(pieces) == 1 else span_all(ScatteredSource(pieces))


def span_all(source: Source) -> Span:
    """The span of everything in a source."""
    return Span(source, 0, source.size)


def span_of(data: bytes, name: str = "memory") -> Span:
    """The span of bytes that were made, not read: they have no place in a file."""
    return span_all(BytesSource(data, name))
