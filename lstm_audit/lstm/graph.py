"""What a tensor of a graph is at x = 0, h = 0, and which stored elements it comes from.

Comes in: a `Graph`. Goes out: `KnownTensor`s. Promise: one evaluation of one graph costs a bounded
number of steps, whatever its nodes say, and a value that is not known is None, never a guess.

A value is a shape and its summands. A summand is a sequence of *cells*, one an element; a cell is a
number that names one element of one stored tensor. Slice, Concat, Split and their kin only move
cells, so a part of a bias that was put together at run time still knows its bytes. Add joins
summands: bias_ih + bias_hh stay two terms. What is calculated becomes a stored tensor of its own
that has no place in the file: judged, never patched.

A product of something unknown with a stored matrix contributes its bias alone: that *is* the value
at x = 0, h = 0. Unknown leading axes (batch, time) are left out of shapes, so an axis that a shape
does not have means the last one.

Strategy: a work list, no recursion. What a name needs is pushed before it; a name that is open and
met again lies on a cycle. A chain of 20,000 Identities costs 20,000 steps and no depth.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import NamedTuple

from ..errors import MalformedFile
from ..formats import Constant, Graph, Node, Scope
from ..raw.tensor import Tensor, read_numbers, whole_block

# Elements moved and names visited in one graph: under a second. Sixty Concats of a tensor with
# itself are 2**60.
MAX_STEPS = 1 << 21

# Summands of one value; a bias has two, or four with weights that were split.
MAX_TERMS = 16

# Bytes of a stored tensor whose numbers are read at once.
MAX_READ = 4 << 20

FEW_HOPS = 8
# Calls and bodies through which one name is followed.
MAX_HOPS = 4096

# Steps that reading one element by itself counts for.
READ = 64

# A cell is SPACE * number of the stored tensor + number of the element.
SPACE = 1 << 40

# A cell of a summand that this element does not have.
NOTHING = -1

WHOLE_NUMBERS = {
    "int64": "q", "int32": "i", "int16": "h", "int8": "b",
    "uint64": "Q", "uint32": "I", "uint16": "H", "uint8": "B",
}  # fmt: skip

Cells = Sequence[int]


# Why summands and not sums. A bias in ONNX is often `Concat(Slice(bias_ih), ...) + Concat(...)`: if
# the sum were computed, the result would be a number without a place. Kept as two lists of cells,
# each element still says which bytes it came from; sums are taken only where a number is wanted. A
# range as a list of cells costs nothing, however long it is: moving a whole weight is free.
class KnownTensor(NamedTuple):
    """A known tensor: its shape, and its summands as cells in C order."""

    shape: tuple[int, ...]
    terms: tuple[Cells, ...]

    @property
    def size(self) -> int:
        """How many elements it has."""
        return prod(self.shape)


class Pieces(NamedTuple):
    """A sequence of tensors (SplitToSequence)."""

    parts: tuple[KnownTensor, ...]


Known = KnownTensor | Pieces | None


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


class NodeCall(NamedTuple):
    """One output of one node, with the values of its inputs: what a rule is given."""

    node: Node
    output: int
    ins: list[Known]
    graph: "Evaluation"
    scope: Scope

    def value(self, at: int) -> KnownTensor | None:
        """Input `at`, if it is there and known."""
        found = self.ins[at] if at < len(self.ins) else None
        return found if isinstance(found, KnownTensor) else None

    def whole(self, name: str, at: int) -> list[int] | None:
        """Whole numbers that older operators keep in an attribute and newer ones in an input."""
        given = self.node.attributes.get(name)
        if isinstance(given, tuple) and not isinstance(given, Constant):
            return [int(x) for x in given if not isinstance(x, str)]
        if isinstance(given, int):
            return [given]
        found = self.value(at)
        return None if found is None else [int(x) for x in self.graph.numbers(found)]

    def axis(self, shape: Sequence[int], default: int = 0) -> int:
        """The attribute `axis`, as an axis that the shape has."""
        given = self.node.attributes.get("axis", default)
        return _axis(int(given) if isinstance(given, int) else default, shape)


def _axis(axis: int, shape: Sequence[int]) -> int:
    return axis % len(shape) if -len(shape) <= axis < len(shape) else len(shape) - 1


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
                [self.locate(spot.scope, name) for name in _needed(spot.node)] if spot.node else []
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
            makers = self._makers[id(scope)] = {}
            for number, node in enumerate(scope.nodes):
                for output, name in enumerate(node.outs):
                    if not name:
                        continue
                    if name in makers or name in scope.constants:
                        raise MalformedFile(
                            f"{name!r} is made twice in one graph", kind="ambiguous"
                        )
                    makers[name] = number, output
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

    def computed(self, shape: tuple[int, ...], numbers: Sequence[float]) -> KnownTensor | None:
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


def read_numbers_of(constant: Constant) -> Sequence[float]:
    """A stored tensor's numbers, quantised ones as what they stand for; raises beyond `MAX_READ`
    bytes.
    """
    if constant.numbers is not None:
        stored: Sequence[float] = constant.numbers
    else:
        assert constant.tensor is not None
        stored = _read(constant.tensor, constant.name)
    if constant.scale == 1.0 and not constant.zero:
        return stored
    return [(value - constant.zero) * constant.scale for value in stored]


def _read(tensor: Tensor, name: str) -> Sequence[float]:
    if tensor.span.size > MAX_READ:
        message = (
            f"{name!r} takes part in a calculation and has {tensor.span.size} bytes; at most "
            f"{MAX_READ} are read"
        )
        raise MalformedFile(message, tensor.span.at, "limit")
    code = WHOLE_NUMBERS.get(tensor.dtype.name)
    if code is not None:
        return struct.unpack(f"<{tensor.elements}{code}", tensor.span.read())
    flat = tensor._replace(shape=(tensor.elements,), strides=(1,))
    return read_numbers(whole_block(flat))


def _needed(node: Node) -> list[str]:
    """The inputs whose values a rule asks for: of a product's matrix, only the shape."""
    if node.op not in RULES:
        return []
    if node.op in PRODUCTS:
        return [name for k, name in enumerate(node.ins) if name and k != 1]
    return [name for name in node.ins if name]


def _select(cells: Cells, picks: Sequence[int]) -> Cells:
    """Some cells by number; a regular choice from a range stays a range."""
    if isinstance(picks, range) and picks and picks.step > 0:
        return cells[picks.start : picks.stop : picks.step]
    return [cells[k] for k in picks]


def _pick(
    call: NodeCall, value: KnownTensor, shape: tuple[int, ...], picks: Sequence[int]
) -> KnownTensor:
    """A value with these elements."""
    if not isinstance(picks, range):
        call.graph.spend(len(picks) * max(1, len(value.terms)))
    return KnownTensor(shape, tuple(_select(term, picks) for term in value.terms))


def _take(
    call: NodeCall, value: KnownTensor, axis: int, index: Sequence[int]
) -> KnownTensor | None:
    """Elements of one axis, by number."""
    shape = value.shape
    if not shape or any(
        not 0 <= k < shape[axis] for k in (index if not isinstance(index, range) else index[:1])
    ):
        return None
    inner = prod(shape[axis + 1 :])
    outer = prod(shape[:axis])
    taken = (*shape[:axis], len(index), *shape[axis + 1 :])
    if isinstance(index, range) and index and index[-1] not in range(shape[axis]):
        return None
    if outer == 1 and isinstance(index, range) and index and index.step == 1:
        return _pick(call, value, taken, range(index.start * inner, index.stop * inner))
    call.graph.spend(prod(taken))
    width = shape[axis] * inner
    picks = [b * width + k * inner + j for b in range(outer) for k in index for j in range(inner)]
    return _pick(call, value, taken, picks)


def _same(call: NodeCall) -> Known:
    return call.ins[0] if call.ins else None


def _constant(call: NodeCall) -> Known:
    """Constant: one attribute, under one of several names."""
    for name, given in call.node.attributes.items():
        if isinstance(given, Constant):
            named = (
                given
                if given.name
                else given._replace(name=call.node.outs[0] if call.node.outs else "")
            )
            return call.graph.store(named)
        if isinstance(given, int | float):
            return call.graph.computed((), (float(given),))
        if not isinstance(given, str) and name in ("value_floats", "value_ints"):
            return call.graph.computed(
                (len(given),), [float(x) for x in given if not isinstance(x, str)]
            )
    return None


# The heart of "x = 0, h = 0": a matrix product of something unknown contributes nothing but its
# bias, because what is unknown is either x, h or a function of them that is 0 there. Where the
# input is known not to be 0 the product would have to be computed: that is not done, and the value
# is unknown.
def _product(call: NodeCall) -> Known:
    """MatMul(x, W) and Gemm(x, W, b) of an unknown x, or of zeros: the bias, or nothing; W is never
    read.
    """
    node, x, bias = call.node, call.value(0), call.value(2)
    biased = len(node.ins) > 2 and bool(node.ins[2])
    if x is not None and any(call.graph.numbers(x)):
        return None
    if biased:
        return None if bias is None or node.attributes.get("beta", 1.0) != 1.0 else bias
    shape = call.graph.shape(call.scope, node.ins[1]) if len(node.ins) > 1 else None
    if not shape:
        return None
    width = shape[-2 if node.attributes.get("transB") and len(shape) > 1 else -1]
    return KnownTensor((width,), ())


# Summand k of the result joins summand k of the parts; a part with fewer summands has NOTHING
# there, a cell that counts as 0. So [a1 + a2, b] becomes [a1, b] + [a2, nothing].
def _concat(call: NodeCall) -> Known:
    parts = [call.value(k) for k in range(len(call.ins))]
    known = [part for part in parts if part is not None and part.shape]
    if not known or len(known) != len(parts):
        return None
    axis = call.axis(known[0].shape)
    rest = {
        (*part.shape[:axis], *part.shape[axis + 1 :]) for part in known if len(part.shape) > axis
    }
    if len(rest) != 1 or any(len(part.shape) != len(known[0].shape) for part in known):
        return None
    shape = list(known[0].shape)
    shape[axis] = sum(part.shape[axis] for part in known)
    outer, count = prod(shape[:axis]), max(len(part.terms) for part in known)
    call.graph.spend(prod(shape) * count)
    terms = []
    for k in range(count):
        columns = [
            part.terms[k] if k < len(part.terms) else [NOTHING] * part.size for part in known
        ]
        widths = [part.size // max(outer, 1) for part in known]
        terms.append([
            cell for b in range(outer) for column, w in zip(columns, widths, strict=True)
            for cell in column[b * w : (b + 1) * w]
        ])  # fmt: skip
    return KnownTensor(tuple(shape), tuple(terms))


def _unsqueeze(call: NodeCall) -> Known:
    value, axes = call.value(0), call.whole("axes", 1)
    if value is None or axes is None or len(axes) > 8:
        return None
    shape, rank = list(value.shape), len(value.shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        shape.insert(axis, 1)
    return value._replace(shape=tuple(shape))


def _squeeze(call: NodeCall) -> Known:
    value, axes = call.value(0), call.whole("axes", 1)
    if value is None:
        return None
    rank = max(len(value.shape), 1)
    gone = None if axes is None else {axis % rank for axis in axes}
    shape = tuple(
        d for k, d in enumerate(value.shape) if not (d == 1 and (gone is None or k in gone))
    )
    return value._replace(shape=shape)


# Exporters reshape with the batch and time axes in front, which shapes here leave out: a value that
# fits only by its last axis is taken for one whose leading axes are unknown.
def _reshape(call: NodeCall) -> Known:
    """0 keeps a size, -1 is what is left; with unknown leading axes only the last size must fit."""
    value = call.value(0)
    if value is None:
        return None
    wanted = call.whole("shape", 1) if call.node.op == "Reshape" else [-1]
    if wanted is None or len(wanted) > 16:
        return None
    kept = [value.shape[k] if d == 0 and k < len(value.shape) else d for k, d in enumerate(wanted)]
    fixed = prod(d for d in kept if d >= 0)
    shape = tuple(d if d >= 0 else value.size // max(1, fixed) for d in kept)
    if prod(shape) == value.size:
        return value._replace(shape=shape)
    return value._replace(shape=shape[-1:]) if shape and shape[-1] == value.size else None


# A vector, whatever its rank, only moves its one long axis; a real permutation computes the place
# of every element.
def _transpose(call: NodeCall) -> Known:
    value = call.value(0)
    if value is None:
        return None
    shape = value.shape
    order = call.whole("perm", 1) or list(range(len(shape)))[::-1]
    if sum(d != 1 for d in shape) <= 1:
        return (
            value._replace(shape=tuple(sorted(shape)))
            if sorted(order) != list(range(len(shape)))
            else value._replace(shape=tuple(shape[k] for k in order))
        )
    if sorted(order) != list(range(len(shape))):
        return None
    call.graph.spend(value.size)
    picks = [0]
    for axis in order:
        step = prod(shape[axis + 1 :])
        picks = [k + j * step for k in picks for j in range(shape[axis])]
    return _pick(call, value, tuple(shape[k] for k in order), picks)


def _slice(call: NodeCall) -> Known:
    value, starts, ends = call.value(0), call.whole("starts", 1), call.whole("ends", 2)
    if value is None or starts is None or ends is None or not value.shape:
        return None
    axes = call.whole("axes", 3) or list(range(len(starts)))
    steps = call.whole("steps", 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=False):
        if value is None or not step or not value.shape:
            return None
        at = _axis(axis, value.shape)
        value = _take(call, value, at, range(value.shape[at])[start:end:step])
    return value


def _slice_sized(call: NodeCall) -> Known:
    """Where to begin and how much to take of every axis; -1 is all that is left."""
    value, begin, size = call.value(0), call.whole("", 1), call.whole("", 2)
    if value is None or begin is None or size is None or len(begin) != len(value.shape):
        return None
    for axis, (first, count) in enumerate(zip(begin, size, strict=False)):
        if value is None:
            return None
        stop = value.shape[axis] if count < 0 else first + count
        value = _take(call, value, axis, range(value.shape[axis])[first:stop])
    return value


def _split(call: NodeCall) -> Known:
    value = call.value(0)
    if value is None or not value.shape:
        return None
    axis = call.axis(value.shape)
    sizes = call.whole("split", 1) or _even(value.shape[axis], len(call.node.outs))
    if call.output >= len(sizes) or sum(sizes) != value.shape[axis] or min(sizes) < 0:
        return None
    first = sum(sizes[: call.output])
    return _take(call, value, axis, range(first, first + sizes[call.output]))


def _even(size: int, parts: int) -> list[int]:
    """As Split does without sizes: equal parts, the last one smaller."""
    width = -(-size // max(parts, 1))
    return [max(0, min(width, size - k * width)) for k in range(parts)]


def _split_to_sequence(call: NodeCall) -> Known:
    value, sizes = call.value(0), call.whole("split", 1)
    if value is None or not value.shape:
        return None
    axis = call.axis(value.shape)
    if sizes is None or (len(sizes) == 1 and sizes[0] > 0):
        width = sizes[0] if sizes else 1
        sizes = [min(width, value.shape[axis] - k) for k in range(0, value.shape[axis], width)][
            : 1 << 12
        ]
    parts, first = [], 0
    for size in sizes:
        parts.append(_take(call, value, axis, range(first, first + size)))
        first += size
    return (
        Pieces(tuple(part for part in parts if part))
        if all(parts) and first == value.shape[axis]
        else None
    )


def _sequence_at(call: NodeCall) -> Known:
    found, at = call.ins[0] if call.ins else None, call.whole("", 1)
    if not isinstance(found, Pieces) or not at or not -len(found.parts) <= at[0] < len(found.parts):
        return None
    return found.parts[at[0]]


def _gather(call: NodeCall) -> Known:
    value, index = call.value(0), call.value(1)
    if value is None or index is None or not value.shape:
        return None
    axis = call.axis(value.shape)
    wanted = [int(k) for k in call.graph.numbers(index)]
    taken = _take(call, value, axis, [k % max(value.shape[axis], 1) for k in wanted])
    if taken is None:
        return None
    return taken._replace(shape=(*value.shape[:axis], *index.shape, *value.shape[axis + 1 :]))


def _expand(call: NodeCall) -> Known:
    """Of one element, to any shape; of more, to a shape that only adds axes of size 1."""
    value, shape = call.value(0), call.whole("", 1)
    if value is None or shape is None or any(d <= 0 for d in shape):
        return None
    if prod(shape) == value.size:
        return value._replace(shape=tuple(shape))
    if value.size != 1 or prod(shape) > MAX_STEPS:
        return None
    call.graph.spend(prod(shape))
    return KnownTensor(tuple(shape), tuple([term[0]] * prod(shape) for term in value.terms))


def _shape(call: NodeCall) -> Known:
    """Of a known tensor, or of an input of the graph whose shape is declared."""
    value = call.value(0)
    shape = (
        value.shape
        if value is not None
        else call.graph.shape(call.scope, call.node.ins[0])
        if call.node.ins
        else None
    )
    if shape is None:
        return None
    start, end = call.node.attributes.get("start", 0), call.node.attributes.get("end")
    part = shape[start if isinstance(start, int) else 0 : end if isinstance(end, int) else None]
    return call.graph.computed((len(part),), [float(d) for d in part])


def _constant_of_shape(call: NodeCall) -> Known:
    shape, given = call.whole("", 0), call.node.attributes.get("value")
    if shape is None or any(d < 0 for d in shape) or prod(shape) > MAX_STEPS:
        return None
    filled = read_numbers_of(given) if isinstance(given, Constant) else (0.0,)
    return call.graph.computed(tuple(shape), [filled[0] if filled else 0.0] * prod(shape))


# Broadcasting of two known values. Only repetition in whole is supported: in cells a repeated value
# is the same cell again, so patching one would change them all, as in the real model.
def _fit(call: NodeCall, x: KnownTensor, y: KnownTensor) -> tuple[KnownTensor, KnownTensor] | None:
    """Both in the shape of the larger one; only a scalar, or what equals its last axes, can be
    repeated.
    """
    if x.size < y.size:
        fitted = _fit(call, y, x)
        return None if fitted is None else (fitted[1], fitted[0])
    core = list(y.shape)
    while core and core[0] == 1:
        core.pop(0)
    if y.size != 1 and tuple(core) != x.shape[len(x.shape) - len(core) :]:
        return None
    if not y.size:
        return None
    times = x.size // y.size
    if times > 1:
        call.graph.spend(x.size * max(1, len(y.terms)))
    terms = y.terms if times == 1 else tuple([*term] * times for term in y.terms)
    shape = x.shape if len(x.shape) >= len(y.shape) else y.shape
    return x._replace(shape=shape), KnownTensor(shape, terms)


def _add(call: NodeCall) -> Known:
    """Sums stay sums; an element that is added to itself is calculated."""
    pair = _pair(call)
    if pair is None:
        return None
    x, y = pair
    terms = x.terms + y.terms
    if len(terms) > MAX_TERMS:
        return call.graph.computed(x.shape, call.graph.numbers(KnownTensor(x.shape, terms)))
    return KnownTensor(x.shape, terms)


def _pair(call: NodeCall) -> tuple[KnownTensor, KnownTensor] | None:
    x, y = call.value(0), call.value(1)
    if x is None or y is None or len(call.ins) > 2:
        return None
    return _fit(call, x, y)


def _arithmetic(how: Callable[[float, float], float]) -> "NodeRule":
    def calculate(call: NodeCall) -> Known:
        pair = _pair(call)
        if pair is None:
            return None
        x, y = (call.graph.numbers(value) for value in pair)
        try:
            return call.graph.computed(
                pair[0].shape, [how(a, b) for a, b in zip(x, y, strict=True)]
            )
        except (OverflowError, ZeroDivisionError):
            return None

    return calculate


# Quantised biases (int8 with a scale) are computed values: they have no single byte to patch,
# except where float16 is only widened, which `Widen` handles as the same cells.
def _dequantize(call: NodeCall) -> Known:
    """(x - zero point) * scale; what is only widened from half is the same cells."""
    x, scale, zero = call.value(0), call.value(1), call.value(2)
    if x is None or scale is None:
        return None
    if len(call.node.ins) > 2 and call.node.ins[2] and zero is None:
        return None
    factors, zeros = call.graph.numbers(scale), call.graph.numbers(zero) if zero else [0.0]
    if len(factors) != 1 and len(factors) != x.size:
        return None
    numbers = call.graph.numbers(x)
    each = zip(
        numbers,
        factors * (x.size // len(factors)),
        zeros * (x.size // max(1, len(zeros))),
        strict=False,
    )
    return call.graph.computed(x.shape, [(a - z) * s for a, s, z in each])


NodeRule = Callable[[NodeCall], Known]

PRODUCTS = frozenset({"MatMul", "Gemm"})
SAME_SHAPE = frozenset({"Transpose", "Identity", "Cast", "DequantizeLinear", "Widen"})

# Operators under ONNX's names; `Widen` is float16 to float32. An operator that is not here gives
# nothing known.
RULES: Mapping[str, NodeRule] = {
    "Constant": _constant,
    "MatMul": _product,
    "Gemm": _product,
    "Identity": _same,
    "Cast": _same,
    "CastLike": _same,
    "Widen": _same,
    "Dropout": _same,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Transpose": _transpose,
    "Slice": _slice,
    "SliceSized": _slice_sized,
    "Split": _split,
    "SplitToSequence": _split_to_sequence,
    "SequenceAt": _sequence_at,
    "Gather": _gather,
    "Shape": _shape,
    "Expand": _expand,
    "ConstantOfShape": _constant_of_shape,
    "Add": _add,
    "Sub": _arithmetic(lambda a, b: a - b),
    "Mul": _arithmetic(lambda a, b: a * b),
    "Div": _arithmetic(lambda a, b: a / b),
    "DequantizeLinear": _dequantize,
}
