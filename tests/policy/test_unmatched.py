"""A pattern that matches nothing is an error that names the nearest, and one string is one
pattern.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import run
from torch import nn

import lstm_audit
from lstm_audit.compare import compare
from lstm_audit.errors import BadPolicy
from lstm_audit.facts import Audit
from lstm_audit.gate import make_policy
from lstm_audit.policy.baseline import Accepted, Baseline, refuse_misplaced
from lstm_audit.policy.globs import patterns_of
from lstm_audit.spelling import suggest


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def saved(path: Path, *names: str) -> Path:
    """A checkpoint with an LSTM under each name."""
    path.parent.mkdir(exist_ok=True, parents=True)
    torch.save(nn.ModuleDict({name: nn.LSTM(4, 8) for name in names}).state_dict(), path)
    return path


def config(folder: Path, text: str) -> Path:
    path = folder / "lstm-audit.toml"
    path.write_text(text)
    return path


# ---- --layers


@pytest.mark.parametrize("command", ["audit", "check"])
def test_each_of_several_patterns_must_match(tmp_path: Path, command: str) -> None:
    path = saved(tmp_path / "m.pt", "enc", "dec")
    assert run(command, "-l", "enc", "-l", "dec:l0", path).exit_code == 0
    typo = run(command, "-l", "enc", "-l", "dce:l0", path)
    assert typo.exit_code == 2
    assert "--layers: 'dce:l0' matches no LSTM; the nearest is 'dec:l0'" in typo.stderr


def test_a_pattern_may_match_in_any_file_of_the_run(tmp_path: Path) -> None:
    one, two = saved(tmp_path / "1.pt", "enc"), saved(tmp_path / "2.pt", "dec")
    assert run("audit", "-l", "enc", "-l", "dec", one, two).exit_code == 0
    assert run("audit", "-l", "enc", "-l", "dec", one).exit_code == 2
    assert run("audit", "-j", "2", "-l", "enc", "-l", "dec", one, two).exit_code == 0
    partly = run("audit", "-l", "enc", one, two)
    assert f"left out {two}" in partly.stdout
    assert "no LSTM" not in partly.stdout


def test_diff_is_one_run(tmp_path: Path) -> None:
    one, two = saved(tmp_path / "1.pt", "enc"), saved(tmp_path / "2.pt", "dec")
    assert run("diff", "-l", "enc", "-l", "dec", one, two).exit_code == 0
    done = run("diff", "-l", "end", one, two)
    assert done.exit_code == 2
    assert "the nearest is 'enc:l0'" in done.stderr


def test_what_could_not_be_read_is_not_held_against_a_pattern(tmp_path: Path) -> None:
    path, broken = saved(tmp_path / "m.pt", "enc"), tmp_path / "b.pt"
    broken.write_bytes(path.read_bytes()[:300])
    assert run("audit", "-l", "dec", path, broken).exit_code == 3


def test_where_there_is_no_lstm_that_is_said(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 4).state_dict(), tmp_path / "m.pt")
    done = run("audit", "-l", "dec", tmp_path / "m.pt")
    assert done.exit_code == 0
    assert "no LSTM found" in done.stdout


def test_from_python() -> None:
    model = nn.ModuleDict({"enc": nn.LSTM(4, 8), "dec": nn.LSTM(4, 8)})
    for layers in ("enc*", ["enc*"], ("enc",), iter(["enc:l0"])):
        rows = lstm_audit.audit(model, layers=layers).rows
        assert [row.lstm.address for row in rows] == ["enc:l0"]
    with pytest.raises(BadPolicy, match=r"layers: 'end' matches no LSTM; the nearest is 'enc:l0'"):
        lstm_audit.audit(model, layers=["dec", "end"])
    with pytest.raises(BadPolicy, match="matches no LSTM"):
        lstm_audit.check(model, layers="end")
    with pytest.raises(BadPolicy, match="matches no LSTM"):
        lstm_audit.assert_forget_gate(model, activation=(0, 1), layers="end")
    with pytest.raises(BadPolicy, match="a glob is a string"):
        patterns_of([1])  # type: ignore[list-item]  # what a caller without types may give


def test_the_root_is_accepted_as_it_is_printed(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    torch.save(nn.LSTM(4, 8, 2, bidirectional=True).state_dict(), path)
    for pattern in ("(root):l0", ":l0", ":l0@torch", "(root):l0@torch"):
        rows = lstm_audit.audit(path, layers=pattern).rows
        assert [row.lstm.address for row in rows] == [":l0"], pattern
    assert len(lstm_audit.audit(path, layers="(root):l1:*").rows) == 1
    assert len(lstm_audit.audit(path, layers="(root)").rows) == 4


def test_a_pattern_sees_every_name_of_a_tied_module() -> None:
    shared = nn.LSTM(4, 8)
    model = nn.ModuleDict({"enc": shared, "dec": shared, "other": nn.LSTM(4, 8)})
    for pattern in ("enc", "dec", "dec:l0", "d*"):
        (row,) = lstm_audit.audit(model, layers=pattern).rows
        assert row.lstm.address == "dec:l0" or row.lstm.tied
    ignoring: dict[str, Any] = {"override": [{"layers": "enc", "ignore": ["LA108"]}]}
    result = lstm_audit.check(model, ignoring)
    assert [f.module for f in result.audit.findings if f.code == "LA108"] == ["other"]


# ---- overrides


def test_an_override_of_no_layer(tmp_path: Path) -> None:
    path = saved(tmp_path / "m.pt", "enc", "dec")
    config(tmp_path, "[[override]]\nlayers = ['enc', 'decs']\nignore = ['LA1']")
    for command in ("audit", "check"):
        done = run(command, path)
        assert done.exit_code == 2
        assert "lstm-audit.toml: override #1.layers: 'decs' matches no LSTM" in done.stderr
        assert "the nearest is 'dec:l0'" in done.stderr
    config(tmp_path, "[[override]]\nlayers = 'dec'\nignore = ['LA1']")
    assert run("check", "-l", "enc", path).exit_code == 0, "it is there, if not asked for"


def test_an_override_of_no_file(tmp_path: Path) -> None:
    path, other = saved(tmp_path / "run" / "m.pt", "enc"), saved(tmp_path / "init" / "m.pt", "enc")
    config(tmp_path, "[[override]]\nfiles = 'inti/*.pt'\nignore = ['LA1']")
    done = run("check", path, other)
    assert done.exit_code == 2
    assert "override #1.files: 'inti/*.pt' matches no file; the nearest is 'init/m.pt'" in (
        done.stderr.replace(f"{tmp_path}/", "")
    )
    config(tmp_path, "[[override]]\nfiles = 'init/*.pt'\nignore = ['LA1']")
    assert run("check", path, other).exit_code == 0
    assert run("check", path).exit_code == 0, "the file is there, if not in this run"
    config(tmp_path, "[[override]]\nfiles = 'init/*.pt'\nlayers = 'dec'\nignore = ['LA1']")
    assert run("check", path).exit_code == 0, "nothing is known of files outside of the run"
    assert run("check", other).exit_code == 2


def test_an_override_of_files_says_nothing_of_a_model() -> None:
    policy = make_policy({"override": [{"files": "*.pt", "ignore": ["LA1"]}]})
    assert lstm_audit.check(nn.LSTM(4, 8), policy).passed


# ---- a baseline


def test_an_entry_of_another_folder_is_an_error(tmp_path: Path) -> None:
    path = saved(tmp_path / "a" / "m.pt", "enc")
    done = run("check", "--fail-on", "info", "--baseline", "known.json", "--update-baseline", path)
    assert done.exit_code == 0
    (tmp_path / "b").mkdir()
    moved = tmp_path / "b" / "known.json"
    moved.write_bytes((tmp_path / "known.json").read_bytes())
    done = run("check", "--baseline", moved, path)
    assert done.exit_code == 2
    assert "no such file; the nearest is '../a/m.pt'" in done.stderr
    saved(tmp_path / "a" / "m.pt", "dec")
    done = run("check", "--baseline", tmp_path / "known.json", path)
    assert done.exit_code == 2
    assert "no such LSTM in the file; " in done.stderr
    assert "dec:l0" in done.stderr
    done = run("check", "--baseline", "known.json", "--update-baseline", path)
    assert done.exit_code == 0
    assert "dec" in (tmp_path / "known.json").read_text()


@pytest.mark.parametrize("path", ["a/m.pt", "a.zip!in/m.pt", "https:/host/m.pt", "<LSTM>", "-"])
def test_an_entry_outside_of_the_run_is_left_alone(tmp_path: Path, path: str) -> None:
    saved(tmp_path / "a" / "m.pt", "enc")
    (tmp_path / "a.zip").write_bytes(b"")
    entries = {f"LA101:{path}:x:l0": Accepted("LA101", path, "x:l0", (1.0,))}
    here = Audit((lstm_audit.audit(saved(tmp_path / "b.pt", "enc")).files[0],))
    refuse_misplaced(Baseline(str(tmp_path), entries), [here])
    gone = {"k": Accepted("LA101", "gone.pt", "x:l0", (1.0,))}
    with pytest.raises(BadPolicy, match="no such file; the nearest is"):
        refuse_misplaced(Baseline(str(tmp_path), gone), [here])


# ---- identity


def state(forget: float) -> dict[str, np.ndarray]:
    bias = np.zeros(32, "f4")
    bias[8:16] = forget
    rest = {"weight_ih_l0": np.zeros((32, 4), "f4"), "weight_hh_l0": np.zeros((32, 8), "f4")}
    return {**rest, "bias_ih_l0": bias, "bias_hh_l0": np.zeros(32, "f4")}


def two_at_one_address(own: float, mlx: float) -> dict[str, np.ndarray]:
    bias = np.zeros(32, "f4")
    bias[8:16] = mlx
    other = {"x.Wx": np.zeros((32, 4), "f4"), "x.Wh": np.zeros((32, 8), "f4"), "x.bias": bias}
    return {**{f"x.{name}": value for name, value in state(own).items()}, **other}


def test_compare_matches_by_identity() -> None:
    a, b = (lstm_audit.audit(two_at_one_address(0.0, mlx)) for mlx in (1.0, 5.0))
    found = compare(a, b)
    assert found.changed
    assert {pair.b.lstm.convention: pair.moved["f"] for pair in found.pairs} == {
        "torch": 0.0,
        "mlx": 4.0,
    }
    alone = compare(a, lstm_audit.audit({f"x.{k}": v for k, v in state(0.0).items()}))
    assert [pair.b.lstm.convention for pair in alone.pairs] == ["torch"]
    assert alone.to_dict()["only_a"] == ["x:l0"]


def test_another_convention_at_one_address_is_still_compared() -> None:
    """As when a model was converted: there is no choice of a partner."""
    both = two_at_one_address(1.0, 3.0)
    mlx = {name: both[name] for name in ("x.Wx", "x.Wh", "x.bias")}
    own = {f"x.{name}": value for name, value in state(1.0).items()}
    (pair,) = compare(lstm_audit.audit(own), lstm_audit.audit(mlx)).pairs
    assert pair.moved["f"] == 2.0


def test_one_of_two_at_an_address_can_be_named() -> None:
    both = two_at_one_address(0.0, 0.0)
    for convention in ("torch", "mlx"):
        (row,) = lstm_audit.audit(both, layers=f"x:l0@{convention}").rows
        assert row.lstm.convention == convention
    result = lstm_audit.audit(both)
    written = {finding.address for finding in result.findings if finding.layer is not None}
    assert written == {"x:l0@torch", "x:l0@mlx"}
    one = lstm_audit.audit(both, layers="x:l0@mlx")
    assert {finding.address for finding in one.findings} == {"x:l0@mlx"}


def test_a_suggestion() -> None:
    assert suggest("Enc_a", ["enc-a", "dec"]) == "did you mean 'enc-a'?"
    assert suggest("zzz", ["a"]) == "there is a"
    assert suggest("zzz", list("abcdefghij")) == "there are a, b, c, d, e, f, g, h and 2 more"
    assert json.dumps(suggest("x" * 10**6, ["y" * 10**6])).count("y") >= 10**6


# ---- conventions

CORE = 'name = "own"\ntensors.input = "{0}.x.weight"\ntensors.recurrent = "{0}.h.weight"\n'


def hand_written(path: Path) -> Path:
    """A good LSTM, and a cell of its author's."""
    good = {f"enc.{name}": value for name, value in nn.LSTM(4, 8).state_dict().items()}
    own = {"core.x.weight": torch.zeros(32, 5), "core.h.weight": torch.zeros(32, 8)}
    torch.save({**good, **own}, path)
    return path


@pytest.mark.parametrize("options", [[], ["-f", "jsonl"]], ids=["whole", "streamed"])
def test_a_convention_that_reads_nothing_is_an_error(tmp_path: Path, options: list[str]) -> None:
    path = hand_written(tmp_path / "m.pt")
    config(tmp_path, "[[convention]]\n" + CORE.format("*core"))
    assert run("audit", *options, "--config", "lstm-audit.toml", path).exit_code == 0
    config(tmp_path, "[[convention]]\n" + CORE.format("*cor"))
    done = run("audit", *options, "--config", "lstm-audit.toml", path)
    assert done.exit_code == 2
    assert "convention 'own': '*cor.x.weight'" in done.stderr
    assert "the nearest is 'core'" in done.stderr
    with pytest.raises(BadPolicy, match="match no LSTM of this run"):
        lstm_audit.audit(path, policy=tmp_path / "lstm-audit.toml")


def test_a_convention_is_not_blamed_where_there_is_no_lstm(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 4).state_dict(), tmp_path / "m.pt")
    config(tmp_path, "[[convention]]\n" + CORE.format("*cor"))
    assert run("audit", "--config", "lstm-audit.toml", tmp_path / "m.pt").exit_code != 2


# ---- two cells of one convention in one scope


def two_of_one_convention(own: float, other: float) -> dict[str, np.ndarray]:
    """TensorFlow called its cells anew with each version: two rows of the table, one name."""
    cells = {}
    for kernel, bias, value in (
        ("lstm_cell/kernel", "lstm_cell/bias", own),
        ("LSTMCell/W_0", "LSTMCell/B", other),
    ):
        cells[f"x/rnn/{kernel}"] = np.zeros((7, 16), "f4")
        cells[f"x/rnn/{bias}"] = np.repeat(np.array([0, 0, value, 0], "f4"), 4)
    return cells


def test_no_two_lstms_of_a_file_are_one_identity() -> None:
    a, b = (lstm_audit.audit(two_of_one_convention(0.0, f)) for f in (1.0, 5.0))
    assert [row.lstm.address for row in a.rows] == ["x/rnn:l0", "x/rnn/lstm_cell:l0"]
    assert lstm_audit.diff(two_of_one_convention(0.0, 1.0), two_of_one_convention(0.0, 5.0))
    assert sorted(pair.moved["f"] for pair in compare(a, b).pairs) == [0.0, 4.0]


def test_reports_for_people_tell_two_at_one_address_apart() -> None:
    audit = lstm_audit.audit(two_at_one_address(0.0, 0.0))
    names = re.findall(r'<testcase [^>]*name="([^"]*)"', audit.to("junit"))
    assert {"x:l0@torch", "x:l0@mlx"} <= set(names)
    assert len(set(names)) == len(names)
    moved = lstm_audit.diff(two_at_one_address(0.0, 0.0), two_at_one_address(0.0, 1.0))
    for text in (str(audit), str(moved)):
        assert "x:l0@torch" in text
        assert "x:l0@mlx" in text
    assert "@" not in str(lstm_audit.audit({f"x.{k}": v for k, v in state(0.0).items()}))


def test_match_knows_every_name_of_a_tied_module() -> None:
    lstm = state(1.0).items()
    tied = {f"{module}.{name}": value for module in ("dec", "enc") for name, value in lstm}
    for match in ("enc=enc", "dec=enc", "enc=dec:l0"):
        assert len(lstm_audit.diff(tied, tied, match=match)) == 1
