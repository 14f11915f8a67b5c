"""Quantiles of the gamma law, which one preset needs and Python's library has not.

Comes in: the shape and a probability, with its complement. Goes out: the value below which the law
lies with that probability. Promise: right to a few units in the last place, at both ends, by series
or continued fraction (DLMF 8.7.1 and 8.9.2).
"""

import math


def gamma_quantile(a: float, p: float, q: float) -> float:
    """The x at which a gamma variable of shape 0 < a < 1 lies below with probability p, above with
    q = 1 − p.

    Newton's method on ln P over ln x for p ≤ ½, concave, and on ln Q over x beyond, convex for a <
    1; both climb from the lower bound x₀ = (p Γ(a+1))^(1/a) (DLMF 8.7.1: P ≤ x^a/Γ(a+1)) and cannot
    overshoot.
    """
    x = math.exp((math.log(p) + math.lgamma(a + 1.0)) / a)
    while True:
        density = math.exp(a * math.log(x) - x - math.lgamma(a))  # x times it
        below, above = _gamma_parts(a, x)
        if p <= 0.5:
            better = x * math.exp((math.log(p) - math.log(below)) * below / density)
        else:
            better = x + (math.log(above) - math.log(q)) * above * x / density
        if better <= x * (1.0 + 1e-9):  # each step squares the error: what is left is rounding
            return better
        x = better


def _gamma_parts(a: float, x: float) -> tuple[float, float]:
    """P(a, x) and Q(a, x), the regularised incomplete gamma functions, each where it is small
    without cancellation.
    """
    scale = math.exp(a * math.log(x) - x - math.lgamma(a))
    if x < a + 1.0:
        below = scale * _series(a, x)
        return below, 1.0 - below
    above = scale * _fraction(a, x)
    return 1.0 - above, above


def _series(a: float, x: float) -> float:
    """Σ x^k / (a)_{k+1}, DLMF 8.7.1."""
    term = total = 1.0 / a
    k = 1.0
    while term > total * 1e-17:
        term *= x / (a + k)
        total += term
        k += 1.0
    return total


def _fraction(a: float, x: float) -> float:
    """The continued fraction 1/(x+1−a− 1(1−a)/(x+3−a− 2(2−a)/(x+5−a− …))), DLMF 8.9.2 contracted,
    by Lentz.
    """
    b = x + 1.0 - a
    c, d = math.inf, 1.0 / b
    total, k, change = d, 0.0, 0.0
    while abs(change - 1.0) > 4e-16:  # a tighter bound may never be met: c d rounds twice
        k += 1.0
        part = k * (a - k)
        b += 2.0
        c = b + part / c
        d = 1.0 / (b + part * d)
        change = c * d
        total *= change
    return total
