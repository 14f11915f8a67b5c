"""Likelihood ratios: of two laws, which one explains the differences of the halves better.

In: the gaps d = hh − ih of some gates. Out: log odds. It promises that a law is compared with its
rival at the rival's best width, so that a wrong width never speaks for it.

A test of one law alone (Kolmogorov's) hardly tells a triangle from a uniform or a normal law of its
spread: their greatest distance is .043, which shows from H = 200 on. Simulated, the ratios reject a
zeroed half at the default's spread in 95 % at H = 8 and always from 16, a normal law in 65 % at 16
and 97 % at 64; a true default is lost in 14 % at 8, 5 % at 16, 2 % at 32.
"""

import math
from collections.abc import Sequence

from .sample import Sample
from .trace import TRIANGLE, Gap

# Log odds at which one draw is ten times as likely as two, about a middle: 16 units of one draw
# reach it in 97 %, 8 in 55 %; two draws in 1 % and 5 %.
ONE_DRAW = 2.3


def rivals(sample: Sample) -> tuple[float, float]:
    """Log odds of the difference of two draws against the best uniform law, and the best normal
    one.

    The rivals' widths are fitted, which is worth half a unit to them.
    """
    if not sample.is_within():
        return -math.inf, -math.inf
    n = sample.size
    own = sample.log_heights - n * math.log(4) + 0.5
    uniform = -n * math.log(2 * sample.top * (n + 1) / n)
    normal = -n * (0.5 + math.log(sample.spread() * math.sqrt(2 * math.pi)))
    return own - uniform, own - normal


def is_triangular(sample: Sample) -> bool:
    """Whether neither rival explains the gaps clearly better than two default draws."""
    uniform, normal = rivals(sample)
    return uniform >= (0.0 if sample.size >= 96 else -1.0) and normal >= -1.5


def uniform_odds(gaps: Sequence[Gap]) -> float:
    """Log odds that gaps are single draws (the other half was zeroed) against differences of two,
    each at its best width.
    """
    values = [abs(v) for gap in gaps for v in gap.d]
    n, top = len(values), max(values)
    edge = top * (n + 1) / n
    wide = max(edge, 2 * math.hypot(*values) / math.sqrt(n) / TRIANGLE)
    heights = [1 - v / (wide * (1 + 1e-9)) + 1e-9 for v in values]
    two = math.fsum(map(math.log, heights)) - n * math.log(wide)
    return -n * math.log(2 * edge) - two


def flat_odds(gap: Gap, reach: float) -> float:
    """Log odds of one draw from ±reach about the gap's middle, against the difference of two."""
    middle = (max(gap.d) + min(gap.d)) / 2
    return -math.fsum(math.log(max(1 - abs(v - middle) / (2 * reach), 1e-3)) for v in gap.d)


def normal_odds(gap: Gap, reach: float) -> float:
    """Log odds of one draw from ±reach about the gap's middle, against the best normal law."""
    n, top = len(gap.d), max(gap.d) - min(gap.d)
    wide = max(2 * reach, top * (n + 1) / n)
    return n * (0.5 + math.log(gap.std * math.sqrt(2 * math.pi)) - math.log(wide))


def chrono_odds(values: Sequence[float]) -> float:
    """Log odds of ln U(1, T−1), T fitted, against the best normal law or the best uniform one.

    Its density is e^v up to a sharp end: ¼ nat a value or more from a normal law. The normal law
    has one fitted number more, which is worth half a unit to it.
    """
    n, top, low = len(values), max(values), min(values)
    middle = math.fsum(values) / n
    spread = math.sqrt(math.fsum((v - middle) ** 2 for v in values) / n)
    own = n * (middle - top - math.log((n + 1) / n))
    normal = -n * (0.5 + math.log(max(spread, 1e-9) * math.sqrt(2 * math.pi))) - 0.5
    uniform = -n * math.log(max((top - low) * (n + 1) / (n - 1), 1e-9))
    return own - max(normal, uniform)
