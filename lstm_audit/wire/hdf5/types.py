"""What an element is and how many there are: datatype and dataspace messages.

Comes in: the bytes of a message. Goes out: a `Datatype`, a shape. Promise: a type is known by all
of its fields, never by its size alone, and an unknown one has a name that no dtype has.
"""

from typing import NamedTuple

from .file import Cursor, File

# H5S_MAX_RANK of the HDF5 library.
MAX_RANK = 32

# Size, bit offset, precision, exponent's place and size, mantissa's place and size, exponent bias.
FLOATS = {
    (2, 0, 16, 10, 5, 0, 10, 15): "float16",
    (4, 0, 32, 23, 8, 0, 23, 127): "float32",
    (8, 0, 64, 52, 11, 0, 52, 1023): "float64",
    (2, 0, 16, 7, 8, 0, 7, 127): "bfloat16",
}

# Bits of a float: a third byte order; how the first bit of the mantissa is kept, of which IEEE does
# not keep it. From bit 8 on stands the place of the sign.
VAX, NORMALISED, IMPLIED = 0x40, 0x30, 0x20

INTEGERS = (1, 2, 4, 8)

# The type classes of which no number is read (IV.A.2.d).
CLASSES = {
    2: "time", 3: "string", 4: "bit field", 5: "opaque", 6: "compound", 7: "reference",
    8: "enumeration", 9: "sequence", 10: "array", 11: "complex",
}  # fmt: skip

FIXED_POINT, FLOATING_POINT, VARIABLE = 0, 1, 9
VARIABLE_STRING = "variable string"


class Datatype(NamedTuple):
    """`name` is torch's where the elements are numbers; else it says the class, in words."""

    name: str
    itemsize: int
    big_endian: bool = False


def read_datatype(file: File, raw: bytes, at: int) -> Datatype:
    """The element type of a datatype message at the address `at`."""
    message = Cursor(file, raw, at)
    kind, bits, size = message.unsigned(1) & 15, message.unsigned(3), message.unsigned(4)
    big_endian = bool(bits & 1)
    if kind == FIXED_POINT:
        offset, precision = message.unsigned(2), message.unsigned(2)
        if size in INTEGERS and (offset, precision) == (0, 8 * size):
            return Datatype(f"{'' if bits & 8 else 'u'}int{8 * size}", size, big_endian)
        return Datatype(f"integer of {precision} bits", size)
    if kind == FLOATING_POINT:
        fields = (size, *(message.unsigned(n) for n in (2, 2, 1, 1, 1, 1, 4)))
        usual = bits & VAX == 0 and bits & NORMALISED == IMPLIED and bits >> 8 == 8 * size - 1
        if fields in FLOATS and usual:
            return Datatype(FLOATS[fields], size, big_endian)
        return Datatype(f"floating point of {fields[2]} bits", size)
    if kind == VARIABLE and bits & 15 == 1:
        return Datatype(VARIABLE_STRING, size)
    return Datatype(CLASSES.get(kind, f"type class {kind}"), size)


def read_shape(file: File, raw: bytes, at: int) -> tuple[int, ...] | None:
    """The sizes of a dataspace message's axes, () for one element, None for a space of no
    element.
    """
    message = Cursor(file, raw, at)
    version, rank, _, kind = (message.unsigned(1) for _ in range(4))
    if version not in (1, 2) or rank > MAX_RANK:
        raise file.fail(f"a dataspace of version {version} with {rank} axes", at, "unsupported")
    if version == 1:
        message.take(4)
    elif kind == 2:
        return None
    return tuple(message.length() for _ in range(rank))


def read_largest_shape(file: File, raw: bytes, at: int) -> tuple[int, ...]:
    """What the axes may grow to: by this the chunks of HDF5 1.10 are numbered."""
    message = Cursor(file, raw, at)
    version, rank, flags = (message.unsigned(1) for _ in range(3))
    message.take(5 if version == 1 else 1)
    shape = tuple(message.length() for _ in range(rank))
    return tuple(message.length() for _ in range(rank)) if flags & 1 else shape


def count_elements(shape: tuple[int, ...]) -> int:
    """How many elements a shape has."""
    total = 1
    for size in shape:
        total *= size
    return total
