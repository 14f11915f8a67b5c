"""Command lines of every day, understood without click.

Comes in: the words behind `lstm-audit`. Goes out: the run that they ask for, or None: let click
read them. Promise: what is understood here means what click takes it for; help, mistakes and
whatever is not in the rows are click's alone.

Importing click takes 30 ms, twice as long as auditing a checkpoint, and most runs are `audit FILE`
or `check FILE` with an option or two.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib import import_module
from typing import Any

from .forms import Form, GivenOptions, Option
from .options import FORMS

# Does what was asked, and gives the exit code.
RunCommand = Callable[[], int]


def understood(words: Sequence[str]) -> RunCommand | None:
    """The run of a command all of whose words are known."""
    form = FORMS.get(words[0]) if words else None
    given = None if form is None else read_words(form, words[1:])
    if given is None:
        return None
    module = import_module(f".{words[0]}", __package__)
    return partial(module.run, given)


def read_words(form: Form, words: Sequence[str]) -> GivenOptions | None:
    """What the words give to a command; None when one of them is not known, or one is missing."""
    found = form.blank()
    spelled = {word: option for option in form.options for word in option.spellings}
    refused = {option.off: option for option in form.options if option.off}
    placed: list[str] = []
    left = iter(words)
    for word in left:
        if word in refused:
            found[refused[word].name] = False
        elif word in spelled and spelled[word].parse is None:
            found[spelled[word].name] = True
        elif word == "-" or word[:1] not in ("-", ""):
            placed.append(word)
        elif not _read_value(spelled, word, left, found):
            return None
    return GivenOptions(**found) if _place(form, placed, found) else None


def _read_value(
    spelled: dict[str, Option], word: str, left: Iterator[str], found: dict[str, Any]
) -> bool:
    """Set an option that takes a value, behind its `=` or the next word; whether that is one.

    Values that begin with a dash are left to click: whether they are values depends on its rules.
    """
    name, equals, text = word.partition("=") if word.startswith("--") else (word, "", "")
    option = spelled.get(name)
    if option is None or option.parse is None:
        return False
    text = text if equals else next(left, "")
    if text[:1] in ("-", "") or (option.choices and text not in option.choices()):
        return False
    try:
        value = option.parse(text)
    except ValueError:
        return False
    found[option.name] = (*found[option.name], value) if option.many else value
    return True


def _place(form: Form, words: Sequence[str], found: dict[str, Any]) -> bool:
    """Set the arguments; whether the words are as many as the command takes."""
    if [argument.many for argument in form.arguments] == [True]:
        found[form.arguments[0].name] = tuple(words)
        return bool(words) or not form.arguments[0].required
    if len(words) != len(form.arguments):
        return False
    for argument, word in zip(form.arguments, words, strict=True):
        if argument.choices and word not in argument.choices():
            return False
        found[argument.name] = word
    return True
