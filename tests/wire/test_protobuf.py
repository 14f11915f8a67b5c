"""Protobuf's wire: the fields of a message, and the lies that it may tell."""

import random

import pytest
from onnx_models import block, number, raw, varint

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire import protobuf
from lstm_audit.wire.protobuf import BYTES, EIGHT, FOUR, VARINT, Wire


def wire(data: bytes) -> Wire:
    return Wire(span_all(BytesSource(data)))


def fields(data: bytes) -> list[tuple[int, int, int, int]]:
    return list(wire(data).fields(0, len(data)))


def test_every_wire_type() -> None:
    data = (
        number(1, 300)
        + block(2, b"abc")
        + varint(3 << 3 | 5)
        + b"1234"
        + varint(4 << 3 | 1)
        + b"12345678"
    )
    assert fields(data) == [
        (1, VARINT, 300, 0),
        (2, BYTES, 5, 8),
        (3, FOUR, 9, 13),
        (4, EIGHT, 14, 22),
    ]


def test_numbers_are_signed_and_packed_or_not() -> None:
    data = number(1, -2) + block(1, varint(5) + varint(-7))
    w = wire(data)
    assert [x for field in w.fields(0, len(data)) for x in w.numbers(field)] == [-2, 5, -7]
    data = varint(4 << 3 | 5) + raw([0.5]) + block(4, raw([1.5, -2.5]))
    w = wire(data)
    assert [x for field in w.fields(0, len(data)) for x in w.floats(field)] == [0.5, 1.5, -2.5]


def test_a_long_payload_is_skipped_and_many_small_fields_cost_one_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Counting(BytesSource):
        reads = 0
        most = 0

        def read(self, at: int, n: int) -> bytes:
            self.reads += 1
            self.most = max(self.most, n)
            return super().read(at, n)

    source = Counting(number(1, 1) * 1000 + block(2, bytes(10 << 20)) + number(3, 3))
    w = Wire(span_all(source))
    assert [field[0] for field in w.fields(0, source.size)][-2:] == [2, 3]
    assert source.reads == 2
    assert source.most == protobuf.WINDOW


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x00\x00", "malformed"),  # field 0
        (varint(1 << 29 << 3) + b"\x00", "malformed"),  # a number beyond 29 bits
        (b"\x0b\x0c", "malformed"),  # a group
        (b"\x0e", "malformed"),  # wire type 6
        (b"\x08", "truncated"),  # no value
        (b"\x0a", "truncated"),  # no length
        (b"\x0a\x05abc", "truncated"),  # beyond the end
        (b"\x08" + b"\xff" * 10 + b"\x01", "malformed"),  # eleven bytes
        (b"\xff", "truncated"),
        (b"\x09abc", "truncated"),
    ],
)
def test_lies_are_refused(data: bytes, kind: str) -> None:
    with pytest.raises(MalformedFile) as caught:
        fields(data)
    assert caught.value.kind == kind


def test_a_length_past_the_parent_is_refused() -> None:
    inner = b"\x0a\x05ab"
    data = block(1, inner) + b"xyz!"
    w = wire(data)
    outer = next(w.fields(0, len(data)))
    with pytest.raises(MalformedFile, match="its message ends"):
        list(w.message(outer))


def test_a_field_of_another_type_than_it_should_be_is_refused() -> None:
    data = number(1, 5)
    w = wire(data)
    field = next(w.fields(0, len(data)))
    for read in (w.text, w.message, w.floats, w.doubles):
        with pytest.raises(MalformedFile, match="wire type"):
            read(field)


def test_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 10)
    with pytest.raises(MalformedFile) as caught:
        fields(number(1, 1) * 11)
    assert caught.value.kind == "limit"
    monkeypatch.setattr(protobuf, "MAX_READS", 2)
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 1000)
    with pytest.raises(MalformedFile) as caught:
        fields(block(1, bytes(protobuf.WINDOW)) * 5)
    assert caught.value.kind == "limit"


def test_random_bytes_give_fields_or_a_refusal() -> None:
    rng = random.Random(3)
    for _ in range(3000):
        data = rng.randbytes(rng.randint(0, 40))
        try:
            for _, kind, start, stop in fields(data):
                assert kind == VARINT or 0 <= start <= stop <= len(data)
        except MalformedFile:
            pass
