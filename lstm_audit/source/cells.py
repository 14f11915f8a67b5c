"""What stands in one cell of a phantom tensor: a number, a law, or nothing that is known.

Comes in: numbers and laws of distributions. Goes out: cells, and their values at a unit. Promise:
two cells are equal only if the program gives them the same numbers, random ones included; nothing
is drawn before the rules ask for it.
"""

import math
from array import array
from collections.abc import Callable
from functools import lru_cache
from random import Random
from statistics import NormalDist
from typing import NamedTuple

from .values import UNKNOWN, Unknown

# Parts of one computed cell; a recipe of the literature has six.
MOST_PARTS = 32

# Draws are spread evenly over this many units, so that no test of a law fails by bad luck.
STRATA = 64


# Cells are symbolic, and equality is what they are for: two draws of one law are different values
# unless they are the same draw at the same index. So `w + noise - noise` is w, a copied bias is
# known to be a copy, and two calls of `uniform_` are known to differ, without a number being drawn.
# Numbers come last, when a rule that was made for files wants bytes to look at.
class Draw(NamedTuple):
    """A draw: `law` uniform in [a, b) or normal (mean a, deviation b), at index `at` of it."""

    law: str
    serial: int
    a: float
    b: float
    at: int = 0


class Ramp(NamedTuple):
    """Evenly spaced numbers: start + step * at."""

    start: float
    step: float
    at: int = 0


class Computed(NamedTuple):
    """An elementwise function of other cells."""

    function: str
    parts: tuple["CellValue", ...]


CellValue = float | Draw | Ramp | Computed | Unknown


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf if x == 0 else math.nan


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


# What torch, numpy and math compute element by element, under torch's names.
FUNCTIONS: dict[str, Callable[..., float]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "pow": lambda x, y: math.pow(x, y),
    "min": min,
    "max": max,
    "neg": lambda x: -x,
    "abs": abs,
    "log": _log,
    "log1p": lambda x: _log(1 + x),
    "log2": lambda x: _log(x) / math.log(2),
    "log10": lambda x: _log(x) / math.log(10),
    "exp": math.exp,
    "expm1": math.expm1,
    "sqrt": math.sqrt,
    "rsqrt": lambda x: 1 / math.sqrt(x),
    "reciprocal": lambda x: 1 / x,
    "square": lambda x: x * x,
    "sigmoid": _sigmoid,
    "tanh": math.tanh,
    "logit": lambda x: _log(x / (1 - x)),
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "round": lambda x: float(round(x)),
    "trunc": lambda x: float(math.trunc(x)),
    "relu": lambda x: max(x, 0.0),
    "sign": lambda x: float((x > 0) - (x < 0)),
}

OF_TWO = frozenset({"add", "sub", "mul", "div", "pow", "min", "max"})
OF_ONE = frozenset(FUNCTIONS) - OF_TWO


# Simplified are only identities that hold for floats bit by bit (x + 0, x * 1, x - x, 0 * x for
# finite x): what programs write to build chrono and its kin. Everything else stays an expression.
def compute(function: str, *parts: CellValue) -> CellValue:
    """A function of cells: a number where all are numbers, else an expression of bounded size."""
    numbers = [part for part in parts if isinstance(part, float)]
    if len(numbers) == len(parts):
        return _evaluate(function, numbers)
    if function == "mul" and 0.0 in numbers:
        return 0.0
    if UNKNOWN in parts or function not in FUNCTIONS:
        return UNKNOWN
    if len(parts) == 2 and parts[1] == {"add": 0.0, "sub": 0.0, "mul": 1.0, "div": 1.0}.get(
        function
    ):
        return parts[0]
    if function == "sub" and parts[0] == parts[1]:
        return 0.0
    if function == "neg" and isinstance(parts[0], Computed) and parts[0].function == "neg":
        return parts[0].parts[0]
    cell = Computed(function, parts)
    return cell if _size(cell) <= MOST_PARTS else UNKNOWN


def _evaluate(function: str, numbers: list[float]) -> CellValue:
    try:
        value = FUNCTIONS[function](*numbers)
    except (KeyError, ArithmeticError, ValueError):
        return UNKNOWN
    return value if isinstance(value, float) else UNKNOWN


def _size(cell: CellValue) -> int:
    return 1 + sum(map(_size, cell.parts)) if isinstance(cell, Computed) else 1


def shift(cell: CellValue, places: int) -> CellValue:
    """The cell that many places further on."""
    if isinstance(cell, Draw | Ramp) and places:
        return cell._replace(at=cell.at + places)
    if isinstance(cell, Computed) and places:
        return Computed(cell.function, tuple(shift(part, places) for part in cell.parts))
    return cell


def is_even(cell: CellValue) -> bool:
    """Whether the cells that follow are the same: a number, or nothing known."""
    return isinstance(cell, float | Unknown)


def values_of(cell: CellValue, count: int) -> list[float]:
    """The values of `count` cells from this one on; `UNKNOWN` has none and must not be asked."""
    match cell:
        case Draw():
            return _draw_values(cell, count)
        case Ramp(start, step, at):
            return [start + step * (at + k) for k in range(count)]
        case Computed(function, parts):
            columns = [values_of(part, count) for part in parts]
            return [_value(function, row) for row in zip(*columns, strict=True)]
        case float():
            return [cell] * count
    raise ValueError("an unknown cell has no values")


def _value(function: str, numbers: tuple[float, ...]) -> float:
    try:
        return FUNCTIONS[function](*numbers)
    except (ArithmeticError, ValueError):
        return math.nan


# Draws are stratified, one in each 64th of the range: a finding must not depend on a sample that is
# odd by chance. They are put on torch's own grid and rounded as torch rounds, so that the lattice
# test, which runs on them later, takes them for what they stand for.
def _draw_values(draw: Draw, count: int) -> list[float]:
    first, last = draw.at // STRATA, (draw.at + count - 1) // STRATA
    grid = [u for block in range(first, last + 1) for u in _strata(draw.serial, block)]
    grid = grid[draw.at - first * STRATA :][:count]
    if draw.law == "normal":
        law = NormalDist()
        return [draw.a + draw.b * law.inv_cdf((u + 0.5) / 2**24) for u in grid]
    low = array("f", (draw.a,))[0]
    width = array("f", (draw.b - draw.a,))[0]
    steps = array("f", [u / 2**24 * width for u in grid])  # as torch rounds: twice, to float32
    return array("f", [low + step for step in steps]).tolist()


# A fix is proven by a second run, which draws the same: 5.6 ms in place of 7.6 for four biases.
@lru_cache(maxsize=4096)
def _strata(serial: int, block: int) -> tuple[int, ...]:
    """64 places on torch's grid of 2^-24, one in each 64th of it, in random order."""
    random = Random(serial * 1_000_003 + block)  # noqa: S311 (no secret is drawn)
    order = random.sample(range(STRATA), STRATA)
    return tuple((stratum << 18) + random.getrandbits(18) for stratum in order)
