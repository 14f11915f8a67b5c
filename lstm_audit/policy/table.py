"""Which rule is on where: a table, complete before a rule runs.

Comes in: a `Policy`, a file's path, and the subjects in it with their names. Goes out: `Table`,
subject to code to `Setting`. Promise: the last override that fits a place and names a key decides
it, and nothing else is asked afterwards.
"""

from collections.abc import Iterable, Iterator, Mapping

from ..rules import RULES, Setting, Subject, Table
from .globs import file_matches, matches
from .model import BOUND_OF, INIT, REQUIRE, SEVERITY, Bounds, Override, Policy, Settings


def table_of(policy: Policy, path: str, subjects: Mapping[Subject, tuple[str, ...]]) -> Table:
    """The policy of one file, spelled out for each of its subjects."""
    fitting = overrides_for(policy, path)
    known: dict[tuple[bool, ...], Mapping[str, Setting]] = {}  # most subjects share one
    table = {}
    for subject, names in subjects.items():
        which = tuple(covers(override, names) for override in fitting)
        if which not in known:
            chosen = [o for o, covering in zip(fitting, which, strict=True) if covering]
            known[which] = dict(_settings(policy, merged(policy.settings, chosen)))
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
    return merged(policy.settings, [o for o in overrides_for(policy, path) if not o.layers])


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


def _settings(policy: Policy, settings: Settings) -> Iterator[tuple[str, Setting]]:
    """Every rule that is on under some settings."""
    for code in RULES:
        if selects(settings, code):
            options = _options(policy, settings, code)
            if options is not None:
                severity = settings.rules.get(code, {}).get(SEVERITY)
                yield code, Setting(options, severity)


def _options(policy: Policy, settings: Settings, code: str) -> Mapping[str, object] | None:
    """The options of one rule under settings, None when its bound is not set."""
    if code in BOUND_OF:
        bounds = settings.forget.get(BOUND_OF[code])
        return bounds.options() if isinstance(bounds, Bounds) else None
    if code == INIT:
        preset = settings.forget.get("init")
        return None if preset is None else {"preset": preset}
    if code == REQUIRE:
        return {"required": True} if policy.require_lstm else None
    return {name: value for name, value in settings.rules.get(code, {}).items() if name != SEVERITY}
