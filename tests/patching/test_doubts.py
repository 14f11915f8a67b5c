"""A disk that does not confirm a write: what then is on it is said, and the exit code is 3."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import lstm_audit
from lstm_audit.cli.group import group
from lstm_audit.errors import Unreadable
from lstm_audit.patching import journal

FAILURES = (errno.ENOSPC, errno.EIO)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "lstm.safetensors"
    save_file(nn.LSTM(3, 4).state_dict(), path)
    return path


def fail_fsync(monkeypatch: pytest.MonkeyPatch, after: str, code: int, folders: bool) -> list[int]:
    """Every fsync (of folders, or of files) fails once the named call of `os` was made."""
    real_call, real_sync, failed = getattr(os, after), os.fsync, list[int]()
    armed: list[bool] = []

    def call(*args: Any, **options: Any) -> Any:
        result = real_call(*args, **options)
        armed.append(True)
        return result

    def fsync(fd: int) -> None:
        if armed and stat.S_ISDIR(os.fstat(fd).st_mode) == folders:
            failed.append(fd)
            raise OSError(code, os.strerror(code))
        real_sync(fd)

    monkeypatch.setattr(os, after, call)
    monkeypatch.setattr(os, "fsync", fsync)
    return failed


def run(*words: object) -> Any:
    return CliRunner().invoke(group, [str(word) for word in words])


def mean(path: Path) -> float:
    return lstm_audit.audit(path).rows[0].measures.gates["f"].mean


@pytest.mark.parametrize("code", FAILURES)
def test_a_name_that_is_not_confirmed_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patcher:
        # the first rename is that of the undo record, whose own folder sync must pass
        real, renames = os.replace, list[str]()

        def replace(a: str, b: str) -> None:
            real(a, b)
            renames.append(b)

        real_sync = os.fsync

        def fsync(fd: int) -> None:
            if str(model) in renames and stat.S_ISDIR(os.fstat(fd).st_mode):
                raise OSError(code, os.strerror(code))
            real_sync(fd)

        patcher.setattr(os, "replace", replace)
        patcher.setattr(os, "fsync", fsync)
        done = run("patch", model, "--forget-bias", "2")
    assert done.exit_code == 3
    assert (
        f"not certain: the new bytes are written, but the folder could not be synced ({os.strerror(code)})"
        in done.stderr
    )
    assert "the old file may be back" in done.stderr
    assert mean(model) == 2.0
    assert run("undo", model).exit_code == 0


@pytest.mark.parametrize("code", FAILURES)
def test_python_raises_after_the_write(
    model: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fail_fsync(monkeypatch, "replace", code, folders=True)
    with pytest.raises(Unreadable, match="the new bytes are written"):
        lstm_audit.patch(model, forget_bias=2.0, undo=False)
    monkeypatch.undo()
    assert mean(model) == 2.0


@pytest.mark.parametrize("code", FAILURES)
def test_bytes_in_place_that_are_not_confirmed_are_taken_back(
    model: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    before, real, calls = model.read_bytes(), os.fsync, list[int]()

    def fsync(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), os.stat(model)):
            calls.append(fd)
            if len(calls) == 1:
                raise OSError(code, os.strerror(code))
        real(fd)

    with monkeypatch.context() as patcher:
        patcher.setattr(os, "fsync", fsync)
        done = run("patch", model, "--forget-bias", "2", "--in-place")
    assert (done.exit_code, len(calls)) == (3, 2)
    assert f"{os.strerror(code)}: the file holds its old bytes" in done.stderr
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]


@pytest.mark.parametrize("code", FAILURES)
def test_a_disk_that_confirms_nothing_more_leaves_the_journal(
    model: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    before, real = model.read_bytes(), os.fsync

    def fsync(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), os.stat(model)):
            raise OSError(code, os.strerror(code))
        real(fd)

    with monkeypatch.context() as patcher:
        patcher.setattr(os, "fsync", fsync)
        done = run("patch", model, "--forget-bias", "2", "--in-place")
        assert done.exit_code == 3
        assert f"({os.strerror(code)}): the file reads as its old bytes" in done.stderr
        assert "the disk did not confirm them, so that after a power cut" in done.stderr
        assert "`lstm-audit undo` restores the old bytes" in done.stderr
        assert journal.hot(str(model))
        again = run("undo", model)
        assert again.exit_code == 3
        assert "the disk would not confirm its old bytes" in again.stderr
        assert journal.hot(str(model))
    assert run("audit", "--no-config", model).exit_code == 3
    assert run("undo", model).exit_code == 0
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("good", "said"),
    [(0, "reads as its old bytes"), (1, "old and new bytes mixed, but"), (2, "as its new bytes")],
)
def test_what_a_file_reads_as_that_cannot_be_taken_back_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, good: int, said: str
) -> None:
    model, real, writes = tmp_path / "m.safetensors", os.pwrite, list[int]()
    save_file(nn.LSTM(3, 4).state_dict(), model)

    def pwrite(fd: int, data: bytes, at: int) -> int:
        if os.path.samestat(os.fstat(fd), os.stat(model)):
            writes.append(at)
            if len(writes) > good:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(fd, data, at)

    def fsync(fd: int) -> None:
        if os.path.samestat(os.fstat(fd), os.stat(model)):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pwrite", pwrite)
    monkeypatch.setattr(os, "fsync", fsync)
    done = run("patch", model, "--forget-bias", "2", "--in-place", "--place", "ih")
    assert done.exit_code == 3
    assert said in done.stderr


@pytest.mark.parametrize("code", FAILURES)
def test_a_journal_that_may_come_back_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patcher:
        fail_fsync(patcher, "unlink", code, folders=True)
        done = run("patch", model, "--forget-bias", "2", "--in-place")
    assert done.exit_code == 3
    assert "not certain: the folder could not be synced" in done.stderr
    assert "the journal may be back" in done.stderr
    assert mean(model) == 2.0


@pytest.mark.parametrize("code", FAILURES)
def test_an_undo_record_that_is_not_confirmed_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    before = model.read_bytes()
    run("patch", model, "--forget-bias", "2")
    with monkeypatch.context() as patcher:
        fail_fsync(patcher, "unlink", code, folders=True)
        done = run("undo", model)
    assert done.exit_code == 3
    assert "the undo record could not be brought up to date" in done.stderr
    assert model.read_bytes() == before


@pytest.mark.parametrize("code", FAILURES)
def test_an_output_that_is_not_confirmed_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with monkeypatch.context() as patcher:
        fail_fsync(patcher, "link", code, folders=True)
        done = run(
            "patch", model, "--forget-bias", "2", "--output", model.parent / "new.safetensors"
        )
    assert done.exit_code == 3
    assert "not certain" in done.stderr
    assert mean(model.parent / "new.safetensors") == 2.0


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP])
@pytest.mark.parametrize("mode", [[], ["--in-place"]])
def test_a_file_system_whose_folders_cannot_be_synced_is_no_trouble(
    model: Path, monkeypatch: pytest.MonkeyPatch, code: int, mode: list[str]
) -> None:
    failed = fail_fsync(monkeypatch, "stat", code, folders=True)
    done = run("patch", model, "--forget-bias", "2", *mode)
    assert (done.exit_code, done.stderr) == (0, "")
    assert failed
