"""The zip of torch.save and TorchScript.

Comes in: a span that is a zip. Goes out: an `Archive`, and an `Envelope` for its data.pkl. Promise:
the records are those that torch's reader (caffe2/serialize/inline_container.cc) would find, or the
file is refused.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from ...errors import MalformedFile
from ...raw.span import Span, span_of
from ...raw.words import show
from ...tuples import NamedTuple
from ...wire.pickle import Call, Decoded, Persistent, decode
from ...wire.zip import STORED, Member, read_entries
from ...wire.zip_body import body
from .legacy import Envelope, envelope
from .storage import Locate, Storage, StorageClaim, claims_of, read_persistent_id

MAX_REMEMBERED = (
    1 << 15
)  # bytes of a pickle that is kept decoded: 300 tensors; a hostile sixteen take 30 MB

# The record by which torch.export.load finds the weights.
CONFIG = "data/weights/model_weights_config.json"

# Records either of which makes an archive one of torch's.
DECISIVE = ("data.pkl", CONFIG)

# Records by whose names torch decides what an archive is and how to read it.
SPECIAL = frozenset({"data.pkl", "constants.pkl", "byteorder", "version", ".data/version"})


# Bytes of a storage that are fetched before they are asked for; a bias has fewer.
MOST_ANNOUNCED = 1 << 16


class Archive(NamedTuple):
    """The members of a torch zip, by their names without the root folder. `inflated` keeps the
    records that had to be inflated: many tensors may lie in one.
    """

    span: Span
    root: str
    members: Mapping[str, Member]
    inflated: dict[str, Span]

    def record(self, name: str) -> Span:
        """A record's bytes; raises `MalformedFile` where there is none."""
        member = self.members.get(name)
        if member is None:
            raise MalformedFile(f"the archive has no record {show(f'{self.root}/{name}')}")
        if member.method == STORED:
            return body(self.span, member)
        if name not in self.inflated:
            self.inflated[name] = body(self.span, member)
        return self.inflated[name]


def open_archive(span: Span) -> Archive:
    """The directory of a torch zip. All entries share one root folder, as torch's reader
    demands.
    """
    found = read_entries(span)
    root = next(iter(found), "").partition("/")[0]
    prefix = f"{root}/"
    stray = [name for name in found if not name.startswith(prefix)]
    if stray and any(f"{root}/{name}" in found for name in DECISIVE):
        raise MalformedFile(
            f"entry {stray[0]!r} lies outside the root folder {root!r}: torch refuses this archive"
        )
    skip = len(prefix)
    by_name = {name[skip:]: member for name, member in found.items()}
    _refuse_case(span, by_name)
    return Archive(span, root, by_name, {})


def _refuse_case(span: Span, names: Mapping[str, Member]) -> None:
    """torch looks records up without regard to ASCII case: `BYTEORDER` is one to it."""
    joined = "\n".join(names)
    if joined == joined.lower():
        return
    for name in names:
        if name not in SPECIAL and name.lower() in SPECIAL:
            message = f"the record {show(name)} is {show(name.lower())} to torch, not to others"
            raise MalformedFile(message, span.at, "ambiguous")


def open_pickle(
    archive: Archive, record: str = "data.pkl", folder: str = "data", suffix: str = ""
) -> Envelope:
    """Decode a record that refers to storages in `folder`, whose names end with `suffix`."""
    span = archive.record(record)
    decoded, worked_out = _decode_shared(span)
    return envelope(decoded, span, _locator(archive, folder, suffix, worked_out), worked_out)


def _decode_shared(span: Span) -> tuple[Decoded, dict[str, Any]]:
    """The pickle's value, and what is worked out from it. The checkpoints of a run have the same
    one, byte for byte: it is decoded once.
    """
    if span.size <= MAX_REMEMBERED:
        span.budget.step(span.size, "a pickle")  # an opcode takes at least a byte
        try:
            return _remember(span.read())
        except MalformedFile:
            pass  # again, from where it lies, for the place of the fault
    return _decode(span), {}


@lru_cache(maxsize=16)
def _remember(raw: bytes) -> tuple[Decoded, dict[str, Any]]:
    """Nothing changes a decoded value, and its chunks are counted from the span's start, so that it
    can be shared, and so can what is worked out from it later.
    """
    return _decode(span_of(raw)), {}


def _decode(span: Span) -> Decoded:
    """The pickle, once all that it claims of a storage was found to agree."""
    decoded = decode(span)
    claims_of(decoded.persistents)
    return decoded


def _locator(archive: Archive, folder: str, suffix: str, worked_out: dict[str, Any]) -> Locate:
    big_endian = _byteorder(archive) == b"big"
    claims: dict[object, StorageClaim] = worked_out.setdefault("claims", {})

    def locate(reference: object) -> Storage:
        claim = claims.get(reference) if type(reference) is Persistent else None
        if claim is None:
            claim = claims[reference] = _claim(reference)
        record = f"{folder}/{claim.key}{suffix}"
        span = archive.record(record)
        if span.size != claim.size:
            message = f"record {show(record)} has {span.size} bytes, but {claim.size} are claimed"
            raise MalformedFile(message, span.at)
        return Storage(claim.dtype, span, big_endian)

    return locate


def _claim(reference: object) -> StorageClaim:
    """What a tensor's first argument claims of its storage."""
    if type(reference) is not Persistent:
        raise MalformedFile("a tensor's storage is no persistent id")
    claim = read_persistent_id(reference.pid)
    if claim.view is not None or len(reference.pid) != 5:
        raise MalformedFile("a persistent id of a zip holds a storage view")
    return claim


def announce_storages(archive: Archive, calls: Iterable[Call], folder: str = "data") -> None:
    """Say that the storages of these tensors will be read, each with its header in the archive. A
    reference that is none is refused later, where the tensor is located.
    """
    places = []
    for call in calls:
        pid = getattr(call.args[0] if call.args else None, "pid", None)
        key = pid[2] if type(pid) is tuple and len(pid) > 2 else None
        member = archive.members.get(f"{folder}/{key}")
        if member is not None:
            places.append((member.header_at, min(member.limit - member.header_at, MOST_ANNOUNCED)))
    archive.span.announce(places)


def _byteorder(archive: Archive) -> bytes:
    member = archive.members.get("byteorder")
    if member is None:
        return b"little"
    said = archive.record("byteorder").read() if member.size <= len(b"little") else b""
    if said not in (b"little", b"big"):
        raise MalformedFile(
            f"the byteorder record says {show(said)}, neither little nor big", archive.span.at
        )
    return said
