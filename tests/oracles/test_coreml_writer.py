"""Core ML files as coremltools writes them (extra `references`), against their specification: no runtime
of Core ML runs here, so the truth is what the writer was given, by the order and the flag of the format.
"""

from pathlib import Path

import numpy as np
import pytest

import lstm_audit

ct = pytest.importorskip("coremltools", reason="needs coremltools: the extra `references`")

IN, H = 3, 4


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def draw(*size: int) -> np.ndarray:
    return np.random.default_rng(sum(size)).uniform(-1, 1, size).astype("f4")


@pytest.mark.parametrize("flag", [False, True], ids=["plain", "forgetBias"])
def test_a_neural_network(flag: bool, tmp_path: Path) -> None:
    """add_unilstm takes i, f, o, z; forgetBias adds 1 when the model runs."""
    from coremltools.models import datatypes
    from coremltools.models.neural_network import NeuralNetworkBuilder

    shapes = [("x", datatypes.Array(IN)), ("h0", datatypes.Array(H)), ("c0", datatypes.Array(H))]
    builder = NeuralNetworkBuilder(
        shapes, [("y", None), ("h", None), ("c", None)], disable_rank5_shape_mapping=True
    )
    bias = [draw(H) + k for k in range(4)]
    builder.add_unilstm("memory", W_h=[draw(H, H)] * 4, W_x=[draw(H, IN)] * 4, b=bias, hidden_size=H, input_size=IN,
                        input_names=["x", "h0", "c0"], output_names=["y", "h", "c"], forget_bias=flag)  # fmt: skip
    path = tmp_path / "m.mlmodel"
    path.write_bytes(builder.spec.SerializeToString())
    (row,) = lstm_audit.audit(path).files[0].rows
    assert row.measures.activation.mean == pytest.approx(
        sigmoid(bias[1].astype("f8") + flag).mean(), abs=1e-9
    )
    lstm_audit.patch(path, forget_bias=2.0)
    spec = ct.utils.load_spec(str(path))
    stored = spec.neuralNetwork.layers[
        0
    ].uniDirectionalLSTM.weightParams.forgetGateBiasVector.floatValue
    assert list(stored) == [2.0 - flag] * H


@pytest.mark.parametrize("both", [False, True], ids=["one way", "both ways"])
def test_an_ml_program(both: bool, tmp_path: Path) -> None:
    """The operation lstm of MIL has its gates in the order i, f, o, z, and one bias."""
    from coremltools.converters.mil import Builder

    bias, ways = draw(4 * H), 2 if both else 1
    back = {
        "weight_ih_back": draw(4 * H, IN),
        "weight_hh_back": draw(4 * H, H),
        "bias_back": bias[::-1].copy(),
    }

    @Builder.program(input_specs=[Builder.TensorSpec(shape=(2, 1, IN))])
    def program(x):  # type: ignore[no-untyped-def]  # coremltools traces it
        state = np.zeros((1, ways * H), "f4")
        return Builder.lstm(x=x, initial_h=state, initial_c=state, weight_ih=draw(4 * H, IN), weight_hh=draw(4 * H, H), bias=bias,
                       direction="bidirectional" if both else "forward", name="memory", **(back if both else {}))[0]  # fmt: skip

    model = ct.convert(
        program,
        convert_to="mlprogram",
        compute_precision=ct.precision.FLOAT32,
        skip_model_load=True,
    )
    path = tmp_path / "m.mlpackage"
    model.save(str(path))
    rows = lstm_audit.audit(path).files[0].rows
    wanted = [bias, bias[::-1]][:ways]
    assert [r.measures.activation.mean for r in rows] == pytest.approx(
        [sigmoid(b[H : 2 * H].astype("f8")).mean() for b in wanted], abs=1e-9
    )
