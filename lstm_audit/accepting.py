"""A run held against its baseline, or accepted into it.

Comes in: an `Audit` and the baseline's path. Goes out: the findings that it does not accept, those
that it does, and what it holds for nothing. Promise: the command and Python ask here, so a baseline
hides the same from both.
"""

import os
from collections.abc import Callable

from .facts import SOURCE_FORMATS, Audit, FileAudit, FileError, Finding
from .pipeline import Request, Results
from .policy.baseline import (
    Accepted,
    Baseline,
    Matched,
    could_find,
    empty_baseline,
    load_baseline,
    match_findings,
    refuse_gone,
    refuse_misplaced,
    save_baseline,
    say_elsewhere,
    update,
)
from .policy.globs import relative_to
from .policy.model import Policy

# An audit, and whether it is the last of its run, into the audit without what is accepted; that,
# and the keys of stale entries.
Hold = Callable[[Audit, bool], tuple[Audit, tuple[Finding, ...], tuple[str, ...]]]


def accept(path: str, audit: Audit, request: Request) -> None:
    """Write the findings of a run into the baseline; what the run could not have judged stays as it
    is.
    """
    old = load_baseline(path) if os.path.exists(path) else empty_baseline(path)
    policy = request.policy or Policy()
    judged = could_find(audit, policy, old.folder, request.layers)
    save_baseline(update(old, audit.findings, judged), path)


def compare_with(path: str, audit: Audit, request: Request) -> Matched:
    """The findings that are new, those that are known, and the entries that are stale."""
    baseline = load_baseline(path)
    if not all(file.format in SOURCE_FORMATS for file in audit.files):
        refuse_misplaced(baseline, [audit])  # which LSTMs a source makes, its audit does not list
    judged = could_find(audit, request.policy or Policy(), baseline.folder, request.layers)
    paths = [file.path for file in audit.files] + [error.path for error in audit.errors]
    names = [relative_to(path, baseline.folder) for path in paths]
    found = match_findings(audit.findings, baseline, judged)
    return found._replace(elsewhere=say_elsewhere(baseline, names))


# An entry is of one file, so each file can be held against its own entries as it comes, and then
# forgotten: what is kept of a run is the baseline, and a name a file for the hint at a lost one.
class Holding:
    """A run held against its baseline input by input: `hold` the results of each, in any order,
    then `finish`. `known` counts what is accepted, `stale` are entries that accept nothing, and
    `elsewhere` says after `finish` that the baseline has nothing of the run.
    """

    def __init__(self, path: str, request: Request) -> None:
        baseline = load_baseline(path)
        self.known, self.stale, self.elsewhere = 0, list[Accepted](), ""
        self._entries = len(baseline.entries)
        self._folder, self._request = baseline.folder, request
        self._policy = request.policy or Policy()
        self._names: list[str] = []
        self._left = _by_path(baseline)

    def hold(self, results: Results) -> Results:
        """The results without the findings that are accepted."""
        return tuple(self._hold(one) for one in results)

    def _hold(self, one: FileAudit | FileError) -> FileAudit | FileError:
        name = relative_to(one.path, self._folder)
        self._names.append(name)
        entries = self._left.pop(name, None)
        if entries is None or isinstance(one, FileError):  # what cannot be read accepts nothing
            return one
        audit, part = Audit((one,)), Baseline(self._folder, entries)
        refuse_misplaced(part, [audit])
        judged = could_find(audit, self._policy, self._folder, self._request.layers)
        held = match_findings(one.findings, part, judged)
        self.known += len(held.known)
        self.stale += held.stale
        return one._replace(findings=held.new)

    def finish(self) -> None:
        """Raise `BadPolicy` for an entry of a file that is neither in the run nor on disk."""
        left = {key: entry for part in self._left.values() for key, entry in part.items()}
        rest = Baseline(self._folder, left)
        refuse_gone(rest, self._names)
        if len(left) == self._entries:
            self.elsewhere = say_elsewhere(rest, self._names)


# The same for an update: of each file its findings become entries, which the baseline will hold,
# and the file is let go.
class Accepting:
    """A run accepted into a baseline input by input: `hold` the results of each, in any order, then
    `finish` writes it. The rest is as of `Holding`, of a run that has nothing left to say.
    """

    def __init__(self, path: str, request: Request) -> None:
        self._old = load_baseline(path) if os.path.exists(path) else empty_baseline(path)
        self.known, self.stale, self.elsewhere = 0, list[Accepted](), ""
        self._path, self._request = path, request
        self._entries: dict[str, Accepted] = {}
        self._left = _by_path(self._old)

    def hold(self, results: Results) -> Results:
        """The results without findings: all of them are accepted."""
        for one in results:
            if isinstance(one, FileAudit):
                left = self._left.pop(relative_to(one.path, self._old.folder), {})
                self._accept(Audit((one,)), left)
        return tuple(
            one._replace(findings=()) if isinstance(one, FileAudit) else one for one in results
        )

    def _accept(self, audit: Audit, left: dict[str, Accepted]) -> None:
        policy, folder = self._request.policy or Policy(), self._old.folder
        judged = could_find(audit, policy, folder, self._request.layers)
        updated = update(Baseline(folder, left), audit.findings, judged)
        self._entries |= updated.entries

    def finish(self) -> None:
        """Write the baseline; of files that are not in the run, what may be there stays in it."""
        for left in self._left.values():
            self._accept(Audit(()), left)
        save_baseline(Baseline(self._old.folder, self._entries), self._path)


def _by_path(baseline: Baseline) -> dict[str, dict[str, Accepted]]:
    """The entries of each file, by their keys."""
    found: dict[str, dict[str, Accepted]] = {}
    for key, entry in baseline.entries.items():
        found.setdefault(entry.path, {})[key] = entry
    return found


def hold_against(path: str, request: Request, updates: bool) -> Hold:
    """How audits are held against a baseline; where it `updates`, the last is written into it, and
    all of it accepted.
    """

    def hide(found: Audit, last: bool) -> tuple[Audit, tuple[Finding, ...], tuple[str, ...]]:
        if updates and last:
            accept(path, found, request)
            return only(found, ()), found.findings, ()
        if updates:
            return found, (), ()
        held = compare_with(path, found, request)
        return only(found, held.new), held.known, tuple(entry.key for entry in held.stale)

    return hide


def only(audit: Audit, findings: tuple[Finding, ...]) -> Audit:
    """The audit with some of its findings."""
    files = tuple(
        file._replace(findings=tuple(f for f in findings if f.path == file.path))
        for file in audit.files
    )
    return audit._replace(files=files)
