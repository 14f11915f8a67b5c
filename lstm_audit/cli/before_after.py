"""The page of before and after, for `diff` and `patch`.

Comes in: a `Comparison`, or what was planned. Goes out: HTML. Promise: what could not be compared
or patched is on the page, with its reason.
"""

from collections.abc import Iterator, Sequence

from ..compare import Comparison, LstmPair
from ..facts import Row
from ..lstm.layer import GATES
from ..reports import Look
from ..reports.html.change import GateChange, GateSide, Told, page_of_changes
from ..reports.words import digits, say_count, show_address, show_module
from .output import command_line
from .patched import AnyGate, AnyPlan


def page_of_diff(comparison: Comparison) -> str:
    """Two checkpoints, gate by gate; of gates other than f those that moved."""
    pairs = comparison.pairs
    moved = sum(pair.changed for pair in pairs)
    said = f"{say_count(len(pairs), 'LSTM')} compared, {moved} changed"
    if not pairs:
        said = "nothing compared: no LSTM is in both"
    changes = [change for pair in pairs for change in _changes_of(pair)]
    told = Told("Before and after", [said], "Not compared", list(_list_uncompared(comparison)))
    return page_of_changes(told, changes, Look(command=command_line()))


def _changes_of(pair: LstmPair) -> Iterator[GateChange]:
    a, b = pair.a.lstm, pair.b.lstm
    name = show_address(a, None)
    if a.address != b.address:
        name += f" = {show_address(b, None)}"
    said = pair.relation.text if pair.relation is not None and pair.changed else ""
    for gate in GATES:
        change = GateChange(name, gate, _side(pair.a, gate), _side(pair.b, gate), said)
        if gate == "f" or pair.moved[gate]:
            yield change


def _side(row: Row, gate: str) -> GateSide:
    assert row.units is not None, "diff asks for the numbers of each unit"
    function = row.lstm.activation_function if gate == "f" else "sigmoid"
    return GateSide(row.units.bias[gate], function)


def _list_uncompared(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    for side, only, skipped in zip("AB", comparison.only, comparison.skipped, strict=True):
        for row in only:
            bias = digits(row.measures.gates["f"].mean)
            yield "info", f"{show_address(row.lstm, None)} (bias {bias})", f"only in {side}"
        for skip in skipped:
            yield "warning", show_module(skip.module), f"not judged in {side}: {skip.detail}"


def page_of_patch(
    planned: Sequence[tuple[AnyPlan, bool]], refused: Sequence[tuple[str, str]]
) -> str:
    """What was written, or would be: (plan, whether it was carried out); and what was refused."""
    changes = [
        _change_of(one, gate, several=len(planned) > 1) for one, _ in planned for gate in one.gates
    ]
    others = [("error", path, f"refused: {why}") for path, why in refused]
    said = [_sum_up(one, done) for one, done in planned]
    told = Told("Before and after a patch", said, "Not patched", others)
    return page_of_changes(told, changes, Look(command=command_line()))


def _sum_up(planned: AnyPlan, done: bool) -> str:
    """`model.pt: forget bias 1, 2 ranges, 256 bytes changed`."""
    edits = [edit for file in planned.files for edit in file.edits]
    if not edits:
        return f"{planned.path}: already at {planned.target.text}"
    size = say_count(sum(len(edit.new) for edit in edits), "byte")
    verb = "changed" if done else "would change"
    return (
        f"{planned.path}: {planned.target.text}, {size} in {say_count(len(edits), 'range')} {verb}"
    )


def _change_of(planned: AnyPlan, gate: AnyGate, several: bool) -> GateChange:
    function = gate.lstm.activation_function if gate.gate == "f" else "sigmoid"
    name = show_address(gate.lstm, None)
    name = f"{planned.path} {name}" if several else name
    return GateChange(
        name, gate.gate, GateSide(gate.before, function), GateSide(gate.after, function)
    )
