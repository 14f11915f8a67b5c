"""Live Keras models, of any backend.

Comes in: a model, layer or cell of Keras 2 or 3. Goes out: a `Checkpoint` of format "live" under
the names that the variables have in the model, and the variables themselves. Promise: nothing of
Keras is imported (the object brought it along), no layer is called, and of the numbers only those
of the biases are copied.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ...errors import MalformedFile, Skipped, UnknownFormat
from ...raw.budget import Budget
from ...raw.dtypes import DTYPES, DType
from ...raw.memory import MemorySource, open_memory
from ...raw.span import span_all
from ...raw.tensor import Tensor, strides_of
from .. import Checkpoint, Claim
from .cells import claim_cell, name_activation
from .config import Config

# The packages whose `Layer` makes an object one of Keras's.
FRAMEWORKS = ("keras", "tf_keras")

# Layers within layers that are looked into.
MAX_LAYERS = 20_000

_ROLES = ("kernel", "recurrent_kernel", "bias")
# Classes whose objects hold a recurrent kernel once they are built.
_CELLS = frozenset(
    ["LSTMCell", "ConvLSTMCell", "GRUCell", "SimpleRNNCell", "CuDNNLSTM", "CuDNNGRU"]
)


class LiveCell(NamedTuple):
    """One cell of a model: where its variables stand, the layer, its variables by role."""

    folder: str
    layer: Any
    variables: dict[str, Any]


def is_keras(value: object) -> bool:
    """Whether an object is a layer or model of Keras."""
    return _version(value) is not None


def _version(value: object) -> str | None:
    """The major version of the Keras that made the class of an object, "2" for tf_keras too."""
    for cls in type(value).__mro__:
        package = cls.__module__.partition(".")[0]
        if package in FRAMEWORKS and cls.__name__ == "Layer":
            return "2" if package == "tf_keras" or "engine" in cls.__module__ else "3"
    return None


def read_model(model: Any) -> Checkpoint:
    """The recurrent cells of a model; raises `UnknownFormat` for what is none of Keras's."""
    version = _version(model)
    if version is None:
        raise UnknownFormat(f"a {type(model).__name__} is no layer of Keras", kind="unsupported")
    budget = Budget()
    tensors: dict[str, Tensor] = {}
    claims: dict[str, Claim] = {}
    ways = _find_ways(model)
    for found in _cells(model):
        sources: dict[int, MemorySource] = {}
        for role, variable in found.variables.items():
            tensors[f"{found.folder}/{role}"] = _tensor(variable, sources, budget)
        shapes = {role: tuple(variable.shape) for role, variable in found.variables.items()}
        activation = _activation(found, version)
        claim = claim_cell(found.folder, shapes, activation, type(found.layer).__name__)
        reverse = ways.get(id(found.layer))
        facts = {} if reverse is None else {"reverse": reverse}
        claims[found.folder] = claim._replace(facts=facts)
    return Checkpoint("live", tensors, claims, tuple(_find_unbuilt(model)))


def variables_of(model: Any) -> dict[str, Any]:
    """The variables behind the tensors of `read_model`, by the same names."""
    return {
        f"{found.folder}/{role}": variable
        for found in _cells(model)
        for role, variable in found.variables.items()
    }


def write_part(variable: Any, start: int, stop: int, values: list[float]) -> None:
    """Write numbers into a part of a vector; the variable stays the object that it is."""
    numbers = variable.numpy().copy()
    numbers[start:stop] = values
    variable.assign(numbers)


def _cells(model: Any) -> Iterator[LiveCell]:
    """Every layer that holds a recurrent kernel, each once, under a folder of its own."""
    taken: set[str] = set()
    for layer in _layers(model):
        own = {role: vars(layer).get(role) for role in _ROLES}
        variables = {role: variable for role, variable in own.items() if variable is not None}
        if "recurrent_kernel" in variables:
            folder = name = _folder(variables["recurrent_kernel"])
            count = 1
            while folder in taken:  # tf_keras may give two variables one name
                folder, count = f"{name}_{count}", count + 1
            taken.add(folder)
            yield LiveCell(folder, layer, variables)


def _layers(model: Any) -> Iterator[Any]:
    """A layer and all below it, each once."""
    seen: set[int] = set()
    for layer in model._flatten_layers(include_self=True, recursive=True):
        if id(layer) not in seen:
            seen.add(id(layer))
            if len(seen) > MAX_LAYERS:
                raise MalformedFile(f"the model has over {MAX_LAYERS} layers", kind="limit")
            yield layer


def _find_ways(model: Any) -> dict[int, int]:
    """The layers in Bidirectional ones by their id: 1 where they read backward."""
    ways: dict[int, int] = {}
    for layer in _layers(model):
        # Under the torch backend a layer is a module, which keeps its layers apart.
        own = {**vars(layer).get("_modules", {}), **vars(layer)}
        two = [own.get(name) for name in ("forward_layer", "backward_layer")]
        for reverse, inner in enumerate(two if None not in two else ()):
            ways.update((id(each), reverse) for each in _layers(inner))
    return ways


def _folder(variable: Any) -> str:
    """A variable's path without its own name: `path` in Keras 3, `name` with a `:0` in Keras 2."""
    path = getattr(variable, "path", None) or variable.name
    return str(path).rpartition("/")[0]


def _fetch(variable: Any) -> Callable[[int, int], bytes]:
    """What copies a range of a variable's bytes from its device when it is asked for."""

    def fetch(at: int, n: int) -> bytes:
        data: bytes = variable.numpy().tobytes()
        return data[at : at + n]

    return fetch


def _tensor(variable: Any, sources: dict[int, MemorySource], budget: Budget) -> Tensor:
    shape = tuple(int(size) for size in variable.shape)
    name = str(getattr(variable.dtype, "name", variable.dtype))
    dtype = DTYPES.get(name, DType(name, 1))
    size = dtype.itemsize
    for axis in shape:
        size *= axis
    source = sources.setdefault(id(variable), open_memory(size, _fetch(variable), budget))
    return Tensor(dtype, shape, strides_of(shape), span_all(source))


def _activation(found: LiveCell, version: str) -> str | Skipped | None:
    """The cell's activation under the name that its formula has here."""
    gate = vars(found.layer).get("recurrent_activation")
    if gate is None:  # CuDNNLSTM has none to choose
        return "sigmoid"
    own = str(getattr(gate, "__module__", "")).partition(".")[0] in FRAMEWORKS
    name = str(getattr(gate, "__name__", type(gate).__name__))
    return name_activation(
        name if own else f"{name}, a function of its own", Config("", version), found.folder
    )


def _find_unbuilt(model: Any) -> Iterator[Skipped]:
    """Cells that no input has given a shape yet."""
    for layer in _layers(model):
        cell = any(cls.__name__ in _CELLS for cls in type(layer).__mro__)
        if cell and "recurrent_kernel" not in vars(layer):
            said = "it was not built yet: no input has given its weights a shape"
            kernel = f"{layer.name}/recurrent_kernel"
            yield Skipped(kernel, "missing-data", f"{layer.name}: {said}")
