"""One input through the whole walk: open, read, find, measure, judge.

Comes in: a path, a live model, or a state dict, and what is asked of it. Goes out: a `FileAudit`,
or the error that prevented it. Promise: nothing is changed, and what could not be judged is in the
result with its reason.
"""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from . import formats
from .errors import AuditError, MalformedFile, UnknownFormat
from .facts import FileAudit, FileError, Finding, Row, facts_of, sort_skipped, units_of
from .formats import Checkpoint
from .inputs import STDIN, Input, spooled_stdin
from .interrupted import hot, interrupted
from .lstm.find import find_lstms
from .lstm.layer import Lstm
from .lstm.measure import measure, read_values
from .raw.source import FileSource
from .raw.span import Span, whole

if TYPE_CHECKING:
    from .policy.model import Policy

MAX_UNITS = 1 << 19
"""Bias elements of one file that are measured: 32 layers of H = 4096; a bounded run on a hostile
file.
"""

RECOGNISED = frozenset({"unsupported", "lfs-pointer"})
"""Kinds of error that say what a file is: it counts, also where nobody named it."""

MAX_SECONDS = 10.0
"""What a process of our own allows a file; the budgets of the readers end it within 2 s."""

FileResult = FileAudit | FileError | None


class Request(NamedTuple):
    """What is asked of every file: which layers, which policy's rules, whether numbers alone are
    wanted, and whether those of each unit are kept.

    `seconds` of computing end a file as a last resort (0: nothing does). It takes a signal, so only
    a process of our own asks for it, never a caller's.
    """

    layers: tuple[str, ...] = ()
    policy: "Policy | None" = None
    numbers_only: bool = False
    units: bool = False
    seconds: float = 0.0


EVERYTHING = Request()


def audit_input(given: Input, request: Request = EVERYTHING) -> FileResult:
    """One file: its audit, the error that prevented it, or None for a file in a folder that is no
    checkpoint.
    """
    if given.problem:
        return FileError(given.path, "io", given.problem)
    try:
        with deadline(request.seconds):
            return audit_file(given.path, request if given.named else _of_many(request))
    except AuditError as error:
        unknown = isinstance(error, (UnknownFormat, MalformedFile))
        if unknown and not given.expected and error.kind not in RECOGNISED:
            return None
        return FileError(given.path, error.kind, error.message, error.at)
    except (RecursionError, MemoryError, OutOfTime) as error:
        return FileError(
            given.path, "limit", f"it takes {EXCESS[type(error)]} than a checkpoint does"
        )


class OutOfTime(BaseException):
    """Raised by `deadline` wherever the reader happens to be; no `except` of a reader means it."""


EXCESS: Mapping[type[BaseException], str] = {
    RecursionError: "deeper nesting",
    MemoryError: "more memory",
    OutOfTime: "more time",
}


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """End what runs inside by `OutOfTime` after so much computing of this process (0: never)."""
    if not seconds:
        yield
        return

    def end(*_: object) -> NoReturn:
        raise OutOfTime

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class Opened(NamedTuple):
    """A checkpoint whose files are open; `sources` are the file itself and the shards that were
    needed.
    """

    checkpoint: Checkpoint
    sources: tuple[FileSource, ...]


@contextmanager
def opened(path: str, despite_journal: bool = False) -> Iterator[Opened]:
    """Read a checkpoint and keep its files open; raises an `AuditError` when that fails.

    A file with the journal of an interrupted patch is refused, unless it is the patch itself that
    reads it back.

    At the end the files are held against what they were at opening: numbers from a file that was
    being written to are numbers of no file.
    """
    with ExitStack() as stack:
        sources: list[FileSource] = []

        def open_span(name: str) -> Span:
            if hot(name) and not despite_journal:
                raise interrupted()
            readable = stack.enter_context(spooled_stdin()) if name == STDIN else name
            sources.append(stack.enter_context(FileSource(readable)))
            return whole(sources[-1])

        folder = os.path.dirname(path)
        checkpoint = formats.read(
            open_span(path), lambda name: open_span(os.path.join(folder, name))
        )
        yield Opened(checkpoint, tuple(sources))
        for source in sources:
            source.settle()


def _of_many(request: Request) -> Request:
    """What is asked of a file that nobody named: other checkpoints may stand beside the LSTM's in a
    folder.
    """
    if request.policy is None or not request.policy.require_lstm:
        return request
    return request._replace(policy=request.policy._replace(require_lstm=False))


def audit_file(path: str, request: Request = EVERYTHING) -> FileAudit:
    """One checkpoint; raises an `AuditError` when it cannot be read."""
    with opened(path) as file:
        size = sum(source.size for source in file.sources)
        return _judge(path, size, file.checkpoint, request)


def audit_object(target: object, request: Request) -> FileAudit:
    """A live model or a state dict."""
    from .formats.live import read_mapping, read_module

    checkpoint = read_mapping(target) if isinstance(target, Mapping) else read_module(target)
    return _judge(f"<{type(target).__name__}>", 0, checkpoint, request)


def _judge(path: str, size: int, checkpoint: Checkpoint, request: Request) -> FileAudit:
    """Find, measure, and hold against the rules: the part of the pipeline that knows no
    container.
    """
    found = find_lstms(checkpoint)
    lstms = [lstm for lstm in found.lstms if selected(lstm, request.layers)]
    _bound(lstms)
    values = [read_values(lstm) for lstm in lstms]
    measures = [measure(lstm, read) for lstm, read in zip(lstms, values, strict=True)]
    skipped = sort_skipped(found.skipped)
    if request.numbers_only:
        rows = tuple(map(Row, map(facts_of, lstms), measures))
        findings: tuple[Finding, ...] = ()
    else:
        from .judge import judged

        rows, findings = judged(path, checkpoint, found, lstms, values, measures, request.policy)
    if request.units:
        units = map(units_of, lstms, values)
        rows = tuple(row._replace(units=kept) for row, kept in zip(rows, units, strict=True))
    return FileAudit(path, checkpoint.format, size, rows, skipped, findings)


def _bound(lstms: Sequence[Lstm]) -> None:
    units = sum(4 * lstm.hidden_size for lstm in lstms)
    if units > MAX_UNITS:
        raise MalformedFile(
            f"{units} bias elements in one file; at most {MAX_UNITS} are measured", kind="limit"
        )


def selected(lstm: Lstm, layers: tuple[str, ...]) -> bool:
    """Whether one of the globs matches the LSTM's address or its module; no glob selects
    everything.
    """
    if not layers:
        return True
    from .policy.globs import layer_matches

    return layer_matches(lstm.module, lstm.address, layers)
