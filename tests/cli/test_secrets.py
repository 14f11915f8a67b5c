"""What may be secret of a locator is in no message and no report, of whatever command."""

import sys
from pathlib import Path

import pytest
from command import CLEAN, FORMATS, real, run

from lstm_audit.reports.words import conceal

MODEL = CLEAN / "lstm.pt"
USER = "https://user:p4ss@127.0.0.1:9/m.pt?token=t0k3n#fr4g"
SECRETS = ("p4ss", "t0k3n", "fr4g")

MISTYPED = (
    ("audit", USER),
    ("audit", USER.replace("//", "/")),
    ("audit", USER, "--layers", USER),
    ("audit", str(MODEL), "-o", USER),
    ("audit", str(MODEL), "--report", f"html={USER}"),
    ("check", str(MODEL), "--baseline", USER),
    ("check", str(MODEL), "--config", USER),
    ("patch", str(MODEL), "--from", USER),
    ("patch", str(MODEL), "--forget-bias", "1", "--output", USER),
    ("patch", USER, "--forget-bias", "1"),
    ("undo", USER),
    ("diff", str(MODEL), USER),
    ("trend", USER),
    ("lint", USER),
    ("lint", USER.replace("m.pt", "*.py")),
    ("rules", USER),
    ("explain", USER),
    ("presets", USER),
    ("config", USER),
    ("schema", USER),
    ("help", USER),
    (USER,),
    (f"--{USER}",),
)


@pytest.mark.parametrize("words", MISTYPED, ids=" ".join)
def test_no_command_repeats_it(words: tuple[str, ...], tmp_path: Path) -> None:
    done = real(*words, cwd=tmp_path)
    assert done.returncode
    said = (done.stdout + done.stderr).decode()
    assert not [secret for secret in SECRETS if secret in said], said


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("command", ["audit", "check"])
def test_no_report_holds_it(command: str, name: str) -> None:
    done = run(command, MODEL, USER, "-v", "--format", name)
    assert done.exit_code == 3
    colon = "%3A" if name == "github" else ":"  # its escape in properties
    assert f"https{colon}//127.0.0.1{colon}9/m.pt" in done.stdout + done.stderr
    assert not [secret for secret in SECRETS if secret in done.stdout + done.stderr]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (USER, "https://127.0.0.1:9/m.pt"),
        (f"Error: '{USER}': no", "Error: 'https://127.0.0.1:9/m.pt': no"),
        (f"{USER}: no. See (https://a/b?c).", "https://127.0.0.1:9/m.pt: no. See (https://a/b)."),
        ("s3://key:p@ss@bucket/m.pt", "s3://bucket/m.pt"),
        ("what? no://", "what? no://"),
        ("did you mean s3://a/b?", "did you mean s3://a/b?"),
        ("C:/a?b", "C:/a"),
        ("layers 1:2 of a@b?", "layers 1:2 of a@b?"),
    ],
)
def test_what_is_left_of_a_locator(text: str, said: str) -> None:
    assert conceal(text) == said


def test_a_page_says_what_was_asked_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from lstm_audit.cli.output import command_line

    monkeypatch.setattr(sys, "argv", ["lstm-audit", "audit", USER, "--layers", "enc.*"])
    assert command_line() == "lstm-audit audit https://127.0.0.1:9/m.pt --layers 'enc.*'"
