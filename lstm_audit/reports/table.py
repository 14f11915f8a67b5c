"""`table`, the default: what a person in a terminal wants to know, first things first.

Comes in: an `Audit` and the `Look` of the terminal. Goes out: over several files what their rules
and initialisers amount to; then a block a file (a row an LSTM, findings with their fix, notes, what
was skipped), what could not be read, one summary line, and the verdict where there is one. Promise:
no line is wider than `look.width` (from 40 up); what does not fit is a column left out or a name
shortened in its middle; two names never become one by it; and which columns there are is a matter
of the width, not of the numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from ..facts import SOURCE_FORMATS, Audit, FileAudit, Row
from ..lstm.forensics.schemes import short
from ..tuples import NamedTuple
from . import Look, register_digest, report
from .listings import (
    FindingGroup,
    group_findings,
    sparkline,
    summarise_run,
    worst_of,
)
from .remedies import commands, quoted
from .terminal import (
    GAP,
    HUES,
    NARROWEST,
    Signs,
    closing_of,
    columns_wide,
    fill_column,
    paint,
    shorten,
    signs_of,
    wrap,
)
from .words import (
    PATH_LIMIT,
    counted,
    describe_convention,
    describe_error,
    digits,
    escape,
    fraction,
    shown_address,
    shown_module,
    shown_place,
    size,
)

if TYPE_CHECKING:
    from ..statistics import Statistics

NAMED = 4  # names that a finding, a note or a skip lists before "and N more"
LISTED = 8  # notes or reasons that a file lists before "and N more"
FOUND = 50  # findings that a file lists, those of one rule counted once
ERRORS = 20  # errors that are listed, equal ones counted once
FEW_ERRORS = 5  # the same where there are too many files to show whole
COMMANDS = 3  # commands that a finding lists
PAGE = 30  # lines after which a file's rows get a heading of their own again
FEW_FILES, FEW_ROWS = 5, 40  # up to here there is a row for every LSTM without --verbose
ROOM, ROOMY = 22, 44  # columns that names have at least beside a column, and a rarer one
INDENT = 9  # the width of the labels "note", "skipped" and "error" with their gap
OPEN, CLOSED = 0.7, 0.3  # where colour begins; it says nothing that the number does not

Style = dict[str, Any]


class Column(NamedTuple):
    """One column: its two-line heading, how a row fills it, and when it may appear.

    `rank`: lower ranks are given a place first. `wide`: the columns it is reckoned with, so that
    whether it appears depends on the terminal alone, and `room` what must then be left for names.
    A column whose cells are all empty is left out.
    """

    title: str
    rank: int
    wide: int
    cell: Callable[[Row], str]
    align: str = "right"
    room: int = ROOM
    styled: bool = False


Filled = tuple[Column, list[str]]


@report("table")
def table(audit: Audit, look: Look) -> str:
    """One row an LSTM, grouped by file."""
    look = look._replace(width=max(look.width, NARROWEST))
    closing = wrap(signs_of(look).separator.join(summarise_run(audit)), look.width)
    blocks = [
        *_overview(audit, look),
        *([] if _is_long(audit, look) else _file_blocks(audit, look)),
        [*_without_lstm(audit, look), *_errors(audit, look)],
        closing,
        closing_of(look),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _is_long(audit: Audit, look: Look) -> bool:
    """Whether a row for every LSTM would be more than a person reads."""
    many = len(audit.files) > FEW_FILES and len(audit.rows) > FEW_ROWS
    return many and not look.verbose


# ---- many files


def _overview(audit: Audit, look: Look) -> Iterator[list[str]]:
    """Over several files: what the rules say, what initialised the LSTMs, and the files with the
    most severe findings first where there are too many to show whole.
    """
    if len(audit.files) <= FEW_FILES:
        return
    from ..statistics import count  # 2 ms, with the tables, that few files need not pay
    from .overview import table_of_inits, table_of_rules  # 0.7 ms, as above

    found = count(audit)
    yield table_of_rules(found.rules, look)
    if _is_long(audit, look):
        yield table_of_inits(found.inits, look)
        yield _files_table(audit, look)


def _files_table(audit: Audit, look: Look) -> list[str]:
    """One line a file, those with the most severe findings first."""
    from ..statistics import severities_of  # 2 ms, as above
    from .overview import table_of_worst  # 0.7 ms, as above

    files = sorted(audit.files, key=lambda file: [-n for n in severities_of(file)])
    advice = "--verbose shows every LSTM, json has every number"
    if (rest := len(files) - look.worst) > 0:
        advice = f"{counted(rest, 'more file')}; {advice}"
    return [*table_of_worst(files, look), *wrap(advice, look.width)]


@register_digest("table")
def statistics(found: "Statistics", look: Look) -> str:
    """The counts, the activations, the worst files; no rows."""
    from .overview import statistics_text  # 0.7 ms, as above

    return statistics_text(found, look)


# ---- a block a file


def _file_blocks(audit: Audit, look: Look) -> Iterator[list[str]]:
    """The files that have something to show, under columns that all share: the heading returns once
    a screen.
    """
    heading, body = _rows(audit, look) if audit.rows else ([], [])
    lines, since = iter(body), PAGE
    for file in audit.files:
        rows = _ends(list(islice(lines, len(file.rows))), look)
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


def _ends(rows: list[str], look: Look) -> list[str]:
    """The first and the last rows, where fewer are wanted than there are."""
    left_out = len(rows) - look.rows
    if not look.rows or left_out < 2:
        return rows
    head = look.rows - look.rows // 3
    tail = rows[head + left_out :]
    return [*rows[:head], f"{signs_of(look).dots} {left_out} more LSTMs", *tail]


def _title(file: FileAudit, look: Look) -> list[str]:
    """The path whole, for it is what one copies; on lines of its own where it is long."""
    path = escape(file.path, PATH_LIMIT, look.ascii)
    detail = f"{escape(file.format, ascii=look.ascii)}, {size(file.bytes)}"
    if columns_wide(path) + 2 + len(detail) <= look.width:
        return [f"{paint(path, look, bold=True)}  {detail}"]
    return [
        *(paint(line, look, bold=True) for line in wrap(path, look.width)),
        f"  {detail}",
    ]


# ---- the rows


def _rows(audit: Audit, look: Look) -> tuple[list[str], list[str]]:
    """The three lines of the heading, and a line for each row."""
    rows = audit.rows
    columns = _fitting(rows, look)
    names = [shown_address(row.lstm, None, ascii=look.ascii) for row in rows]
    room = look.width - sum(GAP + _columns_of(*filled) for filled in columns)
    names = shorten(names, room, signs_of(look).dots)
    left = max(map(columns_wide, [*names, "LSTM"]))
    texts = ["", "LSTM", "-" * left, *names]
    pairs = zip(texts, _grid(audit, columns, look), strict=True)
    lines = [
        (text + " " * (left + GAP - columns_wide(text)) + line).rstrip() for text, line in pairs
    ]
    return lines[:3], lines[3:]


def _grid(audit: Audit, columns: Sequence[Filled], look: Look) -> list[str]:
    """All columns but the names, below their headings.

    By hand: tabulate takes 45 ms to import (it asks importlib.metadata for its version), more than
    all the rest of a run, and counts a wide character as one column.
    """
    styles = [
        _openness(row, worst.get(row.lstm.identity))
        for file in audit.files
        for worst in [worst_of(file.findings)]
        for row in file.rows
    ]
    blocks = []
    for column, cells in columns:
        wide = _columns_of(column, cells)
        heads = [
            fill_column(title, wide, column.align == "left") for title in column.title.split("\n")
        ]
        body = _aligned(column, cells, wide)
        if column.styled:
            body = [paint(cell, look, **s) for cell, s in zip(body, styles, strict=True)]
        blocks.append([*heads, "-" * wide, *body])
    return [(" " * GAP).join(parts) for parts in zip(*blocks, strict=True)]


def _aligned(column: Column, cells: Sequence[str], wide: int) -> list[str]:
    """Cells filled to the width of their column; decimal ones stand point below point."""
    if column.align != "decimal":
        return [fill_column(cell, wide, column.align == "left") for cell in cells]
    places = [len(cell) - len(cell.partition(".")[0]) for cell in cells]
    return [
        (cell + " " * (max(places) - n)).rjust(wide) for cell, n in zip(cells, places, strict=True)
    ]


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


def _fitting(rows: Sequence[Row], look: Look) -> list[Filled]:
    """The columns that have something to say and a place, lowest rank first; equal ranks go
    together.

    They are reckoned with a fixed width each, so that two runs in one terminal have the same; only
    where cells are so wide that no name fits beside them does a column give way.
    """
    filled = [(column, [column.cell(row) for row in rows]) for column in _columns(signs_of(look))]
    filled = [(column, cells) for column, cells in filled if any(cells)]
    kept: list[Filled] = []
    taken = 0
    by_rank = sorted(filled, key=lambda pair: pair[0].rank)
    for _, group in groupby(by_rank, key=lambda pair: pair[0].rank):
        together = list(group)
        need = taken + sum(GAP + column.wide for column, _ in together)
        if not kept or need + together[0][0].room <= look.width:
            kept, taken = [*kept, *together], need
    while len(kept) > 2 and sum(GAP + _columns_of(*pair) for pair in kept) + ROOM > look.width + 10:
        kept.pop()
    return [pair for pair in filled if pair in kept]


def _columns(signs: Signs) -> tuple[Column, ...]:
    """Every column, from left to right."""

    def plain(value: float) -> str:
        return digits(value).replace("∞", signs.infinity)

    def gate(name: str) -> Callable[[Row], str]:
        return lambda row: plain(row.measures.gates[name].mean)

    def distribution(row: Row) -> str:
        return sparkline(row.measures.histogram, signs.empty, signs.levels)

    def deviation(row: Row) -> str:
        return plain(row.measures.gates["f"].std)

    def activation(row: Row) -> str:
        return fraction(row.measures.activation.mean)

    def initialiser(row: Row) -> str:
        return "" if row.init is None else escape(short(row.init))

    return (
        Column("\nH", 6, 4, lambda row: str(row.lstm.hidden_size), room=26),
        Column("forget\nbias", 0, 6, gate("f"), "decimal"),
        Column(f"\n{signs.std}", 5, 6, deviation, "decimal", 30),
        Column("\nactivation", 0, 10, activation, styled=True),
        Column("\nmin..max", 7, 14, _extent, room=ROOMY),
        Column("units\n0 to 1", 2, 8, distribution, "left"),
        Column("half\nlife", 4, 6, lambda row: plain(row.measures.half_life.p50), room=28),
        Column("time\nscale", 8, 6, lambda row: plain(row.measures.time_scale.p50), room=ROOMY),
        Column("i\nbias", 9, 7, gate("i"), "decimal", ROOMY),
        Column("g\nbias", 9, 7, gate("g"), "decimal", ROOMY),
        Column("o\nbias", 9, 7, gate("o"), "decimal", ROOMY),
        Column("\ndtype", 10, 8, lambda row: row.lstm.dtype, "left", ROOMY),
        Column("\ninit", 1, 17, initialiser, "left"),
        Column("\nconvention", 3, 12, lambda row: describe_convention(row.lstm), "left"),
        Column("\naliases", 11, 7, lambda row: str(len(row.lstm.aliases) or ""), room=ROOMY),
    )


def _extent(row: Row) -> str:
    return f"{fraction(row.measures.activation.min)}..{fraction(row.measures.activation.max)}"


def _openness(row: Row, worst: str | None) -> Style:
    """Green for an open gate, yellow for a closed one; never against what a finding says."""
    mean = row.measures.activation.mean
    if worst == "error" or mean != mean:
        return {"fg": "red"}
    if worst == "warning" or mean < CLOSED:
        return {"fg": "yellow"}
    return {"fg": "green"} if mean >= OPEN else {}


# ---- below the rows


def _findings(file: FileAudit, look: Look) -> list[str]:
    """Most severe first; what a rule says of several LSTMs is said once, with the range of its
    numbers, and one command mends them together.
    """
    shown = [f for f in file.findings if f.severity != "info" or not look.quiet]
    groups = group_findings(shown, each=look.verbose)
    lines: list[str] = []
    for group in groups[:FOUND]:
        times = f" {'x' if look.ascii else '×'}{len(group.findings)}"
        names = list(filter(None, (shown_place(f, ascii=look.ascii) for f in group.findings)))
        head = group.code + (times if len(group.findings) > 1 else "")
        where = f" {_some(names, NAMED)}" if names else ""
        text = f"{head}{where}: {escape(group.message, PATH_LIMIT, look.ascii)}"
        lines += _labelled(group.severity, text, look, fg=HUES[group.severity], bold=True)
        lines += [] if look.quiet else _fixes(file, group, look)
    rest = sum(len(group.findings) for group in groups[FOUND:])
    return lines + (_labelled("", f"{rest} more findings; json has all", look) if rest else [])


def _fixes(file: FileAudit, group: FindingGroup, look: Look) -> Iterator[str]:
    """The commands that mend a group, told apart where something that was learned would be lost."""
    mending = list(
        commands(file.path, (f.fix for f in group.findings), [row.lstm for row in file.rows])
    )
    for words, safe in mending[:COMMANDS]:
        warning = (
            [] if safe else wrap("fix (overwrites whatever was learned):", look.width - INDENT)
        )
        texts = [*([] if warning else ["fix:"]), *(quoted(word, look.ascii) for word in words)]
        for line in (*warning, *_continued(texts, look.width - INDENT)):
            yield " " * INDENT + line
    if len(mending) > COMMANDS:
        yield " " * INDENT + f"and {counted(len(mending) - COMMANDS, 'more command')}; json has all"


def _continued(words: Sequence[str], width: int) -> Iterator[str]:
    """A command in lines that a shell joins again; only a word that is wider than a line is cut."""
    lines: list[str] = []
    for word in words:
        if lines and columns_wide(f"{lines[-1]} {word}") <= width - 2:
            lines[-1] += f" {word}"
        else:
            lines += wrap(word, width - 2)
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
    empty = [
        file.path
        for file in audit.files
        if not (file.rows or file.skipped or file.findings or file.format in SOURCE_FORMATS)
    ]
    if look.quiet or not empty:
        return []
    return _labelled(
        "no LSTM", _some([escape(path, PATH_LIMIT, look.ascii) for path in empty], NAMED), look
    )


def _errors(audit: Audit, look: Look) -> list[str]:
    """Equal errors (a folder of pointers that were not pulled) share a line."""
    errors = audit.errors
    texts = [describe_error(error) for error in errors]
    paths = [escape(e.path, PATH_LIMIT, look.ascii) for e in errors]
    listed = FEW_ERRORS if _is_long(audit, look) else ERRORS
    listed = len(errors) if look.verbose else listed
    said = list(zip(texts, paths, strict=True))
    return _remarks(
        "error", said, look, named=NAMED if _is_long(audit, look) else 20, listed=listed, fg="red"
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
    lines = wrap(text, look.width - INDENT)
    labels = [paint(label, look, **style) + " " * (INDENT - len(label))] + [" " * INDENT] * (
        len(lines) - 1
    )
    return [(left + line).rstrip() for left, line in zip(labels, lines, strict=True)]


def _some(names: Sequence[str], limit: int) -> str:
    """`a, b, c and 9 more`."""
    rest = len(names) - limit
    return f"{', '.join(names[:limit])} and {rest} more" if rest > 1 else ", ".join(names)
