"""MessagePack, tar and zip against the readers that everybody has: what both accept, both read alike.

Drawn are values and archives as writers make them, and the same with a few bytes changed. Where
ours refuses, nothing follows; where it reads, the other reader must read the same, or refuse.
"""

import io
import random
import tarfile
import zipfile
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import Span, span_all
from lstm_audit.wire.msgpack import Raw, unpack
from lstm_audit.wire.tar import is_tar, read_members
from lstm_audit.wire.zip import read_entries
from lstm_audit.wire.zip_body import body

MANY = settings(max_examples=400, deadline=None)

SCALARS = (
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False) | st.floats(width=32, allow_nan=False) | st.text(max_size=40) | st.binary(max_size=300)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=9), inner, max_size=20),
    max_leaves=30,
)  # fmt: skip
CHANGES = st.lists(st.tuples(st.floats(0, 0.9999), st.integers(0, 255)), max_size=3)


def span(data: bytes) -> Span:
    return span_all(BytesSource(data))


def changed(data: bytes, changes: list[tuple[float, int]]) -> bytes:
    out = bytearray(data)
    for where, value in changes:
        out[int(where * len(out))] = value
    return bytes(out)


def loaded(value: Any) -> Any:
    """Ours with its places read, and texts and bytes alike: a text too long, or none, is a place."""
    if isinstance(value, Raw):
        return (value.extension, value.span.read()) if value.extension is not None else value.span.read()  # fmt: skip
    if isinstance(value, dict):
        return {loaded(key): loaded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [loaded(inner) for inner in value]
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


def plain(value: Any) -> Any:
    """The other reader's in the same form."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict):
        return {plain(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return (value.code, value.data) if hasattr(value, "code") else value


@MANY
@given(value=VALUES, single=st.booleans(), changes=CHANGES)
def test_messagepack(value: Any, single: bool, changes: list[tuple[float, int]]) -> None:
    msgpack = pytest.importorskip("msgpack", reason="msgpack is in the extra `references`")
    try:
        data = msgpack.packb(value, use_single_float=single)
    except OverflowError:  # a float that four bytes do not hold
        return
    assert loaded(unpack(span(data))) == plain(msgpack.unpackb(data, strict_map_key=False))
    data = changed(data, changes)
    try:
        ours = loaded(unpack(span(data)))
    except MalformedFile:
        return
    try:
        theirs = plain(
            msgpack.unpackb(data, strict_map_key=False, unicode_errors="backslashreplace")
        )
    except (ValueError, TypeError, msgpack.UnpackException):
        return
    assert repr(ours) == repr(theirs)  # a NaN is no NaN


NAMES = st.text("abc./é", min_size=1, max_size=130).filter(
    lambda n: n.strip("./") and "//" not in n
)
FILES = st.dictionaries(NAMES, st.binary(max_size=1500), min_size=1, max_size=6)


def told(name: str) -> str:
    """A member's name as our reader gives it: without what leads nowhere."""
    while name.startswith("./"):
        name = name[2:]
    return name


@MANY
@given(files=FILES, form=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), changes=CHANGES)  # fmt: skip
def test_tar(files: dict[str, bytes], form: int, changes: list[tuple[float, int]]) -> None:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        for name, raw in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            try:
                archive.addfile(entry, io.BytesIO(raw))
            except ValueError:  # a name that this form cannot hold
                return
    for data in (made.getvalue(), changed(made.getvalue(), changes)):
        if not is_tar(span(data)):
            assert data != made.getvalue()
            continue
        try:
            ours = {name: part.read() for name, part in read_members(span(data)).items()}
        except MalformedFile:
            continue
        theirs = {}
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
                for entry in archive:
                    reader = archive.extractfile(entry) if entry.isreg() else None
                    if reader is not None:
                        theirs[told(entry.name)] = reader.read()
        except tarfile.TarError:
            continue
        if data == made.getvalue():
            assert set(ours.values()) == set(theirs.values())
        assert {told(name.rstrip("/")): raw for name, raw in ours.items()} == {name.rstrip("/"): raw for name, raw in theirs.items()}  # fmt: skip


@MANY
@given(files=FILES, method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]), changes=CHANGES)  # fmt: skip
def test_zip(files: dict[str, bytes], method: int, changes: list[tuple[float, int]]) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, raw in files.items():
            archive.writestr(name, raw)
    for data in (made.getvalue(), changed(made.getvalue(), changes)):
        try:
            entries = read_entries(span(data))
            ours = {name: body(span(data), entry).read() for name, entry in entries.items()}
        except MalformedFile:
            continue
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                theirs = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        except (
            zipfile.BadZipFile,
            zlib.error,
            NotImplementedError,
            RuntimeError,
            EOFError,
            OSError,
            ValueError,
        ):
            continue  # a checksum that ours leaves to the patcher
        assert ours == theirs


def test_what_is_drawn_is_read() -> None:
    """At least an ordinary archive of each kind goes through: the tests above could pass by refusals."""
    rng = random.Random(1)
    files = {f"a/{k}.bin": rng.randbytes(700) for k in range(5)}
    packed, tarred = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive, tarfile.open(fileobj=tarred, mode="w") as other:
        for name, raw in files.items():
            archive.writestr(name, raw)
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            other.addfile(entry, io.BytesIO(raw))
    zipped = span(packed.getvalue())
    assert {n: body(zipped, e).read() for n, e in read_entries(zipped).items()} == files
    assert {n: s.read() for n, s in read_members(span(tarred.getvalue())).items()} == files
