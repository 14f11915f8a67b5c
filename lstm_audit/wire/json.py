"""JSON out of a file that is judged, a baseline or an undo record: the one place that parses it.

Comes in: bytes, the account that pays for them, and what they are called. Goes out: dicts, lists,
strings, numbers. Promise: a document that two parsers could read differently (a key twice, NaN,
half a surrogate pair) is refused, and so is one that is deeper or larger than any real one, before
anything of it is built.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any

from ..errors import MalformedFile
from ..raw.budget import Budget
from ..raw.words import show

# Bytes: some 300,000 tensors; the largest published models have some 50,000 a file.
MAX_SIZE = 32 << 20

# Levels of arrays and objects; serde_json, which reads safetensors, refuses the 128th. Python's own
# parser calls itself at each level, and a program may have raised its limit beyond its stack.
MAX_DEPTH = 127

# Steps of the budget for a value: it is parsed, and then checked by a reader.
VALUE_COST = 2

# Bytes for a byte that is not ASCII: itself and, in the worst case, a wide character.
TEXT_COST = 5

_STRING = re.compile(rb'"[^"]*(?:"|\Z)')
_DEEP = b"[" * (MAX_DEPTH + 1)
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NEITHER = bytes(set(range(256)) - set(b'[]{}"'))


def parse_json(
    raw: bytes, budget: Budget, what: str, at: int | None = None, halves: bool = False
) -> Any:
    """The document in `raw`, called `what` in messages; `at` is its place in the file. `halves`:
    strings may hold half a surrogate pair, as paths that are no UTF-8 do (PEP 383).

    Integers keep their size, `-0` is a float (as serde_json has it). Raises `MalformedFile` of kind
    `malformed`, `ambiguous` (a key twice) or `limit`.
    """
    import json  # 12 ms, which a torch file need not wait for

    text = _decode(raw, budget, what, at)
    try:
        value = _decoder(False, "-0" in text)(text)
        if not _has_each_key_once(value, raw):
            value = None  # or there would be two of them
            value = _decoder(True, "-0" in text)(text)
        if not halves and "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # fails on half a surrogate pair
    except _TwiceError as twice:
        raise MalformedFile(
            f"{what} has the key {show(twice.key)} twice",
            locate_name(raw, twice.key, at),
            "ambiguous",
        ) from None
    except json.JSONDecodeError as error:
        place = None if at is None else at + len(text[: error.pos].encode())
        raise MalformedFile(f"{what} is not JSON: {error.msg}", place) from None
    except UnicodeEncodeError:
        raise MalformedFile(f"{what} has half a surrogate pair in a string", at) from None
    except ValueError as error:
        raise MalformedFile(f"{what} is not JSON: {error}", at) from None
    return value


def locate_name(raw: bytes, name: str, at: int | None) -> int | None:
    """Where the document speaks of `name` last; its start when the name is written with escapes."""
    quoted = f'"{name}"'.encode("utf-8", "backslashreplace")
    return None if at is None else at + max(raw.rfind(quoted), 0)


class _TwiceError(Exception):
    """A key that an object has twice."""

    def __init__(self, key: str) -> None:
        self.key = key


def _decode(raw: bytes, budget: Budget, what: str, at: int | None) -> str:
    """The text, once it is known that neither it nor what it describes is too much."""
    if len(raw) > MAX_SIZE:
        raise MalformedFile(
            f"{what} takes {len(raw)} bytes; at most {MAX_SIZE} are read", at, "limit"
        )
    budget.hold(len(raw) * (2 if raw.isascii() else TEXT_COST), what)
    opening = raw.count(b"[") + raw.count(b"{")
    budget.step(VALUE_COST * (opening + raw.count(b",")), what)
    if opening > MAX_DEPTH and _is_deep(raw):
        raise MalformedFile(f"{what} is nested too deeply: over {MAX_DEPTH} levels", at)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        place = None if at is None else at + error.start
        raise MalformedFile(f"{what} is not UTF-8", place) from None


def _is_deep(raw: bytes) -> bool:
    """Whether brackets are nested deeper than `MAX_DEPTH`: innermost pairs are taken away, level by
    level. What never closes is as deep as it is long: the parser would go down there too.
    """
    brackets = _outside_strings(raw).translate(_ONE_KIND)
    for _ in range(MAX_DEPTH):
        if _DEEP in brackets:
            return True
        fewer = brackets.replace(b"[]", b"")
        if len(fewer) == len(brackets):  # what is left never closes
            return brackets.count(b"[") > MAX_DEPTH
        brackets = fewer
    return bool(brackets)


def _outside_strings(raw: bytes) -> bytes:
    """The brackets of a document without those in strings.

    Of a string without brackets two quotes are left, and go; so do those between two strings that
    nothing of interest parts. Few strings are left to be looked for one by one.
    """
    if b"\\" in raw:
        raw = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    return _STRING.sub(b"", raw.translate(None, _NEITHER).replace(b'""', b""))


def _has_each_key_once(value: Any, raw: bytes) -> bool:
    """Whether there are as many colons as keys in an object and the objects in it: then no key was
    there twice. Where there are more, it takes the slow parser to tell.
    """
    if type(value) is not dict:
        return False
    inner = sum(map(len, [part for part in value.values() if type(part) is dict]))
    return len(value) + inner == raw.count(b":")


@cache
def _decoder(unique: bool, negative_zero: bool) -> Callable[[str], Any]:
    """`json.loads` with the hooks that are needed: both are slow."""
    import json  # 12 ms, as above

    return json.JSONDecoder(
        object_pairs_hook=_unique if unique else None,
        parse_constant=_no_constant,
        parse_int=_integer if negative_zero else None,
    ).decode


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON leaves open which of two equal keys counts, and parsers differ."""
    table = dict(pairs)
    if len(table) != len(pairs):
        seen: set[str] = set()
        raise _TwiceError(next(key for key, _ in pairs if key in seen or seen.add(key)))  # type: ignore[func-returns-value]  # add() is None
    return table


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number there")


def _integer(text: str) -> int | float:
    """serde_json takes `-0` for a float, and a float is no size."""
    return int(text) or (-0.0 if text[0] == "-" else 0)
