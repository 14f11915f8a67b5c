"""Functions of Python's standard library that initialising code calls.

Comes in: a dotted name and arguments. Goes out: the result. Promise: only what is listed here is
computed; nothing touches a file, a process or the clock.
"""

import ast
import math
import re
from collections.abc import Callable
from itertools import chain, islice, product, repeat

from .expressions import list_items
from .machine import Machine, new_fields, new_items, new_table, new_tensor
from .operators import LONGEST_LIST, reopen
from .patterns import call_pattern, compile_pattern
from .python_calls import make_dict
from .tensors import PhantomTensor, read_runs
from .values import UNKNOWN, Dotted, Function, Instance, Keywords, Partial, Value


def call_standard(
    m: Machine, function: Dotted, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """A call into the standard library."""
    if function.root == "math":
        return _call_math(function.last, args)
    if function.root == "re":
        return _call_re(m, function.last, args, keywords)
    if function.name in LIBRARY:
        return LIBRARY[function.name](m, args, keywords, node)
    return UNKNOWN


def _call_math(name: str, args: list[Value]) -> Value:
    if not args or not all(isinstance(arg, int | float) for arg in args) or name not in MATH:
        return UNKNOWN
    try:
        return reopen(getattr(math, name)(*args), *args)
    except (ArithmeticError, ValueError, TypeError):
        return UNKNOWN


MATH = (
    "sqrt", "log", "log2", "log10", "log1p", "exp", "expm1", "floor", "ceil", "tanh", "pow", "fabs",
    "trunc", "isclose", "isnan", "isinf",
)  # fmt: skip


def _call_re(m: Machine, name: str, args: list[Value], keywords: Keywords) -> Value:
    pattern = args[0] if args else UNKNOWN
    if isinstance(pattern, str):
        flags = args[1] if name == "compile" and len(args) > 1 else 0
        pattern = compile_pattern(pattern, flags)
    if not isinstance(pattern, re.Pattern):
        return UNKNOWN
    return pattern if name == "compile" else call_pattern(m, pattern, name, args[1:])


def _partial(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return Partial(args[0], args[1:], keywords) if args else UNKNOWN


def _pass_on(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """A decorator that leaves what it is given as it is."""
    return args[0] if args else UNKNOWN


def _decorator(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """`@wraps(f)`, `@lru_cache(None)`: called once more, with the function."""
    if args and isinstance(args[0], Function) and not keywords and len(args) == 1:
        return args[0] if not isinstance(node, ast.Call) else Dotted("functools.identity")
    return Dotted("functools.identity")


def _reduce(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    items = list_items(m, args[1]) if len(args) > 1 else None
    if items is None or (not items and len(args) < 3):
        return UNKNOWN
    value = args[2] if len(args) > 2 else items.pop(0)
    for item in items:
        value = m.call(args[0], [value, item], {}, node)
    return value


def _copy(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return copy_value(m, args[0], {}) if args else UNKNOWN


# deepcopy keeps identity inside of the copy (a tied weight stays tied), hence the table of what is
# done; it is put there before the parts are copied, so that circles end.
def copy_value(m: Machine, value: Value, done: dict[int, Value], depth: int = 0) -> Value:
    """A deep copy: tensors of their own, modules of their own; functions and classes shared."""
    if id(value) in done or depth > 40:
        return done.get(id(value), UNKNOWN)
    if isinstance(value, PhantomTensor):
        return _copy_tensor(m, value, done)
    if isinstance(value, Instance):
        return _copy_instance(m, value, done, depth)
    if isinstance(value, list):
        return new_items(m, [copy_value(m, item, done, depth + 1) for item in value])
    if isinstance(value, dict):
        return new_table(m, {k: copy_value(m, v, done, depth + 1) for k, v in value.items()})
    return value


def _copy_tensor(m: Machine, value: PhantomTensor, done: dict[int, Value]) -> PhantomTensor:
    made = new_tensor(m, read_runs(value), value.shape)
    made.leaf, made.parameter = value.leaf, value.parameter
    made.storage.role = value.storage.role
    done[id(value)] = made
    return made


def _copy_instance(m: Machine, value: Instance, done: dict[int, Value], depth: int) -> Instance:
    made = Instance(value.cls, value.kind, new_fields(m), value.place)
    made.layers_open, made.directions_open = value.layers_open, value.directions_open
    made.size_open = value.size_open
    done[id(value)] = made
    m.made.append(made)
    for name, item in value.attrs.items():
        made.attrs[name] = copy_value(m, item, done, depth + 1)
    return made


def _namespace(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return Instance(None, "", new_fields(m, keywords), m.place(node))


def _parser(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return Instance(None, "argparse", new_fields(m), m.place(node))


def _chain(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    columns = [list_items(m, arg) for arg in args]
    if any(column is None for column in columns):
        return UNKNOWN
    return new_items(m, islice(chain(*[column or [] for column in columns]), LONGEST_LIST))


def _product(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    columns = [list_items(m, arg) for arg in args]
    times = keywords.get("repeat", 1)
    if any(column is None for column in columns) or times not in (1, 2, 3):
        return UNKNOWN
    rows = product(*[column or [] for column in columns for _ in repeat(None, times)])
    return new_items(m, islice(rows, LONGEST_LIST))


def _make_ordered(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return make_dict(m, args, keywords, node)


LIBRARY: dict[str, Callable[..., Value]] = {
    "functools.partial": _partial,
    "functools.wraps": _decorator,
    "functools.lru_cache": _decorator,
    "functools.cache": _pass_on,
    "functools.identity": _pass_on,
    "functools.reduce": _reduce,
    "copy.deepcopy": _copy,
    "copy.copy": _copy,
    "types.SimpleNamespace": _namespace,
    "argparse.Namespace": _namespace,
    "argparse.ArgumentParser": _parser,
    "itertools.chain": _chain,
    "itertools.product": _product,
    "collections.OrderedDict": _make_ordered,
    "collections.defaultdict": lambda m, args, keywords, node: UNKNOWN,
    "typing.cast": lambda m, args, keywords, node: args[1] if len(args) == 2 else UNKNOWN,
    "contextlib.nullcontext": lambda m, args, keywords, node: Dotted("contextlib.nullcontext"),
    "contextlib.suppress": lambda m, args, keywords, node: Dotted("contextlib.suppress"),
}
