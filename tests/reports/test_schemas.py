"""JSON Schemas: they hold for what is really written and read, and for nothing else."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from fixes import fix
from hypothesis import given, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no stubs
from policy_cases import LIKELY, SPEC, TREES
from report_cases import AUDIT, EMPTY

import lstm_audit
from lstm_audit.errors import AuditError, BadPolicy, MalformedFile, UnknownFormat, Unreadable
from lstm_audit.facts import ERROR_KINDS, Audit, FileAudit, Finding
from lstm_audit.lstm.forensics.fingerprint import Init
from lstm_audit.policy.toml import read_policy
from lstm_audit.reports import REPORTS, Look
from lstm_audit.rules import RULES
from lstm_audit.schemas import SCHEMAS, policy_schema, report_schema

FIXTURES = Path(__file__).parents[2] / "fixtures"
REPORT = Draft202012Validator(report_schema())
POLICY = Draft202012Validator(policy_schema())

FOUND = FileAudit(
    "a.pt", "torch-zip", 1, AUDIT.files[0].rows[:1], (),
    (
        Finding("LA101", "a-rule", "error", "a.pt", "m", 0, "reverse", "x", 2.0, 1.0, fix("shift", -1.0, "m:l0:reverse")),
        Finding("LA301", "a-rule", "info", "a.pt", "m", None, None, "x", float("nan"), "finite"),
        Finding("LA901", "a-rule", "warning", "a.pt", None, None, None, "x", None, float("inf")),
    ),
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_schemas_are_schemas(name: str) -> None:
    schema = SCHEMAS[name]()
    Draft202012Validator.check_schema(schema)
    assert schema == SCHEMAS[name]()
    json.dumps(schema, allow_nan=False)


@pytest.mark.parametrize("audit", [AUDIT, EMPTY, Audit(()), Audit((FOUND,))])
def test_reports_satisfy_their_schema(audit: Audit) -> None:
    REPORT.validate(json.loads(REPORTS["json"](audit, Look())))


def test_every_initialisation_satisfies_the_schema() -> None:
    row = AUDIT.files[0].rows[0]
    for value in (None, 1.0, float("inf")):
        for state in ("fresh", "fresh?", "trained", "undetermined"):
            init = Init("constant(1)", value, state, "high", "because")
            file = FileAudit("a.pt", "torch-zip", 1, (type(row)(row.lstm, row.measures, init),), ())
            REPORT.validate(Audit((file,)).to_dict())


def test_the_reports_of_all_fixtures_satisfy_the_schema() -> None:
    for folder in ("clean", "mixed", "conventions", "hostile"):
        report = lstm_audit.audit(FIXTURES / folder).to_dict()
        assert report["files"] or report["errors"]
        REPORT.validate(report)


def test_every_kind_of_error_is_listed() -> None:
    kinds = {error.kind for error in (AuditError, MalformedFile, UnknownFormat, Unreadable)}
    documented = f"{MalformedFile.__doc__} {UnknownFormat.__doc__} {Unreadable.__doc__}"
    assert kinds <= set(ERROR_KINDS)
    assert all(f"`{kind}`" in documented for kind in ERROR_KINDS)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every object in a JSON value."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    own = [way] if isinstance(value, dict) else []
    return own + [place for key, item in inner for place in places(item, (*way, key))]


def test_the_report_is_strict_everywhere() -> None:
    """No object may have a key more or a key less."""
    report = Audit((FOUND,), AUDIT.errors).to_dict()
    report["files"][0]["lstms"][0]["init"] = {
        "scheme": "x", "value": 1, "state": "fresh", "confidence": "high", "evidence": "",
    }  # fmt: skip
    REPORT.validate(report)
    for way in places(report):
        for change in ("more", "less"):
            spoilt = copy.deepcopy(report)
            target = spoilt
            for step in way:
                target = target[step]
            if change == "more":
                target["surplus"] = 1
            else:
                target.popitem()
            assert not REPORT.is_valid(spoilt), (way, change)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        (("schema",), "lstm-audit/report/2"),
        (("files", 0, "bytes"), -1),
        (("files", 0, "lstms", 0, "activation", "mean"), "nan"),
        (("files", 0, "lstms", 0, "activation", "mean"), None),
        (("files", 0, "lstms", 0, "direction"), "backward"),
        (("files", 0, "findings", 0, "severity"), "fatal"),
        (("files", 0, "findings", 0, "measured"), [1]),
        (("files", 0, "findings", 0, "code"), "la101"),
    ],
)
def test_reports_that_are_none(way: tuple[Any, ...], value: Any) -> None:
    report = Audit((FOUND,)).to_dict()
    target: Any = report
    for step in way[:-1]:
        target = target[step]
    target[way[-1]] = value
    assert not REPORT.is_valid(report)


# --- what SchemaStore wants of a schema: a catalogue entry, files that fit and files that do not

STORE = Path(__file__).parents[2] / ".schemastore"


def test_every_schema_has_an_id_of_its_own() -> None:
    ids = [SCHEMAS[name]()["$id"] for name in SCHEMAS]
    assert len(set(ids)) == len(ids)
    assert report_schema()["$id"] == "urn:lstm-audit:report:1"


def test_the_catalogue_entry() -> None:
    entry = json.loads((STORE / "catalog.json").read_text())
    assert set(entry) == {"name", "description", "fileMatch", "url"}
    assert entry["url"] == policy_schema()["$id"]
    assert entry["fileMatch"] == ["lstm-audit.toml"]
    assert "schema" not in entry["description"].lower()  # SchemaStore's own lint


@pytest.mark.parametrize("file", sorted(STORE.glob("*test/lstm-audit/*")), ids=lambda f: f.name)
def test_store_files(file: Path) -> None:
    """The schema and the reader agree on each."""
    import tomllib

    tree = tomllib.loads(file.read_text())
    sound = file.parts[-3] == "test"
    assert POLICY.is_valid(tree) is sound
    if sound:
        read_policy(tree, file.name)
    else:
        with pytest.raises(BadPolicy):
            read_policy(tree, file.name)


def test_there_are_files_of_both_kinds() -> None:
    for folder in ("test", "negative_test"):
        assert len(list((STORE / folder / "lstm-audit").glob("*.toml"))) >= 3


# --- the policy


def test_the_policy_of_the_contract_satisfies_the_schema() -> None:
    import tomllib

    POLICY.validate(tomllib.loads(SPEC))


@given(LIKELY | TREES)
@settings(max_examples=200, deadline=None)
def test_what_is_read_as_a_policy_satisfies_the_schema(tree: Any) -> None:
    try:
        read_policy(tree, "p.toml")
    except BadPolicy:
        return
    POLICY.validate(tree)


@pytest.mark.parametrize(
    "tree",
    [
        {"selct": ["LA"]},
        {"select": []},
        {"select": ["LB"]},
        {"ignore": "LA"},
        {"fail-on": "fatal"},
        {"require-lstm": 1},
        {"forget": {"bias": 1}},
        {"forget": {"bias": {}}},
        {"forget": {"bias": {"stat": "mean"}}},
        {"forget": {"bias": {"stat": "median", "min": 1}}},
        {"forget": {"bias": {"min": 1, "target": 1}}},
        {"forget": {"bias": {"min": 1, "tolerance": 1}}},
        {"forget": {"bias": {"target": 1, "tolerance": -1}}},
        {"forget": {"bias": True}},
        {"forget": {"activation": {"min": 70}}},
        {"forget": {"activation": {"target": 0.7}}},
        {"forget": {"activation": {"stat": "p05"}}},
        {"forget": {"init": ""}},
        {"rules": {"LA1": {}}},
        {"rules": {"LA101": {"leest": 1}}},
        {"rules": {"LA101": {"least": "1"}}},
        {"rules": {"LA101": {"severity": "fatal"}}},
        {"override": {}},
        {"override": [{"ignore": ["LA1"]}]},
        {"override": [{"files": [], "ignore": ["LA1"]}]},
        {"override": [{"files": "a", "fail-on": "error"}]},
    ],
)
def test_the_schema_refuses_what_the_reader_refuses(tree: Any) -> None:
    assert not POLICY.is_valid(tree)
    with pytest.raises(BadPolicy):
        read_policy(tree, "p.toml")


def test_every_rule_and_option_is_in_the_schema() -> None:
    rules = policy_schema()["properties"]["rules"]["properties"]
    assert set(rules) == set(RULES)
    assert all("severity" in rule["properties"] for rule in rules.values())
    assert rules["LA101"]["properties"]["least"] == {"type": "number"}
