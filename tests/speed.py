"""What may not hang: limits of CPU time that hold on a slow, a busy and a traced machine.

These limits tell a bound from none (seconds from minutes). How fast something is, is shown by the
benchmarks.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LOOP = 0.08
"""Seconds that `work` takes on the machine for which limits are written."""

TRACED = 10
"""Coverage follows every line of the package, and none of `work`."""


def work() -> None:
    table: dict[int, bytes] = {}
    for k in range(300_000):
        table[k % 1000] = str(k).encode()[::-1]


def slowness() -> float:
    """How many times slower this machine is than the one for which limits are written."""
    times = []
    for _ in range(3):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return max(1.0, min(times) / LOOP)


def fits(spent: float, seconds: float) -> bool:
    """Whether CPU seconds spent in this process keep a limit; the machine is measured if need be."""
    traced = TRACED if sys.gettrace() else 1
    return spent < seconds or spent < seconds * traced * slowness()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail where the block takes more CPU seconds of this process."""
    started = time.process_time()
    yield
    spent = time.process_time() - started
    assert fits(spent, seconds), f"{spent:.1f} s of CPU, where {seconds} are enough"
