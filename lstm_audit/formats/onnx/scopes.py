"""The scopes of an ONNX model: its graph, the bodies in it, and the functions that it calls.

Comes in: the message of a GraphProto. Goes out: `Scope`s, listed in the model. Promise: bodies and
calls are bounded together; a name that two readers would take differently is refused.
"""

from collections.abc import Mapping

from ...errors import MalformedFile
from ...wire.protobuf import BYTES, VARINT, Field, Wire
from .. import Attribute, Constant, Node, Scope
from .node_bytes import cut_node
from .nodes import read_attributes, read_node
from .opened import MAX_DEPTH, Frame, LocalFunction, OnnxModel
from .tensors import read_constant, sparse_constant

# Bodies and calls of one model: functions that call each other twice double at every level.
MAX_SCOPES = 4096

# From here on only functions are followed that may hold a recurrence.
FEW_SCOPES = 512


def read_graph(
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
            _add_node(model, field, frame, nodes, bodies)
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
            name, shape = _read_declaration(wire, field)
            inputs[name] = shape
        elif number == 12:
            outputs.append(_read_declaration(wire, field)[0])
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
    wire, nodes, bodies = model.wire, list[Node](), dict[int, list[Field]]()
    defaults: dict[str, Attribute] = {}
    for field in wire.message(function.body):
        if field[0] == 11:
            defaults.update(read_attributes(model, [field], {}))
    frame = frame._replace(given={**defaults, **frame.given})
    for field in wire.message(function.body):
        if field[0] == 7:
            _add_node(model, field, frame, nodes, bodies)
    return _enter(
        model, Scope(frame.path, nodes, {}, None, bound, {}, {}, function.outs), bodies, frame
    )


def _add_node(
    model: OnnxModel, field: Field, frame: Frame, nodes: list[Node], bodies: dict[int, list[Field]]
) -> None:
    """A NodeProto, and, by its place among the nodes, the bodies that it holds."""
    node, rest = cut_node(model.wire, field)
    if rest:
        node, inner = read_node(model, node, rest, frame)
        if inner:
            bodies[len(nodes)] = inner
    nodes.append(node)


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
    body = read_graph(model, part, inner, bound)
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


def _read_declaration(wire: Wire, field: Field) -> tuple[str, tuple[int | None, ...]]:
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
