"""Weights of Keras over several files: an index names, for every layer, the files that hold it.

Comes in: a span over a `*.weights.json`, and the means to open its neighbours. Goes out: one
`Checkpoint` over all shards. Promise: only plain names in the index's own folder are opened, each
once; a layer may lie in two of them (keras/src/saving/saving_lib.py, ShardedH5IOStore).
"""

import re

from ...errors import AuditError, MalformedFile
from ...raw.span import Span
from ...raw.words import show
from ...wire.hdf5 import Tree
from ...wire.json import MAX_SIZE, parse_json
from .. import Beside, Checkpoint, Format, reader
from .config import Config
from .h5 import Weights, checkpoint_of, read_objects

# Files that one index may hold open at once.
MAX_SHARDS = 1000

_KEY = rb'"weight_map"\s*:\s*\{\s*"[^"]*"\s*:\s*\['
_UNSAFE = r"[/\\\x00-\x1f\x7f\ud800-\udfff]"


@reader("keras-sharded", Format("keras-sharded", several=True))
def read_shards(span: Span, beside: Beside) -> Checkpoint | None:
    """All shards of an index as one checkpoint; None when the bytes are no index of Keras."""
    files = _files(span)
    if files is None:
        return None
    tree, optimizers = Tree({}, {}, {}), tuple[str, ...]()
    for file in files:
        weights = _read_shard(file, beside)
        _merge(tree, weights.tree, file, span)
        optimizers += weights.optimizers
    config = Config("", "3", span.budget)  # which keeps none, and was the first to write shards
    return checkpoint_of(Weights(tree, tuple(dict.fromkeys(optimizers))), config, "keras-sharded")


def _files(span: Span) -> list[str] | None:
    """The files that the index names, sorted, each a plain name."""
    head = span[: min(span.size, 64)].read().lstrip()
    if not head.startswith(b"{") or span.size > MAX_SIZE:
        return None
    raw = span.read()
    if not re.search(_KEY, raw):
        return None
    index = parse_json(raw, span.budget, "the index", span.at)
    homes = index.get("weight_map")
    named = set[str]()
    for files in homes.values():
        named.update(_plain_names(files, span))
    if len(named) > MAX_SHARDS:
        raise MalformedFile(f"the index names over {MAX_SHARDS} shards", span.at, "limit")
    return sorted(named)


def _plain_names(files: object, span: Span) -> list[str]:
    """The files of one layer; raises `MalformedFile` for what could lead out of the folder."""
    if not isinstance(files, list):
        raise MalformedFile(f"the index gives a layer {show(str(files))}, no files", span.at)
    for file in files:
        if not isinstance(file, str) or re.search(_UNSAFE, file) or not 0 < len(file) < 256:
            message = f"the index names the shard {show(str(file))}; only plain names are opened"
            raise MalformedFile(message, span.at)
    return files


def _read_shard(name: str, beside: Beside) -> Weights:
    """One shard; its errors get its name."""
    try:
        return read_objects(beside(name))
    except AuditError as error:
        hint = "; all files that the index names must lie beside it" if error.kind == "io" else ""
        message = f"shard {show(name)}: {error.message}{hint}"
        raise type(error)(message, error.at, error.kind) from None


def _merge(tree: Tree, shard: Tree, file: str, span: Span) -> None:
    """Add a shard's objects. A group may be in several, a dataset in one."""
    twice = tree.datasets.keys() & shard.datasets.keys()
    if twice:
        message = f"shard {show(file)} holds {show(min(twice))}, which another shard holds as well"
        raise MalformedFile(message, span.at, "ambiguous")
    tree.datasets.update(shard.datasets)
    tree.refused.update(shard.refused)
    for path, attributes in shard.attributes.items():
        tree.attributes.setdefault(path, attributes)
