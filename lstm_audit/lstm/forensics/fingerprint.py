"""Which initialiser made this bias, and has training moved it since.

In: the two bias halves of one recurrence, four gates each in the order i, f, g, o. Out: an `Init`.
It promises to answer for any numbers whatever, and to say `name_no_law` rather than guess.
"""

from collections.abc import Sequence

from . import lattice
from .bias import Bias, F, Halves, float32, sort_blocks, unfit
from .fresh import Voucher, fresh, vouch
from .schemes import Init, family, name_no_law, noted, round_figures, settled, short
from .trained import trained

__all__ = ["Halves", "Init", "family", "identify", "missed", "short"]

# Bounds people draw whole models from, `for p in parameters(): p.uniform_(-a, a)`.
BOUNDS = (0.2, 0.1, 0.08, 0.05, 0.04, 0.02, 0.01)


def identify(ih: Halves, hh: Halves, dtype: str) -> Init:
    """Name the initialiser of one recurrence. `dtype` is the stored one as torch spells it
    (`float32`).

    Each half is four sequences of H floats, the gates i, f, g, o. A fresh bias is read off its
    values; a trained one by d = hh − ih, which training keeps: both halves always receive the same
    gradient.
    """
    ih, hh = (
        [[*gate] for gate in ih],
        [[*gate] for gate in hh],
    )  # lists, for what is equal to what is asked a lot
    refusal = unfit(ih, hh)
    if refusal:
        return name_no_law(refusal)
    bias = sort_blocks(ih, hh, dtype)
    voucher = vouch(bias)
    proven = voucher is not None and voucher.state == "fresh"
    init = None if proven or bias.held != "float32" else _halved(bias) or _bounded(bias)
    init = init or fresh(bias, voucher) or _exact_half(bias) or _remark(bias, trained(bias))
    return settled(init)


def _exact_half(bias: Bias) -> Init | None:
    """One half is exactly zero but for an exact constant in f, the other is drawn by a law of its
    own, as where AllenNLP's `state_linearity` holds 1 and `input_linearity` is what `nn.Linear`
    drew.

    Training gives both halves the same gradient, so a half that is exact to the bit never moved,
    and the mean of the other is no trace of a constant.
    """
    for half, exact, other in (("hh", bias.hh, bias.ih), ("ih", bias.ih, bias.hh)):
        value = exact[F][0]
        plain = all(not any(exact[gate]) for gate in range(4) if gate != F)
        held = value != 0 and len(exact[F]) > 1 and len({*exact[F]}) == 1
        if plain and held and all(len({*block}) > 1 for block in other):
            remark = (
                f"bias_{half} is exactly 0 but for {round_figures(value)} in the forget gate, "
                "which training would have moved; the other half is drawn, "
                "by no law of torch.nn.LSTM"
            )
            return Init(
                f"one-sided({half}={round_figures(value)})", value, "undetermined", "medium", remark
            )
    return None


def missed(inits: Sequence[Init]) -> tuple[int, ...]:
    """Which recurrences of one module were left at the default although another was set: their
    places in `inits`.

    A loop over layer 0, or over `bias_hh_l{n}` without `_reverse`, leaves exactly this trace. What
    is unknown or zero speaks neither for nor against.
    """
    plain = {"pytorch-default", "zeros", "unknown"}
    if all(family(init) in plain for init in inits):
        return ()
    return tuple(n for n, init in enumerate(inits) if init.scheme == "pytorch-default")


def _halved(bias: Bias) -> Init | None:
    """Drawn from ±k and then halved with everything else, as MLPerf's RNN-T did
    (mlcommons/training#430).
    """
    draws = bias.draws()
    if not draws or max(map(abs, draws)) > bias.bound / 2 * (1 + bias.epsilon):
        return None
    half = sort_blocks(bias.ih, bias.hh, bias.held, scale=0.5)
    voucher = vouch(half)
    init = fresh(half, voucher) if voucher else None
    return noted(init, "every value was halved after it was drawn") if init else None


def _bounded(bias: Bias) -> Init | None:
    """Everything drawn from one round bound, the forget gate's initialisation lost with it."""
    values = bias.values()
    top = max(map(abs, values))
    for bound in map(float32, BOUNDS):
        if 0.9 * bound < top <= bound:
            proof = lattice.bits(values, bound)
            if proof >= lattice.PROOF:
                voucher = Voucher(
                    "fresh", "certain", f"they lie on the generator's lattice ({proof:.0f} bits)"
                )
                return voucher.unknown(f"all values were drawn from ±{bound:.2g}")
    return None


def _remark(bias: Bias, init: Init) -> Init:
    """A forget gate that still lies on the lattice while the others moved never received a
    gradient.
    """
    draws = bias.draws((F,))
    if bias.held != "float32" or "N" in bias.kinds[F] or not draws:
        return init
    if lattice.bits(draws, bias.bound) < lattice.PROOF:
        return init
    return noted(
        init, "the forget gate itself is untouched since it was drawn: it never received a gradient"
    )
