"""What looks recurrent and fits no row: an LSTM under names of its author's.

Comes in: the names that no row took, and the modules that one spoke of. Goes out: `Skipped` entries
`unknown-convention`, each with the tensors that speak for it and a draft of the convention that
would read it. Promise: an LSTM is never silent, and what is none (a transformer, a GRU, a gated
convolution) never speaks: names alone, or shapes alone, are not enough.

The evidence, strongest first:

    names that are known, and known to be unreadable    `UNREADABLE` in the table
    a tensor a gate       equal shapes under names that differ in the gate's word, a forget and an
                          output gate among them (Hochreiter and Schmidhuber 1997, Gers 2000), and a
                          weight that multiplies the hidden state: (H, H), or (H, in + H)
    a pair                names that differ in the word for x and h, and a recurrent weight of 4H
                          against H (5H with a highway gate; 3H would be a GRU, H an RNN)
    one weight for both   (4H, in + H), under a name that says gates, or in a module that says LSTM;
                          as a convolution in a module that says cell too, or in a stack whose
                          sizes fit cell by cell
    the class, the path   says LSTM, over a recurrent weight of 4H against H under whatever name
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise

from ..errors import MalformedFile, Skipped
from ..formats import Checkpoint, shape_of
from ..tuples import NamedTuple
from .conventions import UNREADABLE
from .draft import Draft, describe_skip
from .kind import claimed_kind, worded_kind
from .match import paths
from .siblings import GateNames, families, pairs, stem_of

MAX_UNKNOWN = 64
"""Entries of one file; more would tell a reader nothing new."""

LSTM_WORD = r"(?i)lstm"
LSTM_MODULE = r"(?i)lstm(?:_?(?:cell|layer|block|unit|core))?s?_?\d*$"
"""A module that is an LSTM by its name, not one that stands behind it (`post_lstm_gate`)."""

CELL_WORD = r"(?i)(?:^|[^a-z])(?:cells?|rnns?|recurrent|recurrence)(?![a-z])|rnn_?cell"
GATES_WORD = r"(?i)^(?:\w*_)?gates$|^(?:[a-z]\w*_)?(?=[ifogcju]{4}$)(?=\w*f)(?=\w*o)(?=\w*i)\w+$"
JOINT_STEMS = (
    r"(?i)^(?:\w*gates?|linear|lin|fc|w|weights?|kernel|conv(?:2d|1d|3d|olution)?|x2h|xh|hx|i2h|dense|layer|proj\w*|"
    r"cell|lstm|combined|main)$"
)
GRU_STEMS = r"(?i)can(?:didate)?|reset|update|gate_?[rzu]$|_[rzu]$|out_?gate|new"

JOINT_HINTS = ("gate", "lstm", "cell", "rnn", "recurr", "ifgo", "ifog", "ijfo", "igfo", "ifco")
"""Texts without one of which a name is none of these: most names cost no expression."""


# Strategy. The looks go from the strongest evidence to the weakest, each over the names that are
# still unexplained, and a module is spoken of once. Each look asks for two things of different
# nature, since either alone is found in models without a recurrence: transformers have 4H x H
# matrices (the feed-forward layer), attention has families of equal shapes (q, k, v, o), GRUs have
# gates by name, and gated convolutions have 4H channels. The tests of real architectures in
# tests/lstm/test_architectures.py are what every threshold below was tried on.
class Sight(NamedTuple):
    """What was seen in a module: the tensors that speak for it, why, and how to read it."""

    module: str
    names: tuple[str, ...]
    why: str
    draft: Draft | None = None


class Scene(NamedTuple):
    """The unexplained names: `there` to look one up, `within` by their modules; `shape` of each."""

    left: Sequence[str]
    there: frozenset[str]
    within: Mapping[str, Sequence[str]]
    shape: Callable[[str], tuple[int, ...]]


# `done` and `above` grow while sights come in: the looks are generators, so that a later look sees
# what an earlier one has explained.
def find_unknown(
    left: Sequence[str], checkpoint: Checkpoint, spoken: Iterable[str]
) -> Iterator[Skipped]:
    """One entry for each module that looks recurrent; `spoken` are the modules that were judged."""
    done = set(spoken)
    above = {path for module in done for path in paths(module)}
    said = 0
    for sight in _sights(_scene(left, checkpoint), checkpoint, done, above):
        if sight.module in done:
            continue
        done.add(sight.module)
        above.update(paths(sight.module))
        said += 1
        if said > MAX_UNKNOWN:
            return
        yield Skipped(
            sight.module, "unknown-convention", describe_skip(sight.names, sight.why, sight.draft)
        )


def _scene(left: Sequence[str], checkpoint: Checkpoint) -> Scene:
    within: dict[str, list[str]] = {}
    for name in left:
        within.setdefault(stem_of(name)[0], []).append(name)

    @cache
    def shape(name: str) -> tuple[int, ...]:
        """A broken tensor that nothing has asked for so far is no reason to refuse the file."""
        try:
            return shape_of(checkpoint.tensors, name)
        except MalformedFile:
            return ()

    return Scene(left, frozenset(left), within, shape)


def _sights(
    scene: Scene, checkpoint: Checkpoint, done: set[str], above: set[str]
) -> Iterator[Sight]:
    """Every look of the docstring in its order, over the names that are still unexplained."""
    yield from _unreadable(scene.left)
    found = list(families(scene.left))
    yield from _per_gate(found, scene)
    taken = {name for family in found for name in family.members.values()}
    left = [name for name in scene.left if name not in taken]
    yield from _paired(left, scene)
    yield from _joint(left, scene)
    yield from _stacked(left, scene)
    yield from _claimed(checkpoint, scene, done, above)


def _unreadable(left: Sequence[str]) -> Iterator[Sight]:
    """Names that the table knows as those of a recurrence that is not read."""
    everything = "\n".join(left)
    for entry in UNREADABLE:
        if entry.hint in everything:
            found: dict[str, list[str]] = {}
            for name in left:
                if entry.hint in name and (seen := re.fullmatch(entry.name, name, re.DOTALL)):
                    found.setdefault(seen["module"] or "", []).append(name)
            for module, names in found.items():
                yield Sight(module, tuple(names), entry.why)


# Of the gates' weights one must multiply the hidden state. With two families it is the square one;
# with one family only (a joint weight) both x and h must fit in, and all four gates must be there:
# three equal matrices and a vector are too common.
def _per_gate(found: Sequence[GateNames], scene: Scene) -> Iterator[Sight]:
    """A tensor a gate: all families of one module together."""
    modules: dict[str, list[GateNames]] = {}
    for family in found:
        if len({scene.shape(name) for name in family.members.values()}) == 1:
            modules.setdefault(family.module, []).append(family)
    for module, parts in modules.items():
        matrices = [
            p for p in parts if len(scene.shape(p.members["f"])) > 1 and not _vector(scene, p)
        ]
        hidden = _hidden_of(parts, matrices, scene)
        if not hidden:
            continue
        recurrent, joint = _recurrent_of(matrices, hidden, scene)
        four = any(p.complete for p in parts)
        if recurrent and (four or len(matrices) > 1) and (not joint or four):
            names = tuple(p.members["f"] for p in parts)
            why = f"a tensor a gate, {hidden} units"
            draft = Draft.of_families(module, parts, recurrent, scene.shape, hidden)
            yield Sight(module, names, why, draft if recurrent.complete else None)


def _vector(scene: Scene, family: GateNames) -> bool:
    return sum(size != 1 for size in scene.shape(family.members["f"])) <= 1


# A bias a gate has H elements, which settles it; without biases H is the one size that all of the
# gates' weights share.
def _hidden_of(parts: Sequence[GateNames], matrices: Sequence[GateNames], scene: Scene) -> int:
    """H: the length of a gate's bias, else what the weights of all gates have in common."""
    for part in parts:
        shape = [size for size in scene.shape(part.members["f"]) if size != 1]
        if len(shape) == 1 and part not in matrices:
            return shape[0]
    sizes = [set(scene.shape(part.members["f"])[:2]) for part in matrices]
    common = set.intersection(*sizes) if sizes else set()
    return min(common, default=0)


def _recurrent_of(
    matrices: Sequence[GateNames], hidden: int, scene: Scene
) -> tuple[GateNames | None, bool]:
    """The family that multiplies the hidden state, and whether it multiplies x as well."""
    square = [p for p in matrices if _sizes(scene.shape(p.members["f"])) == (hidden, hidden)]
    if square and len(matrices) > 1:
        return next((p for p in square if p.of_hidden), square[-1]), False
    if len(matrices) == 1:
        rows, columns = _sizes(scene.shape(matrices[0].members["f"]))
        if hidden in (rows, columns) and max(rows, columns) > hidden:
            return matrices[0], True
    return None, False


def _sizes(shape: tuple[int, ...]) -> tuple[int, int]:
    """The two axes of a matrix, or of a convolution as torch stores it."""
    return shape[0], shape[1]


def _paired(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """A weight of x and one of h, by names that differ in just that."""
    for pair in pairs(left):
        x, h = scene.shape(pair.source), scene.shape(pair.recurrent)
        axis = _gate_axis(x, h, bool(re.search(LSTM_WORD, pair.recurrent)))
        if axis is None:
            continue
        hidden = h[1 - axis]
        why = f"a recurrent weight of {h[0]} x {h[1]}: {h[axis] // hidden} gates of {hidden}"
        names = (pair.source, pair.recurrent)
        yield Sight(pair.module, names, why, Draft.of_pair(pair, axis, left, scene.shape))


# Four gates, or five with a highway gate (Zhang et al. 2016). A GRU's three and an RNN's one are
# the reason why the factor is compared exactly. Linear layers in pairs (a feed-forward block) are
# 4H x H and H x 4H: their first axes differ, so they fail here.
def _gate_axis(x: tuple[int, ...], h: tuple[int, ...], said: bool) -> int | None:
    """The axis along which both weights hold four gates (five, with a highway's); with a projection
    there are more rows, and something must say LSTM.
    """
    if len(x) != len(h) or not 2 <= len(h) <= 5 or 0 in h or 0 in x:
        return None
    for axis in (0, 1) if len(h) == 2 else (0,):
        rows, columns = h[axis], h[1 - axis]
        times = rows / columns
        if x[axis] == rows and (times in (4, 5) or (said and times > 4 and rows % 4 == 0)):
            return axis
    return None


# The weakest look, and the one with most conditions: one weight (4H, in + H) has the shape of many
# layers. A name must say gates, or a module must say LSTM; a GRU's words beside it veto; a cell has
# one such weight, so a second one beside it vetoes too; and a small one (under 32 rows) needs more
# than a name.
def _joint(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """One weight over x and h, under names that say so."""
    for name in left:
        plain = name.lower()
        if not any(hint in plain for hint in JOINT_HINTS):
            continue
        module, stem, leaf = stem_of(name)
        if leaf not in ("weight", "kernel", "w", "W", ""):
            continue
        gates = re.search(GATES_WORD, stem)
        lstm = re.search(LSTM_MODULE, _last(module)) or re.search(LSTM_WORD, stem)
        cell = re.search(CELL_WORD, _last(module))
        if not (gates or ((lstm or cell) and re.search(JOINT_STEMS, stem))):
            continue
        shape = scene.shape(name)
        axis = _joint_axis(shape)
        if axis is None or _has_gru(module, scene) or _others(name, module, scene):
            continue
        convolution, biased = len(shape) > 2, _bias_of(name, shape[axis], scene)
        if convolution or lstm or (gates and (cell or biased) and shape[axis] >= 32):
            hidden = shape[axis] // 4
            why = f"one weight for the input and {hidden} hidden units, four gates"
            draft = Draft.of_joint(module, name, biased, axis, hidden)
            yield Sight(module, (name,), why, draft)


def _last(module: str) -> str:
    """The last component of a path that is no number."""
    parts = [part for part in re.split(r"[./|]", module) if not part.isdigit()]
    return parts[-1] if parts else ""


def _joint_axis(shape: tuple[int, ...]) -> int | None:
    """The gate axis of a weight (4H, in + H): the rest must leave room for an input."""
    if not 2 <= len(shape) <= 5 or 0 in shape:
        return None
    for axis in (0, 1) if len(shape) == 2 else (0,):
        rows, columns = shape[axis], shape[1 - axis]
        if rows % 4 == 0 and columns > rows // 4 and rows > 4:
            return axis
    return None


def _has_gru(module: str, scene: Scene) -> bool:
    """Whether a GRU's parts stand beside it."""
    return any(re.search(GRU_STEMS, stem_of(name)[1]) for name in scene.within[module])


def _others(name: str, module: str, scene: Scene) -> bool:
    """Whether another weight of the same kind stands beside it: a cell has the one."""
    rank = len(scene.shape(name))
    shapes = (scene.shape(other) for other in scene.within[module] if other != name)
    return any(len(shape) == rank and 1 not in shape[:2] for shape in shapes)


def _bias_of(name: str, size: int, scene: Scene) -> str:
    """The bias that belongs to a weight by its name."""
    other = next((other for other in Draft.bias_names(name) if other in scene.there), "")
    return other if other and scene.shape(other) == (size,) else ""


# ConvLSTM implementations keep one convolution a layer in a list. The chain of sizes is telling:
# cell k's input is what cell k-1 gives out (H below) and its own H, and its output 4H.
def _stacked(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """Convolutions of a list whose sizes chain as cells do: 4H against H below and H of its own."""
    lists: dict[tuple[str, str], dict[int, str]] = {}
    for name in left:
        if seen := re.fullmatch(r"(.*?\.?\w+)\.(\d{1,4})\.([\w.]*\.)?weight", name):
            lists.setdefault((seen[1], seen[3] or ""), {})[int(seen[2])] = name
    for (module, _), names in lists.items():
        if len(names) < 2 or sorted(names) != list(range(len(names))):
            continue
        sizes = [scene.shape(names[k]) for k in range(len(names))]
        if any(len(size) != 4 or size[0] % 4 or size[2] == 1 for size in sizes):
            continue
        if any(_others(name, stem_of(name)[0], scene) for name in names.values()):
            continue
        chain = pairwise(sizes)
        if sizes[0][1] > sizes[0][0] // 4 and all(
            b[1] == a[0] // 4 + b[0] // 4 and b[1] != a[0] for a, b in chain
        ):
            for k, name in names.items():
                why = "a stack of convolutions whose sizes are those of ConvLSTM cells"
                hidden = sizes[k][0] // 4
                draft = Draft.of_joint(
                    stem_of(name)[0], name, _bias_of(name, sizes[k][0], scene), 0, hidden
                )
                yield Sight(f"{module}.{k}", (name,), why, draft)


# Last: what says LSTM by class or path and was read by nobody. Framework classes are believed as
# they are; a name of the author's needs a weight of 4H against H as well.
def _claimed(
    checkpoint: Checkpoint, scene: Scene, done: set[str], above: set[str]
) -> Iterator[Sight]:
    """Modules whose class or path says LSTM, in which nothing was read."""
    inside: dict[str, list[str]] = {}
    for name in scene.left if checkpoint.claims else ():
        for path in paths(name):
            inside.setdefault(path, []).append(name)
    for path, claim in checkpoint.claims.items():
        torchs = claimed_kind(claim)
        if (torchs or worded_kind(claim)) == "lstm" and not _touched(path, done, above):
            names = inside.get(path, [])
            if names and (torchs or _recurrent_shapes(names, scene)):
                yield Sight(path, tuple(names), f"its class is {claim.class_name}")
    for module, inner in scene.within.items():
        if "lstm" not in module.lower():
            continue
        named = re.search(LSTM_MODULE, _last(module))
        if named and not _touched(module, done, above) and _recurrent_shapes(inner, scene):
            yield Sight(module, tuple(inner), "its name, and a weight of four gates against H")


def _touched(path: str, done: set[str], above: set[str]) -> bool:
    """Whether the module, a part of it, or one that it is part of was judged."""
    return path in above or any(around in done for around in paths(path) if around)


def _recurrent_shapes(names: Sequence[str], scene: Scene) -> bool:
    """Whether there is a weight of 4H against H, and something else of 4H beside it."""
    sizes = [scene.shape(name) for name in names]
    for shape in sizes:
        for axis in (0, 1) if len(shape) == 2 else ():
            if shape[1 - axis] and shape[axis] == 4 * shape[1 - axis]:
                return sum(shape[axis] in other for other in sizes) > 1
    return False
