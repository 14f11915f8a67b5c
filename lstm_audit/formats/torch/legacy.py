"""The torch file before 1.6: five pickles, then the storages one behind the other.

Comes in: a span that starts with torch's magic pickle. Goes out: an `Envelope`. Promise: every
storage's place is computed from the persistent ids and held against the length that stands before
the bytes. Source: torch/serialization.py _legacy_save, _legacy_load.
"""

from collections.abc import Mapping
from typing import Any

from ...errors import MalformedFile
from ...raw.span import Span
from ...raw.words import show
from ...tuples import NamedTuple
from ...wire.pickle import Call, Decoded, Global, Persistent, decode
from .storage import Locate, Storage, StorageClaim, claims_of, is_key, read_persistent_id

MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_BYTES = MAGIC.to_bytes(10, "little")
PROTOCOL = 1001
SHORT = 256  # bytes that hold the first pickles


class Envelope(NamedTuple):
    """A decoded pickle and the way from its persistent ids to bytes.

    `chunks` is the span its chunks count from; `loads` are the calls that would load a file within
    the file, and `opened` what was read of those, by the identity of their bytes; `effects` those
    that may do more than make something. `worked_out`
    keeps what follows from the value alone, by name: files with one pickle share it.
    """

    value: object
    chunks: Span
    locate: Locate
    globals: tuple[Global, ...]
    trailing: int
    loads: tuple[Call, ...]
    effects: tuple[Call, ...]
    opened: dict[int, Any]
    worked_out: dict[str, Any]


def envelope(
    decoded: Decoded, span: Span, locate: Locate, worked_out: dict[str, Any] | None = None
) -> Envelope:
    """The envelope of one pickle in `span`."""
    trailing = span.size - decoded.end
    kept = {} if worked_out is None else worked_out
    value, named, _, loads, effects, _ = decoded
    return Envelope(value, span, locate, named, trailing, loads, effects, {}, kept)


def is_legacy(span: Span) -> bool:
    """Whether the first pickle is the magic number, whose bytes may stand in any pickle's head."""
    head = span[: min(span.size, 32)].read()
    if head[:1] != b"\x80" or _MAGIC_BYTES not in head:
        return False
    try:
        return _is(decode(span, window=SHORT).value, MAGIC)
    except MalformedFile:
        return False


def open_legacy(span: Span) -> Envelope:
    """Decode the five pickles; raises `MalformedFile` when one of them is not what the loader
    expects.
    """
    magic = decode(span, window=SHORT)
    protocol = decode(span, magic.end, SHORT)
    if not _is(magic.value, MAGIC) or not _is(protocol.value, PROTOCOL):
        raise MalformedFile(
            "a legacy torch file does not start with magic number and protocol 1001", span.at
        )
    system = decode(span, protocol.end, SHORT)
    body = decode(span, system.end)
    keys = decode(span, body.end)
    claims = claims_of(body.persistents)
    places, end = _places(keys.value, claims, keys.end, span)
    pickles = magic, protocol, system, body, keys  # all five are loaded
    return Envelope(
        value=body.value,
        chunks=span,
        locate=_locator(span, claims, places),
        globals=tuple(named for pickle in pickles for named in pickle.globals),
        trailing=span.size - end,
        loads=tuple(call for pickle in pickles for call in pickle.loads),
        effects=body.effects,
        opened={},
        worked_out={},
    )


def _is(value: object, number: int) -> bool:
    return type(value) is int and value == number


def _places(
    keys: object, claims: Mapping[str, StorageClaim], start: int, span: Span
) -> tuple[dict[str, int], int]:
    """Where each storage's length field stands, and the end of the last; storages lie in the order
    of the keys.
    """
    if (
        type(keys) is not list
        or not all(map(is_key, keys))
        or len(set(map(str, keys))) != len(keys)
    ):
        raise MalformedFile(
            "the list of storage keys is not a list of distinct keys", span.place(start)
        )
    places = {}
    for key in map(str, keys):
        if key not in claims:
            raise MalformedFile(
                f"storage {show(key)} is stored, but nothing refers to it: its length is unknown"
            )
        places[key] = start
        start += 8 + claims[key].size
    if start > span.size:
        raise MalformedFile(
            f"the storages end at {start}, the file at {span.size}",
            span.place(span.size),
            "truncated",
        )
    return places, start


def _locator(span: Span, claims: Mapping[str, StorageClaim], places: Mapping[str, int]) -> Locate:
    def locate(reference: object) -> Storage:
        if type(reference) is not Persistent:
            raise MalformedFile("a tensor's storage is no persistent id")
        claim = read_persistent_id(reference.pid)
        root = claims[claim.key]
        if claim.key not in places:
            raise MalformedFile(
                f"storage {show(claim.key)} is referred to but not stored", span.at, "truncated"
            )
        at = places[claim.key]
        if int.from_bytes(span[at : at + 8].read(), "little") != root.elements:
            raise MalformedFile(
                f"storage {show(claim.key)} has not the {root.elements} elements claimed",
                span.place(at),
            )
        return Storage(claim.dtype, _view_storage(span[at + 8 : at + 8 + root.size], claim))

    return locate


def _view_storage(storage: Span, claim: StorageClaim) -> Span:
    if claim.view is None:
        return storage
    size = claim.dtype.itemsize if claim.dtype else 1
    _, offset, count = claim.view
    return storage[offset * size : (offset + count) * size]
