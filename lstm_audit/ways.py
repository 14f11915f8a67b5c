"""Two layers in one folder that may be the two of a bidirectional layer, by names alone.

Comes in: paths, and the words that a framework begins the two names with. Goes out: for each folder
its two layers. Promise: time linear in the paths' length; whether a folder is a bidirectional
layer's or a model's is for the caller to say, who knows more than names.
"""

from collections.abc import Collection, Iterable, Iterator

from .tuples import NamedTuple

# What is said of a cell that may be either of the two, or neither.
DIRECTION_UNKNOWN = (
    "its direction is not in the file: it may be one of a bidirectional layer's two; called forward"
)


class Ways(NamedTuple):
    """How the names of the two layers begin. `attribute` is an expression for the path of the
    attribute that holds one of them, where such paths are part of names; its group `way` is
    `reverse` for the layer that reads backward.
    """

    forward: str
    backward: str
    attribute: str = ""
    reverse: str = ""


class Pair(NamedTuple):
    """The layer that reads forward and the one that reads backward. `named`: both names say so;
    otherwise the second is only the one other thing in the folder.
    """

    forward: str
    backward: str
    named: bool


def find_children(paths: Iterable[str], ways: Ways) -> dict[str, set[str]]:
    """Every folder that has a forward layer in it, by its name, with all that it holds."""
    homes = {
        parent for path in paths if ways.forward in path for parent, child in steps(path)
        if child.startswith(ways.forward)
    }  # fmt: skip
    found: dict[str, set[str]] = {home: set() for home in homes}
    for path in paths if homes else ():
        for parent, child in steps(path):
            if parent in found:
                found[parent].add(child)
    return found


def steps(path: str) -> Iterator[tuple[str, str]]:
    """Every folder on a path, with what follows in it."""
    parts = path.split("/")
    return (("/".join(parts[:k]), parts[k]) for k in range(len(parts)))


def find_pair(inner: Collection[str], ways: Ways) -> Pair | None:
    """The forward and the backward layer among what a folder holds, as far as names can tell."""
    forward = [name for name in inner if name.startswith(ways.forward)]
    backward = [name for name in inner if name.startswith(ways.backward)]
    named = bool(backward)
    if not named and len(inner) == 2:
        backward = [name for name in inner if name not in forward]
    if len(forward) != 1 or len(backward) != 1:
        return None
    return Pair(forward[0], backward[0], named)
