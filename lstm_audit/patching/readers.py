"""What else would change in a graph: nodes, gates and copies that a patch does not mean.

Comes in: a checkpoint's graphs, the chosen LSTMs, and the planned changes. Goes out: nothing, or
`NotPatchable` with the name of the other reader. Promise: a patch that this lets through changes
the forget gates that were chosen (and i's where it was asked for), all copies of them, and nothing
else.
"""

from collections.abc import Iterator, Sequence

from ..errors import NotPatchable
from ..formats import Graph
from ..lstm.layer import GATES, Identity, Lstm
from ..lstm.readers import copies, foreign_reader
from ..lstm.unfold import unfold
from ..raw.ranges import ByteRanges
from ..raw.span import Span
from ..raw.tensor import Block
from .edits import Change
from .plan import GatePlan


def refuse_readers(
    graphs: Sequence[Graph], gates: Sequence[GatePlan], changes: Sequence[Change]
) -> None:
    """Raise where a planned change would reach further than the gates that it is for."""
    meant = {(plan.lstm.identity, plan.gate) for plan in gates}
    chosen = {identity for identity, _ in meant}
    spans = [change.span for change in changes if change.span.read() != change.new]
    ranges = ByteRanges(spans)
    for graph in graphs if spans else ():
        unfolded = unfold(graph)
        for lstm, gate, block in _places(unfolded.lstms):
            if (lstm.identity, gate) not in meant and (hit := _hit(block, ranges)):
                message = (
                    f"gate {gate} of {lstm.address} is stored in the same bytes and would "
                    "change with it"
                )
                raise NotPatchable(message, hit.at)
        reader = foreign_reader(graph, unfolded, ranges)
        if reader is not None:
            message = f"the same bytes are also read by {reader}, which would change with it"
            raise NotPatchable(message, spans[0].at)
        for group in copies(unfolded):
            _refuse_half(group, chosen)


def _places(lstms: Sequence[Lstm]) -> Iterator[tuple[Lstm, str, Block]]:
    """Every gate of every LSTM with the bytes of its terms."""
    for lstm in lstms:
        for gate in GATES:
            for term in lstm.gates[gate]:
                yield lstm, gate, term.block


def _hit(block: Block, ranges: ByteRanges) -> Span | None:
    """The first part of a block that would change; its outer bounds are asked first."""
    return ranges.meet(block.runs()) if ranges.meet(block.span.hulls) else None


def _refuse_half(group: Sequence[Lstm], chosen: set[Identity]) -> None:
    """One module that a file holds twice: both copies, or none."""
    named = [lstm.address for lstm in group if lstm.identity in chosen]
    left = [lstm.address for lstm in group if lstm.identity not in chosen]
    if named and left:
        message = f"{named[0]} is stored twice, also as {', '.join(left)}: name all of them"
        raise NotPatchable(message)
