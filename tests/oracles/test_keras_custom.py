"""Cells of users' own classes, as Keras itself saves them: read with a note where they are built on
Keras's LSTM, said where they are written anew, never silent.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
pytest.importorskip("keras", reason=REASON)
pytest.importorskip("h5py", reason=REASON)

import lstm_audit

MAKE = """
import sys
import keras
L, ops = keras.layers, keras.ops
register = keras.saving.register_keras_serializable(package="mine")

@register
class OwnCell(L.LSTMCell):
    pass

@register
class OwnLSTM(L.LSTM):
    pass

@register
class Anew(L.Layer):
    def __init__(self, units, **more):
        super().__init__(**more)
        self.units, self.state_size, self.output_size = units, [units, units], units
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1] + self.units, 4 * self.units), name="kernel")
        self.bias = self.add_weight(shape=(4 * self.units,), name="bias")
    def call(self, x, states, training=None):
        h, c = states
        i, f, g, o = ops.split(ops.matmul(ops.concatenate([x, h], -1), self.kernel) + self.bias, 4, -1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]
    def get_config(self):
        return {**super().get_config(), "units": self.units}

MADE = {
    "cell": L.RNN(OwnCell(4)), "layer": OwnLSTM(4), "keras": L.LSTM(4), "anew": L.RNN(Anew(4)),
    "dense": L.Dense(16, name="lstm_out"),
}
for name, layer in MADE.items():
    model = keras.Sequential([L.Input((5, 3)), layer])
    model.save(f"{sys.argv[1]}/{name}.keras")
    model.save(f"{sys.argv[1]}/{name}.h5")
    model.save_weights(f"{sys.argv[1]}/{name}.weights.h5")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("custom")
    environment = {**os.environ, "KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", MAKE, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize("suffix", ["keras", "h5"])
@pytest.mark.parametrize("name", ["cell", "layer", "keras"])
def test_a_class_built_on_keras_is_read_with_a_note(name: str, suffix: str, made: Path) -> None:
    (row,) = lstm_audit.audit(made / f"{name}.{suffix}").rows
    assert row.measures.gates["f"].mean == 1
    said = any("'mine>Own" in note for note in row.lstm.notes)
    assert said == (name != "keras")


@pytest.mark.parametrize("suffix", ["keras", "h5", "weights.h5"])
def test_a_cell_that_is_written_anew_is_said(suffix: str, made: Path) -> None:
    (file,) = lstm_audit.audit(made / f"anew.{suffix}").files
    assert file.rows == ()
    assert [entry.reason for entry in file.skipped] == ["unknown-convention"]


@pytest.mark.parametrize("suffix", ["keras", "h5", "weights.h5"])
def test_a_dense_layer_behind_is_silent(suffix: str, made: Path) -> None:
    (file,) = lstm_audit.audit(made / f"dense.{suffix}").files
    assert (file.rows, file.skipped) == ((), ())
