"""The command `lint`, its formats, suppression, fixes, and what comes around it."""

import ast
import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from command import CLEAN, run

import lstm_audit
from lstm_audit.errors import BadPolicy, MalformedFile
from lstm_audit.flake8_plugin import Plugin
from lstm_audit.policy.model import Policy
from lstm_audit.source.files import find_sources
from lstm_audit.source.mend import mend_text
from lstm_audit.source.runs import LintRequest, lint_paths

DOUBLED = """\
import torch.nn as nn

class Net(nn.Module):
    def __init__(self, h=64):
        super().__init__()
        self.lstm = nn.LSTM(10, h)
        for name, p in self.lstm.named_parameters():
            if "bias" in name:
                p.data[h:2 * h].fill_(1.0)
"""
RIGHT = DOUBLED.replace("fill_(1.0)", 'fill_(1.0 if "bias_ih" in name else 0.0)')
REQUEST = LintRequest(Policy().having("require-lstm", False))


def said(source: str) -> list[tuple[str, int | None]]:
    """Codes and lines of a text."""
    return [(f.code, f.line) for f in lstm_audit.lint(source).findings]


# ---- the command


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("doubled.py", DOUBLED, 1),
        ("right.py", RIGHT, 0),
        ("plain.py", "x = 1\n", 0),
        ("broken.py", "LSTM = (\n", 3),
        ("python2.py", "print 'LSTM'\n", 3),
        ("nulls.py", "LSTM = 1\0\n", 3),
    ],
)
def test_exit_codes(tmp_path: Path, name: str, text: str, code: int) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert run("lint", str(path)).exit_code == code


def test_a_folder_without_sources_is_empty(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("LSTM")
    assert run("lint", str(tmp_path)).exit_code == 4
    assert run("lint", str(tmp_path / "missing")).exit_code == 2


def test_json_has_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(DOUBLED)
    report = json.loads(run("lint", "-f", "json", str(path)).stdout)
    (finding,) = report["files"][0]["findings"]
    assert report["files"][0]["format"] == "python"
    assert (finding["code"], finding["line"], finding["column"]) == ("LA101", 9, 17)
    assert (finding["module"], finding["fix"]) == ("Net.lstm", None)


def test_annotations_and_regions_stand_at_the_line(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(DOUBLED)
    assert ",line=9,col=17::" in run("lint", "-f", "github", str(path)).stdout
    sarif = json.loads(run("lint", "-f", "sarif", str(path)).stdout)
    (result,) = sarif["runs"][0]["results"]
    assert result["locations"][0]["physicalLocation"]["region"]["startLine"] == 9


@pytest.mark.parametrize("form", ["table", "csv", "jsonl", "junit", "markdown", "html"])
def test_every_format_is_written(tmp_path: Path, form: str) -> None:
    path = tmp_path / "net.py"
    path.write_text(DOUBLED)
    assert run("lint", "-f", form, str(path)).exit_code == 1


def test_csv_and_jsonl_have_a_line_for_each_finding(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(DOUBLED)
    (row,) = csv.DictReader(io.StringIO(run("lint", "-f", "csv", str(path)).stdout))
    (line,) = map(json.loads, run("lint", "-f", "jsonl", str(path)).stdout.splitlines())
    for found in (row, line):
        place = found["path"], found["code"], str(found["line"]), str(found["column"])
        assert place == (str(path), "LA101", "9", "17")
        assert found["message"].startswith(lstm_audit.lint(DOUBLED).findings[0].message[:30])
    path.write_text("LSTM = 1")
    assert run("lint", "-f", "csv", str(path)).stdout == ",".join(row) + "\n"
    assert run("lint", "-f", "jsonl", str(path)).stdout == ""


def test_a_folder_that_names_no_lstm_says_so(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1")
    assert run("lint", str(tmp_path)).stdout == "no LSTM in 2 sources\n"
    (tmp_path / "net.py").write_text(DOUBLED)
    assert "1 source · 1 error · 2 other files ignored" in run("lint", str(tmp_path)).stdout


def test_standard_input_has_a_name() -> None:
    command = [sys.executable, "-m", "lstm_audit", "lint", "-f", "json", "--stdin-filename", "a.py"]
    done = subprocess.run(
        [*command, "-"], input=DOUBLED, capture_output=True, text=True, check=False
    )
    assert json.loads(done.stdout)["files"][0]["path"] == "a.py"
    assert done.returncode == 1


def test_policy_and_baseline(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(DOUBLED)
    assert run("lint", "--ignore", "LA101", str(path)).exit_code == 0
    assert run("lint", "--fail-on", "never", str(path)).exit_code == 0
    known = str(tmp_path / "known.json")
    assert run("lint", "--baseline", known, "--update-baseline", str(path)).exit_code == 0
    assert run("lint", "--baseline", known, str(path)).exit_code == 0


def test_defaults_are_only_said_when_asked(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("import torch.nn as nn\nlstm = nn.LSTM(4, 64)\n")
    assert "LA108" not in run("lint", "-f", "json", str(path)).stdout
    assert "LA108" in run("lint", "-f", "json", "--select", "LA108", str(path)).stdout


def test_unjudged_is_counted_and_shown_on_request(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text("import torch.nn as nn\nimport mine\nlstm = nn.LSTM(4, 64)\nmine.init(lstm)\n")
    done = run("lint", str(path))
    assert done.exit_code == 0
    assert "1 place could not be followed" in done.stderr
    assert f"{path}:4: lstm" in run("lint", "--show-unjudged", str(path)).stderr


def test_gitignore_is_honoured(tmp_path: Path) -> None:
    for name in ("kept.py", "build/made.py", "a/skipped.py", "a/b.gen.py", "a/keep.gen.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(DOUBLED)
    (tmp_path / ".gitignore").write_text("build/\n*.gen.py\n!keep.gen.py\n/a/skipped.py\n")
    found = {
        Path(one.path).relative_to(tmp_path).as_posix() for one in find_sources([str(tmp_path)])
    }
    assert found == {"kept.py", "a/keep.gen.py"}


# ---- suppression, notebooks, Markdown


@pytest.mark.parametrize(
    ("comment", "silent"),
    [
        ("# noqa", True),
        ("# noqa: LA101", True),
        ("# noqa: E501, LA1", True),
        ("# noqa: LA102", False),
        ("# nothing", False),
    ],
)
def test_noqa(comment: str, silent: bool) -> None:
    assert said(DOUBLED.replace("fill_(1.0)", f"fill_(1.0)  {comment}")) == (
        [] if silent else [("LA101", 9)]
    )


def test_notebooks_have_cells(tmp_path: Path) -> None:
    cells = ["import torch.nn as nn\nl = nn.LSTM(4, 8)", "%%bash\nls", "this is no Python",
             "%time\nfor n, p in l.named_parameters():\n    if 'bias' in n:\n        p.data[8:16] = 1"]  # fmt: skip
    book = {"nbformat": 4, "cells": [{"cell_type": "code", "source": cell} for cell in cells]}
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(book))
    (finding,) = lstm_audit.lint(path).findings
    assert (finding.code, finding.cell, finding.line) == ("LA101", 4, 4)
    path.write_text("{} LSTM")
    assert lstm_audit.lint(path).errors[0].kind == "malformed"


def test_markdown_blocks_keep_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"# An LSTM\n\n```python\n{DOUBLED}```\n\n```sh\nls\n```\n")
    (finding,) = lstm_audit.lint([tmp_path], markdown=True).findings
    assert finding.line == 12
    assert not lstm_audit.lint([tmp_path]).files


# ---- from Python, flake8


def test_a_text_is_linted_as_it_is() -> None:
    assert said(DOUBLED) == [("LA101", 9)]
    with pytest.raises(MalformedFile, match="line 1"):
        lstm_audit.lint("LSTM (\n")
    with pytest.raises(BadPolicy):
        lstm_audit.lint("no/such/file.py")


def test_flake8_gets_lines_and_columns() -> None:
    plugin = Plugin(ast.parse(DOUBLED), "net.py", DOUBLED.splitlines(keepends=True))
    ((line, column, text, kind),) = plugin.run()
    assert (line, column, text[:5], kind) == (9, 16, "LA101", Plugin)


def test_imports_among_the_given_paths_are_followed(tmp_path: Path) -> None:
    (tmp_path / "inits.py").write_text(
        "def forget(lstm):\n    for n, p in lstm.named_parameters():\n"
        "        if 'bias' in n:\n            p.data[8:16] = 1\n"
    )
    (tmp_path / "net.py").write_text(
        "from torch import nn\nfrom inits import forget\nlstm = nn.LSTM(4, 8)\nforget(lstm)\n"
    )
    findings = lstm_audit.lint(tmp_path).findings
    assert {(Path(f.path).name, f.code, f.line) for f in findings} == {("inits.py", "LA101", 4)}
    assert not lstm_audit.lint(tmp_path / "net.py").findings


def test_jobs_change_nothing(tmp_path: Path) -> None:
    for n in range(50):
        (tmp_path / f"m{n}.py").write_text(DOUBLED if n % 2 else RIGHT)
    alone = lint_paths([str(tmp_path)], REQUEST).audit
    assert lint_paths([str(tmp_path)], REQUEST._replace(jobs=2)).audit == alone
    assert len(alone.findings) == 25


# ---- the rules of source

OVERWRITTEN = """\
import torch.nn as nn

class Net(nn.Module):
    def __init__(self, h=64):
        super().__init__()
        self.lstm = nn.LSTM(10, h)
        self.lstm.bias_ih_l0.data[h:2 * h].fill_(1)
        {}

    def init(self):
        for p in self.parameters():
            nn.init.uniform_(p, -0.1, 0.1)
"""


def test_la501_stands_at_the_write_that_wiped() -> None:
    assert said(OVERWRITTEN.format("self.init()")) == [("LA501", 12)]
    assert said(OVERWRITTEN.format("self.lstm.reset_parameters()")) == [("LA501", 8)]
    assert [code for code, _ in said(OVERWRITTEN.format("pass"))] == ["LA104"]
    again = "self.init(); self.lstm.bias_ih_l0.data[h:2 * h].fill_(1)"
    assert "LA501" not in [code for code, _ in said(OVERWRITTEN.format(again))]


UNCALLED = """\
import torch.nn as nn

class Net(nn.Module):
    def __init__(self, h=64):
        super().__init__()
        self.h = h
        self.lstm = nn.LSTM(10, h)
        {}

    def init_forget(self):
        self.lstm.bias_ih_l0.data[self.h:2 * self.h] = 1
        self.lstm.bias_hh_l0.data[self.h:2 * self.h] = 0

    def forward(self, x):
        return self.lstm(x)
"""


def test_la502_stands_at_the_function() -> None:
    assert said(UNCALLED.format("pass")) == [("LA502", 10)]
    assert said(UNCALLED.format("self.init_forget()")) == []


def test_what_a_foreign_call_may_have_set_is_no_uncalled_initialiser() -> None:
    source = (
        UNCALLED.format("pass")
        .replace("init_forget(self)", "step(self)")
        .replace(
            "self.lstm.bias_ih_l0.data[self.h:2 * self.h] = 1", "import mine; mine.go(self.lstm)"
        )
    )
    assert said(source) == []


def test_sizes_that_are_open_are_said() -> None:
    (finding,) = lstm_audit.lint(DOUBLED.replace("h=64", "h")).findings
    assert "leaves hidden_size open" in finding.message
    (finding,) = lstm_audit.lint(DOUBLED).findings
    assert "open" not in finding.message


SUBSTRING = """\
import torch.nn as nn

lstm = nn.LSTM(10, 32, {})
for i in range({}):
    for name, p in lstm.named_parameters():
        if f"bias_ih_l{{i}}" in name:
            p.data[32:64] = 1.0
        if f"bias_hh_l{{i}}" in name:
            p.data[32:64] = 0.0
"""


def test_la503_is_an_error_where_it_hits_another_layer() -> None:
    def severities(layers: int) -> dict[int | None, str]:
        findings = lstm_audit.lint(SUBSTRING.format(layers, layers)).findings
        return {f.line: f.severity for f in findings if f.code == "LA503"}

    assert severities(1) == {}
    assert severities(3) == {6: "warning", 8: "warning"}
    assert severities(12) == {6: "error", 8: "error"}
    (one, _) = [f for f in lstm_audit.lint(SUBSTRING.format(3, 3)).findings if f.code == "LA503"]
    assert "l20, l21 and l2_reverse, too" in one.message


def test_a_helper_is_judged_on_any_lstm() -> None:
    helper = "def init(lstm):\n" + "".join(DOUBLED.splitlines(keepends=True)[6:]).replace(
        "self.lstm", "lstm"
    ).replace("h:2 * h", "p.size(0) // 4:p.size(0) // 2").replace("        for", "    for")
    assert [code for code, _ in said(helper)] == ["LA101"]


def test_a_gate_of_the_configuration_is_said() -> None:
    source = DOUBLED.replace("h=64", "h, both").replace('"bias" in name', '"bias" in name and both')
    source = DOUBLED.replace("def __init__(self, h=64)", "def __init__(self, cfg, h=64)").replace(
        "        for name", "        if not cfg.forget:\n            return\n        for name"
    )
    (finding,) = lstm_audit.lint(source).findings
    assert finding.code == "LA101"
    assert finding.message.startswith("unless `not cfg.forget`")


# ---- fixes


def test_a_loop_with_the_name_is_mended_by_a_condition() -> None:
    assert mend_text(DOUBLED, "net.py", REQUEST) == (RIGHT, 1)


def test_a_direct_write_is_mended_by_zero() -> None:
    source = "from torch import nn\nl = nn.LSTM(4, 8)\nl.bias_ih_l0.data[8:16] = 1  # one\n"
    mended, count = mend_text(source + "l.bias_hh_l0.data[8:16] = 1\n", "net.py", REQUEST)
    assert mended == source + "l.bias_hh_l0.data[8:16] = 0.0\n"
    assert count == 1


def test_a_random_half_is_zeroed_behind_the_write() -> None:
    source = "from torch import nn\nl = nn.LSTM(4, 64)\nl.bias_hh_l0.data[64:128] = 3\n"
    mended, _ = mend_text(source, "net.py", REQUEST)
    assert mended == source + "l.bias_ih_l0.data[64:128] = 0.0\n"


def test_what_needs_a_decision_is_never_mended() -> None:
    source = "from torch import nn\nl = nn.LSTM(4, 64)\nl.bias_ih_l0.data[128:192] = 1\n"
    assert mend_text(source, "net.py", REQUEST, unsafe=True) == (source, 0)


def test_encoding_and_line_ends_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    head = (
        b"# -*- coding: latin-1 -*-\r\n# caf\xe9\r\nfrom torch import nn\r\nl = nn.LSTM(4, 8)\r\n"
    )
    path.write_bytes(head + b"l.bias_ih_l0.data[8:16] = 1\r\nl.bias_hh_l0.data[8:16] = 1\r\n")
    path.chmod(0o640)
    assert run("lint", "--fix", str(path)).exit_code == 0
    assert path.read_bytes() == (
        head + b"l.bias_ih_l0.data[8:16] = 1\r\nl.bias_hh_l0.data[8:16] = 0.0\r\n"
    )
    assert path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]


def test_diff_shows_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(DOUBLED)
    done = run("lint", "--diff", str(path))
    assert done.exit_code == 1
    assert (
        '+                p.data[h:2 * h].fill_(1.0 if "bias_ih" in name else 0.0)' in done.stdout
    )
    assert path.read_text() == DOUBLED
    path.write_text(RIGHT)
    assert run("lint", "--diff", str(path)).exit_code == 0


LIGHTNING = """\
import pytorch_lightning as pl
from torch import nn

class Lit(pl.LightningModule):
    def __init__(self, hidden_size=64):
        super().__init__()
        self.save_hyperparameters()
        self.rnn = nn.LSTM(10, self.hparams.hidden_size)
        self.apply(self.start)

    def start(self, m):
        if isinstance(m, nn.LSTM):
            for n, p in m.named_parameters():
                if "bias" in n:
                    p.data[p.size(0) // 4 : p.size(0) // 2] = 1

if __name__ == "__main__":
    pl.Trainer().fit(Lit(), None)
"""


def test_a_lightning_module_is_judged_before_the_trainer_has_it() -> None:
    assert said(LIGHTNING) == [("LA101", 15)]


def test_transformers_initialise_each_module() -> None:
    source = (
        "from transformers import PreTrainedModel\nfrom torch import nn\n"
        "class M(PreTrainedModel):\n    def __init__(self, config):\n"
        "        super().__init__(config)\n        self.lstm = nn.LSTM(config.d, config.h)\n"
        "        self.post_init()\n    def _init_weights(self, module):\n"
        "        if isinstance(module, nn.LSTM):\n            module.bias_ih_l0.data.fill_(1)\n"
        "            module.bias_hh_l0.data.fill_(1)\n"
    )
    assert said(source) == [("LA105", 11)]


def test_an_entry_that_raises_is_unjudged(tmp_path: Path) -> None:
    path = tmp_path / "net.py"
    path.write_text(DOUBLED.replace("fill_(1.0)", "fill_(1.0)\n        raise RuntimeError"))
    found = lint_paths([str(path)], REQUEST)
    assert [entry.reason.split(",")[0] for _, entry in found.unjudged] == ["its constructor raises"]


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it holds is not known, so it is no pass."""
    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "right.py").write_text(RIGHT)
    real = os.scandir

    def scandir(path: Any) -> Any:
        if os.fspath(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = lstm_audit.lint(tmp_path)
    assert [(error.path, error.kind) for error in found.errors] == [(str(closed), "io")]
    assert "cannot be listed" in found.errors[0].message
    assert run("lint", "--no-config", tmp_path).exit_code == 3
    assert run("lint", "--no-config", "--fix", tmp_path).exit_code == 3


@pytest.mark.parametrize("name", ["cell.pt", "lstm.pt", "lstm_legacy.pt", "lstm.safetensors"])
def test_a_checkpoint_that_was_named_is_no_source_without_a_finding(name: str) -> None:
    """Whether its bytes hold a word of a recurrence or not."""
    done = run("lint", "--no-config", CLEAN / name)
    assert done.exit_code == 3
    assert "checkpoints are read by `lstm-audit audit`" in " ".join(done.stdout.split())


def test_an_exclude_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(DOUBLED)
    (tmp_path / "b.py").write_text(RIGHT)
    assert lstm_audit.lint(tmp_path, exclude="a.py").findings == ()
    with pytest.raises(BadPolicy, match=r"--exclude aa\.py matches none of the 2 inputs"):
        lstm_audit.lint(tmp_path, exclude=["a.py", "aa.py"])
