"""`errors[].at` is a byte of the file, or null where the bytes were computed."""

import gzip
import random
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import lstm_audit
from lstm_audit.facts import FileError
from lstm_audit.formats import read_checkpoint
from lstm_audit.raw.span import span_of

ROOT = Path(__file__).parents[2]
FIXTURES = [
    path
    for room in ("clean", "graphs", "hostile", "keras")
    for path in sorted((ROOT / "fixtures" / room).glob("*.*"))
    if path.is_file() and path.stat().st_size < 200_000
]


def damaged(data: bytes, seed: int) -> Iterator[bytes]:
    """A file cut short, and some with a few other bytes."""
    rng = random.Random(seed)
    yield data
    yield data[: len(data) // 2]
    yield data[:40]
    for _ in range(4):
        mutant = bytearray(data)
        for _ in range(3):
            mutant[rng.randrange(min(len(data), 4000))] = rng.randrange(256)
        yield bytes(mutant)


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
def test_what_was_inflated_has_no_place(path: Path, tmp_path: Path) -> None:
    """Of an error in a gzip stream or a deflated member there is no byte of the file to be said."""
    for number, data in enumerate(damaged(path.read_bytes() or b"\n", 1)):
        packed = tmp_path / f"{number}_{path.name}.gz"
        packed.write_bytes(gzip.compress(data, mtime=0))
        with zipfile.ZipFile(tmp_path / f"{number}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"in/{path.name}", data)
    errors = lstm_audit.audit(tmp_path, numbers_only=True).errors
    inner = [error for error in errors if "!" in error.path]
    assert not [error for error in inner if error.at is not None and not of_member(error)]


def of_member(error: FileError) -> bool:
    """Whether it is about the member of the archive, whose header has a place."""
    return "inflate" in error.message or "local header" in error.message


@pytest.mark.parametrize("path", FIXTURES, ids=lambda path: path.name)
def test_a_reader_says_no_place_of_bytes_that_have_none(path: Path) -> None:
    """Each reader itself: what was made in memory stands nowhere."""

    def beside(name: str) -> Any:
        raise lstm_audit.MalformedFile(f"no {name}")

    for data in damaged(path.read_bytes() or b"\n", 2):
        assert refused_at(data, beside) is None


def places_of(data: bytes, beside: Any) -> list[int | None]:
    """Where the tensors of a checkpoint in memory lie."""
    tensors = read_checkpoint(span_of(data), beside).tensors
    return [tensor.span.at for tensor in tensors.values()]


def refused_at(data: bytes, beside: Any) -> int | None:
    """The place of the error with which bytes in memory are refused."""
    try:
        places = places_of(data, beside)
    except lstm_audit.AuditError as error:
        return error.at
    return next((at for at in places if at is not None), None)


def test_a_stored_member_has_the_place_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    pointer = (ROOT / "fixtures" / "hostile" / "lfs_pointer.pt").read_bytes()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("first.txt", b"x" * 100)
        archive.writestr("model.h5", (ROOT / "fixtures/keras/keras_1.h5").read_bytes()[:900])
        archive.writestr("in/model.pt", pointer)
    errors = {error.path.partition("!")[2]: error for error in lstm_audit.audit(path).errors}
    assert errors["in/model.pt"].at == path.read_bytes().index(pointer)
    start = path.read_bytes().index(b"\x89HDF")
    at = errors["model.h5"].at
    assert at is not None
    assert start <= at <= start + 900


def test_a_fault_of_a_shard_is_at_no_byte_of_the_index(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors"}}')
    (tmp_path / "one.safetensors").write_bytes((90).to_bytes(8, "little") + b'{"a":' + b"[" * 85)
    (error,) = lstm_audit.audit(index).errors
    assert error.at is None
    assert re.search(r"shard 'one\.safetensors': .*\(at byte \d+\)", error.message)


@pytest.mark.parametrize(
    ("name", "data", "kind"),
    [
        ("model.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "lfs-pointer"),
        ("model.h5", b"<!DOCTYPE html><html></html>", "html"),
        ("model.safetensors", b"", "empty"),
        ("model.onnx", b"what nobody knows", "unknown-format"),
        ("notes.bin", b"what nobody knows", None),
        ("readme.txt", b"", None),
    ],
)
def test_a_member_in_the_place_of_a_checkpoint_is_said(
    name: str, data: bytes, kind: str | None, tmp_path: Path
) -> None:
    """As in a folder: beside a checkpoint that is read, the one that cannot be is no pass."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.pt", (ROOT / "fixtures" / "clean" / "lstm.pt").read_bytes())
        archive.writestr(name, data)
    found = lstm_audit.check(path)
    assert [error.kind for error in found.audit.errors] == ([kind] if kind else [])
    assert found.passed is (kind is None)


def test_places_are_asked_of_the_span() -> None:
    """`span.start` says where bytes lie in their source, which may be no file: an error's place is
    `span.at` or `span.place(offset)`.
    """
    raised = re.compile(r"(?:MalformedFile|UnknownFormat|NotPatchable)\((?:[^()]|\([^()]*\))*?\)")
    wrong = [
        (str(path.relative_to(ROOT)), call)
        for room in ("formats", "wire", "patching")
        for path in sorted((ROOT / "lstm_audit" / room).rglob("*.py"))
        for call in raised.findall(path.read_text())
        if re.search(r"\.start\b(?!\()|, 0[,)]", call)
    ]
    assert wrong == []
