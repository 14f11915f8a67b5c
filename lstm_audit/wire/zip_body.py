"""The body of one member of a zip archive: where its bytes lie, and its checksum.

Comes in: an archive's span and a `Member` of its directory. Goes out: the span of the contents.
Promise: a local header that contradicts the directory is refused; what is inflated is bounded, and
gives exactly the size that was claimed. Field by field: APPNOTE.TXT 6.3.10, 4.3.7 to 4.3.9.
"""

from functools import partial

from ..raw.span import SEAL_SIZE, Seal, Span
from .zip import DEFLATED, HAS_DESCRIPTOR, LOCAL_HEADER, STORED, Member, zip_fault

MAX_INFLATED = 32 << 20  # bytes; deflate reaches 1000:1, so the output is what must be bounded


# The local header is held against the directory only now: reading all of them would cost one read
# an entry, and the audit asks for the pickle and the biases alone.
def body(span: Span, member: Member) -> Span:
    """The contents of a member of the archive in `span`.

    A stored body is a slice of the archive, sealed by its CRC-32 at every place that holds it; a
    deflated one is inflated in memory, under a cap, and has no place: whoever asks twice keeps it.
    Raises `MalformedFile`:
    `ambiguous` when the local header and the directory disagree, `unsupported` for other methods,
    `malformed`, `limit`.
    """
    method, crc, stored = _find_stored(span, member)
    if method == STORED:
        if not member.crc or not member.size or span.at is None:
            # a CRC of 0 over a body: checksums were switched off (torch set_crc32_options(False))
            return stored
        places = partial(_find_places, span, stored, member, crc)
        return stored.add_seal_later(partial(Seal, stored, member.crc, places))
    if method == DEFLATED:
        return _inflate(span, stored, member)
    message = (
        f"{member.name!r} is compressed by method {method}; only stored and deflated bodies are "
        "read"
    )
    raise zip_fault(span, message, member.header_at, "unsupported")


def _find_stored(span: Span, member: Member) -> tuple[int, int, Span]:
    """Method and CRC-32 of the local header, and the body as it stands in the archive."""
    said_name, said_method, _, stored_size, _, header_at, _, said_flags, limit = member
    name = said_name.encode()
    header_end = header_at + LOCAL_HEADER.size + len(name)
    header = span[header_at:header_end].read()
    signature, flags, method, crc, name_size, extra_size = LOCAL_HEADER.unpack_from(header)
    if signature != b"PK\3\4":
        message = f"no local header where the directory places {said_name!r}"
        raise zip_fault(span, message, header_at)
    said = (said_flags, said_method, len(name))
    if (flags, method, name_size) != said or header[LOCAL_HEADER.size :] != name:
        message = f"the local header of {said_name!r} contradicts the directory"
        raise zip_fault(span, message, header_at, "ambiguous")
    end = header_end + extra_size + stored_size
    if end > limit:
        message = f"{said_name!r} overlaps what follows it"
        raise zip_fault(span, message, header_at, "ambiguous")
    # The size of the extra field may differ between the two headers (torch pads the local one so
    # that tensors begin at multiples of 64), so the body's place comes from the local header alone.
    stored = span[header_end + extra_size : end]
    return method, crc, stored


def head(span: Span, member: Member, size: int) -> Span:
    """At least `size` bytes of a member's contents, or all of them: of a deflated one no more is
    inflated, where its first bytes give so many.
    """
    if member.method != DEFLATED or member.size <= 4 * size:
        return body(span, member)
    import zlib  # 0.7 ms that stored archives spare

    _, _, stored = _find_stored(span, member)
    raw = stored[: min(stored.size, 2 * size)].read()
    try:
        data = zlib.decompressobj(-15).decompress(raw, size)
    except zlib.error:
        return body(span, member)  # which says what is wrong
    return span.compute(data, f"!{member.name}") if len(data) == size else body(span, member)


# A patch must renew every copy of the CRC that a reader might check. There are up to three: the
# directory's, the local header's, and that of a data descriptor behind the body (bit 3 of the
# flags), where the header's is 0. The descriptor may come without its signature (4.3.9.3); such a
# one cannot be told from the padding and is left alone.
def _find_places(span: Span, stored: Span, member: Member, local_crc: int) -> tuple[Span, ...]:
    """Where the CRC-32 of a body is kept: in the directory and either behind the body or in the
    local header (4.3.9).

    Only a place that holds the directory's value counts: where writers differ, the directory alone
    is kept right.
    """
    at, end = [member.crc_at], stored.start - span.start + stored.size
    if not member.flags & HAS_DESCRIPTOR:
        at += [member.header_at + 14] if local_crc == member.crc else []
    elif end + 8 <= member.limit and span[
        end : end + 8
    ].read() == b"PK\7\x08" + member.crc.to_bytes(4, "little"):
        at.append(end + 4)
    return tuple(span[a : a + SEAL_SIZE] for a in at)


# zlib would go on for as long as the stream does: the size that the directory claims is asked for,
# and one byte more, which must not come. Memory is thus paid for before it is taken.
def _inflate(span: Span, stored: Span, member: Member) -> Span:
    """The deflated body, which must give exactly the size that the directory claims."""
    import zlib  # 0.7 ms that stored archives spare

    if max(member.size, stored.size) > MAX_INFLATED:
        message = (
            f"{member.name!r} inflates to {member.size} bytes; at most {MAX_INFLATED} are inflated"
        )
        raise zip_fault(span, message, member.header_at, "limit")
    span.budget.hold(member.size, f"{member.name!r} inflates to {member.size} bytes")
    machine = zlib.decompressobj(-15)
    try:
        data = machine.decompress(stored.read(), member.size + 1)
    except zlib.error as error:
        raise zip_fault(
            span, f"{member.name!r} cannot be inflated: {error}", member.header_at
        ) from None
    if len(data) != member.size or not machine.eof or machine.unused_data:
        raise zip_fault(
            span,
            f"{member.name!r} does not inflate to the {member.size} bytes claimed",
            member.header_at,
        )
    return span.compute(data, f"!{member.name}")
