"""A run over time, as people look at it.

Comes in: a `Trend`. Goes out: the reports of `lstm-audit trend`; a data frame with a line an LSTM
and checkpoint.
"""

from collections.abc import Callable, Mapping

from ..cli.trend import HEADS, TEXTS, show_line, sum_up_run
from ..history import Point, Trend
from ..reports import Look
from ..reports.html.notebook import fragment
from ..reports.words import describe_error, escape, show_identity
from . import Columns, View
from .tables import text_table


def table(trend: Trend, look: Look) -> str:
    """A line an LSTM: its activation at both ends, its bias in time, what happened."""
    rows = [[show_identity(line.identity), *show_line(line)] for line in trend]
    lines = [text_table(HEADS, rows, look.width), ""] if rows else []
    lines += [f"unreadable: {escape(one.path)}: {describe_error(one)}" for one in trend.errors]
    return "\n".join([*lines, sum_up_run(trend)]) + "\n"


def json(trend: Trend, look: Look) -> str:
    """`lstm-audit/trend/1`."""
    return TEXTS["json"](trend, look.bounds)


def csv(trend: Trend, look: Look) -> str:
    """A line an LSTM and checkpoint."""
    return TEXTS["csv"](trend, look.bounds)


def html(trend: Trend, look: Look) -> str:
    """The page with a band over time for each LSTM."""
    return TEXTS["html"](trend, look.bounds)


def picture(trend: Trend) -> str:
    """The page without its frame."""
    return fragment(html(trend, Look()))


def points(trend: Trend) -> Columns:
    """A line an LSTM and checkpoint."""
    places = [(line.identity, point) for line in trend for point in line.points]
    return {
        "address": [one.address for one, _ in places],
        **{
            name: [getattr(one, name) for one, _ in places]
            for name in ("module", "layer", "direction")
        },
        **{name: [getattr(point, name) for _, point in places] for name in Point._fields},
    }


FRAMES: Mapping[str, Callable[[Trend], Columns]] = {"points": points}

VIEW = View({"table": table, "json": json, "csv": csv, "html": html}, (table,), picture, FRAMES)
