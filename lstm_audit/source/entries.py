"""Where a file is entered, and the recurrences that its code leaves behind.

Comes in: a syntax tree. Goes out: `Left`, the modules that some entry point holds at its end.
Promise: the module's body runs first, then the functions that nobody called, then the classes of
which nobody made an instance; an entry point whose budget ran out is not judged.
"""

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from .attributes import is_recurrence
from .calls import invoke, make_instance
from .interpreter import new_machine
from .machine import (
    ALL_STEPS,
    BreakLoop,
    ContinueLoop,
    Machine,
    Raised,
    ReturnFrom,
    StopRun,
    new_scope,
    put,
)
from .tensors import PhantomTensor
from .values import Class, Dotted, Function, Instance, NameScope, SourcePlace, Value, find_attribute

# Recurrences of one file.
MOST_KEPT = 500

# Methods that a trainer calls on a module before it trains.
HOOKS = ("configure_model", "setup", "on_fit_start", "on_train_start", "build")


class HeldRecurrence(NamedTuple):
    """A recurrence, the name by which its owner knows it, and the entry that left it."""

    name: str
    module: Instance
    helper: str = ""


class Left(NamedTuple):
    """What a run of one file leaves: recurrences, the machine, and the entries it gave up."""

    held: tuple[HeldRecurrence, ...]
    machine: Machine
    unfinished: tuple[tuple[SourcePlace, str], ...]


# A file is entered at every door that nothing in it opens, from the most telling to the least: its
# own statements with the main guard, functions that nobody calls, classes of which no instance was
# left, and, where all of that made no recurrence, its functions as helpers that are handed an LSTM.
# What one entry leaves is kept only if no earlier one left it.
def run_file(
    tree: ast.Module,
    path: str,
    assumed: Mapping[str, bool] | None = None,
    prepare: Callable[[Machine], None] | None = None,
    steps: int = ALL_STEPS,
) -> Left:
    """Run a file from all of its entry points; `prepare` plugs in what the machine may import."""
    m = new_machine(assumed)
    m.path, m.left = path, steps
    if prepare is not None:
        prepare(m)
    scope = new_scope(m, None)
    m.scopes[path] = scope
    body, guarded = split_guard(tree.body)
    run = _Run(m, scope)
    put(m, scope.names, "__name__", "__main__")
    run.attempt(lambda: m.run(body, scope), lambda: scope.names, scope.names)
    if guarded:
        run.attempt(lambda: m.run(guarded, scope), lambda: scope.names, guarded[0])
    for function in _functions(scope):
        if not function.calls:
            run.enter_function(function)
    for cls in list(m.classes):
        if cls not in run.kept and cls.path == path:
            run.enter_class(cls)
    if not run.held:
        for function in _functions(scope):
            if not isinstance(function.node, ast.Lambda):
                run.enter_helper(function)
    return Left(tuple(run.held), m, tuple(run.unfinished))


def split_guard(body: Sequence[ast.stmt]) -> tuple[list[ast.stmt], list[ast.stmt]]:
    """The statements of a module, and those under `if __name__ == "__main__"`."""
    plain: list[ast.stmt] = []
    guarded: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.If) and "__name__" in ast.unparse(node.test):
            guarded += node.body
        else:
            plain.append(node)
    return plain, guarded


def _functions(scope: NameScope) -> list[Function]:
    return [v for v in list(scope.names.values()) if isinstance(v, Function)]


# Entries share one machine, so that a class that was changed by one is changed for the next, as in
# one process. Each has its own budget, and one that is cut off keeps nothing: half a run is no
# evidence.
class _Run:
    """The entries of one file, as they are tried one after the other."""

    def __init__(self, m: Machine, scope: NameScope) -> None:
        self.m = m
        self.scope = scope
        self.held: list[HeldRecurrence] = []
        self.unfinished: list[tuple[SourcePlace, str]] = []
        self.seen: set[int] = set()
        self.kept: set[Class] = set()  # classes of which an instance is among what was left

    def attempt(
        self, entry: Callable[[], Value], left: Callable[[], Mapping[str, Value]], node: object
    ) -> Value:
        """Run one entry and keep what it leaves, unless it was cut off."""
        m = self.m
        m.start()
        m.grad, m.grad_known = True, True
        m.last_scope = None
        m.returns.clear()
        made = {cls: cls.made for cls in m.classes}
        try:
            value = entry()
        except (StopRun, RecursionError):
            self._forget(made, node)
            return None
        except (ReturnFrom, BreakLoop, ContinueLoop, Raised):
            value = None
        finally:
            m.journal.clear()
        self.keep(left())
        return value

    def _forget(self, made: Mapping[Class, int], node: object) -> None:
        """What a run that was cut off has made is judged from an entry of its own."""
        for cls, count in made.items():
            cls.made = count
        self.give_up(node, "it takes too many steps, or calls itself too often")

    def give_up(self, node: object, reason: str) -> None:
        """Note an entry that is not judged."""
        self.unfinished.append((SourcePlace(self.m.path, getattr(node, "lineno", 1), 1), reason))

    def keep(self, values: Mapping[str, Value], helper: str = "") -> None:
        """Keep the recurrences that can be reached from these names."""
        for name, module in reachable(values, self.kept):
            if id(module) not in self.seen and len(self.held) < MOST_KEPT:
                self.seen.add(id(module))
                self.held.append(HeldRecurrence(name, module, helper))

    def enter_function(self, function: Function) -> None:
        """A function that nobody calls, its parameters open."""
        m = self.m
        results: list[Value] = []
        self.attempt(
            lambda: results.append(invoke(m, function, [], {})),
            lambda: _left_by(m, function, results),
            function.node,
        )

    def enter_class(self, cls: Class) -> None:
        """An instance made with its defaults, and then what a trainer would call on it."""
        m = self.m
        results: list[Value] = []

        def enter() -> None:
            results.append(make_instance(m, cls, [], {}, cls.node))
            self.call_hooks(results[0])

        before = len(self.unfinished), len(m.made)
        self.attempt(enter, lambda: {cls.name: results[0] if results else None}, cls.node)
        raised = not results and len(self.unfinished) == before[0]
        if raised and any(map(is_recurrence, m.made[before[1] :])):
            self.give_up(cls.node, "its constructor raises, as far as it can be followed")

    def call_hooks(self, instance: Value) -> None:
        """The methods of a Lightning module that build it."""
        cls = instance.cls if isinstance(instance, Instance) else None
        for name in HOOKS:
            found = find_attribute(cls, name) if cls else None
            if isinstance(found, Function) and not found.calls:
                invoke(self.m, found, [instance], {})

    def enter_helper(self, function: Function) -> None:
        """A file that makes no recurrence: what the function does to any LSTM that it is given."""
        m = self.m
        arguments = function.node.args
        named = [*arguments.posonlyargs, *arguments.args]
        if not named:
            return
        lstm: list[Value] = []

        def enter() -> None:
            sizes = [m.symbol("input_size"), m.symbol("hidden_size")]
            lstm.append(m.call(Dotted("torch.nn.LSTM"), sizes, {}, function.node))
            m.grad_known = False
            invoke(m, function, lstm[:1], {})

        self.attempt(enter, dict, function.node)
        if lstm and not self.unfinished:
            self.held.append(HeldRecurrence(function.name, lstm[0], helper=function.name))


# People return the model, or keep it in a name and go on training: what is returned counts if a
# recurrence can be reached from it, else what stood in the function's names at its end.
def _left_by(m: Machine, function: Function, results: list[Value]) -> Mapping[str, Value]:
    """What a function returns; where it returns nothing, what its names hold at its end."""
    if results and results[0] is not None and list(reachable({"": results[0]})):
        return {function.name: results[0]}
    scope = m.last_scope
    return dict(scope.names) if scope is not None else {}


def reachable(
    values: Mapping[str, Value], classes: set[Class] | None = None
) -> Iterable[tuple[str, Instance]]:
    """The recurrences in values, containers and modules, each with a dotted name; `classes` takes
    those of every object on the way.
    """
    seen: set[int] = set()
    todo = [(name, value, True) for name, value in reversed(list(values.items()))]
    while todo and len(seen) < 20_000:
        name, value, is_root = todo.pop()
        if id(value) in seen or isinstance(value, Dotted | PhantomTensor | str):
            continue
        seen.add(id(value))
        if isinstance(value, Instance):
            if classes is not None and value.cls is not None:
                classes.add(value.cls)
            name = value.title if is_root and value.cls else name
            if is_recurrence(value):
                yield name, value
        todo += [(f"{name}.{key}", item, False) for key, item in reversed(_parts(value))]


def _parts(value: Value) -> Sequence[tuple[object, Value]]:
    if isinstance(value, Instance):
        return [] if value.kind == "module" else list(value.attrs.items())
    if isinstance(value, dict):
        return list(value.items())[:1000]
    if isinstance(value, list | tuple):
        return list(enumerate(value))[:1000]
    return []
