"""A ModelProto into a `Graph`: the envelope, and which local functions are worth a look.

Comes in: a span over a whole file. Goes out: a `Checkpoint` whose graph has a scope for the main
graph, one for every body of an If, Loop or Scan, and one for every call of a local function.
Promise: every number is held against the bytes; a model that onnx and ONNX Runtime would read
differently is refused.

Field numbers: onnx/onnx.proto. What other readers do with odd files was tried with onnx 1.23 and
ONNX Runtime 1.32.
"""

from collections.abc import Sequence
from functools import partial

from ...errors import MalformedFile
from ...raw.noise import refuse_noise
from ...raw.span import Span
from ...wire.protobuf import BYTES, VARINT, Field, Wire
from .. import Beside, Checkpoint, Format, Graph, reader
from .external import open_external
from .nodes import spell_operator
from .opened import MAX_DEPTH, Frame, LocalFunction, OnnxModel
from .scopes import read_graph

# The fields of a ModelProto and their wire types: 2 producer, 7 graph, 14 metadata, 20 training, 25
# functions.
MODEL = {
    1: VARINT, 2: BYTES, 3: BYTES, 4: BYTES, 5: VARINT, 6: BYTES, 7: BYTES, 8: BYTES, 14: BYTES,
    20: BYTES, 25: BYTES, 26: BYTES,
}  # fmt: skip

# The keys of ir_version, producer_name and graph.
FIRST_BYTES = (0x08, 0x12, 0x3A)

WORTH_A_CALL = (b"LSTM", b"GRU", b"RNN", b"Tanh")
# Bytes of a function that are searched for these words; a longer one is followed anyway.
MAX_SEARCHED = 1 << 20

TRAINING = "the model carries training_info, which may start the training from other values"

# Names of functions times bytes of them; beyond it every function is followed.
MAX_SEARCH = 1 << 28


@reader("onnx", Format("onnx", ("onnx",), ("onnx",)))
def read_onnx(span: Span, beside: Beside) -> Checkpoint | None:
    """A model's graph; None when the bytes are no ModelProto."""
    wire = Wire(span)
    parts = _model_fields(wire)
    if parts is None:
        return None
    graphs = [part for part in parts if part[0] == 7]
    if len(graphs) > 1:
        message = "two graphs in one model: some readers merge them, others take one"
        raise MalformedFile(message, wire.place(graphs[1][2]), "ambiguous")
    functions = _read_functions(wire, [part for part in parts if part[0] == 25])
    outside: dict[str, Span] = {}
    model = OnnxModel(wire, functions, partial(open_external, span, beside, outside), [])
    read_graph(model, graphs[0], Frame())
    if outside:
        stored = (
            constant.tensor for scope in model.scopes for constant in scope.constants.values()
        )
        placed = (tensor for tensor in stored if tensor and tensor.span.source is not span.source)
        refuse_noise(placed, f"external data {next(iter(outside))!r}")
    producers = [wire.text(part) for part in parts if part[0] == 2]
    notes = (TRAINING,) if any(part[0] == 20 for part in parts) else ()
    graph = Graph("onnx", tuple(model.scopes), producers[0] if producers else "", notes)
    return Checkpoint("onnx", {}, graphs=(graph,))


def _model_fields(wire: Wire) -> list[Field] | None:
    """The top level; None unless it is a ModelProto's from end to end.

    A SavedModel and a Core ML model begin with the same two bytes, but have no graph at 7. What is
    cut short is a model if its first fields are one's.
    """
    if wire.span.size < 4 or wire.span[:1].read()[0] not in FIRST_BYTES:
        return None
    parts: list[Field] = []
    try:
        for part in wire.fields(0, wire.span.size):
            if MODEL.get(part[0]) != part[1]:
                return None
            parts.append(part)
    except MalformedFile as error:
        if error.kind == "limit" or (error.kind == "truncated" and _begins_as_model(parts)):
            raise
        return None
    return parts if any(part[0] == 7 for part in parts) else None


def _begins_as_model(parts: Sequence[Field]) -> bool:
    """ir_version of 1 to 31 and the producer's name, as writers put them before all else."""
    return [part[0] for part in parts[:2]] == [1, 2] and 0 < parts[0][2] < 32


def _read_functions(wire: Wire, parts: Sequence[Field]) -> dict[str, LocalFunction]:
    """The local functions; one that calls a function worth following is worth it too."""
    functions: dict[str, LocalFunction] = {}
    bodies: dict[str, bytes] = {}
    for part in parts:
        key, function = _read_signature(wire, part)
        if key in functions:
            raise MalformedFile(f"two functions {key!r}", wire.place(part[2]), "ambiguous")
        functions[key] = function
        bodies[key] = wire.raw(part[2], min(part[3], part[2] + MAX_SEARCHED))
    if len(functions) * sum(map(len, bodies.values())) > MAX_SEARCH:
        return {key: function._replace(worth=True) for key, function in functions.items()}
    worth = {key for key, body in bodies.items() if any(word in body for word in WORTH_A_CALL)}
    fresh = set(worth)
    for _ in range(MAX_DEPTH):
        names = [key.rpartition("::")[2].partition(":")[0].encode() for key in fresh]
        fresh = {
            key
            for key, body in bodies.items()
            if key not in worth and any(name in body for name in names)
        }
        worth |= fresh
    return {
        key: function._replace(worth=function.worth or key in worth)
        for key, function in functions.items()
    }


def _read_signature(wire: Wire, part: Field) -> tuple[str, LocalFunction]:
    """A FunctionProto's 1 name, 4 inputs, 5 outputs, 10 domain, 13 overload."""
    found: dict[int, list[str]] = {1: [], 4: [], 5: [], 10: [], 13: []}
    for field in wire.message(part):
        if field[0] in found:
            found[field[0]].append(wire.text(field))
    name, domain, overload = ("".join(found[number][-1:]) for number in (1, 10, 13))
    long = part[3] - part[2] > MAX_SEARCHED
    return spell_operator(domain, name, overload), LocalFunction(
        part, tuple(found[4]), tuple(found[5]), long
    )
