"""`lstm-audit undo`: the bytes that a patch replaced."""

import os
from collections.abc import Iterator
from typing import Literal

from ..errors import AuditError, BadPolicy
from ..inputs import Input, expand
from ..interrupted import sidecars
from ..patching.undo import Undone
from ..patching.whole import find_patched, undo_checkpoint
from ..raw.locators import is_remote, label
from ..reports.words import NOTHING_READ, say_count
from . import exits
from .forms import GivenOptions
from .output import print_lines, tell
from .patch import refuse_stdin
from .patched import near_path

SAID = {
    "restored": "restored the bytes from before the last patch",
    "rolled-back": "an interrupted patch was rolled back",
    "dropped": "the recorded patch never reached the file; its record was removed",
    "nothing": "nothing to undo",
}


EPILOG = """\b
Examples:
  lstm-audit undo model.pt
  lstm-audit undo --in-place model.safetensors.index.json
"""


def run(given: GivenOptions) -> int:
    """Restore the bytes that the last patch of each FILE replaced.

    Several patches are taken back one by one, the newest first. Refused where the patched bytes
    were written to since; where other bytes were, or the file is a copy, it goes on and says so.
    Of a checkpoint in several files name the one that you would audit (the index), and all
    are restored. A journal or undo record counts only if it belongs to the file's owner or to you.

    \b
    Exit codes:
      0  restored
      2  usage
      3  a file was refused, or it is not certain what the disk holds
      4  nothing to undo
    """
    refuse_stdin(given.paths)
    for path in filter(is_remote, given.paths):
        tell(f"{label(path)}: what lies elsewhere was not patched from here: nothing to undo")
        return exits.UNREADABLE
    inputs = expand(given.paths)
    if given.sidecar is not None:
        _refuse_foreign(given.sidecar, inputs)
    codes = [code for one in find_patched(inputs) for code in _undo(one, given)] or [exits.NOTHING]
    if codes == [exits.NOTHING] and not any(one.named for one in inputs) and not given.quiet:
        found = f"nothing to undo in {say_count(len(inputs), 'file')}"
        print_lines(found if inputs else NOTHING_READ)
    return max(codes, key=(exits.PASS, exits.NOTHING, exits.UNREADABLE).index)


def _refuse_foreign(sidecar: str, inputs: list[Input]) -> None:
    """A sidecar that is none of these files' would never be asked for."""
    names = [name for one in inputs for name in sidecars(one.path)]
    if os.path.abspath(sidecar) not in map(os.path.abspath, names):
        known = ", ".join(names[:3])
        raise BadPolicy(f"--sidecar {sidecar} belongs to none of the files; there may be {known}")


def _undo(one: Input, given: GivenOptions) -> Iterator[int]:
    """One checkpoint, or a folder that cannot be listed."""
    if one.problem:
        tell(f"{one.path}: {one.problem}")
        yield exits.UNREADABLE
        return
    mode: Literal["replace", "in-place"] = "in-place" if given.in_place else "replace"
    try:
        for undone in undo_checkpoint(one.path, mode=mode, sidecar=given.sidecar):
            if one.named or undone.state != "nothing":
                yield _report(undone, given.quiet)
    except AuditError as error:
        tell(f"{one.path}: refused: {error.message}")
        yield exits.UNREADABLE


def _report(undone: Undone, quiet: bool) -> int:
    for note in undone.notes:
        tell(f"note: {note}")
    for doubt in undone.doubts:
        tell(f"{near_path(undone.path)}: not certain: {doubt}")
    if not quiet:
        left = f"; {say_count(undone.remaining, 'undo step')} left" if undone.remaining else ""
        print_lines(f"{near_path(undone.path)}: {SAID[undone.state]}{left}")
    if undone.doubts:
        return exits.UNREADABLE
    return exits.NOTHING if undone.state == "nothing" else exits.PASS
