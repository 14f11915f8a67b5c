"""The command lines of every day, understood without click.

Comes in: the words behind `lstm-audit`. Goes out: the run that they ask for, or None: let click
read them. Promise: what is understood here means what click takes it for; help, mistakes and
whatever is not listed are click's alone.

Importing click takes 30 ms, twice as long as auditing a checkpoint, and most runs are `audit FILE`
or `check FILE` with an option or two.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..reports import REPORTS
from .output import COLORS

Run = Callable[[], int]
"""Does what was asked, and gives the exit code."""


class Grammar(NamedTuple):
    """The options of a command that are understood, each by its exact spelling.

    `flags` give the parameter and what the flag sets it to; `values` the parameter and what makes
    its value of the next word (a ValueError: click shall say what is wrong); `many` the parameter
    that collects every value.
    """

    flags: Mapping[str, tuple[str, bool]]
    values: Mapping[str, tuple[str, Callable[[str], Any]]]
    many: Mapping[str, str]


def _format(text: str) -> str:
    return text if text in REPORTS else _unknown(text)


def _color(text: str) -> str:
    return text if text in COLORS else _unknown(text)


def _unknown(text: str) -> str:
    raise ValueError(text)


_FLAGS = {
    "-q": ("quiet", True),
    "--quiet": ("quiet", True),
    "--no-config": ("no_config", True),
    "--verify": ("verify", True),
}
_VALUES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "-f": ("format_name", _format),
    "--format": ("format_name", _format),
    "--color": ("color", _color),
}
_MANY = {"-l": "layers", "--layers": "layers"}

GRAMMARS = {
    "audit": Grammar({**_FLAGS, "--no-init": ("no_init", True)}, _VALUES, _MANY),
    "check": Grammar(
        flags={
            **_FLAGS,
            "--allow-skipped": ("allow_skipped", True),
            "--exit-zero": ("exit_zero", True),
            "--require-lstm": ("require_lstm", True),
            "--no-require-lstm": ("require_lstm", False),
        },
        values={
            **_VALUES,
            "--fail-on": ("fail_on", str),
            "--forget-bias": ("forget_bias", float),
            "--tolerance": ("tolerance", float),
            "--min-activation": ("min_activation", float),
            "--max-activation": ("max_activation", float),
            "--min-time-scale": ("min_time_scale", float),
        },
        many={**_MANY, "--select": "select", "--ignore": "ignore"},
    ),
}


def understood(words: Sequence[str]) -> Run | None:
    """The run of an `audit` or `check` all of whose words are known; click expands globs itself on
    Windows.
    """
    grammar = GRAMMARS.get(words[0]) if words and os.name == "posix" else None
    given = None if grammar is None else arguments(grammar, words[1:])
    if given is None:
        return None
    from . import runs

    return partial(runs.audit if words[0] == "audit" else runs.check, **given)


def arguments(grammar: Grammar, words: Sequence[str]) -> dict[str, Any] | None:
    """The parameters that the words set; None when one of them is not known, or no path is among
    them.
    """
    given: dict[str, Any] = {}
    paths: list[str] = []
    left = iter(words)
    for word in left:
        if word in grammar.flags:
            name, value = grammar.flags[word]
            given[name] = value
        elif word == "-" or word[:1] not in ("-", ""):
            paths.append(word)
        elif not _valued(grammar, word, left, given):
            return None
    return {**given, "paths": tuple(paths)} if paths else None


def _valued(grammar: Grammar, word: str, left: Iterator[str], given: dict[str, Any]) -> bool:
    """Set the parameter of an option that takes a value, behind its `=` or the next word; whether
    that is one.
    """
    option, equals, text = word.partition("=") if word.startswith("--") else (word, "", "")
    if option not in grammar.values and option not in grammar.many:
        return False
    text = text if equals else next(left, "")
    if text[:1] in ("-", ""):
        return False
    if option in grammar.many:
        name = grammar.many[option]
        given[name] = (*given.get(name, ()), text)
        return True
    name, parse = grammar.values[option]
    try:
        given[name] = parse(text)
    except ValueError:
        return False
    return True
