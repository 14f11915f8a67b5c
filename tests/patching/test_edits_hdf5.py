"""The checksums of HDF5 follow a change: h5py reads what was written, and refuses it without them."""

import itertools
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

h5py = pytest.importorskip(
    "h5py", reason="h5py, which reads the files back, is in the extra `references`"
)
import numpy as np

from lstm_audit.errors import NotPatchable
from lstm_audit.patching import edits
from lstm_audit.patching.edits import Change, Edit, edits_of
from lstm_audit.raw.source import FileSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire.hdf5 import read_hdf5


def compact(file: Any) -> None:
    how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    how.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple((8,))
    bias = h5py.h5d.create(file.id, b"bias", h5py.h5t.IEEE_F32LE, space, how)
    bias.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(8, dtype="f4"))


def summed(file: Any) -> None:
    file.create_dataset("bias", data=np.arange(8, dtype="f4"), chunks=(8,), fletcher32=True)


def odd(file: Any) -> None:
    """A chunk of an odd number of bytes."""
    file.create_dataset("bias", data=np.arange(9, dtype="u1"), chunks=(9,), fletcher32=True)


def zeros(file: Any) -> None:
    """The checksum of nothing but zeros is 0, unlike any other multiple of 65535."""
    file.create_dataset("bias", data=np.zeros(8, dtype="f4"), chunks=(8,), fletcher32=True)


KINDS = [compact, summed, odd, zeros]
CHANGES = [b"\1", b"\xff\xff", bytes(4), struct.pack("<4f", 1, 2, 3, 4)]


def write(path: Path, data: bytes, found: Sequence[Edit]) -> None:
    out = bytearray(data)
    for edit in found:
        out[edit.at : edit.end] = edit.new
    path.write_bytes(out)


@pytest.mark.parametrize(("fill", "new"), list(itertools.product(KINDS, CHANGES)))
@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_h5py_reads_the_change(tmp_path: Path, fill: Any, new: bytes, libver: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        fill(file)
        wanted = bytearray(file["bias"][()].tobytes())
    data = path.read_bytes()
    wanted[4 : 4 + len(new)] = new
    with FileSource(str(path)) as source:
        span = read_hdf5(span_all(source)).datasets["bias"].locate()
        before = span.read()
        new = new[: span.size - 4]
        found = edits_of([Change(span[4 : 4 + len(new)], new, "test")]).get(span.source, ())
    wanted = wanted[: len(before)]
    write(path, data, found)
    with h5py.File(path) as file:
        assert file["bias"][()].tobytes() == bytes(wanted)
    if len(found) > 1:  # the proof that it was needed
        write(path, data, found[:1] if found[0].reason == "test" else found[1:])
        with pytest.raises((OSError, KeyError)), h5py.File(path) as file:
            file["bias"][()]


def test_a_checksum_that_was_wrong_before_is_not_made_right(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        summed(file)
        at = file["bias"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with FileSource(str(path)) as source:
        span = read_hdf5(span_all(source)).datasets["bias"].locate()
        with pytest.raises(NotPatchable, match="fletcher32 of these bytes is wrong already"):
            edits_of([Change(span[4:8], b"1234", "test")])


def test_what_is_summed_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        summed(file)
    monkeypatch.setattr(edits, "MAX_SUMMED", 8)
    with FileSource(str(path)) as source:
        span = read_hdf5(span_all(source)).datasets["bias"].locate()
        with pytest.raises(NotPatchable, match="at most 8 are summed"):
            edits_of([Change(span[4:8], b"1234", "test")])
