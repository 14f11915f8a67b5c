"""A policy in words: every key that is in force, its value as TOML, and where it was set.

Comes in: a `Policy`. Goes out: lines for `lstm-audit config`. Promise: nothing that a verdict
depends on is missing.
"""

from collections.abc import Iterator, Mapping

from ..rules import RULES, every_rule
from .key import toml, toml_table
from .keys import KEYS, rule_key, set_by
from .model import Policy, Settings

DEFAULT = "default"
DescribedKey = tuple[str, str, str]


def describe_policy(policy: Policy) -> list[DescribedKey]:
    """(key, value, origin) of everything in force; the origin is `FILE: KEY`, a flag, or `default`.

    A bound that is not set is `false`, as one would write it. A rule's options are those that hold,
    defaults included.
    """
    lines = [(key.name, key.show(policy.settings.get(key.name))) for key in KEYS]
    lines += _rules(policy.settings)
    for n, override in enumerate(policy.overrides, 1):
        globs = {"files": override.files, "layers": override.layers}
        here = [(name, toml(value)) for name, value in globs.items() if value]
        here += _override(override.settings)
        lines += [(f"override #{n}.{name}", value) for name, value in here]
    for own in policy.conventions:
        about = f"convention {own.name}"
        lines += [(f"{about}.{role}", toml(patterns)) for role, patterns in own.tensors]
        lines.append((f"{about}.order", toml_table(dict(own.order))))
        facts = {"axis": own.axis, "offset": own.offset, "activation": own.activation}
        lines += [(f"{about}.{name}", toml(value)) for name, value in facts.items()]
    return [(key, value, policy.origins.get(key, DEFAULT)) for key, value in lines]


def _rules(settings: Settings) -> Iterator[tuple[str, str]]:
    """The rules that have options, as far as no key of their own sets them."""
    own_keys = set_by()
    for rule in every_rule():
        own: Mapping[str, object] = {} if rule.code in own_keys else rule.options
        given = settings.get(f"rules.{rule.code}", {})
        options = {k: v for k, v in {**own, **given}.items() if v is not None}
        if options:
            yield f"rules.{rule.code}", toml_table(options)


def _override(settings: Settings) -> Iterator[tuple[str, str]]:
    """What an override sets, in the order of the rows, rules last."""
    for key in KEYS:
        if key.name in settings:
            yield key.name, key.show(settings[key.name])
    for name, value in settings.items():
        if name.startswith("rules."):
            yield name, rule_key(RULES[name.partition(".")[2]]).show(value)
