"""numpy's archives, held against numpy itself."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import lstm_audit
from lstm_audit.errors import MalformedFile
from lstm_audit.lstm.find import find_lstms
from lstm_audit.pipeline import open_checkpoint
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire import npy


def saved(array: np.ndarray) -> bytes:
    made = io.BytesIO()
    np.save(made, array, allow_pickle=True)
    return made.getvalue()


def state(**more: object) -> dict[str, np.ndarray]:
    torch.manual_seed(3)
    lstm = torch.nn.LSTM(3, 5, num_layers=2, bidirectional=True)
    return {f"enc.{name}": value.numpy() for name, value in lstm.state_dict().items()}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_numbers_are_those_of_the_state_dict(save, tmp_path: Path) -> None:
    arrays = state()
    save(tmp_path / "model.npz", **arrays)
    found = lstm_audit.audit(tmp_path / "model.npz")
    assert found.files[0].format == "npz"
    assert [row.measures for row in found.rows] == [
        row.measures for row in lstm_audit.audit(arrays).rows
    ]
    assert len(found.rows) == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.astype(">f4"),
        lambda a: a.astype("<f8"),
        np.asfortranarray,
        lambda a: a.astype("f2").astype("f4"),
    ],
)
def test_order_and_layout(change, tmp_path: Path) -> None:
    arrays = {name: change(value) for name, value in state().items()}
    np.savez(tmp_path / "model.npz", **arrays)
    found = lstm_audit.audit(tmp_path / "model.npz")
    native = {
        name: np.ascontiguousarray(a, a.dtype.newbyteorder("=")) for name, a in arrays.items()
    }
    assert [r.measures for r in found.rows] == [r.measures for r in lstm_audit.audit(native).rows]


def test_a_stored_array_is_patched_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, **state())
    before = path.read_bytes()
    lstm_audit.patch(path, forget_bias=1.0)
    loaded = np.load(path)  # its CRCs are checked
    total = loaded["enc.bias_ih_l0"] + loaded["enc.bias_hh_l0"]
    assert (total[5:10] == 1.0).all()
    assert len(path.read_bytes()) == len(before)
    np.savez_compressed(path, **state())
    with pytest.raises(lstm_audit.AuditError):
        lstm_audit.patch(path, forget_bias=1.0)


def test_objects_are_never_decoded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "RAN",))

    arrays = state() | {"config": np.array([Bomb()], dtype=object)}
    np.savez(tmp_path / "model.npz", **arrays)
    found = lstm_audit.audit(tmp_path / "model.npz")
    assert len(found.rows) == 4
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros(()),
        np.zeros((0, 3)),
        np.zeros((2, 3, 4), "i2"),
        np.asfortranarray(np.zeros((2, 3))),
    ],
)
def test_headers_are_those_that_numpy_reads(array: np.ndarray) -> None:
    header = npy.read_header(span_all(BytesSource(saved(array))))
    assert header is not None
    assert header.shape == array.shape
    assert np.dtype(header.descr) == array.dtype
    assert header.elements.read() == array.tobytes("A")


def headed(text: bytes) -> bytes:
    return npy.MAGIC + b"\1\0" + len(text).to_bytes(2, "little") + text


def test_a_header_is_never_evaluated() -> None:
    assert npy.read_header(span_all(BytesSource(headed(b"__import__('os').abort()")))) is None
    huge = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"9" * 41 + b",), }"
    with pytest.raises(MalformedFile, match="beyond any file"):
        npy.read_header(span_all(BytesSource(headed(huge))))


def test_a_header_without_end_is_refused() -> None:
    with pytest.raises(MalformedFile):
        npy.read_header(span_all(BytesSource(npy.MAGIC + b"\2\0" + b"\xff" * 4)))


def test_only_what_is_asked_for_is_inflated(tmp_path: Path) -> None:
    """Ten weights of 25 MB stand beside the LSTM: together they are beyond any budget."""
    path = tmp_path / "model.npz"
    big = {f"emb.{k}.weight": np.zeros((2500, 2500), "f4") for k in range(10)}
    np.savez_compressed(path, **big, **state())
    with open_checkpoint(str(path)) as file:
        before = file.sources[0].budget.held
        assert len(find_lstms(file.checkpoint).lstms) == 4
        assert before - file.sources[0].budget.held < 1 << 20
    assert len(lstm_audit.audit(path).rows) == 4


def test_a_long_header_is_read_span_all(tmp_path: Path) -> None:
    """numpy pads headers; another writer may pad them further than is read at first."""
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1500,), }" + b" " * 900 + b"\n"
    raw = npy.MAGIC + b"\1\0" + len(text).to_bytes(2, "little") + text + bytes(6000)
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", raw)
    with open_checkpoint(str(path)) as file:
        assert file.checkpoint.tensors["x"].shape == (1500,) == np.load(path)["x"].shape
