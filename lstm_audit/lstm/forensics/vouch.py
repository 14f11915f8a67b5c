"""What says that a bias is as its initialiser left it, and how surely.

In: a `Bias`. Out: a `Voucher`, or None where nothing speaks for it. It promises `fresh` only on
proof: draws that still lie on the generator's lattice, where every step would leave it, or
constants beside a gate that is still exactly 0. Where a step of exactly 2^-n ends on the lattice
again, draws are `fresh?`. So are constants alone: symmetric weights, clamped ones and a first step
of Adam keep a block bit-equal too.
"""

import math
from collections.abc import Sequence

from ...tuples import NamedTuple
from . import lattice, laws
from .bias import Bias, F, I, O
from .schemes import Init, name_no_law


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


# Of a block of draws, all are multiples of 2^-20 once in 2^16 at H = 4, and hardly ever beyond.
COARSE = 2.0**20

CONSTANT = Voucher(
    "fresh",
    "certain",
    "every block is one bit-equal constant, and a gate is exactly 0, which no step leaves",
)
ZEROS = Voucher("fresh", "certain", "every bias is exactly 0")
WRITTEN = Voucher(
    "fresh?",
    "medium",
    "every block is one bit-equal round number; symmetric or clamped weights would keep them equal "
    "too",
)


# A gate's sum at which its activation scales gradients to a few ten-thousandths: what is left moves
# a large draw by a last place now and then, and that is a step of the lattice.
CLOSED = -8.0

# Dtypes with the exponents of a float32: others are 0 below 3e-8 or sooner, and so after steps that
# were smaller.
WIDE = frozenset({"float64", "float32", "bfloat16"})


def vouch(bias: Bias) -> Voucher | None:
    """The lattice proves float32 draws; 16-bit ones can only look the part (everything is on a
    lattice there).
    """
    draws = bias.draws()
    if bias.coarse:
        if not (laws.looks_drawn(draws, bias.bound) and _are_spread(bias)):
            return None
        confidence = "medium" if bias.size >= 12 else "low"
        return Voucher(
            "fresh?", confidence, f"the draws look untouched, which {bias.held} cannot prove"
        )
    if not draws or bias.held != "float32":
        return None
    proof = lattice.prove(draws, bias.bound)
    if not proof.holds or (proof.blind and has_stepped(bias)):
        return None
    voucher = on_lattice("the draws", proof)
    if any(laws.mean(bias.ih[g]) + laws.mean(bias.hh[g]) < CLOSED for g in (I, O)):
        why = "a step behind a gate that is all but closed may be too small to show"
        return Voucher("fresh?", "high", f"{voucher.reason}; {why}")
    return voucher


# Where the lattice is one of binary fractions, sign descent leaves the draws on it. What was one
# number in every unit shows it: it has become a few, a whole number of steps apart.
def has_stepped(bias: Bias) -> bool:
    """Whether a block about one number holds coarse binary fractions alone."""
    return any(
        0 < block[-1] - block[0] <= 2 * bias.bound and all((v * COARSE).is_integer() for v in block)
        for half in bias.ranked
        for block in half
    )


def _are_spread(bias: Bias) -> bool:
    """Whether each block reaches as far as a draw does, by its root mean square: a block of zeros
    that a few steps moved does not.
    """
    least = 0.4 * bias.bound / math.sqrt(3) * math.sqrt(bias.size)
    blocks = (
        (half[g], kind)
        for g in range(4)
        for half, kind in zip((bias.ih, bias.hh), bias.kinds[g], strict=True)
    )
    return all(kind != "U" or math.hypot(*block) >= least for block, kind in blocks)


def on_lattice(what: str, proof: lattice.Proof) -> Voucher:
    """The voucher of values on the lattice: a proof where a step by a power of two would show.
    Where it would not, the name that they give is no less likely, and the state is open.
    """
    reason = f"{what} lie on the generator's lattice ({proof.bits:.0f} bits)"
    if not proof.blind:
        return Voucher("fresh", "certain", reason)
    return Voucher("fresh?", "high", f"{reason}, which steps of exactly 2^-n would not leave")


def vouch_for_constants(bias: Bias, gates: Sequence[int]) -> Voucher | None:
    """What says that blocks of constants, one or more of which may have moved as one, did not.

    A step moves i, g and o whenever it moves f (f alone gets none from sequences of one step), so
    one of them at exactly 0 in both halves has seen none. Else only round numbers look written.
    """
    if any(bias.kinds[gate] == "ZZ" for gate in gates if gate != F):
        zeros = all(bias.kinds[gate] == "ZZ" for gate in gates)
        voucher = ZEROS if zeros else CONSTANT
        return voucher if bias.held in WIDE else _doubt_zeros(voucher, bias.held)
    blocks = (half[gate][0] for half in (bias.ih, bias.hh) for gate in gates)
    return WRITTEN if all(_is_round(value, bias.epsilon) for value in blocks) else None


def _doubt_zeros(voucher: Voucher, held: str) -> Voucher:
    reason = f"{voucher.reason}, as far as {held} can tell: it is 0 where a float32 is not"
    return Voucher("fresh?", "high", reason)


def _is_round(value: float, epsilon: float) -> bool:
    """Whether the value is what its dtype makes of a number of one or two figures."""
    written = float(f"{value:.2g}")
    return abs(value - written) <= epsilon * abs(written) / 2
