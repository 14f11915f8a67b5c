"""How a file that lies elsewhere is asked for: over the web, of S3, of any other store of fsspec.

Comes in: a locator. Goes out: a `Store` of that one file, which gives ranges of it. Promise: only
reading is asked for, and asked again only where a refusal may pass, a few times, with pauses that
differ; what an answer says of itself (place, size, version) is held against what was asked; and no
text of a library, which would hold the locator and its secrets, leaves this module.

The file systems are fsspec's; tokens, endpoints and offline behaviour are those of its libraries.
"""

import asyncio
import inspect
import logging
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Protocol

from ..errors import BadPolicy, Unreadable
from ..extras import pip_line
from ..tuples import NamedTuple
from ..worker import in_order
from .attempts import kind_of
from .objects import Blob, Bucket, GoogleObject
from .web import Answer, Ask, AskTogether, Place, Web, download, limit_client

# Ranges of one file that are under way at once.
TOGETHER = 16

# Requests of one file, each of one range: where it takes more, a web server is asked for several
# ranges at once. Most files take fewer, and then need not try whether their server can do that.
FEW = 6

# The same of structures that tell of further ones (`more`): two places behind the head of a file.
PAIR = 2

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hub", "az": "azure"}
EXTRAS |= dict.fromkeys(("abfs", "abfss", "adl"), "azure")
"""Which extra of this package brings a scheme; `remote` brings the others."""


class Facts(NamedTuple):
    """What the store says of the file: its size, and what tells this version from another (empty:
    nothing does).
    """

    size: int
    version: str


class ListRefused(Exception):
    """In the place of a range that a list of ranges did not bring: its server knows no lists, and
    whoever asked may plan anew for requests of one range.
    """


class Store(Protocol):
    """One file that lies elsewhere.

    `look` gives its facts, with its first `n` bytes where they come in the same answer (else
    none). `fetch` gives ranges, or the errors that came in their place; `ListRefused` at most once.
    `is_held`: each answer was held against the first one's version, so that nothing need be asked
    at the end. `takes_lists`: several ranges may come of one request. `more`: what comes will tell
    of further places.
    """

    is_held: bool

    @property
    def takes_lists(self) -> bool: ...

    def look(self, n: int) -> tuple[Facts, bytes]: ...
    def fetch(self, places: Sequence[Place], more: bool) -> list[bytes | Exception]: ...


def open_store(locator: str) -> Store:
    """The store of a locator; raises `BadPolicy` with the extra that is missing for it."""
    files, path = file_system(locator)
    scheme = locator.partition("://")[0]
    if scheme in WEB:
        web = Web(files, path)
        together = None if web.gives_one_range else web.ask_together
        return Answering(files.loop, web.ask, together)
    if scheme in OBJECTS and all(hasattr(files, name) for name in OBJECTS[scheme][1]):
        kind, _ = OBJECTS[scheme]
        return Answering(files.loop, kind(files, path).ask)
    return Repository(files, path) if scheme == "hf" else Listing(files, path)


WEB = ("http", "https")

# What reads an object of a store, and what it needs of fsspec's file system, which another class
# than the usual one may not have.
_S3 = (Bucket, ("_call_s3", "split_path", "req_kw"))
_GOOGLE = (GoogleObject, ("_call", "url"))
_AZURE = (Blob, ("service_client", "split_path"))
OBJECTS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "s3": _S3, "s3a": _S3, "gs": _GOOGLE, "gcs": _GOOGLE,
    "az": _AZURE, "abfs": _AZURE, "abfss": _AZURE,
}  # fmt: skip


class Answering:
    """A store each of whose answers says which file it is of."""

    is_held = True

    def __init__(self, loop: Any, ask: Ask, together: AskTogether | None = None) -> None:
        self._loop, self._ask, self._together = loop, ask, together
        self._facts: Facts | None = None
        self._asked = 1  # requests; the first one is `look`
        self._joins = False  # whether several ranges came in one answer before

    @property
    def takes_lists(self) -> bool:
        """Whether several ranges may be asked for in one request: until that was refused."""
        return self._together is not None

    def look(self, n: int) -> tuple[Facts, bytes]:
        """The facts and the first bytes, in one request."""
        answer: Answer = _wait(self._loop, self._ask(0, n))
        self._facts = Facts(answer.size, answer.version)
        _hold(answer, self._facts, 0, min(n, answer.size))
        return self._facts, answer.data

    def fetch(self, places: Sequence[Place], more: bool) -> list[bytes | Exception]:
        """The ranges, some at a time."""
        found: list[bytes | Exception] = _wait(self._loop, self._gather(places, more))
        return found

    async def _gather(self, places: Sequence[Place], more: bool) -> list[bytes | BaseException]:
        gate = asyncio.Semaphore(TOGETHER)
        before = self._together
        there = await self._ask_together(places, more)
        refused = before is not self._together

        async def one(start: int, stop: int) -> bytes:
            answer = there.get((start, stop))
            if answer is None and refused:
                raise ListRefused
            if answer is None:
                async with gate:
                    self._asked += 1
                    answer = await self._ask(start, stop)
            assert self._facts is not None
            _hold(answer, self._facts, start, stop)
            return answer.data

        return await asyncio.gather(*(one(*place) for place in places), return_exceptions=True)

    async def _ask_together(self, places: Sequence[Place], more: bool) -> dict[Place, Answer]:
        """What comes of these ranges in one request, where one a range would be too many."""
        few = 1 + PAIR if more else FEW
        many = self._joins or self._asked + len(places) > few
        if self._together is None or len(places) < 2 or not many:
            return {}
        self._asked += 1
        there = await self._together(places)
        self._joins = len(there) == len(places)
        if not self._joins:
            self._together = None
        return there


def _hold(answer: Answer, facts: Facts, start: int, stop: int) -> None:
    """Raise `Unreadable` where an answer is not of the range, or not of the file, that was asked
    for.
    """
    if (answer.size, answer.version) != facts:
        raise Unreadable("the file changed while it was being read; try again", kind="changed")
    if answer.start != start or len(answer.data) != stop - start:
        came = f"{len(answer.data)} bytes from {answer.start} came"
        raise Unreadable(f"{came} where {stop - start} from {start} were asked for", kind="changed")


class Listing:
    """Any other store of fsspec: it says what a file is when it is asked for that alone."""

    is_held = takes_lists = False

    def __init__(self, files: Any, path: str) -> None:
        self._files, self._path = files, path
        fresh = "refresh" in inspect.signature(files.info).parameters
        self._fresh = {"refresh": True} if fresh else {}

    def look(self, n: int) -> tuple[Facts, bytes]:
        """The facts; the bytes take another request."""
        info = self._files.info(self._path, **self._fresh)
        if not isinstance(info.get("size"), int):
            raise Unreadable("the server does not say how long the file is")
        return Facts(info["size"], version_of(info)), b""

    def fetch(self, places: Sequence[Place], more: bool) -> list[bytes | Exception]:
        """The ranges, as many at once as the library sees fit."""
        starts, ends = [start for start, _ in places], [stop for _, stop in places]
        paths = [self._path] * len(places)
        got = self._files.cat_ranges(paths, starts, ends, on_error="return")
        return [self._check_held(data, *place) for data, place in zip(got, places, strict=True)]

    @staticmethod
    def _check_held(data: Any, start: int, stop: int) -> bytes | Exception:
        if isinstance(data, Exception):
            return data
        if len(data) != stop - start:
            came = f"{len(data)} bytes came where {stop - start} were asked for"
            return Unreadable(came, kind="changed")
        return bytes(data)


class Repository(Listing):
    """A file of the hub. Its library reads 5 MiB ahead, and one range after the other, unless each
    range is a file opened for itself that keeps nothing.
    """

    def fetch(self, places: Sequence[Place], more: bool) -> list[bytes | Exception]:
        """The ranges, some at a time; after Ctrl-C those under way are not waited for."""
        threads = ThreadPoolExecutor(min(TOGETHER, len(places)))
        try:
            return list(in_order(threads, self._fetch_one, places))
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _fetch_one(self, place: Place) -> bytes | Exception:
        start, stop = place
        try:
            # The size is known: without it the library would ask for it once more.
            with self._files.open(self._path, "rb", cache_type="none", size=stop) as file:
                file.seek(start)
                return self._check_held(file.read(stop - start), start, stop)
        except Exception as error:  # noqa: BLE001 # as of the other stores: `attempt` tells them apart
            return error


# Keys of fsspec's infos that name a version, by store.
SAYING = ("ETag", "etag", "generation", "blob_id", "oid", "content_md5", "md5Hash", "checksum")

# The same of those that date one, where nothing names it.
DATING = ("LastModified", "last_modified", "updated", "mtime", "created")


def version_of(info: dict[str, Any]) -> str:
    """What tells one version of a file from another, as far as the store says it."""
    for keys in (SAYING, DATING):
        said = [str(info[key]) for key in keys if info.get(key) is not None]
        if said:
            return " ".join(said)
    return ""


# What writes whole tracebacks to its log at every refusal.
LOGS = ("gcsfs", "google", "azure", "adlfs")


@cache
def _hush_logs() -> None:
    """Let no library's log reach the terminal by itself: it would hold the locator. Whoever has set
    up logging still gets it.
    """
    for name in LOGS:
        log = logging.getLogger(name)
        if not log.handlers:
            log.addHandler(logging.NullHandler())


def file_system(locator: str) -> tuple[Any, str]:
    """fsspec's file system of a scheme, and the path in it."""
    scheme = locator.partition("://")[0]
    _hush_logs()
    try:
        import fsspec  # an extra: local files never need it

        if scheme in WEB:  # the path is the URL as it stands, also where `::` is in it
            options = {"client_kwargs": limit_client()}
            return fsspec.filesystem(scheme, use_listings_cache=False, **options), locator
        files, path = fsspec.core.url_to_fs(locator, use_listings_cache=False)
    except ImportError:
        extra = EXTRAS.get(scheme, "remote")
        message = f"reading {scheme}:// needs lstm-audit[{extra}]: `{pip_line(extra)}`"
        raise BadPolicy(message, kind="unsupported") from None
    except ValueError:
        raise BadPolicy(f"nothing here reads {scheme}://", kind="unsupported") from None
    except TypeError:  # a file system wants something, such as a host, that is not said
        message = f"the locator does not say all that {scheme}:// needs, such as a host"
        raise BadPolicy(message, kind="unsupported") from None
    except OSError as error:  # some connect at once
        raise Unreadable(f"cannot read: {kind_of(error)}") from None
    return files, path


def save(locator: str, file: Any) -> None:
    """Write the whole of a file that a web server serves in no other way."""
    files, url = file_system(locator)
    file.seek(0)
    file.truncate()
    _wait(files.loop, download(files, url, file))


def _wait(loop: Any, work: Coroutine[Any, Any, Any]) -> Any:
    """What comes of a coroutine in the thread in which fsspec talks to the world."""

    async def run() -> Any:
        return await work

    from fsspec.asyn import sync  # part of the same extra

    return sync(loop, run)
