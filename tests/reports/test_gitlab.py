"""GitLab's code quality, and the addresses that SARIF gives for help."""

import json
from pathlib import Path

import pytest
from command import DOUBLED, MODEL, TRUNCATED, run
from jsonschema import validate

SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "minLength": 1},
                    "lines": {"type": "object", "required": ["begin"]},
                },
            },
        },
    },
}
"""As https://docs.gitlab.com/ci/testing/code_quality/ demands."""


def issues(*paths: object) -> list[dict[str, object]]:
    found = json.loads(run("audit", "-f", "gitlab", *paths).stdout)
    validate(found, SCHEMA)
    return list(found)


def test_issues(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(DOUBLED.parents[3])
    broken, wrong = issues(TRUNCATED, DOUBLED)
    assert (broken["severity"], broken["check_name"]) == ("critical", "truncated")
    assert (wrong["severity"], wrong["check_name"]) == ("major", "LA101")
    assert wrong["location"] == {
        "path": "fixtures/flawed/LA101/zeroed_first.pt",
        "lines": {"begin": 1},
    }
    assert "Fix: lstm-audit patch fixtures/flawed/LA101/zeroed_first.pt" in str(
        wrong["description"]
    )
    assert issues(MODEL) == []


def test_fingerprints_are_distinct_and_stay() -> None:
    folder = DOUBLED.parents[1]
    prints = [issue["fingerprint"] for issue in issues(folder)]
    assert len(set(prints)) == len(prints) > 40
    assert prints == [issue["fingerprint"] for issue in issues(folder)]


def test_sarif_says_where_help_is() -> None:
    driver = json.loads(run("audit", "-f", "sarif", MODEL).stdout)["runs"][0]["tool"]["driver"]
    assert driver["informationUri"].startswith("https://")
    helped = {rule["id"]: rule["helpUri"] for rule in driver["rules"] if "helpUri" in rule}
    assert helped["LA106"] == "https://arxiv.org/abs/1804.11188"
    assert len(helped) >= 5
