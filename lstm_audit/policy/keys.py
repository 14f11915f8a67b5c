"""The keys of a policy, a row a key.

Comes in: nothing. Goes out: `KEYS`. Promise: what reads a key out of TOML, what it does to a rule,
the flags that set it, its JSON Schema and its description stand in its row and nowhere else.

A policy's settings are a flat mapping from the key's dotted name to its value; `rules.CODE` is the
one family of keys whose rows are made from the catalogue of rules (`rule_key`).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..errors import BadPolicy
from ..facts import SEVERITIES, Json
from ..rules import RULES, Rule, every_rule, starts_of_codes
from ..spelling import nearest, suggest
from .bounds import FINITE, STATISTICS, bound_key, table_schema
from .key import Flag, PolicyKey, Quantity, toml, toml_table
from .kinds import (
    KeyPlace,
    find_options,
    read_choice,
    read_flag,
    read_table,
    read_texts,
    read_typed,
    wrong,
    wrong_type,
)

FAIL_ON = ("error", "warning", "info", "never")

# The rule whose finding is an empty run, not a failure.
REQUIRE = "LA205"

# What every rule's table may set beside the rule's own options.
SEVERITY = "severity"


# ---- select and ignore


def read_selectors(value: object, place: KeyPlace) -> tuple[str, ...]:
    """Prefixes of codes, each of which at least one rule bears."""
    selectors = read_texts(value, place)
    for selector in selectors:
        if selector != "ALL" and not any(code.startswith(selector) for code in RULES):
            raise wrong(place, f"no rule's code begins with {selector!r}; {_near_code(selector)}")
    return selectors


def _near_code(text: object) -> str:
    """What was meant by something that is no code: the start of one, another spelling, or a rule's
    name.
    """
    word = str(text).strip().lower()
    rules = every_rule()
    for rule in rules:
        if word and (rule.code.lower().startswith(word) or rule.name == word):
            return f"did you mean {rule.code!r}?"
    if named := [f"{rule.code} ({rule.name})" for rule in rules if word and word in rule.name]:
        return f"did you mean {' or '.join(named[:3])}?"
    by_word = {spelled: rule.code for rule in rules for spelled in (rule.code, rule.name)}
    families = sorted({code[:3] for code in RULES})
    if near := nearest(word, [*by_word, *families, "ALL"]):
        return f"did you mean {by_word.get(near, near)!r}?"
    return suggest("", ["ALL", *families])


def _selector_schema(about: str) -> Json:
    items = {"enum": starts_of_codes()}
    return {"description": about, "type": "array", "items": items}


# ---- bounds


# ---- a preset


def _read_preset(value: object, place: KeyPlace) -> str | None:
    from ..lstm.presets import parse_preset  # 2 ms that only a policy with a preset needs

    if value is False:
        return None
    if not isinstance(value, str):
        raise wrong_type(place, "a preset's name or false", value)
    try:
        return str(parse_preset(value))
    except BadPolicy as error:
        raise wrong(place, error.message) from None


# ---- the rows

KEYS: tuple[PolicyKey, ...] = (
    PolicyKey(
        "select",
        read_selectors,
        lambda: _selector_schema("Prefixes of codes that are on."),
        toml,
        default=("LA",),
        flags=(
            Flag(
                "select",
                "--select",
                "Only these rules: codes, their beginnings (LA1) or names, comma-separated.",
                "CODES",
                many=True,
                complete="selectors",
            ),
        ),
    ),
    PolicyKey(
        "ignore",
        read_selectors,
        lambda: _selector_schema("Prefixes of codes that are off."),
        toml,
        default=(),
        flags=(
            Flag(
                "ignore", "--ignore", "Not these rules.", "CODES", many=True, complete="selectors"
            ),
        ),
    ),
    PolicyKey(
        "fail-on",
        lambda value, place: read_choice(value, FAIL_ON, place),
        lambda: {
            "description": "The least severity that fails a check.",
            "enum": list(FAIL_ON),
        },
        toml,
        default="error",
        layered=False,
        flags=(
            Flag(
                "fail_on",
                "--fail-on",
                "The mildest that fails: error (default), warning, info; or never.",
                "SEVERITY",
                complete="severities",
            ),
        ),
    ),
    PolicyKey(
        "require-lstm",
        read_flag,
        lambda: {
            "description": "Whether a run without any LSTM fails (exit 4).",
            "type": "boolean",
        },
        toml,
        default=True,
        layered=False,
        flags=(
            Flag(
                "require_lstm",
                "--require-lstm",
                "Whether a file without an LSTM fails.",
                off="--no-require-lstm",
            ),
        ),
        rule=REQUIRE,
        options=lambda required: {"required": True} if required else None,
    ),
    bound_key(
        Quantity("bias", ("stat", "min", "max", "target", "tolerance")),
        "LA201",
        Flag(
            "forget_bias",
            "--forget-bias",
            "The mean effective forget bias must be B ...",
            "B",
            "target",
            kind="number",
        ),
        Flag(
            "tolerance",
            "--tolerance",
            "... give or take T (0.05 unless set).",
            "T",
            "tolerance",
            kind="number",
        ),
        Flag(
            "min_bias",
            "--min-bias",
            "Least mean effective forget bias.",
            "B",
            "min",
            kind="number",
        ),
        Flag(
            "max_bias",
            "--max-bias",
            "Largest mean effective forget bias.",
            "B",
            "max",
            kind="number",
        ),
    ),
    bound_key(
        Quantity("activation", low=0.0, high=1.0),
        "LA202",
        Flag(
            "min_activation",
            "--min-activation",
            "Least mean forget activation.",
            "F",
            "min",
            kind="share",
        ),
        Flag(
            "max_activation",
            "--max-activation",
            "Largest mean forget activation.",
            "F",
            "max",
            kind="share",
        ),
    ),
    bound_key(
        Quantity("time-scale", low=0.0),
        "LA203",
        Flag(
            "min_time_scale",
            "--min-time-scale",
            "Least mean time scale in steps.",
            "T",
            "min",
            kind="number",
        ),
        Flag(
            "max_time_scale",
            "--max-time-scale",
            "Largest mean time scale in steps.",
            "T",
            "max",
            kind="number",
        ),
    ),
    PolicyKey(
        "forget.init",
        _read_preset,
        lambda: {"anyOf": [{"type": "string", "minLength": 1}, {"const": False}]},
        toml,
        flags=(
            Flag(
                "init",
                "--init",
                "The initialisation that is demanded (chrono:784).",
                "PRESET",
                complete="presets",
            ),
        ),
        rule="LA204",
        options=lambda preset: None if preset is None else {"preset": preset},
    ),
)


def defaults() -> dict[str, Any]:
    """What holds where nothing is set; a key that is off is not there."""
    return {key.name: key.default for key in KEYS if key.default is not None}


def flags() -> list[tuple[PolicyKey, Flag]]:
    """Every flag with the key that it sets."""
    return [(key, flag) for key in KEYS for flag in key.flags]


# The one flag that is about every bound, and not about a key.
STAT = Flag(
    "stat",
    "--stat",
    "What these bounds are of: mean, std, min, p05 ... max, each.",
    "STATISTIC",
)


def is_demand(key: PolicyKey) -> bool:
    """Whether a key says what the forget gate must be."""
    return key.name.startswith("forget.")


def set_by() -> dict[str, PolicyKey]:
    """By code, the rules whose options are a key of their own and not of the `rules` table."""
    return {key.rule: key for key in KEYS if key.rule}


# ---- the rows of `rules.CODE`

TYPE_SCHEMAS: Mapping[type, Json] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: FINITE,
    str: {"type": "string", "minLength": 1},
    tuple: {"type": "array", "items": {"type": "string", "minLength": 1}},
}


def rule_key(rule: Rule) -> PolicyKey:
    """The row of a rule's table: its options, and the severity."""
    return PolicyKey(
        f"rules.{rule.code}",
        partial(_read_rule, rule),
        partial(_rule_schema, rule),
        toml_table,
        rule=rule.code,
    )


def rule_of(code: object, place: KeyPlace) -> Rule:
    """The rule of a code; raises `BadPolicy` with what was perhaps meant."""
    if not isinstance(code, str) or code not in set(RULES):
        raise wrong(place, f"no such rule; {_near_code(code)}")
    return RULES[code]


def _table_options(rule: Rule) -> dict[str, type]:
    """What `[rules.CODE]` may set beside the severity, in TOML's spelling, with its types."""
    if rule.code in set_by():
        return {}
    return {name.replace("_", "-"): kind for name, kind in find_options(rule).items()}


def _read_rule(rule: Rule, value: object, place: KeyPlace) -> dict[str, Any]:
    kinds = _table_options(rule)
    options = read_table(value, place)
    for name in options:
        _refuse_unknown(rule, name, kinds, place)
    given = {
        name: _option(name, options[name], kind, place.child(name))
        for name, kind in kinds.items()
        if name in options
    }
    if SEVERITY in options:
        given[SEVERITY] = read_choice(options[SEVERITY], SEVERITIES, place.child(SEVERITY))
    return {name.replace("-", "_"): value for name, value in given.items()}


def _refuse_unknown(rule: Rule, name: object, kinds: Mapping[str, type], place: KeyPlace) -> None:
    if name == SEVERITY or name in kinds:
        return
    if key := set_by().get(rule.code):
        raise wrong(place.child(name), f"{rule.code} is set by {key.name}")
    hint = suggest(name, [*kinds, SEVERITY])
    raise wrong(place.child(name), f"{rule.code} has no such option; {hint}")


def _option(name: str, value: object, kind: type, place: KeyPlace) -> Any:
    return (
        read_choice(value, STATISTICS, place) if name == "stat" else read_typed(value, kind, place)
    )


def _rule_schema(rule: Rule) -> Json:
    options = {
        name: {"enum": list(STATISTICS)} if name == "stat" else TYPE_SCHEMAS[kind]
        for name, kind in _table_options(rule).items()
    }
    key = set_by().get(rule.code)
    described = f"{rule.name}: set by {key.name}" if key else rule.name
    severity = {SEVERITY: {"enum": list(SEVERITIES)}}
    return {"description": described, **table_schema({**options, **severity})}
