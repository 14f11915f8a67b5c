"""Graphs into recurrences: both roads, by operator and by equations, end here.

Comes in: a `Graph`. Goes out: `Lstm`s in the order of the graph, and what was skipped. Promise: one
stored bias is one row, however many nodes read it; what has the form of a recurrence and gives no
row is said.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from ..errors import MalformedFile, Skipped
from ..formats import Graph
from ..raw.tensor import Tensor
from .cells import find_cells
from .graph import Evaluation
from .layer import Identity, Lstm
from .operators import READINGS, ReadOperator, Seen, unknown_lstm
from .sightings import Sighting, find_module, lstm_of

# Recurrences and what looks like one, in one file; an unrolled cell counts once a step.
MAX_SIGHTINGS = 8192


MAX_ALIASES = 16

# What the exporters call themselves whose framework has a bias_ih and a bias_hh.
TWO_HALVES = "pytorch"


class Unfolded(NamedTuple):
    """What one graph holds; `rows` are the LSTMs with all sightings of each, for who follows the
    bytes.
    """

    lstms: tuple[Lstm, ...]
    skipped: tuple[Skipped, ...]
    rows: tuple[tuple[Lstm, Sequence[Sighting]], ...]
    evaluation: Evaluation


def unfold(graph: Graph) -> Unfolded:
    """Every recurrence of a graph; raises `MalformedFile` where a tensor that matters is broken."""
    evaluation = Evaluation(graph)
    seen: list[Seen] = []
    for sight in _sights(graph, evaluation):
        seen.append(sight)
        if len(seen) > MAX_SIGHTINGS:
            message = f"over {MAX_SIGHTINGS} nodes of one graph look like recurrences"
            raise MalformedFile(message, kind="limit")
    groups = _merge([sight for sight in seen if isinstance(sight, Sighting)])
    rows = tuple(_rows(graph, evaluation, groups))
    skips = dict.fromkeys(sight for sight in seen if isinstance(sight, Skipped))
    return Unfolded(tuple(lstm for lstm, _ in rows), tuple(skips), rows, evaluation)


def _sights(graph: Graph, evaluation: Evaluation) -> Iterator[Seen]:
    for scope in graph.scopes:
        readings = _readings({node.op for node in scope.nodes})
        met = [(k, node) for k, node in enumerate(scope.nodes) if node.op in readings]
        for order, node in met if readings else ():
            if order not in scope.calls:
                evaluation.makers(scope)  # two makers of one name are refused, whatever it is
                yield from readings[node.op](evaluation, scope, node, order)
        yield from find_cells(evaluation, scope)


def _readings(operators: Collection[str]) -> dict[str, ReadOperator]:
    """By operator, how it is read: of thousands of nodes there are some twenty operators."""
    readings = {op: READINGS[op] for op in operators if op in READINGS}
    strange = {op for op in operators if "LSTM" in op.upper()} - readings.keys()
    return readings | dict.fromkeys(strange, unknown_lstm)


def _merge(sightings: Sequence[Sighting]) -> list[list[Sighting]]:
    """Sightings of one stored bias together: an unrolled cell's steps, both branches of an If."""
    groups: dict[tuple[object, ...], list[Sighting]] = {}
    for sighting in sightings:
        groups.setdefault(sighting.key, []).append(sighting)
    return list(groups.values())


def _rows(
    graph: Graph, evaluation: Evaluation, groups: Sequence[Sequence[Sighting]]
) -> Iterator[tuple[Lstm, Sequence[Sighting]]]:
    """Names and layers: nodes of one path that share no bias are layers 0, 1, ... in their order.

    The path of a branch is put before a name only where two rows would have one address.
    """
    layers: dict[tuple[int, str, str], int] = {}
    taken: set[tuple[str, int, str]] = set()
    flat: dict[int, Tensor] = {}
    for group in groups:
        first = group[0]
        name = find_module(first, evaluation)
        layer = name.layer
        if layer is None:
            among = id(first.scope), name.module, first.direction
            layer = layers.get(among, 0)
            layers[among] = layer + 1
        if (name.module, layer, first.direction) in taken:
            name = name._replace(module=first.scope.path + name.module.lstrip("/"))
        while (name.module, layer, first.direction) in taken:
            layer += 1
        taken.add((name.module, layer, first.direction))
        if TWO_HALVES not in graph.producer:
            first = _single(first, evaluation)
        lstm = lstm_of(first, name, layer, graph, evaluation, flat)
        yield _with_aliases(lstm, group, graph, evaluation), group


def _with_aliases(
    lstm: Lstm, group: Sequence[Sighting], graph: Graph, evaluation: Evaluation
) -> Lstm:
    """The other nodes that read the same bias; each is a name by which a pattern may mean it."""
    others = group[1 : MAX_ALIASES + 1]
    nodes = dict.fromkeys(other.node.name for other in others if other.node.name)
    tied: dict[Identity, None] = {}
    for other in others:
        name = find_module(other, evaluation)
        tied[Identity(name.module, name.layer or 0, other.direction, graph.dialect)] = None
    return lstm._replace(
        aliases=tuple(name for name in nodes if name != group[0].node.name),
        tied=tuple(one for one in tied if one != lstm.identity),
    )


def _single(sighting: Sighting, evaluation: Evaluation) -> Sighting:
    """Frameworks with one bias put it into W's half, and zeros into R's: then it is no half."""
    hh = [cells for terms in sighting.gates.values() for half, cells in terms if half == "hh"]
    if sighting.entries or not hh or any(any(evaluation.read(cells)) for cells in hh):
        return sighting
    gates = {
        gate: tuple(("b", cells) for half, cells in terms if half == "ih")
        for gate, terms in sighting.gates.items()
    }
    return sighting._replace(gates=gates)
