"""What Python's builtins, its plain types' methods and its standard library do to phantom values.

Comes in: a name and arguments. Goes out: the result. Promise: sizes are checked first, and nothing
touches a file, a process or the clock.
"""

import ast
import math
import re
from collections.abc import Callable, Iterable
from itertools import chain, islice, product, repeat

from .attributes import get_attribute, is_recurrence, set_attribute
from .expressions import list_items
from .machine import (
    OPEN_END,
    Machine,
    Raised,
    blur,
    delete_key,
    new_fields,
    new_items,
    new_table,
    new_tensor,
    put,
    replace_list,
    truth,
)
from .operators import LONGEST_LIST, LONGEST_TEXT, bounded_text, reopen
from .patterns import call_pattern, compile_pattern
from .tensors import PhantomTensor, read_runs
from .values import (
    UNKNOWN,
    Class,
    Dotted,
    Function,
    Instance,
    Keywords,
    Partial,
    Value,
    ancestry,
    find_attribute,
    is_known_number,
    is_number,
    is_open,
)

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


# ---- builtins


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


def _getattr(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) < 2 or not isinstance(args[1], str):
        return UNKNOWN
    spelling = ast.Attribute(ast.Name("getattr_of"), args[1])
    owner = args[0]
    if len(args) > 2 and isinstance(owner, Instance) and _has(owner, args[1]) is False:
        return args[2]
    try:
        return get_attribute(m, owner, args[1], spelling)
    except Raised:
        if len(args) > 2:
            return args[2]
        raise


def _setattr(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) == 3 and isinstance(args[1], str):
        set_attribute(m, args[0], args[1], args[2], node)
    elif args:
        blur(m, args[:1], m.place(node))
    return None


def _delattr(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) == 2 and isinstance(args[0], Instance):
        delete_key(m, args[0].attrs, args[1])
    return None


def _hasattr(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) != 2 or not isinstance(args[1], str):
        return UNKNOWN
    if isinstance(args[0], PhantomTensor):
        return args[1] in ("data", "shape", "grad", "fill_", "dim", "size")
    return _has(args[0], args[1]) if isinstance(args[0], Instance) else UNKNOWN


# hasattr decides branches ("if hasattr(m, 'bias')"), so a wrong answer is worse than none: only
# classes whose attributes are all known (CLOSED) answer False for what they do not have.
def _has(owner: Instance, name: str) -> Value:
    if name in owner.attrs or (owner.cls and find_attribute(owner.cls, name) is not UNKNOWN):
        return True
    if is_recurrence(owner):
        vague = owner.layers_open or owner.directions_open
        return UNKNOWN if vague and name.startswith(("bias", "weight")) else name in MODULE_NAMES
    if owner.kind.startswith("torch.nn."):
        return name in MODULE_NAMES if owner.kind.rpartition(".")[2] in CLOSED else UNKNOWN
    return UNKNOWN


CLOSED = (
    "Linear", "Embedding", "Dropout", "ReLU", "Tanh", "Sigmoid", "ModuleList", "Sequential",
    "Module", "Conv1d", "Conv2d", "LayerNorm", "BatchNorm1d", "ModuleDict", "Softmax", "GELU",
)  # fmt: skip
MODULE_NAMES = (
    "named_parameters", "parameters", "modules", "apply", "state_dict", "forward", "training",
    "children", "all_weights", "flatten_parameters", "reset_parameters", "_flat_weights",
)  # fmt: skip


def _isinstance(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) != 2:
        return UNKNOWN
    wanted = _flatten(args[1])
    answers = [is_instance_of(args[0], kind) for kind in wanted]
    if any(answer is True for answer in answers):
        return True
    return UNKNOWN if UNKNOWN in answers else False


def _flatten(kinds: Value) -> list[Value]:
    if isinstance(kinds, tuple | list) and not isinstance(kinds, Dotted):
        return [one for kind in kinds for one in _flatten(kind)]
    return [kinds]


# Three answers: yes, no, and unknown for classes that cannot be seen. A class of the source is seen
# whole, so that False is certain there.
def is_instance_of(value: Value, kind: Value) -> Value:
    """Whether a value is an instance of a class."""
    if value is UNKNOWN or is_open(value) or not isinstance(kind, Class | Dotted):
        return UNKNOWN
    if isinstance(value, Instance):
        return _module_is(value, kind)
    name = kind.name
    if isinstance(value, PhantomTensor):
        return name.endswith(("Tensor", "Parameter")) and (
            not name.endswith("Parameter") or value.parameter
        )
    if name in PLAIN:
        return isinstance(value, PLAIN[name])
    return False if isinstance(value, int | float | str | list | dict | None) else UNKNOWN


PLAIN: dict[str, type | tuple[type, ...]] = {
    "builtins.int": int, "builtins.float": float, "builtins.str": str, "builtins.list": list,
    "builtins.tuple": tuple, "builtins.dict": dict, "builtins.bool": bool, "builtins.set": set,
    "collections.abc.Sequence": (list, tuple), "collections.abc.Mapping": dict,
    "collections.abc.Iterable": (list, tuple, dict), "numbers.Number": (int, float),
}  # fmt: skip


def _module_is(value: Instance, kind: Class | Dotted) -> Value:
    line: list[Value] = ancestry(value.cls) if value.cls else []
    if kind in line or (isinstance(kind, Dotted) and kind.name == value.kind):
        return True
    if isinstance(kind, Class):
        return False
    if kind.name == "torch.nn.Module":
        return bool(value.kind)
    if kind.name == "torch.nn.RNNBase":
        return is_recurrence(value) and "Cell" not in value.kind
    if kind.name == "torch.nn.RNNCellBase":
        return is_recurrence(value) and "Cell" in value.kind
    if kind.root in ("torch", "builtins"):
        return False
    foreign = any(isinstance(base, Dotted) and base.root != "torch" for base in line)
    return UNKNOWN if foreign else False


def _issubclass(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) == 2 and isinstance(args[0], Class):
        return any(kind in ancestry(args[0]) for kind in _flatten(args[1]))
    return UNKNOWN


def _type(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) == 1 and isinstance(args[0], Instance):
        return args[0].cls or Dotted(args[0].kind)
    return UNKNOWN


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


def _dict(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
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
    "getattr": _getattr,
    "setattr": _setattr,
    "delattr": _delattr,
    "hasattr": _hasattr,
    "isinstance": _isinstance,
    "issubclass": _issubclass,
    "type": _type,
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
    "dict": _dict,
    "vars": _vars,
    "dir": _dir,
    "slice": _slice,
    "eval": _eval,
}


# ---- methods of plain values


def call_plain(
    m: Machine, me: Value, name: str, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """A method of a text, list, dict or pattern; of anything else it may write what it is given."""
    if isinstance(me, str):
        return _call_text(m, me, name, args, keywords)
    if isinstance(me, dict):
        return _call_dict(m, me, name, args)
    if isinstance(me, list):
        return _call_list(m, me, name, args)
    if isinstance(me, re.Pattern):
        return call_pattern(m, me, name, args)
    if isinstance(me, re.Match):
        return _call_match(me, name, args)
    if isinstance(me, int | float) and not is_open(me):
        return UNKNOWN
    if isinstance(me, tuple) and name in ("index", "count") and args:
        return UNKNOWN
    blur(m, [*args, *keywords.values()], m.place(node))
    return UNKNOWN


TEXT_METHODS = frozenset(
    {
        "startswith", "endswith", "split", "rsplit", "replace", "lower", "upper", "find", "rfind",
        "count", "strip", "lstrip", "rstrip", "removeprefix", "removesuffix", "partition",
        "rpartition", "index", "isdigit", "isnumeric", "title", "capitalize", "casefold",
        "splitlines", "isalpha",
    }
)  # fmt: skip


def _call_text(m: Machine, me: str, name: str, args: list[Value], keywords: Keywords) -> Value:
    if name == "join":
        items = list_items(m, args[0]) if args else None
        if items is None or not all(isinstance(item, str) for item in items):
            return UNKNOWN
        return bounded_text(me.join(items)) if sum(map(len, items)) < LONGEST_TEXT else UNKNOWN
    if name == "format":
        return _format(me, args, keywords)
    plain = (str, int, tuple, type(None))
    if name not in TEXT_METHODS or not all(isinstance(a, plain) and not is_open(a) for a in args):
        return UNKNOWN
    try:
        result = getattr(me, name)(*args)
    except (TypeError, ValueError, OverflowError):
        raise Raised("ValueError") from None
    if isinstance(result, list):
        return new_items(m, result[:LONGEST_LIST])
    return bounded_text(result) if isinstance(result, str) else result


# Format specifications are left out: `{:>1000000}` makes a million characters out of nine.
def _format(me: str, args: list[Value], keywords: Keywords) -> Value:
    """`"{}_l{}".format(a, b)`, without specifications, attributes or subscripts."""
    values = [*args, *keywords.values()]
    if re.search(r"\{[^}]*[:.!\[{]", me) or len(me) > LONGEST_TEXT:
        return UNKNOWN
    if not all(isinstance(v, str) or (is_known_number(v) and abs(v) < 1e15) for v in values):
        return UNKNOWN
    if sum(len(v) for v in values if isinstance(v, str)) * me.count("{") > 10 * LONGEST_TEXT:
        return UNKNOWN
    try:
        return bounded_text(me.format(*args, **keywords))
    except (IndexError, KeyError, ValueError):
        return UNKNOWN


def _call_dict(m: Machine, me: dict[Value, Value], name: str, args: list[Value]) -> Value:
    key = args[0] if args else None
    simple = isinstance(key, str | int | float | Class | Dotted) and not is_open(key)
    match name:
        case "items":
            return new_items(m, me.items())
        case "keys":
            return new_items(m, me)
        case "values":
            return new_items(m, me.values())
        case "copy":
            return new_table(m, me)
        case "get" if simple:
            return me.get(key, args[1] if len(args) > 1 else None)
        case "pop" if simple:
            value = me.get(key, args[1] if len(args) > 1 else UNKNOWN)
            delete_key(m, me, key)
            return value
        case "setdefault" if simple:
            if key not in me:
                put(m, me, key, args[1] if len(args) > 1 else None)
            return me[key]
        case "update":
            for one, value in (key or {}).items() if isinstance(key, dict) else ():
                put(m, me, one, value)
            return None
    return UNKNOWN


def _call_list(m: Machine, me: list[Value], name: str, args: list[Value]) -> Value:
    if len(me) >= LONGEST_LIST:
        return UNKNOWN
    match name:
        case "append" if args:
            replace_list(m, me, [*me, args[0]] if OPEN_END not in me else me)
            return None
        case "extend" if args:
            items = list_items(m, args[0])
            replace_list(m, me, [*me, *([OPEN_END] if items is None else items)])
            return None
        case "insert" if len(args) == 2 and isinstance(args[0], int):
            replace_list(m, me, [*me[: args[0]], args[1], *me[args[0] :]])
            return None
        case "pop" if me and all(isinstance(a, int) and -len(me) <= a < len(me) for a in args):
            changed = list(me)
            value = changed.pop(*args)
            replace_list(m, me, changed)
            return value
        case "reverse":
            replace_list(m, me, me[::-1])
            return None
        case "clear":
            replace_list(m, me, [])
            return None
        case "copy":
            return new_items(m, me)
        case "index" if args and isinstance(args[0], str | int):
            return me.index(args[0]) if args[0] in me else UNKNOWN
    return UNKNOWN


def _call_match(me: "re.Match[str]", name: str, args: list[Value]) -> Value:
    if name not in ("group", "groups", "start", "end", "groupdict"):
        return UNKNOWN
    try:
        return getattr(me, name)(*args)
    except (IndexError, TypeError):
        raise Raised("IndexError") from None


# ---- the standard library


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


def _passed(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
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


def _ordered(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return _dict(m, args, keywords, node)


LIBRARY: dict[str, Callable[..., Value]] = {
    "functools.partial": _partial,
    "functools.wraps": _decorator,
    "functools.lru_cache": _decorator,
    "functools.cache": _passed,
    "functools.identity": _passed,
    "functools.reduce": _reduce,
    "copy.deepcopy": _copy,
    "copy.copy": _copy,
    "types.SimpleNamespace": _namespace,
    "argparse.Namespace": _namespace,
    "argparse.ArgumentParser": _parser,
    "itertools.chain": _chain,
    "itertools.product": _product,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": lambda m, args, keywords, node: UNKNOWN,
    "typing.cast": lambda m, args, keywords, node: args[1] if len(args) == 2 else UNKNOWN,
    "contextlib.nullcontext": lambda m, args, keywords, node: Dotted("contextlib.nullcontext"),
    "contextlib.suppress": lambda m, args, keywords, node: Dotted("contextlib.suppress"),
}
