"""Findings' fixes as bytes and as patches.

Comes in: an `Audit`. Goes out: for each finding that a patch mends, the edits; or the fixes carried
out, each as a patch with its undo record. Promise: a fix that cannot be planned is left out; the
finding stands with its command.
"""

from collections.abc import Iterator, Sequence

from ..errors import AuditError
from ..facts import Audit, Finding, Fix
from ..lstm.layer import Identity
from ..lstm.own import Own
from ..patching.checkpoint import Planned, plan_each, plan_fix
from ..patching.whole import apply_plan
from ..reports import Replacement
from ..reports.listings import ranked
from ..targets import Target
from .output import print_lines, tell
from .patched import describe_edits, describe_patch


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


def apply_fixes(
    audit: Audit, unsafe: bool, show: bool, aside: bool, declared: tuple[Own, ...] = ()
) -> tuple[int, bool]:
    """Carry out the fixes of an audit, or `show` the bytes that they would change (on stderr where
    stdout is another program's: `aside`). `unsafe`: also those that overwrite what was learned.

    How many patches changed a file, or would; and whether the disk did not confirm one.
    """
    patches, uncertain = 0, False
    for file in audit.files:
        for fix in choose_fixes(file.findings, unsafe):
            try:
                planned = plan_fix(file.path, fix, declared)
                doubts = _show(planned, aside) if show else _carry_out(planned)
            except AuditError as error:
                tell(f"{file.path}: {fix.target.text}: refused: {error.message}")
                continue
            patches += planned.changes
            uncertain |= bool(doubts)
    return patches, uncertain


def choose_fixes(findings: Sequence[Finding], unsafe: bool) -> list[Fix]:
    """One fix an LSTM, joined where the target is the same: what the policy demands (LA2) before
    what the rules suggest, then the most severe first.
    """
    mended: set[Identity] = set()
    chosen: dict[tuple[Target, bool], list[Identity]] = {}
    for finding in sorted(ranked(findings), key=lambda f: not f.code.startswith("LA2")):
        fix = finding.fix
        if fix and (fix.safe or unsafe) and not mended & set(fix.identities):
            mended.update(fix.identities)
            chosen.setdefault((fix.target, fix.safe), []).extend(fix.identities)
    return [Fix(target, tuple(lstms), safe) for (target, safe), lstms in chosen.items()]


def _show(planned: Planned, aside: bool) -> list[str]:
    text = describe_patch(planned, done=False, undo=[])
    if planned.changes:
        text += "\n" + describe_edits(planned)
    (tell if aside else print_lines)(text)
    return []


def _carry_out(planned: Planned) -> list[str]:
    """Write it, and say on stderr what was done; what is not certain."""
    if not planned.changes:
        return []
    done = apply_plan(planned)
    tell(describe_patch(planned, done=True, undo=[one.undo for one in done if one.undo]))
    for note in dict.fromkeys(note for one in done for note in one.notes):
        tell(f"note: {note}")
    doubts = [doubt for one in done for doubt in one.doubts]
    for doubt in doubts:
        tell(f"{planned.path}: not certain: {doubt}")
    return doubts
