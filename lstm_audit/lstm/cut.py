"""Step three, cut: a group whose kind is settled into an `Lstm`, every bias cut into its gates.

Comes in: a `Group` and its hidden size. Goes out: an `Lstm`, or the `Skipped` that says why not.
Promise: a bias is cut only where its length fits the hidden size that the weights gave.
"""

from collections.abc import Iterator, Mapping

from ..errors import Skipped
from ..formats import Claim, shape_of
from ..raw.tensor import Block, Tensor, read_block, whole_block
from .conventions import HALF_NAMES, Slot
from .layer import GATES, Lstm, Term
from .match import Group, SlotPart, aligned, find_mirrored

# Elements of one bias: H = 131072, far beyond any model, and a second of statistics and forensics.
MAX_BIAS = 1 << 19

# The roles of tensors by which a half's bias is multiplied.
FACTORS = ("mask", "log_scale")

NO_TWINS: Mapping[str, str] = {}

TensorsByName = Mapping[str, Tensor]
# (role, half) to the name of a factor.
Factors = Mapping[tuple[str, str], str]


# By now the cell is an LSTM and H is known, so cutting is arithmetic: gate k of a stacked bias is
# the elements kH to (k+1)H in the row's order, or every fourth from k on where gates are
# interleaved. All that can still go wrong is a bias whose length, type or neighbours contradict H;
# each of these is a reason of its own, because users mend them in different ways.
def cut(
    group: Group,
    hidden: int,
    tensors: TensorsByName,
    claim: Claim | None = None,
    twins: Mapping[str, str] = NO_TWINS,
) -> Lstm | Skipped:
    """The recurrence with all its terms, or the reason for which it cannot be judged; `twins` as in
    `Checkpoint`.
    """
    lstm = _cut(group, hidden, tensors, claim)
    return _with_twins(lstm, tensors, twins) if twins and isinstance(lstm, Lstm) else lstm


def _with_twins(lstm: Lstm, tensors: TensorsByName, twins: Mapping[str, str]) -> Lstm | Skipped:
    """The same LSTM with the second places of its biases, which must hold the same numbers."""
    gates = {}
    for gate, terms in lstm.gates.items():
        found = []
        for term in terms:
            name = twins.get(term.name)
            copies = () if name is None else (term.block._replace(tensor=tensors[name]),)
            if any(read_block(copy) != read_block(term.block) for copy in copies):
                said = f"{term.name} is stored twice, as {name} with other numbers"
                return Skipped(lstm.module, "ambiguous", said)
            found.append(term._replace(copies=copies))
        gates[gate] = tuple(found)
    again = tuple(twins[name] for name in lstm.bias_tensors if name in twins)
    return lstm._replace(gates=gates, aliases=lstm.aliases + again)


def _cut(group: Group, hidden: int, tensors: TensorsByName, claim: Claim | None) -> Lstm | Skipped:
    problem = _refusal(group, tensors) or _disagreement(group, hidden, tensors)
    if problem is not None:
        return problem
    gates: dict[str, tuple[Term, ...]] = dict.fromkeys(GATES, ())
    factors = _factors(group)
    for part, name in group.parts.items():
        if group.convention.slots[part[1]].role == "bias":
            terms = _terms(group, part, hidden, tensors, factors)
            if terms is None:
                return _misfit(group, name, tensors[name], hidden)
            for gate, term in terms:
                gates[gate] += (term,)
    counts = {gate: len(terms) for gate, terms in gates.items()}
    if len(set(counts.values())) > 1:
        missing = ", ".join(gate for gate, n in counts.items() if n < max(counts.values()))
        return Skipped(
            group.module, "conflicting-evidence", f"no bias for gate {missing}, but for the others"
        )
    lstm = _lstm(group, hidden, tensors, gates)
    if claim is None:
        return lstm
    activation = claim.activation if claim.activation != "sigmoid" else lstm.activation_function
    return lstm._replace(activation_function=activation, notes=lstm.notes + claim.notes)


# Asked before anything is cut, in the order in which a person would want to know: parametrized (no
# stored bias at all), a type that cannot be read, a factor that is no factor, and size.
def _refusal(group: Group, tensors: TensorsByName) -> Skipped | None:
    """A bias whose values cannot be had from its stored elements."""
    if name := group.first.get("refuse"):
        return Skipped(
            group.module, "parametrized", f"{name}: only the framework can compute the bias from it"
        )
    for (_, key), name in group.parts.items():
        role = group.convention.slots[key].role
        if role == "bias" or role in FACTORS:
            tensor = tensors[name]
            readable = tensor.dtype.decode if role == "mask" else tensor.dtype.encode
            if readable is None:
                return Skipped(group.module, "unsupported-dtype", f"{name} is {tensor.dtype.name}")
            if role == "log_scale" and tensor.elements != 1:
                said = f"{name} has shape {tensor.shape}; the log scale of a bias is one number"
                return Skipped(group.module, "conflicting-evidence", said)
            if tensor.elements > MAX_BIAS:
                said = f"{name} has {tensor.elements} elements; at most {MAX_BIAS} are read"
                return Skipped(group.module, "limit", said)
    return None


# The input weight is a second opinion on H, and the only one that is independent of the recurrent
# weight: a checkpoint whose layers were renumbered by hand shows here first.
def _disagreement(group: Group, hidden: int, tensors: TensorsByName) -> Skipped | None:
    """An input weight whose gate axis does not fit H: the group's tensors do not belong
    together.
    """
    name = group.first.get("input")
    row = group.convention
    if name is None or row.convolution or row.vouched or group.separate:
        return None
    shape = shape_of(tensors, name)
    if group.convention.kernel_first:
        shape = shape[-2:]
    if len(shape) != 2 or _fits(group, shape[group.convention.gate_axis], hidden):
        return None
    return _misfit(group, name, tensors[name], hidden)


def _fits(group: Group, size: int, hidden: int) -> bool:
    """Whether an axis has room for all gates of H units, and for nothing else."""
    return size % hidden == 0 and size // hidden in group.convention.blocks


def _misfit(group: Group, name: str, tensor: Tensor, hidden: int) -> Skipped:
    detail = f"{name} has shape {tensor.shape}, which does not fit hidden size {hidden}"
    return Skipped(group.module, "conflicting-evidence", detail)


def _factors(group: Group) -> Factors:
    """What multiplies the biases of each half: masks and scales."""
    if not any(role in group.first for role in FACTORS):
        return {}
    slots = [(group.convention.slots[key], name) for (_, key), name in group.parts.items()]
    return {(slot.role, slot.half): name for slot, name in slots if slot.role in FACTORS}


# A term keeps three blocks together: the bias, the mask or scale that multiplies it, and a second
# stored copy that a patch must write too. They are cut alike, so gate g of all three belongs
# together.
def _terms(
    group: Group, part: SlotPart, hidden: int, tensors: TensorsByName, factors: Factors
) -> list[tuple[str, Term]] | None:
    """One bias tensor cut into its gates; None when it does not fit."""
    if group.convention.doubled and tensors[group.parts[part]].shape == (8 * hidden,):
        return _cut_doubled(group, group.parts[part], hidden, tensors)
    gate, key = part
    slot, name = group.convention.slots[key], group.parts[part]
    half = slot.half
    mask, scale = factors.get(("mask", half)), factors.get(("log_scale", half))
    copy = _copy(group, part, tensors) if group.convention.mirror else None
    blocks = _slices(group, slot, gate, hidden, tensors[name])
    masks = _slices(group, slot, gate, hidden, tensors[mask]) if mask else {}
    copies = _slices(group, slot, gate, hidden, copy) if copy else {}
    if blocks is None or masks is None or copies is None:
        return None
    if not (mask or scale or copies):
        return [(g, Term(half, name, block)) for g, block in blocks.items()]
    log_scale = tensors[scale] if scale else None
    return [
        (g, Term(half, name, block, masks.get(g), log_scale, (copies[g],) if g in copies else ()))
        for g, block in blocks.items()
    ]


def _cut_doubled(
    group: Group, name: str, hidden: int, tensors: TensorsByName
) -> list[tuple[str, Term]]:
    """Both halves in one tensor: four gates of x's, then four of h's."""
    tensor = tensors[name]
    return [
        (g, Term(half, name, Block(tensor, 0, k * hidden, (k + 1) * hidden)))
        for half, first in (("ih", 0), ("hh", 4))
        for k, g in enumerate(group.convention.order, first)
    ]


# At most one axis may be longer than 1: some frameworks store a bias as (1, 4H), (4H, 1) or, under
# convolutions, (1, 4H, 1, 1); a real matrix is no bias.
def _slices(
    group: Group, slot: Slot, gate: str, hidden: int, tensor: Tensor
) -> dict[str, Block] | None:
    """Which elements of a bias belong to which gate; None when its length allows no such
    division.
    """
    if sum([size != 1 for size in tensor.shape]) > 1:
        return None
    whole = whole_block(tensor)
    if gate:
        return {gate: whole} if whole.stop == hidden else None
    order = slot.order or group.convention.order
    fits = whole.stop == hidden * len(order) if slot.order else _fits(group, whole.stop, hidden)
    if not fits:
        return None
    if group.convention.interleaved:
        step = len(order)
        return {g: Block(tensor, whole.axis, k, whole.stop, step) for k, g in enumerate(order)}
    return {
        g: Block(whole.tensor, whole.axis, k * hidden, (k + 1) * hidden)
        for k, g in enumerate(order)
    }


def _copy(group: Group, part: SlotPart, tensors: TensorsByName) -> Tensor | None:
    """The second stored place of a bias."""
    name = group.mirror(part[1])
    if name not in tensors or not aligned(group):
        return None
    other, own = tensors[name], tensors[group.parts[part]]
    return other if other.shape == own.shape and other.identity != own.identity else None


def _lstm(
    group: Group, hidden: int, tensors: TensorsByName, gates: Mapping[str, tuple[Term, ...]]
) -> Lstm:
    halves = {term.name: term.half for gate in GATES for term in gates[gate]}
    names = tuple(halves)
    weight = group.first.get("recurrent")
    stored = [tensors[name].dtype.name for name in names or ((weight,) if weight else ())]
    return Lstm(
        module=group.module,
        layer=group.layer,
        direction=group.direction,
        convention=group.convention.name,
        hidden_size=hidden,
        dtype="+".join(sorted({*stored})),
        gates=gates,
        bias_tensors=tuple(sorted(names, key=lambda name: (halves[name] == "hh", name))),
        aliases=tuple(find_mirrored(group, tensors, "bias") if aligned(group) else ()),
        offset=group.convention.offset,
        activation_function=group.convention.activation,
        notes=group.convention.notes + tuple(_notes(group, gates)),
    )


def _notes(group: Group, gates: Mapping[str, tuple[Term, ...]]) -> Iterator[str]:
    """What a reader of the numbers must know of this recurrence."""
    halves = {term.half for term in gates["f"]}
    if not halves:
        yield (
            "no bias (bias=False): only the run-time offset, if any, enters the gates, and "
            "nothing can be patched"
        )
    elif group.convention.pairs and halves != {"ih", "hh"}:
        missing = HALF_NAMES["hh" if "ih" in halves else "ih"]
        yield f"{missing} is missing and counted as 0"
    if any(term.mask for terms in gates.values() for term in terms):
        yield "a pruning mask is applied"
