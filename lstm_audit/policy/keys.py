"""The keys of a policy, a row a key.

Comes in: nothing. Goes out: `KEYS`. Promise: what reads a key out of TOML, what it does to a rule,
the flags that set it, its JSON Schema and its description stand in its row and nowhere else.

A policy's settings are a flat mapping from the key's dotted name to its value; `rules.CODE` is the
one family of keys whose rows are made from the catalogue of rules (`rule_key`).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..errors import BadPolicy
from ..facts import SEVERITIES, Json
from ..lstm.measure import Stats
from ..rules import RULES, Rule
from ..spelling import suggest
from ..tuples import NamedTuple
from .kinds import (
    KeyPlace,
    find_options,
    read_choice,
    read_flag,
    read_number,
    read_table,
    read_texts,
    read_typed,
    refuse_unknown_keys,
    wrong,
    wrong_type,
)

# What a bound is compared with: a statistic over units, or every unit by itself.
STATISTICS = (*Stats._fields, "each")

FAIL_ON = ("error", "warning", "info", "never")

# The rule whose finding is an empty run, not a failure.
REQUIRE = "LA205"

# What every rule's table may set beside the rule's own options.
SEVERITY = "severity"

# What a rule is called with, None for off.
Options = Mapping[str, Any] | None


class Flag(NamedTuple):
    """A flag of the command line that sets a key, or a `part` of it, which is a number.

    `off` is the spelling that says no, `complete` names what completes a value, `kind` is text,
    number or share (a number from 0 to 1).
    """

    name: str
    spelling: str
    help: str
    metavar: str = ""
    part: str = ""
    off: str = ""
    many: bool = False
    complete: str = ""
    kind: str = "text"


class PolicyKey(NamedTuple):
    """One key. `read` makes its value of what TOML holds, or raises `BadPolicy`.

    `layered`: an override may set it. `rule` is the code of the rule that it switches on, and
    `options` what that is called with. `show` writes a value as TOML. `quantity`: what it bounds.
    """

    name: str
    read: Callable[[object, KeyPlace], Any]
    schema: Callable[[], Json]
    show: Callable[[Any], str]
    default: Any = None
    layered: bool = True
    flags: tuple[Flag, ...] = ()
    rule: str = ""
    options: Callable[[Any], Options] = lambda value: None
    quantity: "Quantity | None" = None


def toml(value: Any) -> str:
    """A value as TOML 1.0 writes it; None, which is a key switched off, as false."""
    if value is None:
        return "false"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(toml, value))}]"
    return _string(value) if isinstance(value, str) else repr(value)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are among TOML's, but TOML has no surrogate pairs, so the rest
    stays as it is.
    """
    from json import dumps  # 3 ms that only a description needs

    return dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_table(options: Mapping[str, Any]) -> str:
    """An inline table, in TOML's spelling of the names."""
    parts = (f"{name.replace('_', '-')} = {toml(value)}" for name, value in options.items())
    text = ", ".join(parts)
    return f"{{ {text} }}" if text else "{}"


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
    codes = sorted(RULES)
    named = [rule.code for rule in RULES.values() if rule.name == text]
    begun = [code for code in codes if code.startswith(str(text))]
    if named or begun:
        return f"did you mean {(named or begun)[0]!r}?"
    families = sorted({code[:3] for code in codes})
    return suggest(text, [*codes, *families, "ALL"], shown=["ALL", *families])


def _selector_schema(about: str) -> Json:
    prefixes = {code[:length] for code in RULES for length in range(1, len(code) + 1)}
    items = {"enum": ["ALL", *sorted(prefixes)]}
    return {"description": about, "type": "array", "items": items}


# ---- bounds

FINITE: Json = {"type": "number"}


class Bounds(NamedTuple):
    """What a statistic must keep to: `min` and `max`, or `target` give or take `tolerance`. None:
    not set.
    """

    stat: str = "mean"
    min: float | None = None
    max: float | None = None
    target: float | None = None
    tolerance: float | None = None

    def options(self) -> dict[str, Any]:
        """As options of a rule: what is set."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Quantity(NamedTuple):
    """What may be bounded: the name of its key, the parts of a bound on it, and where its values
    lie; a bound beyond that could never, or always, be kept (70 where 0.70 was meant).
    """

    name: str
    parts: tuple[str, ...] = ("stat", "min", "max")
    low: float = -float("inf")
    high: float = float("inf")


def read_bounds(quantity: Quantity, value: object, place: KeyPlace) -> Bounds | None:
    """The bounds of `forget.KEY`; None for false."""
    if value is False:
        return None
    if not isinstance(value, dict):
        raise wrong_type(place, f"a table ({{ {', '.join(quantity.parts)} }}) or false", value)
    refuse_unknown_keys(value, quantity.parts, place)
    numbers = {
        part: read_number(value[part], place.child(part))
        for part in quantity.parts[1:]
        if part in value
    }
    stat = read_choice(value.get("stat", "mean"), STATISTICS, place.child("stat"))
    return check_bounds(quantity, Bounds(stat, **numbers), place)


def check_bounds(quantity: Quantity, bounds: Bounds, place: KeyPlace) -> Bounds:
    """The bounds, if something can keep to them and something can break them."""
    if bounds.tolerance is not None and bounds.tolerance < 0:
        raise wrong(place, f"the tolerance {bounds.tolerance:g} is negative")
    if bounds.tolerance is not None and bounds.target is None:
        raise wrong(place, "a tolerance needs a target to lie around")
    limits = [limit for limit in (bounds.min, bounds.max) if limit is not None]
    if bounds.target is not None and limits:
        raise wrong(place, "give either a target or min and max, not both")
    if bounds.target is None and not limits:
        hint = "min, max or target" if "target" in quantity.parts else "min or max"
        raise wrong(place, f"sets no bound: give {hint}, or write false for none")
    if sorted(limits) != limits:
        raise wrong(place, f"min {bounds.min:g} is above max {bounds.max:g}: nothing could pass")
    for limit in limits:
        if not quantity.low <= limit <= quantity.high:
            message = f"{limit:g} is no {quantity.name}: those lie between"
            raise wrong(place, f"{message} {quantity.low:g} and {quantity.high:g}")
    return bounds


def _bounds_schema(quantity: Quantity) -> Json:
    """min, max, or both; or else a target, with or without a tolerance; or false."""
    limits = {"minimum": quantity.low, "maximum": quantity.high}
    finite = {name: value for name, value in limits.items() if abs(value) != float("inf")}
    kinds: Json = {
        "stat": {"enum": list(STATISTICS)},
        "min": FINITE | finite,
        "max": FINITE | finite,
        "target": FINITE,
        "tolerance": FINITE | {"minimum": 0},
    }
    table = table_schema({part: kinds[part] for part in quantity.parts})
    either = {"anyOf": [{"required": ["min"]}, {"required": ["max"]}]}
    if "target" in quantity.parts:
        aimed = {"required": ["target"], "properties": {"min": False, "max": False}}
        bounded = {**either, "properties": {"tolerance": False}}
        table |= {"oneOf": [aimed, {**bounded, "not": {"required": ["target"]}}]}
    else:
        table |= either
    return {"anyOf": [table, {"const": False}]}


def table_schema(properties: Mapping[str, Any]) -> Json:
    """An object with some of these keys and no others."""
    return {"type": "object", "properties": dict(properties), "additionalProperties": False}


def _show_bounds(rule: str, bounds: Bounds | None) -> str:
    if bounds is None:
        return toml(None)
    options = bounds.options()
    if "target" in options:
        options.setdefault("tolerance", RULES[rule].options["tolerance"])
    return toml_table(options)


def bound_key(quantity: Quantity, rule: str, *flags: Flag) -> PolicyKey:
    """The row of a quantity that a rule holds to bounds."""
    return PolicyKey(
        name=f"forget.{quantity.name}",
        read=partial(read_bounds, quantity),
        schema=partial(_bounds_schema, quantity),
        show=partial(_show_bounds, rule),
        flags=flags,
        rule=rule,
        options=lambda bounds: None if bounds is None else bounds.options(),
        quantity=quantity,
    )


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
