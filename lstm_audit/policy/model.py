"""What a policy is: which rules are on, with which options, for which files and layers.

Comes in: nothing. Goes out: `Policy`, frozen and picklable, and the `Options` that the rules are
called with. Promise: every value knows where it was set, and the last override that fits a place
and names a key decides it.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..lstm.layer import Lstm
from ..lstm.measure import Stats
from ..rules import Options, Rule
from .globs import file_matches, layer_matches

STATISTICS = (*Stats._fields, "each")
"""What a bound is compared with: a statistic over units, or every unit by itself."""

FAIL_ON = ("error", "warning", "info", "never")

PARTS = {
    "bias": ("stat", "min", "max", "target", "tolerance"),
    "activation": ("stat", "min", "max"),
    "time-scale": ("stat", "min", "max"),
}
"""The keys of each bound under `forget`."""

BOUND_OF = {"LA201": "bias", "LA202": "activation", "LA203": "time-scale"}
INIT = "LA204"
REQUIRE = "LA205"
SET_BY = {
    **{code: f"forget.{key}" for code, key in BOUND_OF.items()},
    INIT: "forget.init",
    REQUIRE: "require-lstm",
}
"""The rules whose options are keys of their own, not of the `rules` table."""

SEVERITY = "severity"
"""What every rule's table may set beside the rule's own options."""


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
        parts = {key: getattr(self, key) for key in PARTS["bias"]}
        return {key: value for key, value in parts.items() if value is not None}


Demand = Bounds | str | None
"""What `forget.KEY` holds: bounds, the text of a preset (`init`), or None for switched off."""


class Settings(NamedTuple):
    """What an override can replace. None, or a key that is missing: not set here.

    `select` and `ignore` hold prefixes of codes; `forget` maps bias, activation, time-scale and
    init; `rules` maps a code to its options.
    """

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    forget: Mapping[str, Demand] = {}
    rules: Mapping[str, Mapping[str, Any]] = {}


class Override(NamedTuple):
    """Settings for the files and layers that match; an empty tuple of globs matches all."""

    files: tuple[str, ...]
    layers: tuple[str, ...]
    settings: Settings


DEFAULTS = Settings(select=("LA",), ignore=())


class Policy(NamedTuple):
    """Everything that a verdict depends on.

    `folder` is the one that `files` globs are relative to, empty without a configuration file.
    `origins` maps the keys that `describe` shows to where they were set; what is missing there is a
    default.
    """

    settings: Settings = DEFAULTS
    overrides: tuple[Override, ...] = ()
    fail_on: str = "error"
    require_lstm: bool = True
    folder: str = ""
    file: str | None = None
    origins: Mapping[str, str] = {}

    def options_for(self, path: str) -> Options:
        """What `rules.judge` asks for: the options of a rule on an LSTM of the file, or None where
        it is off.

        A rule that judges the file as a whole is on when it is on anywhere in it; `verdict.settle`
        then drops what it found where it is off.
        """
        of_place = options_at(self, path)
        fitting = overrides_for(self, path)

        def options(rule: Rule, lstm: Lstm | None) -> Mapping[str, Any] | None:
            if lstm is not None:
                return of_place(rule.code, lstm.module, lstm.address)
            return _anywhere(self, fitting, rule.code)

        return options


Place = Callable[[str, str | None, str], Mapping[str, Any] | None]


def options_at(policy: Policy, path: str) -> Place:
    """The options of a rule at a place in a file: called with its code, the module, the address."""
    fitting = overrides_for(policy, path)
    which: dict[tuple[str | None, str], tuple[Override, ...]] = {}
    chosen: dict[tuple[int, ...], dict[str, Mapping[str, Any] | None]] = {}

    def options(code: str, module: str | None, address: str) -> Mapping[str, Any] | None:
        place = (module, address)
        if place not in which:
            which[place] = tuple(o for o in fitting if covers(o, module, address))
        known = chosen.setdefault(tuple(map(id, which[place])), {})
        if code not in known:
            known[code] = _options(policy, merged(policy.settings, which[place]), code)
        return known[code]

    return options


def overrides_for(policy: Policy, path: str) -> tuple[Override, ...]:
    """The overrides whose `files` match, in their order."""
    return tuple(
        o for o in policy.overrides if not o.files or file_matches(path, policy.folder, o.files)
    )


def covers(override: Override, module: str | None, address: str) -> bool:
    """Whether an override's `layers` match a place; the file as a whole (no module) is in no
    layer.
    """
    return not override.layers or (
        module is not None and layer_matches(module, address, override.layers)
    )


def merged(settings: Settings, overrides: Iterable[Override]) -> Settings:
    """The settings under overrides: each replaces the keys that it names, whole, and leaves the
    rest.
    """
    for override in overrides:
        new = override.settings
        settings = Settings(
            settings.select if new.select is None else new.select,
            settings.ignore if new.ignore is None else new.ignore,
            {**settings.forget, **new.forget},
            {**settings.rules, **new.rules},
        )
    return settings


def selects(settings: Settings, code: str) -> bool:
    """Whether a rule is on: the longest prefix decides, and `ignore` between equals."""
    return reach(settings.select or (), code) > reach(settings.ignore or (), code)


def reach(selectors: Iterable[str], code: str) -> int:
    """The length of the longest selector that matches a code, 0 for none; ALL is as long as LA."""
    prefixes = ("LA" if selector == "ALL" else selector for selector in selectors)
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=0)


def _options(policy: Policy, settings: Settings, code: str) -> Mapping[str, Any] | None:
    """The options of one rule under settings, None when it is off or its bound is not set."""
    if not selects(settings, code):
        return None
    if code in BOUND_OF:
        bounds = settings.forget.get(BOUND_OF[code])
        return bounds.options() if isinstance(bounds, Bounds) else None
    if code == INIT:
        preset = settings.forget.get("init")
        return None if preset is None else {"preset": preset}
    if code == REQUIRE:
        return {"required": True} if policy.require_lstm else None
    return {name: value for name, value in settings.rules.get(code, {}).items() if name != SEVERITY}


def _anywhere(policy: Policy, fitting: Iterable[Override], code: str) -> Mapping[str, Any] | None:
    """The options of a rule that judges a whole file: the file's own, else those of the first
    layers it is on for.
    """
    fitting = tuple(fitting)
    for layered in (None, *(o for o in fitting if o.layers)):
        here = [o for o in fitting if not o.layers or o is layered]
        options = _options(policy, merged(policy.settings, here), code)
        if options is not None:
            return options
    return None
