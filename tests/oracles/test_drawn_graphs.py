"""TFLite and OpenVINO models drawn at random, with their own runtimes as the judge.

Drawn are the size, the biases, how they are stored and put together (halves, one tensor for equal
numbers, pieces that are moved or added), the operator. Measured is f at x = 0, h = 0: the new cell
state from c = 1 less that from c = 0, before and after a patch. A patch is right, or it is refused
and nothing changed.
"""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import lstm_audit
from lstm_audit.errors import NotPatchable
from lstm_audit.facts import FileAudit
from lstm_audit.pipeline import audit_file

# The runtimes of the extra `references`.
schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="needs ai-edge-litert")
litert = pytest.importorskip("ai_edge_litert.interpreter", reason="needs ai-edge-litert")
flatbuffers = pytest.importorskip("flatbuffers", reason="needs flatbuffers")
ov = pytest.importorskip("openvino", reason="needs openvino")

from openvino import opset13 as ops

SOME = settings(max_examples=25)
TARGET = 0.75
LONG = st.integers(0, 1 << 32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def drawn_biases(rng: random.Random, hidden: int) -> dict[str, np.ndarray]:
    """Biases of i, f, g, o; some gates have equal numbers, as fresh layers have."""
    values = {
        g: np.array([rng.uniform(-2, 2) for _ in range(hidden)], "f4") for g in ("i", "f", "g", "o")
    }
    for gate in "igo":
        if rng.random() < 0.2:
            values[gate] = values["f"].copy()
    return values


class Lite:
    """A TFLite model as it is put together; equal constants may share a buffer."""

    def __init__(self, rng: random.Random, shares: bool) -> None:
        self.rng, self.shares = rng, shares
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.operatorCodes = []
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        self.model.subgraphs = [self.graph]

    def tensor(self, shape: tuple[int, ...], data: np.ndarray | None = None, **keys: Any) -> int:
        made = schema.TensorT()
        made.name, made.shape = f"t{len(self.graph.tensors)}", list(shape)
        made.type = keys.get("type", schema.TensorType.FLOAT32)
        made.isVariable = keys.get("variable", False)
        made.buffer = 0 if data is None else self._buffer(data)
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def _buffer(self, data: np.ndarray) -> int:
        raw = np.frombuffer(data.tobytes(), np.uint8)
        for number, buffer in enumerate(self.model.buffers):
            if self.shares and number and bytes(buffer.data) == raw.tobytes():
                return number
        buffer = schema.BufferT()
        buffer.data = raw
        self.model.buffers.append(buffer)
        return len(self.model.buffers) - 1

    def operate(self, code: int, ins: list[int], outs: list[int], options: Any = None) -> None:
        codes = [entry.builtinCode for entry in self.model.operatorCodes]
        if code not in codes:
            made = schema.OperatorCodeT()
            made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), 1
            self.model.operatorCodes.append(made)
            codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = codes.index(code), ins, outs
        if options is not None:
            operator.builtinOptions = options
            operator.builtinOptionsType = getattr(
                schema.BuiltinOptions, type(options).__name__.removesuffix("T")
            )
        self.graph.operators.append(operator)

    def constant(self, data: np.ndarray) -> int:
        """A stored tensor; some are halves that an operator widens."""
        if data.dtype == np.float32 and self.rng.random() < 0.3:
            half = self.tensor(data.shape, data.astype("f2"), type=schema.TensorType.FLOAT16)
            whole = self.tensor(data.shape)
            self.operate(schema.BuiltinOperator.DEQUANTIZE, [half], [whole])
            return whole
        return self.tensor(data.shape, data)

    def pack(self) -> bytes:
        builder = flatbuffers.Builder(1024)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def fused(rng: random.Random, hidden: int, biases: dict[str, np.ndarray]) -> bytes:
    """UNIDIRECTIONAL_SEQUENCE_LSTM: a tensor a gate; the states are variables."""
    lite = Lite(rng, rng.random() < 0.5)
    x = lite.tensor((1, 1, 2))
    coupled = rng.random() < 0.2
    zero = {k: np.zeros((hidden, k), "f4") for k in (2, hidden)}
    weights = [
        -1 if coupled and gate == 0 else lite.constant(zero[width])
        for width in (2, hidden)
        for gate in range(4)
    ]
    stored = [-1 if coupled and gate == "i" else lite.constant(biases[gate]) for gate in "ifgo"]
    states = [lite.tensor((1, hidden), variable=True) for _ in range(2)]
    out = lite.tensor((1, 1, hidden))
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    options.timeMajor = False
    ins = [x, *weights, -1, -1, -1, *stored, -1, -1, *states]
    lite.operate(schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM, ins, [out], options)
    lite.graph.inputs, lite.graph.outputs = [x], [out]
    return lite.pack()


def spelled(rng: random.Random, hidden: int, biases: dict[str, np.ndarray]) -> bytes:
    """A cell of loose operators, its gates in any order, its bias in one piece or joined or added."""
    lite = Lite(rng, rng.random() < 0.5)
    x, h, c = lite.tensor((1, 2)), lite.tensor((1, hidden)), lite.tensor((1, hidden))
    order = rng.sample("ifgo", 4)
    whole = np.concatenate([biases[gate] for gate in order])
    b = schema.BuiltinOperator
    if rng.random() < 0.4:  # the first matrix has a bias, the second has another
        part = np.array([rng.uniform(-1, 1) for _ in whole], "f4")
        added = [lite.constant(whole - part), lite.constant(part)]
    else:
        added = [lite.constant(whole), -1]
    sums = []
    for entry, width, bias in ((x, 2, added[0]), (h, hidden, added[1])):
        product = lite.tensor((1, 4 * hidden))
        matrix = lite.tensor((4 * hidden, width), np.zeros((4 * hidden, width), "f4"))
        options = schema.FullyConnectedOptionsT()
        lite.operate(b.FULLY_CONNECTED, [entry, matrix, bias], [product], options)
        sums.append(product)
    total = lite.tensor((1, 4 * hidden))
    lite.operate(b.ADD, sums if rng.random() < 0.5 else sums[::-1], [total], schema.AddOptionsT())
    axis = lite.tensor((), np.array(1, "i4"), type=schema.TensorType.INT32)
    pieces = {gate: lite.tensor((1, hidden)) for gate in order}
    options = schema.SplitOptionsT()
    options.numSplits = 4
    lite.operate(b.SPLIT, [axis, total], [pieces[gate] for gate in order], options)

    def made(code: int, *ins: int, options: Any = None) -> int:
        out = lite.tensor((1, hidden))
        turned = list(ins) if rng.random() < 0.5 else list(ins[::-1])
        lite.operate(code, turned, [out], options)
        return out

    gates = {g: made(b.TANH if g == "g" else b.LOGISTIC, pieces[g]) for g in rng.sample("ifgo", 4)}
    kept = made(b.MUL, gates["f"], c, options=schema.MulOptionsT())
    written = made(b.MUL, gates["i"], gates["g"], options=schema.MulOptionsT())
    state = made(b.ADD, kept, written, options=schema.AddOptionsT())
    out = made(b.MUL, gates["o"], made(b.TANH, state), options=schema.MulOptionsT())
    lite.graph.inputs, lite.graph.outputs = [x, h, c], [out, state]
    return lite.pack()


def run_lite(path: Path) -> np.ndarray:
    """f of each unit, and what is written from c = 0. A fused operator keeps its state: that of c = 1 is written into it."""
    states = []
    for start in (1.0, 0.0):
        model = litert.Interpreter(
            model_path=str(path),
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            experimental_preserve_all_tensors=True,
        )
        model.allocate_tensors()
        given = model.get_input_details()
        for entry in given:
            model.set_tensor(entry["index"], np.zeros(entry["shape"], entry["dtype"]))
        if len(given) == 3:
            cell = given[2]["index"]
            model.set_tensor(cell, np.full(given[2]["shape"], start, "f4"))
            model.invoke()
            found = model.get_tensor(model.get_output_details()[1]["index"])
        else:
            (lstm,) = (d for d in model._get_ops_details() if "LSTM" in d["op_name"])
            cell = lstm["inputs"][19]
            shape = model.get_tensor(cell).shape
            model.set_tensor(cell, np.full(shape, start, "f4"))
            model.invoke()
            found = model.get_tensor(cell)
        states.append(np.array(found, np.float64).reshape(-1))
    return np.array([states[0] - states[1], states[1]])


def check(path: Path, run: Any, near: float) -> FileAudit:
    """The runtime and the audit agree; a patch is what the runtime then does, or is refused."""
    before = {file: file.read_bytes() for file in path.parent.iterdir()}
    audit = audit_file(str(path))
    assert not audit.skipped
    (row,) = audit.rows
    kept, written = run(path)
    assert row.measures.activation.min == pytest.approx(kept.min(), abs=near)
    assert row.measures.activation.max == pytest.approx(kept.max(), abs=near)
    try:
        lstm_audit.patch(path, forget_bias=TARGET)
    except NotPatchable:
        assert {file: file.read_bytes() for file in before} == before
        assert not row.lstm.fixable
        return audit
    now, still = run(path)
    assert now == pytest.approx(np.full(kept.shape, sigmoid(np.array(TARGET))), abs=near)
    if not any("i = 1 - f" in note for note in row.lstm.notes):
        assert still == pytest.approx(written, abs=near)
    return audit


def emptied(folder: Path) -> Path:
    for file in folder.iterdir():
        file.unlink()
    return folder


PATCHED: dict[str, set[bool]] = {}


@pytest.mark.parametrize("build", [fused, spelled])
@SOME
@given(seed=LONG)
@example(seed=3)  # two gates of equal numbers in two buffers, and in one
@example(seed=14)
def test_the_interpreter_of_tflite_agrees(build: Any, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = emptied(tmp_path) / "model.tflite"
    hidden = rng.randint(1, 6)
    path.write_bytes(build(rng, hidden, drawn_biases(rng, hidden)))
    audit = check(path, run_lite, 2e-3)
    PATCHED.setdefault(build.__name__, set()).add(audit.rows[0].lstm.fixable)


def test_both_were_drawn_what_is_patched_and_what_is_not() -> None:
    assert PATCHED["fused"] == {True, False}
    assert PATCHED["spelled"] == {True}


def drawn_net(rng: random.Random) -> Any:
    """An LSTMSequence or LSTMCell of which B is stored, joined from pieces, or a sum."""
    hidden = rng.randint(1, 6)
    biases = drawn_biases(rng, hidden)
    whole = np.concatenate([biases[gate] for gate in "figo"])
    sequence = rng.random() < 0.6
    kind = rng.randrange(4)
    if kind == 0:
        bias = ops.constant(whole)
    elif kind == 1:
        bias = ops.convert(ops.constant(whole.astype("f2")), "f32")
    elif kind == 2:  # in pieces; equal ones are one constant
        made: dict[bytes, Any] = {}
        parts = [made.setdefault(biases[g].tobytes(), ops.constant(biases[g])) for g in "figo"]
        bias = ops.concat(parts, 0)
    else:
        part = np.array([rng.uniform(-1, 1) for _ in whole], "f4")
        bias = ops.add(ops.constant(whole - part), ops.constant(part))
    if sequence:
        x = ops.parameter([1, 1, 2], np.float32, name="X")
        states = [ops.parameter([1, 1, hidden], np.float32, name=name) for name in ("H", "C")]
        weights = [ops.constant(np.zeros((1, 4 * hidden, k), "f4")) for k in (2, hidden)]
        joined = ops.unsqueeze(bias, ops.constant(np.array([0], "i8")))
        lengths = ops.constant(np.array([1], "i4"))
        node = ops.lstm_sequence(
            x, *states, lengths, *weights, joined, hidden, rng.choice(["forward", "reverse"])
        )
        return ov.Model([node.output(2)], [x, *states], "net")
    x = ops.parameter([1, 2], np.float32, name="X")
    states = [ops.parameter([1, hidden], np.float32, name=name) for name in ("H", "C")]
    weights = [ops.constant(np.zeros((4 * hidden, k), "f4")) for k in (2, hidden)]
    node = ops.lstm_cell(x, *states, *weights, bias, hidden)
    return ov.Model([node.output(1)], [x, *states], "net")


def run_net(path: Path) -> np.ndarray:
    core = ov.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    net = core.compile_model(core.read_model(str(path)), "CPU")
    states = []
    for start in (1.0, 0.0):
        given = [np.zeros(port.shape, "f4") for port in net.inputs]
        given[2] += start
        states.append(np.array(next(iter(net(given).values())), np.float64).reshape(-1))
    return np.array([states[0] - states[1], states[1]])


@SOME
@given(seed=LONG)
def test_the_plugin_of_openvino_agrees(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = emptied(tmp_path) / "model.xml"
    ov.save_model(drawn_net(rng), str(path), compress_to_fp16=rng.random() < 0.5)
    audit = check(path, run_net, 2e-3)
    PATCHED.setdefault("openvino", set()).add(audit.rows[0].lstm.fixable)
