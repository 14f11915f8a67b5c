"""Cells of TensorFlow 1 under names of their users': read where the name or a further tensor says what
they are, said where only the place does, and silent where all that speaks is a shape. The cells run
in tests/oracles/test_tf1_cells.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from speed import at_most

import lstm_audit

H, IN = 4, 3
Arrays = dict[str, Any]


def dense(path: str, rows: int = IN + H, columns: int = 4 * H) -> Arrays:
    """A kernel beside its bias, which is what a cell has as well."""
    return {
        f"{path}/kernel": np.zeros((rows, columns), "f4"),
        f"{path}/bias": np.zeros(columns, "f4"),
    }


def numbered(path: str, rows: int = IN + H, columns: int = 4 * H) -> Arrays:
    """The same as Keras 3 calls them."""
    kernel, bias = dense(path, rows, columns).values()
    return {f"{path}/vars/0": kernel, f"{path}/vars/1": bias}


def dumped(arrays: Arrays, folder: Path) -> Any:
    np.savez(folder / "dump.npz", **arrays)
    return lstm_audit.audit(folder / "dump.npz").files[0]


READ = {
    "a name for the cell": dense("rnn/encoder_lstm"),
    "a class of the user's": dense("model/rnn/my_lstm_cell"),
    "as variables are called": {f"{name}:0": a for name, a in dense("rnn/lstm1").items()},
    "capitals": dense("rnn/EncoderLSTM"),
    "a way": dense("bidirectional_rnn/fw/lstm_fw"),
    "a stack": dense("rnn/multi_rnn_cell/cell_10/layer_lstm"),
    "attention around it": dense("decoder/attention_wrapper/decoder_lstm"),
    "a second cell of one scope": dense("rnn/lstm_cell_1"),
    "peepholes": dense("enc/a") | {f"enc/a/w_{g}_diag": np.zeros(H, "f4") for g in "ifo"},
    "a projection": dense("enc/a", IN + 2) | {"enc/a/projection/kernel": np.zeros((H, 2), "f4")},
}

SAID = {
    "a scope": (dense("rnn/enc"), "unknown-convention", ""),
    "a scope, and as many inputs": (dense("rnn/enc", 100), "unknown-convention", "a plain RNN of 16"),
    "a cell by its name": (dense("decoder/my_cell"), "unknown-convention", ""),
    "a way": (dense("stack/bidirectional_rnn/bw/a"), "unknown-convention", ""),
    "a stack": (
        dense("rnn/multi_rnn_cell/cell_0/low") | dense("rnn/multi_rnn_cell/cell_1/high", 2 * H),
        "unknown-convention",
        "",
    ),
    "attention around it": (
        dense("attention_wrapper/enc") | dense("attention_wrapper/attention_layer", 2 * H),
        "unknown-convention",
        "",
    ),
    "no scope of TensorFlow's": (dense("encoder_lstm"), "ambiguous", "other frameworks"),
    "a cell of Keras's RNN": (numbered("layers/rnn/cell"), "unknown-convention", ""),
    "a layer that Keras numbers": (numbered("layers/my_lstm"), "unknown-convention", ""),
    "a gate each": (
        {k: a for w in ("input", "forget", "cell", "output") for k, a in numbered(f"layers/rnn/cell/{w}_gate", columns=H).items()},
        "unknown-convention",
        "a tensor a gate",
    ),
    "groups": (dense("rnn/glstm_cell/group_0") | dense("rnn/glstm_cell/group_1"), "unknown-convention", "tf.contrib"),
    "time gates": (dense("rnn/phased_lstm_cell/mask_gates", IN + H, 2 * H), "unknown-convention", "tf.contrib"),
}  # fmt: skip

SILENT = {
    "four times as wide": dense("dense", 16, 64) | dense("layer_0/ffn/intermediate", 16, 64),
    "behind an LSTM": dense("lstm_out", 8, 16) | dense("post_lstm", 8, 16) | dense("lstm_dense", 64, 64),
    "a GRU": dense("rnn/enc/gates", columns=2 * H) | dense("rnn/enc/candidate", columns=H),
    "a GRU of TensorFlow's": dense("rnn/gru_cell/gates", columns=2 * H) | dense("rnn/gru_cell/candidate", columns=H),
    "a plain RNN": dense("rnn/basic_rnn_cell", 80, 16),
    "plain RNNs in a stack": dense("rnn/multi_rnn_cell/cell_0/low", 19, 16) | dense("rnn/multi_rnn_cell/cell_1/high", 32, 16),
    "a GRU of flax's": dense("rnn/ir", 16, 16) | dense("rnn/iz", 16, 16) | dense("rnn/hn", 16, 16) | dense("rnn/in", 16, 16),
    "attention": {k: a for w in ("query", "key", "value", "output") for k, a in dense(f"attention/{w}", 16, 16).items()},
    "attention in one": dense("h0/attn/c_attn", 16, 48) | dense("h0/attn/c_proj", 16, 16),
    "a projection of another size": dense("block/a", 16, 64) | {"block/a/projection/kernel": np.zeros((64, 16), "f4")},
    "a decoder that is none of a sequence": dense("decoder/h1", 16, 64) | dense("decoder/h2", 64, 16),
    "a layer of Keras's that is called a cell": dense("cell/sequential/cell", 16, 64),
    "outputs of a scope": dense("rnn/dense", 16, 64) | dense("rnn/output_projection", 16, 64),
    "layers that Keras numbers": numbered("layers/dense", 16, 64) | numbered("layers/lstm_out", 8, 16),
    "a GRU that Keras numbers": {f"layers/rnn/cell/vars/{k}": np.zeros(z, "f4") for k, z in enumerate([(3, 12), (4, 12), (12,)])},
    "too few rows": dense("rnn/enc", H, 4 * H),
    "no multiple of four": dense("rnn/enc", 20, 18),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_it_is_read_with_the_one_that_is_added(name: str, tmp_path: Path) -> None:
    file = dumped(READ[name], tmp_path)
    assert file.skipped == ()
    (row,) = file.rows
    assert (row.lstm.convention, row.lstm.offset, row.lstm.hidden_size) == ("tensorflow", 1.0, H)
    assert row.measures.activation.mean == pytest.approx(1 / (1 + np.exp(-1.0)))


@pytest.mark.parametrize("name", SAID)
def test_it_is_said_where_its_class_is_not_known(name: str, tmp_path: Path) -> None:
    arrays, reason, words = SAID[name]
    file = dumped(arrays, tmp_path)
    assert file.rows == ()
    assert {entry.reason for entry in file.skipped} == {reason}
    assert all(words in entry.detail for entry in file.skipped)


@pytest.mark.parametrize("name", SILENT)
def test_it_is_silent_where_only_shapes_speak(name: str, tmp_path: Path) -> None:
    file = dumped(SILENT[name], tmp_path)
    assert (file.rows, file.skipped) == ((), ())


def test_two_classes_of_cells_in_one_scope_are_two_cells(tmp_path: Path) -> None:
    arrays = dense("rnn/basic_lstm_cell") | dense("rnn/lstm_cell", 5, 24)
    arrays["rnn/lstm_cell/projection/kernel"] = np.zeros((6, 2), "f4")
    file = dumped(arrays, tmp_path)
    assert {(row.lstm.address, row.lstm.hidden_size) for row in file.rows} == {
        ("rnn:l0", H),
        ("rnn/lstm_cell:l0", 6),
    }


def test_a_name_of_many_parts_costs_no_time() -> None:
    """The expressions look at one component of a path at a time."""
    names = ["a/" * 1000 + "lstm1" + "1" * 2000 + "x/kernel", "lstm" + "_fw1" * 900 + "!/kernel"]
    arrays = {name: np.zeros((7, 16), "f4") for name in names}
    with at_most(10):
        lstm_audit.audit(arrays)


def test_a_scope_of_tensorflow_1_is_drafted_as_its_cells_are(tmp_path: Path) -> None:
    """i, g, f, o, and 1 added at run time: the look for one matrix in a cell knows nothing of it."""
    (entry,) = dumped(dense("rnn/enc"), tmp_path).skipped
    assert 'order = "igfo", axis = 1, offset = 1' in entry.detail
