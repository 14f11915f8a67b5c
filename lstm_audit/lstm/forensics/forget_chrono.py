"""Chrono in the forget gate alone, in one half: ln U(1, T−1) in its d, the input gate not coupled.

In: a `Trace`, or those of a module's recurrences with what was said of each. Out: an `Init`, or the
same answers with `chrono` where the layers together bear it out. It promises a name only where the
law explains the values clearly better than a normal or a uniform one about a number.
"""

from collections.abc import Sequence

from . import laws
from .bias import F, G, I, O
from .odds import chrono_odds
from .schemes import Init
from .trace import Trace, fit

# Of 8, 12, 16 units drawn from a normal law (std .5 to 1) or a uniform one about a number, under
# 1 % reach it; of chrono draws 17, 38, 57 % do (3,000 simulated each).
CHRONO_ODDS = 3.0

FEWEST = 8  # values that are asked at all, of one layer or of several
ALONE = 24  # units whose shape (Kolmogorov's test) says it without a rival


def name_chrono(trace: Trace) -> Init | None:
    """Chrono in the forget gate of this recurrence, the other half zeroed there; the rest drawn, or
    zero.
    """
    scale = _scale_of_chrono(trace)
    if scale is None:
        return None
    values = _undo_decay(trace, scale)
    size = trace.bias.size
    distance, steps = laws.log_uniform(values)
    wide = scale == 1.0 or (min(values) < max(values) / 2 and size >= 32)
    shaped = size >= ALONE and wide and distance <= 1.36
    if not (shaped or (distance <= laws.KS and _is_chrono(values))):
        return None
    return _chrono(trace, steps if scale == 1.0 else None)


def name_chronos(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """Chrono in the forget gates of layers too small to be asked alone, as one sample: one loop
    wrote them with one T.
    """
    loose = [
        (trace, scale)
        for trace, init in zip(traces, inits, strict=True)
        if trace and init.scheme in ("unknown", "chrono") and trace.word in ("RRRR", "ZRZZ")
        and (scale := _scale_of_chrono(trace)) is not None
    ]  # fmt: skip
    values = [v for trace, scale in loose for v in _undo_decay(trace, scale)]
    if len(loose) < 2 or laws.log_uniform(values)[0] > laws.KS or not _is_chrono(values):
        return list(inits)
    meant = {id(trace) for trace, _ in loose}
    return [
        _chrono(trace, None) if trace and id(trace) in meant and init.scheme == "unknown" else init
        for trace, init in zip(traces, inits, strict=True)
    ]


def _is_chrono(values: Sequence[float]) -> bool:
    return len(values) >= FEWEST and chrono_odds(values) >= CHRONO_ODDS


# Beside gates in which nothing decayed only a wide law spreads the forget gate's d; where a decay
# may have run, a constant that it smeared is as wide, but not as close to 0.
def _scale_of_chrono(trace: Trace) -> float | None:
    """The common decay, if the forget gap may be chrono's by its sign and width; else None."""
    gap, bound = trace.gaps[F], trace.bias.bound
    top, low = max(map(abs, gap.d)), min(map(abs, gap.d))
    if not gap.one_sign() or top <= max(8 * bound, 1.5) or top > laws.FAR:
        return None
    if trace.word != "RRRR":
        return 1.0 if top - low >= 1.5 else None
    law = fit(trace, (I, G, O))
    if not (law.fits and (law.whole or 0.3 <= law.scale < 1)):
        return None
    scale = 1.0 if law.whole else law.scale
    return scale if top - low >= 1.5 * scale else None


def _undo_decay(trace: Trace, scale: float) -> list[float]:
    return [abs(v) / scale for v in trace.gaps[F].d]


def _chrono(trace: Trace, steps: float | None) -> Init:
    evidence = "the forget halves differ as ln U(1, T−1), not coupled to i"
    return trace.init("chrono", steps, "medium", evidence)
