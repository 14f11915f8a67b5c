"""Changes into edits: the exact bytes of each file that a patch replaces, checksums included.

Comes in: `Change`, new bytes for a span and the reason. Goes out: for every file that is touched
its `Edit`s, sorted, never overlapping, old bytes beside new. Promise: after the edits every
checksum that covers a changed byte is as right (or as wrong) as it was before, wherever it is kept,
and the cost follows the size of the change, never of the file.
"""

import struct
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..errors import NotPatchable
from ..raw.checksums import KINDS
from ..raw.source import Source
from ..raw.span import SEAL_SIZE, Seal, Span

# Unchanged bytes between two edits that cost less to run through a CRC than a second shift.
MAX_GAP = 1 << 12

# Bytes under a checksum that can only be summed whole: half a second.
MAX_SUMMED = 8 << 20

STORED = struct.Struct("<I")


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


# From changes (spans) to edits (offsets in files). Spans may overlap, since aliases name the same
# bytes, and each is under any number of checksums, which are themselves bytes under other
# checksums. The order is: changes by file, sorted and merged; then every checksum once, inner
# before outer, each computed from the edits that lie in what it covers, the new ones of inner
# checksums included.
def edits_of(changes: Sequence[Change]) -> Mapping[Source, tuple[Edit, ...]]:
    """By file, the edits that make the changes and keep every checksum true; a file in which all
    bytes are there already is left out.

    The same bytes may be named more than once (aliases). Raises `NotPatchable` for bytes without a
    place, for changes that contradict each other, and for a checksum that is not where it should
    be.
    """
    by_source: dict[Source, list[Edit]] = {}
    for change in changes:
        edit = Edit(_place(change), change.span.read(), change.new, change.reason)
        by_source.setdefault(change.span.source, []).append(edit)
    wanted = {
        source: [edit for edit in _merge(edits) if edit.old != edit.new]
        for source, edits in by_source.items()
    }
    _update_seals(wanted, changes)
    return {source: tuple(edits) for source, edits in wanted.items() if edits}


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


def _merge(edits: list[Edit]) -> list[Edit]:
    """Sorted and disjoint; bytes that are named twice must be wanted alike, also where one side
    wants no change.
    """
    merged: list[Edit] = []
    for edit in sorted(edits, key=lambda e: (e.at, e.end)):
        if merged and edit.at < merged[-1].end:
            merged[-1] = _join(merged[-1], edit)
        elif edit.old:
            merged.append(edit)
    return merged


def _join(a: Edit, b: Edit) -> Edit:
    """One edit for two that overlap, `a` first."""
    shared = min(a.end, b.end) - b.at
    if a.new[b.at - a.at :][:shared] != b.new[:shared]:
        raise NotPatchable(
            f"two values are wanted for the same stored bytes ({a.reason}; {b.reason})", b.at
        )
    reason = a.reason if a.reason == b.reason else f"{a.reason}; {b.reason}"
    return Edit(a.at, a.old + b.old[shared:], a.new + b.new[shared:], reason)


def _update_seals(wanted: dict[Source, list[Edit]], changes: Sequence[Change]) -> None:
    """Add the edits of every checksum, inner ones first: where an inner one is kept are bytes that
    an outer one covers (a zip in a zip, the table of an index file).
    """
    counted: list[tuple[Seal, int]] = []
    for seal in _inner_first(changes):
        inside = _within(wanted.get(seal.covers.source, []), seal.covers)
        counted.append((seal, len(inside)))
        for place, edit in _reseal(seal, inside):
            _insert(wanted.setdefault(place.source, []), edit)
    for seal, count in counted:
        # one more edit below a checksum than when it was updated: it was kept in its own bytes
        if len(_within(wanted.get(seal.covers.source, []), seal.covers)) != count:
            raise NotPatchable(CIRCLE, seal.covers.at)


CIRCLE = "a checksum covers the place where it, or one of its own parts, is kept"

SealKey = tuple[int, int, int, str]


def _key(seal: Seal) -> SealKey:
    """Every change looks its checksums up anew: what makes two of them the same one."""
    return id(seal.covers.source), seal.covers.start, seal.covers.size, seal.kind


# A topological order by depth-first search. Begun and not done marks a circle: a checksum that
# covers its own place has no value that would be right.
def _inner_first(changes: Sequence[Change]) -> list[Seal]:
    """Every checksum over the changes, over the places where those are kept, and so on, each once.

    Depth first: a checksum comes after all that lie further out, and the list is turned round.
    Raises `NotPatchable` where that leads in a circle.
    """
    order: dict[SealKey, Seal | None] = {}  # None: begun, not done

    def visit(seals: Sequence[Seal]) -> None:
        for seal in reversed(seals):
            key = _key(seal)
            if key not in order:
                order[key] = None
                for place in seal.places:
                    visit(place.seals)
                del order[key]
                order[key] = seal
            elif order[key] is None:
                raise NotPatchable(CIRCLE, seal.covers.at)

    for change in changes:
        visit(change.span.seals)
    return [seal for seal in reversed(order.values()) if seal is not None]


# A CRC that is wrong already stays wrong by the same difference: a patch changes what it names and
# repairs nothing in passing. A sum that can only be taken anew is refused where it is wrong.
def _reseal(seal: Seal, inside: Sequence[Edit]) -> Iterator[tuple[Span, Edit]]:
    """The edits of a checksum's places, given the edits of what it covers."""
    # torch writes a CRC of 0 when torch.serialization.set_crc32_options(False) switched the sums
    # off: leave it
    if not inside or (seal.kind == "crc32" and seal.stored == 0 and seal.covers.size):
        return
    for place in seal.places:
        _check_stored(seal, place)
    value = _sum_after(seal, inside)
    if value == seal.stored:
        return
    reason = f"{KINDS[seal.kind].title} of the {seal.covers.size} bytes at {seal.covers.start}"
    for place in seal.places:
        yield place, Edit(place.start, STORED.pack(seal.stored), STORED.pack(value), reason)


def _sum_after(seal: Seal, inside: Sequence[Edit]) -> int:
    """The checksum after the edits: from the old one and the edits alone, where the kind allows."""
    update, covered = KINDS[seal.kind].updated, seal.covers
    if update is None:
        return _sum_anew(seal, inside)
    value = seal.stored
    for at, old, new in _runs(inside):
        value = update(value, old, new, covered.start + covered.size - at - len(old))
    return value


def _sum_anew(seal: Seal, inside: Sequence[Edit]) -> int:
    """The checksum over all of the bytes, which must have been right before."""
    kind, covered = KINDS[seal.kind], seal.covers
    if covered.size > MAX_SUMMED:
        message = f"a {kind.title} covers {covered.size} bytes; at most {MAX_SUMMED} are summed"
        raise NotPatchable(message, covered.at, "limit")
    data = bytearray(covered.read())
    if kind.of(bytes(data)) != seal.stored:
        message = f"the {kind.title} of these bytes is wrong already; was the file damaged?"
        raise NotPatchable(message, covered.at)
    for edit in inside:
        data[edit.at - covered.start : edit.end - covered.start] = edit.new
    return kind.of(bytes(data))


def _check_stored(seal: Seal, place: Span) -> None:
    there = place.size == SEAL_SIZE and 0 <= place.start <= place.source.size - SEAL_SIZE
    if place.at is None or not there or place.read() != STORED.pack(seal.stored):
        title = KINDS[seal.kind].title
        raise NotPatchable(
            f"the {title} {seal.stored:08x} is not stored where the file says it is", place.at
        )


def _within(edits: list[Edit], covered: Span) -> list[Edit]:
    """The parts of a file's edits that a span covers."""
    start, stop = covered.start, covered.start + covered.size
    found = []
    for edit in edits[max(bisect_left(edits, start, key=lambda e: e.at) - 1, 0) :]:
        if edit.at >= stop:
            break
        a, b = max(start - edit.at, 0), min(stop, edit.end) - edit.at
        if a < b:
            found.append(Edit(edit.at + a, edit.old[a:b], edit.new[a:b], edit.reason))
    return found


def _runs(edits: Sequence[Edit]) -> list[tuple[int, bytes, bytes]]:
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
