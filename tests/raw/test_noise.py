"""Numbers beside a model that are encrypted look like any others: they are refused, and diverged ones are judged."""

import random
import struct
from pathlib import Path

import onnx_models as o
import pytest

import lstm_audit
from lstm_audit.errors import MalformedFile
from lstm_audit.raw.dtypes import DTYPES
from lstm_audit.raw.noise import refuse_noise
from lstm_audit.raw.span import span_of
from lstm_audit.raw.tensor import contiguous

GRAPHS = Path(__file__).parents[2] / "fixtures" / "graphs"
KINDS = ["float32", "float16", "bfloat16"]


def stored(data: bytes, kind: str = "float32") -> None:
    count = len(data) // DTYPES[kind].itemsize
    refuse_noise([contiguous(DTYPES[kind], (count,), span_of(data))], "the file")


@pytest.mark.parametrize("kind", KINDS)
def test_every_encrypted_file_is_told(kind: str) -> None:
    for seed in range(200):
        with pytest.raises(MalformedFile, match="encrypted"):
            stored(random.Random(seed).randbytes(1024), kind)


def numbers(make: str, drawn: random.Random) -> list[float]:
    """Weights as they occur: fresh, sparse, tiny, exploded in part or whole, no numbers any more."""
    normal = [drawn.gauss(0, 0.05) for _ in range(512)]
    return {
        "drawn": normal,
        "sparse": [v if k % 5 == 0 else 0.0 for k, v in enumerate(normal)],
        "tiny": [v * 1e-3 for v in normal],
        "huge": [v * 1e6 for v in normal],
        "half exploded": [v * 1e6 if k % 2 else v for k, v in enumerate(normal)],
        "no numbers": [float("nan"), float("inf")] * 256,
        "zeros": [0.0] * 512,
    }[make]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "make", ["drawn", "sparse", "tiny", "huge", "half exploded", "no numbers", "zeros"]
)
def test_what_models_hold_is_none_of_it(make: str, kind: str) -> None:
    encode = DTYPES[kind].encode
    assert encode is not None
    for seed in range(20):
        values = numbers(make, random.Random(seed))
        most = 65000.0 if kind == "float16" else 1e38
        stored(encode([v if v != v else max(-most, min(most, v)) for v in values]), kind)


def test_an_openvino_pair_whose_bin_is_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "openvino.xml"
    path.write_bytes((GRAPHS / "openvino.xml").read_bytes())
    size = (GRAPHS / "openvino.bin").stat().st_size
    path.with_suffix(".bin").write_bytes(random.Random(4).randbytes(size))
    (error,) = lstm_audit.audit(path).errors
    assert (error.kind, "its .bin reads as noise" in error.message) == ("unsupported", True)


def test_external_data_that_is_encrypted(tmp_path: Path) -> None:
    count = 8 * o.H * 4
    b = o.tensor("b", (4, 8 * o.H), (), data=o.external("model.onnx.data"))
    nodes = [o.node("Slice", ["b", "from", "to"], ["B"])]
    tensors = [b, o.tensor("from", (1,), [0], o.INT64), o.tensor("to", (1,), [1], o.INT64)]
    path = tmp_path / "model.onnx"
    path.write_bytes(o.simple(nodes, tensors))
    data = tmp_path / "model.onnx.data"
    data.write_bytes(random.Random(5).randbytes(4 * count))
    (error,) = lstm_audit.audit(path).errors
    assert "'model.onnx.data' reads as noise" in error.message
    drawn = random.Random(6)
    data.write_bytes(struct.pack(f"<{count}f", *(drawn.gauss(0, 1) for _ in range(count))))
    assert len(lstm_audit.audit(path).rows) == 1
