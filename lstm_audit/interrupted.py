"""The traces of an interrupted patch, which every command looks for before it believes a file.

Comes in: a path. Goes out: whether a patch of it is unfinished, and which sidecars are not to be
believed. Promise: three system calls a file, nothing imported, and nothing read: a sidecar counts
by its owner.

Two sidecars say that a patch is unfinished: the journal beside a file that is written in place, and
the marker beside a checkpoint of which several files are patched. Both, and undo records, count
only if they belong to the file's owner or to the user who asks, and are no links: in a folder that
all may write to, anybody could put one there.
"""

import os
import stat
from collections.abc import Sequence

from .errors import Unreadable

TAIL = "lstm-audit-journal"
MARKER_TAIL = "lstm-audit-patch"


def sidecar(path: str, tail: str) -> str:
    """The hidden neighbour `.NAME.TAIL` of a file."""
    folder, name = os.path.split(path)
    return os.path.join(folder, f".{name}.{tail}")


def sidecars(path: str) -> tuple[str, str, str]:
    """Where the journal, the marker and the undo record of a file lie. The marker belongs to the
    name, since a checkpoint's other files lie beside it; the others to the file behind a link.
    """
    real = os.path.realpath(path)
    return sidecar(real, TAIL), sidecar(path, MARKER_TAIL), f"{real}.undo.json"


def hot(path: str) -> bool:
    """Whether a patch of this file, or of the checkpoint of that name, was interrupted or is
    running.
    """
    try:
        real = os.path.realpath(path) if os.path.islink(path) else path
        return has_journal(real) or _counts(sidecar(path, MARKER_TAIL), path)
    except (OSError, ValueError):
        return False


def has_journal(real: str) -> bool:
    """Whether a journal that counts lies beside a file."""
    return _counts(sidecar(real, TAIL), real)


def _counts(name: str, path: str) -> bool:
    try:
        found = os.lstat(name)
    except FileNotFoundError:
        return False
    return not stat.S_ISLNK(found.st_mode) and believed(found.st_uid, os.stat(path).st_uid)


def believed(owner: int, owner_of_file: int) -> bool:
    """Whether a sidecar with this owner counts."""
    return owner in (owner_of_file, os.geteuid())


# Most files have neither journal nor marker: then two system calls are all that this costs.
def refuse_interrupted(path: str) -> list[str]:
    """Raise `InterruptedPatch` where a patch of this file was interrupted; else what is said of a
    journal or a marker that does not count: the file may be torn all the same.
    """
    real = os.path.realpath(path) if os.path.islink(path) else path
    traces = sidecar(real, TAIL), sidecar(path, MARKER_TAIL)
    if not any(map(os.path.lexists, traces)):
        return []
    if hot(path):
        raise InterruptedPatch(path)
    return _tell_strangers(path, traces)


def strangers(path: str) -> list[str]:
    """Sidecars of a file that do not count, with the reason, for a person to judge."""
    return _tell_strangers(path, sidecars(path))


def _tell_strangers(path: str, names: Sequence[str]) -> list[str]:
    said = []
    for name in names:
        try:
            found, file = os.lstat(name), os.stat(path)
        except (OSError, ValueError):
            continue
        if stat.S_ISLNK(found.st_mode):
            said.append(f"{name} is a link and was left alone")
        elif not believed(found.st_uid, file.st_uid):
            said.append(
                f"{name} belongs to another user ({found.st_uid}) and was left alone; "
                "`lstm-audit undo --sidecar` names it on purpose"
            )
    return said


class InterruptedPatch(Unreadable):
    """A file with a journal or a marker, met by whoever must not touch it; `said` tells what is
    known of the file by whoever could not finish.
    """

    def __init__(self, path: str, said: str = "") -> None:
        usual = (
            "a patch of this file was interrupted (or is running): `lstm-audit undo` restores it"
        )
        super().__init__(said or usual, kind="interrupted-patch")
        self.path = path
