"""Text that fits a terminal: its width in columns, lines, shortened names, colours.

Comes in: text without control characters. Goes out: the same in lines, or shortened. Promise: no
line is wider than it may be, no two names become one by being shortened, and a long text costs no
more than its length.
"""

from collections.abc import Sequence
from typing import Any

from ..tuples import NamedTuple
from . import Look

NARROWEST = 40
# Columns between two columns of a table.
GAP = 2

# The colour of each severity.
HUES = {"error": "red", "warning": "yellow", "info": "cyan"}

SGR = {"red": "\x1b[31m", "green": "\x1b[32m", "yellow": "\x1b[33m", "cyan": "\x1b[36m"}
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


class Signs(NamedTuple):
    """The characters that an encoding may lack."""

    dots: str
    separator: str
    std: str
    infinity: str
    empty: str
    levels: str


UNICODE = Signs("…", " · ", "± std", "∞", "·", "▁▂▃▄▅▆▇█")
NARROW = frozenset("…∞▁▂▃▄▅▆▇█·×±")
ASCII = Signs("...", ", ", "std", "inf", ".", ":-=+*#%@")


def signs_of(look: Look) -> Signs:
    """The characters that a report may use."""
    return ASCII if look.ascii else UNICODE


def columns_wide(text: str) -> int:
    """The columns of a terminal that `text` takes: two for wide characters (UAX 11), none for
    combining marks.
    """
    if all(c < "\u0300" or c in NARROW for c in text):  # spares most runs the import of unicodedata
        return len(text)
    from unicodedata import category, east_asian_width  # 0.4 ms that ASCII spares

    return sum(
        0 if category(c) in ("Mn", "Me") else 2 if east_asian_width(c) in "WF" else 1 for c in text
    )


def shorten(names: Sequence[str], room: int, dots: str) -> list[str]:
    """Names cut in the middle to `room`: at the first of a few places where no two of them become
    alike; else by the parts in which they differ; else those that would be alike are numbered.
    """
    for share in (0.4, 0.0, 0.7, 1.0):
        short = [_cut(name, room, share, dots) for name in names]
        if len(set(short)) == len(set(names)):
            return short
    for before in BEFORE_PARTS:
        if kept := _keep_differing(names, room, dots, before):
            return kept
    return _number(names, room, dots)


# Before what a name is split: its modules, else the words in them too.
BEFORE_PARTS = (".", "._-")


def _keep_differing(names: Sequence[str], room: int, dots: str, before: str) -> list[str]:
    """Names without parts that all long ones share: `blocks.7.lstm:l0` as `…7…l0`, and as much of
    the rest as there is room for, the shortest parts first. None where they are built differently,
    or differ in too much.
    """
    long = [name for name in names if columns_wide(name) > room]
    split = [_parts_of(name, before) for name in long]
    if len({len(parts) for parts in split}) != 1:
        return []
    shared = [k for k, column in enumerate(zip(*split, strict=True)) if len(set(column)) == 1]
    wide = [columns_wide(parts) for parts in split[0]]
    gone = set[int]()
    for k in sorted(shared, key=wide.__getitem__, reverse=True):
        gone.add(k)
        short = [_without(parts, gone, dots) for parts in split]
        if max(map(columns_wide, short)) <= room:
            found = dict(zip(long, short, strict=True))
            kept = [found.get(name, name) for name in names]
            return kept if len(set(kept)) == len(set(names)) else []
    return []


def _parts_of(name: str, before: str) -> list[str]:
    """An address's parts, each with the sign before it; layer and direction, which come behind a
    colon, are one.
    """
    module, colon, rest = name.partition(":")
    marked = module.translate({ord(sign): f"\n{sign}" for sign in before})
    return [*marked.split("\n"), colon + rest]


def _without(parts: Sequence[str], gone: set[int], dots: str) -> str:
    """The parts of an address, dots in place of each run that is left out."""
    text = ""
    for k, part in enumerate(parts):
        if k not in gone:
            text += part.lstrip("._-") if text.endswith(dots) else part
        elif not text.endswith(dots):
            text += dots
    return text


def _number(names: Sequence[str], room: int, dots: str) -> list[str]:
    """Every name that does not fit, with a number of its own in place of its middle: `enc…#12…:l0`,
    which no one takes for a part of the name.
    """
    numbers: dict[str, int] = {}
    short = []
    for name in names:
        if columns_wide(name) > room:
            number = numbers.setdefault(name, len(numbers) + 1)
            name = _cut(name, room, 0.4, f"{dots}#{number}{dots}")
        short.append(name)
    return short


def _cut(name: str, room: int, share: float, dots: str) -> str:
    if columns_wide(name) <= room:
        return name
    keep = room - len(dots)
    head = _prefix(name, int(keep * share))
    return head + dots + _prefix(name[::-1], keep - columns_wide(head))[::-1]


def _prefix(text: str, width: int) -> str:
    """The longest beginning that takes no more than `width` columns."""
    wide = 0
    for k, character in enumerate(text):
        wide += columns_wide(character)
        if wide > width:
            return text[:k]
    return text


def wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at spaces, and inside a word only where it is longer
    than a line. A command in backticks stays in one line where one holds it: it is to be copied.
    """
    lines: list[str] = [""]
    for word in _words(text, width) if "`" in text else text.split(" "):
        for k, piece in enumerate(_pieces(word, width)):
            joined = f"{lines[-1]} {piece}" if lines[-1] else piece
            if k == 0 and columns_wide(joined) <= width:
                lines[-1] = joined
            elif lines[-1]:
                lines.append(piece)
            else:
                lines[-1] = piece
    return lines


def _words(text: str, width: int) -> list[str]:
    """The words of a text; what stands between two backticks is one, as far as a line holds it."""
    words: list[str] = []
    quoted: list[str] = []
    for word in text.split(" "):
        quoted.append(word)
        # A backtick opens and closes; what is open goes on in the next word.
        if ("`" not in word and len(quoted) == 1) or word.count("`") % 2 == (len(quoted) > 1):
            whole = " ".join(quoted)
            words += [whole] if columns_wide(whole) <= width else quoted
            quoted = []
    return words + quoted


def fold(text: str, width: int) -> str:
    """Paragraphs of a manual, folded where a line of them is too wide; what is indented is code or
    a table, and stays as it is.
    """
    folded = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.split("\n")
        if max(map(columns_wide, lines)) > width and not any(line[:1] == " " for line in lines):
            lines = wrap(" ".join(lines), width)
        folded.append("\n".join(lines))
    return "\n\n".join(folded)


def _pieces(word: str, width: int) -> list[str]:
    """A word as lines take it: whole, or cut where it is wider than one; each character is looked
    at once.
    """
    if len(word) <= width and columns_wide(word) <= width:
        return [word]
    pieces, start, wide = [], 0, 0
    for k, character in enumerate(word):
        columns = columns_wide(character)
        if wide + columns > width and k > start:
            pieces.append(word[start:k])
            start, wide = k, 0
        wide += columns
    return [*pieces, word[start:]]


def paint(text: str, look: Look, fg: str = "", bold: bool = False) -> str:
    """In colour, by SGR sequences (ECMA-48, 8.3.117): to import click for its `style` takes 30
    ms.
    """
    if not look.color or not (fg or bold):
        return text
    return (SGR[fg] if fg else "") + (BOLD if bold else "") + text + PLAIN


def fill_column(text: str, wide: int, left: bool) -> str:
    """A text filled with spaces to `wide` columns, at its right (`left`) or its left."""
    gap = " " * (wide - columns_wide(text))
    return text + gap if left else gap + text


def plain_table(
    heads: Sequence[str],
    cells: list[list[str]],
    styles: Sequence[dict[str, Any]],
    look: Look,
    most: int | None = None,
) -> list[str]:
    """Columns below their headings: numbers to the right, the widest column shortened to fit;
    `most` lines of them, unless the statistics are what was asked for.
    """
    rest = 0 if most is None or look.statistics else len(cells) - most
    if rest > 0:
        cells, styles = cells[:most], styles[:most]
    wide = [max(map(columns_wide, column)) for column in zip(heads, *cells, strict=True)]
    longest = max(range(len(wide)), key=wide.__getitem__)
    spare = look.width - sum(wide) - GAP * (len(wide) - 1)
    if spare < 0:
        wide[longest] = max(wide[longest] + spare, 5)
        names = shorten([row[longest] for row in cells], wide[longest], signs_of(look).dots)
        cells = [
            [*row[:longest], name, *row[longest + 1 :]]
            for row, name in zip(cells, names, strict=True)
        ]
    numeric = [
        all(row[k].replace("∞", "0").replace(".", "0").lstrip("<>-~").isdigit() for row in cells)
        for k in range(len(wide))
    ]

    def line(row: Sequence[str]) -> str:
        parts = [
            fill_column(cell, n, not right)
            for cell, n, right in zip(row, wide, numeric, strict=True)
        ]
        return (" " * GAP).join(parts).rstrip()

    rule = (" " * GAP).join("-" * n for n in wide)
    body = [paint(line(row), look, **style) for row, style in zip(cells, styles, strict=True)]
    more = [f"and {rest} more; --statistics has them"] if rest > 0 else []
    return [*(part[: look.width] for part in (line(heads), rule)), *body, *more]


def closing_of(look: Look) -> list[str]:
    """The verdict, where the run has one."""
    if not look.closing:
        return []
    hue = "red" if look.closing.startswith("FAILED") else "green"
    hue = "yellow" if look.closing.startswith("NOT") else hue
    return [paint(line, look, fg=hue, bold=True) for line in wrap(look.closing, look.width)]
