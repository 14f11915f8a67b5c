"""Checkpoints inside archives, held against what tarfile, zipfile and gzip make."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from command import CLEAN, MODEL, run

import lstm_audit
from lstm_audit.errors import MalformedFile
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire import gzip as wire_gzip
from lstm_audit.wire import tar as wire_tar

CELL = CLEAN / "cell.pt"
FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def tarred(members: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        folder = tarfile.TarInfo("a folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return made.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


TWO = {"./weights.th": MODEL.read_bytes(), "notes.txt": b"no model", "b/cell.pt": CELL.read_bytes()}


@pytest.mark.parametrize(
    "raw",
    [
        *(tarred(TWO, form) for form in FORMATS),
        gzip.compress(tarred(TWO)),
        zipped({name.removeprefix("./"): data for name, data in TWO.items()}),
        zipped({n.removeprefix("./"): d for n, d in TWO.items()}, zipfile.ZIP_DEFLATED),
    ],
    ids=["ustar", "gnu", "pax", "tar.gz", "zip", "deflated zip"],
)
def test_every_checkpoint_inside_is_one_of_the_report(raw: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.archive"
    path.write_bytes(raw)
    found = lstm_audit.audit(path)
    assert not found.errors
    assert [file.path for file in found.files] == [f"{path}!b/cell.pt", f"{path}!weights.th"]
    alone = [lstm_audit.audit(CELL), lstm_audit.audit(MODEL)]
    assert [f.rows for f in found.files] == [a.rows for a in alone] or all(
        [row.measures for row in file.rows] == [row.measures for row in one.rows]
        for file, one in zip(found.files, alone, strict=True)
    )
    assert {file.format for file in found.files} == {"archive"}


def test_one_checkpoint_of_an_archive_is_named_behind_an_exclamation_mark(tmp_path: Path) -> None:
    path = tmp_path / "model.tar"
    path.write_bytes(tarred(TWO))
    found = lstm_audit.audit(f"{path}!weights.th")
    assert [file.path for file in found.files] == [f"{path}!weights.th"]
    wrong = lstm_audit.audit(f"{path}!weight.th")
    assert "those inside: b/cell.pt, weights.th" in wrong.errors[0].message
    odd = tmp_path / "a!b.pt"
    odd.write_bytes(MODEL.read_bytes())
    assert lstm_audit.audit(odd).files[0].path == str(odd)


def test_archives_inside_archives(tmp_path: Path) -> None:
    path = tmp_path / "all.tar.gz"
    path.write_bytes(
        gzip.compress(tarred({"agents/a.zip": zipped({"policy.pth": MODEL.read_bytes()})}))
    )
    assert [f.path for f in lstm_audit.audit(path).files] == [f"{path}!agents/a.zip!policy.pth"]
    raw = MODEL.read_bytes()
    for _ in range(5):
        raw = zipped({"a.zip": raw})
    path.write_bytes(raw)
    (error,) = lstm_audit.audit(path).errors
    assert error.kind == "limit"


def test_a_broken_member_is_an_error_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "model.tar"
    path.write_bytes(tarred({"a.pt": MODEL.read_bytes()[:2000], "b.pt": MODEL.read_bytes()}))
    found = lstm_audit.audit(path)
    assert [error.path for error in found.errors] == [f"{path}!a.pt"]
    assert [file.path for file in found.files] == [f"{path}!b.pt"]
    assert run("audit", path).exit_code == 3


def test_an_archive_without_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    path.write_bytes(zipped({"a.csv": b"1,2"}))
    (error,) = lstm_audit.audit(path).errors
    assert (error.kind, error.message) == (
        "unknown-format",
        "an archive that holds no checkpoint; inside: none",
    )
    assert lstm_audit.audit(tmp_path).ignored == 1


def test_a_sharded_checkpoint_inside(tmp_path: Path) -> None:
    folder = CLEAN / "sharded"
    if not folder.is_dir():
        pytest.skip("no sharded fixture")
    members = {path.name: path.read_bytes() for path in folder.iterdir()}
    path = tmp_path / "all.tar"
    path.write_bytes(tarred(members))
    assert any("index.json" in file.path for file in lstm_audit.audit(path).files)


@pytest.mark.parametrize("form", FORMATS)
def test_members_are_those_of_tarfile(form: int) -> None:
    long = "d" * 90 + "/" + "n" * 80
    members = {"a": b"1", long: b"22" * 300, "empty": b"", "ü/x": b"3" * 512}
    raw = tarred(members, form)
    found = wire_tar.read_members(span_all(BytesSource(raw)))
    assert {name: body.read() for name, body in found.items()} == members


def test_a_name_twice_is_refused() -> None:
    both = tarred({"a": b"1"}).rstrip(b"\0") + b"\0" * 511
    both = both[: len(both) // 512 * 512] + tarred({"a": b"2"})
    with pytest.raises(MalformedFile, match="twice"):
        wire_tar.read_members(span_all(BytesSource(both)))


def test_an_endless_gzip_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire_gzip, "MAX_INFLATED", 1000)
    assert len(wire_gzip.inflate(span_all(BytesSource(gzip.compress(bytes(1000)))))) == 1000
    with pytest.raises(MalformedFile, match="unpack it first"):
        wire_gzip.inflate(span_all(BytesSource(gzip.compress(bytes(1001)))))


def test_members_of_gzip_that_follow_one_another_are_one_stream() -> None:
    raw = gzip.compress(b"one ") + gzip.compress(b"two") + bytes(100)
    assert (
        wire_gzip.inflate(span_all(BytesSource(raw))).read() == gzip.decompress(raw) == b"one two"
    )
    with pytest.raises(MalformedFile, match="too early"):
        wire_gzip.inflate(span_all(BytesSource(gzip.compress(bytes(5000))[:-10])))
