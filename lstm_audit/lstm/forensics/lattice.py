"""Freshness as a proof: do these float32 values still lie where only the generator puts them?

In: values, and the bound k they may have been drawn between. Out: the evidence in bits that they are untouched
draws. It promises never to hold for values that an optimiser has moved, save with probability 2^-bits.

torch draws a float32 uniform as u·2k − k with u on a grid of 2^-24. Floating point is far finer than that grid near
zero, so a small draw carries mantissa bits that are forced by u, and the first optimiser step refills them at random.
(ATen `TransformationHelper.h`, `uniform_real_distribution`; cuRAND's u has a grid of 2^-25 below one half.)
"""

import math
from collections.abc import Sequence

from .bias import float32

PROOF = 20.0  # bits: one false proof in a million layers


def bits(values: Sequence[float], bound: float) -> float:
    """Evidence that `values` are untouched draws from ±bound; -1 when one of them cannot be.

    A compiler may fuse the multiplication and the addition, or not: one rounding or two. Either may hold.
    """
    reach = bound / 8 if len(values) >= 256 else bound / 2  # the small ones show the grid best
    near = [v for v in values if -reach < v < reach and v]
    return max(_fused(near, bound), _unfused(near, bound))


def _fused(near: list[float], bound: float) -> float:
    """One rounding: v is a grid point to within half of its own last place.

    A value that was not drawn gets that close with probability twice the tolerance, hence the bits. Values whose
    grid points are *all* divisible by 16 are fixed-point numbers, not draws.
    """
    total, ragged, above = 0.0, False, 2.0**23 / bound
    for v in near:
        steps = above if v > 0 else 2 * above
        tolerance = math.ldexp(steps, math.frexp(v)[1] - 25)
        if tolerance < 0.25:
            point = (v + bound) * steps
            nearest = round(point)
            if abs(point - nearest) > 1.01 * tolerance + 1e-6:
                return -1.0
            total -= math.log2(2 * max(tolerance, 2.0**-11))
            ragged = ragged or nearest & 15 != 0
    return total if ragged else -1.0


def _unfused(near: list[float], bound: float) -> float:
    """Two roundings: u·2k was a float32 before k was taken away, so v + k is one, and v has its low bits clear."""
    total, ragged, top, above = 0.0, False, math.frexp(bound)[1], 2.0**23 / bound
    for v in near:
        if float32(v + bound) != v + bound:
            return -1.0
        total += max(0, top - 1 - math.frexp(v)[1])
        ragged = ragged or int((v + bound) * above) & 15 != 0
    return total if ragged else -1.0
