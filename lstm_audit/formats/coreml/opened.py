"""A Core ML model while it is read: its bytes, its neighbour, the scopes found so far.

Comes in: what the envelope's reader found. Goes out: the record that every part is handed.
Promise: how deep models lie in models, and how many scopes one file gives, is bounded.
"""

from typing import NamedTuple

from ...errors import MalformedFile
from ...raw.span import Span
from ...wire.protobuf import Wire
from .. import Beside, Scope

MAX_DEPTH = 16
MAX_SCOPES = 1024


class CoremlModel(NamedTuple):
    """What every part of one model needs: its bytes, its neighbour, the scopes so far."""

    wire: Wire
    beside: Beside
    scopes: list[Scope]
    weights: list[Span]


def check_nesting(model: CoremlModel, depth: int) -> None:
    """Raise `MalformedFile` where models lie too deep in models, or give too many scopes."""
    if depth > MAX_DEPTH or len(model.scopes) >= MAX_SCOPES:
        raise MalformedFile("models too deep in models, or too many", model.wire.span.at, "limit")
