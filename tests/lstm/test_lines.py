"""How every framework saves an LSTM, a line a way: the names and shapes of its file, and what enters
its forget gate at x = 0, h = 0 by its source.

A lines are found in files of torch and safetensors, B lines in files of their framework's own. Each
is a row whose every unit is the source's, or a skip whose reason the line demands: an unknown
layout, a gate that is no sigmoid. The arithmetic here is written from the sources and knows nothing
of the package. What a framework runs itself stands in tests/oracles.
"""

import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import lstm_audit

# torch's quantised modules, and its older normalisations, warn that they will go
pytestmark = pytest.mark.filterwarnings("ignore")

H, IN, P = 6, 5, 2
Tensors = dict[str, Any]
Shapes = dict[str, tuple[int, ...]]
# From a file's tensors to the pre-activations of one recurrence's forget gate, H numbers.
Formula = Callable[[Mapping[str, Any]], Any]


class Line(NamedTuple):
    """One way of saving: `tensors` under their names, or their shapes.

    `rows` has the convention and the formula of each recurrence by its address, `skipped` the
    reason of each module that is none. `said` is in the detail of every skip; `container` is the
    file that it is found in.
    """

    tensors: Tensors | Shapes | Callable[[], Any]
    rows: Mapping[str, tuple[str, Formula]] = {}
    skipped: Mapping[str, str] = {}
    said: str = ""
    container: str = "pt"
    activation: Callable[[Any], Any] = lambda x: 1 / (1 + np.exp(-x))


# --- the names, as the frameworks write them


def halves(
    path: str, k: int = 0, way: str = "", inner: int = IN, hidden: int = H, r: int = H
) -> Shapes:
    """torch.nn.LSTM's four tensors of a layer and a direction."""
    end = f"_l{k}{way}"
    return {f"{path}weight_ih{end}": (4 * hidden, inner), f"{path}weight_hh{end}": (4 * hidden, r),
            f"{path}bias_ih{end}": (4 * hidden,), f"{path}bias_hh{end}": (4 * hidden,)}  # fmt: skip


def cell(path: str) -> Shapes:
    return {name.removesuffix("_l0"): size for name, size in halves(path).items()}


def leaves(path: str, sizes: Mapping[str, tuple[int, ...]]) -> Shapes:
    return {f"{path}{name}": size for name, size in sizes.items()}


def linear(path: str, out: int, inner: int, bias: bool = True) -> Shapes:
    return {f"{path}.weight": (out, inner)} | ({f"{path}.bias": (out,)} if bias else {})


# --- what enters the forget gate: the block at k of n equal ones, in the sum of all named


def block(k: int, *names: str, of: int = 4, offset: float = 0.0) -> Formula:
    def formula(t: Mapping[str, Any]) -> Any:
        total = sum(np.asarray(t[name], dtype=float).reshape(-1) for name in names)
        size = len(total) // of
        return total[k * size : (k + 1) * size] + offset

    return formula


def whole(*names: str, offset: float = 0.0) -> Formula:
    return block(0, *names, of=1, offset=offset)


def torchs(path: str, k: int = 0, way: str = "") -> Formula:
    return block(1, f"{path}bias_ih_l{k}{way}", f"{path}bias_hh_l{k}{way}")


def plain(*paths: str) -> dict[str, tuple[str, Formula]]:
    """Rows of torch's own names, one layer and direction each."""
    return {f"{path.removesuffix('.')}:l0": ("torch", torchs(path)) for path in paths}


def scaled(half: str) -> Formula:
    return lambda t: block(1, f"lstm.bias_{half}_l0")(t) * math.exp(t[f"lstm.bias_{half}_l0_scale"])


def both(first: Formula, second: Formula) -> Formula:
    return lambda t: first(t) + second(t)


# --- torch's own modules


def made(
    module: nn.Module, change: Callable[[nn.Module], Any] = lambda m: None
) -> Callable[[], Tensors]:
    def make() -> Tensors:
        holder = nn.ModuleDict({"m": module})
        change(module)
        return dict(holder.state_dict())

    return make


def quantizable(split: bool) -> Callable[[], Tensors]:
    def make() -> Tensors:
        return dict(
            torch.ao.nn.quantizable.LSTM(
                IN, H, 2, bidirectional=True, split_gates=split
            ).state_dict()
        )

    return make


def dynamic(module: nn.Module, kind: Any) -> Callable[[], Tensors]:
    def make() -> Tensors:
        model = nn.ModuleDict({"m": module})
        quantised = torch.ao.quantization.quantize_dynamic(model, {type(module)}, dtype=kind)
        return dict(quantised.state_dict())

    return make


def static() -> Tensors:
    """torch.ao.nn.quantized.LSTM by its own conversion of a calibrated one."""
    model = nn.Sequential(torch.ao.quantization.QuantStub(), nn.LSTM(IN, H)).eval()
    model.qconfig = torch.ao.quantization.default_qconfig
    model = torch.ao.quantization.prepare(model)
    model(torch.zeros(3, 1, IN))
    return dict(torch.ao.quantization.convert(model).state_dict())


def packed(*names: str) -> Formula:
    """The sum of the float biases that quantised modules keep in packed objects."""

    def formula(t: Mapping[str, Any]) -> Any:
        biases = []
        for name in names:
            value = t[name]
            state = value.__getstate__()[0] if isinstance(value, torch.ScriptObject) else value
            if isinstance(state[0], str):  # CellParamsBase: both halves in one
                biases += [part.__getstate__()[0][1] for part in state[4]]
            else:
                biases.append(state[1])
        return block(1, *map(str, range(len(biases))))(
            {str(k): b.detach() for k, b in enumerate(biases)}
        )

    return formula


def keras_params(path: str) -> Shapes:
    sizes = {"kernel": (IN, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
    return leaves(f"_torch_params.{path}/", sizes)


AUGMENTED = {"state_linearity.weight": (5 * H, H), "state_linearity.bias": (5 * H,),
             "input_linearity.weight": (6 * H, IN), "input_linearity.bias": (6 * H,)}  # fmt: skip
PROJECTED = {"input_linearity.weight": (4 * H, IN), "state_linearity.weight": (4 * H, P),
             "state_linearity.bias": (4 * H,), "state_projection.weight": (P, H)}  # fmt: skip
KERNELS = {"kernel": (IN, 4 * H), "recurrent_kernel": (H, 4 * H), "bias": (4 * H,)}
TENSORFLOW = {"kernel": (IN + H, 4 * H), "bias": (4 * H,)}
BURN = {f"{gate}_gate.{side}_transform.{leaf}": size
        for gate in ("input", "forget", "output", "cell")
        for side, inner in (("input", IN), ("hidden", H))
        for leaf, size in (("weight", (inner, H)), ("bias", (H,)))}  # fmt: skip
MLX = {"Wx": (4 * H, IN), "Wh": (4 * H, H), "bias": (4 * H,)}


def highway_first(t: Mapping[str, Any]) -> Any:
    """AllenNLP's highway: five blocks of the state, six of the input; f is the second of both."""
    state, source = (np.asarray(t[f"{n}_linearity.bias"], float) for n in ("state", "input"))
    return state[H : 2 * H] + source[H : 2 * H]


def under(path: str, formula: Formula) -> Formula:
    return lambda t: formula({k.removeprefix(path): v for k, v in t.items() if k.startswith(path)})


TREE = {"m.ioux": (3 * H, IN), "m.iouh": (3 * H, H), "m.fx": (H, IN), "m.fh": (H, H)}
PRED = {
    f"cell_list.0.conv_{s}.0.weight": (n * H, w, 5, 5)
    for s, n, w in (("x", 7, IN), ("h", 4, H), ("m", 3, H), ("o", 1, 2 * H))
}
KOKORO = {f"kokoro.text_encoder.lstm.0.{way}{kind}.{n}": ((H, IN if n % 2 == 0 else H) if kind == "weights" else (H,))
          for way in ("", "reverse_") for kind in ("weights", "biases") for n in range(8)}  # fmt: skip
HIGHWAYS = {
    "encoder._module.weight": (6 * H * IN + 5 * H * H + 6 * H * H + 5 * H * H,),
    "encoder._module.bias": (10 * H,),
}
STANZA = {
    f"m.{g}.{leaf}": size
    for g in ("Wi", "Wf", "Wo", "Wg", "gate")
    for leaf, size in (("weight", (H, IN + H)), ("bias", (H,)))
}

A_LINES: dict[str, Line] = {
    "A1 torch.nn.LSTM": Line(made(nn.LSTM(IN, H, 12, bidirectional=True)), {f"m:l{k}{':reverse' * bool(way)}": ("torch", torchs("m.", k, way)) for k in range(12) for way in ("", "_reverse")}),
    "A2 proj_size": Line(made(nn.LSTM(IN, H, 2, proj_size=P, bidirectional=True)), {f"m:l{k}{':reverse' * bool(way)}": ("torch", torchs("m.", k, way)) for k in range(2) for way in ("", "_reverse")}),
    "A3 bias=False": Line(made(nn.LSTM(IN, H, bias=False)), {"m:l0": ("torch", lambda t: np.zeros(H))}),
    "A3 LSTMCell bias=False": Line(made(nn.LSTMCell(IN, H, bias=False)), {"m:l0": ("torch", lambda t: np.zeros(H))}),
    "A4 torch.nn.LSTMCell": Line(made(nn.LSTMCell(IN, H)), {"m:l0": ("torch", block(1, "m.bias_ih", "m.bias_hh"))}),
    "A5 quantizable": Line(quantizable(False), {f":l{k}{':reverse' * (way == 'bw')}": ("torch-quantizable", block(1, *(f"layers.{k}.layer_{way}.cell.{s}gates.bias" for s in "ih"))) for k in range(2) for way in ("fw", "bw")}),
    "A6 split gates": Line(quantizable(True), {f":l{k}{':reverse' * (way == 'bw')}": ("torch-quantizable", whole(*(f"layers.{k}.layer_{way}.cell.{s}gates.forget.bias" for s in "ih"))) for k in range(2) for way in ("fw", "bw")}),
    "A7 static quantised": Line(static, {"1:l0": ("torch-quantizable", packed(*(f"1.layers.0.layer_fw.cell.{s}gates._packed_params._packed_params" for s in "ih")))}),
    **{f"A8 dynamic quantised {kind}": Line(dynamic(nn.LSTM(IN, H, 2), kind), {f"m:l{k}": ("torch-dynamic-quantized", packed(f"m._all_weight_values.{k}.param")) for k in range(2)}) for kind in (torch.qint8, torch.float16)},
    "A9 dynamic quantised cell": Line(dynamic(nn.LSTMCell(IN, H), torch.qint8), {"m:l0": ("torch-dynamic-quantized", packed("m._packed_weight_ih", "m._packed_weight_hh"))}),
    "A10 weight norm": Line(made(nn.LSTM(IN, H), lambda m: weight_norm(m, "weight_hh_l0")), plain("m.")),
    **{f"A11 {name.__name__}": Line(made(nn.LSTM(IN, H), lambda m, name=name: name(m, "weight_hh_l0")), plain("m.")) for name in (parametrizations.weight_norm, parametrizations.orthogonal, parametrizations.spectral_norm)},
    "A12 spectral norm": Line(made(nn.LSTM(IN, H), lambda m: spectral_norm(m, "weight_hh_l0")), plain("m.")),
    "A12 pruned weight": Line(made(nn.LSTM(IN, H), lambda m: prune.random_unstructured(m, "weight_hh_l0", 0.5)), plain("m.")),
    "A12 pruned bias": Line(made(nn.LSTM(IN, H), lambda m: prune.random_unstructured(m, "bias_hh_l0", 0.5)), {"m:l0": ("torch", lambda t: (t["m.bias_ih_l0"] + t["m.bias_hh_l0_orig"] * t["m.bias_hh_l0_mask"]).numpy()[H : 2 * H])}),
    "A13 awd-lstm-lm": Line(halves("rnns.0.module.") | {"rnns.0.module.weight_hh_l0_raw": (4 * H, H)}, plain("rnns.0.module.")),
    "A13 awd-lstm-lm, raw alone": Line({k.replace("hh_l0", "hh_l0_raw") if "weight" in k else k: v for k, v in halves("rnns.0.module.").items()}, plain("rnns.0.module.")),
    "A13 fastai 2": Line({("0.rnns.1.weight_hh_l0_raw" if "weight_hh" in k else k): v for k, v in halves("0.rnns.1.module.").items()}, plain("0.rnns.1.module.")),
    "A13 fastai 1": Line(halves("0.rnns.1.module.") | {"0.rnns.1.weight_hh_l0_raw": (4 * H, H)}, plain("0.rnns.1.module.")),
    "A13 torchnlp": Line({k.replace("hh_l0", "hh_l0_raw") if "weight" in k else k: v for k, v in halves("rnn.").items()}, plain("rnn.")),
    "A14 icefall": Line(halves("lstm.", r=P) | {"lstm.weight_hr_l0": (P, H)} | {f"{name}_scale": () for name in (*halves("lstm."), "lstm.weight_hr_l0")}, {"lstm:l0": ("torch", both(scaled("ih"), scaled("hh")))}),
    "A15 allennlp 0.9, stacked": Line(leaves("_module.forward_layer_0.", AUGMENTED) | leaves("_module.backward_layer_0.", AUGMENTED), {f"_module:l0{end}": ("allennlp", under(f"_module.{way}_layer_0.", highway_first)) for way, end in (("forward", ""), ("backward", ":reverse"))}),
    "A15 allennlp 0.9, alternating": Line(leaves("layer_0.", AUGMENTED) | leaves("layer_1.", AUGMENTED), {":l0": ("allennlp", under("layer_0.", highway_first)), ":l1:reverse": ("allennlp", under("layer_1.", highway_first))}),
    "A15 without the highway": Line(leaves("layer_0.", {k: (4 * H, *v[1:]) for k, v in AUGMENTED.items()}), {":l0": ("allennlp", under("layer_0.", highway_first))}),
    "A16 allennlp 1": Line(leaves("m.forward_layer_0.cell.", AUGMENTED), {"m:l0": ("allennlp", under("m.forward_layer_0.cell.", highway_first))}),
    "A16 BiAugmentedLstm": Line(leaves("m.backward_layers.1.cell.", AUGMENTED), {"m:l1:reverse": ("allennlp", under("m.backward_layers.1.cell.", highway_first))}),
    "A17 ELMo": Line(leaves("forward_layer_1.", PROJECTED), {":l1": ("allennlp", block(1, "forward_layer_1.state_linearity.bias"))}),
    "A18 AlternatingHighwayLSTM": Line(HIGHWAYS, skipped={"encoder._module": "unknown-convention"}, said="AlternatingHighwayLSTM"),
    "A19 haste": Line(leaves("rnn.", KERNELS), {"rnn:l0": ("haste", block(2, "rnn.bias"))}),
    "A19 haste in safetensors": Line(leaves("rnn.", KERNELS), skipped={"rnn": "ambiguous"}, said="another gate order", container="safetensors"),
    "A20 haste, normed": Line(leaves("rnn.", KERNELS | {"gamma": (2, 4 * H), "gamma_h": (H,), "beta_h": (H,)}), {"rnn:l0": ("haste", block(2, "rnn.bias"))}),
    "A21 ncps": Line({"rnn.lstm.input_map.weight": (4 * H, IN), "rnn.lstm.input_map.bias": (4 * H,), "rnn.lstm.recurrent_map.weight": (4 * H, H)}, {"rnn.lstm:l0": ("ncps", block(2, "rnn.lstm.input_map.bias", offset=1.0))}),
    "A22 PredRNN": Line(PRED, skipped={"cell_list.0": "unknown-convention"}, said="adds 1"),
    "A22 PredRNN, normed": Line(PRED | {f"cell_list.0.conv_{s}.1.{n}": (k * H, 8, 8) for s, k in (("x", 7), ("h", 4), ("m", 3)) for n in ("weight", "bias")}, skipped={"cell_list.0": "unknown-convention"}, said="adds 1"),
    "A23 ConvLSTM, ndrplz": Line({f"cell_list.{k}.conv.{n}": s for k, w in ((0, 3), (1, H)) for n, s in (("weight", (4 * H, w + H, 3, 3)), ("bias", (4 * H,)))}, {f":l{k}": ("convlstm", block(1, f"cell_list.{k}.conv.bias")) for k in (0, 1)}),
    "A24 ConvLSTM, automan000": Line({f"cell0.W{s}{g}.{n}": size for g in "ifco" for s, n, size in (("x", "weight", (H, 3, 3, 3)), ("x", "bias", (H,)), ("h", "weight", (H, H, 3, 3)))}, {":l0": ("convlstm-separate", whole("cell0.Wxf.bias"))}),
    "A25 torchaudio": Line({"p.x2g.weight": (4 * H, IN), "p.x2g.bias": (4 * H,), "p.p2g.weight": (4 * H, H)}, {"p:l0": ("torchaudio-rnnt", block(1, "p.x2g.bias"))}),
    "A25 torchaudio, normed": Line({"p.x2g.weight": (4 * H, IN), "p.p2g.weight": (4 * H, H), **{f"p.{g}_norm.{n}": (k * H,) for g, k in (("g", 4), ("c", 1)) for n in ("weight", "bias")}}, {"p:l0": ("torchaudio-rnnt", block(1, "p.g_norm.bias"))}),
    "A26 fastrnns, NeMo": Line({"layers.1.cell.weight_ih": (4 * H, IN), "layers.1.cell.weight_hh": (4 * H, H), **{f"layers.1.cell.layernorm_{g}.{n}": (k * H,) for g, k in (("i", 4), ("h", 4), ("c", 1)) for n in ("weight", "bias")}}, {":l1": ("layernorm-lstm", block(1, "layers.1.cell.layernorm_i.bias", "layers.1.cell.layernorm_h.bias"))}),
    "A26 fastrnns, two ways": Line({f"layers.0.directions.1.cell.{n}": s for n, s in {"weight_ih": (4 * H, IN), "weight_hh": (4 * H, H), **{f"layernorm_{g}.{n}": (k * H,) for g, k in (("i", 4), ("h", 4), ("c", 1)) for n in ("weight", "bias")}}.items()}, {":l0:reverse": ("layernorm-lstm", block(1, "layers.0.directions.1.cell.layernorm_i.bias", "layers.0.directions.1.cell.layernorm_h.bias"))}),
    "A27 NeMo RNNT": Line(halves("decoder.prediction.dec_rnn.lstm.") | {"decoder.prediction.embed.weight": (30, IN)}, plain("decoder.prediction.dec_rnn.lstm.")),
    "A28 sLSTM": Line({"b.slstm_cell._recurrent_kernel_": (2, H // 2, 4, H // 2), "b.slstm_cell._bias_": (4 * H,), **{f"b.{g}gate.weight": (2, 3, 3) for g in "fizo"}}, skipped={"b": "unknown-convention"}, said="depends on the backend"),
    "A29 mLSTM": Line({f"b.mlstm_cell.{g}gate.{n}": s for g in "if" for n, s in (("weight", (4, 3 * H)), ("bias", (4,)))}, skipped={"b": "unknown-convention"}, said="a head"),
    "A30 xLSTM large": Line({f"backbone.blocks.0.mlstm_layer.{g}gate_preact.{n}": s for g in "if" for n, s in (("weight", (4, H)), ("bias", (4,)))}, skipped={"backbone.blocks.0": "unknown-convention"}, said="a head"),
    "A30 xLSTM large, fused": Line({"backbone.blocks.0.mlstm_layer.ifgate_preact.weight": (8, H), "backbone.blocks.0.mlstm_layer.ifgate_preact.bias": (8,)}, skipped={"backbone.blocks.0": "unknown-convention"}, said="a head"),
    "A31 pytorch-forecasting sLSTM": Line(linear("m.cells.0.input_weights", 4 * H, IN) | linear("m.cells.0.hidden_weights", 4 * H, H) | {f"m.cells.0.ln_{n}.{k}": (H * w,) for n, w in (("input", 4), ("hidden_update", 4), ("cell", 1), ("hidden", 1)) for k in ("weight", "bias")}, skipped={"m.cells.0": "unknown-convention"}, said="no sigmoid"),
    "A32 child-sum tree": Line({f"{n}.{leaf}": (s if leaf == "weight" else s[:1]) for n, s in TREE.items() for leaf in ("weight", "bias")}, {"m:l0": ("child-sum-tree", whole("m.fx.bias", "m.fh.bias"))}),
    "A33 Stanza HLSTMCell": Line(STANZA, skipped={"m": "unknown-convention"}, said="[tool.lstm-audit]"),
    "A34 MLX": Line(leaves("decoder.lstm.0.", MLX), {"decoder.lstm.0:l0": ("mlx", block(1, "decoder.lstm.0.bias"))}, container="safetensors"),
    "A35 MLX, two ways": Line({f"m.{n}_{way}": s for way in ("forward", "backward") for n, s in {"Wx": (4 * H, IN), "Wh": (4 * H, H), "bias_ih": (4 * H,), "bias_hh": (4 * H,)}.items()}, {f"m:l0{end}": ("mlx-bidirectional", block(1, f"m.bias_ih_{way}", f"m.bias_hh_{way}")) for way, end in (("forward", ""), ("backward", ":reverse"))}, container="safetensors"),
    "A35 chatterbox": Line({f"lstm.layers.1.{n}": s for n, s in {"Wx": (4 * H, IN), "Wh": (4 * H, H), "bias_ih": (4 * H,), "bias_hh": (4 * H,)}.items()}, {"lstm.layers.1:l0": ("mlx", block(1, "lstm.layers.1.bias_ih", "lstm.layers.1.bias_hh"))}, container="safetensors"),
    "A36 candle, tch-rs": Line(halves("lstm.", way="_reverse"), {"lstm:l0:reverse": ("torch", torchs("lstm.", 0, "_reverse"))}, container="safetensors"),
    "A36 tch-rs 0.1": Line({"lstm|w_ih": (4 * H, IN), "lstm|w_hh": (4 * H, H), "lstm|b_ih": (4 * H,), "lstm|b_hh": (4 * H,)}, {"lstm:l0": ("short", block(1, "lstm|b_ih", "lstm|b_hh"))}),
    "A37 burn": Line(leaves("lstm.", BURN), {"lstm:l0": ("burn", whole("lstm.forget_gate.input_transform.bias", "lstm.forget_gate.hidden_transform.bias"))}, container="safetensors"),
    "A37 burn, two ways": Line(leaves("reverse.", BURN), {":l0:reverse": ("burn", whole("reverse.forget_gate.input_transform.bias", "reverse.forget_gate.hidden_transform.bias"))}, container="safetensors"),
    "A38 tinygrad": Line(cell("m."), {"m:l0": ("torch", block(1, "m.bias_ih", "m.bias_hh"))}, container="safetensors"),
    "A39 Equinox": Line({"m.weight_ih": (4 * H, IN), "m.weight_hh": (4 * H, H), "m.bias": (4 * H,)}, {"m:l0": ("torch", block(1, "m.bias"))}, container="safetensors"),
    "A40 keras under torch": Line(keras_params("s/lstm_a/lstm_cell"), {"_torch_params.s/lstm_a:l0": ("keras-torch", block(1, "_torch_params.s/lstm_a/lstm_cell/bias"))}),
    "A41 paddle": Line({f"lstm.{n.replace('@', '0.cell.')}": s for n, s in {"@weight_ih": (4 * H, IN), "@weight_hh": (4 * H, H), "@bias_ih": (4 * H,), "@bias_hh": (4 * H,)}.items()} | halves("lstm."), {"lstm:l0": ("paddle", block(1, "lstm.0.cell.bias_ih", "lstm.0.cell.bias_hh"))}, container="same"),
    "A42 R torch": Line(halves("", 1) | halves("", 2, inner=H), {":l1": ("torch", torchs("", 1)), ":l2": ("torch", torchs("", 2))}, container="r"),
    "A43 kokoro in GGUF": Line(KOKORO, {f"kokoro.text_encoder.lstm:l0{end}": ("tts.cpp", whole(*(f"kokoro.text_encoder.lstm.0.{way}biases.{n}" for n in (2, 3)))) for way, end in (("", ""), ("reverse_", ":reverse"))}, container="gguf"),
    "A44 silero": Line(cell("_model.decoder.rnn."), {"_model.decoder.rnn:l0": ("torch", block(1, "_model.decoder.rnn.bias_ih", "_model.decoder.rnn.bias_hh"))}),
}  # fmt: skip

# torch's own cells under the paths that well-known programs give them.
STACKS = [
    "encoder.lstm.", "decoder.layers.0.", "enc.attention_lstm.lstm_cell.", "decoder.attention_rnn.", "dec.decoder.1.",
    "decoder.rnn.layers.0.", "taggerlstm.lstm.", "parserlstm.lstm.1.lstm.", "lstm.cells.3.", "rnn.", "gnn.set2set.lstm.",
    "rnn_cells.2.", "lstm.2.", "lstm.lstm.", "mlp.lstm_actor.", "lstm_critic.", "predictor.module.lstm.", "quantizer.lstm.",
    "module.", "_orig_mod.rnn.", "module.module.lstm.", "_fsdp_wrapped_module.lstm.", "_checkpoint_wrapped_module.rnn.",
    "_module.", "model.", "net.", "ema_model.lstm.", "online_model.rnn.",
]  # fmt: skip

CELL_0 = "net/rnn/multi_rnn_cell/cell_0"
CONV = {
    f"{s}h.{n}": z
    for s, w in (("i", 3), ("h", H))
    for n, z in (("kernel", (3, 3, w, 4 * H)), ("bias", (4 * H,)))
}
B_LINES: dict[str, Line] = {
    "B7 BasicLSTMCell": Line(leaves("net/rnn/basic_lstm_cell/", TENSORFLOW), {"net/rnn:l0": ("tensorflow", block(2, "net/rnn/basic_lstm_cell/bias", offset=1.0))}),
    "B7 of several layers": Line(leaves(f"{CELL_0}/basic_lstm_cell/", TENSORFLOW), {"net/rnn:l0": ("tensorflow", block(2, f"{CELL_0}/basic_lstm_cell/bias", offset=1.0))}),
    "B7 two ways": Line(leaves("bidirectional_rnn/fw/basic_lstm_cell/", TENSORFLOW) | leaves("bidirectional_rnn/bw/basic_lstm_cell/", TENSORFLOW), {f":l0{end}": ("tensorflow", block(2, f"bidirectional_rnn/{way}/basic_lstm_cell/bias", offset=1.0)) for way, end in (("fw", ""), ("bw", ":reverse"))}),
    "B7 before TensorFlow 1.2": Line(leaves("net/rnn/basic_lstm_cell/", {"weights": (IN + H, 4 * H), "biases": (4 * H,)}), {"net/rnn:l0": ("tensorflow", block(2, "net/rnn/basic_lstm_cell/biases", offset=1.0))}),
    "B8 LSTMCell": Line(leaves("rnn/lstm_cell/", TENSORFLOW | {f"w_{g}_diag": (H,) for g in "fio"}), {"rnn:l0": ("tensorflow", block(2, "rnn/lstm_cell/bias", offset=1.0))}),
    "B8 with a projection": Line(leaves("rnn/lstm_cell/", {"kernel": (IN + P, 4 * H), "bias": (4 * H,), "projection/kernel": (H, P)}), {"rnn:l0": ("tensorflow", block(2, "rnn/lstm_cell/bias", offset=1.0))}),
    "B9 LSTMBlockCell": Line(leaves("rnn/lstm_cell/", TENSORFLOW | {f"w_{g}_diag": (H,) for g in "fio"}), {"rnn:l0": ("tensorflow", block(2, "rnn/lstm_cell/bias", offset=1.0))}),
    "B9 LSTMBlockFusedCell": Line(leaves("rnn/lstm_fused_cell/", TENSORFLOW | {f"w_{g}_diag": (H,) for g in "fio"}), {"rnn/lstm_fused_cell:l0": ("tensorflow", block(2, "rnn/lstm_fused_cell/bias", offset=1.0))}),
    "B9 in a stack": Line(leaves(f"{CELL_0}/lstm_cell/", TENSORFLOW), {"net/rnn:l0": ("tensorflow", block(2, f"{CELL_0}/lstm_cell/bias", offset=1.0))}),
    "B10 CudnnLSTM": Line(leaves(f"{CELL_0}/cudnn_compatible_lstm_cell/", TENSORFLOW), {"net/rnn:l0": ("tensorflow-cudnn", block(2, f"{CELL_0}/cudnn_compatible_lstm_cell/bias"))}),
    "B10 two ways": Line(leaves("stack_bidirectional_rnn/cell_1/bidirectional_rnn/bw/cudnn_compatible_lstm_cell/", TENSORFLOW), {"stack_bidirectional_rnn/cell_1:l0:reverse": ("tensorflow-cudnn", block(2, "stack_bidirectional_rnn/cell_1/bidirectional_rnn/bw/cudnn_compatible_lstm_cell/bias"))}),
    "B11 coupled": Line(leaves("rnn/coupled_input_forget_gate_lstm_cell/", {"W_0": (IN + H, 3 * H), "B": (3 * H,), "W_F_diag": (H,), "W_O_diag": (H,)}), skipped={"rnn": "unknown-convention"}, said="1 - f"),
    "B12 LayerNormBasicLSTMCell": Line({"rnn/layer_norm_basic_lstm_cell/kernel": (IN + H, 4 * H), **{f"rnn/layer_norm_basic_lstm_cell/{p}/{n}": (H,) for p in ("input", "transform", "forget", "output", "state") for n in ("gamma", "beta")}}, {"rnn:l0": ("tensorflow-layernorm", whole("rnn/layer_norm_basic_lstm_cell/forget/beta", offset=1.0))}),
    "B12 without the norm": Line(leaves("rnn/layer_norm_basic_lstm_cell/", TENSORFLOW), {"rnn:l0": ("tensorflow", block(2, "rnn/layer_norm_basic_lstm_cell/bias", offset=1.0))}),
    "B13 ELMo of bilm-tf": Line(leaves("RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/", {"W_0": (IN + P, 4 * H), "B": (4 * H,), "W_P_0": (H, P)}), {":l1:reverse": ("bilm", block(2, "RNN_1/RNN/MultiRNNCell/Cell1/LSTMCell/B", offset=1.0))}),
    "B14 Sonnet 1": Line(leaves("core/", {"w_gates": (IN + H, 4 * H), "b_gates": (4 * H,), **{f"w_{g}_diag": (H,) for g in "fio"}}), {"core:l0": ("sonnet-1", block(2, "core/b_gates", offset=1.0))}),
    "B15 Sonnet 2": Line(leaves("core/", {"w_i": (IN, 4 * H), "w_h": (H, 4 * H), "b": (4 * H,)}), {"core:l0": ("sonnet", block(1, "core/b"))}),
    "B15 with a projection": Line(leaves("core/", {"w_i": (IN, 4 * H), "w_h": (P, 4 * H), "b": (4 * H,), "projection": (H, P)}), {"core:l0": ("sonnet", block(1, "core/b"))}),
    "B16 flax linen": Line({f"cell/{s}{g}/{n}": z for g in "ifgo" for s, n, z in (("i", "kernel", (IN, H)), ("h", "kernel", (H, H)), ("h", "bias", (H,)))}, {"cell:l0": ("flax", whole("cell/hf/bias"))}),
    "B17 flax ConvLSTMCell": Line(leaves("cell.", CONV), {"cell:l0": ("flax-conv", block(2, "cell.ih.bias", "cell.hh.bias", offset=1.0))}),
    "B18 flax nnx": Line({f"m.{s}{g}{'_' * (s + g == 'if')}.{n}": z for g in "ifgo" for s, n, z in (("i", "kernel", (IN, H)), ("h", "kernel", (H, H)), ("h", "bias", (H,)))}, {"m:l0": ("flax", whole("m.hf.bias"))}),
    "B18 nnx Optimized": Line({"m.dense_i.kernel": (IN, 4 * H), "m.dense_h.kernel": (H, 4 * H), "m.dense_h.bias": (4 * H,)}, {"m:l0": ("flax", block(1, "m.dense_h.bias"))}),
    "B19 Haiku": Line({"net/~/lstm/linear.w": (IN + H, 4 * H), "net/~/lstm/linear.b": (4 * H,)}, {"net/~/lstm:l0": ("haiku", block(2, "net/~/lstm/linear.b", offset=1.0))}),
    "B20 gluon": Line({f"{w}0_{n}": s for w in "lr" for n, s in {"i2h_weight": (4 * H, IN), "h2h_weight": (4 * H, H), "i2h_bias": (4 * H,), "h2h_bias": (4 * H,)}.items()}, {f":l0{end}": ("gluon", block(1, f"{w}0_i2h_bias", f"{w}0_h2h_bias")) for w, end in (("l", ""), ("r", ":reverse"))}),
    "B20 save_parameters": Line({f"_unfused.1.{w}_cell.{n}": z for w in "lr" for n, z in {"i2h_weight": (4 * H, IN), "h2h_weight": (4 * H, H), "i2h_bias": (4 * H,), "h2h_bias": (4 * H,)}.items()}, {f":l1{end}": ("gluon", block(1, f"_unfused.1.{w}_cell.i2h_bias", f"_unfused.1.{w}_cell.h2h_bias")) for w, end in (("l", ""), ("r", ":reverse"))}),
    "B21 mx.rnn": Line({"lstm_i2h_weight": (4 * H, IN), "lstm_h2h_weight": (4 * H, H), "lstm_i2h_bias": (4 * H,), "lstm_h2h_bias": (4 * H,)}, {"lstm:l0": ("gluon", block(1, "lstm_i2h_bias", "lstm_h2h_bias"))}),
    "B22 Chainer LSTM": Line({"lstm/upward/W": (4 * H, IN), "lstm/upward/b": (4 * H,), "lstm/lateral/W": (4 * H, H)}, {"lstm:l0": ("chainer", lambda t: np.asarray(t["lstm/upward/b"], float)[2::4])}),
    "B23 Chainer NStepLSTM": Line({f"rnn/{layer}/{n}{k}": (H, w if k < 4 else H) if n == "w" else (H,) for layer, w in ((0, IN), (1, H)) for n in "wb" for k in range(8)}, {f"rnn:l{k}": ("chainer-nstep", whole(f"rnn/{k}/b1", f"rnn/{k}/b5")) for k in (0, 1)}),
    "B24 CNTK": Line({"m/W": (IN, 4 * H), "m/H": (H, 4 * H), "m/b": (4 * H,)}, skipped={"m": "unknown-convention"}),
}  # fmt: skip

LINES = A_LINES | B_LINES | {
    f"a torch cell at {path}": Line(halves(path), plain(path)) for path in STACKS
}  # fmt: skip


def values(line: Line) -> Tensors:
    """Numbers of their own in every tensor; torch's modules bring theirs."""
    if callable(line.tensors):
        return line.tensors()
    draw = torch.Generator().manual_seed(7)
    out: Tensors = {}
    for name, size in line.tensors.items():
        out[name] = torch.rand(size, generator=draw, dtype=torch.double) * 2 - 1
    if line.container == "same":  # paddle saves the same numbers twice
        for name in [n for n in out if ".cell." in n]:
            out[name.replace("0.cell.", "") + "_l0"] = out[name]
    return out


def packed_gguf(arrays: Tensors) -> bytes:
    """GGUF of version 3 (ggml/docs/gguf.md), float32 alone, written by hand."""
    out, at, body = b"GGUF" + struct.pack("<IQQ", 3, len(arrays), 0), 0, b""
    for name, tensor in arrays.items():
        out += struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", tensor.ndim)
        out += struct.pack(f"<{tensor.ndim}Q", *reversed(tensor.shape)) + struct.pack("<IQ", 0, at)
        body += tensor.numpy().astype("<f4").tobytes()
        body += bytes(-len(body) % 32)
        at = len(body)
    return out + bytes(-len(out) % 32) + body


def written(tensors: Tensors, container: str, folder: Path) -> Path:
    path = folder / "model.pt"
    if container in ("safetensors", "r"):
        path = folder / "model.safetensors"
        meta = {"__r_metadata__": "{}"} if container == "r" else None
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, meta)
    elif container == "gguf":
        path = folder / "model.gguf"
        path.write_bytes(packed_gguf(tensors))
    else:
        torch.save(tensors, path)
    return path


@pytest.mark.parametrize("name", LINES)
def test_the_line_is_read_as_its_source_has_it(name: str, tmp_path: Path) -> None:
    line = LINES[name]
    torch.manual_seed(3)
    tensors = values(line)
    file = lstm_audit.audit(written(tensors, line.container, tmp_path), units=True).files[0]
    rows = {row.lstm.address: row for row in file.rows}
    assert set(rows) == set(line.rows)
    assert {entry.module: entry.reason for entry in file.skipped} == line.skipped
    assert all(line.said in entry.detail for entry in file.skipped)
    for address, (convention, formula) in line.rows.items():
        row, forget = rows[address], np.asarray(formula(tensors), dtype=float)
        assert row.lstm.convention == convention
        assert row.lstm.hidden_size == len(forget) == H
        np.testing.assert_allclose(row.units.bias["f"], forget, rtol=2e-6, atol=1e-7)
        np.testing.assert_allclose(row.units.activation, line.activation(forget), rtol=1e-6)


def test_no_line_is_missing() -> None:
    assert {name.split()[0] for name in A_LINES} == {f"A{k}" for k in range(1, 45)}
    assert {name.split()[0] for name in B_LINES} >= {f"B{k}" for k in range(7, 25)}
