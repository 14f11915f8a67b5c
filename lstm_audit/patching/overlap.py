"""What else would change: tensors whose stored elements lie where a patch writes.

Comes in: a checkpoint's tensors, its LSTMs and the chosen ones, and the planned changes. Goes out:
nothing, or `NotPatchable` with both names. Promise: a patch that this lets through changes no
element of any other tensor.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence

from ..errors import MalformedFile, NotPatchable
from ..lstm.layer import Lstm
from ..raw.tensor import Tensor
from .edits import Change

MAX_ROWS = 4096
"""Rows of one axis that are looked into; a view that needs more lies on the bytes as good as
everywhere.
"""

Runs = list[tuple[int, int, str]]
"""Sorted, disjoint (start, stop, reason)."""


def refuse_sharing(
    tensors: Mapping[str, Tensor],
    lstms: Sequence[Lstm],
    chosen: Sequence[Lstm],
    changes: Sequence[Change],
) -> None:
    """Raise when a change touches an element of a tensor that is no bias of a chosen LSTM.

    A second name of exactly such a bias (a tied module, `_flat_weights`) is the same tensor and may
    change with it, unless it is a bias of an LSTM that was not chosen.
    """
    runs = _runs(changes)
    meant = {name for lstm in chosen for name in (*lstm.bias_tensors, *lstm.aliases)}
    spared = {name for lstm in lstms if lstm not in chosen for name in lstm.bias_tensors} - meant
    same = {tensors[name].identity for name in meant}
    for name in tensors:
        tensor = _located(tensors, name)
        if tensor is None or name in meant or (tensor.identity in same and name not in spared):
            continue
        for start, _, reason in _touched(tensor, runs.get(id(tensor.span.source), [])):
            raise NotPatchable(
                f"{reason}: {name} is stored in the same bytes and would change with it", start
            )


def refuse_contradictions(changes: Sequence[Change]) -> None:
    """Raise when two different values are wanted for the same bytes (for what `edits_of` never
    sees: live models).
    """
    wanted: dict[tuple[int, int], tuple[int, str]] = {}
    for change in changes:
        for k, byte in enumerate(change.new):
            before = wanted.setdefault(
                (id(change.span.source), change.span.start + k), (byte, change.reason)
            )
            if before[0] != byte:
                raise NotPatchable(
                    f"two values are wanted for the same stored number ({before[1]}; "
                    f"{change.reason})"
                )


def _runs(changes: Sequence[Change]) -> dict[int, Runs]:
    """The changed bytes by source; what overlaps or touches is joined."""
    runs: dict[int, Runs] = {}
    for change in sorted(changes, key=lambda c: c.span.start):
        mine = runs.setdefault(id(change.span.source), [])
        start, stop = change.span.start, change.span.start + change.span.size
        if mine and start <= mine[-1][1]:
            mine[-1] = (mine[-1][0], max(stop, mine[-1][1]), mine[-1][2])
        else:
            mine.append((start, stop, change.reason))
    return runs


def _located(tensors: Mapping[str, Tensor], name: str) -> Tensor | None:
    """None for what no reader can make a tensor of (an array of text): it is stored apart, as the
    container says.
    """
    try:
        return tensors[name]
    except MalformedFile:
        return None


def _touched(tensor: Tensor, runs: Runs) -> Iterator[tuple[int, int, str]]:
    """The runs that hold a byte of an element of the tensor, first by its outer bounds, then
    exactly.
    """
    start, stop = tensor.span.start, tensor.span.start + tensor.span.size
    for run in runs[bisect_right(runs, start, key=lambda r: r[1]) :]:
        if run[0] >= stop:
            return
        if touches(tensor, run[0], run[1]):
            yield run


def touches(tensor: Tensor, start: int, stop: int) -> bool:
    """Whether an element of the strided view has a byte in [start, stop) of its source."""
    size = tensor.dtype.itemsize
    axes = [
        (step * size, n)
        for step, n in zip(tensor.strides, tensor.shape, strict=True)
        if step and n > 1
    ]
    return tensor.span.size > 0 and _hits(
        sorted(axes, reverse=True), tensor.span.start, size, start, stop
    )


def _hits(axes: Sequence[tuple[int, int]], at: int, size: int, start: int, stop: int) -> bool:
    """By recursion over the axes, the widest step first: only rows whose outer bounds meet the
    range are entered.
    """
    if not axes:
        return at < stop and start < at + size
    (step, count), inner = axes[0], axes[1:]
    reach = size + sum(width * (n - 1) for width, n in inner)
    first, last = max(0, (start - at - reach) // step + 1), min(count - 1, (stop - 1 - at) // step)
    if last - first > MAX_ROWS:
        return True
    return any(_hits(inner, at + k * step, size, start, stop) for k in range(first, last + 1))
