"""A run held against its baseline, or accepted into it.

Comes in: an `Audit` and the baseline's path. Goes out: the findings that it does not accept, those
that it does, and what it holds for nothing. Promise: the command and Python ask here, so a baseline
hides the same from both.
"""

import os
from collections.abc import Callable

from .facts import SOURCE_FORMATS, Audit, Finding
from .pipeline import Request
from .policy.baseline import (
    Matched,
    could_find,
    empty_baseline,
    load_baseline,
    match_findings,
    refuse_misplaced,
    save_baseline,
    update,
)
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
    return match_findings(audit.findings, baseline, judged)


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
