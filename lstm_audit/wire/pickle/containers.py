"""Opcodes that make tuples, lists, sets and dicts, and put values into them.

Comes in: the machine, and the place behind an opcode. Goes out: the place of the next opcode.
Promise: no key is hashed or compared whose hash or comparison is dearer than its bytes.
"""

from typing import Any

from .state import OpcodeError, PickleMachine, note_change, opcode, since_mark
from .values import Call, Global, Opaque, PickledBytes

# characters; two equal 15 MB keys that take turns would be compared in full a million times
MAX_KEY = 4096
MAX_TUPLE_KEYS = (
    4096  # the hash of a tuple of integers has no secret, so colliding ones can be made at will
)


@opcode(0x85)
def _tuple1(m: PickleMachine, at: int) -> int:
    m.stack[-1] = (m.stack[-1],)
    return at


@opcode(0x86)
def _tuple2(m: PickleMachine, at: int) -> int:
    last = m.stack.pop()
    m.stack[-1] = (m.stack[-1], last)
    return at


@opcode(0x87)
def _tuple3(m: PickleMachine, at: int) -> int:
    last, middle = m.stack.pop(), m.stack.pop()
    m.stack[-1] = (m.stack[-1], middle, last)
    return at


@opcode(0x74)
def _tuple(m: PickleMachine, at: int) -> int:
    m.stack.append((*since_mark(m),))
    return at


@opcode(0x5D)
def _empty_list(m: PickleMachine, at: int) -> int:
    m.stack.append([])
    return at


@opcode(0x6C)
def _list(m: PickleMachine, at: int) -> int:
    m.stack.append(since_mark(m))
    return at


@opcode(0x61)
def _append(m: PickleMachine, at: int) -> int:
    value = m.stack.pop()
    return _extend(m, m.stack[-1], [value], at)


@opcode(0x65)
def _appends(m: PickleMachine, at: int) -> int:
    values = since_mark(m)
    return _extend(m, m.stack[-1], values, at)


# A list subclass or a set arrives as a `Call` that is extended afterwards, exactly as pickle would
# call `append` on it; the values are kept beside the call for whoever knows the class.
def _extend(m: PickleMachine, target: Any, values: list[Any], at: int) -> int:
    if type(target) is list:
        target.extend(values)
    elif type(target) is Call:
        if target.extended is None:
            target.extended = []
            note_change(m, target)
        target.extended.extend(values)
    else:
        raise OpcodeError(f"values are appended to a {type(target).__name__}")
    return at


_SET, _FROZENSET = Global("builtins", "set"), Global("builtins", "frozenset")


# A `Call` with its slots takes some two hundred bytes for one opcode of one byte; the usual limit
# of steps would let a file of a few megabytes take a gigabyte.
@opcode(0x8F)
def _empty_set(m: PickleMachine, at: int) -> int:
    m.sets += 1
    if 2 * m.sets > m.span.budget.steps:  # no other single byte makes so large an object
        raise OpcodeError("more sets than are left to this file", "limit")
    m.stack.append(Call(_SET, ()))
    return at


@opcode(0x90)
def _additems(m: PickleMachine, at: int) -> int:
    values, target = since_mark(m), m.stack[-1]
    if type(target) is not Call:
        raise OpcodeError(f"values are added to a {type(target).__name__}")
    return _extend(m, target, values, at)


# Sets are recorded as calls with what they would hold, not built: building one would hash every
# element, and elements are the file's choice.
@opcode(0x91)
def _frozenset(m: PickleMachine, at: int) -> int:
    values = since_mark(m)
    m.stack.append(Call(_FROZENSET, ()))
    return _extend(m, m.stack[-1], values, at)


@opcode(0x7D)
def _empty_dict(m: PickleMachine, at: int) -> int:
    m.stack.append({})
    return at


@opcode(0x64)
def _dict(m: PickleMachine, at: int) -> int:
    flat = since_mark(m)
    m.stack.append({})
    return _set_items(m, flat, at)


@opcode(0x73)
def _setitem(m: PickleMachine, at: int) -> int:
    value, key = m.stack.pop(), m.stack.pop()
    return _set_items(m, [key, value], at)


@opcode(0x75)
def _setitems(m: PickleMachine, at: int) -> int:
    return _set_items(m, since_mark(m), at)


def _set_items(m: PickleMachine, flat: list[Any], at: int) -> int:
    """Put keys and values, in turns, into what is on top of the stack."""
    target, alternating = m.stack[-1], iter(flat)
    if len(flat) & 1:
        raise OpcodeError("a key without a value")
    if type(target) is dict:
        for key, value in zip(alternating, alternating, strict=True):
            target[_key(m, key)] = value
    elif type(target) is Call:
        if target.items is None:
            target.items = []
            note_change(m, target)
        target.items.extend(zip(alternating, alternating, strict=True))
    else:
        raise OpcodeError(f"items are set on a {type(target).__name__}")
    return at


_CONSTANT_KEYS = {bool, type(None), float, Global, PickledBytes}


# The trap of dict keys: hash() and == of a key run over all of it. A str caches its hash but
# compares in full; a tuple caches nothing (before Python 3.14), so a doubled tuple of depth 30
# hashes a billion leaves; an int near a multiple of 2^61-1 collides with any other on purpose. Keys
# that may be dear are boxed (`Opaque`) and compare by identity: two equal ones become two entries,
# which is harmless, since no reader asks for such a key.
def _cheap(value: Any) -> bool:
    """Whether hashing and comparing takes bounded time: no depth, no length, no 2^61-1 to collide
    by.
    """
    kind = type(value)
    if kind is str:
        return len(value) <= MAX_KEY
    return -(1 << 60) < value < 1 << 60 if kind is int else kind in _CONSTANT_KEYS


def _key(m: PickleMachine, value: Any) -> Any:
    """The value as a dict key, boxed if hashing it may cost too much."""
    if _cheap(value):
        return value
    if (
        type(value) is tuple
        and len(value) <= 8
        and m.tuple_keys < MAX_TUPLE_KEYS
        and all(map(_cheap, value))
    ):
        m.tuple_keys += 1
        return value
    return Opaque(value)
