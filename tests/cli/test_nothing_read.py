"""Inputs that hold nothing to read: one wording for every command."""

from pathlib import Path

import pytest
from command import run


@pytest.mark.parametrize(
    "words",
    [
        ("audit",), ("check",), ("lint",), ("lint", "--fix"), ("lint", "--statistics"),
        ("audit", "--statistics"), ("trend",), ("patch", "--forget-bias", "1"), ("undo",),
        ("audit", "-f", "markdown"),
    ],
)  # fmt: skip
def test_a_folder_of_nothing(words: tuple[str, ...], tmp_path: Path) -> None:
    done = run(*words, str(tmp_path))
    assert done.exit_code == 4
    assert "nothing was read" in (done.stdout + done.stderr).splitlines()[0]
