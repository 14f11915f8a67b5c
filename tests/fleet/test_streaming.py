"""Runs of any size: rows come as they are read, nothing is kept, and what is too much is said."""

import csv
import io
import json
import os
import shutil
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from command import CLEAN, MODEL, run

import lstm_audit
from lstm_audit.cli import runs
from lstm_audit.fleet import stream
from lstm_audit.inputs import Input, Inputs, expand
from lstm_audit.pipeline import Request
from lstm_audit.policy.unmatched import Witnesses, refuse_unmatched
from lstm_audit.policy.verdict import Running, score_of, verdict
from lstm_audit.worker import WINDOW

FIXTURES = CLEAN.parent
FOLDERS = [str(FIXTURES / name) for name in ("clean", "flawed", "hostile", "mixed")]


def test_rows_are_those_of_the_json_report() -> None:
    document = json.loads(run("audit", "-f", "json", *FOLDERS).stdout)
    rows = [(f["path"], row["module"]) for f in document["files"] for row in f["lstms"]]
    lines = run("audit", "-f", "jsonl", *FOLDERS).stdout.splitlines()
    assert [(one["path"], one["module"]) for one in map(json.loads, lines)] == rows
    table = list(csv.DictReader(io.StringIO(run("audit", "-f", "csv", *FOLDERS).stdout)))
    assert [one["path"].lstrip("'") for one in table] == [path for path, _ in rows]


def test_rows_come_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of a pipe has the first rows while the last file is not read yet."""
    real, pulled = Inputs.__iter__, []

    def noted(self: Inputs) -> Iterator[Input]:
        for given in real(self):
            pulled.append(given.path)
            yield given

    monkeypatch.setattr(Inputs, "__iter__", noted)
    seen = []
    results = stream(Inputs(FOLDERS), Request())
    for _ in range(3):
        next(results)
        seen.append(len(pulled))
    assert seen == [1, 2, 3]


def test_a_bounded_window_is_under_way() -> None:
    pulled = 0

    def endless() -> Iterator[Input]:
        nonlocal pulled
        while True:
            pulled += 1
            yield Input(str(MODEL), named=True)

    with ThreadPoolExecutor(2) as pool:
        results = stream(endless(), Request(numbers_only=True), executor=pool)
        for _ in range(5):
            next(results)
        assert pulled <= WINDOW + 5
        results.close()


@pytest.mark.parametrize("words", [("-f", "jsonl"), ("-f", "csv"), ("--statistics",)])
def test_memory_does_not_grow(words: tuple[str, ...], tmp_path: Path) -> None:
    peaks = []
    for k, n in enumerate((20, 20, 200)):  # the first is for what is imported and cached
        folder = tmp_path / str(k)
        for part in range(n // 20):
            (folder / str(part)).mkdir(parents=True)
            for one in range(20):
                os.link(_copy(tmp_path), folder / str(part) / f"{one}.pt")
        tracemalloc.start()
        done = run("audit", *words, "-o", str(tmp_path / "out"), "-q", str(folder))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert done.exit_code == 0, done.stderr
    assert peaks[2] < peaks[1] + 100_000


def _copy(folder: Path) -> Path:
    path = folder / "model.pt"
    if not path.exists():
        shutil.copy(CLEAN / "cell.pt", path)
    return path


@pytest.mark.parametrize("name", ["table", "html", "sarif"])
def test_too_many_for_a_row_each(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    whole = run("audit", "-f", name, FOLDERS[1])
    monkeypatch.setattr(runs, "WHOLE", 5)
    done = run("audit", "-f", name, "--report", f"jsonl={tmp_path / 'all.jsonl'}", FOLDERS[1])
    assert done.exit_code == whole.exit_code == 0
    assert "too many for a row each" in done.stderr
    assert f"{name} shows" in done.stderr
    assert "half_precision.pt" in done.stdout
    assert done.stdout != whole.stdout
    rows = run("audit", "-f", "jsonl", FOLDERS[1]).stdout
    assert (tmp_path / "all.jsonl").read_text() == rows
    if name == "sarif":
        assert json.loads(done.stdout)["version"] == "2.1.0"


def test_the_verdict_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flawed = [FIXTURES / "flawed" / name for name in ("LA101", "LA108", "LA302", "LA401", "LA901")]
    folders = [[str(one)] for one in flawed]
    gru = tmp_path / "gru"
    gru.mkdir()
    shutil.copy(FIXTURES / "mixed" / "gru.pt", gru)
    cases = [*folders, FOLDERS[2:], FOLDERS[3:], [str(gru)], [str(gru / "gru.pt")]]
    for require in (True, False):
        from lstm_audit.policy.model import Policy

        policy = Policy().having("require-lstm", require)
        for allow in (True, False):
            for paths in cases:
                found = lstm_audit.audit(paths, policy=policy)
                expected = verdict(found, policy, allow_skipped=allow)
                running = Running(policy, allow)
                for given, results in stream(Inputs(paths), Request(policy=policy)):
                    assert isinstance(given, Input)
                    running.add(results)
                assert running.outcome.state == expected.state, paths
                assert running.score == score_of(expected, found.findings), paths
                assert bool(running.outcome.failures) == bool(expected.failures)


def test_patterns_that_match_nothing_are_errors_here_too(tmp_path: Path) -> None:
    clean = str(CLEAN)
    for k, words in enumerate([("-f", "jsonl"), ("--statistics",), ("--resume",)]):
        words = words if k < 2 else (*words, str(tmp_path / "r"))
        done = run("audit", *words, "--layers", "encodr*", clean)
        assert done.exit_code == 2
        assert "matches no LSTM" in done.stderr
        words = words if k < 2 else (words[0], str(tmp_path / "s"))
        done = run("audit", *words, "--exclude", "*.nothing", clean)
        assert done.exit_code == 2
        assert "matches none" in done.stderr
        words = words if k < 2 else (words[0], str(tmp_path / "t"))
        done = run("audit", *words, clean, str(tmp_path / "absent.pt"))
        assert done.exit_code == 2
        assert done.stdout == ""


def test_witnesses_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstm_audit.policy.unmatched.ENOUGH", 1)
    from lstm_audit.policy.model import Override, Policy

    found = lstm_audit.audit(CLEAN)
    names = sorted({row.lstm.address for row in found.rows})
    override = Override(("*.safetensors", "cell.pt"), ("lstm*",), {})
    for layers in (names[:1], names[-1:], [names[0], names[-1]], ["*:l7"], ["nowhere"]):
        for more in ((), ("absent*",)):
            policy = Policy()._replace(
                overrides=(override._replace(files=(*override.files, *more)),)
            )
            said = []
            for ask in ("whole", "witnesses"):
                try:
                    if ask == "whole":
                        refuse_unmatched([found], layers, policy)
                    else:
                        kept = Witnesses(layers, policy)
                        for file in found.files:
                            kept.add(file.path, (file,))
                        kept.refuse_unmatched()
                        assert len(kept._kept) < len(found.files) / 2
                    said.append("")
                except lstm_audit.BadPolicy as error:
                    said.append(error.message.partition(";")[0])
            assert said[0] == said[1]


def test_walks_keep_no_list_of_files(tmp_path: Path) -> None:
    """Links and loops as before, from a walk that remembers folders only."""
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "b").mkdir()
    for name in ("a/1.pt", "a/deep/2.pt", "b/3.pt", "b/9.pt"):
        shutil.copy(CLEAN / "cell.pt", tmp_path / name)
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "0_ahead.pt").symlink_to(tmp_path / "b" / "9.pt")
    (tmp_path / "b" / "z_behind.pt").symlink_to(tmp_path / "a" / "1.pt")
    (tmp_path / "b" / "2_own.pt").symlink_to(tmp_path / "b" / "3.pt")
    found = [os.path.relpath(one.path, tmp_path) for one in expand([str(tmp_path)])]
    assert found == ["a/0_ahead.pt", "a/1.pt", "a/deep/2.pt", "b/2_own.pt"]
    twice = expand(
        [str(tmp_path / "a"), str(tmp_path / "a" / "deep"), str(tmp_path / "a" / "1.pt")]
    )
    assert len({one.path for one in twice}) == len(twice)


class Losing(Executor):
    """An executor that loses, with its worker, every task that has one of some inputs."""

    def __init__(self, lost: set[str]) -> None:
        self.lost = lost

    def submit(self, run, /, *words):
        future: Future = Future()
        if self.lost & {given.path for given in words[-1]}:
            future.set_exception(RuntimeError("KilledWorker"))
        else:
            future.set_result(run(*words))
        return future


def test_a_lost_worker_is_one_files_error(tmp_path: Path) -> None:
    """Also where several files are one task, as they are once there are many."""
    for k in range(120):
        shutil.copy(CLEAN / "cell.pt", tmp_path / f"{k:03}.pt")
    paths = [str(path) for path in sorted(tmp_path.glob("*.pt"))]
    lost = set(paths[3::7])
    found = lstm_audit.audit(paths, executor=Losing(lost))
    assert {error.path for error in found.errors} == lost
    assert {error.kind for error in found.errors} == {"limit"}
    assert [file.path for file in found.files] == [path for path in paths if path not in lost]


def test_progress_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    from lstm_audit.cli import output

    said: list[str] = []
    monkeypatch.setattr(output, "_tell", said.append)
    line = output.ProgressLine(quiet=False)
    line._active, now = True, [0.0]
    line._start = line._last = 0.0
    line._clock = lambda: now[0]
    now[0] = 10.0
    line(2000, 1_000_000)
    now[0] = 20.0
    line(4000, 0)
    assert "2,000 of 1,000,000 files, 200/s, 83 min left" in said[0]
    assert said[1].endswith("4,000 files, 200/s")
