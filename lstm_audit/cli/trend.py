"""`lstm-audit trend RUN`: the checkpoints of one run, in training order."""

import io
import sys
from collections.abc import Iterator, Sequence

from ..errors import BadPolicy
from ..fact_json import as_json
from ..facts import Audit
from ..fleet import audit_paths
from ..history import Line, Point, Trend, follow
from ..pipeline import MAX_SECONDS, Request
from ..policy.unmatched import refuse_unmatched
from ..reports import Look
from ..reports.terminal import GAP, shorten
from ..reports.words import (
    NOTHING_READ,
    describe_error,
    digits,
    dumps,
    escape,
    fraction,
    say_count,
    show_identity,
)
from . import exits
from .forms import GivenOptions
from .output import (
    ProgressLine,
    command_line,
    look_of,
    measure_columns,
    print_lines,
    say_table,
    tell,
    tell_warnings,
    write_text,
)
from .report_files import refuse_overwriting
from .runs import find_allowed_biases, read_policy_and_flags

EPILOG = """\b
Examples:
  lstm-audit trend runs/lstm/
  lstm-audit trend 'checkpoints/epoch=*.ckpt' -f csv -o trend.csv
  lstm-audit trend -f html -o trend.html runs/lstm/
"""

# The least and the most forget bias that the policy allows.
BiasBounds = tuple[float, float]

CELLS = 16


def run(given: GivenOptions) -> int:
    """Follow each forget gate over the checkpoints of a run.

    Checkpoints are ordered by what they count themselves (global_step, step, epoch), else by the
    numbers in their names. Shown are the mean activation in the
    first and the last, the forget bias over time, and when a gate saturated (its median unit keeps
    more than 0.9999), closed (mean activation below 0.3), or that it never moved.

    \b
    Exit codes:
      0  shown    3  a checkpoint could not be read
      2  usage    4  no LSTM in any of them
    """
    bounds = find_allowed_biases(read_policy_and_flags(given))
    audit = _audit(given)
    refuse_overwriting(audit, given.paths, [given.output] if given.output else [])
    trend = follow(audit)
    name = "json" if given.as_json else given.trend_format
    if name == "table":
        if given.output:
            message = "--output takes --format json, csv or html; the table is for a terminal"
            raise BadPolicy(message)
        _say(trend)
    else:
        write_text(TEXTS[name](trend, bounds), given.output)
    if audit.errors:
        return exits.UNREADABLE
    return exits.PASS if trend.lines else exits.NOTHING


def _audit(given: GivenOptions) -> Audit:
    request = Request(given.layers, numbers_only=True, seconds=MAX_SECONDS, download=given.download)
    progress = ProgressLine(given.quiet)
    audit = audit_paths(given.paths, request, given.jobs, progress, exclude=given.exclude)
    progress.end()
    tell_warnings(audit.files)
    refuse_unmatched([audit], given.layers)
    for error in audit.errors:
        tell(f"error: {error.path}: {describe_error(error)}")
    return audit


def _json(trend: Trend, bounds: BiasBounds) -> str:
    return dumps(trend.to_dict(), indent=2) + "\n"


def _csv(trend: Trend, bounds: BiasBounds) -> str:
    import csv  # 1 ms that only -f csv needs

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("module", "layer", "direction", *Point._fields))
    for line in trend.lines:
        one = line.identity
        place = (_cell(escape(one.module, None)), one.layer, one.direction)
        for point in line.points:
            numbers = [as_json(value) for value in point[1:]]
            writer.writerow((*place, _cell(escape(point.path, None)), *numbers))
    return out.getvalue()


def _cell(text: str) -> str:
    """No text that a spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _html(trend: Trend, bounds: BiasBounds) -> str:
    from ..reports.html.run import page_of_run  # 5 ms that only a page needs

    return page_of_run(trend, Look(command=command_line(), bounds=bounds))


TEXTS = {"json": _json, "csv": _csv, "html": _html}


HEADS = ("LSTM", "first f", "last f", "bias", "range", "what happened")
CURVE = HEADS[1:].index("bias")
# Columns that names have at least, and that are left for what happened; characters of a bias over
# time that names take no more from.
NARROWEST, EVENTS, FEWEST = 14, 18, 6


def _say(trend: Trend) -> None:
    if trend.lines:
        names = [show_identity(line.identity) for line in trend.lines]
        width = look_of(sys.stdout, "never", quiet=False).width
        rows, room = _rows_beside(max(map(len, names)), trend.lines, width)
        names = shorten(names, max(room, NARROWEST), "…")
        cells = [[name, *row] for name, row in zip(names, rows, strict=True)]
        say_table(cells, HEADS, prose=len(HEADS) - 1)
        print_lines("")
    print_lines(sum_up_run(trend))


def _rows_beside(names: int, lines: Sequence[Line], width: int) -> tuple[list[list[str]], int]:
    """The cells of all lines, and what is left of a terminal for names that would take so many
    columns: a name says more than the last characters of a curve.
    """
    rows = [show_line(line) for line in lines]
    room = _room_beside(rows, width)
    if room < names:
        curve = max(len(row[CURVE]) for row in rows)
        cells = max(curve - (names - room), FEWEST)
        rows = [show_line(line, cells) for line in lines]
        room = _room_beside(rows, width)
    return rows, room


def _room_beside(rows: Sequence[Sequence[str]], width: int) -> int:
    *wide, told = measure_columns(rows, HEADS[1:])
    return width - sum(wide) - min(EVENTS, told) - GAP * (len(wide) + 1)


def sum_up_run(trend: Trend) -> str:
    """`9 checkpoints, steps 100 to 900 (global_step), 4 LSTMs`; of none that nothing was read."""
    if not trend.files:
        return NOTHING_READ
    steps = [step for _, step in trend.files]
    by = "" if trend.counted_by in ("name", "order") else f" ({trend.counted_by})"
    extent = f", steps {steps[0]:,} to {steps[-1]:,}{by}" if len(steps) > 1 else ""
    lstms = say_count(len(trend.lines), "LSTM")
    return f"{say_count(len(trend.files), 'checkpoint')}{extent}, {lstms}"


def show_line(line: Line, cells: int = CELLS) -> list[str]:
    """Activation at both ends, the bias over time, what happened."""
    first, last = line.points[0], line.points[-1]
    means = [point.mean for point in line.points]
    return [
        fraction(first.activation),
        fraction(last.activation),
        over_time(means, cells),
        "..".join(dict.fromkeys(digits(end) for end in (min(means), max(means)))),
        "; ".join(event.text for event in line.events),
    ]


def over_time(values: Sequence[float], cells: int = CELLS, levels: str = "▁▂▃▄▅▆▇█") -> str:
    """A character a value, between the least and the most of them; at most `cells`, evenly
    picked.
    """
    step = max(len(values) / cells, 1)
    picked = [values[int(k * step)] for k in range(min(len(values), cells))]
    numbers = [value for value in picked if value == value]
    return "".join(_levels(picked, numbers, levels))


def _levels(picked: Sequence[float], numbers: Sequence[float], levels: str) -> Iterator[str]:
    least, most = min(numbers, default=0.0), max(numbers, default=0.0)
    for value in picked:
        if value != value:
            yield "!"
        elif most == least:
            yield levels[3]
        else:
            share = (value - least) / (most - least)
            yield levels[min(int(share * len(levels)), len(levels) - 1)] if share == share else "!"
