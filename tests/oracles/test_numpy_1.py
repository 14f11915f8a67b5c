"""Chainer and MXNet, from the extra `references`, whose last releases ask for numpy 1: each runs in a
process of its own in which the names that numpy 2 took away are stood in for. Their own LSTMs write
the files, and their own steps say what the forget gate is.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numpy", reason="needs numpy")

import lstm_audit

PROLOGUE = """
import json, sys, types
import numpy as np
gone = dict(
    PZERO=0.0, NZERO=-0.0, float=float, int=int, object=object, Inf=np.inf, PINF=np.inf, NINF=-np.inf,
    NaN=np.nan, NAN=np.nan, infty=np.inf, float_=np.float64, bool8=np.bool_,
    sctypes={"int": [np.int8, np.int16, np.int32, np.int64]},
)
def missing(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return gone.get(name, lambda *a, **k: None)
np.random, np.testing  # modules, which are loaded when first asked for
np.__getattr__ = missing
resources = types.ModuleType("pkg_resources")
resources.DistributionNotFound = Exception
resources.get_distribution = lambda name: None
sys.modules["pkg_resources"] = resources
IN, H = 3, 4
rng = np.random.default_rng(0)
def drawn(size):
    return rng.uniform(-1, 1, size).astype("f")
def cells(*ends):
    return [(one - zero).reshape(H).tolist() for one, zero in zip(*ends)]
"""

CHAINER = """
import chainer
from chainer import links
class Model(chainer.Chain):
    def __init__(self):
        super().__init__()
        with self.init_scope():
            self.one = links.StatelessLSTM(IN, H)
            self.steps = links.NStepLSTM(1, IN, H, 0.0)
            self.both = links.NStepBiLSTM(1, IN, H, 0.0)
            self.gru = links.NStepGRU(1, IN, H, 0.0)
model = Model()
for parameter in model.params():
    parameter.data = drawn(parameter.shape)
x, zero = np.zeros((1, IN), "f"), np.zeros((1, H), "f")
def stateless(c):
    return [model.one(zero + np.float32(c), zero, x)[0].array]
def steps(link, n, c):
    h = np.zeros((n, 1, H), "f")
    return list(link(h, h + np.float32(c), [x])[1].array)
with chainer.no_backprop_mode(), chainer.using_config("train", False):
    truth = {"one": cells(stateless(1), stateless(0))}
    truth["steps"] = cells(steps(model.steps, 1, 1), steps(model.steps, 1, 0))
    truth["both"] = cells(steps(model.both, 2, 1), steps(model.both, 2, 0))
chainer.serializers.save_npz(sys.argv[1], model)
print(json.dumps(truth))
"""

GLUON = """
from mxnet import gluon, nd
net = gluon.rnn.LSTM(H, 1, bidirectional=True, input_size=IN)
net.initialize()
for _, parameter in sorted(net.collect_params().items()):
    parameter.set_data(nd.array(drawn(parameter.shape)))
def step(c):
    return list(net(nd.zeros((1, 1, IN)), [nd.zeros((2, 1, H)), nd.ones((2, 1, H)) * c])[1][1].asnumpy())
net.save_parameters(sys.argv[1])
print(json.dumps({"": cells(step(1), step(0))}))
"""

MX_RNN = """
import mxnet as mx
from mxnet import nd
cell = mx.rnn.LSTMCell(H, prefix="lstm_")
_, states = cell(mx.sym.Variable("x"), [mx.sym.Variable("h"), mx.sym.Variable("c")])
sizes = {"i2h_weight": (4 * H, IN), "h2h_weight": (4 * H, H), "i2h_bias": (4 * H,), "h2h_bias": (4 * H,)}
args = {f"lstm_{name}": nd.array(drawn(size)) for name, size in sizes.items()}
def step(c):
    state = {"x": nd.zeros((1, IN)), "h": nd.zeros((1, H)), "c": nd.ones((1, H)) * c}
    return [states[1].bind(mx.cpu(), args | state).forward()[0].asnumpy()]
saved = cell.unpack_weights(args) if UNPACKED else args
nd.save(sys.argv[1], {f"arg:{name}": value for name, value in saved.items()})
print(json.dumps({"lstm": cells(step(1), step(0))}))
"""

PROGRAMS = {
    "chainer": ("chainer", CHAINER, "m.npz"),
    "gluon": ("mxnet", GLUON, "m.params"),
    "mx.rnn": ("mxnet", f"UNPACKED = False{MX_RNN}", "m.params"),
    "mx.rnn, a tensor a gate": ("mxnet", f"UNPACKED = True{MX_RNN}", "m.params"),
}


def run(package: str, program: str, path: Path) -> dict[str, list[list[float]]]:
    """What the program prints, in a process of its own; skips where the framework is not there."""
    imported = (
        f"{PROLOGUE}\ntry:\n    import {package}\nexcept ImportError as e:\n    sys.exit(77)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", imported + program, str(path)],
        capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    if done.returncode == 77:
        pytest.skip(f"needs {package}, from the extra references")
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_framework_agrees(name: str, tmp_path: Path) -> None:
    package, program, file = PROGRAMS[name]
    truth = run(package, program, tmp_path / file)
    result = lstm_audit.audit(tmp_path / file, units=True).files[0]
    found: dict[str, list[Any]] = {}
    for row in sorted(result.rows, key=lambda row: row.lstm.direction):
        found.setdefault(row.lstm.module, []).append(list(row.units.activation))
    assert set(found) == set(truth)
    for module, gates in truth.items():
        for measured, gate in zip(found[module], gates, strict=True):
            assert measured == pytest.approx(gate, abs=1e-6)
    assert {entry.reason for entry in result.skipped} <= {"gru"}
