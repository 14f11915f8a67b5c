"""Python has what the command has: each option's keyword, or the reason why it has none; baselines,
fixes and SARIF from Python, the same bytes as the command's.
"""

import inspect
import json
import pickle
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from command import DOUBLED, run
from torch import nn

import lstm_audit
from lstm_audit.cli.options import FORMS
from lstm_audit.errors import BadPolicy
from lstm_audit.result import Result

# ---- the table

TO = "Result.to(format, …) gives the text; a caller writes it where it likes"
RETURNED = "it is returned, and nothing is printed"
DECIDED = "the caller decides what a verdict means"

# What has no keyword of its own name: another name, or (in brackets) why there is none.
SHARED: Mapping[str, str] = {
    "paths": "target",
    "config": "policy",
    "no_config": "[a policy is what the caller gives: no file is looked for]",
    "format_name": f"[{TO}]",
    "as_json": f"[{TO}]",
    "output": f"[{TO}]",
    "reports": f"[{TO}]",
    "color": "[to(…, color=True)]",
    "quiet": "[to(…, quiet=True)]",
    "verbose": "[to(…, verbose=True)]",
    "statistics": "[to(…, statistics=True)]",
    "show_ignored": f"[Audit.ignored_paths: {RETURNED}]",
    "dask": "executor",
    "resume": "[a run from Python keeps its results where it likes; the command streams them]",
    "exit_zero": f"[{DECIDED}]",
    "diff": "dry_run",
}
OWN: Mapping[str, Mapping[str, str]] = {
    "audit": {"no_init": "numbers_only", "verify": "policy"},
    "lint": {
        "stdin_filename": "[a text has no file]",
        "show_unjudged": f"[LintAudit.unjudged: {RETURNED}]",
        "select": "policy",
        "ignore": "policy",
        "fail_on": "policy",
    },
    "patch": {
        "config": "policy",
        "no_couple": "couple",
        "check": "dry_run",
        "output": "output",
        "no_undo": "undo",
        "pages": f"[{TO}]",
    },
    "diff": {"a": "a", "b": "b", "diff_format": f"[{TO}]",
             "fail_on_change": f"[{DECIDED}: a Comparison is true when something differs]"},
    "trend": {
        "config": "[bounds are drawn by the page alone]",
        "trend_format": f"[{TO}]",
        **{row.name: "[bounds are drawn by the page alone]" for row in FORMS["trend"].options
           if row.name.startswith(("forget", "tolerance", "min_", "max_"))},
    },
    "rules": {"codes": "word"},
    "explain": {"code": "word"},
    "presets": {"names": "name"},
}  # fmt: skip

# Commands that are a function of another name, or none.
FUNCTIONS: Mapping[str, str] = {
    "rules": "explain",
    "config": "[print(load_policy(…)) and Checked.policy say the policy]",
    "schema": "[a document: `lstm-audit schema report` prints it]",
}


@pytest.mark.parametrize("command", FORMS)
def test_each_option_has_its_keyword_or_a_reason(command: str) -> None:
    name = FUNCTIONS.get(command, command)
    if name.startswith("["):
        assert not hasattr(lstm_audit, command)
        return
    keywords = inspect.signature(getattr(lstm_audit, name)).parameters
    form = FORMS[command]
    table = {**SHARED, **OWN.get(command, {})}
    for row in (*form.arguments, *form.options):
        counterpart = row.name if row.name in keywords else table.get(row.name, "")
        assert counterpart, f"{command} {row.name}: from Python it is missing"
        assert counterpart.startswith("[") or counterpart in keywords, f"{command} {row.name}"


def test_the_table_names_no_option_that_is_gone() -> None:
    there = {row.name for form in FORMS.values() for row in (*form.arguments, *form.options)}
    assert {*SHARED, *(name for own in OWN.values() for name in own)} <= there
    assert {*OWN, *FUNCTIONS} <= {*FORMS}


def test_every_format_of_the_command_is_one_of_python(tmp_path: Path) -> None:
    shutil.copy(DOUBLED, tmp_path / "model.pt")
    checked = lstm_audit.check(tmp_path / "model.pt")
    (formats,) = (row.choices() for row in FORMS["check"].options if row.name == "format_name")
    for name in formats:
        assert checked.to(name)
    assert set(inspect.signature(Result.to).parameters) >= {
        "color",
        "quiet",
        "verbose",
        "statistics",
    }


# ---- sarif


@pytest.mark.parametrize("how", ["audit", "check"])
def test_sarif_from_python_carries_the_bytes_of_the_fixes(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DOUBLED, tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    ours = json.loads(getattr(lstm_audit, how)("model.pt").to("sarif"))
    theirs = json.loads(run(how, "-f", "sarif", "--no-config", "model.pt").stdout)
    results = [document["runs"][0]["results"] for document in (ours, theirs)]
    assert results[0] == results[1]
    (fixed,) = [result for result in results[0] if "fixes" in result]
    assert fixed["ruleId"] == "LA101"


def test_sarif_of_a_live_model_has_no_bytes() -> None:
    lstm = nn.LSTM(3, 5)
    nn.init.ones_(lstm.bias_ih_l0)
    nn.init.ones_(lstm.bias_hh_l0)
    assert "fixes" not in lstm_audit.audit(lstm).to("sarif").replace("fixesUri", "")


# ---- fixes


@pytest.fixture
def doubled(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt"
    shutil.copy(DOUBLED, path)
    return path


def test_check_fixes_what_the_command_fixes(doubled: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.pt"
    shutil.copy(DOUBLED, other)
    assert run("check", "--no-config", "--fix", other).exit_code == 0
    checked = lstm_audit.check(doubled, fix=True)
    assert checked.passed
    assert checked.patched.changed
    assert doubled.read_bytes() == other.read_bytes() != DOUBLED.read_bytes()
    assert "→" in str(checked.patched)
    assert pickle.loads(pickle.dumps(checked)).patched == checked.patched
    lstm_audit.undo(doubled)
    assert doubled.read_bytes() == DOUBLED.read_bytes()


def test_check_under_dry_run_writes_nothing_and_says_what_would_be(doubled: Path) -> None:
    checked = lstm_audit.check(doubled, fix=True, dry_run=True)
    assert not checked.passed
    assert checked.patched
    assert not checked.patched.changed
    assert doubled.read_bytes() == DOUBLED.read_bytes()
    assert [path.name for path in doubled.parent.iterdir()] == ["model.pt"]


def test_unsafe_fixes_overwrite_what_was_learned(tmp_path: Path) -> None:
    torch.manual_seed(3)
    lstm = nn.LSTM(4, 64)
    drift = torch.randn(256) * 0.3
    with torch.no_grad():
        lstm.bias_ih_l0 += drift
        lstm.bias_hh_l0 += drift
    path = tmp_path / "model.pt"
    torch.save(lstm.state_dict(), path)
    before = path.read_bytes()
    assert not lstm_audit.check(path, forget_bias=1, fix=True).patched
    assert path.read_bytes() == before
    assert lstm_audit.check(path, forget_bias=1, unsafe_fixes=True).passed
    assert lstm_audit.audit(path)[0].measures.gates["f"].mean == 1


def test_a_fix_that_is_refused_is_said(doubled: Path) -> None:
    doubled.chmod(0o444)
    checked = lstm_audit.check(doubled, fix=True)
    assert not checked.passed
    assert [(one.path, bool(one.message)) for one in checked.refused] == [(str(doubled), True)]
    assert doubled.read_bytes() == DOUBLED.read_bytes()


def test_keywords_that_mean_nothing_together_are_refused(doubled: Path) -> None:
    for keywords in ({"dry_run": True}, {"update_baseline": True}):
        with pytest.raises(BadPolicy):
            lstm_audit.check(doubled, **keywords)
        with pytest.raises(BadPolicy):
            lstm_audit.lint(doubled, **keywords)
    with pytest.raises(BadPolicy, match=r"lstm_audit\.patch"):
        lstm_audit.check(nn.LSTM(2, 3), fix=True)


# ---- baselines


def test_a_baseline_is_that_of_the_command(doubled: Path) -> None:
    ours, theirs = doubled.with_name("ours.json"), doubled.with_name("theirs.json")
    assert not lstm_audit.check(doubled)
    assert (
        run("check", "--no-config", "--baseline", theirs, "--update-baseline", doubled).exit_code
        == 0
    )
    updated = lstm_audit.check(doubled, baseline=ours, update_baseline=True)
    assert updated.passed
    assert [finding.code for finding in updated.accepted] == ["LA101"]
    assert ours.read_bytes() == theirs.read_bytes()
    held = lstm_audit.check(doubled, baseline=ours)
    assert held.passed
    assert held.audit.findings == ()
    assert [finding.code for finding in held.accepted] == ["LA101"]
    assert held.stale == ()


def test_a_baseline_that_holds_for_nothing_is_stale(doubled: Path) -> None:
    baseline = doubled.with_name("known.json")
    lstm_audit.check(doubled, baseline=baseline, update_baseline=True)
    lstm_audit.patch(doubled, 1.5)
    assert lstm_audit.check(doubled, baseline=baseline).stale == ("LA101:model.pt:encoder:l0",)


def test_a_fix_leaves_alone_what_the_baseline_accepts(doubled: Path) -> None:
    baseline = doubled.with_name("known.json")
    lstm_audit.check(doubled, baseline=baseline, update_baseline=True)
    checked = lstm_audit.check(doubled, baseline=baseline, fix=True)
    assert checked.passed
    assert not checked.patched
    assert doubled.read_bytes() == DOUBLED.read_bytes()


# ---- lint

SOURCE = """import torch
from torch import nn

lstm = nn.LSTM(4, 8)
for name, bias in lstm.named_parameters():
    if "bias" in name:
        nn.init.zeros_(bias)
        bias.data[8:16].fill_(1.0)
"""


def test_lint_fixes_what_the_command_fixes(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "model.py", tmp_path / "other.py"
    for path in (ours, theirs):
        path.write_text(SOURCE)
    assert lstm_audit.lint(ours).findings
    shown = lstm_audit.lint(ours, fix=True, unsafe_fixes=True, dry_run=True)
    assert ours.read_text() == SOURCE
    assert shown.findings
    assert "+" in shown.mended[0].diff
    run("lint", "--no-config", "--fix", "--unsafe-fixes", theirs)
    done = lstm_audit.lint(ours, fix=True, unsafe_fixes=True)
    assert done.findings == ()
    assert ours.read_text() == theirs.read_text() != SOURCE
    assert pickle.loads(pickle.dumps(done)).mended == done.mended


def test_lint_of_a_text_shows_its_fix(tmp_path: Path) -> None:
    (mended,) = lstm_audit.lint(SOURCE, unsafe_fixes=True, dry_run=True).mended
    assert mended.diff.startswith("--- a/<source>")
    with pytest.raises(BadPolicy, match="dry_run"):
        lstm_audit.lint(SOURCE, fix=True)


def test_lint_leaves_out_and_accepts(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SOURCE)
    (tmp_path / "old.py").write_text(SOURCE)
    found = lstm_audit.lint(tmp_path, exclude="old.py")
    assert {Path(finding.path).name for finding in found.findings} == {"model.py"}
    baseline = tmp_path / "known.json"
    assert lstm_audit.lint(tmp_path, baseline=baseline, update_baseline=True).findings == ()
    assert lstm_audit.lint(tmp_path, baseline=baseline).findings == ()
    assert lstm_audit.lint(tmp_path).findings


def test_lint_says_what_it_could_not_follow(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "from torch import nn\n\n\ndef build(kind):\n    lstm = nn.LSTM(3, 5)\n"
        "    for name, p in lstm.named_parameters():\n        if kind(name):\n"
        "            p.data.fill_(1)\n    return lstm\n"
    )
    linted = lstm_audit.lint(path)
    said = run("lint", "--no-config", "--show-unjudged", path).stderr.splitlines()
    assert len(linted.unjudged) == len(said) == 1
    assert linted.unjudged[0][1].reason in said[0]
    assert isinstance(linted, lstm_audit.Audit)
