"""The pytest plugin: a fixture that works where it is asked for, and costs nothing where it is
not.
"""

import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from command import MODEL, environment, untraced

USING = """
import torch

def test_good(assert_forget_gate):
    assert_forget_gate({model!r}, activation=(0.7, 0.98))

def test_model(assert_forget_gate):
    lstm = torch.nn.LSTM(3, 4, bias=False)
    assert_forget_gate(lstm, activation=(0.5, 0.5))

def test_bad(assert_forget_gate):
    assert_forget_gate({model!r}, activation=(0.9, 0.98))
"""

UNUSED = """
import sys

def test_nothing_was_imported():
    mine = {name for name in sys.modules if name.partition(".")[0] == "lstm_audit"}
    assert mine == {"lstm_audit", "lstm_audit.pytest_plugin", "lstm_audit.version"}, mine
    assert not {"click", "torch", "numpy", "tabulate"} & set(sys.modules)
"""


def run_pytest(
    folder: Path, text: str, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Another pytest, over one test file, with the plugin loaded as its entry point would load
    it.
    """
    (folder / "test_given.py").write_text(text)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:hypothesispytest",
        *options,
    ]
    return subprocess.run(
        words, capture_output=True, text=True, cwd=folder, env=env or environment(), check=False
    )


def test_the_entry_point_is_installed() -> None:
    (entry,) = (entry for entry in entry_points(group="pytest11") if entry.name == "lstm-audit")
    assert entry.value == "lstm_audit.pytest_plugin"


def test_the_fixture(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, USING.format(model=str(MODEL)))
    assert "2 passed" in done.stdout
    assert "1 failed" in done.stdout
    assert "LA202" in done.stdout
    assert "0.731" in done.stdout


def test_unused_it_imports_nothing(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, UNUSED, env=untraced())
    assert "1 passed" in done.stdout, done.stdout


def test_it_explains_itself(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, UNUSED, "--fixtures")
    assert "assert_forget_gate" in done.stdout
    assert "lstm_audit.assert_forget_gate(model" in done.stdout
