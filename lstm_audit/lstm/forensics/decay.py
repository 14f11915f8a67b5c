"""One common decay, and the number behind a constant that it shrank.

In: the traces of one module's recurrences. Out: the factor by which their drawn gaps shrank, and
what a constant beside them was. It promises a number only where one that people write is three
times as likely as all others together; else the name stands without it.

Decoupled weight decay, and L2 under SGD, multiply every d by one factor s. Two draws from ±k show
it: their difference had the spread k√(2/3). L2 inside Adam shrinks each gate by its own, and there
is no factor.
"""

import math
from collections.abc import Sequence

from ...tuples import NamedTuple
from .bias import F, G, I, O
from .odds import uniform_odds
from .trace import Gap, Trace

# Forget biases that people write, and how often, by and large.
WRITTEN = {
    1.0: 6.0, 2.0: 3.0, 3.0: 3.0, 0.5: 2.0, 5.0: 2.0, 1.5: 1.0, 4.0: 1.0, 10.0: 1.0, 6.0: 0.5,
    8.0: 0.5,
}  # fmt: skip

# √n times the relative standard error of a standard deviation of n differences of two draws.
SIGMA = 0.592

FREE = 0.6  # how often nothing decays
SURE = 0.75


class Factor(NamedTuple):
    """What is left of every d, and its standard error."""

    scale: float
    sigma: float

    def is_whole(self) -> bool:
        """Whether nothing decayed, by all that can be told."""
        return abs(self.scale - 1) <= 3 * self.sigma / self.scale + 0.01


def scale_of(gaps: Sequence[Gap], bound: float) -> Factor:
    """How far the gaps of one recurrence are spread, in units of two default draws."""
    n = sum(len(gap.d) for gap in gaps)
    scale = math.sqrt(math.fsum(gap.unit(bound) ** 2 for gap in gaps) / len(gaps))
    return Factor(scale, SIGMA / math.sqrt(n) * scale)


def factor_of(traces: Sequence[Trace]) -> Factor | None:
    """The decay that all drawn gaps of a module share; None where they did not shrink alike."""
    drawn = [
        (len(gap.d), gap.unit(trace.bias.bound))
        for trace in traces
        for gap in trace.gaps
        if gap.kind == "R" and gap.is_centred()
    ]
    n = sum(size for size, _ in drawn)
    if not n:
        return None
    scale = math.sqrt(math.fsum(size * unit**2 for size, unit in drawn) / n)
    alike = all(abs(u - scale) <= (2.66 / math.sqrt(size) + 0.02) * scale for size, u in drawn)
    if not alike or scale > 1 + 1.78 / math.sqrt(n) + 0.01:
        return None
    return Factor(scale, SIGMA / math.sqrt(n) * scale)


def shape(factor: Factor | None, drawn: Sequence[Gap]) -> Factor | None:
    """The decay, if the drawn gaps are clearly differences of two draws, or clearly single ones,
    which spread 1/√2 as far; else None.
    """
    if factor is None or not drawn:
        return None
    odds = uniform_odds(drawn)
    if odds < -1:
        return factor
    root = math.sqrt(0.5)
    return Factor(factor.scale / root, factor.sigma / root) if odds > 3 else None


# A number is said in two cases. Nothing decayed, by the other gates and by the forget gate's own
# draw: then it is today's mean, or the written number beside it. Something clearly did: then it is
# the written number that the common factor leads back to. What lies between has a name, no number.
def number_set(trace: Trace, factor: Factor | None) -> float | None:
    """The number that one forget half was set to, the other being drawn; None where it is not sure.

    L2 inside Adam shrinks the forget gate most, so its own draw must have shrunk as is said.
    """
    gap, size, bound = trace.gaps[F], trace.bias.size, trace.bias.bound
    if size < 16:  # too few to show a decay
        return None
    raw, error = abs(gap.mean), bound / math.sqrt(3 * size)
    others = factor or scale_of([trace.gaps[g] for g in (I, G, O)], bound)
    own = gap.unit(bound) / math.sqrt(0.5)
    own_sigma = 0.447 / math.sqrt(size)  # of the spread of one uniform draw
    nearest = min(WRITTEN, key=lambda c: abs(raw - c))
    if others.is_whole() and abs(own - 1) <= 2 * own_sigma + 0.01:
        if abs(raw - nearest) <= (4 if size >= 32 else 2.5) * error:
            return nearest
        reach = 2.5 * others.sigma
        decayed = any(abs(raw / c - others.scale) <= reach for c in WRITTEN if raw < c)
        return None if decayed or others.sigma > 0.045 else raw
    value = worth(raw, error, others)
    alike = abs(own - others.scale) <= 2 * math.hypot(own_sigma * own, others.sigma)
    return value if factor and factor.sigma <= 0.04 and alike else None


def exact_number(gap: Gap, factor: Factor | None) -> float | None:
    """The number behind a gap that is one constant in every unit, so exact that it shrank as the
    drawn gates did.

    Where it is a written number as it is, and they shrank, two stories fit: then it is none.
    """
    raw = abs(gap.level)
    error = max(1e-4 * raw, gap.mean_noise() / 30)
    written = min(abs(raw - c) for c in WRITTEN) <= 4 * error
    if factor is None:
        return worth(raw, error, None)
    if factor.is_whole():
        value = worth(raw, error, None)
        near = any(abs(raw / c - factor.scale) <= 2.5 * factor.sigma for c in WRITTEN if raw < c)
        return value if value or near or factor.sigma > 0.045 else raw
    sharp = factor.sigma <= 0.045 * factor.scale
    return worth(raw, error, factor) if sharp and not written else None


def nearest_written(raw: float, error: float) -> float | None:
    """The number that people write within 2.5 standard errors of one, if there is one."""
    nearest = min(WRITTEN, key=lambda c: abs(raw - c))
    return nearest if abs(raw - nearest) <= 2.5 * error else None


def worth(mean: float, error: float, factor: Factor | None) -> float | None:
    """The constant behind `mean`, which is known to `error`; None where that is not clear.

    Either nothing decayed and the mean is a number that people write, or mean / s is one. An exact
    1.0000 wins by c/(error √2π) against any decay: chance seldom ends there.
    """
    s, sigma = factor or Factor(1.0, 10.0)
    odds: dict[float, float] = {}
    for c, weight in WRITTEN.items():
        left = mean / c
        spread = math.hypot(sigma / s * min(left, 1.2), error / c)
        here = 0.0
        if factor and left <= 1.0 + 3 * spread:
            here += (1 - FREE) / c * math.exp(-0.5 * ((left - s) / spread) ** 2)
        if abs(mean - c) <= 4 * error:
            hit = math.exp(-0.5 * ((mean - c) / error) ** 2) / (error * math.sqrt(2 * math.pi))
            here += FREE * hit * max(1e-3, math.exp(-0.5 * ((1 - s) / sigma) ** 2))
        odds[c] = weight * here
    best, total = max(odds, key=odds.__getitem__), math.fsum(odds.values())
    if not total > 0 or odds[best] < SURE * total:
        return None
    if not factor or abs(mean - best) <= 4 * error:
        return best
    # People write other numbers too: undone, the decay must lead to this one within 7 %.
    fits = abs(mean / s / best - 1) <= 0.07
    return best if fits else None
