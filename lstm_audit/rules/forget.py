"""LA101 to LA107 without LA103: one recurrence whose gates were set to something that was hardly
meant.

Comes in: a `Case`, above all the initialiser that its numbers betray. Goes out: hits. Promise: an
error only where the values still are as they were written, so that it is arithmetic; what training
has blurred is a warning.
"""

import math
from collections.abc import Iterator

from ..lstm.forensics.schemes import Init, family
from ..lstm.measure import sigmoid, time_scale
from . import Case, Hit, at, make_fix, rule

# Once trained, equal halves show only today's mean: above the middle of 0.5 and 1 it counts as a
# whole target.
ESTIMATE = 0.75


def _scheme(case: Case, name: str) -> Init | None:
    """The case's init, if it is of this family and its number is known."""
    return case.init if case.init is not None and family(case.init) == name else None


def _untouched(init: Init) -> bool:
    """Proven, or bit-equal constants in 16 bits, where only the draws beside them are beyond
    proof.
    """
    return init.state.startswith("fresh")


@rule("LA101", "doubled-forget-bias", "error")
def doubled(case: Case, *, least: float = 1.0) -> Iterator[Hit]:
    """Both halves of the forget bias were set to the target, and they add up to twice of it.

    What it sees: bias_ih[H:2H] and bias_hh[H:2H] hold one and the same constant of at least `least`
    in every unit. It is an error while the values are as they were written. In a trained model the
    halves still agree to the last bits, since both receive the same gradient, but their common
    value is lost: then it is a warning. Halves of 0.5 that add up to 1 are a deliberate split, and
    no finding.

    Why it hurts: torch.nn.LSTM adds the two halves (cuDNN's layout). A loop over every parameter
    with "bias" in its name fills both, so the forget gate starts further open than the recipe says,
    and nothing fails.

    Example: 1 in both halves is 2: the gate starts at 0.881 in place of 0.731, and memory lasts 7.9
    steps in place of 3.2.

    Fix:
        lstm-audit patch FILE --forget-bias 1

        with torch.no_grad():
            for name, bias in lstm.named_parameters():
                if name.startswith("bias_"):
                    bias[H : 2 * H] = 1.0 if name.startswith("bias_ih") else 0.0

    References: pytorch/pytorch#750; chainer/chainer#4647, which fixed just this;
    discuss.pytorch.org/t/1745, whose most-liked answer does it; Jozefowicz et al. 2015 for the 1.
    """
    init = _scheme(case, "doubled")
    if init is None or init.value is None:
        return
    value, mean = init.value, case.measures.gates["f"].mean
    if _untouched(init) and value >= least:
        offset = case.lstm.offset
        message = (
            f"both halves of the forget bias hold {value:.4g} and add up to {mean:.4g}: the gate "
            "starts at "
            f"{sigmoid(mean):.3f} instead of {sigmoid(value + offset):.3f} (time scale "
            f"{time_scale(mean):.3g} steps "
            f"instead of {time_scale(value + offset):.3g}); keep {value:.4g} in bias_ih and write "
            "0 into bias_hh"
        )
        yield at(
            case.lstm,
            message,
            measured=mean,
            expected=value + offset,
            fix=make_fix(case, "forget-bias", value),
        )
    elif not _untouched(init) and value >= ESTIMATE * least:
        message = (
            "both halves of the forget bias were set alike, so what was set counted twice; "
            "trained since, each is "
            f"{value:.3g} on average today, {mean:.3g} together; if each got the whole target, "
            "set bias_ih only, and "
            f"bias_hh to 0, before the next training"
        )
        yield at(case.lstm, message, measured=mean, expected=value, severity="warning")


@rule("LA102", "wrong-gate", "error")
def wrong_gate(case: Case, *, least: float = 0.5) -> Iterator[Hit]:
    """A constant that looks like a forget bias stands in another gate; the forget gate has none.

    What it sees: one of the gates i, g, o holds a constant of at least `least` while the forget
    gate is as torch drew it (or zero). In a trained model the difference of the halves still shows
    it: then it is a warning. A negative constant is left alone: closing the input or output gate is
    done on purpose.

    Why it hurts: the slice was taken for another framework's gate order. torch keeps i, f, g, o;
    TensorFlow's cell i, j, f, o; ONNX i, o, f, c; DyNet and char-rnn i, f, o, g. The forget gate
    stays half closed, and the gate that was hit instead passes or adds what it should not.

    Example: 1 in [2H:3H] puts tanh(1) = 0.76 into every candidate g, at every step and before any
    input, while the forget gate stays at 0.5 and memory at 1.4 steps.

    Fix: `lstm-audit patch FILE --forget-bias 1` gives the forget gate what it lacks, but leaves the
    constant in the other gate; of an untrained model save it anew after

        with torch.no_grad():
            lstm.reset_parameters()
            lstm.bias_ih_l0[H : 2 * H], lstm.bias_hh_l0[H : 2 * H] = 1.0, 0.0

    References: torch.nn.LSTM, "(W_ii|W_if|W_ig|W_io)"; onnx/onnx Operators.md, LSTM;
    tensorflow/tensorflow#29308; apple/coremltools#93.
    """
    init = _scheme(case, "wrong-gate")
    if init is None or init.value is None or init.value < least:
        return
    gate = init.scheme[-2]
    forget = case.measures.gates["f"].mean
    order = (
        "torch's order is i, f, g, o, so the forget gate is [H:2H]; "
        "initialise again with that slice"
        if case.lstm.two_halves
        else "initialise again in the order of this framework"
    )
    message = (
        f"{init.value:.4g} stands in gate {gate} and nothing was set in the forget gate (mean "
        f"bias {forget:.3g}, "
        f"activation {case.measures.activation.mean:.3f}): {order}"
    )
    yield at(
        case.lstm,
        message,
        measured=forget,
        expected=init.value,
        severity=None if _untouched(init) else "warning",
    )


@rule("LA104", "one-sided", "warning")
def one_sided(case: Case) -> Iterator[Hit]:
    """One half of the forget bias was set, the other left as torch drew it.

    What it sees: one half holds a constant in the forget gate, the other is still uniform in ±1/√H,
    untouched or, by the difference of the halves, before training.

    Why it hurts: the effective bias is the sum. It scatters around the target by the random half,
    so "3.0" is 3.0 in no unit, and two seeds start from different forget gates. Small, but not what
    the configuration says.

    Example: H = 64, bias_hh[H:2H] = 3: the units start between 2.875 and 3.125, with time scales
    from 18 to 23 steps.

    Fix:
        lstm-audit patch FILE --forget-bias 3

        with torch.no_grad():
            lstm.bias_hh_l0[H : 2 * H] = 3.0
            lstm.bias_ih_l0[H : 2 * H] = 0.0

    References: neuralhydrology modelzoo/cudalstm.py; torch/nn/modules/rnn.py
    RNNBase.reset_parameters (the ±1/√H).
    """
    init = _scheme(case, "one-sided")
    if init is None:
        return
    half = init.scheme.rstrip(")").partition("(")[2].partition("=")[0]
    other = "ih" if half == "hh" else "hh"
    forget, reach = case.measures.gates["f"], 1 / math.sqrt(case.lstm.hidden_size)
    verb = "holds" if _untouched(init) else "held"
    # Decay may have shrunk a number that was set, and then it is not said.
    set_to = "a constant" if init.value is None else f"{init.value:.4g}"
    start = (
        f"bias_{half} {verb} {set_to} in the forget gate, but bias_{other} was left "
        f"random (±{reach:.3g})"
    )
    if _untouched(init) and init.value is not None:
        message = (
            f"{start}: the effective bias is {forget.min:.3g} to {forget.max:.3g}; write 0 into "
            f"bias_{other}[f]"
        )
        fix = make_fix(case, "forget-bias", init.value)
    else:
        message = (
            f"before training {start}: the effective bias was {set_to} ± {reach:.3g} "
            f"(today {forget.mean:.3g} "
            f"on average); write 0 into bias_{other}[f] before the next training"
        )
        fix = None
    yield at(case.lstm, message, measured=forget.mean, expected=init.value, fix=fix)


@rule("LA105", "all-gates-set", "warning")
def all_gates(case: Case, *, least: float = 0.5) -> Iterator[Hit]:
    """Every gate got the constant that was meant for the forget gate.

    What it sees: all four gates hold one constant of at least `least`, in one half or in both.

    Why it hurts: filling every bias with 1 "because the forget bias is critical" also opens the
    input and the output gate, and lets the candidate g push the memory the same way at every step,
    whatever the input.

    Example: 1 in every bias is 2 in every gate: i = o = f = 0.881, and g = tanh(2) = 0.964 flows
    into the memory, which runs to 7 while nothing is fed in.

    Fix: no `lstm-audit patch` takes a constant out of i, g and o. Of an untrained model save it
    anew after

        with torch.no_grad():
            lstm.reset_parameters()
            lstm.bias_ih_l0[H : 2 * H], lstm.bias_hh_l0[H : 2 * H] = 1.0, 0.0

    References: Gers et al. 2000, Learning to forget; Jozefowicz et al. 2015: the forget gate alone;
    pytorch/pytorch#750 asks "should both be initialized with ones?".
    """
    init = _scheme(case, "all-ones")
    if init is None or init.value is None or init.value < least:
        return
    means = [case.measures.gates[gate].mean for gate in "ifgo"]
    i, f, g, o = (*map(sigmoid, means[:2]), math.tanh(means[2]), sigmoid(means[3]))
    message = (
        f"every gate got {init.value:.4g}, not only the forget gate: at rest i = {i:.3f}, f = "
        f"{f:.3f}, g = {g:.3f}, "
        f"o = {o:.3f}; set [H:2H] of bias_ih alone"
    )
    yield at(case.lstm, message, measured=means[2], expected=0.0)


@rule("LA106", "doubled-chrono", "error")
def doubled_chrono(case: Case) -> Iterator[Hit]:
    """Chrono initialisation went into both halves, so the time scales multiply.

    What it sees: both halves of the forget gate are spread as ln U(1, T − 1), drawn twice or
    copied. In a trained model (recognised only where the copy was exact) it is a warning.

    Why it hurts: the halves add up: ln u + ln v = ln(u v). Time scales that should reach T reach
    T², and most units never forget within a sequence.

    Example: T = 784: the median time scale is 115,000 steps in place of 396.

    Fix:
        lstm-audit patch FILE --init chrono:784

        with torch.no_grad():
            lstm.bias_ih_l0[H : 2 * H] = torch.log(1 + 782 * torch.rand(H))
            lstm.bias_ih_l0[:H] = -lstm.bias_ih_l0[H : 2 * H]
            lstm.bias_hh_l0[: 2 * H] = 0.0

    References: Tallec & Ollivier 2018, arXiv 1804.11188; 0h-n0/chrono_initialization draws it for
    every bias.
    """
    init = _scheme(case, "doubled-chrono")
    if init is None:
        return
    scale = case.measures.time_scale
    wanted = "half of that exponent" if init.value is None else f"up to {init.value:.3g}"
    message = (
        "chrono stands in both halves of the forget bias: the median time scale is "
        f"{scale.p50:.4g} steps "
        f"(95 % below {scale.p95:.3g}) where {wanted} was meant; draw once, into bias_ih, and "
        "write 0 into bias_hh"
    )
    known = init.value is not None and _untouched(init)
    yield at(
        case.lstm, message, measured=scale.p50, expected=init.value,
        fix=make_fix(case, "init", f"chrono:{max(3, round(init.value or 0))}") if known else None,
        severity=None if _untouched(init) else "warning",
    )  # fmt: skip


@rule("LA107", "zeroed", "warning")
def zeroed(case: Case) -> Iterator[Hit]:
    """All biases are exactly 0, the forget gate's too.

    What it sees: every bias of every gate is 0, and the framework adds nothing at run time.

    Why it hurts: a loop that gives weights an orthogonal or Xavier start usually ends with `elif
    "bias" in name: zeros_`, and takes the forget bias with it, also one that was set before. Half
    of the memory is gone after one step.

    Example: a forget bias of 0 is an activation of 0.5: after 10 steps 0.1 % of the memory is left,
    with a bias of 1 still 4 %.

    Fix:
        lstm-audit patch FILE --forget-bias 1

        with torch.no_grad():
            for name, bias in ((n, p) for n, p in lstm.named_parameters() if
            n.startswith("bias_ih")):
                bias[H : 2 * H] = 1.0  # after the loop that zeroes, not before it

    References: vwxyzjn/cleanrl ppo_atari_lstm.py; discuss.pytorch.org/t/23605; Jozefowicz et al.
    2015.
    """
    measures, lstm = case.measures, case.lstm
    if lstm.offset or not lstm.gates["f"]:
        return
    stats = [*measures.gates.values(), *(measures.difference or {}).values()]
    if all(s.min == 0.0 == s.max for s in stats):
        message = (
            f"all {4 * lstm.hidden_size} biases are exactly 0: the forget gate starts at "
            f"{measures.activation.mean:.3f}; give it a bias of its own after the loop that "
            "zeroes them"
        )
        yield at(lstm, message, measured=0.0, expected=1.0, fix=make_fix(case, "forget-bias", 1.0))
