"""A patch of what is stored in archives inside archives: every checksum above it holds, innermost
first, and undo gives back the same bytes.
"""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

import lstm_audit
from lstm_audit.errors import NotPatchable

FIXTURES = Path(__file__).parents[2] / "fixtures"
LEAVES = {
    "a.pt": "clean/lstm.pt",
    "b.safetensors": "clean/lstm.safetensors",
    "c.keras": "keras/archive.keras",
    "d.h5": "keras/named.h5",
    "e.onnx": "graphs/torchscript.onnx",
    "f.npz": "converted/tensorflow.npz",
}


def zipped(name: str, raw: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("readme.txt", b"before")
        archive.writestr(name, raw)
        archive.writestr("last.txt", b"after")
    return made.getvalue()


def tarred(name: str, raw: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for entry, data in (("readme.txt", b"before"), (name, raw)):
            info = tarfile.TarInfo(entry)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


PACK: dict[str, Callable[[str, bytes], bytes]] = {"zip": zipped, "tar": tarred}
CHAINS = [("zip",), ("tar",), ("zip", "zip"), ("tar", "zip"), ("zip", "tar"), ("zip", "zip", "zip"), ("tar", "zip", "tar")]  # fmt: skip


def member(kind: str, raw: bytes, name: str) -> bytes:
    """A member by the standard library, which holds it against its checksum."""
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            assert archive.testzip() is None
            return archive.read(name)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        found = archive.extractfile(name)
        assert found is not None
        return found.read()


def nested(chain: tuple[str, ...], leaf: str) -> tuple[bytes, list[str]]:
    """The archive whose kinds are those of the chain, outermost first; the names on the way in."""
    name, raw, names = leaf, (FIXTURES / LEAVES[leaf]).read_bytes(), list[str]()
    for depth, kind in enumerate(reversed(chain)):
        raw = PACK[kind](name, raw)
        names.insert(0, name)
        name = f"inner{depth}.{kind}"
    return raw, names


@pytest.mark.parametrize("leaf", LEAVES)
@pytest.mark.parametrize("chain", CHAINS, ids="-".join)
@pytest.mark.parametrize("in_place", [False, True])
def test_every_checksum_above_holds(
    chain: tuple[str, ...], leaf: str, in_place: bool, tmp_path: Path
) -> None:
    raw, names = nested(chain, leaf)
    path = tmp_path / f"outer.{chain[0]}"
    path.write_bytes(raw)
    locator = "!".join([str(path), *names])
    before = lstm_audit.audit(locator).rows
    assert before
    lstm_audit.patch(locator, forget_bias=0.75, in_place=in_place)
    found = path.read_bytes()
    assert len(found) == len(raw)
    for kind, name in zip(chain, names, strict=True):
        found = member(kind, found, name)
    (tmp_path / leaf).write_bytes(found)
    if zipfile.is_zipfile(tmp_path / leaf) and leaf != "b.safetensors":
        with zipfile.ZipFile(tmp_path / leaf) as inner:
            assert inner.testzip() is None or (leaf == "a.pt" and not any(e.CRC for e in inner.infolist()))  # fmt: skip
    alone = lstm_audit.audit(tmp_path / leaf).rows
    assert len(alone) == len(before)
    assert {row.measures.gates["f"].max for row in alone} == {0.75}
    lstm_audit.undo(path)
    assert path.read_bytes() == raw


def test_a_compressed_member_on_the_way_is_refused(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.zip", zipped("a.pt", (FIXTURES / LEAVES["a.pt"]).read_bytes()))
    raw = tarred("mid.zip", made.getvalue())
    path = tmp_path / "outer.tar"
    path.write_bytes(raw)
    locator = f"{path}!mid.zip!inner.zip!a.pt"
    assert lstm_audit.audit(locator).rows
    with pytest.raises(NotPatchable):
        lstm_audit.patch(locator, forget_bias=0.75)
    assert path.read_bytes() == raw
    assert zlib.crc32(raw)
