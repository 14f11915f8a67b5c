"""What a patch did, or would do, in words and as JSON.

Comes in: a `Planned`. Goes out: text. Promise: every byte that changes is accounted for.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

from ..fact_json import json_number
from ..lstm.measure import ACTIVATIONS, of_sorted
from ..patching.api import PatchedFile, PatchedGate
from ..patching.checkpoint import Planned
from ..patching.edits import Edit
from ..patching.plan import GatePlan
from ..reports.terminal import columns_wide, fill_column, shorten, wrap
from ..reports.words import digits, escape, fraction, say_count, show_addresses

AnyPlan = Planned | PatchedFile
# A plan with its places in the open file, or what Python keeps of it.
AnyGate = GatePlan | PatchedGate

SHOWN_BYTES = 8

# Columns of a line that says why bytes change.
REASON = 78


def describe_patch(planned: AnyPlan, done: bool, undo: list[str], width: int = 80) -> str:
    """One line a gate: before and after; then what that is in bytes. Names give way to `width`,
    paths do not: they are copied.
    """
    path = escape(planned.path)
    if not planned.changes:
        return f"{path}: already at {planned.target.text}, nothing to change"
    lines = [f"{path}: {planned.target.text}", *_describe_gates(planned.gates, width)]
    edits = [edit for file in planned.files for edit in file.edits]
    verb = "changed" if done else "would change"
    ranges, size = (
        say_count(len(edits), "range"),
        say_count(sum(len(edit.new) for edit in edits), "byte"),
    )
    lines.append(f"  {ranges} {verb}, {size}")
    lines += [f"  undo record: {escape(near_path(name))}" for name in undo]
    return "\n".join(lines)


def near_path(path: str) -> str:
    """A path below the working directory, as one would type it."""
    try:
        here = os.path.join(os.path.realpath(os.curdir), "")
    except FileNotFoundError:  # it was deleted
        return path
    return path.removeprefix(here)


# Columns that names have at least.
NARROWEST = 12


def _describe_gates(gates: Sequence[AnyGate], width: int) -> Iterator[str]:
    """A line a gate, and one a dtype that cannot hold a value exactly."""
    cells = [_cells(gate) for gate in gates]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [f"  bias {bias:{wide[0]}}   activation {active}".rstrip() for bias, active in cells]
    room = max(width - max(map(len, numbers)) - len("  f ") - 1, NARROWEST)
    names = shorten(show_addresses([gate.lstm for gate in gates]), room, "…")
    names = [f"{name} {gate.gate}" for name, gate in zip(names, gates, strict=True)]
    left = max(map(columns_wide, names))
    for name, text in zip(names, numbers, strict=True):
        yield f"  {fill_column(name, left, left=True)}{text}"
    rounded: dict[str, float] = {}
    for gate in gates:
        if gate.error:
            rounded[gate.lstm.dtype] = max(gate.error, rounded.get(gate.lstm.dtype, 0.0))
    for dtype, error in rounded.items():
        yield f"  the dtype {dtype} holds these values to within {error:.1g}"


def _cells(gate: AnyGate) -> tuple[str, str]:
    """Bias and activation, before and after."""
    before, after = _means(gate, gate.before), _means(gate, gate.after)
    return f"{before[0]} → {after[0]}", f"{before[1]} → {after[1]}"


def _means(gate: AnyGate, biases: tuple[float, ...]) -> tuple[str, str]:
    """Mean effective bias and mean activation, as the table prints them."""
    active = ACTIVATIONS[gate.lstm.activation_function if gate.gate == "f" else "sigmoid"]
    return digits(of_sorted(sorted(biases)).mean), fraction(
        of_sorted(sorted(map(active, biases))).mean
    )


def describe_edits(planned: AnyPlan) -> str:
    """The ranges of bytes, file by file: place, length, reason, and the head of old and new."""
    return "\n".join(line for file in planned.files for line in _diff(file.path, file.edits))


def _diff(path: str, edits: tuple[Edit, ...]) -> Iterator[str]:
    if edits:
        yield f"--- {escape(path)}"
    for edit in edits:
        head, *more = wrap(f"@ {edit.at} +{len(edit.new)}  {escape(edit.reason)}", REASON)
        yield "\n  ".join((head, *more))
        yield f"- {_hex(edit.old)}"
        yield f"+ {_hex(edit.new)}"


def _hex(raw: bytes) -> str:
    return raw[:SHOWN_BYTES].hex(" ") + (" …" if len(raw) > SHOWN_BYTES else "")


def changes_as_json(
    planned: AnyPlan, written: bool, undo: list[str], warnings: list[str]
) -> dict[str, Any]:
    """One patched checkpoint as the JSON of `lstm-audit/patch/1`."""
    return {
        "path": planned.path,
        "format": planned.format,
        "target": planned.target.text,
        "changes": planned.changes,
        "written": written and planned.changes,
        "undo": undo,
        "gates": [_gate_json(gate) for gate in planned.gates],
        "files": [
            {"path": file.path, "edits": [_edit_json(edit) for edit in file.edits]}
            for file in planned.files
        ],
        "warnings": warnings,
    }


def _gate_json(gate: AnyGate) -> dict[str, Any]:
    return {
        "module": gate.lstm.module,
        "layer": gate.lstm.layer,
        "direction": gate.lstm.direction,
        "gate": gate.gate,
        "before": json_number(of_sorted(sorted(gate.before)).mean),
        "after": json_number(of_sorted(sorted(gate.after)).mean),
        "error": json_number(gate.error),
    }


def _edit_json(edit: Edit) -> dict[str, Any]:
    return {"at": edit.at, "old": edit.old.hex(), "new": edit.new.hex(), "reason": edit.reason}
