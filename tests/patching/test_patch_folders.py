"""`patch` and `undo` over folders and patterns, and what a dry run says of the write."""

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import save, save_file
from torch import nn

import lstm_audit
from lstm_audit.cli.group import group
from lstm_audit.errors import BadPolicy, NotPatchable, Unreadable

SHARDED = Path(__file__).parents[2] / "fixtures" / "clean" / "sharded"


def run(*words: object) -> Any:
    return CliRunner().invoke(group, [str(word) for word in words])


def saved(path: Path, module: nn.Module) -> Path:
    path.parent.mkdir(exist_ok=True)
    save_file(module.state_dict(), path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two LSTMs, a GRU, a text and a sharded checkpoint."""
    top = tmp_path / "run"
    saved(top / "a.safetensors", nn.LSTM(3, 4))
    saved(top / "deep" / "b.safetensors", nn.ModuleDict({"enc": nn.LSTM(3, 4)}))
    saved(top / "gru.safetensors", nn.GRU(3, 4))
    (top / "notes.txt").write_text("no checkpoint")
    shutil.copytree(SHARDED, top / "sharded")
    return top


def means(path: Path) -> set[float]:
    return {round(row.measures.gates["f"].mean, 6) for row in lstm_audit.audit(path).rows}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_is_patched_and_undone_whole(folder: Path) -> None:
    before = contents(folder)
    done = run("patch", folder, "--forget-bias", "2.5")
    assert (done.exit_code, done.stderr) == (0, "")
    assert means(folder) == {2.5}
    again = run("patch", folder, "--forget-bias", "2.5")
    assert again.exit_code == 0
    assert again.stdout.count("nothing to change") == 3
    undone = run("undo", folder)
    assert undone.exit_code == 0
    assert contents(folder) == before
    assert run("undo", folder).exit_code == 4


def test_a_pattern_of_files(folder: Path) -> None:
    done = run("patch", f"{folder}/*.safetensors", "--forget-bias", "2.5")
    assert done.exit_code == 0
    assert means(folder / "a.safetensors") == {2.5}
    assert means(folder / "deep") != {2.5}
    assert isinstance(run("patch", f"{folder}/*.nope", "--forget-bias", "1").exception, BadPolicy)
    assert run("undo", f"{folder}/*.safetensors").exit_code == 0


def test_a_file_without_an_lstm_is_refused_only_where_it_was_named(folder: Path) -> None:
    assert run("patch", folder / "gru.safetensors", "--forget-bias", "1").exit_code == 3
    shutil.rmtree(folder / "sharded")
    shutil.rmtree(folder / "deep")
    (folder / "a.safetensors").unlink()
    done = run("patch", folder, "--forget-bias", "1")
    assert done.exit_code == 4
    assert "no LSTM in" in done.stderr


def test_layers_must_match_somewhere_before_anything_is_written(folder: Path) -> None:
    before = contents(folder)
    refused = run("patch", folder, "--forget-bias", "2", "--layers", "enc", "--layers", "decc*")
    assert isinstance(refused.exception, BadPolicy)
    assert "no LSTM matches --layers decc*" in str(refused.exception)
    assert contents(folder) == before
    done = run("patch", folder, "--forget-bias", "2", "--layers", "enc")
    assert done.exit_code == 0
    assert "a.safetensors: no LSTM matches --layers" in done.stderr
    assert means(folder / "deep") == {2.0}
    assert means(folder / "a.safetensors") != {2.0}


def test_what_looks_like_a_checkpoint_and_is_none_is_refused(folder: Path) -> None:
    (folder / "broken.pt").write_bytes(b"PK\x03\x04 and no more")
    done = run("patch", folder, "--forget-bias", "2.5", "--json")
    assert done.exit_code == 3
    files = json.loads(done.stdout)["files"]
    assert [bool(file.get("error")) for file in files].count(True) == 1
    assert means(folder / "a.safetensors") == {2.5}


@pytest.mark.parametrize("mode", ["--dry-run", "--check", "--diff"])
def test_a_dry_run_says_that_the_write_would_be_refused(folder: Path, mode: str) -> None:
    path = folder / "a.safetensors"
    before = contents(folder)
    path.chmod(0o444)
    done = run("patch", mode, "--forget-bias", "2.5", path)
    assert done.exit_code == (0 if mode == "--dry-run" else 1)
    assert "warning: " in done.stderr
    assert "the write would be refused: it is read-only" in done.stderr
    path.chmod(0o644)
    assert "refused" not in run("patch", mode, "--forget-bias", "2.5", path).stderr
    (folder / "link").hardlink_to(path)
    linked = run("patch", mode, "--forget-bias", "2.5", path)
    assert "the write would be refused: it has more than one name" in linked.stderr
    (folder / "link").unlink()
    assert contents(folder) == before


@pytest.mark.parametrize("mode", ["--check", "--diff", "--dry-run"])
def test_nothing_to_change_passes(folder: Path, mode: str) -> None:
    path = folder / "a.safetensors"
    run("patch", "--forget-bias", "2.5", path)
    done = run("patch", mode, "--forget-bias", "2.5", path)
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize("words", [("patch", "--forget-bias", "1", "-"), ("undo", "-")])
def test_standard_input_is_no_file_to_write(words: tuple[str, ...]) -> None:
    assert isinstance(run(*words).exception, BadPolicy)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two LSTMs and a GRU in one zip, stored."""
    path = tmp_path / "all.zip"
    nets = {"a": nn.LSTM(3, 4), "b": nn.GRU(3, 4), "c/d": nn.ModuleDict({"x": nn.LSTM(3, 4)})}
    with zipfile.ZipFile(path, "w") as out:
        for name, net in nets.items():
            out.writestr(f"{name}.safetensors", save(net.state_dict()))
    return path


@pytest.mark.parametrize("mode", [(), ("--in-place",)])
def test_each_checkpoint_of_an_archive_is_patched(archive: Path, mode: tuple[str, ...]) -> None:
    before = archive.read_bytes()
    shown = run("patch", "--dry-run", "--forget-bias", "2.5", archive)
    assert (shown.exit_code, archive.read_bytes()) == (0, before)
    done = run("patch", *mode, "--forget-bias", "2.5", archive)
    assert (done.exit_code, done.stderr) == (0, "")
    assert [line for line in done.stdout.splitlines() if "!" in line] == [
        f"{archive}!a.safetensors: forget bias 2.5",
        f"{archive}!c/d.safetensors: forget bias 2.5",
    ]
    assert means(archive) == {2.5}
    with zipfile.ZipFile(archive) as written:
        assert written.testzip() is None
    assert [run("undo", archive).exit_code for _ in range(2)] == [0, 4]  # one patch, one undo
    assert archive.read_bytes() == before


def test_one_checkpoint_of_an_archive_must_be_named_elsewhere(archive: Path) -> None:
    before = archive.read_bytes()
    with pytest.raises(NotPatchable, match=r"name one as FILE!a\.safetensors, b\."):
        lstm_audit.patch(archive, forget_bias=2.5, output=archive.with_suffix(".new"))
    refused = run("patch", "--output", f"{archive}.new", "--forget-bias", "2.5", archive)
    assert (refused.exit_code, archive.read_bytes()) == (3, before)
    assert "name one as FILE!a.safetensors" in refused.stderr
    picked = run("patch", "--layers", "x", "--forget-bias", "2.5", archive)
    assert picked.exit_code == 0
    assert means(archive) > {2.5}
    unknown = run("patch", "--layers", "y", "--forget-bias", "2.5", archive)
    assert isinstance(unknown.exception, BadPolicy)


GRAPHS = SHARDED.parents[1] / "graphs"


def test_a_folder_whose_biases_lie_in_other_files(tmp_path: Path) -> None:
    """A package of Core ML, a pair of OpenVINO's: the record lies beside the weights."""
    top = tmp_path / "run"
    shutil.copytree(GRAPHS / "program.mlpackage", top / "program.mlpackage")
    for name in ("openvino.xml", "openvino.bin"):
        shutil.copy(GRAPHS / name, top)
    before = contents(top)
    for value in ("2.5", "3.5"):  # two patches, which two undos take back
        assert run("patch", top, "--forget-bias", value).exit_code == 0
    package = top / "program.mlpackage"
    assert run("undo", package).exit_code == 0
    assert means(package) == {2.5}
    assert [one.state for one in lstm_audit.undo(package)] == ["restored"]
    assert {name: contents(top)[name] for name in before if "mlpackage" in name} == {
        name: data for name, data in before.items() if "mlpackage" in name
    }
    assert [run("undo", top).exit_code for _ in range(3)] == [0, 0, 4]
    assert contents(top) == before


def test_a_folder_that_cannot_be_listed_is_no_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patch may lie in it: undo takes back the others, and says what it could not see."""
    lstm_audit.patch(folder, forget_bias=2.0)
    real, closed = os.scandir, str(folder / "deep")

    def scandir(path: Any) -> Any:
        if os.fspath(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(Unreadable, match="deep: the folder cannot be listed"):
        lstm_audit.undo(folder)
    assert means(folder / "a.safetensors") == {2.0}
    done = run("undo", folder)
    assert done.exit_code == 3
    assert "the folder cannot be listed: Permission denied" in done.stderr
    assert means(folder / "a.safetensors") != {2.0}
