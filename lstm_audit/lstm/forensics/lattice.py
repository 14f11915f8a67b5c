"""Freshness as a proof: do these float32 values still lie where only the generator puts them?

In: values, and the bound k they may have been drawn between. Out: the evidence in bits that they are untouched
draws. It promises never to hold for values that an optimiser has moved, save with probability 2^-bits.

torch draws a float32 uniform as u·2k − k with u on a grid of 2^-24. Floating point is far finer than that grid near
zero, so a small draw carries mantissa bits that are forced by u, and the first optimiser step refills them at random.
(ATen `TransformationHelper.h`, `uniform_real_distribution`; cuRAND's u has a grid of 2^-25 below one half.)
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import frexp, ldexp, log2

from .bias import float32

PROOF = 20.0  # bits: one false proof in a million layers

Signed = tuple[list[float], list[float]]
"""Negative values and positive ones; a draw of 0 tells nothing."""


def bits(values: Sequence[float], bound: float) -> float:
    """Evidence that `values` are untouched draws from ±bound; -1 when one of them cannot be.

    A compiler may fuse the multiplication and the addition, or not: one rounding or two. Either may hold.
    """
    reach = bound / 8 if len(values) >= 256 else bound / 2  # the small ones show the grid best
    near = _near(sorted(values), reach)
    return max(_fused(near, bound), _unfused(near, bound))


def _near(values: list[float], reach: float) -> Signed:
    """Those between ±reach, out of sorted values."""
    return (
        values[bisect_right(values, -reach) : bisect_left(values, 0.0)],
        values[bisect_right(values, 0.0) : bisect_left(values, reach)],
    )


def _fused(near: Signed, bound: float) -> float:
    """One rounding: v is a grid point to within half of its own last place.

    A value that was not drawn gets that close with probability twice the tolerance, hence the bits. Values whose
    grid points are *all* divisible by 16 are fixed-point numbers, not draws.
    """
    total, ragged, above = 0.0, False, 2.0**23 / bound
    for values, steps in zip(near, (2 * above, above), strict=True):
        most = 24 - log2(steps)
        for v in values:
            exponent = frexp(v)[1]
            tolerance = ldexp(steps, exponent - 25)
            if tolerance < 0.25:
                point = (v + bound) * steps
                nearest = round(point)
                if abs(point - nearest) > 1.01 * tolerance + 1e-6:
                    return -1.0
                total += min(most - exponent, 10.0)  # -log2 of twice the tolerance, at least 2^-11
                ragged = ragged or nearest & 15 != 0
    return total if ragged else -1.0


def _unfused(near: Signed, bound: float) -> float:
    """Two roundings: u·2k was a float32 before k was taken away, so v + k is one, and v has its low bits clear."""
    total, ragged, top, above = 0.0, False, frexp(bound)[1], 2.0**23 / bound
    for values in near:
        for v in values:
            if float32(v + bound) != v + bound:
                return -1.0
            total += max(0, top - 1 - frexp(v)[1])
            ragged = ragged or int((v + bound) * above) & 15 != 0
    return total if ragged else -1.0
