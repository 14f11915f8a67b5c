"""What an answer of the ladder must not be, and the number it may not bear.

In: a trained bias's `Trace`, the answer, and the module's common decay. Out: the answer, the same
with another number or none, or `unknown`. It promises to take away, never to add: no name comes
from here that the ladder did not give.
"""

from collections.abc import Callable, Mapping

from . import laws
from .bias import F, G, I, O
from .decay import Factor, exact_number, number_set, shape
from .odds import is_triangular
from .one_gate import LEAST, is_raised
from .schemes import Init, family, name_no_law, round_figures
from .trace import Trace

Veto = Callable[[Trace, Init, Factor | None], Init]

# Differences of the halves below it are what decay has left, or autocast's noise in 16 bits.
REMNANT = 0.01


def veto(trace: Trace, init: Init, factor: Factor | None) -> Init:
    """The answer as far as it holds."""
    check = CHECKS.get(family(init))
    return sign(trace, check(trace, init, factor)) if check else init


def _veto_doubled(trace: Trace, init: Init, _: Factor | None) -> Init:
    if is_raised(trace.bias.ih[F]):
        return init
    return name_no_law("the forget halves are equal and near zero: set alike, or zeroed")


def _default(trace: Trace, init: Init, _: Factor | None) -> Init:
    """Two default draws, and not another law of their spread; nothing added to both halves."""
    if not (trace.sample and is_triangular(trace.sample)):
        return name_no_law(
            "the halves differ as two default draws do, but a uniform or a normal law explains it "
            "better"
        )
    if is_lifted(trace):
        return name_no_law(
            "the halves differ as two default draws do, but both forget halves stand far above "
            "zero: something may have been added to both"
        )
    return init


# A mean that a gate's sum reaches where training ran away: beside it no added number shows.
EXPLODED = 10.0


# Training that lifts a forget gate so far also spreads its units; a number added to all does not.
def is_lifted(trace: Trace) -> bool:
    """Both forget halves far above zero, and no other gate like it, or all units alike, or another
    gate beyond all bounds: a constant that was added to both leaves no other trace.
    """
    ih, hh = trace.bias.ih, trace.bias.hh
    one, two = laws.mean(ih[F]), laws.mean(hh[F])
    if min(one, two) <= max(0.45, 1.5 * trace.bias.bound):
        return False
    others = max(abs(laws.mean(ih[g]) + laws.mean(hh[g])) for g in (I, G, O))
    spread = laws.moments([a + b for a, b in zip(ih[F], hh[F], strict=True)])[1]
    return one + two > 3 * others or one + two > 4 * spread or others > EXPLODED


def _one_sided(trace: Trace, init: Init, factor: Factor | None) -> Init:
    return trace.one_sided(number_set(trace, factor), init.confidence)


def _constant(trace: Trace, init: Init, factor: Factor | None) -> Init:
    """An exact constant shrank exactly as the others did."""
    gap = trace.gaps[F]
    raw = abs(gap.level)
    if raw < REMNANT:
        return name_no_law(
            f"the forget halves differ by {round_figures(raw)}: what decay has left, or noise"
        )
    if "divided" in init.evidence:
        return init
    known = shape(factor, [trace.gaps[g] for g in (I, G, O) if trace.gaps[g].kind == "R"])
    return trace.constant(exact_number(gap, known), gap.level, init.confidence)


# A gap that is smaller than what training adds to a mean: beside it the sign of the mean says which
# half was set only where both agree.
SMALL = 0.5


def sign(trace: Trace, init: Init) -> Init:
    """The half that was set, by the sign of today's mean: −c in one half differs from the other as
    c in the other does. A constant whose half is not sure is left without its number.
    """
    gap = abs(trace.gaps[F].mean)
    today = laws.mean(trace.bias.ih[F]) + laws.mean(trace.bias.hh[F])
    name, _, argument = init.scheme.rstrip(")").partition("(")
    if name not in ("one-sided", "constant"):
        return init
    if gap < SMALL:
        if name == "one-sided" or init.value is None or today >= gap / 2:
            return init
        evidence = f"{init.evidence}; today's mean does not say which half held it"
        return init._replace(scheme=name, value=None, evidence=evidence)
    if today >= -gap / 2:
        return init
    evidence = f"{init.evidence}; the forget gate is negative today, so the number was"
    if name == "one-sided":
        half = "ih" if argument.startswith("hh") else "hh"
        argument = half if init.value is None else f"{half}={round_figures(-init.value)}"
    elif init.value is not None:
        argument = round_figures(-init.value)
    value = None if init.value is None else -init.value
    scheme = f"{name}({argument})" if argument else name
    return init._replace(scheme=scheme, value=value, evidence=evidence)


def _linspace(trace: Trace, init: Init, _: Factor | None) -> Init:
    if max(map(abs, trace.gaps[F].d)) >= REMNANT:
        return init
    return name_no_law("decay has eaten the difference of the forget halves")


def _veto_misplaced(trace: Trace, init: Init, _: Factor | None) -> Init:
    gate = "ifgo".index(init.scheme[-2])
    equal = trace.gaps[gate].kind == "Z"
    if init.value is None or abs(init.value) >= (LEAST if equal else REMNANT):
        return init
    return name_no_law(f"the halves of gate {init.scheme[-2]} differ by what decay or noise leave")


CHECKS: Mapping[str, Veto] = {
    "doubled": _veto_doubled,
    "pytorch-default": _default,
    "one-sided": _one_sided,
    "constant": _constant,
    "linspace": _linspace,
    "wrong-gate": _veto_misplaced,
}
