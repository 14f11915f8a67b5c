"""torch's pickled claims, one wrong number at a time: each is refused, and says what was
expected.
"""

from pathlib import Path
from typing import Any

import forge
import pytest
import torch

import lstm_audit
from lstm_audit.errors import MalformedFile
from lstm_audit.formats.torch import archive, dialect, export, legacy, storage
from lstm_audit.formats.torch.legacy import Envelope
from lstm_audit.formats.torch.rebuild import read_claimed_shape, rebuild
from lstm_audit.formats.torch.storage import Storage, dtype_named, read_persistent_id
from lstm_audit.formats.torch.tensor_calls import unread
from lstm_audit.lstm.conventions import CONVENTIONS
from lstm_audit.lstm.kind import weigh_shape
from lstm_audit.raw.dtypes import DTYPES
from lstm_audit.raw.source import BytesSource
from lstm_audit.raw.span import span_all
from lstm_audit.raw.tensor import read_block, whole_block
from lstm_audit.wire.pickle import Call, Global, Persistent, PickledBytes

FLOATS = span_all(BytesSource(bytes(range(64))))
UTILS = "torch._utils"


def envelope(value: object = None) -> Envelope:
    def locate(reference: object) -> Storage:
        return Storage(DTYPES["float32"], FLOATS)

    return Envelope(value, FLOATS, locate, (), 0, (), (), {}, {})


def call(name: str, *arguments: object, module: str = UTILS) -> Call:
    return Call(Global(module, name), arguments)


def pid(kind: object = None, key: object = "0", count: object = 16, *view: object) -> Persistent:
    return Persistent(
        ("storage", kind or Global("torch", "FloatStorage"), key, "cpu", count, *view)
    )


def strided(
    *,
    reference: object = None,
    offset: object = 0,
    size: object = (4,),
    stride: object = (1,),
    more: tuple[object, ...] = (),
) -> Call:
    return call("_rebuild_tensor_v2", reference or pid(), offset, size, stride, *more)


def loaded(data: object) -> Call:
    return call("_load_from_bytes", data, module="torch.storage")


def buffered(*arguments: object) -> Call:
    return call("_frombuffer", *arguments, module="numpy._core.numeric")


def array_dtype(code: str) -> Call:
    return call("dtype", code, module="numpy")


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (call("_rebuild_tensor_v2", pid()), "has 1 arguments"),
        (strided(offset="0"), "offset is no integer"),
        (strided(offset=-1), "offset -1"),
        (strided(offset=13), "are needed"),
        (strided(size=(17,)), "are needed"),
        (strided(size=4), "no tuple"),
        (strided(size=(4, 1)), "shape"),
        (strided(size=(True,)), "shape"),
        (strided(size=(1,) * 9, stride=(1,) * 9), "shape"),
        (strided(reference="data/0"), "neither a persistent id nor a nested file"),
        (strided(more=(False, None, {"conj": True})), "conjugated"),
        (
            call("_rebuild_tensor_v3", pid(), 0, (4,), (1,), False, None, "float32"),
            "names no dtype",
        ),
        (
            call(
                "_rebuild_tensor_v3", pid(), 0, (4,), (1,), False, None, Global("torch", "float9")
            ),
            "unknown dtype",
        ),
        (call("_rebuild_parameter", "no tensor"), "is no tensor"),
        (loaded(PickledBytes(0, 8)), "is no tensor"),
        (strided(reference=loaded(PickledBytes(0, 8))), "no torch file"),
        (strided(reference=loaded("text")), "only Python 2"),
        (
            strided(reference=loaded(call("encode", "€", "latin1", module="_codecs"))),
            "beyond latin-1",
        ),
        (call("_reconstruct", module="numpy.core.multiarray"), "five parts"),
        (buffered(1), "four arguments"),
        (buffered(PickledBytes(0, 8), array_dtype("O8"), (2,), "C"), "is no weight"),
        (buffered(PickledBytes(0, 8), array_dtype("f4"), (3,), "C"), "are needed"),
        (buffered(PickledBytes(0, 8), array_dtype("f4"), (1,), "C"), "8 are stored"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_tensor_is_refused(tensor: Call, message: str) -> None:
    with pytest.raises(MalformedFile, match=message):
        rebuild(tensor, envelope())


def test_wrappers_are_looked_through_but_not_for_ever() -> None:
    inner = strided()
    subclass = call(
        "_rebuild_from_type_v2",
        inner.function,
        Global("x", "Y"),
        inner.args,
        {},
        module="torch._tensor",
    )
    assert rebuild(call("_rebuild_parameter", subclass, True, None), envelope()).shape == (4,)
    endless: Call = inner
    for _ in range(9):
        endless = call("_rebuild_parameter", endless)
    with pytest.raises(MalformedFile, match="too often"):
        rebuild(endless, envelope())


def test_fortran_order_and_big_endian_arrays() -> None:
    dtype = Call(Global("numpy", "dtype"), ("f4", False, True))
    dtype.state = (3, ">", None, None, None, -1, -1, 0)
    array = Call(
        Global("numpy._core.multiarray", "_reconstruct"), (Global("numpy", "ndarray"), (0,), "b")
    )
    array.state = (1, (2, 2), dtype, True, PickledBytes(0, 16))
    tensor = rebuild(array, envelope())
    assert (tensor.strides, tensor.big_endian) == ((1, 2), True)


def test_what_has_no_values_says_why() -> None:
    reason, detail = unread(call("_rebuild_meta_tensor_no_storage", 1)) or ("", "")
    assert (reason, "shape only" in detail) == ("missing-data", True)
    assert unread(strided()) is None


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("text", "is not"),
        (("storage", 1), "is not"),
        (pid("FloatStorage").pid, "wrong type"),
        (pid(None, 0.5).pid, "wrong type"),
        (pid(None, "0", -1).pid, "wrong type"),
        (pid(Global("torch", "TripleStorage")).pid, "unknown storage"),
        (pid(None, "0", 16, ("0", 1)).pid, "storage view"),
        (pid(None, "0", 16, ("0", -1, 2)).pid, "storage view"),
    ],
)
def test_a_wrong_storage_claim_is_refused(claim: object, message: str) -> None:
    with pytest.raises(MalformedFile, match=message):
        read_persistent_id(claim)


def test_a_view_of_a_storage_is_counted_in_its_elements() -> None:
    """Written before torch 0.4: (key, offset, size) of the root storage."""
    claim = read_persistent_id(pid(None, "0", 16, ("1", 8, 4)).pid)
    assert claim.view == ("1", 8, 4)
    assert legacy._view_storage(FLOATS, claim).at is None
    assert legacy._view_storage(FLOATS, claim).read() == bytes(range(32, 48))


def test_dtypes_by_torchs_names() -> None:
    assert dtype_named("half").name == "float16"
    with pytest.raises(MalformedFile, match="unknown dtype"):
        dtype_named("quarter")
    assert storage.STORAGE_DTYPES["BoolStorage"].name == "bool"


class Member:
    """Stands for a zip member whose body is given."""

    method = 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (b"[]", "not the JSON"),
        (b"{", "not JSON"),
        (b'{"config": {"w": {"path_name": "weight_0"}}}', "incomplete"),
        (b'{"config": {"w": {"path_name": 1, "tensor_meta": META}}}', "no text"),
        (b'{"config": {"w": {"path_name": "gone", "tensor_meta": META}}}', "no record"),
    ],
)
def test_a_wrong_export_config_is_refused(
    config: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    meta = b'{"dtype": 7, "sizes": [{"as_int": 2}], "strides": [{"as_int": 1}], "storage_offset": {"as_int": 0}}'
    body = span_all(BytesSource(config.replace(b"META", meta)))
    monkeypatch.setattr(archive, "body", lambda span, member: body)
    opened = archive.Archive(FLOATS, "m", {export.CONFIG: Member()}, {})  # type: ignore[dict-item]  # a stand-in for a member
    with pytest.raises(MalformedFile, match=message):
        export.locate_weight(opened, "w", export.read_config_weights(opened)[0]["w"])


def test_pickled_weights_of_an_export_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    body = span_all(BytesSource(b'{"config": {"w": {"use_pickle": true}}}'))
    monkeypatch.setattr(archive, "body", lambda span, member: body)
    opened = archive.Archive(FLOATS, "m", {export.CONFIG: Member()}, {})  # type: ignore[dict-item]  # a stand-in for a member
    found, skipped = export.read_config_weights(opened)
    assert (found, skipped[0].module) == ({}, "w")


@pytest.mark.parametrize(
    ("tensor", "shape"),
    [
        (strided(size=(4, 4), stride=(4, 1)), (4, 4)),
        (call("_rebuild_parameter", strided(size=[2, 3], stride=(3, 1)), True, None), (2, 3)),
        (strided(size=(4, 5), stride=(5, 1)), None),  # 20 elements of a storage that claims 16
        (
            strided(size=(4, 5), stride=(0, 1)),
            None,
        ),  # an expanded view may show more: locating it tells
        (strided(size=(-4, -4)), None),
        (strided(size=(1,) * 9, stride=(1,) * 9), None),
        (
            strided(size=(1 << 8000,) * 100_000, stride=(1,) * 100_000),
            None,
        ),  # their product would take hours
        (strided(size=(True, 4)), None),
        (strided(reference=pid(None, "0", "16")), None),
        (
            strided(reference=pid(None, "0", 16, ("0", 0, 4))),
            None,
        ),  # a view of a storage, in files before torch 0.4
        (strided(reference=loaded(PickledBytes(0, 8))), None),
        (buffered(PickledBytes(0, 8), array_dtype("f4"), (2,), "C"), None),
    ],
)
def test_a_weights_shape_is_believed_as_far_as_its_storage_reaches(
    tensor: Call, shape: object
) -> None:
    assert read_claimed_shape(tensor) == shape


def test_the_walk_survives_cycles_and_names_aliases() -> None:
    shared: dict[str, Any] = {"bias_ih_l0": strided()}
    shared["self"] = shared
    found = dialect.contents(
        envelope(
            {
                "a": shared,
                "b": [shared, {1: strided(), (2,): strided()}],
                "py2": call("OrderedDict", [["k", strided()]], module="collections"),
            }
        )
    )
    assert set(found.tensors) == {
        "a.bias_ih_l0",
        "b.0.bias_ih_l0",
        "a.self.bias_ih_l0",
        "b.0.self.bias_ih_l0",
        "b.1.1",
        "b.1.(2)",
        "py2.k",
    }


def test_tied_modules_of_a_whole_pickle_are_aliases(tmp_path: Path) -> None:
    lstm, path = torch.nn.LSTM(3, 4), tmp_path / "tied.pt"
    net = torch.nn.ModuleList([lstm, lstm])
    torch.save(torch.nn.ModuleDict({"net": net, "twin": net, "own": torch.nn.LSTM(3, 4)}), path)
    rows = lstm_audit.audit(path).files[0].rows
    known = {r.lstm.module: {a.rpartition(".")[0] for a in r.lstm.aliases} for r in rows}
    assert known == {
        "net.0": {"net.1", "twin.0", "twin.1"},
        "own": set(),
    }


def test_a_second_name_reaches_no_further_than_what_is_shared() -> None:
    inner = {"w": strided()}
    shared = {"deep": [inner]}
    found = dialect.contents(envelope({"a": shared, "a.b": {"w": strided()}, "c": shared}))
    assert list(found.tensors) == ["a.deep.0.w", "a.b.w", "c.deep.0.w"]


def test_names_that_double_at_each_level_are_not_followed() -> None:
    value: Any = {"w": strided()}
    for _ in range(40):
        value = [value, value]
    found = dialect.contents(envelope(value))
    assert len(found.tensors) <= dialect.MAX_ALIASES + 40
    assert not found.skipped


def test_many_names_of_one_lstm_are_not_many_lstms(tmp_path: Path) -> None:
    value: dict[str, Any] = dict(torch.nn.LSTM(3, 4).state_dict())
    for _ in range(40):
        value = {"a": value, "b": value}
    torch.save(value, tmp_path / "doubled.pt")
    found = lstm_audit.audit(tmp_path / "doubled.pt")
    assert (len(found.rows), found.errors) == (1, ())


def test_a_walk_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = envelope([[] for _ in range(11)])
    monkeypatch.setattr(FLOATS.budget, "steps", 10)
    with pytest.raises(MalformedFile) as caught:
        dialect.contents(shared)
    assert caught.value.kind == "limit"


def test_values_come_out_in_order() -> None:
    tensor = rebuild(strided(offset=1, size=(3,), stride=(2,)), envelope())
    import struct

    expected = [struct.unpack_from("<f", bytes(range(64)), 4 * (1 + 2 * k))[0] for k in range(3)]
    assert read_block(whole_block(tensor)) == expected


@pytest.mark.parametrize(
    ("shape", "projected", "rows", "kind"),
    [
        ((16, 4), False, 16, "lstm"),
        ((12, 4), False, 12, "gru"),
        ((4, 4), False, 4, "rnn"),
        ((16, 3), True, 16, "lstm"),
        ((16, 3), False, 16, "ambiguous"),
        ((8, 4), False, 8, "ambiguous"),
        ((16,), False, 16, "ambiguous"),
        ((0, 0), False, 0, "ambiguous"),
    ],
)
def test_the_two_sizes_of_the_recurrent_weight_decide(
    shape: tuple[int, ...], projected: bool, rows: int, kind: str
) -> None:
    torch_row = next(row for row in CONVENTIONS if row.name == "torch")
    assert weigh_shape(torch_row, shape, False, projected, rows).name == kind


def test_a_convolution_must_leave_input_channels() -> None:
    row = next(row for row in CONVENTIONS if row.name == "convlstm")
    assert weigh_shape(row, (16, 7, 3, 3), False, False, None).hidden_size == 4
    assert weigh_shape(row, (16, 4, 3, 3), False, False, None).name == "ambiguous"


def test_checkpoints_of_one_run_share_a_pickle_and_nothing_else(tmp_path: Path) -> None:
    """What was decoded for one file serves the next; the numbers and the place of a fault are each
    file's own.
    """
    import zipfile

    for epoch in range(3):
        values = {name: torch.full(shape, float(epoch)) for name, shape in SHAPES.items()}
        torch.save(values, tmp_path / f"epoch_{epoch}.pt")
    pickles = {
        zipfile.ZipFile(path).read(f"{path.stem}/data.pkl") for path in tmp_path.glob("*.pt")
    }
    assert len(pickles) == 1
    archive._remember.cache_clear()
    for epoch in range(3):
        (row,) = lstm_audit.audit(tmp_path / f"epoch_{epoch}.pt").rows
        assert row.measures.gates["f"].mean == 2.0 * epoch
    assert (archive._remember.cache_info().misses, archive._remember.cache_info().hits) == (
        1,
        2,
    )

    whole_file = (tmp_path / "epoch_0.pt").read_bytes()
    at = whole_file.index(b"\x80\x02}")
    (tmp_path / "broken.pt").write_bytes(whole_file[: at + 2] + b"\xff" + whole_file[at + 3 :])
    (error,) = lstm_audit.audit(tmp_path / "broken.pt").errors
    assert (error.kind, error.at) == ("malformed", at + 2)


SHAPES = {
    "weight_ih_l0": (16, 3),
    "weight_hh_l0": (16, 4),
    "bias_ih_l0": (16,),
    "bias_hh_l0": (16,),
}


def test_a_tensor_of_too_long_a_name_is_no_silence(tmp_path: Path) -> None:
    """Four of them are an LSTM; a name that is not kept would make it nobody's."""
    state = forge.state_dict(forge.tensor(forge.storage("one"))) + b"."
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
        state = state.replace(forge.text(name), forge.text("n" * 4100 + "." + name))
    path = tmp_path / "model.pt"
    path.write_bytes(forge.archive(state))
    (error,) = lstm_audit.audit(path).errors
    assert (error.kind, error.message) == ("limit", "a name of over 4096 characters")
