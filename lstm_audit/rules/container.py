"""LA901 to LA904: the file itself, whatever its LSTMs are.

Comes in: the `Evidence` of a file. Goes out: hits. Promise: nothing is imported to find out what
importing it would do, and of the data only records with a bias are read.
"""

import re
from collections.abc import Iterable, Iterator

from ..formats import all_formats, format_named
from ..raw.checksums import KINDS
from ..raw.dtypes import DTYPES
from ..raw.span import Seal
from . import Evidence, Hit, rule

# Globals or places that a message lists before it says how many more there are.
NAMED = 5

_BUILTIN = (
    "list dict set frozenset tuple int float complex bool str bytes bytearray slice range object "
    "long unicode"
)
_COLLECTIONS = "OrderedDict defaultdict Counter deque ChainMap"
_TORCH = (
    "Size Tensor device dtype layout memory_format strided per_tensor_affine per_channel_affine "
    "contiguous_format "
    "preserve_format ScriptObject double float half long int short char byte"
)
_NUMPY = (
    "ndarray dtype bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 "
    "float64 complex64 complex128"
)
_ARRAYS = "_reconstruct scalar _frombuffer"

# The dataclasses of torch.distributed.checkpoint's `.metadata`.
_DISTRIBUTED = (
    "BytesStorageMetadata ChunkStorageMetadata Metadata MetadataIndex StorageMeta "
    "TensorProperties TensorStorageMetadata _MEM_FORMAT_ENCODING"
)

# Module to the names in it that build plain values: torch's and numpy's rebuilders, storages,
# dtypes, containers.
#
# A rebuilder is inert as far as its own code goes; `_load_from_bytes` opens a file within the file,
# whose globals are not in this list's care.
INERT: dict[str, frozenset[str]] = {
    **dict.fromkeys(("builtins", "__builtin__"), frozenset(_BUILTIN.split())),
    "collections": frozenset(_COLLECTIONS.split()),
    "copyreg": frozenset({"_reconstructor"}),
    "copy_reg": frozenset({"_reconstructor"}),
    "_codecs": frozenset({"encode"}),
    "torch": frozenset(_TORCH.split()) | frozenset(DTYPES),
    "torch.storage": frozenset({"UntypedStorage", "TypedStorage", "_load_from_bytes"}),
    "torch._tensor": frozenset({"Tensor", "_rebuild_from_type_v2"}),
    "torch.tensor": frozenset({"_rebuild_from_type_v2"}),
    "torch.serialization": frozenset({"_get_layout"}),
    "torch.nn.backends.thnn": frozenset({"_get_thnn_function_backend"}),
    "torch.backends.cudnn.rnn": frozenset({"Unserializable"}),
    "torch.distributed.checkpoint.metadata": frozenset(_DISTRIBUTED.split()),
    "torch.distributed.checkpoint.filesystem": frozenset({"_StorageInfo"}),
    "pathlib": frozenset({"Path", "PosixPath", "PurePath", "PurePosixPath", "WindowsPath"}),
    "joblib.numpy_pickle": frozenset({"NumpyArrayWrapper"}),
    "torch.jit._pickle": frozenset(
        {
            "build_tensorlist",
            "build_intlist",
            "build_doublelist",
            "build_boollist",
            "restore_type_tag",
        }
    ),
    "numpy": frozenset(_NUMPY.split()),
    **{
        f"numpy.{core}.{module}": frozenset(_ARRAYS.split())
        for core in ("core", "_core")
        for module in ("multiarray", "numeric")
    },
}

_STORAGE = "Storage"
_CLASS = r"[A-Z]\w*"
_NN = r"torch\.(?:ao\.)?nn(?:\.\w+)*"


@rule("LA901", "unsafe-globals", "warning", scope="file")
def unsafe_globals(evidence: Evidence) -> Iterator[Hit]:
    """The pickle names code outside the inert set: an unsafe load of the file would import it.

    What it sees: globals other than torch's rebuilders, storages, dtypes and torch.nn classes,
    collections, builtin containers and numpy's reconstructors. A dotted name is never inert: it
    reaches through a module to anything. Every pickle of the file counts, also those inside it: of
    a .pt2 the sample inputs and pickled weights, which torch.export.load unpickles without a
    filter; of an .npz its arrays of objects. So do the pickles that a checkpoint lies in or beside:
    the object around its bytes, the settings of a Stable-Baselines3 model, others of its archive.
    TorchScript's own classes (`__torch__`) are its code, and are not imported.

    Why it hurts: `torch.load(weights_only=False)` and `pickle.load` import these names and call
    what the file tells them to call. With a whole pickled model it is only a wish for your source
    code, which breaks with the first renaming; with a foreign file it can be anything. This audit
    imported none of it.

    Example: torch.save(model) names mypkg.Model: 1 global outside of the inert set.

    Fix: `lstm-audit patch` changes no pickle. Save the tensors instead of the object:

        from safetensors.torch import save_file
        model = torch.load("trusted.pt", weights_only=False)
        save_file(model.state_dict(), "model.safetensors")

    References: torch.load, `weights_only`; the Python documentation of pickle, "Warning".
    """
    own, around = _foreign(evidence.globals), _foreign(evidence.around)
    known = format_named(evidence.format)
    if not known.executes:  # a script brings its own classes
        own = {name for name in own if not name.startswith("__torch__.")}
    foreign = sorted(own | around)
    if foreign:
        # torch.load takes a plain pickle for a legacy file, and its filter refuses that; nor does
        # the filter reach what a checkpoint lies in
        filtered = known.filters and not around
        load = "load with weights_only=True" if filtered else "load it only if you trust it"
        message = (
            f"an unsafe load would import {len(foreign)} name{'s' * (len(foreign) > 1)} outside "
            "of the inert set: "
            f"{_list_names(foreign)}; {load}, or save the state dict alone"
        )
        yield Hit(message, len(foreign), 0)


def _foreign(named: Iterable[tuple[str, str]]) -> set[str]:
    return {f"{module}.{name}" for module, name in named if not inert(module, name)}


def inert(module: str, name: str) -> bool:
    """Whether a pickle may name it and still only build plain values."""
    if name in INERT.get(module, ()):
        return True
    if module == "torch._utils":
        return name.startswith("_rebuild_") and name.isidentifier()
    if module in ("torch", "torch.cuda") and name.endswith(_STORAGE) and name.isidentifier():
        return True
    return re.fullmatch(_NN, module) is not None and re.fullmatch(_CLASS, name) is not None


def _list_names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return (
        ", ".join(name if len(name) <= 100 else f"{name[:100]}..." for name in names[:NAMED]) + more
    )


@rule("LA902", "wrong-checksum", "warning", scope="file")
def wrong_checksum(evidence: Evidence, *, limit: int = 1 << 20) -> Iterator[Hit]:
    """The stored checksum of a bias record is not that of its bytes.

    What it sees: of every archive record of at most `limit` bytes that holds a bias, the CRC-32 of
    the directory against the bytes. Larger ones are not read.

    Why it hurts: the bytes changed after they were saved: a disk or a copy went wrong, or a tool
    wrote into the file and left the checksum. torch does not look, and loads whatever stands there;
    `unzip -t` and Python's zipfile refuse.

    Example: 1 of 4 bias records; the record at byte 6208 has CRC-32 2b1c59f0, the directory says
    9d4e0a12.

    Fix: `lstm-audit patch` keeps every checksum as right, or as wrong, as it was. Fetch the file
    again, or, if the values are as they should be:

        state = torch.load("model.pt", weights_only=True)
        assert all(value.isfinite().all() for value in state.values())
        torch.save(state, "model.pt")

    References: APPNOTE.TXT 4.4.7 (CRC-32); caffe2/serialize/inline_container.cc, which builds miniz
    without the check.
    """
    seals = _seals(evidence, limit)
    wrong = []
    for seal in seals:
        found = _sum(seal)
        if found != seal.stored:
            wrong.append(f"byte {seal.covers.start}: {found:08x}, stored {seal.stored:08x}")
    if wrong:
        message = (
            f"{len(wrong)} of {len(seals)} bias records have another CRC-32 than the archive says "
            f"({_list_names(wrong)}): "
            "they changed after they were saved; fetch the file again, or load, inspect and save "
            "it anew"
        )
        yield Hit(message, len(wrong), 0)


def _seals(evidence: Evidence, limit: int) -> list[Seal]:
    """Every checksum over a bias, once; files of a sharded checkpoint are kept apart."""
    terms = [term for case in evidence.cases for gate in case.lstm.gates.values() for term in gate]
    spans = {
        id(term.block.tensor): term.block.tensor.span for term in terms
    }  # the four gates share a tensor
    found = {}
    for span in spans.values():
        for seal in span.seals:
            covered, most = seal.covers, limit if seal.kind == "crc32" else min(limit, MAX_SLOW)
            if covered.size <= most:
                found[id(covered.source), covered.start, covered.size, seal.kind] = seal
    return list(found.values())


PIECE = 1 << 20  # bytes that are read at a time
# Bytes under a checksum that zlib does not know, and Python sums itself: a fifth of a second.
MAX_SLOW = 1 << 20


def _sum(seal: Seal) -> int:
    """What the checksum should be; a CRC-32 in pieces, for a bias may lie in a record of
    gigabytes.
    """
    if seal.kind != "crc32":
        return KINDS[seal.kind].of(seal.covers.read())
    from zlib import crc32  # 0.7 ms that stored archives spare

    found, covered = 0, seal.covers
    if covered.size <= PIECE:  # nearly all
        return crc32(covered.read())
    for at in range(0, covered.size, PIECE):
        found = crc32(covered[at : min(at + PIECE, covered.size)].read(), found)
    return found


# Extensions with a settled meaning that is none of ours; others (.model, .dat) promise nothing.
NO_CHECKPOINT = frozenset({"npy", "zip", "json", "txt", "csv"})


def _suffix_of(path: str) -> str:
    """A file's extension in lower case, without a dot; of `model.pth.tar`, by which people mean a
    file of torch.save, `pth`.
    """
    stem, dot, suffix = path.replace("\\", "/").rpartition("/")[2].lower().rpartition(".")
    inner = stem.rpartition(".")[2] if suffix == "tar" else ""
    return inner if inner in ("pt", "pth", "ckpt") and "." in stem else suffix if dot else ""


def _list_promised(suffix: str) -> list[str] | None:
    """The formats that an extension promises; None where it promises nothing."""
    found = [known.name for known in all_formats() if suffix in known.suffixes]
    return found if found or suffix in NO_CHECKPOINT else None


@rule("LA903", "extension", "info", scope="file")
def extension(evidence: Evidence) -> Iterator[Hit]:
    """The file's extension says another format than its content.

    What it sees: an extension with a settled meaning (`.safetensors`, `.pt`, `.pkl`, `.onnx`, ...)
    over bytes of another format. The content was read for what it is.

    Why it hurts: loaders that choose by extension fail (torch.load itself hands `.safetensors` to
    safetensors), or, with a pickle named `.safetensors`, someone trusts what should not be trusted.

    Example: model.safetensors that begins with PK: 1 torch zip.

    Fix: there is nothing to `lstm-audit patch`. Rename the file to what it is:

        import os
        os.rename("model.safetensors", "model.pt")
        state = torch.load("model.pt", weights_only=True)

    References: safetensors README, "Format"; torch.save recommends .pt or .pth.
    """
    suffix = _suffix_of(evidence.path)
    if not suffix:
        return
    own = format_named(evidence.format)
    promised = None if own.several or suffix in own.suffixes else _list_promised(suffix)
    if promised is not None:
        words = " or ".join(promised) or "no checkpoint"
        message = f".{suffix} promises {words}, but the content is {evidence.format}; rename it"
        yield Hit(message, evidence.format, promised[0] if promised else None)


@rule("LA904", "trailing-bytes", "info", scope="file")
def trailing_bytes(evidence: Evidence) -> Iterator[Hit]:
    """Bytes stand behind the end of what a loader reads.

    What it sees: bytes behind a pickle's STOP, or behind the last storage of a torch file from
    before 1.6.

    Why it hurts: it does not: every loader stops before them. But nobody wrote a checkpoint that
    way on purpose: two files were joined, several pickles were dumped into one file (only the first
    is seen), or something is hidden.

    Example: 512 bytes behind the last storage.

    Fix: nothing for `lstm-audit patch`. Load the file and save it anew:

        state = torch.load("model.pt", weights_only=True)
        assert state
        torch.save(state, "model.pt")

    References: pickle protocol, STOP (pickletools); torch/serialization.py _legacy_load.
    """
    for trailing in evidence.trailing:
        message = (
            f"{trailing.size} bytes behind {trailing.behind}: no loader reads them; if they are "
            "not meant to be there, load the file and save it anew"
        )
        yield Hit(message, trailing.size, 0)
