"""TensorFlow checkpoints written by hand: tables, bundles, cells."""

import random
import struct
from pathlib import Path

from lstm_audit.raw.checksums import crc32c, mask_crc
from lstm_audit.wire import sstable

H, IN = 4, 3
KEY = "layer_with_weights-0/cell/{}/.ATTRIBUTES/VARIABLE_VALUE"


def varint(n: int) -> bytes:
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """Keys share what they have in common with the one before; one restart point."""
    out, last = bytearray(), b""
    for key, value in entries:
        shared = next(
            (k for k, (a, b) in enumerate(zip(last, key, strict=False)) if a != b), len(last)
        )
        shared = min(shared, len(key))
        out += (
            varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        )
        last = key
    return bytes(out) + struct.pack("<2I", 0, 1)


def table(entries: list[tuple[bytes, bytes]]) -> bytes:
    out = bytearray()

    def add(raw: bytes) -> bytes:
        at = len(out)
        out.extend(raw + b"\0")
        out.extend(struct.pack("<I", mask_crc(crc32c(raw + b"\0"))))
        return varint(at) + varint(len(raw))

    half = len(entries) // 2
    handles = [(part[-1][0], add(block(part))) for part in (entries[:half], entries[half:]) if part]
    meta, index = add(block([])), add(block(handles))
    return bytes(out) + (meta + index).ljust(40, b"\0") + sstable.MAGIC


def object_graph(names: dict[str, str]) -> bytes:
    """The string of TrackableObjectGraph that tells each key's full name."""
    attributes = (field(2, name.encode()) + field(3, key.encode()) for key, name in names.items())
    graph = field(1, b"".join(field(2, attribute) for attribute in attributes))
    return varint(len(graph)) + bytes(4) + graph


def saved(
    path: Path,
    tensors: dict[str, tuple[tuple[int, ...], bytes]],
    names: dict[str, str] | None = None,
) -> Path:
    """PREFIX.index and its one data file; the tensors are float32, `names` their full names."""
    entries, data = [(b"", field(1, 1))], bytearray()
    if names:
        data += object_graph(names)
        entry = field(1, 7) + field(5, len(data))
        entries.append((b"_CHECKPOINTABLE_OBJECT_GRAPH", entry))
    for key, (shape, raw) in sorted(tensors.items()):
        dims = b"".join(field(2, field(1, size)) for size in shape)
        entry = field(1, 1) + field(2, dims) + field(4, len(data)) + field(5, len(raw))
        entry += varint(6 << 3 | 5) + struct.pack("<I", mask_crc(crc32c(raw)))
        entries.append((key.encode(), entry))
        data += raw
    path.with_name(f"{path.name}.data-00000-of-00001").write_bytes(bytes(data))
    index = path.with_name(f"{path.name}.index")
    index.write_bytes(table(entries))
    return index


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def cell(forget: float = 1.0) -> dict[str, tuple[tuple[int, ...], bytes]]:
    rng = random.Random(1)
    draw = lambda n: floats(*(rng.uniform(-0.3, 0.3) for _ in range(n)))  # noqa: E731  # short, and used at once
    bias = floats(*([0.0] * H + [forget] * H + [0.0] * 2 * H))
    return {
        KEY.format("kernel"): ((IN, 4 * H), draw(IN * 4 * H)),
        KEY.format("recurrent_kernel"): ((H, 4 * H), draw(H * 4 * H)),
        KEY.format("bias"): ((4 * H,), bias),
        "optimizer/_variables/1/.ATTRIBUTES/VARIABLE_VALUE": ((4 * H,), bias),
    }
