"""What the pickle machine holds while it runs, and the table of its opcodes.

Comes in: a span and the place of a pickle. Goes out: the machine's state, and the decorator that
makes a function an opcode's step. Promise: an opcode that has no step is refused by name.
"""

from collections.abc import Callable
from struct import Struct
from typing import Any

from ...raw.span import Span
from .values import Call, Global, Persistent
from .window import ShortWindowError, Window

BINPUT, BINGET, MEMOIZE, SHORT_TEXT = 0x71, 0x68, 0x94, 0x8C


# Errors inside a step carry no place: a step knows only positions in the window. `_run` holds the
# window and is therefore the one spot that can say where in the file it was.
class OpcodeError(Exception):
    """An opcode that cannot be obeyed; `_run` adds the place."""

    def __init__(self, message: str, kind: str = "malformed") -> None:
        self.message = message
        self.kind = kind


class PickleMachine(Window):
    """The stack and the memo, on top of the window.

    `watched` is `torch.storage._load_from_bytes` once it is mentioned, `loads` the calls of it.
    `effects` are the calls that may do more than make something, `maker` the function that was last
    found to do no more.
    """

    __slots__ = (
        "effects", "globals", "loads", "maker", "marks", "memo", "persistents", "resolve", "sets",
        "stack", "tuple_keys", "watched",
    )  # fmt: skip

    def __init__(self, span: Span, start: int, window: int | None) -> None:
        super().__init__(span, start, window)
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.globals: dict[tuple[str, str], Global] = {}
        self.persistents: list[Persistent] = []
        self.loads: list[Call] = []
        self.effects: list[Call] = []
        self.maker: Global | None = None
        self.watched: Global | None = None
        self.resolve: Callable[[Any], Any] | None = None
        self.tuple_keys = self.sets = 0


# Obeys one opcode: takes the place behind it in the window, gives back the place of the next one.
#
# A step reads its whole argument before it changes anything, so that it can be repeated with a
# later window.
RunOpcode = Callable[[PickleMachine, int], int]


# The table of steps has 256 rows, so that an unknown opcode is a row like any other and the loop
# has no test for it. Opcodes that exist and are refused are named in the message: a user can look
# them up in pickletools, and knows that the file is not torch's.
def _unknown(m: PickleMachine, at: int) -> int:
    code = m.data[at - 1]
    if code in _UNWRITTEN:
        raise OpcodeError(
            f"opcode {_UNWRITTEN[code]}, which no torch file holds, is not read", "unsupported"
        )
    raise OpcodeError(f"{code:#04x} is no opcode")


_UNWRITTEN = {
    0x46: "FLOAT", 0x49: "INT", 0x4C: "LONG", 0x50: "PERSID", 0x53: "STRING", 0x56: "UNICODE",
    0x67: "GET",
    0x69: "INST", 0x6F: "OBJ", 0x70: "PUT", 0x82: "EXT1", 0x83: "EXT2", 0x84: "EXT4",
    0x97: "NEXT_BUFFER",
    0x98: "READONLY_BUFFER",
}  # fmt: skip
STEPS: list[RunOpcode] = [_unknown] * 256
WIDTHS = [0] * 256
WIDTHS[BINPUT] = WIDTHS[BINGET] = 1


def opcode(code: int, width: int = 0) -> Callable[[RunOpcode], RunOpcode]:
    """Make a function the step of `code`, whose argument has (at least) `width` bytes."""

    def register(step: RunOpcode) -> RunOpcode:
        STEPS[code], WIDTHS[code] = step, width
        return step

    return register


int32 = Struct("<i").unpack_from
uint32 = Struct("<I").unpack_from
uint64 = Struct("<Q").unpack_from
float64 = Struct(">d").unpack_from


# The marks are kept as heights of the stack, not as objects on it: a mark can then never be taken
# for a value, and finding the last one does not search the stack.
def since_mark(m: PickleMachine) -> list[Any]:
    """Take what was pushed since the last mark off the stack."""
    if not m.marks:
        raise OpcodeError("an opcode wants a mark, and there is none")
    mark = m.marks.pop()
    taken = m.stack[mark:]
    del m.stack[mark:]
    return taken


def read_payload(m: PickleMachine, at: int, size: int) -> bytes:
    """The `size` bytes at `at`, if need be with a later window."""
    if at + size > len(m.data):
        if size > m.reach - at:
            raise OpcodeError(f"{size} bytes are claimed, and {m.reach - at} are left", "truncated")
        raise ShortWindowError(9 + size)  # the opcode and the widest length precede the payload
    return m.data[at : at + size]


def note_change(m: PickleMachine, target: Call) -> None:
    """Remember a call into whose result something is put: it may be an object that another call
    has given too. A container of the standard library is always a new one.
    """
    if target.function.module != "collections":
        m.effects.append(target)
