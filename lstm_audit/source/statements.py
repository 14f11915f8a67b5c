"""Statements on phantom values.

Comes in: statements and a scope. Goes out: changed values, and how the block may have left.
Promise: what stands behind an unknown condition, or behind a return that an unknown condition
guards, is called unknown unless every way through it agrees.
"""

import ast
import builtins
from collections.abc import Callable, Sequence
from functools import partial

from .branches import STAYS, run_maybe, truth
from .contexts import grad_mode_of, is_quiet
from .definitions import dataclass_fields, define_function
from .expressions import assign, evaluate, list_items
from .imports import import_from, import_names
from .machine import (
    BreakLoop,
    ContinueLoop,
    Machine,
    Raised,
    ReturnFrom,
    blur,
    delete_key,
    new_fields,
    put,
    refuse_on_leaf,
    replace_list,
    write_value,
)
from .operators import operate
from .tensors import PhantomStorage, PhantomTensor
from .values import UNKNOWN, Class, Instance, NameScope, Value

# Rounds of a while loop.
ROUNDS = 300

# Rounds of a for loop that write into no bias, after which the others are any number.
SETTLED = 64

LEAVES_LOOP = frozenset({"break", "continue"})


# The possible return. If statement n may have left the block, statements n+1 onward are run as a
# branch beside "nothing more happens": what they write is believed only where it changes nothing.
def run_block(m: Machine, body: Sequence[ast.stmt], scope: NameScope) -> frozenset[str]:
    """Run statements in order; what follows a statement that may have left may not run."""
    for n, statement in enumerate(body):
        left = run_statement(m, statement, scope)
        if left:
            rest = partial(run_block, m, body[n + 1 :], scope)
            return left | run_maybe(m, [rest, lambda: STAYS])
    return STAYS


def run_statement(m: Machine, node: ast.stmt, scope: NameScope) -> frozenset[str]:
    """Run one statement; answers how it may have left the block."""
    m.tick()
    run = STATEMENTS.get(type(node))
    return run(m, node, scope) if run else STAYS


def _expression(m: Machine, node: ast.Expr, scope: NameScope) -> frozenset[str]:
    evaluate(m, node.value, scope)
    return STAYS


def _assign(m: Machine, node: ast.Assign, scope: NameScope) -> frozenset[str]:
    value = evaluate(m, node.value, scope)
    for target in node.targets:
        assign(m, target, value, scope)
    return STAYS


def _assign_typed(m: Machine, node: ast.AnnAssign, scope: NameScope) -> frozenset[str]:
    if node.value:
        assign(m, node.target, evaluate(m, node.value, scope), scope)
    return STAYS


def _assign_operated(m: Machine, node: ast.AugAssign, scope: NameScope) -> frozenset[str]:
    """`x += y` writes into a tensor or a list in place."""
    old, by = evaluate(m, node.target, scope), evaluate(m, node.value, scope)
    new = operate(m, type(node.op), old, by)
    if isinstance(old, PhantomTensor):
        refuse_on_leaf(m, old, node)
        if isinstance(node.target, ast.Subscript):
            assign(m, node.target, new, scope)
        else:
            write_value(m, old, new, m.place(node))
    elif isinstance(old, list) and isinstance(new, list):
        replace_list(m, old, new)
    else:
        assign(m, node.target, new, scope)
    return STAYS


# `gates` collects plain conditions on configuration that a bias hangs on, like `if
# cfg.forget_bias:`. They are not decided here; the caller runs the entry point again with each of
# them assumed, so that both settings of a switch are judged and not only the part they have in
# common.
def _if(m: Machine, node: ast.If, scope: NameScope) -> frozenset[str]:
    chosen = decide_condition(m, node.test, scope)
    if chosen is None:
        mark = len(m.journal)
        bodies = [partial(run_block, m, body, scope) for body in (node.body, node.orelse)]
        left = run_maybe(m, bodies)
        _notice_gate(m, node.test, mark, bool(left))
        return left
    return run_block(m, node.body if chosen else node.orelse, scope)


def decide_condition(m: Machine, test: ast.expr, scope: NameScope) -> bool | None:
    """Whether a condition holds, by the run or by what is assumed of it."""
    chosen = truth(evaluate(m, test, scope))
    if chosen is None:
        spelling = ast.unparse(test)[:200]
        return m.assumed.get(spelling)
    return chosen


def _notice_gate(m: Machine, test: ast.expr, mark: int, leaves: bool) -> None:
    """Note a plain condition on configuration that a bias hangs on."""
    if (leaves or _writes_biases(m, mark)) and _is_plain(test):
        m.gates.setdefault(ast.unparse(test)[:200], 1)


def _is_plain(test: ast.expr) -> bool:
    """A name or attribute, perhaps negated, or compared with a constant; nothing that is called."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return _is_plain(test.operand)
    if isinstance(test, ast.Compare):
        sides = test.comparators
        return len(sides) == 1 and isinstance(sides[0], ast.Constant) and _is_plain(test.left)
    if isinstance(test, ast.BoolOp):
        return all(map(_is_plain, test.values))
    while isinstance(test, ast.Attribute):
        test = test.value
    return isinstance(test, ast.Name)


# Known iterables are unrolled, because initialisers loop over names and layers. A loop that has not
# touched a bias in SETTLED rounds is a training loop or the like: the rest of its rounds is run as
# one round on something unknown.
def _for(m: Machine, node: ast.For | ast.AsyncFor, scope: NameScope) -> frozenset[str]:
    items = list_items(m, evaluate(m, node.iter, scope))
    if items is None:
        return _for_unknown(m, node, scope)
    mark = len(m.journal)
    for n, item in enumerate(items):
        if n and n % SETTLED == 0:
            if not _writes_biases(m, mark):
                return _for_unknown(m, node, scope)  # more rounds of a training: any number
            mark = len(m.journal)
        left = STAYS
        try:
            assign(m, node.target, item, scope)
            left = run_block(m, node.body, scope)
        except ContinueLoop:
            pass
        except BreakLoop:
            return STAYS
        if left - {"continue"}:
            rest = partial(_for_rest, m, node, items[n + 1 :], scope)
            return (left | run_maybe(m, [rest, lambda: STAYS])) - LEAVES_LOOP
    return run_block(m, node.orelse, scope)


def _writes_biases(m: Machine, mark: int) -> bool:
    """Whether anything was written into a recurrence's bias since a mark of the journal."""
    storages = (e.container for e in m.journal[mark:] if isinstance(e.container, PhantomStorage))
    return any(storage.role is not None for storage in storages)


def _for_rest(
    m: Machine, node: ast.For | ast.AsyncFor, items: list[Value], scope: NameScope
) -> frozenset[str]:
    """The rounds behind one that may have left the loop."""
    left = STAYS
    for item in items:
        assign(m, node.target, item, scope)
        try:
            left |= run_block(m, node.body, scope)
        except ContinueLoop:
            continue
        except BreakLoop:
            break
    return left


def _for_unknown(m: Machine, node: ast.For | ast.AsyncFor, scope: NameScope) -> frozenset[str]:
    """A loop over nobody knows what: its body may run, on anything."""

    def once() -> frozenset[str]:
        assign(m, node.target, UNKNOWN, scope)
        return run_block(m, node.body, scope)

    return run_maybe(m, [once, lambda: STAYS]) - LEAVES_LOOP


# A while loop that does not end within ROUNDS may have done anything to what is in reach.
def _while(m: Machine, node: ast.While, scope: NameScope) -> frozenset[str]:
    for _ in range(ROUNDS):
        chosen = truth(evaluate(m, node.test, scope))
        if chosen is None:
            body = partial(run_block, m, node.body, scope)
            return run_maybe(m, [body, lambda: STAYS]) - LEAVES_LOOP
        if not chosen:
            return run_block(m, node.orelse, scope)
        try:
            left = run_block(m, node.body, scope)
        except ContinueLoop:
            continue
        except BreakLoop:
            return STAYS
        if left:
            return left - LEAVES_LOOP
    blur(m, scope.names.values(), m.place(node))
    return STAYS


def _with(m: Machine, node: ast.With | ast.AsyncWith, scope: NameScope) -> frozenset[str]:
    """Only the contexts that switch autograd off or on mean something here."""
    before = m.grad, m.grad_known
    for item in node.items:
        value = evaluate(m, item.context_expr, scope)
        mode = grad_mode_of(value)
        if mode is not None:
            m.grad, m.grad_known = mode, True
        elif not is_quiet(value):
            m.grad_known = False
        if item.optional_vars:
            entered = value if isinstance(value, Instance) else UNKNOWN
            assign(m, item.optional_vars, entered, scope)
    try:
        return run_block(m, node.body, scope)
    finally:
        m.grad, m.grad_known = before


# Linted code raises only where the run can tell for sure (an assert that fails, a write into a
# leaf). Then, and only then, is the handler run; a body without a known exception is taken to
# succeed.
def _try(m: Machine, node: ast.Try, scope: NameScope) -> frozenset[str]:
    """A handler runs where the body raises as far as the run can see, and then surely.

    A return, a break or a continue goes on after the finally block.
    """
    noted = len(m.sites)
    try:
        left = run_block(m, [*node.body, *node.orelse], scope)
    except Raised as error:
        handler = next((h for h in node.handlers if _catches(h, error)), None)
        if handler is None:
            run_block(m, node.finalbody, scope)
            raise
        del m.sites[noted:]  # what was refused is handled
        if handler.name:
            put(m, scope.names, handler.name, UNKNOWN)
        left = run_block(m, handler.body, scope)
    except (ReturnFrom, BreakLoop, ContinueLoop):
        run_block(m, node.finalbody, scope)
        raise
    return left | run_block(m, node.finalbody, scope)


def _catches(handler: ast.ExceptHandler, error: Raised) -> bool:
    if handler.type is None or not error.name:
        return True
    names = {ast.unparse(part).rpartition(".")[2] for part in _alternatives(handler.type)}
    kind = getattr(builtins, error.name, None)
    bases = kind.__mro__ if isinstance(kind, type) else ()
    return bool(names & {error.name, "Exception", "BaseException", *(b.__name__ for b in bases)})


def _alternatives(node: ast.expr) -> list[ast.expr]:
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def _return(m: Machine, node: ast.Return, scope: NameScope) -> frozenset[str]:
    raise ReturnFrom(evaluate(m, node.value, scope) if node.value else None)


def _raise(m: Machine, node: ast.Raise, scope: NameScope) -> frozenset[str]:
    named = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    raise Raised(ast.unparse(named).rpartition(".")[2] if named else "")


def _continue(m: Machine, node: ast.Continue, scope: NameScope) -> frozenset[str]:
    raise ContinueLoop


def _break(m: Machine, node: ast.Break, scope: NameScope) -> frozenset[str]:
    raise BreakLoop


def _assert(m: Machine, node: ast.Assert, scope: NameScope) -> frozenset[str]:
    if truth(evaluate(m, node.test, scope)) is False:
        raise Raised("AssertionError")
    return STAYS


def _delete(m: Machine, node: ast.Delete, scope: NameScope) -> frozenset[str]:
    for target in node.targets:
        if isinstance(target, ast.Name):
            delete_key(m, scope.names, target.id)
        elif isinstance(target, ast.Attribute):
            owner = evaluate(m, target.value, scope)
            if isinstance(owner, Instance):
                delete_key(m, owner.attrs, target.attr)
        elif isinstance(target, ast.Subscript):
            owner = evaluate(m, target.value, scope)
            if isinstance(owner, dict):
                key = evaluate(m, target.slice, scope)
                delete_key(m, owner, key) if isinstance(key, str | int) else None
    return STAYS


def _class(m: Machine, node: ast.ClassDef, scope: NameScope) -> frozenset[str]:
    bases = [evaluate(m, base, scope) for base in node.bases]
    made = Class(node.name, node, bases, new_fields(m))
    made.path = m.path
    inner = NameScope(scope, made.attrs, made)
    run_block(m, node.body, inner)
    names = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any("dataclass" in name or name.endswith("attrs") for name in names):
        made.attrs["$fields"] = dataclass_fields(made)
    m.classes.append(made)
    put(m, scope.names, node.name, made)
    return STAYS


def _match(m: Machine, node: ast.Match, scope: NameScope) -> frozenset[str]:
    subject = evaluate(m, node.subject, scope)
    possible = []
    for case in node.cases:
        hit = _fits(m, case.pattern, subject, scope)
        if hit and case.guard is not None:
            hit = truth(evaluate(m, case.guard, scope))
        if hit is None:
            possible.append(case)
        elif hit:
            if not possible:
                return run_block(m, case.body, scope)
            possible.append(case)
            break
    branches: list[Callable[[], frozenset[str]]] = [
        partial(run_block, m, case.body, scope) for case in possible
    ]
    return run_maybe(m, [*branches, lambda: STAYS]) if possible else STAYS


def _fits(m: Machine, pattern: ast.pattern, subject: Value, scope: NameScope) -> bool | None:
    match pattern:
        case ast.MatchAs(pattern=None):
            if pattern.name:
                put(m, scope.names, pattern.name, subject)
            return True
        case ast.MatchValue():
            value = evaluate(m, pattern.value, scope)
            plain = str | int | float
            if (
                isinstance(value, plain)
                and isinstance(subject, plain)
                and truth(subject) is not None
            ):
                return bool(value == subject)
            return None
        case ast.MatchOr():
            hits = [_fits(m, part, subject, scope) for part in pattern.patterns]
            return True if True in hits else None if None in hits else False
        case ast.MatchSingleton() if subject is not UNKNOWN:
            return subject is pattern.value
    return None


def _global(m: Machine, node: ast.Global, scope: NameScope) -> frozenset[str]:
    scope.shared.update(dict.fromkeys(node.names, scope.globals))
    return STAYS


def _nonlocal(m: Machine, node: ast.Nonlocal, scope: NameScope) -> frozenset[str]:
    for name in node.names:
        outer = scope.outer
        while outer is not None and name not in outer.names:
            outer = outer.outer
        scope.shared[name] = outer or scope
    return STAYS


STATEMENTS: dict[type[ast.stmt], Callable[..., frozenset[str]]] = {
    ast.Expr: _expression,
    ast.Assign: _assign,
    ast.AnnAssign: _assign_typed,
    ast.AugAssign: _assign_operated,
    ast.If: _if,
    ast.For: _for,
    ast.AsyncFor: _for,
    ast.While: _while,
    ast.With: _with,
    ast.AsyncWith: _with,
    ast.Try: _try,
    ast.Return: _return,
    ast.Raise: _raise,
    ast.Continue: _continue,
    ast.Break: _break,
    ast.Assert: _assert,
    ast.Delete: _delete,
    ast.FunctionDef: define_function,
    ast.AsyncFunctionDef: define_function,
    ast.ClassDef: _class,
    ast.Import: import_names,
    ast.ImportFrom: import_from,
    ast.Match: _match,
    ast.Global: _global,
    ast.Nonlocal: _nonlocal,
}
