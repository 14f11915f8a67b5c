"""Gate activations that have numbers of their own, and how they are spelled.

Comes in: the name of an activation, as facts and reports hold it. Goes out: `ActivationShape`, its
numbers. Promise: the name says everything, so that a report can be read again.

    sigmoid   hard_sigmoid   hard_sigmoid(0.2, 0.5)   sigmoid, clip 3.0

`hard_sigmoid(a, b)` is min(max(a x + b, 0), 1), as ONNX defines HardSigmoid and Keras 2 used it;
without numbers it is Keras 3's, relu6(x + 3) / 6. `clip c` limits x to [-c, c] before the gate.
"""

import re

from .tuples import NamedTuple

_NUMBER = r"([0-9.e+-]+)"
_SPELLING = rf"(sigmoid|hard_sigmoid)(?:\({_NUMBER}, {_NUMBER}\))?(?:, clip {_NUMBER})?"

# What an `activation_function` may be, for the schema.
PATTERN = f"^{_SPELLING}$"


class ActivationShape(NamedTuple):
    """An activation: its kind; slope and value at 0 of a hard one; where x is clipped (0: not)."""

    kind: str = "sigmoid"
    alpha: float = 1 / 6
    beta: float = 0.5
    clip: float = 0.0


def spell(shape: ActivationShape) -> str:
    """The name of an activation; `parse_activation` gives back the same numbers."""
    numbers = ""
    if shape.kind == "hard_sigmoid" and (shape.alpha, shape.beta) != (1 / 6, 0.5):
        numbers = f"({shape.alpha!r}, {shape.beta!r})"
    return shape.kind + numbers + (f", clip {shape.clip!r}" if shape.clip else "")


def is_activation(name: str) -> bool:
    """Whether a name is one of an activation."""
    return re.fullmatch(_SPELLING, name) is not None


def parse_activation(name: str) -> ActivationShape:
    """The numbers in a name; raises KeyError where it is none."""
    match = re.fullmatch(_SPELLING, name)
    if match is None:
        raise KeyError(name)
    kind, alpha, beta, clip = match.groups()
    shape = ActivationShape(kind, clip=float(clip or 0.0))
    return shape if alpha is None else shape._replace(alpha=float(alpha), beta=float(beta))
