"""LA103 and LA108 to LA111: what was left undone, lost on the way, or done to the wrong cell.

Comes in: a `Case`, or the `Evidence` of a file where the neighbours count. Goes out: hits. Promise:
"not set" alone is never more than information.
"""

import math
from collections.abc import Iterator, Sequence
from itertools import groupby

from ..facts import Fix
from ..lstm.forensics.schemes import Init, family, is_untouched
from ..lstm.layer import Lookalike
from ..raw.tensor import read_block, whole_block
from ..targets import Target
from . import Case, Evidence, Hit, aim, at, make_fix, rule

# A run of bit-equal floats of this length is no accident.
SHORTEST = 4


@rule("LA103", "layer-or-direction-missed", "error", scope="file")
def layer_missed(evidence: Evidence) -> Iterator[Hit]:
    """Some layers or directions of a module were initialised, others left at PyTorch's default.

    What it sees: of the recurrences of one module at least one has a forget bias that was set, and
    at least one is as torch draws it. Both must be certain; what is unknown counts for neither.
    When training has moved the values, the difference of the halves still tells, but by statistics:
    then it is a warning.

    Why it hurts: `bias_ih_l0` alone was set, or a loop over `bias_hh_l{n}` forgot that the reverse
    direction has names of its own. The missed layers forget half of their memory at every step, and
    the stack is no better than they are.

    Example: l0 at 1, l1 at the default: after 10 steps l0 has kept 4 % of its memory, l1 0.1 %.

    Fix:
        lstm-audit patch FILE --forget-bias 1 --layers "encoder:*"

        with torch.no_grad():
            for name, bias in lstm.named_parameters():
                if name.startswith("bias_"):
                    bias[H : 2 * H] = 1.0 if name.startswith("bias_ih") else 0.0

    References: google-research flood-forecasting#278 and #289: "would have silently missed every
    bias_hh_l*_reverse"; torch.nn.LSTM: weights and biases of `_reverse`.
    """
    known = [case for case in evidence.cases if case.init is not None]
    if not known:
        return
    from ..lstm.forensics.fingerprint import find_missed  # loaded already, if anything is known

    for module, cases in groupby(known, key=lambda case: case.lstm.module):
        group = list(cases)
        places = find_missed([case.init for case in group if case.init])
        if places:
            yield _hit_missed(module, [group[n] for n in places], group)


# Certain evidence makes it an error with a fix that sets the missed ones as the others were set.
# After training the difference of the halves is only statistics, and today's values are worth
# something: a warning, and no fix.
def _hit_missed(module: str, left: Sequence[Case], group: Sequence[Case]) -> Hit:
    plain = ("pytorch-default", "zeros", "unknown")
    was_set = next(case for case in group if case.init and family(case.init) not in plain)
    init = was_set.init
    assert init is not None
    mean = math.fsum(case.measures.activation.mean for case in left) / len(left)
    names = ", ".join(case.lstm.address.removeprefix(module) for case in left)
    fresh = all(case.init and case.init.state.startswith("fresh") for case in left)
    example, expected = was_set.lstm.address.removeprefix(module), was_set.measures.activation.mean
    message = (
        f"{len(left)} of {len(group)} recurrences were never set: {names} "
        f"{'stand' if fresh else 'started'} at "
        f"PyTorch's default (mean forget activation {mean:.3f}{'' if fresh else ' today'}), while "
        f"{example} is "
        f"{init.scheme} ({expected:.3f}); initialise every layer and direction alike"
    )
    wanted = _like(init) if fresh else None
    identities = tuple(case.lstm.identity for case in left)
    fix = wanted and Fix(wanted, identities, safe=all(is_untouched(case.init) for case in left))
    return Hit(message, mean, expected, module, fix=fix, severity=None if fresh else "warning")


def _like(init: Init) -> Target | None:
    """The target that would set another recurrence as this one was set; None where its number is
    not known.
    """
    if init.value is None:
        return None
    if family(init) == "chrono":
        return aim("init", f"chrono:{max(3, round(init.value))}")
    if family(init) in ("constant", "one-sided", "doubled"):
        return aim("forget-bias", float(f"{init.value:.3g}"))
    return None


@rule("LA108", "default-untouched", "info")
def default_untouched(case: Case) -> Iterator[Hit]:
    """The biases are, or were before training, PyTorch's default: a forget gate at one half.

    What it sees: both halves uniform in ±1/√H, proven untouched by the generator's lattice or,
    after training, by the difference of the halves.

    Why it hurts: perhaps it does not; 1 is a good start for long memories, not a law (Dozat found
    it harmful for parsing). But it is a choice that is mostly made by not making it.

    Example: H = 128: the forget gate starts at 0.5 ± 0.02, the time scale is 1.4 steps, and after
    100 steps 1e-30 of the memory is left.

    Fix:
        lstm-audit patch FILE --forget-bias 1

        with torch.no_grad():
            for name, bias in lstm.named_parameters():
                if name.startswith("bias_"):
                    bias[H : 2 * H] = 1.0 if name.startswith("bias_ih") else 0.0

    References: torch/nn/modules/rnn.py RNNBase.reset_parameters; pytorch/pytorch#9221; Jozefowicz
    et al. 2015; clab/dynet#1097 for the other side.
    """
    if case.init is None or case.init.scheme != "pytorch-default":
        return
    mean, scale = case.measures.activation.mean, case.measures.time_scale.p50
    fresh = case.init.state.startswith("fresh")
    if fresh:
        message = (
            f"PyTorch's default: the forget gate starts at {mean:.3f} (median time scale "
            f"{scale:.3g} steps); "
            f"if memory should last, choose a forget bias, 1 for instance"
        )
    else:
        message = (
            f"trained from PyTorch's default, a forget gate at 0.5 (today {mean:.3f}, median time "
            f"scale {scale:.3g} "
            f"steps); choose a forget bias before the next training"
        )
    fix = make_fix(case, "forget-bias", 1.0) if fresh else None
    yield at(case.lstm, message, measured=case.measures.gates["f"].mean, fix=fix)


@rule("LA109", "chrono-uncoupled", "info")
def chrono_uncoupled(case: Case) -> Iterator[Hit]:
    """Chrono initialisation of the forget gate, but the input gate does not mirror it.

    What it sees: forget biases spread as ln U(1, T − 1) whose negatives do not stand in the input
    gate.

    Why it hurts: the paper sets b_i = −b_f, so that a unit that keeps for T steps takes in 1/T a
    step. With the input gate at one half such a unit sums up T inputs, and its cell grows with T.

    Example: T = 784 and a unit with f = 0.999: the memory of a steady input settles near 0.5/(1 −
    f) = 500 instead of near 1.

    Fix:
        lstm-audit patch FILE --init chrono:784

        with torch.no_grad():
            lstm.bias_ih_l0[:H] = -(lstm.bias_ih_l0 + lstm.bias_hh_l0)[H : 2 * H]
            lstm.bias_hh_l0[:H] = 0.0

    References: Tallec & Ollivier 2018, arXiv 1804.11188, section 3.
    """
    init = case.init
    if init is None or family(init) != "chrono" or _coupled(case):
        return
    means = case.measures.gates["i"].mean, case.measures.gates["f"].mean
    message = (
        f"chrono in the forget gate (mean bias {means[1]:.3g}), but the input gate stands at "
        f"{means[0]:.3g} in place "
        f"of {-means[1]:.3g}: cells grow with their time scale; set b_i = −b_f"
    )
    known = init.value is not None and init.state.startswith("fresh")
    fix = make_fix(case, "init", f"chrono:{max(3, round(init.value or 0))}") if known else None
    yield at(case.lstm, message, measured=means[0], expected=-means[1], fix=fix)


def _coupled(case: Case) -> bool:
    """b_i = −b_f in the effective biases, or (after training) in the differences of the halves."""
    i, f = case.values.effective[:2]
    pairs = [(i, f)]
    if case.lstm.two_halves:
        ih, hh = case.values.halves["ih"], case.values.halves["hh"]
        d_i, d_f = ([b - a for a, b in zip(ih[g], hh[g], strict=True)] for g in (0, 1))
        pairs.append((d_i, d_f))
    return any(
        math.hypot(*(a + b for a, b in zip(x, y, strict=True))) <= 0.25 * math.hypot(*y)
        for x, y in pairs
    )


@rule("LA110", "runtime-offset", "info")
def runtime_offset(case: Case) -> Iterator[Hit]:
    """The framework adds a constant to the forget gate at run time, which the file does not hold.

    What it sees: a convention whose cell computes σ(f + 1). The offset is part of every number of
    this report.

    Why it hurts: nothing here; but whoever copies these biases into torch.nn.LSTM, which adds
    nothing, loses the 1, and the model forgets faster at every step.

    Example: a stored forget bias of 0 acts as 1, f = 0.731; copied as it is, it acts as 0, f = 0.5.

    Fix: none is needed in this file. Into the converted one it is added by `lstm-audit patch
    CONVERTED --shift 1`, or

        with torch.no_grad():
            for name, bias in ((n, p) for n, p in lstm.named_parameters() if
            n.startswith("bias_ih")):
                bias[H : 2 * H] += 1.0

    References: tensorflow/tensorflow#1326; asyml/texar-pytorch#149; ncps/torch/lstm.py; dm-haiku
    recurrent.py.
    """
    lstm, forget = case.lstm, case.measures.gates["f"].mean
    if lstm.offset:
        stored = forget - lstm.offset
        message = (
            f"{lstm.convention} adds {lstm.offset:g} to the forget gate at run time: the stored "
            f"mean {stored:.3g} acts "
            f"as {forget:.3g}; a conversion to torch.nn.LSTM must add it (patch --shift "
            f"{lstm.offset:g})"
        )
        yield at(lstm, message, measured=stored, expected=forget)


@rule("LA111", "gru-sliced", "error", scope="file")
def gru_sliced(evidence: Evidence) -> Iterator[Hit]:
    """A GRU carries a constant block a quarter of its bias wide: it was sliced like an LSTM.

    What it sees: in a GRU's bias, of length 3H, the elements [3H//4:3H//2] are one constant and
    those beside them are not: the very slice that `n = bias.size(0); bias[n // 4 : n // 2]` takes.

    Why it hurts: a GRU keeps three gates, r, z, n, and has no forget bias. The block covers the end
    of the reset gate and the first half of the update gate: half of the units keep their state
    longer, the others forget what they should combine, and which is which is an accident of their
    number.

    Example: H = 64: [48:96] is 1, so r of units 48 to 63 and z of units 0 to 31 start at 0.731, all
    others at 0.5.

    Fix: `lstm-audit patch` does not write into a GRU. To keep state longer, open the update gate z:

        with torch.no_grad():
            gru.reset_parameters()
            gru.bias_ih_l0[H : 2 * H] = 1.0

    References: 0h-n0/chrono_initialization takes `n // 4` of any recurrent module; torch.nn.GRU,
    "(W_ir|W_iz|W_in)".
    """
    for cell in evidence.lookalikes:
        blocks = {
            name: value for name in cell.biases if (value := _quarter(cell, name)) is not None
        }
        if blocks:
            yield _hit_sliced(cell, blocks)


def _quarter(cell: Lookalike, name: str) -> float | None:
    """The constant in [n//4:n//2] of a bias of 3H (a GRU's), if there is one and it ends at just
    these places.
    """
    n = 3 * cell.hidden_size
    if cell.biases[name].elements != n or n // 2 - n // 4 < SHORTEST:
        return None
    values = read_block(whole_block(cell.biases[name]))
    inside, beside = values[n // 4 : n // 2], (values[n // 4 - 1], values[n // 2])
    return inside[0] if inside[0] and len(set(inside)) == 1 and inside[0] not in beside else None


def _hit_sliced(cell: Lookalike, blocks: dict[str, float]) -> Hit:
    h, n, value = cell.hidden_size, 3 * cell.hidden_size, next(iter(blocks.values()))
    message = (
        f"{' and '.join(blocks)} of a GRU hold {value:.4g} in [{n // 4}:{n // 2}], a quarter of "
        f"{n}: a GRU has three "
        f"gates of {h} and no forget bias; its update gate z is [{h}:{2 * h}]; initialise it again"
    )
    return Hit(message, value, None, cell.module, cell.layer, cell.direction)
