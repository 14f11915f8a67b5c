"""`trend RUN`: one line an LSTM over the checkpoints of a run."""

import csv
import io
import json
import re
import shutil
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CLEAN, MODEL, TRUNCATED, real, run
from safetensors.torch import save_file

import lstm_audit
from lstm_audit.cli.trend import over_time
from lstm_audit.facts import Audit, FileAudit, Row
from lstm_audit.history import Event, is_run, natural, steps_of


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
        (["run/10/best.pt", "run/20/best.pt"], [10, 20]),
        (["out/checkpoint-500/model.safetensors", "out/checkpoint-1500/model.safetensors"], [500, 1500]),
        (["a/global_step7/mp_rank_00.pt", "a/global_step90/mp_rank_00.pt"], [7, 90]),
        (["a3/epoch_1.pt", "b/epoch_5.pt"], [1, 5]),
        (["epoch=0-step=100.ckpt", "epoch=0-step=200.ckpt"], [100, 200]),
        (["m2_epoch1.pt", "m2_epoch2.pt"], [1, 2]),
        (["best.pt", "epoch_3.pt"], [1, 2]),
        (["a.pt"], [1]),
        (["1_1.pt", "1_1.pt"], [1, 2]),
    ],
)  # fmt: skip
def test_steps_are_in_the_names(names: list[str], steps: list[int]) -> None:
    assert steps_of([file(f"run7/{name}") for name in names])[0] == steps


def file(path: str, rows: tuple[Row, ...] = (), **counters: int) -> FileAudit:
    return FileAudit(path, "torch-zip", 1, rows, (), counters=counters)


def test_steps_are_in_the_files() -> None:
    """What all files count, and count differently, the finest first."""
    some = [file("b.pt", epoch=1, global_step=70), file("a.pt", epoch=1, global_step=9)]
    assert steps_of(some) == ([70, 9], "global_step")
    assert steps_of([*some, file("c_3.pt", epoch=4)]) == ([1, 1, 4], "epoch")
    assert steps_of([file("e_1.pt", epoch=7), file("e_2.pt", epoch=7)]) == ([1, 2], "name")
    assert steps_of([file("a.pt"), file("b.pt")]) == ([1, 2], "order")


def test_which_files_are_a_run() -> None:
    rows = lstm_audit.audit(MODEL).rows

    def audit(*names: str) -> Audit:
        return Audit(tuple(file(name, rows) for name in names))

    assert is_run(audit("e_1.pt", "e_2.pt", "e_3.pt"))
    assert not is_run(audit("e_1.pt", "e_2.pt"))
    assert not is_run(audit("cat.pt", "dog.pt", "owl.pt"))
    other = file("e_4.pt", rows[:1])
    assert not is_run(Audit((*audit("e_1.pt", "e_2.pt", "e_3.pt").files, other)))
    assert is_run(Audit((*audit("e_1.pt", "e_2.pt", "e_3.pt").files, file("optimizer.pt"))))


@pytest.mark.parametrize(
    ("content", "counters"),
    [
        ({"global_step": 12, "epoch": 3, "state_dict": {}}, {"global_step": 12, "epoch": 3}),
        (OrderedDict(iteration=4), {"iteration": 4}),
        ({"step": True, "epoch": -1, "steps": 1 << 70, "iter": 2.0}, {}),
        ({"model": {"step": 9}}, {}),
        ([1, 2], {}),
    ],
)
def test_torch_files_count(content: Any, counters: dict[str, int], tmp_path: Path) -> None:
    for k, legacy in enumerate((False, True)):
        path = tmp_path / f"{k}.pt"
        held = {"w": torch.zeros(1)}
        whole = {**content, **held} if isinstance(content, dict) else [*content, held]
        whole = OrderedDict(whole) if isinstance(content, OrderedDict) else whole
        torch.save(whole, path, _use_new_zipfile_serialization=not legacy)
        (found,) = lstm_audit.audit(path).files
        assert found.counters == counters


def test_safetensors_count(tmp_path: Path) -> None:
    said = {"global_step": "300", "epoch": "x", "step": "9" * 30, "iter": "\u0663"}
    save_file({"w": torch.zeros(1)}, tmp_path / "a.safetensors", metadata=said)
    (found,) = lstm_audit.audit(tmp_path / "a.safetensors").files
    assert found.counters == {"global_step": 300}


def test_the_order_is_natural() -> None:
    names = ["e1.pt", "e2.pt", "e10.pt", "e10b.pt", "f1.pt"]
    assert sorted([*names[2:], *names[:2]], key=natural) == names
    assert natural("9" * 5000) > natural("1")  # more digits than int() takes


def test_a_moment_is_written_as_the_axis_writes_it() -> None:
    assert Event("saturated", 12_000).text == "saturated at step 12,000"


def test_names_of_a_run_are_not_cut_where_words_can_be_folded(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"model": torch.nn.LSTM(3, 8, 2, bidirectional=True)})
    for step in (0, 12_000):
        lstm_audit.patch(model, forget_bias=step / 900, layers="model:l0")
        content = {"global_step": step, "state_dict": model.state_dict()}
        torch.save(content, tmp_path / f"{step}.pt")
    lines = run("trend", tmp_path, LC_ALL="C.UTF-8", COLUMNS="80").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert sum(bool(re.match(r"\S+:reverse  ", line)) for line in lines) == 2
    assert lines[-1] == "2 checkpoints, steps 0 to 12,000 (global_step), 4 LSTMs"


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


def test_steps_come_first_from_the_file(tmp_path: Path) -> None:
    """Lightning's last.ckpt is the newest, whatever its name sorts like."""
    steps = {"epoch=0-step=900.ckpt": 900, "last.ckpt": 2000, "best-v1.ckpt": 1500, "init.ckpt": 0}
    model = torch.nn.LSTM(4, 8)
    for name, step in steps.items():
        lstm_audit.patch(model, forget_bias=step / 1000)
        content = {"global_step": step, "epoch": 0, "state_dict": model.state_dict()}
        torch.save(content, tmp_path / name)
    torch.save({"global_step": 5, "optimizer_states": []}, tmp_path / "other.ckpt")
    trend = json.loads(run("trend", "-f", "json", tmp_path).stdout)
    assert trend["counted_by"] == "global_step"
    assert [file["step"] for file in trend["files"]] == [0, 900, 1500, 2000]
    (line,) = trend["lines"]
    means = [point["mean"] for point in line["points"]]
    assert means == pytest.approx([0, 0.9, 1.5, 2.0])
    table = run("trend", tmp_path).stdout
    assert "steps 0 to 2,000 (global_step)" in table


def test_bounds_of_the_policy_are_drawn(folder: Path) -> None:
    page = run("trend", "-f", "html", "--min-activation", "0.7", folder).stdout
    assert page.count('class="allowed"') == 4
    assert 'class="bound"' in page
    assert 'class="allowed"' not in run("trend", "-f", "html", "--no-config", folder).stdout
    (folder / "lstm-audit.toml").write_text("[forget]\nbias = {min = 0.5, max = 2}\n")
    config = folder / "lstm-audit.toml"
    assert 'class="bound"' in run("trend", "-f", "html", "--config", config, folder).stdout


def test_an_audit_of_a_run_is_a_page_of_lines(folder: Path) -> None:
    page = run("audit", "-f", "html", folder).stdout
    assert "<h1>Forget gates over a run</h1>" in page
    assert page.count("<polyline") == 4
    assert "At step 12" in page
    assert page.count("<article") == 4 + 3  # two are alike in the end
    assert page.index("epoch_8.pt") < page.index("epoch_10.pt")


def test_exit_codes(folder: Path) -> None:
    shutil.copy(TRUNCATED, folder / "epoch_13.pt")
    done = real("trend", folder)
    assert done.returncode == 3
    assert b"truncated" in done.stderr
    assert b"12 checkpoints" in done.stdout
    assert real("trend", CLEAN.parent / "mixed" / "gru.pt").returncode == 4
    assert real("trend", "-f", "json", "-o", folder / "epoch_1.pt", folder).returncode == 2


def test_a_curve_makes_room_for_names(tmp_path: Path) -> None:
    """At 80 columns a name is whole, as long as six characters of the curve are left."""
    for step in range(20):
        model = torch.nn.LSTM(3, 4, bidirectional=True)
        torch.save(
            {"layers." + k: v for k, v in model.state_dict().items()}, tmp_path / f"{step}.pt"
        )
    done = run("trend", tmp_path, LC_ALL="C.UTF-8", COLUMNS="80")
    assert "layers:l0:reverse " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_over_time() -> None:
    assert over_time([0.0, 1.0, 2.0]) == "▁▅█"
    assert over_time([1.0, 1.0]) == "▄▄"
    assert over_time([float("nan"), 1.0]) == "!▄"
    assert over_time([0.0, float("inf")])[-1] == "!"
    assert len(over_time([float(k) for k in range(1000)])) == 16
