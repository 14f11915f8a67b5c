"""The evaluator: values at x = 0, h = 0 with the elements that they come from."""

import random
from collections.abc import Sequence

import numpy as np
import pytest

from lstm_audit.errors import MalformedFile
from lstm_audit.formats import Constant, Graph, Node, Scope
from lstm_audit.lstm import graph as module
from lstm_audit.lstm.graph import Evaluation
from lstm_audit.lstm.known import KnownTensor


def scope(nodes: Sequence[Node], **constants: np.ndarray) -> Scope:
    stored = {
        name: Constant(name, array.shape, numbers=tuple(float(x) for x in array.reshape(-1)))
        for name, array in constants.items()
    }
    return Scope("", list(nodes), stored)


def evaluate(
    nodes: Sequence[Node], name: str, **constants: np.ndarray
) -> tuple[Evaluation, KnownTensor | None]:
    one = scope(nodes, **constants)
    evaluation = Evaluation(Graph("onnx", (one,)))
    return evaluation, evaluation.value(one, name)


def array(evaluation: Evaluation, value: KnownTensor | None) -> np.ndarray:
    assert value is not None
    return np.array(evaluation.numbers(value)).reshape(value.shape)


X = np.arange(24.0).reshape(2, 3, 4)
I = lambda *values: np.array(values)  # noqa: E731, E741  # the names of the gates

CASES = {
    "Unsqueeze": (Node("Unsqueeze", ("x", "a"), ("y",)), {"a": I(0, 4)}, lambda x: x[None, ..., None]),
    "Squeeze": (Node("Squeeze", ("t",), ("y",)), {"t": X[:1]}, lambda x: x[0]),
    "Reshape": (Node("Reshape", ("x", "a"), ("y",)), {"a": I(0, -1)}, lambda x: x.reshape(2, 12)),
    "Transpose": (Node("Transpose", ("x",), ("y",), attributes={"perm": (2, 0, 1)}), {}, lambda x: x.transpose(2, 0, 1)),
    "Transpose all": (Node("Transpose", ("x",), ("y",)), {}, lambda x: x.T),
    "Slice": (
        Node("Slice", ("x", "s", "e", "a", "p"), ("y",)),
        {"s": I(-1, 1), "e": I(-100, 100), "a": I(2, 1), "p": I(-2, 1)},
        lambda x: x[:, 1:, ::-2],
    ),
    "Slice by attributes": (
        Node("Slice", ("x",), ("y",), attributes={"starts": (1,), "ends": (3,), "axes": (1,)}), {}, lambda x: x[:, 1:3],
    ),
    "Gather": (Node("Gather", ("x", "a"), ("y",), attributes={"axis": 1}), {"a": I(2, -3)}, lambda x: x[:, [2, 0]]),
    "Gather one": (Node("Gather", ("x", "a"), ("y",), attributes={"axis": 0}), {"a": np.array(1.0)}, lambda x: x[1]),
    "Concat": (Node("Concat", ("x", "x"), ("y",), attributes={"axis": 1}), {}, lambda x: np.concatenate([x, x], 1)),
    "Concat last": (Node("Concat", ("x", "x"), ("y",), attributes={"axis": -1}), {}, lambda x: np.concatenate([x, x], -1)),
    "Split second": (Node("Split", ("x",), ("n", "y"), attributes={"axis": 2}), {}, lambda x: x[:, :, 2:]),
    "Split sizes": (Node("Split", ("x", "a"), ("n", "y"), attributes={"axis": 2}), {"a": I(1, 3)}, lambda x: x[:, :, 1:]),
    "Add": (Node("Add", ("x", "a"), ("y",)), {"a": I(1, 2, 3, 4)}, lambda x: x + I(1, 2, 3, 4)),
    "Sum of three": (Node("Sum", ("x", "a", "x"), ("y",)), {"a": I(1, 2, 3, 4)}, lambda x: 2 * x + I(1, 2, 3, 4)),
    "Sum of one": (Node("Sum", ("x",), ("y",)), {}, lambda x: x),
    "Add scalar": (Node("Add", ("a", "x"), ("y",)), {"a": np.array(5.0)}, lambda x: x + 5),
    "Sub": (Node("Sub", ("x", "a"), ("y",)), {"a": np.array(5.0)}, lambda x: x - 5),
    "Sub from": (Node("Sub", ("a", "x"), ("y",)), {"a": np.array(5.0)}, lambda x: 5 - x),
    "Mul": (Node("Mul", ("x", "x"), ("y",)), {}, lambda x: x * x),
    "Expand": (Node("Expand", ("v", "a"), ("y",)), {"v": np.array([2.0]), "a": I(3, 2)}, lambda x: np.full((3, 2), 2.0)),
    "Shape": (Node("Shape", ("x",), ("y",)), {}, lambda x: np.array(x.shape)),
    "ConstantOfShape": (Node("ConstantOfShape", ("a",), ("y",)), {"a": I(2, 2)}, lambda x: np.zeros((2, 2))),
    "SliceSized": (
        Node("SliceSized", ("x", "a", "b"), ("y",)), {"a": I(0, 1, 2), "b": I(1, 2, -1)}, lambda x: x[:1, 1:, 2:],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_operator_does_what_numpy_does(name: str) -> None:
    node, constants, truth = CASES[name]
    evaluation, value = evaluate([node], "y", x=X, **constants)
    assert array(evaluation, value).tolist() == truth(X).tolist()


def test_random_chains_of_moves_are_numpys() -> None:
    """Every element of a moved tensor still knows its place: its number is the place itself here."""
    rng = random.Random(5)
    for _ in range(200):
        truth, nodes, last = X, [], "x"
        for k in range(rng.randint(1, 6)):
            kind, out = rng.randrange(3), f"y{k}"
            axis = rng.randrange(truth.ndim)
            if kind == 0:
                order = rng.sample(range(truth.ndim), truth.ndim)
                nodes.append(Node("Transpose", (last,), (out,), attributes={"perm": tuple(order)}))
                truth = truth.transpose(order)
            elif kind == 1:
                start, step = rng.randrange(truth.shape[axis]), rng.choice((1, 2, -1))
                stop = truth.shape[axis] if step > 0 else -truth.shape[axis] - 1
                given = {"starts": (start,), "ends": (stop,), "axes": (axis,), "steps": (step,)}
                nodes.append(Node("Slice", (last,), (out,), attributes=given))
                cut = [slice(None)] * truth.ndim
                cut[axis] = slice(start, None, step)
                truth = truth[tuple(cut)]
            else:
                nodes.append(Node("Concat", (last, last), (out,), attributes={"axis": axis}))
                truth = np.concatenate([truth, truth], axis)
            last = out
        evaluation, value = evaluate(nodes, last, x=X)
        assert array(evaluation, value).tolist() == truth.tolist()
        assert value is not None
        (cells,) = value.terms
        assert [evaluation.origin(cell)[1] for cell in cells] == truth.reshape(-1).astype(
            int
        ).tolist()


def test_sums_stay_terms_and_products_of_unknowns_are_their_bias() -> None:
    nodes = [
        Node("Gemm", ("x", "w", "b1"), ("a",), attributes={"transB": 1}),
        Node("MatMul", ("h", "r"), ("m",)),
        Node("Add", ("a", "m"), ("z",)),
        Node("Add", ("z", "b2"), ("y",)),
    ]
    evaluation, value = evaluate(
        nodes, "y", w=np.ones((4, 2)), r=np.ones((3, 4)), b1=I(1, 2, 3, 4), b2=I(5, 5, 5, 5)
    )
    assert value is not None
    assert len(value.terms) == 2
    assert evaluation.numbers(value) == [6, 7, 8, 9]


def test_what_is_not_known_is_none() -> None:
    for node in (Node("Add", ("x", "u"), ("y",)), Node("Tanh", ("x",), ("y",)), Node("MatMul", ("x", "x"), ("y",)),
                 Node("Gemm", ("u", "x", "x"), ("y",), attributes={"beta": 0.5}), Node("Reshape", ("x", "u"), ("y",)),
                 Node("Gather", ("x", "u"), ("y",)), Node("Concat", ("x", "u"), ("y",))):  # fmt: skip
        assert evaluate([node], "y", x=X)[1] is None
    assert evaluate([], "nowhere")[1] is None
    assert evaluate([], "")[1] is None


def test_a_cycle_and_too_much_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [Node("Identity", ("b",), ("a",)), Node("Identity", ("a",), ("b",))]
    with pytest.raises(MalformedFile, match="cycle"):
        evaluate(nodes, "a")
    monkeypatch.setattr(module, "MAX_STEPS", 1000)
    nodes = [
        Node("Concat", (f"n{k}", f"n{k}"), (f"n{k + 1}",), attributes={"axis": 0})
        for k in range(60)
    ]
    with pytest.raises(MalformedFile) as caught:
        evaluate(nodes, "n60", n0=I(1, 2))
    assert caught.value.kind == "limit"


def test_a_long_chain_needs_no_depth() -> None:
    nodes = [Node("Identity", (f"n{k}",), (f"n{k + 1}",)) for k in range(20_000)]
    evaluation, value = evaluate(nodes, "n20000", n0=I(1, 2))
    assert array(evaluation, value).tolist() == [1, 2]


def test_two_makers_of_one_name_are_refused() -> None:
    with pytest.raises(MalformedFile) as caught:
        evaluate([Node("Identity", ("x",), ("y",))] * 2, "y", x=X)
    assert caught.value.kind == "ambiguous"
