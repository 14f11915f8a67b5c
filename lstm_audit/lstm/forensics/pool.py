"""The small layers of one module as one sample.

In: the traces of a module's recurrences and what was said of each. Out: the same, with
`pytorch-default`, `one-sided` or `chrono` where all of them together bear it out, and without the
default where together they are rather normal draws. It promises to pool only what nobody had a name
for and what is no exception among them: layers of one module share the optimiser and the recipe,
but one of them may have been set.
"""

import math
from collections.abc import Sequence

from . import laws
from .bias import F, G, I, O
from .decay import nearest_written, scale_of
from .forget_chrono import name_chronos
from .odds import flat_odds, rivals
from .one_gate import are_even
from .schemes import Init, family, name_no_law
from .trace import FEW, TRIANGLE, Trace
from .vetoes import is_lifted, sign

FEWEST = 48  # gaps, in units of their bound, whose law can be told

# Log odds of two uniform draws against normal ones: below the first there is no name, below the
# second it is medium at most. Of true defaults of 16 units 25 % stay below the first, of 32 8 %, of
# 64 2 %; of normal ones as wide 15 %, 7 % and 1 % reach it.
LEAST_ODDS, SURE_ODDS = 1.0, 2.0

# The same of one draw against two, for layers too small to be asked alone.
SHIFT_ODDS = 3.5


def pool(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """Name what the layers together show; a trace is None where none was needed."""
    named = _name_shifts(traces, _name_defaults(traces, name_chronos(traces, inits)))
    return _doubt_defaults(traces, _doubt_shifts(traces, named))


def _name_defaults(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """The defaults among the layers that were too small to be named."""
    known = [
        trace
        for trace, init in zip(traces, inits, strict=True)
        if trace and init.scheme == "pytorch-default"
    ]
    loose = [
        trace
        for trace, init in zip(traces, inits, strict=True)
        if trace and init.scheme == "unknown" and _is_plain(trace)
    ]
    values = [v for trace in (*loose, *known) for v in _in_units(trace)]
    if not loose or not _are_default(values):
        return list(inits)
    meant = {id(trace) for trace in loose if _fits_alone(trace)}
    confidence = "high" if len(values) >= 4 * FEWEST else "medium"
    evidence = f"the module's halves together differ as default draws do ({len(values)} values)"
    return [
        trace.init("pytorch-default", None, confidence, evidence)
        if trace and id(trace) in meant
        else init
        for trace, init in zip(traces, inits, strict=True)
    ]


# A normal law of the default's spread differs from two uniform draws by .023 nats a value: a layer
# of 16 units seldom tells, all layers of a module more often.
def _doubt_defaults(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """Take the name of the defaults away, or a grade, where a normal law explains them as well; the
    layers that were left without a name for that reason count too.
    """
    if not any(
        trace and init.scheme == "pytorch-default"
        for trace, init in zip(traces, inits, strict=True)
    ):
        return list(inits)
    meant = [
        trace
        for trace, init in zip(traces, inits, strict=True)
        if trace
        and (init.scheme == "pytorch-default" or (init.scheme == "unknown" and _is_as_wide(trace)))
    ]
    _, normal = rivals([v for trace in meant for v in _in_units(trace)], 1.0)
    if normal >= SURE_ODDS:
        return list(inits)
    return [
        _doubt(init, normal) if trace and init.scheme == "pytorch-default" else init
        for trace, init in zip(traces, inits, strict=True)
    ]


def _is_as_wide(trace: Trace) -> bool:
    """Whether all gaps lie about 0, about as far spread as a default's; some may lie beyond."""
    centred = trace.word == "RRRR" and all(gap.is_centred() for gap in trace.gaps)
    return centred and 0.8 <= _scale(_in_units(trace)) <= 1.25


def _doubt(init: Init, normal: float) -> Init:
    if normal >= LEAST_ODDS:
        return init._replace(confidence="medium")
    return name_no_law(
        "the halves differ as two default draws do, but a normal law explains it as well"
    )


# So few units of one draw look like a difference of two now and then; those of several layers, into
# which the same loop wrote, do not.
def _name_shifts(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """The layers whose forget halves differ by a number and, all together, by one draw."""
    loose = [
        trace
        for trace, init in zip(traces, inits, strict=True)
        if trace and init.scheme == "unknown" and _is_shifted(trace)
    ]
    gaps = [trace.gaps[F] for trace in loose]
    alike = len({gap.mean > 0 for gap in gaps}) == 1
    odds = math.fsum(flat_odds(trace.gaps[F], trace.bias.bound) for trace in loose)
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
# half.
def _doubt_shifts(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """Take one-sided away from a small layer beside one whose forget halves lie as far off and
    differ by more than one draw.
    """
    wide = [trace.gaps[F].mean for trace in traces if trace and _spans_two_draws(trace)]
    return [
        name_no_law("a layer beside it shows a number that was added to a drawn half")
        if trace and family(init) == "one-sided" and trace.bias.size < FEW
        and any(abs(trace.gaps[F].mean - mean) <= trace.bias.bound for mean in wide)
        else init
        for trace, init in zip(traces, inits, strict=True)
    ]  # fmt: skip


def _spans_two_draws(trace: Trace) -> bool:
    """Whether the forget gap lies off zero and reaches over more than 2k."""
    gap, bound = trace.gaps[F], trace.bias.bound
    far = trace.word == "RRRR" and abs(gap.mean) > 2.2 * bound and gap.std < bound
    return far and max(gap.d) - min(gap.d) > 2 * bound * 1.01


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


def _is_plain(trace: Trace) -> bool:
    """Whether all four gaps look drawn, nothing was zeroed, and nothing added to both halves."""
    bound = trace.bias.bound
    if trace.word != "RRRR" or not all(g.is_centred() for g in trace.gaps):
        return False
    zeroed = max(map(abs, trace.gaps[F].d)) <= bound * 1.0001  # no wider than one draw
    return not zeroed and are_even(trace.gaps, bound) and not is_lifted(trace)


def _in_units(trace: Trace) -> list[float]:
    return [v / trace.bias.bound for gap in trace.gaps for v in gap.d]


def _scale(values: Sequence[float]) -> float:
    return math.hypot(*values) / math.sqrt(len(values)) / TRIANGLE


def _is_whole(scale: float, n: int) -> bool:
    return abs(scale - 1) <= 1.2 / math.sqrt(n) + 0.01


def _are_default(values: Sequence[float]) -> bool:
    """Whether gaps in units of their bounds are differences of two default draws, and of no other
    law.
    """
    if len(values) < FEWEST or not _is_whole(_scale(values), len(values)):
        return False
    uniform, normal = rivals(values, 1.0)
    return uniform >= 1 and normal >= -1 and laws.ks(values, laws.triangle(2.0)) <= 1.36


def _fits_alone(trace: Trace) -> bool:
    """Whether this layer's own spread is a default's too."""
    values = _in_units(trace)
    return _is_whole(_scale(values), len(values))
