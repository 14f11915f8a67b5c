"""Findings' fixes as bytes and as patches.

Comes in: an `Audit`. Goes out: for each finding that a patch mends, the edits; or the same fixes
carried out. Promise: a fix that cannot be planned is left out; the finding stands with its command.
"""

from collections.abc import Iterator, Sequence

from ..errors import AuditError
from ..facts import Audit, Finding
from ..patching.checkpoint import plan_each
from ..reports import Replacement


def replacements_of(audit: Audit) -> dict[str, tuple[Replacement, ...]]:
    """By fingerprint, what each fix would write. Nothing is written, and no journal recovered."""
    return {
        fingerprint: replacements
        for file in audit.files
        for fingerprint, replacements in _planned(file.path, file.findings)
        if replacements
    }


def _planned(
    path: str, findings: Sequence[Finding]
) -> Iterator[tuple[str, tuple[Replacement, ...]]]:
    """The fixes of one file, which is opened once for all of them."""
    fixable = [(finding.fingerprint, finding.fix) for finding in findings if finding.fix]
    if not fixable:
        return
    try:
        plans = plan_each(path, [fix for _, fix in fixable])
    except AuditError:
        return
    for (fingerprint, _), files in zip(fixable, plans, strict=True):
        yield (
            fingerprint,
            tuple(
                Replacement(edit.at, edit.old, edit.new, file.path)
                for file in files
                for edit in file.edits
            ),
        )
