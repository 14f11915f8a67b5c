"""A whole number in groups of seven bits, as protobuf and LevelDB write it.

Comes in: bytes and a place in them. Goes out: the number and the place behind it, or None. Promise:
no more than ten bytes are taken, and no more than 64 bits are given.

Lowest group first; the top bit of a byte says that another follows (protobuf.dev, "Base 128
Varints"; leveldb/util/coding.cc). Ten bytes hold 70 bits: the six too many are dropped, as both do.
"""

# Bytes of the longest.
LONGEST_VARINT = 10


def read_varint(raw: bytes, at: int) -> tuple[int, int] | None:
    """The number at `at`; None where the bytes end before it does, or it is longer than any."""
    value = 0
    for k, byte in enumerate(raw[at : at + LONGEST_VARINT]):
        value |= (byte & 127) << 7 * k
        if byte < 128:
            return value & (1 << 64) - 1, at + k + 1
    return None
