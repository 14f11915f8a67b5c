"""Functions of torch and numpy.

Comes in: a canonical name and arguments. Goes out: tensors, modules, or the change. Promise: what
shares memory in torch shares it here; a function that is not listed returns something unknown, and
one that writes leaves nothing known.
"""

import ast
import math
from collections.abc import Callable

from .cells import FUNCTIONS, OF_ONE, CellValue
from .expressions import list_items
from .machine import (
    Machine,
    Raised,
    blur,
    new_tensor,
    put,
    write_cells,
    write_value,
)
from .modules import call_native, make_module
from .operators import map_tensor, operate_tensors
from .tensor_methods import BINARY, call_method, draw_runs, ramp_runs
from .tensors import PhantomTensor, WrittenRun, merge_neighbours, read_runs
from .values import (
    UNKNOWN,
    Dotted,
    Instance,
    Keywords,
    Symbol,
    Value,
    is_known_number,
    is_number,
    is_open,
)

LARGEST = 1 << 31


def call_torch(
    m: Machine, function: Dotted, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """A call of something in torch or numpy."""
    name, last = function.name, function.last
    if name.startswith(("torch.nn.init.", "torch.init.")):
        return _initialise(m, last, args, keywords, node)
    if name in SPECIAL:
        return SPECIAL[name](m, args, keywords, node)
    if name.startswith("torch.nn.utils"):
        return _utility(m, last, args, node)
    if name.startswith("torch.nn.") and last[:1].isupper() and "functional" not in name:
        return make_module(m, f"torch.nn.{last}", args, keywords, node)
    if _is_method_of_class(name) and args and isinstance(args[0], Instance):
        return call_native(m, args[0], last, args[1:], keywords, node)
    if last in FACTORIES:
        return _make(m, function, args, keywords, node)
    if last in ELEMENTWISE and args and (isinstance(args[0], PhantomTensor) or is_number(args[0])):
        return _elementwise(m, last, args)
    if args and isinstance(args[0], PhantomTensor) and last in METHODS:
        return call_method(m, args[0], last, args[1:], keywords, node)
    return UNKNOWN


def _is_method_of_class(name: str) -> bool:
    """`nn.LSTM.reset_parameters(self)`."""
    parts = name.split(".")
    return len(parts) > 3 and parts[-2][:1].isupper()


METHODS = frozenset(
    {
        "chunk", "split", "flatten", "squeeze", "unsqueeze", "clamp", "narrow", "unbind", "clone",
        "detach", "numel", "tensor_split", "reshape", "zero_", "fill_", "select",
    }
)  # fmt: skip
ELEMENTWISE = OF_ONE | frozenset(BINARY)


def _elementwise(m: Machine, name: str, args: list[Value]) -> Value:
    if name in BINARY:
        if len(args) != 2 or not any(isinstance(arg, PhantomTensor) for arg in args):
            return UNKNOWN
        return operate_tensors(m, BINARY[name], args[0], args[1])
    if isinstance(args[0], PhantomTensor):
        return map_tensor(m, name, args[0])
    value = float(args[0])
    try:
        return FUNCTIONS[name](value) if not is_open(args[0]) else UNKNOWN
    except (ArithmeticError, ValueError):
        return UNKNOWN


# ---- torch.nn.init


def _initialise(
    m: Machine, name: str, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """An initialiser writes under no_grad and gives back what it was given."""
    tensor = args[0] if args else keywords.get("tensor", UNKNOWN)
    if not isinstance(tensor, PhantomTensor):
        return tensor
    rest = args[1:]
    match name.removesuffix("_"):
        case "constant":
            value = rest[0] if rest else keywords.get("val", UNKNOWN)
            write_value(m, tensor, value, m.place(node))
        case "zeros" | "ones" as word:
            write_value(m, tensor, float(word == "ones"), m.place(node))
        case "uniform":
            low, high = _pair(rest, keywords, ("a", 0.0), ("b", 1.0))
            write_cells(m, tensor, draw_runs(m, "uniform", low, high, len(tensor)), m.place(node))
        case "normal":
            mean, std = _pair(rest, keywords, ("mean", 0.0), ("std", 1.0))
            write_cells(m, tensor, draw_runs(m, "normal", mean, std, len(tensor)), m.place(node))
        case "calculate_gain":
            return UNKNOWN
        case word:
            if len(tensor.shape) < 2 and word in NEEDS_MATRIX:
                raise Raised("ValueError")
            write_cells(m, tensor, [WrittenRun(1, UNKNOWN)], m.place(node))
    return tensor


NEEDS_MATRIX = (
    "xavier_uniform",
    "xavier_normal",
    "kaiming_uniform",
    "kaiming_normal",
    "orthogonal",
    "eye",
    "dirac",
    "sparse",
)


def _pair(
    rest: list[Value], keywords: Keywords, first: tuple[str, float], second: tuple[str, float]
) -> tuple[Value, Value]:
    one = rest[0] if rest else keywords.get(first[0], first[1])
    return one, rest[1] if len(rest) > 1 else keywords.get(second[0], second[1])


# ---- making tensors


def _make(
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
    runs = _filled(m, name, length, rest, keywords)
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


def _filled(
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


def _shared(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """as_tensor, from_numpy: the same memory."""
    return (
        args[0] if args and isinstance(args[0], PhantomTensor) else _tensor(m, args, keywords, node)
    )


def _sized_tensor(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """`torch.Tensor(n)` is empty, `torch.Tensor([..])` holds numbers."""
    if args and all(isinstance(arg, int) for arg in args):
        return _make(m, Dotted("torch.empty"), args, {}, node)
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


def _set_grad(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    mode = args[0] if args else keywords.get("mode", UNKNOWN)
    if isinstance(mode, bool):
        m.grad = mode
        return Dotted(f"torch.set_grad_enabled.{'on' if mode else 'off'}")
    m.grad_known = False
    return UNKNOWN


def _context(name: str) -> Callable[..., Value]:
    def call(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
        if args and callable(getattr(args[0], "wrappers_last", None)):
            args[0].wrappers.append("grad-on" if name == "torch.enable_grad" else "grad-off")
            return args[0]
        return Dotted(name)

    return call


def _passed(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return args[0] if args else UNKNOWN


def _wrapped(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """A wrapper keeps the module under `module`."""
    module = make_module(m, "torch.nn.DataParallel", [], {}, node)
    if args:
        put(m, module.attrs, "module", args[0])
    return module


SPECIAL: dict[str, Callable[..., Value]] = {
    "torch.nn.Parameter": _parameter,
    "torch.nn.parameter.Parameter": _parameter,
    "torch.tensor": _tensor,
    "torch.Tensor": _sized_tensor,
    "torch.FloatTensor": _sized_tensor,
    "torch.LongTensor": _sized_tensor,
    "torch.as_tensor": _shared,
    "torch.from_numpy": _shared,
    "torch.arange": _arange,
    "torch.linspace": _linspace,
    "torch.cat": _concatenate,
    "torch.concat": _concatenate,
    "torch.concatenate": _concatenate,
    "torch.hstack": _concatenate,
    "torch.stack": _stack,
    "torch.no_grad": _context("torch.no_grad"),
    "torch.inference_mode": _context("torch.inference_mode"),
    "torch.enable_grad": _context("torch.enable_grad"),
    "torch.set_grad_enabled": _set_grad,
    "torch.compile": _passed,
    "torch.jit.script": _passed,
    "torch.nn.DataParallel": _wrapped,
    "torch.nn.parallel.DistributedDataParallel": _wrapped,
    "numpy.random.uniform": _draw_between,
    "numpy.array": _tensor,
    "numpy.asarray": _shared,
    "numpy.arange": _arange,
    "numpy.linspace": _linspace,
    "numpy.concatenate": _concatenate,
}


def _utility(m: Machine, name: str, args: list[Value], node: ast.AST) -> Value:
    """torch.nn.utils: some replace parameters by computed ones, most leave them alone."""
    if (
        name in ("clip_grad_norm_", "clip_grad_value_", "parameters_to_vector")
        or "sequence" in name
    ):
        return UNKNOWN
    blur(m, args, m.place(node))
    return args[0] if args else UNKNOWN
