"""The types that a policy's values may have, and words for those they have.

Comes in: values out of TOML, and rules. Goes out: the value, checked, or `BadPolicy`. Promise:
every refusal names the file, the key, what was expected and what was found.
"""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, get_args

from ..errors import BadPolicy
from ..rules import Rule
from ..spelling import suggest
from ..tuples import NamedTuple

if TYPE_CHECKING:  # 6 ms that only a `rules` table and the schema need
    from inspect import Parameter

# How each type that an option may have is called.
TYPE_NAMES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a string",
    tuple: "a list of strings",
}


class KeyPlace(NamedTuple):
    """Where a value stands: a file (or flag) and the dotted way to it."""

    file: str
    key: str = ""

    def child(self, name: object) -> "KeyPlace":
        """The place of a key below this one."""
        word = name if isinstance(name, str) and _plain(name) else _quote(name)
        return KeyPlace(self.file, f"{self.key}.{word}" if self.key else word)

    def __str__(self) -> str:
        return f"{self.file}: {self.key}" if self.key else self.file


def _plain(name: str) -> bool:
    return name.isascii() and name.replace("-", "").replace("_", "").replace(" #", "").isalnum()


def _quote(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def wrong(place: KeyPlace, message: str) -> BadPolicy:
    """The exception for a value; the caller raises it."""
    return BadPolicy(f"{place}: {message}")


def found(value: object) -> str:
    """A value in words."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {_show(value)}"
    if isinstance(value, str):
        return f"the string {_quote(value)}"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a table" if isinstance(value, dict) else f"a {type(value).__name__}"


def _show(value: int | float) -> str:
    return (
        repr(value)
        if isinstance(value, float) or value.bit_length() < 200
        else "with over 60 digits"
    )


def wrong_type(place: KeyPlace, expected: str, value: object) -> BadPolicy:
    """The exception for a value of the wrong type."""
    return wrong(place, f"expected {expected}, found {found(value)}")


def read_table(value: object, place: KeyPlace) -> dict[Any, Any]:
    """A table."""
    if not isinstance(value, dict):
        raise wrong_type(place, "a table", value)
    return value


def refuse_unknown_keys(table: Iterable[object], choices: Sequence[str], place: KeyPlace) -> None:
    """Refuse a key that is none of the choices."""
    for key in table:
        if key not in choices:
            raise wrong(place.child(key), f"no such key; {suggest(key, choices)}")


def read_text(value: object, place: KeyPlace) -> str:
    """A string that is not empty."""
    if not isinstance(value, str):
        raise wrong_type(place, "a string", value)
    if not value:
        raise wrong(place, "the string is empty")
    return value


def read_texts(value: object, place: KeyPlace) -> tuple[str, ...]:
    """A list of strings."""
    if not isinstance(value, (list, tuple)):
        raise wrong_type(place, "a list of strings", value)
    return tuple(read_text(item, place) for item in value)


def read_number(value: object, place: KeyPlace) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(place, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise wrong_type(place, "a finite number", value)
    return number


def read_flag(value: object, place: KeyPlace) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise wrong_type(place, "true or false", value)
    return value


def read_choice(value: object, choices: Sequence[str], place: KeyPlace) -> str:
    """One of some words."""
    text = read_text(value, place)
    if text not in choices:
        raise wrong(
            place, f"{_quote(text)} is none of {', '.join(choices)}; {suggest(text, choices)}"
        )
    return text


def read_typed(value: object, kind: type, place: KeyPlace) -> Any:
    """A value of one of `TYPE_NAMES`."""
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(place, TYPE_NAMES[int], value)
        return value
    return {bool: read_flag, float: read_number, str: read_text, tuple: read_texts}[kind](
        value, place
    )


def find_options(rule: Rule) -> dict[str, type]:
    """A rule's options and their types, by the annotations of its keyword-only parameters, else by
    their defaults.

    `float | None` is a float: an option that is not set is left out. What is no type of
    `TYPE_NAMES` is a string.
    """
    from inspect import signature  # 14 ms, for a schema alone

    parameters = signature(rule.check, eval_str=True).parameters.values()
    return {p.name: _kind(p) for p in parameters if p.kind is p.KEYWORD_ONLY}


def _kind(parameter: "Parameter") -> type:
    annotation = parameter.annotation
    parts = [getattr(part, "__origin__", part) for part in (annotation, *get_args(annotation))]
    for kind in (tuple, float, bool, int, str):
        if kind in parts:
            return kind
    return type(parameter.default) if type(parameter.default) in TYPE_NAMES else str
