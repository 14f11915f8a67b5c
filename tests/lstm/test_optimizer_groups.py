"""What an optimizer that lies in the same file adds to a fingerprint: small models really trained,
their checkpoints audited with it and without it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import lstm_audit
from lstm_audit.formats import ParameterGroup
from lstm_audit.lstm.forensics.fingerprint import Init, family
from lstm_audit.lstm.forensics.optimizer import Regime, told

F = 1
Write = Callable[[Any, Any], None]
Pack = Callable[[Any, Any, int], dict[str, Any]]


pytestmark = pytest.mark.usefixtures("one_thread")


class Net(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(3, size)
        self.head = torch.nn.Linear(size, 1)

    def halves(self):
        return [b.data.view(4, -1) for b in (self.lstm.bias_ih_l0, self.lstm.bias_hh_l0)]


def train(size: int, write: Write, optimiser, steps: int, seed: int = 0):
    torch.manual_seed(seed)
    net = Net(size)
    with torch.no_grad():
        write(*net.halves())
    optimizer = optimiser(net.parameters())
    for _ in range(steps):
        x = torch.randn(6, 4, 3)
        optimizer.zero_grad()
        (net.head(net.lstm(x)[0][-1]).squeeze(-1) - x[0, :, 0]).square().mean().backward()
        optimizer.step()
    return net, optimizer


def usual(net, optimizer, steps: int) -> dict[str, Any]:
    return {
        "model_state_dict": net.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "global_step": steps,
    }


def lightning(net, optimizer, steps: int) -> dict[str, Any]:
    return {
        "state_dict": net.state_dict(),
        "optimizer_states": [optimizer.state_dict()],
        "global_step": steps,
        "pytorch-lightning_version": "2.4.0",
    }


def ignite(net, optimizer, steps: int) -> dict[str, Any]:
    return {"model": net.state_dict(), "optimizer": optimizer.state_dict(), "global_step": steps}


def several(net, optimizer, steps: int) -> dict[str, Any]:
    return {
        "nets": {"G": net.state_dict()},
        "optimizers": {"G": optimizer.state_dict()},
        "global_step": steps,
    }


def read(tmp_path: Path, holder: dict[str, Any]) -> Init:
    path = tmp_path / "checkpoint.pt"
    torch.save(holder, path)
    (row,) = lstm_audit.audit(path).rows
    assert row.init is not None
    return row.init


def alone(tmp_path: Path, net) -> Init:
    return read(tmp_path, {"model": net.state_dict()})


def put(value: float, *, rest: float | None = None) -> Write:
    """A number into the forget gate of bias_hh; `rest` into all others."""

    def write(ih, hh):
        if rest is not None:
            ih.fill_(rest)
            hh.fill_(rest)
        ih[F] = 0.0
        hh[F] = value

    return write


def default(ih, hh):
    pass


def adam(parameters):
    return torch.optim.Adam(parameters, 3e-3)


def adamw(parameters):
    return torch.optim.AdamW(parameters, 5e-3, weight_decay=1.0)


def l2(parameters):
    return torch.optim.Adam(parameters, 5e-3, weight_decay=1e-2)


PACKS = [usual, lightning, ignite, several]


@pytest.mark.parametrize("pack", PACKS)
def test_no_decay_lets_a_number_stand(tmp_path, pack):
    """0.44 over zeroed gates: it may be what decay left of 1, or what was written."""
    net, optimizer = train(16, put(0.44, rest=0.0), adam, 20)
    without = alone(tmp_path, net)
    assert (without.scheme, without.value) == ("constant", None)
    init = read(tmp_path, pack(net, optimizer, 20))
    assert (family(init), init.confidence) == ("constant", "medium")
    assert init.value == pytest.approx(0.44, abs=1e-4)
    assert "Adam, weight_decay 0" in init.evidence


@pytest.mark.parametrize("pack", PACKS)
def test_the_decay_that_ran_leads_back_to_the_number(tmp_path, pack):
    """1 over zeroed gates, of which 0.61 is left."""
    net, optimizer = train(16, put(1.0, rest=0.0), adamw, 100)
    left = (net.halves()[1][F] - net.halves()[0][F]).mean().item()
    assert left == pytest.approx(0.995**100, rel=1e-3)
    assert alone(tmp_path, net).scheme == "constant"
    init = read(tmp_path, pack(net, optimizer, 100))
    assert (init.scheme, init.value, init.confidence) == ("constant(1)", 1.0, "medium")
    assert "decoupled weight_decay 1" in init.evidence


def test_a_decay_of_unknown_length_leads_nowhere(tmp_path):
    net, optimizer = train(16, put(1.0, rest=0.0), adamw, 100)
    holder = usual(net, optimizer, 100)
    del holder["global_step"]
    assert read(tmp_path, holder).scheme == "constant"
    holder["global_step"] = 140  # not the steps of this optimizer
    assert read(tmp_path, holder).scheme == "constant"


def test_a_schedule_leads_nowhere(tmp_path):
    net, optimizer = train(16, put(1.0, rest=0.0), adamw, 100)
    for group in optimizer.param_groups:
        group["initial_lr"], group["lr"] = group["lr"], group["lr"] / 10
    assert read(tmp_path, usual(net, optimizer, 100)).scheme == "constant"


@pytest.mark.parametrize("size", [32, 64])
def test_a_default_that_shrank_as_far_as_the_decay_that_ran(tmp_path, size):
    named = 0
    for seed in range(4):
        net, optimizer = train(size, default, adamw, 60, seed)
        assert alone(tmp_path, net).scheme == "unknown"
        init = read(tmp_path, usual(net, optimizer, 60))
        assert init.scheme in ("pytorch-default", "unknown")
        named += init.scheme == "pytorch-default"
        assert init.scheme == "unknown" or init.confidence == "medium"
    assert named >= 3


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.25])
def test_another_bound_that_decayed_is_no_default(tmp_path, factor):
    def narrower(ih, hh):
        ih.mul_(factor)
        hh.mul_(factor)

    for seed in range(4):
        net, optimizer = train(64, narrower, adamw, 60, seed)
        assert read(tmp_path, usual(net, optimizer, 60)).scheme == "unknown"


def test_a_zeroed_forget_half_that_decayed_is_no_default(tmp_path):
    def zeroed(ih, hh):
        hh[F] = 0.0

    for size in (16, 32, 64):
        for seed in range(4):
            net, optimizer = train(size, zeroed, adamw, 60, seed)
            assert read(tmp_path, usual(net, optimizer, 60)).scheme == "unknown"


def test_l2_inside_adam_lowers_what_rests_on_a_shape(tmp_path):
    def one_sided(ih, hh):
        hh[F] = 3.0

    def optimiser(parameters):
        return torch.optim.Adam(parameters, 1e-3, weight_decay=1e-6)

    net, optimizer = train(64, one_sided, optimiser, 20)
    assert alone(tmp_path, net).confidence == "high"
    init = read(tmp_path, usual(net, optimizer, 20))
    assert (init.scheme, init.confidence) == ("one-sided(hh=3)", "medium")
    assert "in the gradient" in init.evidence
    few, optimizer = train(12, one_sided, optimiser, 20)
    assert family(alone(tmp_path, few)) == "one-sided"
    init = read(tmp_path, usual(few, optimizer, 20))
    assert (init.scheme, init.evidence[:17]) == ("unknown", "perhaps one-sided")


def test_an_optimizer_says_nothing_of_what_never_moved(tmp_path):
    net, optimizer = train(32, default, adam, 0)
    init = read(tmp_path, usual(net, optimizer, 0))
    assert (init.scheme, init.state) == ("pytorch-default", "fresh")
    assert "optimizer" not in init.evidence


def test_a_doubled_forget_gate_stays_what_it_is(tmp_path):
    def both(ih, hh):
        ih[F] = hh[F] = 1.0

    for optimiser in (adam, adamw, l2):
        net, optimizer = train(32, both, optimiser, 20)
        with_it, without = read(tmp_path, usual(net, optimizer, 20)), alone(tmp_path, net)
        assert with_it[:4] == without[:4]
        assert family(with_it) == "doubled"


def test_a_fine_tuned_model_whose_first_run_decayed_keeps_its_name(tmp_path):
    """The optimizer in the file is the last one: it can be wrong about the number, not the name."""
    net, _ = train(32, put(1.0), adamw, 60)
    second = adam(net.parameters())
    for _ in range(5):
        second.zero_grad()
        net.head(net.lstm(torch.randn(6, 4, 3))[0][-1]).square().mean().backward()
        second.step()
    init = read(tmp_path, usual(net, second, 65))
    assert family(init) == "constant"
    assert init.value is None or init.confidence == "medium"


# --- which optimizer it was -----------------------------------------------------------------------

RAN = {
    "SGD": (lambda p: torch.optim.SGD(p, 0.1), "none"),
    "momentum": (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), "none"),
    "SGD+L2": (lambda p: torch.optim.SGD(p, 0.1, weight_decay=1e-3), "common"),
    "Adam": (lambda p: torch.optim.Adam(p, amsgrad=True), "none"),
    "Adam+L2": (lambda p: torch.optim.Adam(p, weight_decay=1e-3), "uneven"),
    "AdamW": (lambda p: torch.optim.AdamW(p), "common"),
    "AdamW without": (lambda p: torch.optim.AdamW(p, weight_decay=0), "none"),
    "NAdam": (lambda p: torch.optim.NAdam(p, weight_decay=1e-3), "uneven"),
    "NAdamW": (
        lambda p: torch.optim.NAdam(p, weight_decay=1e-3, decoupled_weight_decay=True),
        "common",
    ),
    "RAdam": (lambda p: torch.optim.RAdam(p), "none"),
    "Adamax": (lambda p: torch.optim.Adamax(p, weight_decay=1e-3), "uneven"),
    "RMSprop": (lambda p: torch.optim.RMSprop(p, momentum=0.9, centered=True), "none"),
    "Adagrad": (lambda p: torch.optim.Adagrad(p, weight_decay=1e-3), "uneven"),
    "Adadelta": (lambda p: torch.optim.Adadelta(p), "none"),
    "Rprop": (lambda p: torch.optim.Rprop(p), "none"),
    "ASGD": (lambda p: torch.optim.ASGD(p), None),  # it decays by `lambd`
    "Adafactor": (lambda p: torch.optim.Adafactor(p), None),  # its steps have a norm
}


def groups_of(tmp_path: Path, holder: dict[str, Any]) -> tuple[ParameterGroup, ...]:
    from lstm_audit.pipeline import open_checkpoint

    path = tmp_path / "groups.pt"
    torch.save(holder, path)
    with open_checkpoint(str(path)) as file:
        return file.checkpoint.optimizers


@pytest.mark.parametrize("name", RAN)
def test_each_of_torchs_optimizers_is_told(tmp_path, name):
    optimiser, kind = RAN[name]
    net, optimizer = train(8, default, optimiser, 2)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)  # adds settings of its own
    regime = told(groups_of(tmp_path, usual(net, optimizer, 2)), 8, None)
    assert (regime.kind if regime else None) == kind


def test_adam_of_old_torch_may_have_been_adamw(tmp_path):
    net, optimizer = train(8, default, l2, 2)
    state = optimizer.state_dict()
    for group in state["param_groups"]:
        del group["decoupled_weight_decay"]
    assert told(groups_of(tmp_path, {"m": net.state_dict(), "o": state}), 8, None) is None
    for group in state["param_groups"]:
        group["weight_decay"] = 0
    regime = told(groups_of(tmp_path, {"m": net.state_dict(), "o": state}), 8, None)
    assert regime is not None
    assert regime.kind == "none"


def test_a_class_with_a_setting_of_its_own_is_not_told(tmp_path):
    net, optimizer = train(8, default, adam, 2)
    for group in optimizer.param_groups:
        group["trust_ratio"] = 1.0
    assert told(groups_of(tmp_path, usual(net, optimizer, 2)), 8, None) is None


def test_groups_count_where_they_hold_biases_as_long(tmp_path):
    """Biases are often left out of the decay."""
    torch.manual_seed(0)
    net = Net(8)
    decayed = [p for n, p in net.named_parameters() if "bias" not in n]
    spared = [p for n, p in net.named_parameters() if "bias" in n]
    optimizer = torch.optim.AdamW([{"params": decayed}, {"params": spared, "weight_decay": 0.0}])
    net.head(net.lstm(torch.randn(6, 4, 3))[0][-1]).square().mean().backward()
    optimizer.step()
    found = groups_of(tmp_path, usual(net, optimizer, 1))
    assert told(found, 8, None) == Regime("none", "Adam, weight_decay 0")
    assert told(found, 9, None) is None  # of none of these vectors: then the groups must agree
    silent = [group._replace(slots=frozenset(), lengths=frozenset()) for group in found]
    assert told(silent, 8, None) is None


@pytest.mark.parametrize("write", [default, put(0.37), put(0.37, rest=0.0)])
@pytest.mark.parametrize("steps", [10**6, 2**62])
def test_a_decay_of_ever_so_many_steps_leaves_nothing_to_divide_by(tmp_path, write, steps):
    for size in (16, 32):
        net, optimizer = train(
            size,
            write,
            lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=0.05),
            1,
        )
        assert read(tmp_path, usual(net, optimizer, steps)).scheme
        ran = told(groups_of(tmp_path, usual(net, optimizer, steps)), size, steps)
        assert ran is not None
        assert 0 < ran.left < 1e-6


def test_a_state_of_wrong_numbers_is_no_error(tmp_path):
    net, optimizer = train(8, default, adam, 1)
    for wrong in (float("nan"), float("inf"), 10**400, -1, None, "0.01", True, [1]):
        state = optimizer.state_dict()
        for group in state["param_groups"]:
            group["weight_decay"] = group["lr"] = wrong
        state["param_groups"] += [7, None, {}]
        told(groups_of(tmp_path, {"m": net.state_dict(), "o": state, "global_step": 3}), 8, 3)
        assert read(tmp_path, {"m": net.state_dict(), "o": state}).scheme
