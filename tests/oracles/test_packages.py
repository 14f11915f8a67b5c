"""Cells of programs from the extra `references` that are installed without what else they ask for:
one module of each is loaded, beside stand-ins for the imports that its cell does not use. The cell
is built, saved, audited, and its gate measured by its own forward, before and after a patch.
"""

import importlib.util
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import lstm_audit

IN, H = 3, 4
Step = Callable[[Any, Any], Any]
Made = tuple[nn.Module, Step]


def zeros(*size: int) -> Any:
    return torch.zeros(size)


SOURCES = Path(sys.prefix, "sources")
"""Packages that lie outside the path: to have them would break others (transformers imports torchaudio where it
is, and that needs a torch of its own), or they import what is not there.
"""


def loaded(file: str, monkeypatch: pytest.MonkeyPatch, **standins: dict[str, Any]) -> Any:
    """The module of a package in `SOURCES` by its file; `standins` are modules, `__` for a dot."""
    where = SOURCES / file
    if not where.exists():
        pytest.skip(f"needs pip install --no-deps --target {SOURCES.name} {file.partition('/')[0]}")
    for path, attributes in standins.items():
        module = ModuleType(path.replace("__", "."))
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    spec = importlib.util.spec_from_file_location(f"loaded_{where.stem}", where)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pair(cell: Any, c: Any) -> Any:
    return cell(zeros(1, IN), (zeros(1, H), c))[1]


def sequence(cell: Any, c: Any) -> Any:
    """A module over sequences with states of one layer and direction."""
    return cell(zeros(1, 1, IN), (zeros(1, 1, H), c.reshape(1, 1, H)))[1][1]


def neuralhydrology(monkeypatch: pytest.MonkeyPatch) -> Made:
    pytest.importorskip("neuralhydrology", reason="needs neuralhydrology")
    if importlib.util.find_spec("numba") is None:  # for its data sets alone
        numba = ModuleType("numba")
        vars(numba).update(njit=lambda *a, **k: a[0] if a else lambda f: f, prange=range)
        monkeypatch.setitem(sys.modules, "numba", numba)
    custom = pytest.importorskip("neuralhydrology.modelzoo.customlstm", reason="needs its imports")
    cell = custom._LSTMCell(IN, H, initial_forget_bias=3.0)
    return cell, lambda cell, c: cell(zeros(1, IN), zeros(1, H), c)["c_n"]


def torchrl(monkeypatch: pytest.MonkeyPatch) -> Made:
    rnn = pytest.importorskip("torchrl.modules.tensordict_module.rnn", reason="needs torchrl")
    return rnn.LSTMCell(IN, H), pair


def torchrl_layer(monkeypatch: pytest.MonkeyPatch) -> Made:
    rnn = pytest.importorskip("torchrl.modules.tensordict_module.rnn", reason="needs torchrl")
    return rnn.LSTM(IN, H, batch_first=True), sequence


ALLENNLP = {
    "allennlp__common__checks": {"ConfigurationError": ValueError},
    # it fills what is drawn anew below
    "allennlp__nn__initializers": {"block_orthogonal": lambda *a, **k: None},
    "allennlp__nn__util": {"get_dropout_mask": lambda *a, **k: None},
}


def augmented(monkeypatch: pytest.MonkeyPatch) -> Made:
    module = loaded("allennlp/modules/augmented_lstm.py", monkeypatch, **ALLENNLP)
    cell = module.AugmentedLSTMCell(IN, H)
    return nn.ModuleDict({"cell": cell}), lambda m, c: pair(m["cell"], c)


def augmented_layer(monkeypatch: pytest.MonkeyPatch) -> Made:
    module = loaded("allennlp/modules/augmented_lstm.py", monkeypatch, **ALLENNLP)

    def step(cell: Any, c: Any) -> Any:
        packed = pack_padded_sequence(zeros(1, 1, IN), [1], batch_first=True)
        return cell(packed, (zeros(1, 1, H), c.reshape(1, 1, H)))[1][1]

    return module.AugmentedLstm(IN, H, use_highway=False), step


def elmo(monkeypatch: pytest.MonkeyPatch) -> Made:
    module = loaded("allennlp/modules/lstm_cell_with_projection.py", monkeypatch, **ALLENNLP)
    cell = module.LstmCellWithProjection(IN, IN, H)

    def step(cell: Any, c: Any) -> Any:
        return cell(zeros(1, 1, IN), [1], (zeros(1, 1, IN), c.reshape(1, 1, H)))[1][1]

    return cell, step


def nemo(monkeypatch: pytest.MonkeyPatch) -> Made:
    module = loaded(
        "nemo/collections/common/parts/rnn.py",
        monkeypatch,
        nemo__utils={"logging": logging.getLogger("nemo")},
    )
    rnn = module.LSTMDropout(IN, H, 1, 0.0, 1.0)
    return rnn, lambda rnn, c: sequence(rnn.lstm, c)


def nemo_normed(monkeypatch: pytest.MonkeyPatch) -> Made:
    module = loaded(
        "nemo/collections/common/parts/rnn.py",
        monkeypatch,
        nemo__utils={"logging": logging.getLogger("nemo")},
    )
    rnn = module.ln_lstm(IN, H, 1, None, 1.0, None, None, None)
    return rnn, lambda rnn, c: gate_before_the_norm(rnn.layers[0].cell, c)


def gate_before_the_norm(cell: Any, c: Any) -> Any:
    """A norm over c hides the gate; its scale is linear only without it."""
    cell.layernorm_c = nn.Identity()
    return cell(zeros(1, IN), (zeros(1, H), c))[1][1]


def torchaudio(monkeypatch: pytest.MonkeyPatch) -> Made:
    module = loaded("torchaudio/models/rnnt.py", monkeypatch, torchaudio__models={"Emformer": None})
    lstm = module._CustomLSTM(IN, H)
    return lstm, lambda lstm, c: lstm(zeros(1, 1, IN), [zeros(1, H), c])[1][1]


def torchaudio_normed(monkeypatch: pytest.MonkeyPatch) -> Made:
    module = loaded("torchaudio/models/rnnt.py", monkeypatch, torchaudio__models={"Emformer": None})
    lstm = module._CustomLSTM(IN, H, layer_norm=True)

    def step(lstm: Any, c: Any) -> Any:
        lstm.c_norm = nn.Identity()
        return lstm(zeros(1, 1, IN), [zeros(1, H), c])[1][1]

    return lstm, step


def torchnlp(monkeypatch: pytest.MonkeyPatch) -> Made:
    drop = pytest.importorskip("torchnlp.nn.weight_drop", reason="needs pytorch-nlp")
    lstm = nn.LSTM(IN, H)
    drop._weight_drop(lstm, ["weight_hh_l0"], 0.0)
    # a parameter became a plain tensor, which torch's list of flat weights still names
    return lstm, lambda lstm, c: pair(like_a_cell(lstm), c)


def like_a_cell(lstm: Any) -> Any:
    cell = nn.LSTMCell(IN, H)
    names = ("weight_ih", "bias_ih", "bias_hh")
    cell.load_state_dict(
        {name: getattr(lstm, f"{name}_l0") for name in names} | {"weight_hh": lstm.weight_hh_l0_raw}
    )
    return cell


def espnet(monkeypatch: pytest.MonkeyPatch) -> Made:
    encoders = pytest.importorskip(
        "espnet.nets.pytorch_backend.rnn.encoders", reason="needs espnet"
    )
    rnn = encoders.RNN(IN, 1, H, 5, 0.0, typ="lstm")
    return rnn, lambda rnn, c: sequence(rnn.nbrnn, c)


CELLS: dict[str, tuple[Callable[[pytest.MonkeyPatch], Made], str]] = {
    "neuralhydrology": (neuralhydrology, "short"),
    "torchrl LSTMCell": (torchrl, "torch"),
    "torchrl LSTM": (torchrl_layer, "torch"),
    "allennlp cell": (augmented, "allennlp"),
    "allennlp without the highway": (augmented_layer, "allennlp"),
    "allennlp ELMo": (elmo, "allennlp"),
    "NeMo": (nemo, "torch"),
    "NeMo, normed": (nemo_normed, "layernorm-lstm"),
    "torchaudio": (torchaudio, "torchaudio-rnnt"),
    "torchaudio, normed": (torchaudio_normed, "torchaudio-rnnt"),
    "torchnlp": (torchnlp, "torch"),
    "ESPnet": (espnet, "torch"),
}


def measured(cell: nn.Module, step: Step) -> Any:
    with torch.no_grad():
        return (step(cell, torch.ones(1, H)) - step(cell, zeros(1, H))).double().reshape(-1)


@pytest.mark.parametrize("name", CELLS)
def test_the_cell_agrees(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, convention = CELLS[name]
    torch.manual_seed(0)
    cell, step = make(monkeypatch)
    for parameter in cell.parameters():
        nn.init.uniform_(parameter, -1, 1)
    cell.eval()
    path = tmp_path / "cell.pt"
    torch.save(cell.state_dict(), path)
    (row,) = lstm_audit.audit(path, units=True).files[0].rows
    assert row.lstm.identity.convention == convention
    assert list(row.units.activation) == pytest.approx(measured(cell, step).tolist(), abs=1e-6)
    torch.save(cell.state_dict(), path)
    lstm_audit.patch(path, forget_bias=2.0)
    cell.load_state_dict(torch.load(path), strict=False)
    wanted = torch.full((H,), 0.8807970779778823, dtype=torch.float64)
    assert torch.allclose(measured(cell, step), wanted, atol=1e-5)


def forecasting(monkeypatch: pytest.MonkeyPatch) -> Any:
    file = "pytorch_forecasting/layers/_recurrent/_slstm/cell.py"
    return loaded(file, monkeypatch).sLSTMCell(IN, H)


def slstm(monkeypatch: pytest.MonkeyPatch) -> Any:
    cell = pytest.importorskip("xlstm.blocks.slstm.cell", reason="needs xlstm")
    config = cell.sLSTMCellConfig(hidden_size=H, num_heads=2, backend="vanilla")
    return nn.ModuleDict({"slstm_cell": cell.sLSTMCell(config)})


def mlstm(monkeypatch: pytest.MonkeyPatch) -> Any:
    cell = pytest.importorskip("xlstm.blocks.mlstm.cell", reason="needs xlstm")
    config = cell.mLSTMCellConfig(context_length=8, embedding_dim=H, num_heads=2)
    return nn.ModuleDict({"mlstm_cell": cell.mLSTMCell(config)})


# What is said of a cell whose forget gate has no one number a unit that the file holds.
REFUSED = {
    "pytorch-forecasting sLSTM": (forecasting, "no sigmoid"),
    "xlstm sLSTM": (slstm, "depends on the backend"),
    "xlstm mLSTM": (mlstm, "numbers a head"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_the_cell_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, said = REFUSED[name]
    torch.save(make(monkeypatch).state_dict(), tmp_path / "cell.pt")
    file = lstm_audit.audit(tmp_path / "cell.pt").files[0]
    assert file.rows == ()
    assert [entry.reason for entry in file.skipped] == ["unknown-convention"]
    assert said in file.skipped[0].detail
