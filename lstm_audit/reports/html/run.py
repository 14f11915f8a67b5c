"""A run as lines over time, one plot an LSTM.

Comes in: a `Trend`, and the bounds of the policy. Goes out: a page, or its section. Promise: as of
the page of an audit: nothing is loaded or run, every name is escaped and whole, the axis is the
forget bias, and all plots of a page have the same axes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...history import Line, Point, Trend
from .. import Look
from ..words import digits, fraction, markup, say_count, show_identity
from . import plots
from .overview import explain_marks
from .page import document, header

TALL, WIDE = 150, 320  # the drawing, which scales as a whole
LEFT, RIGHT, BELOW = 22, 78, 18  # of it: for biases, for f and τ, for steps
LINE = 11  # the height of a line of its text
SCALES = (
    1,
    10,
    100,
    1000,
    10000,
    3,
)  # time scales that are marked, and named as far as there is room
LINES = 200
DOTTED = 16  # checkpoints up to which each has a dot


class SharedAxes(NamedTuple):
    """The axes that all plots of a page share; `first` and `last` are steps."""

    scale: plots.Scale
    bounds: plots.AxisRange
    first: int
    last: int

    def across(self, step: int) -> float:
        """Where a step stands, from the left."""
        share = (step - self.first) / max(self.last - self.first, 1)
        return LEFT + (WIDE - LEFT - RIGHT) * share

    def down(self, bias: float) -> float:
        """Where a bias stands, from above."""
        return (TALL - BELOW) * (1 - self.scale.percent(bias) / 100)


def page_of_run(trend: Trend, look: Look) -> str:
    """A document in HTML 5."""
    said = [f"{say_count(len(trend.files), 'checkpoint')}, {say_count(len(trend.lines), 'LSTM')}"]
    head = header("Forget gates over a run", said, look.closing, look.command)
    return document("lstm-audit trend", [*head, *section(trend, look.bounds)])


def section(trend: Trend, bounds: plots.AxisRange) -> Iterator[str]:
    """A card for each LSTM."""
    if not trend.lines:
        return
    frame = _frame(trend, bounds)
    yield "<section><h2>Over time</h2>"
    yield (
        f'<p class="muted">{say_count(len(trend.files), "checkpoint")}, {_say_steps(trend)}. Line: '
        "the mean forget bias; band: 5th to 95th percentile of the units. Right: the activation f "
        "and the time scale τ in steps that a bias gives at x = 0 and h = 0. "
        f"{explain_marks(bounds)}</p>"
    )
    yield '<div class="cards">'
    for line in trend.lines[:LINES]:
        yield from _card(line, frame)
    rest = len(trend.lines) - LINES
    more = f'<p class="muted">{say_count(rest, "more LSTM")} not drawn.</p>' if rest > 0 else ""
    yield f"</div>{more}</section>"


COUNTED_BY = {"name": "by the numbers in their names", "order": "in the order of their names"}


def _say_steps(trend: Trend) -> str:
    """`steps 100 to 900 by global_step`."""
    by = COUNTED_BY.get(trend.counted_by, f"by {trend.counted_by} in the files")
    first, last = trend.files[0][1], trend.files[-1][1]
    return by if trend.counted_by == "order" else f"steps {first:,} to {last:,} {markup(by)}"


def _frame(trend: Trend, bounds: plots.AxisRange) -> SharedAxes:
    points = [point for line in trend.lines for point in line.points]
    scale = plots.scale_of_biases([end for p in points for end in (p.p05, p.p95)], bounds)
    return SharedAxes(scale, bounds, trend.files[0][1], trend.files[-1][1])


def _card(line: Line, frame: SharedAxes) -> Iterator[str]:
    first, last = line.points[0], line.points[-1]
    yield f'<article class="card"><h3 class="path">{markup(show_identity(line.identity))}</h3>'
    what = "; ".join(event.text for event in line.events)
    yield f'<p class="init">{markup(what)}</p>' if what else ""
    yield _plot(line, frame)
    yield (
        f'<p class="muted">bias {markup(digits(first.mean))} → {markup(digits(last.mean))}, '
        f"f {markup(fraction(first.activation))} → {markup(fraction(last.activation))}</p></article>"
    )


def _plot(line: Line, frame: SharedAxes) -> str:
    said = f"mean forget bias over {say_count(len(line.points), 'checkpoint')}"
    parts = [
        *_shade_bounds(frame),
        *_grid(frame),
        *_steps(frame),
        *_moments(line, frame),
        *_course(line.points, frame),
    ]
    return (
        f'<svg class="plot" viewBox="0 0 {WIDE} {TALL}" width="100%" role="img" '
        f'aria-label="{said}">{"".join(parts)}</svg>'
    )


def _shade_bounds(frame: SharedAxes) -> Iterator[str]:
    if plots.are_bounds(frame.bounds):
        low, high = frame.bounds
        top, bottom = frame.down(high), frame.down(low)
        wide = WIDE - LEFT - RIGHT
        yield (
            f'<rect class="allowed" x="{LEFT}" width="{wide}" y="{top:.4g}" '
            f'height="{max(bottom - top, 1):.4g}"/>'
        )
        for end in frame.bounds:
            if frame.scale.low < end < frame.scale.high:
                yield _level("bound", frame.down(end))


def _grid(frame: SharedAxes) -> Iterator[str]:
    """Whole biases on the left; f and τ on the right, a line for each."""
    right = WIDE - RIGHT
    for whole in plots.whole_biases(frame.scale):
        text = f"{whole}".replace("-", "\u2212")
        y = min(max(frame.down(whole) + 4, 9), TALL - BELOW)
        yield f'<text class="tick" x="{LEFT - 5}" y="{y:.4g}" text-anchor="end">{text}</text>'
    taken: list[float] = []
    for steps in SCALES:
        bias = plots.bias_of_steps(steps)
        y = frame.down(bias)
        if frame.scale.low < bias < frame.scale.high:
            yield _level("mark", y)
            under = min(max(y + 4, 9), TALL - BELOW)
            if all(abs(under - other) >= LINE for other in taken):
                taken.append(under)
                text = _spell_level(bias, steps)
                yield f'<text class="tick" x="{right + 4}" y="{under:.4g}">{text}</text>'
    yield _level("zero", frame.down(0.0))


def _spell_level(bias: float, steps: int) -> str:
    """`f .90 τ 10`; where f is all but 1, τ says more."""
    f, tau = plots.spell_activation(bias), f"τ {plots.spell_steps(steps)}"
    return tau if f.startswith("&") else f"f {f} {tau}"


def _level(name: str, y: float) -> str:
    return f'<line class="{name}" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{y:.4g}" y2="{y:.4g}"/>'


def _steps(frame: SharedAxes) -> Iterator[str]:
    """The first step and the last, below."""
    ends = [(frame.first, LEFT, "start"), (frame.last, WIDE - RIGHT, "end")]
    for step, x, anchor in ends[: 1 if frame.first == frame.last else 2]:
        text = f"step {step:,}" if anchor == "start" else f"{step:,}"
        yield f'<text class="tick" x="{x}" y="{TALL - 4}" text-anchor="{anchor}">{text}</text>'


def _moments(line: Line, frame: SharedAxes) -> Iterator[str]:
    """An upright line where something happened."""
    for event in line.events:
        if event.step is not None:
            x = frame.across(event.step)
            said = f"<title>{markup(event.text)}</title>"
            place = f'x1="{x:.4g}" x2="{x:.4g}" y1="0" y2="{TALL - BELOW}"'
            yield f'<line class="moment" {place}>{said}</line>'


def _course(points: Sequence[Point], frame: SharedAxes) -> Iterator[str]:
    """The band and the mean, where they are numbers."""
    good = [point for point in points if point.mean == point.mean]
    lower = [(point.step, point.p05) for point in good]
    upper = [(point.step, point.p95) for point in good]
    means = [(point.step, point.mean) for point in good]
    yield f'<polygon class="band" points="{_path([*upper, *reversed(lower)], frame)}"/>'
    yield f'<polyline class="run" points="{_path(means, frame)}"/>'
    for step, bias in means if len(means) <= DOTTED else means[:1] + means[-1:]:
        place = f'cx="{frame.across(step):.4g}" cy="{frame.down(bias):.4g}"'
        yield f'<circle class="mean" {place} r="2.5"/>'


def _path(places: Sequence[tuple[int, float]], frame: SharedAxes) -> str:
    return " ".join(f"{frame.across(step):.4g},{frame.down(bias):.4g}" for step, bias in places)
