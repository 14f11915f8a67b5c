"""TensorFlow's checkpoints: written here by hand after the format's own sources, and by TensorFlow
where it is installed.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from bundles import KEY, cell, field, saved, table

import lstm_audit
from lstm_audit.errors import AuditError, MalformedFile
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire import sstable


def test_an_lstm_and_not_its_optimizer(tmp_path: Path) -> None:
    found = lstm_audit.audit(saved(tmp_path / "weights", cell(0.5)))
    (row,) = found.rows
    assert found.files[0].format == "tf-checkpoint"
    assert row.measures.gates["f"].mean == 0.5
    assert [s.reason for s in found.files[0].skipped] == ["optimizer-state"]


@pytest.mark.parametrize("name", ["weights", "weights.index", "weights.data-00000-of-00001"])
def test_any_name_of_it_means_it(name: str, tmp_path: Path) -> None:
    index = saved(tmp_path / "weights", cell())
    assert [file.path for file in lstm_audit.audit(tmp_path / name).files] == [str(index)]


def test_a_folder_counts_it_once(tmp_path: Path) -> None:
    folder = tmp_path / "model" / "variables"
    folder.mkdir(parents=True)
    index = saved(folder / "variables", cell())
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    found = lstm_audit.audit(tmp_path)
    assert ([f.path for f in found.files], found.errors, found.ignored) == ([str(index)], (), 0)


@pytest.mark.parametrize("in_place", [False, True])
def test_a_patch_renews_both_checksums_and_undo_gives_them_back(
    in_place: bool, tmp_path: Path
) -> None:
    index = saved(tmp_path / "weights", cell(0.0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    lstm_audit.patch(index, forget_bias=1.5, in_place=in_place)
    assert lstm_audit.audit(index).rows[0].measures.gates["f"].mean == 1.5
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    saved(fresh / "weights", cell(1.5) | {k: v for k, v in cell(0.0).items() if "optimizer" in k})
    for path in fresh.iterdir():  # what a writer would have written
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
        path.unlink()
    fresh.rmdir()
    done = subprocess.run(
        [sys.executable, "-m", "lstm_audit", "undo", index], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_missing_data_file_is_said(tmp_path: Path) -> None:
    index = saved(tmp_path / "weights", cell())
    index.with_suffix(".data-00000-of-00001").unlink()
    (error,) = lstm_audit.audit(index).errors
    assert "No such file" in error.message


def test_entries_are_those_that_were_written() -> None:
    entries = [(f"key/{k:03d}".encode(), bytes([k]) * k) for k in range(60)]
    found = list(sstable.entries(span_all(BytesSource(table(entries)))))
    assert [(entry.key, entry.value.read()) for entry in found] == entries


@pytest.mark.parametrize(
    ("entries", "message"),
    [([(b"b", b""), (b"a", b"")], "out of order"), ([(b"a", b""), (b"a", b"")], "out of order")],
)
def test_keys_must_ascend(entries: list[tuple[bytes, bytes]], message: str) -> None:
    with pytest.raises(MalformedFile, match=message):
        list(sstable.entries(span_all(BytesSource(table(entries)))))


def test_every_wrong_byte_of_a_block_is_seen(tmp_path: Path) -> None:
    index = saved(tmp_path / "weights", cell())
    raw = index.read_bytes()
    rng = random.Random(4)
    for _ in range(300):
        at = rng.randrange(len(raw) - sstable.FOOTER)
        mutant = bytearray(raw)
        mutant[at] ^= 1 << rng.randrange(8)
        index.write_bytes(bytes(mutant))
        result = lstm_audit.audit(index)
        assert result.errors or result.files  # an answer; the empty metadata block may change


def test_mutants_with_right_checksums_are_answered(tmp_path: Path) -> None:
    """Behind the checksums: the values of entries changed, the sums made anew."""
    rng = random.Random(9)
    for _ in range(400):
        dims = bytes(rng.randrange(256) for _ in range(rng.randrange(12)))
        entry = bytes(rng.randrange(256) for _ in range(rng.randrange(20))) + dims
        raw = table([(b"", field(1, rng.choice([0, 1, 1, 2000]))), (b"rnn/bias", entry)])
        path = tmp_path / "x.index"
        path.write_bytes(raw)
        try:
            lstm_audit.audit(path)
        except AuditError as error:
            pytest.fail(error.message)


MAKE = """
import os, sys
import tensorflow as tf, tf_keras
import numpy as np
layers = tf_keras.layers
draw = tf_keras.initializers.RandomUniform(-1, 1, seed=3)
model = tf_keras.Sequential([
    layers.Input((4, 3)),
    layers.Bidirectional(layers.LSTM(5, return_sequences=True, bias_initializer=draw)),
    layers.LSTM(4),
])
model.save_weights(sys.argv[1] + "/weights", save_format="tf")
tf.saved_model.save(model, sys.argv[1] + "/saved")
"""
MEASURE = """
import json, sys
import tensorflow as tf, tf_keras
import numpy as np
layers = tf_keras.layers
model = tf_keras.Sequential([
    layers.Input((4, 3)),
    layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
    layers.LSTM(4),
])
model.load_weights(sys.argv[1] + "/weights").expect_partial()
def forget(layer):
    cell, H = layer.cell, layer.units
    x, zero, one = tf.zeros((1, cell.kernel.shape[0])), tf.zeros((1, H)), tf.ones((1, H))
    return (cell(x, [zero, one])[1][1] - cell(x, [zero, zero])[1][1]).numpy()[0].tolist()
both, last = model.layers
print(json.dumps([forget(both.forward_layer), forget(both.backward_layer), forget(last)]))
"""


def test_the_real_tensorflow_reads_what_we_wrote(tmp_path: Path) -> None:
    pytest.importorskip("tf_keras", reason="TensorFlow is the reference here: .[references]")
    import json

    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}

    def tensorflow(code: str) -> str:
        words = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=quiet).stdout

    tensorflow(MAKE)
    for index in (tmp_path / "weights.index", tmp_path / "saved/variables/variables.index"):
        rows = lstm_audit.audit(index).rows
        truth = json.loads(tensorflow(MEASURE).splitlines()[-1])
        for row, activations in zip(rows, truth, strict=True):
            assert row.measures.activation.mean == pytest.approx(
                sum(activations) / len(activations), abs=1e-6
            )
    lstm_audit.patch(tmp_path / "weights.index", forget_bias=2.0)
    for activations in json.loads(tensorflow(MEASURE).splitlines()[-1]):
        assert activations == pytest.approx([0.8807970779778823] * len(activations), abs=1e-6)


def test_a_trained_models_weights_lie_in_its_optimizers_list(tmp_path: Path) -> None:
    """Keras 3 under tf.train.Checkpoint; the weights' names are in the object graph alone."""
    listed = "model/optimizer/_trainable_variables/{}/.ATTRIBUTES/VARIABLE_VALUE"
    slot = "model/optimizer/_variables/{}/.ATTRIBUTES/VARIABLE_VALUE"
    names = ("kernel", "recurrent_kernel", "bias")
    weights = [cell(1.5)[KEY.format(name)] for name in names]
    tensors = {listed.format(k): weight for k, weight in enumerate(weights)}
    tensors |= {slot.format(k): weight for k, weight in enumerate(weights, 2)}
    full = {listed.format(k): f"memory/lstm_cell/{name}" for k, name in enumerate(names)}
    full |= {slot.format(k): f"adam/memory_{name}_momentum" for k, name in enumerate(names, 2)}
    audit = lstm_audit.audit(saved(tmp_path / "trained", tensors, full))
    (row,) = audit.rows
    assert (row.lstm.module, row.measures.gates["f"].mean) == ("memory", 1.5)
    assert [skip.reason for skip in audit.files[0].skipped] == ["optimizer-state"]
