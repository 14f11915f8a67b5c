"""Live modules and state dicts: the right numbers under the right names, and an object that nobody
touched.
"""

import subprocess
import sys
import warnings
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from command import untraced
from torch import nn

import lstm_audit
from lstm_audit.errors import AuditError, MalformedFile, UnknownFormat
from lstm_audit.formats import Checkpoint
from lstm_audit.formats.live import MAX_DEPTH, read_mapping, read_module
from lstm_audit.lstm.kind import read_claimed_kind
from lstm_audit.raw.tensor import read_block, whole_block

FLOATS = [
    torch.float64,
    torch.float32,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
]


def values(checkpoint: Checkpoint, name: str) -> list[float]:
    return read_block(whole_block(checkpoint.tensors[name]))


def snapshot(model: nn.Module) -> list[object]:
    """Everything of a model that an audit could disturb."""
    seen: list[object] = [torch.get_rng_state().tolist(), model.training]
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        raw = bytes(tensor.detach().flatten().contiguous().view(torch.uint8).tolist())
        grad = None if tensor.grad is None else tensor.grad.tolist()
        seen.append(
            (name, id(tensor), tensor.data_ptr(), raw, tensor._version, tensor.requires_grad, grad)
        )
        seen.append((tensor.is_leaf, tensor.grad_fn, tensor.stride(), tensor.dtype))
    seen += [sorted(part.__dict__) for part in model.modules()]
    return seen


class Tagger(nn.Module):
    """A model with a little of everything, whose hooks and forward must not run."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
        self.cell = nn.LSTMCell(4, 4)
        self.twin = self.cell
        self.norm = nn.BatchNorm1d(4)
        self.register_forward_hook(self.fail)
        self._register_state_dict_hook(self.fail)  # type: ignore[no-untyped-call]  # the library declares no types here
        self.register_state_dict_pre_hook(self.fail)  # type: ignore[no-untyped-call]  # the library declares no types here

    def fail(self, *args: Any) -> None:
        raise AssertionError("an audit runs no hook")

    forward = fail


def test_an_audit_leaves_the_model_as_it_was() -> None:
    model = Tagger()
    model.lstm(torch.randn(2, 3))[0].sum().backward()
    model.cell.bias_ih.requires_grad_(False)
    with torch.no_grad():
        model.cell.bias_hh.add_(1)
    before = snapshot(model)
    checkpoint = read_module(model)
    for name, tensor in checkpoint.tensors.items():
        if "bias" in name:
            read_block(whole_block(tensor))
    assert snapshot(model) == before


def test_reads_every_name_of_a_model() -> None:
    model = Tagger()
    checkpoint = read_module(model)
    assert checkpoint.format == "live"
    names = dict(nn.Module.named_parameters(model, remove_duplicate=False)) | dict(
        model.named_buffers()
    )
    assert set(checkpoint.tensors) == set(names)
    for name, tensor in names.items():
        mine = checkpoint.tensors[name]
        assert mine.shape == tuple(tensor.shape)
        assert mine.span.at is None, "a live tensor has no place in a file"
        if tensor.dim() == 1:
            assert values(checkpoint, name) == tensor.tolist()


def test_aliases_share_their_identity_and_nothing_else_does() -> None:
    checkpoint = read_module(Tagger())
    tensors = checkpoint.tensors
    assert tensors["cell.bias_ih"].identity == tensors["twin.bias_ih"].identity
    assert len({tensor.identity for tensor in tensors.values()}) == len(tensors) - 4


def test_views_of_one_storage_are_told_apart() -> None:
    flat = torch.arange(40.0)
    state = {
        "a": flat[:8],
        "b": flat[8:16],
        "c": flat[8:16],
        "d": flat[16::3],
        "e": flat[:1].expand(8),
    }
    checkpoint = read_mapping(state)
    sources = {id(tensor.span.source) for tensor in checkpoint.tensors.values()}
    assert len(sources) == 1
    assert checkpoint.tensors["b"].identity == checkpoint.tensors["c"].identity
    assert checkpoint.tensors["a"].identity != checkpoint.tensors["b"].identity
    for name, tensor in state.items():
        assert values(checkpoint, name) == tensor.tolist()


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_every_float_dtype(dtype: torch.dtype) -> None:
    tensor = torch.randn(64).to(dtype)
    checkpoint = read_mapping({"bias": tensor})
    assert values(checkpoint, "bias") == tensor.double().tolist()
    assert f"torch.{checkpoint.tensors['bias'].dtype.name}" == str(dtype)


def test_layouts_in_memory() -> None:
    with torch.inference_mode():
        inference = torch.randn(6)
    matrix = torch.randn(6, 5)
    negated = torch.randn(6, dtype=torch.complex64).conj().imag
    assert negated.is_neg()
    state = {
        "column": matrix[:, 2],
        "row": matrix.t()[3],
        "needs grad": torch.randn(6, requires_grad=True),
        "result": torch.randn(6, requires_grad=True) * 2,
        "inference": inference,
        "negated": negated,
        "empty": torch.empty(0),
        "scalar": torch.tensor(3.0),
        "kernel": torch.randn(1, 6, 1),
    }
    checkpoint = read_mapping(state)
    for name, tensor in state.items():
        assert values(checkpoint, name) == tensor.detach().flatten().tolist()


def test_reads_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    import ctypes

    real = ctypes.string_at

    def counted(at: int, n: int) -> bytes:
        copied.append(n)
        return real(at, n)

    monkeypatch.setattr(ctypes, "string_at", counted)
    flat = torch.zeros(1_000_000)
    checkpoint = read_mapping({"a": flat[500:508]})
    assert copied == []
    values(checkpoint, "a")
    assert copied == [32]


CLAIMS: list[tuple[nn.Module, str, dict[str, int]]] = [
    (
        nn.LSTM(3, 4, 2, bidirectional=True, proj_size=2),
        "lstm",
        {"hidden_size": 4, "proj_size": 2, "num_layers": 2, "bidirectional": 1, "bias": 1},
    ),
    (nn.LSTM(3, 4, bias=False), "lstm", {"hidden_size": 4, "bias": 0, "bidirectional": 0}),
    (nn.LSTMCell(3, 4), "lstm", {"hidden_size": 4, "bias": 1}),
    (nn.GRU(3, 4), "gru", {"hidden_size": 4}),
    (nn.GRUCell(3, 4), "gru", {"hidden_size": 4}),
    (nn.RNN(3, 4), "rnn", {"hidden_size": 4}),
    (nn.RNNCell(3, 4), "rnn", {"hidden_size": 4}),
    (torch.ao.nn.quantizable.LSTM(3, 4, 2), "lstm", {"hidden_size": 4, "num_layers": 2}),
]


@pytest.mark.parametrize(("module", "kind", "facts"), CLAIMS, ids=lambda v: type(v).__name__)
def test_the_class_of_a_module_is_claimed(
    module: nn.Module, kind: str, facts: dict[str, int]
) -> None:
    claim = read_module(nn.Sequential(nn.Linear(2, 2), module)).claims["1"]
    assert read_claimed_kind(claim) == kind
    assert facts.items() <= claim.facts.items()
    assert all(type(value) is int for value in claim.facts.values())
    assert claim.class_name.endswith(type(module).__name__)


def test_subclasses_are_claimed_and_nothing_else_is() -> None:
    class Peephole(nn.LSTM):
        pass

    model = nn.ModuleDict({"own": Peephole(3, 4), "linear": nn.Linear(2, 2)})
    claims = read_module(model).claims
    assert {path for path in claims if read_claimed_kind(claims[path])} == {"own"}
    assert read_claimed_kind(claims["own"]) == "lstm"
    assert claims["own"].class_name.endswith("Peephole")


def test_parametrizations_keep_their_names_and_are_not_computed() -> None:
    class Fails(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            if armed:
                raise AssertionError("an audit computes no parametrization")
            return weight

    armed = False
    model = nn.LSTM(3, 4)
    nn.utils.parametrize.register_parametrization(model, "bias_hh_l0", Fails())
    nn.utils.parametrizations.weight_norm(model, "weight_hh_l0")
    armed = True
    checkpoint = read_module(model)
    assert "parametrizations.weight_hh_l0.original0" in checkpoint.tensors
    assert "parametrizations.bias_hh_l0.original" in checkpoint.tensors
    assert "bias_hh_l0" not in checkpoint.tensors
    assert read_claimed_kind(checkpoint.claims[""]) == "lstm"


def quantise(model: nn.Module, dtype: torch.dtype = torch.qint8) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.ao.quantization.quantize_dynamic(model, {nn.LSTM}, dtype=dtype)  # type: ignore[no-untyped-call]  # the library declares no types here


@pytest.mark.parametrize("dtype", [torch.qint8, torch.float16])
def test_dynamically_quantised_biases_are_read(dtype: torch.dtype) -> None:
    plain = nn.Sequential(nn.LSTM(3, 4, 2))
    checkpoint = read_module(quantise(plain, dtype))
    assert read_claimed_kind(checkpoint.claims["0"]) == "lstm"
    for name in ("bias_ih_l0", "bias_hh_l1"):
        assert values(checkpoint, f"0.{name}") == getattr(plain[0], name).tolist()
    assert checkpoint.tensors["0.weight_hh_l1"].shape == (16, 4)


def test_a_packed_module_that_torch_cannot_unpack_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = quantise(nn.Sequential(nn.LSTM(3, 4)))
    monkeypatch.delattr(type(model[0]).__mro__[1], "get_bias")
    (skipped,) = read_module(model).skipped
    assert (skipped.module, skipped.reason) == ("0", "packed")


def fake() -> nn.Module:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        return nn.LSTM(3, 4)


def freed() -> nn.Module:
    model = nn.LSTM(3, 4)
    for parameter in model.parameters():
        parameter.untyped_storage().resize_(0)
    return model


@pytest.mark.parametrize(
    "make", [lambda: nn.LSTM(3, 4, device="meta"), fake, freed], ids=["meta", "fake", "freed"]
)
def test_a_model_without_data_keeps_its_shapes_and_says_so(make: Any) -> None:
    checkpoint = read_module(make())
    assert {s.module for s in checkpoint.skipped} == {"bias_ih_l0", "bias_hh_l0"}
    assert {s.reason for s in checkpoint.skipped} == {"missing-data"}
    assert "(16,)" in checkpoint.skipped[0].detail
    assert checkpoint.tensors["weight_hh_l0"].shape == (16, 4)
    assert checkpoint.tensors["bias_ih_l0"].dtype.decode is None
    with pytest.raises(AuditError):
        values(checkpoint, "bias_ih_l0")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_tensors_that_are_no_rows_of_numbers() -> None:
    state = {
        "l.bias_ih_l0": torch.eye(4)[0].to_sparse(),
        "l.bias_hh_l0": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "l.weight_hh_l0": torch.quantize_per_tensor(torch.ones(8, 2), 0.1, 0, torch.qint8),
        "linear.weight": torch.eye(4).to_sparse_csr(),
        "deep": torch.zeros([1] * 9),
    }
    checkpoint = read_mapping(state)
    assert {(s.module, s.reason) for s in checkpoint.skipped} == {
        ("l.bias_ih_l0", "unsupported-dtype"),
        ("l.bias_hh_l0", "unsupported-dtype"),
    }
    assert checkpoint.tensors["l.weight_hh_l0"].shape == (8, 2)
    assert checkpoint.tensors["l.weight_hh_l0"].dtype.name == "qint8"
    assert "deep" not in checkpoint.tensors


def test_lazy_parameters_have_no_shape_yet() -> None:
    class Lazy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight_ih = nn.UninitializedParameter()
            self.other = nn.UninitializedParameter()

    checkpoint = read_module(Lazy())
    assert checkpoint.tensors == {}
    assert [s.module for s in checkpoint.skipped] == ["weight_ih", "other"]
    assert {s.reason for s in checkpoint.skipped} == {"missing-data"}


def test_tensors_inside_a_transform() -> None:
    def look(x: torch.Tensor) -> torch.Tensor:
        (skipped,) = read_mapping({"bias_ih_l0": x}).skipped
        assert skipped.reason == "missing-data"
        return x

    torch.vmap(look)(torch.zeros(2, 8))


def test_nested_states_get_dotted_names() -> None:
    bias = torch.arange(4.0)
    state: dict[str, Any] = OrderedDict(
        state_dict={"lstm.bias_ih_l0": bias}, ema=[{"b": bias}, (bias,)]
    )
    state |= {"epoch": 3, "name": "x", "none": None, "model": nn.GRU(3, 4)}
    checkpoint = read_mapping(state)
    assert set(checkpoint.tensors) >= {
        "state_dict.lstm.bias_ih_l0",
        "ema.0.b",
        "ema.1.0",
        "model.weight_hh_l0",
    }
    assert read_claimed_kind(checkpoint.claims["model"]) == "gru"
    assert len(checkpoint.tensors) == 7


def test_circles_end() -> None:
    state: dict[str, Any] = {"bias": torch.zeros(4)}
    state["self"] = [state]
    assert list(read_mapping(state).tensors) == ["bias"]
    module = nn.Linear(2, 2)
    module.inner = nn.Sequential(module)
    with pytest.raises(MalformedFile):
        read_module(module)


def test_depth_and_breadth_are_bounded() -> None:
    deep: Any = torch.zeros(4)
    for _ in range(MAX_DEPTH + 1):
        deep = [deep]
    with pytest.raises(MalformedFile) as caught:
        read_mapping({"a": deep})
    assert caught.value.kind == "limit"
    bomb: list[Any] = []
    for _ in range(40):
        bomb = [bomb, bomb]
    with pytest.raises(MalformedFile) as caught:
        read_mapping({"a": bomb})
    assert caught.value.kind == "limit"


def test_two_tensors_of_one_name_are_refused() -> None:
    with pytest.raises(MalformedFile) as caught:
        read_mapping({"a.b": torch.zeros(1), "a": {"b": torch.ones(1)}})
    assert caught.value.kind == "ambiguous"


ARRAYS = {
    "float64": np.arange(6.0),
    "float32": np.arange(6, dtype="<f4"),
    "float16": np.arange(6, dtype=np.float16),
    "big-endian": np.arange(6, dtype=">f4"),
    "every second": np.arange(12.0)[::2],
    "backwards": np.arange(6.0)[::-1],
    "column": np.arange(12.0).reshape(6, 2)[:, 1],
    "between elements": np.array([(1, k) for k in range(6)], dtype=[("tag", "u1"), ("b", "<f4")])[
        "b"
    ],
    "broadcast": np.broadcast_to(np.float32(2), (6,)),
    "read-only": np.frombuffer(np.arange(6.0).tobytes()),
    "empty": np.zeros(0),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(1, 6)),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_numpy_arrays(case: str) -> None:
    array = ARRAYS[case]
    before = array.tobytes()
    assert values(read_mapping({"bias": array}), "bias") == array.astype(float).flatten().tolist()
    assert array.tobytes() == before


def test_numpy_aliases_and_strangers() -> None:
    base = np.arange(16.0)
    strangers = {"bias_ih": np.array(["x"]), "s": np.float32(1)}
    checkpoint = read_mapping({"a": base[:8], "b": base[:8], "c": base[8:], **strangers})
    tensors = checkpoint.tensors
    assert tensors["a"].identity == tensors["b"].identity != tensors["c"].identity
    assert [(s.module, s.reason) for s in checkpoint.skipped] == [("bias_ih", "unsupported-dtype")]
    assert "s" not in tensors


def test_a_checkpoint_keeps_its_memory_alive() -> None:
    checkpoint = read_mapping(
        {"t": torch.full((1000,), 7.0), "n": np.full(1000, 9.0), "r": np.full(1000, 5.0)[::-1]}
    )
    torch.zeros(1000), np.zeros(1000), np.zeros(1000)
    assert set(values(checkpoint, "t")) == {7.0}
    assert set(values(checkpoint, "n")) == {9.0}
    assert set(values(checkpoint, "r")) == {5.0}


@pytest.mark.parametrize(
    "thing", [None, 3, "model.pt", object(), [torch.zeros(1)], torch.zeros(1), nn.LSTM]
)
def test_other_objects_are_told_what_can_be_audited(thing: Any) -> None:
    for read in (read_module, read_mapping):
        with pytest.raises(UnknownFormat) as caught:
            read(thing)
        assert caught.value.kind == "unsupported"
        assert "torch.nn.Module" in caught.value.message


def test_a_mapping_without_tensors_is_told_so() -> None:
    with pytest.raises(UnknownFormat, match="no tensor"):
        read_mapping({"epoch": 1})
    assert read_mapping({}).tensors == {}


def test_imports_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from lstm_audit.formats.live import read_mapping\n"
        "try: read_mapping({'a': [1, 2.0]})\n"
        "except Exception as error: assert 'no tensor' in str(error), error\n"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=untraced())


def shared_twice(levels: int) -> torch.nn.Module:
    """Each level has the one below twice: 2 ** levels paths to the LSTM."""
    module: torch.nn.Module = torch.nn.LSTM(2, 3)
    for _ in range(levels):
        module = torch.nn.ModuleDict({"a": module, "b": module})
    return module


def test_modules_that_share_their_parts_without_end_are_refused_at_once() -> None:
    assert len(read_module(shared_twice(5)).tensors) == 32 * 4
    with pytest.raises(MalformedFile) as caught:
        read_module(shared_twice(60))
    assert caught.value.kind == "limit"


def test_a_thousand_levels_of_modules() -> None:
    deep = torch.nn.Sequential(torch.nn.LSTM(2, 3))
    for _ in range(1500):
        deep = torch.nn.Sequential(deep)
    assert ".".join("0" * 1501) + ".bias_ih_l0" in read_module(deep).tensors


def test_layers_without_data_are_no_lstms() -> None:
    """On the meta device; of an LSTM there it is said that it has none."""
    layers = nn.Sequential(nn.Linear(4, 16, device="meta"), nn.LayerNorm(16, device="meta"))
    assert lstm_audit.audit(layers).files[0].skipped == ()
    model = nn.ModuleDict(
        {"lstm": nn.LSTM(4, 8, device="meta"), "fc": nn.Linear(8, 2, device="meta")}
    )
    assert [entry.module for entry in lstm_audit.audit(model).files[0].skipped] == ["lstm"]


@pytest.mark.parametrize("levels", [16, 60])
@pytest.mark.parametrize("kind", ["mappings", "lists", "both"])
def test_parts_that_are_shared_again_and_again_cost_little(levels: int, kind: str) -> None:
    """Each level has the one below twice: without a bound twice the time a level."""
    value: Any = dict(torch.nn.LSTM(2, 4).state_dict())
    for level in range(levels):
        pairs = kind == "mappings" or (kind == "both" and level % 2)
        value = {"a": value, "b": value} if pairs else [value, value]
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        with pytest.raises(MalformedFile, match=r"in more than|at most 1024"):
            lstm_audit.audit({"x": value})
    finally:
        sys.setprofile(None)
    assert calls < 3_000_000  # nine for sixteen levels, before
