"""What is published: built as the release builds it, looked into, and installed where nothing else
is.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from command import DOUBLED, MODEL, environment, real

import lstm_audit
from lstm_audit.reports.sarif import HOME

pytest.importorskip("build", reason="the distributions are made by build: .[dev]")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAME = f"lstm_audit-{lstm_audit.__version__}"
NOT_PUBLISHED = ("fixtures/", "tests/", ".github/", ".venv", ".ci/", "__pycache__", ".git/")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that is made of it, of the files that git knows."""
    folder: Path = tmp_path_factory.mktemp("built")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, os.fsdecode(tracked.stdout).split("\0")):
        if (ROOT / name).is_file():
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / "source" / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder / "dist", folder / "source"], check=True
    )
    return folder / "dist"


def test_the_sdist_holds_what_is_needed_and_no_more(built: Path) -> None:
    with tarfile.open(built / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    meant = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "PKG-INFO"}
    assert meant <= names
    assert {"lstm_audit/__init__.py", "lstm_audit/py.typed", "docs/tutorial.md"} <= names
    assert [name for name in names if name.startswith(NOT_PUBLISHED) or ".pyc" in name] == []
    assert (built / f"{NAME}.tar.gz").stat().st_size < 2 << 20


def test_the_wheel_holds_the_package_its_licence_and_its_commands(built: Path) -> None:
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as archive:
        names = archive.namelist()
        said = archive.read(f"{NAME}.dist-info/METADATA").decode()
        entries = archive.read(f"{NAME}.dist-info/entry_points.txt").decode()
    tracked = subprocess.run(
        ["git", "ls-files", "lstm_audit"], cwd=ROOT, capture_output=True, check=True, text=True
    )
    inside = {name for name in names if not name.startswith(f"{NAME}.dist-info/")}
    assert inside == {name for name in tracked.stdout.split() if (ROOT / name).is_file()}
    assert "lstm_audit/py.typed" in inside
    assert f"{NAME}.dist-info/licenses/LICENSE" in names
    required = [line for line in said.splitlines() if line.startswith("Requires-Dist")]
    bare = sorted(line.split()[1].split(">")[0] for line in required if "extra ==" not in line)
    assert bare == ["click", "safetensors", "tabulate"]
    assert "Requires-Python: >=3.11" in said
    assert f"Project-URL: Homepage, {HOME}" in said
    for entry in ("lstm-audit = lstm_audit.cli:main", "[pytest11]", "[flake8.extension]"):
        assert entry in entries


def interpreter(version: str) -> str | None:
    """A Python of this version that starts: on the path, or one of pyenv's."""
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for found in (*kept, shutil.which(f"python{version}")):
        if found is not None:
            asked = [found, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            if done.stdout.strip() == version:
                return str(found)
    return None


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_it_runs_where_nothing_else_is(version: str, built: Path, tmp_path: Path) -> None:
    """In a fresh environment, without torch and numpy, it says what it says here."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    subprocess.run([python, "-m", "venv", tmp_path / "fresh"], check=True)
    fresh = tmp_path / "fresh" / "bin"
    wheel = built / f"{NAME}-py3-none-any.whl"
    install = [fresh / "python", "-m", "pip", "install", "-q", wheel]
    subprocess.run(install, check=True)
    for name in ("torch", "numpy"):
        there = [fresh / "python", "-c", f"import {name}"]
        assert subprocess.run(there, capture_output=True, check=False).returncode == 1

    bare = environment()
    del bare["PYTHONPATH"]
    for words in (["--json"], ["-f", "sarif"], ["-f", "html"], []):
        line = ["check", "--no-config", *words, str(MODEL), str(DOUBLED)]
        done = subprocess.run(
            [fresh / "lstm-audit", *line], capture_output=True, env=bare, cwd=tmp_path, check=False
        )
        here = real(*line, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (here.returncode, here.stderr) == (1, b"")
        assert done.stdout == here.stdout
    copy = tmp_path / "model.pt"
    shutil.copy(DOUBLED, copy)
    patch = [fresh / "lstm-audit", "patch", "--json", "--forget-bias", "1", copy]
    done = subprocess.run(patch, capture_output=True, env=bare, check=True)
    assert json.loads(done.stdout)["files"][0]["written"]
    subprocess.run([fresh / "lstm-audit", "undo", copy], env=bare, check=True, capture_output=True)
    assert copy.read_bytes() == DOUBLED.read_bytes()
