"""What the formats share: names that are shortened, and a table of reports that fills itself."""

import json
from pathlib import Path

import pytest
from command import MODEL, run
from hypothesis import given
from hypothesis import strategies as st
from report_cases import lstm, measured

import lstm_audit.reports
from lstm_audit.facts import Audit, FileAudit
from lstm_audit.reports import REPORTS, Look
from lstm_audit.reports.terminal import columns_wide, shorten
from lstm_audit.reports.words import escape

HUGE = 7_000_000
LONG = 200_000


def one_lstm(*modules: str) -> Audit:
    rows = tuple(measured(lstm(module), [0.0] * 4) for module in modules)
    return Audit((FileAudit("m.pt", "torch-zip", 1, rows, ()),))


def test_a_report_is_one_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "census.py").write_text(
        "from lstm_audit.reports import report\n\n\n"
        "@report('census')\n"
        "def census(audit, look):\n"
        "    return f'{len(audit.rows)} LSTMs\\n'\n"
    )
    monkeypatch.setattr(
        lstm_audit.reports, "__path__", [*lstm_audit.reports.__path__, str(tmp_path)]
    )
    try:
        assert "census" in REPORTS
        assert run("audit", "-f", "census", MODEL).stdout == "4 LSTMs\n"
        assert "census" in run("audit", "--help").stdout
        out = tmp_path / "out.txt"
        run("audit", "--report", f"census={out}", MODEL)
        assert out.read_text() == "4 LSTMs\n"
    finally:
        REPORTS._entries.pop("census", None)


@pytest.mark.parametrize("name", ["sarif", "table", "markdown", "html", "github", "junit"])
def test_a_long_name_isshorten(name: str) -> None:
    audit = one_lstm("a" * LONG, "a" * LONG + "b", "\x1b" * LONG)
    assert len(REPORTS[name](audit, Look())) < 120_000


def test_a_huge_name_costs_nothing_in_sarif() -> None:
    text = REPORTS["sarif"](one_lstm("x" * HUGE), Look())
    assert len(json.loads(text)["runs"]) == 1
    assert len(text) < 120_000


@given(st.text("ab", min_size=180, max_size=260), st.integers(0, 179), st.integers(60, 170))
def test_names_that_differ_in_the_middle_stay_different(name: str, at: int, limit: int) -> None:
    other = name[:at] + ("a" if name[at] == "b" else "b") + name[at + 1 :]
    one, two = escape(name, limit), escape(other, limit)
    assert one != two
    assert max(len(one), len(two)) <= limit


@given(
    st.lists(st.text("ab中", min_size=30, max_size=60), min_size=2, max_size=12, unique=True),
    st.integers(16, 28),
)
def test_a_column_keeps_names_apart(names: list[str], room: int) -> None:
    alike = [f"{'x' * 20}{name}{'y' * 20}" for name in names]
    short = shorten(alike, room, "…")
    assert len(set(short)) == len(names)
    assert max(map(columns_wide, short)) <= room
