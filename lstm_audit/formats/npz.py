"""numpy's `.npz`: a zip of arrays, each under its name.

Comes in: a span that is a zip of `.npy` files and nothing else. Goes out: a `Checkpoint`. Promise:
no array of objects is built (it is a pickle, and what it names is said), and a stored array keeps
its place, sealed by the CRC of its zip entry. Of what is deflated, only the arrays that are asked
for are inflated.
"""

from functools import partial
from typing import NamedTuple

from ..errors import MalformedFile, Skipped
from ..raw.dtypes import DTYPES, NUMPY_CODES
from ..raw.span import Span
from ..raw.tensor import Tensor, numpy_array
from ..raw.tensors import Tensors
from ..wire import npy, zip, zip_body
from ..wire.pickle import decode
from ..wire.strays import OBJECTS
from . import Beside, Checkpoint, Format, reader

SUFFIX = ".npy"

MAX_ARRAYS = 1 << 14
HEAD = 512  # bytes of an array that hold its header; numpy pads it to 128


class _Array(NamedTuple):
    """A member that is an array, by its header."""

    member: zip.Member
    header: npy.Header
    dtype: str


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
    archive = _Archive(span, {}, [], {})
    for name, member in members.items():
        _note(archive, name.removesuffix(SUFFIX), member)
    return Checkpoint(
        format="npz",
        tensors=Tensors(archive.arrays, partial(_build, span), _shape),
        skipped=tuple(archive.skipped),
        globals=tuple(archive.named),
    )


class _Archive(NamedTuple):
    """What is found of an archive: its arrays, what is none, and what its pickles name."""

    span: Span
    arrays: dict[str, _Array]
    skipped: list[Skipped]
    named: dict[tuple[str, str], None]


def _note(archive: _Archive, key: str, member: zip.Member) -> None:
    """Read the header of one array; a deflated one is inflated no further."""
    span = archive.span
    header = npy.read_header(_head(span, member))
    dtype = None if header is None else NUMPY_CODES.get(header.descr.lstrip("<>|="))
    if header is not None and dtype is not None:
        archive.arrays[key] = _Array(member, header._replace(elements=span[:0]), dtype)
        return
    what = "records" if header is None else header.descr
    if header is not None and header.descr == OBJECTS:
        what = "objects"
        # refused where it has no end: it could hide something
        pickled = decode(zip_body.body(span, member)[header.start :])
        archive.named.update(dict.fromkeys((one.module, one.name) for one in pickled.globals))
    archive.skipped.append(Skipped(key, "unsupported-dtype", f"{key} is an array of {what}"))


def _head(span: Span, member: zip.Member) -> Span:
    """So much of an array that its header is there."""
    start = zip_body.head(span, member, HEAD)
    needed = npy.length_of(start)
    return start if needed <= start.size else zip_body.body(span, member)


def _shape(name: str, array: _Array) -> tuple[int, ...]:
    return array.header.shape


def _build(span: Span, name: str, array: _Array) -> Tensor:
    """One array; a deflated one is inflated now."""
    header = array.header
    return numpy_array(
        DTYPES[array.dtype],
        header.shape,
        zip_body.body(span, array.member)[header.start :],
        fortran=header.fortran,
        big_endian=header.descr.startswith(">"),
    )
