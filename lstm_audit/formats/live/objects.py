"""Live objects: torch modules, and state dicts of torch tensors or numpy arrays.

Comes in: an object. Goes out: a `Checkpoint` of format "live". Promise: the object is the same
afterwards, to the byte, the version counter and the random state; no forward, hook or lazy
computation runs, and of the data only the bytes that are asked for are copied. torch and numpy are
taken from `sys.modules`, never imported.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ...errors import MalformedFile, UnknownFormat
from ...raw.tensors import hold_tensors
from .. import Checkpoint
from .gathered import Gathered, count_again, count_containers, is_module, join_path, library_of
from .modules import add_module
from .tensors import add_tensor, numpy_tensor, torch_tensor

# Levels of a nested state dict; trainers nest five.
MAX_DEPTH = 64


SUPPORTED = (
    "a torch.nn.Module, a Keras model, or a mapping (nested if you like) of torch tensors or numpy "
    "arrays, can be audited"
)


def read_module(module: Any) -> Checkpoint:
    """A `torch.nn.Module`'s parameters and buffers under all their names, and the classes of its
    recurrences.
    """
    if not is_module(module):
        raise UnknownFormat(
            f"a {type(module).__name__} is no torch.nn.Module; {SUPPORTED}", kind="unsupported"
        )
    got = Gathered()
    add_module(got, "", module)
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
    count_containers(got, 1)
    count_again(got, value)
    if len(above) > MAX_DEPTH:
        raise MalformedFile(f"the state dict has over {MAX_DEPTH} levels", kind="limit")
    if id(value) not in above:
        for name, item in inner:
            _add_value(got, join_path(path, name), item, (*above, id(value)))


def _add_leaf(got: Gathered, path: str, value: Any) -> None:
    torch, numpy = library_of("torch"), library_of("numpy")
    if torch is not None and isinstance(value, torch.Tensor):
        add_tensor(got, path, value, torch_tensor)
    elif numpy is not None and isinstance(value, numpy.ndarray):
        add_tensor(got, path, value, numpy_tensor)
    elif is_module(value):
        add_module(got, path, value)
