"""LA204: whether the biases are what a named preset makes of them.

Comes in: a `Case` and the preset's name. Goes out: hits. Promise: a preset without randomness is
compared to the rounding of the dtype, a random one by its law, at a level at which a right draw
practically never fails.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..lstm.forensics import laws
from ..lstm.forensics.schemes import Init, family
from ..lstm.measure import sigmoid
from . import Case, Hit, at, coarsest_spacing, make_fix, rule

if TYPE_CHECKING:  # loaded when a preset is asked for: most runs ask for none
    from ..lstm.presets import Chosen, Initial, Summary

# √n·D beyond which a draw does not follow its law: a right one fails once in 10,000 (2 exp(−2 ·
# 2.23²)).
FIT = 2.23

# Quantiles that a random preset's law is tabulated at.
GRID = 1024


@rule("LA204", "init", "error")
def required_init(case: Case, *, preset: str | None = None) -> Iterator[Hit]:
    """The biases are not what the required preset would have made.

    What it sees: for a preset without randomness the sorted effective forget biases differ from the
    preset's by more than the dtype's rounding; for a random one they leave its range or its law
    (Kolmogorov-Smirnov, at a level at which one right draw in 10,000 fails). Where the preset
    couples the input gate, b_i = −b_f is looked for too. A trained model passes if the difference
    of its halves remembers the preset.

    Why it hurts: the policy is yours: the configuration says one start, the checkpoint holds
    another.

    Example: `init = "unit"` on a model with 1 in both halves: a unit holds 2 where 1 was demanded.

    Fix:
        lstm-audit patch FILE --init unit

        with torch.no_grad():
            lstm.bias_ih_l0[H : 2 * H] = 1.0
            lstm.bias_hh_l0[H : 2 * H] = 0.0

    References: `lstm-audit presets` names the paper of each.
    """
    if preset is None:
        return
    from ..lstm import presets  # 8 ms that only a policy with a preset needs

    lstm, init, chosen = case.lstm, case.init, presets.parse_preset(preset)
    problem = _describe_uncoupled(case, chosen) or (
        _unlike(case, chosen) if chosen.preset.random else None
    )
    if problem is None and not chosen.preset.random:
        problem = _differs(case, presets.initial(chosen, lstm.hidden_size, 0, "", 0, "forward"))
    if problem is None or _remembered(
        init, chosen, presets.summarise_preset(chosen, lstm.hidden_size)
    ):
        return
    aside = (
        f" (the biases look {init.scheme}, {init.state})"
        if init and init.scheme != "unknown"
        else ""
    )
    message = (
        f"{problem}, which {chosen} does not give{aside}; initialise with {chosen.preset.formula}"
    )
    fix = make_fix(case, "init", str(chosen))
    yield at(lstm, message, measured=case.measures.gates["f"].mean, expected=str(chosen), fix=fix)


def _describe_uncoupled(case: Case, chosen: "Chosen") -> str | None:
    """The input gate, where the preset sets it to −b_f."""
    if not chosen.preset.couples:
        return None
    i, f = case.values.effective[:2]
    apart = max((abs(a + b) for a, b in zip(i, f, strict=True)), default=0.0)
    fits = apart <= 2 * coarsest_spacing(case.lstm) * max(map(abs, f), default=0.0)
    return None if fits else f"the input gate's bias differs from −b_f by up to {apart:.3g}"


def _differs(case: Case, start: "Initial") -> str | None:
    """The first unit, from the smallest bias up, that a preset without randomness does not give."""
    slack = 2 * coarsest_spacing(case.lstm)
    for value, wanted in zip(sorted(case.values.forget), sorted(start.forget), strict=True):
        if not abs(value - wanted) <= slack * abs(wanted):
            return f"a unit holds {value:.6g} where {wanted:.6g} was demanded"
    return None


def _unlike(case: Case, chosen: "Chosen") -> str | None:
    """What of a random preset's law the values break: its range or its shape, in each half if it
    draws both.
    """

    slack, samples = 2 * coarsest_spacing(case.lstm), [case.values.forget]
    if chosen.preset.per_half and case.lstm.two_halves:
        samples = [half[1] for half in case.values.halves.values()]
    law = chosen.preset.law(_grid, case.lstm.hidden_size, *chosen.arguments)
    for sample in samples:
        low, high = min(sample), max(sample)
        if not (
            low >= law[0] - slack * abs(law[0]) - slack
            and high <= law[-1] + slack * abs(law[-1]) + slack
        ):
            return (
                f"the forget biases reach from {low:.4g} to {high:.4g}, not {law[0]:.4g} to "
                f"{law[-1]:.4g}"
            )
        distance = laws.ks(sample, lambda x: _share_below(law, x))
        if distance > FIT:
            return (
                "the forget biases are spread otherwise (Kolmogorov-Smirnov √n·D = "
                f"{distance:.2f}, allowed {FIT})"
            )
    return None


def _grid(_: int) -> list[float]:
    """Evenly spaced u, with the ends of (0, 1) beside them: every random preset rises with u."""
    return [1e-300, *((k + 0.5) / GRID for k in range(GRID)), 1.0 - 2.0**-53]


def _share_below(law: Sequence[float], value: float) -> float:
    """The law's distribution function, read off its ascending quantiles."""

    middle = (bisect_left(law, value) + bisect_right(law, value)) / 2
    return min(max((middle - 1) / (len(law) - 2), 0.0), 1.0)


def _remembered(init: Init | None, chosen: "Chosen", start: "Summary") -> bool:
    """Whether a trained model was this preset before: its scheme, and its constant to 2 % of the
    activation.
    """
    if init is None or init.state != "trained" or family(init) != chosen.preset.scheme:
        return False
    if family(init) != "constant":
        return True
    return init.value is not None and math.isclose(
        sigmoid(init.value), start.activation, rel_tol=0.02
    )
