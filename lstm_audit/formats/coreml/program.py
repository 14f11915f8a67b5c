"""The operations of a Core ML program (MIL), as nodes of a graph under ONNX's names.

Comes in: a Program's message. Goes out: a scope a block, with its operations and constants.
Promise: a name that is made twice is refused.
"""

from collections.abc import Iterator, Mapping, Sequence

from ...errors import MalformedFile
from ...wire.protobuf import Field, Wire
from .. import Attribute, Constant, Node, Scope
from .opened import CoremlModel, check_nesting
from .values import blob_constant, immediate_constant

# DataType of MIL.proto.
MIL_KINDS = {
    1: "bool", 10: "float16", 11: "float32", 12: "float64", 13: "bfloat16", 21: "int8", 22: "int16",
    23: "int32", 24: "int64", 31: "uint8", 32: "uint16", 33: "uint32", 34: "uint64",
}  # fmt: skip

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


def _entries(wire: Wire, parts: Sequence[Field]) -> Iterator[tuple[str, Field]]:
    """The entries of a map: 1 key, 2 value."""
    for part in parts:
        found = {f[0]: f for f in wire.message(part)}
        if 1 in found and 2 in found:
            yield wire.text(found[1]), found[2]


def read_program(model: CoremlModel, program: Field, path: str, depth: int) -> None:
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
    check_nesting(model, depth)
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
        constants[name] = blob_constant(model, value[5], name, kind, shape)
    elif 3 in value:
        tensor = next((f for f in wire.message(value[3]) if f[0] == 1), None)
        found = next(wire.message(tensor), None) if tensor is not None else None
        if found is not None and found[0] == 4:
            texts = [wire.text(f) for f in wire.message(found) if f[0] == 1]
            words[name] = texts[0] if texts else ""
        elif found is not None:
            constants[name] = immediate_constant(wire, found, name, kind, shape)


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
