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
    "read": "audit",
    "info": "audit",
    "summary": "audit",
    "show": "audit",
    "inspect": "audit",
    "report": "audit",
    "fix": "patch",
    "repair": "patch",
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
        return _page(rest)
    if first == "version" and not rest:
        return ["--version"]
    if first.startswith("-") and first != "-":
        return ["audit", *words] if any(map(os.path.lexists, rest)) else list(words)
    return ["audit", *words] if _is_input(first) else list(words)


def _page(words: Sequence[str]) -> list[str]:
    """The command line that shows what is known of a word: `help fix` is `patch --help`, `help
    LA101` is `explain LA101`.
    """
    word = words[0] if words else ""
    if word.upper().startswith("LA") or word == "convention":
        return ["explain", word]
    return [*([MEANT.get(word, word)] if word else []), "--help"]


def _is_input(word: str) -> bool:
    """Whether a word is meant for a path: no command has a dot, a slash or a star."""
    return word == "-" or os.path.lexists(word) or any(sign in word for sign in "./\\*?[")


def hint_command(word: str) -> str:
    """What to try instead of an unknown command."""
    if word in MEANT:
        return f"Did you mean {MEANT[word]!r}?"
    near = nearest(word, FORMS)
    return f"Did you mean {near!r}?" if near else f"The commands are: {', '.join(FORMS)}."


# Options that people try, and what does it; nothing where it is done anyway.
MEANT_OPTIONS = {
    "--policy": "--config FILE",
    "--rules": "--select CODE",
    "--rule": "--select CODE",
    "--min": "--min-activation",
    "--max": "--max-activation",
    "--out": "--output FILE",
    "--strict": "--fail-on warning",
    "--recursive": "",
    "-r": "",
    "--chrono": "--init chrono:TMAX",
    "--preset": "--init PRESET",
    "--bias": "--forget-bias B",
    "--value": "--forget-bias B",
    "--inplace": "--in-place",
    "--force": "--unsafe-fixes",
    "--layer": "--layers PATTERN",
    "--ignore-file": "--exclude GLOB",
    "--no-color": "--color never",
    "--no-colour": "--color never",
}


def hint_option(option: str, command: str | None) -> str:
    """What to try instead of an option that a command does not have."""
    if option == "-v" and command is None:
        return "Did you mean -V, the version?"
    if command is None:
        return f"Options follow a command: lstm-audit audit {option} ..."
    meant = MEANT_OPTIONS.get(option)
    if meant == "":
        return "Folders are walked as they are."
    if meant and meant.partition(" ")[0] in _spellings(command):
        return f"Did you mean {meant}?"
    if any(option in row.spellings for row in BOUNDS):
        return f"Bounds belong to `check`: lstm-audit check {option} ..."
    others = [name for name, form in FORMS.items() if option in _spellings(name)]
    own = nearest(option, _spellings(command))
    if own or not others:
        return f"Did you mean {own}?" if own else ""
    *most, last = (f"`{name}`" for name in others)
    return f"It is an option of {', '.join(most)}{' and ' if most else ''}{last}."


# What a command says to words that it does not take.
TAKES = {
    "diff": "`diff` compares two checkpoints; `trend` follows those of a run",
    "config": "`config` takes no file: it shows the policy of this folder, or --config FILE",
    "explain": "`explain` takes one rule; `rules LA1 LA4` lists several",
    "schema": "`schema` prints one of report, policy, statistics",
}


def hint_words(command: str | None) -> str:
    """What to say of a word too many."""
    return f". {TAKES[command]}" if command in TAKES else ""


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
