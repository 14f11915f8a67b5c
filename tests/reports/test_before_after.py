"""The page of before and after: what `diff` and `patch` show of themselves."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from command import CLEAN, GRU, HOSTILE, MODEL, real, run

import lstm_audit
from lstm_audit.reports import Look
from lstm_audit.reports.html.change import GateChange, GateSide, Told, page_of_changes

FILES = CLEAN.parent


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(MODEL, tmp_path / "model.pt"))


def test_both_sides_are_counted() -> None:
    change = GateChange("m:l0", "f", GateSide((0.0, 0.1, 3.0)), GateSide((1.0, 1.0, 1.0)))
    text = page_of_changes(Told("t", ["said"], "left out"), [change], Look())
    before, after, *_ = text.split('class="ground"')  # the line below each half
    for half in (before, after):
        counts = re.findall(r'class="count[^"]*"[^>]*>(\d+)<', half)
        assert sum(map(int, counts)) == 3
    assert "1.033 → 1" in text
    assert "left out" not in text


def test_what_is_alike_is_drawn_once() -> None:
    changes = [GateChange(f"m.{k}:l0", "f", GateSide((0.0,)), GateSide((1.0,))) for k in range(40)]
    text = page_of_changes(Told("t", [], ""), changes, Look())
    assert text.count("<article") == 1
    assert text.count('class="lane"') == 40
    assert "\u00d740" in text


def test_names_and_reasons_are_escaped() -> None:
    name = "<script>\x1b[31m"
    change = GateChange(name, "f", GateSide((0.0,)), GateSide((float("nan"),)), remark=name)
    text = page_of_changes(
        Told("t", [name], "x", [("error", name, name)]), [change], Look(command=name)
    )
    assert "<script" not in text
    assert "\x1b" not in text


def test_a_diff(model: Path, tmp_path: Path) -> None:
    lstm_audit.patch(model, forget_bias=2.0, layers=[":l1"])
    out = tmp_path / "diff.html"
    assert run("diff", "-f", "html", "-o", out, MODEL, model).exit_code == 0
    text = out.read_text()
    assert "4 LSTMs compared, 1 changed" in text
    assert "1 → 2" in text
    assert text.count('class="lane"') == 4
    assert "0.7311 → 0.8808" in text
    assert "<script" not in text


def test_a_diff_says_what_it_did_not_compare() -> None:
    text = run("diff", "-f", "html", MODEL, GRU).stdout
    assert "nothing compared" in text
    assert "only in A" in text
    assert text.count("only in A") == 1
    assert "(root):l1:reverse (bias 1)" in text


def test_a_conversion_is_told_in_words(tmp_path: Path) -> None:
    """Gates in Keras' order i f c o become o g f i: the page says so."""
    model = torch.nn.LSTM(4, 8).state_dict()
    turned = {name: torch.cat(value.split(8)[::-1]) for name, value in model.items()}
    torch.save(model, tmp_path / "a.pt")
    torch.save(turned, tmp_path / "b.pt")
    text = run("diff", "-f", "html", tmp_path / "a.pt", tmp_path / "b.pt").stdout
    assert "order" in text


def test_a_diff_never_overwrites(model: Path) -> None:
    before = model.read_bytes()
    assert run("diff", "-f", "html", "-o", model, MODEL, model).exit_code == 2
    assert model.read_bytes() == before
    done = run("diff", "-o", model.with_suffix(".html"), MODEL, model)
    assert done.exit_code == 2
    assert "--output takes" in done.stderr


def test_formats_of_a_diff(model: Path) -> None:
    assert (
        run("diff", "--json", MODEL, model).stdout == run("diff", "-f", "json", MODEL, model).stdout
    )


def test_a_patch(model: Path) -> None:
    done = real(
        "patch", "--init", "chrono:100", "--report", "html=p.html", "model.pt", cwd=model.parent
    )
    assert done.returncode == 0
    text = (model.parent / "p.html").read_text()
    assert text.count('class="lane"') == 8
    assert "gate i" in text
    assert "bytes in" in text
    assert "changed" in text
    assert "lstm-audit patch --init chrono:100 model.pt</pre>" in text


def test_a_patch_that_is_only_shown(model: Path) -> None:
    before = model.read_bytes()
    page = model.parent / "p.html"
    assert (
        run("patch", "--forget-bias", "2", "--dry-run", "--report", f"html={page}", model).exit_code
        == 0
    )
    assert model.read_bytes() == before
    assert "would change" in page.read_text()
    assert "1 → 2" in page.read_text()


def test_a_patch_of_several(model: Path) -> None:
    """What was refused is on the page, and names say whose they are."""
    folder = model.parent
    shutil.copy(MODEL, folder / "other.pt")
    shutil.copy(HOSTILE / "empty.pt", folder / "empty.pt")
    out = folder / "p.html"
    done = run("patch", "--forget-bias", "2", "--report", f"html={out}", folder)
    assert done.exit_code == 3
    text = out.read_text()
    assert "Not patched" in text
    assert "empty.pt" in text
    assert "other.pt (root):l0" in text
    again = run("patch", "--forget-bias", "2", "--report", f"html={out}", model)
    assert again.exit_code == 0
    assert "already at forget bias 2" in out.read_text()


@pytest.mark.parametrize("name", ["model.pt", "model.pt.undo.json"])
def test_a_page_never_overwrites(name: str, model: Path) -> None:
    before = model.read_bytes()
    out = model.parent / name
    done = run("patch", "--forget-bias", "2", "--report", f"html={out}", model)
    assert done.exit_code == 2
    assert model.read_bytes() == before


@pytest.mark.parametrize("word", ["p.html", "json=p.json", "html="])
def test_other_formats_are_refused(word: str, model: Path) -> None:
    done = run("patch", "--forget-bias", "2", "--report", word, model)
    assert done.exit_code == 2
    assert "html=FILE was expected" in done.stderr
