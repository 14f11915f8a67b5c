"""Files that lie elsewhere: on the web, in an object store, on a hub.

Comes in: a locator such as `s3://bucket/model.pt`. Goes out: a `RemoteSource`, and the files that a
locator with a wildcard or a folder means. Promise: only ranges are asked for, what is asked for
together is fetched together, and no credential of a locator reaches a message.

The file systems are fsspec's; tokens, endpoints and offline behaviour are those of its libraries.
"""

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self, TypeVar

from ..errors import BadPolicy, NotPatchable, Unreadable
from .budget import Budget

BLOCK = 1 << 15
"""Bytes of a block: a header, a directory or a layer's biases mostly fit into one."""

MAX_CACHED = 256
"""Blocks of one file that are kept: 8 MiB."""

MAX_GAP = 1
"""Blocks between two that are needed which are fetched with them: cheaper than one more request."""

TRIES = 4
PAUSE = 0.25
"""Seconds before the second try; doubled for each further one, and stretched at random by up to as
much again, so that a thousand readers do not come back at once.
"""

TIMEOUT = 60
"""Seconds for one request."""

RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP states after which the same range may be asked for again (RFC 9110, 15)."""

EXTRAS = {"s3": "s3", "gs": "gcs", "gcs": "gcs", "hf": "hub"}
"""Which extra of this package brings a scheme; `remote` brings the others."""

T = TypeVar("T")


def find(locator: str) -> list[str] | None:
    """The files that a locator means: of a wildcard or a folder all below it, else None: itself."""
    scheme = locator.partition("://")[0]
    wild = any(sign in locator.partition("?")[0] for sign in "*[")
    if scheme in ("http", "https") and not wild:
        return None  # a web server has no folders
    files, path = _file_system(locator)
    if wild:
        found = _tried(locator, lambda: files.glob(path))
    elif _tried(locator, lambda: files.isdir(path)):
        found = _tried(locator, lambda: files.find(path))
    else:
        return None
    return sorted(files.unstrip_protocol(name) for name in found)


class RemoteSource:
    """A file read by ranges, in blocks that are kept; raises `Unreadable` for what the other side
    refuses, cuts short, or changes meanwhile. `name` is the locator without what may be secret.
    """

    placed = False

    def __init__(self, locator: str, name: str, budget: Budget | None = None) -> None:
        self.name = name
        self.budget = budget or Budget()
        self._locator = locator
        self._files, self._path = _file_system(locator)
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._lock = threading.Lock()
        info = self._info(BLOCK)
        if not isinstance(info.get("size"), int):
            raise Unreadable("the server does not say how long the file is")
        self.size: int = info["size"]
        self._version = _version(info)
        if "head" in info:
            self._blocks[0] = info["head"]

    def read(self, at: int, n: int) -> bytes:
        """Exactly `n` bytes from `at`."""
        self.budget.load(n)
        if n <= 0:
            return b""
        first, last = at // BLOCK, (at + n - 1) // BLOCK
        with self._lock:
            self._fetch(range(first, last + 1))
            data = b"".join(self._blocks[k] for k in range(first, last + 1))
            self._forget()
        return data[at - first * BLOCK : at - first * BLOCK + n]

    def prefetch(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetch these (place, length) together, as far as they can be kept."""
        wanted = {
            k
            for at, n in ranges
            if n > 0
            for k in range(at // BLOCK, min(at + n - 1, self.size - 1) // BLOCK + 1)
        }
        with self._lock:
            self._fetch(sorted(wanted)[:MAX_CACHED])

    def settle(self) -> None:
        """Raise `Unreadable` (kind `changed`) if the file is another one than at opening."""
        if _version(self._info(1)) != self._version:
            raise Unreadable("the file changed while it was being read; try again", kind="changed")

    def close(self) -> None:
        """Forget what was kept."""
        self._blocks.clear()

    @property
    def identity(self) -> tuple[int, int, int, int]:
        """There is none that a patch could hold on to; raises `NotPatchable` with what to do."""
        name = self.name.rpartition("/")[2]
        raise NotPatchable(
            f"a file that lies elsewhere is not patched: download it ({name}), "
            f"`lstm-audit patch {name} …`, and upload it again"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _info(self, n: int) -> dict[str, Any]:
        """What the store says of the file; of the web it is said beside the first `n` bytes."""
        if self._locator.startswith(("http://", "https://")):
            return _tried(self._locator, lambda: _ask_web(self._files, self._path, n))
        info: dict[str, Any] = _tried(self._locator, lambda: self._files.info(self._path))
        return info

    def _fetch(self, blocks: Sequence[int]) -> None:
        """Make sure of these blocks; those that are missing come in one batch of ranges."""
        missing = [k for k in blocks if k not in self._blocks]
        if not missing:
            return
        runs = _runs(missing)
        starts = [first * BLOCK for first, _ in runs]
        ends = [min((last + 1) * BLOCK, self.size) for _, last in runs]
        paths = [self._path] * len(runs)
        got = _tried(self._locator, lambda: self._files.cat_ranges(paths, starts, ends))
        for (first, last), start, end, data in zip(runs, starts, ends, got, strict=True):
            if len(data) != end - start:
                message = f"{len(data)} bytes came where {end - start} were asked for"
                raise Unreadable(message, kind="changed")
            for k in range(first, last + 1):
                at = (k - first) * BLOCK
                self._blocks[k] = bytes(data[at : at + BLOCK])

    def _forget(self) -> None:
        while len(self._blocks) > MAX_CACHED:
            self._blocks.popitem(last=False)


def _ask_web(files: Any, url: str, n: int) -> dict[str, Any]:
    """Size, version and first bytes in one request. A server that knows no ranges answers 200, and
    then nothing of the body is read: it could be the whole of a large file.
    """
    from fsspec.asyn import sync  # an extra, see below

    async def ask() -> dict[str, Any]:
        session = await files.set_session()
        headers = {"Range": f"bytes=0-{n - 1}", "Accept-Encoding": "identity"}
        async with session.get(files.encode_url(url), headers=headers) as answer:
            answer.raise_for_status()
            size = answer.headers.get("Content-Range", "").rpartition("/")[2]
            if answer.status != 206 or not size.isdigit():
                raise Unreadable(
                    "the server serves no ranges: download the file and audit it there"
                )
            head = await answer.content.read(n) if int(size) else b""
            while len(head) < min(n, int(size)) and (more := await answer.content.read(n)):
                head += more
            if len(head) != min(n, int(size)):
                raise Unreadable(f"{len(head)} bytes came where {n} were asked for", kind="changed")
            said = {key: answer.headers.get(key) for key in ("ETag", "Last-Modified")}
        return {"size": int(size), "head": head, **said}

    found: dict[str, Any] = sync(files.loop, ask)
    return found


def _runs(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring blocks as (first, last), small gaps between them included."""
    runs: list[tuple[int, int]] = []
    for k in blocks:
        if runs and k - runs[-1][1] <= MAX_GAP + 1:
            runs[-1] = runs[-1][0], k
        else:
            runs.append((k, k))
    return runs


def _version(info: dict[str, Any]) -> tuple[object, ...]:
    """What tells one version of a file from another, as far as the store says it."""
    keys = ("size", "ETag", "etag", "generation", "Last-Modified", "LastModified", "mtime", "oid")
    return tuple(str(info.get(key)) for key in keys)


def _file_system(locator: str) -> tuple[Any, str]:
    """fsspec's file system of a scheme, and the path in it."""
    scheme = locator.partition("://")[0]
    try:
        import fsspec  # an extra: local files never need it

        options = {} if scheme not in ("http", "https") else {"client_kwargs": _client()}
        files, path = fsspec.core.url_to_fs(locator, use_listings_cache=False, **options)
    except ImportError:
        extra = EXTRAS.get(scheme, "remote")
        message = f"reading {scheme}:// needs `pip install 'lstm-audit[{extra}]'`"
        raise BadPolicy(message) from None
    except ValueError:
        raise BadPolicy(f"nothing here reads {scheme}://") from None
    return files, path


def _client() -> dict[str, Any]:
    import aiohttp  # part of the same extra

    return {"timeout": aiohttp.ClientTimeout(total=TIMEOUT)}


def _tried(locator: str, ask: Callable[[], T]) -> T:
    """The answer, after a few tries where a refusal may pass. The libraries' own texts are not
    repeated: they hold the locator, and with it what may be secret.
    """
    for left in reversed(range(TRIES)):
        try:
            return ask()
        except Unreadable:
            raise
        except FileNotFoundError:
            raise Unreadable("there is no such file") from None
        except PermissionError:
            raise Unreadable("access is denied: are the credentials there?") from None
        except Exception as error:  # noqa: BLE001 # every library raises its own kinds
            if not left or not _may_pass(error):
                raise Unreadable(f"cannot read: {_kind(error)}") from None
        time.sleep(PAUSE * 2 ** (TRIES - 1 - left) * (1 + random.random()))  # noqa: S311 # a pause
    raise AssertionError("the last try returns or raises")


def _may_pass(error: Exception) -> bool:
    """Whether the same question may be answered later."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status in RETRIED
    return isinstance(error, OSError | TimeoutError) or "Client" in type(error).__name__


def _kind(error: Exception) -> str:
    status = getattr(error, "status", None)
    return f"HTTP {status}" if isinstance(status, int) else type(error).__name__
