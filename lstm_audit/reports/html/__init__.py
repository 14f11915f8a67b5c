"""`html`: one page with plots, to be opened from a disk, mailed, printed, or kept as a build's
artifact.

Comes in: an `Audit`, and through the `Look` the verdict, the command, the policy and its bounds.
Goes out: one self-contained document: the verdict; all LSTMs on one axis, or, where the files are
checkpoints of one model, its run over time; a card for each kind of LSTM; then findings and
whatever was not judged. Promise: it loads nothing and runs nothing, every name is escaped and
whole, and it is readable from 390 pixels up, in light and dark, and on paper.
"""

from collections.abc import Iterator, Sequence

from ...facts import Audit, FileAudit, Row
from ...history import Trend, follow, is_run
from ...lstm.forensics.schemes import is_untouched
from ...statistics import Statistics, count
from .. import Look, register_digest, report
from ..listings import summarise_run
from ..overview import summary_of
from . import plots, run, statistics, text
from .cards import CARDS, cards
from .overview import Drawn, overview
from .page import document, header

# Files up to which each has its text in the open.
FEW_FILES = 5


@register_digest("html")
def digest_of_registry(found: Statistics, look: Look) -> str:
    """A registry of any size in numbers."""
    said = [" · ".join(summary_of(found.summary))]
    head = header("Forget gates of a registry", said, look.closing, look.command)
    return document("lstm-audit statistics", [*head, *statistics.sections(found, look)])


@report("html")
def html(audit: Audit, look: Look) -> str:
    """A document in HTML 5: pictures first, text behind."""
    trend = follow(audit) if is_run(audit) else None
    said = [" · ".join(summarise_run(audit))]
    head = header(_title(audit, trend), said, look.closing, look.command)
    body = _whole(audit, trend, look)
    return document("lstm-audit", [*head, *body, *text.unreadable(audit.errors)])


def _title(audit: Audit, trend: Trend | None) -> str:
    if trend is not None:
        return "Forget gates over a run"
    return "Forget gates at the start" if _is_fresh(audit.rows) else "Forget gates"


def _is_fresh(rows: Sequence[Row]) -> bool:
    """Whether every LSTM is as its initialiser left it."""
    return bool(rows) and all(is_untouched(row.init) for row in rows)


def _whole(audit: Audit, trend: Trend | None, look: Look) -> Iterator[str]:
    """Every LSTM; over many files the rules come before the files, which are then folded."""
    drawn = Drawn(plots.find_scale(audit.rows, look.bounds), look.bounds)
    many, most = len(audit.files) > FEW_FILES, look.rows or CARDS
    if trend is None:
        yield from overview(audit.files, drawn)
        yield from cards(audit.rows, drawn, most)
    else:
        yield from _course(audit, trend, drawn, most)
    yield from statistics.rules_html(count(audit).rules) if many else ()
    yield from text.files_html(_in_order(audit, trend), folded=many)


def _course(audit: Audit, trend: Trend, drawn: Drawn, most: int) -> Iterator[str]:
    """A run over time, and what it came to."""
    yield from run.section(trend, drawn.bounds)
    last = _in_order(audit, trend)[-1]
    yield from cards(last.rows, drawn, most, f"At step {trend.files[-1][1]:,}")


def _in_order(audit: Audit, trend: Trend | None) -> list[FileAudit]:
    """The files as they were given; of a run in training order, with those that have no LSTM
    first.
    """
    places = {path: k for k, (path, _) in enumerate(trend.files if trend else ())}
    return sorted(audit.files, key=lambda file: places.get(file.path, -1))
