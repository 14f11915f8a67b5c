"""`.keras` archives: a zip of a configuration, metadata and an HDF5 file of weights.

Comes in: a span that is a zip. Goes out: the `Checkpoint` of the weights inside. Promise: the
members are those that every zip reader finds; the weights are stored as they are, so that a patch
reaches them and the two places of their CRC-32.
"""

from ...errors import MalformedFile, UnknownFormat
from ...raw.span import Span
from ...wire.hdf5 import is_hdf5
from ...wire.zip import Member, is_zip, read_entries
from ...wire.zip_body import body
from .. import Beside, Checkpoint, Format, reader
from .config import Config
from .h5 import checkpoint_of, read_objects

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"

# Bytes of a configuration: ten times that of the largest models.
MAX_JSON = 16 << 20


@reader("keras", Format("keras", ("keras",), ("keras",)))
def read_keras_archive(span: Span, beside: Beside) -> Checkpoint | None:
    """A `.keras` file of Keras 3 or tf_keras; None for other zips."""
    if not is_zip(span):
        return None
    try:
        found = read_entries(span)
    except MalformedFile:
        return None  # torch's reader, which is asked too, says what is wrong with a zip
    if CONFIG not in found or METADATA not in found:
        return None
    if WEIGHTS not in found:
        message = (
            f"a .keras archive without {WEIGHTS}: its weights are not in it, or in another form"
        )
        raise UnknownFormat(message, span.start, "unsupported")
    inner = body(span, found[WEIGHTS])
    if not is_hdf5(inner):
        raise MalformedFile(f"{WEIGHTS} in the archive is no HDF5 file", inner.at)
    config = Config(_text(span, found[CONFIG]), _version(_text(span, found[METADATA])), span.budget)
    try:
        weights = read_objects(inner)
    except MalformedFile as error:
        message = f"{WEIGHTS} in the .keras archive: {error.message}"
        raise MalformedFile(message, error.at, error.kind) from None
    return checkpoint_of(weights, config, "keras")


def _text(span: Span, member: Member) -> str:
    if member.size > MAX_JSON:
        message = f"{member.name} has {member.size} bytes; at most {MAX_JSON} are read"
        raise MalformedFile(message, span.at, "limit")
    return body(span, member).read().decode("utf-8", "replace")


def _version(metadata: str) -> str:
    """`keras_version` of the metadata, which is too small to be worth a parser."""
    _, found, rest = metadata.partition('"keras_version"')
    return rest.lstrip(" :").partition('"')[2].partition('"')[0][:32] if found else ""
