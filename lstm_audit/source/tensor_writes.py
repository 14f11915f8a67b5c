"""Methods of phantom tensors that write: numbers, draws, copies, rows by index.

Comes in: a tensor, a method's name and arguments. Goes out: the tensor, changed through the
machine's journal. Promise: numbers that are not known are written as unknown.
"""

import ast
from collections.abc import Callable

from .cells import Draw, Ramp
from .indexing import view_at
from .machine import Machine, refuse_on_leaf, write_cells, write_value
from .operators import operate_tensors
from .tensors import PhantomTensor, WrittenRun
from .values import UNKNOWN, Keywords, Value, is_number, is_open


# Each write notes the line at which it stands in the cells themselves. The finding about a value
# then points at the statement that decided it, through any number of helpers and loops.
def _fill(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    refuse_on_leaf(m, me, node)
    write_value(m, me, args[0] if args else keywords.get("value", UNKNOWN), m.place(node))
    return me


def _zero(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    refuse_on_leaf(m, me, node)
    write_value(m, me, 0.0, m.place(node))
    return me


def _copy(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    refuse_on_leaf(m, me, node)
    write_value(m, me, args[0] if args else keywords.get("src", UNKNOWN), m.place(node))
    return me


def _set(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """`set_` gives a tensor another memory: that is the parameter's new content, but whatever else
    showed the old memory, such as `.data`, goes its own way.
    """
    value = args[0] if args and me.parameter else UNKNOWN
    write_value(m, me, value, m.place(node))
    return me


# A draw is kept as its law and bounds, not as numbers: two draws are different even with the same
# bounds, and the forensics are asked what such a bias looks like.
def _uniform(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    refuse_on_leaf(m, me, node)
    low = args[0] if args else keywords.get("from", keywords.get("a", 0.0))
    high = args[1] if len(args) > 1 else keywords.get("to", keywords.get("b", 1.0))
    write_cells(m, me, draw_runs(m, "uniform", low, high, len(me)), m.place(node))
    return me


def _normal(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    refuse_on_leaf(m, me, node)
    mean = args[0] if args else keywords.get("mean", 0.0)
    std = args[1] if len(args) > 1 else keywords.get("std", 1.0)
    write_cells(m, me, draw_runs(m, "normal", mean, std, len(me)), m.place(node))
    return me


def draw_runs(m: Machine, law: str, a: Value, b: Value, length: int) -> list[WrittenRun]:
    """A draw of these bounds, which may be open; nothing known where they are no numbers."""
    if not (is_number(a) and is_number(b)) or (law == "uniform" and a > b):
        return [WrittenRun(length, UNKNOWN)]
    if (a == b and law == "uniform") or (law == "normal" and b == 0):
        return [WrittenRun(length, UNKNOWN if is_open(a) else float(a))]
    return [WrittenRun(length, Draw(law, m.number(), float(a), float(b)))]


def _clamp_(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    refuse_on_leaf(m, me, node)
    write_value(m, me, clamp_cells(m, me, args, keywords), m.place(node))
    return me


def clamp_cells(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords
) -> PhantomTensor:
    """A tensor with its cells held between two bounds, of which either may be missing."""
    low = args[0] if args else keywords.get("min")
    high = args[1] if len(args) > 1 else keywords.get("max")
    result = me if low is None else operate_tensors(m, "max", me, low)
    return result if high is None else operate_tensors(m, "min", result, high)


def _index_fill(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """`index_fill_(dim, index, value)` and `index_copy_`."""
    refuse_on_leaf(m, me, node)
    if len(args) == 3 and args[0] in (0, -1) and len(me.shape) == 1:
        write_value(m, view_at(me, args[1]), args[2], m.place(node))
    else:
        write_cells(m, me, [WrittenRun(1, UNKNOWN)], m.place(node))
    return me


def _index_add(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    refuse_on_leaf(m, me, node)
    if len(args) == 3 and args[0] in (0, -1) and len(me.shape) == 1:
        shown = view_at(me, args[1])
        write_value(m, shown, operate_tensors(m, "add", shown, args[2]), m.place(node))
    else:
        write_cells(m, me, [WrittenRun(1, UNKNOWN)], m.place(node))
    return me


def _masked_fill(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    refuse_on_leaf(m, me, node)
    write_cells(m, me.blur(), [WrittenRun(1, UNKNOWN)], m.place(node))
    return me


def ramp_runs(start: float, stop: float, count: int) -> list[WrittenRun]:
    """Evenly spaced numbers, both ends included."""
    if count <= 1 or start == stop:
        return [WrittenRun(count, float(start))]
    return [WrittenRun(count, Ramp(float(start), (stop - start) / (count - 1)))]


WRITES: dict[str, Callable[..., Value]] = {
    "fill_": _fill,
    "zero_": _zero,
    "copy_": _copy,
    "set_": _set,
    "uniform_": _uniform,
    "normal_": _normal,
    "clamp_": _clamp_,
    "clip_": _clamp_,
    "index_fill_": _index_fill,
    "index_copy_": _index_fill,
    "index_add_": _index_add,
    "masked_fill_": _masked_fill,
}
