"""The directions of cells that a state dict names by the folders of their layers.

Comes in: a row that has `ways`, and the names of a checkpoint. Goes out: the checkpoint, with a
claim for each cell that is one of a bidirectional layer's two, or may be one. Promise: a name alone
is no direction; where nothing tells a cell's, its row in the report has a note.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from ..formats import Checkpoint, Claim, shape_of
from ..ways import DIRECTION_UNKNOWN, Ways, find_children, find_pair, steps
from .conventions import Convention

# Folders in a name that is looked at: a model nests its layers three or four deep.
MAX_FOLDERS = 16

DOUBT = Claim("", notes=(DIRECTION_UNKNOWN,))


# Three witnesses, in order: the attribute of the layer, under which torch keeps the cell once more
# (`backward_layer.`); the names of two layers that are alone in their folder; the widths of their
# inputs, since the two of a bidirectional layer read the same sequence.
def claim_ways(row: Convention, names: Iterable[str], checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with what its names tell of directions."""
    if row.ways is None:
        return checkpoint
    hinted = [name for name in names if row.hint in name and name.count("/") <= MAX_FOLDERS]
    weights = [name for name in hinted if name.endswith(f"/{row.required[0]}")]
    claims = _read_attributes(row.ways, weights)
    children = find_children(hinted, row.ways)
    layers: dict[tuple[str, str], list[str]] = {}
    for name in weights:
        for parent, child in steps(name):
            if parent in children:
                layers.setdefault((parent, child), []).append(name)
    for parent, inner in children.items():
        pair = find_pair(inner, row.ways)
        if pair is not None and len(inner) == 2:
            cells = [layers.get((parent, layer), []) for layer in (pair.forward, pair.backward)]
            claims |= _claim_pair(cells, pair.named, claims, checkpoint)
    return checkpoint._replace(claims=claims | dict(checkpoint.claims))


def _read_attributes(ways: Ways, weights: Sequence[str]) -> dict[str, Claim]:
    """Folder to claim, for the cells of which some name has the attribute; the other names of such
    a cell are told by what follows it.
    """
    told = {
        name.replace(found[0], "", 1): _claim(found["way"] == ways.reverse)
        for name in weights if (found := re.search(ways.attribute, name))
    }  # fmt: skip
    if not told:
        return {}
    plain = {name: re.sub(ways.attribute, "", name, count=1) for name in weights}
    return {_folder(name): told[plain[name]] for name in weights if plain[name] in told}


def _claim_pair(
    cells: Sequence[Sequence[str]],
    named: bool,
    told: Mapping[str, Claim],
    checkpoint: Checkpoint,
) -> dict[str, Claim]:
    """Folder to claim, for the recurrent weights of the two layers in one folder."""
    forward, backward = cells
    if not forward or not backward:
        return {}
    if named or any(_folder(name) in told for name in (*forward, *backward)):
        return {
            _folder(name): _claim(reverse) for reverse, layer in enumerate(cells) for name in layer
        }
    widths = [_input_width(layer[0], checkpoint) for layer in cells]
    if None not in widths and widths[0] != widths[1]:
        return {}
    return {_folder(name): DOUBT for name in (*forward, *backward)}


def _input_width(weight: str, checkpoint: Checkpoint) -> int | None:
    """Features of the input that the cell of a recurrent weight reads."""
    name = f"{_folder(weight)}/kernel"
    shape = shape_of(checkpoint.tensors, name) if name in checkpoint.tensors else ()
    return shape[0] if len(shape) == 2 else None


def _claim(reverse: int) -> Claim:
    return Claim("", facts={"reverse": int(reverse)})


def _folder(name: str) -> str:
    return name.rpartition("/")[0]
