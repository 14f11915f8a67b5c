"""Two audits, gate by gate.

Comes in: two `Audit`s. Goes out: a `Comparison`: pairs matched by module, layer and direction, and what has no
partner. Promise: every LSTM of both sides stands in exactly one place.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .finding import Audit, Row, number
from .lstm.layer import GATES


@dataclass(frozen=True, slots=True)
class Pair:
    """One LSTM before and after."""

    address: str
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
    """Pairs in the order of A, and the addresses that only one side has."""

    pairs: tuple[Pair, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.only_a or self.only_b) or any(pair.changed for pair in self.pairs)

    def to_dict(self) -> dict[str, Any]:
        """`lstm-audit/diff/1`, as plain JSON values."""
        return {
            "schema": "lstm-audit/diff/1",
            "changed": self.changed,
            "pairs": [_pair(pair) for pair in self.pairs],
            "only_a": list(self.only_a),
            "only_b": list(self.only_b),
        }


def compare(a: Audit, b: Audit) -> Comparison:
    """Match two audits of one checkpoint each."""
    left, right = _by_address(a.rows), _by_address(b.rows)
    return Comparison(
        pairs=tuple(Pair(address, row, right[address]) for address, row in left.items() if address in right),
        only_a=tuple(address for address in left if address not in right),
        only_b=tuple(address for address in right if address not in left),
    )


def _by_address(rows: Iterable[Row]) -> dict[str, Row]:
    return {row.lstm.address: row for row in rows}


def _pair(pair: Pair) -> dict[str, Any]:
    return {
        "module": pair.a.lstm.module,
        "layer": pair.a.lstm.layer,
        "direction": pair.a.lstm.direction,
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
