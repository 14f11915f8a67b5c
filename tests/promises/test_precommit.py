"""The pre-commit hook: what it is given, and a real run of pre-commit over a clone of this
repository.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import CLEAN, DOUBLED, MODEL, environment, run

ROOT = Path(__file__).parents[2]
SHIPPED = ("lstm_audit", "pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml")
GIT = {
    "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip


@pytest.fixture(scope="module")
def hook() -> dict[str, Any]:
    only = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]
    assert isinstance(only, dict)
    return only


def test_the_hook_for_sources() -> None:
    _, lint = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert lint["id"] == "lstm-lint"
    assert lint["types_or"] == ["python", "jupyter"]
    assert lint["entry"].split() == ["lstm-audit", "lint"]


def given(hook: dict[str, Any], path: str) -> bool:
    """Whether pre-commit would hand the file to the hook: `files` is searched, then `exclude`."""
    return re.search(hook["files"], path) is not None and re.search(hook["exclude"], path) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/model.pt", True),
        ("model.safetensors", True),
        ("x.ckpt", True),
        ("pytorch_model.bin", True),
        ("a/pytorch_model.bin.index.json", True),
        ("model.safetensors.index.json", True),
        ("model-00001-of-00002.safetensors", False),
        ("pytorch_model-00001-of-00002.bin", False),
        ("firmware.bin", False),
        ("package.json", False),
        ("script.py", False),
        ("model.pt.txt", False),
        ("model.pt.undo.json", False),
        ("not_pt", False),
    ],
)
def test_the_files_of_the_hook(hook: dict[str, Any], path: str, expected: bool) -> None:
    assert given(hook, path) == expected


def test_the_fixtures_are_given_and_pass(hook: dict[str, Any]) -> None:
    files = [str(path.relative_to(CLEAN)) for path in sorted(CLEAN.rglob("*")) if path.is_file()]
    chosen = [str(CLEAN / name) for name in files if given(hook, name)]
    assert len(chosen) > 15
    program, *words = hook["entry"].split()
    assert program == "lstm-audit"
    assert run(*words, *chosen).exit_code == 0
    assert run(*words, *chosen, DOUBLED).exit_code == 1
    assert hook["require_serial"] is True


def git(folder: Path, *words: str) -> None:
    subprocess.run(
        ["git", *words], cwd=folder, env=environment(**GIT), check=True, capture_output=True
    )


def committed(folder: Path) -> None:
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_try_repo_is_green_and_red(tmp_path: Path) -> None:
    source, project = tmp_path / "lstm-audit", tmp_path / "project"
    source.mkdir()
    for name in SHIPPED:
        if (ROOT / name).is_dir():  # whose caches a run beside this one may be writing
            shutil.copytree(
                ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source / name)
    committed(source)
    project.mkdir()
    shutil.copy(MODEL, project / "model.pt")
    (project / "notes.txt").write_text("no checkpoint\n")
    committed(project)

    env = environment(**GIT, PRE_COMMIT_HOME=str(tmp_path / "home"))
    del env["PYTHONPATH"]  # what was installed has to run, not this folder

    def tried(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pre_commit", "try-repo", str(source), "lstm-audit", "--all-files", *words],
            cwd=project, env=env, check=False, capture_output=True, text=True,
        )  # fmt: skip

    green = tried()
    assert green.returncode == 0, green.stdout + green.stderr
    assert "Passed" in green.stdout
    shutil.copy(DOUBLED, project / "doubled.pt")
    git(project, "add", "-A")
    red = tried("--verbose")
    assert red.returncode == 1
    assert "LA101" in red.stdout
    assert "- exit code: 1" in red.stdout
