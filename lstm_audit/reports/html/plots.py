"""The plots of the page, as inline SVG.

Comes in: `Measures`, the biases of the units where they were kept, and a `Scale`. Goes out: SVG
whose horizontal places are percentages of its width, so that it follows the page without a script
and nothing is distorted. Promise: no name stands in it, NaN draws nothing but a word, and what lies
beyond the axis is drawn at its end with an arrow.

The axis is the effective bias, the logit of the activation: there 0.99 and 0.999 lie as far apart
as 0.9 and 0.99, and memory grows tenfold with every 2.3.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ...facts import Row
from ...lstm.measure import Measures, Stats
from ..words import digits, fraction
from .labels import Label, draw_labels

HIGH = 64  # pixels of the fullest bar
LANE = 22
BINS = 24  # parts of the axis, and fewer where the counts over them need more room
FARTHEST = (-8.0, 12.0)  # biases beyond are drawn at the edge: f = 0.0003 and 0.999994
USUAL = (-2.0, 5.0)  # the axis reaches at least from here to here
SCALES = (1, 10, 100, 1000, 10000, 3)  # 3 is named where there is room
LEGEND = "Line: smallest to largest unit; bar: 5th to 95th percentile; tick: median; dot: mean."

# The least and the largest bias that the policy allows; infinities where it sets none.
AxisRange = tuple[float, float]


class Scale(NamedTuple):
    """The biases at the two ends of the axis."""

    low: float
    high: float

    def percent(self, bias: float) -> float:
        """How far along the axis a bias stands, at most at its ends."""
        share = (bias - self.low) / (self.high - self.low)
        return 100 * min(max(share, 0.0), 1.0)


def find_scale(rows: Iterable[Row], bounds: AxisRange) -> Scale:
    """An axis that holds the bulk of all units and the bounds."""
    biases = (row.measures.gates["f"] for row in rows)
    return scale_of_biases((end for b in biases for end in (b.p05, b.p95, b.mean)), bounds)


def scale_of_biases(biases: Iterable[float], bounds: AxisRange) -> Scale:
    """An axis that holds some biases and the bounds, as far as one can read it."""
    ends = [end for end in (*bounds, *biases) if math.isfinite(end)]
    low, high = min([USUAL[0], *ends]) - 0.5, max([USUAL[1], *ends]) + 0.5
    return Scale(max(math.floor(low), FARTHEST[0]), min(math.ceil(high), FARTHEST[1]))


def lane(measures: Measures, scale: Scale, bounds: AxisRange) -> str:
    """One LSTM on the common axis: its extent, its bulk, its median and its mean."""
    body = "".join(
        [
            *_shade_bounds(scale, bounds, 0, LANE),
            *_grid(scale, 0, LANE),
            *_box(measures.gates["f"], scale, 11),
        ]
    )
    return _svg(body, LANE, _said(measures))


def extent(ends: tuple[float, float], scale: Scale, bounds: AxisRange, said: str) -> str:
    """A lane with no more than the least and the greatest of some means."""
    low, high = ends
    body = [*_shade_bounds(scale, bounds, 0, LANE), *_grid(scale, 0, LANE)]
    if low == low:
        body.append(f'<line class="bulk" {_across(scale, low, high)} y1="11" y2="11"/>')
        body += [f'<circle class="mean" {_at(scale, end)} cy="11" r="4"/>' for end in ends]
    return _svg("".join(body), LANE, f"mean activation {_plain(said)}")


def share(part: float, said: str) -> str:
    """A bar that takes a part of its cell."""
    bar = f'<rect class="bar" x="0" y="0" width="{100 * part:.4g}%" height="14"/>'
    return _svg(bar if part else "", 14, said)


def move(before: float, after: float, scale: Scale, said: str) -> str:
    """A lane with a ring where a mean was, a dot where it is, and the way between."""
    body = [*_grid(scale, 0, LANE)]
    if before == before and after == after:
        body.append(f'<line class="way" {_across(scale, before, after)} y1="11" y2="11"/>')
    if before == before:
        body.append(f'<circle class="was" {_at(scale, before)} cy="11" r="4.5"/>')
    if after == after:
        body.append(f'<circle class="mean" {_at(scale, after)} cy="11" r="4.5"/>')
    return _svg("".join(body), LANE, _plain(said))


def mirror(before: Sequence[float], after: Sequence[float], scale: Scale) -> str:
    """Units before, upward, and after, downward, over one axis."""
    counts = [count_units(biases, scale) for biases in (before, after)]
    if len(counts[0]) != len(counts[1]):  # as wide as the wider ones
        bins = min(map(len, counts))
        counts = [count_units(biases, scale, (bins,)) for biases in (before, after)]
    ground, tall = HIGH + 14, 2 * (HIGH + 14)
    parts = [*_grid(scale, 0, tall)]
    for units, name, up in zip(counts, ("bar was", "bar"), (True, False), strict=True):
        parts += _bars(units, ground, name, up) if any(units) else []
    said = f"{len(before)} units before, {len(after)} after"
    return _svg("".join(parts), tall, said) + axis(scale)


def whole_biases(scale: Scale) -> list[int]:
    """The biases that an axis is marked with: a handful."""
    span = scale.high - scale.low
    every = 1 if span <= 6 else 2 if span <= 12 else 4
    return [b for b in range(math.ceil(scale.low), math.floor(scale.high) + 1) if b % every == 0]


def axis(scale: Scale) -> str:
    """The numbers below the lanes: the bias, the activation that it gives, the time scale."""
    biases = whole_biases(scale)
    biases = biases[::2] + biases[1::2]  # where all have no room, every second has
    marks = [_tick(scale, b, 12, f"{b}".replace("-", "\u2212")) for b in biases]
    marks += [_tick(scale, b, 27, f"f {spell_activation(b)}") for b in biases]
    steps = [(t, bias_of_steps(t)) for t in SCALES]
    inside = [(t, b) for t, b in steps if scale.low < b < scale.high]
    marks += [_tick(scale, b, 42, f"τ {spell_steps(t)}") for t, b in inside]
    body = draw_labels(marks)
    return f'<svg class="plot" width="100%" height="46" aria-hidden="true">{body}</svg>'


def histogram(row: Row, scale: Scale, bounds: AxisRange) -> str:
    """How many units' biases fall into each part of the axis; where the units were not kept, the
    box alone.
    """
    counts = count_units(row.units.bias["f"], scale) if row.units else []
    ground = HIGH + 14 if any(counts) else 0
    parts = [*_shade_bounds(scale, bounds, 0, ground + 26), *_grid(scale, 0, ground + 26)]
    parts += _bars(counts, ground, "bar") if ground else []
    parts += _box(row.measures.gates["f"], scale, ground + 14)
    return _svg("".join(parts), ground + 28, _said(row.measures)) + axis(scale)


def _bars(counts: Sequence[int], ground: int, name: str, up: bool = True) -> Iterator[str]:
    """A bar for each part of the axis, up from the ground or down, with its count at the end."""
    wide, top = 100 / len(counts), max(counts)
    said: list[tuple[int, Label]] = []
    for k, n in enumerate(counts):
        if n:
            tall = max(HIGH * n / top, 2)
            y, count_at = (ground - tall, ground - tall - 3) if up else (ground, ground + tall + 9)
            yield (
                f'<rect class="{name}" x="{k * wide + 0.3:.4g}%" width="{wide - 0.6:.4g}%" '
                f'y="{y:.4g}" height="{tall:.4g}"/>'
            )
            said.append((n, Label(str(n), (k + 0.5) * wide, count_at, "count", 9)))
    yield draw_labels([label for _, label in sorted(said, key=lambda pair: -pair[0])])
    yield f'<line class="ground" x1="0" x2="100%" y1="{ground}.5" y2="{ground}.5"/>'


def _svg(body: str, height: int, said: str) -> str:
    return f'<svg class="plot" width="100%" height="{height}" role="img" aria-label="{said}">{body}</svg>'


def count_units(
    biases: Sequence[float], scale: Scale, widths: Sequence[int] = (BINS, 16, 12, 8)
) -> list[int]:
    """Units by part of the axis; those beyond its ends count at the ends. A count of three digits
    needs a wider part than one of two.
    """
    for bins in widths:
        counts = [0] * bins
        for bias in biases:
            if bias == bias:
                counts[min(int(scale.percent(bias) / 100 * bins), bins - 1)] += 1
        if max(counts) < 10 ** (2 + (BINS - bins) // 6):
            break
    return counts


def _box(b: Stats, scale: Scale, y: float) -> Iterator[str]:
    if b.mean != b.mean:
        yield f'<text class="none" x="50%" y="{y + 4}" text-anchor="middle">not a number</text>'
        return
    yield f'<line class="extent" {_across(scale, b.min, b.max)} y1="{y}" y2="{y}"/>'
    yield f'<line class="bulk" {_across(scale, b.p05, b.p95)} y1="{y}" y2="{y}"/>'
    yield f'<line class="median" {_across(scale, b.p50, b.p50)} y1="{y - 6}" y2="{y + 6}"/>'
    yield f'<circle class="mean" {_at(scale, b.mean)} cy="{y}" r="4"/>'
    if b.min < scale.low:
        yield f'<text class="beyond" x="0" y="{y + 4}">‹</text>'
    if b.max > scale.high:
        yield f'<text class="beyond" x="100%" y="{y + 4}" text-anchor="end">›</text>'


def are_bounds(bounds: AxisRange) -> bool:
    """Whether the policy bounds anything."""
    return not all(map(math.isinf, bounds))


def _shade_bounds(scale: Scale, bounds: AxisRange, top: float, bottom: float) -> Iterator[str]:
    """The biases that the policy allows, shaded; nothing where it sets no bound."""
    if not are_bounds(bounds):
        return
    low, high = bounds
    left, right = scale.percent(max(low, scale.low)), scale.percent(min(high, scale.high))
    yield f'<rect class="allowed" x="{left:.5g}%" width="{max(right - left, 0.6):.5g}%" y="{top}" height="{bottom - top}"/>'
    for end in (low, high):
        if scale.low < end < scale.high:
            yield f'<line class="bound" {_across(scale, end, end)} y1="{top}" y2="{bottom}"/>'


def _grid(scale: Scale, top: float, bottom: float) -> Iterator[str]:
    """A line at each time scale, and a dashed one at a bias of 0, where nothing was set."""
    for steps in SCALES:
        bias = bias_of_steps(steps)
        if scale.low < bias < scale.high:
            yield f'<line class="mark" {_across(scale, bias, bias)} y1="{top}" y2="{bottom}"/>'
    yield f'<line class="zero" {_across(scale, 0.0, 0.0)} y1="{top}" y2="{bottom}"/>'


def _tick(scale: Scale, bias: float, y: float, text: str) -> Label:
    place = scale.percent(bias)
    return Label(
        text, place, y, "tick", 11, "start" if place < 3 else "end" if place > 97 else "middle"
    )


def spell_activation(bias: float) -> str:
    """Two digits of what is left to 0 or 1, as far as they fit."""
    f = 1 / (1 + math.exp(-bias))
    if f > 0.9999 or f < 0.0001:
        return "&gt;.9999" if f > 0.5 else "&lt;.0001"
    places = 2 if 0.05 <= f <= 0.95 else 3 if 0.01 <= f <= 0.99 else 4
    return f"{f:.{places}f}".lstrip("0")


def spell_steps(steps: int) -> str:
    """`100`, `10k`."""
    return f"{steps // 1000}k" if steps >= 1000 else str(steps)


def bias_of_steps(steps: float) -> float:
    """The bias whose sigmoid is a time scale: −ln(e^(1/τ) − 1)."""
    return -math.log(math.expm1(1 / steps))


def _at(scale: Scale, bias: float) -> str:
    return f'cx="{scale.percent(bias):.5g}%"'


def _across(scale: Scale, a: float, b: float) -> str:
    return f'x1="{scale.percent(a):.5g}%" x2="{scale.percent(b):.5g}%"'


def _said(measures: Measures) -> str:
    a, b = measures.activation, measures.gates["f"]
    text = (
        f"forget biases from {digits(b.min)} to {digits(b.max)}, mean {digits(b.mean)}; "
        f"mean activation {fraction(a.mean)}"
    )
    return _plain(text)


def _plain(text: str) -> str:
    return text.replace("<", "below ").replace(">", "above ")
