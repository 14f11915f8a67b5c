"""Subscripts of phantom values.

Comes in: a value and an index. Goes out: the item, a view of a tensor, or the change. Promise: a
slice whose ends the source leaves open is followed only where it fits the tensor's own open size;
any other open index makes the view vague, never wrong.
"""

import ast
import re

from .attributes import get_attribute, spell_symbol
from .machine import (
    OPEN_END,
    Machine,
    Raised,
    new_items,
    new_tensor,
    put,
    refuse_on_leaf,
    replace_list,
    write_value,
)
from .operators import LONGEST_LIST
from .tensors import LONG, Index, PhantomTensor, numbers_in, read_runs
from .values import UNKNOWN, Class, Dotted, Instance, Symbol, Value, find_attribute, is_open

CONTAINERS = ("torch.nn.ModuleList", "torch.nn.Sequential", "torch.nn.ParameterList")
MAPPINGS = ("torch.nn.ModuleDict", "torch.nn.ParameterDict")


# Slices share memory and lists of positions copy, as in torch: `bias[[0, 1]].fill_(1)` changes a
# copy that is thrown away, and the run must not see the bias changed.
def get_item(m: Machine, owner: Value, index: Value, node: ast.AST | None) -> Value:
    """`owner[index]`."""
    if isinstance(owner, PhantomTensor):
        shown = view_at(owner, index)
        # An index of positions copies; a slice shares the memory.
        return new_tensor(m, read_runs(shown), shown.shape) if _copies(index) else shown
    if isinstance(owner, Instance):
        return _of_module(m, owner, index, node)
    if isinstance(owner, Dotted | Class):
        return owner if not isinstance(index, str) else spell_symbol(m, node)
    if owner is UNKNOWN or is_open(owner):
        return spell_symbol(m, node)
    if isinstance(owner, dict):
        return _of_table(owner, index)
    if isinstance(owner, re.Match) and isinstance(index, int | str):
        return _of_match(owner, index)
    if isinstance(owner, list | tuple | str | range):
        return _of_sequence(m, owner, index)
    return UNKNOWN


def _copies(index: Value) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(part, PhantomTensor | list | range) for part in parts)


def _of_table(owner: dict[Value, Value], index: Value) -> Value:
    if not isinstance(index, str | int | float | tuple | None | Class | Dotted):
        return UNKNOWN
    if is_open(index):
        return UNKNOWN
    if index in owner:
        return owner[index]
    raise Raised("KeyError")


def _of_match(owner: "re.Match[str]", index: int | str) -> Value:
    try:
        return owner[index]
    except IndexError:
        raise Raised("IndexError") from None


# A symbol is a number that the source leaves open, so an index by it is known only if every number
# in reach would give the same; in practice where it fits at all, its imaginary value is one of
# those that the loop runs over.
def _of_sequence(m: Machine, owner: Value, index: Value) -> Value:
    if isinstance(owner, list) and owner and owner[-1] is OPEN_END:
        return UNKNOWN
    if isinstance(index, slice):
        ends = (index.start, index.stop, index.step)
        if not all(end is None or (isinstance(end, int) and not is_open(end)) for end in ends):
            return UNKNOWN
        if index.step == 0:
            raise Raised("ValueError")
        part = owner[index]
        return new_items(m, part) if isinstance(part, list) else part
    if not isinstance(index, int) or (isinstance(index, Symbol) and not _small(index, owner)):
        return UNKNOWN
    if -len(owner) <= index < len(owner):
        return owner[index]
    raise Raised("IndexError")


def _small(index: int, owner: Value) -> bool:
    return -len(owner) <= index < len(owner)


def _of_module(m: Machine, owner: Instance, index: Value, node: ast.AST | None) -> Value:
    if owner.cls and find_attribute(owner.cls, "__getitem__") is not UNKNOWN:
        method = get_attribute(m, owner, "__getitem__", None)
        return m.call(method, [index], {}, node or ast.Pass(lineno=1, col_offset=0))
    if owner.kind in MAPPINGS:
        return owner.attrs.get(index, UNKNOWN) if isinstance(index, str) else UNKNOWN
    if owner.kind in CONTAINERS:
        items = list(owner.attrs.values())
        return _of_sequence(m, items, index)
    return spell_symbol(m, node)


# Views are tuples of positions in one storage. The last axis of a vector is by far the usual case,
# and keeps its positions as a range: a slice of 4H of a weight of a million elements then costs
# nothing.
def view_at(tensor: PhantomTensor, index: Value) -> PhantomTensor:
    """The view that an index shows."""
    parts = list(index) if isinstance(index, tuple) and not isinstance(index, Dotted) else [index]
    if ... in parts:
        parts = _without_ellipsis(parts, len(tensor.shape))
    if len(parts) > len(tensor.shape) or any(part is None for part in parts):
        return tensor.blur()
    if len(parts) == 1:
        return _first_axis(tensor, parts[0])
    return _axes(tensor, parts)


def _without_ellipsis(parts: list[Value], axes: int) -> list[Value]:
    at = parts.index(...)
    more = max(axes - len(parts) + 1, 0)
    return [*parts[:at], *[slice(None)] * more, *parts[at + 1 :]]


def _first_axis(tensor: PhantomTensor, index: Value) -> PhantomTensor:
    size, rest = tensor.shape[0], tensor.shape[1:]
    row = len(tensor.index) // size if size else 0
    rows = pick_rows(size, index)
    if rows is None:
        return tensor.blur()
    shape = rest if isinstance(index, int) else (_length(rows, size, index), *rest)
    if isinstance(rows, range) and rows.step == 1:
        start = rows.start * row
        return tensor.view(tensor.index[start : start + len(rows) * row], shape)
    if len(rows) * row > LONG:
        return tensor.blur()
    index_of = tuple(tensor.index[r * row + k] for r in rows for k in range(row))
    return tensor.view(index_of, shape)


def _length(rows: Index, size: int, index: Value) -> int:
    """How many rows, open where an end of the slice or the size is."""
    ends = (index.start, index.stop) if isinstance(index, slice) else ()
    is_symbolic = isinstance(size, Symbol) or any(is_open(end) for end in ends)
    return Symbol(len(rows)) if is_symbolic else len(rows)


def _axes(tensor: PhantomTensor, parts: list[Value]) -> PhantomTensor:
    """Several axes, cell by cell."""
    if len(tensor.index) > LONG:
        return tensor.blur()
    picks = [pick_rows(size, part) for size, part in zip(tensor.shape, parts, strict=False)]
    if any(pick is None for pick in picks):
        return tensor.blur()
    rest = tensor.shape[len(parts) :]
    positions = [0]
    for size, pick in zip(tensor.shape, picks, strict=False):
        positions = [at * size + row for at in positions for row in pick or ()]
    for size in rest:
        positions = [at * size + k for at in positions for k in range(size)]
    kept = [
        len(pick or ())
        for pick, part in zip(picks, parts, strict=True)
        if not isinstance(part, int)
    ]
    return tensor.view(tuple(tensor.index[at] for at in positions), (*kept, *rest))


# An index tensor of zeros and ones as long as the axis may be a mask or a list of positions; torch
# knows by its dtype, which is not followed here, and so neither is assumed.
def pick_rows(size: int, index: Value) -> Index | None:
    """The rows of one axis that an index names; None where that is not known."""
    if isinstance(index, slice):
        return _pick_slice(size, index)
    if isinstance(index, bool) or index is None:
        return None
    if isinstance(index, int):
        if is_open(index) and not is_open(size):
            return None
        if not -size <= index < size:
            raise Raised("IndexError")
        return range(size)[index : index + 1 or None] if index < 0 else range(index, index + 1)
    if isinstance(index, float) and not is_open(index):
        raise Raised("TypeError")
    numbers = numbers_in(index) if isinstance(index, PhantomTensor) else index
    if not isinstance(numbers, list | range) or len(numbers) > LONG:
        return None
    if not all(isinstance(n, int | float) and -size <= n < size for n in numbers):
        return None
    if (
        isinstance(index, PhantomTensor)
        and len(numbers) == size
        and set(numbers) <= {0.0, 1.0}
        and size > 2
    ):
        return None  # perhaps a mask
    return tuple(int(n) % size for n in numbers)


def _pick_slice(size: int, index: slice) -> Index | None:
    ends = (index.start, index.stop, index.step)
    if any(isinstance(end, float) for end in ends):
        raise Raised("TypeError")
    if not all(end is None or isinstance(end, int) for end in ends):
        return None
    if not _fits_size(size, index):
        return None
    if index.step is not None and index.step <= 0:
        raise Raised("ValueError")
    return range(int(size))[index]


# Open sizes have imaginary values divisible by 8, and a twelfth of them is the finest part that
# people cut gates by (4 gates, thirds of GRUs). An end that is no such part was not computed from
# the size, and then the slice would be a coincidence of the imaginary value.
def _fits_size(size: int, index: slice) -> bool:
    """Open ends must be plain parts of an open size, and a known size has known ends."""
    ends = [end for end in (index.start, index.stop) if end not in (None, 0)]
    if not any(is_open(end) for end in ends) and not is_open(size):
        return True
    if not (is_open(size) and all(is_open(end) for end in ends)):
        return not ends
    return all(12 * end % size == 0 for end in ends)


# ---- setting


def set_item(m: Machine, owner: Value, index: Value, value: Value, node: ast.AST) -> None:
    """`owner[index] = value`."""
    if isinstance(owner, PhantomTensor):
        refuse_on_leaf(m, owner, node)
        write_value(m, view_at(owner, index), value, m.place(node))
    elif isinstance(owner, dict):
        if isinstance(index, str | int | float | tuple | None) and not is_open(index):
            put(m, owner, index, value)
    elif isinstance(owner, list):
        _set_in_list(m, owner, index, value)
    elif isinstance(owner, Instance):
        _set_in_module(m, owner, index, value, node)


def _set_in_list(m: Machine, owner: list[Value], index: Value, value: Value) -> None:
    if isinstance(index, int) and not is_open(index) and -len(owner) <= index < len(owner):
        changed = list(owner)
        changed[index] = value
        replace_list(m, owner, changed)
    elif len(owner) < LONGEST_LIST:
        replace_list(m, owner, [OPEN_END])


def _set_in_module(m: Machine, owner: Instance, index: Value, value: Value, node: ast.AST) -> None:
    if owner.cls and find_attribute(owner.cls, "__setitem__") is not UNKNOWN:
        m.call(get_attribute(m, owner, "__setitem__", None), [index, value], {}, node)
    elif isinstance(index, str | int):
        put(m, owner.attrs, str(index), value)
