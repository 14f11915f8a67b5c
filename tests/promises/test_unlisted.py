"""A folder that cannot be listed is said, also where a glob leads into it."""

import os
from pathlib import Path
from typing import Any

import pytest
from command import MODEL

import lstm_audit

SOURCE = "import torch\nlstm = torch.nn.LSTM(2, 3)\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Something to find, and beside it a folder that is closed, whoever asks."""
    for name in ("open", "closed"):
        inner = tmp_path / name / "deep"
        inner.mkdir(parents=True)
        (inner / "m.pt").write_bytes(MODEL.read_bytes())
        (inner / "s.py").write_text(SOURCE)
    real, closed = os.scandir, str(tmp_path / "closed" / "deep")

    def scandir(path: Any = ".") -> Any:
        if not isinstance(path, int) and os.fspath(path).rstrip("/") == closed:
            raise PermissionError(13, "Permission denied", closed)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    return tmp_path


@pytest.mark.parametrize(
    "pattern", ["**/*.pt", "*/deep/*.pt", "*/*/*.pt", "closed/**", "clos*/*/m*"]
)
def test_a_glob_into_a_closed_folder(pattern: str, folder: Path) -> None:
    found = lstm_audit.check(str(folder / pattern))
    assert not found.passed
    (error,) = found.audit.errors
    assert (error.path, error.kind) == (str(folder / "closed" / "deep"), "io")


@pytest.mark.parametrize("pattern", ["**/*.py", "*/deep/*.py", "closed/*/*.py"])
def test_a_glob_of_sources_into_a_closed_folder(pattern: str, folder: Path) -> None:
    (error,) = lstm_audit.lint(str(folder / pattern)).errors
    assert error.path == str(folder / "closed" / "deep")


@pytest.mark.parametrize("pattern", ["open/**/*.pt", "open/*/*.pt", "open/deep/[m].pt"])
def test_a_glob_past_it(pattern: str, folder: Path) -> None:
    assert lstm_audit.check(str(folder / pattern)).passed
