"""A ModelProto into a `Graph`: nodes, attributes, and the scopes of bodies and calls.

Comes in: a span over a whole file. Goes out: a `Checkpoint` whose graph has a scope for the main
graph, one for every body of an If, Loop or Scan, and one for every call of a local function.
Promise: every number is held against the bytes; a model that onnx and ONNX Runtime would read
differently is refused.

Field numbers: onnx/onnx.proto. What other readers do with odd files was tried with onnx 1.23 and
ONNX Runtime 1.32.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from ...errors import MalformedFile
from ...raw.span import Span
from ...wire.protobuf import BYTES, MAX_TEXT, VARINT, Field, Wire
from .. import Attribute, Beside, Checkpoint, Constant, Format, Graph, Node, Scope, reader
from .external import open_external
from .tensors import External, read_constant, sparse_constant

# Bodies in bodies; protobuf's own limit of 100 messages admits 32 levels of If.
MAX_DEPTH = 32

# Bodies and calls of one model: functions that call each other twice double at every level.
MAX_SCOPES = 4096

# From here on only functions are followed that may hold a recurrence.
FEW_SCOPES = 512

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

NOTHING: Mapping[str, Attribute] = {}
# Fields that making a node counts for.
NODE = 4

# Names of functions times bytes of them; beyond it every function is followed.
MAX_SEARCH = 1 << 28

WITH_BODIES = frozenset({"If", "Loop", "Scan", "SequenceMap"})
# AttributeProto.AttributeType of floats, ints and strings: an empty list has nothing else to tell
# it by.
LISTS = (6, 7, 8)


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


class Later(Mapping[str, Attribute]):
    """A mapping that is read when it is first asked: most nodes are never looked into."""

    __slots__ = ("_read", "_table")

    def __init__(self, read: Callable[[], Mapping[str, Attribute]]) -> None:
        self._read = read
        self._table: Mapping[str, Attribute] | None = None

    def _all(self) -> Mapping[str, Attribute]:
        if self._table is None:
            self._table = self._read()
        return self._table

    def __getitem__(self, name: str) -> Attribute:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


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
    model = OnnxModel(wire, functions, partial(open_external, span, beside, {}), [])
    _read_graph(model, graphs[0], Frame())
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
    return _spelled(domain, name, overload), LocalFunction(
        part, tuple(found[4]), tuple(found[5]), long
    )


def _read_graph(
    model: OnnxModel, part: Field, frame: Frame, bound: Mapping[str, tuple[Scope, str]] = {}
) -> Scope:  # never written here
    """A GraphProto: 1 nodes, 5 and 15 initializers, 11 inputs, 12 outputs."""
    wire = model.wire
    nodes, constants, inputs = (
        list[Node](),
        dict[str, Constant](),
        dict[str, tuple[int | None, ...]](),
    )
    outputs, bodies = list[str](), dict[int, list[Field]]()
    for field in wire.message(part):
        number = field[0]
        if number == 1:
            node, inner = _read_node(model, field, frame)
            if inner:
                bodies[len(nodes)] = inner
            nodes.append(node)
        elif number == 5 or number == 15:
            found = (
                read_constant(wire, field, model.external)
                if number == 5
                else sparse_constant(wire, field)
            )
            if found.name in constants:
                message = (
                    f"two initializers {found.name!r}: onnx takes the last, ONNX Runtime the first"
                )
                raise MalformedFile(message, wire.place(field[2]), "ambiguous")
            constants[found.name] = found
        elif number == 11:
            name, shape = _declared(wire, field)
            inputs[name] = shape
        elif number == 12:
            outputs.append(_declared(wire, field)[0])
    for name in inputs.keys() & constants.keys():
        constants[name] = constants[name]._replace(overridable=True)
    scope = Scope(frame.path, nodes, constants, frame.outer, bound, {}, inputs, tuple(outputs))
    return _enter(model, scope, bodies, frame)


def _read_function(
    model: OnnxModel, function: LocalFunction, frame: Frame, bound: Mapping[str, tuple[Scope, str]]
) -> Scope:
    """A FunctionProto's body for one call: 7 nodes, 11 defaults of attributes; it does not see the
    caller's names.
    """
    nodes, bodies = list[Node](), dict[int, list[Field]]()
    defaults: dict[str, Attribute] = {}
    for field in model.wire.message(function.body):
        if field[0] == 11:
            defaults.update(_read_attributes(model, [field], {}))
    frame = frame._replace(given={**defaults, **frame.given})
    for field in model.wire.message(function.body):
        if field[0] == 7:
            node, inner = _read_node(model, field, frame)
            if inner:
                bodies[len(nodes)] = inner
            nodes.append(node)
    return _enter(
        model, Scope(frame.path, nodes, {}, None, bound, {}, {}, function.outs), bodies, frame
    )


def _enter(
    model: OnnxModel, scope: Scope, bodies: Mapping[int, list[Field]], frame: Frame
) -> Scope:
    """Register a scope, then read what its nodes hold or call."""
    if frame.depth > MAX_DEPTH or len(model.scopes) >= MAX_SCOPES:
        what = (
            f"bodies more than {MAX_DEPTH} deep"
            if frame.depth > MAX_DEPTH
            else f"over {MAX_SCOPES} bodies"
        )
        message = f"{what}: If, Loop, Scan and calls of functions counted together"
        raise MalformedFile(message, model.wire.span.at, "limit")
    calls: dict[int, tuple[Scope, tuple[str, ...]]] = {}
    scope = scope._replace(calls=calls)
    model.scopes.append(scope)
    for k, part in ((k, part) for k, parts in bodies.items() for part in parts):
        _read_body(model, scope, scope.nodes[k], part, frame)
    for k, node in enumerate(scope.nodes) if model.functions else ():
        function = model.functions.get(node.op)
        if function is not None and (function.worth or len(model.scopes) < FEW_SCOPES):
            bound = {
                formal: (scope, name) for formal, name in zip(function.ins, node.ins, strict=False)
            }
            inner = Frame(
                frame.depth + 1, f"{frame.path}{node.name or node.op}/", None, node.attributes
            )
            calls[k] = _read_function(model, function, inner, bound), function.outs
    return scope


def _read_body(model: OnnxModel, scope: Scope, node: Node, part: Field, frame: Frame) -> None:
    """A body sees the scope around it. What a loop hands on unchanged is what came into it."""
    bound: dict[str, tuple[Scope, str]] = {}
    inner = Frame(frame.depth + 1, f"{frame.path}{node.name or node.op}/", scope, frame.given)
    body = _read_graph(model, part, inner, bound)
    formals, actuals, results = list(body.inputs), node.ins, body.outputs
    if (
        node.op == "Loop"
    ):  # into it: how often, condition, values; into the body: which time, condition, values
        formals, actuals, results = formals[2:], actuals[2:], results[1:]
    elif node.op != "Scan":
        return
    copies = {n.outs[0]: n.ins[0] for n in body.nodes if n.op == "Identity" and n.ins and n.outs}
    for formal, actual, result in zip(formals, actuals, results, strict=False):
        if formal in (result, copies.get(result)):
            bound[formal] = scope, actual


def _read_node(model: OnnxModel, field: Field, frame: Frame) -> tuple[Node, list[Field]]:
    """A NodeProto, and the graphs among its attributes."""
    wire = model.wire
    wire.charge(NODE)
    ins, outs, name, op, domain, overload = list[str](), list[str](), "", "", "", ""
    attributes, metadata = list[Field](), list[Field]()
    parts, data = wire.short(field)
    first = field[2]
    for part in parts:
        number = part[0]
        if number < 5 and data and part[1] == BYTES and part[3] - part[2] <= MAX_TEXT:
            text = data[part[2] - first : part[3] - first].decode("utf-8", "backslashreplace")
        elif number < 5:
            text = wire.text(part)
        if number == 1:
            ins.append(text)
        elif number == 2:
            outs.append(text)
        elif number == 3:
            name = text
        elif number == 4:
            op = text
        elif number == 5:
            attributes.append(part)
        elif number == 7:
            domain = wire.text(part)
        elif number == 8:
            overload = wire.text(part)
        elif number == 9:
            metadata.append(part)
    table, bodies = NOTHING, list[Field]()
    if attributes:
        read = partial(_read_attributes, model, attributes, frame.given)
        table = read() if op == "Constant" else Later(read)
        bodies = _bodies(wire, attributes) if op in WITH_BODIES else bodies
    labels = Later(partial(_read_labels, wire, metadata)) if metadata else NOTHING
    if domain or overload:
        op = _spelled(domain, op, overload)
    return Node(op, tuple(ins), tuple(outs), name, table, labels), bodies


def _spelled(domain: str, op: str, overload: str) -> str:
    """An operator of ONNX's own by its name alone, another one with its domain."""
    return (
        ("" if domain in ("", "ai.onnx") else f"{domain}::")
        + op
        + (f":{overload}" if overload else "")
    )


def _bodies(wire: Wire, attributes: Sequence[Field]) -> list[Field]:
    """The GraphProtos of 6 g and 11 graphs."""
    return [
        part
        for field in attributes
        for part in wire.message(field)
        if part[0] in (6, 11) and part[1] == BYTES
    ]


def _read_attributes(
    model: OnnxModel, fields: Sequence[Field], given: Mapping[str, Attribute]
) -> dict[str, Attribute]:
    """AttributeProtos by name. In a function's body, 21 names the attribute of the call that gives
    the value.
    """
    table: dict[str, Attribute] = {}
    for field in fields:
        name, value, reference = _read_attribute(model, field)
        if reference:
            value = given.get(reference)
        if value is not None:
            table[name] = value
    return table


def _read_attribute(model: OnnxModel, field: Field) -> tuple[str, Attribute | None, str]:
    """One AttributeProto: 1 name, 2 f, 3 i, 4 s, 5 t, 7 floats, 8 ints, 9 strings, 21 the name of
    the call's.
    """
    wire = model.wire
    name, reference = "", ""
    one: Attribute | None = None
    many: list[int | float | str] = []
    listed = False
    for part in wire.message(field):
        number = part[0]
        if number == 1:
            name = wire.text(part)
        elif number == 2:
            one = next(iter(wire.floats(part)), None)
        elif number == 3:
            one = wire.number(part)
        elif number == 4:
            one = wire.text(part) if part[3] - part[2] <= MAX_TEXT else ""
        elif number == 5:
            one = read_constant(wire, part, model.external)
        elif number in (7, 8, 9):
            listed = True
            many += (
                wire.floats(part)
                if number == 7
                else wire.numbers(part)
                if number == 8
                else [wire.text(part)]
            )
        elif number == 20:
            listed = listed or wire.number(part) in LISTS
        elif number == 21:
            reference = wire.text(part)
    return name, tuple(many) if listed and one is None else one, reference


def _read_labels(wire: Wire, fields: Sequence[Field]) -> dict[str, Attribute]:
    """metadata_props: the exporter of torch writes where in the model a node came from, in up to 4
    KiB.
    """
    labels: dict[str, Attribute] = {}
    for field in fields:
        parts = {part[0]: part for part in wire.message(field)}
        if 1 in parts and 2 in parts and parts[2][3] - parts[2][2] <= MAX_TEXT:
            labels[wire.text(parts[1])] = wire.text(parts[2])
    return labels


def _declared(wire: Wire, field: Field) -> tuple[str, tuple[int | None, ...]]:
    """A ValueInfoProto's name and shape: 2 type, 1 tensor_type, 2 shape, 1 dim, 1 value; a name for
    a size is None.
    """
    name, shape, level = "", list[int | None](), [field]
    for part in wire.message(field):
        if part[0] == 1:
            name = wire.text(part)
    for number in (2, 1, 2, 1):
        level = [
            part
            for outer in level
            for part in wire.message(outer)
            if part[0] == number and part[1] == BYTES
        ]
    for dim in level:
        sizes = [part[2] for part in wire.message(dim) if part[0] == 1 and part[1] == VARINT]
        shape.append(sizes[-1] if sizes else None)
    return name, tuple(shape)
