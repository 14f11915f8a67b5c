"""ONNX: what is found in every form that a bias takes, and what a patch does to it."""

from pathlib import Path

import onnx_models as o
import pytest
from command import real
from onnx_cases import Case
from onnx_scattered import CASES

import lstm_audit
from lstm_audit.errors import AuditError, NotPatchable, UnknownFormat
from lstm_audit.lstm.measure import ACTIVATIONS
from lstm_audit.patching.undo import undo
from lstm_audit.pipeline import audit_file

JUDGED = [name for name, case in CASES.items() if case.forget]


def written(case: Case, folder: Path) -> str:
    path = folder / "model.onnx"
    path.write_bytes(case.data)
    return str(path)


@pytest.mark.parametrize("name", CASES)
def test_forget_biases_and_reasons(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    audit = audit_file(written(case, tmp_path))
    assert audit.format == "onnx"
    assert [entry.reason for entry in audit.skipped] == list(case.skipped)
    found = [row.measures for row in audit.rows]
    assert len(found) == len(case.forget)
    for measures, forget, row in zip(found, case.forget, audit.rows, strict=True):
        gate = ACTIVATIONS[case.function]
        assert row.lstm.activation_function == case.function
        assert measures.gates["f"].min == pytest.approx(min(forget), abs=1e-6)
        assert measures.gates["f"].max == pytest.approx(max(forget), abs=1e-6)
        assert measures.activation.mean == pytest.approx(
            sum(map(gate, forget)) / len(forget), abs=1e-6
        )


@pytest.mark.parametrize("name", JUDGED)
def test_a_patch_is_undone_to_the_byte_or_refused(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = written(case, tmp_path)
    if not case.patchable:
        with pytest.raises(NotPatchable):
            lstm_audit.patch(path, forget_bias=1.3125)
        assert Path(path).read_bytes() == case.data
        return
    lstm_audit.patch(path, forget_bias=1.3125)
    rows = audit_file(path).rows
    assert {row.measures.gates["f"].min for row in rows} == {1.3125}
    assert {row.measures.gates["f"].max for row in rows} == {1.3125}
    assert (
        sum(a != b for a, b in zip(Path(path).read_bytes(), case.data, strict=True))
        <= 8 * len(rows) * 6
    )
    undo(path)
    assert Path(path).read_bytes() == case.data


def test_names_and_layers(tmp_path: Path) -> None:
    def addresses(name: str) -> list[str]:
        return [
            row.lstm.identity.address for row in audit_file(written(CASES[name], tmp_path)).rows
        ]

    assert addresses("raw_data") == ["/net/LSTM:l0"]
    assert addresses("bidirectional") == ["/net/LSTM:l0", "/net/LSTM:l0:reverse"]
    assert addresses("moved") == ["enc.lstm:l0"]
    assert addresses("two_layers_of_one_path") == ["/net/LSTM:l0", "/net/LSTM:l1"]
    assert addresses("copies_in_branches") == ["/choice/net/LSTM:l0", "/net/LSTM:l0"]
    assert addresses("unrolled") == [":l0"]


def test_a_name_from_the_exporters_label(tmp_path: Path) -> None:
    labels = {"pkg.torch.onnx.name_scopes": "['', 'encoder', 'encoder.lstm', 'lstm']"}
    main = o.node(
        "LSTM",
        ["X", "W", "R", "B", "", "h0", "c0"],
        ["Y", "", "Y_c"],
        "node_LSTM_1",
        labels=labels,
        hidden_size=o.H,
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(o.simple(main=main))
    assert audit_file(str(path)).rows[0].lstm.identity.module == "encoder.lstm"


def test_zeros_beside_one_bias_are_no_half_unless_torch_wrote_them(tmp_path: Path) -> None:
    b = [v if k < 4 * o.H else 0.0 for k, v in enumerate(o.bias())]
    for producer, halves in (("pytorch", True), ("OnnxMLTools", False)):
        path = tmp_path / f"{producer}.onnx"
        path.write_bytes(o.simple(tensors=[o.tensor("B", (1, 8 * o.H), b)], producer=producer))
        row = audit_file(str(path)).rows[0]
        assert row.lstm.two_halves == halves
        assert row.measures.gates["f"].min == 1.0


def test_a_note_for_peepholes_clip_and_coupling(tmp_path: Path) -> None:
    for name, word in (
        ("peepholes", "peephole"),
        ("clipped", "clipped"),
        ("input_forget", "f = 1 - i"),
        ("default_of_an_input", "may override"),
    ):
        assert any(
            word in note for note in audit_file(written(CASES[name], tmp_path)).rows[0].lstm.notes
        )


def with_external(folder: Path, location: str = "model.onnx.data", **keys: object) -> Path:
    """A model whose B lies in another file, behind 24 other bytes."""
    keys = {"offset": 24, "length": 96, **keys}
    b = o.tensor("B", (1, 8 * o.H), (), data=o.external(location, **keys))
    path = folder / "model.onnx"
    path.write_bytes(o.simple(tensors=[b]))
    (folder / "model.onnx.data").write_bytes(b"\xaa" * 24 + o.raw(o.bias()) + b"\xbb" * 8)
    return path


def test_external_data_is_patched_in_its_own_file_and_undone(tmp_path: Path) -> None:
    path = with_external(tmp_path)
    before = path.read_bytes(), (tmp_path / "model.onnx.data").read_bytes()
    lstm_audit.patch(str(path), forget_bias=0.5)
    assert path.read_bytes() == before[0]
    data = (tmp_path / "model.onnx.data").read_bytes()
    assert data[:24] == before[1][:24]
    assert data[-8:] == before[1][-8:]
    assert audit_file(str(path)).rows[0].measures.gates["f"].max == 0.5
    assert real("undo", path).returncode == 0
    assert (tmp_path / "model.onnx.data").read_bytes() == before[1]


def test_an_in_place_patch_of_external_data_that_was_cut_off_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = with_external(tmp_path)
    before = (tmp_path / "model.onnx.data").read_bytes()
    left: dict[Path, bytes] = {}

    def power_cut(held: object) -> tuple[str, ...]:
        left.update({file: file.read_bytes() for file in tmp_path.iterdir()})
        raise KeyboardInterrupt

    monkeypatch.setattr("lstm_audit.patching.apply.drop_journal", power_cut)
    with pytest.raises(KeyboardInterrupt):
        lstm_audit.patch(str(path), forget_bias=0.5, in_place=True)
    monkeypatch.undo()
    for file, data in left.items():
        with file.open("r+b" if file.exists() else "wb") as there:
            there.write(data)
    with pytest.raises(AuditError) as caught:
        audit_file(str(path))
    assert caught.value.kind == "interrupted-patch"
    lstm_audit.patch(str(path), forget_bias=0.5)
    assert audit_file(str(path)).rows[0].measures.gates["f"].max == 0.5
    assert real("undo", path).returncode == 0
    assert (tmp_path / "model.onnx.data").read_bytes() == before


@pytest.mark.parametrize(
    ("location", "keys"),
    [
        ("../model.onnx.data", {}), ("/etc/passwd", {}), ("", {}), ("sub/../model.onnx.data", {}), ("..", {}),
        ("*/_ORT_MEM_ADDR_/*", {}), ("a\\b", {}), ("model.onnx.data\0", {}), ("x" * 600, {}), ("missing.data", {}),
        ("model.onnx.data", {"offset": 40}), ("model.onnx.data", {"offset": -4}), ("model.onnx.data", {"offset": "0x18"}),
        ("model.onnx.data", {"offset": " 24"}), ("model.onnx.data", {"offset": "24abc"}), ("model.onnx.data", {"length": 95}),
        ("model.onnx.data", {"length": 9**18}),
    ],
)  # fmt: skip
def test_external_data_that_leads_astray_is_refused(
    location: str, keys: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    path = with_external(tmp_path / "in", location, **keys)
    (tmp_path / "model.onnx.data").write_bytes(b"\0" * 200)
    with pytest.raises(AuditError) as caught:
        audit_file(str(path))
    assert caught.value.kind in ("malformed", "truncated", "io")


def test_links_to_external_data(tmp_path: Path) -> None:
    """One that leaves the folder is refused; a hub's cache, where the model is a link too, is followed."""
    outside, inside = tmp_path / "blobs", tmp_path / "snapshot"
    outside.mkdir()
    inside.mkdir()
    model = with_external(outside)
    (inside / "model.onnx.data").symlink_to(outside / "model.onnx.data")
    (inside / "model.onnx").write_bytes(model.read_bytes())
    with pytest.raises(AuditError, match="leaves the model's folder"):
        audit_file(str(inside / "model.onnx"))
    (inside / "model.onnx").unlink()
    (inside / "model.onnx").symlink_to(model)
    assert audit_file(str(inside / "model.onnx")).rows[0].measures.gates["f"].min == 1.25


def test_bytes_that_others_read_too_are_not_patched(tmp_path: Path) -> None:
    ins, outs = o.ports()
    shared = [*o.weights(), o.tensor("B", (1, 8 * o.H), o.bias())]
    cases = {
        "an output": o.graph([o.lstm()], shared, ins, [*outs, o.declared("B", (1, 8 * o.H))]),
        "another operator": o.graph([o.lstm(), o.node("Relu", ["B"], ["r"], "greedy")], shared, ins, outs),
        "a GRU": o.graph([o.lstm(), o.node("GRU", ["X", "a", "b", "B"], ["g"], "gru")], shared, ins, outs),
        "an LSTM that is not judged": o.graph(
            [o.lstm(), o.node("LSTM", ["X", "W", "R", "B"], ["z"], "relu", hidden_size=o.H, activations=["Relu", "Tanh", "Tanh"])],
            shared, ins, outs,
        ),
    }  # fmt: skip
    for name, body in cases.items():
        path = tmp_path / "model.onnx"
        path.write_bytes(o.model(body))
        assert len(audit_file(str(path)).rows) == 1, name
        with pytest.raises(NotPatchable, match="also read by"):
            lstm_audit.patch(str(path), forget_bias=1)
        assert path.read_bytes() == o.model(body)


def test_a_bias_of_which_all_gates_are_one_stored_piece_is_not_patched(tmp_path: Path) -> None:
    nodes = [
        o.node("Concat", ["zeros"] * 8, ["b"], axis=0),
        o.node("Unsqueeze", ["b", "axis"], ["B"]),
    ]
    tensors = [o.tensor("zeros", (o.H,), [0.0] * o.H), o.tensor("axis", (1,), [0], o.INT64)]
    path = tmp_path / "model.onnx"
    path.write_bytes(o.simple(nodes, tensors))
    with pytest.raises(NotPatchable):
        lstm_audit.patch(str(path), forget_bias=1)


def test_two_nodes_with_one_bias_are_one_row_with_two_names(tmp_path: Path) -> None:
    """dynamo writes a module that is called twice as two nodes that share W, R and B."""
    nodes = [
        o.node("LSTM", ["X", "W", "R", "B"], [f"Y{k}"], f"/{k}/LSTM", hidden_size=o.H) for k in "ab"
    ]
    ins, _ = o.ports()
    body = o.graph(nodes, [*o.weights(), B], ins[:1], [o.declared("Ya"), o.declared("Yb")])
    path = tmp_path / "model.onnx"
    path.write_bytes(o.model(body))
    (row,) = audit_file(str(path)).rows
    assert row.lstm.identity.address == "/a/LSTM:l0"
    assert row.lstm.aliases == ("/b/LSTM",)
    lstm_audit.patch(str(path), forget_bias=1, layers=["/b/LSTM:l0"])
    assert audit_file(str(path)).rows[0].measures.gates["f"].max == 1.0


def test_two_copies_of_one_module_are_patched_together_or_not_at_all(tmp_path: Path) -> None:
    """TorchScript writes a module that is called twice with two copies of W, R and B."""
    values = {
        "W": [0.01 * k for k in range(4 * o.H * o.I)],
        "R": [0.02 * k for k in range(4 * o.H * o.H)],
    }
    dims = {"W": (1, 4 * o.H, o.I), "R": (1, 4 * o.H, o.H)}
    tensors, nodes = [], []
    for tail in ("", "_1"):
        tensors += [o.tensor(f"{w}{tail}", dims[w], values[w]) for w in "WR"]
        tensors.append(o.tensor(f"B{tail}", (1, 8 * o.H), o.bias()))
        names = [f"{x}{tail}" for x in "WRB"]
        nodes.append(
            o.node("LSTM", ["X", *names], [f"Y{tail}"], f"/memory{tail}/LSTM", hidden_size=o.H)
        )
    ins, _ = o.ports()
    path = tmp_path / "model.onnx"
    path.write_bytes(
        o.model(o.graph(nodes, tensors, ins[:1], [o.declared("Y"), o.declared("Y_1")]))
    )
    with pytest.raises(NotPatchable, match="stored twice, also as /memory_1/LSTM:l0"):
        lstm_audit.patch(str(path), forget_bias=1, layers=["/memory/LSTM:l0"])
    lstm_audit.patch(str(path), forget_bias=1)
    assert [row.measures.gates["f"].max for row in audit_file(str(path)).rows] == [1.0, 1.0]


B = o.tensor("B", (1, 8 * o.H), o.bias())


def _rows_or_refusal(data: bytes, folder: Path) -> tuple[str, int]:
    path = folder / "hostile.onnx"
    path.write_bytes(data)
    try:
        audit = audit_file(str(path))
    except AuditError as error:
        return error.kind, 0
    return "read", len(audit.rows)


def _chain(count: int) -> bytes:
    nodes = [o.node("Identity", [f"n{k}"], [f"n{k + 1}"]) for k in range(count)]
    return o.simple(
        [*nodes, o.node("Identity", [f"n{count}"], ["B"])], [o.tensor("n0", (1, 8 * o.H), o.bias())]
    )


def _doubling(count: int) -> bytes:
    nodes = [o.node("Concat", [f"n{k}", f"n{k}"], [f"n{k + 1}"], axis=0) for k in range(count)]
    return o.simple(
        [*nodes, o.node("Identity", [f"n{count}"], ["B"])], [o.tensor("n0", (8,), [0.0] * 8)]
    )


def _calls(levels: int, itself: bool = False) -> bytes:
    makes = [
        o.function(f"F{k}", ["x"], ["y"], [o.node(f"F{k if itself else k + 1}", ["x"], ["m"], domain="local"),
                                           o.node(f"F{k + 1}", ["m"], ["y"], domain="local")])
        for k in range(levels)
    ]  # fmt: skip
    makes.append(o.function(f"F{levels}", ["x"], ["y"], [o.node("Tanh", ["x"], ["y"])]))
    ins, outs = o.ports()
    body = o.graph(
        [o.node("F0", ["X"], ["q"], domain="local"), o.lstm()], [*o.weights(), B], ins, outs
    )
    return o.model(body, functions=makes)


def _nested(levels: int) -> bytes:
    inner = o.graph([o.lstm()], [], [], [o.declared("Y_c")])
    for _ in range(levels):
        inner = o.graph(
            [o.node("If", ["c"], ["Y_c"], then_branch=("graph", inner))],
            [],
            [],
            [o.declared("Y_c")],
        )
    return o.model(inner)


RAW = o.block(9, o.raw(o.bias()))
HEAD = o.number(1, 1) + o.number(1, 8 * o.H) + o.number(2, 1) + o.block(8, "B")
GOOD = o.simple()
HOSTILE: dict[str, tuple[bytes, tuple[tuple[str, int], ...]]] = {
    "two initializers with one name": (o.simple(tensors=[B, B]), (("ambiguous", 0),)),
    "graph twice": (GOOD + o.block(7, o.graph([])), (("ambiguous", 0),)),
    "model after model": (GOOD + GOOD, (("ambiguous", 0),)),
    "raw_data twice": (o.simple(tensors=[HEAD + RAW + RAW]), (("ambiguous", 0),)),
    "raw_data and float_data": (o.simple(tensors=[HEAD + RAW + o.block(4, o.raw(o.bias()))]), (("ambiguous", 0),)),
    "raw_data short": (o.simple(tensors=[HEAD + o.block(9, o.raw(o.bias())[:-4])]), (("malformed", 0),)),
    "raw_data long": (o.simple(tensors=[HEAD + o.block(9, o.raw(o.bias()) + b"\0" * 4)]), (("malformed", 0),)),
    "negative size": (o.simple(tensors=[o.tensor("B", (1, -24), [0.0] * 24)]), (("malformed", 0),)),
    "size of 2**50": (o.simple(tensors=[o.tensor("B", (1, 1 << 50), [0.0] * 24)]), (("malformed", 0),)),
    "segment": (o.simple(tensors=[HEAD + RAW + o.block(3, o.number(1, 0))]), (("unsupported", 0),)),
    "nested 20": (_nested(20), (("read", 0),)),
    "nested 40": (_nested(40), (("limit", 0),)),
    "cycle": (o.simple([o.node("Identity", ["b2"], ["B"]), o.node("Identity", ["B"], ["b2"])], []), (("malformed", 0),)),
    "made twice": (o.simple([o.node("Identity", ["b"], ["B"])] * 2, [o.tensor("b", (1, 24), o.bias())]), (("ambiguous", 0),)),
    "made and stored": (o.simple([o.node("Identity", ["X"], ["B"])]), (("ambiguous", 0),)),
    "wrong wire type": (o.simple(tensors=[o.block(1, "ab") + RAW + o.number(8, 3)]), (("malformed", 0),)),
    "a chain of 20,000": (_chain(20_000), (("read", 1),)),
    "sixty doublings": (_doubling(60), (("limit", 0),)),
    "calls that double": (_calls(40), (("limit", 0),)),
    "a function that calls itself": (_calls(1, itself=True), (("limit", 0),)),
    "a group": (GOOD + b"\x0b\x0c", (("unknown-format", 0), ("malformed", 0))),
    "key 0": (GOOD + b"\x00\x00", (("unknown-format", 0), ("malformed", 0))),
    "a varint of 11 bytes": (GOOD + b"\x28" + b"\xff" * 10 + b"\x01", (("unknown-format", 0), ("malformed", 0))),
    "cut short": (GOOD[:-100], (("truncated", 0),)),
    "inner length past the parent": (o.model(o.block(1, b"\x0a\x7fa")), (("malformed", 0),)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_readers_would_read_differently_or_never_end_is_refused(
    name: str, tmp_path: Path
) -> None:
    data, allowed = HOSTILE[name]
    assert _rows_or_refusal(data, tmp_path) in allowed


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"ir_version: 7\ngraph {\n}\n", "protobuf text"),
        (b"\x18\0\0\0ORTM" + b"\0" * 40, r"\.ort"),
        (o.number(1, 1) + o.block(2, o.block(1, "x")), "SavedModel"),
    ],
)
def test_what_is_refused_by_name(data: bytes, word: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(UnknownFormat, match=word) as caught:
        audit_file(str(path))
    assert caught.value.kind == "unsupported"
