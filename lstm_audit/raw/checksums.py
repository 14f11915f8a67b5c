"""The CRC-32 of a record after one slice of it changed, from the slice alone.

Comes in: the old checksum, the slice's old and new bytes, the number of bytes behind it. Goes out:
the new checksum. Promise: the record is never read; the cost is that of the slice plus the
logarithm of what follows it.

CRC-32 is linear over GF(2): the checksums of two records of one length differ by the bare CRC (no
initial value, no final inversion) of their difference, and a bare CRC moves past n more bytes when
it is multiplied by x^(8n) modulo the polynomial. The method is that of `crc32_combine` in zlib's
crc32.c. Polynomials are reflected, as in all of zip: bit 31 is the coefficient of x^0.
"""

from functools import cache

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
