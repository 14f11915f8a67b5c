"""Core ML: layers and programs. No runtime of it runs here: the meaning is coremltools' own words.

NeuralNetwork.proto: the forget bias flag adds 1 at run time; the gates' vectors are 40 i, 41 f, 42 block, 43 o.
coremltools' op `lstm`: one bias a direction, in the order input, forget, output, cell.
"""

import struct
from pathlib import Path

import pytest
from command import real
from graph_files import copied, kind_of
from onnx_models import block, number, raw, varint

import lstm_audit
from lstm_audit.errors import NotPatchable
from lstm_audit.facts import FileAudit
from lstm_audit.patching.undo import undo
from lstm_audit.pipeline import audit_file

H = 4
GRAPHS = Path(__file__).parents[2] / "fixtures" / "graphs"
PROGRAM = GRAPHS / "program.mlpackage" / "Data" / "com.apple.CoreML"
F = [1.0, 1.125, 1.25, 1.375]


def real32(field: int, value: float) -> bytes:
    return varint(field << 3 | 5) + struct.pack("<f", value)


def vector(field: int, values: list[float]) -> bytes:
    """A WeightParams of floats."""
    return block(field, block(1, raw(values)))


def biases(**odd: bytes) -> bytes:
    """LSTMWeightParams; `odd` replaces a gate's vector."""
    values = {"i": [0.5] * H, "f": F, "g": [-0.5] * H, "o": [2.0] * H}
    fields = {"i": 40, "f": 41, "g": 42, "o": 43}
    return b"".join(odd[g] if g in odd else vector(fields[g], values[g]) for g in "ifgo")


def layer(
    params: bytes = b"", weights: bytes | None = None, more: bytes = b"", size: int = H
) -> bytes:
    weights = biases() if weights is None else weights
    body = (
        number(1, 2)
        + number(2, size)
        + more
        + block(15, number(20, 1) + params)
        + block(20, weights)
    )
    return block(1, block(1, "memory") + block(420, body))


def model(*layers: bytes, kind: int = 500) -> bytes:
    return number(1, 4) + block(2, block(1, b"")) + block(kind, b"".join(layers))


def audited(data: bytes, folder: Path) -> FileAudit:
    path = folder / "model.mlmodel"
    path.write_bytes(data)
    return audit_file(str(path))


def forget(audit: FileAudit) -> tuple[float, float]:
    return audit.rows[0].measures.gates["f"].min, audit.rows[0].measures.gates["f"].max


def test_a_layer_of_every_kind_of_network(tmp_path: Path) -> None:
    for kind in (303, 403, 500):
        assert forget(audited(model(layer(), kind=kind), tmp_path)) == (1.0, 1.375)
    inner = block(1, model(layer()))
    for outer in (block(202, inner), block(200, block(1, inner)), block(201, block(1, inner))):
        assert forget(audited(number(1, 4) + block(2, b"") + outer, tmp_path)) == (1.0, 1.375)


def test_the_flag_adds_one_at_run_time_and_a_patch_takes_it_into_account(tmp_path: Path) -> None:
    audit = audited(model(layer(number(30, 1))), tmp_path)
    assert audit.rows[0].lstm.offset == 1.0
    assert forget(audit) == (2.0, 2.375)
    lstm_audit.patch(tmp_path / "model.mlmodel", forget_bias=0.5)
    assert forget(audit_file(str(tmp_path / "model.mlmodel"))) == (0.5, 0.5)
    assert raw([-0.5] * H) in (tmp_path / "model.mlmodel").read_bytes()


def test_coupled_gates_show_minus_the_input_gate_and_are_not_patched(tmp_path: Path) -> None:
    audit = audited(model(layer(number(50, 1))), tmp_path)
    assert forget(audit) == (-0.5, -0.5)
    with pytest.raises(NotPatchable, match="couples its gates"):
        lstm_audit.patch(tmp_path / "model.mlmodel", forget_bias=0.5)


def test_activations_peepholes_and_direction(tmp_path: Path) -> None:
    hard = block(10, block(41, real32(1, 0.25) + real32(2, 0.5))) + block(10, block(30, b"")) * 2
    assert (
        audited(model(layer(more=hard)), tmp_path).rows[0].lstm.activation_function
        == "hard_sigmoid(0.25, 0.5)"
    )
    soft = block(10, block(40, b"")) + block(10, block(30, b"")) * 2
    row = audited(model(layer(number(40, 1), more=soft + number(100, 1))), tmp_path).rows[0]
    assert row.lstm.activation_function == "sigmoid"
    assert row.lstm.identity.direction == "reverse"
    assert any("peephole" in note for note in row.lstm.notes)
    relu = block(10, block(10, b"")) * 3
    assert [s.reason for s in audited(model(layer(more=relu)), tmp_path).skipped] == [
        "unknown-convention"
    ]


def test_weights_in_every_form(tmp_path: Path) -> None:
    half = block(41, block(2, raw(F, 10)))
    assert forget(audited(model(layer(weights=biases(f=half))), tmp_path)) == (1.0, 1.375)
    loose = block(41, b"".join(real32(1, f) for f in F))
    audit = audited(model(layer(weights=biases(f=loose))), tmp_path)
    assert forget(audit) == (1.0, 1.375)
    path = tmp_path / "model.mlmodel"
    before = path.read_bytes()
    lstm_audit.patch(path, forget_bias=0.5)
    assert forget(audit_file(str(path))) == (0.5, 0.5)
    undo(path)
    assert path.read_bytes() == before
    quantized = block(41, block(30, bytes(H)) + block(40, number(1, 8)))
    assert [
        s.reason for s in audited(model(layer(weights=biases(f=quantized))), tmp_path).skipped
    ] == ["unsupported-dtype"]


def test_without_biases_and_what_is_no_lstm(tmp_path: Path) -> None:
    plain = block(
        1,
        block(1, "memory")
        + block(420, number(1, 2) + number(2, H) + block(15, b"") + block(20, b"")),
    )
    assert forget(audited(model(plain), tmp_path)) == (0.0, 0.0)
    gru = block(1, block(1, "gru") + block(410, b"")) + block(1, block(1, "rnn") + block(400, b""))
    assert [s.reason for s in audited(model(gru), tmp_path).skipped] == ["gru", "rnn"]
    custom = block(1, block(1, "mine") + block(500, block(10, "MyLSTM")))
    assert [s.reason for s in audited(model(custom), tmp_path).skipped] == ["unknown-convention"]
    loop = block(1, block(1, "loop") + block(615, block(4, layer())))
    assert forget(audited(model(loop), tmp_path)) == (1.0, 1.375)


def test_sizes_that_contradict_each_other_are_skipped(tmp_path: Path) -> None:
    assert [s.reason for s in audited(model(layer(size=H + 1)), tmp_path).skipped] == [
        "conflicting-evidence"
    ]
    short = biases(o=vector(43, [0.0] * (H - 1)))
    assert [s.reason for s in audited(model(layer(weights=short)), tmp_path).skipped] == [
        "conflicting-evidence"
    ]


@pytest.mark.parametrize("name", ["coreml.mlmodel", "coreml_both.mlmodel"])
def test_what_coremltools_writes(name: str, tmp_path: Path) -> None:
    path = copied(name, tmp_path)
    before = path.read_bytes()
    rows = audit_file(str(path)).rows
    assert [(r.measures.gates["f"].min, r.measures.gates["f"].max) for r in rows] == [
        (1, 1.375),
        (2, 2.375),
    ][: len(rows)]
    lstm_audit.patch(path, forget_bias=0.5)
    assert {row.measures.gates["f"].max for row in audit_file(str(path)).rows} == {0.5}
    assert real("undo", path).returncode == 0
    assert path.read_bytes() == before


def test_a_package_is_audited_as_a_folder_and_patched_in_its_weights(tmp_path: Path) -> None:
    import shutil

    package = tmp_path / "program.mlpackage"
    shutil.copytree(GRAPHS / "program.mlpackage", package)
    audit = lstm_audit.audit(package)
    assert not audit.errors
    assert [row.measures.gates["f"].min for row in audit.rows] == [1.0, 2.0]
    assert [row.lstm.identity.direction for row in audit.rows] == ["forward", "reverse"]
    path = package / "Data" / "com.apple.CoreML" / "model.mlmodel"
    weights = path.parent / "weights" / "weight.bin"
    before = path.read_bytes(), weights.read_bytes()
    lstm_audit.patch(path, forget_bias=0.5)
    assert path.read_bytes() == before[0]
    assert {row.measures.gates["f"].max for row in audit_file(str(path)).rows} == {0.5}
    assert real("undo", path).returncode == 0
    assert weights.read_bytes() == before[1]


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        (b"@model_path/weights/weight.bin", b"@model_path/weights/../../x.bi", "malformed"),
        (b"@model_path/weights/weight.bin", b"/etc/passwd/weights/weight.bin", "malformed"),
    ],
)
def test_other_files_than_its_own_weights_are_not_opened(
    old: bytes, new: bytes, kind: str, tmp_path: Path
) -> None:
    data = (PROGRAM / "model.mlmodel").read_bytes()
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "weight.bin").write_bytes(
        (PROGRAM / "weights" / "weight.bin").read_bytes()
    )
    assert kind_of(data, "model.mlmodel", tmp_path) == "read"
    assert kind_of(data.replace(old, new), "model.mlmodel", tmp_path) == kind


def test_weights_that_lie_are_refused(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    weights = bytearray((PROGRAM / "weights" / "weight.bin").read_bytes())
    head = weights.index(struct.pack("<I", 0xDEADBEEF))
    data = (PROGRAM / "model.mlmodel").read_bytes()
    for at, code, value, kind in (
        (head, "I", 1, "malformed"), (head + 8, "Q", 1 << 60, "truncated"), (head + 16, "Q", 1 << 62, "truncated"),
        (head + 8, "Q", 4, "malformed"),
    ):  # fmt: skip
        lie = bytearray(weights)
        struct.pack_into("<" + code, lie, at, value)
        (tmp_path / "weights" / "weight.bin").write_bytes(lie)
        assert kind_of(data, "model.mlmodel", tmp_path) == kind


def test_a_model_of_two_kinds_is_ambiguous_and_a_saved_model_is_none(tmp_path: Path) -> None:
    assert kind_of(model(layer()) + block(403, layer()), "model.mlmodel", tmp_path) == "ambiguous"
    assert kind_of(b"program(1.0)\n", "model.mil", tmp_path) == "unsupported"
    assert (
        kind_of(b'{"storage": "model.espresso.weights"}', "model.espresso.net", tmp_path)
        == "unsupported"
    )
