"""Object headers: what an object says of itself, message by message.

Comes in: the address of a header, version 1 or 2. Goes out: its `Message`s in order, those of its
continuation blocks too. Promise: no block is read twice, and the checksum of each block of a
version 2 header was held against it.
"""

from functools import partial
from typing import NamedTuple

from ...raw.span import Span
from .file import Cursor, File

SIGNATURE, CONTINUED = b"OHDR", b"OCHK"

NIL, DATASPACE, LINK_INFO, DATATYPE, FILL, LINK, EXTERNAL, LAYOUT = 0, 1, 2, 3, 5, 6, 7, 8
# Message types, IV.A.2.
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 11, 12, 16, 17, 21

# The flag of a message whose body is kept elsewhere (a committed datatype).
SHARED = 2

# Bytes of one block of a header; a message's size is written in 16 bits.
MAX_BLOCK = 1 << 20

_PEEK = 320  # bytes read at once: h5py's headers have 272, so that most cost one read


class HeaderBlock(NamedTuple):
    """One piece of a header: `body` to `end` hold messages; `start` to `end` are under a lookup3
    kept at `end`, or `start` is None (version 1).
    """

    start: int | None
    body: int
    end: int


class Message(NamedTuple):
    """One message: its type, its flags, its body, the address of the body, and the block it stands
    in.
    """

    kind: int
    flags: int
    body: bytes
    at: int
    block: HeaderBlock

    def place(self, file: File, start: int, size: int) -> Span:
        """Bytes of the body as they lie in the file, under the checksum of the block if there is
        one.
        """
        at = self.at + start
        if self.block.start is None:
            return file.span[at : at + size]
        block = file.span[self.block.start : self.block.end]
        stored = int.from_bytes(file.span[self.block.end : self.block.end + 4].read(), "little")
        sealed = block.add_seal(stored, block.start + block.size, kind="lookup3")
        return sealed[at - self.block.start : at - self.block.start + size]


# An object's header is a list of blocks: the first one at its address, the others named by
# continuation messages in those before. Version 1 has 8-byte message heads and no checksum; version
# 2 has 4-byte heads (6 with creation order) and a lookup3 behind every block. The header of most
# objects fits the first read of some 320 bytes.
def read_messages(file: File, at: int) -> list[Message]:
    """Every message of the header at the address `at`, padding left out."""
    file.visit(at, "object header")
    head = file.cursor(at, min(_PEEK, max(file.span.size - at, 0)))
    version = 2 if head.data[:4] == SIGNATURE else 1
    block, extra = _first_block(file, head) if version == 2 else (_old_first_block(file, head), 0)
    messages: list[Message] = []
    blocks = [block]
    for block in blocks:  # continuations are appended on the way
        found = file.follow(partial(_messages_in, file, block, head, version, extra))
        for message in found or ():
            if message.kind == CONTINUATION:
                blocks.append(_continuation(file, message, version))
            elif message.kind != NIL:
                messages.append(message)
    return messages


def _old_first_block(file: File, head: Cursor) -> HeaderBlock:
    """Version 1: version, reserved, messages (not to be trusted), references, size, padding to 16
    (IV.A.1.a).
    """
    if head.unsigned(1) != 1:
        raise file.fail("no object header where one is expected", head.start)
    head.take(7)
    size = head.unsigned(4)
    head.take(4)
    return _check_bounded(file, HeaderBlock(None, head.start + 16, head.start + 16 + size))


def _first_block(file: File, head: Cursor) -> tuple[HeaderBlock, int]:
    """Version 2: the block, and the bytes of a message's creation order (IV.A.1.b)."""
    head.take(4)
    version, flags = head.unsigned(1), head.unsigned(1)
    if version != 2:
        raise file.fail(f"object header version {version}", head.start, "unsupported")
    head.take(16 * (flags >> 5 & 1) + 4 * (flags >> 4 & 1))
    size = head.unsigned(1 << (flags & 3))
    body = head.start + head.at
    return _check_bounded(file, HeaderBlock(head.start, body, body + size)), 2 * (flags >> 2 & 1)


def _continuation(file: File, message: Message, version: int) -> HeaderBlock:
    target = Cursor(file, message.body, message.at)
    at, size = target.address(), target.length()
    if version == 1:
        return _check_bounded(file, HeaderBlock(None, at, at + size))
    return _check_bounded(file, HeaderBlock(at, at + 4, at + max(size, 8) - 4))


def _check_bounded(file: File, block: HeaderBlock) -> HeaderBlock:
    if block.end - block.body > MAX_BLOCK:
        message = (
            f"an object header of {block.end - block.body} bytes; at most {MAX_BLOCK} are read"
        )
        raise file.fail(message, block.body, "limit")
    return block


def _messages_in(
    file: File, block: HeaderBlock, head: Cursor, version: int, extra: int
) -> list[Message]:
    messages = []
    file.visit(block.body, "block of an object header")
    cursor = _open_block(file, block, head)
    least = 8 if version == 1 else 4 + extra
    while cursor.left >= least:
        file.step()
        kind, size = (
            (cursor.unsigned(2) if version == 1 else cursor.unsigned(1)),
            cursor.unsigned(2),
        )
        flags = cursor.unsigned(1)
        cursor.take(3 if version == 1 else extra)
        at = block.body + cursor.at
        messages.append(Message(kind, flags, cursor.take(size), at, block))
    return messages


# The whole block is held against its checksum before a message of it is believed. That a patch can
# later renew the checksum rests on the same numbers: `Message.place` seals the bytes with it.
def _open_block(file: File, block: HeaderBlock, head: Cursor) -> Cursor:
    """The messages' bytes: from what was read already where that holds them, checked where they
    have a checksum.
    """
    start = block.body if block.start is None else block.start
    end = block.end if block.start is None else block.end + 4
    at = start - head.start
    data = (
        head.data[at : end - head.start] if at >= 0 and end <= head.start + len(head.data) else None
    )
    data = file.read(start, end - start) if data is None else data
    if block.start is None:
        return Cursor(file, data, start)
    if data[:4] != (SIGNATURE if block.start == head.start else CONTINUED):
        raise file.fail("no block of an object header where one is expected", start)
    file.verify(start, data, "block of an object header")
    return Cursor(file, data[block.body - start : -4], block.body)
