"""Every page of ours in a real browser: wide and narrow, light, dark and printed.

Where no Chromium is, these tests skip. `LSTM_AUDIT_SCREENSHOTS=FOLDER pytest tests/browser` leaves the pictures there.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from command import CLEAN, run

sys.path.insert(0, str(Path(__file__).parent))
from chromium import Chromium, chromium, missing

import lstm_audit

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

FIXTURES = CLEAN.parent
CHECK = (Path(__file__).parent / "check.js").read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with chromium() as driven:
        yield driven


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twelve checkpoints with four LSTMs: one opens, one closes, one never moves."""
    folder: Path = tmp_path_factory.mktemp("run")
    torch.manual_seed(1)
    model = torch.nn.LSTM(8, 64, num_layers=2, bidirectional=True)
    lstm_audit.patch(model, forget_bias=1.0)
    for k in range(12):
        with torch.no_grad():
            model.bias_ih_l0[64:128] += 0.9 + 0.1 * torch.randn(64)
            model.bias_ih_l1[64:128] -= 0.3 + 0.1 * torch.randn(64)
            model.bias_ih_l1_reverse[64:128] += 0.2 * torch.randn(64)
        content = {"global_step": 100 * k, "state_dict": model.state_dict()}
        torch.save(content, folder / f"epoch={k}.ckpt")
    return folder


def a_check(folder: Path, out: Path) -> None:
    flawed = [FIXTURES / "flawed" / code for code in ("LA101", "LA103", "LA302")]
    bounds = ("--min-activation", "0.7", "--max-activation", "0.99")
    run("check", "--no-config", *bounds, "-f", "html", "-o", out, *flawed)


def one_file(folder: Path, out: Path) -> None:
    run("audit", "-f", "html", "-o", out, CLEAN / "lstm.pt")


def many_files(folder: Path, out: Path) -> None:
    run("audit", "-f", "html", "-o", out, FIXTURES / "flawed", FIXTURES / "hostile")


def nothing_found(folder: Path, out: Path) -> None:
    run(
        "check",
        "-f",
        "html",
        "-o",
        out,
        FIXTURES / "mixed" / "gru.pt",
        FIXTURES / "hostile" / "empty.pt",
    )


def long_names(folder: Path, out: Path) -> None:
    model = torch.nn.ModuleDict(
        {"a_very_long_name_of_a_module_" * 6: torch.nn.LSTM(4, 3000, bidirectional=True)}
    )
    path = out.with_suffix(".pt")
    torch.save({"a.deeply.nested.checkpoint.of.experiments": model.state_dict()}, path)
    run("audit", "-f", "html", "-o", out, path)
    path.unlink()


def a_registry(folder: Path, out: Path) -> None:
    run("audit", "--statistics", "-f", "html", "-o", out, FIXTURES)


def a_run(folder: Path, out: Path) -> None:
    run("trend", "--no-config", "--min-activation", "0.7", "-f", "html", "-o", out, folder)


def an_audited_run(folder: Path, out: Path) -> None:
    run("audit", "-f", "html", "-o", out, folder)


def a_difference(folder: Path, out: Path) -> None:
    run("diff", "-f", "html", "-o", out, folder / "epoch=0.ckpt", folder / "epoch=11.ckpt")


def no_pairs(folder: Path, out: Path) -> None:
    run("diff", "-f", "html", "-o", out, CLEAN / "lstm.pt", FIXTURES / "mixed" / "gru.pt")


def a_patch(folder: Path, out: Path) -> None:
    copies = out.with_suffix(".files")
    shutil.copytree(FIXTURES / "flawed" / "LA108", copies, dirs_exist_ok=True)
    shutil.copy(FIXTURES / "hostile" / "empty.pt", copies)
    run("patch", "--init", "chrono:784", "--report", f"html={out}", copies)
    shutil.rmtree(copies)


STATES: tuple[Callable[[Path, Path], None], ...] = (
    a_check, one_file, many_files, nothing_found, long_names, a_registry, a_run, an_audited_run,
    a_difference, no_pairs, a_patch,
)  # fmt: skip


@pytest.fixture(scope="module")
def pages(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("pages")
    made = {}
    for state in STATES:
        made[state.__name__] = home / f"{state.__name__}.html"
        state(folder, made[state.__name__])
    return made


WAYS = [(width, theme, "screen") for width in (1280, 390) for theme in ("light", "dark")]
WAYS += [(794, "light", "print")]
"""Width in CSS pixels, theme, medium; 794 is an A4 page."""


@pytest.mark.parametrize("state", [state.__name__ for state in STATES])
def test_a_page(state: str, browser: Chromium, pages: dict[str, Path]) -> None:
    """No problem that axe would find, no overflow, nothing clipped, no label upon another."""
    problems = {}
    for width, theme, medium in WAYS:
        browser.show(pages[state], width, theme, medium)
        if found := browser.run(CHECK):
            problems[f"{width} {theme} {medium}"] = found[:8]
        if shots := os.environ.get("LSTM_AUDIT_SCREENSHOTS"):
            name = f"{state}-{width}-{theme}-{medium}.png"
            browser.picture(Path(shots) / name)
    assert not problems, json.dumps(problems, indent=1, ensure_ascii=False)


@pytest.mark.parametrize("state", ["a_check", "many_files"])
def test_the_keyboard_reaches_what_opens(
    state: str, browser: Chromium, pages: dict[str, Path]
) -> None:
    """Every summary comes in its turn, and one sees where one is."""
    browser.show(pages[state], 1280, "light")
    every = browser.run("return document.querySelectorAll('summary').length")
    reached = 0
    for _ in range(min(every, 12)):
        browser.press("Tab")
        reached += browser.run(
            "const e = document.activeElement, s = getComputedStyle(e);"
            "return e.tagName === 'SUMMARY' && s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2"
        )
    assert reached == min(every, 12) > 0


def test_paper_shows_what_is_folded(browser: Chromium, pages: dict[str, Path]) -> None:
    """On paper nobody can open anything."""
    tall = (
        "return [...document.querySelectorAll('main > details')]"
        ".map(d => d.getBoundingClientRect().height)"
    )
    browser.show(pages["many_files"], 794, "light")
    folded = browser.run(tall)
    browser.show(pages["many_files"], 794, "light", "print")
    printed = browser.run(tall)
    assert len(folded) > 5
    assert all(after > before + 20 for before, after in zip(folded, printed, strict=True))


def test_the_checks_find_what_is_wrong(
    browser: Chromium, pages: dict[str, Path], tmp_path: Path
) -> None:
    """Each kind of check, on a page that was spoilt for it."""
    sound = pages["a_check"].read_text()
    spoilt = {
        "text below 4.5": sound.replace("--muted: #5b5d64", "--muted: #a0a0a0"),
        "mark below 3": sound.replace("--blue: #2f66c4", "--blue: #d0d8f0"),
        "wide in a window": sound.replace("<main>", '<main><div style="width: 2000px">x</div>'),
        "clipped": sound.replace(
            "<h1>", '<h1 style="width: 40px; overflow: hidden; white-space: nowrap">'
        ),
        "a label lies on": sound.replace(
            ".tick, .none {", ".tick { font-size: 40px !important; } .none {"
        ),
        "h3 follows": sound.replace("<h2", "<h5").replace("</h2>", "</h5>"),
        "no language": sound.replace('lang="en"', ""),
        "a picture without words": sound.replace("aria-label", "data-label"),
    }
    for word, text in spoilt.items():
        page = tmp_path / "spoilt.html"
        page.write_text(text)
        browser.show(page, 1280, "light")
        assert word in "\n".join(browser.run(CHECK)), word
