"""One command that patches several checkpoints of one file is taken back by one undo, whole."""

import io
import os
import shutil
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import pytest
from command import CLEAN, run
from kills import killed

import lstm_audit
from lstm_audit.errors import NotPatchable
from lstm_audit.patching.edits import Edit
from lstm_audit.patching.steps import compose
from lstm_audit.patching.whole import undo_checkpoint

MODELS = {"a/one.safetensors": "lstm.safetensors", "two.pt": "lstm.pt"}


def zipped(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return made.getvalue()


def tarred(members: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, data in members.items():
            head = tarfile.TarInfo(name)
            head.size = len(data)
            archive.addfile(head, io.BytesIO(data))
    return made.getvalue()


TWO = {name: (CLEAN / file).read_bytes() for name, file in MODELS.items()}
FILES = {
    "a.zip": zipped(TWO),
    "a.tar": tarred(TWO),
    # both under the CRC of the inner archive, which two patches change one after the other
    "nested.zip": zipped({"in.zip": zipped(TWO)}),
}


@pytest.fixture(params=FILES)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    path.write_bytes(FILES[path.name])
    return path


@pytest.mark.parametrize("mode", [[], ["--in-place"]], ids=["replace", "in place"])
def test_one_undo_takes_back_one_patch(path: Path, mode: list[str]) -> None:
    states = [path.read_bytes()]
    for value in ("2", "3"):
        assert run("patch", "-q", "--forget-bias", value, *mode, path).exit_code == 0
        states.append(path.read_bytes())
    for left, state in ((1, states[1]), (0, states[0])):
        (undone,) = lstm_audit.undo(path, in_place=bool(mode))
        assert (undone.remaining, path.read_bytes()) == (left, state)
    assert os.listdir(path.parent) == [path.name]


def test_python_patches_in_one_step_too_and_two_calls_are_two(path: Path) -> None:
    before = path.read_bytes()
    lstm_audit.patch(path, 2.0)
    lstm_audit.patch(f"{path}!{lstm_audit.audit(path).files[0].path.partition('!')[2]}", 3.0)
    (undone,) = lstm_audit.undo(path)
    assert undone.remaining == 1
    assert {round(row.measures.gates["f"].mean, 5) for row in lstm_audit.audit(path).rows} == {2.0}
    lstm_audit.undo(path)
    assert path.read_bytes() == before


def test_a_step_of_which_one_part_was_written_to_since_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(FILES["a.tar"])
    patched = lstm_audit.patch(path, 2.0)
    data = bytearray(path.read_bytes())
    data[patched.parts[0].files[0].edits[0].at] ^= 1
    path.write_bytes(data)
    with pytest.raises(NotPatchable, match="written to since"):
        lstm_audit.undo(path)
    assert path.read_bytes() == data


@pytest.mark.parametrize("mode", ["replace", "in-place"])
def test_a_kill_of_an_undo_leaves_all_of_the_step_or_nothing(tmp_path: Path, mode: str) -> None:
    patched = tmp_path / "patched" / "nested.zip"
    patched.parent.mkdir()
    patched.write_bytes(FILES["nested.zip"])
    lstm_audit.patch(patched, 2.0)
    old, new, at, code = FILES["nested.zip"], patched.read_bytes(), 0, 9
    while code:
        at += 1
        path = tmp_path / str(at) / "nested.zip"
        shutil.copytree(patched.parent, path.parent)
        code = killed(path, at, partial(undo_checkpoint, mode=mode))
        assert code in (0, 9)
        assert mode == "in-place" or path.read_bytes() in (old, new)
        for _ in range(2):  # the first may find a journal that was never finished
            if path.read_bytes() != old:
                lstm_audit.undo(path)
        assert path.read_bytes() == old
    assert at > 5


def test_edits_on_top_of_edits_are_one_patch() -> None:
    first = (Edit(2, b"cdef", b"CDEF", "a"), Edit(8, b"i", b"I", "a"))
    second = (Edit(0, b"abC", b"123", "b"), Edit(4, b"E", b"5", "b"), Edit(9, b"j", b"J", "b"))
    both = compose(first, second)
    before, after = b"abcdefghij", b"12" + b"3D5F" + b"ghIJ"
    assert all(before[edit.at : edit.end] == edit.old for edit in both)
    assert all(after[edit.at : edit.end] == edit.new for edit in both)
    assert [(edit.at, len(edit.old)) for edit in both] == [
        (0, 2), (2, 1), (3, 1), (4, 1), (5, 1), (8, 1), (9, 1)
    ]  # fmt: skip
