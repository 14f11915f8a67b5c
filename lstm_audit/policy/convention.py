"""`[[tool.lstm-audit.convention]]`: how an LSTM under names of one's own is read.

Comes in: the tables. Goes out: `Own`s, checked; the schema; the manual. Promise: what is not
understood is refused with what was perhaps meant, and every pattern has a meaning.
"""

import re
from collections.abc import Mapping
from typing import Any

from ..activations import is_activation
from ..lstm.own import ROLES, Own
from ..spelling import suggest
from .kinds import (
    KeyPlace,
    read_choice,
    read_number,
    read_table,
    read_text,
    read_texts,
    refuse_unknown_keys,
    wrong,
    wrong_type,
)

KEYS = ("name", "tensors", "order", "axis", "offset", "activation", "norm")
TEXTS = ("order", "axis", "offset", "activation")
TENSORS = tuple(role for role in ROLES if role != "norm")
PLACEHOLDERS = ("gate", "layer", "direction")

# What the gates are called; with other words, `order` is a table from letters to words.
WORDS = {
    "i": ("i", "input", "in", "inp", "input_gate", "update"),
    "f": ("f", "forget", "forget_gate", "remember"),
    "g": (
        "g", "c", "j", "a", "u", "z", "cell", "candidate", "cand", "modulation", "memory", "new",
        "cell_gate", "content", "block",
    ),
    "o": ("o", "output", "out", "output_gate"),
}  # fmt: skip

MANUAL = """\
A convention of one's own

An LSTM that its author wrote is stored under names that no framework uses. A
table [[tool.lstm-audit.convention]] (in lstm-audit.toml: [[convention]]) says
what they mean. It is a row of the same table as the built-in ones and is asked
first; audit, check, diff and patch go by it.

  name        how reports call it
  tensors     a pattern for each role, or a list of them: recurrent (needed: its
              shape tells H), input, bias, or bias-ih and bias-hh. All biases
              are added up.
  order       the gates in the order of their blocks: a permutation of "ifgo"
              (c, j, a, u, z are g too), or a list of words; or, with {gate} in
              the patterns, a table from i, f, g, o to the words that stand
              there
  axis        the axis of the recurrent weight that holds the gates: 0 (torch),
              or 1
  offset      what the code adds to the forget gate at run time, such as 1
  activation  the forget gate's: sigmoid, hard_sigmoid, ...
  norm        patterns of the betas of layer norms that stand over the gates:
              terms of the bias

Patterns match whole names. `*` at the start is the module's path; without it,
the path that all patterns share is. Elsewhere `*` is any text. {gate}, {layer}
and {direction} are what they say. Without `input` the recurrent weight is one
for the input and the hidden state, (4H, in + H). A convention that reads no
LSTM of a run, in which there are some, is an error (exit 2).

Example, for a cell of two linear layers, core.i2h and core.h2h, that adds 1 to its forget gate:

  [[tool.lstm-audit.convention]]
  name = "core"
  tensors.input = "*.i2h.weight"
  tensors.recurrent = "*.h2h.weight"
  tensors.bias-ih = "*.i2h.bias"
  tensors.bias-hh = "*.h2h.bias"
  order = "ifgo"
  offset = 1.0

A line a gate, words and all:

  [[tool.lstm-audit.convention]]
  name = "gates"
  tensors = { recurrent = "*.{gate}_gate.weight", bias = "*.{gate}_gate.bias" }
  order = { i = "input", f = "forget", g = "cell", o = "output" }

A skipped entry `unknown-convention` prints such a table in one line, for the tensors it saw."""


def read_conventions(value: object, place: KeyPlace) -> tuple[Own, ...]:
    """The declared conventions, in their order."""
    if not isinstance(value, list):
        raise wrong_type(place, "tables ([[convention]])", value)
    found = tuple(_read(entry, place.child(f"#{n}")) for n, entry in enumerate(value, 1))
    names = [own.name for own in found]
    for name in names:
        if names.count(name) > 1:
            raise wrong(place, f"two conventions are called {name!r}")
    return found


# The table is checked as far as it can be without a checkpoint; whether its patterns match anything
# is known only at the end of a run, and is then an error like that of any other pattern.
def _read(value: object, place: KeyPlace) -> Own:
    table = read_table(value, place)
    refuse_unknown_keys(table, KEYS, place)
    for key in ("name", "tensors"):
        if key not in table:
            raise wrong(place, f"has no {key}; `lstm-audit explain convention` shows an example")
    tensors = _tensors(table, place)
    axis = table.get("axis", 0)
    if type(axis) is not int or axis not in (0, 1):
        raise wrong_type(place.child("axis"), "0 or 1", axis)
    own = Own(
        name=read_text(table["name"], place.child("name")),
        tensors=tensors,
        order=_order(table.get("order", "ifgo"), place.child("order")),
        axis=axis,
        offset=read_number(table.get("offset", 0.0), place.child("offset")),
        activation=_activation(table.get("activation", "sigmoid"), place.child("activation")),
    )
    return _check_split(own, place)


def _tensors(table: Mapping[str, Any], place: KeyPlace) -> tuple[tuple[str, tuple[str, ...]], ...]:
    given = read_table(table["tensors"], place.child("tensors"))
    refuse_unknown_keys(given, TENSORS, place.child("tensors"))
    if "recurrent" not in given:
        raise wrong(place.child("tensors"), "has no recurrent weight, whose shape tells H")
    roles = {role: _patterns(given[role], place.child("tensors").child(role)) for role in given}
    if "norm" in table:
        roles["norm"] = _patterns(table["norm"], place.child("norm"))
    return tuple(roles.items())


def _patterns(value: object, place: KeyPlace) -> tuple[str, ...]:
    texts = (read_text(value, place),) if isinstance(value, str) else read_texts(value, place)
    if not texts:
        raise wrong(place, "an empty list matches nothing; give a pattern")
    for text in texts:
        for word in re.findall(r"\{([^{}]*)\}", text):
            if word not in PLACEHOLDERS:
                raise wrong(place, f"no such placeholder {{{word}}}; {suggest(word, PLACEHOLDERS)}")
    return texts


# Letters and words end as the same pairs (gate, word). With {gate} in the patterns the word is what
# stands in the names; without, only the order of the pairs counts.
def _order(value: object, place: KeyPlace) -> tuple[tuple[str, str], ...]:
    if isinstance(value, dict):
        refuse_unknown_keys(value, tuple(WORDS), place)
        pairs = tuple((key, read_text(value[key], place.child(key))) for key in value)
    else:
        words = tuple(value) if isinstance(value, str) else read_texts(value, place)
        pairs = tuple((_letter(word, place), word) for word in words)
    letters = sorted(letter for letter, _ in pairs)
    if letters != sorted(WORDS) or len({word for _, word in pairs}) != len(pairs):
        raise wrong(place, "each of the gates i, f, g, o must be named once")
    return pairs


def _letter(word: str, place: KeyPlace) -> str:
    for letter, words in WORDS.items():
        if word.lower() in words:
            return letter
    raise wrong(
        place,
        f"{word!r} is no gate's word that is known: write a table, "
        '{ i = "...", f = "...", g = "...", o = "..." }',
    )


def _activation(value: object, place: KeyPlace) -> str:
    text = read_text(value, place)
    return text if is_activation(text) else read_choice(text, ("sigmoid", "hard_sigmoid"), place)


# Gates with tensors of their own have no blocks to be cut, joined ones have no words to be told by:
# a mixture would need both answers for one bias. The input weight is left out of the test, since
# nothing of it is read but its shape.
def _check_split(own: Own, place: KeyPlace) -> Own:
    """Gates must have tensors of their own in all roles or in none."""
    split = {"{gate}" in text for role, texts in own.tensors if role != "input" for text in texts}
    if len(split) > 1:
        raise wrong(place.child("tensors"), "{gate} stands in some of the patterns only")
    return own


def schema() -> dict[str, Any]:
    """The JSON Schema of the list of tables."""
    text = {"type": "string", "minLength": 1}
    texts = {"anyOf": [text, {"type": "array", "items": text, "minItems": 1}]}
    four: dict[str, Any] = {"type": "array", "items": text, "minItems": 4, "maxItems": 4}
    table = {
        "type": "object",
        "properties": dict.fromkeys(WORDS, text),
        "required": list(WORDS),
        "additionalProperties": False,
    }
    tensors = {
        "type": "object",
        "properties": dict.fromkeys(TENSORS, texts),
        "required": ["recurrent"],
        "additionalProperties": False,
    }
    properties = {
        "name": text,
        "tensors": tensors,
        "order": {"anyOf": [text, four, table]},
        "axis": {"enum": [0, 1]},
        "offset": {"type": "number"},
        "activation": text,
        "norm": texts,
    }
    return {
        "description": "How LSTMs under names of one's own are read.",
        "type": "array",
        "items": {
            "type": "object",
            "properties": {key: properties[key] for key in KEYS},
            "required": ["name", "tensors"],
            "additionalProperties": False,
        },
    }
