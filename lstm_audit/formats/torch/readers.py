"""Which of torch's envelopes a file is.

Comes in: a span. Goes out: a `Checkpoint`, or None when it is not torch's. Promise: content
decides; a file that is torch's but broken is an error, never somebody else's.
"""

from collections.abc import Sequence
from functools import partial

from ...errors import MalformedFile, Skipped, UnknownFormat
from ...raw.span import Span
from ...wire.pickle import Call, decode
from ...wire.zip import body, is_zip
from .. import Beside, Checkpoint, reader
from .archive import Archive, open_archive, open_pickle
from .dialect import LazyTensors, contents
from .export import CONFIG, locate, read_weights
from .legacy import Envelope, is_legacy, open_legacy
from .rebuild import claimed_shape, open_nested, rebuild
from .storage import Storage

MAX_NESTED = (
    4096  # nested files that are searched for globals: a plain pickle has one for each tensor
)
MAX_CODE = 1 << 20  # bytes of TorchScript source that are searched for an LSTM


@reader("torch-zip")
def read_archive(span: Span, beside: Beside) -> Checkpoint | None:
    """torch.save since 1.6, TorchScript, torch.export."""
    if not is_zip(span):
        return None
    archive = open_archive(span)
    if CONFIG in archive.members:
        weights, skipped = read_weights(archive)
        return Checkpoint(
            "torch-export", LazyTensors(weights, partial(locate, archive)), skipped=skipped
        )
    if ".data/extern_modules" in archive.members:
        message = "a torch.package archive is not read; save the model's state_dict with torch.save"
        raise MalformedFile(message, span.at, "unsupported")
    if "data.pkl" not in archive.members:
        return None
    if "constants.pkl" in archive.members:
        return _scripted(archive)
    return _checkpoint("torch-zip", open_pickle(archive))


@reader("torch-legacy")
def read_legacy(span: Span, beside: Beside) -> Checkpoint | None:
    """torch.save before 1.6."""
    if not is_legacy(span[: min(span.size, 32)].read()):
        return None
    return _checkpoint("torch-legacy", open_legacy(span), "the last storage")


@reader("pickle", weak=True)
def read_pickle(span: Span, beside: Beside) -> Checkpoint | None:
    """A plain pickle whose tensors are numpy arrays or nested torch files."""
    if span.size < 4 or span[:1].read() != b"\x80" or span[1:2].read()[0] > 5:
        return None
    decoded = decode(span)
    envelope = Envelope(decoded.value, span, _no_storage, decoded.globals, span.size - decoded.end)
    checkpoint = _checkpoint("pickle", envelope)
    if not checkpoint.tensors and not checkpoint.skipped:
        raise UnknownFormat("a pickle that holds no tensors")
    return checkpoint


def _no_storage(reference: object) -> Storage:
    raise MalformedFile(
        "the pickle refers to storages that are kept outside of it: it is a part of a torch file"
    )


def _checkpoint(name: str, envelope: Envelope, end: str = "the pickle's end") -> Checkpoint:
    """`end` is the last thing that torch reads; what stands behind it is harmless, and noted."""
    found = contents(envelope)
    return Checkpoint(
        format=name,
        tensors=LazyTensors(found.tensors, partial(rebuild, envelope=envelope), claimed_shape),
        claims=found.claims,
        skipped=tuple(found.skipped),
        globals=_globals(envelope, found.nested),
        notes=(f"{envelope.trailing} bytes behind {end}",) if envelope.trailing else (),
    )


def _globals(envelope: Envelope, nested: Sequence[Call]) -> tuple[tuple[str, str], ...]:
    """What an unsafe load would import, in nested files too; a broken one could hide something and
    is refused.
    """
    if len(nested) > MAX_NESTED:
        raise MalformedFile(
            f"{len(nested)} nested torch files; at most {MAX_NESTED} are read", kind="limit"
        )
    named = [*envelope.globals]
    for call in nested:
        named += open_nested(call, envelope).globals
    return tuple(dict.fromkeys((g.module, g.name) for g in named))


def _scripted(archive: Archive) -> Checkpoint:
    """TorchScript: attributes of pickled objects; torch.jit.freeze moves the weights to nameless
    constants.
    """
    checkpoint = _checkpoint("torchscript", open_pickle(archive))
    if not any(name.startswith("constants/") for name in archive.members) or not _runs_lstm(
        archive
    ):
        return checkpoint
    detail = (
        "torch.jit.freeze took the names away: the weights are nameless constants; audit the "
        "unfrozen model"
    )
    return checkpoint._replace(skipped=(*checkpoint.skipped, Skipped("", "frozen", detail)))


def _runs_lstm(archive: Archive) -> bool:
    """Whether the script's code calls torch.lstm or torch.lstm_cell."""
    codes = [
        m
        for name, m in archive.members.items()
        if name.startswith("code/") and name.endswith(".py")
    ]
    return any(m.size <= MAX_CODE and b"torch.lstm" in body(archive.span, m).read() for m in codes)
