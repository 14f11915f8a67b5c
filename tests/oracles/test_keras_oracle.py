"""Keras files against Keras itself: what a real cell keeps of its memory at x = 0, h = 0 is what the audit says, before
and after a patch.

The oracle is c' at c = 1 less c' at c = 0, through the cell's own call.
"""

import os
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
np = pytest.importorskip("numpy", reason=REASON)
tf = pytest.importorskip("tensorflow", reason=REASON)
keras = pytest.importorskip("keras", reason=REASON)
tf_keras = pytest.importorskip("tf_keras", reason=REASON)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from keras_models import (
    FRAMEWORKS,
    KINDS,
    WISH,
    Numbers,
    build,
    by_oracle,
    cells_of,
    save,
    scramble,
)

import lstm_audit
from lstm_audit.patching.undo import undo
from lstm_audit.pipeline import audit_file


def by_audit(path: Path) -> Numbers:
    rows = audit_file(str(path)).rows
    return sorted((a.mean, a.min, a.max) for a in (row.measures.activation for row in rows))


SUFFIXES = (".h5", ".keras", ".weights.h5")


PHASES = (Phase.explicit, Phase.reuse, Phase.generate)  # shrinking would build hundreds of models
OPTIONS = st.fixed_dictionaries(
    {"units": st.integers(1, 4), "recurrent_activation": st.sampled_from(["sigmoid", "hard_sigmoid"]),
     "use_bias": st.sampled_from([True, True, False]), "unit_forget_bias": st.booleans()}
)  # fmt: skip


@settings(max_examples=25)
@given(framework=st.sampled_from(sorted(FRAMEWORKS)), suffix=st.sampled_from(SUFFIXES[:2]),
       layers=st.lists(st.tuples(st.sampled_from(KINDS), OPTIONS), min_size=1, max_size=4), seed=st.integers(0, 999))  # fmt: skip
def test_any_model_is_judged_as_it_runs(
    tmp_path: Path, framework: str, suffix: str, layers: list[tuple[str, dict[str, Any]]], seed: int
) -> None:
    K = FRAMEWORKS[framework]
    model = build(K, [kind for kind, _ in layers], [dict(how) for _, how in layers], seed)
    path = save(model, tmp_path / f"model{suffix}")
    want = by_oracle(model)
    assert by_audit(path) == [pytest.approx(numbers, abs=2e-6) for numbers in want]
    K.backend.clear_session()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_a_patched_file_is_loaded_and_runs_as_wished(
    tmp_path: Path, framework: str, suffix: str
) -> None:
    K = FRAMEWORKS[framework]
    K.backend.clear_session()
    kinds = [
        kind
        for kind in KINDS
        if suffix != ".weights.h5" or framework == "keras" or "Conv" not in kind
    ]
    how = {"units": 3, "recurrent_activation": "sigmoid"}
    model = build(K, kinds, [dict(how) for _ in kinds], 1)
    path = save(model, tmp_path / f"model{suffix}")
    before = path.read_bytes()
    for in_place in (False, True):
        lstm_audit.patch(path, forget_bias=WISH, in_place=in_place)
        if suffix == ".weights.h5":
            model.load_weights(path)
            again = model
        else:
            again = K.models.load_model(path)
        expected = 1 / (1 + np.exp(-WISH))
        assert by_oracle(again) == [pytest.approx((expected,) * 3, abs=2e-6)] * len(
            list(cells_of(model))
        )
        undo(str(path))
        assert path.read_bytes() == before


@pytest.mark.parametrize("policy", ["float32", "float16", "bfloat16", "float64", "mixed_float16"])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_dtypes_of_keras_3(tmp_path: Path, policy: str, suffix: str) -> None:
    keras.backend.clear_session()
    model = keras.Sequential(
        [keras.Input((5, 3)), keras.layers.LSTM(3, dtype=policy, recurrent_initializer="zeros")]
    )
    scramble(model, 3)
    path = save(model, tmp_path / f"model{suffix}")
    if (policy, suffix) == (
        "bfloat16",
        ".h5",
    ):  # bytes without a type, which Keras cannot load again
        assert [skipped.reason for skipped in audit_file(str(path)).skipped] == [
            "unsupported-dtype"
        ]
        return
    (row,) = audit_file(str(path)).rows
    assert row.lstm.dtype == ("float32" if "mixed" in policy else policy)
    bias = np.asarray(keras.ops.cast(next(cells_of(model)).bias, "float32"), dtype="f8")[3:6]
    assert row.measures.gates["f"].mean == pytest.approx(bias.mean(), abs=1e-6)
    lstm_audit.patch(path, forget_bias=WISH)
    if suffix == ".weights.h5":
        model.load_weights(path)
    else:
        model = keras.models.load_model(path)
    after = np.asarray(keras.ops.cast(next(cells_of(model)).bias, "float32"))[3:6]
    assert (after == WISH).all()


def test_a_cudnn_layers_weights_load_into_an_lstm_with_the_audits_bias(tmp_path: Path) -> None:
    """tf_keras converts them when it loads (hdf5_format._convert_rnn_weights); it cannot run them without a GPU."""
    tf_keras.backend.clear_session()
    kind = tf_keras.src.layers.rnn.cudnn_lstm.CuDNNLSTM
    model = tf_keras.Sequential([tf_keras.Input((5, 3)), kind(4, name="rnn")])
    model.layers[0].bias.assign(np.random.default_rng(1).normal(0, 1, 32).astype("f4"))
    path = tmp_path / "cudnn.h5"
    model.save_weights(path)
    plain = tf_keras.Sequential([tf_keras.Input((5, 3)), tf_keras.layers.LSTM(4, name="rnn")])
    plain.load_weights(path)
    assert by_audit(path) == [pytest.approx(numbers, abs=2e-6) for numbers in by_oracle(plain)]
    lstm_audit.patch(path, forget_bias=WISH)
    plain.load_weights(path)
    assert by_oracle(plain)[0][0] == pytest.approx(1 / (1 + np.exp(-WISH)), abs=2e-6)


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_weights_of_a_trained_model_and_not_of_its_optimizer(
    tmp_path: Path, framework: str
) -> None:
    K = FRAMEWORKS[framework]
    K.backend.clear_session()
    model = K.Sequential([K.Input((5, 3)), K.layers.LSTM(4), K.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(np.ones((2, 5, 3)), np.ones((2, 1)), verbose=0)
    for suffix in SUFFIXES:
        path = save(model, tmp_path / f"model{suffix}")
        assert by_audit(path) == [pytest.approx(numbers, abs=2e-6) for numbers in by_oracle(model)]
        assert "optimizer-state" in {skipped.reason for skipped in audit_file(str(path)).skipped}


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_a_model_in_a_model_in_a_subclass(tmp_path: Path, framework: str) -> None:
    K = FRAMEWORKS[framework]
    K.backend.clear_session()

    class Tagger(K.Model):  # type: ignore[misc, name-defined]  # whichever Keras is there
        def __init__(self) -> None:
            super().__init__()
            self.encoder = K.layers.LSTM(4, return_sequences=True)
            self.heads = [K.layers.LSTM(2), K.layers.LSTM(2)]
            self.inner = K.Sequential([K.layers.Bidirectional(K.layers.LSTM(3))])

        def call(self, x: Any) -> Any:
            x = self.encoder(x)
            return self.heads[0](x) + self.heads[1](x) + self.inner(x)[:, :2]

    model = Tagger()
    model(np.zeros((1, 5, 3), "f4"))
    scramble(model, 5)
    path = save(model, tmp_path / "model.weights.h5")
    assert len(by_audit(path)) == 5
    assert by_audit(path) == [pytest.approx(numbers, abs=2e-6) for numbers in by_oracle(model)]
    notes = [note for row in audit_file(str(path)).rows for note in row.lstm.notes]
    assert any("assumed sigmoid" in note for note in notes)


def test_a_peephole_cell_keeps_of_a_little_memory_what_the_audit_says(tmp_path: Path) -> None:
    """TensorFlow's own old Keras has the cell; a peephole adds w c, which is nothing beside a small c."""
    old = pytest.importorskip("tensorflow.python.keras", reason=REASON)
    old.__version__ = "2.6.0"  # its saver asks for it, and finds none any more
    from tensorflow.python.keras import layers, models
    from tensorflow.python.keras.layers.recurrent import RNN, PeepholeLSTMCell

    cell = PeepholeLSTMCell(4, recurrent_activation="hard_sigmoid")
    model = models.Sequential([layers.InputLayer((5, 3)), RNN(cell)])
    forget = np.random.default_rng(0).normal(0, 1, 4)
    cell.bias.assign(np.concatenate([np.zeros(4), forget, np.zeros(8)]).astype("f4"))
    model.save(tmp_path / "model.h5")
    little = 2.0**-13
    states = [tf.zeros((1, 4)), tf.fill((1, 4), little)]
    kept_share = np.asarray(cell(tf.zeros((1, 3)), states)[1][1])[0] / little
    (row,) = audit_file(str(tmp_path / "model.h5")).rows
    assert row.measures.activation.mean == pytest.approx(kept_share.mean(), abs=1e-3)
    assert any("peepholes" in note for note in row.lstm.notes)
