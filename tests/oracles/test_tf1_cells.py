"""Checkpoints of TensorFlow 1's own cells, which TensorFlow still has with the Keras of before 3:
Saver V2, the line that converts Saver V1, and a frozen graph.

The cells run in one process of their own: TF_USE_LEGACY_KERAS must be set before the import.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
pytest.importorskip("tensorflow", reason=REASON)
pytest.importorskip("tf_keras", reason=REASON)

import lstm_audit
from lstm_audit.policy.load import make_policy

QUIET = {**os.environ, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

MAKE = """
import json, sys
import numpy as np
import tensorflow.compat.v1 as tf
tf.disable_eager_execution()
from tf_keras.src.layers.rnn import legacy_cells as cells
folder, IN = sys.argv[1], 3
draw = np.random.default_rng(5)
B, L = cells.BasicLSTMCell, cells.LSTMCell
class EncoderLSTM(B): pass
class MyCell(B): pass

def run(make, **how):
    if "both" in how:
        fw, bw = make(), make()
        tf.nn.bidirectional_dynamic_rnn(fw, bw, tf.zeros((2, 3, IN)), dtype=tf.float32)
        return [fw, bw]
    if "step" in how:  # called without a loop, outside of every scope
        made = make()
        for cell in made:
            cell(tf.zeros((2, IN)), cell.zero_state(2, tf.float32))
        return made
    cell = make()
    tf.nn.dynamic_rnn(cell, tf.zeros((2, 3, IN)), dtype=tf.float32, scope=how.get("scope"))
    return cell._cells if isinstance(cell, cells.MultiRNNCell) else [cell]

KINDS = {
    "basic": (lambda: B(4), {}),
    "lstm": (lambda: L(5), {}),
    "peepholes": (lambda: L(4, use_peepholes=True), {}),
    "projected": (lambda: L(6, num_proj=2), {}),
    "stacked": (lambda: cells.MultiRNNCell([B(4), L(3)]), {}),
    "both": (lambda: L(4), {"both": True}),
    # under names of the user's own
    "named": (lambda: B(4, name="encoder_lstm"), {}),
    "classed": (lambda: EncoderLSTM(5), {}),
    "scoped": (lambda: B(4, name="lstm_fw"), {"scope": "decoder"}),
    "peepholes_named": (lambda: L(4, use_peepholes=True, name="enc"), {}),
    "projected_named": (lambda: L(6, num_proj=2, name="enc"), {}),
    "stacked_named": (lambda: cells.MultiRNNCell([B(4, name="low_lstm"), L(3, name="high_lstm")]), {}),
    "both_named": (lambda: L(4, name="word_lstm"), {"both": True}),
    "twice": (lambda: [B(4), B(5), L(6), L(3)], {"step": True}),
    "steps_named": (lambda: [B(4, name="lstm_dec"), B(5, name="lstm_enc")], {"step": True}),
    # the name does not say what it is: skipped, with a draft that reads it
    "unsaid": (lambda: B(4, name="enc"), {}),
    "unsaid_class": (lambda: MyCell(4), {"scope": "decoder"}),
    "unsaid_stack": (lambda: cells.MultiRNNCell([B(4, name="low"), L(3, name="high")]), {}),
    # no LSTMs
    "gru": (lambda: cells.GRUCell(4, name="enc"), {"none": True}),
    "rnn_stack": (lambda: cells.MultiRNNCell([cells.BasicRNNCell(8, name="low"), cells.BasicRNNCell(8, name="high")]), {"none": True}),
}
def gate(session, cell):
    H, W = cell._num_units, int(cell._kernel.shape[0])
    P = getattr(cell, "_num_proj", None) or H
    step = lambda c: cell.call(tf.zeros((1, W - P)), tf.nn.rnn_cell.LSTMStateTuple(tf.fill((1, H), c), tf.zeros((1, P))))[1].c
    return session.run(step(1.0) - step(0.0))[0].tolist()

truth = {}
for name, (make, how) in KINDS.items():
    with tf.Graph().as_default(), tf.Session() as session:
        found = run(make, **how)
        for variable in tf.global_variables():
            zero = "diag" in variable.name  # a peephole multiplies c, which is 1 in this step
            value = np.zeros(variable.shape) if zero else draw.normal(0, 1, variable.shape)
            session.run(tf.assign(variable, value))
        truth[name] = [] if "none" in how else [gate(session, cell) for cell in found]
        tf.train.Saver().save(session, f"{folder}/{name}/model.ckpt")
        if name == "basic":
            tf.train.Saver(write_version=tf.train.SaverDef.V1).save(session, f"{folder}/v1/model.ckpt")
            out = found[0].call(tf.zeros((1, IN)), found[0].zero_state(1, tf.float32))[0]
            graph = tf.graph_util.convert_variables_to_constants(session, session.graph_def, [out.op.name])
            open(f"{folder}/frozen.pb", "wb").write(graph.SerializeToString())
print(json.dumps(truth))
"""

AGAIN = """
import json, sys
import tensorflow as tf
r = tf.train.load_checkpoint(sys.argv[1])
print(json.dumps({n: r.get_tensor(n).tolist() for n in r.get_variable_to_shape_map() if n.endswith("bias")}))
"""


def python(code: str, *words: Any, cwd: Path | None = None) -> str:
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=QUIET, cwd=cwd)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1] if done.stdout else ""


NAMED_BY_TENSORFLOW = ("basic", "lstm", "peepholes", "projected", "stacked", "both", "twice")
NAMED_BY_ITS_USER = (
    "named", "classed", "scoped", "peepholes_named", "projected_named", "stacked_named",
    "both_named", "steps_named",
)  # fmt: skip
UNSAID = ("unsaid", "unsaid_class", "unsaid_stack")
NO_LSTM = ("gru", "rnn_stack")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, list[list[float]]]]:
    folder = tmp_path_factory.mktemp("tf1")
    for name in (*NAMED_BY_TENSORFLOW, *NAMED_BY_ITS_USER, *UNSAID, *NO_LSTM, "v1"):
        (folder / name).mkdir()
    return folder, json.loads(python(MAKE, folder))


def npz_of(folder: Path, into: Path) -> Path:
    """The variables of a checkpoint as the line for version 1 dumps them."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(folder / "model.ckpt"))
    np.savez(into, **{n: reader.get_tensor(n) for n in reader.get_variable_to_shape_map()})
    return into


def file_in(container: str, folder: Path, into: Path) -> Path:
    """A checkpoint as TensorFlow wrote it (bundle), or dumped (npz)."""
    if container == "npz":
        return npz_of(folder, into / "dump.npz")
    return folder / "model.ckpt.index"


@pytest.mark.parametrize("name", [*NAMED_BY_TENSORFLOW, *NAMED_BY_ITS_USER])
@pytest.mark.parametrize("container", ["bundle", "npz"])
def test_the_gate_is_what_the_cell_computes(
    name: str, container: str, made: Any, tmp_path: Path
) -> None:
    folder, truth = made
    file = file_in(container, folder / name, tmp_path)
    found = lstm_audit.audit(file, units=True)
    if container == "npz" and name == "steps_named":  # no scope of TensorFlow's says whose it is
        assert {entry.reason for entry in found.files[0].skipped} == {"ambiguous"}
        return
    values = [list(row.units.activation) for row in found.rows]
    order = sorted if name in ("twice", "both_named", "stacked_named") else list
    assert [pytest.approx(row, abs=2e-6) for row in order(values)] == order(truth[name])
    assert {row.lstm.offset for row in found.rows} == {1.0}
    assert all("assumed 1" in row.lstm.notes[0] for row in found.rows)
    said = any("author's" in note for row in found.rows for note in row.lstm.notes)
    assert said == (name in NAMED_BY_ITS_USER)


@pytest.mark.parametrize("name", UNSAID)
@pytest.mark.parametrize("container", ["bundle", "npz"])
def test_what_its_name_does_not_say_is_skipped_with_a_draft_that_reads_it(
    name: str, container: str, made: Any, tmp_path: Path
) -> None:
    folder, truth = made
    file = file_in(container, folder / name, tmp_path)
    (found,) = lstm_audit.audit(file).files
    assert [entry.reason for entry in found.skipped] == ["unknown-convention"] * len(truth[name])
    drafts = [re.search(r"convention = \[(\{.*\})\]", entry.detail) for entry in found.skipped]
    lines = ", ".join(draft[1] for draft in drafts if draft)
    policy = make_policy(tomllib.loads(f"convention = [{lines}]"))
    rows = lstm_audit.audit(file, units=True, policy=policy).rows
    assert [pytest.approx(list(row.units.activation), abs=2e-6) for row in rows] == truth[name]


@pytest.mark.parametrize("name", NO_LSTM)
def test_other_cells_under_names_of_their_users_are_silent(name: str, made: Any) -> None:
    folder, _ = made
    (found,) = lstm_audit.audit(folder / name / "model.ckpt.index").files
    assert (found.rows, found.skipped) == ((), ())


def test_a_patch_is_loaded_with_all_checksums(made: Any, tmp_path: Path) -> None:
    folder, _ = made
    import shutil

    shutil.copytree(folder / "stacked", tmp_path / "s")
    lstm_audit.patch(tmp_path / "s" / "model.ckpt.index", forget_bias=2.5)
    biases = json.loads(python(AGAIN, tmp_path / "s" / "model.ckpt"))
    for bias in biases.values():
        size = len(bias) // 4
        assert bias[2 * size : 3 * size] == [1.5] * size


def test_version_1_is_refused_with_a_line_that_converts_it(made: Any, tmp_path: Path) -> None:
    folder, truth = made
    (error,) = lstm_audit.audit(folder / "v1" / "model.ckpt").errors
    line = re.search(r"`python -c \"(.*)\"`", error.message)
    assert line is not None, error.message
    python(line[1].replace("FILE", str(folder / "v1" / "model.ckpt")), cwd=tmp_path)
    (row,) = lstm_audit.audit(tmp_path / "model.npz", units=True).rows
    assert list(row.units.activation) == pytest.approx(truth["basic"][0], abs=2e-6)


def test_a_frozen_graph_is_said(made: Any) -> None:
    folder, _ = made
    (error,) = lstm_audit.audit(folder / "frozen.pb").errors
    assert "tf2onnx" in error.message
