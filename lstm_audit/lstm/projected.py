"""Cells whose output is projected, under names of their author's: the hidden state is P wide, and
the gates' weight (4H, in + P), or (4H, P) beside (4H, in), does not show H.

Comes in: a `Scene`. Goes out: `Sight`s. Promise: a projection of H units to fewer, a weight of 4H
rows that has room for them, and a name that says LSTM, cell or gates are there all three.
"""

import re
from collections.abc import Iterator, Sequence

from .joint import GATES_WORD
from .scene import LSTM_WORD, Scene, Sight, cell_of, says_cell
from .siblings import stem_of

# Weights of one cell; a module of more is a list of something else.
MOST = 64

PROJECTION = r"(?i)proj|(?:^|_)(?:hr|ho|out|p)(?:_|\d|$)|^conv_?out|^vars$"


def find_projected(left: Sequence[str], scene: Scene) -> Iterator[Sight]:
    """Projections with the gates that they belong to."""
    for name in left:
        module, stem, _ = stem_of(name)
        shape = scene.shape(name)
        # Keras's variables are numbers in a folder `vars`
        folder = stem_of(module)[1] if stem.isdigit() else stem
        if not 3 <= len(shape) <= 5 or not re.search(PROJECTION, folder):
            continue
        if len(scene.within[module]) > MOST:
            continue
        for out, inner in ((shape[0], shape[1]), (shape[-1], shape[-2])):
            gates = [n for n in scene.within[module] if _holds_gates(n, out, inner, shape, scene)]
            if gates and 1 < out < inner and _is_said(module, gates):
                why = f"a projection of {inner} units to {out} beside {4 * inner} rows of gates"
                yield Sight(cell_of(module), (*gates, name), why)
                break


def _holds_gates(
    name: str, out: int, inner: int, projection: tuple[int, ...], scene: Scene
) -> bool:
    """Whether a weight has four gates of the units, over at least the projected ones."""
    shape = scene.shape(name)
    if len(shape) != len(projection):
        return False
    torchs = (shape[0], shape[1]) if projection[:2] == (out, inner) else (shape[-1], shape[-2])
    return torchs[0] == 4 * inner and torchs[1] >= out


def _is_said(module: str, gates: Sequence[str]) -> bool:
    """Whether a name says that this is a recurrence."""
    stems = [stem_of(name)[1] for name in gates]
    return bool(
        re.search(LSTM_WORD, module)
        or says_cell(module)
        or any(re.search(GATES_WORD, stem) for stem in stems)
    )
