"""The small layers of one module as one sample.

In: the traces of a module's recurrences and what was said of each. Out: the same, with
`pytorch-default` where all of them together bear it out. It promises to pool only what nobody had a
name for and what is no exception among them: layers of one module share the optimiser and the
recipe, but one of them may have been set.
"""

import math
from collections.abc import Sequence

from . import laws
from .bias import F
from .odds import rivals
from .one_gate import are_even
from .schemes import Init
from .trace import TRIANGLE, Trace
from .vetoes import is_lifted

FEWEST = 48  # gaps, in units of their bound, whose law can be told


def pool(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """Name the defaults among the small layers; a trace is None where none was needed."""
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
