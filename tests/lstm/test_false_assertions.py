"""What a fingerprint must never say: each kind of start that once provoked a false name or a false
`fresh`, over several sizes.
"""

import math
import random
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

import pytest
from command import run
from safetensors.torch import save_file

torch = pytest.importorskip("torch")

import lstm_audit
from lstm_audit.lstm.forensics import lattice, laws
from lstm_audit.lstm.forensics.bias import float32
from lstm_audit.lstm.forensics.division import is_divided
from lstm_audit.lstm.forensics.fingerprint import Init, family, identify, identify_together

F, G = 1, 2
SIZES = (4, 8, 12, 16, 32, 64)
Blocks = list[list[float]]


pytestmark = pytest.mark.usefixtures("one_thread")


def drawn(size: int, seed: int = 0) -> torch.nn.LSTM:
    torch.manual_seed(seed)
    return torch.nn.LSTM(3, size)


def halves(lstm: torch.nn.LSTM) -> list[Blocks]:
    biases = (lstm.bias_ih_l0, lstm.bias_hh_l0)
    return [b.detach().double().view(4, -1).tolist() for b in biases]


def ask(lstm: torch.nn.LSTM, dtype: torch.dtype = torch.float32) -> Init:
    biases = (lstm.bias_ih_l0, lstm.bias_hh_l0)
    ih, hh = (b.detach().to(dtype).double().view(4, -1).tolist() for b in biases)
    return identify(ih, hh, str(dtype).removeprefix("torch."))


def train(lstm: torch.nn.LSTM, optimiser, steps: int, after: Callable[[], None] = lambda: None):
    head = torch.nn.Linear(lstm.hidden_size, 1)
    optimizer = optimiser([*lstm.parameters(), *head.parameters()])
    for _ in range(steps):
        x = torch.randn(6, 4, 3)
        loss = (head(lstm(x)[0][-1]).squeeze(-1) - x[0, :, 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            after()
    return lstm


def adam(parameters):
    return torch.optim.Adam(parameters, 1e-2)


# --- fresh ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [4, 8, 32])
@pytest.mark.parametrize("value", [0.1, 0.5, 1.0])
def test_a_constant_in_every_parameter_keeps_blocks_equal_for_ever(size, value):
    """Symmetric weights: every unit gets the same gradient, and the halves stay bit-equal."""
    lstm = drawn(size)
    for p in lstm.parameters():
        torch.nn.init.constant_(p, value)
    head = torch.nn.Linear(size, 1)
    torch.nn.init.constant_(head.weight, value)
    optimizer = adam([*lstm.parameters(), *head.parameters()])
    for _ in range(40):
        x = torch.randn(6, 4, 3)
        optimizer.zero_grad()
        (head(lstm(x)[0][-1]).squeeze(-1) - x[0, :, 0]).square().mean().backward()
        optimizer.step()
    ih, hh = halves(lstm)
    assert len({*ih[F], *hh[F]}) == 1  # else the test tests nothing
    init = ask(lstm)
    assert not init.state.startswith("fresh"), init
    assert family(init) != "doubled"


@pytest.mark.parametrize("limit", [0.01, 0.05, 0.1, 0.5])
def test_clamped_weights_are_not_proven_fresh(limit):
    """WGAN: all ones become all 0.05, and stay there."""
    lstm = drawn(16)
    with torch.no_grad():
        lstm.bias_ih_l0.fill_(1)
        lstm.bias_hh_l0.fill_(1)
    train(lstm, adam, 3, lambda: [p.clamp_(-limit, limit) for p in lstm.parameters()])
    init = ask(lstm)
    assert init.state != "fresh"
    assert init.confidence != "certain"


@pytest.mark.parametrize("rate", [1e-3, 2e-3, 1e-2, 0.1])
@pytest.mark.parametrize("start", [0.0, 1.0])
def test_one_step_of_adam_on_constants_is_not_fresh(rate, start):
    """Each block moves by ±lr as one: ones become 0.99, zeros 0.01."""
    block = float32(start - rate)
    for signs in ((1, 1, 1, 1), (1, -1, 1, -1)):
        half = [[float32(start + s * (block - start))] * 8 for s in signs]
        init = identify(half, half, "float32")
        assert init.state != "fresh", init
        assert init.confidence != "certain", init


@pytest.mark.parametrize("size", [4, 6, 8, 15, 16, 32, 63, 64, 128, 250, 256])
@pytest.mark.parametrize("n", range(1, 9))
def test_draws_from_a_power_of_two_are_not_the_default_of_another_size(size, n):
    bound, own = 2.0**-n, 1 / math.sqrt(size)
    if bound in (own, own / 2):  # the default, or the default halved
        return
    for seed in range(3):
        torch.manual_seed(seed)
        ih, hh = torch.empty(2, 4, size).uniform_(-bound, bound).double().tolist()
        init = identify(ih, hh, "float32")
        assert (init.scheme, init.state) != ("pytorch-default", "fresh")
        assert init.scheme == "unknown" or abs(bound / own - 1) < 0.1


@pytest.mark.parametrize("places", range(10, 24))
@pytest.mark.parametrize("size", [8, 16, 25, 64, 100, 256])
def test_values_rounded_to_a_binary_fraction_are_no_draws(size, places):
    """Trained weights that were kept in fixed point."""
    die, bound = random.Random(places), 1 / math.sqrt(size)
    for top in (bound, 0.2, 0.1, 0.05):
        values = [round(die.uniform(-top, top) * 2**places) / 2**places for _ in range(8 * size)]
        for k in (bound, top):
            proof = lattice.prove([float32(v) for v in values], float32(k))
            assert not proof.holds, (top, k, proof)


@pytest.mark.parametrize("bits", range(8, 23))
@pytest.mark.parametrize("size", [16, 64, 256, 25])
def test_mantissas_cut_short_are_no_draws(size, bits):
    """TF32 and its like: every value keeps a few bits of its mantissa."""
    for seed in range(3):
        draws = [v for half in halves(drawn(size, seed)) for gate in half for v in gate]
        cut = []
        for v in draws:
            mantissa, exponent = math.frexp(v)
            cut.append(math.ldexp(round(mantissa * 2**bits) / 2**bits, exponent))
        assert not lattice.prove(cut, float32(1 / math.sqrt(size))).holds


@pytest.mark.parametrize("size", [8, 16, 32, 64, 100, 256])
@pytest.mark.parametrize("n", [10, 14, 18, 20])
def test_steps_of_a_power_of_two_are_never_fresh(size, n):
    """Sign descent: where the lattice is one of binary fractions, such a step stays on it, and the
    draws are `fresh?`, as they are before it.
    """
    for steps in (1, 3, 30):
        ih, hh = halves(drawn(size))
        die = random.Random(steps)
        for gate in range(4):
            for j in range(size):
                move = sum(die.choice((-1, 1)) for _ in range(steps)) * 2.0**-n
                ih[gate][j] = float32(ih[gate][j] + move)
                hh[gate][j] = float32(hh[gate][j] + move)
        init = identify(ih, hh, "float32")
        assert init.state != "fresh", init
        assert init.state != "fresh?" or math.isqrt(size) ** 2 == size


@pytest.mark.parametrize("size", [4, 16, 64, 100, 256])
@pytest.mark.parametrize("n", [10, 14, 18])
@pytest.mark.parametrize("start", [0.0, 1.0, 2.0])
def test_a_number_that_stepped_by_a_power_of_two_is_not_fresh(size, n, start):
    """Sign descent moves the draws along their lattice; the number beside them has become two."""
    ih, hh = halves(drawn(size, n))
    die = random.Random(f"{size} {n} {start}")
    for half in (ih, hh):
        half[F] = [start] * size if half is hh or start else half[F]
    for gate in range(4):
        moves = [die.choice((-1, 1)) * 2.0**-n for _ in range(size)]
        for half in (ih, hh):
            half[gate] = [float32(v + move) for v, move in zip(half[gate], moves, strict=True)]
    assert identify(ih, hh, "float32").state != "fresh"


@pytest.mark.parametrize("size", [16, 24, 64])
def test_where_training_ran_away_an_added_number_is_not_excluded(size):
    """SGD at a rate that is too high: means of 50 in other gates hide what both halves were given."""
    for seed in range(4):
        die = random.Random(seed)
        draw = uniform(die, size**-0.5)
        ih, hh = moved(die, size, [(draw, draw)] * 4)
        for gate, far in enumerate((-8.0, 12.0, 54.0, -96.0)):
            moves = [die.gauss(far, 20.0) for _ in range(size)]
            for half in (ih, hh):
                half[gate] = [float32(v + move) for v, move in zip(half[gate], moves, strict=True)]
        assert identify(ih, hh, "float32").scheme == "unknown"


def test_what_did_not_move_need_not_have_lacked_a_gradient():
    """Steps below half a last place: warm-up from 0, a skipped step of AMP."""
    lstm = drawn(32)
    before = halves(lstm)
    train(lstm, lambda p: torch.optim.SGD(p, 1e-12), 3)
    assert halves(lstm) == before
    init = ask(lstm)
    assert "gradient" not in init.evidence


# --- laws that few units do not show --------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sides", [(1,), (0,), (0, 1)])
@pytest.mark.parametrize("by", [1.0, 2.0])
def test_a_constant_added_to_draws_is_no_chrono(size, sides, by):
    """`bias_hh[f] += 1`, in one half or both: at H = 8 it is not far from ln U(1, T - 1)."""
    for seed in range(12):
        lstm = drawn(size, seed)
        with torch.no_grad():
            for side in sides:
                (lstm.bias_ih_l0, lstm.bias_hh_l0)[side].view(4, -1)[F] += by
        init = ask(lstm)
        assert "chrono" not in init.scheme, init
        # Of so few units the difference of two draws may be as narrow as one.
        narrow = family(init) == "one-sided" and init.confidence == "medium" and size < 24
        assert init.scheme == "unknown" or narrow, init


@pytest.mark.parametrize("size", [8, 12, 16, 24, 48])
@pytest.mark.parametrize("sides", [(1,), (0, 1)])
def test_nor_is_it_once_trained(size, sides):
    """Of 8, 12, 16 units the difference of two draws is as narrow as one in 30, 11, 4 %."""
    wrong = []
    for seed in range(8):
        lstm = drawn(size, seed)
        with torch.no_grad():
            for side in sides:
                (lstm.bias_ih_l0, lstm.bias_hh_l0)[side].view(4, -1)[F] += 1.0
        init = ask(train(lstm, adam, 20))
        wrong += [init] if init.scheme != "unknown" else []
    assert len(wrong) <= {8: 3, 12: 2, 16: 2}.get(size, 0), wrong
    assert all(init.confidence == "medium" for init in wrong)
    assert all("added to a drawn half may look the same" in init.evidence for init in wrong)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [8, 16, 24, 32, 48])
def test_multi_time_scale_is_no_uniform_gate(size, dtype):
    """T by quantiles of the inverse gamma: the activations lean to 1."""
    gamma = torch.distributions.Gamma(0.56, 1.0)
    times = 1 / gamma.sample((20000,)).sort().values[:: 20000 // size][:size].clamp(min=1e-3)
    lstm = drawn(size)
    with torch.no_grad():
        lstm.bias_hh_l0.zero_()
        lstm.bias_ih_l0.view(4, -1)[F] = -torch.log(torch.expm1((1 / times).clamp(max=30)))
        lstm.bias_ih_l0.view(4, -1)[0] = -lstm.bias_ih_l0.view(4, -1)[F]
    assert ask(lstm, dtype).scheme != "uniform-gate"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_line_of_eight_is_no_chrono(dtype):
    """In 16 bits its steps are rounded, and ln U(1, T - 1) would do as well."""
    lstm = drawn(8)
    with torch.no_grad():
        lstm.bias_ih_l0.zero_()
        lstm.bias_hh_l0.zero_()
        lstm.bias_hh_l0.view(4, -1)[F] = torch.linspace(3, 6, 8)
    assert ask(lstm, dtype).scheme == "linspace"


@pytest.mark.parametrize("size", [24, 64, 256])
def test_a_law_by_the_shape_of_a_sample_is_never_certain(size):
    named = []
    for seed in range(8):
        lstm = drawn(size, seed)
        with torch.no_grad():
            lstm.bias_hh_l0.zero_()
            lstm.bias_ih_l0.zero_()
            lstm.bias_hh_l0.view(4, -1)[F] = torch.empty(size).uniform_(1, 300).log()
        init = ask(lstm)
        named += [init] if init.scheme != "unknown" else []
    assert {(i.scheme, i.state, i.confidence) for i in named} == {("chrono", "fresh", "high")}
    assert len(named) >= 6


def test_noise_on_one_line_is_no_linspace():
    """Eight differences that decay has eaten lie within rounding of a line once in a while."""
    die, size = random.Random(0), 8
    for _ in range(400):
        noise = 1e-5
        values = [die.uniform(-5, 5) * noise for _ in range(size)]
        assert laws.line(values, [noise] * size) is None
    assert laws.line([3 + j * 3 / 7 for j in range(size)], [1e-3] * size) is not None


# --- trained --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8, 12, 16, 32, 64])
def test_a_half_zeroed_beside_one_as_wide_as_two_is_not_the_default(size):
    """U(±k√2) and 0 has the spread of two default draws, and another shape."""
    named = 0
    for seed in range(20):
        lstm = drawn(size, seed)
        with torch.no_grad():
            lstm.bias_ih_l0.uniform_(-1, 1).mul_(math.sqrt(2 / size))
            lstm.bias_hh_l0.zero_()
        lstm = train(lstm, adam, 5)
        named += ask(lstm).scheme == "pytorch-default"
    assert named <= (1 if size < 16 else 0)


@pytest.mark.parametrize("half", ["ih", "hh"])
@pytest.mark.parametrize("value", [-1.0, -2.0, -3.0])
@pytest.mark.parametrize("other", [None, 0.0])
def test_a_negative_half_is_the_half_that_was_set(half, value, other):
    """−2 in bias_hh differs from the other half as 2 in bias_ih does; today's sign tells."""
    lstm = drawn(64)
    with torch.no_grad():
        for name in ("ih", "hh"):
            bias = lstm.get_parameter(f"bias_{name}_l0").view(4, -1)
            if name == half:
                bias[F] = value
            elif other is not None:
                bias[F] = other
    init = ask(train(lstm, lambda p: torch.optim.Adam(p, 1e-3), 30))
    wanted = f"one-sided({half}={value:g})" if other is None else f"constant({value:g})"
    assert init.scheme == wanted


@pytest.mark.parametrize("size", [8, 16, 32, 64])
def test_nothing_in_both_halves_is_not_doubled(size):
    """`forget_bias = 0.0` from a configuration, written into both."""
    for seed in range(3):
        lstm = drawn(size, seed)
        with torch.no_grad():
            for bias in (lstm.bias_ih_l0, lstm.bias_hh_l0):
                bias.view(4, -1)[F] = 0.0
        assert family(ask(train(lstm, adam, 30))) != "doubled"


def test_a_number_that_decay_has_shrunk_is_not_said():
    """1 over zeroed gates after AdamW: the halves differ by 0.44, and nothing shows the decay."""
    zero = [0.0] * 16
    die = random.Random(1)
    move = [[die.gauss(0, 0.1) for _ in range(16)] for _ in range(4)]
    for left in (0.44, 0.83, 0.61):
        start = [zero, [left] * 16, zero, zero]
        ih = [
            [float32(a + b) for a, b in zip(*g, strict=True)] for g in zip(start, move, strict=True)
        ]
        hh = [[float32(b) for b in gate] for gate in move]
        init = identify(ih, hh, "float32")
        assert (init.scheme, init.value) == ("constant", None)
        assert "decay" in init.evidence


def test_a_decayed_half_is_restored_or_left_without_a_number():
    for c, weight_decay in ((3.0, 0.5), (3.0, 1.0), (1.0, 1.0), (5.0, 0.3)):
        lstm = drawn(64, 1)
        with torch.no_grad():
            lstm.bias_hh_l0.view(4, -1)[F] = c
        optimiser = lambda p, w=weight_decay: torch.optim.AdamW(p, 5e-3, weight_decay=w)  # noqa: E731  # short, and used at once
        init = ask(train(lstm, optimiser, 100))
        assert init.value is None or init.value == pytest.approx(c, rel=0.1), init


@pytest.mark.parametrize("set_", [-1.0, 1.0])
def test_a_constant_whose_half_decay_has_hidden_is_left_without_a_number(set_):
    """-1 in one half beside 0 in the other differs as 0 and 1 do: where decay has left a fifth, a
    mean of today near it may be either, moved by training.
    """
    numbers = set()
    for seed in range(12):
        die, left, size = random.Random(seed), 0.22, 64
        drift = set_ * -0.1 * (seed % 4)  # against the number, which is 0.22 today
        ih, hh = halves(drawn(size, seed))
        ih[F], hh[F] = [set_] * size, [0.0] * size
        for gate in range(4):
            mean = drift if gate == F else 0.0
            moves = [die.gauss(mean / 2, 0.03) for _ in range(size)]
            for half in (ih, hh):
                half[gate] = [float32(left * v + m) for v, m in zip(half[gate], moves, strict=True)]
        init = identify(ih, hh, "float32")
        assert family(init) == "constant"
        assert init.value is None or init.value * set_ > 0, init
        numbers.add(init.value)
    assert len(numbers) > 1 or set_ < 0  # where today's mean is beside it, the number stands


@pytest.mark.parametrize(("size", "least"), [(8, 110), (12, 145), (16, 160)])
def test_a_half_that_only_training_moved_tells_one_draw_from_two(size, least):
    """3 in one half, or added to what was drawn there: the differences look alike, but of two draws
    half of the difference is in each half.
    """
    named = {"set": 0, "added": 0}
    for how, seed in product(named, range(200)):
        ih, hh = halves(drawn(size, seed))
        hh[F] = [3.0 + (v if how == "added" else 0.0) for v in hh[F]]
        die = random.Random(seed)
        for gate in range(4):
            moves = [die.gauss(0, 0.3 / math.sqrt(size)) for _ in range(size)]
            for half in (ih, hh):
                half[gate] = [float32(v + m) for v, m in zip(half[gate], moves, strict=True)]
        named[how] += family(identify(ih, hh, "float32")) == "one-sided"
    assert named["set"] >= least
    assert named["added"] <= 8


def test_one_unit_that_ran_away_makes_no_doubled_gate():
    """Zeros into both halves of f; training lifted one unit of six to 2, and with it the mean."""
    ih, hh = halves(drawn(6, 0))
    for gate in (0, 2, 3):
        hh[gate] = [float32(v + 0.1) for v in hh[gate]]
        ih[gate] = [float32(v + 0.1) for v in ih[gate]]
    moved = [float32(v) for v in (0.0038, -0.1178, 2.0133, -0.0108, -0.0118, -0.2913)]
    assert family(identify(with_gate(ih, moved), with_gate(hh, moved), "float32")) != "doubled"
    lifted = [float32(v + 1) for v in moved]
    assert family(identify(with_gate(ih, lifted), with_gate(hh, lifted), "float32")) == "doubled"


def with_gate(half, values):
    """The half with other forget biases."""
    return [values if gate == F else block for gate, block in enumerate(half)]


def test_draws_behind_a_closed_gate_are_no_proof():
    """Chrono in both halves adds up to -11 in i: gradients of 1e-5 moved one large draw by a last
    place, which is a step of the lattice.
    """
    ih, hh = halves(drawn(20, 3))
    die = random.Random(0)
    chrono = [[math.log(die.uniform(1, 767)) for _ in range(20)] for _ in range(2)]
    for half, values in zip((ih, hh), chrono, strict=True):
        half[F] = [float32(v) for v in values]
        half[0] = [-v for v in half[F]]
    init = identify(ih, hh, "float32")
    assert (init.scheme, init.state, init.confidence) == ("doubled-chrono", "fresh?", "high")
    half[0], half[F] = ([0.0] * 20 for _ in range(2))
    assert identify(ih, hh, "float32").state == "fresh"


# --- our own patch --------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"forget_bias": 2.0}, {"forget_bias": 3.7}, {"init": "chrono:784"},
                                     {"init": "chrono:50"}, {"init": "unit"}, {"time_scale": 100.0}])  # fmt: skip
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [8, 32, 128])
def test_a_patch_that_divides_does_not_accuse_itself(tmp_path: Path, size, dtype, options):
    path = tmp_path / "model.safetensors"
    lstm = drawn(size).to(dtype)
    save_file({f"lstm.{n}": p.detach() for n, p in lstm.named_parameters()}, path)
    lstm_audit.patch(path, place="split", **options)
    audit = lstm_audit.audit(path)
    (row,) = audit.rows
    assert row.init is not None
    assert not {"LA101", "LA106"} & {finding.code for finding in audit.findings}, row.init
    wanted = "chrono" if "chrono" in str(options) else "constant"
    assert family(row.init) in (wanted, "unknown")
    if dtype == torch.float32 and size > 8:
        assert family(row.init) == wanted


def test_a_shift_that_divides_does_not_accuse_itself(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    state = {
        n: torch.zeros_like(p) if "bias" in n else p.detach()
        for n, p in drawn(16).named_parameters()
    }
    save_file(state, path)
    assert run("patch", path, "--shift", "2", "--place", "split").exit_code == 0
    audit = lstm_audit.audit(path)
    assert audit.rows[0].init.scheme == "constant(2)"
    assert not {"LA101"} & {finding.code for finding in audit.findings}
    assert audit.rows[0].measures.gates["f"].min == audit.rows[0].measures.gates["f"].max == 2.0


def test_a_value_written_twice_is_still_doubled(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    lstm = drawn(32)
    with torch.no_grad():
        for bias in (lstm.bias_ih_l0, lstm.bias_hh_l0):
            bias.view(4, -1)[F] = 1.0
    save_file({n: p.detach() for n, p in lstm.named_parameters()}, path)
    assert "LA101" in {finding.code for finding in lstm_audit.audit(path).findings}


def test_rounding_of_few_units_is_no_division():
    half = [1.0, 1.5, 0.7]
    above = [math.nextafter(v, 2) for v in half]
    assert not is_divided(above, half, 2.0**-52)
    assert is_divided(above * 4, half * 4, 2.0**-52)
    assert is_divided(half * 4, above * 4, 2.0**-52)
    assert not is_divided(half * 4 + above, above * 4 + half, 2.0**-52)
    assert not is_divided(half * 4, half * 4, 2.0**-52)


# --- a module's recurrences together --------------------------------------------------------------


def stack(size: int, layers: int, seed: int, write: Callable[[int, Sequence[torch.Tensor]], None]):
    torch.manual_seed(seed)
    lstm = torch.nn.LSTM(3, size, layers)
    pairs = [
        [lstm.get_parameter(f"bias_{h}_l{n}").data.view(4, -1) for h in ("ih", "hh")]
        for n in range(layers)
    ]
    for n, pair in enumerate(pairs):
        write(n, pair)
    train(lstm, adam, 10)
    return [(ih.double().tolist(), hh.double().tolist(), "float32") for ih, hh in pairs]


def test_small_layers_of_one_module_are_one_sample():
    alone, together = [], []
    for seed in range(6):
        biases = stack(8, 4, seed, lambda n, pair: None)
        alone += [identify(*bias).scheme for bias in biases]
        together += [init.scheme for init in identify_together(biases)]
    assert alone.count("pytorch-default") == 0
    assert together.count("pytorch-default") >= 16
    assert set(together) <= {"pytorch-default", "unknown"}


def test_an_exception_among_small_layers_is_not_pooled():
    def third(n, pair):
        if n == 2:
            pair[0][F] = 1.0

    for seed in range(6):
        inits = identify_together(stack(8, 4, seed, third))
        assert inits[2].scheme != "pytorch-default"


def test_a_single_recurrence_answers_as_a_module_of_one():
    for seed in range(4):
        bias = (*halves(train(drawn(24, seed), adam, 10)), "float32")
        assert identify_together([bias]) == [identify(*bias)]
    assert identify_together([]) == []


def test_shifted_small_layers_of_one_module_are_one_sample():
    """One half set in every layer: eight units alone are as often two draws about a number."""

    def one_half(n, pair):
        pair[1][F] = 3.0

    def added(n, pair):
        pair[1][F] += 3.0

    named = [
        [init.scheme for s in range(8) for init in identify_together(stack(8, 3, s, write))]
        for write in (one_half, added)
    ]
    assert named[0].count("one-sided(hh=3)") + named[0].count("one-sided(hh)") >= 18
    assert len(named[1]) - named[1].count("unknown") <= 3


def test_normal_draws_as_wide_are_seldom_the_default():
    """Of one layer of 16 units few tell; of three layers most."""
    named = 0
    for seed in range(10):
        die = random.Random(seed)
        sigma = 1 / math.sqrt(3 * 16)
        biases = []
        for _ in range(3):
            moves = [[die.gauss(0, 0.2) for _ in range(16)] for _ in range(4)]
            ih, hh = (
                [[float32(v + die.gauss(0, sigma)) for v in gate] for gate in moves]
                for _ in range(2)
            )
            biases.append((ih, hh, "float32"))
        named += sum(init.scheme == "pytorch-default" for init in identify_together(biases))
    assert named <= 3


@pytest.mark.parametrize("size", [8, 12, 16, 20])
def test_a_normal_draw_about_a_number_is_no_chrono(size):
    """N(3, 1) in the forget gate of one half, beside the default."""
    for seed in range(30):
        lstm = drawn(size, seed)
        with torch.no_grad():
            lstm.bias_ih_l0.view(4, -1)[F].normal_(3, 1)
            lstm.bias_hh_l0.view(4, -1)[F] = 0.0
        assert "chrono" not in ask(train(lstm, adam, 2)).scheme


@pytest.mark.parametrize("size", [6, 12, 16, 48])
def test_a_smeared_link_between_the_gates_is_chrono_and_two_constants_are_not(size):
    """L2 inside Adam smears what was exact: b_i = −b_f of chrono, or −2 and 2 by hand."""

    def optimiser(parameters):
        return torch.optim.RMSprop(parameters, 3e-3, weight_decay=1e-2)

    answers: dict[str, list[str]] = {"chrono": [], "constants": []}
    for seed in range(4):
        for what, found in answers.items():
            lstm = drawn(size, seed)
            with torch.no_grad():
                ih, hh = lstm.bias_ih_l0.view(4, -1), lstm.bias_hh_l0.view(4, -1)
                hh[:2] = 0.0
                ih[F] = torch.empty(size).uniform_(1, 783).log() if what == "chrono" else 2.0
                ih[0] = -ih[F]
            found.append(family(ask(train(lstm, optimiser, 40))))
    assert answers["chrono"].count("chrono") >= 3
    assert set(answers["chrono"]) <= {"chrono", "unknown"}
    assert "chrono" not in answers["constants"]


@pytest.mark.parametrize("size", [16, 32, 64])
def test_a_half_zeroed_but_for_its_number_beside_draws(size):
    named = 0
    for seed in range(8):
        lstm = drawn(size, seed)
        with torch.no_grad():
            lstm.bias_ih_l0.zero_()
            lstm.bias_ih_l0.view(4, -1)[F] = 1.0
        init = ask(train(lstm, lambda p: torch.optim.Adam(p, 3e-3), 20))
        assert init.scheme in ("one-sided(ih=1)", "one-sided(ih)", "unknown"), init
        named += init.scheme != "unknown"
    assert named >= 6


def test_adamax_with_l2_leaves_no_linspace_behind():
    """Eight small differences that decay has nearly eaten."""

    def optimiser(parameters):
        return torch.optim.Adamax(parameters, 3e-3, weight_decay=1e-1)

    for seed in range(6):
        init = ask(train(drawn(8, seed), optimiser, 150))
        assert init.scheme != "linspace", init


Draw = Callable[[], float]


def moved(
    die: random.Random, size: int, gates: Sequence[tuple[Draw, Draw]]
) -> tuple[Blocks, Blocks]:
    """Both halves, each value drawn by its law, after steps that were the same for both."""
    ih, hh = [], []
    for one, two in gates:
        steps = [die.gauss(0, 0.2) for _ in range(size)]
        ih.append([float32(one() + step) for step in steps])
        hh.append([float32(two() + step) for step in steps])
    return ih, hh


def uniform(die: random.Random, reach: float) -> Draw:
    """Draws from ±reach."""
    return lambda: die.uniform(-reach, reach)


def plus(value: float, draw: Draw) -> Draw:
    """Draws about a number."""
    return lambda: value + draw()


def zero() -> float:
    return 0.0


def about(die: random.Random, size: int, value: float, std: float) -> tuple[Blocks, Blocks]:
    """The forget gate of bias_ih from a normal law about a number, of bias_hh 0; the rest drawn."""
    both = (uniform(die, size**-0.5),) * 2
    return moved(die, size, (both, (lambda: die.gauss(value, std), zero), both, both))


@pytest.mark.parametrize("size", [12, 16, 24, 32])
@pytest.mark.parametrize(("value", "layers"), [(1.0, 1), (3.0, 1), (1.0, 3), (2.0, 6)])
def test_a_normal_draw_about_a_number_is_no_half_that_was_set(size, value, layers):
    """N(1, .1): at H = 33 as wide as one draw of torch. One layer may pass; a module does not."""
    named = 0
    for seed in range(60 // layers):
        die = random.Random(f"{seed} {size}")
        std = die.choice((0.1, 0.9 / math.sqrt(3 * size)))
        biases = [(*about(die, size, value, std), "float32") for _ in range(layers)]
        inits = identify_together(biases)
        named += sum(family(init) == "one-sided" for init in inits)
        assert not [init for init in inits if init.confidence in ("high", "certain")]
    assert named <= ({16: 15}.get(size, 12) if layers == 1 else 7)


@pytest.mark.parametrize("size", [24, 32, 40])
def test_one_layer_that_spans_two_draws_speaks_for_those_beside_it(size):
    """`bias_hh[f] += 3` in two layers; L2 inside Adam has shrunk the draws of one of them."""
    for seed in range(8):
        die, biases = random.Random(seed), []
        for narrow in (1.0, 0.45):
            draw, slight = uniform(die, size**-0.5), uniform(die, narrow * size**-0.5)
            gates = [(draw, draw), (slight, plus(3.0, slight)), (draw, draw), (draw, draw)]
            biases.append((*moved(die, size, gates), "float32"))
        assert "one-sided" not in {family(init) for init in identify_together(biases)}


@pytest.mark.parametrize("size", [8, 12, 16, 32])
@pytest.mark.parametrize("value", [0.5, 1.0, 2.0])
def test_a_number_added_to_a_whole_half_is_not_all_ones(size, value):
    """`bias_ih += 1`: all four gates lie about it, by two draws and not by one."""
    named = few = 0
    for seed in range(40):
        die = random.Random(f"{seed} {size} {value}")
        draw = uniform(die, size**-0.5)
        init = identify(*moved(die, size, [(plus(value, draw), draw)] * 4), "float32")
        named += init.scheme == "all-ones"
        few += "may look the same" in init.evidence
    assert named <= {8: 8, 12: 3}.get(size, 0)
    assert few == (named if size < 12 else 0)


def test_filled_halves_of_few_units_are_all_ones():
    """1 in all of one half is far off even where k is .5."""
    for size in (4, 6, 8):
        found = []
        for seed in range(20):
            die = random.Random(seed)
            bias = moved(die, size, [(plus(1.0, zero), uniform(die, size**-0.5))] * 4)
            found.append(identify(*bias, "float32").scheme)
        assert found.count("all-ones") >= 16, found
        assert set(found) <= {"all-ones", "unknown"}


def test_a_default_is_no_proof_beside_layers_that_do_not_look_drawn():
    """Two of four layers of 12 units pass for torch's draws, the others for nothing."""
    size, named = 12, 0
    for seed in range(12):
        die, biases = random.Random(seed), []
        for width in (1.0, 0.3, 1.0, 0.3):
            draw, less = uniform(die, size**-0.5), uniform(die, width * size**-0.5)
            gates = [(draw, draw), (less, less), (draw, draw), (draw, draw)]
            biases.append((*moved(die, size, gates), "float32"))
        named += [init.scheme for init in identify_together(biases)].count("pytorch-default")
    assert named <= 4


@pytest.mark.parametrize("size", [4, 5, 6, 7])
def test_coupled_gates_of_few_units_are_chrono_and_a_uniform_gate_is_not(size):
    """b_i = −b_f to the bit; a uniform gate's biases end at ln(H − 1)."""
    found = {"chrono": [], "uniform": []}
    for seed in range(40):
        die = random.Random(f"{seed} {size}")
        times = [math.log(die.uniform(1, 783)) for _ in range(size)]
        even = [math.log(u / (1 - u)) for u in (die.uniform(1 / size, 1 - 1 / size) for _ in times)]
        for what, values in (("chrono", times), ("uniform", even)):
            forget, into, draw = iter(values), iter([-v for v in values]), uniform(die, 0.5)
            pairs = [(into.__next__, zero), (forget.__next__, zero), (draw, draw), (draw, draw)]
            found[what].append(identify(*moved(die, size, pairs), "float32").scheme)
    assert found["chrono"].count("chrono") >= 32
    assert set(found["chrono"]) <= {"chrono", "unknown"}
    assert "chrono" not in found["uniform"]


# --- every kind that was once asserted falsely, and the tests that hold it ------------------------

KINDS = {
    "constants in every parameter: `doubled … fresh certain`":
        ["a_constant_in_every_parameter_keeps_blocks_equal_for_ever"],
    "0 written into both halves: `doubled(0.007)`":
        ["nothing_in_both_halves_is_not_doubled", "one_unit_that_ran_away_makes_no_doubled_gate"],
    "`patch --place split`, and chrono with it, accused themselves":
        ["a_patch_that_divides_does_not_accuse_itself", "a_shift_that_divides_does_not_accuse_itself",
         "a_value_written_twice_is_still_doubled"],
    "`both[f] += 1` at H <= 12: LA106; once trained `pytorch-default`, high":
        ["a_constant_added_to_draws_is_no_chrono", "nor_is_it_once_trained",
         "where_training_ran_away_an_added_number_is_not_excluded"],
    "a negative half: LA104 named the other": ["a_negative_half_is_the_half_that_was_set"],
    "one zeroed half: `pytorch-default`, high":
        ["a_half_zeroed_beside_one_as_wide_as_two_is_not_the_default"],
    "grids of powers of two passed for draws":
        ["draws_from_a_power_of_two_are_not_the_default_of_another_size",
         "values_rounded_to_a_binary_fraction_are_no_draws", "mantissas_cut_short_are_no_draws",
         "steps_of_a_power_of_two_are_never_fresh",
         "a_number_that_stepped_by_a_power_of_two_is_not_fresh"],
    "`it never received a gradient`": ["what_did_not_move_need_not_have_lacked_a_gradient"],
    "clamped weights were fresh": ["clamped_weights_are_not_proven_fresh"],
    "one step of Adam on ones was fresh": ["one_step_of_adam_on_constants_is_not_fresh"],
    "one unit moved by a last place was fresh": ["draws_behind_a_closed_gate_are_no_proof"],
    "`hh[f] += 1` at H <= 12: chrono, certain":
        ["a_constant_added_to_draws_is_no_chrono", "a_law_by_the_shape_of_a_sample_is_never_certain"],
    "multi-time-scale in bf16: `uniform-gate`": ["multi_time_scale_is_no_uniform_gate"],
    "Adamax with L2 at H = 8: `linspace`":
        ["adamax_with_l2_leaves_no_linspace_behind", "noise_on_one_line_is_no_linspace"],
    "a half that nn.Linear drew: trained `one-sided`":
        ["an_exact_half_beside_one_that_a_linear_layer_drew"],
    "numbers that decay shrank were said as they are":
        ["a_number_that_decay_has_shrunk_is_not_said",
         "a_decayed_half_is_restored_or_left_without_a_number",
         "a_constant_whose_half_decay_has_hidden_is_left_without_a_number"],
    "normal draws as wide: `pytorch-default`": ["normal_draws_as_wide_are_seldom_the_default"],
    "a normal draw about a number: `chrono`": ["a_normal_draw_about_a_number_is_no_chrono"],
    "a normal draw about a number: `one-sided`":
        ["a_normal_draw_about_a_number_is_no_half_that_was_set"],
    "a number added to one half of two layers: `one-sided`":
        ["one_layer_that_spans_two_draws_speaks_for_those_beside_it"],
    "a number added to one half of few units: `one-sided`":
        ["a_half_that_only_training_moved_tells_one_draw_from_two"],
    "a number added to a whole half: `all-ones`":
        ["a_number_added_to_a_whole_half_is_not_all_ones"],
    "two layers of four by chance: `pytorch-default`":
        ["a_default_is_no_proof_beside_layers_that_do_not_look_drawn"],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_test(kind):
    files = (Path(__file__), Path(__file__).with_name("test_fingerprint.py"))
    source = "".join(file.read_text() for file in files)
    for name in KINDS[kind]:
        assert f"def test_{name}(" in source
