"""Protobuf's wire: the fields of a message, read where they lie.

Comes in: a span over a file. Goes out: numbered fields with their places; no meaning, no schema.
Promise: a payload is skipped, never loaded; every length is held against the message around it;
and the work for one file is bounded, whatever its bytes say.

Strategy: one window of the file is kept in memory and moved forward. A run of small fields costs
one read, a large payload none. Nothing recurses here: nesting is the caller's, who bounds it.
"""

import struct
from collections.abc import Iterator, Sequence

from ..errors import MalformedFile
from ..raw.span import Span, join_spans
from .varint import LONGEST_VARINT, read_varint

# Wire types: a number, 8 bytes, a length and its bytes, 4 bytes. Groups (3, 4) ended in 2008.
VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5

# Number, wire type, start, stop. A varint has its value in `start`, and 0 in `stop`.
Field = tuple[int, int, int, int]

# Fields of one file, and what readers charge beside them (see `Wire.charge`): a second. A model of
# 20,000 nodes has some 300,000.
MAX_FIELDS = 1_000_000

# Windows of one file: half a second. One is moved for every payload that it cannot hold.
MAX_READS = 20_000

# Bytes of a name; longer ones are no names.
MAX_TEXT = 4096

# Bytes of packed numbers that are decoded.
MAX_PACKED = 1 << 20

WINDOW = 1 << 15
# A field's key and its length or value: two varints of at most ten bytes each.
LONGEST_HEAD = 2 * LONGEST_VARINT
# The keys of one byte that lengths follow, and the first length that does not fit into two.
SHORT_KEYS = frozenset(range(8 + BYTES, 128, 8))
TWO_BYTES = 1 << 14


class Wire:
    """One message with all that lies in it. Places count from the start of its span."""

    def __init__(self, span: Span) -> None:
        self.span = span
        self._base = 0
        self._window = b""
        self._text = ""
        # Places in the window behind which there is room for the longest head.
        self._room = 0
        self._fields = MAX_FIELDS
        self._reads = MAX_READS

    def fields(self, start: int, stop: int) -> Iterator[Field]:
        """The fields of the message in [start, stop); raises `MalformedFile` where they do
        not fit.
        """
        at = start
        while at < stop:
            i = at - self._base
            if 0 <= i < self._room and (tag := self._window[i]) in SHORT_KEYS:
                # What most fields are: a key of one byte, a length of one or two.
                size = self._window[i + 1]
                begin = at + 2
                if size > 127:
                    size += (self._window[i + 2] << 7) - 128
                    begin += 1
                end = begin + size
                if end <= stop and size < TWO_BYTES and self._fields > 0:
                    self._fields -= 1
                    at = end
                    yield tag >> 3, BYTES, begin, end
                    continue
            window = self._window
            if i < 0 or i + LONGEST_HEAD > len(window):
                window, i = self._slide(at)
            first = i
            tag = window[i]
            i += 1
            if tag > 127:
                tag, i = self._varint(window, i - 1, at)
            wire, number = tag & 7, tag >> 3
            self._fields -= 1
            if not 0 < number < 1 << 29 or self._fields < 0:
                raise self._refusal(number, at)
            if wire in (BYTES, VARINT):
                if i >= len(window):
                    raise MalformedFile("a field is cut short", self.place(at), "truncated")
                value = window[i]
                i += 1
                if value > 127:
                    value, i = self._varint(window, i - 1, at)
                if wire == VARINT:
                    at += i - first
                    field = number, wire, value, 0
                else:
                    begin = at + i - first
                    at = begin + value
                    field = number, wire, begin, at
            elif wire in (FOUR, EIGHT):
                begin = at + i - first
                at = begin + (4 if wire == FOUR else 8)
                field = number, wire, begin, at
            else:
                message = f"field {number} has wire type {wire}, which protobuf does not have"
                raise MalformedFile(message, self.place(at))
            if at > stop:
                message = f"field {number} reaches byte {at}, its message ends at {stop}"
                kind = "truncated" if stop == self.span.size else "malformed"
                raise MalformedFile(message, self.place(min(at, stop)), kind)
            yield field

    def charge(self, fields: int) -> None:
        """Count what is made of a message as so many fields more."""
        self._fields -= fields

    def place(self, at: int) -> int | None:
        """The absolute offset of a place, for errors; None where the bytes have none."""
        return self.span.place(at)

    def raw(self, start: int, stop: int) -> bytes:
        """The bytes of [start, stop), which the caller has bounded."""
        i = start - self._base
        if i >= 0 and stop - self._base <= len(self._window):
            return self._window[i : stop - self._base]
        self._count_read(start)
        return self.span[start:stop].read()

    def look(self, start: int, stop: int, fields: int) -> tuple[bytes, str, int]:
        """Bytes that hold [start, stop), which the caller has bounded, and two more; the same as
        text of a character a byte; where in them `start` is. It counts for so many fields.
        """
        self._fields -= fields
        i = start - self._base
        if i < 0 or stop - self._base > self._room:
            data = self.raw(start, stop) + bytes(2)
            return data, data.decode("latin-1"), 0
        if not self._text:
            self._text = self._window.decode("latin-1")
        return self._window, self._text, i

    def text(self, field: Field) -> str:
        """A string; raises for another wire type, and for what is too long to be a name."""
        _, wire, start, stop = field
        if wire != BYTES:
            raise self._refuse_mistyped(field, "a string")
        if stop - start > MAX_TEXT:
            raise MalformedFile(f"a name of {stop - start} bytes", self.place(start), "limit")
        return self.raw(start, stop).decode("utf-8", "backslashreplace")

    def message(self, field: Field) -> Iterator[Field]:
        """The fields of a message that is a field."""
        if field[1] != BYTES:
            raise self._refuse_mistyped(field, "a message")
        return self.fields(field[2], field[3])

    def singles(self, field: Field) -> dict[int, Field]:
        """The fields of a message that has none twice; two of one number are refused, for readers
        take the last one, or both merged.
        """
        found: dict[int, Field] = {}
        for part in self.message(field):
            if part[0] in found:
                message = f"field {part[0]} stands twice in a message that has it once"
                raise MalformedFile(message, self.place(field[2]), "ambiguous")
            found[part[0]] = part
        return found

    def number(self, field: Field) -> int:
        """One varint, as the signed 64 bits that it stands for."""
        if field[1] != VARINT:
            raise self._refuse_mistyped(field, "a number")
        return _signed(field[2])

    def numbers(self, field: Field) -> list[int]:
        """A repeated varint: one alone, or many packed into one piece."""
        if field[1] == VARINT:
            return [_signed(field[2])]
        if field[1] != BYTES:
            raise self._refuse_mistyped(field, "whole numbers")
        data, i = self._read_packed(field), 0
        values = []
        self._fields -= len(data) // 4
        while i < len(data):
            value, i = self._varint(data, i, field[2])
            values.append(_signed(value))
        return values

    # protobuf.dev, "Packed Repeated Fields": a reader must take such a list in one piece (as onnx
    # writes that of a tensor), with a key before each number (as it writes that of an attribute),
    # and in several pieces.
    def join(self, fields: Sequence[Field], size: int) -> Span:
        """The bytes of a repeated float (`size` 4) or double (8), at least one field of it."""
        pieces = []
        for field in fields:
            _, kind, start, stop = field
            if kind not in (BYTES, FOUR if size == 4 else EIGHT) or (stop - start) % size:
                raise self._refuse_mistyped(field, f"{8 * size}-bit numbers")
            pieces.append(self.span[start:stop])
        return join_spans([piece for piece in pieces if piece.size] or pieces[:1])

    def floats(self, field: Field) -> list[float]:
        """A repeated float: one alone, or many packed into one piece."""
        if field[1] not in (FOUR, BYTES) or (field[3] - field[2]) % 4:
            raise self._refuse_mistyped(field, "32-bit numbers")
        data = self._read_packed(field)
        return list(struct.unpack(f"<{len(data) // 4}f", data))

    def doubles(self, field: Field) -> list[float]:
        """A repeated double: one alone, or many packed into one piece."""
        if field[1] not in (EIGHT, BYTES) or (field[3] - field[2]) % 8:
            raise self._refuse_mistyped(field, "64-bit numbers")
        data = self._read_packed(field)
        return list(struct.unpack(f"<{len(data) // 8}d", data))

    def _read_packed(self, field: Field) -> bytes:
        size = field[3] - field[2]
        if size > MAX_PACKED:
            raise MalformedFile(f"{size} bytes of packed numbers", self.place(field[2]), "limit")
        return self.raw(field[2], field[3])

    def _slide(self, at: int) -> tuple[bytes, int]:
        """The window that holds a field's head at `at`, and where in it."""
        i = at - self._base
        last = self._base + len(self._window) == self.span.size
        if i < 0 or i >= len(self._window) or not last:
            self._count_read(at)
            stop = min(self.span.size, at + WINDOW)
            self._base, self._window, self._text = at, self.span[at:stop].read(), ""
            self._room = len(self._window) - LONGEST_HEAD
        return self._window, at - self._base

    def _count_read(self, at: int) -> None:
        self._reads -= 1
        if self._reads < 0:
            message = (
                f"over {MAX_READS} payloads lie between the fields; at most that many are read"
            )
            raise MalformedFile(message, self.place(at), "limit")

    def _varint(self, data: bytes, i: int, at: int) -> tuple[int, int]:
        """A number in the window, and where it ends; `at` is its place, for messages."""
        found = read_varint(data, i)
        if found is not None:
            return found
        if len(data) - i < LONGEST_VARINT:
            raise MalformedFile("a number is cut short", self.place(at), "truncated")
        raise MalformedFile("a number takes more than ten bytes", self.place(at))

    def _refusal(self, number: int, at: int) -> MalformedFile:
        if self._fields < 0:
            message = f"over {MAX_FIELDS} fields in one file; at most that many are read"
            return MalformedFile(message, self.place(at), "limit")
        return MalformedFile(f"a field has the number {number}", self.place(at))

    def _refuse_mistyped(self, field: Field, wanted: str) -> MalformedFile:
        """Protobuf itself ignores such a field: then two readers see two models."""
        number, wire, start, _ = field
        message = f"field {number} should be {wanted}, its wire type is {wire}"
        return MalformedFile(message, self.span.at if wire == VARINT else self.place(start))


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value
