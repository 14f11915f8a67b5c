"""`table`, the default: what a person in a terminal wants to know, first things first.

Comes in: an `Audit` and the `Look` of the terminal. Goes out: over several files what their rules
and initialisers amount to; then a block a file (a row an LSTM, findings with their fix, notes, what
was skipped), what could not be read, one summary line, and the verdict where there is one. Promise:
no line is wider than `look.width` (from 40 up); what does not fit is a column left out or a name
shortened in its middle; two names never become one by it; and which columns there are is a matter
of the width, not of the numbers.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..facts import SOURCE_FORMATS, Audit, FileAudit
from . import Look, register_digest, report
from .columns import choose_columns, draw_grid, width_of
from .listings import FindingGroup, group_findings, summarise_run
from .remedies import commands_for, quote_word
from .terminal import GAP, HUES, NARROWEST, closing_of, columns_wide, paint, shorten, signs_of, wrap
from .words import (
    PATH_LIMIT,
    describe_error,
    escape,
    say_count,
    show_address,
    show_addresses,
    show_module,
    show_place,
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
INDENT = 9  # the width of the labels "note", "skipped" and "error" with their gap


@report("table")
def table(audit: Audit, look: Look) -> str:
    """One row an LSTM, grouped by file."""
    look = look._replace(width=max(look.width, NARROWEST))
    closing = wrap(signs_of(look).separator.join(summarise_run(audit)), look.width)
    blocks = [
        *_overview(audit, look),
        *([] if _is_long(audit, look) else _file_blocks(audit, look)),
        [*_without_rows(audit, look), *_errors(audit, look)],
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
        advice = f"{say_count(rest, 'more file')}; {advice}"
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
            *([] if look.quiet else [*_notes(file, look), *_list_skipped(file, look)]),
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
    columns = choose_columns(rows, look)
    names = [
        name
        for file in audit.files
        for name in show_addresses([row.lstm for row in file.rows], None, look.ascii)
    ]
    room = look.width - sum(GAP + width_of(*filled) for filled in columns)
    names = shorten(names, room, signs_of(look).dots)
    left = max(map(columns_wide, [*names, "LSTM"]))
    texts = ["", "LSTM", "-" * left, *names]
    pairs = zip(texts, draw_grid(audit, columns, look), strict=True)
    lines = [
        (text + " " * (left + GAP - columns_wide(text)) + line).rstrip() for text, line in pairs
    ]
    return lines[:3], lines[3:]


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
        names = list(filter(None, (show_place(f, ascii=look.ascii) for f in group.findings)))
        head = group.code + (times if len(group.findings) > 1 else "")
        where = f" {_some(names, NAMED)}" if names else ""
        text = f"{head}{where}: {escape(group.message, PATH_LIMIT, look.ascii)}"
        lines += _label(group.severity, text, look, fg=HUES[group.severity], bold=True)
        lines += [] if look.quiet else _fixes(file, group, look)
    rest = sum(len(group.findings) for group in groups[FOUND:])
    return lines + (_label("", f"{rest} more findings; json has all", look) if rest else [])


def _fixes(file: FileAudit, group: FindingGroup, look: Look) -> Iterator[str]:
    """The commands that mend a group, told apart where something that was learned would be lost."""
    mending = list(commands_for(file, group.findings))
    for words, safe in mending[:COMMANDS]:
        warning = (
            [] if safe else wrap("fix (overwrites whatever was learned):", look.width - INDENT)
        )
        texts = [*([] if warning else ["fix:"]), *(quote_word(word, look.ascii) for word in words)]
        for line in (*warning, *_continue_lines(texts, look.width - INDENT)):
            yield " " * INDENT + line
    if len(mending) > COMMANDS:
        yield (
            " " * INDENT + f"and {say_count(len(mending) - COMMANDS, 'more command')}; json has all"
        )


def _continue_lines(words: Sequence[str], width: int) -> Iterator[str]:
    """A command in lines that a shell joins again; a word that is wider than a line is left to the
    terminal to fold, for a shell would take its parts for two.
    """
    lines: list[str] = []
    for word in words:
        if lines and columns_wide(f"{lines[-1]} {word}") <= width - 2:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    yield from (f"{line} \\" for line in lines[:-1])
    yield lines[-1]


def _notes(file: FileAudit, look: Look) -> list[str]:
    said = [
        (note, show_address(row.lstm, ascii=look.ascii))
        for row in file.rows
        for note in row.lstm.notes
    ]
    return _remarks("note", said, look, fg="cyan")


def _list_skipped(file: FileAudit, look: Look) -> list[str]:
    reasons = [f"{s.detail} ({s.reason})" if s.detail else s.reason for s in file.skipped]
    names = [escape(show_module(s.module), ascii=look.ascii) for s in file.skipped]
    return _remarks("skipped", list(zip(reasons, names, strict=True)), look, fg="yellow")


def _without_rows(audit: Audit, look: Look) -> list[str]:
    """The files that hold no LSTM, and those all of whose LSTMs --layers leaves out."""
    if look.quiet:
        return []
    empty = [
        file
        for file in audit.files
        if not (file.rows or file.skipped or file.findings or file.format in SOURCE_FORMATS)
    ]
    lines: list[str] = []
    for label, left_out in (("no LSTM", False), ("left out", True)):
        paths = [
            escape(file.path, PATH_LIMIT, look.ascii)
            for file in empty
            if bool(file.left_out) == left_out
        ]
        lines += _label(label, _some(paths, NAMED), look) if paths else []
    return lines


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
        lines += _label(label, f"{_some(names.pop(text), named)}: {what}", look, **style)
    return lines + (
        _label(label, f"{sum(map(len, names.values()))} more", look, **style) if names else []
    )


def _label(label: str, text: str, look: Look, **style: Any) -> list[str]:
    lines = wrap(text, look.width - INDENT)
    labels = [paint(label, look, **style) + " " * (INDENT - len(label))] + [" " * INDENT] * (
        len(lines) - 1
    )
    return [(left + line).rstrip() for left, line in zip(labels, lines, strict=True)]


def _some(names: Sequence[str], limit: int) -> str:
    """`a, b, c and 9 more`."""
    rest = len(names) - limit
    return f"{', '.join(names[:limit])} and {rest} more" if rest > 1 else ", ".join(names)
