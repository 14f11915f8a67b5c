"""A run held against its baseline, or accepted into it.

Comes in: an `Audit` and the baseline's path. Goes out: the findings that it does not accept.
Promise: what the baseline hides is counted, and what it hides for nothing is named.
"""

import os

from ..facts import SOURCE_FORMATS, Audit, Finding
from ..pipeline import Request
from ..policy.baseline import (
    could_find,
    empty_baseline,
    load_baseline,
    match_findings,
    refuse_misplaced,
    save_baseline,
    update,
)
from ..policy.model import Policy
from ..reports.words import counted, escape
from .output import tell


def accept(path: str, audit: Audit, request: Request) -> None:
    """Write the findings of a run into the baseline; what the run could not have judged stays as it
    is.
    """
    old = load_baseline(path) if os.path.exists(path) else empty_baseline(path)
    policy = request.policy or Policy()
    save_baseline(
        update(old, audit.findings, could_find(audit, policy, old.folder, request.layers)), path
    )


def unaccepted(path: str, audit: Audit, request: Request, quiet: bool) -> tuple[Finding, ...]:
    """The findings that are new; what is known is counted on stderr, and what is stale is named
    there.
    """
    baseline = load_baseline(path)
    if not all(file.format in SOURCE_FORMATS for file in audit.files):
        refuse_misplaced(baseline, [audit])  # which LSTMs a source makes, its audit does not list
    judged = could_find(audit, request.policy or Policy(), baseline.folder, request.layers)
    compared = match_findings(audit.findings, baseline, judged)
    if compared.known and not quiet:
        tell(f"{counted(len(compared.known), 'finding')} accepted by the baseline")
    for entry in compared.stale:
        key = escape(entry.key, limit=None)
        tell(f"stale baseline entry, no longer found: {key}; --update-baseline removes it")
    return compared.new


def only(audit: Audit, findings: tuple[Finding, ...]) -> Audit:
    """The audit with some of its findings."""
    files = tuple(
        file._replace(findings=tuple(f for f in findings if f.path == file.path))
        for file in audit.files
    )
    return audit._replace(files=files)
