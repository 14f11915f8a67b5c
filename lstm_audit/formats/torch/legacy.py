"""The torch file before 1.6: five pickles, then the storages one behind the other.

Comes in: a span that starts with torch's magic pickle. Goes out: an `Envelope`. Promise: every
storage's place is computed from the persistent ids and held against the length that stands before
the bytes. Source: torch/serialization.py _legacy_save, _legacy_load.
"""

from collections.abc import Mapping
from typing import NamedTuple

from ...errors import MalformedFile
from ...raw.span import Span
from ...wire.pickle import Global, Persistent, decode
from .storage import Locate, Storage, StorageClaim, claim_of

MAGIC = 0x1950A86A20F9469CFC6C
_MAGIC_BYTES = MAGIC.to_bytes(10, "little")
PROTOCOL = 1001


class Envelope(NamedTuple):
    """A decoded pickle and the way from its persistent ids to bytes. `chunks` is the span its
    chunks count from.
    """

    value: object
    chunks: Span
    locate: Locate
    globals: tuple[Global, ...]
    trailing: int = 0


def is_legacy(head: bytes) -> bool:
    """Whether the first pickle is the magic number (protocols 4 and 5 put a frame before it)."""
    return head[:1] == b"\x80" and _MAGIC_BYTES in head[:32]


def open_legacy(span: Span) -> Envelope:
    """Decode the five pickles; raises `MalformedFile` when one of them is not what the loader
    expects.
    """
    magic = decode(span)
    protocol = decode(span, magic.end)
    if magic.value != MAGIC or protocol.value != PROTOCOL:
        raise MalformedFile(
            "a legacy torch file does not start with magic number and protocol 1001", span.at
        )
    system = decode(span, protocol.end)
    body = decode(span, system.end)
    keys = decode(span, body.end)
    claims = _claims(body.persistents)
    places, end = _places(keys.value, claims, keys.end, span)
    named = tuple(
        g for pickle in (magic, protocol, system, body, keys) for g in pickle.globals
    )  # all five are loaded
    return Envelope(body.value, span, _locator(span, claims, places), named, span.size - end)


def _claims(persistents: tuple[Persistent, ...]) -> dict[str, StorageClaim]:
    """Each storage's first claim: the loader allocates by the first one it meets."""
    claims: dict[str, StorageClaim] = {}
    for persistent in persistents:
        claim = claim_of(persistent.pid)
        claims.setdefault(claim.key, claim)
    return claims


def _places(
    keys: object, claims: Mapping[str, StorageClaim], start: int, span: Span
) -> tuple[dict[str, int], int]:
    """Where each storage's length field stands, and the end of the last; storages lie in the order
    of the keys.
    """
    if type(keys) is not list or len(set(map(str, keys))) != len(keys):
        raise MalformedFile(
            "the list of storage keys is not a list of distinct keys", span.start + start
        )
    places = {}
    for key in map(str, keys):
        if key not in claims:
            raise MalformedFile(
                f"storage {key} is stored, but nothing refers to it: its length is unknown"
            )
        places[key] = start
        start += 8 + claims[key].size
    if start > span.size:
        raise MalformedFile(
            f"the storages end at {start}, the file at {span.size}", span.size, "truncated"
        )
    return places, start


def _locator(span: Span, claims: Mapping[str, StorageClaim], places: Mapping[str, int]) -> Locate:
    def locate(reference: object) -> Storage:
        if type(reference) is not Persistent:
            raise MalformedFile("a tensor's storage is no persistent id")
        claim = claim_of(reference.pid)
        root = claims[claim.key]
        if claim.key not in places:
            raise MalformedFile(
                f"storage {claim.key} is referred to but not stored", span.at, "truncated"
            )
        at = places[claim.key]
        if int.from_bytes(span[at : at + 8].read(), "little") != root.elements:
            raise MalformedFile(
                f"storage {claim.key} has not the {root.elements} elements claimed", span.start + at
            )
        return Storage(claim.dtype, _viewed(span[at + 8 : at + 8 + root.size], claim))

    return locate


def _viewed(storage: Span, claim: StorageClaim) -> Span:
    if claim.view is None:
        return storage
    size = claim.dtype.itemsize if claim.dtype else 1
    offset, count = claim.view
    return storage[offset * size : (offset + count) * size]
