"""The callback in a real Trainer; lightning and pytorch_lightning are of the references."""

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
lightning = pytest.importorskip("lightning.pytorch")

from torch import nn
from torch.utils.data import DataLoader

import lstm_audit
from lstm_audit.integrations.lightning import GateMonitor
from lstm_audit.monitoring import GateWarning


class Model(lightning.LightningModule):
    def __init__(self, frozen: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 1)
        self.frozen = frozen

    def training_step(self, batch: Any, index: int) -> Any:
        return (self.head(self.lstm(batch)[0]) ** 2).mean()

    def configure_optimizers(self) -> Any:
        trained = self.head if self.frozen else self
        return torch.optim.SGD(trained.parameters(), lr=0.1)


def fit(folder: Path, callback: Any, model: Any = None, steps: int = 6, **options: Any) -> Any:
    data = DataLoader(torch.randn(4 * steps, 5, 3), batch_size=2)
    trainer = lightning.Trainer(
        max_steps=steps, callbacks=[callback], default_root_dir=str(folder), accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
        log_every_n_steps=1, **{"logger": False, **options},
    )  # fmt: skip
    model = model or Model()
    trainer.fit(model, data)
    return model


pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning.*")


def test_the_gates_are_read_from_before_the_first_step(tmp_path: Path) -> None:
    path = tmp_path / "gates.jsonl"
    callback = GateMonitor(every=2, to=path, data=True)
    model = fit(tmp_path, callback)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines if line["at"] == "rest"] == [0, 2, 4, 6]
    assert [line["step"] for line in lines if line["at"] == "data"] == [2, 4, 6]
    first = lstm_audit.audit(Model())["lstm"].measures.activation.mean
    last = lstm_audit.audit(model)["lstm"].measures.activation.mean
    rest = [line["activation"]["mean"] for line in lines if line["at"] == "rest"]
    assert (rest[0], rest[-1]) == pytest.approx((first, last))
    assert not model.lstm._forward_pre_hooks


def test_a_bad_start_ends_the_run_before_its_first_step(tmp_path: Path) -> None:
    policy = {"forget": {"activation": {"min": 0.9}}}
    model = Model()
    before = model.lstm.weight_ih_l0.detach().clone()
    with pytest.raises(AssertionError, match="LA202 lstm:l0"):
        fit(tmp_path, GateMonitor(policy=policy, strict=True), model)
    assert torch.equal(before, model.lstm.weight_ih_l0)
    with pytest.warns(GateWarning, match="before the first step: LA202"):
        fit(tmp_path, GateMonitor(policy=policy))


def test_a_layer_that_the_optimizer_has_not(tmp_path: Path) -> None:
    callback = GateMonitor(every=1, patience=3)
    with pytest.warns(GateWarning, match="has not moved in 3 readings"):
        fit(tmp_path, callback, Model(frozen=True))
    assert callback.monitor is not None
    assert [alarm.what for alarm in callback.monitor.alarms] == ["never moved"]


def test_the_loggers_of_the_trainer_get_the_numbers(tmp_path: Path) -> None:
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = [CSVLogger(str(tmp_path / "csv")), TensorBoardLogger(str(tmp_path / "board"))]
    fit(tmp_path, GateMonitor(every=3), logger=loggers)
    text = next((tmp_path / "csv").rglob("metrics.csv")).read_text()
    assert "lstm/lstm.l0/activation" in text.splitlines()[0]
    (folder,) = {path.parent for path in (tmp_path / "board").rglob("events*")}
    events = EventAccumulator(str(folder)).Reload()
    assert [e.step for e in events.Scalars("lstm/lstm.l0/activation")] == [0, 3, 6]
    assert events.Histograms("lstm/lstm.l0/units")


def test_accumulated_batches_are_one_step(tmp_path: Path) -> None:
    seen: list[int] = []
    callback = GateMonitor(every=1, to=lambda step, *_: seen.append(step))
    fit(tmp_path, callback, steps=3, accumulate_grad_batches=2)
    assert seen == [0, 1, 2, 3]


def test_a_run_that_raises_is_closed(tmp_path: Path) -> None:
    class Broken(Model):
        def training_step(self, batch: Any, index: int) -> Any:
            if index == 2:
                raise RuntimeError("a defect of the user's")
            return super().training_step(batch, index)

    model = Broken()
    with pytest.raises(RuntimeError, match="a defect"):
        fit(tmp_path, GateMonitor(every=1, data=True), model)
    assert not model.lstm._forward_pre_hooks


def test_the_other_copy_of_the_library(tmp_path: Path) -> None:
    pytest.importorskip("pytorch_lightning")
    code = """
import warnings; warnings.simplefilter("ignore")
import pytorch_lightning as pl, torch
from lstm_audit.integrations.lightning import GateMonitor
assert issubclass(GateMonitor, pl.Callback)
class Model(pl.LightningModule):
    def __init__(self):
        super().__init__(); self.lstm = torch.nn.LSTM(3, 4)
    def training_step(self, batch, index): return self.lstm(batch)[0].mean()
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), lr=0.1)
seen = []
trainer = pl.Trainer(max_steps=4, callbacks=[GateMonitor(every=2, to=lambda step, *_: seen.append(step))],
    logger=False, enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False, accelerator="cpu")
trainer.fit(Model(), torch.utils.data.DataLoader(torch.randn(8, 5, 3), batch_size=2))
print(seen)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1:] == ["[0, 2, 4]"], done.stderr[-2000:]


def test_no_warning_where_nothing_is_wrong(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", GateWarning)
        fit(tmp_path, GateMonitor(every=1))
