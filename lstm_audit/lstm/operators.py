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

from ..activations import Shape, spell
from ..errors import Skipped
from ..formats import Constant, Node, Scope
from .graph import Cells, Evaluation, Value
from .layer import GATES
from .sightings import Sighting, Terms, called

MAX_HIDDEN = 1 << 17
"""H = 131072, far beyond any model, as for names."""

WITH_ALPHA = ("affine", "leakyrelu", "thresholdedrelu", "scaledtanh", "hardsigmoid", "elu")
WITH_BETA = ("affine", "scaledtanh", "hardsigmoid")
"""The functions to which activation_alpha and activation_beta are dealt out, in order."""

ONNX_ORDER = "iofg"
NO_TERMS: Mapping[str, Terms] = dict.fromkeys(GATES, ())

Seen = Sighting | Skipped
Reading = Callable[[Evaluation, Scope, Node, int], Iterator[Seen]]


def skipped(node: Node, reason: str, detail: str) -> Skipped:
    """An entry for a node that cannot be judged."""
    return Skipped(called(node, 0), reason, detail)


def _onnx_lstm(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
    """LSTM: B is [D, 8H], Wb before Rb in the order i, o, f, c; without B all biases are 0."""
    way = node.attributes.get("direction", "forward")
    ways = {
        "forward": ("forward",),
        "reverse": ("reverse",),
        "bidirectional": ("forward", "reverse"),
    }
    if way not in ways:
        yield skipped(node, "conflicting-evidence", f"its direction is {way!r}")
        return
    directions = ways[str(way)]
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
        yield skipped(node, "conflicting-evidence", detail)
        return
    for number, direction in enumerate(directions):
        shape = _activation(node, number, len(directions))
        if isinstance(shape, Skipped):
            yield shape
            continue
        gates = NO_TERMS if value is None else _halves(value, 8 * hidden * number, hidden)
        seen = Sighting(scope, node, order, direction, hidden, gates, spell(shape))
        yield _coupled(node, seen._replace(notes=tuple(_notes(node, shape))), shape)


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
            return skipped(node, "conflicting-evidence", detail)
    if not 0 < hidden <= MAX_HIDDEN:
        return skipped(node, "conflicting-evidence", f"its hidden_size is {hidden}")
    return hidden


def _input(evaluation: Evaluation, scope: Scope, node: Node, at: int) -> Value | Skipped | None:
    """The bias at an input: None where there is none, `Skipped` where its value is not known."""
    name = node.ins[at] if len(node.ins) > at else ""
    if not name:
        return None
    value = evaluation.value(scope, name)
    return value if value is not None else unknown(evaluation, scope, node, name)


def unknown(evaluation: Evaluation, scope: Scope, node: Node, name: str) -> Skipped:
    """Why the value of a bias is not known."""
    spot = evaluation.locate(scope, name)
    if spot.constant is not None:
        return skipped(node, "unsupported-dtype", f"its bias {name!r}: {spot.constant.trouble}")
    if spot.node is None:
        return skipped(
            node,
            "missing-data",
            f"its bias {name!r} is an input of the graph: not stored in the file",
        )
    detail = f"its bias {name!r} is computed by {spot.node.op}, which this version cannot follow"
    return skipped(node, "computed-by-unknown", detail)


def _halves(value: Value, first: int, hidden: int) -> dict[str, Terms]:
    """One direction's row of B, cut into gates: the first half goes with W, the second with R."""
    gates = {}
    for k, gate in enumerate(ONNX_ORDER):
        halves: list[tuple[str, Cells]] = []
        for half, start in (("ih", first + k * hidden), ("hh", first + (k + 4) * hidden)):
            halves += [(half, term[start : start + hidden]) for term in value.terms]
        gates[gate] = tuple(halves)
    return gates


def _activation(node: Node, number: int, directions: int) -> Shape | Skipped:
    """The forget gate's function with its numbers; alphas go in order to the functions that take
    one.
    """
    names = _texts(node, "activations") or ("Sigmoid", "Tanh", "Tanh") * directions
    if len(names) != 3 * directions:
        return skipped(
            node, "conflicting-evidence", f"{len(names)} activations for {directions} directions"
        )
    kinds = [name.lower() for name in names]
    alphas = _dealt(kinds, WITH_ALPHA, _floats(node, "activation_alpha"))
    betas = _dealt(kinds, WITH_BETA, _floats(node, "activation_beta"))
    kind, clip = kinds[3 * number], node.attributes.get("clip", 0.0)
    limit = float(clip) if isinstance(clip, int | float) and clip > 0 else 0.0
    if kind == "sigmoid":
        return Shape(clip=limit)
    alpha, beta = alphas.get(3 * number, 0.2), betas.get(3 * number, 0.5)
    if kind != "hardsigmoid" or not 0 < alpha < 1e6 or not abs(beta) < 1e6:
        return skipped(
            node, "unknown-convention", f"its gates are {names[3 * number]}: no share of memory"
        )
    return Shape("hard_sigmoid", _plain(alpha), _plain(beta), limit)


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


def _notes(node: Node, shape: Shape) -> Iterator[str]:
    """What a reader of the numbers must know."""
    if len(node.ins) > 7 and node.ins[7]:
        yield "peephole weights also let the cell state into the gates: nothing at c = 0"
    if shape.clip:
        yield f"the input of every gate is clipped to {-shape.clip:g} to {shape.clip:g}"


def _coupled(node: Node, sighting: Sighting, shape: Shape) -> Seen:
    """input_forget: f = 1 - i, and the forget gate's own bias is dead."""
    if not node.attributes.get("input_forget"):
        return sighting
    if shape.kind == "hard_sigmoid" and shape.beta != 0.5:
        return skipped(
            node, "unknown-convention", "its forget gate is 1 minus a gate that is not symmetric"
        )
    note = (
        "input_forget: f = 1 - i; the bias that is shown is minus that of i, and the stored "
        "one of f is not used"
    )
    return sighting._replace(
        gates={**sighting.gates, "f": ()}, coupled="f", notes=(*sighting.notes, note)
    )


def _other(kind: str) -> Reading:
    def say(evaluation: Evaluation, scope: Scope, node: Node, order: int) -> Iterator[Seen]:
        yield skipped(node, kind, f"its operator is {node.op}")

    return say


BIAS_INPUTS: Mapping[str, tuple[int, ...]] = {
    "LSTM": (3,),
    "com.microsoft::DynamicQuantizeLSTM": (3,),
}
"""Where a bias enters; the numbers that come in there end there."""

READINGS: Mapping[str, Reading] = {
    "LSTM": _onnx_lstm,
    "com.microsoft::DynamicQuantizeLSTM": _onnx_lstm,
    "GRU": _other("gru"),
    "RNN": _other("rnn"),
}
"""By operator, how a node of it is read."""
