"""Many inputs, one after the other or over processes.

Comes in: what a caller names. Goes out: an `Audit`. Promise: results stand in the order of the
inputs, and one broken file never hides another.
"""

import gc
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from .errors import UnknownFormat
from .facts import Audit, FileAudit, FileError, Stamp
from .inputs import Input, Progress, expand
from .pipeline import EVERYTHING, MAX_SECONDS, Request, Results, audit_input, audit_object
from .policy.globs import patterns_of
from .raw.locators import STDIN, is_remote, label
from .tuples import NamedTuple

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from .policy.load import PolicyLike

# Files after which the collector looks at what they left: only a hostile one leaves more than a few
# kilobytes.
FILES_A_COLLECTION = 16

# Objects, less those that are gone, after which the collector looks while others read the files:
# those of some hundred results. Python's own number is 700.
SELDOM = 30_000

AuditTarget = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Any] | Any


def audit(
    target: AuditTarget,
    *,
    layers: str | Iterable[str] = (),
    policy: "PolicyLike" = None,
    numbers_only: bool = False,
    units: bool = False,
    jobs: int = 1,
    executor: "Executor | None" = None,
    exclude: str | Iterable[str] = (),
    progress: Progress | None = None,
    probe: bool = False,
    download: bool = False,
) -> Audit:
    """Audit checkpoints, or a live object.

    `target` is a path (file, folder or glob), a list of paths, a `torch.nn.Module`, a Keras model
    or layer, or a state dict of torch tensors or numpy arrays. `layers` are globs over addresses
    (`encoder.lstm:l0:reverse`) or modules; an LSTM that matches none of them is left out. `exclude`
    are globs over files that are left out, as in .gitignore. `policy` says which rules are on, and
    with which bounds: a `Policy`, a mapping with the keys of the TOML, or a TOML file's path (None:
    the defaults); `numbers_only` leaves out forensics and rules; `units`
    keeps the numbers of each unit (`Row.units`). `jobs` processes share the files (0: one a core;
    of files that lie elsewhere, threads), or any `concurrent.futures.Executor` does: dask's
    `Client.get_executor()`, mpi4py's, loky's, ray's. Nothing is executed and nothing is written;
    but `probe` runs one step of every cell of a
    live module, says where the weights alone give a wrong number, and measures what is skipped.
    `download` reads the whole of what a web server does not serve by ranges.

    Raises `BadPolicy` when a path does not exist or a pattern matches nothing, `UnknownFormat` for
    an object that holds no tensors. A file that cannot be read is no exception but an entry of
    `Audit.errors`.
    """
    if policy is not None:
        from .policy.load import make_policy  # 3 ms that the defaults spare

        policy = make_policy(policy)
    request = Request(patterns_of(layers), policy, numbers_only, units, download=download)
    if isinstance(target, (str, bytes, os.PathLike)):
        target = [target]
    if isinstance(target, Sequence):
        left_out = patterns_of(exclude)
        paths = [_path(path) for path in target]
        found = audit_paths(paths, request, jobs, progress, executor, left_out)
    else:
        found = Audit((audit_object(target, request),))
        if probe:
            from .probed import with_probes  # 1 ms that only live models need

            found = with_probes(found, target)
    if request.layers or (policy is not None and policy.has_patterns):
        from .policy.unmatched import refuse_unmatched  # 0.5 ms that only patterns need

        refuse_unmatched([found], request.layers, policy, "layers")
    return found


def _path(target: object) -> str:
    if isinstance(target, (str, bytes, os.PathLike)):
        return os.fsdecode(target)
    raise UnknownFormat(
        f"a list of paths was expected, with a {type(target).__name__} in it: audit objects one "
        "by one"
    )


def audit_paths(
    paths: Sequence[str],
    request: Request = EVERYTHING,
    jobs: int = 1,
    progress: Progress | None = None,
    executor: "Executor | None" = None,
    exclude: Sequence[str] = (),
) -> Audit:
    """The files that the paths mean, audited; see `audit`."""
    return audit_inputs(expand(paths, exclude), request, jobs, progress, executor)


def audit_inputs(
    inputs: Sequence[Input],
    request: Request = EVERYTHING,
    jobs: int = 1,
    progress: Progress | None = None,
    executor: "Executor | None" = None,
) -> Audit:
    """Audit inputs that are listed already; the results in their order."""
    results: list[Results] = []
    for result in _each(inputs, request, jobs or os.cpu_count() or 1, executor):
        results.append(result)
        if progress is not None:
            progress(len(results), len(inputs))
    return Audit(
        files=tuple(r for some in results for r in some if isinstance(r, FileAudit)),
        errors=tuple(r for some in results for r in some if isinstance(r, FileError)),
        ignored=sum(not some for some in results),
        ignored_paths=tuple(
            given.path for given, some in zip(inputs, results, strict=True) if not some
        ),
    )


class Settled(NamedTuple):
    """An input whose results stand already; `line` is what must be written for them once more
    (empty: they stand where they should).
    """

    given: Input
    results: Results
    line: bytes = b""


class Pending(NamedTuple):
    """An input that is to be audited, with its stamp as it was before."""

    given: Input
    stamp: Stamp | None


Task = Input | Settled | Pending


def stream(
    tasks: Iterable[Task],
    request: Request = EVERYTHING,
    jobs: int = 1,
    executor: "Executor | None" = None,
) -> Iterator[tuple[Task, Results]]:
    """Each task with its results, in order, of as many as there may be: a bounded number of them is
    under way.
    """
    under_way: deque[Task] = deque()

    def work() -> Iterator[Work]:
        for task in tasks:
            under_way.append(task)
            yield task.given if isinstance(task, Pending) else task

    for results in _each(work(), request, jobs, executor):
        yield under_way.popleft(), results


Work = Input | Settled


def _each(
    inputs: Iterable[Work], request: Request, jobs: int, executor: "Executor | None"
) -> Iterator[Results]:
    """Every input's result, in order; processes only pay when there are many files."""
    few = isinstance(inputs, Sequence) and len(inputs) < 2
    if executor is None and (jobs <= 1 or few):
        yield from _one_by_one(inputs, request)
        return
    unsignalled = request._replace(seconds=0.0)  # a thread, ours or another's, takes no signal
    with _collecting_seldom():
        if executor is not None:
            from .batches import over_executor  # 15 ms, which one process need not pay

            run = partial(audit_input, request=unsignalled)
            yield from over_executor(executor, run, inputs, _read_known, _is_waited_for, _fail)
            return
        from .worker import over_processes  # the same

        task = partial(audit_input, request=request._replace(seconds=MAX_SECONDS))
        jobs = min(jobs, len(inputs)) if isinstance(inputs, Sequence) else jobs
        with _spreading(unsignalled, jobs) as far:
            here = partial(_audit_here, request=unsignalled, far=far)
            yield from over_processes(inputs, task, _fail, jobs, here)


Far = Callable[[Input], Results | None]


@contextmanager
def _spreading(request: Request, jobs: int) -> Iterator[Far | None]:
    """What reads inputs that lie elsewhere in other processes (see `spread`); None where there are
    too few jobs for that.
    """
    from .raw.locators import find_libraries  # 1 ms, which one process need not pay
    from .spread import Spread, processes_for  # the same

    if processes_for(jobs) == 1:
        yield None
        return
    spread = Spread(partial(audit_input, request=request), jobs, find_libraries())
    try:
        yield spread.run
    finally:
        spread.stop()


def _read_known(work: Work) -> Results | None:
    return work.results if isinstance(work, Settled) else None


def _is_waited_for(work: Work) -> bool:
    return not isinstance(work, Settled) and (work.path == STDIN or is_remote(work.path))


def _audit_here(work: Work, request: Request, far: Far | None) -> Results | None:
    """Standard input is this process's own; what lies elsewhere is waited for, not computed. None:
    it is for a process that reads nothing else at the time.
    """
    if isinstance(work, Settled):
        return work.results
    if not _is_waited_for(work):
        return None
    if far is not None:
        from .raw.locators import is_reached_alike  # 0.2 ms, which local files need not pay

        if is_reached_alike(work.path):
            return far(work)
    return audit_input(work, request)


def _fail(work: Work, problem: str) -> Results:
    given = work.given if isinstance(work, Settled) else work
    return (FileError(label(given.path), "limit", problem),)


@contextmanager
def _collecting_seldom() -> Iterator[None]:
    """Results come in and are kept, and every five of them the collector would go over many of
    those before: a fifth of what this process does for a file that another one reads.
    """
    first, *others = gc.get_threshold()
    gc.set_threshold(max(first, SELDOM) if first else 0, *others)
    try:
        yield
    finally:
        gc.set_threshold(first, *others)


def _one_by_one(inputs: Iterable[Work], request: Request) -> Iterator[Results]:
    """The collector would go over all earlier results again and again: it looks at a few files'
    leavings at a time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        for n, given in enumerate(inputs, 1):
            yield given.results if isinstance(given, Settled) else audit_input(given, request)
            if n % FILES_A_COLLECTION == 0:
                gc.collect(0)
    finally:
        if collecting:
            gc.enable()
