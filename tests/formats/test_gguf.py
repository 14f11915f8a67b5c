"""GGUF, held against the package that reads and writes it."""

import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lstm_audit
from lstm_audit.errors import AuditError

H, IN, ALIGNED = 5, 3, 32


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def packed(arrays: dict[str, np.ndarray], settings: bytes = b"", count: int = 0) -> bytes:
    """GGUF of version 3 (ggml/docs/gguf.md), float32 alone."""
    out = b"GGUF" + struct.pack("<IQQ", 3, len(arrays), count) + settings
    at, block = 0, b""
    for name, array in arrays.items():
        out += text(name) + struct.pack("<I", array.ndim)
        out += struct.pack(f"<{array.ndim}Q", *reversed(array.shape)) + struct.pack("<IQ", 0, at)
        block += array.astype("<f4").tobytes()
        block += bytes(-len(block) % ALIGNED)
        at = len(block)
    return out + bytes(-len(out) % ALIGNED) + block


def cell(forget: float = 0.75) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    bias = np.zeros(4 * H)
    bias[H : 2 * H] = forget
    return {
        "vad.lstm.weight_ih_l0": rng.normal(0, 0.3, (4 * H, IN)),
        "vad.lstm.weight_hh_l0": rng.normal(0, 0.3, (4 * H, H)),
        "vad.lstm.bias_ih_l0": bias,
        "vad.lstm.bias_hh_l0": np.zeros(4 * H),
    }


SETTINGS = (
    text("general.alignment") + struct.pack("<II", 4, ALIGNED)
    + text("a.list") + struct.pack("<IIQ", 9, 8, 2) + text("x") + text("y")
    + text("lists") + struct.pack("<IIQ", 9, 9, 1) + struct.pack("<IQ", 5, 2) + bytes(8)
    + text("flag") + struct.pack("<IB", 7, 1)
)  # fmt: skip


def test_an_lstm_under_torch_names(tmp_path: Path) -> None:
    path = tmp_path / "vad.gguf"
    path.write_bytes(packed(cell(), SETTINGS, 4))
    (row,) = lstm_audit.audit(path).rows
    assert (row.lstm.address, row.measures.gates["f"].mean) == ("vad.lstm:l0", 0.75)
    before = path.read_bytes()
    lstm_audit.patch(path, forget_bias=1.5)
    (row,) = lstm_audit.audit(path).rows
    assert (row.measures.gates["f"].min, row.measures.gates["f"].max) == (1.5, 1.5)
    assert sum(a != b for a, b in zip(before, path.read_bytes(), strict=True)) <= 4 * H * 2


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"lmgg" + bytes(40), "convert it to GGUF"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 0), "are claimed"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<I", 77), "type 77"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + text("k") + struct.pack("<IIQ", 9, 10, 1 << 61), "are needed"),
        (packed(cell()).replace(b"bias_hh", b"bias_ih"), "twice"),
        (packed(cell())[:-200], "are needed"),
    ],
)  # fmt: skip
def test_lies_are_refused(raw: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(raw)
    (error,) = lstm_audit.audit(path).errors
    assert message in error.message


def test_lists_in_lists_end(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    nested = text("k") + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 5000
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + nested)
    (error,) = lstm_audit.audit(path).errors
    assert "a setting of type 9" in error.message


def test_mutants_are_answered(tmp_path: Path) -> None:
    rng, seed, path = random.Random(3), packed(cell(), SETTINGS, 4), tmp_path / "victim.gguf"
    for _ in range(400):
        raw = bytearray(seed)
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw) // 2)] = rng.randrange(256)
        path.write_bytes(bytes(raw))
        try:
            lstm_audit.audit(path)
        except AuditError as error:
            pytest.fail(error.message)


def written(path: Path, arrays: dict[str, Any], **how: Any) -> Path:
    gguf = pytest.importorskip("gguf", reason="gguf is the reference here: .[references]")
    writer = gguf.GGUFWriter(path, "vad", **how)
    writer.add_string("general.name", "a test")
    writer.add_array("tokens", ["a", "b"])
    writer.add_uint32("vad.size", 3)
    for name, array in arrays.items():
        kind = {"raw_dtype": array[1]} if isinstance(array, tuple) else {}
        writer.add_tensor(name, array[0] if kind else array, **kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(path: Path) -> dict[str, np.ndarray]:
    import gguf

    return {tensor.name: tensor.data for tensor in gguf.GGUFReader(path).tensors}


@pytest.mark.parametrize("kind", ["f4", "f2", "f8"])
def test_what_the_writer_writes(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / "a.gguf", {n: a.astype(kind) for n, a in cell().items()})
    (row,) = lstm_audit.audit(path).rows
    assert row.measures.gates["f"].mean == 0.75
    lstm_audit.patch(path, forget_bias=1.25)
    there = stored(path)
    total = there["vad.lstm.bias_ih_l0"].astype("f8") + there["vad.lstm.bias_hh_l0"].astype("f8")
    assert total[H : 2 * H].tolist() == [1.25] * H
    assert not total[:H].any()
    assert not total[2 * H :].any()


def test_bfloat16(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="gguf is the reference here: .[references]")
    kind = gguf.GGMLQuantizationType.BF16
    halves = {n: (gguf.quantize(a.astype("f4"), kind), kind) for n, a in cell().items()}
    path = written(tmp_path / "a.gguf", halves)
    (row,) = lstm_audit.audit(path).rows
    assert (row.lstm.dtype, row.measures.gates["f"].mean) == ("bfloat16", 0.75)


def test_the_other_byte_order(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="gguf is the reference here: .[references]")
    arrays = {n: a.astype("f4") for n, a in cell().items()}
    path = written(tmp_path / "a.gguf", arrays, endianess=gguf.GGUFEndian.BIG)
    (row,) = lstm_audit.audit(path).rows
    assert row.measures.gates["f"].mean == 0.75


@pytest.mark.parametrize("bias", [False, True])
def test_quantised_tensors(bias: bool, tmp_path: Path) -> None:
    """Of a weight nothing but the shape is asked; a quantised bias cannot be judged."""
    gguf = pytest.importorskip("gguf", reason="gguf is the reference here: .[references]")
    kind, rng = gguf.GGMLQuantizationType.Q8_0, np.random.default_rng(2)

    def quantised(array: np.ndarray) -> Any:
        return gguf.quantize(array.astype("f4"), kind), kind

    ones = np.ones(128, "f4")
    arrays: dict[str, Any] = {
        "lstm.weight_ih_l0": quantised(rng.normal(size=(128, 32))),
        "lstm.weight_hh_l0": quantised(rng.normal(size=(128, 32))),
        "lstm.bias_ih_l0": quantised(ones) if bias else ones,
        "lstm.bias_hh_l0": ones,
    }
    (file,) = lstm_audit.audit(written(tmp_path / "a.gguf", arrays)).files
    assert [row.measures.gates["f"].mean for row in file.rows] == ([] if bias else [2.0])
    assert [skip.reason for skip in file.skipped] == (["unsupported-dtype"] if bias else [])


def test_numbered_gates(tmp_path: Path) -> None:
    """TTS.cpp's kokoro: `biases.2` and `biases.3` are the two halves of f."""
    rng = np.random.default_rng(5)
    state = {}
    for way, forget in (("", 0.5), ("reverse_", 0.25)):
        for k in range(8):
            width = H if k % 2 else IN
            state[f"kokoro.text_encoder.lstm.0.{way}weights.{k}"] = rng.normal(size=(H, width))
            half = np.full(H, forget if k in (2, 3) else 0.0)
            state[f"kokoro.text_encoder.lstm.0.{way}biases.{k}"] = half
    path = tmp_path / "kokoro.gguf"
    path.write_bytes(packed(state))
    rows = lstm_audit.audit(path).rows
    assert [(row.lstm.address, row.measures.gates["f"].mean) for row in rows] == [
        ("kokoro.text_encoder.lstm:l0", 1.0),
        ("kokoro.text_encoder.lstm:l0:reverse", 0.5),
    ]
