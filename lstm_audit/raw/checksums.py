"""Checksums of records, and what becomes of them when one slice of a record changes.

Comes in: bytes, or an old checksum with the slice's old and new bytes and the number of bytes
behind it. Goes out: the checksum. Promise: where a kind allows it (`Checksum.updated`), the record
is never read, and the cost is that of the slice plus the logarithm of what follows it; the others
take time linear in the bytes, so callers bound those.

CRCs are linear over GF(2): the checksums of two records of one length differ by the bare CRC (no
initial value, no final inversion) of their difference, and a bare CRC moves past n more bytes when
it is multiplied by x^(8n) modulo the polynomial. The method is that of `crc32_combine` in zlib's
crc32.c. Polynomials are reflected: bit 31 is the coefficient of x^0.
"""

import sys
from array import array
from collections.abc import Callable, Mapping
from functools import cache
from itertools import accumulate

from ..tuples import NamedTuple

POLYNOMIAL = 0xEDB88320  # IEEE 802.3, as in zip, reflected; the leading x^32 is implied
CASTAGNOLI = 0x82F63B78  # RFC 3720, as in TensorFlow, reflected
ONE = 1 << 31
MASK = 0xFFFFFFFF

Bare = Callable[[bytes], int]


class Checksum(NamedTuple):
    """One kind of checksum: its name for people, the sum `of` whole bytes, and `updated` (old sum,
    old slice, new slice, bytes behind it), which is None where only the whole can be summed.
    """

    title: str
    of: Callable[[bytes], int]
    updated: Callable[[int, bytes, bytes, int], int] | None = None


def crc32(data: bytes) -> int:
    """The CRC-32 of zip."""
    import zlib  # with an audit in mind, which sums nothing

    return zlib.crc32(data)


def update_crc(old_crc: int, old: bytes, new: bytes, tail: int) -> int:
    """The record's CRC-32 after `old` became `new` with `tail` bytes behind it.

    Raises ValueError when the two slices differ in length: a record cannot change its size.
    """
    return _update(POLYNOMIAL, crc32, old_crc, old, new, tail)


# crc(old) ^ crc(new) = bare(old ^ new), as initial value and final inversion cancel. The difference
# is zero before and behind the slice: zeros before it change nothing in a bare CRC, zeros behind it
# multiply by x^(8 tail). `crc(difference) ^ crc(zeros)` is how a bare CRC comes out of one with
# initial value and inversion. So a patch of four bytes in a record of a gigabyte costs as much as
# one in a record of a kilobyte.
def _update(polynomial: int, crc: Bare, old_crc: int, old: bytes, new: bytes, tail: int) -> int:
    if len(old) != len(new):
        raise ValueError(f"{len(old)} bytes cannot be replaced by {len(new)}")
    difference = (int.from_bytes(old, "big") ^ int.from_bytes(new, "big")).to_bytes(len(old), "big")
    bare = crc(difference) ^ crc(bytes(len(old)))
    return old_crc ^ _product(_power(8 * tail, polynomial), bare, polynomial)


def _product(a: int, b: int, polynomial: int) -> int:
    """a * b modulo the polynomial."""
    total = 0
    while a:
        if a & ONE:
            total ^= b
        a = a << 1 & MASK
        b = b >> 1 ^ polynomial if b & 1 else b >> 1
    return total


@cache  # 64 squarings a polynomial, each 15 microseconds, asked for at every checksum
def _square(k: int, polynomial: int) -> int:
    """x to the power 2^k."""
    if k == 0:
        return ONE >> 1
    return _product(_square(k - 1, polynomial), _square(k - 1, polynomial), polynomial)


def _power(n: int, polynomial: int) -> int:
    """x to the power n, by binary exponentiation."""
    power, k = ONE, 0
    while n:
        if n & 1:
            power = _product(_square(k, polynomial), power, polynomial)
        n, k = n >> 1, k + 1
    return power


# ---- CRC-32C as TensorFlow and LevelDB keep it


MASK_DELTA = 0xA282EAD8  # tensorflow/core/lib/hash/crc32c.h, kMaskDelta


@cache
def _crc32c_table() -> tuple[int, ...]:
    """The CRC of every byte, made when a TensorFlow file is first summed."""
    return tuple(_shift(byte) for byte in range(256))


def _shift(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ CASTAGNOLI if value & 1 else value >> 1
    return value


def crc32c(data: bytes) -> int:
    """The CRC-32 of Castagnoli's polynomial."""
    table, value = _crc32c_table(), MASK
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ MASK


def mask_crc(crc: int) -> int:
    """A CRC-32C as it is stored: a sum over bytes that hold sums would be weak (crc32c.h)."""
    return ((crc >> 15 | crc << 17) + MASK_DELTA) & MASK


def unmask_crc(stored: int) -> int:
    """The CRC-32C behind a stored one."""
    rotated = (stored - MASK_DELTA) & MASK
    return (rotated >> 17 | rotated << 15) & MASK


def masked_crc32c(data: bytes) -> int:
    """The stored form of the CRC-32C of `data`."""
    return mask_crc(crc32c(data))


def _update_masked(stored: int, old: bytes, new: bytes, tail: int) -> int:
    return mask_crc(_update(CASTAGNOLI, crc32c, unmask_crc(stored), old, new, tail))


# ---- the two of HDF5


# The rotations of lookup3's final(); after each, c is the new b, b the new a, a the new c.
FINAL = (14, 11, 25, 16, 4, 14, 24)


# The C macros mix() and rot() spelled out, with the additions masked only where a shift follows:
# Python's integers do not overflow, and a mask a line would take half of the time again.
def lookup3(data: bytes) -> int:
    """Bob Jenkins' hashlittle of 2006 with initial value 0 (H5checksum.c, H5_checksum_lookup3)."""
    a = b = c = (0xDEADBEEF + len(data)) & MASK
    if not data:
        return c
    words = _words("I", data + bytes(-len(data) % 12), "little")
    for k in range(0, len(words) - 3, 3):  # all twelves but the last, which is mixed differently
        a, b, c = a + words[k], b + words[k + 1], c + words[k + 2]
        a = (a - c & MASK) ^ _rotate(c, 4)
        c += b
        b = (b - a & MASK) ^ _rotate(a, 6)
        a += c
        c = (c - b & MASK) ^ _rotate(b, 8)
        b += a
        a = (a - c & MASK) ^ _rotate(c, 16)
        c += b
        b = (b - a & MASK) ^ _rotate(a, 19)
        a = a + c & MASK
        c = (c - b & MASK) ^ _rotate(b, 4)
        b = b + a & MASK
    a, b, c = a + words[-3] & MASK, b + words[-2] & MASK, c + words[-1] & MASK
    for r in FINAL:
        a, b, c = b, (c ^ b) - _rotate(b, r) & MASK, a
    return b


def _rotate(x: int, r: int) -> int:
    x &= MASK
    return x << r & MASK | x >> 32 - r


def fletcher32(data: bytes) -> int:
    """H5_checksum_fletcher32: two running sums of big-endian 16-bit words modulo 65535.

    The library folds carries instead of dividing, so that a sum that is a multiple of 65535 is kept
    as 65535, and as 0 only where every word was 0.
    """
    words = _words("H", data + bytes(len(data) % 2), "big")
    first = sum(words)
    second = sum(accumulate(words))
    return _fold(second) << 16 | _fold(first)


def _fold(total: int) -> int:
    return (total - 1) % 65535 + 1 if total else 0


def _words(code: str, data: bytes, order: str) -> "array[int]":
    words = array(code, data)
    if sys.byteorder != order:
        words.byteswap()
    return words


# By the `kind` of a `Seal`.
KINDS: Mapping[str, Checksum] = {
    "crc32": Checksum("CRC-32", crc32, update_crc),
    "masked-crc32c": Checksum("masked CRC-32C", masked_crc32c, _update_masked),
    "lookup3": Checksum("lookup3", lookup3),
    "fletcher32": Checksum("fletcher32", fletcher32),
}
