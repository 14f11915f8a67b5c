"""numpy's `.npz`: a zip of arrays, each under its name.

Comes in: a span that is a zip of `.npy` files and nothing else. Goes out: a `Checkpoint`. Promise:
no array of objects is built (it is a pickle, and what it names is said), and a stored array keeps
its place, sealed by the CRC of its zip entry.
"""

from ..errors import MalformedFile, Skipped
from ..raw.dtypes import DTYPES, NUMPY_CODES
from ..raw.span import Span
from ..raw.tensor import numpy_array
from ..wire import npy, zip
from ..wire.pickle import decode
from . import Beside, Checkpoint, Format, reader

SUFFIX = ".npy"

OBJECTS = "|O"
"""How numpy spells the type of an array of Python objects, which `numpy.load(allow_pickle=True)`
unpickles."""

MAX_ARRAYS = 1 << 14


@reader("npz", Format("npz", ("npz",)))
def read_npz(span: Span, beside: Beside) -> Checkpoint | None:
    """`numpy.savez` and `savez_compressed`."""
    if not zip.is_zip(span):
        return None
    try:
        members = zip.read_entries(span)
    except MalformedFile:
        return None  # whoever reads zips next says what is wrong with it
    if not members or not all(name.endswith(SUFFIX) for name in members):
        return None
    if len(members) > MAX_ARRAYS:
        raise MalformedFile(f"over {MAX_ARRAYS} arrays in one .npz", kind="limit")
    tensors, skipped = {}, []
    named: dict[tuple[str, str], None] = {}
    for name, member in members.items():
        key = name.removesuffix(SUFFIX)
        header = npy.read_header(zip.body(span, member))
        dtype = None if header is None else NUMPY_CODES.get(header.descr.lstrip("<>|="))
        if header is None or dtype is None:
            what = "records" if header is None else header.descr
            if header is not None and header.descr == OBJECTS:
                what = "objects"
                pickled = decode(
                    header.elements
                )  # refused where it has no end: it could hide something
                named |= {(found.module, found.name): None for found in pickled.globals}
            skipped.append(Skipped(key, "unsupported-dtype", f"{key} is an array of {what}"))
        else:
            tensors[key] = numpy_array(
                DTYPES[dtype],
                header.shape,
                header.elements,
                fortran=header.fortran,
                big_endian=header.descr.startswith(">"),
            )
    return Checkpoint("npz", tensors, skipped=tuple(skipped), globals=tuple(named))
