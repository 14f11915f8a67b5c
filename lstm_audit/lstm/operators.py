"""Operators that are a whole recurrence: ONNX's LSTM, GRU and RNN, and those of its kin.

Comes in: a node with one of their names. Goes out: a `Sighting` a direction, or the `Skipped` that
says why not. Promise: the order of the gates is the operator's own, from its specification; shapes
that contradict each other are skipped, never bent.

LSTM, DynamicQuantizeLSTM   onnx/docs/Operators.md: W, R (i, o, f, c); B = Wb | Rb; P (i, o, f)
FusedLSTM                   tensorflow/lite/kernels/unidirectional_sequence_lstm.cc: a tensor a gate
BasicLSTM                   tensorflow/lite/kernels/lstm.cc, kernel type BASIC: (i, g, f, o)
IfgoLSTM and its orders     OpenVINO (f, i, c, o), Core ML (i, f, o, z): one bias, named order
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ..activations import ActivationShape, spell
from ..errors import Skipped
from ..formats import Constant, Node, Scope
from .graph import Evaluation
from .known import Cells, KnownTensor
from .layer import GATES
from .sightings import Sighting, Terms, name_node

# H = 131072, far beyond any model, as for names.
MAX_HIDDEN = 1 << 17

WITH_ALPHA = ("affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu")
# The functions to which activation_alpha and activation_beta are dealt out, in order.
WITH_BETA = ("affine", "scaledtanh", "hardsigmoid")

ONNX_ORDER = "iofg"
HELD = ("ReadVariable", "VarHandle")
PEEPHOLES = "peephole weights also let the cell state into the gates: nothing at c = 0"
COUPLED_FORGET = (
    "the gates are coupled, f = 1 - i: the bias that is shown is minus that of i, and the stored "
    "one of f is not used"
)
NOT_SYMMETRIC = "its forget gate is 1 minus a gate that is not symmetric about one half"
COUPLED_INPUT = "i = 1 - f: the bias that is shown for i is minus that of f"
WAYS = {
    "forward": ("forward",),
    "reverse": ("reverse",),
    "bidirectional": ("forward", "reverse"),
}
NO_TERMS: Mapping[str, Terms] = dict.fromkeys(GATES, ())

Seen = Sighting | Skipped
ReadOperator = Callable[[Evaluation, Scope, Node, int], Iterator[Seen]]


def skip(node: Node, reason: str, detail: str) -> Skipped:
    """An entry for a node that cannot be judged."""
    return Skipped(name_node(node, 0), reason, detail)


# ONNX's LSTM (onnx/defs/rnn/defs.cc) is the model for all the others: hidden size and direction
# from attributes, held against the shapes; the bias as a known value, cut into gates by the
# operator's own order; the gate's function with its numbers. What does not fit is `Skipped` with
# the two numbers that contradict each other.
def _onnx_lstm(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
    """LSTM: B is [D, 8H], Wb before Rb in the order i, o, f, c; without B all biases are 0."""
    way = str(node.attributes.get("direction", "forward"))
    if way not in WAYS:
        yield skip(node, "conflicting-evidence", f"its direction is {way!r}")
        return
    directions = WAYS[way]
    hidden = _hidden_size(evaluation, scope, node, len(directions))
    if isinstance(hidden, Skipped):
        yield hidden
        return
    value = _input(evaluation, scope, node, 3)
    if isinstance(value, Skipped):
        yield value
        return
    if value is not None and value.size != 8 * hidden * len(directions):
        detail = (
            f"B has shape {value.shape}, hidden_size {hidden} needs {(len(directions), 8 * hidden)}"
        )
        yield skip(node, "conflicting-evidence", detail)
        return
    for number, direction in enumerate(directions):
        shape = _activation(node, number, len(directions))
        if isinstance(shape, Skipped):
            yield shape
            continue
        gates = NO_TERMS if value is None else _halves(value, 8 * hidden * number, hidden)
        seen = Sighting(scope, node, order, direction, hidden, gates, spell(shape))
        yield _see_coupled(node, seen._replace(notes=tuple(_notes(node, shape))), shape)


# The specification does not require the attribute, and R tells H as well. Where both are there they
# must agree, because a wrong H would cut the bias at wrong places and give four plausible wrong
# gates.
def _hidden_size(
    evaluation: Evaluation, scope: Scope, node: Node, directions: int
) -> int | Skipped:
    """The attribute, held against R [D, 4H, H]; DynamicQuantizeLSTM has it turned."""
    given = node.attributes.get("hidden_size", 0)
    hidden = given if isinstance(given, int) else 0
    shape = evaluation.shape(scope, node.ins[2]) if len(node.ins) > 2 and node.ins[2] else None
    if shape is not None and len(shape) == 3:
        rows, columns = sorted(shape[1:], reverse=True)
        hidden = hidden or columns
        wanted = directions, 4 * hidden, hidden
        if (shape[0], rows, columns) != wanted:
            detail = f"R has shape {shape}, hidden_size {hidden} needs {wanted}"
            return skip(node, "conflicting-evidence", detail)
    if not 0 < hidden <= MAX_HIDDEN:
        return skip(node, "conflicting-evidence", f"its hidden_size is {hidden}")
    return hidden


def _input(
    evaluation: Evaluation, scope: Scope, node: Node, at: int
) -> KnownTensor | Skipped | None:
    """The bias at an input: None where there is none, `Skipped` where its value is not known."""
    name = node.ins[at] if len(node.ins) > at else ""
    if not name:
        return None
    value = evaluation.value(scope, name)
    return value if value is not None else explain_unknown(evaluation, scope, node, name)


# Each reason asks something else of the user: an input of the graph has its bias elsewhere, a
# resource variable is in the checkpoint beside it, and an operator that is not followed is ours to
# add.
def explain_unknown(evaluation: Evaluation, scope: Scope, node: Node, name: str) -> Skipped:
    """Why the value of a bias is not known."""
    spot = evaluation.locate(scope, name)
    if spot.constant is not None:
        return skip(node, "unsupported-dtype", f"its bias {name!r}: {spot.constant.trouble}")
    if spot.node is not None and spot.node.op in HELD:
        return skip(node, "missing-data", f"its bias {name!r} is held in a resource variable")
    if spot.node is None:
        return skip(
            node,
            "missing-data",
            f"its bias {name!r} is an input of the graph: not stored in the file",
        )
    detail = f"its bias {name!r} is computed by {spot.node.op}, which this version cannot follow"
    return skip(node, "computed-by-unknown", detail)


def _halves(value: KnownTensor, first: int, hidden: int) -> dict[str, Terms]:
    """One direction's row of B, cut into gates: the first half goes with W, the second with R."""
    gates = {}
    for k, gate in enumerate(ONNX_ORDER):
        halves: list[tuple[str, Cells]] = []
        for half, start in (("ih", first + k * hidden), ("hh", first + (k + 4) * hidden)):
            halves += [(half, term[start : start + hidden]) for term in value.terms]
        gates[gate] = tuple(halves)
    return gates


# `activations` lists three functions a direction: f of the gates, g, h. Alphas and betas come as
# one flat list each, dealt out in order to the functions that take one; a function without one
# leaves no gap (onnx/defs/rnn/defs.cc, activation_alpha). A clip narrows the input of the function,
# not its output.
def _activation(node: Node, number: int, directions: int) -> ActivationShape | Skipped:
    """The forget gate's function with its numbers; alphas go in order to the functions that take
    one.
    """
    names = _texts(node, "activations") or ("Sigmoid", "Tanh", "Tanh") * directions
    if len(names) != 3 * directions:
        return skip(
            node, "conflicting-evidence", f"{len(names)} activations for {directions} directions"
        )
    kinds = [name.lower() for name in names]
    alphas = _dealt(kinds, WITH_ALPHA, _floats(node, "activation_alpha"))
    betas = _dealt(kinds, WITH_BETA, _floats(node, "activation_beta"))
    kind, clip = kinds[3 * number], node.attributes.get("clip", 0.0)
    limit = float(clip) if isinstance(clip, int | float) and clip > 0 else 0.0
    if kind == "sigmoid":
        return ActivationShape(clip=limit)
    alpha, beta = alphas.get(3 * number, 0.2), betas.get(3 * number, 0.5)
    if kind != "hardsigmoid" or not 0 < alpha < 1e6 or not abs(beta) < 1e6:
        return skip(
            node, "unknown-convention", f"its gates are {names[3 * number]}: no share of memory"
        )
    return ActivationShape("hard_sigmoid", _plain(alpha), _plain(beta), limit)


def _plain(value: float) -> float:
    """A float32's shortest decimal: 0.2, not 0.20000000298023224."""
    return float(f"{value:.7g}")


def _dealt(
    kinds: Sequence[str], takers: Sequence[str], values: Sequence[float]
) -> dict[int, float]:
    """By the number of a function, its alpha or beta."""
    return dict(zip([k for k, kind in enumerate(kinds) if kind in takers], values, strict=False))


def _texts(node: Node, name: str) -> tuple[str, ...]:
    found = node.attributes.get(name)
    listed = isinstance(found, tuple) and not isinstance(found, Constant)
    return tuple(x for x in found if isinstance(x, str)) if listed else ()  # type: ignore[union-attr]  # a tuple


def _floats(node: Node, name: str) -> tuple[float, ...]:
    found = node.attributes.get(name)
    listed = isinstance(found, tuple) and not isinstance(found, Constant)
    return tuple(float(x) for x in found if isinstance(x, int | float)) if listed else ()  # type: ignore[union-attr]  # a tuple


def _notes(node: Node, shape: ActivationShape) -> Iterator[str]:
    """What a reader of the numbers must know."""
    if len(node.ins) > 7 and node.ins[7]:
        yield PEEPHOLES
    if shape.clip:
        yield f"the input of every gate is clipped to {-shape.clip:g} to {shape.clip:g}"


# With input_forget the runtime computes f = 1 - i and never reads f's bias. 1 - sigmoid(b) is
# sigmoid(-b), so minus i's bias is the number to show; for a hard sigmoid that holds only if it is
# symmetric.
def _see_coupled(node: Node, sighting: Sighting, shape: ActivationShape) -> Seen:
    """input_forget: f = 1 - i, and the forget gate's own bias is dead."""
    if not node.attributes.get("input_forget"):
        return sighting
    if shape.kind == "hard_sigmoid" and shape.beta != 0.5:
        return skip(node, "unknown-convention", NOT_SYMMETRIC)
    gates, notes = {**sighting.gates, "f": ()}, (*sighting.notes, COUPLED_FORGET)
    return sighting._replace(gates=gates, coupled="f", notes=notes)


def _see_fused(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
    """A tensor a gate: biases i, f, g, o at 12 to 15; i is left out where it is 1 - f."""
    source = evaluation.maker(scope, node.ins[0]) if node.ins else None
    backward = source is not None and source.op == "Reverse"
    yield _by_gate(evaluation, scope, node, order, "reverse" if backward else "forward", 12)


def _see_fused_bidirectional(
    evaluation: Evaluation, scope: Scope, node: Node, order: int
) -> Iterator[Seen]:
    """The same twice in one operator: the backward biases stand at 29 to 32."""
    yield _by_gate(evaluation, scope, node, order, "forward", 12)
    yield _by_gate(evaluation, scope, node, order, "reverse", 29)


# TFLite's fused kernel takes a tensor a gate. i may be missing altogether (coupled), f, g and o may
# not; the three inputs before the biases are the peephole weights
# (tensorflow/lite/kernels/lstm_shared.h).
def _by_gate(
    evaluation: Evaluation, scope: Scope, node: Node, order: int, direction: str, first: int
) -> Seen:
    gates: dict[str, Terms] = {}
    sizes = set()
    for at, gate in enumerate(GATES, first):
        value = _input(evaluation, scope, node, at)
        if isinstance(value, Skipped):
            return value
        gates[gate] = () if value is None else tuple(("b", term) for term in value.terms)
        sizes |= set() if value is None else {value.size}
    if not gates["f"] or not gates["g"] or not gates["o"] or len(sizes) != 1:
        return skip(node, "conflicting-evidence", f"its biases have the sizes {sorted(sizes)}")
    coupled = "" if gates["i"] else "i"
    notes = [COUPLED_INPUT] if coupled else []
    if any(node.ins[first - 3 : first]):
        notes.append(PEEPHOLES)
    return Sighting(
        scope, node, order, direction, sizes.pop(), gates, coupled=coupled, notes=tuple(notes)
    )


def _basic(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
    """One bias of 4H at input 3, in the order i, g, f, o."""
    yield _of_one_bias(evaluation, scope, node, order, 3, "igfo")


def _of_one_bias(
    evaluation: Evaluation, scope: Scope, node: Node, order: int, at: int, gates: str
) -> Seen:
    """A bias of four equal parts."""
    value = _input(evaluation, scope, node, at)
    if isinstance(value, Skipped):
        return value
    if value is None or not value.size or value.size % 4:
        size = 0 if value is None else value.size
        return skip(node, "conflicting-evidence", f"its bias has {size} elements")
    h = value.size // 4
    return Sighting(scope, node, order, "forward", h, _cut(value, 0, h, gates))


# The operator has no attribute that adds to the forget gate at run time, so no offset is claimed
# here: what a framework added must have been folded into B when the model was converted.
def _sequence(at: int) -> ReadOperator:
    """OpenVINO's LSTMSequence and LSTMCell: one bias [D, 4H] at an input, in the order f,
    i, c, o.
    """

    def read(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
        directions = WAYS.get(str(node.attributes.get("direction", "forward")), ())
        given, value = node.attributes.get("hidden_size", 0), _input(evaluation, scope, node, at)
        hidden = given if isinstance(given, int) else 0
        shape = _activation(node, 0, 1)
        if isinstance(value, Skipped) or isinstance(shape, Skipped):
            yield value if isinstance(value, Skipped) else shape  # type: ignore[misc]  # one of them is
            return
        wanted = 4 * hidden * len(directions)
        if not 0 < hidden <= MAX_HIDDEN or (value is not None and value.size != wanted):
            found = "none" if value is None else value.shape
            detail = f"its bias has the shape {found}, hidden_size {hidden} needs {wanted} elements"
            yield skip(node, "conflicting-evidence", detail)
            return
        for number, direction in enumerate(directions):
            gates = NO_TERMS if value is None else _cut(value, number * 4 * hidden, hidden, "figo")
            seen = Sighting(scope, node, order, direction, hidden, gates, spell(shape))
            yield seen._replace(notes=tuple(_notes(node, shape)))

    return read


# With the flag forgetBias of LSTMParams the runtime adds a vector of ones to the forget gate's bias
# (NeuralNetwork.proto). The stored bias is without it, so it is an offset like TensorFlow's.
def _core_ml_layer(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
    """Core ML's LSTM layers: a bias a gate, for each direction; a flag adds 1 to f at run time."""
    directions = WAYS.get(str(node.attributes.get("direction")), ())
    given, shape = node.attributes.get("hidden_size", 0), _activation(node, 0, 1)
    hidden = given if isinstance(given, int) and 0 < given <= MAX_HIDDEN else 0
    if isinstance(shape, Skipped) or not hidden:
        unknown = skip(node, "conflicting-evidence", f"its output vector has {given} elements")
        yield shape if isinstance(shape, Skipped) else unknown
        return
    for number, direction in enumerate(directions):
        values = [_input(evaluation, scope, node, 4 * number + k) for k in range(4)]
        bad = next((value for value in values if isinstance(value, Skipped)), None)
        sizes = {value.size for value in values if isinstance(value, KnownTensor)}
        if bad is not None or not sizes <= {hidden} or (sizes and None in values):
            detail = f"its biases have the sizes {sorted(sizes)}, its output vector {hidden}"
            yield bad or skip(node, "conflicting-evidence", detail)
            continue
        gates = {
            gate: tuple(("b", term) for term in value.terms)
            if isinstance(value, KnownTensor)
            else ()
            for gate, value in zip(GATES, values, strict=True)
        }
        seen = Sighting(scope, node, order, direction, hidden, gates, spell(shape))
        yield _see_coupled_layer(node, seen, shape)


def _see_coupled_layer(node: Node, seen: Sighting, shape: ActivationShape) -> Seen:
    """The flags of a Core ML layer."""
    notes = (PEEPHOLES,) if node.attributes.get("peephole") else ()
    if not node.attributes.get("coupled"):
        offset = 1.0 if node.attributes.get("forget_bias") else 0.0
        return seen._replace(offset=offset, notes=notes)
    if shape.kind == "hard_sigmoid" and shape.beta != 0.5:
        return skip(node, "unknown-convention", NOT_SYMMETRIC)
    return seen._replace(gates={**seen.gates, "f": ()}, coupled="f", notes=(*notes, COUPLED_FORGET))


def _core_ml_operation(
    evaluation: Evaluation, scope: Scope, node: Node, order: int
) -> Iterator[Seen]:
    """An ML program's lstm: one bias a direction, in the order i, f, o, z."""
    way = str(node.attributes.get("direction", "forward"))
    kind = node.attributes.get("recurrent_activation", "sigmoid")
    shapes = {
        "sigmoid": ActivationShape(),
        "hard_sigmoid": ActivationShape("hard_sigmoid", 0.2, 0.5),
    }
    weight = evaluation.shape(scope, node.ins[2]) if len(node.ins) > 2 and node.ins[2] else None
    if way not in WAYS or kind not in shapes or weight is None or len(weight) != 2:
        detail = f"direction {way!r}, activation {kind!r}, recurrent weight of shape {weight}"
        yield skip(node, "unknown-convention", detail)
        return
    hidden = weight[1]
    for number, direction in enumerate(WAYS[way]):
        value = _input(evaluation, scope, node, number)
        if isinstance(value, Skipped):
            yield value
        elif not 0 < hidden <= MAX_HIDDEN or (value and value.size != 4 * hidden):
            yield skip(node, "conflicting-evidence", f"its recurrent weight has shape {weight}")
        else:
            gates = NO_TERMS if value is None else _cut(value, 0, hidden, "ifog")
            name = spell(shapes[str(kind)])
            yield Sighting(scope, node, order, direction, hidden, gates, name)


def _cut(value: KnownTensor, first: int, hidden: int, gates: str) -> dict[str, Terms]:
    """Equal parts of a bias, from `first` on, in the order of `gates`."""
    starts = {gate: first + k * hidden for k, gate in enumerate(gates)}
    return {
        gate: tuple(("b", term[start : start + hidden]) for term in value.terms)
        for gate, start in starts.items()
    }


def unknown_lstm(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
    """An operator that calls itself an LSTM, of a kind that nobody here knows."""
    yield skip(node, "unknown-convention", f"its operator {node.op} is not known")


def _other(kind: str) -> ReadOperator:
    def say(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
        yield skip(node, kind, f"its operator is {node.op}")

    return say


# Where a bias enters; the numbers that come in there end there.
BIAS_INPUTS: Mapping[str, tuple[int, ...]] = {
    "LSTM": (3,),
    "FusedLSTM": (12, 13, 14, 15),
    "FusedBidirectionalLSTM": (12, 13, 14, 15, 29, 30, 31, 32),
    "BasicLSTM": (3,),
    "OpenVINO::LSTMSequence": (6,),
    "OpenVINO::LSTMCell": (5,),
    "CoreML::LSTM": (0, 1, 2, 3, 4, 5, 6, 7),
    "CoreML::lstm": (0, 1),
    "com.microsoft::DynamicQuantizeLSTM": (3,),
}

# By operator, how a node of it is read.
READINGS: Mapping[str, ReadOperator] = {
    "LSTM": _onnx_lstm,
    "com.microsoft::DynamicQuantizeLSTM": _onnx_lstm,
    "FusedLSTM": _see_fused,
    "FusedBidirectionalLSTM": _see_fused_bidirectional,
    "BasicLSTM": _basic,
    "CoreML::LSTM": _core_ml_layer,
    "CoreML::lstm": _core_ml_operation,
    "OpenVINO::LSTMSequence": _sequence(6),
    "OpenVINO::LSTMCell": _sequence(5),
    "GRU": _other("gru"),
    "RNN": _other("rnn"),
}
