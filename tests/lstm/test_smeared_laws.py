"""Laws of the forget gate that decay has smeared, or that too few units show: still named, and
never where another law explains them.
"""

import math
import random

import pytest
import torch
from torch import nn

from lstm_audit.lstm.forensics.fingerprint import family, identify, identify_together
from lstm_audit.lstm.forensics.odds import chrono_odds

F, G = 1, 2


def draw(size, seed, write):
    """Both halves of a default LSTM, (4, H) each, after `write`."""
    torch.manual_seed(seed)
    lstm = nn.LSTM(3, size)
    ih, hh = (b.detach().view(4, size).double() for b in (lstm.bias_ih_l0, lstm.bias_hh_l0))
    write(ih, hh)
    return ih, hh


def move(ih, hh, smear=0.0):
    """What training does to both halves alike, and what L2 inside Adam does to each value."""
    kept = torch.exp(-smear * torch.rand_like(ih)) if smear else torch.ones_like(ih)
    step = torch.randn_like(ih) * 0.1
    return [((b * kept + step).float().double().tolist()) for b in (ih, hh)]


def name(ih, hh):
    return family(identify(ih, hh, "float32"))


def line(ih, hh):
    ih[F], hh[F] = 0, torch.linspace(3, 6, ih.shape[1])


def logarithms(ih, hh):
    """Time scales from 2 to 500 steps by a formula: rising with the index, and no line."""
    scales = torch.linspace(2, 500, ih.shape[1])
    ih[F], hh[F] = 0, torch.log(scales)


def sorted_normal(ih, hh):
    ih[F], hh[F] = 0, torch.randn(ih.shape[1]).sort().values + 4


@pytest.mark.parametrize("size", [8, 16, 48])
def test_a_line_that_uneven_decay_smeared_is_linspace(size):
    for seed in range(10):
        assert name(*move(*draw(size, seed, line), smear=0.04)) == "linspace"


@pytest.mark.parametrize("write", [logarithms, sorted_normal])
@pytest.mark.parametrize("size", [16, 48])
def test_what_rises_and_is_no_line_is_none(write, size):
    names = [name(*move(*draw(size, seed, write), smear=0.04)) for seed in range(10)]
    assert names.count("linspace") <= 1  # few sorted draws lie on a line to 2 %


def test_a_line_after_real_steps_of_adam_with_l2():
    torch.manual_seed(3)
    lstm = nn.LSTM(3, 16)
    with torch.no_grad():
        line(*(b.view(4, 16) for b in (lstm.bias_ih_l0, lstm.bias_hh_l0)))
    optimizer = torch.optim.Adam(lstm.parameters(), 3e-3, weight_decay=1e-2)
    for _ in range(30):
        x = torch.randn(5, 4, 3)
        loss = (lstm(x)[0][-1].mean(1) - x[0, :, 0]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ih, hh = (b.detach().double().view(4, 16).tolist() for b in (lstm.bias_ih_l0, lstm.bias_hh_l0))
    assert name(ih, hh) == "linspace"


def chrono(longest):
    def write(ih, hh):
        ih[F] = torch.empty(ih.shape[1]).uniform_(1, longest - 1).log()
        hh[F] = 0

    return write


def normal(mean, std):
    def write(ih, hh):
        ih[F].normal_(mean, std)
        hh[F] = 0

    return write


def share(size, layers, write, times=60):
    """How often the first of so many layers of one module is called chrono."""
    found = 0
    for seed in range(times):
        module = [move(*draw(size, 100 * seed + n, write)) for n in range(layers)]
        inits = identify_together([(*halves, "float32") for halves in module])
        found += family(inits[0]) == "chrono"
    return found / times


def test_layers_too_small_to_be_asked_alone_show_chrono_together():
    alone, together = share(12, 1, chrono(784)), share(12, 4, chrono(784))
    assert 0.2 < alone < 0.7 < together


@pytest.mark.parametrize(("size", "layers"), [(8, 1), (12, 2), (16, 1), (16, 3)])
@pytest.mark.parametrize("law", [normal(3, 1), normal(3, 0.6)])
def test_normal_draws_about_a_number_are_no_chrono(size, layers, law):
    assert share(size, layers, law) <= 1 / 60


def test_the_odds_of_chrono_at_one_point():
    """By hand: of 0, 1, 2, 3 the density is e^v up to 3 + ln(5/4); normal of std √1.25; U of 5."""
    own = -6 - 4 * math.log(1.25)
    normal_law = -4 * (0.5 + math.log(math.sqrt(1.25 * 2 * math.pi))) - 0.5
    uniform_law = -4 * math.log(5)
    assert chrono_odds([0.0, 1.0, 2.0, 3.0]) == pytest.approx(own - max(normal_law, uniform_law))


def test_the_odds_part_the_laws():
    die = random.Random(1)
    chronos = [chrono_odds([math.log(die.uniform(1, 783)) for _ in range(48)]) for _ in range(50)]
    normals = [chrono_odds([die.gauss(3, 1) for _ in range(48)]) for _ in range(50)]
    assert sum(odds > 3 for odds in chronos) >= 45
    assert sum(odds > 3 for odds in normals) <= 1


def copied(ih, hh):
    """Chrono's draw in both halves of f and, negated, of i."""
    ih[F] = torch.empty(ih.shape[1]).uniform_(1, 783).log()
    ih[0] = -ih[F]
    hh[:2] = ih[:2]


def numbers_in_both(ih, hh):
    ih[0], ih[F] = -2, 2
    hh[:2] = ih[:2]


@pytest.mark.parametrize("size", [12, 20, 64])
def test_copied_chrono_is_told_beside_gates_that_shrank_unevenly(size):
    for seed in range(10):
        assert name(*move(*draw(size, seed, copied), smear=0.8)) == "doubled-chrono"


@pytest.mark.parametrize("size", [8, 20, 64])
def test_numbers_in_both_halves_of_two_gates_are_no_chrono(size):
    for seed in range(10):
        ih, hh = move(*draw(size, seed, numbers_in_both), smear=0.08)
        ih[G], hh[G] = ([v / 2 for v in half[G]] for half in (ih, hh))  # unevenly
        assert name(ih, hh) == "unknown"


def added_to_both(ih, hh):
    ih[F] += 2
    hh[F] += 2


def test_a_number_added_to_both_is_no_default_though_another_gate_has_moved_as_far():
    for seed in range(10):
        ih, hh = move(*draw(32, seed, added_to_both))
        ih[3], hh[3] = ([v - 1.6 for v in half[3]] for half in (ih, hh))
        assert name(ih, hh) == "unknown"


def test_a_default_whose_forget_gate_training_lifted_and_spread_stays_a_default():
    ih, hh = move(*draw(64, 1, lambda *_: None))
    steps = [random.Random(unit).gauss(0.9, 0.7) for unit in range(64)]
    for half in (ih, hh):
        half[F] = [v + step for v, step in zip(half[F], steps, strict=True)]
        half[3] = [v - 0.9 for v in half[3]]
    assert name(ih, hh) == "pytorch-default"
