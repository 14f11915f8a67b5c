"""ONNX Runtime as the judge: what the forget gate does is what the audit says, before and after a patch."""

from pathlib import Path

import numpy as np
import onnx_models as o
import pytest
from onnx_cases import CASES, Case

import lstm_audit
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
