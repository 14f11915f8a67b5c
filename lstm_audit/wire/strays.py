"""Pickles that lie in an archive under any name.

Comes in: a member's span, or a zip and its entries. Goes out: the (module, name) pairs that
it mentions. Promise: a member is known by its first bytes alone, and is gone through as far as it
can be read; what is no pickle and no array of objects mentions nothing.
"""

from collections.abc import Callable, Iterable
from functools import partial

from ..errors import MalformedFile
from ..raw.span import Span
from . import zip_body
from .pickle import mentions
from .zip import Member

# How numpy spells the type of an array of Python objects, which is a pickle behind a header.
OBJECTS = "|O"

# Bytes that tell what a member is.
HEAD = 8

# Steps of the budget that a member takes, however small it is.
LOOKING = 20

_HIGHEST = 5  # protocol

MentionedNames = dict[tuple[str, str], None]


def list_strays(span: Span, members: Iterable[Member]) -> MentionedNames:
    """What these entries of a zip mention; of a deflated one that is no pickle, no more than the
    first bytes are inflated. Raises `MalformedFile` of kind `limit` alone.
    """
    found: MentionedNames = {}
    for member in members:
        span.budget.step(LOOKING, "a member of an archive")
        try:
            head = zip_body.head(span, member, HEAD)
        except MalformedFile as error:
            if error.kind == "limit":
                raise
            continue
        found |= list_mentions(head, partial(zip_body.body, span, member))
    return found


def list_mentions(start: Span, open_member: Callable[[], Span]) -> MentionedNames:
    """What a member that starts like this mentions, if it is a pickle or an array of objects."""
    head = start[: min(start.size, HEAD)].read()
    try:
        if head[:1] == b"\x80" and len(head) > 1 and head[1] <= _HIGHEST:
            return {(one.module, one.name): None for one in mentions(open_member())}
        if head[:1] == b"\x93":  # as numpy's magic does
            return _list_objects(open_member())
    except MalformedFile as error:
        if error.kind == "limit":
            raise
    return {}


def _list_objects(span: Span) -> MentionedNames:
    """What the pickle behind the header of an array of objects mentions."""
    from . import npy  # 0.4 ms that checkpoints without arrays spare

    header = npy.read_header(span) if npy.is_npy(span) else None
    if header is None or header.descr != OBJECTS:
        return {}
    return {(one.module, one.name): None for one in mentions(span[header.start :])}
