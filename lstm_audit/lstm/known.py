"""A known tensor of a graph: its shape, and the stored elements that its numbers come from.

Comes in: stored tensors. Goes out: `KnownTensor`s, and their numbers. Promise: a value says, for
every element, which stored elements were summed into it; nothing is read before it is asked for.

A value is a shape and its summands. A summand is a sequence of *cells*, one an element; a cell is a
number that names one element of one stored tensor. Slice, Concat, Split and their kin only move
cells (`moves.py`), so a part of a bias that was put together at run time still knows its bytes. Add
joins summands (`sums.py`): bias_ih + bias_hh stay two terms. What is calculated becomes a stored
tensor of its own that has no place in the file: judged, never patched.
"""

import struct
from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ..errors import MalformedFile
from ..formats import Constant
from ..raw.tensor import Tensor, read_numbers, whole_block

# Elements moved and names visited in one graph: under a second. Sixty Concats of a tensor with
# itself are 2**60.
MAX_STEPS = 1 << 21

# Summands of one value; a bias has two, or four with weights that were split.
MAX_TERMS = 16

# Bytes of a stored tensor whose numbers are read at once.
MAX_READ = 4 << 20

# A cell is SPACE * number of the stored tensor + number of the element.
SPACE = 1 << 40

# A cell of a summand that this element does not have.
NOTHING = -1

WHOLE_NUMBERS = {
    "int64": "q", "int32": "i", "int16": "h", "int8": "b",
    "uint64": "Q", "uint32": "I", "uint16": "H", "uint8": "B",
}  # fmt: skip

Cells = Sequence[int]


# Why summands and not sums. A bias in ONNX is often `Concat(Slice(bias_ih), ...) + Concat(...)`: if
# the sum were computed, the result would be a number without a place. Kept as two lists of cells,
# each element still says which bytes it came from; sums are taken only where a number is wanted. A
# range as a list of cells costs nothing, however long it is: moving a whole weight is free.
class KnownTensor(NamedTuple):
    """A known tensor: its shape, and its summands as cells in C order."""

    shape: tuple[int, ...]
    terms: tuple[Cells, ...]

    @property
    def size(self) -> int:
        """How many elements it has."""
        return prod(self.shape)


class Pieces(NamedTuple):
    """A sequence of tensors (SplitToSequence)."""

    parts: tuple[KnownTensor, ...]


Known = KnownTensor | Pieces | None


def read_numbers_of(constant: Constant) -> Sequence[float]:
    """A stored tensor's numbers, quantised ones as what they stand for; raises beyond `MAX_READ`
    bytes.
    """
    if constant.numbers is not None:
        stored: Sequence[float] = constant.numbers
    else:
        assert constant.tensor is not None
        stored = _read(constant.tensor, constant.name)
    if constant.scale == 1.0 and not constant.zero:
        return stored
    return [(value - constant.zero) * constant.scale for value in stored]


def _read(tensor: Tensor, name: str) -> Sequence[float]:
    if tensor.span.size > MAX_READ:
        message = (
            f"{name!r} takes part in a calculation and has {tensor.span.size} bytes; at most "
            f"{MAX_READ} are read"
        )
        raise MalformedFile(message, tensor.span.at, "limit")
    code = WHOLE_NUMBERS.get(tensor.dtype.name)
    if code is not None:
        return struct.unpack(f"<{tensor.elements}{code}", tensor.span.read())
    flat = tensor._replace(shape=(tensor.elements,), strides=(1,))
    return read_numbers(whole_block(flat))
