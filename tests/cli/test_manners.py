"""What people read at a terminal of 80 columns, and where words that are no command lead."""

import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from command import CLEAN, DOUBLED, MODEL, real, run
from torch import nn

import lstm_audit
from lstm_audit.errors import BadPolicy
from lstm_audit.missing import explain_missing
from lstm_audit.raw.locators import refuse_half
from lstm_audit.reports.terminal import columns_wide, fold, shorten
from lstm_audit.spelling import nearest_file

LONG = "model.backbone.temporal_encoder.recurrent_blocks.{}.bidirectional_lstm_with_a_long_name"
BOUNDS = ("--min-activation", "0.7312", "--max-activation", "0.9", "--layers", "*temporal_encoder*")


def save_long(path: Path, trained: bool = False, blocks: int = 3) -> Path:
    """A checkpoint whose LSTMs have long names."""
    torch.manual_seed(5)
    state = {}
    for k in range(blocks):
        lstm = nn.LSTM(4, 64, bidirectional=True)
        for name, tensor in lstm.state_dict().items():
            state[f"{LONG.format(k)}.{name}"] = tensor
        if trained:
            drift = torch.randn(256) * 0.3
            for half in ("ih", "hh"):
                state[f"{LONG.format(k)}.bias_{half}_l0"] += drift
                state[f"{LONG.format(k)}.bias_{half}_l0_reverse"] += drift
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wide")
    for k in range(3):
        save_long(folder / f"step_{k}.pt")
    shutil.copy(DOUBLED, folder / "doubled.pt")
    (folder / "lstm-audit.toml").write_text(
        'select = ["LA1", "LA2", "LA3", "LA4", "LA9"]\n'
        f"[[override]]\nfiles = 'checkpoints/init/{'of-a-long-name/' * 6}*.pt'\n"
        "forget.bias = { stat = 'mean', min = 0.5, max = 3.25 }\n"
    )
    return folder


FILES = ("step_0.pt", "step_1.pt", "step_2.pt")

# Command lines whose every line is ours to fold: no path of them is wider than a terminal.
LINES: tuple[tuple[str, ...], ...] = (
    ("rules",),
    ("rules", "LA1", "LA50"),
    ("presets",),
    ("presets", "chrono:784", "mts"),
    ("config", "--no-config"),
    ("config", "--no-config", *BOUNDS[:4], "--init", "chrono-even:784"),
    ("diff", "step_0.pt", "step_1.pt"),
    ("diff", "--match", f"{LONG.format(0)}:l0=encoder", "step_0.pt", "doubled.pt"),
    ("patch", "-n", "--init", "chrono:784", "step_0.pt"),
    ("patch", "-n", "--shift", "-123.456", "step_0.pt"),
    ("patch", "--diff", "--forget-bias", "1", "--layers", "*.0.*", "step_0.pt"),
    ("trend", *FILES),
    ("audit", "--no-config", *FILES),
    ("audit", "--no-config", "--statistics", *FILES),
    ("audit", "--no-config", "-v", *FILES),
    ("check", "--no-config", *BOUNDS, *FILES),
    ("explain", "LA1"),
    ("explain", "convention"),
)  # fmt: skip


@pytest.mark.parametrize("words", LINES, ids=" ".join)
@pytest.mark.parametrize("columns", [None, "80"])
def test_a_line_fits_80_columns(
    folder: Path, words: tuple[str, ...], columns: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Piped, where there is no terminal to ask, and at a terminal's width."""
    monkeypatch.chdir(folder)
    done = run(*words, **({"COLUMNS": columns} if columns else {}), LC_ALL="C.UTF-8")
    assert done.exit_code in (0, 1)
    lines = done.stdout.splitlines()
    assert len(lines) > 3
    # a command that mends is copied, and so is a name for --match: they keep their lines, and a
    # word of a command is not cut
    copied = ("fix: lstm-audit", "only in ")
    wide = [
        line
        for line in lines
        if columns_wide(line) > 80
        and not any(c in line for c in copied)
        and len(line.removesuffix("\\").split()) > 1
    ]
    assert wide == []


@pytest.mark.parametrize("code", sorted(lstm_audit.rules.RULES))
def test_a_manual_of_a_rule_fits_80_columns(code: str) -> None:
    text = run("explain", code).stdout
    assert [line for line in text.splitlines() if columns_wide(line) > 80] == []


def test_config_folds_an_override(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    lines = run("config").stdout.splitlines()
    assert max(map(columns_wide, lines)) <= 80
    assert "of-a-long-name" in "".join(lines)


def test_a_patch_says_once_how_far_a_dtype_rounds(tmp_path: Path) -> None:
    path = save_long(tmp_path / "model.pt")
    text = run("patch", "-n", "--forget-bias", "0.1", path).stdout
    assert text.count("the dtype float32 holds these values to within 1e-09") == 1
    assert len({line.split("  bias ")[0] for line in text.splitlines() if "  bias " in line}) == 6


def test_one_place_compares_words() -> None:
    """One did-you-mean: whoever looks for a near word asks `spelling`."""
    package = Path(lstm_audit.__file__).parent
    comparing = [
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if "get_close_matches" in file.read_text()
    ]
    assert comparing == ["spelling.py"]


# ---- names


def test_names_keep_the_parts_in_which_they_differ() -> None:
    names = [
        f"{LONG.format(k)}:l{n}{end}" for k in (3, 12) for n in (0, 1) for end in ("", ":reverse")
    ]
    short = shorten(names, 30, "…")
    assert max(map(columns_wide, short)) <= 30
    assert len(set(short)) == len(names)
    assert "#" not in "".join(short)
    for name, cut in zip(names, short, strict=True):
        block, layer = re.search(r"blocks\.(\d+)\..*:(l\d.*)", name).groups()
        assert re.search(rf"(^|\D){block}(\D|$)", cut)
        assert cut.endswith(layer)


def test_words_within_a_module_s_name_are_parts_too() -> None:
    """`…_03_…:l1`, and no number that stands for nothing in the file."""
    names = [
        f"speech_encoder_number_{k:02}_of_the_acoustic-model:l{n}{end}"
        for k in (3, 12) for n in (0, 1) for end in ("", ":reverse")
    ]  # fmt: skip
    short = shorten(names, 26, "…")
    assert max(map(columns_wide, short)) <= 26
    assert len(set(short)) == len(names)
    for name, cut in zip(names, short, strict=True):
        number, layer = re.search(r"number_(\d+)_.*(:l.*)", name).groups()
        assert re.search(rf"(^|\D){number}(\D|$)", cut)
        assert cut.endswith(layer)


def test_names_that_are_built_differently_are_numbered() -> None:
    names = [f"{'x' * 30}{'y' * k}{middle}{'z' * 40}" for k in (0, 9) for middle in ("a", "b.c")]
    short = shorten(names, 18, "…")
    assert len(set(short)) == len(names)
    assert all(re.search(r"…#\d…", name) for name in short)


def test_prose_is_folded_and_code_is_not() -> None:
    code = "    for name, bias in lstm.named_parameters():  # " + "x" * 60
    text = f"{'word ' * 40}\n\n{code}"
    first, second = fold(text, 60).split("\n\n")
    assert second == code
    assert max(map(len, first.splitlines())) <= 60
    assert first.split() == ["word"] * 40


# ---- words that are no command


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (("help", "fix"), ("patch", "--help")),
        (("help", "scan"), ("audit", "--help")),
        (("help", "diff"), ("diff", "--help")),
        (("help", "la101"), ("explain", "LA101")),
        (("help", "LA1"), ("explain", "LA1")),
        (("help", "convention"), ("explain", "convention")),
        (("version",), ("--version",)),
        ((str(MODEL), "--json"), ("audit", "--json", str(MODEL))),
        (("rules", "warning"), ("rules", "Warning")),
    ],
)  # fmt: skip
def test_a_word_leads_to_the_page(words: tuple[str, ...], same: tuple[str, ...]) -> None:
    meant, plain = real(*words), real(*same)
    assert meant.returncode == plain.returncode == 0
    assert meant.stdout == plain.stdout != b""


@pytest.mark.parametrize(
    ("locator", "form"),
    [
        ("https://", "https://HOST/PATH"),
        ("https:///model.pt", "https://HOST/PATH"),
        ("https://local host/model.pt", "https://HOST/PATH"),
        ("https://example.org:abc/model.pt", "https://HOST/PATH"),
        ("https://user:secret@/model.pt", "https://HOST/PATH"),
        ("s3://", "s3://BUCKET/PATH"),
        ("gs:///model.pt", "gs://BUCKET/PATH"),
        ("az://", "az://CONTAINER/PATH"),
        ("hf://", "hf://ORG/REPO/FILE"),
        ("hf://org", "hf://ORG/REPO/FILE"),
        ("ftp://", "ftp://HOST/PATH"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["audit", "check", "trend"])
def test_half_a_locator_is_met_with_its_form(command: str, locator: str, form: str) -> None:
    done = run(command, locator)
    assert done.exit_code == 2
    assert f"{form} was expected" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize(
    "locator",
    [
        "https://example.org/model.pt", "http://127.0.0.1:8000/x", "http://[::1]:80/x",
        "http://[::1]/x", "s3://bucket", "hf://org/repo", "memory://x", "file:///tmp/x.pt",
    ],
)  # fmt: skip
def test_a_whole_locator_passes(locator: str) -> None:
    refuse_half(locator)


def test_a_port_is_a_number() -> None:
    with pytest.raises(BadPolicy):
        refuse_half("http://[::1]:x/y")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("https:/example.org/x.pt", "https://example.org/x.pt"),
        ("https//example.org/x.pt", "https://example.org/x.pt"),
        ("HTTPS://example.org/x.pt", "https://example.org/x.pt"),
        ("S3://bucket/x.pt", "s3://bucket/x.pt"),
        ("hf:org/repo/x.pt", "hf://org/repo/x.pt"),
        ("www.example.org/x.pt", "https://www.example.org/x.pt"),
        ("huggingface.co/org/repo/x.pt", "https://huggingface.co/org/repo/x.pt"),
    ],
)  # fmt: skip
def test_a_broken_url_is_met_with_the_whole_one(typed: str, meant: str) -> None:
    assert explain_missing(typed).endswith(f"did you mean {meant}?")


NEAR = [
    ("modle.pt", "model.pt"),
    ("Model.PT", "model.pt"),
    ("model.pth", "model.pt"),
    ("mdel.pt", "model.pt"),
    ("chekpoint_last.ckpt", "checkpoint_last.ckpt"),
    ("runs/setp-20.pt", "runs/step-20.pt"),
    ("rnus/step-20.pt", "runs/step-20.pt"),
    ("rnus/setp-20.pt", "runs/step-20.pt"),
]
FAR = [
    "weights.pt", "config.safetensors", "config_last.ckpt", "b.pt", "encoder.pt", "model_of_a_rival.pt",
    "checkpoint_best.ckpt", "rnus/model.pt", "runs/other-20.pt", "missing/step-20.pt",
]  # fmt: skip
THERE = [
    "model.pt", "checkpoint_last.ckpt", "decoder.pt", "a.pt", "model_of_mine.pt", "model.safetensors",
    "runs/step-20.pt",
]  # fmt: skip


@pytest.fixture
def _files_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs").mkdir()
    for name in THERE:
        Path(name).touch()


@pytest.mark.usefixtures("_files_that_are_there")
@pytest.mark.parametrize(("typed", "meant"), NEAR)
def test_a_missing_file_is_met_with_a_near_one(typed: str, meant: str) -> None:
    """What is named is there."""
    assert explain_missing(typed) == f"no such file or folder; did you mean {meant}?"
    assert Path(meant).exists()


@pytest.mark.usefixtures("_files_that_are_there")
@pytest.mark.parametrize("typed", FAR)
def test_a_missing_file_is_not_met_with_one_that_is_hardly_near(typed: str) -> None:
    assert "did you mean" not in explain_missing(typed)


def test_a_near_name_is_found_in_a_large_folder() -> None:
    names = [f"epoch={k:06}.ckpt" for k in range(0, 40_000, 7)]
    assert nearest_file("epohc=000014.ckpt", names) == "epoch=000014.ckpt"
    assert nearest_file("weights-of-another.ckpt", names) is None


def test_a_missing_policy_is_met_as_a_missing_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lstm-audit.toml").write_text("")
    monkeypatch.chdir(tmp_path)
    done = run("config", "--config", "lstm_audit.toml")
    assert done.exit_code == 2
    assert "did you mean lstm-audit.toml?" in done.stderr


# ---- one and several


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("*.0.*:l0", "looks trained: what its forget gates learned is replaced"),
        ("*", "look trained: what their forget gates learned is replaced"),
    ],
)
def test_one_looks_trained_and_several_look_so(tmp_path: Path, layers: str, said: str) -> None:
    path = save_long(tmp_path / "model.pt", trained=True)
    done = run("patch", "-n", "--forget-bias", "1", "--layers", layers, path)
    assert said in done.stderr


# ---- undo, as the manual and SPEC say it


def patched(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    shutil.copy(CLEAN / "lstm.safetensors", path)
    assert run("patch", "--forget-bias", "2", path).exit_code == 0
    return path


def first_edit(path: Path) -> int:
    """A byte that the patch wrote."""
    before = (CLEAN / "lstm.safetensors").read_bytes()
    return next(k for k, (a, b) in enumerate(zip(before, path.read_bytes(), strict=True)) if a != b)


def test_undo_refuses_where_the_patched_bytes_were_written_to(tmp_path: Path) -> None:
    path = patched(tmp_path)
    data = bytearray(path.read_bytes())
    data[first_edit(path)] ^= 1
    path.write_bytes(data)
    done = run("undo", path)
    assert done.exit_code == 3
    assert "written to since" in done.stderr
    assert path.read_bytes() == bytes(data)


def test_undo_goes_on_where_other_bytes_were_written_to_and_says_so(tmp_path: Path) -> None:
    path = patched(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1  # of a weight
    path.write_bytes(data)
    done = run("undo", path)
    assert done.exit_code == 0
    assert "written to" in done.stderr
    before = (CLEAN / "lstm.safetensors").read_bytes()
    assert path.read_bytes() == before[:-1] + data[-1:]


def test_undo_goes_on_in_a_copy_and_says_so(tmp_path: Path) -> None:
    path = patched(tmp_path)
    (tmp_path / "moved").mkdir()
    for name in os.listdir(tmp_path):
        if name.startswith("model.pt"):
            shutil.copy(tmp_path / name, tmp_path / "moved" / name)
    done = run("undo", tmp_path / "moved" / path.name)
    assert done.exit_code == 0
    assert "copied, moved or written to" in done.stderr
    assert (tmp_path / "moved" / path.name).read_bytes() == (
        CLEAN / "lstm.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("page", ["docs/howto/ship.md", "docs/explanation/patch.md"])
def test_the_docs_say_of_undo_what_it_does(page: str) -> None:
    text = " ".join((Path(__file__).parents[2] / page).read_text().split())
    assert "written to since, or the file has another length, it refuses" in text
    assert "says so" in text
