"""`.keras` archives: a zip of a configuration, metadata and an HDF5 file of weights.

Comes in: a span that is a zip. Goes out: the `Checkpoint` of the weights inside. Promise: the
members are those that every zip reader finds; the weights are stored as they are, so that a patch
reaches them and the two places of their CRC-32.
"""

from ...errors import MalformedFile, UnknownFormat
from ...raw.span import Span
from ...wire.hdf5 import is_hdf5
from ...wire.zip import is_zip, read_entries
from ...wire.zip_body import body
from .. import Beside, Checkpoint, Format, reader
from .config import Config
from .folder import CONFIG, METADATA, WEIGHTS, decode_text, limit_size, read_version
from .h5 import checkpoint_of, read_objects


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
        raise UnknownFormat(message, span.at, "unsupported")
    inner = body(span, found[WEIGHTS])
    if not is_hdf5(inner):
        raise MalformedFile(f"{WEIGHTS} in the archive is no HDF5 file", inner.at)
    for name in (CONFIG, METADATA):
        limit_size(found[name].size, name, span.at)
    version = read_version(decode_text(body(span, found[METADATA])))
    config = Config(decode_text(body(span, found[CONFIG])), version, span.budget)
    try:
        weights = read_objects(inner)
    except MalformedFile as error:
        message = f"{WEIGHTS} in the .keras archive: {error.message}"
        raise MalformedFile(message, error.at, error.kind) from None
    checkpoint = checkpoint_of(weights, config, "keras")
    others = [found[name] for name in found if name not in (CONFIG, METADATA, WEIGHTS)]
    if others:  # assets, and what an attacker lays beside
        from ...wire.strays import list_strays  # 1 ms, with the pickle machine

        checkpoint = checkpoint._replace(around=tuple(list_strays(span, others)))
    return checkpoint
