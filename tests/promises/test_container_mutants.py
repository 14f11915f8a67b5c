"""A thousand mutants of every container at each run; `tests/benchmarks/container_mutants.py` tries
a hundred thousand.
"""

from pathlib import Path

import pytest
from container_seeds import SEEDS, try_all

import lstm_audit


@pytest.mark.parametrize("name", SEEDS)
def test_the_seed_is_read(name: str, tmp_path: Path) -> None:
    """A mutant of what is not read would show nothing."""
    seed = SEEDS[name]()
    for neighbour, raw in seed.beside.items():
        (tmp_path / neighbour).write_bytes(raw)
    path = tmp_path / seed.name
    path.write_bytes(seed.data if seed.mend is None else seed.mend(seed.data))
    assert lstm_audit.audit(path).rows


@pytest.mark.parametrize("name", SEEDS)
def test_whatever_the_bytes_there_is_an_answer(name: str, tmp_path: Path) -> None:
    read, _ = try_all(name, 1000, tmp_path, "suite")
    assert 0 < read < 1000
