"""What a file takes of Google's, Azure's and the hub's stores (`.[references]`): gcsfs, adlfs and
huggingface_hub against endpoints on this machine, which count.
"""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from clouds import BUCKET, KEY, Cloud, environment, serve_clouds
from command import CLEAN, MODEL, run
from hub import Hub
from large import SUFFIX, WRITERS

import lstm_audit

ROOT = Path(__file__).parents[2]
LIBRARIES = {"gs": "gcsfs", "az": "adlfs"}


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes | Path]:
    """Files of a gigabyte, the sound fixtures in a folder, an empty object."""
    pytest.importorskip("h5py", reason="writes the large file: .[references]")
    folder = tmp_path_factory.mktemp("large")
    large = {f"large{SUFFIX[k]}": WRITERS[k](folder / f"large{SUFFIX[k]}") for k in WRITERS}
    small = {
        f"registry/{path.relative_to(CLEAN)}": path.read_bytes()
        for path in sorted(CLEAN.rglob("*"))
        if path.is_file()
    }
    return {**large, **small, "small.pt": MODEL.read_bytes(), "empty.pt": b""}


@pytest.fixture(params=LIBRARIES)
def scheme(request, objects, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    library = pytest.importorskip(
        LIBRARIES[request.param], reason=f"reads {request.param}://: .[references]"
    )
    kind = library.GCSFileSystem if request.param == "gs" else library.AzureBlobFileSystem
    with serve_clouds(dict(objects)) as address:
        for name, value in environment(address).items():
            monkeypatch.setenv(name, value)
        kind.clear_instance_cache()
        yield request.param
        kind.clear_instance_cache()


def measures(found: lstm_audit.Audit) -> list[str]:
    return [repr(row.measures) for row in found.rows]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_gigabyte_takes_few_requests(scheme: str, kind: str, objects) -> None:
    """Each is a range, with the version beside it: none to look first, none to look again."""
    name = f"large{SUFFIX[kind]}"
    found = lstm_audit.audit(f"{scheme}://{BUCKET}/{name}")
    assert measures(found) == measures(lstm_audit.audit(objects[name]))
    assert len(found.rows) == 4
    assert len(Cloud.asked) <= 6, Cloud.asked
    assert all("bytes=" in asked for asked in Cloud.asked)
    assert sum(Cloud.sent) <= 512 << 10


def test_a_small_object_takes_one_request(scheme: str) -> None:
    assert len(lstm_audit.audit(f"{scheme}://{BUCKET}/small.pt").rows) == 4
    assert len(Cloud.asked) == 1, Cloud.asked


def test_a_folder(scheme: str) -> None:
    here = lstm_audit.audit(CLEAN)
    there = lstm_audit.audit(f"{scheme}://{BUCKET}/registry", jobs=4)
    near = {os.path.relpath(file.path, CLEAN): repr(file.rows) for file in here.files}
    root = f"{scheme}://{BUCKET}/registry/"
    assert {file.path.removeprefix(root): repr(file.rows) for file in there.files} == near
    some = lstm_audit.audit(f"{scheme}://{BUCKET}/registry/*.safetensors")
    assert len(some.files) == len(list(CLEAN.glob("*.safetensors")))


def test_what_is_missing_empty_or_refused(scheme: str) -> None:
    root = f"{scheme}://{BUCKET}"
    found = lstm_audit.audit([f"{root}/absent.pt", f"{root}/empty.pt"])
    assert [error.kind for error in found.errors] == ["io", "empty"]
    assert "no such file" in found.errors[0].message
    Cloud.failures[:] = [403] * 9
    try:
        done = run("audit", f"{root}/small.pt")
    finally:
        Cloud.failures.clear()
    assert done.exit_code == 3
    assert KEY not in done.stdout + done.stderr


def test_no_log_of_a_library_reaches_the_terminal(scheme: str) -> None:
    """It would hold the whole locator, with a traceback of the library's."""
    words = [sys.executable, "-m", "lstm_audit", "audit", f"{scheme}://{BUCKET}/empty.pt"]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "416" not in done.stderr
    assert "the file is empty" in done.stdout + done.stderr


def test_an_object_that_changes_meanwhile(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from lstm_audit.raw import remote

    monkeypatch.setattr(remote, "HEAD", 1 << 12)  # so that there is a second request
    source = remote.RemoteSource(f"{scheme}://{BUCKET}/small.pt", "m")
    Cloud.files["small.pt"] = MODEL.read_bytes() + b"!"
    with pytest.raises(lstm_audit.AuditError) as error:
        source.read(source.size - 100, 100)
    assert error.value.kind == "changed"


AUDIT = """
import json, sys
import lstm_audit
found = lstm_audit.audit(sys.argv[1])
print(json.dumps([repr(row.measures) for row in found.rows]))
"""


@pytest.mark.parametrize("kind", [*WRITERS, "small"])
def test_a_file_of_the_hub_takes_few_requests(kind: str, objects, tmp_path: Path) -> None:
    """Beside what its library asks of the repository: the ranges, and what the file is, before and
    after. In a process of its own, for the endpoint is read when the library is imported.
    """
    pytest.importorskip("huggingface_hub", reason="reads hf://: .[references]")
    name = "small.pt" if kind == "small" else f"large{SUFFIX[kind]}"
    Hub.files, Hub.asked, Hub.sent = {name: objects[name]}, [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        **os.environ, "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path), "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    try:
        words = [sys.executable, "-c", AUDIT, f"hf://org/repo/{name}"]
        done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=200)
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    here = MODEL if kind == "small" else objects[name]
    assert json.loads(done.stdout) == measures(lstm_audit.audit(here))
    ranges = [asked for asked in Hub.asked if "/resolve/" in asked]
    assert all(re.search(r"bytes=\d+-\d+$", asked) for asked in ranges), ranges
    assert len(ranges) <= (1 if kind == "small" else 5), ranges
    assert sum(asked.startswith("POST") for asked in Hub.asked) == 2
    assert sum(Hub.sent) <= 512 << 10
