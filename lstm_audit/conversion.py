"""What became of an LSTM's numbers on the way from one framework to another.

Comes in: two rows with the numbers of their units. Goes out: a `Relation`, in words that a person
who converts weights can act on. Promise: a relation is said only where every unit of every gate
bears it out, within the rounding of the coarser dtype.
"""

from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

from .facts import Row
from .lstm.layer import GATES

# Four times the relative spacing of a dtype; what is smaller than 1 is held to that of 1.
ROUNDING = {"float64": 1e-12, "float32": 1e-6, "float16": 2e-3, "bfloat16": 1.6e-2}

# What TensorFlow 1, Haiku, ncps and others add to the forget gate at run time.
OFFSET = 1.0

# Pairs without a relation of their own that are tried against each other.
MAX_SWAPPED = 64

NumbersByUnit = Mapping[str, Sequence[float]]


class Relation(NamedTuple):
    """How B's numbers come from A's: `kind` is equal, summed, doubled, order, offset or swapped."""

    kind: str
    text: str

    @property
    def harmless(self) -> bool:
        """Whether both sides are one and the same LSTM."""
        return self.kind in ("equal", "summed")


def relate(a: Row, b: Row) -> Relation | None:
    """The relation of two rows of one hidden size; None where there is none, or several.

    Equal numbers that run the other way through the sequence are no equal LSTM.
    """
    found = _relate_numbers(a, b)
    turned = a.lstm.identity.direction != b.lstm.identity.direction
    return say_swapped(a, b) if turned and found is not None and found.harmless else found


def say_swapped(a: Row, b: Row) -> Relation:
    """That B's LSTM of another name has the numbers of this one, in another place."""
    one, two = a.lstm.identity, b.lstm.identity
    if one.direction != two.direction:
        text = f"directions swapped: what A runs {one.direction}, B runs {two.direction}"
    else:
        text = f"layers swapped: layer {one.layer} of A is layer {two.layer} of B"
    return Relation("swapped", text)


def _relate_numbers(a: Row, b: Row) -> Relation | None:
    if a.units is None or b.units is None or a.lstm.hidden_size != b.lstm.hidden_size:
        return None
    left, right = a.units.bias, b.units.bias
    slack = _slack(a, b)
    if all(_near(left[gate], right[gate], slack) for gate in GATES):
        return _equal(a, b)
    return (
        _offset(left, right, slack)
        or _find_doubling(left, right, slack)
        or _order(left, right, slack)
    )


def _slack(a: Row, b: Row) -> float:
    """The rounding of the coarser of all dtypes."""
    names = {*a.lstm.dtype.split("+"), *b.lstm.dtype.split("+")}
    return max(ROUNDING.get(name, ROUNDING["bfloat16"]) for name in names)


def _near(a: Sequence[float], b: Sequence[float], slack: float, by: float = 0.0) -> bool:
    """Whether b is a plus `by`, unit by unit."""
    return all(
        abs(y - x - by) <= slack * max(1.0, abs(x), abs(y)) for x, y in zip(a, b, strict=True)
    )


def _equal(a: Row, b: Row) -> Relation:
    if a.lstm.two_halves == b.lstm.two_halves:
        return Relation("equal", "equal within the dtype")
    one, two = ("B", "A") if a.lstm.two_halves else ("A", "B")
    return Relation("summed", f"equal: the two halves of {two} add up to the one bias of {one}")


def _offset(a: NumbersByUnit, b: NumbersByUnit, slack: float) -> Relation | None:
    """The forget gate off by what some frameworks add at run time, the others equal."""
    if not all(_near(a[gate], b[gate], slack) for gate in "igo"):
        return None
    for by, what in ((OFFSET, "was added twice"), (-OFFSET, "was lost")):
        if _near(a["f"], b["f"], slack, by):
            text = f"f differs by exactly {by:+g} in every unit: a run-time offset {what}"
            return Relation("offset", f"{text}; `patch B --shift {-by:g}` mends it")
    return None


def _find_doubling(a: NumbersByUnit, b: NumbersByUnit, slack: float) -> Relation | None:
    """Every gate twice what it was, or half of it: a bias that went into both halves, or of which
    one of two equal halves was taken. Kept apart from numbers that are 0 anyway.
    """
    for one, two, text in (
        (a, b, "every gate is twice A's: one bias was written into both halves"),
        (b, a, "every gate is half of A's: of two halves one was left out"),
    ):
        twice = {gate: [2 * x for x in one[gate]] for gate in GATES}
        if all(_near(twice[gate], two[gate], slack) for gate in GATES):
            return Relation("doubled", text)
    return None


def _order(a: NumbersByUnit, b: NumbersByUnit, slack: float) -> Relation | None:
    """The same four blocks in another order, if just one order fits."""
    fitting = [
        order
        for order in permutations(GATES)
        if all(_near(a[own], b[gate], slack) for gate, own in zip(GATES, order, strict=True))
    ]
    if len(fitting) != 1:
        return None
    (order,) = fitting
    moved = [
        f"B's {gate} holds A's {own}" for gate, own in zip(GATES, order, strict=True) if gate != own
    ]
    said = f"the same numbers in another gate order: {', '.join(moved)}"
    return Relation("order", f"{said}; B was read as i,f,g,o and looks like {','.join(order)}")


def find_swaps(pairs: Sequence[tuple[Row, Row]]) -> dict[int, Relation]:
    """By the number of a pair, that B has here what A has in another of the pairs.

    Only pairs that bear no relation of their own are to be given. Every one that is named has just
    one other that fits, and that other is named too: a swap, or a round of several.
    """
    if len(pairs) > MAX_SWAPPED:
        return {}
    sources: dict[int, int] = {}
    for k, (_, b) in enumerate(pairs):
        fitting = [j for j, (a, _) in enumerate(pairs) if j != k and _is_same(a, b)]
        if len(fitting) == 1:
            sources[k] = fitting[0]
    taken = list(sources.values())
    return {
        k: _relate_swapped(pairs[k][0], pairs[j][0])
        for k, j in sources.items()
        if j in sources and taken.count(j) == 1
    }


def _is_same(a: Row, b: Row) -> bool:
    relation = _relate_numbers(a, b)
    return relation is not None and relation.harmless


def _relate_swapped(here: Row, there: Row) -> Relation:
    one, two = here.lstm.identity, there.lstm.identity
    what = "LSTMs"
    if one._replace(direction="") == two._replace(direction=""):
        what = "directions"
    elif one._replace(layer=0) == two._replace(layer=0):
        what = "layers"
    return Relation("swapped", f"{what} swapped: B has here what A has in {two.address}")
