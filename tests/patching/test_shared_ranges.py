"""Two tensors of a graph on one range of bytes, and two that overlap: all or nothing, and said.

The readers of a byte are counted over the file, whatever the tensors are called: in ONNX's
external data, in TFLite's buffers, in OpenVINO's .bin.
"""

import re
from pathlib import Path

import onnx_models as o
import pytest
from formats.test_safety_tables import Flat
from graph_files import GRAPHS

import lstm_audit
from lstm_audit.errors import NotPatchable
from lstm_audit.pipeline import audit_file

SIZE = 4 * 8 * o.H
F = slice(2 * o.H, 3 * o.H)  # f in one half of ONNX's i, o, f, c


def onnx(folder: Path, second: int) -> Path:
    """Two LSTMs whose biases lie in one file: the second `second` bytes behind the first."""
    ins, _ = o.ports()
    nodes = [
        o.node("LSTM", ["X", "W", "R", f"B{k}"], [f"Y{k}"], f"/{'ab'[k]}/LSTM", hidden_size=o.H)
        for k in range(2)
    ]
    biases = [
        o.tensor(f"B{k}", (1, 8 * o.H), (), data=o.external("b.bin", offset=at, length=SIZE))
        for k, at in enumerate((0, second))
    ]
    outs = [o.declared(f"Y{k}") for k in range(2)]
    path = folder / "model.onnx"
    path.write_bytes(o.model(o.graph(nodes, [*o.weights(), *biases], ins[:1], outs)))
    (folder / "b.bin").write_bytes(o.raw(o.bias()) * 3)
    return path


def openvino(folder: Path, name: str, text: str = "") -> Path:
    """A fixture, or another net over its numbers, alone in a folder."""
    for file in folder.iterdir():
        file.unlink()
    path = folder / "model.xml"
    path.write_text(text or (GRAPHS / name).read_text())
    path.with_suffix(".bin").write_bytes((GRAPHS / name).with_suffix(".bin").read_bytes())
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def refused(path: Path, word: str, **keys: object) -> None:
    """Nothing is written, and the reason is given."""
    before = contents(path.parent)
    with pytest.raises(NotPatchable, match=word):
        lstm_audit.patch(path, forget_bias=1.0, **keys)
    assert contents(path.parent) == before


def test_two_tensors_of_onnx_on_one_range_are_patched_together(tmp_path: Path) -> None:
    path = onnx(tmp_path, 0)
    rows = audit_file(str(path)).rows
    assert [row.lstm.identity.address for row in rows] == ["/a/LSTM:l0", "/b/LSTM:l0"]
    refused(path, "/b/LSTM", layers=["/a/LSTM:l0"])
    refused(path, "/a/LSTM", layers=["/b/LSTM:l0"])
    before = contents(tmp_path)
    lstm_audit.patch(path, forget_bias=1.0)
    assert {row.measures.gates["f"].max for row in audit_file(str(path)).rows} == {1.0}
    lstm_audit.undo(path)
    assert contents(tmp_path).items() >= before.items()


@pytest.mark.parametrize("second", [4, 4 * o.H, 8 * o.H, SIZE // 2, SIZE - 4])
def test_two_tensors_of_onnx_that_overlap_are_not_patched(second: int, tmp_path: Path) -> None:
    """The f of one is another gate of the other, or half of it is."""
    path = onnx(tmp_path, second)
    f = {k * o.H * 4 + at + 4 * j for at in (0,) for k in (2, 6) for j in range(o.H)}
    other = {second + 4 * j for j in range(8 * o.H)}
    assert len(audit_file(str(path)).rows) == 2
    if f & other:
        refused(path, "same (stored )?bytes|also read by")
    else:  # they overlap, but not in what is written
        lstm_audit.patch(path, forget_bias=1.0, layers=["/a/LSTM:l0"])


def test_two_tensors_of_onnx_side_by_side_are_two(tmp_path: Path) -> None:
    path = onnx(tmp_path, SIZE)
    lstm_audit.patch(path, forget_bias=1.0, layers=["/a/LSTM:l0"])
    first, second = audit_file(str(path)).rows
    assert first.measures.gates["f"].max == 1.0
    assert second.measures.gates["f"].max != 1.0


def biases_of(flat: Flat) -> list[int]:
    """The places of the numbers of the buffers of both fused LSTMs' forget biases."""
    graph = flat.entry(flat.follow(0), 2)
    places = []
    for k in range(flat.get(flat.follow(flat.field(graph, 3)))):
        ins = flat.follow(flat.field(flat.entry(graph, 3, k), 1))
        if flat.get(ins) >= 20:
            places.append(flat.field(flat.entry(graph, 0, flat.get(ins + 4 + 4 * 13)), 2))
    return places


def test_two_tensors_of_tflite_in_one_buffer_are_patched_together(tmp_path: Path) -> None:
    flat = Flat("tf_keras.tflite")
    first, second = biases_of(flat)
    flat.put(second, flat.get(first))
    path = tmp_path / "model.tflite"
    path.write_bytes(flat.data)
    rows = audit_file(str(path)).rows
    assert len(rows) == 2
    refused(path, re.escape(rows[1].lstm.identity.address), layers=[rows[0].lstm.identity.address])
    lstm_audit.patch(path, forget_bias=1.0)
    assert {row.measures.gates["f"].max for row in audit_file(str(path)).rows} == {1.0}


def test_two_buffers_of_tflite_on_one_range_are_patched_together(tmp_path: Path) -> None:
    """No converter writes it, but two vectors of a flatbuffer may be one."""
    flat = Flat("tf_keras.tflite")
    top = flat.follow(0)
    first, second = (
        flat.field(flat.entry(top, 4, flat.get(place)), 0) for place in biases_of(flat)
    )
    early, late = sorted((first, second))
    target = max(flat.follow(first), flat.follow(second))
    for place in (early, late):
        assert target > place
        flat.put(place, target - place)
    path = tmp_path / "model.tflite"
    path.write_bytes(flat.data)
    rows = audit_file(str(path)).rows
    assert len(rows) == 2
    refused(path, "also|share|same bytes", layers=[rows[0].lstm.identity.address])
    lstm_audit.patch(path, forget_bias=1.0)
    assert {row.measures.gates["f"].max for row in audit_file(str(path)).rows} == {1.0}


def constants_of(text: str) -> list[tuple[int, int, int]]:
    """Place in the text, offset and size of each constant of a net."""
    return [
        (m.start(), int(m[1]), int(m[2])) for m in re.finditer(r'offset="(\d+)" size="(\d+)"', text)
    ]


@pytest.mark.parametrize("name", ["openvino.xml", "openvino_cell.xml"])
def test_a_bias_of_openvino_that_another_constant_reads_too_is_not_patched(
    name: str, tmp_path: Path
) -> None:
    """A weight is moved onto the first byte that a patch would change, in three ways."""
    path = openvino(tmp_path, name)
    before = path.with_suffix(".bin").read_bytes()
    lstm_audit.patch(path, forget_bias=-3.5)
    after = path.with_suffix(".bin").read_bytes()
    first = next(k for k, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1])
    text, tried = path.read_text(), 0
    for at, offset, size in constants_of(text):
        if size < 100 or offset <= first < offset + size:
            continue
        for start in (first // 4 * 4, first // 4 * 4 - size + 4, first // 4 * 4 - 4):
            if 0 <= start <= len(before) - size:
                end = text.index('"', at + 8)
                moved = text[:at] + f'offset="{start}' + text[end:]
                refused(openvino(tmp_path, name, moved), "also read by")
                tried += 1
    assert tried
