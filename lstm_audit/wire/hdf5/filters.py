"""Filters: what was done to a chunk before it was stored, undone.

Comes in: a filter pipeline message, a stored chunk. Goes out: the chunk's elements. Promise:
inflating stops at the size that the chunk must have.
"""

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from .file import Cursor, File

# Filter identifiers (IV.A.2.l). Others (szip, lzf, blosc) need their own libraries.
DEFLATE, SHUFFLE, FLETCHER32 = 1, 2, 3

# H5Z_MAX_NFILTERS of the HDF5 library.
MAX_FILTERS = 32

# From this identifier on a filter has a name, in version 2 of the message.
NAMED_FROM = 256


class Filter(NamedTuple):
    """One step of a pipeline and its parameters."""

    number: int
    values: tuple[int, ...]


def read_filters(file: File, raw: bytes, at: int) -> tuple[Filter, ...]:
    """The pipeline, in the order of writing."""
    body = Cursor(file, raw, at)
    version, number = body.unsigned(1), body.unsigned(1)
    if version not in (1, 2) or number > MAX_FILTERS:
        raise file.fail(
            f"a filter pipeline of version {version} with {number} filters", at, "unsupported"
        )
    body.take(6 if version == 1 else 0)
    return tuple(_filter(body, version) for _ in range(number))


def _filter(body: Cursor, version: int) -> Filter:
    number = body.unsigned(2)
    name = body.unsigned(2) if version == 1 or number >= NAMED_FROM else 0
    body.take(2)
    values = body.unsigned(2)
    body.take(name + (-name % 8 if version == 1 else 0))
    filtered = Filter(number, tuple(body.unsigned(4) for _ in range(values)))
    body.take(4 * (values & 1) if version == 1 else 0)
    return filtered


def undo_filters(
    file: File, filters: Sequence[Filter], skipped: int, raw: bytes, size: int, at: int
) -> bytes:
    """A chunk of `size` bytes from what is stored; bit k of `skipped` says that filter k was left
    out.
    """
    for k in reversed(range(len(filters))):
        if not skipped >> k & 1:
            raw = _undo(file, filters[k], raw, size, at)
    if len(raw) != size:
        raise file.fail(f"a chunk of {size} bytes has {len(raw)}", at)
    return raw


def _undo(file: File, step: Filter, raw: bytes, size: int, at: int) -> bytes:
    if step.number == DEFLATE:
        return _inflate(file, raw, size, at)
    if step.number == SHUFFLE:
        return _unshuffle(raw, step.values[0] if step.values else 1)
    if step.number == FLETCHER32:
        return raw[:-4]
    raise file.fail(
        f"its chunks went through filter {step.number}, which is not read", at, "unsupported"
    )


def _inflate(file: File, raw: bytes, size: int, at: int) -> bytes:
    """With room for the checksums that filters before this one may have put behind the elements."""
    room = size + 4 * MAX_FILTERS
    try:
        return zlib.decompressobj().decompress(raw, room)
    except zlib.error as error:
        raise file.fail(f"a chunk cannot be inflated: {error}", at) from None


def _unshuffle(raw: bytes, width: int) -> bytes:
    """All first bytes of the elements stand first, then all second ones; what is left over stands
    at the end.
    """
    if width < 2:
        return raw
    number = len(raw) // width
    body = number * width
    out = bytearray(raw)
    for k in range(width if number else 0):
        out[k:body:width] = raw[k * number : (k + 1) * number]
    return bytes(out)
