"""Plain tables for results that have no report of their own.

Comes in: headings and rows of text. Goes out: the table as text, or as HTML for a notebook.
Promise: no line of text is wider than asked for, as far as the first column can give way; every
cell of HTML is escaped.
"""

from collections.abc import Sequence

from ..reports.html.notebook import within
from ..reports.terminal import GAP, columns_wide, fill_column, shorten
from ..reports.words import markup

# Columns that names have at least.
NARROWEST = 12


def text_table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Names to the left, shortened where there is no room; numbers to the right."""
    wide = [max(map(columns_wide, column)) for column in zip(heads, *rows, strict=True)]
    room = width - sum(wide[1:]) - GAP * (len(wide) - 1)
    names = shorten([row[0] for row in rows], max(room, NARROWEST), "…")
    wide[0] = max(map(columns_wide, [heads[0], *names]))
    lines = [heads, ["-" * n for n in wide]]
    lines += [[name, *row[1:]] for name, row in zip(names, rows, strict=True)]
    lefts = [True, *(not _are_numbers([row[k] for row in rows]) for k in range(1, len(heads)))]
    return "\n".join(_line(line, wide, lefts) for line in lines)


def _are_numbers(cells: Sequence[str]) -> bool:
    """Whether a column is of numbers, ranges of them, or numbers before and after."""
    return all(not cell or cell.lstrip("<>~-")[:1].isdigit() or cell in WORDS for cell in cells)


# Cells of a column of numbers that begin with no digit.
WORDS = ("NaN", "∞", "-∞")


def _line(cells: Sequence[str], wide: Sequence[int], lefts: Sequence[bool]) -> str:
    parts = map(fill_column, cells, wide, lefts)
    return (" " * GAP).join(parts).rstrip()


def html_of_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in the package's own style, for a cell of a notebook."""
    head = "".join(f"<th>{markup(name)}</th>" for name in heads)
    body = "".join(
        f'<tr><td class="path">{markup(row[0])}</td>'
        f"{''.join(f'<td>{markup(cell)}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return within(f"<table><tr>{head}</tr>{body}</table>")
