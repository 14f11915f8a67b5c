"""A table out of TOML into a `Policy`.

Comes in: the table, and where it stood. Goes out: a `Policy`, or `BadPolicy`. Promise: nothing that
is not understood is passed over: a key, code, option, statistic or preset that does not exist is
refused with what was perhaps meant.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ..lstm.own import Own
from .key import PolicyKey
from .keys import KEYS, defaults, rule_key, rule_of
from .kinds import (
    KeyPlace,
    read_table,
    read_text,
    read_texts,
    refuse_unknown_keys,
    wrong,
    wrong_type,
)
from .model import Override, Policy

RULES_KEY, OVERRIDE, CONVENTION = "rules", "override", "convention"
# The keys that say what an override is for.
GLOBS = ("files", "layers")


class Assignment(NamedTuple):
    """A key that a table sets: its row, the value as TOML has it, and its place."""

    key: PolicyKey
    value: object
    place: KeyPlace


def names_on_top(layered: bool = False) -> tuple[str, ...]:
    """The names that a table may hold: keys, and the tables in which further keys stand."""
    rows = [key.name for key in KEYS if key.layered or not layered]
    names = tuple(dict.fromkeys(name.partition(".")[0] for name in rows))
    return (*GLOBS, *names, RULES_KEY) if layered else (*names, RULES_KEY, OVERRIDE, CONVENTION)


def read_policy(table: object, file: str, folder: str = "", prefix: str = "") -> Policy:
    """The policy that a table holds; `prefix` is the table's own place in the file
    (`tool.lstm-audit`).
    """
    place = KeyPlace(file, prefix)
    top = read_table(table, place)
    refuse_unknown_keys(top, names_on_top(), place)
    if top.get("select") == []:
        raise wrong(
            place.child("select"),
            'selects no rule: nothing could ever fail; to want that, fail-on = "never"',
        )
    origins: dict[str, str] = {}
    settings = _read_settings(top, place, origins, "", layered=False)
    overrides = _read_overrides(top.get(OVERRIDE, []), place, origins)
    conventions = _read_conventions(top, place, origins)
    return Policy({**defaults(), **settings}, overrides, folder, file, origins, conventions)


def _read_conventions(
    top: Mapping[str, Any], place: KeyPlace, origins: dict[str, str]
) -> tuple[Own, ...]:
    if CONVENTION not in top:
        return ()
    from .convention import TEXTS, read_conventions  # 1 ms that hardly a policy needs

    found = read_conventions(top[CONVENTION], place.child(CONVENTION))
    for own in found:
        for key in (*dict(own.tensors), *TEXTS):
            origins[f"convention {own.name}.{key}"] = str(place.child(CONVENTION))
    return found


def _read_settings(
    table: Mapping[str, Any], place: KeyPlace, origins: dict[str, str], before: str, layered: bool
) -> dict[str, Any]:
    """What a table says of keys, on the top or in an override; `before` begins their names in the
    description.
    """
    settings = {}
    for entry in _assignments(table, place, layered):
        settings[entry.key.name] = entry.key.read(entry.value, entry.place)
        origins[before + entry.key.name] = str(entry.place)
    return settings


def _assignments(table: Mapping[str, Any], place: KeyPlace, layered: bool) -> Iterator[Assignment]:
    """The keys that a table sets, in the order of the rows."""
    groups = _groups(layered)
    for name, rows in groups.items():
        if name in table and rows[0].name == name:
            yield Assignment(rows[0], table[name], place.child(name))
        elif name in table:
            inner, at = read_table(table[name], place.child(name)), place.child(name)
            parts = {row.name.partition(".")[2]: row for row in rows}
            refuse_unknown_keys(inner, tuple(parts), at)
            for part, value in inner.items():
                yield Assignment(parts[part], value, at.child(part))
    at = place.child(RULES_KEY)
    for code, value in read_table(table.get(RULES_KEY, {}), at).items():
        yield _assign_rule(code, value, at.child(code), "layers" in table)


def _groups(layered: bool) -> dict[str, list[PolicyKey]]:
    """The rows by the first part of their names."""
    groups: dict[str, list[PolicyKey]] = {}
    for key in KEYS:
        if key.layered or not layered:
            groups.setdefault(key.name.partition(".")[0], []).append(key)
    return groups


def _assign_rule(code: object, value: object, place: KeyPlace, some_layers: bool) -> Assignment:
    rule = rule_of(code, place)
    options = [name for name in read_table(value, place) if name != "severity"]
    entry = Assignment(rule_key(rule), value, place)
    if some_layers and rule.scope == "file" and options:
        entry.key.read(value, place)  # an option that does not exist is the worse mistake
        raise wrong(
            place.child(options[0]),
            f"{rule.code} judges a whole file: its options cannot differ between layers",
        )
    return entry


def _read_overrides(
    value: object, place: KeyPlace, origins: dict[str, str]
) -> tuple[Override, ...]:
    if not isinstance(value, list):
        raise wrong_type(place.child(OVERRIDE), "tables ([[override]])", value)
    return tuple(
        _read_override(entry, place.child(f"override #{n}"), origins, f"override #{n}.")
        for n, entry in enumerate(value, 1)
    )


def _read_override(
    value: object, place: KeyPlace, origins: dict[str, str], before: str
) -> Override:
    table = read_table(value, place)
    names = names_on_top(layered=True)
    refuse_unknown_keys(table, names, place)
    if not table.keys() & set(GLOBS):
        raise wrong(
            place, "names neither files nor layers; what holds everywhere belongs on the top"
        )
    settings = _read_settings(table, place, origins, before, layered=True)
    if not settings:
        raise wrong(place, f"changes nothing; give one of {', '.join(names[len(GLOBS) :])}")
    origins |= {before + name: str(place.child(name)) for name in GLOBS if name in table}
    files, layers = (_read_globs(table, name, place) for name in GLOBS)
    return Override(files, layers, settings)


def _read_globs(table: Mapping[str, Any], key: str, place: KeyPlace) -> tuple[str, ...]:
    """One glob or a list of them; an empty list would match everything, so it is refused."""
    if key not in table:
        return ()
    value, at = table[key], place.child(key)
    globs = (read_text(value, at),) if isinstance(value, str) else read_texts(value, at)
    if not globs:
        raise wrong(at, "an empty list matches nothing; give a glob")
    return globs
