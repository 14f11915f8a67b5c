"""Pickles and torch files put together opcode by opcode, so that they can say what no writer says.

Comes in: what shall stand there. Goes out: bytes. Promise: everything made here is harmless: it
builds tensors, and calls nothing but torch's and numpy's own rebuilders.
"""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping

H, IN = 3, 2
GATES = 4 * H

NONE, TRUE, FALSE = b"N", b"\x88", b"\x89"
BUILD, REDUCE, NEWOBJ = b"b", b"R", b"\x81"

MAGIC = 0x1950A86A20F9469CFC6C


def gates(forget: float) -> bytes:
    """A bias in which the forget gate alone is not zero."""
    return struct.pack(f"<{GATES}f", *(forget if H <= k < 2 * H else 0.0 for k in range(GATES)))


RECORDS = {
    "ih": bytes(4 * GATES * IN),
    "hh": bytes(4 * GATES * H),
    "zero": gates(0.0),
    "one": gates(1.0),
    "seven": gates(7.0),
}

WEIGHTS = {"weight_ih_l0": ("ih", (GATES, IN)), "weight_hh_l0": ("hh", (GATES, H))}


def text(value: str) -> bytes:
    raw = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(raw)) + raw


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def group(*parts: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(parts) + b"t"


def sizes(values: Iterable[int]) -> bytes:
    return group(*map(number, values))


def items(pairs: Iterable[tuple[str, bytes]]) -> bytes:
    """SETITEMS of what is on the stack."""
    return b"(" + b"".join(text(name) + value for name, value in pairs) + b"u"


def table(**pairs: bytes) -> bytes:
    """A dict."""
    return b"}" + items(pairs.items())


def the(module: str, name: str) -> bytes:
    """A global."""
    return f"c{module}\n{name}\n".encode()


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return the(module, name) + group(*arguments) + REDUCE


ORDERED = call("collections", "OrderedDict")


def storage(key: str, count: int = GATES, kind: str = "FloatStorage", *view: bytes) -> bytes:
    name = number(int(key[1:])) if key.startswith("#") else text(key)
    parts = text("storage"), the("torch", kind), name, text("cpu"), number(count), *view
    return group(*parts) + b"Q"


def tensor(
    where: bytes,
    shape: tuple[int, ...] = (GATES,),
    *more: bytes,
    offset: int = 0,
    name: str = "_rebuild_tensor_v2",
) -> bytes:
    steps = [1] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        steps[k] = steps[k + 1] * shape[k + 1]
    fixed = where, number(offset), sizes(shape), sizes(steps)
    rest = () if name == "_rebuild_tensor" else (FALSE, ORDERED, *more)
    return call("torch._utils", name, *fixed, *rest)


def view_of(key: str) -> bytes:
    """What a tensor's state was in torch before 0.4."""
    return group(storage(key), number(0), sizes([GATES]), sizes([1]))


def state_dict(
    bias: bytes, hh: str = "zero", view: tuple[bytes, ...] = (), start: bytes = b"}"
) -> bytes:
    """A pickle of an LSTM's four tensors; `bias` stands for bias_ih_l0."""
    weights = [
        (name, tensor(storage(key, len(RECORDS[key]) // 4, "FloatStorage", *view), shape))
        for name, (key, shape) in WEIGHTS.items()
    ]
    other = tensor(storage(hh, GATES, "FloatStorage", *view))
    pairs = [*weights, ("bias_hh_l0", other), ("bias_ih_l0", bias)]
    return b"\x80\x02" + start + items(pairs)


def archive(
    pkl: bytes,
    more: Mapping[str, bytes] | None = None,
    records: Mapping[str, bytes] = RECORDS,
    folders: tuple[str, ...] = (),
    method: int = zipfile.ZIP_STORED,
) -> bytes:
    """The zip of torch.save; entries in `folders` carry the mark of a folder."""
    entries = {"data.pkl": pkl, **{f"data/{key}": raw for key, raw in records.items()}}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, raw in {**entries, **(more or {}), "version": b"3\n"}.items():
            info = zipfile.ZipInfo(f"m/{name}")
            info.compress_type = method
            info.external_attr = 0x10 if name in folders else 0
            file.writestr(info, raw)
    return out.getvalue()


def legacy(pkl: bytes, keys: Iterable[str], records: Mapping[str, bytes] = RECORDS) -> bytes:
    """torch.save before 1.6."""
    keys = list(keys)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    head = b"".join(pickle.dumps(value, 2) for value in (MAGIC, 1001, system))
    body = b"".join(struct.pack("<q", len(records[k]) // 4) + records[k] for k in keys)
    return head + pkl + pickle.dumps(keys, 2) + body


def array(
    raw: bytes,
    shape: bytes | None = None,
    code: str = "f4",
    order: str | None = None,
    cls: bytes = the("numpy", "ndarray"),
) -> bytes:
    """A numpy array as it pickles itself; `order` is the byte order of its dtype's state."""
    empty = call("numpy._core.multiarray", "_reconstruct", cls, sizes([0]), b"C\x01b")
    dtype = call("numpy", "dtype", text(code), FALSE, TRUE)
    if order is not None:
        state = number(3), text(order), NONE, NONE, NONE, number(-1), number(-1), number(0)
        dtype += group(*state) + BUILD
    data = b"B" + struct.pack("<I", len(raw)) + raw
    shape = sizes([len(raw) // 4]) if shape is None else shape
    return empty + group(number(1), shape, dtype, FALSE, data) + BUILD


def arrays(bias: bytes) -> bytes:
    """A plain pickle of numpy arrays."""
    pairs = [
        *((name, array(RECORDS[key], sizes(shape))) for name, (key, shape) in WEIGHTS.items()),
        ("bias_hh_l0", array(RECORDS["zero"])),
        ("bias_ih_l0", bias),
    ]
    return b"\x80\x04}" + items(pairs) + b"."


def swapped(raw: bytes) -> bytes:
    return b"".join(raw[k : k + 4][::-1] for k in range(0, len(raw), 4))


def config(**homes: str) -> bytes:
    """A .pt2's config of an LSTM's weights: which record holds which."""
    shapes = {"weight_ih_l0": (GATES, IN), "weight_hh_l0": (GATES, H)}
    entries = {}
    for name, path in homes.items():
        shape = shapes.get(name, (GATES,))
        steps = (shape[1], 1) if len(shape) == 2 else (1,)
        meta = {
            "dtype": 7,
            "sizes": [{"as_int": n} for n in shape],
            "strides": [{"as_int": n} for n in steps],
            "storage_offset": {"as_int": 0},
        }
        entries[name] = {"path_name": path, "is_param": True, "use_pickle": False}
        entries[name]["tensor_meta"] = meta  # type: ignore[assignment]  # forged on purpose
    return json.dumps({"config": entries}).encode()


HOMES = {"weight_ih_l0": "ih", "weight_hh_l0": "hh", "bias_ih_l0": "one", "bias_hh_l0": "zero"}
CONFIG = "data/weights/model_weights_config.json"
