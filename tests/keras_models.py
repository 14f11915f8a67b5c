"""Keras models of the real frameworks, and what their cells make of x = 0, h = 0 (extra `references`)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REASON = "the frameworks that the audit is held against are in the extra `references`"
np = pytest.importorskip("numpy", reason=REASON)
tf = pytest.importorskip("tensorflow", reason=REASON)
keras = pytest.importorskip("keras", reason=REASON)
tf_keras = pytest.importorskip("tf_keras", reason=REASON)

WISH = 1.75
FRAMEWORKS = {"keras": keras, "tf_keras": tf_keras}
Numbers = list[tuple[float, float, float]]


def cells_of(layer: Any) -> Iterator[Any]:
    """The cells with a forget gate in a layer or model, each once."""
    if "LSTM" in type(layer).__name__ and "Cell" in type(layer).__name__:
        yield layer
        return
    for name in ("layers", "layer", "forward_layer", "backward_layer", "cell", "cells"):
        inner = getattr(layer, name, None)
        if name == "layer" and type(layer).__name__ == "Bidirectional":
            continue
        for part in (
            inner if isinstance(inner, (list, tuple)) else [inner] if inner is not None else []
        ):
            yield from cells_of(part)


def kept(cell: Any) -> Any:
    """What one step keeps of each unit's memory."""
    kernel = np.shape(cell.kernel)
    units, inputs = np.shape(cell.recurrent_kernel)[-1] // 4, kernel[-2]
    space = (1, *(6 for _ in kernel[:-2]))
    narrow = (1, *(6 - size + 1 for size in kernel[:-2]))  # valid padding
    source, hidden = tf.zeros((*space, inputs)), tf.zeros((*narrow, units))
    at = [cell(source, [hidden, tf.fill((*narrow, units), c)]) for c in (1.0, 0.0)]
    after = [np.asarray(states[1], dtype="f8") for _, states in at]
    return (after[0] - after[1]).reshape(-1, units)[0]


def by_oracle(model: Any) -> Numbers:
    numbers = [kept(cell) for cell in cells_of(model)]
    return sorted((float(f.mean()), float(f.min()), float(f.max())) for f in numbers)


def scramble(model: Any, seed: int) -> None:
    """Biases drawn anew: what Keras initialises would be right by chance."""
    random = np.random.default_rng(seed)
    for cell in cells_of(model):
        if cell.use_bias:
            cell.bias.assign(random.normal(0.5, 1.5, np.shape(cell.bias)).astype("f4"))


def layer_of(K: Any, kind: str, units: int, **options: Any) -> tuple[Any, tuple[int, ...]]:
    """A layer and the shape of its input."""
    L, steps = K.layers, (5, 3)
    if kind.startswith("ConvLSTM"):
        axes = int(kind[-2])
        return getattr(L, kind)(units, 2, **options), (2, *(6,) * axes, 3)
    if kind == "LSTM":
        return L.LSTM(units, **options), steps
    if kind == "Bidirectional":
        return L.Bidirectional(L.LSTM(units, **options)), steps
    if kind == "TimeDistributed":
        return L.TimeDistributed(L.LSTM(units, **options)), (2, *steps)
    if kind == "RNN":
        return L.RNN(L.LSTMCell(units, **options)), steps
    plain = {**options, "recurrent_activation": "sigmoid"}
    stack = [L.LSTMCell(units, **options), L.LSTMCell(units + 1, **plain)]
    return L.Bidirectional(L.RNN(stack)) if kind == "BidirectionalStack" else L.RNN(stack), steps


KINDS = ("LSTM", "Bidirectional", "TimeDistributed", "RNN", "Stack", "BidirectionalStack", "ConvLSTM1D", "ConvLSTM2D",
         "ConvLSTM3D")  # fmt: skip


def build(K: Any, kinds: list[str], options: list[dict[str, Any]], seed: int) -> Any:
    """A model of several inputs, a layer each, so that every kind may stand beside every other."""
    ins, outs = [], []
    for kind, how in zip(kinds, options, strict=True):
        layer, shape = layer_of(K, kind, **how)
        ins.append(K.Input(shape))
        outs.append(layer(ins[-1]))
    model = K.Model(ins, outs)
    scramble(model, seed)
    return model


def save(model: Any, path: Path) -> Path:
    if path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)
    return path
