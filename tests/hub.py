"""The endpoint of a hub on this machine: enough of it for one repository with one revision."""

import json
import re
from hashlib import sha1
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote, urlsplit


class Hub(BaseHTTPRequestHandler):
    """The endpoint of a hub: enough of it for one repository with one revision."""

    protocol_version = "HTTP/1.1"
    files: ClassVar[dict[str, bytes | Path]] = {}
    asked: ClassVar[list[str]] = []
    sent: ClassVar[list[int]] = []  # bytes of the bodies of files
    tokens: ClassVar[set[str]] = set()

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def do_POST(self) -> None:
        type(self).asked.append(f"POST {self.path}")
        size = int(self.headers.get("Content-Length", 0))
        wanted = re.findall(r"paths=([^&]*)", self.rfile.read(size).decode()) or [""]
        names = [unquote(name.replace("+", " ")) for name in wanted]
        self.say([entry for name in names for entry in self.info(name)])

    def info(self, name: str) -> list[dict]:
        if name in self.files:
            return [self.entry(name)]
        below = any(one.startswith(f"{name}/") for one in self.files)
        return [{"type": "directory", "path": name, "oid": "0" * 40}] if below else []

    def tree(self, folder: str, recursive: bool) -> list[dict]:
        prefix = f"{folder}/" if folder else ""
        below = [name for name in sorted(self.files) if name.startswith(prefix)]
        direct = [name for name in below if "/" not in name[len(prefix) :]]
        deep = {name[len(prefix) :].partition("/")[0] for name in below if name not in direct}
        folders = [{"type": "directory", "path": prefix + one, "oid": "0" * 40} for one in deep]
        return [*folders, *map(self.entry, below if recursive else direct)]

    def entry(self, name: str) -> dict:
        return {"type": "file", "path": name, "size": self.size(name), "oid": self.oid(name)}

    def size(self, name: str) -> int:
        data = self.files[name]
        return data.stat().st_size if isinstance(data, Path) else len(data)

    def oid(self, name: str) -> str:
        data = self.files[name]
        told = str(data.stat().st_mtime_ns).encode() if isinstance(data, Path) else data
        return sha1(told, usedforsecurity=False).hexdigest()

    def answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        type(self).asked.append(f"{self.command} {path} {self.headers.get('Range', '')}".strip())
        type(self).tokens.add(self.headers.get("Authorization", ""))
        if path.startswith("/api/models/org/repo/tree/"):
            folder = path.removeprefix("/api/models/org/repo/tree/").partition("/")[2]
            self.say(self.tree(folder, "recursive=true" in self.path.lower()))
        elif path.startswith("/api/models/org/repo"):
            self.say(
                {
                    "id": "org/repo",
                    "sha": "1" * 40,
                    "siblings": [],
                    "private": False,
                    "tags": [],
                    "downloads": 0,
                    "likes": 0,
                    "modelId": "org/repo",
                }
            )
        elif path.startswith("/org/repo/resolve/"):
            name = path.split("/", 5)[5]
            self.give(name, body)
        else:
            self.say({"error": "not found"}, 404)

    def give(self, name: str, body: bool) -> None:
        if name not in self.files:
            self.say({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
            return
        size, data = self.size(name), self.files[name]
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start, stop = (int(found[1]), int(found[2] or size - 1) + 1) if found else (0, size)
        stop = min(stop, size)
        if isinstance(data, Path):
            with data.open("rb") as file:
                file.seek(start)
                part = file.read(stop - start) if body else b""
        else:
            part = data[start:stop]
        self.send_response(206 if found else 200)
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("ETag", f'"{self.oid(name)}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.end_headers()
        if body:
            type(self).sent.append(len(part))
            self.wfile.write(part)

    def say(
        self, document: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        data = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
