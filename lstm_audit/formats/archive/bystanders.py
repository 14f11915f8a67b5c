"""Pickles of an archive that hold no checkpoint, but that loading the archive would obey.

Comes in: the members of an archive, and the names of those that are checkpoints themselves. Goes
out: the (module, name) pairs that the others mention. Promise: each is gone through to its end, or
the archive is refused: a broken one could hide something.

Two kinds are known. A member that is called a pickle, as `vec_normalize.pkl` beside a policy. And
the `data` of Stable-Baselines3 (stable_baselines3/common/save_util.py, `json_to_data`): a JSON
object whose values may carry, under ":serialized:", a pickle in base64.
"""

import base64
import binascii
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

from ...errors import MalformedFile
from ...raw.span import Span
from ...raw.words import show
from ...wire import json
from ...wire.pickle import Global, decode

# The members of an archive by name, each opened when it is asked for.
Opener = Mapping[str, "partial[Span]"]

PICKLES = (".pkl", ".pickle")
SETTINGS = "data"
SERIALIZED = ":serialized:"

Pairs = tuple[tuple[str, str], ...]


def find_unpickled_by_loaders(members: Opener, checkpoints: Collection[str]) -> Pairs:
    """The (module, name) pairs, each once, in order."""
    named = {
        (found.module, found.name): None
        for name in sorted(members)
        if name not in checkpoints
        for pickle in _pickles(name, members)
        for found in _globals(name, pickle)
    }
    return tuple(named)


def _globals(name: str, pickle: Span) -> tuple[Global, ...]:
    try:
        return decode(pickle).globals
    except MalformedFile as error:
        message = f"{show(name)}, which loading the archive unpickles: {error.message}"
        raise MalformedFile(message, error.at, error.kind) from None


def _pickles(name: str, members: Opener) -> Iterator[Span]:
    """The pickles that a member consists of."""
    if name == SETTINGS:
        yield from _find_serialized(members[name]())
    elif name.endswith(PICKLES):
        yield members[name]()


def _find_serialized(span: Span) -> Iterator[Span]:
    """The pickles in the settings of a Stable-Baselines3 model; none where they are another's."""
    if span.size > json.MAX_SIZE or span[: min(span.size, 1)].read() != b"{":
        return
    try:
        settings = json.parse_json(span.read(), span.budget, SETTINGS, span.at)
    except MalformedFile as error:
        if error.kind == "limit":
            raise
        return
    for value in settings.values():
        text = value.get(SERIALIZED) if type(value) is dict else None
        if type(text) is str:
            yield from _decode(text, span)


def _decode(text: Any, span: Span) -> Iterator[Span]:
    span.budget.hold(len(text), SETTINGS)
    try:
        yield span.compute(base64.b64decode(text))
    except (binascii.Error, ValueError):  # then Stable-Baselines3 cannot decode it, either
        return
