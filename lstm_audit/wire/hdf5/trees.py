"""B-trees of both versions: the index of groups, chunks, and dense storage.

Comes in: the address of a root. Goes out: the leaves. Promise: no node is visited twice and levels
descend one by one, so that every walk ends.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from .file import Cursor, File

# Levels of a version 2 tree; with the smallest nodes that is more than the steps of a file.
MAX_DEPTH = 16

# Bytes that one node of a version 2 tree may take.
NODE_SIZES = range(64, (1 << 20) + 1)

# Called with the key left of a child, the child's address, and the key right of it.
Leaf = Callable[[bytes, int, bytes], None]


# A version 1 node holds keys and children in turns: key 0, child 0, key 1, ..., child n-1, key n;
# child k covers what lies between keys k and k+1. What a key is depends on the tree (an offset into
# a heap of names, or the corner of a chunk), so keys stay bytes here. Children of level 0 are the
# leaves: symbol table nodes or chunks. Sibling pointers are passed over: the parent lists them all,
# and following both would be a second way to the same node.
#
# Depth needs no bound of its own: levels must descend one by one and a level is one byte, so that
# the recursion ends after 255 calls whatever the file says.
def walk_tree(
    file: File, at: int, kind: int, key_size: int, leaf: Leaf, below: int | None = None
) -> None:
    """Call `leaf` for every child of a version 1 tree's lowest nodes, in order (III.A.1)."""
    file.visit(at, "B-tree node")
    head = file.cursor(at, 8 + 2 * file.address_size)
    if head.take(4) != b"TREE" or head.unsigned(1) != kind:
        raise file.fail("no B-tree node where one is expected", at)
    level, used = head.unsigned(1), head.unsigned(2)
    if below is not None and level != below - 1:
        raise file.fail("the levels of a B-tree do not descend one by one", at)
    file.step(used)
    size = used * (key_size + file.address_size) + key_size
    entries = file.cursor(at + len(head.data), size)
    left = entries.take(key_size)
    for _ in range(used):
        child, right = entries.address(), entries.take(key_size)
        if level:
            file.follow(partial(walk_tree, file, child, kind, key_size, leaf, level))
        else:
            file.follow(partial(leaf, left, child, right))
        left = right


# A version 2 tree has no sizes in its nodes. How many records a node may hold follows from the node
# size, and how wide the counts beside the child pointers are follows from how many records *could*
# stand below. So the widths are computed level by level from the leaves up, as the library's
# H5B2__hdr_init does; one byte of disagreement and every pointer would be read askew.
class _Layout(NamedTuple):
    """What the header of a version 2 tree says of its nodes: bytes, bytes a record, and by level
    how many records a node holds, and a whole subtree.
    """

    node_size: int
    record_size: int
    most: tuple[int, ...]
    below: tuple[int, ...]


def tree_records(file: File, at: int, smallest: int) -> list[bytes]:
    """The records of a version 2 tree (III.A.2), each of `smallest` bytes or more, level by
    level.
    """
    address, length = file.address_size, file.length_size
    head = file.check_block(at, 22 + address + length, b"BTHD", "B-tree header")
    head.take(2)
    node_size, record_size, depth = head.unsigned(4), head.unsigned(2), head.unsigned(2)
    head.take(2)
    root, count = head.address(), head.unsigned(2)
    if record_size < smallest or node_size not in NODE_SIZES or depth > MAX_DEPTH:
        raise file.fail(
            f"a B-tree of depth {depth}, {node_size} bytes a node, {record_size} a record", at
        )
    layout = _lay_out(file, node_size, record_size, depth)
    records: list[bytes] = []
    nodes = [] if root == file.undefined else [(root, count, depth)]
    # A work list instead of recursion: the tree is wide and no caller depends on the order of the
    # records.
    for place, used, level in nodes:  # children are appended on the way
        if used > layout.most[level]:
            raise file.fail("a B-tree node claims more records than it can hold", place)
        nodes += _node(file, place, used, level, layout, records)
    return records


def _lay_out(file: File, node_size: int, record_size: int, depth: int) -> _Layout:
    """Ten bytes of a node are no records; counts are as wide as the most that can stand below."""
    most = [(node_size - 10) // record_size]
    below = [most[0]]
    for level in range(1, depth + 1):
        pointer = _pointer_size(file, most, below, level)
        most.append(max((node_size - 10 - pointer) // (record_size + pointer), 0))
        below.append((most[-1] + 1) * below[-1] + most[-1])
    return _Layout(node_size, record_size, tuple(most), tuple(below))


def _pointer_size(
    file: File, most: list[int] | tuple[int, ...], below: list[int] | tuple[int, ...], level: int
) -> int:
    """A child's address, how many records it has, and above the lowest two levels how many its
    subtree has.
    """
    return file.address_size + _width(most[0]) + (_width(below[level - 1]) if level > 1 else 0)


def _width(number: int) -> int:
    return (max(number, 1).bit_length() + 7) // 8


def _node(
    file: File, at: int, used: int, level: int, layout: _Layout, records: list[bytes]
) -> list[tuple[int, int, int]]:
    """Add a node's records; its children as (address, records, level)."""
    pointer = _pointer_size(file, layout.most, layout.below, level) if level else 0
    size = 10 + used * layout.record_size + (used + 1) * pointer
    node = file.check_block(at, size, b"BTIN" if level else b"BTLF", "B-tree node")
    node.take(2)
    file.step(used)
    records += [node.take(layout.record_size) for _ in range(used)]
    children = [_child(node, layout, pointer) for _ in range(used + 1 if level else 0)]
    return [(child, count, level - 1) for child, count in children]


def _child(node: Cursor, layout: _Layout, pointer: int) -> tuple[int, int]:
    end = node.at + pointer
    address, count = node.address(), node.unsigned(_width(layout.most[0]))
    node.take(end - node.at)
    return address, count
