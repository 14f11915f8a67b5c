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

from . import laws
from .bias import Bias
from .sample import Sample
from .trace import TRIANGLE, Gap

# Log odds at which one draw beside a number is taken rather than two draws: by the shape of their
# difference alone, and with what each half keeps of it. Of 6, 8, 12, 16 units that training moved
# by 0.3 k, a set half is named in 40, 62, 77, 87 %, and an added number in 1 to 2 % (1,000 each).
# Steps that are scaled by a tensor's norm move two numbers apart as one draw does, but for its
# shape.
FLAT, ONE_DRAW = 1.5, 4.0


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


def is_one_draw(bias: Bias, gate: int, gap: Gap, reach: float) -> bool:
    """Whether a gate's gap is rather one draw from ±reach beside a number than the difference of
    two, which `bias_hh[f] += 1` leaves.
    """
    flat = flat_odds(gap, reach)
    return flat >= FLAT and flat + still_odds(bias, gate) >= ONE_DRAW


# What one layer's half may say at most: a half that hardly moved would outweigh any shape.
MOST = 8.0


def still_odds(bias: Bias, gate: int) -> float:
    """Log odds that one half of a gate held a number, which only training has moved, against two
    halves that were drawn: then half of their difference is in each.

    Training moves both halves alike, so the number's half goes along with no part of the
    difference, and is spread less than the middle of both, which goes along with half of it. Each
    has its best normal error; the half that speaks more for a number counts.
    """
    ih, hh = bias.ih[gate], bias.hh[gate]
    middle = laws.moments([(a + b) / 2 for a, b in zip(ih, hh, strict=True)])[1]
    still = min(laws.moments(ih)[1], laws.moments(hh)[1])
    if not still or not middle:
        return MOST if middle else 0.0
    return max(-MOST, min(MOST, len(ih) * math.log(middle / still)))


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
