"""LA201 to LA203 and LA205: what the user's policy demands. Without options none of them has
anything to say.

Comes in: a `Case` and bounds. Goes out: hits. Promise: a value that equals its bound to the
rounding of the stored dtype is within it, and so is what `patch` writes for that bound.
"""

import math
from collections.abc import Iterator, Sequence

from ..lstm.layer import Lstm
from ..lstm.measure import ACTIVATIONS, Stats, time_scale_of_bias
from ..tuples import NamedTuple
from . import Case, Evidence, Hit, at, coarsest_spacing, make_fix, rule


class Interval(NamedTuple):
    """From `low` to `high`, both allowed, each widened by `slack` of itself for the rounding of
    what is stored.
    """

    low: float
    high: float
    slack: float

    def outside(self, values: Sequence[float]) -> list[float]:
        """The values beyond a bound; NaN is beyond every bound."""
        low, high = self.low - self.slack * abs(self.low), self.high + self.slack * abs(self.high)
        return [value for value in values if not low <= value <= high]

    def excess(self, value: float) -> float:
        """How far a value lies beyond."""
        return math.inf if value != value else max(self.low - value, value - self.high)

    def nearest(self, value: float) -> float:
        """The bound that a value outside has missed."""
        return self.high if value > self.high or self.low == -math.inf else self.low

    def __str__(self) -> str:
        if self.low == -math.inf:
            return f"at most {self.high:.6g}"
        return (
            f"at least {self.low:.6g}"
            if self.high == math.inf
            else f"exactly {self.low:.6g}"
            if self.low == self.high
            else f"from {self.low:.6g} to {self.high:.6g}"
        )


# A stored bias is rounded to its dtype: a forget bias of 0.7 in bfloat16 is 0.6992. Bounds give way
# by one spacing of the coarsest half, for each rounding on the way, so that a file that was patched
# to a bound passes the check for it.
def _bounds(
    lstm: Lstm, low: float | None, high: float | None, roundings: int = 1
) -> Interval | None:
    if low is None and high is None:
        return None
    slack = roundings * coarsest_spacing(lstm)
    return Interval(-math.inf if low is None else low, math.inf if high is None else high, slack)


class Asked(NamedTuple):
    """A quantity of the policy: its name, its statistics, its value unit by unit, and the patch
    target that sets it.
    """

    what: str
    stats: Stats
    units: Sequence[float]
    target: str


# The expected number of a fix is the bound that was missed, not the middle: the smallest change
# that satisfies the policy. A standard deviation has no such number, and so no fix.
def _judge(case: Case, asked: Asked, stat: str, bounds: Interval) -> Hit | None:
    """The hit of one statistic, or of the worst unit under `each`."""
    values = asked.units if stat == "each" else [float(getattr(asked.stats, stat))]
    outside = bounds.outside(values)
    if not outside:
        return None
    worst = max(outside, key=bounds.excess)
    bound = bounds.nearest(worst)
    fix = make_fix(case, asked.target, bound) if stat != "std" else None
    said = f"the {stat} {asked.what} is {worst:.4g}"
    if stat == "each":
        said = (
            f"{len(outside)} of {len(values)} units have a {asked.what} outside of the policy, "
            f"the worst {worst:.4g}"
        )
    message = (
        f"{said}; {bounds} was demanded; {'patch it, or initialise' if fix else 'initialise'} or "
        "train it so"
    )
    return at(case.lstm, message, measured=worst, expected=str(bounds), fix=fix)


@rule("LA201", "forget-bias", "error")
def forget_bias(
    case: Case,
    *,
    stat: str = "mean",
    min: float | None = None,
    max: float | None = None,
    target: float | None = None,
    tolerance: float = 0.05,
) -> Iterator[Hit]:
    """The effective forget bias is not what the policy demands.

    What it sees: a statistic (`mean`, `std`, `min`, `p05`, `p50`, `p95`, `max`) of the effective
    forget bias, or, with `each`, every unit's, is below `min`, above `max`, or further from
    `target` than `tolerance`.

    Why it hurts: the policy is yours. The effective bias is what the gate sees: the sum of both
    halves and of what the framework adds at run time.

    Example: `check --forget-bias 1` on a model with 1 in both halves: the mean is 2, from 0.95 to
    1.05 was demanded.

    Fix:
        lstm-audit patch FILE --forget-bias 1

        with torch.no_grad():
            lstm.bias_ih_l0[H : 2 * H] = 1.0
            lstm.bias_hh_l0[H : 2 * H] = 0.0

    References: Jozefowicz et al. 2015; Gers et al. 2000.
    """
    low, high = min, max
    if target is not None:
        low, high = target - tolerance, target + tolerance
    bounds = _bounds(case.lstm, low, high)
    if bounds is None:
        return
    asked = Asked("forget bias", case.measures.gates["f"], case.values.forget, "forget-bias")
    hit = _judge(case, asked, stat, bounds)
    if hit is not None and target is not None:
        fix = make_fix(case, "forget-bias", target) if hit.fix else None
        hit = at(case.lstm, hit.message, measured=hit.measured, expected=target, fix=fix)
    if hit is not None:
        yield hit


@rule("LA202", "activation", "error")
def activation(
    case: Case, *, stat: str = "mean", min: float | None = None, max: float | None = None
) -> Iterator[Hit]:
    """The forget gate's activation at rest is not what the policy demands.

    What it sees: a statistic of the activation at x = 0, h = 0 over units, or with `each` every
    unit's, is below `min` or above `max`. The mean is that of the activations, not the activation
    of the mean.

    Why it hurts: the activation is the share of memory that survives a step before any input
    speaks. The policy is yours.

    Example: `check --min-activation 0.7` on PyTorch's default: the mean is 0.5, at least 0.7 was
    demanded.

    Fix:
        lstm-audit patch FILE --activation 0.7

        with torch.no_grad():
            lstm.bias_ih_l0[H : 2 * H] = math.log(0.7 / (1 - 0.7))
            lstm.bias_hh_l0[H : 2 * H] = 0.0

    References: Gers et al. 2000; Gu et al. 2020, arXiv 1910.09890.
    """
    bounds = _bounds(case.lstm, min, max)
    if bounds is not None:
        gate = ACTIVATIONS[case.lstm.activation_function]
        units = [gate(b) for b in case.values.forget] if stat == "each" else ()
        hit = _judge(
            case,
            Asked("forget activation", case.measures.activation, units, "activation"),
            stat,
            bounds,
        )
        if hit is not None:
            yield hit


@rule("LA203", "time-scale", "error")
def time_scales(
    case: Case, *, stat: str = "mean", min: float | None = None, max: float | None = None
) -> Iterator[Hit]:
    """The time scale of the memory is not what the policy demands.

    What it sees: a statistic of τ = −1/ln f in steps over units, or with `each` every unit's, is
    below `min` or above `max`.

    Why it hurts: a unit forgets all but 1/e in τ steps. Where no unit reaches the length of what
    must be remembered, gradients over that length vanish from the start. The policy is yours.

    Example: `check --min-time-scale 50` on a forget bias of 1: τ is 3.2 steps in every unit.

    Fix:
        lstm-audit patch FILE --time-scale 50

        with torch.no_grad():
            lstm.bias_ih_l0[H : 2 * H] = -math.log(math.expm1(1 / 50))
            lstm.bias_hh_l0[H : 2 * H] = 0.0

    References: Tallec & Ollivier 2018, arXiv 1804.11188; Mahto et al. 2021, arXiv 2009.12727.
    """
    # τ ~ e^b: the rounding of b, below 16 in any use, stands in τ as many times
    bounds = _bounds(case.lstm, min, max, roundings=16)
    if bounds is not None:
        units = _time_scales(case) if stat == "each" else ()
        hit = _judge(
            case, Asked("time scale", case.measures.time_scale, units, "time-scale"), stat, bounds
        )
        if hit is not None:
            yield hit


def _time_scales(case: Case) -> list[float]:
    function = case.lstm.activation_function
    return [time_scale_of_bias(bias, function) for bias in case.values.forget]


@rule("LA205", "no-lstm", "error", scope="file")
def no_lstm(evidence: Evidence, *, required: bool = False) -> Iterator[Hit]:
    """No LSTM was found where one is required.

    What it sees: a checkpoint that could be read and holds no LSTM that could be judged. Off unless
    `required`.

    Why it hurts: a gate that audits nothing passes everything: a renamed layer, a wrong file or a
    frozen export would make a build green for ever.

    Example: 0 LSTMs in a checkpoint with one GRU: "decoder: gru".

    Fix: point `check` at the right file, or set `require-lstm = false`. What was skipped is listed
    with its reason; a state dict with its names is the form in which everything can be judged: no
    `lstm-audit patch` is needed, but

        state = model.state_dict()
        assert any("weight_hh" in name for name in state)
        torch.save(state, "model.pt")

    References: the names by which LSTMs are found are those of torch.nn.LSTM and of the conventions
    in the README.
    """
    if required and not evidence.cases:
        said = dict.fromkeys(f"{s.module or '(root)'}: {s.reason}" for s in evidence.skipped)
        skipped = "; ".join([*said][:5])
        aside = f" ({skipped})" if skipped else ""
        message = f"0 LSTMs in this file{aside}; at least 1 is required; is it the right file?"
        yield Hit(message, measured=0, expected=1)
