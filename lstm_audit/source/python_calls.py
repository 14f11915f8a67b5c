"""What Python's builtins do to phantom values: sizes, loops, numbers, texts.

Comes in: a name and arguments. Goes out: the result. Promise: sizes are checked first, and nothing
touches a file, a process or the clock.
"""

import ast
from collections.abc import Callable, Iterable

from .branches import truth
from .expressions import list_items
from .machine import Machine, Raised, blur, new_items, new_table
from .object_calls import OBJECT_CALLS
from .operators import reopen
from .tensors import PhantomTensor
from .values import UNKNOWN, Dotted, Instance, Keywords, Value, is_known_number, is_number

NOWHERE = ast.Pass(lineno=1, col_offset=0)

# Libraries whose calls write into no module that they are given.
STANDARD = frozenset(
    {
        "os", "sys", "math", "re", "copy", "json", "io", "typing", "functools", "collections",
        "dataclasses", "argparse", "types", "abc", "random", "time", "datetime", "logging",
        "pathlib", "itertools", "warnings", "enum", "string", "contextlib", "operator", "pprint",
        "shutil", "glob", "csv", "pickle", "gc", "inspect", "traceback", "tqdm", "tensorboardX",
        "yaml", "matplotlib", "pandas", "sklearn", "scipy", "statistics", "heapq", "bisect",
        "hashlib", "uuid", "textwrap", "platform", "signal", "subprocess", "threading", "queue",
        "multiprocessing", "__future__", "typing_extensions", "PIL", "cv2", "omegaconf", "hydra",
        "wandb",
    }
)  # fmt: skip


def is_standard(function: Dotted) -> bool:
    """Whether a library is known to leave modules alone."""
    return function.root in STANDARD


# The rule for all tables of this file: a function that is in a table does what Python does as far
# as its arguments are known, and answers UNKNOWN otherwise; one that is in no table, and is not
# known to be quiet, may have written what it was given. `print` is quiet, `init_weights` is not.
def call_builtin(
    m: Machine, name: str, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """A builtin, or a name that nobody has bound."""
    if name in BUILTINS:
        return BUILTINS[name](m, args, keywords, node)
    if name not in QUIET and not name.endswith(("Error", "Exception", "Warning")):
        blur(m, [*args, *keywords.values()], m.place(node))
    return UNKNOWN


QUIET = (
    "print", "input", "open", "id", "hash", "repr", "help", "format", "callable", "breakpoint",
    "globals", "display", "memoryview", "ascii", "bin", "hex", "oct", "object", "exit", "quit",
)  # fmt: skip


def _len(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    value = args[0] if args else UNKNOWN
    if isinstance(value, PhantomTensor):
        return value.shape[0] if value.shape else UNKNOWN
    if isinstance(value, str | dict | set | range):
        return len(value)
    items = list_items(m, value)
    return UNKNOWN if items is None else len(items)


def _range(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if not all(isinstance(arg, int) for arg in args) or not 1 <= len(args) <= 3:
        return UNKNOWN
    if any(isinstance(arg, float) for arg in args) or (len(args) == 3 and args[2] == 0):
        return UNKNOWN
    return range(*map(int, args))


def _enumerate(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    items = list_items(m, args[0]) if args else None
    start = keywords.get("start", args[1] if len(args) > 1 else 0)
    if items is None or not isinstance(start, int):
        return UNKNOWN
    return new_items(m, enumerate(items, start))


def _zip(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    columns = [list_items(m, arg) for arg in args]
    if any(column is None for column in columns):
        return UNKNOWN
    return new_items(m, zip(*[column or [] for column in columns], strict=False))


def _rebuild(kind: Callable[[Iterable[Value]], Iterable[Value]]) -> Callable[..., Value]:
    def call(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
        items = list_items(m, args[0]) if args else []
        return UNKNOWN if items is None else new_items(m, kind(items))

    return call


def _tuple(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    items = list_items(m, args[0]) if args else []
    return UNKNOWN if items is None else tuple(items)


# Keys must be plain for Python's order and this one to be the same; tuples are compared by their
# first part where that is a text, which is what sorting `named_parameters()` needs.
def _sorted(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    items = list_items(m, args[0]) if args else None
    if items is None:
        return UNKNOWN
    key = keywords.get("key")
    keys = [m.call(key, [item], {}, node) for item in items] if key else items
    plain = all(is_known_number(k) for k in keys) or all(isinstance(k, str) for k in keys)
    if not plain:
        first = [k[0] if isinstance(k, tuple) and k else None for k in keys]
        if not all(isinstance(k, str) for k in first):
            return UNKNOWN
        keys = first
    order = sorted(
        range(len(items)), key=lambda n: keys[n], reverse=keywords.get("reverse") is True
    )
    return new_items(m, [items[n] for n in order])


def _map(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    columns = [list_items(m, arg) for arg in args[1:]]
    if not columns or any(column is None for column in columns):
        blur(m, args[1:], m.place(node))
        return UNKNOWN
    rows = zip(*[column or [] for column in columns], strict=False)
    return new_items(m, [m.call(args[0], list(row), {}, node) for row in rows])


def _filter(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    items = list_items(m, args[1]) if len(args) == 2 else None
    if items is None:
        return UNKNOWN
    kept = [truth(m.call(args[0], [item], {}, node) if args[0] else item) for item in items]
    if None in kept:
        return UNKNOWN
    return new_items(m, [item for item, keep in zip(items, kept, strict=True) if keep])


def _any_all(settles: bool) -> Callable[..., Value]:
    def call(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
        items = list_items(m, args[0]) if args else None
        answers = [truth(item) for item in items or ()]
        if settles in answers:
            return settles
        return UNKNOWN if items is None or None in answers else not settles

    return call


# Numbers that are imaginary stay so: `reopen` gives the result of a symbol back as a symbol, since
# 2 * H is as open as H.
def _numeric(function: Callable[..., Value]) -> Callable[..., Value]:
    def call(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
        values = args
        if len(args) == 1 and isinstance(args[0], list | tuple):
            values = list_items(m, args[0]) or []
        numbers = [v for v in values if isinstance(v, int | float)]
        if not values or len(numbers) != len(values):
            return _from_text(function, values)
        try:
            return reopen(function(*numbers), *numbers)
        except (ArithmeticError, ValueError, TypeError):
            return UNKNOWN

    return call


def _from_text(function: Callable[..., Value], values: list[Value]) -> Value:
    """`int("3")`."""
    if len(values) == 1 and isinstance(values[0], str) and len(values[0]) < 20:
        try:
            return function(values[0]) if function in (int, float) else UNKNOWN
        except ValueError:
            raise Raised("ValueError") from None
    return UNKNOWN


def _sum(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    items = list_items(m, args[0]) if args else None
    if not items or not all(is_number(item) for item in items):
        return UNKNOWN
    return reopen(sum(items), *items)


def _bool(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    known = truth(args[0]) if args else False
    return UNKNOWN if known is None else known


def _str(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    value = args[0] if args else ""
    if isinstance(value, str):
        return value
    return str(value) if is_known_number(value) and abs(value) < 1e15 else UNKNOWN


def _next(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    items = list_items(m, args[0]) if args else None
    if items:
        return items[0]
    if items is not None and len(args) > 1:
        return args[1]
    return UNKNOWN


def make_dict(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """`dict(...)` of a mapping, of pairs, and of keywords; unknown where the pairs are."""
    table = new_table(m)
    if args and isinstance(args[0], dict):
        table.update(args[0])
    elif args:
        pairs = list_items(m, args[0])
        if pairs is None or not all(isinstance(p, tuple | list) and len(p) == 2 for p in pairs):
            return UNKNOWN
        table.update({key: value for key, value in pairs if isinstance(key, str | int)})
    table.update(keywords)
    return table


def _vars(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return args[0].attrs if args and isinstance(args[0], Instance) else UNKNOWN


def _dir(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if args and isinstance(args[0], Instance):
        return new_items(m, sorted(args[0].attrs))
    return UNKNOWN


def _slice(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return slice(*args) if 1 <= len(args) <= 3 else UNKNOWN


def _iter(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return args[0] if args else UNKNOWN


def _eval(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """A text handed to Python may write anything; what it names is looked up if it is a name."""
    return UNKNOWN


BUILTINS: dict[str, Callable[..., Value]] = {
    **OBJECT_CALLS,
    "len": _len,
    "range": _range,
    "enumerate": _enumerate,
    "zip": _zip,
    "list": _rebuild(list),
    "set": _rebuild(lambda items: dict.fromkeys(i for i in items if isinstance(i, str | int))),
    "frozenset": _rebuild(
        lambda items: dict.fromkeys(i for i in items if isinstance(i, str | int))
    ),
    "reversed": _rebuild(lambda items: list(items)[::-1]),
    "tuple": _tuple,
    "sorted": _sorted,
    "map": _map,
    "filter": _filter,
    "any": _any_all(True),
    "all": _any_all(False),
    "int": _numeric(int),
    "float": _numeric(float),
    "abs": _numeric(abs),
    "round": _numeric(round),
    "min": _numeric(min),
    "max": _numeric(max),
    "pow": _numeric(lambda x, y: x**y if abs(x) < 1e6 and abs(y) < 64 else UNKNOWN),
    "divmod": _numeric(lambda x, y: UNKNOWN),
    "sum": _sum,
    "bool": _bool,
    "str": _str,
    "next": _next,
    "iter": _iter,
    "dict": make_dict,
    "vars": _vars,
    "dir": _dir,
    "slice": _slice,
    "eval": _eval,
}
