"""A whole file takes another's place: all of it, or nothing."""

import ast
import os
from pathlib import Path
from typing import Any

import pytest

from lstm_audit.replacing import replace_whole

PACKAGE = Path(__file__).parents[1] / "lstm_audit"

# A model, its undo record and what is set aside of a resumed run have rules of their own: a lock,
# the owner, a second reading, or a name that the next run must find again.
OF_THEIR_OWN = {"patching/apply.py", "patching/record.py", "resume.py"}


def test_a_link_is_followed_and_the_mode_is_set(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "name").symlink_to("real")
    with replace_whole(str(tmp_path / "name"), mode=0o640) as file:
        file.write(b"new")
        assert (tmp_path / "real").read_text() == "old"
    assert (tmp_path / "name").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_what_was_not_finished_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "name").write_text("old")

    def write() -> None:
        with replace_whole(str(tmp_path / "name")) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_an_interruption_while_the_file_is_opened_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes during the call, and is raised when it returns."""

    def interrupted(*words: Any) -> Any:
        open(*words).close()
        raise KeyboardInterrupt

    monkeypatch.setattr("lstm_audit.replacing.open", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt), replace_whole(str(tmp_path / "name")):
        pass
    assert not list(tmp_path.iterdir())


def test_a_file_under_the_temporary_name_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    other = tmp_path / f".lstm-audit-{'00' * 6}.tmp"
    other.write_text("another's")
    with pytest.raises(FileExistsError), replace_whole(str(tmp_path / "name")):
        pass
    assert [path.read_text() for path in tmp_path.iterdir()] == ["another's"]


def renames(text: str) -> bool:
    """Whether a module gives a file another's name."""
    calls = [node.func for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return any(ast.unparse(call) in ("os.replace", "os.rename") for call in calls)


def test_files_are_replaced_in_one_place() -> None:
    assert renames("if x:\n    os.rename(a, b)")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if renames(path.read_text())
    }
    assert found == {"replacing.py", *OF_THEIR_OWN}
