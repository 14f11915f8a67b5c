"""Many inputs, one after the other or over processes.

Comes in: what a caller names. Goes out: an `Audit`. Promise: results stand in the order of the
inputs, and one broken file never hides another.
"""

import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .errors import UnknownFormat
from .facts import Audit, FileAudit, FileError
from .inputs import Input, expand
from .pipeline import EVERYTHING, FileResult, Request, audit_input, audit_object

if TYPE_CHECKING:
    from .policy.model import Policy

FILES_A_COLLECTION = 16
"""Files after which the collector looks at what they left: only a hostile one leaves more than a
few kilobytes.
"""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all) after every file."""

Target = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, Any] | Any


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

    `target` is a path (file, folder or glob), a list of paths, a `torch.nn.Module`, or a state dict
    of torch tensors or numpy arrays. `layers` are globs over addresses (`encoder.lstm:l0:reverse`)
    or modules; an LSTM that matches none of them is left out. `policy` says which rules are on, and
    with which bounds (None: the defaults); `numbers_only` leaves out forensics and rules. `jobs`
    processes share the files (0: one a core). Nothing is executed and nothing is written.

    Raises `BadPolicy` when a path does not exist, `UnknownFormat` for an object that holds no
    tensors. A file that cannot be read is no exception but an entry of `Audit.errors`.
    """
    request = Request(tuple(layers), policy, numbers_only)
    if isinstance(target, (str, bytes, os.PathLike)):
        target = [target]
    if isinstance(target, Sequence):
        return audit_paths([_path(path) for path in target], request, jobs, progress)
    return Audit((audit_object(target, request),))


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

    with ProcessPoolExecutor(
        min(jobs, len(inputs)), get_context("forkserver" if os.name == "posix" else None)
    ) as pool:
        with _interrupts_held():
            results = pool.map(
                partial(audit_input, request=request),
                inputs,
                chunksize=max(1, len(inputs) // (jobs * 8)),
            )
        yield from results


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C is for this process alone: workers that start meanwhile inherit the mask, and print no
    traceback.
    """
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
    """The collector would go over all earlier results again and again: it looks at a few files'
    leavings at a time.
    """
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
