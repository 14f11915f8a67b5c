"""A model's configuration: which activation the forget gate of a cell has.

Comes in: the JSON text that Keras keeps beside the weights, and where a cell stands. Goes out: the
value of `recurrent_activation`, or None where the text does not say. Promise: the text is parsed
only where its LSTMs differ, bounded, and nothing in it is looked up or called.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ...errors import MalformedFile
from ...raw.budget import Budget
from ...wire.json import parse_json

# Models and wrappers within one another.
MAX_NESTED = 32

# `inner_activation` is what Keras 1 called it. A value that is no text ends at its first sign.
_ACTIVATION = r'"(?:recurrent|inner)_activation"\s*:\s*("[^"]*"|.)'

JsonObject = Mapping[str, Any]


class Config(NamedTuple):
    """The text of a configuration, the version of Keras that wrote it ("" where nothing says), and
    the account that pays for parsing it.
    """

    text: str = ""
    version: str = ""
    budget: Budget | None = None

    @property
    def before_3(self) -> bool | None:
        """Whether Keras 2, tf_keras or Keras 1 wrote the file; None where nothing says."""
        major = self.version.partition(".")[0]
        return int(major) < 3 if major.isdecimal() and len(major) < 4 else None


class DifferentCells(NamedTuple):
    """Cells of the model differ, and which of them this is cannot be told."""

    why: str


Activation = str | DifferentCells | None


def find_activation(config: Config, folder: str, names: Sequence[str]) -> Activation:
    """The forget gate's activation of the cell whose tensors are in `folder`.

    `names` are the model's own names of the layers on the way, outermost first, as far as the file
    tells them.
    """
    values = _values(config.text)
    if not values:
        return None
    if len(values) == 1 and (only := next(iter(values))).startswith('"'):
        return only.strip('"')
    model = _parse(config)
    if model is None:
        return DifferentCells("its configuration cannot be read")
    numbered = folder == "vars" or folder.endswith("/vars")
    found = (
        _by_number(model, folder.split("/")[:-1], names) if numbered else _by_name(model, folder)
    )
    return _common(found)


# Layers and cells of Keras's own whose gates are an LSTM's.
KERAS_CLASSES = frozenset(
    {"LSTM", "LSTMCell", "CuDNNLSTM", "PeepholeLSTMCell", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D",
     "ConvLSTM1DCell", "ConvLSTM2DCell", "ConvLSTM3DCell", "ConvRecurrent2D"}
)  # fmt: skip


def find_class(config: Config, folder: str, names: Sequence[str]) -> str:
    """The class of the cell in a folder where it is a user's own, which may compute something else;
    "" where it is Keras's, or the text does not tell.
    """
    if not _has_classes(config.text) or (model := _parse(config)) is None:
        return ""
    numbered = folder == "vars" or folder.endswith("/vars")
    found = (
        _by_number(model, folder.split("/")[:-1], names) if numbered else _by_name(model, folder)
    )
    classes = {_class(cell) for cell in found}
    return next(iter(classes)) if len(classes) == 1 and not classes & KERAS_CLASSES else ""


def find_classes(config: Config) -> dict[str, set[str]]:
    """Name to the classes of the layers that have it, of all layers of a model; what a
    TimeDistributed wraps goes by the wrapper's name too, as its variables do in tf_keras.
    """
    model = _parse(config) if config.text else None
    classes: dict[str, set[str]] = {}
    for node in _nodes(model, 0) if model is not None else ():
        said = classes.setdefault(str(_inside(node).get("name", "")), set())
        said.add(_class(node))
        if _class(node) == "TimeDistributed" and (inner := _layer(node, "layer")) is not None:
            said.add(_class(inner))
    return classes


def find_layer_classes(config: Config, folder: str) -> set[str]:
    """The classes of the layers that a folder can be, by their names along its path; of what a
    TimeDistributed wraps, where it is one.
    """
    model = _parse(config)
    found = [] if model is None else [model]
    for part in folder.split("/") if found else ():
        inner = [one for node in found for one in _layers(node) if _inside(one).get("name") == part]
        found = inner or found
    wrapped = (
        _layer(one, "layer") or one if _class(one) == "TimeDistributed" else one for one in found
    )
    return {_class(one) for one in wrapped if one is not model}


def _class(node: JsonObject) -> str:
    """A layer's class, with the package in front under which a user's own is registered."""
    return str(node.get("registered_name") or node.get("class_name", ""))


def _nodes(node: JsonObject, depth: int) -> Iterator[JsonObject]:
    """A layer and all within it."""
    yield node
    if depth < MAX_NESTED:
        for key in ("layer", "backward_layer", "cell"):
            if (inner := _layer(node, key)) is not None:
                yield from _nodes(inner, depth + 1)
        for key in ("layers", "cells"):
            for inner in _layers(node, key):
                yield from _nodes(inner, depth + 1)


@lru_cache(maxsize=4)
def _has_classes(text: str) -> bool:
    """Whether the text names a class that is registered, or an LSTM that is not Keras's: most name
    none, and are not parsed for it.
    """
    found = set(re.findall(r'"class_name"\s*:\s*"([^"]*)"', text))
    own = {name for name in found - KERAS_CLASSES if re.search(r"(?i)lstm|.>.", name)}
    return bool(own) or re.search(r'"registered_name"\s*:\s*"[^"]*>', text) is not None


@lru_cache(maxsize=4)
def _values(text: str) -> frozenset[str]:
    """Every value that the text gives any recurrent layer's gates, as it is written there."""
    return frozenset(re.findall(_ACTIVATION, text))


@lru_cache(maxsize=1)
def _parse(config: Config) -> JsonObject | None:
    """The model; None where the text is no JSON, or more of it than any model has."""
    try:
        model = parse_json(config.text.encode(), config.budget or Budget(), "the configuration")
    except MalformedFile:
        return None
    return model if isinstance(model, dict) else None


def _common(cells: Sequence[JsonObject]) -> Activation:
    """What all of the cells have in common."""
    found = {_value(cell) for cell in cells}
    if not found:
        return DifferentCells("its configuration does not tell which layer this is")
    if len(found) > 1:
        return DifferentCells(
            f"its configuration gives {' and '.join(sorted(found))} to layers of this name"
        )
    return found.pop()


def _value(cell: JsonObject) -> str:
    inside = _inside(cell)
    value = inside.get("recurrent_activation", inside.get("inner_activation"))
    if isinstance(value, dict):  # a function that was registered under a name
        named = value.get("registered_name") or value.get("config")
        return named if isinstance(named, str) else "a function of its own"
    return value if isinstance(value, str) else repr(value)[:40]


def _inside(node: JsonObject) -> JsonObject:
    """A layer's own settings. (Keras 1 and 2.1 keep a Sequential's layers in a bare list.)"""
    inside = node.get("config")
    if isinstance(inside, list):
        return {"layers": inside}
    return inside if isinstance(inside, dict) else {}


def _layers(node: JsonObject, key: str = "layers") -> list[JsonObject]:
    found = _inside(node).get(key)
    return [layer for layer in found if isinstance(layer, dict)] if isinstance(found, list) else []


def _layer(node: JsonObject, *keys: str) -> JsonObject | None:
    """The layer within a wrapper, under the first of the keys that has one."""
    return next((found for key in keys if isinstance(found := _inside(node).get(key), dict)), None)


def _by_number(model: JsonObject, path: Sequence[str], names: Sequence[str]) -> list[JsonObject]:
    """The cell at a path such as layers/bidirectional/forward_layer/cell (saving_lib.py)."""
    node: JsonObject | None = model
    names, steps = list(names), list(path)
    while steps and node is not None:
        step = steps.pop(0)
        if step in ("layers", "cells") and steps:
            name = names.pop(0) if step == "layers" and names else ""
            node = _member(_layers(node, step), steps.pop(0), name)
        elif step in ("forward_layer", "layer"):
            node = _layer(node, "layer")
        elif step == "backward_layer":
            node = _layer(node, "backward_layer", "layer")
        elif step == "cell":
            node = _layer(node, "cell") or node  # an LSTM's cell has no settings of its own
        else:
            node = None
    return [node] if node is not None and _gated(node) else []


def _member(layers: Sequence[JsonObject], numbered: str, name: str) -> JsonObject | None:
    """A member of a container: by its own name, else by class and order, as they were numbered."""
    named = [layer for layer in layers if name and _inside(layer).get("name") == name]
    if len(named) == 1:
        return named[0]
    used: dict[str, int] = {}
    for layer in layers:
        own = to_snake_case(str(layer.get("class_name", "")).rpartition(">")[2])
        count = used[own] = used.get(own, -1) + 1
        if numbered == (f"{own}_{count}" if count else own):
            return layer
    return None


def to_snake_case(name: str) -> str:
    """A class as a path names it: ConvLSTM2D is conv_lstm2d (keras/src/utils/naming.py)."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def _by_name(model: JsonObject, folder: str) -> list[JsonObject]:
    """The cells below the first layer on a path that the model has, whose own names are on the path
    if any are.
    """
    parts = folder.split("/")
    layers = _layers(model)
    by_part = ([one for one in layers if _inside(one).get("name") == part] for part in parts)
    outer: list[JsonObject] = next(filter(None, by_part), [])
    cells = [cell for layer in outer for cell in _cells(layer, 0)]
    directed = {
        part.partition("_")[2] for part in parts if part.startswith(("forward_", "backward_"))
    }
    on_path = [cell for cell in cells if _inside(cell).get("name") in {*parts[1:], *directed}]
    return on_path or cells


def _cells(node: JsonObject, depth: int) -> Iterator[JsonObject]:
    """The layers and cells with gates in a layer: itself, what it wraps, what it is built of."""
    return filter(_gated, _nodes(node, depth))


def _gated(node: JsonObject) -> bool:
    inside = _inside(node)
    return "recurrent_activation" in inside or "inner_activation" in inside
