"""Endpoints of Google's and Azure's stores on this machine: enough of each to read objects by range,
to look at one, and to list a folder. `asked` are the requests, `sent` the bytes of the bodies.

Google: the JSON API (https://cloud.google.com/storage/docs/json_api/v1). Azure: the Blob service
(https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api).
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "models"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Of every emulator of Azure; it opens nothing."""


class Cloud(BaseHTTPRequestHandler):
    """Both stores; a path tells which is meant."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes | Path]] = {}
    asked: ClassVar[list[str]] = []
    sent: ClassVar[list[int]] = []
    failures: ClassVar[list[int]] = []

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        wanted = self.headers.get("x-ms-range") or self.headers.get("Range") or ""
        self.asked.append(f"{self.command} {self.path} {wanted}".strip())
        if self.failures:
            return self.say(self.failures.pop(0), b"")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path.startswith(f"/{ACCOUNT}/"):
            return self.azure(parts.path.removeprefix(f"/{ACCOUNT}/{BUCKET}").lstrip("/"), query)
        name = unquote(parts.path.partition(f"/b/{BUCKET}/o")[2].lstrip("/"))
        return self.google(name, query)

    def google(self, name: str, query: dict[str, str]) -> None:
        if not name:
            items, prefixes = self.listing(query)
            entries = [self.object(one) for one in items]
            return self.json({"items": entries, "prefixes": prefixes})
        if name not in self.files:
            return self.json({"error": {"code": 404, "message": "No such object"}}, 404)
        if query.get("alt") == "media":
            extra = {"X-Goog-Generation": self.version(name), "ETag": f'"{self.version(name)}"'}
            return self.give(name, extra)
        return self.json(self.object(name))

    def object(self, name: str) -> dict[str, str]:
        return {
            "kind": "storage#object", "name": name, "bucket": BUCKET, "size": str(self.size(name)),
            "generation": self.version(name), "etag": self.version(name),
            "updated": "2026-01-01T00:00:00.000Z", "timeCreated": "2026-01-01T00:00:00.000Z",
        }  # fmt: skip

    def azure(self, name: str, query: dict[str, str]) -> None:
        name = unquote(name)
        if query.get("comp") == "list":
            items, prefixes = self.listing(query)
            blobs = "".join(map(self.blob, items))
            blobs += "".join(f"<BlobPrefix><Name>{one}</Name></BlobPrefix>" for one in prefixes)
            body = f'<?xml version="1.0"?><EnumerationResults ContainerName="{BUCKET}"><Blobs>{blobs}</Blobs><NextMarker/></EnumerationResults>'
            return self.say(200, body.encode(), {"Content-Type": "application/xml"})
        if name not in self.files:
            return self.say(404, b"", {"x-ms-error-code": "BlobNotFound"})
        extra = {
            "ETag": f'"{self.version(name)}"', "x-ms-blob-type": "BlockBlob",
            "Last-Modified": formatdate(0, usegmt=True), "Accept-Ranges": "bytes",
            "x-ms-creation-time": formatdate(0, usegmt=True), "x-ms-version": "2021-01-01",
        }  # fmt: skip
        return self.give(name, extra)

    def blob(self, name: str) -> str:
        when = formatdate(0, usegmt=True)
        said = f"<Creation-Time>{when}</Creation-Time><Last-Modified>{when}</Last-Modified>"
        said += (
            f"<Etag>{self.version(name)}</Etag><Content-Length>{self.size(name)}</Content-Length>"
        )
        kind = "<BlobType>BlockBlob</BlobType>"
        return f"<Blob><Name>{name}</Name><Properties>{said}{kind}</Properties></Blob>"

    def listing(self, query: dict[str, str]) -> tuple[list[str], list[str]]:
        """The objects below a prefix, and the folders where a delimiter is told."""
        prefix, parting = query.get("prefix", ""), query.get("delimiter")
        below = sorted(name for name in self.files if name.startswith(prefix))
        if not parting:
            return below, []
        deep = {name for name in below if parting in name[len(prefix) :]}
        folders = {prefix + name[len(prefix) :].partition(parting)[0] + parting for name in deep}
        return [name for name in below if name not in deep], sorted(folders)

    def size(self, name: str) -> int:
        data = self.files[name]
        return data.stat().st_size if isinstance(data, Path) else len(data)

    def version(self, name: str) -> str:
        data = self.files[name]
        told = str(data.stat().st_mtime_ns).encode() if isinstance(data, Path) else data
        return str(int(md5(told, usedforsecurity=False).hexdigest()[:12], 16))

    def give(self, name: str, extra: dict[str, str]) -> None:
        """The range that is asked for."""
        size = self.size(name)
        wanted = self.headers.get("x-ms-range") or self.headers.get("Range") or ""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        start = int(found[1]) if found else 0
        stop = min(int(found[2] or size - 1) + 1, size) if found else size
        if self.command == "HEAD":
            return self.say(200, b"", {**extra, "Content-Length": str(size)})
        if found and start >= size:
            return self.say(416, b"", {"Content-Range": f"bytes */{size}"})
        data = self.files[name]
        if isinstance(data, Path):
            with data.open("rb") as file:
                file.seek(start)
                part = file.read(stop - start)
        else:
            part = data[start:stop]
        extra |= {"Content-Range": f"bytes {start}-{stop - 1}/{size}"} if found else {}
        self.sent.append(len(part))
        return self.say(206 if found else 200, part, extra)

    def json(self, document: object, status: int = 200) -> None:
        self.say(status, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def say(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def serve_clouds(files: dict[str, bytes | Path]) -> Iterator[str]:
    """Both endpoints with these objects, for as long as the block runs; their address."""
    Cloud.files = files
    Cloud.asked.clear()
    Cloud.sent.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
    server.handle_error = lambda *_: None  # a client that closes early is none
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def environment(address: str) -> dict[str, str]:
    """What tells gcsfs and adlfs where the stores are."""
    account = f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={address}/{ACCOUNT}"
    return {
        "STORAGE_EMULATOR_HOST": address,
        "NO_GCE_CHECK": "true",  # google.auth would look for a server of Google's cloud
        "AZURE_STORAGE_CONNECTION_STRING": f"DefaultEndpointsProtocol=http;{account};",
    }
