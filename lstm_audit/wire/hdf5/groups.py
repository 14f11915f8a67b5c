"""Groups: the names in them, and the addresses behind the names.

Comes in: the messages of a group. Goes out: (name, address) of every hard link, in the file's
order. Promise: soft links, which are second names, are left out; a link into another file is
refused, for what it leads to is not in these bytes.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from .dense import dense_records
from .file import Cursor, File
from .header import LINK, LINK_INFO, SYMBOL_TABLE, Message
from .trees import walk_tree

# Bytes of one group's names.
MAX_HEAP = 1 << 24

# Bytes of one name; Keras writes some forty.
MAX_NAME = 1024

# The node type of a version 1 B-tree of symbol tables.
GROUP_TREE = 0

# The cache type of a symbol table entry that is a soft link.
SOFT_CACHE = 2

HARD, SOFT = 0, 1

Link = tuple[str, int]


# Two generations. An old group (before 1.8, and h5py's default still) is a symbol table: a B-tree
# of nodes whose entries point into a heap of names. A new one keeps its links as messages in the
# header, until there are more than eight; then they move into dense storage. An object header may
# carry either; a file may mix both.
def read_links(file: File, messages: Sequence[Message]) -> list[Link]:
    """Every hard link of a group, old or new; none for a dataset."""
    links: list[Link] = []
    for message in messages:
        if message.kind == SYMBOL_TABLE:
            body = Cursor(file, message.body, message.at)
            links += _symbols(file, body.address(), body.address())
        elif message.kind == LINK:
            links += _link(file, message.body, message.at)
        elif message.kind == LINK_INFO:
            for record in _dense_links(file, message):
                links += _link(file, record, message.at)
    return links


def _dense_links(file: File, message: Message) -> Iterator[bytes]:
    """The link messages in a fractal heap (IV.A.2.c); a record is a hash and a heap ID."""
    body = Cursor(file, message.body, message.at, 1)
    body.take(8 * (body.unsigned(1) & 1))
    return dense_records(file, body.address(), body.address(), slice(4, None))


def _link(file: File, raw: bytes, at: int) -> list[Link]:
    """One link message (IV.A.2.g): a list of one, or of none for a soft link."""
    body = Cursor(file, raw, at, 1)
    flags = body.unsigned(1)
    kind = body.unsigned(1) if flags & 8 else HARD
    body.take(8 * (flags >> 2 & 1) + (flags >> 4 & 1))
    name = _name(file, body.take(body.unsigned(1 << (flags & 3))), at)
    if kind not in (HARD, SOFT):
        message = (
            f"{name!r} is a link to another file, or of a kind of its own; only one file is read"
        )
        raise file.fail(message, at, "unsupported")
    return [(name, body.address())] if kind == HARD else []


def _symbols(file: File, tree: int, heap: int) -> list[Link]:
    """The entries of an old group: a B-tree of symbol table nodes, their names in a local heap
    (III.A.1, III.B).
    """
    links: list[Link] = []
    names = file.follow(partial(_local_heap, file, heap))
    walk_tree(file, tree, GROUP_TREE, file.length_size, partial(_add_symbols, file, names, links))
    return links


def _add_symbols(
    file: File, names: bytes | None, links: list[Link], left: bytes, at: int, right: bytes
) -> None:
    """One symbol table node: name offset, header address, cache type, 4 reserved and 16 of scratch
    an entry.
    """
    file.visit(at, "symbol table node")
    head = file.read(at, 8)
    if head[:4] != b"SNOD":
        raise file.fail("no symbol table node where one is expected", at)
    count = int.from_bytes(head[6:], "little")
    file.step(count)
    entries = file.cursor(at + 8, count * (2 * file.address_size + 24))
    for _ in range(count):
        offset, address, cache = entries.address(), entries.address(), entries.unsigned(4)
        entries.take(20)
        if cache != SOFT_CACHE:
            links.append((_name_in(file, names, offset, at), address))


def _name_in(file: File, names: bytes | None, offset: int, at: int) -> str:
    """A name of a local heap; of one that is not there yet, something in its place."""
    if names is None:
        return "?"
    end = names.find(b"\0", offset, offset + MAX_NAME + 1)
    return _name(file, names[offset : max(end, 0)], at)


# The heap's data segment lies elsewhere and is NUL-terminated text. One NUL more is put behind it,
# so that a last name without its end is cut there and not searched for beyond.
def _local_heap(file: File, at: int) -> bytes:
    """The data segment of a local heap (III.D)."""
    head = file.cursor(at, 8 + 2 * file.length_size + file.address_size)
    if head.take(4) != b"HEAP":
        raise file.fail("no heap of names where one is expected", at)
    head.take(4)
    size, _, address = head.length(), head.length(), head.address()
    if size > MAX_HEAP:
        raise file.fail(
            f"a heap of names has {size} bytes; at most {MAX_HEAP} are read", at, "limit"
        )
    return file.read(address, size) + b"\0"


def _name(file: File, raw: bytes, at: int) -> str:
    if not 0 < len(raw) <= MAX_NAME or b"\0" in raw or b"/" in raw:
        raise file.fail(f"a link has no name, or an impossible one: {raw[:64]!r}", at)
    return raw.decode("utf-8", "replace")
