"""Pickles, read by an inert machine: plain values, and nothing is called.

values.py      what stands for a global, a call, a persistent id, raw bytes
window.py      the part of a span that is in memory
state.py       the stack, the memo, the table of opcodes
scalars.py     opcodes of numbers, texts and raw bytes
containers.py  opcodes of tuples, lists, sets and dicts
calls.py       opcodes that would import or call
machine.py     the loop
joblib.py      what joblib writes between the opcodes
"""

from .machine import decode, mentions
from .values import Call, Decoded, Global, Opaque, Persistent, PickledBytes

__all__ = [
    "Call",
    "Decoded",
    "Global",
    "Opaque",
    "Persistent",
    "PickledBytes",
    "decode",
    "mentions",
]
