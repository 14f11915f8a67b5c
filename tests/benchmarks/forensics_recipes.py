"""Ways to start an LSTM's biases, and what a perfect reader would say of each.

`RECIPES` are what people do. `TRAPS` are built to provoke a false name: laws of the default's
spread, constants added to draws, halves set to nothing, everything overwritten. `UNSEEN` came
last, when most thresholds were chosen.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

I, F, G, O = range(4)  # noqa: E741  # the gates are called that
Write = Callable[[Tensor, Tensor], None]  # writes into bias_ih and bias_hh, each seen as (4, H)


class Recipe(NamedTuple):
    truth: str  # what a perfect reader would say of the fresh bias
    write: Write


def fill(values: dict[tuple[int, int], float], clean: bool = False) -> Write:
    """Write a constant into each (half, gate); `clean` zeroes everything else."""

    def write(*halves: Tensor) -> None:
        for half in halves if clean else ():
            half.zero_()
        for (side, gate), value in values.items():
            halves[side][gate] = value

    return write


def whole(ih: float | None, hh: float | None) -> Write:
    """One constant over all four gates of a half; None leaves its draws."""

    def write(*halves: Tensor) -> None:
        for half, value in zip(halves, (ih, hh), strict=True):
            if value is not None:
                half.fill_(value)

    return write


def chrono_draw(half: Tensor, longest: float, couple: bool) -> None:
    half[F] = torch.empty(half.shape[1]).uniform_(1, longest - 1).log()
    if couple:
        half[I] = -half[F]


def chrono(longest: float, couple: bool = True, other: str = "zero", both: bool = False) -> Write:
    def write(ih: Tensor, hh: Tensor) -> None:
        chrono_draw(ih, longest, couple)
        gates = (I, F) if couple else (F,)
        for gate in gates if other == "zero" else ():
            hh[gate] = 0
        if both:
            chrono_draw(hh, longest, couple)
        if other == "copy":
            for gate in gates:
                hh[gate] = ih[gate]
        if other == "clean":
            hh.zero_()
            ih[G:] = 0

    return write


def uniform_gate(couple: bool) -> Write:
    def write(ih: Tensor, hh: Tensor) -> None:
        size = ih.shape[1]
        ih[F] = torch.logit(torch.empty(size).uniform_(1 / size, 1 - 1 / size))
        hh[F] = 0
        if couple:
            ih[I] = -ih[F]
            hh[I] = 0

    return write


def linspace(clean: bool, half: int) -> Write:
    def write(*halves: Tensor) -> None:
        for h in halves if clean else ():
            h.zero_()
        halves[1 - half][F] = 0
        halves[half][F] = torch.linspace(3, 6, halves[half].shape[1])

    return write


def uniform_over(bound: float) -> Write:
    def write(*halves: Tensor) -> None:
        for half in halves:
            half.uniform_(-bound, bound)

    return write


def normal_over(std: float) -> Write:
    def write(*halves: Tensor) -> None:
        for half in halves:
            half.normal_(0, std)

    return write


def halve(ih: Tensor, hh: Tensor) -> None:
    ih.mul_(0.5)
    hh.mul_(0.5)


def set_then_halve(ih: Tensor, hh: Tensor) -> None:
    """MLPerf's RNN-T: ones into one half, zeros into the other, then everything halved."""
    fill({(0, F): 1, (1, F): 0})(ih, hh)
    halve(ih, hh)


RECIPES = {
    "default": Recipe("pytorch-default", whole(None, None)),
    "default, halved": Recipe("pytorch-default", halve),
    "zeros": Recipe("zeros", whole(0, 0)),
    "all ones": Recipe("all-ones", whole(1, 1)),
    "all ones, one half": Recipe("all-ones", whole(None, 1)),
    "1 into both": Recipe("doubled(1)", fill({(0, F): 1, (1, F): 1})),
    "2 into both": Recipe("doubled(2)", fill({(0, F): 2, (1, F): 2})),
    "1 into both, rest 0": Recipe("doubled(1)", fill({(0, F): 1, (1, F): 1}, clean=True)),
    "hh = 3": Recipe("one-sided(hh=3)", fill({(1, F): 3})),
    "hh = 1": Recipe("one-sided(hh=1)", fill({(1, F): 1})),
    "ih = 1": Recipe("one-sided(ih=1)", fill({(0, F): 1})),
    "ih = 5": Recipe("one-sided(ih=5)", fill({(0, F): 5})),
    "ih = 1, hh = 0": Recipe("constant(1)", fill({(0, F): 1, (1, F): 0})),
    "ih = 0, hh = 3": Recipe("constant(3)", fill({(0, F): 0, (1, F): 3})),
    "1, rest 0 (Keras)": Recipe("constant(1)", fill({(1, F): 1}, clean=True)),
    "1, then halved": Recipe("constant(0.5)", set_then_halve),
    "g = 1 in both": Recipe("wrong-gate(g)", fill({(0, G): 1, (1, G): 1})),
    "g = 1, other 0": Recipe("wrong-gate(g)", fill({(0, G): 1, (1, G): 0})),
    "o: hh = 1": Recipe("wrong-gate(o)", fill({(1, O): 1})),
    "i = 1, rest 0": Recipe("wrong-gate(i)", fill({(0, I): 1}, clean=True)),
    "chrono 784": Recipe("chrono", chrono(784)),
    "chrono 100": Recipe("chrono", chrono(100)),
    "chrono 784, rest 0": Recipe("chrono", chrono(784, other="clean")),
    "chrono 784, f only": Recipe("chrono", chrono(784, couple=False)),
    "chrono over draws": Recipe("chrono", chrono(100, other="draws")),
    "chrono in both": Recipe("doubled-chrono", chrono(784, both=True)),
    "chrono in both, copied": Recipe("doubled-chrono", chrono(784, other="copy")),
    "chrono in both, f only": Recipe("doubled-chrono", chrono(784, couple=False, both=True)),
    "uniform gate": Recipe("uniform-gate", uniform_gate(couple=True)),
    "uniform gate, f only": Recipe("uniform-gate", uniform_gate(couple=False)),
    "linspace 3..6": Recipe("linspace", linspace(clean=False, half=0)),
    "linspace 3..6, rest 0": Recipe("linspace", linspace(clean=True, half=1)),
    "one half zeroed": Recipe("unknown", whole(0, None)),
    "forget half zeroed": Recipe("unknown", fill({(1, F): 0})),
    "U(-.05, .05)": Recipe("unknown", uniform_over(0.05)),
    "U(-.1, .1)": Recipe("unknown", uniform_over(0.1)),
    "N(0, .1)": Recipe("unknown", normal_over(0.1)),
    "N(0, .02)": Recipe("unknown", normal_over(0.02)),
}


def add(value: float, *sides: int) -> Write:
    """A constant on top of the draws of the forget gate."""

    def write(*halves: Tensor) -> None:
        for side in sides:
            halves[side][F] += value

    return write


def zeroed_half_as_wide(ih: Tensor, hh: Tensor) -> None:
    """One half 0, the other drawn √2 as far: the default's spread, and not its shape (GNMT's kind)."""
    ih.uniform_(-1, 1).mul_((2 / ih.shape[1]) ** 0.5)
    hh.zero_()
    hh[O, 0] = 1e-3  # so that it is no single bias


def normal_as_wide(ih: Tensor, hh: Tensor) -> None:
    for half in (ih, hh):
        half.normal_(0, (3 * half.shape[1]) ** -0.5)


def slowly_spread(ih: Tensor, hh: Tensor) -> None:
    """Multi-time-scale (Mahto et al. 2021), drawn: T inverse gamma(.56, 1)."""
    size = ih.shape[1]
    times = 1 / torch.distributions.Gamma(0.56, 1.0).sample((size,)).clamp(min=1e-3)
    hh[F] = -torch.log(torch.expm1(1 / times).clamp(min=1e-4))
    ih[F] = 0


TRAPS = {
    "hh += 1": Recipe("unknown", add(1, 1)),
    "both += 1": Recipe("unknown", add(1, 0, 1)),
    "ih += 2": Recipe("unknown", add(2, 0)),
    "0 into both": Recipe("unknown", fill({(0, F): 0, (1, F): 0})),
    "one half zeroed, as wide": Recipe("unknown", zeroed_half_as_wide),
    "normal, as wide": Recipe("unknown", normal_as_wide),
    "hh = -2": Recipe("one-sided(hh=-2)", fill({(1, F): -2})),
    "ih = -1, hh = 0": Recipe("constant(-1)", fill({(0, F): -1, (1, F): 0})),
    "time scales": Recipe("unknown", slowly_spread),
    "0.7 and 0.3": Recipe("constant(0.4)", fill({(0, F): 0.7, (1, F): 0.3})),
}

UNSEEN = {
    "hh = 2.5": Recipe("one-sided(hh=2.5)", fill({(1, F): 2.5})),
    "ih = 0.5, hh = 0": Recipe("constant(0.5)", fill({(0, F): 0.5, (1, F): 0})),
    "1.5 into both": Recipe("doubled(1.5)", fill({(0, F): 1.5, (1, F): 1.5})),
    "ih = 2, f of hh = 0, g zeroed": Recipe("constant(2)", fill({(0, F): 2, (1, F): 0, (1, G): 0})),
    "hh += 3": Recipe("unknown", add(3, 1)),
    "both += 2": Recipe("unknown", add(2, 0, 1)),
    "o = 1 in both": Recipe("wrong-gate(o)", fill({(0, O): 1, (1, O): 1})),
    "U(-.3, .3)": Recipe("unknown", uniform_over(0.3)),
    "xavier-like normal": Recipe("unknown", normal_over(0.05)),
    "chrono 300": Recipe("chrono", chrono(300)),
    "default again": Recipe("pytorch-default", whole(None, None)),
}


def beside_a_draw(value: float, side: int) -> Write:
    """One half zeroed but for the forget gate, the other as torch drew it."""

    def write(*halves: Tensor) -> None:
        halves[side].zero_()
        halves[side][F] = value

    return write


def scattered(mean: float, std: float) -> Write:
    """The forget gate of one half drawn about a number."""

    def write(ih: Tensor, hh: Tensor) -> None:
        ih[F].normal_(mean, std)
        hh[F] = 0

    return write


LAST = {
    "ih = 4": Recipe("one-sided(ih=4)", fill({(0, F): 4})),
    "hh = 1.5": Recipe("one-sided(hh=1.5)", fill({(1, F): 1.5})),
    "f of ih = 1, rest of ih 0": Recipe("one-sided(ih=1)", beside_a_draw(1, 0)),
    "hh all 0, ih = 1": Recipe("constant(1)", lambda ih, hh: (hh.zero_(), ih[F].fill_(1))[0]),
    "ih = 0, hh = -3": Recipe("constant(-3)", fill({(0, F): 0, (1, F): -3})),
    "3 into both": Recipe("doubled(3)", fill({(0, F): 3, (1, F): 3})),
    "0.5 and 0.5": Recipe("doubled(0.5)", fill({(0, F): 0.5, (1, F): 0.5})),
    "i: ih = 2": Recipe("wrong-gate(i)", fill({(0, I): 2})),
    "g = 1.5 in both": Recipe("wrong-gate(g)", fill({(0, G): 1.5, (1, G): 1.5})),
    "all 2, one half": Recipe("all-ones", whole(2, None)),
    "chrono 50, rest 0": Recipe("chrono", chrono(50, other="clean")),
    "chrono 2000": Recipe("chrono", chrono(2000)),
    "about 1": Recipe("unknown", scattered(1, 0.1)),
    "about 3": Recipe("unknown", scattered(3, 1)),
    "ih += 1": Recipe("unknown", add(1, 0)),
    "U(-.02, .02)": Recipe("unknown", uniform_over(0.02)),
    "N(0, .05)": Recipe("unknown", normal_over(0.05)),
    "default, last": Recipe("pytorch-default", whole(None, None)),
}
"""Recipes that no threshold was chosen on."""

TRACELESS = frozenset(
    {"zeros", "all ones", "1 into both, rest 0", "chrono in both", "chrono in both, f only",
     "uniform gate", "uniform gate, f only", "chrono over draws", "default, halved",
     "1, then halved"}
)  # fmt: skip
"""Of these no trace is left once they are trained: "unknown" is the right answer."""

AFTERWARDS = {"1, then halved": "constant(1)", "0.7 and 0.3": "constant(1)"}
"""What is right too: halving everything is what a decay does, and two halves that have not moved add
up to the one number that was meant.
"""

SAME_LAW = {("U(-.1, .1)", 96), ("U(-.1, .1)", 100)}
"""Recipes that at this width draw what torch draws, to 2 %."""
