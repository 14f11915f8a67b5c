"""The README is true: its tables are the code's, its commands print what it says, its Python
runs.
"""

import re
from pathlib import Path

import pytest
import readme

from lstm_audit.cli.group import COMMANDS
from lstm_audit.reports import REPORTS

TEXT = readme.README.read_text()
PYTHON = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SHELL = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_generated_tables_are_up_to_date() -> None:
    assert readme.with_tables(TEXT) == TEXT, "run `python tests/readme.py`"


def test_console_blocks_print_what_they_say() -> None:
    assert readme.with_output(TEXT) == TEXT, "run `python tests/readme.py`"


def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks are read from top to bottom, as a person types them."""
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "readme"}
    for code in PYTHON:
        exec(compile(code, "README.md", "exec"), names)


def test_every_command_and_format_is_named() -> None:
    for command in COMMANDS:
        assert re.search(rf"`{command}\b", TEXT), command
    for name in REPORTS:
        assert f"`{name}`" in TEXT, name


def test_the_two_commands_of_a_fresh_clone_stand_there_and_ci_runs_the_second() -> None:
    audit, tests = (block.strip() for block in SHELL if block.startswith("python3 -m venv"))
    assert audit.endswith(".venv/bin/lstm-audit audit fixtures/clean")
    assert tests.endswith("&& .venv/bin/pytest")
    assert tests in (readme.ROOT / ".ci" / "run").read_text()
