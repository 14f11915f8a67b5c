"""silero-vad's six models, as its package on PyPI carries them: LSTMs in branches, biases by slices, cells without
an operator. One network in six forms: what it forgets is the same in all of them."""

import importlib.util
from pathlib import Path

import pytest

import lstm_audit
from lstm_audit.pipeline import audit_file

found = importlib.util.find_spec("silero_vad")
if found is None or found.origin is None:
    pytest.skip("needs its models: pip install --no-deps silero-vad", allow_module_level=True)

FILES = sorted((Path(found.origin).parent / "data").glob("*.onnx"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_model_is_judged_and_patched(path: Path, tmp_path: Path) -> None:
    audit = audit_file(str(path))
    assert not audit.skipped
    assert {row.lstm.hidden_size for row in audit.rows} == {128}
    means = [row.measures.gates["f"].mean for row in audit.rows]
    near = 0.03 if "half" in path.stem else 1e-4
    assert any(abs(mean - 0.2755) < near for mean in means), means
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    lstm_audit.patch(copy, forget_bias=1.0)
    assert {row.measures.gates["f"].mean for row in audit_file(str(copy)).rows} == {1.0}


def test_all_six_are_there() -> None:
    assert len(FILES) >= 6
