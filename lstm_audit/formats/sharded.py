"""Sharded checkpoints: an index names, for every tensor, the file beside it that holds it.

Comes in: a span over a `*.index.json`, and the means to open its neighbours. Goes out: one
`Checkpoint` over all shards. Promise: an index opens nothing but plain names in its own folder,
each once, and never another index.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import AuditError, MalformedFile, UnknownFormat
from ..raw.span import Span
from ..raw.tensor import Tensor
from ..raw.tensors import Tensors
from ..raw.words import MAX_NAME, show
from ..wire.json import MAX_SIZE, parse_json
from . import Beside, Checkpoint, Format, read_checkpoint, reader, shape_of

# Files that one index may hold open at once; the largest published models have a few hundred.
MAX_SHARDS = 1000

# Names that an index may have. The headers of more than 215,000 tensors are beyond what is read of
# a checkpoint (raw/budget.py), so that no index beyond this one could be read to its end; the
# largest published models (384 experts in 60 layers, six tensors each) have some 140,000.
MAX_NAMES = 250_000

_KEY = rb'"weight_map"[ \t\r\n]*:[ \t\r\n]*\{'
_UNSAFE = r"[/\\\x00-\x1f\x7f\ud800-\udfff]"


@reader(
    "sharded",
    Format("safetensors-sharded", shares_bytes=False, reference=True, several=True),
    Format("torch-sharded", executes=True, several=True),
)
def read_sharded(span: Span, beside: Beside) -> Checkpoint | None:
    """All shards of an index as one checkpoint; None when the bytes are no index.

    Raises `MalformedFile` for a hostile or wrong index, and whatever a shard raises with the
    shard's name before it.
    """
    homes = _weight_map(span)
    if homes is None:
        return None
    shards = {name: _read_shard(name, beside) for name in _files(homes, span)}
    unread = {file: {skipped.module for skipped in s.skipped} for file, s in shards.items()}
    kept = {}
    for name, file in homes.items():
        if name in shards[file].tensors:
            kept[name] = file
        elif name not in unread[file]:
            message = (
                f"the index places tensor {show(name)} in shard {show(file)}, which does "
                "not hold it"
            )
            raise MalformedFile(message, span.at)
    return _merge(kept, shards)


def shard_names(span: Span) -> tuple[str, ...] | None:
    """The files that an index needs, sorted; None when the bytes are no index. Opens nothing."""
    homes = _index(span)
    if homes is None:
        return None
    # Keras gives a list of files for a layer, the others one file for a tensor
    lists = [files if isinstance(files, list) else [files] for files in homes.values()]
    named = {str(k): file for k, file in enumerate(file for files in lists for file in files)}
    return _files(_check_names(named, span), span)


def _weight_map(span: Span) -> dict[str, str] | None:
    """The index's map from tensor name to file name, both strings; None when the bytes are no
    index.
    """
    homes = _index(span)
    if homes is None or isinstance(next(iter(homes.values()), None), list):  # Keras's own
        return None
    return _check_names(homes, span)


def _index(span: Span) -> dict[str, Any] | None:
    """The map of an index as it stands there."""
    if not 0 < span.size <= MAX_SIZE or not span[: min(64, span.size)].read().lstrip(
        b" \t\r\n"
    ).startswith(b"{"):
        return None
    raw = span.read()
    if not re.search(_KEY, raw):
        return None
    names = raw.count(b":")  # a few more where names hold colons
    if names > MAX_NAMES:
        message = f"the index has some {names} names; at most {MAX_NAMES} are read"
        raise MalformedFile(message, span.at, "limit")
    index = parse_json(raw, span.budget, "the index", span.at)
    homes = index.get("weight_map")
    return homes if isinstance(homes, dict) else None


def _check_names(homes: dict[str, Any], span: Span) -> dict[str, str]:
    """The map, if all of its values are file names."""
    for name, file in homes.items():
        if len(name) > MAX_NAME:
            message = f"a name has {len(name)} characters; at most {MAX_NAME} are read"
            raise MalformedFile(message, span.at, "limit")
        if not isinstance(file, str):
            message = (
                f"the index gives tensor {show(name)} {type(file).__name__} where a file name "
                "belongs"
            )
            raise MalformedFile(message, span.at)
    return homes


def _files(homes: Mapping[str, str], span: Span) -> tuple[str, ...]:
    """The distinct files of an index, sorted, after every name was found to stay in the folder."""
    files = tuple(sorted(set(homes.values())))
    if not files:
        raise MalformedFile("the index names no shard", span.at)
    if len(files) > MAX_SHARDS:
        raise MalformedFile(
            f"the index names {len(files)} shards; at most {MAX_SHARDS} are read",
            span.at,
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
                f"the index names the shard {show(file)}; only a plain file name in the same "
                "folder is opened"
            )
            raise MalformedFile(message, span.at)
        if file == own:
            raise MalformedFile(f"the index names itself, {show(file)}, as a shard", span.at)
    return files


def _read_shard(name: str, beside: Beside) -> Checkpoint:
    """One shard by whichever reader claims it; its errors get its name."""
    try:
        return read_checkpoint(beside(name), _no_further)
    except AuditError as error:
        hint = "; all files that the index names must lie beside it" if error.kind == "io" else ""
        # the error is of the index, in which the place in the shard would be another one
        place = "" if error.at is None else f" (at byte {error.at})"
        message = f"shard {show(name)}: {error.message}{place}{hint}"
        raise type(error)(message, kind=error.kind) from None


def _no_further(name: str) -> Span:
    """A shard that is an index itself could lead in circles."""
    raise UnknownFormat("it is an index itself, not a shard", kind="unsupported")


def _lazy(homes: Mapping[str, str], shards: Mapping[str, Checkpoint]) -> Tensors[str]:
    """Every name of the index, looked up in the shard that the index gives it."""

    def build(name: str, file: str) -> Tensor:
        return shards[file].tensors[name]

    def shape(name: str, file: str) -> tuple[int, ...]:
        return shape_of(shards[file].tensors, name)

    def announce(names: Iterable[str]) -> None:
        by_shard: dict[str, list[str]] = {}
        for name in names:
            by_shard.setdefault(homes[name], []).append(name)
        for file, inside in by_shard.items():
            tensors = shards[file].tensors
            if isinstance(tensors, Tensors) and tensors.announce is not None:
                tensors.announce(inside)

    return Tensors(homes, build, shape, announce)


def _merge(homes: Mapping[str, str], shards: Mapping[str, Checkpoint]) -> Checkpoint:
    parts = [shards[file] for file in shards]
    plain = all(part.format == "safetensors" for part in parts)
    return Checkpoint(
        format="safetensors-sharded" if plain else "torch-sharded",
        tensors=_lazy(homes, shards),
        claims={path: claim for part in parts for path, claim in part.claims.items()},
        skipped=tuple(dict.fromkeys(skipped for part in parts for skipped in part.skipped)),
        globals=tuple(dict.fromkeys(pair for part in parts for pair in part.globals)),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        trailing=tuple(dict.fromkeys(one for part in parts for one in part.trailing)),
        counters={name: n for part in parts for name, n in part.counters.items()},
    )
