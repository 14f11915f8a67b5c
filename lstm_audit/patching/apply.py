"""Edits into a file, so that a kill at any instant leaves the old bytes or the new.

Comes in: a path, edits, and the identity of the file that they were planned on. Goes out:
`Applied`. Promise: exactly the bytes that the edits name are changed, in a copy that takes the old
file's name at once (`replace`), in the file itself under a journal (`in-place`), or in another new
file (`output`); any failure leaves everything as it was. This module knows no format.
"""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, NamedTuple

from ..errors import NotPatchable, Unreadable
from . import files, journal, record
from .clone import Method, Progress, clone, dress
from .edits import Edit
from .files import Held, Identity, Temp
from .record import Record

Mode = Literal["replace", "in-place", "output"]
Verify = Callable[[str], None]
"""Called with the path of the written bytes before they count; whatever it raises undoes them.

That path is a temporary file, or in `in-place` the file itself, whose journal is then still hot.
"""

Shift = Callable[[int, int | None], Record | None]
"""From the inode and mtime that the file will have (None: unknown) to the undo record that it shall
have.
"""


class Applied(NamedTuple):
    """What was done. `path` is the file that now has the new bytes; `undo` its undo record, if one
    was written. `doubts` say what the disk would not confirm, and what it then may hold.
    """

    path: str
    mode: Mode
    method: Method
    edits: tuple[Edit, ...]
    undo: str | None
    notes: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


class Ledger(NamedTuple):
    """What becomes of the undo record: written before the bytes (`first`: a patch) or after them
    (an undo).

    Either way a crash in between leaves a record that says too much, and never a patched file
    without one.
    """

    now: Record | None
    shift: Shift
    first: bool


class Job(NamedTuple):
    """What the caller wants beside the edits."""

    verify: Verify | None = None
    progress: Progress | None = None
    ledger: Ledger | None = None


def apply(
    path: str,
    edits: Sequence[Edit],
    identity: Identity,
    *,
    mode: Mode = "replace",
    output: str | None = None,
    overwrite: bool = False,
    verify: Verify | None = None,
    undo: bool = True,
    batch: int = 0,
    progress: Progress | None = None,
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
            return _apply_output(held, edits, output, overwrite, Job(verify, progress))
        ledger, notes = _patch_ledger(held, edits, batch) if undo and edits else (None, [])
        return write(held, edits, mode, Job(verify, progress, ledger), notes)


def check_ready(held: Held, edits: Sequence[Edit], identity: Identity) -> None:
    """Raise unless this is the file that was planned on, whole, and the edits are edits of it."""
    if journal.hot(held.path):
        raise journal.interrupted()
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


def _patch_ledger(held: Held, edits: tuple[Edit, ...], batch: int) -> tuple[Ledger, list[str]]:
    now = record.load(held.path)
    below, notes = record.fitting(now, held, lambda at, n: files.read_at(held.fd, n, at))
    return Ledger(
        now, lambda inode, mtime: record.pushed(below, edits, inode, mtime, batch), first=True
    ), notes


def write(
    held: Held, edits: tuple[Edit, ...], mode: Mode, job: Job, notes: Sequence[str] = ()
) -> Applied:
    """Make checked edits in a file that is held, and keep the undo record with them."""
    files.sweep(held.path)
    more: list[str] = []
    method: Method = "none"
    if edits and mode == "in-place":
        method, more = "in-place", _write_in_place(held, edits, job)
    elif edits:
        method, more = _write_replacing(held, edits, job)
    kept = (
        record.name_of(held.path)
        if job.ledger and os.path.lexists(record.name_of(held.path))
        else None
    )
    return Applied(held.path, mode, method, edits, kept, (*held.notes, *notes, *more))


def _write_replacing(held: Held, edits: tuple[Edit, ...], job: Job) -> tuple[Method, list[str]]:
    if os.fstat(held.fd).st_nlink > 1:
        raise NotPatchable(
            "it has more than one name (hard links), which a replacement would part: use --in-place"
        )
    with files.temporary(held.path) as temp:
        method = _fill(held, temp, edits, job)
        notes = dress(temp.fd, held.stat, held.fd)
        files.sync(temp.fd)
        return method, notes + _rename(held, temp, job.ledger)


def _fill(held: Held, temp: Temp, edits: Sequence[Edit], job: Job) -> Method:
    """The new bytes in the temporary file, read again and verified there."""
    method = clone(held.fd, temp.fd, held.stat.st_size, job.progress)
    check_holds(temp.fd, [(e.at, e.old) for e in edits])
    _make(temp.fd, edits)
    if job.verify:
        job.verify(temp.path)
    return method


def _make(fd: int, edits: Sequence[Edit]) -> None:
    for edit in edits:
        files.write_at(fd, edit.new, edit.at)
    check_holds(fd, [(e.at, e.new) for e in edits])


def _rename(held: Held, temp: Temp, ledger: Ledger | None) -> list[str]:
    """Record, then bytes, for a patch; the other way round for its undo."""
    new = os.fstat(temp.fd)
    after = ledger.shift(new.st_ino, new.st_mtime_ns) if ledger else None
    try:
        if ledger and ledger.first:
            record.store(held, after)
            files.sync_folder(held.path)
        files.check_unchanged(held, held.identity)
        os.replace(temp.path, held.path)
    except BaseException:
        # an interrupt may arrive behind the rename: then the record is needed
        if ledger and ledger.first and not _is(held.path, new):
            _restore(held, ledger.now)
        raise
    return _settled(held, ledger, after)


def _is(path: str, found: os.stat_result) -> bool:
    try:
        return os.path.samestat(os.stat(path), found)
    except OSError:
        return False


def _restore(held: Held, now: Record | None) -> None:
    """Best effort: a record that says too much is recognised and dropped by the next run."""
    with suppress(OSError):
        record.store(held, now)


def _settled(held: Held, ledger: Ledger | None, after: Record | None) -> list[str]:
    """The steps behind the point of no return; where one fails the patch stands, and that is
    said.
    """
    notes = _synced(held.path)
    if ledger and not ledger.first:
        try:
            record.store(held, after)
            files.sync_folder(held.path)
        except OSError as error:
            notes.append(
                f"the undo record could not be brought up to date ({error.strerror}); the next "
                "run does it"
            )
    return notes


def _synced(path: str) -> list[str]:
    try:
        files.sync_folder(path)
    except OSError as error:
        return [
            f"the folder could not be synced ({error.strerror}): a power cut may bring the old "
            "file back"
        ]
    return []


def _write_in_place(held: Held, edits: tuple[Edit, ...], job: Job) -> list[str]:
    """Journal and record, both durable; then the bytes; then the journal goes.

    The record comes before the bytes so that there is no instant at which the file is patched and
    cannot be undone.
    """
    ledger = job.ledger
    after = ledger.shift(held.stat.st_ino, None) if ledger else None
    journal.begin(held, edits)
    try:
        if ledger and ledger.first:
            record.store(held, after)
        files.sync_folder(held.path)
        files.check_unchanged(held, held.identity)
        _make(held.fd, edits)
        files.sync(held.fd)
        if job.verify:
            job.verify(held.path)
    except BaseException as error:
        _roll_back(held, edits, ledger, error)
        raise
    notes = _settled(held, ledger, after) if ledger and not ledger.first else []
    _drop(held)
    return notes


def _roll_back(
    held: Held, edits: tuple[Edit, ...], ledger: Ledger | None, error: BaseException
) -> None:
    """What a crash would leave to the next run is done at once, if the machine lets us."""
    try:
        journal.roll_back(held.fd, edits)
        files.sync(held.fd)
        journal.drop(held)
    except OSError as worse:
        raise journal.interrupted() from worse
    if ledger and ledger.first:
        _restore(held, ledger.now)


def _drop(held: Held) -> None:
    try:
        journal.drop(held)
    except OSError as error:
        message = (
            f"the bytes are written, but the journal could not be removed ({error.strerror}): "
            "patch once more"
        )
        raise Unreadable(message, kind="interrupted-patch") from error


def _apply_output(
    held: Held, edits: tuple[Edit, ...], output: str | None, overwrite: bool, job: Job
) -> Applied:
    if output is None:
        raise NotPatchable("mode output needs the path of the other file")
    target = os.path.realpath(output)
    _check_output(held, target, overwrite)
    files.sweep(target)
    with files.temporary(target) as temp:
        method = _fill(held, temp, edits, job)
        os.fchmod(temp.fd, held.stat.st_mode & 0o777)
        files.sync(temp.fd)
        files.check_unchanged(held, held.identity)
        _publish(temp.path, target, overwrite)
    return Applied(target, "output", method, edits, None, (*held.notes, *_synced(target)))


def _check_output(held: Held, target: str, overwrite: bool) -> None:
    files.refuse_hub_blob(target)
    if target == held.path or _is(target, held.stat):
        raise NotPatchable("the output is the file itself: leave --output out to patch it")
    if os.path.isdir(target):
        raise NotPatchable(f"{target} is a folder")
    if os.path.lexists(target) and not overwrite:
        raise NotPatchable(f"{target} exists already and is not overwritten")
    if journal.hot(target):
        raise journal.interrupted()


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
