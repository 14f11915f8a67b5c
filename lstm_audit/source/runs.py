"""Many sources, linted.

Comes in: paths and what is asked. Goes out: `Lint`: an `Audit` whose files are sources, and what
could not be followed. Promise: one unreadable source hides no other, and a source that names no
recurrence costs a search of its bytes.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from ..errors import AuditError
from ..facts import Audit, FileAudit, FileError, Finding
from ..inputs import Progress
from ..policy.model import Policy
from ..raw.locators import STDIN
from .files import SourceInput, find_sources
from .given_modules import NO_LIBRARY, Library, make_library
from .imaginary import Unjudged
from .lint import lint_text, names_recurrence
from .syntax import LARGEST_SOURCE, refuse_binary
from .texts import read_python

# Bytes of a file that are looked through for a name; a notebook may hold pictures.
LARGEST_READ = 64 << 20

# Sources below which starting processes takes longer than it saves.
FEW = 40


class LintRequest(NamedTuple):
    """What is asked of every source."""

    policy: Policy
    markdown: bool = False
    exclude: tuple[str, ...] = ()
    stdin_filename: str = "stdin.py"
    jobs: int = 1


class SourceResult(NamedTuple):
    """One source: its audit or error (None where it names no recurrence and nobody named it)."""

    file: FileAudit | None
    error: FileError | None
    unjudged: tuple[Unjudged, ...] = ()


class Lint(NamedTuple):
    """A whole run: `sources` were looked at, `unjudged` could not be followed, by path."""

    audit: Audit
    unjudged: tuple[tuple[str, Unjudged], ...]
    sources: int


def lint_paths(
    paths: Sequence[str], request: LintRequest, progress: Progress | None = None
) -> Lint:
    """Lint the sources that the paths mean; raises `BadPolicy` for a path that does not exist."""
    inputs = find_sources(paths, request.markdown, request.exclude)
    library = make_library([one.path for one in inputs if not one.problem])
    results = []
    for result in _each(inputs, request, library):
        results.append(result)
        if progress is not None:
            progress(len(results), len(inputs))
    return _gather(inputs, results)


def _each(
    inputs: Sequence[SourceInput], request: LintRequest, library: Library
) -> Iterator[SourceResult]:
    jobs = request.jobs or os.cpu_count() or 1
    lint = partial(lint_input, request=request, library=library)
    if jobs == 1 or len(inputs) < FEW:
        yield from map(lint, inputs)
        return
    from ..worker import over_processes  # 15 ms, which few sources spare

    yield from over_processes(
        inputs, lint, _fail, jobs, lambda given: lint(given) if given.path == STDIN else None
    )


def _fail(given: SourceInput, problem: str) -> SourceResult:
    return SourceResult(None, FileError(given.path, "limit", problem))


def _gather(inputs: Sequence[SourceInput], results: Sequence[SourceResult]) -> Lint:
    """The run's results; a finding in an imported source is that source's."""
    audit = Audit(
        files=tuple(_regroup([r.file for r in results if r.file is not None])),
        errors=tuple(r.error for r in results if r.error is not None),
        ignored=sum(r.file is None and r.error is None for r in results),
        sources=sum(not one.problem for one in inputs),
    )
    unjudged = tuple(
        (one.path, entry) for one, r in zip(inputs, results, strict=True) for entry in r.unjudged
    )
    return Lint(audit, unjudged, len(inputs))


def _regroup(files: Sequence[FileAudit]) -> Iterator[FileAudit]:
    by_path: dict[str, dict[tuple[object, ...], Finding]] = {}
    for finding in (finding for file in files for finding in file.findings):
        key = finding.code, finding.cell, finding.line, finding.column
        by_path.setdefault(os.path.normpath(finding.path), {}).setdefault(key, finding)
    for file in files:
        own = by_path.pop(os.path.normpath(file.path), {})
        yield file._replace(findings=_in_order(own.values(), file.path))
    for path, left in by_path.items():
        yield FileAudit(path, "python", 0, (), (), _in_order(left.values(), path))


def _in_order(findings: Iterable[Finding], path: str) -> tuple[Finding, ...]:
    placed = [finding._replace(path=path) for finding in findings]
    return tuple(sorted(placed, key=lambda f: (f.cell or 0, f.line or 0, f.column or 0, f.code)))


def lint_input(
    given: SourceInput, request: LintRequest, library: Library = NO_LIBRARY
) -> SourceResult:
    """One source, whatever happens with it."""
    path = request.stdin_filename if given.path == STDIN else given.path
    if given.problem:
        return SourceResult(None, FileError(path, "io", given.problem))
    try:
        data = read_source(given)
        if not names_recurrence(data):
            return _without_recurrence(given, path, data)
        return lint_bytes(data, path, given.format, request.policy, library)
    except AuditError as error:
        return SourceResult(None, FileError(path, error.kind, error.message, error.at))


# A compressed checkpoint holds none of the words either, and would be a source without a finding.
def _without_recurrence(given: SourceInput, path: str, data: bytes) -> SourceResult:
    """A source that is not worth parsing; raises `MalformedFile` where it was named and is none."""
    if not given.named:
        return SourceResult(None, None)
    refuse_binary(data)
    return SourceResult(FileAudit(path, given.format, len(data), (), ()), None)


def lint_bytes(
    data: bytes, path: str, format_name: str, policy: Policy, library: Library = NO_LIBRARY
) -> SourceResult:
    """The bytes of one source; raises `MalformedFile` where they are none."""
    text = read_python(data, format_name)
    linted = lint_text(text, path, policy, library)
    file = FileAudit(path, text.format, len(data), (), (), linted.findings)
    return SourceResult(file, None, linted.unjudged)


def read_source(given: SourceInput) -> bytes:
    """The bytes of a source or of standard input; raises `AuditError` where they cannot be read."""
    try:
        if given.path == STDIN:
            return sys.stdin.buffer.read(LARGEST_SOURCE + 1) if sys.stdin else b""
        with open(given.path, "rb") as file:
            return file.read(LARGEST_READ)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise AuditError(f"cannot open: {reason}") from None
