"""Keras files: which folders are cells, what the configuration says of them, and what is refused."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command import run

import lstm_audit
from lstm_audit.errors import AuditError, MalformedFile, UnknownFormat
from lstm_audit.facts import FileAudit
from lstm_audit.fleet import audit
from lstm_audit.formats.keras import folder as beside
from lstm_audit.formats.keras import shards
from lstm_audit.formats.keras.config import Config, DifferentCells, find_activation
from lstm_audit.lstm.measure import ACTIVATIONS
from lstm_audit.pipeline import audit_file

ROOT = Path(__file__).parents[2]
KERAS = ROOT / "fixtures" / "keras"
OLD_HARD = "hard_sigmoid(0.2, 0.5)"

STACK = [(f"layers/bidirectional{cell}:l0{way}", "sigmoid", mean)
         for cell, way, mean in [("", "", 0), ("", ":reverse", 0), ("/lstm_cell_1", "", 0), ("/lstm_cell_1", ":reverse", 0)]]  # fmt: skip

FOUND = {
    "named.h5": [("both/both:l0", "sigmoid"), ("both/both:l0:reverse", "sigmoid"), ("first/first:l0", "sigmoid"),
                 ("second/second:l0", OLD_HARD)],
    "named_3.h5": [("hard/sequential/hard:l0", "hard_sigmoid"), ("soft/sequential/soft:l0", "sigmoid")],
    "weights_only.hdf5": [("lstm_1/lstm_1:l0", "sigmoid"), ("lstm_2/lstm_2:l0", "sigmoid")],
    "cudnn.h5": [("rnn_1/rnn_1:l0", "sigmoid")],
    "keras_1.h5": [("lstm_1:l0", OLD_HARD)],
    "convolutions.h5": [(f"conv_lstm{k}d/conv_lstm{k}d:l0", OLD_HARD) for k in (1, 2, 3)],
    "peepholes.h5": [(f"both/both/peephole_lstm_cell{k}:l0{way}", "sigmoid")
                     for k in ("", "_1") for way in ("", ":reverse")],
    "numbered.weights.h5": [*[(address, kind) for address, kind, _ in STACK], ("layers/lstm:l0", "sigmoid"),
                            ("layers/lstm_10:l0", "sigmoid")],
    "newest_format.weights.h5": [*[(address, kind) for address, kind, _ in STACK], ("layers/lstm:l0", "sigmoid"),
                                 ("layers/lstm_10:l0", "sigmoid")],
    "archive.keras": [*[(address, kind) for address, kind, _ in STACK], ("layers/lstm:l0", "sigmoid"),
                      ("layers/lstm_10:l0", "hard_sigmoid")],
    "dtypes.weights.h5": [(f"layers/lstm_{k}:l0", "sigmoid") for k in range(4)],
    "stored_otherwise.h5": [(f"{name}/{name}:l0", "sigmoid") for name in ("chunked", "compact", "deflated", "summed")],
    "elmo.hdf5": [(":l0", "sigmoid"), (":l0:reverse", "sigmoid"), (":l1", "sigmoid"), (":l1:reverse", "sigmoid")],
    "clstm.hdf5": [(".bidilstm.0.parallel.0.lstm:l0", "sigmoid"), (".bidilstm.0.parallel.1:l0:reverse", "sigmoid")],
}  # fmt: skip


def read(path: Path) -> FileAudit:
    return audit_file(str(path))


@pytest.mark.parametrize("name", sorted(FOUND))
def test_every_cell_of_a_fixture_is_found_with_its_activation(name: str) -> None:
    found = read(KERAS / name)
    assert [(row.lstm.address, row.lstm.activation_function) for row in found.rows] == FOUND[name]
    assert found.format == {
        "archive.keras": "keras",
        "elmo.hdf5": "hdf5",
        "clstm.hdf5": "hdf5",
    }.get(name, "keras-h5")


def test_every_fixture_is_expected() -> None:
    assert {path.name for path in KERAS.iterdir()} == set(FOUND)


def test_lookalikes_and_optimizers_are_said_and_never_rows() -> None:
    said = {
        (skipped.module, skipped.reason) for skipped in read(KERAS / "numbered.weights.h5").skipped
    }
    assert said == {
        ("layers/gru", "gru"),
        ("layers/simple_rnn", "rnn"),
        ("optimizer", "optimizer-state"),
    }
    said = {(skipped.module, skipped.reason) for skipped in read(KERAS / "named.h5").skipped}
    assert said == {("gru/gru", "gru"), ("optimizer_weights", "optimizer-state")}


def test_one_array_under_two_names_is_one_row() -> None:
    row = read(KERAS / "stored_otherwise.h5").rows[0]
    assert row.lstm.bias_tensors == ("chunked/chunked/bias:0",)
    assert row.lstm.aliases == ("tied/tied/bias:0",)


def test_notes_say_what_is_assumed_and_how_the_model_calls_a_layer() -> None:
    notes = {
        row.lstm.address: " ".join(row.lstm.notes)
        for row in read(KERAS / "numbered.weights.h5").rows
    }
    assert "the model calls it 'encoder'" in notes["layers/lstm:l0"]
    assert "assumed sigmoid, the default" in notes["layers/lstm:l0"]
    assert all(
        "assumed" not in " ".join(row.lstm.notes) for row in read(KERAS / "archive.keras").rows
    )
    assert "before 2.3" in " ".join(read(KERAS / "weights_only.hdf5").rows[0].lstm.notes)
    assert "assumed" not in " ".join(read(KERAS / "cudnn.h5").rows[0].lstm.notes)  # it has no other
    assert "peepholes" in " ".join(read(KERAS / "peepholes.h5").rows[0].lstm.notes)


def test_the_file_path_imports_no_reader_but_ours() -> None:
    probe = (
        "import sys; from lstm_audit.fleet import audit; audit('fixtures/keras');"
        "print({'h5py', 'numpy', 'keras', 'zipfile', 'torch', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_folder_of_keras_files_is_walked(tmp_path: Path) -> None:
    for name in ("named.h5", "archive.keras", "weights_only.hdf5"):
        (tmp_path / name).write_bytes((KERAS / name).read_bytes())
    (tmp_path / "broken.h5").write_bytes((KERAS / "named.h5").read_bytes()[:9000])
    result = audit(tmp_path)
    assert [os.path.basename(file.path) for file in result.files] == [
        "archive.keras",
        "named.h5",
        "weights_only.hdf5",
    ]
    assert [(os.path.basename(error.path), error.kind) for error in result.errors] == [
        ("broken.h5", "truncated")
    ]


def test_names_lie_and_content_decides(tmp_path: Path) -> None:
    for name, other in (
        ("named.h5", "a.keras"),
        ("archive.keras", "a.h5"),
        ("numbered.weights.h5", "a.pt"),
    ):
        (tmp_path / other).write_bytes((KERAS / name).read_bytes())
        lying, true = read(tmp_path / other), read(KERAS / name)
        assert [row.measures for row in lying.rows] == [row.measures for row in true.rows]
        assert "LA903" in {finding.code for finding in lying.findings}


# ---- archives


def zipped(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_deflated_archive_is_judged(tmp_path: Path) -> None:
    again = zipped(tmp_path / "a.keras", members_of(KERAS / "archive.keras"), zipfile.ZIP_DEFLATED)
    assert [row.measures for row in read(again).rows] == [
        row.measures for row in read(KERAS / "archive.keras").rows
    ]


def test_an_archive_without_weights_is_said(tmp_path: Path) -> None:
    members = members_of(KERAS / "archive.keras")
    del members["model.weights.h5"]
    with pytest.raises(UnknownFormat, match=r"without model\.weights\.h5"):
        read(zipped(tmp_path / "a.keras", members))
    members["model.weights.h5"] = b"no HDF5"
    with pytest.raises(MalformedFile, match="no HDF5 file"):
        read(zipped(tmp_path / "b.keras", members))


def test_an_archive_whose_configuration_is_broken_is_judged_where_that_does_not_matter(
    tmp_path: Path,
) -> None:
    members = members_of(KERAS / "archive.keras")
    members["config.json"] = b'{"recurrent_activation": "sigmoid", [[['
    rows = read(zipped(tmp_path / "a.keras", members)).rows
    assert {row.lstm.activation_function for row in rows} == {"sigmoid"}
    members["config.json"] += b'{"recurrent_activation": "hard_sigmoid"'
    found = read(zipped(tmp_path / "b.keras", members))
    assert not found.rows
    assert {skipped.reason for skipped in found.skipped} > {"ambiguous"}


def test_a_configuration_beyond_all_models_is_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beside, "MAX_JSON", 10)
    with pytest.raises(MalformedFile) as caught:
        read(KERAS / "archive.keras")
    assert caught.value.kind == "limit"


# ---- configurations


def lstm(name: str, activation: Any = "sigmoid", kind: str = "LSTM") -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, "recurrent_activation": activation}}


def wrap(kind: str, name: str, **inside: Any) -> dict[str, Any]:
    return {"class_name": kind, "config": {"name": name, **inside}}


def told(layers: list[dict[str, Any]], folder: str, *names: str) -> Any:
    text = json.dumps(wrap("Sequential", "model", layers=layers))
    return find_activation(Config(text, "3"), folder, names)


def test_one_activation_for_all_needs_no_layer() -> None:
    assert told([lstm("a", "hard_sigmoid")], "anything/at/all") == "hard_sigmoid"
    assert find_activation(Config(), "layers/lstm/cell/vars", ()) is None
    assert find_activation(Config('{"units": 3}'), "layers/lstm/cell/vars", ()) is None


def test_numbered_layers_are_found_by_their_name_else_by_class_and_order() -> None:
    layers = [
        lstm("x", "sigmoid"),
        wrap("Dense", "y"),
        lstm("z", "hard_sigmoid"),
        lstm("w", "tanh"),
    ]
    assert told(layers, "layers/lstm_1/cell/vars") == "hard_sigmoid"
    assert told(layers, "layers/lstm_2/cell/vars") == "tanh"
    assert told(layers, "layers/lstm/cell/vars", "w") == "tanh"
    assert isinstance(told(layers, "layers/lstm_3/cell/vars"), DifferentCells)


def test_wrappers_and_models_in_models_are_entered() -> None:
    inner = wrap("Functional", "inner", layers=[lstm("deep", "tanh")])
    cells = wrap(
        "StackedRNNCells",
        "s",
        cells=[lstm("c0", "sigmoid", "LSTMCell"), lstm("c1", "relu", "LSTMCell")],
    )
    layers = [
        lstm("flat", "sigmoid"),
        inner,
        wrap(
            "Bidirectional",
            "both",
            layer=lstm("l", "hard_sigmoid"),
            backward_layer=lstm("b", "linear"),
        ),
        wrap("RNN", "stack", cell=cells),
        wrap("TimeDistributed", "td", layer=lstm("in_td", "elu")),
    ]
    numbered = {
        "layers/functional/layers/lstm/cell/vars": "tanh",
        "layers/bidirectional/forward_layer/cell/vars": "hard_sigmoid",
        "layers/bidirectional/backward_layer/cell/vars": "linear",
        "layers/rnn/cell/cells/lstm_cell_1/vars": "relu",
        "layers/time_distributed/layer/cell/vars": "elu",
    }
    named = {
        "inner/inner/deep/lstm_cell": "tanh",
        "both/both/forward_l/lstm_cell": "hard_sigmoid",
        "both/both/backward_b/lstm_cell": "linear",
        "stack/stack/stacked_rnn_cells/c1": "relu",
        "td/td/lstm_cell": "elu",
    }
    for folder, activation in (numbered | named).items():
        assert told(layers, folder) == activation, folder


def test_what_the_configuration_cannot_tell_is_unknown() -> None:
    twins = [wrap("Functional", "m", layers=[lstm("a", "sigmoid"), lstm("b", "tanh")])]
    assert isinstance(told(twins, "m/m/c/lstm_cell"), DifferentCells)
    assert isinstance(told(twins, "other/lstm_cell"), DifferentCells)


@pytest.mark.parametrize(
    "value",
    [{"class_name": "function", "config": "mine", "registered_name": "mine"}, None, 3, "tanh"],
)
def test_activations_that_are_no_sigmoid_are_skipped(tmp_path: Path, value: Any) -> None:
    members = members_of(KERAS / "archive.keras")
    members["config.json"] = json.dumps(
        wrap("Sequential", "m", layers=[lstm("encoder", value)])
    ).encode()
    found = read(zipped(tmp_path / "a.keras", members))
    assert not [row for row in found.rows if row.lstm.address == "layers/lstm:l0"]
    assert "unsupported-activation" in {
        s.reason for s in found.skipped if s.module == "layers/lstm"
    }


@pytest.mark.parametrize("bomb", ["[" * 300_000, "1" * 100_000, '"x":NaN,' * 3, "{}," * 4_000_000])
def test_hostile_configurations_are_unknown(bomb: str) -> None:
    text = (
        '{"a": {"recurrent_activation": "sigmoid"}, "b": {"recurrent_activation": "tanh"}, "c": '
        + bomb
    )
    assert isinstance(
        find_activation(Config(text, "3"), "layers/lstm/cell/vars", ()), DifferentCells
    )


@pytest.mark.parametrize(
    "layers", [3, None, "x", [3], [{"config": 3}], [{"class_name": 3, "config": {"name": []}}], {}]
)
def test_configurations_of_the_wrong_types_are_unknown(layers: Any) -> None:
    text = json.dumps({"config": {"layers": layers}, "a": lstm("a", "tanh"), "b": lstm("b")})
    for folder in ("layers/lstm/cell/vars", "a/a/lstm_cell", "vars", ""):
        assert isinstance(find_activation(Config(text, "3"), folder, ()), DifferentCells)


def test_a_hard_sigmoid_without_a_version_is_not_guessed(tmp_path: Path) -> None:
    members = members_of(KERAS / "archive.keras")
    members["metadata.json"] = b"{}"
    found = read(zipped(tmp_path / "a.keras", members))
    assert "no version is in the file" in " ".join(
        s.detail for s in found.skipped if s.module == "layers/lstm_10"
    )


# ---- files that h5py makes here

h5py = pytest.importorskip(
    "h5py", reason="h5py, which writes and compares files, is in the extra `references`"
)
import numpy as np


def made(path: Path, fill: Callable[[Any], None]) -> Path:
    with h5py.File(path, "w") as out:
        fill(out)
    return path


def cell(
    file: Any,
    folder: str,
    names: tuple[str, ...] = ("kernel", "recurrent_kernel", "bias"),
    gates: int = 4,
) -> None:
    shapes = [(3, gates * 5), (5, gates * 5), (gates * 5,)]
    for name, shape in zip(names, shapes, strict=True):
        file[f"{folder}/{name}"] = np.zeros(shape, "f4")


def numbered(file: Any, folder: str, gates: int = 4) -> None:
    cell(file, f"{folder}/vars", ("0", "1", "2"), gates)


@pytest.mark.parametrize(
    "name",
    sorted(
        set(FOUND)
        - {
            "archive.keras",
            "elmo.hdf5",
            "clstm.hdf5",
            "keras_1.h5",
            "cudnn.h5",
            "dtypes.weights.h5",
        }
    ),
)
def test_the_numbers_are_those_of_h5py(name: str) -> None:
    with h5py.File(KERAS / name) as file:
        for row in read(KERAS / name).rows:
            (tensor, *_) = row.lstm.bias_tensors or ("",)
            if tensor:
                path = tensor if tensor in file else f"model_weights/{tensor}"
                forget = file[path][row.lstm.hidden_size : 2 * row.lstm.hidden_size].astype("f8")
                _compare(row, forget)


def _compare(row: Any, forget: Any) -> None:
    active = [ACTIVATIONS[row.lstm.activation_function](value) for value in forget]
    assert row.measures.gates["f"].mean == pytest.approx(forget.mean(), abs=1e-12)
    assert row.measures.activation.mean == pytest.approx(np.mean(active), abs=1e-12)


def test_the_numbers_of_the_odd_ones() -> None:
    with h5py.File(KERAS / "cudnn.h5") as file:
        bias = file["rnn_1/rnn_1/bias:0"][()].astype("f8").reshape(8, 4)
    (row,) = read(KERAS / "cudnn.h5").rows
    _compare(row, bias[1] + bias[5])
    assert row.measures.difference["f"].mean == pytest.approx((bias[5] - bias[1]).mean())
    with h5py.File(KERAS / "keras_1.h5") as file:
        _compare(read(KERAS / "keras_1.h5").rows[0], file["lstm_1/lstm_1_b_f"][()].astype("f8"))
    with h5py.File(KERAS / "elmo.hdf5") as file:
        for row in read(KERAS / "elmo.hdf5").rows:
            way = int(row.lstm.direction == "reverse")
            bias = file[f"RNN_{way}/RNN/MultiRNNCell/Cell{row.lstm.layer}/LSTMCell/B"][()].astype(
                "f8"
            )
            _compare(row, bias[8:12] + 1)
    with h5py.File(KERAS / "clstm.hdf5") as file:
        _compare(
            read(KERAS / "clstm.hdf5").rows[0],
            file[".bidilstm.0.parallel.0.lstm.WGF"][:, 0].astype("f8"),
        )
    with h5py.File(KERAS / "dtypes.weights.h5") as file:
        rows = read(KERAS / "dtypes.weights.h5").rows
        assert [row.lstm.dtype for row in rows] == ["float16", "float64", "float32", "bfloat16"]
        for k, row in enumerate(rows[:3]):
            _compare(row, file[f"layers/lstm_{k}/cell/vars/2"][4:8].astype("f8"))
        upper = file["layers/lstm_3/cell/vars/2"][4:8].view("<u2").astype("<u4") << 16
        _compare(rows[3], upper.view("<f4").astype("f8"))


def test_two_cells_that_only_numbers_tell_apart_stay_two(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        cell(file, "one/lstm_cell")
        cell(file, "one/lstm_cell_1")
        file["one/lstm_cell_1/bias"][:] = 1

    rows = read(made(tmp_path / "a.h5", fill)).rows
    assert [row.measures.gates["f"].mean for row in rows] == [0, 1]


def test_layers_with_the_shapes_of_an_lstm_are_not_guessed(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        numbered(file, "layers/mystery")
        numbered(file, "layers/my_lstm")
        file.require_group("layers/mystery_2/vars").attrs["name"] = "lstm_of_mine"
        numbered(file, "layers/mystery_2")
        file["layers/dense/vars/0"], file["layers/dense/vars/1"] = np.zeros((4, 16)), np.zeros(16)
        file["layers/two/vars/0"], file["layers/two/vars/1"] = np.zeros((4, 16)), np.zeros((16, 4))

    found = read(made(tmp_path / "a.weights.h5", fill))
    assert [row.lstm.module for row in found.rows] == ["layers/my_lstm", "layers/mystery_2"]
    assert [(s.module, s.reason) for s in found.skipped] == [("layers/mystery", "ambiguous")]


def test_a_cell_with_terms_of_its_own_is_not_judged(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        numbered(file, "layers/rnn/cell")
        file["layers/rnn/cell/kernel_norm/vars/0"] = np.ones(20)
        cell(file, "lstm/lstm/norm_lstm_cell")
        file["lstm/lstm/norm_lstm_cell/kernel_norm/beta"] = np.ones(20)

    found = read(made(tmp_path / "a.h5", fill))
    assert not found.rows
    assert {s.reason for s in found.skipped} == {"extra-terms"}


def test_a_recurrent_kernel_of_no_known_cell_is_said(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["odd/odd/kernel"], file["odd/odd/recurrent_kernel"] = (
            np.zeros((3, 10)),
            np.zeros((5, 10)),
        )

    found = read(made(tmp_path / "a.h5", fill))
    assert [(s.module, s.reason) for s in found.skipped] == [("odd/odd", "conflicting-evidence")]


def test_a_bias_that_cannot_be_read_is_no_missing_bias(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        cell(file, "lstm/lstm")
        del file["lstm/lstm/bias"]
        file.create_dataset("lstm/lstm/bias", (20,), "f4", external=[("/etc/passwd", 0, 80)])

    found = read(made(tmp_path / "a.h5", fill))
    assert not found.rows
    assert [s.reason for s in found.skipped] == ["missing-data"]


def test_a_compressed_bias_by_an_unknown_filter_is_skipped(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        cell(file, "lstm/lstm")
        del file["lstm/lstm/bias"]
        file.create_dataset("lstm/lstm/bias", data=np.zeros(20, "f4"), compression="lzf")
        cell(file, "other/other")

    found = read(made(tmp_path / "a.h5", fill))
    assert [row.lstm.module for row in found.rows] == ["other/other"]
    assert "filter 32000" in found.skipped[0].detail


def sharded(folder: Path, homes: dict[str, Any] | None = None) -> Path:
    """An LSTM whose bias lies in another file than its kernels."""
    with h5py.File(folder / "w_00000.weights.h5", "w") as out:
        numbered(out, "layers/lstm/cell")
        del out["layers/lstm/cell/vars/2"]
    with h5py.File(folder / "w_00001.weights.h5", "w") as out:
        out["layers/lstm/cell/vars/2"] = np.arange(20, dtype="f4")
    homes = homes or {"/layers/lstm/cell/vars": ["w_00000.weights.h5", "w_00001.weights.h5"]}
    index = folder / "w.weights.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": homes}))
    return index


def test_a_layer_over_two_shards_is_one_row(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    for target in (index, tmp_path):
        (found,) = audit(target).files
        assert found.format == "keras-sharded"
        assert [row.measures.gates["f"].mean for row in found.rows] == [7]


def test_a_patch_of_a_shard_and_its_undo(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    lstm_audit.patch(index, forget_bias=2)
    with h5py.File(tmp_path / "w_00001.weights.h5") as file:
        assert (file["layers/lstm/cell/vars/2"][5:10] == 2).all()
    assert (tmp_path / "w_00000.weights.h5").read_bytes() == before[tmp_path / "w_00000.weights.h5"]
    assert run("undo", str(index)).exit_code == 0
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "files",
    [["../x.h5"], ["/etc/passwd"], [3], "x", {}, [["a"]], ["a\n"], [""], ["missing.weights.h5"]],
)
def test_an_index_opens_plain_names_alone(tmp_path: Path, files: Any) -> None:
    index = sharded(tmp_path, {"/a": ["w_00000.weights.h5"], "/b": files})
    with pytest.raises(AuditError):
        read(index)


def test_the_shards_of_an_index_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "MAX_SHARDS", 1)
    with pytest.raises(MalformedFile) as caught:
        read(sharded(tmp_path))
    assert caught.value.kind == "limit"


def test_two_shards_with_one_tensor_are_ambiguous(tmp_path: Path) -> None:
    index = sharded(tmp_path)
    with h5py.File(tmp_path / "w_00000.weights.h5", "a") as out:
        out["layers/lstm/cell/vars/2"] = np.zeros(20, "f4")
    with pytest.raises(MalformedFile, match="another shard holds"):
        read(index)


# ---- a model that Keras saved as a folder: save(path, zipped=False)


def unzipped(folder: Path) -> Path:
    """The files of an archive's model as Keras writes them into a folder."""
    with zipfile.ZipFile(KERAS / "archive.keras") as file:
        file.extractall(folder)
    return folder / "model.weights.h5"


def rows(path: Path) -> list[Any]:
    return [
        (row.lstm.address, row.lstm.activation_function, row.measures.activation)
        for row in read(path).rows
    ]


def test_a_folders_configuration_is_that_of_its_weights(tmp_path: Path) -> None:
    weights = unzipped(tmp_path)
    assert rows(weights) == rows(KERAS / "archive.keras")
    assert [file.path for file in audit(tmp_path).files] == [str(weights)]
    other = weights.rename(tmp_path / "other.weights.h5")
    assert {row.lstm.activation_function for row in read(other).rows} == {"sigmoid"}


def test_the_configuration_of_another_library_is_not_taken(tmp_path: Path) -> None:
    weights = unzipped(tmp_path)
    (tmp_path / "metadata.json").write_text('{"transformers_version": "5"}')
    assert {row.lstm.activation_function for row in read(weights).rows} == {"sigmoid"}
    (tmp_path / "metadata.json").unlink()
    assert {row.lstm.activation_function for row in read(weights).rows} == {"sigmoid"}


@pytest.mark.parametrize("in_place", [False, True])
def test_a_patch_of_a_folders_weights_and_its_undo(tmp_path: Path, in_place: bool) -> None:
    weights = unzipped(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    # What is not judged here is not judged in the copy that is written either, which stands alone.
    config["config"]["layers"][-1]["config"]["recurrent_activation"] = "gelu"
    (tmp_path / "config.json").write_text(json.dumps(config))
    before = weights.read_bytes()
    lstm_audit.patch(weights, activation=0.8, in_place=in_place)
    assert {round(row.measures.activation.mean, 4) for row in read(weights).rows} == {0.8}
    lstm_audit.undo(weights)
    assert weights.read_bytes() == before


def test_a_folders_configuration_beyond_all_models_is_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = unzipped(tmp_path)
    monkeypatch.setattr(beside, "MAX_JSON", 10)
    with pytest.raises(MalformedFile, match=r"config\.json has \d+ bytes; at most 10 are read"):
        read(weights)


def test_the_script_writes_what_is_committed(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, str(ROOT / "fixtures" / "make"), "--into", str(tmp_path), "keras"]
    subprocess.run(command, check=True, capture_output=True)
    for name in FOUND:
        again, committed = read(tmp_path / "keras" / name).rows, read(KERAS / name).rows
        assert [row.measures for row in again] == [row.measures for row in committed], name
