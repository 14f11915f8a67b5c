"""Flax's bytes: as msgpack itself packs them, and as Flax does where it is installed."""

import random
from pathlib import Path

import numpy as np
import pytest
from command import MODEL

import lstm_audit
from lstm_audit.errors import AuditError, MalformedFile
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire.msgpack import Raw, unpack

msgpack = pytest.importorskip("msgpack", reason="msgpack is the reference here: .[references]")

H = 4


def leaf(array: np.ndarray) -> "msgpack.ExtType":
    """flax/serialization.py _ndarray_to_bytes."""
    parts = (list(array.shape), array.dtype.name, array.tobytes())
    return msgpack.ExtType(1, msgpack.packb(parts, use_bin_type=True))


def cell(forget: float) -> dict[str, object]:
    """The parameters of flax.linen.LSTMCell: input kernels without biases, hidden ones with."""
    rng = np.random.default_rng(1)
    draw = lambda *shape: rng.normal(size=shape).astype("f4")  # noqa: E731  # short, and used at once
    made = {f"i{g}": {"kernel": leaf(draw(3, H))} for g in "ifgo"}
    for g in "ifgo":
        bias = np.full(H, forget if g == "f" else 0.0, "f4")
        made[f"h{g}"] = {"kernel": leaf(draw(H, H)), "bias": leaf(bias)}
    return made


VALUES = [
    None, True, False, 0, 127, 128, -1, -32, -33, 65535, 2**32, 2**63, -(2**63), 1.5, "", "ä" * 20,
    "x" * 300, [], list(range(20)), {}, {str(n): n for n in range(40)}, {"a": [{"b": [1, [2]]}]},
    ["y" * 70_000], {1: "one"},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:20])
def test_values_are_those_of_msgpack(value: object) -> None:
    raw = msgpack.packb(value, use_bin_type=True)

    def opened(found: object) -> object:
        if isinstance(found, Raw):
            data = found.span.read()
            return data.decode() if found.extension is None else data
        if isinstance(found, list):
            return [opened(part) for part in found]
        return {k: opened(v) for k, v in found.items()} if isinstance(found, dict) else found

    assert opened(unpack(span_all(BytesSource(raw)))) == value


def test_raw_bytes_are_a_place() -> None:
    raw = msgpack.packb([b"abc", msgpack.ExtType(5, b"de")])
    first, second = unpack(span_all(BytesSource(raw)))
    assert (first.span.read(), first.extension) == (b"abc", None)
    assert (second.span.read(), second.extension) == (b"de", 5)


@pytest.mark.parametrize(
    "raw",
    [b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xffx", b"\xc6\x7f\xff\xff\xffx", b"\xc1", b"\x91", b"",
     b"\x91" * 200_000, b"\x82\xa1a\x01\xa1a\x02", b"\x81\x90\x01", b"\x01\x01"],
)  # fmt: skip
def test_what_lies_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedFile):
        unpack(span_all(BytesSource(raw)))


def test_mutants_give_values_or_refusals() -> None:
    rng = random.Random(5)
    raw = msgpack.packb({"params": cell(1.0), "x": VALUES}, use_bin_type=True)
    for _ in range(3000):
        mutant = bytearray(raw)
        for _ in range(rng.randrange(1, 4)):
            mutant[rng.randrange(len(mutant))] = rng.randrange(256)
        try:
            unpack(span_all(BytesSource(bytes(mutant[: rng.randrange(len(mutant)) or None]))))
        except MalformedFile:
            continue


def test_a_leaf_is_a_tensor(tmp_path: Path) -> None:
    path = tmp_path / "model.msgpack"
    path.write_bytes(msgpack.packb({"params": {"lstm": cell(1.5)}}, use_bin_type=True))
    found = lstm_audit.audit(path)
    assert found.files[0].format == "flax-msgpack"


def test_other_files_are_not_taken_for_it(tmp_path: Path) -> None:
    for raw in (
        msgpack.packb({"a": 1, "b": [2, 3]}),
        b"\x81\xa1a" + bytes(9),
        MODEL.read_bytes()[:64],
    ):
        path = tmp_path / "x.bin"
        path.write_bytes(raw)
        found = lstm_audit.audit(path)
        assert not found.files
        assert isinstance(found.errors[0].message, str)


def test_the_real_flax(tmp_path: Path) -> None:
    flax = pytest.importorskip("flax", reason="Flax is the reference here: .[references]")
    import jax
    from flax import serialization

    cell = flax.linen.LSTMCell(features=H)
    carry = cell.initialize_carry(jax.random.key(0), (1, 3))
    params = cell.init(jax.random.key(1), carry, np.zeros((1, 3), "f4"))
    path = tmp_path / "flax.msgpack"
    path.write_bytes(serialization.to_bytes(params))
    (row,) = lstm_audit.audit(path).rows
    zero, one = np.zeros((1, H), "f4"), np.ones((1, H), "f4")
    x = np.zeros((1, 3), "f4")
    (kept, _), _ = cell.apply(params, (one, zero), x)
    (reset, _), _ = cell.apply(params, (zero, zero), x)
    assert row.measures.activation.mean == pytest.approx(float((kept - reset).mean()), abs=1e-6)
    try:
        lstm_audit.patch(path, forget_bias=2.0)
    except AuditError as error:
        pytest.fail(error.message)
    loaded = serialization.from_bytes(params, path.read_bytes())
    (kept, _), _ = cell.apply(loaded, (one, zero), x)
    (reset, _), _ = cell.apply(loaded, (zero, zero), x)
    assert float((kept - reset).mean()) == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-6)


@pytest.mark.parametrize("size", [4097, 70_000])
def test_a_name_too_long_is_said(tmp_path: Path, size: int) -> None:
    file = tmp_path / "m.msgpack"
    bias = leaf(np.zeros(4 * H, "f4"))
    file.write_bytes(msgpack.packb({"params": {"a": bias, "n" * size: bias}}))
    (error,) = lstm_audit.audit(file).errors
    assert (error.kind, error.message) == ("limit", "a name of over 4096 bytes")
