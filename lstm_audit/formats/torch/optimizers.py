"""The settings of the optimizers whose state lies beside a model in one file.

Comes in: the decoded value of a checkpoint. Goes out: a `ParameterGroup` for each entry of
`param_groups` (torch.optim.Optimizer.state_dict). Promise: plain numbers, names and sizes only; no
tensor is located or read, and what is no such state costs a look at its type.
"""

from collections.abc import Iterator
from typing import Any

from ...raw.budget import Budget
from ...wire.pickle import Call
from .. import ParameterGroup
from .dialect import items_of
from .rebuild import read_claimed_shape
from .tensor_calls import is_tensor

# A trainer keeps a few optimizers (a GAN two, Lightning a list), each with a few groups.
MOST = 16

# No setting of an optimizer is larger: counts of steps, a learning rate.
LARGEST = 1e12


# `torch.save({"model": ..., "optimizer": optimizer.state_dict()})`, Lightning's `optimizer_states`
# (a list), a GAN's `{"optimizers": {"G": ..., "D": ...}}`. A model's own mapping is not entered: it
# has more parts, or parts that are no mappings.
def find_groups(root: Any, budget: Budget) -> tuple[ParameterGroup, ...]:
    """The parameter groups of all optimizers at the top of a file, or one step below."""
    found: list[ParameterGroup] = []
    for value in items_of(root).values():
        for state in _states(value):
            groups = state["param_groups"]
            for group in groups[:MOST] if type(groups) is list else ():
                if type(group) is dict:
                    found.append(_read_group(group, state.get("state"), budget))
    return tuple(found)


def _states(value: Any) -> Iterator[dict[Any, Any]]:
    """The optimizers' states that a value is or holds."""
    if type(value) is dict and "param_groups" in value:
        yield value
    elif type(value) in (dict, list) and len(value) <= MOST:
        for part in value.values() if type(value) is dict else value:
            if type(part) is dict and "param_groups" in part:
                yield part


def _read_group(group: dict[Any, Any], state: Any, budget: Budget) -> ParameterGroup:
    """One group, with what the state holds for its parameters: they are numbered."""
    numbers = group.get("params")
    slots: set[str] = set()
    sizes: set[int] = set()
    budget.step(len(group), "an optimizer's settings")
    for number in numbers if type(numbers) is list and type(state) is dict else ():
        entry = state.get(number) if type(number) is int else None
        # The numbers may lead to one large entry again and again.
        budget.step(1 + (len(entry) if type(entry) is dict else 0), "an optimizer's parameters")
        if type(entry) is dict:
            slots.update(key for key in entry if type(key) is str)
            sizes.update(_lengths(entry))
    names = frozenset(key for key in group if type(key) is str)
    settings = {name: group[name] for name in names if _is_number(group[name])}
    return ParameterGroup(settings, names, frozenset(slots), frozenset(sizes))


def _is_number(value: Any) -> bool:
    return type(value) in (int, float, bool) and abs(value) < LARGEST


def _lengths(entry: dict[Any, Any]) -> Iterator[int]:
    """The lengths of a parameter's moments, if they have one axis: as long as the parameter."""
    for moment in entry.values():
        if type(moment) is Call and is_tensor(moment):
            shape = read_claimed_shape(moment)
            if shape is not None and len(shape) == 1:
                yield shape[0]
