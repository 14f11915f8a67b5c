"""Operators on phantom values.

Comes in: an operator of the syntax tree and two values. Goes out: the value. Promise: sizes of
numbers, texts and lists are checked before anything is computed; what is open stays open.
"""

import ast
import operator
import re
from collections.abc import Callable

from .branches import same
from .machine import OPEN_END, Machine, new_items, new_table, new_tensor
from .tensors import PhantomTensor, WrittenRun, map_runs, merge_neighbours, read_runs, stretch
from .values import (
    UNKNOWN,
    Class,
    Dotted,
    Function,
    Instance,
    Open,
    Symbol,
    Value,
    is_known_number,
    is_number,
    is_open,
)

LONGEST_LIST = 4096
LONGEST_TEXT = 2000
LARGEST = 1 << 62

ARITHMETIC: dict[type[ast.operator], tuple[str, Callable[..., Value]]] = {
    ast.Add: ("add", operator.add),
    ast.Sub: ("sub", operator.sub),
    ast.Mult: ("mul", operator.mul),
    ast.Div: ("div", operator.truediv),
    ast.FloorDiv: ("floordiv", operator.floordiv),
    ast.Mod: ("mod", operator.mod),
    ast.Pow: ("pow", operator.pow),
    ast.BitAnd: ("and", operator.and_),
    ast.BitOr: ("or", operator.or_),
    ast.BitXor: ("xor", operator.xor),
    ast.LShift: ("lshift", operator.lshift),
    ast.RShift: ("rshift", operator.rshift),
}


# Bounds on lengths stand wherever a value could grow: `"a" * 10**9` and `[0] * n` in a loop are one
# operation each, and the budget counts operations.
def operate(m: Machine, op: type[ast.operator], a: Value, b: Value) -> Value:
    """`a op b`."""
    if op not in ARITHMETIC:
        return UNKNOWN
    name, function = ARITHMETIC[op]
    if isinstance(a, PhantomTensor) or isinstance(b, PhantomTensor):
        return operate_tensors(m, name, a, b)
    if isinstance(a, int | float) and isinstance(b, int | float):
        return _numbers(op, function, a, b)
    if isinstance(a, str) and op is ast.Mod:
        return _format(a, b)
    if op is ast.Add:
        return _concatenate(m, a, b)
    if op is ast.Mult:
        return _repeat(m, *((a, b) if is_number(b) else (b, a)))
    if op is ast.BitOr and isinstance(a, dict) and isinstance(b, dict):
        return new_table(m, {**a, **b})
    if op is ast.BitOr and isinstance(a, Class | tuple) and isinstance(b, Class | Dotted):
        return (a, b)  # a union of classes, which isinstance takes as it takes a tuple
    return UNKNOWN


# Powers and shifts are the only operators of two small numbers whose result can have a million
# digits.
def _numbers(op: type[ast.operator], function: Callable[..., Value], a: float, b: float) -> Value:
    if op is ast.Pow and not (abs(a) <= 1e6 and abs(b) <= 64):
        return UNKNOWN
    if op is ast.LShift and not 0 <= b <= 64:
        return UNKNOWN
    try:
        result = function(a, b)
    except (ArithmeticError, ValueError, TypeError):
        return UNKNOWN
    return reopen(result, a, b)


def reopen(result: Value, *parts: Value) -> Value:
    """A number that was computed from open ones is open too; one beyond all sizes is unknown."""
    if not is_number(result) or (isinstance(result, int) and abs(result) > LARGEST):
        return result if isinstance(result, bool) else UNKNOWN
    if any(is_open(part) for part in parts):
        return Symbol(result) if isinstance(result, int) else Open(result)
    return result


# Tensors are runs of equal cells, so that an operation on a bias of 4H elements costs as many steps
# as it has different values, mostly one to four. A cell is a number, a draw with its law, or
# unknown; the laws know what adding or scaling does to them.
def operate_tensors(m: Machine, name: str, a: Value, b: Value) -> Value:
    """An elementwise operation of a tensor with a number or a tensor, broadcast."""
    tensors = [value for value in (a, b) if isinstance(value, PhantomTensor)]
    largest = max(tensors, key=len)
    length, shape = len(largest), largest.shape
    open_number = any(is_open(value) for value in (a, b))
    columns = [_column(value, length) for value in (a, b)]
    runs = map_runs(name, *columns)
    if open_number:
        # A constant changed by an open number is unknown; a draw keeps its law with open bounds.
        runs = merge_neighbours([_reopen_run(run) for run in runs])
    return new_tensor(m, runs, shape)


def _column(value: Value, length: int) -> list[WrittenRun]:
    if isinstance(value, PhantomTensor):
        return stretch(read_runs(value), length)
    if is_number(value) or isinstance(value, bool):
        return [WrittenRun(length, float(value))]
    return [WrittenRun(length, UNKNOWN)]


def _reopen_run(run: WrittenRun) -> WrittenRun:
    return run._replace(cell=UNKNOWN) if isinstance(run.cell, float) and run.cell else run


def map_tensor(m: Machine, name: str, tensor: PhantomTensor) -> PhantomTensor:
    """An elementwise function of one tensor."""
    return new_tensor(m, map_runs(name, read_runs(tensor)), tensor.shape)


def _format(text: str, by: Value) -> Value:
    """`"%s_%d" % (a, b)`, where no width could make it long."""
    parts = tuple(by) if isinstance(by, tuple | list) else (by,)
    plain = all(isinstance(part, str) or is_known_number(part) for part in parts)
    if not plain or re.search(r"%[^sdi%]", text) or len(text) > LONGEST_TEXT:
        return UNKNOWN
    try:
        return bound_text(text % parts)
    except (TypeError, ValueError):
        return UNKNOWN


def bound_text(text: str) -> Value:
    """A text, if it is not too long."""
    return text if len(text) <= LONGEST_TEXT else UNKNOWN


def _concatenate(m: Machine, a: Value, b: Value) -> Value:
    if isinstance(a, str) and isinstance(b, str):
        return bound_text(a + b)
    if isinstance(a, list) and isinstance(b, list) and len(a) + len(b) <= LONGEST_LIST:
        return new_items(m, [*a, *b]) if OPEN_END not in a else new_items(m, a)
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) + len(b) <= LONGEST_LIST:
        return a + b
    return UNKNOWN


def _repeat(m: Machine, items: Value, times: Value) -> Value:
    if not isinstance(times, int) or not 0 <= times <= LONGEST_LIST:
        return UNKNOWN
    if isinstance(items, str) and len(items) * times <= LONGEST_TEXT:
        return items * times
    if isinstance(items, list) and len(items) * times <= LONGEST_LIST:
        return new_items(m, list(items) * times)
    if isinstance(items, tuple) and len(items) * times <= LONGEST_LIST:
        return tuple(items) * times
    return UNKNOWN


def negate(m: Machine, value: Value) -> Value:
    """`-value`."""
    if isinstance(value, PhantomTensor):
        return map_tensor(m, "neg", value)
    return reopen(-value, value) if isinstance(value, int | float) else UNKNOWN


# ---- comparison


# UNKNOWN is an answer like True and False here: a condition that cannot be decided is run both
# ways. Saying False in doubt would skip the branch that initialises.
def compare_values(op: type[ast.cmpop], a: Value, b: Value) -> Value:
    """`a op b`, or `UNKNOWN`."""
    if op in (ast.In, ast.NotIn):
        found = _contains(b, a)
        return found if found is UNKNOWN else found is (op is ast.In)
    equal = op in (ast.Eq, ast.Is)
    if op in (ast.Eq, ast.NotEq, ast.Is, ast.IsNot):
        alike = _alike(a, b)
        return alike if alike is UNKNOWN else alike is equal
    if is_known_number(a) and is_known_number(b):
        return bool(ORDER[op](a, b))
    if isinstance(a, str) and isinstance(b, str):
        return bool(ORDER[op](a, b))
    return UNKNOWN


ORDER: dict[type[ast.cmpop], Callable[[Value, Value], Value]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


# Identity and equality are not told apart: initialisers compare strings, numbers, None and classes,
# for which Python's `is` and `==` agree as people use them. Two unknowns are never equal.
def _alike(a: Value, b: Value) -> Value:
    """Whether two values are equal, where the run can tell."""
    if a is None or b is None:
        other = b if a is None else a
        if other is None:
            return True
        return UNKNOWN if other is UNKNOWN or is_open(other) or _foreign(other) else False
    if a is b and a is not UNKNOWN and not isinstance(a, Open):
        return True
    if is_open(a) or is_open(b):
        both = isinstance(a, Symbol) and isinstance(b, Symbol)
        return True if both and int(a) == int(b) else UNKNOWN
    if a is UNKNOWN or b is UNKNOWN or isinstance(a, PhantomTensor) or isinstance(b, PhantomTensor):
        return UNKNOWN
    if _foreign(a) or _foreign(b):
        return UNKNOWN
    if isinstance(a, Class | Instance | Function | Dotted):
        return bool(a == b)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return True if same(a, b) else UNKNOWN if _has_unknown(a) or _has_unknown(b) else a == b
    plain = (int, float, str, bytes, dict, set, range)
    return bool(a == b) if isinstance(a, plain) and isinstance(b, plain) else UNKNOWN


def _foreign(value: Value) -> bool:
    return isinstance(value, Dotted) and value.root != "torch"


def _has_unknown(values: Value) -> bool:
    return any(
        v is UNKNOWN or is_open(v) or isinstance(v, PhantomTensor | list | tuple) for v in values
    )


def _contains(container: Value, value: Value) -> Value:
    """Whether a value is in a text, a list or a mapping."""
    if value is UNKNOWN or container is UNKNOWN:
        return UNKNOWN
    if isinstance(container, str):
        return value in container if isinstance(value, str) else UNKNOWN
    if isinstance(container, Instance):
        known = container.kind in ("torch.nn.ModuleDict", "torch.nn.ParameterDict")
        return value in container.attrs if known and isinstance(value, str) else UNKNOWN
    if isinstance(container, dict):
        return value in container if isinstance(value, str | int) else UNKNOWN
    if isinstance(container, list | tuple | set | range) and not isinstance(container, Dotted):
        return _among(list(container)[:LONGEST_LIST], value)
    return UNKNOWN


def _among(items: list[Value], value: Value) -> Value:
    answers = [UNKNOWN if item is OPEN_END else _alike(item, value) for item in items]
    if True in [answer for answer in answers if answer is not UNKNOWN]:
        return True
    return UNKNOWN if UNKNOWN in answers else False
