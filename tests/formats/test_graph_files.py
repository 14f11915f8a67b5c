"""TFLite and OpenVINO: what real exporters write is judged, patched, undone; what lies is refused."""

import struct
from pathlib import Path

import pytest
from command import real
from graph_files import GRAPHS, copied, kind_of

import lstm_audit
from lstm_audit.errors import AuditError, NotPatchable
from lstm_audit.patching.whole import files_of
from lstm_audit.pipeline import audit_file

ROWS = {
    "torchscript.onnx": 4, "torchscript_unfolded.onnx": 1, "torch_cell.onnx": 1, "dynamo.onnx": 2, "keras.tflite": 1,
    "keras_hard.tflite": 1, "keras_both.tflite": 2, "keras_unrolled.tflite": 1, "keras_half.tflite": 1,
    "tf_keras.tflite": 2, "tf_keras_both.tflite": 2, "tf_keras_half.tflite": 1, "tf_keras_int8.tflite": 1,
    "openvino.xml": 4,
}  # fmt: skip
"""Recurrences of each file; number n has the forget biases 1 + n + k / 8, see fixtures/make/recipes/graphs.py."""

FIXED = ("tf_keras_int8.tflite",)
NEAR = {"tf_keras_int8.tflite": 1e-3}


@pytest.mark.parametrize("name", ROWS)
def test_forget_biases(name: str) -> None:
    audit = audit_file(str(GRAPHS / name))
    assert not audit.skipped
    found = sorted((row.measures.gates["f"].min, row.measures.gates["f"].max) for row in audit.rows)
    wanted = [(1.0 + n, 1.375 + n) for n in range(ROWS[name])]
    assert [pytest.approx(pair, abs=NEAR.get(name, 1e-6)) for pair in wanted] == found


@pytest.mark.parametrize("name", ROWS)
def test_patch_and_undo(name: str, tmp_path: Path) -> None:
    path = copied(name, tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    if name in FIXED:
        with pytest.raises(NotPatchable):
            lstm_audit.patch(path, forget_bias=0.5)
        return
    lstm_audit.patch(path, forget_bias=0.5)
    for row in audit_file(str(path)).rows:
        assert (row.measures.gates["f"].min, row.measures.gates["f"].max) == (0.5, 0.5)
    assert real("undo", path).returncode == 0
    for file, data in before.items():
        assert (tmp_path / file).read_bytes() == data


def test_names_directions_and_functions() -> None:
    def of(name: str) -> list[tuple[str, str]]:
        rows = audit_file(str(GRAPHS / name)).rows
        return [(row.lstm.identity.address, row.lstm.activation_function) for row in rows]

    assert of("torchscript_unfolded.onnx") == [("encoder:l0", "sigmoid")]
    assert of("dynamo.onnx") == [("encoder:l0", "sigmoid"), ("encoder:l1", "sigmoid")]
    assert of("torch_cell.onnx") == [("cell:l0", "sigmoid")]
    assert [address.rpartition(":l")[2] for address, _ in of("keras_both.tflite")] == [
        "0:reverse",
        "0",
    ]
    assert [address.rpartition(":l")[2] for address, _ in of("tf_keras_both.tflite")] == [
        "0",
        "0:reverse",
    ]
    assert "/memory" in of("keras.tflite")[0][0]
    assert of("keras_hard.tflite")[0][1] == "hard_sigmoid"


def test_one_buffer_of_equal_constants_is_not_patched_for_one_gate(tmp_path: Path) -> None:
    """The converter keeps equal constants once: here the biases of all four gates."""
    path = copied("tf_keras_shared.tflite", tmp_path)
    before = path.read_bytes()
    assert audit_file(str(path)).rows[0].measures.gates["f"].max == 0.0
    assert not audit_file(str(path)).rows[0].lstm.fixable
    with pytest.raises(NotPatchable, match="stored in the same bytes"):
        lstm_audit.patch(path, forget_bias=1)
    assert path.read_bytes() == before


def test_the_numbers_of_an_openvino_net_are_its_neighbours(tmp_path: Path) -> None:
    path = copied("openvino.xml", tmp_path)
    assert files_of(str(path)) == [str(path), str(path.with_suffix(".bin"))]
    path.with_suffix(".bin").unlink()
    with pytest.raises(AuditError, match=r"\.bin of the same name"):
        audit_file(str(path))


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b"<net", b"<!DOCTYPE net [<!ENTITY a 'b'>]><net", "unsupported"),
        (b'version="11"', b'version="7"', "unsupported"),
        (b'version="11"', b'version="x"', "unsupported"),
        (b'element_type="f16"', b'element_type="f32"', "malformed"),
        (b'offset="', b'offset="9999999', "truncated"),
        (b'offset="', b'offset="-', "malformed"),
        (b'size="', b'size="1', "malformed"),
        (b'size="', b'size="x', "malformed"),
        (b'shape="', b'shape="-', "malformed"),
        (b"</net>", b"", "malformed"),
        (b"</net>", b"</met>", "malformed"),
        (b"<edges>", b"<edges>" + b"<a>" * 80, "limit"),
    ],
)
def test_a_lying_openvino_net_is_refused(old: bytes, new: bytes, kind: str, tmp_path: Path) -> None:
    path = copied("openvino.xml", tmp_path)
    data = path.read_bytes()
    if old.startswith((b"offset", b"size", b"shape", b"element")):
        at = data.index(b'type="Const"')
        at = data.index(old, at)
        data = data[:at] + data[at:].replace(old, new, 1)
    else:
        data = data.replace(b'<?xml version="1.0"?>', b"").replace(old, new, 1)
    assert kind_of(data, "openvino.xml", tmp_path) == kind


def test_lying_flatbuffers_are_refused(tmp_path: Path) -> None:
    data = (GRAPHS / "tf_keras.tflite").read_bytes()
    (root,) = struct.unpack_from("<I", data)

    def put(at: int, code: str, value: int) -> bytes:
        return data[:at] + struct.pack("<" + code, value) + data[at + struct.calcsize(code) :]

    (back,) = struct.unpack_from("<i", data, root)
    vtable = root - back
    (slot,) = struct.unpack_from("<H", data, vtable + 4 + 2 * 2)
    subgraphs = root + slot
    (to,) = struct.unpack_from("<I", data, subgraphs)
    cases = {
        "root beyond": (put(0, "I", 1 << 31), "truncated"),
        "vtable far before": (put(root, "i", 1 << 30), "truncated"),
        "vtable far behind": (put(root, "i", -(1 << 30)), "truncated"),
        "odd vtable": (put(vtable, "H", 5), "malformed"),
        "offset of 0": (put(subgraphs, "I", 0), "malformed"),
        "offset beyond": (put(subgraphs, "I", 1 << 31), "malformed"),
        "2**32 subgraphs": (put(subgraphs + to, "I", (1 << 32) - 1), "truncated"),
        "eight bytes": (b"\x18\0\0\0TFL3", "truncated"),
    }
    for name, (raw, kind) in cases.items():
        assert kind_of(raw, "model.tflite", tmp_path) == kind, name
