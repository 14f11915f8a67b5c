"""Edits into a file: what must not be written is refused first, and everything but the named bytes
stays as it was.
"""

import errno
import fcntl
import mmap
import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import untraced

from lstm_audit.errors import AuditError, NotPatchable, Unreadable
from lstm_audit.patching import clone, files, journal
from lstm_audit.patching.apply import Applied, apply
from lstm_audit.patching.edits import Edit
from lstm_audit.patching.undo import undo

BEFORE = random.Random(4).randbytes(3000)
EDITS = (Edit(7, BEFORE[7:15], b"01234567", "r"), Edit(2990, BEFORE[2990:], b"9876543210", "r"))
AFTER = BEFORE[:7] + b"01234567" + BEFORE[15:2990] + b"9876543210"
MODES: Any = ["replace", "in-place", "output"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    path.write_bytes(BEFORE)
    return path


def patch(path: Path, edits: Any = EDITS, **options: Any) -> Applied:
    if options.get("mode") == "output":
        options.setdefault("output", str(path.parent / "out.pt"))
    return apply(str(path), edits, files.identity_of(os.stat(path)), **options)


def assert_untouched(path: Path, *also: str) -> None:
    assert path.read_bytes() == BEFORE
    assert sorted(os.listdir(path.parent)) == sorted([path.name, *also])


@pytest.mark.parametrize("mode", MODES)
def test_exactly_the_named_bytes_change(model: Path, mode: Any) -> None:
    done = patch(model, mode=mode)
    assert Path(done.path).read_bytes() == AFTER
    assert model.read_bytes() == (BEFORE if mode == "output" else AFTER)
    assert (done.undo is None) == (mode == "output")


def test_in_place_keeps_the_inode_and_replace_takes_a_new_one(model: Path) -> None:
    inode = model.stat().st_ino
    patch(model, mode="in-place")
    assert model.stat().st_ino == inode
    undo(str(model))
    assert model.stat().st_ino != inode


@pytest.mark.parametrize("mode", ["replace", "in-place"])
def test_no_edits_write_nothing(model: Path, mode: Any) -> None:
    before = model.stat()
    assert patch(model, (), mode=mode).method == "none"
    assert files.identity_of(model.stat()) == files.identity_of(before)
    assert_untouched(model)


def test_no_edits_still_give_an_output(model: Path) -> None:
    assert Path(patch(model, (), mode="output").path).read_bytes() == BEFORE


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "edits",
    [
        (Edit(7, b"not there", b"whatever!", "r"),),
        (EDITS[0], Edit(10, BEFORE[10:12], b"xx", "r")),
        (EDITS[1], EDITS[0]),
        (Edit(2999, BEFORE[2999:] + b"x", b"yy", "r"),),
        (Edit(5000, b"", b"", "r"),),
        (Edit(-5, b"abcde", b"fghij", "r"),),
        (Edit(7, BEFORE[7:15], b"short", "r"),),
    ],
)
def test_edits_that_do_not_fit_the_file_are_refused(model: Path, mode: Any, edits: Any) -> None:
    with pytest.raises(AuditError):
        patch(model, edits, mode=mode)
    assert_untouched(model)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("change", ["time", "size", "inode"])
def test_a_file_that_is_not_the_planned_one_is_refused(model: Path, mode: Any, change: str) -> None:
    planned = files.identity_of(os.stat(model))
    if change == "time":
        os.utime(model, ns=(1, 1))
    elif change == "size":
        planned = (*planned[:2], planned[2] + 1, planned[3])
    else:
        os.rename(model, model.with_name("other"))
        model.write_bytes(BEFORE)
        os.utime(model, ns=(planned[3], planned[3]))
        model.with_name("other").unlink()
        planned = (planned[0], planned[1] + (model.stat().st_ino == planned[1]), *planned[2:])
    with pytest.raises(Unreadable, match="changed since") as caught:
        apply(str(model), EDITS, planned, mode=mode, output=str(model) + ".out")
    assert caught.value.kind == "changed"
    assert_untouched(model)


@pytest.mark.parametrize("mode", MODES)
def test_a_file_that_changes_while_it_is_copied_is_refused(model: Path, mode: Any) -> None:
    """Somebody saves a new checkpoint under the name while we verify ours."""
    newer = bytes(reversed(BEFORE))

    def meanwhile(path: str) -> None:
        model.with_name("new").write_bytes(newer)
        os.replace(model.with_name("new"), model)

    if mode == "in-place":
        patch(
            model, mode=mode, verify=meanwhile
        )  # the inode that we write is nobody's now; the newer file is whole
    else:
        with pytest.raises(Unreadable, match="changed since"):
            patch(model, mode=mode, verify=meanwhile)
    assert model.read_bytes() == newer
    assert not [name for name in os.listdir(model.parent) if name.endswith(".tmp")]
    assert not model.with_name("out.pt").exists()


@pytest.mark.parametrize("mode", MODES)
def test_what_verification_sees_is_the_new_file_and_it_may_refuse(model: Path, mode: Any) -> None:
    seen = []

    def no(path: str) -> None:
        seen.append(Path(path).read_bytes())
        raise NotPatchable("not what was planned")

    with pytest.raises(NotPatchable, match="not what was planned"):
        patch(model, mode=mode, verify=no)
    assert seen == [AFTER]
    assert_untouched(model)


@pytest.mark.parametrize("mode", MODES)
def test_what_was_written_is_read_again(
    model: Path, mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that says yes and keeps nothing."""
    real = os.pwrite

    def forgetful(fd: int, data: bytes, at: int) -> int:
        return len(data) if bytes(data) == EDITS[0].new else real(fd, data, at)

    monkeypatch.setattr(os, "pwrite", forgetful)
    with pytest.raises(Unreadable, match="does not hold"):
        patch(model, mode=mode)
    assert_untouched(model)


def test_rollback_that_fails_keeps_the_journal_and_says_so(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite

    def broken(fd: int, data: bytes, at: int) -> int:
        if os.fstat(fd).st_ino == model.stat().st_ino and at >= 2990:
            monkeypatch.setattr(os, "fsync", broken_sync)
            raise OSError(errno.EIO, "disk gone")
        return real(fd, data, at)

    def broken_sync(fd: int) -> None:
        raise OSError(errno.EIO, "disk gone")

    monkeypatch.setattr(os, "pwrite", broken)
    with pytest.raises(Unreadable, match="undo") as caught:
        patch(model, mode="in-place")
    assert caught.value.kind == "interrupted-patch"
    assert journal.hot(str(model))
    monkeypatch.undo()
    with pytest.raises(Unreadable, match="interrupted"):
        patch(model, (), mode="replace")
    assert undo(str(model)).state == "rolled-back"
    assert_untouched(model)


@pytest.mark.parametrize("mode", MODES)
def test_a_symbolic_link_is_followed_and_named(model: Path, tmp_path: Path, mode: Any) -> None:
    folder = tmp_path / "links"
    folder.mkdir()
    link = folder / "latest.pt"
    link.symlink_to("../model.pt")
    done = patch(link, mode=mode)
    assert link.is_symlink()
    assert Path(done.path).read_bytes() == AFTER
    assert f"is a symbolic link to {model}" in done.notes[0]
    assert sorted(os.listdir(folder)) == (
        ["latest.pt", "out.pt"] if mode == "output" else ["latest.pt"]
    )


BLOBS = [
    "models--org--name/blobs/anything",
    "datasets--org--name/blobs/" + "0" * 40,
    "cache/blobs/" + "a" * 64,
    "cache/blobs/" + "f" * 40,
]


@pytest.mark.parametrize("name", BLOBS)
def test_a_hub_caches_blob_is_refused_but_may_be_copied(tmp_path: Path, name: str) -> None:
    blob, link = tmp_path / name, tmp_path / "snapshots" / "model.safetensors"
    blob.parent.mkdir(parents=True)
    link.parent.mkdir()
    blob.write_bytes(BEFORE)
    link.symlink_to(blob)
    for mode in ("replace", "in-place"):
        with pytest.raises(NotPatchable, match="hub cache"):
            patch(link, mode=mode)
    assert_untouched(blob)
    assert Path(patch(link, mode="output").path).read_bytes() == AFTER


@pytest.mark.parametrize(
    "name", ["blobs/model.pt", "models--org--name/model.pt", "blobs/" + "g" * 40]
)
def test_what_only_looks_like_a_hub_cache_is_patched(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir()
    path.write_bytes(BEFORE)
    assert Path(patch(path).path).read_bytes() == AFTER


@pytest.mark.parametrize("mode", MODES)
def test_a_read_only_file_is_refused_also_for_root(model: Path, mode: Any) -> None:
    model.chmod(0o444)
    if mode == "output":
        assert Path(patch(model, mode=mode).path).read_bytes() == AFTER
        return
    with pytest.raises(NotPatchable, match="read-only"):
        patch(model, mode=mode)
    assert_untouched(model)


@pytest.mark.parametrize("mode", ["replace", "in-place"])
def test_a_read_only_folder_is_refused_also_for_root(tmp_path: Path, mode: Any) -> None:
    folder = tmp_path / "frozen"
    folder.mkdir()
    path = folder / "model.pt"
    path.write_bytes(BEFORE)
    folder.chmod(0o555)
    try:
        with pytest.raises(NotPatchable, match=r"folder .* is read-only"):
            patch(path, mode=mode)
        assert_untouched(path)
    finally:
        folder.chmod(0o755)


def test_hard_links_are_refused_without_in_place(model: Path) -> None:
    other = model.with_name("other.pt")
    os.link(model, other)
    with pytest.raises(NotPatchable, match="hard links"):
        patch(model)
    assert_untouched(model, "other.pt")
    patch(model, mode="in-place")
    assert model.read_bytes() == other.read_bytes() == AFTER


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo", "socket", "dangling", "nul"])
def test_what_is_no_file_is_refused_without_waiting(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "x")
    if kind == "folder":
        os.mkdir(path)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(tmp_path)  # a socket's path may have 108 bytes
            server.bind("x")
    elif kind == "dangling":
        os.symlink("nowhere", path)
    elif kind == "nul":
        path += "\0"
    with pytest.raises(Unreadable):
        apply(path, EDITS, (0, 0, 0, 0))


@pytest.mark.parametrize("mode", MODES)
def test_a_second_patch_is_locked_out(model: Path, mode: Any) -> None:
    script = (
        "import sys, fcntl; f = open(sys.argv[1], 'r+b'); fcntl.flock(f, fcntl.LOCK_EX); print(1, "
        "flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        other.stdout.readline()
        with pytest.raises(Unreadable, match="lock"):
            patch(model, mode=mode)
        other.kill()
    assert_untouched(model)
    patch(model, mode=mode)


def test_a_lock_won_on_a_file_that_was_replaced_is_worth_nothing(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.flock

    def slow(fd: int, how: int) -> None:
        model.with_name("new").write_bytes(AFTER)
        os.replace(model.with_name("new"), model)
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    with pytest.raises(Unreadable, match="changed while it was being opened"):
        patch(model)
    assert model.read_bytes() == AFTER


def test_stale_temporary_files_are_swept_and_others_left(model: Path) -> None:
    stale, used = (model.with_name(f".model.pt.lstm-audit-{c * 12}.tmp") for c in "ab")
    others = [
        ".model.pt.lstm-audit-xyz.tmp",
        ".other.pt.lstm-audit-cccccccccccc.tmp",
        "model.pt.tmp",
    ]
    for path in (stale, used, *(model.with_name(name) for name in others)):
        path.write_bytes(b"x")
    with used.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        patch(model)
    assert not stale.exists()
    assert used.exists()
    assert all(model.with_name(name).exists() for name in others)


def test_a_half_published_output_can_be_patched(model: Path) -> None:
    """Killed between link and unlink: the output has a second name, which is no user's hard
    link.
    """
    done = patch(model, mode="output")
    os.link(done.path, files.sidecar(done.path, f"lstm-audit-{'0' * 12}.tmp"))
    patch(Path(done.path), [Edit(0, AFTER[:1], b"x", "r")])
    assert sorted(os.listdir(model.parent)) == ["model.pt", "out.pt", "out.pt.undo.json"]


@pytest.mark.parametrize("mode", ["replace", "output"])
def test_mode_owner_and_attributes_stay(model: Path, mode: Any) -> None:
    model.chmod(0o640)
    if os.getuid() == 0:
        os.chown(model, 1234, 5678)
    before = model.stat()
    try:
        os.setxattr(model, "user.note", b"mine")
    except OSError:
        pytest.skip("no extended attributes here")
    after = os.stat(patch(model, mode=mode).path)
    assert after.st_mode == before.st_mode
    assert after.st_mtime_ns > before.st_mtime_ns  # caches must notice
    if mode == "replace":
        assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
        assert os.getxattr(model, "user.note") == b"mine"


def test_an_owner_that_cannot_be_kept_is_said(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: Any) -> None:
        raise PermissionError(errno.EPERM, "no")

    if os.getuid() != 0:
        pytest.skip("needs a file of another owner")
    os.chown(model, 1234, 5678)
    monkeypatch.setattr(os, "fchown", refused)
    assert any("owner 1234:5678" in note for note in patch(model).notes)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """linux/posix_acl_xattr.h: version 2, then (tag, permissions, id)."""
    import struct

    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACL = acl((1, 6, NOBODY), (2, 6, 4321), (4, 4, NOBODY), (16, 6, NOBODY), (32, 0, NOBODY))


@pytest.mark.parametrize("inherited", [False, True])
def test_access_lists_are_kept_and_none_is_picked_up(tmp_path: Path, inherited: bool) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    path = folder / "model.pt"
    path.write_bytes(BEFORE)
    path.chmod(0o640)
    try:
        if inherited:
            os.setxattr(folder, "system.posix_acl_default", ACL)
        else:
            os.setxattr(path, "system.posix_acl_access", ACL)
    except OSError:
        pytest.skip("no access control lists here")
    mode = path.stat().st_mode
    patch(path)
    assert path.stat().st_mode == mode
    assert ("system.posix_acl_access" in os.listxattr(path)) == (not inherited)
    if not inherited:
        assert os.getxattr(path, "system.posix_acl_access") == ACL


def test_an_existing_output_is_refused_unless_told(model: Path) -> None:
    other = model.with_name("out.pt")
    other.write_bytes(b"precious")
    with pytest.raises(NotPatchable, match="exists already"):
        patch(model, mode="output")
    assert other.read_bytes() == b"precious"
    patch(model, mode="output", overwrite=True)
    assert other.read_bytes() == AFTER


def test_an_output_that_appears_meanwhile_is_not_overwritten(model: Path) -> None:
    other = model.with_name("out.pt")
    with pytest.raises(NotPatchable, match="exists already"):
        patch(model, mode="output", verify=lambda path: other.write_bytes(b"precious") and None)
    assert other.read_bytes() == b"precious"
    assert_untouched(model, "out.pt")


def test_a_file_system_without_links_gets_a_rename(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any) -> None:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr(os, "link", refused)
    assert Path(patch(model, mode="output").path).read_bytes() == AFTER
    assert_untouched(model, "out.pt")


@pytest.mark.parametrize("output", ["model.pt", "hard.pt", "link.pt", "folder", None])
def test_outputs_that_are_none_are_refused(model: Path, output: str | None) -> None:
    os.link(model, model.with_name("hard.pt"))
    model.with_name("link.pt").symlink_to("model.pt")
    model.with_name("folder").mkdir()
    path = None if output is None else str(model.with_name(output))
    with pytest.raises(NotPatchable):
        patch(model, mode="output", output=path, overwrite=True)
    assert_untouched(model, "hard.pt", "link.pt", "folder")


def test_an_output_over_a_torn_file_is_refused(model: Path) -> None:
    other = model.with_name("out.pt")
    other.write_bytes(BEFORE)
    Path(journal.journal_path(str(other))).write_bytes(b"torn")
    with pytest.raises(Unreadable, match="interrupted"):
        patch(model, mode="output", overwrite=True)


def test_a_name_that_is_too_long_for_a_neighbour_fails_cleanly(tmp_path: Path) -> None:
    path = tmp_path / ("m" * 250)
    path.write_bytes(BEFORE)
    with pytest.raises(Unreadable, match="name too long"):
        patch(path)
    assert_untouched(path)


SPARSE = 64 << 20


@pytest.fixture
def sparse(tmp_path: Path) -> Path:
    path = tmp_path / "sparse.pt"
    path.write_bytes(b"head" * 1000)
    os.truncate(path, SPARSE)
    with path.open("r+b") as file:
        file.seek(SPARSE // 2)
        file.write(b"middle" * 1000)
    return path


@pytest.mark.parametrize("slow", [False, True])
def test_holes_stay_holes_and_progress_reaches_the_end(
    sparse: Path, slow: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if slow:
        monkeypatch.setattr(os, "copy_file_range", unsupported)
    seen: list[tuple[int, int]] = []
    done = patch(
        sparse, [Edit(SPARSE - 4, bytes(4), b"tail", "r")], progress=lambda *p: seen.append(p)
    )
    with sparse.open("rb") as file:
        assert file.read(4000) == b"head" * 1000
        file.seek(SPARSE // 2)
        assert file.read(6000) == b"middle" * 1000
        file.seek(-8, os.SEEK_END)
        assert file.read() == b"\0\0\0\0tail"
    assert sparse.stat().st_blocks * 512 < SPARSE // 8
    if done.method == "copy":
        assert seen
        assert all(done <= total == SPARSE for done, total in seen)


def unsupported(*args: Any) -> int:
    raise OSError(errno.EXDEV, "not between these")


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tracemalloc

    path = tmp_path / "big.pt"
    block = random.Random(1).randbytes(1 << 20)
    path.write_bytes(block * 24)
    monkeypatch.setattr(os, "copy_file_range", unsupported)
    tracemalloc.start()
    done = patch(path, [Edit(5, block[5:6], bytes([block[5] ^ 1]), "r")])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (4 << 20 if done.method == "copy" else 1 << 20)


def test_in_place_takes_no_longer_for_a_larger_file(tmp_path: Path) -> None:
    path = tmp_path / "huge.pt"
    path.touch()
    os.truncate(path, 1 << 40)
    edit = Edit((1 << 40) - 100, bytes(8), b"forgets!", "r")
    patch(path, [edit], mode="in-place")  # it would never end if the file were read
    with path.open("rb") as file:
        file.seek(edit.at)
        assert file.read(8) == b"forgets!"


def test_a_process_that_maps_the_file_is_named(model: Path) -> None:
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("no /proc")
    me = f"({os.getpid()})"
    assert not [who for who in files.find_mappers(str(model)) if me in who]
    with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ):
        assert [who for who in files.find_mappers(str(model)) if me in who]


def test_a_full_disk_is_refused_before_the_copy(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        f_bavail, f_frsize = 10, 4096

    monkeypatch.setattr(os, "fstatvfs", lambda fd: Full)
    monkeypatch.setattr(clone, "_try_reflink", lambda source, target: False)
    with pytest.raises(Unreadable, match="--in-place writes only"):
        patch(model)
    assert_untouched(model)
    assert patch(model, mode="in-place").method == "in-place"


@pytest.fixture
def other_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a platform other than Linux may lack, missing."""
    for name in ("copy_file_range", "SEEK_DATA", "SEEK_HOLE", "listxattr"):
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(sys, "platform", "freebsd14")


@pytest.mark.usefixtures("other_platform")
@pytest.mark.parametrize("mode", MODES)
def test_a_plain_posix_system_is_enough(model: Path, mode: Any) -> None:
    assert Path(patch(model, mode=mode).path).read_bytes() == AFTER


def test_importing_the_engine_is_cheap() -> None:
    script = (
        "import sys; import lstm_audit.patching.undo; print([m for m in sys.modules if m in "
        "set(sys.argv[1:])])"
    )
    heavy = [
        "json",
        "hashlib",
        "random",
        "tempfile",
        "shutil",
        "subprocess",
        "zipfile",
        "numpy",
        "torch",
        "mmap",
    ]
    command = [sys.executable, "-c", script, *heavy]
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=untraced())
    assert run.stdout.strip() == "[]"
