"""The flags of the command line over the policy of the file.

Comes in: a `Policy`, and the flags that were given. Goes out: another `Policy`. Promise: a flag
holds for every file and layer, whatever an override says; what no flag names stays as it was, so
that a flag never loosens a bound unseen.
"""

from collections.abc import Callable, Mapping, Sequence

from ..errors import BadPolicy
from .kinds import Place, choice_of, number_of, wrong
from .model import FAIL_ON, STATISTICS, Bounds, Override, Policy, Settings
from .read import checked_bounds, read_preset, read_selectors

CHECKSUM = "LA902"
EVERYTHING = 1 << 62
"""Bytes: larger than any file."""

Parts = Mapping[str, float]
"""Parts of a bound, as flags set them."""


def with_flags(
    policy: Policy,
    *,
    forget_bias: float | None = None,
    tolerance: float | None = None,
    min_activation: float | None = None,
    max_activation: float | None = None,
    min_time_scale: float | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    fail_on: str | None = None,
    require_lstm: bool | None = None,
    verify: bool = False,
    init: str | None = None,
    stat: str | None = None,
) -> Policy:
    """The policy under flags; what is None or empty was not given. Raises `BadPolicy`, naming the
    flag.

    A number replaces that part of a bound wherever the bound is set, and sets it where it is not;
    `forget_bias` replaces min and max. `select` replaces every selection and beats an equal
    `ignore`; `ignore` adds to every one. `verify` checks every stored checksum over a bias, however
    large (LA902). `init` is the preset that is demanded, and `stat` the statistic of every bound.
    """
    numbers = {
        "--forget-bias": ("bias", "target", forget_bias),
        "--tolerance": ("bias", "tolerance", tolerance),
        "--min-activation": ("activation", "min", min_activation),
        "--max-activation": ("activation", "max", max_activation),
        "--min-time-scale": ("time-scale", "min", min_time_scale),
    }
    for key in ("bias", "activation", "time-scale"):
        given = {
            flag: (part, value)
            for flag, (k, part, value) in numbers.items()
            if k == key and value is not None
        }
        if given:
            policy = _bound(policy, key, given)
    policy = _with_stat(policy, stat) if stat is not None else policy
    policy = _with_init(policy, init) if init is not None else policy
    policy = _selected(policy, tuple(select), tuple(ignore))
    if fail_on is not None:
        policy = policy._replace(fail_on=choice_of(fail_on, FAIL_ON, Place("--fail-on")))
        policy = _noted(policy, {"fail-on": "--fail-on"})
    if require_lstm is not None:
        flag = "--require-lstm" if require_lstm else "--no-require-lstm"
        policy = _noted(policy._replace(require_lstm=require_lstm), {"require-lstm": flag})
    return _everywhere(policy, _verifying) if verify else policy


def _with_stat(policy: Policy, stat: str) -> Policy:
    """Every bound, of this statistic."""
    chosen = choice_of(stat, STATISTICS, Place("--stat"))
    every = [policy.settings, *(o.settings for o in policy.overrides)]
    if not any(isinstance(demand, Bounds) for s in every for demand in s.forget.values()):
        raise BadPolicy("--stat: there is no bound whose statistic it could be")

    def change(settings: Settings, before: str) -> Settings:
        forget = {
            key: demand._replace(stat=chosen) if isinstance(demand, Bounds) else demand
            for key, demand in settings.forget.items()
        }
        return settings._replace(forget=forget)

    return _everywhere(policy, change)


def _with_init(policy: Policy, init: str) -> Policy:
    """The preset that is demanded, wherever one is; and on the top, where none is."""
    chosen = read_preset(init, Place("--init"))

    def change(settings: Settings, before: str) -> Settings:
        if before and "init" not in settings.forget:
            return settings
        return settings._replace(forget={**settings.forget, "init": chosen})

    return _noted(_everywhere(policy, change), {"forget.init": "--init"})


def _verifying(settings: Settings, before: str) -> Settings:
    """LA902 without its limit, wherever its table is set; and on the top, where none is."""
    if before and CHECKSUM not in settings.rules:
        return settings
    return settings._replace(
        rules={
            **settings.rules,
            CHECKSUM: {**settings.rules.get(CHECKSUM, {}), "limit": EVERYTHING},
        }
    )


def _noted(policy: Policy, origins: Mapping[str, str]) -> Policy:
    return policy._replace(origins={**policy.origins, **origins})


def _everywhere(policy: Policy, change: Callable[[Settings, str], Settings]) -> Policy:
    """The policy with its settings and those of every override changed; `change` gets the prefix of
    their keys.
    """
    overrides = tuple(
        Override(o.files, o.layers, change(o.settings, f"override #{n}."))
        for n, o in enumerate(policy.overrides, 1)
    )
    return policy._replace(settings=change(policy.settings, ""), overrides=overrides)


def _bound(policy: Policy, key: str, given: Mapping[str, tuple[str, float]]) -> Policy:
    """One bound under its flags, wherever it is set; and on the top, where none is."""
    parts = {part: number_of(value, Place(flag)) for flag, (part, value) in given.items()}
    if set(parts) == {"tolerance"} and not _has_target(policy):
        raise BadPolicy("--tolerance: needs --forget-bias, or a target in the policy")
    flags, origins = ", ".join(given), dict(policy.origins)

    def change(settings: Settings, before: str) -> Settings:
        name = f"{before}forget.{key}"
        old = settings.forget.get(key)
        bounds = old if isinstance(old, Bounds) else None
        if (key not in settings.forget and before) or not _applies(bounds, parts):
            return settings
        was = f", {policy.origins[name]}" if bounds and name in policy.origins else ""
        origins[name] = flags + was
        new = checked_bounds(key, _refined(bounds, parts), Place(flags + was))
        return settings._replace(forget={**settings.forget, key: new})

    return _everywhere(policy, change)._replace(origins=origins)


def _has_target(policy: Policy) -> bool:
    every = [policy.settings, *(o.settings for o in policy.overrides)]
    return any(
        isinstance(b := s.forget.get("bias"), Bounds) and b.target is not None for s in every
    )


def _applies(bounds: Bounds | None, parts: Parts) -> bool:
    """A tolerance alone says nothing of bounds without a target."""
    return set(parts) != {"tolerance"} or (bounds is not None and bounds.target is not None)


def _refined(bounds: Bounds | None, parts: Parts) -> Bounds:
    old = bounds or Bounds()
    if "target" in parts:
        return Bounds(
            old.stat, target=parts["target"], tolerance=parts.get("tolerance", old.tolerance)
        )
    low, high = parts.get("min", old.min), parts.get("max", old.max)
    return Bounds(old.stat, low, high, old.target, parts.get("tolerance", old.tolerance))


def _selected(policy: Policy, select: tuple[str, ...], ignore: tuple[str, ...]) -> Policy:
    if select:
        select = read_selectors(_split(select), Place("--select"))
    if ignore:
        ignore = read_selectors(_split(ignore), Place("--ignore"))
    if set(select) & set(ignore):
        raise wrong(
            Place("--ignore"),
            f"{', '.join(sorted(set(select) & set(ignore)))} is selected by --select too",
        )
    origins = dict(policy.origins)

    def change(settings: Settings, before: str) -> Settings:
        if select and settings.select is not None:
            settings = settings._replace(select=select)
            origins[f"{before}select"] = "--select"
        if settings.ignore is None:
            return settings
        kept = tuple(s for s in settings.ignore if s not in select and s not in ignore)
        if (new := kept + ignore) != settings.ignore:
            was = f", {origins[name]}" if (name := f"{before}ignore") in origins and kept else ""
            origins[name] = ("--ignore" if ignore else "--select") + was
        return settings._replace(ignore=new)

    return _everywhere(policy, change)._replace(origins=origins)


def _split(values: tuple[str, ...]) -> tuple[str, ...]:
    """`--select LA1,LA3` is `--select LA1 --select LA3`."""
    return tuple(part.strip() for value in values for part in value.split(","))
