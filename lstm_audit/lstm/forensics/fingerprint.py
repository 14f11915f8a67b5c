"""Which initialiser made this bias, and has training moved it since.

In: the two bias halves of one recurrence, four gates each in the order i, f, g, o. Out: an `Init`.
It promises to answer for any numbers whatever, and to say `unknown` rather than guess.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import lattice
from .bias import Bias, F, Halves, float32, sort_blocks, unfit
from .fresh import fresh
from .schemes import Init, add_remark, family, name_no_law, round_figures, settle, short
from .vouch import has_stepped, on_lattice, vouch

if TYPE_CHECKING:
    from .optimizer import Regime

__all__ = ["Halves", "Init", "family", "find_missed", "identify", "identify_together", "short"]

# Bounds people draw whole models from, `for p in parameters(): p.uniform_(-a, a)`.
BOUNDS = (0.2, 0.1, 0.08, 0.05, 0.04, 0.02, 0.01)


def identify(ih: Halves, hh: Halves, dtype: str) -> Init:
    """Name the initialiser of one recurrence. `dtype` is the stored one as torch spells it
    (`float32`).

    Each half is four sequences of H floats, the gates i, f, g, o. A fresh bias is read off its
    values; a trained one by d = hh − ih, which training keeps: both halves always receive the same
    gradient.
    """
    return identify_together([(ih, hh, dtype)])[0]


def identify_together(
    biases: Sequence[tuple[Halves, Halves, str]], regime: "Regime | None" = None
) -> list[Init]:
    """Name the initialisers of one module's recurrences: each (bias_ih, bias_hh, dtype), as for
    `identify`.

    They were trained together, so the decay that one of them shows is that of the others, and their
    small layers are one sample. `regime` is what the optimizer in the same file did, if one is.
    """
    readings = [_read(*bias) for bias in biases]
    fresh_ones = [one for one in readings if isinstance(one, Init)]
    if len(fresh_ones) == len(readings):
        return fresh_ones
    from .moved import identify_moved  # 1.3 ms that fresh biases spare

    return identify_moved(readings, regime)


def _read(ih: Halves, hh: Halves, dtype: str) -> Init | Bias:
    """What the bias says by its values; the bias itself where it has moved."""
    # Lists, for what is equal to what is asked a lot.
    ih, hh = [[*gate] for gate in ih], [[*gate] for gate in hh]
    if refusal := unfit(ih, hh):
        return name_no_law(refusal)
    bias = sort_blocks(ih, hh, dtype)
    voucher = vouch(bias)
    other = bias.held == "float32" and voucher is None
    init = _find_halved(bias) or _find_bounded(bias) if other else None
    init = init or fresh(bias, voucher) or _exact_half(bias)
    return settle(init) if init else bias


def _exact_half(bias: Bias) -> Init | None:
    """One half is exactly zero but for an exact constant in f, the other is drawn by a law of its
    own, as where AllenNLP's `state_linearity` holds 1 and `input_linearity` is what `nn.Linear`
    drew.

    Training gives both halves the same gradient, so a half that is exact to the bit never moved,
    and the mean of the other is no trace of a constant.
    """
    ih, hh = map("".join, zip(*bias.kinds, strict=True))
    halves = (("hh", bias.hh, hh, ih), ("ih", bias.ih, ih, hh))
    for half, exact, kinds, other in halves:
        if kinds == "ZCZZ" and not {*other} & {*"ZC"}:
            value = exact[F][0]
            remark = (
                f"bias_{half} is exactly 0 but for {round_figures(value)} in the forget gate, "
                "which training would have moved; the other half is drawn, "
                "by no law of torch.nn.LSTM"
            )
            return Init(
                f"one-sided({half}={round_figures(value)})", value, "undetermined", "medium", remark
            )
    return None


def find_missed(inits: Sequence[Init]) -> tuple[int, ...]:
    """Which recurrences of one module were left at the default although another was set: their
    places in `inits`.

    A loop over layer 0, or over `bias_hh_l{n}` without `_reverse`, leaves exactly this trace. What
    is unknown or zero speaks neither for nor against.
    """
    plain = {"pytorch-default", "zeros", "unknown"}
    if all(family(init) in plain for init in inits):
        return ()
    return tuple(n for n, init in enumerate(inits) if init.scheme == "pytorch-default")


def _find_halved(bias: Bias) -> Init | None:
    """Drawn from ±k and then halved with everything else, as MLPerf's RNN-T did
    (mlcommons/training#430).
    """
    draws = bias.draws()
    if not draws or max(map(abs, draws)) > bias.bound / 2 * (1 + bias.epsilon):
        return None
    half = sort_blocks(bias.ih, bias.hh, bias.held, scale=0.5)
    voucher = vouch(half)
    init = fresh(half, voucher) if voucher else None
    return add_remark(init, "every value was halved after it was drawn") if init else None


def _find_bounded(bias: Bias) -> Init | None:
    """Everything drawn from one round bound, the forget gate's initialisation lost with it."""
    values = bias.values()
    top = max(map(abs, values))
    for bound in map(float32, BOUNDS):
        if 0.9 * bound < top <= bound:
            proof = lattice.prove(values, bound)
            if proof.holds and not (proof.blind and has_stepped(bias)):
                return on_lattice("they", proof).unknown(f"all values were drawn from ±{bound:.2g}")
    return None
