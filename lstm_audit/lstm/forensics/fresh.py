"""Initialisations that nothing has touched: read straight off the blocks.

In: a `Bias` and what vouches for its freshness. Out: an `Init`, or None when something has moved
the values. It promises that the answer is no surer than what vouches for it.
"""

from .bias import Bias, F, G, I, O
from .division import is_divided
from .schemes import GATES, Init, round_figures
from .shaped import name_shape
from .vouch import Voucher, vouch_for_constants

OTHERS = (I, G, O)


# Constants beside a gate of zeros vouch for themselves. A forget gate outside ±k was set by a law
# of its own, and the others vouch for it. What is left is draws with constants, where the letters
# of the gates spell the mistake: CU in the forget gate is one-sided, CC doubled.
def fresh(bias: Bias, voucher: Voucher | None) -> Init | None:
    """The initialiser, where every block still is what one wrote."""
    if set("".join(bias.kinds)) <= {"Z", "C"}:
        reason = vouch_for_constants(bias, range(4))
        return _constants(bias, reason) if reason else None
    if "N" in bias.kinds[F]:
        return name_shape(bias, voucher)
    if voucher is None or any("N" in kind for kind in bias.kinds):
        return None
    return _judge_draws(bias, voucher)


# The order decides between readings of the same numbers: nothing set at all; everything set alike;
# forget halves equal (the classic 1 + 1 = 2); one other gate set instead; else a constant.
def _constants(bias: Bias, voucher: Voucher) -> Init:
    pairs = [(a[0], b[0]) for a, b in zip(bias.ih, bias.hh, strict=True)]
    sums = [a + b for a, b in pairs]
    forget, odd = sums[F], [g for g in OTHERS if sums[g]]
    if not any(map(any, pairs)):
        return voucher.init("zeros", 0.0)
    if len(set(pairs)) == 1 and forget:
        return voucher.init("all-ones", forget, f"all four gates add up to {round_figures(forget)}")
    if pairs[F][0] == pairs[F][1] != 0:
        return _name_doubled(bias, voucher)
    if is_divided(bias.ih[F], bias.hh[F], bias.epsilon):
        return _name_divided(forget, voucher)
    if not forget and len(odd) == 1:
        return _wrong_gate(odd[0], sums[odd[0]], voucher)
    return voucher.init(f"constant({round_figures(forget)})", forget)


def _judge_draws(bias: Bias, voucher: Voucher) -> Init:
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
            return _name_doubled(bias, voucher)
    value = bias.ih[F][0] + bias.hh[F][0]
    if is_divided(bias.ih[F], bias.hh[F], bias.epsilon):
        return _name_divided(value, voucher)
    return voucher.init(f"constant({round_figures(value)})", value)


def _name_divided(value: float, voucher: Voucher) -> Init:
    remark = (
        f"{round_figures(value)} is divided between the halves, as `patch --place split` writes it"
    )
    return voucher.init(f"constant({round_figures(value)})", value, remark)


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
    return voucher.init(f"one-sided({half}={round_figures(block[0])})", block[0], remark)


def _name_doubled(bias: Bias, voucher: Voucher) -> Init:
    value = bias.ih[F][0]
    remark = f"both forget halves hold {round_figures(value)}, and they add up"
    return voucher.init(f"doubled({round_figures(value)})", value, remark)
