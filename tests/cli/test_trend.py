"""`trend RUN`: one line an LSTM over the checkpoints of a run."""

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from command import CLEAN, MODEL, TRUNCATED, real, run

import lstm_audit
from lstm_audit.cli.trend import over_time
from lstm_audit.history import steps_of
from lstm_audit.lstm.find import natural


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve checkpoints in which one layer opens until it is saturated, and another never moves."""
    for k in range(1, 13):
        path = tmp_path / f"epoch_{k}.pt"
        shutil.copy(MODEL, path)
        lstm_audit.patch(path, forget_bias=float(k), layers=[":l1"], undo=False)
        lstm_audit.patch(path, forget_bias=1.0 - k / 4, layers=[":l1:reverse"], undo=False)
    return tmp_path


@pytest.mark.parametrize(
    ("names", "steps"),
    [
        (["epoch_9.pt", "epoch_10.pt"], [9, 10]),
        (["epoch=0-step=100.ckpt", "epoch=0-step=200.ckpt"], [100, 200]),
        (["m2_epoch1.pt", "m2_epoch2.pt"], [1, 2]),
        (["best.pt", "epoch_3.pt"], [1, 2]),
        (["a.pt"], [1]),
        (["1_1.pt", "1_1.pt"], [1, 2]),
    ],
)
def test_steps_are_in_the_names(names: list[str], steps: list[int]) -> None:
    assert steps_of([f"run7/{name}" for name in names]) == steps


def test_the_order_is_natural() -> None:
    names = ["e1.pt", "e2.pt", "e10.pt", "e10b.pt", "f1.pt"]
    assert sorted([*names[2:], *names[:2]], key=natural) == names


def test_a_run(folder: Path) -> None:
    done = run("trend", folder, LC_ALL="C.UTF-8", COLUMNS="120")
    assert done.exit_code == 0
    lines = {line.split("  ")[0]: line for line in done.stdout.splitlines()}
    assert "saturated at step 10" in lines["(root):l1"]
    assert "closed at step 8" in lines["(root):l1:reverse"]
    assert "never moved" in lines["(root):l0"]
    assert "0.7311" in lines["(root):l1"]
    assert done.stdout.splitlines()[-1] == "12 checkpoints, steps 1 to 12, 4 LSTMs"
    assert max(map(len, run("trend", folder, LC_ALL="C.UTF-8").stdout.splitlines())) <= 80


def test_data(folder: Path) -> None:
    trend = json.loads(run("trend", "-f", "json", folder).stdout)
    assert trend["schema"] == "lstm-audit/trend/1"
    assert [file["step"] for file in trend["files"]] == list(range(1, 13))
    moved = next(
        line for line in trend["lines"] if (line["layer"], line["direction"]) == (1, "forward")
    )
    assert [point["mean"] for point in moved["points"]] == [float(k) for k in range(1, 13)]
    table = list(csv.DictReader(io.StringIO(run("trend", "-f", "csv", folder).stdout)))
    assert len(table) == 48
    assert {row["direction"] for row in table} == {"forward", "reverse"}
    assert [float(row["mean"]) for row in table if row["layer"] == "1"][:12] == list(range(1, 13))


def test_a_page(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.html"
    assert run("trend", "-f", "html", "-o", out, folder).exit_code == 0
    text = out.read_text()
    assert text.count("<polyline") == 4
    assert "saturated at step 10" in text
    assert "<script" not in text


def test_exit_codes(folder: Path) -> None:
    shutil.copy(TRUNCATED, folder / "epoch_13.pt")
    done = real("trend", folder)
    assert done.returncode == 3
    assert b"truncated" in done.stderr
    assert b"12 checkpoints" in done.stdout
    assert real("trend", CLEAN.parent / "mixed" / "gru.pt").returncode == 4
    assert real("trend", "-f", "json", "-o", folder / "epoch_1.pt", folder).returncode == 2


def test_over_time() -> None:
    assert over_time([0.0, 1.0, 2.0]) == "▁▅█"
    assert over_time([1.0, 1.0]) == "▄▄"
    assert over_time([float("nan"), 1.0]) == "!▄"
    assert over_time([0.0, float("inf")])[-1] == "!"
    assert len(over_time([float(k) for k in range(1000)])) == 16
