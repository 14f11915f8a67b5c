"""Live objects: torch modules, and state dicts of torch tensors or numpy arrays.

Comes in: an object. Goes out: a `Checkpoint` of format "live". Promise: the object is the same
afterwards, to the byte, the version counter and the random state; no forward, hook or lazy
computation runs, and of the data only the bytes that are asked for are copied. torch and numpy are
taken from `sys.modules`, never imported.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..errors import MalformedFile, Skipped, UnknownFormat
from ..raw.budget import Budget
from ..raw.dtypes import DTYPES, DType
from ..raw.source import BytesSource
from ..raw.span import span_all
from ..raw.tensor import MAX_DIMS, Tensor, strides_of, view
from ..raw.tensors import hold_tensors
from ..raw.words import MAX_NAME
from . import Checkpoint, Claim

# Levels of a nested state dict; trainers nest five.
MAX_DEPTH = 64

# Mappings and lists of a nested state dict that are looked into: shared ones can unfold without
# end.
MAX_CONTAINERS = 300_000

# Further paths to modules that have one already: modules that share parts with each other can have
# twice as many at each level. Real ones have a few dozen.
MAX_ALIASES = 10_000

SUPPORTED = (
    "a torch.nn.Module, a Keras model, or a mapping (nested if you like) of torch tensors or numpy "
    "arrays, can be audited"
)

_FACTS = ("hidden_size", "proj_size", "num_layers", "bidirectional", "bias")
PACKED = (
    "its parameters are packed, and a live object does not show them; save it and audit the file"
)
_DYNAMIC = "torch.ao.nn.quantized.dynamic.modules.rnn"


# Strategy. A live model is user code: properties, `state_dict` overrides and `__torch_function__`
# may do anything, so none is called. What is read are the plain dictionaries of nn.Module
# (`_parameters`, `_buffers`, `_modules`), types, and storages through a fresh uint8 view. That view
# is what keeps the promise to the version counter: reading through the tensor itself would touch
# its graph.
class Gathered:
    """What was found so far; `sources` holds one source for each storage, so that aliases can be
    told.
    """

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.claims: dict[str, Claim] = {}
        self.skipped: list[Skipped] = []
        self.sources: dict[object, MemorySource] = {}
        self.budget = Budget()
        self.containers = 0


class MemorySource(NamedTuple):
    """The bytes of a live storage. They have an address, but no place in a file."""

    size: int
    fetch: Callable[[int, int], bytes]
    budget: Budget
    name: str = "memory"
    placed: bool = False
    far: bool = False

    def read(self, at: int, n: int) -> bytes:
        """Exactly `n` bytes from `at`; a `Span` has checked the bounds."""
        return self.fetch(at, n) if n else b""


class _NoDataError(ValueError):
    """A tensor without bytes that could be read: the reason as in `Skipped`, and the sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason, self.detail = reason, detail


def read_module(module: Any) -> Checkpoint:
    """A `torch.nn.Module`'s parameters and buffers under all their names, and the classes of its
    recurrences.
    """
    if not _is_module(module):
        raise UnknownFormat(
            f"a {type(module).__name__} is no torch.nn.Module; {SUPPORTED}", kind="unsupported"
        )
    got = Gathered()
    _add_module(got, "", module)
    return _checkpoint(got)


def read_mapping(state: Mapping[str, Any]) -> Checkpoint:
    """A state dict; nested mappings, lists and modules get dotted names."""
    if not isinstance(state, Mapping):
        raise UnknownFormat(
            f"a {type(state).__name__} is no mapping; {SUPPORTED}", kind="unsupported"
        )
    got = Gathered()
    _add_value(got, "", state, ())
    if state and not got.tensors and not got.skipped and not got.claims:
        raise UnknownFormat(f"the mapping holds no tensor; {SUPPORTED}", kind="unsupported")
    return _checkpoint(got)


def _checkpoint(got: Gathered) -> Checkpoint:
    return Checkpoint("live", hold_tensors(got.tensors), got.claims, tuple(got.skipped))


def _library(name: str) -> Any:
    """torch or numpy if it was imported; an object of theirs cannot exist otherwise."""
    return sys.modules.get(name)


def _is_module(value: Any) -> bool:
    torch = _library("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _join(path: str, name: object) -> str:
    joined = f"{path}.{name}" if path else str(name)
    if len(joined) > MAX_NAME:
        raise MalformedFile(f"a name of over {MAX_NAME} characters", kind="limit")
    return joined


def _add_value(got: Gathered, path: str, value: Any, above: tuple[int, ...]) -> None:
    """One value of a nested state dict; `above` are the containers around it, so that a circle
    ends.
    """
    if isinstance(value, Mapping):
        inner: Iterable[tuple[object, Any]] = value.items()
    elif isinstance(value, list | tuple):
        inner = enumerate(value)
    else:
        _add_leaf(got, path, value)
        return
    _count(got, 1)
    if len(above) > MAX_DEPTH:
        raise MalformedFile(f"the state dict has over {MAX_DEPTH} levels", kind="limit")
    if id(value) not in above:
        for name, item in inner:
            _add_value(got, _join(path, name), item, (*above, id(value)))


def _count(got: Gathered, containers: int) -> None:
    got.containers += containers
    if got.containers > MAX_CONTAINERS:
        message = f"the object has over {MAX_CONTAINERS} mappings, lists and modules"
        raise MalformedFile(message, kind="limit")


def _add_leaf(got: Gathered, path: str, value: Any) -> None:
    torch, numpy = _library("torch"), _library("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        _add_tensor(got, path, value, _torch_tensor)
    elif numpy is not None and isinstance(value, numpy.ndarray):
        _add_tensor(got, path, value, _numpy_tensor)
    elif _is_module(value):
        _add_module(got, path, value)


def _add_module(got: Gathered, path: str, module: Any) -> None:
    """A module's tensors under all their names. Its own methods are not asked: a subclass may do
    anything in them.
    """
    parts = _parts(module)
    _count(got, len(parts))
    places = [(_join(path, name) if name else path, part) for name, part in parts]
    for kind in ("_parameters", "_buffers"):
        for where, part in places:
            for name, tensor in getattr(part, kind).items():
                if tensor is not None:
                    _add_tensor(got, _join(where, name), tensor, _torch_tensor)
    for where, part in places:
        got.claims[where] = _claim(part)
        dynamic = _DYNAMIC in (cls.__module__ for cls in type(part).__mro__)
        if dynamic and "hidden_size" in vars(part):
            _add_packed(got, where, part)
    if isinstance(module, _library("torch").jit.ScriptModule):
        _add_scripted(got, path, module)


def _parts(module: Any) -> list[tuple[str, Any]]:
    """A module and all inside it, under every path, those above first."""
    _bound_paths(module)
    found = []
    stack = [("", module)]
    while stack:
        path, part = stack.pop()
        found.append((path, part))
        inner = [(_join(path, name), child) for name, child in _children(part)]
        stack += reversed(inner)
    return found


def _children(module: Any) -> list[tuple[str, Any]]:
    return [(name, part) for name, part in module._modules.items() if part is not None]


# Modules that share submodules have more paths than modules, exponentially many if the sharing is
# nested: they are counted bottom-up, as in any acyclic graph (paths of a module = 1 + those of its
# children), before a single path is made.
def _bound_paths(root: Any) -> None:
    """Raise `MalformedFile` where a module contains itself, or where there are far more paths to
    modules than modules: they are counted, from the innermost outwards, before any is walked.
    """
    paths: dict[int, int] = {}  # of the modules that are done
    above: set[int] = set()  # those on the way from the root to the one at hand
    stack = [root]
    while stack:
        module = stack[-1]
        inner = [part for _, part in _children(module)]
        if id(module) in paths:
            stack.pop()
        elif id(module) in above:
            paths[id(module)] = 1 + sum(paths[id(part)] for part in inner)
            above.remove(id(module))
            stack.pop()
        else:
            above.add(id(module))
            stack += [part for part in inner if id(part) not in paths]
            if any(id(part) in above for part in inner):
                raise MalformedFile("a module of the object contains itself", kind="unsupported")
    if paths[id(root)] - len(paths) > MAX_ALIASES:
        message = f"its modules share parts in more than {MAX_ALIASES} ways"
        raise MalformedFile(message, kind="limit")


def _add_scripted(got: Gathered, path: str, module: Any) -> None:
    """What a script runs, where its parameters do not show it: torch.jit.freeze made constants of
    them.
    """
    if any(name.startswith(path) for name in got.tensors):
        return
    calls = str(module.inlined_graph)
    if "aten::lstm" in calls:
        got.skipped.append(
            Skipped(
                path, "frozen", "torch.jit.freeze made constants of the weights; audit it unfrozen"
            )
        )
    elif "quantized_lstm" in calls:
        got.skipped.append(Skipped(path, "packed", PACKED))


def _claim(module: Any) -> Claim:
    """What a module's class, those it inherits from, and its own numbers say of it."""
    own, base = type(module), _library("torch").nn.Module
    state = vars(module)
    facts = {key: int(value) for key in _FACTS if isinstance(value := state.get(key), int)}
    bases = tuple(
        f"{cls.__module__}.{cls.__qualname__}"
        for cls in own.__mro__[1:]
        if issubclass(cls, base) and cls is not base
    )
    if _computes_itself(own):
        facts["own_forward"] = 1
    return Claim(f"{own.__module__}.{own.__qualname__}", facts=facts, bases=bases)


# A subclass with a forward of its own may use the weights in any way, and the rows could then be
# wrong; one that calls super().forward, or has none, is torch's LSTM by its numbers.
def _computes_itself(own: type) -> bool:
    """Whether the author of a class wrote a forward that does not call the inherited one. The code
    is looked at, never run.
    """
    author = next(cls for cls in own.__mro__ if "forward" in vars(cls))
    code = getattr(vars(author)["forward"], "__code__", None)
    called = () if code is None else code.co_names
    return not author.__module__.startswith("torch.") and not {"super", "forward"} & {*called}


def _add_packed(got: Gathered, path: str, module: Any) -> None:
    """A dynamically quantised LSTM keeps its weights packed; torch unpacks copies of them, the
    biases in float32.
    """
    try:
        unpacked = {**module.get_weight(), **module.get_bias()}
    except (AttributeError, RuntimeError) as error:
        got.skipped.append(Skipped(path, "packed", f"torch cannot unpack its parameters: {error}"))
        return
    for name, tensor in unpacked.items():
        _add_tensor(got, _join(path, name), tensor, _torch_tensor)


def _add_tensor(
    got: Gathered, name: str, value: Any, convert: Callable[[Gathered, Any], Tensor]
) -> None:
    """One named tensor. Without bytes it stays as a shape, so that its module is not taken for one
    without a bias.
    """
    if name in got.tensors:
        raise MalformedFile(f"two tensors of the object are called {name!r}", kind="ambiguous")
    shape = _shape(value)
    if shape is not None and len(shape) > MAX_DIMS:
        return
    try:
        got.tensors[name] = convert(got, value)
    except _NoDataError as error:
        if shape is not None:
            dtype = DType(f"{_dtype_name(value)} without readable data", 1)
            got.tensors[name] = Tensor(dtype, shape, strides_of(shape), span_all(BytesSource(b"")))
        # of a matrix the shape is enough: only vectors, and what has no shape, are missed
        if shape is None or sum(size != 1 for size in shape) <= 1:
            said = f", shape {shape}" if shape else ""
            got.skipped.append(Skipped(name, error.reason, f"{name}: {error.detail}{said}"))


def _shape(value: Any) -> tuple[int, ...] | None:
    """None while a lazy parameter has none, and for nested and symbolic ones."""
    try:
        shape = tuple(value.shape)
    except RuntimeError:
        return None
    return shape if all(isinstance(size, int) for size in shape) else None


def _dtype_name(value: Any) -> str:
    return str(getattr(value.dtype, "name", value.dtype)).removeprefix("torch.")


def _known_dtype(value: Any) -> DType:
    name = _dtype_name(value)
    if name not in DTYPES:
        raise _NoDataError("unsupported-dtype", f"its dtype is {name}")
    return DTYPES[name]


# Two tensors on one storage must be known as aliases: the key of a storage is its device, address
# and size. Empty storages all have address 0, so these go by their own identity.
def _torch_tensor(got: Gathered, tensor: Any) -> Tensor:
    """A strided view of the storage as it lies in memory, on whichever device."""
    _refuse_unreadable(tensor)
    dtype = _known_dtype(tensor)
    try:
        storage = tensor.untyped_storage()
        key = (str(storage.device), storage.data_ptr() or id(tensor), storage.nbytes())
    except (
        RuntimeError
    ) as error:  # also NotImplementedError: functorch, XLA and other tensors without a storage
        raise _NoDataError(
            "missing-data", f"torch gives no access to its storage ({type(error).__name__})"
        ) from None
    source = MemorySource(storage.nbytes(), _fetch_torch(storage), got.budget)
    source = got.sources.setdefault(key, source)
    shape, strides, big = tuple(tensor.shape), tuple(tensor.stride()), sys.byteorder == "big"
    return _view(dtype, shape, strides, source, tensor.storage_offset(), big, tensor.is_neg())


# The tests are in the order in which asking is safe: a lazy parameter has no shape, a subclass with
# its own dispatch may run code on any access, and only then may layout be asked.
def _refuse_unreadable(tensor: Any) -> None:
    """Tensors that are only promises of data, or keep it in another form than rows of numbers."""
    torch, own = _library("torch"), type(tensor)
    if isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin):
        raise _NoDataError("missing-data", "a lazy parameter that no input has given a shape yet")
    if own.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__:
        raise _NoDataError("missing-data", f"a {own.__name__} holds no bytes of its own")
    if tensor.is_nested or tensor.layout is not torch.strided:
        raise _NoDataError(
            "unsupported-dtype", f"its layout is {'nested' if tensor.is_nested else tensor.layout}"
        )
    if tensor.is_meta:
        raise _NoDataError("missing-data", "a tensor on the meta device has no data")


def _fetch_torch(storage: Any) -> Callable[[int, int], bytes]:
    """Reads by a uint8 view of its own: the tensor, its graph and its version counter are not
    touched.
    """

    def fetch(at: int, n: int) -> bytes:
        from ctypes import string_at  # 3 ms, and foreign memory, for live objects alone

        torch = _library("torch")
        part = (
            torch.empty(0, dtype=torch.uint8, device=storage.device)
            .set_(storage, at, (n,), (1,))
            .cpu()
        )
        return string_at(part.data_ptr(), n)

    return fetch


def _numpy_tensor(got: Gathered, array: Any) -> Tensor:
    """A view of the array's memory; a copy of it where the strides run backwards or between
    elements.
    """
    dtype = _known_dtype(array)
    if any(step < 0 or step % array.itemsize for step in array.strides):
        array = array.copy(order="C")
    shape, strides = tuple(array.shape), tuple(step // array.itemsize for step in array.strides)
    reach = (
        0
        if 0 in shape
        else 1 + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    )
    address = array.__array_interface__["data"][0]
    source = MemorySource(reach * dtype.itemsize, _fetch_numpy(array, address), got.budget)
    source = got.sources.setdefault(("numpy", address, source.size), source)
    order = array.dtype.byteorder
    return _view(
        dtype,
        shape,
        strides,
        source,
        0,
        order == ">" or (order == "=" and sys.byteorder == "big"),
        False,
    )


def _fetch_numpy(array: Any, address: int) -> Callable[[int, int], bytes]:
    """The closure keeps `array`, and so its memory, alive."""

    def fetch(at: int, n: int, owner: Any = array) -> bytes:
        from ctypes import string_at  # 3 ms, and foreign memory, for live objects alone

        return string_at(address + at, n)

    return fetch


def _view(
    dtype: DType,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    source: MemorySource,
    offset: int,
    big_endian: bool,
    negated: bool,
) -> Tensor:
    try:
        return view(
            dtype, shape, strides, span_all(source), offset, big_endian=big_endian, negated=negated
        )
    except MalformedFile:
        raise _NoDataError(
            "missing-data", "its storage was freed, or is held by another process (FSDP)"
        ) from None
