"""Arrays that joblib writes into the stream of a pickle, between two opcodes.

Comes in: the wrapper object that stands before such an array, and the bytes behind it. Goes out:
where the elements lie, and the `Call` that numpy itself would have pickled. Promise: nothing is
guessed: where it cannot be told how many bytes pad the array, the file is refused.

Source: joblib/numpy_pickle.py, NumpyArrayWrapper.write_array and read_array: with an alignment, one
byte tells how many bytes of padding follow; arrays of objects are a pickle of their own.
"""

import re
from typing import Any, NamedTuple

from ...raw.words import is_plain
from .values import Call, Global, PickledBytes

MAX_PADDING = 16
MAX_DIMS = 8

_CODE = re.compile(r"[<>|=]?[biufc](\d{1,2})")
_RECONSTRUCT = Global("numpy.core.multiarray", "_reconstruct")
_NDARRAY = Global("numpy", "ndarray")


class Unclear(Exception):
    """Why an array behind a wrapper is not read; the machine adds the place."""


class Array(NamedTuple):
    """What a wrapper says of the array behind it."""

    dtype: Call
    shape: tuple[int, ...]
    fortran: bool
    size: int
    aligned: bool


def array_of(wrapper: Call, given: Any) -> Array:
    """The claim of a wrapper that is given this state; raises `Unclear`."""
    state = given if type(given) is dict and not wrapper.args else {}
    dtype, shape, order = state.get("dtype"), state.get("shape"), state.get("order")
    code = dtype.args[0] if type(dtype) is Call and dtype.args else None
    found = _CODE.fullmatch(code) if type(code) is str and len(code) < 8 else None
    if type(dtype) is not Call or found is None:
        raise Unclear("joblib: an array of objects or records is a pickle inside this one")
    if type(shape) is not tuple or len(shape) > MAX_DIMS or not all(map(_is_size, shape)):
        raise Unclear("joblib: an array's shape is no short tuple of sizes")
    size = int(found[1])
    for n in shape:
        size *= n
    return Array(dtype, shape, order == "F", size, "numpy_array_alignment_bytes" in state)


def _is_size(value: Any) -> bool:
    return type(value) is int and is_plain(value) and 0 <= value < 1 << 48


def padding_of(array: Array, head: bytes) -> int:
    """How many bytes stand between the wrapper and the elements; `head` are the first of them.

    Before joblib 1.1 there were none, and nothing tells them from padding.
    """
    count = head[0] if head else 0
    padded = 0 < count <= MAX_PADDING and head[1 : 1 + count] == b"\xff" * count
    if array.aligned and not padded:
        raise Unclear("joblib: the padding of an array is not as joblib writes it")
    if padded and not array.aligned:
        raise Unclear("joblib: whether an array is padded cannot be told; dump it with joblib 1.1")
    return 1 + count if array.aligned else 0


def replace(wrapper: Call, array: Array, elements: PickledBytes) -> None:
    """Make the wrapper the call by which numpy pickles an array (array_reduce in its methods.c):
    what remembers the wrapper then has the array.
    """
    wrapper.function = _RECONSTRUCT
    wrapper.args = (_NDARRAY, (0,), PickledBytes(elements.start, elements.start))
    wrapper.state = (1, array.shape, array.dtype, array.fortran, elements)
