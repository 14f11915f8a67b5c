"""The command lines that are understood without click: as click understands them, or not at all."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import click
import pytest
from click.shell_completion import BashComplete
from command import DOUBLED, MODEL, real, run, untraced
from hypothesis import given
from hypothesis import strategies as st

import lstm_audit.cli
from lstm_audit.cli.group import group
from lstm_audit.cli.options import FORMS, Form, Option, read_count
from lstm_audit.cli.plain import read_words, understood

CLI = Path(lstm_audit.cli.__file__).parent
COMMANDS = sorted(FORMS)
UNKNOWN = ("--help", "-h", "--", "-qf", "--form", "--no-such", "-f=json")
VALUES = (
    "json",
    "table",
    "tables",
    "never",
    "1",
    "0.5",
    "-1",
    "nan",
    "x",
    "",
    "-",
    "m.pt",
    "*.pt",
    "LA1,LA3",
    "error",
    "4",
    "json=out.json",
    "report",
)


def by_click(name: str, words: list[str]) -> dict[str, Any] | None:
    """The parameters as click reads them; None where it ends with a manual or a mistake."""
    command = group.get_command(click.Context(group), name)
    assert command is not None
    try:
        return dict(command.make_context(name, list(words), parent=click.Context(group)).params)
    except (click.ClickException, click.exceptions.Exit):
        return None


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Words that mostly belong to a command, in any order."""
    name = draw(st.sampled_from(COMMANDS))
    options = FORMS[name].options
    flags = [
        "--help",
        *(w for row in options if not row.parse for w in (*row.spellings, row.off) if w),
    ]
    valued = ["--help", *(word for row in options if row.parse for word in row.spellings)]
    value = st.sampled_from(VALUES)
    word = st.one_of(
        st.sampled_from(flags).map(lambda flag: [flag]),
        st.tuples(st.sampled_from(valued), value).map(list),
        st.tuples(st.sampled_from(valued), value).map(lambda pair: ["=".join(pair)]),
        value.map(lambda text: [text]),
        st.sampled_from(UNKNOWN).map(lambda text: [text]),
    )
    return name, [text for part in draw(st.lists(word, max_size=6)) for text in part]


@given(lines())
def test_what_is_understood_is_what_click_takes_it_for(line: tuple[str, list[str]]) -> None:
    name, words = line
    known = read_words(FORMS[name], words)
    if known is None:
        return
    clicks = by_click(name, words)
    assert clicks is not None, "click would have refused it"
    assert repr(vars(known)) == repr({key: clicks[key] for key in vars(known)})  # nan equals nan
    assert vars(known).keys() == clicks.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_defaults_are_those_of_click(name: str) -> None:
    words = ["report" if argument.choices else "m.pt" for argument in FORMS[name].arguments]
    known = read_words(FORMS[name], words)
    assert known is not None
    assert vars(known) == by_click(name, words)


def test_an_option_is_a_row_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is added is in the manual, on the Tab key, in click and in the reader without
    it.
    """
    row = Option(
        "wait", ("--wait",), "Steps to wait.", read_count, metavar="N", default=3, told=True
    )
    form = FORMS["audit"]
    sections = {**form.sections, "Reports": (*form.sections["Reports"], row)}
    monkeypatch.setitem(cast(dict[str, Form], FORMS), "audit", form._replace(sections=sections))
    words = ["--wait", "7", "m.pt"]
    plain = read_words(FORMS["audit"], words)
    assert plain is not None
    clicks = by_click("audit", words)
    assert clicks is not None
    assert plain.wait == clicks["wait"] == 7
    manual = run("audit", "--help").stdout.split("Reports:")[1]
    assert re.search(r"^  --wait N +Steps to wait\.  \[default: 3\]$", manual, re.MULTILINE)
    complete = BashComplete(group, {}, "lstm-audit", "_LSTM_AUDIT_COMPLETE")
    assert [item.value for item in complete.get_completions(["audit"], "--wa")] == ["--wait"]


def test_no_option_is_spelled_twice() -> None:
    """Outside of the rows and of the texts for people, no module of the command line knows one."""
    spelled = {word for form in FORMS.values() for row in form.options for word in row.spellings}
    for path in sorted(CLI.glob("*.py")):
        if path.name in ("options.py", "manners.py"):  # the rows, and guesses at them
            continue
        strings = [
            node.value
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        assert not spelled.intersection(strings), path.name


def test_what_a_command_reads_is_a_row() -> None:
    """`given.NAME`: a name that no row has would be found only when it is run."""
    for name, form in FORMS.items():
        tree = ast.parse((CLI / f"{name}.py").read_text())
        read_there = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "given"
        }
        assert read_there <= set(form.blank()), name


@pytest.mark.parametrize(
    "words",
    [
        "",
        "audit",
        "check",
        "audit --help m.pt",
        "audit --jobs many m.pt",
        "check -- m.pt",
        "check --tolerance",
    ],
)
def test_the_rest_is_left_to_click(words: str) -> None:
    assert understood(words.split()) is None


@pytest.mark.parametrize(
    "words",
    [
        ["audit", MODEL],
        ["audit", "--no-init", "-f", "json", MODEL],
        ["check", "--min-activation", "0.7", "--color=always", MODEL, DOUBLED],
        ["check", "--no-config", "--select", "LA1", "-q", DOUBLED],
    ],
)
def test_a_common_line_needs_no_click_and_says_the_same(words: list[object]) -> None:
    code = """
import json, os, sys
from lstm_audit.cli import main
leave = os._exit
def told(code):
    sys.stderr.write(json.dumps(sorted(sys.modules)))
    sys.stderr.flush()
    leave(code)
os._exit = told
main()
"""
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, env=untraced(), check=False)
    modules = set(json.loads(done.stderr))
    assert not {"click", "inspect", "dataclasses", "tabulate"} & modules
    by_group = run(*words, LC_ALL="C.UTF-8")
    assert (done.returncode, done.stdout.decode()) == (by_group.exit_code, by_group.stdout)
    assert real(*words).stdout == done.stdout
