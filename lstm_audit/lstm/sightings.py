"""A recurrence as a graph shows it, and the way from there to an `Lstm`.

Comes in: `Sighting`s: for every gate its summands as cells. Goes out: `Lstm`s whose terms lie in
the file wherever the graph only moved the numbers. Promise: a term is patchable only if its bytes
hold nothing but that gate's bias, each element once.
"""

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ..formats import Graph, Node, Scope
from ..raw.dtypes import DTYPES
from ..raw.span import Span, join_spans, span_of
from ..raw.tensor import Block, Tensor
from .graph import Evaluation
from .known import NOTHING, SPACE, Cells
from .layer import GATES, Lstm, Term

# Bytes of a stored tensor that the gates share; of a longer one each takes its own part.
MAX_SHARED = 1 << 20

TORCH_NAME = r"(?:(?P<module>.*)\.)?bias_(?:ih|hh)(?:_l(?P<layer>\d{1,4})(?:_reverse)?)?"
NO_BYTES = span_of(b"")
# What Keras adds to a layer's path: the loop over time, and the cell in it.
KERAS_CELL = r"(?:/while(?:_\d+)?)?(?:/(?:while/)?lstm_cell(?:_\d+)?)?$"

# The label under which torch's dynamo exporter notes the modules around a node, outermost first.
SCOPES = "pkg.torch.onnx.name_scopes"

# Summands of one gate: the half that each belongs to, and its cells.
Terms = tuple[tuple[str, Cells], ...]


class Sighting(NamedTuple):
    """One recurrence: where it was met, and what enters its gates.

    `order` is its place in the file. `coupled` is the gate that is 1 minus another (see `Lstm`).
    `label` is the name that the format gives it, where the node has none worth the word.
    `entries` are the names that enter the gates of a cell; an operator has none.
    """

    scope: Scope
    node: Node
    order: int
    direction: str
    hidden_size: int
    gates: Mapping[str, Terms]
    activation: str = "sigmoid"
    coupled: str = ""
    notes: tuple[str, ...] = ()
    label: str = ""
    entries: tuple[str, ...] = ()
    offset: float = 0.0

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for two sightings of one stored bias."""
        cells = tuple(_regular(cells) for gate in GATES for _, cells in self.gates[gate])
        return (*cells, self.direction) if cells else (id(self.node), self.direction)


class Name(NamedTuple):
    """What a recurrence is called; `layer` is None where only its order in the graph tells."""

    module: str
    layer: int | None = None


def find_module(sighting: Sighting, evaluation: Evaluation) -> Name:
    """The module's name: from torch's names of the biases, from the exporter's label, from the
    node's path.
    """
    for name in bias_names(sighting, evaluation):
        found = re.fullmatch(TORCH_NAME, name) if "bias_" in name else None
        if found:
            return Name(found["module"] or "", int(found["layer"] or 0))
    scopes = sighting.node.labels.get(SCOPES)
    if isinstance(scopes, str):
        modules = re.findall(r"'([^']*)'", scopes)
        if len(modules) > 1:
            return Name(modules[-2])
    if sighting.label:
        return Name(sighting.label)
    node = sighting.node
    if "/" in node.name and sighting.entries:  # one of the operations of a cell
        return Name(re.sub(KERAS_CELL, "", node.name.rpartition("/")[0]))
    if "/" in node.name:  # a path: torch numbers the operators of one module LSTM, LSTM_1, ...
        return Name(re.sub(r"_\d+$", "", node.name))
    return Name(name_node(node, sighting.order))


def name_node(node: Node, order: int) -> str:
    """A node's name; without one, that of its output, or its number."""
    return node.name or (node.outs or ("",))[0] or f"node{order}"


def bias_names(sighting: Sighting, evaluation: Evaluation) -> tuple[str, ...]:
    """The stored tensors that the biases come from, each once."""
    names: dict[str, None] = {}
    for gate in GATES:
        for _, cells in sighting.gates[gate]:
            for number in _numbers_of(cells):
                names[evaluation.origin(number * SPACE)[0].name] = None
    return tuple(name for name in names if name)


def _overridable(sighting: Sighting, evaluation: Evaluation) -> Iterator[str]:
    """Before IR version 4, ONNX listed every stored tensor among the inputs, as its default."""
    stored = {number for _, cells in sighting.gates["f"] for number in _numbers_of(cells)}
    if any(evaluation.origin(number * SPACE)[0].overridable for number in stored):
        yield "its bias is the default of an input of the graph, which a caller may override"


def _numbers_of(cells: Cells) -> Iterator[int]:
    """Which stored tensors occur in a summand."""
    if isinstance(cells, range):
        return iter(dict.fromkeys((cells[0] // SPACE, cells[-1] // SPACE)) if cells else ())
    return iter(dict.fromkeys(cell // SPACE for cell in cells if cell != NOTHING))


def lstm_of(
    sighting: Sighting,
    name: Name,
    layer: int,
    graph: Graph,
    evaluation: Evaluation,
    flat: dict[int, Tensor],
) -> Lstm:
    """The recurrence with all its terms; `flat` keeps the stored tensors that several
    gates share.
    """
    gates = {
        gate: tuple(_term(half, cells, evaluation, flat) for half, cells in sighting.gates[gate])
        for gate in GATES
    }
    names = bias_names(sighting, evaluation)
    stored = {term.block.tensor.dtype.name for terms in gates.values() for term in terms}
    return Lstm(
        module=name.module,
        layer=layer,
        direction=sighting.direction,
        convention=graph.dialect,
        hidden_size=sighting.hidden_size,
        dtype="+".join(sorted(stored)) or "float32",
        gates=gates,
        bias_tensors=names,
        offset=sighting.offset,
        activation_function=sighting.activation,
        notes=(*sighting.notes, *graph.notes, *_overridable(sighting, evaluation)),
        coupled=sighting.coupled,
    )


def _term(half: str, cells: Cells, evaluation: Evaluation, flat: dict[int, Tensor]) -> Term:
    """One summand: a regular run of one stored tensor, stored elements that lie anywhere, or
    numbers that have no place.
    """
    run = _regular(cells)
    if isinstance(run, range) and run.step > 0 and run[0] // SPACE == run[-1] // SPACE:
        constant, start = evaluation.origin(run[0])
        if constant.tensor is not None and constant.scale == 1.0 and constant.tensor.dtype.encode:
            block = _block(constant.tensor, start, run, flat, run[0] // SPACE)
            return Term(half, constant.name, block)
    block = _gather(cells, evaluation) or _make_block(evaluation.read(cells))
    return Term(half, _said(cells, evaluation), block)


# Turned round, shuffled, joined from several tensors: what a graph only moves still is stored. One
# element that occurs twice could not be written for one unit alone.
def _gather(cells: Cells, evaluation: Evaluation) -> Block | None:
    """Stored elements of one kind, each another one, as a tensor; None where they are not."""
    if NOTHING in cells or len(set(cells)) < len(cells):
        return None
    origins = [evaluation.origin(cell) for cell in cells]
    kinds, elements = set[Tensor](), list[Span]()
    for constant, element in origins:
        tensor = constant.tensor
        if tensor is None or constant.scale != 1.0 or not tensor.dtype.encode:
            return None
        size = tensor.dtype.itemsize
        elements.append(tensor.span[element * size : (element + 1) * size])
        kinds.add(tensor._replace(shape=(len(cells),), strides=(1,), span=NO_BYTES))
    if len(kinds) != 1:
        return None
    return Block(kinds.pop()._replace(span=join_spans(elements)), 0, 0, len(cells))


def _regular(cells: Cells) -> range | tuple[int, ...]:
    """The cells as a range, where they are equally far from each other."""
    if isinstance(cells, range):
        return cells
    if len(cells) > 1 and NOTHING not in cells and (step := cells[1] - cells[0]):
        run = range(cells[0], cells[0] + step * len(cells), step)
        if list(run) == list(cells):
            return run
    return tuple(cells) if len(cells) != 1 or cells[0] == NOTHING else range(cells[0], cells[0] + 1)


def _block(tensor: Tensor, start: int, run: range, flat: dict[int, Tensor], number: int) -> Block:
    """The run as a block of the flattened tensor; only a short one is worth reading as a whole."""
    reach = (len(run) - 1) * run.step + 1
    if tensor.span.size <= MAX_SHARED:
        if number not in flat:
            flat[number] = tensor._replace(shape=(tensor.elements,), strides=(1,))
        return Block(flat[number], 0, start, start + reach, run.step)
    size = tensor.dtype.itemsize
    part = tensor.span[start * size : (start + reach) * size]
    return Block(tensor._replace(shape=(reach,), strides=(1,), span=part), 0, 0, reach, run.step)


def _make_block(numbers: Sequence[float]) -> Block:
    """Numbers that a graph calculates: judged, and never written, for they have no place."""
    span = span_of(struct.pack(f"<{len(numbers)}d", *numbers), "computed by the graph")
    tensor = Tensor(DTYPES["float64"], (len(numbers),), (1,), span)
    return Block(tensor, 0, 0, len(numbers))


def _said(cells: Cells, evaluation: Evaluation) -> str:
    """What a computed term is called."""
    names = [evaluation.origin(number * SPACE)[0].name for number in _numbers_of(cells)]
    return "+".join(name for name in names if name) or "computed by the graph"
