"""OpenVINO's CPU plugin as the judge of a net whose .bin was patched."""

from pathlib import Path

import numpy as np
import onnx_models as o
import pytest

import lstm_audit

ov = pytest.importorskip("openvino", reason="needs openvino: the extra `references`")


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
def test_the_plugin_agrees(half: bool, directions: int, tmp_path: Path) -> None:
    source, path = tmp_path / "model.onnx", tmp_path / "model.xml"
    source.write_bytes(o.simple(directions=directions))
    ov.save_model(ov.convert_model(str(source)), str(path), compress_to_fp16=half)
    near = 2e-3 if half else 1e-5
    rows = lstm_audit.audit(path).rows
    kept = measured(path, directions)
    for row, unit in zip(rows, kept, strict=True):
        assert row.measures.activation.min == pytest.approx(unit.min(), abs=near)
        assert row.measures.activation.max == pytest.approx(unit.max(), abs=near)
    lstm_audit.patch(path, activation=0.9)
    assert measured(path, directions) == pytest.approx(np.full((directions, o.H), 0.9), abs=near)


def measured(path: Path, directions: int) -> np.ndarray:
    """c after one step at x = 0, h = 0 from c = 1, less that from c = 0."""
    core = ov.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    net = core.compile_model(core.read_model(str(path)), "CPU")
    states = (directions, 1, o.H)
    zeros = {
        "X": np.zeros((1, 1, o.I), "f4"),
        "h0": np.zeros(states, "f4"),
        "c0": np.zeros(states, "f4"),
    }
    high = np.array(next(iter(net({**zeros, "c0": zeros["c0"] + 1}).values())))
    low = np.array(next(iter(net(zeros).values())))
    return (high - low).reshape(directions, -1)
