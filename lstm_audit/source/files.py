"""Paths into the Python sources of a run.

Comes in: files, folders and globs. Goes out: `SourceInput`s in a stable order. Promise: what
.gitignore leaves out of a walked folder stays out, links that lead in circles end, and a path that
does not exist is said before anything is read.
"""

import fnmatch
import glob
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ..errors import MissingFile
from ..inputs import NOT_WALKED, find_unlisted, refuse_unmatched_globs, take_unlisted
from ..missing import explain_missing
from ..policy.globs import file_matches
from ..raw.locators import STDIN, is_remote
from .texts import MARKDOWN, SUFFIXES

NOT_SOURCES = NOT_WALKED | {"site-packages", ".mypy_cache", ".ruff_cache", ".nox", ".eggs", "venv"}


class SourceInput(NamedTuple):
    """One source; `named` by the user, or found in a folder. `problem`: it is a folder that cannot
    be listed, and why.
    """

    path: str
    format: str
    named: bool
    problem: str = ""


def find_sources(
    paths: Sequence[str], markdown: bool = False, exclude: Sequence[str] = ()
) -> list[SourceInput]:
    """Every source that the paths mean, each once; raises `BadPolicy` for a path or a glob of
    `exclude` that matches nothing.
    """
    found: dict[str, SourceInput] = {}
    matched, count = set[str](), 0
    for path in paths:
        for one in _expand(path, markdown):
            count += 1
            hits = {pattern for pattern in exclude if file_matches(one.path, "", (pattern,))}
            matched |= hits
            if not hits:
                found.setdefault(os.path.normpath(one.path), one)
    refuse_unmatched_globs(exclude, matched, count)
    return list(found.values())


def format_of(path: str, markdown: bool) -> str | None:
    """The format by the suffix; None for what is no source."""
    suffix = os.path.splitext(path)[1].lower()
    if suffix in MARKDOWN:
        return "markdown" if markdown else None
    return SUFFIXES.get(suffix)


def _expand(path: str, markdown: bool) -> Iterator[SourceInput]:
    if path == STDIN:
        yield SourceInput(path, "python", True)
    elif os.path.isdir(path):
        yield from _walk(path, markdown)
    elif os.path.lexists(path):
        yield SourceInput(path, format_of(path, True) or "python", True)
    else:
        yield from _expand_glob(path, markdown)


def _expand_glob(pattern: str, markdown: bool) -> Iterator[SourceInput]:
    matches = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []
    closed = list(find_unlisted(pattern))
    for path, problem in closed:
        yield SourceInput(path, "python", False, problem)
    if not matches and not closed:
        globbed = glob.has_magic(pattern) and not is_remote(pattern)
        why = "no file matches this pattern" if globbed else explain_missing(pattern)
        raise MissingFile(f"{pattern}: {why}")
    for match in matches:
        if os.path.isdir(match):
            yield from _walk(match, markdown)
        elif kind := format_of(match, markdown):
            yield SourceInput(match, kind, False)


def _walk(folder: str, markdown: bool) -> Iterator[SourceInput]:
    seen: set[str] = set()
    rules: dict[str, list[Ignore]] = {}
    closed: list[OSError] = []
    for root, folders, names in os.walk(folder, followlinks=True, onerror=closed.append):
        yield from _take_unlisted(closed)
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        above = rules.get(os.path.dirname(root), [])
        rules[root] = [*above, *read_ignores(root)] if ".gitignore" in names else above
        folders[:] = sorted(
            name
            for name in folders
            if name not in NOT_SOURCES
            and not is_ignored(os.path.join(root, name), True, rules[root])
        )
        for name in sorted(names):
            kind = format_of(name, markdown)
            if kind and not is_ignored(os.path.join(root, name), False, rules[root]):
                yield SourceInput(os.path.join(root, name), kind, False)
    yield from _take_unlisted(closed)


def _take_unlisted(closed: list[OSError]) -> Iterator[SourceInput]:
    """The folders that could not be listed since this was last asked: what they hold is unknown."""
    for path, problem in take_unlisted(closed):
        yield SourceInput(path, "python", False, problem)


# ---- .gitignore


class Ignore(NamedTuple):
    """A line of a .gitignore: where it holds, its pattern, and what it is about."""

    folder: str
    pattern: str
    anchored: bool
    folders_only: bool
    negated: bool


def read_ignores(folder: str) -> list[Ignore]:
    """The lines of a folder's .gitignore."""
    try:
        with open(os.path.join(folder, ".gitignore"), encoding="utf-8", errors="replace") as file:
            lines = file.read(1 << 20).splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        text = line.strip()
        if text and not text.startswith("#"):
            negated = text.startswith("!")
            text = text.removeprefix("!")
            body = text.rstrip("/")
            anchored = "/" in body
            found.append(Ignore(folder, body.lstrip("/"), anchored, text.endswith("/"), negated))
    return found[:2000]


def is_ignored(path: str, is_folder: bool, rules: Sequence[Ignore]) -> bool:
    """Whether the last line that matches a path ignores it."""
    ignored = False
    for rule in rules:
        if rule.folders_only and not is_folder:
            continue
        inside = os.path.relpath(path, rule.folder).replace(os.sep, "/")
        subject = inside if rule.anchored else inside.rpartition("/")[2]
        if compile_glob(rule.pattern).match(subject):
            ignored = not rule.negated
    return ignored


@lru_cache(maxsize=4096)  # asked for every file: 0.2 us in place of 6
def compile_glob(pattern: str) -> "re.Pattern[str]":
    """A gitignore pattern, `**` and all."""
    parts = [
        ".*" if part == "**" else fnmatch.translate(part)[4:-3].replace(".*", "[^/]*")
        for part in pattern.split("/")
    ]
    try:
        return re.compile("/".join(parts).replace(".*/", "(?:.*/)?") + r"\Z")
    except re.error:
        return re.compile(r"(?!)")
