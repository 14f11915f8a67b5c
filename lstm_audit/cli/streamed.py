"""Runs of any size: results are reported while they come, and none is kept.

Comes in: what was given on the command line. Goes out: rows as they come, statistics at the end,
the verdict. Promise: what is held in memory does not grow with the number of inputs; where a report
would, it holds the statistics and the worst files instead, and that is said.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from ..errors import BadPolicy
from ..facts import Audit, FileAudit, FileError, Totals
from ..fleet import Task, stream
from ..inputs import Input
from ..pipeline import Request, Results
from ..policy.unmatched import Witnesses
from ..policy.verdict import Running
from ..raw.locators import is_remote
from ..reports import REPORTS, Look, Streamed, digest_of, stream_of
from ..reports.words import describe_error, escape, say_count
from ..results import head_of
from ..resume import Resumed, ask_ahead
from ..statistics import WORST, Statistics, Tally
from .executors import executor_of
from .forms import GivenOptions
from .output import (
    WITHOUT_ERRORS,
    ProgressLine,
    command_line,
    digests_of,
    look_of,
    put_text,
    report_names,
    tell,
    tell_warnings,
    writing,
)
from .report_files import is_stream
from .runs import find_allowed_biases

if TYPE_CHECKING:
    from ..accepting import Accepting, Holding


# A run over a million files must not keep a million results. Reports that are rows (jsonl, csv) are
# written as results come, and of the rest only what statistics and the worst files need is kept.
# The verdict is counted on the way too, so that nothing is gone through twice.
def run_streaming(
    given: GivenOptions,
    request: Request,
    inputs: Iterable[Input],
    kept: Sequence[str | None],
    fail_on: str = "never",
    running: Running | None = None,
    close: Callable[[], str] = str,
    holding: "Accepting | Holding | None" = None,
) -> Totals:
    """The whole run. `kept` are files that no report may overwrite; `running` is told all results,
    and `close` gives the verdict's line when they are there. `holding` takes out what a baseline
    accepts, or is made to accept.
    """
    names = report_names(given)
    if given.statistics:
        digests_of(names)
    _refuse_overwriting(given, kept)
    streaming = Streaming(given, request, running, holding)
    try:
        found = streaming.over(inputs)
    except KeyboardInterrupt:
        if given.resume:
            tell(f"\nWhat is done stands in {given.resume}; the same command goes on")
        raise
    look = Look(
        width=100,
        quiet=given.quiet,
        fail_on=fail_on,
        verbose=given.verbose,
        statistics=given.statistics,
        closing=close(),
        command=command_line(),
        bounds=find_allowed_biases(request.policy),
    )
    streaming.report(found, look)
    return found.summary


# Before anything is read, as with every output: after an hour of auditing it would be too late to
# say that the report has nowhere to go.
def _refuse_overwriting(given: GivenOptions, kept: Sequence[str | None]) -> None:
    """Two reports in one place, or one in the place of a policy or of an input by name."""
    outputs = [path for _, path in reports_of(given) if path is not None]
    outputs += [given.resume] if given.resume else []
    taken = {os.path.realpath(p) for p in (*given.paths, *kept) if p and not is_remote(p)}
    for output in outputs:
        real = os.path.realpath(output)
        if real in taken and not is_stream(output):
            raise BadPolicy(f"{output}: it is an input, or written to already; name another file")
        taken.add(real)


# The order of the inputs is kept whatever the executor does: rows, the file of --resume and the
# tally all take results in the order in which they were asked for, so that two runs give the same
# bytes.
class Streaming:
    """What a run of any size amounts to, while it goes on."""

    def __init__(
        self,
        given: GivenOptions,
        request: Request,
        running: Running | None,
        holding: "Accepting | Holding | None",
    ) -> None:
        self.given, self.request, self.running, self.holding = given, request, running, holding
        self.tally, self.witnesses = Tally(), Witnesses(request.layers, request.policy)
        self.outputs = {os.path.realpath(path) for _, path in given.reports}
        self.outputs |= {os.path.realpath(p) for p in (given.output, given.resume) if p}

    def over(self, inputs: Iterable[Input]) -> Statistics:
        """Every input, in order; what was counted. The rows of reports go out as they come."""
        progress = ProgressLine(self.given.quiet)
        total = sum(1 for _ in inputs) if progress.is_shown else 0  # walks the folders once more
        with ExitStack() as stack:
            resumed = self._open_resumed()
            if resumed is not None:
                stack.enter_context(resumed)
            bodies = [stack.enter_context(one) for one in self._open_rows()]
            results = self._results(self._without_outputs(inputs), resumed)
            for done, (given, found) in enumerate(results, 1):
                shown = found if self.holding is None else self.holding.hold(found)
                for write, body in bodies:
                    write("".join(map(body, _files_of(shown))))
                self._add(given, found, shown)
                progress(done, total)
            if resumed is not None:
                resumed.finish()
        progress.end()
        self.witnesses.refuse_unmatched()
        return self.tally.finish()

    def _results(
        self, inputs: Iterable[Input], resumed: Resumed | None
    ) -> Iterator[tuple[Input, Results]]:
        executor, jobs = executor_of(self.given), self.given.jobs or os.cpu_count() or 1
        if resumed is not None and any(map(is_remote, self.given.paths)):
            inputs = ask_ahead(inputs, jobs)
        tasks: Iterable[Task] = inputs if resumed is None else map(resumed.take, inputs)
        for task, found in stream(tasks, self.request, jobs, executor):
            if isinstance(task, Input):
                yield task, found
                continue
            if resumed is not None:
                resumed.put(task, found)
            yield task.given, found

    def _open_resumed(self) -> Resumed | None:
        path = self.given.resume
        return None if path is None else Resumed(path, head_of(self.request))

    def _without_outputs(self, inputs: Iterable[Input]) -> Iterator[Input]:
        """What this run writes is none of its inputs, also where it lies in a folder of them."""
        names = {os.path.basename(path) for path in self.outputs}
        names |= {f"{name}.old" for name in names}
        for given in inputs:
            if os.path.basename(given.path) in names and not is_remote(given.path):
                real = os.path.realpath(given.path)
                if real in self.outputs and given.named:
                    raise BadPolicy(f"{given.path} is an input; a report would overwrite it")
                if real in self.outputs or real.removesuffix(".old") in self.outputs:
                    continue
            yield given

    def _add(self, given: Input, found: Results, shown: Results) -> None:
        self.tally.add(shown)
        self.witnesses.add(given.path, found)
        if self.running is not None:
            self.running.add(found, Audit(_files_of(shown)).findings)
        tell_warnings(_files_of(found))
        if not found and self.given.show_ignored:
            tell(f"ignored: {escape(given.path, limit=None)}")
        if set(report_names(self.given)) <= {*WITHOUT_ERRORS} and not self.given.statistics:
            for error in (r for r in found if isinstance(r, FileError)):
                tell(f"error: {error.path}: {describe_error(error)}")

    def _open_rows(self) -> Iterator[Any]:
        """The reports whose rows go out at once."""
        for name, path in reports_of(self.given):
            streamed = None if self.given.statistics else stream_of(name)
            if streamed is not None:
                yield _rows(streamed, path)

    def report(self, found: Statistics, look: Look) -> None:
        """The reports that come at the end: of the statistics, or of the worst files."""
        for name, path in reports_of(self.given):
            if self.given.statistics or stream_of(name) is None:
                put_text(self._text(name, path, found, look), name, path)

    def _text(self, name: str, path: str | None, found: Statistics, look: Look) -> str:
        shown = look
        if path is None and name == "table":
            drawn = look_of(sys.stdout, self.given.color, self.given.quiet)
            shown = look._replace(width=drawn.width, color=drawn.color, ascii=drawn.ascii)
        if not self.given.statistics:
            shown = shown._replace(worst=WORST)
            inputs = found.summary.files + found.summary.unreadable + found.summary.ignored
            tell(
                f"{say_count(inputs, 'input')} are too many for a row each: {name} shows "
                f"{'statistics and ' if digest_of(name) else ''}the {WORST} worst files; "
                "jsonl and csv hold every row"
            )
        digest = digest_of(name)
        if digest is not None:
            return digest(found, shown)
        errors = tuple(error.first for error in found.errors)
        return REPORTS[name](Audit(found.worst, errors, found.summary.ignored), shown)


def _files_of(results: Results) -> tuple[FileAudit, ...]:
    return tuple(one for one in results if isinstance(one, FileAudit))


def reports_of(given: GivenOptions) -> list[tuple[str, str | None]]:
    """Every report that was asked for, with its file (None: stdout)."""
    name = "json" if given.as_json else given.format_name
    return [*given.reports, (name, given.output)]


@contextmanager
def _rows(streamed: Streamed, path: str | None) -> Iterator[tuple[Any, Any]]:
    """Where rows are written, and what makes them."""
    with writing(path) as write:
        write(streamed.head)
        yield write, streamed.body
