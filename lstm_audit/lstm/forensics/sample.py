"""What likelihood ratios need of a sample, added up once.

In: differences of the halves, and the bound of their draws. Out: a `Sample`. It promises that the
samples of several layers, each in units of its own bound, add up to that of all their values.
"""

import math
from collections.abc import Sequence

from ...tuples import NamedTuple

SLACK = 1e-4  # what rounding may put a gap beyond two draws' reach, in shares of it
EDGE = 2 * (1 + 2 * SLACK)  # from where heights are measured: none within SLACK is 0

# Heights whose product stays a number: each is 2 SLACK or more.
CHUNK = 64


class Sample(NamedTuple):
    """`size` values in units of their bound: the greatest, the sum of squares, and the log of the
    product of what they leave to EDGE (-inf where one lies beyond two draws' reach).
    """

    size: int
    top: float
    square: float
    log_heights: float

    def is_within(self) -> bool:
        """Whether no value lies beyond what two draws can differ by."""
        return self.top < 2 * (1 + SLACK)

    def spread(self) -> float:
        """The root mean square, in units of the bound."""
        return math.sqrt(self.square / self.size)


# A logarithm of each product instead of one of each value: an eighth of the cost at H = 128.
def sample_of(values: Sequence[float], bound: float) -> Sample:
    """The sums of one sample."""
    sizes = [abs(value) / bound for value in values]
    top, square = max(sizes), math.hypot(*sizes) ** 2
    if top >= 2 * (1 + SLACK):
        return Sample(len(sizes), top, square, -math.inf)
    heights = [EDGE - size for size in sizes]
    products = (math.prod(heights[at : at + CHUNK]) for at in range(0, len(heights), CHUNK))
    return Sample(len(sizes), top, square, math.fsum(map(math.log, products)))


def join(samples: Sequence[Sample]) -> Sample:
    """The sums of several samples together."""
    return Sample(
        sum(sample.size for sample in samples),
        max(sample.top for sample in samples),
        math.fsum(sample.square for sample in samples),
        math.fsum(sample.log_heights for sample in samples),
    )
