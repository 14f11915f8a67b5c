"""The rollback journal: from every state that a crash can leave, recovery reaches old or new bytes,
or refuses.
"""

import hashlib
import itertools
import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_audit.errors import AuditError, NotPatchable, Unreadable
from lstm_audit.interrupted import strangers
from lstm_audit.patching import files, journal
from lstm_audit.patching.edits import Edit

SECTOR = 8  # small, so that all mixtures of a file can be tried
OLD = bytes(range(64))
EDITS = (
    Edit(10, OLD[10:22], b"AAAAAAAAAAAA", "r"),
    Edit(40, OLD[40:42], b"BB", "r"),
    Edit(60, OLD[60:62], b"CC", "r"),
)


def edited(data: bytes, edits: tuple[Edit, ...]) -> bytes:
    out = bytearray(data)
    for edit in edits:
        out[edit.at : edit.end] = edit.new
    return bytes(out)


NEW = edited(OLD, EDITS)
JOURNAL = journal.journal_of((1, 2, len(OLD), 3), EDITS)


def recovered(file: bytes, data: bytes | None) -> bytes | None:
    """What `recover_journal` makes of a file, or None where it refuses; the same decision, over bytes in
    memory.
    """
    verdict, edits = journal.judge_journal(data, len(file), lambda at, n: file[at : at + n])
    if verdict == "refused":
        return None
    return (
        edited(file, tuple(Edit(e.at, e.new, e.old, "r") for e in edits))
        if verdict == "rolled-back"
        else file
    )


def mixtures(a: bytes, b: bytes) -> Iterator[bytes]:
    """Every sector old or new, in all combinations."""
    different = [k for k in range(0, len(a), SECTOR) if a[k : k + SECTOR] != b[k : k + SECTOR]]
    for chosen in itertools.product((False, True), repeat=len(different)):
        mixed = bytearray(a)
        for k, new in zip(different, chosen, strict=True):
            if new:
                mixed[k : k + SECTOR] = b[k : k + SECTOR]
        yield bytes(mixed)


def torn_journals(holes: int) -> Iterator[bytes | None]:
    """The journal missing, cut at every byte, and with random sectors never written."""
    dice = random.Random(5)
    yield None
    for cut in range(len(JOURNAL)):
        yield JOURNAL[:cut]
    for _ in range(holes):
        data = bytearray(JOURNAL)
        for k in range(0, len(data), SECTOR):
            if dice.random() < 0.5:
                data[k : k + SECTOR] = bytes(len(data[k : k + SECTOR]))
        yield bytes(data)


def crash_states() -> Iterator[tuple[bytes, bytes | None]]:
    """(file, journal): while the journal is written; while the file is, behind the barrier; while
    the journal goes.
    """
    for torn in (*torn_journals(300), JOURNAL):
        yield OLD, torn
    for file in mixtures(OLD, NEW):
        yield file, JOURNAL
    for left in (None, JOURNAL):
        yield NEW, left


def test_model_check_every_crash_state_recovers() -> None:
    states = list(crash_states())
    bad = [s for s in states if recovered(*s) not in (OLD, NEW)]
    assert len(states) == 1 + len(JOURNAL) + 300 + 1 + 2**4 + 2
    assert bad == []


def test_model_check_control_without_the_barrier_fails() -> None:
    """Journal and file in flight at once: what the syncs are there to prevent."""
    states = [(file, torn) for torn in torn_journals(0) for file in mixtures(OLD, NEW)]
    bad = [s for s in states if recovered(*s) not in (OLD, NEW)]
    assert len(bad) == len(states) * 14 // 16
    assert len(bad) > 500


@pytest.mark.parametrize("state", [0, 5, 150, 250, 400, 470, -19, -18, -10, -4, -3, -2, -1])
def test_real_recovery_agrees_with_the_model(tmp_path: Path, state: int) -> None:
    file, left = list(crash_states())[state]
    path = tmp_path / "model.pt"
    path.write_bytes(file)
    if left is not None:
        Path(journal.journal_path(str(path))).write_bytes(left)
    verdict = journal.recover_journal(str(path))
    assert (verdict == "none") == (left is None)
    assert path.read_bytes() == recovered(file, left)
    assert os.listdir(tmp_path) == ["model.pt"]
    assert journal.recover_journal(str(path)) == "none"


@pytest.mark.parametrize(
    ("file", "left", "verdict"),
    [
        (OLD, None, "none"),
        (OLD, JOURNAL[:-1], "dropped"),
        (OLD, JOURNAL, "untouched"),
        (NEW, JOURNAL, "finished"),
        (OLD[:40] + NEW[40:], JOURNAL, "rolled-back"),
        (OLD[:41] + b"B" + OLD[42:], JOURNAL, "rolled-back"),  # torn within an edit
        (OLD[:41] + b"?" + OLD[42:], JOURNAL, "refused"),
        (NEW[:61] + b"?" + NEW[62:], JOURNAL, "refused"),
        (NEW + b"more", JOURNAL, "refused"),
        (OLD[:-1], JOURNAL, "refused"),
    ],
)
def test_verdicts(file: bytes, left: bytes | None, verdict: str) -> None:
    assert journal.judge_journal(left, len(file), lambda at, n: file[at : at + n])[0] == verdict


def test_bytes_outside_the_edits_are_nobodys_business() -> None:
    file = b"!" + NEW[1:]
    assert (
        journal.judge_journal(JOURNAL, len(file), lambda at, n: file[at : at + n])[0] == "finished"
    )


def test_refusal_keeps_the_journal_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(bytes(64))
    Path(journal.journal_path(str(path))).write_bytes(JOURNAL)
    with pytest.raises(Unreadable, match="does not fit the file") as caught:
        journal.recover_journal(str(path))
    assert caught.value.kind == "interrupted-patch"
    assert path.read_bytes() == bytes(64)
    assert journal.hot(str(path))


def sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"SQLite format 3\0",
        journal.MAGIC,
        journal.MAGIC + bytes(31),
        journal.MAGIC + bytes(32) + b"x",
        journal.MAGIC + bytes(32) + struct.pack("<QQ", 0, 1),
        journal.MAGIC + bytes(32) + struct.pack("<QQ", 0, 1 << 63) + b"ab",
    ],
)
def test_sealed_nonsense_is_refused(body: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        journal.judge_journal(sealed(body), 64, lambda at, n: bytes(n))
    assert caught.value.kind == "interrupted-patch"


def test_place_beyond_the_file_is_refused_unread() -> None:
    data = journal.journal_of((0, 0, 64, 0), (Edit(1 << 62, b"a", b"b", "r"),))
    assert journal.judge_journal(data, 64, lambda at, n: pytest.fail("read"))[0] == "refused"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.booleans())
def test_any_bytes_are_judged_or_refused(body: bytes, sealing: bool) -> None:
    body = journal.MAGIC + body
    try:
        verdict, _ = journal.judge_journal(
            sealed(body) if sealing else body, 64, lambda at, n: OLD[at : at + n]
        )
    except AuditError:
        return
    assert verdict in ("dropped", "finished", "untouched", "refused", "rolled-back")


def test_edits_survive_the_journal() -> None:
    size, edits = journal.read_journal(JOURNAL) or (0, ())
    assert size == len(OLD)
    assert [(e.at, e.old, e.new) for e in edits] == [(e.at, e.old, e.new) for e in EDITS]


def test_too_much_for_a_journal_is_refused_before_anything_is_written() -> None:
    half = bytes(journal.MAX_JOURNAL // 2)
    with pytest.raises(NotPatchable, match="too much"):
        journal.journal_of((0, 0, 1 << 40, 0), (Edit(0, half, half, "r"),))


def test_a_journal_that_is_a_link_does_not_count(tmp_path: Path) -> None:
    path, other = tmp_path / "model.pt", tmp_path / "other"
    path.write_bytes(NEW)
    other.write_bytes(JOURNAL)
    name = journal.journal_path(str(path))
    os.symlink(other, name)
    assert not journal.hot(str(path))
    assert journal.recover_journal(str(path)) == "none"
    assert strangers(str(path)) == [f"{name} is a link and was left alone"]
    with files.hold(str(path)) as held, pytest.raises(NotPatchable, match="is a link"):
        journal.begin(held, EDITS)
    assert path.read_bytes() == NEW
    assert os.path.islink(name)


@pytest.mark.parametrize("planted", ["folder", "fifo", "huge"])
def test_a_journal_that_is_no_file_of_ours_is_left_alone(tmp_path: Path, planted: str) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(OLD)
    name = journal.journal_path(str(path))
    if planted == "folder":
        os.mkdir(name)
    elif planted == "fifo":
        os.mkfifo(name)
    else:
        Path(name).touch()
        os.truncate(name, journal.MAX_JOURNAL + 1)
    with pytest.raises(Unreadable):
        journal.recover_journal(str(path))
    assert path.read_bytes() == OLD
    assert os.path.lexists(name)


def test_hot_is_asked_of_the_file_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    path, link = tmp_path / "real" / "model.pt", tmp_path / "link.pt"
    path.write_bytes(OLD)
    link.symlink_to(path)
    assert not journal.hot(str(link))
    Path(journal.journal_path(str(path))).write_bytes(JOURNAL)
    assert journal.hot(str(link))
    assert journal.hot(str(path))
    assert journal.recover_journal(str(link)) == "untouched"
    assert not journal.hot(str(path))


@pytest.mark.parametrize("path", ["", "nowhere/at/all", "nul\0byte", "x" * 250, "/"])
def test_hot_never_raises(path: str) -> None:
    assert journal.hot(path) is False


def test_a_running_patch_is_not_recovered_from_under_it(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(OLD)
    with files.hold(str(path)) as held:
        journal.begin(held, EDITS)
        with pytest.raises(Unreadable, match="lock"):
            journal.recover_journal(str(path))
        assert journal.hot(str(path))


def test_a_second_journal_is_never_written_over_the_first(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(OLD)
    with files.hold(str(path)) as held:
        journal.begin(held, EDITS)
        with pytest.raises(FileExistsError):
            journal.begin(held, EDITS[:1])
    assert (
        Path(journal.journal_path(str(path))).read_bytes()[-32:]
        == hashlib.sha256(Path(journal.journal_path(str(path))).read_bytes()[:-32]).digest()
    )
    assert journal.hot(str(path))
