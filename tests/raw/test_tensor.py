"""dtypes, views and blocks, with torch as the oracle."""

import math
import struct
import types

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.dtypes import DTYPES
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import Span, span_all
from lstm_audit.raw.tensor import (
    MAX_GATHER,
    Block,
    Tensor,
    contiguous,
    read_block,
    strides_of,
    view,
    whole_block,
)

WRITTEN = sorted(name for name, dtype in DTYPES.items() if dtype.encode)
READ = sorted(name for name, dtype in DTYPES.items() if dtype.decode)
LARGEST = {name: torch.finfo(getattr(torch, name)).max for name in WRITTEN}


def memory(data: bytes) -> Span:
    return span_all(BytesSource(data))


def raw_of(tensor: torch.Tensor) -> bytes:
    return bytes(tensor.contiguous().view(torch.uint8).tolist())


def same(a: float, b: float) -> bool:
    return (a != a and b != b) or (a == b and math.copysign(1, a) == math.copysign(1, b))


# ---- dtypes


@pytest.mark.parametrize("name", sorted({"bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"}))
def test_every_code_of_a_narrow_dtype_is_read_as_torch_reads_it(name: str) -> None:
    size = DTYPES[name].itemsize
    codes = torch.arange(256**size, dtype=torch.int64).to(
        torch.uint16 if size == 2 else torch.uint8
    )
    theirs = codes.view(getattr(torch, name)).to(torch.float64).tolist()
    ours = DTYPES[name].decode(raw_of(codes))
    assert all(map(same, ours, theirs))


@given(st.sampled_from(WRITTEN), st.lists(st.floats(width=64), min_size=1, max_size=20))
@example("float8_e5m2", [-0.0, 5e-324, math.nan, 57344.0])
@example("bfloat16", [1.00390625, 1.01171875, -math.inf])
def test_what_is_written_is_what_torch_would_store(name: str, values: list[float]) -> None:
    """Values that are finite and too large are refused; torch would make infinities or the largest
    value of them.
    """
    values = [
        v
        for v in values
        if v != v or abs(v) <= LARGEST[name] or (math.isinf(v) and "e4m3" not in name)
    ]
    if "float8" in name:
        values = [v for v in values if not math.isinf(v)]
    ours = DTYPES[name].encode(values)
    wide = torch.tensor(values, dtype=torch.float64)
    # torch rounds twice on its way to the narrow types, by way of float32; so do we for bfloat16
    theirs = (wide if name in ("float64", "float32", "float16") else wide.float()).to(
        getattr(torch, name)
    )
    back = DTYPES[name].decode(ours)
    for value, mine, other in zip(values, back, theirs.double().tolist(), strict=True):
        assert same(mine, other) or abs(mine - value) <= abs(other - value), (value, mine, other)


@pytest.mark.parametrize("name", [n for n in WRITTEN if n != "float64"])
def test_what_a_dtype_cannot_hold_is_refused(name: str) -> None:
    encode = DTYPES[name].encode
    assert encode is not None
    encode([LARGEST[name], -LARGEST[name]])
    for value in (LARGEST[name] * 1.5, -LARGEST[name] * 2):
        with pytest.raises(OverflowError):
            encode([0.0, value])


def test_a_pruning_mask_may_be_boolean() -> None:
    assert DTYPES["bool"].decode(b"\0\1\2") == [0.0, 1.0, 1.0]


@pytest.mark.parametrize("name", WRITTEN)
def test_on_a_big_endian_machine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """There an array's elements lie the other way round; what the file holds stays the same."""
    dtype, values = DTYPES[name], [0.0, 1.0, -2.5, 0.375]
    raw = dtype.encode(values)
    monkeypatch.setattr("lstm_audit.raw.dtypes.sys", types.SimpleNamespace(byteorder="big"))
    if code := {"float64": "d", "float32": "f", "bfloat16": "f"}.get(
        name
    ):  # the others need no array
        values = list(struct.unpack(f">4{code}", struct.pack(f"<4{code}", *values)))
    assert list(dtype.decode(raw)) == values


# ---- views


@st.composite
def strided(draw: st.DrawFn) -> torch.Tensor:
    """A torch view of a storage of distinct numbers: sliced, stepped, expanded or transposed."""
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=1, max_size=3)))
    strides = tuple(draw(st.lists(st.integers(0, 7), min_size=len(shape), max_size=len(shape))))
    offset = draw(st.integers(0, 5))
    return torch.as_strided(torch.arange(128, dtype=torch.float32), shape, strides, offset)


def ours_of(tensor: torch.Tensor) -> Tensor:
    storage = memory(raw_of(torch.arange(128, dtype=torch.float32)))
    return view(
        DTYPES["float32"],
        tuple(tensor.shape),
        tensor.stride(),
        storage,
        int(tensor.storage_offset()),
    )


@given(strided())
def test_a_view_is_torchs(tensor: torch.Tensor) -> None:
    mine = ours_of(tensor)
    assert mine.elements == tensor.numel()
    if sum(size != 1 for size in tensor.shape) <= 1:
        assert read_block(whole_block(mine)) == tensor.flatten().tolist()
    else:
        with pytest.raises(MalformedFile, match="one long axis"):
            whole_block(mine)
    if tensor.dim() > 1 and sum(size != 1 for size in tensor.shape[1:]) <= 1:
        for k in range(tensor.shape[0]):
            assert read_block(whole_block(mine.row(k))) == tensor[k].flatten().tolist()


@given(strided().filter(lambda t: t.dim() == 1), st.data())
def test_a_block_is_a_slice(tensor: torch.Tensor, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, tensor.shape[0] - 1))
    stop, step = data.draw(st.integers(start + 1, tensor.shape[0])), data.draw(st.integers(1, 3))
    block = Block(ours_of(tensor), 0, start, stop, step)
    wanted = tensor[start:stop:step].tolist()
    assert read_block(block) == wanted
    assert block.elements == len(wanted)
    runs = b"".join(run.read() for run in block.runs())
    assert list(struct.unpack(f"<{len(runs) // 4}f", runs)) == (
        wanted[:1] if len(wanted) == 1 else wanted
    )


def test_a_wide_stride_is_read_element_by_element() -> None:
    """What lies between two elements is not read: a bias may be a column of a huge matrix."""
    reads = []

    class Counting(BytesSource):
        def read(self, at: int, n: int) -> bytes:
            reads.append(n)
            return struct.pack("<f", at / 4)

    source = Counting(b"")
    source.size = 1 << 40
    step = MAX_GATHER
    tensor = view(DTYPES["float32"], (5,), (step,), span_all(source))
    assert read_block(whole_block(tensor)) == [0.0, *(float(k * step) for k in range(1, 5))]
    assert reads == [4] * 5


def test_flags_of_a_container() -> None:
    data = struct.pack(">3f", 1.0, -2.0, 3.0)
    tensor = view(DTYPES["float32"], (3,), (1,), memory(data), big_endian=True, negated=True)
    assert read_block(whole_block(tensor)) == [-1.0, 2.0, -3.0]


def test_a_scalar_is_a_block_of_one() -> None:
    tensor = view(DTYPES["float32"], (), (), memory(struct.pack("<f", 7.0)))
    assert read_block(whole_block(tensor)) == [7.0]


def test_values_that_are_no_floats() -> None:
    tensor = contiguous(DTYPES["int64"], (1,), memory(bytes(8)))
    with pytest.raises(MalformedFile, match="int64 values are not plain floats"):
        read_block(whole_block(tensor))


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((2,), (1, 1), 0),
        ((2,), (-1,), 0),
        ((True,), (1,), 0),
        ((2,), (1,), -1),
        ((2,), (1,), 1.0),
        ((1,) * 9, (1,) * 9, 0),
    ],
)
def test_an_impossible_claim_is_refused(
    shape: tuple[int, ...], strides: tuple[int, ...], offset: int
) -> None:
    with pytest.raises(MalformedFile, match="a tensor claims shape"):
        view(DTYPES["float32"], shape, strides, memory(bytes(64)), offset)


def test_a_claim_beyond_the_storage_is_refused() -> None:
    storage = memory(bytes(16))
    view(DTYPES["float32"], (2, 2), (2, 1), storage)
    view(DTYPES["float32"], (0, 9), (9, 1), storage)
    for shape, strides, offset in ((5,), (1,), 0), ((2,), (4,), 0), ((4,), (1,), 1):
        with pytest.raises(MalformedFile) as refused:
            view(DTYPES["float32"], shape, strides, storage, offset)
        assert refused.value.kind == "truncated"
    with pytest.raises(MalformedFile, match="takes 8 bytes, but 16 are stored"):
        contiguous(DTYPES["float32"], (2,), storage)


@given(st.lists(st.integers(0, 5), max_size=5))
def test_contiguous_strides_are_torchs(shape: list[int]) -> None:
    assert strides_of(tuple(shape)) == torch.empty(shape).stride()
