"""A web server of ranges for tests and benchmarks, that counts, waits, and lies as it is told.

`with serving(folder) as web:` serves the files below a folder; `web.url("a/b.pt")` is a locator,
`web.asked` every request that carried a range, in rounds: those that were under way together.
`web.lie` is one of `LIES`, `web.several` of `SEVERAL`. By hand: `python tests/web.py FOLDER [LATENCY]` serves until it is ended.
"""

import asyncio
import re
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from urllib.parse import unquote, urlsplit

# How a server answers a list of ranges (RFC 9110, 14.2 lets it choose).
SEVERAL = {
    "parts": "each in a part",
    "backwards": "each in a part, the last one first",
    "one fewer": "all but the last",
    "first": "the first range alone",
    "whole": "200 with everything",
    "refused": "416",
    "shifted": "each part a byte late, and says so",
    "torn": "cut off in the last part",
    "unsized": "parts that do not say the size of the file",
    "endless": "a megabyte behind the parts",
}

LIES = (
    "no ranges",  # answers 200 with everything
    "short",  # a byte less than promised, then the connection is closed
    "long",  # a byte more than asked for, and says so
    "other place",  # a range that was not asked for
    "changes",  # another ETag after the first answer
    "shrinks",  # says another size after the first answer
    "drips",  # a byte a tenth of a second
    "no size",  # Content-Range with an asterisk
    "zipped",  # a Content-Encoding that nobody asked for
    "never",  # takes the question and gives no answer
)


class Web:
    """The state of a server: what it serves, how it behaves, what it was asked."""

    def __init__(self, folder: Path, latency: float = 0.0) -> None:
        self.folder, self.latency = folder, latency
        self.lie = ""
        self.several = "parts"
        self.failures: list[int] = []  # status codes of the next answers
        self.failures_of_lists: list[int] = []  # the same, where several ranges are asked for
        self.headers: dict[str, str] = {}  # more headers of every answer
        self.asked: list[str] = []
        self.sent: Counter[str] = Counter()  # bytes of bodies by path
        self.rounds: list[int] = []  # requests of each round trip
        self.queries: list[str] = []
        self.authorization: list[str] = []
        self._busy = 0
        self.port = 0

    def url(self, path: str, user: str = "", query: str = "") -> str:
        """The locator of a file."""
        at = f"{user}@" if user else ""
        return f"http://{at}127.0.0.1:{self.port}/{path}{'?' + query if query else ''}"

    @property
    def requests(self) -> int:
        """How many were answered."""
        return len(self.asked)

    @property
    def bytes(self) -> int:
        """Of all bodies."""
        return sum(self.sent.values())

    def forget(self) -> None:
        """Count anew."""
        for counts in (self.asked, self.rounds, self.queries, self.authorization):
            counts.clear()
        self.sent.clear()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept open for request after request."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = {
                    k.lower(): v.strip() for k, _, v in (x.partition(":") for x in lines[1:])
                }
                method, target, _ = lines[0].split(" ", 2)
                # What comes while another waits is of the same round trip.
                if self._busy and self.rounds:
                    self.rounds[-1] += 1
                else:
                    self.rounds.append(1)
                self._busy += 1
                try:
                    await asyncio.sleep(self.latency)
                    keep = await self.answer(method, target, headers, writer)
                finally:
                    self._busy -= 1
                await writer.drain()
                if not keep:
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, method, target, headers, writer) -> bool:
        """One request; whether the connection stays open."""
        parts = urlsplit(target)
        path = unquote(parts.path).lstrip("/")
        wanted = headers.get("range", "")
        self.asked.append(f"{method} {path} {wanted}")
        self.queries.append(parts.query)
        self.authorization.append(headers.get("authorization", ""))
        if self.lie == "never":
            await asyncio.sleep(3600)
        if self.failures:
            return self.say(writer, self.failures.pop(0), {})
        if "," in wanted and self.failures_of_lists:
            return self.say(writer, self.failures_of_lists.pop(0), {})
        file = self.folder / path
        if not file.is_file():
            return self.say(writer, 404, {})
        if "," in wanted and self.several not in ("first", "whole"):
            return await self.send_parts(path, wanted, writer)
        status, start, stop, size = self.range_of(file, wanted)
        if status == 416:
            return self.say(writer, 416, {"Content-Range": f"bytes */{size}"})
        return await self.send(method, path, status, (start, stop, size), writer)

    def range_of(self, file: Path, wanted: str) -> tuple[int, int, int, int]:
        """Status, first byte, byte behind the last, size."""
        size = file.stat().st_size
        if self.several == "first":
            wanted = wanted.partition(",")[0]
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        if not found or self.lie == "no ranges":
            return 200, 0, size, size
        start, stop = int(found[1]), min(int(found[2] or size - 1) + 1, size)
        if start >= size:
            return 416, 0, 0, size
        if self.lie == "long":
            stop = min(stop + 1, size)
        if self.lie == "other place" and start:
            start, stop = start - 1, stop - 1
        return 206, start, stop, size

    async def send_parts(self, path: str, wanted: str, writer) -> bool:
        """Several ranges in one answer, as nginx writes them, or as `several` says."""
        file = self.folder / path
        size = file.stat().st_size
        if self.several == "refused":
            return self.say(writer, 416, {"Content-Range": f"bytes */{size}"})
        places = [tuple(map(int, one.split("-"))) for one in wanted[len("bytes=") :].split(",")]
        places = places[::-1] if self.several == "backwards" else places
        places = places[:-1] if self.several == "one fewer" else places
        late = self.several == "shifted"
        said = "*" if self.several == "unsized" else size
        body = b""
        with file.open("rb") as opened:
            for first, last in ((a + late, min(b + late, size - 1)) for a, b in places):
                opened.seek(first)
                head = f"Content-Type: binary\r\nContent-Range: bytes {first}-{last}/{said}"
                body += f"\r\n--0001\r\n{head}\r\n\r\n".encode() + opened.read(last + 1 - first)
        body = body[:-1] if self.several == "torn" else body + b"\r\n--0001--\r\n"
        body += bytes(1 << 20) if self.several == "endless" else b""
        later = self.lie == "changes" and len(self.asked) > 1
        headers = {
            "Content-Type": "multipart/byteranges; boundary=0001",
            "Content-Length": str(len(body)),
            "ETag": '"another"' if later else f'"{file.stat().st_mtime_ns:x}-{size:x}"',
        }
        self.say(writer, 206, headers)
        writer.write(body)
        self.sent[path] += len(body)
        return True

    async def send(self, method, path, status, place, writer) -> bool:
        """The body, or what stands for it."""
        start, stop, size = place
        file = self.folder / path
        later = len(self.asked) > 1
        tag = f'"{file.stat().st_mtime_ns:x}-{size:x}"'
        if self.lie == "changes" and later:
            tag = '"another"'
        claimed = size - 1 if self.lie == "shrinks" and later else size
        headers = {
            "Content-Length": str(stop - start),
            "ETag": tag,
            "Last-Modified": formatdate(file.stat().st_mtime, usegmt=True),
        }
        if status == 206:
            said = "*" if self.lie == "no size" else str(claimed)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{said}"
            headers["Accept-Ranges"] = "bytes"
        if self.lie == "zipped":
            headers["Content-Encoding"] = "gzip"
        self.say(writer, status, headers)
        if method == "HEAD":
            return True
        return await self.body(file, start, stop, path, writer)

    async def body(self, file, start, stop, path, writer) -> bool:
        with file.open("rb") as opened:
            opened.seek(start)
            while start < stop:
                data = opened.read(min(1 << 20, stop - start))
                if self.lie == "drips":
                    data = data[:1]
                    await asyncio.sleep(0.1)
                    opened.seek(start + 1)
                if self.lie == "short" and start + len(data) == stop:
                    writer.write(data[:-1])
                    return False
                writer.write(data)
                self.sent[path] += len(data)
                start += len(data)
                await writer.drain()
        return True

    def say(self, writer, status: int, headers: dict[str, str]) -> bool:
        lines = {"Content-Length": "0", **headers, **self.headers}
        text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {status} Said\r\n{text}\r\n".encode("latin-1"))
        return True


@contextmanager
def serving(folder: Path, latency: float = 0.0) -> Iterator[Web]:
    """A server in a thread of its own, for as long as the block runs."""
    web, loop = Web(Path(folder), latency), asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(web.serve, "127.0.0.1", 0, backlog=256))
    web.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield web
    finally:
        asyncio.run_coroutine_threadsafe(_end(server), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _end(server: asyncio.Server) -> None:
    """Close the server, and let go of the connections that are still open."""
    server.close()
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


async def serve_until_ended(folder: Path, latency: float) -> None:
    web = Web(folder, latency)
    server = await asyncio.start_server(web.serve, "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(
        serve_until_ended(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0)
    )
