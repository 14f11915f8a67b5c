"""LSTMs under names of their authors': never silent, and read once the draft is pasted."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn

import lstm_audit
from lstm_audit.policy.load import make_policy

H, IN = 8, 5
F1 = 0.7310585786
Tensors = dict[str, Any]


def zeros(*size: int) -> Any:
    return torch.zeros(size)


def forget_one(order: str = "ifgo") -> Any:
    """A bias of four gates with 1 in f."""
    return torch.cat([torch.full((H,), float(gate == "f")) for gate in order])


def gates(template: str, words: str | list[str], *size: int, value: float = 0.0) -> Tensors:
    """A tensor a gate; the one of f holds the value."""
    found = {}
    for word in words:
        found[template.replace("@", word)] = torch.full(
            size, float(value if word.lower().startswith("f") else 0)
        )
    return found


WORDS = ["forget", "input", "cell", "output"]
SIGHTS: dict[str, tuple[str, Tensors]] = {
    "parameters a gate": (
        "rnn",
        gates("rnn.W_@", "ifco", IN, H) | gates("rnn.U_@", "ifco", H, H) | gates("rnn.b_@", "ifco", H, value=1),
    ),
    "run together": (
        "net.core",
        gates("net.core.Wx@", "ifgo", H, IN) | gates("net.core.Wh@", "ifgo", H, H) | gates("net.core.b@", "ifgo", H, value=1),
    ),
    "parameters at the root": ("", gates("K_@", "fico", H, IN + H) | gates("bias_@", "fico", H, 1, value=1)),
    "linear a gate": (
        "m.cell",
        gates("m.cell.@_gate.weight", WORDS, H, IN + H) | gates("m.cell.@_gate.bias", WORDS, H, value=1),
    ),
    "nested as in JAX": (
        "params",
        gates("params.W.@", "ifgo", IN, H) | gates("params.U.@", "ifgo", H, H) | gates("params.b.@", "ifgo", H, value=1),
    ),
    "module dicts of sides": (
        "enc",
        gates("enc.x2h.@.weight", WORDS, H, IN) | gates("enc.h2h.@.weight", WORDS, H, H)
        | gates("enc.x2h.@.bias", WORDS, H, value=1),
    ),
    "torch's letters": (
        "c",
        gates("c.weight_i@", "ifgo", H, IN) | gates("c.weight_h@", "ifgo", H, H) | gates("c.bias_@", "ifgo", H, value=1),
    ),
    "slashes": (
        "lstm",
        gates("lstm/w@", "ifjo", IN + H, H) | gates("lstm/b@", "ifjo", H, value=1),
    ),
    "capitals": (
        "dec.0",
        gates("dec.0.W@.weight", "IFCO", H, IN) | gates("dec.0.U@.weight", "IFCO", H, H) | gates("dec.0.W@.bias", "IFCO", H, value=1),
    ),
    "a list of cells": (
        "cells.1",
        gates("cells.1.lin_@.weight", "ifgo", H, H + IN) | gates("cells.1.lin_@.bias", "ifgo", H, value=1),
    ),
    "a pair of layers": (
        "core",
        {"core.i2h.weight": zeros(4 * H, IN), "core.h2h.weight": zeros(4 * H, H), "core.i2h.bias": forget_one(),
         "core.h2h.bias": zeros(4 * H)},
    ),
    "x2h and h2h without a bias on x": (
        "layers.0",
        {"layers.0.x2h.weight": zeros(4 * H, IN), "layers.0.h2h.weight": zeros(4 * H, H), "layers.0.h2h.bias": forget_one()},
    ),
    "fused parameters": ("a.b", {"a.b.W": zeros(IN, 4 * H), "a.b.U": zeros(H, 4 * H), "a.b.b": forget_one()}),
    "linear_x, linear_h": (
        "rnn",
        {"rnn.linear_x.weight": zeros(4 * H, IN), "rnn.linear_h.weight": zeros(4 * H, H), "rnn.linear_x.bias": forget_one()},
    ),
    "input and hidden": (
        "r",
        {"r.input_proj.weight": zeros(4 * H, IN), "r.hidden_proj.weight": zeros(4 * H, H), "r.hidden_proj.bias": forget_one()},
    ),
    "wx and wh": ("q", {"q.wx": zeros(4 * H, IN), "q.wh": zeros(4 * H, H), "q.bx": forget_one()}),
    "one layer for all": (
        "lstm_cell",
        {"lstm_cell.gates.weight": zeros(4 * H, IN + H), "lstm_cell.gates.bias": forget_one()},
    ),
    "a convolution": (
        "cells.0",
        {"cells.0.conv.weight": zeros(4 * H, IN + H, 3, 3), "cells.0.conv.bias": forget_one()},
    ),
    "a convolution of gates": (
        "body",
        {"body.gates_conv.weight": zeros(4 * H, IN + H, 3, 3), "body.gates_conv.bias": forget_one()},
    ),
    "a spiking convolution": (
        "slstm1",
        {"slstm1.conv.weight": zeros(4 * H, IN + H, 3, 3), "slstm1.conv.bias": forget_one(), "slstm1.threshold": zeros()},
    ),
    "convolutions a gate": (
        "stack.0",
        gates("stack.0.conv_x@.weight", "ifco", H, IN, 3, 3) | gates("stack.0.conv_h@.weight", "ifco", H, H, 3, 3)
        | gates("stack.0.conv_x@.bias", "ifco", H, value=1),
    ),
}  # fmt: skip


def audited(tensors: Tensors, policy: Any = None) -> Any:
    return lstm_audit.audit(tensors, policy=policy).files[0]


def draft_of(detail: str) -> dict[str, Any]:
    """The line that a skipped entry prints, as pasted into lstm-audit.toml."""
    line = re.search(r"convention = \[\{.*\}\]", detail)
    assert line is not None, detail
    return tomllib.loads(line[0])


@pytest.mark.parametrize("name", SIGHTS)
def test_it_is_said_with_the_tensors_that_speak_for_it(name: str) -> None:
    module, tensors = SIGHTS[name]
    file = audited(tensors)
    assert [(s.module, s.reason) for s in file.skipped] == [(module, "unknown-convention")]
    assert file.rows == ()
    assert any(tensor in file.skipped[0].detail for tensor in tensors)


@pytest.mark.parametrize("name", SIGHTS)
def test_the_draft_reads_it_when_pasted(name: str) -> None:
    module, tensors = SIGHTS[name]
    (skipped,) = audited(tensors).skipped
    file = audited(tensors, make_policy(draft_of(skipped.detail)))
    assert file.skipped == ()
    (row,) = file.rows
    assert row.lstm.identity.module == module
    assert row.lstm.hidden_size == H
    assert row.measures.activation.mean == pytest.approx(F1)


@pytest.mark.parametrize("name", [name for name in SIGHTS if name != "parameters at the root"])
def test_a_patch_goes_through_it(name: str, tmp_path: Path) -> None:
    _, tensors = SIGHTS[name]
    torch.save(tensors, tmp_path / "m.pt")
    (skipped,) = lstm_audit.audit(tmp_path / "m.pt").files[0].skipped
    policy = draft_of(skipped.detail)
    lstm_audit.patch(tmp_path / "m.pt", forget_bias=3.0, policy=policy)
    (row,) = lstm_audit.audit(tmp_path / "m.pt", policy=make_policy(policy)).files[0].rows
    assert row.measures.gates["f"].mean == 3.0
    after = torch.load(tmp_path / "m.pt")
    changed = [key for key in tensors if not torch.equal(tensors[key], after[key])]
    assert changed, "the bias lies in the file"
    assert all("weight" not in key or "bias" in key for key in changed)


@pytest.mark.parametrize("name", ["memory.conv_list", "layers", "net.stages", "rec"])
@pytest.mark.parametrize("inner", ["", "conv."])
def test_a_list_of_convolutions_that_chain_as_cells_do_is_said(name: str, inner: str) -> None:
    sizes = (zeros(4 * H, IN + H, 3, 3), zeros(4 * H, H + H, 3, 3), zeros(8 * H, H + 2 * H, 3, 3))
    stack = {f"{name}.{k}.{inner}weight": size for k, size in enumerate(sizes)}
    said = [(skip.module, skip.reason) for skip in audited(stack).skipped]
    assert said == [(f"{name}.{k}", "unknown-convention") for k in range(3)]
    # So do not those of a plain network: 4H channels out are 4H in.
    plain = (zeros(32, 12, 3, 3), zeros(32, 32, 3, 3), zeros(64, 32, 3, 3))
    assert not audited({f"{name}.{k}.{inner}weight": size for k, size in enumerate(plain)}).skipped


def test_a_convolution_without_a_name_in_a_list_that_says_lstm_is_said() -> None:
    weight = zeros(4 * H, IN + H, 3, 3)
    assert audited({"lstm_blocks.2.weight": weight}).skipped[0].reason == "unknown-convention"
    assert not audited({"blocks.2.weight": weight}).skipped


def test_a_good_lstm_does_not_hide_it() -> None:
    state = {f"enc.{k}": v for k, v in nn.LSTM(IN, H).state_dict().items()}
    file = audited(state | SIGHTS["a pair of layers"][1])
    assert len(file.rows) == 1
    assert [s.module for s in file.skipped] == ["core"]
