"""The line that a finding is about.

Comes in: findings of the rules for weights, and the parts they speak of. Goes out: the same with
line and column, one for each code and line. Promise: the line is that of the write that decides.
"""

from collections.abc import Callable, Iterable, Sequence

from ..facts import Finding
from .imaginary import FoundLayers, LayerBiases
from .machine import is_set
from .tensors import WrittenRun, read_runs
from .values import SourcePlace

HALVES = ("ih", "hh")


def place_findings(findings: Iterable[Finding], parts: FoundLayers) -> list[Finding]:
    """Findings with their lines; those of one code and line are one, which names all owners."""
    placed = [_place(finding, parts) for finding in findings]
    merged: dict[tuple[str, int | None, int | None], list[Finding]] = {}
    for finding in placed:
        merged.setdefault((finding.code, finding.line, finding.column), []).append(finding)
    return [_merge(group) for group in merged.values()]


def _merge(group: Sequence[Finding]) -> Finding:
    first = group[0]
    others = list(dict.fromkeys(f.module for f in group if f.module and f.module != first.module))
    if not others:
        return first
    return first._replace(message=f"{first.message} (also in {', '.join(others[:8])})")


def _place(finding: Finding, parts: FoundLayers) -> Finding:
    """With its line, and with what mends source in the place of what mends a file."""
    message = _with_remedy(finding) + _what_is_imagined(finding, parts)
    finding = finding._replace(fix=None, message=message)
    if finding.line is not None:
        return finding
    found = _place_of(finding, parts)
    if found is None:
        return finding._replace(line=1, column=1)
    return finding._replace(path=found.path, line=found.line, column=found.column)


def _place_of(finding: Finding, parts: FoundLayers) -> SourcePlace | None:
    if finding.code == "LA111":
        return _of_gru(finding, parts)
    group = [part for part in parts.lstms if part.module == finding.module]
    if finding.code == "LA103":
        return next((place for part in group if (place := _last_set(part))), None)
    for part in group:
        if (part.layer, part.direction) == (finding.layer, finding.direction):
            return DECIDING.get(finding.code, _last_forget)(part)
    return None


def _with_remedy(finding: Finding) -> str:
    """The call that sets the bias right whatever ran before it, where no edit of a line does."""
    if finding.code not in ("LA102", "LA103", "LA105", "LA107", "LA501"):
        return finding.message
    owner, _, attribute = (finding.module or "").rpartition(".")
    name = f"self.{attribute}" if owner else attribute or "lstm"
    return f"{finding.message}, or end with lstm_audit.patch({name}, forget_bias=1.0)"


def _what_is_imagined(finding: Finding, parts: FoundLayers) -> str:
    """What a reader must know of the numbers of the message: which of them the source leaves
    open.
    """
    for part in parts.lstms:
        if part.module == finding.module:
            if part.held.helper:
                return f" (of any LSTM that {part.held.helper} is given)"
            if part.held.module.size_open:
                return f" (the source leaves hidden_size open; {part.hidden_size} stands for it)"
    return ""


def _last(runs: Iterable[WrittenRun]) -> SourcePlace | None:
    places = [run.place for run in runs if run.place is not None]
    return max(places, key=lambda place: place.order, default=None)


def _last_forget(part: LayerBiases) -> SourcePlace | None:
    """The last write into the forget gate of either half."""
    return _last(run for half in HALVES for run in part.gate(half, 1))


def _last_set(part: LayerBiases) -> SourcePlace | None:
    """The last write that gave the forget gate something."""
    return _last(run for half in HALVES for run in part.gate(half, 1) if is_set(run))


def _last_other(part: LayerBiases) -> SourcePlace | None:
    """The last write of a number into a gate that is not the forget gate."""
    return _last(
        run for half in HALVES for gate in (0, 2, 3) for run in part.gate(half, gate) if is_set(run)
    )


DECIDING: dict[str, Callable[[LayerBiases], SourcePlace | None]] = {
    "LA101": _last_set,
    "LA102": _last_other,
    "LA104": _last_set,
    "LA105": _last_set,
    "LA106": _last_set,
}


def _of_gru(finding: Finding, parts: FoundLayers) -> SourcePlace | None:
    """The write of the constant block, which begins at a quarter."""
    for held, _, bias in parts.grus:
        if held.name == finding.module:
            runs = [run for run in read_runs(bias) if isinstance(run.cell, float) and run.cell]
            if runs:
                return _last(runs)
    return None
