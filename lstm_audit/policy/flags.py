"""The flags of the command line over the policy of the file.

Comes in: a `Policy`, and the flags that were given. Goes out: another `Policy`. Promise: a flag
holds for every file and layer, whatever an override says; what no flag names stays as it was, so
that a flag never loosens a bound unseen.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import BadPolicy
from ..spelling import suggest
from .bounds import STATISTICS, Bounds, check_bounds
from .key import Flag, PolicyKey
from .keys import KEYS, STAT, flags, read_selectors
from .kinds import KeyPlace, read_choice, read_number, wrong
from .model import Override, Policy, Settings

CHECKSUM = "rules.LA902"
VERIFY_NAME = "verify"
# Bytes: larger than any file.
NO_LIMIT = 1 << 62

# Numbers of a bound, as flags set them.
BoundParts = Mapping[str, float]

# What a flag makes of settings, on the top or in an override whose keys begin with the text.
Revision = Callable[[Settings, str], Settings]


def with_flags(policy: Policy, **given: Any) -> Policy:
    """The policy under flags, named as in `keys`; what is None or empty was not given. Raises
    `BadPolicy`, naming the flag.

    A number replaces that part of a bound wherever the bound is set, and sets it where it is not; a
    target replaces min and max. `select` replaces every selection and beats an equal `ignore`;
    `ignore` adds to every one. `verify` checks every stored checksum over a bias, however large
    (LA902); `stat` is the statistic of every bound.
    """
    _refuse_unknown(given, [STAT.name, *(flag.name for _, flag in flags())])
    said = {name: value for name, value in given.items() if value is not None}
    for key in KEYS:
        mine = [flag for flag in key.flags if flag.name in said]
        if mine and mine[0].part:
            policy = _with_bound(policy, key, {flag: said[flag.name] for flag in mine})
        elif mine and not mine[0].many:
            policy = _with_value(policy, key, mine[0], said[mine[0].name])
    policy = _with_stat(policy, said[STAT.name]) if STAT.name in said else policy
    policy = _with_selection(
        policy, *(_split_codes(said.get(name, ())) for name in ("select", "ignore"))
    )
    return _verifying(policy) if said.get(VERIFY_NAME) else policy


def _refuse_unknown(given: Iterable[str], names: Sequence[str]) -> None:
    for name in given:
        if name not in (*names, VERIFY_NAME):
            raise BadPolicy(f"{name}: no such flag; {suggest(name, [*names, VERIFY_NAME])}")


def _split_codes(given: str | Iterable[str]) -> tuple[str, ...]:
    """`--select LA1,LA3` is `--select LA1 --select LA3`; one string is one such text."""
    if not isinstance(given, Iterable) or isinstance(given, bytes):
        raise BadPolicy(f"select and ignore are codes, such as 'LA1', not {given!r}")
    values = (given,) if isinstance(given, str) else tuple(given)
    return tuple(part.strip() for value in values for part in str(value).split(","))


def _everywhere(policy: Policy, change: Revision) -> Policy:
    """The policy with its settings and those of every override changed."""
    overrides = tuple(
        Override(o.files, o.layers, change(o.settings, f"override #{n}."))
        for n, o in enumerate(policy.overrides, 1)
    )
    return policy._replace(settings=change(policy.settings, ""), overrides=overrides)


def _with_value(policy: Policy, key: PolicyKey, flag: Flag, value: object) -> Policy:
    """A key set wherever it is set; and on the top, where none is."""
    spelling = flag.off if flag.off and value is False else flag.spelling
    new, origins = key.read(value, KeyPlace(spelling)), dict(policy.origins)

    def change(settings: Settings, before: str) -> Settings:
        if before and key.name not in settings:
            return settings
        origins[before + key.name] = spelling
        return {**settings, key.name: new}

    return _everywhere(policy, change)._replace(origins=origins)


def _with_stat(policy: Policy, stat: object) -> Policy:
    """Every bound, of this statistic."""
    chosen = read_choice(stat, STATISTICS, KeyPlace(STAT.spelling))
    every = [policy.settings, *(override.settings for override in policy.overrides)]
    if not any(isinstance(value, Bounds) for settings in every for value in settings.values()):
        raise BadPolicy("--stat: there is no bound whose statistic it could be")

    def change(settings: Settings, before: str) -> Settings:
        return {
            name: value._replace(stat=chosen) if isinstance(value, Bounds) else value
            for name, value in settings.items()
        }

    return _everywhere(policy, change)


def _verifying(policy: Policy) -> Policy:
    """LA902 without its limit, wherever its table is set; and on the top, where none is."""

    def change(settings: Settings, before: str) -> Settings:
        if before and CHECKSUM not in settings:
            return settings
        return {**settings, CHECKSUM: {**settings.get(CHECKSUM, {}), "limit": NO_LIMIT}}

    policy = _everywhere(policy, change)
    return policy._replace(origins={**policy.origins, CHECKSUM: "--verify"})


# ---- bounds


def _with_bound(policy: Policy, key: PolicyKey, given: Mapping[Flag, object]) -> Policy:
    """One bound under its flags, wherever it is set; and on the top, where none is."""
    parts = {
        flag.part: read_number(value, KeyPlace(flag.spelling)) for flag, value in given.items()
    }
    if set(parts) == {"tolerance"} and not _has_target(policy, key):
        raise BadPolicy("--tolerance: needs --forget-bias, or a target in the policy")
    spelled, origins = ", ".join(flag.spelling for flag in given), dict(policy.origins)
    if "target" in parts and parts.keys() & {"min", "max"}:
        raise BadPolicy(f"{spelled}: give a value or bounds, not both")
    quantity = key.quantity
    assert quantity is not None  # only its flags have parts

    def change(settings: Settings, before: str) -> Settings:
        bounds: Bounds | None = settings.get(key.name)
        if (key.name not in settings and before) or not _applies(bounds, parts):
            return settings
        name = before + key.name
        was = f", {policy.origins[name]}" if bounds and name in policy.origins else ""
        origins[name] = spelled + was
        new = check_bounds(quantity, _refine(bounds, parts), KeyPlace(spelled + was))
        return {**settings, key.name: new}

    return _everywhere(policy, change)._replace(origins=origins)


def _has_target(policy: Policy, key: PolicyKey) -> bool:
    every = [policy.settings, *(override.settings for override in policy.overrides)]
    bounds = [settings.get(key.name) for settings in every]
    return any(one is not None and one.target is not None for one in bounds)


def _applies(bounds: Bounds | None, parts: BoundParts) -> bool:
    """A tolerance alone says nothing of bounds without a target."""
    return set(parts) != {"tolerance"} or (bounds is not None and bounds.target is not None)


def _refine(bounds: Bounds | None, parts: BoundParts) -> Bounds:
    old = bounds or Bounds()
    if "target" in parts:
        return Bounds(
            old.stat, target=parts["target"], tolerance=parts.get("tolerance", old.tolerance)
        )
    low, high = parts.get("min", old.min), parts.get("max", old.max)
    return Bounds(old.stat, low, high, old.target, parts.get("tolerance", old.tolerance))


# ---- which rules are on


def _with_selection(policy: Policy, select: tuple[str, ...], ignore: tuple[str, ...]) -> Policy:
    if select:
        select = read_selectors(select, KeyPlace("--select"))
    if ignore:
        ignore = read_selectors(ignore, KeyPlace("--ignore"))
    if both := sorted(set(select) & set(ignore)):
        raise wrong(KeyPlace("--ignore"), f"{', '.join(both)} is selected by --select too")
    if not (select or ignore):
        return policy
    origins = dict(policy.origins)

    def change(settings: Settings, before: str) -> Settings:
        new = dict(settings)
        if select and "select" in settings:
            new["select"] = select
            origins[f"{before}select"] = "--select"
        if "ignore" in settings:
            kept = tuple(s for s in settings["ignore"] if s not in select and s not in ignore)
            new["ignore"] = kept + ignore
            if new["ignore"] != settings["ignore"]:
                name = f"{before}ignore"
                was = f", {origins[name]}" if name in origins and kept else ""
                origins[name] = ("--ignore" if ignore else "--select") + was
        return new

    return _everywhere(policy, change)._replace(origins=origins)
