"""The GitHub Action: its rights, its inputs, and its own shell steps run as a runner would run
them.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import DOUBLED, GRU, MODEL, TRUNCATED, environment, shadow

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
INSTALL, CHECK = ACTION["runs"]["steps"]

bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


def test_no_other_action_and_nothing_pasted_into_a_script() -> None:
    assert ACTION["runs"]["using"] == "composite"
    for step in ACTION["runs"]["steps"]:
        assert "uses" not in step
        assert "${{" not in step["run"]
        assert "secrets" not in json.dumps(step)
        assert "eval" not in step["run"]


def test_every_input_is_described_and_used_once() -> None:
    used = re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text())
    assert sorted(used) == sorted(ACTION["inputs"])
    assert [name for name, row in ACTION["inputs"].items() if row.get("required")] == ["paths"]
    assert all(
        row["description"] for row in (*ACTION["inputs"].values(), *ACTION["outputs"].values())
    )


class Runner:
    """What a GitHub runner keeps between the steps of a job."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace, self.temp = folder / "workspace", folder / "temp"
        self.output, self.summary = folder / "output", folder / "summary"
        for path in (self.workspace, self.temp):
            path.mkdir()
        for path in (self.output, self.summary):
            path.touch()

    def step(self, step: dict[str, Any], **inputs: str) -> subprocess.CompletedProcess[str]:
        """A composite step: `shell: bash` is `bash --noprofile --norc -eo pipefail FILE`."""
        script = self.folder / "step.sh"
        script.write_text(step["run"])
        defaults = {name: str(row.get("default", "")) for name, row in ACTION["inputs"].items()}
        values = defaults | {"home": str(self.home)}
        values |= {name.replace("_", "-"): value for name, value in inputs.items()}
        env = environment(
            RUNNER_TEMP=str(self.temp), GITHUB_OUTPUT=str(self.output), GITHUB_STEP_SUMMARY=str(self.summary),
            GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(self.workspace),
            **{name: _filled(text, values) for name, text in step["env"].items()},
        )  # fmt: skip
        del env["PYTHONPATH"]  # what a step installed has to run, not this folder
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            cwd=self.workspace, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip

    @property
    def home(self) -> Path:
        """Where the first step installed."""
        return Path(self.outputs().get("home", self.temp / "lstm-audit"))

    def outputs(self) -> dict[str, str]:
        """What the steps wrote for later ones."""
        return dict(line.split("=", 1) for line in self.output.read_text().splitlines())


def _filled(text: str, values: dict[str, str]) -> str:
    (name,) = re.findall(
        r"^\$\{\{ (?:inputs|github|steps\.install\.outputs)\.([a-z_-]+) \}\}$", text
    )
    return str(ROOT) if name == "action_path" else values[name]


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner on which the first step has been done: this interpreter stands in for the one of the
    venv.
    """
    made = Runner(tmp_path)
    program = made.home / "venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text(
        f"#!/bin/sh\n[ \"$1 $2 $3\" = '-I -m lstm_audit' ] && shift 3 && "
        f'PYTHONPATH={ROOT} exec {sys.executable} -P -m lstm_audit "$@"\n'
    )
    program.chmod(0o755)
    return made


@bash
@pytest.mark.parametrize(
    ("names", "code"),
    [((MODEL,), 0), ((DOUBLED,), 1), ((DOUBLED, TRUNCATED), 3), ((GRU,), 4), (("nowhere.pt",), 2)],
)
def test_the_verdict_of_a_step(runner: Runner, names: tuple[Path | str, ...], code: int) -> None:
    done = runner.step(CHECK, paths="\n".join(map(str, names)) + "\n")
    assert done.returncode == code, done.stderr
    assert runner.outputs()["exit-code"] == str(code)
    assert set(runner.outputs()) == set(ACTION["outputs"])
    if code != 2:
        assert (
            json.loads(Path(runner.outputs()["report"]).read_text())["schema"]
            == "lstm-audit/report/1"
        )


@bash
def test_annotations_and_the_summary(runner: Runner) -> None:
    shutil.copy(DOUBLED, runner.workspace / "model.pt")
    done = runner.step(CHECK, paths="model.pt")
    assert "::error title=lstm-audit (LA101),file=model.pt" in done.stdout
    assert runner.summary.read_text().startswith("### lstm-audit")
    assert "LA101" in runner.summary.read_text()
    runner.summary.write_text("")
    runner.step(CHECK, paths="model.pt", summary="false")
    assert runner.summary.read_text() == ""


@bash
def test_the_other_inputs(runner: Runner) -> None:
    for name in ("a b.pt", "c.pt"):
        shutil.copy(MODEL, runner.workspace / name)
    (runner.workspace / "ci.toml").write_text("forget.activation = { min = 0.8 }\n")
    assert runner.step(CHECK, paths="a b.pt\n\n*.pt").returncode == 0
    assert runner.step(CHECK, paths="*.pt", config="ci.toml").returncode == 1
    assert runner.step(CHECK, paths="*.pt", config="ci.toml", fail_on="never").returncode == 0
    assert (
        runner.step(CHECK, paths="*.pt", args="--min-activation=0.8\n--exit-zero\n").returncode == 0
    )
    assert runner.step(CHECK, paths="*.pt", args="--min-activation\n0.8").returncode == 1
    assert runner.step(CHECK, paths="*.pt", sarif="out.sarif").returncode == 0
    assert json.loads((runner.workspace / "out.sarif").read_text())["version"] == "2.1.0"


@bash
@pytest.mark.parametrize("name", ["paths", "args", "config", "fail_on", "sarif"])
@pytest.mark.parametrize(
    "value",
    ["$(touch PWNED)", "`touch PWNED`", "x; touch PWNED", "'; touch PWNED; '", '"; touch PWNED; "'],
)
def test_an_input_is_never_run(runner: Runner, name: str, value: str) -> None:
    runner.step(CHECK, **({"paths": str(MODEL)} | {name: value}))
    assert "PWNED" not in {path.name for path in runner.workspace.iterdir()}


@bash
def test_a_path_is_never_an_option(runner: Runner) -> None:
    done = runner.step(CHECK, paths=f"--exit-zero\n{DOUBLED}")
    assert done.returncode == 2
    assert "--exit-zero: no such file or folder" in done.stderr


@bash
@pytest.mark.slow
def test_the_step_that_installs(tmp_path: Path) -> None:
    """Twice in one job, in a checkout whose modules bear the names of Python's own."""
    runner = Runner(tmp_path)
    shadow(runner.workspace)
    homes = set()
    for _ in range(2):
        done = runner.step(INSTALL, python=sys.executable)
        assert done.returncode == 0, done.stderr
        homes.add(runner.home)
        assert runner.step(CHECK, paths=str(MODEL)).returncode == 0
        assert runner.step(CHECK, paths=str(DOUBLED)).returncode == 1
    assert len(homes) == 2
    assert not (runner.workspace / "RAN").exists()
    pip = [runner.home / "venv" / "bin" / "python", "-I", "-m", "pip", "list", "--format=freeze"]
    installed = subprocess.run(pip, capture_output=True, text=True, check=True).stdout.split()
    pins = (runner.home / "pins.txt").read_text().split()
    assert {
        f"{name}=={version}"
        for name, version in (line.split("==") for line in installed)
        if name not in ("pip", "setuptools", "lstm-audit")
    } <= set(pins)
