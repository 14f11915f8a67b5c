"""What every page has: the document around it, its head, badges, tables.

Comes in: parts of a body. Goes out: HTML 5. Promise: a page loads nothing and runs nothing: its own
Content-Security-Policy forbids both.
"""

from collections.abc import Iterable, Iterator, Sequence

from ...version import __version__
from ..words import PATH_LIMIT, markup
from .style import CSS

POLICY = "default-src 'none'; style-src 'unsafe-inline'"
SIGNS = {"error": "✕", "warning": "!", "info": "i"}


def document(title: str, body: Iterable[str]) -> str:
    """A whole document of one file."""
    head = (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{markup(title)}</title>\n<style>{CSS}</style></head>\n<body>\n<main>"
    )
    return "\n".join([head, *filter(None, body), "</main>", "</body>", "</html>", ""])


def header(title: str, said: Sequence[str], closing: str = "", command: str = "") -> Iterator[str]:
    """The verdict first, where the run has one; what it amounts to, and what was run."""
    yield f"<header><h1>{markup(title)}</h1>"
    if closing:
        state = closing.split(":")[0].split(" ")[0].lower()
        yield f'<p class="verdict {markup(state)}">{markup(closing, PATH_LIMIT)}</p>'
    yield from (f'<p class="muted">{markup(line, PATH_LIMIT)}</p>' for line in said if line)
    if command:
        yield f'<pre class="fix">{markup(command, PATH_LIMIT)}</pre>'
    yield f'<p class="muted">lstm-audit {markup(__version__)}</p></header>'


def badge(severity: str, word: str | None = None) -> str:
    """A sign and a word: colour alone tells nothing to some."""
    text = severity if word is None else word
    name = "" if text else f' role="img" aria-label="{severity}" title="{severity}"'
    return f'<span class="badge {severity}"{name}><i>{SIGNS[severity]}</i>{text}</span>'


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Cells of markup below their headings."""
    yield "<table>"
    titles = "".join(f'<th scope="col">{head}</th>' for head in heads)
    yield f"<thead><tr>{titles}</tr></thead>"
    yield "<tbody>"
    for first, *others in rows:
        cells = "".join(f"<td>{cell}</td>" for cell in others)
        yield f'<tr><th scope="row">{first}</th>{cells}</tr>'
    yield "</tbody></table>"
