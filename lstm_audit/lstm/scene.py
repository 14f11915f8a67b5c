"""What the looks for unknown recurrences have in common: the names, their shapes, what was seen.

Comes in: the names that no row took. Goes out: a `Scene` to look at, and `Sight`s. Promise: a
broken tensor that nothing has asked for is no reason to refuse a file.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, lru_cache

from ..errors import MalformedFile
from ..formats import Checkpoint, shape_of
from ..tuples import NamedTuple
from .draft import Draft
from .siblings import stem_of

LSTM_WORD = r"(?i)lstm"
# A module that is an LSTM by its name, not one that stands behind it (`post_lstm_gate`).
LSTM_MODULE = (
    r"(?i)(?<!post_)(?<!pre_)(?<!after_)"
    r"lstm(?:[_-]?(?:cell|layer|block|unit|core|builder))?s?_?\d*$"
)

CELL_WORD = r"(?i)(?:^|[^a-z])(?:cells?|rnns?|recurrent|recurrence)(?![a-z])|rnn_?cell"
IS_CELL = (
    r"(?i)(?:^|_|lstm|rnn)(?:cells?|rnns?|recurrent|recurrence)(?:_?(?:list|fw|bw|[fb]wd|\d+))?$"
)
# Components that only hold tensors: the name of the cell is the one above.
_is_container = re.compile(
    r"(?i)^(?:~|_*(?:flat_?|all_?)?(?:params?|parameters|weights|kernels|vars|variables))$"
).match


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


def scene_of(left: Sequence[str], checkpoint: Checkpoint) -> Scene:
    """The names by their modules."""
    within: dict[str, list[str]] = {}
    for name in left:
        within.setdefault(stem_of(name)[0], []).append(name)

    @cache
    def shape(name: str) -> tuple[int, ...]:
        try:
            return shape_of(checkpoint.tensors, name)
        except MalformedFile:
            return ()

    return Scene(left, frozenset(left), within, shape)


# Each module is asked about by up to ten looks, one look after the other: fewer would be forgotten
# in between. Of 39,000 modules called lstm this took nine tenths of the time.
REMEMBERED = 1 << 16


@lru_cache(maxsize=REMEMBERED)
def cell_of(module: str) -> str:
    """The path without the last components that only hold tensors (`lstm.params`)."""
    while module:
        at = max(module.rfind("."), module.rfind("/"), module.rfind("|"))
        if not _is_container(module[at + 1 :]):
            return module
        module = module[: max(at, 0)]
    return ""


@lru_cache(maxsize=REMEMBERED)
def last_word(module: str) -> str:
    """The last component of a path that is a name, not a number."""
    parts = [part for part in re.split(r"[./|]", cell_of(module)) if not part.isdigit()]
    return parts[-1] if parts else ""


@lru_cache(maxsize=REMEMBERED)
def says_lstm(module: str) -> bool:
    """Whether a module is an LSTM by its own name."""
    return bool(re.search(LSTM_MODULE, last_word(module)))


@lru_cache(maxsize=REMEMBERED)
def says_cell(module: str) -> bool:
    """Whether a module is some recurrent cell by its own name."""
    return bool(re.search(CELL_WORD, last_word(module)))


@lru_cache(maxsize=REMEMBERED)
def is_cell(module: str) -> bool:
    """Whether a module is a recurrent cell by the end of its name: `decoder_cell`, not
    `cell_encoder`.
    """
    return bool(re.search(IS_CELL, last_word(module)))


def has_others(name: str, module: str, scene: Scene, known: Collection[str] = ()) -> bool:
    """Whether another weight of the same kind stands beside it, but for those that are `known`: a
    cell has the one.
    """
    rank = len(scene.shape(name))
    others = (other for other in scene.within[module] if other != name and other not in known)
    shapes = (scene.shape(other) for other in others)
    return any(len(shape) == rank and 1 not in shape[:2] for shape in shapes)


def find_bias(name: str, size: int, scene: Scene) -> str:
    """The bias that belongs to a weight by its name."""
    other = next((other for other in Draft.bias_names(name) if other in scene.there), "")
    return other if other and scene.shape(other) == (size,) else ""
