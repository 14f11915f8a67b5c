"""How fast and how lean an audit is, against the alternatives in the same run.

    python tests/benchmarks/audit.py [--rounds 15] [--folder DIR]

Needs torch and about 2.2 GB in the folder.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
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
        **{f"`lstm-audit audit`, {name}": [TOOL, "audit", str(path)] for name, path in files.items()},
        "`torch.load(weights_only=True)` + print, 20 MB pt": [sys.executable, "-c", LOAD, str(files["20 MB pt"])],
        "`torch.load(weights_only=True)` + print, 1 GB pt": [sys.executable, "-c", LOAD, str(files["1 GB pt"])],
    }
    return table(in_turn(commands, rounds), '`python -c "import click"`')


def in_process(folder: Path, rounds: int) -> str:
    """One small checkpoint with all its statistics, and a folder of a thousand, on one core."""
    path = folder / "small.pt"
    write(path, 0)
    single = statistics.median(_milliseconds(lambda: audit(path)) for _ in range(20 * rounds))
    many = folder / "many"
    many.mkdir()
    for k in range(1000):
        (many / f"{k}.pt").write_bytes(path.read_bytes())
    rate = 1000 / statistics.median(_milliseconds(lambda: audit(many)) for _ in range(3)) * 1e3
    return (
        "| in process | |\n|---|--:|\n"
        f"| one checkpoint, 2 layers, bidirectional, H = 128 | {single:.2f} ms |\n"
        f"| a folder of 1,000 such files, one core | {rate:.0f} files/s |"
    )


def _milliseconds(run: object) -> float:
    started = time.perf_counter()
    run()  # type: ignore[operator]  # a thunk
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
