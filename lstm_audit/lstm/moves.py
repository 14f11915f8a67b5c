"""Operators of a graph that only move elements: slices, joins, reshapes, turns.

Comes in: a `NodeCall`, one output of a node with the values of its inputs. Goes out: a value whose
cells are cells of the inputs, or None. Promise: no number is computed here, so that every element
still knows its bytes; work is counted against the graph's budget.

Unknown leading axes (batch, time) are left out of shapes, so an axis that a shape does not have
means the last one.
"""

from collections.abc import Mapping, Sequence
from math import prod

from .known import MAX_STEPS, NOTHING, Cells, Known, KnownTensor, Pieces
from .node_call import NodeCall, NodeRule, axis_of


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


# Axes count in the result's rank (ONNX, Unsqueeze), so they are taken modulo that and put in from
# the smallest on: each insertion moves only what stands behind it.
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


# Up to opset 9 starts, ends and axes are attributes, from 10 on inputs (`whole` asks for either).
# Python's own slicing of a range clamps ends as ONNX wants it: INT_MAX means to the end.
def _slice(call: NodeCall) -> Known:
    value, starts, ends = call.value(0), call.whole("starts", 1), call.whole("ends", 2)
    if value is None or starts is None or ends is None or not value.shape:
        return None
    axes = call.whole("axes", 3) or list(range(len(starts)))
    steps = call.whole("steps", 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=False):
        if value is None or not step or not value.shape:
            return None
        at = axis_of(axis, value.shape)
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


# Without sizes the parts are equal, but for the last one. The number of parts is the number of
# outputs in older models and an attribute in newer ones, where the two agree.
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


# Indices may be negative and of any shape; the result has the indices' shape in the place of the
# axis. A scalar index drops the axis, which is how exporters pick one direction of a stacked bias.
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


# Operators under ONNX's names; `Widen` is float16 to float32.
MOVES: Mapping[str, NodeRule] = {
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
    "Expand": _expand,
}
