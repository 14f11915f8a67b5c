"""The processes of --jobs: isolated, each dying for its own file alone, and gone with their parent."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from children import alive, children, killed_by, own_workers
from command import CLEAN, MODEL, environment, shadow

import lstm_audit
from lstm_audit.batches import over_executor
from lstm_audit.facts import FileAudit, FileError
from lstm_audit.fleet import SELDOM, _each, _fail, audit_inputs
from lstm_audit.inputs import Input
from lstm_audit.pipeline import MAX_SECONDS, Request, audit_input, deadline
from lstm_audit.raw.stores import Repository
from lstm_audit.worker import WINDOW, Worker, in_order, start_child

GIVEN = Input(str(MODEL), named=True)
TASK = partial(audit_input, request=Request(seconds=MAX_SECONDS))


def test_a_worker_says_what_this_process_says() -> None:
    worker = Worker(TASK, _fail)
    assert worker.run(GIVEN) == audit_input(GIVEN)
    worker.stop()


def test_a_killed_worker_is_an_error_of_its_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    killed_by(monkeypatch, "import os; 'cell.pt' in given.path and os.kill(os.getpid(), 9)")
    names = ["lstm.pt", "cell.pt", "lstm.pt", "legacy.pt"]
    paths = [CLEAN / name for name in names if (CLEAN / name).exists()]
    result = lstm_audit.audit(paths, jobs=2)
    assert [error.path for error in result.errors] == [str(CLEAN / "cell.pt")]
    assert result.errors[0].kind == "limit"
    assert "SIGKILL" in result.errors[0].message
    assert {file.path for file in result.files} == {str(p) for p in paths if p.name != "cell.pt"}


def test_a_hanging_worker_is_an_error_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    killed_by(monkeypatch, "import time; 'cell.pt' in given.path and time.sleep(99)")
    worker = Worker(TASK, _fail)
    (slow,) = worker.run(Input(str(CLEAN / "cell.pt"), named=True), seconds=3.0)
    assert isinstance(slow, FileError)
    assert slow.kind == "limit"
    assert isinstance(worker.run(GIVEN)[0], FileAudit)  # a new process does the next
    worker.stop()


def test_a_worker_killed_while_it_answers_is_an_error_of_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A long result goes through the pipe in pieces, of which the last never come."""
    half = "os.write(sys.stdout.fileno(), (1 << 20).to_bytes(8, 'little') + bytes(1 << 15))"
    start = f"import os, sys; {half}; os.kill(os.getpid(), 9)"
    monkeypatch.setattr("lstm_audit.worker.START", start)
    worker = Worker(TASK, _fail)
    (lost,) = worker.run(GIVEN)
    assert isinstance(lost, FileError)
    assert "SIGKILL" in lost.message


def test_a_worker_that_dies_before_it_is_asked_is_an_error_of_its_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = subprocess.Popen

    def dead(*words: Any, **more: Any) -> "subprocess.Popen[bytes]":
        process = start(*words, **more)
        process.wait()
        return process

    monkeypatch.setattr("lstm_audit.worker.START", "raise SystemExit(5)")
    monkeypatch.setattr(subprocess, "Popen", dead)
    (lost,) = Worker(TASK, _fail).run(GIVEN)
    assert isinstance(lost, FileError)
    assert "exit code 5" in lost.message


def test_a_worker_that_is_stopped_while_it_starts_leaves_no_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C stops the workers while a thread starts another process."""
    begun, go_on = threading.Event(), threading.Event()

    def start(*words: Any) -> "subprocess.Popen[bytes]":
        begun.set()
        go_on.wait(20)
        return start_child(*words)

    monkeypatch.setattr("lstm_audit.worker.start_child", start)
    worker = Worker(TASK, _fail)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(worker.run, GIVEN)
        assert begun.wait(20)
        stopped = pool.submit(worker.stop)
        with suppress(TimeoutError):
            stopped.result(0.2)
        go_on.set()
    assert not own_workers()
    with pytest.raises(EOFError):
        worker.run(GIVEN)


def test_a_file_that_takes_too_long_here_is_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr("lstm_audit.pipeline.find_lstms", endless)
    (result,) = audit_input(GIVEN, Request(seconds=0.05))
    assert isinstance(result, FileError)
    assert (result.kind, result.message) == ("limit", "it takes more time than a checkpoint does")


@pytest.mark.parametrize("error", [RecursionError, MemoryError])
def test_a_defect_in_one_file_is_its_own_error(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr("lstm_audit.pipeline.find_lstms", broken)
    (result,) = audit_input(GIVEN)
    assert isinstance(result, FileError)
    assert result.kind == "limit"


def test_a_deadline_leaves_the_signal_as_it_was() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    with deadline(MAX_SECONDS):
        assert signal.getitimer(signal.ITIMER_VIRTUAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGVTALRM) is before


def test_nothing_of_the_working_directory_is_imported(tmp_path: Path) -> None:
    shadow(tmp_path)
    command = Path(sys.executable).parent / "lstm-audit"
    source = "import torch\nlstm = torch.nn.LSTM(3, 4)\n"
    for n in range(40):
        (tmp_path / f"net_{n}.py").write_text(source)
    sources = sorted(tmp_path.glob("net_*.py"))
    command_lint = [command, "lint", "-j", "2", *sources]
    for words in (["audit", "-j", "2"], ["check", "-j", "2"], ["audit", "-f", "sarif"]):
        done = subprocess.run(
            [command, *words, MODEL, CLEAN / "cell.pt"], cwd=tmp_path, capture_output=True,
            env={**environment(), "PYTHONPATH": ""}, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        assert not (tmp_path / "RAN").exists(), (tmp_path / "RAN").read_text()
    done = subprocess.run(
        command_lint, cwd=tmp_path, capture_output=True,
        env={**environment(), "PYTHONPATH": ""}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "RAN").exists(), (tmp_path / "RAN").read_text()


def test_any_executor_gives_the_same() -> None:
    alone = lstm_audit.audit(CLEAN)
    with ThreadPoolExecutor(3) as pool:
        assert lstm_audit.audit(CLEAN, executor=pool).to_dict() == alone.to_dict()


def test_a_thread_of_an_executor_is_asked_for_no_signal() -> None:
    """What the command line asks for, as dask runs it: outside the main thread."""
    given = [Input(str(path), named=True) for path in sorted(CLEAN.glob("*.pt"))]
    with ThreadPoolExecutor(3) as pool:
        run = audit_inputs(given, Request(seconds=MAX_SECONDS), executor=pool)
    assert run.files
    assert not run.errors


def test_few_inputs_of_an_executor_are_under_way() -> None:
    """The window bounds what waits, however many inputs there are."""

    class Counting(ThreadPoolExecutor):
        open = most = 0

        def submit(self, *words, **more):  # type: ignore[no-untyped-def]  # a double
            done = super().submit(*words, **more)
            self.open += 1
            self.most = max(self.most, self.open)
            real = done.result

            def result(timeout=None):  # type: ignore[no-untyped-def]  # a double
                self.open -= 1
                return real(timeout)

            done.result = result
            return done

    with Counting(2) as pool:
        assert len(list(in_order(pool, lambda given: (), range(3 * WINDOW)))) == 3 * WINDOW
        assert pool.most == WINDOW


def test_files_of_an_executor_go_together_and_fail_alone() -> None:
    """A task that is lost is tried again input by input: only the input that kills it fails."""
    tasks, seen = [], []

    class Counting(ThreadPoolExecutor):
        def submit(self, task, run, batch):  # type: ignore[no-untyped-def]  # a double
            tasks.append(len(batch))
            return super().submit(task, run, batch)

    def run(given: int) -> int:
        seen.append(given)
        if given == 500:
            raise ValueError("a defect")
        return given

    def answers(pool: ThreadPoolExecutor, inputs: Iterable[int]) -> list[object]:
        return list(
            over_executor(pool, run, inputs, lambda one: None, lambda one: one % 100 == 7,
                          lambda one, said: f"{one}: {said}")
        )  # fmt: skip

    with Counting(2) as pool:
        found = answers(pool, iter(range(1000)))
    wanted: list[object] = list(range(1000))
    wanted[500] = "500: the worker that read it was lost (ValueError)"
    assert found == wanted
    assert tasks[:16].count(1) == 16  # a few files are shared by all workers
    assert max(tasks) == 16
    assert len(tasks) < 1000 // 8 + 16
    assert seen.count(500) == 2
    with Counting(2) as pool:
        assert answers(pool, range(3)) == [0, 1, 2]


def test_an_input_that_stands_already_is_sent_nowhere() -> None:
    with ThreadPoolExecutor(1) as pool:
        found = over_executor(
            pool, lambda one: -one, range(1, 60), lambda one: one if one % 3 == 0 else None,
            lambda one: False, lambda one, said: 0,
        )  # fmt: skip
        assert list(found) == [k if k % 3 == 0 else -k for k in range(1, 60)]


def test_a_script_without_a_main_guard(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"import lstm_audit\nprint(len(lstm_audit.audit([{str(MODEL)!r}] * 1 + "
        f"[{str(CLEAN / 'cell.pt')!r}], jobs=2).files))\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, env=environment()
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def test_standard_input_beside_other_files_with_jobs() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lstm_audit", "audit", "-f", "csv", "-j", "2", "-", CLEAN / "cell.pt"],
        input=MODEL.read_bytes(), capture_output=True, check=False, env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert b"\n'-," in done.stdout  # a spreadsheet must not take it for a formula


def started(tmp_path: Path) -> "subprocess.Popen[bytes]":
    """An audit of many files over two processes, once it has begun."""
    for n in range(3000):
        (tmp_path / f"{n}.pt").write_bytes(MODEL.read_bytes())
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_audit", "audit", "-q", "-j", "2", tmp_path],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment(), start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(children(process.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are asked of /proc")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_run(sent: signal.Signals, tmp_path: Path) -> None:
    process = started(tmp_path)
    workers = children(process.pid)
    assert len(workers) == 2
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
    until = time.monotonic() + 60
    while any(alive(pid) for pid in workers) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in workers)


@contextmanager
def ctrl_c_in_another_thread(begun: threading.Event) -> Iterator[None]:
    """As the system hands it out when threads and processes are just being started: the main thread,
    which alone raises for it, is not woken.
    """

    def take() -> None:
        begun.wait(20)
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    taker = threading.Thread(target=take)
    taker.start()
    yield
    taker.join()


def test_ctrl_c_that_another_thread_took_ends_the_waiting() -> None:
    waits, over, came = threading.Event(), threading.Event(), list[bool]()

    def inputs() -> Iterator[Input]:
        yield GIVEN
        waits.set()

    with ThreadPoolExecutor(1) as pool:
        results = in_order(pool, lambda _: came.append(over.wait(10)), inputs())
        with ctrl_c_in_another_thread(waits), pytest.raises(KeyboardInterrupt):
            next(results)
        assert not came
        over.set()


def test_ctrl_c_waits_for_no_range_of_the_hub() -> None:
    waits, over, came = threading.Event(), threading.Event(), list[bool]()

    class Hub:
        def info(self, path: str) -> None:
            """Its signature is looked at."""

        def open(self, *_: object, **__: object) -> None:
            waits.set()
            came.append(over.wait(10))
            raise OSError

    with ctrl_c_in_another_thread(waits), pytest.raises(KeyboardInterrupt):
        Repository(Hub(), "org/repo/a.pt").fetch([(0, 4), (8, 12)], False)
    assert not came
    over.set()


def test_standard_input_without_end_is_refused() -> None:
    code = (
        "import lstm_audit.raw.source as s; s.MAX_SPOOLED = 1 << 21; from lstm_audit.cli import main; "
        "import sys; sys.argv = ['lstm-audit', 'audit', '-']; main()"
    )
    with Path("/dev/zero").open("rb") as endless:
        done = subprocess.run(
            [sys.executable, "-c", code], stdin=endless, capture_output=True, check=False,
            env=environment(),
        )  # fmt: skip
    assert done.returncode == 3
    assert b"limit" in done.stdout
    assert b"through standard input" in done.stdout


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "model.pt").write_bytes(MODEL.read_bytes())
    listed = os.scandir

    def scandir(path):  # type: ignore[no-untyped-def]  # a double
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = lstm_audit.audit(tmp_path)
    assert [(error.kind, error.path) for error in result.errors] == [
        ("io", str(tmp_path / "closed"))
    ]
    assert len(result.files) == 1


@pytest.mark.parametrize("before", [(700, 10, 10), (0, 10, 10), (50_000, 5, 5)])
def test_the_collector_looks_seldom_while_others_read(before: tuple[int, int, int]) -> None:
    """And as often as before, once the run is over or given up."""
    kept = gc.get_threshold()
    inputs = [GIVEN] * 3
    least = max(before[0], SELDOM) if before[0] else 0
    try:
        gc.set_threshold(*before)
        with ThreadPoolExecutor(2) as pool:
            run = _each(inputs, Request(), 1, pool)
            next(run)
            assert gc.get_threshold() == (least, *before[1:])
            run.close()
            assert gc.get_threshold() == before
            assert len(list(_each(inputs, Request(), 1, pool))) == 3
        assert gc.get_threshold() == before
    finally:
        gc.set_threshold(*kept)
