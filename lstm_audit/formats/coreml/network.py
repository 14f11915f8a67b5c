"""The layers of a Core ML NeuralNetwork, as nodes of a graph.

Comes in: a network's message. Goes out: a scope a network, with a node a recurrent layer and its
biases, a constant a gate. Promise: other layers are passed over; a bias stored in two ways at once
is refused.
"""

from collections.abc import Iterator, Sequence

from ...errors import MalformedFile
from ...wire.protobuf import BYTES, Field, Wire
from .. import Attribute, Constant, Node, Scope
from .opened import CoremlModel, check_nesting
from .values import place_numbers

LAYER_NAME, RECURRENT, GRU, UNI_LSTM, BI_LSTM, CUSTOM = 1, 400, 410, 420, 430, 500
CLASS_NAME = 10
BRANCH, LOOP = 605, 615
# LSTMWeightParams: a vector a gate.
GATE_BIASES = {"i": 40, "f": 41, "g": 42, "o": 43}

SIGMOID, HARD_SIGMOID = 40, 41
ACTIVATIONS = {10: "Relu", 30: "Tanh", SIGMOID: "Sigmoid", HARD_SIGMOID: "HardSigmoid"}


def read_network(
    model: CoremlModel, network: Field, path: str, outer: Scope | None, depth: int
) -> None:
    """A NeuralNetwork: 1 layers. Branches and loops hold networks of their own."""
    check_nesting(model, depth)
    wire = model.wire
    nodes: list[Node] = []
    constants: dict[str, Constant] = {}
    inner: list[tuple[str, Field]] = []
    for layer in (field for field in wire.message(network) if field[0] == 1):
        name, kinds = "", list[Field]()
        for part in wire.message(layer):
            if part[0] == LAYER_NAME:
                name = wire.text(part)
            elif part[0] >= 100:
                kinds.append(part)
        for kind in kinds:
            if kind[0] in (UNI_LSTM, BI_LSTM):
                nodes.append(_read_lstm(model, kind, name, constants))
            elif kind[0] in (GRU, RECURRENT):
                nodes.append(Node("GRU" if kind[0] == GRU else "RNN", (), (), name))
            elif kind[0] == CUSTOM:
                classes = [wire.text(f) for f in wire.message(kind) if f[0] == CLASS_NAME]
                nodes += [Node(f"custom::{one}", (), (), name) for one in classes]
            elif kind[0] in (BRANCH, LOOP):
                numbers = (1, 2) if kind[0] == BRANCH else (3, 4)
                inner += [(name, f) for f in wire.message(kind) if f[0] in numbers]
    scope = Scope(path, nodes, constants, outer)
    model.scopes.append(scope)
    for name, part in inner:
        read_network(model, part, f"{path}{name}/", scope, depth + 1)


# The weights of a layer come once a direction, the backward ones second. A bias that the flags say
# is not used (hasBiasVectors is false) is passed over even if numbers stand there, as the runtime
# does.
def _read_lstm(model: CoremlModel, layer: Field, name: str, constants: dict[str, Constant]) -> Node:
    """Uni- and BiDirectionalLSTMLayerParams: 2 H, 10 and 11 activations, 15 params, 20 weights,
    100 reverseInput.
    """
    wire = model.wire
    attributes: dict[str, Attribute] = {"direction": "forward"}
    activations: list[Field] = []
    weights: list[Field] = []
    for part in wire.message(layer):
        if part[0] == 2:
            attributes["hidden_size"] = wire.number(part)
        elif part[0] == 10:
            activations.append(part)
        elif part[0] == 15:
            attributes.update(_params(wire, part))
        elif part[0] == 20:
            weights.append(part)
        elif part[0] == 100 and wire.number(part):
            attributes["direction"] = "reverse"
    if layer[0] == BI_LSTM:
        attributes["direction"] = "bidirectional"
    attributes.update(_activations(wire, activations))
    ins: list[str] = []
    for number, part in enumerate(weights):
        found = wire.singles(part)
        for gate, key in GATE_BIASES.items():
            called = f"{name}.{('', 'backward.')[number == 1]}bias_{gate}"
            if key in found and attributes.get("biased"):
                constants[called] = _weights(wire, found[key], called)
            ins.append(called if called in constants else "")
    return Node("CoreML::LSTM", tuple(ins), (), name, attributes)


def _params(wire: Wire, part: Field) -> Iterator[tuple[str, Attribute]]:
    """LSTMParams: 20 hasBiasVectors, 30 forgetBias, 40 hasPeepholeVectors, 50 coupled gates."""
    names = {20: "biased", 30: "forget_bias", 40: "peephole", 50: "coupled"}
    for field in wire.message(part):
        if field[0] in names:
            yield names[field[0]], wire.number(field)


def _activations(wire: Wire, parts: Sequence[Field]) -> dict[str, Attribute]:
    """ActivationParams of the gates, the candidate and the output; numbers of a hard sigmoid."""
    if not parts:
        return {}
    kinds, alphas, betas = list[str](), list[float](), list[float]()
    for part in parts[:3]:
        field = next(wire.message(part), None)
        kind = "" if field is None else ACTIVATIONS.get(field[0], f"activation {field[0]}")
        kinds.append(kind)
        if field is not None and field[0] == HARD_SIGMOID:
            found = {f[0]: wire.floats(f)[0] for f in wire.message(field) if f[3] - f[2] == 4}
            alphas.append(found.get(1, 0.0))
            betas.append(found.get(2, 0.0))
    lists = {"activation_alpha": tuple(alphas), "activation_beta": tuple(betas)}
    return {"activations": tuple(kinds), **lists}


def _weights(wire: Wire, part: Field, name: str) -> Constant:
    """WeightParams: 1 floatValue, 2 float16Value, 30 and 31 quantised."""
    floats = [f for f in wire.message(part) if f[0] == 1]
    halves = [f for f in wire.message(part) if f[0] == 2]
    others = [f for f in wire.message(part) if f[0] in (30, 31)]
    if (len(floats) > 0 and (halves or others)) or len(halves) > 1:
        raise MalformedFile(f"{name!r} is stored in two ways", wire.place(part[2]), "ambiguous")
    if others:
        return Constant(name, (), trouble="it is quantised")
    if floats:
        return place_numbers(wire.join(floats, 4), name, "float32")
    if halves and halves[0][1] == BYTES:
        return place_numbers(wire.span[halves[0][2] : halves[0][3]], name, "float16")
    return Constant(name, (0,), numbers=())
