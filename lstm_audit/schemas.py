"""JSON Schemas (draft 2020-12) of what others read and write: reports, statistics, the policy.

Comes in: the types of facts, and the tables of rules and of policy keys. Goes out: plain JSON
values. Promise: a report that `Audit.to_dict` writes and a table that `read_policy` accepts satisfy
them, and an unknown key satisfies neither; both are derived, no key is listed here.
"""

from collections.abc import Callable, Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from . import statistics
from .fact_json import keys_of
from .facts import SCHEMA, Json, ReportDocument
from .lstm.layer import GATES
from .lstm.measure import Stats
from .policy import convention
from .policy.bounds import FINITE, table_schema
from .policy.key import PolicyKey
from .policy.keys import KEYS, rule_key
from .policy.toml import CONVENTION, GLOBS, OVERRIDE, names_on_top
from .rules import every_rule
from .statistics import StatisticsDocument

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# Where SchemaStore keeps a schema of this name; what it needs besides is in `.schemastore`.
POLICY_ID = "https://www.schemastore.org/lstm-audit.json"


def report_schema() -> Json:
    """The schema of `lstm-audit/report/1`: strict, every key required."""
    return _document("A report of lstm-audit", ReportDocument, SCHEMA)


def statistics_schema() -> Json:
    """The schema of `lstm-audit/statistics/1`, as strict."""
    return _document(
        "Statistics of lstm-audit over many files", StatisticsDocument, statistics.SCHEMA
    )


def _document(title: str, facts: type, name: str) -> Json:
    return {
        "$schema": DIALECT,
        "$id": f"urn:lstm-audit:{name.removeprefix('lstm-audit/').replace('/', ':')}",
        "title": title,
        **_record_of(facts),
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


# The schema of each type that is no fact of several parts.
PLAIN: Mapping[Any, Json] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"$ref": "#/$defs/number"},
    Stats: {"$ref": "#/$defs/stats"},
}


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
    top = _settings([*KEYS, *map(rule_key, every_rule())])
    top["select"] = {**top["select"], "minItems": 1}
    top[OVERRIDE] = _list(_override())
    top[CONVENTION] = convention.schema()
    known = {name: top[name] for name in names_on_top()}
    head = {"$schema": DIALECT, "$id": POLICY_ID, "title": "A policy of lstm-audit"}
    return {**head, **table_schema(known)}


def _settings(keys: Iterable[PolicyKey]) -> dict[str, Json]:
    """The schemas of keys, nested as their dotted names are."""
    nested: dict[str, Json] = {}
    for key in keys:
        group, _, name = key.name.partition(".")
        if name:
            nested.setdefault(group, table_schema({}))["properties"][name] = key.schema()
        else:
            nested[group] = key.schema()
    return nested


def _override() -> Json:
    text = {"type": "string", "minLength": 1}
    globs = {"anyOf": [text, {**_list(text), "minItems": 1}]}
    layered = [key for key in (*KEYS, *map(rule_key, every_rule())) if key.layered]
    keys = {**dict.fromkeys(GLOBS, globs), **_settings(layered)}
    table = table_schema({name: keys[name] for name in names_on_top(layered=True)})
    return {**table, "anyOf": [{"required": [name]} for name in GLOBS]}


# What `lstm-audit schema NAME` prints.
SCHEMAS: Mapping[str, Callable[[], Json]] = {
    "report": report_schema,
    "policy": policy_schema,
    "statistics": statistics_schema,
}
