"""The header of a numpy array file.

Comes in: a span over one `.npy`. Goes out: what its header says, and the span of the elements.
Promise: the header is a Python literal that is never evaluated; one pattern fits what numpy writes,
and everything else is refused.

Source: numpy/lib/format.py, "Format Version 1.0" to "3.0".
"""

import re
from typing import NamedTuple

from ..errors import MalformedFile
from ..raw.span import Span

MAGIC = b"\x93NUMPY"
MAX_HEADER = 1 << 16  # bytes; numpy itself reads no more than 10,000 unless told to

_HEADER = re.compile(
    r"\{\s*'descr':\s*'(?P<descr>[<>|=]?[A-Za-z]\d{0,4})',\s*"
    r"'fortran_order':\s*(?P<fortran>True|False),\s*"
    r"'shape':\s*\((?P<shape>[\d,\s]*)\),?\s*\}\s*"
)
_SIZE_OF_LENGTH = {1: 2, 2: 4, 3: 4}


class Header(NamedTuple):
    """`descr` as in `numpy.dtype(descr)`: byte order, kind, size; `start` is where the elements
    begin, of which a part is enough to read the header. Of objects (`|O`) they are a pickle.
    """

    descr: str
    fortran: bool
    shape: tuple[int, ...]
    elements: Span
    start: int


def is_npy(span: Span) -> bool:
    """Whether the span begins with numpy's magic."""
    return span.size >= 10 and span[:6].read() == MAGIC


def length_of(start: Span) -> int:
    """Where the elements begin of an array that begins so; 0 where that cannot be told."""
    raw = start[: min(start.size, 12)].read()
    width = _SIZE_OF_LENGTH.get(raw[6] if len(raw) > 6 else 0)
    if width is None or len(raw) < 8 + width:
        return 0
    return 8 + width + int.from_bytes(raw[8 : 8 + width], "little")


def read_header(span: Span) -> Header | None:
    """The header and what follows it; None for arrays of records, which are no weights.

    Raises `MalformedFile` for what numpy would not read.
    """
    start = span[: min(span.size, 12)].read()
    width = _SIZE_OF_LENGTH.get(start[6] if len(start) > 6 else 0)
    if width is None or len(start) < 8 + width:
        raise MalformedFile("a .npy of an unknown version, or of no length", span.at)
    length = int.from_bytes(start[8 : 8 + width], "little")
    if length > MAX_HEADER:
        raise MalformedFile(f"a .npy header of {length} bytes", span.at, "limit")
    end = 8 + width + length
    text = span[8 + width : end].read().decode("latin-1")
    found = _HEADER.fullmatch(text)
    if found is None:
        return None
    sizes = [part for part in re.split(r"[,\s]+", found["shape"]) if part]
    if any(len(size) > 18 for size in sizes):
        raise MalformedFile("a .npy shape beyond any file", span.at)
    shape = tuple(map(int, sizes))
    return Header(found["descr"], found["fortran"] == "True", shape, span[end:], end)
