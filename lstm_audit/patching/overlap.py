"""What else would change: tensors whose stored elements lie where a patch writes.

Comes in: a checkpoint's tensors, its LSTMs and the chosen ones, and the planned changes. Goes out:
nothing, or `NotPatchable` with both names. Promise: a patch that this lets through changes no
element of any other tensor.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import accumulate
from typing import NamedTuple

from ..errors import MalformedFile, NotPatchable
from ..lstm.layer import Lstm
from ..raw.tensor import Tensor
from .edits import Change

# Rows of one axis that are looked into; a view that needs more lies on the bytes as good as
# everywhere.
MAX_ROWS = 4096


class Layout(NamedTuple):
    """The tensors of one source by where they start; `reach` is how far those up to each one go."""

    starts: list[int]
    reach: list[int]
    names: list[str]


def lay_out(tensors: Mapping[str, Tensor]) -> Mapping[int, Layout]:
    """Every tensor's place, by source; made once for all patches that are planned of a file.

    What no reader can make a tensor of (an array of text) is left out: it is stored apart, as the
    container says.
    """
    places: dict[int, list[tuple[int, int, str]]] = {}
    for name in tensors:
        with suppress(MalformedFile):
            span = tensors[name].span
            places.setdefault(id(span.source), []).append(
                (span.start, span.start + span.size, name)
            )
    return {source: _layout(sorted(found)) for source, found in places.items()}


def _layout(places: Sequence[tuple[int, int, str]]) -> Layout:
    reach = list(accumulate((stop for _, stop, _ in places), max))
    return Layout([start for start, _, _ in places], reach, [name for *_, name in places])


def refuse_sharing(
    tensors: Mapping[str, Tensor],
    layouts: Mapping[int, Layout],
    lstms: Sequence[Lstm],
    chosen: Sequence[Lstm],
    changes: Sequence[Change],
) -> None:
    """Raise when a change touches an element of a tensor that is no bias of a chosen LSTM.

    A second name of exactly such a bias (a tied module, `_flat_weights`) is the same tensor and may
    change with it, unless it is a bias of an LSTM that was not chosen.
    """
    meant = {name for lstm in chosen for name in (*lstm.bias_tensors, *lstm.aliases)}
    same = {tensors[name].identity for name in meant}
    mine = {lstm.identity for lstm in chosen}
    for change in changes:
        start, stop = change.span.start, change.span.start + change.span.size
        for name in _near(layouts.get(id(change.span.source)), start, stop):
            tensor = tensors[name]
            if name in meant or not touches(tensor, start, stop):
                continue
            others = (lstm for lstm in lstms if lstm.identity not in mine)
            if tensor.identity in same and not any(name in lstm.bias_tensors for lstm in others):
                continue
            raise NotPatchable(
                f"{change.reason}: {name} is stored in the same bytes and would change with it",
                start,
            )


def _near(layout: Layout | None, start: int, stop: int) -> Iterator[str]:
    """The tensors whose outer bounds may meet [start, stop), from the last that begins before
    `stop` back to where none reaches so far.
    """
    if layout is None:
        return
    k = bisect_left(layout.starts, stop)
    while k and layout.reach[k - 1] > start:
        k -= 1
        yield layout.names[k]


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
