"""What was meant by a word that means nothing.

Comes in: the word, and those that there are. Goes out: the nearest one, or a sentence. Promise: the
whole package asks here, so a mistyped command, key, rule, preset or layer is met alike.
"""

from collections.abc import Iterable
from itertools import islice

# Characters of a word that are looked at: the comparison is quadratic in them.
LONGEST = 200

# Choices that are looked at: 50 µs each.
MOST_COMPARED = 2000

# Choices that a message lists.
MOST_SHOWN = 8


def nearest(word: object, choices: Iterable[str], least: float = 0.6) -> str | None:
    """The choice that is spelled almost like the word, whatever its case, dashes and underscores;
    None where none is alike by `least` (0: nothing alike, 1: equal).
    """
    from difflib import get_close_matches  # 4 ms that only a mistake needs

    spelled = {_plain(choice): choice for choice in islice(choices, MOST_COMPARED)}
    close = get_close_matches(_plain(str(word).strip()), spelled, 1, least)
    return spelled[close[0]] if close else None


def _plain(text: str) -> str:
    return text.lower().replace("_", "-")[:LONGEST]


def suggest(word: object, choices: Iterable[str], shown: Iterable[str] = ()) -> str:
    """`did you mean ...?`, or what there is to choose from (`shown`, where the choices are
    many).
    """
    choices = list(choices)
    if near := nearest(word, choices):
        return f"did you mean {near!r}?"
    listed = list(shown) or choices
    more = f" and {len(listed) - MOST_SHOWN} more" if len(listed) > MOST_SHOWN else ""
    return f"there {'is' if len(listed) == 1 else 'are'} {', '.join(listed[:MOST_SHOWN])}{more}"
