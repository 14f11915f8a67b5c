"""One place for each addition: a convention is a row, a preset a function, a report a module.

The command runs with one more of each, and everything that lists, describes or uses them must know
it, though no other file of the package was touched. Of formats: tests/formats/test_one_format.py;
rules: tests/rules/test_one_rule.py; targets: tests/test_targets.py; keys of a policy:
tests/policy/test_keys.py; options: tests/cli/test_plain.py.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import MODEL, environment

torch = pytest.importorskip("torch")

from safetensors.torch import save_file

CONVENTION = """
import lstm_audit.lstm.conventions as rows
rows.CONVENTIONS += (
    rows.Convention(
        name="invented",
        source="nobody's",
        hint="odd_recurrent",
        tail=r"odd_(?P<tensor>recurrent|input|bias)",
        slots={
            "recurrent": rows.Slot("recurrent"),
            "input": rows.Slot("input"),
            "bias": rows.Slot("bias"),
        },
        order="ogfi",
        offset=0.5,
        required=("recurrent",),
    ),
)
"""

PRESET = """
from lstm_audit.lstm.presets import preset

@preset("invented", "b_f = 2.5", None, source="nobody's", scheme="constant")
def _invented(_, hidden_size):
    return [2.5] * hidden_size
"""

REPORTS = """
import lstm_audit.reports
lstm_audit.reports.__path__.append(sys.argv.pop(1))
"""

REPORT = '''
"""`invented`: how many LSTMs there are."""

from . import report


@report("invented")
def invented(audit, look):
    """The number alone."""
    return f"{len(audit)} LSTMs of an invented report\\n"
'''

H = 4
ROOT = Path(__file__).parents[2]


def ask(more: str, folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command after `more` was run in its process."""
    start = f"import sys\n{more}\nfrom lstm_audit.cli import main\nmain()\n"
    return subprocess.run(
        [sys.executable, "-c", start, *map(str, words)],
        capture_output=True, text=True, env=environment(COLUMNS="200"), cwd=folder, check=False,
    )  # fmt: skip


def bias_of(done: subprocess.CompletedProcess[str]) -> tuple[str, float]:
    """The convention of the one LSTM of a JSON report, and its mean forget bias."""
    (lstm,) = json.loads(done.stdout)["files"][0]["lstms"]
    return lstm["convention"], lstm["gates"]["f"]["mean"]


def test_a_convention_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    tensors = {
        "core.odd_recurrent": torch.full((4 * H, H), 0.1),
        "core.odd_input": torch.full((4 * H, 3), 0.1),
        "core.odd_bias": torch.arange(4.0).repeat_interleave(H),  # o 0, g 1, f 2, i 3
    }
    save_file(tensors, path)
    words = ("audit", "-f", "json", path)
    assert bias_of(ask(CONVENTION, tmp_path, *words)) == ("invented", 2.5)
    assert "invented" in ask(CONVENTION, tmp_path, "audit", path).stdout
    assert ask(CONVENTION, tmp_path, "patch", "--forget-bias", "1", path).returncode == 0
    assert bias_of(ask(CONVENTION, tmp_path, *words)) == ("invented", 1.0)
    without = json.loads(ask("", tmp_path, *words).stdout)["files"][0]
    assert not [one for one in without["lstms"] if one["convention"] == "invented"]


def test_a_preset_is_one_function(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(MODEL.read_bytes())
    listed = ask(PRESET, tmp_path, "presets").stdout
    assert "invented" in listed
    assert "b_f = 2.5" in listed
    assert ask(PRESET, tmp_path, "check", "--init", "invented", path).returncode == 1
    assert ask(PRESET, tmp_path, "patch", "--init", "invented", path).returncode == 0
    assert ask(PRESET, tmp_path, "check", "--init", "invented", path).returncode == 0
    typed = ask(PRESET, tmp_path, "patch", "--init", "invnted", path)
    assert typed.returncode == 2
    assert "did you mean invented?" in typed.stderr
    refused = ask("", tmp_path, "patch", "--init", "invented", path)
    assert "no preset is called 'invented'" in refused.stderr


def test_a_report_is_one_module(tmp_path: Path) -> None:
    (tmp_path / "invented.py").write_text(REPORT)
    said = "4 LSTMs of an invented report\n"
    assert ask(REPORTS, tmp_path, tmp_path, "audit", "-f", "invented", MODEL).stdout == said
    assert ask(REPORTS, tmp_path, tmp_path, "check", "-f", "invented", MODEL).stdout == said
    more = ask(REPORTS, tmp_path, tmp_path, "audit", "--report", "invented=out.txt", MODEL)
    assert more.returncode == 0
    assert (tmp_path / "out.txt").read_text() == said
    assert "invented" in ask(REPORTS, tmp_path, tmp_path, "audit", "--help").stdout
    wrong = ask(REPORTS, tmp_path, tmp_path, "audit", "-f", "invnted", MODEL)
    assert wrong.returncode == 2
    assert "invented" in wrong.stderr
    assert ask("", tmp_path, "audit", "-f", "invented", MODEL).returncode == 2


def test_the_table_for_contributors_names_what_is_there() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| an? [^|]*\| a [^|`]*`(\S+?)`[^|]*\| `(tests/\S+)` \|$", page, re.M)
    assert len(rows) == 8
    for place, test in rows:
        assert (ROOT / place).exists(), place
        assert "def test_" in (ROOT / test).read_text(), test
