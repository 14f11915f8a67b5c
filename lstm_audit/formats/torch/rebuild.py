"""One pickled tensor: the call that would rebuild it, read as a view of a storage.

Comes in: a `Call` that names one of torch's or numpy's rebuilding functions. Goes out: a `Tensor`.
Promise: its arguments are checked like any header; the function is never called; and where what was
rebuilt is altered in a way whose effect is not known, there is no tensor, but the reason.
Source: torch/_utils.py, torch/_tensor.py, numpy/_core/src/multiarray/methods.c array_reduce.
"""

from collections.abc import Iterator

from ...errors import MalformedFile
from ...raw.dtypes import DTYPES, NUMPY_CODES, DType
from ...raw.span import Span
from ...raw.tensor import MAX_DIMS, Tensor, numpy_array, view
from ...raw.words import show
from ...wire.pickle import Call, Global, Persistent, PickledBytes
from ...wire.zip import is_zip
from .archive import open_archive, open_pickle
from .legacy import Envelope, is_legacy, open_legacy
from .storage import Storage, dtype_named

MAX_WRAPPERS = 8  # Parameter in subclass in Parameter ...: real files have at most two
OPENING = 100  # steps of the budget that a nested file takes, however small it is

_UTILS = "torch._utils"
_DEVICE = {
    (_UTILS, "_rebuild_device_tensor_from_cpu_tensor"),
    (_UTILS, "_rebuild_device_tensor_from_numpy"),
}
_WITH_STATE = (_UTILS, "_rebuild_parameter_with_state")
_PARAMETERS = {("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer")}
_WRAPPERS = {(_UTILS, "_rebuild_parameter"), _WITH_STATE} | _PARAMETERS | _DEVICE
_SUBCLASS = {("torch._tensor", "_rebuild_from_type_v2"), ("torch.tensor", "_rebuild_from_type_v2")}
_STRIDED = {
    (_UTILS, name) for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
}
# How many arguments stand before the metadata; `_rebuild_tensor` has none.
_METADATA_AT = {"_rebuild_tensor": 4, "_rebuild_tensor_v2": 6, "_rebuild_tensor_v3": 7}

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
_TENSORS = _WRAPPERS | _STRIDED | _SUBCLASS | {_QUANTIZED} | set(_UNREAD)
_CLASSES = {"Tensor", "_TensorBase", "tensor", "as_tensor", "from_numpy", "asarray"}
_ARRAYS = {
    (module, "_reconstruct") for module in ("numpy.core.multiarray", "numpy._core.multiarray")
} | {(module, "_frombuffer") for module in ("numpy.core.numeric", "numpy._core.numeric")}
# How jax pickles an array: (function, arguments, state) of numpy's, and what jax knows of it.
_JAX = {
    ("jax._src.array", "_reconstruct_array"),
    ("jax._src.device_array", "reconstruct_device_array"),
}

_NDARRAY = ("numpy", "ndarray")
# Attributes that a tensor's state may name and that would change its values; so might any name with
# two underscores. (tests/formats/test_torch_truth.py asks torch for them.)
_TOUCHING = frozenset({"data", "real", "imag"})

DTENSOR = (
    "a DTensor, of which each rank's file holds a part; gather it by full_tensor() before "
    "torch.save, or save a distributed checkpoint and run `python -m "
    "torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt`"
)

ALTERED = "what was rebuilt is altered afterwards, and loaders differ in what that does"


# A pickled tensor is a call: `_rebuild_tensor_v2(storage, offset, size, stride, ...)`, perhaps
# inside `Parameter(...)`, perhaps inside a subclass. This file reads such calls as if they had been
# made. What torch would do with odd arguments is not guessed: every form that loaders could take in
# two ways gets a reason (`unread`) and no numbers.
def is_tensor(call: Call) -> bool:
    """Whether the call would make a torch tensor or parameter."""
    module, name = call.function
    if (module, name) in _TENSORS:
        return True
    if module == _UTILS:
        return name.startswith("_rebuild_")
    if module in ("torch", "torch.cuda", "torch._tensor"):
        return name in _CLASSES or name.endswith("Tensor")
    return False


def is_array(call: Call) -> bool:
    """Whether the call would make an array of numpy or jax."""
    return call.function in _ARRAYS or call.function in _JAX


# The first test is the usual tensor of the usual file, some hundred times a file: nothing was set
# on it and no metadata stands there.
def unread(call: Call) -> tuple[str, str] | None:
    """(reason, detail) when the tensor's values are not stored as plain elements, or when it cannot
    be told what a loader makes of them.
    """
    untouched = call.state is call.items is call.extended is None
    if untouched and call.function in _STRIDED and len(call.args) <= 6:
        return None  # nearly all
    for layer in _layers(call):
        if layer.function in _SUBCLASS and _is_distributed(layer):
            return "missing-data", DTENSOR
        if layer.function in _UNREAD:
            return _UNREAD[layer.function]
        if detail := _trouble(layer):
            return "ambiguous", detail
        innermost = layer
    if innermost.function not in _ARRAYS | _STRIDED | {_QUANTIZED}:
        return "ambiguous", f"it is made by {_named(innermost)}, whose effect is not known"
    return None


def _is_distributed(call: Call) -> bool:
    """Whether the class that is rebuilt is torch's DTensor."""
    cls = call.args[1] if len(call.args) > 1 else None
    return type(cls) is Global and cls.name == "DTensor" and cls.module.startswith("torch.dist")


def _named(call: Call) -> str:
    return show(f"{call.function.module}.{call.function.name}")


def _layers(call: Call) -> Iterator[Call]:
    """A call and those inside it, wrapper by wrapper, to the one that makes the tensor."""
    for _ in range(MAX_WRAPPERS + 1):
        yield call
        inner = _inner(call)
        if inner is None:
            return
        call = inner
    raise MalformedFile("a tensor is wrapped too often", kind="limit")


# Wrappers hide the inner call in three places: as the first argument (Parameter), as (function,
# class, arguments) of a subclass, and, before torch 0.4, in the state that is set on an empty
# tensor.
def _inner(call: Call) -> Call | None:
    """The call inside a wrapper; None for what is none."""
    function, args = call.function, call.args
    if function in _STRIDED:
        return None
    inner: object = None
    if call.state is not None and not args:
        inner = _set_by_state(call)
    elif function in _WRAPPERS and args:
        inner = args[0]
    elif function in _SUBCLASS and _is_nested(args):
        inner = Call(args[0], args[2])
    elif function in _JAX:
        inner = _of_jax(args)
    return inner if type(inner) is Call else None


def _of_jax(args: tuple[object, ...]) -> Call | None:
    """The array of numpy in one of jax; None where the arguments are none of jax's."""
    if len(args) != 4 or type(args[0]) is not Global or type(args[1]) is not tuple:
        return None
    inner = Call(args[0], args[1])
    inner.state = args[2]
    return inner if inner.function in _ARRAYS else None


def _is_nested(args: tuple[object, ...]) -> bool:
    """(function, class, its arguments, state)."""
    return len(args) >= 3 and type(args[0]) is Global and type(args[2]) is tuple


def _set_by_state(call: Call) -> object:
    """torch before 0.4 made an empty tensor and gave it its state (torch/_tensor.py, __setstate__):
    (storage, offset, size, stride), or of a parameter (data, requires_grad, ...).
    """
    state = call.state
    if type(state) is not tuple or not is_tensor(call):
        return None
    if len(state) == 4:
        return Call(Global(_UTILS, "_rebuild_tensor"), state)
    return state[0] if len(state) == 5 and call.function in _PARAMETERS else None


def _trouble(call: Call) -> str | None:
    """Why it cannot be told what one call makes; None when it can."""
    if call.keywords or call.items is not None or call.extended is not None:
        return ALTERED
    if call.function in _ARRAYS:
        return _trouble_of_array(call)
    if call.state is not None and _inner(call) is None:
        return ALTERED
    if call.state is not None and call.args:
        return ALTERED
    if call.function == _WITH_STATE or call.function in _SUBCLASS:
        return None if _is_harmless(call.args[3:4]) else ALTERED
    if call.function in _STRIDED:
        at = _METADATA_AT[call.function.name]
        more = call.args[at:]
        if len(more) > (at > 4) or any(not _is_metadata(value) for value in more):
            return "its metadata is none that torch writes"
    return None


def _trouble_of_array(call: Call) -> str | None:
    if call.function.name == "_frombuffer":
        return None if call.state is None else ALTERED
    if call.args and call.args[0] != _NDARRAY:
        return "it is a subclass of numpy's array"
    return None


# torch sets a subclass's state by `setattr` for each name. Names like `data`, or any with two
# underscores, would replace the values or the class; `_backward_hooks` and a user's own do not.
def _is_harmless(arguments: tuple[object, ...]) -> bool:
    """Whether the state that is set on a tensor names only attributes that leave its values alone:
    a dict, or a pair of them.
    """
    states = arguments
    if states and type(states[0]) is tuple:
        states = states[0]
    for state in states:
        if type(state) is dict:
            names = list(state)
        elif type(state) is Call and not state.args and state.extended is None:
            names = [key for key, _ in state.items or ()]  # an OrderedDict
        elif state is None:
            names = []
        else:
            return False
        if not all(type(name) is str and _leaves_values(name) for name in names):
            return False
    return True


def _leaves_values(name: str) -> bool:
    return name not in _TOUCHING and not name.startswith("__")


def _is_metadata(value: object) -> bool:
    return value is None or (
        type(value) is dict
        and all(type(key) is str and type(v) in (int, bool) for key, v in value.items())
    )


def rebuild(call: Call, envelope: Envelope) -> Tensor:
    """The tensor, located in the file; raises `MalformedFile` when the arguments do not fit
    together.
    """
    layers = list(_layers(call))
    for layer in layers:
        if detail := _trouble(layer):
            raise MalformedFile(f"a tensor cannot be told: {detail}", kind="ambiguous")
    innermost = layers[-1]
    if innermost.function in _ARRAYS:
        tensor = _array(innermost, envelope)
    elif innermost.function in _STRIDED or innermost.function == _QUANTIZED:
        tensor = _strided(innermost, envelope)
    else:
        raise MalformedFile(f"{_named(innermost)} is no tensor", envelope.chunks.at)
    for layer in layers:
        if layer.function in _DEVICE:
            _refuse_conversion(layer, tensor)
    return tensor


def _refuse_conversion(call: Call, tensor: Tensor) -> None:
    """(data, dtype, device, requires_grad): the data are converted, which may round them."""
    dtype = call.args[1] if len(call.args) > 1 else None
    if type(dtype) is not Global or dtype_named(dtype.name) != tensor.dtype:
        raise MalformedFile("a tensor is converted to another dtype", tensor.span.at, "ambiguous")


# Asked for every weight, of which only shapes matter: finding its storage in the archive would cost
# a look-up, and a read in older formats, that nobody needs. The claim is held against the number of
# elements that the persistent id names, which bounds what it can say.
def claimed_shape(call: Call) -> tuple[int, ...] | None:
    """The size that a strided tensor claims, if its storage claims to have so many elements; None
    where it takes more.

    The storage itself is not looked for: of a weight, nothing but the shape is asked.
    """
    if call.function not in _STRIDED:
        *_, call = _layers(call)
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
    metadata = call.args[_METADATA_AT.get(call.function.name, len(call.args)) :]
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
                return envelope.chunks.computed(text.encode("latin-1"))
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
