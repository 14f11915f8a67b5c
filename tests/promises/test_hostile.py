"""Whatever the bytes: an audit or an `AuditError`, in bounded time and memory, and nothing is
executed.

`pytest tests/promises/test_hostile.py --mutations 20000` digs deeper than the default.
"""

import random
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from onnx_cases import CASES as ONNX_CASES
from speed import at_most

from lstm_audit.facts import FileAudit, FileError
from lstm_audit.inputs import Input
from lstm_audit.pipeline import audit_input

FIXTURES = Path(__file__).parents[2] / "fixtures"
FILES = sorted(
    path for path in FIXTURES.rglob("*") if path.is_file() and path.suffix not in (".py", ".md")
)
SECONDS = 2.0
BYTES = 512 << 20


def _mutated(data: bytes, rng: random.Random) -> bytes:
    """One to four edits of the kinds that break parsers: flips, cuts, copies, lies in length
    fields.
    """
    raw = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw) + 1)
        kind = rng.randrange(6)
        if kind == 0 and raw:
            raw[at % len(raw)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            raw[at : at + rng.randint(1, 64)] = b""
        elif kind == 2:
            start = rng.randrange(len(raw) + 1)
            raw[at:at] = raw[start : start + rng.randint(1, 64)]
        elif kind == 3:
            raw[at : at + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x00\x00\x00\x80"]
            )
        elif kind == 4:
            del raw[at:]
        else:
            raw[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(raw)


def _mutations(data: bytes, seed: str, count: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    yield data
    yield data[: len(data) // 2]
    yield data + b"\0"
    for _ in range(count):
        yield _mutated(data, rng)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(FIXTURES)))
def test_mutated_fixture_gives_an_audit_or_an_error(
    path: Path, tmp_path: Path, mutations: int
) -> None:
    target = tmp_path / f"victim{path.suffix}"
    if path.name.endswith(".index.json"):
        target = tmp_path / path.name
        for shard in path.parent.iterdir():
            (tmp_path / shard.name).write_bytes(shard.read_bytes())
    if path.suffix == ".xml":
        (tmp_path / "victim.bin").write_bytes(path.with_suffix(".bin").read_bytes())
    if (path.parent / "weights").is_dir():
        shutil.copytree(path.parent / "weights", tmp_path / "weights")
    for data in _mutations(path.read_bytes(), path.name, mutations):
        target.write_bytes(data)
        with at_most(SECONDS):
            (result,) = audit_input(Input(str(target), named=True))
        assert isinstance(result, (FileAudit, FileError))
        if isinstance(result, FileError):
            assert result.message
            assert result.kind != "io" or path.name.endswith(".index.json")


def test_memory_is_bounded(tmp_path: Path) -> None:
    rng = random.Random(7)
    tracemalloc.start()
    try:
        for path in FILES:
            (tmp_path / "victim.pt").write_bytes(_mutated(path.read_bytes(), rng))
            audit_input(Input(str(tmp_path / "victim.pt"), named=True))
        assert tracemalloc.get_traced_memory()[1] < BYTES
    finally:
        tracemalloc.stop()


CANARY = FIXTURES / "hostile" / "canary.pt"


def test_canary_never_sings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    audit_input(Input(str(CANARY), named=True))
    assert list(tmp_path.iterdir()) == []


def test_canary_would_sing_if_it_were_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: the test above could not fail if the canary were dumb."""
    import torch

    monkeypatch.chdir(tmp_path)
    torch.load(CANARY, weights_only=False)
    assert list(tmp_path.iterdir()) != []


@pytest.mark.parametrize("name", ONNX_CASES)
def test_mutated_graphs_written_by_hand(name: str, tmp_path: Path, mutations: int) -> None:
    """Every way to keep a bias in ONNX, damaged."""
    target = tmp_path / "victim.onnx"
    for data in _mutations(ONNX_CASES[name].data, name, mutations // 2):
        target.write_bytes(data)
        with at_most(SECONDS):
            (result,) = audit_input(Input(str(target), named=True))
        assert isinstance(result, (FileAudit, FileError))
