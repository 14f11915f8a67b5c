"""`check --fix`, `--unsafe-fixes` and `--diff`: findings mended by patches with undo records."""

import errno
import json
import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

import lstm_audit
from lstm_audit.cli.group import group
from lstm_audit.facts import Finding
from lstm_audit.fixing import choose_fixes, replacements_of

FLAWED = Path(__file__).parents[2] / "fixtures" / "flawed"


def run(*words: object) -> Any:
    return CliRunner().invoke(group, ["check", "--no-config", *(str(word) for word in words)])


@pytest.fixture
def doubled(tmp_path: Path) -> Path:
    """A fresh model with 1 in both halves: LA101, and nothing learned in it."""
    torch.manual_seed(0)
    lstm = nn.LSTM(3, 8)
    with torch.no_grad():
        lstm.bias_ih_l0[8:16] = lstm.bias_hh_l0[8:16] = 1.0
    path = tmp_path / "doubled.safetensors"
    save_file(lstm.state_dict(), path)
    return path


def mean(path: Path) -> float:
    return lstm_audit.audit(path).rows[0].measures.gates["f"].mean


def test_a_safe_fix_is_a_patch_with_its_undo_record(doubled: Path) -> None:
    before = doubled.read_bytes()
    assert run(doubled).exit_code == 1
    assert doubled.read_bytes() == before
    done = run("--fix", doubled)
    assert done.exit_code == 0, done.output
    assert "undo record" in done.stderr
    assert "LA101" not in done.stdout
    assert mean(doubled) == 1.0
    assert CliRunner().invoke(group, ["undo", str(doubled)]).exit_code == 0
    assert doubled.read_bytes() == before


@pytest.fixture
def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three doubled LSTMs, two of them with 1, and one with 2."""
    torch.manual_seed(0)
    model = nn.ModuleDict({name: nn.LSTM(3, 8) for name in "abc"})
    with torch.no_grad():
        for value, lstm in zip((1.0, 1.0, 2.0), model.values(), strict=True):
            lstm.bias_ih_l0[8:16] = lstm.bias_hh_l0[8:16] = value
    monkeypatch.chdir(tmp_path)
    path = Path("several.safetensors")
    save_file(model.state_dict(), path)
    return path


def fix_lines(text: str) -> list[list[str]]:
    """The words of each fix of a table, folded lines joined."""
    lines = text.replace(" \\\n", " ").splitlines()
    return [shlex.split(line)[1:] for line in lines if line.strip().startswith("fix:")]


@pytest.mark.parametrize("report", ["table", "markdown", "github", "html"])
def test_a_fix_that_is_shown_leaves_alone_what_was_left_out(several: Path, report: str) -> None:
    words = ["audit", "--no-config", "--layers", "a", "-f", report, str(several)]
    text = CliRunner().invoke(group, words).stdout.replace(" \\\n", " ")
    assert re.search(r"patch \S+\s+--forget-bias\s+1\s+--layers\s+a:l0", text)


def test_one_command_for_findings_that_need_several_values(several: Path) -> None:
    shown = CliRunner().invoke(group, ["audit", "--no-config", str(several)]).stdout
    (words,) = fix_lines(shown)
    assert words[1:2] == ["check"]
    done = CliRunner().invoke(group, words[1:])
    assert done.exit_code == 0, done.output
    assert [row.measures.gates["f"].mean for row in lstm_audit.audit(several)] == [1.0, 1.0, 2.0]


def test_a_long_path_is_not_cut_in_a_command(several: Path) -> None:
    """What is copied from a terminal of 80 columns names the file."""
    path = Path("an experiment" * 4) / ("of_many_words_" * 5) / "model.safetensors"
    path.parent.mkdir(parents=True)
    several.rename(path)
    (words,) = fix_lines(CliRunner().invoke(group, ["audit", "--no-config", str(path)]).stdout)
    assert str(path) in words


def test_one_command_for_some_of_a_file(several: Path) -> None:
    limit = ["audit", "--no-config", "--layers", "b", "--layers", "c"]
    (words,) = fix_lines(CliRunner().invoke(group, [*limit, str(several)]).stdout)
    assert CliRunner().invoke(group, words[1:]).exit_code == 0
    assert [row.measures.gates["f"].mean for row in lstm_audit.audit(several)] == [2.0, 1.0, 2.0]


def test_a_second_run_has_nothing_left_to_mend(doubled: Path) -> None:
    run("--fix", doubled)
    once = doubled.read_bytes()
    again = run("--fix", doubled)
    assert (again.exit_code, again.stderr) == (0, "")
    assert doubled.read_bytes() == once


def test_diff_shows_and_writes_nothing(doubled: Path) -> None:
    before = doubled.read_bytes()
    done = run("--diff", "--fail-on", "never", doubled)
    assert done.exit_code == 1
    assert "bias 2 → 1" in done.stdout
    assert "+ 00 00 00 00" in done.stdout
    assert doubled.read_bytes() == before
    assert [path.name for path in doubled.parent.iterdir()] == [doubled.name]
    machine = run("--diff", "-f", "json", doubled)
    assert json.loads(machine.stdout)["summary"]["findings"]["error"] == 1
    assert "bias 2 → 1" in machine.stderr


def test_what_was_learned_is_overwritten_only_on_demand(doubled: Path) -> None:
    policy = ("--forget-bias", "3", "--select", "LA201")
    run("--fix", *policy, doubled)
    assert mean(doubled) == 3.0
    state = {name: tensor * 1.5 for name, tensor in nn.LSTM(3, 8).state_dict().items()}
    save_file(state, doubled)
    before = doubled.read_bytes()
    refused = run("--fix", *policy, doubled)
    assert (refused.exit_code, doubled.read_bytes()) == (1, before)
    assert run("--unsafe-fixes", *policy, doubled).exit_code == 0
    assert mean(doubled) == 3.0


def test_the_policy_wins_over_a_rule(doubled: Path) -> None:
    assert run("--fix", "--forget-bias", "1.5", doubled).exit_code == 0
    assert mean(doubled) == 1.5


def test_one_fix_an_lstm(doubled: Path) -> None:
    findings = lstm_audit.check(doubled, forget_bias=1.5).audit.findings
    assert {finding.code for finding in findings} >= {"LA101", "LA201"}
    (fix,) = choose_fixes(findings, unsafe=True)
    assert fix.target.values == (1.5,)


def test_what_a_baseline_accepts_is_not_mended(doubled: Path, tmp_path: Path) -> None:
    before = doubled.read_bytes()
    baseline = tmp_path / "known.json"
    run("--baseline", baseline, "--update-baseline", doubled)
    assert run("--baseline", baseline, "--fix", doubled).exit_code == 0
    assert doubled.read_bytes() == before


def test_a_fix_that_is_refused_is_said_and_the_finding_stays(doubled: Path) -> None:
    doubled.chmod(0o444)
    done = run("--fix", doubled)
    assert done.exit_code == 1
    assert "refused: it is read-only" in done.stderr
    assert "LA101" in done.stdout


@pytest.mark.parametrize("path", sorted(FLAWED.glob("LA10[1-7]/*.*")), ids=lambda p: p.name)
def test_fixes_of_the_flawed_leave_nothing_of_their_rule(path: Path, tmp_path: Path) -> None:
    if path.name.endswith(".json") or "-of-" in path.name:
        pytest.skip("a part of a checkpoint")
    copy = tmp_path / path.name
    shutil.copy(path, copy)
    code = path.parent.name
    fixable = [f for f in lstm_audit.audit(copy).findings if f.fix and f.code == code]
    run("--unsafe-fixes", "--select", code, "--fail-on", "never", copy)
    left = {f.address for f in lstm_audit.audit(copy).findings if f.code == code}
    assert not left & {finding.address for finding in fixable}


def test_replacements_are_planned_from_one_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fixes of a file cost what reading it once costs, whatever their number."""
    from lstm_audit.patching import checkpoint

    state = {}
    for k in range(20):
        lstm = nn.LSTM(3, 8)
        with torch.no_grad():
            lstm.bias_ih_l0[8:16] = lstm.bias_hh_l0[8:16] = 1.0
        state |= {f"m{k}.{name}": tensor.detach() for name, tensor in lstm.state_dict().items()}
    save_file(state, tmp_path / "many.safetensors")
    audit = lstm_audit.audit(tmp_path / "many.safetensors")
    read, real = list[object](), checkpoint.read_values
    monkeypatch.setattr(checkpoint, "read_values", lambda lstm: (read.append(lstm), real(lstm))[1])
    planned = replacements_of(audit)
    assert len(planned) == 20
    assert len(read) == 20
    assert all(isinstance(finding, Finding) for finding in audit.findings)


def test_two_conventions_at_one_address_are_told_apart(tmp_path: Path) -> None:
    """A fix of the one leaves the other as it is."""
    from lstm_audit.reports.remedies import commands

    path = tmp_path / "two.safetensors"
    h, zeros = 4, torch.zeros
    state = {
        "m.weight_ih_l0": torch.randn(4 * h, 3), "m.weight_hh_l0": torch.randn(4 * h, h),
        "m.bias_ih_l0": zeros(4 * h), "m.bias_hh_l0": zeros(4 * h),
        "m.Wx": torch.randn(4 * h, 3), "m.Wh": torch.randn(4 * h, h), "m.bias": zeros(4 * h),
    }  # fmt: skip
    save_file(state, path)
    rows = lstm_audit.audit(path).rows
    assert [row.lstm.address for row in rows] == ["m:l0", "m:l0"]
    findings = [f for f in lstm_audit.audit(path).findings if f.code == "LA107"]
    assert len(findings) == 2
    (command,) = commands(str(path), [findings[0].fix])
    assert CliRunner().invoke(group, command.words[1:]).exit_code == 0
    means = sorted(row.measures.gates["f"].mean for row in lstm_audit.audit(path).rows)
    assert means == [0.0, 1.0]


@pytest.mark.parametrize("fail_on", ["error", "never"])
def test_a_disk_that_fails_under_a_fix_is_no_verdict(
    fail_on: str, doubled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the findings come to: what was asked for was not done."""

    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    before = doubled.read_bytes()
    done = run("--fix", "--fail-on", fail_on, doubled)
    assert done.exit_code == 3
    assert "refused: Input/output error" in done.stderr
    with pytest.raises(lstm_audit.Unreadable, match="Input/output error"):
        lstm_audit.check(doubled, {"fail-on": fail_on}, fix=True)
    assert doubled.read_bytes() == before
