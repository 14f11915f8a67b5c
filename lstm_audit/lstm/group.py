"""Names into groups: the tensors of one recurrence, gathered by module, layer and direction.

Comes in: a row of the table of conventions and the names of a checkpoint. Goes out: `Group`s.
Promise: names are matched whole, never by a part.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from ..formats import Checkpoint, shape_of
from .conventions import CONVENTIONS, HEAD, Convention

UNKNOWN = "unknown"
"""The direction of a numbered cell when one direction and two would both fit."""

Key = tuple[str, int, str]
"""Module, layer, direction."""

Part = tuple[str, str]
"""The letter of a gate that has a tensor of its own (else ""), and the key into the row's slots."""


class Group(NamedTuple):
    """The tensors of one recurrence under one convention: part to name.

    `first` gives for each role that is there the name of its first tensor, in the order of the
    row's slots.
    """

    module: str
    layer: int
    direction: str
    parts: dict[Part, str]
    first: Mapping[str, str] = {}

    @property
    def separate(self) -> bool:
        """Whether each gate has tensors of its own."""
        return any(gate for gate, _ in self.parts)

    def mirror(self, convention: Convention, key: str) -> str:
        """The second name that the framework gives to a tensor, or "" where it gives none."""
        if not convention.mirror:
            return ""
        reverse = "_reverse" if self.direction == "reverse" else ""
        tail = convention.mirror.format(tensor=key, layer=self.layer, reverse=reverse)
        return f"{self.module}.{tail}" if self.module else tail


def grouped(
    convention: Convention, names: Sequence[str], checkpoint: Checkpoint
) -> Iterator[Group]:
    """The names that fit the row, as groups that have everything the row requires."""
    groups: dict[Key, Group] = {}
    for name in _marked(names, convention.marks):
        if (found := placed(convention, name)) is not None:
            key, part = found
            if convention.claimed:
                key = _apart(groups, key, name)
            if key not in groups:
                groups[key] = Group(*key, {})
            groups[key].parts[part] = name
    for group in groups.values():
        _drop_computed(convention, group.parts)
    _adopt_dropped_weights(groups)
    if "?P<cell>" in convention.tail:
        groups = _unfold_cells(groups, checkpoint)
    for group in groups.values():
        if {key for _, key in group.parts}.issuperset(convention.required):
            yield Group(
                group.module,
                group.layer,
                group.direction,
                group.parts,
                _firsts(convention, group.parts),
            )


def _apart(groups: Mapping[Key, Group], key: Key, name: str) -> Key:
    """The key, or one of its own for a second folder under the same: cells that are told apart by
    their number alone.
    """
    folder = name.rpartition("/")[0]
    there = groups.get(key)
    if there is None or next(iter(there.parts.values())).rpartition("/")[0] == folder:
        return key
    return folder, key[1], key[2]


def placed(convention: Convention, name: str) -> tuple[Key, Part] | None:
    """The recurrence and the part of it that a name means under the row; None when it does not
    fit.
    """
    return _placed(convention.tail, name)


@lru_cache(maxsize=1024)
def _placed(tail: str, name: str) -> tuple[Key, Part] | None:
    """Remembered: the checkpoints of a run have the same names. (A row is known by its tail, which
    can be hashed.)
    """
    match, convention = _pattern(tail).fullmatch(name), _ROWS[tail]
    found = None if match is None else _parse(convention, match)
    return found if found and found[1][1] in convention.slots else None


@cache
def _pattern(tail: str) -> re.Pattern[str]:
    return re.compile(f"{HEAD}{tail}", re.DOTALL)


_ROWS = {convention.tail: convention for convention in CONVENTIONS}


def _marked(names: Sequence[str], marks: Sequence[str]) -> Sequence[str]:
    """The names that contain a mark, once for each that they contain; all of them, where there are
    no marks.
    """
    return [name for name in names for mark in marks if mark in name] if marks else names


def _firsts(convention: Convention, parts: Mapping[Part, str]) -> dict[str, str]:
    """Role to the name of its first tensor."""
    order, chosen = list(convention.slots), dict[str, Part]()
    for part in parts:
        role = convention.slots[part[1]].role
        rival = chosen.get(role)
        if rival is None or order.index(part[1]) < order.index(rival[1]):
            chosen[role] = part
    return {role: parts[part] for role, part in chosen.items()}


def _parse(convention: Convention, match: re.Match[str]) -> tuple[Key, Part]:
    """Module, layer, direction and part of a name that fits the row."""
    found = match.groupdict("").get
    layer = int(found("layer") or found("odd") or found("cell") or 0)
    backward = found("way") in convention.backward or (layer % 2 == 1 and bool(found("odd")))
    gate = convention.gate_words.get(found("gate", ""), "")
    key = found("tensor", "") + found("form", "")
    module, cell = found("module", ""), found("cell_name") or "lstm_cell"
    if cell != "lstm_cell":
        module = f"{module}/{cell}" if module else cell
    return (module, layer, "reverse" if backward else "forward"), (gate, key)


def _drop_computed(convention: Convention, parts: dict[Part, str]) -> None:
    """torch.nn.utils.prune keeps the masked tensor as an attribute, which a pickled module has
    beside `_orig`.
    """
    for key, copy in convention.computed.items():
        if ("", key) in parts:
            parts.pop(("", copy), None)


def _adopt_dropped_weights(groups: dict[Key, Group]) -> None:
    """fastai keeps the raw recurrent weight of a weight-dropped LSTM one level above the module
    with the biases.
    """
    raw = ("", "weight_hh_raw")
    for (module, layer, direction), inner in groups.items():
        parent, _, last = module.rpartition(".")
        outer = groups.get((parent, layer, direction)) if last == "module" else None
        if outer is not None and raw in outer.parts:
            inner.parts.setdefault(raw, outer.parts.pop(raw))


def _unfold_cells(groups: dict[Key, Group], checkpoint: Checkpoint) -> dict[Key, Group]:
    """Cell numbers are layer * directions + direction; the module's class or the widths tell the
    directions.
    """
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
    """Whether a stack of so many directions would give every numbered cell the input width it
    has.
    """
    if sorted(widths) != list(range(len(widths))) or len(widths) % ways:
        return False
    return all(
        width == (ways * hidden if n >= ways else widths[0][0])
        for n, (width, hidden) in widths.items()
    )
