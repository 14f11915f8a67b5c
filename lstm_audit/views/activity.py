"""The gates of a model on data, as people look at them.

Comes in: an `Activity`. Goes out: a table with what the forget gate does on the data beside what it
does at rest; the same as a table of HTML; a data frame with a line a unit.
"""

from collections.abc import Callable, Mapping

from ..activity import UNIT_NUMBERS, Activity, GateActivity
from ..lstm.measure import of_sorted
from ..reports import Look
from ..reports.words import digits, dumps, escape, fraction, say_count, show_identity
from . import Columns, View
from .tables import html_of_table, text_table

MEANING = "rest: x = 0, h = 0"
HEADS = ("LSTM", "f rest", "f data", "its units", "τ rest", "τ data", "f>0.9999")


def table_of_activity(activity: Activity, look: Look) -> str:
    """A line a layer and direction."""
    lines = [text_table(HEADS, list(map(_row, activity)), look.width)]
    for skip in activity.skipped:
        lines.append(f"not recomputed: {escape(skip.module or '(root)')}: {escape(skip.detail)}")
    steps = max((one.steps for one in activity), default=0)
    lines.append(f"\n{say_count(len(activity), 'layer')} on {say_count(steps, 'step')}; {MEANING}")
    return "\n".join(lines) + "\n"


def _row(one: GateActivity) -> list[str]:
    active, scale = (of_sorted(sorted(values)) for values in (one.activation, one.time_scale))
    return [
        show_identity(one.identity),
        fraction(of_sorted(sorted(one.rest)).mean),
        fraction(active.mean),
        f"{fraction(active.p05)}..{fraction(active.p95)}",
        digits(of_sorted(sorted(one.rest_time_scale)).p50),
        digits(scale.p50),
        fraction(one.saturated),
    ]


def picture(activity: Activity) -> str:
    """The table of measured gates for a notebook, as HTML."""
    return html_of_table(HEADS, list(map(_row, activity)))


def json_of_activity(activity: Activity, look: Look) -> str:
    """`lstm-audit/activity/1`."""
    return dumps(activity.to_dict(), indent=2) + "\n"


def units(activity: Activity) -> Columns:
    """A line a unit."""
    places = [(one, unit) for one in activity for unit in range(one.hidden_size)]
    names = ("module", "layer", "direction")
    return {
        "address": [one.address for one, _ in places],
        **{name: [getattr(one, name) for one, _ in places] for name in names},
        "unit": [unit for _, unit in places],
        **{name: [getattr(one, name)[unit] for one, unit in places] for name in UNIT_NUMBERS},
    }


FRAMES: Mapping[str, Callable[[Activity], Columns]] = {"units": units}

VIEW = View(
    {"table": table_of_activity, "json": json_of_activity}, (table_of_activity,), picture, FRAMES
)
