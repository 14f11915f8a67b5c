"""Archives that hold checkpoints: zip, tar, gzip, and one inside the other.

Comes in: a span over a file that no reader of checkpoints claims. Goes out: its `MemberPart`s, each
a checkpoint under its path inside the archive. Promise: nothing is unpacked to disk, a name inside
is a label and never a path, and what all parts together inflate and take is bounded.

A stored member of a zip and any member of a tar is a slice of the outer file: it keeps its place,
and the outer checksum is sealed around the inner one.
"""

import os
import posixpath
from collections.abc import Collection, Iterator
from functools import partial
from typing import NamedTuple

from ...errors import MalformedFile, UnknownFormat
from ...raw.span import Span
from ...wire import gzip, tar, zip, zip_body
from ...wire.strays import LOOKING, list_mentions, list_strays
from .. import Beside, Checkpoint, MemberPart, list_suffixes, read_checkpoint
from .bystanders import SETTINGS, Opener, Pairs, find_unpickled_by_loaders

MAX_DEPTH = 3  # a checkpoint in a zip in a tar in a gzip
MAX_TRIED = 256  # members that are looked into
MAX_ALL_INFLATED = 256 << 20  # bytes that the deflated members of one file may have together

# Only members with these suffixes are inflated to see what they are; stored ones are looked at.
MODELS = frozenset(
    [
        ".pt",
        ".pth",
        ".bin",
        ".th",
        ".ckpt",
        ".pkl",
        ".safetensors",
        ".h5",
        ".hdf5",
        ".keras",
        ".npz",
        ".zip",
        ".tar",
        ".gz",
        ".model",
        ".nn",
        ".onnx",
        ".tflite",
        ".msgpack",
        ".params",
        ".index",
        ".pickle",
        ".joblib",
        ".nemo",
    ]
)


# What the archive of org.deeplearning4j.util.ModelSerializer holds.
DL4J = frozenset({"configuration.json", "coefficients.bin"})
DL4J_SAID = (
    "a Deeplearning4j model, one array for all weights; in Java, "
    "ModelSerializer.restoreMultiLayerNetwork(file).paramTable() takes it apart (W, RW and b of "
    "each LSTM, gates in the order i, f, o, g) and Nd4j.writeAsNumpy writes what it has"
)


class Room(NamedTuple):
    """What is left for one file: a counter of members looked into, one of bytes inflated."""

    counts: dict[str, int]

    def take(self, what: str, amount: int, most: int) -> None:
        """Count; raises `MalformedFile`, kind `limit`, beyond `most`."""
        self.counts[what] = self.counts.get(what, 0) + amount
        if self.counts[what] > most:
            raise MalformedFile(f"its members have over {most} {what} together", kind="limit")


def is_archive(span: Span) -> bool:
    """Whether these bytes are a container of files."""
    return zip.is_zip(span) or tar.is_tar(span) or gzip.is_gzip(span)


def parts(span: Span, name: str) -> list[MemberPart]:
    """Every checkpoint inside, in the order of their paths; none where there is none.

    `name` is that of the file, from which a bare gzip has the name of what it holds.
    """
    return list(_parts(span, name, Room({}), MAX_DEPTH))


def find_parts(checkpoint: Checkpoint) -> list[MemberPart]:
    """A checkpoint and those inside it; raises `UnknownFormat` where all that it has are bytes of
    other kinds.
    """
    found = list(_all_of("", checkpoint, Room({}), MAX_DEPTH))
    if not found:
        raise UnknownFormat("a pickle that holds no tensors")
    return found


def _parts(span: Span, name: str, room: Room, depth: int) -> Iterator[MemberPart]:
    if gzip.is_gzip(span):
        inner = gzip.inflate(span)
        room.take("bytes", inner.size, MAX_ALL_INFLATED)
        if tar.is_tar(inner):  # .tar.gz is one archive, not two
            yield from _members(inner, room, depth)
        else:
            yield from _member(os.path.basename(name).removesuffix(".gz"), inner, {}, room, depth)
        return
    yield from _members(span, room, depth)


def _members(span: Span, room: Room, depth: int) -> list[MemberPart]:
    """The checkpoints of an archive; the first is charged with what the whole would unpickle."""
    members = _open_members(span, room)
    found = list(_checkpoints(members, room, depth))
    read = [part.inside for part in found if isinstance(part.checkpoint, Checkpoint)]
    names = {inside.partition("!")[0] for inside in read}
    obeyed = find_unpickled_by_loaders(members, names)
    strays = _list_strays(span, members, names)
    return _loading(found, tuple(dict.fromkeys([*obeyed, *strays])))


def _list_strays(span: Span, members: Opener, but: Collection[str]) -> Pairs:
    """What the other members mention, whatever they are called."""
    if tar.is_tar(span):
        named: dict[tuple[str, str], None] = {}
        for name, member in members.items():
            span.budget.step(LOOKING, "a member of an archive")
            named |= {} if name in but else list_mentions(member(), member)
        return tuple(named)
    others = [member for name, member in zip.read_entries(span).items() if name not in but]
    return tuple(list_strays(span, others))


def _checkpoints(members: Opener, room: Room, depth: int) -> Iterator[MemberPart]:
    for name in sorted(members):
        room.take("members", 1, MAX_TRIED)
        try:
            member = members[name]()
        except MalformedFile as error:
            if error.kind == "limit":
                raise
            yield MemberPart(name, error)
            continue
        yield from _member(name, member, members, room, depth)


def _loading(found: list[MemberPart], named: Pairs) -> list[MemberPart]:
    """The same parts, where what loads them would also import these (module, name) pairs."""
    for at, part in enumerate(found):
        if named and isinstance(part.checkpoint, Checkpoint):
            known = dict.fromkeys((*named, *part.checkpoint.around))
            loaded = part.checkpoint._replace(around=tuple(known))
            return [*found[:at], part._replace(checkpoint=loaded), *found[at + 1 :]]
    return found


def _open_members(span: Span, room: Room) -> "dict[str, partial[Span]]":
    """The members worth a look."""
    if tar.is_tar(span):
        return {name: partial(_itself, body) for name, body in tar.read_members(span).items()}
    found = zip.read_entries(span)
    if found.keys() >= DL4J:
        raise UnknownFormat(DL4J_SAID, span.at, "unsupported")
    return {
        name: partial(_body, span, member, room)
        for name, member in found.items()
        if not name.endswith("/") and (member.method == zip.STORED or _is_read(name))
    }


def _itself(span: Span) -> Span:
    return span


def _body(span: Span, member: zip.Member, room: Room) -> Span:
    if member.method != zip.STORED:
        room.take("bytes", member.size, MAX_ALL_INFLATED)
    return zip_body.body(span, member)


def _is_read(name: str) -> bool:
    return name == SETTINGS or _is_model(name)


# As in a walked folder: a pointer, a page or an empty file in the place of a checkpoint is said, so
# is one whose suffix belongs to checkpoints; but for .bin, by which archives also have the numbers
# of a model that is read through another member.
def _promises_checkpoint(name: str, error: UnknownFormat) -> bool:
    """Whether a member that no reader knows is an error of the archive."""
    if error.kind != "unknown-format":
        return _is_model(name)
    return os.path.splitext(name)[1].lower().removeprefix(".") in list_suffixes() - {"bin"}


def _is_model(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in MODELS


def _member(name: str, span: Span, members: Opener, room: Room, depth: int) -> Iterator[MemberPart]:
    """What one member is: a checkpoint, an archive, or nothing that is read."""
    try:
        yield from _all_of(name, read_checkpoint(span, _neighbours(name, members)), room, depth)
    except UnknownFormat as error:
        if not is_archive(span):
            if error.kind == "unsupported" or _promises_checkpoint(name, error):
                yield MemberPart(name, error)
            return
        if depth <= 1:
            yield MemberPart(
                name, MalformedFile("archives inside archives inside archives", kind="limit")
            )
            return
        for part in _parts(span, name, room, depth - 1):
            yield part._replace(inside=f"{name}!{part.inside}")
    except MalformedFile as error:
        if _is_model(name):
            yield MemberPart(name, error)


def _all_of(name: str, checkpoint: Checkpoint, room: Room, depth: int) -> Iterator[MemberPart]:
    """A checkpoint, and those that it keeps as bytes: skorch, RLlib, pickled Keras models.

    Whoever loads one of those has loaded the pickle around it, so where that is no checkpoint of
    its own, what it names is said of the first of them.
    """
    if checkpoint.holds_nothing and checkpoint.files:
        yield from _loading(
            list(_keep_checkpoint(name, checkpoint, room, depth)), checkpoint.globals
        )
        return
    yield MemberPart(name, checkpoint)
    yield from _keep_checkpoint(name, checkpoint, room, depth)


def _keep_checkpoint(
    name: str, checkpoint: Checkpoint, room: Room, depth: int
) -> Iterator[MemberPart]:
    for path, span in checkpoint.files.items() if depth > 1 else ():
        room.take("members", 1, MAX_TRIED)
        yield from _member(f"{name}!{path}" if name else path, span, {}, room, depth - 1)


def _neighbours(name: str, members: Opener) -> Beside:
    """Files beside a member, for formats that spread over several."""
    folder, slash, own = name.rpartition("/")

    def beside(other: str) -> Span:
        if other.startswith("*"):
            other = os.path.splitext(own)[0] + other[1:]
        path = posixpath.normpath(f"{folder}{slash}{other}")
        if path not in members:
            raise MalformedFile(f"the archive has no {path}", kind="truncated")
        return members[path]()

    return beside
