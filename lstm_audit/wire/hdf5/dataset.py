"""Datasets: the type, the shape, and where the bytes are.

Comes in: the messages of an object with a layout. Goes out: a `Dataset`. Promise: a shape is held
against what is stored before anything is located, and data that another file holds is refused.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from ...errors import MalformedFile
from ...raw.span import Span
from .chunks import MAX_ASSEMBLED, Chunked, locate_chunks
from .file import Cursor, File
from .filters import read_filters
from .header import DATASPACE, DATATYPE, EXTERNAL, FILL, FILTERS, LAYOUT, SHARED, Message
from .types import Datatype, count_elements, read_datatype, read_largest_shape, read_shape

# Layout classes (IV.A.2.i).
COMPACT, CONTIGUOUS, CHUNKED = 0, 1, 2


class Dataset(NamedTuple):
    """One array. `storage` is compact, contiguous, chunked or unwritten; `locate` gives the span of
    its elements in C order, which has a place in the file where they lie there in one piece as they
    are.
    """

    datatype: Datatype
    shape: tuple[int, ...]
    storage: str
    locate: Callable[[], Span]


class _Extent(NamedTuple):
    """Shape, bytes of an element, and of all of them."""

    shape: tuple[int, ...]
    itemsize: int
    size: int


# Of two messages of one kind the first counts, as in the C library (H5O_msg_read). Shape times size
# of an element is the claim that everything below is held against: no layout may give less, and
# none is asked for more.
def read_dataset(file: File, messages: Sequence[Message]) -> Dataset:
    """The dataset that an object's messages describe; raises `MalformedFile` where it cannot be
    read.
    """
    first: dict[int, Message] = {}
    for message in messages:
        first.setdefault(message.kind, message)
    _refuse(file, first)
    datatype = read_datatype(file, first[DATATYPE].body, first[DATATYPE].at)
    shape = read_shape(file, first[DATASPACE].body, first[DATASPACE].at)
    shape = (0,) if shape is None else shape
    extent = _Extent(shape, datatype.itemsize, count_elements(shape) * datatype.itemsize)
    storage, locate = _locate(file, first, extent)
    return Dataset(datatype, shape, storage, locate)


def _refuse(file: File, first: dict[int, Message]) -> None:
    """What is not in these messages, or not in this file."""
    at = first[LAYOUT].at
    if EXTERNAL in first:
        raise file.fail(
            "its data is kept in another file (external storage), which is never opened",
            at,
            "unsupported",
        )
    if DATATYPE not in first or DATASPACE not in first:
        raise file.fail("a dataset without a type or a shape", at)
    for kind in (DATATYPE, DATASPACE, FILTERS, FILL, LAYOUT):
        if kind in first and first[kind].flags & SHARED:
            raise file.fail(
                "its type or shape is kept elsewhere (a committed datatype)", at, "unsupported"
            )


# Compact data lies in the object's own header, contiguous data in one piece elsewhere, chunks
# wherever an index says. All end as a function that gives a span, because most datasets of a
# checkpoint are never looked at: only the layout message has been read until then.
def _locate(
    file: File, first: dict[int, Message], extent: _Extent
) -> tuple[str, Callable[[], Span]]:
    """Storage and the way to the bytes, by the layout message."""
    layout = first[LAYOUT]
    body = Cursor(file, layout.body, layout.at)
    version = body.unsigned(1)
    if version in (1, 2):
        return _locate_old(file, first, extent, body)
    if version not in (3, 4, 5):
        raise file.fail(f"a data layout of version {version}", layout.at, "unsupported")
    kind = body.unsigned(1)
    if kind == COMPACT:
        return _compact(file, layout, body, body.unsigned(2), extent)
    if kind == CONTIGUOUS:
        return _contiguous(file, first, extent, body.address(), body.length())
    if kind == CHUNKED:
        filters = (
            read_filters(file, first[FILTERS].body, first[FILTERS].at) if FILTERS in first else ()
        )
        space = first[DATASPACE]
        largest = read_largest_shape(file, space.body, space.at)
        chunked = Chunked(file, body, version, filters, extent.shape, largest, extent.itemsize)
        located = partial(locate_chunks, chunked, partial(_fill, file, first, extent))
        return "chunked", _once(located)
    message = "its data is put together from other files (a virtual dataset), which are not opened"
    raise file.fail(message, layout.at, "unsupported")


def _once(locate: Callable[[], Span]) -> Callable[[], Span]:
    """The index of the chunks is walked once: a block that is met twice is taken for a loop."""
    answer: list[Span | MalformedFile] = []

    def again() -> Span:
        if not answer:
            try:
                answer.append(locate())
            except MalformedFile as error:
                answer.append(error)
        if isinstance(answer[0], MalformedFile):
            raise answer[0]
        return answer[0]

    return again


def _locate_old(
    file: File, first: dict[int, Message], extent: _Extent, body: Cursor
) -> tuple[str, Callable[[], Span]]:
    """Versions 1 and 2, up to HDF5 1.6: rank, class, 5 reserved, the address, and each axis
    again.
    """
    rank, kind = body.unsigned(1), body.unsigned(1)
    body.take(5)
    if kind == COMPACT:
        body.take(4 * rank)
        return _compact(file, first[LAYOUT], body, body.unsigned(4), extent)
    if kind == CONTIGUOUS:
        return _contiguous(file, first, extent, body.address(), extent.size)
    raise file.fail(
        "it is in chunks of the way of HDF5 1.6 and before", first[LAYOUT].at, "unsupported"
    )


def _compact(
    file: File, layout: Message, body: Cursor, stored: int, extent: _Extent
) -> tuple[str, Callable[[], Span]]:
    if stored < extent.size or stored > body.left:
        raise file.fail("a compact dataset is shorter than its shape", layout.at, "truncated")
    return "compact", partial(layout.place, file, body.at, extent.size)


# Space is allocated late by default: a dataset that was created and never written has the undefined
# address, and reads as its fill value. That is readable and not patchable, as there are no bytes.
def _contiguous(
    file: File, first: dict[int, Message], extent: _Extent, at: int, stored: int
) -> tuple[str, Callable[[], Span]]:
    if at == file.undefined:
        return "unwritten", partial(_fill_unwritten, file, first, extent)
    if stored < extent.size or at + extent.size > file.span.size:
        message = f"its shape {extent.shape} takes {extent.size} bytes, which are not there"
        raise file.fail(message, first[LAYOUT].at, "truncated")
    span = file.span
    return "contiguous", lambda: span[at : at + extent.size]


def _fill_unwritten(file: File, first: dict[int, Message], extent: _Extent) -> Span:
    return file.span.compute(bytes(_fill(file, first, extent)), ", never written")


def _fill(file: File, first: dict[int, Message], extent: _Extent) -> bytearray:
    """What stands where nothing was written: the fill value (IV.A.2.f), or zeros."""
    if extent.size > MAX_ASSEMBLED:
        message = f"its {extent.size} bytes are not in one piece; at most {MAX_ASSEMBLED} are read"
        raise file.fail(message, first[LAYOUT].at, "limit")
    value = b""
    if FILL in first:
        body = Cursor(file, first[FILL].body, first[FILL].at)
        version = body.unsigned(1)
        flags = body.unsigned(1) if version == 3 else 0
        defined = flags & 32 if version == 3 else body.take(3)[2]
        value = body.take(body.unsigned(4)) if defined and body.left >= 4 else b""
    if len(value) != extent.itemsize:
        return bytearray(extent.size)
    return bytearray(value * (extent.size // extent.itemsize if extent.itemsize else 0))
