"""torch's names for dtypes and storages, and what a persistent id claims.

Comes in: a persistent id out of a pickle. Goes out: `StorageClaim`, checked. Promise: nothing of it
is believed that is not a small tuple of the right types.
"""

from collections.abc import Callable, Iterable

from ...errors import MalformedFile
from ...raw.dtypes import DTYPES, DType
from ...raw.span import Span
from ...raw.words import show
from ...tuples import NamedTuple
from ...wire.pickle import Global, Persistent

# Characters of a storage's key; it is the name of a file in a zip.
MAX_KEY = 512

_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8", "Bool": "bool",
    "ComplexFloat": "complex64",
    "ComplexDouble": "complex128", "QInt8": "qint8", "QUInt8": "quint8", "QInt32": "qint32",
    "QUInt4x2": "quint4x2",
    "QUInt2x4": "quint2x4",
}  # fmt: skip

# torch.FloatStorage and its kin (torch/storage.py _get_dtype_from_pickle_storage_type).
STORAGE_DTYPES = {f"{name}Storage": DTYPES[dtype] for name, dtype in _STORAGES.items()}

DTYPE_ALIASES = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "long": "int64",
    "int": "int32",
}


class Storage(NamedTuple):
    """The bytes behind one or more tensors. `dtype` is None for an untyped storage, which counts in
    bytes.
    """

    dtype: DType | None
    span: Span
    big_endian: bool = False


# Finds the bytes of a storage, given what stands in a tensor's first argument; raises
# `MalformedFile`.
Locate = Callable[[object], Storage]


class StorageClaim(NamedTuple):
    """('storage', type, key, location, count[, view]) of torch/serialization.py persistent_id.

    `elements` counts elements of `dtype` (bytes when it is None); `view` is (key, offset, count) in
    elements, of old files.
    """

    dtype: DType | None
    key: str
    elements: int
    view: tuple[str, int, int] | None = None

    @property
    def size(self) -> int:
        """The storage's bytes."""
        return self.elements * (self.dtype.itemsize if self.dtype else 1)


def read_persistent_id(pid: object) -> StorageClaim:
    """A persistent id read as torch reads it; raises `MalformedFile` when it is anything else."""
    if not (type(pid) is tuple and 5 <= len(pid) <= 6 and pid[0] == "storage"):
        raise MalformedFile("a persistent id is not ('storage', type, key, location, count)")
    _, kind, key, location, count = pid[:5]
    if type(kind) is not Global or not is_key(key) or not _is_count(count):
        raise MalformedFile("a persistent id holds values of the wrong type")
    if kind.name not in STORAGE_DTYPES and kind.name != "UntypedStorage":
        raise MalformedFile(
            f"unknown storage type {show(f'{kind.module}.{kind.name}')}", kind="unsupported"
        )
    if type(location) is str and location == "meta":
        raise MalformedFile("a storage on the meta device has no data", kind="unsupported")
    view = _view_of(pid[5]) if len(pid) == 6 else None
    return StorageClaim(STORAGE_DTYPES.get(kind.name), str(key), count, view)


def is_key(value: object) -> bool:
    """Whether a value may be a storage's key: a short text, or a number."""
    return len(value) <= MAX_KEY if type(value) is str else _is_count(value)


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _view_of(value: object) -> tuple[str, int, int] | None:
    """(key, offset, size) in elements of the root storage: torch before 0.4 saved views of
    storages.
    """
    if value is None:
        return None
    if type(value) is tuple and len(value) == 3 and is_key(value[0]):
        key, offset, count = value
        if _is_count(offset) and _is_count(count):
            return str(key), offset, count
    raise MalformedFile("a persistent id holds a storage view that is not (key, offset, size)")


def claims_of(persistents: Iterable[Persistent]) -> dict[str, StorageClaim]:
    """What is claimed of each storage, by key.

    torch goes by the first claim of a key that it meets, and by the first view of a view's key,
    which may even be a storage's (torch/serialization.py, persistent_load): a file in which two
    differ is refused.
    """
    claims: dict[str, StorageClaim] = {}
    views: dict[str, StorageClaim] = {}
    for persistent in persistents:
        if _is_script(persistent.pid):
            continue
        claim = read_persistent_id(persistent.pid)
        first = claims.setdefault(claim.key, claim)
        same = (first.dtype, first.elements) == (claim.dtype, claim.elements)
        if claim.view is not None:
            same = same and views.setdefault(claim.view[0], claim) == claim
        if not same:
            message = f"two tensors claim different things of the storage {show(claim.key)}"
            raise MalformedFile(message, kind="ambiguous")
    if both := sorted(claims.keys() & views.keys()):
        message = f"the key {show(both[0])} stands for a storage and for a part of one"
        raise MalformedFile(message, kind="ambiguous")
    return claims


def _is_script(pid: object) -> bool:
    """Whether a package refers to a scripted module of its own (torch/package, _persistent_id)."""
    return type(pid) is tuple and pid[:1] == ("reduce_package",)


def dtype_named(name: str) -> DType:
    """`torch.float32`, `torch.half` and the like; raises `MalformedFile` for a dtype that no
    version has.
    """
    known = DTYPES.get(DTYPE_ALIASES.get(name, name))
    if known is None:
        raise MalformedFile(f"unknown dtype {show(f'torch.{name}')}", kind="unsupported")
    return known
