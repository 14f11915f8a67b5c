"""MXNet's `.params`: arrays one behind the other, and their names at the end.

Comes in: a span over what `mx.nd.save` or `save_parameters` wrote. Goes out: a `Checkpoint`.
Promise: an array that is skipped is said, every size is a claim, and there is no checksum, so that
an array keeps its place.

Source: mxnet 1.9.1 src/ndarray/ndarray.cc NDArray::Save, Load, LegacyLoad; c_api.cc
MXNDArraySave. Before version 1 (of 2017) the magic number is the number of axes, and sizes have 4
bytes; version 2 knows sparse arrays, version 3 numpy's scalars.
"""

from collections.abc import Iterator
from struct import Struct

from ..errors import MalformedFile, Skipped
from ..raw.dtypes import DTYPES, DType
from ..raw.span import Span
from ..raw.tensor import MAX_DIMS, Tensor, contiguous
from ..raw.words import MAX_NAME
from . import Beside, Checkpoint, Format, reader

# kMXAPINDArrayListMagic: what every file begins with.
LIST = 0x112

# The magic numbers of an array, by the version of its form.
V1, V2, V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA

# Arrays of indexes beside the values, by the kind of storage: dense, rows, compressed rows.
_INDEXES = {0: 0, 1: 1, 2: 2}

UNKNOWN = 0xFFFFFFFF
MAX_ARRAYS = 1 << 16
STEPS = 20  # of the budget, for an array or a name
OLDEST_AXES = 32  # more were no array's, before there was a magic number

# mshadow/base.h TypeFlag.
_DTYPES = {
    0: "float32", 1: "float64", 2: "float16", 3: "uint8", 4: "int32", 5: "int8", 6: "int64",
    7: "bool", 8: "int16", 9: "uint16", 10: "uint32", 11: "uint64", 12: "bfloat16",
}  # fmt: skip

# What an exported network puts before the names of its parameters and of its statistics.
PREFIXES = ("arg:", "aux:")

_U32, _U64 = Struct("<I"), Struct("<Q")

# An array, or what keeps it from being read; None where there is none (an unknown shape).
MxArray = Tensor | str | None


class _Cursor:
    """A place in the file that moves forward."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self.at = 0

    def take(self, size: int) -> Span:
        """The next bytes; raises `MalformedFile` where there are not so many."""
        taken = self.span[self.at : self.at + size]
        self.at += size
        return taken

    def number(self, form: Struct = _U32) -> int:
        """The next number."""
        value: int = form.unpack(self.take(form.size).read())[0]
        return value


@reader("mxnet", Format("mxnet", ("params",), ("params",)))
def read_params(span: Span, beside: Beside) -> Checkpoint | None:
    """MXNet's `.params`."""
    if span.size < 24 or span[:16].read() != _U64.pack(LIST) + bytes(8):
        return None
    cursor = _Cursor(span)
    cursor.take(16)
    count = cursor.number(_U64)
    if count > MAX_ARRAYS:
        raise MalformedFile(f"{count} arrays in one .params", span.at, "limit")
    span.budget.step(STEPS * count, "a .params file")
    arrays = [_array(cursor) for _ in range(count)]
    names = list(_names(cursor))
    if len(names) not in (0, len(arrays)):
        raise MalformedFile(f"{len(names)} names for {len(arrays)} arrays", span.place(cursor.at))
    return _checkpoint(arrays, names or [str(k) for k in range(count)])


def _checkpoint(arrays: list[MxArray], names: list[str]) -> Checkpoint:
    tensors: dict[str, Tensor] = {}
    skipped: list[Skipped] = []
    for name, array in zip(_short(names), arrays, strict=True):
        if isinstance(array, Tensor):
            tensors[name] = array
        elif array is not None:
            skipped.append(Skipped(name, "unsupported-dtype", f"{name} is {array}"))
    return Checkpoint("mxnet", tensors, skipped=tuple(skipped))


def _short(names: list[str]) -> list[str]:
    """The names without what an export puts before them, where that leaves them different."""
    if len(set(names)) < len(names):
        raise MalformedFile("a name stands twice in the file", kind="ambiguous")
    short = [name[4:] if name.startswith(PREFIXES) else name for name in names]
    return short if len(set(short)) == len(names) else names


def _names(cursor: _Cursor) -> Iterator[str]:
    """A count, then for each its length and its bytes."""
    for _ in range(_check_bound(cursor.number(_U64), MAX_ARRAYS, cursor)):
        size = _check_bound(cursor.number(_U64), MAX_NAME, cursor)
        yield cursor.take(size).read().decode("utf-8", "replace")


def _check_bound(value: int, most: int, cursor: _Cursor) -> int:
    if value > most:
        raise MalformedFile(f"{value} where at most {most} may stand", cursor.span.place(cursor.at))
    return value


def _array(cursor: _Cursor) -> MxArray:
    """The array at the cursor, of any version."""
    magic = cursor.number()
    if magic in (V2, V3):
        return _read_versioned(cursor, magic)
    if magic == V1:
        axes = cursor.number()
        return _elements(cursor, _sizes(cursor, axes, _U64))
    if magic > OLDEST_AXES:
        message = f"no array of MXNet begins with {magic:#x}"
        raise MalformedFile(message, cursor.span.place(cursor.at - 4))
    return _elements(cursor, _sizes(cursor, magic, _U32))


def _read_versioned(cursor: _Cursor, magic: int) -> MxArray:
    """Version 2 or 3: the kind of storage, the shape, the place, the dtype, the elements."""
    storage = cursor.number()
    if storage not in _INDEXES:
        raise MalformedFile(f"a storage of type {storage}", cursor.span.place(cursor.at))
    held = _shape(cursor) if _INDEXES[storage] else None
    shape = _shape(cursor)
    if shape is None:  # numpy's way to say that a shape is not known yet
        return None
    if _INDEXES[storage]:
        _pass_sparse(cursor, held or (), _INDEXES[storage])
        return "a sparse array"
    return _elements(cursor, shape, known=magic == V3)


def _pass_sparse(cursor: _Cursor, held: tuple[int, ...], indexes: int) -> None:
    """Move behind a sparse array: its values, and the indexes that say where they stand."""
    cursor.take(8)
    kinds = [_dtype(cursor)]
    shapes = [held]
    for _ in range(indexes):
        kinds.append(_dtype(cursor))
        shapes.append(_shape(cursor) or ())
    for kind, shape in zip(kinds, shapes, strict=True):
        cursor.take(_bytes_of(kind, shape))


def _shape(cursor: _Cursor) -> tuple[int, ...] | None:
    axes = cursor.number()
    return None if axes == UNKNOWN else _sizes(cursor, axes, _U64)


def _sizes(cursor: _Cursor, axes: int, form: Struct) -> tuple[int, ...]:
    if axes > OLDEST_AXES:
        message = f"an array of {axes} axes"
        raise MalformedFile(message, cursor.span.place(cursor.at))
    return tuple(cursor.number(form) for _ in range(axes))


def _elements(cursor: _Cursor, shape: tuple[int, ...], known: bool = False) -> MxArray:
    """Device type and number, dtype, elements; before version 3 a shape without axes is none."""
    if not shape and not known:
        return None
    cursor.take(8)
    dtype = _dtype(cursor)
    raw = cursor.take(_bytes_of(dtype, shape))
    return contiguous(dtype, shape, raw) if len(shape) <= MAX_DIMS else f"{len(shape)}-D"


def _dtype(cursor: _Cursor) -> DType:
    code = cursor.number()
    if code not in _DTYPES:
        message = f"an array of MXNet's dtype {code}"
        raise MalformedFile(message, cursor.span.place(cursor.at), "unsupported")
    return DTYPES[_DTYPES[code]]


def _bytes_of(dtype: DType, shape: tuple[int, ...]) -> int:
    size = dtype.itemsize
    for length in shape:
        size *= length
    return size
