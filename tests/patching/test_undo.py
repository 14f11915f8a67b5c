"""Undo gives back the same bytes, patch by patch, or refuses; the record beside the file is
believed in nothing.
"""

import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_audit.errors import AuditError, MalformedFile, NotPatchable, Unreadable
from lstm_audit.patching import files, journal, record
from lstm_audit.patching.apply import Applied, apply
from lstm_audit.patching.edits import Edit
from lstm_audit.patching.undo import undo

BEFORE = random.Random(3).randbytes(2000)


def write(path: Path, at: int, new: bytes, **options: Any) -> Applied:
    old = path.read_bytes()[at : at + len(new)]
    return apply(
        str(path), [Edit(at, old, new, f"at {at}")], files.identity_of(os.stat(path)), **options
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(BEFORE)
    return path


def stored(path: Path) -> Any:
    return json.loads(Path(f"{path}.undo.json").read_bytes())


@pytest.mark.parametrize("patching", ["replace", "in-place"])
@pytest.mark.parametrize("undoing", ["replace", "in-place"])
def test_undo_gives_the_same_bytes_back(model: Path, patching: Any, undoing: Any) -> None:
    digest, inode = hashlib.sha256(BEFORE).hexdigest(), model.stat().st_ino
    write(model, 100, b"forget gate", mode=patching)
    assert hashlib.sha256(model.read_bytes()).hexdigest() != digest
    done = undo(str(model), mode=undoing)
    assert (done.state, done.remaining, done.notes) == ("restored", 0, ())
    assert hashlib.sha256(model.read_bytes()).hexdigest() == digest
    assert os.listdir(model.parent) == ["model.pt"]
    if (patching, undoing) == ("in-place", "in-place"):
        assert model.stat().st_ino == inode


def test_patches_unwind_in_order(model: Path) -> None:
    states = [BEFORE]
    for k in range(4):
        write(
            model, 50 * k, b"%d overlapping the one before and after, for eighty bytes in all " % k
        )
        states.append(model.read_bytes())
    for k in (3, 2, 1, 0):
        assert undo(str(model)).remaining == k
        assert model.read_bytes() == states[k]
    assert undo(str(model)).state == "nothing"
    assert not os.path.exists(f"{model}.undo.json")


def test_the_record_is_small_strict_and_says_why(model: Path) -> None:
    applied = write(model, 100, b"forget")
    data = stored(model)
    assert applied.undo == f"{model}.undo.json"
    assert sorted(data) == ["file", "patches", "schema", "size"]
    assert (data["schema"], data["file"], data["size"]) == ("lstm-audit/undo/1", "model.pt", 2000)
    (patch,) = data["patches"]
    assert patch["edits"][0]["reason"] == "at 100"
    assert (patch["inode"], patch["mtime_ns"]) == (model.stat().st_ino, model.stat().st_mtime_ns)
    assert os.path.getsize(applied.undo) < 600


def test_the_record_has_the_files_mode_so_whoever_may_write_it_may_undo(model: Path) -> None:
    model.chmod(0o664)
    write(model, 0, b"x")
    assert os.stat(f"{model}.undo.json").st_mode & 0o777 == 0o664


def test_nothing_to_undo(model: Path) -> None:
    done = undo(str(model))
    assert (done.state, done.remaining, done.applied) == ("nothing", 0, None)


def test_undo_sweeps_also_where_there_is_nothing_to_undo(model: Path) -> None:
    """A patch that was killed early left its copy and no record: who tidies up with `undo` gets the
    space back.
    """
    model.with_name(".model.pt.lstm-audit-0123456789ab.tmp").write_bytes(BEFORE)
    assert undo(str(model)).state == "nothing"
    assert os.listdir(model.parent) == ["model.pt"]


@pytest.mark.parametrize("at", [100, 105])
def test_patched_bytes_that_changed_since_are_refused(model: Path, at: int) -> None:
    write(model, 100, b"forget")
    data = bytearray(model.read_bytes())
    data[at] ^= 1
    model.write_bytes(bytes(data))
    with pytest.raises(NotPatchable, match="written to since") as caught:
        undo(str(model))
    assert caught.value.kind == "changed"
    assert model.read_bytes() == bytes(data)
    assert stored(model)


def test_another_size_is_refused(model: Path) -> None:
    write(model, 100, b"forget")
    with model.open("ab") as file:
        file.write(b"more")
    with pytest.raises(NotPatchable, match="2000 bytes, and this has 2004"):
        undo(str(model))


def test_a_copied_file_is_undone_with_a_note(model: Path, tmp_path: Path) -> None:
    write(model, 100, b"forget")
    other = tmp_path / "copied"
    other.mkdir()
    for name in ("model.pt", "model.pt.undo.json"):
        (other / name).write_bytes((tmp_path / name).read_bytes())
    done = undo(str(other / "model.pt"))
    assert (other / "model.pt").read_bytes() == BEFORE
    assert ["copied, moved or written to" in note for note in done.notes] == [True]


def test_note_about_a_second_writer_survives_neither_patch_nor_undo(model: Path) -> None:
    """An undo brings the file back to where the patch below left it, so that one is no surprise to
    it.
    """
    write(model, 0, b"one")
    write(model, 9, b"two")
    assert undo(str(model)).notes == ()
    assert undo(str(model)).notes == ()


def test_a_patch_that_never_happened_is_dropped_and_the_one_below_stays(model: Path) -> None:
    write(model, 0, b"one")
    patched = model.read_bytes()
    write(model, 9, b"two")
    model.write_bytes(patched)  # what a kill between record and rename leaves
    done = undo(str(model))
    assert (done.state, done.remaining) == ("dropped", 1)
    assert model.read_bytes() == patched
    assert undo(str(model)).state == "restored"
    assert model.read_bytes() == BEFORE


def test_the_next_patch_drops_what_never_happened(model: Path) -> None:
    write(model, 0, b"one")
    patched = model.read_bytes()
    write(model, 9, b"two")
    model.write_bytes(patched)
    write(model, 20, b"three")
    assert [p["edits"][0]["at"] for p in stored(model)["patches"]] == [0, 20]


def test_the_record_of_what_the_file_used_to_be_is_given_up_with_a_note(model: Path) -> None:
    write(model, 0, b"one")
    model.write_bytes(bytes(2000))
    applied = write(model, 9, b"two")
    assert ["no longer fits" in note for note in applied.notes] == [True]
    assert len(stored(model)["patches"]) == 1
    undo(str(model))
    assert model.read_bytes() == bytes(2000)


def test_no_undo_leaves_no_record(model: Path) -> None:
    assert write(model, 0, b"one", undo=False).undo is None
    assert os.listdir(model.parent) == ["model.pt"]


def interrupted(path: Path, edit: Edit, upto: int) -> None:
    """An in-place write that stopped after `upto` bytes."""
    with files.hold(str(path)) as held:
        journal.begin(held, [edit])
        files.write_at(held.fd, edit.new[:upto], edit.at)


@pytest.mark.parametrize("upto", [0, 3])
def test_rolling_back_is_all_that_an_undo_does(model: Path, upto: int) -> None:
    """The interrupted patch is what was to be undone; the finished one below it is not."""
    write(model, 0, b"one")
    patched = model.read_bytes()
    interrupted(model, Edit(50, patched[50:60], b"0123456789", "r"), upto)
    done = undo(str(model))
    assert (done.state, done.remaining) == ("rolled-back", 1)
    assert model.read_bytes() == patched
    assert not journal.hot(str(model))


def test_a_torn_journal_is_an_interrupted_patch_too(model: Path) -> None:
    write(model, 0, b"one")
    Path(journal.journal_path(str(model))).write_bytes(b"lstm-au")
    assert undo(str(model)).state == "rolled-back"
    assert undo(str(model)).state == "restored"


def test_an_interrupted_undo_is_done_again(model: Path) -> None:
    write(model, 50, b"0123456789", mode="in-place")
    interrupted(model, Edit(50, b"0123456789", BEFORE[50:60], "undo"), 4)
    assert undo(str(model), mode="in-place").state == "restored"
    assert model.read_bytes() == BEFORE


def test_verification_can_stop_an_undo(model: Path) -> None:
    write(model, 50, b"0123456789")
    patched = model.read_bytes()

    def no(path: str) -> None:
        assert Path(path).read_bytes() == BEFORE
        raise NotPatchable("not this one")

    modes: Any = ("replace", "in-place")
    for mode in modes:
        with pytest.raises(NotPatchable, match="not this one"):
            undo(str(model), mode=mode, verify=no)
        assert model.read_bytes() == patched
        assert sorted(os.listdir(model.parent)) == ["model.pt", "model.pt.undo.json"]


def damaged(path: Path) -> list[bytes]:
    """Records that are wrong in one thing each."""
    good = stored(path)

    def but(**fields: Any) -> bytes:
        return json.dumps({**good, **fields}).encode()

    patch = good["patches"][0]
    edit = patch["edits"][0]

    def but_edit(**fields: Any) -> bytes:
        return but(patches=[{**patch, "edits": [{**edit, **fields}]}])

    return [
        b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000, b'{"a": 1, "a": 1}', b"NaN", b'{"schema": "lstm-audit/undo/1"}',
        but(schema="lstm-audit/undo/2"), but(size=-1), but(size="2000"), but(size=2000.0), but(size=10), but(file=3),
        but(patches={}), but(patches=[3]), but(patches=[{}]), but(patches=[{**patch, "edits": []}]),
        but(patches=[{**patch, "sha256": "0" * 64}]), but(patches=[{**patch, "mtime_ns": "now"}]),
        but(patches=[{**patch, "inode": True}]), but(patches=[{**patch, "tool": None}]),
        but(patches=[{**patch, "edits": patch["edits"] * 2}]),
        but_edit(at=-5), but_edit(at=1 << 70), but_edit(at=1.5), but_edit(at=None), but_edit(at=1999), but_edit(at=101),
        but_edit(old=""), but_edit(new=""), but_edit(new="AAAA"), but_edit(new="!"), but_edit(new=7),
        but_edit(new=edit["old"]), but_edit(reason=None),
    ]  # fmt: skip


@pytest.mark.parametrize("k", range(38))
def test_a_damaged_record_is_refused_by_undo_and_by_patch(model: Path, k: int) -> None:
    write(model, 100, b"forget")
    patched = model.read_bytes()
    wrong = damaged(model)
    assert len(wrong) == 38
    Path(f"{model}.undo.json").write_bytes(wrong[k])
    with pytest.raises(MalformedFile, match="undo record"):
        undo(str(model))
    with pytest.raises(MalformedFile, match="undo record"):
        write(model, 0, b"one")
    assert model.read_bytes() == patched
    assert Path(f"{model}.undo.json").read_bytes() == wrong[k]
    write(model, 0, b"one", undo=False)


def test_a_record_of_a_name_that_is_no_utf8(model: Path) -> None:
    other = model.with_name("caf\udce9.pt")
    other.write_bytes(model.read_bytes())
    write(other, 100, b"forget")
    assert other.read_bytes() != model.read_bytes()
    undo(str(other))
    assert other.read_bytes() == model.read_bytes()


def test_a_record_that_is_no_file_is_refused(model: Path) -> None:
    os.mkfifo(f"{model}.undo.json")
    with pytest.raises(MalformedFile, match="no regular file"):
        undo(str(model))


def test_a_record_that_would_burst_memory_is_refused_unread(model: Path) -> None:
    Path(f"{model}.undo.json").touch()
    os.truncate(f"{model}.undo.json", record.MAX_RECORD + 1)
    with pytest.raises(MalformedFile, match="at most"):
        undo(str(model))


@settings(max_examples=60)
@given(st.data())
def test_any_mutation_of_a_record_restores_the_old_bytes_or_refuses(
    tmp_path: Path, data: st.DataObject
) -> None:
    model = tmp_path / "model.pt"
    model.write_bytes(BEFORE)
    Path(f"{model}.undo.json").unlink(missing_ok=True)
    write(model, 100, b"forget")
    patched, name = model.read_bytes(), Path(f"{model}.undo.json")
    raw = bytearray(name.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        k = data.draw(st.integers(0, len(raw) - 1))
        raw[k : k + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    name.write_bytes(bytes(raw))
    try:
        undo(str(model))
    except AuditError:
        assert model.read_bytes() == patched
        return
    assert model.read_bytes() in (BEFORE, patched)


def test_undo_waits_for_nobody(model: Path) -> None:
    write(model, 0, b"one")
    with files.hold(str(model)), pytest.raises(Unreadable, match="lock"):
        undo(str(model))


def test_undo_follows_a_link(model: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest.pt"
    link.symlink_to("model.pt")
    write(link, 0, b"one")
    done = undo(str(link))
    assert done.path == str(model)
    assert "symbolic link" in done.notes[0]
    assert link.is_symlink()
    assert model.read_bytes() == BEFORE
