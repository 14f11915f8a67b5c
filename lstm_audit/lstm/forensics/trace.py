"""The trace that training cannot wipe out: d = bias_hh − bias_ih, gate by gate.

In: a `Bias`. Out: its `Trace`, and the `Law` that some of its gates follow. It promises that a
gate's d is called zero or constant only within what rounding can do, and random otherwise.
"""

import math
from collections.abc import Sequence

from ...tuples import NamedTuple
from . import laws
from .bias import Bias, F, G, O
from .sample import Sample, sample_of
from .schemes import GATES, Init, round_figures

# Training adds rounding errors at every step; they do not cancel, but grow as a random walk does,
# with the root of the steps. LOOSE is what a long training may reach, and is used to call a gap
# constant; SHARP is used where equality is evidence *against* somebody (doubled biases).
SHARP, LOOSE = (
    64,
    1024,
)  # rounding errors of a long training, in ulps: a random walk, so ~√steps; 117 seen
TRIANGLE = math.sqrt(2 / 3)  # std of a difference of two uniforms from ±1
FEW = 24  # units of which the difference of two draws is seldom as narrow as one: 0.75^24


# d is the one thing that training keeps (see `trained`). Noise is kept beside it unit by unit,
# since a difference of two large numbers is less certain than one of two small ones: "zero" and
# "constant" are decided within that noise, and never by a fixed tolerance.
class Gap(NamedTuple):
    """One gate's d = hh − ih: all zero (Z), one other constant (C, then `level`), or neither
    (R).
    """

    d: list[float]
    noise: list[float]
    mean: float
    std: float
    kind: str
    level: float

    def one_sign(self) -> bool:
        return min(self.d) >= 0 or max(self.d) <= 0

    def unit(self, bound: float) -> float:
        """The spread, in units of that of two draws from ±bound."""
        return self.std / (TRIANGLE * bound)

    def mean_noise(self) -> float:
        return math.fsum(self.noise) / len(self.noise)

    def is_centred(self) -> bool:
        """Whether the mean is no further from 0 than that of draws, to 4.5σ."""
        return abs(self.mean) <= 4.5 * self.std / math.sqrt(len(self.d))


class Trace(NamedTuple):
    """What training kept: four gaps, their kinds as one word (`RCRR`); `sample` of all their values
    where no mean lies beyond what two draws can differ by.
    """

    bias: Bias
    gaps: tuple[Gap, Gap, Gap, Gap]
    word: str
    sample: Sample | None = None

    def init(self, scheme: str, value: float | None, confidence: str, evidence: str) -> Init:
        """Only the gates that the scheme itself does not spread out can show that something has
        moved.
        """
        gates = (G, O) if scheme in ("chrono", "doubled-chrono", "linspace") else range(4)
        moved = any(_moved(self.bias.kinds[g], self.gaps[g].kind) for g in gates)
        return Init(scheme, value, "trained" if moved else "undetermined", confidence, evidence)

    def constant(self, value: float | None, level: float, confidence: str) -> Init:
        """The forget halves differ by one constant, `level` today; `value` where it is known."""
        evidence = (
            f"the forget halves differ by {round_figures(abs(level))} in every unit "
            f"({half_set(level)} holds more)"
        )
        if value is None:
            return self.init("constant", None, confidence, f"{evidence}; decay may have shrunk it")
        return self.init(f"constant({round_figures(value)})", value, confidence, evidence)

    def name_misplaced(self, gate: int, value: float, confidence: str) -> Init:
        """A constant in another gate."""
        name = GATES[gate]
        evidence = (
            f"the halves of gate {name} differ by {round_figures(value)}, those of the forget gate "
            "show nothing set"
        )
        return self.init(f"wrong-gate({name})", value, confidence, evidence)

    def one_sided(self, value: float | None, confidence: str) -> Init:
        """One half of the forget gate was set; the other is still what was drawn."""
        mean, half = self.gaps[F].mean, half_set(self.gaps[F].mean)
        evidence = (
            f"the forget halves differ by {round_figures(abs(mean))} and one uniform draw, the "
            "others by two"
        )
        if self.bias.size < FEW:
            evidence += "; of so few units, a number added to a drawn half may look the same"
        if value is None:
            remark = f"{evidence}; decay may have shrunk the {round_figures(abs(mean))}"
            return self.init(f"one-sided({half})", None, confidence, remark)
        return self.init(f"one-sided({half}={round_figures(value)})", value, confidence, evidence)


class Law(NamedTuple):
    """How far some gates' d are a difference of two default draws, times `scale`; `whole`: scale is
    1.
    """

    scale: float
    whole: bool
    fits: bool

    def undo_decay(self, value: float) -> float:
        """A constant shrank by the same factor as the draws beside it."""
        return value if self.whole else value / self.scale


def half_set(level: float) -> str:
    """d = hh − ih: what was added to one half is still its sign, if the constant was positive."""
    return "hh" if level > 0 else "ih"


def is_equal(trace: Trace, gate: int) -> bool:
    """Equal in, equal out: both halves took every step alike, so they may differ by rounding
    only.
    """
    gap = trace.gaps[gate]
    if trace.bias.coarse:
        return 2 * gap.d.count(0.0) >= len(gap.d)
    return all(
        abs(x) <= e for x, e in zip(gap.d, bound_rounding(trace.bias, gate, SHARP), strict=True)
    )


def rounding_is_small(trace: Trace) -> bool:
    """Whether the dtype could have shown a difference where the halves have none."""
    return all(g.mean_noise() <= trace.bias.bound / 8 for g in trace.gaps if g.kind != "R")


def trace_of(bias: Bias) -> Trace:
    """The gaps of the four gates, and the word that their kinds spell."""
    one, two, three, four = gaps = [_gap(bias, g) for g in range(4)]
    word = "".join(gap.kind for gap in gaps)
    near = word == "RRRR" and all(abs(gap.mean) <= 2 * bias.bound for gap in gaps)
    sample = sample_of([v for gap in gaps for v in gap.d], bias.bound) if near else None
    return Trace(bias, (one, two, three, four), word, sample)


def _moved(kinds: str, gap: str) -> bool:
    """Beyond ±k, or spread out in both halves alike: draws do neither."""
    return "N" in kinds or (gap != "R" and "U" in kinds)


def _gap(bias: Bias, gate: int) -> Gap:
    d = [b - a for a, b in zip(bias.ih[gate], bias.hh[gate], strict=True)]
    noise = bound_rounding(bias, gate, LOOSE)
    mean, std = laws.moments(d)
    within = laws.common(d, noise)
    if within is None:
        return Gap(d, noise, mean, std, "R", 0.0)
    return Gap(
        d,
        noise,
        mean,
        std,
        "Z" if within[0] <= 0 <= within[1] else "C",
        (within[0] + within[1]) / 2,
    )


def bound_rounding(bias: Bias, gate: int, ulps: int) -> list[float]:
    """What rounding may have done to each d: in 16 bits the cast alone, else the steps of a long
    training.
    """
    ih, hh, epsilon = bias.ih[gate], bias.hh[gate], bias.epsilon
    if bias.coarse:
        return [0.51 * epsilon * (abs(a) + abs(b)) for a, b in zip(ih, hh, strict=True)]
    larger = [a if a > b else b for a, b in zip(map(abs, ih), map(abs, hh), strict=True)]
    floor, error = 0.01 * max(larger), ulps * epsilon
    return [error * size if size > floor else error * floor for size in larger]


# Two uniform draws from ±k differ by a triangle on ±2k, whose standard deviation is √(2/3) k. Decay
# multiplies every draw by one factor, which keeps the shape and shrinks the scale: that is why
# scale is estimated first and the shape is tested at that scale. The cheap tests come first and the
# sorted one (Kolmogorov-Smirnov) last, since most biases that fail do so cheaply.
def fit(trace: Trace, gates: Sequence[int]) -> Law:
    """Test d of `gates` for the triangle law on ±2k: mean, equal spread, bound, and last (it sorts)
    the shape.

    Thresholds are 3σ (scale) and 4.5σ (mean, spread) of a default draw; σ of its standard deviation
    is .592/√n.
    """
    size, bound, gaps = trace.bias.size, trace.bias.bound, [trace.gaps[g] for g in gates]
    n, unit = size * len(gaps), TRIANGLE * bound
    scale = math.sqrt(math.fsum(g.std**2 + g.mean**2 for g in gaps) / len(gaps)) / unit
    whole, spread = abs(scale - 1) <= 1.78 / math.sqrt(n) + 0.01, scale * unit
    centred = all(abs(g.mean) <= 4.5 * spread / math.sqrt(size) for g in gaps)
    even = all(abs(g.std - spread) <= (2.66 / math.sqrt(size) + 0.02) * spread for g in gaps)
    values = [x for g in gaps for x in g.d]
    bounded = max(map(abs, values)) <= 2 * bound * (1 + 1e-4) + _cast(trace.bias)
    if not (scale > 0 and centred and even and bounded):
        return Law(scale, whole, False)
    reach = 2 * bound * (1.0 if whole else scale)
    return Law(scale, whole, laws.ks_triangle(values, reach) <= laws.KS)


def _cast(bias: Bias) -> float:
    return 2 * bias.epsilon * max(map(abs, bias.values())) if bias.coarse else 0.0


def looks_flat(gap: Gap, law: Law, bias: Bias) -> bool:
    """Uniform around a mean off zero: its spread is 1/√2 of a triangle's, its range half as wide,
    its shape flat.

    A constant that adaptive L2 has smeared may pass for such a draw by its spread, seldom by its
    shape as well. Both limits are the 2 % points of true ones (measured: √n·D is small, as the
    centre is estimated).
    """
    root, reach = math.sqrt(bias.size), bias.bound * law.scale
    unit = reach * TRIANGLE
    narrow = abs(gap.std / unit - math.sqrt(0.5)) <= max(0.02, 1.1 / root)
    # Decay only shrinks, so one draw never spans more than ±k.
    span = min(2 * reach * (1.02 + 1.36 / root), 2 * bias.bound * 1.001 + _cast(bias))
    inside = max(gap.d) - min(gap.d) <= span
    away = abs(gap.mean) > max(5 / root, 1.5) * unit
    if not (
        narrow and inside and away and (law.whole or (0.1 <= law.scale < 1 and bias.size >= 64))
    ):
        return False
    half = bias.bound if law.whole else reach
    return laws.ks(gap.d, laws.uniform(gap.mean - half, gap.mean + half)) <= 1.1
