"""ONNX Runtime as the judge: what the forget gate does is what the audit says, before and after a patch."""

import random
from pathlib import Path

import numpy as np
import onnx_models as o
import pytest
from onnx_cases import Case
from onnx_scattered import CASES

import lstm_audit
from lstm_audit.errors import NotPatchable
from lstm_audit.lstm.measure import ACTIVATIONS
from lstm_audit.pipeline import audit_file

ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime: the extra `references`")

RUN = [name for name, case in CASES.items() if case.forget and case.runs]
TYPES = {o.FLOAT: np.float32, o.FLOAT16: np.float16}


def measured(data: bytes, case: Case) -> np.ndarray:
    """c after one step at x = 0, h = 0 from c = 1, less that from c = 0: what is kept of the state, of each unit."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    states = (case.directions, 1, o.H)
    shapes = case.feeds or {"X": (1, 1, o.I), "h0": states, "c0": states}
    zeros = {name: np.zeros(shape, TYPES[case.kind]) for name, shape in shapes.items()}
    state = "c" if case.feeds else "c0"
    output = "c1" if case.feeds else "Y_c"
    high = session.run([output], {**zeros, state: zeros[state] + 1})[0]
    low = session.run([output], zeros)[0]
    return (high.astype(np.float64) - low.astype(np.float64)).reshape(case.directions, -1)


@pytest.mark.parametrize("name", RUN)
def test_the_runtime_agrees(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "model.onnx"
    path.write_bytes(case.data)
    tolerance = 2e-3 if case.kind == o.FLOAT16 else 1e-5
    rows = audit_file(str(path)).rows[-case.directions :]
    kept = measured(case.data, case) ** (1 / max(case.step, 1))
    for row, unit in zip(rows, kept, strict=True):
        assert row.measures.activation.min == pytest.approx(unit.min(), abs=tolerance)
        assert row.measures.activation.max == pytest.approx(unit.max(), abs=tolerance)
    if not case.patchable:
        return
    lstm_audit.patch(str(path), forget_bias=0.75)
    kept = measured(path.read_bytes(), case) ** (1 / max(case.step, 1))
    wanted = ACTIVATIONS[case.function](0.75)
    assert kept == pytest.approx(np.full_like(kept, wanted), abs=tolerance)


def test_what_onnx_runtime_cannot_run_the_reference_evaluator_can(tmp_path: Path) -> None:
    """layout=1: the bias does not depend on it."""
    onnx = pytest.importorskip("onnx", reason="needs onnx: the extra `references`")
    from onnx.reference import ReferenceEvaluator

    ins = [
        o.declared("X", (1, 1, o.I)),
        o.declared("h0", (1, 1, o.H)),
        o.declared("c0", (1, 1, o.H)),
    ]
    main = o.node(
        "LSTM",
        ["X", "W", "R", "B", "", "h0", "c0"],
        ["Y", "Y_h"],
        "lstm",
        hidden_size=o.H,
        layout=1,
    )
    tensors = [*o.weights(), o.tensor("B", (1, 8 * o.H), o.bias())]
    data = o.model(o.graph([main], tensors, ins, [o.declared("Y_h", (1, 1, o.H))]))
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    row = audit_file(str(path)).rows[0]
    session = ReferenceEvaluator(onnx.load_model_from_string(data))
    zeros = {"X": np.zeros((1, 1, o.I), "f4"), "h0": np.zeros((1, 1, o.H), "f4")}

    def state(c: float) -> np.ndarray:
        """c after a step, from h = o tanh(c): the output gate's bias is known."""
        given = {**zeros, "c0": np.full((1, 1, o.H), c, "f4")}
        h = np.asarray(session.run(["Y_h"], given)[0], np.float64).reshape(-1)
        gate = 1 / (1 + np.exp(-(np.array([-0.5 + 0.25 * k for k in range(o.H)]) + 0.125)))
        return np.arctanh(h / gate)

    kept = state(1.0) - state(0.0)
    assert row.measures.activation.min == pytest.approx(kept.min(), abs=1e-4)
    assert row.measures.activation.max == pytest.approx(kept.max(), abs=1e-4)


@pytest.mark.parametrize("seed", range(12))
def test_biases_put_together_at_random(seed: int, tmp_path: Path) -> None:
    """B cut into pieces, moved, joined and added at random: the runtime and the audit agree, and a patch
    is right or refused."""
    rng = random.Random(seed)
    nodes, tensors, name = drawn(rng)
    data = o.simple([*nodes, o.node("Identity", [name], ["B"])], tensors)
    case = Case(data)
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    (row,) = audit_file(str(path)).rows
    kept = measured(data, case)[0]
    assert row.measures.activation.min == pytest.approx(kept.min(), abs=1e-5)
    assert row.measures.activation.max == pytest.approx(kept.max(), abs=1e-5)
    try:
        lstm_audit.patch(path, forget_bias=0.75)
    except NotPatchable:
        assert path.read_bytes() == data
        return
    assert measured(path.read_bytes(), case)[0] == pytest.approx(
        np.full(o.H, ACTIVATIONS["sigmoid"](0.75)), abs=1e-5
    )


def drawn(rng: random.Random) -> tuple[list[bytes], list[bytes], str]:
    """Nodes that make some B of the right size out of some initializers."""
    size = 8 * o.H
    count = rng.choice([1, 2, 4, 8])
    tensors = [o.tensor("to", (2,), [1, size], o.INT64)]
    nodes, parts = [], []
    for k in range(count):
        width = size // count
        values = [round(rng.uniform(-1, 1), 2) for _ in range(2 * width)]
        kind = rng.randrange(4)
        if kind == 0:
            tensors.append(o.tensor(f"p{k}", (width,), values[:width]))
        elif kind == 1:
            tensors += [
                o.tensor(f"w{k}", (2 * width,), values),
                o.tensor(f"s{k}", (1,), [width // 2], o.INT64),
            ]
            tensors.append(o.tensor(f"e{k}", (1,), [width // 2 + width], o.INT64))
            nodes.append(o.node("Slice", [f"w{k}", f"s{k}", f"e{k}"], [f"p{k}"]))
        elif kind == 2:
            tensors += [
                o.tensor(f"a{k}", (width,), values[:width]),
                o.tensor(f"b{k}", (width,), values[width:]),
            ]
            nodes.append(o.node("Add", [f"a{k}", f"b{k}"], [f"p{k}"]))
        else:
            tensors += [
                o.tensor(f"m{k}", (width // o.H, o.H), values[:width]),
                o.tensor(f"f{k}", (1,), [-1], o.INT64),
            ]
            nodes += [
                o.node("Transpose", [f"m{k}"], [f"t{k}"]),
                o.node("Transpose", [f"t{k}"], [f"u{k}"]),
            ]
            nodes.append(o.node("Reshape", [f"u{k}", f"f{k}"], [f"p{k}"]))
        parts.append(f"p{k}")
    nodes += [
        o.node("Concat", parts, ["flat"], axis=0),
        o.node("Reshape", ["flat", "to"], ["made"]),
    ]
    return nodes, tensors, "made"
