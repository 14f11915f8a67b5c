"""FlatBuffers' wire: a buffer made by hand, field by field, and the lies that it may tell."""

import struct

import pytest

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire import flatbuffer
from lstm_audit.wire.flatbuffer import Flat, Table, root


def made() -> bytearray:
    """A root table with 0: i32 7, 1: absent, 2: vector of i32, 3: text, 4: vector of two tables of one i8."""
    out = bytearray(struct.pack("<I4s", 0, b"TEST"))
    vtable = len(out)
    out += struct.pack("<HH5H", 14, 20, 4, 0, 8, 12, 16)
    out += bytes(-len(out) % 4)
    table = len(out)
    out += struct.pack("<i", table - vtable) + struct.pack("<iIII", 7, 0, 0, 0)
    struct.pack_into("<I", out, 0, table)

    def point(at: int) -> None:
        struct.pack_into("<I", out, at, len(out) - at)

    point(table + 8)
    out += struct.pack("<I3i", 3, 1, -2, 3)
    point(table + 12)
    out += struct.pack("<I", 5) + b"hello\0\0\0"
    point(table + 16)
    out += struct.pack("<III", 2, 0, 0)
    entries = len(out) - 8
    small = len(out)
    out += struct.pack("<HHH", 6, 5, 4) + bytes(2)
    for k in range(2):
        struct.pack_into("<I", out, entries + 4 * k, len(out) - entries - 4 * k)
        out += struct.pack("<ib3x", len(out) - small, k + 1)
    return out


def read(data: bytes) -> Table:
    return root(Flat(span_all(BytesSource(bytes(data)))))


def test_fields_of_every_kind() -> None:
    table = read(made())
    assert table.number(0) == 7
    assert table.number(1, default=5) == 5
    assert table.number(99, default=6) == 6
    assert [table.has(k) for k in range(5)] == [True, False, True, True, True]
    assert table.numbers(2) == (1, -2, 3)
    assert table.numbers(1) == ()
    assert table.text(3) == "hello"
    assert table.text(1) == ""
    assert [inner.number(0, "b") for inner in table.tables(4)] == [1, 2]
    assert table.table(1) is None


def everything(data: bytes) -> tuple[object, ...]:
    table = read(data)
    return table.numbers(2), table.text(3), [inner.number(0, "b") for inner in table.tables(4)]


@pytest.mark.parametrize("cut", range(0, 80, 3))
def test_a_buffer_that_is_cut_short_is_refused(cut: int) -> None:
    data = made()[:cut]
    with pytest.raises(MalformedFile):
        everything(data)


def test_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatbuffer, "MAX_TABLES", 2)
    with pytest.raises(MalformedFile) as caught:
        list(read(made()).tables(4))
    assert caught.value.kind == "limit"
    monkeypatch.setattr(flatbuffer, "MAX_NUMBERS", 2)
    with pytest.raises(MalformedFile) as caught:
        read(made()).numbers(2)
    assert caught.value.kind == "limit"
