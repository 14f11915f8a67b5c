"""Fixes as commands that one can copy.

Comes in: the fixes of a file's findings. Goes out: commands, joined where one will do. Promise: a
shell, whatever the names are, takes each word for what it was.
"""

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
    """What mends a file: one command for all fixes that differ in nothing but their `--layers`,
    safe ones first.
    """
    layers: dict[tuple[bool, bool, tuple[str, ...]], list[str]] = {}
    for fix in sorted(filter(None, fixes), key=lambda fix: not fix.safe):
        words = fix.arguments
        picked = [k for k in range(1, len(words)) if words[k - 1] == "--layers"]
        rest = tuple(
            word for k, word in enumerate(words) if k not in picked and k + 1 not in picked
        )
        mine = layers.setdefault((fix.safe, bool(picked), rest), [])
        mine += [words[k] for k in picked if words[k] not in mine]
    file = f"./{path}" if path.startswith("-") else path
    for (safe, _, rest), names in layers.items():
        chosen = [word for name in names for word in ("--layers", name)]
        line = ["lstm-audit", "patch", file, *rest, *chosen]
        if sum(map(len, line)) <= MOST_TYPED:
            yield Command(line, safe)


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
