"""The manual that --help prints, and what a Tab key offers."""

import json
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete
from command import DOUBLED, HOSTILE, MODEL, environment, run

from lstm_audit.cli.exits import MEANING
from lstm_audit.cli.group import COMMANDS, group
from lstm_audit.rules import RULES

FIRST = click.Context(group, info_name="lstm-audit")


def command_of(name: str) -> click.Command:
    command = group.get_command(FIRST, name)
    assert command is not None
    return command


def manual(name: str) -> str:
    result = run(*([name] if name else []), "--help")
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_manual_fits_any_terminal(name: str) -> None:
    text = manual(name)
    assert text.isascii()
    assert max(map(len, text.splitlines())) <= 80
    assert run(name, "-h").stdout == text if name else True


@pytest.mark.parametrize("name", COMMANDS)
def test_a_manual_names_every_option_with_help_once(name: str) -> None:
    text = manual(name)
    for param in command_of(name).params:
        if isinstance(param, click.Option):
            assert param.help, param.name
            for word in (*param.opts, *param.secondary_opts):
                assert (
                    len(re.findall(rf"^  (?:-\w, )?.*{word}(?=[ ,\n])", text, re.MULTILINE)) >= 1
                ), word
            entry = rf"^  (?:-\w, )?{re.escape(max(param.opts, key=len))}(?=[ ,\n])"
            assert len(re.findall(entry, text, re.MULTILINE)) == 1, param.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_a_manual_lists_exit_codes_and_shows_examples(name: str) -> None:
    text = manual(name)
    (listed,) = re.findall(r"Exit codes[^\n]*:\n((?:    ?.*\n)+)", text)
    codes = {int(code) for code in re.findall(r"(?:^|  )\s*(\d)  \w", listed, re.MULTILINE)}
    assert {0, 2} <= codes <= set(MEANING)
    if name == "check":
        assert codes == set(MEANING)
    examples = re.findall(rf"^    lstm-audit {name}\b.*$", text, re.MULTILINE)
    assert examples


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_parses(name: str) -> None:
    import shlex

    for line in re.findall(r"^    (lstm-audit \w+.*)$", manual(name), re.MULTILINE):
        _, command, *words = shlex.split(re.split(r" [|>] ", line)[0])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(click.Command, "invoke", lambda self, ctx: None)
            command_of(command).make_context(command, words, parent=FIRST)


def test_the_first_page_names_every_command_with_a_summary() -> None:
    text = manual("")
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S.*[.]$", text, re.MULTILINE), name
    assert "..." not in text.split("Commands:")[1]


def test_the_tolerance_that_is_told_is_that_of_the_rule() -> None:
    assert f"({RULES['LA201'].options['tolerance']} unless set)" in manual("check")


def test_a_mistyped_command() -> None:
    done = run("chekc", "x.pt")
    assert done.exit_code == 2
    assert "Did you mean 'check'?" in done.stderr


def test_a_mistyped_rule() -> None:
    near, far = run("explain", "doubled-forgetbias"), run("explain", "zzz")
    assert (near.exit_code, far.exit_code) == (2, 2)
    assert "did you mean doubled-forget-bias?" in near.stderr
    assert "`lstm-audit rules` lists them" in far.stderr
    assert run("explain", " Doubled-Forget-Bias ").stdout == run("explain", "la101").stdout
    assert "Options: " in run("explain", "LA201").stdout


def test_the_catalogue_as_data() -> None:
    entries = json.loads(run("rules", "--json").stdout)
    assert [entry["code"] for entry in entries] == sorted(RULES)
    assert all(entry["name"] and entry["summary"] and entry["severity"] for entry in entries)


# ---- completion


def offered(line: str, shell: type[ShellComplete] = BashComplete) -> list[str]:
    """What click offers for the last word of a line."""
    *words, incomplete = line.split(" ")
    complete = shell(group, {}, "lstm-audit", "_LSTM_AUDIT_COMPLETE")
    return [item.value for item in complete.get_completions(words[1:], incomplete)]


def test_commands_and_options() -> None:
    assert offered("lstm-audit ch") == ["check"]
    assert "--min-activation" in offered("lstm-audit check --")


def test_rules() -> None:
    assert offered("lstm-audit explain LA10") == [f"LA10{n}" for n in range(1, 10)]
    assert offered("lstm-audit explain la101") == ["LA101"]
    assert offered("lstm-audit explain doub") == ["doubled-forget-bias", "doubled-chrono"]
    assert set(RULES) <= set(offered("lstm-audit check --select LA"))
    assert "LA1" in offered("lstm-audit check --ignore LA")
    assert offered("lstm-audit check --select LA2,LA101") == ["LA2,LA101"]


def test_presets_and_choices() -> None:
    assert offered("lstm-audit patch --init ch") == ["chrono:", "chrono-even:"]
    assert offered("lstm-audit check --fail-on w") == ["warning"]
    assert offered("lstm-audit check --report js") == ["json=", "jsonl="]
    assert offered("lstm-audit audit --format js") == ["json", "jsonl"]


def test_layers_of_the_files_on_the_line() -> None:
    assert offered(f"lstm-audit audit {DOUBLED} --layers ") == ["encoder", "encoder:l0"]
    assert offered(f"lstm-audit patch {MODEL} --layers :l1") == [":l1", ":l1:reverse"]
    assert offered(f"lstm-audit diff {MODEL} {DOUBLED} --layers en") == ["encoder", "encoder:l0"]


@pytest.mark.parametrize(
    "given", ["", "nowhere.pt ", f"{HOSTILE} ", f"{HOSTILE / 'noise.pt'} ", f"{Path(__file__)} "]
)
def test_nothing_to_offer_is_no_failure(given: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert offered(f"lstm-audit audit {given}--layers ") == []
    offered(f"lstm-audit nonsense {given}--layers ")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "words", ["audit ", "check ", "patch ", "undo ", "diff ", "diff a.pt ", "patch --from "]
)
def test_files_are_left_to_the_shell(words: str) -> None:
    complete = BashComplete(group, {}, "lstm-audit", "_LSTM_AUDIT_COMPLETE")
    (item,) = complete.get_completions(words.split(), "mod")
    assert (item.type, item.value) == ("file", "mod")


@pytest.mark.parametrize("shell", [BashComplete, ZshComplete, FishComplete])
def test_the_script_of_a_shell(shell: type[ShellComplete]) -> None:
    code = "import sys; sys.argv[0] = 'lstm-audit'; from lstm_audit.cli import main; main()"
    words = [sys.executable, "-c", code]
    kind = shell.name
    done = subprocess.run(
        words,
        capture_output=True,
        env=environment(_LSTM_AUDIT_COMPLETE=f"{kind}_source"),
        check=False,
    )
    assert done.returncode == 0
    assert f"_LSTM_AUDIT_COMPLETE={kind}_complete".encode() in done.stdout
    line = f"lstm-audit audit {DOUBLED} --layers enc"
    asked = {"COMP_WORDS": line, "COMP_CWORD": "4" if kind != "fish" else "enc"}
    done = subprocess.run(
        words,
        capture_output=True,
        env=environment(_LSTM_AUDIT_COMPLETE=f"{kind}_complete", **asked),
        check=False,
    )
    assert b"encoder:l0" in done.stdout.replace(b"\\:", b":")
    assert done.stderr == b""


@pytest.fixture(autouse=True)
def _no_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("step", ["make_context", "resolve_command"])
def test_ctrl_c_while_the_command_line_is_read(step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(group), step, interrupted)
    result = run("patch", "model.pt", "--forget-bias", 1)
    assert result.exit_code == 130
    assert "Traceback" not in result.stderr
