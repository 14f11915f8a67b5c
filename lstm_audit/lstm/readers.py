"""Who else reads the bytes of a bias: everything a patch must know of a graph and a row does not.

Comes in: an unfolded graph and ranges of bytes. Goes out: the first node that reads them and is no
part of the chosen recurrences; and the rows that are a second copy of another. Promise: a reader
that is not understood counts as one.

Strategy: from every stored tensor that has one of the bytes, follow the numbers through the nodes
that only move or add them. They may end in the bias of a row, or at the first operation of a
cell's gate. Wherever else they end, somebody else reads them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..formats import Constant, Graph, Node, Scope
from ..raw.ranges import ByteRanges
from .graph import PRODUCTS, RULES, Evaluation
from .known import NOTHING, KnownTensor
from .layer import Lstm
from .operators import BIAS_INPUTS
from .sightings import Sighting, name_node
from .unfold import Unfolded

# Bytes at the start of a weight by which two copies are known; no two layers drew them alike.
PROBE = 256

SHAPE_ONLY = frozenset({"Shape", "Size"})

ReadKey = tuple[int, str]


class NameReading(NamedTuple):
    """One node that reads a name, and at which input."""

    scope: Scope
    node: Node
    number: int
    at: int


def foreign_reader(graph: Graph, unfolded: Unfolded, ranges: ByteRanges) -> str | None:
    """The name of a node (or output) that reads the bytes and is no part of a recurrence."""
    evaluation = unfolded.evaluation
    readings = _readings(graph, evaluation)
    outputs = dict(_outputs(graph, evaluation))
    known = _known_ends(unfolded)
    frontier = [
        key for key, constant in _list_stored(graph, evaluation) if _holds(constant, ranges)
    ]
    met: set[ReadKey] = set()
    while frontier:
        key = frontier.pop()
        if key in met:
            continue
        met.add(key)
        if key in outputs:
            return f"output {outputs[key]!r} of the graph"
        if key in known.entries:
            continue
        for reading in readings.get(key, ()):
            moved = _follow_move(reading, known)
            if moved is None:
                return f"{reading.node.op} {name_node(reading.node, reading.number)!r}"
            frontier += [
                evaluation.locate(reading.scope, name).key
                for name in moved
                if _carries(evaluation, evaluation.value(reading.scope, name), ranges)
            ]
    return None


def _carries(evaluation: Evaluation, value: KnownTensor | None, ranges: ByteRanges) -> bool:
    """Whether a value has an element that is stored in the bytes; what is calculated may have."""
    if value is None:
        return True
    for cell in (cell for term in value.terms for cell in term if cell != NOTHING):
        constant, element = evaluation.origin(cell)
        if constant.tensor is None:
            return True
        size = constant.tensor.dtype.itemsize
        if ranges.meet([constant.tensor.span[element * size : (element + 1) * size]]):
            return True
    return False


def _outputs(graph: Graph, evaluation: Evaluation) -> Iterator[tuple[ReadKey, str]]:
    """What leaves the graph, or a body that does not hand it on unchanged.

    What a function gives back is met where the call's output is read.
    """
    called_scopes = {id(body) for scope in graph.scopes for body, _ in scope.calls.values()}
    for scope in graph.scopes:
        for name in scope.outputs if id(scope) not in called_scopes else ():
            made = evaluation.maker(scope, name)
            handed_on = made is not None and made.op == "Identity" and made.ins[0] in scope.bound
            if name not in scope.bound and not handed_on:
                yield evaluation.locate(scope, name).key, name


class _Ends(NamedTuple):
    """Where the numbers of a bias may end: nodes that are rows, names that enter a cell's gate."""

    nodes: set[int]
    entries: set[ReadKey]


def _known_ends(unfolded: Unfolded) -> _Ends:
    sightings = [sighting for _, group in unfolded.rows for sighting in group]
    entries = {
        unfolded.evaluation.locate(sighting.scope, name).key
        for sighting in sightings
        for name in sighting.entries
    }
    return _Ends({id(sighting.node) for sighting in sightings if not sighting.entries}, entries)


def _readings(graph: Graph, evaluation: Evaluation) -> Mapping[ReadKey, list[NameReading]]:
    """Every node under every name that it reads, whatever scope the name comes from."""
    readings: dict[ReadKey, list[NameReading]] = {}
    for scope in graph.scopes:
        for number, node in enumerate(scope.nodes):
            if number in scope.calls:
                continue  # what a function reads is met in its body
            for at, name in enumerate(node.ins):
                if name:
                    key = evaluation.locate(scope, name).key
                    readings.setdefault(key, []).append(NameReading(scope, node, number, at))
    return readings


def _list_stored(graph: Graph, evaluation: Evaluation) -> Iterator[tuple[ReadKey, Constant]]:
    """Every stored tensor: initializers, and what Constant nodes hold."""
    for scope in graph.scopes:
        for name, constant in scope.constants.items():
            yield (id(scope), name), constant
        for node in scope.nodes:
            if node.op == "Constant" and node.outs:
                for given in node.attributes.values():
                    if isinstance(given, Constant):
                        yield evaluation.locate(scope, node.outs[0]).key, given


def _holds(constant: Constant, ranges: ByteRanges) -> bool:
    """Whether a stored tensor has a byte of one of the ranges."""
    return constant.tensor is not None and bool(ranges.meet([constant.tensor.span]))


def _follow_move(reading: NameReading, ends: _Ends) -> Sequence[str] | None:
    """Where a node puts the numbers that it reads; nothing where they end well, None for a
    stranger.
    """
    node = reading.node
    if node.op in SHAPE_ONLY:
        return []
    if node.op in BIAS_INPUTS:
        fits = id(node) in ends.nodes and reading.at in BIAS_INPUTS[node.op]
        return [] if fits else None
    if (node.op == "Loop" and reading.at >= 2) or node.op == "Scan":
        return []  # what is handed on unchanged is met in the body
    if node.op not in RULES or (node.op in PRODUCTS and reading.at != 2):
        return None
    return [name for name in node.outs if name]


def copies(unfolded: Unfolded) -> list[list[Lstm]]:
    """Rows that hold the same weights and the same biases at different places: one module, twice.

    TorchScript's exporter copies the weights of a module for every time that it is called.
    """
    groups: dict[object, list[Lstm]] = {}
    for lstm, group in unfolded.rows:
        probe = _probe(unfolded.evaluation, group[0])
        if probe is not None:
            groups.setdefault((probe, lstm.direction, lstm.hidden_size), []).append(lstm)
    return [group for group in groups.values() if len(group) > 1]


def _probe(evaluation: Evaluation, sighting: Sighting) -> tuple[bytes, ...] | None:
    """The first bytes of W and R; None where they do not tell (constant, or not stored)."""
    found = []
    for name in sighting.node.ins[1:3] if not sighting.entries else ():
        constant = evaluation.locate(sighting.scope, name).constant if name else None
        if constant is None or constant.tensor is None:
            return None
        span = constant.tensor.span
        found.append(span[: min(span.size, PROBE)].read())
    return tuple(found) if len(found) == 2 and all(len(set(f)) > 8 for f in found) else None
