"""Behaviours into biases: against 60 digits of mpmath, and back through the measures that a report
shows.
"""

import math
import sys

import mpmath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_audit.decay import (
    FEWEST,
    INVERSES,
    MOST,
    bias_of_decay,
    from_activation,
    from_half_life,
    from_horizon,
    from_time_scale,
    logit,
)
from lstm_audit.errors import BadPolicy
from lstm_audit.lstm.measure import ACTIVATIONS, hard_sigmoid, sigmoid, time_scale, time_scale_of

mpmath.mp.dps = 60
EPS = sys.float_info.epsilon
steps = st.floats(FEWEST, MOST)
inside = st.floats(0.0, 1.0, exclude_min=True, exclude_max=True)
bad_shares = [0.0, 1.0, -0.5, 1.0000001, math.nan, math.inf, -math.inf]
bad_steps = [0.0, -1.0, 5e-324, 1e101, math.nan, math.inf, -math.inf]


def near(value: float, exact: mpmath.mpf, slack: float = 8 * EPS) -> bool:
    """Within a few last places, next to zero too."""
    return bool(abs(mpmath.mpf(value) - exact) <= slack * abs(exact))


def of_decay(y: mpmath.mpf) -> mpmath.mpf:
    return -mpmath.log(mpmath.expm1(y))


@given(inside)
def test_an_activation_is_exact_everywhere(f: float) -> None:
    x = mpmath.mpf(f)
    assert near(from_activation(f), mpmath.log(x / (1 - x)))


@pytest.mark.parametrize("f", [5e-324, 1e-300, 0.25, 0.5 - 2**-54, 0.5 + 2**-53, 0.75, 1 - 2**-53])
def test_an_activation_is_exact_at_the_edges(f: float) -> None:
    x = mpmath.mpf(f)
    assert near(logit(f), mpmath.log(x / (1 - x)), 2 * EPS)


def test_one_half_is_zero_exactly() -> None:
    assert from_activation(0.5) == 0.0


@given(steps)
def test_a_time_scale_is_exact_to_the_rounding_of_its_inverse(steps: float) -> None:
    exact = of_decay(1 / mpmath.mpf(steps))
    assert abs(from_time_scale(steps) - exact) <= 4 * EPS * max(1, abs(exact))


@given(steps)
def test_a_half_life_is_a_time_scale_over_ln_2(steps: float) -> None:
    exact = of_decay(mpmath.log(2) / mpmath.mpf(steps))
    assert abs(from_half_life(steps) - exact) <= 4 * EPS * max(1, abs(exact))


@given(steps, inside)
def test_a_horizon_is_the_logit_of_the_root(steps: float, share: float) -> None:
    exact = of_decay(-mpmath.log(mpmath.mpf(share)) / mpmath.mpf(steps))
    assert abs(from_horizon(steps, share) - exact) <= 4 * EPS * max(1, abs(exact))


def test_a_horizon_agrees_with_the_formula_of_the_manual() -> None:
    f = 0.1 ** (1 / 50)
    assert from_horizon(50, 0.1) == pytest.approx(math.log(f / (1 - f)), rel=1e-12)
    assert sigmoid(from_horizon(50, 0.1)) ** 50 == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("y", [1 - 2**-53, 1.0, 709.0, 711.0, 1e300])
def test_a_fast_decay_does_not_overflow(y: float) -> None:
    assert near(bias_of_decay(y), of_decay(mpmath.mpf(y)) if y < 1e6 else -mpmath.mpf(y))


@given(inside.filter(lambda f: f > 1e-300))
def test_the_activation_comes_back(f: float) -> None:
    b = from_activation(f)
    assert sigmoid(b) == pytest.approx(f, rel=4 * EPS * max(1.0, abs(b)))


@given(steps)
def test_the_time_scale_comes_back(steps: float) -> None:
    b = from_time_scale(steps)
    assert time_scale(b) == pytest.approx(
        steps, rel=8 * EPS * max(1.0, abs(b)) if b > -30 else 1e-12
    )


@given(steps)
def test_the_half_life_comes_back(steps: float) -> None:
    b = from_half_life(steps)
    assert time_scale(b) * math.log(2) == pytest.approx(
        steps, rel=8 * EPS * max(1.0, abs(b)) if b > -30 else 1e-12
    )


@pytest.mark.parametrize(
    ("b", "scale"), [(-1, 0.76), (0, 1.44), (1, 3.19), (2, 7.88), (3, 20.6), (5, 148.9)]
)
def test_the_published_table(b: float, scale: float) -> None:
    assert from_time_scale(scale) == pytest.approx(b, abs=0.01)


def test_every_activation_function_has_its_inverses() -> None:
    """Those with numbers of their own are made when a file names them, and so are their inverses."""
    plain = {name for name in ACTIVATIONS if "(" not in name and "clip" not in name}
    assert plain <= INVERSES.keys()


@given(inside)
def test_a_hard_sigmoid_is_inverted_as_itself(f: float) -> None:
    assert hard_sigmoid(from_activation(f, "hard_sigmoid")) == pytest.approx(f, abs=EPS)


@given(st.floats(0.05, 1e6))
def test_a_hard_sigmoid_keeps_its_time_scale(steps: float) -> None:
    gate = hard_sigmoid(from_time_scale(steps, "hard_sigmoid"))
    assert time_scale_of(gate) == pytest.approx(steps, rel=1e-8)
    assert from_half_life(steps * math.log(2), "hard_sigmoid") == pytest.approx(
        6 * gate - 3, abs=1e-14
    )
    assert from_horizon(2 * steps, math.exp(-2), "hard_sigmoid") == pytest.approx(
        6 * gate - 3, abs=1e-14
    )


@pytest.mark.parametrize("share", bad_shares)
def test_no_bias_gives_a_share_outside_0_and_1(share: float) -> None:
    with pytest.raises(BadPolicy, match="between 0 and 1"):
        from_activation(share)
    with pytest.raises(BadPolicy, match="between 0 and 1"):
        from_horizon(10, share)


@pytest.mark.parametrize("steps", bad_steps)
def test_steps_are_positive_and_bounded(steps: float) -> None:
    for name, convert in (("time scale", from_time_scale), ("half-life", from_half_life)):
        with pytest.raises(BadPolicy, match=f"{name} .*from 1e-100 to 1e[+]?100"):
            convert(steps)
    with pytest.raises(BadPolicy, match=r"horizon .*from 1e-100"):
        from_horizon(steps, 0.5)


@pytest.mark.parametrize("steps", [FEWEST, MOST])
def test_the_ends_of_the_range_are_inside(steps: float) -> None:
    assert math.isfinite(from_time_scale(steps))
    assert math.isfinite(from_half_life(steps))
    assert math.isfinite(from_horizon(steps, 5e-324))
    assert math.isfinite(from_horizon(steps, 1 - 2**-53))
