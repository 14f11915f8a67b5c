"""What a chain of operations on one number computes: a gate's activation function, by probing.

Comes in: the nodes between a gate's sum and its product. Goes out: a sigmoid or hard sigmoid with
its numbers, or None. Promise: what is more than one plain Sigmoid is computed at twelve points, and
all of them must fit.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import exp
from operator import add, mul, sub

from ..activations import ActivationShape
from ..formats import Node, Scope
from .graph import Evaluation

NAN, INFINITE = float("nan"), float("inf")

# What may stand between a stored number and its use.
STORED = frozenset({"Constant", "Widen", "Cast", "Identity"})

# Steps that one operation of a chain counts for: it is slower than moving a number.
COST = 32

PROBES = (-40.0, -2.9, -2.0, -0.6, -0.3, 0.0, 0.2, 0.5, 1.0, 2.2, 2.9, 40.0)
CLOSE = 1e-5

# Where these cut off, alone or hanging on another operation.
FUSED = {
    "Relu": (0.0, INFINITE),
    "Relu6": (0.0, 6.0),
    "Clip11": (-1.0, 1.0),
    "Clip01": (0.0, 1.0),
}

ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "Add": add,
    "Sub": sub,
    "Mul": mul,
    "Div": lambda a, b: a / b if b else NAN,
    "Min": min,
    "Max": max,
}

BINARY = frozenset(ARITHMETIC)


def plain_op(node: Node) -> str:
    """The operation without the activation that TFLite may hang on it (`Add+Relu6`)."""
    return node.op.partition("+")[0]


def read_scalar(evaluation: Evaluation, scope: Scope, name: str) -> float | None:
    """A stored number that stands alone."""
    spot = evaluation.locate(scope, name)
    if spot.constant is None and (spot.node is None or spot.node.op not in STORED):
        return None
    value = evaluation.value(scope, name)
    if value is None or value.size != 1 or not value.terms:
        return None
    return evaluation.numbers(value)[0]


NumberStep = Callable[[float], float]


def _compile(evaluation: Evaluation, scope: Scope, chain: list[Node]) -> list[NumberStep]:
    """A chain as functions of one number, from its inner end."""
    evaluation.spend(COST * len(chain))
    steps = []
    for node in reversed(chain):
        steps.append(_step(evaluation, scope, node))
        fused = node.op.partition("+")[2]
        if fused:
            steps.append(partial(_between, *FUSED.get(fused, (NAN, NAN))))
    return steps


def _run(steps: Sequence[NumberStep], x: float) -> float:
    for step in steps:
        x = step(x)
    return x


def _step(evaluation: Evaluation, scope: Scope, node: Node) -> NumberStep:
    """One operation, its stored number put in."""
    op = plain_op(node)
    if op in BINARY:
        how = ARITHMETIC[op]
        first, second = (read_scalar(evaluation, scope, name) for name in node.ins)
        if first is None:
            return lambda x: how(x, NAN if second is None else second)
        return lambda x: how(first, x)
    low, high = _limits(evaluation, scope, node)
    if op == "Sigmoid":
        return _sigmoid
    if op == "HardSigmoid":
        return lambda x: min(max(low * x + high, 0.0), 1.0)
    return partial(_between, low, high)


def _sigmoid(x: float) -> float:
    return 1 / (1 + exp(-x)) if x > -700 else 0.0


def _between(low: float, high: float, x: float) -> float:
    return min(max(x, low), high) if low == low else NAN


def _limits(evaluation: Evaluation, scope: Scope, node: Node) -> tuple[float, float]:
    """Where an operation cuts off; of a HardSigmoid, its alpha and beta."""
    if node.op == "HardSigmoid":
        return _attribute(node, "alpha", 0.2), _attribute(node, "beta", 0.5)
    if node.op == "Clip":
        ends = []
        for k, (name, default) in enumerate((("min", -INFINITE), ("max", INFINITE)), 1):
            given = node.ins[k] if len(node.ins) > k else ""
            stored = read_scalar(evaluation, scope, given) if given else None
            if given and stored is None:
                return NAN, NAN
            ends.append(_attribute(node, name, default) if stored is None else stored)
        return ends[0], ends[1]
    return FUSED.get(node.op, (-INFINITE, INFINITE))


def _attribute(node: Node, name: str, default: float) -> float:
    given = node.attributes.get(name, default)
    return float(given) if isinstance(given, int | float) else default


# Twelve probes: both saturated ends, points either side of the corners of the common hard sigmoids
# (±2.5, ±3), and some in the middle. A line is fitted through two points and must meet all twelve.
def shape_of_chain(
    evaluation: Evaluation, scope: Scope, chain: list[Node]
) -> ActivationShape | None:
    """What a chain is: a sigmoid, or a line between 0 and 1; None for everything else."""
    if len(chain) == 1 and chain[0].op == "Sigmoid":
        return ActivationShape()
    steps = _compile(evaluation, scope, chain)
    found = [_run(steps, x) for x in PROBES]
    if all(abs(f - (1 / (1 + exp(-x)))) < CLOSE for f, x in zip(found, PROBES, strict=True)):
        return ActivationShape()
    beta = _run(steps, 0.0)
    alpha = (_run(steps, 0.25) - beta) * 4
    line = [min(max(alpha * x + beta, 0.0), 1.0) for x in PROBES]
    if alpha <= 0 or not all(abs(f - g) < CLOSE for f, g in zip(found, line, strict=True)):
        return None
    third = abs(alpha - 1 / 6) < CLOSE and abs(beta - 0.5) < CLOSE
    return (
        ActivationShape("hard_sigmoid")
        if third
        else ActivationShape("hard_sigmoid", float(f"{alpha:.6g}"), float(f"{beta:.6g}"))
    )
