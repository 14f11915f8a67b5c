"""HDF5 files that lie: refused, or read within the budgets; never a loop, never another file."""

import ast
import hashlib
import os
import random
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

h5py = pytest.importorskip(
    "h5py", reason="h5py, which writes these files, is in the extra `references`"
)
import numpy as np
from hdf5_mutants import mutant

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.dtypes import DTYPES
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire.hdf5 import (
    Tree,
    attributes,
    chunks,
    dense,
    file,
    groups,
    header,
    read_hdf5,
    trees,
    walk,
)

TESTS = Path(__file__).parents[1]


def read(data: bytes) -> Tree:
    return read_hdf5(span_all(BytesSource(data)))


def drain(data: bytes) -> dict[str, str]:
    """Everything that can be asked of a file; what is refused is left out."""
    found = {}
    tree = read(data)
    for path, texts in tree.attributes.items():
        for name in ("name", "model_config", "layer_names"):
            try:
                texts.texts(name)
            except MalformedFile:
                assert path is not None
    for path, dataset in tree.datasets.items():
        try:
            span = dataset.locate()
        except MalformedFile:
            continue
        if span.size <= 1 << 20 and dataset.datatype.name in DTYPES:  # h5py converts other numbers
            found[path] = f"{dataset.shape} {hashlib.sha1(span.read()).hexdigest()}"
    return found


def made(path: Path, fill: Callable[[Any], None], **options: Any) -> bytes:
    with h5py.File(path, "w", **options) as out:
        fill(out)
    return path.read_bytes()


def small(out: Any) -> None:
    out.attrs["model_config"] = "{}" * 20
    out.attrs["layer_names"] = np.array([b"one", b"two"])
    for k in range(10):
        group = out.create_group(f"g{k}")
        group.attrs["name"] = f"layer {k}"
        group["bias"] = np.arange(8, dtype="f4") + k
    out.create_dataset(
        "chunks", data=np.arange(48.0).reshape(6, 8), chunks=(4, 3), compression=4, shuffle=True
    )
    out.create_dataset("sums", data=np.arange(48.0).reshape(6, 8), chunks=(2, 8), fletcher32=True)


SEEDS = {
    "old": {"libver": "earliest"},
    "new": {"libver": "latest"},
    "v110": {"libver": "v110", "track_order": True},
}


@pytest.fixture(scope="module", params=sorted(SEEDS))
def seed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return made(tmp_path_factory.mktemp("seed") / "a.h5", small, **SEEDS[request.param])


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """No checksum counts: else no mutant would get behind the first block of the newer format."""
    monkeypatch.setattr(file.File, "verify", lambda self, at, data, what: None)


def test_mutants_are_read_or_refused(seed: bytes, mutations: int, unchecked: None) -> None:
    rng = random.Random(len(seed))
    refused = 0
    for _ in range(30 * mutations):
        try:
            drain(mutant(seed, rng))
        except MalformedFile:
            refused += 1
    assert refused > mutations


class Answerer:
    """h5py in a process of its own, which is started again when it crashes or hangs."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None

    def ask(self, path: Path) -> dict[str, str] | None:
        """What h5py reads of a file; None when it died of it."""
        if self.process is None:
            command = [sys.executable, str(TESTS / "hdf5_mutants.py")]
            quiet = {**os.environ, "HDF5_USE_FILE_LOCKING": "FALSE"}
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=quiet,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        ready = select.select([self.process.stdout], [], [], 20)[0]
        answer = self.process.stdout.readline() if ready else ""
        if not answer:
            self.close()
            return None
        read: dict[str, str] = ast.literal_eval(answer)
        return read

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def answerer() -> Iterator[Answerer]:
    helper = Answerer()
    yield helper
    helper.close()


def test_what_both_read_of_a_mutant_is_the_same(
    seed: bytes, mutations: int, tmp_path: Path, answerer: Answerer
) -> None:
    rng = random.Random(7 * len(seed))
    compared = 0
    for _ in range(max(2 * mutations, 100)):
        data = mutant(seed, rng)
        try:
            ours = drain(data)
        except MalformedFile:
            continue
        (tmp_path / "mutant.h5").write_bytes(data)
        theirs = answerer.ask(tmp_path / "mutant.h5") or {}
        shared = ours.keys() & theirs.keys()
        compared += len(shared)
        assert {name: ours[name] for name in shared} == {name: theirs[name] for name in shared}
    assert compared > 10


def test_links_to_other_files_are_refused(tmp_path: Path) -> None:
    for libver in ("earliest", "latest"):
        data = made(
            tmp_path / "a.h5",
            lambda out: out.__setitem__("x", h5py.ExternalLink("b.h5", "/x")),
            libver=libver,
        )
        with pytest.raises(MalformedFile, match="link to another file") as caught:
            read(data)
        assert caught.value.kind == "unsupported"


def test_data_in_other_files_is_refused_and_hides_nothing(tmp_path: Path) -> None:
    def fill(out: Any) -> None:
        out["bias"] = np.arange(4.0)
        out.create_dataset("external", (4,), "f4", external=[("/etc/passwd", 0, 16)])
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("b.h5", "x", (4,))
        out.create_virtual_dataset("virtual", layout)
        out["named"] = np.dtype("f4")
        out.create_dataset("committed", (4,), out["named"])

    tree = read(made(tmp_path / "a.h5", fill, libver="latest"))
    assert set(tree.datasets) == {"bias"}
    reasons = {path: error.message for path, error in tree.refused.items()}
    assert "external storage" in reasons["external"]
    assert "virtual" in reasons["virtual"]
    assert "committed" in reasons["committed"]


def test_a_filter_that_is_not_known_is_said(tmp_path: Path) -> None:
    data = made(
        tmp_path / "a.h5", lambda out: out.create_dataset("a", data=np.zeros(9), compression="lzf")
    )
    dataset = read(data).datasets["a"]
    with pytest.raises(MalformedFile, match="filter 32000"):
        dataset.locate()
    with pytest.raises(MalformedFile, match="filter 32000"):
        dataset.locate()


def test_a_bomb_stops_at_its_chunk(tmp_path: Path) -> None:
    data = made(tmp_path / "a.h5", lambda out: out.create_dataset(
        "a", shape=(1 << 24,), dtype="u1", chunks=(1 << 20,), compression=9, fillvalue=1
    ))  # fmt: skip
    with pytest.raises(MalformedFile) as caught:
        read(data).datasets["a"].locate()
    assert caught.value.kind == "limit"


def test_all_chunks_of_a_file_count_against_one_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file, "MAX_INFLATED", 3000)

    def fill(out: Any) -> None:
        for k in range(4):
            out.create_dataset(f"a{k}", data=np.zeros(1000, "u1"), chunks=(1000,), compression=9)

    tree = read(made(tmp_path / "a.h5", fill))
    for k in range(3):
        assert tree.datasets[f"a{k}"].locate().size == 1000
    with pytest.raises(MalformedFile, match="over 3000 bytes of chunks"):
        tree.datasets["a3"].locate()


LIMITS = [(walk, "MAX_OBJECTS", 5), (walk, "MAX_DEPTH", 0), (walk, "MAX_PATH", 1), (groups, "MAX_NAME", 1),
          (groups, "MAX_HEAP", 16), (file, "MAX_READ", 1000), (file, "MAX_STEPS", 40), (header, "MAX_BLOCK", 40),
          (chunks, "MAX_ASSEMBLED", 8)]  # fmt: skip


@pytest.mark.parametrize(
    ("module", "name", "value"), LIMITS, ids=lambda item: item if isinstance(item, str) else ""
)
def test_every_limit_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, value: int
) -> None:
    data = made(tmp_path / "a.h5", small)
    monkeypatch.setattr(module, name, value)
    with pytest.raises(MalformedFile):
        _locate_all(data)


def _locate_all(data: bytes) -> None:
    for dataset in read(data).datasets.values():
        dataset.locate()


def test_texts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(tmp_path / "a.h5", small)
    monkeypatch.setattr(attributes, "MAX_TEXT", 10)
    monkeypatch.setattr(attributes, "MAX_TEXTS", 1)
    root = read(data).attributes[""]
    assert root.texts("layer_names") is None
    with pytest.raises(MalformedFile) as caught:
        root.text("model_config")
    assert caught.value.kind == "limit"


def test_dense_storage_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(tmp_path / "a.h5", small, libver="latest", track_order=True)
    for module, name in ((dense, "MAX_WIDTH"), (dense, "MAX_DIRECT"), (trees, "MAX_DEPTH")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, -1)
            with pytest.raises(MalformedFile):
                read(data)


def test_checksums_are_bounded_and_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = made(tmp_path / "a.h5", small, libver="latest")
    wrong = bytearray(data)
    wrong[data.find(b"OHDR") + 8] ^= 1
    with pytest.raises(MalformedFile, match="checksum"):
        read(bytes(wrong))
    monkeypatch.setattr(file, "MAX_CHECKED", 100)
    with pytest.raises(MalformedFile) as caught:
        read(data)
    assert caught.value.kind == "limit"


def test_a_header_that_continues_in_itself_ends(tmp_path: Path) -> None:
    data = bytearray(
        made(
            tmp_path / "a.h5",
            lambda out: [out.attrs.__setitem__(f"a{k}", "x" * 90) for k in range(9)],
        )
    )
    at = next(
        at for at in range(96, len(data), 8) if data[at : at + 4] == b"\x10\0\x10\0"
    )  # a continuation
    data[at + 8 : at + 16] = (at - at % 8).to_bytes(8, "little")
    with pytest.raises(MalformedFile):
        read(bytes(data))


def test_a_tree_that_is_its_own_child_ends(tmp_path: Path) -> None:
    data = bytearray(
        made(tmp_path / "a.h5", lambda out: [out.create_group(f"group{k}") for k in range(200)])
    )
    trees = [at for at in range(len(data)) if data[at : at + 4] == b"TREE" and data[at + 6] > 1]
    for at in trees:
        data[at + 32 : at + 40] = at.to_bytes(8, "little")
    with pytest.raises(MalformedFile):
        read(bytes(data))


def test_thirty_thousand_groups_are_too_many(tmp_path: Path) -> None:
    data = made(
        tmp_path / "a.h5",
        lambda out: [out.create_group(f"{k}") for k in range(walk.MAX_OBJECTS + 1)],
    )
    with pytest.raises(MalformedFile) as caught:
        read(data)
    assert caught.value.kind == "limit"


# Each row of what is refused and what is passed over, as far as no test above has it by its name:
# the change to a file's bytes, and what is said; "" for a file that is read.
def _poke(at: int, raw: bytes) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + raw + data[at + len(raw) :]


def _user_defined(data: bytes) -> bytes:
    """The external link's kind, 64, becomes 65: a link that a program defined."""
    at = data.index(b"\x40", data.index(b"OHDR"))
    while data[at + 1 : at + 2] not in (b"\x01", b"\x00") or b"elsewhere" not in data[at : at + 60]:
        at = data.index(b"\x40", at + 1)
    return data[:at] + b"\x41" + data[at + 1 :]


ROWS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "end of file beyond the file": (_poke(40, (1 << 40).to_bytes(8, "little")), "claimed"),
    "cut short": (lambda data: data[:-64], "claimed"),
    "offsets of three bytes": (_poke(13, b"\x03"), "bytes"),
    "lengths of sixteen bytes": (_poke(14, b"\x10"), "bytes"),
    "superblock of version 9": (_poke(8, b"\x09"), "version"),
    "trailing bytes": (lambda data: data + b"not HDF5" * 9, ""),
}


@pytest.mark.parametrize("row", ROWS)
def test_rows_of_the_safety_table(row: str, tmp_path: Path) -> None:
    change, word = ROWS[row]
    data = change(made(tmp_path / "a.h5", lambda out: out.create_dataset("bias", data=np.ones(8))))
    if not word:
        assert set(read(data).datasets) == {"bias"}
        return
    with pytest.raises(MalformedFile, match=word):
        read(data)


def test_a_link_that_a_program_defined_is_refused(
    tmp_path: Path, unchecked: None
) -> None:  # the changed byte lies below a checksum
    data = made(
        tmp_path / "a.h5",
        lambda out: out.__setitem__("x", h5py.ExternalLink("elsewhere.h5", "/x")),
        libver="latest",
    )
    with pytest.raises(MalformedFile) as caught:
        read(_user_defined(data))
    assert caught.value.kind == "unsupported"


def test_a_shape_that_claims_more_than_is_stored_is_refused(tmp_path: Path) -> None:
    data = made(tmp_path / "a.h5", lambda out: out.create_dataset("bias", data=np.ones(5)))
    shape = (5).to_bytes(8, "little")
    at = data.index(shape * 2)  # the size and the largest size
    lie = data[:at] + (1 << 40).to_bytes(8, "little") * 2 + data[at + 16 :]
    tree = read(lie)
    assert "bias" in tree.refused or "bias" in tree.datasets
    if "bias" in tree.datasets:
        with pytest.raises(MalformedFile):
            tree.datasets["bias"].locate()


def test_what_is_passed_over_in_silence(tmp_path: Path) -> None:
    """Soft links are second names; attributes may have any type; a group that holds itself ends."""

    def fill(out: Any) -> None:
        out["a/bias"] = np.ones(4)
        out["second"] = h5py.SoftLink("/a/bias")
        out["nowhere"] = h5py.SoftLink("/none")
        out["a"].attrs["pair"] = np.zeros(2, [("x", "f4"), ("y", "i8")])
        out["a"].attrs["kind"] = h5py.Empty("f4")
        out["a/itself"] = out["a"]
        for k in range(40):  # 2**40 paths
            group = out.require_group(f"g{k}")
            for name in ("left", "right"):
                group[name] = out.require_group(f"g{k + 1}")

    for libver in ("earliest", "latest"):
        tree = read(made(tmp_path / "a.h5", fill, libver=libver))
        assert set(tree.datasets) == {"a/bias"}
        assert not tree.refused
