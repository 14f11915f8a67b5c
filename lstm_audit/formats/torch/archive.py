"""The zip of torch.save and TorchScript.

Comes in: a span that is a zip. Goes out: an `Archive`, and an `Envelope` for its data.pkl. Promise:
the records are those that torch's reader (caffe2/serialize/inline_container.cc) would find, or the
file is refused.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple

from ...errors import MalformedFile
from ...raw.source import BytesSource
from ...raw.span import Span, whole
from ...wire.pickle import Decoded, Persistent, decode
from ...wire.zip import Member, body, members
from .legacy import Envelope
from .storage import Locate, Storage, claim_of

MAX_REMEMBERED = (
    1 << 15
)  # bytes of a pickle that is kept decoded: 300 tensors; a hostile sixteen take 30 MB


class Archive(NamedTuple):
    """The members of a torch zip, by their names without the root folder."""

    span: Span
    root: str
    members: Mapping[str, Member]

    def record(self, name: str) -> Span:
        """A record's bytes; raises `MalformedFile` where there is none."""
        member = self.members.get(name)
        if member is None:
            raise MalformedFile(f"the archive has no record {self.root}/{name}")
        return body(self.span, member)


def open_archive(span: Span) -> Archive:
    """The directory of a torch zip. All entries share one root folder, as torch's reader
    demands.
    """
    found = members(span)
    root = next(iter(found), "").partition("/")[0]
    prefix = f"{root}/"
    stray = [name for name in found if not name.startswith(prefix)]
    if stray and f"{root}/data.pkl" in found:
        raise MalformedFile(
            f"entry {stray[0]!r} lies outside the root folder {root!r}: torch refuses this archive"
        )
    skip = len(prefix)
    return Archive(span, root, {name[skip:]: member for name, member in found.items()})


def open_pickle(archive: Archive, record: str = "data.pkl", folder: str = "data") -> Envelope:
    """Decode a record that refers to storages in `folder`."""
    span = archive.record(record)
    decoded = _decoded(span)
    locate = _locator(archive, folder)
    return Envelope(decoded.value, span, locate, decoded.globals, span.size - decoded.end)


def _decoded(span: Span) -> Decoded:
    """The pickle's value. The checkpoints of a run have the same one, byte for byte: it is decoded
    once.
    """
    if span.size <= MAX_REMEMBERED:
        try:
            return _remembered(span.read())
        except MalformedFile:
            pass  # again, from where it lies, for the place of the fault
    return decode(span)


@lru_cache(maxsize=16)
def _remembered(raw: bytes) -> Decoded:
    """Nothing changes a decoded value, and its chunks are counted from the span's start, so that it
    can be shared.
    """
    return decode(whole(BytesSource(raw)))


def _locator(archive: Archive, folder: str) -> Locate:
    order = archive.record("byteorder").read() if "byteorder" in archive.members else b"little"
    if order not in (b"little", b"big"):
        raise MalformedFile(f"the byteorder record says {order[:20]!r}, neither little nor big")

    def locate(reference: object) -> Storage:
        if type(reference) is not Persistent:
            raise MalformedFile("a tensor's storage is no persistent id")
        claim = claim_of(reference.pid)
        span = archive.record(f"{folder}/{claim.key}")
        if span.size != claim.size:
            message = (
                f"record {folder}/{claim.key} has {span.size} bytes, but {claim.size} are claimed"
            )
            raise MalformedFile(message, span.at)
        return Storage(claim.dtype, span, order == b"big")

    return locate
