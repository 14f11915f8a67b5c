"""Initialisations that training has moved: what the difference of the halves still says.

In: a `Bias` that is not fresh. Out: an `Init`, `unknown` where nothing is certain enough. It
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

from ..conventions import HALF_NAMES
from . import laws
from .bias import Bias, F, G, I, O
from .division import is_divided
from .forget_chrono import name_chrono
from .odds import is_one_draw
from .schemes import GATES, Init, name_no_law, round_figures
from .spread import SPREAD
from .trace import Law, Trace, fit, half_set, is_equal, looks_flat, rounding_is_small


# The ladder goes from what explains most to what explains least, and each step either names a
# scheme, says that it knows nothing *for a reason*, or passes. Early steps exist to stop the
# others: a single bias has no difference to read, and a coarse dtype could not show one.
def judge_trained(trace: Trace) -> Init:
    """The first step of the ladder that has an answer has the word."""
    for step in LADDER:
        if answer := step(trace):
            return answer
    return name_no_law(
        f"no listed pattern in the difference of the halves ({trace.word}){_sides(trace)}"
    )


def is_single(bias: Bias) -> bool:
    """Whether one half is 0 everywhere, so that d is just minus or plus the other."""
    return not (any(map(any, bias.ih)) and any(map(any, bias.hh)))


def _single_bias(trace: Trace) -> Init | None:
    """Keras and ONNX know one bias; a converter writes zeros for the other."""
    if not is_single(trace.bias):
        return None
    name = HALF_NAMES["hh" if any(map(any, trace.bias.ih)) else "ih"]
    return name_no_law(f"{name} is 0 everywhere: a single bias, its halves say nothing")


def _find_divided(trace: Trace) -> Init | None:
    """Our own patch, after a training; where the sums are not one number, before one, or a law."""
    ih, hh = trace.bias.ih[F], trace.bias.hh[F]
    if not is_divided(ih, hh, trace.bias.epsilon):
        return None
    evidence = "`patch --place split` divided the forget bias between the halves"
    if len({*ih}) == len({*hh}) == 1:
        value = ih[0] + hh[0]
        return Init(f"constant({round_figures(value)})", value, "undetermined", "high", evidence)
    return name_no_law(evidence)


def _too_coarse(trace: Trace) -> Init | None:
    """Equal halves mean nothing where the dtype could not have shown a difference."""
    if rounding_is_small(trace):
        return None
    return name_no_law(f"stored too coarsely in {trace.bias.held} to compare the halves")


# The word has a letter a gate. "ZCZZ" is a forget gate that differs by a constant while the others
# do not differ at all: zeros everywhere, and a number written into one half of f. Such a word
# survives any training by SGD or Adam, because both halves were moved alike.
def _constants(trace: Trace) -> Init | None:
    """Nothing was drawn: every gate's d is one constant, so zeros or single numbers were written
    over the draws.
    """
    levels = [gap.level for gap in trace.gaps]
    value = abs(levels[F])
    match trace.word:
        case "ZZZZ":
            return name_no_law(
                "equal halves: zeros, or every gate set alike in both", confidence="high"
            )
        case "ZCZZ":
            return trace.constant(value, levels[F], "high")
        case "CCCC" if max(levels) - min(levels) <= 1e-3 * value:
            return trace.init(
                "all-ones",
                value,
                "medium",
                f"the halves of every gate differ by {round_figures(value)}",
            )
    if trace.word.count("Z") == 3 and "C" in trace.word:
        gate = trace.word.index("C")
        return trace.name_misplaced(gate, abs(levels[gate]), "high")
    return None


# All four gaps look random. If they fit two default draws at full scale nothing was set. At a
# smaller scale it may have decayed, or been drawn from another bound: no scheme is named then. If
# one gate stands apart, the next two functions look at it.
def _find_drawn(trace: Trace) -> Init | None:
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
        confidence = "high" if size >= 48 else "medium" if size >= 12 else "low"
        return trace.init(
            "pytorch-default", None, confidence, "all halves differ as two default draws do"
        )
    if size >= 8 and law.fits:
        why = "a decayed default, or another bound" if law.scale < 1 else "another bound"
        return name_no_law(
            f"the halves are random at {law.scale:.2f} of the default's spread: "
            f"{why}{_sides(trace)}"
        )
    return _find_shifted(trace) or name_chrono(trace) if size >= 8 else None


# A draw in one half and a constant in the other: d is the constant less the draw, so flat with a
# mean of the constant, where the other gates' d are triangles around 0. Both are tested, mean and
# shape, because adaptive L2 can move the mean by itself.
def _find_shifted(trace: Trace) -> Init | None:
    """One gate's d stands off zero and is flat, not triangular: one half is a constant, the other
    still drawn.
    """
    for gate in (F, I, G, O):
        gap, rest = trace.gaps[gate], [g for g in range(4) if g != gate]
        if abs(gap.mean) <= 1.5 * min(trace.gaps[g].std for g in rest):
            continue
        law = fit(trace, rest)
        reach = trace.bias.bound * (1 if law.whole else law.scale)
        flat = law.fits and looks_flat(gap, law, trace.bias)
        if not (flat and is_one_draw(trace.bias, gate, gap, reach)):
            continue
        size, value = trace.bias.size, law.undo_decay(abs(gap.mean))
        confidence = "high" if size >= 48 and law.whole else "medium" if size >= 16 else "low"
        if gate != F:
            return trace.name_misplaced(gate, value, confidence)
        return trace.one_sided(value, confidence)
    return None


def _lone_forget(trace: Trace) -> Init | None:
    """Only the forget halves differ."""
    if trace.word != "ZRZZ":
        return None
    return name_chrono(trace) or name_no_law(
        "only the forget halves differ, by no listed law", confidence="medium"
    )


def _find_settled_gate(trace: Trace) -> Init | None:
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
    value = law.undo_decay(abs(trace.gaps[gate].level))
    if gate != F:
        return trace.name_misplaced(gate, value, confidence)
    return trace.constant(value, trace.gaps[F].level, confidence)


# The dangerous verdict: "doubled" tells a user that the forget bias is twice what was meant. Equal
# halves also come from a gate that decayed to nothing, so the values must be away from zero, and
# the equality must hold within SHARP.
def _set_alike(trace: Trace, gate: int, law: Law, confidence: str) -> Init:
    """Halves equal to rounding, and not because decay has eaten them both: they were set alike."""
    ih = trace.bias.ih[gate]
    if not is_equal(trace, gate) or sorted(map(abs, ih))[len(ih) // 2] < 0.02:
        return name_no_law(
            f"the halves of gate {GATES[gate]} are nearly equal: decay, or a zeroed gate"
        )
    value = laws.mean(ih)
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
        "; by its signs one half of the forget gate was set "
        f"({half_set(2 * above - size)}, if to a positive value)"
    )


LADDER: tuple[Callable[[Trace], Init | None], ...] = (
    _single_bias,
    _find_divided,
    _too_coarse,
    _constants,
    *SPREAD,
    _find_drawn,
    _find_settled_gate,
    _lone_forget,
)
