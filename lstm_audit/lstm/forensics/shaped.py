"""Forget gates with a spread of their own, as an initialiser left it: chrono and its like.

In: a `Bias` whose forget gate leaves ±k, and what vouches for its freshness. Out: an `Init`, or
None where nothing vouches for it. It promises to name a law only where so many units show it.
"""

from collections.abc import Sequence

from . import laws
from .bias import Bias, F, G, I, O
from .division import is_divided
from .schemes import Init, round_figures
from .vouch import Voucher, vouch_for_constants

OTHERS = (I, G, O)


def name_shape(bias: Bias, voucher: Voucher | None) -> Init | None:
    """The forget gate has a spread of its own (chrono and its like); the other gates must be
    constant or drawn.
    """
    coupled = _coupled(bias)
    beside = (G, O) if coupled else OTHERS
    rest = {letter for g in beside for letter in bias.kinds[g]}
    if rest <= {"Z", "C"}:
        voucher = vouch_for_constants(bias, beside)
    if "N" in rest or voucher is None:
        return None
    if bias.size < 16 and voucher.confidence in ("medium", "low"):
        return None
    drawn = [h[F] for h, kind in zip((bias.ih, bias.hh), bias.kinds[F], strict=True) if kind == "N"]
    init = (_law if len(drawn) == 1 else _both)(bias, drawn[0], coupled, voucher)
    # Unlinked to another gate, a law rests on the shape of a sample: the freshness may be certain,
    # the name is not.
    if not coupled and init.confidence == "certain" and init.scheme not in ("linspace", "unknown"):
        return init._replace(confidence="high")
    # An unlisted law looks as if it had moved, and only a certain proof says otherwise.
    # (Equal halves stay open: whether one draw was split or copied, their difference cannot say.)
    named = init.scheme != "unknown" or bias.ih[F] == bias.hh[F]
    return init if named or voucher.confidence == "certain" else None


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
    if is_divided(ih, hh, bias.epsilon):
        return _law(bias, sums, coupled, voucher)
    even = _law(bias, sums, coupled, voucher) if ih == hh else None
    fits = max(laws.log_uniform(ih)[0], laws.log_uniform(hh)[0])
    if even and (even.scheme not in ("chrono", "unknown") or fits > laws.KS):
        return even
    if even and even.scheme == "chrono" and abs(odds := laws.split_odds(ih)) > 3:
        return even if odds > 0 else _name_doubled_chrono(ih, voucher)
    if even and even.scheme == "chrono":
        return voucher.unknown(
            "chrono in equal forget halves: one draw split between them, or copied into both"
        )
    if fits <= laws.KS and (coupled or (laws.tells(ih) and laws.tells(hh))):
        return _name_doubled_chrono(ih, voucher)
    return voucher.unknown("both forget halves have a spread of no listed law")


def _name_doubled_chrono(ih: Sequence[float], voucher: Voucher) -> Init:
    remark = "chrono stands in both forget halves, and they add up: the time scales multiply"
    return voucher.init("doubled-chrono", laws.log_uniform(ih)[1], remark)


def _law(bias: Bias, values: Sequence[float], coupled: bool, voucher: Voucher) -> Init:
    """Which law the forget gate's values follow, one value a unit."""
    ends = laws.line(values, [bias.epsilon * max(abs(v), 0.01) for v in values])
    if ends:
        return voucher.init(
            "linspace",
            None,
            f"evenly spaced from {round_figures(ends[0])} to {round_figures(ends[1])}",
        )
    distance, steps = laws.log_uniform(values)
    if distance <= laws.KS and (coupled or laws.tells(values)):
        link = "b_i = −b_f" if coupled else "the input gate is not coupled"
        return voucher.init("chrono", steps, f"forget biases spread as ln U(1, T−1), {link}")
    distance, start, steps = laws.log_uniform_between(values)
    if coupled and distance <= laws.KS:
        return voucher.init(
            "chrono",
            steps,
            f"forget biases spread as ln U(T_min−1, T−1) from T_min {round_figures(start)}",
        )
    if not _sorted(values) and laws.uniform_gate(values, bias.epsilon):
        return voucher.init(
            "uniform-gate", None, "forget activations spread evenly over (1/H, 1−1/H)"
        )
    return voucher.unknown("the forget gate follows no listed law")


def _sorted(values: Sequence[float]) -> bool:
    """Whether the values rise or fall with the unit's index: a formula's (multi-time-scale's, say),
    and no draw's.
    """
    return list(values) in (sorted(values), sorted(values, reverse=True))
