"""Statistics over many files: the same whatever the order, bounded, and valid by their schema."""

import json
import math
from collections import Counter
from random import Random

import pytest
from command import CLEAN, run
from jsonschema import Draft202012Validator
from many_cases import model

import lstm_audit
from lstm_audit import statistics
from lstm_audit.facts import Audit, FileAudit, FileError
from lstm_audit.reports import REPORTS, Look, digest_of
from lstm_audit.schemas import statistics_schema
from lstm_audit.statistics import BINS, Tally, count


@pytest.fixture(scope="module")
def everything() -> Audit:
    return lstm_audit.audit([CLEAN, CLEAN.parent / "flawed", CLEAN.parent / "hostile"])


def test_the_counts_are_those_of_the_audit(everything: Audit) -> None:
    found = count(everything)
    assert found.summary == lstm_audit.facts.total(everything)
    spoke = Counter((f.severity, f.code) for f in everything.findings)
    assert {(r.severity, r.code): r.findings for r in found.rules} == spoke
    files = Counter(
        key for file in everything.files for key in {(f.severity, f.code) for f in file.findings}
    )
    assert {(r.severity, r.code): r.files for r in found.rules} == files
    assert {f.format: f.files for f in found.formats} == Counter(f.format for f in everything.files)
    means = [row.measures.activation.mean for row in everything.rows]
    numbers = [mean for mean in means if mean == mean]
    assert len(numbers) < len(means)
    assert sum(found.activation) == len(numbers)
    assert found.activation[int(0.5 * BINS)] == sum(0.5 <= mean < 0.55 for mean in numbers)
    assert {e.kind: e.files for e in found.errors} == Counter(e.kind for e in everything.errors)


def test_order_changes_no_count(everything: Audit) -> None:
    results: list[FileAudit | FileError] = [*everything.files, *everything.errors]
    expected = count(everything)
    for seed in range(3):
        Random(seed).shuffle(results)
        tally = Tally()
        for result in results:
            tally.add((result,))
        found = tally.finish()
        assert found.rules == expected.rules
        assert repr(found.inits) == repr(expected.inits)  # NaN is in it
        assert found.formats == expected.formats
        assert found.activation == expected.activation


def test_the_worst_are_kept_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "WORST", 3)
    files = [model(f"{k}.pt", 1 + k % 7, "error" if k % 5 == 0 else "info") for k in range(40)]
    tally = Tally()
    for file in files:
        tally.add((file,))
    ranked = sorted(files, key=lambda f: [-n for n in statistics.severities_of(f)])
    assert [f.path for f in tally.finish().worst] == [f.path for f in ranked[:3]]


def test_names_of_initialisers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MOST_INITS", 5)
    tally = Tally()
    for k in range(50):
        (row,) = model(f"{k}.pt", 1).rows
        init = lstm_audit.facts.Init(f"constant({k})", float(k), "fresh", "certain", "")
        tally.add((model(f"{k}.pt", 1)._replace(rows=(row._replace(init=init),)),))
    found = tally.finish()
    assert len(found.inits) == 6
    assert sum(c.lstms for c in found.inits) == 50
    assert found.inits[0].init == statistics.OTHER


def test_json_is_valid_by_the_schema(everything: Audit) -> None:
    digest = digest_of("json")
    assert digest is not None
    document = json.loads(digest(count(everything), Look()))
    Draft202012Validator(statistics_schema()).validate(document)
    assert any("NaN" in str(row) for row in document["statistics"]["inits"]) or not any(
        math.isnan(c.least) for c in count(everything).inits
    )


def test_on_the_command_line() -> None:
    folder = str(CLEAN.parent / "flawed")
    table = run("audit", "--statistics", folder)
    assert table.exit_code == 0
    for word in ("LA101", "doubled 1", "torch-zip", "0.85..0.90", "half_precision.pt"):
        assert word in table.stdout
    document = json.loads(run("audit", "--statistics", "-f", "json", folder).stdout)
    assert document["schema"] == "lstm-audit/statistics/1"
    refused = run("audit", "--statistics", "-f", "sarif", folder)
    assert refused.exit_code == 2
    assert "json, table" in refused.stderr.replace("html, ", "")


def test_widths() -> None:
    digest = digest_of("table")
    assert digest is not None
    audit = Audit(tuple(model("x/" * 60 + f"{k}.pt", 4, "error") for k in range(30)))
    for width in (40, 60, 80, 120):
        lines = digest(count(audit), Look(width=width)).splitlines()
        assert max(map(len, lines)) <= width
    assert REPORTS["table"](audit, Look()).count("1 more") == 0
