"""Opcodes that push one value: constants, numbers, texts, and raw bytes by their place.

Comes in: the machine, and the place behind an opcode. Goes out: the place of the next opcode.
Promise: raw bytes are not read, only where they lie is noted; no integer is dear to print.
"""

from .state import (
    STEPS,
    OpcodeError,
    PickleMachine,
    RunOpcode,
    float64,
    int32,
    opcode,
    read_payload,
    uint32,
    uint64,
)
from .values import PickledBytes

MAX_LONG = 1024  # bytes of one integer; printing longer ones takes quadratic time


def _pushing(constant: object) -> RunOpcode:
    def push(m: PickleMachine, at: int) -> int:
        m.stack.append(constant)
        return at

    return push


for _code, _constant in (0x4E, None), (0x88, True), (0x89, False), (0x29, ()):
    STEPS[_code] = _pushing(_constant)


# Numbers are little-endian except BINFLOAT, which is big-endian.


@opcode(0x4B, 1)
def _binint1(m: PickleMachine, at: int) -> int:
    m.stack.append(m.data[at])
    return at + 1


@opcode(0x4D, 2)
def _binint2(m: PickleMachine, at: int) -> int:
    m.stack.append(m.data[at] | m.data[at + 1] << 8)
    return at + 2


@opcode(0x4A, 4)
def _binint(m: PickleMachine, at: int) -> int:
    m.stack.append(int32(m.data, at)[0])
    return at + 4


@opcode(0x47, 8)
def _binfloat(m: PickleMachine, at: int) -> int:
    m.stack.append(float64(m.data, at)[0])
    return at + 8


@opcode(0x8A, 1)
def _long1(m: PickleMachine, at: int) -> int:
    return _long(m, at + 1, m.data[at])


@opcode(0x8B, 4)
def _long4(m: PickleMachine, at: int) -> int:
    return _long(m, at + 4, uint32(m.data, at)[0])


# int.from_bytes is linear, but printing or multiplying the number later is not: hence the bound.
def _long(m: PickleMachine, at: int, size: int) -> int:
    if size > MAX_LONG:
        raise OpcodeError(f"an integer of {size} bytes", "limit")
    m.stack.append(int.from_bytes(read_payload(m, at, size), "little", signed=True))
    return at + size


def _text(m: PickleMachine, at: int, size: int) -> int:
    m.stack.append(read_payload(m, at, size).decode("utf-8", "surrogatepass"))
    return at + size


@opcode(0x58, 4)
def _binunicode(m: PickleMachine, at: int) -> int:
    """What all names are, so that those in the window are read here."""
    at += 4
    end: int = at + uint32(m.data, at - 4)[0]
    if end > len(m.data):
        return _text(m, at, end - at)
    m.stack.append(m.data[at:end].decode("utf-8", "surrogatepass"))
    return end


@opcode(0x8C, 1)
def _short_binunicode(m: PickleMachine, at: int) -> int:
    """As above: these are the names of protocol 4."""
    at += 1
    end = at + m.data[at - 1]
    if end > len(m.data):
        return _text(m, at, end - at)
    m.stack.append(m.data[at:end].decode("utf-8", "surrogatepass"))
    return end


@opcode(0x8D, 8)
def _binunicode8(m: PickleMachine, at: int) -> int:
    return _text(m, at + 8, uint64(m.data, at)[0])


# Protocol 2 files that Python 2 wrote hold names and raw array bytes under the same opcode. Latin-1
# maps every byte to one character and back, so nothing is lost by guessing text first.
def _old_text(m: PickleMachine, at: int, size: int) -> int:
    """A Python 2 `str`: most often text, sometimes raw bytes, which latin-1 keeps apart."""
    raw = read_payload(m, at, size)
    try:
        m.stack.append(raw.decode())
    except UnicodeDecodeError:
        m.stack.append(raw.decode("latin-1"))
    return at + size


@opcode(0x55, 1)
def _short_binstring(m: PickleMachine, at: int) -> int:
    return _old_text(m, at + 1, m.data[at])


@opcode(0x54, 4)
def _binstring(m: PickleMachine, at: int) -> int:
    return _old_text(m, at + 4, uint32(m.data, at)[0])


# The bytes are not read: the value is where they lie. A tensor inside a pickle keeps its place in
# the file and can be patched, and a claim of 4 GB costs nothing until somebody reads it.
def _chunk(m: PickleMachine, at: int, size: int) -> int:
    if size > m.reach - at:
        raise OpcodeError(f"{size} bytes are claimed, and {m.reach - at} are left", "truncated")
    m.stack.append(PickledBytes(m.base + at, m.base + at + size))
    return at + size


@opcode(0x43, 1)
def _short_binbytes(m: PickleMachine, at: int) -> int:
    return _chunk(m, at + 1, m.data[at])


@opcode(0x42, 4)
def _binbytes(m: PickleMachine, at: int) -> int:
    return _chunk(m, at + 4, uint32(m.data, at)[0])


@opcode(0x8E, 8)
@opcode(0x96, 8)
def _binbytes8(m: PickleMachine, at: int) -> int:
    return _chunk(m, at + 8, uint64(m.data, at)[0])
