"""A tar archive's members, read strictly.

Comes in: a span that holds one uncompressed archive. Goes out: the span of each regular file, by
its name. Promise: no name is used as a path, and an archive in which a name stands twice is
refused: tar takes the last of them, other readers the first.

Field by field: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; the long
names of GNU tar (type L) are those of its manual, "GNU tar and POSIX tar".
"""

from ..errors import MalformedFile
from ..raw.span import Span

BLOCK = 512
MAX_MEMBERS = 4096  # files of one archive; a model and its vocabulary are ten
MAX_NAME = 4096  # characters
MAX_EXTENDED = 1 << 16  # bytes of one extended header
MAGIC = b"ustar"

REGULAR = frozenset({b"0", b"\0", b"7"})
LONG_NAME, PAX, PAX_FOR_ALL = b"L", b"x", b"g"


def is_tar(span: Span) -> bool:
    """Whether the span begins with a header of ustar, pax or GNU tar."""
    if span.size < BLOCK:
        return False
    head = span[:BLOCK].read()
    return head[257:262] == MAGIC and _checksum_holds(head)


def read_members(span: Span) -> dict[str, Span]:
    """The regular files by name, without a leading `./`; links, devices and folders are left out.

    Raises `MalformedFile`: `truncated`, `malformed`, `ambiguous` (a name twice), `limit`.
    """
    found: dict[str, Span] = {}
    extended: dict[str, str] = {}
    at = 0
    while at + BLOCK <= span.size and any(head := span[at : at + BLOCK].read()):
        name, kind, size = _header(span, head, at)
        size = _size_of(extended, size, span, at)
        body = span[at + BLOCK : at + BLOCK + size]
        at += BLOCK + -(-size // BLOCK) * BLOCK
        if kind in (LONG_NAME, PAX):
            extended |= _read_extended(kind, body)
            continue
        if kind in REGULAR:
            _add(found, _bound(extended.get("path", name).rstrip("/")), body)
        extended = {} if kind != PAX_FOR_ALL else extended
    return found


def _header(span: Span, head: bytes, at: int) -> tuple[str, bytes, int]:
    """Name, type and size of a header block, whose checksum must hold."""
    if not _checksum_holds(head):
        raise MalformedFile("a tar header's checksum is wrong", _place(span, at))
    prefix = head[345:500] if head[257:263] == b"ustar\0" else b""
    parts = [part.partition(b"\0")[0].decode("utf-8", "replace") for part in (prefix, head[:100])]
    return "/".join(filter(None, parts)), head[156:157], _number(head[124:136], span, at)


def _checksum_holds(head: bytes) -> bool:
    """The sum of all bytes of a header, those of the checksum itself taken for spaces."""
    try:
        stored = int(head[148:156].strip(b" \0") or b"0", 8)
    except ValueError:
        return False
    return stored == sum(head[:148]) + 8 * 32 + sum(head[156:BLOCK])


def _number(field: bytes, span: Span, at: int) -> int:
    """Octal digits, or the binary form of GNU tar, which the top bit announces."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        raise MalformedFile("a tar header's size is no number", _place(span, at)) from None


def _size_of(extended: dict[str, str], size: int, span: Span, at: int) -> int:
    claimed = extended.get("size")
    if claimed is None:
        return size
    if not (claimed.isascii() and claimed.isdigit() and len(claimed) < 20):
        raise MalformedFile("a pax size is no number", _place(span, at))
    return int(claimed)


def _read_extended(kind: bytes, body: Span) -> dict[str, str]:
    """What a pax header (`LENGTH KEY=VALUE`, newline) or a GNU long name says of the next file."""
    if body.size > MAX_EXTENDED:
        raise MalformedFile(f"an extended header of {body.size} bytes", body.at, "limit")
    raw = body.read()
    if kind == LONG_NAME:
        return {"path": raw.partition(b"\0")[0].decode("utf-8", "replace")}
    records = {}
    while raw:
        length, _, _ = raw.partition(b" ")
        size = int(length) if length.isdigit() and len(length) < 6 else 0
        if not len(length) + 1 < size <= len(raw):
            raise MalformedFile("a pax record's length is wrong", body.at)
        key, _, value = raw[len(length) + 1 : size - 1].partition(b"=")
        records[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        raw = raw[size:]
    return records


def _bound(name: str) -> str:
    if len(name) > MAX_NAME:
        raise MalformedFile(f"a name of {len(name)} characters", kind="limit")
    return name.removeprefix("./")


def _add(found: dict[str, Span], name: str, body: Span) -> None:
    if name in found:
        raise MalformedFile(f"{name!r} stands twice in the archive", body.at, "ambiguous")
    if len(found) >= MAX_MEMBERS:
        raise MalformedFile(f"more than {MAX_MEMBERS} files in a tar", kind="limit")
    found[name] = body


def _place(span: Span, at: int) -> int | None:
    return None if span.at is None else span.at + at
