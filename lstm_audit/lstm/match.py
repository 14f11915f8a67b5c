"""Step one, match: names into groups, the tensors of one recurrence under one convention.

Comes in: a row of the table of conventions and the names of a checkpoint. Goes out: `Group`s.
Promise: names are matched whole, never by a part; a name belongs to a row by the row alone, so that
two rows may share a tail.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from ..errors import MalformedFile
from ..formats import Checkpoint, shape_of
from ..raw.tensor import Tensor
from ..tuples import NamedTuple
from .conventions import CONVENTIONS, HEAD, JOINED, Convention

# The direction of a numbered cell when one direction and two would both fit.
UNKNOWN = "unknown"

# Names of a row whose place is kept: the checkpoints of a run have the same ones, and matching them
# anew would take a tenth of an audit.
REMEMBERED = 1024

# Modules of one file whose names fit a row: eight times as many as LSTMs are read, since other
# layers and recurrences may be called the same.
MAX_GROUPS = 8192

# Module, layer, direction.
GroupKey = tuple[str, int, str]

# The letter of a gate that has a tensor of its own (else ""), and the key into the row's slots.
SlotPart = tuple[str, str]

# From a name to the recurrence that it belongs to, and the part of it that it is; None when the
# name does not fit.
Placing = Callable[[str], tuple[GroupKey, SlotPart] | None]


# Strategy. Matching is by whole names against one expression a row: a head (the module's path) and
# a tail (what the framework calls the tensor). A name that fits gives two things, the recurrence it
# belongs to and the part of it that it is; names with the same recurrence are one group. Nothing is
# looked up by a shared prefix and no shape is asked: shapes are the business of step two, so that a
# row can be written, and tested, from names alone.
class ConventionRow(NamedTuple):
    """A convention, and how it reads a name."""

    convention: Convention
    place: Placing


class Group(NamedTuple):
    """The tensors of one recurrence under one convention: part to name.

    `spare` are the names of tensors that the framework computes from the parts. `first` gives for
    each role that is there the name of its first tensor, in the order of the row's slots.
    """

    convention: Convention
    module: str
    layer: int
    direction: str
    parts: dict[SlotPart, str]
    first: Mapping[str, str] = {}
    spare: tuple[str, ...] = ()

    @property
    def separate(self) -> bool:
        """Whether each gate has tensors of its own."""
        return any(gate for gate, _ in self.parts)

    @property
    def joined(self) -> bool:
        """Whether the module's path is joined to the names without a separator."""
        at = len(self.module)
        return at > 0 and any(name[at] not in "./:|" for name in self.parts.values())

    def mirror(self, key: str) -> str:
        """The second name that the framework gives to a tensor, or "" where it gives none."""
        if not self.convention.mirror:
            return ""
        reverse = self.convention.mirror_reverse if self.direction == "reverse" else ""
        tail = self.convention.mirror.format(tensor=key, layer=self.layer, reverse=reverse)
        return f"{self.module}.{tail}" if self.module else tail


# Rows are made at import, expressions only when a name first needs one: a file of torch's needs two
# of them, and compiling all at import would be paid by every start.
def row_of(convention: Convention) -> ConventionRow:
    """A built-in convention as a row. Its expression is compiled when a name first needs it."""

    @lru_cache(maxsize=REMEMBERED)
    def place(name: str) -> tuple[GroupKey, SlotPart] | None:
        # re keeps compiled expressions by their text
        match = re.compile(HEAD + convention.tail, re.DOTALL).fullmatch(name)
        if match is None and convention.joined:
            match = re.compile(JOINED + convention.tail, re.DOTALL).fullmatch(name)
        found = None if match is None else _parse(convention, match)
        return found if found and found[1][1] in convention.slots else None

    return ConventionRow(convention, place)


ROWS: tuple[ConventionRow, ...] = tuple(map(row_of, CONVENTIONS))


# The marks are plain texts, one of which every name of the row contains: `in` is far cheaper than a
# failed expression, and most names of a checkpoint belong to no recurrence.
def match(row: ConventionRow, names: Sequence[str], checkpoint: Checkpoint) -> Iterator[Group]:
    """The names that fit the row, as groups that have everything the row requires."""
    convention = row.convention
    groups: dict[GroupKey, Group] = {}
    for name in _find_marked(names, convention.marks):
        if (found := place(row, name, checkpoint)) is not None:
            key, part = found
            if convention.claimed or (convention.joint and "?P<cell_name>" in convention.tail):
                key = _apart(groups, key, part, name)
            if key not in groups:
                if len(groups) == MAX_GROUPS:
                    message = f"over {MAX_GROUPS} modules of one file look like recurrences"
                    raise MalformedFile(message, kind="limit")
                groups[key] = Group(convention, *key, {})
            groups[key].parts[part] = name
    for key, group in groups.items():
        groups[key] = group._replace(spare=_drop_computed(convention, group.parts))
    # AWD-LSTM's weight drop registers the raw weight on the wrapper, one level above the module
    # that has the rest: the group would be split in two, and neither half would be complete.
    for slot, child in convention.beside.items():
        _adopt(groups, ("", slot), child)
    # torch.ao's dynamically quantised LSTM keeps its cells in one list, whose numbers do not say
    # layer and direction. That needs the whole stack, so it is done when all groups are there.
    if "?P<cell>" in convention.tail:
        groups = _unfold_cells(groups, checkpoint)
    for group in groups.values():
        # A group without what its row requires is dropped in silence here: its names go on to the
        # next row, and what no row takes is looked at by `unknown`, which does not stay silent.
        if {key for _, key in group.parts}.issuperset(convention.required):
            yield group._replace(first=_firsts(convention, group.parts))


def place(
    row: ConventionRow, name: str, checkpoint: Checkpoint
) -> tuple[GroupKey, SlotPart] | None:
    """The recurrence that a name belongs to, and its part; None when it does not fit the row.

    A direction that is written in a name alone (`backward_lstm`) is one only where the reader says
    that the cell is one of a bidirectional layer's two.
    """
    found = row.place(name)
    if found is None or not row.convention.wrapped:
        return found
    claim = checkpoint.claims.get(name.rpartition("/")[0])
    (module, layer, _), part = found
    if claim is not None and "reverse" in claim.facts:
        return (module, layer, "reverse" if claim.facts["reverse"] else "forward"), part
    return found if claim is not None and claim.facts.get("bidirectional") else None


def paths(name: str) -> Iterator[str]:
    """A name or path, and every path around it, the root's last."""
    yield name
    for mark in re.finditer(r"[./:|]", name[::-1]):
        yield name[: len(name) - mark.end()]
    yield ""


# A claimed row's names (Keras's `kernel`, `recurrent_kernel`, `bias`) say nothing but the part: two
# cells that end up under one key would be mixed, bias of one with weight of the other.
# TensorFlow's `basic_lstm_cell` and `lstm_cell` may stand in one scope too; there a projection's
# kernel lies one folder deeper than the rest.
def _apart(groups: Mapping[GroupKey, Group], key: GroupKey, part: SlotPart, name: str) -> GroupKey:
    """The key, or one of its own for a second folder under the same: cells that are told apart by
    their number, or by their class, alone.
    """
    there = groups.get(key)
    if there is None:
        return key
    first_part, first = next(iter(there.parts.items()))
    folder = _folder(there.convention, part, name)
    return key if folder == _folder(there.convention, first_part, first) else (folder, *key[1:])


def _folder(convention: Convention, part: SlotPart, name: str) -> str:
    """Where the tensors of a cell stand."""
    if convention.claimed:
        return name.rpartition("/")[0]
    return name.rpartition(part[1])[0].rstrip("/.")


def aligned(group: Group) -> bool:
    """Whether the framework's second names mean the same tensors.

    Paddle deals them out in order and has none for `weight_ho`: with a projection all but the first
    cell's are shifted (`bias_ih_l1` is a weight, `bias_hh_l1` the bias_ih of layer 1).
    """
    return "projection" not in group.first or (group.layer == 0 and group.direction == "forward")


def find_mirrored(group: Group, tensors: Mapping[str, Tensor], *roles: str) -> list[str]:
    """The second names of the group's tensors (of some roles, or of all) that are there."""
    slots = group.convention.slots
    if not group.convention.mirror:
        return []
    keys = [key for _, key in group.parts if not roles or slots[key].role in roles]
    return sorted(name for key in keys if (name := group.mirror(key)) in tensors)


def _find_marked(names: Sequence[str], marks: Sequence[str]) -> Sequence[str]:
    """The names that contain a mark, once for each that they contain; all of them, where there are
    no marks.
    """
    return [name for name in names for mark in marks if mark in name] if marks else names


def _firsts(convention: Convention, parts: Mapping[SlotPart, str]) -> dict[str, str]:
    """Role to the name of its first tensor."""
    order, chosen = list(convention.slots), dict[str, SlotPart]()
    for part in parts:
        role = convention.slots[part[1]].role
        rival = chosen.get(role)
        if rival is None or order.index(part[1]) < order.index(rival[1]):
            chosen[role] = part
    return {role: parts[part] for role, part in chosen.items()}


def _parse(convention: Convention, match: re.Match[str]) -> tuple[GroupKey, SlotPart]:
    """Module, layer, direction and part of a name that fits the row."""
    found = match.groupdict("").get
    layer = int(found("layer") or found("odd") or found("cell") or 0)
    backward = found("way") in convention.backward or (layer % 2 == 1 and bool(found("odd")))
    gate = convention.gate_words.get(found("gate", ""), "")
    key = found("tensor", "") + found("form", "")
    module, cell = found("module", ""), found("cell_name")
    if cell and cell != convention.usual_cell:
        module = f"{module}/{cell}" if module else cell
    return (module, layer, "reverse" if backward else "forward"), (gate, key)


# `weight` is then weight_orig * weight_mask: both are there, and counting both would double a bias.
def _drop_computed(convention: Convention, parts: dict[SlotPart, str]) -> tuple[str, ...]:
    """torch.nn.utils.prune keeps the masked tensor as an attribute, which a pickled module has
    beside `_orig`: the names that were dropped.
    """
    copies = [copy for key, copy in convention.computed.items() if ("", key) in parts]
    return tuple(parts.pop(("", copy)) for copy in copies if ("", copy) in parts)


def _adopt(groups: dict[GroupKey, Group], part: SlotPart, child: str) -> None:
    """A tensor that stands one level above the module that it belongs to moves into it."""
    for (module, layer, direction), inner in groups.items():
        parent, _, last = module.rpartition(".")
        outer = groups.get((parent, layer, direction)) if last == child else None
        if outer is not None and part in outer.parts:
            inner.parts.setdefault(part, outer.parts.pop(part))


def _unfold_cells(groups: dict[GroupKey, Group], checkpoint: Checkpoint) -> dict[GroupKey, Group]:
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


# Three witnesses, in order: the module's own fact (a live or pickled module says `bidirectional`),
# the widths (above a bidirectional layer the input is twice H), and otherwise nobody: then the
# direction is `unknown`, and step two refuses to judge.
def _directions(cells: Sequence[Group], checkpoint: Checkpoint) -> int | None:
    """1 or 2; None when the input is as wide as the hidden state and both would fit."""
    claim = checkpoint.claims.get(cells[0].module)
    if claim is not None and "bidirectional" in claim.facts:
        return 1 + bool(claim.facts["bidirectional"])
    widths = {}
    for cell in cells:
        first = _firsts(cell.convention, cell.parts)
        if "input" not in first or "recurrent" not in first:
            return None
        weight, recurrent = first["input"], first["recurrent"]
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
