"""The HDF5 reader against h5py: whatever h5py writes reads the same here, place for place."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

h5py = pytest.importorskip(
    "h5py", reason="h5py, what the reader is compared with, is in the extra `references`"
)
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_audit.errors import MalformedFile
from lstm_audit.raw.checksums import fletcher32, lookup3
from lstm_audit.raw.source import BytesSource, FileSource
from lstm_audit.raw.span import span_all
from lstm_audit.wire.hdf5 import Tree, is_hdf5, read_hdf5

TORCH_NAMES = {
    "f2": "float16", "f4": "float32", "f8": "float64", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64",
}  # fmt: skip
LIBVERS = ("earliest", "v108", "v110", "v112", "v114", "latest")
FILTERS: tuple[dict[str, Any], ...] = (
    {}, {"chunks": True}, {"chunks": True, "shuffle": True}, {"chunks": True, "fletcher32": True}, {"compression": 4},
    {"compression": 9, "shuffle": True, "fletcher32": True},
)  # fmt: skip


def read(data: bytes) -> Tree:
    return read_hdf5(span_all(BytesSource(data)))


def written(path: Path, fill: Callable[[Any], None], **options: Any) -> Path:
    with h5py.File(path, "w", **options) as file:
        fill(file)
    return path


def compare(path: Path) -> Tree:
    """Every dataset has h5py's type, shape, values and place; every text h5py's."""
    with FileSource(str(path)) as source, h5py.File(path) as file:
        tree = read_hdf5(span_all(source))
        seen = {"": file}
        file.visititems(lambda name, found: seen.__setitem__(name, found))
        assert set(tree.datasets) == {
            name for name, found in seen.items() if isinstance(found, h5py.Dataset)
        }
        assert set(tree.attributes) >= set(seen)
        for name, theirs in seen.items():
            if isinstance(theirs, h5py.Dataset):
                _compare_dataset(tree, name, theirs)
            for attribute, value in theirs.attrs.items():
                if isinstance(value, str):
                    assert tree.attributes[name].text(attribute) == value
    return read(path.read_bytes())


def _compare_dataset(tree: Tree, name: str, theirs: Any) -> None:
    ours = tree.datasets[name]
    span = ours.locate()
    assert ours.shape == theirs.shape
    assert ours.datatype.name == TORCH_NAMES[theirs.dtype.str[1:]]
    assert ours.datatype.big_endian == (theirs.dtype.str[0] == ">")
    assert span.read() == np.asarray(theirs[()], theirs.dtype).tobytes()
    if theirs.id.get_offset() is not None:  # contiguous
        assert span.at == theirs.id.get_offset()


def model(file: Any, groups: int = 2, **how: Any) -> None:
    """What a layer leaves: groups, three arrays, texts of both kinds."""
    rng = np.random.default_rng(1)
    file.attrs["model_config"] = '{"layers": []}' * 40
    file.attrs["layer_names"] = np.array([b"lstm", b"dense_with_a_long_name"])
    for k in range(groups):
        cell = file.create_group(f"layers/lstm_{k}/cell")
        cell.attrs["name"] = f"lstm{k}"
        cell.create_dataset("kernel", data=rng.standard_normal((3, 20)).astype("f4"), **how)
        cell.create_dataset("recurrent_kernel", data=rng.standard_normal((5, 20)), **how)
        cell.create_dataset("bias", data=rng.standard_normal(20).astype(">f4"), **how)


@pytest.mark.parametrize("libver", LIBVERS)
@pytest.mark.parametrize("track_order", [False, True])
@pytest.mark.parametrize("how", FILTERS, ids=lambda how: "-".join(how) or "plain")
def test_every_version_order_and_filter(
    tmp_path: Path, libver: str, track_order: bool, how: dict[str, Any]
) -> None:
    path = written(
        tmp_path / "a.h5",
        lambda file: model(file, 3, **how),
        libver=libver,
        track_order=track_order,
    )
    assert len(compare(path).datasets) == 9


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("groups", [9, 40, 700])
def test_groups_of_many_members_take_trees_of_several_levels(
    tmp_path: Path, libver: str, groups: int
) -> None:
    def fill(file: Any) -> None:
        for k in range(groups):
            file.create_group(f"group_with_a_rather_long_name_{k}").attrs["name"] = str(k)
            file[f"set{k}"] = np.arange(k % 5, dtype="f4")

    tree = compare(written(tmp_path / "a.h5", fill, libver=libver, track_order=True))
    assert len(tree.datasets) == groups


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_attributes_of_many_and_of_long_text(tmp_path: Path, libver: str) -> None:
    def fill(file: Any) -> None:
        for k in range(60):
            file.attrs[f"attribute {k}"] = "ü" * k
        file.attrs["long"] = "x" * 300_000
        file.attrs["fixed"] = np.array([b"one", b"three"])
        file.attrs["several"] = ["variable", "length"]
        file.attrs["number"] = 3

    tree = compare(written(tmp_path / "a.h5", fill, libver=libver, track_order=libver == "latest"))
    root = tree.attributes[""]
    assert root.texts("fixed") == ["one", "three"]
    assert root.texts("several") == ["variable", "length"]
    assert root.text("several") is root.text("number") is root.text("absent") is None


@pytest.mark.parametrize("dtype", [order + code for order in "<>" for code in TORCH_NAMES])
def test_types(tmp_path: Path, dtype: str) -> None:
    compare(
        written(
            tmp_path / "a.h5",
            lambda file: file.create_dataset("a", data=np.arange(7).astype(dtype)),
        )
    )


def test_types_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["opaque"] = np.zeros(3, "V2")
        file["bool"] = np.zeros(3, "?")
        file["fixed"] = np.array([b"text"])
        file["text"] = "text"
        file["pair"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
        file["complex"] = np.zeros(2, "c8")
        file["nothing"] = h5py.Empty("f4")

    tree = read(written(tmp_path / "a.h5", fill).read_bytes())
    names = {name: dataset.datatype.name for name, dataset in tree.datasets.items()}
    assert names.pop("nothing") == "float32"
    assert names == {
        "opaque": "opaque", "bool": "enumeration", "fixed": "string", "text": "variable string", "pair": "compound",
        "complex": "compound",
    }  # fmt: skip
    assert tree.datasets["nothing"].shape == (0,)


@pytest.mark.parametrize("size", [512, 1024, 2048])
def test_behind_a_user_block(tmp_path: Path, size: int) -> None:
    path = written(tmp_path / "a.h5", model, userblock_size=size)
    compare(path)
    assert is_hdf5(span_all(BytesSource(path.read_bytes())))


def test_compact_data_lies_in_the_header_under_its_checksum(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        how.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((5,))
        h5py.h5d.create(file.id, b"bias", h5py.h5t.IEEE_F32LE, space, how).write(
            h5py.h5s.ALL, h5py.h5s.ALL, np.arange(5, dtype="f4")
        )

    for libver in ("earliest", "latest"):
        path = written(tmp_path / f"{libver}.h5", fill, libver=libver)
        with FileSource(str(path)) as source:
            dataset = read_hdf5(span_all(source)).datasets["bias"]
            span = dataset.locate()
            assert dataset.storage == "compact"
            assert span.read() == np.arange(5, dtype="f4").tobytes()
            assert path.read_bytes()[span.start : span.start + 20] == span.read()
            assert [seal.kind for seal in span.seals] == (
                [] if libver == "earliest" else ["lookup3"]
            )
            for seal in span.seals:
                assert lookup3(seal.covers.read()) == seal.stored


def test_one_plain_chunk_has_a_place_and_several_have_none(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("one", data=np.arange(20, dtype="f4"), chunks=(20,))
        file.create_dataset("roomy", data=np.arange(20, dtype="f4"), chunks=(32,), maxshape=(40,))
        file.create_dataset("summed", data=np.arange(20, dtype="f4"), chunks=(20,), fletcher32=True)
        file.create_dataset("several", data=np.arange(20, dtype="f4"), chunks=(6,))
        file.create_dataset("small", data=np.arange(20, dtype="f4"), chunks=(20,), compression=9)

    for libver in ("earliest", "v110", "latest"):
        path = written(tmp_path / f"{libver}.h5", fill, libver=libver)
        with FileSource(str(path)) as source:
            spans = {
                name: found.locate() for name, found in read_hdf5(span_all(source)).datasets.items()
            }
            placed = {name for name, span in spans.items() if span.at is not None}
            assert placed == {"one", "roomy", "summed"}
            assert all(
                span.read() == np.arange(20, dtype="f4").tobytes() for span in spans.values()
            )
            (seal,) = spans["summed"].seals
            places = [place.start for place in seal.places]
            assert (seal.kind, seal.covers.size, places) == (
                "fletcher32",
                80,
                [seal.covers.start + 80],
            )
            assert fletcher32(seal.covers.read()) == seal.stored


def test_what_was_never_written_is_the_fill_value(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.create_dataset("zeros", (7,), "f4")
        file.create_dataset("ones", (7,), "f4", fillvalue=1)
        file.create_dataset("chunks", (7, 3), "f8", chunks=(2, 2), fillvalue=2)
        file["chunks"][3, 1] = 5
        file.create_dataset(
            "growing", data=np.arange(24.0).reshape(4, 6), chunks=(3, 2), maxshape=(9, 12)
        )

    for libver in ("earliest", "latest"):
        tree = compare(written(tmp_path / f"{libver}.h5", fill, libver=libver))
        assert tree.datasets["ones"].storage == "unwritten"
        assert tree.datasets["ones"].locate().at is None


def test_two_names_of_one_array_are_one_place_and_soft_links_none(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["a/bias"] = np.arange(4.0)
        file["b/bias"] = file["a/bias"]
        file["soft"] = h5py.SoftLink("/a/bias")
        file["a/loop"] = file["/"]
        file["again"] = file["a"]

    for libver in ("earliest", "latest"):
        path = written(tmp_path / f"{libver}.h5", fill, libver=libver)
        tree = read(path.read_bytes())
        assert set(tree.datasets) == {"a/bias", "b/bias"} or set(tree.datasets) == {
            "again/bias",
            "b/bias",
        }
        assert len({dataset.locate().start for dataset in tree.datasets.values()}) == 1


def test_a_branch_that_is_not_entered_is_not_read(tmp_path: Path) -> None:
    data = bytearray(written(tmp_path / "a.h5", lambda file: model(file, 2)).read_bytes())
    wanted = read_hdf5(span_all(BytesSource(bytes(data))), lambda path: path != "layers/lstm_0")
    assert {name.split("/")[1] for name in wanted.datasets} == {"lstm_1"}


@given(st.binary(max_size=200))
def test_lookup3_of_any_length_is_stable_under_splitting_words(data: bytes) -> None:
    assert lookup3(data) == _lookup3_by_bytes(data)


def _lookup3_by_bytes(data: bytes) -> int:
    """hashlittle, written after lookup3.c for machines that cannot read words."""
    mask, n = 0xFFFFFFFF, len(data)
    a = b = c = (0xDEADBEEF + n) & mask
    if not n:
        return c
    data += bytes(-n % 12)

    def rot(x: int, k: int) -> int:
        return (x << k | x >> (32 - k)) & mask

    def word(at: int) -> int:
        return int.from_bytes(data[at : at + 4], "little")

    at = 0
    while n > 12:
        a, b, c = (a + word(at)) & mask, (b + word(at + 4)) & mask, (c + word(at + 8)) & mask
        a = ((a - c) & mask) ^ rot(c, 4)
        c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 6)
        a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 8)
        b = (b + a) & mask
        a = ((a - c) & mask) ^ rot(c, 16)
        c = (c + b) & mask
        b = ((b - a) & mask) ^ rot(a, 19)
        a = (a + c) & mask
        c = ((c - b) & mask) ^ rot(b, 4)
        b = (b + a) & mask
        at, n = at + 12, n - 12
    a, b, c = (a + word(at)) & mask, (b + word(at + 4)) & mask, (c + word(at + 8)) & mask
    c = ((c ^ b) - rot(b, 14)) & mask
    a = ((a ^ c) - rot(c, 11)) & mask
    b = ((b ^ a) - rot(a, 25)) & mask
    c = ((c ^ b) - rot(b, 16)) & mask
    a = ((a ^ c) - rot(c, 4)) & mask
    b = ((b ^ a) - rot(a, 14)) & mask
    return ((c ^ b) - rot(b, 24)) & mask


def test_lookup3_by_the_values_of_its_author() -> None:
    assert lookup3(b"") == 0xDEADBEEF
    assert lookup3(b"Four score and seven years ago") == 0x17770551


NAMES = st.text("abcxyz_0123 :é", min_size=1, max_size=12).filter(
    lambda name: name.strip(" .") != ""
)
ARRAYS = st.tuples(
    st.sampled_from([o + c for o in "<>" for c in TORCH_NAMES]),
    st.lists(st.integers(0, 5), max_size=3),
)
TREES = st.recursive(
    ARRAYS, lambda below: st.dictionaries(NAMES, below, max_size=12), max_leaves=30
)


@settings(max_examples=60)
@given(tree=st.dictionaries(NAMES, TREES, max_size=12), libver=st.sampled_from(LIBVERS), order=st.booleans(),
       how=st.sampled_from(FILTERS))  # fmt: skip
def test_any_tree(
    tmp_path: Path, tree: dict[str, Any], libver: str, order: bool, how: dict[str, Any]
) -> None:
    count = itertools.count(1)

    def add(group: Any, branch: dict[str, Any]) -> None:
        for name, below in branch.items():
            if isinstance(below, dict):
                group.create_group(name).attrs["name"] = name * 3
                add(group[name], below)
                continue
            dtype, shape = below
            values = (
                (np.arange(np.prod(shape, dtype=int)) + next(count)).astype(dtype).reshape(shape)
            )
            group.create_dataset(name, data=values, **(how if shape and 0 not in shape else {}))

    compare(
        written(tmp_path / "any.h5", lambda file: add(file, tree), libver=libver, track_order=order)
    )


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_a_file_that_was_cut_is_said_at_every_length(tmp_path: Path, libver: str) -> None:
    data = written(tmp_path / "a.h5", model, libver=libver).read_bytes()
    for size in range(8, len(data), 97):
        with pytest.raises(MalformedFile) as caught:
            read(data[:size])
        assert caught.value.kind == "truncated"
