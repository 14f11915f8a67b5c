"""Recurrences of one module of which some have moved, read together.

In: of each what its values say, or the bias itself where they say nothing. Out: the `Init` of each.
It promises to change no answer that a fresh bias gave by itself.
"""

from collections.abc import Sequence

from . import lattice
from .bias import Bias, F
from .decay import Factor, factor_of
from .one_gate import name
from .optimizer import Regime, weigh
from .pool import pool
from .schemes import Init, add_remark, settle
from .trace import Trace, trace_of
from .trained import is_single, judge_trained
from .vetoes import sign, veto


def identify_moved(readings: Sequence[Init | Bias], regime: Regime | None) -> list[Init]:
    """The module's answers: each trace by itself, then with the decay that all of them show, then
    as one sample, then before what the optimizer's settings say.
    """
    read = [trace_of(one) if isinstance(one, Bias) else one for one in readings]
    traces = [one if isinstance(one, Trace) else None for one in read]
    factor = factor_of([trace for trace in traces if trace])
    inits = [_name(one, factor) if isinstance(one, Trace) else one for one in read]
    inits = pool(traces, inits)
    if regime is None:
        return inits
    return [
        weigh(trace, init, regime) if trace else init
        for trace, init in zip(traces, inits, strict=True)
    ]


def _name(trace: Trace, factor: Factor | None) -> Init:
    """The name that stands, or one that a single gate gives; with what a fresh gate adds to it."""
    init = settle(judge_trained(trace))
    if init.scheme != "unknown":
        init = veto(trace, init, factor)
    elif not is_single(trace.bias):
        found = name(trace, factor)
        init = sign(trace, found) if found else init
    return _remark(trace.bias, init)


def _remark(bias: Bias, init: Init) -> Init:
    """A forget gate that still lies on the lattice while the others moved: it got no gradient, or
    only steps below half a last place.
    """
    draws = bias.draws((F,))
    if bias.held != "float32" or "N" in bias.kinds[F] or not draws:
        return init
    if not lattice.prove(draws, bias.bound).holds:
        return init
    return add_remark(init, "no value of the forget gate has moved since it was drawn")
