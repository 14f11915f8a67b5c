"""Where a report goes, and what is said beside it.

Comes in: an `Audit` and the user's choice of formats. Goes out: text, to stdout or to files.
Promise: a report is written whole or not at all, and colour appears only where a person reads.
"""

import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import BadPolicy
from ..facts import Audit, FileAudit
from ..reports import REPORTS, Digest, Look, digest_of
from ..reports.remedies import shell
from ..reports.terminal import GAP, wrap
from ..reports.words import conceal, describe_error, escape, utf8
from .forms import GivenOptions
from .options import JOBS, REPORT
from .report_files import is_stream, refuse_overwriting, write_report_file

# The bounds of a policy that sets none.
OPEN = (float("-inf"), float("inf"))

# Signs of our own texts, for streams whose encoding lacks them.
SPELLED = str.maketrans(
    {"→": "->", "τ": "tau", "\u2212": "-", "±": "+-", "∞": "inf", "…": "...", "·": "-", "≈": "~"}
)


def print_lines(text: str) -> None:
    """Lines on stdout, whatever its encoding: signs that it lacks are spelled out."""
    text = harmless(text)
    if not _can_show(sys.stdout, text):
        text = text.translate(SPELLED)
    _put(f"{text}\n".encode(_encoding(sys.stdout), "backslashreplace"))


def tell(text: str, end: str = "\n") -> None:
    """Lines on stderr, where there is one: it takes any text, and spells out what its encoding
    lacks. What may be secret of a locator that it quotes is left out.

    A stderr that takes no more changes no exit code.
    """
    _tell(harmless(conceal(text)) + end)


def tell_warnings(files: Iterable[FileAudit]) -> None:
    """What the files were read in spite of, said once for all checkpoints of an archive."""
    said = dict.fromkeys(warning for file in files for warning in file.warnings)
    for warning in said:
        tell(f"warning: {escape(warning, limit=None)}")


def _tell(text: str) -> None:
    if sys.stderr is not None:
        with suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def harmless(text: str, styled: bool = False) -> str:
    """The lines of a text without anything that a terminal would obey: controls, bidi marks and
    lone surrogates are spelled out. Every path to a terminal ends here, so that no command has to
    think of it; colours pass where the text is `styled` by us.
    """
    lines = text.split("\n")
    if not all(map(str.isprintable, lines)):
        lines = [_colours_apart(line) if styled else escape(line, None) for line in lines]
    return "\n".join(lines)


def _colours_apart(line: str) -> str:
    """A line escaped but for its colours."""

    parts = re.split(r"(\x1b\[[0-9;]*m)", line)
    return "".join(part if k % 2 else escape(part, None) for k, part in enumerate(parts))


def say_table(
    rows: Sequence[Sequence[str]], heads: Sequence[str], prose: int | None = None
) -> None:
    """A table on stdout; its widest columns are folded to the width of a terminal, or to 80, the
    one of `prose` before any other.
    """
    from tabulate import tabulate  # 60 ms that no audit needs

    cells = [[harmless(cell) for cell in row] for row in rows]
    wide = measure_columns(cells, heads)
    fitting = list(wide)
    excess = sum(wide) + GAP * (len(wide) - 1) - look_of(sys.stdout, "never", quiet=False).width
    for _ in range(excess):
        widest = max(range(len(fitting)), key=fitting.__getitem__)
        if prose is not None and fitting[prose] > NARROWEST:
            widest = prose
        fitting[widest] = max(fitting[widest] - 1, NARROWEST)
    most = [None if new == old else new for new, old in zip(fitting, wide, strict=True)]
    print_lines(
        tabulate(cells, heads, disable_numparse=True, maxcolwidths=most if excess > 0 else None)
    )


# Columns below which no cell is folded.
NARROWEST = 12


def measure_columns(rows: Sequence[Sequence[str]], heads: Sequence[str]) -> list[int]:
    """How wide each column of a table is, its gap left out; tabulate pads a heading by two."""
    padded = [f"{head}  " for head in heads]
    return [max(map(len, column)) for column in zip(padded, *rows, strict=True)]


def say_indented(text: str) -> None:
    """A paragraph on stdout, indented by two and folded to the terminal."""
    for line in wrap(text, look_of(sys.stdout, "never", quiet=False).width - 2):
        print_lines(f"  {line}")


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
    given: GivenOptions,
    fail_on: str = "never",
    kept: Sequence[str | None] = (),
    closing: str = "",
    bounds: tuple[float, float] = OPEN,
) -> None:
    """Write every report that was asked for; never over an input, or over one of the files that
    must be `kept`.
    """
    name, output = ("json" if given.as_json else given.format_name), given.output
    outputs = [path for _, path in given.reports] + ([] if output is None else [output])
    refuse_overwriting(audit, [*given.paths, *kept], outputs)
    names = (name, *(report_name for report_name, _ in given.reports))
    wanted = {
        "quiet": given.quiet,
        "fail_on": fail_on,
        "verbose": given.verbose,
        "statistics": given.statistics,
        "closing": closing,
        "command": command_line(),
        "bounds": bounds,
    }
    look = Look(width=100, **wanted)
    if "sarif" in names and not given.statistics:
        from ..fixing import replacements_of  # all of patching, 35 ms

        look = look._replace(edits=replacements_of(audit))
    texts = _texts_of(audit, names, given.statistics)
    for report_name, path in given.reports:
        write_report_file(path, texts(report_name, look))
    if output is not None:
        write_report_file(output, texts(name, look))
    elif name == "table":
        look = look_of(sys.stdout, given.color, given.quiet)._replace(**wanted)
        text = harmless(texts(name, look), styled=look.color)
        _put(text.encode(_encoding(sys.stdout), "backslashreplace"))
    else:
        _put_for_programs(name, texts(name, look), audit)


# The text of the report of a name.
MakeText = Callable[[str, Look], str]


def _texts_of(audit: Audit, names: Sequence[str], statistics: bool) -> MakeText:
    """How the texts of the reports are made: of the audit, or of its statistics alone."""
    if not statistics:
        return lambda name, look: REPORTS[name](audit, look)
    from ..statistics import count  # 1 ms that a run with rows need not wait for

    digests = digests_of(names)
    found = count(audit)
    return lambda name, look: digests[name](found, look)


def digests_of(names: Sequence[str]) -> dict[str, Digest]:
    """How each of the formats shows statistics; raises `BadPolicy` for one that does not."""
    found = {name: digest_of(name) for name in names}
    for name, digest in found.items():
        if digest is None:
            able = ", ".join(sorted(one for one in REPORTS if digest_of(one)))
            raise BadPolicy(f"--statistics has no {name}; the formats that show it: {able}")
    return {name: digest for name, digest in found.items() if digest is not None}


def command_line() -> str:
    """What was asked, as a shell takes it, but for how it is carried out and where reports go: the
    same question says the same, and without what may be secret. Nothing where another program
    called us.
    """
    if not sys.argv[0].endswith(OUR_NAMES):
        return ""
    words, left = ["lstm-audit"], iter(sys.argv[1:])
    for word in left:
        row = HOW.get(word.partition("=")[0])
        if row is None:
            words.append(word)
        elif row.parse is not None and "=" not in word:
            next(left, None)  # its value
    return shell(map(conceal, words))


# The options that change nothing of what is found. `--statistics` is another question.
HOW = {word: row for row in (JOBS, *REPORT) if row.name != "statistics" for word in row.spellings}

OUR_NAMES = ("lstm-audit", "lstm-audit.exe", os.path.join("lstm_audit", "__main__.py"))


def _put_for_programs(name: str, text: str, audit: Audit) -> None:
    """What other programs read is UTF-8, and the same as in a file, whatever the terminal
    speaks.
    """
    if sys.stdout is not None and sys.stdout.isatty():
        text = harmless(text)
    _put(utf8(text))
    for error in audit.errors if name in WITHOUT_ERRORS else ():
        tell(f"error: {error.path}: {describe_error(error)}")


# Formats of rows alone: what could not be read is said on stderr.
WITHOUT_ERRORS = ("csv", "jsonl")


def write_text(text: str, path: str | None) -> None:
    """A text for other programs: to a file, or to stdout."""
    if path is not None:
        write_report_file(path, text)
    else:
        _put(utf8(text))


def look_of(stream: Any, color: str, quiet: bool) -> Look:
    """What the stream can show: its width, colour, and whether it holds more than ASCII."""
    terminal = stream is not None and stream.isatty()
    width = _columns() if terminal or "COLUMNS" in os.environ else 80
    wants = color == "always" or (color == "auto" and terminal and not os.environ.get("NO_COLOR"))
    return Look(width=width, color=wants, quiet=quiet, ascii=not _can_show(stream, "±τ▁█…∞"))


def _columns() -> int:
    import shutil  # 5 ms that only a terminal needs

    return max(40, shutil.get_terminal_size((80, 24)).columns)


def _can_show(stream: Any, text: str) -> bool:
    try:
        text.encode(_encoding(stream))
    except UnicodeEncodeError:
        return False
    return True


def _encoding(stream: Any) -> str:
    return getattr(stream, "encoding", None) or "ascii"


def _duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


@contextmanager
def writing(path: str | None) -> Iterator[Callable[[str], None]]:
    """Where a report is written piece by piece: to stdout, a pipe, or a file that takes its name
    when it is whole.
    """
    if path is None:
        yield lambda text: _put(utf8(_for_programs(text)))
        return
    if is_stream(path):
        with open(path, "ab", buffering=0) as pipe:
            yield lambda text: _write_all(pipe, utf8(text))
        return
    from ..replacing import replace_whole  # 0.2 ms that only a report into a file needs

    try:
        with replace_whole(path, durable=False) as file:
            yield lambda text: _write_all(file, utf8(text))
    except OSError as error:
        raise BadPolicy(f"{path}: cannot write the report: {error.strerror}") from None


def _write_all(file: Any, data: bytes) -> None:
    file.write(data)


def put_text(text: str, name: str, path: str | None) -> None:
    """The whole text of a report, to where it was asked for."""
    if path is not None:
        write_report_file(path, text)
    elif name == "table":
        _put(harmless(text, styled=True).encode(_encoding(sys.stdout), "backslashreplace"))
    else:
        _put(utf8(_for_programs(text)))


def _for_programs(text: str) -> str:
    """What other programs read is the same as in a file, but where a person sees it."""
    return harmless(text) if sys.stdout is not None and sys.stdout.isatty() else text


def report_names(given: GivenOptions) -> tuple[str, ...]:
    """The formats that were asked for, that of stdout or --output first."""
    name = "json" if given.as_json else given.format_name
    return (name, *(report_name for report_name, _ in given.reports))


class ProgressLine:
    """Things done, on a terminal's stderr, once a run has taken over a second."""

    def __init__(self, quiet: bool, what: str = "files") -> None:

        self._clock = time.monotonic
        self._start = self._last = time.monotonic()
        self._what = what
        self._active = not quiet and sys.stderr is not None and sys.stderr.isatty()

    @property
    def is_shown(self) -> bool:
        """Whether anybody sees it."""
        return self._active

    def __call__(self, done: int, total: int) -> None:
        """Called after every step; a total of 0 is not known."""
        now = self._clock() if self._active else self._start
        if now - self._start > 1.0 and (now - self._last > 0.1 or done == total):
            self._last = now
            rate = done / (now - self._start)
            parts = [f"{done:,} of {total:,}" if total else f"{done:,}", self._what]
            left = f", {_duration((total - done) / rate)} left" if total > done else ""
            _tell(f"\r\033[K{' '.join(parts)}, {rate:,.0f}/s{left}")

    def end(self) -> None:
        """Clear the line."""
        if self._last > self._start:
            _tell("\r\033[K")
