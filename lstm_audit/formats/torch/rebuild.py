"""One pickled tensor: the call that would rebuild it, read as a view of a storage.

Comes in: a `Call` that names one of torch's or numpy's rebuilding functions. Goes out: a `Tensor`.
Promise: its arguments are checked like any header; the function is never called; and where what was
rebuilt is altered in a way whose effect is not known, there is no tensor, but the reason.
Source: torch/_utils.py, torch/_tensor.py, numpy/_core/src/multiarray/methods.c array_reduce.
"""

from ...errors import MalformedFile
from ...raw.dtypes import DTYPES, NUMPY_CODES, DType
from ...raw.span import Span
from ...raw.tensor import MAX_DIMS, Tensor, numpy_array, view
from ...raw.words import show
from ...tuples import NamedTuple
from ...wire.pickle import Call, Global, Persistent, PickledBytes
from ...wire.zip import is_zip
from .archive import open_archive, open_pickle
from .legacy import Envelope, is_legacy, open_legacy
from .storage import Storage, dtype_named
from .tensor_calls import (
    ARRAYS,
    DEVICE_COPIES,
    METADATA_AT,
    QUANTIZED,
    STRIDED,
    find_trouble,
    name_call,
    unwrap_calls,
)

OPENING = 100  # steps of the budget that a nested file takes, however small it is


_NESTED = ("torch.storage", "_load_from_bytes")


class TensorLayout(NamedTuple):
    """What a call says of a tensor, checked, but for the place of its storage: every file with the
    same pickle has that. `first` and `size` are in bytes.
    """

    storage: Persistent
    dtype: DType
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    negated: bool
    first: int
    size: int


# The files of a run share one pickle, whose calls are checked once. What is left for each file is
# its own: where the storage lies, and that it has the size that the pickle claims.
def rebuild(call: Call, envelope: Envelope) -> Tensor:
    """The tensor, located in the file; raises `MalformedFile` when the arguments do not fit
    together.
    """
    layouts: dict[Call, TensorLayout] = envelope.worked_out.setdefault("layouts", {})
    known = layouts.get(call)
    storage = envelope.locate(known.storage) if known else None
    if known and storage and not storage.big_endian:
        part = storage.span[known.first : known.first + known.size]
        return Tensor(known.dtype, known.shape, known.strides, part, False, known.negated)
    innermost, tensor = _rebuild_anew(call, envelope)
    reference = innermost.args[0] if innermost.args else None
    if type(reference) is Persistent and not tensor.big_endian:
        dtype, shape, strides, span, _, negated = tensor
        first = innermost.args[1] * dtype.itemsize
        layouts[call] = TensorLayout(reference, dtype, shape, strides, negated, first, span.size)
    return tensor


def _rebuild_anew(call: Call, envelope: Envelope) -> tuple[Call, Tensor]:
    """The call inside of all wrappers, and the tensor that it makes."""
    layers = list(unwrap_calls(call))
    for layer in layers:
        if detail := find_trouble(layer):
            raise MalformedFile(f"a tensor cannot be told: {detail}", kind="ambiguous")
    innermost = layers[-1]
    if innermost.function in ARRAYS:
        tensor = _array(innermost, envelope)
    elif innermost.function in STRIDED or innermost.function == QUANTIZED:
        tensor = _rebuild_strided(innermost, envelope)
    else:
        raise MalformedFile(f"{name_call(innermost)} is no tensor", envelope.chunks.at)
    for layer in layers:
        if layer.function in DEVICE_COPIES:
            _refuse_conversion(layer, tensor)
    return innermost, tensor


def _refuse_conversion(call: Call, tensor: Tensor) -> None:
    """(data, dtype, device, requires_grad): the data are converted, which may round them."""
    dtype = call.args[1] if len(call.args) > 1 else None
    if type(dtype) is not Global or dtype_named(dtype.name) != tensor.dtype:
        raise MalformedFile("a tensor is converted to another dtype", tensor.span.at, "ambiguous")


# Asked for every weight, of which only shapes matter: finding its storage in the archive would cost
# a look-up, and a read in older formats, that nobody needs. The claim is held against the number of
# elements that the persistent id names, which bounds what it can say.
def read_claimed_shape(call: Call) -> tuple[int, ...] | None:
    """The size that a strided tensor claims, if its storage claims to have so many elements; None
    where it takes more.

    The storage itself is not looked for: of a weight, nothing but the shape is asked.
    """
    if call.function not in STRIDED:
        *_, call = unwrap_calls(call)
    if call.function not in STRIDED or len(call.args) < 4 or type(call.args[0]) is not Persistent:
        return None
    pid, shape, elements = call.args[0].pid, _sizes(call.args[2]), 1
    for size in (
        shape if len(shape) <= MAX_DIMS else (None,)
    ):  # a product of many numbers takes quadratic time
        if type(size) is not int or size < 0:
            return None
        elements *= size
    held = pid[4] if type(pid) is tuple and len(pid) == 5 else None
    return shape if type(held) is int and elements <= held else None


def _rebuild_strided(call: Call, envelope: Envelope) -> Tensor:
    """(storage, offset, size, stride, requires_grad, hooks[, dtype of v3][, metadata]); quantised
    ones alike.
    """
    if len(call.args) < 4:
        raise MalformedFile(
            f"{call.function.name} has {len(call.args)} arguments; at least 4 were expected"
        )
    reference, offset, shape, strides = call.args[:4]
    storage = _locate(reference, envelope)
    dtype = _dtype_of(call, storage.dtype)
    if storage.big_endian and dtype != storage.dtype:
        message = "a big-endian storage is swapped by a dtype that is not its tensor's"
        raise MalformedFile(message, storage.span.at, "ambiguous")
    shape, strides = _sizes(shape), _sizes(strides)
    if type(offset) is not int:
        raise MalformedFile("a tensor's storage offset is no integer", storage.span.at)
    negated = _is_negated(call, storage.span)
    return view(
        dtype, shape, strides, storage.span, offset, big_endian=storage.big_endian, negated=negated
    )


def _sizes(value: object) -> tuple[int, ...]:
    if type(value) is Call and value.function == ("torch", "Size") and value.args:
        value = value.args[0]
    if type(value) not in (tuple, list):
        raise MalformedFile("a tensor's size or stride is no tuple")
    return tuple(value)  # type: ignore[arg-type]  # tuple or list; view() checks the elements


def _dtype_of(call: Call, stored: DType | None) -> DType:
    if call.function.name == "_rebuild_tensor_v3":
        dtype = call.args[6] if len(call.args) > 6 else None
        if type(dtype) is not Global or dtype.module != "torch":
            raise MalformedFile("_rebuild_tensor_v3 names no dtype")
        return dtype_named(dtype.name)
    return stored or DTYPES["uint8"]


# conj() and neg() are lazy in torch: the storage holds the values before, and a flag in the
# metadata says so. `torch.view_as_real(x.conj())` saves the flag `neg`; ignoring it would give
# every number the wrong sign.
def _is_negated(call: Call, span: Span) -> bool:
    """Whether the logical values are the negated stored ones: torch's lazy `neg` bit (a real view
    of a conj). The key alone sets it, whatever stands there.
    """
    metadata = call.args[METADATA_AT.get(call.function.name, len(call.args)) :]
    names = [name for data in metadata if type(data) is dict for name in data]
    if "conj" in names:
        raise MalformedFile("a conjugated tensor is no bias", span.at, "unsupported")
    return "neg" in names


# A storage pickled by `pickle` and not by torch.save holds a whole torch file as bytes: opening it
# is the one place where a reader calls itself, and it is paid for by the budget.
def _locate(reference: object, envelope: Envelope) -> Storage:
    """A storage: a persistent id, or a whole torch file nested in a plain pickle."""
    if type(reference) is Persistent:
        return envelope.locate(reference)
    if type(reference) is Call and is_load(reference):
        inner = open_nested(reference, envelope)
        return inner.locate(inner.value)
    raise MalformedFile("a tensor's storage is neither a persistent id nor a nested file")


def is_load(call: Call) -> bool:
    """Whether the call loads a whole torch file out of bytes."""
    return call.function == _NESTED


def open_nested(call: Call, envelope: Envelope) -> Envelope:
    """torch/storage.py __reduce__: a storage saved by torch.save into bytes; its root is the
    storage itself. The same bytes are opened once.
    """
    if len(call.args) != 1 or call.altered or call.keywords:
        raise MalformedFile("a nested torch file is not loaded out of one piece of bytes")
    key = id(call.args[0])
    if key not in envelope.opened:
        envelope.chunks.budget.step(OPENING, "a nested torch file")
        envelope.opened[key] = _open(_bytes(call.args[0], envelope))
    opened: Envelope = envelope.opened[key]
    return opened


def _open(span: Span) -> Envelope:
    if is_legacy(span):
        return open_legacy(span)
    if is_zip(span):
        return open_pickle(open_archive(span))
    raise MalformedFile("a nested storage is no torch file", span.at)


def no_storage(reference: object) -> Storage:
    """The storages of a pickle that stands alone."""
    raise MalformedFile(
        "the pickle refers to storages that are kept outside of it: it is a part of a torch file"
    )


def _bytes(value: object, envelope: Envelope) -> Span:
    """Raw bytes of the pickle: where they lie, or decoded ones (protocol 2 spells bytes as latin-1
    text).
    """
    if type(value) is PickledBytes:
        return envelope.chunks[value.start : value.stop]
    if type(value) is Call and value.function == ("_codecs", "encode") and len(value.args) == 2:
        text, coding = value.args
        if type(text) is str and type(coding) is str and coding in ("latin1", "latin-1"):
            envelope.chunks.budget.hold(len(text), "bytes spelled as text")
            try:
                return envelope.chunks.compute(text.encode("latin-1"))
            except UnicodeEncodeError:
                raise MalformedFile(
                    "bytes spelled as text hold a character beyond latin-1"
                ) from None
    raise MalformedFile(
        "array data is stored in a way that only Python 2 wrote", kind="unsupported"
    )


def _array(call: Call, envelope: Envelope) -> Tensor:
    """numpy's __reduce__ state (version, shape, dtype, fortran order, data), or protocol 5's
    _frombuffer.
    """
    if call.function.name == "_frombuffer":
        if len(call.args) != 4:
            raise MalformedFile("_frombuffer has not its four arguments")
        data, dtype, shape, order = call.args
        if type(order) is not str or order not in ("C", "F"):
            raise MalformedFile("an array's order is neither C nor F")
        fortran = order == "F"
    else:
        if type(call.state) is not tuple or len(call.state) != 5:
            raise MalformedFile("a numpy array has not its five parts of state")
        _, shape, dtype, order, data = call.state
        if type(order) not in (bool, int):
            raise MalformedFile("an array's order is neither true nor false")
        fortran = bool(order)
    element, big_endian = _numpy_dtype(dtype)
    return numpy_array(element, _sizes(shape), _bytes(data, envelope), fortran, big_endian)


# The code's byte order ('<f4') is what dtype() was called with; the state that is set afterwards
# has an order of its own, and numpy lets that one win.
def _numpy_dtype(value: object) -> tuple[DType, bool]:
    """numpy.dtype('f4', False, True), state (version, byte order, subarray, names, fields, ...).

    The byte order of the state replaces that of the code, which counts where there is no state.
    """
    plain = type(value) is Call and value.function == ("numpy", "dtype") and bool(value.args)
    code = value.args[0] if type(value) is Call and plain else None
    if type(code) is Global and code == ("ml_dtypes", "bfloat16"):
        return DTYPES[code.name], False
    name = NUMPY_CODES.get(code.lstrip("<>|=")) if type(code) is str and len(code) < 9 else None
    if type(value) is not Call or type(code) is not str or name is None:
        raise MalformedFile(f"a numpy array of dtype {show(code)} is no weight", kind="unsupported")
    if value.items is not None or value.extended is not None or value.keywords:
        raise MalformedFile("a numpy dtype is altered after it was made", kind="ambiguous")
    state = value.state
    if state is None:
        return DTYPES[name], code.startswith(">")
    if type(state) is not tuple or len(state) < 5 or any(part is not None for part in state[2:5]):
        raise MalformedFile("a numpy array of records is no weight", kind="unsupported")
    if type(state[1]) is not str or state[1] not in ("<", ">", "|", "="):
        raise MalformedFile(f"a numpy dtype has the byte order {show(state[1])}")
    return DTYPES[name], state[1] == ">"
