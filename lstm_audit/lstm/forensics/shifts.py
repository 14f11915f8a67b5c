"""One half set in the forget gates of a module's recurrences, as one sample.

In: the traces of a module's recurrences and what was said of each. Out: the same, with `one-sided`
where small layers together bear it out, and without it where one layer shows a number that was
added to a drawn half, or where a normal law about the number explains the layers better. It
promises that a name which is taken away leaves its reason.
"""

import math
from collections.abc import Sequence

from . import laws
from .bias import F, G, I, O
from .decay import nearest_written, scale_of
from .odds import flat_odds, normal_odds, still_odds
from .one_gate import are_even
from .schemes import Init, family, name_no_law
from .trace import Trace
from .vetoes import sign

# Log odds of one draw against two, for layers too small to be asked alone.
SHIFT_ODDS = 5.0

# Log odds of one uniform draw against the best normal law, below which there is no name, and below
# which it is medium at most. Of one draw of 12, 16, 24, 32 units 16, 12, 6, 3 % stay below the
# first (20,000 simulated each); normal draws a tenth narrower pass for one by their range in 79,
# 68, 50, 36 %, and of those that do two fifths or less reach it.
LEAST_ODDS, SURE_ODDS = -0.5, 2.0

# What one layer may speak against all at most: L2 inside Adam may have smeared it.
AGAINST = -3.0

FEWEST = 12  # units whose own shape says anything against a name
PLENTY = 48  # units whose own shape outweighs that of the layers beside them


# So few units of one draw look like a difference of two now and then; those of several layers, into
# which the same loop wrote, do not.
def name_shifts(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """The layers whose forget halves differ by a number and, all together, by one draw."""
    loose = [
        trace
        for trace, init in zip(traces, inits, strict=True)
        if trace and init.scheme == "unknown" and _is_shifted(trace)
    ]
    gaps = [trace.gaps[F] for trace in loose]
    alike = len({gap.mean > 0 for gap in gaps}) == 1
    odds = math.fsum(
        flat_odds(trace.gaps[F], trace.bias.bound) + still_odds(trace.bias, F) for trace in loose
    )
    if len(loose) < 2 or not alike or odds < SHIFT_ODDS:
        return list(inits)
    value = _common_number(loose)
    return [
        sign(trace, trace.one_sided(value, "medium"))
        if trace and any(trace is other for other in loose)
        else init
        for trace, init in zip(traces, inits, strict=True)
    ]


# What one loop wrote into one layer it wrote into the next: here a number that was added to a drawn
# half, or draws from a normal law about it.
def doubt_shifts(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """Take one-sided away from a layer, or a grade, by what the layers like it show."""
    return [
        _doubt(trace, init, [other for other in traces if other and _is_like(other, trace)])
        if trace and family(init) == "one-sided"
        else init
        for trace, init in zip(traces, inits, strict=True)
    ]


def _doubt(trace: Trace, init: Init, alike: Sequence[Trace]) -> Init:
    """What is left of one layer's name among those whose forget halves lie as far off."""
    size = trace.bias.size
    if size < PLENTY and any(map(_spans_two_draws, alike)):
        return name_no_law("a layer beside it shows a number that was added to a drawn half")
    odds = math.fsum(max(AGAINST, _odds_against_normal(other)) for other in alike)
    if size >= FEWEST and odds < LEAST_ODDS:
        return name_no_law(
            "the forget halves differ by a number and one draw, but a normal law about the number "
            "explains it better"
        )
    if init.confidence == "high" and min(odds, _odds_against_normal(trace)) < SURE_ODDS:
        return init._replace(confidence="medium")
    return init


def _is_like(other: Trace, trace: Trace) -> bool:
    """Whether the forget gap lies off zero as far as that of `trace`, and is as narrow as a draw
    may be.
    """
    gap, bound = other.gaps[F], other.bias.bound
    far = other.word == "RRRR" and abs(gap.mean) > 2.2 * bound and gap.std < bound
    return other is trace or (far and abs(trace.gaps[F].mean - gap.mean) <= bound)


def _spans_two_draws(trace: Trace) -> bool:
    """Whether the forget gap reaches over more than 2k."""
    gap, bound = trace.gaps[F], trace.bias.bound
    return max(gap.d) - min(gap.d) > 2 * bound * 1.01


# Where everything decayed, the draw is as much narrower as the differences of the other gates are.
def _odds_against_normal(trace: Trace) -> float:
    bound = trace.bias.bound
    scale = scale_of([trace.gaps[g] for g in (I, G, O)], bound)
    reach = bound if scale.is_whole() else bound * min(scale.scale, 1.0)
    return normal_odds(trace.gaps[F], reach)


def _is_shifted(trace: Trace) -> bool:
    """Whether the forget gap lies further off than two draws can and is no wider than one, beside
    gates in which nothing was set and nothing decayed.
    """
    bound, gap = trace.bias.bound, trace.gaps[F]
    rest = [trace.gaps[g] for g in (I, G, O)]
    if trace.word != "RRRR" or trace.bias.size < 8:
        return False
    if not all(other.is_centred() for other in rest):
        return False
    narrow = max(gap.d) - min(gap.d) <= 2 * bound * 1.001 and gap.unit(bound) >= 0.4
    far = abs(gap.mean) > 2.2 * bound and gap.one_sign()
    return narrow and far and are_even(rest, bound) and scale_of(rest, bound).is_whole()


def _common_number(traces: Sequence[Trace]) -> float | None:
    """The number that people write nearest to the mean of all layers, within 2.5 of its errors."""
    values = [abs(v) for trace in traces for v in trace.gaps[F].d]
    bound = max(trace.bias.bound for trace in traces)
    return nearest_written(laws.mean(values), bound / math.sqrt(3 * len(values)))
