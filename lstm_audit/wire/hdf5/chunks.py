"""Chunked datasets: the index of the chunks, and the elements in one piece.

Comes in: a layout message of class 2. Goes out: a span of the elements in C order. Promise: one
plain chunk that holds everything is a place in the file, under the checksum of its filter if it has
one; all else is put together in memory, at most `MAX_ASSEMBLED` bytes a dataset, under the budgets
of the file. Keras never writes chunks; scripts do (`create_dataset(compression=...)`).
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import NamedTuple

from ...raw.span import Span
from .file import Cursor, File
from .filters import FLETCHER32, Filter, undo_filters
from .trees import walk_tree
from .types import count_elements

# Bytes of one dataset, and of one chunk, that are put together: a bias has at most half as many.
MAX_ASSEMBLED = 8 << 20

# What one chunk of a tree costs beside a link or a message.
CHUNK_STEPS = 10

# The node type of a version 1 B-tree of chunks.
CHUNK_TREE = 1

# Chunk indexes: of layout version 3, and 1 to 3 of versions 4 and 5 (IV.A.2.i).
TREE, SINGLE, IMPLICIT, FIXED = 0, 1, 2, 3

# The flag of layout 4: the one chunk went through filters.
SINGLE_FILTERED = 2


class Chunked(NamedTuple):
    """What is known before the layout message is read on: `body` stands behind the class;
    `largest` is what the shape may grow to.
    """

    file: File
    body: Cursor
    version: int
    filters: Sequence[Filter]
    shape: tuple[int, ...]
    largest: tuple[int, ...]
    itemsize: int


class Grid(NamedTuple):
    """The chunks of a dataset: the shape of one, its bytes, the kind and the address of their
    index.
    """

    chunk: tuple[int, ...]
    size: int
    indexed: int
    at: int
    single: tuple[int, int] | None


class Chunk(NamedTuple):
    """One stored chunk: its address, its bytes there, the filters that were left out, its first
    element's place.
    """

    at: int
    stored: int
    skipped: int
    corner: tuple[int, ...]


# Chunked data is the one storage in which elements may not lie as they are: filters, padding at the
# edges, any order of chunks. Two cases are told apart. One chunk over everything, with at most a
# checksum behind it, is a place in the file and can be patched. Everything else is put together in
# memory and can be judged only: writing it back would mean compressing it anew, to another size.
def locate_chunks(dataset: Chunked, fill: Callable[[], bytearray]) -> Span:
    """The elements of a chunked dataset."""
    grid = _read_grid(dataset)
    chunks = [] if grid.at == dataset.file.undefined else list(_chunks(dataset, grid))
    if len(chunks) == 1 and _covers(dataset, grid, chunks[0]):
        return _place(dataset, grid, chunks[0])
    elements = fill()
    for chunk in chunks:
        dataset.file.inflate(grid.size, chunk.at)
        raw = dataset.file.read(chunk.at, chunk.stored)
        raw = undo_filters(dataset.file, dataset.filters, chunk.skipped, raw, grid.size, chunk.at)
        _scatter(dataset, grid, chunk, raw, elements)
    return dataset.file.span.compute(bytes(elements), ", from chunks")


def _read_grid(dataset: Chunked) -> Grid:
    """The rest of the layout message; the last axis of a chunk is the size of an element."""
    file, body = (
        dataset.file,
        Cursor(dataset.file, dataset.body.data, dataset.body.start, dataset.body.at),
    )
    at = body.start
    single = None
    if dataset.version == 3:
        rank = body.unsigned(1)
        tree, index = body.address(), TREE
        axes = tuple(body.unsigned(4) for _ in range(rank))
    else:
        flags, rank, width = body.unsigned(1), body.unsigned(1), body.unsigned(1)
        axes = tuple(body.unsigned(width) for _ in range(rank))
        index = body.unsigned(1)
        if index not in (SINGLE, IMPLICIT, FIXED):
            raise file.fail(
                "its chunks can grow (extensible array, B-tree 2): rewrite it", at, "unsupported"
            )
        if index == SINGLE and flags & SINGLE_FILTERED:
            single = body.length(), body.unsigned(4)
        body.take(int(index == FIXED))
        tree = body.address()
    chunk = axes[:-1]
    size = count_elements(chunk) * dataset.itemsize
    if rank != len(dataset.shape) + 1 or 0 in chunk:
        raise file.fail(f"chunks of shape {chunk} for a dataset of shape {dataset.shape}", at)
    if size > MAX_ASSEMBLED:
        raise file.fail(f"chunks of {size} bytes; at most {MAX_ASSEMBLED} are read", at, "limit")
    return Grid(chunk, size, index, tree, single)


def _chunks(dataset: Chunked, grid: Grid) -> Iterator[Chunk]:
    """Every stored chunk, checked to begin inside the dataset."""
    for chunk in _read_index(dataset, grid):
        dataset.file.step()
        if not _inside(dataset, chunk.corner):
            raise dataset.file.fail("a chunk lies outside of its dataset", chunk.at)
        yield chunk


# The kinds of index are tried by number. Extensible arrays and version 2 trees index datasets with
# an unlimited axis; no weight has one, so they are refused by name and not read.
def _read_index(dataset: Chunked, grid: Grid) -> Iterator[Chunk]:
    if grid.indexed == TREE:
        found: list[Chunk] = []
        key_size = 8 + 8 * (len(dataset.shape) + 1)
        walk_tree(
            dataset.file, grid.at, CHUNK_TREE, key_size, partial(_add_chunk, dataset, grid, found)
        )
        yield from found
    elif grid.indexed == SINGLE:
        stored, skipped = grid.single or (grid.size, 0)
        yield Chunk(grid.at, stored, skipped, (0,) * len(dataset.shape))
    elif grid.indexed == IMPLICIT:
        for k, corner in enumerate(_corners(dataset, grid)):
            if _inside(dataset, corner):
                yield Chunk(grid.at + k * grid.size, grid.size, 0, corner)
    else:
        yield from _read_fixed_array(dataset, grid)


def _add_chunk(
    dataset: Chunked, grid: Grid, found: list[Chunk], left: bytes, at: int, right: bytes
) -> None:
    """A child of the tree. The library looks for a chunk between the keys, so that these must rise,
    and be multiples of a chunk.
    """
    dataset.file.step(CHUNK_STEPS)
    corner, after = _corner(left), _corner(right)
    aligned = all(a % step == 0 for a, step in zip(corner, (*grid.chunk, 1), strict=True))
    if corner >= after or corner[-1] or not aligned:
        raise dataset.file.fail("the keys of a tree of chunks are out of order", at)
    stored, skipped = int.from_bytes(left[:4], "little"), int.from_bytes(left[4:8], "little")
    found.append(Chunk(at, stored, skipped, corner[:-1]))


def _corner(key: bytes) -> tuple[int, ...]:
    """A key holds stored bytes, a filter mask, and the offset along each axis, and within an
    element, which is 0 (III.A.1).
    """
    return tuple(int.from_bytes(key[k : k + 8], "little") for k in range(8, len(key), 8))


def _corners(dataset: Chunked, grid: Grid) -> Iterator[tuple[int, ...]]:
    """The first element of each chunk, in C order, of all that the dataset may grow to."""
    number = _number(dataset, grid)
    dataset.file.step(number)  # before `product` makes a tuple of every axis
    axes = list(zip(dataset.largest, grid.chunk, strict=True)) if number else [(0, 1)]
    return product(*(range(0, size, step) for size, step in axes))


def _number(dataset: Chunked, grid: Grid) -> int:
    """How many chunks all that the dataset may grow to takes."""
    axes = zip(dataset.largest, grid.chunk, strict=True)
    return count_elements(tuple(-(-size // step) for size, step in axes))


def _inside(dataset: Chunked, corner: tuple[int, ...]) -> bool:
    return all(0 <= place < size for place, size in zip(corner, dataset.shape, strict=True))


def _read_fixed_array(dataset: Chunked, grid: Grid) -> Iterator[Chunk]:
    """A fixed array without pages: header FAHD, one block FADB (VII.C)."""
    file = dataset.file
    head = file.check_block(
        grid.at, 12 + file.length_size + file.address_size, b"FAHD", "array of chunks"
    )
    head.take(1)
    filtered, width, page = head.unsigned(1), head.unsigned(1), head.unsigned(1)
    number, block = head.length(), head.address()
    if (
        number != _number(dataset, grid)
        or number > 1 << min(page, 20)
        or width < file.address_size + 5 * bool(filtered)
    ):
        raise file.fail(
            "an array of chunks in pages, or of another size than the dataset",
            grid.at,
            "unsupported",
        )
    entries = file.check_block(
        block, 10 + file.address_size + number * width, b"FADB", "block of chunks"
    )
    entries.take(2 + file.address_size)
    for corner in _corners(dataset, grid):
        at = entries.address()
        stored, skipped = grid.size, 0
        if filtered:
            stored, skipped = entries.unsigned(width - file.address_size - 4), entries.unsigned(4)
        if at != file.undefined and _inside(dataset, corner):
            yield Chunk(at, stored, skipped, corner)


def _covers(dataset: Chunked, grid: Grid, chunk: Chunk) -> bool:
    """Whether the one chunk holds all elements end to end, and at most a checksum was put behind
    them.
    """
    applied = [step.number for k, step in enumerate(dataset.filters) if not chunk.skipped >> k & 1]
    rows = (
        bool(dataset.shape)
        and dataset.shape[0] <= grid.chunk[0]
        and dataset.shape[1:] == grid.chunk[1:]
    )
    return rows and applied in ([], [FLETCHER32]) and chunk.stored == grid.size + 4 * len(applied)


def _place(dataset: Chunked, grid: Grid, chunk: Chunk) -> Span:
    """The elements where they lie; a fletcher32 stands behind the chunk."""
    elements = dataset.file.span[chunk.at : chunk.at + grid.size]
    if chunk.stored > grid.size:
        kept = dataset.file.span[chunk.at + grid.size : chunk.at + chunk.stored]
        elements = elements.add_seal(
            int.from_bytes(kept.read(), "little"), kept.start, kind="fletcher32"
        )
    return elements[: count_elements(dataset.shape) * dataset.itemsize]


# Chunks at the edge of a dataset are stored whole, with rows that reach beyond it: each row is cut
# to what the dataset has left along the last axis.
def _scatter(dataset: Chunked, grid: Grid, chunk: Chunk, raw: bytes, elements: bytearray) -> None:
    """Copy a chunk row by row to its elements' places; what reaches beyond the dataset is
    dropped.
    """
    size, shape = dataset.itemsize, dataset.shape
    dataset.file.step(count_elements(grid.chunk[:-1]))
    steps = [size * count_elements(shape[axis + 1 :]) for axis in range(len(shape))]
    row = grid.chunk[-1] * size if shape else size
    run = min(row, (shape[-1] - chunk.corner[-1]) * size) if shape else size
    for k, index in enumerate(product(*(range(n) for n in grid.chunk[:-1]))):
        place = [a + b for a, b in zip(chunk.corner, index, strict=False)]
        if all(p < n for p, n in zip(place, shape, strict=False)):
            to = sum(p * step for p, step in zip(place, steps, strict=False)) + (
                chunk.corner[-1] * steps[-1] if shape else 0
            )
            elements[to : to + run] = raw[k * row : k * row + run]
