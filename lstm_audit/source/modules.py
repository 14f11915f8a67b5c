"""What all phantom modules inherit from torch: walking them, and the methods of nn.Module.

Comes in: a phantom module, a method's name and arguments. Goes out: what the method gives, or the
change. Promise: modules and parameters come in torch's order, under torch's names; a method that is
not known leaves nothing known.
"""

import ast
import math
from collections.abc import Callable, Iterator

from .attributes import get_attribute, is_recurrence, own_modules, own_parameters, set_attribute
from .cells import Draw
from .expressions import list_items
from .layers import MOST_MODULES, build, fill_table
from .machine import Machine, blur, new_fields, new_items, new_table, put, write_cells, write_value
from .tensors import PhantomTensor, WrittenRun
from .values import (
    UNKNOWN,
    Dotted,
    Function,
    Instance,
    Keywords,
    Value,
    ancestry,
    find_attribute,
    is_number,
    is_open,
)

# ---- walking modules


def walk_modules(owner: Instance, path: str = "") -> list[tuple[str, Instance]]:
    """The module and all below it, each once, with its dotted path, in torch's order."""
    seen: set[int] = set()
    found: list[tuple[str, Instance]] = []
    todo = [(path, owner)]
    while todo and len(found) < MOST_MODULES:
        at, module = todo.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        found.append((at, module))
        children = own_modules(module).items()
        todo += [(f"{at}.{name}" if at else name, child) for name, child in reversed(children)]
    return found


def walk_parameters(owner: Instance, path: str = "") -> list[tuple[str, PhantomTensor]]:
    """All parameters with their dotted names, each once."""
    seen: set[int] = set()
    found = []
    for at, module in walk_modules(owner, path):
        for name, tensor in own_parameters(module).items():
            if id(tensor) not in seen:
                seen.add(id(tensor))
                found.append((f"{at}.{name}" if at else name, tensor))
    return found


# ---- methods


# The order is from the certain to the foreign: a method that is modelled here; one of a container;
# what transformers' post_init does; what is known to leave parameters alone; and for the rest the
# assumption that anything reachable may have been written.
def call_native(
    m: Machine, me: Instance, name: str, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """A method that an instance inherits from a library, or that nobody knows."""
    if me.kind == "argparse":
        return _call_parser(m, me, name, args, keywords)
    if name in METHODS and (me.kind or name in ("__init__", "__setattr__", "__getattribute__")):
        return METHODS[name](m, me, args, keywords, node)
    if me.kind in ("torch.nn.ModuleDict", "torch.nn.ParameterDict") and name in TABLE_METHODS:
        return _call_table(m, me, name, args)
    if me.kind in ("torch.nn.ModuleList", "torch.nn.Sequential") and name in LIST_METHODS:
        return _extend(m, me, args if name == "append" else _list_given(m, args))
    if name in ("post_init", "init_weights") and _initialise_all(m, me, node):
        return None
    if name in HARMLESS or me.kind == "module":
        return me if name not in ("forward", "__call__") else UNKNOWN
    if _is_foreign(me):
        blur(m, [me, *args, *keywords.values()], m.place(node))
    elif me.cls is None or not me.kind:
        blur(m, [*args, *keywords.values()], m.place(node))
    return UNKNOWN


def _initialise_all(m: Machine, me: Instance, node: ast.AST) -> bool:
    """What transformers does at the end of a constructor: `_init_weights` on every module."""
    function = find_attribute(me.cls, "_init_weights") if me.cls else UNKNOWN
    if not isinstance(function, Function):
        return False
    for module in _post_order(me):
        m.call(function, [me, module], {}, node)
    return True


def _call_parser(
    m: Machine, me: Instance, name: str, args: list[Value], keywords: Keywords
) -> Value:
    """An ArgumentParser gives what its options have by default."""
    if name == "add_argument" and args:
        flags = [arg for arg in args if isinstance(arg, str)]
        long = next((flag for flag in flags if flag.startswith("--")), flags[0] if flags else "")
        key = keywords.get("dest", long.lstrip("-").replace("-", "_"))
        if isinstance(key, str):
            put(m, me.attrs, key, _default_of(keywords))
    elif name in ("parse_args", "parse_known_args"):
        made = Instance(None, "", new_fields(m, me.attrs), me.place)
        return made if name == "parse_args" else (made, new_items(m))
    elif name in ("add_argument_group", "add_mutually_exclusive_group", "add_subparsers"):
        return me
    return UNKNOWN


def _default_of(keywords: Keywords) -> Value:
    if "default" in keywords:
        value = keywords["default"]
        numeric = keywords.get("type") == Dotted("builtins.float") and is_number(value)
        return float(value) if numeric and not is_open(value) else value
    if keywords.get("required") is True:
        return UNKNOWN
    return {"store_true": False, "store_false": True}.get(str(keywords.get("action", "")))


TABLE_METHODS = ("items", "keys", "values", "update", "get", "pop")
LIST_METHODS = ("append", "extend")

HARMLESS = (
    "to", "cuda", "cpu", "train", "eval", "float", "double", "half", "bfloat16", "type",
    "share_memory", "compile", "flatten_parameters", "zero_grad", "save_hyperparameters", "log",
    "log_dict", "print", "extra_repr", "__repr__", "forward", "register_forward_hook",
    "register_forward_pre_hook", "register_full_backward_hook", "size", "__len__", "check_input",
)  # fmt: skip


# A base class that cannot be seen may override anything, except LightningModule, whose methods are
# hooks that the linter knows and that do not write parameters.
def _is_foreign(me: Instance) -> bool:
    """Whether a class that is not to be seen may have methods of its own."""
    bases = [base for base in ancestry(me.cls) if isinstance(base, Dotted)] if me.cls else []
    known = ("torch.", "builtins.", "abc.", "typing.", "dataclasses.", "enum.")
    return any(not base.name.startswith(known) and base.last != "LightningModule" for base in bases)


def _list_given(m: Machine, args: list[Value]) -> list[Value]:
    return (list_items(m, args[0]) if args else None) or []


def _extend(m: Machine, me: Instance, items: list[Value]) -> Value:
    for item in items:
        put(m, me.attrs, str(len(me.attrs)), item)
    return me


def _call_table(m: Machine, me: Instance, name: str, args: list[Value]) -> Value:
    if name == "update":
        fill_table(m, me, args)
        return None
    if name in ("get", "pop"):
        return me.attrs.get(args[0], args[1] if len(args) > 1 else None) if args else UNKNOWN
    items = {"keys": list(me.attrs), "values": list(me.attrs.values())}
    return new_items(m, items.get(name, [(k, v) for k, v in me.attrs.items()]))


def _init(m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """`super().__init__(...)`."""
    build(m, me, args, keywords, node)
    return None


# A new serial a call: drawing again gives other numbers, which is how LA501 sees that a forget bias
# which was set before is gone.
def reset_parameters(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """Every parameter of a recurrence is drawn again."""
    if is_recurrence(me):
        hidden = me.attrs.get("hidden_size", 16)
        bound = 1 / math.sqrt(hidden) if is_number(hidden) and hidden > 0 else 0.0
        for tensor in own_parameters(me).values():
            cell = Draw("uniform", m.number(), -bound, bound)
            write_cells(m, tensor, [WrittenRun(len(tensor), cell)], m.place(node))
    return None


def _named_parameters(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    prefix = keywords.get("prefix", args[0] if args else "")
    return new_items(m, walk_parameters(me, prefix if isinstance(prefix, str) else ""))


def _parameters(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    recurse = keywords.get("recurse", args[0] if args else True)
    if recurse is False:
        return new_items(m, own_parameters(me).values())
    return new_items(m, [tensor for _, tensor in walk_parameters(me)])


def _state_dict(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """Views of the parameters, detached."""
    return new_table(
        m, {name: get_attribute(m, t, "data", None) for name, t in walk_parameters(me)}
    )


def _load_state_dict(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """What a readable dict holds is copied; an unreadable one may hold anything."""
    given = args[0] if args else keywords.get("state_dict", UNKNOWN)
    for name, tensor in walk_parameters(me):
        if not isinstance(given, dict):
            write_cells(m, tensor, [WrittenRun(1, UNKNOWN)], m.place(node))
        elif name in given:
            write_value(m, tensor, given[name], m.place(node))
    return UNKNOWN


def _modules(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    return new_items(m, [module for _, module in walk_modules(me)])


def _named_modules(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    return new_items(m, walk_modules(me))


def _children(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    return new_items(m, own_modules(me).values())


def _named_children(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    return new_items(m, own_modules(me).items())


def _apply(m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """Children first, the module itself last."""
    function = args[0] if args else keywords.get("fn", UNKNOWN)
    for module in _post_order(me):
        m.call(function, [module], {}, node)
    return me


def _post_order(me: Instance, depth: int = 0) -> Iterator[Instance]:
    if depth < 40:
        for child in own_modules(me).values():
            yield from _post_order(child, depth + 1)
    yield me


def _add_module(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    values = [*args, *keywords.values()]
    if len(values) > 1 and isinstance(values[0], str):
        set_attribute(m, me, values[0], values[1], node)
    return None


def _get_attribute(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    """`get_parameter("encoder.lstm.bias_ih_l0")` and its like."""
    value: Value = me
    path = args[0] if args else keywords.get("target", UNKNOWN)
    if not isinstance(path, str):
        return UNKNOWN
    for name in path.split(".") if path else ():
        value = get_attribute(m, value, name, None)
    return value


def _requires_grad(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    wanted = args[0] if args else keywords.get("requires_grad", True)
    for _, tensor in walk_parameters(me):
        tensor.leaf = wanted is not False
    return me


def _named_buffers(
    m: Machine, me: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> Value:
    return new_items(m)


METHODS: dict[str, Callable[..., Value]] = {
    "__init__": _init,
    "reset_parameters": reset_parameters,
    "named_parameters": _named_parameters,
    "parameters": _parameters,
    "state_dict": _state_dict,
    "load_state_dict": _load_state_dict,
    "modules": _modules,
    "named_modules": _named_modules,
    "children": _children,
    "named_children": _named_children,
    "apply": _apply,
    "add_module": _add_module,
    "register_module": _add_module,
    "register_parameter": _add_module,
    "register_buffer": _add_module,
    "__setattr__": _add_module,
    "__getattr__": _get_attribute,
    "__getattribute__": _get_attribute,
    "get_submodule": _get_attribute,
    "get_parameter": _get_attribute,
    "requires_grad_": _requires_grad,
    "buffers": _named_buffers,
    "named_buffers": _named_buffers,
}
