"""Each framework's LSTM cell by its own formulas, one step from x = 0 and h = 0: the oracle of
test_conventions.

Comes in: a cell's parameters under their own names, and the memory c. Goes out: the new memory,
before any norm or clip of it. Promise: each is written from the source it cites and knows nothing
of lstm_audit.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional

Parameters = Mapping[str, Tensor]
Cell = Callable[[Parameters, Tensor], Tensor]


def forget_gate(cell: Cell, p: Parameters, size: int) -> Tensor:
    """What one unit of memory becomes, less what appears anyway: the activation of the forget
    gate.
    """
    return cell(p, torch.ones(size, dtype=torch.double)) - written(cell, p, size)


def written(cell: Cell, p: Parameters, size: int) -> Tensor:
    """What is written into an empty memory: the input gate times the candidate."""
    return cell(p, torch.zeros(size, dtype=torch.double))


def linear(weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A linear layer's answer to 0; weight (out, in)."""
    return functional.linear(torch.zeros(weight.shape[1], dtype=weight.dtype), weight, bias)


def update(i: Tensor, f: Tensor, g: Tensor, c: Tensor) -> Tensor:
    """The memory's update that all of them share, from the pre-activations."""
    return torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)


def torch_cell(p: Parameters, c: Tensor) -> Tensor:
    """torch/nn/modules/rnn.py LSTMCell; at x = 0 and h = 0 whatever norm or mask the weights have
    is of no matter.
    """
    i, f, g, _ = (p["bias_ih"] + p["bias_hh"]).chunk(4)
    return update(i, f, g, c)


def paddle(p: Parameters, c: Tensor) -> Tensor:
    """paddle/nn/layer/rnn.py LSTMCell.forward."""
    gates = linear(p["weight_ih"], p["bias_ih"]) + linear(p["weight_hh"], p["bias_hh"])
    i, f, g, _ = gates.chunk(4)
    return update(i, f, g, c)


def pruned(p: Parameters, c: Tensor) -> Tensor:
    """torch/nn/utils/prune.py: the parameter is its original times its mask."""
    return torch_cell(
        {"bias_ih": p["bias_ih_l0_orig"] * p["bias_ih_l0_mask"], "bias_hh": p["bias_hh_l0"]}, c
    )


def scaled(p: Parameters, c: Tensor) -> Tensor:
    """icefall scaling.py ScaledLSTM._get_flat_weights: every weight times exp of its scale."""
    return torch_cell(
        {h: p[f"{h}_l0"] * p[f"{h}_l0_scale"].exp() for h in ("bias_ih", "bias_hh")}, c
    )


def quantizable(p: Parameters, c: Tensor) -> Tensor:
    """torch/ao/nn/quantizable/modules/rnn.py LSTMCell.forward, one linear layer a side."""
    gates = linear(p["igates.weight"], p["igates.bias"]) + linear(
        p["hgates.weight"], p["hgates.bias"]
    )
    i, f, g, _ = gates.chunk(4)
    return update(i, f, g, c)


def quantizable_split(p: Parameters, c: Tensor) -> Tensor:
    """The same with split_gates: a linear layer for each gate."""

    def gate(name: str) -> Tensor:
        return sum(
            (
                linear(p[f"{side}.{name}.weight"], p[f"{side}.{name}.bias"])
                for side in ("igates", "hgates")
            ),
            start=torch.zeros(()),
        )

    return update(gate("input"), gate("forget"), gate("cell"), c)


def quantized_static(p: Parameters, c: Tensor) -> Tensor:
    """torch/ao/nn/quantized/modules/rnn.py: the packed tuples' second items are the float
    biases.
    """
    return torch_cell(
        {f"bias_{side}h": p[f"{side}gates._packed_params._packed_params.1"] for side in "ih"}, c
    )


def augmented(p: Parameters, c: Tensor) -> Tensor:
    """allennlp augmented_lstm.py, lstm_cell_with_projection.py: input, forget, memory, output, then
    the highway.
    """
    inputs = linear(p["input_linearity.weight"], p.get("input_linearity.bias"))
    state = linear(p["state_linearity.weight"], p["state_linearity.bias"])
    i, f, g = (
        inputs[k * len(c) : (k + 1) * len(c)] + state[k * len(c) : (k + 1) * len(c)]
        for k in range(3)
    )
    return update(i, f, g, c)


def haste(p: Parameters, c: Tensor) -> Tensor:
    """haste frameworks/pytorch/lstm.py LSTMScript: v = x W + h R + b, split into i, g, f, o."""
    i, g, f, _ = (linear(p["kernel"].T) + linear(p["recurrent_kernel"].T) + p["bias"]).chunk(4)
    return update(i, f, g, c)


def keras(p: Parameters, c: Tensor) -> Tensor:
    """keras/src/layers/rnn/lstm.py LSTMCell.call: z0 input, z1 forget, z2 candidate, z3 output."""
    z0, z1, z2, _ = (linear(p["kernel"].T) + linear(p["recurrent_kernel"].T) + p["bias"]).chunk(4)
    return update(z0, z1, z2, c)


def ncps(p: Parameters, c: Tensor) -> Tensor:
    """ncps/torch/lstm.py LSTMCell.forward: input activation, input gate, forget gate + 1, output
    gate.
    """
    z = linear(p["input_map.weight"], p["input_map.bias"]) + linear(p["recurrent_map.weight"])
    g, i, f, _ = z.chunk(4)
    return update(i, f + 1.0, g, c)


def mlx(p: Parameters, c: Tensor) -> Tensor:
    """mlx/nn/layers/recurrent.py LSTM.__call__: x = bias + x Wx^T, then ifgo = x + h Wh^T."""
    i, f, g, _ = (linear(p["Wx"], p["bias"]) + linear(p["Wh"])).chunk(4)
    return update(i, f, g, c)


def burn(p: Parameters, c: Tensor) -> Tensor:
    """burn-nn gate_controller.rs gate_product: both linear layers summed; weights are (in, out)."""

    def gate(name: str) -> Tensor:
        x, h = f"{name}_gate.input_transform", f"{name}_gate.hidden_transform"
        return linear(p[f"{x}.weight"].T, p[f"{x}.bias"]) + linear(
            p[f"{h}.weight"].T, p[f"{h}.bias"]
        )

    return update(gate("input"), gate("forget"), gate("cell"), c)


def rnnt(p: Parameters, c: Tensor) -> Tensor:
    """torchaudio/models/rnnt.py _CustomLSTM.forward: gates = g_norm(x2g(x) + p2g(h)), split i, f,
    g, o.
    """
    gates = linear(p["x2g.weight"], p.get("x2g.bias")) + linear(p["p2g.weight"])
    if "g_norm.weight" in p:
        gates = functional.layer_norm(gates, gates.shape, p["g_norm.weight"], p["g_norm.bias"])
    i, f, g, _ = gates.chunk(4)
    return update(i, f, g, c)


def layer_normed(p: Parameters, c: Tensor) -> Tensor:
    """pytorch/benchmarks/fastrnns/custom_lstms.py LayerNormLSTMCell.forward."""
    x, h = linear(p["weight_ih"]), linear(p["weight_hh"])
    gates = functional.layer_norm(x, x.shape, p["layernorm_i.weight"], p["layernorm_i.bias"])
    gates = gates + functional.layer_norm(
        h, h.shape, p["layernorm_h.weight"], p["layernorm_h.bias"]
    )
    i, f, g, _ = gates.chunk(4)
    return update(i, f, g, c)


def convolved(weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A padded convolution's answer to a picture of 0, at one pixel."""
    picture = torch.zeros(1, weight.shape[1], 3, 3, dtype=weight.dtype)
    return functional.conv2d(picture, weight, bias, padding=1)[0, :, 1, 1]


def convlstm(p: Parameters, c: Tensor) -> Tensor:
    """ndrplz/ConvLSTM_pytorch convlstm.py ConvLSTMCell.forward: split into cc_i, cc_f, cc_o,
    cc_g.
    """
    i, f, _, g = convolved(p["weight"], p["bias"]).chunk(4)
    return update(i, f, g, c)


def convlstm_separate(p: Parameters, c: Tensor) -> Tensor:
    """automan000/Convolutional_LSTM_PyTorch convolution_lstm.py; the peepholes stay at the 0 they
    are made with.
    """
    i, f, g = (
        convolved(p[f"Wx{k}.weight"], p[f"Wx{k}.bias"]) + convolved(p[f"Wh{k}.weight"])
        for k in "ifc"
    )
    return update(i, f, g, c)
