"""MessagePack, read where it lies.

Comes in: a span over one value. Goes out: its maps and lists as dicts and lists, short values as
they are, and every long one, or one of an extension type, as a place. Promise: no length is
believed before the bytes are there, nothing recurses, and payloads are not loaded.

Source: the MessagePack specification (msgpack/msgpack, spec.md), "Formats".
"""

from struct import Struct
from typing import Any, NamedTuple

from ..errors import MalformedFile
from ..raw.span import Span

MAX_VALUES = 200_000
MAX_DEPTH = 64
MAX_TEXT = 4096  # bytes of a text that is decoded
WINDOW = 1 << 16

FIXED = {
    0xCA: Struct(">f"), 0xCB: Struct(">d"), 0xCC: Struct(">B"), 0xCD: Struct(">H"),
    0xCE: Struct(">I"), 0xCF: Struct(">Q"), 0xD0: Struct(">b"), 0xD1: Struct(">h"),
    0xD2: Struct(">i"), 0xD3: Struct(">q"),
}  # fmt: skip
TEXTS = {0xD9: 1, 0xDA: 2, 0xDB: 4}
RAWS = {0xC4: 1, 0xC5: 2, 0xC6: 4}
EXTENSIONS = {0xC7: 1, 0xC8: 2, 0xC9: 4}
FIXED_EXTENSIONS = {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
LISTS = {0xDC: 2, 0xDD: 4}
MAPS = {0xDE: 2, 0xDF: 4}
CONSTANTS = {0xC0: None, 0xC2: False, 0xC3: True}


class Raw(NamedTuple):
    """Bytes, by their place; `extension` is the type that the writer gave them, None for plain
    ones.
    """

    span: Span
    extension: int | None = None


class _Open(NamedTuple):
    """A container that is being filled, and how many values it still awaits."""

    value: Any
    awaited: list[int]
    key: list[Any]


def unpack(span: Span) -> Any:
    """The value that fills the span; raises `MalformedFile`."""
    reader = _Reader(span)
    value = _value(reader)
    if reader.at != span.size:
        raise reader.fault(f"{span.size - reader.at} bytes stand behind the value")
    return value


def unpack_first(span: Span) -> tuple[Any, int]:
    """The value at the start of the span, and the place behind it."""
    reader = _Reader(span)
    return _value(reader), reader.at


class _Reader:
    """A place in the span, and the window of it that is in memory."""

    def __init__(self, span: Span) -> None:
        self.span, self.at = span, 0
        self._base, self._window = 0, b""

    def take(self, size: int) -> bytes:
        """The next bytes, of which the caller has bounded the number."""
        start = self.at - self._base
        if start < 0 or start + size > len(self._window):
            stop = min(self.span.size, max(self.at + WINDOW, self.at + size))
            self._base, self._window, start = self.at, self.span[self.at : stop].read(), 0
        if start + size > len(self._window):
            raise self.fault("a value is cut short", "truncated")
        self.at += size
        return self._window[start : start + size]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def skip(self, size: int) -> Span:
        """The place of the next bytes, which are not read."""
        place = self.span[self.at : self.at + size]
        self.at += size
        return place

    def fault(self, message: str, kind: str = "malformed") -> MalformedFile:
        at = self.span.at
        return MalformedFile(message, None if at is None else at + self.at, kind)


def _value(reader: _Reader) -> Any:
    """One value with everything in it: containers that are not full yet stand on a stack."""
    stack: list[_Open] = []
    count = 0
    while True:
        count += 1
        if count > MAX_VALUES or len(stack) > MAX_DEPTH:
            raise reader.fault(f"over {MAX_VALUES} values, or {MAX_DEPTH} levels", "limit")
        value, awaited = _next(reader)
        if awaited:
            stack.append(_Open(value, [awaited], []))
            continue
        while stack and _fill(reader, stack[-1], value):
            value = stack.pop().value
        if not stack:
            return value


def _fill(reader: _Reader, container: _Open, value: Any) -> bool:
    """Put a value into its container; whether that is full now."""
    if type(container.value) is list:
        container.value.append(value)
    elif not container.key:
        if type(value) is Raw and value.span.size > MAX_TEXT:
            raise reader.fault(f"a name of over {MAX_TEXT} bytes", "limit")
        if type(value) not in (str, int) or value in container.value:
            raise reader.fault("a key that is no text or number, or stands twice")
        container.key.append(value)
        return False
    else:
        container.value[container.key.pop()] = value
    container.awaited[0] -= 1
    return container.awaited[0] == 0


def _next(reader: _Reader) -> tuple[Any, int]:
    """The next value, and how many values a container awaits (pairs count once)."""
    code = reader.take(1)[0]
    if code < 0x80 or code >= 0xE0:
        return (code if code < 0x80 else code - 256), 0
    if code < 0x90:
        return _container(reader, {}, code & 0x0F)
    if code < 0xA0:
        return _container(reader, [], code & 0x0F)
    if code < 0xC0:
        return _text(reader, code & 0x1F), 0
    if code in CONSTANTS:
        return CONSTANTS[code], 0
    if code in FIXED:
        return FIXED[code].unpack(reader.take(FIXED[code].size))[0], 0
    if code in TEXTS:
        return _text(reader, reader.number(TEXTS[code])), 0
    if code in RAWS:
        return Raw(reader.skip(reader.number(RAWS[code]))), 0
    if code in LISTS:
        return _container(reader, [], reader.number(LISTS[code]))
    if code in MAPS:
        return _container(reader, {}, reader.number(MAPS[code]))
    return _extension(reader, code), 0


def _container(reader: _Reader, value: Any, count: int) -> tuple[Any, int]:
    if count > reader.span.size - reader.at:  # each value takes a byte at least
        raise reader.fault(f"{count} values are announced", "truncated")
    return value, count


def _text(reader: _Reader, size: int) -> str | Raw:
    if size > MAX_TEXT:
        return Raw(reader.skip(size))
    return reader.take(size).decode("utf-8", "backslashreplace")


def _extension(reader: _Reader, code: int) -> Raw:
    if code in EXTENSIONS:
        size = reader.number(EXTENSIONS[code])
    elif code in FIXED_EXTENSIONS:
        size = FIXED_EXTENSIONS[code]
    else:
        raise reader.fault(f"0x{code:02x} begins no value")
    kind = reader.take(1)[0]
    return Raw(reader.skip(size), kind)
