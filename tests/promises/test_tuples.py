"""Our `NamedTuple` against the standard one, which mypy takes it for."""

import copy
import inspect
import pickle
import typing
from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest

from lstm_audit import tuples


class Ours(tuples.NamedTuple):
    """A fact."""

    name: str
    of: "Mapping[str, int]"
    size: int = 3

    @property
    def twice(self) -> int:
        """Twice the size."""
        return 2 * self.size

    @classmethod
    def plain(cls) -> "Ours":
        """One that is made by a method of its own."""
        return cls("a", {})

    def __str__(self) -> str:
        return f"fact {self.name}"


class Standard(typing.NamedTuple):
    """A fact."""

    name: str
    of: "Mapping[str, int]"
    size: int = 3

    @property
    def twice(self) -> int:
        """Twice the size."""
        return 2 * self.size

    @classmethod
    def plain(cls) -> "Standard":
        """One that is made by a method of its own."""
        return cls("a", {})

    def __str__(self) -> str:
        return f"fact {self.name}"


class Lone(tuples.NamedTuple):
    only: int


KINDS: tuple[Any, Any] = (Ours, Standard)


def both(act: typing.Callable[[Any], object]) -> None:
    """The same comes of both, errors included."""
    outcomes: list[object] = []
    for kind in KINDS:
        try:
            outcomes.append(act(kind))
        except (TypeError, ValueError, AttributeError) as error:
            outcomes.append((type(error), str(error).replace(kind.__name__, "KIND")))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize(
    "act",
    [
        lambda kind: kind("a", {}),
        lambda kind: kind("a", {}, 4),
        lambda kind: kind(size=1, of={}, name="b"),
        lambda kind: kind("a"),
        lambda kind: kind("a", {}, 1, 2),
        lambda kind: kind("a", {}, other=1),
        lambda kind: kind("a", {})._replace(size=7),
        lambda kind: kind("a", {})._replace(other=7),
        lambda kind: kind("a", {})._asdict(),
        lambda kind: kind._make(["a", {}, 1]),
        lambda kind: kind._make(["a"]),
        lambda kind: repr(kind("a", {})).replace(kind.__name__, ""),
        lambda kind: str(kind("a", {})),
        lambda kind: (kind("a", {}).twice, kind.plain().twice),
        lambda kind: setattr(kind("a", {}), "size", 1),
        lambda kind: setattr(kind("a", {}), "other", 1),
        lambda kind: hash(kind("a", 1)),
        lambda kind: (kind._fields, kind._field_defaults, kind.__match_args__),
        lambda kind: (kind.__doc__, kind.__module__, kind.__bases__, len(kind.__mro__)),
        lambda kind: (*get_type_hints(kind).items(),),
        lambda kind: [*inspect.signature(kind).parameters],
        lambda kind: inspect.signature(kind).parameters["size"].default,
        lambda kind: pickle.loads(pickle.dumps(kind("a", {}))),
        lambda kind: copy.deepcopy(kind("a", {"b": 1})),
    ],
)
def test_ours_is_as_the_standard_one(act: typing.Callable[[Any], object]) -> None:
    both(act)


def test_one_field_makes_a_tuple() -> None:
    assert Lone(1) == (1,)
    assert repr(Lone(1)) == "Lone(only=1)"
    assert pickle.loads(pickle.dumps(Lone(2))).only == 2
