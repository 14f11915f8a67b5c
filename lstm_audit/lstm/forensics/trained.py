"""Initialisations that training has moved: what the difference of the halves still says.

In: a `Bias` that is not fresh. Out: an `Init`, `name_no_law` where nothing is certain enough. It
promises to judge by d = bias_hh − bias_ih alone, and never to call the forget gate doubled unless
its halves are equal to rounding.

The pre-activation is W x + b_ih + U h + b_hh, so both halves receive the very same gradient. Every
optimiser whose step is an elementwise function of the gradient's history moves them alike and keeps
d; decoupled weight decay, and L2 under SGD, multiply d by one common factor; adaptive L2 shrinks it
unevenly, but units that were equal stay equal. Only steps scaled by the norm of a whole tensor
(LAMB, LARS, Adafactor) and a frozen half break it.
"""

import math
from collections.abc import Callable

from . import laws
from .bias import Bias, F, G, I, O
from .schemes import GATES, Init, name_no_law, round_figures
from .trace import SHARP, Law, Trace, bound_rounding, fit, looks_flat, trace_of


# The ladder goes from what explains most to what explains least, and each step either names a
# scheme, says that it knows nothing *for a reason*, or passes. Two early steps exist to stop the
# others: a single bias has no difference to read, and a coarse dtype could not show one.
def trained(bias: Bias) -> Init:
    """The first step of the ladder that has an answer has the word."""
    trace = trace_of(bias)
    for step in LADDER:
        if answer := step(trace):
            return answer
    return name_no_law(
        f"no listed pattern in the difference of the halves ({trace.word}){_sides(trace)}"
    )


def _single_bias(trace: Trace) -> Init | None:
    """Keras and ONNX know one bias; a converter writes zeros for the other, and d is just ∓b."""
    for name, half in (("bias_ih", trace.bias.ih), ("bias_hh", trace.bias.hh)):
        if not any(any(block) for block in half):
            return name_no_law(f"{name} is 0 everywhere: a single bias, its halves say nothing")
    return None


def _too_coarse(trace: Trace) -> Init | None:
    """Equal halves mean nothing where the dtype could not have shown a difference."""
    blurred = (
        math.fsum(g.noise) / len(g.noise) > trace.bias.bound / 8
        for g in trace.gaps
        if g.kind != "R"
    )
    return (
        name_no_law(f"stored too coarsely in {trace.bias.held} to compare the halves")
        if any(blurred)
        else None
    )


# The word has a letter a gate. "ZCZZ" is a forget gate that differs by a constant while the others
# do not differ at all: zeros everywhere, and a number written into one half of f. Such a word
# survives any training by SGD or Adam, because both halves were moved alike.
def _constants(trace: Trace) -> Init | None:
    """Nothing was drawn: every gate's d is one constant, so zeros or single numbers were written
    over the draws.
    """
    levels = [gap.level for gap in trace.gaps]
    value, half = abs(levels[F]), _half(levels[F])
    match trace.word:
        case "ZZZZ":
            return name_no_law(
                "equal halves: zeros, or every gate set alike in both", confidence="high"
            )
        case "ZCZZ":
            evidence = (
                f"the forget halves differ by {round_figures(value)} in every unit "
                f"({half} was set), the others not"
            )
            return trace.init(f"constant({round_figures(value)})", value, "high", evidence)
        case "CCCC" if max(levels) - min(levels) <= 1e-3 * value:
            return trace.init(
                "all-ones",
                value,
                "medium",
                f"the halves of every gate differ by {round_figures(value)}",
            )
    if trace.word.count("Z") == 3 and "C" in trace.word:
        gate = trace.word.index("C")
        return _misplaced(trace, gate, abs(levels[gate]), "high")
    return None


def _half(level: float) -> str:
    """d = hh − ih: what was added to one half is still its sign, if the constant was positive."""
    return "hh" if level > 0 else "ih"


def _misplaced(trace: Trace, gate: int, value: float, confidence: str) -> Init:
    name = GATES[gate]
    evidence = (
        f"the halves of gate {name} differ by {round_figures(value)}, those of the forget gate "
        "show nothing set"
    )
    return trace.init(f"wrong-gate({name})", value, confidence, evidence)


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
        f"({_half(f.mean)})"
    )
    if distance <= laws.KS:
        return trace.init("chrono", steps, "high", evidence)
    return trace.init("chrono", None, "medium", evidence)


def _twin_chrono(trace: Trace) -> Init | None:
    """i and f equal in both halves, g and o drawn: one chrono draw was copied into both (or split
    between them).
    """
    if trace.word != "ZZRR" or not (_equal(trace, I) and _equal(trace, F)):
        return None
    law, forget = fit(trace, (G, O)), laws.moments(trace.bias.ih[F])[0]
    if law.whole and law.fits and forget > 0 > laws.moments(trace.bias.ih[I])[0]:
        evidence = (
            "the halves of i and f are equal, those of g and o drawn: one draw was copied into "
            "both, or split"
        )
        return trace.init("doubled-chrono", None, "medium", evidence)
    return name_no_law("the halves of i and f are equal, those of g and o are not")


def _equal(trace: Trace, gate: int) -> bool:
    """Equal in, equal out: both halves took every step alike, so they may differ by rounding
    only.
    """
    gap = trace.gaps[gate]
    if trace.bias.coarse:
        return 2 * gap.d.count(0.0) >= len(gap.d)
    return all(
        abs(x) <= e for x, e in zip(gap.d, bound_rounding(trace.bias, gate, SHARP), strict=True)
    )


# All four gaps look random. If they fit two default draws at full scale nothing was set. At a
# smaller scale it may have decayed, or been drawn from another bound: no scheme is named then. If
# one gate stands apart, the next two functions look at it.
def _drawn(trace: Trace) -> Init | None:
    """All four gaps look random: the default everywhere, or the default with one half of one gate
    set.
    """
    if trace.word != "RRRR":
        return None
    law, size = fit(trace, range(4)), trace.bias.size
    if size >= 12 and law.fits and max(map(abs, trace.gaps[F].d)) <= trace.bias.bound * 1.0001:
        return name_no_law(
            "the forget halves differ by one draw's width: one of them may have been zeroed"
        )
    if size >= 8 and law.fits and law.whole:
        confidence = "high" if size >= 24 else "medium" if size >= 12 else "low"
        return trace.init(
            "pytorch-default", None, confidence, "all halves differ as two default draws do"
        )
    if size >= 8 and law.fits:
        why = "a decayed default, or another bound" if law.scale < 1 else "another bound"
        return name_no_law(
            f"the halves are random at {law.scale:.2f} of the default's spread: "
            f"{why}{_sides(trace)}"
        )
    return _shifted(trace) or _forget_chrono(trace) if size >= 8 else None


# A draw in one half and a constant in the other: d is the constant less the draw, so flat with a
# mean of the constant, where the other gates' d are triangles around 0. Both are tested, mean and
# shape, because adaptive L2 can move the mean by itself.
def _shifted(trace: Trace) -> Init | None:
    """One gate's d stands off zero and is flat, not triangular: one half is a constant, the other
    still drawn.
    """
    for gate in (F, I, G, O):
        gap, rest = trace.gaps[gate], [g for g in range(4) if g != gate]
        if abs(gap.mean) <= 1.5 * min(trace.gaps[g].std for g in rest):
            continue
        law = fit(trace, rest)
        if not (law.fits and looks_flat(gap, law, trace.bias)):
            continue
        size, value, half = trace.bias.size, law.undecayed(abs(gap.mean)), _half(gap.mean)
        confidence = "high" if size >= 32 and law.whole else "medium" if size >= 16 else "low"
        if gate != F:
            return _misplaced(trace, gate, value, confidence)
        figures = round_figures(value)
        evidence = f"the forget halves differ by {figures} and one uniform draw, the others by two"
        return trace.init(f"one-sided({half}={figures})", value, confidence, evidence)
    return None


def _forget_chrono(trace: Trace) -> Init | None:
    """Chrono in the forget gate alone, in one half, the other half zeroed there; the rest drawn, or
    zero.
    """
    gap, size = trace.gaps[F], trace.bias.size
    values = [abs(x) for x in gap.d]
    if (
        size < 32
        or not gap.one_sign()
        or min(values) >= max(values) / 2
        or max(values) <= 8 * trace.bias.bound
    ):
        return None
    law = fit(trace, (I, G, O)) if trace.word == "RRRR" else None
    distance, steps = laws.log_uniform(values)
    if distance > 1.36 or (law and not (law.fits and law.whole)):
        return None
    return trace.init(
        "chrono", steps, "medium", "the forget halves differ as ln U(1, T−1), not coupled to i"
    )


def _lone_forget(trace: Trace) -> Init | None:
    """Only the forget halves differ."""
    if trace.word != "ZRZZ":
        return None
    return _forget_chrono(trace) or name_no_law(
        "only the forget halves differ, by no listed law", confidence="medium"
    )


def _settled_gate(trace: Trace) -> Init | None:
    """Three gates drawn, one equal or constant: it was written in both halves."""
    if trace.word.count("R") != 3:
        return None
    gate = next(g for g in range(4) if trace.word[g] != "R")
    law, constant, size = (
        fit(trace, [g for g in range(4) if g != gate]),
        trace.word[gate] == "C",
        trace.bias.size,
    )
    blurred = trace.bias.coarse and constant
    if not law.fits or not (law.whole or (0.25 <= law.scale < 1 and not blurred)):
        return name_no_law(
            f"the halves of gate {GATES[gate]} agree, those of the others follow no listed law"
        )
    certain = law.whole and not (blurred and size < 16)
    confidence = "low" if not certain else "high" if size >= 16 else "medium"
    if size < 8 and (gate != F or constant or size < 4 or min(map(abs, trace.bias.ih[F])) <= 0.02):
        return name_no_law("fewer than 8 units: too few to tell")
    return (_set_apart if constant else _set_alike)(trace, gate, law, confidence)


def _set_apart(trace: Trace, gate: int, law: Law, confidence: str) -> Init:
    value = law.undecayed(abs(trace.gaps[gate].level))
    if gate != F:
        return _misplaced(trace, gate, value, confidence)
    evidence = (
        f"the forget halves differ by {round_figures(value)} in every unit "
        f"({_half(trace.gaps[F].level)} holds more)"
    )
    return trace.init(f"constant({round_figures(value)})", value, confidence, evidence)


# The dangerous verdict: "doubled" tells a user that the forget bias is twice what was meant. Equal
# halves also come from a gate that decayed to nothing, so the values must be away from zero, and
# the equality must hold within SHARP.
def _set_alike(trace: Trace, gate: int, law: Law, confidence: str) -> Init:
    """Halves equal to rounding, and not because decay has eaten them both: they were set alike."""
    ih = trace.bias.ih[gate]
    if not _equal(trace, gate) or sorted(map(abs, ih))[len(ih) // 2] < 0.02:
        return name_no_law(
            f"the halves of gate {GATES[gate]} are nearly equal: decay, or a zeroed gate"
        )
    value = laws.moments(ih)[0]
    evidence = (
        f"both halves of gate {GATES[gate]} were set alike (today's mean {round_figures(value)}), "
        "the others drawn"
    )
    scheme = f"doubled({round_figures(value)})" if gate == F else f"wrong-gate({GATES[gate]})"
    return trace.init(scheme, value, confidence, evidence)


def _sides(trace: Trace) -> str:
    """Signs outlive even adaptive L2: on which side of zero the forget gate's d lies, by a 3σ sign
    test.
    """
    d, size = trace.gaps[F].d, trace.bias.size
    above = sum(x > 0 for x in d)
    if size < 16 or trace.word != "RRRR":
        return ""
    if abs(2 * above - size) <= 3 * math.sqrt(size):
        return "; by its signs neither half of the forget gate was set"
    return (
        f"; by its signs one half of the forget gate was set ({_half(2 * above - size)}, if to a "
        "positive value)"
    )


LADDER: tuple[Callable[[Trace], Init | None], ...] = (
    _single_bias,
    _too_coarse,
    _constants,
    _linspace,
    _coupled,
    _twin_chrono,
    _drawn,
    _settled_gate,
    _lone_forget,
)
