"""Core ML: a NeuralNetwork of layers, or an ML program of operations, in one protobuf message.

Comes in: a span over a whole .mlmodel. Goes out: a `Checkpoint` with a `Graph`: one scope a
network, and one for every block of a program. Promise: every count is held against the bytes; a
program's weights are looked for in one place only, `weights/weight.bin` beside the model.

Field numbers: mlmodel/format/Model.proto, NeuralNetwork.proto and MIL.proto of coremltools. No
runtime of it exists off Apple's systems: what is said here of gates is said by those files.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import NamedTuple

from ..errors import MalformedFile
from ..raw.dtypes import DTYPES
from ..raw.span import Span
from ..raw.tensor import MAX_DIMS, Tensor, strides_of
from ..wire.protobuf import BYTES, VARINT, Field, Wire
from . import Attribute, Beside, Checkpoint, Constant, Format, Graph, Node, Scope, reader

MAX_DEPTH = 16
MAX_SCOPES = 1024

PIPELINES, NETWORKS, PROGRAM = (200, 201, 202), (303, 403, 500), 502
# The fields of a Model that say what it is; of the others none holds a recurrence.
OTHERS = (
    300, 301, 302, 304, 400, 401, 402, 404, 501, 555, 556, 560, 600, 601, 602, 603, 604, 606, 607,
    609, 610, 900, 2000, 2001, 2002, 2003, 2004, 2005, 2006, 3000,
)  # fmt: skip

LAYER_NAME, RECURRENT, GRU, UNI_LSTM, BI_LSTM, CUSTOM = 1, 400, 410, 420, 430, 500
CLASS_NAME = 10
BRANCH, LOOP = 605, 615
# LSTMWeightParams: a vector a gate.
GATE_BIASES = {"i": 40, "f": 41, "g": 42, "o": 43}

SIGMOID, HARD_SIGMOID = 40, 41
ACTIVATIONS = {10: "Relu", 30: "Tanh", SIGMOID: "Sigmoid", HARD_SIGMOID: "HardSigmoid"}

# DataType of MIL.proto.
MIL_KINDS = {
    1: "bool", 10: "float16", 11: "float32", 12: "float64", 13: "bfloat16", 21: "int8", 22: "int16",
    23: "int32", 24: "int64", 31: "uint8", 32: "uint16", 33: "uint32", 34: "uint64",
}  # fmt: skip

BLOB_KINDS = {1: "float16", 2: "float32", 3: "uint8", 4: "int8", 5: "bfloat16", 6: "int16"}
WEIGHTS, BESIDE = "@model_path/weights/weight.bin", "weights/weight.bin"
BLOB = struct.Struct("<IIQQ")
SENTINEL = 0xDEADBEEF

# Operations of a program under ONNX's names, and which of their arguments are the inputs.
OPERATIONS = {
    "add": ("Add", "x", "y"), "sub": ("Sub", "x", "y"), "mul": ("Mul", "x", "y"),
    "real_div": ("Div", "x", "y"), "sigmoid": ("Sigmoid", "x"), "tanh": ("Tanh", "x"),
    "linear": ("Gemm", "x", "weight", "bias"), "matmul": ("MatMul", "x", "y"),
    "cast": ("Cast", "x"), "identity": ("Identity", "x"), "relu": ("Relu", "x"),
    "relu6": ("Relu6", "x"), "minimum": ("Min", "x", "y"), "maximum": ("Max", "x", "y"),
    "concat": ("Concat", "values"), "split": ("Split", "x"), "squeeze": ("Squeeze", "x", "axes"),
    "expand_dims": ("Unsqueeze", "x", "axes"), "reshape": ("Reshape", "x", "shape"),
    "transpose": ("Transpose", "x", "perm"), "gru": ("GRU", "x"), "rnn": ("RNN", "x"),
    "lstm": ("CoreML::lstm", "bias", "bias_back", "weight_hh"),
}  # fmt: skip


class CoremlModel(NamedTuple):
    """What every part of one model needs: its bytes, its neighbour, the scopes so far."""

    wire: Wire
    beside: Beside
    scopes: list[Scope]
    weights: list[Span]


@reader("coreml", Format("coreml", ("mlmodel",), ("mlmodel",)))
def read_coreml(span: Span, beside: Beside) -> Checkpoint | None:
    """A model's networks and programs; None when the bytes are no Model."""
    wire = Wire(span)
    parts = _model_fields(wire)
    if parts is None:
        return None
    model = CoremlModel(wire, beside, [], [])
    _read_model(model, parts, "", 0)
    return Checkpoint("coreml", {}, graphs=(Graph("coreml", tuple(model.scopes)),))


def _model_fields(wire: Wire) -> list[Field] | None:
    """The top level: 1 version, 2 description, 10 isUpdatable, and one field that says the kind."""
    if wire.span.size < 4 or wire.span[:1].read() != b"\x08":
        return None
    parts: list[Field] = []
    try:
        for part in wire.fields(0, wire.span.size):
            parts.append(part)
            if part[0] in (1, 10) and part[1] == VARINT:
                continue
            if part[1] != BYTES or part[0] not in (2, *PIPELINES, *NETWORKS, PROGRAM, *OTHERS):
                return None
    except MalformedFile as error:
        if error.kind == "limit":
            raise
        return None
    return parts if any(part[0] >= min(PIPELINES) for part in parts) else None


def _read_model(model: CoremlModel, parts: Sequence[Field], path: str, depth: int) -> None:
    """A Model, or the models inside a pipeline."""
    wire = model.wire
    _check_depth(model, depth)
    kinds = [part for part in parts if part[0] >= min(PIPELINES)]
    if len(kinds) > 1:
        message = "a model of two kinds at once: some readers take the first, others the last"
        raise MalformedFile(message, wire.place(kinds[1][2]), "ambiguous")
    for part in kinds:
        if part[0] in NETWORKS:
            _read_network(model, part, path, None, depth)
        elif part[0] == PROGRAM:
            _read_program(model, part, path, depth)
        elif part[0] in PIPELINES:
            inner = [part] if part[0] == 202 else [f for f in wire.message(part) if f[0] == 1]
            models = [f for pipe in inner for f in wire.message(pipe) if f[0] == 1]
            for number, one in enumerate(models):
                _read_model(model, list(wire.message(one)), f"{path}{number}/", depth + 1)


def _check_depth(model: CoremlModel, depth: int) -> None:
    if depth > MAX_DEPTH or len(model.scopes) >= MAX_SCOPES:
        raise MalformedFile("models too deep in models, or too many", model.wire.span.at, "limit")


def _read_network(
    model: CoremlModel, network: Field, path: str, outer: Scope | None, depth: int
) -> None:
    """A NeuralNetwork: 1 layers. Branches and loops hold networks of their own."""
    _check_depth(model, depth)
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
        _read_network(model, part, f"{path}{name}/", scope, depth + 1)


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
        found = {f[0]: f for f in wire.message(part)}
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
    if len(floats) == 1 and floats[0][1] == BYTES:
        return _placed(wire.span, floats[0], name, "float32")
    if halves and halves[0][1] == BYTES:
        return _placed(wire.span, halves[0], name, "float16")
    values = tuple(value for field in floats for value in wire.floats(field))
    return Constant(name, (len(values),), numbers=values)


def _placed(span: Span, field: Field, name: str, kind: str) -> Constant:
    """Numbers one after the other, as many as the bytes hold."""
    dtype, size = DTYPES[kind], field[3] - field[2]
    if size % dtype.itemsize:
        message = f"{name!r} has {size} bytes, no whole number of {kind} values"
        raise MalformedFile(message, span.start + field[2])
    shape = (size // dtype.itemsize,)
    return Constant(name, shape, Tensor(dtype, shape, (1,), span[field[2] : field[3]]))


# ---- ML programs


def _entries(wire: Wire, parts: Sequence[Field]) -> Iterator[tuple[str, Field]]:
    """The entries of a map: 1 key, 2 value."""
    for part in parts:
        found = {f[0]: f for f in wire.message(part)}
        if 1 in found and 2 in found:
            yield wire.text(found[1]), found[2]


def _read_program(model: CoremlModel, program: Field, path: str, depth: int) -> None:
    """Program: 2 functions; Function: 3 block_specializations, of which all mean the same."""
    wire = model.wire
    functions = _entries(wire, [f for f in wire.message(program) if f[0] == 2])
    for name, function in functions:
        blocks = _entries(wire, [f for f in wire.message(function) if f[0] == 3])
        for _, block in blocks:
            inner = path if name == "main" else f"{path}{name}/"
            _read_block(model, block, inner, None, depth)


def _read_block(
    model: CoremlModel, block: Field, path: str, outer: Scope | None, depth: int
) -> None:
    """Block: 3 operations. Constants are operations too; a block inside sees the names around."""
    _check_depth(model, depth)
    wire = model.wire
    nodes: list[Node] = []
    constants: dict[str, Constant] = {}
    words: dict[str, str] = {}
    scope = Scope(path, nodes, constants, outer)
    model.scopes.append(scope)
    for part in (f for f in wire.message(block) if f[0] == 3):
        kind, inputs, outputs, blocks, given = _operation(wire, part)
        if kind == "const" and outputs:
            _add_constant(model, outputs[0], given, constants, words)
            continue
        nodes.append(_node(kind, inputs, outputs, words, constants))
        for inner in blocks:
            _read_block(model, inner, f"{path}{outputs[0] if outputs else kind}/", scope, depth + 1)


def _operation(
    wire: Wire, part: Field
) -> tuple[str, dict[str, list[str]], list[str], list[Field], dict[str, Field]]:
    """Operation: 1 type, 2 inputs, 3 outputs, 4 blocks, 5 attributes."""
    kind, ins, outputs, blocks, given = "", list[Field](), list[str](), list[Field](), list[Field]()
    for field in wire.message(part):
        if field[0] == 1:
            kind = wire.text(field)
        elif field[0] == 2:
            ins.append(field)
        elif field[0] == 3:
            outputs += [wire.text(f) for f in wire.message(field) if f[0] == 1]
        elif field[0] == 4:
            blocks.append(field)
        elif field[0] == 5:
            given.append(field)
    inputs = {name: _bound_names(wire, argument) for name, argument in _entries(wire, ins)}
    return kind, inputs, outputs, blocks, dict(_entries(wire, given))


def _bound_names(wire: Wire, argument: Field) -> list[str]:
    """Argument: 1 bindings; of each 1 the name, where it is no value written on the spot."""
    bindings = [f for f in wire.message(argument) if f[0] == 1]
    return [wire.text(f) for b in bindings for f in wire.message(b) if f[0] == 1]


def _node(
    kind: str,
    inputs: Mapping[str, list[str]],
    outputs: Sequence[str],
    words: Mapping[str, str],
    constants: Mapping[str, Constant],
) -> Node:
    op, *names = OPERATIONS.get(kind, (f"coreml::{kind}",))
    ins = [value for name in names for value in inputs.get(name, [""])]
    attributes: dict[str, Attribute] = {}
    if op == "Gemm":
        attributes["transB"] = 1
    if op in ("Split", "Concat"):
        attributes["axis"] = -1  # of known values the last axis alone is left, see lstm/graph.py
    for name in ("direction", "recurrent_activation"):
        if name in inputs and inputs[name] and inputs[name][0] in words:
            attributes[name] = words[inputs[name][0]]
    return Node(op, tuple(ins), tuple(outputs), outputs[0] if outputs else "", attributes)


def _add_constant(
    model: CoremlModel,
    name: str,
    given: Mapping[str, Field],
    constants: dict[str, Constant],
    words: dict[str, str],
) -> None:
    """A const: the attribute val, a Value: 2 type, 3 immediateValue, 5 blobFileValue."""
    wire = model.wire
    if name in constants or name in words:
        raise MalformedFile(f"{name!r} is made twice", wire.span.at, "ambiguous")
    value = {f[0]: f for f in wire.message(given["val"])} if "val" in given else {}
    kind, shape = _value_type(wire, value[2]) if 2 in value else ("", ())
    if 5 in value:
        constants[name] = _blob(model, value[5], name, kind, shape)
    elif 3 in value:
        tensor = next((f for f in wire.message(value[3]) if f[0] == 1), None)
        found = next(wire.message(tensor), None) if tensor is not None else None
        if found is not None and found[0] == 4:
            texts = [wire.text(f) for f in wire.message(found) if f[0] == 1]
            words[name] = texts[0] if texts else ""
        elif found is not None:
            constants[name] = _immediate(wire, found, name, kind, shape)


def _value_type(wire: Wire, part: Field) -> tuple[str, tuple[int, ...]]:
    """ValueType: 1 tensorType: 1 dataType, 3 dimensions: 1 constant: 1 size."""
    kind, shape = "", list[int]()
    for tensor in (f for f in wire.message(part) if f[0] == 1):
        for field in wire.message(tensor):
            if field[0] == 1:
                kind = MIL_KINDS.get(wire.number(field), "")
            elif field[0] == 3:
                sizes = [f for f in wire.message(field) if f[0] == 1]
                shape += [wire.number(f) for s in sizes for f in wire.message(s) if f[0] == 1]
    return kind, tuple(shape)


def _immediate(wire: Wire, field: Field, name: str, kind: str, shape: tuple[int, ...]) -> Constant:
    """TensorValue: 1 floats, 2 ints, 5 longInts, 6 doubles, 7 bytes: each with its values in 1."""
    values = [f for f in wire.message(field) if f[0] == 1]
    plain = {1: "float32", 6: "float64", 7: kind}.get(field[0], "")
    if len(values) == 1 and values[0][1] == BYTES and plain in DTYPES:
        return _shaped(wire, _placed(wire.span, values[0], name, plain), shape)
    if field[0] in (2, 5):
        numbers = tuple(float(x) for f in values for x in wire.numbers(f))
        return Constant(name, (len(numbers),), numbers=numbers)
    return Constant(name, shape, trouble="its values are kept in a form that is not read")


def _shaped(wire: Wire, constant: Constant, shape: tuple[int, ...]) -> Constant:
    """The same numbers in the shape that their type gives."""
    tensor = constant.tensor
    fits = 0 < len(shape) <= MAX_DIMS and min(shape) >= 0
    if tensor is None or not fits or prod(shape) != tensor.elements:
        if shape and tensor is not None:
            message = f"{constant.name!r} has {tensor.elements} values, its type says {shape[:9]}"
            raise MalformedFile(message, wire.span.at)
        return constant
    turned = tensor._replace(shape=shape, strides=strides_of(shape))
    return constant._replace(shape=shape, tensor=turned)


def _blob(
    model: CoremlModel, field: Field, name: str, kind: str, shape: tuple[int, ...]
) -> Constant:
    """BlobFileValue: 1 fileName, 2 offset of the blob's head: sentinel, kind, size, place."""
    wire = model.wire
    found = {f[0]: f for f in wire.message(field)}
    file = wire.text(found[1]) if 1 in found else ""
    if file != WEIGHTS:
        message = f"{name!r} lies in {file[:80]!r}; only {WEIGHTS!r} is opened"
        raise MalformedFile(message, wire.span.at)
    if not model.weights:
        model.weights.append(model.beside(BESIDE))
    data, offset = model.weights[0], wire.number(found[2]) if 2 in found else 0
    if offset < 0:
        raise MalformedFile(f"{name!r} lies at {offset} of weight.bin", wire.span.at)
    sentinel, number, size, at = BLOB.unpack(data[offset : offset + BLOB.size].read())
    stored = BLOB_KINDS.get(number, "")
    if sentinel != SENTINEL:
        raise MalformedFile(f"no blob at {offset} of weight.bin, where {name!r} should be", data.at)
    if not stored or stored != kind:
        return Constant(name, shape, trouble=f"its blob is of kind {number}, its type {kind!r}")
    blob = data[at : at + size]
    placed = _placed(blob, (0, BYTES, 0, size), name, stored)
    return _shaped(wire, placed, shape)
