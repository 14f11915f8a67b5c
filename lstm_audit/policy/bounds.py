"""Bounds of a quantity: what a statistic of the forget gate must keep to.

Comes in: what TOML holds under `forget.NAME`. Goes out: `Bounds`, or `BadPolicy`. Promise: bounds
that nothing could keep to, or nothing could break, are refused.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..facts import Json
from ..lstm.measure import Stats
from ..rules import RULES
from ..tuples import NamedTuple
from .key import Flag, PolicyKey, Quantity, toml, toml_table
from .kinds import KeyPlace, read_choice, read_number, refuse_unknown_keys, wrong, wrong_type

# What a bound is compared with: a statistic over units, or every unit by itself.
STATISTICS = (*Stats._fields, "each")

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


# A bound that every value keeps, or none can, is a slip of the pen (70 for 0.70) that would make a
# check pass or fail for ever: it is an error of the policy, not a finding.
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
