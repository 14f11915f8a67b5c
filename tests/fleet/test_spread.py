"""Threads over several processes: what they read, and what becomes of it when one of them dies.

The files lie here, and are read as if they did not, so that no library is needed; a test of
tests/raw/test_remote.py asks a web server.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from children import alive, children, killed_by, own_workers
from command import CLEAN, MODEL, TRUNCATED, environment

import lstm_audit
from lstm_audit import fleet, spread
from lstm_audit.inputs import Input
from lstm_audit.pipeline import Request, audit_input
from lstm_audit.raw import locators
from lstm_audit.raw.locators import find_libraries, is_reached_alike
from lstm_audit.spread import Spread, processes_for

TASK = partial(audit_input, request=Request())
CELL = CLEAN / "cell.pt"
PATHS = [path for path in sorted(CLEAN.glob("*.pt")) if path != CELL][:6]


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four jobs are enough for two of them."""
    monkeypatch.setattr(spread, "THREADS", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


@pytest.fixture
def elsewhere(two_processes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is audited is read as if it lay elsewhere."""
    monkeypatch.setattr(fleet, "is_remote", lambda path: True)
    monkeypatch.setattr(locators, "is_reached_alike", lambda path: True)


@pytest.fixture
def reading(two_processes: None) -> Iterator[Spread[Input, object]]:
    made: Spread[Input, object] = Spread(TASK, 4)
    yield made
    made.stop()


def test_as_many_processes_as_have_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    assert [processes_for(jobs) for jobs in (1, 8, 16, 31, 32, 64, 1000)] == [1, 1, 1, 1, 2, 4, 4]


def test_each_input_has_its_own_result(reading: Spread[Input, object]) -> None:
    inputs = [Input(str(path), named=True) for path in PATHS * 4]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(reading.run, inputs))
    assert found == list(map(TASK, inputs))
    assert len(own_workers()) == 2


def test_a_whole_run(elsewhere: None) -> None:
    """In the order of the inputs, a broken one among them."""
    paths = [*PATHS[:3], TRUNCATED, *PATHS[3:]]
    alone = lstm_audit.audit(paths)
    assert alone.errors
    assert lstm_audit.audit(paths, jobs=4).to_dict() == alone.to_dict()


@pytest.mark.parametrize("does", ["import os; os.kill(os.getpid(), 9)", "raise ValueError"])
def test_a_process_that_dies_takes_one_input_with_it(
    elsewhere: None, does: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that were under way in it are read again, each in a process of its own."""
    killed_by(monkeypatch, f"if 'cell.pt' in given.path: {does}")
    result = lstm_audit.audit([*PATHS[:3], CELL, *PATHS[3:]], jobs=4)
    (error,) = result.errors
    assert (error.path, error.kind) == (str(CELL), "limit")
    assert "the process that read it died" in error.message
    assert [file.path for file in result.files] == list(map(str, PATHS))


def test_nothing_is_started_behind_the_end(reading: Spread[Input, object]) -> None:
    given = Input(str(MODEL), named=True)
    assert reading.run(given) == TASK(given)
    reading.stop()
    with pytest.raises(EOFError):
        reading.run(given)
    assert not own_workers()


HANGING = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from lstm_audit import fleet, spread, worker
from lstm_audit.cli import main
from lstm_audit.raw import locators
spread.THREADS, fleet.is_remote, locators.is_reached_alike = 2, bool, bool
spread.os.cpu_count = lambda: 2
worker.START = worker.START.replace("serve()", "import time, lstm_audit.pipeline as p; "
    "p.audit_input = lambda given, request: time.sleep(99); serve()")
sys.argv = ["lstm-audit", "audit", "-q", "-j", "4", *sys.argv[1:]]
main()
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are asked of /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_run(sent: signal.Signals) -> None:
    """In the middle of files that never end."""
    run = subprocess.Popen(
        [sys.executable, "-c", HANGING, *PATHS],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 30
    while len(started := children(run.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert len(started) == 2
    run.send_signal(sent)
    _, errors = run.communicate(timeout=30)
    assert b"Traceback" not in errors
    while any(map(alive, started)) and time.monotonic() < until + 30:
        time.sleep(0.02)
    assert not any(map(alive, started))


def test_what_only_this_process_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system in memory, options that a program has set, a class of its own."""
    assert is_reached_alike("https://host/a.pt")
    assert is_reached_alike("s3://bucket/a.pt")
    assert not is_reached_alike("memory://a.pt")
    fsspec = pytest.importorskip("fsspec", reason="fsspec reads what lies elsewhere: .[remote]")
    assert find_libraries() == [str(Path(fsspec.__file__).parents[1])]
    pytest.importorskip("aiohttp", reason="fsspec's web files need aiohttp: .[remote]")
    fsspec.get_filesystem_class("http")
    assert is_reached_alike("http://host/a.pt")
    memory = fsspec.get_filesystem_class("memory")
    own = type("Own", (memory,), {"__module__": "my_program"})
    registry = sys.modules["fsspec.registry"]
    monkeypatch.setitem(registry._registry, "http", own)
    assert not is_reached_alike("http://host/a.pt")
    monkeypatch.setitem(registry.known_implementations, "hf", {"class": "my.Own"})
    assert not is_reached_alike("hf://org/repo/a.pt")
    assert is_reached_alike("https://host/a.pt")
    monkeypatch.setitem(fsspec.config.conf, "https", {"client_kwargs": {}})
    assert not is_reached_alike("https://host/a.pt")
