"""Sharded checkpoints: an index names, for every tensor, the file beside it that holds it.

Comes in: a span over a `*.index.json`, and the means to open its neighbours. Goes out: one
`Checkpoint` over all shards. Promise: an index opens nothing but plain names in its own folder,
each once, and never another index.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import AuditError, MalformedFile, UnknownFormat
from ..raw.span import Span
from ..raw.tensor import Tensor
from . import Beside, Checkpoint, read, reader

MAX_INDEX = 32 << 20
"""Bytes of an index that are read: some 300,000 names."""

MAX_VALUES = 3_000_000
"""JSON values of an index; each takes some 64 bytes as a Python object, however few it takes in the
file.
"""

MAX_SHARDS = 1000
"""Files that one index may hold open at once; the largest published models have a few hundred."""

_KEY = rb'"weight_map"[ \t\r\n]*:[ \t\r\n]*\{'
_UNSAFE = r"[/\\\x00-\x1f\x7f\ud800-\udfff]"


class Merged(Mapping[str, Tensor]):
    """Every name of the index, looked up in the shard that the index gives it."""

    __slots__ = ("_homes", "_shards")

    def __init__(self, homes: Mapping[str, str], shards: Mapping[str, Checkpoint]) -> None:
        self._homes, self._shards = homes, shards

    def __getitem__(self, name: str) -> Tensor:
        return self._shards[self._homes[name]].tensors[name]

    def __contains__(self, name: object) -> bool:
        return name in self._homes

    def __iter__(self) -> Iterator[str]:
        return iter(self._homes)

    def __len__(self) -> int:
        return len(self._homes)


@reader("sharded")
def read_sharded(span: Span, beside: Beside) -> Checkpoint | None:
    """All shards of an index as one checkpoint; None when the bytes are no index.

    Raises `MalformedFile` for a hostile or wrong index, and whatever a shard raises with the
    shard's name before it.
    """
    homes = _weight_map(span)
    if homes is None:
        return None
    shards = {name: _read_shard(name, beside) for name in _files(homes, span)}
    kept = {}
    for name, file in homes.items():
        shard = shards[file]
        if name in shard.tensors:
            kept[name] = file
        elif not any(skipped.module == name for skipped in shard.skipped):
            message = (
                f"the index places tensor {_quoted(name)} in shard {_quoted(file)}, which does "
                "not hold it"
            )
            raise MalformedFile(message, span.start)
    return _merge(kept, shards)


def shard_names(span: Span) -> tuple[str, ...] | None:
    """The files that an index needs, sorted; None when the bytes are no index. Opens nothing."""
    homes = _weight_map(span)
    return None if homes is None else _files(homes, span)


def _weight_map(span: Span) -> dict[str, str] | None:
    """The index's map from tensor name to file name, both strings; None when the bytes are no
    index.
    """
    if not 0 < span.size <= MAX_INDEX or not span[: min(64, span.size)].read().lstrip(
        b" \t\r\n"
    ).startswith(b"{"):
        return None
    raw = span.read()
    if not re.search(_KEY, raw):
        return None
    index = _parse(raw, span.start)
    homes = index.get("weight_map")
    if not isinstance(homes, dict):
        return None
    for name, file in homes.items():
        if not isinstance(file, str):
            message = (
                f"the index gives tensor {_quoted(name)} {type(file).__name__} where a file name "
                "belongs"
            )
            raise MalformedFile(message, span.start)
    return homes


def _parse(raw: bytes, at: int) -> dict[str, Any]:
    import json

    if sum(map(raw.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise MalformedFile(f"the index has more than {MAX_VALUES} values", at, "limit")
    try:
        index: dict[str, Any] = json.loads(raw.decode(), object_pairs_hook=_unique)
    except KeyError as error:
        message = f"the index has the key {_quoted(error.args[0])} twice"
        raise MalformedFile(message, at, "ambiguous") from None
    except RecursionError:
        raise MalformedFile("the index is nested too deeply", at) from None
    except ValueError as error:  # also UnicodeDecodeError and JSONDecodeError
        raise MalformedFile(f"the index is not JSON: {error}", at) from None
    return index


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON leaves open which of two equal keys counts: raises KeyError with the key."""
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise KeyError(key)
        table[key] = value
    return table


def _files(homes: Mapping[str, str], span: Span) -> tuple[str, ...]:
    """The distinct files of an index, sorted, after every name was found to stay in the folder."""
    files = tuple(sorted(set(homes.values())))
    if not files:
        raise MalformedFile("the index names no shard", span.start)
    if len(files) > MAX_SHARDS:
        raise MalformedFile(
            f"the index names {len(files)} shards; at most {MAX_SHARDS} are read",
            span.start,
            "limit",
        )
    own = re.split(r"[/\\]", span.source.name)[-1]
    for file in files:
        if (
            not file
            or file in (".", "..")
            or len(file.encode("utf-8", "replace")) > 255
            or re.search(_UNSAFE, file)
        ):
            message = (
                f"the index names the shard {_quoted(file)}; only a plain file name in the same "
                "folder is opened"
            )
            raise MalformedFile(message, span.start)
        if file == own:
            raise MalformedFile(f"the index names itself, {_quoted(file)}, as a shard", span.start)
    return files


def _read_shard(name: str, beside: Beside) -> Checkpoint:
    """One shard by whichever reader claims it; its errors get its name."""
    try:
        return read(beside(name), _no_further)
    except AuditError as error:
        hint = "; all files that the index names must lie beside it" if error.kind == "io" else ""
        raise type(error)(
            f"shard {_quoted(name)}: {error.message}{hint}", error.at, error.kind
        ) from None


def _no_further(name: str) -> Span:
    """A shard that is an index itself could lead in circles."""
    raise UnknownFormat("it is an index itself, not a shard", 0, "unsupported")


def _merge(homes: Mapping[str, str], shards: Mapping[str, Checkpoint]) -> Checkpoint:
    parts = [shards[file] for file in shards]
    plain = all(part.format == "safetensors" for part in parts)
    return Checkpoint(
        format="safetensors-sharded" if plain else "torch-sharded",
        tensors=Merged(homes, shards),
        claims={path: claim for part in parts for path, claim in part.claims.items()},
        skipped=tuple(dict.fromkeys(skipped for part in parts for skipped in part.skipped)),
        globals=tuple(dict.fromkeys(pair for part in parts for pair in part.globals)),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _quoted(name: str) -> str:
    """A name from the file, safe to print."""
    return repr(name if len(name) <= 200 else name[:200] + "...")
