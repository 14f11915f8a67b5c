"""Which pickled calls make a tensor, and whether its numbers can be told.

Comes in: a `Call`, inert. Goes out: whether it would make a tensor or an array, the calls inside
its wrappers, and the reason why its values are not read. Promise: what loaders could take in two
ways gets a reason and no numbers.
Source: torch/_utils.py, torch/_tensor.py, numpy/_core/src/multiarray/methods.c array_reduce.
"""

import re
from collections.abc import Iterator

from ...errors import MalformedFile
from ...raw.words import show
from ...wire.pickle import Call, Global

MAX_WRAPPERS = 8  # Parameter in subclass in Parameter ...: real files have at most two

_UTILS = "torch._utils"
DEVICE_COPIES = {
    (_UTILS, "_rebuild_device_tensor_from_cpu_tensor"),
    (_UTILS, "_rebuild_device_tensor_from_numpy"),
}
_WITH_STATE = (_UTILS, "_rebuild_parameter_with_state")
_PARAMETERS = {("torch.nn.parameter", "Parameter"), ("torch.nn.parameter", "Buffer")}
_WRAPPERS = {(_UTILS, "_rebuild_parameter"), _WITH_STATE} | _PARAMETERS | DEVICE_COPIES
SUBCLASS = {("torch._tensor", "_rebuild_from_type_v2"), ("torch.tensor", "_rebuild_from_type_v2")}
STRIDED = {
    (_UTILS, name) for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3")
}
# How many arguments stand before the metadata; `_rebuild_tensor` has none.
METADATA_AT = {"_rebuild_tensor": 4, "_rebuild_tensor_v2": 6, "_rebuild_tensor_v3": 7}

QUANTIZED = (_UTILS, "_rebuild_qtensor")

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
_TENSORS = _WRAPPERS | STRIDED | SUBCLASS | {QUANTIZED} | set(_UNREAD)
_CLASSES = {"Tensor", "_TensorBase", "tensor", "as_tensor", "from_numpy", "asarray"}
ARRAYS = {
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

# Modules whose functions make tensors or arrays, and what in them makes none.
_LIBRARIES = frozenset(
    ["torch", "torch._C._VariableFunctions", "torch.functional", "numpy", "jax.numpy"]
    + [f"numpy.{core}.{part}" for core in ("core", "_core") for part in ("multiarray", "numeric")]
)
_NO_VALUES = frozenset(
    ["device", "dtype", "layout", "memory_format", "scalar", "finfo", "iinfo", "ufunc"]
    + ["bool_", "str_", "bytes_", "void", "datetime64", "timedelta64", "longdouble", "half"]
    + [f"{kind}{bits}" for kind in ("int", "uint", "float", "complex") for bits in (8, 16, 32, 64)]
    + ["complex128", "float128", "poly1d", "single", "double", "intc", "longlong"]
)
_CONTAINERS = ("collections", "builtins", "__builtin__")

# What the tensors of a recurrent layer are called.
_VALUES = re.compile(
    r"(?:recurrent_)?(?:bias|weight|kernel)(?:_[ihr]h|_hr)?(?:_l\d+)?(?:_reverse)?"
)

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
    return call.function in ARRAYS or call.function in _JAX


# Functions of torch and numpy that make tensors or arrays are many (`torch.full`,
# `numpy.frombuffer`, `numpy.ndarray` over a buffer), and no pickler writes them; those that make
# something else are few. Of other modules nothing is known: there the name decides at which the
# value stands.
def makes_values(path: str, call: Call) -> bool:
    """Whether a call that is not known may make the values that belong at `path`: without them an
    LSTM would seem to lack a bias, or half of one.
    """
    if not call.args and call.state is None:
        return False
    module, name = call.function
    if module in _LIBRARIES:
        return name not in _NO_VALUES and (name[:1].islower() or name.startswith("_"))
    if module in _CONTAINERS or (type(call.state) is dict and "_parameters" in call.state):
        return False
    return _VALUES.fullmatch(path.rpartition(".")[2]) is not None


# The first test is the usual tensor of the usual file, some hundred times a file: nothing was set
# on it and no metadata stands there.
def unread(call: Call) -> tuple[str, str] | None:
    """(reason, detail) when the tensor's values are not stored as plain elements, or when it cannot
    be told what a loader makes of them.
    """
    untouched = call.state is call.items is call.extended is None
    if untouched and call.function in STRIDED and len(call.args) <= 6:
        return None  # nearly all
    for layer in unwrap_calls(call):
        if layer.function in SUBCLASS and _is_distributed(layer):
            return "missing-data", DTENSOR
        if layer.function in _UNREAD:
            return _UNREAD[layer.function]
        if detail := find_trouble(layer):
            return "ambiguous", detail
        innermost = layer
    if innermost.function not in ARRAYS | STRIDED | {QUANTIZED}:
        return "ambiguous", f"it is made by {name_call(innermost)}, whose effect is not known"
    return None


def _is_distributed(call: Call) -> bool:
    """Whether the class that is rebuilt is torch's DTensor."""
    cls = call.args[1] if len(call.args) > 1 else None
    return type(cls) is Global and cls.name == "DTensor" and cls.module.startswith("torch.dist")


def name_call(call: Call) -> str:
    """What would be called, by module and name, as a message may show it."""
    return show(f"{call.function.module}.{call.function.name}")


def unwrap_calls(call: Call) -> Iterator[Call]:
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
    if function in STRIDED:
        return None
    inner: object = None
    if call.state is not None and not args:
        inner = _set_by_state(call)
    elif function in _WRAPPERS and args:
        inner = args[0]
    elif function in SUBCLASS and _is_nested(args):
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
    return inner if inner.function in ARRAYS else None


def _is_nested(args: tuple[object, ...]) -> bool:
    """(function, class, its arguments, state)."""
    return len(args) >= 3 and type(args[0]) is Global and type(args[2]) is tuple


# BUILD on a call without arguments is how torch pickled a tensor before `_rebuild_tensor` existed.
# Files of that time are still on the web, and the newest torch still loads them.
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


def find_trouble(call: Call) -> str | None:
    """Why it cannot be told what one call makes; None when it can."""
    if call.keywords or call.items is not None or call.extended is not None:
        return ALTERED
    if call.function in ARRAYS:
        return _trouble_of_array(call)
    if call.state is not None and _inner(call) is None:
        return ALTERED
    if call.state is not None and call.args:
        return ALTERED
    if call.function == _WITH_STATE or call.function in SUBCLASS:
        return None if state_is_harmless(call) else ALTERED
    if call.function in STRIDED:
        at = METADATA_AT[call.function.name]
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


def state_is_harmless(call: Call) -> bool:
    """Whether the state that (..., ..., ..., state) sets on a tensor leaves its values alone."""
    return _is_harmless(call.args[3:4])


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
