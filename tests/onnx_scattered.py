"""Models whose biases lie in pieces of a file, or are turned round and shuffled by the graph: every number has a place.

Comes in: `onnx_cases`. Goes out: its `CASES` with these. Promise: as there.
"""

import random

import onnx_models as o
from onnx_cases import CASES, F2, Case, F, case
from onnx_models import H, block, number, raw, simple, tensor, varint

__all__ = ["CASES"]

N = 8 * H
ORDER = random.Random(7).sample(range(N), N)
TO = tensor("to", (2,), [1, N], o.INT64)


def floats(*pieces: bytes) -> bytes:
    """A Constant with `value_floats` as `pieces` write it, and its Reshape."""
    given = block(1, "value_floats") + b"".join(pieces) + number(20, 6)
    return block(2, "b") + block(4, "Constant") + block(5, given)


def picked(index: list[int], stored: list[float], name: str = "b") -> list[bytes]:
    """`stored`, and the numbers of those that Gather takes."""
    return [
        tensor("b0", (len(stored),), stored),
        tensor("which", (len(index),), index, o.INT64),
        TO,
    ]


GATHER = [o.node("Gather", ["b0", "which"], ["b"]), o.node("Reshape", ["b", "to"], ["B"])]


@case
def turned_by_gather() -> Case:
    return Case(simple(GATHER, picked(list(range(N))[::-1], o.bias()[::-1])), (F,))


@case
def turned_by_slice() -> Case:
    nodes = [o.node("Slice", ["b0", "from", "end", "axis", "step"], ["B"])]
    numbers = {"from": -1, "end": -(2**62), "axis": 1, "step": -1}
    tensors = [tensor(name, (1,), [value], o.INT64) for name, value in numbers.items()]
    return Case(simple(nodes, [tensor("b0", (1, N), o.bias()[::-1]), *tensors]), (F,))


@case
def shuffled() -> Case:
    stored = [0.0] * N
    for place, value in zip(ORDER, o.bias(), strict=True):
        stored[place] = value
    return Case(simple(GATHER, picked(ORDER, stored)), (F,))


@case
def one_element_for_two_units() -> Case:
    """Written for one unit it would change the other."""
    index = list(range(N))
    index[2 * H + 1] = 2 * H
    return Case(simple(GATHER, picked(index, o.bias())), ((F[0], F[0], F[2]),), patchable=False)


@case
def joined_from_two_tensors() -> Case:
    """The forget gate's first unit lies in one, the others in the next."""
    parts = [tensor(f"b{k}", (len(p),), p) for k, p in enumerate((o.bias()[:7], o.bias()[7:]))]
    nodes = [o.node("Concat", ["b0", "b1"], ["b"], axis=0), o.node("Reshape", ["b", "to"], ["B"])]
    return Case(simple(nodes, [*parts, TO]), (F,))


@case
def joined_from_floats_of_two_kinds() -> Case:
    nodes = [
        o.node("Cast", ["b0"], ["wide"], to=1),
        o.node("Concat", ["wide", "b1"], ["b"], axis=0),
        o.node("Reshape", ["b", "to"], ["B"]),
    ]
    parts = [tensor("b0", (7,), o.bias()[:7], o.FLOAT16), tensor("b1", (N - 7,), o.bias()[7:])]
    return Case(simple(nodes, [*parts, TO]), (F,), patchable=False)


@case
def constant_floats_one_by_one() -> Case:
    """As onnx itself writes them: a key before each."""
    made = floats(*(varint(7 << 3 | 5) + raw([value]) for value in o.bias()))
    return Case(simple([made, GATHER[1]], [TO]), (F,))


@case
def constant_floats_in_pieces() -> Case:
    made = floats(block(7, raw(o.bias()[:7])), block(7, b""), block(7, raw(o.bias()[7:])))
    return Case(simple([made, GATHER[1]], [TO]), (F,))


@case
def constants_of_one_float_each() -> Case:
    names = [f"v{k}" for k in range(N)]
    nodes = [o.node("Constant", [], [f"{n}s"], value_float=v) for n, v in zip(names, o.bias(), strict=True)]  # fmt: skip
    nodes += [o.node("Unsqueeze", [f"{n}s", "zero"], [n]) for n in names]
    nodes += [o.node("Concat", names, ["b"], axis=0), GATHER[1]]
    return Case(simple(nodes, [TO, tensor("zero", (1,), [0], o.INT64)]), (F,))


@case
def shuffled_and_added() -> Case:
    """Two orders of one tensor added: each element has two readers."""
    stored = [float(k) for k in range(N)]
    nodes = [
        o.node("Gather", ["b0", "which"], ["x"]),
        o.node("Add", ["x", "b0"], ["b"]),
        GATHER[1],
    ]
    summed = [stored[a] + stored[k] for k, a in enumerate(ORDER)]
    found = tuple(summed[2 * H + k] + summed[6 * H + k] for k in range(H))
    return Case(simple(nodes, picked(ORDER, stored)), (found,), patchable=False)


@case
def double_data_in_pieces() -> Case:
    stored = [varint(10 << 3 | 1) + raw([v], o.DOUBLE) for v in o.bias()]
    b = tensor("b64", (1, N), (), o.DOUBLE, b"".join(stored))
    return Case(simple([o.node("Cast", ["b64"], ["B"], to=1)], [b]), (F,))


@case
def both_directions_from_one_turned_tensor() -> Case:
    tensors = [tensor("b0", (2 * N,), o.bias(directions=2)[::-1])]
    tensors += [tensor("which", (2 * N,), list(range(2 * N))[::-1], o.INT64)]
    tensors += [tensor("to", (2,), [2, N], o.INT64)]
    return Case(simple(GATHER, tensors, directions=2), (F, F2), directions=2)


@case
def one_shuffled_half_twice() -> Case:
    """Both halves of a bias are the same elements: a value for one of them is none for their sum."""
    order = [k for k in ORDER if k < 4 * H]
    nodes = [
        *GATHER[:1],
        o.node("Concat", ["b", "b"], ["bb"], axis=0),
        o.node("Reshape", ["bb", "to"], ["B"]),
    ]
    stored = o.bias()[: 4 * H]
    found = tuple(2 * stored[order[2 * H + k]] for k in range(H))
    return Case(simple(nodes, picked(order, stored)), (found,), patchable=False)
