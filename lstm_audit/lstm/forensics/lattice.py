"""Freshness as a proof: do these float32 values still lie where only the generator puts them?

In: values, and the bound k they may have been drawn between. Out: the evidence in bits that they
are untouched draws. It promises never to hold for values that an optimiser has moved, save with
probability 2^-bits.

torch draws a float32 uniform as u·2k − k with u on a grid of 2^-24. Floating point is far finer
than that grid near zero, so a small draw carries mantissa bits that are forced by u, and the first
optimiser step refills them at random. (ATen `TransformationHelper.h`, `uniform_real_distribution`;
cuRAND's u has a grid of 2^-25 below one half.)

A lattice is no proof by itself: numbers that were drawn from ±2^-n, rounded to 2^-n, or cut to
fewer mantissa bits may lie on it too. So the values must need its finest steps, those near ±k among
them, and the largest must come as near to k as that many draws do.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import repeat
from math import frexp, gcd, ldexp, log2, remainder
from operator import sub

from ...tuples import NamedTuple

# Why this is a proof. torch makes a uniform float32 from 24 random bits: u = m / 2^24, then u * 2k
# - k. Near zero a float32 has far finer steps than that grid has, so of all the floats there only
# every 2^j-th can come out of the generator. A value that has been moved by one optimiser step
# falls on such a place with probability 2^-j. Each small value adds its j bits of evidence; the sum
# over a gate of a hundred units is far beyond any doubt. Large values (near k) carry none.
#
# The two roundings are tried apart because the compiler of torch's build decides between them: a
# fused multiply-add rounds once, separate instructions twice.
PROOF = 20.0  # bits: one false proof in a million layers
LN2 = 0.6931471805599453
STEPS = (6, 23)  # sizes of steps that are tried, 2^-6 to 2^-22
ENOUGH = 16  # draws of which, but for 2^-16, one is odd

# The sign and the binary exponent that some values share: their last places are equally large. A 0
# tells nothing.
NearValues = tuple[int, int, list[float]]


class Proof(NamedTuple):
    """`bits` of evidence that values are untouched draws; -1 where one of them cannot be.

    `blind`: a step of exactly 2^-n ends on the lattice too, and leaves no trace but at its ends:
    where 1/k is a whole number (H is a square: 16, 64, 100), or two roundings were taken, of which
    the first does not show against each such step.
    """

    bits: float
    blind: bool

    @property
    def holds(self) -> bool:
        return self.bits >= PROOF


def bits(values: Sequence[float], bound: float) -> float:
    """Evidence that `values` are untouched draws from ±bound; -1 when one of them cannot be."""
    return prove(values, bound).bits


# The common divisor of the grid points, in halves of torch's step: 1 for cuRAND's draws, 2 for
# torch's, 4 where u has 23 bits (JAX, TensorFlow).
TORCH, JAX = 2, 4


def prove(values: Sequence[float], bound: float, coarsest: int = TORCH) -> Proof:
    """Hold values against the lattice of draws from ±bound, whose grid is no coarser than said.

    A compiler may fuse the multiplication and the addition, or not: one rounding or two. Either may
    hold.
    """
    ordered = sorted(values)
    blind = abs(1 / bound - round(1 / bound)) <= 2.0**-23 / bound
    if not _reaches(ordered, bound) or not _is_finest(ordered, bound):
        return Proof(-1.0, blind)
    reach = bound / 8 if len(values) >= 256 else bound / 2  # the small ones show the grid best
    near = list(_near(ordered, reach))
    fused = _miss_if_fused(near, bound, coarsest)
    if fused >= PROOF or _fits_a_rounder_bound(ordered, bound):
        return Proof(fused, blind)
    unfused = _miss_if_unfused(near, bound)
    if fused >= unfused:
        return Proof(fused, blind)
    return Proof(unfused, blind or _miss_if_stepped([*_near(ordered, bound / 2)], bound) < PROOF)


def _reaches(ordered: Sequence[float], bound: float) -> bool:
    """Whether the largest is as near to the bound as n draws bring it, but for 2^-20."""
    if not ordered:
        return False
    top = max(-ordered[0], ordered[-1])
    return top >= bound * (1 - PROOF * LN2 / len(ordered))


def _is_finest(ordered: Sequence[float], bound: float) -> bool:
    """Whether some of the values beyond half the bound need the last place of a binary lattice.

    Mantissas cut short pass for draws where the values are small: there they still reach its steps.
    """
    if frexp(bound)[0] != 0.5:
        return True
    steps = 2.0**23 / bound
    far = [
        *ordered[: bisect_right(ordered, -bound / 2)],
        *ordered[bisect_left(ordered, bound / 2) :],
    ]
    return len(far) < ENOUGH or any(int(v * steps) & 1 for v in far)


def _fits_a_rounder_bound(ordered: Sequence[float], bound: float) -> bool:
    """Whether all values lie within a power of two below the bound: draws from there look the same
    after two roundings.
    """
    rounder = ldexp(1.0, frexp(bound)[1] - 1)
    return rounder < bound and -rounder <= ordered[0] and ordered[-1] <= rounder


def _near(values: list[float], reach: float) -> Iterator[NearValues]:
    """Those between ±reach, out of sorted values."""
    at, end = bisect_right(values, -reach), bisect_left(values, reach)
    while at < end:
        exponent = frexp(values[at])[1]
        if values[at] < 0:
            stop = bisect_right(values, -ldexp(0.5, exponent), at, end)
            yield -1, exponent, values[at:stop]
        elif values[at] > 0:
            stop = bisect_left(values, ldexp(1.0, exponent), at, end)
            yield 1, exponent, values[at:stop]
        else:
            stop = bisect_right(values, 0.0, at, end)
        at = stop


def _miss_if_fused(near: Sequence[NearValues], bound: float, coarsest: int) -> float:
    """One rounding: v is a grid point to within half of its own last place.

    A value that was not drawn gets that close with probability twice the tolerance, hence the bits.
    Values whose grid points have a common divisor lie on a coarser grid: they are not draws. (It is
    counted in halves, for cuRAND's sake, so that of torch's own draws is 2.)
    """
    total, divisor, above = 0.0, 0, 2.0**23 / bound
    for sign, exponent, values in near:
        steps = above if sign > 0 else 2 * above
        tolerance = ldexp(steps, exponent - 25)
        if tolerance < 0.25:
            points = [(v + bound) * steps for v in values]
            nearest = list(map(round, points))
            if max(map(abs, map(sub, points, nearest))) > 1.01 * tolerance + 1e-6:
                return -1.0
            total -= len(values) * log2(2 * max(tolerance, 2.0**-11))
            halves, zero = (2, 1 << 23) if sign > 0 else (1, 1 << 24)
            divisor = gcd(divisor, halves * gcd(*map(sub, nearest, repeat(zero))))
    return total if 0 < divisor <= coarsest else -1.0


def _miss_if_unfused(near: Sequence[NearValues], bound: float) -> float:
    """Two roundings: u·2k was a float32 before k was taken away, so v + k is one, and v has its low
    bits clear; but not one more in all of them.
    """
    total, ragged, top = 0.0, False, frexp(bound)[1]
    grid = ldexp(1.0, 24 - top)
    for _, exponent, values in near:
        sums = [v + bound for v in values]
        if array("f", sums).tolist() != sums:
            return -1.0
        total += len(values) * max(0, top - 1 - exponent)
        ragged = ragged or any(int(v * grid) & 1 for v in values)
    return total if ragged else -1.0


# Of torch before fused multiply-adds, and of JAX and numpy.
def _miss_if_stepped(near: Sequence[NearValues], bound: float) -> float:
    """Two roundings, of which the first was that of m / 2^24 * 2k for a whole m: evidence, against
    every step of exactly 2^-n, that no value has taken one; -1 where one is no such draw.

    From k/2 to 2k nothing is lost when k is taken away, so v + k is what was rounded first. Where
    its last place is finer than the generator's step, the floats that are drawn lie about the
    multiples of that step, and a shift by a part of a step takes some of them off.
    """
    step = ldexp(bound, -23)
    shares: Counter[float] = Counter()
    for _, _, values in near:
        for first in (v + bound for v in values):
            place = ldexp(1.0, frexp(first)[1] - 24)
            if place < step:
                if abs(round(first / step) * step - first) > place / 2:
                    return -1.0
                shares[place / step] += 1
    shifts = [abs(remainder(ldexp(1.0, -n) / step, 1.0)) for n in range(*STEPS)]
    return min(sum(n * -log2(_stay(share, by)) for share, n in shares.items()) for by in shifts)


def _stay(share: float, shift: float) -> float:
    """How likely a value within ±share/2 of a multiple of 1 is within it again after a shift."""
    return max((max(0.0, share - shift) + max(0.0, share - 1 + shift)) / share, 2.0**-11)
