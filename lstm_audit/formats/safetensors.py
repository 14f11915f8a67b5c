"""safetensors: eight bytes of length, a JSON header, and the tensors end to end.

Comes in: a span over a whole file. Goes out: a `Checkpoint` whose tensors are made when they are
asked for. Promise: whatever the reference parser (safetensors/src/tensor.rs) rejects is rejected
here; beyond that only what two parsers could read differently is refused: a duplicate key, and the
list forms that serde lets through beside the documented objects.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from ..errors import MalformedFile
from ..raw.dtypes import DTYPES, DType
from ..raw.span import Span
from ..raw.tensor import Tensor, strides_of
from . import Beside, Checkpoint, reader

MAX_HEADER = 32 << 20
"""Bytes of header that are read: 300,000 tensors, where the largest published models have some
50,000 a file.
"""

REFERENCE_MAX_HEADER = 100_000_000
"""`MAX_HEADER_SIZE` of tensor.rs; a length beyond it that the file could not hold is no safetensors
at all.
"""

MAX_VALUES = 3_000_000
"""JSON values of a header. Each takes some 64 bytes as a Python object, however few it takes in the
file.
"""

MAX_DEPTH = 127
"""serde_json refuses the 128th level."""

U64 = 1 << 64

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


class Entry(NamedTuple):
    """One tensor of the header, checked; `begin` and `end` count from the end of the header."""

    dtype: str
    shape: list[int]
    begin: int
    end: int


class Tensors(Mapping[str, Tensor]):
    """The entries as tensors, each built on first use: of thousands an audit looks at the few that
    are biases.
    """

    __slots__ = ("_built", "_data", "_entries")

    def __init__(self, entries: Mapping[str, Entry], data: Span) -> None:
        self._entries, self._data, self._built = entries, data, dict[str, Tensor]()

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._built:
            dtype, shape, begin, end = self._entries[name]
            dims = tuple(shape)
            self._built[name] = Tensor(KINDS[dtype], dims, strides_of(dims), self._data[begin:end])
        return self._built[name]

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)


@reader("safetensors")
def read_safetensors(span: Span, beside: Beside) -> Checkpoint | None:
    """The tensors of a safetensors file; None when the first nine bytes are not those of one."""
    size = _header_size(span)
    if size is None:
        return None
    header, data = span[8 : 8 + size], span[8 + size :]
    raw = header.read()
    entries = _check_entries(_parse(raw, header.start), raw, header.start)
    _check_layout(entries, data, raw, header.start)
    return Checkpoint("safetensors", Tensors(entries, data))


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
        raise MalformedFile(message, span.start, "truncated")
    if size > MAX_HEADER:
        raise MalformedFile(
            f"the header takes {size} bytes; at most {MAX_HEADER} are read", span.start, "limit"
        )
    return size


def _parse(raw: bytes, at: int) -> Any:
    """The header's JSON, as strict as serde_json is where Python's own parser is lenient."""
    import json

    text = _decode(raw, at)
    try:
        header = _decoder("-0" in text)(text)
        if "\\u" in text:
            json.dumps(header, ensure_ascii=False).encode()  # fails on half a surrogate pair
    except KeyError as error:
        message = f"the header has the key {_quoted(error.args[0])} twice"
        raise MalformedFile(message, _locate(raw, error.args[0], at), "ambiguous") from None
    except json.JSONDecodeError as error:
        place = at + len(text[: error.pos].encode())
        raise MalformedFile(f"the header is not JSON: {error.msg}", place) from None
    except UnicodeEncodeError:
        raise MalformedFile("the header has half a surrogate pair in a string", at) from None
    except ValueError as error:
        raise MalformedFile(f"the header is not JSON: {error}", at) from None
    except RecursionError:
        raise MalformedFile("the header is nested too deeply", at) from None
    return header


def _decode(raw: bytes, at: int) -> str:
    """The header as text, of which no more objects will be made than memory is meant to hold."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedFile("the header is not UTF-8", at + error.start) from None
    if len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES:
        raise MalformedFile(f"the header has more than {MAX_VALUES} values", at, "limit")
    return text


@cache
def _decoder(negative_zero: bool) -> Callable[[str], Any]:
    """`json.loads` with the hooks; the one for integers is slow and only needed for `-0`."""
    import json

    integer = _integer if negative_zero else None
    return json.JSONDecoder(
        object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=integer
    ).decode


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """tensor.rs lets the last of two equal names win, other parsers the first: raises KeyError with
    the name.
    """
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        raise KeyError(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]  # add() is None
    return table


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number there")


def _integer(text: str) -> int | float:
    """serde_json takes `-0` for a float, and a float is no size."""
    return int(text) or (-0.0 if text[0] == "-" else 0)


def _check_entries(header: Any, raw: bytes, at: int) -> dict[str, Entry]:
    """Every tensor's three fields by type and range, and `__metadata__`."""
    if not isinstance(header, dict):
        raise MalformedFile("the header is not a JSON object", at)
    _check_metadata(header.pop("__metadata__", None), raw, at)
    entries = {}
    for name, info in header.items():
        try:
            entries[name] = _check_entry(info)
        except ValueError as error:
            raise MalformedFile(
                f"tensor {_quoted(name)}: {error}", _locate(raw, name, at)
            ) from None
    return entries


def _check_metadata(metadata: Any, raw: bytes, at: int) -> None:
    if metadata is None or (
        isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    ):
        return
    raise MalformedFile(
        "`__metadata__` is not a map from strings to strings", _locate(raw, "__metadata__", at)
    )


def _check_entry(info: Any) -> Entry:
    """One tensor's claims; raises ValueError with what was expected and what was found."""
    if type(info) is not dict:
        raise ValueError(
            f"expected an object with dtype, shape and data_offsets, found {_shown(info)}"
        )
    dtype, shape, offsets = info.get("dtype"), info.get("shape"), info.get("data_offsets")
    if type(dtype) is not str or dtype not in BITS:
        raise ValueError(f"its dtype is {_shown(dtype)}, which safetensors does not have")
    if type(shape) is not list or not _are_sizes(shape):
        raise ValueError(f"its shape is {_shown(shape)}, expected a list of sizes")
    if type(offsets) is not list or len(offsets) != 2 or not _are_sizes(offsets):
        raise ValueError(f"its data_offsets are {_shown(offsets)}, expected two offsets")
    if len(info) > 3 and not all(_is_tame(value, 2) for value in info.values()):
        raise ValueError(
            "one of its further fields is nested too deeply or holds a number out of range"
        )
    begin, end = offsets
    _check_size(dtype, shape, begin, end)
    return Entry(dtype, shape, begin, end)


def _are_sizes(values: list[Any]) -> bool:
    """Natural numbers below 2**64; `True` and 1.0 are none."""
    return not [value for value in values if type(value) is not int or not 0 <= value < U64]


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
        raise ValueError(f"{dtype} of shape {_shown(shape)} overflows 64 bits")
    if bits != 8 * (end - begin):
        raise ValueError(
            f"{dtype} of shape {_shown(shape)} takes {bits / 8:g} bytes, found {end - begin}"
        )


def _is_tame(value: Any, depth: int) -> bool:
    """Whether serde_json would take a value, `depth` levels down, that nobody reads."""
    if isinstance(value, int | float):
        return (
            abs(value) <= 1e308
        )  # it refuses what overflows, and its last digits are not Python's
    if not isinstance(value, list | dict):
        return True
    inner: Iterable[Any] = value.values() if isinstance(value, dict) else value
    return depth < MAX_DEPTH and all(_is_tame(item, depth + 1) for item in inner)


def _check_layout(entries: Mapping[str, Entry], data: Span, raw: bytes, at: int) -> None:
    """The tensors lie end to end from the first byte of the data to the last: no hole, no overlap,
    nothing behind.
    """
    end = 0
    for name, entry in sorted(entries.items(), key=_place):
        if entry.begin != end:
            trouble = (
                "overlaps the tensor before it" if entry.begin < end else "leaves a hole before it"
            )
            message = (
                f"tensor {_quoted(name)} {trouble}: expected to begin at {end}, found {entry.begin}"
            )
            raise MalformedFile(message, _locate(raw, name, at))
        end = entry.end
    if end > data.size:
        message = (
            f"the tensors should take {end} bytes, found {data.size}; was the download cut short?"
        )
        raise MalformedFile(message, data.start + data.size, "truncated")
    if end < data.size:
        raise MalformedFile(f"{data.size - end} bytes follow the last tensor", data.start + end)


def _place(item: tuple[str, Entry]) -> tuple[int, int]:
    return item[1].begin, item[1].end


def _locate(raw: bytes, name: str, at: int) -> int:
    """Where the header speaks of `name` last; its start when the name is written with escapes."""
    return at + max(raw.rfind(f'"{name}"'.encode("utf-8", "backslashreplace")), 0)


def _quoted(name: str) -> str:
    """A name from the file, safe to print."""
    return repr(name if len(name) <= 200 else name[:200] + "...")


def _shown(value: Any) -> str:
    """A value from the file, short and safe to print."""
    if isinstance(value, dict | list) and len(value) > 16:
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, dict | list) and not all(isinstance(item, int) for item in value):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) >= U64:
        return "a number beyond 64 bits"
    return repr(value)[:80]
