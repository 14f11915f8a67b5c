"""A convention of one's own as a row of the table, asked before the built-in ones.

Comes in: `Own`, what a policy declares. Goes out: `ConventionRow`s. Promise: its patterns match
whole names; what the file cannot say (the order of the gates, an offset) is taken from the
declaration alone, and where shapes contradict it the recurrence is skipped, never guessed.

The patterns: a `*` at the start is the module's path, and the separator behind it may be missing
together with the path; without it the path that all patterns share is the module. Elsewhere `*` is
any text. `{gate}` is one of the gates' words, `{layer}` a number, `{direction}` a word for one, or
nothing.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from ..tuples import NamedTuple
from .conventions import HEAD, Convention, Slot
from .match import REMEMBERED, ConventionRow, GroupKey, SlotPart

BACKWARD = ("backward", "reverse", "bw", "bwd", "back", "rev", "b", "r")
FORWARD = ("forward", "fw", "fwd", "f", "l")
# What a tensor may be; a norm's beta is what the norm gives for zeros, so a term of the bias.
ROLES = {
    "input": Slot("input"),
    "recurrent": Slot("recurrent"),
    "bias": Slot("bias"),
    "bias-ih": Slot("bias", "ih"),
    "bias-hh": Slot("bias", "hh"),
    "norm": Slot("bias"),
}


class Own(NamedTuple):
    """A declared convention, plain and picklable.

    `tensors`: a role and its patterns; `order`: the gates' letters with their words, in the order
    of their blocks.
    """

    name: str
    tensors: tuple[tuple[str, tuple[str, ...]], ...]
    order: tuple[tuple[str, str], ...] = (("i", "i"), ("f", "f"), ("g", "g"), ("o", "o"))
    axis: int = 0
    offset: float = 0.0
    activation: str = "sigmoid"


@lru_cache(maxsize=64)
def rows_of(declared: tuple[Own, ...]) -> tuple[ConventionRow, ...]:
    """Rows; remembered, for all files of a run have the same ones."""
    return tuple(map(_row_of, declared))


def _row_of(own: Own) -> ConventionRow:
    patterns = [(role, text) for role, texts in own.tensors for text in texts]
    keys = [f"{role}.{k}" for k, (role, _) in enumerate(patterns)]
    shared = _find_shared([text for _, text in patterns])
    words = {word: letter for letter, word in own.order}
    compiled = [
        (key, re.compile(_expression(text, shared, words), re.DOTALL))
        for key, (_, text) in zip(keys, patterns, strict=True)
    ]
    convention = Convention(
        name=own.name,
        source="declared in the policy",
        hint="",
        tail="",
        slots={key: ROLES[role] for key, (role, _) in zip(keys, patterns, strict=True)},
        order="".join(letter for letter, _ in own.order),
        blocks=(len(own.order),),
        gate_axis=own.axis,
        gate_words=words,
        required=tuple(key for key in keys if key.startswith("recurrent"))[:1],
        offset=own.offset,
        activation=own.activation,
        joint=not any(role == "input" for role, _ in patterns),
        vouched=True,
    )
    return ConventionRow(convention, _placing(compiled, words))


def _placing(
    compiled: Sequence[tuple[str, re.Pattern[str]]], words: dict[str, str]
) -> Callable[[str], tuple[GroupKey, SlotPart] | None]:
    @lru_cache(maxsize=REMEMBERED)
    def place(name: str) -> tuple[GroupKey, SlotPart] | None:
        for key, pattern in compiled:
            if (match := pattern.fullmatch(name)) is not None:
                found = match.groupdict("").get
                way = found("way", "").strip("_").lower()
                direction = "reverse" if way in BACKWARD else "forward"
                module, layer = found("module", ""), int(found("layer") or 0)
                return (module, layer, direction), (words.get(found("gate", ""), ""), key)
        return None

    return place


def _find_shared(patterns: Sequence[str]) -> str:
    """The path that all patterns without a `*` at the start share, up to the first placeholder."""
    literal = [re.split(r"(?<=[./|])", text) for text in patterns]
    if any(text.startswith("*") for text in patterns):
        return ""
    shared: list[str] = []
    for parts in zip(*literal, strict=False):
        plain = len({*parts}) == 1 and parts[0][-1:] in "./|" and not set(parts[0]) & set("*?{")
        if not plain:
            break
        shared.append(parts[0])
    return "".join(shared)


def _expression(text: str, shared: str, words: dict[str, str]) -> str:
    if text.startswith("*"):
        rest = text[1:]
        if rest[:1] in (".", "/", "|"):
            return HEAD + "".join(_pieces(rest[1:], words))
        return "(?P<module>.*?)" + "".join(_pieces(rest, words))
    head = f"(?P<module>{re.escape(shared[:-1])}){re.escape(shared[-1])}" if shared else ""
    return head + "".join(_pieces(text[len(shared) :], words))


def _pieces(text: str, words: dict[str, str]) -> Iterator[str]:
    """A pattern as a regular expression; a placeholder that stands twice must mean the same."""
    ways = "|".join(sorted((*FORWARD, *BACKWARD), key=len, reverse=True))
    groups = {
        "{gate}": ("gate", "|".join(map(re.escape, sorted(words, key=len, reverse=True)))),
        "{layer}": ("layer", r"\d{1,9}"),
        "{direction}": ("way", f"(?:_?(?:{ways}))?"),
    }
    seen: set[str] = set()
    for piece in re.split(r"(\{gate\}|\{layer\}|\{direction\}|\*|\?)", text):
        if piece in groups:
            name, expression = groups[piece]
            yield f"(?P={name})" if name in seen else f"(?P<{name}>{expression})"
            seen.add(name)
        else:
            yield {"*": ".*?", "?": "."}.get(piece, re.escape(piece))
