"""Names that differ in one word: a tensor a gate, or a weight of x beside a weight of h.

Comes in: names. Goes out: rows of `GateNames` and `WeightPair`s. Promise: only whole names that are
there count, and each name is looked at once, in time linear in its length.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from ..tuples import NamedTuple

# Components at the end of a name in which a word may stand.
DEPTH = 4

# Last components that say what a tensor is to its layer.
LEAVES = frozenset({"weight", "bias", "kernel", "w", "b", "W", "value"})

# The forget gate's word in a name, and what stands in its place in those of the other gates: the
# letters of Hochreiter and Schmidhuber, Gers, Greff, TensorFlow (j), tree LSTMs (u), Ng's course (u
# for the input gate).
FORGET: Sequence[tuple[str, Mapping[str, Sequence[str]]]] = (
    (
        "forget",
        {
            "o": ("output", "out"),
            "i": ("input", "in", "inp", "update", "write"),
            "g": (
                "cell", "candidate", "cand", "modulation", "memory", "content", "new", "update",
                "c", "g", "cell_gate", "context", "state", "block", "hidden", "node", "tanh",
            ),
        },
    ),
    (
        "remember",
        {
            "o": ("output", "out"),
            "i": ("input", "in", "write", "update"),
            "g": ("cell", "candidate", "cand", "memory", "content", "new"),
        },
    ),
    (
        "keep",
        {
            "o": ("output", "out", "read"),
            "i": ("input", "in", "write", "update"),
            "g": ("cell", "candidate", "cand", "memory", "content", "new"),
        },
    ),
    ("f", {"o": ("o",), "i": ("i", "u"), "g": ("c", "g", "a", "j", "z", "u", "m", "n", "s", "t")}),
)  # fmt: skip

# Letters of no gate: a family that has several of them is an enumeration.
STRANGERS = "bdelpqv"

# Components that say to which side or kind of tensor the gates below belong: the cell is above.
SIDES = (
    r"(?i)^(?:[wuvrbxh]|weights?|bias(?:es)?|kernels?|[xhi]2h|i?gates|hgates|ih|hh|in|input|"
    r"hidden|recurrent|w[xh]|gate)$"
)

HIDDEN_TEXT = r"(?i)hidden|recurrent|h2h|hh|hid|state|rec_|(?:^|[._])[hurv](?:[._{]|$)|[wb]?h\{|_h"

# What stands for the hidden state in the name of its weight, and for the input in its place.
WORDS_OF_H: Mapping[str, Sequence[str]] = {
    "hidden2hidden": ("input2hidden", "in2hidden"),
    "recurrent_": ("", "input_", "forward_"),
    "recurrent": ("input", "kernel", "forward", "in", "feedforward"),
    "hidden": (
        "input",
        "in",
        "x",
        "inp",
        "embed",
        "embedding",
        "emb",
        "feature",
        "features",
        "data",
    ),
    "hid": ("in", "inp", "input", "x", "emb"),
    "hs": ("xs", "is"),
    "h2h": ("i2h", "x2h", "in2h"),
    "h2g": ("i2g", "x2g"),
    "hh": ("ih", "xh", "hx"),
    "Hh": ("Ih", "Xh"),
    "uh": ("wx",),
    "mh": ("ih", "mx", "xh"),
    "rec": ("in", "inp", "input", "x", "ff"),
    "state": ("input", "x", "in", "inp", "embed", "embedding", "emb", "feature", "obs"),
    "prev": ("x", "in", "input", "cur"),
    "h": ("x", "i", "in", "input"),
    "H": ("X", "I", "W"),
    "RW": ("W",),
    "U": ("W",),
    "R": ("W",),
    "V": ("W", "U"),
    "u": ("w",),
    "s": ("x",),
    "m": ("x",),
    "r": ("w", "i", "x"),
    "v": ("w", "u"),
}

H_WORD = (
    r"hidden2hidden|recurrent_?|hidden|hid|h2h|h2g|hh|Hh|mh|uh(?=$|[._])|rec(?![a-z])|state|prev|"
    r"(?<![a-z])(?:[hursvm]|hs)(?![a-z])|[hH](?=$|[._])|RW|[URV]"
)


class GateNames(NamedTuple):
    """One name a gate: `template` has `{gate}` for the word, `words` and `members` go by the gate's
    letter. `of_hidden`: its name says that it multiplies the hidden state.
    """

    module: str
    template: str
    words: Mapping[str, str]
    members: Mapping[str, str]
    of_hidden: bool

    @property
    def complete(self) -> bool:
        """Whether all four gates are there; a coupled input gate has none of its own."""
        return len(self.members) == 4


class WeightPair(NamedTuple):
    """The weights of the input and of the hidden state."""

    module: str
    source: str
    recurrent: str


# Seven looks ask for the stem of every name that is left over, and so does the next checkpoint of a
# run: remembered, they cost a quarter less of an audit (callgrind, 288 names left over).
@lru_cache(maxsize=8192)
def stem_of(name: str) -> tuple[str, str, str]:
    """Module, layer and leaf of a name: `core`, `i2h`, `weight`; without a leaf, that is empty."""
    at = _last_mark(name)
    leaf = name[at + 1 :] if at >= 0 and name[at + 1 :] in LEAVES else ""
    rest = name[:at] if leaf else name
    at = _last_mark(rest)
    return rest[: max(at, 0)], rest[at + 1 :], leaf


def _last_mark(name: str, end: int | None = None) -> int:
    """Where the last separator before `end` stands; -1 where there is none."""
    return max(name.rfind(".", 0, end), name.rfind("/", 0, end), name.rfind("|", 0, end))


def families(names: Sequence[str]) -> Iterator[GateNames]:
    """The names of a forget gate that have siblings for the other gates."""
    there = set(names)
    for name in names:
        lower = name.lower()
        for word, others in FORGET:
            at = lower.find(word, _tail_start(name)) if word in lower else -1
            while at >= 0:
                if (
                    family := _family(name, at, name[at : at + len(word)], others, there)
                ) is not None:
                    yield family
                    break
                at = lower.find(word, at + 1)


def _tail_start(name: str) -> int:
    """Where the last components of a name begin."""
    at = len(name)
    for _ in range(DEPTH):
        at = _last_mark(name, at)
        if at < 0:
            return 0
    return at + 1


def _family(
    name: str, at: int, word: str, others: Mapping[str, Sequence[str]], there: Collection[str]
) -> GateNames | None:
    """The siblings of a forget gate's name, if there are an output gate and a candidate."""
    before, after = name[:at], name[at + len(word) :]
    words, members = {"f": word}, {"f": name}
    for gate, choices in others.items():
        for choice in choices:
            cased = _match_case(choice, word)
            sibling = before + cased + after
            if sibling in there and sibling not in members.values():
                words[gate], members[gate] = cased, sibling
                break
        if gate == "o" and "o" not in members:
            return None
    if "g" not in members or (len(word) == 1 and _enumerated(before, after, word, there)):
        return None
    module = _module(before, alone=before[-1:] in "./|" and after[:1] in "./|")
    template = f"{before}{{gate}}{after}"
    of_hidden = bool(re.search(HIDDEN_TEXT, template[len(module) :]))
    return GateNames(module, template, words, members, of_hidden)


def _match_case(word: str, like: str) -> str:
    if like.isupper():
        return word.upper()
    return word.capitalize() if like[0].isupper() else word


def _enumerated(before: str, after: str, like: str, there: Collection[str]) -> bool:
    """Whether letters of no gate stand in the gate's place too."""
    return sum(before + _match_case(letter, like) + after in there for letter in STRANGERS) > 1


def _module(before: str, alone: bool = False) -> str:
    """The path of the cell, from what stands before the word that differs; where that is `alone`
    between separators, the component before it may say the side (`W.f`, `x2h.forget.weight`).
    """
    at = max(before.rfind(mark) for mark in "./|")
    path = before[: max(at, 0)]
    last = re.split(r"[./|]", path)[-1]
    if alone and path and re.match(SIDES, last):
        path = path[: max(len(path) - len(last) - 1, 0)]
    return path


def pairs(names: Sequence[str]) -> Iterator[WeightPair]:
    """Names that say the hidden state, beside the same that say the input."""
    there = set(names)
    for name in names:
        _, stem, leaf = stem_of(name)
        if leaf in ("bias", "b") or "bias" in stem:
            continue
        end = len(name) - (len(leaf) + 1 if leaf else 0)
        pair = _pair(name, end - len(stem) - 24, end, there)
        if pair is not None:
            yield pair


def _pair(name: str, start: int, end: int, there: Collection[str]) -> WeightPair | None:
    for token in re.finditer(H_WORD, name[:end]):
        if token.start() < start:
            continue
        for word in WORDS_OF_H.get(token[0], ()):
            other = name[: token.start()] + word + name[token.end() :]
            if other != name and other in there and token.start() >= _tail_start(name):
                return WeightPair(_module(name[: token.start()]), other, name)
    return None
