"""The README and the documentation are true: their tables are the code's, their commands print what
they say, their Python runs.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pages
import pytest

from lstm_audit.cli.group import COMMANDS
from lstm_audit.reports import REPORTS

TEXT = pages.README.read_text()
SHELL = re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return str(page.relative_to(pages.ROOT))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


ALONE = [
    pytest.param(code, id=f"{name(page)}-{k}")
    for page in pages.PAGES
    if "reference/python" not in name(page)
    for k, code in enumerate(blocks(page, "python"))
]
COMMAND_LINES = [
    pytest.param(block, id=f"{name(page)}-{k}")
    for page in pages.PAGES
    for k, block in enumerate(blocks(page, "sh"))
    if block.startswith("lstm-audit ") and "fixtures/" in block
]


@pytest.mark.parametrize("page", pages.PAGES, ids=name)
def test_nothing_has_to_be_filled_in(page: Path) -> None:
    """What is pasted works as it stands: no OWNER, no COMMIT, and no such word in angle brackets."""
    pasted = "\n".join(re.findall(r"^ *```.*?^ *```$", page.read_text(), re.MULTILINE | re.DOTALL))
    left = r"\b(OWNER|COMMIT|SHA|TODO|FIXME|YOUR[_-]\w+)\b|<(owner|commit|user|org|repo|version)>"
    assert not re.search(left, pasted)


@pytest.mark.parametrize("page", pages.PAGES, ids=name)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text()
    assert pages.with_tables(text) == text, "run `python tests/pages.py`"


@pytest.mark.parametrize("page", pages.PAGES, ids=name)
def test_console_blocks_print_what_they_say(page: Path) -> None:
    text = page.read_text()
    assert pages.with_output(text) == text, "run `python tests/pages.py`"


@pytest.mark.parametrize("code", ALONE)
def test_python_runs_alone(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block in a namespace and a folder of its own, as a person pastes it."""
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page", "exec"), {"__name__": "page"})


@pytest.mark.parametrize("block", COMMAND_LINES)
def test_commands_run_alone(block: str, tmp_path: Path) -> None:
    shutil.copytree(pages.ROOT / "fixtures", tmp_path / "fixtures")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", block], cwd=tmp_path, capture_output=True, check=False,
        env={**pages.ENVIRONMENT, "PATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()


def test_every_command_and_format_is_named() -> None:
    for command in COMMANDS:
        assert re.search(rf"`{command}\b", TEXT), command
    for report in REPORTS:
        assert f"`{report}`" in TEXT, report


def test_the_readme_is_short() -> None:
    assert len(TEXT.splitlines()) <= 180


def test_links_lead_somewhere() -> None:
    for page in pages.PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{name(page)}: {target}"


def test_the_two_commands_of_a_fresh_clone_stand_there_and_ci_runs_the_second() -> None:
    audit, tests = (block.strip() for block in SHELL if block.startswith("python3 -m venv"))
    assert ".venv/bin/pip install . && .venv/bin/lstm-audit audit" in audit
    assert tests.endswith("&& .venv/bin/pytest")
    assert tests in (pages.ROOT / ".ci" / "run").read_text()


def test_what_other_programs_read_is_pinned() -> None:
    """Workflows use other actions at full commit ids, and ask for no right that they do not name."""
    for path in (pages.ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        assert "permissions: {}" in text
        for used in re.findall(r"uses: (\S+)", text):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", used), used
