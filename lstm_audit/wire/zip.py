"""A zip archive's directory, read strictly.

Comes in: a span that holds one archive. Goes out: its members; their bodies: `zip_body.py`.
Promise: an archive that two zip readers could take for different bytes is refused, not interpreted.

Python's `zipfile` and the miniz inside torch disagree on prepended and concatenated archives,
comments, duplicate names, letter case and NUL; who audits other bytes than torch loads had better
not audit. So there is one layout: the first local header at 0, no two entries overlapping, then the
central directory, the zip64 end record and its locator if there are any, and 22 bytes of end
record, all touching. Field by field: APPNOTE.TXT 6.3.10, 4.3.7 to 4.3.16.
"""

from itertools import pairwise
from struct import Struct

from ..errors import MalformedFile
from ..raw.span import Span
from ..tuples import NamedTuple

TAIL = (
    1 << 14
)  # read at once: the end records and some 150 entries, so that most archives cost one read
SEARCHED = (
    1 << 16
) + 21  # an end record behind which a comment of any length stands begins within this many bytes
MAX_DIRECTORY = 64 << 20  # bytes; a million torch entries take some 90 MB, real archives 0.1 MB
MAX_ENTRIES = 1_000_000  # bounds the memory for a directory of minimal entries
MAX_NAME = 512  # bytes; longer than any file system takes

STORED, DEFLATED = 0, 8
ENCRYPTED, HAS_DESCRIPTOR = 1 << 0, 1 << 3  # general purpose flags, 4.4.4
SPLIT = "this is one part of an archive that is split over several files"
FOLDER = 0x10  # in the external attributes: MS-DOS's mark of a folder
HUGE16, HUGE32 = 0xFFFF, 0xFFFFFFFF  # "see the zip64 field"

_END = Struct("<4x4H2L2x")
_LOCATOR = Struct("<4xLQL")
_END64 = Struct("<4sQ4x2L4Q")
_CENTRAL = Struct("<4s4x2H4x3L4H2x2L")
LOCAL_HEADER = Struct("<4s2x2H4xL8x2H")


# Strategy. A zip file can be read in two ways: from its end (the central directory, as zipfile and
# miniz do) or from its start (local header after local header, as streaming readers do). Attacks on
# scanners live in the difference. Here the directory is read, and then everything that another
# reader might trust instead is held against it:
#
# - the end record is found at the very end only, with no comment, so that there is one candidate;
# - all records touch, so that nothing can hide between them or before the first of them;
# - each body lies between its header and the next one, so that no two entries share bytes;
# - a local header must repeat method, flags and name (checked when its body is asked for);
# - names are unique under the loosest comparison any reader makes (ASCII case is ignored).
#
# What fails one of these is `ambiguous`: not proven hostile, but not certain to mean to torch what
# it means here. torch.save's own archives pass all of them.
class Member(NamedTuple):
    """One entry of the directory; places count from the archive's start.

    `size` is that of the contents, `stored_size` that of the body in the archive; `crc_at` is the
    place of the CRC-32 in the central directory; `limit` is where the next entry, or the directory,
    begins. (A named tuple because a directory may hold a hundred thousand: a frozen dataclass takes
    four times as long to build.)
    """

    name: str
    method: int
    size: int
    stored_size: int
    crc: int
    header_at: int
    crc_at: int
    flags: int
    limit: int


class _End(NamedTuple):
    """What the end records say of the directory."""

    entries: int
    size: int
    at: int


# Where an entry's body ends at the earliest, where its header stands, and a `Member` but for its
# limit.
_Entry = tuple[int, int, tuple[str, int, int, int, int, int, int, int]]


def is_zip(span: Span) -> bool:
    """Whether the span begins with a local file header."""
    return span.size >= 4 and span[:4].read() == b"PK\3\4"


# One read of the tail finds the end records and, for most files, the whole directory too. The
# directory of an archive that is larger is a second read; the bodies are never read here.
def read_entries(span: Span) -> dict[str, Member]:
    """The entries by name, in directory order.

    Raises `MalformedFile`: `truncated` (no end record), `ambiguous` (readers could disagree),
    `malformed`, `unsupported` (encrypted, several disks), `limit`.
    """
    tail_at = max(0, span.size - TAIL)
    tail = span[tail_at:].read()
    end = _end(span, tail)
    if end.at >= tail_at:
        directory = tail[end.at - tail_at : end.at - tail_at + end.size]
    else:
        directory = span[end.at : end.at + end.size].read()
    return _limit_entries(span, _entries(span, directory, end), end.at)


def zip_fault(span: Span, message: str, at: int, kind: str = "malformed") -> MalformedFile:
    """The error for the place `at` of the archive; computed bytes have no absolute place."""
    return MalformedFile(message, span.place(at), kind)


# The 16- and 32-bit fields of the end record cannot hold large values: 0xFFFF or 0xFFFFFFFF there
# means "see the zip64 record". torch writes the zip64 records always, even for small archives, so
# both forms must be read, and where both give a number the numbers must agree.
def _end(span: Span, tail: bytes) -> _End:
    """The place of the directory; it must touch the end records, and they each other and the end of
    the span.
    """
    if tail[-22:-18] != b"PK\5\6" or tail[-2:] != b"\0\0":
        raise _no_end(span)
    disk, first_disk, here, entries, size, at = _END.unpack_from(tail, len(tail) - 22)
    end, stop = _End(entries, size, at), span.size - 22
    if disk or first_disk or here != entries:
        raise zip_fault(span, SPLIT, stop, "unsupported")
    if tail[-42:-38] == b"PK\6\7":
        end = _end64(span, tail, end)
        stop -= _LOCATOR.size + _END64.size
    # The check on which all others rest: the directory ends exactly where the first end record
    # begins. If it does not, either bytes were prepended (a self-extracting archive) or archives
    # were joined, and zipfile, miniz and this reader would each compute other places.
    if end.at + end.size != stop:
        raise _refuse_moved(span, "directory", end.at + end.size, stop)
    if end.size > MAX_DIRECTORY or end.entries > MAX_ENTRIES:
        message = f"a directory of {end.entries} entries in {end.size} bytes is more than is read"
        raise zip_fault(span, message, end.at, "limit")
    span.budget.step(end.entries, "an archive's directory")
    return end


def _no_end(span: Span) -> MalformedFile:
    """Why there is no end record in the last 22 bytes: the file is cut off, or something stands
    behind it.
    """
    found = span[max(0, span.size - SEARCHED) :].read().rfind(b"PK\5\6")
    if found < 0:
        message = (
            "the archive's end record is missing: the file is cut short (an interrupted save or "
            "download), "
            "or over 64 KiB were appended; fetch or save it again"
        )
        return zip_fault(span, message, span.size, "truncated")
    message = (
        "bytes (or a comment) follow the archive's end record, and readers disagree what such a "
        "file means; "
        "remove them or save it again"
    )
    return zip_fault(span, message, max(0, span.size - SEARCHED) + found, "ambiguous")


def _refuse_moved(span: Span, what: str, claimed: int, actual: int) -> MalformedFile:
    """What should end where the next record begins is said to end elsewhere; zipfile would shift
    all places by that.
    """
    message = (
        f"the {what} should end at {actual}, but is said to end at {claimed}: bytes were put "
        "before the archive, or "
        "two archives are joined, and readers disagree which is meant; save it again"
    )
    return zip_fault(span, message, actual, "ambiguous")


def _end64(span: Span, tail: bytes, end: _End) -> _End:
    """What the zip64 records say of the directory (4.3.14, 4.3.15).

    They must touch the end record, and say what it says where it does not refer to them.
    """
    stop = span.size - 42
    disk, at, disks = _LOCATOR.unpack_from(tail, len(tail) - 42)
    if at != stop - _END64.size or len(tail) < 42 + _END64.size:
        raise _refuse_moved(span, "zip64 end record", at + _END64.size, stop)
    signature, record_size, this, first, here, entries, size, start = _END64.unpack_from(
        tail, len(tail) - 98
    )
    if signature != b"PK\6\6" or record_size != _END64.size - 12:
        raise zip_fault(span, "the zip64 end record is not one", at)
    if disk or this or first or disks > 1 or here != entries:
        raise zip_fault(span, SPLIT, at, "unsupported")
    for short, long, huge in (
        (end.entries, entries, HUGE16),
        (end.size, size, HUGE32),
        (end.at, start, HUGE32),
    ):
        if short not in (long, huge):
            raise zip_fault(
                span, "the two end records describe different directories", at, "ambiguous"
            )
    return _End(entries, size, start)


# One loop with one bounds check an entry, over a directory that is in memory. An entry is kept as
# plain tuples until its limit is known: a directory may have a million of them.
def _entries(span: Span, directory: bytes, end: _End) -> list[_Entry]:
    """Every entry in turn; where its body must end is not known yet."""
    entries: list[_Entry] = []
    at, fixed = 0, _CENTRAL.size
    for _ in range(end.entries):
        place = end.at + at
        if len(directory) - at < fixed:
            raise zip_fault(span, "the directory holds fewer entries than it claims", place)
        (
            signature, flags, method, crc, stored, size, name_size, extra, comment, disk,
            attributes, header_at,
        ) = _CENTRAL.unpack_from(directory, at)  # fmt: skip
        name_at = at + fixed
        name_end = name_at + name_size
        after = name_end + extra + comment
        if signature != b"PK\1\2" or after > len(directory):
            raise zip_fault(span, "the directory holds fewer entries than it claims", place)
        name = _name(span, directory[name_at:name_end], place + fixed)
        if HUGE32 in (size, stored, header_at):
            fields = directory[name_end : name_end + extra]
            size, stored, header_at = _zip64_sizes(span, fields, [size, stored, header_at], place)
        if flags & ENCRYPTED or disk:
            message = f"{name!r} is encrypted or lies in another file"
            raise zip_fault(span, message, place, "unsupported")
        # miniz calls an entry a folder by its attribute as well as by its name, and then gives no
        # contents for it; a file that says both would be read here and skipped there.
        if (size or stored) and (attributes & FOLDER or name.endswith("/")):
            message = (
                f"{name!r} is a folder by its name or attribute, and has contents, which torch "
                "would not read"
            )
            raise zip_fault(span, message, place, "ambiguous")
        if method == STORED and stored != size:
            message = f"{name!r} is stored, but claims two sizes: {stored} and {size}"
            raise zip_fault(span, message, place)
        least = header_at + LOCAL_HEADER.size + name_size + stored
        facts = (name, method, size, stored, crc, header_at, place + 16, flags)
        entries.append((least, header_at, facts))
        at = after
    if at != len(directory):
        raise zip_fault(
            span, "the directory holds more than the entries it claims", end.at + at, "ambiguous"
        )
    return entries


# Names are compared and printed. A NUL ends a name for C readers, a backslash is a separator on
# Windows, a control character could rewrite a terminal's line: each of them makes two names out of
# one.
def _name(span: Span, raw: bytes, at: int) -> str:
    """A name that every reader reads alike: valid UTF-8, no control character (NUL ends it for
    some), no backslash.
    """
    if not 0 < len(raw) <= MAX_NAME:
        raise zip_fault(
            span, f"an entry's name has {len(raw)} bytes; 1 to {MAX_NAME} are read", at, "limit"
        )
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise zip_fault(span, f"an entry's name is not UTF-8: {raw!r}", at) from None
    if "\\" in name or (
        not name.isprintable() and any(c < " " or "\x7f" <= c <= "\x9f" for c in name)
    ):
        message = (
            f"the name {name!r} holds a backslash or a control character, which readers take "
            "differently"
        )
        raise zip_fault(span, message, at, "ambiguous")
    return name


# The values in the field have no tags: they stand in a fixed order, and only those are there whose
# 32-bit twin was too large. So the number of twins at 0xFFFFFFFF tells which value is which.
def _zip64_sizes(span: Span, extra: bytes, claimed: list[int], at: int) -> list[int]:
    """Size, stored size and header place, each from the zip64 field where it was too large for 32
    bits (4.5.3).
    """
    found = [data for kind, data in _extra_fields(extra) if kind == 1]
    wanted = claimed.count(HUGE32)
    if len(found) != 1 or len(found[0]) < 8 * wanted:
        raise zip_fault(span, "an entry of over 4 GiB has no zip64 field, or several", at)
    large = iter(int.from_bytes(found[0][k : k + 8], "little") for k in range(0, 8 * wanted, 8))
    return [next(large) if value == HUGE32 else value for value in claimed]


def _extra_fields(extra: bytes) -> list[tuple[int, bytes]]:
    """(id, data) of each whole extra field (4.5.1)."""
    fields, at = [], 0
    while at + 4 <= len(extra):
        kind, size = extra[at] | extra[at + 1] << 8, extra[at + 2] | extra[at + 3] << 8
        fields.append((kind, extra[at + 4 : at + 4 + size]))
        at += 4 + size
    return fields


# The last of the structural checks, and the reason that it comes last: an entry's limit is where
# the next header in the file stands, and headers need not be in the directory's order.
def _limit_entries(span: Span, entries: list[_Entry], directory_at: int) -> dict[str, Member]:
    """The entries by name with their limits, once no two share a name or a byte and the first is at
    0.
    """
    starts = sorted([header_at for _, header_at, _ in entries])
    starts.append(directory_at)
    if starts[0]:
        message = (
            f"{starts[0]} bytes stand before the first entry, and readers disagree what that "
            "means; save it again"
        )
        raise zip_fault(span, message, 0, "ambiguous")
    limits = dict(pairwise(starts))
    found: dict[str, Member] = {}
    for least, header_at, facts in entries:
        limit = limits[header_at]
        member = tuple.__new__(
            Member, (*facts, limit)
        )  # Member(*...) takes 2,500 instructions more
        if least > limit or len(limits) < len(entries):
            raise zip_fault(
                span, f"{member.name!r} overlaps another entry", member.crc_at - 16, "ambiguous"
            )
        found[facts[0]] = member
    # miniz finds names without regard to ASCII case, zipfile with; a name holds no newline
    if len(set("\n".join(found).casefold().split("\n"))) < len(entries):
        raise zip_fault(
            span,
            f"{_twice([facts[0] for *_, facts in entries])!r} is there twice",
            directory_at,
            "ambiguous",
        )
    return found


def _twice(names: list[str]) -> str:
    """The first name that was there before, letter case aside."""
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            return name
        seen.add(name.casefold())
    return ""
