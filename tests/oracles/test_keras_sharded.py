"""Weights that Keras itself saved over several files: patched under one journal, loaded by Keras again,
whose own cells say what the forget gates are then.

Keras's backend is chosen in a process of its own, for the other oracles have chosen theirs.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
pytest.importorskip("keras", reason=REASON)
pytest.importorskip("h5py", reason=REASON)

import lstm_audit
from lstm_audit.patching.whole import undo_checkpoint

RUN = """
import json, sys
import keras, numpy as np
L = keras.layers
keras.utils.set_random_seed(3)
model = keras.Sequential([
    L.Input((5, 3)),
    L.LSTM(6, return_sequences=True),
    L.Bidirectional(L.LSTM(5, return_sequences=True, recurrent_activation="hard_sigmoid")),
    L.Dense(16),
    L.RNN([L.LSTMCell(4), L.LSTMCell(3)]),
])
draw = np.random.default_rng(4)
model.set_weights([draw.normal(0, 0.4, w.shape).astype("f4") for w in model.get_weights()])
index = sys.argv[2]
model.save_weights(index, max_shard_size=3e-6) if sys.argv[1] == "save" else model.load_weights(index)
lstm, both, _, rnn = model.layers
found = [lstm.cell, both.forward_layer.cell, both.backward_layer.cell, *rnn.cell.cells]
gates = []
for cell in found:
    x, h = np.zeros((1, cell.kernel.shape[0]), "f4"), np.zeros((1, cell.units), "f4")
    one, none = (cell(x, [h, np.full_like(h, c)])[1][1] for c in (1, 0))
    gates.append(keras.ops.convert_to_numpy(one - none)[0].tolist())
print(json.dumps(gates))
"""


def run(what: str, index: Path) -> list[list[float]]:
    """The forget gates of the model's five cells, at x = 0 and h = 0, as Keras computes them."""
    environment = {**os.environ, "KERAS_BACKEND": "torch", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", RUN, what, str(index)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    found: list[list[float]] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, bytes], list[list[float]]]:
    folder = tmp_path_factory.mktemp("sharded")
    gates = run("save", folder / "w.weights.json")
    return {path.name: path.read_bytes() for path in folder.iterdir()}, gates


def laid_out(saved: Any, folder: Path) -> Path:
    for name, raw in saved[0].items():
        (folder / name).write_bytes(raw)
    return folder / "w.weights.json"


def contents(folder: Path, names: Any) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names}


def test_the_gates_are_those_of_the_cells(saved: Any, tmp_path: Path) -> None:
    """The activation is not in the file; the cells of a sigmoid are held against it."""
    index = laid_out(saved, tmp_path)
    assert len(saved[0]) >= 3  # an index and several shards
    rows = lstm_audit.audit(index, units=True).rows
    lstm, _, _, low, high = saved[1]
    read = {row.lstm.address: list(row.units.activation) for row in rows}
    assert len(read) == 5
    assert read["layers/lstm:l0"] == pytest.approx(lstm, abs=2e-6)
    stack = [values for address, values in read.items() if "rnn" in address]
    assert sorted(stack) == [pytest.approx(cell, abs=2e-6) for cell in sorted((low, high))]


@pytest.mark.parametrize("in_place", [False, True], ids=["replace", "in-place"])
def test_a_patch_of_several_shards_is_loaded_by_keras(
    saved: Any, in_place: bool, tmp_path: Path
) -> None:
    index = laid_out(saved, tmp_path)
    lstm_audit.patch(index, forget_bias=1.75, in_place=in_place)
    new = contents(tmp_path, saved[0])
    changed = [name for name in saved[0] if new[name] != saved[0][name]]
    assert len(changed) > 1
    assert all(len(new[name]) == len(saved[0][name]) for name in changed)
    lstm, forward, backward, low, high = run("load", index)
    sigmoid, hard = 1 / (1 + 2.718281828459045**-1.75), (1.75 + 3) / 6
    for cell in (lstm, low, high):
        assert cell == pytest.approx([sigmoid] * len(cell), abs=1e-6)
    for cell in (forward, backward):  # the wish is a bias, whatever the activation makes of it
        assert cell == pytest.approx([hard] * len(cell), abs=1e-6)
    undo_checkpoint(str(index))
    assert contents(tmp_path, saved[0]) == saved[0]


def test_one_layer_alone_is_written(saved: Any, tmp_path: Path) -> None:
    index = laid_out(saved, tmp_path)
    lstm_audit.patch(index, forget_bias=2, layers=["layers/lstm"])
    gates = run("load", index)
    assert gates[0] == pytest.approx([1 / (1 + 2.718281828459045**-2)] * 6, abs=1e-6)
    assert gates[1:] == [pytest.approx(cell, abs=1e-6) for cell in saved[1][1:]]
