"""LSTMs, and what is none, under the names that authors give them: never silent, never a wrong
number.

Every situation is one of a kind that bug reports name; the names are others. A row must hold the
activation of the cell that is built beside it; else a `skipped` entry that counts must be there.
"""

import itertools
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from strange import (
    F1,
    IN,
    MODEL,
    H,
    Tensors,
    audited,
    counted,
    gates,
    joint,
    one,
    pair,
    sides,
    under,
    unit,
    zeros,
)
from torch import nn

import lstm_audit
from lstm_audit.errors import NotPatchable

TUTORIAL = {
    f"rnn.linear_{n}_{side}{k}.weight": zeros(H, IN if side == "w" else H)
    for (n, k), side in itertools.product((("forget", 1), ("gate", 2), ("gate", 3), ("gate", 4)), "wr")
}  # fmt: skip
QUATERNION = {f"qlstm.w{g}x.{p}_weight": zeros(2, 4) for g in "fioc" for p in "rijk"}
QUATERNION |= {f"qlstm.u{g}h.{p}_weight": zeros(4, 4) for g in "fioc" for p in "rijk"}
QUATERNION |= gates("qlstm.w@x.bias", "fioc", H)

A_TENSOR_A_GATE: dict[str, Tensors] = {
    "letters of the torch manual": sides("rnn.W_i@", "rnn.W_h@", "rnn.b_i@") | gates("rnn.b_h@", "ifgo", H),
    "forget and three gates": TUTORIAL,
    "time in the name": joint("enc.cell.@_t", "ifgo"),
    "gate before": joint("cell.gate_@", "fioc"),
    "gate behind": joint("m.@gate", ["f", "i", "o", "c"]),
    "capital modules": joint("m.@Gate.fc", ["Forget", "Input", "Output", "Cell"]),
    "camels": joint("m.@Gate", ["forget", "input", "output", "candidate"]),
    "numbers for gates": {f"lstm.cell.gates.{k}.{n}": zeros(*s) for k in range(4) for n, s in (("weight", (H, IN + H)), ("bias", (H,)))},
    "remember": joint("cell.@_gate", ["remember", "input", "output", "cell"]),
    "keep, write, read": joint("cell.@_gate", ["keep", "write", "read", "candidate"]),
    "f_x and f_h": sides("cell.@_x.weight", "cell.@_h.weight", "cell.@_x.bias"),
    "fx and fh": sides("cell.@x.weight", "cell.@h.weight", "cell.@x.bias", "ifco"),
    "x2f and h2f": sides("cell.x2@.weight", "cell.h2@.weight", "cell.x2@.bias", "ifco"),
    "kernel_f": sides("cell.kernel_@", "cell.recurrent_kernel_@", "cell.bias_@", "ifco"),
    "weight_forget": sides("cell.weight_@", "cell.recurrent_@", "cell.bias_@", ["forget", "input", "cell", "output"]),
    "dicts of gates": sides("cell.@.W", "cell.@.U", "cell.@.b", ["forget", "input", "cell", "output"]),
    "sequences": joint("cell.@.0", ["forget_gate", "input_gate", "output_gate", "cell_gate"]),
    "w_f_ih": sides("cell.w_@_ih", "cell.w_@_hh", "cell.b_@_ih"),
    "coupled, in words": joint("lstm.@_gate", ["forget", "output", "cell"]),
    "coupled, in letters": sides("cell.W_@.weight", "cell.U_@.weight", "cell.W_@.bias", "fco"),
    "capitals": gates("cell.@_W", ["FORGET", "INPUT", "OUTPUT", "CELL"], H, IN + H) | gates("cell.@_B", ["FORGET", "INPUT", "OUTPUT", "CELL"], H),
    "the bias as a column": gates("cell.theta_@", "ifgo", H, IN + H + 1),
    "no bias at all": gates("cell.W@.weight", "ifgo", H, IN) | gates("cell.U@.weight", "ifgo", H, H),
    "a recurrent weight in two factors": gates("enc.cell.@_x.weight", ["input", "forget", "cell", "output"], H, IN) | gates("enc.cell.@_down.weight", ["input", "forget", "cell", "output"], 3, H) | gates("enc.cell.@_up.weight", ["input", "forget", "cell", "output"], H, 3),
    "the same by words alone": gates("net.@_x.weight", ["input", "forget", "cell", "output"], H, IN) | gates("net.@_down.weight", ["input", "forget", "cell", "output"], 3, H) | gates("net.@_up.weight", ["input", "forget", "cell", "output"], H, 3),
    "two ways": sides("fwd.W_@", "fwd.U_@", "fwd.b_@") | sides("bwd.W_@", "bwd.U_@", "bwd.b_@"),
    "parts of quaternions": QUATERNION,
}  # fmt: skip

PAIRS = [
    ("linear_ih", "linear_hh"), ("x_to_gates", "h_to_gates"), ("input_to_gates", "hidden_to_gates"),
    ("W_x", "W_h"), ("in_proj", "rec_proj"), ("i2g", "h2g"), ("feedforward", "recurrent"), ("W", "U"),
    ("input_transform", "hidden_transform"), ("wx", "uh"), ("i_linear", "h_linear"), ("from_input", "from_hidden"),
    ("x_linear", "s_linear"), ("emb2gates", "hid2gates"), ("Wih", "Whh"), ("xgates", "hgates"), ("ff", "rec"),
    ("input2gates", "state2gates"), ("weightIh", "weightHh"), ("w_ih", "w_mh"), ("embed_to_gates", "state_to_gates"),
    ("W_x", "W_m"), ("features_proj", "hidden_proj"),
]  # fmt: skip

ONE_WEIGHT: dict[str, Tensors] = {
    "lstm.weight": one("lstm", 4 * H, IN + H),
    "lstm_kernel": {"lstm_kernel": zeros(IN + H, 4 * H), "lstm_bias": zeros(4 * H)},
    "fc of an rnn's cell": one("rnn.cell.fc", 4 * H, IN + H),
    "linear_ifoc": one("core.linear_ifoc", 4 * H, IN + H),
    "xh2gates": one("core.xh2gates", 4 * H, IN + H),
    "gate_linear": one("dec.cell.gate_linear", 4 * H, IN + H),
    "a module of no name": {"lstm/~/gates/w": zeros(IN + H, 4 * H), "lstm/~/gates/b": zeros(4 * H)},
    "four matrices in one": {"lstm.weight": zeros(4, IN + H, H), "lstm.bias": zeros(4, H)},
    "four and four": {"c.W": zeros(4, H, IN), "c.U": zeros(4, H, H), "c.b": zeros(4, H)},
    "a list of parameters": {f"lstm.params.{k}": zeros(*s) for k, s in enumerate([(4 * H, IN), (4 * H, H), (4 * H,), (4 * H,)])},
    "a list of weights": {f"lstm_layer.weights.{k}": zeros(*s) for k, s in enumerate([(IN, 4 * H), (H, 4 * H), (4 * H,)])},
    "layers without words": pair("net.lstm_cell", "fc1", "fc2"),
    "any matrix of a cell": one("encoder.cell.W", 4 * H, IN + H),
    "any matrix of a decoder's": one("net.decoder_cell.combined", 4 * H, IN + H),
    "any matrix of an lstm": one("lstm.concat_linear", 4 * H, IN + H),
    "two children": {"tree_lstm.comp.weight": zeros(5 * H, 2 * H), "tree_lstm.comp.bias": zeros(5 * H)},
    "gates_linear": one("net.core.gates_linear", 4 * H, IN + H),
    "gate_proj_xh": one("net.core.gate_proj_xh", 4 * H, IN + H),
    "gates without a bias": one("net.core.fused_gates", 4 * H, IN + H, bias=False),
    "two nameless layers of a cell": pair("encoder.cell", "A", "B"),
    "two lists of parameters": {f"net.core.{n}.{k}": zeros(*size) for k in range(4) for n, size in (("W", (IN, H)), ("R", (H, H)), ("b", (H,)))},
    "two lists in a cell": {f"net.cell.{n}.{k}": zeros(*size) for k in range(4) for n, size in (("W", (IN, H)), ("R", (H, H)))},
    "one vector of a cell": {"encoder.cell.weights": zeros(4 * H * (IN + H + 1))},
    "torch's word for one vector": {"net.core.flat_weights": zeros(4 * H * (IN + H + 1))},
    "ordered neurons": {"onlstm.ih.0.weight": zeros(4 * H + 8, IN), "onlstm.hh.weight": zeros(4 * H + 8, H)},
}  # fmt: skip

CONVOLUTIONS: dict[str, Tensors] = {
    f"{stem} of {path}": one(f"{path}.{stem}", 4 * H, 3 + H, 3, 3)
    for stem in ("conv_gates", "gates", "conv", "in_conv", "conv2d", "conv_xh", "gate_conv")
    for path in ("convlstm.0", "cells.0")
} | {
    "a convolution and its norm": one("rnn1.conv.0", 4 * H, 3 + H, 5, 5)
    | {"rnn1.conv.1.weight": zeros(4 * H), "rnn1.conv.1.bias": zeros(4 * H)},
    "two convolutions": one("cell.input_conv", 4 * H, 3, 3, 3)
    | one("cell.hidden_conv", 4 * H, H, 3, 3),
    "many convolutions in one": one("lstm.gate_convs", 4 * H, 3 + H, 1, 1),
    "two lists of convolutions": one("net.conv_xs", 4 * H, 3, 3, 3)
    | one("net.conv_hs", 4 * H, H, 3, 3),
    "in depth, then in points": one("cell.pointwise", 4 * H, 3 + H, 1, 1)
    | {"cell.depthwise.weight": zeros(3 + H, 1, 3, 3), "cell.depthwise.bias": zeros(3 + H)},
    "in time": one("lstm.conv", 4 * H, IN + H, 3),
    "in space and time": one("cell_list.0.conv3d", 4 * H, IN + H, 3, 3, 3),
    "a convolution a gate": gates("cell.conv_@.weight", "ifco", H, 3 + H, 3, 3)
    | gates("cell.conv_@.bias", "ifco", H),
}


def dense(name: str, rows: int, columns: int) -> Tensors:
    return {f"{name}.weight": zeros(rows, columns), f"{name}.bias": zeros(rows)}


BESIDE_AN_LSTM = {
    "in front of one": dense("pre_lstm.0", 128, 64) | dense("embed_lstm.fc1", 128, 64),
    "behind one": dense("fc_lstm.0", 128, 64) | dense("lstm_head.0", 128, 64),
    "of biology": dense("cell_encoder.0", 256, 96) | dense("cell_mlp", 256, 96),
    "four layers of an rnn": {f"net.{n}.{k}": zeros(H, H) for k in range(4) for n in "WU"}
    | {f"net.b.{k}": zeros(H) for k in range(4)},
    "an rnn's own": dense("encoder.cell.linear", H, IN + H),
    "blocks of a picture's network": {
        f"stage3.{k}.{n}.weight": zeros(*size, 3, 3)
        for k in range(3)
        for n, size in (("fuse_layers.1.0.0.0", (36, 18)), ("branches.0.0.conv1", (18, 18)))
    },
    "blocks of selected kernels": {
        f"layer1.{k}.{n}.weight": zeros(*size, 3, 3)
        for k in range(2)
        for n, size in (
            ("conv1.paths.0.conv", (64, 32)),
            ("conv1.paths.1.conv", (64, 32)),
            ("conv2.conv", (64, 64)),
        )
    },
    "biases of several heads": {
        f"rg_lru.{n}_gate_bias": zeros(4, 16) for n in ("input", "recurrent")
    },
    "two towers": dense("net.user", 4 * H, IN) | dense("net.item", 4 * H, H),
}
"""What has the words or the shapes, not both."""


@pytest.mark.parametrize("name", BESIDE_AN_LSTM)
def test_a_layer_beside_an_lstm_is_none(name: str) -> None:
    file = audited(BESIDE_AN_LSTM[name])
    assert (file.rows, counted(file)) == ((), [])


FLAT = [
    "lstm._flat_weights_buffer", "flat_param_0", "lstm.flat_weights", "lstm.weights", "lstm.w", "encoder.lstm.flat",
    "lstm.cudnn_weight", "rnn.flat_parameters", "lstm.params", "module._fpw_module.flat_param_1", "flattened_params",
    "lstm.packed_weights", "_flat_params_tensor", "cudnn_lstm/opaque_kernel",
]  # fmt: skip

SILENT = (
    A_TENSOR_A_GATE
    | {f"{x} and {h}": pair("net.core", x, h) for x, h in PAIRS}
    | ONE_WEIGHT
    | CONVOLUTIONS
    | {name: {name: zeros(4 * H * (IN + H + 2))} for name in FLAT}
    | {
        "joined by two": under("enc__cell__", sides("W_@", "U_@", "b_@")),
        "joined words": {k.replace(".", "__"): v for k, v in joint("enc.@_gate", ["forget", "input", "cell", "output"]).items()},
        "joined by pipes": {k.replace(".", "|"): v for k, v in pair("enc", "x2h", "h2h").items()},
    }
)  # fmt: skip


@pytest.mark.parametrize("name", SILENT)
def test_an_lstm_of_ones_own_is_said(name: str) -> None:
    file = audited(SILENT[name])
    assert file.rows == ()
    assert {entry.reason for entry in counted(file)} <= {"unknown-convention", "extra-terms"}
    assert counted(file)


@pytest.mark.parametrize("joint", ["lstm__", "net|lstm|", "ema_lstm", "lstm:", "enc::lstm::", "p_"])
def test_names_joined_by_anything_are_read(joint: str) -> None:
    """The state of a torch.nn.LSTM, whose forget gate is set to 1 by halves."""
    state = nn.LSTM(IN, H).state_dict()
    half = {name: unit(value=0.5) if "bias" in name else w for name, w in state.items()}
    (row,) = audited(under(joint, half)).rows
    assert row.measures.activation.mean == pytest.approx(F1)


# --- more than the biases enters the gate


BARE = {"weight_ih": zeros(4 * H, IN), "weight_hh": zeros(4 * H, H)}
BIASED = BARE | {"bias_ih": unit(), "bias_hh": zeros(4 * H)}
EXTRA: dict[str, Tensors] = {
    **{f"a vector, {n}": {n: unit()} for n in ("b", "gate_bias", "bias_mh", "offset", "bias_ctx", "lora_b_ih")},
    **{f"a vector of H, {n}": {n: torch.ones(H)} for n in ("bias_f", "forget_bias", "f_shift")},
    **{f"a number, {n}": {n: torch.ones(())} for n in ("forget_bias", "b_f", "fgate_bias", "forget_offset")},
    "a number of one element": {"forget_bias": torch.ones(1)},
    "four vectors in one": {"bias_extra": unit().reshape(4, H)},
    **{f"a norm, {n}": {f"{n}.weight": torch.ones(4 * H), f"{n}.bias": zeros(4 * H)} for n in ("ln_x", "norm1", "LayerNorm_0", "lns.0")},
    "a norm a gate": {f"norms.{k}.{n}": torch.ones(H) for k in range(4) for n in ("weight", "bias")},
    "statistics of a batch": {f"bn.{k}": torch.ones(4 * H) for k in ("weight", "bias", "running_mean", "running_var")},
    "a context": {"ctx.weight": zeros(4 * H, 5), "ctx.bias": unit()},
    "a context without a bias": {"speaker.weight": zeros(4 * H, 5)},
    "scale and shift": {"film.weight": zeros(8 * H, 5), "film.bias": zeros(8 * H)},
    "a third matrix": {"weight_sh": zeros(4 * H, H)},
    "products of both sides": {"alpha": torch.ones(4 * H), "beta1": torch.ones(4 * H), "beta2": torch.ones(4 * H)},
}  # fmt: skip


@pytest.mark.parametrize("name", EXTRA)
def test_what_may_enter_the_gate_takes_the_row_away(name: str, tmp_path: Path) -> None:
    """And a patch, which would not do what it says, is refused."""
    state = under("core.", BIASED | EXTRA[name])
    file = audited(state)
    assert [(entry.module, entry.reason) for entry in file.skipped] == [("core", "extra-terms")]
    torch.save(state, tmp_path / "m.pt")
    before = (tmp_path / "m.pt").read_bytes()
    with pytest.raises(NotPatchable):
        lstm_audit.patch(tmp_path / "m.pt", forget_bias=2.0)
    assert (tmp_path / "m.pt").read_bytes() == before


@pytest.mark.parametrize("names", ["a_2 b_2", "gamma beta", "weight bias"])
def test_a_norm_alone_gives_its_beta(names: str) -> None:
    """At x = 0 and h = 0 LN(0) is its beta, whatever it stands over."""
    gain, beta = names.split()
    state = BARE | {f"ln.{gain}": torch.ones(4 * H), f"ln.{beta}": unit(value=2.0)}
    zero = nn.LayerNorm(4 * H)
    zero.bias.data[:] = state[f"ln.{beta}"]
    (row,) = audited(under("core.", state)).rows
    truth = torch.sigmoid(zero(zeros(1, 4 * H))[0, H : 2 * H]).mean().detach()
    assert row.measures.activation.mean == pytest.approx(float(truth), rel=1e-6)


BESIDE = {
    "peepholes": {f"w_c{g}": torch.ones(H) for g in "ifo"},
    "states": {"h0": torch.ones(1, H), "c0": torch.ones(1, H)},
    "a head": {"fc.weight": zeros(10, H), "fc.bias": zeros(10)},
    "a norm on the way out": {"ln_out.weight": torch.ones(H), "ln_out.bias": torch.ones(H)},
}


@pytest.mark.parametrize("name", BESIDE)
def test_what_enters_no_gate_leaves_the_row(name: str) -> None:
    (row,) = audited(under("core.", BIASED | BESIDE[name])).rows
    assert row.measures.activation.mean == pytest.approx(F1)


# --- another kind of cell


class Cell(nn.Module):
    """torch's names; the class is given another name below."""

    def __init__(self, blocks: int = 4) -> None:
        super().__init__()
        for name, size in (
            ("weight_ih", (IN,)),
            ("weight_hh", (H,)),
            ("bias_ih", ()),
            ("bias_hh", ()),
        ):
            self.register_parameter(name, nn.Parameter(torch.zeros(blocks * H, *size)))  # fmt: skip


OTHERS = [
    "MGUCell", "LightGRU", "UGRNNCell", "SRUCell", "QRNNLayer", "IndRNNCell", "RANCell", "BRC", "NBRC", "GatedRecurrentUnit",
    "FastGRNN", "CFNCell", "JANETCell", "LEMCell", "LMUCell", "CoRNN", "NASCell", "AntisymmetricRNN", "GRU_D", "CTRNN",
]  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_a_class_that_is_no_lstm_has_a_veto(name: str) -> None:
    cell = type(name, (Cell,), {"__module__": __name__})()
    file = audited(nn.ModuleDict({"rnn": cell}))
    assert file.rows == ()
    assert [entry.module for entry in file.skipped] == ["rnn"]


@pytest.mark.parametrize("name", ["PeepholeLSTMCell", "VanillaLSTM", "ForgetLSTM", "ProgramCell"])
def test_a_class_that_is_one_has_none(name: str) -> None:
    cell = type(name, (Cell,), {"__module__": __name__})()
    assert len(audited(nn.ModuleDict({"rnn": cell})).rows) == 1


@pytest.mark.parametrize("path", ["noforget_lstm", "cifg_lstm", "coupled_lstm.cell"])
def test_an_lstm_of_three_gates_is_no_gru(path: str) -> None:
    sizes = {"weight_ih": (3 * H, IN), "weight_hh": (3 * H, H), "bias_ih": (3 * H,)}
    file = audited({f"{path}.{name}": zeros(*size) for name, size in sizes.items()})
    assert [entry.reason for entry in counted(file)] == ["conflicting-evidence"]


# --- what only looks like a model, and models that only look like something else


ALONE = [
    "grad_dict", "gradient_dict", "accumulated_grads", "fisher_dict", "ewc_fisher", "gradSquared", "hessian_diag",
    "adam_m", "adam/v", "first_moment", "second_moments", "cov_mat_sqrt", "importance_scores", "c_local",
    "c_global", "control_variates", "scaffold_c", "pseudo_gradient", "adamw_v", "nadam_m", "grad_ema", "ema_grads",
    "sum_of_gradients", "hessian_trace", "empirical_fisher", "feddyn_grad",
]  # fmt: skip
BESIDE_A_MODEL = [
    "si_omega", "mas_importance", "swag_sq_mean", "pruning_mask", "lottery_mask", "m", "v", "sigma", "log_var",
    "eps", "momentum_buffers", "task_vector", "control_variate", "taylor_scores", "error_feedback",
    "preconditioner", "posterior_std", "slots", "ewc_precision", "dropout_mask", "kfac", "delta", "client_controls",
    "c", "u", "dual_variables", "lagrange_multipliers", "correction", "drift", "weight_diff", "client_update",
    "model_delta", "server_momentum", "nesterov_momentum", "heavy_ball_velocity", "adafactor_stats",
    "gradient_history", "big_omega", "path_integral", "shampoo_precond", "kron", "muon", "lion_m", "snr",
    "attributions", "residuals", "curvature", "grad_abs_max", "velocity", "momentum",
]  # fmt: skip


@pytest.mark.parametrize("word", ALONE + BESIDE_A_MODEL)
def test_what_training_gathered_is_no_model(word: str, tmp_path: Path) -> None:
    other = {name: value * 0.01 for name, value in MODEL.items()}
    torch.save({"model": MODEL, word: other}, tmp_path / "m.pt")
    file = audited(tmp_path / "m.pt")
    assert [row.lstm.identity.module for row in file.rows] == ["model.lstm"]
    assert {entry.reason for entry in file.skipped} == {"optimizer-state"}


@pytest.mark.parametrize("word", ALONE)
def test_and_no_model_without_one(word: str, tmp_path: Path) -> None:
    torch.save({word: MODEL}, tmp_path / "m.pt")
    assert audited(tmp_path / "m.pt").rows == ()


WORDS_OF_BUFFERS = [
    "EWC_prev_task", "EWC_estimated_fisher", "SI_omega", "fisher", "mean", "sq_mean", "importance", "grad", "old",
]  # fmt: skip


@pytest.mark.parametrize("word", WORDS_OF_BUFFERS)
@pytest.mark.parametrize("joint", [".", "__"])
def test_a_buffer_called_like_a_bias_is_none(word: str, joint: str) -> None:
    """Continual learning keeps them in the model itself, some without dots in their names."""
    buffers = {f"{k.replace('.', joint)}_{word}": v * 0 for k, v in MODEL.items() if "lstm" in k}
    file = audited(MODEL | buffers)
    assert [row.lstm.identity.module for row in file.rows] == ["lstm"]
    assert file.rows == audited(MODEL).rows
    assert counted(file) == []


MODELS_TOO = [
    "meta_optimizer", "optim.net", "learned_optim", "opt", "optimizers.0", "optimizer_state_dict.net", "gradient_encoder",
    "mask_net", "fisher_net", "mean_head",
]  # fmt: skip


@pytest.mark.parametrize("path", MODELS_TOO)
def test_a_model_called_like_an_optimizer_is_one(path: str) -> None:
    (row,) = audited(under(f"{path}.lstm.", nn.LSTM(IN, H).state_dict())).rows
    assert row.lstm.identity.module == f"{path}.lstm"


@pytest.mark.parametrize("pair", [("mask", "speech"), ("noise", "clean"), ("mean", "encoder")])
def test_two_branches_of_one_model_are_two_rows(pair: tuple[str, str]) -> None:
    """A word that could be a statistic is a branch beside another branch of the same shapes."""
    state = {f"{path}.{name}": value.clone() for path in pair for name, value in MODEL.items()}
    assert sorted(r.lstm.identity.module for r in audited(state).rows) == sorted(
        f"{p}.lstm" for p in pair
    )


def test_there_are_a_hundred_of_them() -> None:
    assert len(SILENT) + len(EXTRA) + len(OTHERS) + len(ALONE) + len(BESIDE_A_MODEL) > 140
