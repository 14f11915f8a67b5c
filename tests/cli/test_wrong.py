"""The wrong things that people type, each with what they then read.

`LSTM_AUDIT_UPDATE_SNAPSHOTS=1 pytest tests/cli/test_wrong.py` writes the snapshot anew; read its diff.
"""

import argparse
import os
import pickle
import shutil
from pathlib import Path

import numpy
import pytest
from command import CLEAN, DOUBLED, GRU, HOSTILE, MODEL, real

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "wrong.txt"

LINES: tuple[tuple[str, ...], ...] = (
    (),
    ("help",),
    ("help", "audit"),
    ("version",),
    ("-v",),
    ("scan", "model.pt"),
    ("view", "model.pt"),
    ("fix", "model.pt"),
    ("chekc", "model.pt"),
    ("modle.pt",),
    ("audit", "modle.pt"),
    ("audit", "fodler/model.pt"),
    ("audit", "fodler/inner.pt"),
    ("audit", "weights.pt"),
    ("audit", "org/repo"),
    ("audit", "C:\\Users\\me\\model.pt"),
    ("audit", "*.nothing"),
    ("audit",),
    ("audit", "--min-activation", "0.7", "model.pt"),
    ("audit", "--jsn", "model.pt"),
    ("audit", "--jobs", "many", "model.pt"),
    ("audit", "-f", "yaml", "model.pt"),
    ("audit", "--report", "out.json", "model.pt"),
    ("audit", "-o", "model.pt", "model.pt"),
    ("audit", "empty.pt"),
    ("audit", "--layers", "encodr.*", "model.pt"),
    ("audit", "--statistics", "-f", "sarif", "model.pt"),
    ("check", "--init", "xavier", "model.pt"),
    ("check", "--stat", "min", "model.pt"),
    ("check", "--stat", "median", "--forget-bias", "1", "model.pt"),
    ("check", "--min-activation", "90%", "model.pt"),
    ("check", "--min-activation", "90", "model.pt"),
    ("check", "--forget-bias", "one", "model.pt"),
    ("check", "--forget-bias", "1", "--min-activation", "0.9", "model.pt"),
    ("check", "--fail-on", "warnings", "model.pt"),
    ("check", "--select", "XY1", "model.pt"),
    ("check", "--select", "la101,doubled-chrono", "doubled.pt"),
    ("check", "--select", "doubled", "doubled.pt"),
    ("check", "--ignore", "doubld-chrono", "doubled.pt"),
    ("check", "--forget-bias", "1", "--tolerance", "0", "doubled.pt"),
    ("check", "gru.pt"),
    ("patch", "model.pt"),
    ("patch", "--forget-bias", "1", "--activation", "0.9", "model.pt"),
    ("patch", "--activation", "90", "model.pt"),
    ("patch", "--activation", "90%", "model.pt"),
    ("patch", "--horizon", "100", "model.pt"),
    ("patch", "--horizon", "0.5,100", "model.pt"),
    ("patch", "--init", "keras", "model.pt"),
    ("patch", "--forget-bias", "1", "--layers", "encodr", "model.pt"),
    ("patch", "--forget-bias", "1", "gru.pt"),
    ("patch", "model.pt", "1.0"),
    ("patch", "model.pt", "chrono:784"),
    ("patch", "--forgetbias", "1", "model.pt"),
    ("patch", "--forget-bias", "2", "empty.pt"),
    ("patch", "--from", "modle.pt", "model.pt"),
    ("patch", "--forget-bias", "1", "--layers", "(root):l0", "--dry-run", "model.pt"),
    ("patch", "--forget-bias", "1", "--dry-run", "folder"),
    ("undo", "folder"),
    ("undo", "modle.pt"),
    ("lint", "modle.py"),
    ("lint", "*.nothing"),
    ("trend", "modle.pt"),
    ("audit", "-f", "josn", "model.pt"),
    ("audit", "--fail-on", "error", "model.pt"),
    ("check", "--min-activation", "0.9", "--max-activation", "0.7", "model.pt"),
    ("check", "--tolerance", "0.1", "model.pt"),
    ("check", "--layers", "encodr.*", "model.pt"),
    ("check", "--select", "LA9", "arguments.pkl"),
    ("config", "--select", "xx1"),
    ("undo", "model.pt"),
    ("undo", "--verify", "model.pt"),
    ("diff", "model.pt"),
    ("diff", "model.pt", "gru.pt"),
    ("explain", "LA1"),
    ("explain", "doubled"),
    ("explain", "doubld-forget-bias"),
    ("rules", "LA40"),
    ("presets", "chrono:784"),
    ("presets", "xavier"),
    ("schema", "reports"),
    ("help", "chekc"),
    ("read", "model.pt"),
    ("--json",),
    ("check", "--policy", "x.toml", "model.pt"),
    ("check", "--config", "nope.toml", "model.pt"),
    ("check", "--baseline", "nope.json", "model.pt"),
    ("check", "--strict", "model.pt"),
    ("check", "--select", "LA108", "--ignore", "LA108", "model.pt"),
    ("audit", "-r", "folder"),
    ("audit", "--out", "report.json", "model.pt"),
    ("audit", "https:///model.pt"),
    ("audit", "https:/example.org/model.pt"),
    ("audit", "s3://"),
    ("audit", "hf://org"),
    ("audit", "S3://bucket/model.pt"),
    ("audit", "www.example.org/model.pt"),
    ("audit", "model.py"),
    ("audit", "--resume", "model.pt", "model.pt"),
    ("audit", "--exclude", "*.pth", "folder"),
    ("audit", "--exclude", "*.pth", "folder", "gru.pt"),
    ("patch", "--chrono", "784", "model.pt"),
    ("patch", "--bias", "1", "model.pt"),
    ("patch", "--init", "chrono", "model.pt"),
    ("patch", "--init", "chrono:abc", "model.pt"),
    ("patch", "--init", "chrono 784", "model.pt"),
    ("patch", "--forget-bias", "1", "https://example.org/model.pt"),
    ("patch", "--forget-bias", "1", "-o", "out.pt", "model.pt", "gru.pt"),
    ("patch", "--forget-bias", "1", "-n", "--check", "model.pt"),
    ("patch", "--place", "both", "--forget-bias", "1", "model.pt"),
    ("undo", "-"),
    ("undo", "https://example.org/model.pt"),
    ("diff", "model.pt", "doubled.pt", "gru.pt"),
    ("diff", "--match", "xy", "model.pt", "model.pt"),
    ("diff", "--match", "(root)=encoder", "model.pt", "model.pt"),
    ("diff", "-o", "out.txt", "model.pt", "model.pt"),
    ("trend", "--min", "0.5", "model.pt"),
    ("lint", "model.pt"),
    ("lint", "folder"),
    ("lint", "broken.py"),
    ("rules", "LA7"),
    ("rules", "LA5", "--chrono"),
    ("presets", "--hidden-size", "0"),
    ("explain", "LA101", "LA102"),
    ("explain", "101"),
    ("config", "model.pt"),
    ("schema",),
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, source in {
        "model.pt": MODEL,
        "doubled.pt": DOUBLED,
        "gru.pt": GRU,
        "empty.pt": HOSTILE / "empty.pt",
    }.items():
        shutil.copy(source, tmp_path / name)
    (tmp_path / "folder").mkdir()
    shutil.copy(MODEL, tmp_path / "folder" / "inner.pt")
    held = {
        "lstm.weight_hh_l0": numpy.zeros((8, 2), "float32"),
        "options": argparse.Namespace(seed=1),
    }
    held |= {f"lstm.bias_{half}_l0": numpy.ones(8, "float32") for half in ("ih", "hh")}
    held["lstm.weight_ih_l0"] = numpy.zeros((8, 3), "float32")
    (tmp_path / "arguments.pkl").write_bytes(pickle.dumps(held, 2))
    (tmp_path / "model.py").write_text("import torch\n")
    (tmp_path / "broken.py").write_text("class LSTM(:\n")
    return tmp_path


def test_what_people_type(folder: Path) -> None:
    said = []
    for words in LINES:
        done = real(*words, cwd=folder, PYTHONPATH=str(CLEAN.parents[1]))
        assert b"Traceback" not in done.stderr
        text = (done.stdout + done.stderr).decode().rstrip("\n").replace(f"{folder}/", "")
        said.append(f"$ {' '.join(('lstm-audit', *words))}\n{text}\nexit {done.returncode}\n")
    text = "\n".join(said)
    if os.environ.get("LSTM_AUDIT_UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text()


def test_a_file_alone_is_audited(folder: Path) -> None:
    alone = real("model.pt", cwd=folder)
    assert alone.stdout == real("audit", "model.pt", cwd=folder).stdout
    assert (
        real("--json", "model.pt", cwd=folder).stdout
        == real("audit", "-f", "json", "model.pt", cwd=folder).stdout
    )
    shutil.copy(folder / "gru.pt", folder / "check")
    assert b"Missing argument" in real("check", cwd=folder).stderr
    assert real("./check", cwd=folder).returncode == 0
