"""`diff A B`: what moved between two checkpoints."""

import json
import shutil
from pathlib import Path

import pytest
from command import CLEAN, DOUBLED, FROZEN, GRU, MODEL, TRUNCATED, real, run

import lstm_audit
from lstm_audit.compare import compare


@pytest.fixture
def patched(tmp_path: Path) -> Path:
    """MODEL with the forget gate of its second layer moved from 1 to 2."""
    path = tmp_path / "patched.pt"
    shutil.copy(MODEL, path)
    lstm_audit.patch(path, forget_bias=2.0, layers=[":l1*"], undo=False)
    return path


def test_a_checkpoint_and_itself() -> None:
    done = run("diff", "--fail-on-change", MODEL, MODEL)
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1] == "4 LSTMs compared, 0 changed"
    assert "→" not in done.stdout


def test_formats_do_not_matter(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    save_file(torch.load(MODEL), tmp_path / "same.safetensors")
    assert run("diff", "--fail-on-change", MODEL, tmp_path / "same.safetensors").exit_code == 0


def test_what_moved(patched: Path) -> None:
    done = run("diff", MODEL, patched)
    assert done.exit_code == 0
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line}
    assert "1 → 2" in lines["(root):l1"]
    assert "0.7311 → 0.8808" in lines["(root):l1"]
    assert "3.192 → 7.878" in lines["(root):l1"]
    assert "→" not in lines["(root):l0"]
    assert done.stdout.splitlines()[-1] == "4 LSTMs compared, 2 changed"
    assert run("diff", "--fail-on-change", MODEL, patched).exit_code == 1
    assert run("diff", "--fail-on-change", "-l", "*:l0*", MODEL, patched).exit_code == 0


def test_json(patched: Path) -> None:
    given = json.loads(run("diff", "--json", MODEL, patched).stdout)
    assert given["schema"] == "lstm-audit/diff/1"
    assert given["changed"] is True
    assert [pair["changed"] for pair in given["pairs"]] == [False, False, True, True]
    moved = given["pairs"][2]
    assert (moved["layer"], moved["direction"]) == (1, "forward")
    assert (moved["a"]["bias"], moved["b"]["bias"]) == (1.0, 2.0)
    assert moved["moved"] == {"i": 0.0, "f": 1.0, "g": 0.0, "o": 0.0}
    assert moved["b"]["activation"] == pytest.approx(0.8807970779778823)
    assert moved["b"]["time_scale"] == pytest.approx(7.8783, abs=1e-3)


def test_what_only_one_side_has() -> None:
    done = run("diff", MODEL, DOUBLED)
    assert done.exit_code == 0
    assert "only in A: (root):l0:reverse" in done.stdout
    assert "only in B: encoder:l0" in done.stdout
    assert run("diff", "--fail-on-change", MODEL, DOUBLED).exit_code == 1
    given = json.loads(run("diff", "--json", DOUBLED, MODEL).stdout)
    assert given["only_a"] == ["encoder:l0"]
    assert given["only_b"] == [":l0", ":l0:reverse", ":l1", ":l1:reverse"]


def test_another_gate_is_a_change_too() -> None:
    given = json.loads(run("diff", "--json", MODEL, CLEAN.parent / "mixed" / "default.pt").stdout)
    assert given["changed"]
    assert all(pair["moved"]["i"] for pair in given["pairs"])


def test_what_could_not_be_judged_is_said_and_is_no_equality() -> None:
    done = run("diff", FROZEN, FROZEN)
    assert "not judged in A" in done.stdout
    assert "not judged in B" in done.stdout
    assert done.exit_code == 4
    assert run("diff", "--fail-on-change", FROZEN, FROZEN).exit_code == 3
    given = json.loads(run("diff", "--json", FROZEN, GRU).stdout)
    assert [skip["reason"] for skip in given["skipped_a"]] == ["frozen"]
    assert given["skipped_b"] == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([TRUNCATED, MODEL], 3), ([MODEL, TRUNCATED], 3), ([GRU, GRU], 4), ([MODEL], 2), ([CLEAN, MODEL], 2),
     (["nowhere.pt", MODEL], 2)],
    ids=str,
)  # fmt: skip
def test_exit_codes(arguments: list[object], code: int) -> None:
    done = real("diff", *arguments)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert (done.stdout == b"") == (code in (2, 3))


def test_sizes_that_differ_are_a_change() -> None:
    a, b = ({"lstm.weight_hh_l0": _zeros(4 * h, h), "lstm.weight_ih_l0": _zeros(4 * h, 3),
             "lstm.bias_ih_l0": _zeros(4 * h), "lstm.bias_hh_l0": _zeros(4 * h)} for h in (4, 5))  # fmt: skip
    assert compare(lstm_audit.audit(a), lstm_audit.audit(b)).changed
    assert not compare(lstm_audit.audit(a), lstm_audit.audit(a)).changed


def test_nan_is_equal_to_itself() -> None:
    overflowed = CLEAN.parent / "flawed" / "LA301" / "overflowed.pt"
    assert run("diff", "--fail-on-change", overflowed, overflowed).exit_code == 0


def _zeros(*shape: int) -> object:
    import numpy as np

    return np.zeros(shape, np.float32)
