"""Names into groups: the tensors of one recurrence, gathered by module, layer and direction.

Comes in: a row of the table of conventions and the names of a checkpoint. Goes out: `Group`s. Promise: names are
matched whole, never by a part.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..formats import Checkpoint, shape_of
from .naming import HEAD, Convention

UNKNOWN = "unknown"
"""The direction of a numbered cell when one direction and two would both fit."""

Key = tuple[str, int, str]
"""Module, layer, direction."""

Part = tuple[str, str]
"""The letter of a gate that has a tensor of its own (else ""), and the key into the row's slots."""


class Group(NamedTuple):
    """The tensors of one recurrence under one convention: part to name."""

    module: str
    layer: int
    direction: str
    parts: dict[Part, str]

    @property
    def separate(self) -> bool:
        """Whether each gate has tensors of its own."""
        return any(gate for gate, _ in self.parts)

    def first(self, convention: Convention, *roles: str) -> str | None:
        """The name of the first tensor with one of the roles, in the order of the row's slots."""
        slots = convention.slots
        keys = [part for part in self.parts if slots[part[1]].role in roles]
        if len(keys) > 1:
            order = list(slots)
            keys.sort(key=lambda part: order.index(part[1]))
        return self.parts[keys[0]] if keys else None

    def factor(self, convention: Convention, role: str, half: str) -> str | None:
        """The name of the tensor that masks or scales a half."""
        for (_, key), name in self.parts.items():
            slot = convention.slots[key]
            if slot.role == role and slot.half == half:
                return name
        return None

    def mirror(self, convention: Convention, key: str) -> str:
        """The second name that the framework gives to a tensor, or "" where it gives none."""
        if not convention.mirror:
            return ""
        reverse = "_reverse" if self.direction == "reverse" else ""
        tail = convention.mirror.format(tensor=key, layer=self.layer, reverse=reverse)
        return f"{self.module}.{tail}" if self.module else tail


def grouped(convention: Convention, names: Sequence[str], checkpoint: Checkpoint) -> Iterator[Group]:
    """The names that fit the row, as groups that have everything the row requires."""
    pattern = re.compile(f"{HEAD}{convention.tail}", re.DOTALL)
    groups: dict[Key, Group] = {}
    for name in names:
        if match := pattern.fullmatch(name):
            module, layer, direction, part = _parse(convention, match)
            if part[1] in convention.slots:
                group = groups.setdefault((module, layer, direction), Group(module, layer, direction, {}))
                group.parts[part] = name
    _adopt_dropped_weights(groups)
    if "?P<cell>" in convention.tail:
        groups = _unfold_cells(groups, checkpoint)
    for group in groups.values():
        if {key for _, key in group.parts}.issuperset(convention.required):
            yield group


def _parse(convention: Convention, match: re.Match[str]) -> tuple[str, int, str, Part]:
    """Module, layer, direction and part of a name that fits the row."""
    found = match.groupdict()
    layer = int(found.get("layer") or found.get("odd") or found.get("cell") or 0)
    odd = found.get("odd") is not None and layer % 2 == 1
    backward = odd or found.get("way") in convention.backward
    gate = convention.gate_words.get(found.get("gate") or "", "")
    key = (found.get("tensor") or "") + (found.get("form") or "")
    return found["module"] or "", layer, "reverse" if backward else "forward", (gate, key)


def _adopt_dropped_weights(groups: dict[Key, Group]) -> None:
    """fastai keeps the raw recurrent weight of a weight-dropped LSTM one level above the module with the biases."""
    raw = ("", "weight_hh_raw")
    for (module, layer, direction), inner in groups.items():
        parent, _, last = module.rpartition(".")
        outer = groups.get((parent, layer, direction)) if last == "module" else None
        if outer is not None and raw in outer.parts:
            inner.parts.setdefault(raw, outer.parts.pop(raw))


def _unfold_cells(groups: dict[Key, Group], checkpoint: Checkpoint) -> dict[Key, Group]:
    """Cell numbers are layer * directions + direction; the module's class or the widths tell the directions."""
    unfolded = {}
    for (module, number, _), group in groups.items():
        ways = _directions([g for g in groups.values() if g.module == module], checkpoint)
        layer, back = divmod(number, ways or 1)
        direction = UNKNOWN if ways is None else "reverse" if back else "forward"
        unfolded[module, layer, direction] = group._replace(layer=layer, direction=direction)
    return unfolded


def _directions(cells: Sequence[Group], checkpoint: Checkpoint) -> int | None:
    """1 or 2; None when the input is as wide as the hidden state and both would fit."""
    claim = checkpoint.claims.get(cells[0].module)
    if claim is not None and "bidirectional" in claim.facts:
        return 1 + bool(claim.facts["bidirectional"])
    widths = {}
    for cell in cells:
        weight, recurrent = cell.parts.get(("", "0.0")), cell.parts.get(("", "1.0"))
        if weight is None or recurrent is None:
            return None
        shapes = shape_of(checkpoint.tensors, weight), shape_of(checkpoint.tensors, recurrent)
        if len(shapes[0]) != 2 or len(shapes[1]) != 2:
            return None
        widths[cell.layer] = shapes[0][1], shapes[1][1]
    fits = [ways for ways in (1, 2) if _widths_fit(widths, ways)]
    return fits[0] if len(fits) == 1 else None


def _widths_fit(widths: dict[int, tuple[int, int]], ways: int) -> bool:
    """Whether a stack of so many directions would give every numbered cell the input width it has."""
    if sorted(widths) != list(range(len(widths))) or len(widths) % ways:
        return False
    return all(width == (ways * hidden if n >= ways else widths[0][0]) for n, (width, hidden) in widths.items())
