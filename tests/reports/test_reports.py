"""Reports: whole outputs against snapshots, and what must hold whatever a file calls its tensors.

`LSTM_AUDIT_UPDATE_SNAPSHOTS=1 pytest tests/reports/test_reports.py` writes the snapshots anew; read their
diff.
"""

import csv
import io
import json
import math
import os
import re
import subprocess
import sys
from typing import Any

import pytest
from command import untraced
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import CASES, ROOT, SNAPSHOTS, audits, lstm, measured, width_of

from lstm_audit.errors import Skipped
from lstm_audit.facts import Audit, FileAudit
from lstm_audit.lstm.measure import Stats
from lstm_audit.reports import REPORTS, SHARED, Look
from lstm_audit.reports.listings import sparkline
from lstm_audit.reports.markdown import SUMMARY_BYTES, code, prose
from lstm_audit.reports.terminal import ASCII, columns_wide
from lstm_audit.reports.words import digits, dumps, escape, fraction, size
from lstm_audit.version import __version__


@pytest.mark.parametrize("name", CASES)
def test_snapshot(name: str) -> None:
    report, audit, look = CASES[name]
    text = REPORTS[report](audit, look)
    assert text == REPORTS[report](audit, look)
    text = text.replace(f'"version": "{__version__}"', '"version": "0"')
    if os.environ.get("LSTM_AUDIT_UPDATE_SNAPSHOTS"):
        (SNAPSHOTS / name).write_text(text, encoding="utf-8", newline="")
    assert text == (SNAPSHOTS / name).read_bytes().decode("utf-8")


# ---- whatever the names


@settings(max_examples=60, deadline=None)
@given(audits(), st.sampled_from([40, 80, 100, 140]), st.booleans())
def test_no_line_of_the_table_is_wider_than_the_terminal(
    audit: Audit, width: int, ascii: bool
) -> None:
    text = REPORTS["table"](audit, Look(width=width, ascii=ascii))
    assert text.endswith("\n")
    assert max(map(width_of, text.split("\n"))) <= width
    assert all(c.isprintable() or c == "\n" for c in text)
    assert text.isascii() or not ascii


@settings(max_examples=30, deadline=None)
@given(audits())
def test_a_colored_table_is_the_plain_one_with_colors(audit: Audit) -> None:
    colored = REPORTS["table"](audit, Look(color=True))
    plain = [line.rstrip() for line in re.sub("\x1b\\[[0-9;]*m", "", colored).split("\n")]
    assert plain == REPORTS["table"](audit, Look()).split("\n")


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


@settings(max_examples=40, deadline=None)
@given(audits())
def test_json_is_strict_and_says_all(audit: Audit) -> None:
    text = REPORTS["json"](audit, Look())
    assert text.isascii()
    value = json.loads(text, parse_constant=no_constant)
    assert list(value) == ["schema", "tool", "summary", "files", "errors"]
    assert value == without_surrogates(audit.to_dict())
    lines = [
        json.loads(line, parse_constant=no_constant)
        for line in REPORTS["jsonl"](audit, Look()).splitlines()
    ]
    assert lines == [
        {"path": f["path"], "format": f["format"], **row}
        for f in value["files"]
        for row in f["lstms"]
    ]


def test_json_refuses_what_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps({"at": math.nan})


def without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return "".join(f"\\u{ord(c):04x}" if 0xD800 <= ord(c) < 0xE000 else c for c in value)
    if isinstance(value, dict):
        return {key: without_surrogates(item) for key, item in value.items()}
    return [without_surrogates(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=40, deadline=None)
@given(audits())
def test_csv_parses_back(audit: Audit) -> None:
    text = REPORTS["csv"](audit, Look())
    heading, *rows = csv.reader(io.StringIO(text))
    assert text.count("\n") == 1 + len(rows)
    assert len(rows) == len(audit.rows)
    for row, cells in zip(audit.rows, rows, strict=True):
        found = dict(zip(heading, cells, strict=True))
        assert not found["path"].startswith(("=", "+", "-", "@"))
        assert not found["module"].startswith(("=", "+", "-", "@"))
        assert found["module"].removeprefix("'") == escape(
            row.lstm.module, limit=None
        ).removeprefix("'")
        stats = [float(found[f"half_life_{name}"]) for name in Stats._fields]
        assert str(stats) == str([float(value) for value in row.measures.half_life])


@settings(max_examples=40, deadline=None)
@given(audits())
def test_markdown_keeps_its_cells(audit: Audit) -> None:
    text = REPORTS["markdown"](audit, Look())
    assert all(c.isprintable() or c == "\n" for c in text)
    for table in re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


# ---- the parts


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("encoder.lstm", "encoder.lstm"),
        ("a\x1b[31mb\n", "a\\x1b[31mb\\n"),
        ("\u202eabc\u200b\udc80", "\\u202eabc\\u200b\\udc80"),
        ("编码器", "编码器"),
        ("a" * 300 + ":l0:reverse", "a" * 95 + "…25c8a225…" + "a" * 84 + ":l0:reverse"),
    ],
)
def test_escape(raw: str, shown: str) -> None:
    assert escape(raw) == shown
    assert len(escape(raw)) <= 200


def test_escape_for_an_ascii_terminal() -> None:
    assert escape("é中", ascii=True) == "\\xe9\\u4e2d"
    assert escape("x" * 300, limit=11, ascii=True) == "xxxx...xxxx"
    assert escape("x" * 300, limit=None) == "x" * 300


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.7310585786, "0.7311"), (1.0, "1"), (-3.5, "-3.5"), (12345.6, "12346"), (9999.7, "10000"),
        (1.2e15, "1.2e+15"), (999999.7, "1e+06"), (math.inf, "∞"), (-math.inf, "-∞"), (math.nan, "NaN"),
        (0.0, "0"), (-0.0, "0"), (-9.7e-17, "~0"), (0.00005, "0.0001"), (0.00123, "0.0012"), (123.456, "123.5"),
    ],
)  # fmt: skip
def test_digits(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5000"),
        (1.0, "1"),
        (0.0, "0"),
        (0.99996, ">0.9999"),
        (1e-9, "<0.0001"),
        (0.99994, "0.9999"),
    ],
)
def test_fraction_never_rounds_to_open_or_closed(value: float, text: str) -> None:
    assert fraction(value) == text


def test_size() -> None:
    sizes = [size(n) for n in (0, 1, 1023, 1024, 2_391_013, 3 * 1024**3, 1024**5)]
    assert sizes == [
        "0 bytes",
        "1 byte",
        "1023 bytes",
        "1.0 KiB",
        "2.3 MiB",
        "3.0 GiB",
        "1024.0 TiB",
    ]


def test_sparkline() -> None:
    assert sparkline((0, 0, 0, 1, 1000, 500, 0, 0)) == "···▁█▄··"
    assert sparkline((0,) * 8) == "········"
    assert sparkline((0, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6)) == "▄▂·····█"
    assert sparkline((1, 2, 3, 4, 5, 6, 7, 8), ASCII.empty, ASCII.levels) == ":-=+*#%@"


def test_columns_wide() -> None:
    assert [columns_wide(text) for text in ("abc", "中文", "e\u0301", "…")] == [3, 4, 1, 1]


def test_shortened_names_stay_apart() -> None:
    """Where the usual cut would hide the one letter that tells two names apart, it falls
    elsewhere.
    """
    for before, behind in ((14, 50), (50, 19)):
        rows = tuple(measured(lstm("p" * before + letter + "t" * behind), [0.0]) for letter in "ab")
        lines = REPORTS["table"](
            Audit((FileAudit("f.pt", "pickle", 1, rows, ()),)), Look()
        ).splitlines()
        first, second = (line.split()[0] for line in lines[4:6])
        assert "…" in first
        assert first.replace("a", "b") == second != first


def test_columns_without_a_word_to_say_are_left_out() -> None:
    rows = (measured(lstm("rnn"), [1.0]),)
    text = REPORTS["table"](Audit((FileAudit("f.pt", "pickle", 1, rows, ()),)), Look(width=200))
    assert "convention" not in text
    assert "aliases" not in text
    assert "dtype" in text


def test_a_name_is_whole_before_an_optional_column_comes() -> None:
    rows = (measured(lstm("a" * 40), [1.0]),)
    audit = Audit((FileAudit("f.pt", "pickle", 1, rows, ()),))
    assert all(
        f"{'a' * 40}:l0 " in REPORTS["table"](audit, Look(width=width))
        for width in range(100, 200, 7)
    )


def test_all_notes_are_counted() -> None:
    skipped = tuple(Skipped(f"m{k}", "packed", f"detail {k}") for k in range(30))
    text = REPORTS["table"](Audit((FileAudit("f.pt", "pickle", 1, (), skipped),)), Look())
    assert text.count("detail") == 8
    assert "skipped  22 more\n" in text


def test_code_cannot_be_left() -> None:
    assert code("encoder.lstm_1:l0") == "`encoder.lstm_1:l0`"
    assert code("a|b`c") == "<code>a&#124;b&#96;c</code>"
    assert code(" a") == "<code>&#32;a</code>"
    assert prose("<img src=x> http://a.b www.c [x](y)|\n") == (
        "&#60;img src=x&#62; http&#58;//a.b www&#46;c &#91;x&#93;(y)&#124;&#92;n"
    )


def test_markdown_fits_into_a_job_summary() -> None:
    rows = (measured(lstm("|" * 190), [1.0]),) * 499
    text = REPORTS["markdown"](Audit((FileAudit("f.pt", "pickle", 1, rows, ()),) * 3), Look())
    assert 500_000 < len(text.encode()) < SUMMARY_BYTES + 1000
    assert "left out" in text
    many = REPORTS["markdown"](Audit((FileAudit("f.pt", "pickle", 1, rows[:1] * 502, ()),)), Look())
    assert many.count("<code>") == 500
    assert "2 further rows not shown." in many


def test_nothing_read() -> None:
    assert REPORTS["table"](Audit(()), Look()) == "nothing was read\n"
    assert REPORTS["jsonl"](Audit(()), Look()) == ""


def loaded_by(script: str) -> set[str]:
    code = f"import sys; from lstm_audit.reports import REPORTS; {script}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=untraced()
    )
    return set(done.stdout.split())


def test_a_report_imports_itself_alone() -> None:
    """Start-up time is a feature: the names cost nothing, and the default format none of the
    others.
    """
    assert not {
        name for name in loaded_by("list(REPORTS)") if name.startswith("lstm_audit.reports.")
    }
    loaded = loaded_by("REPORTS['table']")
    shared = {f"lstm_audit.reports.{name}" for name in SHARED if name != "overview"}
    assert {name for name in loaded if name.startswith("lstm_audit.reports.")} == {
        "lstm_audit.reports.table",
        *shared,
    }
    assert {"tabulate", "click", "json", "csv", "unicodedata", "lstm_audit.rules"}.isdisjoint(
        loaded
    )


def test_reports_are_named_as_their_modules() -> None:
    assert len(list(REPORTS)) == len(REPORTS.values())
    assert "table" in REPORTS
    assert "tables" not in REPORTS
    with pytest.raises(KeyError):
        REPORTS["os"]
