"""Behaviours of a forget gate, turned into the bias that gives them.

Comes in: an activation, a time scale, a half-life or a horizon. Goes out: one bias. Promise: exact
to the rounding of its argument wherever that lies, next to 0 and next to 1 too; what no bias can
give is `BadPolicy` with the range.

With everything else at rest the memory decays as c_t = f^t, f = σ(b). All of them name the decay
a step y = −ln f, and b = logit(e^−y) = −ln(e^y − 1) (Mahto et al. 2021, arXiv 2009.12727: y = 1/T).
"""

import math
from collections.abc import Callable, Mapping
from functools import partial

from .activations import parse_activation
from .errors import BadPolicy

# The steps that a time scale, a half-life or a horizon may be; far beyond both, float64 cannot hold
# the decay.
FEWEST, MOST = 1e-100, 1e100


def logit(f: float) -> float:
    """ln(f / (1 − f)), for 0 < f < 1."""
    if (
        0.25 <= f <= 0.75
    ):  # 2f − 1 is exact here, while ln(f / (1 − f)) would lose every digit near one half
        return math.log1p((2.0 * f - 1.0) / (1.0 - f))
    return math.log(f / (1.0 - f))


def bias_of_decay(y: float) -> float:
    """−ln(e^y − 1): the bias at which ln σ(b) = −y, for y > 0."""
    if y < 1.0:
        return -math.log(math.expm1(y))
    return -y - math.log1p(-math.exp(-y))  # e^y overflows at 710


def _hard_logit(f: float) -> float:
    """The inverse of relu6(x + 3) / 6."""
    return 6.0 * f - 3.0


def _hard_bias_of_decay(y: float) -> float:
    """The same, of f = e^−y; the steps of float64 just below 3 end it at T ≈ 1e16."""
    return 3.0 + 6.0 * math.expm1(-y)


Inverse = Callable[[float], float]


class _Inverses(dict[str, tuple[Inverse, Inverse]]):
    """By name; of an activation with numbers of its own, made when it is first asked for."""

    def __missing__(self, name: str) -> tuple[Inverse, Inverse]:
        shape = parse_activation(name)
        pair: tuple[Inverse, Inverse] = logit, bias_of_decay
        if shape.kind == "hard_sigmoid":
            alpha, beta = shape.alpha, shape.beta
            pair = lambda f: (f - beta) / alpha, lambda y: (math.exp(-y) - beta) / alpha
        self[name] = tuple(partial(_within, inverse, shape.clip) for inverse in pair)  # type: ignore[assignment]  # a pair of them
        return self[name]


def _within(inverse: Inverse, clip: float, wished: float) -> float:
    """The bias, if the gate's clip lets it through."""
    bias = inverse(wished)
    if clip and abs(bias) > clip:
        raise BadPolicy(f"the gate clips its input at {clip:g}, and would need {bias:g}")
    return bias


# By a gate's `activation_function`: the bias of an activation, and of a decay a step.
INVERSES: Mapping[str, tuple[Inverse, Inverse]] = _Inverses(
    sigmoid=(logit, bias_of_decay), hard_sigmoid=(_hard_logit, _hard_bias_of_decay)
)


def from_activation(activation: float, function: str = "sigmoid") -> float:
    """The bias at which the forget gate stands at `activation`, the share of memory that survives a
    step.
    """
    if not 0.0 < activation < 1.0:
        raise BadPolicy(f"an activation lies between 0 and 1, both excluded, not {activation!r}")
    return INVERSES[function][0](activation)


def from_time_scale(steps: float, function: str = "sigmoid") -> float:
    """The bias at which memory falls to 1/e after `steps` steps."""
    return INVERSES[function][1](1.0 / _steps(steps, "a time scale"))


def from_half_life(steps: float, function: str = "sigmoid") -> float:
    """The bias at which half of the memory is left after `steps` steps."""
    return INVERSES[function][1](math.log(2.0) / _steps(steps, "a half-life"))


def from_horizon(steps: float, share: float, function: str = "sigmoid") -> float:
    """The bias at which `share` of the memory is left after `steps` steps:
    logit(share^(1/steps)).
    """
    if not 0.0 < share < 1.0:
        raise BadPolicy(
            f"the share kept over a horizon lies between 0 and 1, both excluded, not {share!r}"
        )
    return INVERSES[function][1](-math.log(share) / _steps(steps, "a horizon"))


def _steps(steps: float, what: str) -> float:
    if not FEWEST <= steps <= MOST:
        raise BadPolicy(
            f"{what} is a number of steps, above 0 (from {FEWEST:g} to {MOST:g}), not {steps!r}"
        )
    return steps
