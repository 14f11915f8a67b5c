"""torch.export's .pt2: weights as plain records, named by a JSON.

Comes in: an `Archive`. Goes out: named tensors. Promise: no pickle is needed, and none is read.
Source: torch/export/pt2_archive/_package.py, torch/_export/serde/schema.py.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ...errors import MalformedFile, Skipped
from ...raw.dtypes import DTYPES
from ...raw.tensor import Tensor, view
from .archive import Archive

CONFIG = "data/weights/model_weights_config.json"
MAX_CONFIG = 32 << 20  # bytes of JSON, as for safetensors headers

_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
}  # fmt: skip
"""torch/_export/serde/schema.py ScalarType."""


class Weight(NamedTuple):
    """What the config says of a weight."""

    name: str
    entry: Mapping[str, Any]


def read_weights(archive: Archive) -> tuple[dict[str, Weight], tuple[Skipped, ...]]:
    """What the config lists, by name; pickled weights are skipped."""
    import json

    record = archive.record(CONFIG)
    if record.size > MAX_CONFIG:
        raise MalformedFile(
            f"{CONFIG} has {record.size} bytes; at most {MAX_CONFIG} are read", record.at, "limit"
        )
    try:
        entries = json.loads(record.read())["config"]
        pairs = [(name, dict(entry)) for name, entry in entries.items()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise MalformedFile(
            f"{CONFIG} is not the JSON that torch.export writes: {error!r:.80}", record.at
        ) from None
    skipped = [name for name, entry in pairs if entry.get("use_pickle")]
    found = {name: Weight(name, entry) for name, entry in pairs if not entry.get("use_pickle")}
    return found, tuple(
        Skipped(n, "unsupported-dtype", "the weight is a nested pickle") for n in skipped
    )


def locate(archive: Archive, weight: Weight) -> Tensor:
    """One weight: `tensor_meta` has sizes, strides and the offset as {"as_int": n}."""
    name, entry = weight
    try:
        meta = entry["tensor_meta"]
        dtype = DTYPES[_DTYPES[meta["dtype"]]]
        shape = tuple(size["as_int"] for size in meta["sizes"])
        strides = tuple(step["as_int"] for step in meta["strides"])
        offset, path = meta["storage_offset"]["as_int"], entry["path_name"]
    except (KeyError, TypeError) as error:
        raise MalformedFile(
            f"{CONFIG}: the entry of {name!r} is incomplete: {error!r:.80}"
        ) from None
    if type(path) is not str:
        raise MalformedFile(f"{CONFIG}: the path of {name!r} is no text")
    return view(dtype, shape, strides, archive.record(f"data/weights/{path}"), offset)
