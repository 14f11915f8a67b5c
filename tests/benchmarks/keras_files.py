"""How fast an audit of a Keras file is: beside the same of a torch file, h5py, and Keras itself.

    python tests/benchmarks/keras_files.py [--rounds 15] [--folder DIR] [--keras PYTHON]

Needs torch and h5py, and about 300 MB in the folder. `--keras` is a Python that has Keras, where this
one has not; without either its row is left out.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from files import write
from measure import TOOL, in_turn, table

PASS = "`python -c pass`"
WRITE = """
import sys, h5py, numpy as np
random = np.random.default_rng(0)
with h5py.File(sys.argv[1], "w") as out:
    for k in range(4):
        for name, shape in (("kernel", (128, 512)), ("recurrent_kernel", (128, 512)), ("bias", (512,))):
            out[f"model_weights/lstm_{k}/lstm_{k}/lstm_cell/{name}:0"] = random.random(shape, "f4")
    for k in range(10):
        out[f"model_weights/dense_{k}/dense_{k}/kernel:0"] = random.random((1280, 1024), "f4")
    out.attrs["keras_version"] = "2.15.0"
    layer = '{"class_name": "LSTM", "config": {"name": "lstm_%d", "recurrent_activation": "sigmoid"}}'
    out.attrs["model_config"] = '{"config": {"layers": [%s]}}' % ", ".join(layer % k for k in range(4))
"""
BY_H5PY = """
import sys, h5py, numpy as np
def visit(name, item):
    if name.endswith("bias:0"):
        bias = item[()]
        forget = bias[len(bias) // 4 : len(bias) // 2]
        print(name, (1 / (1 + np.exp(-forget))).mean())
h5py.File(sys.argv[1]).visititems(visit)
"""
SAVE = """
import sys, keras
x = y = keras.Input((5, 64))
for k in range(4):
    y = keras.layers.LSTM(128, return_sequences=True)(y)
for k in range(10):
    y = keras.layers.Dense(1280)(y)
keras.Model(x, y).save(sys.argv[1])
"""
BY_KERAS = """
import sys, keras
for layer in keras.models.load_model(sys.argv[1]).layers:
    if hasattr(layer, "cell"):
        print(keras.ops.mean(keras.ops.sigmoid(layer.cell.bias[128:256])))
"""


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--folder", type=Path)
    options.add_argument("--keras", default=sys.executable)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        timings = in_turn(_commands(Path(folder), given.keras), given.rounds, folder=Path(folder))
    print(table(timings, PASS))
    medians = {timing.name: timing.median for timing in timings}
    more = medians["`audit`, 50 MB h5"] - medians["`audit`, 50 MB pt"]
    print(f"\n`audit` of an .h5 takes {more:.1f} ms more than of a .pt of the same size (medians)")


def _commands(folder: Path, keras: str) -> dict[str, Sequence[str]]:
    write(folder / "model.pt", 50)
    python = sys.executable
    subprocess.run([python, "-c", WRITE, str(folder / "model.h5")], check=True)
    commands: dict[str, Sequence[str]] = {
        PASS: [python, "-c", "pass"],
        "`audit`, 50 MB pt": [TOOL, "audit", str(folder / "model.pt")],
        "`audit`, 50 MB h5": [TOOL, "audit", str(folder / "model.h5")],
        "h5py, the biases alone, 50 MB h5": [python, "-c", BY_H5PY, str(folder / "model.h5")],
    }
    archive = str(folder / "model.keras")
    saved = subprocess.run([keras, "-c", SAVE, archive], capture_output=True, check=False)
    if saved.returncode == 0:
        commands["`audit`, 50 MB keras"] = [TOOL, "audit", archive]
        commands["`keras.models.load_model`, 50 MB keras"] = [keras, "-c", BY_KERAS, archive]
    return commands


if __name__ == "__main__":
    main()
