"""Mutants of every container, as many as asked for: `python tests/benchmarks/container_mutants.py
[--count 100000] [NAME ...]`.

Comes in: fixtures of each container. Goes out, after each round, a line with the number of its
mutants so far, how many were still read, and the slowest answer. Promise to be shown: whatever the bytes, an audit or an
`AuditError`, within two seconds; anything else ends the run with the mutant kept in a file.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "fixtures" / "make")]

from container_seeds import SEEDS, Seed, mutate  # stands in tests/

from lstm_audit.facts import FileAudit, FileError
from lstm_audit.inputs import Input
from lstm_audit.pipeline import audit_input

SECONDS = 2.0


class Tried(NamedTuple):
    """Of one container: mutants, how many were read, the slowest answer in seconds."""

    mutants: int
    read: int
    slowest: float


def mutants(seed: Seed, count: int, salt: str) -> Iterator[bytes]:
    """Damaged copies of the seed's files, each time the same ones for one salt."""
    rng = random.Random(salt)
    for _ in range(count):
        yield mutate(seed, rng)


def try_all(name: str, count: int, folder: Path, salt: str) -> tuple[int, float]:
    """Audit every mutant; returns how many were read, and the slowest answer in seconds."""
    seed, read, slowest = SEEDS[name](), 0, 0.0
    target = folder / seed.name
    for neighbour, raw in seed.beside.items():
        (folder / neighbour).write_bytes(raw)
    for raw in mutants(seed, count, f"{name} {salt}"):
        target.write_bytes(raw)
        started = time.process_time()
        try:
            results = audit_input(Input(str(target), named=True))
        except BaseException:
            kept = Path(tempfile.gettempdir()) / f"mutant-{seed.name}"
            kept.write_bytes(raw)
            print(f"{name}: the mutant is kept as {kept}", file=sys.stderr)
            raise
        spent = time.process_time() - started
        assert all(isinstance(one, FileAudit | FileError) for one in results)
        assert spent < SECONDS or sys.gettrace(), f"{name}: {spent:.1f} s"
        slowest = max(slowest, spent)
        read += any(isinstance(one, FileAudit) for one in results)
    return read, slowest


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
