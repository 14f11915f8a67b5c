"""Changes into edits: the exact bytes of one file that a patch replaces, checksums included.

Comes in: `Change`, new bytes for a span and the reason. Goes out: `Edit`, sorted, never
overlapping, old bytes beside new. Promise: after the edits every checksum that covers a changed
byte is as right (or as wrong) as it was before, and the cost follows the size of the change, never
of the file.
"""

import struct
from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import NotPatchable
from ..raw import checksums
from ..raw.source import Source
from ..raw.span import Seal, Span

MAX_GAP = (
    1 << 16
    # unchanged bytes between two edits that cost less to run through the CRC than a second shift
    # does
)
CRC = struct.Struct("<I")

NAMES = {"crc32": "CRC-32", "lookup3": "lookup3", "fletcher32": "fletcher32"}
"""How each kind of `Seal` is called in a message."""

WHOLE = {"lookup3": checksums.lookup3, "fletcher32": checksums.fletcher32}
"""Kinds that are computed over all bytes anew: HDF5 puts them over small blocks and chunks."""

MAX_SUMMED = 8 << 20
"""Bytes under such a checksum: half a second."""


class Change(NamedTuple):
    """What a planner wants: `new` in the place of the bytes of `span`, of the same length, and
    why.
    """

    span: Span
    new: bytes
    reason: str


class Edit(NamedTuple):
    """`new` for `old` at the absolute offset `at` of one file, and why."""

    at: int
    old: bytes
    new: bytes
    reason: str

    @property
    def end(self) -> int:
        """The offset behind the last byte."""
        return self.at + len(self.old)


def edits_of(changes: Sequence[Change]) -> tuple[Edit, ...]:
    """The edits that make the changes and keep every checksum true; nothing where all bytes are
    there already.

    All changes lie in one file. The same bytes may be named more than once (aliases). Raises
    `NotPatchable` for bytes without a place, for changes that contradict each other, and for a
    checksum that is not where it should be.
    """
    if not changes:
        return ()
    source = _source(changes)
    edits = _merged([Edit(_place(c), c.span.read(), c.new, c.reason) for c in changes])
    seals = {seal for change in changes for seal in change.span.seals}
    return _sealed(source, [edit for edit in edits if edit.old != edit.new], seals)


def _source(changes: Sequence[Change]) -> Source:
    source = changes[0].span.source
    if any(change.span.source is not source for change in changes):
        raise NotPatchable(
            "these changes lie in more than one file; each file is patched by itself"
        )
    return source


def _place(change: Change) -> int:
    if change.span.at is None:
        message = (
            "these bytes have no place in the file (compressed or computed when read), so nothing "
            "can be written"
        )
        raise NotPatchable(f"{change.reason}: {message}")
    if len(change.new) != change.span.size:
        message = f"{len(change.new)} bytes do not fit in the place of {change.span.size}"
        raise NotPatchable(f"{change.reason}: {message}", change.span.at)
    return change.span.at


def _merged(edits: list[Edit]) -> list[Edit]:
    """Sorted and disjoint; bytes that are named twice must be wanted alike, also where one side
    wants no change.
    """
    merged: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.at, e.end)):
        if merged and edit.at < merged[-1].end:
            merged[-1] = _joined(merged[-1], edit)
        elif edit.old:
            merged.append(edit)
    return merged


def _joined(a: Edit, b: Edit) -> Edit:
    """One edit for two that overlap, `a` first."""
    shared = min(a.end, b.end) - b.at
    if a.new[b.at - a.at :][:shared] != b.new[:shared]:
        raise NotPatchable(
            f"two values are wanted for the same stored bytes ({a.reason}; {b.reason})", b.at
        )
    reason = a.reason if a.reason == b.reason else f"{a.reason}; {b.reason}"
    return Edit(a.at, a.old + b.old[shared:], a.new + b.new[shared:], reason)


def _sealed(source: Source, edits: list[Edit], seals: set[Seal]) -> tuple[Edit, ...]:
    """Innermost first: the places of an inner checksum are bytes that an outer one covers (a zip in
    a zip).
    """
    done: list[Seal] = []
    for seal in sorted(seals, key=lambda s: (s.size, s.at, s.places)):
        for edit in _resealed(source, edits, seal):
            if any(
                other.at < edit.end and edit.at < other.at + other.size for other in (*done, seal)
            ):
                raise NotPatchable(
                    "a checksum covers the place where it, or one of its own parts, is kept",
                    edit.at,
                )
            _insert(edits, edit)
        done.append(seal)
    return tuple(edits)


def _resealed(source: Source, edits: list[Edit], seal: Seal) -> list[Edit]:
    inside = _within(edits, seal)
    # torch writes a CRC of 0 when torch.serialization.set_crc32_options(False) switched the sums
    # off: leave it
    if not inside or (seal.kind == "crc32" and seal.stored == 0 and seal.size):
        return []
    for place in seal.places:
        _check_stored(source, seal, place)
    value = _updated(seal, inside) if seal.kind == "crc32" else _summed(source, seal, inside)
    if value == seal.stored:
        return []
    old, new = CRC.pack(seal.stored), CRC.pack(value)
    return [
        Edit(place, old, new, f"{NAMES[seal.kind]} of the {seal.size} bytes at {seal.at}")
        for place in seal.places
    ]


def _updated(seal: Seal, inside: list[Edit]) -> int:
    """The CRC-32 after the edits, from the old one and the edits alone."""
    value = seal.stored
    for at, old, new in _runs(inside):
        value = checksums.updated(value, old, new, seal.at + seal.size - at - len(old))
    return value


def _summed(source: Source, seal: Seal, inside: list[Edit]) -> int:
    """A checksum of HDF5 after the edits, over all of the bytes; it must have been right before."""
    if seal.size > MAX_SUMMED:
        message = f"a {NAMES[seal.kind]} covers {seal.size} bytes; at most {MAX_SUMMED} are summed"
        raise NotPatchable(message, seal.at, "limit")
    data = bytearray(source.read(seal.at, seal.size))
    if WHOLE[seal.kind](bytes(data)) != seal.stored:
        message = f"the {NAMES[seal.kind]} of these bytes is wrong already; was the file damaged?"
        raise NotPatchable(message, seal.at)
    for edit in inside:
        data[edit.at - seal.at : edit.end - seal.at] = edit.new
    return WHOLE[seal.kind](bytes(data))


def _check_stored(source: Source, seal: Seal, place: int) -> None:
    if not 0 <= place <= source.size - CRC.size or source.read(place, CRC.size) != CRC.pack(
        seal.stored
    ):
        raise NotPatchable(
            f"the {NAMES[seal.kind]} {seal.stored:08x} is not stored where the file says it is",
            place,
        )


def _within(edits: list[Edit], seal: Seal) -> list[Edit]:
    """The parts of the edits that a seal covers."""
    stop = seal.at + seal.size
    found = []
    for edit in edits[max(bisect_left(edits, seal.at, key=lambda e: e.at) - 1, 0) :]:
        if edit.at >= stop:
            break
        a, b = max(seal.at - edit.at, 0), min(stop, edit.end) - edit.at
        if a < b:
            found.append(Edit(edit.at + a, edit.old[a:b], edit.new[a:b], edit.reason))
    return found


def _runs(edits: list[Edit]) -> list[tuple[int, bytes, bytes]]:
    """Near edits joined into (at, old, new); a CRC sees only the difference, so any filler serves
    between them.
    """
    runs: list[tuple[int, bytearray, bytearray]] = []
    for edit in edits:
        gap = edit.at - (runs[-1][0] + len(runs[-1][1])) if runs else MAX_GAP + 1
        if gap > MAX_GAP:
            runs.append((edit.at, bytearray(), bytearray()))
            gap = 0
        runs[-1][1].extend(bytes(gap) + edit.old)
        runs[-1][2].extend(bytes(gap) + edit.new)
    return [(at, bytes(old), bytes(new)) for at, old, new in runs]


def _insert(edits: list[Edit], edit: Edit) -> None:
    """Put a checksum's edit in its place; it must be nobody else's."""
    k = bisect_left(edits, edit.at, key=lambda e: e.at)
    before = k and edits[k - 1].end > edit.at
    if before or (k < len(edits) and edits[k].at < edit.end):
        raise NotPatchable("a checksum is stored inside bytes that something else changes", edit.at)
    insort(edits, edit, key=lambda e: e.at)
