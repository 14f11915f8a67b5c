"""What other readers of graph files take differently, one case a way to lie, named after it.

Each case is a file and what may be said of it: the kind of an error, or `read` with the number of
rows. Where a way to lie is a field of a real file, that field alone is changed.
"""

import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import onnx_models as o
import pytest
from formats.test_coreml import PROGRAM, biases, layer, vector
from formats.test_coreml import model as coreml
from formats.test_onnx import GOOD, HOSTILE, _doubling, _nested, with_external
from graph_files import GRAPHS

from lstm_audit.errors import AuditError
from lstm_audit.formats import tflite
from lstm_audit.pipeline import audit_file
from lstm_audit.wire import flatbuffer, xml


def answer(path: Path) -> tuple[str, int]:
    try:
        return "read", len(audit_file(str(path)).rows)
    except AuditError as error:
        return error.kind, 0


ONNX = {
    **HOSTILE,
    "dims of 2**80": (o.simple(tensors=[o.tensor("B", (1 << 40, 1 << 40), [0.0] * 24)]), (("malformed", 0),)),
    "nested 30": (_nested(30), (("read", 0),)),
    "nested 3,000": (_nested(3000), (("limit", 0),)),
    "hidden_size 3 beside weights of 4": (o.simple(main=o.lstm(hidden_size=4)), (("read", 0),)),
    "forty doublings": (_doubling(40), (("limit", 0),)),
    "a key of six bytes": (GOOD + b"\xff\xff\xff\xff\xff\x01\x00", (("unknown-format", 0), ("malformed", 0))),
    "a second graph of no bytes": (GOOD + o.block(7, b""), (("ambiguous", 0),)),
    "type of a tensor that is none": (o.simple(tensors=[o.tensor("B", (1, 24), o.bias(), 1)[:-98] + o.number(2, 99)]), (("malformed", 0), ("read", 0))),
}  # fmt: skip


@pytest.mark.parametrize("row", ONNX)
def test_onnx(row: str, tmp_path: Path) -> None:
    data, allowed = ONNX[row]
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    assert answer(path) in allowed


def _plain(folder: Path) -> Path:
    return with_external(folder)


def _below(folder: Path) -> Path:
    (folder / "sub").mkdir()
    path = with_external(folder, "sub/model.onnx.data")
    shutil.move(folder / "model.onnx.data", folder / "sub" / "model.onnx.data")
    return path


def _hard(folder: Path) -> Path:
    path = with_external(folder)
    shutil.move(folder / "model.onnx.data", folder / "elsewhere")
    os.link(folder / "elsewhere", folder / "model.onnx.data")
    return path


def _link_out(folder: Path) -> Path:
    (folder / "in").mkdir()
    path = with_external(folder / "in")
    shutil.move(folder / "in" / "model.onnx.data", folder / "outside")
    (folder / "in" / "model.onnx.data").symlink_to(folder / "outside")
    return path


def _cache(folder: Path) -> Path:
    (folder / "blobs").mkdir()
    (folder / "snapshot").mkdir()
    path = with_external(folder / "blobs")
    for name in (path.name, "model.onnx.data"):
        (folder / "snapshot" / name).symlink_to(folder / "blobs" / name)
    return folder / "snapshot" / path.name


def _pointer(folder: Path) -> Path:
    path = with_external(folder)
    text = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 120\n"
    (folder / "model.onnx.data").write_bytes(text)
    return path


def _lie(location: str = "model.onnx.data", **keys: object) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / "in").mkdir()
        (folder / "model.onnx.data").write_bytes(bytes(200))
        return with_external(folder / "in", location, **keys)

    return write


EXTERNAL: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "b.bin": (_plain, ("read",)),
    "sub/b.bin": (_below, ("read",)),
    "../b.bin": (_lie("../model.onnx.data"), ("malformed",)),
    "absolute": (_lie("/etc/passwd"), ("malformed",)),
    "no name": (_lie(""), ("malformed",)),
    "sub/../b.bin": (_lie("sub/../model.onnx.data"), ("malformed",)),
    "a symlink that leaves the folder": (_link_out, ("malformed", "io")),
    "a hub's cache": (_cache, ("read",)),
    "a hard link": (_hard, ("read",)),
    "missing": (_lie("missing.data"), ("io", "malformed")),
    "a pointer of git-LFS": (_pointer, ("lfs-pointer",)),
    "offset past the end": (_lie(offset=4096), ("truncated",)),
    "negative offset": (_lie(offset=-4), ("malformed",)),
    "offset 0x40": (_lie(offset="0x18"), ("malformed",)),
    "offset with a space": (_lie(offset=" 24"), ("malformed",)),
    "offset 64abc": (_lie(offset="24abc"), ("malformed",)),
    "length of another shape": (_lie(length=92), ("malformed",)),
    "a pointer into ONNX Runtime": (_lie("*/_ORT_MEM_ADDR_/*"), ("malformed",)),
    "a name of 600 bytes": (_lie("x" * 600), ("malformed",)),
    "a name with NUL": (_lie("model.onnx.data\0"), ("malformed",)),
    "a name with a backslash": (_lie("a\\b"), ("malformed",)),
}


@pytest.mark.parametrize("row", EXTERNAL)
def test_external_data_of_onnx(row: str, tmp_path: Path) -> None:
    write, allowed = EXTERNAL[row]
    kind, rows = answer(write(tmp_path))
    assert kind in allowed
    assert rows == (kind == "read")


class Flat:
    """A TFLite file whose fields are found by their numbers, to be overwritten."""

    def __init__(self, name: str) -> None:
        self.data = bytearray((GRAPHS / name).read_bytes())

    def get(self, at: int, code: str = "I") -> int:
        return int(struct.unpack_from("<" + code, self.data, at)[0])

    def put(self, at: int, value: int, code: str = "I") -> None:
        struct.pack_into("<" + code, self.data, at, value)

    def field(self, table: int, number: int) -> int:
        slot = self.get(table - self.get(table, "i") + 4 + 2 * number, "H")
        assert slot
        return table + slot

    def follow(self, at: int) -> int:
        return at + self.get(at)

    def entry(self, table: int, number: int, k: int = 0) -> int:
        """Table `k` of a vector of tables."""
        return self.follow(self.follow(self.field(table, number)) + 4 + 4 * k)


def _flat(change: Callable[[Flat, int, int], None], name: str = "tf_keras.tflite") -> bytes:
    """The file with something changed; `change` gets the model's table and that of a subgraph."""
    flat = Flat(name)
    top = flat.follow(0)
    change(flat, top, flat.entry(top, 2))
    return bytes(flat.data)


def _buffer_of_bias(flat: Flat, top: int, graph: int) -> int:
    """The place of the buffer's number in the tensor that holds a forget bias."""
    count = flat.get(flat.follow(flat.field(graph, 3)))
    for k in range(count):
        operator = flat.entry(graph, 3, k)
        ins = flat.follow(flat.field(operator, 1))
        if flat.get(ins) >= 20:  # a fused LSTM
            return flat.field(flat.entry(graph, 0, flat.get(ins + 4 + 4 * 13)), 2)
    raise AssertionError("no LSTM")


def _size_outside(flat: Flat, top: int, graph: int) -> None:
    """Every tensor is one dimension longer than its buffer."""
    shape = flat.follow(flat.field(flat.entry(graph, 0, 3), 0))
    flat.put(shape + 4, 1 << 30)


def _inputs(value: int, field: int = 1) -> Callable[[Flat, int, int], None]:
    def change(flat: Flat, top: int, graph: int) -> None:
        flat.put(flat.follow(flat.field(flat.entry(graph, 3), field)) + 4, value, "i")

    return change


def _body(flat: Flat, top: int, graph: int) -> None:
    """A WHILE runs subgraph 99."""
    for k in range(flat.get(flat.follow(flat.field(graph, 3)))):
        operator = flat.entry(graph, 3, k)
        vtable = operator - flat.get(operator, "i")
        if flat.get(vtable, "H") > 12 and flat.get(vtable + 12, "H"):
            options = flat.follow(operator + flat.get(vtable + 12, "H"))
            fields = options - flat.get(options, "i")
            if flat.get(fields, "H") == 8 and flat.get(fields + 6, "H"):
                flat.put(options + flat.get(fields + 6, "H"), 99)
                return
    raise AssertionError("no loop")


TFLITE: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "root offset beyond": (_flat(lambda f, top, g: f.put(0, 1 << 31)), ("truncated",)),
    "root offset of 0": (_flat(lambda f, top, g: f.put(0, 0)), ("malformed", "truncated")),
    "vtable before the file": (_flat(lambda f, top, g: f.put(top, 1 << 30)), ("truncated",)),
    "vtable behind the file": (_flat(lambda f, top, g: f.put(top, -(1 << 30), "i")), ("truncated",)),
    "an odd vtable": (_flat(lambda f, top, g: f.put(top - f.get(top, "i"), 5, "H")), ("malformed",)),
    "2**32 - 1 subgraphs": (_flat(lambda f, top, g: f.put(f.follow(f.field(top, 2)), (1 << 32) - 1)), ("truncated",)),
    "2**32 - 1 tensors": (_flat(lambda f, top, g: f.put(f.follow(f.field(g, 0)), (1 << 32) - 1)), ("truncated",)),
    "2**32 - 1 operators": (_flat(lambda f, top, g: f.put(f.follow(f.field(g, 3)), (1 << 32) - 1)), ("truncated",)),
    "an operator's code of 99": (_flat(lambda f, top, g: f.put(f.follow(f.field(top, 1)), 0)), ("malformed",)),
    "input 9999": (_flat(_inputs(9999)), ("malformed",)),
    "input -2": (_flat(_inputs(-2)), ("malformed",)),
    "output 9999": (_flat(_inputs(9999, 2)), ("malformed",)),
    "buffer 9999": (_flat(lambda f, top, g: f.put(_buffer_of_bias(f, top, g), 9999)), ("malformed",)),
    "subgraph 99": (_flat(_body, "keras.tflite"), ("malformed",)),
    "a shape of 2**30": (_flat(_size_outside), ("malformed",)),
    "a buffer of 2**32 - 1 bytes": (_flat(lambda f, top, g: f.put(f.follow(f.field(f.entry(top, 4, f.get(_buffer_of_bias(f, top, g))), 0)), (1 << 32) - 1)), ("truncated",)),
    "an offset that leads nowhere": (_flat(lambda f, top, g: f.put(f.field(top, 2), 0)), ("malformed",)),
    "eight bytes": (b"\x18\0\0\0TFL3", ("truncated",)),
    "cut short": (_flat(lambda f, top, g: None)[:-600], ("truncated", "malformed")),
}  # fmt: skip


@pytest.mark.parametrize("row", TFLITE)
def test_tflite(row: str, tmp_path: Path) -> None:
    data, allowed = TFLITE[row]
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    assert answer(path)[0] in allowed


def test_tables_of_tflite_that_share_each_other_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vector of 60,000 offsets to one table costs 240 KB; two in each other would be 2**32."""
    monkeypatch.setattr(flatbuffer, "MAX_TABLES", 50)
    path = tmp_path / "model.tflite"
    path.write_bytes((GRAPHS / "keras.tflite").read_bytes())
    assert answer(path) == ("limit", 0)
    monkeypatch.undo()
    monkeypatch.setattr(tflite, "MAX_SCOPES", 1)
    assert answer(path) == ("limit", 0)


NET = (GRAPHS / "openvino.xml").read_bytes().replace(b'<?xml version="1.0"?>', b"")
BIN = (GRAPHS / "openvino.bin").read_bytes()


def _const(old: bytes, new: bytes) -> bytes:
    """The net with something changed in its first constant."""
    at = NET.index(old, NET.index(b'type="Const"'))
    return NET[:at] + NET[at:].replace(old, new, 1)


def _edge() -> bytes:
    start = NET.index(b"<edge ")
    end = NET.index(b"/>", start) + 2
    return NET[:end] + NET[start:end] + NET[end:]


OPENVINO: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "a document type": (b"<!DOCTYPE net [<!ENTITY a 'b'>]>" + NET, ("unsupported",)),
    "a document type from outside": (b'<!DOCTYPE net SYSTEM "file:///etc/passwd">' + NET, ("unsupported",)),
    "an entity bomb": (b"<!DOCTYPE n [<!ENTITY a 'aaaaaaaa'><!ENTITY b '&a;&a;&a;'>]>" + NET.replace(b'name="', b'name="&b;', 1), ("unsupported",)),
    "an entity that nobody declared": (NET.replace(b'name="', b'name="&b;', 1), ("malformed",)),
    "version 7": (NET.replace(b'version="11"', b'version="7"', 1), ("unsupported",)),
    "version x": (NET.replace(b'version="11"', b'version="x"', 1), ("unsupported",)),
    "depth of 80": (NET.replace(b"<edges>", b"<edges>" + b"<a>" * 80), ("limit",)),
    "offset beyond": (_const(b'offset="', b'offset="9999999'), ("truncated",)),
    "offset -4": (_const(b'offset="', b'offset="-'), ("malformed",)),
    "offset of 40 digits": (_const(b'offset="', b'offset="' + b"9" * 40), ("malformed",)),
    "size of another shape": (_const(b'size="', b'size="1'), ("malformed",)),
    "size x": (_const(b'size="', b'size="x'), ("malformed",)),
    "a negative shape": (_const(b'shape="', b'shape="-'), ("malformed",)),
    "a shape of forty axes": (_const(b'shape="', b'shape="' + b"1," * 40), ("malformed",)),
    "another element type": (_const(b'element_type="f16"', b'element_type="f32"'), ("malformed",)),
    "two edges to one port": (_edge(), ("ambiguous",)),
    "no end": (NET.replace(b"</net>", b""), ("malformed",)),
    "another end": (NET.replace(b"</net>", b"</met>"), ("malformed",)),
    "latin-1 without saying so": (NET.replace(b'name="', b'name="\xe9', 1), ("malformed",)),
}  # fmt: skip


@pytest.mark.parametrize("row", OPENVINO)
def test_openvino(row: str, tmp_path: Path) -> None:
    data, allowed = OPENVINO[row]
    assert data != NET
    path = tmp_path / "model.xml"
    path.write_bytes(data)
    path.with_suffix(".bin").write_bytes(BIN)
    assert answer(path)[0] in allowed


POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345678\n"
)


def test_a_pointer_where_the_numbers_should_be(tmp_path: Path) -> None:
    """What git-LFS leaves in a repository is as long as a small bias."""
    path = tmp_path / "model.xml"
    path.write_bytes(NET)
    path.with_suffix(".bin").write_bytes(POINTER * 20)
    assert answer(path) == ("lfs-pointer", 0)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "weight.bin").write_bytes(POINTER * 20)
    (tmp_path / "model.mlmodel").write_bytes(MLMODEL)
    assert answer(tmp_path / "model.mlmodel") == ("lfs-pointer", 0)


def test_the_numbers_of_openvino_that_are_not_there(tmp_path: Path) -> None:
    """The .xml names no file: the neighbour of the same stem is the only one, whole or not."""
    path = tmp_path / "model.xml"
    path.write_bytes(NET)
    (tmp_path / "openvino.bin").write_bytes(BIN)
    assert answer(path)[0] in ("io", "malformed")
    path.with_suffix(".bin").write_bytes(BIN[:100])
    assert answer(path) == ("truncated", 0)
    (tmp_path / "model.bin").unlink()
    (tmp_path / "model.bin").symlink_to(tmp_path / "openvino.bin")
    assert answer(path) == ("read", 4)


def test_sizes_of_openvino_files_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.xml"
    path.write_bytes(NET)
    path.with_suffix(".bin").write_bytes(BIN)
    for limit in ("MAX_SIZE", "MAX_ELEMENTS"):
        with monkeypatch.context() as patched:
            patched.setattr(xml, limit, 50)
            assert answer(path) == ("limit", 0)


def _weight(at: int, code: str, value: int) -> bytes:
    raw = bytearray((PROGRAM / "weights" / "weight.bin").read_bytes())
    for place in range(0, len(raw), 64):
        if raw[place : place + 4] == struct.pack("<I", 0xDEADBEEF):
            struct.pack_into("<" + code, raw, place + at, value)
    return bytes(raw)


MLMODEL = (PROGRAM / "model.mlmodel").read_bytes()
WEIGHTS = (PROGRAM / "weights" / "weight.bin").read_bytes()
NAME = b"@model_path/weights/weight.bin"
COREML: dict[str, tuple[bytes, bytes, tuple[str, ...]]] = {
    "weights above the folder": (MLMODEL.replace(NAME, b"@model_path/weights/../../x.bi"), WEIGHTS, ("malformed",)),
    "weights by an absolute name": (MLMODEL.replace(NAME, b"/etc/passwd/weights/weight.bin"), WEIGHTS, ("malformed",)),
    "weights by another name": (MLMODEL.replace(NAME, b"@model_path/weights/weight.bim"), WEIGHTS, ("malformed",)),
    "a blob's magic number": (MLMODEL, _weight(0, "I", 1), ("malformed",)),
    "a blob's type": (MLMODEL, _weight(4, "I", 99), ("read",)),
    "a blob of 2**60 bytes": (MLMODEL, _weight(8, "Q", 1 << 60), ("truncated",)),
    "a blob of another size": (MLMODEL, _weight(8, "Q", 4), ("malformed",)),
    "a blob beyond the file": (MLMODEL, _weight(16, "Q", 1 << 62), ("truncated",)),
    "weights cut short": (MLMODEL, WEIGHTS[:100], ("truncated",)),
    "two kinds of model": (coreml(layer()) + o.block(403, layer()), b"", ("ambiguous",)),
    "a model after a model": (coreml(layer()) + coreml(layer()), b"", ("ambiguous",)),
    "a gate's vector twice": (coreml(layer(weights=biases() + vector(41, [1.0] * 4))), b"", ("ambiguous",)),
    "a gate of another size": (coreml(layer(weights=biases(f=vector(41, [1.0] * 3)))), b"", ("read",)),
    "a compiled program": (b"program(1.0)\n{}", b"", ("unsupported",)),
    "a compiled network": (b'{"storage": "model.espresso.weights"}', b"", ("unsupported",)),
}  # fmt: skip


@pytest.mark.parametrize("row", COREML)
def test_coreml(row: str, tmp_path: Path) -> None:
    data, weights, allowed = COREML[row]
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "weight.bin").write_bytes(weights)
    path = tmp_path / "model.mlmodel"
    path.write_bytes(data)
    kind, rows = answer(path)
    assert kind in allowed
    assert not rows
