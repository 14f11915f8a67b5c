"""A patched checkpoint by its own framework: the forget gate does what was asked for, and nothing
else has changed.
"""

import hashlib
import io
import json
import os
import pickle
import re
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from command import run, untraced

torch = pytest.importorskip("torch")

import cells
import craft
from convention_cases import CASES, Case, flattened, loaded, parameters
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.package import PackageImporter

import lstm_audit
from lstm_audit.errors import BadPolicy, NotPatchable, Unreadable
from lstm_audit.lstm import presets
from lstm_audit.lstm.measure import read_values
from lstm_audit.patching import apply as engine
from lstm_audit.patching import checkpoint, journal, verify
from lstm_audit.patching.checkpoint import plan
from lstm_audit.patching.edits import Edit
from lstm_audit.patching.overlap import touches
from lstm_audit.patching.undo import undo
from lstm_audit.patching.whole import apply_plan
from lstm_audit.raw.dtypes import DTYPES
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.raw.tensor import view
from lstm_audit.targets import target

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # of torch: TorchScript, quantised modules and legacy files

FIXTURES = Path(__file__).parents[2] / "fixtures"
MODEL = FIXTURES / "clean" / "lstm.pt"
FAMILIES = ("clean", "conventions", "mixed")
FILES = sorted(
    str(path.relative_to(FIXTURES))
    for family in FAMILIES
    for path in (FIXTURES / family).rglob("*")
    if path.is_file() and "-of-" not in path.name
)
REFUSED = {
    "clean/numpy_protocol2.pkl": "no place in the file",
    "conventions/haste.safetensors": "another gate order",
    "mixed/bias_false.pt": "bias=False",
    "mixed/biases_only.pt": "only biases",
    "mixed/frozen.pt": "took the names away",
    "mixed/gru.pt": "three gates",
    "mixed/lookalikes.pt": "no LSTM found",
    "mixed/mismatched.pt": "does not fit hidden size",
    "mixed/parametrized_bias.pt": "only the framework can compute",
    "mixed/quantized_dynamic_square.pt": "one direction or two",
    "mixed/rnn.pt": "no gates",
}
PATCHED = [name for name in FILES if name not in REFUSED]
MODES: dict[str, dict[str, Any]] = {"replace": {}, "in-place": {"in_place": True}}


def fresh(name: str, folder: Path) -> Path:
    """A copy of a fixture, with its shards."""
    source = FIXTURES / name
    if source.name.endswith(".index.json"):
        shutil.copytree(source.parent, folder, dirs_exist_ok=True)
        return folder / source.name
    return Path(shutil.copy(source, folder / source.name))


def folder_of(path: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {entry.name: entry.read_bytes() for entry in path.iterdir()}


def digests(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256(data).hexdigest() for name, data in folder_of(folder).items()}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return fresh("clean/lstm.pt", tmp_path)


def save(tmp_path: Path, state: Any, **options: Any) -> Path:
    path = tmp_path / "model.pt"
    torch.save(state, path, **options)
    return path


# --- reading by the real framework
# --------------------------------------------------------------------------


class Tagger(nn.Module):
    """The vanished class of the fixtures' whole modules."""


@contextmanager
def vanished_project() -> Iterator[None]:
    module = ModuleType("vanished_project")
    module.Tagger = Tagger  # type: ignore[attr-defined]  # made up here
    sys.modules["vanished_project"] = module
    try:
        yield
    finally:
        del sys.modules["vanished_project"]


LOADED_BY_NAME = ("lstm_scripted.pt", "lstm_traced.pt", "package.pt", "lstm_tar.pt")


def reloaded(path: Path) -> Any:
    """What the framework's own loader gives: a module, or nested tensors."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            return {"metadata": file.metadata(), **load_file(path)}
    if path.suffix == ".json":
        shards = sorted(set(json.loads(path.read_text())["weight_map"].values()))
        return {
            name: tensor
            for shard in shards
            for name, tensor in reloaded(path.with_name(shard)).items()
        }
    if path.suffix in (".pkl", ".pdparams"):
        return pickle.loads(path.read_bytes())
    if path.suffix == ".pt2":
        return torch.export.load(path).state_dict
    if path.name in ("lstm_scripted.pt", "lstm_traced.pt"):
        return torch.jit.load(path)
    if path.name == "package.pt":
        return PackageImporter(path).load_pickle("model", "model.pkl")
    if path.name == "lstm_tar.pt":  # torch 0.1; the filter of torch.load does not know it
        return torch.load(path, weights_only=False)
    try:
        return torch.load(path, weights_only=True)
    except pickle.UnpicklingError:
        with vanished_project():
            return torch.load(path, weights_only=False)


def tensors_of(value: Any) -> dict[str, Tensor]:
    """The tensors in whatever was loaded, as they are; quantised ones by their numbers."""
    if isinstance(value, nn.Module):
        value = value.state_dict()
    return dict(plain(value))


def plain(value: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from plain(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for k, inner in enumerate(value):
            yield from plain(inner, f"{path}.{k}")
    elif isinstance(value, torch.ScriptObject):
        yield from plain(value.__getstate__(), path)
    elif isinstance(value, (Tensor, np.ndarray)):
        tensor = torch.as_tensor(value).detach()
        yield path, tensor.dequantize() if tensor.is_quantized else tensor


def bits(tensor: Tensor) -> bytes:
    return (
        tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    )


BIAS = re.compile(r"(.*?)bias_ih((?:_l\d+)?(?:_reverse)?(?:_orig)?)")


def torch_cells(tensors: Mapping[str, Tensor]) -> Iterator[nn.LSTMCell]:
    """Every LSTM under torch's names as a real cell in its own dtype; at x = 0, h = 0 the weights
    do not matter.
    """
    for name, ih in tensors.items():
        match = BIAS.fullmatch(name)
        if match is None or not has_recurrent(match[1], len(ih), tensors):
            continue
        other = f"{match[1]}bias_hh{match[2]}"
        hh, mask = tensors.get(other, tensors.get(f"{other}_orig")), tensors.get(f"{other}_mask")
        assert hh is not None
        dtype = torch.float32 if ih.dtype.itemsize == 1 else ih.dtype
        cell = nn.LSTMCell(1, len(ih) // 4, dtype=dtype)
        with torch.no_grad():
            cell.bias_ih.copy_(ih.to(dtype))
            cell.bias_hh.copy_((hh if mask is None else hh * mask).to(dtype))
        yield cell


def has_recurrent(prefix: str, rows: int, tensors: Mapping[str, Tensor]) -> bool:
    pattern = re.compile(re.escape(prefix) + r"(parametrizations\.)?weight_hh.*")
    return any(pattern.fullmatch(name) and len(tensor) == rows for name, tensor in tensors.items())


def forget_gate(cell: Any, hidden: int, dtype: Any) -> Any:
    """What one unit of memory becomes, less what an empty memory becomes."""
    x, zero = torch.zeros(1, cell.input_size, dtype=dtype), torch.zeros(1, hidden, dtype=dtype)
    with torch.no_grad():
        full, empty = cell(x, (zero, zero + 1))[1], cell(x, (zero, zero))[1]
    return (full.double() - empty.double())[0]


def assert_opens_as(bias: float, path: Path) -> int:
    """Every torch LSTM of the file keeps sigmoid(bias) of its memory, to the precision of its
    dtype.
    """
    count = 0
    for cell in torch_cells(tensors_of(reloaded(path))):
        dtype = cell.bias_ih.dtype
        expected = torch.full((cell.hidden_size,), bias, dtype=torch.float64).sigmoid()
        torch.testing.assert_close(
            forget_gate(cell, cell.hidden_size, dtype),
            expected,
            rtol=0,
            atol=4 * torch.finfo(dtype).eps,
        )
        count += 1
    return count


def assert_only_biases_changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> None:
    """Every tensor has its name, dtype, shape and strides; what differs are biases, in at most a
    quarter of them.
    """
    assert list(before) == list(after)
    for name, old in before.items():
        new = after[name]
        assert (old.dtype, old.shape, old.stride()) == (new.dtype, new.shape, new.stride())
        if bits(old) != bits(new):
            assert "bias" in name or re.search(
                r"(param|_packed_weight|_packed_params).*\.1(\.0)?$", name
            ), name
            parts = 1 if re.search(r"(forget|input|cell|output)(_gate)?\.|W[xh]f", name) else 4
            changed = (old.double() != new.double()) | (
                old.double().signbit() != new.double().signbit()
            )
            assert int(changed.sum()) <= old.numel() / parts, name


def assert_same_archive(before: bytes, after: bytes) -> None:
    """Same entries, same fields; only storages differ, and besides them only their CRC in its two
    places.
    """
    assert len(before) == len(after)
    old, new = zipfile.ZipFile(io.BytesIO(before)), zipfile.ZipFile(io.BytesIO(after))
    assert new.testzip() is None
    fields = ("filename", "date_time", "compress_type", "extra", "comment", "flag_bits", "header_offset", "file_size",
              "create_system", "create_version", "extract_version", "external_attr", "internal_attr")  # fmt: skip
    inside = sums = 0
    for a, b in zip(old.infolist(), new.infolist(), strict=True):
        assert [getattr(a, field) for field in fields] == [getattr(b, field) for field in fields]
        x, y = old.read(a), new.read(b)
        if x != y:
            assert re.search(
                r"/(data|constants|weights|tensors|\.data)/[^/]*\d+(\.storage)?$", a.filename
            ), a.filename
            inside += sum(p != q for p, q in zip(x, y, strict=True))
            sums += 2 * sum((a.CRC >> k ^ b.CRC >> k) & 255 != 0 for k in (0, 8, 16, 24))
    assert sum(p != q for p, q in zip(before, after, strict=True)) == inside + sums


# --- every container
# ----------------------------------------------------------------------------------------


def assert_patched_copy(
    before: dict[str, bytes], folder: Path, reference: Path, path: Path, bias: float
) -> None:
    """The files in `folder` hold the bias, and differ from `before` (readable at `reference`) in
    nothing else.
    """
    for name, data in before.items():
        new = (folder / name).read_bytes()
        assert len(new) == len(data)
        if zipfile.is_zipfile(io.BytesIO(data)):
            assert_same_archive(data, new)
    assert_only_biases_changed(tensors_of(reloaded(reference)), tensors_of(reloaded(path)))
    for row in lstm_audit.audit(path).rows:
        assert row.measures.gates["f"].min == pytest.approx(bias, abs=1e-6)
        assert row.measures.gates["f"].max == pytest.approx(bias, abs=1e-6)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", PATCHED)
def test_container_patched_twice_and_undone(name: str, mode: str, tmp_path: Path) -> None:
    """0.75 first, for the clean fixtures have 1 already; then 1; then back, one by one."""
    path = fresh(name, tmp_path)
    original = digests(tmp_path)
    before = folder_of(tmp_path)
    for bias in (0.75, 1.0):
        done = lstm_audit.patch(path, forget_bias=bias, **MODES[mode])
        assert done.changed
        assert_patched_copy(before, tmp_path, FIXTURES / name, path, bias)
        again = lstm_audit.patch(path, forget_bias=bias, **MODES[mode])
        assert not again.changed
        assert not again.changed
    while run("undo", path, *(["--in-place"] if mode == "in-place" else [])).exit_code == 0:
        pass
    assert digests(tmp_path) == original


@pytest.mark.parametrize("name", [name for name in PATCHED if name.startswith("clean")])
def test_clean_container_opened_by_its_framework(name: str, tmp_path: Path) -> None:
    """Every LSTM of the clean family goes by torch's names: all of them must be found, and open as
    asked.
    """
    path = fresh(name, tmp_path)
    lstm_audit.patch(path, forget_bias=-1.5)
    assert assert_opens_as(-1.5, path) == len(lstm_audit.audit(path).rows)


@pytest.mark.parametrize("name", [name for name in PATCHED if not name.endswith(".json")])
def test_output_leaves_the_source(name: str, tmp_path: Path) -> None:
    path = fresh(name, tmp_path)
    data, output = path.read_bytes(), tmp_path / ("out" + path.suffix)
    if path.name in LOADED_BY_NAME:
        output = tmp_path / "elsewhere" / path.name
        output.parent.mkdir()
    done = lstm_audit.patch(path, forget_bias=0.75, output=output)
    assert path.read_bytes() == data
    assert [*done.parts[0].written] == [str(output)]
    assert_patched_copy({output.name: data}, output.parent, path, output, 0.75)
    assert not list(tmp_path.glob("*.undo.json"))


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refusal_with_its_reason_before_anything_is_written(name: str, tmp_path: Path) -> None:
    path = fresh(name, tmp_path)
    before = folder_of(tmp_path)
    for options in MODES.values():
        with pytest.raises(NotPatchable, match=REFUSED[name]):
            lstm_audit.patch(path, forget_bias=1.0, **options)
    assert folder_of(tmp_path) == before
    assert run("patch", path, "--forget-bias", 1).exit_code == 3


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}-{next(iter(case.rows))}")
def test_convention_by_its_own_formulas(case: Case, tmp_path: Path) -> None:
    """Gate orders, offsets, scales, single and doubled biases: the cell itself is asked; what it
    writes stays.
    """
    path = fresh(case.file, tmp_path)
    before = loaded(case.file)
    for place in ("ih", "hh", "split"):
        lstm_audit.patch(path, forget_bias=1.0, place=place)
        after = loaded(str(path))
        for pattern in case.rows.values():
            old, new = parameters(before, pattern), parameters(after, pattern)
            forget = cells.forget_gate(case.cell, new, case.size)
            torch.testing.assert_close(
                forget, torch.ones(case.size).double().sigmoid(), rtol=1e-7, atol=0
            )
            assert torch.equal(
                cells.written(case.cell, old, case.size), cells.written(case.cell, new, case.size)
            )


def kept_by(lstm: Any) -> Any:
    """What a bidirectional layer keeps of a memory of 1 at x = 0, h = 0."""
    x, zero = torch.zeros(1, 1, 6), torch.zeros(2, 1, 8)
    with torch.no_grad():
        return lstm(x, (zero, zero + 1))[1][1] - lstm(x, (zero, zero))[1][1]


@pytest.mark.parametrize("name", ["whole_module.pt", "whole_module_legacy.pt"])
def test_pickled_module_runs(name: str, tmp_path: Path) -> None:
    path = fresh(f"clean/{name}", tmp_path)
    lstm_audit.patch(path, forget_bias=1.25)
    torch.testing.assert_close(
        kept_by(reloaded(path).encoder), torch.full((2, 1, 8), 1.25).sigmoid()
    )


@pytest.mark.parametrize("name", ["lstm_scripted.pt", "lstm_traced.pt"])
def test_scripted_module_runs(name: str, tmp_path: Path) -> None:
    """As the same parts in Python do; a scripted LSTM cannot be handed a state from outside."""
    path = fresh(f"clean/{name}", tmp_path)
    words = torch.arange(8).view(4, 2)
    before = torch.jit.load(path)(words)
    lstm_audit.patch(path, forget_bias=-4.0)
    scripted = torch.jit.load(path)
    lstm = nn.LSTM(6, 8, bidirectional=True)
    lstm.load_state_dict(scripted.encoder.state_dict())
    state = scripted.state_dict()
    states, _ = lstm(nn.functional.embedding(words, state["embedding.weight"]))
    expected = nn.functional.linear(states, state["head.weight"], state["head.bias"])
    torch.testing.assert_close(scripted(words), expected)
    assert float((scripted(words) - before).abs().max()) > 1e-3
    torch.testing.assert_close(
        kept_by(lstm), torch.full((2, 1, 8), -4.0).sigmoid(), rtol=0, atol=1e-6
    )


def test_exported_program_runs(tmp_path: Path) -> None:
    path = fresh("clean/lstm_exported.pt2", tmp_path)
    words = torch.zeros(4, 2, dtype=torch.long)
    before = torch.export.load(path).module()(words)
    lstm_audit.patch(path, forget_bias=-4.0)
    program = torch.export.load(path)
    assert float((program.module()(words) - before).abs().max()) > 1e-3
    sizes = program.state_dict["encoder.bias_ih_l0"], program.state_dict["encoder.bias_hh_l0"]
    assert torch.equal((sizes[0] + sizes[1])[8:16], torch.full((8,), -4.0))


def test_packed_float_biases_reach_the_quantised_module(tmp_path: Path) -> None:
    """The file keeps them as plain float32 and torch packs them again when it loads: so they can be
    written.
    """
    from torch.ao.quantization import quantize_dynamic

    path = fresh("mixed/quantized_dynamic.pt", tmp_path)
    lstm_audit.patch(path, forget_bias=1.0)
    blank = nn.ModuleDict({"lstm": nn.LSTM(5, 6, 2, bidirectional=True), "gru": nn.GRU(5, 6)})
    quantised = quantize_dynamic(blank, {nn.LSTM, nn.GRU}, torch.qint8)  # type: ignore[no-untyped-call]  # the library declares no types here
    quantised.load_state_dict(torch.load(path, weights_only=False))
    x, zero = torch.zeros(1, 1, 5), torch.zeros(4, 1, 6)
    kept = quantised["lstm"](x, (zero, zero + 1))[1][1] - quantised["lstm"](x, (zero, zero))[1][1]
    torch.testing.assert_close(kept[:2], torch.ones(2, 1, 6).sigmoid(), rtol=0, atol=1e-6)


# --- properties
# ---------------------------------------------------------------------------------------------

TORCH_DTYPES = {name: getattr(torch, name) for name in DTYPES if DTYPES[name].encode}
STATE_CONTAINERS: dict[str, Callable[[nn.Module, Any, Path], object]] = {
    "zip": lambda model, dtype, path: torch.save(cast(model, dtype), path),
    "legacy": lambda model, dtype, path: torch.save(
        cast(model, dtype), path, _use_new_zipfile_serialization=False
    ),
    "safetensors": lambda model, dtype, path: save_file(cast(model, dtype), path),
    "pickle": lambda model, dtype, path: path.write_bytes(pickle.dumps(cast(model, dtype))),
}


def cast(model: nn.Module, dtype: Any) -> dict[str, Tensor]:
    return {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}


def script(model: nn.Module, dtype: Any, path: Path) -> None:
    torch.jit.save(torch.jit.script(model.to(dtype)), path)


def read_back(path: Path, container: str) -> dict[str, Tensor]:
    if container == "safetensors":
        return load_file(path)
    if container == "pickle":
        return tensors_of(pickle.loads(path.read_bytes()))
    return tensors_of(
        torch.jit.load(path) if container == "scripted" else torch.load(path, weights_only=True)
    )


@st.composite
def cases(draw: st.DrawFn) -> tuple[nn.LSTM, str, str]:
    """A drawn LSTM, the dtype and the container."""
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    model = nn.LSTM(
        2, draw(st.integers(1, 9)), draw(st.integers(1, 3)), bidirectional=draw(st.booleans())
    )
    container = draw(st.sampled_from([*STATE_CONTAINERS, "scripted"]))
    # float8 has no cell to script, and torch does not read it back from its own legacy files
    names = [
        n
        for n in TORCH_DTYPES
        if not (n.startswith("float8") and container in ("scripted", "legacy", "pickle"))
    ]
    return model, draw(st.sampled_from(names)), container


BIASES = st.one_of(
    st.sampled_from([1.0, 0.0, -0.0, 1.5, -3.0, 0.1]),
    st.floats(-20, 20),
    st.floats(allow_nan=False, allow_infinity=False),
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases(), st.sampled_from(["ih", "hh", "split"]), BIASES, st.booleans())
def test_effective_bias_is_exact_or_its_error_is_reported(
    tmp_path_factory: pytest.TempPathFactory,
    case: tuple[nn.LSTM, str, str],
    place: Any,
    bias: float,
    in_place: bool,
) -> None:
    model, dtype, container = case
    path = tmp_path_factory.mktemp("p") / "model.bin"
    {**STATE_CONTAINERS, "scripted": script}[container](model, TORCH_DTYPES[dtype], path)
    before, data, hidden = read_back(path, container), path.read_bytes(), model.hidden_size
    try:
        done = lstm_audit.patch(path, forget_bias=bias, place=place, in_place=in_place)
    except NotPatchable as refusal:
        reason = refusal.message
        assert "cannot hold" in reason
        assert not finite(bias if place != "split" else bias / 2, dtype)
        assert path.read_bytes() == data
        return
    after, errors = (
        read_back(path, container),
        {gate.lstm.address: gate.error for gate in done.gates},
    )
    exact = float(torch.tensor(bias, dtype=torch.float64).to(TORCH_DTYPES[dtype]).double()) == bias
    for name in before:
        if not name.startswith("bias_ih"):
            continue
        halves = [after[n].double() for n in (name, name.replace("_ih_", "_hh_"))]
        total = (halves[0] + halves[1])[hidden : 2 * hidden]
        address = ":" + name.replace("bias_ih_", "").replace("_reverse", ":reverse")
        assert float((total - bias).abs().max()) == errors[address]
        assert not exact or errors[address] == 0.0
        if place != "split":
            other = halves[place == "ih"][hidden : 2 * hidden]
            assert torch.equal(other, torch.zeros(hidden, dtype=torch.float64))
            assert not other.signbit().any()
    for name, old in before.items():
        new, kept = after[name], torch.ones(len(old), dtype=torch.bool)
        if name.startswith("bias"):
            kept[hidden : 2 * hidden] = False
        assert bits(old[kept]) == bits(new[kept])
    undo(str(path))
    assert path.read_bytes() == data


def finite(value: float, dtype: str) -> bool:
    """Whether the value is within what the dtype can hold."""
    return abs(value) <= float(torch.finfo(TORCH_DTYPES[dtype]).max)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_touches_agrees_with_every_element(data: st.DataObject) -> None:
    """The exact test of a strided view against the list of all its bytes."""
    shape = tuple(data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    strides = tuple(data.draw(st.integers(0, 9)) for _ in shape)
    tensor = view(
        DTYPES["float16"],
        shape,
        strides,
        span_all(BytesSource(bytes(200))),
        data.draw(st.integers(0, 10)),
    )
    index = np.indices(shape).reshape(len(shape), -1)
    places = {
        int(2 * p) + k + tensor.span.start for p in np.asarray(strides) @ index for k in (0, 1)
    }
    for start in range(0, 120):
        for stop in (start + 1, start + 3):
            assert touches(tensor, start, stop) == any(start <= place < stop for place in places)


# --- targets and presets
# ------------------------------------------------------------------------------------


def gate_values(path: Path, gate: str, half: str = "both") -> Any:
    """The effective bias of one gate of layer 0, or one half of it."""
    state = torch.load(path, weights_only=True)
    part = slice(8 * "ifgo".index(gate), 8 * "ifgo".index(gate) + 8)
    halves = {"ih": state["bias_ih_l0"].double(), "hh": state["bias_hh_l0"].double()}
    return (halves["ih"] + halves["hh"] if half == "both" else halves[half])[part]


@pytest.mark.parametrize(
    ("option", "value", "bias"),
    [
        ("--forget-bias", "1.5", 1.5),
        ("--activation", "0.9", 2.1972245773362196),
        ("--time-scale", "100", 4.600170186026607),
        ("--half-life", "10", 2.63424047380641),
        ("--horizon", "100,0.5", 4.9682153687802035),
        ("--shift", "1", 2.0),
        ("--init", "sutskever", 5.0),
    ],
)
def test_every_target(option: str, value: str, bias: float, model: Path) -> None:
    result = run("patch", model, option, value, "-q")
    assert result.exit_code == 0, result.output
    torch.testing.assert_close(
        gate_values(model, "f"), torch.full((8,), bias, dtype=torch.float64), rtol=1e-6, atol=0
    )


def test_values_from_another_file(model: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    shutil.copy(FIXTURES / "mixed" / "default.pt", other)
    assert run("patch", model, "--from", other).exit_code == 0
    torch.testing.assert_close(gate_values(model, "f"), gate_values(other, "f"), rtol=1e-7, atol=0)
    shutil.copy(FIXTURES / "clean" / "cell.pt", other)
    refused = run("patch", model, "--from", other)
    assert refused.exit_code == 3
    assert "to copy from" in refused.stderr


@pytest.mark.parametrize("option", [{"forget_bias": float("nan")}, {"shift": float("inf")}, {"activation": 1.0}, {},
                                    {"forget_bias": 1, "shift": 1}, {"init": "chronos:7"}])  # fmt: skip
def test_targets_that_cannot_be_had(option: Any, model: Path) -> None:
    before = folder_of(model.parent)
    with pytest.raises(BadPolicy):
        lstm_audit.patch(model, **option)
    assert folder_of(model.parent) == before


def test_a_shift_leaves_the_half_that_carries_none_of_it(model: Path) -> None:
    shutil.copy(FIXTURES / "mixed" / "default.pt", model)
    before = {half: gate_values(model, "f", half) for half in ("ih", "hh")}
    lstm_audit.patch(model, shift=1.0)
    assert torch.equal(gate_values(model, "f", "hh"), before["hh"])
    assert torch.equal(gate_values(model, "f", "ih"), (before["ih"] + 1).float().double())
    undo(str(model))
    lstm_audit.patch(model, shift=1.0, place="split")
    assert torch.equal(gate_values(model, "f", "hh"), (before["hh"] + 0.5).float().double())


def test_a_shift_over_values_that_are_no_numbers(tmp_path: Path) -> None:
    state = nn.LSTM(2, 4).state_dict()
    state["bias_ih_l0"][4:6] = torch.tensor([float("nan"), float("inf")])
    state["bias_hh_l0"][5] = -float("inf")
    path = save(tmp_path, state)
    (gate,) = lstm_audit.patch(path, shift=1.0).gates
    assert gate.error < 1e-6
    assert torch.load(path)["bias_ih_l0"][4:6].tolist() == pytest.approx(
        [float("nan"), float("inf")], nan_ok=True
    )


def test_a_split_makes_up_for_what_rounding_took(tmp_path: Path) -> None:
    """1 + 2^-8 is between two bfloat16; half of it rounds down to 0.5, and what is then missing can
    be held.
    """
    path = fresh("clean/bf16.safetensors", tmp_path)
    assert lstm_audit.patch(path, forget_bias=1 + 2**-8).gates[0].error == 2**-8
    assert lstm_audit.patch(path, forget_bias=1 + 2**-8, place="split").gates[0].error == 0.0


def test_chrono_couples_the_input_gate(model: Path) -> None:
    before = gate_values(model, "i")
    lstm_audit.patch(model, init="chrono:100")
    forget = gate_values(model, "f")
    assert torch.equal(gate_values(model, "i"), -forget)
    assert len(set(forget.tolist())) == 8
    assert float(forget.min()) >= 0
    assert float(forget.exp().max()) <= 99
    undo(str(model))
    lstm_audit.patch(model, init="chrono:100", couple=False)
    assert torch.equal(gate_values(model, "i"), before)
    assert torch.equal(gate_values(model, "f"), forget)


@pytest.mark.parametrize("preset", sorted(presets.PRESETS))
def test_presets_leave_g_and_o_alone(preset: str, model: Path) -> None:
    row = presets.PRESETS[preset]
    before = {gate: gate_values(model, gate) for gate in "igo"}
    lstm_audit.patch(model, init=str(presets.Chosen(row, row.example)))
    changed = {gate for gate in "igo" if not torch.equal(gate_values(model, gate), before[gate])}
    assert changed == ({"i"} if row.couples else set())


def test_seeds_are_reproducible_and_layers_draw_apart(model: Path) -> None:
    drawn: dict[int, Any] = {}
    for seed in (0, 0, 1):
        gates = lstm_audit.patch(model, init="uniform-gate", seed=seed).gates
        drawn.setdefault(seed, []).append([gate.after for gate in gates])
    assert drawn[0][0] == drawn[0][1] != drawn[1][0]
    assert len(set(drawn[0][0])) == 4
    alone = lstm_audit.patch(model, init="uniform-gate", layers=[":l1"]).gates
    assert [gate.after for gate in alone] == [drawn[0][0][2]]


def test_pytorch_draws_both_halves(model: Path) -> None:
    lstm_audit.patch(model, init="pytorch")
    for half in ("ih", "hh"):
        values = gate_values(model, "f", half)
        assert len(set(values.tolist())) == 8
        assert float(values.abs().max()) <= 8**-0.5 + 1e-7
    assert not torch.equal(gate_values(model, "f", "ih"), gate_values(model, "f", "hh"))


# --- layouts
# ------------------------------------------------------------------------------------------------


def test_paddle_is_written_under_both_names(tmp_path: Path) -> None:
    path = fresh("conventions/paddle_bidirectional.pdparams", tmp_path)
    lstm_audit.patch(path, forget_bias=1.0)
    arrays = pickle.loads(path.read_bytes())
    for cell, flat in (("0.cell_fw", "l0"), ("1.cell_bw", "l1_reverse")):
        for half in ("ih", "hh"):
            assert np.array_equal(arrays[f"{cell}.bias_{half}"], arrays[f"bias_{half}_{flat}"])
            assert set(arrays[f"bias_{half}_{flat}"][4:8]) == {float(half == "ih")}


def test_ncps_stores_the_value_less_its_offset(tmp_path: Path) -> None:
    path = fresh("conventions/ncps.pt", tmp_path)
    lstm_audit.patch(path, forget_bias=1.0)
    bias = torch.load(path)["rnn.lstm.input_map.bias"]
    assert torch.equal(bias[8:12], torch.zeros(4))


@pytest.mark.parametrize("place", ["ih", "hh", "split"])
def test_pruned_units_go_to_the_half_that_counts(place: Any, tmp_path: Path) -> None:
    from torch.nn.utils import prune

    lstm = nn.LSTM(2, 4)
    masks = {half: torch.ones(16) for half in ("ih", "hh")}
    masks["ih"][4:6] = masks["hh"][6] = 0
    for half, mask in masks.items():
        prune.custom_from_mask(lstm, f"bias_{half}_l0", mask)  # type: ignore[no-untyped-call]  # the library declares no types here
    path = save(tmp_path, lstm.state_dict())
    options: Any
    for options, expected in (({"forget_bias": 1.5}, 1.5), ({"shift": 0.5}, 2.0)):
        (gate,) = lstm_audit.patch(path, place=place, **options).gates
        assert gate.error == 0.0
        state = torch.load(path)
        total = sum(
            state[f"bias_{half}_l0_orig"] * state[f"bias_{half}_l0_mask"] for half in ("ih", "hh")
        )
        assert torch.equal(total[4:8], torch.full((4,), expected))


def test_a_unit_that_is_pruned_everywhere_is_refused(tmp_path: Path) -> None:
    state = nn.LSTM(2, 4).state_dict()
    for half in ("ih", "hh"):
        state[f"bias_{half}_l0_orig"] = state.pop(f"bias_{half}_l0")
        state[f"bias_{half}_l0_mask"] = torch.tensor([1.0] * 5 + [0.0] + [1.0] * 10)
    path = save(tmp_path, state)
    with pytest.raises(NotPatchable, match="unit 1 is pruned away"):
        lstm_audit.patch(path, forget_bias=1.0)


@pytest.mark.parametrize("log_scale", [float("nan"), 1e4, -1e4])
def test_a_scale_under_which_nothing_can_be_stored_is_refused(
    log_scale: float, tmp_path: Path
) -> None:
    state = nn.LSTM(2, 4).state_dict() | {"bias_ih_l0_scale": torch.tensor(log_scale)}
    with pytest.raises(NotPatchable, match=r"its scale is exp"):
        lstm_audit.patch(save(tmp_path, state), forget_bias=1.0)


def test_shards_with_the_halves_apart(tmp_path: Path) -> None:
    """Both shards are written, undo takes the index, and each shard opens by itself."""
    path = fresh("clean/sharded/model.safetensors.index.json", tmp_path)
    before = digests(tmp_path)
    assert run("patch", path, "--forget-bias", "-2", "--place", "split").exit_code == 0
    first, second = (load_file(tmp_path / f"model-0000{k}-of-00002.safetensors") for k in (1, 2))
    last = 2.0**-23  # by which a split is known from a value written twice
    halves = {
        float(first["encoder.lstm.bias_ih_l1_reverse"][8]),
        float(second["encoder.lstm.bias_hh_l1_reverse"][8]),
    }
    assert halves == {-1.0 - last, -1.0 + last}
    assert run("undo", path).exit_code == 0
    assert digests(tmp_path) == before
    refused = run("patch", path, "--forget-bias", "-2", "--output", tmp_path / "out.json")
    assert refused.exit_code == 3
    assert "spread over several" in refused.stderr


def test_a_shard_that_cannot_be_written_takes_the_others_back(tmp_path: Path) -> None:
    path = fresh("clean/sharded/model.safetensors.index.json", tmp_path)
    before = digests(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").chmod(0o444)
    with pytest.raises(NotPatchable, match="read-only"):
        lstm_audit.patch(path, forget_bias=-2.0, place="split")
    assert digests(tmp_path) == before


def test_strided_biases(tmp_path: Path) -> None:
    """Two biases interleaved in one storage: each is written between the elements of the other."""
    big = torch.randn(32)
    state = nn.LSTM(2, 4).state_dict()
    state["bias_ih_l0"], state["bias_hh_l0"] = big[::2], big[1::2]
    path = save(tmp_path, state)
    lstm_audit.patch(path, forget_bias=1.0)
    after = torch.load(path)
    assert torch.equal(after["bias_ih_l0"][4:8], torch.ones(4))
    assert torch.equal(after["bias_hh_l0"][4:8], torch.zeros(4))
    kept = torch.ones(32, dtype=torch.bool)
    kept[8:16] = False
    assert torch.equal(after["bias_ih_l0"].as_strided((32,), (1,), 0)[kept], big[kept])


def test_an_expanded_bias_is_refused(tmp_path: Path) -> None:
    state = nn.LSTM(2, 4).state_dict() | {"bias_ih_l0": torch.zeros(1).expand(16)}
    with pytest.raises(NotPatchable, match="one stored number 4 times"):
        lstm_audit.patch(save(tmp_path, state), forget_bias=1.0)


def test_negated_biases(tmp_path: Path) -> None:
    """torch's lazy neg bit: the numbers are minus what is stored."""
    state = nn.LSTM(2, 4).state_dict()
    state["bias_ih_l0"] = torch._neg_view(torch.randn(16))
    path = save(tmp_path, state)
    assert torch.load(path, weights_only=True)["bias_ih_l0"].is_neg()
    lstm_audit.patch(path, forget_bias=1.0)
    after = torch.load(path, weights_only=True)
    assert torch.equal((after["bias_ih_l0"] + after["bias_hh_l0"])[4:8], torch.ones(4))
    assert torch.equal(after["bias_ih_l0"][8:], state["bias_ih_l0"][8:])


def test_big_endian_zip(tmp_path: Path) -> None:
    """As torch writes on s390x: a `byteorder` record, and every storage swapped."""
    state = nn.LSTM(2, 4).state_dict()
    little = zipfile.ZipFile(save(tmp_path, state))
    entries = []
    for info in little.infolist():
        data = little.read(info)
        data = b"big" if info.filename.endswith("byteorder") else data
        if "/data/" in info.filename:
            data = np.frombuffer(data, "<f4").astype(">f4").tobytes()
        entries.append(craft.torch_entry(info.filename, data))
    path = tmp_path / "big.pt"
    path.write_bytes(craft.build(*entries))
    assert torch.equal(torch.load(path)["bias_ih_l0"], state["bias_ih_l0"])
    lstm_audit.patch(path, forget_bias=1.0)
    assert zipfile.ZipFile(path).testzip() is None
    after = torch.load(path)
    assert torch.equal((after["bias_ih_l0"] + after["bias_hh_l0"])[4:8], torch.ones(4))
    assert torch.equal(after["bias_ih_l0"][8:], state["bias_ih_l0"][8:])


def test_checksums_that_were_off_stay_off(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        path = save(tmp_path, nn.LSTM(2, 4).state_dict())
    finally:
        torch.serialization.set_crc32_options(True)
    before = [info.CRC for info in zipfile.ZipFile(path).infolist()]
    lstm_audit.patch(path, forget_bias=1.0)
    assert [info.CRC for info in zipfile.ZipFile(path).infolist()] == before
    assert float(torch.load(path)["bias_ih_l0"][4]) == 1.0


def test_deflated_storage_is_refused(model: Path) -> None:
    entries = [
        (info.filename, zipfile.ZipFile(model).read(info))
        for info in zipfile.ZipFile(model).infolist()
    ]
    with zipfile.ZipFile(model, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    before = folder_of(model.parent)
    assert len(lstm_audit.audit(model).rows) == 4
    with pytest.raises(NotPatchable, match="no place in the file"):
        lstm_audit.patch(model, forget_bias=2.0)
    assert folder_of(model.parent) == before


# --- what else lies in the same bytes
# -----------------------------------------------------------------------


def shared_state(overlap: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """An LSTM in one flat storage, and another tensor over the same storage."""
    state = nn.LSTM(2, 4).state_dict()
    flat = torch.cat([tensor.flatten() for tensor in state.values()])
    parts = flat.split([tensor.numel() for tensor in state.values()])
    views = {n: part.view(t.shape) for (n, t), part in zip(state.items(), parts, strict=True)}
    return {**views, "aside.other": overlap(flat)}


def start_of(name: str) -> int:
    return {"bias_ih_l0": 32 + 64, "bias_hh_l0": 32 + 64 + 16}[name]


OVERLAPS = {
    "a flat parameter vector": lambda flat: flat,
    "one element of the forget gate": lambda flat: flat[start_of("bias_hh_l0") + 7 :][:1],
    "the bias in another shape": lambda flat: flat[start_of("bias_ih_l0") :][:16].view(4, 4),
    "every fourth number": lambda flat: flat[::4],
}
NEIGHBOURS = {
    "the other gates": lambda flat: flat[start_of("bias_ih_l0") :][:4],
    "a weight": lambda flat: flat[:32],
    "the bias itself": lambda flat: flat[start_of("bias_ih_l0") :][:16],
    "between the gates": lambda flat: flat.as_strided((2, 4), (16, 1), start_of("bias_ih_l0") + 8),
}


@pytest.mark.parametrize("kind", OVERLAPS)
def test_bytes_shared_with_another_tensor_are_refused(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path, shared_state(OVERLAPS[kind]))
    before = folder_of(tmp_path)
    with pytest.raises(NotPatchable, match=r"aside\.other is stored in the same bytes"):
        lstm_audit.patch(path, forget_bias=1.0)
    assert folder_of(tmp_path) == before


@pytest.mark.parametrize("kind", NEIGHBOURS)
def test_neighbours_and_true_aliases_are_no_hindrance(kind: str, tmp_path: Path) -> None:
    path = save(tmp_path, shared_state(NEIGHBOURS[kind]))
    before = torch.load(path)
    lstm_audit.patch(path, forget_bias=1.0)
    after = torch.load(path)
    assert torch.equal((after["bias_ih_l0"] + after["bias_hh_l0"])[4:8], torch.ones(4))
    assert torch.equal(after["aside.other"], before["aside.other"]) == (kind != "the bias itself")


def test_tied_lstms_are_one_and_half_tied_ones_are_refused_apart(tmp_path: Path) -> None:
    encoder, decoder = nn.LSTM(2, 4), nn.LSTM(2, 4)
    decoder.bias_ih_l0 = encoder.bias_ih_l0
    path = save(tmp_path, nn.ModuleDict({"encoder": encoder, "decoder": decoder}).state_dict())
    with pytest.raises(NotPatchable, match=r"decoder\.bias_ih_l0 is stored in the same bytes"):
        lstm_audit.patch(path, forget_bias=1.0, layers=["encoder"])
    assert len(lstm_audit.patch(path, forget_bias=1.0).gates) == 2
    tied = fresh("mixed/aliased.pt", tmp_path)
    assert len(lstm_audit.patch(tied, forget_bias=1.0).gates) == 1
    state = torch.load(tied)
    assert torch.equal(state["encoder.bias_ih_l0"], state["decoder.bias_ih_l0"])


def test_one_storage_for_both_halves_is_refused_unless_it_is_split(tmp_path: Path) -> None:
    state = nn.LSTM(2, 4).state_dict()
    state["bias_hh_l0"] = state["bias_ih_l0"]
    path = save(tmp_path, state)
    with pytest.raises(NotPatchable, match="two values are wanted for the same stored bytes"):
        lstm_audit.patch(path, forget_bias=1.0)
    lstm_audit.patch(path, forget_bias=1.0, place="split")
    assert float(torch.load(path)["bias_ih_l0"][4]) == 0.5


def test_what_no_reader_knows_is_no_hindrance(tmp_path: Path) -> None:
    state = dict(nn.LSTM(2, 4).state_dict()) | {
        "aside.names": np.array(["a", "b"]),
        "aside.sparse": torch.eye(3).to_sparse(),
    }
    path = save(tmp_path, state)
    assert lstm_audit.patch(path, forget_bias=1.0).changed


# --- the file and its surroundings
# --------------------------------------------------------------------------


def test_a_link_is_followed_and_named(model: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest.pt"
    link.symlink_to(model)
    result = run("patch", link, "--forget-bias", 2)
    assert result.exit_code == 0
    assert f"{link} is a symbolic link to {model}" in result.stderr
    assert link.is_symlink()
    assert float(gate_values(model, "f")[0]) == 2.0
    assert run("undo", link).exit_code == 0


def test_surroundings_that_forbid_it(model: Path, tmp_path: Path) -> None:
    blob = tmp_path / "models--a--b" / "blobs" / ("0" * 64)
    blob.parent.mkdir(parents=True)
    shutil.copy(MODEL, blob)
    locked = Path(shutil.copy(MODEL, tmp_path / "locked.pt"))
    locked.chmod(0o444)
    os.link(model, tmp_path / "second.pt")
    for path, reason in ((blob, "hub cache"), (locked, "read-only"), (model, "hard links")):
        before = path.read_bytes()
        result = run("patch", path, "--forget-bias", 2)
        assert (result.exit_code, path.read_bytes()) == (3, before)
        assert reason in result.stderr
        assert not list(path.parent.glob("*.undo.json"))
    assert run("patch", model, "--forget-bias", 2, "--in-place").exit_code == 0
    assert (tmp_path / "second.pt").read_bytes() == model.read_bytes() != MODEL.read_bytes()
    assert run("patch", locked, "--forget-bias", 2, "--output", tmp_path / "out.pt").exit_code == 0
    assert run("patch", locked, "--forget-bias", 2, "--output", tmp_path / "out.pt").exit_code == 3


@pytest.mark.parametrize("options", [{}, {"in_place": True}, {"output": "other.pt"}])
def test_a_file_that_changes_between_plan_and_write_is_refused(
    options: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine.check_ready

    def trained_on(held: Any, *rest: Any) -> None:
        os.utime(model, ns=(1, 1))
        real(held, *rest)

    monkeypatch.setattr(engine, "check_ready", trained_on)
    if "output" in options:
        options = {"output": tmp_path / options["output"]}
    with pytest.raises(Unreadable) as caught:
        lstm_audit.patch(model, forget_bias=2.0, **options)
    assert caught.value.kind == "changed"
    assert [path.name for path in tmp_path.iterdir()] == [model.name]
    assert model.read_bytes() == MODEL.read_bytes()


def interrupt(path: Path, upto: int) -> bytes:
    """A kill in the middle of an in-place write: the journal, and some of the edits. Returns the
    file as it was.
    """
    before = path.read_bytes()
    edits: tuple[Edit, ...] = plan(str(path), target("forget-bias", 2.0)).files[0].edits
    stat = path.stat()
    identity = stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
    Path(journal.journal_path(str(path))).write_bytes(journal.journal_of(identity, edits))
    with path.open("r+b") as file:
        for edit in edits[:upto]:
            file.seek(edit.at)
            file.write(edit.new)
    return before


def test_a_hot_journal_is_reported_by_all_and_rolled_back_by_the_next_patch(model: Path) -> None:
    before = interrupt(model, 5)
    (error,) = lstm_audit.audit(model).errors
    assert error.kind == "interrupted-patch"
    assert "undo" in error.message
    assert run("audit", model).exit_code == 3
    shown = run("patch", model, "--forget-bias", 3, "--dry-run")
    assert shown.exit_code == 3
    assert model.read_bytes() != before
    assert run("patch", model, "--forget-bias", 3).exit_code == 0
    assert float(gate_values(model, "f")[0]) == 3.0
    assert run("undo", model).exit_code == 0
    assert model.read_bytes() == before
    interrupt(model, 5)
    assert run("undo", model).exit_code == 0
    assert [path.name for path in model.parent.iterdir()] == [model.name]
    assert model.read_bytes() == before


# --- the command
# --------------------------------------------------------------------------------------------


def test_ways_to_look_change_nothing(model: Path) -> None:
    before = folder_of(model.parent)
    for mode, would, at_target in (("--dry-run", 0, 0), ("--diff", 1, 0), ("--check", 1, 0)):
        shown = run("patch", model, "--forget-bias", 2, mode)
        assert shown.exit_code == would
        assert "12 ranges would change" in shown.stdout
        again = run("patch", model, "--forget-bias", 1, mode)
        assert again.exit_code == at_target
        assert "nothing to change" in again.stdout
    assert folder_of(model.parent) == before


def test_diff_and_json_name_the_bytes(model: Path) -> None:
    text = run("patch", model, "--forget-bias", 2, "--layers", ":l0", "--diff").stdout
    data = json.loads(
        run("patch", model, "--forget-bias", 2, "--layers", ":l0", "--diff", "--json").stdout
    )
    (file,) = data["files"]
    (gate,) = file["gates"]
    assert (data["schema"], file["changes"], file["written"]) == ("lstm-audit/patch/1", True, False)
    assert (gate["gate"], gate["before"], gate["after"], gate["error"]) == ("f", 1.0, 2.0, 0.0)
    raw = model.read_bytes()
    for edit in file["files"][0]["edits"]:
        old = bytes.fromhex(edit["old"])
        assert raw[edit["at"] : edit["at"] + len(old)] == old != bytes.fromhex(edit["new"])
        assert f"@ {edit['at']} +{len(old)}" in text


def test_patch_says_what_it_did_and_that_there_is_nothing_left_to_do(model: Path) -> None:
    first, second = run("patch", model, "--forget-bias", 2), run("patch", model, "--forget-bias", 2)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert re.search(
        r"\(root\):l0 f +bias 1\S* → 2\S* +activation 0\.731\S* → 0\.880", first.stdout
    )
    assert "lstm.pt.undo.json" in first.stdout
    assert "already at forget bias 2, nothing to change" in second.stdout


def test_a_value_that_the_dtype_cannot_hold_is_reported(tmp_path: Path) -> None:
    path = fresh("clean/bf16.safetensors", tmp_path)
    result = run("patch", path, "--forget-bias", 0.1, "--json")
    gate = json.loads(result.stdout)["files"][0]["gates"][0]
    assert gate["error"] == abs(float(torch.tensor(0.1).bfloat16()) - 0.1) > 0
    text = run("patch", fresh("clean/bf16.safetensors", tmp_path), "--forget-bias", 0.1).stdout
    assert "bfloat16 holds these values to within" in text


@pytest.mark.parametrize(
    "arguments",
    [
        ["MODEL"],
        ["MODEL", "--forget-bias", "1", "--shift", "1"],
        ["MODEL", "--forget-bias", "nan"],
        ["MODEL", "--forget-bias", "1", "--dry-run", "--check"],
        ["MODEL", "MODEL", "--forget-bias", "1", "--output", "x.pt"],
        ["MODEL", "--horizon", "100"],
        ["MODEL", "--horizon", "a,b"],
        ["MODEL", "--init", "chronos:5"],
        ["MODEL", "no-such-file.pt", "--forget-bias", "1"],
        ["MODEL", "--from", "no-such-file.pt"],
        [],
    ],
)
def test_usage_errors_write_nothing(arguments: list[str], model: Path) -> None:
    before = folder_of(model.parent)
    result = run("patch", *[str(model) if a == "MODEL" else a for a in arguments])
    assert result.exit_code == 2, result.output
    assert folder_of(model.parent) == before


def test_files_stand_alone(model: Path, tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "mixed" / "gru.pt", tmp_path / "gru.pt")
    shutil.copy(FIXTURES / "hostile" / "truncated.pt", tmp_path / "torn.pt")
    other = shutil.copy(MODEL, tmp_path / "other.pt")
    result = run(
        "patch", tmp_path / "gru.pt", model, tmp_path / "torn.pt", other, "--forget-bias", 2
    )
    assert result.exit_code == 3
    assert result.stderr.count("refused") == 2
    for path in (model, Path(other)):
        assert float(gate_values(path, "f")[0]) == 2.0
    undone = run("undo", tmp_path / "gru.pt", model, other)
    assert undone.exit_code == 4
    assert model.read_bytes() == MODEL.read_bytes()


def test_undo_with_nothing_to_undo_and_after_a_change(model: Path) -> None:
    assert run("undo", model).exit_code == 4
    assert run("undo", "no-such-file.pt").exit_code == 2
    run("patch", model, "--forget-bias", 2)
    edit = json.loads((model.parent / "lstm.pt.undo.json").read_text())["patches"][0]["edits"][0]
    with model.open("r+b") as file:
        file.seek(edit["at"])
        file.write(b"\x7f")
    changed = model.read_bytes()
    result = run("undo", model)
    assert (result.exit_code, model.read_bytes()) == (3, changed)
    assert "written to since" in result.stderr


def test_patches_of_shards_unwind_together(tmp_path: Path) -> None:
    """A patch that touches one shard only is taken back in that shard only."""
    folder = Path(shutil.copytree(FIXTURES / "clean" / "sharded", tmp_path / "model"))
    index = folder / "model.safetensors.index.json"
    states = [{path.name: path.read_bytes() for path in folder.iterdir()}]
    for options in ({"forget_bias": 0.5, "place": "split"}, {"shift": 1.0}):
        lstm_audit.patch(index, **options)  # type: ignore[arg-type]  # any word, as from a caller without types
        states.append(
            {p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith(".undo.json")}
        )
    assert sum(states[1][name] != states[2][name] for name in states[1]) == 1
    for state in (states[1], states[0]):
        assert run("undo", index).exit_code == 0
        assert {
            p.name: p.read_bytes() for p in folder.iterdir() if not p.name.endswith(".undo.json")
        } == state
    assert run("undo", index).exit_code == 4


def test_patches_stack_and_unwind(model: Path) -> None:
    states = [model.read_bytes()]
    steps: list[dict[str, Any]] = [
        {"forget_bias": 2}, {"shift": 1, "in_place": True}, {"init": "chrono:50"}, {"activation": 0.5},
    ]  # fmt: skip
    for k, options in enumerate(steps):
        lstm_audit.patch(model, **options)
        states.append(model.read_bytes())
        assert len(set(states)) == k + 2
    for k in reversed(range(4)):
        result = run("undo", model)
        assert result.exit_code == 0
        assert model.read_bytes() == states[k]
        assert (f"{k} undo step" in result.stdout) == (k > 0)
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_no_undo_keeps_no_record(model: Path) -> None:
    assert run("patch", model, "--forget-bias", 2, "--no-undo").exit_code == 0
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_layers_choose_and_their_absence_is_said(model: Path) -> None:
    gates = lstm_audit.patch(model, forget_bias=2.0, layers=["*:reverse"]).gates
    assert [gate.lstm.address for gate in gates] == [":l0:reverse", ":l1:reverse"]
    for layers in (["encoder"], "encoder", ["*", "encoder"]):
        with pytest.raises(
            BadPolicy, match=r"no LSTM matches --layers encoder; there are \(root\):l0, "
        ):
            lstm_audit.patch(model, forget_bias=2.0, layers=layers)


def test_one_pattern_is_one_pattern_and_not_its_letters(model: Path) -> None:
    gates = lstm_audit.patch(model, forget_bias=2.0, layers="*:reverse").gates
    assert [gate.lstm.address for gate in gates] == [":l0:reverse", ":l1:reverse"]


@pytest.mark.parametrize("place", ["HH", "", "both", "h"])
def test_a_word_that_is_no_place_is_refused(model: Path, place: str) -> None:
    before = model.read_bytes()
    with pytest.raises(BadPolicy, match="place must be one of ih, hh, split, not"):
        lstm_audit.patch(model, forget_bias=2.0, place=place)
    assert model.read_bytes() == before


def test_a_shift_is_no_target_that_is_ever_reached(model: Path) -> None:
    lstm_audit.patch(model, shift=1.0)
    assert lstm_audit.patch(model, shift=1.0).changed
    assert float(gate_values(model, "f")[0]) == 3.0
    assert not plan(str(model), target("shift", 0.0)).changes


def test_warnings_that_matter(tmp_path: Path) -> None:
    averaged = run(
        "patch",
        fresh("mixed/ema.pt", tmp_path),
        "--forget-bias",
        1,
        "--layers",
        "state_dict.lstm",
        "-n",
    )
    assert "state_dict_ema.lstm:l0 looks like an averaged copy" in averaged.stderr
    resumed = run("patch", fresh("mixed/optimizer.pt", tmp_path), "--forget-bias", 2, "-n")
    assert "optimizer's state" in resumed.stderr
    state = nn.LSTM(4, 64).state_dict()
    drift = torch.randn(256) * 0.3
    for half in ("ih", "hh"):
        state[f"bias_{half}_l0"] += drift
    trained = save(tmp_path, state)
    assert "looks trained" in run("patch", trained, "--forget-bias", 1, "-n").stderr
    assert run("patch", trained, "--forget-bias", 1, "-n", "--quiet").stderr == ""


def test_masters_that_overrule_the_patch_are_named(tmp_path: Path) -> None:
    state = {f"module.{name}": tensor for name, tensor in nn.LSTM(2, 4).state_dict().items()}
    named = save(tmp_path, {"module": state}).rename(tmp_path / "mp_rank_00_model_states.pt")
    assert "fp32 master weights" in run("patch", named, "--forget-bias", 1, "-n").stderr
    held = save(
        tmp_path,
        {"module": state, "optimizer": {"single_partition_of_fp32_groups": [torch.zeros(4)]}},
    )
    assert "fp32 master weights" in run("patch", held, "--forget-bias", 1, "-n").stderr
    assert (
        "fp32"
        not in run("patch", save(tmp_path, {"module": state}), "--forget-bias", 1, "-n").stderr
    )


def test_too_many_numbers_are_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_UNITS", 4 * 4 * 8 - 1)
    with pytest.raises(NotPatchable, match="128 bias elements"):
        lstm_audit.patch(model, forget_bias=1.0)


def test_what_does_not_read_back_is_not_kept(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verification is the last gate: should a plan and a reader ever disagree, the file is as it
    was.
    """
    before = folder_of(model.parent)
    real = read_values
    for options in MODES.values():
        planned = plan(str(model), target("forget-bias", 2.0))
        monkeypatch.setattr(verify, "read_values", lambda lstm: spoilt(real(lstm)))
        with pytest.raises(NotPatchable, match="does not read back as planned"):
            apply_plan(planned, mode="in-place" if options else "replace")
        monkeypatch.setattr(verify, "read_values", real)
        assert folder_of(model.parent) == before


def spoilt(values: Any) -> Any:
    values.effective[2][0] += 1.0
    return values


def test_shards_that_do_not_read_back_together_are_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fresh("clean/sharded_bin/pytorch_model.bin.index.json", tmp_path)
    before, real = digests(tmp_path), read_values
    for undo_record in (True, False):
        planned = plan(str(path), target("forget-bias", 2.0), place="split")
        assert len(planned.files) == 2
        monkeypatch.setattr(verify, "read_values", lambda lstm: spoilt(real(lstm)))
        with pytest.raises(NotPatchable, match="does not read back as planned"):
            apply_plan(planned, undo=undo_record)
        monkeypatch.setattr(verify, "read_values", real)
        assert digests(tmp_path) == before


def test_a_source_of_values_that_cannot_be_read_is_an_input_that_cannot(model: Path) -> None:
    result = run("patch", model, "--from", FIXTURES / "hostile" / "truncated.pt")
    assert result.exit_code == 3
    assert "truncated.pt: refused" in result.stderr


def test_a_mapping_process_is_named(model: Path) -> None:
    import mmap

    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        result = run("patch", model, "--forget-bias", 2, "--in-place")
    assert f"({os.getpid()})" in result.stderr


def test_presets_are_listed() -> None:
    text = " ".join(run("presets").stdout.split())  # long formulas are wrapped
    for row in presets.PRESETS.values():
        assert row.syntax in text
        assert row.formula in text
    assert "Tallec & Ollivier 2018, ICLR, arXiv 1804.11188" in text


def test_memory_holds_no_framework() -> None:
    """The whole patch, verification included, without torch or numpy."""
    import subprocess

    code = """
import shutil, sys, tempfile
folder = tempfile.mkdtemp()
for name in ("lstm.pt", "lstm.safetensors"):
    path = shutil.copy(f"{sys.argv[1]}/clean/{name}", folder)
    sys.argv[2:] = []
    from lstm_audit.patching.api import patch
    assert patch(path, forget_bias=2.0).changed
shutil.rmtree(folder)
print(sorted({n.partition(".")[0] for n in sys.modules} & {"torch", "numpy", "pickle", "_pickle"}))
"""
    command = [sys.executable, "-c", code, str(FIXTURES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=untraced())
    assert done.stdout.strip() == "[]"


def test_flattened_reads_what_plain_reads() -> None:
    """The two walks over a loaded file agree on the names of ordinary tensors."""
    state = torch.load(MODEL)
    assert [name for name, _ in flattened(state)] == list(tensors_of(state))


def test_a_shift_of_tied_halves_would_count_twice(tmp_path: Path) -> None:
    tied = fresh("flawed/LA405/tied.pt", tmp_path)
    before = Path(tied).read_bytes()
    for words in (["--dry-run"], ["--check"], ["--diff"], []):
        done = run("patch", tied, "--shift", "0.5", *words)
        assert done.exit_code == 3
        assert "one storage (LA405)" in done.stderr
    assert Path(tied).read_bytes() == before
