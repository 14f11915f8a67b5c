"""Whether the code of a class computes the step of an LSTM: `c = f * c + i * g`, then `tanh(c)`.

Comes in: a class. Goes out: yes or no. Promise: the code is read, never run; a GRU, whose
`(1 - z) * n + z * h` meets no tanh any more, is none.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType

PRODUCTS = ("mul", "multiply")
SUMS = ("add",)


# Strategy. The equations of Hochreiter and Schmidhuber 1997 and Gers 2000 in whatever notation: a
# sum of two products is given a name, and a tanh is taken of that name, in one method or in two of
# a class. The compiled code is asked first, since it costs nothing: without a tanh there is no
# step. Only then is the source parsed, once for each class.
def computes_step(own: object) -> bool:
    """Whether a class, or one that it inherits from that is not torch's, computes such a step."""
    return _computes_step(own)


@lru_cache(maxsize=1024)  # a model has many modules of a class; to parse one takes a millisecond
def _computes_step(own: object) -> bool:
    classes = own.__mro__ if isinstance(own, type) else ()
    written = [cls for cls in classes if not cls.__module__.startswith("torch.")]
    functions = [f for cls in written for f in vars(cls).values() if isinstance(f, FunctionType)]
    if not any("tanh" in name.lower() for f in functions for name in _names(f.__code__)):
        return False
    trees = [tree for f in functions if (tree := _parse(f)) is not None]
    cells = {name for tree in trees for name in _sums_of_products(tree)}
    return any(_takes_tanh(node, cells) for tree in trees for node in ast.walk(tree))


def _names(code: CodeType) -> tuple[str, ...]:
    """The names that a function's code asks for, and those of the functions inside of it."""
    inner = [name for part in code.co_consts if isinstance(part, CodeType) for name in _names(part)]
    return (*code.co_names, *inner)


def _parse(function: FunctionType) -> ast.AST | None:
    """The syntax tree of a function; None where its source is not there."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # made by exec, or a lambda in the middle of a line
        return None


def _sums_of_products(tree: ast.AST) -> Iterator[str]:
    """The names that are given a sum of two products."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if _is_step(node.value):
                yield from (ast.unparse(target) for target in targets)


def _is_step(value: ast.expr) -> bool:
    """Whether this is a sum of products; a tree's cell has more than two, a forget gate a child."""
    terms = _terms(value)
    return len(terms) > 1 and all(_operands(term, ast.Mult, PRODUCTS) for term in terms)


def _terms(value: ast.expr) -> list[ast.expr]:
    """The summands of a sum."""
    sides = _operands(value, ast.Add, SUMS)
    return [term for side in sides for term in _terms(side)] or [value]


def _operands(
    node: ast.expr, operator: type[ast.operator], calls: tuple[str, ...]
) -> list[ast.expr]:
    """Both sides of `a + b`, `torch.add(a, b)` or `a.add(b)`; nothing where it is none."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, operator):
        return [node.left, node.right]
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return []
    given = [node.func.value, *node.args]
    return given[-2:] if node.func.attr.strip("_") in calls else []


def _takes_tanh(node: ast.AST, cells: set[str]) -> bool:
    """Whether this is a tanh of one of the names: `torch.tanh(c)`, `c.tanh()`, `self.tanh(c)`."""
    if not isinstance(node, ast.Call) or "tanh" not in ast.unparse(node.func).lower():
        return False
    taken = [*node.args]
    if isinstance(node.func, ast.Attribute):
        taken.append(node.func.value)
    return any(ast.unparse(one) in cells for one in taken)
