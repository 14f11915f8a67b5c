"""The undo record beside a patched file: a stack of patches, each with its old and new bytes.

Comes in: edits that are about to be made, or `NAME.undo.json`. Goes out: strict JSON,
`lstm-audit/undo/1`. Promise: what is in the record was checked (shape, bounds, digest) before it is
used, and the record is replaced whole or not at all.

A record is written before its bytes are, so a crash can leave one whose newest patch never
happened, or was undone already. Such a patch is known by the file: it holds the old bytes
everywhere. It is dropped by whoever looks next.
"""

import binascii
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, NamedTuple

from ..errors import AuditError, MalformedFile, NotPatchable
from ..interrupted import strangers
from ..raw.budget import Budget
from ..version import __version__
from ..wire import json
from . import clone, files
from .edits import Edit
from .files import LockedFile
from .journal import Read, pack_edits

SCHEMA = "lstm-audit/undo/1"
# Bytes of JSON: some six times as many as a patch of the largest checkpoint that is read takes.
MAX_RECORD = 32 << 20

# JSON values of a record, which take memory by their number: five an edit.
MAX_VALUES = 500_000

MAX_PATCHES = 10_000

THE_RECORD = "the undo record (.undo.json)"


# The record is a stack, since patches can be undone one by one, newest first. Each entry holds old
# and new bytes: the new ones prove, before anything is written, that the file is as the patch left
# it; the digest guards the record itself against an editor's slip. Inode and mtime are hints for a
# message; bytes decide.
class Patch(NamedTuple):
    """One patch of the stack.

    `inode` and `mtime_ns` are those of the file as the patch left it, None where an in-place write
    could not know them beforehand: a hint that the file was written to since, never a proof.
    `batch` is the same in all shards that one patch of a sharded checkpoint touched, and in the
    patches of several checkpoints of one archive that one command wrote; it is larger than any
    before it, and 0 where a patch stands for itself.
    """

    tool: str
    edits: tuple[Edit, ...]
    inode: int
    mtime_ns: int | None
    batch: int = 0


class Record(NamedTuple):
    """All patches of one file that can be undone, the oldest first. `size` is the file's, which no
    patch changes.
    """

    file: str
    size: int
    patches: tuple[Patch, ...] = ()

    @property
    def batch(self) -> int:
        """The batch of the newest patch."""
        return self.patches[-1].batch if self.patches else 0


def record_path(path: str) -> str:
    """Where the undo record of a (resolved) file lies."""
    return path + ".undo.json"


def load(path: str, on_purpose: bool = False) -> Record | None:
    """The record beside a file, or None where there is none that counts (`interrupted.strangers`
    names the others); raises `MalformedFile` for one that cannot be believed.
    """
    name = record_path(path)
    if not os.path.lexists(name):
        return None
    data = files.read_sidecar(name, os.stat(path).st_uid, MAX_RECORD, on_purpose)
    return None if data is None else parse_record(data)


def parse_record(data: bytes) -> Record:
    """The record in `data`, every number of it checked."""
    # what is cheap to count is bounded before it is built; our own records are ASCII
    if not data.isascii() or sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise MalformedFile(f"{THE_RECORD} is not ASCII, or has more than {MAX_VALUES} values")
    raw = json.parse_json(data, Budget(), THE_RECORD, halves=True)
    try:
        if not isinstance(raw, dict) or raw.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        size = _whole(raw, "size")
        patches = _list(raw, "patches", MAX_PATCHES)
        return Record(_text(raw, "file"), size, tuple(_patch(patch, size) for patch in patches))
    except (ValueError, KeyError) as error:
        raise MalformedFile(f"{THE_RECORD} is damaged: {error}") from error


def _patch(raw: object, size: int) -> Patch:
    fields = _dict(raw)
    edits = tuple(_edit(edit) for edit in _list(fields, "edits", MAX_RECORD))
    end = 0
    for edit in edits:
        if (
            not edit.old
            or len(edit.old) != len(edit.new)
            or not end <= edit.at <= size - len(edit.old)
        ):
            raise ValueError(f"the edit at {edit.at} is empty, out of order or out of bounds")
        end = edit.end
    if not edits or _text(fields, "sha256") != digest(edits):
        raise ValueError("its digest does not match its bytes")
    mtime = None if fields["mtime_ns"] is None else _whole(fields, "mtime_ns", least=-(1 << 63))
    batch = _whole({"batch": 0, **fields}, "batch")
    return Patch(_text(fields, "tool"), edits, _whole(fields, "inode"), mtime, batch)


def _edit(raw: object) -> Edit:
    fields = _dict(raw)
    return Edit(
        _whole(fields, "at"), _bytes(fields, "old"), _bytes(fields, "new"), _text(fields, "reason")
    )


def _dict(raw: object) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ValueError("an object was expected")
    return raw


def _list(fields: Mapping[str, Any], key: str, most: int) -> list[Any]:
    if not isinstance(fields[key], list) or len(fields[key]) > most:
        raise ValueError(f"{key} is no list of at most {most}")
    return list(fields[key])


def _text(fields: Mapping[str, Any], key: str) -> str:
    if not isinstance(fields[key], str):
        raise ValueError(f"{key} is no text")
    return str(fields[key])


def _bytes(fields: Mapping[str, Any], key: str) -> bytes:
    return binascii.a2b_base64(_text(fields, key), strict_mode=True)


def _whole(fields: Mapping[str, Any], key: str, least: int = 0) -> int:
    value = fields[key]
    if type(value) is not int or not least <= value < 1 << 64:
        raise ValueError(f"{key} is no whole number within bounds")
    return value


def digest(edits: tuple[Edit, ...]) -> str:
    """SHA-256 over the places and bytes of a patch, as the journal packs them."""
    import hashlib  # 4 ms that --no-undo spares

    return hashlib.sha256(pack_edits(edits)).hexdigest()


def pack_record(record: Record) -> bytes:
    """The record as JSON."""
    from json import dumps  # 12 ms, as in `wire.json`

    raw = {
        "schema": SCHEMA,
        "file": record.file,
        "size": record.size,
        "patches": [_patch_json(patch) for patch in record.patches],
    }
    data = dumps(raw, indent=1, allow_nan=False).encode() + b"\n"
    if len(data) > MAX_RECORD:
        raise NotPatchable(
            f"the undo record would be larger than {MAX_RECORD} bytes: use --no-undo, or keep a "
            "copy"
        )
    return data


def _patch_json(patch: Patch) -> dict[str, object]:
    return {
        "tool": patch.tool,
        "inode": patch.inode,
        "mtime_ns": patch.mtime_ns,
        "batch": patch.batch,
        "sha256": digest(patch.edits),
        "edits": [
            {"at": e.at, "old": _base64(e.old), "new": _base64(e.new), "reason": e.reason}
            for e in patch.edits
        ],
    }


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def compare_patch(patch: Patch, read: Read) -> Literal["made", "not made", "neither"]:
    """What the file says of a patch: it holds all of its new bytes, all of its old ones, or
    something else.
    """
    if all(read(e.at, len(e.new)) == e.new for e in patch.edits):
        return "made"
    if all(read(e.at, len(e.old)) == e.old for e in patch.edits):
        return "not made"
    return "neither"


def push(
    record: Record, edits: tuple[Edit, ...], inode: int, mtime_ns: int | None, batch: int = 0
) -> Record:
    """The record with one more patch on top."""

    return Record(
        record.file,
        record.size,
        (*record.patches, Patch(__version__, edits, inode, mtime_ns, batch)),
    )


# Replaced whole, by the same temporary-and-rename as a model, and given the model's owner: a record
# that root left in a user's folder could not be removed by the user's next undo.
def store(held: LockedFile, record: Record | None) -> None:
    """Replace the record, durably up to the name (`files.sync_folder` does that); an empty one is
    removed.
    """
    if record is None or not record.patches:
        with suppress(FileNotFoundError):
            os.unlink(record_path(held.path))
        return
    data = pack_record(record)
    with files.temporary(held.path) as temp:
        files.write_at(temp.fd, data, 0)
        clone.dress_sidecar(temp.fd, held)
        files.sync(temp.fd)
        os.replace(temp.path, record_path(held.path))


def refuse_stranger(held: LockedFile) -> None:
    """Raise where the record's place is taken by one that does not count, or by a link."""
    name = record_path(held.path)
    taken = [said for said in strangers(held.path) if said.startswith(f"{name} ")]
    if taken:
        raise NotPatchable(f"{taken[0]}: use --no-undo, or have it removed")


def refuse_undo(path: str, why: str) -> AuditError:
    """Undo's answer to a file that is not what the record says it is."""
    message = (
        f"{os.path.basename(record_path(path))} does not fit the file: {why}; nothing was written"
    )
    return NotPatchable(message, kind="changed")
