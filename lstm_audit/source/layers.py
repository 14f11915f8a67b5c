"""Phantom modules as their constructors make them: recurrences, layers, containers.

Comes in: a class's name and the arguments of its constructor. Goes out: an instance with its
parameters. Promise: names, shapes, order and default draws of the parameters are torch's.
"""

import ast
import math
from collections.abc import Callable

from .cells import Draw
from .expressions import list_items
from .machine import Machine, new_fields, new_items, new_tensor, put
from .tensors import PhantomTensor, Role, WrittenRun
from .values import (
    UNKNOWN,
    Class,
    Function,
    Instance,
    Keywords,
    SourcePlace,
    Symbol,
    Value,
    find_attribute,
    is_open,
)

GATES = {"LSTM": 4, "LSTMCell": 4, "GRU": 3, "GRUCell": 3, "RNN": 1, "RNNCell": 1}
LARGEST_HIDDEN = 1 << 16
MOST_LAYERS = 64
MOST_MODULES = 4000

ARGUMENTS = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout",
             "bidirectional", "proj_size")  # fmt: skip
DEFAULTS = {
    "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False,
    "proj_size": 0,
}  # fmt: skip
CELL_ARGUMENTS = ("input_size", "hidden_size", "bias")


# Phantom modules imitate torch's in the three things that initialisers look at: which parameters
# there are, what they are called and in which order, and how they were drawn. Everything else (the
# forward, devices, hooks) is HARMLESS by name, or foreign, and then blurs what it is given.
def make_module(
    m: Machine, name: str, args: list[Value], keywords: Keywords, node: ast.AST
) -> Instance:
    """An instance of a torch class."""
    module = Instance(None, name, new_fields(m), m.place(node))
    m.made.append(module)
    build(m, module, args, keywords, node)
    return module


def build(
    m: Machine, module: Instance, args: list[Value], keywords: Keywords, node: ast.AST
) -> None:
    """What the constructor of the torch class does."""
    name = module.kind.rpartition(".")[2]
    if name in GATES:
        _build_recurrence(m, module, name, args, keywords, node)
    elif name in CONTAINERS:
        CONTAINERS[name](m, module, args)
    elif name in LAYERS and args:
        _build_layer(m, module, name, args, keywords)
    elif name.endswith("DataParallel") and args:
        put(m, module.attrs, "module", args[0])


# torch names parameters `weight_ih_l0`, `bias_hh_l1_reverse` and so on, four a layer and direction
# (torch/nn/modules/rnn.py, RNNBase.__init__); a cell has the same names without a tail. An open
# number of layers is taken as two, so that a loop over layers is seen to be one.
def _build_recurrence(
    m: Machine, module: Instance, name: str, args: list[Value], keywords: Keywords, node: ast.AST
) -> None:
    names = CELL_ARGUMENTS if "Cell" in name else ARGUMENTS
    if name == "RNN":
        names = (*names[:3], "nonlinearity", *names[3:])
    given = {**DEFAULTS, **dict(zip(names, args, strict=False)), **keywords}
    for key in dict.fromkeys((*names, "bias")):
        put(m, module.attrs, key, given.get(key, UNKNOWN))
    put(m, module.attrs, "mode", name.upper())
    hidden = _hidden_size(m, module, given.get("hidden_size", UNKNOWN))
    place = m.place(node)
    rows = []
    for layer in range(1 if "Cell" in name else _layers(module, given["num_layers"])):
        for suffix in _directions(module, given["bidirectional"]):
            tail = "" if "Cell" in name else f"_l{layer}{suffix}"
            rows.append(_add_weights(m, module, name, hidden, tail, given, place))
    put(m, module.attrs, "_all_weights", new_items(m, rows))
    if isinstance(module.cls, Class):
        reset = find_attribute(module.cls, "reset_parameters")
        if isinstance(reset, Function):
            m.call(reset, [module], {}, node)


def _hidden_size(m: Machine, module: Instance, size: Value) -> int:
    if isinstance(size, int) and 0 < size <= LARGEST_HIDDEN:
        module.size_open = is_open(size)
        return size
    module.size_open = True
    hidden = m.symbol(f"hidden size of {module.place.line}:{module.place.column}")
    put(m, module.attrs, "hidden_size", hidden)
    return hidden


def _layers(module: Instance, layers: Value) -> int:
    if isinstance(layers, int) and not is_open(layers) and 0 < layers <= MOST_LAYERS:
        return layers
    module.layers_open = True
    return 2


def _directions(module: Instance, both: Value) -> tuple[str, ...]:
    if isinstance(both, bool | int) and not is_open(both):
        return ("", "_reverse") if both else ("",)
    module.directions_open = True
    return ("",)


def _add_weights(
    m: Machine,
    module: Instance,
    name: str,
    hidden: int,
    tail: str,
    given: Keywords,
    place: SourcePlace,
) -> list[str]:
    """The parameters of one layer and direction, in torch's order."""
    gates = GATES[name]
    rows = Symbol(gates * hidden) if is_open(hidden) else gates * hidden
    inner = given.get("input_size", UNKNOWN)
    columns = inner if isinstance(inner, int) and 0 < inner < LARGEST_HIDDEN else Symbol(44)
    names = [f"weight_ih{tail}", f"weight_hh{tail}"]
    for weight, shape in zip(names, ((rows, columns), (rows, hidden)), strict=True):
        put(m, module.attrs, weight, draw_parameter(m, shape, hidden, place))
    if given["bias"] is not False:
        for bias in (f"bias_ih{tail}", f"bias_hh{tail}"):
            tensor = draw_parameter(m, (rows,), hidden, place)
            if name.startswith("LSTM"):
                tensor.storage.role = Role(module, bias, int(hidden))
            put(m, module.attrs, bias, tensor)
            names.append(bias)
    return names


def draw_parameter(
    m: Machine, shape: tuple[int, ...], fan: int, place: SourcePlace
) -> PhantomTensor:
    """A parameter that torch draws uniformly from ±1/√fan."""
    bound = 1 / math.sqrt(fan) if fan else 0.0
    cell = Draw("uniform", m.number(), -bound, bound)
    tensor = new_tensor(m, [WrittenRun(math.prod(map(int, shape)), cell, place)], shape)
    tensor.parameter = tensor.leaf = True
    return tensor


# Loops such as `for p in model.parameters(): if p.dim() > 1` ask every layer; so other layers exist
# too, with shapes and nothing else that is true of them.
def _build_layer(
    m: Machine, module: Instance, name: str, args: list[Value], keywords: Keywords
) -> None:
    """Another layer: only the shapes of its parameters matter, for loops that ask for them."""
    sizes = [size if isinstance(size, int) and 0 < size < 1 << 24 else Symbol(40) for size in args]
    first, second = sizes[0], sizes[1] if len(sizes) > 1 else Symbol(40)
    for key, value in zip(LAYERS[name], args, strict=False):
        put(m, module.attrs, key, value)
    kernel = (1,) * (1 if name.endswith("1d") else 2)
    shapes = {
        "Linear": ((second, first), second),
        "Embedding": ((first, second), 0),
        "Bilinear": ((first, first, second), first),
    }
    plain = ((first,), first) if "Norm" in name else ((second, first, *kernel), second)
    weight, bias = shapes.get(name, plain)
    put(m, module.attrs, "weight", draw_parameter(m, weight, 16, module.place))
    if bias and keywords.get("bias", True) is not False:
        put(m, module.attrs, "bias", draw_parameter(m, (bias,), 16, module.place))


LAYERS = {
    "Linear": ("in_features", "out_features"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "Bilinear": (),
    "Conv1d": ("in_channels", "out_channels"),
    "Conv2d": ("in_channels", "out_channels"),
    "ConvTranspose2d": (),
    "LayerNorm": ("normalized_shape",),
    "BatchNorm1d": ("num_features",),
    "BatchNorm2d": ("num_features",),
    "GroupNorm": (),
}


def _fill_list(m: Machine, module: Instance, args: list[Value]) -> None:
    items = list_items(m, args[0]) if args else []
    for n, item in enumerate((items or [])[:MOST_MODULES]):
        put(m, module.attrs, str(n), item)


def _fill_sequence(m: Machine, module: Instance, args: list[Value]) -> None:
    if len(args) == 1 and isinstance(args[0], dict):
        fill_table(m, module, args)
        return
    for n, item in enumerate(args):
        put(m, module.attrs, str(n), item)


def fill_table(m: Machine, module: Instance, args: list[Value]) -> None:
    """The entries of a ModuleDict or ParameterDict: a mapping, or pairs."""
    given = args[0] if args else {}
    pairs = list(given.items()) if isinstance(given, dict) else list_items(m, given) or []
    for pair in pairs:
        if isinstance(pair, tuple | list) and len(pair) == 2 and isinstance(pair[0], str):
            put(m, module.attrs, pair[0], pair[1])


CONTAINERS: dict[str, Callable[[Machine, Instance, list[Value]], None]] = {
    "ModuleList": _fill_list,
    "ParameterList": _fill_list,
    "Sequential": _fill_sequence,
    "ModuleDict": fill_table,
    "ParameterDict": fill_table,
}
