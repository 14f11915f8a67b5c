"""Two audits, gate by gate.

Comes in: two `Audit`s. Goes out: a `Comparison`: pairs of one identity, and what has no partner.
Promise: every LSTM of both sides stands in exactly one place.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .errors import Skipped
from .facts import Audit, Row, number
from .lstm.layer import GATES, Identity
from .policy.verdict import unjudged


@dataclass(frozen=True, slots=True)
class Pair:
    """One LSTM before and after."""

    a: Row
    b: Row

    @property
    def moved(self) -> dict[str, float]:
        """By how much each gate's mean effective bias moved."""
        means = {g: (self.a.measures.gates[g].mean, self.b.measures.gates[g].mean) for g in GATES}
        return {gate: after - before for gate, (before, after) in means.items()}

    @property
    def changed(self) -> bool:
        """Whether any statistic of any gate differs, or the size does."""
        if self.a.lstm.hidden_size != self.b.lstm.hidden_size:
            return True
        pairs = [(self.a.measures.gates[g], self.b.measures.gates[g]) for g in GATES]
        return any(not _equal(x, y) for a, b in pairs for x, y in zip(a, b, strict=True))


def _equal(x: float, y: float) -> bool:
    return x == y or (x != x and y != y)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Pairs in the order of A; of both sides, the LSTMs that the other lacks, and those that could
    not be judged.
    """

    pairs: tuple[Pair, ...]
    only: tuple[tuple[Row, ...], tuple[Row, ...]]
    skipped: tuple[tuple[Skipped, ...], tuple[Skipped, ...]] = ((), ())

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
            "skipped_a": [_skipped(skip) for skip in self.skipped[0]],
            "skipped_b": [_skipped(skip) for skip in self.skipped[1]],
        }


def compare(a: Audit, b: Audit) -> Comparison:
    """Match two audits of one checkpoint each.

    An LSTM that the other side has under another convention only (it was quantised, say) is matched
    by its address, where that leaves no choice.
    """
    left = {row.lstm.identity: row for row in a.rows}
    right = {row.lstm.identity: row for row in b.rows}
    partners = {one: one for one in left if one in right}
    partners |= _by_address(
        [one for one in left if one not in right], [one for one in right if one not in left]
    )
    matched = set(partners.values())
    return Comparison(
        pairs=tuple(
            Pair(row, right[partners[one]]) for one, row in left.items() if one in partners
        ),
        only=(
            tuple(row for one, row in left.items() if one not in partners),
            tuple(row for one, row in right.items() if one not in matched),
        ),
        skipped=(_unjudged(a), _unjudged(b)),
    )


def _by_address(left: Sequence[Identity], right: Sequence[Identity]) -> dict[Identity, Identity]:
    """Pairs of identities of one address that no other on their side has."""
    ours, theirs = (Counter(one.address for one in side) for side in (left, right))
    there = {one.address: one for one in right}
    return {
        one: there[one.address] for one in left if ours[one.address] == theirs[one.address] == 1
    }


def _unjudged(side: Audit) -> tuple[Skipped, ...]:
    return tuple(unjudged(side))


def _skipped(skip: Skipped) -> dict[str, str]:
    return {"module": skip.module, "reason": skip.reason, "detail": skip.detail}


def _addresses(rows: Sequence[Row]) -> list[str]:
    """How the LSTMs are written, with their convention where two share an address."""
    shared = Counter(row.lstm.address for row in rows)
    return [
        row.lstm.identity.full_address if shared[row.lstm.address] > 1 else row.lstm.address
        for row in rows
    ]


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "module": pair.a.lstm.module,
        "layer": pair.a.lstm.layer,
        "direction": pair.a.lstm.direction,
        "convention": pair.b.lstm.convention,
        "changed": pair.changed,
        "a": _side(pair.a),
        "b": _side(pair.b),
        "moved": {gate: number(by) for gate, by in pair.moved.items()},
    }


def _side(row: Row) -> dict[str, Any]:
    measures = row.measures
    return {
        "hidden_size": row.lstm.hidden_size,
        "bias": number(measures.gates["f"].mean),
        "activation": number(measures.activation.mean),
        "time_scale": number(measures.time_scale.p50),
    }
