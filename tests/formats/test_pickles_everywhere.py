"""LA901 speaks wherever a pickle can lie, and is silent on the same containers without one."""

import base64
import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import lstm_audit
from lstm_audit.formats.torch import scan


class Command:
    """What runs a program when it is unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("true",)


BAD = pickle.dumps(Command(), 2)
GOOD = pickle.dumps([1, 2], 2)
STATE = torch.nn.LSTM(3, 4).state_dict()
ARRAYS = {name: value.numpy() for name, value in STATE.items()}


def saved(more: object = 0, **how: object) -> bytes:
    out = io.BytesIO()
    torch.save({**STATE, "x": more}, out, **how)
    return out.getvalue()


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as file:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def settings(pickled: bytes) -> bytes:
    """Stable-Baselines3's `data`."""
    text = base64.b64encode(pickled).decode()
    return json.dumps({"gamma": 0.99, "lr_schedule": {":serialized:": text}}).encode()


def arrays(pickled: object, save: Callable[..., None]) -> bytes:
    out = io.BytesIO()
    save(out, **ARRAYS, names=np.array([pickled], dtype=object))
    return out.getvalue()


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


def scripted(changed: str, pickled: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A script in which the record whose name ends so is another, or is added."""
    out, whole = io.BytesIO(), io.BytesIO()
    torch.jit.save(torch.jit.script(Net()), whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        if not any(name.endswith(changed) for name in names):
            new.writestr(f"{names[0].partition('/')[0]}/{changed}", pickled, method)
        for info in old.infolist():
            data = pickled if info.filename.endswith(changed) else old.read(info)
            new.writestr(info.filename, data, info.compress_type)
    return out.getvalue()


KINDS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "a torch file": ("m.pt", lambda pkl: saved(pickle.loads(pkl) if pkl is GOOD else Command())),
    "a legacy torch file": (
        "m.pt",
        lambda pkl: saved(
            [1] if pkl is GOOD else Command(), _use_new_zipfile_serialization=False
        ),
    ),
    "a record of a torch file": (
        "m.pt",
        lambda pkl: zipped(
            {
                f"m/{name}": data
                for name, data in (
                    *((i.filename.partition("/")[2], z.read(i)) for z in [zipfile.ZipFile(io.BytesIO(saved()))] for i in z.infolist()),
                    ("extra.pkl", pkl),
                )
            }
        ),
    ),
    "a script's constants": ("m.pt", lambda pkl: scripted("/constants.pkl", pkl, 0) if pkl is BAD else scripted("none.pkl", pkl)),
    "a script's source map": ("m.pt", lambda pkl: scripted("/rnn.py.debug_pkl", pkl)),
    "a source map that was added": ("m.pt", lambda pkl: scripted("code/a.py.debug_pkl", pkl, 0)),
    "traced inputs": ("m.pt", lambda pkl: scripted("traced_inputs.pkl", pkl)),
    "an array of objects": ("m.npz", lambda pkl: arrays(Command() if pkl is BAD else "a", np.savez)),
    "a deflated array of objects": (
        "m.npz",
        lambda pkl: arrays(Command() if pkl is BAD else "a", np.savez_compressed),
    ),
    "around bytes": (
        "m.pkl",
        lambda pkl: pickle.dumps({"module_": saved(), "x": Command() if pkl is BAD else 1}),
    ),
    "in bytes": (
        "m.pkl",
        lambda pkl: pickle.dumps({"module_": saved(Command() if pkl is BAD else 1)}),
    ),
    "beside arrays": ("m.pkl", lambda pkl: pickle.dumps({**ARRAYS, "x": Command() if pkl is BAD else 1})),
    "in a zip": ("m.zip", lambda pkl: zipped({"a/m.pt": saved(Command() if pkl is BAD else 1)})),
    "in a deflated zip": (
        "m.zip",
        lambda pkl: zipped({"m.pt": saved(Command() if pkl is BAD else 1)}, zipfile.ZIP_DEFLATED),
    ),
    "in a tar": ("m.tar", lambda pkl: tarred({"m.pt": saved(Command() if pkl is BAD else 1)})),
    "in a tar.gz": (
        "m.tar.gz",
        lambda pkl: tarred({"m.pt": saved(Command() if pkl is BAD else 1)}, "w:gz"),
    ),
    "in a gzip": ("m.pt.gz", lambda pkl: gzip.compress(saved(Command() if pkl is BAD else 1))),
    "beside, in a zip": ("m.zip", lambda pkl: zipped({"m.pt": saved(), "vec_normalize.pkl": pkl})),
    "beside, in a deflated zip": (
        "m.zip",
        lambda pkl: zipped({"m.pt": saved(), "vec.pickle": pkl}, zipfile.ZIP_DEFLATED),
    ),
    "beside, in a tar": ("m.tar", lambda pkl: tarred({"m.pt": saved(), "vec_normalize.pkl": pkl})),
    "Stable-Baselines3's settings": (
        "m.zip",
        lambda pkl: zipped({"data": settings(pkl), "policy.pth": saved()}),
    ),
    "Stable-Baselines3's settings, deflated": (
        "m.zip",
        lambda pkl: zipped({"data": settings(pkl), "policy.pth": saved()}, zipfile.ZIP_DEFLATED),
    ),
}  # fmt: skip


def codes(path: Path) -> list[str]:
    found = lstm_audit.audit(path)
    assert found.rows, found.errors
    return [finding.code for finding in found.findings]


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_in_any_pickle_is_said(kind: str, tmp_path: Path) -> None:
    name, build = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(build(BAD))
    assert "LA901" in codes(path)
    path.write_bytes(build(GOOD))
    assert "LA901" not in codes(path)


def test_the_source_maps_of_a_large_script_do_not_cost_it_its_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The smallest are gone through first; what is beyond the limit is left alone."""
    path = tmp_path / "m.pt"
    path.write_bytes(scripted("code/large.py.debug_pkl", GOOD + bytes(scan.MAX_MAPS)))
    assert "LA901" not in codes(path)
    path.write_bytes(scripted("/rnn.py.debug_pkl", BAD))
    monkeypatch.setattr(scan, "MAX_MAPS", len(BAD))
    assert "LA901" in codes(path)


@pytest.mark.parametrize("data", [b"{", b"{}", b"[]", b'{"a": {":serialized:": 1}}', b"", b"x"])
def test_settings_of_another_kind_are_no_error(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.zip"
    path.write_bytes(zipped({"data": data, "policy.pth": saved()}))
    assert "LA901" not in codes(path)


@pytest.mark.parametrize("kind", ["an array of objects", "Stable-Baselines3's settings"])
def test_a_pickle_that_cannot_be_gone_through_is_refused(kind: str, tmp_path: Path) -> None:
    """An opcode that nobody knows, before the command."""
    name, _ = KINDS[kind]
    path, hidden = tmp_path / name, b"\x80\x02\xff" + BAD
    if name.endswith("zip"):
        path.write_bytes(zipped({"data": settings(hidden), "policy.pth": saved()}))
    else:
        whole = arrays("a", np.savez)
        with zipfile.ZipFile(io.BytesIO(whole)) as file:
            members = {info.filename: file.read(info) for info in file.infolist()}
        head, _, _ = members["names.npy"].partition(b"\n")
        path.write_bytes(zipped({**members, "names.npy": head + b"\n" + hidden}))
    found = lstm_audit.audit(path)
    assert [error.kind for error in found.errors] == ["malformed"]


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("a torch file", "load with weights_only=True"),
        ("in a zip", "load with weights_only=True"),
        ("around bytes", "load it only if you trust it"),
        ("Stable-Baselines3's settings", "load it only if you trust it"),
    ],
)
def test_a_filter_is_advised_only_where_it_reaches(kind: str, advice: str, tmp_path: Path) -> None:
    name, build = KINDS[kind]
    path = tmp_path / name
    path.write_bytes(build(BAD))
    (said,) = [f for f in lstm_audit.audit(path).findings if f.code == "LA901"]
    assert f"posix.system; {advice}" in said.message
