"""A file on a web server: one range an answer, or several.

Comes in: a URL, and ranges. Goes out: an `Answer` for each. Promise: only GET with a range is sent;
of an answer that is not of the ranges that were asked for, no body is read; what several ranges in
one answer say is held as strictly as one range alone.
"""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from ..errors import Unreadable
from ..tuples import NamedTuple
from .multipart import Part, boundary_of, read_parts

# Seconds for one request, its body included: a server that drips is given up.
TIMEOUT = 60.0

# Seconds to connect, or between two pieces of a body.
SILENCE = 20.0

# Bytes of a file that is downloaded whole: a server may send without end.
MAX_DOWNLOADED = 16 << 30

# How the message begins when only the whole file can be had.
NO_RANGES = "the server serves no ranges"

# Bytes of boundaries and headers that come with each range of an answer of several.
PART_HEAD = 1 << 10

# States that say nothing of whether a server knows several ranges; they are asked again.
BUSY = frozenset({401, 403, 404, 408, 410, 425, 429, 500, 502, 503, 504})

# A range: its first byte, and the one behind its last.
Place = tuple[int, int]


class Answer(NamedTuple):
    """What came for one range: where it begins, the size and the version of the whole file, its
    bytes.
    """

    start: int
    size: int
    version: str
    data: bytes


# Asks for the bytes from the first place up to the second.
Ask = Callable[[int, int], Coroutine[Any, Any, Answer]]

# Asks for several ranges in one request; see `Web.ask_together`.
AskTogether = Callable[[Sequence[Place]], Coroutine[Any, Any, dict[Place, Answer]]]

# Hosts that were asked for several ranges, and gave one, or the whole file: S3 and most stores
# behind a web server do. The next file is not worth another try.
_hosts_of_one_range: set[str] = set()


class Web:
    """A file on a web server."""

    def __init__(self, files: Any, url: str) -> None:
        self._files, self._url = files, url

    @property
    def gives_one_range(self) -> bool:
        """Whether its host was asked for several ranges before, and did not give them."""
        return urlsplit(self._url).netloc in _hosts_of_one_range

    async def _get(self, places: Sequence[Place]) -> Any:
        """A request for these ranges, to be entered."""
        session = await self._files.set_session()
        ranges = ",".join(f"{start}-{stop - 1}" for start, stop in places)
        headers = {"Range": f"bytes={ranges}", "Accept-Encoding": "identity"}
        return session.get(self._files.encode_url(self._url), headers=headers)

    async def ask(self, start: int, stop: int) -> Answer:
        """One range. A server that knows none answers 200, and then nothing of the body is read: it
        could be the whole of a large file.
        """
        async with await self._get([(start, stop)]) as answer:
            said = answer.headers
            if answer.status == 416 and said.get("Content-Range") == "bytes */0":
                return Answer(start, 0, _version_of(said), b"")
            answer.raise_for_status()
            _, _, place = said.get("Content-Range", "").partition("bytes ")
            first, size = place.partition("-")[0], place.rpartition("/")[2]
            if answer.status != 206 or not (size.isdigit() and first.isdigit()):
                raise Unreadable(f"{NO_RANGES}: --download reads the file whole, into a temporary")
            if said.get("Content-Encoding", "identity") != "identity":
                raise Unreadable(f"{NO_RANGES} of the file itself, but of a compressed form of it")
            wanted = min(stop, int(size)) - start
            data = await _read(answer.content, wanted)
        return Answer(int(first), int(size), _version_of(said), data)

    # RFC 9110 (14.2) lets a server pass over a range that it does not like, and most stores know
    # no list of ranges: they answer 200, 416, or the first range alone. None of that is an error
    # here, only a reason to ask range by range.
    async def ask_together(self, places: Sequence[Place]) -> dict[Place, Answer]:
        """What one request brings of several ranges: all, some or none. Whoever asked asks for the
        others one by one.
        """
        if self.gives_one_range:
            return {}
        async with await self._get(places) as answer:
            if answer.status in BUSY:
                answer.raise_for_status()
            found = await _read_together(answer, places) if answer.status == 206 else {}
        if len(found) < len(places):
            _hosts_of_one_range.add(urlsplit(self._url).netloc)
        return found


async def _read_together(answer: Any, places: Sequence[Place]) -> dict[Place, Answer]:
    """The ranges in a 206 of several parts; none where it is not written as it should be."""
    said = answer.headers
    boundary = boundary_of(said.get("Content-Type", ""))
    if boundary is None or said.get("Content-Encoding", "identity") != "identity":
        return {}
    most = sum(stop - start + PART_HEAD for start, stop in places) + PART_HEAD
    body = await _read(answer.content, most)
    parts = read_parts(body, boundary) if len(body) <= most else []
    version = _version_of(said)
    cuts = ((place, _cut(part, place, version)) for part in parts for place in places)
    return {place: answer for place, answer in cuts if answer is not None}


def _cut(part: Part, place: Place, version: str) -> Answer | None:
    """A range out of a part, in which a server may have joined several (RFC 9110, 15.3.7.2)."""
    start, stop = place
    data = part.data[start - part.start : stop - part.start] if part.start <= start else b""
    return Answer(start, part.size, version, data) if len(data) == stop - start else None


async def _read(stream: Any, wanted: int) -> bytes:
    """So many bytes, and one more where there are more: enough to see that there are."""
    data = b""
    while len(data) <= wanted and (more := await stream.read(wanted + 1 - len(data))):
        data += more
    return data


def _version_of(headers: Any) -> str:
    return headers.get("ETag") or headers.get("Last-Modified") or ""


async def download(files: Any, url: str, file: Any) -> None:
    """Write the whole of a file that a web server serves in no other way."""
    import aiohttp  # part of the extra `remote`

    session = await files.set_session()
    patient = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
    headers = {"Accept-Encoding": "identity"}
    async with session.get(files.encode_url(url), headers=headers, timeout=patient) as answer:
        answer.raise_for_status()
        async for piece in answer.content.iter_chunked(1 << 20):
            if file.tell() + len(piece) > MAX_DOWNLOADED:
                raise Unreadable(f"over {MAX_DOWNLOADED >> 30} GiB came", kind="limit")
            file.write(piece)
    file.flush()


def limit_client() -> dict[str, Any]:
    """The limits of a session, as fsspec passes them to aiohttp."""
    import aiohttp  # part of the extra `remote`

    limits = {"total": TIMEOUT, "sock_connect": SILENCE, "sock_read": SILENCE}
    return {"timeout": aiohttp.ClientTimeout(**limits)}
