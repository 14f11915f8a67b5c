"""Files that lie elsewhere: on the web, in an object store, on a hub.

Comes in: a locator such as `s3://bucket/model.pt`. Goes out: a `RemoteSource`, and the files that a
locator with a wildcard or a folder means. Promise: only ranges are asked for, what is asked for
together is fetched together, and no credential of a locator reaches a message.

The plan of reads: the first request brings the head, which of a small model is the whole file; a
read near the end brings the tail, where zips have their directory; what the readers announce
(`prefetch`) comes at once, neighbours in one request. So a checkpoint of any size takes three
round trips: head, tail, biases.
"""

import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Self

from ..errors import NotPatchable, Unreadable
from ..tuples import NamedTuple
from .attempts import attempt
from .budget import Budget
from .source import FileSource
from .stores import PAIR, WEB, Facts, ListRefused, file_system, open_store, save, version_of
from .web import NO_RANGES, Place

# Bytes of a block: what is announced is fetched in whole ones.
BLOCK = 1 << 12

# Bytes that come with the first request, and with a read near the end: a header of 300 tensors, a
# directory of 600. They cost less than another round trip. The block behind the first 64 KiB is the
# last one where the signature of HDF5 may stand, which every other file is asked for too.
TAIL = 1 << 16
HEAD = TAIL + BLOCK

# Bytes that are fetched from a place that nobody announced: the next ones are mostly asked for
# next.
AHEAD = 1 << 15

# Bytes before such a place that come along: HDF5 writes a bias, then what leads to the next.
BEHIND = 1 << 14

# Bytes between two places that are fetched with them: cheaper than one more request.
MAX_GAP = 1 << 15

# The same between the structures of a file where a request brings one range alone: a matrix of 64
# units or more, as long as the whole file takes no more than `ENOUGH`.
MAX_BRIDGE, ENOUGH = 1 << 17, 456 << 10

# Blocks of one file that are kept: 8 MiB.
MAX_CACHED = 1 << 11


class There(NamedTuple):
    """A file that a folder or a wildcard means, with what the listing says of it already."""

    locator: str
    facts: Facts | None


def find(locator: str) -> list[There] | None:
    """The files that a locator means: of a wildcard or a folder all below it, else None: itself."""
    scheme = locator.partition("://")[0]
    wild = any(sign in locator.partition("?")[0] for sign in "*[")
    if scheme in WEB and not wild:
        return None  # a web server has no folders
    files, path = file_system(locator)
    if wild:
        found = attempt(lambda: files.glob(path, detail=True))
    elif attempt(lambda: files.isdir(path)):
        found = attempt(lambda: files.find(path, detail=True))
    else:
        return None
    there = (
        There(_name_as(scheme, files, name), _facts_of(info))
        for name, info in found.items()
        if info.get("type") != "directory"
    )
    return sorted(there)


def _name_as(scheme: str, files: Any, name: str) -> str:
    """The locator of a file under the scheme that was asked for; some stores have several."""
    named: str = files.unstrip_protocol(name)
    own, _, rest = named.partition("://")
    return f"{scheme}://{rest}" if {own, scheme} <= _schemes_of(files) else named


def _schemes_of(files: Any) -> set[str]:
    said = files.protocol
    return {said} if isinstance(said, str) else set(said)


def _facts_of(info: dict[str, Any]) -> Facts | None:
    size, version = info.get("size"), version_of(info)
    return Facts(size, version) if isinstance(size, int) and version else None


def look_up(locator: str) -> Facts:
    """Size and version of a file, for as few of its bytes as its store gives them."""
    store = open_store(locator)
    return attempt(lambda: store.look(1))[0]


def open_remote(
    locator: str, name: str, budget: Budget | None = None, download: bool = False
) -> "RemoteSource | Downloaded":
    """A file by ranges; the whole of it where the server serves none and `download` was asked
    for.
    """
    try:
        return RemoteSource(locator, name, budget)
    except Unreadable as error:
        if not download or not error.message.startswith(NO_RANGES):
            raise
    return Downloaded(locator, name, budget)


class RemoteSource:
    """A file read by ranges, in blocks that are kept; raises `Unreadable` for what the other side
    refuses, cuts short, or changes meanwhile. `name` is the locator without what may be secret.
    """

    placed = False

    def __init__(self, locator: str, name: str, budget: Budget | None = None) -> None:
        self.name = name
        self.budget = budget or Budget()
        self._store = open_store(locator)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._came = 0  # bytes
        self.facts, head = attempt(lambda: self._store.look(HEAD))
        self.size = self.facts.size
        # A small file came with its head: nothing of it is far any more, and nothing is planned.
        self._whole = head if len(head) == self.size else b""
        self.far = not self._whole
        if self.far:
            self._keep(0, head)

    def read(self, at: int, n: int) -> bytes:
        """Exactly `n` bytes from `at`."""
        self.budget.load(n)
        if n <= 0 or self._whole:
            return self._whole[at : at + max(n, 0)]
        first, last = at // BLOCK, (at + n - 1) // BLOCK
        with self._lock:
            if any(k not in self._blocks for k in range(first, last + 1)):
                self._fetch([self._place_around(at, n)], most=last - first + 1 + MAX_CACHED)
            data = b"".join(self._blocks[k] for k in range(first, last + 1))
            self._forget()
        return data[at - first * BLOCK : at - first * BLOCK + n]

    def holds(self, at: int, n: int) -> bool:
        """Whether these bytes were fetched already, and are kept."""
        blocks = range(at // BLOCK, -(-min(at + n, self.size) // BLOCK))
        return all(k in self._blocks for k in blocks)

    def prefetch(self, ranges: Iterable[tuple[int, int]], more: bool = False) -> None:
        """Fetch these (place, length) together, as far as they can be kept; `more` will follow."""
        places = [(at, min(at + n, self.size)) for at, n in ranges if n > 0 and at < self.size]
        with self._lock:
            self._fetch(places, more=more)

    def _place_around(self, at: int, n: int) -> Place:
        """What is fetched for a read that nobody announced."""
        if at + n > self.size - TAIL:
            return min(at, max(0, self.size - TAIL)), self.size
        return max(0, at - BEHIND), min(max(at + n, at + AHEAD), self.size)

    @property
    def stamp(self) -> tuple[int, str]:
        """Size and version, as they were at opening."""
        return self.facts

    def settle(self) -> None:
        """Raise `Unreadable` (kind `changed`) if the file is another one than at opening."""
        if self._store.is_held:
            return
        facts, _ = attempt(lambda: self._store.look(1))
        if facts != self.facts:
            raise Unreadable("the file changed while it was being read; try again", kind="changed")

    def close(self) -> None:
        """Forget what was kept."""
        self._blocks.clear()
        self._whole = b""

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """There is none that a patch could hold on to; raises `NotPatchable`."""
        raise NotPatchable("a file that lies elsewhere is not patched: download it")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _fetch(self, places: Sequence[Place], most: int = MAX_CACHED, more: bool = False) -> None:
        """Make sure of the blocks of these places, `most` of them; what is missing comes in one
        batch.
        """
        wanted = {k for start, stop in places for k in range(start // BLOCK, -(-stop // BLOCK))}
        missing = sorted(wanted - self._blocks.keys())[:most]
        if missing:
            left = _join_blocks(missing, self.size)
            attempt(lambda: self._fetch_planned(left, more))

    def _fetch_planned(self, left: list[Place], more: bool) -> None:
        """Fetch what is left, neighbours bridged where that spares requests."""
        if more:
            left[:] = self._join_near(left)
        try:
            self._fetch_left(left, more)
        except ListRefused:
            self._came += AHEAD  # for what is to come as well: a request was for nothing
            left[:] = self._join_near(left)
            self._fetch_left(left, more)

    def _join_near(self, left: list[Place]) -> list[Place]:
        """Structures of a file, the nearest joined, unless one request brings them all apart."""
        joined = _bridge(left, ENOUGH - self._came)
        return left if self._store.takes_lists and len(joined) > PAIR else joined

    def _fetch_left(self, left: list[Place], more: bool) -> None:
        """Fetch what is still left, and take it off the list; raises the first error that came."""
        wanted = list(left)
        failures = []
        for place, data in zip(wanted, self._store.fetch(wanted, more), strict=True):
            if isinstance(data, Exception):
                failures.append(data)
            else:
                self._keep(place[0], data)
                left.remove(place)
        if failures:
            raise failures[0]

    def _keep(self, start: int, data: bytes) -> None:
        """Cut into blocks what begins at one; the last is whole only where the file ends."""
        self._came += len(data)
        for at in range(0, len(data), BLOCK):
            block = data[at : at + BLOCK]
            if len(block) == BLOCK or start + at + len(block) == self.size:
                self._blocks[(start + at) // BLOCK] = block

    def _forget(self) -> None:
        while len(self._blocks) > MAX_CACHED:
            self._blocks.popitem(last=False)


class Downloaded(FileSource):
    """The whole of a file that is served in no other way, in a temporary file that has no name any
    more. It is no place that could be patched.
    """

    placed = False

    def __init__(self, locator: str, name: str, budget: Budget | None = None) -> None:
        with tempfile.TemporaryFile() as file:
            attempt(lambda: save(locator, file))
            super().__init__(f"/dev/fd/{file.fileno()}", budget)
        self.name = name

    @property
    def stamp(self) -> tuple[int, str]:
        """The size; a version is not known of it."""
        return self.size, ""

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """There is none that a patch could hold on to; raises `NotPatchable`."""
        raise NotPatchable("a file that lies elsewhere is not patched: download it")


def _join_blocks(blocks: Sequence[int], size: int) -> list[Place]:
    """The places of sorted blocks, neighbours and small gaps between them in one."""
    cuts = [k for k, (a, b) in enumerate(pairwise(blocks), 1) if (b - a - 1) * BLOCK > MAX_GAP]
    runs = [blocks[a:b] for a, b in pairwise([0, *cuts, len(blocks)])]
    return [(run[0] * BLOCK, min((run[-1] + 1) * BLOCK, size)) for run in runs]


def _bridge(places: Sequence[Place], room: int) -> list[Place]:
    """Sorted places, the nearest of them joined as long as all together have room."""
    joined = list(places)
    room -= sum(stop - start for start, stop in places)
    while len(joined) > 1:
        gap, k = min((b[0] - a[1], k) for k, (a, b) in enumerate(pairwise(joined)))
        if gap > min(room, MAX_BRIDGE):
            break
        joined[k : k + 2] = [(joined[k][0], joined[k + 1][1])]
        room -= gap
    return joined
