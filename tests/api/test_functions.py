"""What the command has, from Python: the same answers, results that print, exceptions that say why."""

import inspect
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from command import CLEAN, DOUBLED, FLAWED, MODEL, TRUNCATED, run
from torch import nn

import lstm_audit
from lstm_audit.gate import Flags, ForgetBounds
from lstm_audit.patching.api import Wanted
from lstm_audit.policy.keys import STAT, flags
from lstm_audit.targets import TARGETS


def model(bias: float | None = None) -> nn.LSTM:
    torch.manual_seed(3)
    lstm = nn.LSTM(4, 6, num_layers=2)
    if bias is not None:
        lstm_audit.patch(lstm, bias)
    return lstm


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    torch.save(model().state_dict(), path)
    return path


# ---- keywords


def test_the_keywords_of_check_are_the_options_of_the_command() -> None:
    pairs = {"activation", "bias", "time_scale"}
    known = {flag.name for _, flag in flags()} | {STAT.name, "verify"}
    assert set(Flags.__annotations__) - pairs == known
    shown = inspect.signature(lstm_audit.check).parameters
    assert set(Flags.__annotations__) <= set(shown)
    assert "flags" not in shown


def test_bounds_have_one_name_everywhere() -> None:
    shown = set(inspect.signature(lstm_audit.assert_forget_gate).parameters)
    assert set(ForgetBounds.__annotations__) <= shown
    assert shown - {"target", "probe"} <= set(inspect.signature(lstm_audit.check).parameters)


def test_the_keywords_of_patch_are_the_targets() -> None:
    assert set(Wanted.__annotations__) == {row.keyword for row in TARGETS.values()}
    assert set(Wanted.__annotations__) <= set(inspect.signature(lstm_audit.patch).parameters)


def test_a_misspelled_keyword_names_the_near_one() -> None:
    with pytest.raises(lstm_audit.BadPolicy, match="did you mean 'min_activation'"):
        lstm_audit.check(MODEL, min_activaton=0.7)
    with pytest.raises((TypeError, lstm_audit.BadPolicy), match="activaton"):
        lstm_audit.assert_forget_gate(MODEL, activaton=(0, 1))


# ---- bounds


BOUNDS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"activation": (0.8, 0.9)}, {"min_activation": 0.8, "max_activation": 0.9}),
    ({"activation": (0.8, float("inf"))}, {"min_activation": 0.8}),
    ({"bias": (1.5, 2.0)}, {"min_bias": 1.5, "max_bias": 2.0}),
    ({"bias": 2.0}, {"forget_bias": 2.0}),
    ({"time_scale": (10, 50)}, {"min_time_scale": 10, "max_time_scale": 50}),
    ({"time_scale": (float("-inf"), 1.0)}, {"max_time_scale": 1.0}),
]


@pytest.mark.parametrize(("short", "long"), BOUNDS, ids=str)
def test_the_short_form_is_the_long_one(short: dict[str, Any], long: dict[str, Any]) -> None:
    lstm = model(1.0)
    found = [lstm_audit.check(lstm, **asked) for asked in (short, long)]
    assert [f.code for f in found[0].failures] == [f.code for f in found[1].failures] != []
    said = []
    for asked in (short, long):
        with pytest.raises(AssertionError) as caught:
            lstm_audit.assert_forget_gate(lstm, **asked)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_bounds_that_hold() -> None:
    lstm = model(1.0)
    for asked in (
        {"min_bias": 0.9, "max_bias": 1.1},
        {"max_time_scale": 4.0},
        {"forget_bias": 1.0},
    ):
        lstm_audit.assert_forget_gate(lstm, **asked)
        assert lstm_audit.check(lstm, **asked)
    assert run("check", "--no-config", "-q", "--max-time-scale", "1", MODEL).exit_code == 1
    assert (
        run("check", "--no-config", "-q", "--min-bias", "0.9", "--max-bias", "1.1", MODEL).exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"activation": 0.7}, "two numbers are expected.*min_activation"),
        ({"activation": (0.9, 0.1)}, "above the most"),
        ({"activation": (0.5, 0.9), "min_activation": 0.6}, "say the same"),
        ({"forget_bias": 1.0, "min_bias": 0.5}, "give a value or bounds"),
        ({"bias": 1.0, "max_bias": 2.0}, "give a value or bounds"),
    ],
)
def test_bounds_that_contradict_each_other(asked: dict[str, Any], said: str) -> None:
    for function in (lstm_audit.check, lstm_audit.assert_forget_gate):
        with pytest.raises(lstm_audit.BadPolicy, match=said):
            function(model(), **asked)


# ---- paths that are not there


@pytest.mark.parametrize(
    "call",
    [
        lambda: lstm_audit.audit("nowhere.pt"),
        lambda: lstm_audit.audit(["nowhere.pt"]),
        lambda: lstm_audit.audit("*.nothing"),
        lambda: lstm_audit.check(MODEL, "nowhere.toml"),
        lambda: lstm_audit.load_policy("nowhere.toml"),
        lambda: lstm_audit.check(Path("nowhere.pt")),
        lambda: lstm_audit.assert_forget_gate("nowhere.pt", bias=1),
        lambda: lstm_audit.patch("nowhere.pt", 1.0),
        lambda: lstm_audit.patch("nowhere.pt", 1.0, dry_run=True),
        lambda: lstm_audit.patch(model(), from_file="nowhere.pt"),
        lambda: lstm_audit.undo("nowhere.pt"),
        lambda: lstm_audit.diff("nowhere.pt", MODEL),
        lambda: lstm_audit.diff(MODEL, "nowhere.pt"),
        lambda: lstm_audit.trend("nowhere"),
        lambda: lstm_audit.lint("nowhere.py"),
    ],
)
def test_a_path_that_is_not_there_is_pythons_own_error_too(call: Any) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        call()
    assert isinstance(caught.value, lstm_audit.MissingFile)
    assert isinstance(caught.value, lstm_audit.BadPolicy)
    assert "nowhere" in str(caught.value) or "nothing" in str(caught.value)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))


def test_every_exception_that_is_raised_is_exported() -> None:
    from lstm_audit import errors

    mine = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.AuditError)
    }
    assert mine <= set(lstm_audit.__all__)


# ---- patch


def test_patch_understands_a_number_and_a_preset() -> None:
    lstm = model()
    assert lstm_audit.patch(lstm, 1.0).changed
    assert [row.measures.gates["f"].max for row in lstm_audit.audit(lstm)] == [1.0, 1.0]
    assert lstm_audit.patch(lstm, "chrono:784").target.text == "init chrono:784"
    assert lstm_audit.audit(lstm)[0].measures.gates["f"].max > 2
    assert lstm_audit.patch(lstm, 2).target.text == "forget bias 2"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("1",), "forget-bias 1"),
        (("cronho:784",), "did you mean chrono"),
        ((True,), "B was expected"),
        (((1.0, 2.0),), "B was expected"),
        ((float("nan"),), "finite"),
    ],
)
def test_what_patch_cannot_mean_is_refused(given: tuple[Any, ...], said: str) -> None:
    with pytest.raises(lstm_audit.BadPolicy, match=said):
        lstm_audit.patch(model(), *given)
    with pytest.raises(lstm_audit.BadPolicy, match=r"1.0 and forget_bias were given"):
        lstm_audit.patch(model(), 1.0, forget_bias=2.0)


def test_a_dry_run_changes_nothing_and_says_what_would(file: Path) -> None:
    before = file.read_bytes()
    would = lstm_audit.patch(file, 1.0, dry_run=True)
    assert would
    assert would.changes
    assert not would.changed
    assert (file.read_bytes(), sorted(file.parent.iterdir())) == (before, [file])
    done = lstm_audit.patch(file, 1.0)
    assert done.changed
    assert done.gates == would.gates
    assert done.parts[0].files == would.parts[0].files
    assert "would change" in str(would)
    assert " changed" in str(done)
    again = lstm_audit.patch(file, 1.0)
    assert not again
    assert "already at forget bias 1" in str(again)
    lstm = model()
    state = {name: value.clone() for name, value in lstm.state_dict().items()}
    assert lstm_audit.patch(lstm, 1.0, dry_run=True)
    assert all(torch.equal(state[name], value) for name, value in lstm.state_dict().items())
    assert not lstm_audit.patch(model(1.0), 1.0, dry_run=True)


def test_patch_takes_folders_globs_and_lists(tmp_path: Path) -> None:
    for name in ("a.pt", "sub/b.pt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        torch.save(model().state_dict(), tmp_path / name)
    (tmp_path / "notes.txt").write_text("no checkpoint")
    torch.save({"w": torch.zeros(3)}, tmp_path / "none.pt")
    done = lstm_audit.patch(tmp_path, 1.0)
    assert [Path(part.path).name for part in done.parts] == ["a.pt", "b.pt"]
    assert len(done) == 4
    assert [one.state for one in lstm_audit.undo(tmp_path)] == ["restored", "restored"]
    assert len(lstm_audit.patch([tmp_path / "a.pt", tmp_path / "sub"], 2.0).parts) == 2
    assert len(lstm_audit.patch(str(tmp_path / "*.pt"), 3.0, layers="*:l1").gates) == 1
    with pytest.raises(lstm_audit.BadPolicy, match="no LSTM matches"):
        lstm_audit.patch(tmp_path, 1.0, layers="decoder")
    with pytest.raises(lstm_audit.BadPolicy, match=r"no LSTM in 1 file$"):
        lstm_audit.patch(str(tmp_path / "*.txt"), 1.0)
    with pytest.raises(lstm_audit.BadPolicy, match="one file"):
        lstm_audit.patch(tmp_path, 1.0, output=tmp_path / "out.pt")


def test_nothing_is_written_where_one_of_several_is_refused(tmp_path: Path) -> None:
    torch.save(model().state_dict(), tmp_path / "a.pt")
    torch.save(nn.LSTM(3, 4, bias=False).state_dict(), tmp_path / "b.pt")
    before = (tmp_path / "a.pt").read_bytes()
    with pytest.raises(lstm_audit.NotPatchable, match="bias=False"):
        lstm_audit.patch(tmp_path, 1.0)
    assert (tmp_path / "a.pt").read_bytes() == before


def test_a_result_of_patch_is_plain_values(file: Path) -> None:
    done = lstm_audit.patch(file, "chrono:100")
    for one in (done, lstm_audit.patch(model(), 1.0)):
        again = pickle.loads(pickle.dumps(one))
        assert again.gates == one.gates
        assert len(str(one).splitlines()) <= 40
        assert "svg" in one._repr_html_()
        for thing in (one, one.parts[0], one.gates[0]):
            assert len(repr(thing)) < 200
    assert json.loads(done.to("json")) == done.to_dict()
    said = run("patch", "--init", "chrono:100", "--json", "--dry-run", file)
    assert done.to_dict()["schema"] == json.loads(said.stdout)["schema"]
    assert done.to("diff").startswith(f"--- {file}")
    assert [gate.gate for gate in done] == ["f", "i", "f", "i"]


# ---- undo


def test_undo_gives_the_bytes_back(file: Path) -> None:
    before = file.read_bytes()
    lstm_audit.patch(file, 1.0)
    lstm_audit.patch(file, 2.0)
    (one,) = lstm_audit.undo(file)
    assert (one.state, one.remaining) == ("restored", 1)
    lstm_audit.undo([file])
    assert file.read_bytes() == before
    (one,) = lstm_audit.undo(file)
    assert one.state == "nothing"
    assert len(repr(one)) < 150
    lstm_audit.patch(file, 1.0)
    torch.save(model(3.0).state_dict(), file)
    with pytest.raises(lstm_audit.NotPatchable):
        lstm_audit.undo(file)


# ---- diff


def test_diff_is_that_of_the_command(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    shutil.copy(file, other)
    same = lstm_audit.diff(file, other)
    assert not same
    assert len(same) == 2
    lstm_audit.patch(other, 1.0, layers="*:l1")
    moved = lstm_audit.diff(file, other)
    assert moved
    assert [pair.changed for pair in moved] == [False, True]
    assert json.loads(moved.to("json")) == json.loads(run("diff", "--json", file, other).stdout)
    assert str(moved).splitlines()[-1] == run("diff", file, other).stdout.splitlines()[-1]
    assert "<svg" in moved._repr_html_()
    assert moved.to("html").startswith("<!doctype html>")
    assert repr(moved) == "<Comparison: 2 pairs, 1 changed, 0 without a partner>"
    assert pickle.loads(pickle.dumps(moved)).pairs[1].changed


def test_diff_of_a_model_with_its_file(file: Path) -> None:
    assert not lstm_audit.diff(model(), file)
    assert lstm_audit.diff(model(1.0), model().state_dict())
    renamed = {f"encoder.{name}": value for name, value in model().state_dict().items()}
    assert len(lstm_audit.diff(renamed, file, match="encoder=(root)")) == 2
    with pytest.raises(lstm_audit.BadPolicy, match="decoder names no LSTM of A"):
        lstm_audit.diff(renamed, file, match=["decoder=(root)"])


def test_a_side_that_cannot_be_compared_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(lstm_audit.MalformedFile, match=r"truncated\.pt") as caught:
        lstm_audit.diff(TRUNCATED, MODEL)
    assert caught.value.kind == "truncated"
    with pytest.raises(lstm_audit.BadPolicy, match="two checkpoints"):
        lstm_audit.diff(MODEL, CLEAN)
    (tmp_path / "x.pt").write_bytes(b"")
    with pytest.raises(lstm_audit.UnknownFormat):
        lstm_audit.diff(tmp_path / "x.pt", MODEL)


# ---- trend


def test_trend_is_that_of_the_command(tmp_path: Path) -> None:
    for step, bias in ((9, 0.5), (10, 1.0), (100, 12.0)):
        torch.save(model(bias).state_dict(), tmp_path / f"step_{step}.pt")
    found = lstm_audit.trend(tmp_path)
    assert [step for _, step in found.files] == [9, 10, 100]
    assert len(found) == 2
    assert [event.text for event in found.lines[0].events] == ["saturated at step 100"]
    assert json.loads(found.to("json")) == json.loads(run("trend", "-f", "json", tmp_path).stdout)
    assert found.to("csv") == run("trend", "-f", "csv", tmp_path).stdout
    assert "saturated at step 100" in str(found)
    assert "<svg" in found._repr_html_()
    assert repr(found) == "<Trend: 3 checkpoints, 2 LSTMs>"
    assert pickle.loads(pickle.dumps(found)) == found


def test_trend_of_states_that_were_kept() -> None:
    lstm, kept = model(0.0), {}
    for step in (0, 10, 100):
        lstm_audit.patch(lstm, float(step) / 10)
        kept[step] = {name: value.clone() for name, value in lstm.state_dict().items()}
    found = lstm_audit.trend(kept)
    assert [step for _, step in found.files] == [0, 10, 100]
    assert [point.mean for point in found.lines[1].points] == [0.0, 1.0, 10.0]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    torch.save(model().state_dict(), tmp_path / "a.pt")
    shutil.copy(TRUNCATED, tmp_path / "b.pt")
    found = lstm_audit.trend(tmp_path)
    assert [error.kind for error in found.errors] == ["truncated"]
    assert "unreadable: " in str(found)


# ---- check, as a result


def test_a_verdict_prints_with_its_closing_line() -> None:
    checked = lstm_audit.check(DOUBLED)
    assert not checked
    assert repr(checked) == "<Checked: failed, 1 failures, 1 LSTMs>"
    said = run("check", "--no-config", DOUBLED).stdout.splitlines()
    assert str(checked).splitlines()[-1] == said[-1]
    assert "FAILED: 1 error" in str(checked)
    assert "FAILED" in checked._repr_html_()
    assert checked.to("sarif")
    assert pickle.loads(pickle.dumps(checked)).audit == checked.audit
    assert len(lstm_audit.check(model(), units=True).audit[0].units.activation) == 6


# ---- the rest


def test_presets_are_those_of_the_command() -> None:
    every = lstm_audit.presets()
    said = run("presets").stdout
    assert all(one.syntax in said and one.formula[:20] in said for one in every)
    (one,) = lstm_audit.presets("chrono:100", hidden_size=64)
    assert one.example == "chrono:100"
    assert one.random
    assert one.couples
    assert lstm_audit.presets("unit")[0].activation == pytest.approx(0.7310586)
    with pytest.raises(lstm_audit.BadPolicy, match="did you mean"):
        lstm_audit.presets("cronho")


def test_explain_is_that_of_the_command() -> None:
    assert lstm_audit.explain("LA101").strip() in run("explain", "LA101").stdout
    assert lstm_audit.explain("doubled-forget-bias") == lstm_audit.explain("la101")
    assert len(lstm_audit.explain("LA1").splitlines()) > 5
    assert len(lstm_audit.explain().splitlines()) > 20
    assert "tensors" in lstm_audit.explain("convention")
    with pytest.raises(lstm_audit.BadPolicy, match="no rule is called"):
        lstm_audit.explain("LA999")


def test_lint_and_its_audit_print() -> None:
    code = "import torch\nlstm = torch.nn.LSTM(2, 3)\nfor n, p in lstm.named_parameters():\n    if 'bias' in n:\n        p.data[3:6].fill_(1.0)\n"
    audit = lstm_audit.lint(code)
    assert [finding.code for finding in audit.findings] == ["LA101"]
    assert "LA101" in str(audit)


def test_data_frames_of_every_result(file: Path, tmp_path: Path) -> None:
    """pandas is of the references."""
    pytest.importorskip("pandas")
    other = tmp_path / "step_9.pt"
    shutil.copy(file, other)
    done = lstm_audit.patch(other, 1.0)
    assert list(done.to_dataframe().after) == [1.0] * 12
    assert list(lstm_audit.diff(file, other).to_dataframe().changed) == [True, True]
    assert len(lstm_audit.trend(tmp_path).to_dataframe()) == 4
    assert len(lstm_audit.check(FLAWED / "LA101").to_dataframe("findings")) > 0


@pytest.mark.parametrize("form", ["mapping", "path", "text"])
def test_audit_takes_every_form_of_a_policy(form: str, tmp_path: Path) -> None:
    config = tmp_path / "own.toml"
    config.write_text('ignore = ["LA1"]\n')
    given = {"mapping": {"ignore": ["LA1"]}, "path": config, "text": str(config)}[form]
    assert "LA101" in {finding.code for finding in lstm_audit.audit(DOUBLED).findings}
    found = lstm_audit.audit(DOUBLED, policy=given)  # type: ignore[arg-type]  # one of three forms
    assert "LA101" not in {finding.code for finding in found.findings}
