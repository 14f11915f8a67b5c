"""A patch as people look at it.

Comes in: a `Patched`. Goes out: what the command says of it, its json, the ranges of bytes, the
page of before and after; a data frame with a line a unit.
"""

from collections.abc import Callable, Mapping

from ..cli.before_after import page_of_patch
from ..cli.patched import changes_as_json, describe_edits, describe_patch
from ..patching.api import Patched, PatchedFile
from ..reports import Look
from ..reports.html.notebook import fragment
from ..reports.words import dumps
from . import Columns, View


def table(patched: Patched, look: Look) -> str:
    """A line a gate: bias and activation, before and after."""
    return "\n".join(_describe(part, patched, look.width) for part in patched.parts) + "\n"


def _describe(part: PatchedFile, patched: Patched, width: int) -> str:
    lines = describe_patch(part, not patched.dry_run, [*part.undo], width).splitlines()
    if part.format == "live":  # there are no bytes of a file to count
        lines = [line for line in lines if not line.startswith("  0 ranges")]
    notes = [f"  warning: {warning}" for warning in part.warnings if part.changes]
    return "\n".join([*lines, *notes, *(f"  note: {note}" for note in part.notes)])


def diff(patched: Patched, look: Look) -> str:
    """Every range of bytes that changes, as `--diff` shows it."""
    return "\n".join(filter(None, map(describe_edits, patched.parts))) + "\n"


def json(patched: Patched, look: Look) -> str:
    """`lstm-audit/patch/1`."""
    done = not patched.dry_run
    files = [changes_as_json(p, done, [*p.undo], [*p.warnings]) for p in patched.parts]
    return dumps({"schema": "lstm-audit/patch/1", "files": files}, indent=2) + "\n"


def html(patched: Patched, look: Look) -> str:
    """The page of before and after."""
    return page_of_patch([(part, not patched.dry_run) for part in patched.parts], [])


def picture(patched: Patched) -> str:
    """The page without its frame."""
    return fragment(html(patched, Look()))


def units(patched: Patched) -> Columns:
    """A line a unit of each gate: its effective bias before and after."""
    places = [
        (part, gate, unit)
        for part in patched.parts
        for gate in part.gates
        for unit in range(len(gate.after))
    ]
    return {
        "path": [part.path for part, _, _ in places],
        "address": [gate.lstm.address for _, gate, _ in places],
        "gate": [gate.gate for _, gate, _ in places],
        "unit": [unit for _, _, unit in places],
        "before": [gate.before[unit] for _, gate, unit in places],
        "after": [gate.after[unit] for _, gate, unit in places],
    }


FRAMES: Mapping[str, Callable[[Patched], Columns]] = {"units": units}

FORMATS = {"table": table, "diff": diff, "json": json, "html": html}

VIEW = View(FORMATS, (table,), picture, FRAMES)
