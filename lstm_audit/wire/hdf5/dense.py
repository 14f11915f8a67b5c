"""Dense storage: links and attributes that a fractal heap holds and a version 2 B-tree indexes.

Comes in: the addresses of the heap and the tree. Goes out: the stored messages. Promise: an object
is read from one direct block, within its bounds; filtered and huge objects are said, not guessed.

h5py writes it with libver='latest' or track_order where an object has more than eight links or
attributes. Keras does not ask for it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from .file import Cursor, File
from .trees import tree_records

# Columns of the doubling table, bytes of a direct block, rows of the root (III.G).
MAX_WIDTH, MAX_DIRECT, MAX_ROWS = 1 << 10, 1 << 24, 64

# How an object is kept, bits 4 and 5 of its heap ID.
MANAGED, TINY = 0, 2


# A fractal heap is one address space of offsets, spread over blocks whose sizes double row by row
# (III.G). Instead of computing the row and column of an offset for every object, as the library
# does, all direct blocks are listed once, with the range of offsets that each covers; an object is
# then found by its range. A heap of links has a handful of blocks, and the file's steps bound the
# rest.
class Heap(NamedTuple):
    """A fractal heap: its direct blocks as (offset in the heap, size, address), and the widths of a
    heap ID's parts.
    """

    blocks: tuple[tuple[int, int, int], ...]
    offset_width: int
    length_width: int


class _Table(NamedTuple):
    """The doubling table: row r has `width` blocks of `start` << max(r - 1, 0) bytes, the first
    `direct` rows direct ones.
    """

    width: int
    start: int
    direct: int
    offset_width: int

    def block_size(self, row: int) -> int:
        return self.start << max(row - 1, 0)

    def rows_of(self, size: int) -> int:
        """How many rows an indirect block of `size` bytes has."""
        return size.bit_length() - self.start.bit_length() - self.width.bit_length() + 2


def dense_records(file: File, heap: int, tree: int, heap_id: slice) -> Iterator[bytes]:
    """Every stored message; `heap_id` is where a record of the tree keeps its heap ID."""
    if file.undefined in (heap, tree):
        return
    opened = _open_heap(file, heap)
    for record in tree_records(file, tree, 8 if heap_id.stop else 11):
        yield _object(file, opened, record[heap_id], heap)


# Free-space management, statistics and "huge" objects of the header are passed over: they say
# nothing about where a managed object lies.
def _open_heap(file: File, at: int) -> Heap:
    """The heap's header and all of its blocks (III.G)."""
    head = file.check_block(
        at, 26 + 12 * file.length_size + 3 * file.address_size, b"FRHP", "fractal heap"
    )
    head.take(3)
    filters = head.unsigned(2)
    head.take(1)
    largest = head.unsigned(4)
    head.take(10 * file.length_size + 2 * file.address_size)
    width, start, most, bits = head.unsigned(2), head.length(), head.length(), head.unsigned(2)
    head.take(2)
    root, rows = head.address(), head.unsigned(2)
    possible = (
        0 < width <= MAX_WIDTH
        and 0 < start <= most <= MAX_DIRECT
        and bits <= 64
        and rows <= MAX_ROWS
    )
    if filters or not possible:
        raise file.fail(
            "a fractal heap is compressed, or has an impossible table", at, "unsupported"
        )
    offset_width = (bits + 7) // 8
    table = _Table(width, start, most.bit_length() - start.bit_length() + 2, offset_width)
    blocks: list[tuple[int, int, int]] = []
    if root != file.undefined and rows:
        _add_blocks(file, table, root, rows, 0, blocks)
    elif root != file.undefined:
        blocks.append((0, start, root))
    length_width = min((most.bit_length() + 6) // 8 or 1, (max(largest, 1).bit_length() + 7) // 8)
    return Heap(tuple(blocks), offset_width, length_width)


# The blocks of a row come one after another in the heap's offsets, whether or not they exist in the
# file: an absent child (the undefined address) still takes its share of the offsets.
def _add_blocks(
    file: File, table: _Table, at: int, rows: int, base: int, blocks: list[tuple[int, int, int]]
) -> None:
    """The direct blocks below an indirect one, which begins at the offset `base` of the heap."""
    count = table.width * max(rows, 0)
    file.step(count)
    size = 5 + file.address_size + table.offset_width + count * file.address_size + 4
    children = file.check_block(at, size, b"FHIB", "indirect block of a heap")
    children.take(1 + file.address_size + table.offset_width)
    for k in range(count):
        row, child = k // table.width, children.address()
        if child != file.undefined and row < table.direct:
            blocks.append((base, table.block_size(row), child))
        elif child != file.undefined:
            _add_blocks(file, table, child, table.rows_of(table.block_size(row)), base, blocks)
        base += table.block_size(row)


def _object(file: File, heap: Heap, heap_id: bytes, at: int) -> bytes:
    """The bytes that a heap ID names."""
    body = Cursor(file, heap_id, at)
    first = body.unsigned(1)
    kind = first >> 4 & 3
    if kind == TINY:
        return body.take((first & 15) + 1)
    offset, size = body.unsigned(heap.offset_width), body.unsigned(heap.length_width)
    for base, room, address in heap.blocks if kind == MANAGED else ():
        file.step()
        if base <= offset and offset + size <= base + room:
            return file.read(address + offset - base, size)
    raise file.fail("an object of a fractal heap is not in its blocks", at, "unsupported")
