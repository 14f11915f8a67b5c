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
from .bias import F
from .forget_chrono import name_chronos
from .odds import rivals
from .one_gate import are_even
from .sample import Sample, join
from .schemes import Init, name_no_law
from .shifts import doubt_shifts, name_shifts
from .trace import TRIANGLE, Trace
from .vetoes import is_lifted

FEWEST = 48  # gaps, in units of their bound, whose law can be told

# Log odds of two uniform draws against normal ones: below the first there is no name, below the
# second it is medium at most. Of true defaults of 32 units 8 % stay below the first, of 64 2 %; of
# normal ones as wide 7 % and 1 % reach it.
LEAST_ODDS, SURE_ODDS = 1.0, 2.0

# Of fewer gaps there is no name below the second: 55 % of true defaults of 16 units stay below it,
# but 95 % of normal ones as wide, and those were most of the wrong names of a hold-out.
FEW = 100


def pool(traces: Sequence[Trace | None], inits: Sequence[Init]) -> list[Init]:
    """Name what the layers together show; a trace is None where none was needed."""
    named = name_shifts(traces, _name_defaults(traces, name_chronos(traces, inits)))
    return _doubt_defaults(traces, doubt_shifts(traces, named))


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
    if not loose:
        return list(inits)
    together = [*loose, *known]
    if not _are_default(together):
        return list(inits)
    size = sum(4 * trace.bias.size for trace in together)
    meant = {id(trace) for trace in loose if _fits_alone(trace)}
    confidence = "high" if size >= 4 * FEWEST else "medium"
    evidence = f"the module's halves together differ as default draws do ({size} values)"
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
    pairs = [(trace, init) for trace, init in zip(traces, inits, strict=True) if trace]
    named = [trace for trace, init in pairs if init.scheme == "pytorch-default"]
    if not named:
        return list(inits)
    loose = [trace for trace, init in pairs if init.scheme == "unknown" and _are_about_0(trace)]
    meant = [*named, *filter(_is_as_wide, loose)]
    sample = _join(meant)
    _, normal = rivals(sample)
    least = LEAST_ODDS if sample.size >= FEW else SURE_ODDS
    chance = len(loose) >= len(named)
    if normal >= SURE_ODDS and not chance:
        return list(inits)
    return [
        _doubt(init, normal, least, chance) if trace and init.scheme == "pytorch-default" else init
        for trace, init in zip(traces, inits, strict=True)
    ]


def _are_about_0(trace: Trace) -> bool:
    """Whether all gaps are spread about 0: nothing was set in one half alone."""
    return trace.sample is not None and all(gap.is_centred() for gap in trace.gaps)


def _is_as_wide(trace: Trace) -> bool:
    """Whether the gaps are about as far spread as a default's; some may lie beyond."""
    return 0.8 <= _scale(_join([trace])) <= 1.25


# One loop drew all layers by one law. Where half of them do not look like it or more, those that do
# are no proof.
def _doubt(init: Init, normal: float, least: float, chance: bool) -> Init:
    if chance and init.confidence == "medium":
        return name_no_law(f"perhaps {init.scheme}, but the layers beside it do not look drawn so")
    if normal >= SURE_ODDS:
        return init
    if normal >= least:
        return init._replace(confidence="medium")
    return name_no_law(
        "the halves differ as two default draws do, but a normal law explains it as well"
    )


def _is_plain(trace: Trace) -> bool:
    """Whether all four gaps look drawn, nothing was zeroed, and nothing added to both halves."""
    bound = trace.bias.bound
    if not _are_about_0(trace):
        return False
    zeroed = max(map(abs, trace.gaps[F].d)) <= bound * 1.0001  # no wider than one draw
    return not zeroed and are_even(trace.gaps, bound) and not is_lifted(trace)


def _join(traces: Sequence[Trace]) -> Sample:
    return join([trace.sample for trace in traces if trace.sample])


def _scale(sample: Sample) -> float:
    return sample.spread() / TRIANGLE


def _is_whole(sample: Sample) -> bool:
    return abs(_scale(sample) - 1) <= 1.2 / math.sqrt(sample.size) + 0.01


def _are_default(traces: Sequence[Trace]) -> bool:
    """Whether the gaps of these layers, in units of their bounds, are differences of two default
    draws, and of no other law.
    """
    sample = _join(traces)
    if sample.size < FEWEST or not _is_whole(sample):
        return False
    uniform, normal = rivals(sample)
    if uniform < 1 or normal < -1:
        return False
    values = [v / trace.bias.bound for trace in traces for gap in trace.gaps for v in gap.d]
    return laws.ks_triangle(values, 2.0) <= 1.36


def _fits_alone(trace: Trace) -> bool:
    """Whether this layer's own spread is a default's too."""
    return _is_whole(_join([trace]))
