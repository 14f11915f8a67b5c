"""How one element of a tensor is stored, under torch's names.

Comes in: little-endian bytes, or floats. Goes out: floats, or bytes. Promise: a value is rounded to
nearest-even, and one beyond a dtype's range is an OverflowError, never an infinity.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from functools import cache, partial

from ..tuples import NamedTuple

Decode = Callable[[bytes], Sequence[float]]
Encode = Callable[[Sequence[float]], bytes]


class DType(NamedTuple):
    """How one element is stored, under torch's name; `decode` is None where the values are not
    plain floats.

    `decode` takes little-endian bytes; `encode` rounds to nearest-even and raises OverflowError
    beyond the range.
    """

    name: str
    itemsize: int
    decode: Decode | None = None
    encode: Encode | None = None


def _native(code: str, raw: bytes) -> Sequence[float]:
    values = array(code, raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _unpack_half(raw: bytes) -> Sequence[float]:
    return struct.unpack(f"<{len(raw) // 2}e", raw)


def _pack(code: str, values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}{code}", *values)


def _unpack_bfloat16(raw: bytes) -> Sequence[float]:
    """bfloat16 is the upper half of a float32."""
    wide = bytearray(2 * len(raw))
    wide[2::4], wide[3::4] = raw[::2], raw[1::2]
    return _native("f", bytes(wide))


def _pack_bfloat16(values: Sequence[float]) -> bytes:
    """Via float32: the second rounding can only err on a tie that float32 already made, which is
    below its ulp.
    """
    words = array("I", _pack("f", values))
    if sys.byteorder == "big":
        words.byteswap()
    halves = [
        (w >> 16) | 1 if w & 0x7FFFFFFF > 0x7F800000 else (w + 0x7FFF + (w >> 16 & 1)) >> 16
        for w in words
    ]
    if any(
        h & 0x7FFF == 0x7F80 and abs(v) != float("inf") for h, v in zip(halves, values, strict=True)
    ):
        raise OverflowError("too large for bfloat16")
    return struct.pack(f"<{len(halves)}H", *halves)


@cache
def _float8_table(exponent_bits: int, finite: bool) -> tuple[float, ...]:
    """The 256 values of float8_e4m3fn (finite: no infinities, one NaN a sign) or float8_e5m2, OCP
    FP8 specification.
    """
    mantissa_bits = 7 - exponent_bits
    bias, top = 2 ** (exponent_bits - 1) - 1, 2**exponent_bits - 1
    table = []
    for code in range(256):
        sign = -1.0 if code & 0x80 else 1.0
        exponent, mantissa = code >> mantissa_bits & top, code & (1 << mantissa_bits) - 1
        if exponent == top and (not finite or mantissa == (1 << mantissa_bits) - 1):
            value = float("inf") if mantissa == 0 and not finite else float("nan")
        elif exponent == 0:
            value = mantissa * 2.0 ** (1 - bias - mantissa_bits)
        else:
            value = (1 + mantissa / (1 << mantissa_bits)) * 2.0 ** (exponent - bias)
        table.append(sign * value)
    return tuple(table)


def _unpack_float8(exponent_bits: int, finite: bool, raw: bytes) -> Sequence[float]:
    table = _float8_table(exponent_bits, finite)
    return [table[code] for code in raw]


def _pack_float8(exponent_bits: int, finite: bool, values: Sequence[float]) -> bytes:
    return bytes(_nearest_float8(_float8_table(exponent_bits, finite), value) for value in values)


def _nearest_float8(table: tuple[float, ...], value: float) -> int:
    """The code nearest to `value`, the even one of two that are equally near."""
    if value != value:
        return 0x7F
    codes = [code for code in range(128) if table[code] - table[code] == 0]
    size = abs(value)
    nearest = min(codes, key=lambda code: (abs(table[code] - size), code & 1))
    step = table[codes[-1]] - table[codes[-2]]
    if size >= table[codes[-1]] + step / 2:
        raise OverflowError("too large for float8")
    return nearest | (0x80 if struct.pack(">d", value)[0] & 0x80 else 0)


def _unpack_bool(raw: bytes) -> Sequence[float]:
    """A pruning mask may be one; never written."""
    return [float(byte != 0) for byte in raw]


def _readable() -> list[DType]:
    return [
        DType("float64", 8, partial(_native, "d"), partial(_pack, "d")),
        DType("float32", 4, partial(_native, "f"), partial(_pack, "f")),
        DType("float16", 2, _unpack_half, partial(_pack, "e")),
        DType("bfloat16", 2, _unpack_bfloat16, _pack_bfloat16),
        DType("float8_e4m3fn", 1, partial(_unpack_float8, 4, True), partial(_pack_float8, 4, True)),
        DType("float8_e5m2", 1, partial(_unpack_float8, 5, False), partial(_pack_float8, 5, False)),
        DType("bool", 1, _unpack_bool),
    ]


_OPAQUE = {
    "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1, "float8_e8m0fnu": 1, "complex32": 4,
    "complex64": 8, "complex128": 16,
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint64": 8, "uint32": 4, "uint16": 2,
    "uint8": 1,
    "qint8": 1, "quint8": 1, "qint32": 4, "quint4x2": 1, "quint2x4": 1,
}  # fmt: skip

DTYPES: dict[str, DType] = {d.name: d for d in _readable()} | {
    n: DType(n, size) for n, size in _OPAQUE.items()
}

# numpy's array-protocol codes under torch's names.
NUMPY_CODES = {
    "f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32",
    "i8": "int64", "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64", "b1": "bool",
    "c8": "complex64", "c16": "complex128",
}  # fmt: skip
