"""`lstm-audit patch`: write a chosen forget bias."""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import AuditError, BadPolicy, MalformedFile, NotPatchable, UnknownFormat
from ..facts import Audit
from ..inputs import Input, expand
from ..interrupted import sidecars
from ..lstm.own import Own
from ..lstm.presets import PRESETS
from ..missing import explain_missing
from ..patching.byhand import refuse_remote
from ..patching.checkpoint import Planned, explain_refusal, find_mappings, plan, with_donor
from ..patching.choose import refuse_unmatched_layers
from ..patching.whole import apply_plan, number_batches, plan_recovered
from ..pipeline import checkpoints_in
from ..policy.load import load_policy
from ..raw.locators import STDIN
from ..reports.words import NOTHING_READ, say_count
from ..targets import TARGETS, Target, only_one, read_target
from . import exits
from .forms import GivenOptions, hint_share
from .manners import hint_horizon
from .options import MODES
from .output import ProgressLine, look_of, print_lines, tell, write_text
from .patched import changes_as_json, describe_edits, describe_patch
from .report_files import refuse_overwriting

EPILOG = """\b
Examples:
  lstm-audit patch --forget-bias 1 model.pt
  lstm-audit patch --activation 0.95 --layers 'decoder.*' --dry-run model.pt
  lstm-audit patch --forget-bias 1 --report html=patch.html model.pt
  lstm-audit patch --init chrono:784 --output chrono.pt model.pt
  lstm-audit undo model.pt
"""


class PatchResult(NamedTuple):
    """What became of one checkpoint: its exit code, what --json says of it, and its plan where it
    was not refused.
    """

    code: int
    report: dict[str, Any]
    planned: Planned | None = None


# Refusals come before plans and plans before writes: each stage is finished for all files before
# the next begins, so that a usage error in the last file of a folder is not found after the first
# was written.
def run(given: GivenOptions) -> int:
    """Write a chosen forget bias into checkpoints, and nothing else.

    Give exactly one target. The effective bias, the sum of both halves, is what is set: by default
    bias_ih gets the value and bias_hh becomes 0, in the forget gate only. The file is replaced at
    once by a verified copy, and FILE.undo.json lets `lstm-audit undo` restore the very same bytes.
    Of a folder, a pattern or an archive, checkpoints without an LSTM are passed over.

    \b
    Exit codes:
      0  patched, or already at the target
      1  something would change (--check, --diff)
      2  usage
      3  a file was refused, or it is not certain what the disk holds
      4  no LSTM in any of the files
    """
    target = _target(given)
    modes = [row.spellings[-1] for row in MODES if getattr(given, row.name)]
    if len(modes) > 1:
        raise BadPolicy(f"{' and '.join(modes)} exclude each other")
    refuse_stdin(given.paths)
    try:
        refuse_remote(given.paths, target.words)
    except NotPatchable as error:
        tell(error.message)
        return exits.UNREADABLE
    inputs = expand(given.paths)
    if given.output and (len(given.paths) > 1 or not inputs[0].named):
        raise BadPolicy("--output takes one FILE")
    names = [name for one in inputs for name in (one.path, *sidecars(one.path))]
    refuse_overwriting(Audit(()), [*names, given.output], given.pages)
    try:
        target = with_donor(target)
    except AuditError as error:
        donor = str(target.values[0])
        if not os.path.lexists(donor):
            raise BadPolicy(f"{donor}: {explain_missing(donor)}") from None
        return _refuse(donor, error).code
    outcomes = list(_outcomes(inputs, target, given))
    if given.as_json:
        from json import dumps  # 2 ms that only --json needs

        files = [outcome.report for outcome in outcomes]
        print_lines(dumps({"schema": "lstm-audit/patch/1", "files": files}, indent=2))
    if given.pages:
        _write_pages(outcomes, given)
    codes = [outcome.code for outcome in outcomes] or [exits.NOTHING]
    if not outcomes:
        tell(f"no LSTM in {say_count(len(inputs), 'file')}" if inputs else NOTHING_READ)
    return exits.UNREADABLE if exits.UNREADABLE in codes else max(codes)


def _write_pages(outcomes: Sequence[PatchResult], given: GivenOptions) -> None:
    """Before and after, of everything that was patched or would be."""
    from .before_after import page_of_patch  # 5 ms that only a page needs

    done = not _only_shows(given)
    planned = [(outcome.planned, done) for outcome in outcomes if outcome.planned]
    refused = [
        (outcome.report["path"], outcome.report["error"]["message"])
        for outcome in outcomes
        if not outcome.planned
    ]
    for path in given.pages:
        write_text(page_of_patch(planned, refused), path)


def refuse_stdin(paths: Sequence[str]) -> None:
    """What comes through a pipe has no file that could be written."""
    if STDIN in paths:
        raise BadPolicy("standard input is no file that could be written: name one")


def _target(given: GivenOptions) -> Target:
    """The one target that was given."""
    asked = [name for name, row in TARGETS.items() if getattr(given, row.keyword) is not None]
    if not asked:
        _refuse_bare_target(given.paths)
    row = only_one(asked, lambda row: row.option)
    text = getattr(given, row.keyword)
    try:
        return read_target(row.name, text, given.seed, not given.no_couple)
    except BadPolicy as error:
        raise BadPolicy(error.message + HINTS.get(row.name, _no_hint)(text)) from None


def _refuse_bare_target(words: Sequence[str]) -> None:
    """`patch model.pt 1.0` and `patch model.pt chrono:784`: the words that were meant."""
    for word in words:
        if os.path.lexists(word):
            continue
        meant = TARGETS["forget-bias" if _is_number(word) else "init"]
        if _is_number(word) or word.partition(":")[0] in PRESETS:
            raise BadPolicy(f"{word}: no such file; did you mean {meant.option} {word}?")


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _no_hint(text: str) -> str:
    return ""


# What was meant by values that a target does not take.
HINTS = {"activation": hint_share, "horizon": hint_horizon}


# Checkpoints inside one archive share a file. When one of them was written the places of the others
# have moved, so that they are planned anew from the file as it is now.
def _outcomes(
    inputs: Sequence[Input], target: Target, given: GivenOptions
) -> Iterator[PatchResult]:
    """Everything is planned before anything is written: a pattern that matches nothing in the whole
    run must not be found out half-way.
    """
    declared = load_policy(given.config, use_config=not given.no_config).conventions
    plans = [plan for one in inputs for plan in _plans(one, target, given, declared)]
    planned = [found for _, found in plans if isinstance(found, Planned)]
    if planned:
        matched = {pattern for one in planned for pattern in one.matched}
        refuse_unmatched_layers(
            given.layers, matched, [name for one in planned for name in one.addresses]
        )
    written, batches = set[str](), number_batches(planned)
    for one, found in plans:
        if isinstance(found, Planned) and found.home in written:
            found = _plan(one, target, given, declared)  # its archive has changed since
        if isinstance(found, AuditError):
            yield _refuse(one.path, found)
        elif found is not None and found.gates:
            yield _carry_out(found, given, batches.get(found.home, 0))
            written |= {found.home} if found.changes and not _only_shows(given) else set()
        elif found is not None and not given.quiet:
            tell(f"note: {one.path}: no LSTM matches --layers; nothing to patch there")


def _plans(
    one: Input, target: Target, given: GivenOptions, declared: tuple[Own, ...]
) -> Iterator[tuple[Input, Planned | AuditError | None]]:
    """One plan; of an archive one for each checkpoint that has an LSTM."""
    found = _plan(one, target, given, declared)
    if not isinstance(found, AuditError) or found.kind != "several" or given.output:
        yield one, found
        return
    for path in checkpoints_in(one.path):
        part = Input(path, named=False)
        yield part, _plan(part, target, given, declared)


# What a dry run plans with does not recover an interrupted patch, since that writes; what a real
# run plans with does. In a folder, a file that is no checkpoint is nobody's error; one that the
# user named is.
def _plan(
    one: Input, target: Target, given: GivenOptions, declared: tuple[Own, ...]
) -> Planned | AuditError | None:
    """What is to be done to one input; None for a file of a folder that is no checkpoint, or has no
    LSTM.
    """
    if one.problem:
        return AuditError(one.problem)
    try:
        make = plan if _only_shows(given) else plan_recovered
        return make(one.path, target, given.layers, given.place, strict=False, declared=declared)
    except AuditError as error:
        unknown = isinstance(error, (UnknownFormat, MalformedFile)) and not one.expected
        nothing = error.kind == "no-lstm" and not one.named
        return None if unknown or nothing else error


def _only_shows(given: GivenOptions) -> bool:
    return bool(given.dry_run or given.diff or given.check)


# Warnings go to stderr before the write, because they are of use only then; doubts come after it:
# the bytes are in place, and the disk would not say so.
def _carry_out(planned: Planned, given: GivenOptions, batch: int) -> PatchResult:
    """One checkpoint: written, or shown. `batch`: see `apply_plan`."""
    shows, undo, doubts = _only_shows(given), list[str](), list[str]()
    warnings = list(_warnings(planned, given)) if planned.changes else []
    for warning in () if given.quiet else warnings:
        tell(f"warning: {planned.path}: {warning}")
    if not shows and (planned.changes or given.output):
        try:
            undo, doubts = _write(planned, given, batch)
        except AuditError as error:
            return _refuse(planned.path, error)
    if not given.as_json:
        width = look_of(sys.stdout, "never", quiet=False).width
        print_lines(describe_patch(planned, done=not shows, undo=undo, width=width))
        if given.diff:
            print_lines(describe_edits(planned))
    for doubt in doubts:
        tell(f"{planned.path}: not certain: {doubt}")
    would = (given.diff or given.check) and planned.changes
    code = exits.UNREADABLE if doubts else exits.FINDINGS if would else exits.PASS
    report = changes_as_json(planned, written=not shows, undo=undo, warnings=warnings + doubts)
    return PatchResult(code, report, planned)


def _refuse(path: str, error: AuditError) -> PatchResult:
    place = f" at byte {error.at}" if error.at else ""
    tell(f"{path}: refused{place}: {error.message}")
    report = {"path": path, "error": {"kind": error.kind, "message": error.message}}
    return PatchResult(exits.UNREADABLE, report)


def _write(planned: Planned, given: GivenOptions, batch: int) -> tuple[list[str], list[str]]:
    """Apply the plan; the undo records that were written, and what is not certain."""
    progress = ProgressLine(given.quiet, "bytes copied")
    done = apply_plan(
        planned,
        mode="in-place" if given.in_place else "output" if given.output else "replace",
        output=given.output,
        undo=not given.no_undo,
        batch=batch,
        progress=progress,
    )
    progress.end()
    for note in dict.fromkeys(note for applied in done for note in applied.notes):
        tell(f"note: {note}")
    doubts = [doubt for applied in done for doubt in applied.doubts]
    return [applied.undo for applied in done if applied.undo], doubts


def _warnings(planned: Planned, given: GivenOptions) -> Iterator[str]:
    """What to know before the write, or instead of it."""
    yield from planned.warnings
    if given.in_place and (processes := find_mappings(planned)):
        yield f"the file is mapped by {', '.join(processes)}, which will see the new values at once"
    if _only_shows(given) and (reason := explain_refusal(planned)):
        yield f"the write would be refused: {reason}"
