"""`csv`: one row an LSTM, or of source one finding, for a spreadsheet or a data frame.

Comes in: an `Audit`. Goes out: RFC 4180 with `\\n` line ends and a header, also when there is no
row. Promise: numbers keep every digit (NaN, Infinity and -Infinity spelled as in `json`), and no
cell is taken for a formula.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from csv import writer as csv_writer

from ..fact_json import json_number
from ..facts import Audit, FileAudit, Finding, Row
from ..lstm.measure import Measures, Stats
from . import STREAMS, Look, Streamed, report
from .listings import is_lint
from .words import escape

FACTS = ("path", "module", "layer", "direction", "convention", "hidden_size", "dtype")
OF_SOURCE = ("path", "line", "column", "cell", "code", "severity", "module", "message")
QUANTITIES = ("forget_bias", "activation", "time_scale", "half_life")
ORIGIN = ("init_scheme", "init_value", "init_state", "init_confidence")
# What makes a spreadsheet evaluate a cell (OWASP, CSV injection); tab and carriage return are
# escaped anyway.
FORMULA = ("=", "+", "-", "@")


@report("csv")
def csv(audit: Audit, look: Look) -> str:
    """Facts, then the statistics of the effective forget bias, the activation, the time scale and
    the half-life, and the initialiser (empty: not asked).
    """
    if is_lint(audit):
        return _csv([OF_SOURCE, *map(_finding, audit.findings)])
    return HEAD + "".join(map(_lines, audit.files))


def _csv(rows: Iterable[Sequence[object]]) -> str:
    out = io.StringIO()
    csv_writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def _lines(file: FileAudit) -> str:
    """The rows of one checkpoint."""
    return _csv([*_facts(file, row), *_numbers(row.measures), *_origin(row)] for row in file.rows)


COLUMNS = (
    *FACTS,
    *(f"{quantity}_{stat}" for quantity in QUANTITIES for stat in Stats._fields),
    *ORIGIN,
)
HEAD = ",".join(COLUMNS) + "\n"
STREAMS["csv"] = Streamed(HEAD, _lines)


def _finding(finding: Finding) -> list[str | int]:
    place = [finding.line or "", finding.column or "", finding.cell or ""]
    words = [finding.module or "", finding.message]
    return [_cell(finding.path), *place, finding.code, finding.severity, *map(_cell, words)]


def _facts(file: FileAudit, row: Row) -> list[str | int]:
    lstm = row.lstm
    place: list[str | int] = [_cell(file.path), _cell(lstm.module), lstm.layer, lstm.direction]
    return [*place, _cell(lstm.convention), lstm.hidden_size, lstm.dtype]


def _numbers(measures: Measures) -> Iterator[float | str]:
    for stats in (
        measures.gates["f"],
        measures.activation,
        measures.time_scale,
        measures.half_life,
    ):
        yield from map(json_number, stats)


def _origin(row: Row) -> list[str | float]:
    if row.init is None:
        return [""] * len(ORIGIN)
    value = "" if row.init.value is None else json_number(row.init.value)
    return [row.init.scheme, value, row.init.state, row.init.confidence]


def _cell(name: str) -> str:
    text = escape(name, limit=None)
    return f"'{text}" if text.startswith(FORMULA) else text
