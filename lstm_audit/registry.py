"""A table that fills itself from a package's modules.

Comes in: a package whose modules register functions with a decorator. Goes out: the filled table,
in registration order. Promise: adding a reader, a rule or a report is adding one module; nothing
else lists it.
"""

import importlib
import os
from _thread import RLock  # threading's own, whose import takes 1 ms of every start
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


def module_names(folders: Iterable[str]) -> list[str]:
    """The modules and packages in a package's folders, sorted.

    `pkgutil.iter_modules` without what it imports, which takes longer than all our readers; it
    still serves where the package does not lie in a folder (a zip).
    """
    names: set[str] = set()
    for folder in folders:
        try:
            found = os.listdir(folder)
        except NotADirectoryError:
            import pkgutil  # 4 ms that only a listing of all modules needs

            return [module.name for module in pkgutil.iter_modules([*folders])]
        names.update(
            name.removesuffix(".py") for name in found if name.endswith(".py") or "." not in name
        )
    return sorted(name for name in names if not name.startswith("__"))


class Registry(Generic[T]):
    """Named entries that the modules of one package put in; the modules are imported on first use.

    `first` are the modules that `each` imports before the others.
    """

    def __init__(self, package: str, first: Sequence[str] = ()) -> None:
        self._package = package
        self._first = first
        self._entries: dict[str, T] = {}
        self._left: list[str] | None = None
        self._lock = RLock()  # a module that is imported may ask for a table itself

    def add(self, name: str, entry: T) -> T:
        """Register `entry`; two modules may not claim one name."""
        if name in self._entries:
            raise ValueError(f"{name!r} is registered twice in {self._package}")
        self._entries[name] = entry
        return entry

    def named(self, name: str) -> Callable[[T], T]:
        """The decorator form of `add`."""
        return lambda entry: self.add(name, entry)

    def each(self, likely: Sequence[str] = ()) -> Iterator[T]:
        """Every entry; a module is imported when those before it did not suffice, `likely` even
        before the first ones: where their entries suffice, no other is.
        """
        sooner = (*likely, *self._first)
        given = 0
        while fresh := self._entries_from(given, sooner):
            for entry in fresh:
                given += 1
                yield entry

    # Threads that ask at once: one imports, the others wait, so that none of them takes a module
    # that another one is importing for one that suffices no more, or calls what is half there.
    def _entries_from(self, given: int, sooner: Sequence[str]) -> list[T]:
        """The entries after the first `given`, for which modules are imported; none: it has all."""
        with self._lock:
            while given >= len(self._entries) and self._import_next(sooner):
                pass
            return list(self._entries.values())[given:]

    def _import_next(self, sooner: Sequence[str]) -> bool:
        """Import one more module of the package, those of `sooner` first; False when all are
        there.
        """
        if self._left is None:
            names = module_names(importlib.import_module(self._package).__path__)
            self._left = [*self._first, *(name for name in names if name not in self._first)]
        if not self._left:
            return False
        left = self._left
        name = next((name for name in sooner if name in left), left[0])
        left.remove(name)
        importlib.import_module(f"{self._package}.{name}")
        return True

    def _fill(self) -> dict[str, T]:
        with self._lock:
            while self._import_next(self._first):
                pass
        return self._entries

    def __getitem__(self, name: str) -> T:
        return self._fill()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fill())

    def values(self) -> list[T]:
        """Every entry, in the order of registration."""
        return list(self._fill().values())
