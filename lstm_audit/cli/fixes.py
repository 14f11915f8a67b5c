"""What the command says of the fixes that it carries out.

Comes in: an `Audit`. Goes out: lines; how many patches changed something. Promise: a fix that is
refused is said with its reason.
"""

from ..facts import Audit
from ..fixing import FixResult, carry_out_fixes
from ..lstm.own import Own
from .output import print_lines, tell
from .patched import describe_edits, describe_patch


def apply_fixes(
    audit: Audit, unsafe: bool, show: bool, aside: bool, declared: tuple[Own, ...] = ()
) -> tuple[int, bool]:
    """Carry out the fixes of an audit, or `show` the bytes that they would change (on stderr where
    stdout is another program's: `aside`). `unsafe`: also those that overwrite what was learned.

    How many patches changed a file, or would; and whether the disk failed, or did not confirm one.
    """
    patches, uncertain = 0, False
    for done in carry_out_fixes(audit, unsafe, show, declared):
        if done.refused is not None:
            tell(f"{done.path}: {done.fix.target.text}: refused: {done.refused.message}")
            uncertain |= done.refused.kind == "io"
        elif done.planned is not None:
            patches += done.planned.changes
            uncertain |= bool(done.doubts)
            if show:
                _show(done, aside)
            elif done.planned.changes:
                _tell_written(done)
    return patches, uncertain


def _show(done: FixResult, aside: bool) -> None:
    assert done.planned is not None
    text = describe_patch(done.planned, done=False, undo=[])
    if done.planned.changes:
        text += "\n" + describe_edits(done.planned)
    (tell if aside else print_lines)(text)


def _tell_written(done: FixResult) -> None:
    """On stderr what was done, and what is not certain."""
    assert done.planned is not None
    undo = [one.undo for one in done.applied if one.undo]
    tell(describe_patch(done.planned, done=True, undo=undo))
    for note in dict.fromkeys(note for one in done.applied for note in one.notes):
        tell(f"note: {note}")
    for doubt in done.doubts:
        tell(f"{done.path}: not certain: {doubt}")
