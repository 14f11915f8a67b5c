"""Which files and which layers a pattern means.

Comes in: a path or an address, and globs. Goes out: whether one matches, and paths that read the
same on every machine. Promise: matching takes time linear in pattern times path, whatever the
pattern, and never touches a file's contents.
"""

import os
from collections.abc import Iterable
from fnmatch import fnmatchcase

from ..errors import BadPolicy
from ..lstm.layer import ROOT


def patterns_of(given: str | Iterable[str]) -> tuple[str, ...]:
    """One glob or several, as a tuple; raises `BadPolicy` for what is none."""
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise BadPolicy(f"a glob is a string, or several are, not {given!r}")
    patterns = (given,) if isinstance(given, str) else tuple(given)
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise BadPolicy(f"a glob is a string, not {pattern!r}")
    return patterns


def matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    """Whether a glob matches one of the names of a place (`Identity.names`); `*` crosses dots."""
    names = tuple(names)
    return any(fnmatchcase(name, pattern) for pattern in patterns for name in names)


def names_of_address(address: str) -> tuple[str, ...]:
    """The names of a place of which only the written address is left."""
    module = address.partition(":l")[0]
    written = (address, address.partition("@")[0])
    return (module or ROOT, *written, *(ROOT + one for one in written if not module))


def matches_module(module: str, patterns: Iterable[str]) -> bool:
    """Whether a glob may mean something of a module, of which it is not known what: `enc:l0` may
    mean what was skipped as `enc`.
    """
    parts = [part for glob in patterns for part in (glob, glob.rpartition(":l")[0]) if part]
    return matches((module or ROOT,), parts)


def file_matches(path: str, folder: str, patterns: Iterable[str]) -> bool:
    """Whether a glob matches the path as given, or relative to `folder` (the one of the
    configuration file).
    """
    candidates = {slash(os.path.normpath(path))}
    if folder:
        candidates.add(relative_to(path, folder))
    return any(_match(path, pattern) for pattern in patterns for path in candidates)


def _match(path: str, pattern: str) -> bool:
    """As in .gitignore: `**` is any number of folders, no `/` is a name in any folder, an end in
    `/` is all below.
    """
    pattern = slash(pattern).removeprefix("./")
    if "/" not in pattern:
        pattern = f"**/{pattern}"
    if pattern.endswith("/"):
        pattern += "**"
    return _match_parts(path.split("/"), pattern.split("/"))


# A set of positions instead of backtracking, as in Thompson's construction: `**/a/**/a/**` over a
# path of many `a` takes time linear in the product of their lengths and never exponential.
def _match_parts(parts: list[str], globs: list[str]) -> bool:
    """All readings of `**` at once: the positions in `globs` that the parts so far can have led
    to.
    """
    alive = _behind_stars({0}, globs)
    for part in parts:
        step = {
            n if globs[n] == "**" else n + 1
            for n in alive
            if n < len(globs) and _fits(part, globs[n])
        }
        alive = _behind_stars(step, globs)
    return len(globs) in alive


def _fits(part: str, glob: str) -> bool:
    return glob == "**" or fnmatchcase(part, glob)


def _behind_stars(alive: set[int], globs: list[str]) -> set[int]:
    """`**` may be nothing: where it stands next, what follows it stands next too."""
    found = set(alive)
    for n, glob in enumerate(globs):
        if n in found and glob == "**":
            found.add(n + 1)
    return found


def relative_to(path: str, folder: str) -> str:
    """A path as seen from a folder, with forward slashes.

    Names are compared as they are spelled; where that leads out of the folder, links are resolved
    first, so that `/tmp/x` and `/private/tmp/x` are one place. An object's `<LSTM>` stays as it is.
    """
    if path.startswith("<") and path.endswith(">"):
        return path
    spelled = _relative(os.path.abspath(path), os.path.abspath(folder))
    if not spelled.startswith(".."):
        return spelled
    resolved = _relative(os.path.realpath(path), os.path.realpath(folder))
    return spelled if resolved.startswith("..") else resolved


def _relative(path: str, folder: str) -> str:
    try:
        return slash(os.path.relpath(path, folder))
    except ValueError:  # another drive: there is no way from one to the other
        return slash(path)


def slash(path: str) -> str:
    """The path with forward slashes."""
    return path.replace(os.sep, "/")
