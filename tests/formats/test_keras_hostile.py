"""Keras files whose structures lie, through the whole audit: rows, skips or a clear error, nothing else."""

import random
import zipfile
from pathlib import Path

import pytest
from hdf5_mutants import mutant

from lstm_audit.facts import FileAudit, FileError
from lstm_audit.inputs import Input
from lstm_audit.pipeline import audit_input
from lstm_audit.wire.hdf5 import file

KERAS = Path(__file__).parents[2] / "fixtures" / "keras"
KINDS = {"truncated", "malformed", "limit", "unsupported", "ambiguous", "unknown-format"}


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No checksum counts: else no mutant would get behind the first block of the newer format."""
    monkeypatch.setattr(file.File, "verify", lambda self, at, data, what: None)


@pytest.mark.parametrize("path", sorted(KERAS.iterdir()), ids=lambda path: path.name)
def test_mutants_give_an_audit_or_an_error(
    path: Path, tmp_path: Path, mutations: int, unchecked: None
) -> None:
    rng = random.Random(path.name)
    target = tmp_path / path.name
    for _ in range(3 * mutations):
        _write_mutant(path, target, rng)
        (result,) = audit_input(Input(str(target), named=True))
        assert isinstance(result, FileAudit | FileError)
        if isinstance(result, FileError):
            assert result.message
            assert result.kind in KINDS


def _write_mutant(path: Path, target: Path, rng: random.Random) -> None:
    """Of an archive, the HDF5 file inside, under a checksum that is right again."""
    if path.suffix != ".keras":
        target.write_bytes(mutant(path.read_bytes(), rng))
        return
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, mutant(data, rng) if name.endswith(".h5") else data)
