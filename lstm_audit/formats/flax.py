"""Flax: a tree of arrays in MessagePack.

Comes in: a span over `flax.serialization.to_bytes`. Goes out: a `Checkpoint` whose names are the
paths of the tree. Promise: a leaf keeps its place in the file; there is no checksum over it.

Source: flax/serialization.py `_msgpack_ext_pack` (extension 1: an array as [shape, dtype, bytes])
and `_chunk` (leaves of over a gibibyte, which are skipped).
"""

from collections.abc import Iterator
from typing import Any

from ..errors import MalformedFile, Skipped
from ..raw.dtypes import DTYPES
from ..raw.span import Span
from ..raw.tensor import Tensor, contiguous
from ..raw.words import MAX_NAME
from ..wire.msgpack import Raw, unpack, unpack_first
from . import Beside, Checkpoint, counters_in, reader

ARRAY = 1
CHUNKED = "__msgpack_chunked_array__"


@reader("flax-msgpack", weak=True)
def read_flax(span: Span, beside: Beside) -> Checkpoint | None:
    """A map at whose root are texts and somewhere in which are arrays; there is no magic."""
    head = span[: min(span.size, 6)].read()
    if not _is_map(head):
        return None
    try:
        tree = unpack(span)
    except MalformedFile as error:
        if error.kind == "limit":
            raise
        return None
    if type(tree) is not dict:
        return None
    tensors: dict[str, Tensor] = {}
    skipped: list[Skipped] = []
    for path, leaf in _leaves("", tree):
        _note(tensors, skipped, path, leaf)
    if not tensors:
        return None
    return Checkpoint("flax-msgpack", tensors, skipped=tuple(skipped), counters=counters_in(tree))


def _is_map(head: bytes) -> bool:
    """A map of a few entries whose first key is a text."""
    if not head:
        return False
    key = {0xDE: 3, 0xDF: 5}.get(head[0], 1 if 0x81 <= head[0] <= 0x8F else len(head))
    return key < len(head) and (0xA0 < head[key] < 0xC0 or head[key] == 0xD9)


def _leaves(path: str, tree: Any) -> Iterator[tuple[str, Any]]:
    """Every leaf with its path; the depth is bounded by the reader of the bytes."""
    for key, value in tree.items() if type(tree) is dict else enumerate(tree):
        name = f"{path}/{key}" if path else str(key)
        if len(name) > MAX_NAME:
            raise MalformedFile(f"a name of {len(name)} characters", kind="limit")
        if type(value) is dict and CHUNKED in value:
            yield name, None
        elif type(value) in (dict, list):
            yield from _leaves(name, value)
        else:
            yield name, value


def _note(tensors: dict[str, Tensor], skipped: list[Skipped], path: str, leaf: Any) -> None:
    if leaf is None:
        skipped.append(Skipped(path, "unsupported-dtype", f"{path} is stored in chunks"))
    elif type(leaf) is Raw and leaf.extension == ARRAY:
        found = _array(leaf.span)
        if isinstance(found, str):
            skipped.append(Skipped(path, "unsupported-dtype", f"{path} is an array of {found}"))
        else:
            tensors[path] = found


def _array(span: Span) -> Tensor | str:
    """[shape, dtype, bytes], or the name of a dtype that is not known."""
    parts, _ = unpack_first(span)
    if type(parts) is not list or len(parts) != 3 or type(parts[2]) is not Raw:
        raise MalformedFile("an array is no [shape, dtype, bytes]", span.at)
    shape, dtype, raw = parts
    if type(shape) is not list or not all(type(size) is int and size >= 0 for size in shape):
        raise MalformedFile("an array's shape is no list of sizes", span.at)
    if type(dtype) is not str or dtype not in DTYPES:
        return dtype[:20] if type(dtype) is str else "an unknown kind"
    return contiguous(DTYPES[dtype], tuple(shape), raw.span)
