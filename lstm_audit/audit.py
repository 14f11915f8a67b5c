"""The whole pipeline, in the order it runs: open, read, find, measure.

Comes in: paths, a live model, or a state dict. Goes out: an `Audit`. Promise: nothing is changed, one broken file
never hides another, and what could not be judged is in the result with its reason.
"""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from . import formats
from .errors import AuditError, MalformedFile, UnknownFormat
from .finding import Audit, FileAudit, FileError, Row, sort_skipped
from .formats import Checkpoint
from .inputs import STDIN, Input, expand, spooled_stdin
from .interrupted import hot, interrupted
from .lstm.find import find_lstms
from .lstm.layer import Lstm
from .lstm.measure import measure, read_values
from .span import FileSource, Span, whole

if TYPE_CHECKING:
    from .policy.model import Policy

MAX_UNITS = 1 << 19
"""Bias elements of one file that are measured: 32 layers of H = 4096; a bounded run on a hostile file."""

FILES_A_COLLECTION = 16
"""Files after which the collector looks at what they left: only a hostile one leaves more than a few kilobytes."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all) after every file."""

Target = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Any] | Any
FileResult = FileAudit | FileError | None


class Request(NamedTuple):
    """What is asked of every file: which layers, which policy's rules, and whether numbers alone are wanted."""

    layers: tuple[str, ...] = ()
    policy: "Policy | None" = None
    numbers_only: bool = False


EVERYTHING = Request()


def audit(
    target: Target,
    *,
    layers: Iterable[str] = (),
    policy: "Policy | None" = None,
    numbers_only: bool = False,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Audit:
    """Audit checkpoints, or a live object.

    `target` is a path (file, folder or glob), a list of paths, a `torch.nn.Module`, or a state dict of torch tensors
    or numpy arrays. `layers` are globs over addresses (`encoder.lstm:l0:reverse`) or modules; an LSTM that matches
    none of them is left out. `policy` says which rules are on, and with which bounds (None: the defaults);
    `numbers_only` leaves out forensics and rules. `jobs` processes share the files (0: one a core). Nothing is
    executed and nothing is written.

    Raises `BadPolicy` when a path does not exist, `UnknownFormat` for an object that holds no tensors. A file that
    cannot be read is no exception but an entry of `Audit.errors`.
    """
    request = Request(tuple(layers), policy, numbers_only)
    if isinstance(target, (str, bytes, os.PathLike)):
        target = [target]
    if isinstance(target, Sequence):
        return audit_paths([_path(path) for path in target], request, jobs, progress)
    return Audit((_audit_object(target, request),))


def _path(target: object) -> str:
    if isinstance(target, (str, bytes, os.PathLike)):
        return os.fsdecode(target)
    raise UnknownFormat(f"a list of paths was expected, with a {type(target).__name__} in it: audit objects one by one")


def audit_paths(
    paths: Sequence[str], request: Request = EVERYTHING, jobs: int = 1, progress: Progress | None = None
) -> Audit:
    """The files that the paths mean, audited; see `audit`."""
    inputs = expand(paths)
    results: list[FileResult] = []
    for result in _each(inputs, request, jobs or os.cpu_count() or 1):
        results.append(result)
        if progress is not None:
            progress(len(results), len(inputs))
    return Audit(
        files=tuple(result for result in results if isinstance(result, FileAudit)),
        errors=tuple(result for result in results if isinstance(result, FileError)),
        ignored=sum(result is None for result in results),
    )


def _each(inputs: Sequence[Input], request: Request, jobs: int) -> Iterator[FileResult]:
    """Every input's result, in order; processes only pay when there are many files."""
    if jobs <= 1 or len(inputs) < 2:
        yield from _one_by_one(inputs, request)
        return
    from concurrent.futures import ProcessPoolExecutor
    from functools import partial
    from multiprocessing import get_context

    with ProcessPoolExecutor(min(jobs, len(inputs)), get_context("forkserver" if os.name == "posix" else None)) as pool:
        with _interrupts_held():
            results = pool.map(
                partial(audit_input, request=request), inputs, chunksize=max(1, len(inputs) // (jobs * 8))
            )
        yield from results


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C is for this process alone: workers that start meanwhile inherit the mask, and print no traceback."""
    import signal

    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _one_by_one(inputs: Sequence[Input], request: Request) -> Iterator[FileResult]:
    """The collector would go over all earlier results again and again: it looks at a few files' leavings at a time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        for n, given in enumerate(inputs, 1):
            yield audit_input(given, request)
            if n % FILES_A_COLLECTION == 0:
                gc.collect(0)
    finally:
        if collecting:
            gc.enable()


def audit_input(given: Input, request: Request = EVERYTHING) -> FileResult:
    """One file: its audit, the error that prevented it, or None for a file in a folder that is no checkpoint."""
    try:
        return audit_file(given.path, request if given.named else _of_many(request))
    except AuditError as error:
        if not given.expected and isinstance(error, (UnknownFormat, MalformedFile)) and error.kind != "lfs-pointer":
            return None
        return FileError(given.path, error.kind, error.message, error.at)


class Opened(NamedTuple):
    """A checkpoint whose files are open; `sources` are the file itself and the shards that were needed."""

    checkpoint: Checkpoint
    sources: tuple[FileSource, ...]


@contextmanager
def opened(path: str, despite_journal: bool = False) -> Iterator[Opened]:
    """Read a checkpoint and keep its files open; raises an `AuditError` when that fails.

    A file with the journal of an interrupted patch is refused, unless it is the patch itself that reads it back.

    At the end the files are held against what they were at opening: numbers from a file that was being written to
    are numbers of no file.
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
        checkpoint = formats.read(open_span(path), lambda name: open_span(os.path.join(folder, name)))
        yield Opened(checkpoint, tuple(sources))
        for source in sources:
            source.settle()


def _of_many(request: Request) -> Request:
    """What is asked of a file that nobody named: other checkpoints may stand beside the LSTM's in a folder."""
    if request.policy is None or not request.policy.require_lstm:
        return request
    return request._replace(policy=request.policy._replace(require_lstm=False))


def audit_file(path: str, request: Request = EVERYTHING) -> FileAudit:
    """One checkpoint; raises an `AuditError` when it cannot be read."""
    with opened(path) as file:
        size = sum(source.size for source in file.sources)
        return _judge(path, size, file.checkpoint, request)


def _audit_object(target: object, request: Request) -> FileAudit:
    """A live model or a state dict."""
    from .formats.live import read_mapping, read_module

    checkpoint = read_mapping(target) if isinstance(target, Mapping) else read_module(target)
    return _judge(f"<{type(target).__name__}>", 0, checkpoint, request)


def _judge(path: str, size: int, checkpoint: Checkpoint, request: Request) -> FileAudit:
    """Find, measure, and hold against the rules: the part of the pipeline that knows no container."""
    found = find_lstms(checkpoint)
    lstms = [lstm for lstm in found.lstms if selected(lstm, request.layers)]
    _bound(lstms)
    values = [read_values(lstm) for lstm in lstms]
    measures = [measure(lstm, read) for lstm, read in zip(lstms, values, strict=True)]
    skipped = sort_skipped(found.skipped)
    if request.numbers_only:
        rows = tuple(Row(lstm, measured) for lstm, measured in zip(lstms, measures, strict=True))
        return FileAudit(path, checkpoint.format, size, rows, skipped)
    from .judge import judged

    rows, findings = judged(path, checkpoint, found, lstms, values, measures, request.policy)
    return FileAudit(path, checkpoint.format, size, rows, skipped, findings)


def _bound(lstms: Sequence[Lstm]) -> None:
    units = sum(4 * lstm.hidden_size for lstm in lstms)
    if units > MAX_UNITS:
        raise MalformedFile(f"{units} bias elements in one file; at most {MAX_UNITS} are measured", kind="limit")


def selected(lstm: Lstm, layers: tuple[str, ...]) -> bool:
    """Whether one of the globs matches the LSTM's address or its module; no glob selects everything."""
    if not layers:
        return True
    from .policy.globs import layer_matches

    return layer_matches(lstm.module, lstm.address, layers)
