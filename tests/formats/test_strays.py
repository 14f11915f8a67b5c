"""Pickles in archives under names that say nothing: LA901 names what they would import."""

import io
import pickle
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import forge
import numpy as np
import pytest
import torch
from torch.distributed import checkpoint as distributed

import lstm_audit

EVIL = b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R."
STATE = forge.state_dict(forge.tensor(forge.storage("seven"))) + b"."
GOOD = forge.archive(STATE)


def objects() -> bytes:
    """A .npy of objects whose pickle is another."""
    out = io.BytesIO()
    np.save(out, np.array([None], dtype=object))
    return out.getvalue().split(b"\n")[0] + b"\n" + EVIL


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


def tarred(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


CASES = {
    "a torch archive.pt": forge.archive(STATE, {"attributes": EVIL}),
    "a torch archive, deflated.pt": forge.archive(STATE, {"extra/attributes": EVIL}, method=8),
    "objects in a torch archive.pt": forge.archive(STATE, {"extra.npy": objects()}),
    "a zip.zip": zipped({"a.pt": GOOD, "settings": EVIL}),
    "a zip, deflated.zip": zipped({"a.pt": GOOD, "settings": EVIL}, zipfile.ZIP_DEFLATED),
    "objects in a zip.zip": zipped({"a.pt": GOOD, "b.npy": objects()}),
    "a tar.tar": tarred({"a.pt": GOOD, "settings": EVIL}),
    "a nemo.nemo": tarred({"model_weights.ckpt": GOOD, "settings": EVIL}),
}


def codes(path: Path) -> list[str]:
    report = lstm_audit.audit(path)
    assert len(report.rows) == 1
    return [finding.code for file in report.files for finding in file.findings]


@pytest.mark.parametrize("name", CASES)
def test_a_pickle_is_known_by_its_first_bytes(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(CASES[name])
    assert "LA901" in codes(path)


@pytest.mark.parametrize("member", ["notes.txt", "empty", "half"])
def test_what_is_no_pickle_names_nothing(member: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    data = {"notes.txt": b"\x80 years", "empty": b"", "half": b"\x80"}[member]
    path.write_bytes(forge.archive(STATE, {member: data}))
    assert "LA901" not in codes(path)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("a canary",)


def test_an_object_of_a_distributed_checkpoint_is_unpickled_when_it_is_loaded(
    tmp_path: Path,
) -> None:
    """torch.distributed.checkpoint loads what is no tensor without a filter."""
    model = torch.nn.LSTM(2, 3).state_dict()
    for name, more in {"plain": {"step": 3}, "evil": {"step": 3, "x": Evil()}}.items():
        distributed.save({"model": model, **more}, checkpoint_id=str(tmp_path / name))
    assert "LA901" not in codes(tmp_path / "plain")
    assert "LA901" in codes(tmp_path / "evil")


def test_the_canary_sings(capsys: pytest.CaptureFixture[str]) -> None:
    pickle.loads(pickle.dumps(Evil()))
    assert capsys.readouterr().out == "a canary\n"
