"""Forty architectures by the names and shapes of their state dicts, none of them an LSTM: neither a
row nor `unknown-convention`.

Each is a stem, and below it names with shapes: "*" stands for weight and bias of a linear layer
(or a convolution), "+" for those of a norm.
"""

from itertools import pairwise
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import lstm_audit

H, F = 64, 256
Shapes = dict[str, tuple[int, ...]]


def stack(prefix: str, shapes: Shapes, layers: int = 2) -> Shapes:
    return {f"{prefix}.{k}.{name}": size for k in range(layers) for name, size in shapes.items()}


def mlp(prefix: str, *sizes: int) -> Shapes:
    pairs = pairwise(sizes)
    return {f"{prefix}.{k}*": (b, a) for k, (a, b) in enumerate(pairs)}


ARCHITECTURES: dict[str, Shapes] = {
    "gpt2": stack("transformer.h", {"attn.c_attn*": (H, 3 * H), "attn.c_proj*": (H, H), "mlp.c_fc*": (H, F), "mlp.c_proj*": (F, H), "ln_1+": (H,)}),
    "bert": stack("encoder.layer", {f"attention.self.{n}*": (H, H) for n in ("query", "key", "value")} | {"attention.output.dense*": (H, H), "intermediate.dense*": (F, H), "output.dense*": (H, F), "output.LayerNorm+": (H,)}),
    "llama": stack("model.layers", {f"self_attn.{n}_proj.weight": (H, H) for n in "qkvo"} | {"mlp.gate_proj.weight": (F, H), "mlp.up_proj.weight": (F, H), "mlp.down_proj.weight": (H, F), "input_layernorm.weight": (H,)}),
    "t5": stack("encoder.block", {f"layer.0.SelfAttention.{n}.weight": (H, H) for n in "qkvo"} | {"layer.1.DenseReluDense.wi_0.weight": (F, H), "layer.1.DenseReluDense.wi_1.weight": (F, H), "layer.1.DenseReluDense.wo.weight": (H, F)}),
    "vit": stack("blocks", {"attn.qkv*": (3 * H, H), "attn.proj*": (H, H), "mlp.fc1*": (F, H), "mlp.fc2*": (H, F), "norm1+": (H,)}) | {"cls_token": (1, 1, H), "pos_embed": (1, 197, H)},
    "swin": stack("layers.0.blocks", {"attn.qkv*": (3 * H, H), "attn.relative_position_bias_table": (169, 4), "mlp.fc1*": (F, H), "mlp.fc2*": (H, F)}) | {"layers.0.downsample.reduction.weight": (2 * H, 4 * H)},
    "resnet": stack("layer1", {"conv1.weight": (H, H, 1, 1), "conv2.weight": (H, H, 3, 3), "conv3.weight": (4 * H, H, 1, 1), "bn3+": (4 * H,)}) | {"fc*": (10, F)},
    "convnext": stack("stages.0.blocks", {"conv_dw*": (H, 1, 7, 7), "mlp.fc1*": (F, H), "mlp.fc2*": (H, F), "gamma": (H,), "norm+": (H,)}),
    "efficientnet": stack("blocks.1", {"conv_pw.weight": (F, H, 1, 1), "conv_dw.weight": (F, 1, 3, 3), "se.conv_reduce*": (16, F, 1, 1), "se.conv_expand*": (F, 16, 1, 1), "conv_pwl.weight": (H, F, 1, 1)}),
    "mobilenet v3": stack("features", {"block.0.0.weight": (F, H, 1, 1), "block.2.fc1*": (H, F, 1, 1), "block.2.fc2*": (F, H, 1, 1)}),
    "vgg": {f"features.{k}*": (b, a, 3, 3) for k, (a, b) in enumerate([(3, 64), (64, 128), (128, 256), (256, 256)])} | mlp("classifier", 512, 4096, 4096, 10),
    "unet": {"down.0.conv*": (64, 32, 3, 3), "down.1.conv*": (128, 64, 3, 3), "up.0.conv*": (64, 128, 3, 3), "mid.conv*": (256, 128, 3, 3)},
    "densenet": stack("features.denseblock1.denselayer", {"conv1.weight": (128, H, 1, 1), "conv2.weight": (32, 128, 3, 3), "norm1+": (H,)}),
    "darts": stack("cells", {"preprocess0.op.1.weight": (H, 2 * H, 1, 1), "_ops.0.op.1.weight": (H, 1, 3, 3), "_ops.0.op.2.weight": (H, H, 1, 1)}),
    "nasnet": {f"cell_{k}.{n}.conv.weight": (44, 4 * 44, 1, 1) for k in (0, 1) for n in ("conv_prev_1x1", "conv_1x1")},
    "yolo": stack("model", {"conv.weight": (F, H, 3, 3), "bn+": (F,), "cv1.conv.weight": (128, F, 1, 1)}),
    "detr": stack("transformer.decoder.layers", {"self_attn.in_proj_weight": (3 * H, H), "self_attn.in_proj_bias": (3 * H,), "self_attn.out_proj*": (H, H), "linear1*": (F, H), "linear2*": (H, F)}),
    "whisper": stack("decoder.blocks", {"attn.query*": (H, H), "attn.key.weight": (H, H), "mlp.0*": (F, H), "mlp.2*": (H, F)}),
    "wav2vec": stack("encoder.layers", {"attention.q_proj*": (H, H), "feed_forward.intermediate_dense*": (F, H), "feed_forward.output_dense*": (H, F)}),
    "conformer": stack("encoders", {"conv_module.pointwise_conv1*": (2 * H, H, 1), "feed_forward.w_1*": (F, H), "feed_forward.w_2*": (H, F), "feed_forward_macaron.w_1*": (F, H), "self_attn.linear_q*": (H, H), "self_attn.linear_out*": (H, H)}),
    "switch": stack("encoder.block", {"mlp.router.classifier.weight": (8, H), "mlp.experts.expert_0.wi.weight": (F, H), "mlp.experts.expert_0.wo.weight": (H, F)}),
    "mixtral": stack("model.layers", {"block_sparse_moe.gate.weight": (8, H), "block_sparse_moe.experts.0.w1.weight": (F, H), "block_sparse_moe.experts.0.w2.weight": (H, F), "block_sparse_moe.experts.0.w3.weight": (F, H)}),
    "mmoe": {"gates.0.weight": (8, 32), "gates.1.weight": (8, 32)} | mlp("experts.0", 32, 64, 64) | mlp("towers.0", 64, 32, 1) | {"gates*": (8, 32)},
    "mamba": stack("backbone.layers", {"mixer.A_log": (F, 16), "mixer.D": (F,), "mixer.in_proj.weight": (2 * F, H), "mixer.conv1d*": (F, 1, 4), "mixer.x_proj.weight": (36, F), "mixer.dt_proj*": (F, 4), "mixer.out_proj.weight": (H, F)}),
    "s4": stack("layers", {"kernel.C": (1, H, 32, 2), "kernel.log_dt": (H,), "kernel.inv_A_real": (H, 32), "D": (1, H), "output_linear.0*": (2 * H, H, 1)}),
    "rwkv": stack("blocks", {f"att.{n}.weight": (H, H) for n in ("key", "value", "receptance", "output", "gate")} | {"ffn.key.weight": (F, H), "ffn.receptance.weight": (H, H), "ffn.value.weight": (H, F), "att.time_decay": (H,)}),
    "hgrn": stack("model.layers", {f"attn.{g}_proj.weight": (H, H) for g in "ifgo"} | {"mlp.gate_proj.weight": (2 * F, H), "mlp.down_proj.weight": (H, F)}),
    "griffin": stack("layers", {"rg_lru.input_gate_weight": (4, 16, 16), "rg_lru.recurrent_gate_weight": (4, 16, 16), "rg_lru.recurrent_param": (H,), "linear_x*": (H, H), "linear_y*": (H, H), "linear_out*": (H, H)}),
    "retnet": stack("layers", {f"retention.{n}_proj.weight": (H, H) for n in ("q", "k", "v", "g", "out")} | {"ffn.fc1*": (F, H), "ffn.fc2*": (H, F)}),
    "wavenet": stack("res", {"filter*": (H, H, 2), "gate*": (H, H, 2), "skip*": (H, H, 1)}),
    "gated cnn": stack("convs", {"conv*": (4 * H, H, 3), "gate*": (4 * H, H, 3)}) | {"gated_conv.conv*": (2 * H, H, 3)},
    "highway": stack("highway", {"H*": (H, H), "T*": (H, H)}) | stack("layers", {"nonlinear*": (H, H), "gate*": (H, H), "linear*": (H, H)}),
    "qrnn": {f"qrnn.W_{g}*": (H, H, 2) for g in "zfo"} | {"layers.0.linear*": (3 * H, H)},
    "ligru": {"rnn.w.weight": (2 * H, 40), "rnn.u.weight": (2 * H, H), "rnn.norm+": (2 * H,), "wh.0.weight": (H, 40), "uh.0.weight": (H, H), "wz.0.weight": (H, 40), "uz.0.weight": (H, H)},
    "gru by hand": {f"cell.{w}_{g}": size for g in "zrh" for w, size in (("W", (40, H)), ("U", (H, H)), ("b", (H,)))},
    "gru in halves": {"gru.x2h*": (3 * H, 40), "gru.h2h*": (3 * H, H), "core.i2h*": (3 * H, 40), "core.h2h*": (3 * H, H)},
    "rnn by hand": {"rnn.i2h*": (H, 40), "rnn.h2h*": (H, H), "rnn.i2o*": (10, H), "cell.Wx": (H, 40), "cell.Wh": (H, H)},
    "convgru": stack("cell_list", {"conv_gates*": (2 * H, 3 + H, 3, 3), "conv_can*": (H, 3 + H, 3, 3)}) | stack("cells", {"reset_gate*": (H, 3 + H, 3, 3), "update_gate*": (H, 3 + H, 3, 3), "out_gate*": (H, 3 + H, 3, 3)}),
    "minimal gated unit": {f"mgu.W_{g}*": (H, 40) for g in "fh"} | {f"mgu.U_{g}*": (H, H) for g in "fh"},
    "sru": {"sru.weight": (40, 3 * H), "sru.bias": (2 * H,), "sru.W_f*": (H, 40), "sru.W_r*": (H, 40), "sru.W*": (H, 40)},
    "raft": {f"update_block.gru.conv{g}1*": (H, 3 * H, 1, 5) for g in "zrq"} | {"update_block.flow_head.conv1*": (4 * H, H, 3, 3), "update_block.mask.0*": (F, H, 3, 3)},
    "vae": {"encoder.0*": (H, 784), "fc_mu*": (16, H), "fc_logvar*": (16, H), "fc_var*": (16, H), "decoder.0*": (H, 16), "mu.weight": (16, H), "rho": (16,)},
    "bayesian mlp": {f"fc{k}.{n}_{p}": size for k in (1, 2) for n, size in (("weight", (F, H)), ("bias", (F,))) for p in ("mu", "rho")},
    "graph network": {"convs.0.lin_l*": (H, 32), "convs.0.lin_r.weight": (H, 32), "gcn.conv_x*": (H, 32), "gat.att_src": (1, 4, 16), "gnn.mlp.0*": (F, H)},
    "tacotron without its lstm": {"decoder.gate_layer.linear_layer*": (1, 1536), "decoder.prenet.layers.0.linear_layer.weight": (256, 80), "postnet.convolutions.0.0.conv*": (512, 80, 5)},
    "tft gates": {"post_lstm_gate_encoder.fc*": (2 * H, H), "pre_output_gate_norm.gate_norm.glu.fc*": (2 * H, H), "static_context_initial_hidden_lstm.fc1*": (H, H), "static_context_initial_hidden_lstm.gate_norm.glu.fc*": (2 * H, H)},
    "lstm head only": {"lstm_head.0*": (F, H), "fc_lstm*": (10, F), "lstm_norm+": (H,), "lstm_proj*": (4 * H, 128)},
    "ppo": mlp("mlp_extractor.policy_net", 8, 64, 64) | {"action_net*": (4, 64), "value_net*": (1, 64), "log_std": (4,)},
    "diffusion unet": {"down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj*": (8 * H, H), "down_blocks.0.attentions.0.transformer_blocks.0.ff.net.2*": (H, 4 * H), "time_embedding.linear_1*": (4 * H, H), "time_embedding.linear_2*": (4 * H, 4 * H), "mid_block.resnets.0.time_emb_proj*": (H, 4 * H)},
    "perceiver": stack("layers", {"cross.to_q.weight": (H, H), "cross.to_kv.weight": (2 * H, H), "ff.net.0*": (8 * H, H), "ff.net.3*": (H, 4 * H)}),
    "squeeze": {"fire.squeeze*": (16, 96, 1, 1), "fire.expand1x1*": (64, 16, 1, 1), "fire.expand3x3*": (64, 16, 3, 3)},
    "whisper encoder": {"encoder.conv1*": (H, 80, 3), "encoder.conv2*": (H, H, 3), "encoder.positional_embedding": (1500, H)} | stack("encoder.blocks", {"attn.query*": (H, H), "attn.out*": (H, H), "mlp.0*": (F, H), "mlp.2*": (H, F), "mlp_ln+": (H,)}),
    "wav2vec features": stack("feature_extractor.conv_layers", {"conv.weight": (512, 512, 3), "layer_norm+": (512,)}) | {"encoder.pos_conv_embed.conv.weight_g": (1, 1, 128), "encoder.pos_conv_embed.conv.weight_v": (H, 4, 128), "quantizer.codevectors": (1, 640, 128), "quantizer.weight_proj*": (640, 512)},
    "attention unet": stack("up", {"gate.W_g.0*": (32, H, 1, 1), "gate.W_x.0*": (32, H, 1, 1), "gate.psi.0*": (1, 32, 1, 1), "conv.0*": (H, 2 * H, 3, 3), "conv.3*": (H, H, 3, 3)}),
    "unet of blocks": stack("encoder", {"conv_block.0*": (4 * H, 2 * H, 3, 3), "conv_block.1+": (4 * H,), "conv_block.3*": (4 * H, 4 * H, 3, 3)}),
    "mamba 2": stack("layers", {"mixer.A_log": (8,), "mixer.dt_bias": (8,), "mixer.D": (8,), "mixer.in_proj.weight": (4 * H + 24, H), "mixer.conv1d*": (2 * H + 16, 1, 4), "mixer.norm.weight": (2 * H,), "mixer.out_proj.weight": (H, 2 * H)}),
    "s5": stack("layers", {"seq.Lambda_re": (H,), "seq.Lambda_im": (H,), "seq.B": (H, H, 2), "seq.C": (H, H, 2), "seq.log_step": (H, 1), "out1*": (4 * H, H), "out2*": (4 * H, H)}),
    "rwkv 6": stack("blocks", {"att.time_maa_w": (1, 1, H), "att.time_decay_w1": (H, 64), "att.time_decay_w2": (64, H), **{f"att.{n}.weight": (H, H) for n in ("receptance", "key", "value", "output", "gate")}, "ffn.key.weight": (4 * H, H), "ffn.receptance.weight": (H, H), "ffn.value.weight": (H, 4 * H)}),
    "sru 2": stack("rnn_lst", {"weight": (H, 4 * H), "weight_c": (2 * H,), "bias": (2 * H,)}),
    "recurrent highway": {"rhn.W_H*": (H, 40), "rhn.W_T*": (H, 40)} | {f"rhn.R_{g}.{k}*": (H, H) for g in "HT" for k in range(4)},
    "gated gcn": stack("layers", {f"{n}*": (H, H) for n in "ABCDE"} | {"bn_node_h+": (H,)}),
    "gated graph network": {"ggnn.weight": (2, H, H), "ggnn.rnn.weight_ih": (3 * H, H), "ggnn.rnn.weight_hh": (3 * H, H), "ggnn.rnn.bias_ih": (3 * H,), "ggnn.rnn.bias_hh": (3 * H,)},
    "mixture with a gate's bias": stack("layers", {"moe.gate*": (64, 512), "moe.experts.0.fc1*": (2048, 512), "moe.experts.0.fc2*": (512, 2048)}),
    "switching gates": {f"gates.{k}*": (8, 32) for k in range(4)} | {f"experts.{k}*": (H, 32) for k in range(8)},
    "forgetting attention": stack("layers", {"attn.q_proj.weight": (H, H), "attn.k_proj.weight": (H, H), "attn.v_proj.weight": (H, H), "attn.o_proj.weight": (H, H), "attn.forget_gate*": (H, H)}),
    "gated linear attention": stack("layers", {**{f"attn.{n}_proj.weight": (H, H) for n in "qkvgo"}, "attn.gk_proj.0.weight": (16, H), "attn.gk_proj.1*": (H, 16)}),
    "cell biology": {"cell_encoder.fc*": (4 * H, 978), "cell_encoder.out*": (H, 4 * H), "drug.conv.0.lin.weight": (H, 78), "cells.embedding.weight": (1000, H), "cell_mlp.0*": (512, 954)},
    "states and actions": {"critic.state_proj*": (F, H), "critic.action_proj*": (F, 8), "critic.hidden_layer*": (F, F), "critic.input_layer*": (F, 72)},
    "norms of an lstm's output": {"bn_lstm+": (H,), "lstm_norm+": (H,), "post_lstm.fc*": (4 * H, H)},
    "flows": stack("flows", {"s_cond.0*": (H, 32), "t_cond.0*": (H, 32), "net.0.initial_layer*": (4 * H, 32), "net.0.final_layer*": (32, 4 * H)}),
    "neural turing machine's heads": stack("heads", {"fc_write*": (38, 100), "fc_erase*": (20, 100), "fc_read*": (26, 100)}),
    "kernels of a gaussian process": {"covar_module.raw_outputscale": (), "covar_module.base_kernel.raw_lengthscale": (1, 1, 8), "variational_strategy.inducing_points": (64, 8)},
    "spiking network": stack("layers", {"conv.weight": (H, H, 3, 3), "conv.bias": (H,), "lif.threshold": (), "lif.beta": ()}),
    "weights of four heads": stack("layers", {"W": (4, H, 16), "a_src": (4, 16), "a_dst": (4, 16)}),
    "lettered branches": {f"branch_{c}*": (H, 2 * H) for c in "abcdefghijklmno"},
}  # fmt: skip


def tensors(shapes: Shapes) -> dict[str, Any]:
    state = {}
    for name, size in shapes.items():
        if name[-1] in "*+":
            state[f"{name[:-1]}.weight"] = torch.zeros(size)
            state[f"{name[:-1]}.bias"] = torch.zeros(size[:1])
        else:
            state[name] = torch.zeros(size)
    return state


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_is_no_lstm(name: str) -> None:
    file = lstm_audit.audit(tensors(ARCHITECTURES[name])).files[0]
    assert [row.lstm.identity for row in file.rows] == []
    assert [(s.module, s.reason) for s in file.skipped if s.reason not in ("gru", "rnn")] == []


def test_there_are_forty() -> None:
    assert len(ARCHITECTURES) >= 40
