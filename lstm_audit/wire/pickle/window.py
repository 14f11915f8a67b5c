"""The part of a span that the machine has in memory.

Comes in: a span and a place in it. Goes out: `data`, the bytes from `base` on, moved along as the
machine asks for more. Promise: raw bytes that the machine steps over are never read, and every byte
that is gone through is paid for.
"""

from ...errors import MalformedFile
from ...raw.span import Span

FIRST_WINDOW = 1 << 14  # bytes read first: most data.pkl fit; doubled up to LAST_WINDOW
LAST_WINDOW = 1 << 20
SHORT_WINDOW = 1 << 12  # behind a chunk that was skipped another one is likely to follow soon

# Bytes that a byte of a pickle may take as text: one character beyond U+FFFF widens all others.
TEXT_COST = 4


class ShortWindowError(Exception):
    """The opcode at hand takes up to `need` bytes, which are there, but the window ends before."""

    def __init__(self, need: int) -> None:
        self.need = need


class Window:
    """`data` begins at `base`; `reach` is the number of bytes from there to the span's end."""

    __slots__ = ("base", "data", "reach", "span", "window")

    def __init__(self, span: Span, start: int, window: int | None = None) -> None:
        self.span = span
        self.base = start
        self.data = b""
        self.reach = span.size - start
        self.window = window or FIRST_WINDOW


def fault(w: Window, at: int, message: str, kind: str = "malformed") -> MalformedFile:
    """The error for the place `at` of the window."""
    return MalformedFile(f"pickle: {message}", w.span.place(w.base + at), kind)


def refill(w: Window, at: int, need: int) -> int:
    """Move the window so that it begins at `at` and holds `need` bytes; gives the new place of the
    opcode, 0.
    """
    place = w.base + at
    if place + need > w.span.size:
        raise fault(w, at, "the bytes end before the pickle does", "truncated")
    pay(w, min(at, len(w.data)))
    if TEXT_COST * need > w.span.budget.held:
        raise fault(w, at, f"an opcode of {need} bytes is longer than is read", "limit")
    if at > len(w.data):
        w.window = SHORT_WINDOW if w.data else w.window
    size = min(max(w.window, need), w.span.size - place)
    w.data, w.base, w.reach = w.span[place : place + size].read(), place, w.span.size - place
    w.window = min(2 * w.window, LAST_WINDOW)
    return 0


def pay(w: Window, size: int) -> None:
    """Pay for the bytes of the window that the machine went through."""
    w.span.budget.hold(TEXT_COST * size, "a pickle")
