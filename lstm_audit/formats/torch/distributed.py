"""torch.distributed.checkpoint: a folder with a pickle of places, and files that hold the tensors.

Comes in: the decoded `.metadata`. Goes out: a `Checkpoint` whose tensors lie in the `.distcp` files
beside it. Promise: a place is a claim: its file is one of the same folder, and its window holds one
whole torch file with that tensor.

Source: torch/distributed/checkpoint/metadata.py (Metadata, TensorStorageMetadata, MetadataIndex)
and filesystem.py (_StorageInfo; each tensor is a torch.save of its own).
"""

from collections.abc import Iterator
from functools import cache, partial
from typing import Any, NamedTuple

from ...errors import AuditError, MalformedFile, Skipped
from ...raw.span import Span
from ...raw.tensor import Tensor
from ...raw.tensors import Tensors
from ...raw.words import MAX_NAME, is_plain, show
from ...wire.pickle import Call, Decoded, Opaque, decode
from .. import Beside, Checkpoint
from .archive import open_archive, open_pickle
from .rebuild import rebuild
from .scan import OPENING, GlobalPairs, imports_of

HOME = "torch.distributed.checkpoint"
SUFFIX = ".distcp"
NAME = ".metadata"
OBJECT = "BytesStorageMetadata"

CONSOLIDATE = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER model.pt"


class StoredPlace(NamedTuple):
    """Where one tensor, or a part of one, is stored."""

    file: str
    at: int
    size: int


def is_metadata(value: object) -> bool:
    """Whether a pickle is the `.metadata` of a distributed checkpoint."""
    return (
        type(value) is Call
        and value.function.module.startswith(HOME)
        and value.function.name == "Metadata"
    )


def stands_beside(beside: Beside) -> bool:
    """Whether a file lies in the folder of a distributed checkpoint."""
    try:
        return is_metadata(decode(beside(NAME)).value)
    except AuditError:
        return False


def read_distributed(decoded: Decoded, span: Span, beside: Beside) -> Checkpoint:
    """Every tensor that is stored whole; one that is spread over ranks is skipped."""
    state = decoded.value.state
    places: dict[str, list[StoredPlace]] = {}
    skipped: list[Skipped] = []
    for name, place in _places(state.get("storage_data") if type(state) is dict else None):
        places.setdefault(name, []).append(place)
    whole = {}
    for name, found in places.items():
        if len(found) == 1:
            whole[name] = found[0]
        else:
            detail = f"{show(name)} is spread over {len(found)} places: {CONSOLIDATE}"
            skipped.append(Skipped(name, "missing-data", detail))
    open_file = cache(beside)
    pickled = _names_of_objects(state)
    named = {(one.module, one.name): None for one in decoded.globals}
    for name in pickled & places.keys():
        for place in places[name]:
            named |= _list_imports(open_file, name, place)
    return Checkpoint(
        format="torch-dcp",
        tensors=Tensors(whole, partial(_tensor, open_file)),
        skipped=tuple(skipped),
        globals=tuple(named),
    )


def _names_of_objects(state: Any) -> set[str]:
    """What is no tensor: torch.distributed.checkpoint.load unpickles it without a filter
    (default_planner.py, load_bytes).
    """
    described = state.get("state_dict_metadata")
    items = described.items() if type(described) is dict else ()
    return {
        name
        for name, kind in items
        if type(name) is str and type(kind) is Call and kind.function.name == OBJECT
    }


def _list_imports(open_file: Beside, name: str, place: StoredPlace) -> GlobalPairs:
    """What the pickle of one object would import; a file that is not there imports nothing."""
    try:
        span = open_file(place.file)
    except AuditError as error:
        if error.kind == "io":
            return {}
        raise
    try:
        window = span[place.at : place.at + place.size]
        window.budget.step(OPENING, "an object")
        return imports_of(open_pickle(open_archive(window)))
    except MalformedFile as error:
        message = f"{show(name)}, which loading unpickles: {error.message}"
        raise MalformedFile(message, error.at, error.kind) from None


def _places(stored: Any) -> Iterator[tuple[str, StoredPlace]]:
    """storage_data: MetadataIndex(fqn, ...) to _StorageInfo(relative_path, offset, length)."""
    if type(stored) is not dict:
        raise MalformedFile("a distributed checkpoint's .metadata names no places")
    for key, value in stored.items():
        index = _fields(key.value if type(key) is Opaque else key)
        info = _fields(value)
        name, file = index.get("fqn"), info.get("relative_path")
        at, size = info.get("offset"), info.get("length")
        if type(name) is not str or type(file) is not str:
            raise MalformedFile("a place of a distributed checkpoint has no name or no file")
        if len(name) > MAX_NAME:
            raise MalformedFile(f"a name of over {MAX_NAME} characters", kind="limit")
        if not (_is_count(at) and _is_count(size)):
            raise MalformedFile(f"the place of {show(name)} is no range of bytes")
        if info.get("transform_descriptors"):
            raise MalformedFile(f"{show(name)} is stored transformed", kind="unsupported")
        if "/" in file or "\\" in file or not file.endswith(SUFFIX):
            raise MalformedFile(f"{show(name)} lies in {show(file)}, not in a file of the folder")
        yield name, StoredPlace(file, int(at or 0), int(size or 0))


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a pickled dataclass, frozen ones with slots included."""
    if type(value) is not Call:
        return {}
    state = value.state
    if type(state) is tuple and len(state) == 2:
        state = state[1] or state[0]
    return state if type(state) is dict else {}


def _is_count(value: Any) -> bool:
    return type(value) is int and is_plain(value) and value >= 0


def _tensor(open_file: Beside, name: str, place: StoredPlace) -> Tensor:
    """The tensor of a window, which is one whole torch file."""
    window = open_file(place.file)[place.at : place.at + place.size]
    opened = open_pickle(open_archive(window))
    if type(opened.value) is not Call:
        raise MalformedFile(f"the place of {show(name)} holds no tensor", window.at)
    return rebuild(opened.value, opened)
