"""What scripts rely on, held against what was promised: docs/reference/stability.md."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lstm_audit.cli.exits import INTERRUPTED, MEANING, PIPE_CLOSED
from lstm_audit.rules import RULES
from lstm_audit.schemas import SCHEMAS, report_schema

ROOT = Path(__file__).parents[2]
KEPT = {
    line
    for line in (ROOT / "tests" / "data" / "stable.txt").read_text().splitlines()
    if not line.startswith("#")
}
"""Lines are added with a release, and never taken out."""


def keys(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key of the documents that a schema describes."""
    for name, inner in schema.get("properties", {}).items():
        yield path + name
        yield from keys(inner, f"{path}{name}.")
    if "items" in schema:
        yield from keys(schema["items"], f"{path[:-1]}[].")
    for inner in schema.get("anyOf", ()):
        yield from keys(inner, path)


def test_no_key_of_the_report_is_lost() -> None:
    kept = {line for line in KEPT if not line.startswith("LA")}
    assert len(kept) >= 80
    assert kept <= set(keys(report_schema()))


def test_no_rule_is_lost_or_renamed() -> None:
    kept = {line for line in KEPT if line.startswith("LA")}
    assert len(kept) > 30
    assert kept <= {f"{rule.code} {rule.name}" for rule in RULES.values()}


def test_exit_codes_keep_their_meaning() -> None:
    words = ("pass", "findings", "usage", "could not be read", "nothing audited")
    for code, word in enumerate(words):
        assert word in MEANING[code]
    assert (INTERRUPTED, PIPE_CLOSED) == (130, 141)


def test_the_statement_names_every_schema() -> None:
    text = (ROOT / "docs" / "reference" / "stability.md").read_text()
    assert "lstm-audit/report/1" in text
    assert all(name in text for name in SCHEMAS)
