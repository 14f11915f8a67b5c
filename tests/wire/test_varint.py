"""Varints, which protobuf and LevelDB write alike: one reader, held against a writer and its bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire import protobuf, sstable, varint
from lstm_audit.wire.protobuf import Wire
from lstm_audit.wire.varint import read_varint


def write(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=4), st.binary(max_size=4))
def test_what_was_written_is_read(value: int, before: bytes, behind: bytes) -> None:
    raw = write(value)
    assert read_varint(before + raw + behind, len(before)) == (value, len(before) + len(raw))


@pytest.mark.parametrize("raw", [b"", b"\x80", b"\xff" * 9, b"\xff" * 10, b"\xff" * 11])
def test_what_does_not_end_is_none(raw: bytes) -> None:
    assert read_varint(raw, 0) is None


def test_bits_beyond_sixty_four_are_dropped() -> None:
    assert read_varint(b"\xff" * 9 + b"\x7f", 0) == ((1 << 64) - 1, 10)


def test_both_formats_read_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no second reader: when this one gives up, both do."""
    span = span_all(BytesSource(b"\x08\x96\x01"))
    assert [field[2] for field in Wire(span).fields(0, 3)] == [150]
    assert sstable.number_at(b"\x96\x01", 0) == (150, 2)
    assert protobuf.read_varint is sstable.read_varint is varint.read_varint
    for module in (protobuf, sstable):
        monkeypatch.setattr(module, "read_varint", lambda raw, at: None)
    with pytest.raises(MalformedFile):
        list(Wire(span).fields(0, 3))
    with pytest.raises(MalformedFile):
        sstable.number_at(b"\x96\x01", 0)
