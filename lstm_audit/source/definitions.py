"""Definitions: functions, classes and their decorators as values of the program.

Comes in: a def or class statement and a scope. Goes out: the name, bound. Promise: a decorator that
may replace what it decorates makes it unknown.
"""

import ast

from .branches import STAYS
from .contexts import grad_mode_of
from .expressions import evaluate
from .machine import Machine, put
from .values import UNKNOWN, Class, Dotted, Function, NameScope, Value


def define_function(
    m: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: NameScope
) -> frozenset[str]:
    """A def statement: the function under its name, decorated."""
    function = make_function(m, node, scope)
    put(m, scope.names, node.name, decorate(m, function, node, scope))
    return STAYS


def make_function(
    m: Machine, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: NameScope
) -> Function:
    """The function, with its defaults evaluated where it is defined."""
    in_class = scope.owner is not None and scope.names is scope.owner.attrs
    outer = scope.outer if in_class and scope.outer else scope
    function = Function(node, outer, m.path)
    function.owner = scope.owner if in_class else None
    arguments = node.args
    named = [*arguments.posonlyargs, *arguments.args]
    pairs = list(
        zip(named[len(named) - len(arguments.defaults) :], arguments.defaults, strict=True)
    )
    pairs += [(a, d) for a, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d]
    function.defaults = {argument.arg: evaluate(m, default, scope) for argument, default in pairs}
    return function


def decorate(
    m: Machine, function: Function, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: NameScope
) -> Value:
    """Known decorators are noted; one of the source is applied; a foreign one is passed through."""
    value: Value = function
    for decorator in reversed(node.decorator_list):
        known = evaluate(m, decorator, scope)
        name = known.name if isinstance(known, Dotted) else ast.unparse(decorator)
        if isinstance(known, Function) and known.owner is None:
            value = m.call(known, [value], {}, decorator)
        else:
            function.wrappers.append(_wrapper_name(known, name))
    return value if value is not UNKNOWN else function


def _wrapper_name(value: Value, name: str) -> str:
    """A context made for `@torch.no_grad()` goes by what it does to autograd."""
    mode = grad_mode_of(value)
    return name if mode is None else "grad-on" if mode else "grad-off"


def dataclass_fields(made: Class) -> list[str]:
    """The names of a dataclass's fields, inherited ones first."""
    fields = [
        part.target.id
        for part in made.node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    ]
    inherited = [
        name
        for base in made.bases
        if isinstance(base, Class)
        for name in base.attrs.get("$fields", [])
    ]
    return list(dict.fromkeys([*inherited, *fields]))
