"""torch 0.1's tar and torch.package, held against the loaders that torch still has for them."""

import random
import subprocess
import sys
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
import writers
from torch import nn
from torch.package import PackageExporter, PackageImporter

import lstm_audit
from lstm_audit.errors import AuditError
from lstm_audit.pipeline import audit_file

KINDS = [torch.float32, torch.float64, torch.float16]


def drawn(rng: random.Random) -> nn.LSTM:
    """An LSTM of any form and dtype."""
    torch.manual_seed(rng.randrange(1 << 30))
    size = rng.randrange(2, 7)
    return nn.LSTM(
        rng.randrange(1, 5), size, rng.randrange(1, 4),
        bidirectional=rng.random() < 0.5, proj_size=rng.choice((0, 1)), bias=rng.random() < 0.9,
    ).to(rng.choice(KINDS))  # fmt: skip


def loaded(path: Path) -> Any:
    """What torch makes of it; only a path makes it look for a tar."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(path, weights_only=False)


def undo(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lstm_audit", "undo", path], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


def forget(module: nn.LSTM) -> list[list[float]]:
    """The effective forget bias of each layer and direction, in torch's own order."""
    size, state = module.hidden_size, module.state_dict()
    found = []
    for name in state:
        if name.startswith("weight_ih"):
            halves = (state.get(name.replace("weight", kind).replace("ih", half, 1))
                      for kind in ("bias",) for half in ("ih", "hh"))  # fmt: skip
            parts = [half[size : 2 * size].double() for half in halves if half is not None]
            found.append(sum(parts, torch.zeros(size, dtype=torch.float64)).tolist())
    return found


def units(path: Path) -> list[list[float]]:
    rows = lstm_audit.audit(path, units=True).rows
    return [list(row.units.bias["f"]) for row in rows]


def near(a: list[list[float]], b: list[list[float]]) -> bool:
    return len(a) == len(b) and all(
        x == pytest.approx(y, abs=1e-6) for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize("seed", range(25))
def test_a_tar_is_what_torch_load_reads(seed: int, tmp_path: Path) -> None:
    module, path = drawn(random.Random(seed)), tmp_path / "model.pt"
    state = OrderedDict((f"enc.{name}", value) for name, value in module.state_dict().items())
    path.write_bytes(writers.tar_era({"epoch": 3, "model": state, "loss": [1.5]}))
    there = loaded(path)["model"]
    assert all(torch.equal(there[name], value) for name, value in state.items())
    found = lstm_audit.audit(path)
    assert found.files[0].format == "torch-tar"
    assert near(units(path), forget(module))


@pytest.mark.parametrize("in_place", [False, True])
def test_a_tar_is_patched_and_torch_loads_it(in_place: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.manual_seed(1)
    path.write_bytes(writers.tar_era(nn.LSTM(3, 4, 2, bidirectional=True).state_dict()))
    before = path.read_bytes()
    lstm_audit.patch(path, forget_bias=1.5, in_place=in_place)
    state = loaded(path)
    for end in ("l0", "l1", "l0_reverse", "l1_reverse"):
        assert ((state[f"bias_ih_{end}"] + state[f"bias_hh_{end}"])[4:8] == 1.5).all()
    assert len(before) == len(path.read_bytes())
    undo(path)
    assert path.read_bytes() == before


def test_views_of_one_storage(tmp_path: Path) -> None:
    """cuDNN's flat weights: every tensor a part of one storage."""
    path, module = tmp_path / "model.pt", nn.LSTM(3, 4)
    flat = torch.cat([value.flatten() for value in module.state_dict().values()])
    state, at = {}, 0
    for name, value in module.state_dict().items():
        state[name] = flat[at : at + value.numel()].view(value.shape)
        at += value.numel()
    path.write_bytes(writers.tar_era(state))
    assert near(units(path), forget(module))
    lstm_audit.patch(path, forget_bias=2.0)
    there = loaded(path)
    assert ((there["bias_ih_l0"] + there["bias_hh_l0"])[4:8] == 2).all()


def test_what_a_tar_would_import_is_said(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "RAN",)

    path = tmp_path / "model.pt"
    path.write_bytes(writers.tar_era({"x": Bomb(), "lstm": nn.LSTM(3, 4).state_dict()}))
    found = lstm_audit.audit(path)
    assert found.rows
    assert "LA901" in {finding.code for finding in found.findings}
    assert not (tmp_path / "RAN").exists()


@pytest.mark.parametrize(
    ("swap", "message"),
    [
        (("storages", writers.dump(1 << 40)), "records are claimed"),
        (("storages", writers.dump(1) + writers.dump((1, "cpu", torch.FloatStorage)) + b"\xff" * 7 + b"\x7f"), "are needed"),
        (("storages", writers.dump(0) + writers.dump([(5, 6, 0, 1)])), "not stored"),
        (("tensors", writers.dump(1) + writers.dump((1000, 99, torch.FloatStorage)) + bytes(32)), "no known storage"),
        (("tensors", writers.dump(0)), "not stored"),
        (("tensors", writers.dump([1])), "records are claimed"),
    ],
)  # fmt: skip
def test_lies_of_a_tar_are_refused(swap: tuple[str, bytes], message: str, tmp_path: Path) -> None:
    import io
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(writers.tar_era(nn.LSTM(3, 4).state_dict()))) as archive:
        members = {m.name: archive.extractfile(m).read() for m in archive}
    path = tmp_path / "model.pt"
    path.write_bytes(writers.pack_tar(members | dict([swap])))
    with pytest.raises(AuditError, match=message):
        audit_file(str(path))


def package(path: Path, *models: tuple[str, str, Any]) -> Path:
    with warnings.catch_warnings(), PackageExporter(str(path)) as made:
        warnings.simplefilter("ignore")
        made.extern("**")
        for home, name, value in models:
            made.save_pickle(home, name, value)
        made.save_text("notes", "a.txt", "\x80 no pickle")
    return path


@pytest.mark.parametrize("seed", range(10))
def test_a_package_is_what_its_importer_gives(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    one, two = drawn(rng), drawn(rng)
    path = package(
        tmp_path / "model.pt",
        ("model", "model.pkl", one),
        ("second.place", "state", {"enc": two.state_dict()}),
    )
    there = PackageImporter(str(path)).load_pickle("model", "model.pkl")
    assert forget(there) == forget(one)
    found = lstm_audit.audit(path, units=True)
    assert found.files[0].format == "torch-package"
    for prefix, module in (("model/model.pkl", one), ("second/place/state/enc", two)):
        rows = [list(r.units.bias["f"]) for r in found.rows if r.lstm.module == prefix]
        assert near(rows, forget(module)), prefix


@pytest.mark.parametrize("in_place", [False, True])
def test_a_package_is_patched_and_imported_again(in_place: bool, tmp_path: Path) -> None:
    import zipfile

    path = package(tmp_path / "model.pt", ("model", "model.pkl", nn.LSTM(3, 4)))
    before = path.read_bytes()
    lstm_audit.patch(path, forget_bias=1.5, in_place=in_place)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
    module = PackageImporter(str(path)).load_pickle("model", "model.pkl")
    assert forget(module) == [[1.5] * 4]
    undo(path)
    assert path.read_bytes() == before


def test_what_a_package_would_import_is_said(tmp_path: Path) -> None:
    path = package(
        tmp_path / "model.pt", ("model", "model.pkl", {"m": nn.LSTM(3, 4), "call": print})
    )
    assert "LA901" in {finding.code for finding in lstm_audit.audit(path).findings}


def test_a_scripted_module_of_a_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tensors lie in a pickle of TorchScript's own; the package's refers to it."""
    monkeypatch.setattr("torch.package.package_exporter._gate_torchscript_serialization", False)
    one, two = nn.LSTM(3, 4), nn.LSTM(3, 5)
    both = {"a": torch.jit.script(one), "b": two}
    path = package(tmp_path / "model.pt", ("model", "model.pkl", both))
    assert near(units(path), [*forget(one), *forget(two)])
    lstm_audit.patch(path, forget_bias=1.5)
    there = PackageImporter(str(path)).load_pickle("model", "model.pkl")
    assert ((there["a"].bias_ih_l0 + there["a"].bias_hh_l0)[4:8] == 1.5).all()
