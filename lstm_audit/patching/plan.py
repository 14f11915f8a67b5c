"""Wishes into changes: which bytes must hold what, so that every unit's effective bias is the one
wished for.

Comes in: LSTMs, their values and a `Target`. Goes out: `GatePlan`s with their `Change`s. Promise:
nothing but the wished gates' elements of the biases is named, the run-time offset, masks and scales
are taken into account, and what the dtype cannot hold exactly is said.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from ..errors import BadPolicy, NotPatchable
from ..lstm.forensics.bias import EPSILON
from ..lstm.forensics.division import enlarge
from ..lstm.layer import GATES, Lstm, Term, halves_overlap
from ..lstm.measure import Values
from ..raw.tensor import Block, Tensor, read_block, swap_bytes, whole_block
from ..targets import Target, Wish
from .edits import Change

BiasPlace = Literal["ih", "hh", "split"]
# Which half carries the value: `bias_ih`, `bias_hh`, or half of it each.
PLACES: tuple[BiasPlace, ...] = ("ih", "hh", "split")

# exp of it is near the end of float64; icefall keeps |log scale| below 10.
MAX_LOG_SCALE = 700.0


# Strategy. A target says what the effective forget bias should be, unit by unit. Effective is the
# sum of terms (bias_ih, bias_hh, or one bias), each with its mask and scale, plus a run-time
# offset. Planning runs that backwards: take the offset off, divide the rest between the terms,
# divide each share by its factors, encode. Then it runs forward again over the encoded bytes:
# `after` is what will be measured, rounding included, and the difference to the wish is told.
class Write(NamedTuple):
    """One term's new stored values, one for each unit, before they are encoded."""

    term: Term
    values: tuple[float, ...]


class GatePlan(NamedTuple):
    """One gate of one LSTM: effective biases before and wished, what the dtype makes of the wish,
    and the writes.
    """

    lstm: Lstm
    gate: str
    before: tuple[float, ...]
    wished: tuple[float, ...]
    after: tuple[float, ...]
    writes: tuple[Write, ...]

    @property
    def error(self) -> float:
        """The largest distance between what was wished and what the dtype holds."""
        pairs = zip(self.after, self.wished, strict=True)
        return max((abs(a - w) for a, w in pairs if a != w and a == a), default=0.0)


def check_place(place: str) -> BiasPlace:
    """The word itself, if it is one; raises `BadPolicy`."""
    for known in PLACES:
        if place == known:
            return known
    raise BadPolicy(f"place must be one of {', '.join(PLACES)}, not {place!r}")


def plan_gates(
    lstm: Lstm, values: Values, target: Target, place: BiasPlace
) -> tuple[GatePlan, ...]:
    """The plans of one LSTM; raises `NotPatchable` with the reason."""
    _refuse(lstm)
    wish = target.wish(lstm, values)
    plans = [_plan_gate(lstm, values, "f", wish, place)]
    if wish.input is not None and not lstm.coupled:
        plans.append(_plan_gate(lstm, values, "i", Wish(wish.input), place))
    return tuple(plans)


def _refuse(lstm: Lstm) -> None:
    if lstm.coupled == "f":
        message = "couples its gates (f = 1 - i): its forget bias is not used, and that of i is i's"
        raise NotPatchable(f"{lstm.address or '(root)'} {message}")
    if not lstm.gates["f"]:
        message = (
            "has no bias (bias=False): rebuild the layer with bias=True, there is nothing to "
            "write into"
        )
        raise NotPatchable(f"{lstm.address or '(root)'} {message}")


def _refuse_tied(lstm: Lstm) -> None:
    """One storage as both halves: a shift of it would count twice. (Two values for it contradict
    each other anyway.)
    """
    if halves_overlap(lstm):
        raise NotPatchable(
            f"{lstm.address}: both halves of the bias are one storage (LA405); save them apart "
            "first"
        )


def _plan_gate(lstm: Lstm, values: Values, gate: str, wish: Wish, place: BiasPlace) -> GatePlan:
    terms, before = lstm.gates[gate], values.effective[GATES.index(gate)]
    offset = lstm.offset if gate == "f" else 0.0
    writes = tuple(_writes(lstm, terms, wish, offset, place))
    written = {_place(write.term): _round_contribution(write) for write in writes}
    held = [
        written[_place(term)] if _place(term) in written else _contribution(term) for term in terms
    ]
    after = tuple(sum(column[1:], column[0]) + offset for column in zip(*held, strict=True))
    return GatePlan(lstm, gate, tuple(before), wish.forget, after, writes)


def _place(term: Term) -> tuple[str, str, int, int]:
    """What tells a term of a gate from the others: ONNX keeps both halves in one tensor."""
    return term.half, term.name, *term.block.place


# Three kinds of wish: halves given one by one (a preset that draws both), a shift by a constant
# (what is learned stays and moves), and values for the sum, which are divided.
def _writes(
    lstm: Lstm, terms: Sequence[Term], wish: Wish, offset: float, place: BiasPlace
) -> Iterator[Write]:
    """What to store in which term; a shift leaves the term alone that carries none of it."""
    for term in terms:
        _refuse_expanded(term)
    if wish.halves is not None and [term.half for term in terms] == ["ih", "hh"]:
        parts = list(wish.halves)
    elif wish.shift is not None:
        _refuse_tied(lstm)
        shares = _shares(lstm, terms, len(wish.forget), place)
        terms = [term for term, share in zip(terms, shares, strict=True) if any(share)]
        parts = [
            _shift(term, share, wish.shift)
            for term, share in zip(terms, filter(any, shares), strict=True)
        ]
        if len(parts) == 2 and parts[0] == parts[1]:  # of zeros, say: the shift itself is divided
            parts = _divide(lstm, terms, [2 * value for value in parts[0]], place)
    else:
        parts = _divide(lstm, terms, [value - offset for value in wish.forget], place)
    for term, part in zip(terms, parts, strict=True):
        yield Write(term, _unscale(term, part))


def _shift(term: Term, shares: Sequence[float], by: float) -> tuple[float, ...]:
    return tuple(
        value + by * share for value, share in zip(_contribution(term), shares, strict=True)
    )


def _shares(
    lstm: Lstm, terms: Sequence[Term], count: int, place: BiasPlace
) -> list[tuple[float, ...]]:
    """How much of each unit's bias each term carries, term by term; what is pruned away goes to the
    other half.
    """
    carries = [1.0] + [0.0] * (len(terms) - 1)
    if {term.half for term in terms} == {"ih", "hh"} and len(terms) == 2:
        carries = [0.5 if place == "split" else float(term.half == place) for term in terms]
    masks = [_mask(term, count) for term in terms]
    units = [_live(lstm, carries, [mask[k] for mask in masks], k) for k in range(count)]
    return list(zip(*units, strict=True))


# A unit that is pruned in one half can be carried by the other; pruned in both, nothing that is
# stored reaches the gate, and writing would only look like a patch.
def _live(lstm: Lstm, carries: Sequence[float], masks: Sequence[float], unit: int) -> list[float]:
    """One unit's shares: nothing where a mask is 0, and what is missing then in the first half that
    is left.
    """
    shares = [share if mask else 0.0 for share, mask in zip(carries, masks, strict=True)]
    left = [k for k, mask in enumerate(masks) if mask]
    if not left:
        raise NotPatchable(
            f"{lstm.address}: the bias of unit {unit} is pruned away, so nothing that is stored "
            "counts"
        )
    shares[left[0]] += 1.0 - sum(shares)
    return shares


# Rounding of the first half is made good in the second, so that the sum is as near to the wish as
# the dtype allows, not off by two roundings.
def _divide(
    lstm: Lstm, terms: Sequence[Term], stored: Sequence[float], place: BiasPlace
) -> list[tuple[float, ...]]:
    """The values that each term should contribute. Of a split, the last makes up for what rounding
    took, and for the last place by which the first is marked as half of something.
    """
    shares = _shares(lstm, terms, len(stored), place)
    parts = [
        tuple(v * s if s else 0.0 for v, s in zip(stored, share, strict=True)) for share in shares
    ]
    if len(parts) == 2 and place == "split":
        if not halves_overlap(lstm):
            parts[0] = _mark(terms, parts[0], shares[0])
        first = _round_contribution(Write(terms[0], _unscale(terms[0], parts[0])))
        rest = zip(stored, first, shares[1], strict=True)
        parts[1] = tuple(value - part if share else 0.0 for value, part, share in rest)
    return parts


def _mark(
    terms: Sequence[Term], half: Sequence[float], shares: Sequence[float]
) -> tuple[float, ...]:
    """The first half of a split, by which an audit knows it from a value written twice; halves of
    two dtypes have no last place in common.
    """
    name, other = (term.block.tensor.dtype.name for term in terms)
    if name != other or name not in EPSILON:
        return tuple(half)
    pairs = zip(half, shares, strict=True)
    return tuple(enlarge(v, EPSILON[name]) if share == 0.5 else v for v, share in pairs)


def _refuse_expanded(term: Term) -> None:
    """An expanded view: every unit shows the same stored number."""
    for block in (term.block, *term.copies):
        if block.stride == 0 and block.elements > 1:
            message = (
                f"shows one stored number {block.elements} times; writing it would change every "
                "unit"
            )
            raise NotPatchable(f"{term.name} {message}")


def _mask(term: Term, count: int) -> list[float]:
    return [1.0] * count if term.mask is None else read_block(term.mask)


def _scale(term: Term) -> float:
    """The factor of a ScaledLSTM; raises where exp of it is 0 or no number, under which nothing can
    be stored.
    """
    if term.log_scale is None:
        return 1.0
    log = read_block(whole_block(term.log_scale))[0]
    if not abs(log) < MAX_LOG_SCALE:
        raise NotPatchable(
            f"{term.name}: its scale is exp({log:g}), and no stored value stands for the wished one"
        )
    return math.exp(log)


def _unscale(term: Term, values: Sequence[float]) -> tuple[float, ...]:
    """What must be stored so that the term contributes `values`; anything will do where the mask is
    0.
    """
    scale, masks = _scale(term), _mask(term, len(values))
    return tuple(
        value / (mask * scale) if mask else 0.0 for value, mask in zip(values, masks, strict=True)
    )


def _factor(term: Term, stored: Sequence[float]) -> list[float]:
    """Stored values as what they contribute, in the order of `measure`."""
    scale, masks = _scale(term), _mask(term, len(stored))
    return [value * mask * scale for value, mask in zip(stored, masks, strict=True)]


def _contribution(term: Term) -> list[float]:
    """What the term contributes now."""
    return _factor(term, read_block(term.block))


def _round_contribution(write: Write) -> list[float]:
    """What the term contributes once its values are stored in its dtype."""
    return _factor(write.term, round_values(write))


def round_values(write: Write) -> list[float]:
    """The values that the dtype makes of those that are written."""
    return _decode(write.term.block.tensor, encode(write.term, write.values))


def encode(term: Term, values: Sequence[float]) -> bytes:
    """A term's values as the bytes of its tensor, elements in the block's order; raises
    `NotPatchable` beyond its range.
    """
    tensor = term.block.tensor
    if tensor.dtype.encode is None:
        raise NotPatchable(f"{term.name}: {tensor.dtype.name} values cannot be written")
    try:
        raw = tensor.dtype.encode([-value for value in values] if tensor.negated else values)
    except OverflowError:
        largest = max(values, key=abs)
        raise NotPatchable(f"{term.name}: {tensor.dtype.name} cannot hold {largest:g}") from None
    size = tensor.dtype.itemsize
    return swap_bytes(raw, size) if tensor.big_endian and size > 1 else raw


def _decode(tensor: Tensor, raw: bytes) -> list[float]:
    size = tensor.dtype.itemsize
    plain = swap_bytes(raw, size) if tensor.big_endian and size > 1 else raw
    assert tensor.dtype.decode is not None
    values = tensor.dtype.decode(plain)
    return [-value for value in values] if tensor.negated else list(values)


def changes_of(plans: Sequence[GatePlan]) -> Iterator[Change]:
    """Every run of bytes of every write, in every place where the values are kept."""
    for plan in plans:
        for write in plan.writes:
            yield from changes_of_write(
                write, f"{plan.lstm.address} gate {plan.gate}, {write.term.name}"
            )


def changes_of_write(write: Write, reason: str) -> Iterator[Change]:
    """The runs of bytes of one write."""
    raw = encode(write.term, write.values)
    for block in (write.term.block, *write.term.copies):
        yield from _runs(block, raw, reason)


def _runs(block: Block, raw: bytes, reason: str) -> Iterator[Change]:
    at = 0
    for run in block.runs():
        yield Change(run, raw[at : at + run.size], reason)
        at += run.size
