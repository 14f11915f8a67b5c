"""An audit into text: the table of reports.

Comes in: an `Audit` and a `Look`. Goes out: the whole text, ending in a newline unless it is empty.
Promise: the same audit and look give the same text, a report reads and writes no file, and adding
one is adding one module with one function.
"""

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ..facts import Audit, FileAudit
from ..registry import Registry, module_names
from ..tuples import NamedTuple

if TYPE_CHECKING:
    from ..statistics import Statistics


class Replacement(NamedTuple):
    """What a fix would do to a file: at byte `at` of `path` (None: the finding's own file), `new`
    instead of `old`.
    """

    at: int
    old: bytes
    new: bytes
    path: str | None = None


class Look(NamedTuple):
    """How a report is wanted: what the place that shows it can show, and what a report cannot know
    by itself.

    `width` in columns of a terminal; `color`: it understands SGR sequences; `ascii`: its encoding
    holds nothing else. `quiet` leaves out notes, advice and the names of what was skipped; rows,
    errors, warnings and the summary stay. `fail_on` is the mildest severity that fails a run
    (`never`: none does). Paths are said relative to `root` (empty: the working directory) where a
    report is about a repository. `edits` maps a finding's fingerprint to the bytes that its fix
    would replace; without an entry the fix is only told as a command. `verbose` shows every LSTM
    and every finding, however many; `statistics` none of them, but their counts. `worst` is how
    many files a report of many lists by name. `closing` is the verdict of the run, in a line,
    `command` what was run, and `bounds` are the least and the most forget bias that the policy
    allows. `rows` are the LSTMs of a file that the table shows, the first and the last ones, and
    the cards of a page (0: as many as the report has room for).
    """

    width: int = 80
    color: bool = False
    quiet: bool = False
    ascii: bool = False
    fail_on: str = "error"
    root: str = ""
    edits: Mapping[str, Sequence[Replacement]] = {}  # a default that nothing writes to
    verbose: bool = False
    statistics: bool = False
    worst: int = 12
    closing: str = ""
    command: str = ""
    bounds: tuple[float, float] = (-math.inf, math.inf)
    rows: int = 0


Report = Callable[[Audit, Look], str]

Digest = Callable[["Statistics", Look], str]

# The modules beside the formats, which serve them all.
SHARED = ("columns", "listings", "overview", "remedies", "terminal", "words")


class Reports(Registry[Report]):
    """The formats: each is the function that a module of this package registers under the module's
    own name.

    So the names are known, and one format can be fetched, without importing the others: start-up
    time is a feature.
    """

    def __getitem__(self, name: str) -> Report:
        if name not in self._entries and name in iter(self):
            importlib.import_module(f"{__name__}.{name}")
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in module_names(__path__) if name not in SHARED)

    def values(self) -> list[Report]:
        """Every format, in the order of the names."""
        return [self[name] for name in self]


REPORTS = Reports(__name__)


def report(name: str) -> Callable[[Report], Report]:
    """The decorator by which a module of this package registers its format, under the module's own
    name.
    """
    return REPORTS.named(name)


class Streamed(NamedTuple):
    """A format of rows that can be written while they come: what stands above them, and the rows of
    one checkpoint.
    """

    head: str
    body: Callable[[FileAudit], str]


# The formats that can be written so, once the module of each is imported.
STREAMS: dict[str, Streamed] = {}


def stream_of(name: str) -> Streamed | None:
    """How a format is written while rows come; None where it needs them all."""
    REPORTS[name]  # imports its module
    return STREAMS.get(name)


# The formats that can show `Statistics`, once the module of each is imported.
DIGESTS: dict[str, Digest] = {}


def register_digest(name: str) -> Callable[[Digest], Digest]:
    """The decorator by which the module of a format registers how it shows the statistics of a run
    of any size.
    """

    def register(function: Digest) -> Digest:
        DIGESTS[name] = function
        return function

    return register


def digest_of(name: str) -> Digest | None:
    """How a format shows statistics; None where it does not."""
    REPORTS[name]  # imports its module
    return DIGESTS.get(name)
