"""Changes into edits: merged, refused where they contradict, and every checksum that covers them
kept true.
"""

import os
import random
import struct
import zlib
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_audit.errors import NotPatchable
from lstm_audit.patching import edits as edits_module
from lstm_audit.patching.edits import Change, Edit
from lstm_audit.raw import checksums
from lstm_audit.raw.source import BytesSource, FileSource
from lstm_audit.raw.span import Seal, Span, span_all


class Memory:
    """Bytes with a place."""

    name, placed = "memory", True

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)

    def read(self, at: int, n: int) -> bytes:
        return self.data[at : at + n]


def made(data: bytes, edits: tuple[Edit, ...]) -> bytes:
    out = bytearray(data)
    for edit in edits:
        assert out[edit.at : edit.end] == edit.old
        out[edit.at : edit.end] = edit.new
    return bytes(out)


def edits_of(changes: list[Change]) -> tuple[Edit, ...]:
    """The edits of changes that lie in one file."""
    by_file = edits_module.edits_of(changes)
    assert len(by_file) <= 1
    return next(iter(by_file.values()), ())


def crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def test_change_becomes_one_edit_with_the_old_bytes() -> None:
    span = span_all(Memory(b"0123456789"))
    assert edits_of([Change(span[2:4], b"ab", "why")]) == (Edit(2, b"23", b"ab", "why"),)


def test_nothing_to_do_gives_no_edits() -> None:
    span = span_all(Memory(b"0123456789")).add_seal(7, 0)
    assert edits_of([Change(span[2:4], b"23", "why")]) == ()
    assert edits_of([]) == ()


def test_edits_are_sorted_and_disjoint() -> None:
    span = span_all(Memory(bytes(20)))
    edits = edits_of([Change(span[k : k + 2], b"xy", "r") for k in (12, 4, 8, 0)])
    assert [e.at for e in edits] == [0, 4, 8, 12]


def test_aliases_are_written_once() -> None:
    span = span_all(Memory(bytes(8)))
    edits = edits_of([Change(span[0:4], b"abcd", "one"), Change(span[0:4], b"abcd", "two")])
    assert edits == (Edit(0, bytes(4), b"abcd", "one; two"),)


def test_overlaps_that_agree_are_joined() -> None:
    span = span_all(Memory(b"01234567"))
    edits = edits_of(
        [
            Change(span[2:6], b"cdef", "r"),
            Change(span[0:4], b"abcd", "r"),
            Change(span[3:5], b"de", "r"),
        ]
    )
    assert edits == (Edit(0, b"012345", b"abcdef", "r"),)


@pytest.mark.parametrize("other", [b"abcX", b"\0\0\0\0"])
def test_contradiction_is_refused_even_with_a_side_that_wants_no_change(other: bytes) -> None:
    span = span_all(Memory(bytes(8)))
    changes = [Change(span[0:4], b"abcd", "one"), Change(span[0:4], other, "two")]
    for order in (changes, changes[::-1]):
        with pytest.raises(NotPatchable, match="two values are wanted") as caught:
            edits_of(order)
        assert caught.value.at == 0


def test_overlap_that_contradicts_is_refused() -> None:
    span = span_all(Memory(bytes(8)))
    with pytest.raises(NotPatchable, match="two values are wanted"):
        edits_of([Change(span[0:4], b"abcd", "one"), Change(span[3:6], b"xyz", "two")])


def test_bytes_without_a_place_are_refused_with_the_reason() -> None:
    span = span_all(BytesSource(bytes(8)))
    with pytest.raises(NotPatchable, match=r"lstm:l0.*no place"):
        edits_of([Change(span[0:4], b"abcd", "lstm:l0")])


def test_another_length_is_refused() -> None:
    with pytest.raises(NotPatchable, match="do not fit"):
        edits_of([Change(span_all(Memory(bytes(8)))[0:4], b"abc", "r")])


def test_each_file_gets_its_own_edits() -> None:
    one, two = Memory(bytes(4)), Memory(b"wxyz")
    changes = [Change(span_all(one), b"abcd", "r"), Change(span_all(two), b"wxyz", "r")]
    assert edits_module.edits_of(changes) == {one: (Edit(0, bytes(4), b"abcd", "r"),)}
    changes.append(Change(span_all(two)[2:3], b"?", "r"))
    with pytest.raises(NotPatchable, match="two values"):
        edits_module.edits_of(changes)
    assert set(edits_module.edits_of([changes[0], changes[2]])) == {one, two}


def sealed_file(body: bytes) -> tuple[bytes, Span]:
    """A record with its CRC in front of it and behind it."""
    data = crc(body) + body + crc(body)
    source = Memory(data)
    return data, span_all(source)[4 : 4 + len(body)].add_seal(zlib.crc32(body), 0, 4 + len(body))


def test_checksum_is_updated_in_all_its_places() -> None:
    body = random.Random(1).randbytes(5000)
    data, span = sealed_file(body)
    after = made(
        data,
        edits_of([Change(span[100:116], b"q" * 16, "r"), Change(span[4000:4016], b"w" * 16, "r")]),
    )
    assert after[:4] == after[-4:] == crc(after[4:-4])
    assert after[104:120] == b"q" * 16


def test_checksum_update_joins_what_is_near_and_shifts_over_what_is_far() -> None:
    body = bytearray(300_000)
    data, span = sealed_file(bytes(body))
    places = [0, 7, 50, 70_000, 70_010, 250_000, 299_999]
    after = made(data, edits_of([Change(span[k : k + 1], b"\xa5", "r") for k in places]))
    assert after[:4] == crc(after[4:-4])


def test_a_zip_in_a_zip_is_sealed_from_the_inside_out() -> None:
    inner = random.Random(2).randbytes(400)
    record = crc(inner) + b"between" + inner + b"behind"
    data = b"header" + record + crc(record)
    span = span_all(Memory(data))[6 : 6 + len(record)].add_seal(zlib.crc32(record), 6 + len(record))
    span = span[11 : 11 + len(inner)].add_seal(zlib.crc32(inner), 6)
    edits = edits_of([Change(span[200:204], b"1234", "r")])
    after = made(data, edits)
    assert len(edits) == 3
    assert after[6:10] == crc(after[17 : 17 + len(inner)])
    assert after[-4:] == crc(after[6:-4])


def test_two_records_under_one_outer_seal() -> None:
    a, b = bytes(50), bytes(range(60))
    record = a + crc(a) + b + crc(b)
    data = record + crc(record)
    outer = span_all(Memory(data))[: len(record)].add_seal(zlib.crc32(record), len(record))
    first = outer[0:50].add_seal(zlib.crc32(a), 50)
    second = outer[54:114].add_seal(zlib.crc32(b), 114)
    after = made(
        data, edits_of([Change(first[1:5], b"abcd", "r"), Change(second[1:5], b"efgh", "r")])
    )
    assert (after[50:54], after[114:118]) == (crc(after[:50]), crc(after[54:114]))
    assert after[-4:] == crc(after[:-4])


def test_checksums_that_were_switched_off_stay_off() -> None:
    data = bytes(4) + b"body"
    span = span_all(Memory(data))[4:8].add_seal(0, 0)
    assert edits_of([Change(span, b"BODY", "r")]) == (Edit(4, b"body", b"BODY", "r"),)


def test_a_wrong_checksum_stays_as_wrong_as_it_was() -> None:
    wrong = zlib.crc32(b"body") ^ 0x1234
    data = struct.pack("<I", wrong) + b"body"
    after = made(
        data, edits_of([Change(span_all(Memory(data))[4:8].add_seal(wrong, 0), b"BODY", "r")])
    )
    assert struct.unpack("<I", after[:4])[0] == zlib.crc32(b"BODY") ^ 0x1234


@pytest.mark.parametrize("place", [1, 6, 1 << 40, -1])
def test_checksum_that_is_not_where_it_should_be_is_refused(place: int) -> None:
    data = crc(b"body") + b"body"
    with pytest.raises(NotPatchable, match="not stored where") as caught:
        edits_of(
            [Change(span_all(Memory(data))[4:8].add_seal(zlib.crc32(b"body"), place), b"BODY", "r")]
        )
    assert caught.value.at == place


def test_checksum_kept_inside_what_it_covers_is_refused() -> None:
    data = bytearray(b"....body....")
    data[8:12] = crc(b"x")
    source = Memory(bytes(data))
    seal = Seal(Span(source, 0, 12), zlib.crc32(b"x"), lambda: (Span(source, 8, 4),))
    with pytest.raises(NotPatchable, match="covers the place"):
        edits_of([Change(Span(source, 4, 4, (lambda: seal,)), b"BODY", "r")])


def test_checksums_that_cover_each_other_are_refused() -> None:
    source = Memory(b"1111body2222")
    seals: list[Seal] = []
    first = Span(source, 0, 4, (lambda: seals[1],))
    last = Span(source, 8, 4, (lambda: seals[0],))
    seals += [
        Seal(Span(source, 4, 8), 1, lambda: (first,)),
        Seal(Span(source, 0, 8), 2, lambda: (last,)),
    ]
    with pytest.raises(NotPatchable, match="covers the place"):
        edits_of([Change(Span(source, 4, 4, (lambda: seals[0],)), b"BODY", "r")])


def test_checksum_inside_changed_bytes_is_refused() -> None:
    data = crc(b"body") + b"body"
    source = Memory(data)
    changes = [
        Change(span_all(source)[4:8].add_seal(zlib.crc32(b"body"), 0), b"BODY", "r"),
        Change(span_all(source)[2:4], b"zz", "hostile"),
    ]
    with pytest.raises(NotPatchable, match="inside bytes that something else changes"):
        edits_of(changes)


def test_only_the_slice_and_its_checksums_are_read(tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(bytes(4))
    os.truncate(path, 1 << 33)
    reads: list[int] = []

    class Counted(FileSource):
        def read(self, at: int, n: int) -> bytes:
            reads.append(n)
            return super().read(at, n)

    stored = 0x12345678
    path.open("r+b").write(struct.pack("<I", stored))
    with Counted(str(path)) as source:
        span = span_all(source)[8 : 1 << 33].add_seal(stored, 0)
        edits = edits_of([Change(span[1 << 20 : (1 << 20) + 8], b"forgets!", "r")])
    assert [e.at for e in edits] == [0, 8 + (1 << 20)]
    assert sum(reads) == 8 + 4


def crc32c_bitwise(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 if value & 1 else value >> 1
    return value ^ 0xFFFFFFFF


def masked(data: bytes) -> bytes:
    value = crc32c_bitwise(data)
    return struct.pack("<I", ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def test_crc32c_is_that_of_the_standard() -> None:
    assert checksums.crc32c(b"123456789") == 0xE3069283  # the check value of RFC 3720
    assert checksums.crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720 B.4
    assert checksums.unmask_crc(checksums.mask_crc(0xE3069283)) == 0xE3069283


def test_a_checksum_in_another_file_is_updated_there_and_so_is_the_one_above_it() -> None:
    """As in a TensorFlow bundle: the index holds the sum of the data, and a sum of its block."""
    rng = random.Random(5)
    tensor = rng.randbytes(9000)
    data = b"before" + tensor
    table = rng.randbytes(30) + masked(tensor) + rng.randbytes(20)
    index = table + masked(table) + b"footer"
    data_file, index_file = Memory(data), Memory(index)
    block = span_all(index_file)[: len(table)]
    block = block.add_seal(struct.unpack("<I", masked(table))[0], len(table), kind="masked-crc32c")
    span = span_all(data_file)[6:].add_seal(
        struct.unpack("<I", masked(tensor))[0], block[30:34], kind="masked-crc32c"
    )
    changes = [Change(span[k : k + 8], b"forgets!", "r") for k in (100, 4000, 8992)]
    edits = edits_module.edits_of(changes)
    after, index_after = made(data, edits[data_file]), made(index, edits[index_file])
    assert after[6:][100:108] == b"forgets!"
    assert index_after[30:34] == masked(after[6:]) != masked(tensor)
    assert index_after[len(table) :][:4] == masked(index_after[: len(table)])
    assert [len(edits[file]) for file in (data_file, index_file)] == [3, 2]


@pytest.mark.parametrize("kind", ["lookup3", "fletcher32"])
def test_a_checksum_that_can_only_be_summed_whole(kind: str) -> None:
    body = random.Random(6).randbytes(1001)
    stored = checksums.KINDS[kind].of(body)
    data = struct.pack("<I", stored) + body
    span = span_all(Memory(data))[4:].add_seal(stored, 0, kind=kind)
    changes = [Change(span[10:14], b"abcd", "r"), Change(span[900:904], b"efgh", "r")]
    after = made(data, edits_of(changes))
    assert struct.unpack("<I", after[:4])[0] == checksums.KINDS[kind].of(after[4:])
    wrong = span_all(Memory(struct.pack("<I", stored ^ 1) + body))[4:].add_seal(
        stored ^ 1, 0, kind=kind
    )
    with pytest.raises(NotPatchable, match="wrong already"):
        edits_of([Change(wrong[10:14], b"abcd", "r")])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_changes_leave_every_checksum_true(data: st.DataObject) -> None:
    inner = data.draw(st.binary(min_size=8, max_size=200))
    before, behind = data.draw(st.binary(max_size=30)), data.draw(st.binary(max_size=30))
    record = before + crc(inner) + inner + behind
    file = record + crc(record)
    start = len(before) + 4
    span = span_all(Memory(file))[: len(record)].add_seal(zlib.crc32(record), len(record))
    span = span[start : start + len(inner)].add_seal(zlib.crc32(inner), len(before))
    wanted = bytearray(inner)
    changes = []
    for a in data.draw(
        st.lists(st.integers(0, len(inner) - 1), min_size=1, max_size=6, unique=True)
    ):
        wanted[a] ^= data.draw(st.integers(0, 255))
    for a, b in data.draw(
        st.lists(st.tuples(st.integers(0, len(inner)), st.integers(0, len(inner))), max_size=6)
    ):
        changes.append(
            Change(span[min(a, b) : max(a, b)], bytes(wanted[min(a, b) : max(a, b)]), "r")
        )
    edits = edits_of(changes)
    after = made(file, edits)
    assert (
        after[len(before) : start] == crc(after[start : start + len(inner)])
        or zlib.crc32(inner) == 0
    )
    assert after[len(record) :] == crc(after[: len(record)]) or zlib.crc32(record) == 0
    assert all(a.end <= b.at for a, b in pairwise(edits))
    for change in changes:
        assert after[change.span.start :][: change.span.size] == change.new
