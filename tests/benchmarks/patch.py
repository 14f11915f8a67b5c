"""What a patch of a large checkpoint costs, against the scripts that people write and against a
plain copy.

    python tests/benchmarks/patch.py [--rounds 7] [--folder DIR] [--megabytes 1024]

Needs torch, and about five times the size in the folder. Every run starts from the unpatched file
with all caches written back. The patch waits until the new bytes are on the medium and gives the
old file's blocks back; the scripts and `cp` do neither, so the copy that does both stands beside
them.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from files import write
from measure import TOOL, in_turn, table

TORCH = """
import sys, torch
state = torch.load(sys.argv[1], weights_only=True)
for name, bias in state.items():
    if "bias" in name and "lstm" in name:
        H = bias.numel() // 4
        bias[H : 2 * H] = 1.0 if "bias_ih" in name else 0.0
torch.save(state, sys.argv[2])
"""

SAFETENSORS = """
import sys
from safetensors.torch import load_file, save_file
state = load_file(sys.argv[1])
for name, bias in state.items():
    if "bias" in name and "lstm" in name:
        H = bias.numel() // 4
        bias[H : 2 * H] = 1.0 if "bias_ih" in name else 0.0
save_file(state, sys.argv[2])
"""


def commands(zipped: Path, safe: Path, out: Path) -> dict[str, Sequence[str]]:
    """What is run, by the name that the table shows."""
    one = ["--forget-bias", "1"]
    durable = 'cp --reflink=auto "$0" "$1.tmp" && sync "$1.tmp" && mv -f "$1.tmp" "$1"'
    return {
        '`python -c "import click"`': [sys.executable, "-c", "import click"],
        "`patch --in-place`, pt": [TOOL, "patch", str(zipped), *one, "--in-place"],
        "`patch --in-place`, safetensors": [TOOL, "patch", str(safe), *one, "--in-place"],
        "`patch`, pt": [TOOL, "patch", str(zipped), *one],
        "`patch`, safetensors": [TOOL, "patch", str(safe), *one],
        "`cp`": ["cp", "--reflink=auto", str(zipped), str(out)],
        "`cp`, `sync`, `mv` over the old file": [
            "sh",
            "-c",
            durable,
            str(zipped),
            str(out.with_name("kept.bin")),
        ],
        "load, set, save with torch": [sys.executable, "-c", TORCH, str(zipped), str(out)],
        "load, set, save with safetensors": [
            sys.executable,
            "-c",
            SAFETENSORS,
            str(safe),
            str(out),
        ],
    }


def restored(files: Sequence[Path], out: Path) -> None:
    """Every file unpatched, no output, nothing left to write back."""
    out.unlink(missing_ok=True)
    for path in files:
        if path.with_name(path.name + ".undo.json").exists():
            subprocess.run([TOOL, "undo", "--quiet", "--in-place", str(path)], check=True)
    os.sync()


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--folder", type=Path)
    options.add_argument("--megabytes", type=int, default=1024)
    given = options.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        zipped, safe, out = (
            Path(folder) / name for name in ("model.pt", "model.safetensors", "out.bin")
        )
        for path in (zipped, safe):
            write(path, given.megabytes)
        timings = in_turn(
            commands(zipped, safe, out), given.rounds, lambda _: restored((zipped, safe), out)
        )
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(
        f"{given.megabytes} MB checkpoints, median of {given.rounds} rounds; load {load} on "
        f"{os.cpu_count()} cores\n"
    )
    print(table(timings, "`cp`"))


if __name__ == "__main__":
    main()
