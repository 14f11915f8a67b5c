"""A sorted string table: keys and values in blocks, each under a checksum.

Comes in: a span over one table. Goes out: its entries in order, each value with its place, sealed
by the checksum of its block. Promise: a block is read only after its checksum held, keys ascend
strictly, and nothing is decompressed.

Source: leveldb/doc/table_format.md; tensorflow/core/lib/io/format.cc and block.cc, which write it
for the index of a checkpoint. A block is followed by a byte for its compression and by the masked
CRC-32C of both; in a block every key shares a prefix with the one before it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from ..errors import MalformedFile
from ..raw.checksums import crc32c, mask_crc
from ..raw.span import Seal, Span
from .varint import read_varint

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
FOOTER = 48
TRAILER = 5  # the compression's byte and four of the checksum
PLAIN = 0

MAX_TABLE = 4 << 20  # bytes; an entry takes some 60, and summing them in Python 80 ns each
MAX_ENTRIES = 100_000
MAX_KEY = 4096


class Entry(NamedTuple):
    """A key, and where its value lies."""

    key: bytes
    value: Span


def is_table(span: Span) -> bool:
    """Whether the span ends as a table does."""
    return span.size >= FOOTER and span[span.size - 8 : span.size].read() == MAGIC


# The table is read from its end: the footer holds two handles (where a block starts, and its size),
# of the index of metadata and of the index. The index is itself a block whose values are handles of
# the data blocks. So there are exactly two levels, and a block is entered only by its handle.
#
# Sizes come from the file and spans check them; the number of entries is bounded because a block's
# entries can be as short as three bytes while each makes objects of some hundred.
def entries(span: Span) -> Iterator[Entry]:
    """Every entry in the order of keys; raises `MalformedFile` for what a reader would refuse."""
    if span.size > MAX_TABLE:
        raise MalformedFile(f"an index of {span.size} bytes", span.at, "limit")
    footer = span[span.size - FOOTER : span.size].read()
    at = 0
    for _ in range(2):  # the index of metadata, which TensorFlow leaves empty
        _, at = number_at(footer, at)
    last, count = b"", 0
    for pointer in _block(span, *_handle(footer, at)):
        for entry in _block(span, *_handle(pointer.value.read(), 0)):
            count += 1
            if count > MAX_ENTRIES:
                raise MalformedFile(f"over {MAX_ENTRIES} entries in an index", kind="limit")
            if count > 1 and entry.key <= last:
                raise MalformedFile("the keys of an index are out of order", entry.value.at)
            last = entry.key
            yield entry


def _handle(raw: bytes, at: int) -> tuple[int, int]:
    """Where a block starts, and its size."""
    start, at = number_at(raw, at)
    size, _ = number_at(raw, at)
    return start, size


def _block(span: Span, start: int, size: int) -> Iterator[Entry]:
    """The entries of one block, whose checksum must hold."""
    summed = span[start : start + size + 1]
    stored = span[start + size + 1 : start + size + TRAILER]
    raw, sum_of_block = summed.read(), int.from_bytes(stored.read(), "little")
    if raw[-1] != PLAIN:
        message = "a compressed index: TensorFlow writes one only for checkpoints of version 1"
        raise MalformedFile(message, summed.at, "unsupported")
    if mask_crc(crc32c(raw)) != sum_of_block:
        raise MalformedFile("the checksum of an index's block is wrong", summed.at)
    sealed = span[start : start + size].add_seal_later(
        lambda: Seal(summed, sum_of_block, lambda: (stored,), "masked-crc32c")
    )
    yield from _walk(raw[:-1], sealed)


# An entry is three varints (bytes shared with the key before, own bytes of the key, bytes of the
# value), then the own bytes and the value. The restart points at the end of a block let a reader
# jump into the middle; whoever walks all of it needs only to know where they begin.
def _walk(raw: bytes, block: Span) -> Iterator[Entry]:
    """Keys share a prefix with the one before them; restart points are not needed to walk all."""
    end = len(raw) - 4 - 4 * int.from_bytes(raw[-4:], "little") if len(raw) >= 4 else -1
    if end < 0:
        raise MalformedFile("a block of an index has impossible restart points", block.at)
    at, key = 0, b""
    while at < end:
        shared, at = number_at(raw, at)
        own, at = number_at(raw, at)
        size, at = number_at(raw, at)
        if shared > len(key) or at + own + size > end or shared + own > MAX_KEY:
            raise MalformedFile("an entry reaches out of its block", block.at)
        key = key[:shared] + raw[at : at + own]
        at += own
        yield Entry(key, block[at : at + size])
        at += size


def number_at(raw: bytes, at: int) -> tuple[int, int]:
    """A varint of an index, and the place behind it; raises where there is none."""
    found = read_varint(raw, at)
    if found is None:
        raise MalformedFile("a number of an index has no end")
    return found
