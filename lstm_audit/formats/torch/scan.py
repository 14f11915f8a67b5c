"""Every pickle of a torch file, for what loading it without a filter would import.

Comes in: a decoded pickle, or an archive. Goes out: (module, name) pairs. Promise: a pickle that a
loader of the format obeys is gone through to its end, with the files inside it, or the whole file
is refused: a broken one could hide something. What no loader looks at is gone through as far as it
can be read, and of TorchScript's source maps (.debug_pkl) as much as `MAX_MAPS`.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from ...errors import MalformedFile
from ...raw.span import Span
from ...raw.words import show
from ...wire.pickle import decode, mentions
from ...wire.strays import list_strays
from ...wire.zip import STORED, Member, is_zip
from .archive import Archive, open_archive, open_pickle
from .legacy import Envelope, envelope, is_legacy, open_legacy
from .rebuild import no_storage, open_nested

# How the names of records end that somebody may load by themselves.
SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin")

# How the records end that say which line of Python each line of a script came from. Only torch's
# C++ reader takes them (torch/csrc/jit/serialization/source_range_serialization.cpp), and it
# imports nothing.
MAPS = ".debug_pkl"

# Bytes of source maps that are gone through, the smallest first: some 100 ms. A large script has
# many times more, and must not be refused for what nobody obeys.
MAX_MAPS = 512 << 10

# Where the numbers of tensors lie, what else torch writes into every archive, and how those records
# end whose names say what they are.
TENSORS = ("data/", "constants/", ".data/")
OWN = frozenset({"version", "byteorder", ".format_version", ".storage_alignment"})
TOLD = (*SUFFIXES, MAPS, ".py", "/")

# Steps of the budget that a record takes, however small it is.
OPENING = 100

# (module, name), each once, in order.
GlobalPairs = dict[tuple[str, str], None]


def imports_of(outermost: Envelope) -> GlobalPairs:
    """What a pickle names, and the files within the file, however deep."""
    named: GlobalPairs = {}
    left, seen = [outermost], {id(outermost)}
    while left:
        opened = left.pop()
        named.update(dict.fromkeys((g.module, g.name) for g in opened.globals))
        for call in opened.loads:
            inner = open_nested(call, opened)
            if id(inner) not in seen:
                seen.add(id(inner))
                left.append(inner)
    return named


def imports_beside(archive: Archive, but: Collection[str] = ()) -> GlobalPairs:
    """What the pickles name that lie in an archive beside the one that torch.load obeys."""
    names = [name for name in archive.members if name.endswith(SUFFIXES) and name not in but]
    return _merge(
        [
            *(_list_mentions(archive, name) for name in [*names, *_maps(archive)]),
            list_strays(archive.span, _strays(archive)),
        ]
    )


def _strays(archive: Archive) -> Iterator[Member]:
    """Records that torch.save does not write and whose names do not say what they are: a user's
    own, which may be pickles too.
    """
    for name, member in archive.members.items():
        if not name.startswith(TENSORS) and name not in OWN and not name.endswith(TOLD):
            yield member


def _maps(archive: Archive) -> Iterator[str]:
    """The source maps that are gone through."""
    left = MAX_MAPS
    maps = [(member.size, name) for name, member in archive.members.items() if name.endswith(MAPS)]
    for size, name in sorted(maps):
        left -= size
        if left >= 0:
            yield name


def imports_of_export(
    archive: Archive, pickled: Collection[str], raw: Collection[str]
) -> GlobalPairs:
    """What loading a .pt2 may import: `pickled` are the records that torch.export.load unpickles by
    their entries in a config, `raw` those that hold numbers. It also unpickles the sample inputs,
    and of older versions anything called .pt.
    """
    return _merge(
        _scan_loaded(archive, name)
        if name in pickled or name.endswith(SUFFIXES)
        else _list_mentions(archive, name)
        for name in archive.members
        if name not in raw and not name.endswith(".json")
    )


def _merge(found: Iterable[GlobalPairs]) -> GlobalPairs:
    return dict.fromkeys(chain.from_iterable(found))


def _scan_loaded(archive: Archive, name: str) -> GlobalPairs:
    """Of a record that a loader unpickles."""
    span = archive.record(name)
    span.budget.step(OPENING, "a record")
    try:
        return imports_of(_open(span))
    except MalformedFile as error:
        message = f"{show(name)}, which torch.export.load unpickles: {error.message}"
        raise MalformedFile(message, error.at, error.kind) from None


def _open(span: Span) -> Envelope:
    """A record as torch.load takes it, or pickle.load."""
    if is_zip(span):
        return open_pickle(open_archive(span))
    if is_legacy(span):
        return open_legacy(span)
    return envelope(decode(span), span, no_storage)


def _list_mentions(archive: Archive, name: str) -> GlobalPairs:
    """Of a record that may be a pickle, as far as it can be read."""
    if archive.members[name].method != STORED and not name.endswith((*SUFFIXES, MAPS)):
        return {}
    span = archive.record(name)
    span.budget.step(OPENING, "a record")
    try:
        if is_zip(span):
            return imports_of(open_pickle(open_archive(span)))
    except MalformedFile as error:
        if error.kind == "limit":
            raise
        return {}
    if span.size < 2 or span[:1].read() != b"\x80":
        return {}
    return dict.fromkeys((g.module, g.name) for g in mentions(span))
