"""numpy's `.npz`: a zip of arrays, each under its name.

Comes in: a span that is a zip of `.npy` files and nothing else. Goes out: a `Checkpoint`. Promise:
no array of objects is decoded (it would be a pickle), and a stored array keeps its place, sealed by
the CRC of its zip entry.
"""

from ..errors import MalformedFile, Skipped
from ..raw.dtypes import DTYPES, DType
from ..raw.span import Span
from ..raw.tensor import Tensor, contiguous, strides_of, view
from ..wire import npy, zip
from . import Beside, Checkpoint, Format, reader

SUFFIX = ".npy"

_DTYPES = {
    "f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32",
    "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "b1": "bool",
    "c8": "complex64", "c16": "complex128",
}  # fmt: skip
"""numpy's array-protocol codes under torch's names."""

MAX_ARRAYS = 1 << 14


@reader("npz", Format("npz", ("npz",)))
def read_npz(span: Span, beside: Beside) -> Checkpoint | None:
    """`numpy.savez` and `savez_compressed`."""
    if not zip.is_zip(span):
        return None
    try:
        members = zip.members(span)
    except MalformedFile:
        return None  # whoever reads zips next says what is wrong with it
    if not members or not all(name.endswith(SUFFIX) for name in members):
        return None
    if len(members) > MAX_ARRAYS:
        raise MalformedFile(f"over {MAX_ARRAYS} arrays in one .npz", kind="limit")
    tensors, skipped = {}, []
    for name, member in members.items():
        key = name.removesuffix(SUFFIX)
        header = npy.read_header(zip.body(span, member))
        dtype = None if header is None else _DTYPES.get(header.descr.lstrip("<>|="))
        if header is None or dtype is None:
            what = "objects or records" if header is None else header.descr
            skipped.append(Skipped(key, "unsupported-dtype", f"{key} is an array of {what}"))
        else:
            tensors[key] = _tensor(header, DTYPES[dtype])
    return Checkpoint("npz", tensors, skipped=tuple(skipped))


def _tensor(header: npy.Header, dtype: DType) -> Tensor:
    """The array as a view of its bytes."""
    strides = contiguous(dtype, header.shape, header.elements).strides
    if header.fortran:
        strides = tuple(reversed(strides_of(tuple(reversed(header.shape)))))
    big_endian = header.descr.startswith(">")
    return view(dtype, header.shape, strides, header.elements, big_endian=big_endian)
