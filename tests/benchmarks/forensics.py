"""How often is `identify` right? Measured on LSTMs whose initialisation is known, fresh and really
trained.

Run by hand:  python tests/benchmarks/forensics.py [--quick] Prints Markdown. One process, one
thread, fixed seeds; under ten minutes whole, under one with --quick.
"""

import argparse
import math
import time
import timeit
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lstm_audit.lstm.forensics.fingerprint import Init, family, identify, short

I, F, G, O = range(4)  # noqa: E741
Write = Callable[[Tensor, Tensor], None]  # writes into bias_ih and bias_hh, each seen as (4, H)


class Recipe(NamedTuple):
    truth: str  # what a perfect reader would say of the fresh bias
    write: Write


def fill(values: dict[tuple[int, int], float], clean: bool = False) -> Write:
    """Write a constant into each (half, gate); `clean` zeroes everything else."""

    def write(*halves: Tensor) -> None:
        for half in halves if clean else ():
            half.zero_()
        for (side, gate), value in values.items():
            halves[side][gate] = value

    return write


def whole(ih: float | None, hh: float | None) -> Write:
    """One constant over all four gates of a half; None leaves its draws."""

    def write(*halves: Tensor) -> None:
        for half, value in zip(halves, (ih, hh), strict=True):
            if value is not None:
                half.fill_(value)

    return write


def chrono_draw(half: Tensor, longest: float, couple: bool) -> None:
    half[F] = torch.empty(half.shape[1]).uniform_(1, longest - 1).log()
    if couple:
        half[I] = -half[F]


def chrono(longest: float, couple: bool = True, other: str = "zero", both: bool = False) -> Write:
    def write(ih: Tensor, hh: Tensor) -> None:
        chrono_draw(ih, longest, couple)
        gates = (I, F) if couple else (F,)
        for gate in gates if other == "zero" else ():
            hh[gate] = 0
        if both:
            chrono_draw(hh, longest, couple)
        if other == "copy":
            for gate in gates:
                hh[gate] = ih[gate]
        if other == "clean":
            hh.zero_()
            ih[G:] = 0

    return write


def uniform_gate(couple: bool) -> Write:
    def write(ih: Tensor, hh: Tensor) -> None:
        size = ih.shape[1]
        ih[F] = torch.logit(torch.empty(size).uniform_(1 / size, 1 - 1 / size))
        hh[F] = 0
        if couple:
            ih[I] = -ih[F]
            hh[I] = 0

    return write


def linspace(clean: bool, half: int) -> Write:
    def write(*halves: Tensor) -> None:
        for h in halves if clean else ():
            h.zero_()
        halves[1 - half][F] = 0
        halves[half][F] = torch.linspace(3, 6, halves[half].shape[1])

    return write


def uniform_over(bound: float) -> Write:
    def write(*halves: Tensor) -> None:
        for half in halves:
            half.uniform_(-bound, bound)

    return write


def normal_over(std: float) -> Write:
    def write(*halves: Tensor) -> None:
        for half in halves:
            half.normal_(0, std)

    return write


def halve(ih: Tensor, hh: Tensor) -> None:
    ih.mul_(0.5)
    hh.mul_(0.5)


def set_then_halve(ih: Tensor, hh: Tensor) -> None:
    """MLPerf's RNN-T: ones into one half, zeros into the other, then everything halved."""
    fill({(0, F): 1, (1, F): 0})(ih, hh)
    halve(ih, hh)


RECIPES = {
    "default": Recipe("pytorch-default", whole(None, None)),
    "default, halved": Recipe("pytorch-default", halve),
    "zeros": Recipe("zeros", whole(0, 0)),
    "all ones": Recipe("all-ones", whole(1, 1)),
    "all ones, one half": Recipe("all-ones", whole(None, 1)),
    "1 into both": Recipe("doubled(1)", fill({(0, F): 1, (1, F): 1})),
    "2 into both": Recipe("doubled(2)", fill({(0, F): 2, (1, F): 2})),
    "1 into both, rest 0": Recipe("doubled(1)", fill({(0, F): 1, (1, F): 1}, clean=True)),
    "hh = 3": Recipe("one-sided(hh=3)", fill({(1, F): 3})),
    "hh = 1": Recipe("one-sided(hh=1)", fill({(1, F): 1})),
    "ih = 1": Recipe("one-sided(ih=1)", fill({(0, F): 1})),
    "ih = 5": Recipe("one-sided(ih=5)", fill({(0, F): 5})),
    "ih = 1, hh = 0": Recipe("constant(1)", fill({(0, F): 1, (1, F): 0})),
    "ih = 0, hh = 3": Recipe("constant(3)", fill({(0, F): 0, (1, F): 3})),
    "1, rest 0 (Keras)": Recipe("constant(1)", fill({(1, F): 1}, clean=True)),
    "1, then halved": Recipe("constant(0.5)", set_then_halve),
    "g = 1 in both": Recipe("wrong-gate(g)", fill({(0, G): 1, (1, G): 1})),
    "g = 1, other 0": Recipe("wrong-gate(g)", fill({(0, G): 1, (1, G): 0})),
    "o: hh = 1": Recipe("wrong-gate(o)", fill({(1, O): 1})),
    "i = 1, rest 0": Recipe("wrong-gate(i)", fill({(0, I): 1}, clean=True)),
    "chrono 784": Recipe("chrono", chrono(784)),
    "chrono 100": Recipe("chrono", chrono(100)),
    "chrono 784, rest 0": Recipe("chrono", chrono(784, other="clean")),
    "chrono 784, f only": Recipe("chrono", chrono(784, couple=False)),
    "chrono over draws": Recipe("chrono", chrono(100, other="draws")),
    "chrono in both": Recipe("doubled-chrono", chrono(784, both=True)),
    "chrono in both, copied": Recipe("doubled-chrono", chrono(784, other="copy")),
    "chrono in both, f only": Recipe("doubled-chrono", chrono(784, couple=False, both=True)),
    "uniform gate": Recipe("uniform-gate", uniform_gate(couple=True)),
    "uniform gate, f only": Recipe("uniform-gate", uniform_gate(couple=False)),
    "linspace 3..6": Recipe("linspace", linspace(clean=False, half=0)),
    "linspace 3..6, rest 0": Recipe("linspace", linspace(clean=True, half=1)),
    "one half zeroed": Recipe("unknown", whole(0, None)),
    "forget half zeroed": Recipe("unknown", fill({(1, F): 0})),
    "U(-.05, .05)": Recipe("unknown", uniform_over(0.05)),
    "U(-.1, .1)": Recipe("unknown", uniform_over(0.1)),
    "N(0, .1)": Recipe("unknown", normal_over(0.1)),
    "N(0, .02)": Recipe("unknown", normal_over(0.02)),
}

CASTS = (torch.float32, torch.float16, torch.bfloat16)
Optimiser = Callable[[Iterable[Tensor]], torch.optim.Optimizer]
OPTIMISERS: dict[str, dict[str, Optimiser]] = {
    "conserving": {
        "SGD": lambda p: torch.optim.SGD(p, 0.5),
        "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9),
        "Adam": lambda p: torch.optim.Adam(p, 3e-3),
        "RMSprop": lambda p: torch.optim.RMSprop(p, 1e-3),
    },
    "common decay": {
        "AdamW": lambda p: torch.optim.AdamW(p, 3e-3, weight_decay=0.05),
        "SGD+L2": lambda p: torch.optim.SGD(p, 0.3, weight_decay=1e-4),
    },
    "uneven decay": {
        "Adam+L2": lambda p: torch.optim.Adam(p, 3e-3, weight_decay=1e-3),
        "RMSprop+L2": lambda p: torch.optim.RMSprop(p, 1e-3, weight_decay=1e-4),
    },
}


class Case(NamedTuple):
    """One LSTM to train."""

    recipe: str
    kind: str
    optimiser: str
    size: int
    steps: int
    seed: int


Tally = Counter[tuple[str, ...]]
WRONG: list[str] = []


def build(recipe: Recipe, size: int, seed: int) -> nn.LSTM:
    torch.manual_seed(seed)
    lstm = nn.LSTM(4, size)
    with torch.no_grad():
        recipe.write(*(b.view(4, size) for b in biases(lstm)))
    return lstm


def biases(lstm: nn.LSTM) -> tuple[Tensor, Tensor]:
    return lstm.get_parameter("bias_ih_l0"), lstm.get_parameter("bias_hh_l0")


def ask(lstm: nn.LSTM, dtype: torch.dtype = torch.float32) -> Init:
    ih, hh = (b.detach().to(dtype).double().view(4, -1).tolist() for b in biases(lstm))
    return identify(ih, hh, spelled(dtype))


def spelled(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def train(lstm: nn.LSTM, optimiser: Optimiser, steps: int) -> Iterator[int]:
    """Recall the first input at the end and predict the running mean meanwhile; yields after every
    step.
    """
    head = nn.Linear(lstm.hidden_size, 2)
    optimizer = optimiser([*lstm.parameters(), *head.parameters()])
    for step in range(1, steps + 1):
        x = torch.randn(12, 8, 4)
        mean = x[..., 0].cumsum(0) / torch.arange(1, 13).view(-1, 1)
        out = head(lstm(x)[0])
        loss = (out[..., 0] - mean).square().mean() + (out[-1, :, 1] - x[0, :, 1]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(lstm.parameters(), 1.0)
        optimizer.step()
        yield step


def verdict(init: Init, truth: str) -> str:
    """right, unknown or wrong. A constant may be off by a tenth; a trained `doubled` by any amount,
    as it says.
    """
    if init.scheme == "unknown" or family(init) != family_of(truth):
        return (
            "right" if init.scheme == truth else "unknown" if init.scheme == "unknown" else "wrong"
        )
    said, meant = (argument(scheme) for scheme in (init.scheme, truth))
    if said[0] != meant[0] or (truth.startswith("wrong-gate") and said != meant):
        return "wrong"
    if not meant[1].isalpha() and meant[1] and (family(init) != "doubled" or init.state == "fresh"):
        return "right" if math.isclose(float(said[1]), float(meant[1]), rel_tol=0.1) else "wrong"
    return "right"


def family_of(truth: str) -> str:
    return truth.partition("(")[0]


def argument(scheme: str) -> tuple[str, str]:
    """`one-sided(hh=3)` → (hh, 3)"""
    half, _, value = scheme.partition("(")[2].rstrip(")").rpartition("=")
    return half, value


def measure_fresh(sizes: tuple[int, ...], seeds: int) -> Tally:
    tally: Tally = Counter()
    for name, size, seed in product(RECIPES, sizes, range(seeds)):
        lstm = build(RECIPES[name], size, 1000 * size + seed)
        for dtype in CASTS:
            init = ask(lstm, dtype)
            answer = judge(init, name, f"fresh, H={size}, {spelled(dtype)}")
            tally["fresh", name, "H < 16" if size < 16 else "H >= 16", spelled(dtype), answer] += 1
            tally["state", "fresh", spelled(dtype), init.state] += 1
    return tally


def judge(init: Init, recipe: str, circumstances: str) -> str:
    answer = verdict(init, RECIPES[recipe].truth)
    if answer == "wrong":
        WRONG.append(f"{recipe}: {short(init)} ({init.confidence}; {circumstances})")
    return answer


def measure_trained(sizes: tuple[int, ...], steps: tuple[int, ...], seeds: int) -> Tally:
    tally: Tally = Counter()
    cases = product(
        range(seeds),
        enumerate((k, o) for k, group in OPTIMISERS.items() for o in group),
        enumerate(RECIPES),
    )
    for seed, (n, (kind, optimiser)), (m, name) in cases:
        run(
            tally,
            Case(
                name,
                kind,
                optimiser,
                sizes[(m + n + seed) % len(sizes)],
                steps[(m + seed) % len(steps)],
                seed,
            ),
        )
    return tally


def run(tally: Tally, case: Case) -> None:
    """Train one LSTM; ask its state on the way and everything at the end."""
    lstm = build(RECIPES[case.recipe], case.size, 7_000_000 + 1000 * case.size + case.seed)
    for step in train(lstm, OPTIMISERS[case.kind][case.optimiser], case.steps):
        if step in (1, 30):
            note_state(tally, ask(lstm), f"after {step} steps", "float32")
    for dtype in map(spelled, CASTS):
        init = ask(lstm, getattr(torch, dtype))
        answer = judge(
            init, case.recipe, f"{case.optimiser}, {case.steps} steps, H={case.size}, {dtype}"
        )
        note_state(tally, init, "trained", dtype)
        tally["trained", case.recipe, case.kind, dtype, answer] += 1
        width = "H < 16" if case.size < 16 else "H 16 to 31" if case.size < 32 else "H >= 32"
        tally["size", case.kind, width, dtype, answer] += 1
        innocent = family_of(RECIPES[case.recipe].truth) != "doubled"
        tally["LSTMs that are not doubled", dtype] += innocent
        tally["of these called doubled", dtype] += innocent and family(init) == "doubled"


def note_state(tally: Tally, init: Init, when: str, dtype: str) -> None:
    tally["state", when, dtype, init.state] += 1
    tally["moved LSTMs called a fresh default", dtype] += (
        init.scheme == "pytorch-default" and init.state == "fresh"
    )


ANSWERS = ("right", "unknown", "wrong")


def table(tally: Tally, what: str, columns: tuple[tuple[str, str], ...]) -> None:
    """One row a recipe or class; each cell right / unknown / wrong."""
    rows = dict.fromkeys(key[1] for key in tally if key[0] == what)
    line([what, *(f"{group}, {dtype}" for group, dtype in columns)])
    line(["---"] * (len(columns) + 1))
    for row in (*rows, "all"):
        line([row, *(cell(tally, what, row, *column) for column in columns)])
    print()


def cell(tally: Tally, what: str, row: str, group: str, dtype: str) -> str:
    sums = dict.fromkeys(ANSWERS, 0)
    for key, count in tally.items():
        if (
            key[0] == what
            and row in (key[1], "all")
            and group in (key[2], "all")
            and key[3] == dtype
        ):
            sums[key[4]] += count
    return " / ".join(map(str, sums.values()))


def line(cells: Iterable[object]) -> None:
    print("| " + " | ".join(map(str, cells)) + " |")


def states(tally: Tally) -> None:
    said = ("fresh", "fresh?", "trained", "undetermined")
    line(["state", *said])
    line(["---"] * 5)
    for when, dtype in dict.fromkeys(key[1:3] for key in tally if key[0] == "state"):
        line([f"{when}, {dtype}", *(tally["state", when, dtype, state] for state in said)])
    print()


def speed() -> None:
    line(["microseconds an LSTM", *(f"H={size}" for size in (64, 128, 1024))])
    line(["---"] * 4)
    for name, steps in product(("default", "hh = 3"), (0, 60)):
        label = f"{name}, trained" if steps else f"{name}, fresh"
        line([label, *(f"{timing(RECIPES[name], size, steps):.0f}" for size in (64, 128, 1024))])


def timing(recipe: Recipe, size: int, steps: int) -> float:
    """The best of many, in microseconds: other programs can only make it slower."""
    lstm = build(recipe, size, 5)
    for _ in train(lstm, OPTIMISERS["conserving"]["Adam"], steps):
        pass
    ih, hh = (b.detach().double().view(4, -1).tolist() for b in biases(lstm))
    return 1e6 * min(
        timeit.repeat(lambda: identify(ih, hh, "float32"), number=1, repeat=max(5, 10000 // size))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    torch.set_num_threads(1)
    start = time.process_time()
    fresh = measure_fresh(
        (8, 16, 64) if quick else (4, 8, 12, 16, 24, 32, 64, 100, 128, 256, 1024), 1 if quick else 3
    )
    sizes = (16, 48) if quick else (8, 16, 24, 32, 64, 128)
    trained = measure_trained(sizes, (60,) if quick else (80, 200, 400), 1 if quick else 2)
    print("Every cell counts LSTMs: right / unknown / wrong.\n")
    table(
        fresh,
        "fresh",
        (
            ("H >= 16", "float32"),
            ("H < 16", "float32"),
            ("H >= 16", "float16"),
            ("H >= 16", "bfloat16"),
        ),
    )
    table(
        trained,
        "trained",
        (*((kind, "float32") for kind in OPTIMISERS), ("all", "float16"), ("all", "bfloat16")),
    )
    table(
        trained, "size", (("H < 16", "float32"), ("H 16 to 31", "float32"), ("H >= 32", "float32"))
    )
    states(fresh + trained)
    for what in (
        "LSTMs that are not doubled",
        "of these called doubled",
        "moved LSTMs called a fresh default",
    ):
        print(
            f"{what}: "
            + ", ".join(f"{trained[what, dtype]} ({dtype})" for dtype in map(spelled, CASTS))
            + "\n"
        )
    print("At H=100 k is .1, so U(-.1, .1) is the default and U(-.05, .05) the halved default.\n")
    print("Every wrong answer:\n\n" + "\n".join(f"- {wrong}" for wrong in WRONG) + "\n")
    speed()
    print(f"\nTook {time.process_time() - start:.0f} s of CPU time.")


if __name__ == "__main__":
    main()
