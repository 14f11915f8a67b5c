"""Registries: `python tests/benchmarks/fleet.py http|local|dask [FILES ...]`, by hand, on a quiet
machine. Other numbers of files than the usual ones draw no picture.

`http`: a server on this machine that waits 50 ms before each answer: round trips and bytes of a
file of a gigabyte, files/s of a thousand small ones by threads, and what computing they take: other
programs stretch the one, not the other. `local`: files/s and peak memory of
1,000 to 20,000 files by the time of computing, which other programs do not stretch, into docs/explanation/registry.svg, and what 10^6 and 10^7 would take. `dask`:
two workers against one, each with one thread, over copies of a checkpoint as the other benchmarks
have it. Ratios are of one run; the load is printed with them.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = map(str, Path(__file__).parents[:2])

from files import write
from large import SUFFIX, WRITERS

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "fixtures" / "clean" / "lstm.pt"
SVG = ROOT / "docs" / "explanation" / "registry.svg"
LATENCY = 0.05


def fill(folder: Path, files: int, each: int = 100, model: Path = MODEL) -> None:
    """So many copies of a model of four LSTMs, a hundred a folder; as hard links, which an audit
    opens and reads like any other file.
    """
    source = folder / "model.pt"
    source.write_bytes(model.read_bytes())
    for k in range(files):
        below = folder / "models" / f"{k // each:06}"
        below.mkdir(parents=True, exist_ok=True)
        os.link(source, below / f"{k % each}.pt")


def computed(server: int) -> float:
    """Seconds of computing of this process, of those that it started and that ended, and of the
    server, which on this machine takes its share.
    """
    own, ended = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    ticks = Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[11:13]
    seconds = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return seconds + sum(one.ru_utime + one.ru_stime for one in (own, ended))


def http() -> None:
    import lstm_audit

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for kind, write in WRITERS.items():
            write(folder / f"large{SUFFIX[kind]}")
        (folder / "small.pt").write_bytes(MODEL.read_bytes())
        server = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "web.py"), name, str(LATENCY)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        base = f"http://127.0.0.1:{server.stdout.readline().strip()}"
        try:
            lstm_audit.audit(f"{base}/small.pt")  # the connection, and the imports
            for kind in WRITERS:
                start = time.perf_counter()
                found = lstm_audit.audit(f"{base}/large{SUFFIX[kind]}")
                took = time.perf_counter() - start
                assert len(found.rows) == 4, found.errors
                print(f"1 GB {kind:12} {took / LATENCY:5.1f} latencies ({took * 1e3:.0f} ms)")
            for threads in (1, 8, 64):
                n = 40 if threads == 1 else 200 if threads == 8 else 1000
                urls = [f"{base}/small.pt?{k}" for k in range(n)]
                start, before = time.perf_counter(), computed(server.pid)
                found = lstm_audit.audit(urls, jobs=threads)
                took, spent = time.perf_counter() - start, computed(server.pid) - before
                assert len(found.files) == n, found.errors
                print(
                    f"{n} files, {threads:2} threads: {n / took:6.1f} files/s, "
                    f"{spent / n * 1e3:.1f} ms of computing each, {spent / took:.2f} cores at it"
                )
        finally:
            server.terminate()


CHILD = """
import resource, sys, time
from lstm_audit.cli.start import _run
sys.argv[:] = ["lstm-audit", "audit", "-q", "--statistics", "-o", "/dev/null", sys.argv[1]]
start = time.perf_counter()
assert _run() == 0
used = resource.getrusage(resource.RUSAGE_SELF)
print(time.perf_counter() - start, time.process_time(), used.ru_maxrss)
"""


SIZES = (1000, 2000, 5000, 10_000, 20_000)


def local(*given: int) -> None:
    sizes = given or SIZES
    points = []
    for files in sizes:
        with tempfile.TemporaryDirectory() as name:
            fill(Path(name), files)
            done = subprocess.run(
                [sys.executable, "-c", CHILD, f"{name}/models"],
                capture_output=True, text=True, check=True, cwd=ROOT,
            )  # fmt: skip
        took, computed, peak = map(float, done.stdout.split())
        points.append((files, files / computed, peak / 1024))
        print(
            f"{files:6} files: {took:7.2f} s, of computing {computed:7.2f}: "
            f"{files / computed:6.1f} files/s of a core, {peak / 1024:.1f} MiB",
            flush=True,
        )
    rate = points[-1][1]
    for more in (10**6, 10**7):
        print(
            f"10^{len(str(more)) - 1} files: {more / rate / 3600:.1f} h on one core, {points[-1][2]:.0f} MiB"
        )
    if sizes == SIZES:
        SVG.write_text(draw(points))


def draw(points: list[tuple[int, float, float]]) -> str:
    """Peak memory and files/s over the number of files."""
    top, right = max(p[0] for p in points), 560
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 300" font-family="sans-serif" font-size="12">',
        '<rect width="640" height="300" fill="white"/>',
    ]
    for k, (title, hue) in enumerate((("files/s of a core", "#1f77b4"), ("peak MiB", "#d62728"))):
        most = max(p[k + 1] for p in points) * 1.3
        xy = [(60 + right * p[0] / top, 260 - 220 * p[k + 1] / most) for p in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in xy)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{hue}" stroke-width="2"/>')
        for (x, y), point in zip(xy, points, strict=True):
            lines.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{hue}"/>')
            lines.append(
                f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle" fill="{hue}">{point[k + 1]:.0f}</text>'
            )
        lines.append(f'<text x="60" y="{18 + 16 * k}" fill="{hue}">{title}</text>')
    for files, _, _ in points:
        lines.append(
            f'<text x="{60 + right * files / top:.1f}" y="280" text-anchor="middle">{files:,}</text>'
        )
    return "\n".join(
        [*lines, '<text x="340" y="296" text-anchor="middle">files</text>', "</svg>", ""]
    )


def dask(files: int = 2000) -> None:
    from distributed import Client, LocalCluster

    import lstm_audit

    with tempfile.TemporaryDirectory() as name:
        write(typical := Path(name) / "typical.pt", 0)  # two layers, two directions, H = 128
        fill(Path(name), files, model=typical)
        rates = []
        for workers in (1, 2):
            with (
                LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=None
                ) as cluster,
                Client(cluster) as client,
            ):
                executor = client.get_executor(pure=False)
                lstm_audit.audit([str(MODEL)] * 1, executor=executor)  # imports
                start = time.perf_counter()
                found = lstm_audit.audit(f"{name}/models", executor=executor)
                rates.append(files / (time.perf_counter() - start))
                assert len(found.files) == files
        print(json.dumps({"files/s": rates, "two over one": round(rates[1] / rates[0], 2)}))


if __name__ == "__main__":
    print("load", os.getloadavg(), "cores", os.cpu_count())
    {"http": http, "local": local, "dask": dask}[sys.argv[1]](*map(int, sys.argv[2:]))
    print("load", os.getloadavg())
