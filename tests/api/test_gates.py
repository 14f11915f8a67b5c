"""The gates on data against a cell written by hand, whatever form torch takes an input in."""

import copy
import math
import pickle
from itertools import chain
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import rnn

import lstm_audit


class Step(NamedTuple):
    """Everything that one step of a cell computes, as plain lists of numbers."""

    i: list[float]
    f: list[float]
    g: list[float]
    o: list[float]
    h: list[float]
    c: list[float]


def dot(row: list[float], x: list[float]) -> float:
    return sum(a * b for a, b in zip(row, x, strict=True))


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def cell(part: nn.Module, suffix: str, x: list[float], h: list[float], c: list[float]) -> Step:
    """One step, from the equations in torch's documentation, without a tensor operation."""
    ih, hh = (getattr(part, f"weight_{k}{suffix}").tolist() for k in ("ih", "hh"))
    size = len(ih) // 4
    zero = [0.0] * len(ih)
    b, d = (
        getattr(part, f"bias_{k}{suffix}").tolist() if part.bias else zero for k in ("ih", "hh")
    )
    a = [dot(ih[k], x) + b[k] + dot(hh[k], h) + d[k] for k in range(4 * size)]
    i, f, o = ([sigmoid(v) for v in a[k * size : (k + 1) * size]] for k in (0, 1, 3))
    g = [math.tanh(v) for v in a[2 * size : 3 * size]]
    c = [fk * ck + ik * gk for fk, ck, ik, gk in zip(f, c, i, g, strict=True)]
    h = [ok * math.tanh(ck) for ok, ck in zip(o, c, strict=True)]
    if getattr(part, "proj_size", 0):
        h = [dot(row, h) for row in getattr(part, f"weight_hr{suffix}").tolist()]
    return Step(i, f, g, o, h, c)


def by_hand(lstm: nn.LSTM, sequence: Any, state: Any = None) -> dict[tuple[int, str], list[Step]]:
    """Every step of every layer and direction over one sequence (time, features)."""
    below = [row.tolist() for row in sequence]
    ways = ("forward", "reverse") if lstm.bidirectional else ("forward",)
    found = {}
    for layer in range(lstm.num_layers):
        outputs = []
        for k, way in enumerate(ways):
            row = layer * len(ways) + k
            size = lstm.proj_size or lstm.hidden_size
            h, c = (
                ([0.0] * size, [0.0] * lstm.hidden_size)
                if state is None
                else (state[0][row].tolist(), state[1][row].tolist())
            )
            suffix = f"_l{layer}" + ("_reverse" if way == "reverse" else "")
            steps = []
            for x in below if way == "forward" else reversed(below):
                steps.append(cell(lstm, suffix, x, h, c))
                h, c = steps[-1].h, steps[-1].c
            found[layer, way] = steps if way == "forward" else steps[::-1]
            outputs.append([step.h for step in found[layer, way]])
        below = [[*chain(*parts)] for parts in zip(*outputs, strict=True)]
    return found


def hold(one: Any, tensors: dict[str, Any], steps: list[Step]) -> None:
    for gate in "ifgo":
        expected = torch.tensor([getattr(step, gate) for step in steps], dtype=torch.float64)
        torch.testing.assert_close(tensors[gate].double(), expected, atol=1e-9, rtol=0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_every_layer_and_direction_is_the_cell_written_by_hand(data: st.DataObject) -> None:
    draw = data.draw
    hidden = draw(st.integers(2, 5), "hidden")
    options = {
        "num_layers": draw(st.integers(1, 3), "layers"),
        "bidirectional": draw(st.booleans(), "bidirectional"),
        "batch_first": draw(st.booleans(), "batch_first"),
        "bias": draw(st.booleans(), "bias"),
        "proj_size": draw(st.sampled_from([0, hidden - 1]), "proj_size"),
        "dropout": draw(st.sampled_from([0.0, 0.5]), "dropout"),
    }
    torch.manual_seed(draw(st.integers(0, 99), "seed"))
    lstm = nn.LSTM(3, hidden, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.mul_(3.0)  # gates that move
    lstm.train(draw(st.booleans(), "train"))
    form = draw(st.sampled_from(["batched", "single", "packed"]), "form")
    lengths = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3), "lengths")
    if form != "packed":
        lengths = [lengths[0]] * (1 if form == "single" else len(lengths))
    batch, rows = len(lengths), options["num_layers"] * (1 + options["bidirectional"])
    sequences = [torch.randn(n, 3, dtype=torch.float64) for n in lengths]
    state = None
    if draw(st.booleans(), "hx"):
        h = torch.randn(rows, batch, options["proj_size"] or hidden, dtype=torch.float64)
        state = (h, torch.randn(rows, batch, hidden, dtype=torch.float64))
    x: Any = torch.stack(sequences, 1) if form != "packed" else None
    given_state = state
    if form == "packed":
        x = rnn.pack_sequence(sequences, enforce_sorted=False)
    elif form == "single":
        x, given_state = x[:, 0], None if state is None else tuple(s[:, 0] for s in state)
    elif options["batch_first"]:
        x = x.transpose(0, 1)

    activity = lstm_audit.gates(lstm, x, given_state)

    assert len(activity) == rows
    assert activity[0].steps == sum(lengths)
    expected = [
        by_hand(lstm, sequence, None if state is None else [s[:, k] for s in state])
        for k, sequence in enumerate(sequences)
    ]
    for one in activity:
        for k, n in enumerate(lengths):
            shown = {}
            for gate in "ifgo":
                value = getattr(one, gate)
                if form == "single":
                    shown[gate] = value
                elif options["batch_first"]:
                    shown[gate] = value[k]
                else:
                    shown[gate] = value[:, k]
                assert bool(shown[gate][n:].isnan().all())
                shown[gate] = shown[gate][:n]
            hold(one, shown, expected[k][one.layer, one.direction])
        every = [s for found in expected for s in found[one.layer, one.direction]]
        for unit in range(hidden):
            f = [step.f[unit] for step in every]
            assert one.activation[unit] == pytest.approx(sum(f) / len(f), abs=1e-9)
            memory = -1.0 / (sum(map(math.log, f)) / len(f))
            assert one.time_scale[unit] == pytest.approx(memory, rel=1e-7)


def test_the_outputs_by_hand_are_those_of_torch() -> None:
    """The oracle's own oracle."""
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2, dtype=torch.float64)
    x = torch.randn(6, 3, dtype=torch.float64)
    found = by_hand(lstm, x)
    mine = [a.h + b.h for a, b in zip(found[1, "forward"], found[1, "reverse"], strict=True)]
    torch.testing.assert_close(lstm(x)[0], torch.tensor(mine, dtype=torch.float64))


@pytest.mark.parametrize("batch", [None, 3])
@pytest.mark.parametrize("bias", [True, False])
def test_a_cell(batch: int | None, bias: bool) -> None:
    torch.manual_seed(1)
    part = nn.LSTMCell(3, 4, bias=bias, dtype=torch.float64)
    shape = () if batch is None else (batch,)
    x, h, c = (torch.randn(*shape, n, dtype=torch.float64) for n in (3, 4, 4))
    for state in (None, (h, c)):
        (one,) = lstm_audit.gates(part, x, state)
        assert one.f.shape == (*shape, 4)
        for k in range(batch or 1):
            at = (k,) if batch else ()
            h0, c0 = ([0.0] * 4,) * 2 if state is None else (h[at].tolist(), c[at].tolist())
            step = cell(part, "", x[at].tolist(), h0, c0)
            hold(one, {gate: getattr(one, gate)[at][None] for gate in "ifgo"}, [step])


class Decoder(nn.Module):
    """A cell in a loop, behind an encoder and a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(3, 4, batch_first=True)
        self.drop = nn.Dropout(0.5)
        self.cell = nn.LSTMCell(4, 4)
        self.unused = nn.LSTM(3, 4)
        self.gru = nn.GRU(3, 4)

    def forward(self, x: Any, *, steps: int) -> Any:
        out, (h, c) = self.encoder(self.drop(x))
        h, c = h[0], c[0]
        for k in range(steps):
            h, c = self.cell(out[:, k], (h, c))
        return h


def test_a_whole_model_is_run_once_and_left_as_it_was() -> None:
    torch.manual_seed(2)
    model = Decoder().train()
    x = torch.randn(2, 5, 3)
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    activity = lstm_audit.gates(model, x, steps=4)
    assert [one.address for one in activity] == ["encoder:l0", "cell:l0"]
    assert activity["encoder"].f.shape == (2, 5, 4)
    assert activity["cell:l0"].f.shape == (4, 2, 4)
    assert activity["cell"].steps == 8
    model.eval()
    out, (h, c) = model.encoder(x)
    h, c = h[0], c[0]
    for k in range(4):
        for row in range(2):
            args = (out[row, k].tolist(), h[row].tolist(), c[row].tolist())
            expected = torch.tensor(cell(model.cell, "", *args).f)
            torch.testing.assert_close(activity["cell"].f[k, row], expected, atol=1e-5, rtol=0)
        h, c = model.cell(out[:, k], (h, c))
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_modes_are_put_back_also_when_the_model_raises() -> None:
    model = Decoder()
    model.encoder.eval()
    modes = [part.training for part in model.modules()]
    with pytest.raises(IndexError):
        lstm_audit.gates(model, torch.randn(2, 5, 3), steps=9)
    assert [part.training for part in model.modules()] == modes
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_calls_of_other_shapes_follow_one_another_as_steps() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4)

        def forward(self, a: Any, b: Any) -> Any:
            return self.lstm(a), self.lstm(b)

    model = Twice()
    a, b = torch.randn(5, 2, 3), torch.randn(4, 2, 3)
    (one,) = lstm_audit.gates(model, a, b)
    torch.testing.assert_close(one.f[5:], lstm_audit.gates(model.lstm, b)[0].f)
    (one,) = lstm_audit.gates(model, a, torch.randn(4, 7, 3))
    assert one.f.shape == (10 + 28, 4)


def test_memory_is_told_where_the_gate_has_rounded_to_one() -> None:
    lstm = nn.LSTM(2, 3)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.bias_ih_l0[3:6] = torch.tensor([20.0, 0.0, -20.0])
    (one,) = lstm_audit.gates(lstm, torch.randn(7, 2))
    assert one.f[0, 0] == 1.0
    assert one.time_scale == pytest.approx([math.exp(20), 1 / math.log(2), 1 / 20.0], rel=1e-6)
    assert one.time_scale == pytest.approx(one.rest_time_scale, rel=1e-6)
    assert one.activation == pytest.approx(one.rest, abs=1e-7)
    assert (one.saturated, one.shut) == pytest.approx((1 / 3, 1 / 3))


def test_what_the_gate_does_on_data_is_not_what_it_does_at_rest() -> None:
    """The README of the method: an input that shuts the gate."""
    lstm = nn.LSTM(1, 2)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.zero_()
        lstm.bias_ih_l0[2:4] = 3.0
        lstm.weight_ih_l0[2:4] = -6.0
    (one,) = lstm_audit.gates(lstm, torch.ones(4, 1))
    assert one.rest == pytest.approx([torch.sigmoid(torch.tensor(3.0)).item()] * 2)
    assert one.activation == pytest.approx([torch.sigmoid(torch.tensor(-3.0)).item()] * 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_narrow_weights_and_autocast(dtype: Any) -> None:
    torch.manual_seed(3)
    lstm = nn.LSTM(3, 4, dtype=dtype)
    wide = nn.LSTM(3, 4)
    wide.load_state_dict(lstm.state_dict())
    x = torch.randn(5, 2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (one,) = lstm_audit.gates(lstm, x)
    (expected,) = lstm_audit.gates(wide, x)
    assert one.f.dtype == torch.float32
    torch.testing.assert_close(
        one.f, expected.f, atol=1e-6 if dtype == torch.float32 else 0.05, rtol=0
    )


def test_no_gradient_is_taken_and_none_is_lost() -> None:
    lstm = nn.LSTM(3, 4)
    x = torch.randn(5, 2, 3, requires_grad=True)
    loss = lstm(x)[0].sum()
    (one,) = lstm_audit.gates(lstm, x)
    assert not one.f.requires_grad
    loss.backward()
    assert lstm.weight_ih_l0.grad is not None


class Own(nn.LSTM):
    def forward(self, input: Any, hx: Any = None) -> Any:
        return super().forward(input + 1.0, hx)


@pytest.mark.parametrize(
    ("module", "inputs", "said"),
    [
        (object(), (), "no torch.nn.Module"),
        (nn.Linear(3, 3), (torch.randn(1, 3),), "no LSTM was called"),
        (Own(3, 4), (torch.randn(5, 3),), "forward is not torch's"),
    ],
)
def test_what_is_no_lstm_is_refused(module: Any, inputs: Any, said: str) -> None:
    with pytest.raises(lstm_audit.UnknownFormat, match=said):
        lstm_audit.gates(module, *inputs)


def test_an_lstm_of_ones_own_in_a_model_is_named() -> None:
    model = nn.ModuleDict({"a": nn.LSTM(3, 4), "b": Own(3, 4)})
    model.forward = lambda x: (model["a"](x), model["b"](x))
    activity = lstm_audit.gates(model, torch.randn(5, 3))
    assert [one.module for one in activity] == ["a"]
    assert [skip.module for skip in activity.skipped] == ["b"]
    assert "b: its forward" in str(activity)


@pytest.mark.parametrize(
    ("options", "shape", "said"),
    [
        ({}, (5, 2, 9), r"shape \(5, 2, 9\); \(time, batch, 3\) or \(time, 3\) was expected"),
        ({"batch_first": True}, (9,), r"\(batch, time, 3\) or \(time, 3\)"),
        ({}, (0, 2, 3), r"shape \(0, 2, 3\)"),
    ],
)
def test_an_input_that_does_not_fit_is_named(options: Any, shape: Any, said: str) -> None:
    with pytest.raises(lstm_audit.BadPolicy, match=said):
        lstm_audit.gates(nn.LSTM(3, 4, **options), torch.zeros(*shape))
    state = (torch.zeros(1, 7, 4), torch.zeros(1, 7, 4))
    with pytest.raises(lstm_audit.BadPolicy, match=r"the state has shape \(1, 7, 4\)"):
        lstm_audit.gates(nn.LSTM(3, 4), torch.zeros(5, 2, 3), state)
    with pytest.raises(lstm_audit.BadPolicy, match="called with"):
        lstm_audit.gates(nn.LSTM(3, 4))


def test_it_prints_pickles_and_is_a_sequence() -> None:
    torch.manual_seed(0)
    activity = lstm_audit.gates(nn.LSTM(3, 4, 2, bidirectional=True), torch.randn(6, 2, 3))
    again = pickle.loads(pickle.dumps(activity))
    assert torch.equal(again[3].f, activity[3].f)
    assert repr(activity) == "<Activity: 4 layers, 0 skipped>"
    assert "12 steps of 4 units" in repr(activity[0])
    lines = str(activity).splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 80 for line in lines)
    assert lines[-1] == "4 layers on 12 steps; rest: x = 0, h = 0"
    assert activity._repr_html_().count("<tr>") == 5
    document = activity.to_dict()
    assert document["schema"] == "lstm-audit/activity/1"
    assert document["layers"][1]["direction"] == "reverse"
    with pytest.raises(KeyError, match="means 0 layers"):
        activity["decoder"]


def test_a_data_frame_has_a_line_a_unit() -> None:
    """pandas is of the references."""
    pytest.importorskip("pandas")
    activity = lstm_audit.gates(nn.LSTM(3, 4, 2), torch.randn(6, 2, 3))
    frame = activity.to_dataframe()
    assert len(frame) == 8
    assert list(frame.activation[4:]) == list(activity[1].activation)


def test_the_numbers_at_rest_are_those_of_an_audit() -> None:
    torch.manual_seed(5)
    lstm = nn.LSTM(3, 4, 2, bidirectional=True)
    audit = lstm_audit.audit(lstm, units=True)
    for one, row in zip(lstm_audit.gates(lstm, torch.randn(6, 3)), audit, strict=True):
        assert one.address == row.lstm.address
        assert one.rest == pytest.approx(row.units.activation, abs=1e-12)
        assert one.rest_time_scale == pytest.approx(row.units.time_scale, rel=1e-12)
