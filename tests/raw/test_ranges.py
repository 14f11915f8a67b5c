"""Bytes that lie apart: read as one, and each still known by its place."""

import random

import pytest

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.ranges import ByteRanges
from lstm_audit.raw.span import Span, join_spans, span_of

FILE, OTHER = span_of(bytes(range(200)), "file"), span_of(bytes(range(100, 200)), "other")


def test_pieces_are_read_in_their_order_and_keep_their_places() -> None:
    joined = join_spans([FILE[40:44], FILE[8:10], OTHER[3:8]])
    assert joined.read() == bytes([40, 41, 42, 43, 8, 9, 103, 104, 105, 106, 107])
    assert joined.at is None
    part = joined[3:8]
    assert part.read() == bytes([43, 8, 9, 103, 104])
    assert [(p.source.name, p.start, p.size) for p in part.pieces] == [
        ("file", 43, 1), ("file", 8, 2), ("other", 3, 2),
    ]  # fmt: skip
    hulls = join_spans([part, FILE[20:21]]).hulls
    assert [(p.source.name, p.start, p.size) for p in hulls] == [("file", 8, 36), ("other", 3, 2)]
    with pytest.raises(MalformedFile):
        joined[4:12]


def test_pieces_far_apart_are_read_one_by_one() -> None:
    file = span_of(b"ab" + bytes(3 << 20) + b"yz")
    assert join_spans([file[file.size - 2 :], file[0:2]]).read() == b"yzab"


def test_ranges_meet_what_a_set_of_bytes_meets() -> None:
    drawn = random.Random(3)
    for _ in range(300):
        spans = [_draw(drawn) for _ in range(drawn.randrange(5))]
        asked = _draw(drawn)
        held = {place for span in spans for place in _bytes_of(span)}
        assert (ByteRanges(spans).meet([asked]) is not None) == bool(held & _bytes_of(asked))


def _draw(drawn: random.Random) -> Span:
    pieces = []
    for _ in range(drawn.randrange(1, 4)):
        file = drawn.choice([FILE, OTHER])
        start = drawn.randrange(30)
        pieces.append(file[start : start + drawn.randrange(6)])
    return join_spans(pieces)


def _bytes_of(span: Span) -> set[tuple[int, int]]:
    return {(id(p.source), at) for p in span.pieces for at in range(p.start, p.start + p.size)}
