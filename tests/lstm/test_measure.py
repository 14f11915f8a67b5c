"""Statistics against numpy, and the odd values for which numpy has no answer."""

import math
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_audit.lstm.layer import GATES, Lstm, Term
from lstm_audit.lstm.measure import (
    BINS,
    Measures,
    Stats,
    Values,
    hard_sigmoid,
    measure,
    of_sorted,
    read_values,
    sigmoid,
    time_scale,
    time_scale_of,
)
from lstm_audit.raw.dtypes import DTYPES
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.raw.tensor import Block, contiguous

FLOATS = st.floats(-1e6, 1e6).map(lambda value: round(value, 9))  # of 1e-237, numpy's variance is 0
LARGEST = sys.float_info.max
NAN, INFINITY = math.nan, math.inf


def near(value: float, scale: float) -> object:
    """To rounding: of the value, and of the largest of what it was computed from."""
    return pytest.approx(value, rel=1e-12, abs=1e-13 * scale)


@given(st.lists(FLOATS, min_size=1, max_size=300))
@example([0.1] * 7)
@example([1.0, 2.0])
def test_statistics_are_numpys(values: list[float]) -> None:
    found = of_sorted(sorted(values))
    scale = max(map(abs, values))
    assert found.mean == near(float(np.mean(values)), scale)
    assert found.std == near(float(np.std(values)), scale)
    assert (found.min, found.max) == (min(values), max(values))
    for share, mine in ((5, found.p05), (50, found.p50), (95, found.p95)):
        assert mine == near(float(np.percentile(values, share)), scale)
    assert found.min <= found.p05 <= found.p50 <= found.p95 <= found.max or len(values) == 1
    assert found.min <= found.mean <= found.max


def test_one_value_has_no_spread() -> None:
    assert of_sorted([0.1] * 10) == Stats(0.1, 0.0, 0.1, 0.1, 0.1, 0.1, 0.1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], [NAN] * 7),
        ([1.0, NAN, 2.0], [NAN] * 7),
        ([INFINITY, INFINITY], [INFINITY, NAN, INFINITY, INFINITY, INFINITY, INFINITY, INFINITY]),
        ([0.0, 0.0, 0.0, INFINITY], [INFINITY, NAN, 0.0, 0.0, 0.0, INFINITY, INFINITY]),
        ([-INFINITY, 1.0, 2.0], [-INFINITY, NAN, -INFINITY, -INFINITY, 1.0, 1.9, 2.0]),
        ([-INFINITY, INFINITY], [NAN, NAN, -INFINITY, NAN, NAN, NAN, INFINITY]),
        ([LARGEST, LARGEST], [LARGEST, 0.0, *[LARGEST] * 5]),
        (
            [-LARGEST, LARGEST],
            [0.0, LARGEST, -LARGEST, -0.9 * LARGEST, 0.0, 0.9 * LARGEST, LARGEST],
        ),
        (
            [0.0, LARGEST, LARGEST, LARGEST],
            [LARGEST * 0.75, None, 0.0, None, LARGEST, LARGEST, LARGEST],
        ),
    ],
)
def test_values_that_are_odd_or_huge(values: list[float], expected: list[float | None]) -> None:
    for name, mine, wanted in zip(Stats._fields, of_sorted(values), expected, strict=True):
        if wanted is not None:
            assert mine == pytest.approx(wanted, rel=1e-12, nan_ok=True), name


@given(st.floats(-800, 800))
def test_gates_and_time_scales_without_overflow(x: float) -> None:
    f = sigmoid(x)
    assert 0.0 <= f <= 1.0
    assert f + sigmoid(-x) == pytest.approx(1.0)
    if 1e-300 < f < 0.999:
        assert time_scale(x) == pytest.approx(-1 / math.log(f), rel=1e-9)
    assert time_scale(x) > 0


def test_the_ends_of_the_time_scale() -> None:
    assert time_scale(-INFINITY) == 0.0
    assert time_scale(INFINITY) == INFINITY
    assert math.isnan(time_scale(NAN))
    assert time_scale(40.0) == pytest.approx(
        math.exp(40.0)
    )  # where the sigmoid itself is 1 to the last bit
    assert (time_scale_of(0.0), time_scale_of(1.0)) == (0.0, INFINITY)
    assert time_scale_of(0.5) == pytest.approx(1 / math.log(2))
    assert [hard_sigmoid(x) for x in (-4.0, 0.0, 1.5, 4.0)] == [0.0, 0.5, 0.75, 1.0]
    assert math.isnan(hard_sigmoid(NAN))


def lstm_of(forget: list[float], offset: float = 0.0, function: str = "sigmoid") -> Lstm:
    """A single-bias LSTM in memory, all of whose gates hold the same."""
    raw = DTYPES["float64"].encode(forget)
    tensor = contiguous(DTYPES["float64"], (len(forget),), span_all(BytesSource(raw)))
    gates = {gate: (Term("b", "bias", Block(tensor, 0, 0, len(forget))),) for gate in GATES}
    return Lstm(
        "", 0, "forward", "made", len(forget), "float64", gates, ("bias",), (), offset, function
    )


def measured(*arguments: object) -> tuple[Values, Measures]:
    lstm = lstm_of(*arguments)
    values = read_values(lstm)
    return values, measure(lstm, values)


@given(
    st.lists(
        st.floats(-900, 900) | st.sampled_from([NAN, INFINITY, -INFINITY]), min_size=1, max_size=40
    )
)
@example([NAN, 800.0, 0.0])
@example([0.0, NAN, 800.0])
@example([-29.0, NAN, -900.0, 1.0])
def test_any_biases_are_measured(forget: list[float]) -> None:
    """Also where a NaN, which has no order, stands between values of which an exponential
    overflows.
    """
    values, measures = measured(forget)
    assert list(values.forget) == pytest.approx(forget, nan_ok=True)
    active = sorted(sigmoid(b) for b in forget if b == b)
    if len(active) == len(forget):
        assert measures.activation.mean == pytest.approx(math.fsum(active) / len(active))
        assert (measures.activation.min, measures.activation.max) == pytest.approx(
            (active[0], active[-1])
        )
    else:
        assert math.isnan(measures.activation.mean)
    assert sum(measures.histogram) == len(active)
    on_edge = any(
        abs(f * BINS - round(f * BINS)) < 1e-12 for f in active if 0.01 < f < 0.99 and f != 0.5
    )
    for k, count in enumerate(measures.histogram):
        low, high = k / BINS, (k + 1) / BINS
        assert on_edge or count == sum(
            low <= f < high or (f == 1.0 and k == BINS - 1) for f in active
        )


def test_offset_and_hard_sigmoid() -> None:
    values, measures = measured([0.0, 1.0], 1.0, "hard_sigmoid")
    assert list(values.forget) == [1.0, 2.0]
    assert list(values.effective[0]) == [0.0, 1.0]
    assert measures.difference is None
    assert measures.activation.mean == pytest.approx((4 / 6 + 5 / 6) / 2)
    assert measures.time_scale.max == pytest.approx(-1 / math.log(5 / 6))
    assert measures.half_life.max == pytest.approx(math.log(0.5) / math.log(5 / 6))
