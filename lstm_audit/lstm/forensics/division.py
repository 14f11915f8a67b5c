"""One value divided between the two halves of a bias on purpose, told from one written into both.

In: one gate of both halves, and how finely its dtype tells numbers apart. Out: whether they were
divided. It promises to know what `patch --place split` wrote: `enlarged` there makes the first half
a last place larger, and so the second smaller, which a value written twice never is.
"""

from collections.abc import Sequence

MOST = 6.0  # last places between the halves: two to four by design, the rest is rounding
FEWEST = 8  # units in which rounding alone does not tip all to one side


def enlarge(half: float, epsilon: float) -> float:
    """Half a value, a last place or two larger once it is stored. What is then left for the other
    half is smaller by as much, and their sum is as exact as before.
    """
    return half * (1 + epsilon)


def is_divided(ih: Sequence[float], hh: Sequence[float], epsilon: float) -> bool:
    """Whether one half is larger than the other by those last places, the same half in every
    unit.
    """
    if len(ih) < FEWEST and len({*ih}) > 1:
        return False
    return any(ih) and (_is_larger(ih, hh, epsilon) or _is_larger(hh, ih, epsilon))


def _is_larger(one: Sequence[float], other: Sequence[float], epsilon: float) -> bool:
    return all(
        a == b == 0 or (a * b > 0 and 0 < abs(a) - abs(b) <= MOST * epsilon * abs(a))
        for a, b in zip(one, other, strict=True)
    )
