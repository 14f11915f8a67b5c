"""Imports, as names: what a name of the program stands for in torch, Keras or the standard library.

Comes in: an import statement and a scope. Goes out: names bound to `Dotted` values, under the name
that the library itself uses. Promise: nothing is imported.
"""

import ast
import re

from .branches import STAYS
from .machine import Machine, put
from .values import Dotted, Fields, Instance, NameScope, Value


def import_names(m: Machine, node: ast.Import, scope: NameScope) -> frozenset[str]:
    """`import a.b as c`: each name bound to what it stands for."""
    for alias in node.names:
        name = alias.name if alias.asname else alias.name.partition(".")[0]
        put(m, scope.names, alias.asname or name, _find_imported(m, name))
    return STAYS


def import_from(m: Machine, node: ast.ImportFrom, scope: NameScope) -> frozenset[str]:
    """`from a import b as c`: each name bound to what it stands for."""
    module = "." * node.level + (node.module or "")
    for alias in node.names:
        if alias.name == "*":
            followed = m.imports(module)
            if isinstance(followed, Fields):
                for name, value in followed.items():
                    put(m, scope.names, name, value)
            elif module in STARS:
                for name in STARS[module]:
                    put(m, scope.names, name, Dotted(f"{module}.{name}"))
            continue
        name = f"{module}{'' if module.endswith('.') else '.'}{alias.name}"
        put(m, scope.names, alias.asname or alias.name, _import_from(m, module, alias.name, name))
    return STAYS


# What a star import brings that matters here.
STARS = {
    "torch": ("nn", "zeros", "ones", "log", "rand", "no_grad", "cat", "empty", "full", "Tensor"),
    "torch.nn": (
        "Module", "LSTM", "LSTMCell", "GRU", "GRUCell", "Linear", "Embedding", "Parameter",
        "Sequential", "ModuleList", "ModuleDict", "Dropout", "init",
    ),
    "torch.nn.init": ("constant_", "zeros_", "ones_", "uniform_", "normal_", "xavier_uniform_",
                      "orthogonal_", "kaiming_normal_", "xavier_normal_"),
}  # fmt: skip


def _find_imported(m: Machine, name: str) -> Value:
    followed = m.imports(name)
    return _as_module(m, followed) if isinstance(followed, Fields) else Dotted(name)


def _as_module(m: Machine, names: Fields) -> Instance:
    """The names of another source, as an object with attributes."""
    return Instance(None, "module", names, m.place(ast.Pass(lineno=1, col_offset=0)))


def _import_from(m: Machine, module: str, name: str, dotted: str) -> Value:
    followed = m.imports(module)
    if isinstance(followed, Fields) and name in followed:
        return followed[name]
    inner = m.imports(dotted)
    if isinstance(inner, Fields):
        return _as_module(m, inner)
    return Dotted(canonical(dotted))


def canonical(name: str) -> str:
    """The name under which a library's object is known here, whichever way it was imported."""
    return LONG_WAY.sub(lambda found: "torch.nn." if found[1] else "torch.", name)


# Where torch defines a class (torch.nn.modules.rnn.LSTM), and where it shows it (torch.nn.LSTM). A
# module stays what it is: it says nothing yet of what is taken from it.
LONG_WAY = re.compile(
    r"^torch\.(?:(nn)\.(?:modules(?:\.\w+)?|parameter)\.(?=[A-Z])|autograd\.grad_mode\.)"
)
