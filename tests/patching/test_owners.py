"""Sidecars of other users, in a folder that all may write to."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import lstm_audit
from lstm_audit.cli.group import group
from lstm_audit.errors import BadPolicy, MalformedFile
from lstm_audit.interrupted import hot, sidecars
from lstm_audit.patching import files, journal, marker, record
from lstm_audit.patching.edits import Edit

ALICE, EVE = 4001, 4002

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")


# Not below `tmp_path`: every session of pytest that starts closes the folder of all of them to other
# users, so that a test beside this one would lock Alice out.
@pytest.fixture
def model() -> Iterator[Path]:
    """Alice's checkpoint in a sticky folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o1777)
        path = folder / "lstm.safetensors"
        save_file(nn.LSTM(3, 4).state_dict(), path)
        path.chmod(0o640)
        os.chown(path, ALICE, ALICE)
        yield path


def run(*words: object) -> Any:
    return CliRunner().invoke(group, [str(word) for word in words])


def planted(model: Path, owner: int) -> Path:
    """A journal that would write other bytes into the file."""
    data = model.read_bytes()
    end = len(data)  # half written: the first of two edits
    edits = [Edit(end - 8, b"EVIL", data[-8:-4], "r"), Edit(end - 4, data[-4:], b"ZZZZ", "r")]
    name = Path(journal.journal_path(str(model)))
    name.write_bytes(journal.journal_of(files.identity_of(os.stat(model)), edits))
    os.chown(name, owner, owner)
    return name


def test_a_strangers_journal_is_named_and_left_alone(model: Path) -> None:
    before, name = model.read_bytes(), planted(model, EVE)
    assert not hot(str(model))
    assert lstm_audit.audit(model).rows
    done = run("undo", model)
    assert done.exit_code == 4
    assert f"{name} belongs to another user (4002) and was left alone" in done.stderr
    refused = run("patch", model, "--forget-bias", "2", "--in-place")
    assert refused.exit_code == 3
    assert "belongs to another user" in refused.stderr
    assert model.read_bytes() == before
    assert run("patch", model, "--forget-bias", "2").exit_code == 0
    assert name.exists()


# The file is torn by a patch of its own, and the journal that tells so was given to Eve.
@pytest.mark.parametrize(
    "words",
    [
        ("audit", "--no-config"),
        ("audit", "--no-config", "-f", "json"),
        ("audit", "--no-config", "--jobs", "2"),
        ("audit", "--no-config", "-f", "jsonl"),
        ("audit", "--no-config", "--no-init", "-f", "csv"),
        ("check", "--no-config", "-q"),
        ("check", "--no-config", "--statistics"),
        ("diff", "itself"),
        ("trend",),
    ],
)
def test_every_reader_of_a_torn_file_names_the_strangers_journal(
    model: Path, words: tuple[str, ...]
) -> None:
    name = planted(model, EVE)
    done = run(*(model if word == "itself" else word for word in words), model)
    warning = f"{name} belongs to another user (4002) and was left alone"
    assert done.exit_code == 0, done.output
    assert f"warning: {warning}" in done.stderr
    assert warning in lstm_audit.audit(model).files[0].warnings[0]


def test_an_error_names_the_strangers_journal_too(model: Path) -> None:
    name = planted(model, EVE)
    model.write_bytes(model.read_bytes()[:-1])
    (error,) = lstm_audit.audit(model).errors
    assert error.kind == "truncated"
    assert f"{name} belongs to another user (4002)" in error.message


@pytest.mark.parametrize("which", ["marker", "journal of a shard", "link"])
def test_what_lies_beside_any_file_of_a_checkpoint_is_named(tmp_path: Path, which: str) -> None:
    fixtures = Path(__file__).parents[2] / "fixtures" / "clean" / "sharded"
    for file in fixtures.iterdir():
        shutil.copy(file, tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    shard = tmp_path / "model-00002-of-00002.safetensors"
    name = Path(marker.marker_path(str(index)))
    if which == "journal of a shard":
        name = Path(journal.journal_path(str(shard)))
    if which == "link":
        name.symlink_to(shard)
    else:
        name.write_bytes(b"any")
        os.chown(name, EVE, EVE)
    (file,) = lstm_audit.audit(index).files
    assert file.warnings[0].startswith(f"{name} ")


def test_a_strangers_journal_counts_when_it_is_named_on_purpose(model: Path) -> None:
    name = planted(model, EVE)
    assert isinstance(run("undo", model, "--sidecar", model).exception, BadPolicy)
    done = run("undo", "--sidecar", name, model)
    assert done.exit_code == 0
    assert model.read_bytes()[-8:-4] == b"EVIL"
    assert not name.exists()


@pytest.mark.parametrize("owner", [ALICE, 0])
def test_the_owners_journal_and_ones_own_count(model: Path, owner: int) -> None:
    planted(model, owner)
    assert hot(str(model))
    assert run("audit", "--no-config", model).exit_code == 3
    assert run("undo", model).exit_code == 0


def test_a_strangers_record_is_named_and_left_alone(model: Path) -> None:
    run("patch", model, "--forget-bias", "2")
    patched, name = model.read_bytes(), Path(record.record_path(str(model)))
    assert name.stat().st_uid == ALICE
    os.chown(name, EVE, EVE)
    said = name.read_bytes()
    done = run("undo", model)
    assert (done.exit_code, model.read_bytes()) == (4, patched)
    assert "belongs to another user (4002)" in done.stderr
    refused = run("patch", model, "--forget-bias", "3")
    assert refused.exit_code == 3
    assert "use --no-undo" in refused.stderr
    assert name.read_bytes() == said
    assert run("patch", model, "--forget-bias", "3", "--no-undo").exit_code == 0
    assert name.read_bytes() == said


def test_a_record_that_is_a_link_is_not_followed(model: Path, tmp_path: Path) -> None:
    run("patch", model, "--forget-bias", "2")
    name = Path(record.record_path(str(model)))
    name.rename(tmp_path / "elsewhere.json")
    name.symlink_to(tmp_path / "elsewhere.json")
    done = run("undo", model)
    assert done.exit_code == 4
    assert "is a link and was left alone" in done.stderr


def test_a_strangers_marker_does_not_count(tmp_path: Path) -> None:
    index = tmp_path / "model.safetensors.index.json"
    fixtures = Path(__file__).parents[2] / "fixtures" / "clean" / "sharded"
    for file in fixtures.iterdir():
        shutil.copy(file, tmp_path)
    shard = tmp_path / "model-00001-of-00002.safetensors"
    data = shard.read_bytes()
    part = marker.FileEdits(shard.name, len(data), (Edit(len(data) - 4, b"EVIL", data[-4:], ""),))
    name = Path(marker.marker_path(str(index)))
    name.write_bytes(marker.pack_marker([part]))
    os.chown(name, EVE, EVE)
    assert not hot(str(index))
    assert run("undo", index).exit_code == 4
    assert run("audit", "--no-config", index).exit_code == 0
    refused = run("patch", index, "--forget-bias", "2", "--place", "split")
    assert refused.exit_code == 3
    assert "belongs to another user" in refused.stderr
    assert (shard.read_bytes(), name.exists()) == (data, True)


@pytest.mark.parametrize("place", range(3))
def test_a_link_in_the_place_of_any_sidecar_is_left_alone(
    model: Path, tmp_path: Path, place: int
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    name = Path(sidecars(str(model))[place])
    name.symlink_to(victim)
    run("undo", model)
    run("patch", model, "--forget-bias", "2", "--in-place")
    run("patch", model, "--forget-bias", "2")
    assert victim.read_bytes() == b"precious"


def test_a_record_inherits_neither_set_id_bits_nor_the_folders_acl(model: Path) -> None:
    model.chmod(0o6750)
    if shutil.which("setfacl"):
        subprocess.run(["setfacl", "-d", "-m", f"u:{EVE}:rw", model.parent], check=False)
    assert run("patch", model, "--forget-bias", "2").exit_code == 0
    name = Path(record.record_path(str(model)))
    assert stat.S_IMODE(name.stat().st_mode) == 0o640
    assert "system.posix_acl_access" not in os.listxattr(name)
    assert stat.S_IMODE(model.stat().st_mode) == 0o6750


def test_what_root_leaves_of_a_killed_patch_is_the_owners(model: Path) -> None:
    script = f"""
import os
from lstm_audit.patching import files, journal
from lstm_audit.patching.edits import Edit
with files.hold({str(model)!r}) as held:
    journal.begin(held, [Edit(0, files.read_at(held.fd, 4, 0), b"EVIL", "r")])
    os._exit(9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    assert os.stat(journal.journal_path(str(model))).st_uid == ALICE


def test_a_strangers_temporary_file_is_not_swept(model: Path) -> None:
    temp = Path(files.sidecar(str(model), f"lstm-audit-{'0' * 12}.tmp"))
    temp.write_bytes(b"hers")
    os.chown(temp, EVE, EVE)
    assert run("patch", model, "--forget-bias", "2").exit_code == 0
    assert temp.read_bytes() == b"hers"


@pytest.mark.parametrize("filler", [b"{}", b"[]", b"0"])
def test_a_record_of_many_values_is_refused_before_it_is_built(model: Path, filler: bytes) -> None:
    run("patch", model, "--forget-bias", "2")
    name = Path(record.record_path(str(model)))
    whole = name.read_bytes().rstrip().removesuffix(b"}")
    name.write_bytes(whole + b', "x": [' + b",".join([filler] * record.MAX_VALUES) + b"]}")
    with pytest.raises(MalformedFile, match="values"):
        record.load(str(model))
    name.write_bytes(b"[" * (record.MAX_VALUES // 2))
    with pytest.raises(MalformedFile, match="nested"):
        record.load(str(model))


def as_user(uid: int, *words: object) -> int:
    """The exit code of a command that another user runs."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        os._exit(run(*words).exit_code)
    finally:
        os._exit(99)


def test_two_users_in_a_sticky_folder(model: Path) -> None:
    """What Eve leaves beside Alice's file neither reaches it nor keeps Alice from her own."""
    for words in (["audit"], ["undo"], ["patch", "--dry-run", "--forget-bias", "2"]):
        run(*words, model)  # whatever is imported late is there before the users are others
    before = model.read_bytes()
    assert as_user(ALICE, "patch", "--forget-bias", "2", model) == 0
    patched = model.read_bytes()
    planted(model, EVE)
    assert as_user(ALICE, "audit", "--no-config", model) == 0
    assert as_user(ALICE, "patch", "--forget-bias", "3", "--in-place", model) == 3
    assert model.read_bytes() == patched
    assert as_user(ALICE, "undo", model) == 0
    assert model.read_bytes() == before
    assert as_user(EVE, "patch", "--forget-bias", "2", model) == 3
    assert as_user(EVE, "undo", model) == 3
    assert model.read_bytes() == before
