"""The sums that likelihood ratios rest on: those of layers add up, and each is made once."""

import math
import random

import pytest

from lstm_audit.lstm.forensics import trace
from lstm_audit.lstm.forensics.fingerprint import identify
from lstm_audit.lstm.forensics.sample import Sample, join, sample_of

Half = list[list[float]]


def draw_default(size: int, seed: int) -> tuple[Half, Half]:
    """Two halves as torch draws them, moved by one step of the same sizes in both."""
    die, bound = random.Random(seed), size**-0.5
    ih = [[die.uniform(-bound, bound) for _ in range(size)] for _ in range(4)]
    hh = [[die.uniform(-bound, bound) for _ in range(size)] for _ in range(4)]
    for gate in range(4):
        for unit in range(size):
            step = die.gauss(0, 0.1)
            ih[gate][unit] += step
            hh[gate][unit] += step
    return ih, hh


@pytest.mark.parametrize("bound", [0.04, 1.0])
def test_samples_of_layers_add_up_to_that_of_all_their_values(bound: float) -> None:
    die = random.Random(7)
    layers = [[die.triangular(-2, 2) * bound for _ in range(n)] for n in (24, 300)]
    together = sample_of([v for layer in layers for v in layer], bound)
    joined = join([sample_of(layer, bound) for layer in layers])
    assert joined.size == together.size == 324
    assert joined.top == together.top
    assert math.isclose(joined.square, together.square)
    assert math.isclose(joined.log_heights, together.log_heights)


def test_heights_are_those_of_each_value() -> None:
    """Products of chunks hold what a logarithm of each value says, at the edge too."""
    values = [1.9999, -1.9999] * 100 + [0.0]
    logs = math.fsum(math.log(2.0004 - abs(value)) for value in values)
    assert math.isclose(sample_of(values, 1.0).log_heights, logs)
    assert not sample_of([*values, 2.001], 1.0).is_within()


def test_a_default_is_added_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def count(values: list[float], bound: float) -> Sample:
        calls.append(len(values))
        return sample_of(values, bound)

    monkeypatch.setattr(trace, "sample_of", count)
    assert identify(*draw_default(64, 3), "float32").scheme == "pytorch-default"
    assert calls == [256]
