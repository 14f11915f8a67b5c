"""The walks that docs/explanation/architecture.md describes are those that the commands take."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command import untraced

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "architecture.md"
MODEL = ROOT / "fixtures" / "clean" / "lstm.pt"

COMMANDS = {
    "audit": ["audit", "-q", "model.pt"],
    "check": ["check", "-q", "--min-bias", "0.5", "model.pt"],
    "patch": ["patch", "-q", "--forget-bias", "2", "model.pt"],
}

# The first run imports; in the second, calls of functions alone are noted, and by whom.
TRACED = """
import contextlib, json, os, shutil, sys
from lstm_audit.cli.start import _run

command, calls = json.loads(sys.argv[1]), []

def module(frame):
    name = frame.f_globals.get("__name__", "")
    return name if name.startswith("lstm_audit.") else ""

def note(frame, event, arg):
    if event == "call" and frame.f_code.co_flags & 1 and (own := module(frame)):
        caller = frame.f_back
        while caller is not None and not module(caller):
            caller = caller.f_back
        calls.append([module(caller) if caller is not None else "", own, frame.f_code.co_name])

sys.argv[1:] = command
for run in range(2):
    shutil.copy(os.environ["MODEL"], "model.pt")
    if os.path.exists("model.pt.undo.json"):
        os.unlink("model.pt.undo.json")
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        if run:
            sys.setprofile(note)
        code = _run()
        sys.setprofile(None)
assert code == 0
print(json.dumps(calls))
"""


def called(command: str, folder: Path) -> list[tuple[str, str, str]]:
    """(module that calls, module that is called, function), in order."""
    done = subprocess.run(
        [sys.executable, "-c", TRACED, json.dumps(COMMANDS[command])],
        capture_output=True, text=True, check=True, cwd=folder,
        env={**untraced(), "MODEL": str(MODEL), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return [tuple(call) for call in json.loads(done.stdout)]


def section(title: str) -> str:
    """What stands under a heading of the page."""
    _, _, rest = PAGE.read_text().partition(f"## {title}\n")
    assert rest, title
    return rest.partition("\n## ")[0]


def module_of(path: str) -> str:
    """`cli/start.py` as the name of a module; the file must be there."""
    assert (ROOT / "lstm_audit" / path).is_file(), path
    return "lstm_audit." + path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def in_order(named: list[str], entered: list[str]) -> bool:
    """Whether the walk first enters the named modules in the order in which they are named."""
    at = [entered.index(name) for name in named]
    return at == sorted(at)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_walk_is_the_one_that_is_described(command: str, tmp_path: Path) -> None:
    calls = called(command, tmp_path)
    entered = list(dict.fromkeys(own for _, own, _ in calls))
    steps = re.split(r"^\d+\. ", section(f"The walk of one {command}"), flags=re.M)[1:]
    firsts = []
    for step in steps:
        named = [module_of(path) for path in re.findall(r"`([\w/]+\.py)`", step)]
        assert named, step
        assert set(named) <= set(entered), set(named) - set(entered)
        firsts.append(named[0])
    assert in_order(firsts, entered), firsts


FLOORS = {
    name.strip(): floor
    for floor, row in enumerate(
        reversed(
            tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
                "contracts"
            ][0]["layers"]
        )
    )
    for name in row.split("|")
}


def floor_of(module: str) -> int:
    """The floor on which import-linter puts a module."""
    return FLOORS[module.split(".")[1]]


def test_every_climb_is_named(tmp_path: Path) -> None:
    """What calls upwards, in all three walks, is what the page lists, and nothing else."""
    climbing = {
        caller
        for command in COMMANDS
        for caller, own, _ in called(command, tmp_path)
        if caller and floor_of(own) > floor_of(caller)
    }
    bold = re.findall(
        r"^\* (.*?)(?= asks? | tell | draws )", section("Where a walk climbs back up"), re.M
    )
    assert climbing == {module_of(p) for text in bold for p in re.findall(r"`([\w/]+\.py)`", text)}


def test_an_order_can_be_wrong() -> None:
    assert in_order(["a", "c"], ["a", "b", "c"])
    assert not in_order(["c", "a"], ["a", "b", "c"])
