"""One input through the whole walk: open, read, find, measure, judge.

Comes in: a path, a live model, or a state dict, and what is asked of it. Goes out: a `FileAudit`,
or the error that prevented it. Promise: nothing is changed, and what could not be judged is in the
result with its reason.
"""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NoReturn

from . import formats
from .errors import AuditError, MalformedFile, NotPatchable, UnknownFormat
from .facts import FileAudit, FileError, Finding, Row, Stamp, facts_of, sort_skipped, units_of
from .formats import Beside, Checkpoint, MemberPart
from .inputs import Input, sibling, split_locator
from .interrupted import refuse_interrupted
from .lstm.find import Found, find_lstms
from .lstm.layer import Lstm
from .lstm.measure import announce, measure, read_values
from .policy.globs import matches, matches_module
from .raw.budget import Budget
from .raw.locators import is_remote, label
from .raw.source import OpenSource, open_source
from .raw.span import Span, span_all
from .tuples import NamedTuple

if TYPE_CHECKING:
    from .policy.model import Policy

# Bias elements of one file that are measured: 32 layers of H = 4096; a bounded run on a hostile
# file.
MAX_UNITS = 1 << 19

# Kinds of error that say what a file is: it counts, also where nobody named it.
RECOGNISED = frozenset({"unsupported", "lfs-pointer"})

# What a process of our own allows a file; the budgets of the readers end it within 2 s.
MAX_SECONDS = 10.0

# What comes of one input: one for a checkpoint, one a checkpoint of an archive, none for a file in
# a folder that is no checkpoint.
Results = tuple[FileAudit | FileError, ...]


class Request(NamedTuple):
    """What is asked of every file: which layers, which policy's rules, whether numbers alone are
    wanted, and whether those of each unit are kept.

    `download`: see `opened`. `seconds` of computing end a file as a last resort (0: nothing does).
    It takes a signal, so only
    a process of our own asks for it, never a caller's.
    """

    layers: tuple[str, ...] = ()
    policy: "Policy | None" = None
    numbers_only: bool = False
    units: bool = False
    seconds: float = 0.0
    download: bool = False


EVERYTHING = Request()


def audit_input(given: Input, request: Request = EVERYTHING) -> Results:
    """The audits of one file, or the error that prevented them; see `Results`."""
    name = label(given.path)
    if given.problem:
        return (FileError(name, "io", given.problem),)
    try:
        with deadline(request.seconds):
            return _audit_parts(given.path, request if given.named else _of_many(request))
    except AuditError as error:
        unknown = isinstance(error, (UnknownFormat, MalformedFile))
        if unknown and not given.expected and error.kind not in RECOGNISED:
            return ()
        return (FileError(name, error.kind, error.message, error.at),)
    except (RecursionError, MemoryError, OutOfTime) as error:
        message = f"it takes {EXCESS[type(error)]} than a checkpoint does"
        return (FileError(name, "limit", message),)


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


def beside(path: str, name: str) -> str:
    """The path of a file in the folder of another; see `formats.Beside`."""
    if name.startswith("*"):
        own = os.path.basename(path.partition("?")[0] if is_remote(path) else path)
        name = os.path.splitext(own)[0] + name[1:]
    return sibling(path, name)


class Opened(NamedTuple):
    """An input whose files are open: its one checkpoint, or those of an archive; `sources` are the
    file itself and those beside it, as they come to be needed; `warnings`, see `FileAudit`.
    """

    parts: Sequence[MemberPart]
    sources: list[OpenSource]
    warnings: list[str]

    @property
    def checkpoint(self) -> Checkpoint:
        """The only checkpoint; raises `NotPatchable` where there are several, naming them."""
        if len(self.parts) != 1:
            names = ", ".join(part.inside for part in self.parts)
            message = f"it holds several checkpoints, name one as FILE!{names}"
            raise NotPatchable(message, kind="several")
        (part,) = self.parts
        if isinstance(part.checkpoint, AuditError):
            raise part.checkpoint
        return part.checkpoint


@contextmanager
def open_checkpoint(
    path: str, despite_journal: bool = False, download: bool = False
) -> Iterator[Opened]:
    """Read a checkpoint and keep its files open; raises an `AuditError` when that fails.

    `path` may name a checkpoint inside an archive: `agent.zip!policy.pth`. `download`: what a
    server does not serve by ranges is read whole, into a temporary file.

    A file with the journal of an interrupted patch is refused, unless it is the patch itself that
    reads it back.

    At the end the files are held against what they were at opening: numbers from a file that was
    being written to are numbers of no file.
    """
    with ExitStack() as stack:
        sources: list[OpenSource] = []
        warnings: list[str] = []
        budget = Budget()
        stack.enter_context(_add_to_errors(warnings))

        def open_span(name: str) -> Span:
            if not despite_journal:
                warnings.extend(refuse_interrupted(name))
            sources.append(stack.enter_context(open_source(name, budget, download)))
            return span_all(sources[-1])

        file, inside = split_locator(path)
        span = open_span(file)
        parts = _read(span, lambda name: open_span(beside(file, name)), inside)
        yield Opened(parts, sources, warnings)
        for source in sources:
            source.settle()


@contextmanager
def _add_to_errors(warnings: Sequence[str]) -> Iterator[None]:
    """An error that prevents the result says what the result would have warned of."""
    try:
        yield
    except AuditError as error:
        error.message = "; ".join([error.message, *warnings])
        raise


def checkpoints_in(path: str) -> list[str]:
    """The locators of the checkpoints that an archive holds: `agent.zip!policy.pth`."""
    with open_checkpoint(path) as file:
        return [f"{path}!{part.inside}" for part in file.parts]


def _read(span: Span, beside: Beside, inside: str) -> Sequence[MemberPart]:
    """The checkpoint, or what an archive holds under `inside`."""
    try:
        checkpoint = formats.read_checkpoint(span, beside)
        if not inside and not checkpoint.files:  # nearly all
            return (MemberPart("", checkpoint),)
        from .formats.archive import find_parts  # 2 ms, with tar and gzip

        found = find_parts(checkpoint)
    except UnknownFormat as error:
        from .formats.archive import is_archive, parts  # 2 ms, with tar and gzip

        if error.kind != "unknown-format" or not is_archive(span):
            raise
        found = parts(span, span.source.name)
    chosen = [part for part in found if not inside or part.inside == inside]
    if not chosen:
        names = ", ".join(part.inside for part in found[:5]) or "none"
        what = f"no checkpoint {inside!r}; those inside" if inside else "no checkpoint; inside"
        raise UnknownFormat(f"an archive that holds {what}: {names}")
    return chosen


def _of_many(request: Request) -> Request:
    """What is asked of a file that nobody named: other checkpoints may stand beside the LSTM's in a
    folder.
    """
    if request.policy is None or not request.policy.require_lstm:
        return request
    return request._replace(policy=request.policy.having("require-lstm", False))


def audit_file(path: str, request: Request = EVERYTHING) -> FileAudit:
    """A file's one checkpoint; raises an `AuditError` when it cannot be read, or has several."""
    with open_checkpoint(path, download=request.download) as file:
        return _judge(path, file, file.checkpoint, request)


def _audit_parts(path: str, request: Request) -> Results:
    """Each of a file's checkpoints; raises an `AuditError` when it cannot be read at all."""
    with open_checkpoint(path, download=request.download) as file:
        named = label(path)
        return tuple(_audit_part(named, file, part, request) for part in file.parts)


def _audit_part(
    path: str, file: Opened, part: MemberPart, request: Request
) -> FileAudit | FileError:
    """One checkpoint of a file; inside an archive, what is wrong with it is its own matter."""
    if not part.inside:
        assert isinstance(part.checkpoint, Checkpoint)
        return _judge(path, file, part.checkpoint, request)
    locator = path if path.endswith(f"!{part.inside}") else f"{path}!{part.inside}"
    try:
        if isinstance(part.checkpoint, AuditError):
            raise part.checkpoint
        found = _judge(locator, file, part.checkpoint, _of_many(request))
        return found._replace(format="archive")
    except AuditError as error:
        return FileError(locator, error.kind, error.message, error.at)


def audit_object(target: object, request: Request) -> FileAudit:
    """A live model or a state dict."""
    from .formats.keras.live import is_keras, read_model  # 16 ms that only live models need
    from .formats.live import read_mapping, read_module  # 1 ms, likewise

    if isinstance(target, Mapping):
        checkpoint = read_mapping(target)
    else:  # a model of Keras may be a torch module too
        checkpoint = read_model(target) if is_keras(target) else read_module(target)
    return _judge(f"<{type(target).__name__}>", Opened((), [], []), checkpoint, request)


def _judge(path: str, file: Opened, checkpoint: Checkpoint, request: Request) -> FileAudit:
    """Find, measure, and hold against the rules: the part of the pipeline that knows no
    container.
    """
    sources = file.sources
    policy = request.policy
    everything = find_lstms(checkpoint, policy.conventions if policy is not None else ())
    found = _within(everything, request.layers)
    lstms = [lstm for lstm in found.lstms if selected(lstm, request.layers)]
    _bound(lstms)
    if any(source.far for source in sources):
        announce(lstms)
    values = [read_values(lstm) for lstm in lstms]
    measures = [measure(lstm, read) for lstm, read in zip(lstms, values, strict=True)]
    skipped = sort_skipped(found.skipped)
    if request.numbers_only:
        rows = tuple(map(Row, map(facts_of, lstms), measures))
        findings: tuple[Finding, ...] = ()
    else:
        from .judge import judge_file  # rules and forensics, 8 ms that numbers alone spare

        rows, findings = judge_file(
            path, checkpoint, found, lstms, values, measures, request.policy
        )
    if request.units:
        units = map(units_of, lstms, values)
        rows = tuple(row._replace(units=kept) for row, kept in zip(rows, units, strict=True))
    left_out = _left_out(everything, found, request.layers)
    size = sum(source.size for source in sources)  # some were opened for the values alone
    counters = checkpoint.counters
    several = sources if len(sources) > 1 else ()
    stamps = tuple(Stamp(source.name, *source.stamp) for source in several)
    form = checkpoint.format
    return FileAudit(
        path, form, size, rows, skipped, findings, left_out, counters, stamps, tuple(file.warnings)
    )


def _left_out(everything: Found, found: Found, layers: tuple[str, ...]) -> tuple[str, ...]:
    """How what lies outside of the layers is called: a pattern may be meant for it."""
    if not layers:
        return ()
    others = [lstm for lstm in everything.lstms if not selected(lstm, layers)]
    names = [one.address for lstm in others for one in (lstm.identity, *lstm.tied)]
    kept = {skip.module for skip in found.skipped}
    names += [skip.module for skip in everything.skipped if skip.module not in kept]
    return tuple(dict.fromkeys(names))


def _within(found: Found, layers: tuple[str, ...]) -> Found:
    """What was found, without what lies outside of the layers that are asked for."""
    if not layers:
        return found
    return found._replace(
        skipped=tuple(s for s in found.skipped if matches_module(s.module, layers)),
        lookalikes=tuple(c for c in found.lookalikes if matches_module(c.module, layers)),
    )


def _bound(lstms: Sequence[Lstm]) -> None:
    units = sum(4 * lstm.hidden_size for lstm in lstms)
    if units > MAX_UNITS:
        raise MalformedFile(
            f"{units} bias elements in one file; at most {MAX_UNITS} are measured", kind="limit"
        )


def selected(lstm: Lstm, layers: tuple[str, ...]) -> bool:
    """Whether one of the globs matches a name of the LSTM; no glob selects everything."""
    return not layers or matches(lstm.names, layers)
