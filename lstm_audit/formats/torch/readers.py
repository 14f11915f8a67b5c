"""Which of torch's envelopes a file is.

Comes in: a span. Goes out: a `Checkpoint`, or None when it is not torch's. Promise: content
decides; a file that is torch's but broken is an error, never somebody else's.
"""

from collections.abc import Callable, Iterable
from functools import partial

from ...errors import MalformedFile, Skipped, UnknownFormat
from ...raw.span import Span
from ...raw.tensor import Tensor
from ...raw.tensors import Tensors
from ...tuples import NamedTuple
from ...wire.pickle import Call, decode
from ...wire.zip import is_zip
from .. import Beside, Checkpoint, Format, ParameterGroup, Trailing, counters_in, reader
from .archive import CONFIG, Archive, announce_storages, open_archive, open_pickle
from .dialect import contents, items_of
from .legacy import Envelope, envelope, is_legacy, open_legacy
from .optimizers import find_groups
from .rebuild import no_storage, read_claimed_shape, rebuild
from .scan import GlobalPairs, imports_beside, imports_of, imports_of_export

MAIN = ("data.pkl",)
PACKAGED = ".data/extern_modules"  # the record by which an archive is torch.package's
MAX_CODE = 1 << 20  # bytes of TorchScript source that are searched for an LSTM


TORCH = ("pt", "pth", "th", "ckpt", "bin")
# Names under which torch files are met; `.model` and `.nn` promise nothing.
EXPECTED = (*TORCH, "model", "nn")


@reader(
    "torch-zip",
    Format("torch-zip", TORCH, EXPECTED, executes=True, filters=True),
    Format("torchscript", ("pt", "pth", "th", "jit"), ("jit",)),
    Format("torch-export", ("pt2",), ("pt2",)),
    Format("torch-package", TORCH, executes=True),
)
def read_torch_archive(span: Span, beside: Beside) -> Checkpoint | None:
    """torch.save since 1.6, TorchScript, torch.export, torch.package."""
    if not is_zip(span):
        return None
    archive = _open(span, beside)
    if CONFIG in archive.members:
        return _read_exported(archive)
    if PACKAGED in archive.members:
        from .package import read_package  # 0.3 ms that other archives need not wait for

        return read_package(archive)
    if "data.pkl" not in archive.members:
        return None
    if "constants.pkl" in archive.members:
        return _read_scripted(archive)
    announce = partial(announce_storages, archive) if span.source.far else None
    opened = open_pickle(archive)
    return _checkpoint("torch-zip", opened, imports_beside(archive, MAIN), announce=announce)


def _open(span: Span, beside: Beside) -> Archive:
    """The archive; a file of a distributed checkpoint holds several, and is read from beside it."""
    try:
        return open_archive(span)
    except MalformedFile as error:
        from .distributed import NAME, stands_beside  # 1 ms that a sound archive need not wait for

        if error.kind == "ambiguous" and stands_beside(beside):
            message = f"a file of a distributed checkpoint (DCP): audit its folder, or its {NAME}"
            raise MalformedFile(message, span.at, "unsupported") from None
        raise


def _read_exported(archive: Archive) -> Checkpoint:
    """The weights of a .pt2, which torch.export.load finds by the config."""
    from .export import (  # 1 ms, with its JSON
        OLD_WEIGHTS,
        locate_weight,
        payloads,
        read_config_weights,
    )

    if "data.pkl" in archive.members or OLD_WEIGHTS in archive.members:
        message = "it holds its weights twice, in two formats: each loader would read others"
        raise MalformedFile(message, archive.span.at, "ambiguous")
    weights, skipped = read_config_weights(archive)
    pickled, raw = payloads(archive)
    return Checkpoint(
        format="torch-export",
        tensors=Tensors(weights, partial(locate_weight, archive)),
        skipped=skipped,
        globals=tuple(imports_of_export(archive, pickled, raw)),
    )


@reader("torch-legacy", Format("torch-legacy", TORCH, EXPECTED, executes=True, filters=True))
def read_legacy(span: Span, beside: Beside) -> Checkpoint | None:
    """torch.save before 1.6."""
    if not is_legacy(span):
        return None
    return _checkpoint("torch-legacy", open_legacy(span), {}, "the last storage")


@reader("torch-tar", Format("torch-tar", TORCH, executes=True))
def read_tar(span: Span, beside: Beside) -> Checkpoint | None:
    """torch.save of torch 0.1: a tar."""
    if span.size < 512 or span[257:262].read() != b"ustar":
        return None
    from .tar import is_tar_era, open_tar  # 1 ms, with tar, which few files are

    return _checkpoint("torch-tar", open_tar(span), {}) if is_tar_era(span) else None


@reader(
    "pickle",
    Format(
        "pickle",
        ("pkl", "pickle", "pdparams", "ckpt", "bin"),
        ("pkl", "pdparams"),
        executes=True,
    ),
    Format("torch-dcp", expected=("distcp",), executes=True, several=True),
    weak=True,
)
def read_pickle(span: Span, beside: Beside) -> Checkpoint | None:
    """A plain pickle whose tensors are numpy arrays or nested torch files."""
    if span.size < 4 or span[:1].read() != b"\x80" or span[1:2].read()[0] > 5:
        return None
    from .distributed import is_metadata, read_distributed  # 1 ms that a zip need not wait for

    decoded = decode(span)
    if is_metadata(decoded.value):
        return read_distributed(decoded, span, beside)
    checkpoint = _checkpoint("pickle", envelope(decoded, span, no_storage), {})
    if not (checkpoint.tensors or checkpoint.skipped or checkpoint.files):
        raise UnknownFormat("a pickle that holds no tensors")
    return checkpoint


def _checkpoint(
    name: str,
    opened: Envelope,
    beside: GlobalPairs,
    end: str = "the pickle's end",
    announce: Callable[[Iterable[Call]], None] | None = None,
) -> Checkpoint:
    """`end` is the last thing that torch reads; what stands behind it is harmless, and noted.
    `beside` is what other pickles of the file would import. `announce` is told which tensors will
    be asked for.
    """
    found, facts = contents(opened), _trainer_facts(opened)

    def build(name: str, call: Call) -> Tensor:
        return rebuild(call, opened)

    def shape(name: str, call: Call) -> tuple[int, ...] | None:
        return read_claimed_shape(call)

    def announce_named(names: Iterable[str]) -> None:
        if announce is not None:
            announce(found.tensors[name] for name in names)

    return Checkpoint(
        format=name,
        tensors=Tensors(found.tensors, build, shape, announce_named if announce else None),
        claims=found.claims,
        skipped=tuple(found.skipped),
        globals=tuple(beside | imports_of(opened)),
        trailing=(Trailing(opened.trailing, end),) if opened.trailing else (),
        files={
            path: opened.chunks[chunk.start : chunk.stop] for path, chunk in found.files.items()
        },
        counters={**facts.counters},
        optimizers=facts.optimizers,
        worked_out=opened.worked_out,
    )


class TrainerFacts(NamedTuple):
    """What a trainer wrote of itself beside the weights."""

    counters: dict[str, int]
    optimizers: tuple[ParameterGroup, ...]


def _trainer_facts(opened: Envelope) -> TrainerFacts:
    """The same for all files with one pickle, and so looked for once."""
    facts: TrainerFacts | None = opened.worked_out.get("facts")
    if facts is None:
        counters = counters_in(items_of(opened.value))
        facts = TrainerFacts(counters, find_groups(opened.value, opened.chunks.budget))
        opened.worked_out["facts"] = facts
    return facts


def _read_scripted(archive: Archive) -> Checkpoint:
    """TorchScript: attributes of pickled objects; torch.jit.freeze moves the weights to nameless
    constants.
    """
    checkpoint = _checkpoint("torchscript", open_pickle(archive), imports_beside(archive, MAIN))
    checkpoint = checkpoint._replace(worked_out=None)  # its code says something, too
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
