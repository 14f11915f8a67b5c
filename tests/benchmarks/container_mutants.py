"""Mutants of every container, as many as asked for: `python tests/benchmarks/container_mutants.py
[--count 100000] [NAME ...]`.

Comes in: fixtures of each container. Goes out, after each round, a line with the number of its
mutants so far, how many were still read, and the slowest answer. Promise to be shown: whatever the bytes, an audit or an
`AuditError`, within two seconds; anything else ends the run with the mutant kept in a file.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "fixtures" / "make")]

from container_seeds import SEEDS, try_all  # stands in tests/


class Tried(NamedTuple):
    """Of one container: mutants, how many were read, the slowest answer in seconds."""

    mutants: int
    read: int
    slowest: float


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--salt", default="0")
    parser.add_argument("--round", type=int, default=5000, help="mutants of one container in turn")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SEEDS))
    options = parser.parse_args()
    tried = {name: Tried(0, 0, 0.0) for name in options.names or SEEDS}
    for first in range(0, options.count, options.round):
        for name, before in tried.items():
            count = min(options.round, options.count - first)
            with tempfile.TemporaryDirectory() as folder:
                read, slowest = try_all(name, count, Path(folder), f"{options.salt} {first}")
            tried[name] = Tried(before.mutants + count, before.read + read, max(before.slowest, slowest))  # fmt: skip
            print(f"{name}: {tried[name].mutants} mutants, {tried[name].read} read, slowest "
                  f"{tried[name].slowest * 1000:.0f} ms", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
