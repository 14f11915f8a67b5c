"""One small file of every container, and a way to damage it that knows where its structure is.

Comes in: nothing. Goes out: `SEEDS`, name to a function that makes a `Seed`. The changes are bit
flips, lies in lengths, cuts, copies and swapped pieces; checksums that would hide what lies behind
them are made anew.
"""

import gzip
import io
import random
import struct
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import onnx_models
import writers
from speed import fits

from lstm_audit.facts import FileAudit, FileError
from lstm_audit.inputs import Input
from lstm_audit.pipeline import audit_input

ROOT = Path(__file__).parents[1]
FIXTURES = ROOT / "fixtures"


class Seed(NamedTuple):
    """A file's name and bytes, what stands beside it, and what must be mended after a change."""

    name: str
    data: bytes
    beside: Mapping[str, bytes] = {}
    mend: Callable[[bytes], bytes] | None = None


SPECIAL = (0, 1, 2, 7, 8, 127, 128, 255, 256, 0x7FFF, 0xFFFF, 1 << 31, (1 << 32) - 1, (1 << 63) - 1)


def mutate(seed: Seed, rng: random.Random) -> bytes:
    """One to four changes, most of them where there is more than zeros."""
    raw = bytearray(seed.data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at, kind = rng.randrange(max(len(raw), 1)), rng.randrange(8)
        if kind <= 1 and raw:
            raw[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and raw:
            raw[at] = rng.randrange(256)
        elif kind == 3:  # a length or a place
            size = rng.choice((1, 2, 4, 8))
            value = rng.choice((*SPECIAL, len(raw), at)) & (1 << 8 * size) - 1
            raw[at : at + size] = value.to_bytes(size, rng.choice(("little", "big")))
        elif kind == 4:
            raw[at : at + rng.randint(1, 40)] = b""
        elif kind == 5:
            start = rng.randrange(len(raw) + 1)
            raw[at:at] = raw[start : start + rng.randint(1, 60)]
        elif kind == 6:
            start, size = rng.randrange(len(raw) + 1), rng.randint(1, 60)
            raw[at : at + size] = raw[start : start + size]
        elif rng.random() < 0.2:
            del raw[at:]
    changed = bytes(raw)
    return seed.mend(changed) if seed.mend is not None else changed


def fixture(name: str) -> Callable[[], Seed]:
    """A committed fixture as it is."""
    path = FIXTURES / name
    return lambda: Seed(f"victim{path.suffix}", path.read_bytes())


def _state() -> dict[str, "object"]:
    import torch

    torch.manual_seed(1)
    return dict(torch.nn.LSTM(2, 3).state_dict())


def _tar() -> Seed:
    return Seed(
        "victim.tar", writers.pack_tar({"a.pt": _small_zip(), "b.txt": b"no model"}), mend=mend_tar
    )


def _small_zip() -> bytes:
    import torch

    made = io.BytesIO()
    torch.save(_state(), made)
    return made.getvalue()


def mend_tar(raw: bytes) -> bytes:
    """The checksums of headers, where a block may be one."""
    out = bytearray(raw)
    for at in range(0, len(out) - 511, 512):
        if out[at + 257 : at + 262] == b"ustar":
            out[at + 148 : at + 156] = b" " * 8
            out[at + 148 : at + 156] = b"%06o\0 " % (sum(out[at : at + 512]) & 0o777777)
    return bytes(out)


def _torch_tar() -> Seed:
    return Seed("victim.pt", writers.tar_era(_state()), mend=mend_tar)


def _npz(compressed: bool) -> Seed:
    import numpy as np

    made = io.BytesIO()
    arrays = {name: np.asarray(value) for name, value in _state().items()}
    (np.savez_compressed if compressed else np.savez)(made, **arrays)
    return Seed("victim.npz", made.getvalue())


def _gzip() -> Seed:
    """The stream's contents are damaged, not its deflate code, which a checksum would hide."""
    inner = writers.pack_tar({"a.pt": _small_zip()})
    return Seed("victim.tar.gz", inner, mend=lambda raw: gzip.compress(mend_tar(raw), 1))


def _zip_in_zip() -> Seed:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("policy.pth", _small_zip())
    return Seed("victim.zip", made.getvalue())


def _msgpack() -> Seed:
    """flax.serialization's form of an LSTM cell."""
    rng = random.Random(2)

    def array(*shape: int) -> bytes:
        count = 1
        for size in shape:
            count *= size
        raw = struct.pack(f"<{count}f", *(rng.uniform(-1, 1) for _ in range(count)))
        body = (
            b"\x93"
            + bytes([0x90 | len(shape), *shape])
            + b"\xa7float32"
            + b"\xc4"
            + bytes([len(raw)])
            + raw
        )
        return b"\xc7" + bytes([len(body), 1]) + body

    def text(word: str) -> bytes:
        return bytes([0xA0 | len(word)]) + word.encode()

    cell = b""
    for gate in "ifgo":
        cell += text(f"h{gate}") + b"\x82" + text("bias") + array(3) + text("kernel") + array(3, 3)
        cell += text(f"i{gate}") + b"\x81" + text("kernel") + array(2, 3)
    return Seed(
        "victim.msgpack", b"\x81" + text("params") + b"\x81" + text("cell") + b"\x88" + cell
    )


def _joblib() -> Seed:
    """Arrays between the opcodes, as joblib 1.1 writes them; without joblib a plain pickle."""
    import pickle

    import numpy as np

    arrays = {name: np.asarray(value) for name, value in _state().items()}
    try:
        import joblib
    except ModuleNotFoundError:
        return Seed("victim.pkl", pickle.dumps(arrays, protocol=4))
    made = io.BytesIO()
    joblib.dump(arrays, made)
    return Seed("victim.joblib", made.getvalue())


def _bundle() -> Seed:
    """A TensorFlow index, whose blocks get their checksums back."""
    import tempfile

    from formats.test_bundle import cell, saved

    with tempfile.TemporaryDirectory() as folder:
        index = saved(Path(folder) / "victim", cell())
        data = Path(folder) / "victim.data-00000-of-00001"
        return Seed("victim.index", index.read_bytes(), {data.name: data.read_bytes()}, mend_table)


def mend_table(raw: bytes) -> bytes:
    """The masked checksum of every block that the footer still leads to."""
    from lstm_audit.raw.checksums import crc32c, mask_crc

    out = bytearray(raw)
    for start, size in _blocks(bytes(out)):
        if start >= 0 and start + size + 5 <= len(out):
            summed = bytes(out[start : start + size + 1])
            out[start + size + 1 : start + size + 5] = struct.pack("<I", mask_crc(crc32c(summed)))
    return bytes(out)


def _blocks(raw: bytes) -> list[tuple[int, int]]:
    """(start, size) of the index block, and of the blocks that its entries name, as far as they can
    be followed.
    """
    from lstm_audit.errors import MalformedFile
    from lstm_audit.wire.sstable import number_at

    found = []
    try:
        at = 0
        for _ in range(2):
            _, at = number_at(raw[-48:], at)
        start, at = number_at(raw[-48:], at)
        size, _ = number_at(raw[-48:], at)
        found.append((start, size))
        block, place = raw[start : start + size], 0
        while place < len(block) - 8:
            _, place = number_at(block, place)
            own, place = number_at(block, place)
            length, place = number_at(block, place)
            value = block[place + own : place + own + length]
            first, behind = number_at(value, 0)
            found.append((first, number_at(value, behind)[0]))
            place += own + length
    except MalformedFile:
        pass
    return found[1:] + found[:1]


def _mxnet() -> Seed:
    return Seed("victim.params", (ROOT / "tests/data/mxnet/bi.params").read_bytes())


def _gguf() -> Seed:
    from formats.test_gguf import SETTINGS, cell, packed

    return Seed("victim.gguf", packed(cell(), SETTINGS, 4))


def _openvino() -> Seed:
    path = FIXTURES / "graphs/openvino_cell.xml"
    return Seed(
        "victim.xml", path.read_bytes(), {"victim.bin": path.with_suffix(".bin").read_bytes()}
    )


def _onnx_external() -> Seed:
    """An LSTM whose bias lies in a file beside the model."""
    where = onnx_models.external("b.bin", offset=0, length=96)
    bias = onnx_models.tensor("B", (1, 8 * onnx_models.H), (), data=where)
    return Seed("victim.onnx", onnx_models.simple(tensors=[bias]), {"b.bin": bytes(96)})


SEEDS: dict[str, Callable[[], Seed]] = {
    "hdf5": fixture("keras/named.h5"),
    "hdf5 latest": fixture("keras/newest_format.weights.h5"),
    "keras": fixture("keras/archive.keras"),
    "tf bundle": _bundle,
    "tar": _tar,
    "tar.gz": _gzip,
    "zip in zip": _zip_in_zip,
    "npz": lambda: _npz(False),
    "npz compressed": lambda: _npz(True),
    "msgpack": _msgpack,
    "joblib": _joblib,
    "mxnet": _mxnet,
    "gguf": _gguf,
    "torch tar": _torch_tar,
    "torch package": fixture("clean/package.pt"),
    "nested pickle": fixture("clean/nested_pickle.pkl"),
    "onnx": fixture("graphs/torchscript_unfolded.onnx"),
    "onnx cell": fixture("graphs/torch_cell.onnx"),
    "onnx external": _onnx_external,
    "tflite": fixture("graphs/tf_keras.tflite"),
    "tflite while": fixture("graphs/keras.tflite"),
    "openvino": _openvino,
    "coreml": fixture("graphs/coreml_both.mlmodel"),
}


# Seconds that an answer may take, whatever the bytes.
SECONDS = 2.0


def mutants(seed: Seed, count: int, salt: str) -> Iterator[bytes]:
    """Damaged copies of the seed's files, each time the same ones for one salt."""
    rng = random.Random(salt)
    for _ in range(count):
        yield mutate(seed, rng)


def try_all(name: str, count: int, folder: Path, salt: str) -> tuple[int, float]:
    """Audit every mutant; returns how many were read, and the slowest answer in seconds."""
    seed, read, slowest = SEEDS[name](), 0, 0.0
    target = folder / seed.name
    for neighbour, raw in seed.beside.items():
        (folder / neighbour).write_bytes(raw)
    for raw in mutants(seed, count, f"{name} {salt}"):
        target.write_bytes(raw)
        started = time.process_time()
        try:
            results = audit_input(Input(str(target), named=True))
        except BaseException:
            kept = Path(tempfile.gettempdir()) / f"mutant-{seed.name}"
            kept.write_bytes(raw)
            print(f"{name}: the mutant is kept as {kept}", file=sys.stderr)
            raise
        spent = time.process_time() - started
        assert all(isinstance(one, FileAudit | FileError) for one in results)
        assert fits(spent, SECONDS), f"{name}: {spent:.1f} s"
        slowest = max(slowest, spent)
        read += any(isinstance(one, FileAudit) for one in results)
    return read, slowest
