"""All LSTMs on one axis.

Comes in: the files of an audit. Goes out: a section with a lane for each LSTM. Promise: names stand
whole, and forward and reverse beside each other.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...facts import FileAudit, Row
from ..listings import worst_of
from ..words import PATH_LIMIT, fraction, markup, say_count, show_module
from . import plots
from .page import badge

LANES = 500  # rows of the overview; a page with more helps nobody
ARROWS = {"forward": "→", "reverse": "←"}


class Drawn(NamedTuple):
    """What every plot of a page shares."""

    scale: plots.Scale
    bounds: plots.AxisRange


def overview(files: Sequence[FileAudit], drawn: Drawn) -> Iterator[str]:
    """What a person compares: where the units of each forget gate stand between shut and open."""
    lstms = sum(len(file.rows) for file in files)
    if not lstms:
        return
    yield "<section><h2>All LSTMs</h2>"
    yield (
        '<p class="muted">The effective forget bias of every unit, with the activation f and the '
        f"time scale τ in steps that it gives at x = 0 and h = 0. {plots.LEGEND} "
        f"{explain_marks(drawn.bounds)}</p>"
    )
    yield '<div class="overview">'
    k = 0
    for file in files:
        if len(files) > 1 and file.rows and k < LANES:
            yield f'<div class="group path">{markup(file.path, PATH_LIMIT)}</div>'
        worst = worst_of(file.findings)
        for row in file.rows[: max(LANES - k, 0)]:
            severity = worst.get(row.lstm.identity)
            mark = badge(severity, "") if severity else ""
            yield f'<div class="label" id="l{k}">{_label(row)}{mark}</div>'
            yield f'<div class="lane">{plots.lane(row.measures, *drawn)}</div>'
            yield f'<div class="num">f {markup(fraction(row.measures.activation.mean))}</div>'
            k += 1
    yield from axis_row(drawn.scale, "mean")
    yield "</div>"
    rest = lstms - k
    yield f'<p class="muted">{say_count(rest, "more LSTM")} not drawn.</p>' if rest else ""
    yield "</section>"


def explain_marks(bounds: plots.AxisRange) -> str:
    """What the lines behind the data mean."""
    shaded = " Shaded: what the policy allows." if plots.are_bounds(bounds) else ""
    return f"Dashed: a bias of 0, where nothing was set.{shaded}"


class LaneRow(NamedTuple):
    """One line of a figure, in HTML: its label, its drawing, the number beside it."""

    label: str
    drawing: str
    number: str


def draw_lanes(rows: Sequence[LaneRow], rest: str, scale: plots.Scale) -> Iterator[str]:
    """Lines over one axis, that of the mean activation; `rest` says what is not drawn."""
    yield '<div class="overview">'
    for row in rows:
        yield f'<div class="label">{row.label}</div>'
        yield f'<div class="lane">{row.drawing}</div>'
        yield f'<div class="num">{row.number}</div>'
    yield from axis_row(scale, "mean f")
    yield "</div>"
    yield f'<p class="muted">{rest}</p>' if rest else ""
    yield "</section>"


def axis_row(scale: plots.Scale, numbers: str) -> Iterator[str]:
    """The last row of lanes: the axis, and what the numbers beside them are."""
    yield '<div class="axis label">bias<br>f<br>τ</div>'
    yield f'<div class="axis lane">{plots.axis(scale)}</div>'
    yield f'<div class="axis num">{numbers}</div>'


def _label(row: Row) -> str:
    """The name whole; a reverse direction follows its forward one, so its name is said faintly."""
    lstm = row.lstm
    faint = ' class="faint"' if lstm.direction == "reverse" else ""
    name = f"{show_module(lstm.module)}:l{lstm.layer}"
    return f"<span{faint}>{markup(name, PATH_LIMIT)}</span> {ARROWS[lstm.direction]}"
