"""Fixes as commands that one can copy.

Comes in: the fixes of a file's findings. Goes out: commands, joined where one will do. Promise: a
shell, whatever the names are, takes each word for what it was.
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..facts import Fix
from .words import utf8

MOST_TYPED = 8192
"""Characters of a command; one that is longer is nothing that a person would copy."""


class Command(NamedTuple):
    """The words of a `lstm-audit patch`; `safe`: nothing that was learned is lost by it."""

    words: list[str]
    safe: bool


def commands(path: str, fixes: Iterable[Fix | None]) -> Iterator[Command]:
    """What mends a file: one command for all fixes that differ in nothing but their LSTMs, safe
    ones first.
    """
    addresses: dict[tuple[bool, tuple[str, ...]], dict[str, None]] = {}
    for fix in sorted(filter(None, fixes), key=lambda fix: not fix.safe):
        mine = addresses.setdefault((fix.safe, fix.target.words), {})
        mine.update(dict.fromkeys(fix.addresses))
    file = f"./{path}" if path.startswith("-") else path
    for (safe, words), names in addresses.items():
        chosen = [word for name in names for word in ("--layers", pattern(name))]
        line = ["lstm-audit", "patch", file, *words, *chosen]
        if sum(map(len, line)) <= MOST_TYPED:
            yield Command(line, safe)


def pattern(address: str) -> str:
    """The `--layers` glob that matches this address and no other; keys like `node['x']` hold glob's
    own signs.
    """
    return re.sub(r"([*?[])", r"[\1]", address)


def quoted(word: str, ascii: bool = False) -> str:
    """A word as a shell takes it; one that a terminal must not see is written in ANSI-C quoting,
    $'\\x1b'.
    """
    from shlex import quote

    if word.isprintable() and (word.isascii() or not ascii):
        return quote(word)
    plain = "".join(
        c if c.isprintable() and (c.isascii() or not ascii) and c not in "'\\" else _bytewise(c)
        for c in word
    )
    return f"$'{plain}'"


def _bytewise(character: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in utf8(character))


def shell(words: Iterable[str], ascii: bool = False) -> str:
    """A command in one line."""
    return " ".join(quoted(word, ascii) for word in words)


def remedy(command: Command) -> str:
    """`Fix: lstm-audit patch ...`, with a warning where there is reason for one."""
    return (
        f"{'Fix' if command.safe else 'Fix (overwrites whatever was learned)'}: "
        f"{shell(command.words)}"
    )
