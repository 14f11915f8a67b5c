"""What the rule of an operator is given: one output of one node, and the values of its inputs.

Comes in: a node of a graph whose inputs were evaluated. Goes out: its inputs as values, as whole
numbers, as an axis. Promise: an input that is not there or not known is None.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..formats import Constant, Node, Scope
from .known import Known, KnownTensor

if TYPE_CHECKING:
    from .graph import Evaluation  # it calls the rules, so they cannot import it


class NodeCall(NamedTuple):
    """One output of one node, with the values of its inputs: what a rule is given."""

    node: Node
    output: int
    ins: list[Known]
    graph: "Evaluation"
    scope: Scope

    def value(self, at: int) -> KnownTensor | None:
        """Input `at`, if it is there and known."""
        found = self.ins[at] if at < len(self.ins) else None
        return found if isinstance(found, KnownTensor) else None

    def whole(self, name: str, at: int) -> list[int] | None:
        """Whole numbers that older operators keep in an attribute and newer ones in an input."""
        given = self.node.attributes.get(name)
        if isinstance(given, tuple) and not isinstance(given, Constant):
            return [int(x) for x in given if not isinstance(x, str)]
        if isinstance(given, int):
            return [given]
        found = self.value(at)
        return None if found is None else [int(x) for x in self.graph.numbers(found)]

    def axis(self, shape: Sequence[int], default: int = 0) -> int:
        """The attribute `axis`, as an axis that the shape has."""
        given = self.node.attributes.get("axis", default)
        return axis_of(int(given) if isinstance(given, int) else default, shape)


def axis_of(axis: int, shape: Sequence[int]) -> int:
    """An axis that the shape has: counted from the end where it is negative, else the last one."""
    return axis % len(shape) if -len(shape) <= axis < len(shape) else len(shape) - 1


NodeRule = Callable[[NodeCall], Known]
