"""The presets: formulas against torch and mpmath, laws against their distributions, draws against
golden values.
"""

import math
import subprocess
import sys
from collections.abc import Callable

import mpmath
import pytest
import torch
from command import untraced
from hypothesis import given
from hypothesis import strategies as st

from lstm_audit.errors import BadPolicy
from lstm_audit.lstm.forensics.fingerprint import identify
from lstm_audit.lstm.gamma import gamma_quantile
from lstm_audit.lstm.measure import sigmoid, time_scale
from lstm_audit.lstm.presets import (
    PRESETS,
    Chosen,
    Initial,
    _stream,
    initial,
    parse_preset,
    summarise_preset,
)

NAMES = [
    "unit",
    "two",
    "zero",
    "pytorch",
    "sutskever",
    "chrono",
    "chrono-even",
    "uniform-gate",
    "mts",
    "linspace",
]
EXAMPLES = [Chosen(row, row.example) for row in PRESETS.values()]
MANY = 4000


def drawn(
    text: str, size: int, seed: int = 0, module: str = "lstm", layer: int = 0, way: str = "forward"
) -> Initial:
    return initial(parse_preset(text), size, seed, module, layer, way)


def distance(values: list[float], cdf: Callable[[float], float]) -> float:
    """√n times Kolmogorov's distance; 1.63 is the 1 % point."""
    n = len(values)
    pairs = [(cdf(x), k) for k, x in enumerate(sorted(values))]
    return max(max(p - k / n, (k + 1) / n - p) for p, k in pairs) * math.sqrt(n)


def test_the_table_holds_what_the_contract_names() -> None:
    assert list(PRESETS) == NAMES
    assert [row.name for row in PRESETS.values()] == NAMES
    assert {row.name for row in PRESETS.values() if row.random} == {
        "pytorch",
        "chrono",
        "uniform-gate",
    }
    assert {row.name for row in PRESETS.values() if row.couples} == {"chrono", "chrono-even", "mts"}
    assert {row.name for row in PRESETS.values() if row.per_half} == {"pytorch"}


def test_how_each_is_written() -> None:
    assert PRESETS["chrono"].syntax == "chrono:TMAX[,TMIN]"
    assert PRESETS["chrono-even"].syntax == "chrono-even:TMAX"
    assert PRESETS["linspace"].syntax == "linspace:LO,HI"
    assert PRESETS["unit"].syntax == "unit"


@pytest.mark.parametrize("name", NAMES)
def test_each_names_its_paper_or_its_source(name: str) -> None:
    row = PRESETS[name]
    assert row.formula.startswith("b_f = ")
    assert ("b_i = −b_f" in row.formula) == row.couples
    assert (row.citation is None) == bool(row.source)


def test_a_citation_in_words() -> None:
    assert str(PRESETS["chrono"].citation) == "Tallec & Ollivier 2018, ICLR, arXiv 1804.11188"
    assert (
        str(PRESETS["unit"].citation) == "Jozefowicz, Zaremba & Sutskever 2015, ICML, PMLR 37:2342"
    )


@pytest.mark.parametrize(
    ("text", "arguments", "spelled"),
    [
        ("unit", (), "unit"),
        (" chrono:784 ", (784, 2), "chrono:784"),
        ("chrono:784,2", (784, 2), "chrono:784"),
        ("chrono: 1e3, 2.5", (1000, 2.5), "chrono:1000,2.5"),
        ("chrono-even:50", (50,), "chrono-even:50"),
        ("linspace:3,6", (3, 6), "linspace:3,6"),
        ("linspace:6,-1000", (6, -1000), "linspace:6,-1000"),
    ],
)
def test_what_is_understood(text: str, arguments: tuple[float, ...], spelled: str) -> None:
    chosen = parse_preset(text)
    assert chosen.arguments == arguments
    assert str(chosen) == spelled
    assert parse_preset(str(chosen)) == chosen


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("crono:784", r"did you mean chrono:TMAX\[,TMIN\]\?"),
        ("UNIT", r"did you mean unit\?"),
        ("uniform_gate", r"did you mean uniform-gate\?"),
        ("qqqqq", r"there are unit, two, zero, .*, linspace"),
        ("", "there are unit"),
        ("1", "--forget-bias 1"),
        ("-0.5", "--forget-bias -0.5"),
        ("chrono", r"wrong number of arguments; it is written chrono:TMAX\[,TMIN\]"),
        ("chrono:784,2,3", "wrong number of arguments"),
        ("unit:1", "wrong number of arguments; it is written unit"),
        ("unit:", "wrong number of arguments"),
        ("linspace:3", "wrong number of arguments; it is written linspace:LO,HI"),
        ("chrono:", r"'' is no number .* chrono:TMAX"),
        ("chrono:x", r"'x' is no number .* chrono:TMAX"),
        ("chrono:784;2", r"'784;2' is no number"),
        ("chrono:nan", r"'nan' is no number"),
        ("chrono:inf", r"'inf' is no number"),
        ("chrono:2", r"out of range: .* needs 2 ≤ TMIN < TMAX"),
        ("chrono:784,1.9", r"out of range: .* needs 2 ≤ TMIN < TMAX"),
        ("chrono:784,784", r"out of range"),
        ("chrono-even:2", r"out of range: chrono-even:TMAX needs 2 < TMAX"),
        ("linspace:3,1000.5", r"out of range: .* both within ±1000"),
        ("linspace:-1001,0", r"out of range"),
    ],
)
def test_what_is_refused_and_how_it_is_said(text: str, says: str) -> None:
    with pytest.raises(BadPolicy, match=says):
        parse_preset(text)


arguments = st.lists(
    st.one_of(st.floats().map(repr), st.text("0123456789.,-+eE_ naif", max_size=6)), max_size=4
)


@given(
    st.one_of(
        st.text(),
        st.tuples(st.sampled_from([*NAMES, "", "mst"]), arguments).map(
            lambda t: f"{t[0]}:{','.join(t[1])}"
        ),
    )
)
def test_any_text_is_a_choice_or_a_bad_policy(text: str) -> None:
    try:
        chosen = parse_preset(text)
    except BadPolicy:
        return
    assert parse_preset(str(chosen)) == chosen
    for size in (0, 1, 2, 5):
        values = initial(chosen, size, 0, text, 0, "forward")
        assert len(values.forget) == size
        assert all(map(math.isfinite, values.forget))


@pytest.mark.parametrize(
    ("text", "value"), [("unit", 1.0), ("two", 2.0), ("zero", 0.0), ("sutskever", 5.0)]
)
def test_the_constants(text: str, value: float) -> None:
    assert drawn(text, 5) == Initial((value,) * 5)


@pytest.mark.parametrize("chosen", EXAMPLES, ids=str)
def test_the_input_gate_is_coupled_or_left_alone(chosen: Chosen) -> None:
    values = initial(chosen, 9, 0, "lstm", 0, "forward")
    assert values.input == (tuple(-b for b in values.forget) if chosen.preset.couples else None)
    assert (values.halves is not None) == chosen.preset.per_half


def test_linspace_is_torch_s() -> None:
    for low, high in ((3, 6), (6, -1), (-1000, 1000), (0.1, 0.1)):
        for size in (1, 2, 3, 64):
            values = drawn(f"linspace:{low},{high}", size).forget
            expected = torch.linspace(low, high, size, dtype=torch.float64).tolist()
            assert values == pytest.approx(expected, rel=1e-14, abs=1e-12)
            assert (values[0], values[-1]) == (low, high if size > 1 else low)


def test_chrono_even_by_its_formula() -> None:
    expected = torch.log(1 + (784 - 2) * (torch.arange(64, dtype=torch.float64) + 0.5) / 64)
    assert drawn("chrono-even:784", 64).forget == pytest.approx(expected.tolist(), rel=1e-14)


@pytest.mark.parametrize(
    ("text", "low", "high"), [("chrono:784", 1, 783), ("chrono:5000,100", 99, 4999)]
)
def test_chrono_is_the_log_of_a_uniform(text: str, low: float, high: float) -> None:
    times = [math.exp(b) for b in drawn(text, MANY).forget]
    assert low <= min(times) < low + 0.01 * (high - low)
    assert high - 0.01 * (high - low) < max(times) <= high
    assert distance(times, lambda t: (t - low) / (high - low)) < 1.36


@pytest.mark.parametrize("size", [3, 64, MANY])
def test_uniform_gate_is_uniform_in_the_activation(size: int) -> None:
    low, high = 1 / size, 1 - 1 / size
    gates = [sigmoid(b) for b in drawn("uniform-gate", size).forget]
    assert low <= min(gates)
    assert max(gates) <= high
    assert distance(gates, lambda f: (f - low) / (high - low)) < 1.36


def test_uniform_gate_shrinks_to_one_half() -> None:
    assert drawn("uniform-gate", 2).forget == (0.0, 0.0)
    assert drawn("uniform-gate", 1).forget == (0.0,)


def test_pytorch_draws_each_half_and_adds_them() -> None:
    values = drawn("pytorch", MANY)
    assert values.halves is not None
    bound = 1 / math.sqrt(MANY)
    for half in values.halves:
        assert max(map(abs, half)) <= bound * (1 + 1e-7)
        assert distance(list(half), lambda b: (b / bound + 1) / 2) < 1.36
    assert values.forget == tuple(a + b for a, b in zip(*values.halves, strict=True))
    correlation = torch.corrcoef(torch.tensor(values.halves, dtype=torch.float64))[0, 1]
    assert abs(float(correlation)) < 3 / math.sqrt(MANY)


@pytest.mark.parametrize("size", [16, 100, 512])
def test_pytorch_s_draws_pass_for_torch_s_own(size: int) -> None:
    torch.manual_seed(1)
    lstm = torch.nn.LSTM(3, size)
    halves = drawn("pytorch", size).halves
    assert halves is not None
    with torch.no_grad():
        lstm.bias_ih_l0[size : 2 * size] = torch.tensor(halves[0])
        lstm.bias_hh_l0[size : 2 * size] = torch.tensor(halves[1])
    ih, hh = (
        [gate.tolist() for gate in bias.detach().chunk(4)]
        for bias in (lstm.bias_ih_l0, lstm.bias_hh_l0)
    )
    init = identify(tuple(ih), tuple(hh), "float32")
    square = math.isqrt(size) ** 2 == size  # there steps of 2^-n would not show
    assert (init.scheme, init.state) == ("pytorch-default", "fresh?" if square else "fresh")


@pytest.mark.parametrize("size", [1, 2, 7, 200])
def test_mts_by_mpmath(size: int) -> None:
    values = drawn("mts", size).forget
    shares = [mpmath.mpf(k) / size for k in range(1, size)] + [1 - mpmath.mpf(1) / (2 * size)]
    with mpmath.workdps(30):
        for b, share in zip(values, shares, strict=True):
            exceeded = mpmath.gammainc(
                mpmath.mpf("0.56"), 0, mpmath.log1p(mpmath.exp(-mpmath.mpf(b))), regularized=True
            )
            assert abs(exceeded - share) < 1e-13 * min(share, 1 - share)


def test_mts_starts_where_the_authors_do() -> None:
    """Their figure labels the slowest of 1150 units 360K."""
    values = drawn("mts", 1150).forget
    assert time_scale(values[0]) == pytest.approx(360_000, rel=0.001)
    assert list(values) == sorted(values, reverse=True)


@given(st.floats(0.01, 0.99), st.floats(1e-12, 1.0, exclude_max=True))
def test_the_gamma_quantile_is_torch_s(a: float, p: float) -> None:
    q = 1 - p
    if q < 1e-12 or math.log(p) / a < -600:
        return
    x = torch.tensor(gamma_quantile(a, p, q), dtype=torch.float64)
    shape = torch.tensor(a, dtype=torch.float64)
    if p <= 0.5:
        assert float(torch.special.gammainc(shape, x)) == pytest.approx(p, rel=1e-11)
    else:
        assert float(torch.special.gammaincc(shape, x)) == pytest.approx(q, rel=1e-11)


@pytest.mark.parametrize("p", [1e-12, 0.01, 0.5, 0.5 + 2**-52, 0.6, 0.92, 0.93, 0.9999, 1 - 1e-6])
def test_the_gamma_quantile_at_the_seams(p: float) -> None:
    q = 1 - p
    with mpmath.workdps(30):
        x = mpmath.mpf(gamma_quantile(0.56, p, q))
        assert abs(mpmath.gammainc(0.56, 0, x, regularized=True) / p - 1) < 2e-14
        assert abs(mpmath.gammainc(0.56, x, mpmath.inf, regularized=True) / q - 1) < 2e-14


GOLDEN = {
    "chrono:784": (6.0361309939035, 5.3541196054875435, 5.244281321341568, 6.116729191201964),
    "uniform-gate": (
        0.06721610072240751,
        -0.4701677454635712,
        -0.5300241833669902,
        0.1573040009654171,
    ),
    "pytorch": (
        -0.18606871366500854,
        -0.6632511615753174,
        0.08109802007675171,
        -0.37066149711608887,
    ),
}


@pytest.mark.parametrize("text", GOLDEN)
def test_the_draws_never_change(text: str) -> None:
    assert drawn(text, 4, 0, "encoder.lstm").forget == pytest.approx(GOLDEN[text], rel=1e-15)


def test_the_draws_do_not_hang_on_the_process() -> None:
    code = (
        "from lstm_audit.lstm.presets import initial, parse_preset; print(initial(parse_preset('chrono:784'), 3, 7, 'a', 1, "
        "'reverse').forget)"
    )
    for salt in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": salt},
            capture_output=True,
            text=True,
        )
        assert run.stdout.strip() == str(drawn("chrono:784", 3, 7, "a", 1, "reverse").forget), (
            run.stderr
        )


@pytest.mark.parametrize("byte", [b"\x00", b"\xff"])
def test_a_draw_is_never_0_or_1(byte: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    class Extreme:
        def __init__(self, key: bytes) -> None:
            self.digest = lambda size: byte * size

    monkeypatch.setattr("hashlib.shake_256", Extreme)
    assert all(0 < u < 1 for u in _stream(0, "", 0, "forward")(3))


@pytest.mark.parametrize("text", ["chrono:784", "uniform-gate", "pytorch"])
def test_every_part_of_the_key_gives_its_own_draw(text: str) -> None:
    keys = [
        (seed, module, layer, way)
        for seed in (0, 1, 10, -1)
        for module in ("", "a", "0", "a\n1", "a\udc80")
        for layer in (0, 1, 10)
        for way in ("forward", "reverse")
    ]
    draws = {initial(parse_preset(text), 4, *key).forget for key in keys}
    assert len(draws) == len(keys)
    assert drawn(text, 4) == drawn(text, 4)


@pytest.mark.parametrize("text", ["chrono:784", "uniform-gate", "pytorch"])
def test_layers_are_independent(text: str) -> None:
    first, second = (
        torch.tensor(drawn(text, MANY, layer=k).forget, dtype=torch.float64) for k in (0, 1)
    )
    assert abs(float(torch.corrcoef(torch.stack([first, second]))[0, 1])) < 3 / math.sqrt(MANY)


@pytest.mark.parametrize("text", ["unit", "chrono-even:784", "mts", "linspace:3,6"])
def test_what_is_not_random_needs_no_seed(text: str) -> None:
    assert drawn(text, 6, 0, "a", 0, "forward") == drawn(text, 6, 1, "b", 2, "reverse")


@pytest.mark.parametrize(
    ("text", "activation", "steps"),
    [
        ("unit", 0.7311, 3.19),
        ("zero", 0.5, 1.4427),
        ("pytorch", 0.5, 1.4427),
        ("sutskever", 0.9933, 148.9),
        ("chrono:784", 0.9924, 392.5),
        ("uniform-gate", 0.5, 1.4427),
        ("linspace:3,6", 0.9846, 90.5),
    ],
)
def test_a_summary(text: str, activation: float, steps: float) -> None:
    shown = summarise_preset(parse_preset(text), 512)
    assert shown.activation == pytest.approx(activation, abs=5e-5)
    assert shown.time_scale == pytest.approx(steps, rel=1e-3)


@pytest.mark.parametrize("chosen", EXAMPLES, ids=str)
def test_a_summary_is_what_many_seeds_give(chosen: Chosen) -> None:
    values = initial(chosen, MANY, 3, "lstm", 0, "forward").forget
    shown = summarise_preset(chosen, MANY)
    assert shown.activation == pytest.approx(math.fsum(map(sigmoid, values)) / MANY, abs=0.02)
    assert shown.time_scale == pytest.approx(sorted(map(time_scale, values))[MANY // 2], rel=0.06)


def test_nothing_heavy_is_loaded() -> None:
    code = (
        "import sys, lstm_audit.lstm.presets; print({'hashlib', 'difflib', 'torch', 'numpy', 'random'} "
        "& set(sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=untraced()
    )
    assert run.stdout.strip() == "set()", run.stderr
