"""safetensors: eight bytes of length, a JSON header, and the tensors end to end.

Comes in: a span over a whole file. Goes out: a `Checkpoint` whose tensors are made when they are
asked for. Promise: whatever the reference parser (safetensors/src/tensor.rs) rejects is rejected
here; beyond that only what two parsers could read differently is refused: a duplicate key, and the
list forms that serde lets through beside the documented objects.
"""

from collections.abc import Mapping
from functools import partial
from itertools import chain
from math import prod
from operator import itemgetter
from typing import Any

from ..errors import MalformedFile
from ..raw.dtypes import DTYPES, DType
from ..raw.span import Span
from ..raw.tensor import Tensor, strides_of
from ..raw.tensors import Tensors
from ..raw.words import MAX_NAME, show
from ..tuples import NamedTuple
from ..wire.json import MAX_SIZE, locate_name, parse_json
from . import COUNTERS, Beside, Checkpoint, Format, counters_in, reader

# `MAX_HEADER_SIZE` of tensor.rs; a length beyond it that the file could not hold is no safetensors
# at all.
REFERENCE_MAX_HEADER = 100_000_000

U64 = 1 << 64

FIELDS = ("dtype", "shape", "data_offsets")

# Bounds of what is plain (`_check_plain`): the size of a file, the number of dimensions, and a size
# of which so many give no product beyond 64 bits.
LARGEST, FEW, ENOUGH = 1 << 56, 8, 1 << 7

DTYPE_NAMES = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8",
    "U64": "uint64", "U32": "uint32", "U16": "uint16", "U8": "uint8", "BOOL": "bool",
    "C64": "complex64",
}  # fmt: skip

SUB_BYTE = {
    "F4": ("float4_e2m1fn", 4),
    "F6_E2M3": ("float6_e2m3fn", 6),
    "F6_E3M2": ("float6_e3m2fn", 6),
}

KINDS = {name: DTYPES[torch_name] for name, torch_name in DTYPE_NAMES.items()}
KINDS |= {
    name: DType(own_name, 1) for name, (own_name, _) in SUB_BYTE.items()
}  # never decoded: only a shape counts

BITS = {name: 8 * DTYPES[torch_name].itemsize for name, torch_name in DTYPE_NAMES.items()}
BITS |= {name: bits for name, (_, bits) in SUB_BYTE.items()}


class HeaderEntry(NamedTuple):
    """One tensor of the header, checked; `begin` and `end` count from the end of the header."""

    dtype: str
    shape: list[int]
    begin: int
    end: int


@reader(
    "safetensors",
    Format("safetensors", ("safetensors",), ("safetensors",), shares_bytes=False, reference=True),
)
# The checks are those of the reference reader (safetensors/src/tensor.rs), so that a file that it
# refuses is refused here as well. Python's JSON is laxer than serde's in numbers and in keys that
# stand twice, which is why some checks look superfluous.
def read_safetensors(span: Span, beside: Beside) -> Checkpoint | None:
    """The tensors of a safetensors file; None when the first nine bytes are not those of one."""
    size = _header_size(span)
    if size is None:
        return None
    header, data = span[8 : 8 + size], span[8 + size :]
    raw = header.read()
    document = parse_json(raw, span.budget, "the header", header.at)
    names = _metadata(document, raw, header.at)
    entries = _check_entries(document, raw, header.at)
    _check_layout(entries, data, raw, header.at)
    entries |= _aliases(names, entries)
    tensors = Tensors(entries, partial(_build, data), _shape)
    return Checkpoint("safetensors", tensors, counters=_counters(names))


def _build(data: Span, name: str, entry: HeaderEntry) -> Tensor:
    shape = tuple(entry.shape)
    return Tensor(KINDS[entry.dtype], shape, strides_of(shape), data[entry.begin : entry.end])


def _shape(name: str, entry: HeaderEntry) -> tuple[int, ...]:
    return tuple(entry.shape)


def _header_size(span: Span) -> int | None:
    """The length in the first eight bytes, if an opening brace follows and the length could be
    one.
    """
    if span.size < 9:
        return None
    head = span[:9].read()
    size, room = int.from_bytes(head[:8], "little"), span.size - 8
    if head[8:] != b"{" or size == 0 or size > max(room, REFERENCE_MAX_HEADER):
        return None
    if size > room:
        message = (
            f"the header should take {size} bytes, but only {room} follow; was the download cut "
            "short?"
        )
        raise MalformedFile(message, span.at, "truncated")
    if size > MAX_SIZE:
        raise MalformedFile(
            f"the header takes {size} bytes; at most {MAX_SIZE} are read", span.at, "limit"
        )
    return size


def _check_entries(header: dict[str, Any], raw: bytes, at: int | None) -> dict[str, HeaderEntry]:
    """Every tensor's three fields by type and range."""
    if (plain := _check_plain(header)) is not None:
        return plain
    entries = {}
    for name, info in header.items():
        if len(name) > MAX_NAME:
            raise MalformedFile(
                f"a tensor's name has {len(name)} characters; at most {MAX_NAME} are read",
                at, "limit",
            )  # fmt: skip
        try:
            entries[name] = _check_entry(info)
        except ValueError as error:
            raise MalformedFile(
                f"tensor {show(name)}: {error}", locate_name(raw, name, at)
            ) from None
    return entries


def _metadata(header: Any, raw: bytes, at: int | None) -> dict[str, str]:
    """What `__metadata__` says, which is taken out of the header."""
    if not isinstance(header, dict):
        raise MalformedFile("the header is not a JSON object", at)
    metadata = header.pop("__metadata__", None)
    if metadata is None:
        return {}
    if isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values()):
        return metadata
    raise MalformedFile(
        "`__metadata__` is not a map from strings to strings", locate_name(raw, "__metadata__", at)
    )


def _counters(names: Mapping[str, str]) -> dict[str, int]:
    """What `__metadata__` counts; there, numbers are texts."""
    texts = {name: names[name] for name in COUNTERS if name in names}
    return counters_in(
        {
            name: int(text)
            for name, text in texts.items()
            if text.isascii() and text.isdigit() and len(text) < 20
        }
    )


def _aliases(
    names: Mapping[str, str], entries: Mapping[str, HeaderEntry]
) -> dict[str, HeaderEntry]:
    """The tied tensors that `safetensors.torch.save_model` has left out: `{dropped: kept}`. What
    else stands in `__metadata__` names no tensor.
    """
    return {
        dropped: entries[kept]
        for dropped, kept in names.items()
        if kept in entries and dropped not in entries and len(dropped) <= MAX_NAME
    }


# A header may have 200,000 entries: what is plainly right is told of all of them together, without
# a call a tensor, in a quarter of the time. Whatever is not so plain, right or wrong, is checked
# entry by entry.
def _check_plain(header: dict[str, Any]) -> dict[str, HeaderEntry] | None:
    """The entries of a header, if each has the three fields and no more, and its size is that of
    its shape; None leaves the answer open.
    """
    infos = header.values()
    if not infos or max(map(len, header)) > MAX_NAME or {*map(type, infos)} != {dict}:
        return None
    if {*map(len, infos)} != {3}:
        return None
    try:
        dtypes, shapes, offsets = ([*map(itemgetter(field), infos)] for field in FIELDS)
        bits = [*map(BITS.__getitem__, dtypes)]
    except (KeyError, TypeError):  # another field; a dtype that is unknown, or no text
        return None
    if {*map(type, shapes), *map(type, offsets)} != {list} or {*map(len, offsets)} != {2}:
        return None
    if max(map(len, shapes)) > FEW or not _are_plain([*chain(*shapes), *chain(*offsets)]):
        return None
    begins, ends = zip(*offsets, strict=True)
    sizes = [count * one for count, one in zip(map(prod, shapes), bits, strict=True)]
    if sizes != [8 * (end - begin) for begin, end in offsets]:
        return None
    # A product that ends in 0 may have passed 64 bits on its way.
    if 0 in sizes and max(max(shape, default=0) for shape in shapes if 0 in shape) > ENOUGH:
        return None
    rows = zip(dtypes, shapes, begins, ends, strict=True)
    return dict(zip(header, map(partial(tuple.__new__, HeaderEntry), rows), strict=True))


def _are_plain(numbers: list[Any]) -> bool:
    """Natural numbers, no larger than any file."""
    return {*map(type, numbers)} <= {int} and not (
        numbers and (min(numbers) < 0 or max(numbers) >= LARGEST)
    )


# What is right is seen in as few calls as possible; what is wrong is named afterwards.
def _check_entry(info: Any) -> HeaderEntry:
    """One tensor's claims; raises ValueError with what was expected and what was found."""
    if type(info) is not dict:
        raise ValueError(
            f"expected an object with dtype, shape and data_offsets, found {show(info)}"
        )
    dtype, shape, offsets = info.get("dtype"), info.get("shape"), info.get("data_offsets")
    if type(dtype) is not str or dtype not in BITS:
        raise ValueError(f"its dtype is {show(dtype)}, which safetensors does not have")
    if type(shape) is not list or type(offsets) is not list or not _are_sizes(shape + offsets):
        raise _name_wrong_sizes(shape, offsets)
    if len(offsets) != 2:
        raise _name_wrong_sizes(shape, offsets)
    if len(info) > 3 and not _is_tame(info):
        raise ValueError("one of its further fields holds a number out of range")
    begin, end = offsets
    _check_size(dtype, shape, begin, end)
    return HeaderEntry(dtype, shape, begin, end)


def _are_sizes(values: list[Any]) -> bool:
    """Natural numbers below 2**64; `True` and 1.0 are none."""
    for value in values:  # noqa: SIM110  # all() calls a generator for each, on 200,000 headers
        if type(value) is not int or not 0 <= value < U64:
            return False
    return True


def _name_wrong_sizes(shape: Any, offsets: Any) -> ValueError:
    """Which of the two is no list of sizes."""
    if type(shape) is not list or not _are_sizes(shape):
        return ValueError(f"its shape is {show(shape)}, expected a list of sizes")
    return ValueError(f"its data_offsets are {show(offsets)}, expected two offsets")


# Rust multiplies with a check at each step, so that a shape with a huge product and a 0 behind it
# is refused although the product is 0. Stopping at the first product beyond 64 bits gives the same
# answer, and keeps the numbers small.
def _check_size(dtype: str, shape: list[int], begin: int, end: int) -> None:
    """shape x dtype must be the bytes between the offsets, and no step of the product may pass 64
    bits.
    """
    count = 1
    for size in shape:
        count *= size
        if count >= U64:
            break
    bits = count * BITS[dtype]
    if bits >= U64:
        raise ValueError(f"{dtype} of shape {show(shape)} overflows 64 bits")
    if bits != 8 * (end - begin):
        raise ValueError(
            f"{dtype} of shape {show(shape)} takes {bits / 8:g} bytes, found {end - begin}"
        )


def _is_tame(info: dict[str, Any]) -> bool:
    """Whether serde_json would take the numbers of fields that nobody reads: it refuses what
    overflows, and its last digits are not Python's.
    """
    left: list[Any] = [info]
    while left:
        value = left.pop()
        if isinstance(value, int | float) and not abs(value) <= 1e308:
            return False
        if isinstance(value, list | dict):
            left += value.values() if isinstance(value, dict) else value
    return True


def _check_layout(
    entries: Mapping[str, HeaderEntry], data: Span, raw: bytes, at: int | None
) -> None:
    """The tensors lie end to end from the first byte of the data to the last: no hole, no overlap,
    nothing behind.
    """
    end = _end_as_listed(entries)
    if end is None:
        end = _end_as_placed(entries, raw, at)
    if end > data.size:
        message = (
            f"the tensors should take {end} bytes, found {data.size}; was the download cut short?"
        )
        raise MalformedFile(message, data.place(data.size), "truncated")
    if end < data.size:
        raise MalformedFile(f"{data.size - end} bytes follow the last tensor", data.place(end))


def _end_as_listed(entries: Mapping[str, HeaderEntry]) -> int | None:
    """Where the last tensor ends, if the header lists them as they lie; most writers' do, and it is
    seen faster than sorted.
    """
    end = 0
    for entry in entries.values():
        if entry.begin != end:
            return None
        end = entry.end
    return end


def _end_as_placed(entries: Mapping[str, HeaderEntry], raw: bytes, at: int | None) -> int:
    """Where the last tensor ends, each beginning where the one before it in the data ended."""
    end = 0
    for name, entry in sorted(entries.items(), key=_place):
        if entry.begin != end:
            trouble = (
                "overlaps the tensor before it" if entry.begin < end else "leaves a hole before it"
            )
            message = (
                f"tensor {show(name)} {trouble}: expected to begin at {end}, found {entry.begin}"
            )
            raise MalformedFile(message, locate_name(raw, name, at))
        end = entry.end
    return end


def _place(item: tuple[str, HeaderEntry]) -> tuple[int, int]:
    return item[1].begin, item[1].end
