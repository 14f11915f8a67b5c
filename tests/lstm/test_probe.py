"""One step of a live cell, measured: the truth that names and shapes only imply."""

import random
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn

import lstm_audit
from lstm_audit.step import probe

H, IN = 6, 4


def by_layer(model: nn.Module) -> dict[tuple[str, int, str], Any]:
    return {(one.module, one.layer, one.direction): one for one in probe(model)}


@pytest.mark.parametrize(
    "options", [{}, {"proj_size": 3}, {"bias": False}, {"dtype": torch.float64}]
)
def test_every_layer_and_direction_agrees_with_the_weights(options: Any) -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"rnn": nn.LSTM(IN, H, 2, bidirectional=True, dropout=0.5, **options)})
    found = by_layer(model)
    assert len(found) == 4
    for one in found.values():
        assert one.static is not None
        assert one.activation == pytest.approx(one.static, abs=1e-6)
        assert len(one.forget) == H


class PlusOne(nn.LSTMCell):
    """Keeps every name of torch's, and adds 1 to the gates."""

    def forward(self, x: Any, state: Any = None) -> Any:
        h, c = state
        gates = x @ self.weight_ih.T + h @ self.weight_hh.T + self.bias_ih + self.bias_hh
        i, f, g, _ = gates.chunk(4, 1)
        new = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.tanh(new), new


class Own(nn.Module):
    """An LSTM of two linear layers, called as (x, h, c)."""

    def __init__(self) -> None:
        super().__init__()
        self.input_size, self.hidden_size = IN, H
        self.i2h, self.h2h = nn.Linear(IN, 4 * H), nn.Linear(H, 4 * H)
        for layer in (self.i2h, self.h2h):
            nn.init.zeros_(layer.bias)
        nn.init.ones_(self.h2h.bias[H : 2 * H])
        self.calls = 0

    def forward(self, x: Any, h: Any, c: Any) -> Any:
        self.calls += 1
        i, f, g, _ = (self.i2h(x) + self.h2h(h)).chunk(4, 1)
        new = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.tanh(new), new


def test_a_forward_that_adds_is_measured_and_no_row() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"cell": PlusOne(IN, H)}).requires_grad_(False)
    file = lstm_audit.audit(model).files[0]
    assert (file.rows, [s.reason for s in file.skipped]) == ((), ["extra-terms"])
    (one,) = probe(model)
    expected = torch.sigmoid(1 + (model["cell"].bias_ih + model["cell"].bias_hh)[H : 2 * H]).mean()
    assert one.activation == pytest.approx(float(expected), abs=1e-6)
    measured = lstm_audit.audit(model, probe=True).files[0]
    assert f"{one.activation:.4f}" in measured.skipped[0].detail
    with pytest.raises(AssertionError, match="not within"):
        lstm_audit.assert_forget_gate(model, activation=(0.4, 0.5), probe=True)
    lstm_audit.assert_forget_gate(model, activation=(0.6, 0.8), probe=True)


def test_a_cell_of_ones_own_and_nothing_of_it_changes() -> None:
    torch.manual_seed(0)
    model = nn.ModuleDict({"core": Own()}).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    (one,) = probe(model)
    assert one.activation == pytest.approx(0.7310586, abs=1e-6)
    assert one.static is None
    assert model.training
    assert model["core"].training
    assert model["core"].calls == 0
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_scripted_cell() -> None:
    model = nn.ModuleDict({"cell": torch.jit.script(nn.LSTMCell(IN, H))})
    (one,) = probe(model)
    assert one.activation is not None
    assert one.agrees


def test_what_cannot_be_called_is_said() -> None:
    class MyLSTM(nn.LSTMCell):
        def forward(self, *_: Any) -> Any:
            raise RuntimeError("not today")

    (one,) = probe(nn.ModuleDict({"cell": MyLSTM(IN, H)}))
    assert (one.forget, one.activation) == ((), None)
    assert one.problem


class Joint(nn.Module):
    """One layer over x and h; which sizes it has only its weight says."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Any] = []
        self.noise = torch.ones(3)
        self.lstm_gates = nn.Linear(IN + H, 4 * H)
        nn.init.zeros_(self.lstm_gates.bias)
        nn.init.constant_(self.lstm_gates.bias[H : 2 * H], 2.0)

    def step(self, x: Any, h: Any, c: Any) -> Any:
        self.log.append(random.random())
        self.noise += 1
        i, f, g, o = self.lstm_gates(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class MemoryFirst(Joint):
    """TensorFlow's order of the two states, in and out."""

    def forward(self, x: Any, state: Any) -> Any:
        c, h = state
        h, c = self.step(x, h, c)
        return h, (c, h)


class HiddenFirst(Joint):
    def forward(self, x: Any, h: Any, c: Any) -> Any:
        return self.step(x, h, c)


class Picture(nn.Module):
    """A ConvLSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(IN + H, 4 * H, 3, padding=1)

    def forward(self, x: Any, state: Any) -> Any:
        h, c = state
        i, f, o, g = self.conv(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


@pytest.mark.parametrize("cls", [MemoryFirst, HiddenFirst])
def test_whichever_state_is_the_memory(cls: Any) -> None:
    model = nn.ModuleDict({"lstm": cls()})
    (one,) = probe(model)
    assert one.activation == pytest.approx(0.8807971, abs=1e-6)
    assert len(one.forget) == H


def test_a_cell_that_convolves() -> None:
    (one,) = probe(nn.ModuleDict({"convlstm_cell": Picture()}))
    assert one.activation == pytest.approx(0.5, abs=0.05)
    assert len(one.forget) % H == 0


def test_what_grows_or_is_drawn_is_put_back() -> None:
    """Lists, tensors that are no buffers, Python's random numbers."""
    model = nn.ModuleDict({"lstm": HiddenFirst()})
    random.seed(1)
    probe(model)
    assert (model["lstm"].log, model["lstm"].noise.tolist()) == ([], [1.0] * 3)
    assert random.random() == random.Random(1).random()


def test_hooks_are_left_alone() -> None:
    """Neither run nor removed, on the cell, inside of it, and for all modules."""
    calls: list[int] = []
    model = nn.ModuleDict({"lstm": HiddenFirst()})
    for part in model.modules():
        part.register_forward_hook(lambda *_: calls.append(1))
        part.register_forward_pre_hook(lambda *_: calls.append(1))
    everywhere = nn.modules.module.register_module_forward_hook(lambda *_: calls.append(1))
    try:
        probe(model)
        assert calls == []
        model["lstm"](torch.zeros(1, IN), torch.zeros(1, H), torch.zeros(1, H))
        assert len(calls) == 6
    finally:
        everywhere.remove()


def test_a_scripted_stack() -> None:
    """Every layer and direction, as of one that is not scripted."""
    found = by_layer(
        nn.ModuleDict({"rnn": torch.jit.script(nn.LSTM(IN, H, 2, bidirectional=True))})
    )
    assert len(found) == 4
    for one in found.values():
        assert len(one.forget) == H
        assert one.error == pytest.approx(0.0, abs=1e-6)


class Counting(nn.Module):
    """A cell to be scripted, which counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.lstm_gates = nn.Linear(7, 12)

    def forward(
        self, x: torch.Tensor, h: torch.Tensor, c: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.calls += 1
        i, f, g, o = self.lstm_gates(torch.cat([x, h], 1)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


def test_a_scripted_cell_of_ones_own_is_as_it_was() -> None:
    scripted = torch.jit.script(Counting())
    (one,) = probe(nn.ModuleDict({"lstm": scripted}))
    assert one.activation == pytest.approx(
        float(torch.sigmoid(scripted.lstm_gates.bias.detach()[3:6]).mean()), abs=1e-6
    )
    assert scripted.calls == 0
