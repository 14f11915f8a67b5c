"""The trace of an interrupted in-place patch, which every command looks for before it believes a
file.

Comes in: a path. Goes out: whether a journal lies beside it. Promise: two system calls a file, and
nothing imported.
"""

import os

from .errors import Unreadable

TAIL = "lstm-audit-journal"


def sidecar(path: str, tail: str) -> str:
    """The hidden neighbour `.NAME.TAIL` of a file."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{tail}")


def hot(path: str) -> bool:
    """Whether an in-place patch of this file was interrupted, or is running."""
    try:
        if os.path.islink(path):
            path = os.path.realpath(path)
        return os.access(sidecar(path, TAIL), os.F_OK)
    except (OSError, ValueError):
        return False


def interrupted() -> Unreadable:
    """The error for a file with a journal, from whoever must not touch it."""
    message = (
        "an --in-place patch of this file was interrupted (or is running): `lstm-audit undo` "
        "restores it"
    )
    return Unreadable(message, kind="interrupted-patch")
