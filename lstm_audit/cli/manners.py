"""What was meant by a command line that is not quite one.

Comes in: the words behind `lstm-audit`, or a word that no command knows. Goes out: the words that
were meant, or a hint. Promise: `lstm-audit FILE` audits, and whatever is guessed is only said.
"""

import os
from collections.abc import Sequence

from ..spelling import nearest
from .options import BOUNDS, FORMS

# Words that people try, and the command that does it.
MEANT = {
    "scan": "audit",
    "view": "audit",
    "show": "audit",
    "inspect": "audit",
    "report": "audit",
    "fix": "patch",
    "set": "patch",
    "init": "patch",
    "write": "patch",
    "gate": "check",
    "test": "check",
    "verify": "check",
    "revert": "undo",
    "restore": "undo",
    "compare": "diff",
    "list": "rules",
    "policy": "config",
}

OF_THE_GROUP = ("-h", "--help", "-V", "--version")


def reword(words: Sequence[str]) -> list[str]:
    """The same words with the command that they leave out: `FILE` is `audit FILE`, `help audit` is
    `audit --help`.
    """
    first, *rest = words or ("",)
    if first in FORMS or first in OF_THE_GROUP or not words:
        return list(words)
    if first == "help":
        return [*rest[:1], "--help"]
    if first == "version" and not rest:
        return ["--version"]
    if first.startswith("-") and first != "-":
        return ["audit", *words] if any(map(os.path.lexists, rest)) else list(words)
    return ["audit", *words] if _is_input(first) else list(words)


def _is_input(word: str) -> bool:
    """Whether a word is meant for a path: no command has a dot, a slash or a star."""
    return word == "-" or os.path.lexists(word) or any(sign in word for sign in "./\\*?[")


def hint_command(word: str) -> str:
    """What to try instead of an unknown command."""
    if word in MEANT:
        return f"Did you mean {MEANT[word]!r}?"
    near = nearest(word, FORMS)
    return f"Did you mean {near!r}?" if near else f"The commands are: {', '.join(FORMS)}."


def hint_option(option: str, command: str | None) -> str:
    """What to try instead of an option that a command does not have."""
    if option == "-v" and command is None:
        return "Did you mean -V, the version?"
    if any(option in row.spellings for row in BOUNDS):
        return f"Bounds belong to `check`: lstm-audit check {option} ..."
    others = [name for name, form in FORMS.items() if option in _spellings(name)]
    own = nearest(option, _spellings(command))
    if own or not others:
        return f"Did you mean {own}?" if own else ""
    return f"It is an option of {' and '.join(f'`{name}`' for name in others)}."


def _spellings(command: str | None) -> list[str]:
    form = FORMS.get(command or "")
    rows = form.options if form else ()
    return [word for row in rows for word in (*row.spellings, row.off) if word]


def hint_horizon(text: str) -> str:
    """`0.5,100` where N,P was asked for."""
    steps, _, share = text.partition(",")
    try:
        turned = float(steps) < 1 < float(share)
    except ValueError:
        return ""
    return f"; N first, then P: did you mean {share},{steps}?" if turned else ""
