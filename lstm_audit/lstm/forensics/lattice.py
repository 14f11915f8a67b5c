"""Freshness as a proof: do these float32 values still lie where only the generator puts them?

In: values, and the bound k they may have been drawn between. Out: the evidence in bits that they
are untouched draws. It promises never to hold for values that an optimiser has moved, save with
probability 2^-bits.

torch draws a float32 uniform as u·2k − k with u on a grid of 2^-24. Floating point is far finer
than that grid near zero, so a small draw carries mantissa bits that are forced by u, and the first
optimiser step refills them at random. (ATen `TransformationHelper.h`, `uniform_real_distribution`;
cuRAND's u has a grid of 2^-25 below one half.)
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from math import frexp, ldexp, log2
from operator import sub

PROOF = 20.0  # bits: one false proof in a million layers

NearValues = tuple[int, int, list[float]]
"""The sign and the binary exponent that some values share: their last places are equally large. A 0
tells nothing.
"""


# Why this is a proof. torch makes a uniform float32 from 24 random bits: u = m / 2^24, then u * 2k
# - k. Near zero a float32 has far finer steps than that grid has, so of all the floats there only
# every 2^j-th can come out of the generator. A value that has been moved by one optimiser step
# falls on such a place with probability 2^-j. Each small value adds its j bits of evidence; the sum
# over a gate of a hundred units is far beyond any doubt. Large values (near k) carry none.
#
# The two roundings are tried apart because the compiler of torch's build decides between them: a
# fused multiply-add rounds once, separate instructions twice.
def bits(values: Sequence[float], bound: float) -> float:
    """Evidence that `values` are untouched draws from ±bound; -1 when one of them cannot be.

    A compiler may fuse the multiplication and the addition, or not: one rounding or two. Either may
    hold.
    """
    reach = bound / 8 if len(values) >= 256 else bound / 2  # the small ones show the grid best
    near = list(_near(sorted(values), reach))
    return max(_fused(near, bound), _unfused(near, bound))


def _near(values: list[float], reach: float) -> Iterator[NearValues]:
    """Those between ±reach, out of sorted values."""
    negative = values[bisect_right(values, -reach) : bisect_left(values, 0.0)]
    positive = values[bisect_right(values, 0.0) : bisect_left(values, reach)]
    for sign, sizes in (-1, [-v for v in reversed(negative)]), (1, positive):
        at = 0
        while at < len(sizes):
            exponent = frexp(sizes[at])[1]
            end = bisect_left(sizes, ldexp(1.0, exponent), at)
            yield sign, exponent, [sign * size for size in sizes[at:end]]
            at = end


# `ragged` guards against fixed-point numbers: values that some quantiser has put on a coarser grid
# are on this one too. Drawn values use the last four bits of the grid; quantised ones do not.
def _fused(near: Sequence[NearValues], bound: float) -> float:
    """One rounding: v is a grid point to within half of its own last place.

    A value that was not drawn gets that close with probability twice the tolerance, hence the bits.
    Values whose grid points are *all* divisible by 16 are fixed-point numbers, not draws.
    """
    total, ragged, above = 0.0, False, 2.0**23 / bound
    for sign, exponent, values in near:
        steps = above if sign > 0 else 2 * above
        tolerance = ldexp(steps, exponent - 25)
        if tolerance < 0.25:
            points = [(v + bound) * steps for v in values]
            nearest = list(map(round, points))
            if max(map(abs, map(sub, points, nearest))) > 1.01 * tolerance + 1e-6:
                return -1.0
            total -= len(values) * log2(2 * max(tolerance, 2.0**-11))
            ragged = ragged or any(whole & 15 for whole in nearest)
    return total if ragged else -1.0


def _unfused(near: Sequence[NearValues], bound: float) -> float:
    """Two roundings: u·2k was a float32 before k was taken away, so v + k is one, and v has its low
    bits clear.
    """
    total, ragged, top, above = 0.0, False, frexp(bound)[1], 2.0**23 / bound
    for _, exponent, values in near:
        sums = [v + bound for v in values]
        if array("f", sums).tolist() != sums:
            return -1.0
        total += len(values) * max(0, top - 1 - exponent)
        ragged = ragged or any(int(v * above) & 15 for v in sums)
    return total if ragged else -1.0
