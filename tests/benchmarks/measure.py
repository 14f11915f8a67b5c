"""What the benchmarks share: whole processes timed in turn, with their peak memory, and a Markdown
table.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
TOOL = str(SCRIPTS / "lstm-audit")


Before = Callable[[str], None]
"""Called with the name of a command before each of its runs, outside of the time."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds of several runs, and the largest peak of resident memory in MiB."""

    name: str
    runs: tuple[float, ...]
    peak: float

    @property
    def median(self) -> float:
        """Milliseconds, the median run."""
        return statistics.median(self.runs)


def process(command: Sequence[str], folder: Path | None = None) -> tuple[float, float]:
    """Run a command once, in a folder: milliseconds, and MiB of peak resident memory (wait4)."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    child = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment, cwd=folder
    )
    _, status, usage = os.wait4(child.pid, 0)
    elapsed = (time.perf_counter() - started) * 1e3
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode not in (0, 1):
        assert child.stderr is not None
        raise SystemExit(f"{command}: exit {child.returncode}\n{child.stderr.read().decode()}")
    return elapsed, usage.ru_maxrss / 1024


def in_turn(
    commands: Mapping[str, Sequence[str]],
    rounds: int,
    before: Before = lambda name: None,
    folder: Path | None = None,
) -> list[Timing]:
    """Every command once a round, so that a slow minute of the machine hits all alike; the first
    round warms up.
    """
    runs: dict[str, list[float]] = {name: [] for name in commands}
    peaks = dict.fromkeys(commands, 0.0)
    for turn in range(rounds + 1):
        for name, command in commands.items():
            before(name)
            elapsed, peak = process(command, folder)
            if turn:
                runs[name].append(elapsed)
            peaks[name] = max(peaks[name], peak)
    return [Timing(name, tuple(runs[name]), peaks[name]) for name in commands]


def table(timings: Sequence[Timing], base: str) -> str:
    """Markdown: median, fastest, ratio to `base`, peak memory."""
    reference = next(t.median for t in timings if t.name == base)
    lines = ["| what | median ms | fastest ms | ratio | peak MiB |", "|---|--:|--:|--:|--:|"]
    for t in timings:
        ratio = f"{t.median / reference:.2f}"
        lines.append(f"| {t.name} | {t.median:.1f} | {min(t.runs):.1f} | {ratio} | {t.peak:.0f} |")
    return "\n".join(lines)
