"""The methods of Python's plain values: texts, dicts, lists, matches of a pattern.

Comes in: a value, the name of a method and arguments. Goes out: the result. Promise: a list or text
that grows is bounded, and what an unknown argument may have changed is called unknown.
"""

import ast
import re

from .expressions import list_items
from .machine import (
    OPEN_END,
    Machine,
    Raised,
    blur,
    delete_key,
    new_items,
    new_table,
    put,
    replace_list,
)
from .operators import LONGEST_LIST, LONGEST_TEXT, bound_text
from .patterns import call_pattern
from .values import UNKNOWN, Class, Dotted, Keywords, Value, is_known_number, is_open


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
        return bound_text(me.join(items)) if sum(map(len, items)) < LONGEST_TEXT else UNKNOWN
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
    return bound_text(result) if isinstance(result, str) else result


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
        return bound_text(me.format(*args, **keywords))
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


# Lists are changed through the machine's journal, never in place, so that an append under an
# unknown condition can be taken back. A list that may have grown ends in OPEN_END.
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
