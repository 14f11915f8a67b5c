"""Layers with names that other layers, optimizers and frameworks have: a file of Keras tells what
they are by its structure and its configuration, never by the name (extra `references`).
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
pytest.importorskip("tensorflow", reason=REASON)
keras = pytest.importorskip("keras", reason=REASON)
tf_keras = pytest.importorskip("tf_keras", reason=REASON)

import lstm_audit

FRAMEWORKS = {"keras": keras, "tf_keras": tf_keras}


def build(K: Any) -> Any:
    """Layers of 3 to 15 units, a number for each; those in Bidirectional ones have both ways."""
    L, more = K.layers, {"return_sequences": True}
    given = K.Input((5, 3))
    ways = [L.LSTM(3, name="forward_lstm", **more), L.LSTM(4, name="backward_lstm", **more)]
    inner = K.Model(given, L.Concatenate()([way(given) for way in ways]), name="pair")
    layers = [
        L.Bidirectional(L.LSTM(5, name="backward_in", **more), name="bi"),
        L.Bidirectional(L.RNN([L.LSTMCell(6, name="backward_c"), L.LSTMCell(7)], **more)),
        L.Bidirectional(
            L.LSTM(8, name="a", **more),
            backward_layer=L.LSTM(8, name="b", go_backwards=True, **more),
            name="own",
        ),
        L.LSTM(9, name="backward_top", **more),
        L.RNN(L.LSTMCell(10, name="backward_cell"), name="forward_r", **more),
        L.LSTM(11, name="optimizer_weights", **more),
        L.LSTM(12, name="optimizer", **more),
        L.TimeDistributed(L.Dense(40), name="mid"),
        L.Dense(64, name="lstm_9"),
        L.Dense(16, name="gru_lstm_cell"),
        L.LSTM(13, name="lstm_cell"),
    ]
    x = inner(given)
    for layer in layers:
        x = layer(x)
    return K.Model(given, x)


BOTH = {5, 6, 7, 8}
EXPECTED = sorted(
    [(units, "forward") for units in range(3, 14)] + [(units, "reverse") for units in BOTH]
)


def save(model: Any, name: str, folder: Path) -> Iterator[Path]:
    """The model in every form that its framework writes into one file."""
    names = ["m.h5", "m.keras", "m.weights.h5"] + (["m.hdf5"] if name == "tf_keras" else [])
    for path in (folder / file for file in names):
        whole = path.suffix == ".keras" or path.name == "m.h5"
        (model.save if whole else model.save_weights)(path)
        yield path


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_names_are_no_directions_optimizers_or_classes(name: str, tmp_path: Path) -> None:
    model = build(FRAMEWORKS[name])
    for path in save(model, name, tmp_path):
        audit = lstm_audit.audit(path)
        found = sorted((row.lstm.hidden_size, row.lstm.direction) for row in audit.rows)
        assert found == EXPECTED, path
        # files of weights alone do not tell a Dense called `lstm_9` from a cell of a user's own
        weights = path.name in ("m.weights.h5", "m.hdf5")
        said = {entry.module.rpartition("/")[2] for file in audit.files for entry in file.skipped}
        assert said <= ({"lstm_9", "gru_lstm_cell"} if weights else set()), path
    live = lstm_audit.audit(model)
    assert sorted((row.lstm.hidden_size, row.lstm.direction) for row in live.rows) == EXPECTED


def test_optimizers_of_a_trained_model_stay_out(tmp_path: Path) -> None:
    layers = tf_keras.layers
    model = tf_keras.Sequential(
        [layers.Input((2, 3)), layers.LSTM(4, name="optimizer_weights", return_sequences=True),
         layers.LSTM(5, name="optimizer")]
    )  # fmt: skip
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)  # its slots, without a traced step
    for name in ("m.h5", "m.keras", "m.hdf5", "m.weights.h5"):
        whole = name in ("m.h5", "m.keras")
        (model.save if whole else model.save_weights)(tmp_path / name)
        audit = lstm_audit.audit(tmp_path / name)
        assert sorted(row.lstm.hidden_size for row in audit.rows) == [4, 5], name
        state = [entry for file in audit.files for entry in file.skipped]
        assert all(entry.reason == "optimizer-state" for entry in state)
        assert bool(state) == (name != "m.hdf5"), name


def test_a_saved_model_tells_classes_and_directions(tmp_path: Path) -> None:
    layers = tf_keras.layers
    given = tf_keras.Input((2, 3))
    x = layers.LSTM(4, name="backward_top", return_sequences=True)(given)
    x = layers.Dense(64, name="lstm_cell")(layers.Dense(40)(x))
    model = tf_keras.Model(given, layers.Bidirectional(layers.LSTM(5), name="bi")(x))
    model.save(tmp_path / "saved", save_format="tf")
    audit = lstm_audit.audit(tmp_path / "saved")
    found = sorted((row.lstm.module, row.lstm.direction) for row in audit.rows)
    assert found == [("backward_top", "forward"), ("bi", "forward"), ("bi", "reverse")]
    assert not any(file.skipped for file in audit.files)


def test_a_backward_layer_of_its_own_name_is_said_where_no_configuration_is(tmp_path: Path) -> None:
    """Keras 3 writes such names where a model is exported, and in weights of the older form."""
    h5py = pytest.importorskip("h5py", reason=REASON)
    draw = {"kernel": (3, 16), "recurrent_kernel": (4, 16), "bias": (16,)}
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for path in ("bi/net/bi/forward_a", "bi/net/bi/mine", "top/net/top"):
            for name, shape in draw.items():
                file.create_dataset(f"{path}/lstm_cell/{name}", shape, "f4")[...] = 0.5
    rows = lstm_audit.audit(tmp_path / "w.h5").rows
    said = {row.lstm.module: any("direction" in note for note in row.lstm.notes) for row in rows}
    assert said == {"bi/net/bi/forward_a": True, "bi/net/bi/mine": True, "top/net/top": False}
