"""Pickles of Haiku's parameters, as arrays of jax and of numpy, held against Haiku's own step."""

import os
import pickle
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
np = pytest.importorskip("numpy", reason=REASON)
jax = pytest.importorskip("jax", reason=REASON)
hk = pytest.importorskip("haiku", reason=REASON)

import lstm_audit

H, IN = 4, 3


def step(x: Any, cell: float) -> Any:
    core = hk.LSTM(H)
    state = hk.LSTMState(hidden=jax.numpy.zeros((1, H)), cell=jax.numpy.full((1, H), cell))
    return core(x, state)[1].cell[0]


MODEL = hk.without_apply_rng(hk.transform(step))
X = np.zeros((1, IN), "f4")


def drawn(seed: int, dtype: str) -> dict[str, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return {
        "lstm/linear": {
            "w": jax.numpy.asarray(rng.normal(0, 0.3, (IN + H, 4 * H)), dtype),
            "b": jax.numpy.asarray(rng.normal(0, 1, 4 * H), dtype),
        }
    }


def forget(params: Any) -> list[float]:
    wide = jax.tree_util.tree_map(lambda a: a.astype("float32"), params)
    gate = MODEL.apply(wide, X, 1.0) - MODEL.apply(wide, X, 0.0)
    return [float(value) for value in gate]


@pytest.mark.parametrize("numpy", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_haiku(dtype: str, numpy: bool, tmp_path: Path) -> None:
    params, path = drawn(7, dtype), tmp_path / "params.pkl"
    path.write_bytes(pickle.dumps(jax.tree_util.tree_map(np.asarray, params) if numpy else params))
    (row,) = lstm_audit.audit(path, units=True).rows
    assert (row.lstm.convention, row.lstm.dtype) == ("haiku", dtype)
    assert list(row.units.activation) == pytest.approx(forget(params), abs=2e-6)
    lstm_audit.patch(path, forget_bias=1.5)
    again = pickle.loads(path.read_bytes())
    assert forget(again) == pytest.approx([1 / (1 + np.exp(-1.5))] * H, abs=1e-6)
    assert type(again["lstm/linear"]["b"]) is type(
        np.asarray(1) if numpy else params["lstm/linear"]["b"]
    )


def test_a_bare_npz_of_haiku(tmp_path: Path) -> None:
    params = drawn(3, "float32")
    flat = {f"{k}/{n}": np.asarray(v) for k, part in params.items() for n, v in part.items()}
    np.savez(tmp_path / "params.npz", **flat)
    (row,) = lstm_audit.audit(tmp_path / "params.npz", units=True).rows
    assert list(row.units.activation) == pytest.approx(forget(params), abs=2e-6)
