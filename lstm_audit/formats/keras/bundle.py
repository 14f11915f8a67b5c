"""TensorFlow's checkpoints: an index of names beside files of raw numbers.

Comes in: a span over `PREFIX.index`. Goes out: a `Checkpoint` whose tensors lie in the data files
beside it. Promise: every tensor carries the checksum that TensorFlow will hold it against, and that
checksum's place in the index carries the checksum of its block.

Source: tensorflow/core/util/tensor_bundle/tensor_bundle.cc; protobuf/tensor_bundle.proto and
trackable_object_graph.proto.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import NamedTuple

from ...errors import MalformedFile, Skipped
from ...raw.dtypes import DTYPES, DType
from ...raw.span import Seal, Span
from ...raw.tensor import Tensor, contiguous
from ...raw.tensors import Tensors
from ...wire import sstable
from ...wire.protobuf import BYTES, FOUR, Wire
from .. import Beside, Checkpoint, reader
from .cells import claim_cells, doubt_fused
from .config import Config
from .plain import find_plain

# How the key of a variable ends in an object-based checkpoint (TensorFlow 2).
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
SAVER_V1 = (
    'a TensorFlow checkpoint of version 1; `python -c "import numpy, tensorflow as tf; r = '
    "tf.train.load_checkpoint('FILE'); numpy.savez('model.npz', **{n: r.get_tensor(n) for n in "
    'r.get_variable_to_shape_map()})"` converts it'
)
MAX_GRAPH = 8 << 20  # bytes; a model of 300 layers has some 100 KB
MAX_SHARDS = 1000
MAX_RANK = 8

# tensorflow/core/framework/types.proto DataType.
_DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64",
    10: "bool", 14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
    24: "float8_e5m2", 25: "float8_e4m3fn",
}  # fmt: skip

# How the keys of a SavedModel begin, whose variables are numbered; Keras 3 writes both.
NUMBERED, TWICE = "variables/", "_all_variables/"

STRING = 7

# Folders above the two cells of a Bidirectional: its own alone.
SCOPES = 1

# What the key of an optimizer's variable holds; its full name ends like the weight's.
_SLOTS = ("OPTIMIZER_SLOT", "optimizer/", "_optimizer/")

# Keras 3's optimizer lists the model's own weights. TensorFlow saves a variable under the shortest
# way to it, and to a trained layer's that is this list.
TRAINED = "optimizer/_trainable_variables/"


# Opens a data file by its number.
Shards = Callable[[int], Span]


class Variable(NamedTuple):
    """What the index says of one tensor: its place in the data file `shard`, and its checksum."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    at: int
    size: int
    checksum: int
    stored: Span | None
    sliced: bool


@reader("tf-checkpoint")
def read_bundle(span: Span, beside: Beside) -> Checkpoint | None:
    """A checkpoint of TensorFlow 2, of a SavedModel's `variables`, or of TF1's Saver V2."""
    if not sstable.is_table(span):
        return None
    entries = sstable.entries(span)
    shards = _shards(_first(entries))
    found = {entry.key.decode("utf-8", "replace"): _variable(entry.value) for entry in entries}
    open_shard = cache(partial(_shard, beside, shards))
    names = _names(found, open_shard)
    settings = _settings(found, beside)
    plain = find_plain(names.by_key.values(), settings)
    chosen = {
        name: found[key]
        for key, name in names.by_key.items()
        if name.rpartition("/")[0] not in plain
    }
    for shard in {variable.shard for variable in chosen.values()}:
        open_shard(shard)  # whoever patches has to know all files of a checkpoint
    shapes = {name: variable.shape for name, variable in chosen.items()}
    claims = claim_cells(shapes, settings, lambda folder: "", SCOPES)
    if GRAPH in found:  # saved as objects, which TensorFlow 1 does not
        claims |= doubt_fused(shapes)
    return Checkpoint(
        format="tf-checkpoint",
        tensors=Tensors(chosen, partial(_tensor, open_shard), _shape),
        claims=claims,
        skipped=tuple(_skip_optimizer(found)),
        twins=names.twins,
    )


def _first(entries: Iterator[sstable.Entry]) -> sstable.Entry | None:
    """The entry of the empty key; version 1 compresses its tables."""
    try:
        return next(entries, None)
    except MalformedFile as error:
        if error.kind != "unsupported":
            raise
        raise MalformedFile(SAVER_V1, error.at, error.kind) from None


def _settings(found: Iterable[str], beside: Beside) -> Config:
    """The settings of the layers, which a SavedModel has beside its variables."""
    if not any(key.startswith(NUMBERED) for key in found):
        return Config()
    from .metadata import read_settings  # 0.5 ms that other checkpoints need not wait for

    return read_settings(beside)


def _shards(header: sstable.Entry | None) -> int:
    """How many data files there are; the entry of the empty key says it (BundleHeaderProto)."""
    if header is None or header.key:
        raise MalformedFile(
            "a table of another program's, no index of TensorFlow", kind="unsupported"
        )
    wire, shards = Wire(header.value), 0
    for field in wire.fields(0, header.value.size):
        if field[:2] == (1, BYTES):
            raise MalformedFile(SAVER_V1, header.value.at, "unsupported")
        if field[0] == 1:
            shards = wire.number(field)
        elif field[0] == 2 and wire.number(field):
            raise MalformedFile("a big-endian checkpoint", header.value.at, "unsupported")
    if not 0 < shards <= MAX_SHARDS:
        raise MalformedFile(f"{shards} data files are claimed", header.value.at, "limit")
    return shards


def _variable(span: Span) -> Variable:
    """BundleEntryProto: 1 dtype, 2 shape, 3 shard, 4 offset, 5 size, 6 masked crc32c, 7 slices."""
    wire, numbers = Wire(span), dict.fromkeys((1, 3, 4, 5), 0)
    shape: tuple[int, ...] = ()
    stored, sliced = None, False
    for field in wire.fields(0, span.size):
        number, kind, start, stop = field
        if number == 2 and kind == BYTES:
            shape = _dims(wire, field)
        elif number in numbers:
            numbers[number] = wire.number(field)
        elif number == 6 and kind == FOUR:
            stored = span[start:stop]
        elif number == 7:
            sliced = True
    checksum = int.from_bytes(stored.read(), "little") if stored else 0
    dtype, shard, at, size = numbers.values()
    return Variable(dtype, shape, shard, at, size, checksum, stored, sliced)


def _dims(wire: Wire, field: tuple[int, int, int, int]) -> tuple[int, ...]:
    """TensorShapeProto: repeated 2 dim{1 size}."""
    sizes = []
    for number, _, start, stop in wire.message(field):
        if number == 2:
            inner = (wire.number(f) for f in wire.fields(start, stop) if f[0] == 1)
            sizes.append(next(inner, 0))
    if len(sizes) > MAX_RANK or any(size < 0 for size in sizes):
        raise MalformedFile("a shape of too many axes, or of unknown ones", wire.span.at)
    return tuple(sizes)


def _shard(beside: Beside, shards: int, shard: int) -> Span:
    """A data file; `*` stands for the name of the index without its suffix."""
    if shard >= shards:
        raise MalformedFile(f"a tensor in data file {shard} of {shards}")
    return beside(f"*.data-{shard:05d}-of-{shards:05d}")


class Names(NamedTuple):
    """What the variables are called, by key, and by name the second place of the same numbers."""

    by_key: dict[str, str]
    twins: dict[str, str]


def _names(found: Mapping[str, Variable], open_shard: Shards) -> Names:
    """The variables that are no optimizer's.

    A SavedModel numbers its variables, and so does an optimizer of Keras 3; the object graph has
    the names that their makers gave them.
    Keras 3 exports every variable twice, and lists it under `_all_variables` again.
    """
    keys = [k for k, v in found.items() if v.dtype != STRING and not _is_slot(k)]
    numbered = sorted((k for k in keys if k.startswith(NUMBERED) or TRAINED in k), key=_number_of)
    full = _full_names(found, open_shard) if numbered else {}
    names = {key: key.removesuffix(VALUE) for key in keys}
    if not all(full.get(key) for key in numbered):
        return Names(names, {})
    given = _distinct([full[key] for key in numbered])
    names |= dict(zip(numbered, given, strict=True))
    once = {name: key for key, name in zip(numbered, given, strict=True)}
    again = (key for key in keys if key.startswith(TWICE) and full.get(key) in once)
    return Names(names, {full[key]: names[key] for key in again})


def _is_slot(key: str) -> bool:
    return TRAINED not in key and any(slot in key for slot in _SLOTS)


def _number_of(key: str) -> int:
    number = key.removesuffix(VALUE).rpartition("/")[2]
    return int(number) if number.isdecimal() and len(number) < 10 else 0


def _distinct(given: list[str]) -> list[str]:
    """The names, where two layers of one name get a number each: a layer's variables follow one
    another in the order in which they were made.
    """
    seen: dict[str, int] = {}
    names = []
    for name in given:
        count = seen[name] = seen.get(name, -1) + 1
        folder, slash, own = name.rpartition("/")
        names.append(f"{folder}_{count}{slash}{own}" if count else name)
    return names if len(set(names)) == len(names) else given


def _full_names(found: Mapping[str, Variable], open_shard: Shards) -> dict[str, str]:
    """TrackableObjectGraph: 1 nodes{2 attributes{2 full name, 3 checkpoint key}}, one string."""
    entry = found.get(GRAPH)
    if entry is None:
        return {}
    if entry.size > MAX_GRAPH:
        raise MalformedFile(f"an object graph of {entry.size} bytes", kind="limit")
    data = open_shard(entry.shard)[entry.at : entry.at + entry.size]
    # one string: its length, a checksum of the lengths, the bytes
    length, behind = sstable.number_at(data[: min(data.size, 16)].read(), 0)
    graph = data[behind + 4 : behind + 4 + length]
    wire, names = Wire(graph), {}
    for node in wire.fields(0, graph.size):
        for attribute in wire.message(node) if node[:2] == (1, BYTES) else ():
            if attribute[:2] == (2, BYTES):
                texts = {f[0]: wire.text(f) for f in wire.message(attribute) if f[1] == BYTES}
                names[texts.get(3, "")] = texts.get(2, "")
    return names


def _shape(name: str, variable: Variable) -> tuple[int, ...]:
    return variable.shape


def _tensor(open_shard: Shards, name: str, variable: Variable) -> Tensor:
    """A variable, located in its data file under the checksum that the index keeps."""
    data = open_shard(variable.shard)[variable.at : variable.at + variable.size]
    tensor = contiguous(_dtype(name, variable), variable.shape, data)
    stored = variable.stored
    if stored is None:
        return tensor
    seal = Seal(data, variable.checksum, lambda: (stored,), "masked-crc32c")
    return contiguous(tensor.dtype, variable.shape, data.add_seal_later(lambda: seal))


def _dtype(name: str, variable: Variable) -> DType:
    if variable.sliced:
        raise MalformedFile(f"{name} is stored in slices", kind="unsupported")
    known = _DTYPES.get(variable.dtype)
    if known is None:
        raise MalformedFile(f"{name} has TensorFlow's dtype {variable.dtype}", kind="unsupported")
    return DTYPES[known]


def _skip_optimizer(found: Mapping[str, Variable]) -> Iterator[Skipped]:
    """An optimizer's variables, said once."""
    if any(map(_is_slot, found)):
        yield Skipped("optimizer", "optimizer-state", "an optimizer's variables are not biases")
