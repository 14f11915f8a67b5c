"""Rows of the table against the frameworks that they are of, from the extra `references`: the real cell
is built, its state audited, and its forget gate measured as c after a step at x = 0, h = 0 from c = 1,
less that from c = 0; then patched, loaded again, and measured again.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn

import lstm_audit

IN, H = 3, 4
Step = Callable[[Any, Any], Any]


def zeros(*size: int) -> Any:
    return torch.zeros(size)


def loaded(package: str, file: str) -> Any:
    """One module of a package whose own imports ask for more than is here."""
    pytest.importorskip("torch_geometric", reason="needs torch_geometric")
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"needs {package}")
    spec = importlib.util.spec_from_file_location("one", Path(found.origin).parent / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opacus() -> tuple[nn.Module, Step]:
    rnn = pytest.importorskip("opacus.layers.dp_rnn", reason="needs opacus")
    cell = rnn.DPLSTMCell(IN, H, bias=True)
    return cell, lambda cell, c: cell(zeros(1, IN), (zeros(1, H), c))[1]


def ncps() -> tuple[nn.Module, Step]:
    lstm = pytest.importorskip("ncps.torch.lstm", reason="needs ncps")
    return lstm.LSTMCell(IN, H), lambda cell, c: cell(zeros(1, IN), (zeros(1, H), c))[1]


def snntorch() -> tuple[nn.Module, Step]:
    snn = pytest.importorskip("snntorch", reason="needs snntorch")
    cell = snn.SConv2dLSTM(2, H, 3, reset_mechanism="none")

    def step(cell: Any, c: Any) -> Any:
        state = c.reshape(1, H, 1, 1).expand(1, H, 5, 5)
        return cell(zeros(1, 2, 5, 5), state, zeros(1, H, 5, 5))[1][:, :, 2, 2]

    return cell, step


def bayesian_torch() -> tuple[nn.Module, Step]:
    layers = pytest.importorskip("bayesian_torch.layers", reason="needs bayesian-torch")
    cell = layers.LSTMReparameterization(IN, H)
    for name, rho in cell.named_parameters():
        if "rho" in name:
            nn.init.constant_(rho, -100.0)  # a deviation of ln(1 + e^-100): the mean itself

    def step(cell: Any, c: Any) -> Any:
        return cell(zeros(1, 1, IN), (zeros(1, H), c))[1][1][:, -1]

    return cell, step


def blitz() -> tuple[nn.Module, Step]:
    modules = pytest.importorskip("blitz.modules", reason="needs blitz-bayesian-pytorch")
    cell = modules.BayesianLSTM(IN, H, freeze=True)
    return cell, lambda cell, c: cell(zeros(1, 1, IN), (zeros(1, H), c))[1][1]


def graph_conv() -> tuple[nn.Module, Step]:
    module = loaded("torch_geometric_temporal", "nn/recurrent/gconv_lstm.py")
    edges = torch.tensor([[0], [0]])
    return module.GConvLSTM(IN, H, 2), lambda cell, c: cell(
        zeros(1, IN), edges, H=zeros(1, H), C=c
    )[1]


def graph_lstm() -> tuple[nn.Module, Step]:
    module = loaded("torch_geometric_temporal", "nn/recurrent/gc_lstm.py")
    edges = torch.tensor([[0], [0]])
    return module.GCLSTM(IN, H, 2), lambda cell, c: cell(zeros(1, IN), edges, H=zeros(1, H), C=c)[1]


CELLS = [opacus, ncps, snntorch, bayesian_torch, blitz, graph_conv, graph_lstm]
SUM_OF = {"snntorch": "snntorch-conv", "blitz": "bayesian", "graph_lstm": "gc-lstm"}


def measured(cell: nn.Module, step: Step) -> Any:
    with torch.no_grad():
        return (step(cell, torch.ones(1, H)) - step(cell, zeros(1, H))).double().reshape(-1)


def peepless(cell: nn.Module) -> None:
    """Peepholes add a multiple of c, which the difference would count."""
    for name, parameter in cell.named_parameters():
        if name.startswith("w_c"):
            nn.init.zeros_(parameter)


@pytest.mark.parametrize("make", CELLS, ids=lambda make: make.__name__)
def test_the_framework_agrees(make: Callable[[], tuple[nn.Module, Step]], tmp_path: Path) -> None:
    torch.manual_seed(0)
    cell, step = make()
    for name, parameter in cell.named_parameters():
        if ("bias" in name or name.startswith("b_")) and "rho" not in name:
            nn.init.uniform_(parameter, -1, 1)
    peepless(cell)
    cell.eval()
    path = tmp_path / "cell.pt"
    torch.save(cell.state_dict(), path)
    (row,) = lstm_audit.audit(path).files[0].rows
    name = make.__name__.replace("_", "-")
    assert row.lstm.identity.convention == SUM_OF.get(make.__name__, name)
    truth = measured(cell, step)
    assert row.measures.activation.mean == pytest.approx(float(truth.mean()), abs=1e-5)
    assert row.measures.activation.min == pytest.approx(float(truth.min()), abs=1e-5)
    lstm_audit.patch(path, forget_bias=2.0)
    cell.load_state_dict(torch.load(path))
    wanted = torch.full((H,), 0.8807970779778823, dtype=torch.float64)
    assert torch.allclose(measured(cell, step), wanted, atol=1e-5)
