"""The command lines that are understood without click: as click understands them, or not at all."""

import inspect
import json
import subprocess
import sys
from typing import Any

import click
import pytest
from command import DOUBLED, MODEL, real, run, untraced
from hypothesis import given
from hypothesis import strategies as st

from lstm_audit.cli import runs
from lstm_audit.cli.group import group
from lstm_audit.cli.plain import GRAMMARS, arguments, understood

COMMANDS = sorted(GRAMMARS)
FUNCTIONS = {"audit": runs.audit, "check": runs.check}
UNKNOWN = (
    "--help",
    "-h",
    "--",
    "--output",
    "-o",
    "-qf",
    "--form",
    "--jobs",
    "-j",
    "--report",
    "--no-such",
    "-f=json",
)
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
)


def by_click(name: str, words: list[str]) -> dict[str, Any] | None:
    """The parameters as click reads them; None where it ends with a manual or a mistake."""
    command = group.get_command(click.Context(group), name)
    assert command is not None
    try:
        return dict(command.make_context(name, list(words), parent=click.Context(group)).params)
    except (click.ClickException, click.exceptions.Exit):
        return None


def defaults(name: str) -> dict[str, Any]:
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


@st.composite
def lines(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Words that mostly belong to a command, in any order."""
    name = draw(st.sampled_from(COMMANDS))
    grammar = GRAMMARS[name]
    valued = [*grammar.values, *grammar.many]
    value = st.sampled_from(VALUES)
    word = st.one_of(
        st.sampled_from([*grammar.flags]).map(lambda flag: [flag]),
        st.tuples(st.sampled_from(valued), value).map(list),
        st.tuples(st.sampled_from(valued), value).map(lambda pair: ["=".join(pair)]),
        value.map(lambda text: [text]),
        st.sampled_from(UNKNOWN).map(lambda text: [text]),
    )
    return name, [text for part in draw(st.lists(word, max_size=6)) for text in part]


@given(lines())
def test_what_is_understood_is_what_click_takes_it_for(line: tuple[str, list[str]]) -> None:
    name, words = line
    known = arguments(GRAMMARS[name], words)
    if known is None:
        return
    clicks = by_click(name, words)
    assert clicks is not None, "click would have refused it"
    unset = dict.fromkeys(clicks) | {"verify": False, "select": (), "ignore": ()}
    assert repr(unset | defaults(name) | known) == repr(unset | clicks)  # by repr: nan equals nan


@pytest.mark.parametrize("name", COMMANDS)
def test_the_defaults_are_those_of_click(name: str) -> None:
    clicks = by_click(name, ["m.pt"])
    assert clicks is not None
    assert {key: clicks[key] for key in defaults(name)} == defaults(name)


@pytest.mark.parametrize(
    "words",
    [
        "",
        "patch m.pt",
        "audit",
        "check",
        "audit --help m.pt",
        "audit -o out m.pt",
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


def test_not_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """There click expands globs and variables before a command sees them."""
    assert understood(["audit", "m.pt"]) is not None
    monkeypatch.setattr("lstm_audit.cli.plain.os.name", "nt")
    assert understood(["audit", "m.pt"]) is None
