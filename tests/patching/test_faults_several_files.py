"""A patch of several files, killed or failed at each of its calls: a TensorFlow checkpoint, whose
checksums lie in another file than the numbers, and shards of safetensors and of Keras.

After any fault the same command completes the patch, and undo gives back the very first bytes; until
then an audit says what happened, or gives the old numbers or the new ones, never a mixture.
"""

import json
import os
import random
import shutil
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from bundles import cell, saved
from safetensors.torch import save_file
from taps import Tap, act_in_child

import lstm_audit
from lstm_audit.interrupted import MARKER_TAIL
from lstm_audit.patching.whole import undo_checkpoint

WISH = 1.5
FAULTS = ("EIO", "ENOSPC", "kill before", "kill after")


def bundle(folder: Path) -> Path:
    return saved(folder / "weights", cell(0.25))


def shards(folder: Path) -> Path:
    """The two halves of each bias in different files."""
    torch.manual_seed(3)
    state = dict(torch.nn.LSTM(2, 3).state_dict())
    homes = {name: f"model-{1 + ('hh' in name)}-of-2.safetensors" for name in state}
    for home in sorted(set(homes.values())):
        save_file({n: t for n, t in state.items() if homes[n] == home}, folder / home)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    return index


def keras_shards(folder: Path) -> Path:
    """Two LSTMs in different files, the bias of one in another than its kernels."""
    h5py = pytest.importorskip("h5py", reason="h5py, which writes, is in the extra `references`")
    rng = random.Random(2)
    sizes = {"0": (2, 12), "1": (3, 12), "2": (12,)}
    homes = {"lstm/0": 0, "lstm/1": 0, "lstm/2": 1, "lstm_1/0": 0, "lstm_1/1": 0, "lstm_1/2": 0}
    files = [f"w_0000{k}.weights.h5" for k in (0, 1)]
    for k, file in enumerate(files):
        with h5py.File(folder / file, "w") as out:
            for place in (place for place, home in homes.items() if home == k):
                layer, _, number = place.partition("/")
                values = [rng.uniform(-0.3, 0.3) for _ in range(prod(sizes[number]))]
                made = out.create_dataset(f"layers/{layer}/cell/vars/{number}", sizes[number], "f4")
                made[...] = (
                    [values[at : at + 12] for at in range(0, len(values), 12)]
                    if (number != "2")
                    else values
                )
    index = folder / "w.weights.json"
    names = {"/layers/lstm/cell/vars": files, "/layers/lstm_1/cell/vars": files[:1]}
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": names}))
    return index


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def models(folder: Path, names: set[str]) -> dict[str, bytes]:
    return {name: raw for name, raw in contents(folder).items() if name in names}


def patch(index: Path, in_place: bool) -> None:
    lstm_audit.patch(index, forget_bias=WISH, in_place=in_place)


def forget(index: Path) -> float | None:
    """The forget bias that an audit gives; None where it says that a patch was interrupted."""
    found = lstm_audit.audit(index)
    if found.errors:
        assert {error.kind for error in found.errors} == {"interrupted-patch"}, found.errors
        return None
    return float(found.rows[0].measures.gates["f"].mean)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("make", [bundle, shards, keras_shards])
def test_every_call_can_fail(make: Callable[[Path], Path], in_place: bool, tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    index = make(first)
    old = contents(first)
    was = forget(index)
    tap = Tap()
    with pytest.MonkeyPatch.context() as patcher:
        tap.install(patcher)
        patch(index, in_place)
    new = models(first, set(old))
    assert new != old
    seen = set()
    for at in range(len(tap.names)):
        for fault in FAULTS:
            folder = tmp_path / "again"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name, raw in old.items():
                (folder / name).write_bytes(raw)
            there = folder / index.name
            code = act_in_child(lambda there=there: patch(there, in_place), Tap(at, fault))
            assert code in (0, 1, -9), (at, tap.names[at], fault)
            held = forget(there)
            seen.add(held if held is None else round(held, 3))
            assert held is None or held in (pytest.approx(was), pytest.approx(WISH)), (at, fault)
            if held is not None:
                assert models(folder, set(old)) in (old, new), (at, tap.names[at], fault)
            if models(folder, set(old)) != new:
                patch(there, in_place)
            assert models(folder, set(old)) == new, (at, tap.names[at], fault)
            undo_checkpoint(str(there))
            assert models(folder, set(old)) == old, (at, tap.names[at], fault)
    assert {round(was, 3), WISH} <= seen


def test_an_interruption_while_the_marker_is_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes during the call, and is raised when it returns."""
    index, make = shards(tmp_path), os.open
    before = contents(tmp_path)

    def interrupted(name: str, flags: int, *more: int) -> int:
        fd = make(name, flags, *more)
        if name.endswith(MARKER_TAIL):
            os.close(fd)
            raise KeyboardInterrupt
        return fd

    monkeypatch.setattr(os, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        patch(index, in_place=False)
    assert contents(tmp_path) == before
