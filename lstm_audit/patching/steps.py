"""What one undo takes back: the newest patch of a file, which may have been written in parts.

Comes in: an undo record. Goes out: its newest step as one `Patch`, the record below it, and how
many steps there are. Promise: a command that wrote several checkpoints of one archive one after the
other is one step, and the step holds the bytes from before its first part and after its last.
"""

import os
from bisect import bisect_right
from collections.abc import Iterator
from functools import reduce
from itertools import pairwise

from . import files
from .edits import Edit
from .files import LockedFile
from .journal import Read
from .record import Patch, Record, compare_patch, load, store


# Patches of one archive follow each other, because the places of its checkpoints and the checksums
# over them change with each. They bear one batch; a batch of 0 stands alone.
def newest_step(record: Record) -> Patch:
    """The newest patches of one batch as if they had been one."""
    parts = record.patches[len(below_step(record).patches) :]
    return parts[-1]._replace(edits=reduce(compose, (part.edits for part in parts)))


def below_step(record: Record) -> Record:
    """The record without its newest step."""
    kept = len(record.patches) - 1
    while kept > 0 and record.batch and record.patches[kept - 1].batch == record.batch:
        kept -= 1
    return record._replace(patches=record.patches[:kept])


def count_steps(record: Record | None) -> int:
    """How many undos the record is good for."""
    count = 0
    while record and record.patches:
        record, count = below_step(record), count + 1
    return count


def compose(first: tuple[Edit, ...], second: tuple[Edit, ...]) -> tuple[Edit, ...]:
    """The edits of one patch and of another on top of it, as the edits of one."""
    return tuple(_pieces(first, second))


# Either may change a part of what the other changes (a checksum over both checkpoints): between two
# neighbouring ends of edits, each has one edit or none.
def _pieces(first: tuple[Edit, ...], second: tuple[Edit, ...]) -> Iterator[Edit]:
    cuts = sorted({at for edit in (*first, *second) for at in (edit.at, edit.end)})
    for at, end in pairwise(cuts):
        below, above = _find(first, at), _find(second, at)
        under, over = below or above, above or below
        if under and over:
            old = under.old[at - under.at : end - under.at]
            yield Edit(at, old, over.new[at - over.at : end - over.at], over.reason)


def _find(edits: tuple[Edit, ...], at: int) -> Edit | None:
    """The edit that changes the byte at `at`; the edits are sorted and do not overlap."""
    k = bisect_right(edits, at, key=lambda edit: edit.at) - 1
    return edits[k] if k >= 0 and at < edits[k].end else None


# Crashes leave a newest patch that the file does not hold: before the write, during an undo after
# it, or a rename that the disk lost. All are mended alike, by dropping it: one part, or the step.
def without_unmade(record: Record, read: Read) -> Record:
    """The record less the newest patches that the file does not hold: they were interrupted, or
    undone already.
    """
    while record.patches:
        if compare_patch(record.patches[-1], read) == "not made":
            record = record._replace(patches=record.patches[:-1])
        elif compare_patch(newest_step(record), read) == "not made":
            record = below_step(record)
        else:
            return record
    return record


# Patching goes on top of what is known to be true of the file. If the newest patch's bytes are no
# longer there, somebody else wrote (training went on, say): older entries would restore bytes into
# a file they do not fit, so the whole stack is given up, loudly.
def fitting(record: Record | None, held: LockedFile, read: Read) -> tuple[Record, list[str]]:
    """The stack that a new patch goes on top of; a record of what the file used to be is given up,
    with a note.
    """
    empty = Record(os.path.basename(held.path), held.stat.st_size)
    if record is None:
        return empty, []
    if record.size == held.stat.st_size:
        kept = without_unmade(record, read)
        if not kept.patches or compare_patch(kept.patches[-1], read) == "made":
            return kept, []
    return empty, [
        "the file was written to since it was last patched: the earlier undo record no longer "
        "fits it"
    ]


def tidy(held: LockedFile) -> None:
    """Drop from the record what the file does not hold; a record that is another's is left."""
    known = load(held.path)
    if known is None or known.size != held.stat.st_size:
        return
    kept = without_unmade(known, lambda at, n: files.read_at(held.fd, n, at))
    if kept != known:
        store(held, kept)
        files.sync_folder(held.path)
