"""Which rule is on where: a table, complete before a rule runs.

Comes in: a `Policy`, a file's path, and the subjects in it with their names. Goes out:
`SettingsTable`, subject to code to `Setting`. Promise: the last override that fits a place and
names a key decides it, and nothing else is asked afterwards.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from ..rules import RULES, Setting, SettingsTable, Subject
from .globs import file_matches, matches
from .key import Options
from .keys import SEVERITY, set_by
from .model import Override, Policy, Settings

# A rule that is on, of which the policy says nothing more.
PLAIN = Setting()


# Overrides are looked at once for each subject, before any rule runs; subjects that fall under the
# same overrides share one dict, so that a file of a thousand LSTMs has a handful. Rules then index
# the table: there is no second place that could decide differently.
def spell_out(
    policy: Policy, path: str, subjects: Mapping[Subject, tuple[str, ...]]
) -> SettingsTable:
    """The policy of one file, spelled out for each of its subjects."""
    fitting = overrides_for(policy, path)
    known: dict[tuple[bool, ...], Mapping[str, Setting]] = {}  # most subjects share one
    table = {}
    for subject, names in subjects.items():
        which = tuple(covers(override, names) for override in fitting)
        if which not in known:
            chosen = [o for o, covering in zip(fitting, which, strict=True) if covering]
            known[which] = dict(_rules_on(override_settings(policy.settings, chosen)))
        table[subject] = known[which]
    return table


def overrides_for(policy: Policy, path: str) -> tuple[Override, ...]:
    """The overrides whose `files` match, in their order."""
    return tuple(
        o for o in policy.overrides if not o.files or file_matches(path, policy.folder, o.files)
    )


def covers(override: Override, names: Iterable[str]) -> bool:
    """Whether an override's `layers` match one of the names of a place; the file as a whole has
    none.
    """
    return not override.layers or matches(names, override.layers)


def of_whole_file(policy: Policy, path: str) -> Settings:
    """The settings for a file where no layer is looked at."""
    return override_settings(
        policy.settings, [o for o in overrides_for(policy, path) if not o.layers]
    )


def override_settings(settings: Settings, overrides: Iterable[Override]) -> Settings:
    """The settings under overrides: each replaces the keys that it names, whole, and leaves the
    rest.
    """
    every = dict(settings)
    for override in overrides:
        every.update(override.settings)
    return every


def selects(settings: Settings, code: str) -> bool:
    """Whether a rule is on: the longest prefix decides, and `ignore` between equals."""
    return reach(settings["select"], code) > reach(settings["ignore"], code)


# The longest prefix wins, as in ruff: `select = ["LA"]` with `ignore = ["LA1"]` turns LA101 off,
# and `select = ["LA101"]` beside that turns it on again.
def reach(selectors: Iterable[str], code: str) -> int:
    """The length of the longest selector that matches a code, 0 for none; ALL is as long as LA."""
    longest = (
        0  # no expression: asked twice of each of thirty rules, two generators were 2 % of all
    )
    for selector in selectors:
        prefix = "LA" if selector == "ALL" else selector
        if code.startswith(prefix):
            longest = max(longest, len(prefix))
    return longest


def _rules_on(settings: Settings) -> Iterator[tuple[str, Setting]]:
    """Every rule that is on under some settings."""
    keys = set_by()
    for code in _select_codes(settings["select"], settings["ignore"], tuple(RULES)):
        given, key = settings.get(f"rules.{code}"), keys.get(code)
        if not given and key is None:  # most rules
            yield code, PLAIN
            continue
        given = given or {}
        options: Options = {name: given[name] for name in given if name != SEVERITY}
        if key is not None:
            options = key.options(settings.get(key.name))
        if options is not None:
            yield code, Setting(options, given.get(SEVERITY))


# Every file of a run asks the same: to compare each code with each selector anew would be 2 % of an
# audit.
@lru_cache(maxsize=16)
def _select_codes(
    select: tuple[str, ...], ignore: tuple[str, ...], codes: tuple[str, ...]
) -> tuple[str, ...]:
    """The codes that are selected."""
    settings = {"select": select, "ignore": ignore}
    return tuple(code for code in codes if selects(settings, code))
