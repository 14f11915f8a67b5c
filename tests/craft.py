"""Zip archives written byte by byte, so that every field can be made to lie.

Comes in: entries and the fields to falsify. Goes out: the archive's bytes. Promise: what is not
falsified is a valid archive, laid out as torch does when `descriptor` is set and as `zipfile` does
when it is not. Contents are harmless.
"""

import struct
import zlib
from dataclasses import dataclass
from typing import Any

CENTRAL_CRC = 16  # the place of the CRC-32 in a directory entry


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry; a field that is None has its true value. `claims_64` moves the directory's sizes
    to a zip64 field.
    """

    name: bytes
    data: bytes
    method: int = 0
    flags: int = 0
    descriptor: bool = False
    sign_descriptor: bool = True
    descriptor_crc: int | None = None
    crc: int | None = None
    size: int | None = None
    stored_size: int | None = None
    header_at: int | None = None
    claims_64: bool = False
    central_extra: bytes = b""
    local_signature: bytes = b"PK\3\4"
    local_name: bytes | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_crc: int | None = None
    local_extra: bytes = b""
    listed: bool = True


def entry(name: str | bytes, data: bytes = b"", **lies: Any) -> Entry:
    """An entry as `zipfile` writes it."""
    return Entry(name.encode() if isinstance(name, str) else name, data, **lies)


def torch_entry(name: str, data: bytes, **lies: Any) -> Entry:
    """An entry as torch writes it: nothing in the local header, the CRC behind the data."""
    return entry(name, data, **({"flags": 0x800, "descriptor": bool(data)} | lies))


def true(claim: int | None, value: int) -> int:
    """The claim, or the truth where there is none."""
    return value if claim is None else claim


def build(
    *entries: Entry,
    prefix: bytes = b"",
    comment: bytes = b"",
    suffix: bytes = b"",
    zip64: bool = False,
    end: dict[str, int] | None = None,
    end64: dict[str, int] | None = None,
    gap: bytes = b"",
) -> bytes:
    """An archive of `entries`.

    `prefix` shifts the absolute places with it; `gap` stands between the directory and the end
    records; `end` and `end64` override the end records' `disk`, `here`, `entries`, `size`, `at`
    (and `record_size`, `locator_at`).
    """
    out, directory, listed = bytearray(prefix), bytearray(), 0
    for item in entries:
        header_at = len(out)
        body = _deflated(item.data) if item.method == 8 else item.data
        if item.header_at is None:
            out += _local(item, body)
        if item.listed:
            directory += _central(item, body, true(item.header_at, header_at))
            listed += 1
    truth = {"disk": 0, "here": listed, "entries": listed, "size": len(directory), "at": len(out)}
    out += directory + gap
    if zip64:
        out += _end64(truth | {"record_size": 44, "locator_at": len(out)} | (end64 or {}))
    return bytes(out + _end(truth | (end or {}), comment) + suffix)


def _deflated(data: bytes) -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush()


def _flags(item: Entry) -> int:
    return item.flags | (8 if item.descriptor else 0)


def _local(item: Entry, body: bytes) -> bytes:
    name = item.name if item.local_name is None else item.local_name
    crc = true(item.crc, zlib.crc32(item.data))
    fields = (
        (0, 0, 0) if item.descriptor else (true(item.local_crc, crc), len(body), len(item.data))
    )
    header = struct.pack(
        "<4s5H3L2H", item.local_signature, 20, true(item.local_flags, _flags(item)),
        true(item.local_method, item.method), 0, 0x21, *fields, len(name), len(item.local_extra),
    )  # fmt: skip
    descriptor = struct.pack("<3L", true(item.descriptor_crc, crc), len(body), len(item.data))
    behind = (b"PK\7\x08" if item.sign_descriptor else b"") + descriptor if item.descriptor else b""
    return header + name + item.local_extra + body + behind


def _central(item: Entry, body: bytes, header_at: int) -> bytes:
    crc = true(item.crc, zlib.crc32(item.data))
    stored, size = true(item.stored_size, len(body)), true(item.size, len(item.data))
    extra = item.central_extra
    if item.claims_64:
        extra += struct.pack("<2H3Q", 1, 24, size, stored, header_at)
        stored = size = header_at = 0xFFFFFFFF
    header = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, _flags(item), item.method, 0, 0x21, crc, stored, size,
        len(item.name), len(extra), 0, 0, 0, 0, header_at,
    )  # fmt: skip
    return header + item.name + extra


def _end64(f: dict[str, int]) -> bytes:
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", f["record_size"], 45, 45, f["disk"], f["disk"], f["here"], f["entries"], f["size"],
        f["at"],
    )  # fmt: skip
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, f["locator_at"], 1)


def _end(f: dict[str, int], comment: bytes) -> bytes:
    fields = f["disk"], f["disk"], f["here"], f["entries"], f["size"], f["at"], len(comment)
    return struct.pack("<4s4H2LH", b"PK\5\6", *fields) + comment
