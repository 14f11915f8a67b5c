"""What was gathered of a live object so far, and what may be gathered at most.

Comes in: nothing. Goes out: the record that every part fills. Promise: a live object of any size
and shape takes a bounded number of containers.
"""

import sys
from typing import Any

from ...errors import MalformedFile, Skipped
from ...raw.budget import Budget
from ...raw.memory import MemorySource
from ...raw.tensor import Tensor
from ...raw.words import MAX_NAME
from .. import Claim

# Mappings and lists of a nested state dict that are looked into: shared ones can unfold without
# end.
MAX_CONTAINERS = 300_000

# Further paths to modules, mappings or lists that have one already: parts that are shared by each
# other can have twice as many at each level. Real objects have a few dozen.
MAX_ALIASES = 10_000


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
        self.containers = self.again = 0
        self.met: dict[int, object] = {}  # kept, so that no other object can have the same id


def library_of(name: str) -> Any:
    """torch or numpy if it was imported; an object of theirs cannot exist otherwise."""
    return sys.modules.get(name)


def is_module(value: Any) -> bool:
    """Whether a value is a torch module."""
    torch = library_of("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def join_path(path: str, name: object) -> str:
    """A dotted path and one more name; raises `MalformedFile` for one that is too long."""
    joined = f"{path}.{name}" if path else str(name)
    if len(joined) > MAX_NAME:
        raise MalformedFile(f"a name of over {MAX_NAME} characters", kind="limit")
    return joined


def count_again(got: Gathered, container: object) -> None:
    """Count a mapping or list that was met before; raises `MalformedFile` for too many ways."""
    got.again += id(container) in got.met
    got.met[id(container)] = container
    if got.again > MAX_ALIASES:
        message = f"its mappings and lists share parts in more than {MAX_ALIASES} ways"
        raise MalformedFile(message, kind="limit")


def count_containers(got: Gathered, containers: int) -> None:
    """Count mappings, lists and modules; raises `MalformedFile` beyond what is looked into."""
    got.containers += containers
    if got.containers > MAX_CONTAINERS:
        message = f"the object has over {MAX_CONTAINERS} mappings, lists and modules"
        raise MalformedFile(message, kind="limit")
