"""Python's builtins that ask of an object: its attributes, its class.

Comes in: an object and names. Goes out: the answer, or unknown. Promise: what an unknown name may
have changed is called unknown.
"""

import ast
from collections.abc import Callable

from .attributes import get_attribute, is_recurrence, set_attribute
from .machine import Machine, Raised, blur, delete_key
from .tensors import PhantomTensor
from .values import (
    UNKNOWN,
    Class,
    Dotted,
    Instance,
    Keywords,
    Value,
    ancestry,
    find_attribute,
    is_open,
)


def _getattr(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) < 2 or not isinstance(args[1], str):
        return UNKNOWN
    spelling = ast.Attribute(ast.Name("getattr_of"), args[1])
    owner = args[0]
    if len(args) > 2 and isinstance(owner, Instance) and _has(owner, args[1]) is False:
        return args[2]
    try:
        return get_attribute(m, owner, args[1], spelling)
    except Raised:
        if len(args) > 2:
            return args[2]
        raise


def _setattr(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) == 3 and isinstance(args[1], str):
        set_attribute(m, args[0], args[1], args[2], node)
    elif args:
        blur(m, args[:1], m.place(node))
    return None


def _delattr(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) == 2 and isinstance(args[0], Instance):
        delete_key(m, args[0].attrs, args[1])
    return None


def _hasattr(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) != 2 or not isinstance(args[1], str):
        return UNKNOWN
    if isinstance(args[0], PhantomTensor):
        return True if args[1] in TENSOR_NAMES else UNKNOWN
    return _has(args[0], args[1]) if isinstance(args[0], Instance) else UNKNOWN


# What every tensor has. Any other name may have been put there by the program.
TENSOR_NAMES = (
    "data", "shape", "grad", "fill_", "dim", "size", "numel", "ndim", "requires_grad", "dtype",
    "device", "is_cuda", "detach", "clone", "view", "copy_", "zero_", "to", "cpu", "numpy", "item",
)  # fmt: skip


# hasattr decides branches ("if hasattr(m, 'bias')"), so a wrong answer is worse than none: only
# classes whose attributes are all known (CLOSED) answer False for what they do not have.
def _has(owner: Instance, name: str) -> Value:
    if name in owner.attrs or (owner.cls and find_attribute(owner.cls, name) is not UNKNOWN):
        return True
    if is_recurrence(owner):
        vague = owner.layers_open or owner.directions_open
        return UNKNOWN if vague and name.startswith(("bias", "weight")) else name in MODULE_NAMES
    if owner.kind.startswith("torch.nn."):
        return name in MODULE_NAMES if owner.kind.rpartition(".")[2] in CLOSED else UNKNOWN
    return UNKNOWN


CLOSED = (
    "Linear", "Embedding", "Dropout", "ReLU", "Tanh", "Sigmoid", "ModuleList", "Sequential",
    "Module", "Conv1d", "Conv2d", "LayerNorm", "BatchNorm1d", "ModuleDict", "Softmax", "GELU",
)  # fmt: skip
MODULE_NAMES = (
    "named_parameters", "parameters", "modules", "apply", "state_dict", "forward", "training",
    "children", "all_weights", "flatten_parameters", "reset_parameters", "_flat_weights",
)  # fmt: skip


def _isinstance(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) != 2:
        return UNKNOWN
    wanted = _flatten(args[1])
    answers = [is_instance_of(args[0], kind) for kind in wanted]
    if any(answer is True for answer in answers):
        return True
    return UNKNOWN if UNKNOWN in answers else False


def _flatten(kinds: Value) -> list[Value]:
    if isinstance(kinds, tuple | list) and not isinstance(kinds, Dotted):
        return [one for kind in kinds for one in _flatten(kind)]
    return [kinds]


# Three answers: yes, no, and unknown for classes that cannot be seen. A class of the source is seen
# whole, so that False is certain there.
def is_instance_of(value: Value, kind: Value) -> Value:
    """Whether a value is an instance of a class."""
    if value is UNKNOWN or is_open(value) or not isinstance(kind, Class | Dotted):
        return UNKNOWN
    if isinstance(value, Instance):
        return _module_is(value, kind)
    name = kind.name
    if isinstance(value, PhantomTensor):
        return name.endswith(("Tensor", "Parameter")) and (
            not name.endswith("Parameter") or value.parameter
        )
    if name in PLAIN:
        return isinstance(value, PLAIN[name])
    return False if isinstance(value, int | float | str | list | dict | None) else UNKNOWN


PLAIN: dict[str, type | tuple[type, ...]] = {
    "builtins.int": int, "builtins.float": float, "builtins.str": str, "builtins.list": list,
    "builtins.tuple": tuple, "builtins.dict": dict, "builtins.bool": bool, "builtins.set": set,
    "collections.abc.Sequence": (list, tuple), "collections.abc.Mapping": dict,
    "collections.abc.Iterable": (list, tuple, dict), "numbers.Number": (int, float),
}  # fmt: skip


def _module_is(value: Instance, kind: Class | Dotted) -> Value:
    line: list[Value] = ancestry(value.cls) if value.cls else []
    if kind in line or (isinstance(kind, Dotted) and kind.name == value.kind):
        return True
    if isinstance(kind, Class):
        return False
    if kind.name == "torch.nn.Module":
        return bool(value.kind)
    if kind.name == "torch.nn.RNNBase":
        return is_recurrence(value) and "Cell" not in value.kind
    if kind.name == "torch.nn.RNNCellBase":
        return is_recurrence(value) and "Cell" in value.kind
    if kind.root in ("torch", "builtins"):
        return False
    foreign = any(isinstance(base, Dotted) and base.root != "torch" for base in line)
    return UNKNOWN if foreign else False


def _issubclass(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) == 2 and isinstance(args[0], Class):
        return any(kind in ancestry(args[0]) for kind in _flatten(args[1]))
    return UNKNOWN


def _type(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    if len(args) == 1 and isinstance(args[0], Instance):
        return args[0].cls or Dotted(args[0].kind)
    return UNKNOWN


OBJECT_CALLS: dict[str, Callable[..., Value]] = {
    "getattr": _getattr,
    "setattr": _setattr,
    "delattr": _delattr,
    "hasattr": _hasattr,
    "isinstance": _isinstance,
    "issubclass": _issubclass,
    "type": _type,
}
