"""Fixes written into sources.

Comes in: paths and what is asked. Goes out: `Mended`, a source each. Promise: encoding, line ends
and everything outside of the edits stay as they are, and a file is replaced whole or not at all.
"""

import difflib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import AuditError, BadPolicy
from ..raw.locators import STDIN
from ..replacing import replace_whole
from .files import find_sources
from .fixes import TextEdit, apply_edits, propose_edits
from .lint import lint_text, names_recurrence
from .runs import LintRequest, read_source
from .texts import encoding_of, read_python

# A fix may let the next mistake of a line show itself.
ROUNDS = 4


class Mended(NamedTuple):
    """One source: how many findings its edits mend, and the difference as a unified diff."""

    path: str
    fixes: int
    diff: str


def mend_paths(
    paths: Sequence[str], request: LintRequest, unsafe: bool = False, write: bool = True
) -> Iterator[Mended]:
    """Mend the Python sources that the paths mean; notebooks and Markdown are left alone."""
    for given in find_sources(paths, False, request.exclude):
        if given.path == STDIN:
            raise BadPolicy("--fix and --diff need a file: standard input cannot be written to")
        if given.format == "python":
            try:
                data = read_source(given)
            except AuditError:
                continue  # the lint that follows says it
            mended = mend_bytes(data, given.path, request, unsafe)
            if mended is not None:
                new, count = mended
                if write:
                    replace_file(given.path, new)
                yield Mended(given.path, count, make_diff(given.path, data, new))


def mend_bytes(
    data: bytes, path: str, request: LintRequest, unsafe: bool = False
) -> tuple[bytes, int] | None:
    """The mended bytes and how many findings are gone; None where nothing can be mended."""
    if not names_recurrence(data):
        return None
    encoding = encoding_of(data)
    try:
        text = data.decode(encoding)
        if text.encode(encoding) != data:
            return None
    except (UnicodeError, LookupError):
        return None
    mended, count = mend_text(text, path, request, unsafe)
    return (mended.encode(encoding), count) if count else None


def mend_text(text: str, path: str, request: LintRequest, unsafe: bool = False) -> tuple[str, int]:
    """The text after up to `ROUNDS` rounds of proven edits."""
    count = 0
    for _ in range(ROUNDS):
        edits = [edit for edit in _edits_of(text, path, request) if edit.safe or unsafe]
        if not edits:
            break
        text = apply_edits(text, edits)
        count += len(edits)
    return text, count


def _edits_of(text: str, path: str, request: LintRequest) -> list[TextEdit]:
    try:
        parsed = read_python(text.encode("utf-8", "surrogatepass"), "python")
        linted = lint_text(parsed._replace(data=text), path, request.policy)
        return propose_edits(text, linted.findings, path, request.policy)
    except AuditError:
        return []


def make_diff(path: str, old: bytes, new: bytes) -> str:
    """A unified diff, as `patch -p1` takes it."""
    encoding = encoding_of(old)
    before, after = (part.decode(encoding, "replace").splitlines() for part in (old, new))
    name = os.path.relpath(path).replace(os.sep, "/") if not os.path.isabs(path) else path
    lines = difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm="")
    return "\n".join(lines)


def replace_file(path: str, data: bytes) -> None:
    """Write through a temporary file beside the real one, with its mode."""
    try:
        with replace_whole(path, mode=os.stat(path).st_mode & 0o7777) as file:
            file.write(data)
    except OSError as error:
        raise BadPolicy(f"{path}: cannot write the fix: {error.strerror}") from None
