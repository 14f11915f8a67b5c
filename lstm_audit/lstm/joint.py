"""Cells with one weight over the input and the hidden state, under names of no convention.

Comes in: a `Scene`. Goes out: `Sight`s. Promise: a shape alone never speaks; what speaks is a name
that says gates, or a module that says LSTM, or a stack of convolutions that fit cell by cell.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from ..tuples import NamedTuple
from .draft import Draft
from .scene import (
    LSTM_WORD,
    Scene,
    Sight,
    find_bias,
    has_others,
    is_cell,
    says_cell,
    says_lstm,
)
from .siblings import stem_of

GATES_WORD = (
    r"(?i)^\w*(?<![a-z])gates$|^\w*2gates$|^\w*(?<![a-z])gates_?conv(?:olution)?s?\d?d?$|"
    r"^\w*(?<![a-z])gates_?(?:linear|lin|fc|layer|dense|proj\w*)$|^(?:\w+_)?(?:xh|hx)(?:_\w+)?$|"
    r"^(?:[a-z]\w*_)?(?=[ifogcju]{4}$)(?=\w*f)(?=\w*o)(?=\w*i)\w+$"
)
JOINT_STEMS = (
    r"(?i)^(?:\w*gates?|gates?_?(?:linear|lin|fc|proj\w*|layer|dense)|linear|lin|fc|w|weights?|kernel|"
    r"x2h|xh|hx|i2h|dense|layer|proj\w*|cell|lstm|combined|main|"
    r"(?:in|input|x|xh|hx|gates?|cell|rec|recurrent|rnn|lstm|combined)_?conv(?:olution)?s?\d?d?|"
    r"conv(?:olution)?\d?d?(?:_?(?:gates?|xh|hx|x|in|input|all|lstm|cell|i2h))?)$"
)
GRU_STEMS = r"(?i)can(?:didate)?|reset|update|gate_?[rzu]$|_[rzu]$|out_?gate|new"

# What every name of these has somewhere: most names cost no other expression. A text: to compile it
# takes 1.5 ms, which a file without a name left over need not pay at its start.
HINTS = r"(?i)gate|lstm|cell|rnn|recurr|[ifogcju]{4}(?![a-z])"

LEAVES = ("weight", "kernel", "w", "W", "")


class NamedLayer(NamedTuple):
    """A weight as the parts of its name: in `cell.conv.0.weight` the number is no stem."""

    module: str
    stem: str
    leaf: str


def layer_of(name: str) -> NamedLayer:
    """Where the layer is one of a sequence, the sequence's name is its stem."""
    module, stem, leaf = stem_of(name)
    stem = re.sub(r"(?<=gates)_(?:kernel|weights?|w)$", "", stem)
    if stem.isdigit() and leaf and re.search(JOINT_STEMS, stem_of(module)[1]):
        module, stem, _ = stem_of(module)
    return NamedLayer(module, stem, leaf)


# The weakest look, and the one with most conditions: one weight (4H, in + H) has the shape of many
# layers. A name must say gates, or a module must say LSTM; a GRU's words beside it veto; a cell has
# one such weight, so a second one beside it vetoes too; and a small one (under 32 rows) needs more
# than a name.
def find_joint(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """One weight over x and h, under names that say so."""
    for name in left:
        if re.search(HINTS, name) and (sight := _look(name, layer_of(name), scene)) is not None:
            yield sight


def _look(name: str, layer: NamedLayer, scene: Scene) -> Sight | None:
    """A weight whose name, or whose module's, says that it makes gates."""
    if layer.leaf not in LEAVES:
        return None
    gates = re.search(GATES_WORD, layer.stem)
    lstm = says_lstm(layer.module) or re.search(LSTM_WORD, layer.stem)
    cell = says_cell(layer.module)
    plain = re.sub(r"(?i)_*lstm_*", "", layer.stem)
    shape = scene.shape(name)
    # A convolution may be a member of a list that says it (`lstm_blocks.2`), without a name.
    plainly = not plain or (plain.isdigit() and len(shape) > 2) or re.search(JOINT_STEMS, plain)
    # A cell's one matrix may be called anything: what else it has is vectors.
    if not (gates or is_cell(layer.module) or ((lstm or cell) and plainly)):
        return None
    axes = joint_axes(shape)
    # A bias settles which of two axes is the gates'; without one it is the first that fits.
    axis = next((a for a in axes if find_bias(name, shape[a], scene)), next(iter(axes), None))
    own = stem_of(name)[0]
    if axis is None or _has_gru(layer.module, scene) or has_others(name, own, scene):
        return None
    biased = find_bias(name, shape[axis], scene)
    if len(shape) == 2 and not lstm and not _is_cell(layer, shape, axis, bool(gates), biased):
        return None
    hidden = shape[axis] // 4
    why = f"one weight for the input and {hidden} hidden units, four gates"
    draft = Draft.of_joint(layer.module, name, biased, axis, hidden)
    return Sight(layer.module, (name,), why, None if own != layer.module else draft)


def _is_cell(
    layer: NamedLayer, shape: tuple[int, ...], axis: int, gates: bool, biased: str
) -> bool:
    """Whether a matrix in something that does not say LSTM makes four gates.

    A plain RNN's weight is wider than high, (H, in + H); a mixture's gates are few, and wider than
    high too, and have no bias.
    """
    higher = shape[axis] > shape[1 - axis]
    if gates:
        return (says_cell(layer.module) or bool(biased) or higher) and shape[axis] >= 32
    recurrent = re.search(r"(?i)rnn|recurr", layer.module) or "gate" in layer.stem.lower()
    return bool((recurrent or is_cell(layer.module)) and biased and higher)


def joint_axes(shape: tuple[int, ...]) -> list[int]:
    """The axes of a weight (4H, in + H) that may be the gates': the rest must leave room for an
    input.
    """
    if not 2 <= len(shape) <= 5 or 0 in shape:
        return []
    sides = (0, 1) if len(shape) == 2 else (0,)
    return [a for a in sides if shape[a] % 4 == 0 and shape[1 - a] > shape[a] // 4 > 1]


def _has_gru(module: str, scene: Scene) -> bool:
    """Whether a GRU's parts stand beside it."""
    return any(re.search(GRU_STEMS, stem_of(name)[1]) for name in scene.within.get(module, ()))


def find_stacked(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """Convolutions of a list whose sizes chain as cells do: 4H against H below and H of its own."""
    lists: dict[tuple[str, str], dict[int, str]] = {}
    for name in left:
        if not name.endswith("weight") or len(scene.shape(name)) != 4:
            continue
        if seen := re.fullmatch(r"(.*?\w)\.(\d{1,4})\.([\w.]*\.)?weight", name):
            lists.setdefault((seen[1], seen[3] or ""), {})[int(seen[2])] = name
    for (module, _), names in lists.items():
        if len(names) < 2 or sorted(names) != list(range(len(names))):
            continue
        sizes = [scene.shape(names[k]) for k in range(len(names))]
        if any(len(size) != 4 or size[0] % 4 or size[2] == 1 for size in sizes):
            continue
        known = frozenset(names.values())  # a list may hold them with nothing between
        if any(has_others(name, stem_of(name)[0], scene, known) for name in known):
            continue
        chain = pairwise(sizes)
        if sizes[0][1] > sizes[0][0] // 4 and all(
            b[1] == a[0] // 4 + b[0] // 4 and b[1] != a[0] for a, b in chain
        ):
            if any(_holds_more(f"{module}.{k}.", name, left, scene) for k, name in names.items()):
                continue
            for k, name in names.items():
                why = "a stack of convolutions whose sizes are those of ConvLSTM cells"
                hidden = sizes[k][0] // 4
                draft = Draft.of_joint(
                    stem_of(name)[0], name, find_bias(name, sizes[k][0], scene), 0, hidden
                )
                yield Sight(f"{module}.{k}", (name,), why, draft)


def _holds_more(prefix: str, weight: str, left: Sequence[str], scene: Scene) -> bool:
    """Whether a member of a list has another convolution, at any depth: a block of a ResNet has,
    a cell has not.
    """
    return any(
        name.startswith(prefix)
        and name != weight
        and len(scene.shape(name)) == 4
        and 1 not in scene.shape(name)[:2]
        for name in left
    )
