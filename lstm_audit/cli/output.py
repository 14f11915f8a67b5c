"""Where a report goes, and what is said beside it.

Comes in: an `Audit` and the user's choice of formats. Goes out: text, to stdout or to files.
Promise: a report is written whole or not at all, and colour appears only where a person reads.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..errors import BadPolicy
from ..facts import Audit
from ..inputs import shards_beside
from ..reports import REPORTS, Look, escape, utf8

SPELLED = str.maketrans(
    {"→": "->", "τ": "tau", "\u2212": "-", "±": "+-", "∞": "inf", "…": "...", "·": "-", "≈": "~"}
)
"""Signs of our own texts, for streams whose encoding lacks them."""


COLORS = ("auto", "always", "never")
"""When a report is coloured."""


def say(text: str) -> None:
    """A line on stdout, whatever its encoding: signs that it lacks are spelled out."""
    if not _can_show(sys.stdout, text):
        text = text.translate(SPELLED)
    _put(f"{text}\n".encode(_encoding(sys.stdout), "backslashreplace"))


def tell(text: str, end: str = "\n") -> None:
    """A line on stderr, where there is one: it takes any text, and spells out what its encoding
    lacks.

    A stderr that takes no more changes no exit code.
    """
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(text + end)
            sys.stderr.flush()


def _put(data: bytes) -> None:
    """All of it, or an OSError: under PYTHONUNBUFFERED, Python's own stdout drops what a full disk
    did not take.
    """
    if sys.stdout is None:  # closed by the caller, as `>&-` does
        return
    stream, left = sys.stdout.buffer, memoryview(data)
    while left:
        left = left[stream.write(left) :]
    stream.flush()


def emit(
    audit: Audit,
    format_name: str,
    output: str | None,
    reports: Sequence[tuple[str, str]],
    color: str,
    quiet: bool,
    fail_on: str = "never",
    kept: Sequence[str | None] = (),
) -> None:
    """Write every report that was asked for; never over an input, or over one of the files that
    must be `kept`.
    """
    _refuse_overwriting(
        audit, kept, [path for _, path in reports] + ([] if output is None else [output])
    )
    file_look = Look(width=100, quiet=quiet, fail_on=fail_on)
    if "sarif" in (format_name, *(name for name, _ in reports)):
        from .fixes import edits_of

        file_look = file_look._replace(edits=edits_of(audit))
    for name, path in reports:
        _write(path, REPORTS[name](audit, file_look))
    if output is not None:
        _write(output, REPORTS[format_name](audit, file_look))
    elif format_name == "table":
        look = look_of(sys.stdout, color, quiet)._replace(fail_on=fail_on)
        _put(REPORTS[format_name](audit, look).encode(_encoding(sys.stdout), "backslashreplace"))
    # what other programs read is UTF-8, and the same as in a file, whatever the terminal speaks
    else:
        _put(utf8(REPORTS[format_name](audit, file_look)))
        for error in audit.errors if format_name in WITHOUT_ERRORS else ():
            tell(
                f"error: {escape(error.path, limit=None)}: {error.kind}: "
                f"{escape(error.message, limit=None)}"
            )


WITHOUT_ERRORS = ("csv", "jsonl")
"""Formats of rows alone: what could not be read is said on stderr."""


def _refuse_overwriting(audit: Audit, kept: Sequence[str | None], outputs: Sequence[str]) -> None:
    """`-o model.pt model.pt` would put a report in the checkpoint's place, and two reports one in
    the other's.
    """
    if not outputs:
        return
    paths = [file.path for file in audit.files] + [error.path for error in audit.errors]
    paths += [shard for path in paths for shard in shards_beside(path)] + [
        path for path in kept if path
    ]
    taken = dict.fromkeys(
        map(os.path.realpath, paths), "is one of the inputs; a report would overwrite it"
    )
    for output in outputs:
        if reason := taken.get(os.path.realpath(output)):
            raise BadPolicy(f"{output}: {reason}")
        if not _is_stream(output):
            taken[os.path.realpath(output)] = "two reports cannot go into one file"


def _write(path: str, text: str) -> None:
    """Through a temporary file beside it, so that a reader never sees half a report."""
    try:
        if _is_stream(path):
            with open(path, "ab") as file:
                file.write(utf8(text))
        else:
            _replace(os.path.realpath(path), utf8(text))
    except OSError as error:
        raise BadPolicy(f"{path}: cannot write the report: {error.strerror}") from None


def _is_stream(path: str) -> bool:
    """/dev/stdout, a named pipe: nothing that could be replaced, even where a regular file stands
    behind it.
    """
    return os.path.abspath(path).startswith(("/dev/", "/proc/")) or (
        os.path.exists(path) and not os.path.isfile(path)
    )


def _replace(path: str, data: bytes) -> None:
    temporary = f"{path}.tmp{os.getpid()}"
    try:
        with open(temporary, "xb") as file:
            file.write(data)
        os.replace(temporary, path)
    finally:
        if os.path.lexists(temporary):
            os.unlink(temporary)


def look_of(stream: Any, color: str, quiet: bool) -> Look:
    """What the stream can show: its width, colour, and whether it holds more than ASCII."""
    terminal = stream is not None and stream.isatty()
    width = _columns() if terminal or "COLUMNS" in os.environ else 80
    wants = color == "always" or (color == "auto" and terminal and not os.environ.get("NO_COLOR"))
    return Look(width=width, color=wants, quiet=quiet, ascii=not _can_show(stream, "±τ▁█…∞"))


def _columns() -> int:
    import shutil

    return max(40, shutil.get_terminal_size((80, 24)).columns)


def _can_show(stream: Any, text: str) -> bool:
    try:
        text.encode(_encoding(stream))
    except UnicodeEncodeError:
        return False
    return True


def _encoding(stream: Any) -> str:
    return getattr(stream, "encoding", None) or "ascii"


class Progress:
    """Things done, on a terminal's stderr, once a run has taken over a second."""

    def __init__(self, quiet: bool, what: str = "files") -> None:
        from time import monotonic

        self._clock = monotonic
        self._start = self._last = monotonic()
        self._what = what
        self._active = not quiet and sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Called after every step."""
        now = self._clock() if self._active else self._start
        if now - self._start > 1.0 and (now - self._last > 0.1 or done == total):
            self._last = now
            tell(f"\r{done:,} of {total:,} {self._what}", end="")

    def end(self) -> None:
        """Clear the line."""
        if self._last > self._start:
            tell("\r\033[K", end="")
