"""The eight blocks of one LSTM's bias, and how finely their values could be told apart.

In: both halves and the dtype they are stored in. Out: a `Bias`, the thing that every test looks at.
It promises values that arithmetic cannot trip over: finite, below 1e30, two units or more, all
blocks of one length.
"""

import math
from array import array
from collections.abc import Sequence
from itertools import chain

from ...tuples import NamedTuple

Halves = Sequence[Sequence[float]]
I, F, G, O = range(4)  # noqa: E741  (the gates are called that)

# The spacing of numbers just above 1.
EPSILON = {
    "float64": 2.0**-52,
    "float32": 2.0**-23,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float8_e4m3fn": 2.0**-3,
    "float8_e5m2": 2.0**-2,
}


# Everything downstream asks of a block which of four things it is, so that is decided once, here.
# Bit-equality matters: training moves every unit of a block by its own gradient, so a block of one
# bit-equal constant (C, Z) was not trained. U is a range, not a proof of a draw: `lattice` proves
# it for float32, a distribution test makes it likely otherwise.
class Bias(NamedTuple):
    """`ranked` are the blocks of both halves, each in ascending order; `bound` is k = 1/√H, between
    whose signs torch draws; `kinds` has two letters a gate, `ih` before `hh`:

    Z all 0, C one constant (bit-equal), U within ±k, N anything else.
    """

    ih: Halves
    hh: Halves
    ranked: tuple[Halves, Halves]
    size: int
    bound: float
    epsilon: float
    coarse: bool
    held: str
    kinds: tuple[str, str, str, str]

    def draws(self, gates: Sequence[int] = range(4)) -> list[float]:
        """The values of all blocks that may have been drawn from ±k, in ascending order."""
        blocks = (
            (half[g], kind)
            for g in gates
            for half, kind in zip(self.ranked, self.kinds[g], strict=True)
        )
        # Sorting merges runs that are in order: half of what it takes to sort the values anew.
        return sorted(chain.from_iterable(block for block, kind in blocks if kind == "U"))

    def values(self) -> list[float]:
        return join_halves(self.ih, self.hh)


def join_halves(ih: Halves, hh: Halves) -> list[float]:
    """The values of all blocks, one after the other."""
    return list(chain(*ih, *hh))


def float32(x: float) -> float:
    """The nearest float32."""
    return array("f", (x,))[0]


# One hypot over all values is infinite or NaN if any value is, and large if any is large: the usual
# bias passes with one call, and only a failure is looked at closely.
def unfit(ih: Halves, hh: Halves) -> str | None:
    """Why these biases cannot be asked, or None."""
    sizes = {len(block) for half in (ih, hh) for block in half}
    if len(ih) != 4 or len(hh) != 4 or len(sizes) != 1:
        return "not two halves of four equal gates"
    if min(sizes) < 2:
        return "a single unit has no distribution"
    # The quickest question that no NaN, infinity or large value passes.
    if all(math.hypot(*block) < 1e30 for half in (ih, hh) for block in half):
        return None
    values = join_halves(ih, hh)
    if not all(map(math.isfinite, values)):
        return "NaN or infinity in the bias"
    return "values beyond any initialiser" if max(map(abs, values)) >= 1e30 else None


# A model trained in bfloat16 and saved as float32 has 16 zero bits in every value. Forensics must
# know: its grid is 2^-7 relative, and "bit-equal" or "on the lattice" then mean much less. The
# first sixteen values tell for almost every tensor that it was not so.
def find_held_dtype(blocks: Halves, dtype: str) -> str:
    """A tensor that was cast up keeps only the mantissa of the narrower type that held it
    before.
    """
    first = blocks[0][:SAMPLE]
    if dtype == "float64" and _is_float32(first) and all(map(_is_float32, blocks)):
        dtype = "float32"
    if dtype != "float32":
        return dtype if dtype in EPSILON else "float32"
    for name, spare in (("bfloat16", 0xFFFF), ("float16", 0x1FFF)):
        if _spares(first, spare) and all(_spares(block, spare) for block in blocks):
            return name
    return dtype


SAMPLE = 16  # values that most often tell already what no narrower type has held


def _is_float32(values: Sequence[float]) -> bool:
    return array("f", values).tolist() == [*values]


def _spares(values: Sequence[float], bits: int) -> bool:
    """Whether none of the values needs these bits of a float32."""
    return not any(word & bits for word in memoryview(array("f", values)).cast("B").cast("I"))


def kind(ranked: Sequence[float], bound: float) -> str:
    """The letter of a block in ascending order; see `Bias`."""
    low, high = ranked[0], ranked[-1]
    if low == high:
        return "C" if low else "Z"
    return "U" if -bound <= low and high <= bound else "N"


def sort_blocks(ih: Halves, hh: Halves, dtype: str, scale: float = 1.0) -> Bias:
    """Sort the blocks; `scale` 0.5 asks about draws from ±k/2. `unfit` has said None."""
    held = find_held_dtype([*ih, *hh], dtype)
    size, epsilon = len(ih[0]), EPSILON[held]
    bound = float32(scale / math.sqrt(size))
    ranked, reach = (_rank(ih), _rank(hh)), bound * (1 + epsilon)
    i, f, g, o = (kind(a, reach) + kind(b, reach) for a, b in zip(*ranked, strict=True))
    coarse = held not in ("float64", "float32")
    return Bias(ih, hh, ranked, size, bound, epsilon, coarse, held, (i, f, g, o))


def _rank(half: Halves) -> Halves:
    return [sorted(block) for block in half]
