"""The pipeline and the `audit` command: inputs, exit codes, and what each says."""

import io
import json
import os
import shutil
from pathlib import Path

import pytest
from command import run

import lstm_audit
from lstm_audit.cli.output import look_of
from lstm_audit.errors import BadPolicy
from lstm_audit.facts import Audit

FIXTURES = Path(__file__).parents[2] / "fixtures"
CLEAN = FIXTURES / "clean"
HOSTILE = FIXTURES / "hostile"
MODEL = CLEAN / "lstm.pt"


def kinds(audit: Audit) -> list[str]:
    return [error.kind for error in audit.errors]


def test_reports_every_layer_and_direction() -> None:
    rows = lstm_audit.audit(MODEL).rows
    assert [row.lstm.address for row in rows] == [":l0", ":l0:reverse", ":l1", ":l1:reverse"]
    assert all(row.measures.activation.mean == pytest.approx(0.7310585786300049) for row in rows)


def test_json_is_the_dictionary_of_the_api() -> None:
    result = run("audit", "-f", "json", MODEL)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == lstm_audit.audit(str(MODEL)).to_dict()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([MODEL], 0),
        ([CLEAN], 0),
        ([FIXTURES / "mixed" / "gru.pt"], 0),
        ([HOSTILE / "truncated.pt"], 3),
        ([MODEL, HOSTILE / "html.pt"], 3),
        (["no-such-file.pt"], 2),
        (["no-such-*.pt"], 2),
        ([], 2),
        (["--format", "nonsense", MODEL], 2),
        (["--report", "json", MODEL], 2),
        (["--jobs", "-1", MODEL], 2),
    ],
)
def test_exit_codes(arguments: list[object], code: int) -> None:
    assert run("audit", *arguments).exit_code == code


def test_a_folder_without_checkpoints_is_nothing_audited(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    result = run("audit", "-f", "json", tmp_path)
    assert result.exit_code == 4
    assert json.loads(result.stdout)["summary"]["ignored"] == 1


def test_a_mistyped_command_gets_a_suggestion() -> None:
    result = run("audti", MODEL)
    assert result.exit_code == 2
    assert "Did you mean 'audit'?" in result.stderr


def test_a_broken_file_never_hides_another(tmp_path: Path) -> None:
    for name in ("a.pt", "c.pt"):
        shutil.copy(MODEL, tmp_path / name)
    (tmp_path / "b.pt").write_bytes(MODEL.read_bytes()[:5000])
    result = lstm_audit.audit(tmp_path)
    assert [Path(file.path).name for file in result.files] == ["a.pt", "c.pt"]
    assert kinds(result) == ["truncated"]


def test_content_decides_not_the_suffix(tmp_path: Path) -> None:
    shutil.copy(CLEAN / "lstm.safetensors", tmp_path / "model.pt")
    shutil.copy(MODEL, tmp_path / "model.txt")
    assert [file.format for file in lstm_audit.audit(tmp_path).files] == [
        "safetensors",
        "torch-zip",
    ]


def test_what_is_no_checkpoint_is_counted_in_a_folder_and_an_error_by_name(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# A model")
    shutil.copy(HOSTILE / "lfs_pointer.pt", tmp_path / "weights.dat")
    walked = lstm_audit.audit(tmp_path)
    assert (walked.ignored, kinds(walked)) == (1, ["lfs-pointer"])
    assert kinds(lstm_audit.audit(tmp_path / "README.md")) == ["unknown-format"]


@pytest.mark.parametrize("packed", ["model.pt.gz", "model.pth.tar", "__0_0.distcp", "A.CKPT.GZ"])
def test_what_ends_like_a_packed_checkpoint_must_be_one_in_a_folder(
    packed: str, tmp_path: Path
) -> None:
    (tmp_path / packed).write_bytes(b"\x1f\x8b\x08 cut off")
    (tmp_path / "notes.txt.gz").write_bytes(b"\x1f\x8b\x08 cut off")
    walked = lstm_audit.audit(tmp_path)
    assert [Path(error.path).name for error in walked.errors] == [packed]
    assert walked.ignored == 1


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("lfs_pointer.pt", "lfs-pointer", "git lfs pull"),
        ("dvc_pointer.pt", "lfs-pointer", "dvc pull"),
        ("html.pt", "html", "download"),
        ("empty.pt", "empty", "empty"),
        ("truncated.pt", "truncated", "again"),
        ("two_archives.pt", "ambiguous", "save it again"),
    ],
)
def test_a_refusal_says_what_to_do(name: str, kind: str, remedy: str) -> None:
    (error,) = lstm_audit.audit(HOSTILE / name).errors
    assert error.kind == kind
    assert remedy in error.message


def test_symlink_loops_end(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    shutil.copy(MODEL, tmp_path / "runs" / "model.pt")
    (tmp_path / "runs" / "again").symlink_to(tmp_path)
    (tmp_path / "latest.pt").symlink_to(tmp_path / "runs" / "model.pt")
    (tmp_path / "dangling.pt").symlink_to(tmp_path / "gone")
    result = lstm_audit.audit(tmp_path)
    assert len(result.files) == 1
    assert kinds(result) == ["io"]


def test_special_files_are_refused_and_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pt")
    assert kinds(lstm_audit.audit(tmp_path / "pipe.pt")) == ["io"]


def test_globs_and_repeated_paths(tmp_path: Path) -> None:
    shutil.copy(MODEL, tmp_path / "a.pt")
    shutil.copy(MODEL, tmp_path / "b.pt")
    assert len(lstm_audit.audit(str(tmp_path / "*.pt")).files) == 2
    assert len(lstm_audit.audit([tmp_path / "a.pt", tmp_path / "a.pt"]).files) == 1


def test_a_path_that_does_not_exist_is_said_before_anything_is_read() -> None:
    with pytest.raises(BadPolicy, match=r"gone\.pt: no such file"):
        lstm_audit.audit([MODEL, "gone.pt"])


def test_a_folder_with_an_index_and_its_shards_is_one_checkpoint() -> None:
    (file,) = lstm_audit.audit(CLEAN / "sharded").files
    assert file.format == "safetensors-sharded"
    assert file.bytes == sum(path.stat().st_size for path in (CLEAN / "sharded").iterdir())


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("*:reverse", 2), ("*:l1*", 2), (":l0", 1), ("(root)", 4), ("(root):l1", 1)],
)
def test_layers_selects_by_address_or_module(pattern: str, count: int) -> None:
    assert len(lstm_audit.audit(MODEL, layers=[pattern]).rows) == count


def test_several_reports_in_one_run(tmp_path: Path) -> None:
    result = run(
        "audit",
        MODEL,
        "--report",
        f"json={tmp_path / 'r.json'}",
        "--report",
        f"csv={tmp_path / 'r.csv'}",
    )
    assert "forget" in result.stdout
    assert json.loads((tmp_path / "r.json").read_text())["summary"]["lstms"] == 4
    assert len((tmp_path / "r.csv").read_text().splitlines()) == 5


def test_output_takes_the_place_of_stdout(tmp_path: Path) -> None:
    result = run("audit", MODEL, "-f", "json", "-o", tmp_path / "out.json")
    assert result.stdout == ""
    assert json.loads((tmp_path / "out.json").read_text())["files"]


def test_output_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    result = run("audit", MODEL, "-o", tmp_path / "no" / "such" / "folder.txt")
    assert result.exit_code == 2
    assert "cannot write the report" in result.stderr


def test_names_from_files_are_escaped(tmp_path: Path) -> None:
    import torch

    state = {f"\x1b[31mevil\n.{k}": v for k, v in torch.nn.LSTM(2, 4).state_dict().items()}
    torch.save(state, tmp_path / "evil.pt")
    text = run("audit", tmp_path / "evil.pt").stdout
    assert "\x1b" not in text
    assert "\\x1b[31mevil\\n" in text


class Stream:
    """A stream that is, or is not, a terminal."""

    def __init__(self, terminal: bool, encoding: str) -> None:
        self.terminal, self.encoding = terminal, encoding

    def isatty(self) -> bool:
        return self.terminal


def test_colour_only_where_a_person_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert look_of(Stream(True, "utf-8"), "auto", False).color
    assert not look_of(Stream(False, "utf-8"), "auto", False).color
    assert look_of(Stream(False, "utf-8"), "always", False).color
    assert look_of(Stream(True, "ascii"), "never", False).ascii
    monkeypatch.setenv("NO_COLOR", "1")
    assert not look_of(Stream(True, "utf-8"), "auto", False).color


def test_code_hidden_in_a_nested_torch_file_is_named(tmp_path: Path) -> None:
    """A plain pickle loads each storage as a torch file of its own, with pickles of its own."""
    import pickle

    class Hidden:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.getcwd, ())

    import torch

    nested = tmp_path / "nested.pt"
    torch.save(Hidden(), nested, _use_new_zipfile_serialization=False)
    state = torch.nn.LSTM(2, 4).state_dict()
    with (tmp_path / "model.pkl").open("wb") as file:
        pickle.dump({**state, "more": _Loads(nested.read_bytes())}, file)
    (finding,) = [f for f in lstm_audit.audit(tmp_path / "model.pkl").findings if f.code == "LA901"]
    assert "posix.getcwd" in finding.message
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model.pkl", weights_only=True)
    assert "weights_only" not in finding.message
    assert "load it only if you trust it" in finding.message
    for name in ("whole_module.pt", "whole_module_legacy.pt"):
        (filtered,) = [f for f in lstm_audit.audit(CLEAN / name).findings if f.code == "LA901"]
        assert "load with weights_only=True" in filtered.message


class _Loads:
    """Pickles as the call that torch's storages pickle as."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[object, ...]:
        from torch.storage import _load_from_bytes

        return (_load_from_bytes, (self.data,))


def test_standard_input_is_a_checkpoint_too() -> None:
    import subprocess
    import sys

    command = [sys.executable, "-m", "lstm_audit", "audit", "-f", "json", "-"]
    done = subprocess.run(command, input=MODEL.read_bytes(), capture_output=True, check=True)
    (file,) = json.loads(done.stdout)["files"]
    assert (file["path"], len(file["lstms"])) == ("-", 4)


def test_a_boolean_pruning_mask_is_applied() -> None:
    import torch

    state = torch.nn.LSTM(2, 4).state_dict()
    bias = state.pop("bias_hh_l0")
    mask = torch.arange(16) % 2 == 0
    state |= {"bias_hh_l0_orig": bias, "bias_hh_l0_mask": mask}
    (row,) = lstm_audit.audit(state).rows
    forget = (state["bias_ih_l0"].double() + bias.double() * mask)[4:8]
    assert row.measures.gates["f"].mean == pytest.approx(float(forget.mean()), rel=1e-12)


class Terminal(io.StringIO):
    """A stderr that says that a person looks at it."""

    def isatty(self) -> bool:
        return True


def test_progress_shows_after_a_second_and_only_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lstm_audit.cli.output import ProgressLine

    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    for stream, shown in (
        (Terminal(), "\r\033[K2 of 3 files, 1/s, 1 s left\r\033[K3 of 3 files, 2/s\r\033[K"),
        (io.StringIO(), ""),
    ):
        monkeypatch.setattr("sys.stderr", stream)
        now[0] = 0.0
        progress = ProgressLine(quiet=False)
        for done, at in ((1, 0.5), (2, 1.5), (3, 1.55)):
            now[0] = at
            progress(done, 3)
        progress.end()
        assert stream.getvalue() == shown


@pytest.mark.parametrize(
    "length", [128, 0x08 | 0x01 << 8 | 0x12 << 16], ids=["a pickle", "an ONNX model"]
)
@pytest.mark.parametrize("first", ["torch", "safetensors", "refused"])
def test_a_safetensors_header_that_begins_like_something_else(
    first: str, length: int, tmp_path: Path
) -> None:
    """80 00 of a header of 128 bytes open a pickle too, 08 01 12 an ONNX model; no order of imports
    matters.
    """
    import subprocess
    import sys

    header = (
        json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
        .encode()
        .ljust(length)
    )
    path = tmp_path / "m.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(4))
    code = (
        f"import lstm_audit.formats.{first}, lstm_audit; "
        f"print(lstm_audit.audit({str(path)!r}).files[0].format)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "safetensors\n"


def test_a_folder_says_what_it_leaves_out(tmp_path: Path) -> None:
    """A known kind that is not read counts; what is no checkpoint is listed on demand."""
    (tmp_path / "model.pt").write_bytes(MODEL.read_bytes())
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "old.pb").write_bytes(b"\x18\0\0\0ORTM" + bytes(30))
    assert run("audit", "--no-config", tmp_path).exit_code == 3
    done = run("audit", "--no-config", "--exclude", "*.pb", "--show-ignored", tmp_path)
    assert done.exit_code == 0
    assert done.stderr.splitlines() == [f"ignored: {tmp_path}/notes.txt"]
    typo = run("audit", "--exclude", "*.pbb", tmp_path)
    assert typo.exit_code == 2
    assert "--exclude *.pbb matches none of the 3 inputs" in typo.stderr
