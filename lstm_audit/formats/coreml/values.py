"""The stored numbers of a Core ML model: in the message, or in a blob of `weights/weight.bin`.

Comes in: the message of a value. Goes out: a `Constant` with the place of its bytes. Promise: a
count is held against the bytes, and no other file than that one is opened.
"""

import struct
from math import prod

from ...errors import MalformedFile
from ...raw.dtypes import DTYPES
from ...raw.span import Span
from ...raw.tensor import MAX_DIMS, Tensor, strides_of
from ...wire.protobuf import BYTES, Field, Wire
from .. import Constant
from .opened import CoremlModel

BLOB_KINDS = {1: "float16", 2: "float32", 3: "uint8", 4: "int8", 5: "bfloat16", 6: "int16"}
WEIGHTS, BESIDE = "@model_path/weights/weight.bin", "weights/weight.bin"
BLOB = struct.Struct("<IIQQ")
SENTINEL = 0xDEADBEEF


# TensorValue's fields whose values are plain bytes: floats, doubles, bytes of the type's own kind.
FLOATS, RAW = {1: "float32", 6: "float64"}, 7


def place_numbers(span: Span, name: str, kind: str) -> Constant:
    """Numbers one after the other, as many as the bytes hold."""
    dtype = DTYPES[kind]
    if span.size % dtype.itemsize:
        message = f"{name!r} has {span.size} bytes, no whole number of {kind} values"
        raise MalformedFile(message, span.at)
    shape = (span.size // dtype.itemsize,)
    return Constant(name, shape, Tensor(dtype, shape, (1,), span))


def immediate_constant(
    wire: Wire, field: Field, name: str, kind: str, shape: tuple[int, ...]
) -> Constant:
    """TensorValue: 1 floats, 2 ints, 5 longInts, 6 doubles, 7 bytes: each with its values in 1."""
    values = [f for f in wire.message(field) if f[0] == 1]
    if field[0] in FLOATS and values:
        stored = FLOATS[field[0]]
        span = wire.join(values, DTYPES[stored].itemsize)
        return _give_shape(wire, place_numbers(span, name, stored), shape)
    if field[0] == RAW and len(values) == 1 and values[0][1] == BYTES and kind in DTYPES:
        span = wire.span[values[0][2] : values[0][3]]
        return _give_shape(wire, place_numbers(span, name, kind), shape)
    if field[0] in (2, 5):
        numbers = tuple(float(x) for f in values for x in wire.numbers(f))
        return Constant(name, (len(numbers),), numbers=numbers)
    return Constant(name, shape, trouble="its values are kept in a form that is not read")


def _give_shape(wire: Wire, constant: Constant, shape: tuple[int, ...]) -> Constant:
    """The same numbers in the shape that their type gives."""
    tensor = constant.tensor
    fits = 0 < len(shape) <= MAX_DIMS and min(shape) >= 0
    if tensor is None or not fits or prod(shape) != tensor.elements:
        if shape and tensor is not None:
            message = f"{constant.name!r} has {tensor.elements} values, its type says {shape[:9]}"
            raise MalformedFile(message, wire.span.at)
        return constant
    turned = tensor._replace(shape=shape, strides=strides_of(shape))
    return constant._replace(shape=shape, tensor=turned)


def blob_constant(
    model: CoremlModel, field: Field, name: str, kind: str, shape: tuple[int, ...]
) -> Constant:
    """BlobFileValue: 1 fileName, 2 offset of the blob's head: sentinel, kind, size, place."""
    wire = model.wire
    found = wire.singles(field)
    file = wire.text(found[1]) if 1 in found else ""
    if file != WEIGHTS:
        message = f"{name!r} lies in {file[:80]!r}; only {WEIGHTS!r} is opened"
        raise MalformedFile(message, wire.span.at)
    if not model.weights:
        model.weights.append(model.beside(BESIDE))
    data, offset = model.weights[0], wire.number(found[2]) if 2 in found else 0
    if offset < 0:
        raise MalformedFile(f"{name!r} lies at {offset} of weight.bin", wire.span.at)
    sentinel, number, size, at = BLOB.unpack(data[offset : offset + BLOB.size].read())
    stored = BLOB_KINDS.get(number, "")
    if sentinel != SENTINEL:
        raise MalformedFile(f"no blob at {offset} of weight.bin, where {name!r} should be", data.at)
    if not stored or stored != kind:
        return Constant(name, shape, trouble=f"its blob is of kind {number}, its type {kind!r}")
    blob = data[at : at + size]
    return _give_shape(wire, place_numbers(blob, name, stored), shape)
