"""SavedModels of tf_keras and Keras 3, as TensorFlow itself runs them, before and after a patch."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
np = pytest.importorskip("numpy", reason=REASON)
pytest.importorskip("tensorflow", reason=REASON)
keras = pytest.importorskip("keras", reason=REASON)
tf_keras = pytest.importorskip("tf_keras", reason=REASON)

from keras_models import by_oracle

import lstm_audit

WISH = 1.75
L = tf_keras.layers


class Subclassed(tf_keras.Model):
    """A model without a config: its layers are attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = L.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid")
        self.second = L.LSTM(3)

    def call(self, x: Any) -> Any:
        return self.second(self.first(x))


def nested() -> Any:
    given = L.Input((4, 3))
    inside = tf_keras.Sequential(
        [L.Input((4, 5)), L.LSTM(4, recurrent_activation="hard_sigmoid", name="lstm")], name="inner"
    )
    return tf_keras.Model(given, inside(L.LSTM(5, return_sequences=True, name="outer")(given)))


def subclassed() -> Any:
    model = Subclassed()
    model(np.zeros((1, 4, 3), "f4"))
    return model


MODELS = {
    "sequential": lambda: tf_keras.Sequential(
        [
            L.Input((4, 3)),
            L.Bidirectional(
                L.LSTM(5, return_sequences=True, recurrent_activation="hard_sigmoid"), name="both"
            ),
            L.LSTM(4, name="last"),
        ]
    ),
    "nested": nested,
    "subclassed": subclassed,
    "cells": lambda: tf_keras.Sequential(
        [
            L.Input((4, 3)),
            L.RNN([L.LSTMCell(3), L.LSTMCell(4, recurrent_activation="hard_sigmoid")]),
        ]
    ),
    "one activation": lambda: tf_keras.Sequential(
        [L.Input((4, 3)), L.LSTM(3, recurrent_activation="hard_sigmoid")]
    ),
}


def activations(path: Path) -> list[Any]:
    rows = lstm_audit.audit(path).rows
    return sorted((r.measures.activation.mean, r.measures.activation.min) for r in rows)


def loaded(folder: Path) -> Any:
    return tf_keras.models.load_model(folder)


@pytest.mark.parametrize("kind", MODELS)
def test_the_activation_is_read_and_the_patch_is_loaded(kind: str, tmp_path: Path) -> None:
    tf_keras.backend.clear_session()
    model = MODELS[kind]()
    folder = tmp_path / "saved"
    model.save(folder, save_format="tf")
    index = folder / "variables" / "variables.index"
    truth = sorted(found[:2] for found in by_oracle(model))
    assert activations(index) == [pytest.approx(one, abs=2e-6) for one in truth]
    assert not [note for row in lstm_audit.audit(index).rows for note in row.lstm.notes]
    lstm_audit.patch(index, forget_bias=WISH)
    after = sorted(found[:2] for found in by_oracle(loaded(folder)))
    assert activations(index) == [pytest.approx(one, abs=2e-6) for one in after]
    assert len({round(one[0], 4) for one in after}) == len({round(one[0], 4) for one in truth})


def test_settings_that_cannot_be_read_are_no_sigmoid(tmp_path: Path) -> None:
    MODELS["one activation"]().save(tmp_path / "saved", save_format="tf")
    settings = tmp_path / "saved" / "keras_metadata.pb"
    settings.write_bytes(settings.read_bytes()[:40])
    (file,) = lstm_audit.audit(tmp_path / "saved").files
    assert not file.rows
    assert "activation" in file.skipped[0].detail


def test_without_settings_it_is_said(tmp_path: Path) -> None:
    MODELS["one activation"]().save(tmp_path / "saved", save_format="tf")
    (tmp_path / "saved" / "keras_metadata.pb").unlink()
    (row,) = lstm_audit.audit(tmp_path / "saved").rows
    assert "assumed sigmoid" in row.lstm.notes[0]


RUN = """
import os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
print(model.serve(tf.zeros((1, 2, 3))).numpy().tolist())
"""


def run(folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RUN, folder], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()[-1]


def test_an_export_of_keras_3_holds_every_variable_twice(tmp_path: Path) -> None:
    """Both places are patched; which of them a loader takes need not be known."""
    keras.backend.clear_session()
    model = keras.Sequential(
        [
            keras.Input((2, 3)),
            keras.layers.LSTM(5, return_sequences=True, bias_initializer="ones"),
            keras.layers.Bidirectional(keras.layers.LSTM(4, bias_initializer="ones")),
        ]
    )
    model.export(tmp_path / "saved", verbose=False)
    before = run(tmp_path / "saved")
    index = tmp_path / "saved" / "variables" / "variables.index"
    assert len(lstm_audit.audit(index).rows) == 3
    lstm_audit.patch(index, forget_bias=WISH)
    after = run(tmp_path / "saved")
    assert before != after
    for layer in (model.layers[0], model.layers[1].forward_layer, model.layers[1].backward_layer):
        bias = np.array(layer.cell.bias)
        bias[layer.units : 2 * layer.units] = WISH
        layer.cell.bias.assign(bias)
    wanted = np.asarray(model(np.zeros((1, 2, 3), "f4"))).tolist()
    assert np.allclose(eval(after), wanted, atol=1e-6)  # a list of floats of our own
