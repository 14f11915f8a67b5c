"""OpenVINO IR: layers and edges in an .xml file, the numbers in a .bin beside it.

Comes in: a span over the .xml, and the means to open its neighbour. Goes out: a `Checkpoint` with a
`Graph`: a scope for the net, and one for every body of a TensorIterator, Loop or If. Promise: of
the .bin only what a Const layer claims is read, and that is held against its shape; the .xml names
no file, the neighbour has the same stem.

Layout: docs.openvino.ai, "OpenVINO IR format" and "Operation sets". Versions before 10 keep their
numbers in another way and are refused.
"""

from collections.abc import Mapping
from math import prod
from typing import NamedTuple

from ..errors import AuditError, MalformedFile
from ..raw.dtypes import DTYPES
from ..raw.noise import refuse_noise
from ..raw.span import Span
from ..raw.tensor import MAX_DIMS, Tensor, strides_of
from ..wire.xml import Element, parse_xml
from . import Attribute, Beside, Checkpoint, Constant, Graph, Node, Scope, reader

HEAD = 4096
OLDEST = 10
MAX_DEPTH = 16
MAX_SCOPES = 1024

KINDS = {
    "f32": "float32", "f16": "float16", "f64": "float64", "bf16": "bfloat16", "i64": "int64",
    "i32": "int32", "i16": "int16", "i8": "int8", "u64": "uint64", "u32": "uint32",
    "u16": "uint16", "u8": "uint8", "boolean": "bool",
}  # fmt: skip

# Layer types under ONNX's names, where they do the same.
OPERATORS = {
    "Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div", "MatMul": "MatMul",
    "Sigmoid": "Sigmoid", "Tanh": "Tanh", "ReLU": "Relu", "Clamp": "Clip", "Minimum": "Min",
    "Maximum": "Max", "Concat": "Concat", "Reshape": "Reshape", "Squeeze": "Squeeze",
    "Unsqueeze": "Unsqueeze", "Transpose": "Transpose", "Convert": "Cast", "Split": "Split",
    "VariadicSplit": "Split", "Gather": "Gather", "ShapeOf": "Shape", "GRUSequence": "GRU",
    "GRUCell": "GRU", "AUGRUCell": "GRU", "AUGRUSequence": "GRU", "RNNSequence": "RNN",
    "RNNCell": "RNN", "LSTMSequence": "OpenVINO::LSTMSequence", "LSTMCell": "OpenVINO::LSTMCell",
}  # fmt: skip

NUMBERS = ("hidden_size", "axis")
REALS = ("clip", "min", "max", "alpha", "beta")
LISTS = {"activations_alpha": "activation_alpha", "activations_beta": "activation_beta"}
# The input that holds the axis, which ONNX keeps in an attribute.
AXIS_INPUT = {"Split": 1, "VariadicSplit": 1, "Gather": 2}

BODIES = {"body": "port_map", "then_body": "then_port_map", "else_body": "else_port_map"}


class Net(NamedTuple):
    """What every body needs: both files, and the scopes so far."""

    xml: Span
    data: Span | None
    scopes: list[Scope]


@reader("openvino")
def read_openvino(span: Span, beside: Beside) -> Checkpoint | None:
    """A net's layers; None for what is no XML, or another kind of it."""
    head = span[: min(span.size, HEAD)].read().lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head.startswith((b"<?xml", b"<net", b"<!")) or b"<net" not in head:
        return None
    top = parse_xml(span)
    if top.tag != "net" or top.first("layers") is None:
        return None
    version = top.attributes.get("version", "")
    if not version.isdecimal() or int(version[:4]) < OLDEST:
        message = f"an OpenVINO IR of version {version[:20]!r}; from {OLDEST} on they are read"
        raise MalformedFile(message, span.at, "unsupported")
    net = Net(span, _open_numbers(top, beside), [])
    _read_body(net, top, "", None, {}, 0)
    stored = (constant.tensor for scope in net.scopes for constant in scope.constants.values())
    refuse_noise((tensor for tensor in stored if tensor), "its .bin")
    return Checkpoint("openvino", {}, graphs=(Graph("openvino", tuple(net.scopes)),))


def _open_numbers(top: Element, beside: Beside) -> Span | None:
    """The .bin of the same stem; a net without constants needs none."""
    layers = top.first("layers")
    if layers is None or not any(
        layer.attributes.get("type") == "Const" for layer in layers.inside
    ):
        return None
    try:
        return beside("*.bin")
    except AuditError as error:
        message = f"the numbers of an OpenVINO net lie in a .bin of the same name: {error.message}"
        raise type(error)(message, error.at, error.kind) from None


def _read_body(
    net: Net,
    body: Element,
    path: str,
    outer: Scope | None,
    bound: Mapping[str, tuple[Scope, str]],
    depth: int,
) -> Scope:
    """Layers and edges as a scope; a value is called LAYER:PORT. A body sees nothing around it."""
    if depth > MAX_DEPTH or len(net.scopes) >= MAX_SCOPES:
        raise MalformedFile("bodies too deep, or too many of them", net.xml.at, "limit")
    layers = [layer for part in body.each("layers") for layer in part.each("layer")]
    edges = _edges(net, body)
    constants: dict[str, Constant] = {}
    inputs: dict[str, tuple[int | None, ...]] = {}
    nodes: list[Node] = []
    holders: list[tuple[Node, Element]] = []
    for layer in layers:
        kind, outs = layer.attributes.get("type", ""), _outputs(layer)
        if kind == "Const" and outs:
            constants[outs[0]] = _read_constant(net, layer)
        elif kind == "Parameter" and outs:
            inputs[outs[0]] = ()
        elif kind not in ("Const", "Parameter"):
            node = _read_layer(net, layer, edges, outs, constants)
            nodes.append(node)
            if any(part.tag in BODIES for part in layer.inside):
                holders.append((node, layer))
    scope = Scope(path, nodes, constants, outer, bound, {}, inputs)
    net.scopes.append(scope)
    for node, layer in holders:
        for tag, ports in BODIES.items():
            for part in layer.each(tag):
                inner = f"{path}{node.name}/"
                names = _find_handed_in(scope, layer, ports, edges)
                _read_body(net, part, inner, None, names, depth + 1)
    return scope


def _edges(net: Net, body: Element) -> dict[tuple[str, str], str]:
    """By layer and port that read it, the value."""
    edges: dict[tuple[str, str], str] = {}
    for part in body.each("edges"):
        for edge in part.each("edge"):
            given = edge.attributes
            to = given.get("to-layer", ""), given.get("to-port", "")
            if to in edges:
                message = f"two edges lead to port {to[1]!r} of layer {to[0]!r}"
                raise MalformedFile(message, net.xml.at, "ambiguous")
            edges[to] = f"{given.get('from-layer', '')}:{given.get('from-port', '')}"
    return edges


def _ports(layer: Element, tag: str) -> list[str]:
    part = layer.first(tag)
    return [port.attributes.get("id", "") for port in part.each("port")] if part else []


def _outputs(layer: Element) -> tuple[str, ...]:
    number = layer.attributes.get("id", "")
    return tuple(f"{number}:{port}" for port in _ports(layer, "output"))


def _read_layer(
    net: Net,
    layer: Element,
    edges: Mapping[tuple[str, str], str],
    outs: tuple[str, ...],
    constants: Mapping[str, Constant],
) -> Node:
    number, kind = layer.attributes.get("id", ""), layer.attributes.get("type", "")
    ins = [edges.get((number, port), "") for port in _ports(layer, "input")]
    attributes = _attributes(net, layer)
    at = AXIS_INPUT.get(kind)
    if at is not None and at < len(ins):
        axis = _whole(constants.get(ins[at]))
        if axis is not None:
            attributes["axis"] = axis
        del ins[at]
    if kind == "Clamp":
        ins = ins[:1]
    op = OPERATORS.get(kind, f"openvino::{kind}")
    return Node(op, tuple(ins), outs, layer.attributes.get("name", ""), attributes)


def _whole(constant: Constant | None) -> int | None:
    """The number in a constant of one element."""
    if constant is None or constant.tensor is None or constant.tensor.elements != 1:
        return None
    if not constant.tensor.dtype.name.startswith("int"):
        return None
    return int.from_bytes(constant.tensor.span.read(), "little", signed=True)


def _attributes(net: Net, layer: Element) -> dict[str, Attribute]:
    """The attributes of `<data>` that a rule asks for, under ONNX's names."""
    data = layer.first("data")
    given = data.attributes if data else {}
    found: dict[str, Attribute] = {}
    try:
        found.update({name: int(given[name]) for name in NUMBERS if name in given})
        found.update({name: float(given[name]) for name in REALS if name in given})
        for name, own in LISTS.items():
            found[own] = tuple(float(x) for x in given.get(name, "").split(",") if x.strip())
    except ValueError:
        name = layer.attributes.get("name", "")
        message = f"layer {name!r} has an attribute that is no number"
        raise MalformedFile(message, net.xml.at) from None
    if "direction" in given:
        found["direction"] = given["direction"]
    if "activations" in given:
        found["activations"] = tuple(x.strip() for x in given["activations"].split(","))
    if given.get("transpose_b") == "true":
        found["transB"] = 1
    return found


def _read_constant(net: Net, layer: Element) -> Constant:
    """A Const: element_type, shape, and offset and size in the .bin."""
    name, data = layer.attributes.get("name", ""), layer.first("data")
    given = data.attributes if data else {}
    try:
        shape = tuple(_digits(x.strip()) for x in given.get("shape", "").split(",") if x.strip())
        offset, size = _digits(given.get("offset", "")), _digits(given.get("size", ""))
    except ValueError:
        message = f"constant {name!r} has no whole numbers for its shape, offset and size"
        raise MalformedFile(message, net.xml.at) from None
    dtype = DTYPES.get(KINDS.get(given.get("element_type", ""), ""))
    if dtype is None:
        kind = given.get("element_type", "")
        return Constant(name, shape, trouble=f"its element type is {kind[:20]!r}")
    if net.data is None or len(shape) > MAX_DIMS:
        raise MalformedFile(f"constant {name!r} claims the shape {shape[:9]}", net.xml.at)
    if size != prod(shape) * dtype.itemsize:
        message = f"constant {name!r} has {size} bytes, its shape {shape} needs another number"
        raise MalformedFile(message, net.xml.at)
    span = net.data[offset : offset + size]
    return Constant(name, shape, Tensor(dtype, shape, strides_of(shape), span))


def _digits(text: str) -> int:
    """A plain number; other readers may take `-0`, ` 64` and `1_000` for something else."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise ValueError(text)
    return int(text)


def _find_handed_in(
    scope: Scope, layer: Element, ports: str, edges: Mapping[tuple[str, str], str]
) -> dict[str, tuple[Scope, str]]:
    """What a body gets from around it and keeps: no slices, nothing that comes back changed."""
    back = {
        edge.attributes.get("to-layer", "")
        for part in layer.each("back_edges")
        for edge in part.each("edge")
    }
    number = layer.attributes.get("id", "")
    found: dict[str, tuple[Scope, str]] = {}
    for entry in (entry for part in layer.each(ports) for entry in part.each("input")):
        inner = entry.attributes.get("internal_layer_id", "")
        value = edges.get((number, entry.attributes.get("external_port_id", "")))
        if value and inner not in back and "axis" not in entry.attributes:
            found[f"{inner}:0"] = scope, value
    return found
