"""Modules that say by their class, their forward or their path that they are LSTMs, whatever their
tensors are called.

Comes in: a `Scene`, the reader's claims, what was spoken of already. Goes out: `Sight`s. Promise: a
module in which, around which or inside of which something was judged is left alone, and a path
alone, which says less than a class, needs a weight that has room for gates.
"""

import re
from collections.abc import Iterator, Sequence

from ..formats import Checkpoint, Claim
from .conventions import NO_GRU
from .kind import read_claimed_kind, read_worded_kind
from .match import paths
from .scene import LSTM_MODULE, Scene, Sight, cell_of, find_bias, last_word, says_lstm

# Layers that stand in front of an LSTM, behind it or in its stead, by what is before the word.
BESIDE = (
    r"(?i)(?:^|_)(?:pre|post|after|before|to|from|over|under|no|not|skip|in|out|fc|lin(?:ear)?|proj\w*|"
    r"bn|ln|\w*norm|drop\w*|att\w*|emb\w*|head|hidden|init\w*|state|gate|cond\w*|film)_?lstm"
)


def find_claimed(
    checkpoint: Checkpoint, scene: Scene, done: set[str], above: set[str]
) -> Iterator[Sight]:
    """Modules whose class, forward or path says LSTM, in which nothing was read."""
    inside: dict[str, list[str]] = {}
    for name in scene.left if checkpoint.claims else ():
        for path in paths(name):
            inside.setdefault(path, []).append(name)
    for path, claim in checkpoint.claims.items():
        why = _why(claim, inside.get(path, ()), scene)
        if why and not _touched(path, done, above):
            yield Sight(path, tuple(inside[path]), why)
    for module, inner in scene.within.items():
        if "lstm" not in module.lower():
            continue
        cell = cell_of(module)
        if not says_lstm(cell) or _touched(cell, done, above):
            continue
        if _recurrent_shapes(inner, scene):
            yield Sight(cell, tuple(inner), "its name, and a weight of four gates against H")
        elif not re.search(BESIDE, last_word(cell)) and (gates := _gate_weights(inner, scene)):
            yield Sight(cell, gates, "its name, and a weight that has room for four gates or more")


def _why(claim: Claim, names: Sequence[str], scene: Scene) -> str:
    """What a class says, if its tensors can be those of an LSTM. One that is an LSTM by the whole
    of its name, not the head of one, needs no more than a matrix: its author may have cut the gates
    in any way.
    """
    torchs = read_claimed_kind(claim)
    if not names or (torchs or read_worded_kind(claim)) not in ("lstm", ""):
        return ""
    said = f"its class is {claim.class_name}"
    if torchs or (read_worded_kind(claim) and _recurrent_shapes(names, scene)):
        return said
    if not any(_is_matrix(scene.shape(name)) for name in names):
        return ""
    name = claim.class_name.rpartition(".")[2]
    whole = re.search(LSTM_MODULE, name) or re.search(NO_GRU, name)
    if read_worded_kind(claim) and whole and not re.search(BESIDE, name):
        return said
    if claim.facts.get("steps"):
        return f"the code of its class {claim.class_name} computes c = f * c + i * g and tanh(c)"
    return ""


def _is_matrix(shape: tuple[int, ...]) -> bool:
    return len(shape) > 1 and min(shape[:2]) > 1


def _touched(path: str, done: set[str], above: set[str]) -> bool:
    """Whether the module, a part of it, or one that it is part of was judged."""
    return path in above or any(around in done for around in paths(path) if around)


def _recurrent_shapes(names: Sequence[str], scene: Scene) -> bool:
    """Whether there is a weight of 4H against H, and something else of 4H beside it."""
    sizes = [scene.shape(name) for name in names]
    for shape in sizes:
        for axis in (0, 1) if len(shape) == 2 else ():
            if shape[1 - axis] and shape[axis] == 4 * shape[1 - axis]:
                # PaddlePaddle's dynamic_lstm keeps its peepholes behind the biases: 7H in all
                wide = {shape[axis], 7 * shape[1 - axis]}
                return sum(not wide.isdisjoint(other) for other in sizes) > 1
    return False


# Four gates over x and h, or five where two children have a forget gate each (Tai 2015). A plain
# RNN is wider than high, which is why a matrix must be higher than wide; a convolution need not.
def _gate_weights(names: Sequence[str], scene: Scene) -> tuple[str, ...]:
    """The weights that could make all gates, each with its bias."""
    return tuple(name for name in names if has_room_for_gates(name, scene))


def has_room_for_gates(name: str, scene: Scene) -> bool:
    """Whether a weight with its bias is (4H, in + H), or (5H, 2H) of a tree's two children."""
    shape = scene.shape(name)
    if not 2 <= len(shape) <= 5 or not _is_matrix(shape):
        return False
    for rows, columns in (shape[:2], (shape[-1], shape[-2])):
        four = rows % 4 == 0 and columns >= rows // 4 > 1
        five = rows % 5 == 0 and 2 * rows == 5 * columns
        if (four or five) and (rows > columns or len(shape) > 2) and find_bias(name, rows, scene):
            return True
    return False
