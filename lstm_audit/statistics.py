"""What many files come to: counts by rule, initialiser and format, a histogram, the worst files.

Comes in: results, one file after the other. Goes out: `Statistics`, plain facts that any report can
render. Promise: what is kept does not grow with the number of files, and neither their order nor
how they were split over runs changes a count.
"""

import math
from collections.abc import Iterable, Iterator
from heapq import heappush, heappushpop
from typing import Annotated

from .facts import (
    SEVERITIES,
    Audit,
    Code,
    Count,
    Counts,
    ErrorKind,
    FileAudit,
    FileError,
    Severity,
    Tool,
    Totals,
    Word,
)
from .lstm.forensics.schemes import short
from .tuples import NamedTuple

SCHEMA = "lstm-audit/statistics/1"

# Files that are kept whole: those with the most errors, then warnings, then infos.
WORST = 100

# Equal bins of [0, 1] that the LSTMs' mean forget activations are counted in.
BINS = 20

# Names of initialisers that are told apart: they hold a number, of which a file could have any.
MOST_INITS = 10_000

OTHER = "others"


class RuleCount(NamedTuple):
    """How often a rule spoke, in how many files, and the range of what it measured."""

    code: Code
    name: Word
    severity: Severity
    files: Count
    findings: Count
    least: float | None
    most: float | None


class InitCount(NamedTuple):
    """How many LSTMs an initialiser made, in how many files, and the range of their mean forget
    activations (NaN where none is a number).
    """

    init: str
    files: Count
    lstms: Count
    least: float
    most: float


class FormatCount(NamedTuple):
    """How many files have a format, with how many LSTMs, and their size on disk together."""

    format: Word
    files: Count
    lstms: Count
    bytes: Count


class ErrorCount(NamedTuple):
    """How many inputs could not be read for one kind of reason, and the first of them."""

    kind: ErrorKind
    files: Count
    first: FileError


class Statistics(NamedTuple):
    """A run of any size in numbers.

    `rules` has the most severe first, `inits` and `formats` the most frequent. `activation` counts
    the LSTMs by the mean activation of their forget gate, in `BINS` equal bins of [0, 1]; those
    without a number are in none. `worst` are the files with the most severe findings, at most
    `WORST`, the worst first; a file without a finding is none of them.
    """

    summary: Totals
    rules: tuple[RuleCount, ...] = ()
    inits: tuple[InitCount, ...] = ()
    formats: tuple[FormatCount, ...] = ()
    activation: tuple[int, ...] = (0,) * BINS
    errors: tuple[ErrorCount, ...] = ()
    worst: tuple[FileAudit, ...] = ()


class StatisticsDocument(NamedTuple):
    """The document `lstm-audit/statistics/1`."""

    schema: Annotated[str, ("const", SCHEMA)]
    tool: Tool
    statistics: Statistics


# A range and two counts are all that can be told of a number without keeping it, and without an
# order of the files changing the answer: means of sums would differ in their last digit with the
# order in which workers return.
class Extent:
    """Counts of one kind, and the range of the numbers that were seen with it."""

    __slots__ = ("files", "least", "most", "times")

    def __init__(self) -> None:
        self.files = self.times = 0
        self.least, self.most = math.inf, -math.inf

    def add(self, values: Iterable[float | None]) -> None:
        """What one file has of the kind; None and NaN are counted, but have no place."""
        self.files += 1
        for value in values:
            self.times += 1
            if value is not None and value == value:
                self.least, self.most = min(self.least, value), max(self.most, value)

    @property
    def range(self) -> tuple[float, float] | None:
        """The least and the most; None where there was no number."""
        return None if self.least > self.most else (self.least, self.most)


# Everything here is bounded by the number of rules, formats and initialisers, not of files: a run
# of ten million files keeps what one of ten keeps. Initialisers could have a name a file (constant
# 1.0001, ...), so beyond MOST_INITS new names count as others.
class Tally:
    """Statistics in the making: `add` one result after the other, then `finish`."""

    def __init__(self) -> None:
        self._files = self._unreadable = self._ignored = self._skipped = 0
        self._rules: dict[tuple[str, str, str], Extent] = {}
        self._inits: dict[str, Extent] = {}
        self._formats: dict[str, list[int]] = {}
        self._bins = [0] * BINS
        self._errors: dict[str, tuple[int, FileError]] = {}
        self._worst: list[tuple[list[int], int, FileAudit]] = []

    def add(self, results: Iterable[FileAudit | FileError]) -> None:
        """Everything that came of one input; nothing did where it is no checkpoint."""
        some = False
        for result in results:
            some = True
            if isinstance(result, FileError):
                self._add_error(result)
            else:
                self._add_file(result)
        self._ignored += not some

    def _add_error(self, error: FileError) -> None:
        self._unreadable += 1
        count, first = self._errors.get(error.kind, (0, error))
        self._errors[error.kind] = count + 1, first

    def _add_file(self, file: FileAudit) -> None:
        self._files += 1
        self._skipped += len(file.skipped)
        known = self._formats.setdefault(file.format, [0, 0, 0])
        for k, more in enumerate((1, len(file.rows), file.bytes)):
            known[k] += more
        self._add_rules(file)
        self._add_rows(file)
        self._keep_if_bad(file)

    def _add_rules(self, file: FileAudit) -> None:
        seen: dict[tuple[str, str, str], list[float | None]] = {}
        for f in file.findings:
            number = f.measured if isinstance(f.measured, (int, float)) else None
            seen.setdefault((f.severity, f.code, f.name), []).append(number)
        for key, values in seen.items():
            self._rules.setdefault(key, Extent()).add(values)

    def _add_rows(self, file: FileAudit) -> None:
        seen: dict[str, list[float | None]] = {}
        for row in file.rows:
            mean = row.measures.activation.mean
            seen.setdefault(self._name_of(row.init and short(row.init)), []).append(mean)
            if mean == mean:
                self._bins[min(int(mean * BINS), BINS - 1)] += 1
        for name, means in seen.items():
            self._inits.setdefault(name, Extent()).add(means)

    def _name_of(self, init: str | None) -> str:
        name = init or "not told"
        return name if name in self._inits or len(self._inits) < MOST_INITS else OTHER

    def _keep_if_bad(self, file: FileAudit) -> None:
        """A heap whose least element is the mildest of the worst; of equals the first stays."""
        badness = severities_of(file)
        if not any(badness):
            return
        entry = (
            badness,
            -self._files,
            file._replace(rows=tuple(row._replace(units=None) for row in file.rows)),
        )
        if len(self._worst) < WORST:
            heappush(self._worst, entry)
        else:
            heappushpop(self._worst, entry)

    def finish(self) -> Statistics:
        """What was added so far."""
        return Statistics(
            summary=self._totals(),
            rules=tuple(self._rule_counts()),
            inits=tuple(sorted(self._init_counts(), key=lambda c: (-c.lstms, c.init))),
            formats=tuple(sorted(self._format_counts(), key=lambda c: (-c.files, c.format))),
            activation=tuple(self._bins),
            errors=tuple(
                ErrorCount(kind, count, first)
                for kind, (count, first) in sorted(self._errors.items())
            ),
            worst=tuple(file for _, _, file in sorted(self._worst, reverse=True)),
        )

    def _totals(self) -> Totals:
        found = [
            sum(kind.times for (severity, _, _), kind in self._rules.items() if severity == said)
            for said in SEVERITIES
        ]
        return Totals(
            files=self._files,
            unreadable=self._unreadable,
            ignored=self._ignored,
            lstms=sum(lstms for _, lstms, _ in self._formats.values()),
            skipped=self._skipped,
            findings=Counts._make(found),
        )

    def _rule_counts(self) -> Iterator[RuleCount]:
        by_rank = sorted(self._rules, key=lambda key: (SEVERITIES.index(key[0]), key[1:]))
        for severity, code, name in by_rank:
            kind = self._rules[severity, code, name]
            least, most = kind.range or (None, None)
            yield RuleCount(code, name, severity, kind.files, kind.times, least, most)

    def _init_counts(self) -> Iterator[InitCount]:
        for name, kind in self._inits.items():
            yield InitCount(name, kind.files, kind.times, *(kind.range or (math.nan, math.nan)))

    def _format_counts(self) -> Iterator[FormatCount]:
        for name, (files, lstms, size) in self._formats.items():
            yield FormatCount(name, files, lstms, size)


def severities_of(file: FileAudit) -> list[int]:
    """How many findings a file has of each severity, the most severe first."""
    return [sum(f.severity == severity for f in file.findings) for severity in SEVERITIES]


def count(audit: Audit) -> Statistics:
    """The statistics of an audit that is there whole."""
    tally = Tally()
    for file in audit.files:
        tally.add((file,))
    for error in audit.errors:
        tally.add((error,))
    found = tally.finish()
    return found._replace(summary=found.summary._replace(ignored=audit.ignored))
