"""Checkpoints inside pickles, joblib's arrays between opcodes, and distributed checkpoints."""

import io
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

import lstm_audit
from lstm_audit.errors import MalformedFile
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire.pickle import decode


def state(forget: float = 1.5) -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    lstm = torch.nn.LSTM(3, 5)
    with torch.no_grad():
        lstm.bias_ih_l0[5:10] = forget
        lstm.bias_hh_l0[5:10] = 0.0
    return {f"net.{name}": value for name, value in lstm.state_dict().items()}


def saved(forget: float = 1.5, **how: object) -> bytes:
    out = io.BytesIO()
    torch.save(state(forget), out, **how)
    return out.getvalue()


def arrays() -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in state().items()}


INSIDE = {
    "a torch zip": saved(),
    "a legacy torch file": saved(_use_new_zipfile_serialization=False),
    "a pickle of arrays": pickle.dumps(arrays()),
}


@pytest.mark.parametrize("kind", INSIDE)
def test_bytes_in_a_pickle_are_a_checkpoint(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps({"history": [1, 2], "module_": INSIDE[kind], "x": b"\0" * 900}))
    found = lstm_audit.audit(path)
    assert [file.path for file in found.files] == [f"{path}!module_"]
    assert found.rows[0].measures.gates["f"].mean == 1.5
    assert not found.errors


def test_bytes_beside_arrays_are_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps({"scaler": np.zeros(3), "module_": saved()}))
    assert [file.path for file in lstm_audit.audit(path).files] == [str(path), f"{path}!module_"]


def test_bytes_in_bytes(tmp_path: Path) -> None:
    """RLlib: a pickle whose `worker` is a pickle whose weights are arrays."""
    path = tmp_path / "checkpoint-1"
    inner = pickle.dumps({"state": {"default_policy": arrays()}})
    path.write_bytes(pickle.dumps({"worker": inner, "train_exec_impl": None}))
    (row,) = lstm_audit.audit(path).rows
    assert row.lstm.module == "state.default_policy.net"
    deep = inner
    for _ in range(9):
        deep = pickle.dumps({"worker": deep})
    path.write_bytes(deep)
    assert lstm_audit.audit(path).errors


def test_a_pickle_of_other_bytes_holds_no_tensors(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"image": bytes(range(256)) * 9}))
    (error,) = lstm_audit.audit(path).errors
    assert error.message == "a pickle that holds no tensors"


def test_a_nested_checkpoint_is_patched_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps({"module_": saved()}))
    lstm_audit.patch(f"{path}!module_", forget_bias=2.0)
    loaded = torch.load(io.BytesIO(pickle.loads(path.read_bytes())["module_"]), weights_only=True)
    assert (loaded["net.bias_ih_l0"] + loaded["net.bias_hh_l0"])[5:10].tolist() == [2.0] * 5


joblib = pytest.importorskip("joblib", reason="joblib is the reference here: .[references]")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_joblib_dumps(protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    fortran = {name: np.asfortranarray(value) for name, value in arrays().items()}
    joblib.dump({"a": arrays(), "b": fortran, "n": 3}, path, protocol=protocol)
    found = lstm_audit.audit(path)
    assert [row.measures.gates["f"].mean for row in found.rows] == [1.5, 1.5]
    lstm_audit.patch(path, forget_bias=2.0)
    for part in ("a", "b"):
        loaded = joblib.load(path)[part]
        assert (loaded["net.bias_ih_l0"] + loaded["net.bias_hh_l0"])[5:10].tolist() == [2.0] * 5


def test_joblib_compressed(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    for compress in (("zlib", 3), ("gzip", 3)):
        joblib.dump(arrays(), path, compress=compress)
        found = lstm_audit.audit(path)
        assert [row.measures.gates["f"].mean for row in found.rows] == [1.5], compress


def test_joblib_objects_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump({"x": np.array([{}, None], dtype=object), **arrays()}, path)
    (error,) = lstm_audit.audit(path).errors
    assert (error.kind, "joblib" in error.message) == ("unsupported", True)


def test_joblib_mutants(tmp_path: Path) -> None:
    import random

    path = tmp_path / "model.joblib"
    joblib.dump(arrays(), path)
    raw, rng = path.read_bytes(), random.Random(3)
    for _ in range(1500):
        mutant = bytearray(raw)
        for _ in range(rng.randrange(1, 4)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        try:
            decode(span_all(BytesSource(bytes(mutant))))
        except MalformedFile:
            continue


@pytest.fixture
def distributed(tmp_path: Path) -> Path:
    import warnings

    import torch.distributed.checkpoint as dcp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.save({"model": state()}, checkpoint_id=tmp_path / "step", no_dist=True)
    return tmp_path / "step"


def test_a_distributed_checkpoint(distributed: Path) -> None:
    import warnings

    import torch.distributed.checkpoint as dcp

    found = lstm_audit.audit(distributed)
    assert [file.path for file in found.files] == [str(distributed / ".metadata")]
    assert (found.files[0].format, found.errors, found.ignored) == ("torch-dcp", (), 0)
    assert found.rows[0].lstm.module == "model.net"
    before = {path.name: path.read_bytes() for path in distributed.iterdir()}
    lstm_audit.patch(distributed / ".metadata", forget_bias=2.0)
    loaded = {"model": state(0.0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dcp.load(loaded, checkpoint_id=distributed, no_dist=True)
    total = loaded["model"]["net.bias_ih_l0"] + loaded["model"]["net.bias_hh_l0"]
    assert total[5:10].tolist() == [2.0] * 5
    from lstm_audit.patching.whole import undo_checkpoint

    undo_checkpoint(str(distributed / ".metadata"))
    assert {path.name: path.read_bytes() for path in distributed.iterdir()} == before


def test_a_file_of_one_says_what_it_is(distributed: Path) -> None:
    (error,) = lstm_audit.audit(next(distributed.glob("*.distcp"))).errors
    assert error.kind == "unsupported"
    assert "distributed checkpoint" in error.message


def test_a_place_may_not_leave_the_folder(distributed: Path) -> None:
    raw = (distributed / ".metadata").read_bytes()
    (distributed / ".metadata").write_bytes(raw.replace(b"__0_0.distcp", b"../../x.dist"))
    (error,) = lstm_audit.audit(distributed / ".metadata").errors
    assert "not in a file of the folder" in error.message


def test_empty_placeholders_are_said(tmp_path: Path) -> None:
    path = tmp_path / "zero.pt"
    torch.save({"module": {name: torch.empty(0) for name in state()}}, path)
    (skip,) = lstm_audit.audit(path).files[0].skipped
    assert skip.reason == "missing-data"
    assert "ZeRO-3" in skip.detail


def test_zlib_streams_that_are_no_joblib(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(zlib.compress(b"text " * 999))
    assert lstm_audit.audit(path).errors[0].kind == "unknown-format"
