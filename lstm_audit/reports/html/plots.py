"""The plots of the page, as inline SVG.

Comes in: `Measures`. Goes out: SVG whose horizontal places are percentages of its width, so that it
follows the page without a script and nothing is distorted. Promise: no name stands in it, and NaN
draws nothing but a word.
"""

from collections.abc import Iterator

from ...lstm.measure import Measures
from ..words import fraction

HIGH = 72  # pixels of the fullest bar
TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)
MARKS = (0.5, 0.7310585786300049)  # sigmoid(0) and sigmoid(1)
LEGEND = "Line: smallest to largest unit; bar: 5th to 95th percentile; tick: median; dot: mean."


def lane(measures: Measures) -> str:
    """One LSTM on the common axis: its extent, its bulk, its median and its mean."""
    body = "".join([*_dashes(0, 22), *_box(measures, 11)])
    return f'<svg class="plot" width="100%" height="22" role="img" aria-label="{_said(measures)}">{body}</svg>'


def axis() -> str:
    """The numbers below the lanes."""
    return (
        f'<svg class="plot" width="100%" height="18" aria-hidden="true">{"".join(_ticks(13))}</svg>'
    )


def histogram(measures: Measures) -> str:
    """How many units' activations fall into each bin of [0, 1], over the same box as in the
    overview.
    """
    top = max(measures.histogram) or 1
    wide = 100 / len(measures.histogram)
    bars = []
    for k, n in enumerate(measures.histogram):
        tall = max(HIGH * n / top, 1.5) if n else 0
        low, high = k / len(measures.histogram), (k + 1) / len(measures.histogram)
        place = f'x="{k * wide + 0.4:.4g}%" width="{wide - 0.8:.4g}%" y="{HIGH + 4 - tall:.4g}" height="{tall:.4g}"'
        title = f"<title>{low:.4g} to {high:.4g}: {n} unit{'' if n == 1 else 's'}</title>"
        bars.append(f'<rect class="bar" rx="2" {place}>{title}</rect>' if n else "")
    ground = f'<line class="ground" x1="0" x2="100%" y1="{HIGH + 4.5}" y2="{HIGH + 4.5}"/>'
    body = "".join(
        [*_dashes(4, HIGH + 4), *bars, ground, *_box(measures, HIGH + 17), *_ticks(HIGH + 38)]
    )
    size = f'width="100%" height="{HIGH + 42}"'
    return f'<svg class="plot" {size} role="img" aria-label="{_said(measures)}">{body}</svg>'


def _box(measures: Measures, y: float) -> Iterator[str]:
    a = measures.activation
    if a.mean != a.mean:
        yield f'<text class="none" x="50%" y="{y + 4}" text-anchor="middle">not a number</text>'
        return
    yield f'<line class="extent" {_across(a.min, a.max)} y1="{y}" y2="{y}"/>'
    yield f'<line class="bulk" {_across(a.p05, a.p95)} y1="{y}" y2="{y}"/>'
    yield f'<line class="median" {_across(a.p50, a.p50)} y1="{y - 6}" y2="{y + 6}"/>'
    yield f'<circle class="mean" cx="{_percent(a.mean)}" cy="{y}" r="4"/>'


def _dashes(top: float, bottom: float) -> Iterator[str]:
    for mark in MARKS:
        yield f'<line class="mark" {_across(mark, mark)} y1="{top}" y2="{bottom}"/>'


def _ticks(y: float) -> Iterator[str]:
    for tick in TICKS:
        anchor = "start" if tick == 0 else "end" if tick == 1 else "middle"
        yield f'<text class="tick" x="{_percent(tick)}" y="{y}" text-anchor="{anchor}">{tick:g}</text>'


def _across(a: float, b: float) -> str:
    return f'x1="{_percent(a)}" x2="{_percent(b)}"'


def _percent(value: float) -> str:
    return f"{100 * min(max(value, 0.0), 1.0):.5g}%"


def _said(measures: Measures) -> str:
    a = measures.activation
    text = f"activations from {fraction(a.min)} to {fraction(a.max)}, mean {fraction(a.mean)}"
    return text.replace("<", "below ").replace(">", "above ")
