"""What Keras 2 keeps of its layers' settings in a SavedModel, beside the variables.

Comes in: the means to open the files in the folder above the variables. Goes out: a `Config` with
the settings of every layer that has gates, "" where the model has none there (Keras 3 exports
none). Promise: nothing of it is looked up or called, and settings that cannot be read make the
activation unknown, never sigmoid.

Source: keras/protobuf/saved_metadata.proto (SavedMetadata: 1 nodes{2 number, 3 path, 4 identifier,
5 metadata}) since TensorFlow 2.5; before it tensorflow/core/protobuf/saved_model.proto,
meta_graph.proto and saved_object_graph.proto (2 meta graph, 7 object graph, 1 node, 4 user object,
3 metadata).
"""

import re
from collections.abc import Iterator

from ...errors import AuditError, MalformedFile
from ...raw.span import Span
from ...wire.protobuf import BYTES, Wire
from .. import Beside
from .config import Config

METADATA, GRAPH = "../keras_metadata.pb", "../saved_model.pb"

# Bytes of the settings of one layer or model; those of 300 layers have 1 MB.
MAX_METADATA = 4 << 20

GATED = b"recurrent_activation"
# What stands for settings that cannot be read: a value that no layer has.
UNREADABLE = '"recurrent_activation": ?'

_NAMED_AS_CELL = re.compile(rb'"name":\s*"[^"]*(?i:lstm|rnn|gru|cell)')
_VERSION = re.compile(rb'"keras_version":\s*"([^"]{1,32})"')
# The files, and the numbers of the fields on the way to a layer's settings.
_PATHS = ((METADATA, (1, 5)), (GRAPH, (2, 7, 1, 4, 3)))


def read_settings(beside: Beside) -> Config:
    """The settings of a SavedModel whose `variables` the file at hand is in."""
    for name, path in _PATHS:
        try:
            span = beside(name)
        except AuditError:
            continue
        try:
            texts = list(_texts(Wire(span), 0, span.size, path))
        except MalformedFile:
            return Config(UNREADABLE, "2", span.budget)
        if texts:
            return _config(texts, span)
    return Config()


def _texts(wire: Wire, start: int, stop: int, path: tuple[int, ...]) -> Iterator[bytes]:
    """The bytes of every field at the end of a path through messages."""
    for field in wire.fields(start, stop):
        if field[0] != path[0] or field[1] != BYTES:
            continue
        if len(path) > 1:
            yield from _texts(wire, field[2], field[3], path[1:])
        elif field[3] - field[2] > MAX_METADATA:
            raise MalformedFile("settings of a layer beyond any model", wire.place(field[2]))
        elif field[3] > field[2]:
            wire.span.budget.hold(field[3] - field[2], "the settings of a layer")
            yield wire.raw(field[2], field[3])


def _config(texts: list[bytes], span: Span) -> Config:
    """One list of all layers with gates, or with names that sound like it: variables go by the
    layer's name alone, whatever it is nested in.

    A model repeats the settings of the layers that stand in it; it is no layer with gates.
    """
    gated = [
        text
        for text in texts
        if (GATED in text or _NAMED_AS_CELL.search(text)) and b'"layers"' not in text
    ]
    said = next((found[1] for text in texts if (found := _VERSION.search(text))), b"2")
    joined = b'{"config": {"layers": [' + b", ".join(gated) + b"]}}"
    return Config(joined.decode("utf-8", "replace"), said.decode("utf-8", "replace"), span.budget)
