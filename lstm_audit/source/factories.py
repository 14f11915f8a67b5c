"""torch's and numpy's functions that make tensors: of zeros, of draws, of given numbers, of parts.

Comes in: a function's name and arguments. Goes out: a phantom tensor. Promise: what shares memory
in torch shares it here; a shape that is not known gives nothing known.
"""

import ast
import math
from collections.abc import Callable

from .cells import CellValue
from .expressions import list_items
from .machine import Machine, new_tensor
from .tensor_writes import draw_runs, ramp_runs
from .tensors import PhantomTensor, WrittenRun, merge_neighbours, read_runs
from .values import UNKNOWN, Dotted, Keywords, Symbol, Value, is_known_number, is_number, is_open

LARGEST = 1 << 31


# A tensor as long as the largest LSTM may have millions of cells; as runs it is one to four values.
# Only the number of runs is bounded, by the steps of the machine.
def make_filled(
    m: Machine, function: Dotted, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """zeros, ones, full, rand and their like."""
    name = function.last.removesuffix("_like")
    shape, rest = _shape_of(m, function.last, args, keywords)
    if shape is None:
        return UNKNOWN
    length = math.prod(map(int, shape))
    if not 0 <= length <= LARGEST:
        return UNKNOWN
    runs = _fill_runs(m, name, length, rest, keywords)
    place = m.place(node)
    tensor = new_tensor(m, [run._replace(place=place) for run in runs], shape)
    tensor.leaf = keywords.get("requires_grad") is True
    return tensor


FACTORIES = frozenset(
    {
        "zeros", "ones", "full", "empty", "rand", "randn", "zeros_like", "ones_like", "full_like",
        "empty_like", "rand_like", "randn_like",
    }
)  # fmt: skip


def _shape_of(
    m: Machine, name: str, args: list[Value], keywords: Keywords
) -> tuple[tuple[int, ...] | None, list[Value]]:
    """The shape that a factory was asked for, and the arguments behind it."""
    if name.endswith("_like"):
        like = args[0] if args else UNKNOWN
        return (like.shape if isinstance(like, PhantomTensor) else None), args[1:]
    given = args or [keywords.get("size", UNKNOWN)]
    rest: list[Value] = []
    if name == "full" or isinstance(given[0], tuple | list):
        given, rest = given[:1], given[1:]
    sizes = list(given[0]) if isinstance(given[0], tuple | list) else given
    if not sizes or not all(isinstance(size, int) and size >= 0 for size in sizes):
        return None, rest
    return tuple(sizes), rest


def _fill_runs(
    m: Machine, name: str, length: int, rest: list[Value], keywords: Keywords
) -> list[WrittenRun]:
    match name:
        case "zeros" | "ones":
            return [WrittenRun(length, float(name == "ones"))]
        case "full":
            value = rest[0] if rest else keywords.get("fill_value", UNKNOWN)
            return [WrittenRun(length, float(value) if is_known_number(value) else UNKNOWN)]
        case "rand":
            return draw_runs(m, "uniform", 0.0, 1.0, length)
        case "randn":
            return draw_runs(m, "normal", 0.0, 1.0, length)
    return [WrittenRun(length, UNKNOWN)]


def _tensor(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """`torch.tensor([...])`: numbers, nested as they may be, copied."""
    value = args[0] if args else UNKNOWN
    if isinstance(value, PhantomTensor):
        return new_tensor(m, read_runs(value), value.shape)
    place = m.place(node)
    if isinstance(value, int | float):
        cell: CellValue = UNKNOWN
        if not is_open(value):
            cell = float(value)
        return new_tensor(m, [WrittenRun(1, cell, place)], ())
    items = list_items(m, value) if isinstance(value, list | tuple | range) else None
    if not items or len(items) > 4096 or not all(is_number(item) for item in items):
        return UNKNOWN if items is None or not items else _unknown_rows(m, items, node)
    runs = [
        WrittenRun(1, float(item) if is_known_number(item) else UNKNOWN, place) for item in items
    ]
    return new_tensor(m, merge_neighbours(runs))


def _unknown_rows(m: Machine, items: list[Value], node: ast.AST) -> Value:
    if any(isinstance(item, list | tuple | PhantomTensor) for item in items):
        return UNKNOWN
    return new_tensor(m, [WrittenRun(len(items), UNKNOWN, m.place(node))])


def _share(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """as_tensor, from_numpy: the same memory."""
    return (
        args[0] if args and isinstance(args[0], PhantomTensor) else _tensor(m, args, keywords, node)
    )


def _make_sized(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """`torch.Tensor(n)` is empty, `torch.Tensor([..])` holds numbers."""
    if args and all(isinstance(arg, int) for arg in args):
        return make_filled(m, Dotted("torch.empty"), args, {}, node)
    return _tensor(m, args, keywords, node)


def _parameter(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """A Parameter shares the memory of what it is made from."""
    data = args[0] if args else keywords.get("data", UNKNOWN)
    if not isinstance(data, PhantomTensor):
        return UNKNOWN
    made = data.view(data.index, data.shape)
    made.parameter = True
    made.leaf = keywords.get("requires_grad", args[1] if len(args) > 1 else True) is not False
    return made


# A ramp is one run that knows its first and last number: `torch.arange(n)` as an index then costs
# nothing, and chrono initialisers that compute with it keep the law of the result.
def _arange(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    numbers = [arg for arg in args if isinstance(arg, int)]
    if len(numbers) != len(args) or not 1 <= len(args) <= 3 or (len(args) == 3 and args[2] < 1):
        return UNKNOWN
    rows = range(*map(int, numbers))
    if len(rows) > LARGEST:
        return UNKNOWN
    place = m.place(node)
    last = rows.start + rows.step * (len(rows) - 1)
    runs = [run._replace(place=place) for run in ramp_runs(rows.start, last, len(rows))]
    open_size = any(map(is_open, args))
    return new_tensor(m, runs, (Symbol(len(rows)) if open_size else len(rows),))


def _linspace(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    values = [*args, *(keywords[k] for k in ("start", "end", "steps") if k in keywords)]
    if len(values) != 3 or not all(map(is_number, values)) or not isinstance(values[2], int):
        return UNKNOWN
    if not 0 < values[2] <= LARGEST:
        return UNKNOWN
    place = m.place(node)
    runs = [r._replace(place=place) for r in ramp_runs(values[0], values[1], values[2])]
    return new_tensor(m, runs, (values[2],))


def _concatenate(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """`torch.cat` of vectors; each part keeps the place where it was made."""
    parts = list_items(m, args[0] if args else keywords.get("tensors", UNKNOWN))
    if parts is None or not all(isinstance(part, PhantomTensor) for part in parts):
        return UNKNOWN
    if not parts or any(len(part.shape) != 1 for part in parts):
        return UNKNOWN
    place = m.place(node)
    runs = [run._replace(place=run.place or place) for part in parts for run in read_runs(part)]
    symbolic = any(is_open(part.shape[0]) for part in parts)
    total = sum(len(part) for part in parts)
    return new_tensor(m, merge_neighbours(runs), (Symbol(total) if symbolic else total,))


def _stack(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    parts = list_items(m, args[0] if args else UNKNOWN)
    if not parts or not all(
        isinstance(p, PhantomTensor) and p.shape == parts[0].shape for p in parts
    ):
        return UNKNOWN
    runs = [run for part in parts for run in read_runs(part)]
    return new_tensor(m, merge_neighbours(runs), (len(parts), *parts[0].shape))


def _draw_between(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """numpy.random.uniform(low, high, size)."""
    names = ("low", "high", "size")
    given = {**dict(zip(names, args, strict=False)), **keywords}
    size = given.get("size", 1)
    size = size[0] if isinstance(size, tuple | list) and len(size) == 1 else size
    if not isinstance(size, int) or not 0 < size <= LARGEST:
        return UNKNOWN
    runs = draw_runs(m, "uniform", given.get("low", 0.0), given.get("high", 1.0), size)
    return new_tensor(m, runs, (size,))


# Under canonical names: `import numpy as np` and `from torch import zeros` were followed by the
# imports already, so that one row serves every way of writing it.
MAKERS: dict[str, Callable[..., Value]] = {
    "torch.nn.Parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.tensor": _tensor,
    "torch.Tensor": _make_sized,
    "torch.FloatTensor": _make_sized,
    "torch.LongTensor": _make_sized,
    "torch.as_tensor": _share,
    "torch.from_numpy": _share,
    "torch.arange": _arange,
    "torch.linspace": _linspace,
    "torch.cat": _concatenate,
    "torch.concat": _concatenate,
    "torch.concatenate": _concatenate,
    "torch.hstack": _concatenate,
    "torch.stack": _stack,
    "numpy.random.uniform": _draw_between,
    "numpy.array": _tensor,
    "numpy.asarray": _share,
    "numpy.arange": _arange,
    "numpy.linspace": _linspace,
    "numpy.concatenate": _concatenate,
}
