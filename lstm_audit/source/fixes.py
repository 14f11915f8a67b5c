"""Edits of a source that mend a doubled or one-sided forget bias.

Comes in: a text and its findings. Goes out: `TextEdit`s, each proven. Promise: an edit is offered
only after the edited source was run on phantoms and gave no finding at that line; it is safe only
if every forget gate that the finding spoke of then holds the value in one half and 0 in the other.
"""

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import MalformedFile
from ..facts import Finding
from ..policy.model import Policy
from .entries import run_file
from .imaginary import HALVES, LayerBiases, split_layers
from .lint import judge_left
from .machine import is_set
from .syntax import parse_source

# The mistakes that an edit of one line can mend: the others need a decision.
MENDED = frozenset({"LA101", "LA104"})

MOST_EDITS = 40


class TextEdit(NamedTuple):
    """A replacement of the characters from `start` to `stop` of a text, and what it mends."""

    start: int
    stop: int
    text: str
    code: str
    line: int
    safe: bool


# An edit is not derived, it is guessed and proven: several small changes are tried on the text,
# each is run like the file itself, and the first whose outcome has no finding in the module is
# offered. So no rule has to know how code is written, and an edit that would break something else
# is never shown.
def propose_edits(
    text: str, findings: Sequence[Finding], path: str, policy: Policy
) -> list[TextEdit]:
    """The proven edits for the findings of a text, in the order of the text."""
    edits: list[TextEdit] = []
    for finding in findings:
        if finding.code in MENDED and finding.path == path and len(edits) < MOST_EDITS:
            edit = _first_proven(text, finding, path, policy)
            if edit is not None and not any(_overlap(edit, other) for other in edits):
                edits.append(edit)
    return sorted(edits)


def apply_edits(text: str, edits: Sequence[TextEdit]) -> str:
    """The text with the edits made."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.stop :]
    return text


def _overlap(a: TextEdit, b: TextEdit) -> bool:
    return a.start <= b.stop and b.start <= a.stop


def _first_proven(text: str, finding: Finding, path: str, policy: Policy) -> TextEdit | None:
    tree = parse_source(text)
    unsafe = None
    for edit in _candidates(text, tree, finding):
        proof = _prove(apply_edits(text, [edit]), finding, path, policy)
        if proof:
            return edit
        if proof is False and unsafe is None:
            unsafe = edit._replace(safe=False)
    return unsafe


def _prove(text: str, finding: Finding, path: str, policy: Policy) -> bool | None:
    """Whether the edited source mends the finding: with the value in one half and 0 in the other of
    every forget gate (True), otherwise (False), or not at all (None).
    """
    try:
        left = run_file(parse_source(text), path)
    except MalformedFile:
        return None
    found = judge_left(left, path, policy, "python").findings
    new = [f for f in found if f.code.startswith("LA1") and f.module == finding.module]
    if new or any(f.code == "LA504" for f in found):
        return None
    parts = [part for part in split_layers(left.held).lstms if part.module == finding.module]
    if not parts or not all(map(_keeps_something, parts)):
        return None
    return all(map(_is_single, parts))


def _keeps_something(part: LayerBiases) -> bool:
    """Whether the forget gate still has a bias that was set."""
    return any(is_set(run) for half in HALVES for run in part.gate(half, 1))


def _is_single(part: LayerBiases) -> bool:
    halves = [{run.cell for run in part.gate(half, 1)} for half in ("ih", "hh")]
    numbers = [half.pop() if len(half) == 1 else None for half in halves]
    return all(isinstance(n, float) for n in numbers) and numbers.count(0.0) == 1


# ---- candidates


def _candidates(text: str, tree: ast.Module, finding: Finding) -> Iterator[TextEdit]:
    """What might mend the finding, the smallest first."""
    source = _SourceText(text)
    line = finding.line or 0
    written = _find_written(tree, line)
    for value in written:
        for name in _loop_names(tree, line):
            yield source.replace(
                value, f'{source.of(value)} if "bias_ih" in {name} else 0.0', finding
            )
    for value in written:
        yield source.replace(value, "0.0", finding)
    statement = _statement_at(tree, line)
    if statement is not None:
        yield from _zeroing(source, tree, statement, finding)


# The parser counts columns in UTF-8 bytes, Python's strings in characters: a comment in another
# language before a statement would else shift the edit.
class _SourceText:
    """A text with the offsets of its lines: the parser counts in UTF-8 bytes of a line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def offset(self, line: int, column: int) -> int:
        """The index of a place that the parser names."""
        prefix = self.lines[line - 1].encode("utf-8", "surrogatepass")[:column]
        return self.starts[line - 1] + len(prefix.decode("utf-8", "surrogatepass"))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """The characters of a node."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self.offset(node.lineno, node.col_offset), self.offset(end_line, end_column)

    def of(self, node: ast.expr) -> str:
        """A node's text; in brackets where it would bind more weakly than a condition."""
        start, stop = self.span(node)
        body = self.text[start:stop]
        return body if isinstance(node, ast.Constant | ast.Name | ast.Attribute) else f"({body})"

    def replace(self, node: ast.expr, text: str, finding: Finding) -> TextEdit:
        """The edit that puts a text in a node's place."""
        start, stop = self.span(node)
        return TextEdit(start, stop, text, finding.code, finding.line or 0, True)


def _find_written(tree: ast.Module, line: int) -> list[ast.expr]:
    """The values that the statement at a line writes: an argument, or the right side."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        if getattr(node, "lineno", 0) != line:
            continue
        if isinstance(node, ast.Assign | ast.AugAssign):
            found.append(node.value)
        elif isinstance(node, ast.Call):
            found += _find_filled(node)
    return found


def _find_filled(node: ast.Call) -> list[ast.expr]:
    """The number of `x.fill_(1)`, `constant_(x, 1)` and `constant_(x, val=1)`."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("fill_", "copy_", "add_") and node.args:
        return [node.args[0]]
    if name in ("constant_", "constant"):
        return [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "val")]
    return []


def _loop_names(tree: ast.Module, line: int) -> Iterator[str]:
    """Names of loops around a line that may hold a parameter's name, the innermost first."""
    loops = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.For) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    for loop in sorted(loops, key=lambda node: -node.lineno):
        for target in ast.walk(loop.target):
            if isinstance(target, ast.Name):
                yield target.id


def _statement_at(tree: ast.Module, line: int) -> ast.stmt | None:
    """The innermost statement that begins at a line."""
    found = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and n.lineno == line]
    return max(found, key=lambda node: node.col_offset, default=None)


def _zeroing(
    source: _SourceText, tree: ast.Module, statement: ast.stmt, finding: Finding
) -> Iterator[TextEdit]:
    """A statement behind the write that zeroes the other half, spelled as the write is."""
    start, stop = source.span(statement)
    body = source.text[start:stop]
    for one, other in (("bias_ih", "bias_hh"), ("bias_hh", "bias_ih")):
        if one not in body or other in body or "\n" in body:
            continue
        values = _find_written(tree, statement.lineno)
        if not values:
            continue
        low, high = source.span(values[0])
        zeroed = (body[: low - start] + "0.0" + body[high - start :]).replace(one, other)
        indent = source.text[source.starts[statement.lineno - 1] : start]
        if indent.strip():
            continue
        ending = "\r\n" if source.lines[statement.lineno - 1].endswith("\r\n") else "\n"
        end = source.starts[statement.end_lineno or statement.lineno]
        if not source.text[stop:end].endswith(("\n", "\r")):
            continue
        yield TextEdit(end, end, f"{indent}{zeroed}{ending}", finding.code, finding.line or 0, True)
