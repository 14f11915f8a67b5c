"""The bytes of a live storage as a source.

Comes in: a size, and who fetches a range. Goes out: a `Source`. Promise: an object in memory is
read as a file is, in ranges.
"""

from collections.abc import Callable
from typing import NamedTuple

from .budget import Budget


class MemorySource(NamedTuple):
    """The bytes of a live storage. They have an address, but no place in a file."""

    size: int
    fetch: Callable[[int, int], bytes]
    budget: Budget
    name: str = "memory"
    placed: bool = False
    far: bool = False

    def read(self, at: int, n: int) -> bytes:
        """Exactly `n` bytes from `at`; a `Span` has checked the bounds."""
        return self.fetch(at, n) if n else b""


def open_memory(size: int, fetch: Callable[[int, int], bytes], budget: Budget) -> MemorySource:
    """The `size` bytes of a storage, of which `fetch(at, n)` gives `n` from `at`."""
    return MemorySource(size, fetch, budget)
