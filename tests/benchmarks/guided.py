"""Inputs that coverage guides, as long as you let it run: `python tests/benchmarks/guided.py`.

Needs `pip install atheris` (libFuzzer for Python; not in the `dev` extra: it exists for some
versions of Python only). Every fixture is a seed. An input that makes anything but a result or an
error is written to `crash-…`; put it into tests/promises/crashes/, where every run tries it again.

    python tests/benchmarks/guided.py                          # until a crash, or Ctrl-C
    python tests/benchmarks/guided.py -runs=100000             # libFuzzer's own options
    python tests/benchmarks/guided.py --seeds '*.h5' -runs=5000 # from some of the fixtures
"""

import importlib
import pkgutil
import sys
import tempfile
import time
from pathlib import Path

import atheris

ROOMS = ("formats", "lstm", "raw", "rules", "wire")
"""Where what is read is decided; instrumented before anything imports them by need."""

with atheris.instrument_imports(include=[f"lstm_audit.{room}" for room in ROOMS]):
    for room in ROOMS:
        package = importlib.import_module(f"lstm_audit.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)
    from lstm_audit.facts import FileAudit, FileError
    from lstm_audit.inputs import Input
    from lstm_audit.pipeline import audit_input

FIXTURES = Path(__file__).parents[2] / "fixtures"
CRASHES = Path(__file__).parents[1] / "promises" / "crashes"
MAX_SEED = 1 << 16  # bytes: larger ones change too little at a time
MAX_SECONDS = 4.0


def audit(path: Path, data: bytes) -> None:
    """One input: raises where it is anything but a result or an error, in time."""
    path.write_bytes(data)
    started = time.process_time()
    for result in audit_input(Input(str(path), named=True)):
        assert isinstance(result, FileAudit | FileError)
        assert not isinstance(result, FileError) or result.kind != "defect", result.message
    assert time.process_time() - started < MAX_SECONDS


def collect(pattern: str, folder: Path) -> None:
    """The seeds, each a file of its own."""
    files = [*FIXTURES.rglob(pattern), *CRASHES.glob(pattern)]
    for at, path in enumerate(sorted(path for path in files if path.is_file())):
        if path.stat().st_size <= MAX_SEED:
            (folder / f"{at}{path.suffix}").write_bytes(path.read_bytes())


def main() -> None:
    pattern = "*"
    options = sys.argv[1:]
    if "--seeds" in options:
        at = options.index("--seeds")
        pattern = options[at + 1]
        del options[at : at + 2]
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder, "seeds")
        seeds.mkdir()
        collect(pattern, seeds)
        path = Path(folder, "model.bin")
        command = [sys.argv[0], "-timeout=20", "-rss_limit_mb=2048", *options, str(seeds)]
        atheris.Setup(command, lambda data: audit(path, data))
        atheris.Fuzz()


if __name__ == "__main__":
    main()
