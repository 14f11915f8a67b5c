"""The house itself: what the file path imports, what it reads, and that it changes nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command import untraced

from lstm_audit import inputs
from lstm_audit.fleet import audit
from lstm_audit.raw.source import FileSource

ROOT = Path(__file__).parents[2]
CLEAN = ROOT / "fixtures" / "clean"
FILES = sorted(path for path in CLEAN.rglob("*") if path.is_file())
FORBIDDEN = {"torch", "numpy", "pickle", "_pickle", "zipfile", "mmap", "tarfile", "ctypes"}

PROBE = """
import json, sys
sys.argv = ["lstm-audit", "audit", "--format", FORMAT, PATH]
from lstm_audit.cli.group import group
try:
    group()
finally:
    sys.stderr.write(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


@pytest.mark.parametrize("report", ["table", "json"])
def test_file_path_imports_no_framework(report: str) -> None:
    code = PROBE.replace("FORMAT", repr(report)).replace("PATH", repr(str(CLEAN)))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=untraced()
    )
    modules = set(json.loads(done.stderr.splitlines()[-1]))
    assert "lstm_audit" in modules
    assert not modules & FORBIDDEN


class Counted(FileSource):
    """A file source that notes what is read."""

    reads: list[tuple[int, int]]

    def read(self, at: int, n: int) -> bytes:
        type(self).reads.append((at, n))
        return super().read(at, n)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[Counted]:
    Counted.reads = []
    monkeypatch.setattr(inputs, "FileSource", Counted)
    return Counted


def _large(path: Path, kind: str, filler: int) -> None:
    """A checkpoint with one LSTM and `filler` bytes of other weights."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    state = {f"lstm.{name}": value for name, value in torch.nn.LSTM(8, 16).state_dict().items()}
    state["embedding.weight"] = torch.zeros(filler // 4)
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_cost_does_not_grow_with_the_file(
    kind: str, tmp_path: Path, counted: type[Counted]
) -> None:
    amounts = []
    for filler in (1 << 20, 64 << 20):
        path = tmp_path / f"{filler}.bin"
        _large(path, kind, filler)
        counted.reads = []
        assert len(audit(path).rows) == 1
        amounts.append((len(counted.reads), sum(n for _, n in counted.reads)))
        path.unlink()
    (small_reads, small), (large_reads, large) = amounts
    assert large_reads <= small_reads + 1
    assert large < 300_000
    assert large <= small + 70_000  # the end of a small file is read in one go with its directory


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CLEAN)))
def test_an_audit_changes_nothing(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes(), path.stat().st_mtime_ns, sorted(os.listdir(path.parent))
    audit(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns, sorted(os.listdir(path.parent))) == before


def test_file_that_changes_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes((CLEAN / "lstm.pt").read_bytes())
    real = FileSource.settle

    def touched(self: FileSource) -> None:
        os.utime(path, ns=(1, 1))
        real(self)

    monkeypatch.setattr(FileSource, "settle", touched)
    result = audit(path)
    assert [error.kind for error in result.errors] == ["changed"]


def test_floors_are_kept() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_report_is_the_same_in_every_run() -> None:
    command = [sys.executable, "-m", "lstm_audit", "audit", "-f", "json", str(CLEAN)]
    runs = {
        subprocess.run(
            command, capture_output=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1


def test_jobs_change_nothing_in_the_report() -> None:
    assert audit(CLEAN, jobs=2).to_dict() == audit(CLEAN).to_dict()


def test_no_public_name_is_that_of_a_module() -> None:
    """Importing `lstm_audit.x` binds the module over a function of the same name."""
    import lstm_audit

    modules = {path.stem for path in Path(lstm_audit.__file__).parent.iterdir()}
    assert not modules & set(lstm_audit.__all__)
