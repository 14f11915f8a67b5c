"""The page: an axis on which time scales lie evenly, bounds, counts, the verdict, names whole."""

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
from command import DOUBLED, MODEL, real, run
from hypothesis import given
from hypothesis import strategies as st
from report_cases import lstm, measured

from lstm_audit.facts import Audit, FileAudit, Finding, Row, Units
from lstm_audit.reports import REPORTS, Look
from lstm_audit.reports.html import plots, statistics
from lstm_audit.statistics import InitCount, RuleCount

FREE = (-math.inf, math.inf)


PLAIN = Look()


def page(*rows: Row, look: Look = PLAIN, findings: tuple[Finding, ...] = ()) -> str:
    return REPORTS["html"](Audit((FileAudit("m.pt", "torch-zip", 1, rows, (), findings),)), look)


def with_units(biases: list[float]) -> Row:
    row = measured(lstm("lstm"), biases)
    return row._replace(units=Units({"f": tuple(biases)}, (), ()))


def bars(text: str) -> list[int]:
    return [int(n) for n in re.findall(r'class="count"[^>]*>(\d+)<', text)]


def test_every_unit_is_counted() -> None:
    biases = [-100.0, -1.0, 0.0, 0.0, 5.0, 5.01, 100.0]
    text = page(with_units(biases))
    assert sum(bars(text)) == len(biases)
    assert text.count('class="bar"') == len(bars(text)) >= 5
    assert "\u2039" in text
    assert "\u203a" in text
    assert sum(bars(page(with_units([math.nan, 1.0])))) == 1


def test_chrono_is_no_single_bar() -> None:
    """On the activation's axis all of it would lie between 0.99 and 1."""
    biases = [math.log(1 + 7.82 * k) for k in range(1, 100)]
    assert len(bars(page(with_units(biases)))) >= 6


@given(st.floats(-8, 12), st.floats(-8, 12))
def test_the_axis_is_the_bias(a: float, b: float) -> None:
    scale = plots.Scale(-8, 12)
    assert scale.percent(a) - scale.percent(b) == pytest.approx(5 * (a - b), abs=1e-9)


def test_a_decade_of_time_is_as_wide_as_the_next() -> None:
    at = [plots.bias_of_steps(10.0**k) for k in range(2, 6)]
    steps = [b - a for a, b in pairwise(at)]
    assert steps == pytest.approx([math.log(10)] * 3, abs=0.01)


def test_bounds_are_shaded() -> None:
    row = measured(lstm("lstm"), [1.0])
    assert 'class="allowed"' not in page(row)
    shaded = page(row, look=Look(bounds=(1.0, math.inf)))
    scale = plots.find_scale([row], (1.0, math.inf))
    assert f'class="allowed" x="{scale.percent(1.0):.5g}%"' in shaded
    assert "Shaded" in shaded


def test_the_verdict_and_the_command_come_first() -> None:
    row = measured(lstm("lstm"), [1.0])
    text = page(row, look=Look(closing="FAILED: 1 error", command="lstm-audit check 'a b.pt'"))
    assert (
        text.index('class="verdict failed"') < text.index("lstm-audit check") < text.index("<svg")
    )
    assert "verdict" not in page(row).partition("</style>")[2]


def test_pictures_come_before_text() -> None:
    done = run("check", "-f", "html", DOUBLED)
    body = done.stdout.partition("</style>")[2]
    assert body.index("<svg") < body.index("LA101")
    assert "FAILED: 1 error" in body


def test_pairs_and_names() -> None:
    long = "model.encoder.layers." + "x" * 120
    text = page(measured(lstm(long), [1.0]), measured(lstm(long, 0, "reverse"), [0.5]))
    assert text.count(f"{long}:l0") >= 4
    assert f'<span class="faint">{long}:l0</span> \u2190' in text


def test_what_is_alike_is_drawn_once() -> None:
    rows = [measured(lstm(f"m{k}"), [1.0]) for k in range(64)]
    text = page(*rows, measured(lstm("other"), [2.0]))
    assert text.count("<article") == 2
    assert "\u00d764" in text
    assert text.count('class="lane"') == 65


def test_at_the_start_only_where_it_is() -> None:
    fresh = run("audit", "-f", "html", MODEL).stdout
    trained = run("audit", "-f", "html", DOUBLED.parents[1] / "LA104" / "trained.pt").stdout
    assert "<h1>Forget gates at the start</h1>" in fresh
    assert "<h1>Forget gates</h1>" in trained


def test_the_command_is_that_of_the_shell(tmp_path: Path) -> None:
    out = tmp_path / "a b.html"
    assert real("audit", "--report", f"html={out}", MODEL).returncode == 0
    assert f"lstm-audit audit {MODEL}</pre>" in out.read_text()
    assert sum(bars(out.read_text())) > 0
    real("audit", "--statistics", "-q", "--report", f"html={out}", MODEL)
    assert f"lstm-audit audit --statistics {MODEL}</pre>" in out.read_text()


def counts() -> tuple[list[RuleCount], list[InitCount]]:
    rules = [
        RuleCount("LA101", "doubled-forget-bias", "error", 4, 1200, 2.0, 3.0),
        RuleCount("LA108", "default-untouched", "info", 9, 9, None, None),
    ]
    inits = [
        InitCount("chrono T=787 (fresh)", 3, 12, 0.99, 0.999),
        InitCount("<b>", 1, 1, 1.0, 1.0),
        InitCount("unknown", 1, 1, math.nan, math.nan),
    ]
    return rules, inits


def test_statistics_are_a_function_of_the_counts() -> None:
    rules, inits = counts()
    text = "".join([*statistics.rules_html(rules), *statistics.inits(inits, (1.0, math.inf))])
    assert "1,200" in text
    assert "2 to 3" in text
    assert "T ≈ 787" in text
    assert "0.9900 to 0.9990" in text
    assert "<b>" not in text.replace("<b>LA", "")
    assert text.count('class="lane"') == 3
    assert text.count('class="mean"') == 4
    assert "nan" not in text.lower().replace(">nan<", "").replace("activation nan", "")
    assert 'class="allowed"' in text


def test_statistics_have_no_rows() -> None:
    done = run("audit", "--statistics", "-f", "html", MODEL, DOUBLED)
    assert "What initialised them" in done.stdout
    assert "LA101" in done.stdout
    assert "<article" not in done.stdout


def test_many_files_are_folded_behind_their_rules() -> None:
    files = tuple(
        FileAudit(f"{name}.pt", "torch-zip", 1, (with_units([0.0]),), (), (finding(name),))
        for name in ("cat", "dog", "owl", "fox", "cow", "hen")
    )
    text = REPORTS["html"](Audit(files), PLAIN)
    assert text.count('<details class="file">') == 6
    assert text.index("What the rules say") < text.index('<details class="file">')
    few = REPORTS["html"](Audit(files[:5]), PLAIN)
    assert '<details class="file">' not in few
    assert "What the rules say" not in few


def finding(name: str) -> Finding:
    return Finding("LA108", "a-rule", "info", f"{name}.pt", "m", 0, "forward", "x", 0.5)


@pytest.mark.parametrize("units", [5, 50, 500, 5000])
def test_counts_have_room(units: int) -> None:
    """A count of n digits takes 5.6 pixels each, in a card of 300 at least."""
    biases = [k / units for k in range(units)] + [1.5] * units
    counted = plots.count_units(biases, plots.Scale(-2, 5))
    assert sum(counted) == 2 * units
    assert len(str(max(counted))) * 5.6 <= 300 / len(counted) + 0.5


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    digits = colour.lstrip("#")
    digits = "".join(2 * c for c in digits) if len(digits) == 3 else digits
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


@pytest.mark.parametrize("theme", [0, 1])
@pytest.mark.parametrize(
    ("ink", "least"),
    [("ink", 7), ("muted", 4.5), ("grid", 3), ("blue", 3), ("pale", 3), ("error", 4.5), ("warning", 4.5),
     ("info", 4.5), ("passed", 4.5)],
)  # fmt: skip
@pytest.mark.parametrize("ground", ["ground", "card", "code", "allowed"])
def test_contrast(theme: int, ink: str, least: float, ground: str) -> None:
    from lstm_audit.reports.html.style import CSS

    roots = re.findall(r":root \{([^}]*)\}", CSS)
    colours = dict(re.findall(r"--([a-z]+): (#[0-9a-f]+)", roots[theme]))
    one, two = sorted((luminance(colours[ink]), luminance(colours[ground])))
    assert (two + 0.05) / (one + 0.05) >= least
