"""Real web servers and real files of Keras (`.[references]`): how several ranges are answered, and
what a file takes.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from large import write_h5
from web import serving

import lstm_audit
from lstm_audit.raw import web as web_store

for package in ("fsspec", "aiohttp", "h5py"):
    pytest.importorskip(package, reason="reads or writes what is served: .[references]")

# Gives several ranges in parts, as nginx, Apache and Go's server do.
STARLETTE = """
import sys, uvicorn
from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import Route
async def answer(request):
    return FileResponse(f"{sys.argv[1]}/{request.path_params['name']}")
uvicorn.run(Starlette(routes=[Route("/{name}", answer)]), fd=int(sys.argv[2]))
"""

# Refuses them: 416.
AIOHTTP = """
import socket, sys
from aiohttp import web
app = web.Application()
app.router.add_static("/", sys.argv[1])
web.run_app(app, sock=socket.socket(fileno=int(sys.argv[2])))
"""


@contextmanager
def run_server(script: str, folder: Path) -> Iterator[str]:
    """A server in a process of its own; its address. Its socket listens before it runs: what is
    asked until then waits.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        words = [sys.executable, "-c", script, str(folder), str(listening.fileno())]
        server = subprocess.Popen(
            words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            pass_fds=[listening.fileno()],
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.kill()
            server.wait()


@pytest.mark.parametrize(
    ("package", "script", "requests"), [("uvicorn", STARLETTE, 4), ("aiohttp", AIOHTTP, 11)]
)
def test_what_a_server_makes_of_several_ranges(
    package: str, script: str, requests: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package, reason="a web server: .[references]")
    if package == "uvicorn":
        pytest.importorskip("starlette", reason="answers by ranges: .[references]")
    asked = []
    get = web_store.Web._get
    monkeypatch.setattr(
        web_store.Web, "_get", lambda self, all: asked.append(all) or get(self, all)
    )
    monkeypatch.setattr(web_store, "_hosts_of_one_range", set())
    path = write_h5(tmp_path / "large.h5", 256)
    with run_server(script, tmp_path) as address:
        found = lstm_audit.audit(f"{address}/large.h5")
    here = lstm_audit.audit(path)
    assert [row.measures for row in found.rows] == [row.measures for row in here.rows]
    assert len(found.rows) == 4
    assert len(asked) == requests, asked


# (requests, rounds) at most. A `.keras` is a zip: its directory, then the file of weights in it.
AT_MOST = {"a.h5": (5, 4), "b.keras": (5, 5), "c.weights.h5": (5, 4)}


@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("hidden", [32, 256])
@pytest.mark.parametrize("package", ["keras", "tf_keras"])
def test_files_as_keras_writes_them(
    package: str, hidden: int, between: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keras 3 and Keras 2: whole models, weights alone, with and without dense layers between."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    pytest.importorskip("tensorflow", reason="behind Keras: .[references]")
    keras = pytest.importorskip(package, reason="writes the files: .[references]")
    layers = [keras.layers.Input((None,), dtype="int32"), keras.layers.Embedding(30_000, hidden)]
    for _ in range(4):
        layers.append(keras.layers.LSTM(hidden, return_sequences=True))
        layers += [keras.layers.Dense(hidden)] if between else []
    model = keras.Sequential(layers)
    for name in AT_MOST:
        (model.save_weights if "weights" in name else model.save)(os.fspath(tmp_path / name))
    with serving(tmp_path, 0.05) as web:
        for name, (requests, rounds) in AT_MOST.items():
            web.forget()
            found = lstm_audit.audit(web.url(name))
            here = lstm_audit.audit(tmp_path / name)
            assert [r.measures for r in found.rows] == [r.measures for r in here.rows]
            assert len(found.rows) == 4
            assert web.requests <= requests, web.asked
            assert len(web.rounds) <= rounds, web.rounds
            assert web.bytes <= 512 << 10
