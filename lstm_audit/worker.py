"""A process of its own for each job of `--jobs`, which a bad file may kill or hang alone.

Comes in: a task, and inputs for it. Goes out: their results, in order. Promise: the interpreters
that are started see the standard library and this package, and nothing of the working directory or
the environment; they end when their parent does.

The parent's side is `Worker` (one input at a time) or `spread.Shared` (several), the child's is
`serve`: the task goes through a pipe once, then input after input, and the results come back
through another. A message is its length in eight bytes and a pickle, which is safe here: both ends
are this program, and what a file says never becomes one.
"""

import os
import pickle
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, BinaryIO, Generic, TypeVar

Given = TypeVar("Given")
WorkerAnswer = TypeVar("WorkerAnswer")

# Inputs of an executor that are under way, or whose results wait for an earlier one.
WINDOW = 256

# What one file may take in a worker by the clock on the wall; the promise is 2 s of computing.
SECONDS = 60.0

# Bytes of address space that a worker may take; the promise is 512 MiB for a file.
MEMORY = 2 << 30

# Seconds after which whoever waits for a result looks whether Ctrl-C was pressed.
LOOK = 0.25

# -I leaves out the working directory, PYTHON* variables and the user's site; the place of this
# package comes last, so that no neighbour of it can stand for a module of the standard library.
START = "import sys; sys.path += sys.argv[1:]; from lstm_audit.worker import serve; serve()"
HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


# Why not concurrent.futures.ProcessPoolExecutor. Its workers import the caller's main module, see
# the working directory and the environment (a checkpoint's folder may hold a `json.py`), and one
# killed worker breaks the whole pool. Here a process is an interpreter started with -I on a fixed
# command; it is told a task through a pipe; and its death is one file's error.
class Worker(Generic[Given, WorkerAnswer]):
    """One child process, started when it is first asked; another takes its place when it dies.

    `task` is a function of a module of this package, or a `partial` of one; `fail` makes the result
    of an input that its process did not survive, of the input and a sentence.
    """

    def __init__(
        self, task: Callable[[Given], WorkerAnswer], fail: Callable[[Given, str], WorkerAnswer]
    ) -> None:
        self._task, self._fail = task, fail
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False
        self._lock = threading.Lock()

    def run(self, given: Given, seconds: float = SECONDS) -> WorkerAnswer:
        """One input's result; a failure of that input when the process dies or takes too long.
        Raises `EOFError` once it was stopped.
        """
        process = self._reach()
        try:
            send(pipe_of(process.stdin), given)
            if _ready(pipe_of(process.stdout), seconds):
                result: WorkerAnswer = receive(pipe_of(process.stdout))
                return result
            problem = f"it took over {seconds:.0f} s to read"
        except (EOFError, BrokenPipeError):
            problem = f"the process that read it died{_cause(process)}"
        with self._lock:
            end_child(process)
            self._process = None
        return self._fail(given, problem)

    # Under the lock, for Ctrl-C may come while a thread starts a process: one that is not known of
    # yet would stay behind.
    def _reach(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._is_over:
                raise EOFError
            self._process = self._process or start_child(self._task)
            return self._process

    def stop(self) -> None:
        """End the process, whatever it does; whoever waits for its results sees them end."""
        with self._lock:
            self._is_over = True
            if self._process is not None:
                end_child(self._process)


def start_child(
    task: Callable[[Any], Any], threads: int = 1, libraries: Iterable[str] = ()
) -> "subprocess.Popen[bytes]":
    """An interpreter that does the task for whatever input it is sent, `threads` of them at once.
    `libraries` are folders in which it looks for modules last of all.

    It is a session of its own: Ctrl-C at the terminal is for the parent alone.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-c", START, HOME, *libraries],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    with suppress(BrokenPipeError):  # dead already: who asks it meets that too
        send(pipe_of(process.stdin), (task, threads))
    return process


def end_child(process: "subprocess.Popen[bytes]") -> None:
    """End it, whatever it does."""
    process.kill()
    process.wait()


# A thread for each process does the waiting: reading a pipe releases the interpreter lock, so the
# threads cost nothing, and results can be handed on in the order of the inputs.
def over_processes(
    inputs: Iterable[Given],
    task: Callable[[Given], WorkerAnswer],
    fail: Callable[[Given, str], WorkerAnswer],
    jobs: int,
    here: Callable[[Given], WorkerAnswer | None],
) -> Iterator[WorkerAnswer]:
    """Results in order, by a thread a job, each with a process of its own, which dies with its
    input and no other. `here` gives the result of an input that is this process's own (standard
    input), and None for all others.
    """
    workers = [Worker(task, fail) for _ in range(jobs)]
    idle: SimpleQueue[Worker[Given, WorkerAnswer]] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def run(given: Given) -> WorkerAnswer:
        if (own := here(given)) is not None:
            return own
        worker = idle.get()
        try:
            return worker.run(given)
        finally:
            idle.put(worker)

    pool = ThreadPoolExecutor(jobs)
    try:
        yield from in_order(pool, run, inputs)
    finally:  # Ctrl-C too: first what the threads wait for, then the threads
        pool.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.stop()


def in_order(
    pool: Executor, run: Callable[[Given], WorkerAnswer], inputs: Iterable[Given]
) -> Iterator[WorkerAnswer]:
    """Results in the order of the inputs, of which at most `WINDOW` are under way or waiting."""
    waiting: deque[Future[WorkerAnswer]] = deque()
    for given in inputs:
        waiting.append(pool.submit(run, given))
        if len(waiting) >= WINDOW:
            yield wait_for(waiting.popleft())
    while waiting:
        yield wait_for(waiting.popleft())


# The system hands Ctrl-C to any thread, most often to the main one; but one that has just started a
# process or another thread may take it first. Then Python notes it for the main thread, which goes
# on sleeping until what it waits for is there (2 of 60 runs, interrupted as they began).
def wait_for(answer: "Future[WorkerAnswer]") -> WorkerAnswer:
    """A result of another thread's, once it is there; Ctrl-C ends the waiting soon."""
    while not answer.done():
        with suppress(TimeoutError):
            return answer.result(LOOK)
    return answer.result()


def _cause(process: "subprocess.Popen[bytes]") -> str:
    """What ended a process that closed its pipe."""
    code = process.wait()
    return f" ({signal.Signals(-code).name})" if code < 0 else f" (exit code {code})"


def pipe_of(stream: Any) -> BinaryIO:
    """The end of a pipe that `Popen` was asked for."""
    pipe: BinaryIO = stream
    return pipe


def _ready(pipe: BinaryIO, seconds: float) -> bool:
    return bool(select.select([pipe], [], [], seconds)[0])


def send(pipe: BinaryIO, value: object) -> None:
    """A message; raises BrokenPipeError when the other end is gone."""
    raw = pickle.dumps(value)
    pipe.write(len(raw).to_bytes(8, "little") + raw)
    pipe.flush()


def receive(pipe: BinaryIO) -> Any:
    """The next message; raises EOFError when the other end is gone, also in the middle of one."""
    head = pipe.read(8)
    size = int.from_bytes(head, "little")
    if len(head) < 8 or len(raw := pipe.read(size)) < size:
        raise EOFError
    return pickle.loads(raw)  # noqa: S301 # of our own process, see above


def serve() -> None:
    """The child: results for inputs, until the parent is gone."""
    with suppress(EOFError, BrokenPipeError):
        _serve()
    os._exit(0)


def _serve() -> None:
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever prints must not print into the results
    task, threads = receive(source)
    _limit_memory(threads)
    if threads > 1:
        _serve_many(source, sink, task, threads)
    else:
        _serve_one_by_one(source, sink, task)


# The reading of further inputs goes on in a thread while a task computes: only so can the child
# notice that its parent is gone, and not finish a file that nobody waits for. The task has the main
# thread, which is the only one that takes signals, and so knows deadlines.
def _serve_one_by_one(source: BinaryIO, sink: BinaryIO, task: Callable[[Any], Any]) -> None:
    waiting: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(source, waiting.put), daemon=True).start()
    while True:
        send(sink, task(waiting.get()))


def _serve_many(source: BinaryIO, sink: BinaryIO, task: Callable[[Any], Any], most: int) -> None:
    """Numbered inputs, each in a thread. A defect ends the process: the parent gives each input
    that was under way to a process that has no other, which says what is wrong.
    """
    threads, lock = ThreadPoolExecutor(most), threading.Lock()

    def answer(number: int, given: Any) -> None:
        try:
            result = task(given)
            with lock:
                send(sink, (number, result))
        except BaseException:  # noqa: BLE001 # whatever it is, nobody would see it in this thread
            os._exit(1)

    while True:
        threads.submit(answer, *receive(source))


def _listen(source: BinaryIO, put: Callable[[Any], None]) -> None:
    """A thread that only waits sees the parent's end at once, also in the middle of a file."""
    while True:
        try:
            given = receive(source)
        except EOFError:
            os._exit(0)
        put(given)


def _limit_memory(files: int) -> None:
    """Where the system lets us, a request for more than so many files may take is a MemoryError,
    and so that file's error.
    """
    try:
        import resource  # not every system has it
    except ImportError:
        return

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    with suppress(ValueError, OSError):  # a lower limit holds already
        resource.setrlimit(resource.RLIMIT_AS, (files * MEMORY, hard))
