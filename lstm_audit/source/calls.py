"""Calls: of functions and classes of the source, of methods, and of libraries.

Comes in: a callable value and its arguments. Goes out: the result. Promise: a function of the
source is walked in a scope of its own; a foreign one may have written into whatever it was given.
"""

import ast

from .branches import join_values
from .expressions import evaluate
from .layers import make_module
from .machine import (
    DEPTH,
    Machine,
    ReturnFrom,
    StopRun,
    blur,
    new_fields,
    new_items,
    new_scope,
    new_table,
)
from .modules import call_native
from .plain_calls import call_plain
from .python_calls import call_builtin, is_standard
from .standard_calls import call_standard
from .tensor_methods import call_method
from .tensors import PhantomTensor
from .torch_calls import call_torch
from .values import (
    UNKNOWN,
    Class,
    Dotted,
    Function,
    Instance,
    Keywords,
    Method,
    NameScope,
    Partial,
    Value,
    ancestry,
    find_attribute,
)


# A call of something unknown may have written into every argument it was given, so that nothing is
# known of them afterwards (`blur`). That is the price of not importing: an unknown helper that
# really initialises must not be overlooked, and one that only prints costs a finding.
def call_value(
    m: Machine, function: Value, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """`function(*args, **keywords)`."""
    m.tick()
    match function:
        case Function():
            return invoke(m, function, args, keywords)
        case Class():
            return make_instance(m, function, args, keywords, node)
        case Method(me, what):
            return _call_bound(m, me, what, args, keywords, node)
        case Dotted():
            return _call_library(m, function, args, keywords, node)
        case Partial(inner, first, more):
            return call_value(m, inner, [*first, *args], {**more, **keywords}, node)
        case Instance():
            return _call_instance(m, function, args, keywords, node)
    blur(m, [*args, *keywords.values()], m.place(node))
    return UNKNOWN


def _call_bound(
    m: Machine,
    me: Value,
    what: Function | str,
    args: list[Value],
    keywords: Keywords,
    node: ast.AST,
) -> Value:
    if isinstance(what, Function):
        return invoke(m, what, [me, *args], keywords)
    if isinstance(me, Instance):
        return call_native(m, me, what.removeprefix("super."), args, keywords, node)
    if isinstance(me, PhantomTensor):
        return call_method(m, me, what, args, keywords, node)
    if isinstance(me, Function) and what in ("__get__", "__call__"):
        return invoke(m, me, args, keywords) if what == "__call__" else Method(args[0], me)
    return call_plain(m, me, what, args, keywords, node)


# Standard modules are told apart because their calls write into nothing that they are given; torch
# and numpy have tables of their own. Anything else is a library that may well be an initialiser.
def _call_library(
    m: Machine, function: Dotted, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    if function.root == "builtins":
        return call_builtin(m, function.last, args, keywords, node)
    if function.root in ("torch", "numpy"):
        return call_torch(m, function, args, keywords, node)
    if function.name.startswith(MODULE_ROOTS) and function.last[:1].isupper():
        return make_module(m, function.name, args, keywords, node)
    if is_standard(function):
        return call_standard(m, function, args, keywords, node)
    blur(m, [*args, *keywords.values()], m.place(node))
    return UNKNOWN


MODULE_ROOTS = ("pytorch_lightning.LightningModule", "lightning.LightningModule")


# `model(x)` runs a forward pass. It is not walked: it reads parameters and writes none, and walking
# it would spend the budget on code that has nothing to say about biases.
def _call_instance(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """A module's forward pass changes no parameter; another object is called by its __call__."""
    found = find_attribute(me.cls, "__call__") if me.cls else UNKNOWN
    if isinstance(found, Function):
        return invoke(m, found, [me, *args], keywords)
    return UNKNOWN


# ---- functions of the source


# Switching no_grad on for a call is undone at its end, as with the decorator itself. `returns` is a
# stack because calls nest: the returns that an unknown condition guards are collected for the
# innermost call alone.
def invoke(m: Machine, function: Function, args: list[Value], keywords: Keywords) -> Value:
    """Walk a function's body with its parameters bound."""
    if m.depth >= DEPTH:
        raise StopRun
    function.calls += 1
    scope = new_scope(m, function.scope, function.owner)
    bind_arguments(m, function, args, keywords, scope)
    before = m.path, m.grad, m.grad_known
    m.path, m.depth = function.path, m.depth + 1
    for wrapper in function.wrappers:
        if wrapper in ("grad-on", "grad-off"):
            m.grad, m.grad_known = wrapper == "grad-on", True
    m.returns.append([])
    try:
        return _walk(m, function, scope)
    finally:
        m.returns.pop()
        m.path, m.grad, m.grad_known = before
        m.depth -= 1
        m.last_scope = scope


# A function can end in three ways: a return that is certain (ReturnFrom), returns behind unknown
# conditions (collected on the way), and the end of its body. Its value is what all the ways that
# were possible agree on.
def _walk(m: Machine, function: Function, scope: NameScope) -> Value:
    value: Value = None
    if isinstance(function.node, ast.Lambda):
        return evaluate(m, function.node.body, scope)
    try:
        left = m.run(function.node.body, scope)
        fell_through = True
    except ReturnFrom as end:
        value, left, fell_through = end.value, frozenset(), False
    if scope.yields is not None:
        return new_items(m, scope.yields)
    early = m.returns[-1]
    if not early:
        return value
    return join_values(m, [*early, value] if not (fell_through and left) else early, function.name)


# A parameter without argument or default is an entry point's: `def __init__(self, hidden_size)` is
# run as it stands, with a symbol for `hidden_size`. So every class of a file can be judged, also
# one that nobody in the file constructs.
def bind_arguments(
    m: Machine, function: Function, args: list[Value], keywords: Keywords, scope: NameScope
) -> None:
    """Bind parameters to arguments, defaults, or symbols of their names."""
    arguments = function.node.args
    named = [a.arg for a in (*arguments.posonlyargs, *arguments.args)]
    scope.me = args[0] if args and function.owner else None
    given = dict(zip(named, args, strict=False))
    only = [a.arg for a in arguments.kwonlyargs]
    for name in (*named, *only):
        if name in given:
            scope.names[name] = given[name]
        elif name in keywords:
            scope.names[name] = keywords[name]
        elif name in function.defaults:
            scope.names[name] = function.defaults[name]
        else:
            scope.names[name] = open_parameter(m, function, name)
    if arguments.vararg:
        scope.names[arguments.vararg.arg] = tuple(args[len(named) :])
    if arguments.kwarg:
        more = {k: v for k, v in keywords.items() if k not in named and k not in only}
        scope.names[arguments.kwarg.arg] = new_table(m, more)


def open_parameter(m: Machine, function: Function, name: str) -> Value:
    """A parameter that nobody gives: a symbol, unless it is said to be no number."""
    arguments = function.node.args
    every = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    note = next((a.annotation for a in every if a.arg == name), None)
    if note is not None and ast.unparse(note) in ("bool", "str", "float", "Optional[bool]"):
        return UNKNOWN
    return m.symbol(name)


# ---- classes of the source


# An instance is listed (`made`) before its constructor runs: one that stops half-way, at a missing
# file or at the budget, has still made the layers that stand before.
def make_instance(
    m: Machine, cls: Class, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """`cls(...)`: its __init__, a recurrence's constructor that it inherits, or its fields."""
    cls.made += 1
    if m.depth >= DEPTH:
        raise StopRun
    instance = Instance(cls, library_kind(cls), new_fields(m), m.place(node))
    m.made.append(instance)
    init = find_attribute(cls, "__init__")
    if isinstance(init, Function):
        invoke(m, init, [instance, *args], keywords)
    elif instance.kind:
        call_native(m, instance, "__init__", args, keywords, node)
    else:
        _fill_fields(m, instance, args, keywords)
    return instance


# The first torch base that is not nn.Module itself decides: `class Encoder(Mixin, nn.LSTM)` is an
# LSTM. Trainers' own base classes count as nn.Module, since they add nothing to its parameters.
def library_kind(cls: Class) -> str:
    """The library class that decides what an instance is: a recurrence before a plain module."""
    names = [base.name for base in ancestry(cls) if isinstance(base, Dotted)]
    names = [name for name in names if name not in ("builtins.object", "abc.ABC")]
    torch = [name for name in names if name.startswith("torch.nn.")]
    modules = [name for name in names if name.endswith(("Module", "Model"))]
    for group in ([n for n in torch if n != "torch.nn.Module"], torch, modules, names):
        if group:
            return group[0] if group is not modules else "torch.nn.Module"
    return ""


def _fill_fields(m: Machine, instance: Instance, args: list[Value], keywords: Keywords) -> None:
    """A dataclass, or a class without a constructor."""
    assert instance.cls is not None
    fields = find_attribute(instance.cls, "$fields")
    names = fields if isinstance(fields, list) else []
    for name in names:
        if find_attribute(instance.cls, name) is UNKNOWN:
            instance.attrs[name] = m.symbol(f"{instance.cls.name}.{name}")
    instance.attrs.update(zip(names, args, strict=False))
    instance.attrs.update(keywords)
    after = find_attribute(instance.cls, "__post_init__")
    if isinstance(after, Function):
        invoke(m, after, [instance], {})
