"""The callback in Hugging Face's real Trainer; transformers and accelerate are of the references."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from torch import nn

import lstm_audit
from lstm_audit.integrations.transformers import GateMonitor
from lstm_audit.monitoring import GateWarning


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Any, labels: Any = None) -> Any:
        out = self.head(self.lstm(x)[0]).mean((1, 2))
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}


class Data(torch.utils.data.Dataset):
    def __len__(self) -> int:
        return 12

    def __getitem__(self, k: int) -> Any:
        return {"x": torch.full((5, 3), k / 12), "labels": torch.tensor(1.0)}


def fit(
    folder: Path, callback: Any, model: Any = None, report_to: Any = "none", **options: Any
) -> Any:
    args = transformers.TrainingArguments(
        output_dir=str(folder), max_steps=6, per_device_train_batch_size=2, learning_rate=0.01,
        report_to=report_to, use_cpu=True, save_strategy="no", disable_tqdm=True,
        logging_steps=3, **options,
    )  # fmt: skip
    model = model or Model()
    trainer = transformers.Trainer(model, args, train_dataset=Data(), callbacks=[callback])
    trainer.train()
    return model


def test_the_gates_are_read_from_before_the_first_step(tmp_path: Path) -> None:
    model = fit(tmp_path, GateMonitor(every=2, data=True))
    lines = [json.loads(line) for line in (tmp_path / "gates.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["at"] == "rest"] == [0, 2, 4, 6]
    assert [line["step"] for line in lines if line["at"] == "data"] == [2, 4, 6]
    rest = [line["activation"]["mean"] for line in lines if line["at"] == "rest"]
    first = lstm_audit.audit(Model())["lstm"].measures.activation.mean
    last = lstm_audit.audit(model)["lstm"].measures.activation.mean
    assert (rest[0], rest[-1]) == pytest.approx((first, last))
    assert first != last
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


def test_a_layer_that_is_frozen(tmp_path: Path) -> None:
    model, callback = Model(), GateMonitor(every=1, patience=4)
    model.lstm.requires_grad_(False)
    with pytest.warns(GateWarning, match="has not moved in 4 readings"):
        fit(tmp_path, callback, model)
    assert callback.monitor is not None
    assert [(a.step, a.what) for a in callback.monitor.alarms] == [(4, "never moved")]


def test_tensorboard_gets_the_numbers_where_the_trainer_reports_to_it(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(tmp_path, GateMonitor(every=3), report_to=["tensorboard"])
    found = {}
    for folder in {path.parent for path in tmp_path.rglob("events*")}:
        events = EventAccumulator(str(folder)).Reload()
        found |= {tag: [e.step for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert found["lstm/lstm.l0/activation"] == [0, 3, 6]


def test_no_warning_where_nothing_is_wrong(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", GateWarning)
        fit(tmp_path, GateMonitor(every=1))
