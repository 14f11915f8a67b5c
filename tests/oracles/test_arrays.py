"""Rows of frameworks whose files hold plain arrays, from the extra `references`, each against the
framework's own step at x = 0, h = 0, from c = 1 less that from c = 0.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("DEV", "PYTHON")  # tinygrad's own emulator, which needs no compiler

import pytest

np = pytest.importorskip("numpy", reason="needs numpy")

import lstm_audit

IN, H = 3, 4
# The file that the framework wrote, and its forget gate, unit by unit.
Made = tuple[Path, Any]


def needs(name: str) -> Any:
    return pytest.importorskip(name, reason=f"needs {name}, from the extra references")


def draw(rng: Any, size: Any) -> Any:
    return rng.uniform(-1, 1, tuple(size)).astype("f4")


def equinox(folder: Path, rng: Any) -> Made:
    """Under the names of its attributes, which a user's own safetensors file has."""
    eqx, jax = needs("equinox"), needs("jax")
    save = needs("safetensors.numpy").save_file
    cell = eqx.nn.LSTMCell(IN, H, key=jax.random.key(0))
    cell = jax.tree.map(lambda a: jax.numpy.asarray(draw(rng, a.shape)), cell, is_leaf=eqx.is_array)
    leaves = jax.tree_util.tree_leaves_with_path(cell)
    arrays = {jax.tree_util.keystr(k).strip("."): np.asarray(v) for k, v in leaves}
    save(arrays, folder / "m.safetensors")
    one, zero = jax.numpy.ones(H), jax.numpy.zeros(H)
    x = jax.numpy.zeros(IN)
    return folder / "m.safetensors", cell(x, (zero, one))[1] - cell(x, (zero, zero))[1]


def mlx(folder: Path, rng: Any) -> Made:
    mx, nn = needs("mlx.core"), needs("mlx.nn")
    cell = nn.LSTM(IN, H)
    cell.update({name: mx.array(draw(rng, value.shape)) for name, value in cell.items()})
    cell.save_weights(str(folder / "m.safetensors"))
    x, zero = mx.zeros((1, 1, IN)), mx.zeros((1, H))
    ends = [np.array(cell(x, zero, mx.full((1, H), c))[1])[0, 0] for c in (1.0, 0.0)]
    return folder / "m.safetensors", ends[0] - ends[1]


def tinygrad(folder: Path, rng: Any) -> Made:
    tiny, nn = needs("tinygrad"), needs("tinygrad.nn")
    state = needs("tinygrad.nn.state")
    cell = nn.LSTMCell(IN, H)
    for name, value in state.get_state_dict(cell).items():
        setattr(cell, name, tiny.Tensor(draw(rng, value.shape)))
    # its own safe_save compiles C; the names are what it would write
    arrays = {name: value.numpy() for name, value in state.get_state_dict(cell).items()}
    needs("safetensors.numpy").save_file(arrays, folder / "m.safetensors")
    x, zero = tiny.Tensor.zeros(1, IN), tiny.Tensor.zeros(1, H)
    ends = [cell(x, (zero, tiny.Tensor.full((1, H), c)))[1].numpy()[0] for c in (1.0, 0.0)]
    return folder / "m.safetensors", ends[0] - ends[1]


def sonnet(folder: Path, rng: Any) -> Made:
    tf, snt = needs("tensorflow"), needs("sonnet")
    cell = snt.LSTM(H)
    zero = tf.zeros((1, H))

    def step(c: float) -> Any:
        state = snt.LSTMState(hidden=zero, cell=tf.fill((1, H), c))
        return cell(tf.zeros((1, IN)), state)[1].cell.numpy()[0]

    step(0.0)
    for variable in cell.variables:
        variable.assign(draw(rng, variable.shape))
    tf.train.Checkpoint(model=cell).write(str(folder / "m"))
    return folder / "m.index", step(1.0) - step(0.0)


def sonnet_conv(folder: Path, rng: Any) -> Made:
    tf, snt = needs("tensorflow"), needs("sonnet")
    cell = snt.Conv2DLSTM((5, 5, 2), H, 3)
    zero = tf.zeros((1, 5, 5, H))

    def step(c: float) -> Any:
        state = snt.LSTMState(hidden=zero, cell=tf.fill((1, 5, 5, H), c))
        return cell(tf.zeros((1, 5, 5, 2)), state)[1].cell.numpy()[0, 2, 2]

    step(0.0)
    for variable in cell.variables:
        variable.assign(draw(rng, variable.shape))
    tf.train.Checkpoint(model=cell).write(str(folder / "m"))
    return folder / "m.index", step(1.0) - step(0.0)


def haiku_conv(folder: Path, rng: Any) -> Made:
    hk, jax = needs("haiku"), needs("jax")
    zero = jax.numpy.zeros((1, 5, 5, H))

    def step(c: float) -> Any:
        state = hk.LSTMState(hidden=zero, cell=zero + c)
        return hk.Conv2DLSTM((5, 5, 2), H, 3)(jax.numpy.zeros((1, 5, 5, 2)), state)[1].cell

    model = hk.without_apply_rng(hk.transform(step))
    params = model.init(jax.random.key(0), 0.0)
    params = jax.tree.map(lambda a: jax.numpy.asarray(draw(rng, a.shape)), params)
    flat = {f"{k}/{n}": np.asarray(v) for k, part in params.items() for n, v in part.items()}
    np.savez(folder / "m.npz", **flat)
    gate = model.apply(params, 1.0) - model.apply(params, 0.0)
    return folder / "m.npz", gate[0, 2, 2]


def flax_conv(folder: Path, rng: Any) -> Made:
    nn, jax = needs("flax.linen"), needs("jax")
    serialization = needs("flax.serialization")
    cell, x = nn.ConvLSTMCell(H, (3, 3)), jax.numpy.zeros((1, 5, 5, 2))
    zero = jax.numpy.zeros((1, 5, 5, H))
    params = cell.init(jax.random.key(0), (zero, zero), x)
    params = jax.tree.map(lambda a: jax.numpy.asarray(draw(rng, a.shape)), params)
    (folder / "m.msgpack").write_bytes(serialization.to_bytes(params))
    ends = [cell.apply(params, (zero + c, zero), x)[0][0] for c in (1.0, 0.0)]
    return folder / "m.msgpack", (ends[0] - ends[1])[0, 2, 2]


FRAMEWORKS: dict[str, tuple[Callable[[Path, Any], Made], str]] = {
    "equinox": (equinox, "torch"),
    "mlx": (mlx, "mlx"),
    "tinygrad": (tinygrad, "torch"),
    "sonnet": (sonnet, "sonnet"),
    "sonnet Conv2DLSTM": (sonnet_conv, "sonnet-conv"),
    "haiku Conv2DLSTM": (haiku_conv, "haiku-conv"),
    "flax ConvLSTMCell": (flax_conv, "flax-conv"),
}


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_framework_agrees(name: str, tmp_path: Path) -> None:
    make, convention = FRAMEWORKS[name]
    path, gate = make(tmp_path, np.random.default_rng(5))
    (row,) = lstm_audit.audit(path, units=True).files[0].rows
    assert row.lstm.convention == convention
    assert list(row.units.activation) == pytest.approx(list(map(float, gate)), abs=2e-6)
    lstm_audit.patch(path, forget_bias=2.0)
    (row,) = lstm_audit.audit(path).files[0].rows
    assert row.measures.activation.mean == pytest.approx(0.8807970779778823, abs=1e-6)
