"""Really trained LSTMs whose initialisation is known: what `forensics.py` asks about.

In: a seed. Out: the biases of one trained module, with how they were started and moved. The seed
alone makes all choices (recipe, optimiser, add-on, size, layers, task, steps), so nothing but seeds
need be kept. Seeds below `HELD_OUT` were looked at while the thresholds were chosen; those from it
on were not.
"""

import copy
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

HELD_OUT = 20_000
Write = Callable[[Tensor, Tensor], None]
Optimiser = Callable[[Iterable[Tensor]], torch.optim.Optimizer]


class SignDescent(torch.optim.Optimizer):
    """Every value moves by exactly `lr`: with a power of two, from one lattice point to another."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # torch overloads it
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(p.grad.sign() * group["lr"])


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, 2302.06675: the sign of an average, and decoupled decay."""

    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # torch overloads it
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                average = self.state[p].setdefault("m", torch.zeros_like(p))
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.sub_(average.lerp(p.grad, 0.1).sign() * group["lr"])
                average.lerp_(p.grad, 0.01)


class Lamb(torch.optim.Optimizer):
    """You et al. 2020, 1904.00962: steps scaled by the norm of the whole tensor."""

    def __init__(self, params: Iterable[Tensor], lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # torch overloads it
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    update = p.grad / (p.grad.abs() + 1e-6)
                    p.sub_(group["lr"] * p.norm().clamp(0.01, 10) / update.norm() * update)


o = torch.optim
OPTIMISERS: dict[str, dict[str, Optimiser]] = {
    "conserving": {
        "SGD": lambda p: o.SGD(p, 0.3),
        "momentum": lambda p: o.SGD(p, 0.05, momentum=0.9),
        "Nesterov": lambda p: o.SGD(p, 0.05, momentum=0.9, nesterov=True),
        "Adam": lambda p: o.Adam(p, 3e-3),
        "AMSGrad": lambda p: o.Adam(p, 3e-3, amsgrad=True),
        "NAdam": lambda p: o.NAdam(p, 2e-3),
        "RAdam": lambda p: o.RAdam(p, 3e-3),
        "Adamax": lambda p: o.Adamax(p, 3e-3),
        "RMSprop": lambda p: o.RMSprop(p, 1e-3),
        "Adagrad": lambda p: o.Adagrad(p, 2e-2),
        "Adadelta": lambda p: o.Adadelta(p, 1.0),
        "Rprop": lambda p: o.Rprop(p, 1e-3),
        "Lion": lambda p: Lion(p, 1e-3),
        "signs of 2^-14": lambda p: SignDescent(p, 2.0**-14),
    },
    "common decay": {
        "AdamW": lambda p: o.AdamW(p, 3e-3, weight_decay=0.5),
        "AdamW, strong": lambda p: o.AdamW(p, 5e-3, weight_decay=2.0),
        "NAdamW": lambda p: o.NAdam(p, 2e-3, weight_decay=0.3, decoupled_weight_decay=True),
        "SGD+L2": lambda p: o.SGD(p, 0.2, weight_decay=5e-3),
        "momentum+L2": lambda p: o.SGD(p, 0.05, momentum=0.9, weight_decay=2e-3),
        "Lion+wd": lambda p: Lion(p, 1e-3, weight_decay=1.0),
    },
    "uneven decay": {
        "Adam+L2": lambda p: o.Adam(p, 3e-3, weight_decay=1e-3),
        "RMSprop+L2": lambda p: o.RMSprop(p, 1e-3, weight_decay=1e-3),
        "Adagrad+L2": lambda p: o.Adagrad(p, 2e-2, weight_decay=1e-3),
        "Adamax+L2": lambda p: o.Adamax(p, 3e-3, weight_decay=1e-2),
    },
    "broken": {
        "Adafactor": lambda p: o.Adafactor(p, 1e-2),
        "LAMB": lambda p: Lamb(p, 1e-2),
    },
}
KINDS = {name: kind for kind, group in OPTIMISERS.items() for name in group}

ADD_ONS = (
    *("none",) * 6, "clip norm", "clip value", "accumulate", "schedule", "EMA", "SWA", "lookahead",
    "fine-tune", "freeze, thaw", "autocast", "weight norm", "cell",
)  # fmt: skip
SIZES = (4, 6, 8, 8, 10, 12, 16, 16, 20, 24, 32, 32, 48, 64, 96)
STEPS = (1, 10, 30, 60, 60, 100, 150)


class Choice(NamedTuple):
    """Everything that a seed decides."""

    seed: int
    recipe: str
    optimiser: str
    add_on: str
    size: int
    layers: int
    both_ways: bool
    task: str
    steps: int

    @property
    def kind(self) -> str:
        """Which class of optimisers; half-precision kernels break what they all keep."""
        return "autocast" if self.add_on == "autocast" else KINDS[self.optimiser]


def choose(seed: int, recipes: Mapping[str, Any], optimiser: str | None = None) -> Choice:
    """The choices of a seed among recipes."""
    die = random.Random(seed)
    kinds = ("conserving",) * 5 + ("common decay",) * 4 + ("uneven decay",) * 3 + ("broken",)
    group = OPTIMISERS[die.choice(kinds)]
    return Choice(
        seed,
        die.choice(sorted(recipes)),
        optimiser or die.choice(sorted(group)),
        die.choice(ADD_ONS),
        die.choice(SIZES),
        die.choice((1, 1, 1, 2, 3)),
        die.random() < 0.25,
        die.choice(("recall", "adding", "mean", "sign")),
        die.choice(STEPS),
    )


def batch(task: str) -> tuple[Tensor, Tensor]:
    """Inputs (10, 6, 3) and the number to be said at the end."""
    x = torch.randn(10, 6, 3)
    if task == "recall":
        return x, x[0, :, 1]
    if task == "adding":
        mark = (torch.rand(10, 6) < 0.2).float()
        return torch.stack([x[..., 0], mark, x[..., 2]], -1), (x[..., 0] * mark).sum(0)
    return x, x[..., 0].mean(0) if task == "mean" else x[..., 2].sum(0).sign()


class Model(nn.Module):
    """A recurrence and a head; `cell` steps an LSTMCell in Python, as research code does."""

    def __init__(self, choice: Choice) -> None:
        super().__init__()
        self.steps = choice.add_on == "cell"
        ways = 1 + choice.both_ways
        self.rnn: Any = (
            nn.LSTMCell(3, choice.size)
            if self.steps
            else nn.LSTM(3, choice.size, choice.layers, bidirectional=choice.both_ways)
        )
        self.head = nn.Linear(choice.size * (1 if self.steps else ways), 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.steps:
            return self.head(self.rnn(x)[0][-1]).squeeze(-1)
        state = None
        for step in x:
            state = self.rnn(step, state)
        assert state is not None
        return self.head(state[0]).squeeze(-1)


def halves_of(model: Model) -> Iterator[tuple[Tensor, Tensor]]:
    """bias_ih and bias_hh of each layer and direction, seen as (4, H)."""
    state = dict(model.rnn.named_parameters())
    for name, ih in state.items():
        if name.startswith("bias_ih"):
            hh = state[name.replace("_ih", "_hh")]
            yield ih.detach().view(4, -1), hh.detach().view(4, -1)


class Trained(NamedTuple):
    """One module after training: (bias_ih, bias_hh) of each recurrence, four lists each, and which
    of them are not what they were at the start.
    """

    choice: Choice
    biases: tuple[tuple[list[list[float]], list[list[float]]], ...]
    moved: tuple[bool, ...]


def train_one(
    choice: Choice, write: Write, everything: Callable[[Model], None] | None = None
) -> Trained:
    """Start by the recipe, train by the choice; `everything` may overwrite all parameters first."""
    torch.manual_seed(choice.seed)
    model = Model(choice)
    with torch.no_grad():
        for ih, hh in halves_of(model):
            write(ih, hh)
        if everything:
            everything(model)
    start = lists_of(halves_of(model))
    if choice.add_on == "weight norm" and choice.optimiser != "LAMB":
        for name in [n for n, _ in model.rnn.named_parameters() if n.startswith("weight")]:
            nn.utils.parametrizations.weight_norm(model.rnn, name)
    kept = (
        [copy.deepcopy(list(halves_of(model)))]
        if choice.add_on in ("EMA", "SWA", "lookahead")
        else []
    )
    optimizer = OPTIMISERS[KINDS[choice.optimiser]][choice.optimiser](model.parameters())
    for step in range(choice.steps):
        optimizer = before(step, choice, model, optimizer)
        learn(choice, model, optimizer)
        average(step, choice, model, kept)
    halves = kept[0] if choice.add_on in ("EMA", "SWA") and kept else halves_of(model)
    biases = lists_of(halves)
    return Trained(choice, biases, tuple(a != b for a, b in zip(biases, start, strict=True)))


def lists_of(
    halves: Iterable[tuple[Tensor, Tensor]],
) -> tuple[tuple[list[list[float]], list[list[float]]], ...]:
    """Both halves of each recurrence as lists."""
    return tuple((ih.double().tolist(), hh.double().tolist()) for ih, hh in halves)


def before(step: int, choice: Choice, model: Model, optimizer: Any) -> Any:
    """What happens at some steps only."""
    if choice.add_on == "fine-tune" and step == choice.steps // 2:
        return torch.optim.Adam(model.parameters(), 1e-3)
    if choice.add_on == "freeze, thaw":
        for p in model.rnn.parameters():
            p.requires_grad_(step >= choice.steps // 3)
    if choice.add_on == "schedule":
        for group in optimizer.param_groups:
            group["lr"] *= 0.99
    return optimizer


def learn(choice: Choice, model: Model, optimizer: Any) -> None:
    """One step."""
    optimizer.zero_grad()
    half = choice.add_on == "autocast"
    for _ in range(2 if choice.add_on == "accumulate" else 1):
        x, wanted = batch(choice.task)
        # oneDNN has no LSTM of bfloat16 for every shape; torch's own kernel has.
        torch.backends.mkldnn.enabled = not half
        with torch.autocast("cpu", dtype=torch.bfloat16) if half else nullcontext():
            said = model(x)
        (said.float() - wanted).square().mean().backward()
    if choice.add_on == "clip norm":
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
    if choice.add_on == "clip value":
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
    optimizer.step()


@torch.no_grad()
def average(step: int, choice: Choice, model: Model, kept: list[Any]) -> None:
    """EMA, SWA and lookahead, of the biases alone: nothing else is asked for."""
    if not kept:
        return
    for (a, b), (ih, hh) in zip(kept[0], halves_of(model), strict=True):
        for old, new in ((a, ih), (b, hh)):
            if choice.add_on == "lookahead" and step % 5 == 4:
                old.lerp_(new, 0.5)
                new.copy_(old)
            elif choice.add_on == "EMA":
                old.lerp_(new, 0.05)
            elif choice.add_on == "SWA":
                old.lerp_(new, 1 / (step + 2))
