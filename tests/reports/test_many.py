"""Reports of much: said once, and in few lines."""

from collections.abc import Callable, Iterator
from itertools import count as count_from
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from many_cases import model
from report_cases import lstm, measured

from lstm_audit.facts import Audit, FileAudit, FileError, LstmFacts
from lstm_audit.policy.globs import matches
from lstm_audit.reports import REPORTS, Look
from lstm_audit.reports.listings import group_findings, join_messages
from lstm_audit.reports.overview import statistics_text
from lstm_audit.reports.remedies import patterns
from lstm_audit.statistics import count


def test_numbers_become_ranges() -> None:
    assert (
        join_messages(["f = 0.48 in 3 of 4", "f = 0.52 in 3 of 4"]) == "f = 0.48 to 0.52 in 3 of 4"
    )
    assert join_messages(["a -0.5, b", "a 1e-3, b"]) == "a -0.5 to 1e-3, b"
    assert join_messages(["same", "same"]) == "same"
    kept = "bias_ih_l0 of layers.1.lstm holds [H:2H] and 1"
    assert join_messages([kept, kept[:-1] + "2"]) == kept + " to 2"
    other = join_messages(["x is 1", "x is 2", "y was 1"])
    assert other == "x is 1 to 2 (1 more in other words; --verbose has them)"


@pytest.mark.parametrize("name", ["table", "markdown", "html", "github"])
def test_a_rule_speaks_once_a_file(name: str) -> None:
    text = REPORTS[name](Audit((model("m.pt", 64),)), Look())
    assert text.count("starts at 0.480 to 0.543") == 1
    assert text.count("starts at") == 1


def test_every_finding_on_demand() -> None:
    audit = Audit((model("m.pt", 3),))
    text = REPORTS["table"](audit, Look(verbose=True))
    assert text.count("starts at") == 3
    assert REPORTS["json"](audit, Look()).count("starts at") == 3


def test_many_lstms() -> None:
    text = REPORTS["table"](Audit((model("m.pt", 64),)), Look())
    assert len(text.splitlines()) <= 90
    assert all(f"encoder.layers.{k}.lstm:l0" in text for k in range(64))


def test_many_checkpoints() -> None:
    files = [model(f"runs/deep/folder/of/experiments/epoch_{k}.pt", 4) for k in range(100)]
    files[7] = model("runs/worst.pt", 4, "error")
    errors = tuple(FileError(f"runs/{k}.pt", "malformed", f"wrong at {k}", k) for k in range(40))
    audit = Audit(tuple(files), errors)
    text = REPORTS["table"](audit, Look())
    lines = text.splitlines()
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    assert lines[2].split()[:4] == ["LA108", "error", "1", "4"]
    assert lines[3].split()[:4] == ["LA108", "info", "99", "396"]
    assert next(line for line in lines if "epoch" in line or "worst" in line).startswith(
        "runs/worst.pt"
    )
    every = REPORTS["table"](audit, Look(verbose=True))
    assert every.count("encoder.layers.3.lstm:l0") >= 100
    assert every.splitlines()[2] == lines[2]


def test_statistics_have_no_rows() -> None:
    audit = Audit(tuple(model(f"{k}.pt", 2) for k in range(3)))
    text = statistics_text(count(audit), Look())
    assert "LA108" in text
    assert "encoder" not in text
    assert count(audit).rules[0][2:5] == ("info", 3, 6)
    assert [(c.files, c.lstms) for c in count(audit).inits] == [(3, 6)]


def test_a_group_is_one_severity() -> None:
    file = model("m.pt", 2)
    mixed = (file.findings[0]._replace(severity="error"), file.findings[1])
    assert [group.severity for group in group_findings(mixed)] == ["error", "info"]


def test_columns_are_those_of_the_terminal() -> None:
    """Names and numbers that differ leave the headings as they are."""

    def heading(width: int, names: list[str], values: Iterator[float]) -> list[str]:
        rows = tuple(measured(lstm(name), [next(values)]) for name in names)
        audit = Audit((FileAudit("m.pt", "torch-zip", 1, rows, ()),))
        return REPORTS["table"](audit, Look(width=width)).splitlines()[2].split()

    for width in (80, 90, 100, 120, 160):
        short = heading(width, ["a", "b"], count_from(0.1, 0.1))
        long = heading(width, ["encoder." * 6 + "a", "b" * 90], count_from(-12.25, 1000.5))
        assert short == long


def test_an_erroneous_row_is_never_green() -> None:
    file = model("m.pt", 2)
    rows = tuple(measured(lstm(f"encoder.layers.{k}.lstm"), [2.0]) for k in range(2))
    wrong = file._replace(rows=rows, findings=(file.findings[0]._replace(severity="error"),))
    lines = REPORTS["table"](Audit((wrong,)), Look(color=True)).splitlines()
    first, second = (line for line in lines if ".lstm:l0  " in line)
    assert "\x1b[31m" in first
    assert "\x1b[32m" not in first
    assert "\x1b[32m" in second


@pytest.mark.parametrize(
    ("closing", "style"), [("FAILED: 1 error", 31), ("passed", 32), ("NOT JUDGED", 33)]
)
def test_the_verdict_comes_last(closing: str, style: int) -> None:
    text = REPORTS["table"](Audit((model("m.pt", 1),)), Look(closing=closing, color=True))
    assert text.endswith(f"\n\n\x1b[{style}m\x1b[1m{closing}\x1b[0m\n")


# ---- one command for many LSTMs


def facts_of(addresses: list[tuple[str, int, str]]) -> list[LstmFacts]:
    return [measured(lstm(module, k, direction), [0.0]).lstm for module, k, direction in addresses]


def chosen_by(globs: list[str], every: list[LstmFacts]) -> set[str]:
    """What `patch --layers` would take."""
    return {one.address for one in every if not globs or matches(one.names, globs)}


DEEP = [(f"enc.{k}.lstm", 0, way) for k in range(12) for way in ("forward", "reverse")]
DEEP += [(f"dec.{k}.lstm[x]", layer, "forward") for k in range(3) for layer in range(4)]


@pytest.mark.parametrize(
    ("picked", "most"),
    [
        (lambda one: True, 0),
        (lambda one: one[2] == "reverse", 1),
        (lambda one: one[0].startswith("enc"), 1),
        (lambda one: one[0].startswith("dec") and one[1] == 3, 3),
        (lambda one: one[0].startswith("dec.1"), 4),
        (lambda one: one[0].startswith("enc") and one[2] == "forward", 1),
        (lambda one: one[2] == "reverse" or one[1] > 1, 5),
    ],
)
def test_few_patterns_for_many_addresses(picked: Callable[[Any], bool], most: int) -> None:
    every = facts_of(DEEP)
    wanted = [one.address for one, place in zip(every, DEEP, strict=True) if picked(place)]
    globs = patterns(wanted, every)
    assert chosen_by(globs, every) == set(wanted)
    assert len(globs) <= most


@given(st.sets(st.sampled_from(range(len(DEEP))), min_size=1))
@settings(deadline=None)
def test_patterns_match_what_is_meant_and_no_more(picked: set[int]) -> None:
    every = facts_of(DEEP)
    wanted = [every[k].address for k in sorted(picked)]
    assert chosen_by(patterns(wanted, every), every) == set(wanted)
