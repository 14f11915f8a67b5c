"""The CRC-32 of a changed record, against zlib's over the whole of it."""

import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_audit.raw.checksums import update_crc


@given(
    st.binary(max_size=300), st.binary(max_size=64), st.binary(max_size=64), st.binary(max_size=300)
)
def test_equals_the_whole_records_crc(head: bytes, old: bytes, new: bytes, tail: bytes) -> None:
    new = new[: len(old)].ljust(len(old), b"\xff")
    before, after = zlib.crc32(head + old + tail), zlib.crc32(head + new + tail)
    assert update_crc(before, old, new, len(tail)) == after


@pytest.mark.parametrize("size", [1, 5, 100, 4096, 1 << 20, 5_000_001])
def test_any_record_size(size: int) -> None:
    dice = random.Random(size)
    record = bytearray(dice.randbytes(size))
    before = zlib.crc32(record)
    at = dice.randrange(size)
    new = dice.randbytes(min(size - at, 512))
    old = bytes(record[at : at + len(new)])
    record[at : at + len(new)] = new
    assert update_crc(before, old, new, size - at - len(new)) == zlib.crc32(record)


def test_no_change_keeps_even_a_wrong_checksum() -> None:
    assert update_crc(0x12345678, b"same", b"same", 10**9) == 0x12345678


def test_nothing_replaced() -> None:
    assert update_crc(7, b"", b"", 0) == 7


def test_there_and_back() -> None:
    assert update_crc(update_crc(99, b"old!", b"new!", 1 << 33), b"new!", b"old!", 1 << 33) == 99


def test_a_tail_of_many_gigabytes_costs_nothing() -> None:
    """It would never end if the tail were gone over."""
    update_crc(1, bytes(512), b"\1" * 512, (1 << 60) - 1)


def test_a_record_cannot_change_its_size() -> None:
    with pytest.raises(ValueError, match="3 bytes cannot be replaced by 2"):
        update_crc(0, b"abc", b"ab", 0)
