"""All objects of a file: one walk from the root.

Comes in: the span of a file, and which paths to enter. Goes out: a `Tree`. Promise: an object is
read once, however many names it has, so that links in circles end; a dataset that cannot be read
does not hide the others.
"""

from typing import NamedTuple

from ...errors import MalformedFile
from ...raw.span import Span
from .attributes import Attributes
from .dataset import Dataset, read_dataset
from .fetch import Enter, fetch_structures
from .file import File
from .groups import read_links
from .header import LAYOUT, read_messages

# Groups and datasets: a model of 1000 layers has about 7000, its optimizer not counted. Each takes
# 60 to 100 microseconds.
MAX_OBJECTS = 12_000

# Groups within groups; Keras nests about ten for a model in a model.
MAX_DEPTH = 64

# Characters of a group's path.
MAX_PATH = 1024


class Tree(NamedTuple):
    """The objects by their path from the root, which is "".

    A dataset with two names (hard links) stands under both; a group with two stands under the
    first. `refused` are the datasets that cannot be read, with the reason.
    """

    datasets: dict[str, Dataset]
    attributes: dict[str, Attributes]
    refused: dict[str, MalformedFile]


# A stack, not recursion, and the root is the first entry. Objects are known by address: a second
# name of a dataset is an alias (Keras writes none, but tied weights saved by hand do), while a
# group that is met again is not entered twice, which is what ends a circle of links.
def read_hdf5(span: Span, enter: Enter = lambda path: True) -> Tree:
    """Walk a file; raises `MalformedFile` when its structure is broken."""
    if span.source.far:
        fetch_structures(span, enter)
    file = File(span)
    tree = Tree({}, {}, {})
    names: dict[int, str] = {}
    todo = [("", file.root, 0)]
    met = 0
    while todo:
        path, at, depth = todo.pop()
        if at in names:
            _add_alias(tree, path, names[at])
        elif enter(path):
            names[at] = path
            links = _add_object(file, tree, path, at)
            met += len(links)
            _bound(file, met, depth, path)
            prefix = f"{path}/" if path else ""
            todo += [(prefix + name, address, depth + 1) for name, address in reversed(links)]
    return tree


def _add_object(file: File, tree: Tree, path: str, at: int) -> list[tuple[str, int]]:
    """One object into the tree; the links of a group."""
    messages = read_messages(file, at)
    tree.attributes[path] = Attributes(file, messages)
    if not any(message.kind == LAYOUT for message in messages):
        return read_links(file, messages)
    try:
        tree.datasets[path] = read_dataset(file, messages)
    except MalformedFile as error:
        tree.refused[path] = error
    return []


def _add_alias(tree: Tree, path: str, first: str) -> None:
    if first in tree.datasets:
        tree.datasets[path] = tree.datasets[first]
    elif first in tree.refused:
        tree.refused[path] = tree.refused[first]


def _bound(file: File, objects: int, depth: int, path: str) -> None:
    if objects > MAX_OBJECTS:
        raise file.fail(f"over {MAX_OBJECTS} groups and datasets", 0, "limit")
    if depth > MAX_DEPTH or len(path) > MAX_PATH:
        raise file.fail(
            f"groups are nested over {MAX_DEPTH} deep, or over {MAX_PATH} characters long",
            0,
            "limit",
        )
