"""Which cells of a Keras file are the two of a Bidirectional layer.

Comes in: the paths of the file, and the configuration. Goes out: for the folder of each such cell,
whether it is the one that reads backward, and the folders of which the file does not tell it.
Promise: a name alone is no direction; a layer that its author called `backward_lstm` runs forward
unless it stands in a Bidirectional.

Source: keras/src/layers/rnn/bidirectional.py, tf_keras/src/layers/rnn/bidirectional.py: the inner
layers are called `forward_` and `backward_` + the given name; Keras 3 leaves the name of a
`backward_layer` that it is given.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from ...ways import Pair, Ways, find_children, find_pair, steps
from .config import Config, find_classes

NAMES = Ways("forward_", "backward_")

# What Keras calls the two as attributes: in files of numbered variables and of objects.
ATTRIBUTES = frozenset({"forward_layer", "backward_layer"})

# Classes that hold layers side by side; in them the names are their author's.
MODELS = frozenset({"Model", "Functional", "Sequential"})

_BIDIRECTIONAL = r'"class_name"\s*:\s*"Bidirectional"'


class Directions(NamedTuple):
    """`known`: folder to 1 where the cell in it reads backward, to 0 where it is the other of the
    two. `doubted`: folders whose cells may be one of such two. Cells outside of any Bidirectional
    are in neither.
    """

    known: dict[str, int]
    doubted: frozenset[str]


def find_ways(
    paths: Collection[str], folders: Iterable[str], config: Config, scopes: int
) -> Directions:
    """The directions of the cells in `folders`; `scopes` as in `claim_cells`."""
    parents = find_children(paths, NAMES)
    pairs = {p: pair for p, inner in parents.items() if (pair := find_pair(inner, NAMES))}
    if not pairs:
        return Directions({}, frozenset())
    usual = {parent for parent in pairs if _is_usual(parent, parents[parent], scopes)}
    made = _confirm(pairs, usual, config)
    ways, doubts = dict[str, int](), dict[str, dict[str, str]]()
    for folder in folders:
        for parent, child in steps(folder):
            layers = pairs[parent][:2] if parent in pairs else ()
            if child in layers and parent in made:
                ways[folder] = layers.index(child)
            elif child in layers and not config.text and _may_be_made(parent, pairs, scopes):
                doubts.setdefault(parent, {})[child] = folder
    both = [cells for cells in doubts.values() if len(cells) == 2]
    return Directions(ways, frozenset(folder for cells in both for folder in cells.values()))


# Without a configuration the two must be all that there is: in a model they would hardly be alone.
# With one, the class of what the folder is named after decides; it is parsed only where the number
# of pairs is not that of the Bidirectional layers.
def _confirm(pairs: Mapping[str, Pair], usual: Collection[str], config: Config) -> dict[str, Pair]:
    """The pairs that a Bidirectional made."""
    if len(re.findall(_BIDIRECTIONAL, config.text)) == len(usual) == len(pairs):
        return dict(pairs)
    classes = find_classes(config)

    def is_made(parent: str) -> bool:
        said = classes.get(parent.rpartition("/")[2], set()) if parent else set()
        return "Bidirectional" in said or (parent in usual and not (said and said <= MODELS))

    return {parent: pair for parent, pair in pairs.items() if is_made(parent)}


def _is_usual(parent: str, inner: Collection[str], scopes: int) -> bool:
    """Whether a folder holds the two as a Bidirectional alone does; no model's root is one."""
    if ATTRIBUTES.issubset(inner):
        return True
    two = len(inner) == 2 and any(name.startswith(NAMES.backward) for name in inner)
    return two and _is_deep(parent, scopes)


def _is_deep(parent: str, scopes: int) -> bool:
    """Whether a layer's folder may stand there."""
    return parent != "" and parent.count("/") + 1 >= scopes


# Keras 3 leaves the name of a `backward_layer` that it is given; two layers of a nested model may
# be called so too.
def _may_be_made(parent: str, pairs: Mapping[str, Pair], scopes: int) -> bool:
    """Whether a pair may be a Bidirectional's, though only the forward layer's name says so."""
    return not pairs[parent].named and _is_deep(parent, scopes)
