"""The Dockerfile, the conda recipe and the versions of Python, by linters of their own (extra
`references`) and against pyproject.toml.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BESIDE = Path(sys.executable).parent


def tool(name: str) -> Path:
    found = shutil.which(name, path=f"{BESIDE}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip(f"{name} is not installed: .[references]")
    return Path(found)


def test_the_dockerfile_is_clean() -> None:
    done = subprocess.run(
        [tool("hadolint"), ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_nothing_is_newer_than_the_oldest_python() -> None:
    (least,) = re.findall(r">=(3\.\d+)", PROJECT["requires-python"])
    words = [tool("vermin"), "-q", f"-t={least}-", "--no-tips", "--violations"]
    done = subprocess.run(
        [*words, ROOT / "lstm_audit"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_conda_recipe_says_what_the_project_says() -> None:
    recipe = yaml.safe_load(next((ROOT / ".conda").glob("recipe.y*ml")).read_text())
    assert recipe["schema_version"] == 1
    needs = {word.replace(" ", "") for word in recipe["requirements"]["run"]}
    assert needs == {f"python{PROJECT['requires-python']}", *PROJECT["dependencies"]}
    scripts = [f"{name} = {place}" for name, place in PROJECT["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts
    assert recipe["about"]["license"] == PROJECT["license"]
    assert recipe["about"]["summary"] == PROJECT["description"]
    assert (ROOT / recipe["about"]["license_file"]).is_file()


def test_every_version_that_ci_runs_is_a_classifier() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    (matrix,) = (
        job["strategy"]["matrix"]["python"]
        for job in workflow["jobs"].values()
        if "python" in job.get("strategy", {}).get("matrix", {})
    )
    said = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c}
    assert set(map(str, matrix)) <= said
