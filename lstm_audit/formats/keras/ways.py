"""Which cells of a Keras file are the two of a Bidirectional layer.

Comes in: the paths of the file, and the configuration. Goes out: for the folder of each such cell,
whether it is the one that reads backward. Promise: a name alone is no direction; a layer that its
author called `backward_lstm` runs forward unless it stands in a Bidirectional.

Source: keras/src/layers/rnn/bidirectional.py, tf_keras/src/layers/rnn/bidirectional.py: the inner
layers are called `forward_` and `backward_` + the given name; Keras 3 leaves the name of a
`backward_layer` that it is given.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from .config import Config, find_classes

FORWARD, BACKWARD = "forward_", "backward_"

# What Keras calls the two as attributes: in files of numbered variables and of objects.
ATTRIBUTES = frozenset({"forward_layer", "backward_layer"})

# Classes that hold layers side by side; in them the names are their author's.
MODELS = frozenset({"Model", "Functional", "Sequential"})

_BIDIRECTIONAL = r'"class_name"\s*:\s*"Bidirectional"'


def find_ways(
    paths: Collection[str], folders: Iterable[str], config: Config, scopes: int
) -> dict[str, int]:
    """Folder to 1 where the cell in it reads backward, to 0 where it is the other of the two;
    cells outside of any Bidirectional are left out. `scopes` as in `claim_cells`.
    """
    parents = _find_parents(paths)
    pairs = {parent: pair for parent, inner in parents.items() if (pair := _pair(inner))}
    if not pairs:
        return {}
    usual = {parent for parent in pairs if _is_usual(parent, parents[parent], scopes)}
    pairs = _confirm(pairs, usual, config)
    ways = {}
    for folder in folders:
        for parent, child in _steps(folder):
            if child in pairs.get(parent, ()):
                ways[folder] = pairs[parent].index(child)
    return ways


def _find_parents(paths: Iterable[str]) -> dict[str, set[str]]:
    """Every folder that has a `forward_...` in it, with all that it holds."""
    homes = {
        parent for path in paths if FORWARD in path for parent, child in _steps(path)
        if child.startswith(FORWARD)
    }  # fmt: skip
    found: dict[str, set[str]] = {home: set() for home in homes}
    for path in paths if homes else ():
        for parent, child in _steps(path):
            if parent in found:
                found[parent].add(child)
    return found


def _steps(path: str) -> Iterable[tuple[str, str]]:
    """Every folder on a path, with what follows in it."""
    parts = path.split("/")
    return (("/".join(parts[:k]), parts[k]) for k in range(len(parts)))


def _pair(inner: Collection[str]) -> tuple[str, str] | None:
    """The forward and the backward layer among what a folder holds, as far as names can tell."""
    forward = [name for name in inner if name.startswith(FORWARD)]
    backward = [name for name in inner if name.startswith(BACKWARD)]
    if not backward and len(inner) == 2:
        backward = [name for name in inner if name not in forward]
    return (forward[0], backward[0]) if len(forward) == len(backward) == 1 else None


# Without a configuration the two must be all that there is: in a model they would hardly be alone.
# With one, the class of what the folder is named after decides; it is parsed only where the number
# of pairs is not that of the Bidirectional layers.
def _confirm(
    pairs: Mapping[str, tuple[str, str]], usual: Collection[str], config: Config
) -> dict[str, tuple[str, str]]:
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
    two = len(inner) == 2 and any(name.startswith(BACKWARD) for name in inner)
    return two and parent != "" and parent.count("/") + 1 >= scopes
