"""Files that lie elsewhere: fsspec's memory, and a web server of our own that also lies."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from command import CLEAN, MODEL, run

import lstm_audit
from lstm_audit.errors import AuditError, BadPolicy, Unreadable
from lstm_audit.inputs import is_remote, label
from lstm_audit.raw import remote
from lstm_audit.raw.remote import BLOCK, RemoteSource, find

fsspec = pytest.importorskip("fsspec", reason="fsspec reads what lies elsewhere: .[remote]")


@pytest.fixture
def memory() -> Iterator[object]:
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


def put(files, path: str, data: bytes) -> str:
    with files.open(path, "wb") as file:
        file.write(data)
    return f"memory://{path}"


@pytest.mark.parametrize("path", sorted(CLEAN.glob("*.*")), ids=lambda path: path.name)
def test_a_remote_file_gives_what_the_local_one_gives(memory, path: Path) -> None:
    if path.suffix == ".json":
        pytest.skip("an index has its shards beside it")
    locator = put(memory, f"/models/{path.name}", path.read_bytes())
    there, here = lstm_audit.audit(locator), lstm_audit.audit(path)
    assert [row.measures for row in there.rows] == [row.measures for row in here.rows]
    assert [f.format for f in there.files] == [f.format for f in here.files]


def test_folders_and_wildcards(memory) -> None:
    for name in ("a.pt", "b/c.pt", "notes.txt"):
        put(memory, f"/models/{name}", MODEL.read_bytes() if name != "notes.txt" else b"x")
    found = lstm_audit.audit("memory:///models")
    assert [file.path.rpartition("/")[2] for file in found.files] == ["a.pt", "c.pt"]
    assert found.ignored == 1
    assert len(lstm_audit.audit("memory:///models/*.pt").files) == 1


def test_an_index_stands_for_its_shards(memory) -> None:
    folder = next(path.parent for path in CLEAN.rglob("*.index.json"))
    for path in folder.iterdir():
        put(memory, f"/sharded/{path.name}", path.read_bytes())
    there, here = lstm_audit.audit("memory:///sharded"), lstm_audit.audit(folder)
    assert [row.measures for row in there.rows] == [row.measures for row in here.rows]
    assert len(there.files) == len(here.files)


def test_jobs_overlap_remote_files(memory) -> None:
    locators = [put(memory, f"/m/{k}.pt", MODEL.read_bytes()) for k in range(6)]
    alone = lstm_audit.audit(locators)
    assert lstm_audit.audit(locators, jobs=4).to_dict() == alone.to_dict()


def test_reads_are_ranges_of_blocks(memory) -> None:
    data = bytes(range(256)) * 2000
    source = RemoteSource(put(memory, "/x", data), "x")
    for at, n in ((0, 5), (BLOCK - 2, 4), (len(data) - 3, 3), (BLOCK * 3 + 1, BLOCK * 2), (7, 0)):
        assert source.read(at, n) == data[at : at + n]
    with source:
        source.settle()
    put(memory, "/x", data + b"!")
    with pytest.raises(Unreadable) as error:
        source.settle()
    assert error.value.kind == "changed"


def test_patch_is_refused_with_what_to_do(memory) -> None:
    locator = put(memory, "/m.pt", MODEL.read_bytes())
    with pytest.raises(AuditError, match=r"download m\.pt"):
        lstm_audit.patch(locator, forget_bias=2.0)


@pytest.mark.parametrize("text", ["C:\\models\\a.pt", "ab://", "./a.pt", "org/repo", "1a://b"])
def test_what_is_no_locator(text: str) -> None:
    assert is_remote(text) is (text == "ab://")


def test_secrets_are_not_shown() -> None:
    secret = "https://user:pa55@host/dir/m.pt?X-Amz-Signature=5ecret#frag"
    assert label(secret) == "https://host/dir/m.pt"


def test_a_missing_extra_prints_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    for locator, extra in (("s3://b/m.pt", "s3"), ("hf://o/r/m.pt", "hub"), ("gs://b/m", "gcs")):
        with pytest.raises(BadPolicy, match=rf"pip install 'lstm-audit\[{extra}\]'"):
            RemoteSource(locator, locator)


def test_an_unknown_scheme_is_a_usage_error() -> None:
    assert run("audit", "nothing-of-the-kind://x/y").exit_code == 2


class Server(BaseHTTPRequestHandler):
    """Serves ranges of one file, and lies as it is told."""

    data: ClassVar[bytes] = b""
    lie: ClassVar[str] = ""
    failures: ClassVar[int] = 0
    requests: ClassVar[list[str]] = []
    etag: ClassVar[str] = '"one"'

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        cls = type(self)
        cls.requests.append(f"{self.command} {self.headers.get('Range', '')}")
        if cls.failures and body:
            cls.failures -= 1
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, wanted = cls.data, self.headers.get("Range")
        status = 200
        if wanted and cls.lie != "no ranges":
            start, _, stop = wanted.removeprefix("bytes=").partition("-")
            data = data[int(start) : int(stop or len(data)) + 1]
            status = 206
        if cls.lie == "short" and body:
            data = data[:-1]
        self.send_response(status)
        if cls.lie != "no ranges":
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", cls.etag)
        if status == 206:
            self.send_header("Content-Range", f"bytes 0-1/{len(cls.data)}")
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="fsspec's web files need aiohttp: .[remote]")
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    for name, value in {
        "data": MODEL.read_bytes(),
        "lie": "",
        "failures": 0,
        "requests": [],
    }.items():
        monkeypatch.setattr(Server, name, value)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://user:pa55@127.0.0.1:{server.server_port}/m.pt?token=5ecret"
    server.shutdown()
    server.server_close()


def test_a_web_server(web: str) -> None:
    found = lstm_audit.audit(web)
    assert [r.measures for r in found.rows] == [r.measures for r in lstm_audit.audit(MODEL).rows]
    assert "5ecret" not in str(found.to_dict())
    assert "pa55" not in str(found.to_dict())
    assert len(Server.requests) <= 4, Server.requests


def test_a_refusal_that_passes_is_asked_again(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "failures", 2)
    assert len(lstm_audit.audit(web).rows) == 4
    monkeypatch.setattr(Server, "failures", 99)
    (error,) = lstm_audit.audit(web).errors
    assert error.kind == "io"
    assert "5ecret" not in error.message


@pytest.mark.parametrize(("lie", "kind"), [("no ranges", "io"), ("short", "changed")])
def test_a_server_that_lies_is_an_error(
    web: str, lie: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "lie", lie)
    (error,) = lstm_audit.audit(web).errors
    assert error.kind in (kind, "io")
    assert "5ecret" not in error.message


def test_a_file_that_is_not_there(web: str) -> None:
    assert find(web) is None
    result = run("audit", web.replace("http://", "http://").replace("127.0.0.1", "127.0.0.1"))
    assert result.exit_code == 0
    assert "5ecret" not in result.stdout
