"""Options and output that the reporting commands share.

Comes in: an `Audit` and the user's choice of formats. Goes out: text, to stdout or to files. Promise: a report is
written whole or not at all, and colour appears only where a person reads.
"""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import click

from ..finding import Audit
from ..reports import REPORTS, Look

Command = TypeVar("Command", bound=Callable[..., Any])


class FormatChoice(click.Choice[str]):
    """The names of the registered reports, looked up when needed."""

    def __init__(self) -> None:
        super().__init__(sorted(REPORTS))


def report_options(command: Command) -> Command:
    """--format, --output, --report, --color, --quiet."""
    options = [
        click.option(
            "-f", "--format", "format_name", type=FormatChoice(), default="table", help="What stdout carries."
        ),
        click.option("-o", "--output", type=click.Path(dir_okay=False), help="Write the report to a file, not stdout."),
        click.option(
            "--report",
            "reports",
            multiple=True,
            metavar="FORMAT=FILE",
            help="One more report in the same run; repeatable.",
        ),
        click.option(
            "--color", type=click.Choice(["auto", "always", "never"]), default="auto", help="NO_COLOR is honoured."
        ),
        click.option("-q", "--quiet", is_flag=True, help="No progress, and no advice in the table."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def run_options(command: Command) -> Command:
    """PATH..., --layers, --jobs."""
    options = [
        click.argument("paths", nargs=-1, required=True, metavar="PATH..."),
        click.option(
            "-l", "--layers", multiple=True, metavar="PATTERN",
            help="Only LSTMs whose address (encoder.lstm:l0:reverse) or module matches the glob; repeatable.",
        ),
        click.option("-j", "--jobs", type=click.IntRange(0), default=1, help="Processes; 0 means one a core."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


def emit(
    audit: Audit,
    format_name: str,
    output: str | None,
    reports: Sequence[str],
    color: str,
    quiet: bool,
    fail_on: str = "never",
) -> None:
    """Write every report that was asked for."""
    targets = [_parse_report(text) for text in reports]
    file_look = Look(width=100, quiet=quiet, fail_on=fail_on)
    if "sarif" in (format_name, *(name for name, _ in targets)):
        from .fixes import edits_of

        file_look = replace(file_look, edits=edits_of(audit))
    for name, path in targets:
        _write(path, REPORTS[name](audit, file_look))
    if output is not None:
        _write(output, REPORTS[format_name](audit, file_look))
    else:
        look = replace(look_of(sys.stdout, color, quiet), fail_on=fail_on, edits=file_look.edits)
        click.echo(REPORTS[format_name](audit, look), nl=False, color=True)


def _parse_report(text: str) -> tuple[str, str]:
    name, equals, path = text.partition("=")
    if not equals or not path or name not in REPORTS:
        raise click.UsageError(f"--report {text}: FORMAT=FILE was expected, FORMAT one of {', '.join(sorted(REPORTS))}")
    return name, path


def _write(path: str, text: str) -> None:
    """Through a temporary file beside it, so that a reader never sees half a report."""
    temporary = f"{path}.tmp{os.getpid()}"
    try:
        if os.path.exists(path) and not os.path.isfile(path):  # /dev/stderr, a named pipe: no renaming over those
            temporary = path
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        if temporary != path:
            os.replace(temporary, path)
    except OSError as error:
        raise click.UsageError(f"{path}: cannot write the report: {error.strerror}") from None


def look_of(stream: Any, color: str, quiet: bool) -> Look:
    """What the stream can show: its width, colour, and whether it holds more than ASCII."""
    terminal = stream.isatty()
    width = _columns() if terminal or "COLUMNS" in os.environ else 80
    wants = color == "always" or (color == "auto" and terminal and not os.environ.get("NO_COLOR"))
    return Look(width=width, color=wants, quiet=quiet, ascii=not _can_show(stream, "±τ▁█…∞"))


def _columns() -> int:
    import shutil

    return max(40, shutil.get_terminal_size((80, 24)).columns)


def _can_show(stream: Any, text: str) -> bool:
    try:
        text.encode(getattr(stream, "encoding", None) or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


class Progress:
    """Things done, on a terminal's stderr, once a run has taken over a second."""

    def __init__(self, quiet: bool, what: str = "files") -> None:
        from time import monotonic

        self._clock = monotonic
        self._start = self._last = monotonic()
        self._what = what
        self._active = not quiet and sys.stderr.isatty()

    def __call__(self, done: int, total: int) -> None:
        """Called after every step."""
        now = self._clock() if self._active else self._start
        if now - self._start > 1.0 and (now - self._last > 0.1 or done == total):
            self._last = now
            click.echo(f"\r{done:,} of {total:,} {self._what}", nl=False, err=True)

    def end(self) -> None:
        """Clear the line."""
        if self._last > self._start:
            click.echo("\r\033[K", nl=False, err=True)
