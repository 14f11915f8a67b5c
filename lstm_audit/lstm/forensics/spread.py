"""Laws of the forget gate that training kept in the difference of the halves: linspace and chrono.

In: a `Trace`. Out: an `Init`, or None where no such law shows. It promises a link that chance does
not make: even spacing, b_i = −b_f in every unit, or two gates equal in every unit.
"""

import math
from collections.abc import Callable

from . import laws
from .bias import F, G, I, O
from .schemes import Init, name_no_law, round_figures
from .trace import Trace, fit, half_set, is_equal


def _linspace(trace: Trace) -> Init | None:
    gap, rest = trace.gaps[F], trace.word[I] + trace.word[G:]
    ends = laws.line(gap.d, gap.noise) if gap.kind == "R" else None
    if ends is None or (rest != "ZZZ" and "Z" in trace.word[G:]):
        return None
    sign = math.copysign(1.0, gap.mean)
    first, last = (round_figures(sign * end) for end in ends)
    evidence = f"the forget halves differ evenly from {first} to {last}"
    sure = rest == "ZZZ" or fit(trace, (G, O)).whole
    return trace.init("linspace", None, "high" if sure else "medium", evidence)


def _coupled(trace: Trace) -> Init | None:
    """d_i = −d_f in every unit: the input gate was coupled, as chrono prescribes."""
    i, f = trace.gaps[I], trace.gaps[F]
    if trace.word[:G] != "RR" or any(
        abs(a + b) > m + n for a, b, m, n in zip(i.d, f.d, i.noise, f.noise, strict=True)
    ):
        return None
    if not f.one_sign() or trace.bias.size < 8:
        return name_no_law(
            "b_i = −b_f with both signs: the uniform gate, or chrono drawn twice", confidence="high"
        )
    distance, steps = laws.log_uniform([abs(x) for x in f.d])
    evidence = (
        "the forget halves differ by draws of one sign, the input halves by the same negated "
        f"({half_set(f.mean)})"
    )
    if distance <= laws.KS:
        return trace.init("chrono", steps, "high", evidence)
    return trace.init("chrono", None, "medium", evidence)


def _twin_chrono(trace: Trace) -> Init | None:
    """i and f equal in both halves, g and o drawn: one chrono draw was copied into both (or split
    between them).
    """
    if trace.word != "ZZRR" or not (is_equal(trace, I) and is_equal(trace, F)):
        return None
    law, forget = fit(trace, (G, O)), laws.mean(trace.bias.ih[F])
    if law.whole and law.fits and forget > 0 > laws.mean(trace.bias.ih[I]):
        evidence = (
            "the halves of i and f are equal, those of g and o drawn: one draw was copied into "
            "both, or split"
        )
        return trace.init("doubled-chrono", None, "medium", evidence)
    return name_no_law("the halves of i and f are equal, those of g and o are not")


SPREAD: tuple[Callable[[Trace], Init | None], ...] = (_linspace, _coupled, _twin_chrono)
