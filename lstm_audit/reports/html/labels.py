"""Labels of a plot that follows the page's width without a script.

Comes in: texts with their places as shares of a width that is not known when they are written.
Goes out: SVG text. Promise: no two labels touch at any width from `NARROWEST` on: one for which
there is room in wider plots alone is hidden in narrower ones by the style sheet.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

WIDTHS = (240, 320, 440, 600)  # pixels of a plot from which on more labels have room
NARROWEST = WIDTHS[0]  # a card on a screen of 320 pixels has 262
GAP = 6  # pixels between two labels of a line

# Pixels of a character for a pixel of the font's size, as the widest of the usual fonts has them.
NARROW, BROAD = 0.34, 0.66


class Label(NamedTuple):
    """A text, its place in percent of the width, and the side on which it starts there.

    `style` is its class in the style sheet, `size` of its font and `y`, its foot, are in pixels.
    """

    text: str
    percent: float
    y: float
    style: str
    size: float = 11
    anchor: Literal["start", "middle", "end"] = "middle"


def draw_labels(labels: Sequence[Label]) -> str:
    """The labels, the more important first, each with the least width that has room for it."""
    shown: list[Label] = []
    texts = []
    for width in WIDTHS:
        room = "" if width == NARROWEST else f" from{width}"
        for label in labels:
            if label not in shown and not any(_touch(label, other, width) for other in shown):
                shown.append(label)
                texts.append(_spell(label, room))
    return "".join(texts)


def _touch(a: Label, b: Label, width: int) -> bool:
    """Whether two labels of one line come nearer to each other than `GAP`."""
    if abs(a.y - b.y) >= max(a.size, b.size):
        return False
    (left, right), (other_left, other_right) = _extent(a, width), _extent(b, width)
    return left < other_right + GAP and other_left < right + GAP


def _extent(label: Label, width: int) -> tuple[float, float]:
    """Where a label starts and ends, in pixels."""
    at = label.percent / 100 * width
    text = label.text.replace("&gt;", ">").replace("&lt;", "<")
    wide = label.size * sum(NARROW if c in " .,fi" else BROAD for c in text)
    left = at - wide * {"start": 0.0, "middle": 0.5, "end": 1.0}[label.anchor]
    return left, left + wide


def _spell(label: Label, room: str) -> str:
    anchor = f' text-anchor="{label.anchor}"'
    return (
        f'<text class="{label.style}{room}" x="{label.percent:.5g}%" y="{label.y:.4g}"{anchor}>'
        f"{label.text}</text>"
    )
