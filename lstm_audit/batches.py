"""Inputs over any executor, several a task.

Comes in: an executor of the caller's, a function, inputs. Goes out: their results, in order.
Promise: at most `WINDOW` inputs are under way or waiting; a task that is lost, with its worker or
by a defect, is tried again input by input, so that one input's failure is never another's.

A task of dask costs its scheduler about a millisecond, which is what a file takes: so files that
lie here go together. The first tasks are of one file each: few files are shared by all workers.
What lies elsewhere is waited for, not computed: each is a task of its own.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import TypeVar

from .worker import WINDOW, Given, wait_for

TaskAnswer = TypeVar("TaskAnswer")

# Inputs of a task: up to so many inputs that were sent, and then.
SIZES = ((16, 1), (80, 4))
MOST = 16


def over_executor(
    executor: Executor,
    run: Callable[[Given], TaskAnswer],
    inputs: Iterable[Given],
    here: Callable[[Given], TaskAnswer | None],
    alone: Callable[[Given], bool],
    fail: Callable[[Given, str], TaskAnswer],
) -> Iterator[TaskAnswer]:
    """`here` gives the result of an input that need not be sent anywhere, and None for others;
    those that are `alone` are a task of their own; `fail` makes the result of one whose task was
    lost. Where the executor itself is broken, its error is raised.
    """
    waiting: deque[tuple[Sequence[Given], Future[list[TaskAnswer]]]] = deque()
    under_way = 0
    for batch in gather_batches(inputs, lambda one: here(one) is not None or alone(one)):
        own = here(batch[0])
        future = executor.submit(run_all, run, batch) if own is None else _settle([own])
        waiting.append((batch, future))
        under_way += len(batch)
        while under_way > WINDOW - MOST:
            under_way -= len(waiting[0][0])
            yield from _results_of(executor, run, *waiting.popleft(), fail)
    while waiting:
        yield from _results_of(executor, run, *waiting.popleft(), fail)


def gather_batches(
    inputs: Iterable[Given], alone: Callable[[Given], bool]
) -> Iterator[Sequence[Given]]:
    """Inputs that follow one another, together; see `SIZES`."""
    batch: list[Given] = []
    sent = 0
    for one in inputs:
        if alone(one):
            if batch:
                yield batch
            batch = []
            yield [one]
            continue
        batch.append(one)
        sent += 1
        if len(batch) >= next((size for most, size in SIZES if sent <= most), MOST):
            yield batch
            batch = []
    if batch:
        yield batch


def run_all(run: Callable[[Given], TaskAnswer], batch: Sequence[Given]) -> list[TaskAnswer]:
    """One task."""
    return [run(one) for one in batch]


def _settle(results: list[TaskAnswer]) -> "Future[list[TaskAnswer]]":
    future: Future[list[TaskAnswer]] = Future()
    future.set_result(results)
    return future


def _results_of(
    executor: Executor,
    run: Callable[[Given], TaskAnswer],
    batch: Sequence[Given],
    future: "Future[list[TaskAnswer]]",
    fail: Callable[[Given, str], TaskAnswer],
) -> list[TaskAnswer]:
    try:
        return wait_for(future)
    except BrokenExecutor:
        raise
    except Exception as error:  # noqa: BLE001 # every executor has its own for a lost worker
        if len(batch) == 1:
            said = f"the worker that read it was lost ({type(error).__name__})"
            return [fail(batch[0], said)]
    futures = [executor.submit(run_all, run, [one]) for one in batch]
    pairs = zip(batch, futures, strict=True)
    return [
        result for one, again in pairs for result in _results_of(executor, run, [one], again, fail)
    ]
