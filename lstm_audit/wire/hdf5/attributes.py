"""Attributes that are text: what Keras writes beside its groups.

Comes in: the messages of an object. Goes out: `Attributes`, from which a text is read when it is
asked for. Promise: at most `MAX_TEXT` bytes are read for one, and an attribute of any other kind is
None.
"""

from collections.abc import Sequence

from .dense import dense_records
from .file import Cursor, File
from .header import ATTRIBUTE, ATTRIBUTE_INFO, SHARED, Message
from .types import VARIABLE_STRING, count_elements, read_datatype, read_shape

# Bytes of one text; the configuration of a large model has two million.
MAX_TEXT = 16 << 20

# Strings of one attribute; `layer_names` has one a layer.
MAX_TEXTS = 1 << 16


class Attributes:
    """The attributes of one object. Most are never asked for: their names are read when the first
    one is.
    """

    __slots__ = ("_bodies", "_file", "_messages")

    def __init__(self, file: File, messages: Sequence[Message]) -> None:
        self._file, self._messages = file, messages
        self._bodies: dict[str, tuple[Message, bytes]] | None = None

    def text(self, name: str) -> str | None:
        """The text of an attribute, or None where there is none, or no single one."""
        texts = self.texts(name)
        return texts[0] if texts is not None and len(texts) == 1 else None

    def texts(self, name: str) -> list[str] | None:
        """All strings of an attribute, or None where it is absent or holds none."""
        if self._bodies is None:
            self._bodies = _bodies(self._file, self._messages)
        found = self._bodies.get(name)
        return None if found is None else _read(self._file, found[1], found[0].at)


def _bodies(file: File, messages: Sequence[Message]) -> dict[str, tuple[Message, bytes]]:
    """Name to the message's body, for those in the header and those in dense storage."""
    found: dict[str, tuple[Message, bytes]] = {}
    for message in messages:
        if message.kind == ATTRIBUTE:
            found[_name(file, message.body, message.at)] = message, message.body
        elif message.kind == ATTRIBUTE_INFO:
            body = Cursor(file, message.body, message.at, 1)
            body.take(2 * (body.unsigned(1) & 1))
            for record in dense_records(file, body.address(), body.address(), slice(0, 8)):
                found[_name(file, record, message.at)] = message, record
    return found


def _open(file: File, raw: bytes, at: int) -> tuple[Cursor, int, int, tuple[int, int, int]]:
    """A cursor at the name of an attribute message (IV.A.2.m); version, flags, and the sizes of
    name, type, space.
    """
    body = Cursor(file, raw, at)
    version, flags = body.unsigned(1), body.unsigned(1)
    sizes = body.unsigned(2), body.unsigned(2), body.unsigned(2)
    body.take(int(version == 3))  # the character set of the name
    return body, version, flags, sizes


def _name(file: File, raw: bytes, at: int) -> str:
    body, _, _, sizes = _open(file, raw, at)
    return body.take(sizes[0]).rstrip(b"\0").decode("utf-8", "replace")


def _read(file: File, raw: bytes, at: int) -> list[str] | None:
    """The strings of one attribute; None for other types, and for a type that is kept elsewhere."""
    body, version, flags, sizes = _open(file, raw, at)
    if version not in (1, 2, 3) or (version > 1 and flags & (SHARED | 1)):
        return None
    pad = 8 if version == 1 else 1
    _, kind, space = (body.take(size + -size % pad)[:size] for size in sizes)
    datatype, shape = read_datatype(file, kind, at), read_shape(file, space, at)
    if (
        datatype.name not in ("string", VARIABLE_STRING)
        or shape is None
        or count_elements(shape) > MAX_TEXTS
    ):
        return None
    items = [body.take(datatype.itemsize) for _ in range(count_elements(shape))]
    if datatype.name == VARIABLE_STRING:
        items = [_variable(file, item, at) for item in items]
    return [item.split(b"\0")[0].decode("utf-8", "replace") for item in items]


def _variable(file: File, raw: bytes, at: int) -> bytes:
    """A string of any length: its length, and its place in a global heap."""
    item = Cursor(file, raw, at)
    size, heap, index = item.unsigned(4), item.address(), item.unsigned(4)
    return _heap_object(file, heap, index)[:size] if size else b""


def _heap_object(file: File, at: int, index: int) -> bytes:
    """One object of a global heap collection (III.E): an index, references, padding, size, and the
    bytes.
    """
    head = file.cursor(at, 8 + file.length_size)
    if head.take(4) != b"GCOL":
        raise file.fail("no global heap where one is expected", at)
    head.take(4)
    size = head.length()
    place, end = at + 8 + file.length_size, at + size
    while place + 8 + file.length_size <= end:
        file.step()
        item = file.cursor(place, 8 + file.length_size)
        number = item.unsigned(2)
        item.take(6)
        length, start = item.length(), place + len(item.data)
        if number == 0:  # the free space at the end
            break
        if number == index:
            return _read_bounded(file, start, min(length, end - start))
        place = start + length + -length % 8
    raise file.fail("a string is not in the global heap that it names", at)


def _read_bounded(file: File, at: int, size: int) -> bytes:
    if size > MAX_TEXT:
        raise file.fail(f"a text has {size} bytes; at most {MAX_TEXT} are read", at, "limit")
    return file.read(at, size)
