"""What a tensor of a graph is at x = 0, h = 0, and which stored elements it comes from.

Comes in: a `Graph`. Goes out: `KnownTensor`s. Promise: one evaluation of one graph costs a bounded
number of steps, whatever its nodes say, and a value that is not known is None, never a guess.

What a value is stands in `known.py`, what an operator makes of values in `moves.py` and `sums.py`.

A product of something unknown with a stored matrix contributes its bias alone: that *is* the value
at x = 0, h = 0.

Strategy: a work list, no recursion. What a name needs is pushed before it; a name that is open and
met again lies on a cycle. A chain of 20,000 Identities costs 20,000 steps and no depth.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from ..errors import MalformedFile
from ..formats import Constant, Graph, Node, Scope
from .known import MAX_READ, MAX_STEPS, NOTHING, SPACE, Cells, Known, KnownTensor, read_numbers_of
from .moves import MOVES
from .node_call import NodeCall, NodeRule
from .sums import SUMS

FEW_HOPS = 8
# Calls and bodies through which one name is followed.
MAX_HOPS = 4096

# Steps that reading one element by itself counts for.
READ = 64


class Spot(NamedTuple):
    """Where a name is made: by output `output` of `node`, or stored as `constant`, or neither (it
    comes from outside).

    `key` is the same for all names of one thing.
    """

    key: tuple[int, str]
    scope: Scope
    node: Node | None = None
    output: int = 0
    constant: Constant | None = None


class Evaluation:
    """The values of one graph, each computed once, when it is asked for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._left = MAX_STEPS
        self._known: dict[tuple[int, str], Known] = {}
        self._open: set[tuple[int, str]] = set()
        self._stored: list[Constant] = []
        self._numbers: dict[int, Sequence[float]] = {}
        self._makers: dict[int, dict[str, tuple[int, int]]] = {}

    def value(self, scope: Scope, name: str) -> KnownTensor | None:
        """What a name stands for; raises `MalformedFile` for a cycle, and beyond the steps that one
        graph may take.
        """
        if not name:
            return None
        spot = self.locate(scope, name)
        if spot.key not in self._known:
            self._settle(spot)
        found = self._known[spot.key]
        return found if isinstance(found, KnownTensor) else None

    # The work list of the module's docstring. A spot on the stack is looked at twice: first its
    # needs are pushed above it, then, when they are known, it is computed. It is "open" in between;
    # meeting an open spot with needs still missing can only mean that one of its needs needs it.
    def _settle(self, first: Spot) -> None:
        stack = [first]
        while stack:
            spot = stack[-1]
            if spot.key in self._known:
                stack.pop()
                continue
            needs = (
                [self.locate(spot.scope, name) for name in _list_needed(spot.node)]
                if spot.node
                else []
            )
            missing = [need for need in needs if need.key not in self._known]
            self.spend(1 + len(needs))
            if not missing:
                self._known[spot.key] = self._made(spot)
                stack.pop()
            elif spot.key in self._open:
                raise MalformedFile(f"the graph has a cycle through {spot.key[1]!r}")
            else:
                self._open.add(spot.key)
                stack += missing

    def spend(self, steps: int) -> None:
        """Count work; raises when one graph takes too much of it."""
        self._left -= steps
        if self._left < 0:
            message = (
                f"computing the biases of this graph takes over {MAX_STEPS} steps; at most "
                "that many are taken"
            )
            raise MalformedFile(message, kind="limit")

    # A name can be bound in four ways, tried in this order: an argument of the function or body
    # that the scope is; a constant of the scope; the output of one of its nodes (through a call,
    # the name inside the body that is called); and, where nothing of these is so, a name of the
    # scope around. ONNX lets bodies of If and Loop see outer names (ONNX IR, "Graphs"); functions
    # do not, so they have no outer scope here. The walk can pass many calls: after a few hops each
    # costs a step.
    def locate(self, scope: Scope, name: str) -> Spot:
        """Where a name is made: here, in a scope around it, in the call that binds it, in the body
        that returns it.
        """
        for hops in range(MAX_HOPS):
            if hops > FEW_HOPS:
                self.spend(1)
            if name in scope.bound:
                scope, name = scope.bound[name]
            elif name in scope.constants:
                return Spot((id(scope), name), scope, constant=scope.constants[name])
            elif (made := self.makers(scope).get(name)) is not None:
                number, output = made
                if number not in scope.calls:
                    return Spot((id(scope), name), scope, scope.nodes[number], output)
                body, names = scope.calls[number]
                if output >= len(names):
                    break
                scope, name = body, names[output]
            elif name in scope.inputs or scope.outer is None:
                break
            else:
                scope = scope.outer
        return Spot((id(scope), name), scope)

    # SSA is a promise of the format that a file may break. Two makers of one name would let a
    # runtime and this evaluator choose differently, so that is an error and not a matter of order.
    def makers(self, scope: Scope) -> dict[str, tuple[int, int]]:
        """By name, the number of the node that makes it and of the output; two makers are
        refused.
        """
        makers = self._makers.get(id(scope))
        if makers is None:
            made = [
                (name, (number, output))
                for number, node in enumerate(scope.nodes)
                for output, name in enumerate(node.outs)
                if name
            ]
            makers = self._makers[id(scope)] = dict(made)
            if len(makers) < len(made) or not makers.keys().isdisjoint(scope.constants):
                message = f"{_made_twice(scope, made)!r} is made twice in one graph"
                raise MalformedFile(message, kind="ambiguous")
        return makers

    def maker(self, scope: Scope, name: str) -> Node | None:
        """The node that makes a name, if one does."""
        return self.locate(scope, name).node if name else None

    def shape(self, scope: Scope, name: str) -> tuple[int, ...] | None:
        """A stored matrix's shape; one behind Transpose, Identity, Cast or DequantizeLinear still
        tells it.
        """
        turned = False
        for _ in range(MAX_HOPS):
            spot = self.locate(scope, name)
            if spot.constant is not None:
                shape = spot.constant.shape
                return shape[::-1] if turned else shape
            if spot.node is None or spot.node.op not in SAME_SHAPE or not spot.node.ins:
                declared = spot.scope.inputs.get(spot.key[1]) if spot.node is None else None
                known = tuple(size for size in declared or () if size is not None)
                return known if declared and len(known) == len(declared) else None
            turned ^= spot.node.op == "Transpose"
            scope, name = spot.scope, spot.node.ins[0]
        return None

    def _made(self, spot: Spot) -> Known:
        if spot.constant is not None:
            return self.store(spot.constant)
        if spot.node is None:
            return None
        rule = RULES.get(spot.node.op)
        if rule is None:
            return None
        ins: list[Known] = []
        for name in spot.node.ins:
            ins.append(self._known.get(self.locate(spot.scope, name).key) if name else None)
        return rule(NodeCall(spot.node, spot.output, ins, self, spot.scope))

    # A stored tensor gets a number, and its elements the cells from number * SPACE on. Cells of two
    # tensors can never meet, and the origin of a cell is one division.
    def store(self, constant: Constant) -> KnownTensor | None:
        """A stored tensor as a value; None where its numbers cannot be had."""
        if constant.tensor is None and constant.numbers is None:
            return None
        first = len(self._stored) * SPACE
        self._stored.append(constant)
        return KnownTensor(constant.shape, (range(first, first + prod(constant.shape)),))

    def compute(self, shape: tuple[int, ...], numbers: Sequence[float]) -> KnownTensor | None:
        """Numbers that were calculated: a tensor without a place."""
        self.spend(len(numbers))
        return self.store(Constant("", shape, numbers=tuple(numbers)))

    def origin(self, cell: int) -> tuple[Constant, int]:
        """The stored tensor that a cell belongs to, and the number of the element."""
        return self._stored[cell // SPACE], cell % SPACE

    def numbers(self, value: KnownTensor) -> list[float]:
        """The sums, element by element."""
        columns = [self.read(term) for term in value.terms]
        return (
            [sum(column) for column in zip(*columns, strict=True)]
            if columns
            else [0.0] * value.size
        )

    def read(self, cells: Cells) -> Sequence[float]:
        """What some cells hold. Of a long tensor, a run of cells alone is read."""
        self.spend(len(cells))
        if isinstance(cells, range) and cells and cells.step == 1:
            number, last = cells[0] // SPACE, cells[-1] // SPACE
            if number == last:
                return self._run(number, cells[0] % SPACE, len(cells))
        return [self.number(cell) for cell in cells]

    # A tensor of up to MAX_READ is read whole, once, since neighbours will be asked for next; from
    # a longer one (an embedding of which one row is sliced) only the run is.
    def _run(self, number: int, first: int, count: int) -> Sequence[float]:
        """A run of one stored tensor: a short one is read once, of a long one the run alone."""
        constant = self._stored[number]
        if constant.tensor is None or constant.tensor.span.size <= MAX_READ:
            if number not in self._numbers:
                self._numbers[number] = read_numbers_of(constant)
            return self._numbers[number][first : first + count]
        size = constant.tensor.dtype.itemsize
        span = constant.tensor.span[first * size : (first + count) * size]
        part = constant.tensor._replace(shape=(count,), strides=(1,), span=span)
        return read_numbers_of(constant._replace(tensor=part, shape=(count,)))

    def number(self, cell: int) -> float:
        """What one cell holds."""
        if cell == NOTHING:
            return 0.0
        number = cell // SPACE
        if number in self._numbers:
            return self._numbers[number][cell % SPACE]
        self.spend(READ)
        return self._run(number, cell % SPACE, 1)[0]


def _made_twice(scope: Scope, made: Iterable[tuple[str, object]]) -> str:
    """The first name that is stored or made before it is made."""
    known = set(scope.constants)
    for name, _ in made:
        if name in known:
            return name
        known.add(name)
    return ""


def _list_needed(node: Node) -> list[str]:
    """The inputs whose values a rule asks for: of a product's matrix, only the shape."""
    if node.op not in RULES:
        return []
    if node.op in PRODUCTS:
        return [name for k, name in enumerate(node.ins) if name and k != 1]
    return [name for name in node.ins if name]


PRODUCTS = frozenset({"MatMul", "Gemm"})
SAME_SHAPE = frozenset({"Transpose", "Identity", "Cast", "DequantizeLinear", "Widen"})

# An operator that is in neither table gives nothing known.
RULES: Mapping[str, NodeRule] = {**MOVES, **SUMS}
