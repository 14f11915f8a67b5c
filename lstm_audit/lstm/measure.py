"""An LSTM's numbers: per-unit effective biases, activations, time scales, and their statistics.

Comes in: an `Lstm` whose source is still open. Goes out: `Values` (per unit) and `Measures` (over
units), all in float64. Promise: every statistic is of the per-unit values: the mean of the
activations, never the activation of the mean.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from math import dist, exp, log1p, sqrt
from operator import add, sub

from ..activations import parse_activation
from ..raw.span import Span, span_all
from ..raw.tensor import Block, read_block, whole_block
from ..tuples import NamedTuple
from .layer import GATES, Lstm, Term

LN2 = math.log(2.0)
# Bins of the activation histogram over [0, 1]; the table's sparkline shows them in pairs.
BINS = 16

EDGES = tuple(k / BINS for k in range(1, BINS))
SHARES = (0.05, 0.5, 0.95)


class Stats(NamedTuple):
    """Statistics over the units of one recurrence.

    `std` is the population's; percentiles interpolate linearly between order statistics (numpy's
    default).
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

    `halves` maps ih and hh (or b) to the four sequences that the file holds, after masks and
    scales; `effective` are the four sums, the run-time offset included in f.
    """

    halves: Mapping[str, tuple[Sequence[float], ...]]
    effective: tuple[Sequence[float], ...]

    @property
    def forget(self) -> Sequence[float]:
        """The effective bias of the forget gate, unit by unit."""
        return self.effective[1]


class Measures(NamedTuple):
    """What a report shows of one LSTM.

    `gates`: the effective bias of i, f, g, o. `difference`: of bias_hh - bias_ih per gate, None for
    a single bias. `activation`: of the forget gate at x=0, h=0. `time_scale` and `half_life`: in
    steps. `histogram`: how many units' activations fall into each of `BINS` equal bins of [0, 1].
    """

    gates: Mapping[str, Stats]
    difference: Mapping[str, Stats] | None
    activation: Stats
    time_scale: Stats
    half_life: Stats
    histogram: tuple[int, ...]

    def __repr__(self) -> str:
        bias, active = self.gates["f"].mean, self.activation.mean
        return f"<Measures: forget bias {bias:.4g}, activation {active:.4g}>"


def announce(lstms: Iterable[Lstm]) -> None:
    """Say to sources that are far which biases will be read, so that they come in one batch."""
    far: dict[int, tuple[Span, list[tuple[int, int]]]] = {}
    for lstm in lstms:
        for term in (term for gate in GATES for term in lstm.gates[gate]):
            for tensor in (term.block.tensor, term.mask and term.mask.tensor, term.log_scale):
                if tensor is not None and tensor.span.source.far:
                    span = tensor.span
                    _, places = far.setdefault(id(span.source), (span_all(span.source), []))
                    places.append((span.start, span.size))
    for span, places in far.values():
        span.announce(places)


def read_values(lstm: Lstm) -> Values:
    """Read an LSTM's biases, each stored tensor once; the source must be open."""
    cache: dict[int, Sequence[float]] = {}
    parts: dict[str, tuple[list[Sequence[float]], ...]] = {}
    for k, gate in enumerate(GATES):
        for term in lstm.gates[gate]:
            if term.half not in parts:
                parts[term.half] = ([], [], [], [])
            parts[term.half][k].append(_term_values(term, cache))
    zero = [0.0] * lstm.hidden_size
    halves = {half: tuple([_add(part, zero) for part in parts[half]]) for half in sorted(parts)}
    effective = [
        _add(part, zero)
        for part in (zip(*halves.values(), strict=True) if halves else [()] * len(GATES))
    ]
    if lstm.offset:
        effective[1] = [value + lstm.offset for value in effective[1]]
    if (
        lstm.coupled
    ):  # 1 - sigmoid(x) = sigmoid(-x); unfolding refuses gates of which that is not true
        tied, free = (1, 0) if lstm.coupled == "f" else (0, 1)
        effective[tied] = [-value for value in effective[free]]
    return Values(halves, tuple(effective))


def _add(parts: Sequence[Sequence[float]], zero: Sequence[float]) -> Sequence[float]:
    if len(parts) == 2:
        return list(map(add, *parts))
    if len(parts) == 1:
        return parts[0]
    return [math.fsum(column) for column in zip(*parts, strict=True)] if parts else zero


def _term_values(term: Term, cache: dict[int, Sequence[float]]) -> Sequence[float]:
    """block * mask * exp(log_scale); see `Term`."""
    _, _, block, mask, log_scale, _ = term
    values = _block_values(block, cache)
    if mask is not None:
        values = [v * m for v, m in zip(values, _block_values(mask, cache), strict=True)]
    if log_scale is not None:
        scale = _exp(read_block(whole_block(log_scale))[0])
        values = [v * scale for v in values]
    return values


def _block_values(block: Block, cache: dict[int, Sequence[float]]) -> Sequence[float]:
    """A block's numbers by way of its whole tensor, which the other three gates share."""
    tensor, _, start, stop, step = block
    whole = cache.get(id(tensor))
    if whole is None:  # as floats: packed, each would be made anew by whoever looks at it
        whole = cache[id(tensor)] = read_block(whole_block(tensor))
    return whole[start:stop:step]


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
    """-1 / ln sigmoid(x) = 1 / ln(1 + e^-x), in steps; exact where sigmoid(x) itself has rounded to
    1.
    """
    if x < -30.0:
        return -1.0 / x  # ln(1 + e^-x) = -x to the last bit
    decay = math.log1p(math.exp(-x)) if x < 745.0 or x != x else 0.0
    return 1.0 / decay if decay else math.inf


def time_scale_of(activation: float) -> float:
    """-1 / ln f, in steps, for an activation that is no sigmoid."""
    if activation <= 0.0:
        return 0.0
    return math.inf if activation >= 1.0 else -1.0 / math.log(activation)


def time_scale_of_bias(bias: float, function: str) -> float:
    """-1 / ln f, in steps, under a gate's activation function."""
    if function == "sigmoid":
        return time_scale(bias)
    return time_scale_of(ACTIVATIONS[function](bias))


class _Activations(dict[str, Callable[[float], float]]):
    """By name; one with numbers of its own is made when it is first asked for."""

    def __missing__(self, name: str) -> Callable[[float], float]:
        shape = parse_activation(name)
        hard = shape.kind == "hard_sigmoid"
        gate = partial(slope, shape.alpha, shape.beta) if hard else sigmoid
        self[name] = partial(clip_input, gate, shape.clip) if shape.clip else gate
        return self[name]


def slope(alpha: float, beta: float, x: float) -> float:
    """ONNX's HardSigmoid: alpha x + beta between 0 and 1."""
    return min(max(alpha * x + beta, 0.0), 1.0) if x == x else x


def clip_input(gate: Callable[[float], float], clip: float, x: float) -> float:
    """A gate whose input is limited to [-clip, clip] first."""
    return gate(min(max(x, -clip), clip) if x == x else x)


ACTIVATIONS: Mapping[str, Callable[[float], float]] = _Activations(
    sigmoid=sigmoid, hard_sigmoid=hard_sigmoid
)


def measure(lstm: Lstm, values: Values) -> Measures:
    """All statistics of one LSTM. The activation rises with the bias, so one sorting serves all
    three of its kind.
    """
    biases = sorted(values.forget)
    active, scales = _active(biases, lstm.activation_function)
    activation, scale = of_sorted(active), of_sorted(scales)
    sorted_gates = [biases if k == 1 else sorted(gate) for k, gate in enumerate(values.effective)]
    return Measures(
        gates={g: of_sorted(v) for g, v in zip(GATES, sorted_gates, strict=True)},
        difference=_difference(values) if lstm.two_halves else None,
        activation=activation,
        time_scale=scale,
        half_life=Stats._make([value * LN2 for value in scale]),
        histogram=_histogram(
            active if activation.mean == activation.mean else sorted(f for f in active if f == f)
        ),
    )


def _active(biases: Sequence[float], function: str) -> tuple[list[float], list[float]]:
    """Activations and time scales of sorted biases; where no exponential can overflow, without a
    call a unit.
    """
    if function != "sigmoid":
        active = [ACTIVATIONS[function](b) for b in biases]
        return active, [time_scale_of(f) for f in active]
    if biases and -30.0 < biases[0] <= biases[-1] < 700.0:
        try:
            exponentials = [exp(-b) for b in biases]
            return [1.0 / (1.0 + e) for e in exponentials], [
                1.0 / decay for decay in map(log1p, exponentials)
            ]
        except (OverflowError, ZeroDivisionError):
            pass  # a NaN has no order: among them the first and the last are not the bounds
    return [sigmoid(b) for b in biases], [time_scale(b) for b in biases]


def _difference(values: Values) -> dict[str, Stats]:
    pairs = zip(GATES, values.halves["ih"], values.halves["hh"], strict=True)
    return {gate: of_sorted(sorted(map(sub, hh, ih))) for gate, ih, hh in pairs}


def _histogram(active: Sequence[float]) -> tuple[int, ...]:
    """Counts of sorted activations, none of them NaN, which belongs to no bin."""
    count = len(active)
    # Only edges between the least and the greatest have a part of them below.
    first, last = (bisect_right(EDGES, f) for f in (active[0], active[-1])) if active else (0, 0)
    between = [bisect_left(active, edge) for edge in EDGES[first:last]]
    below = (*[0] * first, *between, *[count] * (len(EDGES) - last))
    return tuple(map(sub, (*below, count), (0, *below)))


def of_sorted(values: Sequence[float]) -> Stats:
    """Statistics of values in ascending order; all NaN when one of them is."""
    n = len(values)
    if not n:
        return _of_odd(values)
    mean, low, high = sum(values) / n, values[0], values[-1]
    if (
        mean - mean != 0 or high - low == math.inf
    ):  # an infinity, a NaN, or a sum or a way beyond float64
        return _of_odd(values)
    if low == high:
        return Stats(low, 0.0, low, low, low, low, low)
    mean = low if mean < low else high if mean > high else mean  # rounding may lead out
    std = dist(values, (mean,) * n) / sqrt(n)
    (a, p), (b, q), (c, r) = _positions(n)
    p05, p50, p95 = values[a], values[b], values[c]
    p05 += (values[a + 1] - p05) * p
    p50 += (values[b + 1] - p50) * q
    p95 += (values[c + 1] - p95) * r
    return Stats(mean, std, low, p05, p50, p95, high)


def _of_odd(values: Sequence[float]) -> Stats:
    """NaN, infinities or sums beyond float64: the order statistics hold where there is no NaN."""
    if not values or any(v != v for v in values):
        return Stats._make([math.nan] * 7)
    low, high = values[0], values[-1]
    if not math.isinf(low) and not math.isinf(high):
        return _of_large(values)
    mean = math.nan if low == -math.inf and high == math.inf else low if math.isinf(low) else high
    p05, p50, p95 = [_toward(values, k, part) for k, part in _positions(len(values))]
    return Stats(mean, math.nan, low, p05, p50, p95, high)


def _of_large(values: Sequence[float]) -> Stats:
    """Values whose sum overflows: statistics of the values scaled down, scaled up again."""
    scale = 2.0**-64
    return Stats._make([part / scale for part in of_sorted([v * scale for v in values])])


@lru_cache(maxsize=64)
def _positions(n: int) -> list[tuple[int, float]]:
    """p05, p50, p95 stand at position q (n - 1), as in numpy.percentile: the rank below, and the
    part of the way on.
    """
    positions = [share * (n - 1) for share in SHARES]
    return [(int(position), position % 1.0) for position in positions]


def _toward(values: Sequence[float], k: int, part: float) -> float:
    """The value at rank k, or that part of the way to the next one, where the way may be
    endless.
    """
    low = values[k]
    if not part or low == values[k + 1] or (math.isinf(low) and math.isfinite(values[k + 1])):
        return low
    return low + (values[k + 1] - low) * part
