"""The committed fixtures: they can be remade, the clean ones are clean, the hostile ones are
refused or harmless.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import lstm_audit
from lstm_audit.cli.exits import of_audit
from lstm_audit.errors import AuditError
from lstm_audit.fleet import audit
from lstm_audit.pipeline import audit_file

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "fixtures"
FAMILIES = ("clean", "mixed", "conventions", "hostile")
CANARY = "lstm-audit-canary"

FORMATS = {
    "lstm_scripted.pt": "torchscript",
    "lstm_traced.pt": "torchscript",
    "lstm_exported.pt2": "torch-export",
    "lstm_legacy.pt": "torch-legacy",
    "lstm_legacy_protocol4.pt": "torch-legacy",
    "whole_module_legacy.pt": "torch-legacy",
    "model.safetensors.index.json": "safetensors-sharded",
    "pytorch_model.bin.index.json": "torch-sharded",
    "lstm_tar.pt": "torch-tar",
    "package.pt": "torch-package",
    ".safetensors": "safetensors",
    ".pkl": "pickle",
    ".pt": "torch-zip",
    ".ckpt": "torch-zip",
}

REFUSED = {
    "duplicate_names.pt": "ambiguous",
    "case_twins.pt": "ambiguous",
    "two_archives.pt": "ambiguous",
    "truncated.pt": "truncated",
    "truncated.safetensors": "truncated",
    "truncated_legacy.pt": "truncated",
    "html.pt": "html",
    "lfs_pointer.pt": "lfs-pointer",
    "dvc_pointer.pt": "lfs-pointer",
    "empty.pt": "empty",
    "tar.pt": "truncated",
    "noise.pt": "unknown-format",
    "escape/model.safetensors.index.json": "malformed",
}
HARMLESS = {"canary.pt", "canary_legacy.pt"}


def files(family: str) -> list[Path]:
    return sorted(path for path in (FIXTURES / family).rglob("*") if path.is_file())


def test_clean_audits_with_exit_0_and_a_forget_bias_of_1() -> None:
    result = audit(FIXTURES / "clean")
    assert of_audit(result) == 0
    assert not result.errors
    assert not result.ignored
    shards = [path for path in files("clean") if "-of-" in path.name]
    assert len(result.files) == len(files("clean")) - len(shards)
    for file in result.files:
        assert file.rows, file.path
        assert not file.skipped, file.path
        for row in file.rows:
            bias = row.measures.gates["f"]
            assert (bias.min, bias.max, bias.std) == (1.0, 1.0, 0.0), (file.path, row.lstm.address)


def test_clean_by_its_command() -> None:
    command = [sys.executable, "-m", "lstm_audit", "audit", "--format", "json", "fixtures/clean"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"unreadable": 0' in done.stdout


def test_the_public_audit_is_a_function_also_after_its_module_was_imported() -> None:
    importlib.import_module("lstm_audit.pipeline")
    assert callable(lstm_audit.audit)
    assert lstm_audit.audit(FIXTURES / "clean" / "cell.pt").rows


def test_every_container_is_known_by_its_content() -> None:
    for file in audit(FIXTURES / "clean").files:
        name = os.path.basename(file.path)
        assert file.format == FORMATS.get(name, FORMATS.get(os.path.splitext(name)[1])), file.path


def test_directions_and_layers_of_the_clean_models() -> None:
    one, two = ["l0", "l0:reverse"], ["l0", "l0:reverse", "l1", "l1:reverse"]
    names = {
        "lightning.ckpt": one,
        "lstm_exported.pt2": one,
        "lstm_scripted.pt": one,
        "lstm_traced.pt": one,
    }
    names |= {
        "whole_module.pt": one,
        "whole_module_legacy.pt": one,
        "cell.pt": ["l0"],
        "pruned.pt": ["l0"],
    }
    names["float8.pt"] = two + two
    for file in audit(FIXTURES / "clean").files:
        places = [row.lstm.address.partition(":")[2] for row in file.rows]
        assert places == names.get(os.path.basename(file.path), two), file.path


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_hostile_is_refused_with_its_reason(name: str) -> None:
    with pytest.raises(AuditError) as caught:
        audit_file(str(FIXTURES / "hostile" / name))
    assert caught.value.kind == REFUSED[name]
    assert caught.value.message


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_canary_is_read_and_never_sings(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = audit_file(str(FIXTURES / "hostile" / name))
    assert [row.lstm.hidden_size for row in result.rows] == [8] * 4
    assert not (tmp_path / CANARY).exists()


def test_canary_would_sing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof that the test above could fail."""
    torch = pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    torch.load(FIXTURES / "hostile" / "canary.pt", weights_only=False)["trainer"].close()
    assert (tmp_path / CANARY).exists()


def test_hostile_folder_hides_nothing() -> None:
    listed = REFUSED.keys() | HARMLESS
    assert {
        path.relative_to(FIXTURES / "hostile").as_posix() for path in files("hostile")
    } == listed
    result = audit(FIXTURES / "hostile")
    assert of_audit(result) == 3
    assert {os.path.basename(file.path) for file in result.files} == HARMLESS


def test_fixtures_are_small() -> None:
    sizes = {path: path.stat().st_size for family in FAMILIES for path in files(family)}
    assert max(sizes.values()) < 100_000
    assert sum(sizes.values()) < 1_500_000


@pytest.fixture(scope="module")
def remade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything written anew, by the script itself."""
    pytest.importorskip("torch")
    folder = tmp_path_factory.mktemp("remade")
    subprocess.run(
        [sys.executable, FIXTURES / "make", "--into", folder], check=True, capture_output=True
    )
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_the_script_writes_what_is_committed(remade: Path, family: str) -> None:
    """The same files with the same values; their bytes may differ from one torch to the next."""
    new = {
        path.relative_to(remade / family) for path in (remade / family).rglob("*") if path.is_file()
    }
    assert new == {path.relative_to(FIXTURES / family) for path in files(family)}
    for file in audit(FIXTURES / family).files:
        again = audit_file(str(remade / Path(file.path).relative_to(FIXTURES)))
        assert [described(row) for row in again.rows] == [described(row) for row in file.rows], (
            file.path
        )
        assert again.skipped == file.skipped


def described(row: Any) -> tuple[Any, ...]:
    """A row without the places of its bytes."""
    lstm, measures = row.lstm, row.measures
    gates: Mapping[str, Any] = measures.gates
    return (
        lstm.address,
        lstm.convention,
        lstm.dtype,
        lstm.bias_tensors,
        lstm.aliases,
        dict(gates),
        measures.activation,
    )
