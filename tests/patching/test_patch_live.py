"""A live model patched: Parameters stay the objects they are, only the planned numbers move, and
the model obeys.
"""
# mypy: disable-error-code="no-untyped-call"
# torch's older corners (ao, prune) bear no types

from collections.abc import Callable, Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn
from torch.nn.utils import parametrizations, prune, weight_norm

import lstm_audit
from lstm_audit.errors import BadPolicy, NotPatchable, UnknownFormat
from lstm_audit.patching import live

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # of torch: weight_norm and quantisation will move

H = 8
BOTH = ("ih", "hh")


def suffixes(lstm: nn.LSTM) -> Iterator[str]:
    for layer in range(lstm.num_layers):
        for way in ("", "_reverse")[: 1 + lstm.bidirectional]:
            yield f"_l{layer}{way}"


def effective(module: Any, suffix: str = "_l0", gate: str = "f") -> Any:
    """The sum of both halves of a gate, in float64."""
    size, k = module.hidden_size, "ifgo".index(gate)
    both = [getattr(module, f"bias_{half}{suffix}").detach().double() for half in BOTH]
    return (both[0] + both[1])[k * size : (k + 1) * size]


def kept(module: Any) -> Any:
    """What the first layer keeps of a memory of 1 at x = 0, h = 0: the forget gate, by running the
    module.
    """
    parameter = next(module.parameters())
    options = {"dtype": parameter.dtype, "device": parameter.device}
    with torch.no_grad():
        if isinstance(module, nn.LSTMCell):
            x, h = (
                torch.zeros(1, module.input_size, **options),
                torch.zeros(1, module.hidden_size, **options),
            )
            c = h.clone()
            return (module(x, (h, c + 1))[1] - module(x, (h, c))[1]).double().flatten()
        count = module.num_layers * (1 + module.bidirectional)
        x = torch.zeros(1, 1, module.input_size, **options)
        h = torch.zeros(count, 1, module.proj_size or module.hidden_size, **options)
        c = torch.zeros(count, 1, module.hidden_size, **options)
        both = module(x, (h, c + 1))[1][1] - module(x, (h, c))[1][1]
        return both[: 1 + module.bidirectional].double().flatten()


def opens_as(bias: float, module: Any) -> bool:
    eps = torch.finfo(next(module.parameters()).dtype).eps
    return bool((kept(module) - torch.tensor(bias).double().sigmoid()).abs().max() <= 4 * eps)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "layers, both ways": lambda: nn.LSTM(3, H, 3, bidirectional=True),
    "projected": lambda: nn.LSTM(3, H, 2, bidirectional=True, proj_size=2),
    "cell": lambda: nn.LSTMCell(3, H),
    "double": lambda: nn.LSTM(3, H).double(),
    "half": lambda: nn.LSTM(3, H).half(),
    "bfloat16": lambda: nn.LSTM(3, H).bfloat16(),
    "twelve layers": lambda: nn.LSTM(3, H, 12),
}


@pytest.mark.parametrize("place", ["ih", "hh", "split"])
@pytest.mark.parametrize("name", MODELS)
def test_model_obeys_and_nothing_else_moves(name: str, place: Any) -> None:
    torch.manual_seed(3)
    model = MODELS[name]()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    objects = {n: (p, p.data_ptr(), p.requires_grad) for n, p in model.named_parameters()}
    random = torch.random.get_rng_state()
    done = lstm_audit.patch(model, forget_bias=1.5, place=place)
    assert done.changed
    assert all(gate.after == (1.5,) * H and gate.error == 0.0 for gate in done.gates)
    assert opens_as(1.5, model)
    for n, parameter in model.named_parameters():
        assert parameter is objects[n][0]
        assert (parameter.data_ptr(), parameter.requires_grad) == objects[n][1:]
        keep = torch.ones(len(parameter), dtype=torch.bool)
        if "bias" in n:
            keep[H : 2 * H] = False
        assert torch.equal(parameter[keep], before[n][keep])
    for suffix in suffixes(model) if isinstance(model, nn.LSTM) else [""]:
        assert set(effective(model, suffix).tolist()) == {1.5}
    assert torch.equal(torch.random.get_rng_state(), random)
    assert not lstm_audit.patch(model, forget_bias=1.5, place=place).changed


def test_optimizer_built_before_still_steps() -> None:
    model = nn.LSTM(3, H)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    lstm_audit.patch(model, forget_bias=1.0)
    held = optimizer.param_groups[0]["params"]
    assert all(a is b for a, b in zip(held, model.parameters(), strict=True))
    model(torch.ones(4, 1, 3))[0].sum().backward()
    optimizer.step()
    assert not torch.equal(effective(model), torch.ones(H).double())


def test_a_graph_from_before_notices_as_for_any_write_in_place() -> None:
    """The version counter rises for what was written, and for nothing else: autograd can tell a
    stale graph.
    """
    model = nn.LSTM(3, H, 2)
    versions = {name: p._version for name, p in model.named_parameters()}
    lstm_audit.patch(model, forget_bias=1.0, layers=[":l1"])
    risen = {name for name, p in model.named_parameters() if p._version != versions[name]}
    assert risen == {"bias_ih_l1", "bias_hh_l1"}
    versions = {name: p._version for name, p in model.named_parameters()}
    assert not lstm_audit.patch(model, forget_bias=1.0, layers=[":l1"]).changed
    assert versions == {name: p._version for name, p in model.named_parameters()}
    assert lstm_audit.patch(model, forget_bias=1.0, layers=[":l1"], place="split").changed


def test_what_does_not_require_gradients_still_does_not() -> None:
    model = nn.LSTM(3, H)
    model.bias_ih_l0.requires_grad_(False)
    lstm_audit.patch(model, forget_bias=1.0)
    assert not model.bias_ih_l0.requires_grad
    assert model.bias_hh_l0.requires_grad
    assert model.bias_hh_l0.is_leaf


def test_parameters_that_view_one_buffer() -> None:
    """What `flatten_parameters` does for cuDNN, done by hand: every parameter a view of one flat
    buffer.
    """
    model = nn.LSTM(3, H, bidirectional=True)
    flat = torch.cat([p.detach().flatten() for p in model.parameters()])
    start = 0
    for parameter in model.parameters():
        parameter.data = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    model.flatten_parameters()
    before = flat.clone()
    lstm_audit.patch(model, forget_bias=1.0)
    assert opens_as(1.0, model)
    assert int((flat != before).sum()) == 4 * H
    assert all(p.untyped_storage().data_ptr() == flat.data_ptr() for p in model.parameters())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: weight_norm(m, "weight_hh_l0"),
        lambda m: parametrizations.weight_norm(m, "weight_hh_l0"),
        lambda m: parametrizations.orthogonal(m, "weight_ih_l0"),
        lambda m: torch.nn.utils.spectral_norm(m, "weight_hh_l0"),
        lambda m: prune.random_unstructured(m, "weight_hh_l0", amount=0.5),
    ],
)
def test_wrapped_weights_leave_the_biases_to_be_patched(wrap: Any) -> None:
    model = wrap(nn.LSTM(3, H))
    lstm_audit.patch(model, forget_bias=1.25)
    assert opens_as(1.25, model)


@pytest.mark.parametrize("place", ["ih", "hh", "split"])
def test_pruned_biases(place: Any) -> None:
    """The mask decides which half counts; the pruned attribute follows at the next forward."""
    model: Any = nn.LSTM(3, H)
    mask = torch.ones(4 * H)
    mask[H : H + 3] = 0
    prune.custom_from_mask(model, "bias_ih_l0", mask)
    lstm_audit.patch(model, forget_bias=1.25, place=place)
    assert opens_as(1.25, model)
    assert set(model.bias_ih_l0[H : H + 3].tolist()) == {0.0}


def test_several_lstms_and_a_choice_among_them() -> None:
    model = nn.ModuleDict(
        {"encoder": nn.LSTM(3, H), "decoder": nn.LSTM(3, H), "head": nn.Linear(H, 2)}
    )
    before = effective(model["decoder"])
    done = lstm_audit.patch(model, forget_bias=2.0, layers=["encoder"])
    assert [gate.lstm.address for gate in done.gates] == ["encoder:l0"]
    assert opens_as(2.0, model["encoder"])
    assert torch.equal(effective(model["decoder"]), before)


def test_tied_modules_are_patched_once() -> None:
    shared = nn.LSTM(3, H)
    model = nn.ModuleDict({"encoder": shared, "decoder": shared})
    done = lstm_audit.patch(model, shift=1.0)
    assert len(done.gates) == 1
    assert done.gates[0].after == pytest.approx([b + 1 for b in done.gates[0].before])


def test_data_parallel_and_compiled_wrappers() -> None:
    model: Any = nn.DataParallel(nn.LSTM(3, H))
    lstm_audit.patch(model, forget_bias=1.0)
    assert opens_as(1.0, model.module)


def test_a_subclass_that_counts_its_parameters_otherwise() -> None:
    """Overriding `named_parameters` is common; the names are those under which the audit found
    them.
    """

    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, H)

        def named_parameters(self, *_: Any, **__: Any) -> Iterator[Any]:
            return iter(())

    model = Wrapper()
    lstm_audit.patch(model, forget_bias=1.0)
    assert opens_as(1.0, model.lstm)


@pytest.mark.parametrize("preset", ["chrono:100", "uniform-gate", "pytorch", "linspace:3,6"])
def test_presets_do_the_same_as_on_disk(preset: str, tmp_path: Any) -> None:
    model = nn.LSTM(3, H, 2, bidirectional=True)
    path = tmp_path / "model.pt"
    torch.save(model.state_dict(), path)
    lstm_audit.patch(model, init=preset, seed=7)
    lstm_audit.patch(path, init=preset, seed=7)
    on_disk = torch.load(path)
    assert all(torch.equal(tensor, on_disk[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("bias", [1 + 2**-11 + 2**-40, 1 + 2**-8 + 2**-40, 0.1, 1e-9])
def test_rounds_once(dtype: Any, bias: float) -> None:
    """Just above a tie of the dtype: by way of float32, as torch converts, it would fall to the
    other side.
    """
    model = nn.LSTM(2, 1).to(dtype)
    (gate,) = lstm_audit.patch(model, forget_bias=bias).gates
    assert effective(model).tolist() == list(gate.after)
    assert gate.error == abs(gate.after[0] - bias)
    assert gate.error <= torch.finfo(dtype).eps


def test_values_that_are_no_numbers_can_be_shifted() -> None:
    model: Any = nn.LSTM(2, 2)
    with torch.no_grad():
        model.bias_ih_l0[2] = float("nan")
    lstm_audit.patch(model, shift=1.0)
    assert model.bias_ih_l0[2].isnan()


def inference_model() -> nn.Module:
    with torch.inference_mode():
        return nn.LSTM(3, H)


def aliased_halves() -> nn.Module:
    model = nn.LSTM(3, H)
    model.bias_hh_l0 = model.bias_ih_l0
    return model


def expanded() -> nn.Module:
    model = nn.LSTM(3, H)
    model.bias_ih_l0 = nn.Parameter(torch.zeros(1).expand(4 * H))
    return model


def flat_vector() -> nn.Module:
    """The parameters as views of one vector that is itself a parameter."""
    lstm = nn.LSTM(3, H)
    model = nn.ModuleDict({"lstm": lstm})
    flat = torch.cat([p.detach().flatten() for p in lstm.parameters()])
    start = 0
    for parameter in lstm.parameters():
        parameter.data = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    model.register_parameter("flat", nn.Parameter(flat))
    return model


def half_tied() -> Any:
    first, second = nn.LSTM(3, H), nn.LSTM(3, H)
    second.bias_ih_l0 = first.bias_ih_l0
    return nn.ModuleDict({"a": first, "b": second})


def dynamic() -> nn.Module:
    from torch.ao.quantization import quantize_dynamic

    quantised: nn.Module = quantize_dynamic(
        nn.ModuleDict({"lstm": nn.LSTM(3, H)}), {nn.LSTM}, torch.qint8
    )
    return quantised


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "bias=False": (lambda: nn.LSTM(3, H, bias=False), "bias=False"),
    "inference": (inference_model, "inference_mode"),
    "quantised": (dynamic, "packed"),
    "no LSTM": (lambda: nn.GRU(3, H), "three gates"),
    "meta": (lambda: nn.LSTM(3, H, device="meta"), "without readable data"),
    "parametrized bias": (
        lambda: weight_norm(nn.LSTM(3, H), "bias_hh_l0"),
        "only the framework can compute",
    ),
    "aliased halves": (aliased_halves, "two values are wanted"),
    "expanded": (expanded, "one stored number 8 times"),
    "flat vector": (flat_vector, "flat is stored in the same bytes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_leave_the_model_as_it_was(name: str) -> None:
    make, reason = REFUSED[name]
    model = make()
    before = {
        n: (p._version if not p.is_inference() else 0, p.detach().clone())
        for n, p in model.named_parameters()
    }
    with pytest.raises(NotPatchable, match=reason):
        lstm_audit.patch(model, forget_bias=1.0)
    for n, parameter in model.named_parameters():
        assert parameter.is_inference() or parameter._version == before[n][0]
        assert parameter.is_meta or torch.equal(parameter, before[n][1])


def test_half_tied_modules_are_refused_apart_and_patched_together() -> None:
    model = half_tied()
    with pytest.raises(NotPatchable, match=r"b\.bias_ih_l0 is stored in the same bytes"):
        lstm_audit.patch(model, forget_bias=1.0, layers=["a"])
    lstm_audit.patch(model, forget_bias=1.0)
    assert opens_as(1.0, model["a"])
    assert opens_as(1.0, model["b"])


def test_a_value_beyond_the_dtype_is_refused() -> None:
    with pytest.raises(NotPatchable, match="float16 cannot hold 1e"):
        lstm_audit.patch(nn.LSTM(3, H).half(), forget_bias=1e6)


def test_what_does_not_read_back_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_write", lambda tensor, write: None)
    with pytest.raises(NotPatchable, match="does not read back as planned"):
        lstm_audit.patch(nn.LSTM(3, H), forget_bias=1.0)


def test_usage() -> None:
    with pytest.raises(BadPolicy, match="exactly one target"):
        lstm_audit.patch(nn.LSTM(3, H))
    with pytest.raises(UnknownFormat, match=r"is no torch\.nn\.Module"):
        lstm_audit.patch(object(), forget_bias=1.0)
    with pytest.raises(BadPolicy, match=r"there are \(root\):l0"):
        lstm_audit.patch(nn.LSTM(3, H), forget_bias=1.0, layers=["encoder"])


# --- the recipes of the literature, with their traps
# --------------------------------------------------------


def biases(lstm: nn.LSTM) -> list[float]:
    """The mean effective forget bias of every layer and direction."""
    return [float(effective(lstm, suffix).mean()) for suffix in suffixes(lstm)]


def spread(lstm: nn.LSTM, suffix: str = "_l0") -> float:
    values = effective(lstm, suffix)
    return float(values.max() - values.min())


def sliced_after_creation() -> Any:
    """The recipe of the forums: one half, one layer."""
    lstm: Any = nn.LSTM(3, 64)
    with torch.no_grad():
        lstm.bias_ih_l0[64:128].fill_(1.0)
    return lstm


def looped_over_named_parameters() -> nn.LSTM:
    """Every bias, both halves: so 1 becomes 2."""
    lstm = nn.LSTM(3, 64, 2, bidirectional=True)
    for name, parameter in lstm.named_parameters():
        if "bias" in name:
            n = parameter.size(0)
            parameter.data[n // 4 : n // 2].fill_(1.0)
    return lstm


def matched_by_a_part_of_the_name() -> nn.LSTM:
    """Layer 1 was meant; `bias_ih_l1` is also in the names of layers 10 and 11."""
    lstm = nn.LSTM(3, 64, 12)
    for name, parameter in lstm.named_parameters():
        if "bias_ih_l1" in name or "bias_hh_l1" in name:
            parameter.data[64:128].fill_(1.0 if "ih" in name else 0.0)
    return lstm


def looped_over_layers() -> nn.LSTM:
    """Layer by layer, by name: and the reverse direction is forgotten."""
    lstm = nn.LSTM(3, 64, 2, bidirectional=True)
    for layer in range(lstm.num_layers):
        for half in BOTH:
            getattr(lstm, f"bias_{half}_l{layer}").data[64:128].fill_(0.5)
    return lstm


def test_trap_one_half_is_left_random() -> None:
    lstm: Any = sliced_after_creation()
    assert set(lstm.bias_ih_l0[64:128].tolist()) == {1.0}
    assert spread(lstm) > 0.1  # the other half's draw of ±1/√H: not one unit has 1


def test_trap_both_halves_make_two() -> None:
    assert biases(looped_over_named_parameters()) == [2.0] * 4


def test_trap_a_name_that_begins_another() -> None:
    reached = [k for k, value in enumerate(biases(matched_by_a_part_of_the_name())) if value == 1.0]
    assert reached == [1, 10, 11]


def test_trap_the_reverse_direction_is_forgotten() -> None:
    lstm = looped_over_layers()
    assert [spread(lstm, suffix) == 0.0 for suffix in suffixes(lstm)] == [True, False, True, False]


@pytest.mark.parametrize(
    "recipe",
    [
        sliced_after_creation,
        looped_over_named_parameters,
        matched_by_a_part_of_the_name,
        looped_over_layers,
    ],
)
def test_one_call_gives_exactly_one_everywhere(recipe: Callable[[], nn.LSTM]) -> None:
    lstm = recipe()
    others = {
        (suffix, gate): effective(lstm, suffix, gate) for suffix in suffixes(lstm) for gate in "igo"
    }
    lstm_audit.patch(lstm, forget_bias=1.0)
    for suffix in suffixes(lstm):
        assert set(effective(lstm, suffix).tolist()) == {1.0}
        assert all(
            torch.equal(effective(lstm, suffix, gate), others[suffix, gate]) for gate in "igo"
        )
