"""ConvLSTMs whose output is projected: read or said, never silent and never with a wrong H; blocks of
convolutions with the same shapes stay silent.
"""

from typing import Any

import numpy as np
import pytest

import lstm_audit

H, P, IN = 8, 4, 3
Arrays = dict[str, Any]


def conv(path: str, out: int, inner: int, *kernel: int, bias: bool = True) -> Arrays:
    weights = {f"{path}.weight": np.zeros((out, inner, *(kernel or (3, 3))), "f4")}
    return weights | ({f"{path}.bias": np.zeros(out, "f4")} if bias else {})


def numbered(path: str, *shapes: tuple[int, ...]) -> Arrays:
    return {f"{path}/vars/{k}": np.zeros(shape, "f4") for k, shape in enumerate(shapes)}


SAID = {
    "in a list of cells": conv("cell_list.0.conv", 4 * H, IN + P) | conv("cell_list.0.proj", P, H, 1, 1),
    "gates": conv("convlstm.gates", 4 * H, IN + P) | conv("convlstm.conv_proj", P, H, 1, 1),
    "a pair": conv("cell.conv_x", 4 * H, IN) | conv("cell.conv_h", 4 * H, P, bias=False) | conv("cell.proj", P, H, 1, 1),
    "deeper": conv("encoder.cell.conv", 4 * H, IN + P) | conv("encoder.cell.projection", P, H, 1, 1, bias=False),
    "at the root": conv("Gates", 4 * H, IN + P) | conv("proj", P, H, 1, 1),
    "in one dimension": conv("lstm_cell.conv", 4 * H, IN + P, 5) | conv("lstm_cell.proj", P, H, 1),
    "contrib's with a projection": {"rnn/conv_2d_lstm_cell/kernel": np.zeros((3, 3, IN + P, 4 * H), "f4"),
                                    "rnn/conv_2d_lstm_cell/biases": np.zeros(4 * H, "f4"),
                                    "rnn/conv_2d_lstm_cell/projection/kernel": np.zeros((1, 1, H, P), "f4")},
    "Keras's by number": numbered("layers/my_conv_lstm/cell", (3, 3, IN, 4 * H), (3, 3, P, 4 * H), (4 * H,), (1, 1, H, P)),
}  # fmt: skip

SILENT = {
    "a bottleneck": conv("layer1.conv1", P, H, 1, 1) | conv("layer1.conv2", P, P) | conv("layer1.conv3", H, P, 1, 1),
    "an inverted residual": conv("block.expand", 4 * H, H, 1, 1) | conv("block.project", H, 4 * H, 1, 1),
    "a wide one": conv("features.expand", 4 * H, P, 1, 1) | conv("features.proj", P, H, 1, 1),
    "attention over pixels": conv("attn.qkv", 3 * H, H, 1, 1) | conv("attn.proj", H, H, 1, 1),
    "a feed-forward block": conv("cellular.pw1", 4 * H, H, 1, 1) | conv("cellular.proj", H, 4 * H, 1, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_a_projected_convlstm_is_said(name: str) -> None:
    (file,) = lstm_audit.audit(SAID[name]).files
    assert file.rows == ()
    assert [entry.reason in ("ambiguous", "unknown-convention") for entry in file.skipped] == [True]


@pytest.mark.parametrize("name", SILENT)
def test_blocks_of_convolutions_are_silent(name: str) -> None:
    (file,) = lstm_audit.audit(SILENT[name]).files
    assert (file.rows, file.skipped) == ((), ())


def test_gates_that_have_a_weight_each_are_read_beside_a_projection() -> None:
    """The number of units is that of the biases, whatever the hidden state's width is."""
    arrays = conv("cell0.proj", P, H, 1, 1, bias=False)
    for gate in "ifco":
        arrays |= conv(f"cell0.Wx{gate}", H, IN) | conv(f"cell0.Wh{gate}", H, P, bias=False)
    arrays["cell0.Wxf.bias"] += 0.75
    (row,) = lstm_audit.audit(arrays).rows
    assert (row.lstm.hidden_size, row.measures.gates["f"].mean) == (H, 0.75)
