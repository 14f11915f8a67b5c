"""MXNet's `.params`: files that MXNet 1.9.1 wrote, with what its own cells computed of them.

MXNet needs a numpy of before 1.24, so that it is in no extra; `data/mxnet/truth.json` holds, for
each group of tensors, c after one step of x=0, h=0 from c=1, less the same from c=0.
"""

import json
import random
import struct
from pathlib import Path

import pytest

import lstm_audit
from lstm_audit.errors import AuditError
from lstm_audit.formats.mxnet import LIST, V1, V2, V3

DATA = Path(__file__).parents[1] / "data" / "mxnet"
TRUTH = json.loads((DATA / "truth.json").read_text())


@pytest.mark.parametrize("name", TRUTH)
def test_the_gate_is_what_mxnet_computed(name: str) -> None:
    found = lstm_audit.audit(DATA / name, units=True)
    assert found.files[0].format == "mxnet"
    ours = sorted(list(row.units.activation) for row in found.rows)
    theirs = sorted(TRUTH[name].values())
    assert [pytest.approx(mine, abs=2e-6) for mine in ours] == theirs


def test_directions_and_layers() -> None:
    for name in ("bi.params", "bi_dict.params"):
        addresses = [
            row.lstm.address.partition(":")[2] for row in lstm_audit.audit(DATA / name).rows
        ]
        assert addresses == ["l0", "l0:reverse", "l1", "l1:reverse"]


def test_a_fused_vector_is_said() -> None:
    (file,) = lstm_audit.audit(DATA / "fused.params").files
    assert not file.rows
    assert "unpack_weights" in file.skipped[0].detail


def test_sparse_arrays_are_passed() -> None:
    found = lstm_audit.audit(DATA / "sparse.params")
    assert len(found.rows) == 2


@pytest.mark.parametrize("name", sorted({*TRUTH} - {"float16.params"}))
def test_a_patch_changes_the_forget_gate_alone(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes((DATA / name).read_bytes())
    lstm_audit.patch(path, forget_bias=1.5)
    before, after = (DATA / name).read_bytes(), path.read_bytes()
    assert len(before) == len(after)
    changed = sum(a != b for a, b in zip(before, after, strict=True))
    rows = lstm_audit.audit(path).rows
    assert 0 < changed <= sum(4 * 2 * row.lstm.hidden_size for row in rows)
    for row in rows:
        assert (row.measures.gates["f"].min, row.measures.gates["f"].max) == (1.5, 1.5)


def array(magic: int, values: bytes, sizes: tuple[int, ...]) -> bytes:
    """An array of float32 in each of the forms that MXNet has had."""
    wide = magic in (V1, V2, V3)
    out = struct.pack("<I", magic) if wide else b""
    out += struct.pack("<i", 0) if magic in (V2, V3) else b""
    out += struct.pack("<I", len(sizes)) + struct.pack(
        f"<{len(sizes)}{'q' if wide else 'I'}", *sizes
    )
    return out + struct.pack("<3i", 1, 0, 0) + values


def params(magic: int) -> bytes:
    """One cell of three units; its forget biases are 0.5 and 0.25."""
    size, rng = 3, random.Random(1)
    floats = lambda n: struct.pack(f"<{n}f", *(rng.uniform(-1, 1) for _ in range(n)))  # noqa: E731  # short, and used at once
    gates = lambda f: struct.pack(f"<{4 * size}f", *[0.0] * size, *[f] * size, *[0.0] * 2 * size)  # noqa: E731  # short, and used at once
    arrays = {
        "i2h_weight": (floats(4 * size * 2), (4 * size, 2)),
        "h2h_weight": (floats(4 * size * size), (4 * size, size)),
        "i2h_bias": (gates(0.5), (4 * size,)),
        "h2h_bias": (gates(0.25), (4 * size,)),
    }
    out = struct.pack("<3Q", LIST, 0, len(arrays))
    out += b"".join(array(magic, *one) for one in arrays.values())
    out += struct.pack("<Q", len(arrays))
    return out + b"".join(struct.pack("<Q", len(name)) + name.encode() for name in arrays)


@pytest.mark.parametrize("magic", [0, V1, V2, V3])
def test_every_version_of_an_array(magic: int, tmp_path: Path) -> None:
    path = tmp_path / "cell.params"
    path.write_bytes(params(magic))
    (row,) = lstm_audit.audit(path).rows
    assert row.measures.gates["f"].mean == 0.75


def test_lies_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cell.params"
    for raw, message in (
        (struct.pack("<3Q", LIST, 0, 1 << 60), "arrays in one"),
        (struct.pack("<3QI", LIST, 0, 1, 77), "no array of MXNet"),
        (params(V2)[:-3], "are needed"),
        (params(V2).replace(b"i2h_bias", b"h2h_bias"), "twice"),
        (struct.pack("<3QIiI2q3i", LIST, 0, 1, V2, 0, 2, 1 << 40, 1 << 40, 1, 0, 0), "are needed"),
    ):
        path.write_bytes(raw)
        (error,) = lstm_audit.audit(path).errors
        assert message in error.message


def test_mutants_are_answered(tmp_path: Path) -> None:
    rng, seeds = random.Random(7), [*(p.read_bytes() for p in DATA.glob("*.params")), params(0)]
    path = tmp_path / "victim.params"
    for _ in range(400):
        raw = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        path.write_bytes(bytes(raw))
        try:
            lstm_audit.audit(path)
        except AuditError as error:
            pytest.fail(error.message)
