"""Paths, folders and globs into the files of a run.

Comes in: what the user typed. Goes out: `Input`s in a stable order. Promise: symlink loops end, a
folder with an index file and its shards is one checkpoint, and a path that does not exist is said
before anything is read.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence

from .errors import AuditError, BadPolicy, MalformedFile, MissingFile, Unreadable
from .formats import list_suffixes
from .policy.globs import file_matches
from .raw.locators import STDIN, is_remote, label, refuse_half
from .raw.source import open_source
from .raw.span import span_all
from .tuples import NamedTuple

# Bytes of an .xml file in which an OpenVINO net names itself.
NET_HEAD = 4096

# How the name of a sharded checkpoint's index ends.
INDEX = (".index.json", ".weights.json")

# Called with (files done, files in all) after every file.
Progress = Callable[[int, int], None]

# A data file of a TensorFlow checkpoint, by its name; its numbers say nothing by themselves.
_DATA = r"(.+)\.data-\d{5}-of-\d{5}"

# A SavedModel's graph, and the folder beside it with the weights, which are what is read.
SAVED_MODEL, VARIABLES = "saved_model.pb", "variables"

NOT_WALKED = frozenset(
    {".git", ".hg", ".svn", ".dvc", "__pycache__", "node_modules", ".venv", ".tox"}
)


class Input(NamedTuple):
    """One file to audit. `named` by the user: then it must be a checkpoint; else it was found in a
    folder.

    `stands_for_shards`: it is an index, and the shards that it names are not audited by themselves.
    `problem`: what kept a folder from being listed; then there is nothing to read. `facts`: size
    and version, as far as the listing of what lies elsewhere says them.
    """

    path: str
    named: bool
    stands_for_shards: bool = False
    problem: str = ""
    facts: tuple[int, str] | None = None

    @property
    def expected(self) -> bool:
        """Whether failing to read it is an error."""
        return (
            self.named
            or self.stands_for_shards
            or _promises_checkpoint(os.path.basename(label(self.path)).lower())
        )


# What stands behind a checkpoint's own ending: `model.pt.gz`, and `model.pth.tar`, by which people
# mean a file of torch.save.
PACKED = ("gz", "tar")


def _promises_checkpoint(name: str) -> bool:
    *_, before, last = ("", *name.split("."))
    return (before if last in PACKED else last) in list_suffixes()


def expand(paths: Sequence[str], exclude: Sequence[str] = ()) -> list[Input]:
    """Every file that the paths mean, each once, without those that a glob of `exclude` matches.

    Raises `BadPolicy` for a path or a pattern that matches nothing.
    """
    return list(Inputs(paths, exclude))


class Inputs:
    """The files that paths mean, one after the other: what folders hold is not kept.

    A path that does not exist is an error at once, a glob of `exclude` that matches nothing at the
    end. What lies elsewhere is listed at once.
    """

    def __init__(self, paths: Sequence[str], exclude: Sequence[str] = ()) -> None:
        self._exclude = exclude
        self._parts = [path if _is_folder(path) else list(_expand_one(path)) for path in paths]
        folders = [os.path.realpath(part) for part in self._parts if isinstance(part, str)]
        self._apart = len(self._parts) == len(folders) and not any(
            one == other or other.startswith(os.path.join(one, ""))
            for k, one in enumerate(folders)
            for n, other in enumerate(folders)
            if n != k
        )

    def __iter__(self) -> Iterator[Input]:
        """Each once; only where folders may meet is it kept which ones were there."""
        seen, matched, count = set[str](), set[str](), 0
        for given in self._all():
            if not self._apart and given.path in seen:
                continue
            if not self._apart:
                seen.add(given.path)
            count += 1
            hits = {p for p in self._exclude if file_matches(given.path, "", (p,))}
            matched |= hits
            if not hits:
                yield given
        refuse_unmatched_globs(self._exclude, matched, count)

    def _all(self) -> Iterator[Input]:
        for part in self._parts:
            yield from walk(part) if isinstance(part, str) else part

    def count(self) -> int:
        """How many there are, at the cost of walking the folders once more."""
        return sum(1 for _ in self)


def refuse_unmatched_globs(exclude: Sequence[str], matched: set[str], count: int) -> None:
    """Raise `BadPolicy` for a glob of `--exclude` that matched none of the `count` inputs."""
    for pattern in exclude:
        if pattern not in matched:
            none = "no input: there is one" if count == 1 else f"none of the {count} inputs"
            raise BadPolicy(f"--exclude {pattern} matches {none}")


def _is_folder(path: str) -> bool:
    return path != STDIN and not is_remote(path) and os.path.isdir(path)


def split_locator(path: str) -> tuple[str, str]:
    """The file, and the path inside it: `agent.zip!policy.pth` unless a file has that very name."""
    file, mark, inside = path.partition("!")
    if not mark or os.path.lexists(path):
        return path, ""
    return file, inside


def _expand_one(path: str) -> Iterator[Input]:
    if path == STDIN:
        yield Input(path, named=True)
    elif is_remote(path):
        yield from _expand_remote(path)
    elif os.path.isdir(path):
        yield from walk(path)
    elif (bundle := _bundle_of(path)) is not None:
        yield Input(bundle, named=True)
    elif os.path.lexists(split_locator(path)[0]):
        yield Input(path, named=True)
    else:
        yield from _expand_glob(path)


def _bundle_of(path: str) -> str | None:
    """The index of a TensorFlow checkpoint, of which people name the prefix or the data."""
    stem = _stem_of_data(os.path.basename(path))
    prefix = os.path.join(os.path.dirname(path), stem) if stem else path
    if os.path.lexists(path) and not stem:
        return None
    return f"{prefix}.index" if os.path.isfile(f"{prefix}.index") else None


def _stem_of_data(name: str) -> str:
    """What the files of a TensorFlow checkpoint have in common, by the name of a data file; of any
    other file nothing.
    """
    found = re.fullmatch(_DATA, name) if ".data-" in name else None
    return found[1] if found else ""


def _expand_remote(locator: str) -> Iterator[Input]:
    """A file, or those of a folder or a wildcard: what several files hold together is one input, as
    in a folder that is walked.
    """
    refuse_half(label(locator))
    wild = any(sign in locator.partition("?")[0] for sign in "*[")
    if not wild and Input(locator, named=False).expected:
        yield Input(locator, named=True)  # a file by its name: to ask costs a request for each
        return
    from .raw.remote import find  # 40 ms, which local files need not pay

    try:
        found = find(locator)
    except Unreadable as error:  # no other path's affair
        yield Input(locator, named=True, problem=f"it cannot be listed: {error.message}")
        return
    if found is None:
        yield Input(locator, named=True)
        return
    if wild and not found:
        raise MissingFile(f"{label(locator)}: no file matches this pattern")
    folders: dict[str, list[str]] = {}
    for there in found:
        folder, _, name = there.locator.rpartition("/")
        folders.setdefault(folder, []).append(name)
    indexes = {
        there.locator: shards_beside(there.locator)
        for there in found
        if there.locator.endswith(INDEX)
    }
    shards = {shard for named in indexes.values() for shard in named}
    facts_of = {there.locator: there.facts for there in found}
    for there in found:
        folder, _, name = there.locator.rpartition("/")
        names = folders[folder]
        below = [VARIABLES] if f"{folder}/{VARIABLES}" in folders else []
        of_net = name.endswith(".bin") and name.removesuffix(".bin") + ".xml" in names
        if there.locator in shards or of_net or _is_part(name, names, below):
            continue
        stands = bool(indexes.get(there.locator))
        facts: tuple[int, str] | None = there.facts
        if stands:
            facts = _join_facts([facts, *map(facts_of.get, indexes[there.locator])])
        yield Input(there.locator, named=False, stands_for_shards=stands, facts=facts)


def _join_facts(parts: Sequence[tuple[int, str] | None]) -> tuple[int, str] | None:
    """Size and version of several files together; None where one is not known."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return sum(size for size, _ in known), " ".join(version for _, version in known)


def _expand_glob(pattern: str) -> Iterator[Input]:
    import glob  # 1 ms that only a glob needs

    from .missing import explain_missing  # 0.8 ms that a path that is there need not wait for

    matches = sorted(glob.glob(pattern, recursive=True)) if glob.has_magic(pattern) else []
    closed = list(find_unlisted(pattern))
    for path, problem in closed:
        yield Input(path, named=False, problem=problem)
    if not matches and not closed:
        magic = glob.has_magic(pattern)
        hint = "no file matches this pattern" if magic else explain_missing(pattern)
        raise MissingFile(f"{pattern}: {hint}")
    for match in matches:
        if os.path.isdir(match):
            yield from walk(match)
        else:
            yield Input(match, named=False)


# The module glob passes over what it cannot list, without a word.
def find_unlisted(pattern: str) -> Iterator[tuple[str, str]]:
    """The folders in which a pattern looks for names and that cannot be listed, with the reason."""
    import glob  # 1 ms that only a glob needs

    parts, folders = pattern.split("/"), dict[str, None]()
    for k, part in enumerate(parts):
        if glob.has_magic(part):
            above = "/".join(parts[: k + 1] if part == "**" else parts[:k])
            magic = glob.has_magic(above)
            found = glob.glob(f"{above}/", recursive=True) if magic else [above]
            folders |= dict.fromkeys(one.rstrip("/") or "/" * bool(one) or "." for one in found)
    for folder in sorted(folders):
        try:
            os.scandir(folder).close()
        except PermissionError as error:
            yield folder, f"the folder cannot be listed: {error.strerror}"
        except OSError:
            continue  # it is not there


def walk(folder: str) -> Iterator[Input]:
    """The files below a folder, sorted; links are followed, but no real folder or file is visited
    twice.
    """
    seen: set[str] = set()
    followed: set[str] = set()  # files that a link led to; others need not be remembered
    closed: list[OSError] = []
    for root, folders, names in os.walk(folder, followlinks=True, onerror=closed.append):
        yield from _take_unlisted(closed)
        if (real := os.path.realpath(root)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if name not in NOT_WALKED)
        indexes = {
            name: _shards_of(os.path.join(root, name)) for name in names if name.endswith(INDEX)
        }
        shards = {shard for named in indexes.values() for shard in named or ()}
        shards |= {name for name in names if _is_part(name, names, folders)}
        shards |= {name for name in names if name.endswith(".bin") and _is_of_net(root, name)}
        for name in sorted(set(names) - shards):
            path = os.path.join(root, name)
            if os.path.islink(path):
                target = os.path.realpath(path)
                there, own = os.path.split(target)
                # what a folder holds itself comes from it, in the order of the names
                met = target in followed or (there in seen and (there != real or own < name))
                followed.add(target)
            else:
                met = bool(followed) and os.path.join(real, name) in followed
            if not met:
                yield Input(path, named=False, stands_for_shards=indexes.get(name) is not None)
    yield from _take_unlisted(closed)


def _is_part(name: str, names: Sequence[str], folders: Sequence[str]) -> bool:
    """Whether a file is a part of a TensorFlow model, or of a distributed checkpoint, that is
    audited through another.
    """
    if name == SAVED_MODEL:
        return VARIABLES in folders
    if name.endswith(".distcp"):
        return ".metadata" in names
    stem = _stem_of_data(name)
    return bool(stem) and f"{stem}.index" in names


def _is_of_net(folder: str, name: str) -> bool:
    """Whether a .bin holds the numbers of a net beside it, which is audited instead: OpenVINO's of
    the same stem, Core ML's one folder up.
    """
    if name == "weight.bin" and os.path.basename(folder) == "weights":
        return os.path.isfile(os.path.join(folder, os.pardir, "model.mlmodel"))
    path = os.path.join(folder, name.removesuffix(".bin") + ".xml")
    try:
        with open_source(path) as source:
            return b"<net" in span_all(source)[: min(source.size, NET_HEAD)].read()
    except AuditError:
        return False


def _take_unlisted(closed: list[OSError]) -> Iterator[Input]:
    for path, problem in take_unlisted(closed):
        yield Input(path, named=False, problem=problem)


def take_unlisted(closed: list[OSError]) -> Iterator[tuple[str, str]]:
    """The folders that could not be listed since this was last asked, each with the reason."""
    while closed:
        error = closed.pop(0)
        yield os.fsdecode(error.filename), f"the folder cannot be listed: {error.strerror}"


def sibling(path: str, name: str) -> str:
    """The path of a file in the folder of another. A query goes along: one token may open all files
    of a store.
    """
    if not is_remote(path):
        return os.path.join(os.path.dirname(path), name)
    place, mark, query = path.partition("?")
    return f"{place.rpartition('/')[0]}/{name}{mark}{query}"


def shards_beside(path: str) -> list[str]:
    """The files that an index names; none for any other file."""
    names = _shards_of(path) if path.partition("?")[0].endswith(INDEX) else None
    return [sibling(path, name) for name in names or ()]


def _shards_of(path: str) -> tuple[str, ...] | None:
    """The shards that an index names; none where it is refused, for it is reported when its turn
    comes; else None.
    """
    from .formats.sharded import shard_names  # 1 ms that only an index needs

    try:
        with open_source(path) as source:
            return shard_names(span_all(source))
    except AuditError as error:
        return () if isinstance(error, MalformedFile) else None
