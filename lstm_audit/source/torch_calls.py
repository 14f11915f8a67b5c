"""Functions of torch and numpy.

Comes in: a canonical name and arguments. Goes out: tensors, modules, or the change. Promise: what
shares memory in torch shares it here; a function that is not listed returns something unknown, and
one that writes leaves nothing known.
"""

import ast
from collections.abc import Callable

from .cells import FUNCTIONS, OF_ONE
from .factories import FACTORIES, MAKERS, make_filled
from .layers import make_module
from .machine import Machine, Raised, blur, put, write_cells, write_value
from .modules import call_native
from .operators import map_tensor, operate_tensors
from .tensor_methods import BINARY, call_method
from .tensor_writes import draw_runs
from .tensors import PhantomTensor, WrittenRun
from .values import UNKNOWN, Dotted, Instance, Keywords, Value, is_number, is_open


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
        return make_filled(m, function, args, keywords, node)
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


def _pass_on(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    return args[0] if args else UNKNOWN


def _wrap(m: Machine, args: list[Value], keywords: Keywords, node: ast.AST) -> Value:
    """A wrapper keeps the module under `module`."""
    module = make_module(m, "torch.nn.DataParallel", [], {}, node)
    if args:
        put(m, module.attrs, "module", args[0])
    return module


SPECIAL: dict[str, Callable[..., Value]] = {
    **MAKERS,
    "torch.no_grad": _context("torch.no_grad"),
    "torch.inference_mode": _context("torch.inference_mode"),
    "torch.enable_grad": _context("torch.enable_grad"),
    "torch.set_grad_enabled": _set_grad,
    "torch.compile": _pass_on,
    "torch.jit.script": _pass_on,
    "torch.nn.DataParallel": _wrap,
    "torch.nn.parallel.DistributedDataParallel": _wrap,
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
