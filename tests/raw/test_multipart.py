"""Several ranges in one answer: as servers write them, and as none should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_audit.raw.multipart import boundary_of, read_parts

NGINX = (
    b"\r\n--00000000000000000001\r\nContent-Type: application/octet-stream\r\n"
    b"Content-Range: bytes 0-4/100\r\n\r\nfirst\r\n--00000000000000000001\r\n"
    b"Content-Type: application/octet-stream\r\nContent-Range: bytes 90-95/100\r\n\r\nsecond"
    b"\r\n--00000000000000000001--\r\n"
)
"""As nginx writes it; Apache leaves out the first CRLF, Go's server the last one."""

MARK = b"00000000000000000001"


def cases(body: bytes = NGINX) -> list[bytes]:
    return [body, body[2:], body[:-2], body.replace(b"Content-Range", b"content-range")]


@pytest.mark.parametrize("body", cases())
def test_parts_of_servers(body: bytes) -> None:
    parts = read_parts(body, MARK)
    assert [(part.start, part.size, part.data) for part in parts] == [
        (0, 100, b"first"), (90, 100, b"second"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "boundary"),
    [
        ("multipart/byteranges; boundary=abc", b"abc"),
        ('Multipart/ByteRanges;boundary="a-b_c"', b"a-b_c"),
        ("multipart/x-byteranges; boundary=a", b"a"),
        ("multipart/byteranges; charset=utf-8; boundary=a; x=y", b"a"),
        ("multipart/mixed; boundary=a", None),
        ("multipart/byteranges", None),
        ("multipart/byteranges; boundary=é", None),
        ("application/octet-stream", None),
        ("", None),
    ],
)
def test_boundaries(kind: str, boundary: bytes | None) -> None:
    assert boundary_of(kind) == boundary


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"bytes 0-4/100", b"bytes 0-4/*"),
        (b"bytes 0-4/100", b"bytes 4-0/100"),
        (b"bytes 0-4/100", b"bytes 0-4/4"),
        (b"bytes 0-4/100", b"bytes 0-5/100"),
        (b"bytes 0-4/100", b"bytes -4/100"),
        (b"bytes 0-4/100", b"lines 0-4/100"),
        (b"Content-Range: bytes 0-4/100", b"X: y"),
        (b"Content-Range: bytes 0-4/100", b"Content-Range: bytes 0-4/100\r\n" * 2),
        (b"bytes 90-95/100", b"bytes 0-99/100"),
        (MARK + b"--", MARK),
        (b"--" + MARK + b"--", b""),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_what_is_no_answer_of_several_ranges(old: bytes, new: bytes) -> None:
    assert read_parts(NGINX.replace(old, new), MARK) == []


@given(
    st.lists(st.tuples(st.integers(0, 50), st.binary(min_size=1, max_size=40)), min_size=1),
    st.integers(0, 400),
)
def test_a_boundary_in_the_bytes_parts_nothing(pieces, cut: int) -> None:
    """The bytes of a model may hold anything; a body that is cut off gives nothing."""
    body = b""
    for start, data in pieces:
        data = data + b"\r\n--b--\r\n" + data
        head = f"Content-Range: bytes {start}-{start + len(data) - 1}/1000"
        body += b"\r\n--b\r\n" + head.encode() + b"\r\n\r\n" + data
    whole = body + b"\r\n--b--"
    found = read_parts(whole, b"b")
    assert [(one.start, one.data) for one in found] == [
        (start, data + b"\r\n--b--\r\n" + data) for start, data in pieces
    ]
    assert read_parts(whole[: min(cut, len(whole) - 1)], b"b") == []
