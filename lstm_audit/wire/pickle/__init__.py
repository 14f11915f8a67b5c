"""Pickles, read by an inert machine: plain values, and nothing is called.

values.py    what stands for a global, a call, a persistent id, raw bytes
window.py    the part of a span that is in memory
machine.py   the opcodes
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
