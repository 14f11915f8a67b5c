"""A gzip stream, or the zlib stream that joblib writes, inflated in memory.

Comes in: a span that begins with the magic of either. Goes out: a span over what it holds, which
has no place in the file. Promise: no more than `MAX_INFLATED` bytes are ever made, whatever is
announced.

Source: RFC 1952; members that follow one another are one stream (2.2). RFC 1950, 2.2: the first
byte of zlib is 0x78 in all but name, and with the second it is a multiple of 31.
"""

import zlib

from ..errors import MalformedFile
from ..raw.budget import MAX_HELD
from ..raw.span import Span

MAGIC = b"\x1f\x8b\x08"
ZLIB = 0x78
EITHER = 47  # zlib's own word for "gzip or zlib, as the header says"
MAX_INFLATED = MAX_HELD  # bytes; deflate reaches 1000:1, so the output is what must be bounded
READ_AT_ONCE = 1 << 20


def is_gzip(span: Span) -> bool:
    """Whether the span begins with a header of gzip or zlib, of the deflate method."""
    if span.size <= 18:
        return False
    head = span[:3].read()
    return head == MAGIC or (head[0] == ZLIB and (head[0] << 8 | head[1]) % 31 == 0)


def inflate(span: Span) -> Span:
    """Everything that the stream holds; raises `MalformedFile` (`limit`, `truncated`)."""
    made = bytearray()
    stream = zlib.decompressobj(wbits=EITHER)
    for start in range(0, span.size, READ_AT_ONCE):
        raw = span[start : min(start + READ_AT_ONCE, span.size)].read()
        while raw:
            if stream.eof:
                if not raw.startswith(MAGIC):
                    return _hold(span, made)  # padding behind the last member
                stream = zlib.decompressobj(wbits=31)
            made += _decompress(stream, raw, span, MAX_INFLATED + 1 - len(made))
            if len(made) > MAX_INFLATED:
                raise MalformedFile(
                    f"it inflates to more than {MAX_INFLATED >> 20} MiB; unpack it first",
                    kind="limit",
                )
            raw = stream.unused_data or stream.unconsumed_tail
    if not stream.eof:
        raise MalformedFile("the gzip stream ends too early", span.at, "truncated")
    return _hold(span, made)


def _decompress(stream: "zlib._Decompress", raw: bytes, span: Span, most: int) -> bytes:
    try:
        return stream.decompress(raw, most)
    except zlib.error as error:
        raise MalformedFile(f"the gzip stream is damaged: {error}", span.at) from None


def _hold(span: Span, made: bytearray) -> Span:
    span.budget.hold(len(made), "a gzip stream")
    return span.compute(bytes(made))
