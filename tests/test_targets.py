"""The table of patch targets: everything that names a target is made from its rows."""

import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import nn

import lstm_audit
from lstm_audit.errors import BadPolicy
from lstm_audit.targets import TARGETS, only_one, read_target, target

NEW_TARGET = """
import sys
from lstm_audit import targets
targets.TARGETS["odds"] = targets.TargetRow(
    "odds", ("K",), "Keep K times as much as is forgotten.", "odds {:g}",
    lambda odds: odds, targets._even(lambda odds, gate: odds * 10), example="3",
)
"""  # a target of whoever runs this, added where the table stands and nowhere else


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "lstm.safetensors"
    save_file(nn.LSTM(3, 4).state_dict(), path)
    return path


def run(*words: str) -> subprocess.CompletedProcess[str]:
    script = NEW_TARGET + "from lstm_audit.cli import main\nmain()\n"
    return subprocess.run(
        [sys.executable, "-c", script, *words], capture_output=True, text=True, check=False
    )


def test_a_new_row_is_an_option_of_the_command(model: Path) -> None:
    shown = run("patch", "--help")
    assert "--odds K" in shown.stdout
    assert "Keep K times as much" in shown.stdout
    done = run("patch", "--odds", "0.3", str(model))
    assert (done.returncode, done.stderr) == (0, "")
    assert "odds 0.3" in done.stdout
    assert load_file(model)["bias_ih_l0"][4:8].tolist() == [3.0] * 4
    assert "--odds" in run("patch", str(model)).stderr


def test_a_new_row_is_a_keyword_and_a_fix(model: Path) -> None:
    script = """
import inspect, lstm_audit
from lstm_audit.facts import Fix
from lstm_audit.lstm.layer import Identity
from lstm_audit.patching.checkpoint import plan_each
from lstm_audit.reports.remedies import commands
from lstm_audit.rules import aim

path = sys.argv[1]
assert "odds" in inspect.signature(lstm_audit.patch).parameters
fix = Fix(aim("odds", 0.2), (Identity("", 0, "forward", "torch"),), True)
print(*next(commands("m.pt", [fix])).words)
((plan,),) = plan_each(path, [fix])
print(len(plan.edits) > 0)
print(lstm_audit.patch(path, odds=0.2).target.text)
"""
    done = subprocess.run(
        [sys.executable, "-c", NEW_TARGET + script, str(model)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "lstm-audit patch m.pt --odds 0.2 --layers :l0",
        "True",
        "odds 0.2",
    ]


@pytest.mark.parametrize("name", TARGETS)
def test_what_a_row_says_of_itself_holds(name: str) -> None:
    row = TARGETS[name]
    made = read_target(name, row.example)
    assert made.words == (row.option, row.example)
    assert made.text
    assert read_target(name, made.words[1]) == made
    with pytest.raises(BadPolicy, match=f"--{name}"):
        target(name)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("forget-bias", "one"), ("forget-bias", "nan"), ("activation", "1"), ("time-scale", "0"),
        ("horizon", "100"), ("horizon", "100,0.5,3"), ("horizon", "100,2"), ("init", "chrone:3"),
        ("shift", "inf"),
    ],
)  # fmt: skip
def test_bad_values_are_refused_before_any_file_is_opened(name: str, text: str) -> None:
    with pytest.raises(BadPolicy, match=f"^--{name}"):
        read_target(name, text)


@pytest.mark.parametrize("value", [True, "1", b"1", [1.0], 1j])
def test_what_is_no_number_is_refused(model: Path, value: object) -> None:
    with pytest.raises(BadPolicy, match=r"--forget-bias .*: B was expected, such as 1"):
        lstm_audit.patch(model, forget_bias=value)


def test_two_targets_are_both_named(model: Path) -> None:
    with pytest.raises(BadPolicy, match="forget_bias, shift and init were given"):
        lstm_audit.patch(model, forget_bias=1.0, shift=1.0, init="unit")
    with pytest.raises(BadPolicy, match=r"give one of forget_bias, activation,.* from_file"):
        lstm_audit.patch(model)
    with pytest.raises(BadPolicy, match="--forget-bias and --from were given"):
        only_one(["forget-bias", "from"], lambda row: row.option)
    with pytest.raises(TypeError, match="unexpected keyword argument 'forget_bais'"):
        lstm_audit.patch(model, forget_bais=1.0)


def test_another_checkpoint_is_a_target_from_python_too(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(model.read_bytes())
    lstm_audit.patch(other, forget_bias=3.0)
    lstm_audit.patch(model, from_file=other)
    assert load_file(model)["bias_ih_l0"][4:8].tolist() == [3.0] * 4
