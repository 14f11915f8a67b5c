"""Live Keras models on the backends jax and torch, each in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
pytest.importorskip("keras", reason=REASON)

RUN = """
import json
import numpy as np
import keras
import lstm_audit

L = keras.layers
say = {"backend": keras.backend.backend()}
model = keras.Sequential([
    keras.Input((5, 3)),
    L.Bidirectional(L.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid")),
    L.RNN([L.LSTMCell(3), L.LSTMCell(2)]),
])
both, stack = model.layers
cells = [both.forward_layer.cell, both.backward_layer.cell, *stack.cell.cells]
draw = np.random.default_rng(3)
for cell in cells:
    cell.bias.assign(draw.normal(0.5, 1.5, tuple(cell.bias.shape)).astype("f4"))

def gate(cell):
    x, zero = np.zeros((1, cell.kernel.shape[0]), "f4"), np.zeros((1, cell.units), "f4")
    ops = keras.ops.convert_to_tensor
    step = lambda c: keras.ops.convert_to_numpy(cell(ops(x), [ops(zero), ops(zero + c)])[1][1])
    return (step(1) - step(0))[0].tolist()

def ours():
    return [list(row.units.activation) for row in lstm_audit.audit(model, units=True).rows]

say["before"] = [[gate(cell) for cell in cells], ours()]
variables = [id(cell.bias) for cell in cells]
lstm_audit.patch(model, activation=0.9)
say["after"] = [[gate(cell) for cell in cells], ours()]
say["kept"] = variables == [id(cell.bias) for cell in cells]
narrow = keras.Sequential([
    keras.Input((5, 3)), L.LSTM(3, dtype="bfloat16", recurrent_initializer="zeros")
])
lstm_audit.patch(narrow, forget_bias=1.75)
(row,) = lstm_audit.audit(narrow).rows
say["bfloat16"] = [row.lstm.dtype, row.measures.gates["f"].mean]
if say["backend"] == "torch":
    import sys
    import torch

    more = {"return_sequences": True}
    own = L.Bidirectional(
        L.LSTM(6, name="a", **more), backward_layer=L.LSTM(7, name="b", go_backwards=True, **more)
    )
    named = keras.Sequential([
        keras.Input((5, 3)),
        L.LSTM(3, name="backward_x", **more),
        L.LSTM(4, name="backward_y", **more),
        L.Bidirectional(L.LSTM(5, name="z", **more)),
        own,
    ])
    torch.save(named.state_dict(), sys.argv[1])
    say["directions"] = sorted(
        (row.lstm.hidden_size, row.lstm.direction, any("direction" in note for note in row.lstm.notes))
        for row in lstm_audit.audit(sys.argv[1]).rows
    )
print(json.dumps(say))
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_model_is_judged_and_patched_as_it_runs(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend, reason=REASON)
    env = {**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", RUN, str(tmp_path / "m.pt")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert said["backend"] == backend
    for when in ("before", "after"):
        runs, audited = said[when]
        assert audited == [pytest.approx(one, abs=2e-6) for one in runs], when
    assert all(value == pytest.approx(0.9, abs=2e-6) for one in said["after"][0] for value in one)
    assert said["kept"]
    assert said["bfloat16"] == ["bfloat16", 1.75]
    if backend == "torch":  # a backward layer under a name of its own is not told by the file
        assert said["directions"] == [
            [3, "forward", False],
            [4, "forward", False],
            [5, "forward", False],
            [5, "reverse", False],
            [6, "forward", True],
            [7, "forward", True],
        ]
