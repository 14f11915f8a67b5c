"""TFLite (LiteRT): a flatbuffer with operators, tensors, and the buffers that hold their numbers.

Comes in: a span over a whole file. Goes out: a `Checkpoint` with a `Graph`: a scope for every
subgraph, and one for every body that an operator runs. Promise: an operator that has an activation
of its own is never taken for the plain one, and every index is held against its table.

Field numbers and operator codes: tensorflow/compiler/mlir/lite/schema/schema.fbs. Tensors have
numbers, not names, in this format; as names of a `Scope` stand their numbers.
"""

from collections.abc import Mapping, Sequence
from math import prod
from typing import NamedTuple

from ..errors import MalformedFile
from ..raw.dtypes import DTYPES
from ..raw.span import Span
from ..raw.tensor import MAX_DIMS, Tensor, strides_of
from ..wire.flatbuffer import Flat, Table, root
from . import Attribute, Beside, Checkpoint, Constant, Format, Graph, Node, Scope, reader

MAGIC = b"TFL3"
MAX_DEPTH = 32
MAX_SCOPES = 1024
MAX_LOOSE = 1 << 18

# TensorType; text, complex numbers and what is smaller than a byte are not read.
KINDS = {
    0: "float32", 1: "float16", 2: "int32", 3: "uint8", 4: "int64", 6: "bool", 7: "int16",
    9: "int8", 10: "float64", 15: "uint32", 16: "uint16", 18: "bfloat16",
}  # fmt: skip

# BuiltinOperator under ONNX's names, where it does the same.
OPERATORS = {
    0: "Add", 2: "Concat", 6: "Widen", 9: "Gemm", 14: "Sigmoid", 16: "LSTM", 18: "Mul", 19: "Relu",
    21: "Relu6", 22: "Reshape", 24: "RNN", 28: "Tanh", 35: "RNN", 36: "Gather", 39: "Transpose",
    41: "Sub", 42: "Div", 43: "Squeeze", 44: "FusedLSTM", 46: "RNN", 49: "Split",
    52: "FusedBidirectionalLSTM", 53: "Cast", 55: "Max", 57: "Min", 65: "SliceSized",
    70: "Unsqueeze", 102: "Split", 105: "Reverse", 118: "If",
    119: "While", 126: "MatMul", 142: "VarHandle", 143: "ReadVariable", 152: "Clip01",
}  # fmt: skip

CUSTOM = 32
# ActivationFunctionType of an operator that has one: none, relu, relu from -1 to 1, relu6.
FUSED = {0: "", 1: "+Relu", 2: "+Clip11", 3: "+Relu6"}

# The field of an operator's options that holds its activation.
WITH_FUSED = {"Add": 0, "Sub": 0, "Mul": 0, "Div": 0, "Gemm": 0, "Concat": 1}

# Inputs of an LSTM operator of kernel type BASIC; the full one has 20 or 24.
BASIC = 5

WITH_OPTIONS = frozenset({*WITH_FUSED, "MatMul", "Gather"})

FORGET_BIAS = {"FusedLSTM": 13, "FusedBidirectionalLSTM": 13, "BasicLSTM": 3}
# How the converter names an output for want of a name.
GENERIC = ("tfl.", "StatefulPartitionedCall", "PartitionedCall", "Identity")


class TfliteModel(NamedTuple):
    """What every subgraph needs: operators by code, buffers, subgraphs, and the scopes so far."""

    flat: Flat
    operators: Sequence[str]
    buffers: Sequence[Table]
    subgraphs: Sequence[Table]
    scopes: list[Scope]


class Stored(NamedTuple):
    """One entry of a subgraph's tensors: what it is called, and what is stored of it."""

    name: str
    shape: tuple[int, ...]
    constant: Constant | None


@reader("tflite", Format("tflite", ("tflite",), ("tflite",)))
def read_tflite(span: Span, beside: Beside) -> Checkpoint | None:
    """The subgraphs of a model; None without the four letters that every model has at byte 4."""
    if span.size < 8 or span[4:8].read() != MAGIC:
        return None
    flat = Flat(span)
    top = root(flat)
    model = TfliteModel(flat, _operators(top), list(top.tables(4)), list(top.tables(2)), [])
    met: set[int] = set()
    for number in range(len(model.subgraphs)):
        if number not in met:
            _read_subgraph(model, number, "", {}, 0, met)
    return Checkpoint("tflite", {}, graphs=(Graph("tflite", tuple(model.scopes), top.text(3)),))


def _operators(top: Table) -> list[str]:
    """The operator codes: an old field of one byte, and a new one for codes beyond it."""
    names = []
    for code in top.tables(1):
        number = max(code.number(0, "b"), code.number(3))
        name = f"custom::{code.text(1)}" if number == CUSTOM else OPERATORS.get(number)
        names.append(name or f"tflite::{number}")
    return names


def _read_subgraph(
    model: TfliteModel,
    number: int,
    path: str,
    bound: Mapping[str, tuple[Scope, str]],
    depth: int,
    met: set[int],
) -> Scope:
    """A SubGraph: 0 tensors, 1 inputs, 2 outputs, 3 operators, 4 name; and after it its bodies."""
    if not 0 <= number < len(model.subgraphs):
        message = f"an operator runs subgraph {number} of {len(model.subgraphs)}"
        raise MalformedFile(message, model.flat.span.at)
    if depth > MAX_DEPTH or len(model.scopes) >= MAX_SCOPES:
        message = f"bodies more than {MAX_DEPTH} deep, or over {MAX_SCOPES} of them"
        raise MalformedFile(message, model.flat.span.at, "limit")
    met.add(number)
    table = model.subgraphs[number]
    tensors = [_read_tensor(model, entry) for entry in table.tables(0)]
    entries = list(table.tables(3))
    nodes = [_read_operator(model, entry, tensors) for entry in entries]
    scope = Scope(
        path=path,
        nodes=nodes,
        constants={str(k): t.constant for k, t in enumerate(tensors) if t.constant is not None},
        bound=bound,
        inputs={
            name: tensors[int(name)].shape for name in _names(table, 1, tensors, model) if name
        },
        outputs=_names(table, 2, tensors, model),
    )
    model.scopes.append(scope)
    for node, entry in zip(nodes, entries, strict=True):
        if node.op in ("While", "If"):
            _read_bodies(model, scope, node, entry, depth, met)
    return scope


def _names(
    table: Table, field: int, tensors: Sequence[Stored], model: TfliteModel
) -> tuple[str, ...]:
    """Tensor numbers as names; -1 is one that is left out."""
    numbers = table.numbers(field)
    if any(number < -1 or number >= len(tensors) for number in numbers):
        message = f"an operator names a tensor beyond the {len(tensors)} of its subgraph"
        raise MalformedFile(message, model.flat.span.at)
    return tuple(str(number) if number >= 0 else "" for number in numbers)


def _read_bodies(
    model: TfliteModel, scope: Scope, node: Node, entry: Table, depth: int, met: set[int]
) -> None:
    """WhileOptions and IfOptions: 0 and 1 are subgraphs; only a loop's second one is its body.

    What a loop hands on unchanged, and what a branch is given, is what came in.
    """
    options = entry.table(4)
    looped = node.op == "While"
    numbers = (
        [options.number(1 if looped else k) for k in ((1,) if looped else (0, 1))]
        if options
        else []
    )
    for number in numbers:
        bound: dict[str, tuple[Scope, str]] = {}
        path = f"{scope.path}{node.name or node.op}/"
        body = _read_subgraph(model, number, path, bound, depth + 1, met)
        actuals = node.ins if looped else node.ins[1:]
        results = body.outputs if looped else tuple(body.inputs)
        for formal, actual, result in zip(body.inputs, actuals, results, strict=False):
            if formal == result and actual:
                bound[formal] = scope, actual


def _read_tensor(model: TfliteModel, table: Table) -> Stored:
    """A Tensor: 0 shape, 1 type, 2 buffer, 3 name, 4 quantization, 5 is_variable."""
    name, shape, kind = table.text(3), table.numbers(0), table.number(1, "b")
    span = None if table.number(5, "B") else _buffer(model, table.number(2, "I"), name)
    if span is None:
        return Stored(name, shape, None)
    dtype = DTYPES.get(KINDS.get(kind, ""))
    if dtype is None:
        trouble = f"its type has the number {kind}"
        return Stored(name, shape, Constant(name, shape, trouble=trouble))
    if len(shape) > MAX_DIMS or any(size < 0 for size in shape):
        raise MalformedFile(f"tensor {name!r} claims the shape {shape[:9]}", span.at)
    size = prod(shape) * dtype.itemsize
    if span.size != size:
        message = f"tensor {name!r} has {span.size} bytes, its shape {shape} needs {size}"
        raise MalformedFile(message, span.at)
    constant = Constant(name, shape, Tensor(dtype, shape, strides_of(shape), span))
    return Stored(name, shape, _quantize(constant, table.table(4)))


def _buffer(model: TfliteModel, number: int, name: str) -> Span | None:
    """A Buffer: 0 data; in a model of 2 GB and more, 1 offset and 2 size of what lies behind."""
    if number >= len(model.buffers):
        message = f"tensor {name!r} names buffer {number} of {len(model.buffers)}"
        raise MalformedFile(message, model.flat.span.at)
    buffer = model.buffers[number]
    at, size = buffer.vector(0, 1)
    if not size and buffer.has(2):
        at, size = buffer.number(1, "Q"), buffer.number(2, "Q")
    return model.flat.span[at : at + size] if size else None


def _quantize(constant: Constant, quantization: Table | None) -> Constant:
    """QuantizationParameters: 2 scale, 3 zero_point, one for all elements or one each."""
    tensor = constant.tensor
    if quantization is None or tensor is None or tensor.dtype.encode is not None:
        return constant
    scales, zeros = quantization.floats(2), quantization.numbers(3, "q")
    if not scales:
        return constant
    if len(scales) == 1:
        return constant._replace(scale=scales[0], zero=zeros[0] if zeros else 0)
    return constant._replace(tensor=None, trouble="it is quantised with a scale a channel")


def _read_operator(model: TfliteModel, table: Table, tensors: Sequence[Stored]) -> Node:
    """An Operator: 0 opcode_index, 1 inputs, 2 outputs, 4 builtin_options."""
    code = table.number(0, "I")
    if code >= len(model.operators):
        message = f"an operator has code {code} of {len(model.operators)}"
        raise MalformedFile(message, model.flat.span.at)
    op = model.operators[code]
    ins, outs = _names(table, 1, tensors, model), _names(table, 2, tensors, model)
    options = table.table(4) if op in WITH_OPTIONS else None
    if op == "LSTM":
        op = "BasicLSTM" if len(ins) == BASIC else "FusedLSTM"
    attributes: dict[str, Attribute] = {}
    if op == "Gemm":
        attributes["transB"] = 1
    elif op == "Split":
        ins = _split_inputs(ins, tensors, attributes)
    elif op == "MatMul" and options is not None:
        attributes["transB"] = options.number(1, "B")
    elif op in ("Concat", "Gather") and options is not None:
        attributes["axis"] = options.number(0)
    if options is not None and op in WITH_FUSED:
        op += FUSED.get(options.number(WITH_FUSED[op], "b"), "+unknown")
    return Node(op, ins, outs, _name(op, ins, outs, tensors), attributes)


def _split_inputs(
    ins: tuple[str, ...], tensors: Sequence[Stored], attributes: dict[str, Attribute]
) -> tuple[str, ...]:
    """SPLIT has (axis, x), SPLIT_V (x, sizes, axis); ONNX keeps the axis apart."""
    if len(ins) not in (2, 3):
        return ins
    axis, rest = (ins[0], ins[1:]) if len(ins) == 2 else (ins[2], ins[:2])
    constant = tensors[int(axis)].constant if axis else None
    if constant is None or constant.tensor is None or constant.tensor.span.size != 4:
        return ()
    raw = constant.tensor.span.read()
    attributes["axis"] = int.from_bytes(raw, "little", signed=True)
    return rest


def _name(op: str, ins: Sequence[str], outs: Sequence[str], tensors: Sequence[Stored]) -> str:
    """What the operator's first output is called; of an LSTM without a name of its own,
    its bias.
    """
    named = next((tensors[int(out)].name for out in outs if out), "")
    at = FORGET_BIAS.get(op)
    if at is not None and at < len(ins) and ins[at] and named.startswith(GENERIC):
        return tensors[int(ins[at])].name or named
    return named
