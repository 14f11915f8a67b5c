"""Which of torch's envelopes a file is.

Comes in: a span. Goes out: a `Checkpoint`, or None when it is not torch's. Promise: content
decides; a file that is torch's but broken is an error, never somebody else's.
"""

from functools import partial

from ...errors import MalformedFile, Skipped, UnknownFormat
from ...raw.span import Span
from ...raw.tensor import Tensor
from ...raw.tensors import Tensors
from ...wire.pickle import Call, decode
from ...wire.zip import is_zip
from .. import Beside, Checkpoint, reader
from .archive import Archive, open_archive, open_pickle
from .dialect import contents
from .export import CONFIG, locate, read_weights
from .legacy import Envelope, envelope, is_legacy, open_legacy
from .rebuild import claimed_shape, open_nested, rebuild
from .storage import Storage

MAX_CODE = 1 << 20  # bytes of TorchScript source that are searched for an LSTM


@reader("torch-zip")
def read_archive(span: Span, beside: Beside) -> Checkpoint | None:
    """torch.save since 1.6, TorchScript, torch.export."""
    if not is_zip(span):
        return None
    archive = open_archive(span)
    if CONFIG in archive.members:
        if "data.pkl" in archive.members:
            message = "it is a torch.save file and a .pt2 in one: each loader would read another"
            raise MalformedFile(message, span.at, "ambiguous")
        weights, skipped = read_weights(archive)
        tensors = Tensors(weights, partial(locate, archive))
        return Checkpoint("torch-export", tensors, skipped=skipped)
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
    if not is_legacy(span):
        return None
    return _checkpoint("torch-legacy", open_legacy(span), "the last storage")


@reader("pickle", weak=True)
def read_pickle(span: Span, beside: Beside) -> Checkpoint | None:
    """A plain pickle whose tensors are numpy arrays or nested torch files."""
    if span.size < 4 or span[:1].read() != b"\x80" or span[1:2].read()[0] > 5:
        return None
    decoded = decode(span)
    checkpoint = _checkpoint("pickle", envelope(decoded, span, _no_storage))
    if not checkpoint.tensors and not checkpoint.skipped:
        raise UnknownFormat("a pickle that holds no tensors")
    return checkpoint


def _no_storage(reference: object) -> Storage:
    raise MalformedFile(
        "the pickle refers to storages that are kept outside of it: it is a part of a torch file"
    )


def _checkpoint(name: str, opened: Envelope, end: str = "the pickle's end") -> Checkpoint:
    """`end` is the last thing that torch reads; what stands behind it is harmless, and noted."""
    found = contents(opened)

    def build(name: str, call: Call) -> Tensor:
        return rebuild(call, opened)

    def shape(name: str, call: Call) -> tuple[int, ...] | None:
        return claimed_shape(call)

    return Checkpoint(
        format=name,
        tensors=Tensors(found.tensors, build, shape),
        claims=found.claims,
        skipped=tuple(found.skipped),
        globals=_globals(opened),
        notes=(f"{opened.trailing} bytes behind {end}",) if opened.trailing else (),
    )


def _globals(outermost: Envelope) -> tuple[tuple[str, str], ...]:
    """What an unsafe load would import, in the files within the file too, however deep; a broken
    one could hide something and is refused.
    """
    named: dict[tuple[str, str], None] = {}
    left, seen = [outermost], {id(outermost)}
    while left:
        opened = left.pop()
        named.update(dict.fromkeys((g.module, g.name) for g in opened.globals))
        for call in opened.loads:
            inner = open_nested(call, opened)
            if id(inner) not in seen:
                seen.add(id(inner))
                left.append(inner)
    return tuple(named)


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
    return any(
        member.size <= MAX_CODE and b"torch.lstm" in archive.record(name).read()
        for name, member in archive.members.items()
        if name.startswith("code/") and name.endswith(".py")
    )
