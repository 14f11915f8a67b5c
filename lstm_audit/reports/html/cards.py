"""A card for each kind of LSTM.

Comes in: rows. Goes out: a section of cards. Promise: LSTMs that look alike in every number share a
card, and what was estimated is not said as if it had been read.
"""

from collections.abc import Iterator, Sequence

from ...facts import Row
from ...lstm.forensics.schemes import short
from ...lstm.layer import GATES
from ..words import (
    PATH_LIMIT,
    describe_convention,
    digits,
    fraction,
    markup,
    say_count,
    show_address,
)
from . import plots
from .overview import Drawn
from .page import html_table
from .statistics import in_words

CARDS = 60  # cards, alike LSTMs counted once
NAMED = 12  # names that a card lists before "and N more"


def cards(
    rows: Sequence[Row], drawn: Drawn, most: int = CARDS, title: str = "Each kind of LSTM"
) -> Iterator[str]:
    """LSTMs that look alike in every number share a card; `most` are drawn."""
    kinds: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        kinds.setdefault(_look_of(row), []).append(row)
    if not kinds:
        return
    yield f'<section><h2>{title}</h2><div class="cards">'
    for alike in list(kinds.values())[:most]:
        yield from _card(alike, drawn)
    yield "</div>"
    rest = len(kinds) - most
    yield (
        f'<p class="muted">{say_count(rest, "more kind")} of LSTM not drawn.</p>'
        if rest > 0
        else ""
    )
    yield "</section>"


def _look_of(row: Row) -> tuple[object, ...]:
    """What a card shows of an LSTM, but for its name."""
    bias = row.measures.gates["f"]
    said = short(row.init) if row.init else ""
    numbers = [digits(value) for value in bias]
    return (row.lstm.hidden_size, describe_convention(row.lstm), said, *numbers)


def _card(rows: Sequence[Row], drawn: Drawn) -> Iterator[str]:
    row = rows[0]
    lstm, measures = row.lstm, row.measures
    times = f' <span class="times">×{len(rows)}</span>' if len(rows) > 1 else ""
    yield f'<article class="card"><h3 class="path">{_names(rows)}{times}</h3>'
    facts = [f"{lstm.hidden_size} units", lstm.dtype, describe_convention(lstm)]
    yield f'<p class="muted">{markup(" · ".join(filter(None, facts)))}</p>'
    if row.init:
        yield f'<p class="init">{markup(in_words(short(row.init)))}</p>'
    yield plots.histogram(row, *drawn)
    yield "<dl>"
    bias = measures.gates["f"]
    numbers = {
        "Forget bias": f"{digits(bias.mean)} <small>± {digits(bias.std)}</small>",
        "Activation": markup(fraction(measures.activation.mean)),
        "Half-life": f"{digits(measures.half_life.p50)} <small>steps</small>",
        "Time scale": f"{digits(measures.time_scale.p50)} <small>steps</small>",
    }
    for name, value in numbers.items():
        yield f"<div><dt>{name}</dt><dd>{value}</dd></div>"
    yield "</dl>"
    yield from _more(row)
    yield "</article>"


def _names(rows: Sequence[Row]) -> str:
    names = [markup(show_address(row.lstm, None), PATH_LIMIT) for row in rows[:NAMED]]
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return "<br>".join(names) + more


def _more(row: Row) -> Iterator[str]:
    """What one looks up: all gates, the evidence for the initialiser, the names in the file."""
    yield "<details><summary>Gates and names</summary>"
    columns = ("mean", "std", "min", "max")
    gates = row.measures.gates
    yield from html_table(
        ("bias", *columns),
        [[g, *(markup(digits(getattr(gates[g], c))) for c in columns)] for g in GATES],
    )
    lines = [row.init.evidence] if row.init else []
    lines += [
        *row.lstm.notes,
        *_list_names("Read from", row.lstm.bias_tensors),
        *_list_names("Also", row.lstm.aliases),
    ]
    yield f"{''.join(f'<p>{markup(line, PATH_LIMIT)}</p>' for line in lines)}</details>"


def _list_names(title: str, names: Sequence[str]) -> list[str]:
    return [f"{title} {', '.join(names)}"] if names else []
