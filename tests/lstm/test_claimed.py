"""Classes that say what their tensors' names do not: by the class's name, in a pickle and live, and
by the code of the step, live.
"""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from strange import IN, H, audited, counted
from torch import nn

Pair = tuple[Any, Any]


class WholeLSTM(nn.Module):
    """One weight, by a name that says nothing, in a class that says all."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(IN + H, 4 * H)


class CIFGCell(nn.Module):
    """Three gates by design."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(IN, 3 * H), nn.Linear(H, 3 * H)


class LSTMHead(nn.Module):
    """What stands behind an LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(IN + H, 4 * H)


class Anon(nn.Module):
    """A step whose names say nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(IN + H, 4 * H)

    def forward(self, x: Any, state: Pair) -> Pair:
        """The equations, written out."""
        a, b, d, e = self.mix(torch.cat([x, state[0]], 1)).chunk(4, 1)
        new = torch.sigmoid(b) * state[1] + torch.sigmoid(a) * torch.tanh(d)
        return torch.sigmoid(e) * torch.tanh(new), new


class InParts(Anon):
    """The same in two methods, by functions."""

    def forward(self, x: Any, state: Pair) -> Pair:
        """Calls the step."""
        memory = self.mixed(*self.mix(torch.cat([x, state[0]], 1)).chunk(4, 1), state[1])
        return memory.tanh(), memory

    def mixed(self, a: Any, b: Any, d: Any, e: Any, old: Any) -> Any:
        """Remember."""
        memory = torch.add(torch.mul(b.sigmoid(), old), a.sigmoid().mul(d.tanh()))
        return memory


class TwoChildren(nn.Module):
    """A tree's cell: two forget gates."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(2 * H, 5 * H)

    def forward(self, left: Pair, right: Pair) -> Pair:
        """Tai et al. 2015, equations 9 to 14."""
        i, f1, f2, u, o = self.mix(torch.cat([left[0], right[0]], 1)).chunk(5, 1)
        c = i.sigmoid() * u.tanh() + f1.sigmoid() * left[1] + f2.sigmoid() * right[1]
        return o.sigmoid() * c.tanh(), c


class Gru(nn.Module):
    """A GRU: what it mixes meets no tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(IN + H, 2 * H), nn.Linear(IN + H, H)

    def forward(self, x: Any, h: Any) -> Any:
        """Cho et al. 2014."""
        z, r = torch.sigmoid(self.one(torch.cat([x, h], 1))).chunk(2, 1)
        n = torch.tanh(self.two(torch.cat([x, r * h], 1)))
        h = z * h + (1 - z) * n
        return h


class Gelu(nn.Module):
    """A tanh and products, and no cell."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(H, 4 * H), nn.Linear(4 * H, H)

    def forward(self, x: Any) -> Any:
        """The tanh approximation, and a rotation."""
        x = self.up(x)
        x = 0.5 * x * (1 + torch.tanh(0.8 * (x + 0.044715 * x**3)))
        y = self.down(x)
        turned = y * y.cos() + y.flip(-1) * y.sin()
        return turned


@pytest.mark.parametrize("cls", [WholeLSTM, CIFGCell])
def test_a_class_says_it_live_and_pickled(cls: Any, tmp_path: Path) -> None:
    """Under a path that says nothing, and with tensors that say nothing."""
    model = nn.ModuleDict({"core": cls(), "head": nn.Linear(H, 3)})
    torch.save(model, tmp_path / "m.pt")
    for file in (audited(model), audited(tmp_path / "m.pt")):
        assert [(s.module, s.reason) for s in counted(file)] == [("core", "unknown-convention")]
        assert cls.__name__ in counted(file)[0].detail


@pytest.mark.parametrize("cls", [Anon, InParts, TwoChildren])
def test_the_code_says_it(cls: Any) -> None:
    model = nn.ModuleDict({"core": cls(), "head": nn.Linear(H, 3)})
    (entry,) = counted(audited(model))
    assert (entry.module, entry.reason) == ("core", "unknown-convention")
    assert "c = f * c + i * g" in entry.detail


@pytest.mark.parametrize("cls", [LSTMHead, Gru, Gelu])
def test_it_is_none(cls: Any, tmp_path: Path) -> None:
    model = nn.ModuleDict({"core": cls(), "head": nn.Linear(H, 3)})
    torch.save(model, tmp_path / "m.pt")
    for file in (audited(model), audited(tmp_path / "m.pt")):
        assert (file.rows, counted(file)) == ((), [])


def test_a_cell_whose_parts_lie_below_it_is_said_once() -> None:
    cell = nn.ModuleDict({"w": nn.Linear(IN, 4 * H), "u": nn.Linear(H, 4 * H)})
    assert len(counted(audited(nn.ModuleDict({"lstm": nn.ModuleDict({"core": cell})})))) == 1
