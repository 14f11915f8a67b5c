"""A registry in numbers: what the rules said, and what initialised the LSTMs.

Comes in: counts, however many files stand behind them. Goes out: sections. Promise: nothing but the
counts is asked for, so the page of a million files is as long as that of ten.
"""

import math
from collections.abc import Iterator, Sequence

from ...facts import FileAudit
from ...statistics import BINS, FormatCount, InitCount, RuleCount, Statistics, severities_of
from .. import Look
from ..listings import extent_of, tally_words
from ..words import PATH_LIMIT, describe_error, digits, fraction, markup, say_count, size
from . import plots
from .overview import LaneRow, draw_lanes, explain_marks
from .page import badge, html_table

LISTED = 200  # initialisers that are written out; there are as many rules as there are


def sections(found: Statistics, look: Look) -> Iterator[str]:
    """Everything that the statistics hold."""
    yield from rules_html(found.rules)
    yield from inits(found.inits, look.bounds)
    yield from activations(found.activation)
    yield from formats_html(found.formats)
    yield from worst(found.worst)
    yield from errors(found)


def rules_html(counts: Sequence[RuleCount]) -> Iterator[str]:
    """A line a rule and severity, with the range of what it measured."""
    if not counts:
        return
    yield '<section><h2>What the rules say</h2><div class="counts rules">'
    yield from html_table(
        ("rule", "files", "found", "measured"),
        [
            [
                f"{badge(count.severity)}<b>{markup(count.code)}</b> {markup(count.name)}",
                f"{count.files:,}",
                f"{count.findings:,}",
                markup(_range(count)),
            ]
            for count in counts
        ],
    )
    yield "</div></section>"


def _range(count: RuleCount) -> str:
    if count.least is None or count.most is None:
        return ""
    return _to(digits(count.least), digits(count.most))


def _to(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def inits(counts: Sequence[InitCount], bounds: plots.AxisRange) -> Iterator[str]:
    """A lane an initialiser, from the least to the greatest mean activation of its LSTMs."""
    if not counts:
        return
    scale = plots.scale_of_biases(
        [_bias(end) for count in counts for end in (count.least, count.most)], bounds
    )
    yield "<section><h2>What initialised them</h2>"
    yield (
        '<p class="muted">From the least to the greatest mean activation f among the LSTMs of an '
        "initialiser, on the axis of the bias that gives it (its logit), with the time scale τ in "
        f"steps. {explain_marks(bounds)}</p>"
    )
    rest = len(counts) - LISTED
    said = f"{say_count(rest, 'more initialiser')}." if rest > 0 else ""
    yield from draw_lanes([_lane(count, scale, bounds) for count in counts[:LISTED]], said, scale)


def _lane(count: InitCount, scale: plots.Scale, bounds: plots.AxisRange) -> LaneRow:
    found = f"{say_count(count.lstms, 'LSTM')} in {say_count(count.files, 'file')}"
    name = f"{markup(in_words(count.init))}<br><small>{found}</small>"
    extent = (_bias(count.least), _bias(count.most))
    drawing = plots.extent(extent, scale, bounds, _between(count))
    return LaneRow(name, drawing, markup(_between(count)))


def in_words(verdict: str) -> str:
    """`chrono T ≈ 784`: what was estimated is not said as if it had been read; values that are as
    they were drawn, by no law that is listed, are not called unknown.
    """
    known = verdict.replace("unknown (fresh", "no listed initialiser (fresh")
    return known.replace("T=", "T ≈ ").replace("~", " ≈ ")


def _between(count: InitCount) -> str:
    return _to(fraction(count.least), fraction(count.most))


def _bias(f: float) -> float:
    """The logit, as far as an activation has one."""
    if f != f:
        return f
    return math.copysign(math.inf, f - 0.5) if f <= 0 or f >= 1 else math.log(f / (1 - f))


def activations(bins: Sequence[int]) -> Iterator[str]:
    """The LSTMs by the mean activation of their forget gate, a bar a bin."""
    top = max(bins, default=0)
    if not top:
        return
    used = [k for k, n in enumerate(bins) if n]
    yield "<section><h2>Mean forget activation</h2>"
    yield '<div class="counts bars"><table><tbody>'
    for k in range(used[0], used[-1] + 1):
        name = f"{k / BINS:.2f} to {(k + 1) / BINS:.2f}"
        bar = plots.share(bins[k] / top, f"{bins[k]} of {sum(bins)}")
        yield f'<tr><th scope="row">{name}</th><td>{bar}</td><td>{bins[k]:,}</td></tr>'
    yield "</tbody></table></div></section>"


def formats_html(counts: Sequence[FormatCount]) -> Iterator[str]:
    """A line a format."""
    if not counts:
        return
    yield '<section><h2>Formats</h2><div class="counts">'
    cells = [
        [markup(c.format), f"{c.files:,}", f"{c.lstms:,}", markup(size(c.bytes))] for c in counts
    ]
    yield from html_table(("format", "files", "LSTMs", "size"), cells)
    yield "</div></section>"


def worst(files: Sequence[FileAudit]) -> Iterator[str]:
    """A line a file, the most severe findings first."""
    if not files:
        return
    yield '<section><h2>The worst files</h2><div class="counts">'
    yield from html_table(("file", "LSTMs", "mean f", "found"), map(_worst_cells, files))
    yield "</div></section>"


def _worst_cells(file: FileAudit) -> list[str]:
    least, most = extent_of([row.measures.activation.mean for row in file.rows])
    found = ", ".join(tally_words(severities_of(file)))
    name = f'<span class="path">{markup(file.path, PATH_LIMIT)}</span>'
    means = _to(fraction(least), fraction(most)) if file.rows else ""
    return [name, f"{len(file.rows):,}", markup(means), markup(found)]


def errors(found: Statistics) -> Iterator[str]:
    """A line a kind of error, with the first of its inputs."""
    if not found.errors:
        return
    yield f"<section><h2>{say_count(found.summary.unreadable, 'input')} could not be read</h2>"
    yield '<ul class="findings">'
    for error in found.errors:
        path = f'<span class="path">{markup(error.first.path, PATH_LIMIT)}</span>'
        first = f"the first of {error.files:,}: " if error.files > 1 else ""
        yield f'<li class="error"><p>{badge("error")}<b>{markup(error.kind)}</b> {first}{path}</p>'
        yield f"<p>{markup(describe_error(error.first), PATH_LIMIT)}</p></li>"
    yield "</ul></section>"
