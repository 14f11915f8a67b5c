"""Sharded checkpoints: whole layers out of parts, and an index that can open nothing else."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from lstm_audit import formats
from lstm_audit.errors import AuditError, MalformedFile, Skipped, Unreadable
from lstm_audit.formats import Checkpoint, sharded
from lstm_audit.formats.sharded import read_sharded, shard_names
from lstm_audit.raw.budget import Budget
from lstm_audit.raw.source import BytesSource, FileSource
from lstm_audit.raw.span import Span, span_all
from lstm_audit.raw.tensor import read_block, whole_block
from lstm_audit.wire.json import MAX_SIZE

A, B = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


def write_index(folder: Path, homes: object, **more: object) -> Path:
    path = folder / INDEX
    path.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": homes, **more}))
    return path


def read(path: Path, opened: list[str] | None = None) -> Checkpoint | None:
    def beside(name: str) -> Span:
        if opened is not None:
            opened.append(name)
        return span_all(FileSource(os.path.join(path.parent, name)))

    return read_sharded(span_all(FileSource(str(path))), beside)


def refusal(path: Path, opened: list[str] | None = None) -> AuditError:
    with pytest.raises(AuditError) as caught:
        read(path, opened)
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One LSTM whose two biases lie in different shards; the second shard holds a name that no
    index lists.
    """
    state = torch.nn.LSTM(3, 4).state_dict()
    save_file({n: t for n, t in state.items() if n != "bias_hh_l0"}, tmp_path / A)
    save_file({"bias_hh_l0": state["bias_hh_l0"], "stray": torch.zeros(2)}, tmp_path / B)
    write_index(tmp_path, {name: B if name == "bias_hh_l0" else A for name in state})
    torch.save(state, tmp_path / "whole.pt")
    return tmp_path


def test_joins_the_halves_of_one_layer(folder: Path) -> None:
    opened: list[str] = []
    checkpoint = read(folder / INDEX, opened)
    state = torch.load(folder / "whole.pt")
    assert checkpoint is not None
    assert checkpoint.format == "safetensors-sharded"
    assert opened == [A, B]
    assert list(checkpoint.tensors) == list(state)
    assert len(checkpoint.tensors) == 4
    assert "stray" not in checkpoint.tensors
    for name in ("bias_ih_l0", "bias_hh_l0"):
        tensor = checkpoint.tensors[name]
        assert read_block(whole_block(tensor)) == state[name].tolist()
        assert tensor.span.source.name == str(folder / (B if name == "bias_hh_l0" else A))
        assert tensor.span.at is not None


def test_is_found_by_the_table_of_readers(folder: Path) -> None:
    span = span_all(FileSource(str(folder / INDEX)))
    checkpoint = formats.read_checkpoint(
        span, lambda name: span_all(FileSource(str(folder / name)))
    )
    assert checkpoint.format == "safetensors-sharded"


def test_names_the_shards_without_opening_them(folder: Path) -> None:
    path = write_index(folder, {"a": "z", "b": "y", "c": "z"})
    assert shard_names(span_all(FileSource(str(path)))) == ("y", "z")
    assert shard_names(span_all(FileSource(str(folder / A)))) is None


HOSTILE = [
    "", ".", "..", "../secret", "/etc/passwd", "a/b", "sub/../x", "a\\b", "..\\x", "a\0b", "a\nb", "a\x7f", "\x1b[31m",
    "\ud800", "x" * 256, INDEX, "./" + A, "é" * 200,
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_opens_nothing_outside_its_folder(folder: Path, name: str) -> None:
    opened: list[str] = []
    error = refusal(write_index(folder, {"w": A, "bias": name}), opened)
    assert opened == [], "no file may be opened before every name was checked"
    assert isinstance(error, MalformedFile)
    assert error.message.isprintable()
    with pytest.raises(MalformedFile):
        shard_names(span_all(FileSource(str(folder / INDEX))))


@pytest.mark.parametrize("name", ["model.bin", "..hidden", "a b", "é.bin", "a..b"])
def test_an_odd_but_plain_name_is_opened(folder: Path, name: str) -> None:
    save_file({"w": torch.zeros(1)}, folder / name)
    assert read(write_index(folder, {"w": name})) is not None


def test_a_missing_shard_is_named_with_what_to_do(folder: Path) -> None:
    (folder / B).unlink()
    error = refusal(folder / INDEX)
    assert isinstance(error, Unreadable)
    assert error.kind == "io"
    assert B in error.message
    assert "beside it" in error.message


def test_a_name_that_its_shard_lacks_names_both(folder: Path) -> None:
    error = refusal(write_index(folder, {"bias_ih_l0": B}))
    assert error.kind == "malformed"
    assert "'bias_ih_l0'" in error.message
    assert B in error.message


def test_a_broken_shard_is_named(folder: Path) -> None:
    raw = (folder / B).read_bytes()
    (folder / B).write_bytes(raw[:-1])
    error = refusal(folder / INDEX)
    assert error.kind == "truncated"
    assert error.message.startswith(f"shard '{B}'")
    assert error.message.endswith(f"(at byte {len(raw) - 1})")
    assert error.at is None  # the error is of the index, in which that byte would be another one


def test_a_shard_that_is_an_index_is_refused(folder: Path) -> None:
    opened: list[str] = []
    (folder / "other.json").write_text(json.dumps({"weight_map": {"w": A}}))
    error = refusal(write_index(folder, {"w": "other.json"}), opened)
    assert error.kind == "unsupported"
    assert "an index itself" in error.message
    assert opened == ["other.json"]


def test_an_index_that_reaches_itself_by_another_name_ends(folder: Path) -> None:
    path = write_index(folder, {"w": "loop.json"})
    os.link(path, folder / "loop.json")
    assert "itself" in refusal(path).message


WRONG: dict[str, tuple[str, str]] = {
    "no shards": ('{"weight_map": {}}', "malformed"),
    "no file name": ('{"weight_map": {"a": 1}}', "malformed"),
    "a list of files": ('{"weight_map": {"b": "x", "a": ["x"]}}', "malformed"),
    "cut short": ('{"weight_map": {"a": "x"', "malformed"),
    "not UTF-8": ('{"weight_map": {"\udcff": "x"}}', "malformed"),
    "name twice": ('{"weight_map": {"a": "x", "a": "y"}}', "ambiguous"),
    "map twice": ('{"weight_map": {"a": "x"}, "weight_map": {"a": "y"}}', "ambiguous"),
    "too deep": ('{"x": ' + "[" * 100_000 + ', "weight_map": {"a": "x"}}', "malformed"),
    "5,000 digits": ('{"x": ' + "1" * 5000 + ', "weight_map": {"a": "x"}}', "malformed"),
    "too many values": ('{"weight_map": {"a": "x"}, "x": [' + "0," * 3_000_000 + "0]}", "limit"),
    "too many names": (
        json.dumps({"weight_map": dict.fromkeys(map(str, range(250_000)), "x")}),
        "limit",
    ),
    "too many shards": (json.dumps({"weight_map": {str(k): str(k) for k in range(1001)}}), "limit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_refuses_a_wrong_index(folder: Path, case: str) -> None:
    text, kind = WRONG[case]
    (folder / INDEX).write_bytes(text.encode("utf-8", "surrogateescape"))
    opened: list[str] = []
    assert refusal(folder / INDEX, opened).kind == kind
    assert opened == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "{}",
        '{"a": 1}',
        '[{"weight_map": {}}',
        '{"weight_map": 1}',
        '{"x": {"weight_map": {"a": "b"}}}',
        "x",
    ],
)
def test_leaves_other_files_alone(folder: Path, text: str) -> None:
    (folder / INDEX).write_text(text)
    assert read(folder / INDEX) is None


def test_leaves_a_large_file_alone_without_reading_it() -> None:
    class Large:
        name, size, placed, budget = "large.json", MAX_SIZE + 1, True, Budget()

        def read(self, at: int, n: int) -> bytes:
            raise AssertionError("it is too large to be an index")

    assert shard_names(span_all(Large())) is None


def test_white_space_before_the_index_is_skipped(folder: Path) -> None:
    path = folder / INDEX
    path.write_text(" \r\n\t" + path.read_text())
    assert read(path) is not None


def fake_shards(monkeypatch: pytest.MonkeyPatch, make: Callable[[str], Checkpoint]) -> Checkpoint:
    """An index of shards `x` and `y` whose readers are replaced."""
    monkeypatch.setattr(sharded, "read_checkpoint", lambda span, beside: make(span.source.name))
    index = json.dumps({"weight_map": {"a": "x", "b": "y", "lost": "y"}}).encode()
    checkpoint = read_sharded(
        span_all(BytesSource(index)), lambda name: span_all(BytesSource(b"", name))
    )
    assert checkpoint is not None
    return checkpoint


def test_what_the_shards_say_beside_their_tensors_is_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = read(folder / INDEX)
    assert held is not None
    tensor = held.tensors["bias_ih_l0"]
    lost = Skipped("lost", "unsupported-dtype", "its layout is sparse")

    def make(name: str) -> Checkpoint:
        claims = {name: formats.Claim("LSTM", "lstm")}
        return Checkpoint(
            "torch-zip",
            {"a": tensor, "b": tensor},
            claims,
            (lost,),
            (("os", "system"), (name, "f")),
        )

    got = fake_shards(monkeypatch, make)
    assert got.format == "torch-sharded"
    assert list(got.tensors) == ["a", "b"], (
        "a tensor that its shard could not read is skipped, not missing"
    )
    assert set(got.claims) == {"x", "y"}
    assert got.skipped == (lost,)
    assert got.globals == (("os", "system"), ("x", "f"), ("y", "f"))


def test_torch_shards(tmp_path: Path) -> None:
    state = torch.nn.LSTM(3, 4).state_dict()
    torch.save({"bias_ih_l0": state["bias_ih_l0"]}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"bias_hh_l0": state["bias_hh_l0"]}, tmp_path / "pytorch_model-00002-of-00002.bin")
    homes = {
        f"bias_{half}_l0": f"pytorch_model-0000{k}-of-00002.bin"
        for k, half in ((1, "ih"), (2, "hh"))
    }
    checkpoint = read(write_index(tmp_path, homes))
    assert checkpoint is not None
    assert checkpoint.format == "torch-sharded"
    for name in homes:
        assert read_block(whole_block(checkpoint.tensors[name])) == state[name].tolist()
