"""The strict zip directory: what torch and zipfile read alike is read, what they could read
differently is refused.
"""

import io
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from craft import CENTRAL_CRC, Entry, build, entry, torch_entry
from hypothesis import given
from hypothesis import strategies as st

from lstm_audit.errors import AuditError, MalformedFile
from lstm_audit.raw.source import BytesSource, FileSource
from lstm_audit.raw.span import Span, span_all
from lstm_audit.wire import zip as archive
from lstm_audit.wire import zip_body
from lstm_audit.wire.zip import Member, is_zip, read_entries
from lstm_audit.wire.zip_body import body


@contextmanager
def placed(data: bytes) -> Iterator[Span]:
    """A span over a real file: computed bytes have no places, and so no seals."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        with FileSource(file.name) as source:
            yield span_all(source)


def over(data: bytes) -> Span:
    return span_all(BytesSource(data))


def contents(data: bytes) -> dict[str, bytes]:
    span = over(data)
    return {name: body(span, member).read() for name, member in read_entries(span).items()}


def by_zipfile(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as reader:
        return {name: reader.read(name) for name in reader.namelist()}


def saved(value: object, **options: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def lstm() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return dict(torch.nn.LSTM(3, 4, 2, bidirectional=True).state_dict())


def scripted() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.LSTM(2, 3)), buffer)
    return buffer.getvalue()


def with_zipfile() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        writer.writestr("a/one", b"1" * 100, zipfile.ZIP_STORED)
        writer.writestr("a/two", b"2" * 1000, zipfile.ZIP_DEFLATED)
        with writer.open("a/three", "w", force_zip64=True) as file:
            file.write(b"333")
    return buffer.getvalue()


def aligned() -> bytes:
    from torch.utils.serialization import config

    before = config.save.storage_alignment
    try:
        config.save.storage_alignment = 4096
        return saved(lstm())
    finally:
        config.save.storage_alignment = before


def without_checksums() -> bytes:
    torch.serialization.set_crc32_options(False)
    try:
        return saved(lstm())
    finally:
        torch.serialization.set_crc32_options(True)


TWO = (torch_entry("r/data.pkl", b"\x80\x02N."), torch_entry("r/data/0", bytes(range(64))))
OTHER = (torch_entry("r/data.pkl", b"\x80\x02N."), torch_entry("r/data/0", bytes(64)))


# What is read


@pytest.mark.parametrize("make", [lambda: saved(lstm()), scripted, with_zipfile, aligned])
def test_every_body_is_what_zipfile_reads(make: Callable[[], bytes]) -> None:
    data = make()
    assert is_zip(over(data))
    assert list(contents(data).items()) == list(by_zipfile(data).items())


def places(stored: Span) -> list[int]:
    """Where the innermost checksum of a body is kept."""
    return [place.start for place in stored.seals[0].places]


@pytest.mark.parametrize("make", [lambda: saved(lstm()), scripted, with_zipfile, aligned])
def test_every_stored_body_is_sealed_by_its_checksum_wherever_it_is_kept(
    make: Callable[[], bytes],
) -> None:
    data = make()
    with placed(data) as span:
        for member in read_entries(span).values():
            stored = body(span, member)
            if member.method != archive.STORED or not stored.size:
                assert stored.seals == ()
                continue
            (seal,) = stored.seals
            assert (seal.covers.at, seal.covers.size, seal.stored) == (
                stored.at,
                stored.size,
                zlib.crc32(stored.read()),
            )
            assert len(seal.places) == 2
            for place in seal.places:
                assert struct.unpack_from("<L", data, place.start) == (seal.stored,)


def test_torch_keeps_the_checksum_in_the_directory_and_behind_the_body() -> None:
    data = saved(lstm())
    with placed(data) as span:
        member = read_entries(span)["archive/data/0"]
        stored = body(span, member)
        assert member.flags == 0x808
        assert stored.at is not None
        assert places(stored) == [member.crc_at, stored.at + stored.size + 4]
        assert data[stored.at + stored.size :][:4] == b"PK\7\x08"


def test_zipfile_keeps_the_checksum_in_the_directory_and_the_local_header() -> None:
    with placed(with_zipfile()) as span:
        member = read_entries(span)["a/one"]
        assert places(body(span, member)) == [member.crc_at, member.header_at + 14]


def test_patching_the_sealed_places_satisfies_zipfile_and_torch() -> None:
    """The reason for seals: bytes and checksums changed at these places alone give a valid
    archive.
    """
    data = bytearray(saved(lstm()))
    with placed(bytes(data)) as span:
        stored = body(span, read_entries(span)["archive/data/2"])
        new = struct.pack(f"<{stored.size // 4}f", *range(stored.size // 4))
        assert stored.at is not None
        data[stored.at : stored.at + stored.size] = new
        for place in places(stored):
            data[place : place + 4] = zlib.crc32(new).to_bytes(4, "little")
    assert by_zipfile(bytes(data))["archive/data/2"] == new
    assert torch.load(io.BytesIO(data))["bias_ih_l0"].tolist() == list(range(16))


def test_switched_off_checksums_are_left_alone() -> None:
    data = without_checksums()
    with placed(data) as span:
        found = read_entries(span)
        assert {member.crc for member in found.values()} == {0}
        assert all(body(span, member).seals == () for member in found.values())


def test_an_archive_in_an_archive_keeps_its_places_and_both_seals() -> None:
    inner = build(*TWO)
    with placed(build(torch_entry("outer", inner))) as span:
        held = body(span, read_entries(span)["outer"])
        stored = body(held, read_entries(held)["r/data/0"])
        assert held.at is not None
        assert stored.at == held.at + inner.index(bytes(range(64)))
        assert [seal.stored for seal in stored.seals] == [
            zlib.crc32(bytes(range(64))),
            zlib.crc32(inner),
        ]
        for seal in stored.seals:
            for place in seal.places:
                assert place.read() == seal.stored.to_bytes(4, "little")


def test_a_deflated_body_has_no_place() -> None:
    with placed(with_zipfile()) as span:
        inflated = body(span, read_entries(span)["a/two"])
        assert inflated.at is None
        assert inflated.seals == ()


def test_an_empty_record_has_no_descriptor() -> None:
    data = build(torch_entry("r/none", b""), *TWO)
    with placed(data) as span:
        empty = body(span, read_entries(span)["r/none"])
        assert (empty.size, empty.seals) == (0, ())
    assert contents(data) == by_zipfile(data)


def test_sizes_and_places_in_zip64_fields() -> None:
    data = build(
        *(torch_entry(f"r/{k}", bytes([k]) * 9, claims_64=True) for k in range(3)), zip64=True
    )
    assert contents(data) == by_zipfile(data)


def test_a_miniz_local_zip64_field_is_ignored() -> None:
    odd = struct.pack("<2H2Q", 1, 16, 64, 0)  # (size, 0), as torch writes for bodies of over 4 GiB
    data = build(torch_entry("r/data/0", bytes(range(64)), local_extra=odd), zip64=True)
    assert contents(data) == {"r/data/0": bytes(range(64))}


def test_an_end_record_may_refer_to_the_zip64_one() -> None:
    huge = {"here": 0xFFFF, "entries": 0xFFFF, "size": 0xFFFFFFFF, "at": 0xFFFFFFFF}
    assert list(contents(build(*TWO, zip64=True, end=huge))) == ["r/data.pkl", "r/data/0"]


def test_entries_in_another_order_than_in_the_directory() -> None:
    first = build(*TWO)
    second_at = first.index(b"PK\3\4", 1)
    at = first.index(b"PK\1\2")
    directory = first[at:-22]
    cut = directory.index(b"PK\1\2", 1)
    data = first[:at] + directory[cut:] + directory[:cut] + first[-22:]
    assert list(contents(data)) == ["r/data/0", "r/data.pkl"]
    found = read_entries(over(data))
    assert [found[name].limit for name in found] == [at, second_at]


def test_an_empty_archive() -> None:
    assert read_entries(over(build())) == {}
    assert not is_zip(over(build()))
    assert not is_zip(over(b"PK"))


def test_a_directory_longer_than_the_first_read() -> None:
    data = build(*(torch_entry(f"r/data/{k}", b"x") for k in range(400)), zip64=True)
    assert len(data) - data.index(b"PK\1\2") > archive.TAIL
    assert len(read_entries(over(data))) == 400


def test_only_the_directory_and_the_headers_are_read() -> None:
    """The cost does not grow with the file: 2 preads for one body of 4 MB, and one more for its
    checksum's place.
    """
    reads: list[int] = []

    class Watched(BytesSource):
        placed = True

        def read(self, at: int, n: int) -> bytes:
            reads.append(n)
            return super().read(at, n)

    data = saved({"w": torch.zeros(1_000_000)})
    span = span_all(Watched(data))
    stored = body(span, read_entries(span)["archive/data/0"])
    assert stored.size == 4_000_000
    assert len(reads) == 2
    assert len(stored.seals[0].places) == 2
    assert len(reads) == 3
    assert max(reads) <= archive.TAIL


@pytest.mark.parametrize(
    ("lies", "kept"),
    [
        ({"sign_descriptor": False}, 1),
        ({"descriptor_crc": 1}, 1),
        ({}, 2),
        ({"descriptor": False, "local_crc": 5}, 1),
        ({"descriptor": False}, 2),
    ],
)
def test_a_place_that_does_not_hold_the_checksum_is_no_place_of_it(
    lies: dict[str, int], kept: int
) -> None:
    with placed(build(torch_entry("r/data/0", b"four" * 4, **lies))) as span:
        (member,) = read_entries(span).values()
        assert len(body(span, member).seals[0].places) == kept


def test_a_wrong_checksum_is_read_and_sealed_as_it_is_stored() -> None:
    with placed(build(torch_entry("r/data/0", b"four" * 4, crc=1))) as span:
        (member,) = read_entries(span).values()
        assert body(span, member).seals[0].stored == 1 != zlib.crc32(b"four" * 4)


# What is refused: the archives that torch and zipfile take differently, or that one of them refuses

JOINED = build(*TWO) + build(*OTHER)
HIDDEN_IN_COMMENT = build(*TWO, comment=build(*OTHER))
INSIDE = TWO[1].data.index(b"\x10")


def as_deflated(raw: bytes, size: int) -> bytes:
    """An archive whose one body is `raw` and said to be deflated."""
    stored = build(entry("r/0", raw, size=size))
    return stored.replace(b"\x14\0\0\0\0\0\0\0\x21", b"\x14\0\0\0\x08\0\0\0\x21")


def unfinished(data: bytes) -> bytes:
    """A deflate stream that gives all the data, but has no last block."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush(zlib.Z_SYNC_FLUSH)


def claiming(**lies: object) -> bytes:
    return build(TWO[0], torch_entry("r/data/0", bytes(range(64)), **lies))


REFUSED: dict[str, tuple[bytes, str]] = {
    "two archives joined": (JOINED, "ambiguous"),
    "an archive in the comment of another": (HIDDEN_IN_COMMENT, "ambiguous"),
    "a comment": (build(*TWO, comment=b"hello"), "ambiguous"),
    "a comment that is not there": (build(*TWO)[:-2] + b"\5\0", "ambiguous"),
    "1 KB appended": (build(*TWO, suffix=bytes(1024)), "ambiguous"),
    "one byte appended": (build(*TWO, suffix=b"\n"), "ambiguous"),
    "70 KB appended": (build(*TWO, suffix=bytes(70_000)), "truncated"),
    "cut in the directory": (build(*TWO)[:-30], "truncated"),
    "cut in the first body": (build(*TWO)[:44], "truncated"),
    "cut in the end record": (build(*TWO, zip64=True)[:-1], "ambiguous"),
    "prepended, places absolute": (build(*TWO, prefix=b"PK\3\4 and junk"), "ambiguous"),
    "prepended, places relative": (b"PK\3\4" + build(*TWO), "ambiguous"),
    "a gap before the end record": (build(*TWO, gap=b"gap"), "ambiguous"),
    "duplicate names": (build(*TWO, torch_entry("r/data/0", bytes(64))), "ambiguous"),
    "names equal but for case": (build(*TWO, torch_entry("r/Data.pkl", b"N.")), "ambiguous"),
    "names equal but for non-ASCII case": (build(entry("r/\u00e9"), entry("r/\u00c9")), "ambiguous"),
    "NUL in a name": (build(*TWO, entry(b"r/data.pkl\0x", b"N.")), "ambiguous"),
    "a newline in a name": (build(entry("r/a\nb")), "ambiguous"),
    "a C1 control character in a name": (build(entry("r/a\x85b")), "ambiguous"),
    "a backslash in a name": (build(entry("r\\data.pkl")), "ambiguous"),
    "a name that is not UTF-8": (build(entry(b"r/\xff")), "malformed"),
    "an empty name": (build(entry(b"")), "limit"),
    "a long name": (build(entry(b"r" * 513)), "limit"),
    "another name in the local header": (claiming(local_name=b"r/data/1"), "ambiguous"),
    "a longer name in the local header": (claiming(local_name=b"r/data/00"), "ambiguous"),
    "encrypted says the local header": (claiming(local_flags=0x809), "ambiguous"),
    "another method in the local header": (claiming(local_method=8), "ambiguous"),
    "encrypted says the directory": (claiming(flags=0x801), "unsupported"),
    "method 99": (claiming(method=99), "unsupported"),
    "method 12": (claiming(method=12), "unsupported"),
    "stored with two sizes": (claiming(size=65), "malformed"),
    "no local header": (claiming(local_signature=b"PK\3\5"), "malformed"),
    "a body beyond the directory": (claiming(size=1 << 20, stored_size=1 << 20), "ambiguous"),
    "a header beyond the file": (build(*TWO, torch_entry("r/far", b"", header_at=1 << 30)), "ambiguous"),
    "two entries over one body": (build(*TWO, torch_entry("r/data/1", b"", header_at=0)), "ambiguous"),
    "an entry inside another": (build(*TWO, torch_entry("r/data/1", b"", header_at=INSIDE)), "ambiguous"),
    "a local extra field that pushes the body on": (
        build(torch_entry("r/0", b"x" * 8), torch_entry("r/1", b"y" * 8)).replace(
            b"\3\0\0\0r/0", b"\3\0\xff\0r/0", 1
        ),
        "ambiguous",
    ),
    "fewer entries than claimed": (build(*TWO, end={"entries": 3, "here": 3}), "malformed"),
    "more entries than claimed": (build(*TWO, end={"entries": 1, "here": 1}), "ambiguous"),
    "several disks": (build(*TWO, end={"disk": 1}), "unsupported"),
    "entries on another disk": (build(*TWO, end={"here": 1}), "unsupported"),
    "zip64 disagrees on the place": (build(*TWO, zip64=True, end={"at": 5}), "ambiguous"),
    "zip64 disagrees on the size": (build(*TWO, zip64=True, end64={"size": 5}), "ambiguous"),
    "zip64 disagrees on the count": (build(*TWO, zip64=True, end64={"entries": 1, "here": 1}), "ambiguous"),
    "zip64 locator points elsewhere": (build(*TWO, zip64=True, end64={"locator_at": 0}), "ambiguous"),
    "zip64 record of another size": (build(*TWO, zip64=True, end64={"record_size": 45}), "malformed"),
    "zip64 of several disks": (build(*TWO, zip64=True, end64={"disk": 1}), "unsupported"),
    "zip64 alone knows, and is not there": (build(*TWO, end={"at": 0xFFFFFFFF}), "ambiguous"),
    "a huge size without a zip64 field": (claiming(size=0xFFFFFFFF, stored_size=0xFFFFFFFF), "malformed"),
    "two zip64 fields": (claiming(claims_64=True, central_extra=struct.pack("<2HQ", 1, 8, 0)), "malformed"),
    "a zip64 field too short": (
        claiming(size=0xFFFFFFFF, stored_size=0xFFFFFFFF, central_extra=struct.pack("<2HQ", 1, 8, 64)), "malformed",
    ),
    "an extra field beyond the directory": (build(*TWO)[:-22][:-8] + build(*TWO)[-22:], "ambiguous"),
    "too many entries": (build(*TWO, zip64=True, end64={"entries": 1_000_001, "here": 1_000_001},
                               end={"entries": 0xFFFF, "here": 0xFFFF}), "limit"),
    "deflated to another size": (claiming(method=8, size=63), "malformed"),
    "not deflated at all": (as_deflated(b"\xff" * 20, 20), "malformed"),
    "deflated without an end": (as_deflated(unfinished(b"abcd"), 4), "malformed"),
    "deflated with bytes behind the end": (as_deflated(b"\3\0junk", 0), "malformed"),
    "deflated beyond the cap": (claiming(method=8, size=zip_body.MAX_INFLATED + 1), "limit"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    data, kind = REFUSED[case]
    with pytest.raises(MalformedFile) as caught:
        contents(data)
    assert (caught.value.kind, caught.value.at) == (kind, None)


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_place_inside_the_file(case: str) -> None:
    data, kind = REFUSED[case]
    with placed(data) as span, pytest.raises(MalformedFile) as caught:
        [body(span, member) for member in read_entries(span).values()]
    assert caught.value.kind == kind
    assert caught.value.at is not None
    assert 0 <= caught.value.at <= len(data)


def test_one_header_for_two_entries_is_an_overlap_for_the_directory_alone() -> None:
    with pytest.raises(MalformedFile, match="overlaps another entry"):
        read_entries(
            over(build(torch_entry("r/a", b"12345678"), torch_entry("r/b", b"", header_at=0)))
        )


def test_zipfile_reads_another_archive_than_the_first_when_two_are_joined() -> None:
    """Why joined archives are refused: torch's miniz takes absolute places, and so the first one's
    bodies.
    """
    a, b = saved({"w": torch.zeros(4)}), saved({"w": torch.ones(4)})
    assert by_zipfile(a + b)["archive/data/0"] == torch.ones(4).numpy().tobytes()
    assert torch.load(io.BytesIO(a + b))["w"].tolist() == [0, 0, 0, 0]
    with pytest.raises(MalformedFile, match="two archives are joined"):
        read_entries(over(a + b))


def test_torch_finds_names_without_regard_to_case() -> None:
    """Why names that differ by case alone are refused: which of the two torch takes depends on the
    layout.
    """
    plain = saved({"w": torch.zeros(4)})
    data = plain.replace(b"archive/data.pkl", b"archive/Data.pkl")
    assert torch.load(io.BytesIO(data))["w"].tolist() == [0, 0, 0, 0]


def test_torch_ignores_the_local_name() -> None:
    """Why a local name must be the directory's: torch loads what `zipfile` refuses."""
    plain = saved({"w": torch.zeros(4)})
    data = plain.replace(b"archive/data/0", b"archive/data/7", 1)
    assert torch.load(io.BytesIO(data))["w"].tolist() == [0, 0, 0, 0]
    with pytest.raises(zipfile.BadZipFile):
        by_zipfile(data)
    with pytest.raises(MalformedFile, match="contradicts"):
        contents(data)


def test_a_bomb_is_not_inflated() -> None:
    """60 KB that claim to be 64 bytes: no more than one byte beyond the claim is ever made."""
    import tracemalloc

    data = build(entry("r/0", bytes(60 << 20), method=8, size=64))
    tracemalloc.start()
    with pytest.raises(MalformedFile, match="does not inflate to the 64 bytes"):
        contents(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_the_directory_size_is_bounded_before_it_is_read() -> None:
    class Endless:
        name, size, placed = "sparse", (1 << 40) + 22, True

        def read(self, at: int, n: int) -> bytes:
            assert n < 1 << 20
            return bytes(n - 98) + _zip64_tail(1 << 40) if at + n == self.size else bytes(n)

    with pytest.raises(MalformedFile) as caught:
        read_entries(span_all(Endless()))
    assert caught.value.kind == "limit"


def _zip64_tail(total: int) -> bytes:
    """End records of a directory of 100 MB that ends where they begin, at the end of `total` + 22
    bytes.
    """
    at = total + 22 - 98
    size = 100 << 20
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 9, 9, size, at - size)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, at, 1) + end


# Whatever the bytes

VALID = {
    "torch": saved(lstm()),
    "script": scripted(),
    "zipfile": with_zipfile(),
    "crafted": build(*TWO, zip64=True),
}


def mutant(original: bytes, dice: random.Random) -> bytes:
    """The archive with up to four accidents, most of them in its end records and directory."""
    data = bytearray(original)
    for _ in range(dice.randint(1, 4)):
        at = max(1, len(data) - 1 - dice.randrange(dice.choice([len(data), 150, 1500])))
        accident = dice.choice(["flip", "flip", "cut", "insert", "huge", "drop"])
        if accident == "flip":
            data[at : at + 1] = bytes([dice.randrange(256)])
        elif accident == "huge":
            data[at : at + 4] = b"\xff\xff\xff\xff"
        elif accident == "insert":
            data[at:at] = dice.randbytes(dice.randint(1, 30))
        else:
            del data[at : at + dice.randint(1, 30) if accident == "drop" else None]
    return bytes(data)


@pytest.mark.parametrize("name", VALID)
def test_mutated_archives_are_read_or_refused(name: str) -> None:
    dice = random.Random(name)
    kinds = set()
    for _ in range(2000):
        data = mutant(VALID[name], dice)
        try:
            contents(data)
        except MalformedFile as error:
            kinds.add(error.kind)
        except AuditError as error:
            pytest.fail(f"{error!r} of {data!r}")
    assert kinds >= {"malformed", "truncated", "ambiguous"}


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for candidate in (
        data,
        b"PK\3\4" + data,
        data + build()[-22:],
        build(*TWO)[:-22] + data + build(*TWO)[-22:],
    ):
        try:
            contents(candidate)
        except MalformedFile:
            continue


def test_craft_is_honest(tmp_path: Path) -> None:
    """What is not falsified is valid: zipfile reads it, and so does torch."""
    data = build(
        *(torch_entry(n, c) for n, c in by_zipfile(saved({"w": torch.ones(2)})).items()), zip64=True
    )
    assert torch.load(io.BytesIO(data))["w"].tolist() == [1, 1]
    with zipfile.ZipFile(io.BytesIO(data)) as reader:
        assert reader.testzip() is None
    assert isinstance(TWO[0], Entry)
    assert Member._fields[-1] == "limit"
    assert data[data.index(b"PK\1\2") + CENTRAL_CRC :][:4] == zlib.crc32(
        contents(data)["archive/data.pkl"]
    ).to_bytes(4, "little")
