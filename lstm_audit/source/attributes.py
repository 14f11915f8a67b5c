"""Attributes of phantom values.

Comes in: a value and a name. Goes out: the attribute, or the change. Promise: what a module of
torch has by its class is found as torch finds it; a name that a recurrence lacks raises, as in
torch, unless the source leaves open how many layers and directions there are.
"""

import ast
import math
import re
from collections.abc import Callable

from .imports import canonical
from .machine import Machine, Raised, new_items, new_tensor, notice_wipe, put, write_value
from .tensors import PhantomTensor, WrittenRun
from .values import (
    UNKNOWN,
    Class,
    Dotted,
    Fields,
    Function,
    Instance,
    Method,
    Super,
    Value,
    ancestry,
    find_attribute,
    is_open,
)

RECURRENT = ("LSTM", "LSTMCell", "GRU", "GRUCell", "RNN", "RNNCell")
WEIGHT = re.compile(r"(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?\Z")
CONSTANTS = {
    "math.pi": math.pi,
    "math.e": math.e,
    "math.inf": math.inf,
    "numpy.pi": math.pi,
    "torch.pi": math.pi,
}


def is_recurrence(value: Value) -> bool:
    """Whether a value is an nn.LSTM, nn.GRU or nn.RNN, a cell of one, or a subclass's instance."""
    return isinstance(value, Instance) and value.kind.rpartition(".")[2] in RECURRENT


# Python's own order of look-ups is kept only as far as initialisers rely on it. What is not found
# becomes a `Method` and not an error: most attributes of libraries are methods that nobody here has
# a table of, and only calling one shows whether it matters.
def get_attribute(m: Machine, owner: Value, name: str, node: ast.AST | None) -> Value:
    """`owner.name`."""
    if isinstance(owner, Instance):
        return _of_instance(m, owner, name, node)
    if isinstance(owner, PhantomTensor):
        return _of_tensor(m, owner, name, node)
    if isinstance(owner, Dotted):
        return _of_library(m, owner, name, node)
    if isinstance(owner, Super):
        found = find_attribute(owner.me.cls, name, owner.after) if owner.me.cls else UNKNOWN
        return (
            bind(m, owner.me, found) if found is not UNKNOWN else Method(owner.me, "super." + name)
        )
    if isinstance(owner, Class):
        return _of_class(owner, name)
    if owner is UNKNOWN or is_open(owner):
        return spell_symbol(m, node)
    if isinstance(owner, Function) and name == "__name__":
        return owner.name
    return Method(owner, name)


# A configuration value that the source leaves open, `args.hidden`, gets one symbol for each
# spelling: two uses of the same spelling are the same number. That is what makes `bias[H : 2 * H]`
# line up with `nn.LSTM(x, H)` although H is unknown.
def spell_symbol(m: Machine, node: ast.AST | None) -> Value:
    """The symbol for an expression that the source leaves open."""
    if isinstance(node, ast.Attribute | ast.Subscript) and _is_short(node):
        return m.symbol(ast.unparse(node))
    return UNKNOWN


def _is_short(node: ast.AST) -> bool:
    """A name with attributes and plain subscripts: what people use for configuration."""
    parts = 0
    while isinstance(node, ast.Attribute | ast.Subscript):
        if isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant):
            return False
        node = node.value
        parts += 1
    return isinstance(node, ast.Name | ast.Call) and parts < 8


def _of_library(m: Machine, owner: Dotted, name: str, node: ast.AST | None) -> Value:
    if name == "__name__":
        return owner.last
    if owner.name.startswith("builtins.") and owner.last not in ("dict", "str", "list", "object"):
        return spell_symbol(m, node)
    full = f"{owner.name}.{name}"
    followed = m.imports(full)
    if followed is not UNKNOWN:
        return Instance(None, "module", followed, m.place(ast.Pass(lineno=1, col_offset=0)))
    full = canonical(full)
    return CONSTANTS.get(full, Dotted(full))


def _of_class(owner: Class, name: str) -> Value:
    if name == "__name__":
        return owner.name
    found = find_attribute(owner, name)
    if found is not UNKNOWN:
        if isinstance(found, Function) and "classmethod" in found.wrappers_last():
            return Method(owner, found)
        return found
    library = _library_bases(owner)
    return Dotted(f"{library[0].name}.{name}") if library else UNKNOWN


def _library_bases(owner: Class) -> list[Dotted]:

    return [base for base in ancestry(owner) if isinstance(base, Dotted)]


# A property of the class wins over the instance's own attribute (it is a data descriptor), other
# class attributes lose to it. A parameter that this recurrence does not have raises, as in torch:
# `hasattr(lstm, "bias_ih_l1")` and try/except around it are how people count layers.
def _of_instance(m: Machine, owner: Instance, name: str, node: ast.AST | None) -> Value:
    found = find_attribute(owner.cls, name) if owner.cls else UNKNOWN
    if isinstance(found, Function) and found.is_property():
        return m.call(found, [owner], {}, node or ast.Pass(lineno=1, col_offset=0))
    if name in owner.attrs:
        return owner.attrs[name]
    if found is not UNKNOWN:
        return bind(m, owner, found)
    if name in SPECIAL:
        return SPECIAL[name](m, owner)
    if is_recurrence(owner) and WEIGHT.match(name):
        return _missing_weight(m, owner, name)
    if owner.kind == "module":
        return UNKNOWN
    if not owner.kind and owner.cls is None:
        return spell_symbol(m, node)
    return Method(owner, name)


def _missing_weight(m: Machine, owner: Instance, name: str) -> Value:
    """A parameter that this recurrence lacks, unless it is open what it has."""
    reverse = name.endswith("_reverse")
    if (reverse and owner.directions_open) or owner.layers_open:
        return UNKNOWN
    raise Raised("AttributeError")


def bind(m: Machine, owner: Instance, found: Value) -> Value:
    """A class's attribute, as an instance shows it."""
    if not isinstance(found, Function):
        return found
    wrappers = found.wrappers_last()
    if "staticmethod" in wrappers:
        return found
    return Method(owner.cls if "classmethod" in wrappers else owner, found)


def own_parameters(owner: Instance) -> dict[str, PhantomTensor]:
    """A module's parameters without its children's."""
    return {n: v for n, v in owner.attrs.items() if isinstance(v, PhantomTensor) and v.parameter}


def own_modules(owner: Instance) -> dict[str, Instance]:
    """A module's children."""
    return {
        n: v
        for n, v in owner.attrs.items()
        if isinstance(v, Instance) and v.kind not in ("", "module")
    }


def _all_weights(m: Machine, owner: Instance) -> Value:
    names = owner.attrs.get("_all_weights")
    if not isinstance(names, list):
        return UNKNOWN
    rows = [new_items(m, [owner.attrs.get(n, UNKNOWN) for n in row]) for row in names]
    return new_items(m, rows)


def _flat_weights(m: Machine, owner: Instance) -> Value:
    return new_items(m, [v for row in _all_weights(m, owner) for v in row])


SPECIAL: dict[str, Callable[[Machine, Instance], Value]] = {
    "_parameters": lambda m, owner: own_parameters(owner),
    "_modules": lambda m, owner: own_modules(owner),
    "__dict__": lambda m, owner: owner.attrs,
    "__class__": lambda m, owner: owner.cls or Dotted(owner.kind),
    "all_weights": _all_weights,
    "_flat_weights": _flat_weights,
    "_flat_weights_names": lambda m, owner: new_items(
        m, [n for row in owner.attrs.get("_all_weights", []) for n in row]
    ),
    "__doc__": lambda m, owner: UNKNOWN,
    "hparams": lambda m, owner: Instance(None, "", Fields(), owner.place),
}


# `.data` is a view of the same cells that is no leaf: writing through it is allowed without
# no_grad, which is the difference between code that works and code that torch refuses (LA504).
def _of_tensor(m: Machine, owner: PhantomTensor, name: str, node: ast.AST | None) -> Value:
    if name == "data":
        shown = owner.view(owner.index, owner.shape)
        shown.leaf = False
        return shown
    if name in ("T", "mT", "H"):
        return owner if len(owner.shape) < 2 else owner.blur()
    if name == "shape":
        return owner.shape
    if name == "ndim":
        return len(owner.shape)
    if name == "requires_grad":
        return owner.leaf
    if name in ("grad", "grad_fn"):
        return None
    if name in ("device", "dtype", "is_cuda", "layout", "is_leaf", "_version"):
        return UNKNOWN
    return Method(owner, name)


# ---- setting


def set_attribute(m: Machine, owner: Value, name: str, value: Value, node: ast.AST) -> None:
    """`owner.name = value`."""
    if isinstance(owner, PhantomTensor):
        _set_of_tensor(m, owner, name, value, node)
    elif isinstance(owner, Instance):
        _set_of_instance(m, owner, name, value, node)
    elif isinstance(owner, Class):
        put(m, owner.attrs, name, value)
    elif isinstance(owner, Super):
        _set_of_instance(m, owner.me, name, value, node)


def _set_of_tensor(
    m: Machine, owner: PhantomTensor, name: str, value: Value, node: ast.AST
) -> None:
    if name == "data":
        write_value(m, owner, value, m.place(node))
    elif name == "requires_grad":
        owner.leaf = value is not False


# Assigning to the name of a parameter is the one assignment that may undo an initialisation, so it
# has a function of its own; everything else is a plain attribute.
def _set_of_instance(m: Machine, owner: Instance, name: str, value: Value, node: ast.AST) -> None:
    found = find_attribute(owner.cls, f"{name}.setter") if owner.cls else UNKNOWN
    if isinstance(found, Function):
        m.call(found, [owner, value], {}, node)
        return
    old = owner.attrs.get(name)
    if isinstance(old, PhantomTensor) and old.parameter:
        _replace_parameter(m, owner, name, old, value, node)
    else:
        put(m, owner.attrs, name, value)


# The new Parameter takes over the role of the old one (which gate's bias of which layer it is),
# because whoever finds the mistake must still be told the name under which torch will save it.
def _replace_parameter(
    m: Machine, owner: Instance, name: str, old: PhantomTensor, value: Value, node: ast.AST
) -> None:
    """Another Parameter takes the place; a plain tensor is refused, as torch refuses it."""
    if isinstance(value, PhantomTensor):
        if not value.parameter:
            raise Raised("TypeError")
        role = old.storage.role
        if role is not None:
            notice_wipe(m, role, old.storage.runs, value.storage.runs, m.place(node))
            value.storage.role = value.storage.role or role
        put(m, owner.attrs, name, value)
    elif value is None:
        put(m, owner.attrs, name, None)
    else:
        unknown = new_tensor(m, [WrittenRun(len(old), UNKNOWN, m.place(node))], old.shape)
        unknown.parameter = unknown.leaf = True
        put(m, owner.attrs, name, unknown)
