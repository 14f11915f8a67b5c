"""The torch file of version 0.1: a tar of storages, of tensors over them, and of a pickle.

Comes in: a span that is a tar. Goes out: an `Envelope`, in whose value a tensor stands as the call
that would rebuild it. Promise: every count, size and key is held against the bytes before it is
used; what a key names must have been stored before.

Source: torch/serialization.py, legacy_load in _legacy_load: `storages` is a count, then for each a
pickle of (key, location, type), the number of elements as int64, and the elements; behind them a
pickle of views. `tensors` is a count, then for each a pickle of (key, storage, type), the number of
axes in 8 bytes, sizes, strides and the offset as int64. `pickle` names tensors by their keys.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ...errors import MalformedFile
from ...raw.span import Span
from ...raw.tensor import MAX_DIMS
from ...raw.words import is_plain, show
from ...wire import tar
from ...wire.pickle import Call, Decoded, Global, Persistent, decode
from .legacy import Envelope
from .storage import STORAGE_DTYPES, Locate, Storage

# What the loader opens; `sys_info` stands beside them and is never looked at.
MEMBERS = ("storages", "tensors", "pickle")

# Steps of the budget that a storage or tensor takes, however small it is.
OPENING = 100

SHORT = 256  # bytes that hold a record's pickle
WIDTH = 8  # bytes of every number between the pickles

_REBUILD = Global("torch._utils", "_rebuild_tensor")

Key = int


class Pickles(NamedTuple):
    """The pickles of a file, for what they name and would load."""

    decoded: list[Decoded]

    def read(self, span: Span, at: int) -> tuple[Any, int]:
        """The value of the pickle at a place, and the place behind it."""
        found = decode(span, at, SHORT)
        self.decoded.append(found)
        return found.value, found.end


def is_tar_era(span: Span) -> bool:
    """Whether a tar holds what torch's loader opens."""
    if span.size < tar.BLOCK or span[257:262].read() != tar.MAGIC or not tar.is_tar(span):
        return False
    return set(MEMBERS) <= tar.read_members(span).keys()


def open_tar(span: Span) -> Envelope:
    """Decode a tar of torch 0.1; raises `MalformedFile` where a record is none of the loader's."""
    members = tar.read_members(span)
    storages, tensors, root = (members[name] for name in MEMBERS)
    pickles = Pickles([])
    places = _storages(storages, pickles)
    calls = _tensors(tensors, places, pickles)

    def resolve(pid: Any) -> Any:
        if type(pid) is tuple and pid and type(pid[0]) is Global:
            return pid[0]  # a class, with its source beside it
        key = int(pid) if type(pid) is str and pid.isdecimal() and len(pid) < 20 else pid
        found = calls.get(key, Persistent(key)) if _is_key(key) else None
        if found is None or (type(found) is Persistent and key not in places):
            raise MalformedFile(f"the pickle refers to {show(pid)}, which is not stored", root.at)
        return found

    decoded = decode(root, resolve=resolve)
    read = [*pickles.decoded, decoded]
    return Envelope(
        value=decoded.value,
        chunks=root,
        locate=_locator(places),
        globals=tuple(dict.fromkeys(named for one in read for named in one.globals)),
        trailing=root.size - decoded.end,
        loads=tuple(call for one in read for call in one.loads),
        effects=decoded.effects,
        opened={},
        worked_out={},
    )


def _is_key(value: object) -> bool:
    return type(value) is int and is_plain(value)


def _count(span: Span, pickles: Pickles) -> tuple[int, int]:
    """How many records a member claims, and where the first begins."""
    count, at = pickles.read(span, 0)
    if not _is_key(count) or not 0 <= count <= span.size:
        raise MalformedFile(f"{show(count)} records are claimed", span.at)
    span.budget.step(OPENING * count, "a tar of torch 0.1")
    return count, at


def _triple(span: Span, at: int, pickles: Pickles) -> tuple[tuple[Any, Any, Any], int]:
    """The pickle before a record: three values, of which the first is a key."""
    value, behind = pickles.read(span, at)
    if type(value) is not tuple or len(value) != 3 or not _is_key(value[0]):
        raise MalformedFile("a record does not begin with a key and two values", span.place(at))
    return value, behind


def _number(span: Span, at: int) -> int:
    return int.from_bytes(span[at : at + WIDTH].read(), "little", signed=True)


def _storages(span: Span, pickles: Pickles) -> dict[Key, Storage]:
    """Every storage by its key, and every view of one by its own."""
    places: dict[Key, Storage] = {}
    count, at = _count(span, pickles)
    for _ in range(count):
        (key, _, kind), at = _triple(span, at, pickles)
        dtype = STORAGE_DTYPES.get(kind.name) if type(kind) is Global else None
        if dtype is None:
            raise MalformedFile(f"unknown storage type {show(kind)}", span.place(at), "unsupported")
        size = _number(span, at) * dtype.itemsize
        _add(places, key, Storage(dtype, span[at + WIDTH : at + WIDTH + size]), span)
        at += WIDTH + size
    views, _ = pickles.read(span, at)
    for target, source, offset, elements in _views(views, span):
        if source not in places:
            raise MalformedFile(f"a view of storage {show(source)}, which is not stored", span.at)
        whole = places[source]
        size = whole.dtype.itemsize if whole.dtype else 1
        part = whole.span[offset * size : (offset + elements) * size]
        _add(places, target, whole._replace(span=part), span)
    return places


def _add(places: dict[Key, Storage], key: Key, storage: Storage, span: Span) -> None:
    if key in places:
        raise MalformedFile(f"the storage {show(key)} is there twice", span.at, "ambiguous")
    places[key] = storage


def _views(value: object, span: Span) -> Iterator[tuple[Key, Key, int, int]]:
    """(key, key of the whole, offset, elements) of each view."""
    if type(value) is not list:
        raise MalformedFile("the list of storage views is none", span.at)
    for view in value:
        numbers = tuple(view) if type(view) in (tuple, list) else ()
        if len(numbers) != 4 or not all(map(_is_key, numbers)) or min(numbers[2:]) < 0:
            raise MalformedFile("a storage view is not four numbers", span.at)
        yield numbers


def _tensors(span: Span, places: dict[Key, Storage], pickles: Pickles) -> dict[Key, Call]:
    """Every tensor by its key, as the call that torch would rebuild it with today."""
    calls: dict[Key, Call] = {}
    count, at = _count(span, pickles)
    for _ in range(count):
        (key, storage, _), at = _triple(span, at, pickles)
        axes = int.from_bytes(span[at : at + 4].read(), "little", signed=True)
        if not 0 <= axes <= MAX_DIMS or not _is_key(storage) or storage not in places:
            raise MalformedFile(f"the tensor {show(key)} is over no known storage", span.place(at))
        if key in calls or key in places:
            raise MalformedFile(f"the key {show(key)} is there twice", span.place(at), "ambiguous")
        at += WIDTH  # the loader skips the upper half of the number of axes
        numbers = tuple(_number(span, at + WIDTH * k) for k in range(2 * axes + 1))
        at += WIDTH * len(numbers)
        sizes, strides = numbers[:axes], numbers[axes : 2 * axes]
        calls[key] = Call(_REBUILD, (Persistent(storage), numbers[-1], sizes, strides))
    return calls


def _locator(places: dict[Key, Storage]) -> Locate:
    def locate(reference: object) -> Storage:
        if type(reference) is Persistent and _is_key(reference.pid) and reference.pid in places:
            return places[reference.pid]
        raise MalformedFile("a tensor's storage is none that is stored")

    return locate
