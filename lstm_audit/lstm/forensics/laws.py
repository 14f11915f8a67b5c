"""Distribution tests on plain lists: what a sample could have been drawn from.

In: values. Out: distances, moments, estimates. It promises that every test is scaled so that one
threshold serves all sample sizes: `ks` returns √n·D, of which 1.63 is the 1 % point (Kolmogorov's
limit law; Smirnov 1948).
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import add, sub

KS = 1.63
FAR = 60.0  # e^60 steps is no time scale; also keeps exp() in range

Cdf = Callable[[float], float]


# Kolmogorov-Smirnov without tables: √n D has a limit law that does not depend on n. Where a
# parameter of `cdf` was estimated from the same sample (a scale, an end), D is smaller than the law
# says: such callers use their own, measured, threshold.
def ks(values: Sequence[float], cdf: Cdf) -> float:
    """√n times the greatest distance between the sample's distribution and `cdf`."""
    n = len(values)
    over = [cdf(x) * n - j for j, x in enumerate(sorted(values))]
    return max(max(over), 1 - min(over)) / math.sqrt(n)


def uniform(low: float, high: float) -> Cdf:
    """The law of a uniform draw from [low, high]; of an empty range, a step at low."""
    width = high - low
    if width <= 0:
        return lambda x: float(x >= low)
    return lambda x: (x - low) / width if low < x < high else float(x >= high)


# P(|x| > t) of a triangle on ±r is (1 - t/r)²; the sign says of which tail. Without a call for each
# value: of 512 values that is a seventh of what naming a default costs.
def ks_triangle(values: Sequence[float], reach: float) -> float:
    """`ks` against the law of a difference of two uniforms from ±reach/2."""
    n, ordered = len(values), sorted(values)
    low, middle, high = (bisect_left(ordered, x) for x in (-reach, 0.0, reach))
    below = [0.0] * low + [1 + x / reach for x in ordered[low:middle]]
    above = [1 - x / reach for x in ordered[middle:high]] + [0.0] * (n - high)
    over = [h * h * n / 2 - j for j, h in enumerate(below)]
    over += [n - h * h * n / 2 - j for j, h in enumerate(above, middle)]
    return max(max(over), 1 - min(over)) / math.sqrt(n)


def mean(values: Sequence[float]) -> float:
    """The mean, summed without rounding on the way."""
    return math.fsum(values) / len(values)


def moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (the population's)."""
    n = len(values)
    middle = math.fsum(values) / n
    return middle, math.dist(values, [middle] * n) / math.sqrt(n)


def looks_drawn(draws: Sequence[float], bound: float) -> bool:
    """Whether values within ±bound are spread as a uniform draw is: its shape, and its standard
    deviation ±4σ.
    """
    if not draws or ks(draws, uniform(-bound, bound)) > KS:
        return False
    return abs(moments(draws)[1] * math.sqrt(3) / bound - 1) <= 1.79 / math.sqrt(len(draws))


# chrono sets b_f = ln U(1, T-1). So e^b is uniform from 1 to T-1, and both ends can be read off the
# sample: the lower one is known, the upper is the largest value, stretched by (n+1)/n since a
# sample's maximum falls short of the range by 1/(n+1) on average.
def log_uniform(values: Sequence[float]) -> tuple[float, float]:
    """How far values are from ln U(1, T−1), and T: chrono's law (Tallec & Ollivier 2018,
    1804.11188).

    The top of a uniform sample of n is n/(n+1) of its range on average, whence the estimate of T.
    """
    if min(values) < 0 or max(values) > FAR:
        return math.inf, math.inf
    n, times = len(values), [math.exp(v) for v in values]
    top = 1 + (max(times) - 1) * (n + 1) / n
    return ks(times, uniform(1.0, top)), top + 1


def tells(values: Sequence[float]) -> bool:
    """Whether the test for ln U(1, T−1) says anything of so few values, so close together.

    A default draw with a constant added passes it up to H = 12. Chrono spreads further than 1.5 in
    80 % at H = 8, and in 92 % at 12.
    """
    return len(values) >= 24 or (len(values) >= 8 and max(values) - min(values) >= 1.5)


def log_uniform_between(values: Sequence[float]) -> tuple[float, float, float]:
    """The same law with a lower end of its own, ln U(T_min−1, T−1): distance, T_min, T."""
    if min(values) < 0 or max(values) > FAR:
        return math.inf, math.inf, math.inf
    times = [math.exp(v) for v in values]
    low, high, n = min(times), max(times), len(values)
    margin = (high - low) / (n - 1)
    low, high = max(1.0, low - margin), high + margin
    return ks(times, uniform(low, high)), low + 1, high + 1


def split_odds(half: Sequence[float]) -> float:
    """Log odds that ln U(1, M) was split evenly between two equal halves, against its copy into
    both.

    With u = e^half the density of u is 1/(M−1) if the half was drawn, 2u/(M²−1) if twice the half
    was.
    """
    times = [math.exp(v) for v in half]
    return math.fsum(math.log(2 * u / (max(times) + 1)) for u in times)


def uniform_gate(values: Sequence[float], epsilon: float) -> bool:
    """Whether σ(values) is U(1/H, 1−1/H): the uniform gate initialisation (Gu et al. 2020,
    1910.09890).
    """
    n = len(values)
    if n < 8 or not -FAR < min(values) < 0 < max(values) < FAR:
        return False
    gates = [1 / (1 + math.exp(-v)) for v in values]
    inside = min(gates) >= 1 / n - 2 * epsilon and max(gates) <= 1 - 1 / n + 2 * epsilon
    # The mean sees a lean of the law in few units before its shape does: 2.58σ, the 1 % point.
    upright = abs(math.fsum(gates) / n - 0.5) <= 2.58 * (0.5 - 1 / n) / math.sqrt(3 * n)
    return inside and upright and ks(gates, uniform(1 / n, 1 - 1 / n)) <= KS


def line(values: Sequence[float], noise: Sequence[float]) -> tuple[float, float] | None:
    """The ends, if the values are evenly spaced in the unit's index to twice their noise.

    What noise alone could have put on one line is none: each value between the ends lies within 4
    of their noise by chance in that share of the range, all of them once in a million.
    """
    n, first, last = len(values), values[0], values[-1]
    if n < 4 or 4 * max(noise) > 1e-6 ** (1 / (n - 2)) * abs(last - first):
        return None
    step = (last - first) / (n - 1)
    even = all(
        abs(v - first - step * j) <= 2 * e + 1e-12
        for j, (v, e) in enumerate(zip(values, noise, strict=True))
    )
    return (first, last) if even else None


def lean(values: Sequence[float]) -> tuple[float, float, float]:
    """The least-squares line in the index: its rise from end to end, the share of the variance
    that it leaves, and how far the middle third lies off the outer ones, in units of the rise.
    """
    n, spread = len(values), moments(values)[1]
    places = [2 * j / (n - 1) - 1 for j in range(n)]
    square = math.fsum(x * x for x in places)
    half = math.fsum(x * v for x, v in zip(places, values, strict=True)) / square
    if not spread or not half:
        return 0.0, 1.0, math.inf
    left = max(0.0, 1 - half * half * square / (n * spread * spread))
    third = n // 3
    outer = (mean(values[:third]) + mean(values[-third:])) / 2
    return 2 * half, left, abs(mean(values[third : n - third]) - outer) / abs(2 * half)


def common(values: Sequence[float], noise: Sequence[float]) -> tuple[float, float] | None:
    """The constants that every value could be, give or take its noise."""
    if max(values) - min(values) > 2 * max(noise):
        return None
    low, high = max(map(sub, values, noise)), min(map(add, values, noise))
    return (low, high) if low <= high else None
