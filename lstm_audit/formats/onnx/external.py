"""External data: a tensor whose bytes lie in another file of the model's folder.

Comes in: the location, offset and length that a TensorProto gives. Goes out: the span there.
Promise: nothing outside the model's folder is opened, whatever the location says (CVE-2022-25882,
CVE-2024-5187: path traversal in onnx).
"""

import os
import re
from collections.abc import Mapping

from ...errors import AuditError, MalformedFile
from ...raw.span import Span
from .. import Beside

# Files that one model may hold open at once: old exporters wrote one a tensor.
MAX_FILES = 1000

MAX_LOCATION = 512
LOCATION = r"[^/\\\0]+(?:/[^/\\\0]+)*"
# ONNX Runtime's word for a pointer into its own memory: it has no meaning in a file.
IN_MEMORY = "_ORT_MEM_ADDR_"


def open_external(
    model: Span, beside: Beside, opened: dict[str, Span], keys: Mapping[str, str], size: int
) -> Span:
    """The `size` bytes that the keys of external_data name; `opened` keeps the files by their
    names.
    """
    location = keys.get("location", "")
    if location not in opened:
        _check_location(model, location)
        if len(opened) >= MAX_FILES:
            raise MalformedFile(
                f"external data in over {MAX_FILES} files; at most that many are read",
                model.at,
                "limit",
            )
        opened[location] = _open(model, beside, location)
    offset, length = _number(model, keys, "offset", 0), _number(model, keys, "length", size)
    if length != size:
        raise MalformedFile(
            f"external data of {length} bytes for a tensor that needs {size}", model.at
        )
    data = opened[location]
    if offset + size > data.size:
        message = (
            f"external data {location!r} has {data.size} bytes, a tensor needs {size} from {offset}"
        )
        raise MalformedFile(message, model.at, "truncated")
    return data[offset : offset + size]


def _open(model: Span, beside: Beside, location: str) -> Span:
    try:
        return beside(location)
    except AuditError as error:
        message = f"external data {location!r}: {error.message}; the file must lie beside the model"
        raise type(error)(message, model.at, error.kind) from None


def _check_location(model: Span, location: str) -> None:
    """A relative path that stays in the folder. ONNX Runtime follows links there only for a model
    that is one itself, as in a hub's cache, where the model and its data are both links into
    `blobs`.
    """
    parts = location.split("/")
    plain = (
        re.fullmatch(LOCATION, location)
        and len(location.encode("utf-8", "replace")) <= MAX_LOCATION
    )
    if not plain or ".." in parts or IN_MEMORY in parts:
        message = (
            f"external data at {location[:80]!r}: only a plain path inside the model's folder "
            "is opened"
        )
        raise MalformedFile(message, model.at)
    path = model.source.name
    if not os.path.islink(path):
        folder = os.path.realpath(os.path.dirname(path) or ".")
        target = os.path.realpath(os.path.join(folder, location))
        if os.path.commonpath((folder, target)) != folder:
            raise MalformedFile(
                f"external data at {location!r} is a link that leaves the model's folder", model.at
            )


def _number(model: Span, keys: Mapping[str, str], key: str, default: int) -> int:
    """Digits only: other readers take ` 64`, `0x40` and `64abc` for different numbers."""
    text = keys.get(key, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise MalformedFile(
            f"external data with {key} {text[:40]!r}, which is no plain number", model.at
        )
    return int(text)
