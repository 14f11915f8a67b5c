"""Before and after: what a patch did, or how two checkpoints differ.

Comes in: a `GateChange` for each gate of an LSTM that was compared. Goes out: one self-contained
document. Promise: as of the page of an audit; before and after share one axis, and what is alike in
every number is drawn once.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...lstm.measure import ACTIVATIONS, Stats, of_sorted, time_scale_of_bias
from .. import Look
from ..words import PATH_LIMIT, digits, fraction, markup, say_count
from . import plots
from .overview import LaneRow, draw_lanes
from .page import badge, document, header

LANES, CARDS = 300, 60  # gates, and kinds of gates, that are drawn
NAMED = 12  # names that a card lists before "and N more"


class GateSide(NamedTuple):
    """A gate before or after: the effective bias of each unit, and the gate's activation."""

    biases: tuple[float, ...]
    function: str = "sigmoid"


class GateChange(NamedTuple):
    """One gate of one LSTM. `name` is as it is written, `remark` says what became of it."""

    name: str
    gate: str
    before: GateSide
    after: GateSide
    remark: str = ""

    @property
    def differs(self) -> bool:
        """Whether anything is to be seen."""
        return self.before != self.after


class Told(NamedTuple):
    """What a page says beside its plots: a title, lines below it, and what was left out, as
    (severity, what, why), with the title over it.
    """

    title: str
    said: Sequence[str]
    without: str
    others: Sequence[tuple[str, str, str]] = ()


def page_of_changes(told: Told, changes: Sequence[GateChange], look: Look) -> str:
    """A document in HTML 5."""
    ends = [end for change in changes for side in change[2:4] for end in _ends(side)]
    scale = plots.scale_of_biases(ends, look.bounds)
    head = header(told.title, told.said, look.closing, look.command)
    body = [*_lanes(changes, scale), *_cards(changes, scale), *_others(told.without, told.others)]
    return document("lstm-audit before and after", [*head, *body])


def _ends(side: GateSide) -> tuple[float, ...]:
    stats = stats_of(side)
    return stats.p05, stats.p95, stats.mean


def stats_of(side: GateSide) -> Stats:
    """Of the effective bias."""
    return of_sorted(sorted(side.biases))


def _lanes(changes: Sequence[GateChange], scale: plots.Scale) -> Iterator[str]:
    """Every gate on one axis, from where it was to where it is."""
    if not changes:
        return
    yield "<section><h2>From and to</h2>"
    yield (
        '<p class="muted">The mean effective bias, with the activation f and the time scale τ in '
        "steps that it gives at x = 0 and h = 0. Ring: before; dot: after. Dashed: a bias of 0, "
        "where nothing was set.</p>"
    )
    rest = len(changes) - LANES
    said = f"{say_count(rest, 'more gate')} not drawn." if rest > 0 else ""
    yield from draw_lanes([_lane(change, scale) for change in changes[:LANES]], said, scale)


def _lane(change: GateChange, scale: plots.Scale) -> LaneRow:
    a, b = stats_of(change.before).mean, stats_of(change.after).mean
    said = f"bias {digits(a)} before, {digits(b)} after"
    number = _arrow(_activation(change.before), _activation(change.after))
    return LaneRow(_name(change), plots.move(a, b, scale, said), number)


def _name(change: GateChange) -> str:
    gate = "" if change.gate == "f" else f" gate {change.gate}"
    return markup(change.name + gate, PATH_LIMIT)


def _activation(side: GateSide) -> str:
    activate = ACTIVATIONS[side.function]
    return fraction(of_sorted(sorted(map(activate, side.biases))).mean)


def _time_scale(side: GateSide) -> str:
    return digits(of_sorted(sorted(time_scale_of_bias(b, side.function) for b in side.biases)).p50)


def _arrow(before: str, after: str) -> str:
    return markup(before if before == after else f"{before} → {after}")


def _cards(changes: Sequence[GateChange], scale: plots.Scale) -> Iterator[str]:
    """A card for each kind of change: units before, upward, and after, downward."""
    kinds: dict[tuple[object, ...], list[GateChange]] = {}
    for change in changes:
        kinds.setdefault(change[1:], []).append(change)
    if not kinds:
        return
    yield '<section><h2>Unit by unit</h2><p class="muted">Upward: before; downward: after.</p>'
    yield '<div class="cards">'
    for alike in list(kinds.values())[:CARDS]:
        yield from _card(alike, scale)
    yield "</div>"
    rest = len(kinds) - CARDS
    yield f'<p class="muted">{say_count(rest, "more kind")} not drawn.</p>' if rest > 0 else ""
    yield "</section>"


def _card(alike: Sequence[GateChange], scale: plots.Scale) -> Iterator[str]:
    change = alike[0]
    before, after = change.before, change.after
    times = f' <span class="times">×{len(alike)}</span>' if len(alike) > 1 else ""
    names = "<br>".join(map(_name, alike[:NAMED]))
    more = f" and {len(alike) - NAMED} more" if len(alike) > NAMED else ""
    yield f'<article class="card"><h3 class="path">{names}{more}{times}</h3>'
    state = change.remark or ("" if change.differs else "unchanged")
    yield f'<p class="init">{markup(state, PATH_LIMIT)}</p>' if state else ""
    yield plots.mirror(before.biases, after.biases, scale)
    a, b = stats_of(before), stats_of(after)
    numbers = {
        "Bias": _arrow(digits(a.mean), digits(b.mean)),
        "Activation": _arrow(_activation(before), _activation(after)),
        "Spread": _arrow(f"± {digits(a.std)}", f"± {digits(b.std)}"),
    }
    if change.gate == "f":
        numbers["Time scale"] = _arrow(_time_scale(before), _time_scale(after))
    cells = (f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in numbers.items())
    yield f"<dl>{''.join(cells)}</dl></article>"


def _others(title: str, others: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """What was not compared, or not patched, and why; what is said of several is said once."""
    if not others:
        return
    names: dict[tuple[str, str], list[str]] = {}
    for severity, what, why in others:
        names.setdefault((severity, why), []).append(what)
    yield f'<section><h2>{title}</h2><ul class="findings">'
    for (severity, why), alike in names.items():
        listed = markup(", ".join(alike), PATH_LIMIT)
        yield f'<li class="{severity}"><p>{badge(severity)}{markup(why, PATH_LIMIT)}</p>'
        yield f'<p class="path">{listed}</p></li>'
    yield "</ul></section>"
