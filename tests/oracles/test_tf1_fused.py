"""The operator behind contrib's LSTMBlockFusedCell, which TensorFlow still has, as the judge of its
checkpoints: kernel and bias under `lstm_fused_cell`, 1 added to f as the operator runs.

TensorFlow and its operators are in the extra `references`.
"""

from pathlib import Path

import numpy as np
import pytest

import lstm_audit

tf = pytest.importorskip("tensorflow", reason="TensorFlow is in the extra `references`")

H, IN = 4, 3


def kept(kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """f of each unit at x = 0, h = 0: c from c = 1 less c from c = 0."""
    zeros = np.zeros((1, H), "f4")
    states = [
        tf.raw_ops.BlockLSTM(
            seq_len_max=1, x=np.zeros((1, 1, IN), "f4"), cs_prev=zeros + start, h_prev=zeros,
            w=kernel, wci=zeros[0], wcf=zeros[0], wco=zeros[0], b=bias, forget_bias=1.0, cell_clip=-1.0,
        ).cs.numpy()[0, 0]
        for start in (1.0, 0.0)
    ]  # fmt: skip
    return np.asarray(states[0] - states[1], np.float64)


@pytest.mark.parametrize("scope", ["lstm_fused_cell", "rnn/lstm_fused_cell", "net/lstm_fused_cell_1"])  # fmt: skip
@pytest.mark.parametrize("peephole", [False, True])
def test_the_operator_agrees(scope: str, peephole: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    values = {
        f"{scope}/kernel": rng.normal(0, 0.3, (IN + H, 4 * H)).astype("f4"),
        f"{scope}/bias": rng.normal(0, 1, 4 * H).astype("f4"),
    }
    if peephole:
        values |= {f"{scope}/w_{gate}_diag": rng.normal(0, 1, H).astype("f4") for gate in "ifo"}
    path = tmp_path / "cell.npz"
    np.savez(path, **values)
    (row,) = lstm_audit.audit(path).rows
    found = kept(values[f"{scope}/kernel"], values[f"{scope}/bias"])
    assert row.measures.activation.min == pytest.approx(found.min(), abs=1e-5)
    assert row.measures.activation.max == pytest.approx(found.max(), abs=1e-5)
    lstm_audit.patch(path, activation=0.9)
    with np.load(path) as stored:
        again = kept(stored[f"{scope}/kernel"], stored[f"{scope}/bias"])
    assert again == pytest.approx(np.full(H, 0.9), abs=1e-5)
