"""What is known and not read: said by name, with the line that converts or unpacks it."""

import io
import json
import os
import random
import re
import struct
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from bundles import field, table
from onnx_cases import CASES

import lstm_audit
from lstm_audit.policy.load import make_policy

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def dl4j() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("configuration.json", "{}")
        archive.writestr("coefficients.bin", bytes(100))
        archive.writestr("updaterState.bin", bytes(10))
    return made.getvalue()


def matlab_hdf5() -> bytes:
    h5py = pytest.importorskip("h5py", reason="h5py is in the extra `references`")
    made = io.BytesIO()
    with h5py.File(made, "w", userblock_size=512) as file:
        file["net"] = [1.0]
    raw = bytearray(made.getvalue())
    raw[:40] = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, "
    return bytes(raw)


def frozen() -> bytes:
    nodes = (
        field(1, b"lstm/kernel") + field(2, b"Const"),
        field(1, b"MatMul") + field(2, b"MatMul"),
    )
    return b"".join(field(1, node) for node in nodes) + field(4, field(1, 22))


KNOWN = {
    "orbax metadata": ("_METADATA", b'{"tree_metadata": {}, "use_ocdbt": true}', "PyTreeCheckpointer"),
    "orbax store": ("manifest.ocdbt", b"\x0c\xdb\x3a\x2a" + bytes(60), "PyTreeCheckpointer"),
    "TensorFlow V1": ("model.ckpt", table([(b"", field(1, field(2, b"")))]), "load_checkpoint('FILE')"),
    "MATLAB 5": ("net.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64".ljust(128), "exportONNXNetwork"),
    "MATLAB 7.3": ("net.mat", matlab_hdf5, "exportONNXNetwork"),
    "tfjs": ("model.json", json.dumps({"format": "layers-model", "modelTopology": {}, "weightsManifest": []}).encode(), "tensorflowjs_converter"),
    "tfjs graph": ("model.json", json.dumps({"format": "graph-model", "modelTopology": {"node": []}, "weightsManifest": []}).encode(), "converted from"),
    "tfjs graph of before": ("model.json", json.dumps({"modelTopology": {"node": []}, "weightsManifest": []}).encode(), "converted from"),
    "deeplearn.js": ("manifest.json", json.dumps({"lstm/biases": {"filename": "b", "shape": [8]}}).encode(), "numpy.fromfile"),
    "DL4J": ("model.zip", dl4j, "restoreMultiLayerNetwork"),
    "NAM": ("amp.nam", b'{"version": "0.5.4", "architecture": "LSTM", "weights": []}', "the trainer's .ckpt"),
    "GraphDef": ("frozen.pb", frozen, "tf2onnx"),
    "ggml": ("vad.bin", b"lmgg" + struct.pack("<I", 1) + bytes(60), "convert it to GGUF"),
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_it_is_said_by_name_with_what_to_do(name: str, tmp_path: Path) -> None:
    file, raw, remedy = KNOWN[name]
    (tmp_path / file).write_bytes(raw() if callable(raw) else raw)
    for given in (tmp_path / file, tmp_path):  # in a folder nobody named it, and it counts as well
        (error,) = lstm_audit.audit(given).errors
        assert error.kind == "unsupported"
        assert remedy in error.message


@pytest.mark.parametrize(
    "head",
    [b"Salted__12345678", b"gAAAAABl0123456789abcdef_-==", b"age-encryption.org/v1\n",
     b"-----BEGIN PGP MESSAGE-----\n", b"$ANSIBLE_VAULT;1.1;AES256\n", b"\0GITCRYPT\0"],
)  # fmt: skip
def test_an_encrypted_file_is_said_to_be_one(head: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(head + random.Random(1).randbytes(500))
    (tmp_path / "secrets.yml").write_bytes(head + random.Random(2).randbytes(500))
    (error,) = lstm_audit.audit(tmp_path).errors  # what nobody takes for a model is none
    assert "encrypted" in error.message
    assert error.path.endswith("model.onnx")


@pytest.mark.parametrize("name", ["net.onnx.data", "net.onnx_data", "net.onnx_data_1"])
def test_external_data_names_its_model(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(random.Random(1).randbytes(400))
    for given in (tmp_path, tmp_path / name):
        (error,) = lstm_audit.audit(given).errors
        assert "net.onnx must lie beside it" in error.message
    (tmp_path / "net.onnx").write_bytes(CASES["raw_data"].data)
    audit = lstm_audit.audit(tmp_path)
    assert (len(audit.files), audit.errors, audit.ignored) == (1, (), 1)
    (error,) = lstm_audit.audit(tmp_path / name).errors
    assert "audit net.onnx" in error.message


def test_a_folder_of_orbax_is_said_once(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "ocdbt.process_0"):
        place.mkdir(exist_ok=True)
        (place / "manifest.ocdbt").write_bytes(KNOWN["orbax store"][1])
    (tmp_path / "_METADATA").write_bytes(KNOWN["orbax metadata"][1])
    assert len(lstm_audit.audit(tmp_path).errors) == 1


@pytest.mark.parametrize(
    "raw", [b'{"a": 1}', b'{"architecture": "WaveNet"}', b"\n\x02ab", b"MATLAB is nice", b"\n" * 50]
)
def test_what_is_only_like_it_is_not(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(raw)
    (error,) = lstm_audit.audit(tmp_path / "x").errors
    assert error.kind == "unknown-format"


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the folder of real checkpoints is not here")
def test_real_ones() -> None:
    for name, remedy in (
        ("sdatkinson__NeuralAmpModelerCore/example_models__lstm.nam", "a Neural Amp Modeler"),
        ("ml5js__ml5-data-and-models/models/charRNN/shakespeare/manifest.json", "deeplearn.js"),
    ):
        (error,) = lstm_audit.audit(CORPUS / name).errors
        assert remedy in error.message


def run_line(line: str, given: Path, folder: Path) -> None:
    """A `python -c` of a message, as printed but for the file's name."""
    code = re.search(r"`python -c \"(.*?)\"`", line)
    assert code is not None, line
    words = [sys.executable, "-c", code[1].replace("FILE", str(given))]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def drafted(file: Path) -> Any:
    """The one row of a file under the convention that its skipped entry drafts."""
    (entry,) = lstm_audit.audit(file).files[0].skipped
    draft = re.search(r"convention = \[\{.*\}\]", entry.detail)
    assert draft is not None, entry
    (row,) = lstm_audit.audit(file, policy=make_policy(tomllib.loads(draft[0]))).rows
    return row


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_the_lines_for_matlab_unpack_arrays(version: str, tmp_path: Path) -> None:
    """The shapes and the names of lstmLayer's learnable parameters, references: scipy and h5py."""
    np = pytest.importorskip("numpy")
    rng, size = np.random.default_rng(1), 4
    bias = np.repeat([0.0, 0.75, 0.0, 0.0], size)[:, None]  # i, f, g, o
    arrays = {
        "InputWeights": rng.normal(size=(4 * size, 3)),
        "RecurrentWeights": rng.normal(size=(4 * size, size)),
        "Bias": bias,
    }
    file = tmp_path / "net.mat"
    if version == "5":
        io_of = pytest.importorskip("scipy.io", reason="scipy is in the extra `references`")
        io_of.savemat(file, {**arrays, "name": "forecaster"})
    else:
        h5py = pytest.importorskip("h5py", reason="h5py is in the extra `references`")
        with h5py.File(file, "w", userblock_size=512) as made:
            for name, array in arrays.items():
                made[name] = array.T  # MATLAB's arrays lie column by column
            made.create_group("#refs#")
        raw = bytearray(file.read_bytes())
        raw[:40] = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, "
        file.write_bytes(bytes(raw))
    (error,) = lstm_audit.audit(file).errors
    run_line(error.message, file, tmp_path)
    row = drafted(tmp_path / "model.npz")
    assert (row.lstm.hidden_size, row.measures.gates["f"].mean) == (size, 0.75)


def test_the_line_for_tensorflow_js_converts(tmp_path: Path) -> None:
    """The converter pins a TensorFlow of its own, and so is in no extra."""
    pytest.importorskip("tensorflowjs", reason="tensorflowjs is not installed beside references")
    keras = pytest.importorskip("tf_keras", reason="tf_keras is in the extra `references`")
    layers = [keras.layers.Input((5, 3)), keras.layers.LSTM(4, recurrent_activation="hard_sigmoid")]
    model = keras.Sequential(layers)
    kernel, recurrent, bias = model.get_weights()
    bias[4:8] = 0.75
    model.set_weights([kernel, recurrent, bias])
    model.save(tmp_path / "made.h5")
    command = [sys.executable, "-m", "tensorflowjs.converters.converter"]
    words = ["--input_format=keras", "made.h5", "made"]
    subprocess.run([*command, *words], cwd=tmp_path, check=True, capture_output=True)
    (error,) = lstm_audit.audit(tmp_path / "made" / "model.json").errors
    line = re.search(r"`tensorflowjs_converter (.*?)`", error.message)
    assert line is not None
    subprocess.run(
        [*command, *line[1].split()], cwd=tmp_path / "made", check=True, capture_output=True
    )
    (row,) = lstm_audit.audit(tmp_path / "made" / "model.h5").rows
    assert row.lstm.activation_function == "hard_sigmoid(0.2, 0.5)"
    assert row.measures.gates["f"].mean == 0.75


def test_the_line_for_orbax_converts(tmp_path: Path) -> None:
    pytest.importorskip("orbax.checkpoint", reason="orbax is in the extra `references`")
    import numpy as np
    import orbax.checkpoint as ocp

    rng, size = np.random.default_rng(1), 4
    cell = {
        f"h{g}": {
            "kernel": rng.normal(size=(size, size)).astype("f4"),
            "bias": np.full(size, 0.5, "f4"),
        }
        for g in "ifgo"
    }
    cell |= {f"i{g}": {"kernel": rng.normal(size=(3, size)).astype("f4")} for g in "ifgo"}
    ocp.PyTreeCheckpointer().save(tmp_path / "saved", {"params": {"cell": cell}})
    (error,) = lstm_audit.audit(tmp_path / "saved").errors
    line = re.search(r"`python -c \"(.*?)\"`", error.message)
    assert line is not None
    code = line[1].replace("FOLDER", str(tmp_path / "saved"))
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        check=True,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
    )
    (row,) = lstm_audit.audit(tmp_path / "model.msgpack").rows
    assert row.measures.gates["f"].mean == 0.5
