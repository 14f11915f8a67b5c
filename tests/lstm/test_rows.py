"""Rows of the table whose frameworks are not run here, each against the formula of its source: what
the forget gate, and what is written, come to at x = 0 and h = 0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import lstm_audit
from lstm_audit.lstm.conventions import CONVENTIONS
from lstm_audit.lstm.find import find_lstms
from lstm_audit.lstm.match import match, row_of

H, IN = 6, 4
Tensors = dict[str, Any]


class Case(NamedTuple):
    """Names with shapes; the pre-activation of f, of i and of g by the source's formula."""

    convention: str
    module: str
    shapes: dict[str, tuple[int, ...]]
    formula: Callable[[Tensors], tuple[Any, Any, Any]]


def quarters(bias: Any, order: str, offset: float = 0.0) -> tuple[Any, Any, Any]:
    parts = dict(zip(order, bias.reshape(4, H), strict=True))
    return parts["f"] + offset, parts["i"], parts["g"]


CASES = [
    Case("tensorflow", "rnn", {"rnn/basic_lstm_cell/kernel": (IN + H, 4 * H), "rnn/basic_lstm_cell/bias": (4 * H,)},
         lambda t: quarters(t["rnn/basic_lstm_cell/bias"], "igfo", 1.0)),
    Case("tensorflow", "rnn", {"rnn/multi_rnn_cell/cell_0/lstm_cell/kernel": (IN + H, 4 * H), "rnn/multi_rnn_cell/cell_0/lstm_cell/bias": (4 * H,),
                               "rnn/multi_rnn_cell/cell_0/lstm_cell/w_f_diag": (H,)},
         lambda t: quarters(t["rnn/multi_rnn_cell/cell_0/lstm_cell/bias"], "igfo", 1.0)),
    Case("tensorflow-cudnn", "rnn", {"rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell/kernel": (IN + H, 4 * H),
                                     "rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell/bias": (4 * H,)},
         lambda t: quarters(t["rnn/multi_rnn_cell/cell_0/cudnn_compatible_lstm_cell/bias"], "igfo")),
    Case("tensorflow", "rnn", {"rnn/basic_lstm_cell/weights": (IN + H, 4 * H), "rnn/basic_lstm_cell/biases": (4 * H,)},
         lambda t: quarters(t["rnn/basic_lstm_cell/biases"], "igfo", 1.0)),
    Case("tensorflow", "rnn", {"rnn/lstm_cell/kernel": (IN + 1, 4 * H), "rnn/lstm_cell/bias": (4 * H,), "rnn/lstm_cell/projection/kernel": (H, 1)},
         lambda t: quarters(t["rnn/lstm_cell/bias"], "igfo", 1.0)),
    Case("tensorflow", "rnn/enc", {"rnn/enc/kernel": (IN + 1, 4 * H), "rnn/enc/bias": (4 * H,), "rnn/enc/projection/kernel": (H, 1)},
         lambda t: quarters(t["rnn/enc/bias"], "igfo", 1.0)),
    Case("tensorflow", "rnn/enc", {"rnn/enc/kernel": (IN + H, 4 * H), "rnn/enc/bias": (4 * H,), **{f"rnn/enc/w_{g}_diag": (H,) for g in "ifo"}},
         lambda t: quarters(t["rnn/enc/bias"], "igfo", 1.0)),
    Case("tensorflow", "rnn/word_lstm", {"rnn/word_lstm/kernel": (IN + H, 4 * H), "rnn/word_lstm/bias": (4 * H,)},
         lambda t: quarters(t["rnn/word_lstm/bias"], "igfo", 1.0)),
    Case("tensorflow", "basic_lstm_cell_3", {"basic_lstm_cell_3/kernel": (IN + H, 4 * H), "basic_lstm_cell_3/bias": (4 * H,)},
         lambda t: quarters(t["basic_lstm_cell_3/bias"], "igfo", 1.0)),
    Case("tensorflow", "RNN", {"RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Matrix": (IN + H, 4 * H), "RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Bias": (4 * H,)},
         lambda t: quarters(t["RNN/MultiRNNCell/Cell0/BasicLSTMCell/Linear/Bias"], "igfo", 1.0)),
    Case("tensorflow", "RNN", {"RNN/LSTMCell/W_0": (IN + H, 4 * H), "RNN/LSTMCell/B": (4 * H,), "RNN/LSTMCell/W_F_diag": (H,)},
         lambda t: quarters(t["RNN/LSTMCell/B"], "igfo", 1.0)),
    Case("tensorflow-conv", "rnn", {"rnn/conv_2d_lstm_cell/kernel": (3, 3, IN + H, 4 * H), "rnn/conv_2d_lstm_cell/biases": (4 * H,)},
         lambda t: quarters(t["rnn/conv_2d_lstm_cell/biases"], "igfo", 1.0)),
    Case("tensorflow-layernorm", "rnn", {"rnn/layer_norm_basic_lstm_cell/kernel": (IN + H, 4 * H),
                                         **{f"rnn/layer_norm_basic_lstm_cell/{p}/{n}": (H,) for p in ("input", "transform", "forget", "output", "state") for n in ("gamma", "beta")}},
         lambda t: tuple(t[f"rnn/layer_norm_basic_lstm_cell/{p}/beta"] + by for p, by in (("forget", 1.0), ("input", 0.0), ("transform", 0.0)))),
    Case("sonnet-1", "core", {"core/w_gates": (IN + H, 4 * H), "core/b_gates": (4 * H,), "core/w_f_diag": (H,)},
         lambda t: quarters(t["core/b_gates"], "igfo", 1.0)),
    Case("mx-rnn", "lstm", {f"lstm_l0_{s}_{g}_{k}": z for s, w in (("i2h", IN), ("h2h", H)) for g in "ifco" for k, z in (("weight", (H, w)), ("bias", (H,)))},
         lambda t: tuple(t[f"lstm_l0_i2h_{g}_bias"] + t[f"lstm_l0_h2h_{g}_bias"] for g in "fic")),
    Case("haiku", "net/~/lstm", {"net/~/lstm/linear.w": (IN + H, 4 * H), "net/~/lstm/linear.b": (4 * H,)},
         lambda t: quarters(t["net/~/lstm/linear.b"], "igfo", 1.0)),
    Case("sonnet", "core", {"core/w_i": (IN, 4 * H), "core/w_h": (H, 4 * H), "core/b": (4 * H,)},
         lambda t: quarters(t["core/b"], "ifgo")),
    Case("gluon", "lstm0", {"lstm0_l0_i2h_weight": (4 * H, IN), "lstm0_l0_h2h_weight": (4 * H, H), "lstm0_l0_i2h_bias": (4 * H,), "lstm0_l0_h2h_bias": (4 * H,)},
         lambda t: quarters(t["lstm0_l0_i2h_bias"] + t["lstm0_l0_h2h_bias"], "ifgo")),
    Case("gluon", "net", {f"net._unfused.1.l_cell.{s}_{k}": z for s, w in (("i2h", IN), ("h2h", H)) for k, z in (("weight", (4 * H, w)), ("bias", (4 * H,)))},
         lambda t: quarters(t["net._unfused.1.l_cell.i2h_bias"] + t["net._unfused.1.l_cell.h2h_bias"], "ifgo")),
    Case("short", "cell", {"cell.w_ih": (4 * H, IN), "cell.w_hh": (4 * H, H), "cell.b_ih": (4 * H,), "cell.b_hh": (4 * H,)},
         lambda t: quarters(t["cell.b_ih"] + t["cell.b_hh"], "ifgo")),
    Case("bayesian", "net", {f"net.{n}_{p}": z for n, z in (("weight_ih", (IN, 4 * H)), ("weight_hh", (H, 4 * H)), ("bias", (4 * H,))) for p in ("mu", "rho")},
         lambda t: quarters(t["net.bias_mu"], "ifgo")),
    Case("child-sum-tree", "tree", {"tree.ioux.weight": (3 * H, IN), "tree.ioux.bias": (3 * H,), "tree.iouh.weight": (3 * H, H), "tree.iouh.bias": (3 * H,),
                                    "tree.fx.weight": (H, IN), "tree.fx.bias": (H,), "tree.fh.weight": (H, H), "tree.fh.bias": (H,)},
         lambda t: (t["tree.fx.bias"] + t["tree.fh.bias"], (t["tree.ioux.bias"] + t["tree.iouh.bias"])[:H], (t["tree.ioux.bias"] + t["tree.iouh.bias"])[2 * H:])),
    Case("graph-conv", "net", {f"net.{n}_{g}{k}": z for g in "ifco" for n, k, z in
                               (("conv_x", ".bias", (H,)), ("conv_h", ".bias", (H,)), ("conv_x", ".lins.0.weight", (H, IN)), ("conv_h", ".lins.0.weight", (H, H)), ("b", "", (1, H)))}
         | {f"net.w_c_{g}": (1, H) for g in "ifo"},
         lambda t: tuple(t[f"net.conv_x_{g}.bias"] + t[f"net.conv_h_{g}.bias"] + t[f"net.b_{g}"][0] for g in "fic")),
    Case("mlx-bidirectional", "enc", {"enc.Wx_forward": (4 * H, IN), "enc.Wh_forward": (4 * H, H), "enc.bias_ih_forward": (4 * H,), "enc.bias_hh_forward": (4 * H,)},
         lambda t: quarters(t["enc.bias_ih_forward"] + t["enc.bias_hh_forward"], "ifgo")),
    Case("opacus", "cell", {"cell.ih.weight": (4 * H, IN), "cell.hh.weight": (4 * H, H), "cell.ih.bias": (4 * H,), "cell.hh.bias": (4 * H,)},
         lambda t: quarters(t["cell.ih.bias"] + t["cell.hh.bias"], "ifgo")),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.convention}-{case.module}")
def test_row_against_the_formula_of_its_source(case: Case) -> None:
    draw = np.random.default_rng(0)
    tensors = {name: draw.normal(size=size) for name, size in case.shapes.items()}
    file = lstm_audit.audit(tensors, units=True).files[0]
    assert file.skipped == ()
    (row,) = file.rows
    assert (row.lstm.identity.convention, row.lstm.identity.module) == (
        case.convention,
        case.module,
    )
    forget, written, candidate = case.formula(tensors)
    assert row.measures.gates["f"].mean == pytest.approx(forget.mean(), rel=1e-12)
    assert row.measures.activation.mean == pytest.approx(
        (1 / (1 + np.exp(-forget))).mean(), rel=1e-12
    )
    assert row.measures.gates["i"].mean == pytest.approx(written.mean(), rel=1e-12)
    assert row.measures.gates["g"].mean == pytest.approx(candidate.mean(), rel=1e-12)


def test_two_rows_with_one_tail_are_two_rows() -> None:
    """The second once replaced the first, for a row was looked up by its tail."""
    from lstm_audit.formats.live import read_mapping

    first = next(row for row in CONVENTIONS if row.name == "short")
    other = first._replace(name="other", order="gifo", offset=1.0)
    state = {"w_ih": np.zeros((4 * H, IN)), "w_hh": np.zeros((4 * H, H)), "b_ih": np.zeros(4 * H)}
    checkpoint = read_mapping(state)
    names = list(checkpoint.tensors)
    rows = [row_of(first), row_of(other)]
    found = [group.convention.name for row in rows for group in match(row, names, checkpoint)]
    assert found == ["short", "other"]
    assert [lstm.convention for lstm in find_lstms(checkpoint).lstms] == ["short"]


def test_coupled_gates_are_said() -> None:
    cell = "rnn/coupled_input_forget_gate_lstm_cell"
    state = {f"{cell}/W_0": np.zeros((IN + H, 3 * H)), f"{cell}/B": np.zeros(3 * H)}
    (file,) = lstm_audit.audit(state).files
    assert not file.rows
    assert "1 - f" in file.skipped[0].detail
