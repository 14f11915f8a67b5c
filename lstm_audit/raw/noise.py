"""Whether raw numbers of another file are numbers at all: an encrypted file looks like any other.

Comes in: float tensors that lie in a file without a structure of its own (OpenVINO's `.bin`,
ONNX's external data). Goes out: nothing, or `MalformedFile`. Promise: one short range is read;
numbers that were trained, drawn or never set are none of this, even where they diverged.
"""

from collections.abc import Iterable

from ..errors import MalformedFile
from .tensor import Tensor, contiguous, read_numbers, whole_block

# Numbers that are looked at, and the fewest by which noise is told.
MANY, FEW = 1024, 48

# In noise every exponent is as frequent: of float32 three in eight are beyond 1e9 and as many below
# 1e-9, of float16 one in seven beyond 4096 and below 0.001. Weights that exploded are no longer
# small beside it.
EXTREME = {"float32": (1e-9, 1e9), "float16": (1e-3, 4096.0), "bfloat16": (1e-9, 1e9)}
SHARE = 0.08


def refuse_noise(tensors: Iterable[Tensor], what: str) -> None:
    """Raise where the longest of the tensors holds noise; `what` names the file."""
    known = [tensor for tensor in tensors if tensor.dtype.name in EXTREME]
    longest = max(known, key=lambda tensor: tensor.elements, default=None)
    if longest is None or longest.elements < FEW:
        return
    dtype, count = longest.dtype, min(longest.elements, MANY)
    part = contiguous(dtype, (count,), longest.span[: count * dtype.itemsize])
    low, high = EXTREME[dtype.name]
    sizes = [abs(value) for value in read_numbers(whole_block(part))]
    tiny = sum(0.0 < size < low for size in sizes)
    huge = sum(high < size < float("inf") for size in sizes)
    if min(tiny, huge) > SHARE * count:
        message = f"{what} reads as noise, not as numbers: is it encrypted? Decrypt it first"
        raise MalformedFile(message, longest.span.at, "unsupported")
