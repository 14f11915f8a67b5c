"""What one gate's halves say, whatever became of the other gates.

In: a `Trace` that the ladder of `trained` had no name for, and the module's common decay, if it has
one. Out: an `Init` or None. It promises to lean on a trace that the other gates' decay cannot make:
one constant in every unit, halves equal to the bit, a gap far beyond what two draws can differ by.
"""

import math
from collections.abc import Callable, Sequence

from . import laws
from .bias import F, G, I, O
from .decay import Factor, exact_number, nearest_written, number_set, scale_of, shape, worth
from .odds import is_one_draw, uniform_odds
from .schemes import GATES, Init, round_figures
from .trace import FEW, Gap, Trace, is_equal, rounding_is_small

Step = Callable[[Trace, Factor | None], Init | None]

# Mean of a gate's halves below which "set alike" and "zeroed" look the same.
LEAST = 0.25


def name(trace: Trace, factor: Factor | None) -> Init | None:
    """The first step that has an answer has the word."""
    for step in STEPS:
        if answer := step(trace, factor):
            return answer
    return None


def is_raised(values: Sequence[float]) -> bool:
    """Whether a gate lies above zero as a number does that was written into every unit: one that
    ran away lifts the mean alone.
    """
    return min(laws.mean(values), sorted(values)[len(values) // 2]) >= LEAST


def _others(trace: Trace, gate: int) -> list[Gap]:
    return [gap for g, gap in enumerate(trace.gaps) if g != gate]


# The gap of a gate is the difference of its two halves, unit by unit. Two fresh draws from ±k
# differ by a triangle on ±2k, of mean 0 with a spread that is known: a mean beyond it was put
# there. Training moves both halves by the same gradient, so the gap keeps what the initialiser
# left, but for weight decay.
def _are_quiet(gaps: Sequence[Gap], bound: float) -> bool:
    """Whether nothing was set in these gates: no mean beyond what draws could differ by."""
    return all(abs(gap.mean) < 1.5 * bound for gap in gaps)


# Weight decay shrinks the gaps of all gates by one factor. Gates that shrank alike, with spreads as
# draws have them, are gates into which nothing was written: the background against which one gate
# can stand out.
def are_even(gaps: Sequence[Gap], bound: float) -> bool:
    """Whether the gaps shrank alike: spreads as draws have them, nothing beyond ±2k."""
    scale, size = scale_of(gaps, bound).scale, len(gaps[0].d)
    slack = (2.66 / math.sqrt(size) + 0.02) * scale
    alike = all(abs(gap.unit(bound) - scale) <= slack for gap in gaps)
    top = max(max(map(abs, gap.d)) for gap in gaps)
    return scale > 0 and alike and top <= 2 * bound * 1.001


# The plainest trace of all: a gate that was filled has one number in one half and one in the other,
# so that all units have one difference. The size test keeps out a gap of rounding, which is level
# as well.
def _level(trace: Trace, factor: Factor | None) -> Init | None:
    """The forget halves differ by one constant in every unit: no draw does, nor does its decay.

    What is beside it does not matter: the other gates may be zeroed in one half, or shrunk each by
    its own.
    """
    gap, bound = trace.gaps[F], trace.bias.bound
    others = trace.word[I] + trace.word[G:]
    if gap.kind != "C" or "C" in others or not rounding_is_small(trace):
        return None
    drawn = [g for g in _others(trace, F) if g.kind == "R"]
    if drawn:
        factor = shape(factor, drawn)
    size = abs(gap.level)
    if size < bound / 8:
        return None
    value = exact_number(gap, factor)
    sure = trace.bias.size >= 8 and not trace.bias.coarse
    return trace.constant(value, gap.level, "high" if sure else "medium")


# Adam with L2 in the gradient does not shrink all units alike. The smear is small against the
# number and against a draw's spread; with fewer than six units it cannot be told from a lucky draw.
def _nearly_level(trace: Trace, factor: Factor | None) -> Init | None:
    """The same, smeared a little: by a tenth of what a draw spreads, and far from 0."""
    gap, bound, size = trace.gaps[F], trace.bias.bound, trace.bias.size
    narrow = 0.25 * bound / math.sqrt(3) * min(1.0, abs(gap.mean) / 6)
    if gap.kind != "R" or size < 6 or abs(gap.mean) <= 2.2 * bound or gap.std > narrow:
        return None
    if "C" in trace.word or not rounding_is_small(trace):
        return None
    error = max(0.005 * abs(gap.mean), 2 * gap.std / math.sqrt(size))
    value = worth(abs(gap.mean), error, None)
    return None if value is None else trace.constant(value, gap.mean, "medium")


def _other_level(trace: Trace, factor: Factor | None) -> Init | None:
    """The same in another gate."""
    bound, size = trace.bias.bound, trace.bias.size
    if not rounding_is_small(trace):
        return None
    for gate in (I, G, O):
        gap, rest = trace.gaps[gate], _others(trace, gate)
        if not (all(r.kind == "R" for r in rest) and _are_quiet(rest, bound)):
            continue
        level = gap.kind == "C" and abs(gap.level) > bound / 8
        far = abs(gap.mean) > 2.2 * bound and gap.unit(bound) <= 0.03
        if level or (size >= 8 and far and are_even(rest, bound)):
            value = worth(abs(gap.mean), max(1e-4, gap.std), factor) or abs(gap.mean)
            confidence = "high" if level and size >= 8 else "medium"
            return trace.name_misplaced(gate, value, confidence)
    return None


def _only_gate(trace: Trace, _: Factor | None) -> Init | None:
    """Zeros everywhere but in one gate, whose number adaptive L2 has smeared: it is not said."""
    if sorted(trace.word) != ["R", "Z", "Z", "Z"] or not rounding_is_small(trace):
        return None
    gate = trace.word.index("R")
    gap = trace.gaps[gate]
    if (
        trace.bias.size < 6
        or gap.std > 0.12 * abs(gap.mean)
        or abs(gap.mean) < trace.bias.bound / 4
    ):
        return None
    if gate == F:
        return trace.constant(None, gap.mean, "medium")
    return trace.name_misplaced(gate, abs(gap.mean), "medium")


# Equal halves have two causes, a number written into both and decay that ate their difference. The
# other gates tell: decay would have eaten theirs as well, so they must still stand, the more
# clearly the fewer units there are.
def _alike(trace: Trace, _: Factor | None) -> Init | None:
    """One gate's halves are equal to the bit beside gates that decay has not eaten.

    Adaptive L2 contracts d as well: after 14 e-folds nearly all units are equal. So the others must
    not have had nearly as many: the most shrunk of them must still stand.
    """
    bound, size = trace.bias.bound, trace.bias.size
    if size < 4 or sorted(trace.word) != ["R", "R", "R", "Z"]:
        return None
    gate = trace.word.index("Z")
    rest = _others(trace, gate)
    least, even = min(gap.unit(bound) for gap in rest), are_even(rest, bound)
    mean = laws.mean(trace.bias.ih[gate])
    standing = least >= (0.1 if size >= 16 and even else 0.35)
    exact = not any(trace.gaps[gate].d) or (is_equal(trace, gate) and least >= 0.5)
    if trace.bias.coarse:
        exact = is_equal(trace, gate) and even
    if not (exact and standing and is_raised(trace.bias.ih[gate]) and _are_quiet(rest, bound)):
        return None
    evidence = (
        f"the halves of gate {GATES[gate]} are equal to the bit (today's mean "
        f"{round_figures(mean)}), and those of the others still differ by {least:.2f} of two draws "
        "or more"
    )
    confidence = "high" if size >= 16 and not trace.bias.coarse else "medium"
    scheme = f"doubled({round_figures(mean)})" if gate == F else f"wrong-gate({GATES[gate]})"
    return trace.init(scheme, mean, confidence, evidence)


def _nearly_alike(trace: Trace, _: Factor | None) -> Init | None:
    """Kernels of half precision leave noise: where nothing decayed in the other gates, nothing can
    have eaten one gate's difference.
    """
    bound, size = trace.bias.bound, trace.bias.size
    if size < 8:
        return None
    for gate in (F, I, G, O):
        gap, rest, mean = trace.gaps[gate], _others(trace, gate), laws.mean(trace.bias.ih[gate])
        equal = gap.unit(bound) <= 0.05 and abs(gap.mean) <= 0.05 * bound
        equal = equal and is_raised(trace.bias.ih[gate])
        drawn = all(other.kind == "R" and other.is_centred() for other in rest)
        if not (equal and drawn and are_even(rest, bound) and scale_of(rest, bound).is_whole()):
            continue
        evidence = (
            f"the halves of gate {GATES[gate]} differ by {gap.unit(bound):.3f} of two draws, the "
            f"others by two draws: set alike (today's mean {round_figures(mean)})"
        )
        scheme = f"doubled({round_figures(mean)})" if gate == F else f"wrong-gate({GATES[gate]})"
        return trace.init(scheme, mean, "medium", evidence)
    return None


def _all_shifted(trace: Trace, _: Factor | None) -> Init | None:
    """All four gaps flat around one mean: one half was filled with a number."""
    bound, size = trace.bias.bound, trace.bias.size
    if trace.word != "RRRR" or size < 4:
        return None
    mean = math.fsum(gap.mean for gap in trace.gaps) / 4
    spread = math.sqrt(math.fsum(gap.std**2 for gap in trace.gaps) / 4)
    alike = all(abs(gap.mean - mean) <= 4.5 * spread / math.sqrt(size) for gap in trace.gaps)
    # Four gates of two default draws have a mean of 1.2k by chance in 6σ at H = 4; one draw is
    # wider than ±k by its standard deviation in 3σ.
    scale = spread / (bound / math.sqrt(3))
    narrow = scale <= 1 + 1.34 / math.sqrt(4 * size)
    if not (alike and narrow and abs(mean) > 1.2 * bound):
        return None
    values = [v for gap in trace.gaps for v in gap.d]
    middle, reach = (max(values) + min(values)) / 2, bound * min(scale, 1)
    if laws.ks(values, laws.uniform(mean - reach, mean + reach)) > laws.KS:
        return None
    if uniform_odds([gap._replace(d=[v - middle for v in gap.d]) for gap in trace.gaps]) < 1:
        return None  # rather two draws: a number was added to every gate
    evidence = f"the halves of every gate differ by {round_figures(mean)} and one uniform draw"
    if 4 * size < 2 * FEW:
        evidence += "; of so few units, a number added to every gate may look the same"
    return trace.init("all-ones", abs(mean), "medium", evidence)


# No two draws from ±k differ by more than 2k. A forget gap beyond that, as narrow as one draw, is a
# number in one half over a fresh draw in the other: `bias_ih[H:2H].fill_(1)` with bias_hh left
# alone.
def _far(trace: Trace, factor: Factor | None) -> Init | None:
    """A forget gap far beyond what two draws can differ by, as narrow and flat as one draw.

    So few units need no test of all four gates' spreads; they do need a number that people write.
    """
    gap, bound, size = trace.gaps[F], trace.bias.bound, trace.bias.size
    rest = _others(trace, F)
    if trace.word != "RRRR" or size < 6 or not are_even(rest, bound):
        return None
    own = scale_of(rest, bound)
    scale, whole = min(own.scale, 1.0), own.is_whole()
    centred = all(abs(g.mean) <= 4.5 * g.std / math.sqrt(size) + 0.05 * bound for g in rest)
    if not centred or (size < 16 and not whole) or own.scale < 0.25:
        return None
    if abs(gap.mean) <= (2.2 if size < 16 else 5 * scale) * bound:
        return None
    reach = bound if whole else bound * own.scale
    if not _is_flat(trace, reach, own.scale if size >= 16 else scale):
        return None
    if size < 16 and worth(abs(gap.mean), bound / math.sqrt(3 * size) / 1.6, None) is None:
        return None
    return trace.one_sided(number_set(trace, factor), "high" if size >= 48 and whole else "medium")


def _beside_zeros(trace: Trace, _: Factor | None) -> Init | None:
    """One half was zeroed but for a number in f, the other is as torch drew it: every gap is one
    draw, in f about the number.
    """
    bound, size, gap = trace.bias.bound, trace.bias.size, trace.gaps[F]
    rest = _others(trace, F)
    if trace.word != "RRRR" or size < 6 or not all(other.is_centred() for other in rest):
        return None
    drawn = [v for other in rest for v in other.d]
    values = [*drawn, *(v - gap.mean for v in gap.d)]
    top, spread = max(map(abs, drawn)), math.hypot(*values) / math.sqrt(len(values))
    single = 0.9 * bound <= top <= 1.0001 * bound and uniform_odds(rest) > 3
    wide = abs(spread * math.sqrt(3) / bound - 1) <= 2 / math.sqrt(len(values))
    narrow = max(gap.d) - min(gap.d) <= 2 * bound * 1.0001
    if not (single and wide and narrow and abs(gap.mean) > 2.2 * bound):
        return None
    if laws.ks(values, laws.uniform(-bound, bound)) > laws.KS:
        return None
    value = nearest_written(abs(gap.mean), bound / math.sqrt(3 * size))
    return trace.one_sided(value, "medium")


# No shrinking moves the mean of differences of two draws beyond 2k, so a gate beyond it was set,
# whatever became of the others.
def _set_elsewhere(trace: Trace, _: Factor | None) -> Init | None:
    """One of the gates i, g, o lies further off than two draws can, the others about 0."""
    bound, size = trace.bias.bound, trace.bias.size
    if trace.word != "RRRR" or size < 6:
        return None
    for gate in (I, G, O):
        gap, rest = trace.gaps[gate], _others(trace, gate)
        quiet = all(other.is_centred() and _is_within(other, bound) for other in rest)
        if quiet and abs(gap.mean) > 2.2 * bound and gap.one_sign() and gap.std < 1.2 * bound:
            return trace.name_misplaced(gate, abs(gap.mean), "medium")
    return None


def _is_within(gap: Gap, bound: float) -> bool:
    """Whether no unit differs by more than two draws can."""
    return max(map(abs, gap.d)) <= 2 * bound * 1.001


def _is_flat(trace: Trace, reach: float, scale: float) -> bool:
    """Whether the forget gap is one draw from ±reach about its mean, by its range, spread and
    shape, and not two draws' difference about it (`bias_hh[f] += 1` leaves that).
    """
    gap, bound = trace.gaps[F], trace.bias.bound
    root = math.sqrt(len(gap.d))
    span = min(2 * reach * (1.02 + 1.36 / root), 2 * bound * 1.001)
    if max(gap.d) - min(gap.d) > span:
        return False
    if abs(gap.unit(bound) / scale - math.sqrt(0.5)) > max(0.02, 1.25 / root):
        return False
    shape = laws.ks(gap.d, laws.uniform(gap.mean - reach, gap.mean + reach))
    return shape <= 1.1 and is_one_draw(trace.bias, F, gap, reach)


# From the surest to the weakest. The first step that knows a scheme ends the search, so that a step
# may assume that none above it fits.
STEPS: tuple[Step, ...] = (
    _level,
    _nearly_level,
    _other_level,
    _only_gate,
    _alike,
    _nearly_alike,
    _all_shifted,
    _far,
    _beside_zeros,
    _set_elsewhere,
)
