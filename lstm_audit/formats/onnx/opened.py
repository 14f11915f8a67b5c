"""An ONNX model while it is read: its bytes, its functions, the scopes found so far.

Comes in: what the envelope's reader found. Goes out: the records that every part is handed.
Promise: data alone; of it only the list of scopes grows.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ...wire.protobuf import Field, Wire
from .. import Attribute, Scope
from .tensors import External

# Bodies in bodies; protobuf's own limit of 100 messages admits 32 levels of If.
MAX_DEPTH = 32


class LocalFunction(NamedTuple):
    """A local function: its fields, the names of what goes in and out, and whether a recurrence may
    be inside.
    """

    body: Field
    ins: tuple[str, ...]
    outs: tuple[str, ...]
    worth: bool


class OnnxModel(NamedTuple):
    """What every part of one model needs: its bytes, its functions, the files beside it, the scopes
    so far.
    """

    wire: Wire
    functions: Mapping[str, LocalFunction]
    external: External
    scopes: list[Scope]


class Frame(NamedTuple):
    """Where a body stands: how deep, under which path, in which scope; `given`: the attributes of a
    call.
    """

    depth: int = 0
    path: str = ""
    outer: Scope | None = None
    given: Mapping[str, Attribute] = {}
