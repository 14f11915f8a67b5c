"""LA301 to LA304: numbers that are broken, at an end of their range, or unlike their copy.

Comes in: a `Case`, or the `Evidence` of a file where copies are compared. Goes out: hits. Promise:
every limit is an option, and only NaN and infinity are errors.
"""

import math
from collections.abc import Iterator

from ..lstm.copies import find_averages
from ..lstm.layer import GATES
from ..lstm.measure import ACTIVATIONS
from . import Case, Evidence, Hit, at, make_fix, rule

# Beyond these a gate passes a gradient of less than 1e-4 and cannot learn to move.
OPEN, SHUT = 0.9999, 0.0001


@rule("LA301", "not-finite", "error")
def not_finite(case: Case) -> Iterator[Hit]:
    """NaN or infinity among the biases.

    What it sees: a gate's effective bias is NaN or infinite in at least one unit.

    Why it hurts: one such unit makes the whole hidden state NaN at the first step, and every output
    after it.

    Example: 3 of 128 units of gate f are NaN after a loss that overflowed in float16.

    Fix: no `lstm-audit patch` brings back what was lost, and the weights are NaN as well, most
    likely. Take the last good checkpoint, and stop the next one from being written:

        finite = all(torch.isfinite(p).all() for p in lstm.parameters())
        if not finite:
            raise FloatingPointError("not saved")

    References: torch.nn.utils.clip_grad_norm_ (error_if_nonfinite); torch.amp.GradScaler.
    """
    if all(math.isfinite(case.measures.gates[gate].mean) for gate in GATES):
        return
    counts = [sum(not math.isfinite(value) for value in gate) for gate in case.values.effective]
    broken = ", ".join(f"{n} in {gate}" for gate, n in zip(GATES, counts, strict=True) if n)
    message = (
        f"NaN or infinity in {sum(counts)} of {4 * case.lstm.hidden_size} effective biases "
        f"({broken or 'their mean'}): "
        f"the LSTM returns NaN; go back to the last finite checkpoint"
    )
    yield at(case.lstm, message, measured=sum(counts), expected=0)


@rule("LA302", "saturated", "warning")
def saturated(case: Case, *, share: float = 0.05) -> Iterator[Hit]:
    """Too many units keep or drop everything and cannot learn to do otherwise.

    What it sees: in more than `share` of the units the forget activation at rest is above 0.9999 or
    below 0.0001.

    Why it hurts: the gate's gradient is f(1 − f), less than 1e-4 there: the unit stays as it is, a
    counter that never resets or a memory of nothing. It is right for units that were trained to it,
    and wrong for a start.

    Example: a forget bias of 10 is f = 0.99995, τ = 22,000 steps; its gradient is 5,000 times
    smaller than at 0.

    Fix:
        lstm-audit patch FILE --forget-bias 3

        with torch.no_grad():
            lstm.bias_ih_l0[H : 2 * H].clamp_(-4.0, 4.0)
            lstm.bias_hh_l0[H : 2 * H] = 0.0

    References: Gu et al. 2020, arXiv 1910.09890, on saturation; van der Westhuizen & Lasenby 2018,
    arXiv 1804.04849.
    """
    if case.measures.activation.min >= SHUT and case.measures.activation.max <= OPEN:
        return
    gate = ACTIVATIONS[case.lstm.activation_function]
    active = [gate(b) for b in case.values.forget]
    shut, full = sum(f < SHUT for f in active), sum(f > OPEN for f in active)
    measured = (shut + full) / len(active)
    if measured > share:
        message = (
            f"{full} units keep all (f > {OPEN}) and {shut} keep nothing (f < {SHUT}): "
            f"{measured:.0%} of "
            f"{len(active)}, more than {share:.0%}; set forget biases between -9 and 9"
        )
        fix = make_fix(case, "forget-bias", 3.0 if full > shut else 1.0)
        yield at(case.lstm, message, measured=measured, expected=share, fix=fix)


@rule("LA303", "closed", "warning")
def closed(case: Case, *, below: float = 0.3) -> Iterator[Hit]:
    """The forget gate is closed at rest: most of the memory is dropped at every step.

    What it sees: the mean forget activation at x = 0, h = 0 is less than `below`.

    Why it hurts: gradients through the memory shrink by that factor a step, so nothing older than
    two or three steps can be learned. A negative forget bias is mostly a sign error, or a retention
    gate's convention turned around.

    Example: a forget bias of −1 is f = 0.27; after 5 steps 0.1 % of the memory is left.

    Fix:
        lstm-audit patch FILE --forget-bias 1

        with torch.no_grad():
            lstm.bias_ih_l0[H : 2 * H] = 1.0
            lstm.bias_hh_l0[H : 2 * H] = 0.0

    References: Gers et al. 2000, Learning to forget; Jozefowicz et al. 2015.
    """
    mean = case.measures.activation.mean
    if mean < below:
        message = (
            f"the mean forget activation at rest is {mean:.3f}, below {below:g}: {mean**5:.2g} of "
            "the memory is left "
            "after 5 steps; unless it learned to forget, check the sign of its bias, or open it "
            "with 1"
        )
        yield at(
            case.lstm,
            message,
            measured=mean,
            expected=below,
            fix=make_fix(case, "forget-bias", 1.0),
        )


@rule("LA304", "ema-disagrees", "info", scope="file")
def ema_disagrees(evidence: Evidence, *, by: float = 0.05) -> Iterator[Hit]:
    """The averaged copy of a model and the model itself forget differently.

    What it sees: two LSTMs of one name, layer, direction and size, one of them under `ema`,
    `state_dict_ema`, `shadow`, `averaged`, `swa` or the like, whose mean forget activations differ
    by more than `by`.

    Why it hurts: an average trails its model by a little. A large distance says that one of the two
    was patched, re-initialised or loaded without the other, and evaluation mostly runs the copy
    that was not looked at.

    Example: the model at f = 0.73 after a patch to 1, its EMA still at 0.50.

    Fix: bring the model's values into the copy, or patch both:

        lstm-audit patch FILE --forget-bias 1

        with torch.no_grad():
            for copied, own in zip(ema_model.parameters(), model.parameters()):
                copied.copy_(own)

    References: torch.optim.swa_utils.AveragedModel; timm ModelEmaV3 (state_dict_ema); Polyak &
    Juditsky 1992.
    """
    cases = {case.lstm.identity: case for case in evidence.cases}
    for copy, own in find_averages(case.lstm for case in evidence.cases).items():
        copied, meant = (cases[one].measures.activation.mean for one in (copy, own))
        if abs(meant - copied) > by:
            message = (
                f"the averaged copy forgets otherwise than {own.address}: mean activation "
                f"{copied:.3f} against {meant:.3f}, more than {by:g} apart; was only one of them "
                "patched or initialised?"
            )
            yield at(cases[copy].lstm, message, measured=copied, expected=meant)
