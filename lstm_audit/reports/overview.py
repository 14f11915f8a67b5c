"""Many files in a few lines of a terminal: counts, a histogram of activations, the worst files.

Comes in: `Statistics` and the `Look` of the terminal. Goes out: blocks of lines, or the whole text
of `--statistics`. Promise: no line is wider than `look.width`, and what a table leaves out is
counted below it.
"""

from collections.abc import Iterator, Sequence

from ..facts import FileAudit, Totals
from ..statistics import BINS, FormatCount, InitCount, RuleCount, Statistics, severities_of
from . import Look
from .listings import extent_of, tally_words
from .terminal import HUES, NARROWEST, closing_of, paint, plain_table, signs_of, wrap
from .words import (
    NOTHING_READ,
    PATH_LIMIT,
    describe_error,
    digits,
    escape,
    fraction,
    say_count,
    size,
)

RULES, INITS, FILES = 12, 6, 12  # rules, initialisers and files that an overview lists
INDENT = 9  # the width of the label "error" with its gap, as in the table of rows
BAR = 40  # columns of the longest bar of the histogram


def statistics_text(found: Statistics, look: Look) -> str:
    """Everything that the statistics hold, for a terminal."""
    look = look._replace(width=max(look.width, NARROWEST), statistics=True)
    blocks = [
        table_of_rules(found.rules, look),
        table_of_inits(found.inits, look),
        table_of_formats(found.formats, look),
        bars_of_activation(found.activation, look),
        table_of_worst(found.worst, look),
        list(_errors(found, look)),
        wrap(signs_of(look).separator.join(summary_of(found.summary)), look.width),
        closing_of(look),
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def summary_of(total: Totals) -> list[str]:
    """The parts of the one line that closes a report of numbers alone."""
    if not total.files:
        parts = [NOTHING_READ]
    else:
        parts = [say_count(total.files, "file"), say_count(total.lstms, "LSTM")]
    parts += tally_words(total.findings)
    parts += [f"{total.skipped:,} skipped"] if total.skipped else []
    parts += [f"{total.unreadable:,} unreadable"] if total.unreadable else []
    return parts + ([f"{say_count(total.ignored, 'other file')} ignored"] if total.ignored else [])


def table_of_rules(counts: Sequence[RuleCount], look: Look) -> list[str]:
    """A line a rule: in how many files it spoke, how often, and the range of what it measured."""
    shown = [count for count in counts if count.severity != "info" or not look.quiet]
    if not shown:
        return []
    cells = [
        [c.code, c.severity, str(c.files), str(c.findings), f"{c.name}{_range_of(c)}"]
        for c in shown
    ]
    styles = [{"fg": HUES[c.severity]} for c in shown]
    heads = ("rule", "severity", "files", "found", "what")
    return plain_table(heads, cells, styles, look, most=RULES)


def _range_of(count: RuleCount) -> str:
    if count.least is None or count.most is None:
        return ""
    least, most = digits(count.least), digits(count.most)
    return f": {least}" if least == most else f": {least} to {most}"


def table_of_inits(counts: Sequence[InitCount], look: Look) -> list[str]:
    """A line an initialiser: how many LSTMs it made, and the range of their mean activations."""
    cells = [
        [escape(c.init, ascii=look.ascii), str(c.files), str(c.lstms), between(c.least, c.most)]
        for c in counts
    ]
    heads = ("init", "files", "LSTMs", "activation")
    return plain_table(heads, cells, [{}] * len(cells), look, most=INITS) if cells else []


def table_of_formats(counts: Sequence[FormatCount], look: Look) -> list[str]:
    """A line a format."""
    cells = [[c.format, str(c.files), str(c.lstms), size(c.bytes)] for c in counts]
    heads = ("format", "files", "LSTMs", "size")
    return plain_table(heads, cells, [{}] * len(cells), look) if cells else []


def bars_of_activation(bins: Sequence[int], look: Look) -> list[str]:
    """The LSTMs by the mean activation of their forget gate: a bar a bin, the empty ends left
    out.
    """
    used = [k for k, n in enumerate(bins) if n]
    if not used:
        return []
    top = max(bins)
    room = min(BAR, look.width - 22)
    lines = ["LSTMs by mean forget activation"]
    for k in range(used[0], used[-1] + 1):
        bar = "#" * -(-bins[k] * room // top)
        lines.append(f"{k / BINS:.2f}..{(k + 1) / BINS:.2f} {bins[k]:>8} {bar}".rstrip())
    return lines


def table_of_worst(files: Sequence[FileAudit], look: Look) -> list[str]:
    """One line a file, in the order in which they come; those that are left out are counted."""
    if not files:
        return []
    cells, styles = [], []
    shown = files[: look.worst]
    for file in shown:
        means = extent_of([row.measures.activation.mean for row in file.rows])
        severities = severities_of(file)
        found = ", ".join(tally_words(severities))
        path = escape(file.path, PATH_LIMIT, look.ascii)
        cells.append([path, str(len(file.rows)), between(*means) if file.rows else "", found])
        hue = next((HUES[word] for word, n in zip(HUES, severities, strict=True) if n), None)
        styles.append({"fg": hue} if hue else {})
    return plain_table(("file", "LSTMs", "activation", "found"), cells, styles, look)


def _errors(found: Statistics, look: Look) -> Iterator[str]:
    """A line a kind of error, with the first of its inputs."""
    for error in found.errors:
        path = escape(error.first.path, PATH_LIMIT, look.ascii)
        said = escape(describe_error(error.first), PATH_LIMIT, look.ascii)
        many = f"{say_count(error.files, 'input')}, the first " if error.files > 1 else ""
        lines = wrap(f"{error.kind}: {many}{path}: {said}", look.width - INDENT)
        yield f"{paint('error', look, fg='red')}    {lines[0]}"
        yield from (f"{' ' * INDENT}{line}" for line in lines[1:])


def between(least: float, most: float) -> str:
    """`0.48..0.52`, or the one number."""
    low, high = fraction(least), fraction(most)
    return low if low == high else f"{low}..{high}"
