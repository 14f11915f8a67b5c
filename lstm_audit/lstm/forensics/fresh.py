"""Initialisations that nothing has touched: read straight off the blocks.

In: a `Bias` and what vouches for its freshness. Out: an `Init`, or None when something has moved
the values. It promises `fresh` only on proof: blocks of one bit-equal constant, or draws that still
lie on the generator's lattice.
"""

from collections.abc import Sequence

from ...tuples import NamedTuple
from . import lattice, laws
from .bias import Bias, F, G, I, O
from .schemes import GATES, Init, name_no_law, round_figures

OTHERS = (I, G, O)


# Two questions are kept apart: *is* it fresh (the voucher, with its confidence and its reason) and
# *what* was it set to (the scheme). The same pattern of kinds is read with a proof, or with a
# likeness only, and the answer carries which of the two it was.
class Voucher(NamedTuple):
    """What makes a fresh reading credible, and how far."""

    state: str
    confidence: str
    reason: str

    def init(self, scheme: str, value: float | None, remark: str = "") -> Init:
        return Init(
            scheme,
            value,
            self.state,
            self.confidence,
            f"{remark}; {self.reason}" if remark else self.reason,
        )

    def unknown(self, remark: str) -> Init:
        return name_no_law(f"{remark}; {self.reason}", self.state, self.confidence)


CONSTANT = Voucher(
    "fresh", "certain", "every block is one bit-equal constant, which no training step leaves"
)


def vouch(bias: Bias) -> Voucher | None:
    """The lattice proves float32 draws; 16-bit ones can only look the part (everything is on a
    lattice there).
    """
    draws = bias.draws()
    if bias.coarse:
        if not laws.looks_drawn(draws, bias.bound):
            return None
        confidence = "medium" if bias.size >= 12 else "low"
        return Voucher(
            "fresh?", confidence, f"the draws look untouched, which {bias.held} cannot prove"
        )
    proof = lattice.bits(draws, bias.bound) if draws and bias.held == "float32" else -1.0
    if proof < lattice.PROOF:
        return None
    return Voucher(
        "fresh", "certain", f"the draws lie on the generator's lattice ({proof:.0f} bits)"
    )


# Constants need no voucher: a bit-equal block is its own proof. A forget gate outside ±k was set by
# a law of its own, and the others vouch for it. What is left is draws with constants, where the
# letters of the gates spell the mistake: CU in the forget gate is one-sided, CC doubled.
def fresh(bias: Bias, voucher: Voucher | None) -> Init | None:
    """The initialiser, where every block still is what one wrote."""
    if set("".join(bias.kinds)) <= {"Z", "C"}:
        return _constants(bias)
    if "N" in bias.kinds[F]:
        return _shaped(bias, voucher)
    if voucher is None or any("N" in kind for kind in bias.kinds):
        return None
    return _drawn(bias, voucher)


# The order decides between readings of the same numbers: nothing set at all; everything set alike;
# forget halves equal (the classic 1 + 1 = 2); one other gate set instead; else a constant.
def _constants(bias: Bias) -> Init:
    pairs = [(a[0], b[0]) for a, b in zip(bias.ih, bias.hh, strict=True)]
    sums = [a + b for a, b in pairs]
    forget, odd = sums[F], [g for g in OTHERS if sums[g]]
    if not any(a or b for a, b in pairs):
        return CONSTANT.init("zeros", 0.0)
    if len(set(pairs)) == 1 and forget:
        return CONSTANT.init(
            "all-ones", forget, f"all four gates add up to {round_figures(forget)}"
        )
    if pairs[F][0] == pairs[F][1] != 0:
        return _doubled(bias, CONSTANT)
    if not forget and len(odd) == 1:
        return _wrong_gate(odd[0], sums[odd[0]], CONSTANT)
    return CONSTANT.init(f"constant({round_figures(forget)})", forget)


def _drawn(bias: Bias, voucher: Voucher) -> Init:
    """Only zeros, constants and draws: what stands in the forget gate, and is it the only one?"""
    contents = {_contents(bias, g) for g in range(4)}
    if contents == {("UU", None, None)}:
        return voucher.init("pytorch-default", None)
    if len(contents) == 1:
        _, a, b = contents.pop()
        value = a if b is None else b
        if not value:
            return voucher.unknown("one half is zeroed, the other drawn")
        return voucher.init(
            "all-ones", value, f"every gate holds {round_figures(value)} in one half"
        )
    match bias.kinds[F]:
        case "UU" | "ZZ":
            return _elsewhere(bias, voucher)
        case "CU" | "UC":
            return _one_sided(bias, voucher)
        case "ZU" | "UZ" if _lone_constant(bias) is not None:
            return _elsewhere(bias, voucher)
        case "ZU" | "UZ":
            return voucher.unknown("one half of the forget gate is zeroed, the other drawn")
        case "CC" if bias.ih[F][0] == bias.hh[F][0]:
            return _doubled(bias, voucher)
    value = bias.ih[F][0] + bias.hh[F][0]
    return voucher.init(f"constant({round_figures(value)})", value)


def _contents(bias: Bias, gate: int) -> tuple[str, float | None, float | None]:
    """A gate's kinds and its constants; draws stand for themselves."""
    kinds = bias.kinds[gate]
    a, b = (
        None if kind == "U" else h[gate][0]
        for kind, h in zip(kinds, (bias.ih, bias.hh), strict=True)
    )
    return kinds, a, b


def _lone_constant(bias: Bias) -> int | None:
    """The one gate beside the forget gate that holds a constant, if there is one and no other."""
    odd = [g for g in OTHERS if "C" in bias.kinds[g]]
    return odd[0] if len(odd) == 1 else None


def _elsewhere(bias: Bias, voucher: Voucher) -> Init:
    odd = _lone_constant(bias)
    if odd is None:
        return voucher.unknown(
            "the forget gate was left alone, the other gates were set in no listed way"
        )
    _, a, b = _contents(bias, odd)
    return _wrong_gate(odd, (a or 0.0) + (b or 0.0), voucher)


def _wrong_gate(gate: int, value: float, voucher: Voucher) -> Init:
    remark = f"{round_figures(value)} stands in gate {GATES[gate]}, and nothing in the forget gate"
    return voucher.init(f"wrong-gate({GATES[gate]})", value, remark)


def _one_sided(bias: Bias, voucher: Voucher) -> Init:
    half, block = ("ih", bias.ih[F]) if bias.kinds[F][0] == "C" else ("hh", bias.hh[F])
    figures = round_figures(block[0])
    remark = f"bias_{half} holds {figures} in the forget gate, the other half is still drawn"
    return voucher.init(f"one-sided({half}={figures})", block[0], remark)


def _doubled(bias: Bias, voucher: Voucher) -> Init:
    value = bias.ih[F][0]
    remark = f"both forget halves hold {round_figures(value)}, and they add up"
    return voucher.init(f"doubled({round_figures(value)})", value, remark)


def _shaped(bias: Bias, voucher: Voucher | None) -> Init | None:
    """The forget gate has a spread of its own (chrono and its like); the other gates must be
    constant or drawn.
    """
    coupled = _coupled(bias)
    rest = {letter for g in ((G, O) if coupled else OTHERS) for letter in bias.kinds[g]}
    if rest <= {"Z", "C"}:
        voucher = Voucher("fresh", "certain", "the gates beside it are bit-equal constants")
    if "N" in rest or voucher is None or (voucher.state == "fresh?" and bias.size < 16):
        return None
    drawn = [h[F] for h, kind in zip((bias.ih, bias.hh), bias.kinds[F], strict=True) if kind == "N"]
    init = (_law if len(drawn) == 1 else _both)(bias, drawn[0], coupled, voucher)
    return init if init.scheme != "unknown" or voucher.state == "fresh" else None


def _coupled(bias: Bias) -> bool:
    """Whether the input gate was set to minus the forget gate, in a half that is not zero (chrono's
    b_i = −b_f).
    """
    return any(
        any(h[F]) and all(f == -i for f, i in zip(h[F], h[I], strict=True))
        for h in (bias.ih, bias.hh)
    )


# Two equal halves with chrono's spread have two histories: one draw split in two, so that the sum
# is right, or one draw copied into both, so that time scales are squared. Under the first, e^half
# has density 2u/(M²-1), under the second 1/(M-1): the log odds decide, and where they do not, the
# answer is that nobody can know.
def _both(bias: Bias, ih: Sequence[float], coupled: bool, voucher: Voucher) -> Init:
    """Both forget halves have a spread: a law drawn twice or copied, or one value split between the
    halves.
    """
    hh, sums = bias.hh[F], [a + b for a, b in zip(ih, bias.hh[F], strict=True)]
    even = _law(bias, sums, coupled, voucher) if ih == hh else None
    fits = max(laws.log_uniform(ih)[0], laws.log_uniform(hh)[0])
    if even and (even.scheme not in ("chrono", "unknown") or fits > laws.KS):
        return even
    if even and even.scheme == "chrono" and abs(odds := laws.split_odds(ih)) > 3:
        return even if odds > 0 else _doubled_chrono(ih, voucher)
    if even and even.scheme == "chrono":
        return voucher.unknown(
            "chrono in equal forget halves: one draw split between them, or copied into both"
        )
    if fits <= laws.KS and (coupled or bias.size >= 8):
        return _doubled_chrono(ih, voucher)
    return voucher.unknown("both forget halves have a spread of no listed law")


def _doubled_chrono(ih: Sequence[float], voucher: Voucher) -> Init:
    remark = "chrono stands in both forget halves, and they add up: the time scales multiply"
    return voucher.init("doubled-chrono", laws.log_uniform(ih)[1], remark)


def _law(bias: Bias, values: Sequence[float], coupled: bool, voucher: Voucher) -> Init:
    """Which law the forget gate's values follow, one value a unit."""
    ends = laws.line(values, [4 * bias.epsilon * max(abs(v), 0.01) for v in values])
    if ends:
        return voucher.init(
            "linspace",
            None,
            f"evenly spaced from {round_figures(ends[0])} to {round_figures(ends[1])}",
        )
    distance, steps = laws.log_uniform(values)
    if distance <= laws.KS and (coupled or bias.size >= 8):
        link = "b_i = −b_f" if coupled else "the input gate is not coupled"
        return voucher.init("chrono", steps, f"forget biases spread as ln U(1, T−1), {link}")
    distance, start, steps = laws.log_uniform_between(values)
    if coupled and distance <= laws.KS:
        return voucher.init(
            "chrono",
            steps,
            f"forget biases spread as ln U(T_min−1, T−1) from T_min {round_figures(start)}",
        )
    if laws.uniform_gate(values, bias.epsilon):
        return voucher.init(
            "uniform-gate", None, "forget activations spread evenly over (1/H, 1−1/H)"
        )
    return voucher.unknown("the forget gate follows no listed law")
