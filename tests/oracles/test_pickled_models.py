"""Models inside pickles, as skorch, Keras, fastai and RLlib leave them: read by their path behind `!`,
patched where they lie, and given to the framework again.

skorch and Keras are the real ones (the extra `references`). fastai and RLlib ask for half a desktop:
their files are written here with the classes and keys that theirs have (fastai.learner.Learner.export
is torch.save of a Learner; ray.rllib's module_state.pkl is a dict of numpy arrays, and the checkpoint
of its old interface a pickle of pickled workers).
"""

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lstm_audit

H = 5


class Net(nn.Module):
    """What a user trains."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, H, batch_first=True)
        self.out = nn.Linear(H, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.lstm(x)[0][:, -1])


def patched(path: Path, locator: str, address: str) -> None:
    """The row is there under its path, is patched and undone; the file is left patched."""
    before = path.read_bytes()
    found = lstm_audit.audit(path)
    assert not found.errors
    assert [file.path for file in found.files if file.rows] == [locator]
    assert [row.lstm.identity.address for row in found.rows] == [address]
    for last in (False, True):
        lstm_audit.patch(locator, forget_bias=0.625)
        assert {row.measures.gates["f"].max for row in lstm_audit.audit(path).rows} == {0.625}
        if not last:
            lstm_audit.undo(path)
            assert path.read_bytes() == before


def effective(lstm: nn.LSTM) -> np.ndarray:
    return (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach().numpy()[H : 2 * H]


def test_a_pickle_of_skorch(tmp_path: Path) -> None:
    skorch = pytest.importorskip("skorch", reason="skorch: pip install --no-deps skorch")
    net = skorch.NeuralNetClassifier(Net, max_epochs=1, verbose=0, train_split=None)
    net.fit(np.zeros((4, 2, 3), "f4"), np.zeros(4, "i8"))
    path = tmp_path / "net.pkl"
    path.write_bytes(pickle.dumps(net))
    patched(path, f"{path}!__cuda_dependent_attributes__", "module_.lstm:l0")
    again = pickle.loads(path.read_bytes())  # our own file, by its own library
    assert effective(again.module_.lstm) == pytest.approx(np.full(H, 0.625))


@pytest.mark.parametrize("among", [False, True])
def test_a_pickled_model_of_keras(among: bool, tmp_path: Path) -> None:
    keras = pytest.importorskip("keras", reason="Keras is in the extra `references`")
    model = keras.Sequential([keras.layers.Input((2, 3)), keras.layers.LSTM(H)])
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps({"model": model, "scaler": [1.0]} if among else model))
    patched(path, f"{path}!{'model.' if among else ''}1.0", "layers/lstm:l0")
    again = pickle.loads(path.read_bytes())
    bias = np.asarray((again["model"] if among else again).layers[0].weights[2])
    assert bias[H : 2 * H] == pytest.approx(np.full(H, 0.625))


def test_an_export_of_fastai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = types.ModuleType("fastai.learner")
    module.Learner = type("Learner", (), {"__module__": "fastai.learner"})
    monkeypatch.setitem(sys.modules, "fastai", types.ModuleType("fastai"))
    monkeypatch.setitem(sys.modules, "fastai.learner", module)
    learner = module.Learner()
    learner.model, learner.lr, learner.path = nn.Sequential(Net(), nn.Softmax(-1)), 1e-3, tmp_path
    learner.dls, learner.opt = {"vocab": ["a", "b"]}, None
    path = tmp_path / "export.pkl"
    torch.save(learner, path)
    patched(path, str(path), "model.0.lstm:l0")
    again = torch.load(path, weights_only=False)
    assert effective(again.model[0].lstm) == pytest.approx(np.full(H, 0.625))


WEIGHTS = {f"encoder.encoder.lstm.{name}": value.numpy() for name, value in nn.LSTM(3, H).state_dict().items()}  # fmt: skip


def test_rllib_of_both_interfaces(tmp_path: Path) -> None:
    path = tmp_path / "module_state.pkl"
    path.write_bytes(pickle.dumps({**WEIGHTS, "pi.net.mlp.0.bias": np.zeros(2, "f4")}))
    patched(path, str(path), "encoder.encoder.lstm:l0")
    again = pickle.loads(path.read_bytes())
    both = [again[f"encoder.encoder.lstm.bias_{half}_l0"][H : 2 * H] for half in ("ih", "hh")]
    assert both[0] + both[1] == pytest.approx(np.full(H, 0.625))
    worker = {
        "state": {"default_policy": {"weights": WEIGHTS, "global_timestep": 9}},
        "filters": {},
    }
    path = tmp_path / "checkpoint-000009"
    path.write_bytes(pickle.dumps({"worker": pickle.dumps(worker), "train_exec_impl": None}))
    found = lstm_audit.audit(path)
    (file,) = [file for file in found.files if file.rows]
    assert file.path == f"{path}!worker"
    patched(path, file.path, file.rows[0].lstm.identity.address)
    inner = pickle.loads(pickle.loads(path.read_bytes())["worker"])
    assert inner["state"]["default_policy"]["global_timestep"] == 9
