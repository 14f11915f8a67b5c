"""How fast and how lean an audit is, against the alternatives in the same run.

    python tests/benchmarks/audit.py [--rounds 15] [--folder DIR] [--large 1024] [--files 1000]

Needs torch and about 2.2 GB in the folder, less with a smaller --large (megabytes of what stands
as 1 GB).
"""

import argparse
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

from files import write
from measure import TOOL, Timing, in_turn, table

from lstm_audit.fleet import audit

CLICK = '`python -c "import click"`'
SCRIPT = "`torch.load(weights_only=True)` + print"
LOAD = """
import sys, torch
state = torch.load(sys.argv[1], weights_only=True)
H = state["lstm.bias_ih_l0"].numel() // 4
print(torch.sigmoid((state["lstm.bias_ih_l0"] + state["lstm.bias_hh_l0"])[H : 2 * H]).mean())
"""

WITH_TORCH = """
import statistics, sys, time, torch

def stats(values):
    low, middle, high = torch.quantile(values, torch.tensor([0.05, 0.5, 0.95], dtype=torch.float64))
    return [x.item() for x in (values.mean(), values.std(correction=0), values.min(), low, middle, high, values.max())]

def audit(path):
    state = {name: value.double() for name, value in torch.load(path, weights_only=True).items() if "bias" in name}
    found = []
    for name, ih in state.items():
        if "bias_ih" in name:
            hh = state[name.replace("_ih", "_hh")]
            both, apart = (ih + hh).chunk(4), (hh - ih).chunk(4)
            active = torch.sigmoid(both[1])
            scale = 1 / torch.log1p(torch.exp(-both[1]))
            halves = scale * 0.6931471805599453
            found += [stats(values) for values in (*both, *apart, active, scale, halves)]
            found.append(torch.histc(active, 16, 0, 1).tolist())
    return found

runs = []
for _ in range(int(sys.argv[2]) + 1):
    started = time.perf_counter()
    audit(sys.argv[1])
    runs.append((time.perf_counter() - started) * 1e3)
print(f"{statistics.median(runs[1:]):.2f} ms, fastest {min(runs[1:]):.2f}")
"""
"""The numbers of a report, in a process that has torch at hand."""


def whole_processes(folder: Path, rounds: int, large: int) -> str:
    """The command against `import click` and against the script that people write; no configuration
    file is near.
    """
    names = [(size, kind) for size in ("20 MB", "1 GB") for kind in ("pt", "safetensors")]
    files = {f"{size} {kind}": folder / f"{size.replace(' ', '')}.{kind}" for size, kind in names}
    for name, path in files.items():
        write(path, large if name.startswith("1 GB") else 20)
    commands: dict[str, Sequence[str]] = {
        "`python -c pass`": [sys.executable, "-c", "pass"],
        CLICK: [sys.executable, "-c", "import click"],
        **{f"`audit`, {name}": [TOOL, "audit", str(path)] for name, path in files.items()},
        "`audit --no-init`, 20 MB pt": [TOOL, "audit", "--no-init", str(files["20 MB pt"])],
        "`audit --no-init`, 1 GB pt": [TOOL, "audit", "--no-init", str(files["1 GB pt"])],
        "`check`, 1 GB pt": [TOOL, "check", str(files["1 GB pt"])],
        f"{SCRIPT}, 20 MB pt": [sys.executable, "-c", LOAD, str(files["20 MB pt"])],
        f"{SCRIPT}, 1 GB pt": [sys.executable, "-c", LOAD, str(files["1 GB pt"])],
    }
    timings = in_turn(commands, rounds, folder=folder)
    return "\n\n".join([table(timings, CLICK), *_times_faster(timings)])


def _times_faster(timings: Sequence[Timing]) -> Iterator[str]:
    """How many times faster than the script an audit is, file by file, by the medians."""
    medians = {t.name: t.median for t in timings}
    for command, size in product(("audit", "audit --no-init"), ("20 MB", "1 GB")):
        script, ours = medians[f"{SCRIPT}, {size} pt"], medians[f"`{command}`, {size} pt"]
        yield f"`{command}`, {size}: {script / ours:.0f} times faster than the script"


def in_process(folder: Path, rounds: int, files: int) -> str:
    """One small checkpoint with all its statistics, and a folder of a thousand, on one core."""
    path = folder / "small.pt"
    write(path, 0)
    many = folder / "many"
    many.mkdir()
    for k in range(files):
        (many / f"{k}.pt").write_bytes(path.read_bytes())
    lines = ["| in process | numbers only | with forensics and rules |", "|---|--:|--:|"]
    singles = [_runs(20 * rounds, path, numbers_only) for numbers_only in (True, False)]
    cells = [f"{statistics.median(runs):.2f} ms, fastest {min(runs):.2f}" for runs in singles]
    lines.append(
        f"| one checkpoint of a run, 2 layers, bidirectional, H = 128 | {' | '.join(cells)} |"
    )
    singles = [
        _runs(20 * rounds, path, numbers_only, forget=True) for numbers_only in (True, False)
    ]
    cells = [f"{statistics.median(runs):.2f} ms, fastest {min(runs):.2f}" for runs in singles]
    lines.append(f"| the first of its kind, whose names and pickle are new | {' | '.join(cells)} |")
    folders = [_runs(5, many, numbers_only) for numbers_only in (True, False)]
    cells = [
        f"{1e3 * files / statistics.median(runs):.0f} files/s, "
        f"fastest {1e3 * files / min(runs):.0f}"
        for runs in folders
    ]
    lines.append(f"| a folder of {files:,} such files, one core | {' | '.join(cells)} |")
    command = [sys.executable, "-c", WITH_TORCH, str(path), str(20 * rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines.append(
        f"| one checkpoint, `torch.load` and the same numbers with torch | {done.stdout.strip()} "
        "| |"
    )
    return "\n".join(lines)


def _runs(rounds: int, path: Path, numbers_only: bool, forget: bool = False) -> list[float]:
    """Milliseconds of several audits, after one that warms up; `forget` what was remembered of the
    one before.
    """
    runs = []
    remembered = _caches()
    for _ in range(rounds + 1):
        if forget:
            for cache in remembered:
                cache.cache_clear()
        runs.append(_milliseconds(lambda: audit(path, numbers_only=numbers_only)))
    return runs[1:]


def _caches() -> list[Any]:
    """Whatever the package remembers from one file for the next, wherever it does."""
    kind = type(lru_cache(_caches))
    made = [one for one in gc.get_objects() if type(one) is kind]
    return [one for one in made if one.__module__.startswith("lstm_audit.")]


def _milliseconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--folder", type=Path)
    options.add_argument("--large", type=int, default=1024)
    options.add_argument("--files", type=int, default=1000)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(whole_processes(Path(folder), given.rounds, given.large))
        print()
        print(in_process(Path(folder), given.rounds, given.files))


if __name__ == "__main__":
    main()
