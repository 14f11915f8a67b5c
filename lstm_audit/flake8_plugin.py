"""The linter as a plugin of flake8.

Comes in: the tree and the name of a file that flake8 checks. Goes out: its findings as flake8 wants
them. Promise: the rules and their codes are those of `lstm-audit lint`; flake8 selects and
silences.
"""

import ast
from collections.abc import Iterator

from .policy.model import Policy
from .source.lint import lint_tree, names_recurrence
from .version import __version__

# Line from 1, column from 0, text, and who says it.
Problem = tuple[int, int, str, type]


class Plugin:
    """What flake8 makes for each file."""

    name = "lstm-audit"
    version = __version__

    def __init__(self, tree: ast.Module, filename: str, lines: list[str]) -> None:
        self.tree = tree
        self.filename = filename
        self.lines = lines

    def run(self) -> Iterator[Problem]:
        """The findings of one file."""
        if not names_recurrence("".join(self.lines).encode("utf-8", "replace")):
            return
        linted = lint_tree(self.tree, self.filename, Policy().having("require-lstm", False))
        for finding in linted.findings:
            if finding.path == self.filename:
                line, column = finding.line or 1, (finding.column or 1) - 1
                yield line, column, f"{finding.code} {finding.message}", type(self)
