"""What a row of the table of keys is: how a key of a policy is read, shown and set.

Comes in: nothing. Goes out: `PolicyKey`, and a value as TOML writes it. Promise: none of them knows
any key.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ..facts import Json
from ..tuples import NamedTuple
from .kinds import KeyPlace

# What a rule is called with, None for off.
Options = Mapping[str, Any] | None


class Flag(NamedTuple):
    """A flag of the command line that sets a key, or a `part` of it, which is a number.

    `off` is the spelling that says no, `complete` names what completes a value, `kind` is text,
    number or share (a number from 0 to 1).
    """

    name: str
    spelling: str
    help: str
    metavar: str = ""
    part: str = ""
    off: str = ""
    many: bool = False
    complete: str = ""
    kind: str = "text"


class PolicyKey(NamedTuple):
    """One key. `read` makes its value of what TOML holds, or raises `BadPolicy`.

    `layered`: an override may set it. `rule` is the code of the rule that it switches on, and
    `options` what that is called with. `show` writes a value as TOML. `quantity`: what it bounds.
    """

    name: str
    read: Callable[[object, KeyPlace], Any]
    schema: Callable[[], Json]
    show: Callable[[Any], str]
    default: Any = None
    layered: bool = True
    flags: tuple[Flag, ...] = ()
    rule: str = ""
    options: Callable[[Any], Options] = lambda value: None
    quantity: "Quantity | None" = None


def toml(value: Any) -> str:
    """A value as TOML 1.0 writes it; None, which is a key switched off, as false."""
    if value is None:
        return "false"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(toml, value))}]"
    return _string(value) if isinstance(value, str) else repr(value)


def _string(text: str) -> str:
    """A basic string: JSON's escapes are among TOML's, but TOML has no surrogate pairs, so the rest
    stays as it is.
    """
    from json import dumps  # 3 ms that only a description needs

    return dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def toml_table(options: Mapping[str, Any]) -> str:
    """An inline table, in TOML's spelling of the names."""
    parts = (f"{name.replace('_', '-')} = {toml(value)}" for name, value in options.items())
    text = ", ".join(parts)
    return f"{{ {text} }}" if text else "{}"


class Quantity(NamedTuple):
    """What may be bounded: the name of its key, the parts of a bound on it, and where its values
    lie; a bound beyond that could never, or always, be kept (70 where 0.70 was meant).
    """

    name: str
    parts: tuple[str, ...] = ("stat", "min", "max")
    low: float = -float("inf")
    high: float = float("inf")
