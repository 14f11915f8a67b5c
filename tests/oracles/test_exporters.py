"""What exporters write, against the models that they exported: torch (both of its exporters), Keras 3
and tf2onnx. The forget gate is that of the real cell, and the patched file computes what the source
model computes once the same bias is set there: ONNX Runtime runs the one, the framework the other.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_audit

ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime: the extra `references`")
torch = pytest.importorskip("torch")

from torch import nn

IN, H, STEPS = 3, 4, 3
F = slice(H, 2 * H)


def run(path: Path, x: np.ndarray) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def read(path: Path) -> list[float]:
    (file,) = lstm_audit.audit(path).files
    assert file.skipped == ()
    return [row.measures.activation.mean for row in file.rows]


# --- torch


class Recurrent(nn.Module):
    """An nn.LSTM and a head."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.enc = nn.LSTM(IN, H, **options)

    def forward(self, x: Any) -> Any:
        return self.enc(x)[0]


class Unrolled(nn.Module):
    """LSTMCells in a Python loop, which an exporter can only write step by step."""

    def __init__(self, cells: int = 1) -> None:
        super().__init__()
        self.cells = nn.ModuleList(nn.LSTMCell(H if k else IN, H) for k in range(cells))

    def forward(self, x: Any) -> Any:
        states = [(x.new_zeros(1, H), x.new_zeros(1, H)) for _ in self.cells]
        outputs = []
        for t in range(STEPS):
            inner = x[t]
            for k, cell in enumerate(self.cells):
                states[k] = cell(inner, states[k])
                inner = states[k][0]
            outputs.append(inner)
        return torch.stack(outputs)


TORCH: dict[str, Callable[[], nn.Module]] = {
    "lstm": Recurrent,
    "two ways": lambda: Recurrent(bidirectional=True),
    "two layers": lambda: Recurrent(num_layers=2),
    "a cell, unrolled": Unrolled,
    "two cells, unrolled": lambda: Unrolled(2),
}


def halves(model: nn.Module) -> list[tuple[Any, Any]]:
    """Both biases of every layer and direction, in the order of a report."""
    found = []
    for module in model.modules():
        if isinstance(module, nn.LSTM | nn.LSTMCell):
            names = [name for name, _ in module.named_parameters() if name.startswith("bias_ih")]
            pairs = ((getattr(module, n), getattr(module, n.replace("ih", "hh", 1))) for n in names)
            found += list(pairs)
    return found


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("name", TORCH)
def test_what_torch_exports(name: str, dynamo: bool, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="needs onnx: the extra `references`")
    if dynamo:
        pytest.importorskip("onnxscript", reason="needs onnxscript: the extra `references`")
    torch.manual_seed(0)
    model, path = TORCH[name]().eval(), tmp_path / "m.onnx"
    x = torch.randn(STEPS, 1, IN)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model, (x,), path, dynamo=dynamo, verbose=False)
    wanted = [
        float(torch.sigmoid((ih + hh).detach().double()[F]).mean()) for ih, hh in halves(model)
    ]
    assert read(path) == pytest.approx(wanted, abs=1e-6)
    lstm_audit.patch(path, forget_bias=2.0)
    with torch.no_grad():
        for ih, hh in halves(model):
            ih[F], hh[F] = 2.0, 0.0
        assert run(path, x.numpy()) == pytest.approx(model(x).numpy(), abs=1e-5)


# --- Keras


def layers(keras: Any) -> dict[str, Callable[[], list[Any]]]:
    k = keras.layers
    return {
        "lstm": lambda: [k.LSTM(H, name="memory")],
        "two ways": lambda: [k.Bidirectional(k.LSTM(H), name="both")],
        "two layers": lambda: [k.LSTM(H, return_sequences=True, name="a"), k.LSTM(H, name="b")],
        "a cell": lambda: [k.RNN(k.LSTMCell(H), name="rnn")],
        "unrolled": lambda: [k.LSTM(H, unroll=True, name="memory")],
        "hard": lambda: [k.LSTM(H, recurrent_activation="hard_sigmoid", name="memory")],
    }


NAMES = ["lstm", "two ways", "two layers", "a cell", "unrolled", "hard"]


def built(keras: Any, name: str, x: np.ndarray) -> Any:
    """The model with weights drawn, called once, as the exporter asks."""
    model = keras.Sequential([keras.Input((STEPS, IN)), *layers(keras)[name]()])
    model(x)
    draw = np.random.default_rng(0)
    model.set_weights([draw.uniform(-1, 1, w.shape).astype("f4") for w in model.get_weights()])
    return model


def kept(keras: Any, bias: np.ndarray, name: str) -> float:
    """c after a step of the real LSTMCell from c = 1, less that from c = 0."""
    gate = "hard_sigmoid" if name == "hard" else "sigmoid"
    cell = keras.layers.LSTMCell(H, recurrent_activation=gate)
    cell.build((1, IN))
    cell.set_weights([np.zeros((IN, 4 * H)), np.zeros((H, 4 * H)), bias])
    import tensorflow as tf

    x, zero = tf.zeros((1, IN)), tf.zeros((1, H))
    states = [np.asarray(cell(x, [zero, zero + c])[1][1]) for c in (1.0, 0.0)]
    return float((states[0] - states[1]).mean())


def check_keras(keras: Any, name: str, export: Callable[[Any, Path], None], path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(1, STEPS, IN)).astype("f4")
    model = built(keras, name, x)
    export(model, path)
    biases = [w for w in model.get_weights() if w.ndim == 1]
    assert read(path) == pytest.approx([kept(keras, bias, name) for bias in biases], abs=1e-5)
    lstm_audit.patch(path, forget_bias=2.0)
    weights = model.get_weights()
    for weight in weights:
        if weight.ndim == 1:
            weight[F] = 2.0
    model.set_weights(weights)
    assert run(path, x) == pytest.approx(np.asarray(model(x)), abs=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_what_keras_exports(name: str, tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx", reason="needs tf2onnx, by which Keras exports: `references`")
    keras = pytest.importorskip("keras", reason="needs Keras: the extra `references`")

    def export(model: Any, path: Path) -> None:
        model.export(str(path), format="onnx", verbose=False)

    check_keras(keras, name, export, tmp_path / "m.onnx")


@pytest.mark.parametrize("name", NAMES)
def test_what_tf2onnx_makes_of_tf_keras(name: str, tmp_path: Path) -> None:
    tf2onnx = pytest.importorskip("tf2onnx", reason="needs tf2onnx: the extra `references`")
    keras = pytest.importorskip("tf_keras", reason="needs tf_keras: the extra `references`")
    import tensorflow as tf

    def export(model: Any, path: Path) -> None:
        signature = [tf.TensorSpec((1, STEPS, IN), tf.float32, name="x")]
        tf2onnx.convert.from_keras(model, signature, output_path=str(path))

    check_keras(keras, name, export, tmp_path / "m.onnx")
