"""A group whose kind is settled into an `Lstm`: every bias cut into its gates.

Comes in: a `Group`, its convention and hidden size. Goes out: an `Lstm`, or the `Skipped` that says
why not. Promise: a bias is cut only where its length fits the hidden size that the weights gave.
"""

from collections.abc import Iterator, Mapping

from ..errors import Skipped
from ..formats import Claim, shape_of
from ..raw.tensor import Block, Tensor, whole_block
from .conventions import Convention
from .group import Group, Part
from .layer import GATES, Lstm, Term

MAX_BIAS = 1 << 19
"""Elements of one bias: H = 131072, far beyond any model, and a second of statistics and
forensics.
"""

FACTORS = ("mask", "log_scale")
"""The roles of tensors by which a half's bias is multiplied."""

Tensors = Mapping[str, Tensor]
Factors = Mapping[tuple[str, str], str]
"""(role, half) to the name of a factor."""


def build(
    convention: Convention, group: Group, hidden: int, tensors: Tensors, claim: Claim | None = None
) -> Lstm | Skipped:
    """The recurrence with all its terms, or the reason for which it cannot be judged."""
    problem = _refusal(convention, group, tensors) or _disagreement(
        convention, group, hidden, tensors
    )
    if problem is not None:
        return problem
    gates: dict[str, tuple[Term, ...]] = dict.fromkeys(GATES, ())
    factors = _factors(convention, group)
    for part, name in group.parts.items():
        if convention.slots[part[1]].role == "bias":
            terms = _terms(convention, group, part, hidden, tensors, factors)
            if terms is None:
                return _misfit(group, name, tensors[name], hidden)
            for gate, term in terms:
                gates[gate] += (term,)
    if not gates["f"] and (other := _single_bias(convention, group, hidden, tensors)):
        return Skipped(
            group.module,
            "ambiguous",
            f"{other} is as long as a bias of four gates, by no known convention",
        )
    counts = {gate: len(terms) for gate, terms in gates.items()}
    if len(set(counts.values())) > 1:
        missing = ", ".join(gate for gate, n in counts.items() if n < max(counts.values()))
        return Skipped(
            group.module, "conflicting-evidence", f"no bias for gate {missing}, but for the others"
        )
    lstm = _lstm(convention, group, hidden, tensors, gates)
    if claim is None:
        return lstm
    return lstm._replace(activation_function=claim.activation, notes=lstm.notes + claim.notes)


def _refusal(convention: Convention, group: Group, tensors: Tensors) -> Skipped | None:
    """A bias whose values cannot be had from its stored elements."""
    if name := group.first.get("refuse"):
        return Skipped(
            group.module, "parametrized", f"{name}: only the framework can compute the bias from it"
        )
    for (_, key), name in group.parts.items():
        role = convention.slots[key].role
        if role == "bias" or role in FACTORS:
            tensor = tensors[name]
            readable = tensor.dtype.decode if role == "mask" else tensor.dtype.encode
            if readable is None:
                return Skipped(group.module, "unsupported-dtype", f"{name} is {tensor.dtype.name}")
            if role == "log_scale" and tensor.elements != 1:
                said = f"{name} has shape {tensor.shape}; the scale of a ScaledLSTM is one number"
                return Skipped(group.module, "conflicting-evidence", said)
            if tensor.elements > MAX_BIAS:
                said = f"{name} has {tensor.elements} elements; at most {MAX_BIAS} are read"
                return Skipped(group.module, "limit", said)
    return None


def _disagreement(
    convention: Convention, group: Group, hidden: int, tensors: Tensors
) -> Skipped | None:
    """An input weight whose gate axis does not fit H: the group's tensors do not belong
    together.
    """
    name = group.first.get("input")
    if name is None or convention.convolution or group.separate:
        return None
    shape = shape_of(tensors, name)
    if convention.kernel_first:
        shape = shape[-2:]
    if len(shape) != 2 or _fits(convention, shape[convention.gate_axis], hidden):
        return None
    return _misfit(group, name, tensors[name], hidden)


def _fits(convention: Convention, size: int, hidden: int) -> bool:
    """Whether an axis has room for all gates of H units, and for nothing else."""
    return size % hidden == 0 and size // hidden in convention.blocks


def _single_bias(convention: Convention, group: Group, hidden: int, tensors: Tensors) -> str | None:
    """A `bias` beside the weights of a pair that has no biases of its own: Equinox has one, of all
    four gates.
    """
    name = f"{group.module}.bias" if group.module else "bias"
    single = convention.pairs and name in tensors and shape_of(tensors, name) == (4 * hidden,)
    return name if single else None


def _misfit(group: Group, name: str, tensor: Tensor, hidden: int) -> Skipped:
    detail = f"{name} has shape {tensor.shape}, which does not fit hidden size {hidden}"
    return Skipped(group.module, "conflicting-evidence", detail)


def _factors(convention: Convention, group: Group) -> Factors:
    """What multiplies the biases of each half: pruning masks, and the scales of icefall's
    ScaledLSTM.
    """
    if not any(role in group.first for role in FACTORS):
        return {}
    slots = [(convention.slots[key], name) for (_, key), name in group.parts.items()]
    return {(slot.role, slot.half): name for slot, name in slots if slot.role in FACTORS}


def _terms(
    convention: Convention,
    group: Group,
    part: Part,
    hidden: int,
    tensors: Tensors,
    factors: Factors,
) -> list[tuple[str, Term]] | None:
    """One bias tensor cut into its gates; None when it does not fit."""
    if convention.doubled and tensors[group.parts[part]].shape == (8 * hidden,):
        return _doubled_terms(convention, group.parts[part], hidden, tensors)
    gate, key = part
    half, name = convention.slots[key].half, group.parts[part]
    mask, scale = factors.get(("mask", half)), factors.get(("log_scale", half))
    copy = _copy(convention, group, part, tensors) if convention.mirror else None
    blocks = _slices(convention, gate, hidden, tensors[name])
    masks = _slices(convention, gate, hidden, tensors[mask]) if mask else {}
    copies = _slices(convention, gate, hidden, copy) if copy else {}
    if blocks is None or masks is None or copies is None:
        return None
    if not (mask or scale or copies):
        return [(g, Term(half, name, block)) for g, block in blocks.items()]
    log_scale = tensors[scale] if scale else None
    return [
        (g, Term(half, name, block, masks.get(g), log_scale, (copies[g],) if g in copies else ()))
        for g, block in blocks.items()
    ]


def _doubled_terms(
    convention: Convention, name: str, hidden: int, tensors: Tensors
) -> list[tuple[str, Term]]:
    """Both biases of cuDNN in one tensor: four gates of bias_ih, then four of bias_hh."""
    tensor = tensors[name]
    return [
        (g, Term(half, name, Block(tensor, 0, k * hidden, (k + 1) * hidden)))
        for half, first in (("ih", 0), ("hh", 4))
        for k, g in enumerate(convention.order, first)
    ]


def _slices(
    convention: Convention, gate: str, hidden: int, tensor: Tensor
) -> dict[str, Block] | None:
    """Which elements of a bias belong to which gate; None when its length allows no such
    division.
    """
    if sum([size != 1 for size in tensor.shape]) > 1:
        return None
    whole = whole_block(tensor)
    if gate:
        return {gate: whole} if whole.stop == hidden else None
    if not _fits(convention, whole.stop, hidden):
        return None
    order = enumerate(convention.order)
    return {g: Block(whole.tensor, whole.axis, k * hidden, (k + 1) * hidden) for k, g in order}


def _copy(convention: Convention, group: Group, part: Part, tensors: Tensors) -> Tensor | None:
    """The second stored place of a bias."""
    name = group.mirror(convention, part[1])
    if name not in tensors or not _aligned(group):
        return None
    other, own = tensors[name], tensors[group.parts[part]]
    return other if other.shape == own.shape and other.identity != own.identity else None


def _aligned(group: Group) -> bool:
    """Whether the second names mean the same tensors.

    Paddle deals them out in order and has none for `weight_ho`: with a projection all but the first
    cell's are shifted (`bias_ih_l1` is a weight, `bias_hh_l1` the bias_ih of layer 1).
    """
    return "projection" not in group.first or (group.layer == 0 and group.direction == "forward")


def mirrored(convention: Convention, group: Group, tensors: Tensors, *roles: str) -> list[str]:
    """The second names of the group's tensors (of some roles, or of all) that are there."""
    if not convention.mirror:
        return []
    keys = [key for _, key in group.parts if not roles or convention.slots[key].role in roles]
    return sorted(name for key in keys if (name := group.mirror(convention, key)) in tensors)


def _lstm(
    convention: Convention,
    group: Group,
    hidden: int,
    tensors: Tensors,
    gates: Mapping[str, tuple[Term, ...]],
) -> Lstm:
    halves = {term.name: term.half for gate in GATES for term in gates[gate]}
    names = tuple(halves)
    weight = group.first.get("recurrent")
    stored = [tensors[name].dtype.name for name in names or ((weight,) if weight else ())]
    return Lstm(
        module=group.module,
        layer=group.layer,
        direction=group.direction,
        convention=convention.name,
        hidden_size=hidden,
        dtype="+".join(sorted({*stored})),
        gates=gates,
        bias_tensors=tuple(sorted(names, key=lambda name: (halves[name] == "hh", name))),
        aliases=tuple(mirrored(convention, group, tensors, "bias") if _aligned(group) else ()),
        offset=convention.offset,
        notes=convention.notes + tuple(_notes(convention, gates)),
    )


def _notes(convention: Convention, gates: Mapping[str, tuple[Term, ...]]) -> Iterator[str]:
    """What a reader of the numbers must know of this recurrence."""
    halves = {term.half for term in gates["f"]}
    if not halves:
        yield (
            "no bias (bias=False): only the run-time offset, if any, enters the gates, and "
            "nothing can be patched"
        )
    elif convention.pairs and halves != {"ih", "hh"}:
        yield f"{'bias_hh' if 'ih' in halves else 'bias_ih'} is missing and counted as 0"
    if any(term.mask for terms in gates.values() for term in terms):
        yield "a pruning mask is applied"
