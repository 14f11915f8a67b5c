"""Keras files patched: h5py and zipfile read back what was wished, nothing else changed, undo gives
the same bytes.
"""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from command import run

import lstm_audit
from lstm_audit.errors import NotPatchable
from lstm_audit.patching.undo import undo
from lstm_audit.pipeline import audit_file

KERAS = Path(__file__).parents[2] / "fixtures" / "keras"
WISH = 1.75
PATCHED = {
    "named.h5": 4, "named_3.h5": 2, "cudnn.h5": 1, "keras_1.h5": 1, "convolutions.h5": 3, "peepholes.h5": 4,
    "numbered.weights.h5": 6, "newest_format.weights.h5": 6, "archive.keras": 6, "dtypes.weights.h5": 4,
    "elmo.hdf5": 4, "clstm.hdf5": 2,
}  # fmt: skip


def copied(name: str, folder: Path) -> Path:
    return Path(shutil.copy(KERAS / name, folder / name))


def arrays(path: Path) -> dict[str, Any]:
    """Every dataset's values as h5py reads them, from an archive too; the CRCs are checked."""
    h5py = pytest.importorskip(
        "h5py", reason="h5py, which reads back, is in the extra `references`"
    )
    data = path.read_bytes()
    if data[:2] == b"PK":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            data = archive.read("model.weights.h5")
    found = {}
    with h5py.File(io.BytesIO(data)) as file:
        file.visititems(
            lambda name, item: (
                found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


@pytest.mark.parametrize("in_place", [False, True], ids=["replace", "in-place"])
@pytest.mark.parametrize("name", sorted(PATCHED))
def test_every_forget_gate_gets_its_bias_and_nothing_else_changes(
    tmp_path: Path, name: str, in_place: bool
) -> None:
    path = copied(name, tmp_path)
    before, old = path.read_bytes(), arrays(path)
    patched = lstm_audit.patch(path, forget_bias=WISH, in_place=in_place)
    assert patched.changed
    rows = audit_file(str(path)).rows
    assert [row.measures.gates["f"][2:] for row in rows] == [(WISH,) * 5] * PATCHED[name]
    new = arrays(path)
    biases = {tensor.partition("[")[0] for row in rows for tensor in row.lstm.bias_tensors}
    for tensor, values in new.items():
        if tensor.removeprefix("model_weights/") not in biases:
            assert values.tobytes() == old[tensor].tobytes(), tensor
    assert len(path.read_bytes()) == len(before)
    undo(str(path))
    assert path.read_bytes() == before


def test_the_patched_elements_are_the_forget_gates(tmp_path: Path) -> None:
    import numpy as np

    path = copied("numbered.weights.h5", tmp_path)
    old = arrays(path)
    lstm_audit.patch(path, forget_bias=WISH, layers=["layers/lstm_10"])
    new = arrays(path)
    wanted = old["layers/lstm_10/cell/vars/2"].copy()
    wanted[4:8] = WISH
    assert np.array_equal(new["layers/lstm_10/cell/vars/2"], wanted)
    assert all(
        np.array_equal(new[name], old[name])
        for name in new
        if not name.startswith("layers/lstm_10/cell")
    )


def test_activations_are_wished_through_the_gates_own_function(tmp_path: Path) -> None:
    """0.9 is 2.197 under a sigmoid, 2 under the hard one of Keras 2, 2.4 under that of Keras 3."""
    for name, wanted in (("convolutions.h5", 2.0), ("named_3.h5", 2.4)):
        path = copied(name, tmp_path)
        lstm_audit.patch(path, activation=0.9)
        row = audit_file(str(path)).rows[0]
        assert row.measures.gates["f"].mean == pytest.approx(wanted, abs=1e-6)
        assert row.measures.activation.mean == pytest.approx(0.9, abs=1e-6)


def test_a_shift_and_a_preset(tmp_path: Path) -> None:
    path = copied("elmo.hdf5", tmp_path)
    before = [row.measures.gates["f"].mean for row in audit_file(str(path)).rows]
    lstm_audit.patch(path, shift=1)
    after = [row.measures.gates["f"].mean for row in audit_file(str(path)).rows]
    assert after == pytest.approx([mean + 1 for mean in before], abs=1e-6)
    path = copied("cudnn.h5", tmp_path)
    lstm_audit.patch(path, init="chrono:20")
    assert 0 < audit_file(str(path)).rows[0].measures.gates["f"].min < 3


@pytest.mark.parametrize("place", ["ih", "hh", "split"])
def test_the_two_halves_of_one_tensor_are_written_apart(tmp_path: Path, place: Any) -> None:
    path = copied("cudnn.h5", tmp_path)
    lstm_audit.patch(path, forget_bias=WISH, place=place)
    bias = arrays(path)["rnn_1/rnn_1/bias:0"].reshape(8, 4)
    last = WISH / 2 * 2.0**-23  # by which a split is known from a value written twice
    split = (WISH / 2 + last, WISH / 2 - last)
    parts = {"ih": (WISH, 0), "hh": (0, WISH), "split": split}[place]
    assert (bias[1] == parts[0]).all()
    assert (bias[5] == parts[1]).all()


@pytest.mark.parametrize("name", ["chunked", "compact", "summed"])
def test_plain_chunks_compact_data_and_checksums_are_patched(tmp_path: Path, name: str) -> None:
    path = copied("stored_otherwise.h5", tmp_path)
    lstm_audit.patch(path, forget_bias=WISH, layers=[f"{name}/{name}"])
    assert (arrays(path)[f"{name}/{name}/bias:0"][4:8] == WISH).all()


def test_what_is_compressed_is_judged_only(tmp_path: Path) -> None:
    path = copied("stored_otherwise.h5", tmp_path)
    before = path.read_bytes()
    with pytest.raises(NotPatchable, match="no place in the file"):
        lstm_audit.patch(path, forget_bias=WISH)
    assert path.read_bytes() == before


def test_an_archive_inside_an_archive(tmp_path: Path) -> None:
    """Two CRC-32s lie over the inner HDF5 file, and both follow."""
    outer = tmp_path / "models.zip"
    with zipfile.ZipFile(outer, "w") as out:
        out.write(KERAS / "archive.keras", "best/model.keras")
        out.write(KERAS / "named.h5", "old.h5")
    before = outer.read_bytes()
    for inside in ("best/model.keras", "old.h5"):
        lstm_audit.patch(f"{outer}!{inside}", forget_bias=WISH, in_place=True)
    with zipfile.ZipFile(outer) as archive:
        assert archive.testzip() is None
        (tmp_path / "inner.keras").write_bytes(archive.read("best/model.keras"))
        (tmp_path / "inner.h5").write_bytes(archive.read("old.h5"))
    arrays(tmp_path / "inner.keras")
    for name in ("inner.keras", "inner.h5"):
        assert {row.measures.gates["f"].mean for row in audit_file(str(tmp_path / name)).rows} == {
            WISH
        }
    undo(str(outer), mode="in-place")
    undo(str(outer), mode="in-place")
    assert outer.read_bytes() == before


def test_by_the_command(tmp_path: Path) -> None:
    path = copied("archive.keras", tmp_path)
    done = run("patch", str(path), "--forget-bias", "1.5")
    assert done.exit_code == 0, done.output
    report = json.loads(run("audit", "--format", "json", str(path)).stdout)
    assert {lstm["gates"]["f"]["mean"] for lstm in report["files"][0]["lstms"]} == {1.5}
    assert run("undo", str(path)).exit_code == 0
    assert path.read_bytes() == (KERAS / "archive.keras").read_bytes()


def test_a_patch_of_what_stands_there_changes_nothing(tmp_path: Path) -> None:
    path = copied("numbered.weights.h5", tmp_path)
    lstm_audit.patch(path, forget_bias=WISH)
    before = path.read_bytes()
    assert not lstm_audit.patch(path, forget_bias=WISH).changed
    assert path.read_bytes() == before


def test_diff_of_two_keras_files(tmp_path: Path) -> None:
    path = copied("named.h5", tmp_path)
    lstm_audit.patch(path, forget_bias=WISH, layers=["first/first"])
    done = run("diff", str(KERAS / "named.h5"), str(path), "--fail-on-change")
    assert done.exit_code == 1, done.output
    assert "first/first" in done.stdout
