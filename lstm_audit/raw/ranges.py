"""Some bytes of some files, and whether others meet them.

Comes in: spans, in any order, of which some may overlap. Goes out: a `ByteRanges`. Promise: one
question costs a search, not a look at every span: a bias that lies apart has a span an element.
"""

from bisect import bisect_right
from collections.abc import Iterable

from .span import Span


class ByteRanges:
    """The bytes of some spans, as disjoint ranges of each file."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._ranges: dict[int, tuple[list[int], list[int]]] = {}
        pieces = [piece for span in spans for piece in span.pieces if piece.size]
        for piece in sorted(pieces, key=lambda one: one.start):
            starts, stops = self._ranges.setdefault(id(piece.source), ([], []))
            stop = piece.start + piece.size
            if stops and piece.start <= stops[-1]:
                stops[-1] = max(stops[-1], stop)
            else:
                starts.append(piece.start)
                stops.append(stop)

    def meet(self, spans: Iterable[Span]) -> Span | None:
        """The first of these spans, or of their pieces, that has a byte in common with them."""
        pieces = (piece for span in spans for piece in span.pieces)
        return next((piece for piece in pieces if self._holds_part_of(piece)), None)

    def _holds_part_of(self, piece: Span) -> bool:
        starts, stops = self._ranges.get(id(piece.source), ([], []))
        k = bisect_right(stops, piece.start)
        return piece.size > 0 and k < len(starts) and starts[k] < piece.start + piece.size
