"""Both ways of an unknown condition: each is run and taken back, and what they agree on stays.

Comes in: a machine and what either branch does. Goes out: the state in which both ways agree, and
how each left. Promise: a value that the two ways leave different is unknown.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .machine import (
    MISSING,
    OPEN_END,
    BreakLoop,
    ContinueLoop,
    Machine,
    OldValue,
    Raised,
    ReturnFrom,
    put,
    replace_list,
    set_runs,
)
from .tensors import PhantomStorage, PhantomTensor, join_runs
from .values import UNKNOWN, Class, Dotted, Function, Instance, Open, Value, is_open

# Runs a part of the program; answers how it may have left: return, break, continue.
Branch = Callable[[], frozenset[str]]

STAYS: frozenset[str] = frozenset()


class BranchResult(NamedTuple):
    """What one branch has changed, how it may have left, and whether it ended in an exception."""

    changes: dict[tuple[int, Value], tuple[Any, Value, Value]]
    left: frozenset[str]
    failed: bool


# A branch that raises is dropped: programs under lint are supposed to work, so the state after an
# `if` is that of the branches that end. Only if all of them raise does the exception go on.
def run_maybe(m: Machine, branches: Sequence[Branch]) -> frozenset[str]:
    """Run every branch from the same state; what they do not agree on is unknown afterwards.

    A branch that raises is one that a working program does not take. Answers how the branches may
    have left.
    """
    m.tick(20)  # what a branch costs beside its own statements
    m.unsure += 1
    outcomes = [run_branch(m, branch) for branch in branches]
    m.unsure -= 1
    taken = [outcome for outcome in outcomes if not outcome.failed]
    if not taken:
        raise Raised
    _join_outcomes(m, taken)
    return frozenset().union(*(outcome.left for outcome in taken))


# The journal from the mark on is at once the list of what changed and the way to undo it. It is
# walked from the end, so that for a key which was written twice the value that is noted is the
# last, and the one that is restored the first.
def run_branch(m: Machine, branch: Branch) -> BranchResult:
    """Run a branch, note what it has changed, and take all of it back."""
    mark, born, depth = len(m.journal), m.serial, m.depth
    left, failed = STAYS, False
    try:
        left = branch()
    except ReturnFrom as end:
        if m.returns:
            m.returns[-1].append(end.value)
        left = frozenset({"return"})
    except BreakLoop:
        left = frozenset({"break"})
    except ContinueLoop:
        left = frozenset({"continue"})
    except Raised:
        failed = True
    m.depth = depth
    changes = {}
    for entry in reversed(m.journal[mark:]):
        container, key = entry.container, entry.key
        if container.born > born if hasattr(container, "born") else False:
            continue  # made within the branch: nothing outside knows it in another state
        if (id(container), _hashable(key)) not in changes:
            changes[id(container), _hashable(key)] = container, key, _current(container, key)
        _restore(entry)
    del m.journal[mark:]
    return BranchResult(changes, left, failed)


def _hashable(key: Value) -> Value:
    return key if isinstance(key, str | int | float | None) else repr(key)


def _current(container: Any, key: Value) -> Value:
    if isinstance(container, PhantomStorage):
        return container.runs
    if key is None and isinstance(container, list):
        return list(container)
    return container.get(key, MISSING)


def _restore(entry: OldValue) -> None:
    container, key, old = entry
    if isinstance(container, PhantomStorage):
        container.runs = old
    elif key is None and isinstance(container, list):
        container[:] = old
    elif old is MISSING:
        container.pop(key, None)
    else:
        container[key] = old


# A slot that only some branches wrote has, in the others, the value from before: all versions are
# put side by side, and tensors are joined run by run, so that one differing gate makes that gate
# unknown and not the whole bias.
def _join_outcomes(m: Machine, outcomes: Sequence[BranchResult]) -> None:
    slots = {}
    for outcome in outcomes:
        for at, (container, key, _) in outcome.changes.items():
            slots[at] = container, key
    for at, (container, key) in slots.items():
        before = _current(container, key)
        versions = [
            outcome.changes[at][2] if at in outcome.changes else before for outcome in outcomes
        ]
        if isinstance(container, PhantomStorage):
            set_runs(m, container, join_runs(versions))
        elif key is None and isinstance(container, list):
            replace_list(m, container, _join_items(versions))
        else:
            put(m, container, key, join_values(m, versions, str(key)))


def _join_items(versions: Sequence[list[Value]]) -> list[Value]:
    """Lists of modules: the longest; of anything else it is not known how they go on."""
    longest = max(versions, key=len)
    if all(same(version, longest) for version in versions):
        return longest
    if all(isinstance(item, Instance | Function | Class) for item in longest):
        return longest
    return [OPEN_END]


# The order is by what a linter loses least with: an agreed value; a module (an `if` that picks LSTM
# or GRU should still be judged as the LSTM); a function; then numbers become a symbol, so that
# slices by it still mean something; everything else is unknown.
def join_values(m: Machine, versions: Sequence[Value], spelling: str) -> Value:
    """The value that all agree on; a module where some branch made one; else unknown."""
    given = [version for version in versions if version is not MISSING]
    if len(given) == len(versions) and all(same(version, given[0]) for version in given):
        return given[0]
    modules = [v for v in given if isinstance(v, Instance)]
    if modules:
        return max(modules, key=lambda v: v.kind in ("torch.nn.LSTM", "torch.nn.LSTMCell"))
    kept = [v for v in given if isinstance(v, Function | Class | Dotted)]
    if kept:
        return kept[0] if len(given) == len(kept) == 1 else UNKNOWN
    if given and all(isinstance(v, int) and not isinstance(v, bool) for v in given):
        return m.symbol(spelling)
    return UNKNOWN


def same(a: Value, b: Value) -> bool:
    """Whether two values are one, or equal constants of one type."""
    if a is b:
        return True
    plain = bool | int | float | str | bytes | range | Dotted
    if isinstance(a, plain) and type(a) is type(b):
        return bool(a == b) and not isinstance(a, Open)
    if isinstance(a, list | tuple) and type(a) is type(b) and len(a) == len(b) < 1000:
        return all(same(x, y) for x, y in zip(a, b, strict=True))
    return a is None and b is None


def truth(value: Value) -> bool | None:
    """Whether a value counts as true; None where that is unknown."""
    if value is UNKNOWN or is_open(value) or isinstance(value, PhantomTensor | Dotted):
        return None
    if isinstance(value, list) and value and value[-1] is OPEN_END:
        return None
    if isinstance(value, bool | int | float | str | bytes | list | tuple | dict | set | range):
        return bool(value)
    return value is not None
