"""A table out of TOML into a `Policy`.

Comes in: the table, and where it stood. Goes out: a `Policy`, or `BadPolicy`. Promise: nothing that
is not understood is passed over: a key, code, option, statistic or preset that does not exist is
refused with what was perhaps meant.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..errors import BadPolicy
from ..facts import SEVERITIES
from ..rules import RULES, Rule
from ..spelling import suggest
from .kinds import (
    Place,
    choice_of,
    flag_of,
    known_keys,
    mistyped,
    number_of,
    options_of,
    table_of,
    text_of,
    texts_of,
    typed,
    wrong,
)
from .model import (
    DEFAULTS,
    FAIL_ON,
    PARTS,
    SET_BY,
    SEVERITY,
    STATISTICS,
    Bounds,
    Demand,
    Override,
    Policy,
    Settings,
)
from .table import merged

KEYS = ("select", "ignore", "fail-on", "require-lstm", "forget", "rules", "override")
OVERRIDE_KEYS = ("files", "layers", "select", "ignore", "forget", "rules")
FORGET_KEYS = (*PARTS, "init")
RANGES = {"activation": (0.0, 1.0), "time-scale": (0.0, float("inf"))}
"""Outside of these a bound can never, or always, be kept: 70 where 0.70 was meant."""


def read_policy(table: object, file: str, folder: str = "", prefix: str = "") -> Policy:
    """The policy that a table holds; `prefix` is the table's own place in the file
    (`tool.lstm-audit`).
    """
    place = Place(file, prefix)
    top = table_of(table, place)
    known_keys(top, KEYS, place)
    if top.get("select") == []:
        raise wrong(
            place.child("select"),
            'selects no rule: nothing could ever fail; to want that, fail-on = "never"',
        )
    overrides = _overrides(top.get("override", []), place)
    return Policy(
        settings=merged(DEFAULTS, [Override((), (), read_settings(top, place))]),
        overrides=overrides,
        fail_on=choice_of(top.get("fail-on", "error"), FAIL_ON, place.child("fail-on")),
        require_lstm=flag_of(top.get("require-lstm", True), place.child("require-lstm")),
        folder=folder,
        file=file,
        origins=_origins(top, place),
    )


def _origins(top: Mapping[str, Any], place: Place) -> dict[str, str]:
    """The keys that were set, as `describe` names them, and where."""
    origins = _settings_origins(top, place, "")
    origins |= {key: str(place.child(key)) for key in ("fail-on", "require-lstm") if key in top}
    for n, entry in enumerate(top.get("override", []), 1):
        here = f"override #{n}"
        origins |= _settings_origins(entry, place.child(here), f"{here}.")
        origins |= {
            f"{here}.{key}": str(place.child(here).child(key))
            for key in ("files", "layers")
            if key in entry
        }
    return origins


def _settings_origins(table: Mapping[str, Any], place: Place, before: str) -> dict[str, str]:
    plain = {before + key: str(place.child(key)) for key in ("select", "ignore") if key in table}
    nested = {
        f"{before}{group}.{key}": str(place.child(group).child(key))
        for group in ("forget", "rules")
        for key in table.get(group, {})
    }
    return plain | nested


def read_settings(table: Mapping[str, Any], place: Place, layered: bool = False) -> Settings:
    """What a table says of rules, on the top or in an override (`layered`: one that is for some
    layers only).
    """
    return Settings(
        select=read_selectors(table["select"], place.child("select"))
        if "select" in table
        else None,
        ignore=read_selectors(table["ignore"], place.child("ignore"))
        if "ignore" in table
        else None,
        forget=_forget(table.get("forget", {}), place.child("forget")),
        rules=_rules(table.get("rules", {}), place.child("rules"), layered),
    )


def read_selectors(value: object, place: Place) -> tuple[str, ...]:
    """Prefixes of codes, each of which at least one rule bears."""
    selectors = texts_of(value, place)
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


def _forget(value: object, place: Place) -> dict[str, Demand]:
    table = table_of(value, place)
    known_keys(table, FORGET_KEYS, place)
    return {key: _demand(key, entry, place.child(key)) for key, entry in table.items()}


def _demand(key: str, value: object, place: Place) -> Demand:
    if value is False:
        return None
    return read_preset(value, place) if key == "init" else read_bounds(key, value, place)


def read_preset(value: object, place: Place) -> str:
    """The text of a preset that there is."""
    from ..lstm.presets import parse

    if not isinstance(value, str):
        raise mistyped(place, "a preset's name or false", value)
    try:
        return str(parse(value))
    except BadPolicy as error:
        raise wrong(place, error.message) from None


def read_bounds(key: str, value: object, place: Place) -> Bounds:
    """The bounds of `forget.KEY`."""
    if not isinstance(value, dict):
        raise mistyped(place, f"a table ({{ {', '.join(PARTS[key])} }}) or false", value)
    known_keys(value, PARTS[key], place)
    numbers = {
        part: number_of(value[part], place.child(part)) for part in PARTS[key][1:] if part in value
    }
    stat = choice_of(value.get("stat", "mean"), STATISTICS, place.child("stat"))
    return checked_bounds(key, Bounds(stat, **numbers), place)


def checked_bounds(key: str, bounds: Bounds, place: Place) -> Bounds:
    """The bounds, if something can keep to them and something can break them."""
    if bounds.tolerance is not None and bounds.tolerance < 0:
        raise wrong(place, f"the tolerance {bounds.tolerance:g} is negative")
    if bounds.tolerance is not None and bounds.target is None:
        raise wrong(place, "a tolerance needs a target to lie around")
    limits = [limit for limit in (bounds.min, bounds.max) if limit is not None]
    if bounds.target is not None and limits:
        raise wrong(place, "give either a target or min and max, not both")
    if bounds.target is None and not limits:
        hint = "min, max or target" if "target" in PARTS[key] else "min or max"
        raise wrong(place, f"sets no bound: give {hint}, or write false for none")
    if sorted(limits) != limits:
        raise wrong(place, f"min {bounds.min:g} is above max {bounds.max:g}: nothing could pass")
    low, high = RANGES.get(key, (-float("inf"), float("inf")))
    for limit in limits:
        if not low <= limit <= high:
            raise wrong(place, f"{limit:g} is no {key}: those lie between {low:g} and {high:g}")
    return bounds


def _rules(value: object, place: Place, layered: bool) -> dict[str, dict[str, Any]]:
    table = table_of(value, place)
    return {code: _rule_options(code, entry, place, layered) for code, entry in table.items()}


def _rule_options(code: object, value: object, above: Place, layered: bool) -> dict[str, Any]:
    place = above.child(code)
    if not isinstance(code, str) or code not in set(RULES):
        raise wrong(place, f"no such rule; {_near_code(code)}")
    rule = RULES[code]
    kinds = table_options(rule)
    options = table_of(value, place)
    _known_options(rule, options, tuple(kinds), place, layered)
    given = {
        name: _option(name, options[name], kinds[name], place.child(name))
        for name in kinds
        if name in options
    }
    if SEVERITY in options:
        given[SEVERITY] = choice_of(options[SEVERITY], SEVERITIES, place.child(SEVERITY))
    return {name.replace("-", "_"): value for name, value in given.items()}


def table_options(rule: Rule) -> dict[str, type]:
    """What `[rules.CODE]` may set beside the severity, in TOML's spelling, with its types."""
    return (
        {}
        if rule.code in SET_BY
        else {name.replace("_", "-"): kind for name, kind in options_of(rule).items()}
    )


def _known_options(
    rule: Rule, names: Iterable[object], kinds: Sequence[str], place: Place, layered: bool
) -> None:
    for name in names:
        if name == SEVERITY:
            continue
        if rule.code in SET_BY:
            raise wrong(place.child(name), f"{rule.code} is set by {SET_BY[rule.code]}")
        if name not in kinds:
            raise wrong(
                place.child(name),
                f"{rule.code} has no such option; {suggest(name, [*kinds, SEVERITY])}",
            )
        if layered and rule.scope == "file":
            raise wrong(
                place.child(name),
                f"{rule.code} judges a whole file: its options cannot differ between layers",
            )


def _option(name: str, value: object, kind: type, place: Place) -> Any:
    return choice_of(value, STATISTICS, place) if name == "stat" else typed(value, kind, place)


def _overrides(value: object, place: Place) -> tuple[Override, ...]:
    if not isinstance(value, list):
        raise mistyped(place.child("override"), "tables ([[override]])", value)
    return tuple(
        _override(entry, place.child(f"override #{n}")) for n, entry in enumerate(value, 1)
    )


def _override(value: object, place: Place) -> Override:
    table = table_of(value, place)
    known_keys(table, OVERRIDE_KEYS, place)
    if not table.keys() & {"files", "layers"}:
        raise wrong(
            place, "names neither files nor layers; what holds everywhere belongs on the top"
        )
    settings = read_settings(table, place, layered="layers" in table)
    if settings == Settings():
        raise wrong(place, f"changes nothing; give one of {', '.join(OVERRIDE_KEYS[2:])}")
    return Override(
        files=_patterns(table, "files", place),
        layers=_patterns(table, "layers", place),
        settings=settings,
    )


def _patterns(table: Mapping[str, Any], key: str, place: Place) -> tuple[str, ...]:
    """One glob or a list of them; an empty list would match everything, so it is refused."""
    if key not in table:
        return ()
    value = table[key]
    patterns = (
        (text_of(value, place.child(key)),)
        if isinstance(value, str)
        else texts_of(value, place.child(key))
    )
    if not patterns:
        raise wrong(place.child(key), "an empty list matches nothing; give a glob")
    return patterns
