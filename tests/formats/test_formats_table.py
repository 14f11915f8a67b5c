"""docs/reference/formats.md, line by line: of each a file that is read, patched and undone, or refused,
as the line says.
"""

import gzip
import io
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from container_seeds import SEEDS
from formats.test_refused import KNOWN

import lstm_audit
from lstm_audit.errors import NotPatchable, UnknownFormat
from lstm_audit.formats import READERS
from lstm_audit.raw.source import FileSource
from lstm_audit.raw.span import span_all

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"
PAGE = (ROOT / "docs" / "reference" / "formats.md").read_text(encoding="utf-8")

Write = Callable[[Path], str]


def fixture(name: str, *beside: str) -> Write:
    """A committed file, or a folder, and what lies beside it."""

    def write(folder: Path) -> str:
        for each in (name, *beside):
            source, target = FIXTURES / each, folder / Path(each).name
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                target.write_bytes(source.read_bytes())
        return str(folder / Path(name).name)

    return write


def inside(name: str, part: str) -> Write:
    return lambda folder: f"{fixture(name)(folder)}/{part}"


def seed(name: str) -> Write:
    """The small file that is also damaged elsewhere."""

    def write(folder: Path) -> str:
        made = SEEDS[name]()
        for other, raw in made.beside.items():
            (folder / other).write_bytes(raw)
        path = folder / made.name
        path.write_bytes(made.data if made.mend is None else made.mend(made.data))
        return str(path)

    return write


def gzipped(folder: Path) -> str:
    path = folder / "model.pt.gz"
    path.write_bytes(gzip.compress((FIXTURES / "clean/lstm.pt").read_bytes()))
    return str(path)


def zipped(folder: Path, method: int = zipfile.ZIP_STORED) -> str:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.pth", (FIXTURES / "clean/lstm.pt").read_bytes())
    path = folder / "agent.zip"
    path.write_bytes(made.getvalue())
    return f"{path}!policy.pth"


def deflated(folder: Path) -> str:
    return zipped(folder, zipfile.ZIP_DEFLATED)


FIXED = False  # judged only
LINES: dict[str, list[tuple[Write, bool]]] = {
    "torch": [
        (fixture("clean/lstm.pt"), True), (fixture("clean/lightning.ckpt"), True),
        (fixture("clean/whole_module.pt"), True), (fixture("clean/lstm_legacy.pt"), True),
        (fixture("clean/lstm_tar.pt"), True), (fixture("clean/lstm_scripted.pt"), True),
        (fixture("clean/lstm_exported.pt2"), True), (fixture("clean/package.pt"), True),
    ],
    "safetensors": [
        (fixture("clean/lstm.safetensors"), True),
        (inside("clean/sharded", "model.safetensors.index.json"), True),
        (inside("clean/sharded_bin", "pytorch_model.bin.index.json"), True),
    ],
    "pickle": [
        (fixture("clean/numpy.pkl"), True), (fixture("clean/nested_pickle.pkl"), True), (seed("joblib"), True),
    ],
    "Keras": [
        (fixture("keras/named.h5"), True), (fixture("keras/weights_only.hdf5"), True),
        (fixture("keras/numbered.weights.h5"), True), (fixture("keras/keras_1.h5"), True),
        (fixture("keras/archive.keras"), True), (fixture("keras/elmo.hdf5"), True), (fixture("keras/clstm.hdf5"), True),
    ],
    "TensorFlow": [(seed("tf bundle"), True)],
    "graphs": [
        (fixture("graphs/torchscript.onnx"), True), (fixture("graphs/torch_cell.onnx"), True),
        (fixture("graphs/torchscript_unfolded.onnx"), True), (seed("onnx external"), True),
        (fixture("graphs/tf_keras.tflite"), True), (fixture("graphs/keras.tflite"), True),
        (fixture("graphs/tf_keras_int8.tflite"), FIXED), (fixture("graphs/tf_keras_shared.tflite"), FIXED),
        (fixture("graphs/openvino.xml", "graphs/openvino.bin"), True), (fixture("graphs/coreml.mlmodel"), True),
        (inside("graphs/program.mlpackage", "Data/com.apple.CoreML/model.mlmodel"), True),
    ],
    "numpy": [(seed("npz"), True), (seed("npz compressed"), FIXED)],
    "MXNet": [(seed("mxnet"), True)],
    "GGUF": [(seed("gguf"), True)],
    "Flax": [(seed("msgpack"), True)],
    "archives": [(zipped, True), (deflated, FIXED), (gzipped, FIXED), (seed("tar"), True), (seed("tar.gz"), FIXED), (seed("zip in zip"), True)],
}  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for what undo keeps."""
    return {str(f): f.read_bytes() for f in folder.rglob("*") if f.is_file() and "lstm-audit" not in f.name}  # fmt: skip


def test_every_family_of_the_page_has_its_files() -> None:
    families = re.findall(r"^\| ([A-Za-z]+) \| [^\n]+ \| [^\n]+ \|$", PAGE, re.MULTILINE)
    assert set(families) - {"family", "reader"} - set(READERS) - {"live"} <= LINES.keys()
    assert LINES.keys() <= set(families)


@pytest.mark.parametrize(
    ("family", "number"), [(name, k) for name, files in LINES.items() for k in range(len(files))]
)
def test_a_line_of_the_first_table(family: str, number: int, tmp_path: Path) -> None:
    write, patched = LINES[family][number]
    given = write(tmp_path)
    rows = lstm_audit.audit(given).rows
    assert rows
    if len(lstm_audit.audit(given).files) == 1:
        given = lstm_audit.audit(given).files[0].path
    before = contents(tmp_path)
    if not patched:
        with pytest.raises(NotPatchable):
            lstm_audit.patch(given, forget_bias=0.75)
        assert contents(tmp_path) == before
        return
    own = [row.lstm.identity.address for row in rows if row.lstm.fixable]  # some have no bias
    assert own
    lstm_audit.patch(given, forget_bias=0.625, layers=own)
    now = [row for row in lstm_audit.audit(given).rows if row.lstm.identity.address in own]
    found = [row.measures.gates["f"].max for row in now]
    assert found == pytest.approx([0.625] * len(own), abs=1e-2)
    assert contents(tmp_path) != before
    lstm_audit.undo(given.partition("!")[0])
    assert contents(tmp_path) == before


def test_the_line_of_live_models() -> None:
    model = torch.nn.LSTM(2, 3)
    assert lstm_audit.audit(model.state_dict()).rows
    with pytest.raises(UnknownFormat, match="can be audited"):
        lstm_audit.patch(model.state_dict(), forget_bias=0.75)
    lstm_audit.patch(model, forget_bias=0.75)
    assert {r.measures.gates["f"].max for r in lstm_audit.audit(model).rows} == {0.75}


CLAIMED: dict[str, Write] = {
    "coreml": fixture("graphs/coreml.mlmodel"), "flax-msgpack": seed("msgpack"), "gguf": seed("gguf"),
    "keras": fixture("keras/archive.keras"), "keras-h5": fixture("keras/named.h5"), "mxnet": seed("mxnet"),
    "npz": seed("npz"), "onnx": fixture("graphs/torchscript.onnx"),
    "openvino": fixture("graphs/openvino.xml", "graphs/openvino.bin"), "pickle": fixture("clean/numpy.pkl"),
    "safetensors": fixture("clean/lstm.safetensors"), "tf-checkpoint": seed("tf bundle"),
    "sharded": inside("clean/sharded", "model.safetensors.index.json"), "tflite": fixture("graphs/tf_keras.tflite"),
    "torch-legacy": fixture("clean/lstm_legacy.pt"), "torch-tar": fixture("clean/lstm_tar.pt"),
    "torch-zip": fixture("clean/lstm.pt"),
}  # fmt: skip
# Its files are written, read and patched by test_keras_oracle.py, which has the framework for it.
ELSEWHERE = {"keras-sharded"}


@pytest.mark.parametrize("reader", CLAIMED)
def test_a_line_of_the_second_table(reader: str, tmp_path: Path) -> None:
    """This reader claims the file, and no other one that goes by more than a guess does."""
    assert f"| {reader} |" in PAGE
    path = CLAIMED[reader](tmp_path)

    def beside(name: str) -> object:
        stem = Path(path).name.rpartition(".")[0]
        other = stem + name[1:] if name.startswith("*") else name
        return span_all(FileSource(str(Path(path).parent / other)))

    span = span_all(FileSource(path))
    claimed = READERS[reader].read(span, beside)  # type: ignore[arg-type]  # a function of a name
    assert claimed is not None
    assert not claimed.holds_nothing


def test_every_reader_has_a_file() -> None:
    assert {*CLAIMED, *ELSEWHERE} == set(READERS) - {"refused"}


REFUSED = {
    "git-LFS": "hostile/lfs_pointer.pt", "DVC": "hostile/dvc_pointer.pt", "HTML": "hostile/html.pt",
    "empty": "hostile/empty.pt", "truncated": "hostile/truncated.pt",
    "two\nreaders could read different bytes": "hostile/duplicate_names.pt",
    "orbax": "orbax metadata", "TensorFlow checkpoints of version 1": "TensorFlow V1", "frozen graphs": "GraphDef",
    "TensorFlow.js": "tfjs", "MATLAB": "MATLAB 5", "Deeplearning4j": "DL4J", ".nam": "NAM", "ggml": "ggml",
}  # fmt: skip


@pytest.mark.parametrize("word", REFUSED)
def test_what_the_page_says_is_refused(word: str, tmp_path: Path) -> None:
    assert word in PAGE
    name = REFUSED[word]
    if name in KNOWN:
        file, raw, _ = KNOWN[name]
        path = tmp_path / file
        path.write_bytes(raw() if callable(raw) else raw)
    else:
        path = Path(fixture(name)(tmp_path))
    (error,) = lstm_audit.audit(path).errors
    assert error.kind != "unknown-format"
