"""One HDF5 file as bounded reads: its superblock, and the budgets of one reading.

Comes in: the span of a file. Goes out: `File`, whose addresses count from the signature, and
`Cursor`, a walk over bytes that were read. Promise: every number in the file is a claim; whatever
it says, one reading reads at most `MAX_READ` bytes of structures, takes at most `MAX_STEPS` steps,
and meets no block twice.

Layouts: HDF5 File Format Specification, version 4.0 (sections are named where they are read).
"""

from collections.abc import Callable
from typing import TypeVar

from ...errors import MalformedFile
from ...raw.checksums import lookup3
from ...raw.span import Span

Followed = TypeVar("Followed")

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Where the signature may stand; MATLAB keeps 512 bytes of its own before it.
USER_BLOCKS = (0, *(512 << k for k in range(8)))

# Bytes of structures (not of data) of one file. A model of 1000 layers has about one megabyte.
MAX_READ = 64 << 20

# Messages, links, tree entries and chunks of one file, each about a microsecond.
MAX_STEPS = 400_000

# Bytes of structures whose lookup3 is computed: 0.2 microseconds each in pure Python.
MAX_CHECKED = 4 << 20

# Bytes of chunks of one file that are put together, all datasets together.
MAX_INFLATED = 64 << 20

# Bytes that an address or a length may take.
SIZES = (2, 4, 8)

_SUPERBLOCK = 96  # bytes that hold any version with sizes of 8


# Strategy of the HDF5 reader. The format is a graph of structures that point at each other by
# absolute address, and every pointer is a number in the file. The C library trusts many of them:
# mutants crashed and hung it. Here three rules hold everywhere:
#
# - a structure is read by `cursor` or `checked_block`, whose sizes are spent from one budget;
# - a structure that can be reached by a pointer is entered in `seen` (`visit`): a second arrival is
# refused, so that no walk can loop and no two parents can share a child;
# - anything that repeats (messages, links, records, chunks) takes steps, before it is built.
#
# With those, each module below can be written as straight recursive descent.
class File:
    """One file being read: its bytes from the signature on, its sizes, and what is left to
    spend.
    """

    __slots__ = (
        "address_size", "checked", "inflated", "length_size", "read_bytes", "root", "seen", "span",
        "steps", "undefined",
    )  # fmt: skip

    def __init__(self, span: Span) -> None:
        self.span = span[_signature_at(span) :]
        self.steps = self.read_bytes = self.checked = self.inflated = 0
        self.seen = set[tuple[int, str]]()
        self.address_size = self.length_size = 8
        self.undefined = 0
        self.root = _read_superblock(self)

    def fail(self, message: str, at: int, kind: str | None = None) -> MalformedFile:
        """The error of a structure at the address `at`."""
        return MalformedFile(message, self.span.place(at), kind)

    def step(self, count: int = 1) -> None:
        """Spend `count` steps of the budget."""
        self.steps += count
        if self.steps > MAX_STEPS:
            message = f"the HDF5 file has over {MAX_STEPS} links, messages and tree entries"
            raise MalformedFile(message, kind="limit")

    def inflate(self, size: int, at: int) -> None:
        """Spend `size` bytes of what may be put together in memory."""
        self.inflated += size
        if self.inflated > MAX_INFLATED:
            raise self.fail(f"over {MAX_INFLATED} bytes of chunks are needed", at, "limit")

    def visit(self, at: int, what: str) -> None:
        """Meet a block of a structure; a second time would be a loop, or two owners of one
        block.
        """
        self.step()
        if (at, what) in self.seen:
            raise self.fail(f"the same {what} is reached twice", at)
        self.seen.add((at, what))

    def read(self, at: int, size: int) -> bytes:
        """`size` bytes of a structure at the address `at`; raises beyond the end or the budget."""
        self.read_bytes += size
        if self.read_bytes > MAX_READ:
            raise self.fail(f"over {MAX_READ} bytes of structures are pointed at", 0, "limit")
        return self.span[at : at + size].read()

    def follow(self, branch: Callable[[], Followed]) -> Followed | None:
        """What comes of one of several branches; None only where a reader looks ahead
        (`fetch`) and what the branch needs is not there yet.
        """
        return branch()

    def cursor(self, at: int, size: int) -> "Cursor":
        """A walk over `size` bytes at the address `at`."""
        return Cursor(self, self.read(at, size), at)

    def verify(self, at: int, data: bytes, what: str) -> None:
        """Hold a block, whose last four bytes are its lookup3, against it."""
        self.checked += len(data)
        if self.checked > MAX_CHECKED:
            message = f"over {MAX_CHECKED} bytes of structures have checksums"
            raise self.fail(message, at, "limit")
        if len(data) < 4 or lookup3(data[:-4]) != int.from_bytes(data[-4:], "little"):
            raise self.fail(f"the checksum of a {what} is wrong", at)

    def check_block(self, at: int, size: int, signature: bytes, what: str) -> "Cursor":
        """A version 2 structure of `size` bytes with its checksum, from behind its signature on."""
        self.visit(at, what)
        data = self.read(at, size)
        if data[:4] != signature:
            raise self.fail(f"no {what} where one is expected", at)
        self.verify(at, data, what)
        return Cursor(self, data[:-4], at, 4)


class Cursor:
    """A walk over bytes in memory, which stand at the address `start`; running out is an error."""

    __slots__ = ("at", "data", "file", "start")

    def __init__(self, file: File, data: bytes, start: int, at: int = 0) -> None:
        self.file, self.data, self.start, self.at = file, data, start, at

    @property
    def left(self) -> int:
        """How many bytes are still to come."""
        return len(self.data) - self.at

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        at = self.at
        if not 0 <= size <= len(self.data) - at:
            message = "an HDF5 structure is shorter than its own fields"
            raise self.file.fail(message, self.start + at, "truncated")
        self.at = at + size
        return self.data[at : self.at]

    def unsigned(self, size: int) -> int:
        """The next `size` bytes as a little-endian number."""
        return int.from_bytes(self.take(size), "little")

    def address(self) -> int:
        """The next address; `File.undefined` stands for none."""
        return int.from_bytes(self.take(self.file.address_size), "little")

    def length(self) -> int:
        """The next length."""
        return int.from_bytes(self.take(self.file.length_size), "little")


def is_hdf5(span: Span) -> bool:
    """Whether the signature stands at one of its places."""
    return _find_signature(span) is not None


# The format allows a user block of 512 bytes, 1024, and so on doubled, before the signature (II.A).
# Places are tried in that order and the first match counts, as the library does.
def _find_signature(span: Span) -> int | None:
    for at in USER_BLOCKS:
        if at + len(SIGNATURE) > span.size:
            return None
        if span[at : at + len(SIGNATURE)].read() == SIGNATURE:
            return at
    return None


def _signature_at(span: Span) -> int:
    at = _find_signature(span)
    if at is None:
        raise MalformedFile("no HDF5 signature", span.at)
    return at


def _read_superblock(file: File) -> int:
    """The address of the root group's header (II. Superblock)."""
    head = file.cursor(0, min(_SUPERBLOCK, file.span.size))
    head.take(len(SIGNATURE))
    version = head.unsigned(1)
    if version > 3:
        raise file.fail(f"superblock version {version}; 0 to 3 are read", 8, "unsupported")
    return _old_superblock(file, head, version) if version < 2 else _new_superblock(file, head)


# Versions 0 and 1 have no checksum. They carry the sizes of B-tree nodes, which only a writer
# needs, and the root as a symbol table entry, of which the second address is that of the header.
def _old_superblock(file: File, head: Cursor, version: int) -> int:
    head.take(4)
    _set_sizes(file, head)
    head.take(9 + 4 * version)
    base, _, end, _ = (head.address() for _ in range(4))
    _check_end(file, base, end)
    head.address()  # the root's name
    return head.address()


def _new_superblock(file: File, head: Cursor) -> int:
    _set_sizes(file, head)
    head.take(1)
    base, _, end, root = (head.address() for _ in range(4))
    head.take(4)
    file.verify(0, head.data[: head.at], "superblock")
    _check_end(file, base, end)
    return root


def _set_sizes(file: File, head: Cursor) -> None:
    file.address_size, file.length_size = head.unsigned(1), head.unsigned(1)
    if file.address_size not in SIZES or file.length_size not in SIZES:
        message = f"addresses of {file.address_size} bytes and lengths of {file.length_size}"
        raise file.fail(message, 8, "unsupported")
    file.undefined = (1 << 8 * file.address_size) - 1


# Some tools prepend a user block without updating the base address, and h5py still opens such
# files: addresses then count from the signature all the same. A base that is no possible place of a
# signature is refused.
def _check_end(file: File, base: int, end: int) -> None:
    """Addresses count from the signature: `base` is its place in the file, or was before a user
    block came.
    """
    size = file.span.size
    if base and base != file.span.start:
        message = f"addresses count from byte {base}, but the signature is at {file.span.start}"
        if base not in USER_BLOCKS:
            raise file.fail(message, 0, "unsupported")
    if end - base > size:
        message = f"{end - base} bytes are claimed, but there are {size}; was the file cut short?"
        raise file.fail(message, size, "truncated")
