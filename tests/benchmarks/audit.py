"""How fast and how lean an audit is, against the alternatives in the same run.

    python tests/benchmarks/audit.py [--rounds 15] [--folder DIR]

Needs torch and about 2.2 GB in the folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from files import write
from measure import TOOL, in_turn, table

from lstm_audit.audit import audit

LOAD = """
import sys, torch
state = torch.load(sys.argv[1], weights_only=True)
H = state["lstm.bias_ih_l0"].numel() // 4
print(torch.sigmoid((state["lstm.bias_ih_l0"] + state["lstm.bias_hh_l0"])[H : 2 * H]).mean())
"""


def whole_processes(folder: Path, rounds: int) -> str:
    """The command against `import click` and against the script that people write."""
    names = [(size, kind) for size in ("20 MB", "1 GB") for kind in ("pt", "safetensors")]
    files = {f"{size} {kind}": folder / f"{size.replace(' ', '')}.{kind}" for size, kind in names}
    for name, path in files.items():
        write(path, 1024 if name.startswith("1 GB") else 20)
    commands: dict[str, Sequence[str]] = {
        "`python -c pass`": [sys.executable, "-c", "pass"],
        '`python -c "import click"`': [sys.executable, "-c", "import click"],
        **{f"`audit --no-init`, {name}": [TOOL, "audit", "--no-init", str(path)] for name, path in files.items()},
        "`audit`, with forensics and rules, 1 GB pt": [TOOL, "audit", str(files["1 GB pt"])],
        "`check`, 1 GB pt": [TOOL, "check", str(files["1 GB pt"])],
        "`torch.load(weights_only=True)` + print, 20 MB pt": [sys.executable, "-c", LOAD, str(files["20 MB pt"])],
        "`torch.load(weights_only=True)` + print, 1 GB pt": [sys.executable, "-c", LOAD, str(files["1 GB pt"])],
    }
    return table(in_turn(commands, rounds), '`python -c "import click"`')


def in_process(folder: Path, rounds: int) -> str:
    """One small checkpoint with all its statistics, and a folder of a thousand, on one core."""
    path = folder / "small.pt"
    write(path, 0)
    many = folder / "many"
    many.mkdir()
    for k in range(1000):
        (many / f"{k}.pt").write_bytes(path.read_bytes())
    lines = ["| in process | numbers only | with forensics and rules |", "|---|--:|--:|"]
    singles = [_median(20 * rounds, path, numbers_only) for numbers_only in (True, False)]
    rates = [1e6 / _median(3, many, numbers_only) for numbers_only in (True, False)]
    lines.append("| one checkpoint, 2 layers, bidirectional, H = 128 | {:.2f} ms | {:.2f} ms |".format(*singles))
    lines.append("| a folder of 1,000 such files, one core | {:.0f} files/s | {:.0f} files/s |".format(*rates))
    return "\n".join(lines)


def _median(rounds: int, path: Path, numbers_only: bool) -> float:
    """Milliseconds of an audit, the median of several."""
    return statistics.median(_milliseconds(lambda: audit(path, numbers_only=numbers_only)) for _ in range(rounds))


def _milliseconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    """Print both tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15)
    options.add_argument("--folder", type=Path)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        print(whole_processes(Path(folder), given.rounds))
        print()
        print(in_process(Path(folder), given.rounds))


if __name__ == "__main__":
    main()
