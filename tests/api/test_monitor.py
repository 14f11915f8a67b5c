"""A model under watch while it is trained."""

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn

import lstm_audit
from lstm_audit import GateWarning, Reading, monitor


class Tagger(nn.Module):
    """A small model with two LSTMs, on random data."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder = nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(8, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.encoder(x)[0]).mean()


def train(
    model: nn.Module, steps: int, watch: Any = None, lr: float = 0.1, only: Any = None
) -> list[Any]:
    """A plain loop of training; what each step of the monitor gave."""
    torch.manual_seed(1)
    optimizer = torch.optim.SGD((only or model).parameters(), lr=lr)
    given = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(torch.randn(2, 5, 3)) - 1.0) ** 2
        loss.backward()
        optimizer.step()
        if watch is not None:
            given.append(watch.step())
    return given


@pytest.fixture(autouse=True)
def _every_warning_is_an_error() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error", GateWarning)
        yield


# ---- before the first step


def test_the_initial_gate_is_checked_before_the_first_step() -> None:
    model, policy = Tagger(), {"forget": {"activation": {"min": 0.7}}}
    with pytest.warns(GateWarning, match=r"before the first step: LA202 encoder:l0: .*0\.7"):
        watch = monitor(model, policy=policy)
    assert not watch.initial
    with pytest.raises(AssertionError, match=r"^LA202 encoder:l0"):
        monitor(model, policy=policy, strict=True)
    lstm_audit.patch(model, forget_bias=1.0)
    assert monitor(model, policy=policy, strict=True).initial


def test_a_doubled_bias_is_told_without_a_policy() -> None:
    model = Tagger()
    for name, parameter in model.encoder.named_parameters():
        if "bias" in name:
            parameter.data[4:8].fill_(1.0)
    with pytest.warns(GateWarning, match="LA101"):
        monitor(model)


def test_a_model_without_an_lstm_is_refused() -> None:
    with pytest.raises(lstm_audit.UnknownFormat, match="no LSTM"):
        monitor(nn.Linear(2, 2))
    with pytest.raises(lstm_audit.BadPolicy, match="matches no LSTM"):
        monitor(Tagger(), layers="decoder")


def test_strict_leaves_no_hook_behind() -> None:
    model = Tagger()
    with pytest.raises(AssertionError):
        monitor(model, strict=True, data=True, policy={"forget": {"bias": {"target": 1.0}}})
    assert not model.encoder._forward_pre_hooks


# ---- readings


def test_readings_come_at_the_start_and_every_so_many_steps() -> None:
    model, seen = Tagger(), []
    watch = monitor(model, every=3, to=lambda step, readings, alarms: seen.append(step))
    given = train(model, 8, watch)
    assert seen == [0, 3, 6]
    assert [k + 1 for k, readings in enumerate(given) if readings] == [3, 6]
    assert [r.identity.address for r in given[2]] == [
        "encoder:l0", "encoder:l0:reverse", "encoder:l1", "encoder:l1:reverse",
    ]  # fmt: skip


def test_steps_that_the_loop_counts_itself() -> None:
    """Accumulated batches repeat a step; a resumed run begins where it was."""
    seen: list[int] = []
    watch = monitor(Tagger(), every=10, step=50, to=lambda step, *_: seen.append(step))
    for step in (50, 55, 59, 60, 60, 60, 61, 75, 80, 85):
        watch.step(step)
    assert seen == [50, 60, 75, 85]


def test_a_reading_is_what_an_audit_says() -> None:
    model = Tagger()
    watch = monitor(model, every=5)
    train(model, 5, watch)
    audit = lstm_audit.audit(model, units=True)
    for reading, row in zip(watch.readings, audit, strict=True):
        assert isinstance(reading, Reading)
        assert (reading.step, reading.at) == (5, "rest")
        assert reading.bias == row.measures.gates["f"]
        assert reading.activation == row.measures.activation
        assert reading.time_scale == row.measures.time_scale
        assert reading.units == row.units.activation


def test_watching_changes_nothing_in_what_is_trained() -> None:
    plain, watched = Tagger(), Tagger()
    with monitor(watched, every=1, data=True) as watch:
        train(watched, 6, watch)
    train(plain, 6)
    for name, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name


def test_layers() -> None:
    watch = monitor(Tagger(), layers="*:l1")
    assert [r.identity.address for r in watch.readings] == ["encoder:l1"]


# ---- on data


def test_on_data_the_gates_are_those_of_the_batch() -> None:
    model = Tagger()
    with monitor(model, every=2, data=True) as watch:
        assert {r.at for r in watch.readings} == {"rest"}
        model(torch.randn(2, 5, 3))
        assert not any(calls.made for calls in watch._calls)  # kept only when a reading is due
        watch.step()
        x = torch.randn(2, 5, 3)
        model(x)
        watch.step()
        on_data = [r for r in watch.readings if r.at == "data"]
        for reading, layer in zip(on_data, lstm_audit.gates(model.encoder, x), strict=True):
            assert reading.identity.direction == layer.direction
            assert reading.units == layer.activation
        assert not any(calls.made for calls in watch._calls)
    assert not model.encoder._forward_pre_hooks
    model(torch.randn(2, 5, 3))


@pytest.mark.parametrize("compiled_first", [True, False])
def test_on_data_of_a_compiled_model(compiled_first: bool) -> None:
    """Hooks are seen by torch.compile, whichever of both was called first."""
    torch._dynamo.reset()
    model, x = Tagger(), torch.randn(2, 5, 3)
    fast = torch.compile(model, backend="eager")
    with monitor(fast if compiled_first else model, every=1, data=True) as watch:
        for k in range(3):
            fast(x + k)
            watch.step()
            on_data = [r for r in watch.readings if r.at == "data"]
            expected = lstm_audit.gates(model.encoder, x + k)
            for reading, layer in zip(on_data, expected, strict=True):
                assert reading.units == pytest.approx(layer.activation, abs=1e-6)
    torch._dynamo.reset()


# ---- alarms


def alarms_of(watch: Any, times: int) -> list[tuple[int, str, str]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(times):
            watch.step()
    texts = [str(w.message) for w in caught if w.category is GateWarning]
    mine = watch.alarms[len(watch.alarms) - len(texts) :]
    assert texts == [alarm.message for alarm in mine]
    return [(alarm.step, alarm.identity.address, alarm.what) for alarm in mine]


@pytest.mark.parametrize(
    ("bias", "what"), [(12.0, "saturated"), (-2.0, "closed"), (float("nan"), "not a number")]
)
def test_an_alarm_is_raised_when_it_happens_and_once(bias: float, what: str) -> None:
    model = Tagger()
    watch = monitor(model, every=1, patience=100)
    assert alarms_of(watch, 2) == []
    before = copy.deepcopy(model.state_dict())
    model.encoder.bias_ih_l1.data[4:8] = bias
    assert alarms_of(watch, 3) == [(3, "encoder:l1", what)]
    model.load_state_dict(before)
    assert alarms_of(watch, 1) == []
    model.encoder.bias_ih_l1.data[4:8] = bias
    assert alarms_of(watch, 2) == [(7, "encoder:l1", what)]


def test_one_unit_that_saturates_is_no_alarm() -> None:
    model = Tagger()
    watch = monitor(model, every=1, patience=100)
    model.encoder.bias_ih_l0.data[4] = 20.0
    assert alarms_of(watch, 2) == []


def test_a_gate_that_never_moves() -> None:
    """The optimizer has the head alone: a classic."""
    model = Tagger()
    watch = monitor(model, every=2, patience=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GateWarning)
        train(model, 12, watch, only=model.head)
    assert [(a.step, a.what) for a in watch.alarms] == [(6, "never moved")] * 4
    assert "in the optimizer" in str(caught[0].message)


def test_a_gate_that_moves_is_no_alarm() -> None:
    model = Tagger()
    watch = monitor(model, every=1, patience=2)
    train(model, 8, watch)
    assert watch.alarms == ()


def test_a_gate_that_saturates_on_the_data_alone() -> None:
    model = Tagger()
    with torch.no_grad():
        model.encoder.weight_ih_l0[4:8] = 40.0
    with monitor(model, every=1, data=True, patience=100) as watch:
        model(torch.ones(2, 5, 3))
        assert alarms_of(watch, 1) == [(1, "encoder:l0", "saturated")]
    assert "on the data" in watch.alarms[0].message


# ---- writers


def test_jsonl(tmp_path: Path) -> None:
    model, path = Tagger(), tmp_path / "runs" / "gates.jsonl"
    with monitor(model, every=2, to=path, data=True, patience=100) as watch:
        train(model, 2, watch)
        model.encoder.bias_ih_l0.data[4:8] = float("nan")
        with pytest.warns(GateWarning):
            watch.read()
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    readings = [line for line in lines if "at" in line]
    assert [line["step"] for line in readings[:4]] == [0] * 4
    assert {line["at"] for line in readings} == {"rest", "data"}
    row = lstm_audit.audit(model)["encoder:l1"]
    last = [line for line in readings if line["layer"] == 1 and line["at"] == "rest"][-2]
    assert last["activation"]["mean"] == row.measures.activation.mean
    (alarm,) = [line for line in lines if "alarm" in line]
    assert (alarm["alarm"], alarm["module"], alarm["layer"]) == ("not a number", "encoder", 0)


def test_a_run_that_is_killed_has_written_what_it_read(tmp_path: Path) -> None:
    path = tmp_path / "gates.jsonl"
    watch = monitor(Tagger(), to=str(path))
    assert len(path.read_text().splitlines()) == 4
    watch.close()


def test_several_places_and_none_that_makes_sense(tmp_path: Path) -> None:
    seen: list[int] = []
    watch = monitor(Tagger(), to=[tmp_path / "a.jsonl", lambda step, *_: seen.append(step)])
    watch.read()
    watch.close()
    assert len((tmp_path / "a.jsonl").read_text().splitlines()) == 8
    assert seen == [0, 0]
    for place in (3, "gates.csv", object()):
        with pytest.raises(lstm_audit.BadPolicy, match="no place for readings; there are"):
            monitor(Tagger(), to=place)


def test_tensorboard(tmp_path: Path) -> None:
    """The real SummaryWriter, read by the real reader; tensorboard is of the references."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    model = Tagger()
    with (
        SummaryWriter(str(tmp_path)) as board,
        monitor(model, every=2, to=board, data=True) as watch,
    ):
        train(model, 4, watch)
        model.encoder.bias_ih_l0.data[4:8] = 12.0
        with pytest.warns(GateWarning):
            watch.read()
    events = EventAccumulator(str(tmp_path)).Reload()
    tag = "lstm/encoder.l1.reverse/activation"
    assert [event.step for event in events.Scalars(tag)] == [0, 2, 4, 4]
    row = lstm_audit.audit(model)["encoder:l1:reverse"]
    assert events.Scalars(tag)[-1].value == pytest.approx(row.measures.activation.mean)
    assert "lstm/encoder.l0/data_time_scale" in events.Tags()["scalars"]
    histogram = events.Histograms("lstm/encoder.l0/units")[0].histogram_value
    assert histogram.num == 4
    assert any("alarms" in tag for tag in events.Tags()["tensors"])


def test_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that stays on this machine; wandb is of the references."""
    wandb = pytest.importorskip("wandb")
    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(lstm_audit.BadPolicy, match=r"wandb\.init"):
        monitor(Tagger(), to="wandb")
    model = Tagger()
    run = wandb.init(project="gates", mode="offline", dir=str(tmp_path))
    try:
        with monitor(model, every=2, to=run) as watch:
            train(model, 2, watch)
        row = lstm_audit.audit(model)["encoder:l0"]
        value = run.summary["lstm/encoder.l0/activation"]
        assert value == pytest.approx(row.measures.activation.mean)
        assert run.summary["lstm/step"] == 2
        with monitor(model, to="wandb") as watch:
            model.encoder.bias_ih_l0.data[4:8] = 12.0
            with pytest.warns(GateWarning):
                watch.read()
    finally:
        run.finish()


def test_reprs() -> None:
    watch = monitor(Tagger())
    assert repr(watch) == "<Monitor: 4 LSTMs, step 0, 0 alarms>"
    assert len(repr(watch.readings[0])) < 120
