"""A bias that has no second half: Keras, JAX, TensorFlow, most graphs.

In: the four gates of one bias. Out: an `Init`. It promises to name only what still is as it was
written: there is no difference of halves, so of a bias that training has moved nothing is left to
tell by, and the answer is `unknown`.

Constants say most (`unit_forget_bias` leaves exactly 1 in f and exactly 0 beside it, and no step
of an optimizer leaves a gate at 0); draws in float32 still lie on their generator's lattice. numpy
draws in float64: what was cast down from there lies on none.
"""

from collections.abc import Sequence

from . import lattice
from .bias import Bias, F, Halves, float32, sort_blocks, unfit
from .decay import WRITTEN
from .fresh import fresh
from .lattice import JAX, TORCH
from .schemes import Init, add_remark, name_no_law, round_figures, settle
from .vouch import Voucher, on_lattice

# Bounds of initialisers that take one: Keras's `random_uniform`, and whole models drawn from one.
BOUNDS = (0.05, 0.1, 0.08, 0.2, 0.04, 0.02, 0.01)

MOVED = "a single bias: once it has moved, nothing is left to tell by"


def identify_single(gates: Sequence[Sequence[float]], dtype: str) -> Init:
    """Name the initialiser of a bias without halves: i, f, g, o, each of H floats."""
    ih = [[*gate] for gate in gates]
    hh = [[0.0] * len(gate) for gate in ih]
    if refusal := unfit(ih, hh):
        return name_no_law(refusal)
    bias = sort_blocks(ih, hh, dtype)
    voucher = _vouch(bias)
    init = _find_drawn(bias, voucher) or _find_written(bias, voucher) or _find_kept(bias)
    return settle(init or _find_bounded(bias) or name_no_law(MOVED))


def _vouch(bias: Bias) -> Voucher | None:
    """The lattice of draws from ±1/√H, torch's or the coarser one of JAX and TensorFlow."""
    draws = _draws(bias.ih, bias)
    return _prove(draws, bias.bound, "the draws") if draws else None


def _draws(gates: Halves, bias: Bias) -> list[float]:
    """The values of the gates that are no constants."""
    if bias.held != "float32":
        return []
    return [v for gate, kinds in zip(gates, bias.kinds, strict=True) if kinds == "UZ" for v in gate]


def _prove(draws: Sequence[float], bound: float, what: str) -> Voucher | None:
    for grid in (TORCH, JAX):
        proof = lattice.prove(draws, bound, grid)
        if proof.holds:
            return on_lattice(what, proof)
    return None


def _find_drawn(bias: Bias, voucher: Voucher | None) -> Init | None:
    """Everything drawn as torch does: Equinox's cell."""
    if voucher is None or set(bias.kinds) != {"UZ"}:
        return None
    return voucher.init("pytorch-default", None, "all values were drawn from ±1/√H")


def _find_written(bias: Bias, voucher: Voucher | None) -> Init | None:
    """Constants, or a law in f beside constants or proven draws."""
    init = fresh(bias, voucher)
    return init if init and init.scheme != "unknown" else None


# Sequences of one step give f no gradient, since they start from an empty memory. No clamp is meant
# to hold a whole gate at 1 or beyond.
def _find_kept(bias: Bias) -> Init | None:
    """The forget gate alone has not moved, or was set beside gates of another law."""
    value = bias.ih[F][0]
    if bias.kinds[F] != "CZ" or value not in WRITTEN or value < 1 or bias.size < 4:
        return None
    figures = round_figures(value)
    remark = f"every unit of the forget gate holds exactly {figures}, those of the others differ"
    init = Init(f"constant({figures})", value, "undetermined", "medium", remark)
    others = [v for g, gate in enumerate(bias.ih) if g != F for v in gate]
    proof = _prove_bounded(others) if bias.held == "float32" else None
    return add_remark(init._replace(state=proof.state), proof.reason) if proof else init


def _find_bounded(bias: Bias) -> Init | None:
    """Everything drawn from one round bound, so that nothing was set in the forget gate."""
    voucher = _prove_bounded([v for gate in bias.ih for v in gate])
    if voucher is None or bias.held != "float32":
        return None
    return voucher.unknown("all values were drawn from one round bound")


def _prove_bounded(values: Sequence[float]) -> Voucher | None:
    top = max(map(abs, values))
    for bound in map(float32, BOUNDS):
        if 0.9 * bound < top <= bound:
            return _prove(values, bound, "the draws")
    return None
