"""Models by hand, each with one way to keep or compute B, and what their forget gates hold.

Comes in: nothing. Goes out: `CASES`. Promise: the numbers are those that the model was written with; a runtime, where
one is installed, is asked whether they are true (tests/oracles/test_onnx_runtime.py).
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import onnx_models as o
from onnx_models import (
    H,
    I,
    attribute,
    block,
    declared,
    graph,
    lstm,
    model,
    node,
    number,
    ports,
    raw,
    simple,
    tensor,
    weights,
)


class Case(NamedTuple):
    """A model; `forget` are the effective forget biases, row by row (forward before reverse), of each unit.

    `patchable`: setting the bias must work; else it must be refused. `runs`: ONNX Runtime can run it. `skipped`: the
    reasons of entries that are said and not judged. `kind`: the data type of states. `act`: bias to activation.
    """

    data: bytes
    forget: tuple[tuple[float, ...], ...] = ()
    patchable: bool = True
    runs: bool = True
    skipped: tuple[str, ...] = ()
    directions: int = 1
    kind: int = o.FLOAT
    function: str = "sigmoid"
    feeds: Mapping[str, tuple[int, ...]] = MappingProxyType({})
    step: int = 0


CASES: dict[str, Case] = {}
F = tuple(1.25 + 0.125 * k for k in range(H))
F2 = tuple(2.25 + 0.125 * k for k in range(H))


def case(make: Callable[[], Case]) -> Callable[[], Case]:
    CASES[make.__name__] = make()
    return make


@case
def raw_data() -> Case:
    return Case(simple(), (F,))


@case
def float_data_in_one_piece() -> Case:
    data = block(4, raw(o.bias()))
    return Case(simple(tensors=[tensor("B", (1, 8 * H), (), data=data)]), (F,))


@case
def float_data_in_two_pieces() -> Case:
    data = block(4, raw(o.bias()[:5])) + block(4, raw(o.bias()[5:]))
    return Case(simple(tensors=[tensor("B", (1, 8 * H), (), data=data)]), (F,))


@case
def float_data_one_by_one() -> Case:
    data = b"".join(o.varint(4 << 3 | 5) + raw([v]) for v in o.bias())
    return Case(simple(tensors=[tensor("B", (1, 8 * H), (), data=data)]), (F,))


@case
def half() -> Case:
    return Case(simple(kind=o.FLOAT16), (F,), kind=o.FLOAT16)


@case
def half_as_varints() -> Case:
    import struct

    bits = struct.unpack(f"<{8 * H}H", raw(o.bias(), o.FLOAT16))
    b = tensor("B", (1, 8 * H), (), o.FLOAT16, block(5, b"".join(map(o.varint, bits))))
    return Case(simple(tensors=[b], kind=o.FLOAT16), (F,), patchable=False, kind=o.FLOAT16)


@case
def double() -> Case:
    return Case(simple(kind=o.DOUBLE), (F,), runs=False, kind=o.DOUBLE)


@case
def bfloat16() -> Case:
    b = tensor("B", (1, 8 * H), o.bias(), o.BFLOAT16)
    return Case(simple(tensors=[b]), (F,), runs=False)


@case
def bfloat16_cast() -> Case:
    b = tensor("b16", (1, 8 * H), o.bias(), o.BFLOAT16)
    return Case(simple([node("Cast", ["b16"], ["B"], to=1)], [b]), (F,))


@case
def constant_node() -> Case:
    made = node("Constant", [], ["B"], value=tensor("", (1, 8 * H), o.bias()))
    return Case(simple([made], []), (F,))


@case
def constant_floats() -> Case:
    nodes = [
        node("Constant", [], ["b"], value_floats=o.bias()),
        node("Constant", [], ["to"], value_ints=[1, 8 * H]),
    ]
    nodes.append(node("Reshape", ["b", "to"], ["B"]))
    return Case(simple(nodes, []), (F,))


@case
def default_of_an_input() -> Case:
    ins, outs = ports()
    tensors = [*weights(), tensor("B", (1, 8 * H), o.bias())]
    return Case(model(graph([lstm()], tensors, [*ins, declared("B", (1, 8 * H))], outs)), (F,))


@case
def input_without_default() -> Case:
    ins, outs = ports()
    body = graph([lstm()], weights(), [*ins, declared("B", (1, 8 * H))], outs)
    return Case(model(body), skipped=("missing-data",), runs=False)


@case
def sparse() -> Case:
    ins, outs = ports()
    values = tensor("B", (2,), [1.0, 2.0])
    entry = (
        block(1, values)
        + block(2, tensor("", (2,), [6, 7], o.INT64))
        + number(3, 1)
        + number(3, 8 * H)
    )
    body = graph([lstm()], weights(), ins, outs) + block(15, entry)
    return Case(model(body), skipped=("unsupported-dtype",), runs=False)


def _torch_unfolded() -> tuple[list[bytes], list[bytes]]:
    """What torch writes without constant folding: bias_ih and bias_hh (i, f, g, o), cut and put together."""
    rows = {"i": (0, 1), "f": (1, 2), "g": (2, 3), "o": (3, 4)}
    row = o.bias()
    parts = {
        g: (row[k * H : (k + 1) * H], row[(k + 4) * H : (k + 5) * H]) for k, g in enumerate("iofg")
    }
    tensors, nodes = [], []
    for half, name in enumerate(("enc.lstm.bias_ih_l0", "enc.lstm.bias_hh_l0")):
        tensors.append(tensor(name, (4 * H,), [v for g in "ifgo" for v in parts[g][half]]))
        for g, (a, b) in rows.items():
            tensors += [
                tensor(f"{half}{g}s", (1,), [a * H], o.INT64),
                tensor(f"{half}{g}e", (1,), [b * H], o.INT64),
            ]
            nodes.append(
                node("Slice", [name, f"{half}{g}s", f"{half}{g}e", "axis"], [f"{half}{g}"])
            )
        nodes.append(node("Concat", [f"{half}{g}" for g in "iofg"], [f"half{half}"], axis=0))
    tensors.append(tensor("axis", (1,), [0], o.INT64))
    nodes += [
        node("Concat", ["half0", "half1"], ["b"], axis=0),
        node("Unsqueeze", ["b", "axis"], ["B"]),
    ]
    return nodes, tensors


@case
def moved() -> Case:
    return Case(simple(*_torch_unfolded()), (F,))


@case
def moved_and_written_last() -> Case:
    nodes, tensors = _torch_unfolded()
    ins, outs = ports()
    return Case(model(graph([lstm(), *nodes[::-1]], [*weights(), *tensors], ins, outs)), (F,))


@case
def transposed() -> Case:
    b = tensor("turned", (8 * H, 1), o.bias())
    return Case(simple([node("Transpose", ["turned"], ["B"], perm=[1, 0])], [b]), (F,))


@case
def interleaved() -> Case:
    """(8, H) kept as (H, 8): every gate's elements lie eight apart."""
    row = o.bias()
    mixed = [row[g * H + k] for k in range(H) for g in range(8)]
    nodes = [node("Transpose", ["m"], ["t"], perm=[1, 0]), node("Reshape", ["t", "to"], ["B"])]
    return Case(
        simple(nodes, [tensor("m", (H, 8), mixed), tensor("to", (2,), [1, -1], o.INT64)]), (F,)
    )


@case
def split_and_joined() -> Case:
    b = tensor("two", (2, 4 * H), o.bias())
    nodes = [node("Split", ["two"], ["w", "r"], axis=0), node("Concat", ["w", "r"], ["B"], axis=1)]
    return Case(simple(nodes, [b]), (F,))


@case
def gathered() -> Case:
    b = tensor("many", (3, 8 * H), [9.0] * 8 * H + o.bias() + [7.0] * 8 * H)
    nodes = [node("Gather", ["many", "which"], ["B"], axis=0)]
    return Case(simple(nodes, [b, tensor("which", (1,), [1], o.INT64)]), (F,))


@case
def summed() -> Case:
    rest = [0.5] * 8 * H
    tensors = [tensor("b1", (1, 8 * H), o.bias()), tensor("b2", (1, 8 * H), rest)]
    return Case(simple([node("Add", ["b1", "b2"], ["B"])], tensors), (tuple(f + 1.0 for f in F),))


@case
def scaled() -> Case:
    tensors = [tensor("b1", (1, 8 * H), o.bias()), tensor("two", (), [2.0])]
    found = tuple(2 * f for f in F)
    return Case(simple([node("Mul", ["b1", "two"], ["B"])], tensors), (found,), patchable=False)


@case
def dequantized() -> Case:
    steps = [round(v / 0.125) for v in o.bias()]
    tensors = [tensor("q", (1, 8 * H), (), 3, block(9, bytes(s & 255 for s in steps)))]
    tensors += [tensor("s", (), [0.125]), tensor("z", (), (), 3, block(9, b"\0"))]
    nodes = [node("DequantizeLinear", ["q", "s", "z"], ["B"])]
    return Case(simple(nodes, tensors), (F,), patchable=False)


@case
def computed_by_unknown() -> Case:
    b = tensor("b1", (1, 8 * H), o.bias())
    return Case(simple([node("Tanh", ["b1"], ["B"])], [b]), skipped=("computed-by-unknown",))


@case
def without_bias() -> Case:
    return Case(simple(tensors=[], main=lstm(b="")), ((0.0,) * H,), patchable=False)


@case
def bidirectional() -> Case:
    return Case(simple(directions=2), (F, F2), directions=2)


@case
def reverse() -> Case:
    return Case(simple(main=lstm(direction="reverse")), (F,))


@case
def batch_first() -> Case:
    return Case(simple(main=lstm(layout=1)), (F,), runs=False)


@case
def peepholes() -> Case:
    ins = ["X", "W", "R", "B", "", "h0", "c0", "P"]
    main = node("LSTM", ins, ["Y", "Y_h", "Y_c"], "/net/LSTM", hidden_size=H)
    tensors = [tensor("B", (1, 8 * H), o.bias()), tensor("P", (1, 3 * H), [0.0] * 3 * H)]
    return Case(simple(tensors=tensors, main=main), (F,))


@case
def input_forget() -> Case:
    found = tuple(-(-0.5 + 0.25 * k + 0.125) for k in range(H))
    return Case(simple(main=lstm(input_forget=1)), (found,), patchable=False)


@case
def clipped() -> Case:
    return Case(simple(main=lstm(clip=1.375)), (F,), function="sigmoid, clip 1.375")


@case
def hard_sigmoid() -> Case:
    main = lstm(activations=["HardSigmoid", "Tanh", "Tanh"])
    return Case(simple(main=main), (F,), function="hard_sigmoid(0.2, 0.5)")


@case
def hard_sigmoid_with_numbers() -> Case:
    main = lstm(
        activations=["hardsigmoid", "tanh", "tanh"], activation_alpha=[0.1], activation_beta=[0.4]
    )
    return Case(simple(main=main), (F,), function="hard_sigmoid(0.1, 0.4)")


@case
def numbers_dealt_out_in_order() -> Case:
    """The first alpha belongs to the forward direction's LeakyRelu, the second to the reverse gates."""
    kinds = ["Sigmoid", "LeakyRelu", "Tanh", "Sigmoid", "Tanh", "Tanh"]
    return Case(
        simple(directions=2, main=lstm(2, activations=kinds, activation_alpha=[0.3])),
        (F, F2),
        directions=2,
    )


@case
def relu_gates() -> Case:
    return Case(
        simple(main=lstm(activations=["Relu", "Tanh", "Tanh"])), skipped=("unknown-convention",)
    )


@case
def quantized_weights() -> Case:
    ins = ["X", "Wq", "Rq", "B", "", "h0", "c0", "", "s", "z", "s", "z"]
    main = node(
        "DynamicQuantizeLSTM", ins, ["Y", "Y_h", "Y_c"], "/net/LSTM", "com.microsoft", hidden_size=H
    )
    tensors = [
        tensor("Wq", (1, I, 4 * H), (), 3, block(9, bytes(I * 4 * H))),
        tensor("Rq", (1, H, 4 * H), (), 3, block(9, bytes(H * 4 * H))),
        tensor("s", (1,), [0.01]), tensor("z", (1,), (), 3, block(9, b"\0")), tensor("B", (1, 8 * H), o.bias()),
    ]  # fmt: skip
    ins_, outs = ports()
    return Case(model(graph([main], tensors, ins_, outs)), (F,))


@case
def gru_and_rnn() -> Case:
    gru = node("GRU", ["X", "W3", "R3"], ["g"], "/gru/GRU", hidden_size=H)
    rnn = node("RNN", ["X", "W1", "R1"], ["r"], "/rnn/RNN", hidden_size=H)
    tensors = [
        tensor(f"{x}{n}", (1, n * H, d), [0.0] * n * H * d)
        for n in (1, 3)
        for x, d in (("W", I), ("R", H))
    ]
    body = graph([gru, rnn], tensors, [declared("X", (1, 1, I))], [declared("g"), declared("r")])
    return Case(model(body), skipped=("gru", "rnn"), runs=False)


@case
def other_domain() -> Case:
    main = node("LSTM", ["X", "W", "R", "B"], ["Y"], "mine", "my.domain", hidden_size=H)
    return Case(simple(main=main), skipped=("unknown-convention",), runs=False)


@case
def conflicting_hidden_size() -> Case:
    return Case(simple(main=lstm(hidden_size=H + 1)), skipped=("conflicting-evidence",), runs=False)


@case
def no_hidden_size() -> Case:
    ins = ["X", "W", "R", "B", "", "h0", "c0"]
    return Case(simple(main=node("LSTM", ins, ["Y", "Y_h", "Y_c"], "/net/LSTM")), (F,), runs=False)


def _if(then: bytes, other: bytes, tensors: list[bytes]) -> bytes:
    ins, outs = ports()
    parts = ("graph", then), ("graph", other)
    choice = node("If", ["cond"], ["Y_c"], "/choice", then_branch=parts[0], else_branch=parts[1])
    cond = tensor("cond", (), (), 9, block(9, b"\1"))
    return model(graph([choice], [cond, *tensors], ins, outs))


@case
def in_both_branches() -> Case:
    """One B outside, read by both branches: one row."""
    branch = graph([lstm()], (), (), [declared("Y_c", (1, 1, H))])
    return Case(_if(branch, branch, [*weights(), tensor("B", (1, 8 * H), o.bias())]), (F,))


@case
def copies_in_branches() -> Case:
    """Each branch has its own initializers: two rows."""
    branch = graph([lstm()], [tensor("B", (1, 8 * H), o.bias())], (), [declared("Y_c", (1, 1, H))])
    return Case(_if(branch, branch, weights()), (F, F))


@case
def moved_inside_a_branch() -> Case:
    nodes, tensors = _torch_unfolded()
    branch = graph([*nodes, lstm()], (), (), [declared("Y_c", (1, 1, H))])
    other = graph([node("Identity", ["c0"], ["Y_c"])], (), (), [declared("Y_c", (1, 1, H))])
    return Case(_if(branch, other, [*weights(), *tensors]), (F,))


@case
def deep_in_branches() -> Case:
    inner = graph([lstm()], (), (), [declared("Y_c", (1, 1, H))])
    for _ in range(6):
        parts = {"then_branch": ("graph", inner), "else_branch": ("graph", inner)}
        inner = graph(
            [node("If", ["cond"], ["Y_c"], "/if", **parts)], (), (), [declared("Y_c", (1, 1, H))]
        )
    return Case(_if(inner, inner, [*weights(), tensor("B", (1, 8 * H), o.bias())]), (F,))


@case
def in_a_loop() -> Case:
    """One turn; B comes in as a value that the body hands on unchanged."""
    body = graph(
        [lstm(b="b_in"), node("Identity", ["b_in"], ["b_out"]), node("Identity", ["more"], ["again"])], (),
        [declared("turn", (), 7), declared("more", (), 9), declared("b_in", (1, 8 * H)), declared("c_in", (1, 1, H))],
        [declared("again", (), 9), declared("b_out", (1, 8 * H)), declared("Y_c", (1, 1, H))],
    )  # fmt: skip
    loop = node("Loop", ["times", "", "B", "c0"], ["last_b", "Y_c"], "/loop", body=("graph", body))
    tensors = [*weights(), tensor("B", (1, 8 * H), o.bias()), tensor("times", (), [1], o.INT64)]
    ins, outs = ports()
    return Case(model(graph([loop], tensors, ins, outs)), (F,))


@case
def in_a_scan() -> Case:
    steps = node("Unsqueeze", ["x", "zero"], ["X1"])
    main = node(
        "LSTM",
        ["X1", "W", "R", "B", "", "h0", "c"],
        ["Y", "Y_h", "next"],
        "/scan/LSTM",
        hidden_size=H,
    )
    body = graph(
        [steps, main],
        (),
        [declared("c", (1, 1, H)), declared("x", (1, I))],
        [declared("next", (1, 1, H))],
    )
    scan = node("Scan", ["c0", "X"], ["Y_c"], "/scan", body=("graph", body), num_scan_inputs=1)
    tensors = [*weights(), tensor("B", (1, 8 * H), o.bias()), tensor("zero", (1,), [0], o.INT64)]
    ins, outs = ports()
    return Case(model(graph([scan], tensors, ins, outs)), (F,))


@case
def in_a_function() -> Case:
    """The function gets B and the hidden size from its call."""
    inner = block(5, attribute("hidden_size", ("ref", "size")))
    main = lstm(b="bias", name="inner").replace(block(5, attribute("hidden_size", H)), inner)
    names = ["X", "W", "R", "bias", "h0", "c0"]
    made = o.function("Recur", names, ["Y_c"], [main]) + block(6, "size")
    call = node("Recur", ["X", "W", "R", "B", "h0", "c0"], ["Y_c"], "/call", "local", size=H)
    ins, outs = ports()
    body = graph([call], [*weights(), tensor("B", (1, 8 * H), o.bias())], ins, outs)
    return Case(model(body, functions=[made]), (F,))


@case
def moved_by_a_function() -> Case:
    made = o.function("Turn", ["b"], ["t"], [node("Transpose", ["b"], ["t"], perm=[1, 0])])
    call = node("Turn", ["turned"], ["B"], "/call", "local")
    ins, outs = ports()
    body = graph([call, lstm()], [*weights(), tensor("turned", (8 * H, 1), o.bias())], ins, outs)
    return Case(model(body, functions=[made]), (F,))


@case
def two_layers_of_one_path() -> Case:
    second = node(
        "LSTM",
        ["X2", "W2", "R", "B2", "", "h0", "c0"],
        ["", "", "Y_c"],
        "/net/LSTM_1",
        hidden_size=H,
    )
    first = node("LSTM", ["X", "W", "R", "B"], ["Y"], "/net/LSTM", hidden_size=H)
    nodes = [first, node("Squeeze", ["Y", "one"], ["X2"]), second]
    tensors = [
        *weights(), tensor("W2", (1, 4 * H, H), [0.0] * 4 * H * H), tensor("one", (1,), [1], o.INT64),
        tensor("B", (1, 8 * H), o.bias(5.0)), tensor("B2", (1, 8 * H), o.bias()),
    ]  # fmt: skip
    ins, outs = ports()
    found = tuple(f + 4 for f in F), F
    return Case(model(graph(nodes, tensors, ins, outs)), found, step=1)


def cell_nodes(
    order: str = "ifgo", gate: str = "sigmoid", biases: int = 2, coupled: bool = False
) -> list[bytes]:
    """One step of an LSTM cell, written out; the gates lie in `order` in the weights."""
    nodes = [node("Gemm", ["x", "Wx", "bias_ih"], ["a"], transB=1)]
    nodes.append(node("Gemm", ["h", "Wh", *(["bias_hh"] if biases == 2 else [])], ["b"], transB=1))
    nodes += [
        node("Add", ["a", "b"], ["z"]),
        node("Split", ["z"], [f"z{g}" for g in order], axis=1),
    ]
    for g in "io" if coupled else "ifo":
        nodes += squash(f"z{g}", f"s{g}", gate)
    if coupled:
        nodes += [*squash("zf", "sf", gate), node("Sub", ["one", "sf"], ["si2"])]
    nodes += [
        node("Tanh", ["zg"], ["tg"]), node("Mul", ["sf", "c"], ["keep"]),
        node("Mul", ["tg", "si2" if coupled else "si"], ["write"]),
        node("Add", ["write", "keep"], ["c1"], "/cell/Add"), node("Tanh", ["c1"], ["tc"]), node("Mul", ["so", "tc"], ["h1"]),
    ]  # fmt: skip
    return nodes


def squash(x: str, y: str, gate: str) -> list[bytes]:
    if gate == "sigmoid":
        return [node("Sigmoid", [x], [y])]
    if gate == "HardSigmoid":
        return [node("HardSigmoid", [x], [y], alpha=0.25, beta=0.5)]
    if gate == "relu6":
        return [node("Add", [x, "three"], [x + "a"]), node("Clip", [x + "a", "nil", "six"], [x + "b"]),
                node("Mul", [x + "b", "sixth"], [y])]  # fmt: skip
    return [node("Softplus", [x], [y])]


def cell_model(nodes: list[bytes], order: str = "ifgo", biases: int = 2, prefix: str = "") -> bytes:
    row = o.bias()
    parts = {
        g: (row[k * H : (k + 1) * H], row[(k + 4) * H : (k + 5) * H]) for k, g in enumerate("iofg")
    }
    tensors = [
        tensor("Wx", (4 * H, I), [0.0] * 4 * H * I), tensor("Wh", (4 * H, H), [0.0] * 4 * H * H),
        tensor("bias_ih", (4 * H,), [v for g in order for v in parts[g][0]]),
        tensor("bias_hh", (4 * H,), [v for g in order for v in parts[g][1]]),
        tensor("one", (), [1.0]), tensor("three", (), [3.0]), tensor("nil", (), [0.0]), tensor("six", (), [6.0]),
        tensor("sixth", (), [1 / 6]),
    ]  # fmt: skip
    ins = [declared("x", (1, I)), declared("h", (1, H)), declared("c", (1, H))]
    return model(
        graph(nodes, tensors, ins, [declared("c1", (1, H)), declared("h1", (1, H))]), opset=14
    )


CELL = {"x": (1, I), "h": (1, H), "c": (1, H)}


@case
def cell() -> Case:
    return Case(cell_model(cell_nodes()), (F,), feeds=CELL)


@case
def cell_of_another_order() -> Case:
    return Case(cell_model(cell_nodes("ogif"), "ogif"), (F,), feeds=CELL)


@case
def cell_with_one_bias() -> Case:
    return Case(cell_model(cell_nodes(biases=1)), (tuple(f - 0.25 for f in F),), feeds=CELL)


@case
def cell_with_hard_gates() -> Case:
    data = cell_model(cell_nodes(gate="HardSigmoid"))
    return Case(data, (F,), feeds=CELL, function="hard_sigmoid(0.25, 0.5)")


@case
def cell_with_gates_spelled_out() -> Case:
    return Case(cell_model(cell_nodes(gate="relu6")), (F,), feeds=CELL, function="hard_sigmoid")


@case
def cell_with_coupled_input() -> Case:
    return Case(cell_model(cell_nodes(coupled=True)), (F,), feeds=CELL)


@case
def cell_with_unknown_gate() -> Case:
    return Case(
        cell_model(cell_nodes(gate="softplus")), skipped=("computed-by-unknown",), feeds=CELL
    )


@case
def gru_cell() -> Case:
    """h' = (1 - z) n + z h, and a tanh and a gate behind it."""
    nodes = [
        node("Gemm", ["x", "Wx", "bias_ih"], ["a"], transB=1), node("Split", ["a"], ["zz", "zn", "zo", "zp"], axis=1),
        node("Sigmoid", ["zz"], ["z"]), node("Tanh", ["zn"], ["n"]), node("Sub", ["one", "z"], ["y"]),
        node("Mul", ["y", "n"], ["w"]), node("Mul", ["z", "h"], ["k"]), node("Add", ["w", "k"], ["c1"]),
        node("Identity", ["c"], ["h1"]),
    ]  # fmt: skip
    return Case(cell_model(nodes), runs=False)


def _renamed(rename: dict[str, str]) -> list[bytes]:
    to = lambda name: rename.get(name, name)  # noqa: E731  # short, and used at once
    nodes = [node("Gemm", ["x", "Wx", "bias_ih"], [to("a")], transB=1)]
    nodes += [
        node("Gemm", [to("h"), "Wh", "bias_hh"], [to("b")], transB=1),
        node("Add", [to("a"), to("b")], [to("z")]),
    ]
    nodes += [node("Split", [to("z")], [to(f"z{g}") for g in "ifgo"], axis=1)]
    nodes += [node("Sigmoid", [to(f"z{g}")], [to(f"s{g}")]) for g in "ifo"] + [
        node("Tanh", [to("zg")], [to("tg")])
    ]
    nodes += [
        node("Mul", [to("sf"), to("c")], [to("keep")]),
        node("Mul", [to("si"), to("tg")], [to("write")]),
    ]
    nodes += [
        node("Add", [to("keep"), to("write")], [to("c1")], f"/cell/{to('c1')}"),
        node("Tanh", [to("c1")], [to("tc")]),
    ]
    return [*nodes, node("Mul", [to("so"), to("tc")], [to("h1")])]


@case
def unrolled() -> Case:
    """Three steps of one cell: one row."""
    names = [
        "a",
        "b",
        "z",
        "zi",
        "zf",
        "zg",
        "zo",
        "si",
        "sf",
        "so",
        "tg",
        "keep",
        "write",
        "c1",
        "tc",
        "h1",
    ]
    nodes: list[bytes] = []
    for step in range(3):
        rename = {name: f"{name}_{step}" for name in names} if step < 2 else {}
        rename |= {"h": f"h1_{step - 1}", "c": f"c1_{step - 1}"} if step else {}
        nodes += _renamed(rename)
    return Case(cell_model(nodes), (F,), feeds=CELL, step=3)


@case
def cell_with_one_added_to_the_forget_gate() -> Case:
    """TensorFlow's cells add a stored 1 to f at run time."""
    nodes = [
        n.replace(block(1, "zf"), block(1, "zf1")) if b"Sigmoid" in n else n for n in cell_nodes()
    ]
    nodes.append(node("Add", ["zf", "one"], ["zf1"]))
    return Case(cell_model(nodes), (tuple(f + 1 for f in F),), feeds=CELL)
