"""One Python source, judged.

Comes in: the text of a module and a policy. Goes out: a `FileAudit` whose findings have lines, and
what could not be judged. Promise: nothing is imported or executed, and whatever the text, the
answer comes after a bounded number of steps.
"""

import ast
import warnings
from collections.abc import Callable
from typing import NamedTuple

from ..errors import MalformedFile
from ..facts import Finding
from ..policy.model import Policy
from .entries import Left, run_file
from .imaginary import Unjudged, judge_parts, part_of
from .machine import Machine
from .places import place_findings
from .remarks import remarks_of
from .values import Value

LARGEST_SOURCE = 4 << 20
"""Bytes of a source that is parsed."""

WORDS = (b"LSTM", b"GRU")
"""A source without any of these holds no recurrence that a rule speaks of."""


class Linted(NamedTuple):
    """What one source gave."""

    findings: tuple[Finding, ...]
    unjudged: tuple[Unjudged, ...]
    recurrences: int


NOTHING = Linted((), (), 0)

Imports = Callable[[Machine], Callable[[str], Value]]


def names_recurrence(data: bytes) -> bool:
    """Whether the bytes are worth parsing."""
    return any(word in data for word in WORDS)


def parse_source(data: bytes | str, path: str) -> ast.Module:
    """The syntax tree; raises `MalformedFile` with the line where it is no Python."""
    if len(data) > LARGEST_SOURCE:
        raise MalformedFile(
            f"{len(data)} bytes of source; at most {LARGEST_SOURCE} are read", kind="limit"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of escapes and comparisons in a source that is not ours
            return ast.parse(data)
    except SyntaxError as error:
        line, column = error.lineno or 1, error.offset or 1
        message = f"line {line}, column {column}: no Python 3 source: {error.msg}"
        raise MalformedFile(message, line) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise MalformedFile(f"no Python source: {error}", 1) from None


def lint_tree(
    tree: ast.Module,
    path: str,
    policy: Policy,
    format_name: str = "python",
    imports: Imports | None = None,
) -> Linted:
    """Run a parsed source and hold what it leaves against the rules."""
    left = run_file(tree, path, imports=imports)
    return judge_left(left, path, policy, format_name)


def judge_left(left: Left, path: str, policy: Policy, format_name: str) -> Linted:
    """The findings on what a run has left."""
    parts = part_of(left.held)
    remarks = remarks_of(left, path)
    findings = place_findings(judge_parts(path, format_name, parts, remarks, policy), parts)
    cut_off = tuple(Unjudged("", place, "it takes too many steps") for place in left.unfinished)
    return Linted(tuple(sort_findings(findings)), (*parts.unjudged, *cut_off), len(left.held))


def sort_findings(findings: list[Finding]) -> list[Finding]:
    """In the order of the source."""
    return sorted(findings, key=lambda f: (f.line or 0, f.column or 0, f.code, f.module or ""))
