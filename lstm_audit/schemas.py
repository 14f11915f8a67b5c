"""JSON Schemas (draft 2020-12) of what others read and write: the report and the policy.

Comes in: the types of facts, and the tables of rules and of policy keys. Goes out: plain JSON
values. Promise: a report that `Audit.to_dict` writes and a table that `read_policy` accepts satisfy
them, and an unknown key satisfies neither; both are derived, no key is listed here.
"""

from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from .facts import SEVERITIES, Json, Report, keys_of
from .lstm.layer import GATES
from .lstm.measure import Stats
from .policy.model import FAIL_ON, PARTS, SET_BY, SEVERITY, STATISTICS
from .policy.read import FORGET_KEYS, KEYS, OVERRIDE_KEYS, RANGES, table_options
from .rules import RULES, Rule

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FINITE: Json = {"type": "number"}


def report_schema() -> Json:
    """The schema of `lstm-audit/report/1`: strict, every key required."""
    return {
        "$schema": DIALECT,
        "title": "A report of lstm-audit",
        **_record_of(Report),
        "$defs": {
            "number": {
                "description": "A number; what JSON cannot hold is spelled out.",
                "anyOf": [FINITE, _words(("NaN", "Infinity", "-Infinity"))],
            },
            "stats": {
                "description": "Statistics over units, in float64.",
                **_record_of(Stats),
            },
        },
    }


def _record_of(facts: type) -> Json:
    """An object with exactly the keys that a type of fact has."""
    return _record({key.name: schema_of(key.type) for key in keys_of(facts)})


PLAIN: Mapping[Any, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"$ref": "#/$defs/number"},
    Stats: {"$ref": "#/$defs/stats"},
}
"""The schema of each type that is no fact of several parts."""


def schema_of(hint: Any) -> Json:
    """The schema of what a fact's field may hold, by the field's type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        inner, *said = arguments
        more = {key: list(value) if isinstance(value, tuple) else value for key, value in said}
        whole = more.keys() & {"enum", "const", "type"}
        return more if whole else schema_of(inner) | more
    if origin in (Union, UnionType):
        inner = [part for part in arguments if part is not NoneType]
        (only,) = inner
        return _or_null(schema_of(only))
    if origin is tuple:
        return _list(schema_of(arguments[0]))
    if origin is Mapping:
        return _record(dict.fromkeys(GATES, schema_of(arguments[1])))
    return PLAIN[hint] if hint in PLAIN else _record_of(hint)


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
