"""Live Keras models: audited and patched as they run, without a call, a build, or an import of ours."""

import os
import subprocess
import sys
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
np = pytest.importorskip("numpy", reason=REASON)
pytest.importorskip("tensorflow", reason=REASON)
pytest.importorskip("keras", reason=REASON)
pytest.importorskip("tf_keras", reason=REASON)

from keras_models import FRAMEWORKS, KINDS, WISH, build, by_oracle, cells_of, save

import lstm_audit
from lstm_audit.errors import NotPatchable
from lstm_audit.pipeline import audit_file


@pytest.fixture(params=sorted(FRAMEWORKS))
def K(request: pytest.FixtureRequest) -> Any:
    FRAMEWORKS[request.param].backend.clear_session()
    return FRAMEWORKS[request.param]


def numbers(result: Any) -> list[tuple[float, float, float]]:
    stats = [row.measures.activation for row in result.files[0].rows]
    return sorted((a.mean, a.min, a.max) for a in stats)


@pytest.mark.parametrize("activation", ["sigmoid", "hard_sigmoid"])
def test_a_model_is_judged_as_it_runs_and_as_its_file(
    K: Any, activation: str, tmp_path: Any
) -> None:
    model = build(
        K, list(KINDS), [{"units": 3, "recurrent_activation": activation} for _ in KINDS], 2
    )
    result = lstm_audit.audit(model)
    assert result.files[0].format == "live"
    assert numbers(result) == [pytest.approx(f, abs=2e-6) for f in by_oracle(model)]
    rows = audit_file(str(save(model, tmp_path / "model.h5"))).rows
    live, filed = (sorted(repr(row.measures) for row in found) for found in (result.rows, rows))
    assert live == filed


def test_a_layer_a_cell_and_lookalikes(K: Any) -> None:
    L = K.layers
    model = K.Sequential([K.Input((5, 3)), L.GRU(4, return_sequences=True), L.SimpleRNN(4, return_sequences=True),
                          L.LSTM(4, name="mine", use_bias=False)])  # fmt: skip
    found = lstm_audit.audit(model).files[0]
    assert [row.measures.gates["f"].mean for row in found.rows] == [0]
    assert {skipped.reason for skipped in found.skipped} == {"gru", "rnn"}
    assert len(lstm_audit.audit(model.layers[-1]).rows) == 1
    assert len(lstm_audit.audit(model.layers[-1].cell).rows) == 1


def test_what_was_not_built_yet_is_said(K: Any) -> None:
    found = lstm_audit.audit(K.layers.LSTM(4)).files[0]
    assert not found.rows
    assert [skipped.reason for skipped in found.skipped] == ["missing-data"]


def test_activations_of_ones_own_are_skipped(K: Any) -> None:
    def sigmoid(x: Any) -> Any:
        return x

    model = K.Sequential(
        [
            K.Input((5, 3)),
            K.layers.LSTM(4, recurrent_activation=sigmoid),
        ]
    )
    found = lstm_audit.audit(model).files[0]
    assert not found.rows
    assert "unsupported-activation" in {skipped.reason for skipped in found.skipped}


def test_a_patched_model_runs_as_wished_and_its_variables_stay(K: Any) -> None:
    how = {"units": 3, "recurrent_activation": "hard_sigmoid"}
    model = build(K, list(KINDS), [dict(how) for _ in KINDS], 2)
    variables = [id(cell.bias) for cell in cells_of(model)]
    before = [np.asarray(cell.bias).copy() for cell in cells_of(model)]
    assert lstm_audit.patch(model, activation=0.9).changed
    assert [id(cell.bias) for cell in cells_of(model)] == variables
    assert all(
        f == pytest.approx((0.9,) * 3, abs=2e-6)
        for f in by_oracle(model)
        if f[1] != f[2] or f[0] > 0.8
    )
    for cell, old in zip(cells_of(model), before, strict=True):
        new, units = np.asarray(cell.bias), len(old) // 4
        assert np.array_equal(
            np.delete(new, slice(units, 2 * units)), np.delete(old, slice(units, 2 * units))
        )
    assert not lstm_audit.patch(model, activation=0.9).changed


def test_chosen_layers_alone_are_patched(K: Any) -> None:
    model = K.Sequential(
        [
            K.Input((5, 3)),
            K.layers.LSTM(4, return_sequences=True, name="one"),
            K.layers.LSTM(4, name="two"),
        ]
    )
    lstm_audit.patch(model, forget_bias=WISH, layers="*two*")
    means = [float(np.asarray(cell.bias)[4:8].mean()) for cell in cells_of(model)]
    assert means == [1.0, WISH]


def test_a_model_without_a_bias_is_not_patched(K: Any) -> None:
    model = K.Sequential([K.Input((5, 3)), K.layers.LSTM(4, use_bias=False)])
    with pytest.raises(NotPatchable, match="no bias"):
        lstm_audit.patch(model, forget_bias=WISH)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "float64"])
def test_dtypes(policy: str) -> None:
    keras = FRAMEWORKS["keras"]
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.LSTM(3, dtype=policy, recurrent_initializer="zeros")]
    )
    (row,) = lstm_audit.audit(model).rows
    assert (row.lstm.dtype, row.measures.gates["f"].mean) == (policy, 1)
    lstm_audit.patch(model, forget_bias=WISH)
    (row,) = lstm_audit.audit(model).rows
    assert (row.measures.gates["f"].min, row.measures.gates["f"].max) == (WISH, WISH)


def test_we_import_no_keras() -> None:
    probe = "import sys, lstm_audit; lstm_audit.audit({}); print({'keras', 'tf_keras', 'tensorflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
