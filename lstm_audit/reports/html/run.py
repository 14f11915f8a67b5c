"""A run as lines over time, one plot an LSTM.

Comes in: a `Trend`. Goes out: one self-contained document. Promise: as of the page of an audit:
nothing is loaded or run, every name is escaped and whole, the axis is the forget bias.
"""

from collections.abc import Iterator, Sequence

from ...history import Line, Point, Trend
from ..words import counted, digits, fraction, markup, shown_identity
from . import plots
from .style import CSS

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
TALL, LEFT = 130, 44
LINES = 200


def page(trend: Trend) -> str:
    """A document in HTML 5."""
    scale = _scale(trend.lines)
    body = [
        "<header><h1>Forget gates over a run</h1>",
        f'<p class="muted">{counted(len(trend.files), "checkpoint")}, '
        f"{counted(len(trend.lines), 'LSTM')}. Line: the mean forget bias; band: 5th to 95th "
        "percentile of the units. Right: the time scale τ in steps.</p></header>",
        '<section><div class="cards">',
    ]
    for line in trend.lines[:LINES]:
        body += _card(line, scale)
    body.append("</div></section>")
    rest = len(trend.lines) - LINES
    body += [f'<p class="muted">{counted(rest, "more LSTM")} not drawn.</p>'] if rest > 0 else []
    head = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>lstm-audit trend</title>\n<style>{CSS}</style></head>\n<body>\n<main>"
    )
    return "\n".join([head, *body, "</main>", "</body>", "</html>", ""])


def _scale(lines: Sequence[Line]) -> plots.Scale:
    ends = [
        end
        for line in lines
        for point in line.points
        for end in (point.p05, point.p95)
        if abs(end) < float("inf")
    ]
    low, high = min([-1.0, *ends]) - 0.3, max([2.0, *ends]) + 0.3
    return plots.Scale(max(low, plots.FARTHEST[0]), min(high, plots.FARTHEST[1]))


def _card(line: Line, scale: plots.Scale) -> Iterator[str]:
    first, last = line.points[0], line.points[-1]
    yield f'<article class="card"><h3 class="path">{markup(shown_identity(line.identity))}</h3>'
    if line.events:
        yield f'<p class="init">{markup("; ".join(line.events))}</p>'
    yield _plot(line.points, scale)
    yield (
        f'<p class="muted">bias {markup(digits(first.mean))} → {markup(digits(last.mean))}, '
        f"f {markup(fraction(first.activation))} → {markup(fraction(last.activation))}, "
        f"steps {first.step} to {last.step}</p></article>"
    )


def _plot(points: Sequence[Point], scale: plots.Scale) -> str:
    """Drawn in a box of 300 by `TALL`, which scales as a whole."""
    good = [point for point in points if point.mean == point.mean]
    low, high = points[0].step, max(points[-1].step, points[0].step + 1)
    wide = 300 - LEFT

    def place(step: int, bias: float) -> str:
        x = wide * (step - low) / (high - low)
        return f"{x:.4g},{TALL * (1 - scale.percent(bias) / 100):.4g}"

    marks = []
    for steps in plots.SCALES:
        bias = plots.bias_of(steps)
        if scale.low < bias < scale.high:
            y = TALL * (1 - scale.percent(bias) / 100)
            marks.append(f'<line class="mark" x1="0" x2="{wide}" y1="{y:.4g}" y2="{y:.4g}"/>')
            marks.append(
                f'<text class="tick" x="{wide + 5}" y="{y + 4:.4g}">τ {plots.spell_steps(steps)}</text>'
            )
    zero = TALL * (1 - scale.percent(0.0) / 100)
    marks.append(f'<line class="zero" x1="0" x2="{wide}" y1="{zero:.4g}" y2="{zero:.4g}"/>')
    band = [place(p.step, p.p95) for p in good] + [place(p.step, p.p05) for p in reversed(good)]
    line = [place(p.step, p.mean) for p in good]
    dots = [f'<circle class="mean" cx="{x}" cy="{y}" r="2.5"/>' for x, y in _split(line)]
    said = f"mean forget bias over {len(points)} checkpoints"
    return (
        f'<svg class="plot" viewBox="0 0 300 {TALL}" width="100%" role="img" aria-label="{said}">'
        f'{"".join(marks)}<polygon class="band" points="{" ".join(band)}"/>'
        f'<polyline class="run" points="{" ".join(line)}"/>{"".join(dots)}</svg>'
    )


def _split(places: Sequence[str]) -> Iterator[tuple[str, str]]:
    for place in places:
        x, _, y = place.partition(",")
        yield x, y
