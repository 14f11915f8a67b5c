"""More LSTMs, and what is none, than test_strangers has: the names of ports to other languages, of older
frameworks, of arrays that hold several cells, and of what federated training keeps beside a model.
"""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from strange import (
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
    unit,
    zeros,
)

import lstm_audit
from lstm_audit.errors import NotPatchable

FOUR = 4 * H

SAID: dict[str, Tensors] = {
 "flux": {"cell.Wi":zeros(FOUR,IN),"cell.Wh":zeros(FOUR,H),"cell.b":zeros(FOUR)},
 "gorgonia": sides("w@x","w@h","bias_@","ifco"),
 "brain.js": {f"hidden.{w}{k}":zeros(*s) for w in ("input","forget","output","cellActivation") for k,s in (("Matrix",(H,IN)),("Hidden",(H,H)),("Bias",(H,1)))},
 "dl4j": {"0_W":zeros(IN,FOUR),"0_RW":zeros(H,FOUR),"0_b":zeros(1,FOUR)},
 "kaldi": {"lstm.w_gifo_x":zeros(FOUR,IN),"lstm.w_gifo_r":zeros(FOUR,H),"lstm.bias":zeros(FOUR)},
 "kaldi nnet1": {"net.w_gifo_x_":zeros(FOUR,IN),"net.w_gifo_r_":zeros(FOUR,H),"net.bias_":zeros(FOUR)},
 "lasagne": {f"l.{n}{gt}":zeros(*s) for gt in ("ingate","forgetgate","cell","outgate") for n,s in (("W_in_to_",(IN,H)),("W_hid_to_",(H,H)),("b_",(H,)))},
 "theano tutorial": {"lstm_W":zeros(H,FOUR),"lstm_U":zeros(H,FOUR),"lstm_b":zeros(FOUR)},
 "theano encoder": {"encoder_W":zeros(IN,FOUR),"encoder_U":zeros(H,FOUR),"encoder_b":zeros(FOUR)},
 "caffe": {"lstm1/0":zeros(FOUR,IN),"lstm1/1":zeros(FOUR),"lstm1/2":zeros(FOUR,H)},
 "caffe dots": {"lstm1.0":zeros(FOUR,IN),"lstm1.1":zeros(FOUR),"lstm1.2":zeros(FOUR,H)},
 "fluid": {"lstm_0.w_0":zeros(H,FOUR),"lstm_0.b_0":zeros(1,FOUR),"fc_0.w_0":zeros(IN,FOUR),"fc_0.b_0":zeros(FOUR)},
 "fluid peep": {"lstm_0.w_0":zeros(H,FOUR),"lstm_0.b_0":zeros(1,7*H),"fc_0.w_0":zeros(IN,FOUR)},
 "dynet": {"/vanilla-lstm-builder/_0":zeros(FOUR,IN),"/vanilla-lstm-builder/_1":zeros(FOUR,H),"/vanilla-lstm-builder/_2":zeros(FOUR)},
 "matlab": {"lstm.InputWeights":zeros(FOUR,IN),"lstm.RecurrentWeights":zeros(FOUR,H),"lstm.Bias":zeros(FOUR,1)},
 "matlab bare": {"InputWeights":zeros(FOUR,IN),"RecurrentWeights":zeros(FOUR,H),"Bias":zeros(FOUR,1)},
 "wolfram": {f"net/{gt}Gate{k}":zeros(*s) for gt in ("Input","Forget","Output","Memory") for k,s in (("InputWeights",(H,IN)),("StateWeights",(H,H)),("Biases",(H,)))},
 "jax wi wh": {"params/lstm/wi":zeros(IN,FOUR),"params/lstm/wh":zeros(H,FOUR),"params/lstm/b":zeros(FOUR)},
 "gates_ih": pair("net.c","gates_ih","gates_hh"),
 "projections": pair("net.c","input_projection","recurrent_projection"),
 "x_proj": pair("net.c","x_proj","h_proj"),
 "weight_xh": {"c.weight_xh":zeros(FOUR,IN),"c.weight_hh":zeros(FOUR,H),"c.bias":zeros(FOUR)},
 "camel": pair("net.c","inputToHidden","hiddenToHidden"),
 "w1 w2 in lstm": {"lstm.w1":zeros(IN,FOUR),"lstm.w2":zeros(H,FOUR),"lstm.b":zeros(FOUR)},
 "fgate": joint("cell.@gate","ifoc"),
 "weights_f_x": sides("m.weights_@_x","m.weights_@_h","m.bias_@","ifgo"),
 "forget_x": {f"m.{w}_{k}.weight":zeros(H,IN if k=="x" else H) for w in ("forget","input","output","cell") for k in "xh"},
 "W_forget_x": {f"m.W_{w}_{k}":zeros(H,IN if k=="x" else H) for w in ("forget","input","output","candidate") for k in "xh"},
 "rnn_cell.gates_kernel": {"rnn_cell.gates_kernel":zeros(IN+H,FOUR),"rnn_cell.gates_bias":zeros(FOUR)},
 "scan": {"lstm/w_i":zeros(3,IN,FOUR),"lstm/w_h":zeros(3,H,FOUR),"lstm/b":zeros(3,FOUR)},
 "flax scan": {f"layers/cell/{s}{k}/{n}":zeros(*sz) for k in "ifgo" for s,n,sz in (("i","kernel",(3,H,H)),("h","kernel",(3,H,H)),("h","bias",(3,H)))},
 "vmap": {"m.weight_ih_l0":zeros(5,FOUR,IN),"m.weight_hh_l0":zeros(5,FOUR,H),"m.bias_ih_l0":zeros(5,FOUR),"m.bias_hh_l0":zeros(5,FOUR)},
 "onnx npz": {"lstm.W":zeros(1,FOUR,IN),"lstm.R":zeros(1,FOUR,H),"lstm.B":zeros(1,2*FOUR)},
 "onnx bare": {"W":zeros(1,FOUR,IN),"R":zeros(1,FOUR,H),"B":zeros(1,2*FOUR)},
 "haiku vmap": {"lstm/linear/w":zeros(3,IN+H,FOUR),"lstm/linear/b":zeros(3,FOUR)},
 "keras vmap": {"a.recurrent_kernel":zeros(2,H,FOUR),"a.kernel":zeros(2,IN,FOUR),"a.bias":zeros(2,FOUR)},
 "dashes": {"lstm-weight-ih":zeros(FOUR,IN),"lstm-weight-hh":zeros(FOUR,H),"lstm-bias-ih":zeros(FOUR),"lstm-bias-hh":zeros(FOUR)},
 "upper": {"LSTM.WEIGHT_IH_L0":zeros(FOUR,IN),"LSTM.WEIGHT_HH_L0":zeros(FOUR,H),"LSTM.BIAS_IH_L0":zeros(FOUR),"LSTM.BIAS_HH_L0":zeros(FOUR)},
 "camel torch": {"lstm.weightIhL0":zeros(FOUR,IN),"lstm.weightHhL0":zeros(FOUR,H),"lstm.biasIhL0":zeros(FOUR)},
 "arrow": {"enc->core->i2h":zeros(FOUR,IN),"enc->core->h2h":zeros(FOUR,H)},
 "colons": pair("enc::core","i2h","h2h") ,
 "pos forget": {f"m.lin_{k}.{w}.weight":zeros(H,IN if k=="x" else H) for w in ("forget","input","output","cell") for k in "xh"},
 "lmbda": {f"cell.{w}.{k}":zeros(*s) for w in ("forgetting","inputting","outputting","cand") for k,s in (("weight",(H,IN+H)),("bias",(H,)))},
 "lstm gate enum": {f"lstm.gate{k}.{n}":zeros(*s) for k in "1234" for n,s in (("weight",(H,IN+H)),("bias",(H,)))},
 "lstm fc1..4": {f"lstm_cell.fc{k}.{n}":zeros(*s) for k in "1234" for n,s in (("weight",(H,IN+H)),("bias",(H,)))},
 "peephole i f o": sides("cell.w_x@","cell.w_h@","cell.b_@","ifco")| gates("cell.w_c@","ifo",H),
 "seq2seq attention cell": one("dec.lstm_cell.linear",FOUR,IN+H+10),
 "two lin in cell": {"cell.input.weight":zeros(FOUR,IN),"cell.input.bias":zeros(FOUR),"cell.state.weight":zeros(FOUR,H)},
 "ih_lin": pair("c","ih_lin","hh_lin"),
 "kernel_x": {"c.kernel_x":zeros(IN,FOUR),"c.kernel_h":zeros(H,FOUR),"c.bias":zeros(FOUR)},
 "w_rec": {"c.w_in":zeros(FOUR,IN),"c.w_rec":zeros(FOUR,H),"c.b":zeros(FOUR)},
 "conv3d stlstm": one("st.cell.conv_all",FOUR,3+H,3,3,3),
 "convs a gate x h": {f"cell.W{s}{k}.{n}":zeros(*sz) for k in "ifco" for s,n,sz in (("x","weight",(H,3,3,3)),("x","bias",(H,)),("h","weight",(H,H,3,3)))},
 "jax conv": {"cell/in_conv/w":zeros(3,3,2,FOUR),"cell/rec_conv/w":zeros(3,3,H,FOUR),"cell/in_conv/b":zeros(FOUR)},
}  # fmt: skip

READ: dict[str, Tensors] = {
 "spaces": {"lstm weight_ih_l0":zeros(FOUR,IN),"lstm weight_hh_l0":zeros(FOUR,H),"lstm bias_ih_l0":zeros(FOUR),"lstm bias_hh_l0":zeros(FOUR)},
 "layer first": {"lstm.l0.weight_ih":zeros(FOUR,IN),"lstm.l0.weight_hh":zeros(FOUR,H),"lstm.l0.bias_ih":zeros(FOUR),"lstm.l0.bias_hh":zeros(FOUR)},
 "backslash": {r"enc\lstm\weight_ih_l0":zeros(FOUR,IN),r"enc\lstm\weight_hh_l0":zeros(FOUR,H),r"enc\lstm\bias_ih_l0":zeros(FOUR),r"enc\lstm\bias_hh_l0":zeros(FOUR)},
}  # fmt: skip

NONE_OF_THEM: dict[str, Tensors] = {
 "convgru ih hh": {"c.ih.weight":zeros(3*H,3,3,3),"c.ih.bias":zeros(3*H),"c.hh.weight":zeros(3*H,H,3,3),"c.hh.bias":zeros(3*H)},
 "convgru 2": {"c.ih.weight":zeros(2*H,3,3,3),"c.ih.bias":zeros(2*H),"c.hh.weight":zeros(2*H,H,3,3),"c.hh.bias":zeros(2*H),"c.ihn.weight":zeros(H,3,3,3)},
 "convrnn": {"c.ih.weight":zeros(H,3,3,3),"c.hh.weight":zeros(H,H,3,3),"c.ih.bias":zeros(H)},
 "indrnn": {"rnn.weight_ih":zeros(H,IN),"rnn.weight_hh":zeros(H),"rnn.bias_ih":zeros(H)},
 "indrnn l0": {"rnn.weight_ih_l0":zeros(H,IN),"rnn.weight_hh_l0":zeros(H),"rnn.bias_ih_l0":zeros(H),"rnn.bias_hh_l0":zeros(H)},
 "indgru": {"rnn.weight_ih":zeros(3*H,IN),"rnn.weight_hh":zeros(3*H),"rnn.bias_ih":zeros(3*H)},
 "ligru torch names": {"rnn.weight_ih_l0":zeros(2*H,IN),"rnn.weight_hh_l0":zeros(2*H,H),"rnn.bias_ih_l0":zeros(2*H)},
 "mgu torch": {"rnn.weight_ih":zeros(2*H,IN),"rnn.weight_hh":zeros(2*H,H),"rnn.bias_ih":zeros(2*H),"rnn.bias_hh":zeros(2*H)},
 "esn": {"res.W_in":zeros(200,IN),"res.W":zeros(200,200),"res.W_out":zeros(10,200),"res.bias":zeros(200)},
 "cfc": {f"cfc.{n}.{leaf}":zeros(*s) for n in ("ff1","ff2","time_a","time_b") for leaf, s in (("weight",(H,64)),("bias",(H,)))},
 "ltc": {f"ltc.{n}":zeros(*s) for n,s in (("gleak",(H,)),("vleak",(H,)),("cm",(H,)),("sigma",(H,H)),("mu",(H,H)),("w",(H,H)),("erev",(H,H)),("sensory_w",(IN,H)))},
 "lru": {"lru.nu_log":zeros(H),"lru.theta_log":zeros(H),"lru.gamma_log":zeros(H),"lru.B_re":zeros(H,IN),"lru.B_im":zeros(H,IN),"lru.C_re":zeros(IN,H),"lru.D":zeros(IN)},
 "mingru": {"rnn.to_hidden_and_gate.weight":zeros(2*H,H),"rnn.to_out.weight":zeros(H,H)},
 "minlstm": {"rnn.linear_f.weight":zeros(H,IN),"rnn.linear_i.weight":zeros(H,IN),"rnn.linear_h.weight":zeros(H,IN)},
 "deltanet": {f"attn.{n}_proj.weight":zeros(64,64) for n in "qkvo"}|{"attn.b_proj.weight":zeros(4,64),"attn.a_proj.weight":zeros(4,64),"attn.A_log":zeros(4),"attn.dt_bias":zeros(4)},
 "ttt": {f"seq.{n}_proj.weight":zeros(64,64) for n in "qkvo"}|{"seq.W1":zeros(4,16,64),"seq.b1":zeros(4,1,64),"seq.W2":zeros(4,64,16),"seq.b2":zeros(4,1,16),"seq.ttt_norm_weight":zeros(4,16)},
 "hyena": {"filter.implicit_filter.0.weight":zeros(64,5),"in_proj.weight":zeros(192,64),"out_proj.weight":zeros(64,64),"short_filter.weight":zeros(192,1,3)},
 "gmlp": {"b.0.proj_in.weight":zeros(256,64),"b.0.sgu.proj_w":zeros(10,10),"b.0.proj_out.weight":zeros(64,128)},
 "fnet": {"b.ff.0.weight":zeros(256,64),"b.ff.2.weight":zeros(64,256)},
 "mixer": {"b.token.fc1.weight":zeros(256,64),"b.token.fc2.weight":zeros(64,256)},
 "lowrank W H": {"m.W":zeros(64,16),"m.H":zeros(16,64)},
 "autoenc": {"encoder.W":zeros(64,256),"decoder.W":zeros(256,64)},
 "gru layers keras": {"a.kernel":zeros(IN,3*H),"a.recurrent_kernel":zeros(H,3*H),"a.bias":zeros(2,3*H)},
 "gru chainer": {f"g/{w}_{k}/{leaf}":zeros(*s) for w in "WU" for k in ("r","z") for leaf, s in (("W",(H,H)),("b",(H,)))}|{"g/W/W":zeros(H,H),"g/U/W":zeros(H,H)},
 "mlp w0..w7": {f"mlp.w{k}":zeros(H,H) for k in range(8)}|{f"mlp.b{k}":zeros(H) for k in range(8)},
 "norm flat": {"layer.weight":zeros(64),"layer.bias":zeros(60)},
 "emb pair": {"item.weight":zeros(6000),"item.bias":zeros(100)},
 "neural gas": {"i2h.weight":zeros(H,IN),"h2h.weight":zeros(H,H),"h2o.weight":zeros(10,H)},
 "sindy": {"f.0.weight":zeros(FOUR,H),"f.2.weight":zeros(H,FOUR),"h.0.weight":zeros(FOUR,H)},
 "x and h mlp": {"net.x.weight":zeros(FOUR,IN),"net.h.weight":zeros(H,FOUR)},
 "hnet": {"W.weight":zeros(FOUR,H),"V.weight":zeros(FOUR,H),"fc.weight":zeros(H,FOUR)},
 "glu": {"ffn.w1.weight":zeros(FOUR,H),"ffn.w3.weight":zeros(FOUR,H),"ffn.w2.weight":zeros(H,FOUR)},
 "swiglu uv": {"ffn.u.weight":zeros(FOUR,H),"ffn.v.weight":zeros(FOUR,H),"ffn.w.weight":zeros(H,FOUR)},
 "swiglu W V": {"ffn.W.weight":zeros(FOUR,H),"ffn.V.weight":zeros(FOUR,H),"ffn.W2.weight":zeros(H,FOUR)},
 "in ff": {"ff.in_proj.weight":zeros(FOUR,H),"ff.rec_proj.weight":zeros(H,FOUR)},
 "moe w13": {"e.0.w_in":zeros(8,H,FOUR),"e.0.w_out":zeros(8,FOUR,H)},
 "siren": {"net.0.linear.weight":zeros(64,2),"net.1.linear.weight":zeros(64,64)},
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_it_is_said(name: str) -> None:
    file = audited(SAID[name])
    assert file.rows == ()
    assert {entry.reason for entry in counted(file)} <= {"unknown-convention", "ambiguous"}
    assert counted(file)


@pytest.mark.parametrize("name", READ)
def test_it_is_read(name: str) -> None:
    (row,) = audited(READ[name]).rows
    assert row.lstm.hidden_size == H


@pytest.mark.parametrize("name", NONE_OF_THEM)
def test_it_is_no_lstm(name: str) -> None:
    file = audited(NONE_OF_THEM[name])
    assert (file.rows, counted(file)) == ((), [])


def test_there_are_enough() -> None:
    assert len(SAID) + len(NONE_OF_THEM) >= 80


@pytest.mark.parametrize("path", ["", "blocks.0.", "xlstm.blocks.1.xlstm.slstm_cell."])
def test_the_kernel_of_an_slstm_by_itself(path: str) -> None:
    """Its layout depends on the backend, which no file holds, whatever module it lies in."""
    file = audited(
        {f"{path}_recurrent_kernel_": zeros(2, H // 2, 4, H // 2), f"{path}_bias_": zeros(FOUR)}
    )
    (entry,) = file.skipped
    assert (file.rows, entry.reason) == ((), "unknown-convention")
    assert "depends on the backend" in entry.detail


def test_a_convolution_s_gru_is_judged_by_no_rule() -> None:
    """Its hidden size is no kernel's size."""
    state = {"c.ih.weight": zeros(3 * H, 3, 3, 3), "c.hh.weight": zeros(3 * H, H, 3, 3)}
    bias = torch.zeros(3 * H)
    bias[H // 4 : H // 2] = 1.0
    file = audited(state | {"c.ih.bias": bias, "c.hh.bias": bias})
    assert (file.rows, file.findings) == ((), ())


# --- a bias that the row of the module has no place for


OWN_ROWS: dict[str, Tensors] = {
    "sonnet": {"w_i": zeros(IN, FOUR), "w_h": zeros(H, FOUR), "b": unit()},
    "haste": {"kernel": zeros(IN, FOUR), "recurrent_kernel": zeros(H, FOUR), "bias": unit()},
    "opacus": {f"{s}h.{n}": z for s, w in (("i", IN), ("h", H)) for n, z in (("weight", zeros(FOUR, w)), ("bias", unit()))},
    "gluon": {"i2h_weight": zeros(FOUR, IN), "h2h_weight": zeros(FOUR, H), "i2h_bias": unit(), "h2h_bias": unit()},
    "ncps": {"input_map.weight": zeros(FOUR, IN), "input_map.bias": unit(), "recurrent_map.weight": zeros(FOUR, H)},
}  # fmt: skip
STRAY = ["bias_ih", "bias_hh", "bias_ih_l0"]


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("name", OWN_ROWS)
def test_a_bias_of_another_row_takes_the_number_away(name: str, stray: str, tmp_path: Path) -> None:
    """It was taken for what a conversion leaves behind, and the gate reported without it."""
    state = {f"m.{key}": value for key, value in OWN_ROWS[name].items()} | {f"m.{stray}": unit()}
    file = audited(state)
    assert [(entry.module, entry.reason) for entry in file.skipped] == [("m", "extra-terms")]
    torch.save(state, tmp_path / "m.pt")
    with pytest.raises(NotPatchable):
        lstm_audit.patch(tmp_path / "m.pt", forget_bias=2.0)


# --- what training keeps beside a model


MODELS_TOO = [
    "lambda_net",
    "step_encoder",
    "c_net",
    "history_encoder",
    "history",
    "client_model",
    "server",
    "u_net",
    "step",
]


@pytest.mark.parametrize("path", MODELS_TOO)
def test_a_model_under_such_a_word_is_one(path: str) -> None:
    assert len(audited({f"{path}.{name}": value for name, value in MODEL.items()}).rows) == 1


PAIRS = [
    ("history", "current"),
    ("step", "word"),
    ("u", "v"),
    ("server", "client"),
    ("z", "x"),
    ("diff", "orig"),
]


@pytest.mark.parametrize("words", PAIRS)
def test_two_branches_under_such_words_are_two(words: tuple[str, str]) -> None:
    state: dict[str, Any] = {}
    for k, word in enumerate(words):
        state |= {f"{word}.{name}": value.clone() + k for name, value in MODEL.items()}
    assert len(audited(state).rows) == 2
