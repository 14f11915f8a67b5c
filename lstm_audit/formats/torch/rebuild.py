"""One pickled tensor: the call that would rebuild it, read as a view of a storage.

Comes in: a `Call` that names one of torch's or numpy's rebuilding functions. Goes out: a `Tensor`.
Promise: its arguments are checked like any header; the function is never called. Source:
torch/_utils.py, torch/_tensor.py, numpy/_core/src/multiarray/methods.c array_reduce.
"""

from ...errors import MalformedFile
from ...raw.dtypes import DTYPES, DType
from ...raw.source import BytesSource
from ...raw.span import Span, whole
from ...raw.tensor import MAX_DIMS, Tensor, contiguous, strides_of, view
from ...wire.pickle import Call, Chunk, Global, Persistent
from ...wire.zip import is_zip
from .archive import open_archive, open_pickle
from .legacy import Envelope, is_legacy, open_legacy
from .storage import Storage, dtype_named

MAX_WRAPPERS = 8  # Parameter in subclass in Parameter ...: real files have at most two

_UTILS = "torch._utils"
_WRAPPERS = {
    (_UTILS, "_rebuild_parameter"), (_UTILS, "_rebuild_parameter_with_state"),
    (_UTILS, "_rebuild_device_tensor_from_cpu_tensor"), (_UTILS,
    "_rebuild_device_tensor_from_numpy"),
    ("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer"),
}  # fmt: skip
_SUBCLASS = ("torch._tensor", "_rebuild_from_type_v2")
_STRIDED = {
    (_UTILS, name) for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
}
_QUANTIZED = (_UTILS, "_rebuild_qtensor")
_NESTED = ("torch.storage", "_load_from_bytes")
_UNREAD = {
    (_UTILS, "_rebuild_sparse_tensor"): ("unsupported-dtype", "a sparse tensor"),
    (_UTILS, "_rebuild_sparse_csr_tensor"): ("unsupported-dtype", "a sparse tensor"),
    (_UTILS, "_rebuild_nested_tensor"): ("unsupported-dtype", "a nested tensor"),
    (_UTILS, "_rebuild_wrapper_subclass"): (
        "unsupported-dtype",
        "a tensor subclass without values of its own",
    ),
    (_UTILS, "_rebuild_meta_tensor_no_storage"): (
        "missing-data",
        "a meta tensor: the file holds its shape only",
    ),
}
_TENSORS = _WRAPPERS | _STRIDED | {_SUBCLASS, _QUANTIZED} | set(_UNREAD)
_ARRAYS = {
    (module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")
} | {(module, "_frombuffer") for module in ("numpy.core.numeric", "numpy._core.numeric")}
_NUMPY_DTYPES = {
    "f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32",
    "i8": "int64",
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "b1": "bool",
    "c8": "complex64", "c16": "complex128",
}  # fmt: skip


def is_tensor(call: Call) -> bool:
    """Whether the call would make a torch tensor or parameter."""
    return call.function in _TENSORS and bool(call.args)


def is_array(call: Call) -> bool:
    """Whether the call would make a numpy array."""
    return call.function in _ARRAYS


def unread(call: Call) -> tuple[str, str] | None:
    """(reason, detail) when the tensor's values are not stored as plain elements."""
    return _UNREAD.get(_unwrapped(call).function)


def rebuild(call: Call, envelope: Envelope) -> Tensor:
    """The tensor, located in the file; raises `MalformedFile` when the arguments do not fit
    together.
    """
    call = _unwrapped(call)
    if is_array(call):
        return _array(call, envelope)
    if call.function not in _STRIDED and call.function != _QUANTIZED:
        raise MalformedFile(f"{call.function.name} is no tensor", envelope.chunks.at)
    return _strided(call, envelope)


def claimed_shape(call: Call) -> tuple[int, ...] | None:
    """The size that a strided tensor claims, if its storage claims to have so many elements; None
    where it takes more.

    The storage itself is not looked for: of a weight, nothing but the shape is asked.
    """
    call = _unwrapped(call)
    if call.function not in _STRIDED or len(call.args) < 4 or type(call.args[0]) is not Persistent:
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


def _unwrapped(call: Call) -> Call:
    """The innermost call behind Parameter and subclass wrappers."""
    if call.function in _STRIDED:
        return call
    for _ in range(MAX_WRAPPERS):
        inner: object = None
        if call.function in _WRAPPERS and call.args:
            inner = call.args[0]
        elif call.function == _SUBCLASS and len(call.args) >= 3:
            function, _, arguments = call.args[:3]
            if type(function) is Global and type(arguments) is tuple:
                inner = Call(function, arguments)
        if type(inner) is not Call:
            return call
        call = inner
    raise MalformedFile("a tensor is wrapped too often", kind="limit")


def _strided(call: Call, envelope: Envelope) -> Tensor:
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
    shape, strides = _sizes(shape), _sizes(strides)
    if type(offset) is not int:
        raise MalformedFile("a tensor's storage offset is no integer", storage.span.at)
    negated = _metadata(call, storage.span)
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


def _metadata(call: Call, span: Span) -> bool:
    """Whether the logical values are the negated stored ones: torch's lazy `neg` bit (a real view
    of a conj).
    """
    metadata = [argument for argument in call.args[6:] if type(argument) is dict]
    if any(data.get("conj") for data in metadata):
        raise MalformedFile("a conjugated tensor is no bias", span.at, "unsupported")
    return any(bool(data.get("neg")) for data in metadata)


def _locate(reference: object, envelope: Envelope) -> Storage:
    """A storage: a persistent id, or a whole torch file nested in a plain pickle."""
    if type(reference) is Persistent:
        return envelope.locate(reference)
    if type(reference) is Call and nested_file(reference):
        inner = open_nested(reference, envelope)
        return inner.locate(inner.value)
    raise MalformedFile("a tensor's storage is neither a persistent id nor a nested file")


def nested_file(call: Call) -> Call | None:
    """The call that loads a whole torch file out of bytes: this one, or a tensor's first
    argument.
    """
    first = call.args[0] if call.args else None
    for candidate in (call, first):
        if type(candidate) is Call and candidate.function == _NESTED and candidate.args:
            return candidate
    return None


def open_nested(call: Call, envelope: Envelope) -> Envelope:
    """torch/storage.py __reduce__: a storage saved by torch.save into bytes; its root is the
    storage itself.
    """
    span = _bytes(call.args[0], envelope)
    head = span[: min(span.size, 32)].read()
    if is_legacy(head):
        return open_legacy(span)
    if is_zip(span):
        return open_pickle(open_archive(span))
    raise MalformedFile("a nested storage is no torch file", span.at)


def _bytes(value: object, envelope: Envelope) -> Span:
    """Raw bytes of the pickle: where they lie, or decoded ones (protocol 2 spells bytes as latin-1
    text).
    """
    if type(value) is Chunk:
        return envelope.chunks[value.start : value.stop]
    if type(value) is Call and value.function == ("_codecs", "encode") and len(value.args) == 2:
        text, coding = value.args
        if type(text) is str and coding in ("latin1", "latin-1"):
            try:
                return whole(BytesSource(text.encode("latin-1"), envelope.chunks.source.name))
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
        fortran = order == "F"
    else:
        if type(call.state) is not tuple or len(call.state) != 5:
            raise MalformedFile("a numpy array has not its five parts of state")
        _, shape, dtype, fortran_order, data = call.state
        fortran = bool(fortran_order)
    return _placed_array(_bytes(data, envelope), _sizes(shape), fortran, *_numpy_dtype(dtype))


def _placed_array(
    span: Span, shape: tuple[int, ...], fortran: bool, dtype: DType, big_endian: bool
) -> Tensor:
    checked = contiguous(dtype, shape, span)
    strides = tuple(reversed(strides_of(tuple(reversed(shape))))) if fortran else checked.strides
    return view(dtype, shape, strides, span, big_endian=big_endian)


def _numpy_dtype(value: object) -> tuple[DType, bool]:
    """numpy.dtype('f4', False, True) with state (version, byte order, ...)."""
    code = value.args[0] if type(value) is Call and value.args else None
    name = _NUMPY_DTYPES.get(code.lstrip("<>|=")) if type(code) is str else None
    if name is None:
        raise MalformedFile(f"a numpy array of dtype {code!r:.40} is no weight", kind="unsupported")
    state = value.state if type(value) is Call and type(value.state) is tuple else ()
    return DTYPES[name], len(state) > 1 and state[1] == ">"
