"""Named tensors, each located when it is asked for.

Comes in: what a container says of each tensor, and the function that locates one. Goes out: a
mapping from names to tensors. Promise: a tensor that nobody asks for costs nothing, and its shape,
which is asked of every weight, no more than the container's word for it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from .tensor import Tensor

# What a container says of one tensor before it is located.
Claimed = TypeVar("Claimed")

Shape = tuple[int, ...]
Announce = Callable[[Iterable[str]], None]


class Tensors(Mapping[str, Tensor], Generic[Claimed]):
    """`build` locates a tensor; `shape` gives the shape that is claimed of it, or None where the
    claim alone does not tell. `announce` is told the names that are about to be asked for, where
    that lets a reader fetch them together.
    """

    __slots__ = ("_build", "_built", "_claims", "_shape", "_shapes", "announce")

    def __init__(
        self,
        claims: Mapping[str, Claimed],
        build: Callable[[str, Claimed], Tensor],
        shape: Callable[[str, Claimed], Shape | None] | None = None,
        announce: Announce | None = None,
    ) -> None:
        self.announce = announce
        self._claims = claims
        self._build = build
        self._shape = shape
        self._built: dict[str, Tensor] = {}
        self._shapes: dict[str, Shape] = {}

    def shape_of(self, name: str) -> Shape:
        """A tensor's shape, as far as possible from its claim alone."""
        known = self._shapes.get(name)
        if known is None:
            claimed = self._shape(name, self._claims[name]) if self._shape else None
            known = self._shapes[name] = self[name].shape if claimed is None else claimed
        return known

    @property
    def located(self) -> Mapping[str, Tensor]:
        """Those that were asked for so far, in that order."""
        return self._built

    def __getitem__(self, name: str) -> Tensor:
        built = self._built.get(name)
        if built is None:
            built = self._built[name] = self._build(name, self._claims[name])
        return built

    def __contains__(self, name: object) -> bool:
        return name in self._claims

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)


def hold_tensors(tensors: Mapping[str, Tensor]) -> Tensors[Tensor]:
    """Tensors that are located already."""
    return Tensors(tensors, _itself)


def _itself(name: str, tensor: Tensor) -> Tensor:
    return tensor
