"""A checkpoint in several files is patched as one: killed at any call, it is refused until `undo`
has taken all of it back.
"""

import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kills import killed

import lstm_audit
from lstm_audit.errors import AuditError, NotPatchable, Unreadable
from lstm_audit.interrupted import hot
from lstm_audit.patching import files, marker
from lstm_audit.patching.edits import Edit
from lstm_audit.patching.whole import undo_checkpoint

FIXTURE = Path(__file__).parents[2] / "fixtures" / "clean" / "sharded"
INDEX = "model.safetensors.index.json"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    return copied(tmp_path / "checkpoint")


def copied(folder: Path) -> Path:
    shutil.copytree(FIXTURE, folder)
    return folder / INDEX


def patch(path: str, **options: Any) -> None:
    lstm_audit.patch(path, forget_bias=-2.0, place="split", **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def means(index: Path) -> set[float]:
    return {round(row.measures.gates["f"].mean, 6) for row in lstm_audit.audit(index).rows}


BEFORE = contents(FIXTURE)


@pytest.mark.parametrize("options", [{}, {"in_place": True}, {"undo": False}], ids=str)
def test_a_kill_at_any_call_leaves_no_mixture(tmp_path: Path, options: dict[str, bool]) -> None:
    old, at, refused = means(FIXTURE / INDEX), 0, 0
    while True:
        at += 1
        index = copied(tmp_path / f"{at}")
        code = killed(index, at, partial(patch, **options))
        assert code in (0, 9)
        found = lstm_audit.audit(index)
        if found.errors:
            assert [error.kind for error in found.errors] == ["interrupted-patch"]
            refused += 1
        else:
            assert means(index) in (old, {-2.0})
        undo_checkpoint(str(index))
        if "undo" in options and means(index) == {-2.0}:
            assert not hot(str(index))
        else:
            assert {n: d for n, d in contents(index.parent).items() if n in BEFORE} == BEFORE
            assert means(index) == old
        shutil.rmtree(index.parent)
        if code == 0:
            break
    assert refused > 5, "the marker was met"


@pytest.mark.parametrize("mode", ["replace", "in-place"])
def test_a_kill_of_an_undo_at_any_call_leaves_no_mixture(tmp_path: Path, mode: str) -> None:
    old, at = means(FIXTURE / INDEX), 0
    while True:
        at += 1
        index = copied(tmp_path / f"{at}")
        patch(str(index))
        code = killed(index, at, partial(undo_checkpoint, mode=mode))
        found = lstm_audit.audit(index)
        if found.errors:
            assert [error.kind for error in found.errors] == ["interrupted-patch"]
        else:
            assert means(index) in (old, {-2.0})
        for _ in range(2):  # the first may find a marker that was never finished
            if means(index) != old:
                undo_checkpoint(str(index))
        assert {n: d for n, d in contents(index.parent).items() if n in BEFORE} == BEFORE
        patch(str(index))  # what is left is in nobody's way
        undo_checkpoint(str(index))
        assert contents(index.parent) == BEFORE
        shutil.rmtree(index.parent)
        if code == 0:
            break


def test_the_next_patch_takes_an_interrupted_one_back_first(index: Path) -> None:
    at = 0
    while (
        not hot(str(index))
        or contents(index.parent)["model-00001-of-00002.safetensors"]
        == (BEFORE["model-00001-of-00002.safetensors"])
    ):
        shutil.rmtree(index.parent)
        copied(index.parent)
        at += 1
        killed(index, at, patch)
    assert lstm_audit.patch(index, forget_bias=2.0, place="split").changed
    assert means(index) == {2.0}
    undo_checkpoint(str(index))
    assert contents(index.parent) == BEFORE


def test_a_shard_that_was_written_to_since_keeps_the_marker(index: Path) -> None:
    shard = index.parent / "model-00001-of-00002.safetensors"
    data = shard.read_bytes()
    part = marker.FileEdits(shard.name, len(data), (Edit(len(data) - 4, b"1234", b"5678", ""),))
    Path(marker.marker_path(str(index))).write_bytes(marker.pack_marker([part]))
    with pytest.raises(Unreadable, match="has been written to since"):
        undo_checkpoint(str(index))
    assert hot(str(index))
    assert shard.read_bytes() == data


def test_two_patches_at_once_do_not_meet(index: Path) -> None:
    part = marker.FileEdits("model-00001-of-00002.safetensors", 1, ())
    with marker.mark(str(index), [part]):
        with pytest.raises(AuditError, match="another process patches this checkpoint"):
            undo_checkpoint(str(index))
        with pytest.raises(AuditError, match="interrupted"), marker.mark(str(index), [part]):
            pass
    assert not hot(str(index))


def test_a_patch_that_does_not_read_back_is_taken_back_everywhere(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise NotPatchable("spoilt")

    monkeypatch.setattr("lstm_audit.patching.whole.verify_checkpoint", refuse)
    with pytest.raises(NotPatchable, match="spoilt"):
        lstm_audit.patch(index, forget_bias=1.0, place="split")
    assert contents(index.parent) == BEFORE


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "nul\0"])
def test_a_marker_names_only_files_beside_the_checkpoint(index: Path, name: str) -> None:
    data = marker.pack_marker([marker.FileEdits(name, 4, (Edit(0, b"1234", b"5678", ""),))])
    with pytest.raises(Unreadable, match="no file beside the checkpoint"):
        marker.parse_marker(data)
    with pytest.raises(NotPatchable):
        marker.collect_edits(str(index), "/elsewhere/shard", 4, ())


@pytest.mark.parametrize("keep", [0, 10, 60, -1])
def test_a_marker_that_was_never_finished_is_dropped(index: Path, keep: int) -> None:
    part = marker.FileEdits("model-00001-of-00002.safetensors", 1, (Edit(0, b"1234", b"5678", ""),))
    Path(marker.marker_path(str(index))).write_bytes(marker.pack_marker([part])[:keep])
    assert lstm_audit.audit(index).errors[0].kind == "interrupted-patch"
    assert undo_checkpoint(str(index))[0].state == "rolled-back"
    assert contents(index.parent) == BEFORE


def test_a_marker_that_is_too_large_is_refused_unread(index: Path) -> None:
    name = marker.marker_path(str(index))
    Path(name).touch()
    os.truncate(name, marker.MAX_MARKER + 1)
    with pytest.raises(AuditError, match="no regular file of at most"):
        undo_checkpoint(str(index))
    assert files.sidecar(str(index), "lstm-audit-patch") == name
