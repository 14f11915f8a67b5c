"""Regular expressions of the source, as far as they cannot run away.

Comes in: a pattern and a text. Goes out: a match. Promise: a pattern with a repetition within a
repetition, or longer than any that names a parameter, is not tried.
"""

import re
from re import _parser  # type: ignore[attr-defined]  # the parser of re has no public name
from typing import Any

from .machine import Machine, new_items
from .values import UNKNOWN, Value

# Characters of a pattern, and of a text that it is tried on: no parameter's name is longer.
LONGEST = 100

MOST_REPEATS = 4
CALLS = ("match", "search", "fullmatch", "findall", "split")


def compile_pattern(text: Value, flags: Value = 0) -> "re.Pattern[str] | None":
    """The pattern, if it is harmless."""
    if not isinstance(text, str) or len(text) > LONGEST or flags != 0:
        return None
    try:
        if _runs_away(_parser.parse(text)):
            return None
        return re.compile(text)
    except (re.error, RecursionError, OverflowError, ValueError):
        return None


def _runs_away(parsed: Any) -> bool:
    """Whether backtracking could take long: a repetition or a choice within a repetition, or more
    repetitions than `MOST_REPEATS`, whose powers multiply.
    """
    return _repeats(parsed, inside=False) > MOST_REPEATS


def _repeats(parsed: Any, inside: bool) -> int:
    count = 0
    for operator, argument in parsed:
        repeats = "REPEAT" in str(operator)
        if inside and (repeats or str(operator) in ("BRANCH", "GROUPREF")):
            return MOST_REPEATS + 1
        count += repeats + sum(_repeats(part, inside or repeats) for part in _parts(argument))
    return count


def _parts(argument: Any) -> list[Any]:
    """The patterns within an argument of the parsed form."""
    if isinstance(argument, _parser.SubPattern):
        return [argument]
    if isinstance(argument, tuple | list):
        return [part for item in argument for part in _parts(item)]
    return []


def call_pattern(m: Machine, pattern: "re.Pattern[str]", name: str, args: list[Value]) -> Value:
    """`pattern.match(text)` and its like."""
    texts = [arg for arg in args if isinstance(arg, str) and len(arg) <= LONGEST]
    if name == "sub" and len(texts) == len(args) == 2 and len(texts[0]) < 20:
        try:
            return pattern.sub(texts[0], texts[1])
        except (re.error, IndexError):  # a template that names a group that is not there
            return UNKNOWN
    if name not in CALLS or len(texts) != len(args) or len(args) != 1:
        return UNKNOWN
    found = getattr(pattern, name)(*texts)
    return new_items(m, found) if isinstance(found, list) else found
