"""Names that are passed over unread: none of the looks would have spoken of them."""

from itertools import permutations, product
from types import SimpleNamespace
from typing import Any

import pytest

from lstm_audit.lstm import unknown

# Of cells of 8 units: x and h apart, one weight for both, and both the other way round; one
# square; five gates; two numbers a gate; all in one vector.
SHAPES = [
    ((32, 5), (32, 8)),
    ((32, 13), (32, 40)),
    ((5, 32), (8, 32)),
    ((13, 32), (8, 4)),
    ((8, 8), (8, 8)),
    ((40, 16), (40, 8)),
]


def checkpoint(shapes: dict[str, tuple[int, ...]]) -> Any:
    tensors = {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()}
    return SimpleNamespace(tensors=tensors, claims={})


def said(shapes: dict[str, tuple[int, ...]]) -> list[Any]:
    return list(unknown.find_unknown(list(shapes), checkpoint(shapes), ()))


def layer(path: str, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{path}weight": shape, f"{path}bias": (max(shape),)}


@pytest.mark.parametrize("parent", ["", "decoder."])
def test_the_looks_say_nothing_of_everyday_names(
    parent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = sorted(unknown.EVERYDAY - {"weight", "bias"})
    monkeypatch.setattr(unknown, "EVERYDAY", frozenset())
    for (one, other), (x, h) in product(permutations(words, 2), SHAPES):
        shapes = layer(f"{parent}{one}.", x) | layer(f"{parent}{other}.", h)
        assert said(shapes) == []
    for word, (shape, _) in product(words, SHAPES):
        assert said(layer(f"{parent}{word}.", shape)) == said(layer(parent, shape)) == []


def test_a_vector_of_all_weights_is_looked_at_under_any_name() -> None:
    hidden, inner = 8, 6
    shapes = {
        "encoder.weight": (6 * hidden * inner + 5 * hidden * hidden,),
        "encoder.bias": (5 * hidden,),
    }
    assert [entry.module for entry in said(shapes)] == ["encoder"]


@pytest.mark.parametrize("word", ["lstm", "cell", "gates", "h2h", "forget", "hidden"])
def test_another_word_is_looked_at(word: str) -> None:
    assert not unknown._is_everyday(f"encoder.{word}.weight", checkpoint({}))
