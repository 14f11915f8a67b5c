"""The checkpoints of one run, in training order: what each forget gate did.

Comes in: an `Audit` of several checkpoints of one model. Goes out: a `Trend`: a line an LSTM, a
point a checkpoint. Promise: every LSTM of every file stands in exactly one line, and the order is
that of training.

The step of a checkpoint is what the files themselves count (`global_step`, `step`, `epoch`), where
all of them do; else the last number in its name that differs from name to name
(`epoch=3-step=1200.ckpt`: 1200); where names are not alike, it is their place in the order of
names, in which epoch_9 comes before epoch_10.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import basename
from typing import NamedTuple

from .fact_json import as_json
from .facts import Audit, FileAudit, FileError, Json, Row
from .formats import COUNTERS
from .lstm.find import natural
from .lstm.layer import Identity
from .result import Result, quote_for_repr

NUMBER = re.compile(r"\d{1,18}", re.ASCII)
# Checkpoints of one model that are shown as a run.
FEWEST = 3

SATURATED = 0.9999

# Mean activation below which a gate counts as closed (LA303).
CLOSED = 0.3


class Point(NamedTuple):
    """One LSTM in one checkpoint: of the effective forget bias the mean and the 5th and 95th
    percentile over units, the mean and the median activation, the median time scale in steps.
    """

    path: str
    step: int
    mean: float
    p05: float
    p95: float
    activation: float
    median_activation: float
    time_scale: float


class Event(NamedTuple):
    """What happened to a gate, and the step at which it first did (None: over the whole run)."""

    what: str
    step: int | None = None

    @property
    def text(self) -> str:
        """`saturated at step 1,200`."""
        return self.what if self.step is None else f"{self.what} at step {self.step:,}"


class Line(NamedTuple):
    """One LSTM over the run; `events` say when it saturated, closed, or that it never moved."""

    identity: Identity
    points: tuple[Point, ...]
    events: tuple[Event, ...]

    def __repr__(self) -> str:
        events = "; ".join(event.text for event in self.events)
        said = f"{len(self.points)} points{f', {events}' if events else ''}"
        return f"<Line {quote_for_repr(self.identity.address)}: {said}>"


@dataclass(frozen=True, slots=True, repr=False)
class Trend(Result, view="followed"):
    """The checkpoints in their order with their steps, and a line for each LSTM.

    `counted_by` says whose steps these are: a counter of the files (`global_step`), `name` for the
    numbers in their names, `order` for their place. `errors` are the files that could not be read.
    It is a sequence of its lines.
    """

    files: tuple[tuple[str, int], ...]
    lines: tuple[Line, ...]
    counted_by: str
    errors: tuple[FileError, ...] = ()

    def __len__(self) -> int:
        return len(self.lines)

    def __iter__(self) -> Iterator[Line]:
        return iter(self.lines)

    def __repr__(self) -> str:
        return f"<Trend: {len(self.files)} checkpoints, {len(self.lines)} LSTMs>"

    def to_dict(self) -> Json:
        """`lstm-audit/trend/1`, as plain JSON values."""
        return {
            "schema": "lstm-audit/trend/1",
            "counted_by": self.counted_by,
            "files": [{"path": path, "step": step} for path, step in self.files],
            "lines": [_line_json(line) for line in self.lines],
        }


def _line_json(line: Line) -> Json:
    return {
        **line.identity._asdict(),
        "points": [
            {name: as_json(value) for name, value in point._asdict().items()}
            for point in line.points
        ],
        "events": [event._asdict() for event in line.events],
    }


def follow(audit: Audit) -> Trend:
    """The files in training order, and what became of every LSTM."""
    with_lstm = (file for file in audit.files if file.rows)  # a run's folder holds more than models
    by_name = sorted(with_lstm, key=lambda file: natural(file.path))
    steps, counted_by = steps_of(by_name)
    order = sorted(range(len(by_name)), key=steps.__getitem__)  # stable: equal steps go by name
    files = [(by_name[k], steps[k]) for k in order]
    points: dict[Identity, list[Point]] = {}
    for file, step in files:
        for row in file.rows:
            points.setdefault(row.lstm.identity, []).append(_point(file.path, step, row))
    lines = (
        Line(identity, tuple(seen), tuple(_events(seen, len(files))))
        for identity, seen in points.items()
    )
    paths = ((file.path, step) for file, step in files)
    return Trend(tuple(paths), tuple(lines), counted_by, audit.errors)


def is_run(audit: Audit) -> bool:
    """Whether the files are checkpoints of one model: the same LSTMs, and steps that are known."""
    files = [file for file in audit.files if file.rows]
    kinds = {
        tuple((row.lstm.identity, row.lstm.hidden_size) for row in file.rows) for file in files
    }
    return len(files) >= FEWEST and len(kinds) == 1 and steps_of(files)[1] != "order"


def steps_of(files: Sequence[FileAudit]) -> tuple[list[int], str]:
    """The step of each checkpoint, and what counted it; see `Trend`."""
    for name in COUNTERS:
        counted = [file.counters[name] for file in files if name in file.counters]
        if len(counted) == len(files) and len(set(counted)) > 1:
            return counted, name
    paths = [file.path for file in files]
    # Of `checkpoint-500/model.safetensors` the folder counts, as Hugging Face's Trainer writes it.
    named = _steps_in_names([basename(path) for path in paths])
    named = named or (_steps_in_names(paths) if len(paths) > 1 else [])
    return (named, "name") if named else (list(range(1, len(files) + 1)), "order")


def _steps_in_names(names: Sequence[str]) -> list[int]:
    """The last of the numbers that differ from name to name, where numbers alone do; else none."""
    numbers = [[int(text) for text in NUMBER.findall(name)] for name in names]
    alike = len({NUMBER.sub("0", name) for name in names}) == 1
    for column in reversed(list(zip(*numbers, strict=True)) if alike else []):
        if len(set(column)) == len(names):
            return list(column)
    return []


def _point(path: str, step: int, row: Row) -> Point:
    bias, active = row.measures.gates["f"], row.measures.activation
    return Point(
        path,
        step,
        bias.mean,
        bias.p05,
        bias.p95,
        active.mean,
        active.p50,
        row.measures.time_scale.p50,
    )


# What can happen to a gate, told when it first does.
EVENTS: Mapping[str, Callable[[Point], bool]] = {
    "saturated": lambda point: point.median_activation > SATURATED,
    "closed": lambda point: point.activation < CLOSED,
    "not a number": lambda point: point.mean != point.mean,
}


def _events(points: Sequence[Point], files: int) -> Iterable[Event]:
    """What a person would want to be told of a line."""
    if len(points) < files:
        yield Event(f"in {len(points)} of {files} checkpoints")
    if len(points) > 1 and len({point[2:5] for point in points}) == 1:
        yield Event("never moved")
    for word, holds in EVENTS.items():
        first = next((k for k, point in enumerate(points) if holds(point)), None)
        if first == 0:
            yield Event(f"{word} from the start")
        elif first is not None:
            yield Event(word, points[first].step)
