"""How often is `identify` right? Measured on LSTMs whose initialisation is known, fresh and really
trained.

Run by hand:  python tests/benchmarks/forensics.py [--quick] [--models N] [--first SEED]
[--recipes all|last]
Prints Markdown. One process, one thread; a model is its seed (`forensics_training.choose`), and
nothing else is kept. The models from `HELD_OUT` on were not looked at while the thresholds were
chosen; nor were the recipes of `LAST`, with any seed.
"""

import argparse
import math
import time
import timeit
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import product

import torch
from forensics_recipes import (
    AFTERWARDS,
    LAST,
    RECIPES,
    SAME_LAW,
    TRACELESS,
    TRAPS,
    UNSEEN,
    Recipe,
)
from forensics_training import HELD_OUT, OPTIMISERS, Choice, Optimiser, Trained, choose, train_one
from torch import Tensor, nn

from lstm_audit.lstm.forensics.fingerprint import (
    Init,
    family,
    identify,
    identify_together,
    short,
)  # fmt: skip

CASTS = (torch.float32, torch.float16, torch.bfloat16)
ALL = {**RECIPES, **TRAPS, **UNSEEN}
EVERY = {**ALL, **LAST}

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
    """right, unknown or wrong. A number may be off by a tenth, or be left out; that of a trained
    `doubled` by any amount, as it says.
    """
    if init.scheme == "unknown" or family(init) != family_of(truth):
        return (
            "right" if init.scheme == truth else "unknown" if init.scheme == "unknown" else "wrong"
        )
    said, meant = (argument(scheme) for scheme in (init.scheme, truth))
    if said[0] != meant[0] or (truth.startswith("wrong-gate") and said != meant):
        return "wrong"
    if (
        said[1]
        and not meant[1].isalpha()
        and meant[1]
        and (family(init) != "doubled" or init.state == "fresh")
    ):
        return "right" if math.isclose(float(said[1]), float(meant[1]), rel_tol=0.1) else "wrong"
    return "right"


def family_of(truth: str) -> str:
    return truth.partition("(")[0]


def argument(scheme: str) -> tuple[str, str]:
    """`one-sided(hh=3)` → (hh, 3); without its number (hh, ""); `constant(1)` → ("", 1)"""
    inside = scheme.partition("(")[2].rstrip(")")
    if not scheme.startswith("one-sided"):
        return "", inside
    half, _, value = inside.partition("=")
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


def measure_trained(seeds: Iterable[int], recipes: Mapping[str, Recipe] = ALL) -> Tally:
    """Train one module a seed and ask what is left in it, as stored in each dtype."""
    tally: Tally = Counter()
    for seed in seeds:
        choice = choose(seed, recipes)
        trained = train_one(choice, recipes[choice.recipe].write)
        for dtype in CASTS:
            for init, moved in zip(answers(trained, dtype), trained.moved, strict=True):
                count(tally, choice, init, spelled(dtype), moved)
    return tally


def answers(trained: Trained, dtype: torch.dtype) -> list[Init]:
    """What is said of a module's recurrences, asked together as an audit does."""
    cast = [torch.tensor(pair, dtype=torch.float64).to(dtype).double() for pair in trained.biases]
    return identify_together([(ih, hh, spelled(dtype)) for ih, hh in (t.tolist() for t in cast)])


def count(tally: Tally, choice: Choice, init: Init, dtype: str, moved: bool = True) -> None:
    """One recurrence of a trained module."""
    truth = EVERY[choice.recipe].truth
    answer = judge_trained(choice, init)
    people = "what people do" if choice.recipe in RECIPES else "traps and unseen starts"
    tally["trained", choice.kind, people, dtype, answer] += 1
    tally["width", width(choice.size), people, dtype, answer] += 1
    tally["add-on", choice.add_on, people, dtype, answer] += 1
    tally["recipe", choice.recipe, people, dtype, answer] += 1
    if init.scheme != "unknown":
        tally["confidence", init.confidence, people, dtype, answer] += 1
    note_state(tally, init, "trained" if moved else "trained, not moved", dtype)
    innocent = family_of(truth) != "doubled"
    tally["LSTMs that are not doubled", dtype] += innocent
    tally["of these called doubled", dtype] += innocent and family(init) == "doubled"
    if answer == "wrong":
        how = f"{choice.optimiser}, {choice.add_on}, {choice.steps} steps, H={choice.size}"
        WRONG.append(f"{choice.recipe}: {short(init)} ({init.confidence}; {how}, {dtype})")


def judge_trained(choice: Choice, init: Init) -> str:
    """right, unknown or wrong, with what is right too of some recipes once they are trained."""
    recipe = choice.recipe
    answer = verdict(init, EVERY[recipe].truth)
    if answer == "wrong" and recipe in AFTERWARDS:
        answer = verdict(init, AFTERWARDS[recipe])
    if answer == "wrong" and (recipe, choice.size) in SAME_LAW:
        answer = verdict(init, "pytorch-default")
    if answer == "unknown" and (recipe in TRACELESS or "NaN" in init.evidence):
        answer = "right"  # nothing is left to tell by
    return answer


def width(size: int) -> str:
    return (
        "H < 8"
        if size < 8
        else "H 8 to 15"
        if size < 16
        else "H 16 to 31"
        if size < 32
        else "H >= 32"
    )


def note_state(tally: Tally, init: Init, when: str, dtype: str) -> None:
    tally["state", when, dtype, init.state] += 1
    tally["moved LSTMs called fresh", dtype] += when == "trained" and init.state == "fresh"


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


def calibration(tally: Tally) -> None:
    """Of what was said at each confidence, how much was wrong."""
    line(["confidence", "dtype", "said", "wrong", "share"])
    line(["---"] * 5)
    keys = dict.fromkeys((key[1], key[3]) for key in sorted(tally) if key[0] == "confidence")
    for confidence, dtype in keys:
        rows = {
            a: sum(
                n
                for k, n in tally.items()
                if k[:2] == ("confidence", confidence) and k[3:] == (dtype, a)
            )
            for a in ANSWERS
        }
        said = sum(rows.values())
        line([confidence, dtype, said, rows["wrong"], f"{rows['wrong'] / said:.2%}"])
    print()


def share(tally: Tally, answer: str, without: str = "") -> str:
    """How many float32 rows of a kind there are, out of all, `without` one class of optimisers."""
    rows = {k: n for k, n in tally.items() if k[0] == "trained" and k[3:4] == ("float32",)}
    rows = {k: n for k, n in rows.items() if k[1] != without}
    part = sum(n for k, n in rows.items() if k[4] == answer)
    return f"{part} of {sum(rows.values())} ({part / sum(rows.values()):.2%})"


def report_trained(tally: Tally) -> None:
    """Every table about trained LSTMs."""
    print(f"float32: wrong {share(tally, 'wrong')}, unknown {share(tally, 'unknown')},")
    print(f"unknown without steps scaled by a norm {share(tally, 'unknown', 'broken')}\n")
    groups = ("what people do", "traps and unseen starts")
    columns = [(group, dtype) for group in groups for dtype in ("float32", "bfloat16")]
    for what in ("trained", "width", "add-on", "recipe"):
        table(tally, what, tuple(columns))
    calibration(tally)
    states(tally)
    for what in (
        "LSTMs that are not doubled",
        "of these called doubled",
        "moved LSTMs called fresh",
    ):
        counts = (f"{tally[what, dtype]} ({dtype})" for dtype in map(spelled, CASTS))
        print(f"{what}: {', '.join(counts)}\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--models", type=int, default=600, help="how many are trained")
    parser.add_argument("--first", type=int, default=HELD_OUT, help="the first one's seed")
    parser.add_argument("--recipes", choices=("all", "last"), default="all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    sizes = (8, 16, 64) if options.quick else (4, 8, 12, 16, 24, 32, 64, 100, 128, 256, 1024)
    fresh = measure_fresh(sizes, 1 if options.quick else 3)
    models = min(options.models, 30) if options.quick else options.models
    recipes = LAST if options.recipes == "last" else ALL
    trained = measure_trained(range(options.first, options.first + models), recipes)
    print("Every cell counts LSTMs: right / unknown / wrong.\n")
    columns = [("H >= 16", "float32"), ("H < 16", "float32"), ("H >= 16", "float16")]
    table(fresh, "fresh", (*columns, ("H >= 16", "bfloat16")))
    states(fresh)
    report_trained(trained)
    print("At H=100 k is .1, so U(-.1, .1) is the default and U(-.05, .05) the halved default.\n")
    print("Every wrong answer:\n\n" + "\n".join(f"- {wrong}" for wrong in WRONG) + "\n")
    speed()
    print(f"\nTook {time.process_time() - start:.0f} s of CPU time.")


if __name__ == "__main__":
    main()
