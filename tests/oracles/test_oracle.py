"""The behavioural oracle: what the forget gate of the real cell does, drawn models in drawn
containers.

One step of the real cell with x = 0, h = 0 and c = 1, then c = 0: what of the memory differs
afterwards is the activation of the forget gate, unit by unit.
"""

import io
import pickle
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

from lstm_audit.fleet import audit

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # of torch: TorchScript and legacy files are deprecated

Values = np.ndarray[Any, np.dtype[np.float64]]

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class Model(nn.Module):
    """A model that holds its recurrence one level down."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        return x


def to_file(
    write: Callable[[nn.Module, Path], object], name: str = "model.pt"
) -> Callable[[nn.Module], Any]:
    """A container on disk: what is written is audited."""

    def judge(model: nn.Module) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            write(model, path)
            return audit(path)

    return judge


def save_sharded(model: nn.Module, path: Path) -> None:
    """Every tensor in a shard of its own."""
    import json

    homes = {}
    for k, (name, tensor) in enumerate(model.state_dict().items()):
        homes[name] = f"model-{k:05}.safetensors"
        save_file({name: tensor}, path.with_name(homes[name]))
    path.write_text(json.dumps({"metadata": {}, "weight_map": homes}))


CONTAINERS: dict[str, Callable[[nn.Module], Any]] = {
    "zip": to_file(lambda model, path: torch.save(model.state_dict(), path)),
    "legacy": to_file(
        lambda model, path: torch.save(
            model.state_dict(), path, _use_new_zipfile_serialization=False
        )
    ),
    "whole module": to_file(torch.save),
    "whole module, legacy": to_file(
        lambda model, path: torch.save(model, path, _use_new_zipfile_serialization=False)
    ),
    "scripted": to_file(lambda model, path: torch.jit.save(torch.jit.script(model), path)),
    "safetensors": to_file(lambda model, path: save_file(model.state_dict(), path)),
    "sharded": to_file(save_sharded, "model.safetensors.index.json"),
    "nested pickle": to_file(
        lambda model, path: path.write_bytes(pickle.dumps(model.state_dict()))
    ),
    "live module": audit,
    "live state dict": lambda model: audit(model.state_dict()),
    "live numpy": lambda model: audit(
        {name: t.double().numpy() for name, t in model.state_dict().items()}
    ),
}


@st.composite
def recurrences(draw: st.DrawFn) -> nn.Module:
    """An LSTM or a cell with random biases, some far out, some constant."""
    hidden = draw(st.integers(1, 24))
    inputs = draw(st.integers(1, 4))
    torch.manual_seed(draw(st.integers(0, 2**32 - 1)))
    bias = draw(st.sampled_from([True, True, True, False]))
    if draw(st.booleans()):
        projection = draw(st.sampled_from([0, 0, 1, 2]))
        model: nn.Module = nn.LSTM(
            inputs, hidden, draw(st.integers(1, 3)), bias, bidirectional=draw(st.booleans()),
            proj_size=projection if projection < hidden else 0,
        )  # fmt: skip
    else:
        model = nn.LSTMCell(inputs, hidden, bias)
    spread = draw(st.sampled_from([0.1, 1.0, 8.0]))
    for name, parameter in model.named_parameters():
        if name.startswith("bias"):
            nn.init.normal_(parameter, draw(st.sampled_from([-3.0, 0.0, 1.0])), spread)
    return model.to(DTYPES[draw(st.sampled_from(sorted(DTYPES)))])


def real_cells(model: Any) -> dict[tuple[int, str], nn.LSTMCell]:
    """Every recurrence of a module as the real cell, with the stored (rounded) numbers, in
    float64.
    """
    if isinstance(model, nn.LSTMCell):
        return {(0, "forward"): model.double()}
    ways = ("forward", "reverse")[: 1 + model.bidirectional]
    return {
        (layer, way): _cell(model, f"_l{layer}{'_reverse' * (way == 'reverse')}")
        for layer in range(model.num_layers)
        for way in ways
    }


def _cell(model: nn.LSTM, suffix: str) -> nn.LSTMCell:
    """A projection only changes what is fed back: h = 0 of either width gives the same gates."""
    cell = nn.LSTMCell(1, model.hidden_size, model.bias, dtype=torch.float64)
    if model.bias:
        with torch.no_grad():
            cell.bias_ih.copy_(getattr(model, f"bias_ih{suffix}"))
            cell.bias_hh.copy_(getattr(model, f"bias_hh{suffix}"))
    return cell


def forget_gate(cell: nn.LSTMCell) -> Values:
    """What one unit of memory becomes, less what an empty memory becomes."""
    x = torch.zeros(1, cell.input_size, dtype=torch.float64)
    zero = torch.zeros(1, cell.hidden_size, dtype=torch.float64)
    with torch.no_grad():
        kept = cell(x, (zero, zero + 1))[1] - cell(x, (zero, zero))[1]
    return np.asarray(kept[0])


def effective(cell: nn.LSTMCell, gate: int) -> Values:
    """The sum of both halves of a gate's bias."""
    if not cell.bias:
        return np.zeros(cell.hidden_size)
    return np.asarray((cell.bias_ih.detach() + cell.bias_hh.detach()).chunk(4)[gate])


def statistics(values: Values) -> list[float]:
    """Mean, population's standard deviation, min, p05, p50, p95, max: by numpy."""
    percentiles = np.percentile(values, [5, 50, 95])
    return [values.mean(), values.std(), values.min(), *percentiles, values.max()]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(recurrences(), st.sampled_from(sorted(CONTAINERS)), st.booleans())
@example(nn.LSTM(2, 3, 2, bidirectional=True), "zip", True)  # 4H divides by 3
@example(nn.LSTM(3, 12, proj_size=9), "safetensors", True)
@example(nn.LSTM(1, 1, 3), "scripted", True)
@example(nn.LSTM(4, 6, bidirectional=True).half(), "live module", False)
def test_report_equals_the_real_cell(recurrence: nn.Module, container: str, nested: bool) -> None:
    result = CONTAINERS[container](Model(recurrence) if nested else recurrence)
    assert not result.errors
    assert not result.files[0].skipped
    rows = {(row.lstm.layer, row.lstm.direction): row for row in result.rows}
    dtype = (
        "float64"
        if container == "live numpy"
        else str(next(recurrence.parameters()).dtype).partition(".")[2]
    )
    expected = real_cells(recurrence)
    assert rows.keys() == expected.keys()
    assert len(result.rows) == len(rows)
    for place, cell in expected.items():
        row = rows[place]
        assert (row.lstm.module, row.lstm.dtype) == ("encoder" if nested else "", dtype)
        assert (row.lstm.hidden_size, row.lstm.offset) == (cell.hidden_size, 0.0)
        # the difference of two sums near g * i loses what lies below their last bit
        np.testing.assert_allclose(
            row.measures.activation, statistics(forget_gate(cell)), rtol=1e-9, atol=1e-14
        )
        for k, gate in enumerate("ifgo"):
            np.testing.assert_allclose(
                row.measures.gates[gate], statistics(effective(cell, k)), rtol=1e-12, atol=1e-14
            )


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(recurrences())
def test_difference_and_time_scales(recurrence: nn.Module) -> None:
    result = audit(recurrence)
    for row in result.rows:
        cell = real_cells(recurrence)[row.lstm.layer, row.lstm.direction]
        if not cell.bias:
            assert row.measures.difference is None
            continue
        apart = (cell.bias_hh.detach() - cell.bias_ih.detach()).chunk(4)
        for k, gate in enumerate("ifgo"):
            assert row.measures.difference is not None
            expected = statistics(apart[k].numpy())
            np.testing.assert_allclose(
                row.measures.difference[gate], expected, rtol=1e-12, atol=1e-14
            )
        bias = effective(cell, 1)
        scale = 1 / np.logaddexp(0, -bias)  # -1 / ln sigmoid(b)
        np.testing.assert_allclose(
            row.measures.time_scale, statistics(scale), rtol=1e-9, atol=1e-14
        )
        np.testing.assert_allclose(
            row.measures.half_life, statistics(scale * np.log(2)), rtol=1e-9, atol=1e-14
        )


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN])
@pytest.mark.parametrize("hidden", [1, 2, 3, 4, 12])
@pytest.mark.parametrize("container", ["zip", "whole module", "live module", "live state dict"])
def test_other_cells_under_the_same_names_are_never_rows(
    kind: type[nn.Module], hidden: int, container: str
) -> None:
    result = CONTAINERS[container](kind(hidden, hidden))
    assert not result.rows
    assert [entry.reason for entry in result.files[0].skipped] == [kind.__name__.lower()]


def test_memory_and_file_say_the_same() -> None:
    """What torch loads back is judged like the file it came from."""
    model = nn.LSTM(3, 5, 2, proj_size=2)
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    restored: Mapping[str, Any] = torch.load(io.BytesIO(buffer.getvalue()))
    on_disk = CONTAINERS["zip"](model).rows
    assert [row.measures for row in audit(restored).rows] == [row.measures for row in on_disk]
