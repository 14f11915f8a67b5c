"""A policy in words: every key that is in force, its value as TOML, and where it was set.

Comes in: a `Policy`. Goes out: lines for `lstm-audit config`. Promise: nothing that a verdict
depends on is missing.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..rules import RULES
from .model import SET_BY, Bounds, Demand, Policy, Settings
from .read import FORGET_KEYS

DEFAULT = "default"
Line = tuple[str, str, str]


def describe(policy: Policy) -> list[Line]:
    """(key, value, origin) of everything in force; the origin is `FILE: KEY`, a flag, or `default`.

    A bound that is not set is `false`, as one would write it. A rule's options are those that hold,
    defaults included.
    """
    plain: dict[str, Any] = {"select": policy.settings.select, "ignore": policy.settings.ignore}
    plain |= {"fail-on": policy.fail_on, "require-lstm": policy.require_lstm}
    lines = [(key, toml(value)) for key, value in plain.items()]
    lines += [(f"forget.{key}", _demand(policy.settings.forget.get(key))) for key in FORGET_KEYS]
    lines += _rules(policy.settings)
    for n, override in enumerate(policy.overrides, 1):
        here = {"files": override.files, "layers": override.layers}
        lines += [(f"override #{n}.{key}", toml(value)) for key, value in here.items() if value]
        lines += [(f"override #{n}.{key}", value) for key, value in _override(override.settings)]
    return [(key, value, policy.origins.get(key, DEFAULT)) for key, value in lines]


def _rules(settings: Settings) -> Iterator[tuple[str, str]]:
    for rule in sorted(RULES.values(), key=lambda rule: rule.code):
        own = {} if rule.code in SET_BY else dict(rule.options)
        options = {
            k: v for k, v in {**own, **settings.rules.get(rule.code, {})}.items() if v is not None
        }
        if options:
            yield f"rules.{rule.code}", _table(options)


def _override(settings: Settings) -> Iterator[tuple[str, str]]:
    if settings.select is not None:
        yield "select", toml(settings.select)
    if settings.ignore is not None:
        yield "ignore", toml(settings.ignore)
    yield from ((f"forget.{key}", _demand(demand)) for key, demand in settings.forget.items())
    yield from ((f"rules.{code}", _table(options)) for code, options in settings.rules.items())


def _demand(demand: Demand) -> str:
    if isinstance(demand, Bounds):
        options = demand.options()
        if "target" in options:
            options.setdefault("tolerance", RULES["LA201"].options["tolerance"])
        return _table(options)
    return "false" if demand is None else toml(demand)


def _table(options: Mapping[str, Any]) -> str:
    parts = (f"{name.replace('_', '-')} = {toml(value)}" for name, value in options.items())
    text = ", ".join(parts)
    return f"{{ {text} }}" if text else "{}"


def toml(value: Any) -> str:
    """A value as TOML 1.0 writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(toml, value))}]"
    return _string(value) if isinstance(value, str) else repr(value)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are among TOML's, but TOML has no surrogate pairs, so the rest
    stays as it is.
    """
    from json import dumps

    return dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
