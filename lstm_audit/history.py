"""The checkpoints of one run, in training order: what each forget gate did.

Comes in: an `Audit` of several checkpoints of one model. Goes out: a `Trend`: a line an LSTM, a
point a checkpoint. Promise: every LSTM of every file stands in exactly one line, and the order is
that of the numbers in the names, so that epoch_9 comes before epoch_10.

The step of a checkpoint is the last number in its name that differs from name to name
(`epoch=3-step=1200.ckpt`: 1200); where names are not alike it is their place in the order.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from os.path import basename
from typing import NamedTuple

from .facts import Audit, Json, Row, json_number
from .lstm.find import natural
from .lstm.layer import Identity

NUMBER = re.compile(r"\d+")
SATURATED = 0.9999
"""A forget gate whose median unit keeps more than this share a step keeps everything (LA302)."""

CLOSED = 0.3
"""Mean activation below which a gate counts as closed (LA303)."""


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


class Line(NamedTuple):
    """One LSTM over the run; `events` say when it saturated, closed, or that it never moved."""

    identity: Identity
    points: tuple[Point, ...]
    events: tuple[str, ...]


class Trend(NamedTuple):
    """The checkpoints in their order with their steps, and a line for each LSTM."""

    files: tuple[tuple[str, int], ...]
    lines: tuple[Line, ...]

    def to_dict(self) -> Json:
        """`lstm-audit/trend/1`, as plain JSON values."""
        return {
            "schema": "lstm-audit/trend/1",
            "files": [{"path": path, "step": step} for path, step in self.files],
            "lines": [_line_json(line) for line in self.lines],
        }


def _line_json(line: Line) -> Json:
    one = line.identity
    return {
        "module": one.module,
        "layer": one.layer,
        "direction": one.direction,
        "convention": one.convention,
        "points": [
            {
                name: json_number(value) if isinstance(value, float) else value
                for name, value in point._asdict().items()
            }
            for point in line.points
        ],
        "events": list(line.events),
    }


def follow(audit: Audit) -> Trend:
    """The files in training order, and what became of every LSTM."""
    files = sorted(audit.files, key=lambda file: natural(file.path))
    steps = steps_of([file.path for file in files])
    points: dict[Identity, list[Point]] = {}
    for file, step in zip(files, steps, strict=True):
        for row in file.rows:
            points.setdefault(row.lstm.identity, []).append(_point(file.path, step, row))
    lines = (
        Line(identity, tuple(seen), tuple(_events(seen, len(files))))
        for identity, seen in points.items()
    )
    paths = (file.path for file in files)
    return Trend(tuple(zip(paths, steps, strict=True)), tuple(lines))


def steps_of(paths: Sequence[str]) -> list[int]:
    """The step of each checkpoint, from names that differ in their numbers alone; else 1, 2, 3."""
    names = [basename(path) for path in paths]
    numbers = [[int(text) for text in NUMBER.findall(name)] for name in names]
    alike = len({NUMBER.sub("0", name) for name in names}) == 1
    columns = list(zip(*numbers, strict=True)) if alike else []
    for column in reversed(columns):
        if len(set(column)) == len(names):
            return list(column)
    return list(range(1, len(names) + 1))


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


EVENTS: Mapping[str, Callable[[Point], bool]] = {
    "saturated": lambda point: point.median_activation > SATURATED,
    "closed": lambda point: point.activation < CLOSED,
    "not a number": lambda point: point.mean != point.mean,
}
"""What can happen to a gate, told when it first does."""


def _events(points: Sequence[Point], files: int) -> Iterable[str]:
    """What a person would want to be told of a line."""
    if len(points) < files:
        yield f"in {len(points)} of {files} checkpoints"
    if len(points) > 1 and len({point[2:5] for point in points}) == 1:
        yield "never moved"
    for word, holds in EVENTS.items():
        first = next((k for k, point in enumerate(points) if holds(point)), None)
        if first is not None:
            when = "from the start" if first == 0 else f"at step {points[first].step}"
            yield f"{word} {when}"
