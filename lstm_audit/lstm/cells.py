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
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..activations import ActivationShape, spell
from ..formats import Node, Scope
from .chains import BINARY, COST, FUSED, plain_op, read_scalar, shape_of_chain
from .conventions import HALF_NAMES
from .graph import Evaluation
from .known import KnownTensor
from .layer import GATES
from .operators import COUPLED_INPUT, Seen, skip
from .sightings import Sighting, Terms

# Elementwise operations from a gate's bias to its product.
MAX_CHAIN = 16


# How Keras names the half of a Bidirectional that runs backward.
BACKWARD = r"(?:^|/)backward_[^/]*/"


UNARY = frozenset({"Sigmoid", "HardSigmoid", "Clip", "Identity", "Cast", *FUSED})


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
        shape = shape_of_chain(evaluation, scope, chain)
        if shape is not None:
            return Gate(names[-1], tuple(chain), shape)
        chain.pop()
        names.pop()
    return None


def _operand(evaluation: Evaluation, scope: Scope, node: Node) -> str | None:
    """The input of an elementwise operation that is not a stored scalar; None where it is none."""
    op = plain_op(node)
    if op in UNARY:
        return node.ins[0] if node.ins else None
    if op not in BINARY or len(node.ins) != 2:
        return None
    scalars = [read_scalar(evaluation, scope, name) for name in node.ins]
    if scalars[0] is None and scalars[1] is not None:
        return node.ins[0]
    if scalars[1] is None and scalars[0] is not None and op != "Div":
        return node.ins[1]
    return None


# A coupled cell (CIFG, Greff et al. 2017) computes the input gate as 1 - f. The graph shows it as a
# Sub of 1 and the very node that ends f's chain.
def _complement(evaluation: Evaluation, scope: Scope, name: str, kept: Gate) -> str:
    """ "i" where the writing gate is 1 minus the keeping one (CIFG)."""
    node = _maker(evaluation, scope, name)
    if (
        node is None
        or node.op != "Sub"
        or len(node.ins) != 2
        or read_scalar(evaluation, scope, node.ins[0]) != 1.0
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
        return skip(wiring.node, "computed-by-unknown", detail)
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
        return skip(
            wiring.node,
            "computed-by-unknown",
            f"a cell, but {detail}, which this version cannot follow",
        )
    known = {gate: value for gate, value in values.items() if value is not None}
    hidden = known["f"].size
    if not hidden or any(value.size != hidden for value in known.values()):
        sizes = ", ".join(f"{gate} {value.size}" for gate, value in known.items())
        return skip(
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
    swapped = HALF_NAMES["hh"] in names[0] or HALF_NAMES["ih"] in names[1]
    return tuple(zip(("hh", "ih") if swapped else ("ih", "hh"), value.terms, strict=True))
