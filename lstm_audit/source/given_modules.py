"""The modules that the given sources import from each other.

Comes in: the paths of a run. Goes out: for a dotted name, the names of the module. Promise: only
files among the given ones are read; a name that several of them could have is not followed unless
one lies beside the importer.
"""

import ast
import os
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import MalformedFile
from .machine import Machine, new_scope
from .syntax import parse_source
from .values import UNKNOWN, Value

LARGEST_IMPORTED = 1 << 20
MOST_IMPORTED = 60


class Library(NamedTuple):
    """Paths by every dotted name that they may be imported under."""

    by_name: dict[str, tuple[str, ...]]

    def find(self, name: str, importer: str) -> str | None:
        """The file that a dotted name means to an importer."""
        level = len(name) - len(name.lstrip("."))
        if level:
            folder = os.path.dirname(importer)
            for _ in range(level - 1):
                folder = os.path.dirname(folder)
            return self._below(folder, name[level:].split("."))
        choices = self.by_name.get(name, ())
        beside = self._below(os.path.dirname(importer), name.split("."))
        return beside or (choices[0] if len(choices) == 1 else None)

    def _below(self, folder: str, parts: Sequence[str]) -> str | None:
        stem = os.path.normpath(os.path.join(folder, *parts))
        known = self.by_name.get(parts[-1] if parts[-1] else os.path.basename(folder), ())
        for path in (stem + ".py", os.path.join(stem, "__init__.py")):
            if path in known:
                return path
        return None


def make_library(paths: Sequence[str]) -> Library:
    """The library of these files."""
    by_name: dict[str, list[str]] = {}
    for path in paths:
        if not path.endswith(".py"):
            continue
        parts = os.path.normpath(path)[:-3].split(os.sep)
        if parts[-1] == "__init__":
            parts.pop()
        for n in range(1, min(len(parts), 6) + 1):
            by_name.setdefault(".".join(parts[-n:]), []).append(os.path.normpath(path))
    return Library({name: tuple(paths) for name, paths in by_name.items()})


NO_LIBRARY = Library({})


def follow_imports(m: Machine, library: Library) -> None:
    """Let a machine follow the imports among the library's files."""

    def follow(name: str) -> Value:
        path = library.find(name, os.path.normpath(m.path)) if library.by_name else None
        if path is None or (path not in m.scopes and len(m.scopes) >= MOST_IMPORTED):
            return UNKNOWN
        if path not in m.scopes:
            _run_module(m, path)
        return m.scopes[path].names

    m.imports = follow


def _run_module(m: Machine, path: str) -> None:
    """Run an imported module's body in a scope of its own."""
    scope = m.scopes[path] = new_scope(m, None)
    tree = _parse(path)
    before = m.path
    m.path = path
    try:
        if tree is not None:
            m.run(tree.body, scope)
    finally:
        m.path = before


def _parse(path: str) -> ast.Module | None:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_IMPORTED + 1)
        return parse_source(data) if len(data) <= LARGEST_IMPORTED else None
    except (OSError, MalformedFile):
        return None
