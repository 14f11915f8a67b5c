"""A model of Keras 3 that was saved as a folder: `model.save(path, zipped=False)`.

Comes in: a span over the weights, and a way to the files beside it. Goes out: the configuration
that lies there. Promise: only weights under the name that Keras gives them are matched with it, so
that the configuration of another model, or of another library, is never taken for theirs.

keras-team/keras: saving/saving_lib.py, _save_model_to_dir.
"""

import os

from ...errors import AuditError, MalformedFile
from ...raw.span import Span
from .. import Beside
from .config import Config

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

# Bytes of a configuration: ten times that of the largest models.
MAX_JSON = 16 << 20


def read_folder(span: Span, beside: Beside) -> Config | None:
    """The configuration beside the weights; None where these stand alone."""
    if os.path.basename(span.source.name) != WEIGHTS:
        return None
    try:
        config, metadata = beside(CONFIG), beside(METADATA)
    except AuditError:
        return None
    for found, name in ((config, CONFIG), (metadata, METADATA)):
        limit_size(found.size, name, found.at)
    version = read_version(decode_text(metadata))
    return Config(decode_text(config), version, span.budget) if version else None


def limit_size(size: int, name: str, at: int | None) -> None:
    """Raise `MalformedFile` for a JSON file that is larger than that of any model."""
    if size > MAX_JSON:
        message = f"{name} has {size} bytes; at most {MAX_JSON} are read"
        raise MalformedFile(message, at, "limit")


def decode_text(span: Span) -> str:
    """A JSON file's text."""
    return span.read().decode("utf-8", "replace")


def read_version(metadata: str) -> str:
    """`keras_version` of the metadata, which is too small to be worth a parser."""
    _, found, rest = metadata.partition('"keras_version"')
    return rest.lstrip(" :").partition('"')[2].partition('"')[0][:32] if found else ""
