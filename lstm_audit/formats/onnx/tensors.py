"""A TensorProto into a `Constant`: where its numbers lie, or what they are.

Comes in: a field that holds one. Goes out: the claims, checked against the bytes. Promise: no
payload is read here but numbers that have no plain place (varints, several pieces), and of those
only a bounded number.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from ...errors import MalformedFile
from ...raw.dtypes import DTYPES, DType
from ...raw.span import Span
from ...raw.tensor import MAX_DIMS, Tensor, strides_of
from ...wire.protobuf import BYTES, Field, Wire
from .. import Constant

# Elements of a tensor that is kept as varints, or in pieces, that are decoded.
MAX_LOOSE = 1 << 18

# Fields that making a tensor counts for.
TENSOR = 12

# TensorProto.DataType; strings and what is smaller than a byte are not read.
KINDS = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
    9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64",
    15: "complex128", 16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz",
    19: "float8_e5m2", 20: "float8_e5m2fnuz",
}  # fmt: skip

DIMS, DATA_TYPE, SEGMENT, NAME, RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 1, 2, 3, 8, 9, 13, 14
FLOAT_DATA, INT32_DATA, INT64_DATA, DOUBLE_DATA = 4, 5, 7, 10
TYPED = (FLOAT_DATA, INT32_DATA, INT64_DATA, DOUBLE_DATA)
# These are the very bytes that raw_data would be.
SAME_AS_RAW = {FLOAT_DATA: "float32", DOUBLE_DATA: "float64"}

# From external_data's keys and the size that the shape needs to the bytes.
External = Callable[[Mapping[str, str], int], Span]


class Claims(NamedTuple):
    """What a TensorProto says, before anything is held against anything."""

    name: str
    dims: tuple[int, ...]
    kind: int
    raw: Field | None
    typed: tuple[Field, ...]
    external: Mapping[str, str] | None


def read_constant(wire: Wire, field: Field, external: External) -> Constant:
    """The tensor of one TensorProto; raises `MalformedFile` where readers would differ, or bytes
    and shape do.
    """
    claims = _read_claims(wire, field)
    wire.charge(TENSOR)
    count = _count(wire, claims, field)
    dtype = DTYPES.get(KINDS.get(claims.kind, ""))
    if dtype is None:
        return Constant(
            claims.name, claims.dims, trouble=f"its data type has the number {claims.kind}"
        )
    span = _plain_bytes(wire, claims, dtype, count * dtype.itemsize, external)
    if span is None:
        return _loose(wire, claims, dtype, count)
    size = count * dtype.itemsize
    if span.size != size:
        message = (
            f"tensor {claims.name!r} has {span.size} bytes, its shape {claims.dims} needs {size}"
        )
        raise MalformedFile(message, span.at)
    return Constant(
        claims.name, claims.dims, Tensor(dtype, claims.dims, strides_of(claims.dims), span)
    )


def read_floats(wire: Wire, fields: Sequence[Field], listed: bool) -> Constant:
    """The floats of an attribute: one, or a list of them."""
    dtype = DTYPES["float32"]
    span = wire.join(fields, dtype.itemsize)
    shape = (span.size // dtype.itemsize,) if listed else ()
    return Constant("", shape, Tensor(dtype, shape, strides_of(shape), span))


def sparse_constant(wire: Wire, field: Field) -> Constant:
    """A SparseTensorProto: its values are a TensorProto that bears the name; they are not
    expanded.
    """
    for part in wire.message(field):
        if part[0] == 1:
            claims = _read_claims(wire, part)
            return Constant(
                claims.name, claims.dims, trouble="it is stored sparse, as values and indices"
            )
    raise MalformedFile("a sparse initializer without values", wire.place(field[2]))


def _read_claims(wire: Wire, field: Field) -> Claims:
    name, dims, kind, raw = "", list[int](), 0, None
    typed, pairs, outside = list[Field](), dict[str, str](), False
    for part in wire.message(field):
        number = part[0]
        if number == DIMS:
            dims += wire.numbers(part)
        elif number == DATA_TYPE:
            kind = wire.number(part)
        elif number == NAME:
            name = wire.text(part)
        elif number == RAW_DATA:
            if raw is not None or part[1] != BYTES:
                raise MalformedFile(
                    f"tensor {name!r} has raw_data twice", wire.place(field[2]), "ambiguous"
                )
            raw = part
        elif number in TYPED:
            typed.append(part)
        elif number == EXTERNAL_DATA:
            key, value = _pair(wire, part)
            pairs[key] = value
        elif number == DATA_LOCATION:
            outside = wire.number(part) == 1
        elif number == SEGMENT:
            raise MalformedFile(
                f"tensor {name!r} comes in segments", wire.place(field[2]), "unsupported"
            )
    if raw is not None and typed:
        message = f"tensor {name!r} has its numbers twice, in raw_data and in a typed field"
        raise MalformedFile(message, wire.place(field[2]), "ambiguous")
    return Claims(name, tuple(dims), kind, raw, tuple(typed), pairs if outside else None)


def _pair(wire: Wire, field: Field) -> tuple[str, str]:
    """A StringStringEntryProto."""
    texts = {part[0]: wire.text(part) for part in wire.message(field)}
    return texts.get(1, ""), texts.get(2, "")


def _count(wire: Wire, claims: Claims, field: Field) -> int:
    """How many elements the shape claims, as far as any file could hold them."""
    count = prod(claims.dims[: MAX_DIMS + 1])
    if len(claims.dims) > MAX_DIMS or any(size < 0 for size in claims.dims) or count >= 1 << 48:
        shape = str(claims.dims[: MAX_DIMS + 1])[:80]
        raise MalformedFile(
            f"tensor {claims.name!r} claims the shape {shape}", wire.place(field[2])
        )
    return count


def _plain_bytes(
    wire: Wire, claims: Claims, dtype: DType, size: int, external: External
) -> Span | None:
    """The bytes that are the numbers and nothing else; None where there are none."""
    if claims.external is not None:
        return external(claims.external, size)
    if claims.raw is not None:
        return wire.span[claims.raw[2] : claims.raw[3]]
    if claims.typed and {SAME_AS_RAW.get(number) for number, *_ in claims.typed} == {dtype.name}:
        return wire.join(claims.typed, dtype.itemsize)
    return None


def _loose(wire: Wire, claims: Claims, dtype: DType, count: int) -> Constant:
    """Numbers without a plain place: read, and never patched (the length of a varint follows its
    value).
    """
    name, dims = claims.name, claims.dims
    if not claims.typed:
        if count:
            raise MalformedFile(f"tensor {name!r} of shape {dims} holds no numbers", wire.span.at)
        return Constant(name, dims, numbers=())
    if count > MAX_LOOSE:
        return Constant(name, dims, trouble=f"its {count} numbers are no plain bytes")
    values = [value for field in claims.typed for value in _read_typed(wire, field, dtype)]
    if len(values) != count:
        raise MalformedFile(
            f"tensor {name!r} has {len(values)} numbers, its shape {dims} needs {count}",
            wire.span.at,
        )
    return Constant(name, dims, numbers=tuple(values))


def _read_typed(wire: Wire, field: Field, dtype: DType) -> list[float]:
    """One typed field's numbers. Half and bfloat16 lie as their bits in int32_data."""
    number = field[0]
    if number == FLOAT_DATA:
        return wire.floats(field)
    if number == DOUBLE_DATA:
        return wire.doubles(field)
    bits = wire.numbers(field)
    if (
        number == INT32_DATA
        and dtype.decode is not None
        and dtype.itemsize < 4
        and dtype.name != "bool"
    ):
        mask = (1 << 8 * dtype.itemsize) - 1
        raw = b"".join((value & mask).to_bytes(dtype.itemsize, "little") for value in bits)
        return list(dtype.decode(raw))
    return [float(value) for value in bits]
