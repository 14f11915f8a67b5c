"""GGUF: named tensors in one aligned block behind a list of settings.

Comes in: a span over a `.gguf`. Goes out: a `Checkpoint`. Promise: the settings are stepped over
and never kept, every length is a claim, of a quantised tensor the shape alone is known, and there
is no checksum, so that a tensor keeps its place.

Source: ggml/docs/gguf.md; gguf-py gguf_reader.py. Sizes stand innermost first, which is numpy's
order turned round. A big-endian file has every number the other way.
"""

from collections.abc import Iterator
from functools import partial
from struct import Struct
from typing import NamedTuple

from ..errors import MalformedFile, UnknownFormat
from ..raw.dtypes import DTYPES, DType
from ..raw.span import Span
from ..raw.tensor import Tensor, contiguous
from ..raw.tensors import Tensors
from ..raw.words import MAX_NAME
from . import Beside, Checkpoint, Format, reader

MAGIC = b"GGUF"
OLD = b"lmgg"  # ggml's number before GGUF, which says nothing of what follows
VERSIONS = (2, 3)
MAX_TENSORS = 1 << 16
MAX_SETTINGS = 1 << 16
MAX_AXES = 4
MAX_NESTED = 4  # lists of lists of settings
STEPS = 20  # of the budget, for a tensor or a setting
WINDOW = 1 << 16  # bytes of the head that are read at once

ALIGNMENT, USUAL = "general.alignment", 32

# ggml_type of the tensors whose elements stand one by one; all others are quantised blocks.
_DTYPES = {
    0: "float32", 1: "float16", 24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "float64",
    30: "bfloat16",
}  # fmt: skip

# Bytes of a setting, by its gguf_metadata_value_type.
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}

TEXT, LIST, UINT32 = 8, 9, 4


class Info(NamedTuple):
    """What the head says of a tensor; `at` counts from the start of the block."""

    shape: tuple[int, ...]
    kind: int
    at: int


class _Head:
    """The numbers and texts of the head, one after the other, read in windows."""

    def __init__(self, span: Span, order: str) -> None:
        self.span = span
        self.at = len(MAGIC)
        self._u32, self._u64 = Struct(f"{order}I"), Struct(f"{order}Q")
        self._start, self._window = 0, b""

    def take(self, size: int) -> bytes:
        """The next bytes, which the caller has bounded."""
        i = self.at - self._start
        if i + size > len(self._window):
            room = max(min(WINDOW, self.span.size - self.at), size)
            self._window = self.span[self.at : self.at + room].read()
            self._start, i = self.at, 0
        self.at += size
        return self._window[i : i + size]

    def u32(self) -> int:
        """The next number of 4 bytes."""
        value: int = self._u32.unpack(self.take(4))[0]
        return value

    def u64(self) -> int:
        """The next number of 8 bytes."""
        value: int = self._u64.unpack(self.take(8))[0]
        return value

    def skip(self, size: int) -> None:
        """Step over bytes that must be there."""
        if size > self.span.size - self.at:
            raise self.fault(f"{size} bytes are needed, which are not there", "truncated")
        self.at += size

    def text(self) -> str:
        """A length and so many bytes, which are a name."""
        size = self.u64()
        if size > MAX_NAME:
            raise self.fault(f"a name of {size} bytes", "limit")
        return self.take(size).decode("utf-8", "replace")

    def fault(self, message: str, kind: str = "malformed") -> MalformedFile:
        """An error at the present place."""
        return MalformedFile(message, self.span.place(self.at), kind)


@reader("gguf", Format("gguf", ("gguf",), ("gguf",)))
def read_gguf(span: Span, beside: Beside) -> Checkpoint | None:
    """GGUF of version 2 or 3, of either byte order."""
    start = span[: min(span.size, 8)].read()
    if start[:4] == OLD and len(start) == 8:
        message = "a ggml file from before GGUF, whose layout only the program that wrote it knows"
        message += "; convert it to GGUF with that program"
        raise UnknownFormat(message, span.at, "unsupported")
    if start[:4] != MAGIC or len(start) < 8:
        return None
    big = start[7:] != b"\0"
    head = _Head(span, ">" if big else "<")
    version = head.u32()
    if version not in VERSIONS:
        raise head.fault(f"GGUF of version {version}; 2 and 3 are read", "unsupported")
    count, settings = head.u64(), head.u64()
    if count > MAX_TENSORS or settings > MAX_SETTINGS:
        raise head.fault(f"{count} tensors and {settings} settings are claimed", "limit")
    span.budget.step(STEPS * (count + settings), "a GGUF head")
    alignment = _alignment(head, settings)
    infos = dict(_infos(head, count))
    block = span[min(-(-head.at // alignment) * alignment, span.size) :]
    return Checkpoint("gguf", Tensors(infos, partial(_tensor, block, big), _shape))


def _alignment(head: _Head, settings: int) -> int:
    """What the settings say of the tensors' places; everything else in them is stepped over."""
    alignment = USUAL
    for _ in range(settings):
        key, kind = head.text(), head.u32()
        if key == ALIGNMENT and kind == UINT32:
            alignment = head.u32()
            if not 0 < alignment <= 1 << 20 or alignment & alignment - 1:
                raise head.fault(f"an alignment of {alignment} bytes")
        else:
            _step_over(head, kind, MAX_NESTED)
    return alignment


def _step_over(head: _Head, kind: int, depth: int) -> None:
    """Move behind a setting."""
    if kind in _WIDTHS:
        head.skip(_WIDTHS[kind])
    elif kind == TEXT:
        head.skip(head.u64())
    elif kind == LIST and depth:
        inner, count = head.u32(), head.u64()
        if inner in _WIDTHS:
            head.skip(_WIDTHS[inner] * count)
            return
        head.span.budget.step(count, "a list of settings")
        for _ in range(count):
            _step_over(head, inner, depth - 1)
    else:
        raise head.fault(f"a setting of type {kind}")


def _infos(head: _Head, count: int) -> Iterator[tuple[str, Info]]:
    """Each tensor's name, sizes, type and place."""
    seen: set[str] = set()
    for _ in range(count):
        name, axes = head.text(), head.u32()
        if axes > MAX_AXES:
            raise head.fault(f"a tensor of {axes} axes")
        sizes = [head.u64() for _ in range(axes)]
        if name in seen:
            raise head.fault(f"{name[:100]!r} is there twice", "ambiguous")
        seen.add(name)
        yield name, Info(tuple(reversed(sizes)), head.u32(), head.u64())


def _shape(name: str, info: Info) -> tuple[int, ...]:
    return info.shape


def _tensor(block: Span, big: bool, name: str, info: Info) -> Tensor:
    """A tensor; of a quantised one, whose elements have no places, nothing but the shape."""
    if info.kind not in _DTYPES:
        return contiguous(DType(f"ggml type {info.kind}", 0), info.shape, block[info.at : info.at])
    dtype = DTYPES[_DTYPES[info.kind]]
    size = dtype.itemsize
    for length in info.shape:
        size *= length
    tensor = contiguous(dtype, info.shape, block[info.at : info.at + size])
    return tensor._replace(big_endian=big)
