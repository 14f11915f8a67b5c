"""Python sources, judged.

Comes in: the text of a module, or the paths of many, and a policy. Goes out: findings with lines,
and what could not be judged. Promise: nothing is imported or executed, and whatever the text, the
answer comes after a bounded number of steps.
"""

import ast
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from ..facts import Finding
from ..policy.model import Policy
from .entries import Left, run_file
from .given_modules import NO_LIBRARY, Library, follow_imports
from .imaginary import Unjudged, judge_parts, split_layers
from .places import place_findings
from .remarks import remarks_of
from .syntax import parse_source
from .texts import Text

# A source without any of these makes no recurrence that a rule speaks of.
WORDS = (b"LSTM", b"GRU")

# A source with both may hold a function that initialises an LSTM made elsewhere.
HELPER_WORDS = (b"lstm", b"bias")

# Unknown conditions of one file that are tried both ways.
MOST_GATES = 4


class Linted(NamedTuple):
    """What one source gave: findings, what could not be followed, how many recurrences it holds."""

    findings: tuple[Finding, ...]
    unjudged: tuple[Unjudged, ...]
    recurrences: int


NOTHING = Linted((), (), 0)


def names_recurrence(data: bytes) -> bool:
    """Whether the bytes are worth parsing."""
    return any(word in data for word in WORDS) or all(word in data for word in HELPER_WORDS)


def lint_tree(
    tree: ast.Module,
    path: str,
    policy: Policy,
    format_name: str = "python",
    library: Library = NO_LIBRARY,
) -> Linted:
    """Run a parsed source and hold what it leaves against the rules."""
    follow = partial(follow_imports, library=library)
    left = run_file(tree, path, prepare=follow)
    linted = judge_left(left, path, policy, format_name)
    if not linted.unjudged:
        return linted
    said = {(finding.code, finding.line) for finding in linted.findings}
    more = []
    for gate, assumed, words in _worlds(left):
        left.machine.start()
        other = run_file(tree, path, {gate: assumed}, follow, steps=left.machine.left)
        left.machine.left = other.machine.left - other.machine.steps
        for finding in judge_left(other, path, policy, format_name).findings:
            if finding.code.startswith("LA1") and (finding.code, finding.line) not in said:
                said.add((finding.code, finding.line))
                more.append(finding._replace(message=f"{words}: {finding.message}"))
    return linted._replace(findings=tuple(_in_order([*linted.findings, *more])))


def _worlds(left: Left) -> Iterator[tuple[str, bool, str]]:
    """The conditions that guard a bias, each taken as true and as false."""
    for gate in list(left.machine.gates)[:MOST_GATES]:
        yield gate, True, f"when `{gate}`"
        yield gate, False, f"unless `{gate}`"


def judge_left(left: Left, path: str, policy: Policy, format_name: str) -> Linted:
    """The findings on what a run has left."""
    parts = split_layers(left.held)
    remarks = remarks_of(left, path)
    findings = place_findings(judge_parts(path, format_name, parts, remarks, policy), parts)
    cut_off = tuple(Unjudged("", place, reason) for place, reason in left.unfinished)
    return Linted(tuple(_in_order(findings)), (*parts.unjudged, *cut_off), len(left.held))


def _in_order(findings: list[Finding]) -> list[Finding]:
    """In the order of the source."""
    return sorted(findings, key=lambda f: (f.line or 0, f.column or 0, f.code, f.module or ""))


def lint_text(text: Text, path: str, policy: Policy, library: Library = NO_LIBRARY) -> Linted:
    """Lint one text; findings stand at the lines of its file, those under `noqa` are left out."""
    tree = parse_source(text.data)
    linted = lint_tree(tree, path, policy, text.format, library)
    kept = [_relocate(f, text, path) for f in linted.findings if not _is_silenced(f, text, path)]
    return linted._replace(findings=tuple(kept))


def _is_silenced(finding: Finding, text: Text, path: str) -> bool:
    return finding.path == path and text.suppresses(finding.line or 0, finding.code)


def _relocate(finding: Finding, text: Text, path: str) -> Finding:
    if finding.path != path or finding.line is None:
        return finding
    cell, line = text.locate(finding.line)
    return finding._replace(cell=cell, line=line)
