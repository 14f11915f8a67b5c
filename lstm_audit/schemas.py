"""JSON Schemas (draft 2020-12) of what others read and write: the report and the policy.

Comes in: the tables of rules, statistics and severities. Goes out: plain JSON values. Promise: a
report that `Audit.to_dict` writes and a table that `read_policy` accepts satisfy them, and an
unknown key satisfies neither.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .facts import SCHEMA, SEVERITIES, Json
from .lstm.layer import GATES
from .lstm.measure import ACTIVATIONS, Stats
from .policy.model import FAIL_ON, PARTS, SET_BY, SEVERITY, STATISTICS
from .policy.read import FORGET_KEYS, KEYS, OVERRIDE_KEYS, RANGES, table_options
from .rules import RULES, Rule

DIALECT = "https://json-schema.org/draft/2020-12/schema"
STATES = ("fresh", "fresh?", "trained", "undetermined")
CONFIDENCES = ("certain", "high", "medium", "low")
ERROR_KINDS = (
    "malformed", "truncated", "ambiguous", "unknown-format", "lfs-pointer", "html", "empty",
    "unsupported", "limit",
    "changed", "interrupted-patch", "io",
)  # fmt: skip

TEXT: Json = {"type": "string"}
WORD: Json = {"type": "string", "pattern": "^[a-z0-9]+([-_][a-z0-9]+)*$"}
COUNT: Json = {"type": "integer", "minimum": 0}
TEXTS: Json = {"type": "array", "items": TEXT}
NUMBER: Json = {"$ref": "#/$defs/number"}
STATS: Json = {"$ref": "#/$defs/stats"}
FINITE: Json = {"type": "number"}


def report_schema() -> Json:
    """The schema of `lstm-audit/report/1`: strict, every key required."""
    report = {
        "schema": {"const": SCHEMA},
        "tool": _record({"name": {"const": "lstm-audit"}, "version": TEXT}),
        "summary": _summary(),
        "files": _list(_file()),
        "errors": _list(_error()),
    }
    return {
        "$schema": DIALECT,
        "title": "A report of lstm-audit",
        **_record(report),
        "$defs": _definitions(),
    }


def _record(properties: Mapping[str, Any]) -> Json:
    """An object with exactly these keys."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Json) -> Json:
    return {"type": "array", "items": items}


def _or_null(schema: Json) -> Json:
    return {"anyOf": [schema, {"type": "null"}]}


def _words(words: Iterable[str]) -> Json:
    return {"enum": list(words)}


def _definitions() -> Json:
    return {
        "number": {
            "description": "A number; what JSON cannot hold is spelled out.",
            "anyOf": [FINITE, _words(("NaN", "Infinity", "-Infinity"))],
        },
        "stats": {
            "description": "Statistics over units, in float64.",
            **_record(dict.fromkeys(Stats._fields, NUMBER)),
        },
    }


def _summary() -> Json:
    counts = dict.fromkeys(("files", "unreadable", "ignored", "lstms", "skipped"), COUNT)
    return _record({**counts, "findings": _record(dict.fromkeys(SEVERITIES, COUNT))})


def _error() -> Json:
    return _record(
        {"path": TEXT, "kind": _words(ERROR_KINDS), "message": TEXT, "at": _or_null(COUNT)}
    )


def _file() -> Json:
    return _record(
        {
            "path": TEXT,
            "format": WORD,
            "bytes": COUNT,
            "lstms": _list(_row()),
            "skipped": _list(_record({"module": TEXT, "reason": WORD, "detail": TEXT})),
            "findings": _list(_finding()),
        }
    )


def _row() -> Json:
    by_gate = _record(dict.fromkeys(GATES, STATS))
    return _record(
        {
            "module": TEXT,
            "layer": COUNT,
            "direction": _words(("forward", "reverse")),
            "convention": TEXT,
            "hidden_size": COUNT,
            "dtype": TEXT,
            "bias_tensors": TEXTS,
            "aliases": TEXTS,
            "offset": NUMBER,
            "activation_function": _words(ACTIVATIONS),
            "notes": TEXTS,
            "gates": by_gate,
            "difference": _or_null(by_gate),
            "activation": STATS,
            "time_scale": STATS,
            "half_life": STATS,
            "init": _or_null(_init()),
        }
    )


def _init() -> Json:
    return _record(
        {
            "scheme": TEXT,
            "value": _or_null(NUMBER),
            "state": _words(STATES),
            "confidence": _words(CONFIDENCES),
            "evidence": TEXT,
        }
    )


def _finding() -> Json:
    return _record(
        {
            "code": {"type": "string", "pattern": "^LA[0-9]{3}$"},
            "name": WORD,
            "severity": _words(SEVERITIES),
            "path": TEXT,
            "module": _or_null(TEXT),
            "layer": _or_null(COUNT),
            "direction": _or_null(_words(("forward", "reverse"))),
            "message": TEXT,
            "measured": {"type": ["number", "string", "null"]},
            "expected": {"type": ["number", "string", "null"]},
            "fixable": {"type": "boolean"},
            "fix": _or_null(_record({"arguments": TEXTS, "safe": {"type": "boolean"}})),
            "fingerprint": TEXT,
        }
    )


def policy_schema() -> Json:
    """The schema of a policy: the top of `lstm-audit.toml`, or `[tool.lstm-audit]` of a
    pyproject.toml.
    """
    settings = _settings()
    keys = {
        **settings,
        "select": {**settings["select"], "minItems": 1},
        "fail-on": {"description": "The least severity that fails a check.", **_words(FAIL_ON)},
        "require-lstm": {
            "description": "Whether a run without any LSTM fails (exit 4).",
            "type": "boolean",
        },
        "override": _list(_override()),
    }
    return {
        "$schema": DIALECT,
        "title": "A policy of lstm-audit",
        **_table({key: keys[key] for key in KEYS}),
    }


def _table(properties: Mapping[str, Any]) -> Json:
    """An object with some of these keys and no others."""
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _settings() -> Json:
    return {
        "select": {"description": "Prefixes of codes that are on.", **_selectors()},
        "ignore": {"description": "Prefixes of codes that are off.", **_selectors()},
        "forget": _table({key: _demand(key) for key in FORGET_KEYS}),
        "rules": _table(
            {rule.code: _rule(rule) for rule in sorted(RULES.values(), key=lambda rule: rule.code)}
        ),
    }


def _selectors() -> Json:
    prefixes = {code[:length] for code in RULES for length in range(1, len(code) + 1)}
    return _list(_words(["ALL", *sorted(prefixes)]))


def _demand(key: str) -> Json:
    off = {"const": False}
    if key == "init":
        return {"anyOf": [{"type": "string", "minLength": 1}, off]}
    return {"anyOf": [_bounds(key), off]}


def _bounds(key: str) -> Json:
    """min, max, or both; or else a target, with or without a tolerance."""
    low, high = RANGES.get(key, (-float("inf"), float("inf")))
    limits = {"minimum": low, "maximum": high}
    limit = {
        **FINITE,
        **{name: value for name, value in limits.items() if abs(value) != float("inf")},
    }
    kinds = {
        "stat": _words(STATISTICS),
        "min": limit,
        "max": limit,
        "target": FINITE,
        "tolerance": {**FINITE, "minimum": 0},
    }
    table = _table({part: kinds[part] for part in PARTS[key]})
    if "target" not in PARTS[key]:
        return {**table, "anyOf": [{"required": ["min"]}, {"required": ["max"]}]}
    aimed = {"required": ["target"], "properties": {"min": False, "max": False}}
    bounded = {
        "anyOf": [{"required": ["min"]}, {"required": ["max"]}],
        "properties": {"tolerance": False},
    }
    return {**table, "oneOf": [aimed, {**bounded, "not": {"required": ["target"]}}]}


KINDS: Mapping[type, Json] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: FINITE,
    str: {"type": "string", "minLength": 1},
    tuple: {"type": "array", "items": {"type": "string", "minLength": 1}},
}


def _rule(rule: Rule) -> Json:
    options = {
        name: _words(STATISTICS) if name == "stat" else KINDS[kind]
        for name, kind in table_options(rule).items()
    }
    described = f"{rule.name}: set by {SET_BY[rule.code]}" if rule.code in SET_BY else rule.name
    return {"description": described, **_table({**options, SEVERITY: _words(SEVERITIES)})}


def _override() -> Json:
    globs = {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {**_list({"type": "string", "minLength": 1}), "minItems": 1},
        ]
    }
    keys = {"files": globs, "layers": globs, **_settings()}
    table = _table({key: keys[key] for key in OVERRIDE_KEYS})
    return {**table, "anyOf": [{"required": ["files"]}, {"required": ["layers"]}]}


SCHEMAS: Mapping[str, Callable[[], Json]] = {"report": report_schema, "policy": policy_schema}
"""What `lstm-audit schema NAME` prints."""
