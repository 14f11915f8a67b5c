"""Findings' fixes as bytes and as patches.

Comes in: an `Audit`. Goes out: for each finding that a patch mends, the edits; or the fixes carried
out, each as a patch with its undo record. Promise: a fix that cannot be planned hides no other; the
finding stands with its command.
"""

from collections.abc import Iterator, Sequence

from .errors import AuditError, BadPolicy, Unreadable
from .facts import Audit, FileError, Finding, Fix
from .lstm.layer import Identity
from .lstm.own import Own
from .patching.api import Patched, part_of, paths_of
from .patching.apply import Applied
from .patching.checkpoint import Planned, plan_each, plan_fix
from .patching.whole import apply_plan
from .reports import Replacement
from .reports.listings import rank
from .targets import Target
from .tuples import NamedTuple


def replacements_of(audit: Audit) -> dict[str, tuple[Replacement, ...]]:
    """By fingerprint, what each fix would write. Nothing is written, and no journal recovered."""
    return {
        fingerprint: replacements
        for file in audit.files
        for fingerprint, replacements in _plan_fixes(file.path, file.findings)
        if replacements
    }


def _plan_fixes(
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


class FixResult(NamedTuple):
    """What became of one fix: its plan with what was written, or why it was refused."""

    path: str
    fix: Fix
    planned: Planned | None = None
    applied: tuple[Applied, ...] = ()
    refused: AuditError | None = None

    @property
    def doubts(self) -> list[str]:
        """What the disk did not confirm."""
        return [doubt for one in self.applied for doubt in one.doubts]


def carry_out_fixes(
    audit: Audit, unsafe: bool, dry_run: bool, declared: tuple[Own, ...] = ()
) -> Iterator[FixResult]:
    """Each fix of an audit, carried out one after the other; under `dry_run` planned alone.
    `unsafe`: also those that overwrite what was learned.
    """
    for file in audit.files:
        for fix in choose_fixes(file.findings, unsafe):
            try:
                planned = plan_fix(file.path, fix, declared)
                write = planned.changes and not dry_run
                applied = tuple(apply_plan(planned)) if write else ()
            except AuditError as error:
                yield FixResult(file.path, fix, refused=error)
            else:
                yield FixResult(file.path, fix, planned, applied)


def mend_files(
    target: object, audit: Audit, unsafe: bool, dry_run: bool, declared: tuple[Own, ...]
) -> tuple[Patched, tuple[FileError, ...]]:
    """The fixes carried out as Python keeps them, and those that were refused; raises `BadPolicy`
    where `target` is no file, and `Unreadable`, behind the last fix, where the disk failed.
    """
    if paths_of(target) is None:
        raise BadPolicy("fix is for files; a model is patched by lstm_audit.patch(model, 1.0)")
    parts, refused = [], []
    for done in carry_out_fixes(audit, unsafe, dry_run, declared):
        if done.refused is not None:
            error = done.refused
            refused.append(FileError(done.path, error.kind, error.message, error.at))
        elif done.planned is not None:
            parts.append(part_of(done.planned, done.applied))
    if failed := [f"{error.path}: {error.message}" for error in refused if error.kind == "io"]:
        raise Unreadable("; ".join(failed))
    return Patched(tuple(parts), dry_run), tuple(refused)


def choose_fixes(findings: Sequence[Finding], unsafe: bool) -> list[Fix]:
    """One fix an LSTM, joined where the target is the same: what the policy demands (LA2) before
    what the rules suggest, then the most severe first.
    """
    mended: set[Identity] = set()
    chosen: dict[tuple[Target, bool], list[Identity]] = {}
    for finding in sorted(rank(findings), key=lambda f: not f.code.startswith("LA2")):
        fix = finding.fix
        if fix and (fix.safe or unsafe) and not mended & set(fix.identities):
            mended.update(fix.identities)
            chosen.setdefault((fix.target, fix.safe), []).extend(fix.identities)
    return [Fix(target, tuple(lstms), safe) for (target, safe), lstms in chosen.items()]
