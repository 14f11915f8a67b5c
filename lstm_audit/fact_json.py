"""Facts as JSON: an object's keys are the fields of its type, but for those that a table names.

Comes in: named tuples. Goes out: plain JSON values, and the keys of a type with their types, from
which the schema is derived (`schemas`). Promise: strict JSON; the document and its schema come from
the same tables. A type is known here by its name: this file lies below those that define it.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, get_type_hints

from .tuples import NamedTuple

# Fields that the JSON does not show.
HIDDEN = frozenset(
    {
        ("Measures", "histogram"),
        ("LstmFacts", "tied"),
        ("LstmFacts", "two_halves"),
        ("LstmFacts", "fixable"),
        ("LstmFacts", "locations"),
        ("Row", "units"),
        ("Target", "seed"),
        ("Target", "couple"),
        ("Target", "donor"),
        ("Fix", "identities"),
        ("Fix", "ambiguous"),
        ("FileAudit", "left_out"),
        ("FileAudit", "counters"),
        ("FileAudit", "stamps"),
        ("FileAudit", "warnings"),
        ("Finding", "convention"),
        ("Finding", "ambiguous"),
    }
)

# Fields whose own keys stand among those of their owner.
INLINE = frozenset({("Row", "lstm"), ("Row", "measures"), ("LstmFacts", "identity")})

# Properties that are keys as well, by the field that they stand behind.
COMPUTED: Mapping[tuple[str, str], str] = {
    ("Fix", "identities"): "addresses",
    ("Finding", "expected"): "fixable",
    ("Finding", "column"): "fingerprint",
}

# Keys that are called otherwise than their field.
RENAMED: Mapping[tuple[str, str], str] = {("FileAudit", "rows"): "lstms"}


class JsonKey(NamedTuple):
    """A key of an object of the JSON: where the value is found in the fact, and its type."""

    name: str
    attribute: str
    type: Any


@lru_cache
def keys_of(facts: type) -> tuple[JsonKey, ...]:
    """The keys of the object that a type of fact becomes, in their order."""
    return tuple(_keys(facts))


def _keys(facts: Any) -> Iterator[JsonKey]:
    hints = get_type_hints(facts, include_extras=True)
    for field in facts._fields:
        at = (facts.__name__, field)
        if at in INLINE:
            for key in keys_of(hints[field]):
                yield key._replace(attribute=f"{field}.{key.attribute}")
        elif at not in HIDDEN:
            yield JsonKey(RENAMED.get(at, field), field, hints[field])
        if name := COMPUTED.get(at):
            hint = get_type_hints(getattr(facts, name).fget, include_extras=True)["return"]
            yield JsonKey(name, name, hint)


@lru_cache
def _getters(facts: type) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    return tuple((key.name, attrgetter(key.attribute)) for key in keys_of(facts))


def as_json(value: Any) -> Any:
    """A fact as plain JSON values."""
    if isinstance(value, float):
        return json_number(value)
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return {name: as_json(get(value)) for name, get in _getters(type(value))}
        return [as_json(item) for item in value]
    if isinstance(value, Mapping):
        return {name: as_json(item) for name, item in value.items()}
    return value


def json_number(value: float) -> float | str:
    """A float as strict JSON can hold it."""
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
