"""Phantom tensors: views of storages whose cells are kept in runs.

Comes in: cells and places. Goes out: `PhantomTensor`s that are read, sliced and written. Promise:
views share their storage as torch's do, and the cost grows with the runs, not with the cells.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from .cells import CellValue, Ramp, compute, is_even, shift, values_of
from .values import UNKNOWN, SourcePlace

# Cells that may be handled one by one.
LONG = 1 << 13

Index = range | tuple[int, ...]


# Runs, not cells: a bias of 4 x 4096 elements that was drawn and then had its forget gate filled is
# three runs. Reads, writes and arithmetic cut and join runs; only a view that is neither contiguous
# nor short has to go cell by cell. The place of each run is where a finding about it will stand.
class WrittenRun(NamedTuple):
    """Cells that one write has made: the first of them, how many, and where it was written."""

    length: int
    cell: CellValue
    place: SourcePlace | None = None


class Role(NamedTuple):
    """What a storage is for: the bias `name` of a recurrence with this many units."""

    module: object
    name: str
    hidden_size: int

    def forget(self, runs: Sequence[WrittenRun]) -> list[WrittenRun]:
        """The runs of the forget gate."""
        return cut_runs(runs, self.hidden_size, 2 * self.hidden_size)


class PhantomStorage:
    """The cells of one or more tensors; `role` is set for a bias of a recurrence."""

    __slots__ = ("born", "role", "runs", "size")

    def __init__(self, runs: Sequence[WrittenRun], born: int) -> None:
        self.runs = [run for run in runs if run.length]
        self.size = sum(run.length for run in runs)
        self.born = born
        self.role: Role | None = None


class PhantomTensor:
    """A view of a storage, in C order.

    `leaf` is true while autograd would refuse a write into it: a parameter, or a view of one.
    `vague` is a view of which it is not known which of these cells it shows.
    """

    __slots__ = ("index", "leaf", "parameter", "shape", "storage", "vague")

    def __init__(
        self,
        storage: PhantomStorage,
        index: Index,
        shape: tuple[int, ...],
        leaf: bool = False,
        parameter: bool = False,
    ) -> None:
        self.storage = storage
        self.index = index
        self.shape = shape
        self.leaf = leaf
        self.parameter = parameter
        self.vague = False

    def __len__(self) -> int:
        return len(self.index)

    def view(self, index: Index, shape: tuple[int, ...] | None = None) -> "PhantomTensor":
        """Another view of the same storage."""
        shown = PhantomTensor(
            self.storage, index, (len(index),) if shape is None else shape, self.leaf
        )
        shown.vague = self.vague
        return shown

    def blur(self) -> "PhantomTensor":
        """Some cells of this view, nobody knows which."""
        shown = self.view(self.index, self.shape)
        shown.vague = True
        return shown


def make_tensor(
    runs: Sequence[WrittenRun], born: int, shape: tuple[int, ...] | None = None
) -> PhantomTensor:
    """A tensor with a storage of its own."""
    storage = PhantomStorage(runs, born)
    return PhantomTensor(storage, range(storage.size), (storage.size,) if shape is None else shape)


def is_contiguous(index: Index) -> bool:
    """Whether a view shows neighbouring cells in their order."""
    return isinstance(index, range) and (index.step == 1 or len(index) <= 1)


def cut_runs(runs: Iterable[WrittenRun], start: int, stop: int) -> list[WrittenRun]:
    """The runs of the cells from `start` to `stop`."""
    found, at = [], 0
    for run in runs:
        low, high = max(start - at, 0), min(stop - at, run.length)
        if low < high:
            found.append(WrittenRun(high - low, shift(run.cell, low), run.place))
        at += run.length
        if at >= stop:
            break
    return found


def read_runs(tensor: PhantomTensor) -> list[WrittenRun]:
    """The runs that the view shows."""
    index = tensor.index
    if tensor.vague:
        return [WrittenRun(len(index), UNKNOWN)]
    if isinstance(index, range) and is_contiguous(index):
        return cut_runs(tensor.storage.runs, index[0], index[0] + len(index)) if index else []
    if len(index) > LONG or tensor.storage.size > LONG:
        return [WrittenRun(len(index), UNKNOWN)]
    cells = list(_each_cell(tensor.storage.runs))
    return merge_neighbours([WrittenRun(1, *cells[i]) for i in index])


def _each_cell(runs: Iterable[WrittenRun]) -> Iterator[tuple[CellValue, SourcePlace | None]]:
    for run in runs:
        for k in range(run.length):
            yield shift(run.cell, k), run.place


# Two neighbours are one run if the second continues the first: the same constant, or the draw's
# next index, from the same write. Without this, slices that are written back would multiply runs.
def merge_neighbours(runs: Iterable[WrittenRun]) -> list[WrittenRun]:
    """Neighbours that go on as one run, joined."""
    merged: list[WrittenRun] = []
    for run in runs:
        last = merged[-1] if merged else None
        if last and last.place == run.place and shift(last.cell, last.length) == run.cell:
            merged[-1] = last._replace(length=last.length + run.length)
        elif run.length:
            merged.append(run)
    return merged


def overwrite_runs(tensor: PhantomTensor, new: Sequence[WrittenRun]) -> list[WrittenRun]:
    """The runs of the whole storage after a write of `new` through the view."""
    storage, index = tensor.storage, tensor.index
    if isinstance(index, range) and is_contiguous(index):
        start = index[0] if index else 0
        before = cut_runs(storage.runs, 0, start)
        return merge_neighbours(
            [*before, *new, *cut_runs(storage.runs, start + len(index), storage.size)]
        )
    if storage.size > LONG:
        return [WrittenRun(storage.size, UNKNOWN, new[0].place if new else None)]
    cells = list(_each_cell(storage.runs))
    for i, cell in zip(index, _each_cell(new), strict=False):
        cells[i] = cell
    return merge_neighbours([WrittenRun(1, *cell) for cell in cells])


def align(*parts: Sequence[WrittenRun]) -> Iterator[list[WrittenRun]]:
    """Several lists of runs of one length, cut at all of their borders."""
    queues = [list(reversed(part)) for part in parts]
    while all(queues):
        step = min(queue[-1].length for queue in queues)
        yield [queue[-1]._replace(length=step) for queue in queues]
        for queue in queues:
            head = queue.pop()
            if head.length > step:
                queue.append(WrittenRun(head.length - step, shift(head.cell, step), head.place))


def map_runs(function: str, *parts: Sequence[WrittenRun]) -> list[WrittenRun]:
    """An elementwise function of several lists of runs."""
    aligned = align(*parts)
    return merge_neighbours(
        [WrittenRun(row[0].length, compute(function, *(r.cell for r in row))) for row in aligned]
    )


# Broadcasting a single *draw* is not a repetition of one value that could be continued (its next
# cell would be another draw), so that case is unknown.
def stretch(runs: Sequence[WrittenRun], length: int) -> list[WrittenRun]:
    """Runs broadcast to a length: one cell is repeated; other sizes are not known."""
    have = sum(run.length for run in runs)
    if have == length:
        return list(runs)
    if have == 1:
        return [
            WrittenRun(length, runs[0].cell if is_even(runs[0].cell) else UNKNOWN, runs[0].place)
        ]
    return [WrittenRun(length, UNKNOWN)]


def join_runs(versions: Sequence[Sequence[WrittenRun]]) -> list[WrittenRun]:
    """What is the same in every version; the rest is unknown, at the place of the last write."""
    if all(list(version) == list(versions[0]) for version in versions):
        return list(versions[0])
    return merge_neighbours([_join(row) for row in align(*versions)])


def _join(row: Sequence[WrittenRun]) -> WrittenRun:
    known = all(run.cell == row[0].cell for run in row)
    places = [run.place for run in row if run.place]
    last = max(places, key=lambda place: place.order, default=None)
    return WrittenRun(row[0].length, row[0].cell if known else UNKNOWN, last)


def number_in(tensor: PhantomTensor) -> float | None:
    """The number that every cell of the view holds, if it is one and the source says it."""
    values = {run.cell for run in read_runs(tensor)}
    value = values.pop() if len(values) == 1 else None
    return value if isinstance(value, float) else None


def numbers_in(tensor: PhantomTensor) -> list[float] | None:
    """The numbers of the view, if all are known and there are not too many."""
    runs = read_runs(tensor)
    if len(tensor) > LONG or not all(isinstance(run.cell, float | Ramp) for run in runs):
        return None
    return [value for run in runs for value in values_of(run.cell, run.length)]
