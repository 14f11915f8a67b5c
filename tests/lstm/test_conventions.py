"""Every row of the table of conventions against the framework's own formulas, unit by unit; and
what is no LSTM.
"""

import ast
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import cells
from convention_cases import CASES, FIXTURES, Case, loaded, parameters

from lstm_audit import formats
from lstm_audit.lstm import match
from lstm_audit.lstm.conventions import CONVENTIONS
from lstm_audit.lstm.find import find_lstms
from lstm_audit.lstm.measure import read_values, sigmoid
from lstm_audit.pipeline import audit_file
from lstm_audit.raw.source import FileSource
from lstm_audit.raw.span import span_all

# torch's quantised modules warn that they will move to torchao
pytestmark = pytest.mark.filterwarnings("ignore")


SKIPPED = {
    "mixed/gru.pt": {("", "gru")},
    "mixed/rnn.pt": {("", "rnn")},
    "mixed/gru_and_lstm.pt": {("gru", "gru")},
    "mixed/biases_only.pt": {("lstm", "ambiguous"), ("gru", "ambiguous")},
    "mixed/quantized_dynamic.pt": {("gru", "gru")},
    "mixed/quantized_dynamic_fp16.pt": {("gru", "gru")},
    "mixed/quantized_dynamic_cell.pt": {("gru", "gru")},
    "mixed/quantized_dynamic_square.pt": {("lstm", "ambiguous")},
    "mixed/frozen.pt": {("", "frozen")},
    "mixed/parametrized_bias.pt": {("", "parametrized")},
    "mixed/mismatched.pt": {("", "conflicting-evidence")},
    "mixed/optimizer.pt": {("optimizer", "optimizer-state"), ("exp_avg", "optimizer-state")},
    "conventions/haste.safetensors": {("rnn", "ambiguous")},
    "conventions/keras.pt": {("_torch_params.sequential/gru/gru_cell", "gru")},
    "conventions/mlx.safetensors": {("gru", "gru")},
}
BIASLESS = {
    "mixed/bias_false.pt": 1,
    "mixed/half_missing.safetensors": 1,
}  # rows that have tests of their own
FILES = sorted(
    str(path.relative_to(FIXTURES))
    for family in ("mixed", "conventions")
    for path in (FIXTURES / family).iterdir()
)


def units(file: str) -> dict[str, tuple[Any, Any]]:
    """Every LSTM of a file by its address, with its per-unit values."""
    with FileSource(str(FIXTURES / file)) as source:
        found = find_lstms(
            formats.read_checkpoint(span_all(source), lambda name: pytest.fail(f"opens {name}"))
        )
        return {lstm.address: (lstm, read_values(lstm)) for lstm in found.lstms}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}-{next(iter(case.rows))}")
def test_row_against_its_own_cell(case: Case) -> None:
    tensors, rows = loaded(case.file), units(case.file)
    assert set(case.rows) <= set(rows)
    for address, pattern in case.rows.items():
        lstm, values = rows[address]
        p = parameters(tensors, pattern)
        assert (lstm.convention, lstm.hidden_size, lstm.offset) == (
            case.convention,
            case.size,
            case.offset,
        )
        forget = cells.forget_gate(case.cell, p, case.size).numpy()
        np.testing.assert_allclose([sigmoid(b) for b in values.forget], forget, rtol=1e-12)
        written = [
            sigmoid(i) * math.tanh(g)
            for i, g in zip(values.effective[0], values.effective[2], strict=True)
        ]
        np.testing.assert_allclose(
            written, cells.written(case.cell, p, case.size).numpy(), rtol=1e-12
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}-{next(iter(case.rows))}")
def test_statistics_of_the_report(case: Case) -> None:
    tensors = loaded(case.file)
    rows = {row.lstm.address: row for row in audit_file(str(FIXTURES / case.file)).rows}
    for address, pattern in case.rows.items():
        forget = cells.forget_gate(case.cell, parameters(tensors, pattern), case.size).numpy()
        measured = rows[address].measures.activation
        percentiles = np.percentile(forget, [5, 50, 95])
        expected = [forget.mean(), forget.std(), forget.min(), *percentiles, forget.max()]
        np.testing.assert_allclose(measured, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("file", FILES)
def test_no_row_too_many_and_every_skip_with_its_reason(file: str) -> None:
    result = audit_file(str(FIXTURES / file))
    expected = sum(len(case.rows) for case in CASES if case.file == file) + BIASLESS.get(file, 0)
    assert len(result.rows) == expected
    assert {(s.module, s.reason) for s in result.skipped} == SKIPPED.get(file, set())
    assert len(result.skipped) == len(SKIPPED.get(file, set()))
    assert all(s.detail for s in result.skipped)


def test_without_bias_half_survives() -> None:
    (row,) = audit_file(str(FIXTURES / "mixed/bias_false.pt")).rows
    assert (row.lstm.bias_tensors, row.lstm.hidden_size, row.measures.difference) == ((), 8, None)
    assert set(row.measures.activation) == {0.0, 0.5}  # the spread, and everything else
    assert "bias=False" in row.lstm.notes[0]


def test_missing_half_is_zero_and_said() -> None:
    (row,) = audit_file(str(FIXTURES / "mixed/half_missing.safetensors")).rows
    bias = loaded("mixed/half_missing.safetensors")["bias_ih_l0"][8:16]
    assert row.lstm.bias_tensors == ("bias_ih_l0",)
    assert row.lstm.notes == ("bias_hh is missing and counted as 0",)
    assert (row.measures.gates["f"].min, row.measures.gates["f"].max) == (
        bias.min().item(),
        bias.max().item(),
    )


ALIASES = {
    "mixed/aliased.pt": {"decoder:l0": {"encoder.bias_ih_l0", "encoder.bias_hh_l0"}},
    "conventions/keras.pt": {
        "_functional._torch_params.sequential/lstm_a:l0": {
            "_torch_params.sequential/lstm_a/lstm_cell/bias"
        },
    },
    "conventions/paddle.pdparams": {"lstm:l1": {"lstm.bias_ih_l1", "lstm.bias_hh_l1"}},
    "conventions/paddle_bidirectional.pdparams": {
        ":l1:reverse": {"bias_ih_l1_reverse", "bias_hh_l1_reverse"}
    },
    # with a projection the second names are shifted behind the first cell: bias_ih_l1 is a weight
    "conventions/paddle_projected.pdparams": {":l0": {"bias_ih_l0", "bias_hh_l0"}, ":l1": set()},
}


@pytest.mark.parametrize("file", ALIASES)
def test_names_that_are_one_row(file: str) -> None:
    rows = units(file)
    tensors = loaded(file)
    for address, names in ALIASES[file].items():
        lstm, _ = rows[address]
        assert set(lstm.aliases) == names
        stored = [tensors[name].tolist() for name in lstm.bias_tensors]
        assert all(tensors[alias].tolist() in stored for alias in lstm.aliases)


def test_paddle_keeps_both_places_for_the_patcher() -> None:
    """Both arrays of the pickle hold the number: a patch of one alone would be undone by the
    loader.
    """
    for file, address, copies in [
        ("paddle.pdparams", "lstm:l1", 1),
        ("paddle_projected.pdparams", ":l0", 1),
        ("paddle_projected.pdparams", ":l1", 0),
    ]:
        lstm, _ = units(f"conventions/{file}")[address]
        assert {len(term.copies) for gate in lstm.gates.values() for term in gate} == {copies}


def test_averaged_copy_has_values_of_its_own() -> None:
    rows = units("mixed/ema.pt")
    model, average = rows["state_dict.lstm:l0"][1], rows["state_dict_ema.lstm:l0"][1]
    assert average.forget == [b / 2 for b in model.forget]


def test_twelve_layers_stay_apart_and_in_order() -> None:
    rows = audit_file(str(FIXTURES / "mixed/twelve_layers.pt")).rows
    addresses = [(row.lstm.layer, row.lstm.direction) for row in rows]
    assert addresses == [(layer, way) for layer in range(12) for way in ("forward", "reverse")]
    assert rows[2].lstm.bias_tensors == ("bias_ih_l1", "bias_hh_l1")


def test_input_half_stands_first() -> None:
    """In every convention with two halves the report names bias_ih's kin before bias_hh's."""
    for case in CASES:
        for lstm, _ in units(case.file).values():
            if lstm.two_halves:
                halves = {term.name: term.half for terms in lstm.gates.values() for term in terms}
                assert [halves[name] for name in lstm.bias_tensors] == sorted(
                    halves.values(), reverse=True
                )


def test_difference_only_where_there_are_two_halves() -> None:
    single = {
        "haste",
        "ncps",
        "mlx",
        "keras-torch",
        "torchaudio-rnnt",
        "convlstm",
        "convlstm-separate",
    }
    for case in CASES:
        for row in audit_file(str(FIXTURES / case.file)).rows:
            if row.lstm.address in case.rows and case.file not in ("conventions/elmo.pt",):
                stacked = row.lstm.module == "stacked"  # AllenNLP without an input bias: one half
                assert (row.measures.difference is None) == (case.convention in single or stacked)


def framework_words(text: str) -> set[str]:
    """The literals of a module, its docstrings left out, that hold a name of some framework's."""
    tree, roles = ast.parse(text), {s.role for row in CONVENTIONS for s in row.slots.values()}
    names = {key for row in CONVENTIONS for key in row.slots} - roles
    names |= {row.usual_cell for row in CONVENTIONS} | {"_reverse"}
    names = {name for name in names if len(name) > 4 and "_" in name}  # others are English too
    said = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    literals = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in said
    }
    return {word for word in literals for name in names if name in word}


# Promise of the table: no code elsewhere knows any framework.
@pytest.mark.parametrize("step", ["find", "match", "kind", "cut"])
def test_framework_names_stand_in_the_table_alone(step: str) -> None:
    assert framework_words('"""weight_hh"""\nx = f"{y} bias_hh"; z == "lstm_cell"; "input"') == {
        " bias_hh",
        "lstm_cell",
    }
    module = Path(match.__file__).with_name(f"{step}.py")
    assert framework_words(module.read_text()) == set()
