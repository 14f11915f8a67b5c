"""What the optimizer in the same file says: which decay, if any, ran over the biases.

In: the parameter groups that the file keeps, and what was said of a module without them. Out: the
same answers with their `evidence` completed, a number given or taken back, a confidence lowered, or
a default named, or not, by whether its decay is the one that ran. It promises no name that rests on
settings alone: they are of the last run, and a model may have had another before.

torch.optim's classes are told by the names of their settings and of what they remember of a
parameter; an optimizer that is none of them, or whose groups disagree, says nothing.
"""

import math
from collections.abc import Sequence

from ...formats import ParameterGroup
from ...tuples import NamedTuple
from .bias import F
from .decay import nearest_written
from .odds import is_triangular
from .sample import sample_of
from .schemes import Init, add_remark, family, name_no_law, round_figures
from .trace import Trace, fit
from .vetoes import is_lifted, sign

# Settings that a schedule adds to a group, or that say how and not what is computed.
ANYWHERE = frozenset(
    {"params", "param_names", "lr", "initial_lr", "max_lr", "min_lr", "max_momentum",
     "base_momentum", "swa_lr", "maximize", "foreach", "differentiable", "fused", "capturable",
     "eps", "weight_decay", "decoupled_weight_decay", "name", "lr_scale"}
)  # fmt: skip

ONLY_BETAS = frozenset({"betas"})

EVERY_STEP = frozenset({"step"})


# What is left after ever so many steps: no share that anything could be told by, and no zero to
# divide by.
NOTHING_LEFT = 1e-9


class TorchOptimizer(NamedTuple):
    """How a class of optimizers is told, and what its `weight_decay` does: `linear` ones shrink all
    values alike by L2 (SGD), the others do only where the decay is decoupled.
    """

    name: str
    settings: frozenset[str]
    slots: frozenset[str]
    linear: bool = False


def _read_known(name: str, settings: str, slots: str, linear: bool = False) -> TorchOptimizer:
    return TorchOptimizer(
        name, frozenset(settings.split()), frozenset(slots.split()) | EVERY_STEP, linear
    )


# The settings that no other class has in this combination. `step` stands in nearly every state.
KNOWN = (
    _read_known("SGD", "momentum dampening nesterov", "momentum_buffer", linear=True),
    _read_known("Adam", "betas amsgrad", "exp_avg exp_avg_sq max_exp_avg_sq"),
    _read_known("NAdam", "betas momentum_decay", "exp_avg exp_avg_sq mu_product"),
    _read_known("RAdam", "betas", "exp_avg exp_avg_sq"),
    _read_known("Adamax", "betas", "exp_avg exp_inf"),
    _read_known("RMSprop", "momentum alpha centered", "square_avg momentum_buffer grad_avg"),
    _read_known("Adagrad", "lr_decay initial_accumulator_value", "sum"),
    _read_known("Adadelta", "rho", "square_avg acc_delta"),
    _read_known("Rprop", "etas step_sizes", "prev step_size"),
)


class Regime(NamedTuple):
    """What ran: `none` shrank nothing, `common` shrank every difference alike (to `left` of what it
    was, where steps and rate are known), `uneven` each by its own gradients.
    """

    kind: str
    words: str
    left: float | None = None


def told(groups: Sequence[ParameterGroup], size: int, steps: int | None) -> Regime | None:
    """What ran over the biases of an LSTM of `size` units; None where that is not sure.

    The groups that hold vectors of 4H are the ones that count, where any is known to. `steps` are
    those that the file says were taken.
    """
    own = [group for group in groups if 4 * size in group.lengths] or groups
    regimes = {_regime(group, steps) for group in own}
    return regimes.pop() if len(regimes) == 1 else None


def _regime(group: ParameterGroup, steps: int | None) -> Regime | None:
    known = next((known for known in KNOWN if _is_of(group, known)), None)
    decay = group.settings.get("weight_decay", 0 if known and known.name == "Rprop" else None)
    if known is None or decay is None:
        return None
    if decay == 0:
        return Regime("none", f"{known.name}, weight_decay 0")
    decoupled = group.settings.get("decoupled_weight_decay")
    if known.linear or decoupled:
        words = f"{known.name}, {'decoupled ' if decoupled else ''}weight_decay {decay:.3g}"
        return Regime("common", words, _left(group, decay, steps))
    # Before torch 2.6 the state of AdamW was that of Adam: which of them it was stays open.
    if known.name == "Adam" and decoupled is None:
        return None
    return Regime("uneven", f"{known.name}, weight_decay {decay:.3g} in the gradient")


# RAdam and Adamax have the same settings; what they remember tells them apart.
def _is_of(group: ParameterGroup, known: TorchOptimizer) -> bool:
    """Whether the group has these settings and no other, and remembers nothing else."""
    alike = group.names - ANYWHERE == known.settings and group.slots <= known.slots
    return alike and (known.settings != ONLY_BETAS or known.slots <= group.slots)


def _left(group: ParameterGroup, decay: float, steps: int | None) -> float | None:
    """What is left of every value after `steps`, at one learning rate; momentum of SGD adds the
    shares of all later steps.
    """
    rate = group.settings.get("lr")
    if steps is None or rate is None or group.settings.get("initial_lr", rate) != rate:
        return None
    momentum = group.settings.get("momentum", 0)
    if not 0 <= momentum < 1 or group.settings.get("dampening", 0):
        return None
    step = rate * decay / (1 - momentum)
    return max((1 - step) ** steps, NOTHING_LEFT) if 0 < step < 0.1 else None


# ---- what it adds to an answer


# A file's optimizer is the last one that ran. It may take a doubt away that nothing else speaks
# for, and then the answer is no more than `medium`; it may never overrule what the halves show.
def weigh(trace: Trace, init: Init, regime: Regime) -> Init:
    """The answer about a bias that has moved, in the light of what moved it."""
    if init.state.startswith("fresh"):
        return init
    match regime.kind:
        case "none":
            init = _without_decay(trace, init)
        case "common":
            init = _with_known_decay(trace, init, regime)
        case _:
            init = _with_uneven_decay(trace, init)
    return add_remark(init, f"the optimizer in the file: {regime.words}")


def _without_decay(trace: Trace, init: Init) -> Init:
    """Nothing shrank: a number stands as it was written, and one that was restored for a decay is
    taken back.
    """
    gap = trace.gaps[F]
    raw = abs(gap.level if gap.kind == "C" else gap.mean)
    if family(init) not in ("constant", "one-sided") or "divided" in init.evidence:
        return init
    error = trace.bias.bound / math.sqrt(3 * trace.bias.size)  # of one draw's mean
    if init.value is not None and abs(abs(init.value) - raw) > max(0.05 * raw, 4 * error):
        return _renumber(trace, init, None)
    if init.value is not None or (gap.kind != "C" and family(init) == "constant"):
        return init
    if family(init) == "one-sided":
        return _renumber(trace, init, nearest_written(raw, error))
    return _renumber(trace, init, raw)


def _renumber(trace: Trace, init: Init, value: float | None) -> Init:
    """The same name with another number, or with none: at most `medium`."""
    confidence = init.confidence if value is None else "medium"
    if family(init) == "constant":
        gap = trace.gaps[F]
        named = trace.constant(value, gap.level if gap.kind == "C" else gap.mean, confidence)
    else:
        named = trace.one_sided(value, confidence)
    return sign(trace, named)


def _with_known_decay(trace: Trace, init: Init, regime: Regime) -> Init:
    """The decay that ran leads back to the number, or explains why a default's spread is less."""
    if regime.left is None:
        return init
    if init.scheme == "unknown":
        return _name_decayed_default(trace, regime.left) or init
    if init.scheme == "pytorch-default":
        return _contradict(trace, regime.left) or init
    gap = trace.gaps[F]
    if init.scheme == "constant" and gap.kind == "C":
        value = nearest_written(abs(gap.level) / regime.left, 0.002 * abs(gap.level) / regime.left)
        return init if value is None else _renumber(trace, init, value)
    return init


def _name_decayed_default(trace: Trace, left: float) -> Init | None:
    """Two default draws at the very scale that the decay leaves, and no other law."""
    size, bound = trace.bias.size, trace.bias.bound
    if trace.word != "RRRR" or size < 16:
        return None
    # One draw, beside a zeroed half, reaches no further than ±k.
    if max(map(abs, trace.gaps[F].d)) <= 1.15 * left * bound:
        return None
    law = fit(trace, range(4))
    off = abs(law.scale / left - 1)
    if not law.fits or law.scale >= 1 or off > 1.2 / math.sqrt(4 * size) + 0.01:
        return None
    values = [v / left for gap in trace.gaps for v in gap.d]
    if is_lifted(trace) or not is_triangular(sample_of(values, bound)):
        return None
    evidence = (
        f"all halves differ by {law.scale:.2f} of two default draws, and the decay that ran leaves "
        f"{round_figures(left)}"
    )
    return trace.init("pytorch-default", None, "medium", evidence)


def _contradict(trace: Trace, left: float) -> Init | None:
    """The halves differ as far as two default draws do, after a decay that would have shrunk those
    by more than 4.5 standard errors.
    """
    scale = fit(trace, range(4)).scale
    if scale * (1 - 2.7 / math.sqrt(4 * trace.bias.size)) - 0.01 <= left:
        return None
    return name_no_law(
        f"all halves differ by {scale:.2f} of two default draws, but the decay that ran would have "
        f"left {round_figures(left)}"
    )


# L2 inside Adam smears a constant, and a smeared constant beside gates that shrank as well may look
# like one draw about it.
def _with_uneven_decay(trace: Trace, init: Init) -> Init:
    """A name that rests on the shape of what was drawn loses a grade; of few units it goes."""
    if family(init) != "one-sided":
        return init
    if trace.bias.size >= 16:
        return init._replace(confidence="medium")
    return name_no_law(f"perhaps {init.scheme}: {init.evidence}")
