"""Several ranges in one answer: `multipart/byteranges` (RFC 9110, 14.6; RFC 2046, 5.1).

Comes in: a body and its boundary. Goes out: its parts. Promise: the length of a part is what its
`Content-Range` says, so that no bytes of a model are taken for a boundary; a body that is not
written so gives no parts at all.
"""

import re

from ..tuples import NamedTuple

# Before RFC 2616 the type was called `x-byteranges`; some servers still say so.
_TYPE = re.compile(r'multipart/(?:x-)?byteranges\s*;.*?boundary="?([^";,\s]{1,70})', re.I)

_RANGE = re.compile(rb"^content-range:[ \t]*bytes (\d{1,19})-(\d{1,19})/(\d{1,19})[ \t]*$", re.I)

END = b"\r\n"


class Part(NamedTuple):
    """One range: where it begins, how long the whole file is, its bytes."""

    start: int
    size: int
    data: bytes


def boundary_of(content_type: str) -> bytes | None:
    """What parts the ranges of an answer; None where it is not of several."""
    found = _TYPE.match(content_type.strip())
    return found[1].encode() if found and found[1].isascii() else None


# A part is: CRLF, "--", the boundary, CRLF; headers, each with its CRLF; CRLF; the bytes. Behind
# the last one "--" follows the boundary. The CRLF before the first boundary may be left out, and
# nginx writes it.
def read_parts(body: bytes, boundary: bytes) -> list[Part]:
    """Every part in the order of the body; none where one is not as it should be, or is cut off."""
    body = body if body.startswith(END) else END + body
    mark = END + b"--" + boundary
    parts: list[Part] = []
    at = 0
    while body.startswith(mark, at):
        at += len(mark)
        if body.startswith(b"--", at):
            return parts
        stop = body.find(END + END, at)
        part = _read_part(body[at:stop], body, stop + len(END + END)) if stop >= 0 else None
        if part is None:
            return []
        parts.append(part)
        at = stop + len(END + END) + len(part.data)
    return []


def _read_part(head: bytes, body: bytes, at: int) -> Part | None:
    """The bytes at `at` that these headers speak of."""
    found = [place for line in head.split(END) if (place := _RANGE.match(line))]
    if len(found) != 1:
        return None
    first, last, size = map(int, found[0].groups())
    data = body[at : at + last + 1 - first] if first <= last < size else b""
    return Part(first, size, data) if data and len(data) == last + 1 - first else None
