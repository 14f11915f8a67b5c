"""The state of a phantom run: its budget, its journal, its symbols.

Comes in: a limit of steps. Goes out: a `Machine`, through which every change goes. Promise: any
change can be taken back, so that what an unknown condition guards can be run and then be called
unknown; a run ends after a bounded number of steps, calls and cells.
"""

import ast
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .cells import Draw
from .tensors import (
    PhantomStorage,
    PhantomTensor,
    Role,
    WrittenRun,
    is_contiguous,
    make_tensor,
    overwrite_runs,
    read_runs,
    stretch,
)
from .values import (
    UNKNOWN,
    Class,
    Dotted,
    Fields,
    Instance,
    Items,
    MadeDict,
    NameScope,
    SourcePlace,
    Symbol,
    Unknown,
    Value,
    is_known_number,
)

# Steps of one entry point: about a third of a second.
STEPS = 30_000

# Steps of a whole file: under a second.
ALL_STEPS = 80_000

# Calls within calls.
DEPTH = 40

# A forget bias below this is none that somebody set.
LEAST_SET = 0.25

MISSING = object()
# The last item of a list of which it is not known how it goes on.
OPEN_END = object()


class StopRun(Exception):
    """The budget is used up: nothing of this entry point is judged."""


class ReturnFrom(Exception):
    """A return statement."""

    def __init__(self, value: Value) -> None:
        super().__init__()
        self.value = value


class BreakLoop(Exception):
    """A break statement."""


class ContinueLoop(Exception):
    """A continue statement."""


class Raised(Exception):
    """An exception of the program, named as far as it is known."""

    def __init__(self, name: str = "") -> None:
        super().__init__(name)
        self.name = name


class Site(NamedTuple):
    """A rule of source that spoke during the run: its code, the place, and the numbers it needs."""

    code: str
    place: SourcePlace
    facts: tuple[Value, ...] = ()


class OldValue(NamedTuple):
    """What a change has replaced: a key of a mapping, or (key None) all of a list or storage."""

    container: Any
    key: Value
    old: Value


# Strategy. The linter runs a program that it must not run. Every value is a phantom: numbers that
# the source states are themselves, sizes that it leaves open are symbols, tensors are runs of cells
# with the place of the write that made them. Control flow is followed where conditions are known.
#
# Where a condition is *not* known, both branches are run, each from the same state, and what they
# disagree on becomes unknown. That needs a state that can be put back, so every change to a
# mapping, list or storage goes through the functions below, which note in the journal what was
# there before. Putting back is then a walk over the journal's end, in reverse.
#
# The three kinds of leaving early (return, break, continue) are Python exceptions while they are
# certain, and a set of words where they are only possible: what stands behind a possible return may
# not run, so it is itself a branch.
class Machine:
    """One phantom run. `assumed` are conditions taken as settled, by their spelling."""

    def __init__(self, assumed: Mapping[str, bool] | None = None) -> None:
        self.assumed = assumed or {}
        self.gates: dict[str, int] = {}  # conditions that guard a bias, by spelling
        self.steps = 0
        self.left = ALL_STEPS
        self.depth = 0
        self.serial = 0
        self.order = 0
        self.journal: list[OldValue] = []
        self.symbols: dict[str, Symbol] = {}
        self.grad = True
        self.grad_known = True
        self.unsure = 0
        self.sites: list[Site] = []
        self.scopes: dict[str, NameScope] = {}
        self.path = ""
        self.returns: list[list[Value]] = []
        self.classes: list[Class] = []
        self.imports: Callable[[str], Value] = lambda name: UNKNOWN
        self.made: list[Instance] = []
        self.last_scope: NameScope | None = None
        self.call: Callable[[Value, list[Value], dict[str, Value], ast.AST], Value]
        self.run: Callable[[Sequence[ast.stmt], NameScope], frozenset[str]]

    def start(self) -> None:
        """Begin an entry point: it has a budget of its own, within the file's."""
        self.left -= self.steps
        self.steps, self.depth, self.unsure = 0, 0, 0

    def tick(self, cost: int = 1) -> None:
        """Count a step, or work that takes as long as so many."""
        self.steps += cost
        if self.steps > STEPS or self.steps > self.left:
            raise StopRun

    def number(self) -> int:
        """The next serial: of a draw, a storage, a scope."""
        self.serial += 1
        return self.serial

    def place(self, node: ast.AST) -> SourcePlace:
        """Where a node stands, as the place of the next write."""
        self.order += 1
        line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0)
        return SourcePlace(self.path, line, column + 1, self.order)

    def symbol(self, spelling: str) -> Symbol:
        """The one imaginary number for this spelling."""
        if spelling not in self.symbols:
            self.symbols[spelling] = Symbol(_imagine(spelling, len(self.symbols)))
        return self.symbols[spelling]

    def report(self, code: str, place: SourcePlace, *facts: Value) -> None:
        """Note what a rule of source saw, unless the condition that it stands under is unknown."""
        if not self.unsure:
            self.sites.append(Site(code, place, facts))


def new_scope(m: Machine, outer: NameScope | None, owner: Class | None = None) -> NameScope:
    """A scope that belongs to the run."""
    return NameScope(outer, new_fields(m), owner)


# Every symbol gets a number of its own (48, 56, 64, ...): slices by two open sizes must not be
# taken for slices by one. Divisible by 8, since programs halve and quarter their sizes.
def _imagine(spelling: str, count: int) -> int:
    """Two layers, so that a loop over them is one; sizes even, large enough to tell draws by."""
    words = spelling.lower().rpartition(".")[2]
    if "layer" in words or words in ("depth", "n_stack"):
        return 2
    return 48 + 8 * count


# Everything that the run makes is born with a serial. An object that was born inside a branch needs
# no rollback: nothing outside of the branch can know it.

# ---- making and changing values


def new_fields(m: Machine, names: Mapping[str, Value] | None = None) -> Fields:
    """A mapping of names that belongs to the run."""
    fields = Fields(names or {})
    fields.born = m.number()
    return fields


def new_items(m: Machine, values: Iterable[Value] = ()) -> Items:
    """A list that belongs to the run."""
    items = Items(values)
    items.born = m.number()
    return items


def new_table(m: Machine, values: Mapping[Value, Value] | None = None) -> MadeDict:
    """A dict that belongs to the run."""
    table = MadeDict(values or {})
    table.born = m.number()
    return table


def new_tensor(
    m: Machine, runs: Sequence[WrittenRun], shape: tuple[int, ...] | None = None
) -> PhantomTensor:
    """A tensor with a storage of its own."""
    return make_tensor(runs, m.number(), shape)


def put(m: Machine, mapping: Any, key: Value, value: Value) -> None:
    """Set a key."""
    m.journal.append(OldValue(mapping, key, mapping.get(key, MISSING)))
    mapping[key] = value


def delete_key(m: Machine, mapping: Any, key: Value) -> None:
    """Delete a key."""
    if key in mapping:
        m.journal.append(OldValue(mapping, key, mapping[key]))
        del mapping[key]


def replace_list(m: Machine, items: list[Value], values: Iterable[Value]) -> None:
    """Replace all of a list."""
    m.journal.append(OldValue(items, None, list(items)))
    items[:] = list(values)


def set_runs(m: Machine, storage: PhantomStorage, runs: list[WrittenRun]) -> None:
    """Replace all of a storage."""
    m.journal.append(OldValue(storage, None, storage.runs))
    storage.runs = runs


def write_cells(
    m: Machine, tensor: PhantomTensor, runs: Sequence[WrittenRun], place: SourcePlace
) -> None:
    """Write cells through a view."""
    if len(tensor):
        if tensor.vague:
            runs = [WrittenRun(1, UNKNOWN)]
        if not is_contiguous(tensor.index):
            m.tick(tensor.storage.size // 8)  # such a write goes cell by cell
        m.tick(3 + len(tensor.storage.runs) // 4)
        new = [run._replace(place=place) for run in stretch(runs, len(tensor))]
        before = tensor.storage.runs
        set_runs(m, tensor.storage, overwrite_runs(tensor, new))
        if tensor.storage.role is not None:
            notice_wipe(m, tensor.storage.role, before, tensor.storage.runs, place)


# Called for every write into a bias, before and after in hand: the wipe is a fact of one write, and
# cannot be seen any more in what the run leaves behind.
def notice_wipe(
    m: Machine,
    role: Role,
    before: Sequence[WrittenRun],
    after: Sequence[WrittenRun],
    place: SourcePlace,
) -> None:
    """LA501: a write took away a forget bias that was set by itself."""
    old, new = role.forget(before), role.forget(after)
    value = old[0].cell if len(old) == 1 else None
    if not isinstance(value, float) or value < LEAST_SET or old[0].place is None:
        return
    set_alone = any(run.cell != value for run in before)
    if set_alone and not any(is_set(run) for run in new):
        m.report("LA501", place, role, value, old[0].place.line, _describe(new))


def _describe(runs: Sequence[WrittenRun]) -> str:
    if all(run.cell == 0.0 for run in runs):
        return "zeros"
    return "draws" if all(isinstance(run.cell, Draw) for run in runs) else "other numbers"


def is_set(run: WrittenRun) -> bool:
    """Whether a forget gate holds something that was meant: a number, or a law of its own."""
    if isinstance(run.cell, float):
        return abs(run.cell) >= LEAST_SET
    return not isinstance(run.cell, Draw | Unknown)


def write_value(m: Machine, tensor: PhantomTensor, value: Value, place: SourcePlace) -> None:
    """Write a number or a tensor; what is open or unknown leaves unknown cells."""
    if isinstance(value, PhantomTensor):
        write_cells(m, tensor, read_runs(value), place)
    elif is_known_number(value) or isinstance(value, bool):
        write_cells(m, tensor, [WrittenRun(1, float(value))], place)
    else:
        write_cells(m, tensor, [WrittenRun(1, UNKNOWN)], place)


def refuse_on_leaf(m: Machine, tensor: PhantomTensor, node: ast.AST) -> None:
    """LA504: torch raises when a parameter that requires grad is written while autograd is on."""
    if tensor.leaf and m.grad:
        if not m.grad_known:
            return
        m.sites.append(Site("LA504", m.place(node)))
        raise Raised("RuntimeError")


# A foreign function that is given a module may do anything to it. Assuming that it does nothing
# would give confident wrong findings after `init_weights(model)` of a library; so all that it can
# reach is unknown from then on, and what is unknown is not judged.
def blur(m: Machine, values: Iterable[Value], place: SourcePlace) -> None:
    """A foreign call was given these: every tensor that it can reach is unknown from now on."""
    for tensor in reachable_tensors(values):
        write_cells(m, tensor, [WrittenRun(1, UNKNOWN)], place)


def reachable_tensors(values: Iterable[Value]) -> list[PhantomTensor]:
    """The tensors in values, containers and modules."""
    seen: set[int] = set()
    found: list[PhantomTensor] = []
    todo = list(values)
    while todo and len(seen) < 20_000:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, PhantomTensor):
            found.append(value)
        else:
            todo += list_contents(value)
    return found


def list_contents(value: Value) -> list[Value]:
    """What a container or an object holds."""
    if isinstance(value, Instance):
        return list(value.attrs.values())
    if isinstance(value, list | tuple):
        if isinstance(value, Dotted | SourcePlace):
            return []
        return list(value[:1000])
    if isinstance(value, dict):
        return list(value.values())[:1000]
    return []
