"""An audit as people look at it.

Comes in: an `Audit`. Goes out: the reports of the command; for `print` the table, cut to a page;
for a notebook the page's pictures; data frames of its LSTMs, their units and the findings.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from ..errors import BadPolicy
from ..facts import Audit, FileAudit, Row
from ..fixing import replacements_of
from ..lstm.layer import GATES
from ..lstm.measure import Stats
from ..reports import REPORTS, Look
from ..reports.html.notebook import fragment
from . import TALLEST, Columns, Render, View

# LSTMs of a file that `print` shows at most.
ROWS = 24

# LSTMs that a notebook's picture shows with all their gates; the axis has them all.
CARDS = 4

# The same where findings take the room.
FEW_ROWS = 6


class Formats(Mapping[str, Render]):
    """The reports of the command, by name."""

    def __getitem__(self, name: str) -> Render:
        return partial(render, name)

    def __iter__(self) -> Iterator[str]:
        return iter(REPORTS)

    def __len__(self) -> int:
        return len([*REPORTS])


def render(name: str, audit: Audit, look: Look) -> str:
    """A report, with the bytes of the fixes where the format carries them."""
    if name == "sarif" and not look.statistics:
        look = look._replace(edits=replacements_of(audit))
    return REPORTS[name](audit, look)


def whole(audit: Audit, look: Look) -> str:
    """Every LSTM and every group of findings."""
    return REPORTS["table"](audit, look)


def shorten_audit(audit: Audit, look: Look) -> str:
    """As many LSTMs of each file as there is room for."""
    files = max(sum(bool(file.rows) for file in audit.files), 1)
    spare = TALLEST - whole(audit, look._replace(rows=FEW_ROWS)).count("\n") - 1
    rows = min(max(FEW_ROWS + spare // files, FEW_ROWS), ROWS)
    return whole(audit, look._replace(rows=rows))


def count_findings(audit: Audit, look: Look) -> str:
    """Rules and initialisers instead of LSTMs."""
    return whole(audit, look._replace(statistics=True))


def picture(audit: Audit) -> str:
    """The report's page without its frame."""
    return fragment(REPORTS["html"](audit, Look(rows=CARDS)))


# ---- data frames


def lstms(audit: Audit) -> Columns:
    """A line an LSTM: what it is, every statistic, and its initialiser."""
    return _columns([_lstm(file, row) for file in audit.files for row in file.rows], LSTM)


def _lstm(file: FileAudit, row: Row) -> dict[str, Any]:
    measures, init = row.measures, row.init
    quantities = {
        **{f"bias_{gate}": measures.gates[gate] for gate in GATES},
        "activation": measures.activation,
        "time_scale": measures.time_scale,
        "half_life": measures.half_life,
    }
    numbers = {
        f"{quantity}_{stat}": value
        for quantity, stats in quantities.items()
        for stat, value in stats._asdict().items()
    }
    origin = {
        "init": init.scheme if init else None,
        "init_value": init.value if init else None,
        "state": init.state if init else None,
    }
    return {**_place(file, row), **_facts(row), **numbers, **origin}


def _place(file: FileAudit, row: Row) -> dict[str, Any]:
    return {"path": file.path, **{name: getattr(row.lstm, name) for name in PLACE[1:]}}


def _facts(row: Row) -> dict[str, Any]:
    lstm = row.lstm
    return {
        "convention": lstm.convention,
        "hidden_size": lstm.hidden_size,
        "dtype": lstm.dtype,
        "offset": lstm.offset,
    }


PLACE = ("path", "address", "module", "layer", "direction")
LSTM = (
    *PLACE, "convention", "hidden_size", "dtype", "offset",
    *(
        f"{quantity}_{stat}"
        for quantity in (*(f"bias_{gate}" for gate in GATES), "activation", "time_scale",
                         "half_life")
        for stat in Stats._fields
    ),
    "init", "init_value", "state",
)  # fmt: skip
UNIT = (*PLACE, "unit", *(f"bias_{gate}" for gate in GATES), "activation", "time_scale")
FINDING = (
    "path", "address", "code", "name", "severity", "measured", "expected", "fixable", "message",
    "line", "column",
)  # fmt: skip


def units(audit: Audit) -> Columns:
    """A line a unit: its effective biases, its activation at rest, its time scale in steps."""
    return _columns(list(_units(audit)), UNIT)


def _units(audit: Audit) -> Iterator[dict[str, Any]]:
    for file in audit.files:
        for row in file.rows:
            if row.units is None:
                raise BadPolicy("the numbers of each unit were not kept: audit(…, units=True)")
            numbers = zip(
                *(row.units.bias[gate] for gate in GATES),
                row.units.activation,
                row.units.time_scale,
                strict=True,
            )
            for unit, values in enumerate(numbers):
                yield {
                    **_place(file, row),
                    "unit": unit,
                    **dict(zip(UNIT[6:], values, strict=True)),
                }


def findings(audit: Audit) -> Columns:
    """A line a finding."""
    return {name: [getattr(finding, name) for finding in audit.findings] for name in FINDING}


def _columns(lines: list[dict[str, Any]], names: tuple[str, ...]) -> Columns:
    """Lines turned into columns, which are there when no line is."""
    return {name: [line[name] for line in lines] for name in names}


FRAMES: Mapping[str, Callable[[Audit], Columns]] = {
    "lstms": lstms,
    "units": units,
    "findings": findings,
}

VIEW = View(Formats(), (whole, shorten_audit, count_findings), picture, FRAMES)
