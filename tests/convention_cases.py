"""A checkpoint a convention, with the cell of its framework as the oracle of what the forget gate is."""

import pickle
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cells
import numpy as np
import pytest
from safetensors.torch import load_file

torch = pytest.importorskip("torch")

FIXTURES = Path(__file__).parents[1] / "fixtures"


@dataclass(frozen=True)
class Case:
    """A file: what each address must be, as the pattern of its parameters' names ({} is the cell's
    own name).
    """

    file: str
    convention: str
    cell: cells.Cell
    rows: Mapping[str, str]
    size: int = 4
    offset: float = 0.0


def both_ways(
    module: str, pattern: str, layers: int, ways: tuple[str, str] = ("", "_reverse")
) -> dict[str, str]:
    """The rows of a bidirectional stack; the pattern has {layer} and {way}."""
    return {
        f"{module}:l{layer}{suffix}": pattern.replace("{layer}", str(layer)).replace("{way}", way)
        for layer in range(layers)
        for way, suffix in zip(ways, ("", ":reverse"), strict=True)
    }


FW_BW = ("forward", "backward")
TORCH = "torch", cells.torch_cell
CASES = [
    Case("mixed/default.pt", *TORCH, both_ways("", "{}_l{layer}{way}", 2), size=8),
    Case("mixed/twelve_layers.pt", *TORCH, both_ways("", "{}_l{layer}{way}", 12), size=3),
    Case("mixed/gru_and_lstm.pt", *TORCH, {"lstm:l0": "lstm.{}_l0"}, size=6),
    Case("mixed/aliased.pt", *TORCH, {"decoder:l0": "decoder.{}_l0"}, size=8),
    Case("mixed/optimizer.pt", *TORCH, both_ways("model", "model.{}_l{layer}{way}", 1), size=8),
    Case(
        "mixed/ema.pt",
        *TORCH,
        {
            "state_dict.lstm:l0": "state_dict.lstm.{}_l0",
            "state_dict_ema.lstm:l0": "state_dict_ema.lstm.{}_l0",
        },
        size=8,
    ),
    Case(
        "mixed/quantizable.pt",
        "torch-quantizable",
        cells.quantizable,
        both_ways("lstm", "lstm.layers.{layer}.layer_{way}.cell.{}", 2, ("fw", "bw")),
        size=6,
    ),
    Case(
        "mixed/quantizable_split.pt",
        "torch-quantizable",
        cells.quantizable_split,
        {"lstm:l0": "lstm.layers.0.layer_fw.cell.{}"},
        size=6,
    ),
    Case(
        "mixed/quantized_static.pt",
        "torch-quantizable",
        cells.quantized_static,
        {"lstm:l0": "lstm.layers.0.layer_fw.cell.{}"},
        size=6,
    ),
    Case(
        "mixed/quantized_dynamic.pt",
        "torch-dynamic-quantized",
        cells.torch_cell,
        {
            f"lstm:l{n // 2}{':reverse' * (n % 2)}": f"lstm._all_weight_values.{n}.param.{{}}"
            for n in range(4)
        },
        size=6,
    ),
    Case(
        "mixed/quantized_dynamic_fp16.pt",
        "torch-dynamic-quantized",
        cells.torch_cell,
        {"lstm:l0": "lstm._all_weight_values.0.param.{}"},
        size=6,
    ),
    Case(
        "mixed/quantized_dynamic_cell.pt",
        "torch-dynamic-quantized",
        lambda p, c: cells.torch_cell({"bias_ih": p["ih.bias"], "bias_hh": p["hh.bias"]}, c),
        {"lstm:l0": "lstm._packed_weight_{}"},
        size=6,
    ),
    Case("conventions/torch.pt", *TORCH, both_ways("projected", "projected.{}_l{layer}{way}", 2)),
    Case("conventions/torch.pt", *TORCH, {"cell:l0": "cell.{}"}),
    Case("conventions/torch.pt", "torch", cells.pruned, {"pruned:l0": "pruned.{}"}),
    Case(
        "conventions/torch.pt",
        *TORCH,
        {f"{m}:l0": f"{m}.{{}}_l0" for m in ("weight_norm", "spectral")},
    ),
    Case("conventions/torch.pt", *TORCH, {"parametrized:l0": "parametrized.{}_l0"}),
    Case(
        "conventions/awd_salesforce.pt",
        *TORCH,
        {f"rnns.{k}.module:l0": f"rnns.{k}.module.{{}}_l0" for k in (0, 1)},
    ),
    Case(
        "conventions/awd_fastai2.pt",
        *TORCH,
        {f"model.0.rnns.{k}.module:l0": f"model.0.rnns.{k}.module.{{}}_l0" for k in (0, 1)},
    ),
    Case(
        "conventions/awd_fastai1.pt",
        *TORCH,
        {"model.0.rnns.0.module:l0": "model.0.rnns.0.module.{}_l0"},
    ),
    Case("conventions/weight_drop.pt", *TORCH, {"rnn:l0": "rnn.{}_l0"}),
    Case("conventions/scaled.pt", "torch", cells.scaled, {"lstm:l0": "lstm.{}"}),
    Case(
        "conventions/allennlp.pt",
        "allennlp",
        cells.augmented,
        both_ways("_module", "_module.{way}_layer_{layer}.{}", 2, FW_BW),
    ),
    Case(
        "conventions/allennlp_alternating.pt",
        "allennlp",
        cells.augmented,
        {":l0": "layer_0.{}", ":l1:reverse": "layer_1.{}", ":l2": "layer_2.{}"},
    ),
    Case(
        "conventions/allennlp_cell.pt",
        "allennlp",
        cells.augmented,
        both_ways("stacked", "stacked.{way}_layer_{layer}.cell.{}", 2, FW_BW)
        | both_ways("bi", "bi.{way}_layers.{layer}.cell.{}", 2, FW_BW),
    ),
    Case(
        "conventions/elmo.pt",
        "allennlp",
        cells.augmented,
        both_ways("_elmo_lstm", "_elmo_lstm.{way}_layer_{layer}.{}", 2, FW_BW),
    ),
    Case(
        "conventions/haste.pt", "haste", cells.haste, {"rnn:l0": "rnn.{}", "normed:l0": "normed.{}"}
    ),
    Case("conventions/ncps.pt", "ncps", cells.ncps, {"rnn.lstm:l0": "rnn.lstm.{}"}, offset=1.0),
    Case(
        "conventions/mlx.safetensors",
        "mlx",
        cells.mlx,
        {
            f"decoder.prediction.dec_rnn.lstm.{k}:l0": f"decoder.prediction.dec_rnn.lstm.{k}.{{}}"
            for k in (0, 1)
        },
    ),
    Case("conventions/burn.safetensors", "burn", cells.burn, {"lstm:l0": "lstm.{}"}),
    Case(
        "conventions/burn_bidirectional.safetensors",
        "burn",
        cells.burn,
        {":l0": "forward.{}", ":l0:reverse": "reverse.{}"},
    ),
    Case(
        "conventions/keras.pt",
        "keras-torch",
        cells.keras,
        {
            "_functional._torch_params.sequential/lstm_a:l0": (
                "_torch_params.sequential/lstm_a/lstm_cell/{}"
            )
        }
        | both_ways(
            "_functional._torch_params.sequential/bidirectional",
            "_torch_params.sequential/bidirectional/{way}_lstm_b/lstm_cell/{}",
            1,
            FW_BW,
        ),
    ),
    Case(
        "conventions/paddle.pdparams",
        "paddle",
        cells.paddle,
        {f"lstm:l{k}": f"lstm.{k}.cell.{{}}" for k in (0, 1)},
    ),
    Case(
        "conventions/paddle_bidirectional.pdparams",
        "paddle",
        cells.paddle,
        both_ways("", "{layer}.cell_{way}.{}", 2, ("fw", "bw")),
    ),
    Case(
        "conventions/paddle_projected.pdparams",
        "paddle",
        cells.paddle,
        {f":l{k}": f"{k}.cell.{{}}" for k in (0, 1)},
    ),
    Case(
        "conventions/torchaudio.pt",
        "torchaudio-rnnt",
        cells.rnnt,
        {f"predictor.lstm_layers.{k}:l0": f"predictor.lstm_layers.{k}.{{}}" for k in (0, 1)},
    ),
    Case(
        "conventions/layernorm.pt",
        "layernorm-lstm",
        cells.layer_normed,
        {f":l{k}": f"layers.{k}.cell.{{}}" for k in (0, 1)},
    ),
    Case(
        "conventions/layernorm_bidirectional.pt",
        "layernorm-lstm",
        cells.layer_normed,
        both_ways("rnn", "rnn.layers.{layer}.directions.{way}.cell.{}", 2, ("0", "1")),
    ),
    Case(
        "conventions/convlstm.pt",
        "convlstm",
        cells.convlstm,
        {f"net:l{k}": f"net.cell_list.{k}.conv.{{}}" for k in (0, 1)},
    ),
    Case(
        "conventions/convlstm_separate.pt",
        "convlstm-separate",
        cells.convlstm_separate,
        {f":l{k}": f"cell{k}.{{}}" for k in (0, 1)},
    ),
]


def flattened(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors in nested dicts and tuples, as doubles; packed parameters by the biases they
    hold.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from flattened(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, tuple):
        for k, inner in enumerate(value):
            yield from flattened(inner, f"{path}.{k}")
    elif isinstance(value, torch.ScriptObject):
        yield from unpacked(value, path)
    elif isinstance(value, (torch.Tensor, np.ndarray)) and not getattr(
        value, "is_quantized", False
    ):
        yield path, torch.as_tensor(value).detach().double()


def unpacked(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What torch's own code says that a packed object holds: LinearPackedParams, or CellParams over
    two of them.
    """
    state = value.__getstate__()[0]
    if isinstance(state[0], str):
        for half, packed in zip(("ih", "hh"), state[4], strict=True):
            yield f"{path}.bias_{half}", packed.__getstate__()[0][1].detach().double()
    else:
        yield f"{path}.bias", state[1].detach().double()


def loaded(file: str) -> dict[str, Any]:
    """A fixture by its own framework's loader."""
    path = FIXTURES / file
    if path.suffix == ".safetensors":
        return dict(flattened(load_file(path)))
    if path.suffix == ".pdparams":
        return dict(flattened(pickle.loads(path.read_bytes())))
    return dict(flattened(torch.load(path, weights_only=False)))


def parameters(tensors: Mapping[str, Any], pattern: str) -> dict[str, Any]:
    """The parameters of one cell, under the cell's own names for them."""
    anchored = re.compile(re.escape(pattern).replace(r"\{\}", "(.+)"))
    return {
        match[1]: tensor for name, tensor in tensors.items() if (match := anchored.fullmatch(name))
    }
