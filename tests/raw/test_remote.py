"""Files that lie elsewhere: fsspec's memory, and a web server of our own that also lies."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import CLEAN, MODEL, run, untraced
from large import SUFFIX, WRITERS, write_safetensors
from web import LIES, SEVERAL, Web, serving

import lstm_audit
from lstm_audit import fleet, pipeline, spread
from lstm_audit.errors import AuditError, BadPolicy, Unreadable
from lstm_audit.raw import attempts
from lstm_audit.raw import web as web_store
from lstm_audit.raw.locators import is_remote, label
from lstm_audit.raw.remote import BLOCK, RemoteSource
from lstm_audit.raw.source import FileSource

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


def test_a_wildcard_that_matches_nothing_is_an_error(memory) -> None:
    with pytest.raises(FileNotFoundError, match="no file matches this pattern"):
        lstm_audit.audit("memory://none/*.pt")


def test_what_cannot_be_listed_is_its_own_error(memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.pipe("/one.pt", MODEL.read_bytes())

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no")

    monkeypatch.setattr(type(memory), "glob", refuse)
    found = lstm_audit.audit(["memory://a/*.pt", "memory://one.pt"])
    assert [(e.path, e.kind) for e in found.errors] == [("memory://a/*.pt", "io")]
    assert "access is denied" in found.errors[0].message
    assert len(found.rows) == 4


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
    with pytest.raises(AuditError, match=r"download m.pt, `lstm-audit patch m.pt …`"):
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
        with pytest.raises(BadPolicy, match=rf"lstm-audit\[{extra}\]: `pip install '"):
            RemoteSource(locator, locator)


def test_an_unknown_scheme_is_a_usage_error() -> None:
    assert run("audit", "nothing-of-the-kind://x/y").exit_code == 2


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    pytest.importorskip("aiohttp", reason="fsspec's web files need aiohttp: .[remote]")
    monkeypatch.setattr(attempts, "PAUSE", 0.01)
    monkeypatch.setattr(web_store, "_hosts_of_one_range", set())  # of a server on the same port
    (tmp_path / "m.pt").write_bytes(MODEL.read_bytes())
    with serving(tmp_path) as server:
        yield server


SECRET = {"user": "user:pa55", "query": "X-Amz-Signature=5ecret"}


def hides(text: object) -> bool:
    return not any(word in str(text) for word in ("pa55", "5ecret", "user:"))


def test_a_web_server(web: Web) -> None:
    found = lstm_audit.audit(web.url("m.pt", **SECRET))
    assert [r.measures for r in found.rows] == [r.measures for r in lstm_audit.audit(MODEL).rows]
    assert hides(found)
    assert web.requests == 1  # all of a small file comes with its head
    assert web.queries == ["X-Amz-Signature=5ecret"]
    assert web.authorization == ["Basic dXNlcjpwYTU1"]


def test_a_url_is_taken_as_it_stands(web: Web) -> None:
    """For fsspec two colons part a chain of file systems."""
    (web.folder / "a::b.pt").write_bytes(MODEL.read_bytes())
    assert len(lstm_audit.audit(web.url("a::b.pt", query="c=d::e")).rows) == 4
    assert web.queries == ["c=d::e"]


def test_nothing_of_a_small_file_is_planned(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it came with its head: it is read as a local file is."""
    with RemoteSource(web.url("m.pt"), "m") as source:
        monkeypatch.setattr(source, "_fetch", None)
        data = MODEL.read_bytes()
        assert not source.far
        assert source.read(0, len(data)) == data
        assert source.read(100, 7) == data[100:107]
        assert source.read(5, 0) == source.read(5, -1) == b""


def test_a_sharded_url_is_not_read_again(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its files is asked whether it is still the same, with the token of the index."""
    folder = next(path.parent for path in CLEAN.rglob("*.index.json"))
    for path in folder.iterdir():
        shutil.copy(path, web.folder / path.name)
    (index,) = (path.name for path in folder.glob("*.index.json"))
    shards = [path for path in web.folder.iterdir() if "-of-" in path.name]
    kept = tmp_path / "results.jsonl"
    words = ("audit", "-f", "csv", "--resume", kept, web.url(index, query="t=1"))
    audited = []

    def count(given, request):
        audited.append(given.path)
        return pipeline.audit_input(given, request)

    monkeypatch.setattr(fleet, "audit_input", count)
    first, lines = run(*words), kept.read_bytes()
    assert (first.exit_code, len(audited)) == (0, 1)
    web.forget()
    assert run(*words).stdout == first.stdout
    assert len(audited) == 1
    assert web.requests == 1 + len(shards) == 3
    assert set(web.queries) == {"t=1"}
    assert kept.read_bytes() == lines
    os.utime(shards[0], ns=(1, 1))
    assert run(*words).stdout == first.stdout
    assert len(audited) == 2


@pytest.mark.parametrize("kind", WRITERS)
def test_a_gigabyte_takes_few_requests_and_round_trips(kind: str, web: Web) -> None:
    """Four LSTMs, whose numbers tell that the right bytes were read."""
    if kind == "h5":
        pytest.importorskip("h5py", reason="h5py writes the large file: .[references]")
    path = WRITERS[kind](web.folder / f"large{SUFFIX[kind]}")
    assert path.stat().st_size > 1 << 30
    assert path.stat().st_blocks * 512 < 16 << 20
    found = lstm_audit.audit(web.url(path.name))
    here = lstm_audit.audit(path)
    assert [row.measures for row in found.rows] == [row.measures for row in here.rows]
    assert len(found.rows) == 4
    assert web.requests <= 6, web.asked
    assert web.bytes <= 512 << 10
    web.forget()
    web.latency = 0.05  # what is under way together is one round
    lstm_audit.audit(web.url(path.name))
    assert len(web.rounds) <= 4, web.rounds


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("hidden", [16, 32, 64, 128, 256, 512])
def test_an_h5_takes_a_request_a_level(hidden: int, spread: bool, libver: str, web: Web) -> None:
    """HDF5 writes structures between the arrays as they come, and large matrices part them: what is
    wanted of a level comes in one answer.
    """
    pytest.importorskip("h5py", reason="h5py writes the large file: .[references]")
    path = WRITERS["h5"](web.folder / "large.h5", hidden, spread, libver)
    web.latency = 0.05
    found = lstm_audit.audit(web.url(path.name))
    assert [row.measures for row in found.rows] == [row.measures for row in lstm_audit.audit(path)]
    assert len(found.rows) == 4
    # The root's links are a list of blocks, each behind the arrays of a layer.
    chain = (libver, spread) == ("latest", True) and hidden > 32
    # Two places, which smaller matrices leave, are asked for apart.
    assert web.requests <= 5 + chain, web.asked
    assert len(web.rounds) <= 4 + chain, web.rounds
    assert web.bytes <= 512 << 10


@pytest.mark.parametrize(
    ("hidden", "spread", "requests"),
    [(32, False, 2), (48, False, 2), (64, False, 5), (256, False, 10), (256, True, 13)],
)
def test_an_h5_where_each_request_is_one_range(
    hidden: int, spread: bool, requests: int, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small matrices are read along with what lies between them. Large ones part more places than
    six, each of which holds something that is needed: then few requests more than these are made.
    """
    pytest.importorskip("h5py", reason="h5py writes the large file: .[references]")
    monkeypatch.setattr(web_store, "_hosts_of_one_range", {f"127.0.0.1:{web.port}"})
    path = WRITERS["h5"](web.folder / "large.h5", hidden, spread)
    places = []
    read = FileSource.read
    monkeypatch.setattr(
        FileSource, "read", lambda self, at, n: places.append((at, at + n)) or read(self, at, n)
    )
    here = [row.measures for row in lstm_audit.audit(path)]
    web.latency = 0.05
    assert [row.measures for row in lstm_audit.audit(web.url(path.name)).rows] == here
    assert not any("," in asked for asked in web.asked)
    assert (web.requests, len(here)) == (requests, 4), web.asked
    assert len(web.rounds) <= 4
    assert web.bytes <= 512 << 10
    fewest = fewest_ranges(places, 512 << 10)
    assert requests <= 6 or fewest in (requests, requests - 1)


@pytest.mark.parametrize(
    ("hidden", "requests", "rounds"), [(32, 2, 2), (48, 2, 2), (64, 5, 4), (256, 11, 5)]
)
def test_a_server_that_knows_no_lists_is_met_with_another_plan(
    hidden: int, requests: int, rounds: int, web: Web
) -> None:
    """Without having been asked before: the list is refused once, then near structures come
    together.
    """
    pytest.importorskip("h5py", reason="h5py writes the large file: .[references]")
    path = WRITERS["h5"](web.folder / "large.h5", hidden)
    web.several, web.latency = "first", 0.05
    assert len(lstm_audit.audit(web.url(path.name)).rows) == 4
    assert (web.requests, len(web.rounds)) == (requests, rounds), web.asked
    assert web.bytes <= 512 << 10


def fewest_ranges(places: list[tuple[int, int]], most: int) -> int:
    """How few ranges hold all these bytes without bringing more than `most`: the nearest joined."""
    gaps, total, end = [], 0, 0
    for start, stop in sorted(places):
        if start > end:
            gaps.append(start - end)
        total += max(0, stop - max(start, end))
        end = max(end, stop)
    while gaps and total + min(gaps) <= most:
        total += gaps.pop(gaps.index(min(gaps)))
    return len(gaps) + 1


@pytest.mark.parametrize("several", SEVERAL)
def test_a_server_may_answer_several_ranges_as_it_likes(several: str, web: Web) -> None:
    """None of it is an error, or changes a number; a host that cannot do it is tried once."""
    pytest.importorskip("h5py", reason="h5py writes the large file: .[references]")
    path = WRITERS["h5"](web.folder / "large.h5", 256)
    web.several = several
    here = [row.measures for row in lstm_audit.audit(path)]
    for _ in range(2):
        before = sum("," in asked for asked in web.asked)
        assert [row.measures for row in lstm_audit.audit(web.url(path.name))] == here
    tried = sum("," in asked for asked in web.asked)
    if several in ("parts", "backwards"):
        assert web.requests <= 8, web.asked
    else:
        assert (before, tried) == (1, 1), web.asked
        assert web.requests <= 11 + 10, web.asked


def test_several_ranges_of_a_file_that_changes(web: Web) -> None:
    pytest.importorskip("h5py", reason="h5py writes the large file: .[references]")
    path = WRITERS["h5"](web.folder / "large.h5", 256)
    web.lie = "changes"
    (error,) = lstm_audit.audit(web.url(path.name)).errors
    assert error.kind == "changed"
    assert "," in web.asked[1]


def test_several_ranges_are_asked_for_again(web: Web) -> None:
    pytest.importorskip("h5py", reason="h5py writes the large file: .[references]")
    path = WRITERS["h5"](web.folder / "large.h5", 256)
    lstm_audit.audit(web.url(path.name))
    asked = web.requests
    web.forget()
    web.failures_of_lists[:] = [429, 503]
    assert len(lstm_audit.audit(web.url(path.name)).rows) == 4
    assert web.requests == asked + 2, web.asked


def test_a_refusal_that_passes_is_asked_again(web: Web) -> None:
    web.failures[:] = [503, 429, 500]
    assert len(lstm_audit.audit(web.url("m.pt")).rows) == 4
    assert web.requests == 4
    web.failures[:] = [503] * 99
    web.forget()
    (error,) = lstm_audit.audit(web.url("m.pt", **SECRET)).errors
    assert (error.kind, error.message) == ("io", "cannot read: HTTP 503")
    assert web.requests == attempts.TRIES
    assert hides(error)


@pytest.mark.parametrize(
    ("status", "words"), [(404, "no such file"), (403, "credentials"), (400, "400")]
)
def test_a_refusal_that_stays_is_said_at_once(web: Web, status: int, words: str) -> None:
    web.failures[:] = [status] * 9
    (error,) = lstm_audit.audit(web.url("m.pt", **SECRET)).errors
    assert words in error.message
    assert web.requests == 1
    assert hides(error)


def test_a_server_says_when_to_come_back(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(attempts.time, "sleep", waited.append)
    web.headers["Retry-After"] = "7"
    web.failures[:] = [429]
    assert lstm_audit.audit(web.url("m.pt")).rows
    web.headers["Retry-After"] = "7777777"
    web.failures[:] = [429]
    assert lstm_audit.audit(web.url("m.pt")).rows
    assert waited == [7.0, attempts.LONGEST_PAUSE]


KINDS = {
    "no ranges": "io",
    "short": "io",
    "long": "changed",
    "other place": "changed",
    "changes": "changed",
    "shrinks": "changed",
    "no size": "io",
    "zipped": "io",
    "drips": "io",
    "never": "io",
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_is_an_error(
    web: Web, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that takes several requests, so that there is a second answer to lie in."""
    if lie in ("drips", "never"):  # what is too late where the others are in time
        monkeypatch.setattr(web_store, "TIMEOUT", 0.4)
    monkeypatch.setattr(attempts, "TRIES", 2)
    fsspec.filesystem("http").clear_instance_cache()
    path = write_safetensors(web.folder / "large.safetensors")
    web.lie = lie
    (error,) = lstm_audit.audit(web.url(path.name, **SECRET)).errors
    assert error.kind == KINDS[lie], error
    assert hides(error)
    # of a gigabyte; what the buffers between both take before a server hears that nobody reads on
    # depends on who runs first
    assert web.bytes < path.stat().st_size / 16
    fsspec.filesystem("http").clear_instance_cache()


def test_one_file_that_fails_is_no_others(web: Web) -> None:
    (web.folder / "b.pt").write_bytes(b"PK\3\4 nothing")
    names = ["m.pt", "b.pt", "missing.pt", "m.pt?2"]
    found = lstm_audit.audit([web.url(name) for name in names], jobs=4)
    assert [len(file.rows) for file in found.files] == [4, 4]
    assert [error.path.rpartition("/")[2] for error in found.errors] == ["b.pt", "missing.pt"]


def test_many_jobs_are_threads_of_several_processes(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same answers; the processes that are started read all, and this one nothing."""
    (web.folder / "b.pt").write_bytes(b"PK\3\4 nothing")
    names = ["m.pt", "b.pt", "missing.pt", *(f"m.pt?{k}" for k in range(5))]
    urls = [web.url(name, **SECRET) for name in names]
    alone = lstm_audit.audit(urls)
    asked = sorted(web.asked)
    web.forget()
    monkeypatch.setattr(spread, "THREADS", 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(RemoteSource, "__init__", None)
    found = lstm_audit.audit(urls, jobs=4)
    assert found.to_dict() == alone.to_dict()
    assert sorted(web.asked) == asked
    assert all(map(hides, found.errors))


def test_a_run_that_goes_on_asks_for_a_byte_of_each(web: Web, tmp_path: Path) -> None:
    """By many threads as by one; what failed is read again."""
    urls = [web.url(name, **SECRET) for name in ("m.pt", "m.pt?2", "missing.pt", "m.pt?3")]
    files = [tmp_path / f"{jobs}.jsonl" for jobs in (1, 4)]
    for file, jobs in zip(files, (1, 4), strict=True):
        words = ("audit", "-f", "csv", "--jobs", jobs, "--resume", file, *urls)
        first = run(*words)
        assert first.exit_code == 3, first.stderr
        web.forget()
        assert run(*words).stdout == first.stdout
        ranges = [asked.rpartition("=")[2] for asked in web.asked if "missing" not in asked]
        assert ranges == ["0-0"] * 3, web.asked
    assert files[0].read_bytes() == files[1].read_bytes()
    assert hides(files[0].read_text())


def test_an_empty_file(web: Web) -> None:
    (web.folder / "empty.pt").write_bytes(b"")
    (error,) = lstm_audit.audit(web.url("empty.pt")).errors
    assert error.kind == "empty"


def test_without_ranges_it_is_read_whole_on_demand(web: Web) -> None:
    web.lie = "no ranges"
    url = web.url("m.pt", **SECRET)
    (error,) = lstm_audit.audit(url).errors
    assert "--download" in error.message
    result = run("audit", "--download", "-f", "json", url)
    assert result.exit_code == 0
    assert hides(result.stdout)
    assert '"lstms": 4' in result.stdout
    assert len(lstm_audit.audit(url, download=True).rows) == 4
    web.lie = ""
    web.forget()
    lstm_audit.audit(url, download=True)
    assert "bytes=0-" in web.asked[0]  # what serves ranges is still read by ranges


def test_an_index_and_its_shards(web: Web) -> None:
    folder = next(path.parent for path in CLEAN.rglob("*.index.json"))
    for path in folder.iterdir():
        (web.folder / path.name).write_bytes(path.read_bytes())
    (index,) = web.folder.glob("*.index.json")
    found = lstm_audit.audit(web.url(index.name, **SECRET))
    assert [r.measures for r in found.rows] == [r.measures for r in lstm_audit.audit(folder).rows]
    assert set(web.queries) == {SECRET["query"]}  # a token that opens one opens all


def test_a_patch_is_refused_with_the_three_lines(web: Web) -> None:
    for words in (("patch", "--forget-bias", "1"), ("undo",)):
        result = run(*words, web.url("m.pt", **SECRET))
        assert result.exit_code == 3 if words[0] == "patch" else result.exit_code in (2, 3)
        assert hides(result.stderr + result.stdout)
    said = run("patch", "--forget-bias", "1", web.url("m.pt", **SECRET))
    lines = [line.strip() for line in (said.stderr + said.stdout).splitlines()]
    assert any(line.startswith("curl -fLO ") for line in lines)
    assert "lstm-audit patch m.pt --forget-bias 1" in lines
    assert any(line.startswith("curl -fT m.pt ") for line in lines)


def test_fsspec_is_never_imported_for_local_files(tmp_path: Path) -> None:
    code = "import sys; sys.argv[:] = sys.argv[:1] + ['audit', sys.argv[1]]\nfrom lstm_audit.cli.start import _run\n_run()\nassert not {'fsspec', 'aiohttp', 'asyncio', 'lstm_audit.raw.remote'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(CLEAN)], capture_output=True, text=True, env=untraced()
    )
    assert done.returncode == 0, done.stderr
    assert "LSTM" in done.stdout
