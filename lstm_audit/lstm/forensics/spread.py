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

LINK = 0.97  # of the correlation of two gates that were coupled

COUPLED = "the forget halves differ by draws of one sign, the input halves by the same negated"


def _linspace(trace: Trace) -> Init | None:
    gap, rest = trace.gaps[F], trace.word[I] + trace.word[G:]
    if gap.kind != "R" or (rest != "ZZZ" and "Z" in trace.word[G:]):
        return None
    ends = laws.line(gap.d, gap.noise)
    if ends is None:
        return _nearly_linspace(trace)
    sign = math.copysign(1.0, gap.mean)
    first, last = (round_figures(sign * end) for end in ends)
    evidence = f"the forget halves differ evenly from {first} to {last}"
    sure = rest == "ZZZ" or fit(trace, (G, O)).whole
    return trace.init("linspace", None, "high" if sure else "medium", evidence)


# No draw knows its unit's index, and no optimizer does. L2 inside Adam smears the line, norm-scaled
# steps bend it a little; a formula that is no line (a logarithm, say) lies off it by more.
def _nearly_linspace(trace: Trace) -> Init | None:
    """The same line, smeared: the forget halves differ more and more along the unit's index."""
    gap, reach = trace.gaps[F], 4 * trace.bias.bound
    if trace.bias.size < 8 or abs(gap.mean) * 2 < reach or not gap.one_sign():
        return None
    slope, left, bend = laws.lean(gap.d)
    # The share of orders of these very values that lie as near a line, roughly.
    chance = left ** ((trace.bias.size - 2) / 2)
    if left > 0.02 or chance > 1e-6 or bend > 0.03 or abs(slope) < 0.5:
        return None
    evidence = (
        f"the forget halves differ more and more along the unit's index ({half_set(gap.mean)})"
    )
    return trace.init("linspace", None, "medium", evidence)


def _find_coupled(trace: Trace) -> Init | None:
    """d_i = −d_f in every unit: the input gate was coupled, as chrono prescribes."""
    i, f = trace.gaps[I], trace.gaps[F]
    if trace.word[:G] != "RR":
        return None
    if any(abs(a + b) > m + n for a, b, m, n in zip(i.d, f.d, i.noise, f.noise, strict=True)):
        return _nearly_coupled(trace)
    if trace.bias.size < 8 and (answer := _nearly_coupled(trace)):
        return answer
    if f.one_sign() and 4 <= trace.bias.size < 8 and _is_beyond_gates(trace):
        return trace.init("chrono", None, "medium", f"{COUPLED} ({half_set(f.mean)})")
    if not f.one_sign() or trace.bias.size < 8:
        return name_no_law(
            "b_i = −b_f with both signs: the uniform gate, or chrono drawn twice", confidence="high"
        )
    distance, steps = laws.log_uniform([abs(x) for x in f.d])
    evidence = f"{COUPLED} ({half_set(f.mean)})"
    if distance <= laws.KS:
        return trace.init("chrono", steps, "high", evidence)
    return trace.init("chrono", None, "medium", evidence)


# Of a uniform gate no bias is beyond ln(H − 1), and two chrono draws differ by both signs.
def _nearly_coupled(trace: Trace) -> Init | None:
    """The same link, smeared: by L2 inside Adam, by half precision, by the draws of the other half.

    Chance makes no such line: every unit of f on one side of 0, of i on the other, both as far on
    average, and correlated.
    """
    i, f, size = trace.gaps[I], trace.gaps[F], trace.bias.size
    opposite = i.one_sign() and f.one_sign() and i.mean * f.mean < 0
    if size < 6 or not opposite or abs(i.mean + f.mean) > 0.1 * abs(f.mean):
        return None
    if max(map(abs, f.d)) <= 8 * trace.bias.bound or not _is_beyond_gates(trace):
        return None
    product = math.fsum((a - i.mean) * (b - f.mean) for a, b in zip(i.d, f.d, strict=True)) / size
    if product > -LINK * i.std * f.std or min(i.std, f.std) < 0.1:
        return None
    evidence = (
        "the forget halves differ by one sign, the input halves by the other and as much, unit by "
        f"unit ({half_set(f.mean)})"
    )
    return trace.init("chrono", None, "medium", evidence)


def _is_beyond_gates(trace: Trace) -> bool:
    """Whether the forget halves differ by more than a uniform gate's biases may."""
    return max(map(abs, trace.gaps[F].d)) > 1.5 + math.log(trace.bias.size)


def _twin_chrono(trace: Trace) -> Init | None:
    """i and f equal in both halves, g and o drawn: one chrono draw was copied into both (or split
    between them).
    """
    if trace.word != "ZZRR" or not (is_equal(trace, I) and is_equal(trace, F)):
        return None
    law, forget = fit(trace, (G, O)), laws.mean(trace.bias.ih[F])
    drawn = (law.whole and law.fits) or _still_differ(trace)
    if drawn and _are_spread(trace) and forget > 0 > laws.mean(trace.bias.ih[I]):
        evidence = (
            "the halves of i and f are equal, those of g and o drawn: one draw was copied into "
            "both, or split"
        )
        return trace.init("doubled-chrono", None, "medium", evidence)
    return name_no_law("the halves of i and f are equal, those of g and o are not")


# Where L2 inside Adam shrank g and o, each by its own, decay may have eaten what i and f differed
# by as well; not while g and o still stand and i and f are far from 0.
def _still_differ(trace: Trace) -> bool:
    """Whether the halves of g and o differ by what draws leave, i and f being far from 0."""
    bound, ih = trace.bias.bound, trace.bias.ih
    standing = min(trace.gaps[g].unit(bound) for g in (G, O)) >= 0.35
    centred = all(trace.gaps[g].is_centred() for g in (G, O))
    far = min(-laws.mean(ih[I]), laws.mean(ih[F])) > 1.5
    return trace.bias.size >= 8 and standing and centred and far


def _are_spread(trace: Trace) -> bool:
    """Whether i and f are spread as chrono draws are; one number in both halves is not."""
    return min(laws.moments(trace.bias.ih[g])[1] for g in (I, F)) > 0.3


SPREAD: tuple[Callable[[Trace], Init | None], ...] = (_linspace, _find_coupled, _twin_chrono)
