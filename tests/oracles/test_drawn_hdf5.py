"""Keras files as h5py writes them, drawn over superblocks, dtypes, activations and versions of Keras: the
numbers are those that h5py reads, the activation is the formula of the version, a patch is read back by h5py.

h5py is in the extra `references`.
"""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lstm_audit

h5py = pytest.importorskip("h5py", reason="h5py is in the extra `references`")

Function = Callable[[float], float]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def of_version(version: str) -> dict[str, Function]:
    """The gates' functions by their names, as Keras of that version computes them."""
    older = version < "3"
    hard: Function = (lambda x: min(max(0.2 * x + 0.5, 0), 1)) if older else (lambda x: min(max(x + 3, 0), 6) / 6)  # fmt: skip
    return {"sigmoid": sigmoid, "hard_sigmoid": hard}


LIBVERS = ["earliest", ("earliest", "v108"), "v108", "v110", "v112", "latest"]
DTYPES = ["<f4", ">f4", "<f2", ">f2", "<f8", ">f8"]
NEAR = {"2": 2e-3, "4": 1e-6, "8": 1e-6}


def write(version: str, activation: str, dtype: str, how: dict[str, Any], rng: np.random.Generator, hidden: int) -> tuple[bytes, np.ndarray]:  # fmt: skip
    """One LSTM called `memory`, and its forget biases."""
    made = io.BytesIO()
    bias = rng.normal(0, 1, 4 * hidden).astype(dtype)
    colon = ":0" if version < "3" else ""
    settings_of = {"name": "memory", "units": hidden, "recurrent_activation": activation}
    config = {"class_name": "Sequential", "config": {"name": "net", "layers": [{"class_name": "LSTM", "config": settings_of}]}}  # fmt: skip
    stored = {key: how[key] for key in ("chunks", "shuffle") if how.get(key)}
    with h5py.File(made, "w", libver=how["libver"], track_order=how["ordered"]) as out:
        out.attrs["keras_version"], out.attrs["backend"] = version, "tensorflow"
        out.attrs["model_config"] = json.dumps(config)
        top = out.create_group("model_weights")
        top.attrs["layer_names"] = np.array([b"memory"])
        cell = top.create_group("memory/memory/lstm_cell")
        cell.create_dataset(f"kernel{colon}", data=np.zeros((2, 4 * hidden), dtype))
        cell.create_dataset(f"recurrent_kernel{colon}", data=np.zeros((hidden, 4 * hidden), dtype))
        cell.create_dataset(f"bias{colon}", data=bias, **stored)
        top["memory"].attrs["weight_names"] = np.array([f"memory/lstm_cell/{n}{colon}".encode() for n in ("kernel", "recurrent_kernel", "bias")])  # fmt: skip
    return made.getvalue(), bias[hidden : 2 * hidden].astype("f8")


@settings(max_examples=120)
@given(
    version=st.sampled_from(["2.2.4-tf", "2.15.0", "3.0.5", "3.15.1"]),
    activation=st.sampled_from(["sigmoid", "hard_sigmoid"]),
    dtype=st.sampled_from(DTYPES),
    libver=st.sampled_from(LIBVERS),
    ordered=st.booleans(),
    chunked=st.booleans(),
    hidden=st.integers(1, 9),
    seed=st.integers(0, 1 << 30),
)
def test_what_h5py_writes(
    version: str, activation: str, dtype: str, libver: Any, ordered: bool, chunked: bool, hidden: int, seed: int, tmp_path: Path
) -> None:  # fmt: skip
    how = {"libver": libver, "ordered": ordered, "chunks": (4 * hidden,) if chunked else None}
    data, forget = write(version, activation, dtype, how, np.random.default_rng(seed), hidden)
    path = tmp_path / "model.h5"
    path.write_bytes(data)
    (row,) = lstm_audit.audit(path).rows
    assert row.lstm.identity.module.split("/")[-1] == "memory"
    gate, near = of_version(version)[activation], NEAR[dtype[-1]]
    found = [gate(x) for x in forget]
    assert row.measures.gates["f"].min == pytest.approx(forget.min(), abs=1e-6)
    assert row.measures.activation.min == pytest.approx(min(found), abs=1e-6)
    assert row.measures.activation.max == pytest.approx(max(found), abs=1e-6)
    lstm_audit.patch(path, activation=0.75)
    with h5py.File(path) as again:
        cell = again["model_weights/memory/memory/lstm_cell"]
        (bias,) = (cell[name][()].astype("f8") for name in cell if name.startswith("bias"))
    assert [gate(x) for x in bias[hidden : 2 * hidden]] == pytest.approx([0.75] * hidden, abs=near)
    with h5py.File(io.BytesIO(data)) as before, h5py.File(path) as after:
        names: list[str] = []
        before.visit(names.append)
        for name in (n for n in names if isinstance(before[n], h5py.Dataset) and "bias" not in n):
            assert (before[name][()] == after[name][()]).all()
    lstm_audit.undo(path)
    assert path.read_bytes() == data
