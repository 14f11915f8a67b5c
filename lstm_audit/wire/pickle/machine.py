"""An inert pickle machine: it builds plain values and calls nothing.

Comes in: a span and the place at which a pickle starts. Goes out: the value it describes, in which
everything that Python would import, call or look up is only *mentioned* (`Global`, `Call`,
`Persistent`). Promise: no byte of a pickle makes this process import, call, hash or compare
anything that costs more than the byte is worth.

The C `Unpickler` with stub classes would be safe from execution, but a memo index of 2^31 makes it
ask for 16 GB, a deep tuple as a dict key overflows its stack, and a doubled one hashes forever.
Here the memo is a dict and a key is hashed only when that is cheap. The opcodes and what they mean:
Lib/pickletools.py. Those that no pickler has written for torch (protocol 0 text, the extension
registry, out-of-band buffers) are refused.

Raw bytes are not copied: a `PickledBytes` says where they lie, so that a tensor inside a pickle
keeps its place in the file, and the window that is read moves past them.
"""

import gc
from collections.abc import Callable
from itertools import repeat
from operator import length_hint
from struct import Struct, error
from typing import Any

from ...errors import MalformedFile
from ...raw.span import Span
from .values import JOBLIB_ARRAYS, Call, Decoded, Global, Opaque, Persistent, PickledBytes
from .window import ShortWindowError, Window, fault, pay, refill

MAX_LONG = 1024  # bytes of one integer; printing longer ones takes quadratic time
MAX_NAME = 1024  # characters of a module's or a global's name
# characters; two equal 15 MB keys that take turns would be compared in full a million times
MAX_KEY = 4096
MAX_TUPLE_KEYS = (
    4096  # the hash of a tuple of integers has no secret, so colliding ones can be made at will
)

BINPUT, BINGET = 0x71, 0x68


# Strategy. A pickle is a program for a stack machine, and this is that machine with every opcode
# that touches the outside world taken out. Three things keep it safe:
#
# 1. No opcode calls, imports or hashes anything of the file's choosing. GLOBAL, REDUCE, NEWOBJ and
# BUILD make small records (`Global`, `Call`) that say what *would* have happened; the readers of
# torch's dialect recognise the few that they know, by name, and ignore the others.
# 2. Work is bounded by opcodes, not by bytes: each takes one step of the file's budget, and what a
# single opcode may build (a long integer, a set, a dict key) has a bound of its own below.
# 3. Memory is bounded because raw bytes stay in the file: only texts, numbers and containers that
# the opcodes themselves spell out come into memory, through a window that slides over the file.
#
# Recursion is never used, neither here nor by whoever walks the value: depth is the file's choice.
def decode(
    span: Span,
    start: int = 0,
    window: int | None = None,
    resolve: Callable[[Any], Any] | None = None,
) -> Decoded:
    """The pickle that starts at `start`; for the next one in a row start at this one's `end`.

    `window` is the number of bytes to read first, where little is expected. `resolve` gives what a
    persistent id stands for, where that is known before the pickle is read.

    The value consists of None, bool, int, float, str, tuple, list, dict, `Global`, `Call`,
    `Persistent`, `PickledBytes` and, as dict keys, `Opaque`. It may contain itself and share parts
    any number of times: walk it with a set of ids, and never print, compare or hash it as a whole.
    Raises `MalformedFile`, kind `malformed`, `truncated`, `unsupported` or `limit`.
    """
    machine = _Machine(span, start, window)
    machine.resolve = resolve
    return _obey(machine)


def mentions(span: Span) -> tuple[Global, ...]:
    """The globals that the pickle at the start of `span` mentions, as far as it can be obeyed."""
    m = _Machine(span, 0, None)
    try:
        _obey(m)
    except MalformedFile as error:
        if error.kind == "limit":
            raise
    return tuple(m.globals.values())


# The steps are handed out by `repeat`, whose `next` costs less than counting in Python would; what
# is left of it afterwards is what was not spent.
def _obey(m: "_Machine") -> Decoded:
    collecting = gc.isenabled()
    # millions of new containers and no garbage: collections would only traverse them, again and
    # again
    gc.disable()
    allowed = m.span.budget.steps
    ticks = repeat(None, allowed)
    try:
        return _run(m, ticks)
    finally:
        m.span.budget.steps -= allowed - length_hint(ticks)
        if collecting:
            gc.enable()


# Errors inside a step carry no place: a step knows only positions in the window. `_run` holds the
# window and is therefore the one spot that can say where in the file it was.
class _OpcodeError(Exception):
    """An opcode that cannot be obeyed; `_run` adds the place."""

    def __init__(self, message: str, kind: str = "malformed") -> None:
        self.message = message
        self.kind = kind


class _Machine(Window):
    """The stack and the memo, on top of the window.

    `watched` is `torch.storage._load_from_bytes` once it is mentioned, `loads` the calls of it.
    """

    __slots__ = (
        "globals", "loads", "marks", "memo", "persistents", "resolve", "sets", "stack",
        "tuple_keys", "watched",
    )  # fmt: skip

    def __init__(self, span: Span, start: int, window: int | None) -> None:
        super().__init__(span, start, window)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Global] = {}
        self.persistents: list[Persistent] = []
        self.loads: list[Call] = []
        self.watched: Global | None = None
        self.resolve: Callable[[Any], Any] | None = None
        self.tuple_keys = self.sets = 0


# Obeys one opcode: takes the place behind it in the window, gives back the place of the next one.
#
# A step reads its whole argument before it changes anything, so that it can be repeated with a
# later window.
RunOpcode = Callable[[_Machine, int], int]


# A step that finds its argument cut off by the window's end raises before it has changed the
# machine. The loop then moves the window so that it begins at that opcode and runs the same step
# again. That is why `at` is the place of the opcode, and is advanced only by what the step returns.
#
# IndexError and struct.error are ambiguous (an empty stack, or a window that ended): the widths
# tell the two apart. A step whose argument lies whole in the window can only have missed the stack.
def _run(m: _Machine, ticks: "repeat[None]") -> Decoded:
    """Obey opcode after opcode; the only place that turns a failure into an error with its place.

    Half of a state dict's opcodes remember what is on top of the stack, or recall it; those need no
    call.
    """
    steps, at = _STEPS, 0
    stack, memo = m.stack, m.memo
    while True:
        data = m.data
        try:
            for _ in ticks:
                code = data[at]
                if code == BINPUT:
                    memo[data[at + 1]] = stack[-1]
                    at += 2
                elif code == BINGET:
                    stack.append(memo[data[at + 1]])
                    at += 2
                else:
                    at = steps[code](m, at + 1)
            raise _OpcodeError("more opcodes than are left to this file", "limit")
        except StopIteration:
            return _finish(m, at)
        except ShortWindowError as short:
            at = refill(m, at, min(short.need, m.reach - at))
        except (IndexError, error):
            need = 1 + _WIDTHS[data[at]] if at < len(data) else 1
            if at + need <= len(data):
                raise fault(m, at, "an opcode takes more from the stack than is there") from None
            at = refill(m, at, need)
        except _OpcodeError as refused:
            raise fault(m, at, refused.message, refused.kind) from None
        except KeyError as missing:
            raise fault(m, at, f"nothing was remembered under {missing}") from None
        except UnicodeDecodeError:
            raise fault(m, at, "a text is not UTF-8") from None


def _finish(m: _Machine, at: int) -> Decoded:
    """The value on top of the stack, and what was noted on the way."""
    pay(m, at + 1)
    m.span.budget.step(m.sets, "a pickle")
    named, referred = tuple(m.globals.values()), tuple(m.persistents)
    return Decoded(m.stack.pop(), named, referred, tuple(m.loads), m.base + at + 1)


# The table of steps has 256 rows, so that an unknown opcode is a row like any other and the loop
# has no test for it. Opcodes that exist and are refused are named in the message: a user can look
# them up in pickletools, and knows that the file is not torch's.
def _unknown(m: _Machine, at: int) -> int:
    code = m.data[at - 1]
    if code in _UNWRITTEN:
        raise _OpcodeError(
            f"opcode {_UNWRITTEN[code]}, which no torch file holds, is not read", "unsupported"
        )
    raise _OpcodeError(f"{code:#04x} is no opcode")


_UNWRITTEN = {
    0x46: "FLOAT", 0x49: "INT", 0x4C: "LONG", 0x50: "PERSID", 0x53: "STRING", 0x56: "UNICODE",
    0x67: "GET",
    0x69: "INST", 0x6F: "OBJ", 0x70: "PUT", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}  # fmt: skip
_STEPS: list[RunOpcode] = [_unknown] * 256
_WIDTHS = [0] * 256
_WIDTHS[BINPUT] = _WIDTHS[BINGET] = 1


def _opcode(code: int, width: int = 0) -> Callable[[RunOpcode], RunOpcode]:
    """Make a function the step of `code`, whose argument has (at least) `width` bytes."""

    def register(step: RunOpcode) -> RunOpcode:
        _STEPS[code], _WIDTHS[code] = step, width
        return step

    return register


_int32 = Struct("<i").unpack_from
_uint32 = Struct("<I").unpack_from
_uint64 = Struct("<Q").unpack_from
_float64 = Struct(">d").unpack_from


# The opcodes follow, in the groups of Lib/pickletools.py. Numbers are little-endian except
# BINFLOAT, which is big-endian. Each step takes the machine and the place behind the opcode, and
# returns the place of the next opcode.

# Control


@_opcode(0x80, 1)
def _proto(m: _Machine, at: int) -> int:
    if m.data[at] > 5:
        raise _OpcodeError(f"protocol {m.data[at]} is not known", "unsupported")
    return at + 1


# FRAME (protocol 4) promises that so many bytes follow without another frame. A reader of streams
# may fetch them at once; this one has random access, and only refuses a promise that the file
# cannot keep.
@_opcode(0x95, 8)
def _frame(m: _Machine, at: int) -> int:
    """A hint for readers of streams; its length must be possible, and means nothing else."""
    if _uint64(m.data, at)[0] > m.reach - at - 8:
        raise _OpcodeError("a frame is longer than the bytes", "truncated")
    return at + 8


@_opcode(0x2E)
def _stop(m: _Machine, at: int) -> int:
    if not m.stack:
        raise _OpcodeError("it ends without a value")
    raise StopIteration


@_opcode(0x28)
def _mark(m: _Machine, at: int) -> int:
    m.marks.append(len(m.stack))
    return at


# The marks are kept as heights of the stack, not as objects on it: a mark can then never be taken
# for a value, and finding the last one does not search the stack.
def _since_mark(m: _Machine) -> list[Any]:
    """Take what was pushed since the last mark off the stack."""
    if not m.marks:
        raise _OpcodeError("an opcode wants a mark, and there is none")
    mark = m.marks.pop()
    taken = m.stack[mark:]
    del m.stack[mark:]
    return taken


# The one opcode whose meaning depends on what is on top. CPython's C machine, which torch's files
# meet in practice, and its Python machine agree on this; reading it as "drop a value" alone would
# let a file show one value to this program and another to torch.
@_opcode(0x30)
def _pop(m: _Machine, at: int) -> int:
    """POP takes a mark off if one is on top (Modules/_pickle.c, load_pop)."""
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.stack.pop()
    return at


@_opcode(0x31)
def _pop_mark(m: _Machine, at: int) -> int:
    _since_mark(m)
    return at


@_opcode(0x32)
def _dup(m: _Machine, at: int) -> int:
    m.stack.append(m.stack[-1])
    return at


# Memo: a dict, so that an index is a name and not an amount of memory; BINPUT and BINGET stand in
# `_run`


@_opcode(0x72, 4)
def _long_binput(m: _Machine, at: int) -> int:
    m.memo[_uint32(m.data, at)[0]] = m.stack[-1]
    return at + 4


# MEMOIZE numbers its entries by how many there are, so a file that mixes it with BINPUT can
# overwrite an entry. That is what CPython does as well, and so the dict, not a list, is the right
# model.
@_opcode(0x94)
def _memoize(m: _Machine, at: int) -> int:
    m.memo[len(m.memo)] = m.stack[-1]
    return at


@_opcode(0x6A, 4)
def _long_binget(m: _Machine, at: int) -> int:
    m.stack.append(m.memo[_uint32(m.data, at)[0]])
    return at + 4


# Numbers and constants


def _pushing(constant: object) -> RunOpcode:
    def push(m: _Machine, at: int) -> int:
        m.stack.append(constant)
        return at

    return push


for _code, _constant in (0x4E, None), (0x88, True), (0x89, False), (0x29, ()):
    _STEPS[_code] = _pushing(_constant)


@_opcode(0x4B, 1)
def _binint1(m: _Machine, at: int) -> int:
    m.stack.append(m.data[at])
    return at + 1


@_opcode(0x4D, 2)
def _binint2(m: _Machine, at: int) -> int:
    m.stack.append(m.data[at] | m.data[at + 1] << 8)
    return at + 2


@_opcode(0x4A, 4)
def _binint(m: _Machine, at: int) -> int:
    m.stack.append(_int32(m.data, at)[0])
    return at + 4


@_opcode(0x47, 8)
def _binfloat(m: _Machine, at: int) -> int:
    m.stack.append(_float64(m.data, at)[0])
    return at + 8


@_opcode(0x8A, 1)
def _long1(m: _Machine, at: int) -> int:
    return _long(m, at + 1, m.data[at])


@_opcode(0x8B, 4)
def _long4(m: _Machine, at: int) -> int:
    return _long(m, at + 4, _uint32(m.data, at)[0])


# int.from_bytes is linear, but printing or multiplying the number later is not: hence the bound.
def _long(m: _Machine, at: int, size: int) -> int:
    if size > MAX_LONG:
        raise _OpcodeError(f"an integer of {size} bytes", "limit")
    m.stack.append(int.from_bytes(_payload(m, at, size), "little", signed=True))
    return at + size


# Texts and raw bytes


def _payload(m: _Machine, at: int, size: int) -> bytes:
    """The `size` bytes at `at`, if need be with a later window."""
    if at + size > len(m.data):
        if size > m.reach - at:
            raise _OpcodeError(
                f"{size} bytes are claimed, and {m.reach - at} are left", "truncated"
            )
        raise ShortWindowError(9 + size)  # the opcode and the widest length precede the payload
    return m.data[at : at + size]


def _text(m: _Machine, at: int, size: int) -> int:
    m.stack.append(_payload(m, at, size).decode("utf-8", "surrogatepass"))
    return at + size


@_opcode(0x58, 4)
def _binunicode(m: _Machine, at: int) -> int:
    """What all names are, so that those in the window are read here."""
    at += 4
    end: int = at + _uint32(m.data, at - 4)[0]
    if end > len(m.data):
        return _text(m, at, end - at)
    m.stack.append(m.data[at:end].decode("utf-8", "surrogatepass"))
    return end


@_opcode(0x8C, 1)
def _short_binunicode(m: _Machine, at: int) -> int:
    return _text(m, at + 1, m.data[at])


@_opcode(0x8D, 8)
def _binunicode8(m: _Machine, at: int) -> int:
    return _text(m, at + 8, _uint64(m.data, at)[0])


# Protocol 2 files that Python 2 wrote hold names and raw array bytes under the same opcode. Latin-1
# maps every byte to one character and back, so nothing is lost by guessing text first.
def _old_text(m: _Machine, at: int, size: int) -> int:
    """A Python 2 `str`: most often text, sometimes raw bytes, which latin-1 keeps apart."""
    raw = _payload(m, at, size)
    try:
        m.stack.append(raw.decode())
    except UnicodeDecodeError:
        m.stack.append(raw.decode("latin-1"))
    return at + size


@_opcode(0x55, 1)
def _short_binstring(m: _Machine, at: int) -> int:
    return _old_text(m, at + 1, m.data[at])


@_opcode(0x54, 4)
def _binstring(m: _Machine, at: int) -> int:
    return _old_text(m, at + 4, _uint32(m.data, at)[0])


# The bytes are not read: the value is where they lie. A tensor inside a pickle keeps its place in
# the file and can be patched, and a claim of 4 GB costs nothing until somebody reads it.
def _chunk(m: _Machine, at: int, size: int) -> int:
    if size > m.reach - at:
        raise _OpcodeError(f"{size} bytes are claimed, and {m.reach - at} are left", "truncated")
    m.stack.append(PickledBytes(m.base + at, m.base + at + size))
    return at + size


@_opcode(0x43, 1)
def _short_binbytes(m: _Machine, at: int) -> int:
    return _chunk(m, at + 1, m.data[at])


@_opcode(0x42, 4)
def _binbytes(m: _Machine, at: int) -> int:
    return _chunk(m, at + 4, _uint32(m.data, at)[0])


@_opcode(0x8E, 8)
@_opcode(0x96, 8)
def _binbytes8(m: _Machine, at: int) -> int:
    return _chunk(m, at + 8, _uint64(m.data, at)[0])


# Containers


@_opcode(0x85)
def _tuple1(m: _Machine, at: int) -> int:
    m.stack[-1] = (m.stack[-1],)
    return at


@_opcode(0x86)
def _tuple2(m: _Machine, at: int) -> int:
    last = m.stack.pop()
    m.stack[-1] = (m.stack[-1], last)
    return at


@_opcode(0x87)
def _tuple3(m: _Machine, at: int) -> int:
    last, middle = m.stack.pop(), m.stack.pop()
    m.stack[-1] = (m.stack[-1], middle, last)
    return at


@_opcode(0x74)
def _tuple(m: _Machine, at: int) -> int:
    m.stack.append((*_since_mark(m),))
    return at


@_opcode(0x5D)
def _empty_list(m: _Machine, at: int) -> int:
    m.stack.append([])
    return at


@_opcode(0x6C)
def _list(m: _Machine, at: int) -> int:
    m.stack.append(_since_mark(m))
    return at


@_opcode(0x61)
def _append(m: _Machine, at: int) -> int:
    value = m.stack.pop()
    return _extend(m.stack[-1], [value], at)


@_opcode(0x65)
def _appends(m: _Machine, at: int) -> int:
    values = _since_mark(m)
    return _extend(m.stack[-1], values, at)


# A list subclass or a set arrives as a `Call` that is extended afterwards, exactly as pickle would
# call `append` on it; the values are kept beside the call for whoever knows the class.
def _extend(target: Any, values: list[Any], at: int) -> int:
    if type(target) is list:
        target.extend(values)
    elif type(target) is Call:
        target.extended = target.extended or []
        target.extended.extend(values)
    else:
        raise _OpcodeError(f"values are appended to a {type(target).__name__}")
    return at


_SET, _FROZENSET = Global("builtins", "set"), Global("builtins", "frozenset")


# A `Call` with its slots takes some two hundred bytes for one opcode of one byte; the usual limit
# of steps would let a file of a few megabytes take a gigabyte.
@_opcode(0x8F)
def _empty_set(m: _Machine, at: int) -> int:
    m.sets += 1
    if 2 * m.sets > m.span.budget.steps:  # no other single byte makes so large an object
        raise _OpcodeError("more sets than are left to this file", "limit")
    m.stack.append(Call(_SET, ()))
    return at


@_opcode(0x90)
def _additems(m: _Machine, at: int) -> int:
    values, target = _since_mark(m), m.stack[-1]
    if type(target) is not Call:
        raise _OpcodeError(f"values are added to a {type(target).__name__}")
    return _extend(target, values, at)


@_opcode(0x91)
def _frozenset(m: _Machine, at: int) -> int:
    values = _since_mark(m)
    m.stack.append(Call(_FROZENSET, ()))
    return _extend(m.stack[-1], values, at)


@_opcode(0x7D)
def _empty_dict(m: _Machine, at: int) -> int:
    m.stack.append({})
    return at


@_opcode(0x64)
def _dict(m: _Machine, at: int) -> int:
    flat = _since_mark(m)
    m.stack.append({})
    return _set_items(m, flat, at)


@_opcode(0x73)
def _setitem(m: _Machine, at: int) -> int:
    value, key = m.stack.pop(), m.stack.pop()
    return _set_items(m, [key, value], at)


@_opcode(0x75)
def _setitems(m: _Machine, at: int) -> int:
    return _set_items(m, _since_mark(m), at)


def _set_items(m: _Machine, flat: list[Any], at: int) -> int:
    """Put keys and values, in turns, into what is on top of the stack."""
    target, alternating = m.stack[-1], iter(flat)
    if len(flat) & 1:
        raise _OpcodeError("a key without a value")
    if type(target) is dict:
        for key, value in zip(alternating, alternating, strict=True):
            target[_key(m, key)] = value
    elif type(target) is Call:
        target.items = target.items or []
        target.items.extend(zip(alternating, alternating, strict=True))
    else:
        raise _OpcodeError(f"items are set on a {type(target).__name__}")
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


def _key(m: _Machine, value: Any) -> Any:
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


# Mentions of what would be imported, called or looked up


# Called with bytes, it loads a whole torch file (torch/storage.py), which has a pickle of its own:
# each of these calls is remembered, for it may be thrown away before the pickle ends.
_LOAD = Global("torch.storage", "_load_from_bytes")


# One object a name: two mentions of one global are then the same object, and comparing them by
# identity is enough for the readers and for `watched`.
def _mention(m: _Machine, module: str, name: str) -> None:
    if len(module) > MAX_NAME or len(name) > MAX_NAME:
        raise _OpcodeError(f"a global's name has over {MAX_NAME} characters", "limit")
    known = m.globals.get((module, name))
    if known is None:
        known = m.globals[module, name] = Global(module, name)
        if known == _LOAD:
            m.watched = known
    m.stack.append(known)


@_opcode(0x63, 2)
def _global(m: _Machine, at: int) -> int:
    """Two lines: module and name."""
    middle = _line_end(m, at)
    end = _line_end(m, middle + 1)
    _mention(m, m.data[at:middle].decode(), m.data[middle + 1 : end].decode())
    return end + 1


# GLOBAL's names end in a newline and have no length before them: without a bound the search would
# run through the whole file, window by window, for every one of them.
def _line_end(m: _Machine, at: int) -> int:
    longest = 4 * MAX_NAME  # bytes of a name in UTF-8
    end = m.data.find(b"\n", at, at + longest + 1)
    if end >= 0:
        return end
    if len(m.data) - at > longest:
        raise _OpcodeError(f"a global's name has over {MAX_NAME} characters", "limit")
    if len(m.data) == m.reach:
        raise _OpcodeError("the bytes end before a global's name does", "truncated")
    raise ShortWindowError(3 + 2 * longest)


@_opcode(0x93)
def _stack_global(m: _Machine, at: int) -> int:
    name, module = m.stack.pop(), m.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise _OpcodeError("a global's name is no text")
    _mention(m, module, name)
    return at


_CALL = Global("operator", "call")


# A call with arguments is by far the commonest (every tensor is one), so the two usual forms are
# told apart here without the checks of the general one.
@_opcode(0x52)
def _reduce(m: _Machine, at: int) -> int:
    """What would be called with what; calling the result of a call is mentioned as `operator.call`
    of it.

    Protocol 2 writes that for objects with keyword arguments: `functools.partial(cls.__new__, ...)`
    and then `()`.
    """
    args, function = m.stack.pop(), m.stack[-1]
    if type(args) is tuple and type(function) is Global:
        m.stack[-1] = call = Call(function, args)
        if function is m.watched:
            m.loads.append(call)
    elif type(args) is tuple and type(function) is Call:
        m.stack[-1] = Call(_CALL, (function, *args))
    else:
        return _called(m, at, function, args)
    return at


@_opcode(0x81)
def _newobj(m: _Machine, at: int) -> int:
    args, function = m.stack.pop(), m.stack[-1]
    return _called(m, at, function, args)


def _called(m: _Machine, at: int, function: Any, args: Any, keywords: Any = None) -> int:
    if (
        type(function) is not Global
        or type(args) is not tuple
        or type(keywords) not in (dict, type(None))
    ):
        raise _OpcodeError(
            f"a {type(function).__name__} would be called with a {type(args).__name__}"
        )
    m.stack[-1] = call = Call(function, args, keywords)
    if function is m.watched:
        m.loads.append(call)
    return at


@_opcode(0x92)
def _newobj_ex(m: _Machine, at: int) -> int:
    keywords, args, function = m.stack.pop(), m.stack.pop(), m.stack[-1]
    return _called(m, at, function, args, keywords)


# BUILD on a dict is what torch leaves where an OrderedDict with attributes was saved by an old
# pickler: its `_metadata` (versions of modules) is set on the dict object, and none of its entries.
@_opcode(0x62)
def _build(m: _Machine, at: int) -> int:
    """Give an object its state. On a dict (torch's `_metadata` on a converted OrderedDict) it
    changes no entry.
    """
    state, target = m.stack[-1], m.stack[-2]
    if type(target) is Call:
        if target.state is not None:
            raise _OpcodeError("an object is given its state twice")
        if target.function in JOBLIB_ARRAYS:
            return _array_behind(m, at, target, state)
        target.state = state
    elif type(target) is not dict:
        raise _OpcodeError(f"a {type(target).__name__} is given a state")
    m.stack.pop()
    return at


# joblib (NumpyArrayWrapper) writes an array's bytes straight behind the pickled wrapper, in the
# middle of the opcodes. The machine must know the wrapper to be able to step over them; how many
# bytes there are follows from the wrapper's state alone.
def _array_behind(m: _Machine, at: int, wrapper: Call, state: Any) -> int:
    """joblib's wrapper, with the elements of its array behind it in the stream."""
    from .joblib import MAX_PADDING, Unclear, array_of, padding_of, replace  # 0.9 ms

    need = min(1 + MAX_PADDING, m.reach - at)
    if at + need > len(m.data):
        raise ShortWindowError(1 + need)
    try:
        array = array_of(wrapper, state)
        at += padding_of(array, m.data[at : at + need])
    except Unclear as unclear:
        raise _OpcodeError(str(unclear), "unsupported") from None
    if array.size > m.reach - at:
        raise _OpcodeError("an array of joblib is cut short", "truncated")
    elements = PickledBytes(m.base + at, m.base + at + array.size)
    replace(wrapper, array, elements)
    m.stack.pop()
    return at + array.size


# torch's legacy format passes the class of a whole module through the persistent id, with its
# source text, so that it can warn when the source has changed (torch/serialization.py,
# persistent_id).
@_opcode(0x51)
def _binpersid(m: _Machine, at: int) -> int:
    """In legacy torch files ('module', class, source file, source) stands for the class."""
    pid = m.stack[-1]
    is_class = type(pid) is tuple and len(pid) > 1 and type(pid[0]) is str and pid[0] == "module"
    if m.resolve is not None:
        m.stack[-1] = m.resolve(pid)
    elif is_class and type(pid[1]) is Global:
        m.stack[-1] = pid[1]
    else:
        m.stack[-1] = Persistent(pid)
        m.persistents.append(m.stack[-1])
    return at
