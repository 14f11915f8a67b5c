"""Results as lines: nothing is lost on the way, and a run goes on from wherever it was ended."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

import pytest
from command import CLEAN, run, untraced

import lstm_audit
from lstm_audit import results
from lstm_audit.fleet import audit_inputs
from lstm_audit.inputs import Input, expand
from lstm_audit.pipeline import Request, audit_input
from lstm_audit.results import dump_fact, line_of, load_fact, read_line, stamp_of
from lstm_audit.resume import ask_ahead

FIXTURES = CLEAN.parent
EVERYTHING = [FIXTURES / name for name in ("clean", "flawed", "hostile", "mixed")]


@pytest.mark.parametrize("units", [False, True])
def test_every_fact_comes_back(units: bool) -> None:
    inputs = expand([str(path) for path in EVERYTHING])
    request = Request(units=units)
    kinds = set[str]()
    for given in inputs:
        found = audit_input(given, request)
        line = read_line(line_of(given, stamp_of(given), found))
        assert line is not None
        assert sorted(map(repr, line.results)) == sorted(map(repr, found))  # NaN is itself there
        kinds |= {type(result).__name__ for result in found}
        for fact in found:
            assert repr(load_fact(type(fact), json.loads(json.dumps(dump_fact(fact))))) == repr(
                fact
            )
    assert kinds == {"FileAudit", "FileError"}


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """A dozen inputs of every kind: sound, flawed, broken, no checkpoint, an index with shards."""
    folder = tmp_path / "registry"
    folder.mkdir()
    chosen = [*sorted(CLEAN.glob("*.pt"))[:6], *sorted((FIXTURES / "flawed" / "LA101").iterdir())]
    for k, path in enumerate(chosen):
        shutil.copy(path, folder / f"{k:02}_{path.name}")
    (folder / "broken.pt").write_bytes(b"PK\3\4 and nothing else")
    (folder / "readme.txt").write_text("no checkpoint")
    sharded = next(path.parent for path in CLEAN.rglob("*.index.json"))
    shutil.copytree(sharded, folder / "sharded")
    return folder


def resume(folder: Path, file: Path, *more: str) -> str:
    done = run("audit", "-f", "jsonl", "--resume", str(file), *more, str(folder))
    assert done.exit_code in (0, 3), done.stderr
    return done.stdout


def test_a_second_run_reads_nothing(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = registry.parent / "r.jsonl"
    rows = resume(registry, file)
    before = file.read_bytes()
    assert before.count(b"\n") == 1 + len(expand([str(registry)]))
    assert rows == run("audit", "-f", "jsonl", str(registry)).stdout
    monkeypatch.setattr("lstm_audit.fleet.audit_input", None)
    assert resume(registry, file) == rows
    assert file.read_bytes() == before


def test_it_goes_on_from_any_byte(registry: Path) -> None:
    """As a kill leaves the file: cut anywhere, at the ends of lines and within them."""
    whole = registry.parent / "whole.jsonl"
    rows = resume(registry, whole)
    data = whole.read_bytes()
    ends = [k + 1 for k, byte in enumerate(data) if byte == 10]
    cuts = {0, 5, *ends, *(Random(1).randrange(len(data)) for _ in range(12))}
    for cut in sorted(cuts):
        file = registry.parent / f"cut_{cut}.jsonl"
        file.write_bytes(data[:cut])
        assert resume(registry, file) == rows
        assert file.read_bytes() == data, cut


def test_only_what_changed_is_read_again(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = registry.parent / "r.jsonl"
    resume(registry, file)
    shutil.copy(CLEAN / "lstm.pt", registry / "00_first.pt")  # new, and before the others
    (registry / "broken.pt").unlink()
    (index,) = (registry / "sharded").glob("*.index.json")
    shard = next(path for path in (registry / "sharded").iterdir() if path != index)
    os.utime(shard, ns=(1, 1))  # of several files one
    touched = next(registry.glob("03_*"))
    os.utime(touched, ns=(5, 5))
    asked: list[str] = []
    real = audit_input

    def noted(given: Input, request: Request) -> object:
        asked.append(os.path.basename(given.path))
        return real(given, request)

    monkeypatch.setattr("lstm_audit.fleet.audit_input", noted)
    resume(registry, file)
    assert sorted(asked) == sorted(["00_first.pt", touched.name, index.name])
    fresh = registry.parent / "fresh.jsonl"
    monkeypatch.undo()
    resume(registry, fresh)
    assert file.read_bytes() == fresh.read_bytes()
    assert not list(registry.parent.glob("*.old*"))


def test_a_kill_while_lines_are_moved_aside(registry: Path) -> None:
    """Where the next run moves none, as the input is again what it was, their copy goes as well."""
    file = registry.parent / "r.jsonl"
    resume(registry, file)
    file.with_name("r.jsonl.old.new").write_bytes(file.read_bytes()[:999])
    resume(registry, file)
    assert not list(registry.parent.glob("*.old*"))


def test_a_kill_while_lines_are_aside(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was moved aside is found again by the run after the one that moved it."""
    file = registry.parent / "r.jsonl"
    resume(registry, file)
    fresh = registry.parent / "fresh.jsonl"
    shutil.copy(CLEAN / "lstm.pt", registry / "00_first.pt")
    resume(registry, fresh)
    real, left = audit_input, [1]

    def dies(given: Input, request: Request) -> object:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return real(given, request)

    monkeypatch.setattr("lstm_audit.fleet.audit_input", dies)
    os.utime(next(registry.glob("05_*")), ns=(7, 7))
    with pytest.raises((KeyboardInterrupt, SystemExit, AssertionError)):
        resume(registry, file)
    assert file.with_name("r.jsonl.old").exists()
    monkeypatch.undo()
    resume(registry, fresh)
    asked: list[str] = []
    monkeypatch.setattr(
        "lstm_audit.fleet.audit_input",
        lambda given, request: asked.append(given.path) or real(given, request),
    )
    resume(registry, file)
    assert len(asked) <= 2
    assert file.read_bytes() == fresh.read_bytes()


def test_another_question_is_noticed(registry: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = registry.parent / "r.jsonl"
    resume(registry, file)
    before = file.read_bytes()
    config = registry.parent / "lstm-audit.toml"
    config.write_text('ignore = ["LA108"]\n')
    for more in (["--config", str(config)], ["--layers", "lstm*"], ["--no-init"]):
        done = run("audit", "--resume", str(file), *more, str(registry))
        assert done.exit_code == 2
        assert "another policy" in done.stderr
    monkeypatch.setattr(results, "__version__", "99.0")
    done = run("audit", "--resume", str(file), str(registry))
    assert done.exit_code == 2
    assert "this is 99.0" in done.stderr
    assert file.read_bytes() == before


def test_a_file_of_another_kind_is_left_alone(registry: Path) -> None:
    file = registry.parent / "notes.jsonl"
    for text in ('{"a": 1}\n', "no newline", '{"schema":"lstm-audit/report/1"}\n'):
        file.write_text(text)
        done = run("audit", "--resume", str(file), str(registry))
        assert done.exit_code == 2
        assert "no results" in done.stderr
        assert file.read_text() == text


def test_the_results_may_lie_among_the_inputs(registry: Path) -> None:
    file = registry / "results.jsonl"
    rows = resume(registry, file)
    data = file.read_bytes()
    assert b"results.jsonl" not in data
    assert resume(registry, file) == rows
    assert file.read_bytes() == data


def test_no_credential_is_kept(tmp_path: Path) -> None:
    line = line_of(Input("https://user:pa55@h/m.pt?sig=5ecret", named=True), None, ())
    assert b"https://h/m.pt" in line
    assert b"5ecret" not in line
    assert b"pa55" not in line


def test_check_and_its_verdict(registry: Path) -> None:
    file = registry.parent / "r.jsonl"
    plain = run("check", "--statistics", str(registry))
    kept = run("check", "--statistics", "--resume", str(file), str(registry))
    again = run("check", "--statistics", "--resume", str(file), str(registry))
    assert plain.exit_code == kept.exit_code == again.exit_code == 3
    assert plain.stdout == kept.stdout == again.stdout
    baseline = run("check", "--resume", str(file), "--baseline", "b.json", str(registry))
    assert baseline.exit_code == 2
    assert "exclude each other" in baseline.stderr


def test_inputs_elsewhere_are_asked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each of them is, before it is read; in the order of the inputs all the same."""
    meeting = threading.Barrier(4)

    def ask(given: Input) -> Input:
        meeting.wait(30)
        return given._replace(facts=(1, given.path))

    monkeypatch.setattr("lstm_audit.resume.with_facts", ask)
    inputs = [Input(f"https://host/{k}.pt", named=True) for k in range(8)]
    assert [given.facts for given in ask_ahead(inputs, 4)] == [(1, one.path) for one in inputs]


def test_jobs_and_resume(registry: Path) -> None:
    one, two = registry.parent / "1.jsonl", registry.parent / "2.jsonl"
    assert resume(registry, one) == resume(registry, two, "--jobs", "2")
    assert one.read_bytes() == two.read_bytes()
    two.write_bytes(two.read_bytes()[:9000])
    resume(registry, two, "--jobs", "2")
    assert one.read_bytes() == two.read_bytes()


STOPPING = """
import itertools, time
from lstm_audit import fleet
from lstm_audit.cli import main
read, number = fleet.audit_input, itertools.count()
def audit_input(given, request):
    if next(number) == 200:
        time.sleep(99)
    return read(given, request)
fleet.audit_input = audit_input
main()
"""
"""The command, which stops in the middle of its files, so that no machine is too quick."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_ended(number: signal.Signals, tmp_path: Path) -> None:
    folder, file, fresh = tmp_path / "many", tmp_path / "r.jsonl", tmp_path / "fresh.jsonl"
    folder.mkdir()
    for k in range(400):
        (folder / f"{k:03}.pt").symlink_to(CLEAN / "lstm.pt")
        if k:
            (folder / f"{k:03}.pt").unlink()
            shutil.copy(CLEAN / "lstm.pt", folder / f"{k:03}.pt")
    asked = ["audit", "-q", "-f", "csv", str(folder)]
    words = [sys.executable, "-m", "lstm_audit", *asked]
    root = str(Path(lstm_audit.__file__).parents[1])
    command = subprocess.Popen(
        [sys.executable, "-c", STOPPING, *asked, "--resume", str(file)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=untraced(),
        cwd=root,
    )
    while command.poll() is None and not (file.exists() and file.read_bytes().count(b"\n") > 20):
        time.sleep(0.002)
    command.send_signal(number)
    _, said = command.communicate(timeout=60)
    lines = file.read_bytes().count(b"\n")
    assert 20 < lines <= 201
    if number == signal.SIGINT:
        assert command.returncode == 130
        assert b"the same command goes on" in said
    done = subprocess.run(
        [*words, "--resume", str(file)], capture_output=True, cwd=root, env=untraced()
    )
    again = subprocess.run(
        [*words, "--resume", str(fresh)], capture_output=True, cwd=root, env=untraced()
    )
    assert done.returncode == again.returncode == 0, done.stderr
    assert done.stdout == again.stdout
    assert file.read_bytes() == fresh.read_bytes()


def test_inputs_that_are_listed_are_audited_as_before() -> None:
    inputs = expand([str(CLEAN)])
    assert audit_inputs(inputs).to_dict() == lstm_audit.audit(CLEAN).to_dict()
