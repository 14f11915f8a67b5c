"""A rule is one file: whoever adds one touches nothing else of the package."""

import json
import subprocess
import sys
from pathlib import Path

from command import MODEL, environment

RULE = '''
from . import at, rule


@rule("LA399", "too-odd", "warning")
def too_odd(case, *, most=7, words=("a",)):
    """The hidden size is odd to some.

    What it sees: a hidden size above `most`.

    Why it hurts: it does not.

    Example: 8 units, where 7 were allowed.

    Fix: lstm-audit has none.

    References: none.
    """
    if case.lstm.hidden_size > most:
        yield at(case.lstm, "it is; let it be", measured=case.lstm.hidden_size, expected=most)
'''

START = """
import sys
import lstm_audit.rules
lstm_audit.rules.__path__.append(sys.argv.pop(1))
from lstm_audit.cli import main
main()
"""


def ask(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The command with one more module among the rules."""
    return subprocess.run(
        [sys.executable, "-c", START, str(folder), *map(str, words)],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=folder,
        check=False,
    )


def test_a_rule_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "odd.py").write_text(RULE)
    assert ["LA399", "too-odd", "warning"] in [
        line.split()[:3] for line in ask(tmp_path, "rules").stdout.splitlines()
    ]
    assert "What it sees" in ask(tmp_path, "explain", "too-odd").stdout
    report = json.loads(ask(tmp_path, "audit", "-f", "json", MODEL).stdout)
    found = [f for f in report["files"][0]["findings"] if f["code"] == "LA399"]
    assert [f["measured"] for f in found] == [report["files"][0]["lstms"][0]["hidden_size"]] * 4
    schema = json.loads(ask(tmp_path, "schema", "policy").stdout)
    assert set(schema["properties"]["rules"]["properties"]["LA399"]["properties"]) == {
        "most", "words", "severity",
    }  # fmt: skip
    (tmp_path / "lstm-audit.toml").write_text("rules.LA399 = { most = 7, severity = 'error' }")
    assert ask(tmp_path, "check", MODEL).returncode == 1
    assert "rules.LA399" in ask(tmp_path, "config").stdout
    assert ask(tmp_path, "check", "--ignore", "LA399", MODEL).returncode == 0
    (tmp_path / "lstm-audit.toml").write_text("rules.LA399 = { mots = 7 }")
    assert "did you mean 'most'?" in ask(tmp_path, "check", MODEL).stderr
    sarif = json.loads(ask(tmp_path, "audit", "--no-config", "-f", "sarif", MODEL).stdout)
    known = sarif["runs"][0]["tool"]["driver"]["rules"]
    assert "LA399" in {rule["id"] for rule in known}
