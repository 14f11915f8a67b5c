"""Checksums: the CRC-32 of zip after one slice of a record changed, and the two of HDF5.

Comes in: for CRC-32 the old checksum, the slice's old and new bytes, the number of bytes behind it;
for lookup3 and fletcher32 all of the bytes. Goes out: the checksum. Promise: for a CRC-32 the
record is never read; the cost is that of the slice plus the logarithm of what follows it. The
others take time linear in the bytes, so callers bound those.

CRC-32 is linear over GF(2): the checksums of two records of one length differ by the bare CRC (no
initial value, no final inversion) of their difference, and a bare CRC moves past n more bytes when
it is multiplied by x^(8n) modulo the polynomial. The method is that of `crc32_combine` in zlib's
crc32.c. Polynomials are reflected, as in all of zip: bit 31 is the coefficient of x^0.
"""

import sys
from array import array
from functools import cache
from itertools import accumulate

POLYNOMIAL = 0xEDB88320  # IEEE 802.3, reflected; the leading x^32 is implied
ONE = 1 << 31


def updated(old_crc: int, old: bytes, new: bytes, tail: int) -> int:
    """The record's CRC-32 after `old` became `new` with `tail` bytes behind it.

    Raises ValueError when the two slices differ in length: a record cannot change its size.
    """
    from zlib import crc32

    if len(old) != len(new):
        raise ValueError(f"{len(old)} bytes cannot be replaced by {len(new)}")
    difference = (int.from_bytes(old, "big") ^ int.from_bytes(new, "big")).to_bytes(len(old), "big")
    bare = crc32(difference) ^ crc32(bytes(len(old)))
    return old_crc ^ _product(_power(8 * tail), bare)


def _product(a: int, b: int) -> int:
    """a * b modulo the polynomial."""
    total = 0
    while a:
        if a & ONE:
            total ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ POLYNOMIAL if b & 1 else b >> 1
    return total


@cache
def _squared(k: int) -> int:
    """x to the power 2^k."""
    return ONE >> 1 if k == 0 else _product(_squared(k - 1), _squared(k - 1))


def _power(n: int) -> int:
    """x to the power n, by binary exponentiation."""
    power, k = ONE, 0
    while n:
        if n & 1:
            power = _product(_squared(k), power)
        n, k = n >> 1, k + 1
    return power


MASK = 0xFFFFFFFF
FINAL = (14, 11, 25, 16, 4, 14, 24)
"""The rotations of lookup3's final(); after each, c is the new b, b the new a, a the new c."""


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
    return _folded(second) << 16 | _folded(first)


def _folded(total: int) -> int:
    return (total - 1) % 65535 + 1 if total else 0


def _words(code: str, data: bytes, order: str) -> "array[int]":
    words = array(code, data)
    if sys.byteorder != order:
        words.byteswap()
    return words
