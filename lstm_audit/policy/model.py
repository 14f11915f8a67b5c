"""What a policy is: which rules are on, with which options, for which files and layers.

Comes in: nothing. Goes out: `Policy`, frozen and picklable. Promise: every value knows where it was
set.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..lstm.measure import Stats

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
