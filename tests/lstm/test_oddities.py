"""Checkpoints on which names and shapes mislead: what real torch makes of them is the measure."""

import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.utils.prune
from torch import nn

import lstm_audit
from lstm_audit.errors import MalformedFile, Skipped, UnknownFormat
from lstm_audit.formats.live import read_mapping
from lstm_audit.lstm import find

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Wrapped(nn.Module):
    """An LSTM, or what was made of one, in a module of a class that a reader cannot import."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Holder:
    """Something that keeps a model, as a scheduler does."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


def saved(value: object, folder: Path, name: str = "m.pt") -> Path:
    torch.save(value, folder / name)
    return folder / name


def rows(target: Any) -> dict[str, float]:
    """Address to mean forget activation."""
    return {row.lstm.address: row.measures.activation.mean for row in lstm_audit.audit(target).rows}


def skips(target: Any) -> set[tuple[str, str]]:
    return {
        (entry.module, entry.reason)
        for file in lstm_audit.audit(target).files
        for entry in file.skipped
    }


def forget(cell: Any, suffix: str = "") -> float:
    """The mean of the new c at c=1 less that at c=0, with x=0 and h=0."""
    size = cell.hidden_size
    zero, weight = torch.zeros(1, size), torch.zeros(4 * size, size)
    biases = [getattr(cell, f"bias_{half}{suffix}") for half in ("ih", "hh")]
    new = [
        torch._VF.lstm_cell(zero, (zero, zero + c), weight, weight, *biases)[1] for c in (1.0, 0.0)
    ]
    return float((new[0] - new[1]).mean().detach())


def state(seed: int = 0, **sizes: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return dict(nn.LSTM(3, 4, **sizes).state_dict())


# ---- copies that are not summed


@pytest.mark.parametrize(
    "names", [["bias_ih_l0"], ["bias_hh_l0", "weight_hh_l0"], ["bias_ih_l0", "bias_hh_l0"]]
)
def test_a_pruned_module_counts_its_bias_once(names: list[str], tmp_path: Path) -> None:
    """Pruning keeps the masked tensor as an attribute, which a whole pickled module has beside
    `_orig` and the mask.
    """
    model = Wrapped(lstm=nn.LSTM(3, 4))
    with torch.no_grad():
        model.lstm.bias_ih_l0.fill_(1.0)
        model.lstm.bias_hh_l0.fill_(0.25)
    for name in names:
        nn.utils.prune.random_unstructured(model.lstm, name, 0.5)
    expected = pytest.approx(forget(model.lstm, "_l0"), abs=1e-6)
    for target in (model, saved(model, tmp_path), saved(model.state_dict(), tmp_path, "state.pt")):
        assert rows(target) == {"lstm:l0": expected}


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_a_quantised_cell_keeps_nothing_of_what_it_was_made_from(
    kind: type[nn.Module], tmp_path: Path
) -> None:
    model = Wrapped(cell=kind(5, 6)).eval()
    expected = forget(model.cell) if kind is nn.LSTMCell else None
    made = torch.ao.quantization.quantize_dynamic(model, {kind}, dtype=torch.qint8)
    torch.jit.script(made).save(tmp_path / "scripted.pt")
    for path in (saved(made, tmp_path), tmp_path / "scripted.pt"):
        found = lstm_audit.audit(path)
        assert [row.lstm.convention for row in found.rows] == ["torch-dynamic-quantized"] * (
            expected is not None
        )
        if expected is not None:
            assert rows(path) == {"cell:l0": pytest.approx(expected, abs=1e-6)}
        assert {reason for _, reason in skips(path)} <= {"gru", "rnn"}


def test_a_shared_bias_under_two_masks_is_two_rows(tmp_path: Path) -> None:
    one, both = torch.ones(16), {}
    for name, mask in ("a", torch.ones(16)), ("b", torch.zeros(16)):
        both |= {
            f"{name}.weight_hh_l0": torch.zeros(16, 4),
            f"{name}.weight_ih_l0": torch.zeros(16, 3),
        }
        both |= {
            f"{name}.bias_ih_l0_orig": one,
            f"{name}.bias_hh_l0": one,
            f"{name}.bias_ih_l0_mask": mask,
        }
    sigmoid = {"a:l0": 1 / (1 + math.exp(-2)), "b:l0": 1 / (1 + math.exp(-1))}
    assert rows(saved(both, tmp_path)) == pytest.approx(sigmoid)


# ---- names of other frameworks


def keras(
    cell: str, bias: float, prefix: str = "_torch_params.sequential/rnn/cells/"
) -> dict[str, torch.Tensor]:
    """Keras keeps i, f, c, o in one bias and starts f at 1."""
    vector = torch.zeros(16)
    vector[4:8] = bias
    kernels = {"kernel": torch.zeros(3, 16), "recurrent_kernel": torch.zeros(4, 16)}
    return {f"{prefix}{cell}/{name}": value for name, value in (kernels | {"bias": vector}).items()}


def test_keras_cells_beside_each_other_stay_apart() -> None:
    gru = {
        "kernel": torch.zeros(3, 12),
        "recurrent_kernel": torch.zeros(4, 12),
        "bias": torch.zeros(2, 12),
    }
    others = {
        f"_torch_params.sequential/rnn/cells/gru_cell/{name}": value for name, value in gru.items()
    }
    found = rows({**keras("lstm_cell", 1.0), **keras("lstm_cell_1", 3.0), **others})
    place = "_torch_params.sequential/rnn/cells"
    assert found == pytest.approx({f"{place}:l0": 0.7310586, f"{place}/lstm_cell_1:l0": 0.9525741})
    assert skips({**keras("lstm_cell", 1.0), **others}) == {(f"{place}/gru_cell", "gru")}


@pytest.mark.parametrize("prefix", ["sequential/lstm/", "_torch_params.sequential/rnn/my"])
def test_keras_under_names_of_its_own_is_not_taken_for_haste(prefix: str, tmp_path: Path) -> None:
    """Both have kernel, recurrent_kernel and bias, in another order of the gates; only Keras has
    slashes.
    """
    tensors = keras("cell", 1.0, prefix)
    arrays = {name: value.numpy() for name, value in tensors.items()}
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(arrays))
    for target in (tensors, arrays, tmp_path / "m.pkl", saved(tensors, tmp_path)):
        assert rows(target) == {}
        assert {reason for _, reason in skips(target)} == {"ambiguous"}


def test_a_single_bias_beside_torchs_weights_is_no_bias_false(tmp_path: Path) -> None:
    """Equinox names a cell's parameters weight_ih, weight_hh and bias."""
    cell = {
        "cell.weight_ih": torch.randn(16, 3),
        "cell.weight_hh": torch.randn(16, 4),
        "cell.bias": torch.ones(16),
    }
    assert rows(saved(cell, tmp_path)) == rows(cell) == {"cell:l0": pytest.approx(0.7310586)}
    cell["cell.bias"] = torch.ones(7)  # a parameter of something else
    assert rows(cell) == {"cell:l0": 0.5}


@pytest.mark.parametrize("make", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_a_normalised_projection_is_still_one(make: Any, tmp_path: Path) -> None:
    lstm = nn.LSTM(3, 4, proj_size=2)
    make(lstm, "weight_hr_l0")
    for target in (lstm, saved(lstm.state_dict(), tmp_path)):
        assert rows(target) == {":l0": pytest.approx(forget(lstm, "_l0"), abs=1e-6)}


def test_a_quantizable_cell_by_itself(tmp_path: Path) -> None:
    cell = torch.ao.nn.quantizable.LSTMCell(3, 4)
    zero = torch.zeros(1, 4)
    new = [cell(torch.zeros(1, 3), (zero, zero + c))[1] for c in (1.0, 0.0)]
    expected = pytest.approx(float((new[0] - new[1]).mean().detach()), abs=1e-6)
    for target in (cell, saved(cell.state_dict(), tmp_path)):
        assert rows(target) == {":l0": expected}


# ---- what cannot be read is said, and hides nothing else


@pytest.mark.parametrize(
    "bias", [torch.ones(16).to_sparse(), torch.ones(16, device="meta")], ids=["sparse", "meta"]
)
def test_a_bias_without_values_is_not_counted_as_zero(bias: torch.Tensor, tmp_path: Path) -> None:
    tensors = state(num_layers=2)
    tensors["bias_ih_l0"] = bias
    path = saved(tensors, tmp_path)
    assert set(rows(path)) == {":l1"}
    assert {module for module, _ in skips(path)} == {""}


def test_one_bias_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    tensors = {f"{name}.{key}": value for name in "ab" for key, value in state().items()}
    conjugated = tensors | {"a.bias_ih_l0": torch.ones(16, dtype=torch.complex64).conj()}
    assert set(rows(saved(conjugated, tmp_path))) == {"b:l0"}
    arrays: dict[str, Any] = {name: value.numpy() for name, value in tensors.items()}
    arrays["a.bias_ih_l0"] = arrays["a.bias_ih_l0"].astype(np.longdouble)
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(arrays))
    assert set(rows(tmp_path / "m.pkl")) == {"b:l0"}
    assert skips(tmp_path / "m.pkl") == {("a", "unsupported-dtype")}


@pytest.mark.parametrize("scale", [torch.zeros(0), torch.zeros(16), torch.zeros(2, 2)])
def test_a_scale_that_is_no_number(scale: torch.Tensor, tmp_path: Path) -> None:
    tensors = state() | {"bias_ih_l0_scale": scale}
    for target in (tensors, saved(tensors, tmp_path)):
        assert (rows(target), skips(target)) == ({}, {("", "conflicting-evidence")})


def test_two_tensors_under_one_path_are_said(tmp_path: Path) -> None:
    path = saved({"m": {"lstm": state(1)}, "m.lstm": state(2)}, tmp_path)
    assert (rows(path), skips(path)) == ({}, {("m.lstm", "ambiguous")})


def test_keys_that_are_no_text_stay_apart(tmp_path: Path) -> None:
    odd = {("enc", 1): state(1), ("dec", 2): state(2), b"x": state(3), b"y": state(4)}
    assert set(rows(saved(odd, tmp_path))) == {"(enc, 1):l0", "(dec, 2):l0", "?:l0", "?2:l0"}


def test_a_number_of_four_thousand_digits_is_no_layer(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    tensors = {f"x.{name.replace('l0', 'l' + '9' * 4000)}": v for name, v in state().items()}
    save_file({**tensors, **state()}, tmp_path / "m.safetensors")
    assert set(rows(tmp_path / "m.safetensors")) == set(rows({**tensors, **state()})) == {":l0"}


# ---- optimizers


def test_a_model_that_an_optimizer_holds_too_is_found(tmp_path: Path) -> None:
    model = Wrapped(lstm=nn.LSTM(3, 4))
    for holder in (Holder(model), {"backup": model}, [model]):
        assert set(rows(saved({"optimizer": holder, "model": model}, tmp_path))) == {
            "model.lstm:l0"
        }
    nested = {"net": {"lstm": state()}}
    assert set(rows(saved({"optimizer": {"backup": nested}, "model": nested}, tmp_path))) == {
        "model.net.lstm:l0"
    }


def test_a_module_is_what_its_class_says_whatever_its_name(tmp_path: Path) -> None:
    model = Wrapped(optimizer=nn.LSTM(3, 4))
    assert set(rows(model)) == set(rows(saved(model, tmp_path))) == {"optimizer:l0"}
    # a state dict has no classes: weights without moments are a model's, a learned optimizer's
    learned = saved(model.state_dict(), tmp_path)
    assert (set(rows(learned)), skips(learned)) == ({"optimizer:l0"}, set())


# ---- live objects that show nothing


class Runs(Wrapped):
    """A wrapper that can be scripted."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


def test_live_objects_without_a_parameter_to_see() -> None:
    model = Runs(lstm=nn.LSTM(3, 4)).eval()
    assert skips(torch.jit.freeze(torch.jit.script(model))) == {("", "frozen")}
    made = torch.ao.quantization.quantize_dynamic(model, {nn.LSTM}, dtype=torch.qint8)
    assert skips(torch.jit.script(made)) == {("", "packed")}
    static = nn.Sequential(nn.LSTM(5, 6)).eval()
    static.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    ready = torch.ao.quantization.prepare(static)
    ready(torch.randn(3, 2, 5))
    assert skips(torch.ao.quantization.convert(ready)) == {("0", "packed")}


@pytest.mark.parametrize("target", [[{}], (nn.LSTM(3, 4),), ["m.pt", 1]])
def test_a_list_of_anything_but_paths(target: Any) -> None:
    with pytest.raises(UnknownFormat, match="list of paths"):
        lstm_audit.audit(target)


def test_a_path_of_bytes(tmp_path: Path) -> None:
    path = saved(state(), tmp_path)
    assert rows(os.fsencode(path)) == rows(path)


# ---- bounded


def test_groups_without_end_are_cut() -> None:
    tensors = {f"t{n}.bias_ih_l0": np.zeros(1, "f4") for n in range(find.MAX_OUTCOMES + 1)}
    with pytest.raises(lstm_audit.AuditError, match="look like recurrences"):
        lstm_audit.audit(tensors)


def test_unread_tensors_without_end_are_cut() -> None:
    """They are held against the rows all at once, and counted: pair by pair a hostile file took
    twelve seconds.
    """
    good = {f"g{n}.{name}": value.numpy() for n in range(3) for name, value in state().items()}
    checkpoint = read_mapping(good)
    lost = [Skipped(f"g{n}.bias_ih_l0", "unsupported-dtype", "a sparse tensor") for n in range(2)]
    rest = [
        Skipped(f"t{n}.bias_ih_l0", "unsupported-dtype", "a sparse tensor")
        for n in range(find.MAX_OUTCOMES)
    ]
    found = find.find_lstms(checkpoint._replace(skipped=tuple(lost)))
    assert [lstm.module for lstm in found.lstms] == ["g2"]
    with pytest.raises(MalformedFile, match="look like recurrences") as refused:
        find.find_lstms(checkpoint._replace(skipped=(*lost, *rest)))
    assert refused.value.kind == "limit"


def test_parts_of_any_shape_give_rows_or_reasons(tmp_path: Path) -> None:
    """A weight of one axis beside a bias alone ended in a traceback."""
    shapes = ((), (12,), (3,), (12, 1), (1, 12), (12, 3), (12, 2, 1), (0, 3), (12, 0))
    path = tmp_path / "odd.pt"
    for ih in (None, *shapes):
        for hh in (None, *shapes):
            for biases in ("ih", "hh", ""):
                named = {"weight_ih_l0": ih, "weight_hh_l0": hh}
                named |= {f"bias_{half}_l0": (12,) for half in (biases,) if half}
                state = {name: torch.zeros(shape) for name, shape in named.items() if shape is not None}  # fmt: skip
                torch.save({"rnn": state, "head": torch.ones(2)}, path)
                (audit,) = lstm_audit.audit(path).files or (None,)
                assert audit is None or all(isinstance(entry, Skipped) for entry in audit.skipped)
