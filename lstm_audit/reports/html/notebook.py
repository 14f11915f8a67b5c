"""A page's content for a place that has a page of its own: a notebook's cell.

Comes in: a page of ours. Goes out: what stands in its `<main>`, in a `<div>` whose style sheet
holds for nothing else. Promise: as on the page nothing is loaded or run; the notebook around it
looks as before.
"""

import re

from .style import CSS

SCOPE = ".lstm-audit"
# The selectors before a block of declarations; the head of an @media has none such behind it.
RULE = re.compile(r"([^{}@;]+)\{(?=[^{}]*\})")


def fragment(page: str) -> str:
    """The page without its frame."""
    inside = page.partition("<main>")[2].rpartition("</main>")[0]
    return within(re.sub(r' id="[^"]*"', "", inside))  # another cell may show the same


def within(content: str) -> str:
    """Some HTML with the style sheet that it needs."""
    return f'<div class="{SCOPE[1:]}"><style>{scope(CSS)}</style>{content}</div>'


def scope(css: str) -> str:
    """A style sheet, every rule of which holds within `SCOPE` alone."""
    return RULE.sub(lambda match: f"{_within(match[1])} {{", css)


def _within(selectors: str) -> str:
    lead = selectors[: len(selectors) - len(selectors.lstrip())]
    return lead + ", ".join(map(_one_within, selectors.strip().split(",")))


def _one_within(selector: str) -> str:
    plain = selector.strip()
    return SCOPE if plain in (":root", "body", "main") else f"{SCOPE} {plain}"
