"""The safetensors reader against the reference: same tensors from good files, and no lie that only
we believe.
"""

import json
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_model
from speed import at_most

import lstm_audit
from lstm_audit.errors import AuditError, MalformedFile
from lstm_audit.formats import Checkpoint
from lstm_audit.formats import safetensors as ours
from lstm_audit.formats.safetensors import read_safetensors
from lstm_audit.raw.budget import Budget
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import Span, span_all
from lstm_audit.raw.tensor import read_block, whole_block
from lstm_audit.wire.json import MAX_SIZE

PLAIN = '"dtype":"F32","shape":[2],"data_offsets":[0,8]'


def beside(name: str) -> Span:
    raise AssertionError(f"a single file needs no {name}")


def pack(header: str | bytes, data: bytes = bytes(8)) -> bytes:
    """A file from its header, in which PLAIN stands for a float32 tensor over the first eight
    bytes.
    """
    raw = (
        header.replace("PLAIN", PLAIN).encode("utf-8", "surrogatepass")
        if isinstance(header, str)
        else header
    )
    return struct.pack("<Q", len(raw)) + raw + data


class Placed(BytesSource):
    """Bytes that stand for a file: offsets in them are places."""

    placed = True


def read(raw: bytes) -> Checkpoint | None:
    return read_safetensors(span_all(Placed(raw)), beside)


def refusal(raw: bytes) -> MalformedFile:
    with pytest.raises(MalformedFile) as caught:
        read(raw)
    return caught.value


def attempt(raw: bytes) -> Checkpoint | AuditError | None:
    """What the reader makes of a file; anything but an `AuditError` escapes."""
    try:
        return read(raw)
    except AuditError as error:
        return error


def reference(raw: bytes) -> dict[str, dict[str, Any]] | None:
    """What the Rust parser makes of a file: the tensors by name, or None when it refuses."""
    try:
        return dict(safetensors.deserialize(raw))  # type: ignore[no-untyped-call]  # the library declares no types here
    except safetensors.SafetensorError:
        return None


def agrees(checkpoint: Checkpoint, expected: dict[str, dict[str, Any]]) -> bool:
    """Names, shapes and bytes alike; a further name is that of a tensor which is there."""
    mine = {name: (list(t.shape), t.span.read()) for name, t in checkpoint.tensors.items()}
    theirs = {name: (t["shape"], bytes(t["data"])) for name, t in expected.items()}
    further = [mine.pop(name) for name in set(mine) - set(theirs)]
    return mine == theirs and all(tensor in theirs.values() for tensor in further)


TORCH_DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool, torch.complex64,
]  # fmt: skip
DECODED = TORCH_DTYPES[:6]


@st.composite
def states(draw: st.DrawFn) -> dict[str, torch.Tensor]:
    names = draw(st.lists(st.text(max_size=12), max_size=6, unique=True))
    state = {}
    for name in names:
        shape = draw(st.lists(st.integers(0, 5), max_size=4))
        dtype = draw(st.sampled_from(TORCH_DTYPES))
        state[name] = torch.randn(shape).to(dtype)
    return {name: tensor for name, tensor in state.items() if name != "__metadata__"}


@settings(max_examples=150, deadline=None)
@given(states(), st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3))
def test_reads_what_torch_saved(
    state: dict[str, torch.Tensor], metadata: dict[str, str] | None
) -> None:
    raw = save(
        state, metadata or None
    )  # 0.8.0 writes broken JSON for no tensors and empty metadata
    checkpoint, expected = read(raw), reference(raw)
    assert checkpoint is not None
    assert expected is not None
    assert checkpoint.format == "safetensors"
    assert agrees(checkpoint, expected)
    for name in state:
        tensor, mine = state[name], checkpoint.tensors[name]
        assert f"torch.{mine.dtype.name}" == str(tensor.dtype)
        assert mine.span.start + mine.span.size <= len(raw)
        if tensor.dtype in DECODED and tensor.dim() == 1:
            values = torch.tensor(read_block(whole_block(mine)), dtype=torch.float64)
            assert torch.equal(values, tensor.double())


def test_what_save_model_drops_is_an_alias(tmp_path: Path) -> None:
    tied, path = torch.nn.LSTM(3, 4), tmp_path / "tied.safetensors"
    model = torch.nn.ModuleDict({"a": tied, "b": tied, "own": torch.nn.LSTM(3, 4)})
    save_model(model, str(path), metadata={"format": "pt", "own.bias_ih_l0": "a.bias_ih_l0"})
    rows = lstm_audit.audit(path).rows
    known = {r.lstm.module: {a.rpartition(".")[0] for a in r.lstm.aliases} for r in rows}
    assert known == {"a": {"b"}, "own": set()}
    assert not lstm_audit.audit(path, layers="b").errors
    assert [row.lstm.module for row in lstm_audit.audit(path, layers="b").rows] == ["a"]
    lstm_audit.patch(path, forget_bias=2.5, layers="b")
    means = {row.lstm.module: row.measures.gates["f"].mean for row in lstm_audit.audit(path).rows}
    assert means["a"] == 2.5 != means["own"]


def test_only_a_name_of_a_tensor_makes_an_alias() -> None:
    header = '{"a":{PLAIN},"__metadata__":{"b":"a","c":"gone","d":"b","a":"a","LONG":"a"}}'
    checkpoint = read(pack(header.replace("LONG", "x" * 5000)))
    assert checkpoint is not None
    assert set(checkpoint.tensors) == {"a", "b"}


BOTH_REJECT: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("{", "not JSON"),
    "a list": ('{"a":[]}', "expected an object"),
    "a null tensor": ('{"b":null,"a":{PLAIN}}', "expected an object"),
    "trailing comma": ('{"a":{PLAIN},}', "not JSON"),
    "trailing NUL": ('{"a":{PLAIN}}\0', "not JSON"),
    "trailing form feed": ('{"a":{PLAIN}}\f', "not JSON"),
    "two values": ('{"a":{PLAIN}}{}', "not JSON"),
    "not UTF-8": (b'{"a\xff":{}}', "not UTF-8"),
    "raw surrogate": ('{"a\ud800":{PLAIN}}', "not UTF-8"),
    "escaped half surrogate": ('{"a\\ud800":{PLAIN}}', "surrogate"),
    "half surrogate in a foreign field": ('{"a":{PLAIN,"x":"\\udc00"}}', "surrogate"),
    "half surrogate in metadata": ('{"__metadata__":{"a":"\\udc00"},"a":{PLAIN}}', "surrogate"),
    "control character": ('{"a\n":{PLAIN}}', "not JSON"),
    "NaN": ('{"a":{PLAIN,"x":NaN}}', "NaN"),
    "Infinity": ('{"a":{PLAIN,"x":-Infinity}}', "Infinity"),
    "overflowing float": ('{"a":{PLAIN,"x":1e309}}', "out of range"),
    "overflowing integer": ('{"a":{PLAIN,"x":' + "1" * 400 + "}}", "out of range"),
    "5,000 digits": ('{"a":{PLAIN,"x":' + "1" * 5000 + "}}", "not JSON"),
    "128 levels": ('{"a":{PLAIN,"x":' + "[" * 126 + "]" * 126 + "}}", "nested too deeply"),
    "128 levels of objects": (
        '{"a":{PLAIN,"x":' + '{"x":' * 125 + "[]" + "}" * 125 + "}}",
        "nested too deeply",
    ),
    "100,000 levels": (
        '{"a":{PLAIN,"x":' + "[" * 100_000 + "]" * 100_000 + "}}",
        "nested too deeply",
    ),
    "no dtype": ('{"a":{"shape":[2],"data_offsets":[0,8]}}', "dtype"),
    "no shape": ('{"a":{"dtype":"F32","data_offsets":[0,8]}}', "shape"),
    "no offsets": ('{"a":{"dtype":"F32","shape":[2]}}', "data_offsets"),
    "unknown dtype": ('{"a":{"dtype":"C128","shape":[0],"data_offsets":[0,0]}}', "C128"),
    "lower-case dtype": ('{"a":{"dtype":"f32","shape":[2],"data_offsets":[0,8]}}', "f32"),
    "dtype a number": ('{"a":{"dtype":4,"shape":[2],"data_offsets":[0,8]}}', "dtype is 4"),
    "dtype a list": ('{"a":{"dtype":["F32"],"shape":[2],"data_offsets":[0,8]}}', "dtype"),
    "negative size": ('{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}', "shape"),
    "two negative sizes": ('{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}', "shape"),
    "size -0": ('{"a":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}}', "shape"),
    "offset -0": ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[-0,8]}}', "data_offsets"),
    "float size": ('{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}', "shape"),
    "exponent size": ('{"a":{"dtype":"F32","shape":[2e0],"data_offsets":[0,8]}}', "shape"),
    "true size": ('{"a":{"dtype":"U8","shape":[8,true],"data_offsets":[0,8]}}', "shape"),
    "size a string": ('{"a":{"dtype":"F32","shape":["2"],"data_offsets":[0,8]}}', "shape"),
    "shape a number": ('{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}', "shape"),
    "shape null": ('{"a":{"dtype":"F32","shape":null,"data_offsets":[0,8]}}', "shape"),
    "size beyond u64": (
        '{"a":{"dtype":"F32","shape":[0,18446744073709551616],"data_offsets":[0,0]}}',
        "shape",
    ),
    "one offset": ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[8]}}', "data_offsets"),
    "three offsets": ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}', "data_offsets"),
    "false offset": ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[false,8]}}', "data_offsets"),
    "offsets an object": (
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":{"0":0,"1":8}}}',
        "data_offsets",
    ),
    "begin after end": ('{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}', "found -8"),
    "product overflows": (
        '{"a":{"dtype":"F32","shape":[9223372036854775808,4,0],"data_offsets":[0,0]}}',
        "overflows",
    ),
    "bits overflow": (
        '{"a":{"dtype":"F32","shape":[576460752303423488],"data_offsets":[0,8]}}',
        "overflows",
    ),
    "size too large": (
        '{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}',
        "takes 12 bytes, found 8",
    ),
    "size too small": (
        '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}',
        "takes 4 bytes, found 8",
    ),
    "half a byte": ('{"a":{"dtype":"F4","shape":[15],"data_offsets":[0,8]}}', "takes 7.5 bytes"),
    "hole at the start": ('{"a":{"dtype":"U8","shape":[7],"data_offsets":[1,8]}}', "hole"),
    "hole": (
        '{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}',
        "'b' leaves a hole",
    ),
    "overlap": (
        '{"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}}',
        "'b' overlaps",
    ),
    "one place twice": ('{"a":{PLAIN},"b":{PLAIN}}', "overlaps"),
    "empty tensor inside another": (
        '{"a":{PLAIN},"b":{"dtype":"U8","shape":[0],"data_offsets":[4,4]}}',
        "overlaps",
    ),
    "data beyond the last tensor": (
        '{"a":{"dtype":"U8","shape":[7],"data_offsets":[0,7]}}',
        "1 bytes follow",
    ),
    "data without tensors": ("{}", "8 bytes follow"),
    "data missing": (
        '{"a":{"dtype":"U8","shape":[9],"data_offsets":[0,9]}}',
        "should take 9 bytes, found 8",
    ),
    "metadata a list": ('{"__metadata__":[],"a":{PLAIN}}', "__metadata__"),
    "metadata a number": ('{"__metadata__":{"a":1},"a":{PLAIN}}', "__metadata__"),
    "metadata null": ('{"__metadata__":{"a":null},"a":{PLAIN}}', "__metadata__"),
    "metadata twice": ('{"__metadata__":null,"__metadata__":null,"a":{PLAIN}}', "twice"),
    "dtype twice": ('{"a":{"dtype":"F32",PLAIN}}', "'dtype' twice"),
}


@pytest.mark.parametrize("case", BOTH_REJECT)
def test_rejected_by_both(case: str) -> None:
    header, said = BOTH_REJECT[case]
    raw = pack(header)
    error = refusal(raw)
    assert reference(raw) is None
    assert said in error.message
    assert error.at is not None
    assert 0 <= error.at <= len(raw)
    assert error.kind in ("malformed", "truncated", "ambiguous")


BOTH_ACCEPT = {
    "plain": ('{"a":{PLAIN}}', 8),
    "nothing": ("{}", 0),
    "metadata null": ('{"__metadata__":null,"a":{PLAIN}}', 8),
    "metadata": ('{"a":{PLAIN},"__metadata__":{"format":"pt"}}', 8),
    "empty name": ('{"":{PLAIN}}', 8),
    "DEL in a name": ('{"a\x7f":{PLAIN}}', 8),
    "escaped name": ('{"\\u0061\\u0000\\ud83d\\ude00":{PLAIN}}', 8),
    "blanks": ('{ "a" :\t{PLAIN}}\r\n ', 8),
    "foreign field": ('{"a":{PLAIN,"x":[1,-2.5,null,{"y":"z"},1e300]}}', 8),
    "foreign -0": ('{"a":{PLAIN,"x":-0}}', 8),
    "127 levels": ('{"a":{PLAIN,"x":' + "[" * 125 + "]" * 125 + "}}", 8),
    "scalar": ('{"a":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}', 8),
    "odd offset": (
        '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}',
        5,
    ),
    "unsorted": (
        '{"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
        8,
    ),
    "empty tensors at every boundary": (
        '{"z":{"dtype":"F32","shape":[0],"data_offsets":[8,8]},"a":{PLAIN},'
        '"y":{"dtype":"F32","shape":[3,0],"data_offsets":[0,0]}}',
        8,
    ),
    "zero before a huge size": (
        '{"a":{"dtype":"F32","shape":[0,9223372036854775808,4],"data_offsets":[0,0]}}',
        0,
    ),
    "70 dimensions": ('{"a":{"dtype":"F64","shape":[1' + ",1" * 69 + '],"data_offsets":[0,8]}}', 8),
    "F4": ('{"a":{"dtype":"F4","shape":[2,8],"data_offsets":[0,8]}}', 8),
    "F6": ('{"a":{"dtype":"F6_E3M2","shape":[4],"data_offsets":[0,3]}}', 3),
}


@pytest.mark.parametrize("case", BOTH_ACCEPT)
def test_accepted_by_both(case: str) -> None:
    header, size = BOTH_ACCEPT[case]
    raw = pack(header, bytes(range(size)))
    checkpoint, expected = read(raw), reference(raw)
    assert checkpoint is not None
    assert expected is not None
    assert agrees(checkpoint, expected)


@pytest.mark.parametrize("dtype", ours.BITS)
def test_knows_every_dtype_of_the_reference(dtype: str) -> None:
    raw = pack(
        json.dumps({"a": {"dtype": dtype, "shape": [8], "data_offsets": [0, ours.BITS[dtype]]}}),
        bytes(64),
    )
    raw = raw[: len(raw) - 64 + ours.BITS[dtype]]
    expected = reference(raw)
    assert expected is not None
    assert read(raw) is not None
    with pytest.raises(safetensors.SafetensorError) as caught:
        safetensors.deserialize(pack('{"a":{"dtype":"?","shape":[],"data_offsets":[0,0]}}'))  # type: ignore[no-untyped-call]  # the library declares no types here
    assert set(str(caught.value).replace("`", " ").replace(",", " ").split()) >= set(ours.BITS)


AMBIGUOUS = {
    "tensor twice": '{"a":{"dtype":"U8","shape":[9],"data_offsets":[5,7]},"a":{PLAIN}}',
    "tensor twice, once escaped": '{"\\u0061":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},"a":{PLAIN}}',
    "metadata key twice": '{"__metadata__":{"a":"1","a":"2"},"a":{PLAIN}}',
    "foreign field twice": '{"a":{PLAIN,"x":1,"x":2}}',
}


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_refuses_what_two_parsers_could_read_differently(case: str) -> None:
    raw = pack(AMBIGUOUS[case])
    assert reference(raw) is not None
    assert refusal(raw).kind == "ambiguous"


@pytest.mark.parametrize(
    "info", ['["F32",[2],[0,8]]', '{"dtype":{"F32":null},"shape":[2],"data_offsets":[0,8]}']
)
def test_refuses_the_undocumented_forms_that_serde_lets_through(info: str) -> None:
    raw = pack('{"a":' + info + "}")
    assert reference(raw) is not None
    assert "expected an object" in refusal(raw).message or "dtype" in refusal(raw).message


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", bytes(8), bytes(8) + b"{", pack(" {}"), pack("[]"), b"PK\x03\x04\0\0\x08\x08{", b"{" * 20,
        struct.pack("<Q", 1 << 40) + b"{}", b"\x80\x02}q\0.", "\ufeff{}".encode(),
    ],
)  # fmt: skip
def test_leaves_other_formats_alone(raw: bytes) -> None:
    assert read(raw) is None


def test_says_that_a_download_was_cut_short() -> None:
    raw = save({"lstm.bias_ih_l0": torch.zeros(32)})
    for size in (20, len(raw) // 2, len(raw) - 1):
        error = refusal(raw[:size])
        assert error.kind == "truncated"
        assert "cut short" in error.message


def test_names_the_tensor_and_its_place() -> None:
    header = '{"first":{PLAIN},"lstm.bias_hh_l0":{"dtype":"F32","shape":[3],"data_offsets":[8,16]}}'
    raw = pack(header, bytes(16))
    error = refusal(b"".join([raw]))
    assert "'lstm.bias_hh_l0'" in error.message
    assert "takes 12 bytes, found 8" in error.message
    assert error.at == raw.index(b'"lstm.bias_hh_l0"')
    comma = pack('{"é":{PLAIN},}')
    assert refusal(comma).at == comma.rindex(b"}")


def test_places_are_absolute_inside_a_larger_span() -> None:
    raw = save({"a": torch.arange(4.0)})
    span = span_all(Placed(b"#" * 100 + raw))[100:]
    checkpoint = read_safetensors(span, beside)
    assert checkpoint is not None
    assert checkpoint.tensors["a"].span.start == 100 + len(raw) - 16
    assert read_block(whole_block(checkpoint.tensors["a"])) == [0, 1, 2, 3]
    with pytest.raises(MalformedFile) as caught:
        read_safetensors(span_all(Placed(b"#" * 100 + pack('{"a":7}')))[100:], beside)
    assert caught.value.at == 100 + 8 + 1


def test_escapes_hostile_names_in_messages() -> None:
    message = refusal(pack('{"\\u001b[31m' + "x" * 1000 + '":7}')).message
    assert message.isprintable()
    assert len(message) < 400


@pytest.mark.parametrize("filling", ["[],", "{},", '"ab",', "1000,", "[[[[[[1]]]]]],", "1.5,"])
def test_a_large_header_is_bounded_in_time_and_memory(filling: str) -> None:
    header = '{"a":{PLAIN,"x":[' + filling * ((16 << 20) // len(filling)) + "0]}}"
    tracemalloc.start()
    with at_most(2):
        assert refusal(pack(header)).kind == "limit"
    assert tracemalloc.get_traced_memory()[1] < 6 * len(header)
    tracemalloc.stop()


@pytest.mark.parametrize("length", [MAX_SIZE + 1, 99_000_000, 200 << 20])
def test_a_header_beyond_the_cap_is_not_read(length: int) -> None:
    class Sparse:
        name, size, placed, budget = "sparse", 8 + (200 << 20), True, Budget()

        def read(self, at: int, n: int) -> bytes:
            assert n <= 16, "the header itself was read"
            return (struct.pack("<Q", length) + b"{" + bytes(16))[at : at + n]

    with pytest.raises(MalformedFile) as caught:
        read_safetensors(span_all(Sparse()), beside)
    assert caught.value.kind == "limit"


def test_reads_the_header_and_nothing_else() -> None:
    raw = save({f"l{k}": torch.zeros(1000) for k in range(20)})
    reads: list[tuple[int, int]] = []

    class Counting(BytesSource):
        def read(self, at: int, n: int) -> bytes:
            reads.append((at, n))
            return super().read(at, n)

    checkpoint = read_safetensors(span_all(Counting(raw)), beside)
    assert checkpoint is not None
    assert len(checkpoint.tensors) == 20
    assert len(reads) == 2
    assert sum(n for _, n in reads) <= len(raw) - 80_000 + 1
    assert checkpoint.tensors["l3"] is checkpoint.tensors["l3"], "a tensor is built once"


SEEDS = [
    pack('{"a":{PLAIN}}'),
    save(
        {"w": torch.zeros(2, 3), "b": torch.zeros(3).half(), "e": torch.zeros(0)}, {"format": "pt"}
    ),
    pack('{"a":{PLAIN,"x":[-0,{"y":"\\u0041"}]},"__metadata__":null}'),
]
SCRAPS = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"0", b"1", b"8", b"-", b"-0", b".", b"e1", b"null", b"true", b"NaN",
    b'"dtype"', b'"shape"', b'"data_offsets"', b'"F4"', b'"F64"', b"\\u0041", b"\\ud800", b"\xff", b"\xc3\xa9", b" ",
    b"18446744073709551615", b"18446744073709551616", b"1e999", b"__metadata__", b"\0", b"\n", b"[0,8]", b"[2]",
]  # fmt: skip


def mutate(raw: bytes, chance: random.Random) -> bytes:
    """One to three edits of the header; its length field mostly follows."""
    size = struct.unpack("<Q", raw[:8])[0]
    header, data = bytearray(raw[8 : 8 + size]), raw[8 + size :]
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        a = chance.randrange(1, len(header) + 1)
        b = min(a + chance.choice((0, 0, 1, 1, 2, 5)), len(header))
        header[a:b] = (
            chance.choice(SCRAPS)
            if chance.random() < 0.8
            else bytes(header[: chance.randrange(20)])
        )
    told = len(header) + (chance.choice((-1, 1, 8)) if chance.random() < 0.05 else 0)
    data = data + b"x" if chance.random() < 0.03 else data
    return struct.pack("<Q", max(told, 0)) + bytes(header) + data


def test_no_mutation_is_believed_that_the_reference_refuses() -> None:
    chance = random.Random(7)
    accepted = 0
    for k in range(40_000):
        raw = mutate(SEEDS[k % len(SEEDS)], chance)
        expected, verdict = reference(raw), attempt(raw)
        if isinstance(verdict, Checkpoint):
            assert expected is not None, raw
            assert agrees(verdict, expected), raw
            accepted += 1
        elif isinstance(verdict, AuditError):
            assert (
                expected is None or verdict.kind == "ambiguous" or b'{"F' in raw or b'["F' in raw
            ), raw
    assert accepted > 600


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 80))
def test_only_audit_errors_escape(noise: bytes, length: int) -> None:
    for raw in (noise, struct.pack("<Q", length) + b"{" + noise, pack(b'{"a":{' + noise)):
        attempt(raw)
