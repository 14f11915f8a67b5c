"""The values that a phantom run computes with.

Comes in: nothing. Goes out: the types. Promise: a Python value stands for itself, and whatever the
source leaves open is a `Symbol`, an `Open` or `UNKNOWN`, never a guess that could be printed.
"""

import ast
from typing import Any, NamedTuple

# A Python number, text, list, dict and so on, or one of the types below.
Value = Any

# The keyword arguments of a call.
Keywords = dict[str, Value]


class Unknown:
    """The one value of which nothing is known."""

    def __repr__(self) -> str:
        return "?"


UNKNOWN = Unknown()


class Symbol(int):
    """A number that the source leaves open, with one imaginary value for one spelling.

    It may size and slice, so that the H of a slice is the H of the constructor. Compared with a
    number or written into a tensor it is unknown.
    """


class Open(float):
    """A number computed from symbols: a bound of a distribution may be one, a constant may not."""


class SourcePlace(NamedTuple):
    """Where in the source something was written; `order` counts the writes of a run."""

    path: str
    line: int
    column: int
    order: int = 0


class Dotted(NamedTuple):
    """An object of a library by its canonical name: `torch.nn.LSTM`."""

    name: str

    @property
    def root(self) -> str:
        """The library."""
        return self.name.partition(".")[0]

    @property
    def last(self) -> str:
        """The name without its module."""
        return self.name.rpartition(".")[2]


class Fields(dict[str, Value]):
    """Names and values of a scope, a class or an instance; `born` is the serial of its making."""

    born = 0


class Items(list[Value]):
    """A list that the run has made; `born` as in `Fields`."""

    born = 0


class MadeDict(dict[Value, Value]):
    """A dict that the run has made; `born` as in `Fields`."""

    born = 0


class NameScope:
    """The names of a module, a function or a class body, and the scope around it."""

    __slots__ = ("globals", "me", "names", "outer", "owner", "shared", "yields")

    def __init__(
        self, outer: "NameScope | None", names: Fields, owner: "Class | None" = None
    ) -> None:
        self.outer = outer
        self.names = names
        self.owner = owner
        self.globals: NameScope = outer.globals if outer else self
        self.shared: dict[
            str, NameScope
        ] = {}  # names declared global or nonlocal, and whose they are
        self.yields: list[Value] | None = None
        self.me: Value = None


class Class:
    """A class of the source."""

    def __init__(self, name: str, node: ast.ClassDef, bases: list[Value], attrs: Fields) -> None:
        self.name = name
        self.node = node
        self.bases = bases
        self.attrs = attrs
        self.made = 0
        self.path = ""


class Function:
    """A function or lambda of the source, and the scope that it closes over."""

    def __init__(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, scope: NameScope, path: str
    ) -> None:
        self.node = node
        self.scope = scope
        self.path = path
        self.owner: Class | None = None
        self.wrappers: list[str] = []
        self.defaults: dict[str, Value] = {}
        self.calls = 0

    @property
    def name(self) -> str:
        """Its name; `<lambda>` for a lambda."""
        return "<lambda>" if isinstance(self.node, ast.Lambda) else self.node.name

    def wrappers_last(self) -> list[str]:
        """The names of its decorators without their modules and arguments."""
        return [name.partition("(")[0].rpartition(".")[2] for name in self.wrappers]

    def is_property(self) -> bool:
        """Whether an instance shows its value instead of it."""
        return any(name in ("property", "cached_property") for name in self.wrappers_last())


class Method(NamedTuple):
    """A function of the source, or the name of a native one, bound to a value."""

    me: Value
    what: Function | str


class Partial(NamedTuple):
    """functools.partial."""

    function: Value
    args: list[Value]
    keywords: dict[str, Value]


class Super(NamedTuple):
    """super(): the instance, and the class behind which a name is looked up."""

    me: "Instance"
    after: Class


class Instance:
    """An object: of a class of the source, of a torch module, or a plain namespace.

    `kind` is the canonical name of the library class that it is or inherits from, "" for none.
    """

    def __init__(self, cls: Class | None, kind: str, attrs: Fields, place: SourcePlace) -> None:
        self.cls = cls
        self.kind = kind
        self.attrs = attrs
        self.place = place
        self.layers_open = False
        self.directions_open = False
        self.size_open = False

    @property
    def title(self) -> str:
        """The name of its class."""
        return self.cls.name if self.cls else self.kind.rpartition(".")[2]


def is_number(value: Value) -> bool:
    """Whether it is an int or a float, open ones included, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_open(value: Value) -> bool:
    """Whether it is a number that the source leaves open."""
    return isinstance(value, Symbol | Open)


def is_known_number(value: Value) -> bool:
    """Whether it is a number that the source says."""
    return is_number(value) and not is_open(value)


def ancestry(cls: Class, depth: int = 0) -> list[Value]:
    """The class and its bases, those of the source first to last, library names among them.

    Depth first, a base that several share once and at its last place: Python's order wherever the
    source is legal.
    """
    if depth > 30:
        return [cls]
    line: list[Value] = [cls]
    for base in cls.bases:
        line += ancestry(base, depth + 1) if isinstance(base, Class) else [base]
    return [one for n, one in enumerate(line[:200]) if one not in line[n + 1 : 200]]


def find_attribute(cls: Class, name: str, after: Class | None = None) -> Value:
    """What the class or a base of the source defines under a name; `UNKNOWN` where none does."""
    line = ancestry(cls)
    if after is not None and after in line:
        line = line[line.index(after) + 1 :]
    for one in line:
        if isinstance(one, Class) and name in one.attrs:
            return one.attrs[name]
    return UNKNOWN
