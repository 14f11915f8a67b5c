"""Edits into a file, so that a kill at any instant leaves the old bytes or the new.

Comes in: a path, edits, and the identity of the file that they were planned on. Goes out:
`Applied`. Promise: exactly the bytes that the edits name are changed, in a copy that takes the old
file's name at once (`replace`), in the file itself under a journal (`in-place`), or in another new
file (`output`). A failure before the new bytes stand leaves the old ones; what the disk does not
confirm afterwards is in `Applied.doubts`. This module knows no format.

The undo record is written before the bytes: a crash in between leaves a record of a patch that
never happened, which is known by the file's bytes, and never a patched file without a record.
"""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from ..errors import NotPatchable, Unreadable
from ..interrupted import InterruptedPatch, has_journal
from . import files, journal, record, steps
from .clone import CopyMethod, CopyProgress, clone, dress
from .edits import Edit
from .files import FileIdentity, LockedFile, Temp
from .record import Record

Mode = Literal["replace", "in-place", "output"]
# Called with the path of the written bytes before they count; whatever it raises undoes them.
#
# That path is a temporary file, or in `in-place` the file itself, whose journal is then still hot.
Verify = Callable[[str], None]


# The two ways to write, and where a crash may fall:
#
# replace                                     in-place
#   1 copy to a temporary name, edit it         1 journal: content, sync
#   2 read it back, verify, sync it             2 undo record
#   3 undo record, sync of the folder           3 sync of the folder
#   4 rename over the old name                  4 write the bytes, sync, verify
#   5 sync of the folder                        5 remove the journal, sync of the folder
#
# Before step 4 of either the old file is untouched. After the rename, or after the sync of step 4,
# the new one stands. Within step 4 of in-place the journal brings the old bytes back. What may fail
# afterwards (the last sync) cannot be undone any more and is told as a doubt, not as a failure.
class Applied(NamedTuple):
    """What was done. `path` is the file that now has the new bytes; `undo` its undo record, if one
    was written. `doubts` say what the disk would not confirm, and what it then may hold.
    """

    path: str
    mode: Mode
    method: CopyMethod
    edits: tuple[Edit, ...]
    undo: str | None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def apply(
    path: str,
    edits: Sequence[Edit],
    identity: FileIdentity,
    *,
    mode: Mode = "replace",
    output: str | None = None,
    overwrite: bool = False,
    verify: Verify | None = None,
    undo: bool = True,
    batch: int = 0,
    progress: CopyProgress | None = None,
) -> Applied:
    """Make the edits in the file at `path`, or in a copy of it at `output`.

    `identity` is `FileSource.identity` of what was planned on; `undo` keeps an undo record beside
    the file (never for `output`, whose source stays), `batch` is noted in it. Raises an
    `AuditError` and leaves everything as it was; after a failure of the machine itself in the
    middle of an in-place write, kind `interrupted-patch`.
    """
    edits = tuple(edits)
    with files.hold(path, write=mode != "output") as held:
        check_ready(held, edits, identity)
        if mode == "output":
            return _write_output(held, edits, output, overwrite, verify, progress)
        files.sweep(held.path)
        if not edits:
            return Applied(held.path, mode, "none", edits, _record_beside(held, undo), held.notes)
        patch = _push_record(held, edits, batch) if undo else None
        if mode == "in-place":
            done = _patch_in_place(held, edits, patch, verify)
        else:
            done = _patch_replacing(held, edits, patch, verify, progress)
        notes = (*held.notes, *(patch.notes if patch else ()), *done.notes)
        beside = _record_beside(held, undo)
        return Applied(held.path, mode, done.method, edits, beside, notes, done.doubts)


# A plan is made on one state of the file and carried out on another, later one: size, inode and
# mtime must be the same, and so must all bytes that are going to be replaced.
def check_ready(held: LockedFile, edits: Sequence[Edit], identity: FileIdentity) -> None:
    """Raise unless this is the file that was planned on, whole, and the edits are edits of it."""
    if has_journal(held.path):
        raise InterruptedPatch(held.path)
    files.check_unchanged(held, identity)
    end = 0
    for edit in edits:
        if len(edit.old) != len(edit.new) or not end <= edit.at <= edit.end <= held.stat.st_size:
            raise NotPatchable("the planned edits overlap or reach beyond the file", edit.at)
        end = edit.end
    check_holds(held.fd, [(e.at, e.old) for e in edits])


def check_holds(fd: int, places: Sequence[tuple[int, bytes]]) -> None:
    """Raise `Unreadable` (kind `changed`) unless the file holds these bytes at these places."""
    for at, data in places:
        if files.read_at(fd, len(data), at) != data:
            raise Unreadable(
                "the file does not hold the bytes that were expected here; it changed",
                at,
                "changed",
            )


# The record goes first and is then wrong until the rename: it names a patch that has not happened.
# That way round is harmless, because the file's bytes tell; a patched file without a record could
# never be undone.
class Pushed(NamedTuple):
    """The undo record as it is, and with this patch on top once its inode and mtime are known."""

    now: Record | None
    below: Record
    edits: tuple[Edit, ...]
    batch: int
    notes: tuple[str, ...] = ()

    def then(self, inode: int, mtime_ns: int | None) -> Record:
        return record.push(self.below, self.edits, inode, mtime_ns, self.batch)


def _push_record(held: LockedFile, edits: tuple[Edit, ...], batch: int) -> Pushed:
    record.refuse_stranger(held)
    now = record.load(held.path)
    below, notes = steps.fitting(now, held, lambda at, n: files.read_at(held.fd, n, at))
    return Pushed(now, below, edits, batch, tuple(notes))


def _record_beside(held: LockedFile, undo: bool) -> str | None:
    name = record.record_path(held.path)
    return name if undo and os.path.lexists(name) else None


# ---- the two ways to write, step by step


class Done(NamedTuple):
    """How it was written, what of owner and attributes was lost, and what is not certain."""

    method: CopyMethod
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def _patch_replacing(
    held: LockedFile,
    edits: tuple[Edit, ...],
    patch: Pushed | None,
    verify: Verify | None,
    progress: CopyProgress | None,
) -> Done:
    """A verified copy, durable; the undo record, durable; then the copy takes the file's name."""
    with files.temporary(held.path) as temp:
        method, notes = make_copy(held, temp, edits, verify, progress)
        new = os.fstat(temp.fd)
        try:
            if patch:
                record.store(held, patch.then(new.st_ino, new.st_mtime_ns))
                files.sync_folder(held.path)
            take_the_name(held, temp)
        # BaseException, because KeyboardInterrupt is the likeliest visitor here; its arrival behind
        # the rename is the one state in which restoring the record would be wrong.
        except BaseException:
            # an interrupt may arrive behind the rename: then the record is needed
            if patch and not is_file(held.path, new):
                restore_record(held, patch.now)
            raise
        return Done(method, notes, sync_name(held.path))


def _patch_in_place(
    held: LockedFile, edits: tuple[Edit, ...], patch: Pushed | None, verify: Verify | None
) -> Done:
    """Journal and undo record, both durable; then the bytes, durable; then the journal goes."""
    journal.begin(held, edits)
    try:
        if patch:
            record.store(held, patch.then(held.stat.st_ino, None))
        write_journaled(held, edits, verify)
    except BaseException as error:
        doubts = roll_back_now(held, edits)
        if patch:
            restore_record(held, patch.now)
        refuse_with(error, doubts)
        raise
    return Done("in-place", doubts=drop_journal(held))


# ---- the steps


# Owner, mode and extended attributes are copied before the sync, so that the file which takes the
# name is complete: a crash between rename and chown would leave a root-owned or world-readable
# model.
def make_copy(
    held: LockedFile,
    temp: Temp,
    edits: Sequence[Edit],
    verify: Verify | None,
    progress: CopyProgress | None,
) -> tuple[CopyMethod, tuple[str, ...]]:
    """The new file under its temporary name: bytes, owner, mode and attributes, read again,
    verified, durable.
    """
    files.refuse_hard_links(os.fstat(held.fd))
    method = fill(held, temp, edits, verify, progress)
    notes = dress(temp.fd, held.stat, held.fd)
    files.sync(temp.fd)
    return method, tuple(notes)


def fill(
    held: LockedFile,
    temp: Temp,
    edits: Sequence[Edit],
    verify: Verify | None,
    progress: CopyProgress | None,
) -> CopyMethod:
    """The new bytes in the temporary file, read again and verified there."""
    method = clone(held.fd, temp.fd, held.stat.st_size, progress)
    check_holds(temp.fd, [(e.at, e.old) for e in edits])
    _write(temp.fd, edits)
    if verify:
        verify(temp.path)
    return method


def _write(fd: int, edits: Sequence[Edit]) -> None:
    for edit in edits:
        files.write_at(fd, edit.new, edit.at)
    check_holds(fd, [(e.at, e.new) for e in edits])


# Checked once more, as late as possible: whoever wrote to the old file since the copy was made
# would lose that write to the rename. What remains is the window of one system call.
def take_the_name(held: LockedFile, temp: Temp) -> None:
    """From here on the new bytes stand."""
    files.check_unchanged(held, held.identity)
    os.replace(temp.path, held.path)


def is_file(path: str, found: os.stat_result) -> bool:
    """Whether the name now means this file."""
    try:
        return os.path.samestat(os.stat(path), found)
    except OSError:
        return False


def restore_record(held: LockedFile, now: Record | None) -> None:
    """Best effort: a record that names a patch which never happened is recognised and dropped by
    the next run.
    """
    with suppress(OSError):
        record.store(held, now)


def sync_name(path: str) -> tuple[str, ...]:
    """Make the new name durable; what is not certain where the disk does not confirm it."""
    try:
        files.sync_folder(path)
    except OSError as error:
        return (
            f"the new bytes are written, but the folder could not be synced ({error.strerror}): "
            "after a power cut the old file may be back",
        )
    return ()


def write_journaled(held: LockedFile, edits: Sequence[Edit], verify: Verify | None) -> None:
    """The bytes of an in-place write whose journal was begun."""
    files.sync_folder(held.path)
    files.check_unchanged(held, held.identity)
    _write(held.fd, edits)
    files.sync(held.fd)
    if verify:
        verify(held.path)


# A failed write in place is not left to the next run: the old bytes go back at once. If that fails
# too the journal stays, and the error says `interrupted-patch`.
def roll_back_now(held: LockedFile, edits: Sequence[Edit]) -> tuple[str, ...]:
    """What a crash would leave to the next run is done at once, if the machine lets us; what the
    disk would not confirm.
    """
    try:
        journal.restore_old_bytes(held.fd, edits)
        files.sync(held.fd)
    except OSError as worse:
        raise InterruptedPatch(held.path, say_unconfirmed(held, edits, worse)) from worse
    try:
        return journal.remove_journal(held)
    except OSError as worse:
        said = (
            f"the file holds its old bytes, but the journal could not be removed ({worse.strerror})"
        )
        raise InterruptedPatch(held.path, f"{said}: `lstm-audit undo` removes it") from worse


# What reads as old may stand in the page cache alone: after a failed sync the kernel may have
# dropped the pages, and only the disk knows which bytes it has.
def say_unconfirmed(held: LockedFile, edits: Sequence[Edit], error: OSError) -> str:
    """What a file holds whose old bytes could not be put back for sure, and what is not certain."""
    return (
        f"the write could not be finished, nor taken back for sure ({error.strerror}): the file "
        f"reads as {_say_bytes(held.fd, edits)}, but the disk did not confirm them, so that after "
        "a power cut it may hold old and new bytes mixed. The journal stays: `lstm-audit undo` "
        "restores the old bytes"
    )


def _say_bytes(fd: int, edits: Sequence[Edit]) -> str:
    """Which bytes a file reads as, at the places that were to change."""
    try:
        now = [files.read_at(fd, len(edit.old), edit.at) for edit in edits]
    except (OSError, Unreadable):
        return "nothing, for it cannot be read,"
    if now == [edit.old for edit in edits]:
        return "its old bytes"
    return "its new bytes" if now == [edit.new for edit in edits] else "old and new bytes mixed"


def refuse_with(error: BaseException, doubts: Sequence[str]) -> None:
    """Raise an `OSError` of an in-place write as one that says what the file holds after it was
    rolled back; another error says enough.
    """
    if isinstance(error, OSError):
        said = "; ".join((f"{error.strerror or error}: the file holds its old bytes", *doubts))
        raise Unreadable(said) from error


def drop_journal(held: LockedFile) -> tuple[str, ...]:
    """The end of an in-place write; what the disk would not confirm."""
    try:
        return journal.remove_journal(held)
    except OSError as error:
        message = (
            f"the bytes are written, but the journal could not be removed ({error.strerror}): "
            "patch once more"
        )
        raise Unreadable(message, kind="interrupted-patch") from error


# ---- another file


def _write_output(
    held: LockedFile,
    edits: tuple[Edit, ...],
    output: str | None,
    overwrite: bool,
    verify: Verify | None,
    progress: CopyProgress | None,
) -> Applied:
    """A verified copy, durable, that gets a name of its own."""
    if output is None:
        raise NotPatchable("mode output needs the path of the other file")
    target = os.path.realpath(output)
    _check_output(held, target, overwrite)
    files.sweep(target)
    with files.temporary(target) as temp:
        method = fill(held, temp, edits, verify, progress)
        os.fchmod(temp.fd, held.stat.st_mode & 0o777)
        files.sync(temp.fd)
        files.check_unchanged(held, held.identity)
        _publish(temp.path, target, overwrite)
    return Applied(target, "output", method, edits, None, held.notes, sync_name(target))


def _check_output(held: LockedFile, target: str, overwrite: bool) -> None:
    files.refuse_hub_blob(target)
    if target == held.path or is_file(target, held.stat):
        raise NotPatchable("the output is the file itself: leave --output out to patch it")
    if os.path.isdir(target):
        raise NotPatchable(f"{target} is a folder")
    if os.path.lexists(target) and not overwrite:
        raise NotPatchable(f"{target} exists already and is not overwritten")
    if os.path.lexists(journal.journal_path(target)):
        raise InterruptedPatch(target)


# link() fails where the name exists, rename() replaces it: without --overwrite the first is wanted.
# File systems without hard links (FAT, some network mounts) get a rename after all.
def _publish(temp: str, target: str, overwrite: bool) -> None:
    """Give the finished file its name; a link fails where a rename would overwrite what came in
    between.
    """
    if overwrite:
        os.replace(temp, target)
        return
    try:
        os.link(temp, target)
    except FileExistsError:
        raise NotPatchable(f"{target} exists already and is not overwritten") from None
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK):
            raise
        os.rename(temp, target)  # a file system without hard links: the check above must do
        return
    with suppress(OSError):  # the file stands; the second name is swept by the next run
        os.unlink(temp)
