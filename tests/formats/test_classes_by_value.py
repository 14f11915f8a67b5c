"""Classes that a pickle makes by a call, as cloudpickle writes those of a notebook; fastai's export
and skorch in a notebook write their modules so.
"""

import pickle
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lstm_audit
from lstm_audit.errors import MalformedFile
from lstm_audit.pipeline import audit_file


class Inner(nn.LSTM):
    """A subclass of the user's own."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(3, 4, bidirectional=True)
        self.own = Inner(3, 5)
        self.gru = nn.GRU(3, 6)


def make_class(name: str) -> type:
    """What cloudpickle's _make_skeleton_class is."""
    return {"Net": Net, "Inner": Inner}[name]


class ByValue(pickle.Pickler):
    """Writes the classes of this file by a call."""

    def reducer_override(self, value: Any) -> Any:
        if value in (Net, Inner) if isinstance(value, type) else False:
            return make_class, (value.__name__,)
        return NotImplemented


def dump(value: object, file: Any, protocol: int = 2) -> None:
    ByValue(file, protocol).dump(value)


def save(net: nn.Module, path: Path, protocol: int) -> None:
    if path.suffix == ".pkl":
        with path.open("wb") as file:
            dump(net, file, protocol)
    else:
        module: Any = types.SimpleNamespace(
            __name__="pickle", Pickler=ByValue, dump=dump, Unpickler=pickle.Unpickler
        )
        torch.save(net, path, pickle_module=module, pickle_protocol=protocol)


@pytest.mark.parametrize(("name", "protocol"), [("m.pt", 2), ("m.pt", 4), ("m.pkl", 4)])
def test_modules_of_classes_by_value_are_judged_and_patched(
    name: str, protocol: int, tmp_path: Path
) -> None:
    net, path = Net(), tmp_path / name
    save(net, path, protocol)
    audit = lstm_audit.audit(path)
    found = {row.lstm.address: row.measures.gates["f"].mean for row in audit.rows}
    expected = {
        "rnn:l0": (net.rnn.bias_ih_l0 + net.rnn.bias_hh_l0)[4:8],
        "rnn:l0:reverse": (net.rnn.bias_ih_l0_reverse + net.rnn.bias_hh_l0_reverse)[4:8],
        "own:l0": (net.own.bias_ih_l0 + net.own.bias_hh_l0)[5:10],
    }
    means = {key: bias.mean().item() for key, bias in expected.items()}
    assert found == pytest.approx(means, abs=1e-6)
    assert [entry.reason for file in audit.files for entry in file.skipped] == ["gru"]
    lstm_audit.patch(path, forget_bias=1.5, in_place=True)
    loaded = (
        pickle.loads(path.read_bytes()) if name == "m.pkl" else torch.load(path, weights_only=False)
    )
    bias = loaded.own.bias_ih_l0 + loaded.own.bias_hh_l0
    assert torch.equal(bias[5:10], torch.full((5,), 1.5))


def test_what_is_made_of_no_class_at_all_is_refused(tmp_path: Path) -> None:
    for maker in (b"K\x01", b"]", b"\x8c\x01a"):
        (tmp_path / "m.pkl").write_bytes(b"\x80\x04" + maker + b")\x81.")
        with pytest.raises(MalformedFile, match="would be called"):
            audit_file(str(tmp_path / "m.pkl"))
