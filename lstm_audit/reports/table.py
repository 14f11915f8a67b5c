"""`table`, the default: what a person in a terminal wants to know, first things first.

Comes in: an `Audit` and the `Look` of the terminal. Goes out: a block a file (a row an LSTM,
findings with their fix, notes, what was skipped), then what could not be read, then one summary
line. Promise: no line is wider than `look.width` (from 40 up); what does not fit is a column left
out or a name shortened in its middle, and two names never become one by it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, NamedTuple

from ..facts import Audit, FileAudit, FileError, Finding, Row
from ..lstm.forensics.schemes import short
from . import Look, report
from .listings import alike, sparkline, summary
from .remedies import commands, quoted
from .words import (
    PATH_LIMIT,
    describe_convention,
    digits,
    escape,
    fraction,
    shown_address,
    shown_module,
    shown_place,
    size,
)

NARROWEST = 40
NAMED = 4  # names that a note or a skip lists before "and N more"
LISTED = 8  # notes or reasons that a file lists before "and N more"
FOUND = 50  # findings that a file lists, those that say the same of several LSTMs counted once
PAGE = 30  # lines after which a file's rows get a heading of their own again
GAP = 2  # columns between two columns of the table
ROOMY = 44  # names up to here are shown whole before an optional column gets a place
INDENT = 9  # the width of the labels "note", "skipped" and "error" with their gap
HUES = {"error": "red", "warning": "yellow", "info": "cyan"}
SGR = {"red": "\x1b[31m", "green": "\x1b[32m", "yellow": "\x1b[33m", "cyan": "\x1b[36m"}
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
OPEN, CLOSED = 0.7, 0.3  # where colour begins; it says nothing that the number does not


class Signs(NamedTuple):
    """The characters that an encoding may lack."""

    dots: str
    separator: str
    std: str
    infinity: str
    empty: str
    levels: str


UNICODE = Signs("…", " · ", "± std", "∞", "·", "▁▂▃▄▅▆▇█")
NARROW = frozenset("…∞▁▂▃▄▅▆▇█")
ASCII = Signs("...", ", ", "std", "inf", ".", ":-=+*#%@")


class Column(NamedTuple):
    """One column: its two-line heading, how a row fills it, and when it may appear.

    `rank`: lower ranks are given a place first. `room`: how much of the names must still fit beside
    it. `style`: SGR attributes of a cell. A column whose cells are all empty is left out.
    """

    title: str
    rank: int
    cell: Callable[[Row], str]
    room: int = 22
    align: str = "right"
    style: Callable[[Row], dict[str, Any]] | None = None


Filled = tuple[Column, list[str]]


@report("table")
def table(audit: Audit, look: Look) -> str:
    """One row an LSTM, grouped by file."""
    look = look._replace(width=max(look.width, NARROWEST))
    closing = _wrapped(_signs(look).separator.join(summary(audit)), look.width)
    blocks = [
        *_file_blocks(audit, look),
        [*_without_lstm(audit, look), *_errors(audit.errors, look)],
        closing,
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _file_blocks(audit: Audit, look: Look) -> Iterator[list[str]]:
    """The files that have something to show, under columns that all share: the heading returns once
    a screen.
    """
    heading, body = _rows(audit.rows, look) if audit.rows else ([], [])
    lines, since = iter(body), PAGE
    for file in audit.files:
        rows = list(islice(lines, len(file.rows)))
        remarks = [
            *_findings(file, look),
            *([] if look.quiet else [*_notes(file, look), *_skipped(file, look)]),
        ]
        if not rows and not remarks:
            continue
        due = heading if rows and since >= PAGE else []
        block = [*_title(file, look), *due, *rows, *([""] if rows and remarks else []), *remarks]
        since = len(block) + 1 + (0 if due else since)
        yield block


def _title(file: FileAudit, look: Look) -> list[str]:
    """The path whole, for it is what one copies; on lines of its own where it is long."""
    path = escape(file.path, PATH_LIMIT, look.ascii)
    detail = f"{escape(file.format, ascii=look.ascii)}, {size(file.bytes)}"
    if columns_wide(path) + 2 + len(detail) <= look.width:
        return [f"{_painted(path, look, bold=True)}  {detail}"]
    return [
        *(_painted(line, look, bold=True) for line in _wrapped(path, look.width)),
        f"  {detail}",
    ]


# ---- the rows


def _rows(rows: Sequence[Row], look: Look) -> tuple[list[str], list[str]]:
    """The three lines of the heading, and a line for each row."""
    names = [shown_address(row.lstm, ascii=look.ascii) for row in rows]
    columns = _fitting(rows, max(map(columns_wide, names)), look)
    names = _shortened(
        names, look.width - sum(GAP + _columns_of(*filled) for filled in columns), _signs(look).dots
    )
    left = max(map(columns_wide, [*names, "LSTM"]))
    texts = ["", "LSTM", "-" * left, *names]
    pairs = zip(texts, _grid(rows, columns, look), strict=True)
    lines = [
        (text + " " * (left + GAP - columns_wide(text)) + line).rstrip() for text, line in pairs
    ]
    return lines[:3], lines[3:]


def _grid(rows: Sequence[Row], columns: Sequence[Filled], look: Look) -> list[str]:
    """All columns but the names, below their headings.

    By hand: tabulate takes 45 ms to import (it asks importlib.metadata for its version), more than
    all the rest of a run, and counts a wide character as one column.
    """
    blocks = []
    for column, cells in columns:
        wide = _columns_of(column, cells)
        heads = [_filled(title, wide, column.align == "left") for title in column.title.split("\n")]
        blocks.append(
            [*heads, "-" * wide, *_styled(column, rows, _aligned(column, cells, wide), look)]
        )
    return [(" " * GAP).join(parts) for parts in zip(*blocks, strict=True)]


def _aligned(column: Column, cells: Sequence[str], wide: int) -> list[str]:
    """Cells filled to the width of their column; decimal ones stand point below point."""
    if column.align != "decimal":
        return [_filled(cell, wide, column.align == "left") for cell in cells]
    places = [len(cell) - len(cell.partition(".")[0]) for cell in cells]
    return [
        (cell + " " * (max(places) - n)).rjust(wide) for cell, n in zip(cells, places, strict=True)
    ]


def _filled(text: str, wide: int, left: bool) -> str:
    gap = " " * (wide - columns_wide(text))
    return text + gap if left else gap + text


def _styled(column: Column, rows: Sequence[Row], cells: list[str], look: Look) -> list[str]:
    if column.style is None:
        return cells
    return [
        _painted(cell, look, **column.style(row)) for row, cell in zip(rows, cells, strict=True)
    ]


def _fitting(rows: Sequence[Row], longest: int, look: Look) -> list[Filled]:
    """The columns that have something to say and fit beside the names, lowest rank first; equal
    ranks go together.
    """
    filled = [(column, [column.cell(row) for row in rows]) for column in _columns(_signs(look))]
    filled = [(column, cells) for column, cells in filled if any(cells)]
    kept: list[Filled] = []
    taken = 0
    for _, group in groupby(
        sorted(filled, key=lambda pair: pair[0].rank), key=lambda pair: pair[0].rank
    ):
        together = list(group)
        need = taken + sum(GAP + _columns_of(*pair) for pair in together)
        if kept and need + min(longest, together[0][0].room) > look.width:
            continue
        kept, taken = [*kept, *together], need
    return [pair for pair in filled if pair in kept]


def _columns(signs: Signs) -> tuple[Column, ...]:
    """Every column, from left to right."""

    def plain(value: float) -> str:
        return digits(value).replace("∞", signs.infinity)

    def gate(name: str) -> Callable[[Row], str]:
        return lambda row: plain(row.measures.gates[name].mean)

    def distribution(row: Row) -> str:
        return sparkline(row.measures.histogram, signs.empty, signs.levels)

    return (
        Column("\nH", 6, lambda row: str(row.lstm.hidden_size), 26),
        Column("forget\nbias", 0, gate("f"), align="decimal"),
        Column(f"\n{signs.std}", 5, lambda row: plain(row.measures.gates["f"].std), 30, "decimal"),
        Column(
            "\nactivation", 0, lambda row: fraction(row.measures.activation.mean), style=_openness
        ),
        Column("\nmin..max", 7, _extent, ROOMY),
        Column("units\n0 to 1", 2, distribution, align="left"),
        Column("half\nlife", 3, lambda row: plain(row.measures.half_life.p50)),
        Column("time\nscale", 8, lambda row: plain(row.measures.time_scale.p50), ROOMY),
        Column("i\nbias", 9, gate("i"), ROOMY, "decimal"),
        Column("g\nbias", 9, gate("g"), ROOMY, "decimal"),
        Column("o\nbias", 9, gate("o"), ROOMY, "decimal"),
        Column("\ndtype", 10, lambda row: row.lstm.dtype, ROOMY, "left"),
        Column(
            "\ninit",
            1,
            lambda row: "" if row.init is None else escape(short(row.init)),
            align="left",
        ),
        Column("\nconvention", 4, lambda row: describe_convention(row.lstm), align="left"),
        Column("\naliases", 11, lambda row: str(len(row.lstm.aliases) or ""), ROOMY),
    )


def _extent(row: Row) -> str:
    return f"{fraction(row.measures.activation.min)}..{fraction(row.measures.activation.max)}"


def _openness(row: Row) -> dict[str, Any]:
    mean = row.measures.activation.mean
    if mean != mean:
        return {"fg": "red"}
    return {"fg": "yellow"} if mean < CLOSED else {"fg": "green"} if mean >= OPEN else {}


# ---- below the rows


def _findings(file: FileAudit, look: Look) -> list[str]:
    """Most severe first; what is said alike of several LSTMs is said once, and one command mends
    them together.
    """
    groups = alike(
        finding for finding in file.findings if finding.severity != "info" or not look.quiet
    )
    lines: list[str] = []
    for group in groups[:FOUND]:
        first, names = (
            group[0],
            list(filter(None, (shown_place(f, ascii=look.ascii) for f in group))),
        )
        where = f" {_some(names, NAMED)}" if names else ""
        text = f"{first.code}{where}: {escape(first.message, PATH_LIMIT, look.ascii)}"
        lines += _labelled(first.severity, text, look, fg=HUES[first.severity], bold=True)
        lines += [] if look.quiet else _fixes(file.path, group, look)
    rest = sum(map(len, groups[FOUND:]))
    return lines + (_labelled("", f"{rest} more findings; json has all", look) if rest else [])


def _fixes(path: str, group: Sequence[Finding], look: Look) -> Iterator[str]:
    """The commands that mend a group, told apart where something that was learned would be lost."""
    for words, safe in commands(path, (finding.fix for finding in group)):
        warning = (
            [] if safe else _wrapped("fix (overwrites whatever was learned):", look.width - INDENT)
        )
        texts = [*([] if warning else ["fix:"]), *(quoted(word, look.ascii) for word in words)]
        for line in (*warning, *_continued(texts, look.width - INDENT)):
            yield " " * INDENT + line


def _continued(words: Sequence[str], width: int) -> Iterator[str]:
    """A command in lines that a shell joins again; only a word that is wider than a line is cut."""
    lines: list[str] = []
    for word in words:
        if lines and columns_wide(f"{lines[-1]} {word}") <= width - 2:
            lines[-1] += f" {word}"
        else:
            lines += _wrapped(word, width - 2)
    yield from (f"{line} \\" for line in lines[:-1])
    yield lines[-1]


def _notes(file: FileAudit, look: Look) -> list[str]:
    said = [
        (note, shown_address(row.lstm, ascii=look.ascii))
        for row in file.rows
        for note in row.lstm.notes
    ]
    return _remarks("note", said, look, fg="cyan")


def _skipped(file: FileAudit, look: Look) -> list[str]:
    reasons = [f"{s.detail} ({s.reason})" if s.detail else s.reason for s in file.skipped]
    names = [escape(shown_module(s.module), ascii=look.ascii) for s in file.skipped]
    return _remarks("skipped", list(zip(reasons, names, strict=True)), look, fg="yellow")


def _without_lstm(audit: Audit, look: Look) -> list[str]:
    empty = [file.path for file in audit.files if not (file.rows or file.skipped or file.findings)]
    if look.quiet or not empty:
        return []
    return _labelled(
        "no LSTM", _some([escape(path, PATH_LIMIT, look.ascii) for path in empty], NAMED), look
    )


def _errors(errors: Sequence[FileError], look: Look) -> list[str]:
    """Every error is listed; equal ones (a folder of pointers that were not pulled) share a
    line.
    """
    texts = [f"{e.kind}{'' if e.at is None else f' at byte {e.at}'}: {e.message}" for e in errors]
    paths = [escape(e.path, PATH_LIMIT, look.ascii) for e in errors]
    return _remarks(
        "error", list(zip(texts, paths, strict=True)), look, named=20, listed=len(errors), fg="red"
    )


def _remarks(
    label: str,
    said: Sequence[tuple[str, str]],
    look: Look,
    named: int = NAMED,
    listed: int = LISTED,
    **style: Any,
) -> list[str]:
    """`said` pairs a text with the name that it is about; equal texts are said once, for all their
    names.
    """
    names: dict[str, list[str]] = {}
    for text, name in said:
        names.setdefault(text, []).append(name)
    lines: list[str] = []
    for text in list(names)[:listed]:
        what = escape(text, PATH_LIMIT, look.ascii)
        lines += _labelled(label, f"{_some(names.pop(text), named)}: {what}", look, **style)
    return lines + (
        _labelled(label, f"{sum(map(len, names.values()))} more", look, **style) if names else []
    )


def _labelled(label: str, text: str, look: Look, **style: Any) -> list[str]:
    lines = _wrapped(text, look.width - INDENT)
    labels = [_painted(label, look, **style) + " " * (INDENT - len(label))] + [" " * INDENT] * (
        len(lines) - 1
    )
    return [(left + line).rstrip() for left, line in zip(labels, lines, strict=True)]


def _some(names: Sequence[str], limit: int) -> str:
    """`a, b, c and 9 more`."""
    rest = len(names) - limit
    return f"{', '.join(names[:limit])} and {rest} more" if rest > 1 else ", ".join(names)


# ---- text that fits


def columns_wide(text: str) -> int:
    """The columns of a terminal that `text` takes: two for wide characters (UAX 11), none for
    combining marks.
    """
    if all(c < "\u0300" or c in NARROW for c in text):  # spares most runs the import of unicodedata
        return len(text)
    from unicodedata import category, east_asian_width

    return sum(
        0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text
    )


def _columns_of(column: Column, cells: Sequence[str]) -> int:
    """What a column takes: its longest cell or line of the heading; decimal cells are split at
    their points.
    """
    head = max(map(len, column.title.split("\n")))
    if column.align != "decimal":
        return max(head, *map(columns_wide, cells))
    wholes = [cell.partition(".")[0] for cell in cells]
    places = [len(cell) - len(whole) for cell, whole in zip(cells, wholes, strict=True)]
    return max(head, max(map(len, wholes)) + max(places))


def _shortened(names: Sequence[str], room: int, dots: str) -> list[str]:
    """Names cut in the middle to `room`: at the first of a few places where no two of them become
    alike; where there is none, those that would be alike are numbered.
    """
    for share in (0.4, 0.0, 0.7, 1.0):
        short = [_cut(name, room, share, dots) for name in names]
        if len(set(short)) == len(set(names)):
            return short
    return _numbered(names, room, dots)


def _numbered(names: Sequence[str], room: int, dots: str) -> list[str]:
    """Every name that does not fit, with a number of its own in place of its middle."""
    numbers: dict[str, int] = {}
    short = []
    for name in names:
        if columns_wide(name) > room:
            number = numbers.setdefault(name, len(numbers) + 1)
            name = _cut(name, room, 0.4, f"{dots}{number}{dots}")
        short.append(name)
    return short


def _cut(name: str, room: int, share: float, dots: str) -> str:
    if columns_wide(name) <= room:
        return name
    keep = room - len(dots)
    head = _prefix(name, int(keep * share))
    return head + dots + _prefix(name[::-1], keep - columns_wide(head))[::-1]


def _prefix(text: str, width: int) -> str:
    """The longest beginning that takes no more than `width` columns."""
    wide = 0
    for k, character in enumerate(text):
        wide += columns_wide(character)
        if wide > width:
            return text[:k]
    return text


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at spaces, and inside a word only where it is longer
    than a line.
    """
    lines: list[str] = [""]
    for word in text.split(" "):
        for k, piece in enumerate(_pieces(word, width)):
            joined = f"{lines[-1]} {piece}" if lines[-1] else piece
            if k == 0 and columns_wide(joined) <= width:
                lines[-1] = joined
            elif lines[-1]:
                lines.append(piece)
            else:
                lines[-1] = piece
    return lines


def _pieces(word: str, width: int) -> list[str]:
    """A word as lines take it: whole, or cut where it is wider than one; each character is looked
    at once.
    """
    if len(word) <= width and columns_wide(word) <= width:
        return [word]
    pieces, start, wide = [], 0, 0
    for k, character in enumerate(word):
        columns = columns_wide(character)
        if wide + columns > width and k > start:
            pieces.append(word[start:k])
            start, wide = k, 0
        wide += columns
    return [*pieces, word[start:]]


def _painted(text: str, look: Look, fg: str = "", bold: bool = False) -> str:
    """In colour, by SGR sequences (ECMA-48, 8.3.117): to import click for its `style` takes 30
    ms.
    """
    if not look.color or not (fg or bold):
        return text
    return (SGR[fg] if fg else "") + (BOLD if bold else "") + text + PLAIN


def _signs(look: Look) -> Signs:
    return ASCII if look.ascii else UNICODE
