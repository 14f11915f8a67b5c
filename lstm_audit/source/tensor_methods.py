"""Methods of phantom tensors.

Comes in: a tensor, a method's name and arguments. Goes out: a view, a new tensor, or the change.
Promise: what shares memory in torch shares it here, what copies copies, and an in-place method that
is not known leaves nothing known.
"""

import ast
import math
from collections.abc import Callable

from .cells import OF_ONE
from .expressions import list_items
from .indexing import get_item, view_at
from .machine import (
    Machine,
    Raised,
    new_items,
    new_tensor,
    refuse_on_leaf,
    write_cells,
    write_value,
)
from .operators import map_tensor, operate_tensors
from .tensor_writes import WRITES, clamp_cells
from .tensors import PhantomTensor, WrittenRun, map_runs, number_in, numbers_in, read_runs
from .values import UNKNOWN, Dotted, Keywords, Symbol, Value, is_open

# Methods after which the numbers are the same and, as far as it matters here, the memory too.
SAME = frozenset(
    {
        "contiguous", "cpu", "cuda", "to", "float", "double", "half", "bfloat16", "type",
        "type_as", "pin_memory", "expand", "expand_as", "requires_grad_", "retain_grad", "numpy",
        "share_memory_", "squeeze_", "positive", "asnumpy", "view_as", "reshape_as",
    }
)  # fmt: skip

SHAPES = frozenset(
    {
        "view", "reshape", "flatten", "squeeze", "unsqueeze", "ravel", "unflatten",
    }
)  # fmt: skip
COPIES = frozenset(
    {
        "clone", "copy", "new_tensor", "numpy_copy", "__deepcopy__",
    }
)  # fmt: skip

IN_PLACE = {"add_": "add", "sub_": "sub", "mul_": "mul", "div_": "div", "pow_": "pow",
            "subtract_": "sub", "multiply_": "mul", "divide_": "div",
            "__iadd__": "add", "__isub__": "sub", "__imul__": "mul"}  # fmt: skip
BINARY = {"add": "add", "sub": "sub", "mul": "mul", "div": "div", "pow": "pow",
          "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div",
          "maximum": "max", "minimum": "min"}  # fmt: skip


# From the known to the guessed. A name with an underscore at its end writes in place by torch's
# convention, so that one that is not listed leaves nothing known; any other unlisted name gives
# something new and unknown, and changes nothing.
def call_method(
    m: Machine, me: PhantomTensor, name: str, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """`tensor.name(*args)`."""
    if name in METHODS:
        return METHODS[name](m, me, args, keywords, node)
    if name in IN_PLACE:
        return _in_place(m, me, IN_PLACE[name], args, keywords, node)
    if name in BINARY:
        return operate_tensors(m, BINARY[name], me, args[0] if args else UNKNOWN)
    if name in OF_ONE:
        return map_tensor(m, name, me)
    if name in SAME and not _converts(name, [*args, *keywords.values()]):
        return _same(me, name, args)
    if name in SHAPES:
        return reshape(me, name, args)
    if name in COPIES or name in SAME:
        return new_tensor(m, read_runs(me), me.shape)
    if name.endswith("_") and not name.startswith("_"):
        return _call_unlisted(m, me, name, node)
    return UNKNOWN


def _converts(name: str, args: list[Value]) -> bool:
    """Whether the numbers are made anew in another precision; a model's own is float32."""
    asked = {arg.last for arg in args if isinstance(arg, Dotted)}
    return bool(OTHER_DTYPES & {name, *asked})


OTHER_DTYPES = frozenset({"float64", "double", "float16", "half", "bfloat16"})


def _same(me: PhantomTensor, name: str, args: list[Value]) -> PhantomTensor:
    if name == "requires_grad_":
        me.leaf = not args or args[0] is not False
    return me


def _call_unlisted(m: Machine, me: PhantomTensor, name: str, node: ast.AST) -> PhantomTensor:
    """An in-place method: of a function that is known, or of anything."""
    refuse_on_leaf(m, me, node)
    function = name.removesuffix("_")
    runs = map_runs(function, read_runs(me)) if function in OF_ONE else [WrittenRun(1, UNKNOWN)]
    write_cells(m, me, runs, m.place(node))
    return me


def _in_place(
    m: Machine,
    me: PhantomTensor,
    function: str,
    args: list[Value],
    keywords: Keywords,
    node: ast.AST,
) -> PhantomTensor:
    refuse_on_leaf(m, me, node)
    by = args[0] if args else keywords.get("other", UNKNOWN)
    scale = keywords.get("alpha", 1)
    result = operate_tensors(m, function, me, by) if scale == 1 else UNKNOWN
    write_value(m, me, result, m.place(node))
    return me


def _clamp(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    return clamp_cells(m, me, args, keywords)


def _narrow(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    values = [*args, *(keywords[k] for k in ("dim", "start", "length") if k in keywords)]
    if len(values) == 3 and values[0] == 0 and all(isinstance(v, int) for v in values):
        stop = values[1] + values[2]
        ends = (values[1], stop) if not is_open(values[2]) else (values[1], Symbol(stop))
        return view_at(me, slice(*ends))
    return me.blur()


def _detach(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    shown = me.view(me.index, me.shape)
    shown.leaf = False
    return shown


def _chunk(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    count = args[0] if args else keywords.get("chunks", keywords.get("sections", UNKNOWN))
    if not isinstance(count, int) or count <= 0 or not _first_dim(args[1:], keywords, me):
        return UNKNOWN
    size = me.shape[0]
    step = -(-int(size) // count)
    return new_items(m, _pieces(me, [step] * -(-int(size) // max(step, 1))))


def _split(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    by = args[0] if args else keywords.get("split_size", keywords.get("split_size_or_sections"))
    if not _first_dim(args[1:], keywords, me):
        return UNKNOWN
    if isinstance(by, int) and by > 0:
        if is_open(by) is not is_open(me.shape[0]):
            return UNKNOWN
        return new_items(m, _pieces(me, [by] * -(-int(me.shape[0]) // by)))
    sizes = list_items(m, by)
    if sizes is None or not all(isinstance(size, int) and size >= 0 for size in sizes):
        return UNKNOWN
    return new_items(m, _pieces(me, sizes))


def _first_dim(args: list[Value], keywords: Keywords, me: PhantomTensor) -> bool:
    dim = args[0] if args else keywords.get("dim", 0)
    return dim == 0 or (len(me.shape) == 1 and dim == -1)


def _pieces(me: PhantomTensor, sizes: list[int]) -> list[PhantomTensor]:
    pieces, at = [], 0
    total = int(me.shape[0])
    row = len(me.index) // total if total else 0
    for size in sizes[:4096]:
        stop = min(at + size, total)
        shape = (Symbol(stop - at) if is_open(me.shape[0]) else stop - at, *me.shape[1:])
        pieces.append(me.view(me.index[at * row : stop * row], shape))
        at = stop
    return pieces


def _unbind(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    if not _first_dim(args, keywords, me) or not me.shape or me.shape[0] > 4096:
        return UNKNOWN
    return new_items(m, [view_at(me, n) for n in range(me.shape[0])])


def _select(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    if len(args) == 2 and args[0] == 0:
        return view_at(me, args[1])
    return me.blur()


def reshape(me: PhantomTensor, name: str, args: list[Value]) -> PhantomTensor:
    """A view of another shape, where the sizes say which."""
    if name in ("flatten", "ravel") and not args:
        return me.view(me.index, (_symbolic(len(me.index), me.shape),))
    if name == "squeeze":
        return me.view(me.index, tuple(size for size in me.shape if size != 1) or (1,))
    sizes = list(args[0]) if len(args) == 1 and isinstance(args[0], tuple | list) else args
    if name == "unsqueeze":
        return me.view(
            me.index, (*me.shape, 1) if args and args[0] not in (0, -2) else (1, *me.shape)
        )
    if name == "unflatten" or not sizes or not all(isinstance(size, int) for size in sizes):
        return me.blur()
    return _give_shape(me, sizes)


def _give_shape(me: PhantomTensor, sizes: list[int]) -> PhantomTensor:
    known = math.prod(int(size) for size in sizes if size != -1)
    if sizes.count(-1) > 1 or known <= 0:
        return me.blur()
    rest, over = divmod(len(me.index), known)
    if over or (-1 not in sizes and rest != 1):
        if any(map(is_open, [*sizes, *me.shape])):
            return me.blur()
        raise Raised("RuntimeError")
    shape = tuple(_symbolic(rest, me.shape) if size == -1 else size for size in sizes)
    return me.view(me.index, shape)


def _symbolic(size: int, shape: tuple[int, ...]) -> int:
    return Symbol(size) if any(map(is_open, shape)) else size


def _size(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    dim = args[0] if args else keywords.get("dim")
    if dim is None:
        return me.shape
    return get_item(m, me.shape, dim, None)


def _numel(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    return _symbolic(len(me.index), me.shape)


def _dim(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    return len(me.shape)


def _item(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    value = number_in(me)
    return UNKNOWN if value is None or len(me) != 1 else value


def _tolist(
    m: Machine, me: PhantomTensor, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    numbers = numbers_in(me) if len(me) <= 4096 else None
    return UNKNOWN if numbers is None else new_items(m, numbers)


METHODS: dict[str, Callable[..., Value]] = {
    **WRITES,
    "clamp": _clamp,
    "clip": _clamp,
    "narrow": _narrow,
    "detach": _detach,
    "detach_": _detach,
    "chunk": _chunk,
    "tensor_split": _chunk,
    "split": _split,
    "unbind": _unbind,
    "select": _select,
    "size": _size,
    "numel": _numel,
    "nelement": _numel,
    "__len__": _size,
    "dim": _dim,
    "ndimension": _dim,
    "item": _item,
    "tolist": _tolist,
}
