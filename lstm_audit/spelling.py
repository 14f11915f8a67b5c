"""What was meant by a word that means nothing.

Comes in: the word, and those that there are. Goes out: the nearest one, or a sentence. Promise: the
whole package asks here, so a mistyped command, key, rule, preset or layer is met alike.
"""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

# Characters of a word that are looked at: the comparison is quadratic in them.
LONGEST = 200

# Choices that are looked at: 50 µs each.
MOST_COMPARED = 2000

# Files of a folder that are looked at: 10 µs each.
MOST_FILES = 50_000

# Choices that a message lists.
MOST_SHOWN = 8


def nearest(word: object, choices: Iterable[str], least: float = 0.6) -> str | None:
    """The choice that is spelled almost like the word, whatever its case, dashes and underscores;
    None where none is alike by `least` (0: nothing alike, 1: equal).
    """
    return next(iter(nearest_few(word, choices, 1, least)), None)


def nearest_few(word: object, choices: Iterable[str], most: int, least: float) -> list[str]:
    """Up to `most` choices that are spelled almost like the word, the nearest first."""
    from difflib import get_close_matches  # 4 ms that only a mistake needs

    spelled = {_plain(choice): choice for choice in islice(choices, MOST_COMPARED)}
    return [
        spelled[one] for one in get_close_matches(_plain(str(word).strip()), spelled, most, least)
    ]


# Files have endings and words in common that mean nothing: `config.safetensors` is not what was
# meant by `model.safetensors`, nor `epoch_last.pt` by `epoch_best.pt`. So the ending is held apart,
# and each word may differ by slips of the fingers alone: one in seven characters.
CHARACTERS_A_SLIP = 7
BETWEEN_WORDS = r"[\W_]+"  # compiled, and kept by `re`, when a mistake needs it


def nearest_file(name: str, names: Iterable[str]) -> str | None:
    """The file name that differs by a slip (a character too many, too few, another one, or two
    that changed places) or by its ending alone; None where none is so near.
    """
    stem, end = _halve(name)
    found: list[tuple[int, str]] = []
    for other in islice(names, MOST_FILES):
        other_stem, other_end = _halve(other)
        if end != other_end and stem != other_stem:
            continue
        slips = _count_slips_of_words(stem, other_stem)
        if slips is not None:
            found.append((slips, other))
    return min(found)[1] if found else None


def _halve(name: str) -> tuple[str, str]:
    """`modle` and `.pt`, without case; at most as much as is looked at."""
    stem, dot, end = name.lower()[-LONGEST:].rpartition(".")
    return (stem, f".{end}") if stem else (f"{dot}{end}", "")


def _count_slips_of_words(a: str, b: str) -> int | None:
    """How many slips lie between two stems; None for too many. A word of one or two characters is
    another one as soon as one of them is.
    """
    words, others = re.split(BETWEEN_WORDS, a), re.split(BETWEEN_WORDS, b)
    if len(words) != len(others):
        return 1 if _count_slips(a, b, 1) == 1 else None
    total = 0
    for word, other in zip(words, others, strict=True):
        most = -(-len(word) // CHARACTERS_A_SLIP) if len(word) > 2 else 0
        slips = _count_slips(word, other, most)
        if slips > most:
            return None
        total += slips
    return total


def _count_slips(a: str, b: str, most: int) -> int:
    """Optimal string alignment (Damerau 1964): insertions, deletions, substitutions and swaps of
    neighbours that turn one word into the other; some number above `most` where it takes more.
    """
    if a == b:
        return 0
    if abs(len(a) - len(b)) > most or (Counter(a) - Counter(b)).total() > most:
        return most + 1  # characters without a partner: 5 µs instead of 250
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            cost = min(last[j] + 1, row[-1] + 1, last[j - 1] + (one != other))
            if i > 1 < j and one == b[j - 2] and other == a[i - 2]:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        if min(row) > most < min(last):
            return most + 1  # what follows can only add to it
        before, last = last, row
    return last[-1]


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
