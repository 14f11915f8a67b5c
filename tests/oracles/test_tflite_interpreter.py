"""The LiteRT interpreter as the judge: what a model gives follows from the forget biases that the audit reads."""

from pathlib import Path

import numpy as np
import pytest

import lstm_audit
from lstm_audit.lstm.measure import ACTIVATIONS
from lstm_audit.pipeline import audit_file

litert = pytest.importorskip(
    "ai_edge_litert.interpreter", reason="needs ai-edge-litert: the extra `references`"
)

GRAPHS = Path(__file__).parents[2] / "fixtures" / "graphs"
H, STEPS = 4, 2
I, G, O = 0.3, 0.7, 0.9  # noqa: E741  # the other gates' biases, see fixtures/make/recipes/graphs.py
NAMES = [
    "keras",
    "keras_hard",
    "keras_unrolled",
    "keras_half",
    "keras_both",
    "tf_keras",
    "tf_keras_half",
    "tf_keras_both",
]


def output(path: Path) -> np.ndarray:
    """What the model gives at x = 0."""
    model = litert.Interpreter(model_path=str(path))
    model.allocate_tensors()
    given = model.get_input_details()[0]
    model.set_tensor(given["index"], np.zeros(given["shape"], given["dtype"]))
    model.invoke()
    return np.asarray(model.get_tensor(model.get_output_details()[0]["index"]), np.float64).reshape(
        -1
    )


def expected(forget: np.ndarray, function: str) -> np.ndarray:
    """h after two steps without recurrent weights; every gate has the same function."""
    gate = ACTIVATIONS[function]
    c = np.zeros(H)
    for _ in range(STEPS):
        c = np.array([gate(f) for f in forget]) * c + gate(I) * np.tanh(G)
    return gate(O) * np.tanh(c)


@pytest.mark.parametrize("name", NAMES)
def test_the_interpreter_agrees(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes((GRAPHS / f"{name}.tflite").read_bytes())
    function = "hard_sigmoid" if name == "keras_hard" else "sigmoid"
    rows = audit_file(str(path)).rows
    assert {row.lstm.activation_function for row in rows} == {function}
    ramp = np.arange(H) / 8
    starts = [1.0] if len(rows) == 1 else [1.0, 2.0] if "both" in name else [2.0]
    wanted = np.concatenate([expected(start + ramp, function) for start in starts])
    assert output(path) == pytest.approx(wanted, abs=2e-3 if "half" in name else 1e-5)
    lstm_audit.patch(path, forget_bias=-0.5)
    patched = np.concatenate([expected(np.full(H, -0.5), function)] * len(starts))
    assert output(path) == pytest.approx(patched, abs=2e-3 if "half" in name else 1e-5)
