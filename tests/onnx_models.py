"""ONNX models written by hand, byte by byte: no onnx package, and every odd form that the wire allows.

Comes in: nodes, tensors, attributes. Goes out: the bytes of a ModelProto. Promise: nothing is checked, so that broken
models can be written too.
"""

import struct
from collections.abc import Sequence

FLOAT, INT64, FLOAT16, DOUBLE, BFLOAT16 = 1, 7, 10, 11, 16
CODES = {FLOAT: "f", INT64: "q", FLOAT16: "e", DOUBLE: "d"}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def block(field: int, data: bytes | str) -> bytes:
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def raw(values: Sequence[float], kind: int = FLOAT) -> bytes:
    if kind == BFLOAT16:
        return b"".join(struct.pack("<f", v)[2:] for v in values)
    return struct.pack(f"<{len(values)}{CODES[kind]}", *values)


def tensor(
    name: str,
    dims: Sequence[int],
    values: Sequence[float],
    kind: int = FLOAT,
    data: bytes | None = None,
) -> bytes:
    """A TensorProto with raw_data, or with the fields of `data` instead."""
    head = b"".join(number(1, d) for d in dims) + number(2, kind) + block(8, name)
    return head + (block(9, raw(values, kind)) if data is None else data)


def external(location: str, **keys: object) -> bytes:
    """The fields of a tensor that lies in another file."""
    pairs = [("location", location), *((key, str(value)) for key, value in keys.items())]
    return b"".join(block(13, block(1, key) + block(2, value)) for key, value in pairs) + number(
        14, 1
    )


def attribute(name: str, value: object) -> bytes:
    """An AttributeProto; bytes are a tensor, ("graph", bytes) a graph, ("ref", name) the call's."""
    head = block(1, name)
    if isinstance(value, tuple) and value[0] == "graph":
        return head + block(6, value[1]) + number(20, 5)
    if isinstance(value, tuple) and value[0] == "ref":
        return head + block(21, value[1]) + number(20, 2)
    if isinstance(value, float):
        return head + varint(2 << 3 | 5) + struct.pack("<f", value) + number(20, 1)
    if isinstance(value, int):
        return head + number(3, value) + number(20, 2)
    if isinstance(value, str):
        return head + block(4, value) + number(20, 3)
    if isinstance(value, bytes):
        return head + block(5, value) + number(20, 4)
    assert isinstance(value, list)
    if value and isinstance(value[0], str):
        return head + b"".join(block(9, v) for v in value) + number(20, 8)
    if value and isinstance(value[0], float):
        return head + block(7, raw(value)) + number(20, 6)
    return head + block(8, b"".join(map(varint, value))) + number(20, 7)


def node(
    op: str, ins: Sequence[str], outs: Sequence[str], name: str = "", domain: str = "", labels: dict[str, str] | None = None,
    **attributes: object,
) -> bytes:  # fmt: skip
    parts = [block(1, i) for i in ins] + [block(2, o) for o in outs]
    parts += [block(3, name)] if name else []
    parts += [block(4, op)] + [block(5, attribute(k, v)) for k, v in attributes.items()]
    parts += [block(7, domain)] if domain else []
    parts += [block(9, block(1, k) + block(2, v)) for k, v in (labels or {}).items()]
    return b"".join(parts)


def declared(name: str, dims: Sequence[int | str] = (), kind: int = FLOAT) -> bytes:
    """A ValueInfoProto."""
    shape = b"".join(block(1, number(1, d) if isinstance(d, int) else block(2, d)) for d in dims)
    return block(1, name) + block(2, block(1, number(1, kind) + block(2, shape)))


def graph(
    nodes: Sequence[bytes],
    tensors: Sequence[bytes] = (),
    ins: Sequence[bytes] = (),
    outs: Sequence[bytes] = (),
) -> bytes:
    parts = [block(1, n) for n in nodes] + [block(2, "g")] + [block(5, t) for t in tensors]
    return b"".join(parts + [block(11, i) for i in ins] + [block(12, o) for o in outs])


def function(
    name: str,
    ins: Sequence[str],
    outs: Sequence[str],
    nodes: Sequence[bytes],
    domain: str = "local",
) -> bytes:
    parts = [block(1, name)] + [block(4, i) for i in ins] + [block(5, o) for o in outs]
    parts += [block(7, n) for n in nodes] + [
        block(9, block(1, "") + number(2, 18)),
        block(10, domain),
    ]
    return b"".join(parts)


def model(
    body: bytes,
    opset: int = 14,
    ir: int = 8,
    functions: Sequence[bytes] = (),
    producer: str = "hand",
    rest: bytes = b"",
) -> bytes:
    opsets = block(8, block(1, "") + number(2, opset)) + block(8, block(1, "local") + number(2, 1))
    opsets += block(8, block(1, "com.microsoft") + number(2, 1))
    return (
        number(1, ir)
        + block(2, producer)
        + block(7, body)
        + opsets
        + b"".join(block(25, f) for f in functions)
        + rest
    )


H, I = 3, 2  # noqa: E741  # the names of the field: hidden and input size
GATES = "iofg"


def bias(f: float = 1.0, half: float = 0.25, directions: int = 1) -> list[float]:
    """B [D, 8H]: in W's half f holds `f` (a little more in each unit and direction), all other gates other numbers."""
    row: list[float] = []
    for d in range(directions):
        for gate in GATES:
            row += [(f + 0.125 * k + d if gate == "f" else -0.5 + 0.25 * k) for k in range(H)]
        for gate in GATES:
            row += [half if gate == "f" else 0.125] * H
    return row


def lstm(
    directions: int = 1,
    name: str = "/net/LSTM",
    b: str = "B",
    op: str = "LSTM",
    **attributes: object,
) -> bytes:
    """An LSTM node with states from outside, so that a runtime can be asked for c after c = 1 and c = 0."""
    ins = ["X", "W", "R", b, "", "h0", "c0"]
    given = {"hidden_size": H, **attributes}
    if directions == 2:
        given["direction"] = "bidirectional"
    return node(op, ins, ["Y", "Y_h", "Y_c"], name, **given)


def weights(directions: int = 1, kind: int = FLOAT) -> list[bytes]:
    """W and R, of zeros."""
    return [
        tensor("W", (directions, 4 * H, I), [0.0] * (directions * 4 * H * I), kind),
        tensor("R", (directions, 4 * H, H), [0.0] * (directions * 4 * H * H), kind),
    ]


def ports(directions: int = 1, kind: int = FLOAT) -> tuple[list[bytes], list[bytes]]:
    """The graph's inputs X, h0, c0 and its output Y_c."""
    states = [declared(name, (directions, 1, H), kind) for name in ("h0", "c0")]
    return [declared("X", (1, 1, I), kind), *states], [declared("Y_c", (directions, 1, H), kind)]


def simple(
    nodes: Sequence[bytes] = (), tensors: Sequence[bytes] | None = None, directions: int = 1, kind: int = FLOAT,
    main: bytes | None = None, **options: object,
) -> bytes:  # fmt: skip
    """A model of one LSTM; `tensors` and `nodes` make its B."""
    ins, outs = ports(directions, kind)
    if tensors is None:
        tensors = [tensor("B", (directions, 8 * H), bias(directions=directions), kind)]
    body = graph(
        [*nodes, main or lstm(directions)], [*weights(directions, kind), *tensors], ins, outs
    )
    return model(body, **options)  # type: ignore[arg-type]  # any word, as from a caller without types
