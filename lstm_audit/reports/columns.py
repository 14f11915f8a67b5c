"""The grid of the table: which columns there are, how wide, and what stands in them.

Comes in: rows, and the width of the terminal. Goes out: lines. Promise: no line is wider; what does
not fit is a column left out or a name shortened in its middle.
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..facts import Audit, Row
from ..lstm.forensics.schemes import short
from ..tuples import NamedTuple
from . import Look
from .listings import sparkline, worst_of
from .terminal import GAP, Signs, columns_wide, fill_column, paint, signs_of
from .words import describe_convention, digits, escape, fraction

if TYPE_CHECKING:
    pass

ROOM, ROOMY = 22, 44  # columns that names have at least beside a column, and a rarer one

OPEN, CLOSED = 0.7, 0.3  # where colour begins; it says nothing that the number does not

Style = dict[str, Any]


class Column(NamedTuple):
    """One column: its two-line heading, how a row fills it, and when it may appear.

    `rank`: lower ranks are given a place first. `wide`: the columns it is reckoned with, so that
    whether it appears depends on the terminal alone, and `room` what must then be left for names.
    A column whose cells are all empty is left out.
    """

    title: str
    rank: int
    wide: int
    cell: Callable[[Row], str]
    align: str = "right"
    room: int = ROOM
    styled: bool = False


Filled = tuple[Column, list[str]]


def draw_grid(audit: Audit, columns: Sequence[Filled], look: Look) -> list[str]:
    """All columns but the names, below their headings.

    By hand: tabulate takes 45 ms to import (it asks importlib.metadata for its version), more than
    all the rest of a run, and counts a wide character as one column.
    """
    styles = [
        _openness(row, worst.get(row.lstm.identity))
        for file in audit.files
        for worst in [worst_of(file.findings)]
        for row in file.rows
    ]
    blocks = []
    for column, cells in columns:
        wide = width_of(column, cells)
        heads = [
            fill_column(title, wide, column.align == "left") for title in column.title.split("\n")
        ]
        body = _align(column, cells, wide)
        if column.styled:
            body = [paint(cell, look, **s) for cell, s in zip(body, styles, strict=True)]
        blocks.append([*heads, "-" * wide, *body])
    return [(" " * GAP).join(parts) for parts in zip(*blocks, strict=True)]


def _align(column: Column, cells: Sequence[str], wide: int) -> list[str]:
    """Cells filled to the width of their column; decimal ones stand point below point."""
    if column.align != "decimal":
        return [fill_column(cell, wide, column.align == "left") for cell in cells]
    places = [len(cell) - len(cell.partition(".")[0]) for cell in cells]
    return [
        (cell + " " * (max(places) - n)).rjust(wide) for cell, n in zip(cells, places, strict=True)
    ]


def width_of(column: Column, cells: Sequence[str]) -> int:
    """What a column takes: its longest cell or line of the heading; decimal cells are split at
    their points.
    """
    head = max(map(len, column.title.split("\n")))
    if column.align != "decimal":
        return max(head, *map(columns_wide, cells))
    wholes = [cell.partition(".")[0] for cell in cells]
    places = [len(cell) - len(whole) for cell, whole in zip(cells, wholes, strict=True)]
    return max(head, max(map(len, wholes)) + max(places))


# Which columns there are is decided by rank and by widths that are fixed in advance, never by the
# numbers at hand: two runs side by side, or before and after a change, then have the same columns
# to compare.
def choose_columns(rows: Sequence[Row], look: Look) -> list[Filled]:
    """The columns that have something to say and a place, lowest rank first; equal ranks go
    together.

    They are reckoned with a fixed width each, so that two runs in one terminal have the same; only
    where cells are so wide that no name fits beside them does a column give way.
    """
    filled = [(column, [column.cell(row) for row in rows]) for column in _columns(signs_of(look))]
    filled = [(column, cells) for column, cells in filled if any(cells)]
    kept: list[Filled] = []
    taken = 0
    by_rank = sorted(filled, key=lambda pair: pair[0].rank)
    for _, group in groupby(by_rank, key=lambda pair: pair[0].rank):
        together = list(group)
        need = taken + sum(GAP + column.wide for column, _ in together)
        if not kept or need + together[0][0].room <= look.width:
            kept, taken = [*kept, *together], need
    while len(kept) > 2 and sum(GAP + width_of(*pair) for pair in kept) + ROOM > look.width + 10:
        kept.pop()
    return [pair for pair in filled if pair in kept]


def _columns(signs: Signs) -> tuple[Column, ...]:
    """Every column, from left to right."""

    def plain(value: float) -> str:
        return digits(value).replace("∞", signs.infinity)

    def gate(name: str) -> Callable[[Row], str]:
        return lambda row: plain(row.measures.gates[name].mean)

    def distribution(row: Row) -> str:
        return sparkline(row.measures.histogram, signs.empty, signs.levels)

    def deviation(row: Row) -> str:
        return plain(row.measures.gates["f"].std)

    def activation(row: Row) -> str:
        return fraction(row.measures.activation.mean)

    def initialiser(row: Row) -> str:
        return "" if row.init is None else escape(short(row.init))

    return (
        Column("\nH", 6, 4, lambda row: str(row.lstm.hidden_size), room=26),
        Column("forget\nbias", 0, 6, gate("f"), "decimal"),
        Column(f"\n{signs.std}", 5, 6, deviation, "decimal", 30),
        Column("\nactivation", 0, 10, activation, styled=True),
        Column("\nmin..max", 7, 14, _extent, room=ROOMY),
        Column("units\n0 to 1", 2, 8, distribution, "left"),
        Column("half\nlife", 4, 6, lambda row: plain(row.measures.half_life.p50), room=28),
        Column("time\nscale", 8, 6, lambda row: plain(row.measures.time_scale.p50), room=ROOMY),
        Column("i\nbias", 9, 7, gate("i"), "decimal", ROOMY),
        Column("g\nbias", 9, 7, gate("g"), "decimal", ROOMY),
        Column("o\nbias", 9, 7, gate("o"), "decimal", ROOMY),
        Column("\ndtype", 10, 8, lambda row: row.lstm.dtype, "left", ROOMY),
        Column("\ninit", 1, 17, initialiser, "left"),
        Column("\nconvention", 3, 12, lambda row: describe_convention(row.lstm), "left"),
        Column("\naliases", 11, 7, lambda row: str(len(row.lstm.aliases) or ""), room=ROOMY),
    )


def _extent(row: Row) -> str:
    return f"{fraction(row.measures.activation.min)}..{fraction(row.measures.activation.max)}"


def _openness(row: Row, worst: str | None) -> Style:
    """Green for an open gate, yellow for a closed one; never against what a finding says."""
    mean = row.measures.activation.mean
    if worst == "error" or mean != mean:
        return {"fg": "red"}
    if worst == "warning" or mean < CLOSED:
        return {"fg": "yellow"}
    return {"fg": "green"} if mean >= OPEN else {}
