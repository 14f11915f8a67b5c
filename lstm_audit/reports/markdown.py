"""`markdown`: a report for a job summary or a merge request, in GitHub's dialect.

Comes in: an `Audit`. Goes out: GitHub Flavored Markdown; a table a file, its findings, the commands
that mend them, and behind `<details>` what was not judged. Promise: no name can break out of its
cell or become markup, and the text stays below the 1 MiB that a job summary holds.
"""

from collections.abc import Iterable, Iterator, Sequence

from ..facts import Audit, FileAudit, Row
from ..lstm.forensics.schemes import short
from . import Look, report
from .listings import FindingGroup, group_findings, sparkline, summarise_run
from .remedies import commands_for, shell
from .words import (
    PATH_LIMIT,
    describe_convention,
    digits,
    escape,
    fraction,
    say_count,
    show_address,
    show_module,
    show_place,
    size,
)

SUMMARY_BYTES = 1_000_000  # GitHub drops a step's whole summary above 1 MiB
ROWS = 500
NAMED = 8
MARKUP = frozenset("\\`*_[]<>|~&@")
HEADINGS = ("LSTM", "H", "Forget bias", "± std", "Activation", "min", "max", "0 to 1", "Half-life")
SIGNS = {"error": "❌", "warning": "⚠️", "info": "ℹ️"}


@report("markdown")
def markdown(audit: Audit, look: Look) -> str:
    """The summary, what could not be read, then each file."""
    parts = [f"### lstm-audit: {' · '.join(summarise_run(audit))}", *_errors(audit)]
    for file in audit.files:
        parts += _file(file, look)
    return "\n\n".join(_bound(parts)) + "\n"


def _file(file: FileAudit, look: Look) -> Iterator[str]:
    yield f"#### {code(escape(file.path, PATH_LIMIT))} ({prose(file.format)}, {size(file.bytes)})"
    if not file.rows:
        yield "No LSTM."
    else:
        yield _table(_rows(file.rows[:ROWS]))
    if len(file.rows) > ROWS:
        yield f"{say_count(len(file.rows) - ROWS, 'further row')} not shown."
    yield from _findings(file, look)
    notes = [
        (code(show_address(row.lstm)), prose(note)) for row in file.rows for note in row.lstm.notes
    ]
    yield from _details("note", ("LSTM", "Note"), notes)
    skipped = [
        (code(escape(show_module(s.module))), prose(s.reason), prose(s.detail))
        for s in file.skipped
    ]
    yield from _details("skipped", ("Module", "Reason", "Detail"), skipped)


def _rows(rows: Sequence[Row]) -> Iterator[Sequence[str]]:
    """Numbers for every LSTM; two columns of words only where one of them has a word."""
    words = {
        "Init": [prose(short(row.init)) if row.init else "" for row in rows],
        "Convention": [prose(describe_convention(row.lstm)) for row in rows],
    }
    words = {heading: cells for heading, cells in words.items() if any(cells)}
    yield [*HEADINGS, *words]
    yield ["---", *["--:"] * (len(HEADINGS) - 1), *["---"] * len(words)]
    for k, row in enumerate(rows):
        yield [*_cells(row), *(cells[k] for cells in words.values())]


def _cells(row: Row) -> Sequence[str]:
    lstm, measures = row.lstm, row.measures
    bias, active = measures.gates["f"], measures.activation
    numbers = [
        digits(bias.mean),
        digits(bias.std),
        fraction(active.mean),
        fraction(active.min),
        fraction(active.max),
    ]
    named = [code(show_address(lstm)), str(lstm.hidden_size)]
    return [*named, *numbers, code(sparkline(measures.histogram)), digits(measures.half_life.p50)]


def _findings(file: FileAudit, look: Look) -> Iterator[str]:
    """Most severe first; what mends the listed ones stands below, ready to be copied."""
    groups = group_findings(file.findings, each=look.verbose)
    if not groups:
        return
    yield _table(
        [("Severity", "Rule", "LSTM", "Finding"), ["---"] * 4, *map(_finding, groups[:ROWS])]
    )
    if len(groups) > ROWS:
        rest = sum(len(group.findings) for group in groups[ROWS:])
        yield f"{say_count(rest, 'further finding')} not shown."
    listed = [finding for group in groups[:ROWS] for finding in group.findings]
    mended = list(commands_for(file, listed))
    for safe in (True, False):
        lines = [shell(command.words) for command in mended if command.safe is safe]
        if lines:
            title = "To mend them:" if safe else "To mend them, overwriting whatever was learned:"
            yield "\n".join([title, "", *(f"    {line}" for line in lines)])


def _finding(group: FindingGroup) -> Sequence[str]:
    """One row for all that a rule says; the first few of its places are named."""
    places = list(filter(None, map(show_place, group.findings)))
    names = ", ".join(map(code, places[:NAMED])) + (
        f" and {len(places) - NAMED} more" if len(places) > NAMED else ""
    )
    rule = group.code + (f" ×{len(group.findings)}" if len(group.findings) > 1 else "")
    return f"{SIGNS[group.severity]} {group.severity}", rule, names, prose(group.message)


def _errors(audit: Audit) -> Iterator[str]:
    if not audit.errors:
        return
    rows = [
        (
            code(escape(e.path, PATH_LIMIT)),
            prose(e.kind),
            "" if e.at is None else str(e.at),
            prose(e.message),
        )
        for e in audit.errors[:ROWS]
    ]
    yield f"**{len(audit.errors)} unreadable**"
    yield _table([("File", "Kind", "Byte", "Message"), ["---"] * 4, *rows])


def _details(noun: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """GitHub needs the blank lines to see the table inside of the HTML."""
    if rows:
        said = f"{len(rows)} skipped" if noun == "skipped" else say_count(len(rows), noun)
        body = _table([headings, ["---"] * len(headings), *rows[:ROWS]])
        yield f"<details><summary>{said}</summary>\n\n{body}\n\n</details>"


def _table(rows: Iterable[Sequence[str]]) -> str:
    """Unpadded, so without tabulate: one long name would widen every row, and the bytes are
    counted.
    """
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _bound(parts: Sequence[str]) -> Iterator[str]:
    left = SUMMARY_BYTES
    for k, part in enumerate(parts):
        left -= len(part.encode()) + 2
        if left < 0:
            rest = say_count(len(parts) - k, "further part")
            yield f"{rest} left out: a job summary holds 1 MiB."
            return
        yield part


def code(text: str) -> str:
    """A name as a code span; as `<code>` with character references where a span inside of a table
    cannot hold it.

    A reference never starts or ends markup (CommonMark 6.2); a `|` ends a cell even inside of a
    code span (GFM 4.10).
    """
    if text == text.strip() and set("`|\\").isdisjoint(text):
        return f"`{text}`"
    return f"<code>{''.join(c if c.isalnum() else f'&#{ord(c)};' for c in text)}</code>"


def prose(text: str) -> str:
    """A sentence from this tool, in which a name from a file may stand."""
    plain = "".join(f"&#{ord(c)};" if c in MARKUP else c for c in escape(text, PATH_LIMIT))
    return plain.replace("://", "&#58;//").replace(
        "www.", "www&#46;"
    )  # else GitHub makes links of them
