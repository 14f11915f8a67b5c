"""An LSTM's numbers: per-unit effective biases, activations, time scales, and their statistics.

Comes in: an `Lstm` whose source is still open. Goes out: `Values` (per unit) and `Measures` (over units), all in
float64. Promise: every statistic is of the per-unit values: the mean of the activations, never the activation of the
mean.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from operator import add, ne, sub
from typing import NamedTuple

from ..tensor import Block, read_block, whole_block
from .layer import GATES, Lstm, Term

LN2 = math.log(2.0)
BINS = 16
"""Bins of the activation histogram over [0, 1]; the table's sparkline shows them in pairs."""


class Stats(NamedTuple):
    """Statistics over the units of one recurrence.

    `std` is the population's; percentiles interpolate linearly between order statistics (numpy's default).
    """

    mean: float
    std: float
    min: float
    p05: float
    p50: float
    p95: float
    max: float


class Values(NamedTuple):
    """The per-unit numbers of one LSTM, gates in the order i, f, g, o.

    `halves` maps ih and hh (or b) to the four lists that the file holds, after masks and scales; `effective` are the
    four sums, the run-time offset included in f.
    """

    halves: Mapping[str, tuple[list[float], ...]]
    effective: tuple[list[float], ...]

    @property
    def forget(self) -> list[float]:
        """The effective bias of the forget gate, unit by unit."""
        return self.effective[1]


class Measures(NamedTuple):
    """What a report shows of one LSTM.

    `gates`: the effective bias of i, f, g, o. `difference`: of bias_hh - bias_ih per gate, None for a single bias.
    `activation`: of the forget gate at x=0, h=0. `time_scale` and `half_life`: in steps. `histogram`: how many units'
    activations fall into each of `BINS` equal bins of [0, 1].
    """

    gates: Mapping[str, Stats]
    difference: Mapping[str, Stats] | None
    activation: Stats
    time_scale: Stats
    half_life: Stats
    histogram: tuple[int, ...]


def read_values(lstm: Lstm) -> Values:
    """Read an LSTM's biases, each stored tensor once; the source must be open."""
    cache: dict[int, list[float]] = {}
    zero = [0.0] * lstm.hidden_size
    halves: dict[str, tuple[list[float], ...]] = {}
    for half in sorted({term.half for gate in GATES for term in lstm.gates[gate]}):
        halves[half] = tuple(
            _add([_term_values(t, cache) for t in lstm.gates[gate] if t.half == half], zero) for gate in GATES
        )
    effective = [_add([half[k] for half in halves.values()], zero) for k in range(len(GATES))]
    if lstm.offset:
        effective[1] = [value + lstm.offset for value in effective[1]]
    return Values(halves, tuple(effective))


def _add(parts: Sequence[list[float]], zero: list[float]) -> list[float]:
    if len(parts) == 2:
        return list(map(add, *parts))
    if len(parts) == 1:
        return parts[0]
    return [math.fsum(column) for column in zip(*parts, strict=True)] if parts else zero


def _term_values(term: Term, cache: dict[int, list[float]]) -> list[float]:
    """block * mask * exp(log_scale); see `Term`."""
    values = _block_values(term.block, cache)
    if term.mask is not None:
        values = [v * m for v, m in zip(values, _block_values(term.mask, cache), strict=True)]
    if term.log_scale is not None:
        scale = _exp(read_block(whole_block(term.log_scale))[0])
        values = [v * scale for v in values]
    return values


def _block_values(block: Block, cache: dict[int, list[float]]) -> list[float]:
    """A block's numbers by way of its whole tensor, which the other three gates share."""
    tensor = block.tensor
    if id(tensor) not in cache:
        cache[id(tensor)] = read_block(whole_block(tensor))
    return cache[id(tensor)][block.start : block.stop : block.step]


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def sigmoid(x: float) -> float:
    """1 / (1 + e^-x) without overflow."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def hard_sigmoid(x: float) -> float:
    """Keras 3: relu6(x + 3) / 6 (keras/src/backend, ops.hard_sigmoid)."""
    return min(max(x + 3.0, 0.0), 6.0) / 6.0 if x == x else x


def time_scale(x: float) -> float:
    """-1 / ln sigmoid(x) = 1 / ln(1 + e^-x), in steps; exact where sigmoid(x) itself has rounded to 1."""
    if x < -30.0:
        return -1.0 / x  # ln(1 + e^-x) = -x to the last bit
    decay = math.log1p(math.exp(-x)) if x < 745.0 or x != x else 0.0
    return 1.0 / decay if decay else math.inf


def time_scale_of(activation: float) -> float:
    """-1 / ln f, in steps, for an activation that is no sigmoid."""
    if activation <= 0.0:
        return 0.0
    return math.inf if activation >= 1.0 else -1.0 / math.log(activation)


ACTIVATIONS: Mapping[str, Callable[[float], float]] = {"sigmoid": sigmoid, "hard_sigmoid": hard_sigmoid}


def measure(lstm: Lstm, values: Values) -> Measures:
    """All statistics of one LSTM. The activation rises with the bias, so one sorting serves all three of its kind."""
    biases = sorted(values.forget)
    active, scales = _active(biases, lstm.activation_function)
    scale = of_sorted(scales)
    sorted_gates = [biases if k == 1 else sorted(gate) for k, gate in enumerate(values.effective)]
    return Measures(
        gates={g: of_sorted(v) for g, v in zip(GATES, sorted_gates, strict=True)},
        difference=_difference(values) if lstm.two_halves else None,
        activation=of_sorted(active),
        time_scale=scale,
        half_life=Stats._make([value * LN2 for value in scale]),
        histogram=_histogram(active),
    )


def _active(biases: Sequence[float], function: str) -> tuple[list[float], list[float]]:
    """Activations and time scales of sorted biases; where no exponential can overflow, without a call a unit."""
    if function != "sigmoid":
        active = [ACTIVATIONS[function](b) for b in biases]
        return active, [time_scale_of(f) for f in active]
    if biases and -30.0 < biases[0] <= biases[-1] < 700.0:
        try:
            exponentials = [math.exp(-b) for b in biases]
            return [1.0 / (1.0 + e) for e in exponentials], [1.0 / math.log1p(e) for e in exponentials]
        except (OverflowError, ZeroDivisionError):
            pass  # a NaN has no order: among them the first and the last are not the bounds
    return [sigmoid(b) for b in biases], [time_scale(b) for b in biases]


def _difference(values: Values) -> dict[str, Stats]:
    pairs = zip(GATES, values.halves["ih"], values.halves["hh"], strict=True)
    return {gate: of_sorted(sorted(map(sub, hh, ih))) for gate, ih, hh in pairs}


def _histogram(active: Sequence[float]) -> tuple[int, ...]:
    """Counts of sorted activations; NaN belongs to no bin."""
    if any(map(ne, active, active)):
        active = sorted(f for f in active if f == f)
    counts, before = [], 0
    for k in range(1, BINS):
        edge = bisect_left(active, k / BINS, before)
        counts.append(edge - before)
        before = edge
    return (*counts, len(active) - before)


def of_sorted(values: Sequence[float]) -> Stats:
    """Statistics of values in ascending order; all NaN when one of them is."""
    n = len(values)
    try:
        mean = math.fsum(values) / n
    except (OverflowError, ValueError, ZeroDivisionError):  # beyond float64, both infinities, or no values
        return _of_odd(values)
    if mean - mean != 0:  # an infinity or a NaN
        return _of_odd(values)
    low, high = values[0], values[-1]
    mean = min(max(mean, low), high)  # fsum rounds once, the division again: never outside the values
    std = 0.0 if low == high else math.dist(values, [mean] * n) / math.sqrt(n)
    return Stats(mean, std, low, *_percentiles(values), high)


def _of_odd(values: Sequence[float]) -> Stats:
    """NaN, infinities or sums beyond float64: the order statistics hold where there is no NaN."""
    if not values or any(v != v for v in values):
        return Stats._make([math.nan] * 7)
    low, high = values[0], values[-1]
    if not math.isinf(low) and not math.isinf(high):
        return _of_large(values)
    mean = math.nan if low == -math.inf and high == math.inf else low if math.isinf(low) else high
    return Stats(mean, math.nan, low, *_percentiles(values), high)


def _of_large(values: Sequence[float]) -> Stats:
    """Values whose sum overflows: statistics of the values scaled down, scaled up again."""
    scale = 2.0**-64
    return Stats._make([part / scale for part in of_sorted([v * scale for v in values])])


def _percentiles(values: Sequence[float]) -> tuple[float, float, float]:
    """p05, p50, p95 by linear interpolation at position q (n - 1), as numpy.percentile does by default."""
    last = len(values) - 1
    return _at(values, 0.05 * last), _at(values, 0.5 * last), _at(values, 0.95 * last)


def _at(values: Sequence[float], position: float) -> float:
    k = int(position)
    low, part = values[k], position - k
    if not part or low == values[k + 1]:
        return low
    return low + (values[k + 1] - low) * part
