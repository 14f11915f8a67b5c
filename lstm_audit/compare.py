"""Two audits, gate by gate.

Comes in: two `Audit`s. Goes out: a `Comparison`: pairs of one identity, and what has no partner.
Promise: every LSTM of both sides stands in exactly one place.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .conversion import Relation, find_swaps, relate, say_swapped
from .errors import BadPolicy, Skipped
from .fact_json import json_number
from .facts import Audit, Row
from .lstm.layer import GATES, Identity
from .policy.unmatched import nearest_address
from .policy.verdict import find_unjudged
from .result import Result, quote_for_repr

# Pairs of LSTMs without a name in common that are compared by their numbers.
MAX_CROSSED = 4096


@dataclass(frozen=True, slots=True, repr=False)
class LstmPair:
    """One LSTM before and after, and how the numbers of B come from those of A, where every unit
    tells it.
    """

    a: Row
    b: Row
    relation: Relation | None = None

    def __repr__(self) -> str:
        said = "changed" if self.changed else "unchanged"
        return f"<LstmPair {quote_for_repr(self.a.lstm.address)}: {said}>"

    @property
    def moved(self) -> dict[str, float]:
        """By how much each gate's mean effective bias moved."""
        means = {g: (self.a.measures.gates[g].mean, self.b.measures.gates[g].mean) for g in GATES}
        return {gate: after - before for gate, (before, after) in means.items()}

    @property
    def changed(self) -> bool:
        """Whether any statistic of any gate differs, beyond rounding, or the size does."""
        if self.relation is not None:
            return not self.relation.harmless
        if self.a.lstm.hidden_size != self.b.lstm.hidden_size:
            return True
        pairs = [(self.a.measures.gates[g], self.b.measures.gates[g]) for g in GATES]
        return any(not _equal(x, y) for a, b in pairs for x, y in zip(a, b, strict=True))


def _equal(x: float, y: float) -> bool:
    return x == y or (x != x and y != y)


@dataclass(frozen=True, slots=True, repr=False)
class Comparison(Result, view="compared"):
    """Pairs in the order of A; of both sides, the LSTMs that the other lacks, and those that could
    not be judged.

    It is a sequence of its pairs, and true when anything that was compared differs.
    """

    pairs: tuple[LstmPair, ...]
    only: tuple[tuple[Row, ...], tuple[Row, ...]]
    skipped: tuple[tuple[Skipped, ...], tuple[Skipped, ...]] = ((), ())

    def __len__(self) -> int:
        return len(self.pairs)

    def __iter__(self) -> Iterator[LstmPair]:
        return iter(self.pairs)

    def __bool__(self) -> bool:
        return self.changed

    def __repr__(self) -> str:
        changed = sum(pair.changed for pair in self.pairs)
        alone = sum(map(len, self.only))
        return f"<Comparison: {len(self)} pairs, {changed} changed, {alone} without a partner>"

    @property
    def changed(self) -> bool:
        """Whether anything that was compared differs."""
        return any(self.only) or any(pair.changed for pair in self.pairs)

    @property
    def unjudged(self) -> bool:
        """Whether a side has an LSTM, or what may be one, that was not compared."""
        return any(self.skipped)

    def to_dict(self) -> dict[str, Any]:
        """`lstm-audit/diff/1`, as plain JSON values."""
        return {
            "schema": "lstm-audit/diff/1",
            "changed": self.changed,
            "pairs": [_pair(pair) for pair in self.pairs],
            "only_a": _addresses(self.only[0]),
            "only_b": _addresses(self.only[1]),
            "skipped_a": [_describe_skip(skip) for skip in self.skipped[0]],
            "skipped_b": [_describe_skip(skip) for skip in self.skipped[1]],
        }


# From the surest evidence to the weakest: what the user said, equal identities, an address that is
# unique on both sides, and numbers that are related by a formula. Each step sees only what the
# steps before have left, and takes only pairs that leave no choice: a wrong pair would report a
# change that never was.
def compare(a: Audit, b: Audit, matches: Sequence[str] = ()) -> Comparison:
    """Match two audits of one checkpoint each.

    `matches` are `A=B`, addresses or modules of the two sides. An LSTM that the other side has
    under another convention only (it was quantised, say) is matched by its address, and one that
    has another name there by its numbers, where that leaves no choice. Raises `BadPolicy` for a
    match that names nothing.
    """
    left = {row.lstm.identity: row for row in a.rows}
    right = {row.lstm.identity: row for row in b.rows}
    partners = _by_hand(left, right, matches)
    partners |= {one: one for one in _free(left, partners) if one in _free(right, partners)}
    partners |= _by_address(_free(left, partners), _free(right, partners))
    partners |= _by_numbers(
        {one: left[one] for one in _free(left, partners)},
        {one: right[one] for one in _free(right, partners)},
    )
    matched = set(partners.values())
    pairs = [(row, right[partners[one]]) for one, row in left.items() if one in partners]
    return Comparison(
        pairs=tuple(_relate_pairs(pairs)),
        only=(
            tuple(row for one, row in left.items() if one not in partners),
            tuple(row for one, row in right.items() if one not in matched),
        ),
        skipped=(_list_unjudged(a), _list_unjudged(b)),
    )


def _relate_pairs(pairs: Sequence[tuple[Row, Row]]) -> Iterator[LstmPair]:
    """Each pair with its own relation; where it has none, with the pair that it was swapped for."""
    relations = [relate(a, b) for a, b in pairs]
    alone = [k for k, relation in enumerate(relations) if relation is None]
    swaps = find_swaps([pairs[k] for k in alone])
    for k, swap in swaps.items():
        relations[alone[k]] = swap
    ours, theirs = (_find_stacked(side) for side in zip(*pairs, strict=True)) if pairs else ((), ())
    for (a, b), relation in zip(pairs, relations, strict=True):
        one, two = a.lstm.identity, b.lstm.identity
        moved = one.layer != two.layer and one.module in ours and two.module in theirs
        same = relation is not None and relation.harmless
        yield LstmPair(a, b, say_swapped(a, b) if moved and same else relation)


def _find_stacked(rows: Iterable[Row]) -> set[str]:
    """Modules of several layers: there the number of a layer says something."""
    layers = {(row.lstm.identity.module, row.lstm.identity.layer) for row in rows}
    return {name for name, count in Counter(module for module, _ in layers).items() if count > 1}


def _free(side: Iterable[Identity], partners: Mapping[Identity, Identity]) -> list[Identity]:
    """Those that have no partner yet."""
    taken = {*partners, *partners.values()}
    return [one for one in side if one not in taken]


def _by_hand(
    left: Mapping[Identity, Row], right: Mapping[Identity, Row], matches: Sequence[str]
) -> dict[Identity, Identity]:
    """The pairs that the user names, layer by layer where a module is named."""
    partners: dict[Identity, Identity] = {}
    for match in matches:
        a, equals, b = match.partition("=")
        if not equals:
            raise BadPolicy(f"--match {match}: A=B was expected, such as encoder.lstm=lstm_1")
        ours, theirs = _list_named(left, a), _list_named(right, b)
        for side, name, given, named in (("A", a, left, ours), ("B", b, right, theirs)):
            if not named:
                there = [one.written for one in given]
                hint = f"; {nearest_address(name, there)}" if there else ", which has none"
                raise BadPolicy(f"--match {match}: {name} names no LSTM of {side}{hint}")
        if len(ours) != len(theirs):
            raise BadPolicy(
                f"--match {match}: {a} names {len(ours)} LSTMs of A, {b} names "
                f"{len(theirs)} of B: name them one by one, as {ours[0].written}="
                f"{theirs[0].written}"
            )
        partners |= dict(zip(ours, theirs, strict=True))
    return partners


def _list_named(side: Mapping[Identity, Row], name: str) -> list[Identity]:
    return [one for one, row in side.items() if name in row.lstm.names]


# Every pair is compared, so the product is bounded. A relation that one LSTM has to two others (all
# zeros, say) says nothing about which of them it became.
def _by_numbers(
    left: Mapping[Identity, Row], right: Mapping[Identity, Row]
) -> dict[Identity, Identity]:
    """Pairs whose numbers are related, where each is related to no other."""
    if len(left) * len(right) > MAX_CROSSED:
        return {}
    related = [(a, b) for a in left for b in right if relate(left[a], right[b])]
    ours, theirs = Counter(a for a, _ in related), Counter(b for _, b in related)
    return {a: b for a, b in related if ours[a] == theirs[b] == 1}


def _by_address(left: Sequence[Identity], right: Sequence[Identity]) -> dict[Identity, Identity]:
    """Pairs of identities of one address that no other on their side has."""
    ours, theirs = (Counter(one.address for one in side) for side in (left, right))
    there = {one.address: one for one in right}
    return {
        one: there[one.address] for one in left if ours[one.address] == theirs[one.address] == 1
    }


def _list_unjudged(side: Audit) -> tuple[Skipped, ...]:
    return tuple(find_unjudged(side))


def _describe_skip(skip: Skipped) -> dict[str, str]:
    return {"module": skip.module, "reason": skip.reason, "detail": skip.detail}


def _addresses(rows: Sequence[Row]) -> list[str]:
    """How the LSTMs are written, with their convention where two share an address."""
    shared = Counter(row.lstm.address for row in rows)
    return [
        row.lstm.identity.full_address if shared[row.lstm.address] > 1 else row.lstm.address
        for row in rows
    ]


def _pair(pair: LstmPair) -> dict[str, Any]:
    return {
        "module": pair.a.lstm.module,
        "layer": pair.a.lstm.layer,
        "direction": pair.a.lstm.direction,
        "convention": pair.b.lstm.convention,
        "changed": pair.changed,
        "other": None if pair.a.lstm.address == pair.b.lstm.address else pair.b.lstm.address,
        "relation": None if pair.relation is None else pair.relation._asdict(),
        "a": _side(pair.a),
        "b": _side(pair.b),
        "moved": {gate: json_number(by) for gate, by in pair.moved.items()},
    }


def _side(row: Row) -> dict[str, Any]:
    measures = row.measures
    return {
        "hidden_size": row.lstm.hidden_size,
        "bias": json_number(measures.gates["f"].mean),
        "activation": json_number(measures.activation.mean),
        "time_scale": json_number(measures.time_scale.p50),
    }
