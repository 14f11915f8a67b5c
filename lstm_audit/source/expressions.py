"""Expressions on phantom values, and assignment to targets.

Comes in: an expression and a scope. Goes out: its value. Promise: what the language leaves open is
`UNKNOWN`, or a `Symbol` where it can be spelled; nothing is executed.
"""

import ast
import re
from collections.abc import Callable, Iterator

from .attributes import get_attribute, set_attribute
from .branches import join_values, truth
from .indexing import get_item, set_item
from .machine import OPEN_END, Machine, Raised, Site, new_items, new_scope, new_table, put
from .operators import LONGEST_LIST, bound_text, compare_values, negate, operate
from .tensors import PhantomTensor
from .values import (
    UNKNOWN,
    Class,
    Dotted,
    Function,
    Instance,
    NameScope,
    Super,
    Value,
    is_known_number,
)

PARAMETER = re.compile(r"(?:.*\.)?(?:weight|bias)_(?:ih|hh|hr)_l(\d+)(_reverse)?\Z")
LAYER_TEXT = re.compile(r"(?:.*[._])?l(\d+)\Z|l(\d+)\Z")


def evaluate(m: Machine, node: ast.expr, scope: NameScope) -> Value:
    """The value of an expression."""
    m.tick()
    kind = EXPRESSIONS.get(type(node))
    return kind(m, node, scope) if kind else UNKNOWN


def _constant(m: Machine, node: ast.Constant, scope: NameScope) -> Value:
    value = node.value
    return UNKNOWN if isinstance(value, complex) or value is ... else value


def _name(m: Machine, node: ast.Name, scope: NameScope) -> Value:
    if node.id in scope.shared:
        return scope.shared[node.id].names.get(node.id, UNKNOWN)
    at: NameScope | None = scope
    while at is not None:
        if node.id in at.names:
            return at.names[node.id]
        at = at.outer
    return Dotted("builtins." + node.id)


def _items(m: Machine, node: ast.List | ast.Set, scope: NameScope) -> Value:
    return new_items(m, _elements(m, node.elts, scope))


def _tuple(m: Machine, node: ast.Tuple, scope: NameScope) -> Value:
    return tuple(_elements(m, node.elts, scope))


# A star over something unknown ends the list with OPEN_END: what is known so far stays known, and
# whoever counts the items sees that there may be more. Throwing the whole list away would lose the
# layers that stand before it.
def _elements(m: Machine, nodes: list[ast.expr], scope: NameScope) -> Iterator[Value]:
    for node in nodes:
        if isinstance(node, ast.Starred):
            items = list_items(m, evaluate(m, node.value, scope))
            yield from [OPEN_END] if items is None else items
        else:
            yield evaluate(m, node, scope)


# A key that is not known may be any key, also one that stands there already. It gets a place of its
# own that no look-up can name, so that its value is still walked but never mistaken for another's.
def _table(m: Machine, node: ast.Dict, scope: NameScope) -> Value:
    table = new_table(m)
    for key, value in zip(node.keys, node.values, strict=True):
        item = evaluate(m, value, scope)
        if key is None:
            if not isinstance(item, dict):
                return UNKNOWN
            table.update(item)
            continue
        name = evaluate(m, key, scope)
        if not isinstance(name, str | int | float | tuple | Dotted) and name is not None:
            name = id(key), "unknown key"
        table[name] = item
    return table


def _text(m: Machine, node: ast.JoinedStr, scope: NameScope) -> Value:
    parts = [_text_part(m, part, scope) for part in node.values]
    if all(isinstance(part, str) for part in parts):
        return bound_text("".join(parts))
    return UNKNOWN


# An open number has an imaginary value (48 for a hidden size that nobody gives). Printed into a
# name it would make a name that the program never has, and that name could then match.
def _text_part(m: Machine, node: ast.expr, scope: NameScope) -> Value:
    """A formatted part: no format specification is followed, and no open number is printed."""
    if not isinstance(node, ast.FormattedValue):
        return evaluate(m, node, scope)
    value = evaluate(m, node.value, scope)
    if node.format_spec is not None or node.conversion not in (-1, ord("s")):
        return UNKNOWN
    if isinstance(value, str | bool | int) and (isinstance(value, str) or is_known_number(value)):
        return str(value)
    return UNKNOWN


def _binary(m: Machine, node: ast.BinOp, scope: NameScope) -> Value:
    left, right = evaluate(m, node.left, scope), evaluate(m, node.right, scope)
    return operate(m, type(node.op), left, right)


def _unary(m: Machine, node: ast.UnaryOp, scope: NameScope) -> Value:
    value = evaluate(m, node.operand, scope)
    if isinstance(node.op, ast.Not):
        known = truth(value)
        return UNKNOWN if known is None else not known
    if isinstance(node.op, ast.USub):
        return negate(m, value)
    return value if isinstance(node.op, ast.UAdd) else UNKNOWN


# Python gives the part that settled it, not True or False: `sizes or [64]` is a list. Behind an
# unknown part the settling one is only one of two values that may come out, so it is kept only
# where both are the same bool.
def _boolean(m: Machine, node: ast.BoolOp, scope: NameScope) -> Value:
    """`and`, `or`: an unknown part leaves the answer open, unless a later one settles it."""
    settles, unsure, value = isinstance(node.op, ast.Or), False, UNKNOWN
    for part in node.values:
        value = evaluate(m, part, scope)
        known = truth(value)
        if known is None:
            unsure = True
        elif known is settles:
            return value if not unsure else (settles if isinstance(value, bool) else UNKNOWN)
    return UNKNOWN if unsure else value


# The linter runs a file once more for a condition that guards what is found, with the condition
# assumed (`m.assumed`, keyed by its text; see `lint.py`). Without an assumption both values are
# computed and joined: what they agree on is known.
def _conditional(m: Machine, node: ast.IfExp, scope: NameScope) -> Value:
    known = truth(evaluate(m, node.test, scope))
    if known is None:
        known = m.assumed.get(ast.unparse(node.test)[:200])
    if known is None:
        one, other = evaluate(m, node.body, scope), evaluate(m, node.orelse, scope)
        return _either(m, node, one, other)
    return evaluate(m, node.body if known else node.orelse, scope)


def _either(m: Machine, node: ast.IfExp, one: Value, other: Value) -> Value:
    """One of two values: the same one, a module, or a size that has a spelling."""
    return join_values(m, [one, other], ast.unparse(node)[:200])


def _assign_named(m: Machine, node: ast.NamedExpr, scope: NameScope) -> Value:
    value = evaluate(m, node.value, scope)
    assign(m, node.target, value, scope)
    return value


# `a < b < c` is true if all parts are, false as soon as one is: one known False settles it even
# behind an unknown part.
def _comparison(m: Machine, node: ast.Compare, scope: NameScope) -> Value:
    left = evaluate(m, node.left, scope)
    unsure = False
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = evaluate(m, right_node, scope)
        _notice_substring(m, node, op, left, right)
        known = compare_values(type(op), left, right)
        if known is UNKNOWN:
            unsure = True
        elif not known:
            return False
        left = right
    return UNKNOWN if unsure else True


def _notice_substring(m: Machine, node: ast.Compare, op: ast.cmpop, a: Value, b: Value) -> None:
    """LA503: `"l1" in name` is also true of l10, where name is a parameter's."""
    if not (isinstance(op, ast.In) and isinstance(a, str) and isinstance(b, str)):
        return
    text, name = LAYER_TEXT.match(a), PARAMETER.match(b)
    if text and name:
        m.sites.append(Site("LA503", m.place(node), (a, b)))


def _attribute(m: Machine, node: ast.Attribute, scope: NameScope) -> Value:
    return get_attribute(m, evaluate(m, node.value, scope), node.attr, node)


def _subscript(m: Machine, node: ast.Subscript, scope: NameScope) -> Value:
    owner = evaluate(m, node.value, scope)
    return get_item(m, owner, evaluate_index(m, node.slice, scope), node)


def evaluate_index(m: Machine, node: ast.expr, scope: NameScope) -> Value:
    """What stands between the brackets; slices as `slice`."""
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return slice(*(None if end is None else evaluate(m, end, scope) for end in ends))
    if isinstance(node, ast.Tuple):
        return tuple(evaluate_index(m, part, scope) for part in node.elts)
    if isinstance(node, ast.Constant) and node.value is ...:
        return ...
    return evaluate(m, node, scope)


# The order is Python's: the function, then the arguments, then the keywords. `super` and `locals`
# look at the scope of the call and not at values, so they are answered here. Arguments behind an
# unpacked unknown have no known position, and are dropped: the parameters that they would fill
# become symbols.
def _call(m: Machine, node: ast.Call, scope: NameScope) -> Value:
    function = evaluate(m, node.func, scope)
    args = list(_elements(m, node.args, scope))
    keywords: dict[str, Value] = {}
    for keyword in node.keywords:
        value = evaluate(m, keyword.value, scope)
        if keyword.arg:
            keywords[keyword.arg] = value
        elif isinstance(value, dict):
            keywords.update({k: v for k, v in value.items() if isinstance(k, str)})
    if function == Dotted("builtins.super"):
        return _super(args, scope)
    if function == Dotted("builtins.locals") or (function == Dotted("builtins.vars") and not args):
        return scope.names
    if OPEN_END in args:
        args = args[: args.index(OPEN_END)]
    return m.call(function, args, keywords, node)


def _super(args: list[Value], scope: NameScope) -> Value:
    at: NameScope | None = scope
    while at is not None and at.owner is None:
        at = at.outer
    me = args[1] if len(args) > 1 else (at.me if at else None)
    after = args[0] if args else (at.owner if at else None)
    return Super(me, after) if isinstance(me, Instance) and isinstance(after, Class) else UNKNOWN


# Defaults are evaluated where the lambda is written, as in Python: `lambda n=name: ...` in a loop
# keeps the name of its round, which is how initialisers are made in loops.
def _lambda(m: Machine, node: ast.Lambda, scope: NameScope) -> Value:
    function = Function(node, scope, m.path)
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args]
    pairs = zip(named[len(named) - len(arguments.defaults) :], arguments.defaults, strict=True)
    function.defaults = {a.arg: evaluate(m, default, scope) for a, default in pairs}
    return function


def _comprehension(
    m: Machine, node: ast.ListComp | ast.SetComp | ast.GeneratorExp, scope: NameScope
) -> Value:
    inner = new_scope(m, scope)
    try:
        found = list(_each(m, node.generators, inner, lambda: evaluate(m, node.elt, inner)))
    except _OpenLoop:
        return UNKNOWN
    return new_items(m, found)


def _dict_comprehension(m: Machine, node: ast.DictComp, scope: NameScope) -> Value:
    inner = new_scope(m, scope)

    def pair() -> Value:
        return evaluate(m, node.key, inner), evaluate(m, node.value, inner)

    try:
        found = list(_each(m, node.generators, inner, pair))
    except _OpenLoop:
        return UNKNOWN
    if not all(isinstance(key, str | int | float) for key, _ in found):
        return UNKNOWN
    return new_table(m, dict(found))


# A comprehension makes its list in one go, and a list of unknown length is no list: where anything
# about the loop is unknown, the exception ends all its levels at once and the whole is unknown.
class _OpenLoop(Exception):
    """A comprehension over something unknown, or under an unknown condition."""


def _each(
    m: Machine, generators: list[ast.comprehension], scope: NameScope, make: Callable[[], Value]
) -> Iterator[Value]:
    if not generators:
        yield make()
        return
    first, *others = generators
    items = list_items(m, evaluate(m, first.iter, scope))
    if items is None:
        raise _OpenLoop
    for item in items:
        assign(m, first.target, item, scope)
        kept = [truth(evaluate(m, test, scope)) for test in first.ifs]
        if None in kept:
            raise _OpenLoop
        if all(kept):
            yield from _each(m, others, scope, make)


# A generator is walked to its end at once, and its values collected: initialisers use generators
# for lists of parameters, and none that anyone writes depends on being stopped between two values.
def _yield(m: Machine, node: ast.Yield, scope: NameScope) -> Value:
    value = evaluate(m, node.value, scope) if node.value else None
    scope.yields = [*(scope.yields or []), value][:LONGEST_LIST]
    return UNKNOWN


def _yield_from(m: Machine, node: ast.YieldFrom, scope: NameScope) -> Value:
    items = list_items(m, evaluate(m, node.value, scope))
    scope.yields = [*(scope.yields or []), *([OPEN_END] if items is None else items)][:LONGEST_LIST]
    return UNKNOWN


def _await(m: Machine, node: ast.Await, scope: NameScope) -> Value:
    return evaluate(m, node.value, scope)


# The one place that decides whether a loop can be unrolled. None means that it cannot: the number
# of rounds is unknown, or beyond LONGEST_LIST, which bounds what a loop over a tensor of a million
# elements may cost.
def list_items(m: Machine, value: Value) -> list[Value] | None:
    """What iterating over a value gives; None where that is unknown, or too much."""
    if isinstance(value, Instance):
        return _items_of_module(m, value)
    if isinstance(value, PhantomTensor):
        if value.shape and value.shape[0] <= LONGEST_LIST:
            return [get_item(m, value, n, None) for n in range(value.shape[0])]
        return None
    if isinstance(value, Dotted | Super):
        return None
    if isinstance(value, list | tuple | dict | str | set | range):
        if len(value) > LONGEST_LIST:
            return None
        items = list(value)
        return None if items and items[-1] is OPEN_END else items
    return None


def _items_of_module(m: Machine, module: Instance) -> list[Value] | None:
    if module.kind in ("torch.nn.ModuleDict", "torch.nn.ParameterDict"):
        return list(module.attrs)
    if module.kind in ("torch.nn.ModuleList", "torch.nn.Sequential", "torch.nn.ParameterList"):
        return list(module.attrs.values())
    made = get_attribute(m, module, "__iter__", None) if module.cls else None
    if made is not None and getattr(made, "what", "") != "__iter__":
        return list_items(m, m.call(made, [], {}, ast.Pass(lineno=1, col_offset=0)))
    return None


# ---- assignment


def assign(m: Machine, target: ast.expr, value: Value, scope: NameScope) -> None:
    """Bind a value to a target."""
    if isinstance(target, ast.Name):
        at = scope.shared.get(target.id, scope)
        put(m, at.names, target.id, value)
    elif isinstance(target, ast.Tuple | ast.List):
        _unpack(m, target.elts, value, scope)
    elif isinstance(target, ast.Starred):
        assign(m, target.value, value, scope)
    elif isinstance(target, ast.Attribute):
        set_attribute(m, evaluate(m, target.value, scope), target.attr, value, target)
    elif isinstance(target, ast.Subscript):
        owner = evaluate(m, target.value, scope)
        set_item(m, owner, evaluate_index(m, target.slice, scope), value, target)


# Python raises where the numbers differ, and so does the run, if both are known: an exception of
# the program is caught by the program's own `except`, or ends the entry point. If the values are
# not known each target is.
def _unpack(m: Machine, targets: list[ast.expr], value: Value, scope: NameScope) -> None:
    items = list_items(m, value)
    stars = [n for n, target in enumerate(targets) if isinstance(target, ast.Starred)]
    if items is not None and stars and len(items) >= len(targets) - 1:
        at, more = stars[0], len(items) - len(targets) + 1
        middle = new_items(m, items[at : at + more])
        items = [*items[:at], middle, *items[at + more :]]
    if items is None or len(items) != len(targets):
        if items is not None and not stars:
            raise Raised("ValueError")
        items = [UNKNOWN] * len(targets)
    for target, item in zip(targets, items, strict=True):
        assign(m, target, item, scope)


EXPRESSIONS: dict[type[ast.expr], Callable[..., Value]] = {
    ast.Constant: _constant,
    ast.Name: _name,
    ast.List: _items,
    ast.Set: _items,
    ast.Tuple: _tuple,
    ast.Dict: _table,
    ast.JoinedStr: _text,
    ast.BinOp: _binary,
    ast.UnaryOp: _unary,
    ast.BoolOp: _boolean,
    ast.IfExp: _conditional,
    ast.NamedExpr: _assign_named,
    ast.Compare: _comparison,
    ast.Attribute: _attribute,
    ast.Subscript: _subscript,
    ast.Call: _call,
    ast.Lambda: _lambda,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _dict_comprehension,
    ast.Yield: _yield,
    ast.YieldFrom: _yield_from,
    ast.Await: _await,
}
