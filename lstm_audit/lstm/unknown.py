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
    one kernel for both   the same as TensorFlow 1 has it, (in + H, 4H) beside a bias of 4H, in a
                          scope in which it runs a cell, or under a name that says cell
    a projection          of H units to fewer, beside a convolution of 4H that has room for them
    names that say little a number a gate, one array of four matrices, one flat vector, a pair that
                          only its shapes make: in a module that says what it is
    the class, the path   says LSTM, over a weight that has room for gates under whatever name; of a
                          live class its code speaks too
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from ..errors import MalformedFile, Skipped
from ..formats import Checkpoint, shape_of
from .bare import find_bare
from .claimed import find_claimed
from .conventions import UNREADABLE
from .draft import Draft, describe_skip
from .fused import find_fused
from .joint import find_joint, find_stacked
from .match import paths
from .projected import find_projected
from .scene import LSTM_WORD, Scene, Sight, says_cell, says_lstm, scene_of
from .siblings import GateNames, WeightPair, families, pairs

# Entries of one file; more would tell a reader nothing new.
MAX_UNKNOWN = 64

# Components of names that no look speaks of without another word beside them: where a file has no
# others left over, and no classes, its first audit need not compile the looks' expressions (9 M
# instructions). Each word, alone and in pairs, is held against the looks in tests/lstm.
EVERYDAY = frozenset({
    "backbone", "classifier", "decoder", "emb", "embed", "embedding", "embeddings", "embedder",
    "encoder", "fc", "head", "linear", "lm_head", "lm", "model", "module", "net",
    "tok_embeddings", "token_embedding", "word_embedding", "word_embeddings", "weight", "bias",
})  # fmt: skip


# Strategy. The looks go from the strongest evidence to the weakest, each over the names that are
# still unexplained, and a module is spoken of once. Each look asks for two things of different
# nature, since either alone is found in models without a recurrence: transformers have 4H x H
# matrices (the feed-forward layer), attention has families of equal shapes (q, k, v, o), GRUs have
# gates by name, and gated convolutions have 4H channels. The tests of real architectures in
# tests/lstm/test_architectures.py are what every threshold below was tried on.
#
# `done` and `above` grow while sights come in: the looks are generators, so that a later look sees
# what an earlier one has explained.
def find_unknown(
    left: Sequence[str], checkpoint: Checkpoint, spoken: Iterable[str]
) -> Iterator[Skipped]:
    """One entry for each module that looks recurrent; `spoken` are the modules that were judged."""
    if not checkpoint.claims and all(_is_everyday(name, checkpoint) for name in left):
        return
    done = set(spoken)
    above = {path for module in done for path in paths(module)}
    said: set[str] = set()
    inner: set[str] = set()  # the modules around those that were said
    for sight in _sights(scene_of(left, checkpoint), checkpoint, done, above):
        if sight.module in done or (sight.module and _is_said(sight.module, said, inner)):
            continue
        done.add(sight.module)
        above.update(paths(sight.module))
        said.add(sight.module)
        inner.update(paths(sight.module))
        if len(said) > MAX_UNKNOWN:
            return
        yield Skipped(
            sight.module, "unknown-convention", describe_skip(sight.names, sight.why, sight.draft)
        )


# One vector of all weights of a stack is called `weight` by AllenNLP, in a module of any name.
def _is_everyday(name: str, checkpoint: Checkpoint) -> bool:
    """Whether a name alone tells that a tensor, a matrix if it is a weight, is of no recurrence."""
    if not EVERYDAY.issuperset(name.split(".")):
        return False
    try:
        return name.endswith("bias") or len(shape_of(checkpoint.tensors, name)) == 2
    except MalformedFile:
        return False


# A cell whose layers lie one below it can be seen twice, as itself and as the module of the layers.
# Where the second one is of its own names, both are said.
def _is_said(module: str, said: set[str], around: set[str]) -> bool:
    """Whether a module that was said lies in this one, or this one in it."""
    return module in around or any(path in said for path in paths(module) if path)


def _sights(
    scene: Scene, checkpoint: Checkpoint, done: set[str], above: set[str]
) -> Iterator[Sight]:
    """Every look of the docstring in its order, over the names that are still unexplained."""
    yield from _unreadable(scene.left)
    found = list(families(scene.left))
    yield from _per_gate(found, scene)
    taken = {name for family in found for name in family.members.values()}
    left = [name for name in scene.left if name not in taken]
    couples = list(pairs(left))
    yield from _find_paired(couples, left, scene)
    yield from find_fused(left, scene)  # before the joint look, which knows nothing of TensorFlow 1
    yield from find_joint(left, scene)
    yield from find_stacked(left, scene)
    yield from find_projected(left, scene)
    yield from find_bare(left, couples, scene)
    yield from find_claimed(checkpoint, scene, done, above)


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
        if recurrent is None and any(p.complete for p in matrices) and _is_told(module, matrices):
            names = tuple(p.members["f"] for p in parts)
            yield Sight(module, names, "a tensor a gate, in a module or by words that say LSTM")
            continue
        four = any(p.complete for p in parts)
        told = four or len(recurrent.words["f"]) > 1 if recurrent else False
        if recurrent and (four or len(matrices) > 1 or told) and (not joint or told):
            names = tuple(p.members["f"] for p in parts)
            why = f"a tensor a gate, {hidden} units"
            draft = Draft.of_families(module, parts, recurrent, scene.shape, hidden)
            yield Sight(module, names, why, draft if recurrent.complete else None)


def _is_told(module: str, matrices: Sequence[GateNames]) -> bool:
    """Whether a module says LSTM, or says cell, or all gates are called by whole words in at least
    two weights each: of a recurrent weight in two factors none is square.
    """
    worded = sum(p.complete and len(p.words["f"]) > 1 for p in matrices)
    return says_lstm(module) or (len(matrices) > 1 and (says_cell(module) or worded > 1))


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


def _find_paired(
    couples: Sequence[WeightPair], left: Sequence[str], scene: Scene
) -> Iterator[Sight]:
    """A weight of x and one of h, by names that differ in just that."""
    for pair in couples:
        x, h = scene.shape(pair.source), scene.shape(pair.recurrent)
        axis = _gate_axis(x, h, bool(re.search(LSTM_WORD, pair.recurrent)))
        if axis is None:
            if _stacked(x, h) and (h[0] == 1 or says_lstm(pair.module) or says_cell(pair.module)):
                why = f"{h[0]} recurrent weights of {h[1]} x {h[2]} in one array"
                yield Sight(pair.module, (pair.source, pair.recurrent), why)
            continue
        if x == h and _is_gated_unit(pair):
            continue
        rows, hidden = (h[0], h[1]) if axis == 0 else (h[-1], h[-2])
        why = f"a recurrent weight of {h[0]} x {h[1]}: {rows // hidden} gates of {hidden}"
        if len(h) > 2:
            why = f"a recurrent convolution of {rows} channels: {rows // hidden} gates of {hidden}"
        names = (pair.source, pair.recurrent)
        # A declared convention knows no kernels whose channels come last.
        draft = Draft.of_pair(pair, axis, left, scene.shape) if axis == 0 or len(h) == 2 else None
        yield Sight(pair.module, names, why, draft)


def _is_gated_unit(pair: WeightPair) -> bool:
    """Two equal weights W and V, the names of a gated linear unit (Shazeer 2020), where nothing
    says a cell.
    """
    last = pair.recurrent[len(pair.module) :].strip("./|").partition(".")[0]
    return last in ("V", "v") and not (says_lstm(pair.module) or says_cell(pair.module))


def _stacked(x: tuple[int, ...], h: tuple[int, ...]) -> bool:
    """Arrays of several matrices, of layers or directions, as ONNX and `vmap` have them."""
    return len(x) == len(h) == 3 and x[0] == h[0] and x[1] == h[1] and h[1] == 4 * h[2] and h[2] > 1


# Four gates, or five with a highway gate (Zhang et al. 2016). A GRU's three and an RNN's one are
# the reason why the factor is compared exactly. Linear layers in pairs (a feed-forward block) are
# 4H x H and H x 4H: their first axes differ, so they fail here.
def _gate_axis(x: tuple[int, ...], h: tuple[int, ...], said: bool) -> int | None:
    """The axis along which both weights hold four gates (five, with a highway's), 0 or 1, of a
    convolution whose channels come last 1 too; with a projection there are more rows, and something
    must say LSTM.
    """
    if len(x) != len(h) or not 2 <= len(h) <= 5 or 0 in h or 0 in x:
        return None
    for axis in (0, 1):
        # torch: (out, in, kernel); TensorFlow and JAX: (kernel, in, out)
        rows, columns = (h[0], h[1]) if axis == 0 else (h[-1], h[-2])
        times = rows / columns
        if x[-axis] == rows and (times in (4, 5) or (said and times > 4 and rows % 4 == 0)):
            return axis
    return None
