"""torch.export's .pt2: weights as plain records, named by a JSON.

Comes in: an `Archive`. Goes out: named tensors. Promise: no pickle is needed for them, and none is
given where two entries say different things of one record, or the name of one leaves its folder.
Source: torch/export/pt2_archive/_package.py, torch/_export/serde/schema.py.
"""

from collections.abc import Mapping
from typing import Any

from ...errors import MalformedFile, Skipped
from ...raw.dtypes import DTYPES
from ...raw.tensor import Tensor, view
from ...raw.words import MAX_NAME, show
from ...wire.json import MAX_SIZE, parse_json
from .archive import CONFIG, Archive

CONSTANTS = "data/constants/model_constants_config.json"
OLD_WEIGHTS = "data/weights/model.pt"  # torch.export.load takes it for the weights where it is
UNPICKLED = ("opaque_obj_", "custom_obj_")  # constants that are unpickled whatever the config says

# torch/_export/serde/schema.py ScalarType.
_DTYPES = {
    1: "uint8", 2: "int8", 3: "int16", 4: "int32", 5: "int64", 6: "float16", 7: "float32",
    8: "float64",
    9: "complex32", 10: "complex64", 11: "complex128", 12: "bool", 13: "bfloat16", 28: "uint16",
    29: "float8_e4m3fn", 30: "float8_e5m2", 31: "float8_e4m3fnuz", 32: "float8_e5m2fnuz",
}  # fmt: skip


# What the config says of a weight.
ConfigEntry = Mapping[str, Any]


# Names of records.
RecordNames = set[str]


def payloads(archive: Archive) -> tuple[RecordNames, RecordNames]:
    """The records that the configs of weights and constants say to be pickled, and the raw ones."""
    pickled: RecordNames = set()
    raw: RecordNames = set()
    for config in (CONFIG, CONSTANTS):
        folder = config.rpartition("/")[0]
        for entry in read_config(archive, config).values() if config in archive.members else ():
            path = entry.get("path_name")
            if type(path) is str:
                opaque = path.startswith(UNPICKLED)
                (pickled if entry.get("use_pickle") or opaque else raw).add(f"{folder}/{path}")
    return pickled, raw - pickled


def read_config(archive: Archive, name: str) -> dict[str, ConfigEntry]:
    """What the config in the record `name` lists, by weight."""
    record = archive.record(name)
    if record.size > MAX_SIZE:
        raise MalformedFile(
            f"{name} has {record.size} bytes; at most {MAX_SIZE} are read", record.at, "limit"
        )
    config = parse_json(record.read(), record.budget, name, record.at)
    entries = config.get("config") if type(config) is dict else None
    if type(entries) is not dict or not all(type(entry) is dict for entry in entries.values()):
        raise MalformedFile(f"{name} is not the JSON that torch.export writes", record.at)
    if any(len(weight) > MAX_NAME for weight in entries):
        raise MalformedFile(f"{name} holds a name of over {MAX_NAME} characters", kind="limit")
    return entries


def read_config_weights(archive: Archive) -> tuple[dict[str, ConfigEntry], tuple[Skipped, ...]]:
    """What the config lists, by name; pickled weights are skipped."""
    entries = read_config(archive, CONFIG)
    _refuse_two_dtypes(entries)
    found = {name: entry for name, entry in entries.items() if not entry.get("use_pickle")}
    return found, tuple(
        Skipped(name, "unsupported-dtype", "the weight is a nested pickle")
        for name in entries
        if name not in found
    )


def _refuse_two_dtypes(entries: Mapping[str, ConfigEntry]) -> None:
    """torch reads a record with the dtype of the first entry that names it."""
    dtypes: dict[object, object] = {}
    for name, entry in entries.items():
        path, meta = entry.get("path_name"), entry.get("tensor_meta")
        if type(path) is str and type(meta) is dict and not entry.get("use_pickle"):
            dtype = meta.get("dtype")
            if dtypes.setdefault(path, dtype) != dtype:
                message = f"{CONFIG}: {show(name)} has another dtype than its record elsewhere"
                raise MalformedFile(message, kind="ambiguous")


def locate_weight(archive: Archive, name: str, entry: ConfigEntry) -> Tensor:
    """One weight: `tensor_meta` has sizes, strides and the offset as {"as_int": n}."""
    try:
        meta = entry["tensor_meta"]
        dtype = DTYPES[_DTYPES[meta["dtype"]]]
        shape = tuple(size["as_int"] for size in meta["sizes"])
        strides = tuple(step["as_int"] for step in meta["strides"])
        offset, path = meta["storage_offset"]["as_int"], entry["path_name"]
    except (KeyError, TypeError) as error:
        raise MalformedFile(
            f"{CONFIG}: the entry of {show(name)} is incomplete ({type(error).__name__})"
        ) from None
    if type(path) is not str or path.startswith("/"):
        raise MalformedFile(f"{CONFIG}: the path of {show(name)} is no text, or none in its folder")
    return view(dtype, shape, strides, archive.record(f"data/weights/{path}"), offset)
