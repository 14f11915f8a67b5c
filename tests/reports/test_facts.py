"""Results are facts: they can be pickled, keep nothing alive, and their JSON is their types."""

import gc
import json
import pickle
import tracemalloc
import weakref
import zipfile
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest
import torch
from torch import nn

import lstm_audit
from lstm_audit import facts
from lstm_audit.fact_json import HIDDEN, keys_of
from lstm_audit.facts import Audit, ReportDocument, Row
from lstm_audit.lstm.layer import GATES, Identity, Lstm
from lstm_audit.lstm.measure import sigmoid
from lstm_audit.raw.source import FileSource
from lstm_audit.raw.span import Span
from lstm_audit.raw.tensor import Tensor

FIXTURES = Path(__file__).parents[2] / "fixtures"


def state(forget: float = 1.0) -> dict[str, np.ndarray]:
    bias = np.zeros(32, "f4")
    bias[8:16] = forget
    weights = {"weight_ih_l0": np.zeros((32, 4), "f4"), "weight_hh_l0": np.zeros((32, 8), "f4")}
    return {**weights, "bias_ih_l0": bias, "bias_hh_l0": np.zeros(32, "f4")}


def deflated(path: Path, width: int) -> Path:
    """A torch checkpoint whose records are deflated, with a weight of `width` columns."""
    torch.save(nn.LSTM(width, 8).state_dict(), path)
    packed = path.with_suffix(".packed.pt")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return packed


@pytest.mark.parametrize("folder", ["clean", "conventions", "mixed", "flawed"])
def test_a_result_survives_pickling(folder: str) -> None:
    result = lstm_audit.audit(FIXTURES / folder, units=True)
    again = pickle.loads(pickle.dumps(result))
    assert json.dumps(again.to_dict()) == json.dumps(result.to_dict())
    assert repr(again) == repr(result)
    assert again.rows[0].lstm == result.rows[0].lstm


def test_a_live_audit_survives_pickling() -> None:
    result = lstm_audit.audit(nn.LSTM(4, 8), units=True)
    assert pickle.loads(pickle.dumps(result)) == result


def reachable(root: Any) -> list[Any]:
    """Every object that can be reached from a result; types and modules left out."""
    seen: dict[int, Any] = {}
    left = [root]
    while left:
        value = left.pop()
        if id(value) not in seen and not isinstance(value, type):
            seen[id(value)] = value
            left += gc.get_referents(value)
    return list(seen.values())


@pytest.mark.parametrize("target", [FIXTURES / "clean", nn.LSTM(4, 8), state()], ids=repr)
def test_a_result_reaches_no_handle(target: Any) -> None:
    handles = (Lstm, Tensor, Span, FileSource, np.ndarray, torch.Tensor, bytes, bytearray)
    for value in reachable(lstm_audit.audit(target)):
        assert not isinstance(value, handles), value


def test_a_result_keeps_no_model_alive() -> None:
    model = nn.LSTM(4, 8)
    parameter = weakref.ref(model.bias_ih_l0)
    result = lstm_audit.audit(model, units=True)
    del model
    gc.collect()
    assert parameter() is None
    assert result.rows[0].lstm.hidden_size == 8


def test_a_result_keeps_no_array_alive() -> None:
    arrays = state()
    bias = weakref.ref(arrays["bias_ih_l0"])
    result = lstm_audit.audit(arrays)
    del arrays
    gc.collect()
    assert bias() is None
    assert result.rows[0].measures.gates["f"].mean == 1.0


def test_results_keep_no_inflated_record(tmp_path: Path) -> None:
    path = str(deflated(tmp_path / "m.pt", 2000))
    lstm_audit.audit(path)
    tracemalloc.start()
    results = [lstm_audit.audit(path) for _ in range(8)]
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(results) == 8
    assert kept < 8 * 32 * 2000 * 4 / 10, "a tenth of what the weights take"


def test_units_are_those_of_the_module() -> None:
    model = nn.LSTM(4, 8)
    assert lstm_audit.audit(model).rows[0].units is None
    units = lstm_audit.audit(model, units=True).rows[0].units
    assert units is not None
    real = (model.bias_ih_l0 + model.bias_hh_l0).detach().double().reshape(4, 8)
    for k, gate in enumerate(GATES):
        assert units.bias[gate] == pytest.approx(real[k].tolist(), abs=1e-7)
    assert units.activation == tuple(map(sigmoid, units.bias["f"]))
    assert units.time_scale == pytest.approx([-1 / np.log(f) for f in units.activation])


def test_units_of_files_and_of_numbers_only() -> None:
    path = FIXTURES / "clean"
    for only in (False, True):
        for row in lstm_audit.audit(path, units=True, numbers_only=only).rows:
            assert row.units is not None
            assert len(row.units.bias["f"]) == row.lstm.hidden_size


def test_every_field_is_a_key_or_hidden() -> None:
    """So that a field which is added can neither be forgotten nor slip in."""

    def fields(kind: Any) -> set[tuple[str, str]]:
        found = {(kind.__name__, name) for name in kind._fields}
        for hint in get_type_hints(kind).values():
            for inner in (hint, *getattr(hint, "__args__", ())):
                if hasattr(inner, "_fields"):
                    found |= fields(inner)
        return found

    assert fields(Row) | fields(facts.Finding) | fields(facts.FileAudit) >= HIDDEN
    shown = {key.attribute.split(".")[-1] for key in keys_of(Row)}
    hidden = {name for _, name in HIDDEN}
    everything = {*Row._fields, *facts.LstmFacts._fields, *Identity._fields}
    assert everything - hidden - {"lstm", "measures", "identity"} <= shown


def test_the_report_has_the_keys_of_its_types() -> None:
    result: Audit = lstm_audit.audit(FIXTURES / "flawed")
    report = result.to_dict()
    assert list(report) == [key.name for key in keys_of(ReportDocument)]
    for file in report["files"]:
        assert list(file) == [key.name for key in keys_of(facts.FileAudit)]
        for row in file["lstms"]:
            assert list(row) == [key.name for key in keys_of(Row)]
        for found in file["findings"]:
            assert list(found) == [key.name for key in keys_of(facts.Finding)]
            assert (found["line"], found["column"]) == (None, None)


def test_two_conventions_at_one_address_have_two_fingerprints() -> None:
    torch_names = {f"x.{name}": value for name, value in state(0.0).items()}
    mlx = {"x.Wx": np.zeros((32, 4), "f4"), "x.Wh": np.zeros((32, 8), "f4")}
    result = lstm_audit.audit({**torch_names, **mlx, "x.bias": np.zeros(32, "f4")})
    assert {row.lstm.convention for row in result.rows} == {"torch", "mlx"}
    assert len({row.lstm.address for row in result.rows}) == 1
    prints = [finding.fingerprint for finding in result.findings]
    assert len(set(prints)) == len(prints) > 1
    assert {finding.identity for finding in result.findings} == {
        row.lstm.identity for row in result.rows
    }
