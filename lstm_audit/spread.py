"""Processes that each read several inputs at once, in threads: for what is waited for more than it
is computed.

Comes in: a task, and inputs from many threads. Goes out: their results; None for an input whose
process died before it answered. Promise: the processes are those of `worker`, isolated as those
are; whoever asks them waits for no input but its own.

Threads overlap what the network takes, but of one process only one thread computes at a time: that
is what more processes are for. What goes to a process is a number and an input, what comes back
the number and the result, in any order.
"""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import count
from queue import SimpleQueue
from typing import Generic, TypeVar

from .worker import Given, end_child, pipe_of, receive, send, start_child

SharedAnswer = TypeVar("SharedAnswer")

# Threads that keep a process computing where an answer takes 50 ms and a file 5 ms: fewer of them
# are not worth a process of their own.
THREADS = 16


def processes_for(jobs: int) -> int:
    """Over how many processes so many threads are spread: one means that none is started."""
    return max(1, min(os.cpu_count() or 1, jobs // THREADS))


class Shared(Generic[Given, SharedAnswer]):
    """One child process, and the inputs that it reads at the time."""

    def __init__(
        self, task: Callable[[Given], SharedAnswer], threads: int, libraries: Sequence[str]
    ) -> None:
        self.is_over = False
        self._process = start_child(task, threads, libraries)
        self._numbers = count()
        self._waiting: dict[int, Future[SharedAnswer]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._hear, daemon=True).start()

    def run(self, given: Given) -> SharedAnswer:
        """One input's result; raises `EOFError` when the process died before it was there."""
        answer: Future[SharedAnswer] = Future()
        with self._lock:
            if self.is_over:
                raise EOFError
            number = next(self._numbers)
            self._waiting[number] = answer
            with suppress(BrokenPipeError):  # `_hear` meets it too
                send(pipe_of(self._process.stdin), (number, given))
        return answer.result()

    def _hear(self) -> None:
        """A thread that hands out results until the process is gone."""
        with suppress(EOFError):
            while True:
                number, result = receive(pipe_of(self._process.stdout))
                self._waiting.pop(number).set_result(result)
        with self._lock:
            self.is_over = True
            for answer in self._waiting.values():
                answer.set_exception(EOFError())

    def stop(self) -> None:
        """End the process; whoever waits for its results sees them end."""
        end_child(self._process)


class Spread(Generic[Given, SharedAnswer]):
    """Threads of several processes, each started when it is first needed, and anew when it died.
    `libraries`: see `start_child`.
    """

    def __init__(
        self, task: Callable[[Given], SharedAnswer], jobs: int, libraries: Sequence[str] = ()
    ) -> None:
        processes = processes_for(jobs)
        self._task, self._threads = task, -(-jobs // processes)
        self._libraries = libraries
        self._shared: list[Shared[Given, SharedAnswer] | None] = [None] * processes
        self._is_over = False
        self._lock = threading.Lock()
        # A number for each thread: that of its process. They take turns.
        self._idle: SimpleQueue[int] = SimpleQueue()
        for k in range(self._threads * processes):
            self._idle.put(k % processes)

    def run(self, given: Given) -> SharedAnswer | None:
        """One input's result; None when the process died, of this input or of another. Raises
        `EOFError` once all were stopped.
        """
        k = self._idle.get()
        try:
            return self._reach(k).run(given)
        except EOFError:
            if self._is_over:
                raise
            return None
        finally:
            self._idle.put(k)

    def _reach(self, k: int) -> Shared[Given, SharedAnswer]:
        with self._lock:
            if self._is_over:
                raise EOFError
            shared = self._shared[k]
            if shared is None or shared.is_over:
                shared = self._shared[k] = Shared(self._task, self._threads, self._libraries)
            return shared

    def stop(self) -> None:
        """End the processes."""
        with self._lock:
            self._is_over = True
            for shared in filter(None, self._shared):
                shared.stop()
