"""Real parts (`.[references]`): s3fs against a moto server, huggingface_hub against a stub of its
endpoint, a dask cluster that loses a worker, ray's and MPI's executors, DuckDB over the rows.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from command import CLEAN, MODEL, run
from hub import Hub

import lstm_audit
from lstm_audit.raw.remote import HEAD

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bucket() -> Iterator[object]:
    """A bucket of S3 on this machine, filled with the sound fixtures."""
    s3fs = pytest.importorskip("s3fs", reason="reads s3://: .[references]")
    moto = pytest.importorskip("moto.server", reason="a server of S3: .[references]")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    _, port = server.get_host_and_port()
    told = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "5ecret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in told}
    os.environ.update(told)
    files = s3fs.S3FileSystem(skip_instance_cache=True)
    files.mkdir("models")
    for path in sorted(CLEAN.rglob("*")):
        if path.is_file():
            files.pipe(f"models/registry/{path.relative_to(CLEAN)}", path.read_bytes())
    files.pipe("models/empty.pt", b"")
    yield files
    server.stop()
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.__setitem__(name, value)
    s3fs.S3FileSystem.clear_instance_cache()


def same(there: lstm_audit.Audit, here: lstm_audit.Audit, root: str, folder: Path) -> None:
    """One registry read in two ways."""
    far = {file.path.removeprefix(root): file for file in there.files}
    near = {os.path.relpath(file.path, folder): file for file in here.files}
    assert far.keys() == near.keys()
    for name, file in far.items():
        assert repr([row.measures for row in file.rows]) == repr(
            [row.measures for row in near[name].rows]
        )
    assert len(there.errors) == len(here.errors)


def test_a_bucket_is_a_folder(bucket) -> None:
    here = lstm_audit.audit(CLEAN)  # first: pytest parses what threads import, and must not at once
    there = lstm_audit.audit("s3://models/registry", jobs=8)
    same(there, here, "s3://models/registry/", CLEAN)
    some = lstm_audit.audit("s3://models/registry/*.safetensors")
    assert len(some.files) == len(list(CLEAN.glob("*.safetensors")))


def test_an_object_takes_few_requests(bucket, tmp_path: Path) -> None:
    """Each a range with its version: no HeadObject before, and none after."""
    asked: list[str] = []

    def note(request, **_: object) -> None:
        asked.append(f"{request.method} {request.headers.get('Range')}")

    path = tmp_path / "m.pt"
    path.write_bytes((CLEAN / "lstm.pt").read_bytes())
    from lstm_audit.raw.stores import file_system

    files, _ = file_system("s3://models/registry/lstm.pt")
    files.connect()
    files.s3.meta.events.register("before-send.s3.*", note)
    found = lstm_audit.audit("s3://models/registry/lstm.pt")
    assert found.rows
    assert len(asked) == 1, asked
    assert f"bytes=0-{HEAD - 1}" in asked[0]


def test_an_object_that_changes_meanwhile(bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    from lstm_audit.raw import remote

    monkeypatch.setattr(remote, "HEAD", 1 << 12)  # so that there is a second request
    bucket.pipe("models/changing.pt", MODEL.read_bytes())
    source = remote.RemoteSource("s3://models/changing.pt", "m")
    bucket.pipe("models/changing.pt", MODEL.read_bytes() + b"!")
    with pytest.raises(lstm_audit.AuditError) as error:
        source.read(source.size - 100, 100)
    assert error.value.kind == "changed"


def test_what_is_missing_or_empty_in_a_bucket(bucket) -> None:
    found = lstm_audit.audit(["s3://models/absent.pt", "s3://models/empty.pt"])
    assert [error.kind for error in found.errors] == ["io", "empty"]
    assert "5ecret" not in str(found.errors)


def test_a_bucket_is_gone_on_with(bucket, tmp_path: Path, monkeypatch) -> None:
    """The listing says size and ETag: what did not change is not asked for again."""
    file = tmp_path / "r.jsonl"
    words = ("audit", "--statistics", "--resume", str(file), "s3://models/registry")
    first = run(*words)
    data = file.read_bytes()
    monkeypatch.setattr("lstm_audit.fleet.audit_input", None)
    second = run(*words)
    assert second.stdout == first.stdout, second.stderr
    assert file.read_bytes() == data
    assert b"5ecret" not in data


HUB_SCRIPT = """
import json, sys
import lstm_audit
found = lstm_audit.audit(json.loads(sys.argv[1]), jobs=4)
print(json.dumps({
    "rows": {f.path: [repr(r.measures) for r in f.rows] for f in found.files},
    "errors": [[e.path, e.kind, e.message] for e in found.errors],
}))
"""


def test_a_repository_of_the_hub(tmp_path: Path) -> None:
    """In a process of its own, for the endpoint is read when the library is imported."""
    pytest.importorskip("huggingface_hub", reason="reads hf://: .[references]")
    folder = next(path.parent for path in CLEAN.rglob("*.index.json"))
    Hub.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    Hub.files |= {"sub/lstm.pt": MODEL.read_bytes(), "README.md": b"# a model"}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_TOKEN": "hf_5ecret",
        "HF_HOME": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    try:
        for names in (
            ["hf://org/repo"],
            ["hf://org/repo@main/sub/lstm.pt"],
            ["hf://org/repo/no.pt"],
        ):
            done = subprocess.run(
                [sys.executable, "-c", HUB_SCRIPT, json.dumps(names)],
                capture_output=True,
                text=True,
                env=env,
                timeout=200,
            )
            assert done.returncode == 0, done.stderr
            assert "5ecret" not in done.stdout
            found = json.loads(done.stdout)
            if names == ["hf://org/repo/no.pt"]:
                assert [kind for _, kind, _ in found["errors"]] == ["io"]
                continue
            assert not found["errors"]
            rows = found["rows"]
            lstm = next(one for path, one in rows.items() if path.endswith("sub/lstm.pt"))
            assert lstm == [repr(row.measures) for row in lstm_audit.audit(MODEL).rows]
            if names == ["hf://org/repo"]:  # the index and its shards are one input
                assert len(rows) == 2
                index = next(one for path, one in rows.items() if path.endswith(".index.json"))
                assert index == [repr(row.measures) for row in lstm_audit.audit(folder).rows]
        assert "Bearer hf_5ecret" in Hub.tokens
    finally:
        server.shutdown()
        server.server_close()


CLUSTER = """
import sys, time
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        print(*(worker.pid for worker in cluster.workers.values()), flush=True)
        sys.stdin.read()
"""


def test_a_cluster_that_loses_a_worker(tmp_path: Path) -> None:
    """One of two workers is killed in the middle: every file is still audited, in order."""
    pytest.importorskip("distributed", reason="a dask cluster: .[references]")
    script = tmp_path / "cluster.py"
    script.write_text(CLUSTER)
    cluster = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    folder, file = tmp_path / "many", tmp_path / "r.jsonl"
    folder.mkdir()
    for k in range(300):
        (folder / f"{k:03}.pt").write_bytes(MODEL.read_bytes())
    try:
        address = cluster.stdout.readline().strip()
        first, _ = map(int, cluster.stdout.readline().split())
        words = [sys.executable, "-m", "lstm_audit", "audit", "-f", "csv", str(folder)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = subprocess.Popen(
            [*words, "--dask", address, "--resume", str(file)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
        )
        while command.poll() is None and not (file.exists() and file.read_bytes().count(b"\n") > 5):
            time.sleep(0.005)
        os.kill(first, 9)
        out, err = command.communicate(timeout=200)
        assert command.returncode == 0, err[-2000:]
        here = subprocess.run(words, capture_output=True, env=env)
        assert out == here.stdout
    finally:
        cluster.communicate(timeout=60)


def test_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed", reason="a dask cluster: .[references]")
    from lstm_audit.cli import executors

    monkeypatch.setattr(executors, "PATIENCE", 1)
    done = run("audit", "--dask", "tcp://127.0.0.1:9", str(MODEL))
    assert done.exit_code == 2
    assert "no dask scheduler answers" in done.stderr


def test_without_dask_the_line_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = run("audit", "--dask", "tcp://127.0.0.1:9", str(MODEL))
    assert done.exit_code == 2
    assert "--dask needs lstm-audit[fleet]: `pip install '" in done.stderr


# ---- the pages


def page(name: str, language: str) -> list[str]:
    text = (ROOT / name).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_a_whole_registry_as_the_readme_prints_it(bucket, tmp_path: Path) -> None:
    """The command as it stands there, with the bucket on this machine."""
    (line,) = [block for block in page("README.md", "sh") if "s3://models/registry" in block]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
    said = []
    for _ in range(2):
        done = subprocess.run(
            ["bash", "-e", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert said[0] == said[1]
    here = run("audit", "--statistics", str(CLEAN))
    for word in ("LSTMs by mean forget activation", "torch-zip", "safetensors-sharded"):
        assert word in said[0]
        assert word in here.stdout
    assert (tmp_path / "results.jsonl").read_bytes().startswith(b'{"schema":"lstm-audit/results/1"')


def test_the_questions_to_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb", reason="asks the rows: .[references]")
    monkeypatch.chdir(tmp_path)
    flawed = str(CLEAN.parent / "flawed")
    assert run("audit", "-f", "jsonl", "-o", "rows.jsonl", flawed).exit_code == 0
    assert run("audit", "--statistics", "--resume", "results.jsonl", flawed).exit_code == 0
    found = lstm_audit.audit(flawed)
    of_rows, of_results = page("docs/howto/registry.md", "sql")
    rows = duckdb.sql(of_rows).fetchall()
    inits = [row.init.scheme if row.init else None for row in found.rows]
    assert {init: n for init, n, _, _ in rows} == {one: inits.count(one) for one in inits}
    codes = [finding.code for finding in found.findings]
    counts = {code: n for code, n, _ in duckdb.sql(of_results).fetchall()}
    assert counts == {one: codes.count(one) for one in codes}


RECIPES = {"ray": 0, "mpi4py": 1}


@pytest.mark.parametrize("package", RECIPES)
def test_recipes_of_other_executors(package: str, tmp_path: Path) -> None:
    pytest.importorskip(package, reason="a recipe of the page: .[references]")
    words = [sys.executable]
    if package == "mpi4py":
        spec = importlib.util.find_spec(package)
        beside = Path(spec.origin).parents[4] / "bin"  # where a wheel of MPI puts it
        mpiexec = shutil.which("mpiexec") or shutil.which("mpiexec", path=str(beside))
        if mpiexec is None:
            pytest.skip("mpi4py is here, but no MPI")
        words = [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures"]
    script = tmp_path / "audit_all.py"
    script.write_text(page("docs/howto/registry.md", "py")[RECIPES[package]])
    env = {
        **os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0",
        "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1", "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }  # fmt: skip
    done = subprocess.run(
        [*words, str(script)], cwd=ROOT, env=env, capture_output=True, text=True, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "LSTMs" in done.stdout
