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
from struct import error
from typing import Any

from ...errors import MalformedFile
from ...raw.span import Span
from . import calls as calls
from . import containers as containers
from . import scalars as scalars  # the three put their opcodes into the table
from .state import (
    BINGET,
    BINPUT,
    MEMOIZE,
    SHORT_TEXT,
    STEPS,
    WIDTHS,
    OpcodeError,
    PickleMachine,
    opcode,
    since_mark,
    uint32,
    uint64,
)
from .values import Decoded, Global
from .window import ShortWindowError, fault, pay, refill


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
    machine = PickleMachine(span, start, window)
    machine.resolve = resolve
    return _obey(machine)


def mentions(span: Span) -> tuple[Global, ...]:
    """The globals that the pickle at the start of `span` mentions, as far as it can be obeyed."""
    m = PickleMachine(span, 0, None)
    try:
        _obey(m)
    except MalformedFile as error:
        if error.kind == "limit":
            raise
    return tuple(m.globals.values())


# The steps are handed out by `repeat`, whose `next` costs less than counting in Python would; what
# is left of it afterwards is what was not spent.
def _obey(m: "PickleMachine") -> Decoded:
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


# A step that finds its argument cut off by the window's end raises before it has changed the
# machine. The loop then moves the window so that it begins at that opcode and runs the same step
# again. That is why `at` is the place of the opcode, and is advanced only by what the step returns.
#
# IndexError and struct.error are ambiguous (an empty stack, or a window that ended): the widths
# tell the two apart. A step whose argument lies whole in the window can only have missed the stack.
def _run(m: PickleMachine, ticks: "repeat[None]") -> Decoded:
    """Obey opcode after opcode; the only place that turns a failure into an error with its place.

    Half of a state dict's opcodes remember what is on top of the stack, or recall it; those need no
    call, and neither do the names of protocol 4.
    """
    steps, at = STEPS, 0
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
                elif code == MEMOIZE:
                    memo[len(memo)] = stack[-1]
                    at += 1
                elif code == SHORT_TEXT and (end := at + 2 + data[at + 1]) <= len(data):
                    stack.append(data[at + 2 : end].decode("utf-8", "surrogatepass"))
                    at = end
                else:
                    at = steps[code](m, at + 1)
            raise OpcodeError("more opcodes than are left to this file", "limit")
        except StopIteration:
            return _finish(m, at)
        except ShortWindowError as short:
            at = refill(m, at, min(short.need, m.reach - at))
        except (IndexError, error):
            need = 1 + WIDTHS[data[at]] if at < len(data) else 1
            if at + need <= len(data):
                raise fault(m, at, "an opcode takes more from the stack than is there") from None
            at = refill(m, at, need)
        except OpcodeError as refused:
            raise fault(m, at, refused.message, refused.kind) from None
        except KeyError as missing:
            raise fault(m, at, f"nothing was remembered under {missing}") from None
        except UnicodeDecodeError:
            raise fault(m, at, "a text is not UTF-8") from None


def _finish(m: PickleMachine, at: int) -> Decoded:
    """The value on top of the stack, and what was noted on the way."""
    pay(m, at + 1)
    m.span.budget.step(m.sets, "a pickle")
    named, referred = tuple(m.globals.values()), tuple(m.persistents)
    loads, effects = tuple(m.loads), tuple(m.effects)
    return Decoded(m.stack.pop(), named, referred, loads, effects, m.base + at + 1)


# The opcodes of control and of the memo follow; the others stand in the three files beside this, in
# the groups of Lib/pickletools.py. Each step takes the machine and the place behind the opcode, and
# returns the place of the next opcode.


@opcode(0x80, 1)
def _proto(m: PickleMachine, at: int) -> int:
    if m.data[at] > 5:
        raise OpcodeError(f"protocol {m.data[at]} is not known", "unsupported")
    return at + 1


# FRAME (protocol 4) promises that so many bytes follow without another frame. A reader of streams
# may fetch them at once; this one has random access, and only refuses a promise that the file
# cannot keep.
@opcode(0x95, 8)
def _frame(m: PickleMachine, at: int) -> int:
    """A hint for readers of streams; its length must be possible, and means nothing else."""
    if uint64(m.data, at)[0] > m.reach - at - 8:
        raise OpcodeError("a frame is longer than the bytes", "truncated")
    return at + 8


@opcode(0x2E)
def _stop(m: PickleMachine, at: int) -> int:
    if not m.stack:
        raise OpcodeError("it ends without a value")
    raise StopIteration


@opcode(0x28)
def _mark(m: PickleMachine, at: int) -> int:
    m.marks.append(len(m.stack))
    return at


# The one opcode whose meaning depends on what is on top. CPython's C machine, which torch's files
# meet in practice, and its Python machine agree on this; reading it as "drop a value" alone would
# let a file show one value to this program and another to torch.
@opcode(0x30)
def _pop(m: PickleMachine, at: int) -> int:
    """POP takes a mark off if one is on top (Modules/_pickle.c, load_pop)."""
    if m.marks and m.marks[-1] == len(m.stack):
        m.marks.pop()
    else:
        m.stack.pop()
    return at


@opcode(0x31)
def _pop_mark(m: PickleMachine, at: int) -> int:
    since_mark(m)
    return at


@opcode(0x32)
def _dup(m: PickleMachine, at: int) -> int:
    m.stack.append(m.stack[-1])
    return at


# Memo: a dict, so that an index is a name and not an amount of memory; BINPUT, BINGET and MEMOIZE
# stand in `_run`. MEMOIZE numbers its entries by how many there are, so a file that mixes it with
# BINPUT can overwrite an entry, as in CPython: a list would be the wrong model.


@opcode(0x72, 4)
def _long_binput(m: PickleMachine, at: int) -> int:
    m.memo[uint32(m.data, at)[0]] = m.stack[-1]
    return at + 4


@opcode(0x6A, 4)
def _long_binget(m: PickleMachine, at: int) -> int:
    m.stack.append(m.memo[uint32(m.data, at)[0]])
    return at + 4
