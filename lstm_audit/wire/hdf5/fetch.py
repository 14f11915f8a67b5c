"""The structures of a file that is far, fetched in few round trips.

Comes in: the span of a file whose source is far. Goes out: nothing; what a walk will read is then
there. Promise: what is found here is believed by nobody: the walk reads it all again, and says what
is broken.

A walk goes from a group to its names, from these to the objects, and so on: read one after the
other, each is a round trip. Here all branches are followed as far as what is there goes; where each
stops is fetched together, with the places behind large arrays, where the next structures mostly
are; and so again, until none stops.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress

from ...errors import MalformedFile
from ...raw.span import Span
from .dataset import read_dataset
from .file import File, Followed
from .groups import read_links
from .header import LAYOUT, Message, read_messages

# Whether the object at a path is wanted; what is below it is then not read either.
Enter = Callable[[str], bool]

# Rounds, and objects of one: each round reads again what the ones before have read.
MAX_ROUNDS = 12
MAX_OBJECTS = 4000

# Bytes before and behind an object that are fetched with it, and those at the end of the file.
BEFORE, BEHIND, END = 1 << 13, 3 << 12, 1 << 14

# Bytes of the row of a matrix behind which a bias is looked for, and of what stands between a bias
# and the next object.
MAX_ROW, BETWEEN = 1 << 14, 1 << 12


class _NotThere(Exception):
    """A read of what was not fetched yet; never leaves this module."""


class _Looking(File):
    """A file of which only that is read which is there; `missing` are the places of the rest,
    `ends` those behind large arrays.
    """

    __slots__ = ("ends", "missing")

    def __init__(self, span: Span) -> None:
        self.missing: list[int] = []
        self.ends: list[tuple[int, int]] = []
        super().__init__(span)

    def read(self, at: int, size: int) -> bytes:
        """As `File.read`, of what is there."""
        if at < self.span.size and not self.span.is_there(at, size):
            self.missing.append(at)
            raise _NotThere
        return super().read(at, size)

    def follow(self, branch: Callable[[], Followed]) -> Followed | None:
        """As `File.follow`: what one branch lacks hides none of the others."""
        with suppress(_NotThere):
            return branch()
        return None


# What is small is written near to what leads to it: a bias stands behind its matrix and before the
# groups of the next layer. The windows below are chosen so that files of Keras with LSTMs of 16 to
# 1024 units take four rounds.
def fetch_structures(span: Span, enter: Enter) -> None:
    """Have all that a walk will read of a file's structures fetched."""
    guesses = [(max(0, span.size - END), END)]  # where the last layer's small arrays are
    for _ in range(MAX_ROUNDS):
        file = _Looking(span)
        _look_through(file, enter)
        if not file.missing:
            return
        guesses += [(at, row + BEHIND) for at, row in file.ends if not span.is_there(at, row)]
        file.span.announce([*_surround(file), *guesses], more=True)
        guesses = []


def _surround(file: _Looking) -> Iterator[tuple[int, int]]:
    """What lies around the objects that are missing: what belongs to them, and a bias before."""
    longest = max((row for _, row in file.ends), default=0)
    before = max(BEFORE, BETWEEN + longest)
    for at in file.missing:
        yield max(0, at - before), before + BEHIND


def _look_through(file: _Looking, enter: Enter) -> None:
    """Follow every branch as far as it is there."""
    todo, met = [("", file.root)], {file.root}
    while todo and len(met) < MAX_OBJECTS:
        path, at = todo.pop()
        try:
            messages = read_messages(file, at) if enter(path) else []
            if any(message.kind == LAYOUT for message in messages):
                file.ends += _end_of(file, messages)
                continue
            links = read_links(file, messages)
        except (_NotThere, MalformedFile):
            continue
        prefix = f"{path}/" if path else ""
        todo += [(prefix + name, one) for name, one in links if one not in met]
        met.update(one for _, one in links)


def _end_of(file: _Looking, messages: list[Message]) -> list[tuple[int, int]]:
    """Where an array ends that lies in one piece: what was written next begins there, mostly the
    small arrays of the same layer and what leads to them. A bias is as long as a row of its matrix.
    """
    dataset = read_dataset(file, messages)
    if dataset.storage != "contiguous":
        return []
    data = dataset.locate()
    end = data.start + data.size - file.span.start
    row = dataset.datatype.itemsize * dataset.shape[-1] if len(dataset.shape) > 1 else 1
    return [(end, min(row, MAX_ROW, file.span.size - end))] if end < file.span.size else []
