"""An LSTM cell by its equations, where no operator says that it is one.

Comes in: the nodes of a scope. Goes out: a `Sighting` for every cell, or a `Skipped` for what has a
cell's form and a gate that cannot be followed. Promise: the gate that multiplies the carried state
is f, whatever the order of the gates; a GRU is never taken for an LSTM.

    c' = F * c + I * tanh(g)        h' = O * tanh(c')

A gate is whatever chain of elementwise operations leads from its numbers to the product: Sigmoid,
HardSigmoid, or one that is spelled out (Add 3, Relu6, Mul 1/6). The chain is walked down to the
first operation that is none of these; what enters there is the gate's bias. Two numbers sent
through the chain tell its slope and its value at 0, and further ones that it is what it looks like.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from math import exp
from operator import add, mul, sub
from typing import NamedTuple

from ..activations import ActivationShape, spell
from ..formats import Node, Scope
from .graph import Evaluation
from .known import KnownTensor
from .layer import GATES
from .operators import COUPLED_INPUT, Seen, skipped
from .sightings import Sighting, Terms

# Elementwise operations from a gate's bias to its product.
MAX_CHAIN = 16

# Steps that one operation of a chain counts for: it is slower than moving a number.
COST = 32


PROBES = (-40.0, -2.9, -2.0, -0.6, -0.3, 0.0, 0.2, 0.5, 1.0, 2.2, 2.9, 40.0)
CLOSE = 1e-5
# How Keras names the half of a Bidirectional that runs backward.
BACKWARD = r"(?:^|/)backward_[^/]*/"

NAN, INFINITE = float("nan"), float("inf")

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
UNARY = frozenset({"Sigmoid", "HardSigmoid", "Clip", "Identity", "Cast", *FUSED})
BINARY = frozenset(ARITHMETIC)
# What may stand between a stored number and its use.
STORED = frozenset({"Constant", "Widen", "Cast", "Identity"})


# Strategy. Start from the end: an LSTM's new state goes through a tanh and is multiplied by the
# output gate. So every Tanh node is a candidate; its input must be a sum of two products, and in
# one of the products a factor must itself be a tanh: that product is I * tanh(g), the other F * c.
# A GRU's h' = (1 - z) * n + z * h has a sum of two products too, but no tanh behind the sum.
#
# Which factor is the gate is decided by what the chain above it does, not by names: the chain must
# squash all numbers into 0 to 1. A spelled-out hard sigmoid is recognised by probing, that is, by
# sending numbers through the operations and looking at what comes out. Probing needs no knowledge
# of how an exporter spells it.
class Gate(NamedTuple):
    """A chain of elementwise operations: the name that enters it, and what it does to a number."""

    name: str
    chain: tuple[Node, ...]
    shape: ActivationShape


class Wiring(NamedTuple):
    """The nodes of one cell; `candidate` is what enters the tanh of g."""

    keep: Gate | None
    write: Gate | None
    output: Gate | None
    candidate: str
    coupled: str
    node: Node


def find_cells(evaluation: Evaluation, scope: Scope) -> Iterator[Seen]:
    """Every cell of one scope."""
    tanhs = [
        (k, node)
        for k, node in enumerate(scope.nodes)
        if node.op == "Tanh" and node.ins and node.outs
    ]
    if len(tanhs) < 2:
        return
    readers = _readers(scope)
    for order, tanh in tanhs:
        wiring = _wire(evaluation, scope, tanh, readers)
        if wiring is not None:
            yield _sight(evaluation, scope, wiring, order)


def _readers(scope: Scope) -> Mapping[str, list[Node]]:
    """By name, the products that it enters."""
    readers: dict[str, list[Node]] = {}
    for node in scope.nodes:
        if node.op == "Mul":
            for name in node.ins:
                readers.setdefault(name, []).append(node)
    return readers


# Products and factors are tried in both orders, since addition and multiplication commute and
# exporters use both. The first order in which the write product has a tanh is the cell.
def _wire(
    evaluation: Evaluation, scope: Scope, tanh: Node, readers: Mapping[str, list[Node]]
) -> Wiring | None:
    """The cell whose new state goes through this tanh; None where the form is another."""
    total = _through(evaluation, scope, tanh.ins[0])
    if total is None or total.op != "Add" or len(total.ins) != 2:
        return None
    products = [_maker(evaluation, scope, name) for name in total.ins]
    outputs = [
        other for mul in readers.get(tanh.outs[0], ()) for other in mul.ins if other != tanh.outs[0]
    ]
    if (
        any(node is None or node.op != "Mul" or len(node.ins) != 2 for node in products)
        or not outputs
    ):
        return None
    for keep, write in (products, products[::-1]):
        assert keep is not None
        assert write is not None
        for gate_name, tanh_name in (write.ins, write.ins[::-1]):
            inner = _maker(evaluation, scope, tanh_name)
            if inner is None or inner.op != "Tanh" or not inner.ins:
                continue
            gates = [_gate(evaluation, scope, name) for name in keep.ins]
            kept = next((gate for gate in gates if gate is not None), None)
            written = _gate(evaluation, scope, gate_name)
            coupled = (
                "" if written or kept is None else _complement(evaluation, scope, gate_name, kept)
            )
            output = next((g for name in outputs if (g := _gate(evaluation, scope, name))), None)
            return Wiring(kept, written, output, inner.ins[0], coupled, total)
    return None


def _maker(evaluation: Evaluation, scope: Scope, name: str) -> Node | None:
    """The node of this scope that makes a name."""
    spot = evaluation.locate(scope, name) if name else None
    return spot.node if spot is not None and spot.scope is scope else None


def _through(evaluation: Evaluation, scope: Scope, name: str) -> Node | None:
    """The maker, seen through what changes nothing or clips the state."""
    node = _maker(evaluation, scope, name)
    for _ in range(MAX_CHAIN):
        if node is None or node.op not in ("Identity", "Clip", "Cast") or not node.ins:
            break
        node = _maker(evaluation, scope, node.ins[0])
    return node


# The chain is walked from the product inwards and may be followed too far: "Add 3" may belong to
# the hard sigmoid or to the bias. So the longest chain is tried first and shortened from its inner
# end until what remains is a known shape.
def _gate(evaluation: Evaluation, scope: Scope, name: str) -> Gate | None:
    """The chain that ends in `name`, if it squashes numbers into 0 to 1.

    It ends at the first sigmoid; one that is spelled out is the longest that is one.
    """
    chain: list[Node] = []
    names: list[str] = []
    at = name
    for _ in range(MAX_CHAIN):
        evaluation.spend(COST)
        node = _maker(evaluation, scope, at)
        step = _operand(evaluation, scope, node) if node is not None else None
        if node is None or step is None:
            break
        chain.append(node)
        names.append(step)
        at = step
        if node.op in ("Sigmoid", "HardSigmoid"):
            break
    while chain:
        shape = _shape_of(evaluation, scope, chain)
        if shape is not None:
            return Gate(names[-1], tuple(chain), shape)
        chain.pop()
        names.pop()
    return None


def _operand(evaluation: Evaluation, scope: Scope, node: Node) -> str | None:
    """The input of an elementwise operation that is not a stored scalar; None where it is none."""
    op = _plain(node)
    if op in UNARY:
        return node.ins[0] if node.ins else None
    if op not in BINARY or len(node.ins) != 2:
        return None
    scalars = [_scalar(evaluation, scope, name) for name in node.ins]
    if scalars[0] is None and scalars[1] is not None:
        return node.ins[0]
    if scalars[1] is None and scalars[0] is not None and op != "Div":
        return node.ins[1]
    return None


def _plain(node: Node) -> str:
    """The operation without the activation that TFLite may hang on it (`Add+Relu6`)."""
    return node.op.partition("+")[0]


def _scalar(evaluation: Evaluation, scope: Scope, name: str) -> float | None:
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
    op = _plain(node)
    if op in BINARY:
        how = ARITHMETIC[op]
        first, second = (_scalar(evaluation, scope, name) for name in node.ins)
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
            stored = _scalar(evaluation, scope, given) if given else None
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
def _shape_of(evaluation: Evaluation, scope: Scope, chain: list[Node]) -> ActivationShape | None:
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


# A coupled cell (CIFG, Greff et al. 2017) computes the input gate as 1 - f. The graph shows it as a
# Sub of 1 and the very node that ends f's chain.
def _complement(evaluation: Evaluation, scope: Scope, name: str, kept: Gate) -> str:
    """ "i" where the writing gate is 1 minus the keeping one (CIFG)."""
    node = _maker(evaluation, scope, name)
    if (
        node is None
        or node.op != "Sub"
        or len(node.ins) != 2
        or _scalar(evaluation, scope, node.ins[0]) != 1.0
    ):
        return ""
    return "i" if kept.chain and kept.chain[0].outs[:1] == node.ins[1:2] else ""


def _sight(evaluation: Evaluation, scope: Scope, wiring: Wiring, order: int) -> Seen:
    """A wiring whose gates are known is a cell; any other is said."""
    if (
        wiring.keep is None
        or wiring.output is None
        or (wiring.write is None and not wiring.coupled)
    ):
        detail = (
            "nodes of the form tanh(F * c + I * tanh(g)), but a gate is no sigmoid or hard "
            "sigmoid of one sum"
        )
        return skipped(wiring.node, "computed-by-unknown", detail)
    names = {"f": wiring.keep.name, "g": wiring.candidate, "o": wiring.output.name}
    if wiring.write is not None:
        names["i"] = wiring.write.name
    values = {gate: evaluation.value(scope, name) for gate, name in names.items()}
    unclear = [gate for gate, value in values.items() if value is None]
    if unclear:
        made = evaluation.maker(scope, names[unclear[0]])
        detail = (
            f"what enters gate {unclear[0]} is computed by "
            f"{made.op if made else 'something outside the graph'}"
        )
        return skipped(
            wiring.node,
            "computed-by-unknown",
            f"a cell, but {detail}, which this version cannot follow",
        )
    known = {gate: value for gate, value in values.items() if value is not None}
    hidden = known["f"].size
    if not hidden or any(value.size != hidden for value in known.values()):
        sizes = ", ".join(f"{gate} {value.size}" for gate, value in known.items())
        return skipped(
            wiring.node, "conflicting-evidence", f"a cell whose gates have different sizes: {sizes}"
        )
    offset, known["f"] = _offset(evaluation, known["f"])
    gates = dict.fromkeys(GATES, ()) | {
        gate: _terms(evaluation, value) for gate, value in known.items()
    }
    note = (COUPLED_INPUT,) if wiring.coupled else ()
    return Sighting(
        scope=scope,
        node=wiring.node,
        order=order,
        direction="reverse" if re.search(BACKWARD, wiring.node.name) else "forward",
        hidden_size=hidden,
        gates=gates,
        activation=spell(wiring.keep.shape),
        coupled=wiring.coupled,
        notes=note,
        entries=tuple(names.values()),
        offset=offset,
    )


# A summand that is one stored number for all units is no bias of the layer: it is the framework's
# own forget_bias. It is told by the cells (all the same one), never by the values: a bias that
# happens to be constant has different cells.
def _offset(evaluation: Evaluation, value: KnownTensor) -> tuple[float, KnownTensor]:
    """What is added to every unit alike: one stored number, as TensorFlow's cells add 1 to f."""
    alike = [term for term in value.terms if len(term) > 1 and term[0] == term[-1]]
    alike = [term for term in alike if len(set(term)) == 1]
    if not alike or len(alike) == len(value.terms):
        return 0.0, value
    rest = tuple(term for term in value.terms if term not in alike)
    return sum(evaluation.number(term[0]) for term in alike), value._replace(terms=rest)


# torch's exporter keeps bias_ih and bias_hh apart; which is which cannot be told by position once a
# graph was optimised, so names that say so win.
def _terms(evaluation: Evaluation, value: KnownTensor) -> Terms:
    """Two summands are what comes from x and from h, unless their names say otherwise; one is b."""
    if len(value.terms) != 2:
        return tuple(("b", term) for term in value.terms)
    names = [
        evaluation.origin(term[0])[0].name if term and term[0] >= 0 else "" for term in value.terms
    ]
    swapped = "bias_hh" in names[0] or "bias_ih" in names[1]
    return tuple(zip(("hh", "ih") if swapped else ("ih", "hh"), value.terms, strict=True))
